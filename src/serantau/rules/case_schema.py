"""What an entry of a case must look like: a JSON schema, made of a table by kind.

A kind that is not listed may say what it likes within the types: what a newer node
writes is kept and passed on here, and has no effect.
"""

from __future__ import annotations

from typing import Any, Final

from serantau.rules.case_entry import ENTRY_EXTENSION, MOST_REFERENCES, Kind

NAME: Final = "serantau/case-entry"
SEVERITIES: Final = ("baseline", "low", "medium", "high", "severe", "emergency")
STANCES: Final = ("valid", "invalid", "accepted", "deferred", "closed")
STEPS: Final = ("propose", "accept", "reject", "revise", "exit")
TASK_STATES: Final = ("open", "doing", "done", "dropped")
SIGNATURES: Final = ("good", "bad", "none")
_UUID: Final = (
    r"[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
)
_ENTRY: Final = {"type": "string", "pattern": f"^case-entry--{_UUID}$"}
_PARTY: Final = {"type": "string", "pattern": f"^identity--{_UUID}$"}
# One way to write a time, so that times sort as texts.
_TIME: Final = {
    "type": "string",
    "pattern": r"^[0-9]{4}-(0[1-9]|1[012])-(0[1-9]|[12][0-9]|3[01])"
    r"T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{3}Z$",
}
_SHORT: Final = {"type": "string", "minLength": 1, "maxLength": 300}
_WORD: Final = {"type": "string", "minLength": 1, "maxLength": 100}
_LONG: Final = {"type": "string", "minLength": 1, "maxLength": 20_000}


def _listed(item: dict[str, Any], most: int) -> dict[str, Any]:
    return {"type": "array", "items": item, "maxItems": most, "uniqueItems": True}


def _one_of(words: tuple[str, ...]) -> dict[str, Any]:
    return {"type": "string", "enum": list(words)}


PROPERTIES: Final[dict[str, dict[str, Any]]] = {
    "type": {"type": "string", "enum": ["case-entry"]},
    "id": _ENTRY,
    "created": _TIME,
    "modified": _TIME,
    "created_by_ref": _PARTY,
    "kind": {"type": "string", "pattern": "^[a-z][a-z0-9-]{2,63}$"},
    "case_ref": _ENTRY,
    "previous_ref": _ENTRY,
    "about_ref": _ENTRY,
    "after_refs": _listed(_ENTRY, MOST_REFERENCES),
    "for_ref": _PARTY,
    "mail_signature": _one_of(SIGNATURES),
    "party_ref": _PARTY,
    "party_refs": _listed(_PARTY, MOST_REFERENCES),
    "object_refs": _listed({"type": "string", "maxLength": 300}, 1000),
    "by_mail": {"type": "boolean"},
    "name": _SHORT,
    "description": _LONG,
    "severity_level": _one_of(SEVERITIES),
    "incident_class": _WORD,
    "national_class": _WORD,
    "stance": _one_of(STANCES),
    "step": _one_of(STEPS),
    "state": _one_of(TASK_STATES),
    "due": _TIME,
    "until": _TIME,
    "limits": _LONG,
    "languages": _listed(_WORD, 30),
    "clock": _WORD,
    "channel": _WORD,
    "nonce": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
    "revoked": {"type": "boolean", "enum": [False]},
}
"""The properties of entries, whatever their kind."""

NEEDED: Final[dict[Kind, tuple[tuple[str, ...], ...]]] = {
    Kind.OPENED: (("name",),),
    Kind.INVITED: (("party_ref",),),
    Kind.ACKNOWLEDGED: ((),),
    Kind.OWNER: ((),),
    Kind.HANDED_OVER: (("party_ref",),),
    Kind.TASK: (("name",), ("about_ref", "state")),
    Kind.ASSESSMENT: (
        *(("stance",), ("severity_level",), ("description",)),
        *(("incident_class",), ("national_class",)),
    ),
    Kind.EVIDENCE: (("object_refs",),),
    Kind.EMBARGO: (("step",),),
    Kind.ASKED: (("name", "party_refs"),),
    Kind.ACCEPTED: (("about_ref",),),
    Kind.DECLINED: (("about_ref", "description"),),
    Kind.REFERRED: (("about_ref", "party_ref"),),
    Kind.CLOSED: ((),),
    Kind.REOPENED: ((),),
    Kind.CORRECTION: (("about_ref", "name"), ("about_ref", "description")),
    Kind.REMINDER: (("party_ref", "clock"),),
    Kind.PAGE: (("party_ref", "clock", "channel"),),
}
"""What each kind cannot do without: one of several sets of properties."""


def _of_kind(kind: Kind) -> dict[str, Any]:
    links = "nonce" if kind is Kind.OPENED else "case_ref"
    sets = [{"required": [*names, links]} for names in NEEDED[kind]]
    then: dict[str, Any] = sets[0] if len(sets) == 1 else {"anyOf": sets}
    if kind is Kind.OPENED:
        names = ("case_ref", "previous_ref", "after_refs", "about_ref", "for_ref")
        then = {**then, "properties": dict.fromkeys(names, False)}
    return {
        "if": {"properties": {"kind": {"const": kind.value}}, "required": ["kind"]},
        "then": then,
    }


def case_schema() -> dict[str, Any]:
    """Give the schema; it refers to those of OASIS by the paths that they use."""
    return {
        "$id": "http://raw.githubusercontent.com/oasis-open/cti-stix2-json-schemas"
        "/stix2.1/schemas/serantau/case-entry.json",
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "allOf": [
            {"$ref": "../common/core.json"},
            {
                "properties": {
                    **PROPERTIES,
                    # Parts of an entry cannot be withheld: its id says all of it.
                    "granular_markings": False,
                    "extensions": {"required": [ENTRY_EXTENSION]},
                },
                "required": [
                    *("created", "modified", "created_by_ref"),
                    *("kind", "object_marking_refs"),
                ],
                "dependentRequired": {"mail_signature": ["for_ref"]},
            },
            {
                "anyOf": [
                    {"required": ["case_ref"]},
                    {"properties": {"kind": {"const": "opened"}}},
                ]
            },
            *map(_of_kind, Kind),
        ],
    }
