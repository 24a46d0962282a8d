"""From JSON and tables to values of our types, in any thread.

msgspec learns a Struct when it is first asked for, and leaves what it learnt so far
where other threads find it: one that reads meanwhile ends the process (seen with 0.22;
four peers that answer at once are enough). So all learning is done here, by one at a
time; nothing else makes a decoder or converts (tests/test_typed.py).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

T = TypeVar("T")

# Annotations are read while it is held, which may import a module that needs it too.
_learning: Final = threading.RLock()
_decoders: Final[dict[Any, Callable[[bytes | str], Any]]] = {}


def reader(kind: type[T]) -> Callable[[bytes | str], T]:
    """Give what reads JSON text as `kind`; the same one for each kind.

    It raises msgspec.DecodeError where the text is no JSON, or of another form.
    """
    found = _decoders.get(kind)
    if found is None:
        with _learning:
            found = msgspec.json.Decoder(kind).decode
            _decoders[kind] = found
    return found


def read(text: bytes | str, kind: type[T]) -> T:
    """Read JSON text as `kind`.

    Raises:
        msgspec.DecodeError: it is no JSON, or of another form.
    """
    return reader(kind)(text)


def convert(value: object, kind: type[T], *, strict: bool = True) -> T:
    """Make a `kind` of dictionaries, lists and plain values, as TOML gives them.

    Args:
        value: what was read.
        kind: what it is to be.
        strict: numbers and truth values are not read from text.

    Raises:
        msgspec.ValidationError: it is of another form.
    """
    with _learning:
        return msgspec.convert(value, kind, strict=strict)
