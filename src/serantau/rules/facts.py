"""What one object says, read in one pass: whom it names, which values, which words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from serantau.clock import instant
from serantau.rules import properties
from serantau.rules.refusal import Refused, pointer, shown
from serantau.rules.text import canonical, hash_kind

Value = tuple[str, str]
Edge = tuple[str, str]

_UUID: Final = (
    r"[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
)
# STIX 2.1 §2.9: type, two hyphens, UUID. The type has 3 to 250 characters (§3.1).
is_id: Final = re.compile(
    rf"[a-z](?=.{{2,249}}--)[a-z0-9]*(?:-[a-z0-9]+)*-?--{_UUID}", re.IGNORECASE
).fullmatch
is_language: Final = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*").fullmatch
is_cve: Final = re.compile(r"CVE-\d{4}-\d{4,19}", re.IGNORECASE).fullmatch

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_WITHOUT_FRACTION: Final = len("2026-01-31T08:00:00Z")


@lru_cache(maxsize=16_384)
def read_time(text: str) -> int:
    """Read a time of the shape that the schemas demand; objects repeat their times.

    Raises:
        ValueError: a date that does not exist, year 0, or a finer fraction than
            nanoseconds, which no clock means.
    """
    if len(text) > _WITHOUT_FRACTION + 10:
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


class Facts:
    """Edges, values and words of one object, gathered by `gather`."""

    __slots__ = ("edges", "values", "words")

    def __init__(self) -> None:
        """Start with nothing found."""
        self.edges: list[Edge] = []
        self.values: list[Value] = []
        self.words: list[str] = []


def gather(data: Mapping[str, Any], *, known: bool) -> Facts:
    """Read an object whose schema has been checked.

    `known`: its type is one of STIX 2.1. Of an unknown type every text at the top is
    taken as words, and references may name anything.

    Raises:
        Refused: a time that does not exist, or a reference to a type that the standard
            excludes there.
    """
    facts = Facts()
    kind = data["type"]
    for name, value in data.items():
        shape = type(value)
        if shape is str:
            if name in properties.WORDS:
                facts.words.append(value)
            elif name[-4:] == "_ref":
                if known:
                    _check_target(kind, name, value, pointer(name))
                facts.edges.append((name, value))
            elif name in properties.TIMES:
                if known:
                    check_time(value, f"/{name}")
            elif not known and name not in _HEADER:
                facts.words.append(value)
        elif shape is list:
            _read_list(facts, kind, name, value, known)
        elif shape is dict:
            if name[-6:] == "hashes":
                _read_hashes(facts, value)
            else:
                _walk(facts, name, value, f"/{name}", known)
    for name, value_kind in properties.VALUES.get(kind, ()):
        if name in data:
            facts.values.append(canonical(value_kind, str(data[name])))
    return facts


_HEADER: Final = frozenset(("type", "id", "spec_version", "created", "modified"))


def _read_list(
    facts: Facts, kind: str, name: str, items: list[Any], known: bool
) -> None:
    """Read one list at the top of an object."""
    if name[-5:] == "_refs":
        for index, item in enumerate(items):
            if type(item) is str:
                if known:
                    _check_target(kind, name, item, f"/{name}/{index}")
                facts.edges.append((name, item))
    elif name == "external_references":
        for item in items:
            _read_reference(facts, item)
    elif name in properties.WORDS:
        facts.words.extend(item for item in items if type(item) is str)
    elif type(items[0]) is dict or type(items[0]) is list:
        _walk(facts, name, items, f"/{name}", known)


def _read_reference(facts: Facts, item: dict[str, Any]) -> None:
    """Read an external reference: its id, the CVE that it names, its hashes."""
    external = item.get("external_id")
    if external is not None:
        facts.words.append(external)
        if is_cve(external):
            facts.values.append(canonical("cve", external))
    if "hashes" in item:
        _read_hashes(facts, item["hashes"])


def _read_hashes(facts: Facts, hashes: Mapping[str, Any]) -> None:
    for algorithm, digest in hashes.items():
        if type(digest) is str:
            facts.values.append(canonical(hash_kind(algorithm), digest))


def _walk(facts: Facts, owner: str, value: Any, place: str, known: bool) -> None:
    """Read what is nested; recursion is bounded by the limit on depth.

    `owner` is the nearest name: of a property, or of an extension. Only extensions that
    the standard itself defines (`...-ext`) have references and times that it fixes.
    """
    if type(value) is list:
        for index, item in enumerate(value):
            if type(item) is dict or type(item) is list:
                _walk(facts, owner, item, f"{place}/{index}", known)
        return
    for name, item in value.items():
        here = f"{place}{pointer(name)}"
        fixed = known and (owner[-4:] == "-ext" or owner in _PARTS)
        shape = type(item)
        if shape is str:
            if name[-4:] == "_ref":
                _edge(facts, owner, name, item, here, fixed)
            elif fixed and name in properties.TIMES:
                check_time(item, here)
            elif name in properties.WORDS:
                facts.words.append(item)
        elif shape is list and name[-5:] == "_refs":
            for index, target in enumerate(item):
                _edge(facts, owner, name, target, f"{here}/{index}", fixed)
        elif shape is dict and name[-6:] == "hashes":
            _read_hashes(facts, item)
        elif shape is list and name in properties.WORDS:
            facts.words.extend(text for text in item if type(text) is str)
        elif shape is dict or shape is list:
            _walk(facts, name, item, here, known)


# Nested parts of objects whose properties the standard fixes.
_PARTS: Final = frozenset(("body_multipart", "x509_v3_extensions"))


def _edge(
    facts: Facts, owner: str, name: str, target: Any, place: str, fixed: bool
) -> None:
    """Keep a nested reference, when it is one: local keys of a list are none."""
    if type(target) is str and is_id(target):
        if fixed:
            _check_target(owner, name, target, place)
        facts.edges.append((name, target))


def _check_target(kind: str, name: str, target: str, place: str) -> None:
    """Refuse a reference to a type that cannot stand there."""
    allowed = properties.TARGETS.get(name) or properties.TARGETS.get((kind, name))
    named = target[:-38]
    if allowed is not None and named not in allowed:
        expected = " or ".join(sorted(allowed))
        raise Refused("reference", place, shown(target), f"the id of a {expected}")
    if kind in properties.OBSERVABLES and not is_id(target):
        raise Refused("reference", place, shown(target), "an id: type--UUID")
    if named in properties.NOT_TARGETS.get((kind, name), ()):
        raise Refused(
            "reference", place, shown(target), "a domain object, not an observable"
        )
