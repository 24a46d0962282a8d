"""Checking many objects: here, or in a process beside this one.

Half of the work of taking an object in is reading it, the other half is the database's.
For a long input the halves run at once: a reader process checks the next batch while
this one stores the last. Batches come back in order, and only a few are under way, so
memory stays the same for any length of input.
"""

from __future__ import annotations

import gc
import multiprocessing
import multiprocessing.connection
import os
import re
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import fields
from typing import Any

from serantau.config import LimitsSection
from serantau.node import Node, reader_of
from serantau.records.quarantine import Fault
from serantau.rules.stix import ObjectVersion, Reader, Refused
from serantau.wire.bundle import Piece

BATCH = 5000
_UNDER_WAY = 3
_FIELDS = tuple(field.name for field in fields(ObjectVersion))
_DATA = _FIELDS.index("data")

_ID = re.compile(rb'"id"\s*:\s*"([a-z0-9-]{1,200}--[0-9a-fA-F-]{36})"')

Read = tuple[list[ObjectVersion], list[Fault]]


def read_pieces(
    reader: Reader, pieces: Iterable[Piece], origin: str, derive_as: str = ""
) -> Read:
    """Check pieces one by one.

    Args:
        reader: what checks.
        pieces: as `wire.bundle` cuts them.
        origin: what to call their source in messages.
        derive_as: when set, the identity in whose name a redacted object is derived
            from each one that has granular markings.

    Returns:
        What may be admitted, in order, and what may not, with the reasons.
    """
    versions: list[ObjectVersion] = []
    faults: list[Fault] = []
    for piece in pieces:
        if piece.fault is not None or piece.raw is None:
            faults.append(_fault(piece, piece.fault, origin))
            continue
        try:
            version = reader.read(piece.raw)
        except Refused as refused:
            faults.append(_fault(piece, refused, origin))
            continue
        versions.append(version)
        if derive_as and version.granular_refs:
            versions += reader.redact(version, derive_as)
    return versions, faults


def _fault(piece: Piece, refused: Refused | None, origin: str) -> Fault:
    refused = refused or Refused("empty", "", "nothing", "an object")
    return Fault(
        body=piece.raw or b"",
        rule=refused.rule,
        place=refused.place,
        got=refused.got,
        expected=refused.expected,
        origin=f"{origin}, object {piece.ordinal}, line {piece.line}",
        id=_id_in(piece.raw),
    )


def _id_in(raw: bytes | None) -> str:
    """Find the id in a text that may be no JSON at all, to be shown."""
    found = _ID.search(raw or b"")
    return found[1].decode("ascii") if found else ""


class Reading:
    """Checks the pieces of one input, batch by batch.

    The first batches are checked here: a short input is done before a process has
    started. From then on a reader process works ahead, where there is a second core.
    """

    def __init__(self, node: Node, origin: str) -> None:
        """Check for `node`, under its limits."""
        derive = node.config.policy.granular == "derive"
        self._reader = node.reader
        self._origin = origin
        self._derive_as = node.config.node.identity if derive else ""
        self._limits = node.config.limits

    def here(self, pieces: Iterable[Piece]) -> Read:
        """Check some pieces in this process."""
        return read_pieces(self._reader, pieces, self._origin, self._derive_as)

    def batches(self, pieces: Iterable[Piece]) -> Iterator[Read]:
        """Check all pieces, a batch at a time, in order."""
        batches = _batches(pieces)
        for batch in batches:
            yield self.here(batch)
            if (os.cpu_count() or 1) > 1:
                break
        second = next(batches, None)
        if second is not None:
            yield from self._beside(second, batches)

    def _beside(
        self, first: list[Piece], batches: Iterator[list[Piece]]
    ) -> Iterator[Read]:
        # Not forked: this process may have threads and an open database.
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(
            1, context, initializer=_begin, initargs=(self._limits,)
        )
        with pool:
            waiting: deque[Future[_Sent]] = deque()

            def send(batch: list[Piece]) -> None:
                args = (batch, self._origin, self._derive_as)
                waiting.append(pool.submit(_read_beside, *args))

            send(first)
            for batch in batches:
                send(batch)
                if len(waiting) >= _UNDER_WAY:
                    yield _received(waiting.popleft())
            while waiting:
                yield _received(waiting.popleft())


_Sent = tuple[list[tuple[Any, ...]], list[Fault]]
_reader: Reader | None = None


def _begin(limits: LimitsSection) -> None:
    """Start a reader process: it has a reader and nothing else of the node."""
    global _reader  # noqa: PLW0603 - a process of its own, which does this one thing
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    gc.disable()
    _reader = reader_of(limits)


def _end_with_parent() -> None:
    """End when the process that wants the work is gone: killed, it tells nobody."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def _read_beside(pieces: list[Piece], origin: str, derive_as: str) -> _Sent:
    assert _reader is not None  # noqa: S101 - the pool's initializer made it
    versions, faults = read_pieces(_reader, pieces, origin, derive_as)
    # Plain tuples cross a process border several times faster than objects, and the
    # parsed data is wanted only of marking definitions.
    rows = []
    for version in versions:
        row = [getattr(version, name) for name in _FIELDS]
        if version.type != "marking-definition":
            row[_DATA] = None
        rows.append(tuple(row))
    return rows, faults


def _received(future: Future[_Sent]) -> Read:
    rows, faults = future.result()
    return [ObjectVersion(*row) for row in rows], faults


def _batches(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    batch: list[Piece] = []
    for piece in pieces:
        batch.append(piece)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
