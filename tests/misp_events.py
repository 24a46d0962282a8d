"""MISP events made up, and what becomes of them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import orjson

from serantau.wire.misp import Converted, Fate
from serantau.wire.misp_tags import TLP_IDS

ORG = {"name": "ThaiCERT", "uuid": "55f6ea5e-51ac-4344-bc8c-4170950d210f"}
EVENT = "5c8ff618-0998-4b11-89d4-39d70a016219"
GREEN, AMBER, CLEAR = (TLP_IDS[f"tlp:{name}"] for name in ("green", "amber", "clear"))


def uuid(number: int) -> str:
    return str(UUID(int=number << 80 | 0x4000_8000_0000_0000_0000, version=4))


def attribute(number: int, kind: str, value: str, **more: Any) -> dict[str, Any]:
    made = {
        "uuid": uuid(number),
        "type": kind,
        "category": "Network activity",
        "value": value,
        "to_ids": True,
        "timestamp": "1700000100",
        "distribution": "5",
        "comment": "",
    }
    return {**made, **more}


def event(**more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "uuid": EVENT,
        "info": "Phishing against ministries",
        "date": "2023-11-14",
        "timestamp": "1700000200",
        "published": False,
        "distribution": "3",
        "Orgc": ORG,
        "Attribute": [attribute(1, "ip-dst", "198.51.100.7")],
    }
    return {**made, **more}


def objects(converted: Converted) -> list[dict[str, Any]]:
    return [orjson.loads(one) for one in converted.objects]


def one(converted: Converted, kind: str) -> dict[str, Any]:
    found = [each for each in objects(converted) if each["type"] == kind]
    assert len(found) == 1, [each["type"] for each in objects(converted)]
    return found[0]


def fate(converted: Converted, kind: str) -> Fate:
    found = [each for each in converted.fates if each.kind == kind]
    assert len(found) == 1, converted.fates
    return found[0]


def marks(one: dict[str, Any]) -> set[str]:
    return set(one.get("object_marking_refs", ()))


FULL = event(
    published=True,
    publish_timestamp="1700000300",
    threat_level_id="2",
    analysis="1",
    event_creator_email="someone@example.org",
    Tag=[{"name": "tlp:green"}, {"name": 'osint:certainty="50"'}],
    Galaxy=[
        {
            "uuid": uuid(90),
            "name": "Attack Pattern",
            "type": "mitre-attack-pattern",
            "description": "ATT&CK",
            "GalaxyCluster": [
                {
                    "uuid": "a62a8db3-f23a-4d8f-afd6-9dbc77e7813b",
                    "type": "mitre-attack-pattern",
                    "value": "Spearphishing Link - T1192",
                    "tag_name": 'misp-galaxy:mitre-attack-pattern="Link - T1192"',
                    "description": "A link in a mail.",
                    "meta": {"external_id": ["T1192"]},
                }
            ],
        }
    ],
    Attribute=[
        attribute(
            1,
            "ip-dst",
            "198.51.100.7",
            comment="C2",
            Tag=[{"name": "kill-chain:c2"}],
            Sighting=[
                {
                    "uuid": uuid(70),
                    "type": "0",
                    "date_sighting": "1700000150",
                    "Organisation": {"name": "VNCERT", "uuid": uuid(71)},
                },
                {"uuid": uuid(72), "type": "1", "date_sighting": "1700000160"},
                {"uuid": uuid(73), "type": "2", "date_sighting": "1700000170"},
            ],
            Note=[
                {
                    "uuid": uuid(74),
                    "note": "seen twice",
                    "authors": "a",
                    "modified": "2023-11-14 10:00:00",
                }
            ],
            Opinion=[{"uuid": uuid(75), "opinion": "80", "comment": "likely"}],
        ),
        attribute(2, "domain", "login.example.net", to_ids=False, comment="lure"),
        attribute(3, "text", "free words", to_ids=False),
        attribute(4, "regkey", "HKCU\\Software\\Bad\\", to_ids=False),
        attribute(5, "url", "https://example.net/a'b\\c"),
        attribute(6, "filename|sha1", f"a.exe|{'ab' * 20}"),
    ],
    Object=[
        {
            "uuid": uuid(30),
            "name": "file",
            "meta-category": "file",
            "description": "File",
            "template_uuid": "688c46fb-5edb-40a3-8273-1af7923e2215",
            "template_version": "24",
            "timestamp": "1700000100",
            "comment": "the dropper",
            "Attribute": [
                attribute(31, "filename", "b.exe", object_relation="filename"),
                attribute(32, "md5", "cd" * 16, object_relation="md5", comment="odd"),
            ],
            "ObjectReference": [
                {
                    "uuid": uuid(33),
                    "referenced_uuid": uuid(2),
                    "relationship_type": "Downloaded From",
                    "timestamp": "1700000100",
                    "comment": "by the log",
                },
                {
                    "uuid": uuid(34),
                    "referenced_uuid": uuid(999),
                    "relationship_type": "related-to",
                },
            ],
        },
        {
            "uuid": uuid(40),
            "name": "our-own-form",
            "timestamp": "1700000100",
            "Attribute": [attribute(41, "text", "own", object_relation="what")],
        },
    ],
    EventReport=[
        {
            "uuid": uuid(50),
            "name": "Summary",
            "content": f"see @[attribute]({uuid(1)})",
            "timestamp": "1700000100",
        }
    ],
)


def cluster(kind: str, value: str, **more: Any) -> dict[str, Any]:
    inner = {"uuid": uuid(91), "type": kind, "value": value, "description": "d"}
    return {
        "uuid": uuid(90),
        "name": kind.title(),
        "type": kind,
        "description": "d",
        "GalaxyCluster": [{**inner, **more}],
    }
