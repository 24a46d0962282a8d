"""The picture of a case: what each party said when, and what runs out, a line each.

It is numbers for an SVG; the template draws it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from serantau.clock import instant, moment
from serantau.rules.case import Line
from serantau.rules.case_clock import Clocks
from serantau.rules.case_steps import TOLD

WIDE: Final = 960
LEFT: Final = 150
RIGHT: Final = 24
HIGH: Final = 34
TOP: Final = 30
_MOST_LETTERS: Final = 20
_MOST_LANES: Final = 40
_BUCKETS: Final = 120
_MARKS: Final = 5
_HOUR: Final = 3_600_000_000


@dataclass(frozen=True, slots=True)
class Dot:
    """Entries of one party at about one time. shape: dot, told (a reminder or page)."""

    x: float
    shape: str
    size: float
    title: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A clock: from when it began until it is due. late: it has run out."""

    x: float
    wide: float
    late: bool
    title: str


@dataclass(slots=True)
class Lane:
    """The line of one party. y: of its middle."""

    name: str
    full: str
    y: int
    dots: list[Dot] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Picture:
    """What is drawn. marks: (x, text) of the scale. now: where the present is."""

    lanes: list[Lane]
    marks: list[tuple[float, str]]
    now: float
    high: int
    more: int


def picture(
    lines: Sequence[Line],
    clocks: Clocks,
    parties: Sequence[str],
    name: Callable[[str], str],
    kind: Callable[[str], str],
    clock: Callable[[str], str],
    now: int,
) -> Picture:
    """Make the picture of a case.

    Args:
        lines: its log.
        clocks: what is due.
        parties: identities, in the order of the lines.
        name: gives what a party is called.
        kind: gives what a kind of entry is called.
        clock: gives what a clock asks for.
        now: the present.
    """
    times = [instant(line.entry.created) for line in lines]
    ends = [each.at for each in clocks.due]
    begins = min(times, default=now)
    last = max([*times, now, *ends])
    # What is due in a year must not press the rest together.
    last = min(last, max([*times, now]) + max(now - begins, 12 * _HOUR))
    span = max(last - begins, _HOUR)

    def place(at: int) -> float:
        share = (min(max(at, begins), begins + span) - begins) / span
        return round(LEFT + share * (WIDE - LEFT - RIGHT), 1)

    shown = parties[:_MOST_LANES]
    lanes = {
        party: Lane(_cut(name(party)), name(party), TOP + HIGH * number + HIGH // 2)
        for number, party in enumerate(shown)
    }
    for each in clocks.due:
        if each.party in lanes:
            x, end = (
                place(each.since),
                place(max(each.at, now) if each.at < now else each.at),
            )
            title = f"{clock(each.clock.partition(':')[0])}: {_time(each.at)}"
            lanes[each.party].bars.append(Bar(x, max(end - x, 3), each.at < now, title))
    for (party, x, shape), several in _gathered(lines, times, lanes, place).items():
        titles = [f"{_time(at)} {kind(line.entry.kind)}" for line, at in several]
        more = [f"+ {len(titles) - 3}"] if len(titles) > 3 else []
        lanes[party].dots.append(
            Dot(x, shape, min(4 + len(several) ** 0.5, 9), "\n".join(titles[:3] + more))
        )
    marks = [
        (place(at), _time(at))
        for at in (begins + span * number // (_MARKS - 1) for number in range(_MARKS))
    ]
    high = TOP + HIGH * len(lanes) + 8
    return Picture(
        list(lanes.values()), marks, place(now), high, len(parties) - len(shown)
    )


def _gathered(
    lines: Sequence[Line],
    times: Sequence[int],
    lanes: Mapping[str, Lane],
    place: Callable[[int], float],
) -> dict[tuple[str, float, str], list[tuple[Line, int]]]:
    """Put what would stand over each other into one dot."""
    step = (WIDE - LEFT - RIGHT) / _BUCKETS
    found: dict[tuple[str, float, str], list[tuple[Line, int]]] = {}
    for line, at in zip(lines, times, strict=True):
        told = line.entry.kind in TOLD
        party = line.entry.party_ref if told else line.entry.voice
        if party in lanes:
            x = round(LEFT + round((place(at) - LEFT) / step) * step, 1)
            key = (party, x, "told" if told else "dot")
            found.setdefault(key, []).append((line, at))
    return found


def _time(at: int) -> str:
    return f"{moment(at):%m-%d %H:%M}"


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_LETTERS else f"{text[: _MOST_LETTERS - 1]}…"
