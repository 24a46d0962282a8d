"""Everything that names this node is known to the search for traces."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO

import msgspec
import pytest

from samples import made
from serantau.clock import SetClock
from serantau.config import FeedSection, HttpSection, MailSection, load_config
from serantau.desk.found import Charter, found
from serantau.desk.lane import Lane, Told
from serantau.desk.origin import members_traces, traces_of
from serantau.node import Node
from serantau.records.assets import Assets
from serantau.records.contacts import Contacts
from serantau.rules.asset import Asset
from serantau.rules.asset import Kind as AssetKind
from serantau.rules.contact import Contact
from serantau.rules.contact import Kind as ContactKind
from serantau.rules.marking import make_audience
from serantau.rules.party import Kind, Party
from serantau.rules.trace import Traces

AUDIENCE = make_audience(named=["sg"])
OBJECT = made(
    "indicator",
    id="indicator--6b0e3f7c-4f0c-4c4e-9d5b-0f6f2f2f9f11",
    description="see scan-bank7.csv, and x",
    object_marking_refs=[AUDIENCE["id"]],
)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    home = tmp_path_factory.mktemp("th")
    found(home, Charter("th", "ThaiCERT"), SetClock())
    config = msgspec.structs.replace(
        load_config(home),
        http=HttpSection(base_url="https://node7.gov.example/"),
        mail=MailSection(host="smtp9.gov.example", sender="watch@mail8.example"),
        feeds={"honeypot-bkk": FeedSection()},
    )
    with Node(config, SetClock()) as node:
        with node.db.write() as tx:
            registry = node.registry
            bank = Party("siam-bank", Kind.OPERATOR, title="Bank of Siam")
            registry.put_party(tx, bank)
            registry.put_party(tx, Party("vn-bank", Kind.OPERATOR, client_of="vn"))
            registry.add_user(tx, "somchai", "th", "reader")
            registry.add_user(tx, "nguyen", "vn", "reader")
            registry.put_circle(tx, "the night watch", ["vn"])
            for party, kind, value in (
                ("th", AssetKind.PREFIX, "203.0.113.0/24"),
                ("siam-bank", AssetKind.DOMAIN, "siambank.example"),
                ("vn-bank", AssetKind.PREFIX, "198.51.100.0/24"),
            ):
                Assets().add(tx, Asset(party, "", kind, value))
            for address, way in (
                ("soc@vault.example", ContactKind.MAIL),
                ("https://hook.cellar.example/x", ContactKind.WEBHOOK),
            ):
                Contacts().put(tx, Contact("siam-bank", way, address))
        Lane(node).add(BytesIO(b"ip\n"), Told("lists", name="scan-bank7.csv"))
        yield node


@pytest.fixture(scope="module")
def traces(node: Node) -> Traces:
    with node.db.read() as tx:
        return traces_of(node, tx, [OBJECT])


@pytest.mark.parametrize(
    "text",
    [
        *("TH", "th-desk", "Thai CERT", "thaicert.or.th", "NCSA", "in Thailand"),
        *("node7.gov.example", "smtp9.gov.example", "mail8.example", "honeypot-bkk"),
        *("the bank of siam", "siam-bank", "somchai", "The Night Watch"),
        *("www.siambank.example", "vault.example", "hook.cellar.example"),
        *("scan-bank7.csv", OBJECT["id"], AUDIENCE["id"], "a Thai bank"),
    ],
)
def test_what_names_this_node_is_found(traces: Traces, text: str) -> None:
    assert list(traces.among(f"x {text} y", sentence=True))


def test_its_identity_its_key_and_its_own_addresses_are_found(
    node: Node, traces: Traces
) -> None:
    for text in (node.config.node.identity, node.signer.key.id):
        assert list(traces.among(text, sentence=False))
    assert list(traces.owns([("ipv4-addr", "203.0.113.9")]))


@pytest.mark.parametrize("text", ["nguyen", "vn-bank", "VNCERT", "a bank", "list.csv"])
def test_what_names_others_is_not_taken_for_its_own(traces: Traces, text: str) -> None:
    assert not list(traces.among(f"x {text} y", sentence=True))
    assert not list(traces.owns([("ipv4-addr", "198.51.100.9")]))


def test_who_does_not_know_whose_it_is_looks_for_all_members(node: Node) -> None:
    found = members_traces(node.profile)
    for text in ("ThaiCERT", "seen in Viet Nam", "www.csa.gov.sg"):
        assert list(found.among(text, sentence=True))
