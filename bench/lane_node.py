"""A node whose lane has what rows are judged by, in its real size."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import orjson

from bench.nodes import Bench, found_node
from bench.reports import made
from serantau.desk.lane_reference import RANGES
from serantau.lane import ranges
from serantau.lane.ranges import Kind, Shelf, Version
from serantau.node import Node
from serantau.records.assets import Assets
from serantau.rules.asset import Asset
from serantau.rules.asset import Kind as Claim
from serantau.rules.party import Kind as PartyKind
from serantau.rules.party import Party

COUNTRIES: Final = 550_000
NETWORKS: Final = 515_000
ASSETS: Final = 5_000
# Of so many of the report's first rows an indicator names the address.
_SEEN: Final = 1_000
_CODES: Final = ("TH", "SG", "ID", "MY", "VN", "PH", "US", "DE", "BR", "CN", "IN", "JP")
_SPACE: Final = 1 << 32
_STAMP: Final = "2025-01-01T00:00:00.000Z"
_SPACE_OF_IDS: Final = uuid.UUID("6f0f3c1e-7d0b-4f6e-9a52-0f7a4a1d2b11")
# In the folder that SERANTAU_CORPORA names, where somebody has real data.
_REAL: Final = {
    Kind.COUNTRY: ("geo-whois-asn-country-ipv4", "geo-whois-asn-country-ipv6"),
    Kind.ASN: ("asn-ipv4", "asn-ipv6"),
}


def found_lane(folder: Path, *, indicators: int, share: float = 1) -> Bench:
    """Found a node, and give it what rows are judged by.

    Args:
        folder: where its folder is made.
        indicators: how many it looks for.
        share: of the usual number of made ranges and assets.
    """
    node = found_node(folder)
    shelf = Shelf(node.home / RANGES)
    for kind in Kind:
        read = ranges.read(_files(folder, kind, share), kind)
        shelf.add(Version("2025-01-01", "bench", kind), read.frame)
    if indicators:
        bundle = folder / "indicators.ndjson"
        with bundle.open("wb") as file:
            file.writelines(_indicators(indicators))
        said = node.run("load", str(bundle))
        assert said["new"] == indicators, said
    with Node(node.config) as opened, opened.db.write() as tx:
        bank = Party("bank", PartyKind.OPERATOR, "A bank", client_of="th")
        opened.registry.put_party(tx, bank)
        Assets().add_many(tx, _assets(int(ASSETS * share)))
    return node


def _files(folder: Path, kind: Kind, share: float) -> list[Path]:
    """Give files of ranges: real ones where there are some, else made ones."""
    corpora = os.environ.get("SERANTAU_CORPORA")
    if corpora and share == 1:
        real = [Path(corpora, "ip", f"{name}.csv.gz") for name in _REAL[kind]]
        if all(path.is_file() for path in real):
            return real
    path = folder / f"{kind}.csv"
    count = max(int((COUNTRIES if kind is Kind.COUNTRY else NETWORKS) * share), 10)
    width = _SPACE // count
    with path.open("w", encoding="ascii") as file:
        for at in range(count):
            told = _CODES[at % len(_CODES)] if kind is Kind.COUNTRY else f"{at + 1},AS"
            file.write(f"{at * width},{at * width + width - 1},{told}\n")
    return [path]


def _indicators(count: int) -> Iterator[bytes]:
    """Give indicators as JSON lines: six in ten addresses, names, URLs and hashes."""
    seen = made(0, min(_SEEN, count))["ip"].to_list()
    for at in range(count):
        if at < len(seen):
            pattern = f"[ipv4-addr:value = '{seen[at]}']"
        else:
            pattern = _pattern(at)
        told = {
            "type": "indicator",
            "spec_version": "2.1",
            "id": f"indicator--{uuid.uuid5(_SPACE_OF_IDS, str(at))}",
            "created": _STAMP,
            "modified": _STAMP,
            "indicator_types": ["malicious-activity"],
            "pattern": pattern,
            "pattern_type": "stix",
            "valid_from": _STAMP,
        }
        yield orjson.dumps(told) + b"\n"


def _pattern(at: int) -> str:
    spread = at * 2_654_435_761 % _SPACE
    address = ".".join(str(spread >> shift & 255) for shift in (24, 16, 8, 0))
    match at % 10:
        case 6 | 7:
            return f"[domain-name:value = 'c{at}.bad.example']"
        case 8:
            return f"[url:value = 'http://c{at}.bad.example/gate']"
        case 9:
            return f"[file:hashes.MD5 = '{spread:032x}']"
    return f"[ipv4-addr:value = '{address}']"


def _assets(count: int) -> Iterator[Asset]:
    for at in range(count):
        spread = (at + 1) * 2_654_435_761 % _SPACE
        prefix = ".".join(str(spread >> shift & 255) for shift in (24, 16, 8))
        yield Asset("bank", "th", Claim.PREFIX, f"{prefix}.0/24")
