"""Rows of a log, newest first, a few at a time, and never a walk through all of it.

Rows get their numbers in the order of their instants, so a period is a range of
numbers. What no index finds is looked for in a part of that range; the answer says
where to go on, also when it found nothing there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from serantau.records.audit import Period
from serantau.records.database import Tx

LOOKED: Final = 20_000
"""Rows that one answer looks at where no index finds them."""
EVER: Final = Period()
_END: Final = 2**62


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows. within: when. before: only those before this number, 0 for all.

    by: a column with an index on it and `at`, and its value. also: SQL for what else
    holds of a row, without an index, and `values` that it binds.
    """

    within: Period = EVER
    before: int = 0
    by: tuple[str, Any] | None = None
    also: str = ""
    values: tuple[tuple[str, Any], ...] = ()


def newest(tx: Tx, table: str, wanted: Wanted, limit: int) -> tuple[list[int], int]:
    """Find rows, newest first.

    Args:
        tx: any transaction.
        table: a log's: with a number `n` and an instant `at`.
        wanted: which of them.
        limit: how many at most.

    Returns:
        Their numbers, and before which number to go on; 0 when nothing is older.
    """
    if wanted.by is not None and not wanted.also:
        return _by_index(tx, table, wanted, *wanted.by, limit)
    bounds = wanted.within.bounds()
    low = _first_since(tx, table, bounds["since"])
    high = _first_since(tx, table, bounds["until"])
    if wanted.before:
        high = min(high, wanted.before)
    conditions, values, floor = "", dict(wanted.values), low
    if wanted.also:
        floor = max(low, high - LOOKED)
        conditions = f" AND {wanted.also}"
        if wanted.by is not None:
            conditions += f" AND {wanted.by[0]} = :by"
            values["by"] = wanted.by[1]
    # Numbers are what is walked along, whatever else there is an index for.
    plain = " NOT INDEXED" if tx.lite else ""
    rows = tx.rows(
        f"SELECT n FROM {table}{plain} WHERE n >= :floor AND n < :high"
        f"{conditions} ORDER BY n DESC LIMIT :limit",
        floor=floor,
        high=high,
        limit=limit + 1,
        **values,
    )
    found = [int(row.n) for row in rows]
    if len(found) > limit:
        return found[:limit], found[limit - 1]
    return found, floor if floor > low else 0


def _by_index(
    tx: Tx, table: str, wanted: Wanted, column: str, value: Any, limit: int
) -> tuple[list[int], int]:
    last = _END
    if wanted.before:
        at = tx.value(f"SELECT at FROM {table} WHERE n = :n", n=wanted.before)
        last = _END if at is None else int(at)
    rows = tx.rows(
        f"SELECT n FROM {table} WHERE {column} = :value AND at >= :since "
        "AND at < :until AND (at, n) < (:last, :before) "
        "ORDER BY at DESC, n DESC LIMIT :limit",
        value=value,
        last=last,
        before=wanted.before or _END,
        limit=limit + 1,
        **wanted.within.bounds(),
    )
    found = [int(row.n) for row in rows[:limit]]
    return found, found[-1] if len(rows) > limit else 0


def _first_since(tx: Tx, table: str, instant: int) -> int:
    """Give the first number from an instant on; behind the last when there is none."""
    low = int(tx.value(f"SELECT min(n) FROM {table}") or 0)
    high = int(tx.value(f"SELECT max(n) FROM {table}") or 0) + 1
    if not instant:
        return low
    while low < high:
        middle = (low + high) // 2
        row = tx.row(
            f"SELECT n, at FROM {table} WHERE n >= :n ORDER BY n LIMIT 1", n=middle
        )
        if row is None or row.at >= instant:
            high = middle
        else:
            low = int(row.n) + 1
    return low
