"""What a coordinator would publish is seen beside the original before it is handed."""

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from serantau.clock import SetClock
from serantau.desk.behalf import Behalf
from serantau.desk.publisher import Publisher
from serantau.rules.party import Kind, Party
from serantau.testing import Region
from sharing_desk import SharingDesk, sharing_desk
from stores import GREEN, indicator
from visitors import pages_of, text_of

CLOCK = SetClock()
PATH = "/share/behalf"
HUB = "identity--99999999-2222-4333-8444-555555555555"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharingDesk]:
    with sharing_desk(tmp_path_factory.mktemp("behalf"), CLOCK) as desk:
        hub = Party("hub", Kind.COORDINATOR, identity=HUB)
        with desk.node.db.write() as tx:
            desk.node.registry.put_party(tx, hub)
        own = desk.node.config.node.identity
        desk.made["secret"] = indicator(
            "C2 of a botnet", GREEN, created_by_ref=own, labels=["desk-of-somchai"]
        )
        desk.made["traced"] = indicator("Seen by ThaiCERT", GREEN, created_by_ref=own)
        desk.load(desk.made["secret"], desk.made["traced"])
        desk.pages.visitor("lek", "lead")
        yield desk


def ticket(html: str) -> dict[str, str]:
    """What the form that hands over carries."""
    form = html.partition('action="/share/behalf">')[2]
    found = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form))
    del found["csrf"]
    return {name: unescape(value) for name, value in found.items()} | {"sure": "1"}


def test_what_was_seen_beside_the_original_is_handed_over_and_withdrawn(
    desk: SharingDesk,
) -> None:
    lek, secret = desk.pages.visitor("lek"), desk.made["secret"]["id"]
    shown = lek.send(f"{PATH}/look", party="hub", objects=secret, tlp="")
    said = text_of(shown.text)
    assert "labels stays" in said
    assert "name goes C2 of a botnet" in said
    assert Behalf(desk.node).all() == []

    sent = ticket(shown.text)
    assert lek.send(PATH, **{**sent, "seen": "0" * 64}).status_code == 409
    assert lek.send(PATH, **{**sent, "tlp": "TLP:CLEAR"}).status_code == 409
    del sent["sure"]
    assert lek.send(PATH, **sent).status_code == 400
    assert Behalf(desk.node).all() == []

    assert lek.send(PATH, **sent, sure="1").status_code == 303
    ((handed, (link,), _),) = Behalf(desk.node).all()
    assert (handed.party, link.original) == ("hub", secret)
    assert b"somchai" not in handed.body
    assert link.published in lek.read(PATH)
    where = f"{PATH}/{handed.number}/withdraw"
    assert lek.send(where).status_code == 400
    assert lek.send(where, sure="1").status_code == 303
    assert "withdrawn" in lek.read(PATH)


def test_what_tells_whose_it_is_stands_against_it_and_cannot_be_handed_over(
    desk: SharingDesk,
) -> None:
    lek, traced = desk.pages.visitor("lek"), desk.made["traced"]["id"]
    shown = lek.send(f"{PATH}/look", party="hub", objects=traced, tlp="")
    assert "This stands against it" in text_of(shown.text)
    assert "Hand it over" not in shown.text
    mended = lek.send(
        f"{PATH}/look", party="hub", objects=traced, edits=f"{traced}:name=Botnet"
    )
    assert "This stands against it" not in text_of(mended.text)
    for fields in (
        {"party": "sg", "objects": traced},
        {"party": "hub", "objects": "x"},
        {"party": "hub", "objects": ""},
        {"party": "hub", "objects": traced, "edits": "<script>alert(1)</script>"},
        {"party": "hub", "objects": traced, "tlp": "TLP:RED"},
    ):
        refused = lek.send(f"{PATH}/look", **fields)
        assert refused.status_code == 422, fields
        assert "<script>alert" not in refused.text


def test_a_coordinator_sees_what_came_and_publishes_it_or_refuses(
    tmp_path: Path,
) -> None:
    with Region(tmp_path, ["th", "vn"]) as region:
        region.join("asean", Kind.COORDINATOR)
        region.peer("asean", "th")
        own = region["th"].node.config.node.identity
        work = Behalf(region["th"].node)
        for name in ("one", "two"):
            made = indicator(f"number {name}", GREEN, created_by_ref=own)
            region.load("th", [made])
            plan = work.plan("asean", [made["id"]], tlp=None, edits={})
            work.hand(plan, actor="somchai")
        for _ in range(4):
            region["asean"].sync()
        node = region["asean"].node
        came = [held.number for held in Publisher(node).all()]
        assert len(came) == 2
        with pages_of(node) as pages:
            lead = pages.visitor("lead", "lead")
            assert "What members handed over" in lead.read(PATH)
            where = f"{PATH}/came/{came[0]}"
            assert "number " in lead.read(where)
            assert "somchai" not in lead.get(where).text
            assert lead.send(f"{where}/publish").status_code == 400
            assert lead.send(f"{where}/publish", sure="1").status_code == 303
            assert lead.send(f"{where}/publish", sure="1").status_code == 409
            other = f"{PATH}/came/{came[1]}/refuse"
            assert lead.send(other, reason="").status_code == 422
            assert lead.send(other, reason="not ours").status_code == 303
            assert "not ours" in lead.read(PATH)
            assert lead.get(f"{PATH}/came/99").status_code == 404


def test_only_who_may_let_something_go_hands_over(desk: SharingDesk) -> None:
    for role, party in (("analyst", "th"), ("policy", "th"), ("operator", "sg")):
        one = desk.pages.visitor(f"{party}-{role}", role, party=party)
        for answer in (
            one.get(PATH),
            one.send(f"{PATH}/look", party="hub", objects=desk.made["secret"]["id"]),
            one.send(PATH, party="hub", objects=desk.made["secret"]["id"], sure="1"),
        ):
            assert answer.status_code == 403
