"""What the kernel judges rows by, kept up to date with the node's store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson
import polars as pl
import structlog

from serantau.clock import instant
from serantau.lane.lists import read_folder
from serantau.lane.match import INDICATORS
from serantau.lane.reference import Reference
from serantau.node import Node
from serantau.records.assets import Assets
from serantau.records.database import Tx
from serantau.rules.indicator import PatternError, values_of

RANGES: Final = "ranges"
LISTS: Final = "warninglists"
_LOOK_SECONDS: Final = 15.0
_SECOND: Final = 1_000_000
_PAGE: Final = 5_000
_STEM: Final = {
    **INDICATORS,
    "since": pl.Int64(),
    "until": pl.Int64(),
}
_ALWAYS: Final = (1 << 63) - 1

_log = structlog.get_logger(__name__)


class Referring:
    """Gives the reference of a node; the same one as long as nothing changed."""

    def __init__(self, node: Node) -> None:
        """Put references together from what `node` holds."""
        self._node = node
        self._assets = Assets()
        self._indicators = _Indicators()
        self._looked = 0
        self._state: object = None
        self._reference: Reference | None = None

    def reference(self) -> Reference:
        """Give what rows are judged by now; it is at most some seconds old."""
        now = self._node.clock.now()
        if self._reference is not None and now - self._looked < _LOOK_SECONDS * _SECOND:
            return self._reference
        with self._node.db.read() as tx:
            assets = self._assets.all(tx)
            self._indicators.keep_up(tx)
        self._looked = now
        live, mark = self._indicators.live(now)
        lists = self._node.home / LISTS
        state = (assets, mark, _stamps(lists))
        if self._reference is None or state != self._state:
            found, faults = read_folder(lists) if lists.is_dir() else ([], [])
            for fault in faults:
                _log.warning("warninglist_left_out", fault=fault)
            self._reference = Reference.of(
                ranges=self._node.home / RANGES,
                assets=assets,
                members={
                    one.code.upper(): one.code for one in self._node.profile.members
                },
                lists=found,
                indicators=live,
                exercise=self._node.config.node.realm != "live",
            )
            self._state = state
        return self._reference


def _stamps(folder: Path) -> list[tuple[str, int]]:
    return sorted(
        (str(path), path.stat().st_mtime_ns) for path in folder.rglob("*.json")
    )


class _Indicators:
    """The values of the indicators in the store, read as they come."""

    def __init__(self) -> None:
        self._last = -1
        self._known = pl.DataFrame(schema=_STEM)

    def keep_up(self, tx: Tx) -> None:
        """Read what came since the last time."""
        kind = tx.value("SELECT n FROM word WHERE text = 'indicator'")
        if kind is None:
            return
        while rows := tx.rows(
            "SELECT added, id, body FROM object WHERE type = :kind AND added > :last "
            "AND slot % 2 = 0 ORDER BY added LIMIT :page",
            kind=kind,
            last=self._last,
            page=_PAGE,
        ):
            self._last = int(rows[-1].added)
            # A newer version says anew what is looked for, or that nothing is.
            older = pl.col("indicator").is_in([str(row.id) for row in rows])
            fresh = [found for row in rows for found in _values(row)]
            self._known = pl.concat(
                [
                    self._known.filter(~older),
                    pl.DataFrame(fresh, _STEM, orient="row"),
                ]
            )

    def live(self, now: int) -> tuple[pl.DataFrame, tuple[int, int]]:
        """Give what is looked for at an instant, and what tells it from another."""
        holds = pl.col("since").le(now) & pl.col("until").gt(now)
        live = self._known.filter(holds).select(INDICATORS.names())
        return live, (self._last, live.height)


def _values(row: Any) -> Iterator[tuple[str, str, str, int, int]]:
    """Give (kind, value, indicator, since, until) of a live STIX pattern."""
    told = orjson.loads(row.body)
    if told.get("revoked") or told.get("pattern_type") != "stix":
        return
    try:
        values = values_of(told["pattern"])
        since = instant(told["valid_from"])
        until = instant(told["valid_until"]) if "valid_until" in told else _ALWAYS
    except (PatternError, KeyError, ValueError):
        return
    for kind, value in values:
        yield kind, value, str(row.id), since, until
