"""Rows of events as the lane gives them, and a node whose owners are told of them."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

import polars as pl

from serantau.clock import SetClock, instant
from serantau.config import MailSection, NodeConfig, NodeSection, NoticeSection
from serantau.lane.frame import EVENTS
from serantau.node import SEAL_FILE, Node
from serantau.records.contacts import Contacts
from serantau.records.seal import Seal
from serantau.rules.contact import Contact, Kind
from serantau.rules.event import halves
from serantau.rules.level import Tlp
from serantau.rules.party import Kind as PartyKind
from serantau.rules.party import Party
from serantau.rules.taxonomy import CLASS_OF
from tables import with_tables

DAY = "2026-03-05"
NOON = instant(f"{DAY}T12:00:00Z")
OWNERS = {
    "bank": Party("bank", PartyKind.OPERATOR, title="Siam Bank", client_of="th"),
    "shop": Party("shop", PartyKind.OPERATOR, client_of="th"),
    "vn": Party("vn", PartyKind.MEMBER),
}


def row(party: str | None = "bank", last: int = 7, **more: Any) -> dict[str, Any]:
    """Make one row about a machine 203.0.113.LAST of a party."""
    kind = more.get("type", "infected-system")
    address = more.pop("source_address", f"203.0.113.{last}")
    hi, lo = (None, None)
    if address is not None:
        parsed = ipaddress.ip_address(address)
        hi, lo = halves(int(parsed), parsed.version)
    return {
        "time": NOON,
        "received": NOON,
        "batch": "0" * 64,
        "number": 1,
        "feed": "shadowserver",
        "report": "event4_sinkhole",
        "source_address": address,
        "source_hi": hi,
        "source_lo": lo,
        "source_port": 50_000 + last,
        "type": kind,
        "class": CLASS_OF[kind],
        "severity": 2,
        "tlp": int(Tlp.AMBER),
        "fingerprint": f"{last:032x}",
        "party": party,
        "malware": "qakbot",
        **more,
    }


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    """Make a frame of rows with all columns of an event."""
    columns = {
        name: pl.Series(name, [each.get(name) for each in rows]).cast(kind)
        if any(each.get(name) is not None for each in rows)
        else pl.Series(name, [None] * len(rows), dtype=kind)
        for name, kind in EVENTS.items()
    }
    return pl.DataFrame(columns)


def make_node(
    home: Path,
    clock: SetClock | None = None,
    *,
    port: int = 0,
    realm: str = "live",
    **notice: Any,
) -> Node:
    """Make a node th with owners, whose mail goes to a server on this port."""
    (home / "keys").mkdir(parents=True)
    (home / "keys" / SEAL_FILE).write_bytes(Seal.new_key())
    node = open_node(with_tables(home), clock, port=port, realm=realm, **notice)
    with node.db.write() as tx:
        node.registry.put_party(tx, Party("th", PartyKind.OWN))
        for party in OWNERS.values():
            node.registry.put_party(tx, party)
    return node


def open_node(
    home: Path,
    clock: SetClock | None = None,
    *,
    port: int = 0,
    realm: str = "live",
    **notice: Any,
) -> Node:
    config = NodeConfig(
        home=home,
        node=NodeSection(member="th", team="ThaiCERT", realm=realm),
        mail=MailSection(
            host="127.0.0.1" if port else "",
            port=port,
            security="none",
            sender="cert@cert.example.th",
            timeout_seconds=20,
        ),
        notice=NoticeSection(**notice),
    )
    return Node(config, clock or SetClock(f"{DAY}T13:00:00Z"))


def reach(
    node: Node, party: str = "bank", address: str = "noc@bank.example.th", **more: Any
) -> Contact:
    """Register a contact of a party."""
    kind = more.pop("kind", Kind.MAIL)
    with node.db.write() as tx:
        return Contacts().put(tx, Contact(party, kind, address, **more), node.seal)
