"""Counts of whole files, kept beside the archive: a file of it never changes.

They are made when there is time, and are no truth of their own: what is lost or broken
is counted anew.
"""

from __future__ import annotations

import io
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import polars as pl

from serantau.lane.delta import FOLD, Table, told
from serantau.lane.frame import EVENTS

FINE: Final = "15m"
"""Steps of time that are counted: every zone is some of these away from UTC."""

AT_ONCE: Final = 200
_TOGETHER: Final = 32
_ENDING: Final = ".tally"


def counted(scan: pl.LazyFrame, columns: Sequence[str]) -> list[pl.DataFrame]:
    """Count rows by steps of time, and by each of some columns.

    Returns:
        A frame for `time` and one for each column: its value and `events` (Int64).
    """
    rows = scan.select("time", *columns)
    many = pl.len().cast(pl.Int64).alias("events")
    asked = [rows.group_by(pl.col("time").dt.truncate(FINE)).agg(many)]
    asked += [rows.group_by(name).agg(many) for name in columns]
    return pl.collect_all(asked, engine="streaming")


class Tallies:
    """What is kept of one table's folded files, in a folder."""

    def __init__(self, folder: Path, columns: Sequence[str]) -> None:
        """Keep counts by these columns, of few values each, in `folder`."""
        self._folder = folder
        self._columns = tuple(columns)

    def held(self, paths: Collection[str]) -> dict[str, bytes]:
        """Give what is kept of some files, as `frames` reads it."""
        found = {}
        for path in paths:
            with suppress(OSError):
                body = self._place(path).read_bytes()
                if self._fits(body):
                    found[path] = body
        return found

    def frames(self, held: Mapping[str, bytes]) -> Iterator[list[pl.DataFrame]]:
        """Give what `counted` gives of these files, some of them at a time."""
        bodies = list(held.values())
        for at in range(0, len(bodies), _TOGETHER):
            some = bodies[at : at + _TOGETHER]
            rows = pl.concat([self._read(body) for body in some])
            summed = [
                rows.lazy()
                .select(pl.col(name), pl.col(_many(name)).alias("events"))
                .explode(name, "events")
                .group_by(name)
                .agg(pl.col("events").cast(pl.Int64).sum())
                for name in ("time", *self._columns)
            ]
            yield pl.collect_all(summed)

    def keep(self, table: Table) -> int:
        """Count the newest files that were not, and forget those that are gone.

        At most AT_ONCE files, of one at a time these columns; only folded ones, for
        others are folded soon. Gives how many were counted.

        Raises:
            StoreError: the table cannot be read.
        """
        files = table.listed().sort("max.time", descending=True, nulls_last=True)
        folded = files.filter(pl.col("path").str.contains(f"/{FOLD}-", literal=True))
        live = folded["path"].to_list()
        self.forget(live)
        made = 0
        for path in live:
            if made == AT_ONCE:
                break
            if self.held([path]):
                continue
            with told(table.root):
                found = counted(table.scan([path]), self._columns)
            self._write(path, found)
            made += 1
        return made

    def forget(self, live: Collection[str]) -> None:
        """Delete what is kept of all files but these."""
        if not self._folder.is_dir():
            return
        wanted = {self._place(path).name for path in live}
        for place in self._folder.iterdir():
            if place.name not in wanted:
                place.unlink(missing_ok=True)

    def _place(self, path: str) -> Path:
        # A file's name is its own in the whole table.
        return self._folder / f"{path.rpartition('/')[2]}{_ENDING}"

    def _read(self, body: bytes) -> pl.DataFrame:
        # An older program kept other columns, in another order.
        names = ("time", *self._columns)
        wanted = [each for name in names for each in (name, _many(name))]
        return pl.read_ipc(io.BytesIO(body)).select(wanted)

    def _fits(self, body: bytes) -> bool:
        try:
            schema = pl.read_ipc_schema(io.BytesIO(body))
        except (pl.exceptions.PolarsError, OSError):
            return False
        names = ("time", *self._columns)
        return all(
            schema.get(name) == pl.List(EVENTS[name]) and _many(name) in schema
            for name in names
        )

    def _write(self, path: str, found: Sequence[pl.DataFrame]) -> None:
        row = {}
        for name, one in zip(("time", *self._columns), found, strict=True):
            row[name] = one[name].implode()
            row[_many(name)] = one["events"].cast(pl.UInt32).implode()
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        place = self._place(path)
        draft = place.with_suffix(f".{os.getpid()}.new")
        with draft.open("wb") as stream:
            pl.DataFrame(row).write_ipc(stream, compression="zstd")
            stream.flush()
            os.fsync(stream.fileno())
        # Another process may keep house in the same folder.
        with suppress(FileNotFoundError):
            draft.replace(place)


def _many(name: str) -> str:
    return f"events.{name}"
