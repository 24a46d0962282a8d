"""Addresses as columns: their one text, their sortable halves, and what covers them.

An address is compared as one signed 128-bit number, its key: IPv4 stands where IPv6
keeps it, so that one table of ranges covers both, and keys sort as addresses do.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from serantau.rules.event import halves

PARSED: Final = pl.Schema({"address": pl.String, "hi": pl.Int64, "lo": pl.Int64})
KEY: Final = pl.Int128
HIGHEST_PORT: Final = 65_535

_HI4, _LO4 = halves(0, 4)
_WORD: Final = 1 << 64
_HALF: Final = 1 << 63
_BOTTOM: Final = 1 << 127
_MAPPED: Final = 0xFFFF << 32
_OCTETS: Final = ("field_0", "field_1", "field_2", "field_3")


def parse(texts: pl.Series) -> pl.DataFrame:
    """Read addresses.

    The usual IPv4 form is read as columns. Everything else is read one by one, each
    text once. An address has one form: what a resolver of names would also take
    (`1.2.3`, `0x7f.1`, `010.0.0.1`) is none, since programs differ in what it means.

    Returns:
        As many rows, in the same order. address: the text in its one form (RFC 5952;
        an IPv4-mapped one as IPv4). hi, lo: as `rules.event.halves` gives them. All
        three are null where there was no text or no address.
    """
    if texts.null_count() == len(texts):
        return pl.DataFrame({name: [None] * len(texts) for name in PARSED}, PARSED)
    table = texts.to_frame("text").select(
        "text",
        pl.col("text")
        .str.split_exact(".", 3)
        .struct.unnest()
        .cast(pl.UInt8, strict=False),
    )
    octet = [pl.col(name) for name in _OCTETS]
    # Four numbers that together are as long as the text were written without zeros in
    # front, signs or anything behind them.
    width = sum(
        (1 + (one > 9).cast(pl.UInt32) + (one > 99).cast(pl.UInt32) for one in octet),
        pl.lit(3, pl.UInt32),
    )
    number = sum(
        (
            one.cast(pl.Int64) * (1 << shift)
            for one, shift in zip(octet, (24, 16, 8, 0), strict=True)
        ),
        pl.lit(_LO4),
    )
    plain = pl.col("text").str.len_bytes() == width
    parsed = table.select(
        address=pl.when(plain).then("text"),
        hi=pl.when(plain).then(pl.lit(_HI4)),
        lo=pl.when(plain).then(number),
    )
    odd = texts.filter(parsed["lo"].is_null() & texts.is_not_null()).unique()
    if odd.is_empty():
        return parsed
    read = [(text, *_one(text)) for text in odd.to_list()]
    known = pl.DataFrame(read, {"text": pl.String, **PARSED}, orient="row")
    return (
        pl.concat([texts.to_frame("text"), parsed], how="horizontal")
        .join(known, on="text", how="left", maintain_order="left")
        .select(pl.coalesce(name, f"{name}_right").alias(name) for name in PARSED)
    )


def _one(text: str) -> tuple[str | None, int | None, int | None]:
    """Read one address that does not have the usual form."""
    said = text.strip()
    if said.startswith("[") and said.endswith("]"):
        said = said[1:-1]
    try:
        if ":" not in said:
            four = ipaddress.IPv4Address(said)
            return str(four), *halves(int(four), 4)
        # Four times as quick as `ipaddress`, and it takes no zone behind a `%`.
        packed = socket.inet_pton(socket.AF_INET6, said)
    except (ValueError, OSError):
        return None, None, None
    whole = int.from_bytes(packed, "big")
    return text_of(whole - _BOTTOM), *halves(whole, 6)


def text_of(key: int) -> str:
    """Write the address of a key in its one form."""
    whole = key + _BOTTOM
    if whole >> 64:
        return socket.inet_ntop(socket.AF_INET6, whole.to_bytes(16, "big"))
    if whole >> 32 == _MAPPED >> 32:
        return socket.inet_ntoa((whole & 0xFFFFFFFF).to_bytes(4, "big"))
    # Here C libraries write the last 32 bits as IPv4, and not all of them do.
    return str(ipaddress.IPv6Address(whole))


def key_of(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> int:
    """Give the key of one address."""
    whole = int(address)
    return (whole | _MAPPED if address.version == 4 else whole) - _BOTTOM


def keys(hi: str, lo: str) -> pl.Expr:
    """Give the keys of two columns of halves; null where they are."""
    upper = pl.col(hi).cast(KEY) * pl.lit(_WORD, KEY)
    return upper + pl.col(lo).cast(KEY) + pl.lit(_HALF, KEY)


def split(key: str, hi: str, lo: str) -> tuple[pl.Expr, pl.Expr]:
    """Give the halves of a column of keys, as columns of these names."""
    upper = pl.col(key) // pl.lit(_WORD, KEY)
    lower = pl.col(key) - upper * pl.lit(_WORD, KEY) - pl.lit(_HALF, KEY)
    return upper.cast(pl.Int64).alias(hi), lower.cast(pl.Int64).alias(lo)


def span(prefix: str) -> tuple[int, int]:
    """Give the keys of a prefix's first and last address; bits past it do not matter.

    Raises:
        ValueError: it is no address or prefix.
    """
    network = ipaddress.ip_network(prefix.strip(), strict=False)
    return key_of(network.network_address), key_of(network.broadcast_address)


@dataclass(frozen=True, slots=True)
class Intervals:
    """Ranges that do not overlap.

    first, last: their keys, ascending. row: for each, the row of the owner's table that
    it stands for; several may share one.
    """

    first: pl.Series
    last: pl.Series
    row: pl.Series

    @classmethod
    def of(cls, pieces: Iterable[tuple[int, int, int]]) -> Intervals:
        """Take (first, last, row), ascending and apart."""
        table = pl.DataFrame(
            list(pieces),
            {"first": KEY, "last": KEY, "row": pl.Int32},
            orient="row",
        )
        return cls(table["first"], table["last"], table["row"])

    def __len__(self) -> int:
        return len(self.first)

    def find(self, wanted: pl.Series) -> pl.Series:
        """Find the range that holds each key.

        Args:
            wanted: keys in any order, or null.

        Returns:
            For each key the row (Int32), null where no range holds it.
        """
        if not len(self):
            return _nowhere(len(wanted))
        # Nothing is before the first range: there the last one is looked at, in vain.
        place = self.first.search_sorted(wanted, side="right").cast(pl.Int64) - 1
        found = self.row.gather(place)
        outside = ~wanted.is_between(self.first.gather(place), self.last.gather(place))
        return found.set(outside.fill_null(value=True), None)

    def find_ascending(self, wanted: pl.Series) -> pl.Series:
        """Find the range that holds each key, as `find` does but quicker.

        Args:
            wanted: keys, ascending, not null.
        """
        if not len(self):
            return _nowhere(len(wanted))
        table = pl.DataFrame({"first": self.first, "last": self.last, "row": self.row})
        found = wanted.to_frame("key").join_asof(
            table, left_on="key", right_on="first", check_sortedness=False
        )
        return found.select(
            pl.when(pl.col("key") <= pl.col("last")).then("row")
        ).to_series()


def _nowhere(height: int) -> pl.Series:
    return pl.Series("row", [None], dtype=pl.Int32).new_from_index(0, height)


def narrowest(spans: Sequence[tuple[int, int, int]]) -> Intervals:
    """Make (first, last, row) that may overlap into ranges: the narrowest one wins.

    Of two of one width the one given first wins.
    """
    width = [last - first for first, last, _ in spans]
    return Intervals.of(
        (first, last, spans[min(active, key=lambda one: (width[one], one))][2])
        for first, last, active in _sweep(spans)
    )


def together(
    spans: Sequence[tuple[int, int, int]],
) -> tuple[Intervals, list[tuple[int, ...]]]:
    """Make (first, last, row) that may overlap into ranges that name all that cover.

    Returns:
        Ranges, and what their rows stand for: the rows given, each once, ascending.
    """
    sets: dict[tuple[int, ...], int] = {}
    pieces = []
    for first, last, active in _sweep(spans):
        covering = tuple(sorted({spans[one][2] for one in active}))
        pieces.append((first, last, sets.setdefault(covering, len(sets))))
    return Intervals.of(pieces), list(sets)


def _sweep(
    spans: Sequence[tuple[int, int, int]],
) -> Iterator[tuple[int, int, set[int]]]:
    """Cut overlapping spans where any begins or ends; give each piece's spans."""
    begins: dict[int, list[int]] = {}
    ends: dict[int, list[int]] = {}
    for index, (first, last, _) in enumerate(spans):
        begins.setdefault(first, []).append(index)
        ends.setdefault(last + 1, []).append(index)
    active: set[int] = set()
    before: int | None = None
    for cut in sorted({*begins, *ends}):
        if active and before is not None:
            yield before, cut - 1, active
        active.difference_update(ends.get(cut, ()))
        active.update(begins.get(cut, ()))
        before = cut
