"""Who may have what: the table, the rules, and their words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from serantau.errors import ConfigError
from serantau.rules.marking import (
    TLP_2_IDS,
    MarkingSet,
    Tlp,
    make_audience,
)
from serantau.rules.party import Kind, Party, Purpose
from serantau.rules.release import (
    RULES,
    TABLE,
    Policy,
    Reach,
    Way,
    ended,
    table_markdown,
)
from verdicts import (
    ALL_BUT_US,
    ALL_BUT_VN,
    ALL_BUT_VN_BY_ID,
    AMBER,
    BANK,
    CLEAR,
    ELSEWHERE,
    FOREIGN,
    GREEN,
    HUB,
    IN_CIRCLE,
    IN_CIRCLE_ELSEWHERE,
    IN_CIRCLE_OR_VN,
    JP,
    NAMES_SG,
    NAMES_SG_BY_ID,
    NAMES_US,
    NAMES_US_AND_SG,
    NOBODY,
    OUTSIDERS,
    OWN,
    PAP,
    PUBLIC,
    RED,
    SG,
    SHOP,
    STATEMENT,
    STRICT,
    UNKNOWN,
    US,
    VN,
    ask,
    known,
)

# --- the table -----------------------------------------------------------------------

# For each party and level: released with no audience, with one that names the party,
# with one that names us; by machine, then by hand.
EXPECTED = """
own          clear  1 1 1  1 1 1
own          green  1 1 1  1 1 1
own          amber  1 1 1  1 1 1
own          amber+strict  1 1 1  1 1 1
own          red    0 0 0  1 1 1
member       clear  1 1 0  1 1 0
member       green  1 1 0  1 1 0
member       amber  0 1 0  0 1 0
member       amber+strict  0 1 0  0 1 0
member       red    0 0 0  0 1 0
coordinator  clear  1 1 0  1 1 0
coordinator  green  1 1 0  1 1 0
coordinator  amber  0 1 0  0 1 0
coordinator  amber+strict  0 1 0  0 1 0
coordinator  red    0 0 0  0 1 0
partner      clear  1 1 0  1 1 0
partner      green  1 1 0  1 1 0
partner      amber  0 1 0  0 1 0
partner      amber+strict  0 1 0  0 1 0
partner      red    0 0 0  0 1 0
need-to-know clear  1 1 1  1 1 1
need-to-know green  1 1 1  1 1 1
need-to-know amber  0 1 1  0 1 1
need-to-know amber+strict  0 1 0  0 1 0
need-to-know red    0 0 0  0 1 0
operator     clear  1 1 0  1 1 0
operator     green  1 1 0  1 1 0
operator     amber  0 1 0  0 1 0
operator     amber+strict  0 1 0  0 1 0
operator     red    0 0 0  0 1 0
foreign      clear  1 1 0  1 1 0
foreign      green  0 1 0  0 1 0
foreign      amber  0 1 0  0 1 0
foreign      amber+strict  0 1 0  0 1 0
foreign      red    0 0 0  0 1 0
public       clear  1 0 0  1 0 0
public       green  0 0 0  0 0 0
public       amber  0 0 0  0 0 0
public       amber+strict  0 0 0  0 0 0
public       red    0 0 0  0 0 0
"""
PARTIES = {
    "own": US,
    "member": SG,
    "coordinator": HUB,
    "partner": JP,
    "need-to-know": BANK,
    "operator": SHOP,
    "foreign": FOREIGN,
    "public": PUBLIC,
}
ROWS = [line.split() for line in EXPECTED.strip().splitlines()]


@pytest.mark.parametrize("row", ROWS, ids=[" ".join(row[:2]) for row in ROWS])
def test_the_table_releases_exactly_what_is_expected(row: list[str]) -> None:
    party, level = PARTIES[row[0]], TLP_2_IDS[Tlp.parse(row[1])]
    names_it = known(make_audience(named=[party.name]))
    got = [
        ask((level, *audience), party, by=by).released
        for by in Way
        for audience in ((), (names_it,), (NAMES_US,))
    ]
    assert got == [cell == "1" for cell in row[2:]]


def test_the_expected_table_covers_every_kind_and_level() -> None:
    assert {(PARTIES[row[0]].kind, Tlp.parse(row[1])) for row in ROWS} == {
        (kind, level) for kind in Kind for level in Tlp
    }
    assert {kind: set(cells) for kind, cells in TABLE.items()} == {
        kind: set(Tlp) for kind in Kind
    }


@pytest.mark.parametrize("level", list(Tlp))
def test_handling_counts_as_the_level_where_no_tlp_marking_is(level: Tlp) -> None:
    for party in (*OUTSIDERS, US):
        for refs in ((), (NAMES_SG,), (ALL_BUT_VN,)):
            handled = ask(MarkingSet(refs, handled_as=level), party)
            assert handled.rule == ask((TLP_2_IDS[level], *refs), party).rule
    assert "(this node's handling)" in str(ask(MarkingSet(handled_as=level), JP))


def test_pap_and_statements_do_not_change_a_release() -> None:
    for level in TLP_2_IDS.values():
        for party in (*OUTSIDERS, US):
            assert ask((level, PAP, STATEMENT), party) == ask((level,), party)


# --- single rules --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("marked", "party", "said"),
    [
        (
            (AMBER, NAMES_US_AND_SG),
            VN,
            "withheld (not-in-audience): got TLP:AMBER naming sg, th; "
            "expected the audience to name vn",
        ),
        (
            (AMBER,),
            VN,
            "withheld (no-audience): got TLP:AMBER and no audience; expected an "
            "audience marking that names vn (docs/release-policy.md says how to add "
            "one)",
        ),
        (
            (AMBER, ALL_BUT_VN),
            SG,
            "withheld (no-audience): got TLP:AMBER for everyone but vn, which names "
            "nobody; expected an audience marking that names sg "
            "(docs/release-policy.md says how to add one)",
        ),
        (
            (GREEN, ALL_BUT_VN),
            VN,
            "withheld (not-in-audience): got TLP:GREEN for everyone but vn; "
            "expected the audience not to leave vn out",
        ),
        (
            (GREEN, IN_CIRCLE, IN_CIRCLE_ELSEWHERE),
            VN,
            "withheld (not-in-audience): got TLP:GREEN naming circle gulf and naming "
            f"{ELSEWHERE} (members unknown here); expected the audience to name vn",
        ),
        (
            (GREEN, NOBODY),
            SG,
            "withheld (not-in-audience): got TLP:GREEN naming nobody; "
            "expected the audience to name sg",
        ),
        (
            (CLEAR, ALL_BUT_VN),
            PUBLIC,
            "withheld (not-in-audience): got TLP:CLEAR for everyone but vn; "
            "expected no audience: what the public reads everybody reads",
        ),
        (
            (GREEN,),
            PUBLIC,
            "withheld (tlp-forbids-kind): got TLP:GREEN; "
            "expected TLP:CLEAR for a public party",
        ),
        (
            (RED, NAMES_SG),
            SG,
            "withheld (red-by-person-only): got TLP:RED naming sg; "
            "expected a person to hand it to a named recipient",
        ),
        (
            (GREEN,),
            FOREIGN,
            "withheld (not-our-operator): got TLP:GREEN for an operator that is a "
            "client of vn; expected a client of th, or an audience that names plant",
        ),
        (
            (GREEN,),
            replace(FOREIGN, client_of=""),
            "withheld (not-our-operator): got TLP:GREEN for an operator that is a "
            "client of nobody; expected a client of th, or an audience that names "
            "plant",
        ),
        (
            (CLEAR, UNKNOWN),
            JP,
            f"withheld (unknown-marking): got {UNKNOWN}: its definition is not held "
            "here; expected only markings that this node understands",
        ),
        (
            (),
            JP,
            "withheld (no-tlp): got no TLP level; "
            "expected a TLP marking, or a handling here",
        ),
        (
            (CLEAR,),
            replace(SG, blocked=True),
            "withheld (party-blocked): got sg, which is blocked; "
            "expected sg not to be blocked",
        ),
        ((AMBER, NAMES_SG), SG, "released (amber-to-audience): TLP:AMBER naming sg"),
        ((STRICT, NAMES_SG), SG, "released (strict-to-audience): "),
        ((CLEAR,), PUBLIC, "released (clear-to-everyone): TLP:CLEAR"),
        ((GREEN,), JP, "released (green-to-community): TLP:GREEN"),
        ((UNKNOWN,), US, "released (own-organisation): no TLP level"),
    ],
)
def test_a_verdict_says_what_it_got_and_expected(
    marked: tuple[str, ...], party: Party, said: str
) -> None:
    assert str(ask(marked, party)).startswith(said)


def test_a_blocked_party_gets_nothing_at_all() -> None:
    for party in (*OUTSIDERS, US):
        for by in Way:
            verdict = ask((CLEAR,), replace(party, blocked=True), by=by)
            assert (verdict.released, verdict.rule) == (False, "party-blocked")


def test_a_party_gets_something_only_for_what_it_is_allowed() -> None:
    defence, police, warning = Purpose
    for party in OUTSIDERS:
        usual = warning if party.kind is Kind.PUBLIC else defence
        for purpose in Purpose:
            verdict = ask((CLEAR,), party, purpose=purpose)
            expected = (True, "clear-to-everyone")
            if purpose is not usual:
                expected = (False, "purpose-not-allowed")
            assert (verdict.released, verdict.rule) == expected
        assert ask((CLEAR,), party).released
    prosecutor = replace(JP, purposes=frozenset({police}))
    # It gets nothing by the ways that name no purpose of their own.
    assert str(ask((CLEAR,), prosecutor)) == (
        "withheld (purpose-not-allowed): got defence for jp; expected law-enforcement"
    )
    assert ask((CLEAR,), prosecutor, purpose=police, by=Way.PERSON).released
    # A purpose opens nothing that the markings close.
    assert ask((AMBER,), prosecutor, purpose=police).rule == "no-audience"
    assert ask((CLEAR,), US, purpose=police).released
    assert ended(JP).rule == "party-ended"


def test_an_audience_finds_a_party_by_name_identity_or_circle() -> None:
    for audience in (NAMES_SG, NAMES_SG_BY_ID, IN_CIRCLE):
        assert ask((AMBER, audience), SG).released
        assert not ask((AMBER, audience), VN).released
    assert ask((AMBER, IN_CIRCLE_OR_VN), SG).released
    assert ask((AMBER, IN_CIRCLE_OR_VN), VN).released
    assert not ask((AMBER, IN_CIRCLE_OR_VN), JP).released


def test_a_circle_of_another_node_admits_nobody_here() -> None:
    for party in OUTSIDERS:
        assert not ask((GREEN, IN_CIRCLE_ELSEWHERE), party).released


def test_every_audience_must_admit_the_recipient() -> None:
    assert not ask((GREEN, NAMES_SG, NAMES_US), SG).released
    assert ask((GREEN, NAMES_SG, IN_CIRCLE), SG).released
    assert not ask((AMBER, IN_CIRCLE_OR_VN, ALL_BUT_VN), VN).released
    assert ask((AMBER, IN_CIRCLE_OR_VN, ALL_BUT_VN), SG).released


def test_everyone_but_leaves_out_by_name_by_identity_and_with_its_clients() -> None:
    assert not ask((GREEN, ALL_BUT_VN), VN).released
    assert not ask((GREEN, ALL_BUT_VN_BY_ID), VN).released
    assert ask((GREEN, ALL_BUT_VN), JP).released
    assert ask((GREEN, ALL_BUT_VN_BY_ID), SG).released
    assert not ask((CLEAR, ALL_BUT_VN), FOREIGN).released
    assert not ask((GREEN, ALL_BUT_US), BANK).released
    # JP has no identity on record, so it cannot be told from the one left out by id.
    assert not ask((GREEN, ALL_BUT_VN_BY_ID), JP).released


def test_clients_stand_behind_us_only_up_to_amber_and_with_a_need_to_know() -> None:
    assert ask((AMBER, NAMES_US), BANK).released
    assert ask((AMBER, IN_CIRCLE), BANK).released
    assert not ask((AMBER, NAMES_US), SHOP).released
    assert not ask((AMBER, NAMES_SG), BANK).released
    assert not ask((STRICT, NAMES_US), BANK).released
    assert not ask((RED, NAMES_US), BANK, by=Way.PERSON).released
    guest = replace(JP, client_of=OWN, need_to_know=True)
    assert not ask((AMBER, NAMES_US), guest).released


@pytest.mark.parametrize("party", OUTSIDERS)
def test_red_never_goes_by_machine(party: Party) -> None:
    named = known(make_audience(named=[party.name]))
    for refs in ((RED,), (RED, named), (CLEAR, RED, named)):
        assert not ask(refs, party).released
    assert ask((RED, named), US).rule == "red-by-person-only"
    assert ask((RED,), US, by=Way.PERSON).released


def test_red_goes_by_hand_only_to_whom_it_names() -> None:
    assert ask((RED, NAMES_SG), SG, by=Way.PERSON).rule == "red-by-hand"
    assert not ask((RED, NAMES_SG), VN, by=Way.PERSON).released
    assert not ask((RED,), SG, by=Way.PERSON).released
    assert not ask((RED, ALL_BUT_VN), SG, by=Way.PERSON).released


# --- definitions of audiences --------------------------------------------------------


def definition_of_audience(marking_id: str) -> MarkingSet:
    return MarkingSet(handled_as=Tlp.GREEN, definition=marking_id)


def test_the_definition_of_an_audience_is_read_by_that_audience_only() -> None:
    marked = definition_of_audience(IN_CIRCLE_OR_VN)
    assert ask(marked, SG).released
    assert ask(marked, VN).released
    assert ask(marked, US).released
    verdict = ask(marked, JP)
    assert verdict.rule == "definition-for-its-audience"
    assert "one that admits jp itself" in str(verdict)
    # A client gets the object through us, but not the list of who else has it.
    assert not ask(definition_of_audience(NAMES_US), BANK).released


def test_who_is_left_out_never_reads_the_list_of_exceptions() -> None:
    marked = definition_of_audience(ALL_BUT_VN)
    assert not ask(marked, VN).released
    assert not ask(marked, FOREIGN).released
    assert ask(marked, JP).released
    public = MarkingSet((CLEAR,), definition=ALL_BUT_VN)
    assert not ask(public, PUBLIC).released


def test_a_definition_that_is_not_understood_stays_with_us() -> None:
    assert ask(definition_of_audience(UNKNOWN), SG).rule == (
        "definition-for-its-audience"
    )
    assert ask(definition_of_audience(UNKNOWN), US).released
    assert ask(definition_of_audience(STATEMENT), SG).released


# --- granular markings ---------------------------------------------------------------


@pytest.mark.parametrize("by", list(Way))
def test_a_part_that_may_not_go_holds_the_whole_back(by: Way) -> None:
    marked = MarkingSet((GREEN,), granular=(NAMES_SG,))
    assert ask(marked, SG, by=by).released
    verdict = ask(marked, VN, by=by)
    assert verdict.rule == "granular-withheld"
    assert "a part of it with TLP:GREEN naming sg" in str(verdict)
    assert ask(MarkingSet((CLEAR,), (UNKNOWN,)), SG, by=by).rule == "granular-withheld"
    assert ask(MarkingSet((CLEAR,), (STATEMENT,)), SG, by=by).released


def test_a_part_cannot_open_what_the_object_closes() -> None:
    assert ask(MarkingSet((STRICT,), (CLEAR,)), SG).rule == "no-audience"
    assert ask(MarkingSet((AMBER,), (NAMES_SG,)), SG).rule == "no-audience"
    assert not ask(MarkingSet((GREEN,), (AMBER,)), SG).released
    assert ask(MarkingSet((GREEN, NAMES_SG), (AMBER,)), SG).released


def test_a_derived_object_goes_exactly_to_those_who_may_not_have_the_original() -> None:
    derive = Policy("derive")
    original = MarkingSet((GREEN,), granular=(NAMES_SG,))
    derived = replace(original, redacted=True)
    assert ask(original, SG, policy=derive).released
    assert ask(derived, SG, policy=derive).rule == "has-the-original"
    assert ask(original, VN, policy=derive).rule == "granular-derived-instead"
    assert ask(derived, VN, policy=derive).rule == "green-to-community"
    assert ask(derived, PUBLIC, policy=derive).rule == "tlp-forbids-kind"
    red = MarkingSet((GREEN,), granular=(RED,))
    assert ask(red, US, policy=derive).rule == "granular-derived-instead"
    assert ask(replace(red, redacted=True), US, policy=derive).released


def test_derived_objects_stay_when_the_policy_turns_back_to_withhold() -> None:
    derived = MarkingSet((CLEAR,), granular=(RED,), redacted=True)
    assert ask(derived, VN).rule == "granular-withheld"


def test_versions_both_derived_and_original_go_to_nobody() -> None:
    one = MarkingSet((CLEAR,), granular=(RED,), redacted=True)
    both = one.joined(MarkingSet((CLEAR,)))
    assert ask(both, SG, policy=Policy("derive")).rule == "mixed-redaction"


# --- policy --------------------------------------------------------------------------


def test_ceilings_tighten_by_party_and_by_kind() -> None:
    policy = Policy(ceilings={Kind.OPERATOR: Tlp.CLEAR})
    verdict = ask((GREEN,), BANK, policy=policy)
    assert str(verdict) == (
        "withheld (above-ceiling): got TLP:GREEN; "
        "expected TLP:CLEAR or lower for operator parties"
    )
    assert ask((CLEAR,), BANK, policy=policy).released
    assert ask((GREEN,), SG, policy=policy).released
    low = replace(SG, ceiling=Tlp.GREEN)
    assert ask((GREEN,), low).released
    assert "TLP:GREEN or lower for sg" in str(ask((AMBER, NAMES_SG), low))
    assert ask((), low).rule == "no-tlp"


@pytest.mark.parametrize(
    ("granular", "ceilings", "said"),
    [
        ("drop", {}, "got 'drop', expected withhold or derive"),
        ("withhold", {"public": "TLP:GREEN"}, "expected TLP:CLEAR or lower"),
        ("withhold", {"own": "TLP:GREEN"}, "the own organisation reads"),
        ("withhold", {"guest": "TLP:CLEAR"}, "got kind 'guest', expected one of own,"),
        ("withhold", {"member": "pink"}, "policy.ceilings.member: got 'pink'"),
    ],
)
def test_a_policy_that_is_wrong_or_loosens_is_refused(
    granular: str, ceilings: dict[str, str], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        Policy.from_texts(granular, ceilings)


def test_a_policy_is_read_from_the_configuration() -> None:
    policy = Policy.from_texts("derive", {"operator": "clear", "partner": "TLP:GREEN"})
    assert policy == Policy(
        "derive", {Kind.OPERATOR: Tlp.CLEAR, Kind.PARTNER: Tlp.GREEN}
    )


def test_the_table_is_written_as_markdown_with_every_rule() -> None:
    text = table_markdown()
    rows = [line for line in text.splitlines() if line.startswith("|")]
    widths = {line.count("|") for line in rows[: 2 + len(Kind)]}
    assert widths == {2 + len(Tlp)}
    assert "| public | yes | never | never | never | never |" in rows
    for rule, meaning in RULES.items():
        assert f"| `{rule}` | {meaning} |" in rows
    for reach in Reach:
        assert reach.value in text
