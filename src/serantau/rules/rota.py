"""Who is on call at an instant: shifts by the clock on the wall, overrides, holidays.

A shift says what people say: days of the week and times of day, in one IANA zone. An
instant has exactly one local time, so an hour that a change of clocks skips is nobody's
and one that comes twice is the same person's twice. What the zone's clock shows is
handed in as a table, since these rules read no files.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
HOLIDAY: Final = "holiday"
"""What a shift names as a day, when it is for holidays."""
MINUTES: Final = 24 * 60
_MICROS: Final = 1_000_000
_MINUTE: Final = 60 * _MICROS
_DAY: Final = MINUTES * _MINUTE
_EPOCH: Final = date(1970, 1, 1)
_AHEAD: Final = 16
_TIME: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")


@dataclass(frozen=True, slots=True)
class Zone:
    """What the clocks of a zone show.

    name: as IANA has it. first: seconds east of UTC before all changes. changes: at
    which instants that changes, and to what, the earliest first.
    """

    name: str
    first: int = 0
    changes: tuple[tuple[int, int], ...] = ()

    def offset(self, at: int) -> int:
        """Give the seconds east of UTC at an instant."""
        place = bisect_right(self.changes, at, key=lambda change: change[0])
        return self.changes[place - 1][1] if place else self.first

    def local(self, at: int) -> tuple[date, int]:
        """Give the day, and the minute in it, that a clock there shows."""
        days, rest = divmod(at + self.offset(at) * _MICROS, _DAY)
        return _EPOCH + timedelta(days=days), rest // _MINUTE

    def instants(self, day: date, minute: int) -> list[int]:
        """Give the instants at which it becomes this time there: none, one or two."""
        wall = (day - _EPOCH).days * _DAY + minute * _MINUTE
        offsets = {self.first, *(offset for _, offset in self.changes)}
        found = (wall - offset * _MICROS for offset in offsets)
        return sorted(at for at in found if self.local(at) == (day, minute))


@dataclass(frozen=True, slots=True)
class Shift:
    """One person's regular hours.

    person: the id of a card. days: of DAYS, on which it begins, and perhaps HOLIDAY.
    begin, end: minutes of the day; a shift that does not end after it began goes on
    into the next day, and may last a whole day.
    """

    person: str
    days: frozenset[str]
    begin: int = 0
    end: int = 0


@dataclass(frozen=True, slots=True)
class Override:
    """Who is on call from one instant to another, whatever the shifts say."""

    person: str
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Rota:
    """Who takes turns. holidays: names by day; of several overrides the last holds."""

    shifts: tuple[Shift, ...] = ()
    overrides: tuple[Override, ...] = ()
    holidays: Mapping[date, str] = field(default_factory=dict)

    @property
    def people(self) -> list[str]:
        """Give everyone it names, once."""
        several = [each.person for each in self.shifts]
        several += [each.person for each in self.overrides]
        return list(dict.fromkeys(several))


def read_time(text: str) -> int:
    """Read a time of day, such as 20:00, as its minute.

    Raises:
        ValueError: it is none.
    """
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no time of day such as 20:00")
    return int(found[1]) * 60 + int(found[2])


def time_text(minute: int) -> str:
    """Write a minute of the day as `read_time` reads it."""
    return f"{minute // 60:02}:{minute % 60:02}"


def on_call(rota: Rota, zone: Zone, at: int) -> tuple[str, ...]:
    """Give who is on call at an instant, the first to be called first.

    1. An override that covers the instant holds, of several the last.
    2. Else every shift that covers it, in the order of the rota.
    3. A shift that began on the day before is that day's, holiday or not.
    4. On a holiday only shifts that name holidays begin; if there are none in the whole
       rota, holidays are days as others.
    """
    for each in reversed(rota.overrides):  # 1
        if each.begin <= at < each.end:
            return (each.person,)
    day, minute = zone.local(at)
    today, before = _kind(rota, day), _kind(rota, day - timedelta(days=1))
    found = []
    for shift in rota.shifts:  # 2
        over = shift.end <= shift.begin
        here = shift.begin <= minute and (over or minute < shift.end)
        late = over and minute < shift.end
        if (here and today in shift.days) or (late and before in shift.days):  # 3
            found.append(shift.person)
    return tuple(dict.fromkeys(found))


def _kind(rota: Rota, day: date) -> str:
    if day in rota.holidays and any(HOLIDAY in one.days for one in rota.shifts):  # 4
        return HOLIDAY
    return DAYS[day.weekday()]


def until(rota: Rota, zone: Zone, at: int) -> int | None:
    """Give the next instant at which somebody else is on call; None: not in two weeks.

    The table of the zone has to reach that far.
    """
    now = on_call(rota, zone, at)
    turns = sorted({one for one in _turns(rota, zone, at) if one > at})
    return next((one for one in turns if on_call(rota, zone, one) != now), None)


def _turns(rota: Rota, zone: Zone, at: int) -> Iterator[int]:
    """Give all instants at which anything can change."""
    for each in rota.overrides:
        yield from (each.begin, each.end)
    yield from (change for change, _ in zone.changes)
    minutes = {0, *(m for one in rota.shifts for m in (one.begin, one.end))}
    today, _ = zone.local(at)
    for ahead in range(_AHEAD):
        for minute in minutes:
            yield from zone.instants(today + timedelta(days=ahead), minute)
