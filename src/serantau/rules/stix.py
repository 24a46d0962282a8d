"""An object version of STIX 2.1: checked, identified, and read once.

`Reader.read` takes bytes and gives an `ObjectVersion`, or says what is wrong with them.
The steps, each in code with its number; the first that fails ends it:

1. the text is JSON within the limits (`jsontext`);
2. it is an object with a type and an id that fit each other, of STIX 2.1;
3. it fits the OASIS schema of its type, or of the core where the type is unknown;
4. its times exist and stand in order; its references name what they may name;
5. the id of an observable, or of a case's entry, is the one that its content makes;
6. its markings mark what is there, and not themselves;
7. its pattern parses; its languages are languages.

What is not understood is kept: the body is the text as it came.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final

from serantau.rules import facts, indicator, properties
from serantau.rules.case_entry import check_entry, is_entry
from serantau.rules.case_schema import NAME as CASE_ENTRY
from serantau.rules.facts import Gatherer
from serantau.rules.jsontext import Limits, over, read_json
from serantau.rules.marking import well_known
from serantau.rules.redaction import derive
from serantau.rules.refusal import Refused, pointer, shown
from serantau.rules.schema import CORE, OBSERVABLE_CORE, Schemas
from serantau.rules.sco import is_deterministic, sco_id
from serantau.rules.selector import path_of
from serantau.rules.text import fold

__all__ = ["Limits", "ObjectVersion", "Reader", "Refused", "id_key", "sco_id"]

_is_type: Final = re.compile(r"[a-z](?=.{2,249}\Z)[a-z0-9]*(?:-[a-z0-9]+)*-?").fullmatch
_NAME_LENGTH: Final = 200
_EMPTY: Final = blake2b(digest_size=8)
_tlp: Final = lru_cache(maxsize=1024)(well_known)
_FINEST_VERSION: Final = len("2026-01-31T08:00:00.000000Z")


@dataclass(slots=True)
class ObjectVersion:
    """One version of one object, and everything that is ever asked of it.

    key: `id_key` of the id. created, modified: instants; an object without them is
    `unversioned`, its `modified` is `created` or 0. version: the exact text of
    `modified`, else of `created`, else empty (TAXII 2.1 §3.4 tells versions apart by
    it). creator: `created_by_ref` or empty. name: short text for a person. body: the
    JSON text as it came, without white space between tokens. marking_refs:
    `object_marking_refs`. granular_refs: what parts are marked with. has_tlp: a TLP
    marking is among `marking_refs`. edges: (property, id) of every reference. values:
    (kind, value) to correlate by. text: folded words to search in. data: the object.
    redacted: derived here by `Reader.redact`; then `granular_refs` is what the parts
    that were left out were marked with. examined: what was found of its signature
    (`rules.signature.Examined`), as plain texts; empty when nobody looked.
    """

    id: str
    type: str
    key: int
    created: int | None
    modified: int
    version: str
    creator: str
    revoked: bool
    name: str
    body: bytes
    marking_refs: tuple[str, ...]
    granular_refs: tuple[str, ...]
    has_tlp: bool
    edges: tuple[tuple[str, str], ...]
    values: tuple[tuple[str, str], ...]
    text: str
    unversioned: bool
    data: dict[str, Any]
    redacted: bool = False
    examined: tuple[str, str, str] = ("", "", "")


def id_key(object_id: str) -> int:
    """Give the signed 64-bit number under which an id is indexed (BLAKE2b)."""
    digest = _EMPTY.copy()
    digest.update(object_id.encode())
    return int.from_bytes(digest.digest(), "big", signed=True)


class Reader:
    """Reads objects under limits and schemas. Stateless but for compiled schemas."""

    def __init__(self, limits: Limits, schemas: Mapping[str, bytes]) -> None:
        """Take the limits, and the schemas' texts by name (`wire.schemas`)."""
        self._limits = limits
        self._schemas = Schemas(schemas)
        self._gatherer = Gatherer()

    def read(self, raw: bytes) -> ObjectVersion:
        """Check one object's JSON text and read it.

        Raises:
            Refused: the first finding.
        """
        data, body = read_json(raw, self._limits)  # 1
        kind, object_id = _header(data, self._schemas.types)  # 2
        schema = self._schemas.types.get(kind)
        known = schema is not None
        if schema is None:
            schema = CASE_ENTRY if is_entry(data) else _core_of(data)
        self._schemas.check(schema, data)  # 3
        timed = schema is not OBSERVABLE_CORE and kind not in properties.OBSERVABLES
        created = modified = None
        version = creator = ""
        if timed:  # 4
            created, modified = _times(data)
            version = data.get("modified") or data["created"]
            creator = data.get("created_by_ref", "")
        if kind in properties.ORDERED_TIMES:
            _check_order(data, kind)
        edges, values, words = self._gatherer.gather(data, known=known)
        if known and not timed and is_deterministic(object_id):  # 5
            _check_sco_id(data, object_id)
        elif schema is CASE_ENTRY:
            check_entry(data)
        marking_refs = tuple(data.get("object_marking_refs", ()))
        granular_refs: tuple[str, ...] = ()
        if "granular_markings" in data:  # 6
            granular_refs = tuple(_granular_refs(data))
        if object_id in marking_refs or object_id in granular_refs:
            raise Refused(
                "circular-marking", "", "a marking that marks itself", "another's id"
            )
        if kind == "indicator":  # 7
            values.extend(self._pattern_values(data, words))
        elif kind == "language-content":
            words.extend(_translations(data["contents"]))
        if timed and "lang" in data:
            _check_language(data["lang"], "/lang")
        if values:
            if len(values) > 1:
                values = list(dict.fromkeys(values))
            words.extend([value for _, value in values])
        return ObjectVersion(
            object_id,
            kind,
            id_key(object_id),
            created,
            modified or created or 0,
            version,
            creator,
            data.get("revoked") is True,
            _name(data, kind, values),
            body,
            marking_refs,
            granular_refs,
            any(map(_tlp, marking_refs)),
            tuple(edges),
            tuple(values),
            fold("\n".join(words)),
            modified is None,
            data,
        )

    def redact(self, version: ObjectVersion, identity: str) -> list[ObjectVersion]:
        """Derive an object without the parts that carry granular markings.

        Gives the derived object and the relationship that says what it is derived from,
        made by `identity`; nothing where the object cannot be derived from (see
        `redaction.derive`) or is none without these parts.
        """
        try:
            derived = [self.read(body) for body in derive(version.body, identity)]
        except Refused:
            return []
        for each in derived:
            each.redacted = True
            each.granular_refs = version.granular_refs
        return derived

    def _pattern_values(
        self, data: dict[str, Any], words: list[str]
    ) -> tuple[tuple[str, str], ...]:
        """Parse a STIX pattern; other languages are kept as words to search in."""
        pattern = data["pattern"]
        size = len(pattern)
        if size > self._limits.pattern_bytes:
            raise over("pattern_bytes", size, self._limits.pattern_bytes, "characters")
        if data["pattern_type"] != "stix":
            words.append(pattern)
            return ()
        try:
            return indicator.values_of(pattern)
        except indicator.PatternError as error:
            near = shown(pattern[max(error.position - 20, 0) : error.position + 20])
            raise Refused(
                "pattern",
                "/pattern",
                f"{near} at character {error.position + 1}",
                error.message.removeprefix("expected "),
            ) from None


def _header(data: Any, types: Mapping[str, str]) -> tuple[str, str]:
    """Find type and id, and that this is STIX 2.1 at all."""
    if type(data) is not dict:
        raise Refused("object", "", shown(data), "a JSON object")
    kind, object_id = data.get("type"), data.get("id")
    if type(kind) is not str or (kind not in types and _is_type(kind) is None):
        raise Refused("type", "/type", shown(kind), "the name of a STIX type")
    if kind == "bundle":
        raise Refused("type", "/type", "a bundle", "an object: load what is in it")
    # The schema of the type says whether what follows the hyphens is a UUID.
    if type(object_id) is not str or object_id[:-36] != f"{kind}--":
        raise Refused("id", "/id", shown(object_id), f"{kind}--UUID (STIX 2.1 §2.9)")
    version = data.get("spec_version")
    if version != "2.1" and (
        version is not None
        or ("created" in data and kind not in properties.OBSERVABLES)
    ):
        # STIX 2.0 objects carry no spec_version of their own: the bundle had it.
        raise Refused(
            "spec-version",
            "/spec_version",
            shown(version) if version is not None else "none, as in STIX 2.0",
            "2.1: convert it first, for example with stix2-elevator",
        )
    return kind, object_id


def _core_of(data: dict[str, Any]) -> str:
    """Choose the schema of the common properties for a type that is not STIX's own."""
    extensions = data.get("extensions")
    if type(extensions) is dict:
        for extension in extensions.values():
            if type(extension) is dict and extension.get("extension_type") == "new-sco":
                return OBSERVABLE_CORE
    # STIX 2.1 §11.2: a custom object has the common properties of its category; only
    # observables go without times.
    return CORE if "created" in data or "modified" in data else OBSERVABLE_CORE


def _times(data: dict[str, Any]) -> tuple[int, int | None]:
    """Read created and modified; a marking definition has no modified (§7.2.1)."""
    text = data["created"]
    created = facts.check_time(text, "/created")
    later = data.get("modified")
    if later is None:
        return created, None
    if len(later) > _FINEST_VERSION:
        # Two versions within a microsecond could not be told apart.
        raise Refused(
            "time", "/modified", shown(later), "at most six digits of a second"
        )
    if later == text:
        return created, created
    modified = facts.check_time(later, "/modified")
    if modified < created:
        raise Refused(
            "time-order", "/modified", later, f"no earlier than created {text}"
        )
    return created, modified


def _check_order(data: dict[str, Any], kind: str) -> None:
    """Hold the pairs of times of which the standard says which is the earlier."""
    for first, then, equal in properties.ORDERED_TIMES[kind]:
        early, late = data.get(first), data.get(then)
        # Times of one length are written alike: then their texts are in their order.
        if not early or not late or (len(early) == len(late) and early < late):
            continue
        start = facts.check_time(early, f"/{first}")
        end = facts.check_time(late, f"/{then}")
        if end < start or (end == start and not equal):
            words = "no earlier than" if equal else "later than"
            raise Refused("time-order", f"/{then}", late, f"{words} {first} {early}")


def _check_sco_id(data: dict[str, Any], object_id: str) -> None:
    expected = sco_id(data)
    if expected is not None and expected != object_id.lower():
        raise Refused(
            "sco-id",
            "/id",
            object_id,
            f"{expected}, made of the content (STIX 2.1 §2.9), or a UUIDv4",
        )


def _granular_refs(data: dict[str, Any]) -> Iterator[str]:
    """Give each marking that parts of the object carry, once."""
    seen = set()
    for index, marked in enumerate(data["granular_markings"]):
        place = pointer("granular_markings", index)
        # STIX 2.1 §7.2.3.1: exactly one of them.
        if ("lang" in marked) == ("marking_ref" in marked):
            got = "both" if "lang" in marked else "neither"
            raise Refused("granular-marking", place, got, "one of lang and marking_ref")
        for number, selector in enumerate(marked["selectors"]):
            if not path_of(data, selector):
                raise Refused(
                    "selector",
                    f"{place}/selectors/{number}",
                    shown(selector),
                    "the path of something that is in the object",
                )
        if "lang" in marked:
            _check_language(marked["lang"], f"{place}/lang")
        elif marked["marking_ref"] not in seen:
            seen.add(marked["marking_ref"])
            yield marked["marking_ref"]


def _translations(contents: dict[str, Any]) -> Iterator[str]:
    """Give the texts of a language-content object (STIX 2.1 §7.1)."""
    for language, fields in contents.items():
        place = pointer("contents", language)
        _check_language(language, place)
        if type(fields) is not dict or not fields:
            raise Refused(
                "language", place, shown(fields), "properties and their texts"
            )
        yield from _texts(fields)


def _texts(value: Any) -> Iterator[str]:
    if type(value) is str:
        yield value
    elif type(value) is dict or type(value) is list:
        for item in value.values() if type(value) is dict else value:
            yield from _texts(item)


def _check_language(tag: str, place: str) -> None:
    if facts.is_language(tag) is None:
        raise Refused(
            "language",
            place,
            shown(tag),
            "a language tag such as th or zh-Hans (RFC 5646)",
        )


def _name(data: dict[str, Any], kind: str, values: list[tuple[str, str]]) -> str:
    """Give the short text by which a person knows the object."""
    return called(data, kind) or (values[0][1] if values else kind)


def called(data: dict[str, Any], kind: str) -> str:
    """Give what an object of a kind calls itself, in short; empty when it does not."""
    for name in properties.NAMES_OF.get(kind, properties.NAMES):
        text = data.get(name)
        if text is None or text == "":
            continue
        if type(text) is str and len(text) <= _NAME_LENGTH and text.isprintable():
            return text
        return " ".join(str(text)[:_NAME_LENGTH].split())
    return ""
