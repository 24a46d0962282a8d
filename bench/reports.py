"""Reports for the lane to read: made by arithmetic, the same bytes everywhere.

The columns are those of Shadowserver's report on open RDP, up to `sic`: texts in
quotes, numbers bare, and nothing between the commas where there is no value. Six in
ten machines have a name, and six in seven show a certificate.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final

import polars as pl

DAY: Final = datetime(2025, 1, 15, tzinfo=UTC)
NAME: Final = "2025-01-15-scan_rdp-bench.csv"
COLUMNS: Final = (
    "timestamp",
    "ip",
    "port",
    "hostname",
    "tag",
    "handshake",
    "asn",
    "geo",
    "region",
    "city",
    "rdp_protocol",
    "cert_length",
    "subject_common_name",
    "issuer_common_name",
    "cert_issue_date",
    "cert_expiration_date",
    "sha1_fingerprint",
    "cert_serial_number",
    "ssl_version",
    "signature_algorithm",
    "key_algorithm",
    "sha256_fingerprint",
    "sha512_fingerprint",
    "md5_fingerprint",
    "naics",
    "sic",
)
_MADE_AT_ONCE: Final = 100_000
_SECONDS: Final = 86_400
_STATES: Final = (
    "TH",
    "SG",
    "ID",
    "MY",
    "VN",
    "PH",
    "US",
    "DE",
    "BR",
    "CN",
    "IN",
    "JP",
)
_CITIES: Final = ("BANGKOK", "SINGAPORE", "JAKARTA", "HANOI", "CHICAGO", "SAO PAULO")
_BYTES: Final = pl.Series([f"{each:02X}" for each in range(256)])
# The odd constants of SplitMix64.
_STEP: Final = 0x9E3779B97F4A7C15
_FACTORS: Final = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


def write_report(path: Path, rows: int, *, first: int = 0) -> Path:
    """Write a report of some rows, in bounded memory.

    Args:
        path: of the file.
        rows: how many.
        first: the number of the first one; rows of different numbers differ.
    """
    with path.open("wb") as file:
        write_rows(file, rows, first=first)
    return path


def write_rows(file: IO[bytes], rows: int, *, first: int = 0) -> None:
    """Write header and rows of a report."""
    for at in range(0, max(rows, 1), _MADE_AT_ONCE):
        frame = made(first + at, min(_MADE_AT_ONCE, rows - at))
        frame.write_csv(file, include_header=at == 0, quote_style="non_numeric")


def made(first: int, rows: int, *, hashes: bool = True) -> pl.DataFrame:
    """Make the rows of these numbers; without hashes it is much quicker."""
    number = pl.int_range(first, first + rows, eager=True).cast(pl.UInt64)
    draws = itertools.count(1)

    def draw() -> pl.Series:
        return _mixed(number, next(draws))

    def chosen(words: tuple[str, ...]) -> pl.Series:
        return pl.Series(words).gather(draw() % len(words))

    seen = (draw() % _SECONDS).cast(pl.Int64)
    issued = (draw() % 180).cast(pl.Int64)
    address = draw()
    octets = pl.DataFrame(
        {
            "a": address % 223 + 1,
            "b": address // (1 << 8) % 256,
            "c": address // (1 << 16) % 256,
            "d": address // (1 << 24) % 256,
        }
    )
    named = draw() % 10 < 6
    machine = draw() % 10_000_000
    hexes = {size: _hex(draw, size if hashes else 1) for size in (20, 32, 64, 16)}
    digits = "{:02}".format
    two = pl.Series([digits(one) for one in range(60)])
    clock = pl.DataFrame(
        [
            pl.Series("h", two.gather(seen // 3600)),
            pl.Series("m", two.gather(seen // 60 % 60)),
            pl.Series("s", two.gather(seen % 60)),
        ]
    ).select(pl.concat_str(pl.all(), separator=":"))
    days = (
        issued.to_frame("age").select(DAY.date() - pl.duration(days="age")).to_series()
    )
    frame = octets.select(
        timestamp=pl.concat_str(pl.lit(f"{DAY:%Y-%m-%d} "), clock.to_series()),
        ip=pl.concat_str(pl.all(), separator="."),
        port=pl.Series(draw() % 20 == 0).cast(pl.Int32) + 3389,
        hostname=pl.when(named).then(
            pl.format("host-{}.net-{}.example", machine, machine % 977)
        ),
        tag=pl.lit("rdp"),
        handshake=pl.lit(None, pl.String),
        asn=draw() % 60_000 + 1,
        geo=chosen(_STATES),
        region=chosen(_CITIES),
        city=chosen(_CITIES),
        rdp_protocol=pl.lit("RDP"),
        cert_length=pl.lit(1024) * (1 + (draw() % 2)),
        subject_common_name=pl.concat_str(
            pl.lit("SRV"), machine, pl.lit(".corp.local")
        ),
        issuer_common_name=pl.concat_str(pl.lit("SRV"), machine, pl.lit(".corp.local")),
        cert_issue_date=pl.concat_str(days.dt.to_string(), pl.lit(" 02:22:06")),
        cert_expiration_date=pl.concat_str(
            days.dt.offset_by("6mo").dt.to_string(), pl.lit(" 02:22:06")
        ),
        sha1_fingerprint=hexes[20],
        cert_serial_number=hexes[16].str.replace_all(":", "", literal=True),
        ssl_version=pl.lit(2),
        signature_algorithm=pl.lit("sha256WithRSAEncryption"),
        key_algorithm=pl.lit("rsaEncryption"),
        sha256_fingerprint=hexes[32],
        sha512_fingerprint=hexes[64],
        md5_fingerprint=hexes[16].str.reverse(),
        naics=pl.lit(517_311),
        sic=pl.lit(0),
    )
    assert tuple(frame.columns) == COLUMNS
    bare = draw() % 7 == 0
    certified = COLUMNS[COLUMNS.index("cert_length") : COLUMNS.index("naics")]
    return frame.with_columns(pl.when(~bare).then(pl.col(certified)).name.keep())


def _mixed(number: pl.Series, draw: int) -> pl.Series:
    """Give the `draw`-th number that chance would give each row (SplitMix64)."""
    mixed = (number * 1_000 + draw) * _STEP
    for factor in _FACTORS:
        mixed = (mixed ^ (mixed // (1 << 30))) * factor
    return mixed ^ (mixed // (1 << 31))


def _hex(draw: Callable[[], pl.Series], size: int) -> pl.Series:
    """Give so many bytes in hex, with colons between."""
    parts: list[pl.Series] = []
    while len(parts) < size:
        word = draw()
        for shift in range(0, 64, 8):
            byte = _BYTES.gather(word // (1 << shift) % 256)
            parts.append(byte.alias(str(len(parts))))
    joined = pl.concat_str(pl.all(), separator=":")
    return pl.DataFrame(parts[:size]).select(joined).to_series()
