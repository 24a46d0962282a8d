"""An object's properties as a page shows them: in words, defanged, cut, and never run.

What this node does not know is shown as it is, under its own name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from serantau.apps.web.pages.object_words import PROPERTIES, SILENT
from serantau.clock import instant
from serantau.rules.properties import TIMES
from serantau.rules.text import defang

LONG: Final = 1_500
"""Letters of one text that are shown."""
MANY: Final = 40
"""Members of one list that are shown."""
# Khmer, Lao, Burmese and Persian are not written right without these.
_KEPT: Final = frozenset("\n\t\u200b\u200c\u200d")
_UNKNOWN: Final = 200
_REFERENCE: Final = ("source_name", "external_id", "url", "description")

_Words = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a value.

    text: as it is shown. whole: the real one, where the shown one is another. ref: the
    id of an object, to be gone to. at: an instant.
    """

    text: str = ""
    whole: str = ""
    ref: str = ""
    at: int = 0


@dataclass(frozen=True, slots=True)
class Field:
    """A property: its own name, what it is called here, and its value.

    block: it is a text of several lines. short: its members fit beside one another.
    more: how many members are not shown.
    """

    name: str
    label: str
    parts: tuple[Part, ...]
    block: bool = False
    short: bool = False
    more: int = 0


def seen(text: str, most: int = LONG) -> str:
    """Cut a text, and show what is invisible or turns the order of its letters."""
    cut = text[:most]
    shown = "".join(
        one if one.isprintable() or one in _KEPT else f"<U+{ord(one):04X}>"
        for one in cut
    )
    return shown if len(cut) == len(text) else f"{shown}…"


def harmless(text: str, most: int = LONG) -> str:
    """Give a text as `seen` does, and so that nothing in it can be followed."""
    return defang(seen(text, most))


def plain(value: Any, most: int = LONG) -> str:
    """Write any value in one text, harmless."""
    if isinstance(value, str):
        return harmless(value, most)
    return harmless(orjson.dumps(value).decode("utf-8", "replace"), most)


def fields_of(
    data: Mapping[str, Any], names: Mapping[str, str], _: _Words
) -> tuple[list[Field], list[Field]]:
    """Give the properties that are known, in words, and those that are not.

    Args:
        data: the object.
        names: of objects that it refers to, by id.
        _: says a text in the reader's language.
    """
    known = [
        _field(name, _(label), data[name], names, _)
        for name, label in PROPERTIES.items()
        if name in data
    ]
    other = [
        _field(name, harmless(name, 100), data[name], names, _)
        for name in list(data)[:_UNKNOWN]
        if name not in PROPERTIES and name not in SILENT
    ]
    return known, other


def _field(
    name: str, label: str, value: Any, names: Mapping[str, str], _: _Words
) -> Field:
    if name == "external_references":
        return _many(name, label, value, _reference)
    if name == "kill_chain_phases":
        return _many(name, label, value, _phase)
    if name == "hashes" and isinstance(value, dict):
        pairs = [f"{kind}: {one}" for kind, one in value.items()]
        return _many(name, label, pairs, _text)
    if isinstance(value, bool):
        return Field(name, label, (Part(_("yes") if value else _("no")),))
    if name in TIMES and isinstance(value, str) and (at := _instant(value)):
        return Field(name, label, (Part(at=at),))
    if isinstance(value, list):
        return _many(name, label, value, lambda one: _member(one, names))
    if isinstance(value, str):
        part = _member(value, names)
        block = "\n" in part.text or len(part.text) > 200
        return Field(name, label, (part,), block=block and not part.ref)
    return Field(name, label, (Part(plain(value)),))


def _many(name: str, label: str, value: Any, make: Callable[[Any], Part]) -> Field:
    if not isinstance(value, list):
        return Field(name, label, (Part(plain(value)),))
    parts = tuple(make(one) for one in value[:MANY])
    short = all(part.text and len(part.text) < 40 for part in parts)
    return Field(name, label, parts, short=short, more=max(0, len(value) - MANY))


def _member(value: Any, names: Mapping[str, str]) -> Part:
    if not isinstance(value, str):
        return Part(plain(value))
    if is_id(value):
        return Part(harmless(names.get(value, ""), 200) or value, ref=value)
    return _text(value)


def _text(value: str) -> Part:
    shown = harmless(value)
    # Only what is a value by itself is worth a button; a long text is not.
    whole = value if shown != value and len(value) <= 500 and "\n" not in value else ""
    return Part(shown, whole=whole)


def _reference(one: Any) -> Part:
    if not isinstance(one, dict):
        return Part(plain(one))
    said = (one.get(key) for key in _REFERENCE)
    return Part(" · ".join(plain(text, 300) for text in said if text))


def _phase(one: Any) -> Part:
    if not isinstance(one, dict):
        return Part(plain(one))
    said = (one.get(key, "") for key in ("kill_chain_name", "phase_name"))
    return Part(": ".join(plain(text, 100) for text in said))


def is_id(text: str) -> bool:
    """Say whether a text is written like a STIX id."""
    kind, dashes, rest = text.partition("--")
    return (
        bool(dashes)
        and len(text) <= 300
        and len(rest) == 36
        and all(letter.isalnum() or letter == "-" for letter in kind + rest)
        and text.isascii()
    )


def _instant(text: str) -> int:
    try:
        return instant(text)
    except ValueError:
        return 0


def references_in(data: Mapping[str, Any]) -> Iterable[str]:
    """Give the ids that the properties of an object name, once each."""

    def found() -> Iterator[str]:
        for value in data.values():
            for one in (value if isinstance(value, list) else [value])[:MANY]:
                if isinstance(one, str) and is_id(one):
                    yield one

    return dict.fromkeys(found())


def differences(
    was: Mapping[str, Any], now: Mapping[str, Any], _: _Words
) -> list[tuple[str, str | None, str | None]]:
    """Give field by field what two versions say differently."""
    order = [*PROPERTIES, *sorted({*was, *now} - PROPERTIES.keys())]
    return [
        (
            _(PROPERTIES[name]) if name in PROPERTIES else harmless(name, 100),
            plain(was[name]) if name in was else None,
            plain(now[name]) if name in now else None,
        )
        for name in order
        if was.get(name) != now.get(name) or (name in was) != (name in now)
    ]
