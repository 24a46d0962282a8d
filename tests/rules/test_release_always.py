"""What must hold for every marking, party and policy."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from serantau.rules.marking import (
    TLP_2_IDS,
    MarkingSet,
    Tlp,
)
from serantau.rules.party import Kind, Party
from serantau.rules.release import (
    RULES,
    Policy,
    Way,
)
from verdicts import (
    ALL_BUT_VN,
    AMBER,
    CLEAR,
    KNOWN,
    NAMES_SG,
    OUTSIDERS,
    SG,
    UNKNOWN,
    US,
    ask,
)

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
        # Without a level nobody's clients stand behind them, whatever lacks first.
        or before.got.startswith("no TLP level")
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
