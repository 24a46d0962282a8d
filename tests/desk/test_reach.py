"""A contact drill asks each address once, and only a person's button is an answer."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pysequoia
import pytest

from couriers import dsn, read, released, text_of
from serantau.clock import SetClock
from serantau.config import HttpSection, MailSection, NodeConfig, load_config
from serantau.desk.card_import import read_key
from serantau.desk.contacts import Contacts
from serantau.desk.found import Charter, found
from serantau.desk.reach import ANSWER_PATH, Reach, Round
from serantau.desk.returned import take_back
from serantau.errors import ConfigError, Conflict, NotFound
from serantau.node import Node
from serantau.records.cards import (
    FAILED,
    REACHED,
    SENDING,
    SENT,
    SILENT,
    WAITING,
    WRONG,
    Cards,
)
from serantau.rules.card import Card, Duty, KeyKind
from smtp_server import Mailbox, smtp_server

VN = Card(
    "Nguyễn Văn A",
    "vn",
    duties=(Duty.TECHNICAL,),
    mail=("a@vncert.example",),
    phones=("+842412345678",),
    languages=("vi",),
    zone="Asia/Ho_Chi_Minh",
    source="a call",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("reach") / "th"
    found(home, Charter("th", "ThaiCERT"), SetClock("2026-03-01T00:00:00Z"))
    return home


@pytest.fixture
def box() -> Iterator[Mailbox]:
    with smtp_server() as made:
        yield made


@pytest.fixture
def clock() -> SetClock:
    return SetClock("2026-03-02T00:00:00Z")


@pytest.fixture
def config(made: Path, tmp_path: Path, box: Mailbox) -> NodeConfig:
    held = load_config(Path(shutil.copytree(made, tmp_path / "th")))
    return msgspec.structs.replace(
        held,
        http=HttpSection(base_url="https://th.example"),
        mail=MailSection(
            host="127.0.0.1",
            port=box.port,
            security="none",
            sender="cert@cert.example.th",
            timeout_seconds=5,
        ),
    )


@pytest.fixture
def node(config: NodeConfig, clock: SetClock) -> Iterator[Node]:
    with Node(config, clock) as opened:
        yield opened


def states(node: Node) -> dict[str, str]:
    with node.db.read() as tx:
        cards = Cards()
        return {ask.address: ask.state for ask in cards.asks(tx, cards.drill(tx).n)}


def token(message: bytes) -> str:
    text = text_of(read(message))
    return text.split(f"https://th.example{ANSWER_PATH}/")[1].split()[0]


def test_everyone_on_a_card_is_asked_once_and_each_letter_is_in_the_release_log(
    node: Node, box: Mailbox
) -> None:
    cards = Contacts(node)
    cards.put(VN)
    cards.put(replace(VN, name="Desk", person=False, mail=("soc@vncert.example",)))
    cards.put(replace(VN, name="Ours", party="th", mail=("own@cert.example.th",)))
    reach = Reach(node)
    drill = reach.begin(actor="ann")
    assert reach.send() == Round(sent=2)
    assert reach.send() == Round()
    assert sorted(one.recipients[0] for one in box.accepted) == [
        "a@vncert.example",
        "soc@vncert.example",
    ]
    assert [(row.whom, row.way, row.actor) for row in released(node)] == [
        ("vn", "contact drill by mail", "ann")
    ] * 2
    # One number on two cards is one call.
    assert [ask.address for ask, _ in reach.calls()] == list(VN.phones)
    with pytest.raises(Conflict, match=f"Drill {drill.n} runs"):
        reach.begin()


def test_a_link_is_good_for_one_answer_and_opening_it_is_none(
    node: Node, box: Mailbox
) -> None:
    held = Contacts(node).put(VN)
    reach = Reach(node)
    reach.begin()
    reach.send()
    link = token(box.accepted[0].content)
    for _ in range(3):
        assert reach.asked(link).state == SENT
    assert Contacts(node).find(held.card.id).verified == 0
    reach.answer(link, right=True)
    assert states(node)["a@vncert.example"] == REACHED
    assert Contacts(node).find(held.card.id).verified > 0
    with pytest.raises(Conflict, match="answered already"):
        reach.answer(link, right=False)


@pytest.mark.parametrize(
    "change",
    [
        lambda link: link[:-1] + ("0" if link[-1] != "0" else "1"),
        lambda link: "2" + link[1:],
        lambda link: "9" * 15 + link[1:],
        lambda link: link + "0",
        lambda link: link.upper() + "é",
        lambda _: "",
    ],
)
def test_a_link_that_was_made_up_or_changed_answers_nothing(
    node: Node, box: Mailbox, change: object
) -> None:
    Contacts(node).put(VN)
    reach = Reach(node)
    reach.begin()
    reach.send()
    assert callable(change)
    with pytest.raises(NotFound, match="none of ours"):
        reach.answer(change(token(box.accepted[0].content)), right=True)
    assert states(node)["a@vncert.example"] == SENT


def test_a_link_is_over_with_its_drill(
    node: Node, box: Mailbox, clock: SetClock
) -> None:
    Contacts(node).put(VN)
    reach = Reach(node)
    reach.begin()
    reach.send()
    clock.advance(days=7.01)
    with pytest.raises(NotFound, match="over"):
        reach.answer(token(box.accepted[0].content), right=True)


def test_the_message_id_does_not_tell_the_link(node: Node, box: Mailbox) -> None:
    Contacts(node).put(VN)
    Reach(node).begin()
    Reach(node).send()
    content = box.accepted[0].content
    name = str(read(content)["Message-ID"])
    assert token(content).partition("-")[2] not in name


def test_no_mail_goes_to_an_address_that_left_its_card_or_to_a_blocked_party(
    node: Node, box: Mailbox
) -> None:
    cards = Contacts(node)
    held = cards.put(VN)
    cards.put(replace(VN, name="x", party="sg", mail=("x@sg.example",), phones=()))
    reach = Reach(node)
    reach.begin()
    cards.put(replace(held.card, mail=("new@vncert.example",)))
    with node.db.write() as tx:
        _, party = node.registry.party(tx, "sg")
        node.registry.put_party(tx, replace(party, blocked=True))
    assert reach.send() == Round(failed=2)
    assert box.accepted == []
    assert states(node)["a@vncert.example"] == FAILED
    assert released(node) == []


def test_hearsay_is_not_asked(node: Node) -> None:
    cards = Contacts(node)
    held = cards.put(VN)
    cards.verify(held.card.id, right=False)
    assert Reach(node).plan() == []
    with pytest.raises(NotFound, match="no card to ask"):
        Reach(node).begin()


def test_a_letter_of_which_nobody_knows_whether_it_arrived_does_not_go_again(
    node: Node, box: Mailbox, clock: SetClock
) -> None:
    Contacts(node).put(VN)
    reach = Reach(node)
    reach.begin()
    box.answers["END"] = "LOSE"
    assert reach.send() == Round(unsure=1)
    clock.advance(days=1)
    assert reach.send() == Round()
    assert states(node)["a@vncert.example"] == SENDING
    # If it did arrive, its answer counts.
    reach.answer(token(box.accepted[0].content), right=False)
    assert states(node)["a@vncert.example"] == WRONG


def test_a_mail_server_that_is_away_is_tried_again_later(
    node: Node, box: Mailbox, clock: SetClock
) -> None:
    Contacts(node).put(VN)
    reach = Reach(node)
    reach.begin()
    box.answers["RCPT"] = "451 4.3.0 later"
    assert reach.send() == Round(deferred=1)
    assert states(node)["a@vncert.example"] == WAITING
    assert reach.send() == Round()
    box.answers.clear()
    clock.advance(days=0.5)
    assert reach.send() == Round(sent=1)


def test_a_mail_that_came_back_failed_and_a_made_up_one_changes_nothing(
    node: Node, box: Mailbox
) -> None:
    Contacts(node).put(VN)
    reach = Reach(node)
    reach.begin()
    reach.send()
    content = box.accepted[0].content
    assert not take_back(node, dsn(content, "other@vncert.example"), "mailbox")
    made_up = content.replace(b"Message-ID: <", b"Message-ID: <0")
    assert not take_back(node, dsn(made_up, "a@vncert.example"), "mailbox")
    assert take_back(node, dsn(content, "a@vncert.example"), "mailbox")
    assert states(node)["a@vncert.example"] == FAILED


def test_a_letter_is_encrypted_for_the_key_of_its_card(
    node: Node, box: Mailbox
) -> None:
    theirs = pysequoia.Tsk.generate("A <a@vncert.example>")
    key = read_key(KeyKind.OPENPGP, str(theirs.extract_certificate()).encode())
    Contacts(node).put(replace(VN, keys=(key,)))
    Reach(node).begin()
    Reach(node).send()
    content = box.accepted[0].content
    assert b"BEGIN PGP MESSAGE" in content
    assert b"vncert" not in content.split(b"\r\n\r\n", 1)[1]


def test_calls_are_written_down_by_people_and_a_silent_one_stays_on_the_list(
    node: Node,
) -> None:
    cards = Contacts(node)
    held = cards.put(VN)
    reach = Reach(node)
    reach.begin()
    ((ask, shown),) = reach.calls()
    assert shown == held
    reach.called(ask.n, SILENT, "rang out")
    assert [one.said for one, _ in reach.calls()] == ["rang out"]
    reach.called(ask.n, REACHED)
    assert reach.calls() == []
    assert cards.find(held.card.id).verified > 0
    for number, error in ((ask.n, Conflict), (ask.n + 99, NotFound)):
        with pytest.raises(error):
            reach.called(number, WRONG)


def test_the_report_has_rates_by_party_and_way_and_flags_what_is_stale(
    node: Node, box: Mailbox, clock: SetClock
) -> None:
    cards = Contacts(node)
    cards.put(VN)
    other = replace(VN, name="x", party="sg", mail=("x@sg.example",), phones=())
    cards.put(other)
    reach = Reach(node)
    with pytest.raises(NotFound, match="no drill yet"):
        reach.report()
    reach.begin()
    reach.send()
    clock.advance(seconds=7200)
    (letter,) = (
        one.content for one in box.accepted if one.recipients == ["a@vncert.example"]
    )
    reach.answer(token(letter), right=True)
    report = reach.report()
    rates = {(one.party, one.way): one for one in report.rates}
    assert rates["", "mail"].share == 0.5
    assert rates["", "mail"].hours == pytest.approx(2, abs=0.1)
    assert (rates["vn", "mail"].share, rates["sg", "mail"].share) == (1, 0)
    assert (rates["vn", "phone"].share, rates["vn", "phone"].waiting) == (None, 1)
    assert ("sg", "phone") not in rates
    assert [one.card.name for one in report.stale] == ["x"]


def test_the_first_drill_is_a_persons_and_each_quarter_the_next_begins_by_itself(
    node: Node, box: Mailbox, clock: SetClock
) -> None:
    Contacts(node).put(VN)
    reach = Reach(node)
    assert reach.tick() == Round()
    with pytest.raises(NotFound):
        reach.report()
    reach.begin(actor="ann")
    assert reach.tick() == Round(sent=1)
    clock.advance(days=90)
    assert reach.tick() == Round()
    clock.advance(days=1.1)
    assert reach.tick() == Round(sent=1)
    assert reach.tick() == Round()
    report = reach.report()
    assert (report.drill.n, report.drill.actor) == (2, "serantau")
    # After a long pause one drill begins, not all that were missed.
    clock.advance(days=900)
    assert reach.tick() == Round(sent=1)
    assert reach.report().drill.n == 3
    assert len(box.accepted) == 3


def test_without_the_settings_for_mail_no_drill_begins(
    node: Node, clock: SetClock
) -> None:
    Contacts(node).put(VN)
    bare = msgspec.structs.replace(node.config, http=HttpSection())
    with (
        Node(bare, clock) as other,
        pytest.raises(ConfigError, match=r"http\.base_url"),
    ):
        Reach(other).begin()
    with node.db.read() as tx:
        assert Cards().running(tx) is None
