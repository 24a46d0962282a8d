"""Files of the archive as bytes, and what the log tells of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO, Any, Final

import msgspec
import polars as pl

ROW_GROUP: Final = 65_536
ZSTD: Final = 1
"""Sorted columns pack better at zstd's first level than at its third, and faster."""

# Longer texts than this say nothing about where something is.
_LONGEST: Final = 64


class Packed(msgspec.Struct, frozen=True):
    """A file that was made where the table is not.

    body: its bytes. stats: the least and largest values of its columns, as Delta's
    JSON.
    """

    day: str
    rows: int
    stats: str
    body: bytes


def pack(frame: pl.DataFrame, stream: IO[bytes]) -> None:
    """Write a frame as a file of the archive."""
    frame.write_parquet(
        stream, compression_level=ZSTD, row_group_size=ROW_GROUP, statistics=True
    )


def stats_of(frame: pl.DataFrame, measured: Sequence[str]) -> str:
    """Write what a file's columns span, as the Delta protocol has it."""
    spans = frame.select(
        expression
        for name in measured
        for expression in (
            pl.col(name).min().alias(f"min.{name}"),
            pl.col(name).max().alias(f"max.{name}"),
            pl.col(name).null_count().alias(f"null.{name}"),
        )
    ).row(0, named=True)
    least, most, nulls = {}, {}, {}
    for name in measured:
        low, high = _span(spans[f"min.{name}"]), _span(spans[f"max.{name}"])
        if low is not None and high is not None:
            least[name], most[name] = low, high
        nulls[name] = spans[f"null.{name}"]
    return msgspec.json.encode(
        {
            "numRecords": frame.height,
            "minValues": least,
            "maxValues": most,
            "nullCount": nulls,
        }
    ).decode()


def _span(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= _LONGEST else None
    if value is None or isinstance(value, int):
        return value
    return value.isoformat(timespec="microseconds").replace("+00:00", "Z")
