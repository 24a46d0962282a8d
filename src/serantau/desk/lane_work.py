"""The work of the lane in a running node: batches, feeds, and keeping house.

Workers take turns at the list of batches by lease, in this process and in others. What
they work with is imported when the first batch comes, so that an idle node is small.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog

from serantau.desk.lane import TOGETHER_BYTES, Lane
from serantau.desk.lane_ways import Ways
from serantau.desk.sightings import Sightings
from serantau.errors import SerantauError
from serantau.lane.engine import THREADS, Engine
from serantau.node import Node
from serantau.records.batches import Batch
from serantau.records.erasures import Erasures

if TYPE_CHECKING:
    from serantau.desk.lane_kernel import Kernel, Outcome

_POLL_SECONDS: Final = 0.5
_FAULT_SECONDS: Final = 5.0
_FEEDS_SECONDS: Final = 1.0
_HOUSE_SECONDS: Final = 600.0
_DAY_SECONDS: Final = 86_400.0
# Small batches are made visible together: a commit costs as much as thousands of rows.
_TOGETHER: Final = 64
_SECOND: Final = 1_000_000

_log = structlog.get_logger(__name__)


class _Taken(NamedTuple):
    """Batches that are leased together. alive: tells whether they still are."""

    batches: list[Batch]
    alive: Callable[[], bool]
    settled: ExitStack


class Worker:
    """Takes batches and works on them. One thread uses it, and closes it at the end."""

    def __init__(self, lane: Lane, engine: Engine = THREADS) -> None:
        """Work for `lane` by `engine`, under a name that nobody else has."""
        self.lane = lane
        self._engine = engine
        self._taken: deque[_Taken] = deque()
        self.name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._kernel: Kernel | None = None
        self._seconds = lane.node.config.lane.lease_seconds

    @property
    def kernel(self) -> Kernel:
        """Give what does the work; the first time takes a second."""
        if self._kernel is None:
            from serantau.desk.lane_kernel import Kernel

            self._kernel = Kernel(self.lane, self._engine)
        return self._kernel

    def once(self, stop: threading.Event | None = None) -> list[Outcome]:
        """Take what waits, at most so much as is worked on together.

        Gives what became of it; nothing when nothing waits.
        """
        self._take()
        if not self._taken:
            return []
        batches, alive, settled = self._taken.popleft()
        with settled:
            outcomes = self.kernel.work(
                batches, lambda: alive() and not (stop is not None and stop.is_set())
            )
        self._settle(outcomes)
        return outcomes

    def _take(self) -> None:
        """Lease what is worked on next; a cluster has several groups in work at once.

        They are settled in the order of the list all the same.
        """
        beside = self._engine.beside
        while len(self._taken) < beside and (batches := self._claim()):
            settled = ExitStack()
            alive = settled.enter_context(self._alive(batches))
            self._taken.append(_Taken(batches, alive, settled))
            if beside > 1:
                self.kernel.begin(batches)

    def close(self) -> None:
        """Give back what was taken and not worked on."""
        while self._taken:
            batches, _, settled = self._taken.popleft()
            with settled:
                left = self.kernel.work(batches, lambda: False)
            self._settle(left)
        if self._kernel is not None:
            self._kernel.close()

    def _claim(self) -> list[Batch]:
        with self.lane.node.db.read() as tx:
            if not self.lane.batches.waits(tx):
                return []
        with self.lane.node.db.write() as tx:
            return self.lane.batches.claim(
                tx,
                self.name,
                self._seconds,
                limit=_TOGETHER,
                size=TOGETHER_BYTES,
            )

    @contextmanager
    def _alive(self, batches: list[Batch]) -> Iterator[Callable[[], bool]]:
        """Extend the leases while the block runs; tells whether they are still held."""
        over, lost = threading.Event(), threading.Event()
        digests = [batch.digest for batch in batches]

        def extend() -> None:
            while not over.wait(self._seconds / 3):
                try:
                    with self.lane.node.db.write() as tx:
                        kept = self.lane.batches.extend(
                            tx, self.name, digests, self._seconds
                        )
                except SerantauError as fault:
                    _log.warning("lease_not_extended", fault=str(fault))
                    continue
                if kept < len(digests):
                    lost.set()
                    return

        thread = threading.Thread(target=extend, name="serantau-lease", daemon=True)
        thread.start()
        try:
            yield lambda: not lost.is_set()
        finally:
            over.set()
            thread.join()

    def _settle(self, outcomes: list[Outcome]) -> None:
        batches = self.lane.batches
        with self.lane.node.db.write() as tx:
            for one in outcomes:
                if one.odd:
                    batches.hold(tx, one.batch, one.odd)
                elif one.again:
                    batches.give_back(tx, one.batch, one.fault)
                elif one.fault:
                    batches.fail(tx, one.batch, one.fault)
                else:
                    batches.finish(
                        tx,
                        one.batch,
                        rows=one.rows,
                        repeated=one.repeated,
                        rejects=one.rejects,
                        format_name=one.format,
                    )
        for one in outcomes:
            _tell(one)


def _tell(one: Outcome) -> None:
    about = {"batch": one.batch.number, "feed": one.batch.feed}
    if one.odd:
        _log.warning("batch_held", why=one.odd, **about)
    elif one.fault:
        _log.error("batch_failed", fault=one.fault, again=one.again, **about)
    elif not one.again:
        _log.info(
            "batch_done",
            rows=one.rows,
            repeated=one.repeated,
            rejects=one.rejects,
            **about,
        )


class LaneWork:
    """What a running node does for its lane until it is stopped."""

    def __init__(self, node: Node) -> None:
        """Work for `node`."""
        self._node = node
        self._lane = Lane(node)
        self._ways = Ways(self._lane)
        self._worked = threading.Event()
        self._faults: list[BaseException] = []

    def run(self, stop: threading.Event) -> None:
        """Work on batches, bring feeds in and keep house until `stop` is set.

        Raises:
            Exception: a fault of our own; what is not, is logged and tried again.
        """
        targets = [self._feeds, self._house]
        targets += [self._work] * self._node.config.lane.workers
        threads = [
            threading.Thread(
                target=self._guarded,
                args=(target, stop),
                name=f"serantau-lane-{number}",
            )
            for number, target in enumerate(targets)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._faults:
            raise self._faults[0]

    def _guarded(
        self, work: Callable[[threading.Event], None], stop: threading.Event
    ) -> None:
        try:
            work(stop)
        except BaseException as fault:
            self._faults.append(fault)
            stop.set()

    def _work(self, stop: threading.Event) -> None:
        worker = Worker(self._lane)
        while not stop.is_set():
            try:
                if worker.once(stop):
                    self._worked.set()
                    continue
            except SerantauError as fault:
                _log.error("lane_failed", fault=str(fault))
                stop.wait(_FAULT_SECONDS)
            stop.wait(_POLL_SECONDS)

    def _feeds(self, stop: threading.Event) -> None:
        if not self._node.config.feeds:
            return
        while not stop.wait(_FEEDS_SECONDS):
            try:
                self._ways.look_at_due(stop)
            except SerantauError as fault:
                _log.error("feeds_failed", fault=str(fault))
                stop.wait(_FAULT_SECONDS)

    def _house(self, stop: threading.Event) -> None:
        """Sweep what was left, forget old bytes, fold small files."""
        expired = 0
        while not stop.is_set():
            try:
                expired = self.keep_house(expired)
            except (SerantauError, OSError) as fault:
                _log.error("housekeeping_failed", fault=str(fault))
            stop.wait(_HOUSE_SECONDS)

    def keep_house(self, expired: int) -> int:
        """Keep house once; gives when rows were last taken out, as an instant."""
        self._lane.sweep()
        self._lane.expire()
        self._finish_erasures()
        Sightings(self._node).record()
        if not self._worked.is_set():
            return expired
        from serantau.desk.lane_kernel import Kernel
        from serantau.desk.lane_search import tallies_of

        self._worked.clear()
        now = self._node.clock.now()
        due = now - expired > _DAY_SECONDS * _SECOND
        kernel = Kernel(self._lane)
        kernel.keep(now, expire=due)
        tallies_of(self._node).keep(kernel.archive.events)
        return now if due else expired

    def _finish_erasures(self) -> None:
        """Go on with what was erased when its process ended."""
        with self._node.db.read() as tx:
            left = [
                one
                for one in Erasures().unfinished(tx)
                if one.lease <= self._node.clock.now()
            ]
        if left:
            from serantau.desk.erase import Erase

            for one in Erase(self._node).resume(left=True):
                _log.info("erasure_done", erasure=one.number, events=one.events)
