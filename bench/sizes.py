"""How much is measured: a run that takes minutes, or one that only shows it works."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a run of the bench is made of.

    folder: where nodes and inputs are made. runs: how often each figure is measured.
    objects: in a store or input. large: in the larger of two inputs. seconds: of load
    on a server. singles: objects sent one by one. leaves: of the release log's tree.
    small, big: stores that pages are compared between. Of the event lane: rows,
    large_rows: of a report, and of one whose memory is watched. indicators: that the
    node looks for. ranges: what share of the usual ranges and assets it has. files,
    posts: small ones. matched: rows, and as many indicators. archived: rows that are
    asked for, of so many days. parts: how often a part of a page of these is. Of cases:
    entries of a long one, cases on a board,
    entries written into a large one, cases opened that peers see.
    """

    folder: Path
    runs: int = 3
    objects: int = 100_000
    large: int = 1_000_000
    seconds: float = 5.0
    singles: int = 100
    leaves: int = 1_000_000
    small: int = 100_000
    big: int = 1_000_000
    rows: int = 1_000_000
    large_rows: int = 4_000_000
    indicators: int = 100_000
    ranges: float = 1.0
    files: int = 1_000
    posts: int = 1_000
    matched: int = 1_000_000
    archived: int = 10_000_000
    days: int = 30
    parts: int = 20
    entries: int = 10_000
    cases: int = 5_000
    written: int = 50
    peers: int = 10
    opened: int = 50


def full(folder: Path) -> Sizes:
    """Give the sizes that the targets name: a file of 20 GB, 100 million rows."""
    return Sizes(folder, large_rows=32_400_000, archived=100_000_000, leaves=10_000_000)


def quick(folder: Path) -> Sizes:
    """Give the sizes of a run that only shows that everything works."""
    return Sizes(
        folder,
        runs=1,
        objects=6_000,
        large=20_000,
        seconds=1.0,
        singles=5,
        leaves=3_000,
        small=4_000,
        big=20_000,
        rows=20_000,
        large_rows=40_000,
        indicators=1_000,
        ranges=0.01,
        files=20,
        posts=20,
        matched=20_000,
        archived=60_000,
        parts=2,
        entries=500,
        cases=20,
        written=3,
        peers=2,
        opened=3,
    )
