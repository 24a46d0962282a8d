"""What the kernel must know to judge a row: one record, which can be sent elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from serantau.lane.lists import Lists, Warninglist
from serantau.lane.match import NOTHING, Known
from serantau.lane.owners import Owners
from serantau.lane.ranges import Shelf, Special, Version, special
from serantau.rules.asset import Asset


@dataclass(frozen=True, slots=True)
class Reference:
    """What rows are judged by.

    shelf: the ranges of countries and AS numbers, by day. special: ranges that are
    nobody's. lists: warninglists. indicators: what the node looks for. owners: who
    answers for what. categories: a nation's own category by RSIT type or class.
    """

    shelf: Shelf = field(default_factory=Shelf)
    special: Special = field(default_factory=special)
    lists: Lists = field(default_factory=Lists)
    indicators: Known = NOTHING
    owners: Owners = field(default_factory=Owners)
    categories: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        *,
        ranges: Path | None = None,
        assets: Sequence[Asset] = (),
        members: Mapping[str, str] | None = None,
        lists: Sequence[Warninglist] = (),
        indicators: pl.DataFrame | None = None,
        categories: Mapping[str, str] | None = None,
        exercise: bool = False,
    ) -> Reference:
        """Put a reference together.

        Args:
            ranges: the folder of the node's range data; None: look nothing up.
            assets: of the register.
            members: profile codes by ISO 3166-1 alpha-2 codes.
            lists: as `lists.read_folder` gives them.
            indicators: what is live, as match.INDICATORS.
            categories: by RSIT type; by class, for types that have none of their own.
            exercise: the node's realm is an exercise, where addresses that are meant
                for documentation have owners.
        """
        return cls(
            Shelf(ranges),
            special(exercise=exercise),
            Lists.of(lists),
            NOTHING if indicators is None else Known.of(indicators),
            Owners(assets, members),
            dict(categories or {}),
        )

    def sent(self, files: Mapping[Version, Callable[[], bytes]]) -> Reference:
        """Give a reference that needs no folder, and gets range data by these."""
        return replace(self, shelf=Shelf(files=files))
