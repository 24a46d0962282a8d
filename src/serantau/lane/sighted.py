"""What indicators were seen how often: summed up from what the archive holds.

A sum is worked out anew whenever rows of its day came in, so that it is the same
however often that is done, and whatever was killed in between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

import polars as pl

from serantau.lane.archive import Archive
from serantau.lane.condition import Condition, equals, within_time
from serantau.lane.delta import told
from serantau.lane.frame import INSTANT

SIGHTED: Final = pl.Schema(
    {
        "indicator": pl.String(),
        "tlp": pl.Int16(),
        "count": pl.Int64(),
        "first": INSTANT,
        "last": INSTANT,
    }
)
"""How often rows of one level matched an indicator, first and last. No nulls; an
indicator and level stand once."""

_BATCHES: Final = 1000
_DAY_US: Final = 86_400_000_000
_MATCHED: Final = pl.col("indicators").is_not_null()


def days_of(archive: Archive, since: int, batches: Sequence[str]) -> list[date]:
    """Give the days (UTC) of which some batches told something that matched.

    Args:
        archive: where they are.
        since: an instant; none of them came in before.
        batches: their digests.

    Raises:
        StoreError: the store cannot be read.
    """
    meant = within_time("received", since, None)
    if len(batches) <= _BATCHES:
        meant &= equals("batch", list(batches), measured=True)
    found: set[date] = set()
    table = archive.events
    for path in table.listed().filter(meant.file)["path"]:
        with told(table.root):
            rows = table.scan([path]).filter(_MATCHED & meant.row)
            days = rows.select(pl.col("time").dt.date()).unique().collect()
        found |= set(days.to_series())
    return sorted(found)


def of_day(
    archive: Archive, day: date, levels: Mapping[str, int], default: int
) -> pl.DataFrame:
    """Sum up what the events of a day (UTC) matched (SIGHTED), the most first.

    Args:
        archive: where they are.
        day: the day of their `time`.
        levels: the TLP level of each feed, for rows that name none.
        default: that of feeds that are not there.

    Raises:
        StoreError: the store cannot be read.
    """
    begin = int(pl.Series([day]).dt.epoch("us").item())
    meant: Condition = within_time("time", begin, begin + _DAY_US)
    by_feed = pl.col("feed").replace_strict(
        dict(levels), default=default, return_dtype=pl.Int16
    )
    parts = [pl.DataFrame(schema=SIGHTED)]
    table = archive.events
    for path in table.listed().filter(meant.file)["path"]:
        with told(table.root):
            parts.append(
                _summed(
                    table.scan([path])
                    .filter(_MATCHED & meant.row)
                    .select(
                        indicator=pl.col("indicators").str.split(","),
                        tlp=pl.coalesce("tlp", by_feed if levels else pl.lit(default)),
                        count=pl.col("count").fill_null(1),
                        first=pl.min_horizontal("time", "first_seen"),
                        last=pl.max_horizontal("time", "last_seen"),
                    )
                    .explode("indicator")
                ).collect(engine="streaming")
            )
    whole = _summed(pl.concat(parts).lazy()).collect()
    return whole.sort("count", "indicator", "tlp", descending=[True, False, False])


def _summed(rows: pl.LazyFrame) -> pl.LazyFrame:
    return (
        rows.group_by("indicator", "tlp")
        .agg(pl.col("count").sum(), pl.col("first").min(), pl.col("last").max())
        .cast(SIGHTED)
    )
