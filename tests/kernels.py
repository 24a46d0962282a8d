"""What tests of the kernel share: rows, and what became of them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import polars as pl

from serantau.lane import kernel
from serantau.lane.frame import EVENTS, REJECTS
from serantau.lane.reference import Reference

DAY = datetime(2026, 11, 20, 12, tzinfo=UTC)


MEMBERS = {"TH": "th", "SG": "sg", "GB": "gb"}


COUNTRIES = """1.0.0.0/24,TH
1.0.1.0/24,SG
1.0.2.0/24,US
2001:200::/32,TH
"""


NETWORKS = """1.0.0.0/25,64500,Bank
1.0.1.0/24,64501,Hoster
2001:200::/48,64500,Bank
"""


def rows(*said: Mapping[str, Any]) -> pl.DataFrame:
    """Make rows as a format gives them."""
    usual = {
        "received": DAY,
        "time": DAY,
        "batch": "ab" * 32,
        "feed": "shadowserver",
        "type": "infected-system",
    }
    made = [{**usual, "number": at, **one} for at, one in enumerate(said, 1)]
    names = {name for one in made for name in one}
    return pl.DataFrame(
        made,
        {name: dtype for name, dtype in EVENTS.items() if name in names},
        strict=False,
    )


def run(*said: Mapping[str, Any], reference: Reference | None = None) -> kernel.Done:
    done = kernel.run(rows(*said), reference or Reference())
    assert done.events.schema == EVENTS
    assert done.rejects.schema == REJECTS
    assert done.events.height + done.rejects.height + done.repeated == len(said)
    return done


def judged(said: Mapping[str, Any], reference: Reference) -> dict[str, Any]:
    return run(said, reference=reference).events.row(0, named=True)
