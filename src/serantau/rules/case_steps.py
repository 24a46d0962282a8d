"""What the entries of a case come to, and what each kind of entry does to that.

Each step is a function of the state and one entry. It changes the state, or gives the
flag of an entry that does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from serantau.rules.case_entry import Entry, Kind
from serantau.rules.case_states import (
    ASK,
    EMBARGO,
    PARTY,
    TASK,
    EmbargoState,
    PartyState,
)

MOST: Final = 5000
"""So many entries of one party have an effect; the others are flagged as a flood."""


class Flag(StrEnum):
    """What is wrong with an entry. All but the first two leave it without effect."""

    FORK = "fork"
    BACKDATED = "backdated"
    NOT_OWN_CHAIN = "not-own-chain"
    NOT_IN_CASE = "not-in-case"
    FLOOD = "flood"
    FOR_ANOTHER = "answers-for-another"
    NOT_OWNER = "not-owner"
    NOT_OFFERED = "not-offered"
    NOT_A_STEP = "not-a-step"
    NOT_ITS_OWN = "not-its-own"
    NOTHING_THERE = "nothing-there"
    UNKNOWN_KIND = "unknown-kind"


FLAGS: Final[Mapping[Flag, str]] = {
    Flag.FORK: "Its author wrote another entry in the same place of its own chain.",
    Flag.BACKDATED: "Its time is more than five minutes before what it follows.",
    Flag.NOT_OWN_CHAIN: "It goes on from another party's entry as if from its own.",
    Flag.NOT_IN_CASE: "Its author, or whom it names, was not invited before.",
    Flag.FLOOD: f"Its author has written {MOST:,} entries before it.",
    Flag.FOR_ANOTHER: "It speaks for a party that its author may not speak for.",
    Flag.NOT_OWNER: "Only the owner of the case may say that.",
    Flag.NOT_OFFERED: "The case was not handed over to its author.",
    Flag.NOT_A_STEP: "The state that it is about has no such step.",
    Flag.NOT_ITS_OWN: "It is about something that is not its author's.",
    Flag.NOTHING_THERE: "What it is about is no task, ask or entry of that kind.",
    Flag.UNKNOWN_KIND: "This program does not know its kind: a newer one may.",
}


@dataclass(slots=True)
class Part:
    """A party in the case.

    state: how far it is. invited, by: when and by whom it came in. mail: it takes part
    by mail, and `by` speaks for it. answered: when it first said something, empty
    until then. last: when it last did. signature: how it stood with its last mail's.
    severity: how grave it finds the case.
    """

    state: PartyState
    invited: str
    by: str
    mail: bool = False
    answered: str = ""
    last: str = ""
    signature: str = ""
    severity: str = ""


@dataclass(slots=True)
class Task:
    """Something to be done. party: by whom; empty: nobody yet."""

    name: str
    by: str
    party: str
    due: str
    state: str = "open"


@dataclass(slots=True)
class Ask:
    """An ask for assistance. to: how each party that was asked answered."""

    name: str
    by: str
    due: str
    to: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Embargo:
    """What holds, and what is proposed instead. said: what each party said of that."""

    state: EmbargoState = EmbargoState.NONE
    until: str = ""
    proposed: str = ""
    by: str = ""
    said: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class State:
    """What the entries of a case come to.

    term: the entry by which the owner became that. terms: all such entries, with their
    owners. offered: to whom the owner has handed the case over, until that one takes
    it. evidence: object id -> entry that brought it. corrections: entry -> what is to
    be read instead. last: the time of the last entry that had an effect.
    """

    name: str = ""
    opener: str = ""
    opened: str = ""
    owner: str = ""
    term: str = ""
    terms: dict[str, str] = field(default_factory=dict)
    offered: str = ""
    closed: str = ""
    severity: str = ""
    incident_class: str = ""
    national_class: str = ""
    description: str = ""
    last: str = ""
    parts: dict[str, Part] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    asks: dict[str, Ask] = field(default_factory=dict)
    embargo: Embargo = field(default_factory=Embargo)
    evidence: dict[str, str] = field(default_factory=dict)
    corrections: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def silent(self) -> list[str]:
        """Give the parties that have said nothing yet."""
        quiet = PartyState.NO_ANSWER
        return [one for one, part in self.parts.items() if part.state is quiet]


Entries = Mapping[str, Entry]


def open_case(state: State, one: Entry) -> None:
    """Begin the state with the entry that opens the case."""
    state.name, state.description = one.name, one.description
    state.opener = state.owner = one.created_by_ref
    state.opened = state.last = one.created
    state.term, state.terms[one.id] = one.id, one.created_by_ref
    state.severity = one.severity_level
    state.incident_class = one.incident_class
    state.national_class = one.national_class
    # Whoever opens a case has judged it.
    state.parts[one.created_by_ref] = Part(
        PartyState.ACCEPTED,
        one.created,
        one.created_by_ref,
        answered=one.created,
        last=one.created,
        severity=one.severity_level,
    )


def _invited(state: State, one: Entry, held: Entries) -> Flag | None:
    if one.voice not in {state.owner, state.opener}:
        return Flag.NOT_OWNER
    part = state.parts.get(one.party_ref)
    if part is None:
        state.parts[one.party_ref] = Part(
            PartyState.NO_ANSWER, one.created, one.created_by_ref, mail=one.by_mail
        )
    elif part.mail:
        # It has a node now, and speaks for itself; or another one writes its mails.
        part.mail, part.by = one.by_mail, one.created_by_ref
    return None


def _acknowledged(state: State, one: Entry, held: Entries) -> Flag | None:
    part = state.parts[one.voice]
    part.state = PARTY[part.state].get("acknowledge", part.state)
    return None


def _owner(state: State, one: Entry, held: Entries) -> Flag | None:
    if one.voice != state.offered:
        return Flag.NOT_OFFERED
    state.owner, state.term, state.offered = one.voice, one.id, ""
    state.terms[one.id] = one.voice
    return None


def _handed_over(state: State, one: Entry, held: Entries) -> Flag | None:
    if one.voice != state.owner:
        return Flag.NOT_OWNER
    if one.party_ref not in state.parts:
        return Flag.NOT_IN_CASE
    # To itself: the offer is taken back.
    state.offered = "" if one.party_ref == state.owner else one.party_ref
    return None


def _task(state: State, one: Entry, held: Entries) -> Flag | None:
    if not one.about_ref:
        state.tasks[one.id] = Task(one.name, one.voice, one.party_ref, one.due)
        return None
    task = state.tasks.get(one.about_ref)
    if task is None:
        return Flag.NOTHING_THERE
    if one.voice not in {task.party, task.by, state.owner}:
        return Flag.NOT_ITS_OWN
    after = TASK[task.state].get(one.state)
    if after is None:
        return Flag.NOT_A_STEP
    task.state = after
    task.party = one.party_ref or task.party
    task.due = one.due or task.due
    return None


def _assessment(state: State, one: Entry, held: Entries) -> Flag | None:
    who = one.for_ref or one.created_by_ref
    part = state.parts[who]
    if one.stance:
        after = PARTY[part.state].get(one.stance)
        if after is None:
            return Flag.NOT_A_STEP
        part.state = after
    part.severity = one.severity_level or part.severity
    if who == state.owner:
        state.severity = one.severity_level or state.severity
        state.incident_class = one.incident_class or state.incident_class
        state.national_class = one.national_class or state.national_class
    return None


def _evidence(state: State, one: Entry, held: Entries) -> Flag | None:
    for ref in one.object_refs:
        state.evidence.setdefault(ref, one.id)
    return None


def _embargo(state: State, one: Entry, held: Entries) -> Flag | None:
    embargo, who = state.embargo, one.voice
    answer = one.step in {"accept", "reject"}
    after = EMBARGO[embargo.state].get(one.step)
    if after is None:
        return Flag.NOT_A_STEP
    if answer:
        embargo.said[who] = one.step
        if not _decides(state, one):
            return None
    embargo.state = after
    if one.step in {"propose", "revise"}:
        embargo.by, embargo.proposed, embargo.said = who, one.until, {who: "accept"}
    elif answer:
        embargo.until = embargo.proposed if one.step == "accept" else embargo.until
        embargo.proposed = ""
    return None


def _decides(state: State, one: Entry) -> bool:
    """Say whether an answer decides: two agree, one of them the owner of the case.

    The owner refuses alone, and whoever proposed takes it back.
    """
    by, who = state.embargo.by, one.voice
    if one.step == "reject":
        return who in {by, state.owner}
    return who != by and state.owner in {by, who}


def _asked(state: State, one: Entry, held: Entries) -> Flag | None:
    state.asks[one.id] = Ask(
        one.name, one.voice, one.due, dict.fromkeys(one.party_refs, "open")
    )
    return None


def _answered(state: State, one: Entry, held: Entries) -> Flag | None:
    ask = state.asks.get(one.about_ref)
    if ask is None:
        return Flag.NOTHING_THERE
    if one.voice not in ask.to:
        return Flag.NOT_ITS_OWN
    after = ASK[ask.to[one.voice]].get(one.kind.rpartition("-")[2])
    if after is None:
        return Flag.NOT_A_STEP
    ask.to[one.voice] = after
    if one.kind == Kind.REFERRED:
        ask.to.setdefault(one.party_ref, "open")
    return None


def _closed(state: State, one: Entry, held: Entries) -> Flag | None:
    if one.voice != state.owner:
        return Flag.NOT_OWNER
    if state.closed:
        return Flag.NOT_A_STEP
    state.closed = one.created
    return None


def _reopened(state: State, one: Entry, held: Entries) -> Flag | None:
    if one.voice not in {state.owner, state.opener}:
        return Flag.NOT_OWNER
    if not state.closed:
        return Flag.NOT_A_STEP
    state.closed = ""
    for part in state.parts.values():
        part.state = PARTY[part.state].get("reopen", part.state)
    return None


def _correction(state: State, one: Entry, held: Entries) -> Flag | None:
    about = held.get(one.about_ref)
    if about is None:
        return Flag.NOTHING_THERE
    if about.voice != one.voice or about.created_by_ref != one.created_by_ref:
        return Flag.NOT_ITS_OWN
    said = {"name": one.name, "description": one.description, "by": one.id}
    read = state.corrections.setdefault(about.id, {})
    read |= {name: text for name, text in said.items() if text}
    if not about.case_ref:
        state.name = one.name or state.name
        state.description = one.description or state.description
    elif about.id in state.tasks:
        state.tasks[about.id].name = one.name or state.tasks[about.id].name
    elif about.id in state.asks:
        state.asks[about.id].name = one.name or state.asks[about.id].name
    return None


def _told(state: State, one: Entry, held: Entries) -> Flag | None:
    return None if one.party_ref in state.parts else Flag.NOT_IN_CASE


TOLD: Final = frozenset({Kind.REMINDER.value, Kind.PAGE.value})
"""Kinds that tell what the clocks did, and are no word of a party's."""
DO: Final[Mapping[str, Callable[[State, Entry, Entries], Flag | None]]] = {
    Kind.INVITED: _invited,
    Kind.ACKNOWLEDGED: _acknowledged,
    Kind.OWNER: _owner,
    Kind.HANDED_OVER: _handed_over,
    Kind.TASK: _task,
    Kind.ASSESSMENT: _assessment,
    Kind.EVIDENCE: _evidence,
    Kind.EMBARGO: _embargo,
    Kind.ASKED: _asked,
    Kind.ACCEPTED: _answered,
    Kind.DECLINED: _answered,
    Kind.REFERRED: _answered,
    Kind.CLOSED: _closed,
    Kind.REOPENED: _reopened,
    Kind.CORRECTION: _correction,
    Kind.REMINDER: _told,
    Kind.PAGE: _told,
}
