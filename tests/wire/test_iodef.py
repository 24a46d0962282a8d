"""IODEF: each kind of evidence stands where RFC 7970 has a place for it."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from cases import START, Log
from keys import identity
from serantau.desk.case_paper import values_in
from serantau.rules.case_entry import Kind
from serantau.rules.level import Tlp
from serantau.wire.iodef import NAMESPACE, Told, iodef

AT = "2026-03-01T00:00:00.000Z"
SEEN: list[dict[str, Any]] = [
    {"type": "ipv4-addr", "value": "198.51.100.3"},
    {"type": "ipv4-addr", "value": "198.51.100.0/24"},
    {"type": "ipv6-addr", "value": "2001:db8::1"},
    {"type": "ipv6-addr", "value": "not an address"},
    {"type": "domain-name", "value": "a.example"},
    {"type": "url", "value": "http://a.example/?a=1&b=<2>"},
    {"type": "email-addr", "value": "a@a.example"},
    {"type": "mac-addr", "value": "02:00:00:00:00:01"},
    {"type": "autonomous-system", "number": 64500},
    {"type": "file", "name": "a.exe", "hashes": {"SHA-256": "ab" * 32}},
    {"type": "malware", "name": "Poison"},
]
PATTERNS = [
    "[domain-name:value = 'b.example' AND ipv4-addr:value = '203.0.113.9']",
    "[file:hashes.MD5 = '" + "cd" * 16 + "']",
    "[mutex:name = 'held']",
    "[process:pid = 5]",
    "[nonsense",
]


def told(log: Log, objects: list[dict[str, Any]], **more: Any) -> ElementTree.Element:
    made = iodef(
        Told(
            case=log.case,
            objects=[(one, Tlp.GREEN) for one in objects],
            names={identity("sg"): "Singapore (sg)"},
            cards={},
            team="ThaiCERT",
            site="cert.example",
            at=START,
            values=values_in,
            **more,
        )
    )
    return ElementTree.fromstring(made)  # noqa: S314 - it is our own


def texts(root: ElementTree.Element, path: str) -> list[str]:
    names = "/".join(f"{{{NAMESPACE}}}{name}" for name in path.split("/"))
    return [one.text or "" for one in root.findall(names)]


def test_each_kind_of_value_stands_in_its_class() -> None:
    log = Log.opened("th", "sg", incident_class="fraud:phishing", severity_level="low")
    seen = [{**one, "id": f"x--{n}"} for n, one in enumerate(SEEN)]
    rules = [
        {"type": "indicator", "id": f"indicator--{n}", "pattern": text,
         "confidence": 80, "valid_from": AT, "valid_until": AT, "modified": AT}
        for n, text in enumerate(PATTERNS)
    ]  # fmt: skip
    snort = {"type": "indicator", "id": "indicator--s", "pattern_type": "snort"}
    root = told(log, [*seen, *rules, snort], realm="exercise:x")
    node = "Incident/EventData/Flow/System/Node"
    categories = [
        one.attrib["category"] for one in root.iter(f"{{{NAMESPACE}}}Address")
    ]
    assert categories == [
        *("ipv4-addr", "ipv4-net", "ipv6-addr", "ipv6-addr", "site-uri", "e-mail"),
        *("mac", "asn", "ipv4-addr"),
    ]
    assert texts(root, f"{node}/DomainData/Name") == ["a.example"]
    assert "http://a.example/?a=1&b=<2>" in texts(root, f"{node}/Address")
    assert "ab" * 32 in texts(root, "Incident/EventData/AdditionalData")
    inside = "Incident/IndicatorData/Indicator"
    assert texts(root, f"{inside}/Observable/DomainData/Name") == ["b.example"]
    hashes = texts(root, f"{inside}/Observable/BulkObservable/BulkObservableList")
    assert hashes == ["cd" * 16]
    # No pattern is lost, also when nothing of it has a class.
    assert texts(root, f"{inside}/AdditionalData")[-4:] == [*PATTERNS[2:], ""]
    ids = texts(root, f"{inside}/IndicatorID")
    assert len({*ids}) == len(ids) == 7
    assert texts(root, "Incident/Assessment/IncidentCategory") == ["fraud:phishing"]
    assert "exercise:x" in texts(root, "Incident/AdditionalData")[-1]


def test_the_status_follows_the_case() -> None:
    log = Log.opened("th", "sg")
    assert told(log, [])[0].attrib["status"] == "new"
    log.say("sg", Kind.ACKNOWLEDGED)
    log.say("sg", Kind.CLOSED)
    root = told(log, [])
    assert root[0].attrib["status"] == "in-progress"
    assert (
        "flagged: not-owner"
        in texts(root, "Incident/History/HistoryItem/Description")[-1]
    )
    log.say("th", Kind.CLOSED)
    root = told(log, [])
    assert root[0].attrib["status"] == "resolved"
    assert len(texts(root, "Incident/EndTime")) == 1
