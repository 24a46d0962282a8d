"""Counts of the same events by time and by several columns, in one pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

import polars as pl

from serantau.errors import BadRequest
from serantau.lane.frame import EVENTS
from serantau.lane.question import EVERY, Asking, column
from serantau.lane.tally import Tallies, counted


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
    asking: Asking,
    columns: Sequence[str],
    every: str,
    zone: str,
    limit: int = 300,
    kept: Tallies | None = None,
) -> Survey:
    """Count events over time and by several columns.

    Args:
        asking: which events.
        columns: of few values each.
        every: `hour`, `day` or `week`.
        zone: whose hours and days they are: an IANA name.
        limit: values of a column at most.
        kept: counts by these columns; files that they know need not be read.

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

    # Times are cut finely first: to cut at a zone's own hours and days is dear.
    held = kept.held(asking.whole()) if kept else {}
    asking.leave_out(held)
    over, *rest = asking.fold(
        partial(counted, columns=names),
        lambda found: joined(chain(kept.frames(held) if kept else (), found)),
    )
    local = pl.col("time").dt.convert_time_zone(zone).dt.truncate(EVERY[every])
    return Survey(
        int(over["events"].sum()),
        over.group_by(local).agg(pl.col("events").sum()).sort("time"),
        {
            name: one.sort("events", name, descending=[True, False]).head(limit)
            for name, one in zip(names, rest, strict=True)
        },
    )
