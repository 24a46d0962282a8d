"""A case: the same set of entries is the same state, whoever folds it and in any order.

And whoever lies in it is seen by everybody, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from cases import START, Log, opening
from keys import identity
from serantau.clock import stix_text
from serantau.rules import case_steps
from serantau.rules.case import Case
from serantau.rules.case_entry import Entry, Kind
from serantau.rules.case_states import (
    EMBARGO,
    PARTY,
    EmbargoState,
    PartyState,
    steps_to,
    table_markdown,
)
from serantau.rules.case_steps import FLAGS, Flag

PARTIES = ("th", "sg", "vn")


def part(log: Log, name: str) -> case_steps.Part:
    return log.case.state.parts[identity(name)]


def test_a_case_from_its_opening_to_its_end() -> None:
    log = Log.opened("th", "sg", "vn", severity_level="high")
    log.say("sg", Kind.ACKNOWLEDGED)
    for stance in ("valid", "accepted"):
        log.say("sg", Kind.ASSESSMENT, stance=stance, severity_level="severe")
    task = log.say(
        "th", Kind.TASK, name="Take it down", party_ref=identity("sg"), due=stix_text(0)
    )
    log.say("sg", Kind.TASK, about_ref=task, state="done", due=stix_text(1))
    log.say("sg", Kind.EVIDENCE, object_refs=["malware--1", "malware--2"])
    log.say("th", Kind.ASSESSMENT, severity_level="emergency", incident_class="fraud")
    state = log.case.state
    assert (state.owner, state.opener) == (identity("th"), identity("th"))
    assert (state.severity, state.incident_class) == ("emergency", "fraud")
    assert state.silent == [identity("vn")]
    assert part(log, "sg").state is PartyState.ACCEPTED
    assert part(log, "sg").severity == "severe"
    assert part(log, "vn").state is PartyState.NO_ANSWER
    assert (state.tasks[task].state, state.tasks[task].due) == ("done", stix_text(1))
    assert list(state.evidence) == ["malware--1", "malware--2"]
    log.say("th", Kind.CLOSED, description="taken down")
    assert log.case.state.closed == stix_text(log.at)
    log.say("sg", Kind.ASSESSMENT, stance="closed")
    log.say("th", Kind.REOPENED)
    assert log.case.state.closed == ""
    assert part(log, "sg").state is PartyState.RECEIVED
    assert part(log, "th").state is PartyState.ACCEPTED
    assert log.case.flagged() == []


def test_a_case_is_handed_over_only_when_the_other_takes_it() -> None:
    log = Log.opened("th", "sg", "vn")
    log.say("th", Kind.HANDED_OVER, party_ref=identity("sg"))
    early = log.say("vn", Kind.OWNER)
    state = log.case.state
    assert (state.owner, state.offered) == (identity("th"), identity("sg"))
    taken = log.say("sg", Kind.OWNER)
    log.say("sg", Kind.ASSESSMENT, national_class="scam")
    state = log.case.state
    assert (state.owner, state.offered, state.term) == (identity("sg"), "", taken)
    assert state.national_class == "scam"
    stranger = log.say("sg", Kind.HANDED_OVER, party_ref=identity("jp"))
    late = log.say("th", Kind.HANDED_OVER, party_ref=identity("vn"))
    log.say("sg", Kind.HANDED_OVER, party_ref=identity("vn"))
    log.say("sg", Kind.HANDED_OVER, party_ref=identity("sg"))
    back = log.say("vn", Kind.OWNER)
    flags = {one: log.case.flags(one) for one in log.case.flagged()}
    assert flags == {
        early: (Flag.NOT_OFFERED,),
        stranger: (Flag.NOT_IN_CASE,),
        late: (Flag.NOT_OWNER,),
        back: (Flag.NOT_OFFERED,),
    }


def test_an_embargo_holds_when_two_agree_of_whom_one_owns_the_case() -> None:
    log = Log.opened("th", "sg", "vn")
    until, longer = stix_text(START), stix_text(START + 1)
    for who, step, then, now in (
        ("sg", "propose", EmbargoState.PROPOSED, ""),
        ("vn", "accept", EmbargoState.PROPOSED, ""),
        ("sg", "accept", EmbargoState.PROPOSED, ""),
        ("th", "accept", EmbargoState.ACTIVE, until),
        ("th", "revise", EmbargoState.REVISE, until),
        ("sg", "reject", EmbargoState.REVISE, until),
        ("th", "reject", EmbargoState.ACTIVE, until),
        ("th", "revise", EmbargoState.REVISE, until),
        ("vn", "accept", EmbargoState.ACTIVE, longer),
        ("vn", "exit", EmbargoState.EXITED, longer),
    ):
        by = {"propose": until, "revise": longer}.get(step, "")
        log.say(who, Kind.EMBARGO, step=step, until=by)
        embargo = log.case.state.embargo
        assert (embargo.state, embargo.until) == (then, now), (who, step)
    again = log.say("th", Kind.EMBARGO, step="propose", until=until)
    assert log.case.flags(again) == (Flag.NOT_A_STEP,)


def test_an_ask_stays_open_until_each_party_asked_has_answered() -> None:
    log = Log.opened("th", "sg", "vn")
    to = [identity("sg"), identity("vn")]
    ask = log.say("th", Kind.ASKED, name="Seize the server", party_refs=to)
    log.say("sg", Kind.REFERRED, about_ref=ask, party_ref=identity("jp"))
    log.say("vn", Kind.DECLINED, about_ref=ask, description="no law for it")
    assert log.case.state.asks[ask].to == {
        identity("sg"): "referred",
        identity("vn"): "declined",
        identity("jp"): "open",
    }
    log.say("vn", Kind.ACCEPTED, about_ref=ask)
    log.say("th", Kind.CORRECTION, about_ref=ask, name="Seize both servers")
    assert log.case.state.asks[ask].to[identity("vn")] == "accepted"
    assert log.case.state.asks[ask].name == "Seize both servers"
    wrong = {
        log.say("th", Kind.ACCEPTED, about_ref=ask): Flag.NOT_ITS_OWN,
        log.say("vn", Kind.ACCEPTED, about_ref=ask): Flag.NOT_A_STEP,
        log.say("vn", Kind.ACCEPTED, about_ref=log.id): Flag.NOTHING_THERE,
    }
    assert {one: log.case.flags(one) for one in wrong} == {
        one: (flag,) for one, flag in wrong.items()
    }


def test_a_correction_is_read_instead_and_both_stay_in_the_log() -> None:
    log = Log.opened("th", "sg")
    task = log.say("sg", Kind.TASK, name="Blok it")
    log.say("th", Kind.CORRECTION, about_ref=log.id, name="Phishing kit, two")
    log.say("th", Kind.CORRECTION, about_ref=log.id, description="seen twice")
    log.say("sg", Kind.CORRECTION, about_ref=task, name="Block it")
    wrong = log.say("sg", Kind.CORRECTION, about_ref=log.id, name="Nothing")
    state = log.case.state
    assert (state.name, state.description) == ("Phishing kit, two", "seen twice")
    assert state.tasks[task].name == "Block it"
    assert state.corrections[log.id]["description"] == "seen twice"
    assert log.case.flags(wrong) == (Flag.NOT_ITS_OWN,)
    # No node admits one that is about nothing; it would change nothing.
    empty = log.say("sg", Kind.CORRECTION, name="x")
    assert log.case.flags(empty) == (Flag.NOTHING_THERE,)
    assert [line.entry for line in log.case.lines()] == log.entries


def test_a_task_moves_by_whose_it_is() -> None:
    log = Log.opened("th", "sg", "vn")
    task = log.say("sg", Kind.TASK, name="Block it", party_ref=identity("sg"))
    wrong = {
        log.say("vn", Kind.TASK, about_ref=task, state="done"): Flag.NOT_ITS_OWN,
        log.say("sg", Kind.TASK, about_ref=task, state="open"): Flag.NOT_A_STEP,
        log.say("sg", Kind.TASK, about_ref=log.id, state="done"): Flag.NOTHING_THERE,
    }
    assert {one: log.case.flags(one) for one in wrong} == {
        one: (flag,) for one, flag in wrong.items()
    }
    log.say("th", Kind.TASK, about_ref=task, state="doing", party_ref=identity("vn"))
    assert log.case.state.tasks[task].party == identity("vn")


def test_a_reminder_is_no_word_of_who_is_reminded_nor_of_who_reminds() -> None:
    log = Log.opened("th", "sg")
    sg = identity("sg")
    before = part(log, "th").last
    log.say("th", Kind.REMINDER, party_ref=sg, clock="acknowledge")
    log.say("th", Kind.PAGE, party_ref=sg, clock="acknowledge", channel="phone")
    assert part(log, "sg").answered == ""
    assert part(log, "th").last == before
    log.say("sg", Kind.ACKNOWLEDGED)
    assert part(log, "sg").answered == stix_text(log.at)
    lost = log.say("th", Kind.REMINDER, party_ref=identity("jp"), clock="acknowledge")
    assert log.case.flags(lost) == (Flag.NOT_IN_CASE,)


def test_only_who_invited_a_party_by_mail_speaks_for_it() -> None:
    log = Log.opened("th", "sg")
    la = identity("la")
    log.say("th", Kind.INVITED, party_ref=la, by_mail=True)
    false = log.say("sg", Kind.ACKNOWLEDGED, for_ref=la, mail_signature="good")
    assert log.case.flags(false) == (Flag.FOR_ANOTHER,)
    assert part(log, "la").state is PartyState.NO_ANSWER
    log.say("th", Kind.ACKNOWLEDGED, for_ref=la, mail_signature="none")
    assert part(log, "la").state is PartyState.RECEIVED
    assert part(log, "la").signature == "none"
    # With a node of its own it speaks for itself, and nobody else does any more.
    log.say("th", Kind.INVITED, party_ref=la)
    late = log.say("th", Kind.ASSESSMENT, for_ref=la, stance="valid")
    assert log.case.flags(late) == (Flag.FOR_ANOTHER,)
    log.say("la", Kind.ASSESSMENT, stance="valid")
    assert part(log, "la").state is PartyState.VALID
    again = log.say("th", Kind.ACKNOWLEDGED, for_ref=identity("jp"))
    assert log.case.flags(again) == (Flag.FOR_ANOTHER,)


def test_only_the_owner_and_the_opener_invite_close_and_reopen() -> None:
    log = Log.opened("th", "sg")
    wrong = {
        log.say("sg", Kind.INVITED, party_ref=identity("jp")): Flag.NOT_OWNER,
        log.say("sg", Kind.CLOSED): Flag.NOT_OWNER,
        log.say("sg", Kind.REOPENED): Flag.NOT_OWNER,
        log.say("th", Kind.REOPENED): Flag.NOT_A_STEP,
        log.say("jp", Kind.ACKNOWLEDGED): Flag.NOT_IN_CASE,
    }
    log.say("th", Kind.INVITED, party_ref=identity("sg"))
    log.say("th", Kind.CLOSED)
    wrong[log.say("th", Kind.CLOSED)] = Flag.NOT_A_STEP
    assert {one: log.case.flags(one) for one in log.case.flagged()} == {
        one: (flag,) for one, flag in wrong.items()
    }
    assert set(log.case.state.parts) == {identity("th"), identity("sg")}


def test_a_fork_of_a_chain_is_shown_on_both_of_its_ends() -> None:
    log = Log.opened("th", "sg")
    before = log.case
    one = log.say("sg", Kind.ACKNOWLEDGED, seen=before)
    other = log.say("sg", Kind.ACKNOWLEDGED, seen=before, description="or not")
    third = log.say("sg", Kind.ACKNOWLEDGED, seen=before, description="or so")
    again = log.say("th", Kind.TASK, name="x", previous=log.entries[0].id)
    for entries in (log.entries, log.entries[::-1]):
        case = Case(log.id, entries)
        flagged = {one, other, third, again, log.entries[1].id}
        assert set(case.flagged()) == flagged
        assert all(case.flags(each) == (Flag.FORK,) for each in flagged)


def test_a_time_before_what_it_follows_moves_nothing() -> None:
    log = Log.opened("th", "sg")
    log.say("sg", Kind.ACKNOWLEDGED, later=3600)
    log.say("sg", Kind.ASSESSMENT, stance="valid")
    log.say("th", Kind.CLOSED)
    back = log.say("sg", Kind.ASSESSMENT, stance="deferred", later=-3600)
    near = log.say("th", Kind.REOPENED, later=3590)
    assert log.case.flags(back) == (Flag.BACKDATED,)
    assert log.case.flags(near) == ()
    assert [line.entry for line in log.case.lines()] == log.entries
    assert part(log, "sg").state is PartyState.DEFERRED


def test_who_goes_on_from_anothers_chain_changes_nothing() -> None:
    log = Log.opened("th", "sg", "vn")
    mine = log.say("sg", Kind.ACKNOWLEDGED)
    false = log.say("vn", Kind.ACKNOWLEDGED, previous=mine)
    assert log.case.flags(false) == (Flag.NOT_OWN_CHAIN,)
    assert part(log, "vn").state is PartyState.NO_ANSWER


def test_a_flood_of_one_party_ends_at_its_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("serantau.rules.case.MOST", 3)
    log = Log.opened("th", "sg", "vn")
    several = [log.say("sg", Kind.TASK, name=str(each)) for each in range(5)]
    log.say("vn", Kind.ACKNOWLEDGED)
    assert log.case.flagged() == sorted(several[3:])
    assert log.case.flags(several[4]) == (Flag.FLOOD,)
    assert set(log.case.state.tasks) == set(several[:3])
    assert part(log, "vn").state is PartyState.RECEIVED


def test_an_unknown_kind_is_kept_and_has_no_effect() -> None:
    log = Log.opened("th", "sg")
    strange = log.entries[-1]
    later = replace(
        strange,
        id="case-entry--" + "1" * 36,
        kind="from-the-future",
        created=stix_text(log.at + 1_000_000),
        previous_ref=strange.id,
    )
    case = Case(log.id, [*log.entries, later])
    assert case.flags(later.id) == (Flag.UNKNOWN_KIND,)
    assert later.id in case
    assert case.entry(later.id) == later


def test_an_entry_of_another_case_is_an_error() -> None:
    with pytest.raises(ValueError, match="is of case"):
        Log.opened("th").case.add(Log.opened("sg").entries)


def test_what_waits_is_shown_and_comes_in_with_what_it_waits_for() -> None:
    log = Log.opened("th", "sg")
    log.say("sg", Kind.ACKNOWLEDGED)
    log.say("sg", Kind.ASSESSMENT, stance="valid")
    first, second, third, fourth = log.entries
    case = Case(log.id, [fourth, third])
    assert case.waiting == sorted([third, fourth], key=lambda one: one.id)
    assert case.missing == [log.id]
    assert (case.state, list(case.lines())) == (case_steps.State(), [])
    assert case.add([first, first]) == 1
    assert case.missing == [second.id]
    assert list(case.state.parts) == [identity("th")]
    case.add([second])
    assert (case.waiting, case.missing, len(case)) == ([], [], 4)
    assert case.hash() == log.case.hash()


def test_lines_are_given_from_a_time_on() -> None:
    log = Log.opened("th", "sg")
    log.say("sg", Kind.ACKNOWLEDGED)
    lines = [line.entry for line in log.case.lines(log.entries[-1].created)]
    assert lines == log.entries[-1:]


def test_every_flag_is_explained() -> None:
    assert set(FLAGS) == set(Flag)


def test_a_stance_is_reached_by_the_steps_of_the_table() -> None:
    assert steps_to(PartyState.NO_ANSWER, "accepted") == (
        "acknowledge", "valid", "accepted",
    )  # fmt: skip
    assert steps_to(PartyState.ACCEPTED, "accepted") == ()
    assert steps_to(PartyState.CLOSED, "valid") == ()
    assert "| party | no-answer | acknowledge: received |" in table_markdown()
    assert "| embargo | exited | nothing |" in table_markdown()
    assert set(PARTY) == set(PartyState)
    assert set(EMBARGO) == set(EmbargoState)


# Whatever parties write, honest or not, whoever has which part of it


def write(log: Log, author: str, choice: int, seen: Case) -> None:
    """Write some entry, right or wrong, on top of what its author has seen."""
    some = [line.entry.id for line in seen.lines()] or [log.id]
    about = some[choice % len(some)]
    kinds: list[tuple[Kind, dict[str, Any]]] = [
        (Kind.INVITED, {"party_ref": identity("jp")}),
        (Kind.ACKNOWLEDGED, {}),
        (Kind.ASSESSMENT, {"stance": "valid", "severity_level": "high"}),
        (Kind.ASSESSMENT, {"stance": "accepted"}),
        (Kind.TASK, {"name": f"task {choice}"}),
        (Kind.TASK, {"about_ref": about, "state": "done"}),
        (Kind.EMBARGO, {"step": "propose", "until": stix_text(START)}),
        (Kind.EMBARGO, {"step": "accept"}),
        (Kind.HANDED_OVER, {"party_ref": identity("sg")}),
        (Kind.OWNER, {}),
        (Kind.CORRECTION, {"about_ref": about, "name": f"name {choice}"}),
        (Kind.ACKNOWLEDGED, {"for_ref": identity("vn")}),
        (Kind.CLOSED, {}),
    ]
    kind, said = kinds[choice % len(kinds)]
    later = (choice % 7) * (-600 if choice % 11 == 0 else 1)
    # Now and then an author forgets its own last entry: a fork.
    previous = "" if choice % 13 == 0 else None
    log.say(author, kind, seen=seen, later=later, previous=previous, **said)


@st.composite
def logs(draw: st.DrawFn) -> Log:
    """Draw a case that some write while others do not see it."""
    log = Log.opened("th", "sg", "vn")
    seen = dict.fromkeys(PARTIES, log.case)
    for choice, author, told in draw(
        st.lists(
            st.tuples(st.integers(0, 10_000), st.sampled_from(PARTIES), st.booleans()),
            max_size=12,
        )
    ):
        write(log, author, choice, seen[author])
        for name in PARTIES if told else (author,):
            seen[name] = Case(log.id, log.entries if told else known(seen[name], log))
    return log


def known(seen: Case, log: Log) -> list[Entry]:
    return [one for one in log.entries if one.id in seen or one is log.entries[-1]]


def same(one: Case, other: Case) -> None:
    assert one.hash() == other.hash()
    assert one.state == other.state
    assert list(one.lines()) == list(other.lines())
    assert one.heads() == other.heads()
    assert one.digests() == other.digests()


@settings(max_examples=60)
@given(log=logs(), order=st.randoms(use_true_random=False))
def test_any_order_of_arrival_with_duplicates_gives_the_same_state(
    log: Log, order: Random
) -> None:
    shuffled = [*log.entries, *log.entries[::2]]
    order.shuffle(shuffled)
    one_by_one = Case(log.id)
    for entry in shuffled:
        one_by_one.add([entry])
    assert one_by_one.waiting == []
    same(one_by_one, log.case)


@settings(max_examples=60)
@given(log=logs(), sides=st.lists(st.booleans(), min_size=20, max_size=20))
def test_two_halves_that_meet_again_have_the_same_state(
    log: Log, sides: Sequence[bool]
) -> None:
    dealt = list(zip(log.entries, sides, strict=False))
    left = Case(log.id, [one for one, side in dealt if side])
    right = Case(log.id, [one for one, side in dealt if not side])
    assert (left.hash() == right.hash()) == (left.digest() == right.digest())
    halves = [left, right]
    for half, other in (halves, halves[::-1]):
        half.add([*(other.entry(one.id) for one in log.entries if one.id in other)])
        half.add(log.entries[20:])
        same(half, log.case)


@settings(max_examples=60)
@given(log=logs(), lost=st.integers(0, 20))
def test_sets_that_differ_have_other_hashes_and_nothing_is_dropped(
    log: Log, lost: int
) -> None:
    kept = [one for place, one in enumerate(log.entries) if place != lost]
    case = Case(log.id, kept)
    assert len(case) == len(kept)
    placed = {line.entry.id for line in case.lines()}
    assert placed | {one.id for one in case.waiting} == {one.id for one in kept}
    assert (case.hash() == log.case.hash()) == (len(kept) == len(log.entries))


def test_the_order_is_that_of_cause_then_time_then_id() -> None:
    log = Log.opened("th", "sg", "vn")
    seen = log.case
    late = log.say("sg", Kind.ACKNOWLEDGED, seen=seen, later=9)
    early = log.say("vn", Kind.ACKNOWLEDGED, seen=seen, later=-5)
    follows = log.say("vn", Kind.TASK, name="x", later=-4)
    order = [line.entry.id for line in log.case.lines()][-3:]
    assert order == [early, late, follows]


def test_opening_twice_is_two_cases() -> None:
    assert opening("th")["id"] == opening("th")["id"]
    assert opening("th")["id"] != opening("th", nonce="f" * 32)["id"]
