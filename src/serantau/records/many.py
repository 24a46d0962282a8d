"""Reading many ranges of stamps at once: of a party that is in many circles.

A merge that is written out has a SELECT for each range. To compile thousands of them
takes longer than to read what they find; here the ranges are bound as a list.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import orjson

from serantau.records.database import Tx


def bound(tx: Tx, place: int, ranges: Sequence[tuple[int, int]]) -> dict[str, object]:
    """Give what is bound for ranges, as (slot, stamp behind which it begins)."""
    if tx.lite:
        return {f"ranges{place}": orjson.dumps(ranges).decode()}
    return {
        f"slots{place}": tx.array(slot for slot, _ in ranges),
        f"floors{place}": tx.array(since for _, since in ranges),
    }


@lru_cache(maxsize=512)
def many_sql(scopes: tuple[int, ...], lite: bool) -> str:
    """Write the SQL that reads many ranges, of slots and floors that are bound.

    Of each range no more is read than a page has room for, and all is sorted.
    """
    branches = []
    for place, scope in enumerate(scopes):
        source = "entry" if scope else "object"
        own = f"x.scope = {scope} AND " if scope else ""
        one = "x.added, x.object" if scope else "x.added, x.added AS object"
        if lite:
            few = (
                f"SELECT y.added FROM {source} y WHERE {own.replace('x.', 'y.')}"
                "y.slot = json_extract(r.value, '$[0]') AND y.added > "
                "max(:after, json_extract(r.value, '$[1]')) "
                "ORDER BY y.added LIMIT :limit"
            )
            branches.append(
                f"SELECT {one} FROM json_each(:ranges{place}) AS r CROSS JOIN {source} "
                f"x WHERE {own}x.slot = json_extract(r.value, '$[0]') "
                f"AND x.added IN ({few})"
            )
            continue
        branches.append(
            "SELECT m.added, m.object FROM unnest("
            f":slots{place}::bigint[], :floors{place}::bigint[]) AS r(slot, floor) "
            f"CROSS JOIN LATERAL (SELECT {one} FROM {source} x WHERE {own}"
            "x.slot = r.slot AND x.added > greatest(:after, r.floor) "
            "ORDER BY x.added LIMIT :limit) AS m"
        )
    return " UNION ALL ".join(branches) + " ORDER BY 1 LIMIT :limit"
