"""Findings that a batch had before: its pieces are judged apart, and told once."""

from __future__ import annotations

from typing import Final

import polars as pl

from serantau.lane.address import KEY

_SEEDS: Final = (1, 2)
_HALF: Final = 1 << 64


class Once:
    """Remembers the findings of a batch, 16 bytes each.

    Runs of them are kept in order, each at least twice as long as the next, so that a
    piece is searched in a few and nothing is sorted often.
    """

    def __init__(self, most: int = 20_000_000) -> None:
        """Remember up to `most` findings; beyond, the oldest are forgotten."""
        self._most = most
        self._runs: list[pl.Series] = []

    def __len__(self) -> int:
        return sum(map(len, self._runs))

    def fresh(self, events: pl.DataFrame) -> pl.Series:
        """Say which events are the first of their finding, day and TLP level.

        They are remembered. Findings are told apart by 128 bits, so two that differ are
        not taken for one.

        Args:
            events: fingerprint, time and tlp, as kernel.run gives them: within one
                frame no finding is there twice.

        Returns:
            A Boolean for each event, without nulls.
        """
        what = events.select("fingerprint", "tlp", day=pl.col("time").dt.date())
        upper, lower = (
            what.hash_rows(seed).reinterpret(signed=True).alias(str(seed))
            for seed in _SEEDS
        )
        table = pl.DataFrame([upper, lower]).select(
            key=pl.col("1").cast(KEY) * pl.lit(_HALF, KEY) + pl.col("2").cast(KEY)
        )
        keys = table["key"]
        order = keys.arg_sort()
        asked = keys.gather(order)
        known = pl.repeat(value=False, n=len(asked), eager=True)
        for run in self._runs:
            # Behind the last there is nothing: there the last itself is looked at.
            place = run.search_sorted(asked).clip(upper_bound=len(run) - 1)
            known |= run.gather(place) == asked
        self._keep(asked.filter(~known))
        return pl.repeat(value=True, n=len(asked), eager=True).scatter(
            order.filter(known), values=False
        )

    def _keep(self, run: pl.Series) -> None:
        if not len(run):
            return
        while (
            self._runs
            and len(self._runs[-1]) < 2 * len(run)
            and len(self._runs[-1]) + len(run) <= self._most // 2
        ):
            longer = self._runs.pop().to_frame("key")
            run = longer.merge_sorted(run.to_frame("key"), key="key")["key"]
        self._runs.append(run)
        while len(self) > self._most:
            del self._runs[0]
