"""What one object says, read in one pass: whom it names, which values, which words.

What a property means is looked up once for each (type, name) in the tables of
`properties` and kept, so that reading an object is one dictionary lookup a property.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from functools import lru_cache
from typing import Any, Final, NamedTuple

from serantau.clock import instant
from serantau.rules import properties
from serantau.rules.refusal import Refused, pointer, shown
from serantau.rules.signature import SIGNATURE_EXTENSION
from serantau.rules.text import canonical, hash_kind

_UUID: Final = (
    r"[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
)
# STIX 2.1 §2.9: type, two hyphens, UUID. The type has 3 to 250 characters (§3.1).
is_id: Final = re.compile(
    rf"[a-z](?=.{{2,249}}--)[a-z0-9]*(?:-[a-z0-9]+)*-?--{_UUID}", re.IGNORECASE
).fullmatch
is_language: Final = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*").fullmatch
_is_cve: Final = re.compile(r"CVE-\d{4}-\d{4,19}", re.IGNORECASE).fullmatch
# The OASIS schema's own pattern is open at its end; §3.1 asks for no less than this.
_is_name: Final = re.compile(r"[a-z][a-z0-9_]{2}.{0,247}|id").fullmatch
_is_hex: Final = re.compile(r"(?:[a-fA-F0-9]{2})+").fullmatch
_is_base64: Final = re.compile(
    r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)"
).fullmatch

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_FINEST: Final = len("2026-01-31T08:00:00.000000000Z")


@lru_cache(maxsize=16_384)
def read_time(text: str) -> int:
    """Read a time of the shape that the schemas demand; objects repeat their times.

    Raises:
        ValueError: a date that does not exist, year 0, or a finer fraction than
            nanoseconds, which no clock means.
    """
    if len(text) > _FINEST:
        raise ValueError("more than nine digits of a second")
    if text[17:19] == "60":
        return instant(text)
    return (datetime.fromisoformat(text) - _EPOCH) // _MICROSECOND


def check_time(text: str, place: str) -> int:
    """Read a time, or refuse it with its place."""
    try:
        return read_time(text)
    except ValueError as error:
        raise Refused(
            "time", place, f"{shown(text)} ({error})", "a UTC time that exists"
        ) from None


class Facts(NamedTuple):
    """What was found, in the order in which it stands.

    edges: (property, id). values: (kind, canonical value). words: texts to search in.
    """

    edges: list[tuple[str, str]]
    values: list[tuple[str, str]]
    words: list[str]


class Sort(Enum):
    """What sort of thing a property holds.

    OTHER is looked into when it is a list or an object; NOTHING needs no look.
    """

    WORDS = auto()
    REFERENCE = auto()
    REFERENCES = auto()
    TIME = auto()
    VALUE = auto()
    HASHES = auto()
    EXTERNAL = auto()
    HEX = auto()
    BINARY = auto()
    OTHER = auto()
    NOTHING = auto()


# A sort, and what it needs: the types that a reference may name, the kind of a value.
_Meaning = tuple[Sort, Any]
_HEADER: Final = frozenset(("type", "id", "spec_version"))
# Enough for every property of every type; past it, names are looked up each time.
_KEPT: Final = 4096
# Parts of objects, besides the extensions called `...-ext`, whose references and times
# the standard fixes.
_PARTS: Final = frozenset(("body_multipart", "x509_v3_extensions"))


class Gatherer:
    """Reads objects, and remembers what their properties mean."""

    def __init__(self) -> None:
        """Start without any meaning looked up."""
        self._known: dict[str, dict[str, _Meaning]] = {}
        self._unknown: dict[str, _Meaning] = {}
        self._kept = 0

    def gather(self, data: Mapping[str, Any], *, known: bool) -> Facts:
        """Read an object that fits its schema.

        `known`: its type is one of STIX 2.1. Of an unknown type every text at the top
        is taken as words, and references may name anything.

        Raises:
            Refused: a name, null or empty list that STIX has not, a time that does not
                exist, or a reference to what cannot stand there.
        """
        facts = Facts([], [], [])
        edges, words = facts.edges, facts.words
        kind = data["type"]
        meanings = self._known.setdefault(kind, {}) if known else self._unknown
        for name, value in data.items():
            meaning = meanings.get(name)
            if meaning is None:
                meaning = self._look_up(meanings, kind, name, known)
            sort, detail = meaning
            if sort is _NOTHING:
                continue
            shape = type(value)
            if shape is str:
                if sort is _WORDS:
                    words.append(value)
                elif sort is _REFERENCE:
                    # Custom properties may be called so and hold something else.
                    if value[-38:-36] == "--":
                        if detail is not None and value[:-38] not in detail:
                            raise _wrong_target(value, f"/{name}", detail)
                        edges.append((name, value))
                elif sort is not _OTHER:
                    _read_text(facts, sort, name, value, detail)
            elif shape is list:
                if not value:
                    raise Refused(
                        "empty-list", f"/{name}", "[]", "a member, or no such property"
                    )
                if sort is _REFERENCES:
                    for target in value:
                        if type(target) is str and target[-38:-36] == "--":
                            if detail is not None and target[:-38] not in detail:
                                raise _wrong_target(target, f"/{name}", detail)
                            edges.append((name, target))
                else:
                    _read_list(facts, sort, name, value, known)
            elif shape is dict:
                if sort is _HASHES:
                    _read_hashes(facts, value)
                else:
                    _walk(facts, name, value, f"/{name}", known)
            elif value is None:
                # STIX 2.1 §2: JSON null is no value.
                raise Refused("null", f"/{name}", "null", "a value: STIX has no null")
            elif sort is Sort.VALUE:
                facts.values.append(canonical(detail, str(value)))
        return facts

    def _look_up(
        self, meanings: dict[str, _Meaning], kind: str, name: str, known: bool
    ) -> _Meaning:
        if _is_name(name) is None:
            raise Refused(
                "property-name",
                pointer(name),
                shown(name),
                "3 to 250 of a-z, 0-9 and _ (STIX 2.1 §3.1)",
            )
        meaning = _meaning(kind, name, known)
        if self._kept < _KEPT:
            self._kept += 1
            meanings[name] = meaning
        return meaning


def _meaning(kind: str, name: str, known: bool) -> _Meaning:
    """Find in the tables what a property at the top of an object means."""
    if known:
        for value_name, value_kind in properties.VALUES.get(kind, ()):
            if name == value_name:
                return Sort.VALUE, value_kind
    if name == "external_references":
        return Sort.EXTERNAL, None
    if name in properties.WORDS:
        return Sort.WORDS, None
    for ending, sort in _ENDINGS:
        if name.endswith(ending):
            return sort, properties.targets(kind, name)
    if known and name in properties.SILENT:
        return Sort.NOTHING, None
    if known and name in properties.TIMES:
        return Sort.TIME, None
    if known or name in _HEADER or name in properties.TIMES:
        return Sort.OTHER, None
    return Sort.WORDS, None


_ENDINGS: Final = (
    ("_ref", Sort.REFERENCE),
    ("_refs", Sort.REFERENCES),
    ("hashes", Sort.HASHES),
    ("_hex", Sort.HEX),
    ("_bin", Sort.BINARY),
)


_WORDS: Final = Sort.WORDS
_REFERENCE: Final = Sort.REFERENCE
_REFERENCES: Final = Sort.REFERENCES
_HASHES: Final = Sort.HASHES
_OTHER: Final = Sort.OTHER
_NOTHING: Final = Sort.NOTHING


def _read_text(facts: Facts, sort: Sort, name: str, text: str, detail: Any) -> None:
    """Read a text at the top of an object that is neither words nor a reference."""
    match sort:
        case Sort.TIME:
            check_time(text, f"/{name}")
        case Sort.VALUE:
            facts.values.append(canonical(detail, text))
        case Sort.HEX if _is_hex(text) is None:
            expected = "an even number of hexadecimal digits, as the name ends in _hex"
            raise Refused("encoded", f"/{name}", shown(text), expected)
        case Sort.BINARY if _is_base64(text) is None:
            expected = "base64 text, as the name ends in _bin"
            raise Refused("encoded", f"/{name}", shown(text), expected)


def _read_list(
    facts: Facts, sort: Sort, name: str, items: list[Any], known: bool
) -> None:
    """Read a list at the top of an object that holds no references."""
    if sort is Sort.EXTERNAL:
        for item in items:
            _read_reference(facts, item)
    elif sort is Sort.WORDS:
        facts.words.extend([item for item in items if type(item) is str])
    if sort is not Sort.EXTERNAL and type(items[0]) is not str:
        _walk(facts, name, items, f"/{name}", known)


def _read_reference(facts: Facts, item: Any) -> None:
    """Read an external reference: its id, the CVE that it names, its hashes."""
    if type(item) is not dict:  # a custom property of an observable
        return
    external, hashes = item.get("external_id"), item.get("hashes")
    if type(external) is str:
        facts.words.append(external)
        if _is_cve(external):
            facts.values.append(canonical("cve", external))
    if type(hashes) is dict:
        _read_hashes(facts, hashes)


def _read_hashes(facts: Facts, hashes: Mapping[str, Any]) -> None:
    for algorithm, digest in hashes.items():
        if type(digest) is str:
            facts.values.append(canonical(hash_kind(algorithm), digest))


def _walk(facts: Facts, owner: str, value: Any, place: str, known: bool) -> None:
    """Read what is nested; recursion is bounded by the limit on depth.

    `owner` is the nearest name: of a property, or of an extension.
    """
    if type(value) is list:
        for index, item in enumerate(value):
            if type(item) is dict or type(item) is list:
                _walk(facts, owner, item, f"{place}/{index}", known)
        return
    fixed = known and (owner[-4:] == "-ext" or owner in _PARTS)
    for name, item in value.items():
        shape = type(item)
        if shape is str:
            if name[-4:] == "_ref":
                _nested_edge(facts, owner, name, item, place, fixed)
            elif name in properties.WORDS:
                facts.words.append(item)
            elif fixed and name in properties.TIMES:
                check_time(item, place + pointer(name))
        elif shape is list:
            if name[-5:] == "_refs":
                for target in item:
                    _nested_edge(facts, owner, name, target, place, fixed)
            elif name in properties.WORDS:
                facts.words.extend([text for text in item if type(text) is str])
            else:
                _walk(facts, name, item, place + pointer(name), known)
        elif shape is dict:
            if name[-6:] == "hashes":
                _read_hashes(facts, item)
            # A signature says nothing of the object, and `examine` reads all of it.
            elif name != SIGNATURE_EXTENSION:
                _walk(facts, name, item, place + pointer(name), known)


def _nested_edge(
    facts: Facts, owner: str, name: str, target: Any, place: str, fixed: bool
) -> None:
    """Keep a nested reference when it is one, and no key of a list."""
    if type(target) is str and is_id(target):
        allowed = properties.targets(owner, name) if fixed else None
        if allowed is not None and target[:-38] not in allowed:
            raise _wrong_target(target, place + pointer(name), allowed)
        facts.edges.append((name, target))


def _wrong_target(target: str, place: str, allowed: properties.Allowed) -> Refused:
    return Refused("reference", place, shown(target), allowed.words)
