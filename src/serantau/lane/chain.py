"""A batch's way through the lane, in two steps that an engine may do anywhere.

A piece is judged where it was cut; what tells its rows apart comes back, and the events
stay there. Whoever leased the batch says, in the batch's order, which of them count.
Then those are packed into files where they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import polars as pl

from serantau.lane.archive import FILE_BYTES, FILE_ROWS, days_of
from serantau.lane.delta import Added, Table
from serantau.lane.engine import Engine, Held
from serantau.lane.formats.rows import Piece
from serantau.lane.kernel import run
from serantau.lane.packed import Packed
from serantau.lane.ranges import Version
from serantau.lane.reference import Reference

KEYS: Final = (
    "fingerprint",
    "time",
    "tlp",
    "source_hi",
    "source_lo",
    "member",
)
"""What comes back of each event: enough to know whether it was there before."""


@dataclass(frozen=True, slots=True)
class Told:
    """What is told of a piece that was judged.

    keys: KEYS of each event, in their order. rejects: of the kernel (REJECTS), `line`
    counted from the piece's beginning. size: of the events, in memory.
    """

    keys: pl.DataFrame
    rejects: pl.DataFrame
    size: int


def judge(piece: Piece, reference: Held[Reference]) -> tuple[Told, pl.DataFrame]:
    """Judge a piece; gives what is told of it, and its events (EVENTS)."""
    done = run(piece.frame, reference())
    told = Told(
        done.events.select(KEYS),
        piece.placed(done.rejects),
        int(done.events.estimated_size()),
    )
    return told, done.events


@dataclass(frozen=True, slots=True)
class Part:
    """Events of a piece that count.

    body: all of them. chosen: which, by their places; None: each. number: is to be
    added to their numbers. rows, size: how many these are, in memory.
    """

    body: Held[pl.DataFrame]
    chosen: pl.Series | None
    number: int
    rows: int
    size: int

    def events(self) -> pl.DataFrame:
        """Give them; they come here for that."""
        events = self.body()
        if self.chosen is not None:
            events = events[self.chosen]
        return events.with_columns(pl.col("number") + self.number)


@dataclass(frozen=True, slots=True)
class Load:
    """What becomes files together: parts, of which batches, and for which table.

    there: the table can be written from where they are packed.
    """

    parts: tuple[Part, ...]
    batches: tuple[str, ...]
    table: Table
    there: bool


def pack(load: Load) -> tuple[list[Added | Packed], None]:
    """Make files of events, one for each day; nobody sees them yet.

    Raises:
        StoreError: the table's store failed.
    """
    table = load.table
    events = pl.concat([part.events() for part in load.parts])
    files: list[Added | Packed] = []
    for day, rows in days_of(events):
        sorted_ = table.arranged(rows)
        if load.there:
            files.append(table.write(sorted_, day, batches=load.batches))
        else:
            files.append(table.packed(sorted_, day))
    return files, None


def packed(
    parts: Iterable[Part], batches: tuple[str, ...], table: Table, engine: Engine
) -> Iterator[list[Added | Packed]]:
    """Have parts packed, as many together as make a file; gives the files in order.

    Raises:
        StoreError: the table's store failed, or the cluster.
    """
    there = engine.here or table.everywhere
    loads = (Load(some, batches, table, there) for some in _loads(parts))
    for files, _ in engine.map(pack, loads, engine.ahead // 8):
        yield files


def _loads(parts: Iterable[Part]) -> Iterator[tuple[Part, ...]]:
    waiting: list[Part] = []
    rows = size = 0
    for part in parts:
        if not part.rows:
            continue
        if waiting and (rows + part.rows > FILE_ROWS or size + part.size > FILE_BYTES):
            yield tuple(waiting)
            waiting, rows, size = [], 0, 0
        waiting.append(part)
        rows, size = rows + part.rows, size + part.size
    if waiting:
        yield tuple(waiting)


class Sending:
    """Puts references where an engine's functions get them, each of them once."""

    def __init__(self, engine: Engine) -> None:
        """Put them there for `engine`."""
        self._engine = engine
        self._files: dict[tuple[Version, tuple[int, int]], Held[bytes]] = {}
        self._sent: Held[Reference] | None = None
        self._of: Reference | None = None

    def send(self, reference: Reference) -> Held[Reference]:
        """Give what can be handed to a function, with the range data as it is now."""
        if self._engine.here:
            return self._engine.share(reference)
        stamps = reference.shelf.stamps()
        if (
            self._sent is None
            or reference is not self._of
            or stamps.items() != self._files.keys()
        ):
            self._files = {
                stamp: self._files.get(stamp)
                or self._engine.share(reference.shelf.file(stamp[0]))
                for stamp in stamps.items()
            }
            files = {version: held for (version, _), held in self._files.items()}
            self._sent = self._engine.share(reference.sent(files))
            self._of = reference
        return self._sent
