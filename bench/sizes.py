"""How much is measured: a run that takes minutes, or one that only shows it works."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a run of the bench is made of.

    folder: where nodes and inputs are made. runs: how often each figure is measured.
    objects: in a store or input. large: in the larger of two inputs. seconds: of load
    on a server. singles: objects sent one by one. small, big: stores that pages are
    compared between.
    """

    folder: Path
    runs: int = 3
    objects: int = 100_000
    large: int = 1_000_000
    seconds: float = 5.0
    singles: int = 100
    small: int = 100_000
    big: int = 1_000_000


def quick(folder: Path) -> Sizes:
    """Give the sizes of a run that only shows that everything works."""
    return Sizes(
        folder,
        runs=1,
        objects=6_000,
        large=20_000,
        seconds=1.0,
        singles=5,
        small=4_000,
        big=20_000,
    )
