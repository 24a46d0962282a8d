"""Rows as they are cut from a file, and pieces of events as they are handed on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

RAW: Final = 65_536
"""How many characters of a row that could not be read are shown with it."""
VALUE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What a file may be.

    file_bytes: unpacked, all members of an archive together. ratio: how much larger
    than packed, once that is more than 64 MB. line_bytes: a line up to this length is
    always read. document_bytes: a JSON document that is not in lines. members: of one
    archive. block_bytes, block_rows: about how much is worked on at once.
    """

    file_bytes: int = 20_000_000_000
    ratio: int = 400
    line_bytes: int = 4_000_000
    document_bytes: int = 256_000_000
    members: int = 1_000
    block_bytes: int = 32_000_000
    block_rows: int = 131_072


@dataclass(frozen=True, slots=True)
class Fault:
    """A row that could not be read. line: from 0 in its block. number: as in `Rows`."""

    line: int
    number: int
    reason: str
    raw: str
    column: str = ""
    value: str = ""


Lines = Callable[[pl.Series], pl.Series]
"""Gives the lines of rows, ascending, by their numbers."""

Locate = Callable[[Sequence[int]], list[tuple[int, str]]]


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one block.

    frame: a text column for each column of the file, by its name there; null where
    there is no value. numbers: each row's place among the block's rows, from 0.
    counted: how many places there are, those of faults included. lines: of the block.
    locate: tells (line, text) of rows by their positions in the frame. rest: what a
    record has beside the frame's columns, as members of a JSON object without braces.
    faults: what could not be cut. left: the block's end that is not a whole row yet.
    skipped: rows that the format does not take for reports. plain: no value has a
    letter that JSON escapes.
    """

    frame: pl.DataFrame
    numbers: pl.Series
    counted: int
    lines: int
    locate: Locate
    rest: pl.Series | None = None
    faults: tuple[Fault, ...] = ()
    left: bytes = b""
    skipped: int = 0
    plain: bool = False


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a file, read.

    frame: event columns (serantau.lane.frame.EVENTS) that the format knows, in their
    order; time, received, batch, number, feed, class and type are never null; rows in
    the file's order, `number` rising. Addresses are texts as they were written.
    rejects: rows that could not be read (REJECTS). skipped: rows that are no reports.
    lines: tells the lines of rows of the frame; None: they are what their numbers are.
    It stays where the piece was cut. file: within an archive of files.
    """

    frame: pl.DataFrame
    rejects: pl.DataFrame
    skipped: int = 0
    lines: Lines | None = None
    file: str | None = None

    def placed(self, rejects: pl.DataFrame) -> pl.DataFrame:
        """Say where rows of the frame stand that were rejected by their `number`.

        Args:
            rejects: REJECTS, with the numbers as `line`, ascending.
        """
        if not rejects.height:
            return rejects
        lines = rejects["line"]
        if self.lines is not None:
            lines = self.lines(lines)
        return rejects.with_columns(lines.alias("line"), file=pl.lit(self.file))


def lines_of(rows: Rows, numbers: pl.Series) -> pl.Series:
    """Give the lines of some rows of a block, by their numbers, ascending."""
    places = rows.numbers.search_sorted(numbers).to_list()
    return pl.Series([line for line, _ in rows.locate(places)], dtype=pl.Int64)


def text_frame(columns: dict[str, list[str | None]]) -> pl.DataFrame:
    """Make a frame of text columns."""
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))
