"""A page of objects as another server sends it, taken apart without touching an object.

What reaches the rules is the text of each object as it came. So one object that is no
JSON at all (a NaN, ten thousand brackets) costs itself and not the page it came on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from serantau import typed

_token: Final = re.compile(
    rb'"(?:[^"\\]++|\\.)*+"|[\[\]{},:]|"', re.DOTALL
)  # a lone quote at the end is a string that never ends
_BLANKS: Final = b" \t\n\r"
_OPEN: Final = (b"{", b"[")
_CLOSE: Final = (b"}", b"]")


@dataclass(frozen=True, slots=True)
class Envelope:
    """TAXII 2.1 §3.7: the objects' texts as they came, and how to go on."""

    objects: tuple[bytes, ...]
    more: bool
    next: str


class _Plain(msgspec.Struct):
    objects: list[msgspec.Raw] | None = None
    more: msgspec.Raw = msgspec.Raw(b"false")
    next: msgspec.Raw = msgspec.Raw(b"null")


_plain: Final = typed.reader(_Plain)


def read_envelope(body: bytes) -> Envelope:
    """Take a page apart.

    Raises:
        ValueError: not an envelope, or its end is missing. The text says which.
    """
    try:
        plain = _plain(body)
    except (msgspec.DecodeError, RecursionError) as fault:
        return _read_broken(body, fault)
    return Envelope(
        tuple(map(bytes, plain.objects or ())), _more(plain.more), _next(plain.next)
    )


def read_object(body: bytes) -> dict[str, Any]:
    """Read a small resource.

    Raises:
        ValueError: no JSON object. The text says what it is.
    """
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as fault:
        raise ValueError(f"broken JSON ({fault})") from fault
    if not isinstance(found, dict):
        raise ValueError(f"got {_start(body)}, expected a JSON object")
    return found


def _read_broken(body: bytes, fault: Exception) -> Envelope:
    """Find the objects of a page by its brackets alone."""
    if body.lstrip(_BLANKS)[:1] != b"{":
        raise ValueError(f"got {_start(body)}, expected a TAXII envelope") from fault
    members = dict(_members(body, body.index(b"{")))
    listed = members.get("objects", b"[]").strip(_BLANKS)
    if listed != b"null" and not listed.startswith(b"["):
        raise ValueError(
            f"`objects` is {_start(listed)}, expected a list of STIX objects"
        ) from fault
    objects = () if listed == b"null" else tuple(_elements(listed))
    return Envelope(
        tuple(text for text in objects if text),
        _more(members.get("more", b"false")),
        _next(members.get("next", b"null")),
    )


def _members(text: bytes, start: int) -> Iterator[tuple[str, bytes]]:
    """Give the members of the object that opens at `start`, values as they stand."""
    name = ""
    before = start + 1
    for place, token, depth in _tokens(text, start):
        if depth == 1 and token == b":" and not name:
            name = (
                text[before:place].strip(_BLANKS).strip(b'"').decode("utf-8", "replace")
            )
            before = place + 1
        elif (depth == 1 and token == b",") or depth == 0:
            if name:
                yield name, text[before:place]
            name, before = "", place + 1


def _elements(text: bytes) -> Iterator[bytes]:
    """Give the elements of the list that `text` is."""
    before = 1
    for place, token, depth in _tokens(text, 0):
        if (depth == 1 and token == b",") or depth == 0:
            yield text[before:place].strip(_BLANKS)
            before = place + 1


def _tokens(text: bytes, start: int) -> Iterator[tuple[int, bytes, int]]:
    """Give place, token and the depth after it, until what opens at `start` closes."""
    depth = 0
    for found in _token.finditer(text, start):
        token = found[0]
        if token == b'"':
            break
        if token in _OPEN:
            depth += 1
        elif token in _CLOSE:
            depth -= 1
        yield found.start(), token, depth
        if depth == 0:
            return
    raise ValueError(
        f"the JSON breaks off after {len(text):,} bytes, expected its closing bracket"
    )


def _start(text: bytes) -> str:
    shown = text[:40].decode("utf-8", "replace")
    return f"{shown!r}" if shown.strip() else "nothing"


def _value(text: bytes | msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(bytes(text))
    except (msgspec.DecodeError, RecursionError):
        return None


def _more(text: bytes | msgspec.Raw) -> bool:
    # Some servers write the word as a string.
    value = _value(text)
    return value is True or (isinstance(value, str) and value.lower() == "true")


def _next(text: bytes | msgspec.Raw) -> str:
    value = _value(text)
    return "" if value is None or isinstance(value, (dict, list)) else str(value)
