"""The clocks of a case: what is due, steps that never storm, and who may take them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from cases import START, Log
from keys import identity
from serantau.clock import instant, stix_text
from serantau.rules.case_clock import (
    TERMS,
    Clocks,
    Due,
    Step,
    clocks,
    duties,
    first_due,
    paced,
    steps_of,
)
from serantau.rules.case_entry import Kind
from serantau.rules.case_schema import SEVERITIES
from serantau.rules.profile import ReportingClock

HOUR = 3600
HIGH = TERMS["high"]
MICRO = 1_000_000


def due(log: Log, party: str) -> Due:
    return next(each for each in clocks(log.case).due if each.party == identity(party))


def step(log: Log, party: str, now: int) -> Step | None:
    return clocks(log.case).next_step(due(log, party), now)


def take(log: Log, party: str, now: int, by: str = "th") -> Step | None:
    """Take the step that is to be taken at `now`, as the node of `by` would."""
    found = step(log, party, now)
    if found is not None:
        said: dict[str, Any] = {"channel": found.channel} if found.channel else {}
        clock = due(log, party).clock
        log.say(
            by, found.kind, later=(now - log.at) // MICRO,
            party_ref=identity(party), clock=clock, **said,
        )  # fmt: skip
    return found


def test_every_severity_has_terms_and_graver_ones_are_shorter() -> None:
    assert set(TERMS) == set(SEVERITIES)
    ordered = [TERMS[severity] for severity in SEVERITIES]
    for milder, graver in pairwise(ordered):
        assert all(a > b for a, b in zip(milder, graver, strict=True))


def test_a_party_has_one_clock_at_a_time_until_it_is_done() -> None:
    log = Log.opened("th", "sg", severity_level="high")
    invited = log.at
    assert due(log, "sg") == Due(
        identity("sg"), "acknowledge", invited, invited + HIGH.acknowledge
    )
    log.say("sg", Kind.ACKNOWLEDGED, later=60)
    assert due(log, "sg") == Due(identity("sg"), "assess", log.at, log.at + HIGH.assess)
    log.say("sg", Kind.ASSESSMENT, stance="valid")
    log.say("sg", Kind.ASSESSMENT, stance="accepted")
    assert due(log, "sg").clock == "update"
    log.say("sg", Kind.EVIDENCE, later=60, object_refs=["malware--1"])
    assert due(log, "sg").at == log.at + HIGH.update
    log.say("sg", Kind.ASSESSMENT, stance="deferred")
    assert [each.party for each in clocks(log.case).due] == [identity("th")]
    log.say("th", Kind.CLOSED)
    assert clocks(log.case) == Clocks()


def test_a_word_that_is_no_acknowledgement_ends_the_silence_too() -> None:
    log = Log.opened("th", "sg")
    log.say("sg", Kind.EVIDENCE, object_refs=["malware--1"])
    assert due(log, "sg").clock == "assess"


def test_silence_is_reminded_of_then_paged_by_steps_with_a_gap_between() -> None:
    log = Log.opened("th", "sg", severity_level="high")
    at = due(log, "sg").at
    assert step(log, "sg", at - 1) is None
    assert take(log, "sg", at) == Step(Kind.REMINDER, "")
    assert step(log, "sg", at + HIGH.gap - 1) is None
    for number, channel in enumerate(("on-call", "deputy", "coordinator"), 1):
        assert take(log, "sg", at + number * HIGH.gap) == Step(Kind.PAGE, channel)
    assert step(log, "sg", at + 100 * HIGH.gap) is None
    assert [each.clock for each in clocks(log.case).overdue(at)] == ["acknowledge"]


def test_after_a_pause_of_days_one_step_is_taken_and_not_all_at_once() -> None:
    log = Log.opened("th", "sg", severity_level="high")
    late = due(log, "sg").at + 72 * HOUR * MICRO
    assert take(log, "sg", late) == Step(Kind.REMINDER, "")
    assert step(log, "sg", late + 1) is None
    assert take(log, "sg", late + HIGH.gap) == Step(Kind.PAGE, "on-call")


def test_a_clock_that_was_set_back_stops_no_step_for_long() -> None:
    log = Log.opened("th", "sg", severity_level="high")
    at = due(log, "sg").at
    take(log, "sg", at + 48 * HOUR * MICRO)
    # The machine's clock was two days ahead, and is right again.
    assert step(log, "sg", at + HIGH.gap) == Step(Kind.PAGE, "on-call")


def test_a_step_that_is_passed_over_is_behind_and_one_taken_twice_is_one() -> None:
    log = Log.opened("th", "sg", severity_level="high")
    at = due(log, "sg").at
    take(log, "sg", at)
    assert [each.channel for each in clocks(log.case).next_steps(
        due(log, "sg"), at + HIGH.gap
    )] == ["on-call", "deputy", "coordinator"]  # fmt: skip
    for number in (1, 2):
        log.say(
            "th", Kind.PAGE, later=number * HIGH.gap // MICRO, channel="deputy",
            party_ref=identity("sg"), clock="acknowledge",
        )  # fmt: skip
        last = log.at
        assert step(log, "sg", last + HIGH.gap - 1) is None
        assert step(log, "sg", last + HIGH.gap) == Step(Kind.PAGE, "coordinator")
    # What a newer node calls a step is none of these, and is waited for all the same.
    log.say(
        "th", Kind.PAGE, party_ref=identity("sg"), clock="acknowledge", channel="drone"
    )
    assert clocks(log.case).soonest(log.at) == log.at + HIGH.gap
    assert step(log, "sg", log.at + HIGH.gap) == Step(Kind.PAGE, "coordinator")


def test_the_soonest_step_is_the_first_that_is_to_be_taken() -> None:
    log = Log.opened("th", "sg", "vn", severity_level="high")
    at = due(log, "sg").at
    assert clocks(log.case).soonest(START) == at
    take(log, "sg", at)
    take(log, "vn", at + MICRO)
    assert clocks(log.case).soonest(log.at) == at + HIGH.gap
    assert Clocks().soonest(at) is None


def test_an_exercise_runs_its_clocks_faster_all_alike() -> None:
    assert paced(1) == TERMS
    assert paced(60)["high"].acknowledge == 60 * MICRO
    assert min(min(terms) for terms in paced(1e18).values()) == 1


def test_only_the_owner_s_steps_count_so_nobody_ends_his_own_clock() -> None:
    log = Log.opened("th", "sg", "vn", severity_level="high")
    at = due(log, "sg").at
    for number in range(9):
        log.say(
            "vn", Kind.PAGE, later=number and 1, party_ref=identity("sg"),
            clock="acknowledge", channel="coordinator",
        )  # fmt: skip
    assert step(log, "sg", at) == Step(Kind.REMINDER, "")


def test_steps_of_an_earlier_clock_are_not_counted_to_the_next() -> None:
    log = Log.opened("th", "sg", severity_level="high")
    at = due(log, "sg").at
    take(log, "sg", at)
    log.say("sg", Kind.ACKNOWLEDGED, later=60)
    assert step(log, "sg", due(log, "sg").at) == Step(Kind.REMINDER, "")


def test_a_case_that_is_opened_again_begins_its_clocks_again() -> None:
    log = Log.opened("th", "sg", severity_level="high")
    log.say("sg", Kind.ACKNOWLEDGED)
    for stance in ("valid", "accepted", "closed"):
        log.say("sg", Kind.ASSESSMENT, stance=stance)
    log.say("th", Kind.CLOSED, later=1000 * HOUR)
    refused = log.say("sg", Kind.REOPENED, later=HOUR)
    assert log.case.flags(refused)
    log.say("th", Kind.REOPENED, later=HOUR)
    assert due(log, "sg") == Due(identity("sg"), "assess", log.at, log.at + HIGH.assess)


def test_asks_and_tasks_run_out_when_they_say_and_wake_nobody() -> None:
    log = Log.opened("th", "sg", "vn")
    at = START + 5 * HOUR * MICRO
    text = stix_text(at)
    both = [identity("sg"), identity("vn")]
    ask = log.say("th", Kind.ASKED, name="Take it down", party_refs=both, due=text)
    task = log.say(
        "th", Kind.TASK, name="Find the host", party_ref=identity("vn"), due=text
    )
    log.say("th", Kind.TASK, name="Whenever", party_ref=identity("vn"))
    log.say("sg", Kind.ACCEPTED, about_ref=ask)
    found = [each for each in clocks(log.case).due if each.at == at]
    assert [(each.clock, each.what) for each in found] == [
        (f"ask:{ask}", "Take it down"),
        (f"task:{task}", "Find the host"),
    ]
    assert {each.party for each in found} == {identity("vn")}
    assert steps_of(found[0].clock) == (Step(Kind.REMINDER, ""),)
    log.say("vn", Kind.TASK, about_ref=task, state="done")
    assert len([each for each in clocks(log.case).due if each.at == at]) == 1


def test_a_duty_to_report_counts_from_knowing_and_may_be_unlisted() -> None:
    def row(number: int, within: str) -> ReportingClock:
        return ReportingClock(
            member="my", step=number, title="Notify", within=within,
            caution="check the law", source="x", last_verified="not listed",
            confidence="stated",
        )  # fmt: skip

    since = instant("2026-11-01T02:30:00Z")
    listed = [row(1, "immediately"), row(2, "6 h"), row(3, "not listed")]
    found = duties(listed, since)
    assert [each.at for each in found] == [since, since + 6 * HOUR * MICRO, None]
    assert {each.row.caution for each in found} == {"check the law"}


@pytest.mark.parametrize("severity", ["", "medium"])
def test_what_nobody_judged_runs_as_a_medium_case_does(severity: str) -> None:
    said: dict[str, Any] = {"severity_level": severity} if severity else {}
    log = Log.opened("th", "sg", **said)
    assert due(log, "sg").at == log.at + TERMS["medium"].acknowledge


def test_what_is_due_first_is_the_first_of_all_clocks() -> None:
    log = Log.opened("th", "sg", severity_level="high")
    log.say("th", Kind.TASK, name="x", party_ref=identity("th"), due=stix_text(START))
    assert first_due(log.case) == clocks(log.case).due[0]
    log.say("th", Kind.CLOSED)
    assert first_due(log.case) is None
    log.say("sg", Kind.REOPENED)  # it may not: nothing is open again
    assert first_due(log.case) is None
    log.say("th", Kind.REOPENED)
    assert first_due(log.case) == clocks(log.case).due[0]
    assert clocks(log.case).due[-1].since == log.at
