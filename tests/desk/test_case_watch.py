"""The clocks of a case remind and page, each step once, and nobody without a card."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from couriers import dsn, read, released, text_of
from serantau.clock import instant
from serantau.config import FILE_NAME, MailSection, NodeConfig, load_config
from serantau.desk.case_watch import CHORE, CaseWatch, Round
from serantau.desk.cases import Casework, View
from serantau.desk.checkup import _clocks
from serantau.desk.contacts import Contacts
from serantau.desk.returned import take_back
from serantau.errors import ConfigError
from serantau.node import Node
from serantau.records.chores import Chores
from serantau.records.contacts import Contacts as Registered
from serantau.rules.card import Card, Duty
from serantau.rules.contact import Contact
from serantau.rules.contact import Kind as ContactKind
from serantau.rules.party import Kind
from serantau.rules.rota import DAYS, Rota, Shift, read_time
from serantau.testing import Region, identity_of
from serantau.wire.webhook import signature
from smtp_server import Mailbox, smtp_server
from web_hook import web_hook

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


def later(region: Region, watch: CaseWatch, times: int = 8) -> Round:
    """Let hours pass, and do what is due in them."""
    done = Round()
    for _ in range(times):
        region.clock.advance(seconds=30 * MINUTE)
        one = watch.tick()
        done.reminded += one.reminded
        done.paged += one.paged
    return done


def why(node: Node, case: str) -> str:
    """Give why a step of vn is not taken, as `serantau case show` tells it."""
    (row,) = (one for one in show(node, case).steps if one.party == identity_of("vn"))
    return row.said


@pytest.mark.parametrize(
    ("situation", "said"),
    [
        ("no card", "on-call: vn has no card for that"),
        ("not believed", "deputy: vn has no card for that"),
        ("people of another party", "on-call: vn has no card for that"),
        ("no way", "clocks.page_url is empty"),
        ("unasked", "coordinator: no coordinator is in the case"),
    ],
)
def test_a_clock_never_pages_an_address_without_a_card(
    region: Region, node: Node, box: Mailbox, case: str, situation: str, said: str
) -> None:
    cards = Contacts(node)
    cards.put(replace(DUTY, name="sg", party="sg", mail=("c@sg.example",)))
    # What programs write to is no card.
    with node.db.write() as tx:
        Registered().put(tx, Contact("vn", ContactKind.MAIL, "machine@vn.example"))
    if situation == "not believed":
        cards.verify(cards.put(DUTY).card.id, right=False)
    elif situation == "people of another party":
        other = cards.put(replace(DUTY, name="my", party="sg", mail=("x@my.example",)))
        shift = Shift(other.card.id, frozenset(DAYS))
        desk = replace(
            DUTY, name="Desk", person=False, duties=(Duty.POLICY,), rota=Rota((shift,)),
            deputies=(other.card.id,),
        )  # fmt: skip
        cards.put(desk)
    elif situation == "no way":
        cards.put(replace(DUTY, mail=()))
    assert later(region, CaseWatch(node)) == Round(reminded=1)
    assert box.connections == 0
    assert said in why(node, case)
    assert entries(node, case, "vn") == [("reminder", "", "")]


def test_a_page_says_nothing_of_what_is_in_the_case_and_its_entry_nothing_of_the_card(
    region: Region, node: Node, box: Mailbox
) -> None:
    with web_hook() as hook:
        hook.status = 403
        held = paging(node, hook.url)
        case = Casework(node).open("Kit at bank", ["vn"], severity_level="high").id
        cards = Contacts(node)
        policy = replace(DUTY, name="Deputy", duties=(Duty.POLICY,), phones=())
        deputy = cards.put(policy).card.id
        cards.put(replace(DUTY, mail=(), deputies=(deputy,)))
        with Node(held, region.clock) as opened:
            assert later(region, CaseWatch(opened), 4) == Round(reminded=1, paged=1)
        (posted, *more) = hook.got
        assert not more
        said = orjson.loads(posted.content)
        assert said["to"] == DUTY.phones[0]
        assert posted.headers["Serantau-Signature"] == signature("s", posted.content)
    (letter,) = box.accepted
    assert letter.recipients == list(DUTY.mail)
    for content in (posted.content, letter.content):
        assert b"bank" not in content
        assert b"Kit" not in content
        assert case.partition("--")[2][:8].encode() in content
    passed = "Could not be paged: on-call."
    assert entries(node, case, "vn")[1] == ("page", "deputy", passed)
    with node.db.read() as tx:
        texts = b"".join(
            bytes(row.body)
            for row in tx.rows(
                "SELECT o.body FROM object o JOIN case_entry e ON e.added = o.added"
            )
        )
    for secret in (*DUTY.mail, *DUTY.phones, DUTY.name, "Deputy", "HTTP"):
        assert secret.encode() not in texts


def paging(node: Node, url: str) -> NodeConfig:
    """Give the settings of a node that pages by a gateway, signed."""
    (node.config.home / "page-secret").write_text("s")
    section = msgspec.structs.replace(
        node.config.clocks, page_url=url, page_secret_file="page-secret"
    )
    return msgspec.structs.replace(node.config, clocks=section)


def test_a_server_that_is_away_is_tried_later_and_later_and_then_the_next_is_paged(
    region: Region, node: Node, box: Mailbox, case: str
) -> None:
    cards = Contacts(node)
    deputy = replace(DUTY, name="Deputy", duties=(Duty.POLICY,), mail=("b@vn.example",))
    cards.put(replace(DUTY, deputies=(cards.put(deputy).card.id,)))
    watch = CaseWatch(node)
    later(region, watch, 2)
    box.answers["END"] = "451 4.3.0 later"
    region.clock.advance(seconds=30 * MINUTE)
    waits = []
    for _ in range(2):
        assert watch.tick() == Round(kept=1)
        assert "451" in why(node, case)
        (row,) = show(node, case).steps
        waits.append(row.wait // 1_000_000)
        region.clock.advance(seconds=waits[-1] - 1)
        assert watch.tick() == Round()
        region.clock.advance(seconds=1)
    assert waits == [60, 120]
    assert watch.tick() == Round(kept=1)
    assert "deputy" not in str(entries(node, case, "vn"))
    box.answers.clear()
    region.clock.advance(seconds=HOUR)
    assert watch.tick() == Round(paged=1)
    assert to(box) == ["b@vn.example"]
    assert entries(node, case, "vn")[-1][1] == "deputy"


def test_after_days_of_silence_one_step_is_taken_and_one_page_tells_of_all_cases(
    region: Region, node: Node, box: Mailbox
) -> None:
    work, watch = Casework(node), CaseWatch(node)
    Contacts(node).put(DUTY)
    several = [
        work.open(f"Kit {n}", ["vn"], severity_level="high").id for n in range(5)
    ]
    region.clock.advance(days=3)
    assert watch.tick() == Round(reminded=5 + 5)  # vn, and our own update of each
    assert CaseWatch(node).tick() == Round()
    late = work.open("Late", ["vn"], severity_level="emergency").id
    region.clock.advance(seconds=16 * MINUTE)
    assert watch.tick() == Round(reminded=1)
    region.clock.advance(seconds=4 * MINUTE)
    assert watch.tick() == Round(paged=5)
    (letter,) = box.accepted
    text = text_of(read(letter.content))
    assert all(case.partition("--")[2][:8] in text for case in several)
    assert late.partition("--")[2][:8] not in text
    # A page that falls due a minute after another waits for its turn.
    work.assess(late, severity_level="emergency")
    region.clock.advance(seconds=6 * MINUTE)
    assert watch.tick() == Round(paged=1)
    for case in (*several, late):
        assert entries(node, case, "vn")[:2] == [
            ("reminder", "", ""),
            ("page", "on-call", ""),
        ]


def test_whoever_takes_a_case_over_takes_its_steps_from_where_they_are(
    region: Region, node: Node, box: Mailbox, case: str
) -> None:
    Contacts(node).put(DUTY)
    Casework(node).invite(case, ["sg"])
    region.sync()
    there = Casework(region["sg"].node)
    there.assess(case, "accepted")
    here, other = CaseWatch(node), CaseWatch(region["sg"].node)
    region.clock.advance(seconds=HOUR + MINUTE)
    region.sync()
    assert (other.tick(), here.tick()) == (Round(), Round(reminded=1))
    Casework(node).hand_over(case, "sg")
    region.sync()
    there.take(case)
    region.sync()
    region.clock.advance(seconds=30 * MINUTE)
    assert here.tick() == Round()
    # Cards are each node's own, and sg has none of vn.
    assert other.tick() == Round(kept=1)
    assert "on-call" in why(region["sg"].node, case)
    assert not show(node, case).steps
    assert box.accepted == []


def test_a_clock_that_was_set_forward_and_back_neither_storms_nor_stops(
    region: Region, node: Node, box: Mailbox, case: str
) -> None:
    Contacts(node).put(DUTY)
    watch = CaseWatch(node)
    region.clock.advance(days=2)
    assert watch.tick().reminded == 2
    with node.db.write() as tx:
        assert Chores().take(tx, CHORE, "a worker that died then", 90)
    box.answers["RCPT"] = "450 later"
    region.clock.advance(seconds=20 * MINUTE)
    region.clock.advance(days=-2)
    # Not due yet by the right time, whatever was done by the wrong one.
    assert watch.tick() == Round()
    region.clock.advance(seconds=45 * MINUTE)
    assert watch.tick() == Round(kept=1)
    box.answers.clear()
    region.clock.advance(seconds=-30)
    assert watch.tick() == Round(paged=1)
    for _ in range(19):
        region.clock.advance(seconds=MINUTE)
        assert watch.tick().paged == 0
    assert len(box.accepted) == 1


@pytest.mark.parametrize(
    ("zone", "begin", "end", "due", "whom", "there"),
    [
        # Myanmar is at +06:30: 20:29 there, and 20:31.
        ("Asia/Yangon", "08:30", "20:30", "2027-01-05T13:59:00Z", "day", "Tue 20:"),
        ("Asia/Yangon", "08:30", "20:30", "2027-01-05T14:01:00Z", "night", "Tue 20:"),
        # Sydney's clocks go back at 03:00 on this Sunday: it is 06:10, not 07:10.
        ("Australia/Sydney", "06:30", "18:00", "2027-04-03T20:10:00Z", "night", "AEST"),
        # And forward on this one: it is 06:40, not 05:40.
        ("Australia/Sydney", "06:30", "18:00", "2027-10-02T19:40:00Z", "day", "AEDT"),
    ],
)
def test_a_page_goes_to_whoever_has_the_watch_by_the_clock_on_the_wall_there(
    region: Region, node: Node, box: Mailbox, zone: str, begin: str, end: str,
    due: str, whom: str, there: str,
) -> None:  # fmt: skip
    cards = Contacts(node)
    people = [
        cards.put(
            replace(
                DUTY, name=name, duties=(Duty.POLICY,), mail=(f"{name}@vn.example",),
                zone=zone,
            )
        ).card.id
        for name in ("day", "night")
    ]  # fmt: skip
    first, last = read_time(begin), read_time(end)
    rota = Rota(
        (
            Shift(people[0], frozenset(DAYS), first, last),
            Shift(people[1], frozenset(DAYS), last, first),
        )
    )
    cards.put(replace(DUTY, person=False, zone=zone, rota=rota))
    start = instant(due) - (HOUR + 20 * MINUTE) * 1_000_000
    region.clock.advance(seconds=(start - region.clock.now()) / 1_000_000)
    Casework(node).open("Kit", ["vn"], severity_level="high")
    watch = CaseWatch(node)
    region.clock.advance(seconds=HOUR)
    assert watch.tick() == Round(reminded=1)
    region.clock.advance(seconds=20 * MINUTE - 1)
    assert watch.tick() == Round()
    region.clock.advance(seconds=1)
    assert watch.tick() == Round(paged=1)
    assert to(box) == [f"{whom}@vn.example"]
    assert there in text_of(read(box.accepted[0].content))


def test_a_page_that_came_back_is_told_and_one_withheld_goes_to_the_coordinator(
    region: Region, node: Node, box: Mailbox, case: str
) -> None:
    cards, watch = Contacts(node), CaseWatch(node)
    cards.put(DUTY)
    cards.put(replace(DUTY, name="sg", party="sg", mail=("c@sg.example",)))
    later(region, watch, 3)
    assert take_back(node, dsn(box.messages[0], DUTY.mail[0]), "mailbox")
    assert "it came back" in why(node, case)
    Casework(node).invite(case, ["sg"])
    region["th"].party("vn", blocked=True)
    try:
        region.clock.advance(seconds=30 * MINUTE)
        assert watch.tick().paged == 1
    finally:
        region["th"].party("vn", blocked=False)
    assert to(box)[1:] == ["c@sg.example"]
    assert entries(node, case, "vn")[-1] == (
        "page",
        "coordinator",
        "Could not be paged: deputy.",
    )


def test_a_worker_that_was_frozen_pages_nobody_when_it_comes_back(
    region: Region, node: Node, box: Mailbox, case: str
) -> None:
    Contacts(node).put(DUTY)
    other = CaseWatch(node)
    later(region, other, 2)
    region.clock.advance(seconds=30 * MINUTE)
    rounds: list[Round] = []

    class Frozen(CaseWatch):
        def _intend(self, *args: Any) -> Any:
            found = super()._intend(*args)
            rounds.append(other.tick())
            region.clock.advance(seconds=2 * MINUTE)
            rounds.append(other.tick())
            return found

    assert Frozen(node).tick() == Round()
    # Not while it may still be at work, and then once.
    assert rounds == [Round(), Round(paged=1)]
    assert len(box.accepted) == 1
    assert len(entries(node, case, "vn")) == 2


def test_a_case_that_takes_no_entry_keeps_no_other_from_its_page(
    region: Region, node: Node, box: Mailbox, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Contacts(node).put(DUTY)
    work, watch = Casework(node), CaseWatch(node)
    full = work.open("Full", ["vn"], severity_level="high").id
    for n in range(3):
        work.add_task(full, f"Task {n}")
    later(region, watch, 2)
    region.clock.advance(seconds=30 * MINUTE)
    monkeypatch.setattr("serantau.rules.case.MOST", 5)
    assert watch.tick().paged == 2
    assert "takes no entry" in why(node, full)
    assert entries(node, case, "vn")[-1] == ("page", "on-call", "")
    region.clock.advance(days=1)
    watch.tick()
    (letter,) = (
        one for one in box.messages if full.partition("--")[2][:8].encode() in one
    )
    assert letter


def test_a_card_of_a_zone_that_there_is_not_stops_no_other_page(
    region: Region, node: Node, box: Mailbox, case: str
) -> None:
    cards = Contacts(node)
    held = cards.put(DUTY)
    cards.put(replace(DUTY, name="sg", party="sg", mail=("c@sg.example",)))
    Casework(node).invite(case, ["sg"])
    with node.db.write() as tx:
        # As a newer program at the party might write it.
        wrong = b"Asia/Atlantis_Now"
        assert len(wrong) >= len(DUTY.zone)
        tx.run(
            "UPDATE object SET body = :body WHERE id = :id",
            id=held.card.id,
            body=bytes(
                tx.value("SELECT body FROM object WHERE id = :id", id=held.card.id)
            ).replace(DUTY.zone.encode(), wrong),
        )
    later(region, CaseWatch(node), 3)
    assert set(to(box)) == {"c@sg.example"}


def test_who_is_forgotten_is_forgotten_by_the_clocks_too(
    region: Region, node: Node, box: Mailbox, case: str
) -> None:
    cards = Contacts(node)
    held = cards.put(DUTY)
    later(region, CaseWatch(node), 3)
    assert take_back(node, dsn(box.messages[0], DUTY.mail[0]), "mailbox")
    (finding,) = _clocks(node)
    assert "it came back" in finding.said
    cards.erase(held.card.id, "asked for it")
    (row,) = show(node, case).steps
    assert (row.card, row.letter, row.failed, row.said) == ("", "", {}, "")
    assert list(_clocks(node)) == []


def test_only_an_exercise_has_another_pace(tmp_path: Path) -> None:
    settings = tmp_path / FILE_NAME
    for realm, pace, fine in (
        ("live", 60, False),
        ("exercise:drill", 60, True),
        ("exercise:drill", 0, False),
        ("live", 1, True),
    ):
        node = f'[node]\nmember = "th"\nrealm = "{realm}"\n'
        settings.write_text(f"{node}[clocks]\npace = {pace}\n")
        if fine:
            assert load_config(tmp_path, {}).clocks.pace == pace
        else:
            with pytest.raises(ConfigError, match=r"clocks\.pace"):
                load_config(tmp_path, {})
