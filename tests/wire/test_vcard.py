"""Address books are read as they are, and what no card has room for is told."""

import base64
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certificates import write_certificate
from serantau.clock import instant
from serantau.errors import BadInput
from serantau.rules.card import Card, CardKey, Duty, KeyKind
from serantau.wire.smime import read_smime
from serantau.wire.vcard import read_file, write_csv, write_vcards

ID = "identity--11111111-1111-4111-8111-111111111111"
CARD = Card(
    "សុខ ចាន់, ដារ៉ា; \\ \u200b" * 3,
    "kh",
    ID,
    title="=cmd",
    duties=(Duty.POLICY, Duty.SECTOR),
    sector="energy",
    languages=("km", "en"),
    zone="Asia/Phnom_Penh",
    mail=("a@camcert.example", "b@camcert.example"),
    phones=("+85523123456", "+85523123457"),
    source="letter; of March",
    verified=instant("2026-03-01T00:00:00Z"),
    confidence=0,
    remark="one\ntwo, three;",
)

THREE = """BEGIN:VCARD\r
VERSION:3.0\r
N:Sok;Chan;;;\r
FN:Sok\\, Cha\r
 n\r
ORG:CamCERT;Unit\r
item1.EMAIL;TYPE=INTERNET:b@x.example\r
EMAIL;TYPE="INTERNET",PREF:a@x.example\r
TEL;TYPE=CELL,VOICE:+855 23 123 456\r
CATEGORIES:Technical,Friends\r
NOTE:one\\ntwo\r
TZ:-05:00\r
TZ:Asia/Phnom_Penh\r
BDAY:1980-01-01\r
KEY;TYPE=PGP:https://x.example/key\r
KEY;TYPE=PGP;ENCODING=b:aGVsbG8=\r
KEY;ENCODING=b:***\r
UID:urn:uuid:11111111-1111-4111-8111-111111111111\r
X-NICK;ENCODING=QUOTED-PRINTABLE:=41\r
END:VCARD\r
"""


def said(card: Card) -> dict[str, list[str]]:
    """What a file says of a card, as text."""
    whole = {
        "name": card.name,
        "party": card.party,
        "kind": "individual" if card.person else "group",
        "title": card.title,
        "duties": list(map(str, card.duties)),
        "sector": card.sector,
        "languages": list(card.languages),
        "zone": card.zone,
        "mail": list(card.mail),
        "phones": [f"tel:{one}" for one in card.phones],
        "source": card.source,
        "last_verified": "2026-03-01T00:00:00.000Z",
        "confidence": "0",
        "remark": card.remark,
    }
    return {name: [v] if isinstance(v, str) else v for name, v in whole.items()}


def test_what_is_written_as_vcard_is_read_again() -> None:
    text = write_vcards([replace(CARD, keys=(CardKey(KeyKind.SMIME, "", None, "x"),))])
    assert max(len(line.encode()) for line in text.split("\r\n")) <= 75
    (found,) = read_file(text.encode())
    assert found.said == {**said(CARD), "name": [CARD.name.strip()]}
    assert found.uid == ID.removeprefix("identity--")
    assert found.keys == [(KeyKind.SMIME, b"x")]
    assert found.left == []


def test_what_is_written_as_csv_is_read_again_and_no_cell_is_a_formula() -> None:
    text = write_csv([CARD])
    assert "'=cmd" in text
    assert ",+" not in text
    (found,) = read_file(text.encode())
    assert {name: "\n".join(v) for name, v in found.said.items()} == {
        name: "\n".join(v).strip() for name, v in said(CARD).items()
    }


def test_a_vcard_of_an_address_book_is_read_and_what_is_left_is_told() -> None:
    (found,) = read_file(THREE.encode())
    assert found.said == {
        "name": ["Sok, Chan"],
        "mail": ["a@x.example", "b@x.example"],
        "phones": ["+855 23 123 456"],
        "duties": ["technical"],
        "remark": ["one\ntwo"],
        "zone": ["-05:00"],
    }
    assert found.keys == [(KeyKind.OPENPGP, b"hello")]
    assert found.left == [
        "ORG: CamCERT;Unit",
        "CATEGORIES: Friends",
        "TZ: Asia/Phnom_Penh",
        "BDAY: 1980-01-01",
        "KEY: https://x.example/key, which is fetched from nowhere",
        "KEY: it is not base64",
        "X-NICK: quoted-printable is of vCard 2.1",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (THREE.replace("3.0", "2.1"), "vCard 2.1, expected 3.0 or 4.0"),
        (THREE.replace("END:VCARD", ""), "has no END"),
        (THREE + "FN:x", "stands in no vCard"),
        (THREE.replace("NOTE", "BEGIN"), "begins in another"),
        (THREE.replace("NOTE:", "NOTE "), "is no line of a vCard"),
        ("colour,shape\nred,round\n", "line 1: the columns are colour, shape"),
        ("name,name\na,b\n", "the column name is there twice"),
        ('name,party\n"a', "line 1: unexpected end"),
        ("", "the columns are none"),
    ],
)
def test_a_file_that_is_none_is_refused_with_its_place(text: str, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        read_file(text.encode(), "book")


def test_a_file_in_another_encoding_is_refused() -> None:
    with pytest.raises(BadInput, match="byte 0 is not UTF-8"):
        read_file("ชื่อ".encode("tis-620"), "book")


def test_csv_of_a_spreadsheet_is_read_with_its_separator_and_odd_columns_told() -> None:
    text = "\ufeffName;Party;Phones;Fax\n ดารา ;la;'+856 20 555;12\n;;;\nx;la;1;2;3\n"
    one, two, three = read_file(text.encode())
    assert one.said == {"name": ["ดารา"], "party": ["la"], "phones": ["+856 20 555"]}
    assert one.left == ["fax: 12"]
    assert two.said == {}
    assert three.left == ["fax: 2", "more cells than columns: ['3']"]


@given(st.text(alphabet='BEGINVCARDFN:;=,"\\\r\n x1', max_size=200) | st.text())
def test_no_file_stops_the_reader(text: str) -> None:
    for begin in ("", "BEGIN:VCARD\n", "name,party\n"):
        try:
            found = read_file((begin + text).encode("utf-8", "replace"))
        except BadInput:
            continue
        assert all(isinstance(each.left, list) for each in found)


def test_a_certificate_is_read_with_its_end_and_no_private_key_is_taken(
    tmp_path: Path,
) -> None:
    pem, key = write_certificate(tmp_path)
    found = read_smime(pem.read_bytes())
    der = base64.b64decode("".join(found.certificate.split("\n")[1:-2]))
    assert read_smime(der) == found
    assert found.expires is not None
    for data, told in (
        (pem.read_bytes() + key.read_bytes(), "private key"),
        (b"x", "no X.509"),
    ):
        with pytest.raises(BadInput, match=told):
            read_smime(data)
