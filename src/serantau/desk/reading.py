"""Checking many objects: here, or here and in a process beside this one.

Half of the work of taking an object in is reading it, the other half is the database's.
For a long input the halves run at once: a reader process checks the next batches while
this one stores the last; and when this one would have to wait, it checks some itself.
Batches come out in order, and only a few are under way, so memory stays the same for
any length of input.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from serantau.desk.beside import Aide, Beside, Checked, Finding, Known, check
from serantau.node import Node, limits_of
from serantau.records.quarantine import Fault
from serantau.rules.stix import ObjectVersion, Reader
from serantau.wire.bundle import Piece

BATCH = 5000
_UNDER_WAY = 3
# So many objects are checked here between two looks for the other process's answer.
_STEP = 250

_ID = re.compile(rb'"id"\s*:\s*"([a-z0-9-]{1,200}--[0-9a-fA-F-]{36})"')

Read = tuple[list[ObjectVersion], list[Fault]]


def _fault(finding: Finding, origin: str) -> Fault:
    return Fault(
        body=finding.raw,
        rule=finding.rule,
        place=finding.place,
        got=finding.got,
        expected=finding.expected,
        origin=f"{origin}, object {finding.ordinal}, line {finding.line}",
        id=_id_in(finding.raw),
    )


def _id_in(raw: bytes) -> str:
    """Find the id in a text that may be no JSON at all, to be shown."""
    found = _ID.search(raw)
    return found[1].decode("ascii") if found else ""


class _Ours:
    """A batch that is checked here, bit by bit, while there is nothing else to do."""

    def __init__(self, pieces: list[Piece]) -> None:
        self._left = deque(pieces)
        self._versions: list[ObjectVersion] = []
        self._findings: list[Finding] = []

    def step(self, reader: Reader, derive_as: str, keys: Known) -> bool:
        """Check a few more; False when there are none."""
        few = [self._left.popleft() for _ in range(min(_STEP, len(self._left)))]
        versions, findings = check(reader, few, derive_as, keys)
        self._versions += versions
        self._findings += findings
        return bool(few)

    def finish(self, reader: Reader, derive_as: str, keys: Known) -> Checked:
        """Check the rest and give all."""
        while self.step(reader, derive_as, keys):
            pass
        return self._versions, self._findings


class Reading:
    """Checks the pieces of one input, batch by batch.

    A short input is done here before a process has started. A long one is shared with a
    reader process, where there is a second core.
    """

    def __init__(self, node: Node, origin: str, keys: Known | None = None) -> None:
        """Check for `node`, under its limits.

        keys: whose signatures are known; what is learnt meanwhile is looked at when the
        objects are admitted.
        """
        self._keys: Known = keys or {}
        derive = node.config.policy.granular == "derive"
        self._reader = node.reader
        self._origin = origin
        self._derive_as = node.config.node.identity if derive else ""
        self._limits = limits_of(node.config.limits)

    def believe(self, keys: Known) -> None:
        """Examine signatures by these keys, from the next batch on."""
        self._keys = keys

    def aide(self) -> Aide:
        """Give what may help with single batches, not started yet."""
        return Aide(self._limits, self._derive_as)

    def helped(self, aide: Aide, pieces: Sequence[Piece]) -> Read:
        """Check one batch, with an aide's help if it is large."""
        return self._told(aide.check(self._reader, pieces, self._keys))

    def here(self, pieces: Iterable[Piece]) -> Read:
        """Check some pieces in this process."""
        return self._told(check(self._reader, pieces, self._derive_as, self._keys))

    def batches(self, pieces: Iterable[Piece]) -> Iterator[Read]:
        """Check all pieces, a batch at a time, in order."""
        batches = _batches(pieces)
        first = next(batches, [])
        if len(first) == BATCH and (os.cpu_count() or 1) > 1:
            with Beside(self._limits, self._derive_as) as beside:
                yield from map(self._told, self._shared(beside, first, batches))
            return
        for batch in chain([first] if first else [], batches):
            yield self.here(batch)

    def _shared(
        self, beside: Beside, first: list[Piece], batches: Iterator[list[Piece]]
    ) -> Iterator[Checked]:
        # In the order of the input; None for what the other process has.
        waiting: deque[_Ours | None] = deque([_Ours(first)])
        while True:
            while waiting.count(None) < _UNDER_WAY:
                batch = next(batches, None)
                if batch is None:
                    break
                beside.send(batch, self._keys)
                waiting.append(None)
            if not waiting:
                return
            ours = waiting[0]
            if ours is not None:
                waiting.popleft()
                yield ours.finish(self._reader, self._derive_as, self._keys)
            elif beside.ready() or not self._help(waiting, batches):
                waiting.popleft()
                yield beside.receive()

    def _help(
        self, waiting: deque[_Ours | None], batches: Iterator[list[Piece]]
    ) -> bool:
        """Check a little here, of the newest batch; False when all is given away."""
        if waiting[-1] is None:
            batch = next(batches, None)
            if batch is None:
                return False
            waiting.append(_Ours(batch))
        ours = waiting[-1]
        return ours is not None and ours.step(self._reader, self._derive_as, self._keys)

    def _told(self, checked: Checked) -> Read:
        versions, findings = checked
        return versions, [_fault(finding, self._origin) for finding in findings]


def _batches(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    batch: list[Piece] = []
    for piece in pieces:
        batch.append(piece)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
