"""The fingerprint: the same 32 digits for the same finding, everywhere and for ever.

Each column that says what was found where adds its own 128-bit number, and a column
without a value adds none; the sum, in two halves of 64 bits, is the fingerprint. So a
column that is added to the list one day changes no fingerprint of a row without it.

A text's number is its BLAKE2b digest under the column's name. A number's is mixed with
a key made of the column's name. It tells findings apart, and proves nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

import polars as pl

TEXTS: Final = (
    "feed",
    "report",
    "source_domain",
    "source_url",
    "destination_domain",
    "destination_url",
    "protocol",
    "type",
    "identifier",
    "malware",
    "hash",
)
NUMBERS: Final = (
    "source_hi",
    "source_lo",
    "source_port",
    "destination_hi",
    "destination_lo",
    "destination_port",
)
"""Time, names looked up, severity and the like are not in it: the same finding on
another day, or judged by newer data, is the same. A client's port is: behind a shared
address only the port tells one subscriber from another (RFC 6302)."""

LANES: Final = ("fingerprint_a", "fingerprint_b")
_LANES: Final = pl.Schema(dict.fromkeys(LANES, pl.UInt64()))

# The odd constants of MurmurHash3's 64-bit finaliser.
_FIRST: Final = 0xFF51AFD7ED558CCD
_SECOND: Final = 0xC4CEB9FE1A85EC53
_SHIFT: Final = 1 << 33
_CHUNK: Final = 1 << 16
_CHUNKS: Final = 4
_DIGITS: Final = pl.Series([f"{each:04x}" for each in range(_CHUNK)])


def halves_of(column: str, value: str) -> tuple[int, int]:
    """Give a text's number in a column, in two halves."""
    whole = blake2b(f"{column}={value}".encode(), digest_size=16).digest()
    return int.from_bytes(whole[:8], "big"), int.from_bytes(whole[8:], "big")


def lanes(frame: pl.DataFrame) -> pl.DataFrame:
    """Give the two halves of each row's fingerprint.

    Args:
        frame: the columns TEXTS (String) and NUMBERS (integers), harmonised.

    Returns:
        As many rows: LANES (UInt64, no nulls).
    """
    sums = [
        pl.Series(name, [0], dtype=pl.UInt64).new_from_index(0, frame.height)
        for name in LANES
    ]
    for name in (*TEXTS, *NUMBERS):
        column = frame[name]
        if column.null_count() == len(column):
            continue
        told = _of_texts(column) if name in TEXTS else _of_numbers(column)
        sums = [one + more for one, more in zip(sums, told, strict=True)]
    return pl.DataFrame(sums)


def text(lane: pl.DataFrame) -> pl.Series:
    """Write fingerprints (as `lanes` gives them) as 32 hexadecimal digits."""
    digits = [
        _DIGITS.gather(lane[name] // _CHUNK**place % _CHUNK).alias(f"{name}{place}")
        for name in LANES
        for place in reversed(range(_CHUNKS))
    ]
    return pl.DataFrame(digits).select(pl.concat_str(pl.all())).to_series()


def _of_texts(column: pl.Series) -> Sequence[pl.Series]:
    """Give the numbers of texts in two lanes, each distinct text read once."""
    name = column.name
    each = column.drop_nulls().unique()
    if len(each) * 2 > len(column):
        every = [(0, 0) if one is None else halves_of(name, one) for one in column]
        return pl.DataFrame(
            every, dict.fromkeys(LANES, pl.UInt64), orient="row"
        ).get_columns()
    read = [halves_of(name, one) for one in each]
    known = pl.DataFrame(
        read, dict.fromkeys(LANES, pl.UInt64), orient="row"
    ).with_columns(each)
    if known.height == 1 and not column.null_count():
        return [known[lane].new_from_index(0, len(column)) for lane in LANES]
    found = column.to_frame().join(known, on=name, how="left", maintain_order="left")
    return [found[lane].fill_null(0) for lane in LANES]


def _of_numbers(column: pl.Series) -> Sequence[pl.Series]:
    """Give the numbers of numbers in two lanes."""
    plain = column.cast(pl.Int64).reinterpret(signed=False)
    made = []
    for key in halves_of("number", column.name):
        mixed = plain ^ key
        for factor in (_FIRST, _SECOND):
            mixed = (mixed ^ (mixed // _SHIFT)) * factor
        made.append((mixed ^ (mixed // _SHIFT)).fill_null(0))
    return made
