"""Checking objects in a process beside this one, for whoever has a core to spare.

Such a process has a reader and nothing else of the node, so that it starts in a tenth
of the time that a node takes. Run as a program this module is that process: batches
come in by its standard input and go out by its standard output, in order. It ends when
its input does, also because the process that wanted the work is gone.
"""

from __future__ import annotations

import contextlib
import gc
import marshal
import os
import queue
import select
import signal
import struct
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, fields
from operator import attrgetter
from types import TracebackType
from typing import IO, Any, Final, NamedTuple

from serantau.errors import SerantauError
from serantau.rules.key import Key, State
from serantau.rules.signature import examine
from serantau.rules.stix import Limits, ObjectVersion, Reader, Refused
from serantau.wire.bundle import Piece
from serantau.wire.schemas import load_schemas

_SIZE: Final = struct.Struct("!Q")
_PIPE_BYTES: Final = 1 << 20
_DEFINITION: Final = "marking-definition"
_columns: Final = attrgetter(*[field.name for field in fields(ObjectVersion)])
_WORTH: Final = 400
# marshal's version 2: looking for what comes twice costs more than sending it twice.
_NO_REFERENCES: Final = 2
_PATIENCE: Final = 60.0
_NOTHING: Final[dict[str, Any]] = {}


class Finding(NamedTuple):
    """Why a piece is not admitted: its place in the input, its text, the rule."""

    ordinal: int
    line: int
    raw: bytes
    rule: str
    place: str
    got: str
    expected: str


Checked = tuple[list[ObjectVersion], list[Finding]]
Known = Mapping[str, Sequence[Key]]
_NOBODY: Final[Known] = {}


def check(
    reader: Reader,
    pieces: Iterable[Piece],
    derive_as: str = "",
    keys: Known = _NOBODY,
) -> Checked:
    """Check pieces one by one.

    Args:
        reader: what checks.
        pieces: as `wire.bundle` cuts them.
        derive_as: when set, the identity in whose name a redacted object is derived
            from each one that has granular markings.
        keys: whose signatures are known; each object's is examined.

    Returns:
        What may be admitted, and what may not, both in order. Only of marking
        definitions the parsed data is kept: nothing that admits looks into others'.
    """
    versions: list[ObjectVersion] = []
    findings: list[Finding] = []
    for piece in pieces:
        if piece.fault is not None or piece.raw is None:
            findings.append(_finding(piece, piece.fault))
            continue
        try:
            version = reader.read(piece.raw)
        except Refused as refused:
            findings.append(_finding(piece, refused))
            continue
        versions.append(version)
        told, reason, key_id = examine(version.data, keys, modified=version.modified)
        version.examined = (told.value, reason, key_id)
        if version.type != _DEFINITION:
            version.data = _NOTHING
        if derive_as and version.granular_refs:
            versions += reader.redact(version, derive_as)
    return versions, findings


def _finding(piece: Piece, refused: Refused | None) -> Finding:
    refused = refused or Refused("empty", "", "nothing", "an object")
    return Finding(
        piece.ordinal,
        piece.line,
        piece.raw or b"",
        refused.rule,
        refused.place,
        refused.got,
        refused.expected,
    )


class ProcessGone(SerantauError):
    """The process that checks objects is gone."""


class Beside:
    """A process that checks batches of pieces. Close it, or use it as a context."""

    def __init__(
        self, limits: Limits, derive_as: str = "", *, patience: float | None = None
    ) -> None:
        """Start it; it is ready a moment later, and what is sent meanwhile waits.

        patience: after so many seconds without work it ends by itself.
        """
        self._process = subprocess.Popen(  # noqa: S603 - this program itself
            [sys.executable, "-P", "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        assert self._process.stdin and self._process.stdout  # noqa: S101, PT018 - pipes
        self._to, self._from = self._process.stdin, self._process.stdout
        _widen(self._to)
        _widen(self._from)
        self._answers = select.poll()
        self._answers.register(self._from, select.POLLIN)
        self._faults: list[list[Finding]] = []
        self._send((astuple(limits), derive_as, patience))

    def send(self, pieces: Sequence[Piece], keys: Known = _NOBODY) -> None:
        """Have pieces checked. What has been sent and not received waits in memory."""
        # What the cutting of the input found at fault is known here already.
        self._faults.append(
            [_finding(each, each.fault) for each in pieces if not each.raw]
        )
        rows = [(each.ordinal, each.line, each.raw) for each in pieces if each.raw]
        self._send((_plain(keys), rows))

    def ready(self) -> bool:
        """Say whether `receive` would not have to wait for long."""
        return bool(self._answers.poll(0))

    def receive(self) -> Checked:
        """Give what became of the pieces that were sent first."""
        try:
            rows, found = _receive(self._from)
        except EOFError as fault:
            raise self._gone() from fault
        findings = sorted([*map(Finding._make, found), *self._faults.pop(0)])
        return [ObjectVersion(*row) for row in rows], findings

    def _send(self, what: Any) -> None:
        try:
            _send(self._to, what)
        except BrokenPipeError as fault:
            raise self._gone() from fault

    def _gone(self) -> ProcessGone:
        return ProcessGone(
            f"The process that checks objects ended with {self._process.wait()}.",
            mend="Is there enough memory? What was taken in so far is kept.",
        )

    def close(self) -> None:
        """End it, whatever it is doing."""
        self._to.close()
        self._from.close()
        self._process.wait()

    def __enter__(self) -> Beside:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Aide:
    """Half of the work on what comes in one piece, for as long as such pieces come.

    The process is started by the first piece that is worth it, which does not wait for
    it, and ends when none has come for a while. One at a time has its help.
    """

    def __init__(self, limits: Limits, derive_as: str = "") -> None:
        """Help to check under these limits."""
        self._how = (limits, derive_as)
        self._beside: Beside | None = None
        self._one = threading.Lock()
        self._end = weakref.finalize(self, lambda: None)

    def check(
        self, reader: Reader, pieces: Sequence[Piece], keys: Known = _NOBODY
    ) -> Checked:
        """Check pieces here and, if there are many, beside."""
        derive_as = self._how[1]
        if len(pieces) < _WORTH or (os.cpu_count() or 1) < 2:
            return check(reader, pieces, derive_as, keys)
        if not self._one.acquire(blocking=False):
            return check(reader, pieces, derive_as, keys)
        try:
            return self._halves(reader, pieces, derive_as, keys)
        finally:
            self._one.release()

    def _halves(
        self, reader: Reader, pieces: Sequence[Piece], derive_as: str, keys: Known
    ) -> Checked:
        half = len(pieces) // 2
        beside, self._beside = self._beside, None
        if beside is None:
            self._start()
            return check(reader, pieces, derive_as, keys)
        # Until both halves are here it is nobody's: a fault leaves it in the middle.
        try:
            beside.send(pieces[half:], keys)
            versions, findings = check(reader, pieces[:half], derive_as, keys)
            more, found = beside.receive()
        except ProcessGone:
            self._start()
            return check(reader, pieces, derive_as, keys)
        except BaseException:
            self._end()
            raise
        self._beside = beside
        return versions + more, findings + found

    def _start(self) -> None:
        self._end()
        self._beside = Beside(*self._how, patience=_PATIENCE)
        self._end = weakref.finalize(self, self._beside.close)

    def close(self) -> None:
        """End the process; another is started when there is work."""
        with self._one:
            self._beside = None
            self._end()


def _plain(keys: Known) -> tuple[Any, ...]:
    """Write keys as what goes through a pipe."""
    return tuple(
        (whose, tuple((k.id, k.public, k.since, k.until, k.state.value) for k in ring))
        for whose, ring in keys.items()
    )


def _known(plain: Iterable[Any]) -> dict[str, list[Key]]:
    """Read keys as `_plain` wrote them."""
    return {
        whose: [
            Key(id_, public, since, until, State(state))
            for id_, public, since, until, state in ring
        ]
        for whose, ring in plain
    }


def _widen(pipe: IO[bytes]) -> None:
    """Let more through a pipe at once, where the system can."""
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _send(pipe: IO[bytes], what: Any) -> None:
    # The quickest way for plain tuples between two processes of one interpreter.
    text = marshal.dumps(what, _NO_REFERENCES)
    for part in (_SIZE.pack(len(text)), text):
        left = memoryview(part)
        while left:
            left = left[pipe.write(left) :]


def _receive(pipe: IO[bytes]) -> Any:
    (size,) = _SIZE.unpack(_exactly(pipe, _SIZE.size))
    return marshal.loads(_exactly(pipe, size))  # noqa: S302 - from this program itself


def _exactly(pipe: Any, size: int) -> bytearray:
    text = bytearray(size)
    left = memoryview(text)
    while left:
        got = pipe.readinto(left)
        if not got:
            raise EOFError
        left = left[got:]
    return text


def _main() -> None:
    """Be the process: one thread takes in, one checks, one gives out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    incoming = os.fdopen(0, "rb", 0)
    outgoing = os.fdopen(1, "wb", 0)
    limits, derive_as, patience = _receive(incoming)
    work: queue.SimpleQueue[Any] = queue.SimpleQueue()
    done: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def take() -> None:
        try:
            while True:
                work.put(_receive(incoming))
        finally:
            # Nobody wants an answer any more, whatever is under way.
            os._exit(0)

    def give() -> None:
        while True:
            _send(outgoing, done.get())

    for each in (take, give):
        threading.Thread(target=each, daemon=True).start()
    reader = Reader(Limits(*limits), load_schemas())
    # What parsing makes has no cycles, and looking for them costs more than parsing.
    gc.disable()
    while True:
        try:
            batch = work.get(timeout=patience)
        except queue.Empty:
            os._exit(0)
        plain, rows = batch
        pieces = [Piece(ordinal, 0, line, raw) for ordinal, line, raw in rows]
        versions, findings = check(reader, pieces, derive_as, _known(plain))
        done.put((list(map(_columns, versions)), list(map(tuple, findings))))


if __name__ == "__main__":
    _main()
