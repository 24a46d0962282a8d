"""The live indicators of the store, kept beside it as values, and read as they change.

A million patterns take a minute to be read. So what was read is kept in a file, which
tells of each version by its stamp; what the store has under other stamps is read, and
what it has no more goes. The file may be lost at any time.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson
import polars as pl
import structlog

from serantau.clock import instant
from serantau.lane.match import INDICATORS
from serantau.records.audiences import Audiences
from serantau.records.database import Tx
from serantau.records.objects import Objects
from serantau.records.recalls import GONE
from serantau.rules.indicator import PatternError, values_of
from serantau.rules.marking import MarkingSet
from serantau.rules.pap import Act, permitted

FILE: Final = "indicators.parquet"
_PAGE: Final = 5_000
# So many versions that were read are worth a new file.
_WORTH: Final = 2_000
_HELD: Final = pl.Schema(
    {
        **INDICATORS,
        "since": pl.Int64(),
        "until": pl.Int64(),
        "added": pl.Int64(),
    }
)
_ALWAYS: Final = (1 << 63) - 1
# An indicator in which there is nothing to be looked for was read all the same.
_NOTHING: Final = "nothing"
# What was recalled is looked for no more, also where it is kept.
_NEWEST: Final = (
    f"FROM object WHERE type = :kind AND slot % 2 = 0 AND slot NOT IN {GONE}"
)

_log = structlog.get_logger(__name__)


class Indicators:
    """The values of the indicators in a store."""

    def __init__(self, folder: Path) -> None:
        """Know what the file in `folder` tells, until the store is looked into."""
        self._path = folder / FILE
        self._known = _read(self._path)
        self._last = -1
        self._gone: int | None = None
        self._barred = ""
        self._unsaved = 0
        self._live: pl.DataFrame | None = None
        self._turn = 0
        self._mark = 0

    def keep_up(self, tx: Tx) -> None:
        """Learn what is new, changed, revoked or deleted since the last time."""
        kind = tx.value("SELECT n FROM word WHERE text = 'indicator'")
        if kind is None:
            return
        gone, barred = Objects.deletions(tx), _barred(tx)
        if (gone, barred) != (self._gone, self._barred):
            # Also the first time: the file may be of any age, or of another store.
            self._barred = barred
            self._compare(tx, kind)
            self._gone = gone
        else:
            self._follow(tx, kind)
        if self._unsaved >= _WORTH:
            self._save()

    def _follow(self, tx: Tx, kind: int) -> None:
        while rows := tx.rows(
            f"SELECT added, id, body {_NEWEST} {self._barred} AND added > :last "
            "ORDER BY added LIMIT :page",
            kind=kind,
            last=self._last,
            page=_PAGE,
        ):
            self._learn(rows)
            self._last = int(rows[-1].added)

    def _compare(self, tx: Tx, kind: int) -> None:
        rows = tx.rows(f"SELECT added {_NEWEST} {self._barred}", kind=kind)
        held = pl.Series("added", [row.added for row in rows], dtype=pl.Int64)
        before = self._known.height
        self._known = self._known.filter(pl.col("added").is_in(held.implode()))
        if self._known.height < before:
            self._changed(1)
        known = self._known["added"]
        fresh = held.filter(~held.is_in(known.unique().implode())).sort()
        for start in range(0, len(fresh), _PAGE):
            self._learn(
                tx.rows(
                    "SELECT added, id, body FROM object WHERE "  # noqa: S608 - ours
                    + tx.among("added", "stamps"),
                    stamps=tx.array(fresh.slice(start, _PAGE)),
                )
            )
        self._last = max([self._last, *held.top_k(1)])

    def _learn(self, rows: list[Any]) -> None:
        # A newer version says anew what is looked for, or that nothing is.
        older = pl.col("indicator").is_in([str(row.id) for row in rows])
        fresh = [found for row in rows for found in _values(row)]
        self._known = pl.concat(
            [self._known.filter(~older), pl.DataFrame(fresh, _HELD, orient="row")]
        )
        self._changed(len(rows))

    def _changed(self, count: int) -> None:
        self._unsaved += count
        self._live = None

    def live(self, now: int) -> tuple[pl.DataFrame, int]:
        """Give what is looked for at an instant (INDICATORS), and which state that is.

        The state is another number whenever something began, ended or changed.
        """
        if self._live is None or now >= self._turn:
            known = self._known.filter(pl.col("kind") != _NOTHING)
            since, until = pl.col("since"), pl.col("until")
            holds = since.le(now) & until.gt(now)
            self._live = known.filter(holds).select(INDICATORS.names())
            turns = pl.concat([known["since"], known["until"]])
            self._turn = min([_ALWAYS, *turns.filter(turns > now).bottom_k(1)])
            self._mark += 1
        return self._live, self._mark

    def _save(self) -> None:
        """Write the file anew; whoever reads it sees one of the two."""
        self._unsaved = 0
        fresh = self._path.with_name(f"{FILE}.{secrets.token_hex(4)}.part")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Patterns may be TLP:RED.
            handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as stream:
                self._known.write_parquet(stream, compression_level=1)
            fresh.replace(self._path)
        except OSError as fault:
            fresh.unlink(missing_ok=True)
            _log.warning("indicators_not_kept", fault=str(fault))


def _barred(tx: Tx) -> str:
    """Give SQL that leaves out whatever a marking does not permit to be matched."""
    known = Audiences.known(tx)
    slots = [
        2 * int(row.n)
        for row in tx.rows("SELECT n, key FROM marking_set ORDER BY n")
        if not permitted(Act.MATCH, MarkingSet.from_key(row.key), known)
    ]
    return f"AND slot NOT IN ({', '.join(map(str, slots))})" if slots else ""


def _read(path: Path) -> pl.DataFrame:
    try:
        found = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError):
        return _HELD.to_frame()
    return found if found.schema == _HELD else _HELD.to_frame()


def _values(row: Any) -> Iterator[tuple[str, str, str, int, int, int]]:
    """Give (kind, value, indicator, since, until, added) of a live STIX pattern."""
    nothing = (_NOTHING, "", str(row.id), 0, 0, int(row.added))
    told = orjson.loads(row.body)
    if told.get("revoked") or told.get("pattern_type") != "stix":
        yield nothing
        return
    try:
        values = values_of(told["pattern"])
        since = instant(told["valid_from"])
        until = instant(told["valid_until"]) if "valid_until" in told else _ALWAYS
    except (PatternError, KeyError, ValueError):
        yield nothing
        return
    if not values:
        yield nothing
    for kind, value in values:
        yield kind, value, str(row.id), since, until, int(row.added)
