"""The clocks of a case: what is due of whom, and what follows when it is not done.

A clock is worked out from the entries and never stored, so that every node that holds
the same entries sees the same clocks, and a restart forgets none. One node drives them:
that of the case's owner. Each step that it takes is an entry, and the next step is
counted from that; so a node that was away for a day takes one step when it is back, not
all that it missed at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from serantau.clock import instant
from serantau.rules.case import Case
from serantau.rules.case_entry import Entry, Kind
from serantau.rules.case_states import PartyState
from serantau.rules.case_steps import TOLD, Flag, Part, State
from serantau.rules.profile import ReportingClock

_SECOND: Final = 1_000_000
_MINUTE: Final = 60 * _SECOND
_HOUR: Final = 60 * _MINUTE

ACKNOWLEDGE: Final = "acknowledge"
ASSESS: Final = "assess"
UPDATE: Final = "update"
ASK: Final = "ask"
TASK: Final = "task"
LAW: Final = "law"
UNJUDGED: Final = "medium"
"""The severity by which the clocks of a case run that nobody has judged yet."""
# Entries with these have no effect.
_VOID: Final = frozenset(Flag) - {Flag.FORK, Flag.BACKDATED}
_JUDGING: Final = frozenset(
    {PartyState.NO_ANSWER, PartyState.RECEIVED, PartyState.VALID}
)


class Terms(NamedTuple):
    """How long a party has, in microseconds.

    acknowledge: from the invitation to its first word. assess: from that to its
    judgement. update: between two words of a party that works on the case. gap: between
    two steps of reminding and paging.
    """

    acknowledge: int
    assess: int
    update: int
    gap: int


TERMS: Final[Mapping[str, Terms]] = {
    "emergency": Terms(15 * _MINUTE, _HOUR, 2 * _HOUR, 10 * _MINUTE),
    "severe": Terms(30 * _MINUTE, 2 * _HOUR, 4 * _HOUR, 15 * _MINUTE),
    "high": Terms(_HOUR, 4 * _HOUR, 8 * _HOUR, 20 * _MINUTE),
    "medium": Terms(4 * _HOUR, 24 * _HOUR, 48 * _HOUR, _HOUR),
    "low": Terms(24 * _HOUR, 72 * _HOUR, 168 * _HOUR, 4 * _HOUR),
    "baseline": Terms(72 * _HOUR, 168 * _HOUR, 336 * _HOUR, 24 * _HOUR),
}
"""The usual terms, by severity."""


def paced(pace: float) -> Mapping[str, Terms]:
    """Give the terms for clocks that run so many times as fast, in an exercise."""
    return {
        severity: Terms(*(max(int(each / pace), 1) for each in terms))
        for severity, terms in TERMS.items()
    }


@dataclass(frozen=True, slots=True)
class Due:
    """Something that is due.

    party: of whom. clock: which one; an ask's or a task's has its entry behind a colon.
    since, at: when it began, and when it is due. what: of an ask or a task, its name.
    """

    party: str
    clock: str
    since: int
    at: int
    what: str = ""


class Step(NamedTuple):
    """What is done next of a clock that has run out.

    kind: of the entry that says it was done. channel: whom it reaches; empty for a
    reminder, which goes where everything goes.
    """

    kind: Kind
    channel: str


_REMINDED: Final[Sequence[Step]] = (Step(Kind.REMINDER, ""),)
_PAGED: Final[Sequence[Step]] = (
    *_REMINDED,
    Step(Kind.PAGE, "on-call"),
    Step(Kind.PAGE, "deputy"),
    Step(Kind.PAGE, "coordinator"),
)


def steps_of(clock: str) -> Sequence[Step]:
    """Give what follows when a clock has run out, a gap of the terms between each two.

    Silence at the beginning wakes people up; a late update does not.
    """
    return _PAGED if clock in {ACKNOWLEDGE, ASSESS} else _REMINDED


@dataclass(frozen=True, slots=True)
class Taken:
    """How far the steps of a clock are, and when the last one was taken.

    count: of those that are behind it: a step that could not be taken was passed over,
    and one that was taken twice is one.
    """

    count: int = 0
    last: int = 0


@dataclass(frozen=True, slots=True)
class Duty:
    """A step of a state's duty to report, in one case.

    row: of the profile. at: when it is due; None when the profile does not list that.
    """

    row: ReportingClock
    at: int | None


@dataclass(frozen=True, slots=True)
class Clocks:
    """The clocks of a case, and the steps that were taken of those that ran out.

    due: the earliest first. taken: by party and clock.
    """

    due: tuple[Due, ...] = ()
    taken: Mapping[tuple[str, str], Taken] = field(default_factory=dict)
    gap: int = 0

    def overdue(self, now: int) -> list[Due]:
        """Give what is overdue, the longest first."""
        return [each for each in self.due if each.at <= now]

    def next_step(self, each: Due, now: int) -> Step | None:
        """Give the step to take now of something that is due; None: there is none."""
        return next(iter(self.next_steps(each, now)), None)

    def next_steps(self, each: Due, now: int) -> Sequence[Step]:
        """Give the step to take now, and those it is passed on to if it cannot be."""
        at = self._next_at(each, now)
        if at is None or now < at:
            return ()
        return steps_of(each.clock)[self._taken_of(each).count :]

    def soonest(self, now: int) -> int | None:
        """Give the first instant at which a step is to be taken; None: never.

        What is due now is told as an instant that is over. It holds as long as no entry
        comes and the clock is not set back.
        """
        found = (self._next_at(each, now) for each in self.due)
        return min((at for at in found if at is not None), default=None)

    def _taken_of(self, each: Due) -> Taken:
        return self.taken.get((each.party, each.clock), Taken())

    def _next_at(self, each: Due, now: int) -> int | None:
        """Give from when on the next step may be taken.

        1. Nothing before it is due, and nothing more after the last step.
        2. A step is not taken before the gap is over that follows the step before.
        3. A step that says it was taken later than now was written by a clock that was
           wrong, or by a liar; nobody waits for that time.
        """
        taken = self._taken_of(each)
        if taken.count >= len(steps_of(each.clock)):  # 1
            return None
        if not taken.last or now < taken.last:  # 3
            return each.at
        return max(each.at, taken.last + self.gap)  # 2


def clocks(case: Case, terms: Mapping[str, Terms] = TERMS) -> Clocks:
    """Work out the clocks of a case; a closed one has none.

    Args:
        case: its entries.
        terms: by severity; `medium` is there.
    """
    state = case.state
    if not state.opened or state.closed:
        return Clocks()
    held = terms.get(state.severity, terms[UNJUDGED])
    due = sorted(_due(state, held, _reopened(case)), key=_by_time)
    return Clocks(tuple(due), _taken(_told(case), due), held.gap)


def first_due(case: Case, terms: Mapping[str, Terms] = TERMS) -> Due | None:
    """Give what is due first in a case, as `clocks` has it; None: nothing."""
    state = case.state
    if not state.opened or state.closed:
        return None
    held = terms.get(state.severity, terms[UNJUDGED])
    return min(_due(state, held, _reopened(case)), key=_by_time, default=None)


def _by_time(each: Due) -> tuple[int, str, str]:
    return each.at, each.party, each.clock


def _due(state: State, terms: Terms, reopened: int) -> Iterable[Due]:
    for party, part in state.parts.items():
        found = _of_party(part, terms)
        if found is not None:
            clock, text, term = found
            since = max(instant(text), reopened)
            yield Due(party, clock, since, since + term)
    for entry, ask in state.asks.items():
        for party, answer in ask.to.items():
            if answer == "open" and ask.due:
                at = instant(ask.due)
                yield Due(party, f"{ASK}:{entry}", at, at, ask.name)
    for entry, task in state.tasks.items():
        if task.state in {"open", "doing"} and task.due and task.party:
            at = instant(task.due)
            yield Due(task.party, f"{TASK}:{entry}", at, at, task.name)


def _of_party(part: Part, terms: Terms) -> tuple[str, str, int] | None:
    """Give the one clock that runs for a party: which, since when, and for how long."""
    if not part.answered:
        return ACKNOWLEDGE, part.invited, terms.acknowledge
    if part.state in _JUDGING:
        return ASSESS, part.answered, terms.assess
    if part.state is PartyState.ACCEPTED:
        return UPDATE, part.last, terms.update
    return None


def _reopened(case: Case) -> int:
    """Give when a case was opened again last, 0 for never."""
    entry = case.last(Kind.REOPENED)
    return instant(entry.created) if entry is not None else 0


def _told(case: Case) -> list[Entry]:
    """Give the steps that were taken.

    Only those of whoever owned the case are steps: by others' a party could end its own
    clocks.
    """
    owners = {*case.state.terms.values()}
    return [
        entry
        for entry, flags in case.lines()
        if entry.kind in TOLD
        and entry.created_by_ref in owners
        and not _VOID.intersection(flags)
    ]


def _taken(told: Iterable[Entry], due: Iterable[Due]) -> dict[tuple[str, str], Taken]:
    """Tell how far the steps of each clock are since it began."""
    began = {(each.party, each.clock): each.since for each in due}
    found: dict[tuple[str, str], Taken] = {}
    for entry in told:
        which, at = (entry.party_ref, entry.clock), instant(entry.created)
        if which in began and at >= began[which]:
            before = found.get(which, Taken()).count
            found[which] = Taken(max(before, _place(entry)), at)
    return found


def _place(entry: Entry) -> int:
    """Give how far a step is; of one that the clock has not, nothing."""
    steps = steps_of(entry.clock)
    step = Step(Kind(entry.kind), entry.channel)
    return steps.index(step) + 1 if step in steps else 0


def duties(rows: Iterable[ReportingClock], since: int) -> list[Duty]:
    """Give a state's duties to report, counted from when its team came to know.

    What the profile says of them is shown with them: check the law.
    """
    found = []
    for row in rows:
        seconds = row.seconds
        at = None if seconds is None else since + seconds * _SECOND
        found.append(Duty(row, at))
    return found
