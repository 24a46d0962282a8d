"""Erasing rows on legal request: which they are, and that nothing of them stays.

The rows go by a rewriting of their days. Then the files that held them are deleted, and
what the table's log told of these files: the least and largest value of some columns.
"""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import polars as pl
from deltalake._internal import DeltaFileSystemHandler

from serantau.errors import BadRequest
from serantau.lane.condition import (
    ANY,
    SIDES,
    Condition,
    Place,
    any_of,
    equals,
    in_ranges,
    read_range,
)
from serantau.lane.delta import Table, told
from serantau.lane.disk import sync
from serantau.lane.upkeep import take_out
from serantau.rules.event import halves
from serantau.rules.text import normalise

Progress = Callable[[int, int], None]
"""Is told how many rows were passed, and of how many."""

CONCERNED: Final = pl.Schema(
    {"batch": pl.String(), "feed": pl.String(), "rows": pl.Int64()}
)
"""Rows by batch and feed; none is null, a batch and feed stand once."""

_NAMES: Final = ("source_domain", "source_name", "destination_domain")
_HOSTS: Final = (*_NAMES, "destination_name")
_URLS: Final = ("source_url", "destination_url")
_TEXTS: Final = (*_URLS, *_HOSTS, "identifier", "extra")
_ADDRESS: Final = re.compile(r"[0-9A-Fa-f:.]{2,45}")
_HOUR: Final = 3600
_LOG: Final = "_delta_log"
# A log begins with a checkpoint, and there is one every so many commits.
_GAP: Final = 100
_UNDONE: Final = ".erasing"


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose rows are meant; a row that fits one of these is.

    parties: names of owners. ranges: addresses, prefixes or `first-last`, at either end
    of an event. domains: names, with what is below them, at either end and as a URL's
    host. anywhere: ranges and domains are looked for in all other texts of a row too,
    for which every row is read.
    """

    parties: tuple[str, ...] = ()
    ranges: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    anywhere: bool = False

    def events(self) -> Condition:
        """Say which events are meant.

        Raises:
            BadRequest: a range or a domain is none.
        """
        found = [Condition(pl.lit(value=False), pl.lit(value=False))]
        if self.parties:
            found.append(equals("party", self.parties, measured=True))
        if self.ranges:
            found.append(in_ranges(self.ranges, SIDES))
        for name in map(_domain, self.domains):
            url = _pattern(r"(?i)^[a-z][a-z0-9+.-]*://([^/?#]*@)?([^/?#:@]*\.)?", name)
            hosts = [
                pl.col(one).eq(name) | pl.col(one).str.ends_with(f".{name}")
                for one in _HOSTS
            ]
            urls = [
                pl.col(one).str.contains(url + r"([.]?[:/?#]|[.]?$)") for one in _URLS
            ]
            found.append(Condition(pl.any_horizontal(*hosts, *urls), ANY.file))
        if self.anywhere:
            found += self._said(_TEXTS)
        return any_of(found)

    def rejects(self) -> Condition:
        """Say which rejects are meant: they have no owner, only texts.

        Raises:
            BadRequest: a range or a domain is none.
        """
        nothing = Condition(pl.lit(value=False), pl.lit(value=False))
        return any_of([nothing, *self._said(("value", "raw"))])

    def _said(self, columns: Sequence[str]) -> list[Condition]:
        found = []
        if self.ranges:
            ranges = [read_range(text) for text in self.ranges]
            found.append(_naming(columns, ranges))
        for name in map(_domain, self.domains):
            # Not `other-NAME` nor `NAME.else`, but what is below it and a full stop.
            said = (
                _pattern(r"(?i)(^|[^a-z0-9_-])", name) + r"([^a-z0-9_.-]|[.]?$|[.]\W)"
            )
            rows = [pl.col(one).str.contains(said) for one in columns]
            found.append(Condition(pl.any_horizontal(rows), ANY.file))
        return found


@dataclass(frozen=True, slots=True)
class Erased:
    """What was erased. batches: whose rows went; their originals hold them still."""

    events: int
    rejects: int
    batches: tuple[str, ...]


def concerned(
    table: Table, condition: Condition, progress: Progress | None = None
) -> pl.DataFrame:
    """Count the rows that are meant (CONCERNED). One file's rows are in memory.

    Raises:
        StoreError: the store failed.
    """
    found = [CONCERNED.to_frame()]
    for scan in _files(table, condition, progress):
        with told(table.root):
            found.append(
                scan.filter(condition.row)
                .group_by("batch", "feed")
                .agg(rows=pl.len().cast(pl.Int64))
                .collect(engine="streaming")
            )
    return (
        pl.concat(found)
        .group_by("batch", "feed")
        .agg(pl.col("rows").sum())
        .sort("batch", "feed")
    )


def rows_of(
    table: Table, condition: Condition, columns: Sequence[str]
) -> Iterator[pl.DataFrame]:
    """Give the rows that are meant, a file's at a time, none empty."""
    for scan in _files(table, condition, None):
        with told(table.root):
            rows = scan.filter(condition.row).select(columns).collect()
        if rows.height:
            yield rows


def _files(
    table: Table, condition: Condition, progress: Progress | None
) -> Iterator[pl.LazyFrame]:
    files = table.listed().filter(condition.file)
    total, done = int(files["num_records"].sum()), 0
    for path, rows in files.select("path", "num_records").iter_rows():
        yield table.scan([path])
        done += rows
        if progress is not None:
            progress(done, total)


def erase(events: Table, rejects: Table, scope: Scope) -> Erased:
    """Erase the rows that are meant, with the files that they were in.

    Args:
        events: the events' table.
        rejects: the rejects' table.
        scope: whose rows; nobody's when it is empty.

    Raises:
        BadRequest: a range or a domain is none.
        StoreError: the store failed. Erase again: what is done stays done.
    """
    counts, batches = [], set()
    for table, gone in ((events, scope.events()), (rejects, scope.rejects())):
        batches |= set(concerned(table, gone)["batch"])
        counts.append(take_out(table, gone))
        table.sweep()
        forget_spans(table)
    return Erased(counts[0], counts[1], tuple(sorted(batches)))


def forget_spans(table: Table) -> None:
    """Take out of the log what it tells of the content of files that are gone.

    A commit's file keeps its name and its place: whoever still commits from an older
    state must find it there. Only what it says of files that no longer count becomes
    less, and older checkpoints go.

    Raises:
        StoreError: the store failed.
    """
    live = frozenset(table.listed()["path"])
    table.checkpoint()
    log = _Folder(table) if "://" not in table.root else _Bucket(table)
    with told(table.root):
        newest = table.open().version()
        for name in log.names(newest):
            head, _, kind = name.partition(".")
            if not head.isdecimal():
                continue
            if kind == "json":
                text = log.read(name)
                left = _without_spans(text, live)
                if left != text:
                    log.write(name, left)
            elif kind.startswith("checkpoint") and int(head) < newest:
                log.remove(name)


def _without_spans(text: bytes, live: frozenset[str]) -> bytes:
    lines = []
    for line in text.splitlines():
        said: dict[str, Any] = msgspec.json.decode(line)
        added = said.get("add")
        if added is None or "stats" not in added or added["path"] in live:
            lines.append(line)
            continue
        stats = msgspec.json.decode(added["stats"] or "{}")
        if stats.keys() <= {"numRecords"}:
            lines.append(line)
            continue
        kept = {"numRecords": stats.get("numRecords", 0)}
        added["stats"] = msgspec.json.encode(kept).decode()
        lines.append(msgspec.json.encode(said))
    return b"\n".join(lines) + (b"\n" if text.endswith(b"\n") else b"")


class _Folder:
    """A table's log on a disk."""

    def __init__(self, table: Table) -> None:
        self._log = Path(table.root) / _LOG

    def names(self, _newest: int) -> list[str]:
        for left in self._log.glob(f"*{_UNDONE}"):
            # Of whoever was killed; what is written now is younger.
            if time.time() - left.stat().st_mtime > _HOUR:
                left.unlink(missing_ok=True)
        return sorted(path.name for path in self._log.iterdir())

    def read(self, name: str) -> bytes:
        return (self._log / name).read_bytes()

    def write(self, name: str, text: bytes) -> None:
        """Put a text in the place of another: whoever looks sees one of the two."""
        fresh = self._log / f"{name}.{secrets.token_hex(4)}{_UNDONE}"
        with fresh.open("xb") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(self._log / name)
        sync(self._log)

    def remove(self, name: str) -> None:
        (self._log / name).unlink(missing_ok=True)


class _Bucket:
    """A table's log in an object store, where a file appears whole or not at all."""

    def __init__(self, table: Table) -> None:
        self._files = DeltaFileSystemHandler(table.root, table.storage)

    def names(self, newest: int) -> Iterator[str]:
        """Give the names that are there, from the newest back to the oldest."""
        gone = 0
        for version in range(newest, -1, -1):
            found = [
                name
                for name in (f"{version:020}.json", f"{version:020}.checkpoint.parquet")
                if self._has(name)
            ]
            yield from found
            gone = 0 if found else gone + 1
            if gone > _GAP:
                return

    def _has(self, name: str) -> bool:
        try:
            self._files.open_input_file(f"{_LOG}/{name}")
        except FileNotFoundError:
            return False
        return True

    def read(self, name: str) -> bytes:
        stream = self._files.open_input_file(f"{_LOG}/{name}")
        return bytes(stream.read(stream.size()))

    def write(self, name: str, text: bytes) -> None:
        stream = self._files.open_output_stream(f"{_LOG}/{name}")
        stream.write(text)
        stream.close()  # type: ignore[attr-defined]

    def remove(self, name: str) -> None:
        self._files.delete_file(f"{_LOG}/{name}")


def _domain(text: str) -> str:
    name = normalise("domain-name", text.strip().strip("."))
    if "." not in name or not re.fullmatch(r"[a-z0-9_.-]+", name):
        raise BadRequest(f"{text!r} is no domain name such as example.th.")
    return name


def _pattern(before: str, name: str) -> str:
    return before + re.escape(name)


def _naming(columns: Sequence[str], ranges: Sequence[tuple[Place, Place]]) -> Condition:
    """Ask for rows one of whose texts names an address in a range."""

    def names(texts: pl.Series) -> pl.Series:
        return pl.Series(
            [
                any(
                    first <= place <= last
                    for place in _places(text or "")
                    for first, last in ranges
                )
                for text in texts
            ],
            dtype=pl.Boolean,
        )

    row = pl.any_horizontal(
        pl.col(name).map_batches(names, return_dtype=pl.Boolean) for name in columns
    )
    return Condition(row, ANY.file)


def _places(text: str) -> Iterator[Place]:
    """Find the addresses that a text names, as sortable halves."""
    for match in _ADDRESS.finditer(text):
        found = match.group().strip(".")
        # 198.51.100.7:443 names an address and a port.
        head, colon, port = found.rpartition(":")
        for one in (found, head if colon and port.isdigit() else ""):
            try:
                address = ipaddress.ip_address(one)
            except ValueError:
                continue
            yield halves(int(address), address.version)
