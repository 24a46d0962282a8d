"""Events and rejects made by hand, for an archive."""

import hashlib
import ipaddress
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import polars as pl

from serantau.clock import instant
from serantau.lane.archive import Archive, Written
from serantau.lane.frame import EVENTS, REJECTS
from serantau.rules.event import halves
from serantau.rules.taxonomy import CLASS_OF

DAY = 86_400_000_000


def batch_of(name: object) -> str:
    """Name a batch as its bytes' digest would."""
    return hashlib.sha256(str(name).encode()).hexdigest()


def at(text: str) -> datetime:
    """Read `2026-03-01T10:00` or `2026-03-01` as UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def now(text: str) -> int:
    """Read the same as an instant."""
    return instant(at(text).isoformat())


def event(address: str | None = "198.51.100.1", **more: Any) -> dict[str, Any]:
    """Make one event; what is not said is about one day in March 2026."""
    row: dict[str, Any] = {
        "time": at("2026-03-01T10:00"),
        "batch": batch_of("one"),
        "number": 1,
        "feed": "made",
        "type": "scanner",
        "source_address": address,
        **more,
    }
    row.setdefault("received", row["time"])
    row.setdefault("class", CLASS_OF[row["type"]])
    for side in ("source", "destination"):
        text = row.get(f"{side}_address")
        if text is not None:
            found = ipaddress.ip_address(text)
            ends = halves(int(found), found.version)
            row[f"{side}_hi"], row[f"{side}_lo"] = ends
    row.setdefault(
        "fingerprint",
        hashlib.sha256(f"{row['feed']} {address} {row['type']}".encode()).hexdigest()[
            :32
        ],
    )
    return row


def events(rows: Iterable[dict[str, Any]]) -> pl.DataFrame:
    """Make a frame of events."""
    return pl.DataFrame(
        [{name: row.get(name) for name in EVENTS} for row in rows], schema=EVENTS
    )


def rejects(*rows: dict[str, Any]) -> pl.DataFrame:
    """Make a frame of rejects."""
    full = [
        {
            "received": at("2026-03-01T10:00"),
            "batch": batch_of("one"),
            "feed": "made",
            "line": place,
            "reason": "address",
            **row,
        }
        for place, row in enumerate(rows, 1)
    ]
    return pl.DataFrame(
        [{name: row.get(name) for name in REJECTS} for row in full], schema=REJECTS
    )


def written(
    archive: Archive,
    name: object,
    rows: Iterable[dict[str, Any]],
    *refused: dict[str, Any],
    version: int = 1,
) -> Written:
    """Write a batch's events and rejects, and do not commit them."""
    batch = batch_of(name)
    numbered = [
        {**row, "batch": batch, "number": number} for number, row in enumerate(rows, 1)
    ]
    with archive.writing(batch, version=version) as writing:
        writing.add(
            events(numbered), rejects(*({**row, "batch": batch} for row in refused))
        )
    return writing.written


def put(
    archive: Archive, name: object, rows: Iterable[dict[str, Any]], *refused: Any
) -> None:
    """Write and commit a batch."""
    assert archive.commit(written(archive, name, rows, *refused)) == {batch_of(name)}


def stored(archive: Archive) -> pl.DataFrame:
    """Read every event, by batch and number."""
    return _all(archive.events).sort("batch", "number")


def refused(archive: Archive) -> pl.DataFrame:
    """Read every reject, by batch and line."""
    return _all(archive.rejects).sort("batch", "line")


def _all(table: Any) -> pl.DataFrame:
    frame: pl.DataFrame = table.scan(table.listed()["path"].to_list()).collect()
    return frame
