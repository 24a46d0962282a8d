"""One Delta table: files are written first, and a commit makes them visible.

A file nobody committed is not there. A commit carries marks (Delta's application
transactions): of two commits that race with the same mark one fails, however old the
snapshot was that it started from. So a batch counts once, and of two rewritings of a
day one starts anew. Whatever a commit says is on disk when it returns.
"""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import msgspec
import polars as pl
from deltalake import CommitProperties, DeltaTable, Field, Schema
from deltalake._internal import DeltaFileSystemHandler
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.schema import PrimitiveType
from deltalake.transaction import (
    AddAction,
    PostCommitHookProperties,
    RemoveAction,
    Transaction,
)

from serantau.clock import SystemClock
from serantau.errors import StoreError
from serantau.lane.disk import mend, sync, write_durably
from serantau.lane.packed import ROW_GROUP, ZSTD, Packed, pack, stats_of

DAY: Final = "day"
LOOSE: Final = "loose"
FOLD: Final = "fold"
GRACE: Final = 24 * 3600
"""Seconds that a file may wait for its commit, and a removed one for its readers."""

_CONFIGURATION: Final = {
    "delta.logRetentionDuration": "interval 2 days",
    "delta.deletedFileRetentionDuration": "interval 1 days",
    # The list of batches in SQL knows for ever what was done. The mark bridges the
    # time between this commit and that list's, which a lease limits to hours.
    "delta.setTransactionRetentionDuration": "interval 90 days",
}
_KINDS: Final[dict[Any, str]] = {
    pl.String(): "string",
    pl.Int16(): "short",
    pl.Int32(): "integer",
    pl.Int64(): "long",
    pl.Datetime("us", "UTC"): "timestamp",
}
_QUIET: Final = PostCommitHookProperties(
    create_checkpoint=False, cleanup_expired_logs=False
)
# Opening replays the log since the last checkpoint: 0.2 ms for each commit.
_CHECKPOINT_EVERY: Final = 40
_REWRITING: Final = "rewriting "
# Options of a store that other machines may be told; `aws_` may stand before each.
_PUBLIC: Final = frozenset(
    {
        *("endpoint", "endpoint_url", "region", "default_region", "allow_http"),
        *("virtual_hosted_style_request", "max_retries", "retry_timeout", "timeout"),
    }
)

TRIES: Final = 50
"""How often a commit is tried anew when others come first."""


class Added(msgspec.Struct, frozen=True):
    """A file that was written and that a commit may make visible.

    path: below the table's root. day: the partition it belongs to. stats: the least and
    largest values of its columns, as Delta's JSON. made: when, in ms since the epoch.
    batches: whose rows it holds, when it was written for batches.
    """

    path: str
    day: str
    size: int
    rows: int
    stats: str
    made: int
    batches: tuple[str, ...] = ()


class Raced(Exception):
    """Somebody else committed the same mark first: look again, then start anew."""


@contextmanager
def told(place: str) -> Iterator[None]:
    """Tell faults of files, stores and tables as errors of this node's store.

    Raises:
        StoreError: the archive cannot be read or written, and why.
    """
    try:
        yield
    except (DeltaError, pl.exceptions.PolarsError, OSError) as fault:
        raise StoreError(
            f"The archive {place} cannot be used: {_plain(str(fault))}",
            mend="See docs/archive.md for what it needs.",
        ) from fault


_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")
_STACK: Final = re.compile(r"\n\s*0: ")


def _plain(said: str) -> str:
    """Give what a library says in one line, without its colours and its own stack."""
    text = _STACK.split(_COLOURS.sub("", said))[0].replace("\u21b3", " ")
    return " ".join(text.split())


class Table:
    """One Delta table, partitioned by `day`.

    It may be used by several threads. Other processes and machines may read, append and
    rewrite it at the same time.
    """

    def __init__(
        self,
        root: str,
        schema: pl.Schema,
        order: tuple[str, str],
        measured: Sequence[str],
        storage: Mapping[str, str] | None = None,
    ) -> None:
        """Name a table; it is made when it is first used.

        Args:
            root: a folder, or `s3://bucket/path`.
            schema: the columns of its files, without `day`.
            order: the two columns that files are sorted by, nulls last.
            measured: the columns whose least and largest value each file tells.
            storage: options of the object store.
        """
        self.root = root.rstrip("/")
        self.schema = schema
        self.order = order
        self.storage = dict(storage or {})
        self._measured = tuple(measured)
        self._local = None if "://" in root else Path(root)
        self._lock = threading.RLock()
        self._kept: tuple[DeltaTable, int] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        # The keys to a store stay: a machine that this is sent to has its own.
        public = {
            name: value
            for name, value in self.storage.items()
            if name.lower().removeprefix("aws_") in _PUBLIC
        }
        return Table, (self.root, self.schema, self.order, self._measured, public)

    @property
    def everywhere(self) -> bool:
        """Say whether other machines reach it as this one does."""
        return self._local is None

    # Opening

    def open(self) -> DeltaTable:
        """Open the newest state, by itself: nobody else moves it on.

        Raises:
            StoreError: it cannot be opened or made.
        """
        with told(self.root):
            if self._local is not None:
                mend(self._local / "_delta_log")
            if not DeltaTable.is_deltatable(self.root, self.storage):
                self._make()
            table = DeltaTable(self.root, storage_options=self.storage)
            held = {field.name for field in table.schema().fields}
            lacking = [one for one in self._fields() if one.name not in held]
            if lacking:
                # A newer program knows more columns; older files have none of them.
                with suppress(CommitFailedError):
                    table.alter.add_columns(lacking)
                table = DeltaTable(self.root, storage_options=self.storage)
            return table

    def _make(self) -> None:
        if self._local is not None:
            self._local.mkdir(parents=True, exist_ok=True)
        # Of two who make it at the same time one is told so; it is there then.
        with suppress(CommitFailedError):
            DeltaTable.create(
                self.root,
                schema=Schema(self._fields()),
                mode="ignore",
                partition_by=[DAY],
                configuration={
                    **_CONFIGURATION,
                    # Else readers look at the first 32 columns only.
                    "delta.dataSkippingStatsColumns": ",".join(self._measured),
                },
                storage_options=self.storage,
            )
        self._sync_log(0, 0)

    def _fields(self) -> list[Field]:
        kinds = {name: _KINDS[kind] for name, kind in self.schema.items()}
        kinds[DAY] = "date"
        return [Field(name, PrimitiveType(kind)) for name, kind in kinds.items()]

    @contextmanager
    def newest(self) -> Iterator[DeltaTable]:
        """Lend the newest state, kept open between uses; nobody else has it meanwhile.

        Raises:
            StoreError: it cannot be opened.
        """
        with self._lock, told(self.root):
            if self._kept is not None:
                table, since = self._kept
                table.update_incremental()
                if table.version() - since > _CHECKPOINT_EVERY:
                    self._kept = None
            if self._kept is None:
                table = self.open()
                self._kept = (table, table.version())
            yield table

    # Files

    def write(
        self,
        frame: pl.DataFrame,
        day: str,
        *,
        kind: str = LOOSE,
        batches: tuple[str, ...] = (),
    ) -> Added:
        """Write a frame as one file that is not yet visible; it is on disk then.

        Args:
            frame: the schema's columns, sorted.
            day: the partition, as an ISO date.
            kind: how the name begins: `loose`, or `fold-` and the run's id.
            batches: whose rows these are.

        Raises:
            StoreError: it cannot be written.
        """
        path = f"{DAY}={day}/{kind}-{uuid.uuid4().hex}.parquet"
        with told(self.root):
            if self._local is not None:
                size = write_durably(
                    self._local / path, lambda stream: pack(frame, stream)
                )
            else:
                size = self._write_there(frame, path)
        return Added(
            path=path,
            day=day,
            size=size,
            rows=frame.height,
            stats=stats_of(frame, self._measured),
            made=SystemClock().now() // 1000,
            batches=batches,
        )

    def packed(self, frame: pl.DataFrame, day: str) -> Packed:
        """Make the file of a frame, which `put` writes later and elsewhere."""
        body = BytesIO()
        pack(frame, body)
        stats = stats_of(frame, self._measured)
        return Packed(day, frame.height, stats, body.getvalue())

    def put(self, packed: Packed, batches: tuple[str, ...] = ()) -> Added:
        """Write a file of a folder's table as `write` does.

        Raises:
            StoreError: it cannot be written.
        """
        path = f"{DAY}={packed.day}/{LOOSE}-{uuid.uuid4().hex}.parquet"
        with told(self.root):
            size = write_durably(
                Path(self.root, path), lambda stream: stream.write(packed.body)
            )
        return Added(
            path=path,
            day=packed.day,
            size=size,
            rows=packed.rows,
            stats=packed.stats,
            made=SystemClock().now() // 1000,
            batches=batches,
        )

    def arranged(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Sort rows as files are: by the two columns of `order`, nulls last."""
        first, second = self.order
        # Nearly all rows have the least first half, IPv4's; one key sorts four times
        # as fast as two.
        least = frame[first].min()
        if least is None:
            return frame
        same = frame.filter(pl.col(first).eq(least)).sort(second, nulls_last=True)
        if same.height == frame.height:
            return same
        rest = frame.filter(pl.col(first).ne_missing(pl.lit(least)))
        return pl.concat([same, rest.sort(self.order, nulls_last=True)])

    def _write_there(self, frame: pl.DataFrame, path: str) -> int:
        """Put a file into the object store, where it appears whole or not at all."""
        # Polars sends it without keeping other threads waiting; Delta's own writer of
        # files would hold the interpreter's lock for as long as the store takes.
        frame.write_parquet(
            f"{self.root}/{path}",
            compression_level=ZSTD,
            row_group_size=ROW_GROUP,
            statistics=True,
            storage_options=self.storage or None,
        )
        # A reader begins at a file's end, so a commit must tell where that is.
        files = DeltaFileSystemHandler(self.root, self.storage)
        return files.open_input_file(path).size()

    def discard(self, added: Collection[Added]) -> None:
        """Delete files that were written and that no commit will ever name.

        Those that the newest state names stay.
        """
        if not added:
            return
        with told(self.root):
            named = set(self.listed()["path"])
            for one in added:
                if one.path in named:
                    continue
                if self._local is not None:
                    (self._local / one.path).unlink(missing_ok=True)
                else:
                    files = DeltaFileSystemHandler(self.root, self.storage)
                    files.delete_file(one.path)

    def files(self, table: DeltaTable) -> pl.DataFrame:
        """List the visible files of a state.

        Returns:
            A row for each file: path, day (Date), size_bytes, num_records (Int64, not
            null), and for each measured column `min.`, `max.` and `null_count.` with
            its name, null where the file does not tell; ordered by day and path.
        """
        found: pl.DataFrame = pl.DataFrame(table.get_add_actions(flatten=True))
        schema: dict[str, Any] = {
            "path": pl.String(),
            DAY: pl.Date(),
            "size_bytes": pl.Int64(),
            "num_records": pl.Int64(),
        }
        for name in self._measured:
            schema[f"min.{name}"] = schema[f"max.{name}"] = self.schema[name]
            schema[f"null_count.{name}"] = pl.Int64()
        if f"partition.{DAY}" not in found.columns:
            return pl.DataFrame(schema=schema)
        found = found.rename({f"partition.{DAY}": DAY})
        return found.select(
            pl.col(name).cast(kind)
            if name in found.columns
            else pl.lit(None, dtype=kind).alias(name)
            for name, kind in schema.items()
        ).sort(DAY, "path")

    def listed(self) -> pl.DataFrame:
        """List the visible files of the newest state, as `files` does.

        Raises:
            StoreError: it cannot be opened.
        """
        with self.newest() as table:
            return self.files(table)

    def read(self, path: str) -> bytes:
        """Give the bytes of a file of a folder's table, for machines without it.

        Raises:
            OSError: it is not there.
        """
        return Path(self.root, path).read_bytes()

    def scan(self, paths: Sequence[str], bodies: Sequence[bytes] = ()) -> pl.LazyFrame:
        """Give the rows of some files: the schema's columns, in the files' order.

        Args:
            paths: of the files.
            bodies: their bytes, where the table itself is not.
        """
        if not paths:
            return pl.LazyFrame(schema=self.schema)
        return pl.scan_parquet(
            list(bodies) or [f"{self.root}/{path}" for path in paths],
            schema=dict(self.schema),
            hive_partitioning=False,
            glob=False,
            missing_columns="insert",
            extra_columns="ignore",
            storage_options=self.storage or None,
        )

    # Commits

    def commit(
        self,
        table: DeltaTable,
        added: Sequence[Added],
        removed: Sequence[tuple[str, str, int]] = (),
        *,
        marks: Mapping[str, int],
        data_change: bool = True,
    ) -> None:
        """Make files visible and others invisible, in one step; durable afterwards.

        Args:
            table: the state that the decision was made on.
            added: files that were written.
            removed: path, day and size of files.
            marks: names and versions; no other commit since `table` may have them.
            data_change: whether what the table says changes.

        Raises:
            Raced: another commit has one of the marks; nothing was done.
            StoreError: a file waited for too long, or the store failed. Whether the
                commit happened is then for the marks to say.
        """
        now = SystemClock().now() // 1000
        if any(now - one.made > GRACE * 500 for one in added):
            raise StoreError(
                f"A file written for {self.root} waited half a day for its commit.",
                mend="It may be cleared away at any moment: write it again.",
            )
        actions: list[AddAction | RemoveAction] = [
            AddAction(
                one.path, one.size, {DAY: one.day}, one.made, data_change, one.stats
            )
            for one in added
        ]
        actions += [
            RemoveAction(path, data_change, now, size, {DAY: day})
            for path, day, size in removed
        ]
        before = table.version()
        with told(self.root):
            try:
                table.create_write_transaction(
                    actions,
                    mode="append",
                    schema=table.schema(),
                    partition_by=[DAY],
                    commit_properties=CommitProperties(
                        app_transactions=[
                            Transaction(name, version, now)
                            for name, version in marks.items()
                        ]
                    ),
                    post_commithook_properties=_QUIET,
                )
            except CommitFailedError as fault:
                raise Raced(str(fault)) from fault
            table.update_incremental()
            after = table.version()
            self._sync_log(before + 1, after)
            if after // _CHECKPOINT_EVERY > before // _CHECKPOINT_EVERY:
                self.checkpoint()

    def checkpoint(self) -> int:
        """Write the state down whole, so that opening need not read every commit.

        Gives its version.
        """
        with told(self.root):
            table = DeltaTable(self.root, storage_options=self.storage)
            table.create_checkpoint()
            if self._local is not None:
                log = self._local / "_delta_log"
                for path in log.glob(f"{table.version():020}.checkpoint*"):
                    sync(path)
                sync(log / "_last_checkpoint")
                sync(log)
            return int(table.version())

    def _sync_log(self, first: int, last: int) -> None:
        """Have commits on disk: SQL may say that a batch is done right after."""
        if self._local is None:
            return
        log = self._local / "_delta_log"
        for version in range(first, last + 1):
            path = log / f"{version:020}.json"
            if path.exists():
                sync(path)
        sync(log)

    def sweep(self) -> None:
        """Delete the files that earlier commits took out, now, and the log's old part.

        Whoever still reads an older state has to ask again.
        """
        with told(self.root):
            table = self.open()
            table.vacuum(
                0,
                dry_run=False,
                enforce_retention_duration=False,
                post_commithook_properties=_QUIET,
            )
            self.checkpoint()

    def vacuum(self) -> int:
        """Delete files that no state of the last day names; gives how many.

        Those are files that a commit took out, and files that a killed or beaten worker
        wrote and nobody committed.
        """
        with told(self.root):
            table = self.open()
            gone = table.vacuum(
                GRACE // 3600,
                dry_run=False,
                enforce_retention_duration=False,
                full=True,
                post_commithook_properties=_QUIET,
            )
            self.checkpoint()
            table = self.open()
            table.cleanup_metadata()
            return len(gone)


def without(
    table: Table, files: pl.DataFrame, gone: pl.Expr
) -> tuple[list[Added], list[tuple[str, str, int]], int]:
    """Write files anew without some rows; nothing is visible before a commit.

    Args:
        table: whose files they are.
        files: of Table.files; each is held in memory once.
        gone: over rows; null is no.

    Returns:
        The files to add; path, day and size of those to take out; the rows that go.

    Raises:
        StoreError: the store failed.
    """
    added: list[Added] = []
    removed: list[tuple[str, str, int]] = []
    rows = 0
    gone = gone.fill_null(value=False)
    for one in files.iter_rows(named=True):
        with told(table.root):
            scan = table.scan([one["path"]])
            count = int(scan.select(gone.sum()).collect(engine="streaming").item())
            left = (
                scan.filter(~gone).collect() if 0 < count < one["num_records"] else None
            )
        if not count:
            continue
        day = str(one[DAY])
        if left is not None:
            # It keeps its run: what is left of a sorted file is sorted.
            kind = one["path"].rpartition("/")[2].rpartition("-")[0]
            added.append(table.write(left, day, kind=kind))
        removed.append((one["path"], day, one["size_bytes"]))
        rows += count
    return added, removed, rows


def marks_of(removed: Sequence[tuple[str, str, int]]) -> dict[str, int]:
    """Give the marks that keep two rewritings of one day from both counting."""
    return {f"{_REWRITING}{day}": 1 for _, day, _ in removed}


def too_busy(table: Table) -> StoreError:
    """Say that others always came first."""
    return StoreError(
        f"Others committed to {table.root} first, {TRIES} times.", mend="Try again."
    )
