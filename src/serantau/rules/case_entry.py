"""One entry of a case: how it is written, marked, named, and read.

An entry is a STIX object of our own type. Its id is made of its content, so that naming
an entry is naming exactly what it says: nobody can put another text under an id that
others refer to, and a chain of entries cannot be rewritten. An entry is never changed;
a correction is another entry.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

import msgspec

from serantau import typed
from serantau.clock import stix_text
from serantau.rules.canonical import agreed
from serantau.rules.facts import check_time
from serantau.rules.level import Tlp
from serantau.rules.marking import DECLARED, DECLARED_BY, TLP_2_IDS, make_audience
from serantau.rules.refusal import Refused, shown
from serantau.rules.signature import unsigned

TYPE: Final = "case-entry"
ENTRY_EXTENSION: Final = "extension-definition--567829d1-02ea-4b19-81ee-04bb5922950e"
LEVELS: Final = (Tlp.CLEAR, Tlp.GREEN, Tlp.AMBER, Tlp.AMBER_STRICT)
"""What a case may be marked with: TLP:RED never goes by machine."""
MOST_REFERENCES: Final = 256
_CIRCLES: Final = uuid.UUID("f2a03448-127a-41f0-83ff-ae546793bda8")


class Kind(StrEnum):
    """What an entry says. A kind that is not listed here is kept and has no effect."""

    OPENED = "opened"
    INVITED = "invited"
    ACKNOWLEDGED = "acknowledged"
    OWNER = "owner"
    HANDED_OVER = "handed-over"
    TASK = "task"
    ASSESSMENT = "assessment"
    EVIDENCE = "evidence"
    EMBARGO = "embargo"
    ASKED = "assistance-asked"
    ACCEPTED = "assistance-accepted"
    DECLINED = "assistance-declined"
    REFERRED = "assistance-referred"
    CLOSED = "closed"
    REOPENED = "reopened"
    CORRECTION = "correction"
    REMINDER = "reminder"
    PAGE = "page"


class Entry(msgspec.Struct, frozen=True, gc=False):
    """An entry as the fold reads it; its properties are those of the object.

    id: made of the content. created_by_ref: the identity of the party that wrote it.
    created: the author's time, always written alike, so that texts sort as times.
    kind: what it says. case_ref: the entry that opened the case; empty in that one.
    previous_ref: the author's entry before; empty in its first. after_refs: entries of
    others that the author had seen. about_ref: the entry that it is about. for_ref:
    the party that it speaks for when that takes part by mail; then mail_signature says
    how it stood with the mail's signature. party_ref, party_refs: whom it names. The
    others are what single kinds say; `case_schema` has them by kind.
    """

    id: str
    created_by_ref: str
    created: str
    kind: str
    case_ref: str = ""
    previous_ref: str = ""
    about_ref: str = ""
    for_ref: str = ""
    party_ref: str = ""
    after_refs: tuple[str, ...] = ()
    party_refs: tuple[str, ...] = ()
    object_refs: tuple[str, ...] = ()
    mail_signature: str = ""
    object_marking_refs: tuple[str, ...] = ()
    by_mail: bool = False
    name: str = ""
    description: str = ""
    severity_level: str = ""
    incident_class: str = ""
    national_class: str = ""
    stance: str = ""
    step: str = ""
    state: str = ""
    due: str = ""
    until: str = ""
    limits: str = ""
    languages: tuple[str, ...] = ()
    clock: str = ""
    channel: str = ""

    @property
    def case(self) -> str:
        """Give the id of the case: that of the entry that opened it."""
        return self.case_ref or self.id

    @property
    def voice(self) -> str:
        """Give the party that says it."""
        return self.for_ref or self.created_by_ref

    @property
    def level(self) -> Tlp:
        """Give its TLP level: the STIX reader admits only one that has one."""
        marks = self.object_marking_refs
        return next(level for level in LEVELS if TLP_2_IDS[level] in marks)


_entry: Final = typed.reader(Entry)


def read_entry(body: bytes) -> Entry:
    """Read an entry out of an object's JSON text that the STIX reader has checked."""
    return _entry(body)


def is_entry(data: Mapping[str, Any]) -> bool:
    """Say whether an object is an entry of ours, and no other maker's type."""
    extensions = data.get("extensions")
    return (
        data.get("type") == TYPE
        and type(extensions) is dict
        and ENTRY_EXTENSION in extensions
    )


def circle_of(case: str) -> str:
    """Give the id of a case's circle.

    It is made of the case's id. Were it free, whoever opens a case could name a circle
    that others use for something else, and invite into that.
    """
    return f"circle--{uuid.uuid5(_CIRCLES, case)}"


def audience_of(case: str) -> dict[str, Any]:
    """Give the audience marking of a case: its circle, whoever is in it by then."""
    return make_audience(circles=[circle_of(case)])


def make_entry(
    kind: Kind,
    said: Mapping[str, Any],
    *,
    author: str,
    at: int,
    level: Tlp,
    case: str = "",
    previous: str = "",
    after: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Write an entry, not signed yet.

    Args:
        kind: what it says.
        said: the properties of that kind; empty ones are left out.
        author: the identity that writes it.
        at: when, as an instant.
        level: the TLP level of the case.
        case: the entry that opened the case; without it this one opens one, and `said`
            has to hold a `nonce`.
        previous: the author's entry before.
        after: others' entries that the author has seen, and nothing has followed yet.

    Raises:
        ValueError: a level that no case can have.
    """
    if level not in LEVELS:
        raise ValueError(f"got {level.label}, expected TLP:AMBER+STRICT or lower")
    when = stix_text(at)
    links = {
        "case_ref": case,
        "previous_ref": previous,
        "after_refs": sorted(after)[:MOST_REFERENCES],
    }
    made: dict[str, Any] = {
        "type": TYPE,
        "spec_version": "2.1",
        "created_by_ref": author,
        "created": when,
        "modified": when,
        "kind": kind.value,
        **{name: value for name, value in (links | dict(said)).items() if value},
        "extensions": {ENTRY_EXTENSION: {"extension_type": "new-sdo"}},
    }
    made["object_marking_refs"] = [TLP_2_IDS[level]]
    name = entry_id(made)
    marks = [TLP_2_IDS[level], audience_of(case or name)["id"]]
    return {**made, "id": name, "object_marking_refs": marks}


def entry_id(data: Mapping[str, Any], audience: str = "") -> str:
    """Give the id that an entry has by what it says.

    It is made of the canonical text without the id, the signature and the audience of
    its own case, which is made of an id itself: 122 bits of its SHA-256.

    Raises:
        ValueError: it has no canonical text that all readers read alike.
    """
    bare = unsigned(data)
    bare.pop("id", None)
    marks = bare["object_marking_refs"]
    bare["object_marking_refs"] = sorted(each for each in marks if each != audience)
    digest = hashlib.sha256(agreed(bare)).digest()[:16]
    return f"{TYPE}--{uuid.UUID(bytes=digest, version=4)}"


def check_entry(data: Mapping[str, Any]) -> None:
    """Hold an entry that fits its schema against what no schema can say.

    1. It is never changed: its version is its first.
    2. Its id is the one of its content.
    3. It is marked with the audience of its own case and with one TLP level, below RED;
       further markings only restrict.
    4. The times that it names exist.

    Raises:
        Refused: the first finding.
    """
    if data["modified"] != data["created"]:  # 1
        raise Refused(
            "entry-changed",
            "/modified",
            data["modified"],
            f"{data['created']}: an entry is never changed, only corrected by another",
        )
    audience = audience_of(data.get("case_ref", data["id"]))["id"]
    try:
        expected = entry_id(data, audience)
    except ValueError as fault:
        raise Refused("entry-id", "", str(fault), "a canonical text") from None
    if data["id"] != expected:  # 2
        raise Refused(
            "entry-id", "/id", shown(data["id"]), f"{expected}, made of the content"
        )
    marks = data["object_marking_refs"]
    if audience not in marks:  # 3
        raise Refused(
            "entry-audience",
            "/object_marking_refs",
            "another audience",
            f"{audience}, the audience of its case",
        )
    if len([each for each in marks if each in _MARKS]) != 1:
        raise Refused(
            "entry-level",
            "/object_marking_refs",
            shown(marks),
            "exactly one TLP 2.0 level, and no TLP:RED, which never goes by machine",
        )
    for name in ("due", "until"):  # 4
        if name in data:
            check_time(data[name], f"/{name}")


_MARKS: Final = frozenset(TLP_2_IDS[level] for level in LEVELS)


def case_extension_object() -> dict[str, Any]:
    """Give the definition of the extension by which entries are our own type."""
    return {
        "type": "extension-definition",
        "id": ENTRY_EXTENSION,
        **DECLARED,
        "created_by_ref": DECLARED_BY,
        "name": "Case entry",
        "description": "One statement in the log of a case that several parties share.",
        "schema": (
            "A new-sdo, type case-entry. 'kind' says what it tells; 'case_ref' names "
            "the entry that opened the case, 'previous_ref' the author's entry before, "
            "'after_refs' what the author had seen of others. The id's UUID is of "
            "version 4 over the first 16 bytes of the SHA-256 of the RFC 8785 text "
            "without id and signature, its object_marking_refs sorted and without the "
            "audience of its case. It is never versioned. "
            "docs/cases.md has the properties by kind."
        ),
        "version": "1.0",
        "extension_types": ["new-sdo"],
    }
