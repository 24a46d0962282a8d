"""The clocks of a case remind and page, each step once, and nobody without a card."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import msgspec
import pytest

from couriers import released
from serantau.config import MailSection
from serantau.desk.case_watch import CaseWatch, Round
from serantau.desk.cases import Casework, View
from serantau.desk.contacts import Contacts
from serantau.node import Node
from serantau.rules.card import Card, Duty
from serantau.rules.party import Kind
from serantau.testing import Region, identity_of
from smtp_server import Mailbox, smtp_server

MINUTE = 60
HOUR = 3600
DUTY = Card(
    "Duty of vn", "vn", duties=(Duty.ALWAYS,), mail=("duty@cert.example.vn",),
    phones=("+842411112222",), zone="Asia/Ho_Chi_Minh", source="a call",
)  # fmt: skip


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    """th owns the cases; vn is silent; sg coordinates."""
    with Region(tmp_path_factory.mktemp("watch"), ["th", "vn"]) as made:
        made.join("sg", Kind.COORDINATOR)
        made.peer("th", "vn")
        made.peer("th", "sg")
        yield made


@pytest.fixture
def box() -> Iterator[Mailbox]:
    with smtp_server() as made:
        yield made


@pytest.fixture
def node(region: Region, box: Mailbox) -> Iterator[Node]:
    """The node th with a mail server, and nothing from the test before."""
    mail = MailSection(
        host="127.0.0.1", port=box.port, security="none",
        sender="cert@cert.example.th", timeout_seconds=5,
    )  # fmt: skip
    config = msgspec.structs.replace(region["th"].node.config, mail=mail)
    with Node(config, region.clock) as opened:
        with opened.db.write() as tx:
            tx.run("DELETE FROM ledger.release")
        yield opened
        work, cards = Casework(opened), Contacts(opened)
        for one in work.board():
            if one.owner == identity_of("th"):
                work.close(one.id)
        for held in cards.all():
            cards.erase(held.card.id, "the test is over")


@pytest.fixture
def case(node: Node) -> str:
    """A case of high severity that vn was invited to."""
    return Casework(node).open("Kit", ["vn"], severity_level="high").id


def show(node: Node, case: str) -> View:
    return Casework(node).show(case)


def to(box: Mailbox) -> list[str]:
    return [each for one in box.accepted for each in one.recipients]


def entries(node: Node, case: str, party: str) -> list[tuple[str, str, str]]:
    """Give the steps of one party that the log of a case has."""
    lines = [line.entry for line in show(node, case).lines]
    whom = identity_of(party)
    return [
        (one.kind, one.channel, one.description)
        for one in lines
        if one.clock and one.party_ref == whom
    ]


def test_silence_is_reminded_then_paged_by_steps_and_each_is_an_entry(
    region: Region, node: Node, box: Mailbox, case: str
) -> None:
    cards, watch = Contacts(node), CaseWatch(node)
    deputy = replace(DUTY, name="Deputy", duties=(Duty.POLICY,), mail=("b@vn.example",))
    cards.put(replace(DUTY, deputies=(cards.put(deputy).card.id,)))
    cards.put(replace(DUTY, name="Duty of sg", party="sg", mail=("c@sg.example",)))
    Casework(node).invite(case, ["sg"])
    region.clock.advance(seconds=59 * MINUTE)
    assert watch.tick() == Round()
    region.clock.advance(seconds=2 * MINUTE)
    assert watch.tick() == Round(reminded=2)
    region.sync()
    Casework(region["sg"].node).acknowledge(case)
    region.sync()
    wanted = [("reminder", "", "")]
    for channel, address in zip(
        ("on-call", "deputy", "coordinator"),
        ("duty@cert.example.vn", "b@vn.example", "c@sg.example"),
        strict=True,
    ):
        assert watch.tick() == Round()
        region.clock.advance(seconds=20 * MINUTE)
        assert watch.tick() == Round(paged=1)
        wanted.append(("page", channel, ""))
        assert entries(node, case, "vn") == wanted
        assert to(box)[-1] == address
    region.clock.advance(seconds=HOUR)
    assert watch.tick() == Round()
    assert len(box.accepted) == 3
    pages = [(one.whom, one.way) for one in released(node) if one.actor == "serve"]
    assert pages == [(whom, "case page by mail") for whom in ("vn", "vn", "sg")]
    # The silent party has the same log when it is back.
    region.sync()
    assert entries(region["vn"].node, case, "vn") == wanted
