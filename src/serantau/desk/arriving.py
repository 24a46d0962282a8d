"""Pages on their way from a peer: fetched ahead, what is here already put aside."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import msgspec

from serantau import typed
from serantau.errors import PeerError
from serantau.records.database import Database
from serantau.rules.stix import id_key
from serantau.wire.bundle import Piece
from serantau.wire.client import PageIn

# So many objects that were here already are worth writing down where they ended.
_SETTLED: Final = 5000


class _Head(msgspec.Struct):
    id: str


_head: Final = typed.reader(_Head)


class Arriving:
    """The objects of a walk over pages, as pieces to be read, and how far they reach.

    fault: why the pages broke off; what came before stands. count: pages so far.
    held: objects that were here already, to the byte; they are not read again. batch:
    how many pieces are done at once, the last time fewer; 0 while it is a page.
    """

    def __init__(
        self,
        pages: Iterator[PageIn],
        db: Database,
        settle: Callable[[str, int], None],
        stop: threading.Event,
    ) -> None:
        """Take objects from `pages`.

        Args:
            pages: as `TaxiiClient.pages` gives them.
            db: where to look for what is here already.
            settle: writes down where to go on and how many were held, when no piece
                is under way.
            stop: ends it after the page at hand.
        """
        self.fault: PeerError | None = None
        self.count = 0
        self.held = 0
        self.batch = 0
        self._source = pages
        self._db = db
        self._settle = settle
        self._stop = stop
        self._given = 0
        self._passed = 0
        self._untold = 0
        # (pieces up to a page's end, where to go on after it), not passed yet.
        self._ends: deque[tuple[int, str]] = deque()

    def pages(self) -> Iterator[list[Piece]]:
        """Give page after page, the next one being fetched meanwhile."""
        with ThreadPoolExecutor(1, thread_name_prefix="serantau-fetch") as ahead:
            coming = ahead.submit(next, self._source, None)
            while not self._stop.is_set():
                try:
                    page = coming.result()
                except PeerError as fault:
                    self.fault = fault
                    return
                if page is None:
                    return
                coming = ahead.submit(next, self._source, None)
                self.count += 1
                pieces = self._fresh(page.objects)
                if page.resume:
                    self._ends.append((self._given, page.resume))
                if pieces:
                    yield pieces
                elif self._untold >= _SETTLED and self._passed == self._given:
                    self.settle()

    def _fresh(self, raws: Sequence[bytes]) -> list[Piece]:
        """Put aside what is held to the byte, by a look at the id alone."""
        keys: set[int] = set()
        for raw in raws:
            try:
                keys.add(id_key(_head(raw).id))
            except (msgspec.DecodeError, RecursionError, ValueError):
                continue
        with self._db.read() as tx:
            bodies = {
                bytes(row.body)
                for row in tx.rows(
                    "SELECT body FROM object WHERE " + tx.among("key", "keys"),  # noqa: S608 - our own names
                    keys=tx.array(keys),
                )
            }
        fresh = [raw for raw in raws if raw not in bodies]
        first = self._given + 1
        self._given += len(fresh)
        self.held += len(raws) - len(fresh)
        self._untold += len(raws) - len(fresh)
        return [
            Piece(ordinal=place, offset=0, line=1, raw=raw)
            for place, raw in enumerate(fresh, first)
        ]

    def passed(self) -> tuple[str, int]:
        """Count one more batch as done.

        Returns:
            Where to go on, "" where nobody knows, and how many were held meanwhile.
        """
        return self._pass(self._passed + self.batch if self.batch else self._given)

    def _pass(self, done: int) -> tuple[str, int]:
        self._passed = min(done, self._given)
        resume = ""
        while self._ends and self._ends[0][0] <= self._passed:
            resume = self._ends.popleft()[1]
        held, self._untold = self._untold, 0
        return resume, held

    def settle(self) -> None:
        """Write down where it ended, when nothing is under way any more."""
        resume, held = self._pass(self._given)
        if resume or held:
            self._settle(resume, held)
