"""A case as IODEF version 2 (RFC 7970), for those who take incidents in that form.

It is made of what was released. What IODEF has no place for stands as `AdditionalData`,
with the id of the object that it is of.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any, Final
from xml.etree import ElementTree

from serantau.clock import stix_text
from serantau.rules.card import Card, Duty
from serantau.rules.case import Case, Line
from serantau.rules.case_entry import Kind
from serantau.rules.level import Tlp
from serantau.rules.text import HASH_KINDS

NAMESPACE: Final = "urn:ietf:params:xml:ns:iodef-2.0"
# RFC 7970 §3.3.1. IODEF knows TLP 1 only; its need-to-know is what AMBER+STRICT says:
# within the organisation, for those who need it.
RESTRICTIONS: Final[Mapping[Tlp, str]] = {
    Tlp.CLEAR: "white",
    Tlp.GREEN: "green",
    Tlp.AMBER: "amber",
    Tlp.AMBER_STRICT: "need-to-know",
    Tlp.RED: "red",
}
"""The restriction attribute by TLP level."""
SEVERITIES: Final[Mapping[str, str]] = {
    "": "unknown",
    "baseline": "none",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "severe": "high",
    "emergency": "high",
}
"""The severity of BusinessImpact by a case's."""
_TRIAGE: Final = frozenset({Kind.ACKNOWLEDGED, Kind.ASSESSMENT})
# XML 1.0 §2.2: what no document can hold; and what turns the order of letters.
_UNFIT: Final = re.compile(
    "[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
    "|[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)
_DUTIES: Final = {Duty.TECHNICAL: "tech", Duty.ALWAYS: "irt"}

Values = Callable[[Mapping[str, Any]], Sequence[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class Told:
    """What a document is made of, all of it released to who gets it.

    case: its entries. objects: that are evidence, in order, each with its TLP level.
    names: of parties, by identity. cards: of people and desks, by the identity of their
    party. team: who makes the document. site: what its ids are unique in, such as a
    domain name. at: the instant when. values: gives what an object is known by.
    """

    case: Case
    objects: Sequence[tuple[Mapping[str, Any], Tlp]]
    names: Mapping[str, str]
    cards: Mapping[str, Sequence[Card]]
    team: str
    site: str
    at: int
    values: Values
    lang: str = "en"
    realm: str = ""


def iodef(told: Told) -> bytes:
    """Write the document."""
    ElementTree.register_namespace("", NAMESPACE)
    root = ElementTree.Element(f"{{{NAMESPACE}}}IODEF-Document")
    root.set("version", "2.00")
    root.set("xml:lang", told.lang)
    _incident(root, told)
    ElementTree.indent(root)
    made: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return made + b"\n"


def _add(
    above: ElementTree.Element, tag: str, text: str = "", /, **attributes: str
) -> ElementTree.Element:
    one = ElementTree.SubElement(above, f"{{{NAMESPACE}}}{tag}")
    for key, value in attributes.items():
        one.set(key.replace("_", "-"), _fit(value))
    if text:
        one.text = _fit(text)
    return one


def _fit(text: str) -> str:
    return _UNFIT.sub(lambda found: f"<U+{ord(found[0]):04X}>", text)


def _more(above: ElementTree.Element, meaning: str, text: str) -> None:
    _add(above, "AdditionalData", text, dtype="string", meaning=meaning)


def _incident(root: ElementTree.Element, told: Told) -> None:
    """Write the Incident class: RFC 7970 §3.2 has the order of what is in it."""
    case, state = told.case, told.case.state
    level = case.entry(case.id).level
    others = (part for who, part in state.parts.items() if who != state.opener)
    answered = any(part.answered for part in others)
    incident = _add(
        root,
        "Incident",
        purpose="reporting",
        status="resolved" if state.closed else ("in-progress" if answered else "new"),
        restriction=RESTRICTIONS[level],
    )
    _add(incident, "IncidentID", case.id, name=told.site)
    _add(incident, "StartTime", state.opened)
    if state.closed:
        _add(incident, "EndTime", state.closed)
    _add(incident, "ReportTime", state.opened)
    _add(incident, "GenerationTime", stix_text(told.at))
    _add(incident, "Description", state.name)
    if state.description:
        _add(incident, "Description", state.description)
    impact = _add(incident, "Assessment")
    if state.incident_class:
        _add(impact, "IncidentCategory", state.incident_class)
    _add(impact, "BusinessImpact", severity=SEVERITIES[state.severity], type="unknown")
    _contacts(incident, told)
    _events(incident, told)
    _indicators(incident, told)
    history = _add(incident, "History")
    for line in (*case.lines(), *(Line(one, ()) for one in case.waiting)):
        _item(history, told, line)
    _more(incident, "TLP", level.label)
    if state.severity:
        _more(incident, "severity", state.severity)
    if told.realm:
        _more(incident, "realm", f"{told.realm}: EXERCISE, nothing of this happened")


def _contacts(incident: ElementTree.Element, told: Told) -> None:
    """Name who makes the document first, then the parties of the case."""
    _add(
        _add(incident, "Contact", role="creator", type="organization"),
        "ContactName",
        told.team,
    )
    for party in told.case.state.parts:
        desk = _add(incident, "Contact", role="irt", type="organization")
        _add(desk, "ContactName", told.names.get(party, party))
        for card in told.cards.get(party, ()):
            kind = "person" if card.person else "organization"
            roles = [_DUTIES[duty] for duty in card.duties if duty in _DUTIES]
            one = _add(desk, "Contact", role=roles[0] if roles else "admin", type=kind)
            _add(one, "ContactName", card.name)
            if card.title:
                _add(one, "ContactTitle", card.title)
            for mail in card.mail:
                _add(_add(one, "Email"), "EmailTo", mail)
            for phone in card.phones:
                _add(_add(one, "Telephone"), "TelephoneNumber", phone)


def _events(incident: ElementTree.Element, told: Told) -> None:
    """Write what is no indicator as events: what is known of a machine as a flow."""
    for one, level in told.objects:
        if one["type"] == "indicator":
            continue
        event = _add(incident, "EventData", restriction=RESTRICTIONS[level])
        _add(event, "Description", str(one.get("name") or one["type"]))
        values = told.values(one)
        nodes = [each for each in values if _is_node(each[0])]
        if nodes:
            flow = _add(event, "Flow")
            for kind, value in nodes:
                _node(_add(_add(flow, "System"), "Node"), kind, value)
        _more(event, "STIX id", str(one["id"]))
        for kind, value in values:
            if not _is_node(kind):
                _more(event, kind, value)


def _indicators(incident: ElementTree.Element, told: Told) -> None:
    found = [(one, level) for one, level in told.objects if one["type"] == "indicator"]
    if not found:
        return
    data = _add(incident, "IndicatorData")
    for one, level in found:
        values = list(told.values(one)) or [("", "")]
        for place, (kind, value) in enumerate(values, 1):
            indicator = _add(data, "Indicator", restriction=RESTRICTIONS[level])
            # xs:ID: each stands once in a document.
            name = f"{one['id']}.{place}"
            version = str(one.get("modified", ""))
            _add(indicator, "IndicatorID", name, name=told.site, version=version)
            _add(indicator, "Description", str(one.get("name") or one["type"]))
            for tag, key in (("StartTime", "valid_from"), ("EndTime", "valid_until")):
                if one.get(key):
                    _add(indicator, tag, str(one[key]))
            if isinstance(sure := one.get("confidence"), int):
                _add(indicator, "Confidence", str(sure), rating="numeric")
            _observable(_add(indicator, "Observable"), kind, value, str(one["id"]))
            _more(indicator, "STIX pattern", str(one.get("pattern", "")))


def _observable(
    above: ElementTree.Element, kind: str, value: str, object_id: str
) -> None:
    if kind == "domain-name":
        _add(_add(above, "DomainData"), "Name", value)
    elif _is_node(kind):
        _add(above, "Address", value, category=_category(kind, value))
    elif kind in HASH_KINDS:
        hashes = _add(above, "BulkObservable", type="file-hash")
        _add(hashes, "BulkObservableList", value)
    elif kind:
        _more(above, kind, value)
    else:
        _more(above, "STIX id", object_id)


_CATEGORIES: Final[Mapping[str, str]] = {
    "autonomous-system": "asn",
    "email-addr": "e-mail",
    "mac-addr": "mac",
    "url": "site-uri",
}


def _is_node(kind: str) -> bool:
    return (
        kind in {"domain-name", "ipv4-addr", "ipv6-addr", "url"} or kind in _CATEGORIES
    )


def _category(kind: str, value: str) -> str:
    if kind in _CATEGORIES:
        return _CATEGORIES[kind]
    try:
        family = f"ipv{ip_network(value, strict=False).version}"
    except ValueError:
        family = kind.partition("-")[0]
    return f"{family}-{'net' if '/' in value else 'addr'}"


def _node(above: ElementTree.Element, kind: str, value: str) -> None:
    if kind == "domain-name":
        _add(_add(above, "DomainData"), "Name", value)
    else:
        _add(above, "Address", value, category=_category(kind, value))


def _item(history: ElementTree.Element, told: Told, line: Line) -> None:
    entry = line.entry
    action = "status-triage" if entry.kind in _TRIAGE else "status-new-info"
    item = _add(history, "HistoryItem", action=action)
    _add(item, "DateTime", entry.created)
    who = _add(item, "Contact", role="irt", type="organization")
    _add(who, "ContactName", told.names.get(entry.voice, entry.voice))
    _add(item, "Description", "; ".join(filter(None, _said(told, line))))
    _more(item, "case entry", entry.id)


def _said(told: Told, line: Line) -> Iterator[str]:
    entry = line.entry
    read = told.case.state.corrections.get(entry.id, {})
    here = {one["id"] for one, _ in told.objects}
    yield entry.kind
    yield read.get("name", entry.name)
    yield entry.stance or entry.step or entry.state
    for party in filter(None, (entry.party_ref, *entry.party_refs)):
        yield told.names.get(party, party)
    yield entry.severity_level
    yield entry.due or entry.until
    yield read.get("description", entry.description)
    yield entry.limits
    yield ", ".join(each for each in entry.object_refs if each in here)
    if line.flags:
        yield f"flagged: {', '.join(line.flags)}"
