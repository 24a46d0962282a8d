"""Conditions on rows, each with what it means for a whole file.

A file tells the span of some of its columns. So a condition comes as two expressions:
one over rows, and one over the list of files (serantau.lane.delta.Table.files) that is
false only for a file which has no such row. What is not known is read.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final

import polars as pl

from serantau.errors import BadRequest
from serantau.lane.frame import INSTANT
from serantau.rules.event import halves
from serantau.rules.text import refang

SIDES: Final = ("source", "destination")
Place = tuple[int, int]
"""An address as its two sortable halves."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What rows must be. row: over rows; null is no. file: over files; never null."""

    row: pl.Expr
    file: pl.Expr

    def __and__(self, other: Condition) -> Condition:
        return Condition(self.row & other.row, self.file & other.file)

    def __or__(self, other: Condition) -> Condition:
        return Condition(self.row | other.row, self.file | other.file)


ANY: Final = Condition(pl.lit(value=True), pl.lit(value=True))


def all_of(conditions: Iterable[Condition]) -> Condition:
    """Join conditions that must all hold; none at all holds for every row."""
    return reduce(Condition.__and__, conditions, ANY)


def any_of(conditions: Sequence[Condition]) -> Condition:
    """Join conditions of which one must hold."""
    return reduce(Condition.__or__, conditions)


def _has_values(name: str) -> pl.Expr:
    """Say whether a file has a value in a column: not, when all its rows are null."""
    nulls, rows = pl.col(f"null_count.{name}"), pl.col("num_records")
    return nulls.lt(rows).fill_null(value=True)


def _spans(name: str, low: Any, high: Any) -> pl.Expr:
    least = pl.col(f"min.{name}").le(high).fill_null(value=True)
    most = pl.col(f"max.{name}").ge(low).fill_null(value=True)
    return _has_values(name) & least & most


def equals(name: str, values: Sequence[Any], *, measured: bool) -> Condition:
    """Ask for one of some values; None among them asks for null.

    Args:
        name: the column.
        values: of the column's own type.
        measured: whether files tell the column's span.
    """
    some = [value for value in values if value is not None]
    row, file = pl.lit(value=False), pl.lit(value=False)
    if some:
        row |= pl.col(name).is_in(some)
        file |= pl.any_horizontal(_spans(name, value, value) for value in some[:100])
        if len(some) > 100:
            file = _spans(name, min(some), max(some))
    if len(some) < len(values):
        row |= pl.col(name).is_null()
        file |= (pl.col(f"null_count.{name}") > 0).fill_null(value=True)
    return Condition(row, file if measured else ANY.file)


def within_time(name: str, since: int | None, until: int | None) -> Condition:
    """Ask for instants from `since` up to, not with, `until`; None leaves it open."""
    row, file = ANY.row, ANY.file
    if since is not None:
        at = pl.lit(since, dtype=pl.Int64).cast(INSTANT)
        row &= pl.col(name) >= at
        file &= (pl.col(f"max.{name}") >= at).fill_null(value=True)
    if until is not None:
        at = pl.lit(until, dtype=pl.Int64).cast(INSTANT)
        row &= pl.col(name) < at
        file &= (pl.col(f"min.{name}") < at).fill_null(value=True)
    return Condition(row, file)


def within_range(side: str, first: Place, last: Place) -> Condition:
    """Ask for an address between two, both included.

    Args:
        side: `source` or `destination`.
        first: the least address.
        last: the largest.
    """
    hi, lo = f"{side}_hi", f"{side}_lo"
    if first[0] == last[0]:
        row = (pl.col(hi) == first[0]) & pl.col(lo).is_between(first[1], last[1])
    else:
        row = (
            pl.col(hi).is_between(first[0], last[0])
            & ((pl.col(hi) > first[0]) | (pl.col(lo) >= first[1]))
            & ((pl.col(hi) < last[0]) | (pl.col(lo) <= last[1]))
        )
    file = _spans(hi, first[0], last[0])
    if first[0] == last[0]:
        # The lower half tells something only of files with one upper half: all IPv4.
        one = (pl.col(f"min.{hi}") == pl.col(f"max.{hi}")).fill_null(value=False)
        file &= ~one | _spans(lo, first[1], last[1])
    return Condition(row, file)


def read_range(text: str) -> tuple[Place, Place]:
    """Read an address, a prefix or `first-last`.

    Raises:
        BadRequest: it is none of these.
    """
    first, dash, last = refang(text.strip()).partition("-")
    try:
        if dash:
            low, high = ipaddress.ip_address(first), ipaddress.ip_address(last)
        else:
            network = ipaddress.ip_network(first, strict=False)
            low, high = network.network_address, network.broadcast_address
    except ValueError as fault:
        raise BadRequest(
            f"{text[:80]!r} is no address, prefix or FIRST-LAST.",
            mend="Expected such as 203.0.113.5, 203.0.113.0/24, 2001:db8::/32 or "
            "203.0.113.5-203.0.113.9.",
        ) from fault
    ends = halves(int(low), low.version), halves(int(high), high.version)
    if ends[0] > ends[1]:
        raise BadRequest(f"{text!r} ends before it begins.")
    return ends


def in_ranges(texts: Sequence[str], sides: Sequence[str] = SIDES[:1]) -> Condition:
    """Ask for an address in one of some ranges, at one of some ends.

    Raises:
        BadRequest: a text is no address, prefix or range.
    """
    ranges = [read_range(text) for text in texts]
    return any_of(
        [within_range(side, first, last) for side in sides for first, last in ranges]
    )
