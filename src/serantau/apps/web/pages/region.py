"""Names and numbers of states, as the maps and tables of pages have them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from babel import Locale, UnknownLocaleError
from babel.core import get_global

_LETTERS = 2


@cache
def names_of(language: str) -> Mapping[str, str]:
    """Give the names of states by ISO 3166-1 alpha-2 code, in a language."""
    english = Locale("en").territories
    try:
        names = Locale.parse(language, sep="-").territories
    except (UnknownLocaleError, ValueError):
        names = english
    return {
        code: names.get(code, name)
        for code, name in english.items()
        if len(code) == _LETTERS and code.isalpha()
    }


@cache
def numbers_of() -> Mapping[str, str]:
    """Give the numbers of states (ISO 3166-1 numeric), by which maps know them."""
    return {
        codes[0]: number
        for number, codes in get_global("territory_aliases").items()
        if number.isdecimal() and len(codes) == 1 and len(codes[0]) == _LETTERS
    }
