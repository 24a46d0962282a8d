"""Letters of cases go to cards only, tell what may be told, and go once."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from case_mails import ADDRESS, MM, card_of, key_of, open_case, send, text_of, waits
from couriers import dsn, read, released
from serantau.clock import SetClock
from serantau.config import MailSection, NodeConfig
from serantau.desk.case_assist import Assistance
from serantau.desk.case_mail import CaseMail, Round
from serantau.desk.case_post import CasePost, Guests
from serantau.desk.case_private import Private
from serantau.desk.cases import Casework
from serantau.desk.contacts import Contacts
from serantau.desk.relay import KEY_FILE
from serantau.errors import BadRequest, Conflict, Forbidden
from serantau.node import Node
from serantau.records.peers import Peer, Peers
from serantau.rules.card import Duty
from serantau.rules.case_entry import Kind
from serantau.rules.case_mail import tokens
from serantau.rules.level import Tlp
from smtp_server import Mailbox


def test_a_party_without_a_node_gets_the_log_and_then_what_is_new(
    node: Node, box: Mailbox, clock: SetClock
) -> None:
    Contacts(node).put(MM)
    case = open_case(node)
    assert send(node) == Round(sent=1)
    assert send(node) == Round()
    clock.advance(seconds=300)
    Casework(node).assess(case, severity_level="high", description="two hosts in mm")
    assert CasePost(node).once().letters == Round(sent=1)
    first, second = (read(one.content) for one in box.accepted)
    assert [one.recipients for one in box.accepted] == [[ADDRESS]] * 2
    assert "Phishing kit" in text_of(first)
    assert "  | at bank.example" in text_of(first)
    assert "two hosts in mm" in text_of(second)
    assert "at bank.example" not in text_of(second)
    (token,) = tokens(first["Subject"])
    assert tokens(second["Subject"]) == {token} == tokens(text_of(second))
    assert str(first["Subject"]).startswith("[TLP:AMBER] [case-")
    assert second["In-Reply-To"] == second["References"] == first["Message-ID"]
    assert first["Auto-Submitted"] == "auto-generated"
    assert first.get_content_type() == "multipart/signed"
    log = [(row.whom, row.way, row.actor, row.count) for row in released(node)]
    assert log == [
        ("mm", "case mail", "ann", 2),
        ("mm", "case mail", "serantau", 1),
    ]


def test_case_mail_never_mails_an_address_without_a_card(
    node: Node, box: Mailbox, clock: SetClock
) -> None:
    guests, cards = Guests(node), Contacts(node)
    case = Casework(node).open("Phishing kit").id
    with pytest.raises(BadRequest, match="No contact card of mm"):
        guests.invite_by_mail(case, ["mm"])
    held = cards.put(MM)
    guests.invite_by_mail(case, ["mm"])
    # The address leaves the card between the invitation and the letter.
    cards.put(replace(held.card, mail=(), phones=("+9512345678",)))
    assert send(node) == Round(waiting=1)
    assert waits(node) == ["no contact card of mm that is believed has a mail address"]
    cards.put(replace(held.card, mail=("new@mm.example",)))
    clock.advance(seconds=61)
    cards.verify(held.card.id, right=False)
    assert send(node) == Round(waiting=1)
    assert box.accepted == []
    assert released(node) == []
    clock.advance(seconds=61)
    cards.verify(held.card.id)
    assert send(node) == Round(sent=1)
    assert [one.recipients for one in box.accepted] == [["new@mm.example"]]


@pytest.mark.parametrize(
    ("level", "most"),
    [
        ("GREEN", "TLP:CLEAR"),
        ("GREEN", "TLP:GREEN"),
        ("AMBER", "TLP:AMBER"),
        ("AMBER+STRICT", "TLP:AMBER"),
    ],
)
def test_what_is_stricter_than_the_setting_goes_encrypted_or_waits(
    config: NodeConfig,
    clock: SetClock,
    box: Mailbox,
    level: str,
    most: str,
) -> None:
    cases = msgspec.structs.replace(config.cases, clear=most)
    with Node(msgspec.structs.replace(config, cases=cases), clock) as node:
        held = Contacts(node).put(MM)
        open_case(node, level)
        if Tlp.parse(level) <= Tlp.parse(most):
            assert send(node) == Round(sent=1)
            return
        assert send(node) == Round(waiting=1)
        assert waits(node) == [
            f"TLP:{level} does not go unencrypted, and the card of mm has no "
            "OpenPGP key"
        ]
        assert box.accepted == []
        assert released(node) == []
        Contacts(node).put(replace(held.card, keys=card_of().keys))
        clock.advance(seconds=61)
        assert send(node) == Round(sent=1)
        (content,) = box.messages
        assert b"Phishing" not in content
        assert b"bank.example" not in content
        assert tokens(str(read(content)["Subject"]))
        secret = content.partition(b"-----BEGIN PGP MESSAGE")
        opened = key_of("mm").decrypt(secret[1] + secret[2], [], 1_000_000)
        assert b"Phishing kit" in opened.content


def test_a_key_that_ended_is_no_reason_to_go_in_clear(
    node: Node, box: Mailbox, clock: SetClock
) -> None:
    (key,) = card_of().keys
    ended = replace(key, expires=clock.now() - 1)
    Contacts(node).put(replace(MM, keys=(ended,)))
    open_case(node, "CLEAR")
    assert send(node) == Round(waiting=1)
    assert "has ended" in waits(node)[0]
    assert box.accepted == []


def test_what_is_secret_goes_to_the_card_that_has_a_key(
    node: Node, box: Mailbox
) -> None:
    Contacts(node).put(MM)
    other = ("key@mm.example",)
    Contacts(node).put(
        replace(card_of(), name="Two", duties=(Duty.POLICY,), mail=other)
    )
    open_case(node)
    assert send(node).sent == 1
    assert box.accepted[0].recipients == [ADDRESS]
    open_case(node, "AMBER+STRICT")
    assert send(node).sent == 1
    assert box.accepted[1].recipients == [*other]


def test_what_the_release_policy_withholds_is_in_no_letter(
    node: Node, box: Mailbox, clock: SetClock
) -> None:
    Contacts(node).put(MM)
    case = open_case(node)
    with node.db.write() as tx:
        _, party = node.registry.party(tx, "mm")
        node.registry.put_party(tx, replace(party, blocked=True))
    assert send(node) == Round(waiting=1)
    assert "party-blocked" in waits(node)[0]
    with node.db.write() as tx:
        node.registry.put_party(tx, replace(party, ceiling=Tlp.GREEN))
    clock.advance(seconds=61)
    assert send(node) == Round(waiting=1)
    assert "above-ceiling" in waits(node)[0]
    with node.db.write() as tx:
        node.registry.put_party(tx, replace(party, until=clock.now()))
    clock.advance(seconds=61)
    assert send(node) == Round(waiting=1)
    assert box.accepted == []
    assert released(node) == []
    with pytest.raises(Forbidden, match="ended"):
        Guests(node).invite_by_mail(case, ["mm"])


def test_every_kind_of_entry_is_told_and_what_is_private_is_not(
    node: Node, box: Mailbox
) -> None:
    Contacts(node).put(MM)
    case = open_case(node)
    work = Casework(node)
    _, task = work.add_task(case, "Take down 203.0.113.5", "mm")
    work.move_task(case, task, "doing")
    work.embargo(case, "propose", node.clock.now() + 10**12)
    _, ask = Assistance(node).ask(case, "Image of the host", ["mm"], limits="no names")
    work.correct(case, ask, name="Image of both hosts")
    work.hand_over(case, "mm")
    work.close(case, "gone")
    work.reopen(case)
    private = Private(node)
    private.note(case, "CANARY note")
    private.add_task(case, "CANARY task")
    private.add_file(case, "CANARY.txt", b"CANARY file")
    assert send(node) == Round(sent=1)
    text = text_of(read(box.messages[0]))
    for said in (
        "task\n  | Take down 203.0.113.5\n  | party: mm",
        "  | doing\n  | about: " + task[12:20],
        "embargo: do not tell others\n  | propose\n  | until: 2026-",
        "asks for help\n  | Image of the host\n  | party: mm\n  | limits: no names",
        "correction\n  | Image of both hosts",
        "offers the case to\n  | party: mm",
        "closed the case\n  | gone",
        "opened the case again",
    ):
        assert said in text, said
    assert "CANARY" not in text
    assert b"CANARY" not in box.messages[0]


def test_the_letter_is_in_the_partys_language_where_there_is_one(
    node: Node, box: Mailbox
) -> None:
    Contacts(node).put(replace(MM, languages=("th", "my")))
    case = open_case(node, name="ชุดเครื่องมือฟิชชิง")
    assert send(node) == Round(sent=1)
    message = read(box.messages[0])
    assert message["Content-Language"] == "th"
    assert "โปรดตอบกลับอีเมลฉบับนี้" in text_of(message)
    assert str(message["Subject"]).endswith("ชุดเครื่องมือฟิชชิง")
    assert case


def test_only_the_node_that_let_a_party_in_writes_to_it(
    node: Node, box: Mailbox
) -> None:
    Contacts(node).put(MM)
    case = open_case(node)
    assert send(node).sent == 1
    # By now it has a node, and speaks for itself.
    Guests(node).has_node(case, "mm")
    Casework(node).assess(case, description="more")
    assert send(node) == Round()
    assert len(box.accepted) == 1
    with pytest.raises(Conflict, match="node of its own"):
        Guests(node).invite_by_mail(case, ["mm"])
    with pytest.raises(Conflict, match="does not take part by mail"):
        Guests(node).has_node(case, "mm")


def test_a_party_with_a_node_or_a_login_is_not_let_in_by_mail(node: Node) -> None:
    Contacts(node).put(MM)
    Contacts(node).put(replace(MM, name="VN", party="vn", mail=("soc@vn.example",)))
    case = Casework(node).open("Phishing kit").id
    with node.db.write() as tx:
        Peers().add(tx, Peer("mm", "http://mm.example", secret="x"), node.seal)
        node.registry.add_user(tx, "vn-node", "vn", "reader", "a password of vn")
    for party in ("mm", "vn", "th"):
        with pytest.raises(Conflict):
            Guests(node).invite_by_mail(case, [party])


def test_mail_that_comes_back_silences_the_address_and_loses_nothing(
    node: Node, box: Mailbox, clock: SetClock
) -> None:
    cards = Contacts(node)
    held = cards.put(replace(MM, mail=(ADDRESS, "two@mm.example")))
    open_case(node)
    assert send(node).sent == 1
    post = CaseMail(node)
    back = dsn(box.messages[0], ADDRESS)
    assert not post.bounced(dsn(box.messages[0], "other@mm.example"))
    assert not post.bounced(back.replace(b"Message-ID: <", b"Message-ID: <0"))
    clock.advance(seconds=60)
    for _ in range(2):
        assert post.bounced(back)
    assert "550 no such user" in post.threads()[0].trouble
    assert send(node).sent == 1
    assert box.accepted[1].recipients == ["two@mm.example"]
    assert "at bank.example" in text_of(read(box.messages[1]))
    assert post.bounced(dsn(box.messages[1], "two@mm.example"))
    assert send(node) == Round(waiting=1)
    assert "came back" in waits(node)[-1]
    clock.advance(seconds=61)
    cards.verify(held.card.id)
    assert send(node).sent == 1


def test_one_party_gets_no_more_letters_in_an_hour_than_the_setting(
    config: NodeConfig, clock: SetClock, box: Mailbox
) -> None:
    cases = msgspec.structs.replace(config.cases, hourly=2)
    with Node(msgspec.structs.replace(config, cases=cases), clock) as node:
        Contacts(node).put(MM)
        case = open_case(node)
        for place in range(4):
            Casework(node).assess(case, description=f"word {place}")
            send(node)
            clock.advance(seconds=61)
        assert len(box.accepted) == 2
        assert "cases.hourly" in waits(node)[0]
        clock.advance(seconds=3600)
        assert send(node).sent == 1
        text = text_of(read(box.messages[2]))
        assert "word 2" in text
        assert "word 3" in text


def test_what_a_server_puts_off_or_refuses_goes_later_or_waits_for_a_person(
    node: Node, box: Mailbox, clock: SetClock
) -> None:
    Contacts(node).put(MM)
    case = open_case(node)
    box.answers["RCPT"] = "451 4.2.0 later"
    assert send(node) == Round(deferred=1)
    box.answers = {"END": "554 5.7.1 not this"}
    Casework(node).assess(case, description="meanwhile")
    clock.advance(seconds=61)
    assert send(node) == Round(failed=1)
    box.answers = {"END": "LOSE"}
    post = CaseMail(node)
    ((letter, _),) = post.letters()
    assert (letter.state, letter.said) == ("failed", "554 5.7.1 not this")
    post.settle(letter.n, sent=False)
    assert send(node) == Round(unsure=1)
    box.answers = {}
    clock.advance(seconds=100_000)
    assert send(node) == Round()
    unsure = next(one for one, _ in post.letters() if one.state == "unsure")
    assert post.settle(unsure.n, sent=True).state == "sent"
    with pytest.raises(Conflict, match="not unsure or failed"):
        post.settle(unsure.n, sent=False)
    assert len(box.accepted) == 1
    assert "meanwhile" in text_of(read(box.messages[0]))


def test_without_a_mail_server_or_a_key_letters_wait_and_say_so(
    config: NodeConfig, clock: SetClock
) -> None:
    (config.home / "keys" / KEY_FILE).unlink()
    with Node(config, clock) as node:
        Contacts(node).put(MM)
        open_case(node)
        assert send(node) == Round(waiting=1)
        assert "serantau notice key" in waits(node)[0]
    with Node(msgspec.structs.replace(config, mail=MailSection()), clock) as node:
        clock.advance(seconds=61)
        assert send(node) == Round(waiting=1)
        assert "mail.host" in waits(node)[0]


def test_a_reminder_goes_to_whom_it_is_about_and_to_no_other(
    node: Node, box: Mailbox
) -> None:
    cards, work = Contacts(node), Casework(node)
    cards.put(MM)
    cards.put(replace(MM, party="kh", mail=("soc@kh.example",)))
    case = open_case(node)
    Guests(node).invite_by_mail(case, ["kh"])
    assert send(node).sent == 2
    (about,) = (one.party for one in work.show(case).parts if one.name == "mm")
    with node.db.write() as tx:
        work.tell(tx, case, Kind.REMINDER, about, "acknowledge")
    assert send(node) == Round(sent=1)
    assert box.accepted[-1].recipients == [ADDRESS]
    text = text_of(read(box.messages[-1]))
    assert "reminds you: an answer is overdue (acknowledge)" in text
