"""The state tables of a case: parties, embargo, tasks, and asks for assistance.

A dict of state -> event -> state. What a table does not list is not a step: the entry
stays in the log, is flagged, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final


class PartyState(StrEnum):
    """How far a party is with a case. To have said nothing is a state of its own."""

    NO_ANSWER = "no-answer"
    RECEIVED = "received"
    INVALID = "invalid"
    VALID = "valid"
    ACCEPTED = "accepted"
    DEFERRED = "deferred"
    CLOSED = "closed"


class EmbargoState(StrEnum):
    """How it stands with not telling others yet."""

    NONE = "none"
    PROPOSED = "proposed"
    ACTIVE = "active"
    REVISE = "revise"
    EXITED = "exited"


_P: Final = PartyState
_E: Final = EmbargoState

PARTY: Final[Mapping[PartyState, Mapping[str, PartyState]]] = {
    _P.NO_ANSWER: {"acknowledge": _P.RECEIVED},
    _P.RECEIVED: {"invalid": _P.INVALID, "valid": _P.VALID},
    _P.INVALID: {"valid": _P.VALID, "closed": _P.CLOSED},
    _P.VALID: {"accepted": _P.ACCEPTED, "deferred": _P.DEFERRED},
    _P.ACCEPTED: {"deferred": _P.DEFERRED, "closed": _P.CLOSED},
    _P.DEFERRED: {"accepted": _P.ACCEPTED, "closed": _P.CLOSED},
    # A case that is opened again is judged again by whoever was done with it.
    _P.CLOSED: {"reopen": _P.RECEIVED},
}
"""Report management, for each party by itself (CERT/CC Vultron, with the silence)."""

EMBARGO: Final[Mapping[EmbargoState, Mapping[str, EmbargoState]]] = {
    _E.NONE: {"propose": _E.PROPOSED},
    _E.PROPOSED: {"accept": _E.ACTIVE, "reject": _E.NONE},
    _E.ACTIVE: {"revise": _E.REVISE, "exit": _E.EXITED},
    # A revision that is refused leaves the embargo as it was.
    _E.REVISE: {"accept": _E.ACTIVE, "reject": _E.ACTIVE, "exit": _E.EXITED},
    _E.EXITED: {},
}
"""The embargo of the case, one for all of its parties."""

TASK: Final[Mapping[str, Mapping[str, str]]] = {
    "open": {"doing": "doing", "done": "done", "dropped": "dropped"},
    "doing": {"open": "open", "done": "done", "dropped": "dropped"},
    "done": {"open": "open"},
    "dropped": {"open": "open"},
}
"""A task, by what an entry about it says that it is now."""

ASK: Final[Mapping[str, Mapping[str, str]]] = {
    "open": {"accepted": "accepted", "declined": "declined", "referred": "referred"},
    "accepted": {"declined": "declined", "referred": "referred"},
    "declined": {"accepted": "accepted"},
    "referred": {"accepted": "accepted"},
}
"""An ask for assistance, for each party asked. It is open until it is answered."""


def steps_to(state: PartyState, stance: str) -> tuple[str, ...]:
    """Give the shortest way of stances by which a party gets to one; empty: none.

    A person says "accepted" in one word; the log has each step of it.
    """
    wanted = PartyState(stance)
    ways: list[tuple[PartyState, tuple[str, ...]]] = [(state, ())]
    seen = {state}
    for here, events in ways:  # grows while it is walked: the shortest come first
        if here is wanted:
            return events
        for event, there in PARTY[here].items():
            if event != "reopen" and there not in seen:
                seen.add(there)
                ways.append((there, (*events, event)))
    return ()


def table_markdown() -> str:
    """Write the tables for docs/cases.md."""
    lines = ["| Of | State | Then |", "|---|---|---|"]
    tables: tuple[tuple[str, Mapping[Any, Mapping[str, str]]], ...] = (
        *(("party", PARTY), ("embargo", EMBARGO)),
        *(("task", TASK), ("ask", ASK)),
    )
    for of, table in tables:
        for state, events in table.items():
            then = ", ".join(f"{event}: {after}" for event, after in events.items())
            lines.append(f"| {of} | {state} | {then or 'nothing'} |")
    return "\n".join(lines) + "\n"
