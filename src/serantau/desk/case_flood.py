"""How much one party may bring into the cases here: what is over that waits.

It waits in quarantine, with the reason, and is tried again by `case_waiting` when there
is room. Each party has a room of its own, so a flood of one delays nobody else. What
came without proof of its author has another: nobody fills a party's room in its name.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import orjson

from serantau.config import LimitsSection
from serantau.desk.screening import PEER
from serantau.errors import PeerError
from serantau.records.case_floods import CaseFloods
from serantau.records.database import Tx
from serantau.records.quarantine import Fault
from serantau.rules.case_entry import TYPE, Entry, is_entry, read_entry
from serantau.rules.case_steps import MOST
from serantau.rules.signature import Standing
from serantau.rules.stix import ObjectVersion

CASES: Final = "too-many-cases"
ENTRIES: Final = "too-many-entries"
WITHIN: Final = "too-many-in-case"
RULES: Final = (CASES, ENTRIES, WITHIN)
_DAY: Final = 86_400_000_000
_TOLD: Final = re.compile(r"(identity--\S+)( unproven)? in (case-entry--\S+): ")


class Whose(NamedTuple):
    """Whose room something takes: of an identity, as proven or as claimed."""

    author: str
    proven: bool


def told_of(got: str) -> tuple[Whose, str]:
    """Read out of a finding whose entry it is about, and of which case."""
    match = _TOLD.match(got)
    if match is None:
        return Whose("", proven=True), ""
    return Whose(match[1], match[2] is None), match[3]


@dataclass(slots=True)
class Room:
    """How much is still let in, counted down as it comes."""

    tx: Tx
    limits: LimitsSection
    floods: CaseFloods = field(default_factory=CaseFloods)
    _cases: Counter[Whose] = field(default_factory=Counter)
    _entries: Counter[Whose] = field(default_factory=Counter)
    _within: Counter[tuple[Whose, str]] = field(default_factory=Counter)

    def cases(self, whose: Whose) -> int:
        """Give how many cases more of a party may come."""
        if whose not in self._cases:
            since = self.tx.clock.now() - _DAY
            held = self.floods.brought(self.tx, *whose, since)
            self._cases[whose] = self.limits.cases - held
        return self._cases[whose]

    def entries(self, whose: Whose) -> int:
        """Give how many entries more of a party may come."""
        if whose not in self._entries:
            since = self.tx.clock.now() - _DAY
            held = self.floods.came(self.tx, *whose, since)
            self._entries[whose] = self.limits.case_entries - held
        return self._entries[whose]

    def within(self, whose: Whose, case: str) -> int:
        """Give how many entries more of a party may come into one case."""
        if (whose, case) not in self._within:
            held = self.floods.within(self.tx, case, *whose, MOST)
            self._within[whose, case] = MOST - held
        return self._within[whose, case]

    def take(self, whose: Whose, case: str, *, new: bool) -> tuple[str, str, str]:
        """Let an entry in, or give the rule that it is over, what is, and the bound.

        new: no entry of its case is here.
        """
        if new and self.cases(whose) <= 0:
            most = f"{self.limits.cases:,} cases that are open or came within a day"
            return CASES, f"a case beside {most}", "no more (limits.cases)"
        if self.entries(whose) <= 0:
            most = f"{self.limits.case_entries:,} entries within a day"
            return ENTRIES, f"an entry beside {most}", "no more (limits.case_entries)"
        if self.within(whose, case) <= 0:
            return WITHIN, f"an entry beside {MOST:,} there", "no more in one case"
        if new:
            self._cases[whose] -= 1
        self._entries[whose] -= 1
        self._within[whose, case] -= 1
        return "", "", ""


def sift(
    tx: Tx,
    limits: LimitsSection,
    versions: list[ObjectVersion],
    *,
    own: str,
    origin: str,
) -> tuple[list[ObjectVersion], list[Fault]]:
    """Part off the entries that are more than their author may bring.

    Args:
        tx: the transaction that will admit the rest.
        limits: what one party may bring.
        versions: checked object versions, of which signatures are judged.
        own: this node's identity; what it wrote itself is always let in.
        origin: where they stood, for messages.

    Returns:
        What may be admitted, in order, and a finding for each that may not.
    """
    entries = [
        version
        for version in versions
        if version.type == TYPE
        and version.creator != own
        and is_entry(orjson.loads(version.body))
    ]
    if not entries:
        return versions, []
    rows = tx.rows(
        "SELECT key FROM object WHERE "  # noqa: S608 - our own names
        + tx.among("key", "keys"),
        keys=tx.array({version.key for version in entries}),
    )
    held = {row.key for row in rows}
    fresh = {each.key: each for each in entries if each.key not in held}
    faults = _over(
        tx, limits, [(each, read_entry(each.body)) for each in fresh.values()], origin
    )
    if not faults:
        return versions, []
    gone = {fault.id for fault in faults}
    return [version for version in versions if version.id not in gone], faults


def expect_room(tx: Tx, limits: LimitsSection, peer: str) -> None:
    """Take nothing more from a peer of which too much waits: it keeps the rest.

    Raises:
        PeerError: so much of it waits.
    """
    held = CaseFloods().waiting(tx, RULES, PEER + peer)
    if held > limits.case_entries:
        raise PeerError(
            f"{held:,} entries into cases wait here that came from {peer}, so nothing "
            "more is taken from it until they are fewer.",
            mend="`serantau quarantine list` shows them. Raise limits.cases or "
            f"limits.case_entries, or end it: `serantau party block {peer}`.",
        )


def _over(
    tx: Tx,
    limits: LimitsSection,
    fresh: list[tuple[ObjectVersion, Entry]],
    origin: str,
) -> list[Fault]:
    """Give a finding for each new entry that is over its author's room."""
    room = Room(tx, limits)
    known = room.floods.known(tx, {entry.case for _, entry in fresh})
    strange = {entry.case for _, entry in fresh} - known
    waiting = room.floods.held_back(tx, RULES, strange) if strange else set()
    faults = []
    for version, entry in fresh:
        case = entry.case
        whose = Whose(version.creator, version.examined[0] == Standing.VALID)
        if case in waiting and case not in known and entry.case_ref:
            rule, got, expected = CASES, "the case itself waits", "first that one"
        else:
            rule, got, expected = room.take(whose, case, new=case not in known)
        if not rule:
            known.add(case)
            continue
        if not entry.case_ref:
            waiting.add(case)
        unproven = "" if whose.proven else " unproven"
        faults.append(
            Fault(
                body=version.body,
                rule=rule,
                place="/case_ref" if entry.case_ref else "",
                got=f"{whose.author}{unproven} in {case}: {got}",
                expected=expected,
                origin=origin,
                id=version.id,
            )
        )
    return faults
