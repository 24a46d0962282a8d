"""When owners are told, what is quiet, and the lives of notices and deliveries."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from serantau.clock import instant, moment
from serantau.rules.notice import (
    COMPROMISED,
    DAY,
    DELIVERIES,
    LEFT_OUT,
    NOTICES,
    Mute,
    Sending,
    Setting,
    State,
    Terms,
    Told,
    around,
    finding,
    is_due,
    is_risky,
    read_mute,
    states_markdown,
    terms_of,
)
from serantau.rules.taxonomy import CLASS_OF

PAGE = Path(__file__).parents[2] / "docs" / "notices.md"


def reached(table: object, start: object) -> set[object]:
    """Give every state that can come after one."""
    found: set[object] = set()
    left = [start]
    while left:
        for after in table[left.pop()].values():  # type: ignore[index]
            if after not in found:
                found.add(after)
                left.append(after)
    return found


def test_every_state_of_a_notice_is_reached_and_stands_in_its_table() -> None:
    assert set(NOTICES) == set(State)
    assert reached(NOTICES, State.WAITING) == set(State)


def test_every_state_of_a_delivery_is_reached_and_stands_in_its_table() -> None:
    assert set(DELIVERIES) == set(Sending)
    assert reached(DELIVERIES, Sending.READY) == set(Sending)


def test_nothing_brings_back_a_dropped_notice() -> None:
    assert NOTICES[State.DROPPED] == {}


def test_what_was_sent_or_may_have_been_is_never_sent_again_by_itself() -> None:
    assert set(DELIVERIES[Sending.SENT]) == {"bounce"}
    # Only a person says "again".
    by_itself = set(DELIVERIES[Sending.UNSURE]) - {"again"}
    assert Sending.READY not in {DELIVERIES[Sending.UNSURE][e] for e in by_itself}
    assert DELIVERIES[Sending.HANDING]["expire"] is Sending.UNSURE
    assert DELIVERIES[Sending.TAKEN]["expire"] is Sending.READY


def test_the_documentation_shows_both_lives_and_every_reason_as_the_code_has_them() -> (
    None
):
    page = PAGE.read_text(encoding="utf-8")
    assert states_markdown().strip() in page
    for reason, meaning in LEFT_OUT.items():
        assert f"| `{reason}` | {meaning} |" in page


def test_a_finding_has_the_same_number_everywhere() -> None:
    about = ("infected-system", "", "qakbot")
    # Fixed for ever: what was told is kept under it.
    assert finding(about, "203.0.113.7", "", "") == 7954842425358633801
    others = {
        finding(("infected-system", "qakbot", ""), "203.0.113.7", "", ""),
        finding(about, "203.0.113.8", "", ""),
        finding(about, "203.0.113.7", "http://x/", ""),
        finding(about, "203.0.113.7", "", "80"),
        finding(about, "\udcff", "", ""),
    }
    assert len(others) == 5
    assert finding(about, "203.0.113.7", "", "") not in others


@pytest.mark.parametrize(
    ("told", "severity", "kind", "days", "due"),
    [
        (None, -1, "spam", 0, True),
        (Told(0, 2), 2, "spam", 6, False),
        (Told(0, 2), 2, "spam", 7, True),
        (Told(0, 2), 3, "spam", 0, True),
        (Told(0, -1), 0, "spam", 0, True),
        (Told(0, 2), -1, "outage", 29, False),
        (Told(0, 2), 1, "outage", 30, True),
    ],
)
def test_a_finding_is_due_when_new_worse_or_quiet_long_enough(
    told: Told | None, severity: int, kind: str, days: int, due: bool
) -> None:
    assert is_due(told, severity, kind, days * DAY, Terms()) is due


def test_compromised_types_are_types() -> None:
    assert set(CLASS_OF) >= COMPROMISED
    assert not any(CLASS_OF[kind] == "vulnerable" for kind in COMPROMISED)


def test_the_narrowest_setting_wins_value_by_value() -> None:
    settings = [
        Setting("", "", automatic=True, least_rows=9),
        Setting("", "fraud", least_rows=8, compromised_days=1),
        Setting("bank", "", least_rows=7, other_days=2),
        Setting("bank", "fraud", least_severity=3),
    ]
    default = Terms(compromised_days=50, other_days=60)
    assert terms_of("bank", "fraud", settings, default) == Terms(True, 3, 7, 1, 2)
    assert terms_of("shop", "other", settings, default) == Terms(True, 0, 9, 50, 60)
    off = [*settings, Setting("bank", "test", automatic=False)]
    assert terms_of("bank", "test", off, default).automatic is False


@pytest.mark.parametrize(
    "more",
    [
        {"least_severity": 5},
        {"least_severity": -1},
        {"least_rows": 0},
        {"compromised_days": -1},
        {"other_days": -1},
    ],
)
def test_terms_that_make_no_sense_are_refused(more: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"severity is one of|rows are 1"):
        Terms(**more)  # type: ignore[arg-type]


def test_a_mute_names_something_and_holds_until_its_end() -> None:
    read = read_mute(Mute("bank", " 203.0.113.0/24 ", "fraud", until=5))
    assert read.network == "203.0.113.0/24"
    assert read.holds(4)
    assert not read.holds(5)
    assert read_mute(Mute("bank", feed="x")).holds(1 << 60)
    for wrong in (Mute("bank"), Mute("bank", "x"), Mute("bank", group="king")):
        with pytest.raises(ValueError, match=r"names|no prefix|no RSIT class"):
            read_mute(wrong)


@pytest.mark.parametrize(
    "cell", ["=1", "+1", "-1", "@x", "\t", "\r", "\n", "|x", "%x", " =1", "\uff1dx"]
)
def test_cells_that_run_are_risky(cell: str) -> None:
    assert is_risky(cell)


@pytest.mark.parametrize("cell", ["", " ", "a=1", "203.0.113.7", "'=1", "ก"])
def test_plain_cells_are_not_risky(cell: str) -> None:
    assert not is_risky(cell)


@pytest.mark.parametrize(
    ("now", "zone", "last", "coming"),
    [
        ("2026-03-06T00:59:59Z", "Asia/Bangkok", "05T09:30", "06T01:00"),
        ("2026-03-06T01:00:00Z", "Asia/Bangkok", "06T01:00", "06T09:30"),
        ("2026-03-06T23:00:00Z", "Asia/Bangkok", "06T09:30", "07T01:00"),
        # The clocks go forward at 02:00: the day has 23 hours.
        ("2026-03-29T06:00:00Z", "Europe/Berlin", "29T06:00", "29T14:30"),
        ("2026-03-29T05:59:00Z", "Europe/Berlin", "28T15:30", "29T06:00"),
    ],
)
def test_times_of_day_are_those_of_a_zone(
    now: str, zone: str, last: str, coming: str
) -> None:
    found = around(instant(now), ["16:30", "08:00"], ZoneInfo(zone))
    assert [f"{moment(one):%dT%H:%M}" for one in found] == [last, coming]
