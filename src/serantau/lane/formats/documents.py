"""JSON is cut into rows: JSON lines, a list, or one document that has rows somewhere.

Names are paths: `alert.signature`, `labels.0`. A key that has the dots itself, as in
IntelMQ's `source.ip`, is found first. What no role took is kept as the JSON it was.
Each record is Python's work, about 5 µs: JSON has no columns to begin with. JSON lines
are read block by block; a document has to fit within a limit, and is held whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
import polars as pl

from serantau.errors import BadInput, TooLarge
from serantau.lane.formats.blocks import HEAD, Lines
from serantau.lane.formats.form import Format
from serantau.lane.formats.harmonise import members_of
from serantau.lane.formats.rows import RAW, Fault, Limits, Rows, text_frame
from serantau.lane.formats.shapes import SHAPES, Record
from serantau.lane.formats.table import mend

_NOTHING: Final[tuple[Any, ...]] = (None, "", [], {})


def is_document(lines: Lines) -> bool:
    """Say whether a stream is one JSON document, and not one in each line."""
    head = lines.peek(HEAD).lstrip()
    if head.startswith(b"["):
        return True
    first, newline, behind = head.partition(b"\n")
    if not newline or not behind.strip():
        # One line only: a document with its rows inside, or a record; the same to read.
        return len(head) < HEAD
    try:
        orjson.loads(first)
    except orjson.JSONDecodeError:
        # A line that is no JSON among lines that are is a fault of that line.
        return not behind.lstrip().startswith((b"{", b"["))
    return False


@dataclass(frozen=True, slots=True)
class Extractor:
    """Takes values out of records. names: the paths that have a role."""

    form: Format
    names: tuple[str, ...]
    limits: Limits

    def cut(self, data: bytes, *, last: bool) -> Rows:
        """Cut JSON lines into rows; a blank line is none."""
        del last  # A line is a whole record: nothing is ever left over.
        data = mend(data, self.form.encoding) or data
        lines = data.split(b"\n")
        if lines and not lines[-1]:
            lines.pop()
        return self._rows(enumerate(lines), len(lines))

    def document(self, lines: Lines) -> Rows:
        """Cut one document into rows; `line` of a fault is then the record's place.

        Raises:
            BadInput: it is no JSON.
            TooLarge: it is longer than the limit.
        """
        most = self.limits.document_bytes
        data = lines.everything(most)
        if data is None:
            raise TooLarge(
                f"a JSON document of more than {most} bytes",
                mend="Hand it in as JSON lines, one record a line.",
            )
        data = mend(data, self.form.encoding) or data
        if not data.strip():
            return self._rows([], 0)
        try:
            document = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise BadInput(f"no JSON: {error}") from error
        # As lines, so that a record's text is there after its values were taken.
        found = [orjson.dumps(one) for one in find_rows(document, self.form.rows)]
        del document
        return self._rows(enumerate(found), len(found))

    def _rows(self, records: Iterable[tuple[int, bytes]], lines: int) -> Rows:
        columns: dict[str, list[str | None]] = {name: [] for name in self.names}
        rests: list[str | None] = []
        numbers: list[int] = []
        places: list[int] = []
        raws: list[bytes] = []
        faults: list[Fault] = []
        number = skipped = 0
        for line, raw in records:
            record, fault = _record(raw)
            if fault:
                faults.append(Fault(line, number, fault, _raw(raw)))
                number += 1
                continue
            if record is None:
                continue
            if not self._wanted(record):
                skipped += 1
                continue
            for values, rest in SHAPES[self.form.shape](record):
                for name, column in columns.items():
                    column.append(_take(name, values, rest))
                rests.append(members_of(rest))
                numbers.append(number)
                places.append(line)
                raws.append(raw)
                number += 1
        return Rows(
            text_frame(columns) if columns else pl.DataFrame(height=len(numbers)),
            pl.Series(numbers, dtype=pl.Int64),
            number,
            lines,
            lambda wanted: [(places[at], _raw(raws[at])) for at in wanted],
            rest=pl.Series(rests, dtype=pl.String),
            faults=tuple(faults),
            skipped=skipped,
        )

    def _wanted(self, record: Record) -> bool:
        if self.form.only is None:
            return True
        name, values = self.form.only
        return (text_of(_look(record, name)) or "") in values


def find_rows(document: Any, path: str) -> Iterator[Any]:
    """Give the records of a document: those at the path, its list, or itself."""
    found = [document]
    for key in path.split(".") if path else ():
        inner: list[Any] = []
        for one in found:
            if isinstance(one, dict) and key == "*":
                inner += one.values()
            elif isinstance(one, dict) and key in one:
                inner.append(one[key])
        # A document that is not wrapped, as some of a feed's are, is its own rows.
        found = inner or found
    for one in found:
        if isinstance(one, list):
            yield from one
        else:
            yield one


def _record(raw: bytes) -> tuple[Record | None, str]:
    """Give a record, or why it is none; neither for a blank line."""
    if not raw.strip():
        return None, ""
    try:
        record = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        return None, f"no JSON: {error}"
    if not isinstance(record, dict):
        return None, "a JSON value that is no object"
    return record, ""


def _raw(raw: bytes) -> str:
    return raw[: RAW * 4].decode("utf-8", "replace").rstrip("\r")


def _look(record: Mapping[str, Any], name: str) -> Any:
    """Look a path up without taking it."""
    if name in record:
        return record[name]
    inner: Any = record
    for key in name.split("."):
        if isinstance(inner, dict):
            inner = inner.get(key)
        elif isinstance(inner, list) and key.isdigit() and int(key) < len(inner):
            inner = inner[int(key)]
        else:
            return None
    return inner


def text_of(value: Any) -> str | None:
    """Give a scalar as text; a list of one is its one; anything else is none."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, dict):
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return text_of(value[0]) if len(value) == 1 else None
    return str(value)


def _take(name: str, values: Record, rest: Record) -> str | None:
    """Take a value by its path out of what is left of a record."""
    if name in values:
        return text_of(values[name])
    if name in rest:
        text = text_of(rest[name])
        if text is not None or rest[name] in _NOTHING:
            del rest[name]
        return text
    key, dot, path = name.partition(".")
    inner = rest.get(key) if dot else None
    if isinstance(inner, dict):
        text = _take(path, {}, inner)
    elif isinstance(inner, list):
        # Of a list only what has one element is taken out; others stay whole.
        if len(inner) == 1 and path.partition(".")[0] == "0":
            shell = {"0": inner[0]}
            text = _take(path, {}, shell)
            if not shell:
                inner = []
        else:
            text = text_of(_look(rest, name))
    else:
        return None
    if inner in _NOTHING:
        rest.pop(key, None)
    return text
