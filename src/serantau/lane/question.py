"""Questions to the archive: which rows, how many, of what most, when.

A file whose span cannot hold what is asked for is not opened; of the others the asked
columns are read first and the rest only where they fit. Each answer is worked out a
few files at a time, so memory is bounded and the one who waits can be told.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

import polars as pl

from serantau.clock import moment
from serantau.errors import BadRequest, StoreError
from serantau.lane.archive import MEASURED, Archive
from serantau.lane.condition import (
    SIDES,
    Condition,
    all_of,
    equals,
    in_ranges,
    within_time,
)
from serantau.lane.delta import Table, told
from serantau.lane.engine import THREADS, Engine
from serantau.lane.frame import EVENTS
from serantau.rules.event import SEVERITIES
from serantau.rules.text import normalise, refang

T = TypeVar("T")
A = TypeVar("A")
Progress = Callable[[int, int], None]
"""Is told how many rows were passed, and of how many."""

EVERY: Final[dict[str, str]] = {"hour": "1h", "day": "1d", "week": "1w"}

SEARCHED: Final = (
    "source_address",
    "source_domain",
    "source_url",
    "source_name",
    "destination_address",
    "destination_domain",
    "destination_url",
    "identifier",
    "malware",
    "hash",
    "extra",
)
"""The columns that a text is looked for in."""

_DOMAINS: Final = (
    "source_domain",
    "source_name",
    "destination_domain",
    "destination_name",
)
# Rows of the files that one step of an answer reads.
_STEP: Final = 8_000_000
# Different values that one pass counts. Columns that may have more are counted in
# several passes, each for a part of the values.
_PASS: Final = 20_000_000
_FEW_VALUES: Final = frozenset(
    {
        *("feed", "report", "source_port", "source_asn", "source_country", "protocol"),
        *("destination_port", "destination_asn", "destination_country", "class"),
        *("type", "category", "identifier", "malware", "severity", "confidence"),
        *("tlp", "member", "party", "asset", "reason", "lookup", "marks"),
    }
)
# Points in time that one answer has.
_MOST_POINTS: Final = 100_000
# How rows are ordered, the newest first; the last two upwards.
_ORDER: Final = ["time", "batch", "number"]
_UPWARDS: Final = [False, True, True]
_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Question:
    """Which events are meant. Every part narrows; nothing said means all.

    since, until: instants of `time`; `until` is not included. addresses: addresses,
    prefixes or `first-last`, one of which it is. either_end: the destination's address
    counts too. domain: a name, or one below it, at either end. where: column -> values,
    one of which it has; None among them means null. severity: at least this. text: in
    one of SEARCHED, in any case. marks: names, one of which it bears; None: no mark.
    """

    since: int | None = None
    until: int | None = None
    addresses: tuple[str, ...] = ()
    either_end: bool = False
    domain: str = ""
    where: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    severity: int | None = None
    text: str = ""
    marks: tuple[str | None, ...] = ()

    def condition(self) -> Condition:
        """Give what it asks of rows and of files.

        Raises:
            BadRequest: there is no such column, or a value is none of its kind.
        """
        parts = [within_time("time", self.since, self.until)]
        if self.addresses:
            sides = SIDES if self.either_end else SIDES[:1]
            parts.append(in_ranges(self.addresses, sides))
        for name, values in self.where.items():
            known = [_value(column(name), value) for value in values]
            parts.append(equals(name, known, measured=name in MEASURED))
        if self.severity is not None:
            parts.append(
                Condition(
                    pl.col("severity").ge(self.severity),
                    pl.col("max.severity").ge(self.severity).fill_null(value=True),
                )
            )
        everywhere = pl.lit(value=True)
        if self.domain:
            parts.append(Condition(_below(self.domain), everywhere))
        if self.text:
            parts.append(Condition(_holds(self.text), everywhere))
        if self.marks:
            parts.append(Condition(_bears(self.marks), everywhere))
        return all_of(parts)


@dataclass(frozen=True, slots=True)
class Cursor:
    """A row's place in the order that `Asking.rows` gives rows in."""

    time: int
    batch: str
    number: int

    def condition(self) -> Condition:
        """Ask for the rows that come after it."""
        at = pl.lit(self.time, dtype=pl.Int64).cast(EVENTS["time"])
        batch, number = pl.col("batch"), pl.col("number")
        later = batch.gt(self.batch) | (batch.eq(self.batch) & number.gt(self.number))
        return Condition(
            pl.col("time").lt(at) | (pl.col("time").eq(at) & later),
            pl.col("min.time").le(at).fill_null(value=True),
        )


@dataclass(frozen=True, slots=True)
class Estimate:
    """What answering will read at most: files, the rows and the bytes in them."""

    files: int
    rows: int
    bytes: int


class Asking:
    """One question, put to an archive as it is at that moment."""

    def __init__(
        self,
        archive: Archive,
        question: Question,
        progress: Progress | None = None,
        engine: Engine = THREADS,
        *,
        after: Cursor | None = None,
        enough: Callable[[], bool] = lambda: False,
    ) -> None:
        """Look up which files may hold what is asked for.

        Args:
            archive: what to ask.
            question: what is meant.
            progress: told after each step.
            engine: where the files are read.
            after: only of rows that come after this one.
            enough: asked after each step; when it says so the answer is of what was
                read until then, and `cut` says so.

        Raises:
            BadRequest: the question asks for what there is not.
            StoreError: the archive cannot be read.
        """
        self._table = archive.events
        self._condition = question.condition()
        if after is not None:
            self._condition &= after.condition()
        self._question = question
        self._after = after
        self._left_out: list[str] = []
        self._progress = progress
        self._enough = enough
        self.cut = False
        self._engine = engine
        # One machine reads many files at a time by itself.
        self._step = _STEP if engine.here else _STEP // 8
        self._files = self._look()

    def _look(self) -> pl.DataFrame:
        files = self._table.listed().filter(self._condition.file)
        return files.filter(~pl.col("path").is_in(self._left_out))

    def whole(self) -> list[str]:
        """List the files of which every row is meant: none but by their time."""
        asked = self._question
        if self._after or asked != Question(
            asked.since, asked.until, either_end=asked.either_end
        ):
            return []
        inside = pl.lit(value=True)
        if asked.since is not None:
            inside &= pl.col("min.time").dt.epoch("us") >= asked.since
        if asked.until is not None:
            inside &= pl.col("max.time").dt.epoch("us") < asked.until
        return self._files.filter(inside)["path"].to_list()

    def leave_out(self, paths: Iterable[str]) -> None:
        """Do not read some files: what they would add is known."""
        self._left_out = list(paths)
        self._files = self._look()

    def estimate(self) -> Estimate:
        """Say how much there is to read, before it is read."""
        return Estimate(
            self._files.height,
            int(self._files["num_records"].sum()),
            int(self._files["size_bytes"].sum()),
        )

    def count(self) -> int:
        """Count the events.

        Raises:
            StoreError: the archive cannot be read.
        """

        def once() -> int:
            return sum(int(found.item()) for found in self._each(self._files, _count))

        return self._again(once)

    def empty(self, columns: Sequence[str] = ()) -> pl.DataFrame:
        """Give what `chunks` gives, without any event.

        Raises:
            BadRequest: there is no such column.
        """
        return EVENTS.to_frame().select([column(name) for name in columns] or pl.all())

    def chunks(self, columns: Sequence[str] = ()) -> Iterator[pl.DataFrame]:
        """Give all the events, some at a time: day by day, by address.

        Args:
            columns: which; else all of EVENTS.

        Yields:
            Frames of at most one file's rows each, none of them empty.

        Raises:
            BadRequest: there is no such column.
            StoreError: the archive cannot be read, or an erasure took away what was
                still to be read.
        """
        chosen = [column(name) for name in columns] or list(EVENTS)
        frames = self._each(self._files, lambda scan: scan.select(chosen).collect(), 1)
        with told(self._table.root), closing(frames):
            for frame in frames:
                if frame.height:
                    yield frame

    def rows(self, limit: int = 1000, columns: Sequence[str] = ()) -> pl.DataFrame:
        """Give the newest events.

        Args:
            limit: at most so many.
            columns: which; else all of EVENTS.

        Returns:
            Columns as asked; ordered by time, newest first.

        Raises:
            BadRequest: there is no such column.
            StoreError: the archive cannot be read.
        """
        chosen = [column(name) for name in columns] or list(EVENTS)
        needed = list(dict.fromkeys([*chosen, "time", "batch", "number"]))

        def once() -> pl.DataFrame:
            found = pl.DataFrame(schema={name: EVENTS[name] for name in needed})
            files = self._newest_files()
            ahead = files["max.time"].to_list()
            newest = partial(_newest, columns=needed, limit=limit)
            with closing(self._each(files, newest, _STEP // 8)) as frames:
                for frame in frames:
                    found = _first(pl.concat([found, frame]), limit)
                    if found.height >= limit and self._passed < len(ahead):
                        rest = ahead[self._passed]
                        if rest is not None and rest < found["time"][-1]:
                            self._tell(1, 1)
                            break
            return found.select(chosen)

        return self._again(once)

    def top(self, by: str, limit: int = 10) -> pl.DataFrame:
        """Count events by the values of a column, the most frequent first.

        Args:
            by: the column.
            limit: at most so many values.

        Returns:
            `by` (its own type, null is a value too) and `events` (Int64), ordered by
            `events`, most first, then by value.

        Raises:
            BadRequest: there is no such column.
            StoreError: the archive cannot be read.
        """
        name = column(by)
        passes = 1
        if name not in _FEW_VALUES:
            passes += int(self._files["num_records"].sum()) // _PASS

        def once() -> pl.DataFrame:
            best: list[pl.DataFrame] = []
            for part in range(passes):
                counts: pl.DataFrame | None = None
                values = partial(_values, name=name, part=part, passes=passes)
                for one in self._each(self._files, values):
                    counts = _summed(counts, one, name)
                if counts is not None:
                    best.append(_most(counts, name, limit))
            if not best:
                return pl.DataFrame(schema={name: EVENTS[name], "events": pl.Int64})
            return _most(pl.concat(best), name, limit).rename({"n": "events"})

        return self._again(once)

    def over(self, every: str = "day", by: str = "") -> pl.DataFrame:
        """Count events over time.

        Args:
            every: `hour`, `day` or `week` (from Monday), in UTC.
            by: a column of few values, to count each by itself; empty counts all.

        Returns:
            `time` (INSTANT, the start of each), the column `by` if any, and `events`
            (Int64); ordered by time. Without `by`, times without an event are there
            with 0.

        Raises:
            BadRequest: there is no such column or step.
            StoreError: the archive cannot be read.
        """
        if every not in EVERY:
            raise BadRequest(f"{every!r} is none of {', '.join(EVERY)}.")
        keys = ["time", *([column(by)] if by else [])]

        def once() -> pl.DataFrame:
            counts: pl.DataFrame | None = None
            times = partial(_times, keys=keys, every=EVERY[every])
            for one in self._each(self._files, times):
                counts = _summed(counts, one, *keys)
            if counts is None:
                counts = pl.DataFrame(
                    schema={**{name: EVENTS[name] for name in keys}, "n": pl.Int64}
                )
            counts = counts.rename({"n": "events"}).sort(keys)
            return counts if by else self._filled(counts, every)

        return self._again(once)

    def fold(
        self, ask: Callable[[pl.LazyFrame], A], into: Callable[[Iterator[A]], T]
    ) -> T:
        """Ask what fits of a few files at a time, the newest first, and join that.

        Raises:
            StoreError: the archive cannot be read.
        """

        def once() -> T:
            with closing(self._each(self._newest_files(), ask, _STEP // 8)) as found:
                return into(found)

        return self._again(once)

    def _newest_files(self) -> pl.DataFrame:
        return self._files.sort("max.time", descending=True, nulls_last=False)

    def _filled(self, counts: pl.DataFrame, every: str) -> pl.DataFrame:
        """Put in the times at which there was nothing."""
        asked = self._question
        ends = [None if at is None else moment(at) for at in (asked.since, asked.until)]
        first = ends[0] or counts["time"].min()
        last = ends[1] or counts["time"].max()
        if first is None or last is None:
            return counts
        times = pl.select(
            pl.datetime_range(
                pl.lit(first, dtype=EVENTS["time"]).dt.truncate(EVERY[every]),
                pl.lit(last, dtype=EVENTS["time"]),
                EVERY[every],
                closed="left" if ends[1] is not None else "both",
            ).alias("time")
        )
        if times.height > _MOST_POINTS:
            return counts
        return times.join(counts, on="time", how="left").with_columns(
            pl.col("events").fill_null(0)
        )

    def _again(self, once: Callable[[], T]) -> T:
        """Work an answer out; anew, when a file was cleared away under it."""
        for _ in range(_TRIES):
            try:
                with told(self._table.root):
                    return once()
            except StoreError:
                before = self._files
                self._files = self._look()
                if self._files.equals(before):
                    raise
        with told(self._table.root):
            return once()

    def _each(
        self,
        files: pl.DataFrame,
        ask: Callable[[pl.LazyFrame], A],
        rows: int = 0,
    ) -> Generator[A]:
        """Ask what fits of a few files at a time; the answers come in files' order."""
        self.cut = False
        total = int(files["num_records"].sum())
        read = files["num_records"].to_list()
        self._passed = 0
        steps = self._steps(files, rows or self._step)
        by = partial(_answer, ask=ask)
        engine = self._engine
        for (answer, count), _ in engine.map(by, steps, _ahead(engine)):
            self._passed += count
            yield answer
            self._tell(sum(read[: self._passed]), total)
            if self._passed < len(read) and self._enough():
                self.cut = True
                break

    def _steps(self, files: pl.DataFrame, rows: int) -> Iterator[_Step]:
        waiting: list[str] = []
        held = 0
        for path, count in files.select("path", "num_records").iter_rows():
            waiting.append(path)
            held += count
            if held >= rows:
                yield self._of(waiting)
                held, waiting = 0, []
        if waiting:
            yield self._of(waiting)

    def _of(self, paths: list[str]) -> _Step:
        table = self._table
        there = self._engine.here or table.everywhere
        bodies = () if there else tuple(map(table.read, paths))
        return _Step(table, tuple(paths), bodies, self._condition.row)

    def _tell(self, passed: int, total: int) -> None:
        if self._progress is not None:
            self._progress(passed, total)


@dataclass(frozen=True, slots=True)
class _Step:
    """Some files, wherever they are read. bodies: theirs, where paths are of no use."""

    table: Table
    paths: tuple[str, ...]
    bodies: tuple[bytes, ...]
    fits: pl.Expr

    def scan(self) -> pl.LazyFrame:
        """Give the rows that fit."""
        return self.table.scan(self.paths, self.bodies).filter(self.fits)


def _ahead(engine: Engine) -> int:
    return 0 if engine.here else engine.ahead


def _answer(
    step: _Step, ask: Callable[[pl.LazyFrame], A]
) -> tuple[tuple[A, int], None]:
    return (ask(step.scan()), len(step.paths)), None


def _count(scan: pl.LazyFrame) -> pl.DataFrame:
    return scan.select(pl.len()).collect(engine="streaming")


def _newest(scan: pl.LazyFrame, columns: list[str], limit: int) -> pl.DataFrame:
    # The places alone tell which rows are wanted: the rest is wide.
    places = scan.select(_ORDER).top_k(limit, by=_ORDER, reverse=_UPWARDS).collect()
    least = pl.lit(places["time"].min(), places.schema["time"])
    newest = scan.filter(pl.col("time").ge(least)).select(columns)
    # A list has one time in all its rows, and may have millions of them.
    wanted = newest.join(places.lazy(), on=_ORDER, how="semi", nulls_equal=True)
    return _first(wanted.collect(engine="streaming"), limit)


def _first(found: pl.DataFrame, limit: int) -> pl.DataFrame:
    return found.sort(_ORDER, descending=[True, False, False]).head(limit)


def _values(scan: pl.LazyFrame, name: str, part: int, passes: int) -> pl.DataFrame:
    ours = (pl.col(name).hash() % passes).eq(part)
    rows = scan.filter(ours) if passes > 1 else scan
    counted = rows.group_by(name).agg(pl.len().cast(pl.Int64).alias("n"))
    return counted.collect(engine="streaming")


def _times(scan: pl.LazyFrame, keys: list[str], every: str) -> pl.DataFrame:
    rows = scan.select(keys).with_columns(pl.col("time").dt.truncate(every))
    counted = rows.group_by(keys).agg(pl.len().cast(pl.Int64).alias("n"))
    return counted.collect(engine="streaming")


def column(name: str) -> str:
    """Give a column's name, when there is one.

    Raises:
        BadRequest: there is none by that name.
    """
    if name not in EVENTS:
        raise BadRequest(
            f"There is no column {name!r}.", mend=f"There are: {', '.join(EVENTS)}."
        )
    return name


def _value(name: str, value: Any) -> Any:
    """Give a value as its column holds it; texts are read as numbers where need be."""
    if value is None:
        return None
    if EVENTS[name] == pl.String:
        return str(value)
    if name == "severity" and value in SEVERITIES:
        return SEVERITIES.index(value)
    try:
        if not EVENTS[name].is_integer():
            return moment(int(value))
        return int(value)
    except (ValueError, TypeError, OverflowError) as fault:
        raise BadRequest(f"{value!r} is no value of the column {name}.") from fault


def _below(domain: str) -> pl.Expr:
    text = refang(domain.strip(". "))
    host = text.partition("://")[2].partition("/")[0] if "://" in text else text
    name = normalise("domain-name", host)
    return pl.any_horizontal(
        pl.col(one).eq(name) | pl.col(one).str.ends_with(f".{name}") for one in _DOMAINS
    )


def _holds(text: str) -> pl.Expr:
    return pl.any_horizontal(
        pl.col(one).str.contains_any([text], ascii_case_insensitive=True)
        for one in SEARCHED
    )


def _bears(marks: Sequence[str | None]) -> pl.Expr:
    held = pl.col("marks")
    return pl.any_horizontal(
        held.is_null() if mark is None else held.str.split(",").list.contains(mark)
        for mark in marks
    )


def _summed(held: pl.DataFrame | None, more: pl.DataFrame, *keys: str) -> pl.DataFrame:
    if held is None:
        return more
    return pl.concat([held, more]).group_by(keys).agg(pl.col("n").sum())


def _most(counts: pl.DataFrame, name: str, limit: int) -> pl.DataFrame:
    return counts.sort("n", name, descending=[True, False]).head(limit)
