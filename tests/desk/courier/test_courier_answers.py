"""What comes back: bounces, and answers of mail servers and webhooks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from couriers import (
    contact,
    deliveries,
    dsn,
    make,
    notice,
    read,
    released,
    send,
)
from notice_events import make_node, open_node, reach, row
from serantau.clock import SetClock
from serantau.desk.courier import Courier, Round, ways
from serantau.node import Node
from serantau.rules.contact import Kind
from serantau.rules.contact import State as ContactState
from serantau.rules.level import Tlp
from serantau.rules.notice import Sending, State
from serantau.wire.openpgp import Key
from serantau.wire.webhook import signature
from smtp_server import Mailbox
from web_hook import web_hook


def test_a_refused_recipient_marks_the_contact_and_the_others_still_get_it(
    node: Node, box: Mailbox, clock: SetClock
) -> None:
    reach(node)
    make(node)
    box.answers["RCPT"] = "550 5.1.1 no such user"
    assert send(node) == Round(bounced=1)
    assert (contact(node).state, notice(node).state) == (
        ContactState.BOUNCING,
        State.FAILED,
    )
    assert "no such user" in contact(node).fault
    box.answers.clear()
    # Nothing more goes there until somebody puts it right.
    later = row(last=8)
    assert make(node, later, day="2026-03-06") == []
    assert send(node) == Round()
    reach(node)
    # What it missed meanwhile was not counted as told.
    assert len(make(node, later, day="2026-03-06")) == 1
    Courier(node, "ann").retry(1)
    assert send(node).sent == 2


def test_a_mail_that_comes_back_later_marks_the_contact(
    node: Node, box: Mailbox
) -> None:
    reach(node)
    make(node)
    send(node)
    courier = Courier(node, "ann")
    back = dsn(box.messages[0], "NOC@bank.example.th")
    found = courier.bounced(back)
    assert found is not None
    assert found.state is Sending.BOUNCED
    assert contact(node).state is ContactState.BOUNCING
    assert contact(node).fault == "smtp; 550 no such user"
    assert notice(node).state == State.FAILED
    # Whoever reads it again changes nothing, also when it is put right by then.
    reach(node)
    assert courier.bounced(back) == found
    assert contact(node).state is ContactState.ACTIVE


@pytest.mark.parametrize(
    "forged", ["recipient", "nobody", "key", "action", "kind", "rubbish"]
)
def test_a_strangers_bounce_silences_nobody(
    node: Node, box: Mailbox, forged: str
) -> None:
    reach(node)
    make(node)
    send(node)
    back = dsn(box.messages[0], "noc@bank.example.th")
    key = deliveries(node)[0].key.encode()
    changed = {
        "recipient": dsn(box.messages[0], "x@bank.example.th"),
        "nobody": back.replace(b"Final-Recipient", b"X-Recipient"),
        "key": back.replace(key, b"0" * 32),
        "action": dsn(box.messages[0], "noc@bank.example.th", "delayed"),
        "kind": back.replace(b"report-type=delivery-status", b"report-type=other"),
        "rubbish": b"\xff\x00 not a mail",
    }[forged]
    assert Courier(node, "ann").bounced(changed) is None
    assert contact(node).state is ContactState.ACTIVE


def test_one_bounced_contact_of_two_leaves_the_notice_told(
    node: Node, box: Mailbox
) -> None:
    reach(node)
    reach(node, address="two@bank.example.th")
    make(node)
    assert send(node).sent == 2
    one = next(each for each in box.accepted if "noc@" in each.recipients[0])
    Courier(node, "ann").bounced(dsn(one.content, "noc@bank.example.th"))
    assert notice(node).state == State.TOLD


def test_a_node_without_a_mail_server_keeps_its_notices_until_it_has_one(
    home: Path, clock: SetClock, box: Mailbox
) -> None:
    with make_node(home, clock, automatic=True) as node:
        reach(node)
        make(node)
        for _ in range(20):
            assert send(node) == Round(blocked=1)
            clock.advance(days=1)
        assert deliveries(node)[0].tries == 0
        assert contact(node).state is ContactState.ACTIVE
    with open_node(home, clock, port=box.port) as node:
        assert send(node) == Round(sent=1)


def test_a_password_file_that_is_not_there_is_told(
    home: Path, clock: SetClock, box: Mailbox
) -> None:
    with make_node(home, clock, port=box.port, automatic=True) as node:
        reach(node)
        make(node)
        node.config = replace_mail(node, password_file="nowhere")
        assert send(node).deferred == 1
        assert "password_file" in deliveries(node)[0].fault
        clock.advance(days=1)
        (home / "secret").write_text("right\n")
        box.login = ("th", "right")
        node.config = replace_mail(node, password_file="secret", user="th")
        assert send(node).sent == 1
        assert box.accepted[0].user == "th"


def test_notices_come_from_somebody(home: Path, clock: SetClock, box: Mailbox) -> None:
    with make_node(home, clock, port=box.port, automatic=True) as node:
        reach(node)
        make(node)
        node.config = replace_mail(node, sender="")
        assert send(node) == Round(blocked=1)
        assert ways(node.config)[Kind.MAIL].startswith("mail.sender is empty")
        assert box.connections == 0


def replace_mail(node: Node, **more: Any) -> Any:
    mail = msgspec.structs.replace(node.config.mail, **more)
    return msgspec.structs.replace(node.config, mail=mail)


def test_a_webhook_gets_the_notice_signed_and_once(node: Node) -> None:
    with web_hook() as hook:
        reach(node, address=hook.url, kind=Kind.WEBHOOK, secret="shared", language="th")
        make(node)
        assert send(node) == Round(sent=1)
        assert send(node) == Round()
    (got,) = hook.got
    key = deliveries(node)[0].key
    assert got.headers["Idempotency-Key"] == f'"{key}"'
    assert got.headers["Serantau-Signature"] == signature("shared", got.content)
    said = orjson.loads(got.content)
    assert (said["party"], said["class"], said["tlp"]) == (
        "bank",
        "malicious-code",
        "TLP:AMBER",
    )
    assert "203.0.113.7" in said["csv"]
    assert "สิ่งที่ควรทำ" in said["text"]
    assert b"shared" not in got.content
    (logged,) = released(node)
    assert logged.way == "notice by webhook"


def test_a_webhook_without_an_answer_is_not_called_again(
    node: Node, clock: SetClock
) -> None:
    with web_hook() as hook:
        hook.status = 0
        reach(node, address=hook.url, kind=Kind.WEBHOOK)
        make(node)
        assert send(node) == Round(unsure=1)
        clock.advance(days=1)
        hook.status = 204
        assert send(node) == Round()
        assert len(hook.got) == 1
        Courier(node, "ann").settle(1, sent=False)
        assert send(node).sent == 1
    one, again = hook.got
    assert one.headers["Idempotency-Key"] == again.headers["Idempotency-Key"]


def test_red_rows_never_leave_by_webhook(node: Node) -> None:
    with web_hook() as hook:
        reach(node, address=hook.url, kind=Kind.WEBHOOK)
        make(node, row(last=7), row(last=66, tlp=int(Tlp.RED), malware="redware"))
        assert send(node).sent == 1
    assert b"203.0.113.7" in hook.got[0].content
    assert b"203.0.113.66" not in hook.got[0].content
    assert b"redware" not in hook.got[0].content


def test_a_key_of_ones_own_signs(node: Node, box: Mailbox, home: Path) -> None:
    (home / "mine.asc").write_bytes(Key.generate("T <t@cert.example.th>"))
    node.config = replace_mail(node, key_file="mine.asc")
    reach(node)
    make(node)
    assert send(node).sent == 1
    assert read(box.messages[0]).get_content_type() == "multipart/signed"
