"""The one JSON text of a value: RFC 8785, what signatures and digests are made over.

Two nodes that hold the same value make the same bytes of it, whatever the order, the
white space and the escapes of the text that it came as. What has no such text is
refused, so that nothing is signed that another program would read as something else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import orjson
import rfc8785

_beyond_bmp: Final = re.compile(rb"[\xf0-\xf4]").search
_OPTIONS: Final = (
    orjson.OPT_SORT_KEYS
    | orjson.OPT_STRICT_INTEGER
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)
_EXACT: Final = 2**53 - 1


def canonical(value: Any) -> bytes:
    """Write a JSON value as RFC 8785 does.

    Raises:
        ValueError: it has no canonical text: NaN, an infinity, an integer that a double
            does not hold exactly, half a surrogate pair, or what is no JSON at all.
    """
    return _written(value)[0]


def agreed(value: Any) -> bytes:
    """Write a JSON value as `canonical` does, if all readers read its numbers alike.

    A whole number beyond 2^53 has a canonical text, but one that stands for several:
    what one program reads as ...616 another reads as ...617 (RFC 7493 §2.2).

    Raises:
        ValueError: as `canonical`, and for such a number.
    """
    text, plain = _written(value)
    if not plain:
        for number in _floats(value):
            if abs(number) > _EXACT:
                raise ValueError(f"{number!r} is a number that readers disagree about")
    return text


def _written(value: Any) -> tuple[bytes, bool]:
    """Write a value, and say whether it is plain."""
    try:
        plain = _is_plain(value)
        return (_quickly(value) if plain else None) or rfc8785.dumps(value), plain
    except RecursionError as fault:
        raise ValueError("it is nested too deeply") from fault


def _quickly(value: Any) -> bytes | None:
    """Write what is plain as orjson does where that is the same, seven times as fast.

    RFC 8785 §3.2.3 sorts names by units of UTF-16, orjson by bytes of UTF-8: they agree
    unless a character beyond the BMP is there. §3.2.2.3 writes numbers as ECMAScript
    does: they agree on integers.
    """
    try:
        text = orjson.dumps(value, option=_OPTIONS)
    except TypeError:
        return None
    return text if text.isascii() or _beyond_bmp(text) is None else None


def _is_plain(value: Any) -> bool:
    """Say whether there is nothing in a value but texts, integers, lists, objects."""
    kind = type(value)
    if kind is dict or kind is list:
        for one in value.values() if kind is dict else value:
            # Most are texts, and a call costs more than this question.
            if type(one) is not str and not _is_plain(one):
                return False
        return True
    return kind is str or kind is int or kind is bool or value is None


def _floats(value: Any) -> Iterator[float]:
    if type(value) is float:
        yield value
    elif type(value) is dict or type(value) is list:
        for one in value.values() if type(value) is dict else value:
            yield from _floats(one)
