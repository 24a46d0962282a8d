"""Frames of the lane: the event columns and those of rejected rows, as Polars types."""

from __future__ import annotations

from typing import Any, Final

import polars as pl

from serantau.rules.event import COLUMNS, Kind

INSTANT: Final = pl.Datetime("us", "UTC")
_TYPES: Final[dict[Kind, Any]] = {
    Kind.TEXT: pl.String,
    Kind.SMALL: pl.Int16,
    Kind.INTEGER: pl.Int32,
    Kind.LONG: pl.Int64,
    Kind.INSTANT: INSTANT,
    Kind.JSON: pl.String,
}

EVENTS: Final = pl.Schema({one.name: _TYPES[one.kind] for one in COLUMNS})
"""The columns of an event in their order (serantau.rules.event)."""

REJECTS: Final = pl.Schema(
    {
        "received": INSTANT,
        "batch": pl.String(),
        "feed": pl.String(),
        "report": pl.String(),
        "file": pl.String(),
        "line": pl.Int64(),
        "column": pl.String(),
        "value": pl.String(),
        "reason": pl.String(),
        "raw": pl.String(),
    }
)
"""A row that could not be read: where, which column and value, why, and its text.

file: within an archive of files. line: in that file, from 1; of a record that has none
of its own, which one it is."""


def conform(frame: pl.DataFrame, schema: pl.Schema = EVENTS) -> pl.DataFrame:
    """Give a frame these columns in this order; missing ones are null.

    Raises:
        polars.exceptions.InvalidOperationError: a column holds another kind of value.
    """
    return frame.select(
        pl.col(name).cast(kind, strict=True)
        if name in frame.columns
        else pl.lit(None, dtype=kind).alias(name)
        for name, kind in schema.items()
    )
