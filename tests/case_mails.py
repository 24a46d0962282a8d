"""What tests of cases by mail share: a node, a party without one, and its mails."""

from __future__ import annotations

from dataclasses import replace
from email.message import EmailMessage
from functools import cache
from pathlib import Path

from couriers import read
from couriers import text_of as raw_text_of
from serantau.clock import SetClock
from serantau.config import NodeConfig, load_config
from serantau.desk.card_import import read_key
from serantau.desk.case_mail import CaseMail, Round
from serantau.desk.case_post import Guests
from serantau.desk.cases import Casework
from serantau.desk.contacts import Contacts
from serantau.desk.found import Charter, found
from serantau.desk.relay import KEY_FILE
from serantau.node import Node
from serantau.rules.card import Card, Duty, KeyKind
from serantau.wire.mail import Letter, compose
from serantau.wire.openpgp import Key, read_certificate
from smtp_server import Mailbox

ADDRESS = "soc@mm.example"
OURS = "cases@th.example"
MM = Card(
    "Duty desk",
    "mm",
    person=False,
    duties=(Duty.ALWAYS,),
    mail=(ADDRESS,),
    languages=("my",),
    source="a call",
)


@cache
def key_of(name: str) -> Key:
    return Key(Key.generate(f"{name} <{name}@x.example>"))


def make_home(home: Path) -> None:
    found(home, Charter("th", "ThaiCERT"), SetClock("2026-03-01T00:00:00Z"))
    (home / "keys" / KEY_FILE).write_bytes(Key.generate("ThaiCERT <c@th.example>"))


def config_of(home: Path, port: int, **cases: object) -> NodeConfig:
    mail = {
        "host": "127.0.0.1", "port": port, "security": "none",
        "sender": "cert@cert.example.th", "timeout_seconds": 5,
    }  # fmt: skip
    box = {"sender": OURS, "mailbox": "answers", **cases}
    return load_config(home, flags={"mail": mail, "cases": box})


def card_of(name: str = "mm") -> Card:
    """Give the card of mm with a key."""
    return replace(
        MM, keys=(read_key(KeyKind.OPENPGP, key_of(name).certificate.encode()),)
    )


def open_case(node: Node, level: str = "AMBER", name: str = "Phishing kit") -> str:
    """Open a case, and let mm into it by mail."""
    case = Casework(node).open(name, level=level, description="at bank.example").id
    Guests(node).invite_by_mail(case, ["mm"])
    return case


def text_of(message: EmailMessage) -> str:
    return raw_text_of(message).replace("\r\n", "\n")


def send(node: Node) -> Round:
    return CaseMail(node, "ann").send()


def waits(node: Node) -> list[str]:
    return [post.said for post, _ in CaseMail(node).letters()]


def told(node: Node, box: Mailbox) -> tuple[str, EmailMessage]:
    """Open a case and have its first letter go out; gives case and letter."""
    Contacts(node).put(card_of())
    case = open_case(node)
    assert send(node).sent == 1
    return case, read(box.messages[-1])


def our_certificate(node: Node) -> str:
    return Key.from_file(node.config.keys / KEY_FILE).certificate


def answer(
    letter: EmailMessage,
    text: str,
    *,
    signer: str = "mm",
    sender: str = ADDRESS,
    to: str = "",
    quoted: bool = True,
    subject: str | None = None,
    name: str = "answer-1",
) -> bytes:
    """Write what a mail program makes of an answer to a letter."""
    said = str(letter["Subject"]) if subject is None else subject
    tag = f"[case-{str(letter['Subject']).partition('[case-')[2].partition(']')[0]}]"
    below = f"\n\nOn Monday, ThaiCERT wrote:\n> leave this line in it: {tag}\n"
    certificate = read_certificate(to.encode()) if to else None
    made = Letter(
        "U Ba", sender, OURS, f"Re: {said}", text + (below if quoted else "\n"),
        name, 0, cover="...", answers=(str(letter["Message-ID"]),),
    )  # fmt: skip
    raw = compose(made, key_of(signer) if signer else None, certificate)
    return raw.replace(b"Auto-Submitted: auto-generated\r\n", b"")
