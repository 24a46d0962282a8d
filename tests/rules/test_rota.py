"""Who is on call, wherever clocks change and however odd the zone."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serantau.clock import instant
from serantau.rules.rota import (
    DAYS,
    HOLIDAY,
    Override,
    Rota,
    Shift,
    Zone,
    on_call,
    read_time,
    time_text,
    until,
)

HOUR = 3_600_000_000
EVERY = frozenset(DAYS)
# 2026: New York's clocks go forward on 8 March at 07:00Z, back on 1 November at 06:00Z.
NEW_YORK = Zone(
    "America/New_York",
    -5 * 3600,
    (
        (instant("2026-03-08T07:00:00Z"), -4 * 3600),
        (instant("2026-11-01T06:00:00Z"), -5 * 3600),
    ),
)
YANGON = Zone("Asia/Yangon", 23_400)
ZONES = (NEW_YORK, YANGON)
DAY = Rota((Shift("day", EVERY, 8 * 60, 20 * 60), Shift("night", EVERY, 1200, 480)))
moments = st.integers(
    instant("2026-01-02T00:00:00Z") // 60_000_000,
    instant("2026-12-20T00:00:00Z") // 60_000_000,
).map(lambda minute: minute * 60_000_000)


def at(text: str) -> int:
    return instant(f"2026-{text}:00Z")


@given(moments, st.sampled_from(ZONES))
def test_a_zone_shows_what_iana_says_its_clocks_show(when: int, zone: Zone) -> None:
    there = datetime.fromtimestamp(when / 1e6, UTC).astimezone(ZoneInfo(zone.name))
    assert zone.local(when) == (there.date(), there.hour * 60 + there.minute)
    assert when in zone.instants(*zone.local(when))


def test_an_hour_that_clocks_skip_is_no_instant_and_one_that_comes_twice_is_two() -> (
    None
):
    assert NEW_YORK.instants(date(2026, 3, 8), 2 * 60 + 30) == []
    assert len(NEW_YORK.instants(date(2026, 11, 1), 90)) == 2


@given(moments, st.sampled_from(ZONES))
def test_two_shifts_around_the_clock_leave_nobody_alone_over_changes_of_clocks(
    when: int, zone: Zone
) -> None:
    assert len(on_call(DAY, zone, when)) == 1


@given(
    moments,
    st.sampled_from(ZONES),
    st.lists(
        st.builds(
            Shift,
            st.sampled_from(["a", "b", "c"]),
            st.frozensets(st.sampled_from([*DAYS, HOLIDAY]), min_size=1),
            st.integers(0, 1439),
            st.integers(0, 1439),
        ),
        max_size=4,
    ),
    st.lists(st.tuples(st.integers(-99, 99), st.integers(1, 50)), max_size=2),
    st.floats(0, 1, exclude_max=True),
)
def test_nobody_changes_before_the_instant_that_is_told(
    when: int,
    zone: Zone,
    shifts: list[Shift],
    overrides: list[tuple[int, int]],
    part: float,
) -> None:
    rota = Rota(
        tuple(shifts),
        tuple(
            Override("x", when + begin * HOUR, when + (begin + length) * HOUR)
            for begin, length in overrides
        ),
        {zone.local(when)[0] + timedelta(days=1): "holiday"},
    )
    now, end = on_call(rota, zone, when), until(rota, zone, when)
    between = when + int(((end or when + 14 * 24 * HOUR) - when) * part)
    assert on_call(rota, zone, between) == now
    if end is not None:
        assert end > when
        assert on_call(rota, zone, end) != now


def test_half_an_hour_of_a_zone_is_not_lost() -> None:
    # 08:00 in Yangon is 01:30 UTC.
    assert on_call(DAY, YANGON, at("06-01T01:29")) == ("night",)
    assert on_call(DAY, YANGON, at("06-01T01:30")) == ("day",)
    assert until(DAY, YANGON, at("06-01T01:30")) == at("06-01T13:30")


def test_a_night_in_which_clocks_change_is_an_hour_shorter_or_longer() -> None:
    for evening, morning in (
        ("03-08T01:00", "03-08T12:00"),
        ("11-01T00:00", "11-01T13:00"),
    ):
        assert on_call(DAY, NEW_YORK, at(evening)) == ("night",)
        assert until(DAY, NEW_YORK, at(evening)) == at(morning)


def test_a_shift_past_midnight_is_that_of_the_day_on_which_it_began() -> None:
    rota = Rota((Shift("fri", frozenset({"fri"}), 1200, 480),))
    zone = Zone("Asia/Bangkok", 7 * 3600)
    # Saturday 02:00 there; then Sunday 02:00.
    assert on_call(rota, zone, at("06-05T19:00")) == ("fri",)
    assert on_call(rota, zone, at("06-06T19:00")) == ()
    assert until(rota, zone, at("06-08T00:00")) == at("06-12T13:00")


def test_on_a_holiday_those_who_named_it_are_on_call_and_else_the_usual() -> None:
    usual = Shift("usual", EVERY, 0, 0)
    songkran = {date(2026, 4, 13): "สงกรานต์"}
    zone = Zone("Asia/Bangkok", 7 * 3600)
    noon = at("04-13T05:00")
    assert on_call(Rota((usual,), holidays=songkran), zone, noon) == ("usual",)
    both = Rota((usual, Shift("rest", frozenset({HOLIDAY}), 0, 0)), holidays=songkran)
    assert on_call(both, zone, noon) == ("rest",)
    assert on_call(both, zone, noon + 24 * HOUR) == ("usual",)


def test_of_several_overrides_the_last_holds_and_who_overlaps_comes_after() -> None:
    several = Rota(
        (Shift("one", EVERY), Shift("two", EVERY, 60, 120), Shift("one", EVERY)),
        (Override("x", 0, 5 * HOUR), Override("y", 0, 2 * HOUR)),
    )
    assert on_call(several, Zone("UTC"), HOUR) == ("y",)
    assert on_call(several, Zone("UTC"), 3 * HOUR) == ("x",)
    assert on_call(several, Zone("UTC"), 25 * HOUR) == ("one", "two")
    assert several.people == ["one", "two", "x", "y"]


def test_nobody_who_never_changes_is_told_to() -> None:
    assert until(Rota(), Zone("UTC"), 0) is None


@pytest.mark.parametrize("text", ["24:00", "8:00", "08:60", "noon", ""])
def test_what_no_clock_shows_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no time of day"):
        read_time(text)


@given(st.integers(0, 1439))
def test_times_of_day_are_read_as_they_are_written(minute: int) -> None:
    assert read_time(time_text(minute)) == minute
