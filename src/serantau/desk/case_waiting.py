"""Lets in what waits for room in cases (see `case_flood`), as there is room again.

There is when cases of that party were closed, a day is over, or a limit was raised.
What entries of other parties build on is let in at once, or those would wait with it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

import structlog

from serantau.desk.case_flood import RULES, WITHIN, Room, Whose, told_of
from serantau.desk.intake import Intake
from serantau.errors import NotFound, SerantauError
from serantau.node import Node
from serantau.records.case_floods import CaseFloods
from serantau.records.cases import Cases
from serantau.records.database import Tx
from serantau.records.quarantine import Held
from serantau.rules.case import Case
from serantau.rules.case_entry import Entry, read_entry

_POLL_SECONDS: Final = 15.0
_MOST: Final = 100_000

_log = structlog.get_logger(__name__)


class _Waits(NamedTuple):
    """An entry that waits, whose it is, and of which case."""

    held: Held
    whose: Whose
    case: str

    @property
    def opens(self) -> bool:
        """Say whether it is the entry that opens its case."""
        return self.held.id == self.case


class CaseWaiting:
    """What waits at one node."""

    def __init__(self, node: Node) -> None:
        """Let it into `node`."""
        self._node = node
        self._intake = Intake(node)

    def run(self, stop: threading.Event) -> None:
        """Let in what there is room for, until `stop` is set."""
        while not stop.wait(_POLL_SECONDS):
            try:
                admitted = self.admit(stop.is_set)
            except SerantauError as fault:
                _log.error("case_entries_wait", fault=str(fault))
                continue
            if admitted:
                _log.info("case_entries_let_in", entries=admitted)

    def admit(self, stop: Callable[[], bool] = lambda: False) -> int:
        """Let in what there is room for now; gives how much that was."""
        with self._node.db.read() as tx:
            held = [
                _Waits(one, *told_of(one.got))
                for one in self._node.quarantine.by_rules(tx, RULES, _MOST)
            ]
            if not held:
                return 0
            named = self._named(tx, held)
            numbers = set(named)
            rest = [
                number for number in self._fitting(tx, held) if number not in numbers
            ]
        admitted = 0
        for several, free in ((named, True), (rest, False)):
            for number in several:
                if stop():
                    return admitted
                # Somebody else may have tried or dropped it since.
                with suppress(NotFound):
                    admitted += self._intake.readmit(number, free=free).new
        return admitted

    def _fitting(self, tx: Tx, held: Sequence[_Waits]) -> list[int]:
        """Choose what its author has room for: of cases that are here first."""
        room = Room(tx, self._node.config.limits)
        known = CaseFloods().known(tx, {one.case for one in held})
        found = []
        for one in sorted(held, key=lambda one: one.case not in known):
            here = one.case in known
            # What is over the bound of one case only others' entries let in.
            if one.held.rule == WITHIN or not (here or one.opens):
                continue
            if not room.take(one.whose, one.case, new=not here)[0]:
                known.add(one.case)
                found.append(one.held.number)
        return found

    def _named(self, tx: Tx, held: Sequence[_Waits]) -> list[int]:
        """Choose what entries build on of parties of which nothing waits here."""
        flooders = {one.whose.author for one in held}
        by_id = {one.held.id: one.held.number for one in held}
        found: dict[str, int] = {}
        for case in CaseFloods().lacking(tx):
            folded = Case(case, Cases().entries(tx, case))
            waiting = {one.id: one for one in folded.waiting}
            honest = [
                one for one in waiting.values() if one.created_by_ref not in flooders
            ]
            todo = [ref for one in honest for ref in _refs(one)]
            seen: set[str] = set()
            while todo:
                ref = todo.pop()
                if ref in seen:
                    continue
                seen.add(ref)
                if ref in waiting:
                    todo += _refs(waiting[ref])
                elif ref in by_id:
                    found[ref] = by_id[ref]
                    body = self._node.quarantine.get(tx, by_id[ref])[1]
                    todo += _refs(read_entry(body))
        return list(found.values())


def _refs(one: Entry) -> Iterable[str]:
    """Give the entries that an entry waits for."""
    return filter(None, (one.previous_ref, one.about_ref, *one.after_refs))
