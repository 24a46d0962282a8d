"""What markings say, and that whatever is not exactly understood restricts."""

from __future__ import annotations

import json
from typing import Any

import pytest
import stix2
from hypothesis import given
from hypothesis import strategies as st

from serantau.rules.marking import (
    AUDIENCE_EXTENSION,
    PAP_EXTENSION,
    TLP_2_EXTENSION,
    TLP_2_IDS,
    Audience,
    Marking,
    MarkingSet,
    Pap,
    Tlp,
    audience_extension_objects,
    definition_of,
    in_words,
    listed,
    look_up,
    make_audience,
    read_marking,
    tlp_of,
    well_known,
)

CIRCLE = "circle--0b1f6a3e-4c25-4f43-9f0a-3d1b8f2f7a10"
IDENTITY = "identity--5a7f4a66-2f6e-4f0e-8a52-0a3b5a1f6f01"
SOME_ID = "marking-definition--fa42a846-8d90-4e51-bc29-71d5b4802168"

FIXED = {
    "94868c89-83c2-464b-929b-a1a8aa3c8487": Tlp.CLEAR,
    "bab4a63c-aed9-4cf5-a766-dfca5abac2bb": Tlp.GREEN,
    "55d920b0-5e8b-4f79-9ee9-91f868d9b421": Tlp.AMBER,
    "939a9414-2ddd-4d32-a0cd-375ea402b003": Tlp.AMBER_STRICT,
    "e828b379-4e03-4974-9ac4-e53a884c97c1": Tlp.RED,
    "613f2e26-407d-48c7-9eca-b8e91df99dc9": Tlp.CLEAR,
    "34098fce-860f-48ae-8e50-ebd3cc5e41da": Tlp.GREEN,
    "f88d31f6-486f-44da-b317-01333bde0b82": Tlp.AMBER,
    "5e57c739-391a-4eb3-b6be-7d15ca92d5ed": Tlp.RED,
}


def definition(marking_id: str = SOME_ID, **properties: Any) -> dict[str, Any]:
    return {
        "type": "marking-definition",
        "spec_version": "2.1",
        "id": marking_id,
        "created": "2024-01-01T00:00:00.000Z",
        **properties,
    }


def statement(text: object) -> dict[str, Any]:
    return definition(definition_type="statement", definition={"statement": text})


# --- levels --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("TLP:CLEAR", Tlp.CLEAR),
        ("white", Tlp.CLEAR),
        ("tlp:Green", Tlp.GREEN),
        ("amber", Tlp.AMBER),
        ("TLP:AMBER+STRICT", Tlp.AMBER_STRICT),
        ("amber+strict", Tlp.AMBER_STRICT),
        ("RED", Tlp.RED),
    ],
)
def test_a_tlp_label_is_read_in_any_case(text: str, level: Tlp) -> None:
    assert Tlp.parse(text) is level


@pytest.mark.parametrize(
    "text", ["", "TLP:", "amber strict", "AMBER_STRICT", "TLP:TLP:RED", "PAP:RED", "5"]
)
def test_what_is_no_tlp_label_is_refused_with_the_levels(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected one of TLP:CLEAR, .*TLP:RED"):
        Tlp.parse(text)


@pytest.mark.parametrize("level", list(Tlp))
def test_a_tlp_label_is_read_back(level: Tlp) -> None:
    assert Tlp.parse(level.label) is level
    assert " " not in level.label
    assert level.label == level.label.upper()


def test_pap_reads_white_as_clear_and_refuses_the_rest() -> None:
    assert Pap.parse("pap:white") is Pap.CLEAR
    assert Pap.parse("Amber") is Pap.AMBER
    with pytest.raises(ValueError, match="PAP:CLEAR"):
        Pap.parse("amber+strict")


# --- ids -----------------------------------------------------------------------------


@pytest.mark.parametrize(("uuid", "level"), FIXED.items())
def test_oasis_ids_are_their_levels(uuid: str, level: Tlp) -> None:
    found = well_known(f"marking-definition--{uuid}")
    assert found is not None
    assert found.tlp is level


def test_this_node_marks_with_tlp_2_ids() -> None:
    tlp_2 = list(FIXED)[:5]
    assert [TLP_2_IDS[level] for level in Tlp] == [
        f"marking-definition--{uuid}" for uuid in tlp_2
    ]


@given(
    uuid=st.sampled_from(list(FIXED)),
    place=st.integers(0, 35),
    digit=st.sampled_from("0123456789abcdef"),
)
def test_an_id_one_digit_off_is_unknown(uuid: str, place: int, digit: str) -> None:
    near = uuid[:place] + digit + uuid[place + 1 :]
    if near == uuid:
        return
    marking_id = f"marking-definition--{near}"
    assert well_known(marking_id) is None
    assert look_up(marking_id, {}).kind == "unknown"
    assert tlp_of(MarkingSet((marking_id,), handled_as=Tlp.CLEAR), {}) is Tlp.RED


@pytest.mark.parametrize("uuid", FIXED)
def test_an_id_in_upper_case_or_with_another_prefix_is_unknown(uuid: str) -> None:
    for near in (
        f"marking-definition--{uuid.upper()}",
        f"Marking-definition--{uuid}",
        f"marking-definition-{uuid}",
        f"marking--{uuid}",
        uuid,
        f" marking-definition--{uuid}",
        f"marking-definition--{uuid}\n",
    ):
        assert look_up(near, {}).kind == "unknown"


def test_nobody_redefines_what_oasis_fixed() -> None:
    red = TLP_2_IDS[Tlp.RED]
    forged = {red: Marking(red, "statement", text="harmless")}
    assert look_up(red, forged).tlp is Tlp.RED


# --- reading definitions -------------------------------------------------------------


def test_oasis_definitions_of_tlp_are_read() -> None:
    for marking in (stix2.TLP_WHITE, stix2.TLP_GREEN, stix2.TLP_AMBER, stix2.TLP_RED):
        found = read_marking(json.loads(marking.serialize()))
        assert found.tlp is Tlp.parse(marking.definition["tlp"])
    for level, marking_id in TLP_2_IDS.items():
        body = {"extension_type": "property-extension"}
        colour = level.label.removeprefix("TLP:").lower()
        found = read_marking(
            definition(
                marking_id, extensions={TLP_2_EXTENSION: {**body, "tlp_2_0": colour}}
            )
        )
        assert found.tlp is level


@pytest.mark.parametrize(
    "properties",
    [
        {"definition_type": "tlp", "definition": {"tlp": "green"}},
        {"definition_type": "tlp", "definition": {"tlp": "clear"}},
        {"extensions": {TLP_2_EXTENSION: {"tlp_2_0": "clear"}}},
    ],
)
def test_a_colour_under_an_id_that_is_not_oasis_s_is_unknown(
    properties: dict[str, Any],
) -> None:
    found = read_marking(definition(**properties))
    assert found.kind == "unknown"
    assert "not OASIS's" in found.text


@pytest.mark.parametrize(
    "properties",
    [
        {"definition_type": "tlp", "definition": {"tlp": "clear"}},
        {"definition_type": "tlp", "definition": {"tlp": "mauve"}},
        {"definition_type": "tlp", "definition": {"tlp": None}},
        {"definition_type": "statement", "definition": {"statement": "free"}},
        {"definition_type": "pap", "definition": {"pap": "clear"}},
    ],
)
def test_a_definition_at_odds_with_its_oasis_id_is_unknown(
    properties: dict[str, Any],
) -> None:
    found = read_marking(definition(TLP_2_IDS[Tlp.RED], **properties))
    assert found.kind == "unknown"


@pytest.mark.parametrize(
    "properties",
    [
        {"definition_type": "statement", "definition": {"statement": "PAP:AMBER"}},
        {"definition_type": "statement", "definition": {"statement": " pap:amber "}},
        {"definition_type": "PAP", "definition": {"PAP": "amber"}},
        {"definition_type": "pap", "definition": {"pap": "PAP:AMBER"}},
        {"extensions": {PAP_EXTENSION: {"pap": "amber"}}},
        {
            "extensions": {
                PAP_EXTENSION: {"extension_type": "property-extension", "pap": "amber"}
            }
        },
    ],
)
def test_pap_is_read_however_it_is_written(properties: dict[str, Any]) -> None:
    found = read_marking(definition(**properties))
    assert (found.kind, found.pap, found.text) == ("pap", Pap.AMBER, "PAP:AMBER")


def test_a_statement_is_known_and_custom_properties_may_stand_beside_it() -> None:
    found = read_marking(statement("Copyright") | {"x_mitre_domains": ["ics-attack"]})
    assert (found.kind, found.text) == ("statement", "Copyright")


@pytest.mark.parametrize(
    "changed",
    [
        {"type": "identity"},
        {"id": None},
        {"id": "marking-definition--FA42A846-8D90-4E51-BC29-71D5B4802168"},
        {"id": "marking-definition--1"},
        {"colour": "red"},
        {"definition_type": "acme"},
        {"definition_type": ["statement"]},
        {"definition_type": None},
        {"definition": None},
        {"definition": {}},
        {"definition": ["statement"]},
        {"definition": {"statement": "a", "limit": "us"}},
        {"definition": {"text": "a"}},
        {"definition": {"statement": 5}},
        {"definition": {"statement": "PAP:PINK"}},
        {"definition": {"statement": "TLP:RED"}},
        {"definition": {"statement": "please treat as tlp amber+strict"}},
        {"definition": {"statement": "(TLP: Clear) (c) Acme"}},
        {"extensions": {TLP_2_EXTENSION: {"tlp_2_0": "red"}}},
    ],
)
def test_a_definition_not_exactly_understood_is_unknown(
    changed: dict[str, Any],
) -> None:
    found = read_marking(statement("Copyright") | changed)
    assert found.kind == "unknown"
    assert found.text


@pytest.mark.parametrize(
    "extensions",
    [
        None,
        [],
        {},
        {"extension-definition--11111111-1111-4111-8111-111111111111": {"a": "b"}},
        {PAP_EXTENSION: "amber"},
        {PAP_EXTENSION: {"pap": "pink"}},
        {PAP_EXTENSION: {"pap": "red", "more": "yes"}},
        {PAP_EXTENSION: {"extension_type": "new-sdo", "pap": "red"}},
        {PAP_EXTENSION: {"pap": "red"}, AUDIENCE_EXTENSION: {"named": ["th"]}},
        {TLP_2_EXTENSION: {"tlp": "red"}},
    ],
)
def test_an_extension_not_exactly_understood_is_unknown(extensions: object) -> None:
    assert read_marking(definition(extensions=extensions)).kind == "unknown"


@given(
    st.dictionaries(
        st.sampled_from(["type", "id", "definition_type", "definition", "extensions"]),
        st.recursive(
            st.none() | st.integers() | st.text(),
            lambda inner: (
                st.lists(inner)
                | st.dictionaries(st.sampled_from([AUDIENCE_EXTENSION, "tlp"]), inner)
            ),
            max_leaves=5,
        ),
    )
)
def test_no_definition_makes_the_reader_fail(data: dict[str, Any]) -> None:
    assert read_marking(definition() | data).kind == "unknown"


# --- audiences -----------------------------------------------------------------------

NAMES = st.lists(st.sampled_from(["th", "sg", "vn", IDENTITY]), max_size=3)


@given(named=NAMES, circles=st.lists(st.just(CIRCLE), max_size=1), everyone_but=NAMES)
def test_an_audience_is_read_back(
    named: list[str], circles: list[str], everyone_but: list[str]
) -> None:
    made = [make_audience(named=named, circles=circles)]
    wanted = [Audience(frozenset(named), frozenset(circles))]
    if everyone_but:
        made.append(make_audience(everyone_but=everyone_but))
        wanted.append(Audience(everyone_but=frozenset(everyone_but)))
    for data, audience in zip(made, wanted, strict=True):
        found = read_marking(json.loads(json.dumps(data)))
        assert (found.id, found.audience) == (data["id"], audience)


def test_the_same_audience_is_the_same_object_on_every_node() -> None:
    one = make_audience(named=["th", "sg", "th"])
    assert one == make_audience(named=("sg", "th"))
    assert one["id"] == "marking-definition--4b1fa45a-5d23-5f65-aaf7-f60c3d8246a2"
    assert one["id"] != make_audience(everyone_but=["sg", "th"])["id"]


def test_audiences_and_their_extension_are_stix() -> None:
    for data in [
        *audience_extension_objects(),
        make_audience(named=["th"]),
        make_audience(),
    ]:
        assert stix2.parse(data).serialize()
    author, extension = audience_extension_objects()
    assert extension["id"] == AUDIENCE_EXTENSION
    assert extension["created_by_ref"] == author["id"]


def test_an_audience_swapped_under_an_id_in_use_is_unknown() -> None:
    swapped = make_audience(named=["th"])
    swapped["extensions"][AUDIENCE_EXTENSION]["named"] = ["th", "vn"]
    found = read_marking(swapped)
    assert found.kind == "unknown"
    assert "not the one of its content" in found.text


def test_an_empty_list_names_nobody_but_an_empty_exception_is_unknown() -> None:
    nobody = make_audience()
    nobody["extensions"][AUDIENCE_EXTENSION]["named"] = []
    found = read_marking(nobody)
    assert found.audience is not None
    assert found.audience.names_nobody
    assert found.text == "nobody"
    nobody["extensions"][AUDIENCE_EXTENSION]["everyone_but"] = []
    assert read_marking(nobody).kind == "unknown"


@pytest.mark.parametrize(
    "fields",
    [
        {"named": "th"},
        {"named": [1]},
        {"named": ["TH"]},
        {"named": ["identity--5A7F4A66-2f6e-4f0e-8a52-0a3b5a1f6f01"]},
        {"named": ["th"], "until": "2027"},
        {"circles": ["th"]},
        {"named": ["th"], "everyone_but": ["vn"]},
    ],
)
def test_an_audience_with_anything_strange_is_unknown(fields: dict[str, Any]) -> None:
    data = make_audience()
    data["extensions"][AUDIENCE_EXTENSION] |= fields
    assert read_marking(data).kind == "unknown"


def test_an_audience_that_limits_nothing_or_contradicts_itself_is_not_made() -> None:
    with pytest.raises(ValueError, match="limits nothing"):
        make_audience(everyone_but=[])
    with pytest.raises(ValueError, match="two audience markings"):
        make_audience(circles=[CIRCLE], everyone_but=["vn"])


def test_a_damaged_identity_id_does_not_pass_for_a_party_name() -> None:
    with pytest.raises(ValueError, match="identity id"):
        make_audience(everyone_but=[IDENTITY[:-1]])


def test_only_definitions_that_limit_readers_are_limited_themselves() -> None:
    audience = make_audience(named=["th"])
    assert definition_of(audience) == audience["id"]
    assert definition_of(statement("TLP:RED")) == SOME_ID
    assert definition_of(statement("Copyright")) == ""
    assert definition_of({"type": "identity", "id": IDENTITY}) == ""


# --- sets ----------------------------------------------------------------------------

REFS = st.lists(
    st.sampled_from(
        [*TLP_2_IDS.values(), SOME_ID, str(make_audience(named=["th"])["id"])]
    ),
    max_size=4,
).map(tuple)
SETS = st.builds(
    MarkingSet,
    refs=REFS,
    granular=REFS,
    handled_as=st.none() | st.sampled_from(Tlp),
    redacted=st.booleans(),
    definition=st.sampled_from(["", SOME_ID]),
)
JOINED = st.lists(SETS, min_size=1, max_size=3).map(
    lambda sets: sets[0].joined(sets[-1]).joined(sets[len(sets) // 2])
)


@given(JOINED, JOINED)
def test_a_key_tells_sets_apart_and_gives_them_back(
    one: MarkingSet, other: MarkingSet
) -> None:
    assert MarkingSet.from_key(one.key()) == one
    assert (one.key() == other.key()) == (one == other)


@given(SETS, SETS, SETS)
def test_joining_does_not_depend_on_order_or_repetition(
    a: MarkingSet, b: MarkingSet, c: MarkingSet
) -> None:
    assert a.joined(b) == b.joined(a)
    assert a.joined(b).joined(c) == a.joined(b.joined(c))
    assert a.joined(b).joined(a) == a.joined(b)
    assert a.joined(a) == a


@given(SETS, SETS)
def test_a_joined_set_shows_the_markings_of_both(a: MarkingSet, b: MarkingSet) -> None:
    both = a.joined(b)
    assert set(both.refs) == {*a.refs, *b.refs}
    assert set(both.granular) == {*a.granular, *b.granular}
    known = {SOME_ID: read_marking(statement("Copyright"))}
    assert tlp_of(both, known) == max(tlp_of(a, known), tlp_of(b, known))


def test_refs_are_sorted_and_unique() -> None:
    assert MarkingSet(("b", "a", "b"), ("d", "c")).refs == ("a", "b")
    assert MarkingSet(("b",), ("d", "c", "d")).granular == ("c", "d")


def test_the_strictest_level_holds_and_none_at_all_is_red() -> None:
    clear, amber = TLP_2_IDS[Tlp.CLEAR], TLP_2_IDS[Tlp.AMBER]
    assert tlp_of(MarkingSet((clear, amber)), {}) is Tlp.AMBER
    assert tlp_of(MarkingSet(handled_as=Tlp.GREEN), {}) is Tlp.GREEN
    assert tlp_of(MarkingSet(), {}) is Tlp.RED
    assert tlp_of(MarkingSet((clear, SOME_ID)), {}) is Tlp.RED


def test_markings_are_said_in_words() -> None:
    objects = [
        make_audience(named=["th", "sg"], circles=[CIRCLE]),
        make_audience(everyone_but=["vn"]),
        definition(
            "marking-definition--22222222-2222-4222-8222-222222222222",
            definition_type="pap",
            definition={"pap": "green"},
        ),
        statement("Copyright Acme"),
    ]
    known = {each["id"]: read_marking(each) for each in objects}
    named, but, pap, copyright_ = known
    amber, red = TLP_2_IDS[Tlp.AMBER], TLP_2_IDS[Tlp.RED]

    def said(*refs: str, **fields: Any) -> str:
        return in_words(MarkingSet(refs, **fields), known)

    assert said(amber, named, pap) == (
        f"TLP:AMBER, only {CIRCLE}, sg and th; PAP:GREEN"
    )
    assert said(amber, but, copyright_) == (
        'TLP:AMBER, everyone but vn; "Copyright Acme"'
    )
    assert said(but, handled_as=Tlp.AMBER_STRICT) == (
        "no TLP marking, handled here as TLP:AMBER+STRICT, everyone but vn"
    )
    assert said(amber, handled_as=Tlp.RED) == "handled here as TLP:RED"
    assert said(amber, granular=(red, pap)) == (
        "TLP:AMBER; in parts: TLP:RED / PAP:GREEN"
    )
    assert said(amber, granular=(red,), redacted=True) == (
        "TLP:AMBER; taken out: TLP:RED"
    )
    assert said("marking-definition--x") == (
        "unknown marking marking-definition--x (its definition is not held here)"
    )
    assert said() == ""


def test_names_are_joined_for_a_sentence() -> None:
    assert listed([]) == "nobody"
    assert listed(["th"]) == "th"
    assert listed(["th", "sg", "vn"]) == "sg, th and vn"
