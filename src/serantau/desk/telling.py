"""Whom a running node tells by itself: owners by notices, its log of what waits.

At certain times of day notices are made of the last days; what is severe is told within
minutes of its batch. How far that came is in the store, so a node that was off or
killed catches up, and what was told already stays quiet. One process at a time does it,
by lease. Whether there is anything to do is only read, so an idle node writes nothing,
and what reads the archive is imported when there is something in it.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo

import structlog

from serantau.config import SEVERITIES
from serantau.desk.abroad import Abroad
from serantau.desk.courier import Courier, Round, reachable, ways
from serantau.desk.returned import Returned
from serantau.errors import SerantauError
from serantau.node import Node
from serantau.records.chores import Chores
from serantau.records.database import Tx
from serantau.records.notices import Notices
from serantau.rules.contact import Kind
from serantau.rules.notice import DAY, State, around
from serantau.wire.mailbox import imap

ACTOR: Final = "serve"
"""Who a running node is in the release log."""

_ALL: Final = "notices"
_DAILY: Final = "notices.times"
_FRESH: Final = "notices.at_once"
_RETURNED: Final = "notices.returned"
_ABROAD: Final = "abroad.waiting"
_POLL_SECONDS: Final = 5.0
_LEASE_SECONDS: Final = 60.0
# What is severe waits so long, so that the batches of one delivery are told together.
_FRESH_SECONDS: Final = 300.0
_MAILBOX_SECONDS: Final = 300.0
_FIRST_WAIT: Final = 60.0
_LONGEST_WAIT: Final = 3600.0
_MOST_DAYS: Final = 31
_SECOND: Final = 1_000_000

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class TellingStanding:
    """How it stands with notices.

    last, next: when a running node made them, and will; instants, 0: never. fault: why
    it could not the last time. notices, deliveries: by state. lacks: kinds of contact
    that the settings lack something for, and what. blocked: deliveries to these.
    read, read_fault: when mail that came back was last looked for, and what was wrong.
    """

    last: int
    next: int
    fault: str
    counts: dict[str, int]
    lacks: dict[Kind, str]
    blocked: int
    read: int
    read_fault: str


def zone_of(node: Node) -> ZoneInfo:
    """Give the time zone by whose clocks notices are made."""
    said = node.config.notice.zone
    if not said:
        member = node.profile.member(node.config.node.member)
        said = member.zones[0] if member and member.zones else "UTC"
    return ZoneInfo(said)


def standing(node: Node) -> TellingStanding:
    """Tell how it stands with notices."""
    times = node.config.notice.times
    notices, chores = Notices(), Chores()
    with node.db.read() as tx:
        now = tx.clock.now()
        daily, fresh = chores.get(tx, _DAILY), chores.get(tx, _FRESH)
        returned = chores.get(tx, _RETURNED)
        return TellingStanding(
            last=daily.done,
            next=around(now, times, zone_of(node))[1] if times else 0,
            fault=daily.fault or fresh.fault,
            counts=notices.counts(tx),
            lacks={kind: why for kind, why in ways(node.config).items() if why},
            blocked=notices.blocked(tx, reachable(node.config)),
            read=returned.done,
            read_fault=returned.fault,
        )


class Telling:
    """What a running node does for notices until it is stopped."""

    def __init__(self, node: Node, *, open_imap: Callable[..., Any] = imap) -> None:
        """Work for `node`. `open_imap` opens a folder, as `wire.mailbox.imap` does."""
        self._node = node
        self._name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._chores = Chores()
        self._notices = Notices()
        self._returned = Returned(node, open_imap)
        self._waits: dict[str, tuple[int, float]] = {}

    def run(self, stop: threading.Event) -> None:
        """Do what is due until `stop` is set."""
        while not stop.is_set():
            try:
                self.once(stop)
            except SerantauError as fault:
                _log.error("notices_failed", fault=str(fault))
                stop.wait(_FIRST_WAIT)
            stop.wait(_POLL_SECONDS)

    def once(self, stop: threading.Event | None = None) -> list[str]:
        """Do what is due, unless another process does; gives what was done."""
        stop = stop or threading.Event()
        with self._node.db.read() as tx:
            due = self._due(tx)
        if not due:
            return []
        with self._node.db.write() as tx:
            if not self._chores.take(tx, _ALL, self._name, _LEASE_SECONDS):
                return []
        with self._alive() as alive:

            def over() -> bool:
                return stop.is_set() or not alive()

            for chore, work in due:
                if over():
                    break
                self._try(chore, work, over)
        return [chore for chore, _ in due]

    @contextmanager
    def _alive(self) -> Iterator[Callable[[], bool]]:
        """Hold the lease while the block runs; tells whether it is still held."""
        over, lost = threading.Event(), threading.Event()

        def extend() -> None:
            while not over.wait(_LEASE_SECONDS / 3):
                try:
                    with self._node.db.write() as tx:
                        held = self._chores.take(tx, _ALL, self._name, _LEASE_SECONDS)
                except SerantauError as fault:
                    _log.warning("lease_not_extended", fault=str(fault))
                    continue
                if not held:
                    lost.set()
                    return

        thread = threading.Thread(target=extend, name="serantau-lease", daemon=True)
        thread.start()
        try:
            yield lambda: not lost.is_set()
        finally:
            over.set()
            thread.join()
            with self._node.db.write() as tx:
                self._chores.leave(tx, _ALL, self._name)

    # --- what is due ------------------------------------------------------------------

    def _due(self, tx: Tx) -> list[tuple[str, _Work]]:
        """Give what is due, in order, by reading only."""
        now, notice = tx.clock.now(), self._node.config.notice
        newest = int(tx.value("SELECT max(ended) FROM batch") or 0)
        found: list[tuple[str, _Work]] = []
        if self._node.config.mail.mailbox:
            held = self._chores.get(tx, _RETURNED)
            if now - held.tried >= _MAILBOX_SECONDS * _SECOND:
                found.append((_RETURNED, self._read_returned))
        if newest and notice.times:
            held = self._chores.get(tx, _DAILY)
            if held.done < around(now, notice.times, zone_of(self._node))[0]:
                found.append((_DAILY, self._make_daily))
        if newest and notice.at_once:
            held = self._chores.get(tx, _FRESH)
            if held.done < newest and now - held.tried >= _FRESH_SECONDS * _SECOND:
                found.append((_FRESH, self._make_fresh))
        if now - self._chores.get(tx, _ABROAD).tried >= DAY and tx.row(
            "SELECT 1 FROM parcel_turn LIMIT 1"
        ):
            found.append((_ABROAD, self._warn))
        found = [one for one in found if not self._waiting(one[0], now)]
        if found or self._notices.work(tx, reachable(self._node.config)):
            found.append(("notices.send", self._send))
        return found

    def _waiting(self, chore: str, now: int) -> bool:
        return now < self._waits.get(chore, (0, 0.0))[0]

    def _try(self, chore: str, work: _Work, over: Callable[[], bool]) -> None:
        """Do one chore; what fails is noted, and tried again later and later."""
        try:
            work(over)
        except (SerantauError, OSError) as fault:
            wait = self._waits.get(chore, (0, _FIRST_WAIT / 2))[1] * 2
            wait = min(wait, _LONGEST_WAIT)
            until = self._node.clock.now() + int(wait * _SECOND)
            self._waits[chore] = until, wait
            _log.error("chore_failed", chore=chore, fault=str(fault))
            with self._node.db.write() as tx:
                self._chores.note(tx, chore, fault=str(fault))
        else:
            self._waits.pop(chore, None)

    # --- the chores -------------------------------------------------------------------

    def _make_daily(self, over: Callable[[], bool]) -> None:
        """Make the notices of the last days; and of those on which the node was off."""
        notice = self._node.config.notice
        with self._node.db.read() as tx:
            now, held = tx.clock.now(), self._chores.get(tx, _DAILY)
        slot, _ = around(now, notice.times, zone_of(self._node))
        missed = (slot - held.done) // DAY if held.done else 0
        self._make(min(notice.days + missed, _MOST_DAYS), None, over)
        if not over():
            with self._node.db.write() as tx:
                self._chores.note(tx, _DAILY, done=slot)

    def _make_fresh(self, over: Callable[[], bool]) -> None:
        """Make notices of what is too severe to wait for the time of day."""
        notice = self._node.config.notice
        with self._node.db.write() as tx:
            newest = int(tx.value("SELECT max(ended) FROM batch") or 0)
            self._chores.note(tx, _FRESH)
        self._make(notice.days, SEVERITIES.index(notice.at_once), over)
        if not over():
            with self._node.db.write() as tx:
                self._chores.note(tx, _FRESH, done=newest)

    def _make(self, days: int, least: int | None, over: Callable[[], bool]) -> None:
        from serantau.desk.notice_rows import days_before, tell
        from serantau.desk.notify import Notify

        notify = Notify(self._node, ACTOR)
        for day in days_before(self._node.clock.now(), days):
            if over():
                return
            made = tell(self._node, notify, day, least=least, stop=over).made
            if made:
                waiting = sum(one.state is State.WAITING for one in made)
                _log.info("notices_made", day=day, made=len(made), for_approval=waiting)

    def _send(self, over: Callable[[], bool]) -> None:
        with self._node.db.read() as tx:
            if not self._notices.work(tx, reachable(self._node.config)):
                return
        done = Courier(self._node, ACTOR).send(stop=over)
        if done != Round(blocked=done.blocked):
            told = {
                name: many for name in Round.__slots__ if (many := getattr(done, name))
            }
            _log.info("notices_sent", **told)

    def _warn(self, _over: Callable[[], bool]) -> None:
        """Tell once a day of other members' rows that nobody fetches."""
        Abroad(self._node).warn()
        with self._node.db.write() as tx:
            self._chores.note(tx, _ABROAD, done=tx.clock.now())

    def _read_returned(self, over: Callable[[], bool]) -> None:
        bounced = self._returned.read(over)
        with self._node.db.write() as tx:
            self._chores.note(tx, _RETURNED, done=tx.clock.now())
        if bounced:
            _log.warning("notices_bounced", many=bounced)


_Work = Callable[[Callable[[], bool]], None]
