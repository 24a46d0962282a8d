"""Notices go to whom they are for, over a real SMTP server, and never twice."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import pysequoia
import pytest

from couriers import (
    contact,
    deliveries,
    file_of,
    make,
    notice,
    read,
    released,
    send,
    text_of,
)
from notice_events import OWNERS, make_node, reach, row
from serantau.clock import SetClock
from serantau.desk.courier import Courier, Round, put_into
from serantau.errors import BadRequest, Conflict, NotFound
from serantau.node import Node
from serantau.records.contacts import Contacts
from serantau.rules.contact import Kind
from serantau.rules.contact import State as ContactState
from serantau.rules.level import Tlp
from serantau.rules.notice import Sending, State
from serantau.wire.openpgp import Key
from smtp_server import Mailbox


def test_an_owner_gets_one_mail_with_what_to_do_and_the_rows(
    node: Node, box: Mailbox
) -> None:
    reach(node)
    make(node, row(last=7), row(last=8))
    assert send(node) == Round(sent=1)
    (accepted,) = box.accepted
    assert accepted.recipients == ["noc@bank.example.th"]
    mail = read(accepted.content)
    assert mail["To"] == "noc@bank.example.th"
    assert mail["Subject"] == (
        "[TLP:AMBER] ThaiCERT: malicious code, 2 machines, 2026-03-05 (notice 1)"
    )
    text = text_of(mail)
    for said in ("Siam Bank", "Infected machine", "What to do", "How to confirm"):
        assert said in text
    name, content = file_of(mail)
    assert name == "notice-1-malicious-code-2026-03-05.csv"
    assert content.count(b"203.0.113.") == 2
    assert name in text
    assert notice(node).state == State.TOLD


def test_each_contact_gets_its_own_language(node: Node, box: Mailbox) -> None:
    reach(node, address="en@bank.example.th")
    reach(node, address="th@bank.example.th", language="th")
    reach(node, address="km@bank.example.th", language="km")
    make(node)
    assert send(node).sent == 3
    mails = {each.recipients[0][:2]: read(each.content) for each in box.accepted}
    assert "What to do" in text_of(mails["en"])
    assert "สิ่งที่ควรทำ" in text_of(mails["th"])
    assert mails["th"]["Content-Language"] == "th"
    assert "is not translated into" in text_of(mails["km"])
    assert mails["km"]["Content-Language"] == "en"


def test_a_mail_is_signed_and_encrypted_where_a_key_is_known(
    node: Node, box: Mailbox, home: Path
) -> None:
    (home / "keys" / "openpgp.asc").write_bytes(
        Key.generate("ThaiCERT <cert@cert.example.th>")
    )
    owner = pysequoia.Tsk.generate("NOC <noc@bank.example.th>")
    reach(node, certificate=str(owner.extract_certificate()))
    reach(node, address="other@bank.example.th")
    make(node)
    assert send(node).sent == 2
    kinds = {
        each.recipients[0]: read(each.content).get_content_type()
        for each in box.accepted
    }
    assert kinds == {
        "noc@bank.example.th": "multipart/encrypted",
        "other@bank.example.th": "multipart/signed",
    }
    secret = next(each.content for each in box.accepted if "noc@" in each.recipients[0])
    assert b"203.0.113" not in secret
    assert read(secret)["Subject"] == "ThaiCERT: notice 1"
    part = list(read(secret).iter_parts())[1].get_payload(decode=True)
    assert isinstance(part, bytes)
    opened = pysequoia.decrypt(part, owner.decryptor()).bytes
    assert opened is not None
    assert "[TLP:AMBER]" in str(read(opened)["Subject"])
    assert b"203.0.113.7" in file_of(read(opened))[1]


def test_an_ended_certificate_stops_the_mail_and_nothing_goes_in_clear(
    node: Node, box: Mailbox
) -> None:
    owner = pysequoia.Tsk.generate("x <x@bank.example.th>", validity_seconds=1)
    held = str(owner.extract_certificate())
    reach(node, certificate=held)
    with node.db.write() as tx:
        node.clock.advance(days=20_000)  # type: ignore[attr-defined]
        assert tx.clock.now() > 0
    make(node)
    assert send(node).failed == 1
    assert box.connections == 0
    assert notice(node).state == State.FAILED
    assert "ended on" in notice(node).fault


def test_a_large_file_is_packed(node: Node, box: Mailbox) -> None:
    reach(node)
    many = [row(last=n % 250, source_port=n, identifier="x" * 900) for n in range(2200)]
    make(node, *many)
    assert send(node).sent == 1
    name, content = file_of(read(box.messages[0]))
    assert name.endswith(".csv.gz")
    assert gzip.decompress(content).count(b"\r\n") == 2201
    assert name in text_of(read(box.messages[0]))


def test_a_folder_gets_a_letter_once(node: Node, tmp_path: Path, box: Mailbox) -> None:
    folder = tmp_path / "drop"
    folder.mkdir()
    reach(node, address=str(folder), kind=Kind.FOLDER)
    make(node)
    assert send(node).sent == 1
    (found,) = folder.iterdir()
    assert found.name == f"{deliveries(node)[0].key}.eml"
    assert "Infected machine" in text_of(read(found.read_bytes()))
    assert box.connections == 0


def test_a_folder_that_is_gone_marks_the_contact(node: Node, tmp_path: Path) -> None:
    reach(node, address=str(tmp_path / "gone"), kind=Kind.FOLDER)
    make(node)
    assert send(node).bounced == 1
    assert contact(node).state is ContactState.BOUNCING


def test_a_letter_is_put_whole_or_not_at_all(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop() -> None:
        raise Stop

    with pytest.raises(Stop):
        put_into(tmp_path, "k", b"x", stop)
    assert not list(tmp_path.glob("*.eml"))
    assert put_into(tmp_path, "k", b"x", lambda: None).event == "accept"
    assert put_into(tmp_path, "k", b"y", lambda: None).event == "accept"
    assert (tmp_path / "k.eml").read_bytes() == b"x"
    # Something stands in the way of the draft.
    (tmp_path / ".l.part").mkdir()
    assert put_into(tmp_path, "l", b"x", lambda: None).event == "defer"


def test_an_exercise_says_so_in_every_mail(
    tmp_path: Path, clock: SetClock, box: Mailbox
) -> None:
    owner = pysequoia.Tsk.generate("Bank <cert@bank.example.th>")
    sealed = str(owner.extract_certificate())
    with make_node(
        tmp_path / "x", clock, port=box.port, realm="exercise:acid", automatic=True
    ) as node:
        reach(node, language="th")
        reach(node, address="cert@bank.example.th", certificate=sealed)
        make(node)
        assert send(node).sent == 2
    mail, hidden = map(read, box.messages)
    # In the reader's language, and in that of everyone who may open it.
    assert mail["Subject"].startswith("ฝึกซ้อม EXERCISE ")
    assert "Nothing in it is real." in text_of(mail)
    assert "ฝึกซ้อม ฝึกซ้อม" in text_of(mail)
    assert hidden["Subject"].startswith("EXERCISE ")
    assert mail["Serantau-Realm"] == hidden["Serantau-Realm"] == "exercise:acid"


def test_nothing_goes_to_an_address_that_is_not_in_the_registry(
    node: Node, box: Mailbox
) -> None:
    reach(node, "shop", "noc@shop.example.th")
    assert make(node) == []
    mine = reach(node)
    make(node)
    with node.db.write() as tx:
        Contacts().remove(tx, mine.number)
    assert send(node) == Round(unaddressed=1)
    assert (box.connections, notice(node).state) == (0, State.FAILED)
    assert "has no contact" in notice(node).fault
    # A contact that came since gets it when somebody says so.
    reach(node)
    assert send(node) == Round()
    Courier(node, "ann").retry(1)
    assert send(node).sent == 1
    assert box.accepted[0].recipients == ["noc@bank.example.th"]


@pytest.mark.parametrize("how", ["removed", "blocked", "another party's"])
def test_a_contact_that_went_before_the_mail_gets_nothing(
    node: Node, box: Mailbox, how: str
) -> None:
    reach(node)
    make(node)
    with node.db.write() as tx:
        Courier(node, "ann")._address(tx, notice(node))
        if how == "removed":
            Contacts().remove(tx, 1)
        elif how == "blocked":
            Contacts().mark(tx, 1, ContactState.BLOCKED)
        else:
            shop, _ = node.registry.party(tx, "shop")
            tx.run("UPDATE contact SET party = :shop", shop=shop)
    send(node)
    assert (box.connections, notice(node).state) == (0, State.FAILED)


def test_a_party_that_was_blocked_after_approval_gets_nothing(
    node: Node, box: Mailbox
) -> None:
    reach(node)
    make(node)
    with node.db.write() as tx:
        node.registry.put_party(tx, replace(OWNERS["bank"], blocked=True))
    assert send(node) == Round(failed=1, withheld=1)
    assert box.connections == 0
    assert notice(node).state == State.WITHHELD
    assert "party-blocked" in notice(node).fault
    assert released(node) == []
    with node.db.write() as tx:
        node.registry.put_party(tx, OWNERS["bank"])
    Courier(node, "ann").retry(1)
    assert send(node).sent == 1


def test_red_rows_never_leave_by_mail_webhook_or_folder(
    node: Node, box: Mailbox, tmp_path: Path
) -> None:
    folder = tmp_path / "drop"
    folder.mkdir()
    reach(node)
    reach(node, address=str(folder), kind=Kind.FOLDER)
    make(node, row(last=7), row(last=66, tlp=int(Tlp.RED), malware="redware"))
    assert send(node).sent == 2
    (letter,) = folder.iterdir()
    for content in (box.messages[0], letter.read_bytes()):
        _, rows = file_of(read(content))
        assert b"203.0.113.7" in rows
        for secret in (b"203.0.113.66", b"redware", b"RED"):
            assert secret not in rows
            assert secret.decode() not in text_of(read(content))


def test_red_rows_that_came_into_a_notice_never_leave(node: Node, box: Mailbox) -> None:
    reach(node)
    make(node)
    with node.db.write() as tx:
        tx.run("UPDATE notice SET facts = replace(facts, '\"2\":1', '\"4\":1')")
    assert send(node).withheld == 1
    assert box.connections == 0


@pytest.mark.parametrize("level", [Tlp.AMBER, Tlp.AMBER_STRICT])
def test_strict_rows_go_only_to_their_owner(
    node: Node, box: Mailbox, level: Tlp
) -> None:
    for party in OWNERS:
        reach(node, party, f"noc@{party}.example.th")
    secrets = {name: f"203.0.113.{n}" for n, name in enumerate(OWNERS, 50)}
    make(
        node,
        *(
            row(name, source_address=address, tlp=int(level))
            for name, address in secrets.items()
        ),
    )
    assert send(node).sent == len(OWNERS)
    for each in box.accepted:
        (whom,) = each.recipients
        mail = read(each.content)
        seen = text_of(mail).encode() + file_of(mail)[1]
        for name, address in secrets.items():
            assert (address.encode() in seen) == (f"@{name}." in whom)


def test_every_notice_that_leaves_is_in_the_release_log_once(
    node: Node, box: Mailbox, clock: SetClock
) -> None:
    reach(node)
    make(node, row(last=7), row(last=8, tlp=0))
    box.answers["RCPT"] = "450 later"
    assert send(node).deferred == 1
    box.answers.clear()
    clock.advance(days=1)
    assert send(node).sent == 1
    (logged,) = released(node)
    assert (logged.whom, logged.actor, logged.way, logged.count) == (
        "bank",
        "ann",
        "notice by mail",
        2,
    )
    assert deliveries(node)[0].key in logged.request
    assert "notice 1, malicious-code, 2026-03-05" in logged.request


def test_it_is_in_the_release_log_before_the_first_byte_leaves(
    node: Node, box: Mailbox
) -> None:
    reach(node)
    make(node)
    seen: list[int] = []
    box.hold = lambda: seen.append(len(released(node)))
    assert send(node).sent == 1
    assert seen == [1]


def test_what_waits_for_approval_or_was_dropped_does_not_leave(
    home: Path, clock: SetClock, box: Mailbox
) -> None:
    with make_node(home, clock, port=box.port) as node:
        reach(node)
        make(node)
        make(node, row(last=8), day="2026-03-06")
        assert send(node) == Round()
        courier = Courier(node, "ann")
        courier.drop(2)
        assert courier.approve(1).state == State.READY
        assert send(node).sent == 1
        assert box.accepted[0].content.count(b"Message-ID") == 1
        with pytest.raises(Conflict, match="is dropped"):
            courier.approve(2)
        with pytest.raises(Conflict, match="is sent to"):
            courier.drop(1)
        with pytest.raises(NotFound):
            courier.approve(9)


def test_what_is_held_waits_with_its_reason_until_it_is_approved(
    home: Path, clock: SetClock, box: Mailbox
) -> None:
    with make_node(home, clock, port=box.port, automatic=True) as node:
        reach(node)
        make(node)
        courier = Courier(node, "ann")
        with pytest.raises(BadRequest, match="Say why"):
            courier.hold(1, " ")
        held = courier.hold(1, "the bank asked for one day")
        assert (held.state, held.fault) == (State.WAITING, "the bank asked for one day")
        assert send(node) == Round()
        assert courier.hold(1, "for two").fault == "for two"
        assert courier.approve(1).fault == ""
        assert send(node).sent == 1
        with pytest.raises(Conflict, match="is sent to"):
            courier.hold(1, "too late")


def test_a_second_round_sends_nothing_again(node: Node, box: Mailbox) -> None:
    reach(node)
    make(node)
    send(node)
    make(node)
    assert send(node) == Round()
    assert len(box.accepted) == 1


def test_a_mail_that_was_put_off_goes_under_the_same_message_id(
    node: Node, box: Mailbox, clock: SetClock
) -> None:
    reach(node)
    make(node)
    box.answers["END"] = "451 4.3.0 later"
    assert send(node) == Round(deferred=1)
    # Not before it is due.
    assert send(node) == Round()
    key = deliveries(node)[0].key
    box.answers.clear()
    clock.advance(seconds=301)
    assert send(node) == Round(sent=1)
    assert str(read(box.messages[0])["Message-ID"]) == f"<{key}@cert.example.th>"


def test_it_is_given_up_after_so_many_tries(
    home: Path, clock: SetClock, box: Mailbox
) -> None:
    with make_node(home, clock, port=box.port, automatic=True, tries=3) as node:
        reach(node)
        make(node)
        box.answers["MAIL"] = "451 later"
        for _ in range(2):
            assert send(node).deferred == 1
            clock.advance(days=1)
        assert send(node).failed == 1
        assert notice(node).state == State.FAILED
        assert "451" in notice(node).fault


def test_a_mail_without_an_answer_is_not_sent_again_until_somebody_says_so(
    node: Node, box: Mailbox, clock: SetClock
) -> None:
    reach(node)
    make(node)
    box.answers["END"] = "LOSE"
    assert send(node) == Round(unsure=1)
    box.answers.clear()
    clock.advance(days=2)
    assert send(node) == Round()
    assert len(box.accepted) == 1
    assert (deliveries(node)[0].state, notice(node).state) == (
        Sending.UNSURE,
        State.READY,
    )
    courier = Courier(node, "ann")
    assert courier.settle(1, sent=True) == 1
    assert notice(node).state == State.TOLD
    with pytest.raises(NotFound):
        courier.settle(1, sent=True)


def test_the_key_is_the_same_on_a_node_restored_from_a_backup(
    home: Path, clock: SetClock, box: Mailbox, tmp_path: Path
) -> None:
    keys = []
    for name in ("one", "two"):
        with make_node(tmp_path / name, clock, automatic=True) as node:
            seal = (tmp_path / "one" / "keys" / "seal.key").read_bytes()
            (tmp_path / name / "keys" / "seal.key").write_bytes(seal)
            reach(node)
            make(node)
            send(node)
            keys.append(deliveries(node)[0].key)
    assert keys[0] == keys[1]
    with make_node(tmp_path / "three", clock, automatic=True) as node:
        reach(node)
        make(node)
        send(node)
        # Nobody who lacks the node's key can guess one.
        assert deliveries(node)[0].key not in keys
