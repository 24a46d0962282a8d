"""What the address of a page says: names and numbers of its path and of its query."""

from __future__ import annotations

from typing import Final

from serantau.apps.web.hall import Asking
from serantau.errors import NotFound

# All of these fit into the whole numbers of a database, which have 64 bits.
_DIGITS: Final = 18


def named(request: Asking, part: str) -> str:
    """Give a name that the path has."""
    return str(request.path_params[part])


def numbered(request: Asking, part: str) -> int:
    """Give a number that the path has.

    Raises:
        NotFound: nothing can have this number.
    """
    number = int(request.path_params[part])
    if not 0 <= number < 10**_DIGITS:
        raise NotFound("Nothing has this number.")
    return number


def whole(request: Asking, name: str) -> int:
    """Give a whole number that the query has; 0 for none, and for what is none."""
    return whole_of(request.query_params.get(name, ""))


def whole_of(text: str) -> int:
    """Read a whole number that a page wrote; 0 for what is none."""
    good = text.isascii() and text.isdigit() and len(text) <= _DIGITS
    return int(text) if good else 0
