"""What is done to an archive as it ages: folding and retention.

Each rewrites files and takes the old ones out in one commit for each day, so that
readers see the day before or after. Two who rewrite one day at a time cannot both
count; whoever appends meanwhile is not disturbed.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import polars as pl
from deltalake import DeltaTable

from serantau.clock import moment
from serantau.errors import StoreError
from serantau.lane.condition import Condition, Place
from serantau.lane.delta import (
    DAY,
    FOLD,
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
from serantau.lane.frame import INSTANT

PART_ROWS: Final = 524_288
"""Rows of one folded file: as many as are sorted in memory at a time."""

_SAMPLE: Final = 1_000_000
# A day that still grows is folded when it has this many loose files, another at two.
_MANY: Final = 16
# Runs up to this many times as large as what is folded are folded with it: each row is
# then rewritten a few times in its life, and a day has a few runs.
_GROWTH: Final = 4
_DAY: Final = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Keep:
    """How long rows are kept: `days` after they came in. The first that fits holds.

    feed: of this feed only. tlp: of this level only (0 CLEAR to 4 RED).
    """

    days: int
    feed: str | None = None
    tlp: int | None = None


@dataclass(frozen=True, slots=True)
class Folded:
    """One day that was folded: how many files became how many, and their rows."""

    day: date
    before: int
    after: int
    rows: int


def fold(table: Table, now: int, *, all_days: bool = False) -> Iterator[Folded]:
    """Make few large files of many small ones, sorted; yields each day when it is done.

    The files of one folding do not overlap in the table's order. At
    most one file's rows are in memory.

    Args:
        table: what to fold.
        now: the present; days before it grow no more but by late reports.
        all_days: fold also what could wait, whatever is there, into one run a day.

    Raises:
        StoreError: the store failed.
    """
    today = moment(now).date()
    for (day,) in table.listed().select(DAY).unique().sort(DAY).iter_rows():
        with told(table.root):
            state = table.open()
            files = table.files(state).filter(pl.col(DAY) == day)
        chosen = files if all_days else _worth(files, grown=day < today)
        if chosen.height < 2 and not (all_days and _loose(chosen)):
            continue
        added = list(_sorted(table, chosen))
        rows = sum(one.rows for one in added)
        if rows != int(chosen["num_records"].sum()):
            raise StoreError(
                f"Folding {day} in {table.root} would change how many rows there are.",
                mend="Nothing was changed. Please report this.",
            )
        try:
            _swap(table, state, added, chosen)
        except Raced:
            # Somebody else rewrote the day. What is left to do is done the next time.
            table.discard(added)
            continue
        yield Folded(day, chosen.height, len(added), rows)


def _swap(
    table: Table,
    state: DeltaTable,
    added: Sequence[Added],
    files: pl.DataFrame,
) -> None:
    """Put files in the place of others, which hold the same rows."""
    removed = [
        (path, str(day), size)
        for path, day, size in files.select("path", DAY, "size_bytes").iter_rows()
    ]
    table.commit(state, added, removed, marks=marks_of(removed), data_change=False)


def _run() -> pl.Expr:
    """Give the run that a file belongs to; a loose file is one by itself."""
    name = pl.col("path").str.split("/").list.last()
    run = name.str.extract(rf"^{FOLD}-([0-9a-f]+)-")
    return pl.coalesce(run, name)


def _loose(files: pl.DataFrame) -> int:
    return int(files["path"].str.contains(f"/{LOOSE}-", literal=True).sum())


def _worth(files: pl.DataFrame, *, grown: bool) -> pl.DataFrame:
    """Choose the files of a day that are worth folding now; none, when it can wait."""
    loose = pl.col("path").str.contains(f"/{LOOSE}-", literal=True)
    if _loose(files) < (2 if grown else _MANY):
        return files.clear()
    rows = int(files.filter(loose)["num_records"].sum())
    runs = (
        files.filter(~loose)
        .group_by(_run().alias("run"))
        .agg(pl.col("num_records").sum())
        .sort("num_records", "run")
    )
    taken: list[str] = []
    for run, height in runs.iter_rows():
        if height > _GROWTH * rows:
            break
        taken.append(run)
        rows += height
    return files.filter(loose | _run().is_in(taken))


def _sorted(table: Table, files: pl.DataFrame) -> Iterator[Added]:
    """Write the rows of some files of one day as a run of files in order."""
    kind = f"{FOLD}-{uuid.uuid4().hex}"
    day = str(files[DAY][0])
    scan = table.scan(files["path"].to_list())
    with told(table.root):
        parts = list(_parts(scan, files, *table.order))
    for part in parts:
        with told(table.root):
            frame = table.arranged(scan.filter(part).collect())
        if frame.height:
            yield table.write(frame, day, kind=kind)
        del frame


def _parts(
    scan: pl.LazyFrame, files: pl.DataFrame, high: str, low: str
) -> Iterator[pl.Expr]:
    """Cut rows into parts of PART_ROWS or so, in order; those without `high` last.

    Only a sample of the two columns is read. Many rows with equal values are one part.
    """
    rows = int(files["num_records"].sum())
    if rows <= PART_ROWS:
        yield pl.lit(value=True)
        return
    step = max(1, rows // _SAMPLE)
    sample = (
        scan.select(high, low)
        .gather_every(step)
        .collect(engine="streaming")
        .sort(high, low, nulls_last=True)
    )
    known = sample.drop_nulls()
    size = max(1, PART_ROWS // step)
    cuts = known.gather_every(size).unique(maintain_order=True).rows()[1:]
    least: Place | None = None
    for cut in [*cuts, None]:
        yield _part(high, low, least, cut)
        least = cut
    # What has no address, or half of one; its order says nothing.
    missing = pl.any_horizontal(pl.col(high, low).is_null())
    rows = int(scan.select(missing.sum()).collect(engine="streaming").item())
    count = -(-rows // PART_ROWS)
    for one in range(count):
        yield missing & (pl.col("received").hash() % count == one)


def _part(high: str, low: str, least: Place | None, cut: Place | None) -> pl.Expr:
    """Ask for the rows from `least` up to, not with, `cut`; None leaves it open.

    It is put so that row groups elsewhere are skipped.
    """
    hi, lo = pl.col(high), pl.col(low)
    if least is not None and cut is not None and least[0] == cut[0]:
        return hi.eq(least[0]) & lo.ge(least[1]) & lo.lt(cut[1])
    part = hi.is_not_null() & lo.is_not_null()
    if least is not None:
        part &= hi.ge(least[0]) & (hi.gt(least[0]) | lo.ge(least[1]))
    if cut is not None:
        part &= hi.le(cut[0]) & (hi.lt(cut[0]) | lo.lt(cut[1]))
    return part


# Retention


def expire(
    table: Table, rules: Sequence[Keep], levels: Mapping[str, int], now: int
) -> int:
    """Take out the rows whose time is over; gives how many.

    Args:
        table: with `received`, `feed`, and perhaps `tlp`.
        rules: the first that fits a row holds for it; a row that none fits stays.
        levels: the TLP level of each feed, for rows that name none.
        now: the present.

    Raises:
        StoreError: the store failed.
    """
    if not rules:
        return 0
    level: pl.Expr = pl.col("feed").replace_strict(
        dict(levels) or {"": 0}, default=None, return_dtype=pl.Int16
    )
    if "tlp" in table.schema:
        level = pl.coalesce("tlp", level)
    kept: Any = pl
    for rule in rules:
        fits = pl.lit(value=True)
        if rule.feed is not None:
            fits &= pl.col("feed") == rule.feed
        if rule.tlp is not None:
            fits &= (level == rule.tlp).fill_null(value=False)
        before = pl.lit(now - rule.days * _DAY, dtype=pl.Int64).cast(INSTANT)
        kept = kept.when(fits).then(before)
    latest = now - min(rule.days for rule in rules) * _DAY
    at = pl.lit(latest, dtype=pl.Int64).cast(INSTANT)
    over = Condition(
        pl.col("received") < kept.otherwise(None),
        (pl.col("min.received") < at).fill_null(value=True),
    )
    return take_out(table, over)


def take_out(table: Table, gone: Condition) -> int:
    """Rewrite each day without some rows; gives how many went.

    Raises:
        StoreError: the store failed. What is done stays done.
    """
    total = 0
    for (day,) in table.listed().filter(gone.file).select(DAY).unique().iter_rows():
        for _ in range(TRIES):
            with told(table.root):
                state = table.open()
                files = table.files(state).filter(gone.file, pl.col(DAY) == day)
            added, removed, rows = without(table, files, gone.row)
            if not removed:
                break
            try:
                table.commit(state, added, removed, marks=marks_of(removed))
            except Raced:
                table.discard(added)
                continue
            total += rows
            break
        else:
            raise too_busy(table)
    return total
