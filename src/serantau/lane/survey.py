"""Counts of the same events by time and by several columns, in one pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import polars as pl

from serantau.errors import BadRequest
from serantau.lane.frame import EVENTS
from serantau.lane.question import EVERY, Asking, column

# Every zone is some of these away from UTC. To cut at a zone's own hours and days is
# dear, so few times are cut so, not one a row.
_FINE: Final = "15m"


@dataclass(frozen=True, slots=True)
class Survey:
    """What a survey found.

    events: how many there are. over: `time` (the start of each step, in the zone that
    was asked for) and `events`, ordered by time; steps without an event are left out.
    top: for each column its values (null is one) and `events`, the most first.
    """

    events: int
    over: pl.DataFrame
    top: Mapping[str, pl.DataFrame]


def survey(
    asking: Asking, columns: Sequence[str], every: str, zone: str, limit: int = 300
) -> Survey:
    """Count events over time and by several columns.

    Args:
        asking: which events.
        columns: of few values each.
        every: `hour`, `day` or `week`.
        zone: whose hours and days they are: an IANA name.
        limit: values of a column at most.

    Raises:
        BadRequest: there is no such column or step.
        StoreError: the archive cannot be read.
    """
    if every not in EVERY:
        raise BadRequest(f"{every!r} is none of {', '.join(EVERY)}.")
    names = [column(name) for name in columns]

    def joined(found: Iterator[list[pl.DataFrame]]) -> list[pl.DataFrame]:
        held = [
            pl.DataFrame(schema={name: EVENTS[name], "events": pl.Int64})
            for name in ("time", *names)
        ]
        for each in found:
            held = [
                pl.concat([one, more])
                .group_by(one.columns[0])
                .agg(pl.col("events").sum())
                for one, more in zip(held, each, strict=True)
            ]
        return held

    over, *rest = asking.fold(partial(_counted, names=names), joined)
    local = pl.col("time").dt.convert_time_zone(zone).dt.truncate(EVERY[every])
    return Survey(
        int(over["events"].sum()),
        over.group_by(local).agg(pl.col("events").sum()).sort("time"),
        {
            name: one.sort("events", name, descending=[True, False]).head(limit)
            for name, one in zip(names, rest, strict=True)
        },
    )


def _counted(scan: pl.LazyFrame, names: list[str]) -> list[pl.DataFrame]:
    rows = scan.select("time", *names)
    many = pl.len().cast(pl.Int64).alias("events")
    asked = [rows.group_by(pl.col("time").dt.truncate(_FINE)).agg(many)]
    asked += [rows.group_by(name).agg(many) for name in names]
    return pl.collect_all(asked, engine="streaming")
