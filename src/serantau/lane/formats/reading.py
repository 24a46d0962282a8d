"""A file is read: unpacked, cut, and made into pieces of events.

Memory stays within about 500 MB for a file of any size: two blocks of at most 32 MB are
worked on at once, each with its columns and its piece, while the caller has a third. A
JSON document that is not in lines is held whole, up to its limit (256 MB by default).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final

import polars as pl

from serantau.errors import BadInput
from serantau.lane.formats import arrow, values
from serantau.lane.formats.blocks import Block, Lines
from serantau.lane.formats.documents import Extractor, is_document
from serantau.lane.formats.form import Fit, Format, Role, fit
from serantau.lane.formats.harmonise import harmonise
from serantau.lane.formats.rows import Fault, Limits, Piece, Rows
from serantau.lane.formats.source import Member, Source, members
from serantau.lane.formats.table import Cutter, read_head
from serantau.lane.origin import Origin

_AHEAD: Final = 2
_TELLING: Final = frozenset({"time", "first_seen", "last_seen", "type", "class"})


def read(
    source: Source, form: Format, origin: Origin, *, limits: Limits | None = None
) -> Iterator[Piece]:
    """Read a file piece by piece.

    Args:
        source: a path, bytes, or a binary file that can seek.
        form: how it is written.
        origin: the batch it is.
        limits: what it may be.

    Yields:
        Pieces in the file's order. Their numbers and lines count through: numbers over
        all members of an archive, lines in each member by itself. Nothing comes of a
        file without rows.

    Raises:
        BadInput: it is damaged, no file of this format at all, or no text.
        TooLarge: it passes a limit.
    """
    limits = limits or Limits()
    number = 1
    for member in members(source, origin.name, limits):
        for piece, counted in _member(member, form, origin, limits):
            if piece.frame.height or piece.rejects.height or piece.skipped:
                yield _numbered(piece, number)
            number += counted


def _numbered(piece: Piece, number: int) -> Piece:
    frame = piece.frame.with_columns(pl.col("number") + number)
    return Piece(frame, piece.rejects, piece.skipped)


_Counted = tuple[Piece, int]


def _member(
    member: Member, form: Format, origin: Origin, limits: Limits
) -> Iterator[_Counted]:
    report = origin.report or form.report(member.name) or form.report(origin.name)
    if form.cut == "arrow":
        yield from arrow.pieces(member.stream, form, report, origin, limits)
        return
    lines = Lines(member.stream, limits)
    if not lines.peek(1):
        return
    if form.cut == "json":
        yield from _json(lines, form, report, origin, limits)
        return
    head = read_head(lines, form)
    fitted = fit(form, report, head.names)
    _check_fit(fitted, form, head.names)
    stamp = _stamp(form, head.comments)
    work = _Work(
        Cutter(form, head.names, limits).cut,
        partial(harmonise, fit=fitted, origin=origin, stamp=stamp),
        limits,
    )
    yield from _pieces(lines, work, head.lines)


def _json(
    lines: Lines, form: Format, report: str, origin: Origin, limits: Limits
) -> Iterator[_Counted]:
    fitted = fit(form, report, form.every_role())
    extractor = Extractor(form, tuple(fitted.roles), limits)
    work = _Work(extractor.cut, partial(harmonise, fit=fitted, origin=origin), limits)
    if not is_document(lines):
        yield from _pieces(lines, work, 0)
        return
    rows = extractor.document(lines)
    yield _shifted(work.make(rows), 1), rows.counted


def _check_fit(fitted: Fit, form: Format, names: tuple[str, ...]) -> None:
    """Refuse a file in which nothing is told of any machine."""
    if any(role.to not in _TELLING for role in fitted.roles.values()):
        return
    wanted = [n for n, role in form.every_role().items() if role.to not in _TELLING]
    raise BadInput(
        f"it has none of the columns of format {form.name}",
        mend=f"It has {', '.join(names[:20]) or 'none'}; expected some of "
        f"{', '.join(wanted[:20])}. `serantau lane guess` proposes a format.",
    )


def _stamp(form: Format, comments: tuple[str, ...]) -> int | None:
    """Give the time that a file's head tells."""
    if form.stamp is None:
        return None
    for comment in comments:
        if found := form.stamp.search(comment):
            text = pl.Series([found[1]], dtype=pl.String)
            at = values.instants(text, Role("time")).dt.epoch("us")[0]
            if at is not None:
                return int(at)
    return None


# --- Blocks become pieces ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Work:
    """What is done with a block: cut it, and make a piece of its rows."""

    cut: Callable[..., Rows]
    make: Callable[[Rows], Piece]
    limits: Limits

    def do(self, data: bytes, *, last: bool) -> tuple[Rows, Piece]:
        rows = self.cut(data, last=last)
        return rows, self.make(rows)


@dataclass(slots=True)
class _Count:
    """How far the file was read: its next line, and what a block left over."""

    line: int
    left: bytes = b""


_Done = tuple[Rows, Piece]


def _pieces(lines: Lines, work: _Work, taken: int) -> Iterator[_Counted]:
    """Work on blocks ahead of the caller, and give their pieces in order.

    A block is begun in the belief that the one before it ended with a whole row. Where
    that was not so, what was left over goes before it and it is done again.
    """
    count = _Count(taken + 1)
    waiting: deque[tuple[Block, Future[_Done]]] = deque()
    with ThreadPoolExecutor(_AHEAD, "serantau-read") as threads:
        try:
            for block in lines.blocks():
                future = threads.submit(work.do, block.data, last=block.last)
                waiting.append((block, future))
                if len(waiting) >= _AHEAD:
                    yield from _finish(*waiting.popleft(), work, count)
            while waiting:
                yield from _finish(*waiting.popleft(), work, count)
        finally:
            for _, future in waiting:
                future.cancel()


def _finish(
    block: Block, future: Future[_Done], work: _Work, count: _Count
) -> Iterator[_Counted]:
    if block.long:
        # What was left before it cannot go on in a line that is not kept.
        if count.left:
            yield _counted(work.do(count.left, last=True), count)
        yield _counted(_too_long(block, work), count)
        return
    done = future.result()
    if count.left:
        done = work.do(count.left + block.data, last=block.last)
    yield _counted(done, count)


def _counted(done: _Done, count: _Count) -> _Counted:
    rows, piece = done
    moved = _shifted(piece, count.line)
    count.line += rows.lines
    count.left = rows.left
    return moved, rows.counted


def _shifted(piece: Piece, line: int) -> Piece:
    if not piece.rejects.height:
        return piece
    rejects = piece.rejects.with_columns(pl.col("line") + line)
    return Piece(piece.frame, rejects, piece.skipped)


def _too_long(block: Block, work: _Work) -> _Done:
    """Reject a line that is too long to be looked at."""
    reason = f"a line of more than {work.limits.line_bytes} bytes"
    none = work.cut(b"", last=True)
    fault = Fault(0, 0, reason, block.long)
    rows = Rows(none.frame, none.numbers, 1, 1, none.locate, none.rest, (fault,))
    return rows, work.make(rows)
