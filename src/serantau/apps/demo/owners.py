"""Made-up owners of the demo: who answers for what, and where they are reached."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import polars as pl

from serantau.apps.demo.reports import Report
from serantau.desk.lane_reference import Referring
from serantau.errors import SerantauError
from serantau.lane.formats.reading import read
from serantau.lane.formats.registry import Formats
from serantau.lane.kernel import run
from serantau.lane.origin import Origin
from serantau.node import Node
from serantau.records.assets import Assets
from serantau.records.contacts import Contacts
from serantau.rules.asset import Asset, Kind, read_value
from serantau.rules.contact import Contact
from serantau.rules.contact import Kind as ContactKind
from serantau.rules.party import Kind as PartyKind
from serantau.rules.party import Party

_MADE_UP: Final = "made up for the demo"


@dataclass(frozen=True, slots=True)
class Owner:
    """One operator in a node's registry. assets: (kind, value), as `asset add` says."""

    name: str
    node: str
    title: str
    mail: str
    language: str
    assets: tuple[tuple[Kind, str], ...]


def read_owners(path: Path) -> list[Owner]:
    """Read owners from TOML: a table for each, its assets by kind."""
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    return [
        Owner(
            name,
            said["node"],
            said["title"],
            said["mail"],
            said["language"],
            tuple((kind, one) for kind in Kind for one in said.get(kind, ())),
        )
        for name, said in tables.items()
    ]


def register(node: Node, owners: Sequence[Owner]) -> None:
    """Put the owners of a node into its registry, with what they have."""
    own = node.config.node.member
    with node.db.write() as tx:
        for one in owners:
            if one.node != own:
                continue
            node.registry.put_party(
                tx, Party(one.name, PartyKind.OPERATOR, one.title, client_of=own)
            )
            Assets().add_many(
                tx,
                [
                    Asset(one.name, "", kind, read_value(kind, said), source=_MADE_UP)
                    for kind, said in one.assets
                ],
            )
            Contacts().put(
                tx,
                Contact(one.name, ContactKind.MAIL, one.mail, language=one.language),
            )


def with_busiest(
    owners: Sequence[Owner], node: Node, reports: Sequence[Report]
) -> list[Owner]:
    """Let made-up owners answer for those AS numbers that reports say most of.

    People's own reports do not name networks of made-up owners. Each owner of a state
    gets one AS number that is mostly there, the one with most rows to the first.

    Args:
        owners: of all nodes.
        node: whose ranges tell where an address is.
        reports: what will be read; the first hundred thousand rows of each are looked
            at.
    """
    counts = _count(node, reports)
    # A network may reach into many states: it is of the one that has most of its rows.
    home: dict[int, str] = {}
    for (country, number), _ in counts.most_common():
        home.setdefault(number, country)
    found = []
    for code in dict.fromkeys(one.node for one in owners):
        here = [one for one in owners if one.node == code]
        busiest = [one for one, country in home.items() if country == code.upper()]
        for owner, number in zip(here, busiest, strict=False):
            found.append(replace(owner, assets=((Kind.ASN, f"AS{number}"),)))
    return found


def _count(node: Node, reports: Sequence[Report]) -> Counter[tuple[str, int]]:
    """Count rows by country and AS number, each report's first piece."""
    reference, formats = Referring(node).reference(), Formats()
    counts: Counter[tuple[str, int]] = Counter()
    for report in reports:
        origin = Origin(report.feed, "", node.clock.now(), report.path.name)
        try:
            piece = next(read(report.path, formats.named(report.format), origin), None)
        except SerantauError:
            # Whatever is wrong with it is told when it is taken in.
            continue
        if piece is None:
            continue
        grouped = (
            run(piece.frame, reference)
            .events.drop_nulls(["source_country", "source_asn"])
            .group_by("source_country", "source_asn")
            .agg(pl.len())
        )
        for country, number, many in grouped.iter_rows():
            counts[country, number] += many
    return counts
