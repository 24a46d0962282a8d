"""The archive: what every batch brought, by day, for years.

Two Delta tables: `events`, and `rejects` for the rows that could not be read. Files are
written first, by any worker on any machine; one commit makes a batch's files visible
and marks the batch, so it counts once, whatever is killed and whoever races.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Final

import msgspec
import polars as pl

from serantau.lane.condition import Condition, any_of, equals, within_range, within_time
from serantau.lane.delta import (
    DAY,
    LOOSE,
    TRIES,
    Added,
    Raced,
    Table,
    marks_of,
    told,
    too_busy,
    without,
)
from serantau.lane.erasure import Erased, Scope, erase
from serantau.lane.frame import EVENTS, REJECTS, conform
from serantau.lane.packed import Packed
from serantau.lane.upkeep import Folded, Keep, expire, fold

ORDER: Final = ("source_hi", "source_lo")
"""What each file is sorted by; rows without an address come last."""

MEASURED: Final = (
    "time",
    "received",
    "batch",
    "feed",
    "source_hi",
    "source_lo",
    "source_asn",
    "source_country",
    "destination_hi",
    "destination_lo",
    "class",
    "type",
    "severity",
    "tlp",
    "member",
    "party",
)
"""The columns whose span each file tells, so that it need not be opened."""

_REJECTS_ORDER: Final = ("batch", "line")
_REJECTS_MEASURED: Final = ("received", "batch", "feed", "line")
# A file of an archive that keeps up: large enough to compress, small enough to sort.
FILE_ROWS: Final = 524_288
FILE_BYTES: Final = 128_000_000
# `day` follows `time` only so far: a list with six years in it makes no 2,000 files.
_BACK: Final = pl.duration(days=31)
_AHEAD: Final = pl.duration(days=1)
# Addresses that duplicates are looked for one by one.
FEW: Final = 256


class Written(msgspec.Struct, frozen=True):
    """What was written for some batches and is not yet visible.

    It may be handed on as JSON, or pickled, and be committed by another process.
    version: 1, and higher when batches are read anew (a mended mapping): then these
    rows replace those of before.
    """

    batches: tuple[str, ...]
    events: tuple[Added, ...] = ()
    rejects: tuple[Added, ...] = ()
    version: int = 1


@dataclass(frozen=True, slots=True)
class Size:
    """What one table holds. days: partitions. loose: files that are not yet folded."""

    rows: int
    bytes: int
    files: int
    loose: int
    days: int
    first: date | None
    last: date | None


class Writing:
    """Rows of some batches on their way to files; at most one file is held in memory.

    As a context manager it writes what is left at its end, or takes back what it wrote
    when something fails. `written` is what to commit. What is never committed is
    cleared away a day later.
    """

    def __init__(
        self, archive: Archive, batches: tuple[str, ...], version: int
    ) -> None:
        """Begin, for these batches as they were read the `version`-th time."""
        self._archive = archive
        self._batches = batches
        self._version = version
        self._waiting: list[pl.DataFrame] = []
        self._rows = self._bytes = 0
        self._events: list[Added] = []
        self._rejects: list[Added] = []

    def add(self, events: pl.DataFrame, rejects: pl.DataFrame | None = None) -> None:
        """Take in a piece: events (EVENTS, none missing), and rejects (REJECTS).

        Raises:
            StoreError: a file cannot be written.
        """
        if rejects is not None:
            self.add_rejects(rejects)
        size = int(events.estimated_size())
        if self._waiting and (
            self._rows + events.height > FILE_ROWS or self._bytes + size > FILE_BYTES
        ):
            self._flush()
        if events.height:
            self._waiting.append(events)
            self._rows += events.height
            self._bytes += size

    def add_rejects(self, rejects: pl.DataFrame) -> None:
        """Take in rows that could not be read (REJECTS).

        Raises:
            StoreError: a file cannot be written.
        """
        if rejects.height:
            self._rejects += self._archive.write_rejects(rejects, self._batches)

    def keep(self, files: Iterable[Added | Packed]) -> None:
        """Take in files of events that were written or made elsewhere.

        Raises:
            StoreError: one cannot be written.
        """
        put = self._archive.events.put
        for one in files:
            self._events.append(
                put(one, self._batches) if isinstance(one, Packed) else one
            )

    def _flush(self) -> None:
        if self._waiting:
            events = pl.concat(self._waiting)
            self._waiting, self._rows, self._bytes = [], 0, 0
            self._events += self._archive.write(events, self._batches)

    @property
    def written(self) -> Written:
        """Give what to commit."""
        self._flush()
        return Written(
            self._batches, tuple(self._events), tuple(self._rejects), self._version
        )

    def __enter__(self) -> Writing:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._flush()
            return
        self._waiting = []
        self._archive.events.discard(self._events)
        self._archive.rejects.discard(self._rejects)


class Archive:
    """The events and the rejects of one node.

    It may be used by several threads, processes and machines at the same time. events,
    rejects: the tables.
    """

    def __init__(
        self, root: str | Path, storage: Mapping[str, str] | None = None
    ) -> None:
        """Name an archive; its tables are made when they are first used.

        Args:
            root: a folder, or `s3://bucket/path`.
            storage: options of the object store, such as `aws_endpoint_url`.
        """
        self.root = str(root).rstrip("/")
        self.events = Table(f"{self.root}/events", EVENTS, ORDER, MEASURED, storage)
        self.rejects = Table(
            f"{self.root}/rejects", REJECTS, _REJECTS_ORDER, _REJECTS_MEASURED, storage
        )

    # Taking in

    def writing(self, *batches: str, version: int = 1) -> Writing:
        """Begin to write what some batches brought."""
        return Writing(self, batches, version)

    def write(
        self, events: pl.DataFrame, batches: tuple[str, ...] = ()
    ) -> tuple[Added, ...]:
        """Write events as files, one for each day, that nobody sees before the commit.

        Args:
            events: EVENTS; those never null are not.
            batches: whose rows these are; else it is looked up in them.

        Raises:
            StoreError: they cannot be written.
        """
        return _spread(
            self.events,
            days_of(events),
            batches or tuple(events["batch"].unique().sort()),
        )

    def write_rejects(
        self, rejects: pl.DataFrame, batches: tuple[str, ...] = ()
    ) -> tuple[Added, ...]:
        """Write rejects (REJECTS) as files, one for each day on which they came in.

        Raises:
            StoreError: they cannot be written.
        """
        return _spread(
            self.rejects,
            _parts(
                conform(rejects, REJECTS).with_columns(
                    pl.col("received").dt.date().alias(DAY)
                )
            ),
            batches or tuple(rejects["batch"].unique().sort()),
        )

    def commit(self, *written: Written) -> frozenset[str]:
        """Make what was written visible, and mark its batches: one commit for all.

        The rejects' commit comes first, that of the events decides. Both may be done
        again: what is marked already is left out.

        Returns:
            The batches that this commit brought in; the others were there.

        Raises:
            StoreError: the store failed. Commit again, or write and commit again.
        """
        wanted = {batch: one.version for one in written for batch in one.batches}
        rejects = [added for one in written for added in one.rejects]
        told_of = {batch for added in rejects for batch in added.batches}
        self._join(
            self.rejects,
            rejects,
            # A batch read anew may have no rejects any more: the old ones go too.
            {
                batch: version
                for batch, version in wanted.items()
                if version > 1 or batch in told_of
            },
        )
        return self._join(
            self.events, [added for one in written for added in one.events], wanted
        )

    def _join(
        self, table: Table, added: Sequence[Added], wanted: Mapping[str, int]
    ) -> frozenset[str]:
        if not wanted:
            return frozenset()
        for _ in range(TRIES):
            with table.newest() as state:
                held = {one: state.transaction_version(one) or 0 for one in wanted}
                new = {one: at for one, at in wanted.items() if held[one] < at}
                files = _only(table, added, frozenset(new))
                again = [one for one in new if held[one]]
                removed: list[tuple[str, str, int]] = []
                if again:
                    gone = equals("batch", again, measured=True)
                    candidates = table.files(state).filter(gone.file)
                    fresh, removed, _ = without(table, candidates, gone.row)
                    files += fresh
                try:
                    if new:
                        marks = new | marks_of(removed)
                        table.commit(state, files, removed, marks=marks)
                except Raced:
                    table.discard(set(files) - set(added))
                    continue
                # What a rival was quicker with; but this may also be a second commit of
                # the very same files, after a first one whose end nobody heard of.
                table.discard(set(added) - set(files))
                return frozenset(new)
        raise too_busy(table)

    def has(self, batch: str, version: int = 1) -> bool:
        """Say whether a batch is in, as it was read the `version`-th time or later.

        Raises:
            StoreError: the store cannot be read.
        """
        with self.events.newest() as state:
            return (state.transaction_version(batch) or 0) >= version

    # Looking in

    def held(
        self,
        events: pl.DataFrame,
        feed: str,
        since: int,
        *,
        same_day: bool = False,
        but: str = "",
    ) -> pl.Series:
        """Say which events are stored already: same fingerprint and feed.

        Events with equal fingerprints are about one address, so only places where these
        addresses are get read. Of what is read, what fits is kept in memory.

        Args:
            events: fingerprint, source_hi, source_lo, of EVENTS; time with `same_day`.
            feed: whose events count.
            since: an instant; what is older than this does not count.
            same_day: only what was seen on the same day (UTC) counts.
            but: a batch whose rows do not count: they are about to be replaced.

        Returns:
            A Boolean for each event, in their order, without nulls.

        Raises:
            StoreError: the store cannot be read.
        """
        found: list[pl.DataFrame] = []
        until = None
        if same_day and events.height:
            last = events["time"].dt.truncate("1d").dt.offset_by("1d").max()
            until = int(pl.Series([last]).dt.epoch("us").item())
        window = equals("feed", [feed], measured=True) & within_time(
            "time", since, until
        )
        if but:
            window &= Condition(pl.col("batch") != but, pl.lit(value=True))
        files = self.events.listed().filter(window.file)
        if not files.height:
            return pl.repeat(value=False, n=events.height, eager=True)
        keys = [pl.col("fingerprint")]
        if same_day:
            keys.append(pl.col("time").dt.date())
        wanted = events.select(keys)
        for condition in _near(events):
            paths = files.filter(condition.file)["path"].to_list()
            with told(self.events.root):
                found.append(
                    self.events.scan(paths)
                    .filter(window.row & condition.row)
                    .select(keys)
                    .join(wanted.lazy(), on=wanted.columns, how="semi")
                    .unique()
                    .collect(engine="streaming")
                )
        known = pl.concat([wanted.clear(), *found]).unique()
        if not known.height:
            return pl.repeat(value=False, n=events.height, eager=True)
        return wanted.join(
            known.with_columns(held=pl.lit(value=True)),
            on=wanted.columns,
            how="left",
            maintain_order="left",
        )["held"].fill_null(value=False)

    def size(self) -> Size:
        """Count what the events' table holds.

        Raises:
            StoreError: the store cannot be read.
        """
        return _size(self.events.listed())

    def rejects_size(self) -> Size:
        """Count what the rejects' table holds.

        Raises:
            StoreError: the store cannot be read.
        """
        return _size(self.rejects.listed())

    # As it ages

    def fold(self, now: int, *, all_days: bool = False) -> list[Folded]:
        """Make few large sorted files of each day's many small ones.

        Args:
            now: the present; a day that still grows waits until it is worth it.
            all_days: wait for nothing.

        Raises:
            StoreError: the store failed.
        """
        return [
            *fold(self.events, now, all_days=all_days),
            *fold(self.rejects, now, all_days=all_days),
        ]

    def expire(
        self, rules: Sequence[Keep], now: int, levels: Mapping[str, int] | None = None
    ) -> tuple[int, int]:
        """Take out rows that were kept for long enough, counted from `received`.

        Args:
            rules: the first that fits a row holds; a row that none fits stays.
            now: the present.
            levels: the TLP level of each feed, for rows that name none.

        Returns:
            How many events and how many rejects went. `vacuum` deletes their files.

        Raises:
            StoreError: the store failed. What is done stays done.
        """
        levels = levels or {}
        return (
            expire(self.events, rules, levels, now),
            expire(self.rejects, rules, levels, now),
        )

    def erase(
        self,
        *,
        parties: Sequence[str] = (),
        ranges: Sequence[str] = (),
        domains: Sequence[str] = (),
        anywhere: bool = False,
    ) -> Erased:
        """Erase rows, the files they were in, and what the log tells of these.

        Args:
            parties: names of owners.
            ranges: addresses, prefixes or `first-last`, at either end of an event and
                anywhere in the text of a reject.
            domains: names, with what is below them, in the same places.
            anywhere: look for both in the other texts of an event too.

        Raises:
            BadRequest: a range or a domain is none.
            StoreError: the store failed. Erase again: what is done stays done.
        """
        scope = Scope(tuple(parties), tuple(ranges), tuple(domains), anywhere)
        return erase(self.events, self.rejects, scope)

    def vacuum(self) -> int:
        """Delete the files that nothing has named for a day; gives how many.

        Raises:
            StoreError: the store failed.
        """
        return self.events.vacuum() + self.rejects.vacuum()


def days_of(events: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    """Part events (EVENTS) by the day they belong to, as an ISO date.

    It is the day of `time`, where that is near `received`.
    """
    time, received = pl.col("time"), pl.col("received")
    near = time.is_between(received - _BACK, received + _AHEAD)
    day = pl.when(near).then(time).otherwise(received).dt.date().alias(DAY)
    return _parts(conform(events).with_columns(day))


def _parts(frame: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    if frame.height and frame[DAY].min() == frame[DAY].max():
        yield str(frame[DAY][0]), frame.drop(DAY)
        return
    for (day,), part in sorted(frame.partition_by(DAY, as_dict=True).items()):
        yield str(day), part.drop(DAY)


def _spread(
    table: Table,
    parts: Iterable[tuple[str, pl.DataFrame]],
    batches: tuple[str, ...],
) -> tuple[Added, ...]:
    return tuple(
        table.write(table.arranged(part), day, batches=batches) for day, part in parts
    )


def _only(table: Table, added: Sequence[Added], new: frozenset[str]) -> list[Added]:
    """Leave out what belongs to batches that are in; a shared file is written anew."""
    kept: list[Added] = []
    for one in added:
        if new.issuperset(one.batches):
            kept.append(one)
        elif not new.isdisjoint(one.batches):
            with told(table.root):
                part = (
                    table.scan([one.path]).filter(pl.col("batch").is_in(new)).collect()
                )
            if part.height:
                ours = tuple(sorted(new.intersection(one.batches)))
                kept.append(table.write(part, one.day, batches=ours))
    return kept


def _near(events: pl.DataFrame) -> list[Condition]:
    """Say where events of the same addresses may be; no condition, when nowhere."""
    places = events.select("source_hi", "source_lo").unique()
    known = places.drop_nulls()
    conditions: list[Condition] = []
    if known.height < places.height:
        conditions.append(equals("source_hi", [None], measured=True))
    if known.height > FEW:
        ends = known.sort("source_hi", "source_lo")
        file = within_range("source", ends.row(0), ends.row(-1)).file
    elif known.height:
        each = [within_range("source", one, one) for one in known.iter_rows()]
        file = any_of(each).file
    if known.height:
        # Quick, and more than these addresses only where halves of two meet; the
        # fingerprints decide, and are read only of the rows that are left.
        row = pl.col("source_lo").is_in(known["source_lo"].unique().implode())
        row &= pl.col("source_hi").is_in(known["source_hi"].unique().implode())
        conditions.append(Condition(row, file))
    return conditions


def _size(files: pl.DataFrame) -> Size:
    days = files[DAY].unique().sort()
    return Size(
        rows=int(files["num_records"].sum()),
        bytes=int(files["size_bytes"].sum()),
        files=files.height,
        loose=int(files["path"].str.contains(f"/{LOOSE}-", literal=True).sum()),
        days=days.len(),
        first=days[0] if days.len() else None,
        last=days[-1] if days.len() else None,
    )
