"""Roles: what each of a node's people may do, as one table.

A role is a set of powers. A page and a verb of the API name the one power that they
take, so what a person may do is read off this table and nowhere else. A person of
another party has, whatever the role says, only what the role leaves to outsiders.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Power(StrEnum):
    """What somebody may do; the text is what the table of the docs says."""

    OWN = "own"
    """See what this node gave one's own party."""
    CASE = "case"
    """Take part in the cases that one was let into."""
    CASES = "cases"
    """See cases and contacts."""
    SEE = "see"
    """See objects, events, peers, and what left."""
    WORK = "work"
    """Add and change objects, events, cases, notes and contacts."""
    SEND = "send"
    """Let something go: approve notices, publish, recall."""
    DECIDE = "decide"
    """Change who may have what: parties, circles, blocks, peers, collections."""
    AUDIT = "audit"
    """See who saw, released and decided what."""
    ADMIN = "admin"
    """Users, feeds, keys, retention, and the node itself."""


OUTSIDE: Final = frozenset({Power.OWN, Power.CASE})
"""What a person of another party may have at most."""


@dataclass(frozen=True, slots=True)
class Role:
    """A role.

    powers: what it gives. rank: what the API takes it for, "" for none. says: who it
    is for. ends: it is only given until a day. scoped: only for named cases.
    """

    name: str
    powers: frozenset[Power]
    rank: str
    says: str
    ends: bool = False
    scoped: bool = False


_BASE: Final = frozenset({Power.OWN, Power.CASES})
_READ: Final = _BASE | {Power.SEE}
_WRITE: Final = _READ | {Power.WORK}
_LEAD: Final = _WRITE | {Power.SEND}

ROLES: Final[Mapping[str, Role]] = MappingProxyType(
    {
        role.name: role
        for role in (
            Role("reader", _READ, "reader", "A program or person who only reads."),
            Role("writer", _WRITE, "writer", "A program that brings objects in."),
            Role("analyst", _WRITE, "writer", "Works on duty; lets nothing go alone."),
            Role("lead", _LEAD, "writer", "Leads a shift; approves what goes out."),
            Role(
                "coordinator",
                _LEAD | {Power.DECIDE},
                "writer",
                "Works with other parties, and decides who may have what.",
            ),
            Role("policy", _BASE, "", "Reads cases and contacts for a ministry."),
            Role("operator", frozenset({Power.OWN}), "", "Works at a CII operator."),
            Role(
                "guest",
                frozenset({Power.CASE}),
                "",
                "Is let into one case until a day.",
                ends=True,
                scoped=True,
            ),
            Role(
                "auditor",
                _BASE | {Power.AUDIT},
                "",
                "Checks who saw, released and decided what; changes nothing.",
            ),
            Role(
                "admin",
                frozenset(Power) - {Power.CASE},
                "admin",
                "Runs the node, and may do everything.",
            ),
        )
    }
)
RANKS: Final = ("reader", "writer", "admin")
"""What verbs of the API ask for; each has what those before it have."""


def powers_of(role: str, own: bool) -> frozenset[Power]:
    """Give the powers of a role for one of the node's own people, or of another party.

    A role that the table does not know has none.
    """
    found = ROLES.get(role)
    if found is None:
        return frozenset()
    return found.powers if own else found.powers & OUTSIDE


def reaches(role: str, rank: str) -> bool:
    """Say whether the API takes a role for at least this rank."""
    found = ROLES.get(role)
    if found is None or not found.rank:
        return False
    return RANKS.index(found.rank) >= RANKS.index(rank)


def markdown() -> str:
    """Write the table for the documentation."""
    powers = list(Power)
    lines = [
        "| Role | " + " | ".join(powers) + " | In the API | Who |",
        "|---" * (len(powers) + 3) + "|",
    ]
    for role in ROLES.values():
        marks = " | ".join("yes" if power in role.powers else "" for power in powers)
        lines.append(f"| {role.name} | {marks} | {role.rank or 'none'} | {role.says} |")
    return "\n".join(lines) + "\n"
