"""Finding values of rows among many known ones: names, URLs, hashes and addresses.

A million known values must not cost more than a few: what is known is put in order
once, and each distinct value of a piece is searched in it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from serantau.lane.address import Intervals, keys, parse, span, together
from serantau.rules.text import HASH_KINDS, normalise

INDICATORS: Final = pl.Schema(
    {"kind": pl.String(), "value": pl.String(), "indicator": pl.String()}
)
"""What is matched against. kind: as in rules.text; value: normalised, addresses also
as prefixes; indicator: a STIX id. No nulls; any order."""

_ADDRESSES: Final = ("ipv4-addr", "ipv6-addr")


class Words:
    """Known texts, each with the row of its owner's table.

    A text is searched by its hash, which is only good inside one process: a copy that
    is sent elsewhere makes its own.
    """

    __slots__ = ("_depths", "_hashes", "_order", "_seed", "rows", "texts")

    def __init__(self, texts: pl.Series, rows: pl.Series) -> None:
        """Know `texts` (no nulls, each once) as `rows` (Int32)."""
        self._seed = 0
        hashes = texts.hash(self._seed)
        # Of two known texts with one hash only one could be found.
        while not hashes.is_unique().all():
            self._seed += 1
            hashes = texts.hash(self._seed)
        self._order = hashes.arg_sort()
        self._hashes = hashes.gather(self._order)
        self.texts = texts
        self.rows = rows
        depths = texts.str.count_matches(".", literal=True).unique()
        self._depths = sorted(depths, reverse=True)

    @classmethod
    def of(cls, known: Mapping[str, int]) -> Words:
        """Know each text as a row."""
        return cls(
            pl.Series(list(known), dtype=pl.String),
            pl.Series(list(known.values()), dtype=pl.Int32),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return Words, (self.texts, self.rows)

    def __len__(self) -> int:
        return len(self.texts)

    def find(self, wanted: pl.Series) -> pl.Series:
        """Find each text.

        Returns:
            For each of `wanted` the row it is known as (Int32), null where it is not.
        """
        if not len(self):
            return pl.Series([None], dtype=pl.Int32).new_from_index(0, len(wanted))
        asked = pl.DataFrame({"hash": wanted.hash(self._seed)}).with_columns(
            place=pl.int_range(pl.len(), dtype=pl.UInt32)
        )
        # In order, neighbouring searches touch the same memory.
        asked = asked.sort("hash")
        at = self._hashes.search_sorted(asked["hash"], side="left")
        inside = pl.select(
            pl.when(at < len(self)).then(at).otherwise(pl.lit(0, pl.UInt32))
        ).to_series()
        hit = self._hashes.gather(inside) == asked["hash"]
        places = asked["place"].filter(hit)
        candidates = self._order.gather(inside.filter(hit))
        same = self.texts.gather(candidates) == wanted.gather(places)
        found = pl.DataFrame(
            {
                "place": places.filter(same),
                "row": self.rows.gather(candidates.filter(same)),
            }
        )
        rows = pl.Series([None], dtype=pl.Int32).new_from_index(0, len(wanted))
        return rows.scatter(found["place"], found["row"])

    def above(self, domains: pl.Series) -> pl.DataFrame:
        """Find the known names that domains are, or are below.

        Args:
            domains: names, each once, no nulls.

        Returns:
            place: of the domain in `domains` (UInt32). row: what a known name is known
            as (Int32). depth: dots in that name (UInt32). Longer names come first.
        """
        waiting = pl.DataFrame({"rest": domains}).select(
            "rest",
            place=pl.int_range(pl.len(), dtype=pl.UInt32),
            depth=pl.col("rest").str.count_matches(".", literal=True),
        )
        depth = pl.col("depth")
        found = [_NO_NAMES]
        for wanted in self._depths:
            # Names with more labels than this are cut to it, the others wait.
            longer, cut = waiting.filter(depth > wanted), []
            while longer.height:
                longer = longer.with_columns(
                    rest=pl.col("rest").str.splitn(".", 2).struct.field("field_1"),
                    depth=depth - 1,
                )
                cut.append(longer.filter(depth == wanted))
                longer = longer.filter(depth > wanted)
            waiting = pl.concat([waiting.filter(depth <= wanted), *cut])
            here = waiting.filter(depth == wanted)
            rows = here.with_columns(row=self.find(here["rest"])).drop_nulls("row")
            found.append(rows.select(_NO_NAMES.columns))
        return pl.concat(found)


_NO_NAMES: Final = pl.DataFrame(
    schema={"place": pl.UInt32, "row": pl.Int32, "depth": pl.UInt32}
)


@dataclass(frozen=True, slots=True)
class Asked:
    """The values of a piece's rows that are looked for.

    addresses: keys, ascending, each once. places: for each column of addresses, where
    in `addresses` each row's is. domains, urls, hashes: columns of texts. A null is a
    row without one.
    """

    addresses: pl.Series
    places: Sequence[pl.Series]
    domains: Sequence[pl.Series]
    urls: Sequence[pl.Series]
    hashes: Sequence[pl.Series]


HITS: Final = pl.Schema({"row": pl.UInt32, "words": pl.String})
"""What was found for rows. words: names, ascending, with commas between. No nulls; a
row stands here once for each of its values that was found."""


@dataclass(frozen=True, slots=True)
class Known:
    """Values in order, and the names they stand for.

    single: addresses. ranges: prefixes; several can cover one address. names: domains,
    which stand for what is below them too. exact: domains that do not (kind
    `exact-name`). urls, hashes: as they are. words: what a row
    of these stands for: names with commas between, ascending.
    """

    single: Intervals
    ranges: Intervals
    names: Words
    exact: Words
    urls: Words
    hashes: Words
    words: pl.Series

    @classmethod
    def of(cls, values: pl.DataFrame) -> Known:
        """Know values.

        Args:
            values: kind, value and name, texts without nulls, as in INDICATORS. What is
                no address, name, URL or hash is left out, as are odd addresses.
        """
        values = values.select(
            pl.col("kind"), pl.col("value"), pl.col(values.columns[2]).alias("name")
        )
        said = _Said()
        address = pl.col("kind").is_in(_ADDRESSES)
        prefix = address & pl.col("value").str.contains("/", literal=True)
        alone = values.filter(address & ~prefix)
        read = parse(alone["value"]).select(value=keys("hi", "lo"))
        alone = alone.with_columns(read["value"]).drop_nulls("value")
        rows = said.rows(alone)
        single = pl.DataFrame({"key": rows["value"], "row": rows["row"]}).sort("key")
        ranges = said.ranges(values.filter(prefix))
        names, exact, urls, hashes = (
            said.words(values.filter(pl.col("kind").is_in(kinds)))
            for kinds in (["domain-name"], ["exact-name"], ["url"], list(HASH_KINDS))
        )
        return cls(
            Intervals(single["key"], single["key"], single["row"]),
            ranges,
            names,
            exact,
            urls,
            hashes,
            said.all,
        )

    def find(self, asked: Asked) -> pl.DataFrame:
        """Find what is known of each row (HITS)."""
        found = []
        for spans in (self.single, self.ranges):
            if len(spans):
                known = spans.find_ascending(asked.addresses)
                found += [known.gather(place) for place in asked.places]
        for words, columns in (
            (self.exact, asked.domains),
            (self.urls, asked.urls),
            (self.hashes, asked.hashes),
        ):
            if len(words):
                found += [words.find(texts) for texts in columns if _any(texts)]
        hits = [_hits(rows) for rows in found]
        if len(self.names):
            hits += [self._below(texts) for texts in asked.domains if _any(texts)]
        return pl.concat([_NO_ROWS, *hits]).select(
            "row", words=self.words.gather(pl.concat([_NO_ROWS, *hits])["known"])
        )

    def _below(self, texts: pl.Series) -> pl.DataFrame:
        rows = texts.to_frame("text").with_row_index("row").drop_nulls()
        each = rows["text"].unique()
        above = self.names.above(each)
        known = above.select(text=each.gather(above["place"]), known="row")
        return rows.join(known, on="text", maintain_order="left_right").select(
            _NO_ROWS.columns
        )


_NO_ROWS: Final = pl.DataFrame(schema={"row": pl.UInt32, "known": pl.Int32})


def _any(column: pl.Series) -> bool:
    return column.null_count() < len(column)


def _hits(known: pl.Series) -> pl.DataFrame:
    return (
        known.to_frame("known")
        .with_row_index("row")
        .drop_nulls("known")
        .select(_NO_ROWS.columns)
    )


class _Said:
    """The names that values stand for, as they are gathered."""

    def __init__(self) -> None:
        self.all = pl.Series([], dtype=pl.String)

    def rows(self, values: pl.DataFrame) -> pl.DataFrame:
        """Give each value once, with the row under which its names are said."""
        once = values.group_by("value", maintain_order=True).agg("name")
        start = len(self.all)
        self.all.append(
            once.select(
                pl.when(pl.col("name").list.len() == 1)
                .then(pl.col("name").list.first())
                .otherwise(pl.col("name").list.unique().list.sort().list.join(","))
            ).to_series()
        )
        return once.select(
            "value", row=pl.int_range(start, start + pl.len(), dtype=pl.Int32)
        )

    def words(self, values: pl.DataFrame) -> Words:
        once = self.rows(values)
        return Words(once["value"], once["row"])

    def ranges(self, values: pl.DataFrame) -> Intervals:
        """Cut prefixes where they overlap; each piece stands for all their names."""
        names: dict[str, int] = {}
        spans = []
        for text, name in values.select("value", "name").iter_rows():
            with contextlib.suppress(ValueError):
                spans.append((*span(text), names.setdefault(name, len(names))))
        pieces, sets = together(spans)
        said = list(names)
        start = len(self.all)
        self.all.append(
            pl.Series(
                [",".join(sorted({said[row] for row in rows})) for rows in sets],
                dtype=pl.String,
            )
        )
        return Intervals(pieces.first, pieces.last, pieces.row + start)


NOTHING: Final = Known.of(pl.DataFrame(schema=INDICATORS))


def named(hits: pl.DataFrame, height: int) -> pl.Series:
    """Write what was found for each row into one text.

    Args:
        hits: as in HITS.
        height: how many rows there are.

    Returns:
        For each row the names, each once, ascending, with commas between; else null.
    """
    texts = pl.Series([None], dtype=pl.String).new_from_index(0, height)
    if hits["row"].is_duplicated().any():
        hits = (
            hits.select("row", pl.col("words").str.split(","))
            .explode("words")
            .unique()
            .sort("row", "words")
            .group_by("row", maintain_order=True)
            .agg(pl.col("words").str.join(","))
        )
    if not hits.height:
        return texts
    return (
        pl.int_range(height, dtype=pl.UInt32, eager=True)
        .to_frame("row")
        .join(hits, on="row", how="left", maintain_order="left")["words"]
    )


def indicators(values: Iterable[tuple[str, str, str]]) -> pl.DataFrame:
    """Make a frame to match against (INDICATORS) of (kind, value, STIX id)."""
    return pl.DataFrame(
        [(kind, normalise(kind, value), name) for kind, value, name in values],
        INDICATORS,
        orient="row",
    )
