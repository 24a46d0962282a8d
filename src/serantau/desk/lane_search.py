"""Searching events as a person does: one box, facets, a period, and never for long.

What a page asks has bounds: when the time is over it is told what was found until then,
and that it is not all. This holds frames, and is imported when it is asked for.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import orjson
import polars as pl

from serantau.desk.lane_ask import archive_of, named, plain, write_csv, write_parquet
from serantau.errors import BadRequest, TooLarge
from serantau.lane.condition import read_range
from serantau.lane.frame import EVENTS
from serantau.lane.question import EVERY, Asking, Cursor, Question
from serantau.lane.survey import survey
from serantau.lane.tally import Tallies
from serantau.node import Node
from serantau.rules.event import SEVERITIES
from serantau.rules.text import refang

FACETS: Final = (
    "class",
    "type",
    "severity",
    "party",
    "member",
    "feed",
    "source_country",
    "source_asn",
    "protocol",
    "source_port",
    "destination_port",
    "malware",
    "category",
    "marks",
)
"""Columns that events are counted and narrowed by."""

NONE: Final = "-"
"""How a question names what a row does not have."""

SHOWN: Final = (
    "feed",
    "source_address",
    "source_port",
    "source_domain",
    "source_country",
    "source_asn",
    "type",
    "category",
    "identifier",
    "malware",
    "severity",
    "member",
    "party",
)
SECONDS: Final = 10.0
MOST_ROWS: Final = 1_000_000
"""Rows of one download."""
WAYS: Final = ("csv", "parquet", "ndjson")

_DAY: Final = 86_400_000_000
_HOURS_UNTIL: Final = 4 * _DAY
_DAYS_UNTIL: Final = 150 * _DAY
_MOST_BARS: Final = 600
_NAME: Final = re.compile(
    r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{1,62}", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Search:
    """What somebody searches for.

    since, until: instants; `until` is not included. text: what stands in the box.
    where: facet -> values, NONE for rows without.
    """

    since: int
    until: int
    text: str = ""
    where: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def question(self) -> Question:
        """Give the question that it is.

        Raises:
            BadRequest: a value is none of its column.
        """
        kind, text = meant(self.text)
        where = {
            name: [None if one == NONE else one for one in values]
            for name, values in self.where.items()
            if name != "marks"
        }
        return Question(
            since=self.since,
            until=self.until,
            addresses=(text,) if kind == "address" else (),
            either_end=True,
            domain=text if kind == "domain" else "",
            where=where,
            text=text if kind == "text" else "",
            marks=tuple(
                None if one == NONE else one for one in self.where.get("marks", ())
            ),
        )


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows, the newest first.

    rows: `row` (its name), `at` (an instant) and SHOWN. older: where the rest begins,
    None when there is none. cut: the time was over; there are others, newer ones too.
    """

    rows: list[dict[str, Any]]
    older: Cursor | None
    cut: bool


@dataclass(frozen=True, slots=True)
class Bar:
    """Events from an instant until another."""

    since: int
    until: int
    events: int


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of what a search finds.

    every: hour, day or week. facets: column -> (value, NONE for none, events) each.
    cut: the time was over; `read` of `total` rows were looked at, the newest.
    """

    events: int
    every: str
    bars: list[Bar]
    facets: dict[str, list[tuple[str, int]]]
    cut: bool
    read: int
    total: int


def meant(text: str) -> tuple[str, str]:
    """Say what a text in the box is: an address, a domain or a text; and which.

    In quotes it is a text, whatever it looks like.
    """
    plain_text = text.strip()
    if len(plain_text) > 1 and plain_text[0] == plain_text[-1] == '"':
        return "text", plain_text[1:-1]
    try:
        read_range(plain_text)
    except BadRequest:
        name = refang(plain_text).strip(".")
        return ("domain", name) if _NAME.fullmatch(name) else ("text", plain_text)
    return "address", plain_text


def _until(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def find_rows(
    node: Node,
    search: Search,
    after: Cursor | None = None,
    *,
    limit: int = 100,
    seconds: float = SECONDS,
) -> Rows:
    """Give the newest rows that a search finds, or those that come after one.

    Raises:
        BadRequest: the search asks for what there is not.
        StoreError: the archive cannot be read.
    """
    asking = Asking(
        archive_of(node), search.question(), after=after, enough=_until(seconds)
    )
    found = asking.rows(limit, [*SHOWN, "time", "batch", "number"])
    at = found["time"].dt.epoch("us")
    rows = named(node, found).with_columns(at.alias("at")).to_dicts()
    older = None
    if len(rows) == limit and not asking.cut:
        last = rows[-1]
        older = Cursor(last["at"], last["batch"], last["number"])
    return Rows(rows, older, asking.cut)


def count(
    node: Node, search: Search, zone: ZoneInfo, *, seconds: float = SECONDS
) -> Counts:
    """Count what a search finds over time and by each facet. Arguments as `find_rows`.

    Args:
        node: whose archive it is.
        search: what is searched for.
        zone: whose hours and days bars are.
        seconds: after so many the rest is left out.
    """
    span = search.until - search.since
    every = "hour" if span <= _HOURS_UNTIL else "day" if span <= _DAYS_UNTIL else "week"
    read = [0]

    def passed(done: int, of: int) -> None:
        read[0] = total - of + done

    asking = Asking(archive_of(node), search.question(), passed, enough=_until(seconds))
    total = asking.estimate().rows
    kept = tallies_of(node)
    found = survey(asking, FACETS, every, zone.key, kept=kept)
    facets = {name: _values(name, frame) for name, frame in found.top.items()}
    return Counts(
        found.events,
        every,
        _bars(found.over, search, every, zone),
        facets,
        asking.cut,
        read[0] if asking.cut else total,
        total,
    )


def tallies_of(node: Node) -> Tallies:
    """Give what a node keeps of its archive, so that long periods are counted soon."""
    return Tallies(node.home / "counts", FACETS)


def _values(name: str, frame: pl.DataFrame) -> list[tuple[str, int]]:
    if name == "marks":
        frame = (
            frame.with_columns(pl.col(name).str.split(","))
            .explode(name)
            .group_by(name)
            .agg(pl.col("events").sum())
            .sort("events", name, descending=[True, False])
        )
    return [(_said(name, value), many) for value, many in frame.iter_rows()]


def _said(name: str, value: Any) -> str:
    if value is None:
        return NONE
    if name == "severity" and 0 <= value < len(SEVERITIES):
        return SEVERITIES[value]
    return str(value)


def _bars(over: pl.DataFrame, search: Search, every: str, zone: ZoneInfo) -> list[Bar]:
    """Give each step of the period, also those without an event."""
    held = dict(zip(over["time"].dt.epoch("us"), over["events"], strict=True))
    ends = [
        pl.lit(at, dtype=pl.Int64).cast(EVENTS["time"]).dt.convert_time_zone(zone.key)
        for at in (search.since, search.until)
    ]
    step = EVERY[every]
    starts = pl.select(
        pl.datetime_range(ends[0].dt.truncate(step), ends[1], step, closed="left")
    ).to_series()
    if starts.len() > _MOST_BARS:
        starts = over["time"]
    later = starts.dt.offset_by(step).dt.epoch("us")
    return [
        Bar(max(since, search.since), min(until, search.until), held.get(since, 0))
        for since, until in zip(starts.dt.epoch("us"), later, strict=True)
    ]


def export(node: Node, search: Search, way: str, path: Path) -> int:
    """Write all rows that a search finds into a file; gives how many.

    Args:
        node: whose archive it is.
        search: what is searched for.
        way: of WAYS.
        path: the file.

    Raises:
        BadRequest: the search asks for what there is not.
        StoreError: the archive cannot be read.
        TooLarge: there are more than MOST_ROWS.
    """
    asking = Asking(archive_of(node), search.question())
    frames = _bounded(asking)
    if way == "parquet":
        return write_parquet(frames, path)
    with path.open("wb") as stream:
        if way == "csv":
            return write_csv(frames, stream)
        rows = 0
        for frame in frames:
            for row in plain(frame):
                stream.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
            rows += frame.height
        return rows


def _bounded(asking: Asking) -> Iterator[pl.DataFrame]:
    rows = 0
    yield asking.empty()
    for frame in asking.chunks():
        rows += frame.height
        if rows > MOST_ROWS:
            raise TooLarge(
                f"There are more than {MOST_ROWS:,} rows.",
                mend="Narrow the search, or write the file by `serantau events --csv`.",
            )
        yield frame


def read_cursor(text: str) -> Cursor:
    """Read what `cursor_text` wrote.

    Raises:
        BadRequest: it is no such text.
    """
    found = re.fullmatch(r"(\d{1,17})\.([0-9a-f]{64})\.(\d{1,18})", text, re.ASCII)
    if found is None:
        raise BadRequest("This is no place in a list of events: begin at its start.")
    return Cursor(int(found[1]), found[2], int(found[3]))


def cursor_text(cursor: Cursor) -> str:
    """Write a cursor for an address."""
    return f"{cursor.time}.{cursor.batch}.{cursor.number}"
