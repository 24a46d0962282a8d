"""Who must know of a case is proposed with the reason, and invited by a person only."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from archived import event, put
from samples import made
from serantau.clock import moment
from serantau.desk.case_who import WhoMustKnow, who
from serantau.desk.cases import Casework
from serantau.desk.lane_ask import archive_of
from serantau.desk.share import Share
from serantau.node import Node
from serantau.records.assets import Assets
from serantau.records.registry import Caller
from serantau.records.views import Asked
from serantau.rules.asset import Asset, read_value
from serantau.rules.asset import Kind as AssetKind
from serantau.rules.marking import TLP_2_IDS, Tlp
from serantau.rules.party import Kind
from serantau.testing import Region, identity_of

LONG = timedelta(days=31)
GREEN, STRICT = TLP_2_IDS[Tlp.GREEN], TLP_2_IDS[Tlp.AMBER_STRICT]


def indicator(pattern: str, mark: str = GREEN, **more: Any) -> dict[str, Any]:
    return made(
        "indicator", pattern=pattern, pattern_type="stix",
        valid_from="2026-01-01T00:00:00Z", object_marking_refs=[mark], **more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    """th, and what it knows of others: their assets, and a client of vn."""
    with Region(tmp_path_factory.mktemp("who"), ["th"]) as region:
        site = region["th"]
        for name in ("vn", "sg", "my", "kh"):
            site.party(name)
        site.party("jp", kind=Kind.PARTNER)
        site.party("bank", kind=Kind.OPERATOR, client_of="vn", identity="")
        site.party("ours", kind=Kind.OPERATOR, client_of="th", identity="")
        claims = [
            ("sg", AssetKind.PREFIX, "9.9.9.0/24"),
            ("bank", AssetKind.DOMAIN, "bank.example"),
            ("ours", AssetKind.PREFIX, "9.9.8.0/24"),
            ("my", AssetKind.ASN, "64500"),
        ]
        site.write(
            lambda tx: Assets().add_many(
                tx,
                [
                    Asset(party, "", kind, read_value(kind, value))
                    for party, kind, value in claims
                ],
            )
        )
        yield region


def reasons(found: WhoMustKnow) -> dict[str, list[tuple[str, str]]]:
    return {
        one.proposal.party: [(fact.reason, fact.within) for fact in one.proposal.facts]
        for one in found.suggestions
    }


def evidence(region: Region, *objects: dict[str, Any]) -> tuple[Node, str]:
    """Open a case with some evidence, of which only the indicators are named."""
    node = region["th"].node
    assert not region.load("th", objects).refused
    case = Casework(node).open("Kit", ["kh"]).id
    named = [one["id"] for one in objects if one["type"] == "indicator"]
    Casework(node).add_evidence(case, named)
    return node, case


def test_addresses_names_and_networks_have_the_owner_that_events_have(
    region: Region,
) -> None:
    node, case = evidence(
        region,
        indicator("[ipv4-addr:value = '9.9.9.7'] OR [ipv4-addr:value = '9.9.8.1']"),
        indicator("[url:value = 'https://www.bank.example/x']"),
        indicator("[autonomous-system:number = 64500]"),
        indicator("[domain-name:value = 'shop.co.id']"),
        indicator("[ipv4-addr:value = '127.0.0.1']"),
    )
    assert reasons(who(node, case)) == {
        "sg": [("prefix", "9.9.9.0/24")],
        # A client's is its CERT's; our own clients are ours to tell.
        "vn": [("domain", "bank.example")],
        "my": [("asn", "64500")],
        "id": [("cctld", "")],
    }


def test_who_is_hit_named_asked_or_served_is_proposed_and_whoever_is_in_is_marked(
    region: Region,
) -> None:
    first = indicator("[file:name = 'a.exe']", created_by_ref=identity_of("jp"))
    kit = made("malware", name="Kit", is_family=False, object_marking_refs=[GREEN])
    shop = made(
        "identity", name="A shop", identity_class="organization",
        sectors=["energy"], object_marking_refs=[GREEN],
    )  # fmt: skip
    place = made("location", country="MY", object_marking_refs=[GREEN])
    links = [
        made(
            "relationship", relationship_type=kind, source_ref=source,
            target_ref=target, object_marking_refs=[GREEN],
        )
        for kind, source, target in (
            ("indicates", first["id"], kit["id"]),
            ("related-to", first["id"], shop["id"]),
            ("related-to", first["id"], place["id"]),
        )
    ]  # fmt: skip
    seen = made(
        "sighting", sighting_of_ref=first["id"],
        where_sighted_refs=[identity_of("kh")], object_marking_refs=[GREEN],
    )  # fmt: skip
    node, case = evidence(region, first, kit, shop, place, *links, seen)
    serve(node, "sg")
    found = who(node, case)
    told = reasons(found)
    assert told["jp"] == [("source", "")]
    assert told["kh"] == [("victim", "")]
    assert told["my"][0] == ("located", "")
    assert ("got", "") in told["sg"]
    listed = {one.member for one in node.profile.sectors if "nergy" in str(one.sectors)}
    assert {party for party, why in told.items() if "sector" in dict(why)} == listed - {
        "th"
    }
    assert found.suggestions[0].proposal.party == "kh"
    assert [one.proposal.party for one in found.suggestions if one.proposal.inside] == [
        "kh"
    ]
    # Nothing was invited by asking.
    assert Casework(node).show(case).summary.parties == 2


def serve(node: Node, party: str) -> None:
    """Let a party read all that it may, so that the release log has it."""
    with node.db.read() as tx:
        number, held = node.registry.party(tx, party)
        collection = node.registry.collections(tx)[0]
    caller = Caller(f"node-{party}", number, held, "reader")
    assert Share(node).page(caller, collection, Asked(), way="taxii").count


def test_beside_each_stands_what_of_the_evidence_it_may_not_have(
    region: Region,
) -> None:
    node, case = evidence(
        region,
        indicator("[ipv4-addr:value = '9.9.9.8']"),
        indicator("[domain-name:value = 'pay.bank.example']", STRICT),
    )
    sg, vn = who(node, case).suggestions
    assert (sg.proposal.party, sg.known, sg.named, sg.sees) == ("sg", True, True, 1)
    assert len(sg.withheld) == 1
    assert "AMBER+STRICT" in next(iter(vn.withheld.values()))


def test_events_at_an_address_of_the_case_say_whose_machines_speak_with_it(
    region: Region,
) -> None:
    node, case = evidence(region, indicator("[ipv4-addr:value = '192.88.98.9']"))
    assert who(node, case).suggestions == ()
    now = moment(node.clock.now())
    seen = {"time": now, "destination_address": "192.88.98.9"}
    rows = [
        event("9.9.9.1", party="sg", member="sg", **seen),
        event("9.9.9.2", party="bank", member="vn", **seen),
        event("9.9.9.3", party=None, member="id", **seen),
        event("9.9.9.4", party="my", member="my", **{**seen, "time": now - LONG}),
    ]
    put(archive_of(node), "one", rows)
    assert reasons(who(node, case)) == {
        name: [("events", "")] for name in ("id", "sg", "vn")
    }
    assert who(node, case, events=False).suggestions == ()
