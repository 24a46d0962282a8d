"""Takes the steps that the clocks of this node's cases ask for: remind, then page.

The node of a case's owner does, one process at a time. A reminder is an entry, and goes
where all entries go. A page goes to a person first, and then becomes an entry. For each
page there are three writes: whom it goes to and that it is released; all but its last
byte is out (`handing`); the entry. Killed before the second, it goes again, since
nothing was kept there. Killed between the second and the third, nobody can know: it
goes once more, since a silent page is worse than two, and after that it is taken.

What an entry says all parties of the case read: never whom a page went to, nor why one
could not be taken. That stays here, for `serantau case show` and `serantau doctor`.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog

from serantau.desk.case_log import CaseLog, parties_of
from serantau.desk.case_page import COORDINATOR, Item, Pager, Target
from serantau.desk.cases import Casework
from serantau.errors import BadRequest, Conflict, Forbidden, NotFound, SerantauError
from serantau.node import Node
from serantau.records.case_rounds import (
    HANDED,
    SENDING,
    TAKEN,
    WAITING,
    StepRow,
    Steps,
    Which,
)
from serantau.records.cases import Cases, Summary
from serantau.records.chores import Chores
from serantau.records.database import Tx
from serantau.rules.case import Case
from serantau.rules.case_clock import Clocks, Due, Step, clocks, paced
from serantau.rules.case_entry import Kind
from serantau.rules.level import Tlp
from serantau.rules.party import Kind as PartyKind
from serantau.wire.bounce import read_bounce
from serantau.wire.mail import Outcome

CHORE: Final = "cases.clocks"
_POLL_SECONDS: Final = 2.0
# A lease is longer than a mail server may take to answer.
_LEASE_SECONDS: Final = 30.0
_SECOND: Final = 1_000_000
_FIRST_WAIT: Final = 60 * _SECOND
_LONGEST_WAIT: Final = 1800 * _SECOND
# Nobody is paged again so soon: what falls due meanwhile goes in one page.
_REST: Final = 120 * _SECOND
_TRIES: Final = 3
_ONCE_MORE: Final = 2
_FOR_LONG: Final = 3650 * 86_400 * _SECOND
_REFUSALS: Final = (BadRequest, Conflict, Forbidden, NotFound)

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Round:
    """What one round did, in steps. kept: those that could not be taken now."""

    reminded: int = 0
    paged: int = 0
    kept: int = 0


@dataclass(frozen=True, slots=True)
class Work:
    """A step that is to be taken. steps: it, and those that it is passed on to."""

    case: str
    level: Tlp
    severity: str
    inside: frozenset[str]
    due: Due
    steps: tuple[Step, ...]
    row: StepRow


@dataclass(frozen=True, slots=True)
class _Known:
    """A case's clocks, as long as its line of the board is the same."""

    summary: Summary
    clocks: Clocks
    inside: frozenset[str]
    soonest: int | None


class CaseWatch:
    """The clocks of the cases that one node owns. pager: what hands pages over."""

    pager: type[Pager] = Pager

    def __init__(self, node: Node) -> None:
        """Work for `node`."""
        self._node = node
        self._name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._cases, self._steps, self._chores = Cases(), Steps(), Chores()
        self._log = CaseLog(node)
        self._work = Casework(node)
        self._terms = paced(node.config.clocks.pace)
        self._known: dict[str, _Known] = {}
        self._seen = 0

    def run(self, stop: threading.Event) -> None:
        """Take what is due until `stop` is set."""
        while not stop.is_set():
            try:
                self.tick(stop.is_set)
            except SerantauError as fault:
                _log.error("case_clocks_failed", fault=str(fault))
            stop.wait(_POLL_SECONDS)

    def tick(self, stop: Callable[[], bool] = lambda: False) -> Round:
        """Take the steps that are due, unless another process does."""
        done = Round()
        with self._node.db.read() as tx:
            work, over = self._due(tx)
        if not (work or over) or not self._held():
            return done
        pager = self.pager(self._node)
        try:
            if over:
                with self._node.db.write() as tx:
                    self._steps.drop(tx, over)
            pages = []
            for one in work:
                if stop() or not self._held():
                    return done
                if one.steps[0].kind is Kind.REMINDER:
                    done.reminded += self._remind(one)
                else:
                    pages.append(one)
            self._page(pages, pager, stop, done)
        finally:
            pager.close()
            with self._node.db.write() as tx:
                self._chores.leave(tx, CHORE, self._name)
        if done != Round():
            _log.info(
                "case_clocks", reminded=done.reminded, paged=done.paged, kept=done.kept
            )
        return done

    def _held(self) -> bool:
        """Take the lease, or hold it for longer; says whether it is ours."""
        with self._node.db.write() as tx:
            return self._take(tx)

    def _take(self, tx: Tx) -> bool:
        seconds = self._node.config.mail.timeout_seconds + _LEASE_SECONDS
        return self._chores.take(tx, CHORE, self._name, seconds)

    # What is due

    def _due(self, tx: Tx) -> tuple[list[Work], list[Which]]:
        """Give the steps to be taken now, and the clocks that are over."""
        now, own = tx.clock.now(), self._node.config.node.identity
        if now < self._seen:
            # The clock was set back: what was said of a time to come is not known.
            self._known.clear()
        self._seen = now
        rows = {row.which: row for row in self._steps.all(tx)}
        of_case: dict[str, list[StepRow]] = {}
        for row in rows.values():
            of_case.setdefault(row.case_id, []).append(row)
        found: list[Work] = []
        going: set[Which] = set()
        owned = self._cases.owned(tx, own)
        for summary in owned:
            known = self._clocks(tx, summary, now)
            if summary.id in of_case:
                due = {(one.party, one.clock, one.since) for one in known.clocks.due}
                going.update(
                    row.which
                    for row in of_case[summary.id]
                    if (row.party, row.clock, row.since) in due
                )
            if known.soonest is not None and known.soonest <= now:
                found += self._of_case(summary, known, rows, now)
        kept = {summary.id for summary in owned}
        for case in self._known.keys() - kept:
            del self._known[case]
        return found, [which for which in rows if which not in going]

    def _clocks(self, tx: Tx, summary: Summary, now: int) -> _Known:
        known = self._known.get(summary.id)
        if known is None or known.summary != summary:
            folded = Case(summary.id, self._cases.entries(tx, summary.id))
            known = self._read(summary, folded, now)
            self._known[summary.id] = known
        return known

    def _read(self, summary: Summary, folded: Case, now: int) -> _Known:
        held = clocks(folded, self._terms)
        return _Known(summary, held, frozenset(folded.state.parts), held.soonest(now))

    def _of_case(
        self, summary: Summary, known: _Known, rows: dict[Which, StepRow], now: int
    ) -> Iterator[Work]:
        for each in known.clocks.due:
            steps = known.clocks.next_steps(each, now)
            which = summary.id, each.party, each.clock
            row = rows.get(which)
            if row is None or row.since != each.since:
                row = StepRow(*which, since=each.since)
            if steps and not row.waits(now):
                level = Tlp.parse(summary.level)
                severity = summary.severity or "not judged"
                yield Work(
                    summary.id, level, severity, known.inside, each, tuple(steps), row
                )

    def _still(self, tx: Tx, one: Work) -> Case | None:
        """Give a case whose step is still to be taken, by all that came meanwhile."""
        summary = self._cases.summary(tx, one.case)
        if summary is None or summary.owner != self._node.config.node.identity:
            return None
        folded = self._log.folded(tx, one.case)
        held = clocks(folded, self._terms)
        if one.due not in held.due:
            return None
        steps = tuple(held.next_steps(one.due, tx.clock.now()))
        return folded if steps == one.steps else None

    # Reminding

    def _remind(self, one: Work) -> bool:
        """Write a reminder: with its entry it is taken, and goes to all."""
        try:
            with self._node.db.write() as tx:
                if self._still(tx, one) is None:
                    return False
                due = one.due
                self._work.tell(tx, one.case, Kind.REMINDER, due.party, due.clock)
        except _REFUSALS as refusal:
            self._keep(one.row, refusal.message)
            return False
        return True

    # Paging

    def _page(
        self,
        pages: Sequence[Work],
        pager: Pager,
        stop: Callable[[], bool],
        done: Round,
    ) -> None:
        """Page for the steps, those of one person together."""
        rested = self._rested()
        waiting = [one for one in pages if not self._twice(one, done)]
        while waiting and not stop():
            groups: dict[tuple[str, str], tuple[Target, list[Work]]] = {}
            for one in waiting:
                step, target = self._next(one, pager, done)
                if target is not None and target.held.card.id not in rested:
                    listed = groups.setdefault((target.tag, step.channel), (target, []))
                    listed[1].append(one)
            waiting = []
            for (_, channel), (target, several) in groups.items():
                if stop() or not self._held():
                    return
                waiting += self._send(several, channel, target, pager, done)

    def _rested(self) -> set[str]:
        """Give the cards of those who were paged a moment ago."""
        with self._node.db.read() as tx:
            now = tx.clock.now()
            rest = int(_REST / self._node.config.clocks.pace)
            return {
                row.card
                for row in self._steps.all(tx)
                if row.state == TAKEN
                and row.card
                and row.tried <= now < row.tried + rest
            }

    def _next(self, one: Work, pager: Pager, done: Round) -> tuple[Step, Target | None]:
        """Give who is paged next for a step; when nobody is left, it is kept."""
        reasons = []
        for step in one.steps:
            found, why = self._whom(one, step.channel, pager)
            for target in found:
                if target.tag not in one.row.failed:
                    return step, target
            told = [one.row.failed[target.tag] for target in found]
            reasons.append(f"{step.channel}: {'; '.join(dict.fromkeys(told)) or why}")
        self._keep(replace(one.row, failed={}, tries=0), " | ".join(reasons))
        done.kept += 1
        return one.steps[0], None

    def _whom(self, one: Work, channel: str, pager: Pager) -> tuple[list[Target], str]:
        own = self._node.config.node
        with self._node.db.read() as tx:
            known = parties_of(self._node, tx)
            name = known.get(one.due.party, "")
            if channel != COORDINATOR:
                if not name:
                    return [], "the party is not known here"
                names = [name]
            elif own.role == "coordinator":
                names = [own.member]
            else:
                names = [
                    party
                    for party, (_, held) in self._node.registry.parties(tx).items()
                    if held.kind is PartyKind.COORDINATOR
                    and any(known.get(each) == party for each in one.inside)
                ]
        if not names:
            return [], "no coordinator is in the case"
        found: list[Target] = []
        why = ""
        for each in names:
            targets, why = pager.targets(each, channel)
            found += targets
        return found, why

    def _twice(self, one: Work, done: Round) -> bool:
        """Take as taken what went out twice, and nobody knows whether it arrived."""
        if one.row.state != HANDED or one.row.unsure < _ONCE_MORE:
            return False
        self._taken(one, one.row)
        done.paged += 1
        return True

    def _send(
        self,
        several: list[Work],
        channel: str,
        target: Target,
        pager: Pager,
        done: Round,
    ) -> list[Work]:
        """Page somebody; gives the steps for which the next one is to be paged now."""
        if target not in pager.targets(target.party, channel, fresh=True)[0]:
            return []  # it is on no card any more: the next round sees who is
        try:
            several, key = self._intend(several, channel, target, pager)
        except (Forbidden, NotFound) as refusal:
            return self._passed(several, target, refusal.message)
        if not several:
            return []

        def handing() -> None:
            with self._node.db.write() as tx:
                mine = self._take(tx)
                handed = self._steps.handed(tx, key, self._name)
                if not mine or handed != len(several):
                    raise Conflict("Another process has taken it over.")

        try:
            outcome = pager.hand(target, channel, self._items(several), handing)
        except Conflict:
            return []
        return self._end(several, target, outcome, done)

    def _intend(
        self, several: list[Work], channel: str, target: Target, pager: Pager
    ) -> tuple[list[Work], str]:
        """Write down whom a page goes to, and that it is released."""
        with self._node.db.write() as tx:
            several = [one for one in several if self._still(tx, one) is not None]
            if not several:
                return [], ""
            items = self._items(several)
            key = pager.key(target, items)
            pager.release(tx, target, channel, items)
            rows = [
                replace(
                    one.row,
                    channel=channel,
                    state=SENDING,
                    worker=self._name,
                    card=target.held.card.id,
                    way=target.way,
                    letter=key,
                    tried=tx.clock.now(),
                )
                for one in several
            ]
            self._steps.put(tx, rows)
        return [
            replace(one, row=row) for one, row in zip(several, rows, strict=True)
        ], key

    def _items(self, several: Iterable[Work]) -> list[Item]:
        with self._node.db.read() as tx:
            names = parties_of(self._node, tx)
        return [
            Item(
                case=one.case,
                level=one.level,
                severity=one.severity,
                party=names.get(one.due.party, one.due.party),
                clock=one.due.clock,
                at=one.due.at,
            )
            for one in several
        ]

    def _end(
        self,
        several: Sequence[Work],
        target: Target,
        outcome: Outcome,
        done: Round,
    ) -> list[Work]:
        """Write down how a page ended; gives what is to be passed on now."""
        event, said = outcome.event, outcome.said
        rows = [one.row for one in several]
        if event == "accept":
            for one in several:
                self._taken(one, replace(one.row, unsure=0))
            done.paged += len(several)
        elif event == "lose":
            for row in rows:
                self._keep(replace(row, state=HANDED, unsure=row.unsure + 1), said)
            done.kept += len(several)
        elif event == "defer" and rows[0].tries + 1 < _TRIES:
            for row in rows:
                self._keep(replace(row, tries=row.tries + 1), said)
            done.kept += len(several)
        else:
            return self._passed(several, target, said)
        return []

    def _passed(self, several: Sequence[Work], target: Target, said: str) -> list[Work]:
        """Note that somebody cannot be paged; gives the steps to go on with."""
        found = []
        for one in several:
            failed = {**one.row.failed, target.tag: said}
            row = replace(one.row, failed=failed, tries=0, state=WAITING, said=said)
            with self._node.db.write() as tx:
                self._store(tx, row)
            found.append(replace(one, row=row))
        return found

    def _keep(self, row: StepRow, said: str) -> None:
        """Write down why a step could not be taken, and when it is tried again."""
        pace = self._node.config.clocks.pace
        wait = min(max(2 * row.wait, _FIRST_WAIT / pace), _LONGEST_WAIT / pace)
        state = row.state if row.state == HANDED else WAITING
        with self._node.db.write() as tx:
            now = tx.clock.now()
            self._store(
                tx, replace(row, state=state, tried=now, wait=int(wait), said=said)
            )

    def _store(self, tx: Tx, row: StepRow) -> bool:
        """Write a row, unless another process has taken the step over."""
        mine = row.worker != self._name or any(
            held.which == row.which and held.worker == self._name
            for held in self._steps.all(tx, row.case_id)
        )
        if not mine or not self._take(tx):
            return False
        self._steps.put(tx, [row])
        return True

    def _taken(self, one: Work, row: StepRow) -> None:
        """Write the entry of a page that went out, with the row that remembers it."""
        channels = [step.channel for step in one.steps]
        passed = channels[: channels.index(row.channel)]
        said = [f"Could not be paged: {', '.join(passed)}."] if passed else []
        if row.unsure >= _ONCE_MORE:
            said.append("Whether it arrived is not known.")
        end = replace(row, state=TAKEN, wait=0, tries=0, unsure=0, failed={}, said="")
        try:
            with self._node.db.write() as tx:
                if self._store(tx, replace(end, tried=tx.clock.now())):
                    self._work.tell(
                        tx,
                        one.case,
                        Kind.PAGE,
                        one.due.party,
                        one.due.clock,
                        channel=row.channel,
                        description=" ".join(said),
                    )
        except _REFUSALS as refusal:
            # It would go out again and again: a person has to look at this case.
            why = f"it was paged, and the case takes no entry: {refusal.message}"
            with self._node.db.write() as tx:
                now = tx.clock.now()
                self._store(tx, replace(end, tried=now, wait=_FOR_LONG, said=why))

    # What came back

    def bounced(self, raw: bytes) -> bool:
        """Take in a mail that came back; says whether it was a page of ours."""
        found = read_bounce(raw)
        if found is None:
            return False
        with self._node.db.write() as tx:
            rows = self._steps.by_letter(tx, found.key)
            said = f"it came back: {found.said}"
            self._steps.put(tx, [replace(row, said=said) for row in rows])
        return bool(rows)
