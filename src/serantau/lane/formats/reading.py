"""A file is read: unpacked, cut, and made into pieces of events.

Memory stays within about 500 MB for a file of any size: two blocks of at most 32 MB are
worked on at once, each with its columns and its piece, while the caller has a third. A
JSON document that is not in lines is held whole, up to its limit (256 MB by default).
An engine with more machines works on more blocks at once, and what is made of each
stays there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Generic, TypeVar

import polars as pl

from serantau.errors import BadInput
from serantau.lane.engine import THREADS, Engine, Held, Here
from serantau.lane.formats import arrow, values
from serantau.lane.formats.blocks import Block, Lines
from serantau.lane.formats.documents import Extractor, is_document
from serantau.lane.formats.form import Fit, Format, Role, fit
from serantau.lane.formats.harmonise import harmonise
from serantau.lane.formats.rows import Fault, Limits, Piece, Rows, lines_of
from serantau.lane.formats.source import Member, Source, members, plain_name
from serantau.lane.formats.table import Cutter, read_head
from serantau.lane.origin import Origin

R = TypeVar("R")
T = TypeVar("T")

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
    work = through(source, form, origin, _as_it_is, THREADS, limits=limits)
    for one in work:
        frame = one.body().with_columns(pl.col("number") + one.number)
        lines = partial(_lines, one.told, one.number, one.line)
        yield Piece(frame, one.rejects, one.skipped, lines, one.file)


def _as_it_is(piece: Piece) -> tuple[Callable[..., pl.Series] | None, pl.DataFrame]:
    return piece.lines, piece.frame


def _lines(
    within: Callable[..., pl.Series] | None, number: int, line: int, rows: pl.Series
) -> pl.Series:
    """Give lines of the file for numbers in it, by what tells them in a block."""
    numbers = rows - number
    return (numbers if within is None else within(numbers)) + line


@dataclass(frozen=True, slots=True)
class Worked(Generic[R, T]):
    """What was made of a piece where it was cut.

    told, body: what the judge gave. number: is to be added to the numbers of its rows,
    which it did not know there; line: to the lines that `Piece.lines` told there.
    rows: of its frame. rejects, skipped, file: as `Piece` has them.
    """

    told: R
    body: Held[T]
    number: int
    rows: int
    rejects: pl.DataFrame
    skipped: int
    line: int
    file: str | None


def through(
    source: Source,
    form: Format,
    origin: Origin,
    judge: Callable[[Piece], tuple[R, T]],
    engine: Engine,
    *,
    limits: Limits | None = None,
) -> Iterator[Worked[R, T]]:
    """Read a file piece by piece, and have something made of each where it is cut.

    Args:
        source: a path, bytes, or a binary file that can seek.
        form: how it is written.
        origin: the batch it is.
        judge: what is made of a piece; its numbers and the lines of its rejects are
            counted from its own beginning. Pure.
        engine: where that is done.
        limits: what it may be.

    Yields:
        What came of it, in the file's order; as `read` says.

    Raises:
        BadInput: it is damaged, no file of this format at all, or no text.
        TooLarge: it passes a limit.
    """
    limits = limits or Limits()
    number = 1
    for member in members(source, origin.name, limits):
        within = member.name != plain_name(origin.name)
        file = member.name if within and origin.name else None
        for cut, told, body in _member(member, form, origin, judge, engine, limits):
            if cut.rows or cut.rejects.height or cut.skipped:
                yield Worked(
                    told,
                    body,
                    number,
                    cut.rows,
                    cut.rejects.with_columns(file=pl.lit(file, dtype=pl.String)),
                    cut.skipped,
                    number if cut.line is None else cut.line,
                    file,
                )
            number += cut.counted


@dataclass(frozen=True, slots=True)
class _Cut:
    """What counts of a block: its lines and rows, what it left over and refused.

    line: the first one's place in the file; None where rows have no lines.
    """

    lines: int
    counted: int
    left: bytes
    rows: int
    rejects: pl.DataFrame
    skipped: int
    line: int | None = None


_Done = tuple[_Cut, R, Held[T]]


def _member(
    member: Member,
    form: Format,
    origin: Origin,
    judge: Callable[[Piece], tuple[R, T]],
    engine: Engine,
    limits: Limits,
) -> Iterator[_Done[R, T]]:
    report = origin.report or form.report(member.name) or form.report(origin.name)
    if form.cut == "arrow":
        made = arrow.pieces(member.stream, form, report, origin, limits)
        yield from _judged(made, judge, engine)
        return
    lines = Lines(member.stream, limits)
    if not lines.peek(1):
        return
    if form.cut == "json":
        fitted = fit(form, report, form.every_role())
        extractor = Extractor(form, tuple(fitted.roles), limits)
        make = partial(harmonise, fit=fitted, origin=origin)
        if is_document(lines):
            rows = extractor.document(lines)
            piece = _shifted(make(rows), 1)
            yield from _judged([(piece, rows.counted)], judge, engine)
            return
        yield from _pieces(lines, _Work(extractor.cut, make, judge), engine, 0, limits)
        return
    head = read_head(lines, form)
    fitted = fit(form, report, head.names)
    _check_fit(fitted, form, head.names)
    stamp = _stamp(form, head.comments)
    work = _Work(
        Cutter(form, head.names, limits).cut,
        partial(harmonise, fit=fitted, origin=origin, stamp=stamp),
        judge,
    )
    yield from _pieces(lines, work, engine, head.lines, limits)


def _judged(
    pieces: Iterable[tuple[Piece, int]],
    judge: Callable[[Piece], tuple[R, T]],
    engine: Engine,
) -> Iterator[_Done[R, T]]:
    """Have pieces judged that were cut here."""
    counts: deque[_Cut] = deque()

    def items() -> Iterator[Piece]:
        for piece, counted in pieces:
            rows = piece.frame.height
            counts.append(_Cut(0, counted, b"", rows, piece.rejects, piece.skipped))
            yield piece

    for told, body in engine.map(judge, items(), engine.ahead):
        yield counts.popleft(), told, body


def _check_fit(fitted: Fit, form: Format, names: tuple[str, ...]) -> None:
    """Refuse a file in which nothing is told of any machine."""
    if any(role.to not in _TELLING for role in fitted.roles.values()):
        return
    wanted = [n for n, role in form.every_role().items() if role.to not in _TELLING]
    raise BadInput(
        f"it has none of the columns of format {form.name}",
        mend=f"It has {_some(names)}; expected {_some(wanted)}. "
        "`serantau lane guess` proposes a format.",
    )


def _some(names: Sequence[str]) -> str:
    """Name some columns, as far as they can be read."""
    told = [repr(one[:40])[1:-1] for one in names[:12] if one]
    return f"{', '.join(told)}{', ...' if len(names) > 12 else ''}" if told else "none"


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
class _Work(Generic[R, T]):
    """What is done with a block: cut it, make a piece of its rows, and judge it."""

    cut: Callable[..., Rows]
    make: Callable[[Rows], Piece]
    judge: Callable[[Piece], tuple[R, T]]

    def do(self, block: Block) -> tuple[tuple[_Cut, R], T]:
        return self.judged(self.cut(block.data, last=block.last))

    def judged(self, rows: Rows) -> tuple[tuple[_Cut, R], T]:
        piece = self.make(rows)
        cut = _Cut(
            rows.lines,
            rows.counted,
            rows.left,
            piece.frame.height,
            piece.rejects,
            piece.skipped,
        )
        told, body = self.judge(replace(piece, lines=partial(lines_of, rows)))
        return (cut, told), body


@dataclass(slots=True)
class _Count:
    """How far the file was read: its next line, and what a block left over."""

    line: int
    left: bytes = b""


def _pieces(
    lines: Lines, work: _Work[R, T], engine: Engine, taken: int, limits: Limits
) -> Iterator[_Done[R, T]]:
    """Work on blocks ahead of the caller, and give what came of them in order.

    A block is begun in the belief that the one before it ended with a whole row. Where
    that was not so, what was left over goes before it and it is done again.
    """
    count = _Count(taken + 1)
    waiting: deque[Block] = deque()

    def items() -> Iterator[Block]:
        for block in lines.blocks():
            waiting.append(block)
            yield block

    for (cut, told), body in engine.map(work.do, items(), engine.ahead):
        block = waiting.popleft()
        if block.long:
            # What was left before it cannot go on in a line that is not kept.
            if count.left:
                yield _again(work, Block(count.left, last=True), count)
            yield _here(work.judged(_too_long(block, work, limits)), count)
        elif count.left:
            joined = Block(count.left + block.data, block.last)
            yield _again(work, joined, count)
        else:
            yield _counted(cut, told, body, count)


def _again(work: _Work[R, T], block: Block, count: _Count) -> _Done[R, T]:
    return _here(work.do(block), count)


def _here(done: tuple[tuple[_Cut, R], T], count: _Count) -> _Done[R, T]:
    (cut, told), body = done
    return _counted(cut, told, Here(body), count)


def _counted(cut: _Cut, told: R, body: Held[T], count: _Count) -> _Done[R, T]:
    rejects = cut.rejects
    if rejects.height:
        rejects = rejects.with_columns(pl.col("line") + count.line)
    line = count.line
    count.line += cut.lines
    count.left = cut.left
    return replace(cut, rejects=rejects, line=line), told, body


def _shifted(piece: Piece, line: int) -> Piece:
    if not piece.rejects.height:
        return piece
    rejects = piece.rejects.with_columns(pl.col("line") + line)
    return Piece(piece.frame, rejects, piece.skipped)


def _too_long(block: Block, work: _Work[R, T], limits: Limits) -> Rows:
    """Reject a line that is too long to be looked at."""
    reason = f"a line of more than {limits.line_bytes} bytes"
    none = work.cut(b"", last=True)
    fault = Fault(0, 0, reason, block.long)
    return Rows(none.frame, none.numbers, 1, 1, none.locate, none.rest, (fault,))
