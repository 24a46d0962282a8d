"""Separated columns (CSV, TSV and their kin) are cut into rows.

A block is read by Polars when it is well-formed, which is the usual case. Polars
refuses most of what is not; that a row is too short it does not tell, so separators are
counted. What it refuses is read record by record: a quote that is never closed costs
its own line and no other, and each row that does not fit is kept with line and text.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import polars as pl

from serantau.errors import BadInput
from serantau.lane.formats.blocks import Lines
from serantau.lane.formats.form import Format
from serantau.lane.formats.rows import Fault, Limits, Rows, text_frame
from serantau.lane.formats.values import clean

_COMMENTS: Final = 10_000
_COLUMNS: Final = 5_000
# Stands in no text file, so that nothing is ever cut at it: one line is one value.
_NOWHERE: Final = "\x1f"
# What JSON writes otherwise, beside quotes and what may end a line.
_ESCAPED: Final = bytes(set(range(32)) - set(b"\r\n")) + b"\\"
# Polars unpacks what begins like this, by itself and without a limit.
_PACKED: Final = (b"\x1f\x8b", b"(\xb5/\xfd", b"x\x01", b"x^", b"x\x9c", b"x\xda")


@dataclass(frozen=True, slots=True)
class Head:
    """What stands before the rows.

    names: of the columns, all different. lines: how many lines it takes. comments: its
    comment lines, without their mark.
    """

    names: tuple[str, ...]
    lines: int
    comments: tuple[str, ...]


def read_head(lines: Lines, form: Format) -> Head:
    """Take comments and header from a file's beginning.

    Raises:
        BadInput: the header cannot be read, or has too many columns.
    """
    taken = 0
    comments: list[str] = []
    while taken < _COMMENTS:
        start = lines.peek(256)
        if not start or (start.strip() and not _is_comment(start, form)):
            break
        text = _decode(lines.line(), form).strip()
        taken += 1
        if text:
            comments.append(text.removeprefix(form.comment).strip())
    names: Sequence[str] = form.header
    if form.cut == "table" and not names:
        if form.header_in_comment:
            told = (one for one in reversed(comments) if form.delimiter in one)
            names = _header(next(told, ""), form)
        else:
            text = _decode(lines.line(), form)
            if not text.endswith("\n") and lines.peek(1):
                raise BadInput(f"its first line has more than {len(text)} letters")
            taken += 1
            while text.count(form.quote or "\0") % 2 and lines.peek(1):
                text += _decode(lines.line(), form)
                taken += 1
            names = _header(text, form)
    return Head(unique(names), taken, tuple(comments))


def _header(text: str, form: Format) -> list[str]:
    try:
        names = next(_reader([text], form), [])
    except csv.Error as error:
        raise BadInput(f"the header cannot be read: {error}") from error
    if len(names) > _COLUMNS:
        raise BadInput(f"{len(names)} columns, limit {_COLUMNS}")
    return names


def unique(names: Sequence[str]) -> tuple[str, ...]:
    """Give names without outer blanks, none empty and none twice."""
    found: dict[str, None] = {}
    for at, name in enumerate(names, 1):
        plain = name.strip() or f"column_{at}"
        fresh, again = plain, 2
        while fresh in found:
            fresh, again = f"{plain}_{again}", again + 1
        found[fresh] = None
    return tuple(found)


def _is_comment(line: bytes, form: Format) -> bool:
    return bool(form.comment) and line.lstrip().startswith(form.comment.encode())


def _decode(line: bytes, form: Format) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode(form.encoding, "replace")


def _reader(lines: Sequence[str] | Iterator[str], form: Format) -> Iterator[list[str]]:
    if form.quote:
        return csv.reader(
            lines,
            strict=True,
            delimiter=form.delimiter,
            quotechar=form.quote,
            skipinitialspace=form.skip_space,
        )
    return csv.reader(
        lines,
        delimiter=form.delimiter,
        quoting=csv.QUOTE_NONE,
        skipinitialspace=form.skip_space,
    )


# --- Rows ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cutter:
    """Cuts the blocks of one file. names: of its columns."""

    form: Format
    names: tuple[str, ...]
    limits: Limits

    def cut(self, data: bytes, *, last: bool) -> Rows:
        """Cut a block into rows.

        Args:
            data: whole lines, and when `last` perhaps one without its end.
            last: nothing comes behind it. Otherwise what may be a row's beginning is
                left over.
        """
        read = None if self._is_odd(data) else self._by_polars(data)
        if read is None and (mended := mend(data, self.form.encoding)) is not None:
            data = mended
            read = None if self._is_odd(data) else self._by_polars(data)
        if read is None:
            return self._by_record(data, last=last)
        frame, unquoted = read
        ends = data.count(b"\n")
        lines = ends + (not data.endswith(b"\n") and bool(data))
        plain = unquoted and self._is_plain(data, ends, frame.height)
        places = pl.int_range(frame.height, eager=True)
        blank = self._blank(frame)
        if blank.any():
            frame, places = frame.filter(~blank), places.filter(~blank)
        return Rows(
            frame,
            pl.int_range(frame.height, eager=True),
            frame.height,
            lines,
            lambda wanted: self._locate(data, [places[at] for at in wanted]),
            plain=plain,
        )

    def _is_odd(self, data: bytes) -> bool:
        """Say whether there is something that Polars reads otherwise than is meant."""
        form = self.form
        if data.startswith(_PACKED):
            return True
        if b"\r" in data and data.count(b"\r") != data.count(b"\r\n"):
            return True
        mark = form.comment.encode()
        if mark and (data.lstrip().startswith(mark) or b"\n" + mark in data):
            return True
        return form.skip_space

    def _by_polars(self, data: bytes) -> tuple[pl.DataFrame, bool] | None:
        """Read a well-formed block, and say whether no value has a quote.

        Gives None when it is not well-formed.
        """
        bare = self.form.cut == "lines"
        places = [str(at) for at in range(len(self.names))]
        try:
            frame = pl.read_csv(
                data,
                has_header=False,
                schema=dict.fromkeys(places, pl.String),
                separator=_NOWHERE if bare else self.form.delimiter,
                quote_char=None if bare else self.form.quote or None,
                null_values=[""],
                raise_if_empty=False,
                glob=False,
            )
        except (pl.exceptions.ComputeError, pl.exceptions.SchemaError):
            return None
        unquoted = False
        if bare:
            frame = frame.select(clean(frame.to_series()))
        else:
            more = self._more(data, frame)
            if more is None or (more and not self._adds_up(data, frame, more)):
                return None
            unquoted = not more if self.form.quote == '"' else b'"' not in data
        if self.form.missing:
            none = pl.all().is_in(self.form.missing)
            frame = frame.with_columns(pl.when(~none).then(pl.all()))
        return frame.rename(dict(zip(places, self.names, strict=True))), unquoted

    @staticmethod
    def _is_plain(data: bytes, ends: int, height: int) -> bool:
        """Say whether no value can have a letter, beside quotes, that JSON escapes.

        Args:
            data: a block.
            ends: how many of its bytes end a line.
            height: how many rows it has.
        """
        return (
            ends == height - (not data.endswith(b"\n"))
            and (b"\r" not in data or data.count(b"\r") == ends)
            and len(data.translate(None, _ESCAPED)) == len(data)
        )

    def _more(self, data: bytes, frame: pl.DataFrame) -> int | None:
        """Tell how many bytes more a block would have by its values than it has.

        In a well-formed block each byte is of a value, a separator, a line's end or a
        quote. A row that is too short makes a difference, and so does each quote that
        is in a value: there it is counted twice. None when a quote is open at the end,
        which Polars does not always notice.
        """
        quotes = data.count(self.form.quote.encode()) if self.form.quote else 0
        if quotes % 2:
            return None
        height = frame.height
        ends = height - (not data.endswith(b"\n"))
        if data[: data.find(b"\n") + 1].endswith(b"\r\n"):
            ends *= 2
        values = frame.select(pl.sum_horizontal(pl.all().str.len_bytes().sum())).item()
        parted = height * (frame.width - 1)
        return (values or 0) + parted + ends + quotes - len(data)

    def _adds_up(self, data: bytes, frame: pl.DataFrame, more: int) -> bool:
        """Say whether a block whose bytes differ (`_more`) is well-formed all the same.

        Quotes within values are looked at by their rows.
        """
        quote = self.form.quote
        if quote:
            within = pl.all().str.count_matches(quote, literal=True)
            found = frame.select(pl.sum_horizontal(within)).to_series()
            quoted = (found > 0).arg_true().to_list()
            if quoted and not self._agree(data, frame, quoted):
                return False
            more -= int(found.sum())
        return not more or self._all_lack(frame, more, data)

    def _agree(self, data: bytes, frame: pl.DataFrame, rows: list[int]) -> bool:
        """Say whether rows with quotes in their values are read carefully as quickly.

        Polars takes a quote within a bare value for the beginning of a quoted one. Only
        where each line is a row is it known which line a row is.
        """
        lines = data.split(b"\n")
        if len(lines) - (not lines[-1]) != frame.height:
            return False
        texts = (lines[at].decode() for at in rows)
        width = frame.width
        try:
            for at, fields in zip(rows, _reader(texts, self.form), strict=True):
                padded = fields + [""] * (width - len(fields))
                if padded != [value or "" for value in frame.row(at)]:
                    return False
        except (csv.Error, ValueError):
            return False
        return True

    def _all_lack(self, frame: pl.DataFrame, lacking: int, data: bytes) -> bool:
        """Say whether all rows lack the same of the last columns, as they may."""
        each, uneven = divmod(lacking, max(frame.height, 1))
        if uneven or not 0 < each <= self.form.short or not data.endswith(b"\n"):
            return False
        return all(
            column.null_count() == frame.height
            for column in frame.get_columns()[-each:]
        )

    @staticmethod
    def _blank(frame: pl.DataFrame) -> pl.Series:
        first = frame.to_series(0)
        if not first.null_count():
            return pl.repeat(value=False, n=frame.height, dtype=pl.Boolean, eager=True)
        return frame.select(pl.all_horizontal(pl.all().is_null())).to_series()

    def _locate(self, data: bytes, wanted: Sequence[int]) -> list[tuple[int, str]]:
        """Tell line and text of rows that Polars read, by their places."""
        form = self.form
        lines = data.decode().split("\n")
        if form.cut == "lines" or not form.quote or form.quote not in data.decode():
            return [(at, lines[at].rstrip("\r")) for at in wanted]
        asked, found = set(wanted), {}
        reader = _reader((line + "\n" for line in lines), form)
        line = 0
        # What only Polars can read is shown without its text.
        with suppress(csv.Error):
            for at, _ in enumerate(reader):
                end = reader.line_num  # type: ignore[attr-defined]
                if at in asked:
                    found[at] = (line, "\n".join(lines[line:end]).rstrip("\r"))
                line = end
        return [found.get(at, (line, "")) for at in wanted]

    # --- Record by record ---

    def _by_record(self, data: bytes, *, last: bool) -> Rows:
        lines = _split(data)
        columns: list[list[str]] = []
        places: list[tuple[int, int]] = []
        numbers: list[int] = []
        faults: list[Fault] = []
        number = start = 0
        width = len(self.names)
        missing = {"", *self.form.missing}
        left = b""
        for begin, end, found, reason in self._records(lines):
            fields = found
            if reason == _OPEN and not last and self._may_go_on(lines, begin):
                left = "".join(lines[begin:]).encode()
                start = begin
                break
            start = end
            if fields is not None and self._is_blank(fields):
                continue
            # A last line without its end is cut off and not short.
            if fields is not None and lines[end - 1].endswith("\n"):
                fields = self._padded(fields)
            if fields is None or len(fields) != width:
                why = reason or (f"{len(fields or ())} columns, expected {width}")
                raw = "".join(lines[begin:end]).rstrip("\r\n")
                faults.append(Fault(begin, number, why, raw))
            else:
                columns.append(fields)
                places.append((begin, end))
                numbers.append(number)
            number += 1
        frame = text_frame(
            {
                name: [
                    None if (value := fields[at]) in missing else value
                    for fields in columns
                ]
                for at, name in enumerate(self.names)
            }
        )
        return Rows(
            frame,
            pl.Series(numbers, dtype=pl.Int64),
            number,
            start,
            lambda wanted: [
                (places[at][0], "".join(lines[slice(*places[at])]).rstrip("\r\n"))
                for at in wanted
            ],
            faults=tuple(faults),
            left=left,
        )

    def _is_blank(self, fields: list[str]) -> bool:
        if len(fields) == 1 < len(self.names):
            return not fields[0].strip()
        return not any(fields)

    def _padded(self, fields: list[str]) -> list[str]:
        """Give a row that lacks as many of the last columns as it may all of them."""
        lacking = len(self.names) - len(fields)
        return fields + [""] * lacking if lacking <= self.form.short else fields

    def _may_go_on(self, lines: list[str], begin: int) -> bool:
        size = 0
        for line in lines[begin:]:
            size += len(line)
            if size > self.limits.line_bytes:
                return False
        return True

    def _records(
        self, lines: list[str]
    ) -> Iterator[tuple[int, int, list[str] | None, str]]:
        """Give (first line, line behind, fields, fault) of each record.

        A record of several lines that has a fault is taken for one line only: the next
        line may begin a good one.
        """
        mark = self.form.comment
        if self.form.cut == "lines":
            for at, line in enumerate(lines):
                if not (mark and line.lstrip().startswith(mark)):
                    yield at, at + 1, [line.strip()], ""
            return
        begin, width = 0, len(self.names)
        while begin < len(lines):
            base = begin
            rest = (lines[at] for at in range(begin, len(lines)))
            reader = _reader(rest, self.form)
            try:
                for fields in reader:
                    end = base + reader.line_num  # type: ignore[attr-defined]
                    several = end - begin > 1
                    if mark and lines[begin].lstrip().startswith(mark):
                        yield begin, begin + 1, [], ""
                        end = begin + 1
                    elif several and len(fields) != width:
                        yield begin, begin + 1, None, _OPEN
                        end = begin + 1
                    else:
                        yield begin, end, fields, ""
                    begin = end
                    if several and end != base + reader.line_num:  # type: ignore[attr-defined]
                        break
            except csv.Error as error:
                yield begin, begin + 1, None, _reason(str(error))
                begin += 1


_OPEN: Final = "a quote is opened and never closed"


def _reason(said: str) -> str:
    """Say in our words what Python's reader found wrong."""
    if "unexpected end of data" in said or "field limit" in said:
        return _OPEN
    if "expected after" in said:
        return "a quote closes before its value ends"
    return f"no row of separated columns: {said}"


_LINES: Final = re.compile(r"[^\n]*\n|[^\n]+$")


def _split(data: bytes) -> list[str]:
    """Give the lines with their ends; only a line feed ends one."""
    return _LINES.findall(data.decode())


def mend(data: bytes, encoding: str) -> bytes | None:
    """Give bytes in UTF-8, whose lines that are not so are in another encoding.

    None when there is nothing to mend.
    """
    try:
        data.decode()
    except UnicodeDecodeError:
        return b"".join(_mended(line, encoding) for line in data.splitlines(True))
    return None


def _mended(line: bytes, encoding: str) -> bytes:
    try:
        line.decode()
    except UnicodeDecodeError:
        return line.decode(encoding, "replace").encode()
    return line
