"""A Delta table as plain files: one state of it out of its place, and into another.

The state is told by one commit that names its files and has all marks of batches, so a
table that was carried refuses the same batches. What earlier states said stays behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec
import polars as pl
from deltalake import DeltaTable
from deltalake._internal import DeltaFileSystemHandler

from serantau.clock import SystemClock
from serantau.lane.delta import Table, told

COMMIT: Final = f"_delta_log/{0:020}.json"
"""The one commit of a table that was carried: with it the table is there."""

_ACTIONS: Final = ("protocol", "metaData", "txn", "add")
# How many actions are in memory at a time; one with its statistics has a few KB.
_SLICE: Final = 10_000


@dataclass(frozen=True, slots=True)
class State:
    """One state of a table. files: their sizes by path. columns: their names."""

    files: Mapping[str, int]
    rows: int
    columns: tuple[str, ...]


def is_there(table: Table) -> bool:
    """Say whether there is a table; one that is not is not made.

    Raises:
        StoreError: its store does not answer.
    """
    with told(table.root):
        return bool(DeltaTable.is_deltatable(table.root, table.storage))


def write_down(table: Table, write: Callable[[bytes], object]) -> State:
    """Write the newest state as the only commit of a table, which is there already.

    Raises:
        StoreError: the table cannot be read.
    """
    held = table.open()
    version = table.checkpoint()
    path = f"{table.root}/_delta_log/{version:020}.checkpoint.parquet"
    files: dict[str, int] = {}
    rows = 0
    info = {"timestamp": SystemClock().now() // 1000, "operation": "CLONE"}
    write(_line({"commitInfo": info}))
    with told(table.root):
        actions = pl.scan_parquet(
            path, storage_options=table.storage or None, glob=False
        ).select(_ACTIONS)
        height = int(actions.select(pl.len()).collect().item())
    for first in range(0, height, _SLICE):
        with told(table.root):
            some = actions.slice(first, _SLICE).collect()
        for row in some.iter_rows(named=True):
            said = _said(row)
            if not said:
                continue
            write(_line(said))
            added = said.get("add")
            if added is not None:
                files[added["path"]] = added["size"]
                rows += msgspec.json.decode(added["stats"])["numRecords"]
    columns = tuple(field.name for field in held.schema().fields)
    return State(files, rows, columns)


def _said(value: Any) -> Any:
    """Leave out what is null: Delta's JSON has no nulls."""
    if not isinstance(value, dict):
        return value
    return {name: _said(one) for name, one in value.items() if one is not None}


def _line(action: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(action) + b"\n"


@contextmanager
def reading(table: Table, path: str) -> Iterator[BinaryIO]:
    """Open a file of a table.

    Raises:
        FileNotFoundError: it is not there, or not any more.
    """
    if not table.everywhere:
        with Path(table.root, path).open("rb") as stream:
            yield stream
        return
    files = DeltaFileSystemHandler(table.root, table.storage)
    there: Any = files.open_input_file(path)
    with closing(there):
        yield there


def put_there(table: Table, path: str, source: BinaryIO, size: int) -> None:
    """Put a file of a table into its object store; one that is there stays.

    Args:
        table: in an object store.
        path: below its root.
        source: its bytes, which were looked at: there it appears whole.
        size: how many they are.

    Raises:
        StoreError: the store failed.
    """
    with told(table.root):
        files = DeltaFileSystemHandler(table.root, table.storage)
        try:
            if files.open_input_file(path).size() == size:
                return
        except FileNotFoundError:
            pass
        stream = files.open_output_stream(path)
        while piece := source.read(1 << 20):
            stream.write(piece)
        stream.close()  # type: ignore[attr-defined]
