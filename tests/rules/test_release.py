"""Who gets what: the table as expected, and what must hold for every marking."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serantau.errors import ConfigError
from serantau.rules.marking import (
    TLP_2_IDS,
    Marking,
    MarkingSet,
    Tlp,
    make_audience,
    read_marking,
)
from serantau.rules.party import Circle, Kind, Party
from serantau.rules.release import (
    RULES,
    TABLE,
    Policy,
    Reach,
    Verdict,
    Way,
    judge,
    table_markdown,
)

OWN = "th"
CLEAR, GREEN, AMBER, STRICT, RED = (TLP_2_IDS[level] for level in Tlp)
UNKNOWN = "marking-definition--33333333-3333-4333-8333-333333333333"
SG_ID = "identity--5a7f4a66-2f6e-4f0e-8a52-0a3b5a1f6f01"
VN_ID = "identity--6b805b77-306f-4f1f-9b63-1b4c6b207012"
CIRCLE = Circle(
    "circle--0b1f6a3e-4c25-4f43-9f0a-3d1b8f2f7a10", "gulf", frozenset({"sg", "th"})
)
ELSEWHERE = "circle--1c207b4f-5d36-4054-8a1b-4e2c90308b21"
KNOWN: dict[str, Marking] = {}


def known(data: dict[str, Any]) -> str:
    marking = read_marking(data)
    KNOWN[marking.id] = marking
    return marking.id


NAMES_SG = known(make_audience(named=["sg"]))
NAMES_US = known(make_audience(named=["th"]))
NAMES_US_AND_SG = known(make_audience(named=["th", "sg"]))
NAMES_SG_BY_ID = known(make_audience(named=[SG_ID]))
NAMES_BANK = known(make_audience(named=["bank"]))
NOBODY = known(make_audience())
IN_CIRCLE = known(make_audience(circles=[CIRCLE.id]))
IN_CIRCLE_OR_VN = known(make_audience(named=["vn"], circles=[CIRCLE.id]))
IN_CIRCLE_ELSEWHERE = known(make_audience(circles=[ELSEWHERE]))
ALL_BUT_VN = known(make_audience(everyone_but=["vn"]))
ALL_BUT_VN_BY_ID = known(make_audience(everyone_but=[VN_ID]))
ALL_BUT_US = known(make_audience(everyone_but=["th"]))
PAP = known(
    {
        "type": "marking-definition",
        "id": "marking-definition--44444444-4444-4444-8444-444444444444",
        "definition_type": "pap",
        "definition": {"pap": "red"},
    }
)
STATEMENT = known(
    {
        "type": "marking-definition",
        "id": "marking-definition--55555555-5555-4555-8555-555555555555",
        "definition_type": "statement",
        "definition": {"statement": "Copyright"},
    }
)

SG = Party("sg", Kind.MEMBER, identity=SG_ID)
VN = Party("vn", Kind.MEMBER, identity=VN_ID)
US = Party(OWN, Kind.OWN)
JP = Party("jp", Kind.PARTNER)
HUB = Party("hub", Kind.COORDINATOR)
BANK = Party("bank", Kind.OPERATOR, client_of=OWN, need_to_know=True)
SHOP = Party("shop", Kind.OPERATOR, client_of=OWN)
FOREIGN = Party("plant", Kind.OPERATOR, client_of="vn", need_to_know=True)
PUBLIC = Party("public", Kind.PUBLIC)
OUTSIDERS = (SG, VN, JP, HUB, BANK, SHOP, FOREIGN, PUBLIC)


def ask(
    marked: MarkingSet | tuple[str, ...],
    recipient: Party,
    *,
    by: Way = Way.MACHINE,
    policy: Policy | None = None,
) -> Verdict:
    return judge(
        marked if isinstance(marked, MarkingSet) else MarkingSet(marked),
        KNOWN,
        recipient,
        own=OWN,
        policy=policy or Policy(),
        circles={CIRCLE.id: CIRCLE},
        by=by,
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


# --- what must hold for every marking ------------------------------------------------

POOL = [*TLP_2_IDS.values(), *KNOWN, UNKNOWN]
REFS = st.lists(st.sampled_from(POOL), max_size=4).map(tuple)
FEW = st.lists(st.sampled_from(POOL), max_size=2).map(tuple)
HANDLING = st.none() | st.sampled_from(Tlp)
DEFINITIONS = st.sampled_from(["", "", ALL_BUT_VN, NAMES_SG, UNKNOWN])
SETS = st.builds(
    MarkingSet,
    refs=REFS,
    granular=FEW,
    handled_as=HANDLING,
    definition=DEFINITIONS,
)
ANYBODY = st.builds(
    replace,
    st.sampled_from([*OUTSIDERS, US]),
    blocked=st.sampled_from([False, False, False, True]),
    ceiling=st.none() | st.sampled_from(Tlp),
)
POLICIES = st.builds(
    Policy,
    granular=st.sampled_from(["withhold", "derive"]),
    ceilings=st.dictionaries(
        st.sampled_from([Kind.MEMBER, Kind.OPERATOR, Kind.PARTNER]),
        st.sampled_from(Tlp),
    ),
)
WAYS = st.sampled_from(Way)


@given(SETS, SETS, SETS, ANYBODY, POLICIES, WAYS)
def test_joining_never_widens(
    a: MarkingSet, b: MarkingSet, c: MarkingSet, party: Party, policy: Policy, by: Way
) -> None:
    each = [ask(one, party, policy=policy, by=by).released for one in (a, b, c)]
    joined = ask(a.joined(b).joined(c), party, policy=policy, by=by)
    assert joined.released == all(each)


def test_a_later_version_does_not_name_an_audience_for_an_earlier_one() -> None:
    sealed, open_ = MarkingSet((AMBER,)), MarkingSet((CLEAR, NAMES_SG))
    assert not ask(sealed.joined(open_), SG).released
    unmarked = MarkingSet(handled_as=Tlp.AMBER_STRICT)
    assert not ask(unmarked.joined(open_), SG).released
    assert not ask(MarkingSet().joined(open_), SG).released


@given(FEW, FEW, st.sampled_from(Tlp), st.sampled_from(Tlp), ANYBODY, POLICIES, WAYS)
def test_a_stricter_level_never_releases_to_more(
    beside: tuple[str, ...],
    granular: tuple[str, ...],
    one: Tlp,
    other: Tlp,
    party: Party,
    policy: Policy,
    by: Way,
) -> None:
    laxer, stricter = sorted((one, other))

    def released(level: Tlp) -> bool:
        marked = MarkingSet((TLP_2_IDS[level], *beside), granular)
        return ask(marked, party, policy=policy, by=by).released

    assert released(laxer) or not released(stricter)


@given(SETS, st.sampled_from(POOL), ANYBODY, POLICIES, WAYS)
def test_a_further_marking_never_widens_unless_it_names_an_audience(
    marked: MarkingSet, ref: str, party: Party, policy: Policy, by: Way
) -> None:
    before = ask(marked, party, policy=policy, by=by)
    more = ask(replace(marked, refs=(*marked.refs, ref)), party, policy=policy, by=by)
    assert (
        before.released
        or not more.released
        # Only these two say that something is lacking which a marking can bring.
        or before.rule in {"no-audience", "no-tlp", "not-our-operator"}
        or before.rule.startswith("granular-")
    )


@given(SETS, st.booleans(), ANYBODY, POLICIES, WAYS)
def test_an_unknown_marking_never_releases_to_an_outsider(
    marked: MarkingSet, in_part: bool, party: Party, policy: Policy, by: Way
) -> None:
    if in_part:
        marked = replace(marked, granular=(*marked.granular, UNKNOWN))
    else:
        marked = replace(marked, refs=(*marked.refs, UNKNOWN))
    verdict = ask(marked, party, policy=policy, by=by)
    assert party.kind is Kind.OWN or not verdict.released


@given(
    st.lists(st.sampled_from([*KNOWN, UNKNOWN]), max_size=4).map(tuple),
    ANYBODY,
    POLICIES,
    WAYS,
)
def test_what_has_neither_level_nor_handling_goes_to_nobody_outside(
    refs: tuple[str, ...], party: Party, policy: Policy, by: Way
) -> None:
    verdict = ask(refs, party, policy=policy, by=by)
    assert party.kind is Kind.OWN or not verdict.released


@given(SETS, ANYBODY, POLICIES, WAYS)
def test_a_policy_and_a_ceiling_only_tighten(
    marked: MarkingSet, party: Party, policy: Policy, by: Way
) -> None:
    free = Policy(policy.granular)
    tight = ask(marked, party, policy=policy, by=by)
    loose = ask(marked, replace(party, ceiling=None), policy=free, by=by)
    assert loose.released or not tight.released


@given(SETS, ANYBODY, WAYS)
def test_hand_over_releases_all_that_a_machine_may(
    marked: MarkingSet, party: Party, by: Way
) -> None:
    assert ask(marked, party, by=Way.PERSON).released or not ask(marked, party).released


@given(SETS, SETS, ANYBODY, WAYS)
def test_of_original_and_derived_each_party_gets_at_most_one(
    one: MarkingSet, other: MarkingSet, party: Party, by: Way
) -> None:
    policy = Policy("derive")
    original = one.joined(other)
    derived = replace(one, redacted=True).joined(replace(other, redacted=True))
    got = ask(original, party, policy=policy, by=by)
    instead = ask(derived, party, policy=policy, by=by)
    if got.rule == "granular-derived-instead":
        assert instead.released
    else:
        assert not instead.released


@given(SETS, ANYBODY, POLICIES, WAYS)
def test_every_verdict_names_a_rule_and_says_why(
    marked: MarkingSet, party: Party, policy: Policy, by: Way
) -> None:
    verdict = ask(marked, party, policy=policy, by=by)
    assert verdict.rule in RULES
    assert verdict.got
    assert verdict.expected
