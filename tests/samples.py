"""Small STIX objects for tests: each is right until a test spoils it."""

from __future__ import annotations

import json
import uuid
from typing import Any

from serantau.rules.stix import Limits, ObjectVersion, Reader, Refused
from serantau.wire.schemas import load_schemas

SCHEMAS = load_schemas()
AT = "2026-03-01T00:00:00.000Z"
LATER = "2026-03-02T00:00:00.000Z"
TLP_AMBER = "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421"
READER = Reader(Limits(), SCHEMAS)

# What a type needs besides what all have.
NEEDED: dict[str, dict[str, Any]] = {
    "attack-pattern": {"name": "Spearphishing"},
    "campaign": {"name": "Green Group attacks"},
    "course-of-action": {"name": "Block it"},
    "grouping": {"context": "suspicious-activity", "object_refs": ["IDENTITY"]},
    "identity": {"name": "ThaiCERT"},
    "incident": {"name": "Outage"},
    "indicator": {
        "pattern": "[domain-name:value = 'bad.example']",
        "pattern_type": "stix",
        "valid_from": AT,
    },
    "infrastructure": {"name": "C2"},
    "intrusion-set": {"name": "Bobcat"},
    "location": {"country": "th"},
    "malware": {"is_family": True, "name": "Poison"},
    "malware-analysis": {"product": "av", "result": "malicious"},
    "note": {"content": "seen", "object_refs": ["IDENTITY"]},
    "observed-data": {
        "first_observed": AT,
        "last_observed": AT,
        "number_observed": 1,
        "object_refs": ["ipv4-addr--ff26c055-6336-5bc5-b98d-13d6226742dd"],
    },
    "opinion": {"opinion": "agree", "object_refs": ["IDENTITY"]},
    "relationship": {
        "relationship_type": "related-to",
        "source_ref": "IDENTITY",
        "target_ref": "IDENTITY",
    },
    "report": {"name": "r", "published": AT, "object_refs": ["IDENTITY"]},
    "sighting": {"sighting_of_ref": "IDENTITY"},
    "threat-actor": {"name": "Evil"},
    "tool": {"name": "VNC"},
    "vulnerability": {"name": "CVE-2026-0001"},
    "language-content": {
        "object_ref": "IDENTITY",
        "object_modified": AT,
        "contents": {"th": {"name": "ไทยเซิร์ต"}},
    },
    "extension-definition": {
        "name": "e",
        "schema": "https://example.org",
        "version": "1.0",
        "extension_types": ["property-extension"],
    },
}
IDENTITY = "identity--4ff5b0a5-8a5f-4b2e-9b0e-0b8a3f0f4b11"


def made(kind: str, /, **more: Any) -> dict[str, Any]:
    """Make an object of a type; a value of None takes the property out."""
    whole = {
        "type": kind,
        "spec_version": "2.1",
        "id": f"{kind}--{uuid.uuid4()}",
        "created": AT,
        "modified": AT,
        **NEEDED.get(kind, {}),
    }
    whole = {
        name: IDENTITY
        if value == "IDENTITY"
        else [IDENTITY]
        if value == ["IDENTITY"]
        else value
        for name, value in whole.items()
    }
    return {name: value for name, value in (whole | more).items() if value is not None}


def observable(kind: str, /, **more: Any) -> dict[str, Any]:
    """Make a cyber-observable object with a random id, unless one is given."""
    return {"type": kind, "id": f"{kind}--{uuid.uuid4()}", **more}


def read(data: Any) -> ObjectVersion:
    """Read an object as it would arrive."""
    return READER.read(json.dumps(data).encode())


def refusal(data: Any) -> Refused:
    """Give the finding for an object, which there must be."""
    try:
        read(data)
    except Refused as found:
        return found
    raise AssertionError(f"admitted: {data}")
