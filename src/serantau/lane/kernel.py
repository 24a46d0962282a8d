"""The kernel: what a format read becomes events that say whose they are.

A pure function on a frame: the same rows and the same reference give the same events,
on whichever machine. Its steps, in this order:

1. Harmonise; rows that cannot be true become rejects.
2. Fingerprint, and put rows of one finding, day and TLP level into one.
3. Look up the network, AS number and country of each address, in the range data that
   was in force on the event's day.
4. Name the owner: the best claim that held at the event's time.
5. Mark what is in a special range or on a warninglist.
6. Match with indicators.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from serantau.lane import fingerprint
from serantau.lane.address import KEY, keys
from serantau.lane.frame import conform
from serantau.lane.harmonise import SIDES, harmonise
from serantau.lane.match import HITS, Asked, named
from serantau.lane.owners import Era, Owners
from serantau.lane.ranges import NOTHING, Kind, Ranges, choose
from serantau.lane.reference import Reference

_LOOKED_UP: Final = ("asn", "network", "country")


@dataclass(frozen=True, slots=True)
class Done:
    """What became of rows.

    events: EVENTS. rejects: REJECTS. repeated: how many rows went into another one.
    """

    events: pl.DataFrame
    rejects: pl.DataFrame
    repeated: int = 0


def run(frame: pl.DataFrame, reference: Reference) -> Done:
    """Make events of the rows of one piece.

    Args:
        frame: columns of EVENTS as a format gives them. received, batch, number and
            feed are never null; addresses are texts as they were read.
        reference: what rows are judged by.
    """
    rows, rejects = harmonise(frame)
    events = _once(rows)
    repeated = rows.height - events.height
    if not events.height:
        return Done(conform(events), rejects, repeated)
    places = _Places.of(events)
    special = reference.special.spans.find_ascending(places.addresses)
    events = _attribute(events, places, special, reference)
    events = events.with_columns(
        marks=_marks(events, places, special, reference),
        indicators=named(
            reference.indicators.find(_asked(events, places, SIDES)), events.height
        ),
        category=_categories(events, reference.categories),
    )
    return Done(conform(events), rejects, repeated)


# --- Once ----------------------------------------------------------------------------


def _once(rows: pl.DataFrame) -> pl.DataFrame:
    """Fingerprint rows, and put those of one finding, day and TLP level into one.

    What was read first stays; counts are summed, the worst severity and the highest
    confidence are kept, and the times span all. Levels are not mixed: a row must not
    become less restricted, nor its twin more.
    """
    lanes = fingerprint.lanes(rows)
    rows = rows.with_columns(fingerprint=fingerprint.text(lanes))
    # Equal fingerprints have equal first halves, and most rows are like no other.
    alike = lanes.to_series(0).is_duplicated()
    if not alike.any():
        return rows
    groups = (
        rows.with_row_index("row")
        .filter(alike)
        .with_columns(pl.col("time").dt.date().alias("day"))
        .group_by("fingerprint", "day", "tlp", maintain_order=True)
        .agg(
            "row",
            pl.col("count").fill_null(1).sum(),
            pl.col("severity", "confidence").max(),
            pl.col("time").min(),
            first_seen=pl.min_horizontal("time", "first_seen").min(),
            last_seen=pl.max_horizontal("time", "last_seen").max(),
        )
        .filter(pl.col("row").list.len() > 1)
    )
    stays = groups["row"].list.first()
    goes = groups.select(pl.col("row").list.slice(1).explode()).to_series()
    merged = ("count", "severity", "confidence", "time", "first_seen", "last_seen")
    return rows.with_columns(
        rows[name].scatter(stays, groups[name]) for name in merged
    ).filter(
        pl.repeat(value=True, n=rows.height, eager=True).scatter(goes, values=False)
    )


# --- Values that are looked for ------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Places:
    """The addresses of a piece, once each, and where each row's are among them.

    addresses: keys, ascending. of_side: by side, places in `addresses`, null without.
    """

    addresses: pl.Series
    of_side: Mapping[str, pl.Series]

    @classmethod
    def of(cls, events: pl.DataFrame) -> _Places:
        """Put the addresses of both ends in order."""
        height = events.height
        nowhere = pl.Series([None], dtype=pl.UInt32).new_from_index(0, height)
        each = {
            side: events.select(keys(f"{side}_hi", f"{side}_lo").alias("key"))["key"]
            for side in SIDES
            if events[f"{side}_lo"].null_count() < height
        }
        every = pl.concat([pl.Series("key", [], KEY), *each.values()])
        rank = every.rank("dense") - 1
        places = {side: rank.slice(at * height, height) for at, side in enumerate(each)}
        return cls(
            every.drop_nulls().unique().sort(),
            {side: places.get(side, nowhere) for side in SIDES},
        )


def _asked(events: pl.DataFrame, places: _Places, sides: tuple[str, ...]) -> Asked:
    return Asked(
        places.addresses,
        [places.of_side[side] for side in sides],
        [events[f"{side}_domain"] for side in sides],
        [events[f"{side}_url"] for side in sides],
        [events["hash"]],
    )


def _marks(
    events: pl.DataFrame, places: _Places, special: pl.Series, reference: Reference
) -> pl.Series:
    """Mark rows whose reported machine is in a special range or on a list."""
    purpose = reference.special.name.gather(special)
    hits = (
        pl.DataFrame({"words": purpose.gather(places.of_side["source"])})
        .with_row_index("row")
        .drop_nulls("words")
        .cast(HITS)
    )
    asked = _asked(events, places, ("source",))
    return named(pl.concat([hits, reference.lists.find(asked)]), events.height)


def _categories(events: pl.DataFrame, categories: Mapping[str, str]) -> pl.Series:
    if not categories:
        return pl.Series([None], dtype=pl.String).new_from_index(0, events.height)
    return events.select(
        pl.coalesce(
            pl.col(name).replace_strict(
                categories, default=None, return_dtype=pl.String
            )
            for name in ("type", "class")
        )
    ).to_series()


# --- Whose it is ---------------------------------------------------------------------


def _attribute(
    events: pl.DataFrame, places: _Places, special: pl.Series, reference: Reference
) -> pl.DataFrame:
    """Look up what is known of each address, and name each row's owner.

    Rows are judged together where the same range data and the same claims hold; mostly
    that is all of them.
    """
    shelf, owners = reference.shelf, reference.owners
    versions = {kind: shelf.versions(kind) for kind in Kind}
    days = events["time"].dt.date()
    chosen = {
        day: tuple(choose(versions[kind], day.isoformat()) for kind in Kind)
        for day in days.unique()
    }
    sets = list(dict.fromkeys(chosen.values()))
    numbers = {day: sets.index(one) for day, one in chosen.items()}
    stretches = pl.DataFrame(
        {
            "set": days.replace_strict(numbers, return_dtype=pl.UInt32),
            "era": owners.eras(events["time"]),
        }
    ).with_row_index("row")
    nobody = reference.special.nobody.gather(special).fill_null(value=False)
    found = []
    for stretch in stretches.partition_by("set", "era", maintain_order=True):
        number, era = stretch.row(0)[1:]
        country, asn = (
            NOTHING if one is None else shelf.load(one) for one in sets[number]
        )
        judge = _Judge(country, asn, owners.era(era), owners, nobody, places.addresses)
        whole = stretch.height == events.height
        at = stretch["row"]
        found.append(
            judge.judge(
                events if whole else events[at],
                {
                    side: place if whole else place.gather(at)
                    for side, place in places.of_side.items()
                },
            ).with_columns(at)
        )
    table = pl.concat(found)
    if len(found) > 1:
        table = table.sort("row")
    return events.with_columns(table.drop("row").get_columns())


@dataclass(frozen=True, slots=True)
class _Judge:
    """Judges rows by one set of range data and the claims of one stretch of time."""

    country: Ranges
    asn: Ranges
    era: Era
    owners: Owners
    nobody: pl.Series
    addresses: pl.Series

    def judge(
        self, events: pl.DataFrame, places: Mapping[str, pl.Series]
    ) -> pl.DataFrame:
        """Give, for each row, the columns that say what was found and whose it is."""
        somebody = ~self.nobody
        country = self.country.spans.find_ascending(self.addresses).set(
            self.nobody, None
        )
        asn = self.asn.spans.find_ascending(self.addresses).set(self.nobody, None)
        made: dict[str, pl.Series] = {}
        lookups = []
        for side, place in places.items():
            if place.null_count() == len(place):
                names = [f"{side}_{what}" for what in _LOOKED_UP]
                made |= {name: events[name] for name in names}
                lookups.append((place.is_not_null(), place.is_not_null()))
                continue
            by_country, by_asn = country.gather(place), asn.gather(place)
            looked = {
                "country": self.country.country.gather(by_country),
                "asn": self.asn.asn.gather(by_asn),
                "network": self.asn.network.gather(by_asn),
            }
            wider = self.country.network.gather(by_country)
            looked["network"] = _or(looked["network"], wider)
            for what in _LOOKED_UP:
                name = f"{side}_{what}"
                made[name] = _or(looked[what], events[name]).alias(name)
            lookups.append((by_country.is_not_null(), by_asn.is_not_null()))
        made["lookup"] = self._lookup(lookups)
        # What is in a range that is nobody's has no owner by its address.
        open_to = somebody.gather(places["source"]).fill_null(value=True)
        prefix = self.era.prefixes.find_ascending(self.addresses).gather(
            places["source"]
        )
        named = self.era.of_domains(events["source_domain"])
        number = self.era.numbers.find(made["source_asn"])
        code = made["source_country"]
        state = (
            code.replace_strict(self.era.countries, default=None, return_dtype=pl.Int32)
            if self.era.countries
            else number.clear(len(number))
        )
        # RANKS: the narrowest claim first, a country alone last.
        claim = prefix.set(~open_to, None)
        claim = _or(claim, named["domain"])
        claim = _or(claim, number.set(~open_to, None))
        claim = _or(claim, named["tld"])
        claim = _or(claim, state.set(~open_to, None))
        made |= {
            name: self.owners.claims[name].gather(claim)
            for name in self.owners.claims.columns
        }
        return pl.DataFrame(made)

    def _lookup(self, found: list[tuple[pl.Series, pl.Series]]) -> pl.Series:
        """Say which data told something of a row: of its source, else of the other."""
        country = f"{Kind.COUNTRY}:{self.country.label}"
        asn = f"{Kind.ASN}:{self.asn.label}"
        texts = pl.Series([None, country, asn, f"{country}, {asn}"], dtype=pl.String)
        told = [
            by_country.cast(pl.UInt32) + by_asn.cast(pl.UInt32) * 2
            for by_country, by_asn in found
        ]
        source, other = told
        return texts.gather(source.zip_with(source > 0, other))


def _or(one: pl.Series, other: pl.Series) -> pl.Series:
    """Give the first of two that is not null."""
    if one.null_count() == 0 or other.null_count() == len(other):
        return one
    return one.zip_with(one.is_not_null(), other)
