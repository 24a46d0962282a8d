"""Who must act: the best claim on each row, as of the row's own time.

Claims come from the register of assets and, where no asset fits, from the states'
country codes. Their order is that of serantau.rules.asset.RANKS.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from serantau.lane.address import Intervals, narrowest, span
from serantau.lane.frame import INSTANT
from serantau.lane.match import Words
from serantau.lane.ranges import country_of_tld
from serantau.rules.asset import Asset, Kind

_ERAS_KEPT: Final = 8
_ALWAYS: Final = -(1 << 63)


@dataclass(frozen=True, slots=True)
class Era:
    """The claims that hold in one stretch of time, each as a row of `Owners.claims`.

    prefixes: by key. domains: and what is below them. numbers: AS numbers, each as a
    range of one. tlds: by the last label of a name. countries: by code.
    """

    prefixes: Intervals
    domains: Words
    numbers: Intervals
    tlds: Mapping[str, int]
    countries: Mapping[str, int]

    def of_domains(self, domains: pl.Series) -> pl.DataFrame:
        """Find the claims on names.

        Args:
            domains: names as in a row, null where it has none.

        Returns:
            As many rows. domain: the claim of the longest asset that the name is or is
            below. tld: that of its top-level domain. Both Int32, null without one.
        """
        nothing = pl.lit(None, pl.Int32)
        if domains.null_count() == len(domains):
            rows = domains.to_frame("name")
            return rows.select(domain=nothing, tld=nothing)
        each = domains.drop_nulls().unique()
        # The longest come first.
        longest = self.domains.above(each).unique(
            "place", keep="first", maintain_order=True
        )
        claims = each.to_frame("name").with_columns(
            domain=pl.Series([None], dtype=pl.Int32)
            .new_from_index(0, len(each))
            .scatter(longest["place"], longest["row"]),
            tld=pl.col("name")
            .str.extract(r"([^.]+)$")
            .replace_strict(self.tlds, default=None, return_dtype=pl.Int32)
            if self.tlds
            else nothing,
        )
        return (
            domains.to_frame("name")
            .join(claims, on="name", how="left", maintain_order="left")
            .select("domain", "tld")
        )


class Owners:
    """All claims, and which of them hold when.

    claims: party and asset (null for a state's own claim), member, reason: for each
    claim, what a row that it wins is told.
    """

    def __init__(
        self, assets: Sequence[Asset] = (), members: Mapping[str, str] | None = None
    ) -> None:
        """Know the claims.

        Args:
            assets: of the register.
            members: profile codes by ISO 3166-1 alpha-2 codes.
        """
        # Of equal claims the one that began last wins, then the party's name decides,
        # so that every machine decides alike.
        self.assets = sorted(
            set(assets),
            key=lambda one: (
                -(one.since if one.since is not None else _ALWAYS),
                one.party,
                one.kind,
                one.value,
                one.until is None,
                one.until or 0,
                one.member,
                one.source,
            ),
        )
        self.members = dict(members or {})
        states = sorted(self.members)
        self.claims = pl.DataFrame(
            [
                (one.party, one.member, f"{one.kind}:{one.value}", one.kind.value)
                for one in self.assets
            ]
            + [
                (None, self.members[code], None, kind.value)
                for kind in (Kind.CCTLD, Kind.COUNTRY)
                for code in states
            ],
            {
                "party": pl.String,
                "member": pl.String,
                "asset": pl.String,
                "reason": pl.String,
            },
            orient="row",
        )
        start = len(self.assets)
        codes = {code: start + at for at, code in enumerate(states)}
        self._tlds = {
            **{_tld(code): row for code, row in codes.items()},
            **{
                tld: codes[code]
                for tld, code in country_of_tld().items()
                if code in codes
            },
        }
        self._countries = {code: row + len(states) for code, row in codes.items()}
        bounds = (at for one in self.assets for at in (one.since, one.until))
        self._cuts = sorted({at for at in bounds if at is not None})
        self._eras: OrderedDict[int, Era] = OrderedDict()

    def __reduce__(self) -> tuple[Any, ...]:
        return Owners, (self.assets, self.members)

    def eras(self, times: pl.Series) -> pl.Series:
        """Give for each instant the number of the stretch of time that it is in."""
        cuts = pl.Series(self._cuts, dtype=pl.Int64).cast(INSTANT)
        return cuts.search_sorted(times, side="right")

    def era(self, number: int) -> Era:
        """Give the claims that hold in a stretch of time."""
        if (known := self._eras.get(number)) is not None:
            self._eras.move_to_end(number)
            return known
        at = self._cuts[number - 1] if number else _ALWAYS
        made = self._make(at)
        self._eras[number] = made
        if len(self._eras) > _ERAS_KEPT:
            self._eras.popitem(last=False)
        return made

    def _make(self, at: int) -> Era:
        spans = []
        found: dict[Kind, dict[str, int]] = {kind: {} for kind in Kind}
        for row, asset in enumerate(self.assets):
            if not asset.holds(at):
                continue
            if asset.kind is Kind.PREFIX:
                spans.append((*span(asset.value), row))
            else:
                found[asset.kind].setdefault(asset.value, row)
        numbers = pl.DataFrame(
            [(int(value), row) for value, row in found[Kind.ASN].items()],
            {"asn": pl.Int64, "row": pl.Int32},
            orient="row",
        ).sort("asn")
        return Era(
            narrowest(spans),
            Words.of(found[Kind.DOMAIN]),
            Intervals(numbers["asn"], numbers["asn"], numbers["row"]),
            {**self._tlds, **found[Kind.CCTLD]},
            {**self._countries, **found[Kind.COUNTRY]},
        )


def _tld(code: str) -> str:
    """Give the usual top-level domain of a state."""
    return "uk" if code == "GB" else code.lower()
