"""A card is an identity that says how a party is reached, and who says so."""

import json
from dataclasses import replace
from datetime import date
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serantau.clock import instant
from serantau.rules.card import (
    CARD_EXTENSION,
    Card,
    CardKey,
    Duty,
    KeyKind,
    blank,
    card_extension_object,
    card_object,
    checked,
    is_card,
    read_card,
    read_fingerprint,
    read_language,
    read_line,
    read_mail,
    read_party,
    read_phone,
    read_zone,
)
from serantau.rules.level import Tlp
from serantau.rules.marking import TLP_2_IDS
from serantau.rules.rota import HOLIDAY, Override, Rota, Shift
from serantau.rules.stix import Limits, Reader
from serantau.wire.schemas import load_schemas

ID = "identity--11111111-1111-4111-8111-111111111111"
OTHER = "identity--22222222-2222-4222-8222-222222222222"
AT = instant("2026-03-01T00:00:00Z")
FULL = Card(
    "ဒေါ်အေးအေး",
    "mm",
    ID,
    person=False,
    title="အရေးပေါ်",
    duties=(Duty.ALWAYS, Duty.SECTOR),
    sector="banking",
    languages=("my", "en-GB"),
    zone="Asia/Yangon",
    mail=("soc@cert.example",),
    phones=("+9512345678",),
    keys=(
        CardKey(KeyKind.OPENPGP, "a" * 40, AT, "-----BEGIN"),
        CardKey(KeyKind.SMIME, "b" * 64),
    ),
    deputies=(OTHER,),
    rota=Rota(
        (Shift(OTHER, frozenset({"mon", HOLIDAY}), 480, 60),),
        (Override(OTHER, AT, AT + 1_000_000),),
        {date(2026, 4, 13): "သင်္ကြန်"},
    ),
    source="a call on 1 March",
    verified=AT,
    confidence=90,
    remark="two\nlines",
)
READER = Reader(Limits(), load_schemas())


def written(card: Card = FULL) -> dict[str, Any]:
    return card_object(
        card, creator=OTHER, created=AT, modified=AT, marks=[TLP_2_IDS[Tlp.AMBER]]
    )


def test_a_card_is_read_as_it_was_written_and_is_a_proper_identity() -> None:
    version = READER.read(orjson.dumps(written()))
    data = orjson.loads(version.body)
    assert version.type == "identity"
    assert is_card(data)
    assert read_card(data) == (FULL, [])
    assert checked(FULL) == FULL
    assert FULL.keys[1].holds(AT)
    assert not FULL.keys[0].holds(AT)
    READER.read(orjson.dumps(card_extension_object()))


def test_who_does_not_know_the_extension_still_sees_whom_to_reach() -> None:
    data = written()
    assert data["contact_information"] == "soc@cert.example; +9512345678"
    assert data["roles"] == ["24x7", "sector", "အရေးပေါ်"]
    assert (data["identity_class"], data["sectors"]) == ("group", ["banking"])
    short = written(Card("x", "mm", ID))
    assert not {"roles", "sectors", "confidence"} & short.keys()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mail", ["soc@cert.example", "no address", 7]),
        ("phones", "+9512345678"),
        ("duties", ["minister"]),
        ("zone", "+06:30"),
        ("last_verified", "yesterday"),
        ("keys", [{"kind": "openpgp", "fingerprint": "DEADBEEF"}, {}, 3]),
        ("keys", [{"kind": "smime", "fingerprint": "b" * 64, "certificate": 7}]),
        ("shifts", [{"person_ref": OTHER, "days": ["someday"]}]),
        ("shifts", [{"person_ref": "him", "days": ["mon"], "begin": "1", "end": "2"}]),
        (
            "overrides",
            [
                {
                    "person_ref": OTHER,
                    "begin": "2026-03-01T00:00:00Z",
                    "end": "2026-03-01T00:00:00Z",
                }
            ],
        ),
        ("holidays", [{"day": "Songkran"}]),
        ("remark", "x" * 5001),
        ("title", "a\u202eb"),
    ],
)
def test_what_cannot_be_read_is_told_and_the_rest_of_the_card_counts(
    name: str, said: object
) -> None:
    data = written()
    data["extensions"][CARD_EXTENSION][name] = said
    card, faults = read_card(data)
    assert faults
    assert all(fault.startswith(f"{name}: ") for fault in faults)
    assert card.name == FULL.name
    assert card.source == FULL.source
    if name == "mail":
        assert card.mail == FULL.mail


def test_a_list_without_end_is_read_to_a_limit() -> None:
    data = written()
    data["extensions"][CARD_EXTENSION]["languages"] = ["en"] * 101
    card, faults = read_card(data)
    assert len(card.languages) == 100
    assert faults == ["languages: 101, read were 100"]


def test_a_card_of_a_newer_program_is_read_as_far_as_it_is_known() -> None:
    data = written()
    data["extensions"][CARD_EXTENSION]["carrier_pigeon"] = {"loft": 7}
    assert read_card(data) == (FULL, [])
    bare = {"type": "identity", "id": ID, "extensions": {CARD_EXTENSION: {}}}
    assert read_card(bare) == (Card("?", "", ID, person=False), [])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["person_ref", "days", "begin", "end", "day", "kind", "name"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=9,
)


@given(
    st.dictionaries(
        st.sampled_from(sorted(written()["extensions"][CARD_EXTENSION])), json_values
    )
)
def test_no_rubbish_in_a_card_stops_the_reader(said: dict[str, Any]) -> None:
    data = {**written(), "extensions": {CARD_EXTENSION: said}}
    card, _ = read_card(data)
    assert card.id == ID
    again, faults = read_card(json.loads(json.dumps(written(card))))
    assert faults == []
    assert again == card


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"duties": ()}, "duties: none"),
        ({"sector": ""}, "sector: "),
        ({"mail": (), "phones": (), "rota": Rota()}, "nobody is reached"),
        ({"source": " "}, "source: empty"),
        ({"zone": ""}, "zone: "),
        ({"deputies": (ID,)}, "names itself"),
        ({"party": "TH!"}, "party: "),
        ({"party": ""}, "party: empty"),
        ({"name": " "}, "name: it is empty"),
        ({"confidence": 101}, "confidence: "),
        ({"mail": ("a@b\n",)}, "mail: "),
    ],
)
def test_a_card_of_ours_is_kept_only_when_all_of_it_is_right(
    change: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        checked(replace(FULL, **change))


@pytest.mark.parametrize(
    "data",
    [
        {"type": "identity"},
        {"type": "identity", "extensions": []},
        {"type": "identity", "extensions": {CARD_EXTENSION: 7}},
        {"type": "malware", "extensions": {CARD_EXTENSION: {}}},
    ],
)
def test_other_objects_are_no_cards(data: dict[str, Any]) -> None:
    assert not is_card(data)


def test_values_are_written_one_way() -> None:
    assert read_phone("tel:+66 (2) 123-4567") == "+6621234567"
    assert read_mail("mailto:NOC@Example.TH") == "NOC@example.th"
    assert read_language("ZH-hant-tw") == "zh-Hant-TW"
    assert read_language("de-1996-x-ab") == "de-1996-x-ab"
    assert read_zone("America/Argentina/Buenos_Aires")
    assert read_zone("") == ""
    assert read_fingerprint(KeyKind.OPENPGP, "AAAA:" * 10) == "a" * 40
    assert read_line("ទូរស័ព្ទ\u200b ") == "ទូរស័ព្ទ\u200b"
    assert read_party("th") == "th"


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (read_phone, "02 123 4567"),
        (read_phone, "+0123456"),
        (read_phone, "+66212345678901234"),
        (read_phone, "+66 2 123 4567 ext 5"),
        (read_mail, "a@b"),
        (read_mail, "a@example.th, b@example.th"),
        (read_language, "thai!"),
        (read_language, "e"),
        (read_zone, "UTC+7"),
        (read_line, 7),
        (read_line, "x" * 301),
        (read_line, "a\nb"),
        (read_party, "Thai CERT"),
    ],
)
def test_what_is_none_is_refused(read: Any, text: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        read(text)


def test_of_a_person_who_is_to_be_forgotten_nothing_stays() -> None:
    said = json.dumps(written(blank(FULL)), ensure_ascii=False)
    for word in (FULL.name, FULL.title, *FULL.mail, *FULL.phones, FULL.remark, OTHER):
        assert word not in said or word == OTHER
    assert read_card(json.loads(said))[0].deputies == ()
