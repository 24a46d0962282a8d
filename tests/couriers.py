"""What tests of the courier share: a node with notices, and what became of them."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage
from typing import Any

from notice_events import DAY, frame, row
from serantau.desk.courier import Courier, Round
from serantau.desk.notify import Notify
from serantau.node import Node
from serantau.records.contacts import Contacts
from serantau.records.notices import Delivery, Notice, Notices
from serantau.rules.contact import Contact

LEASE_DAYS = 0.02


def make(node: Node, *rows: dict[str, Any], day: str = DAY) -> list[Notice]:
    return Notify(node, "ann").make(frame(*(rows or (row(),))), day).made


def send(node: Node) -> Round:
    return Courier(node, "ann").send()


def notice(node: Node, number: int = 1) -> Notice:
    with node.db.read() as tx:
        return Notices().get(tx, number)


def deliveries(node: Node, number: int = 1) -> list[Delivery]:
    with node.db.read() as tx:
        return Notices().deliveries(tx, number)


def contact(node: Node, number: int = 1) -> Contact:
    with node.db.read() as tx:
        return Contacts().get(tx, number)


def released(node: Node) -> list[Any]:
    with node.db.read() as tx:
        return tx.rows(
            "SELECT r.*, p.name AS whom FROM ledger.release r "
            "JOIN party p ON p.n = r.party ORDER BY r.n"
        )


def read(message: bytes) -> EmailMessage:
    found = email.message_from_bytes(message, policy=email.policy.default)
    assert isinstance(found, EmailMessage)
    return found


def text_of(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


def file_of(message: EmailMessage) -> tuple[str, bytes]:
    (part,) = message.iter_attachments()
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    return str(part.get_filename()), content


def dsn(message: bytes, recipient: str, action: str = "failed") -> bytes:
    """Make the mail by which a mail server gives a message back."""
    headers = message.split(b"\r\n\r\n")[0].decode()
    return (
        "From: MAILER-DAEMON@mx.example\r\nTo: cert@cert.example.th\r\n"
        "Subject: Undelivered\r\nMIME-Version: 1.0\r\n"
        "Content-Type: multipart/report; report-type=delivery-status;"
        ' boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nSorry.\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\n"
        "Reporting-MTA: dns; mx.example\r\n\r\n"
        f"Final-Recipient: rfc822; {recipient}\r\nAction: {action}\r\n"
        "Status: 5.1.1\r\nDiagnostic-Code: smtp; 550 no such\r\n user\r\n\r\n"
        f"--b\r\nContent-Type: text/rfc822-headers\r\n\r\n{headers}\r\n"
        "--b--\r\n"
    ).encode()
