"""What a team publishes is made of its own desks, and names no person."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pysequoia
import pytest

from serantau.clock import SetClock
from serantau.config import load_config
from serantau.desk.contacts import Contacts
from serantau.desk.found import Charter, found
from serantau.desk.papers import TEXTS, Papers
from serantau.errors import BadInput, BadRequest, NotFound
from serantau.node import Node
from serantau.rules import rfc2350, security_txt
from serantau.rules.card import Card, Duty
from serantau.wire.openpgp import Key

DESK = Card(
    "ศูนย์ประสาน",
    "th",
    person=False,
    duties=(Duty.ALWAYS,),
    mail=("soc@cert.example",),
    phones=("+6621234567",),
    languages=("th", "en"),
    zone="Asia/Bangkok",
    source="us",
)
PERSON = replace(DESK, name="สมชาย", person=True, mail=("somchai@cert.example",))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("papers") / "th"
    found(home, Charter("th", "ThaiCERT"), SetClock("2026-03-01T00:00:00Z"))
    return home


@pytest.fixture
def node(made: Path, tmp_path: Path) -> Iterator[Node]:
    home = Path(shutil.copytree(made, tmp_path / "th"))
    with Node(load_config(home), SetClock("2026-03-02T00:00:00Z")) as opened:
        yield opened


def test_security_txt_is_made_of_desks_signed_and_right(node: Node) -> None:
    cards = Contacts(node)
    cards.put(PERSON)
    with pytest.raises(NotFound, match="th has no desk"):
        Papers(node).security_txt()
    cards.put(DESK)
    plain = Papers(node).security_txt(canonical=["https://th.example/security.txt"])
    assert plain.splitlines() == [
        "Contact: mailto:soc@cert.example",
        "Contact: tel:+6621234567",
        "Expires: 2026-08-29T00:00:00.000Z",
        "Canonical: https://th.example/security.txt",
        "Preferred-Languages: th, en",
    ]
    key = Key.generate("ThaiCERT <cert@cert.example>")
    (node.config.keys / "openpgp.asc").write_bytes(key)
    signed = Papers(node).security_txt()
    assert security_txt.check(signed, node.clock.now()) == []
    cert = pysequoia.Cert.from_bytes(Key(key).certificate.encode())
    checked = pysequoia.verify(signed.encode(), store=lambda _: [cert])
    assert b"Contact: mailto:soc@cert.example" in bytes(checked.bytes or b"")


def test_a_security_txt_that_would_be_wrong_is_not_written(node: Node) -> None:
    Contacts(node).put(DESK)
    with pytest.raises(BadRequest, match="expected https"):
        Papers(node).security_txt(policy=["http://th.example/"])
    with pytest.raises(BadRequest, match="more than a year"):
        Papers(node).security_txt(days=500)


def test_the_rfc_2350_document_says_what_it_lacks_and_is_whole_with_the_texts(
    node: Node,
) -> None:
    cards = Contacts(node)
    cards.put(DESK)
    cards.put(PERSON)
    text, faults = Papers(node).rfc2350("th")
    for said in ("RFC 2350: ThaiCERT", "soc@cert.example", "Asia/Bangkok"):
        assert said in text
    assert "somchai" not in text
    assert "section 3.1 Mission Statement says nothing" in faults
    texts = dict.fromkeys(rfc2350.NEEDED, "So it is.") | {"3.1": "เราช่วย"}
    (node.home / TEXTS).write_text(
        "".join(f'"{number}" = "{said}"\n' for number, said in texts.items()),
        encoding="utf-8",
    )
    text, faults = Papers(node).rfc2350("th")
    assert faults == []
    assert "เราช่วย" in text
    (node.home / TEXTS).write_text('"3" = "x"', encoding="utf-8")
    with pytest.raises(BadInput, match="'3' is no section"):
        Papers(node).rfc2350("th")
