"""Whose network an address is in: published ranges, kept by the day they are of.

A set of ranges comes as CSV, as a MaxMind database (MMDB) or as the delegated
statistics of the address registries. It is kept as it was on its day, since an event is
judged by what was so on the event's day, not by what is so today.
"""

from __future__ import annotations

import csv
import gzip
import importlib.resources
import io
import ipaddress
import os
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import maxminddb
import polars as pl
import zstandard

from serantau.errors import BadInput, Conflict, NotFound
from serantau.lane.address import (
    KEY,
    Intervals,
    key_of,
    keys,
    narrowest,
    parse,
    span,
    split,
    text_of,
)


class Kind(StrEnum):
    """What a set of ranges tells of an address."""

    COUNTRY = "country"
    ASN = "asn"


SCHEMA: Final = pl.Schema(
    {
        "first_hi": pl.Int64,
        "first_lo": pl.Int64,
        "last_hi": pl.Int64,
        "last_lo": pl.Int64,
        "network": pl.String,
        "country": pl.String,
        "asn": pl.Int64,
        "name": pl.String,
    }
)
"""A set as it is kept: ascending, apart. network: `first-last`. One of country (ISO
3166-1 alpha-2) and asn is null throughout; name: of who routes it, null if not told."""

NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_FILE: Final = re.compile(r"(country|asn)\.([a-z0-9][a-z0-9._-]{0,62})@([0-9-]{10})")
_CODE: Final = r"^[A-Za-z]{2}$"
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_MMDB: Final = b"\xab\xcd\xefMaxMind.com"
_MMDB_TAIL: Final = 128 * 1024
_FEW_BAD: Final = 1000
_LARGEST_FILE: Final = 2_000_000_000
_KEPT_IN_MEMORY: Final = 2
_NOBODY: Final = ("", "ZZ", "XX", "EU", "AP")
"""Codes that published ranges use and that name no state."""


# --- What is read --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Read:
    """What a file held: the ranges (SCHEMA), and how many lines were no ranges."""

    frame: pl.DataFrame
    skipped: int = 0


def read(paths: Sequence[Path], kind: Kind) -> Read:
    """Read one set of ranges from one or more files (IPv4 and IPv6 often come apart).

    CSV: `first,last,value[,name]` or `prefix,value[,name]`, addresses as text or as
    numbers, a header or none, gzip, zstd or plain. Delegated statistics and MMDB are
    known by what they look like. Ranges that overlap are cut: the narrowest wins.

    Raises:
        BadInput: a file is none of these, is empty, or one line in a thousand is bad.
    """
    parts, skipped = [], 0
    for path in paths:
        part, bad = _read_one(path, kind)
        if bad * _FEW_BAD > part.height + bad or not part.height:
            raise BadInput(
                f"{path.name}: {bad} lines are no {kind} ranges, {part.height} are.",
                mend="Ranges are CSV (first,last,value), MMDB or delegated statistics.",
            )
        parts.append(part)
        skipped += bad
    return Read(_apart(pl.concat(parts), kind), skipped)


def _read_one(path: Path, kind: Kind) -> tuple[pl.DataFrame, int]:
    """Read (first, last, country, asn, name) rows, not yet in order, of one file."""
    raw = path.read_bytes()
    if _MMDB in raw[-_MMDB_TAIL:]:
        return _from_mmdb(path, kind)
    raw = _unpacked(raw, path.name)
    head = raw[:4096].decode("utf-8", "replace")
    try:
        if re.search(r"^[a-z]+\|[A-Z*]*\|(asn|ipv4|ipv6)\|", head, re.MULTILINE):
            return _from_delegated(raw, kind)
        return _from_csv(raw, kind)
    except (UnicodeDecodeError, csv.Error, pl.exceptions.PolarsError) as fault:
        raise BadInput(f"{path.name} cannot be read as ranges: {fault}") from fault


def _unpacked(raw: bytes, name: str) -> bytes:
    if raw.startswith(_GZIP):
        stream: Any = gzip.GzipFile(fileobj=io.BytesIO(raw))
    elif raw.startswith(_ZSTD):
        stream = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(raw))
    else:
        return raw
    try:
        with stream:
            plain: bytes = stream.read(_LARGEST_FILE + 1)
    except (OSError, EOFError, zstandard.ZstdError) as fault:
        raise BadInput(f"{name} cannot be unpacked: {fault}") from fault
    if len(plain) > _LARGEST_FILE:
        raise BadInput(f"{name} unpacks to more than {_LARGEST_FILE} bytes")
    return plain


def _from_csv(raw: bytes, kind: Kind) -> tuple[pl.DataFrame, int]:
    table = pl.read_csv(
        raw,
        has_header=False,
        infer_schema=False,
        comment_prefix="#",
        truncate_ragged_lines=True,
        encoding="utf8-lossy",
    )
    one = table.columns
    cells = [table[name].str.strip_chars() for name in one]
    if not table.height or len(one) < 2:
        return _rows(pl.DataFrame(), kind), table.height
    if cells[0].str.contains("/", literal=True).any():
        spans = _prefixes(cells[0])
        values = cells[1:]
    else:
        first, last = _numbers(cells[0]), _numbers(cells[1])
        spans = pl.DataFrame({"first": first, "last": last})
        values = cells[2:]
    if not values:
        return _rows(pl.DataFrame(), kind), table.height
    frame = spans.with_columns(value=values[0])
    if len(values) > 1:
        frame = frame.with_columns(name=values[1])
    good = _rows(frame, kind)
    bad = frame.filter(_bad_spans())
    # The line that names the columns is not a bad one.
    header = int(bool(bad.height) and spans["first"][0] is None)
    return good, bad.height - header


def _bad_spans() -> pl.Expr:
    """Say which rows have no range at all; one of nobody is a range all the same."""
    return (
        pl.col("first").is_null()
        | pl.col("last").is_null()
        | (pl.col("first") > pl.col("last"))
    )


def _numbers(texts: pl.Series) -> pl.Series:
    """Give the keys of addresses written as text, or as numbers; null where neither."""
    table = parse(texts).select(key=keys("hi", "lo"))
    digits = pl.select(pl.lit(texts).str.contains(r"^[0-9]{1,39}$")).to_series()
    if digits.any():
        four = key_of(ipaddress.IPv4Address(0))
        six = key_of(ipaddress.IPv6Address(0))
        read = [
            (whole + (four if whole < 1 << 32 else six)) if whole < 1 << 128 else None
            for whole in map(int, texts.filter(digits).to_list())
        ]
        found = pl.Series("number", read, dtype=KEY)
        at = digits.cast(pl.Int64).cum_sum() - 1
        return pl.select(
            pl.when(digits).then(found.gather(at)).otherwise(table["key"])
        ).to_series()
    return table["key"]


def _prefixes(texts: pl.Series) -> pl.DataFrame:
    read: list[tuple[int | None, int | None]] = []
    for text in texts.to_list():
        try:
            read.append(span(text or ""))
        except ValueError:
            read.append((None, None))
    return pl.DataFrame(read, {"first": KEY, "last": KEY}, orient="row")


def _from_delegated(raw: bytes, kind: Kind) -> tuple[pl.DataFrame, int]:
    """Read the registries' statistics exchange format, version 2: countries only."""
    rows: list[tuple[int, int, str]] = []
    bad = 0
    for line in raw.decode("utf-8", "replace").splitlines():
        cells = line.split("|")
        if line.startswith("#") or len(cells) < 7 or cells[2] not in {"ipv4", "ipv6"}:
            continue
        if cells[6] not in {"allocated", "assigned"}:
            continue
        try:
            address = ipaddress.ip_address(cells[3])
            # IPv4 counts addresses, not always a power of two; IPv6 has a length.
            size = int(cells[4])
            count = size if cells[2] == "ipv4" else 1 << (128 - size)
            first = key_of(address)
            rows.append((first, first + count - 1, cells[1]))
        except ValueError:
            bad += 1
    frame = pl.DataFrame(
        rows, {"first": KEY, "last": KEY, "value": pl.String}, orient="row"
    )
    if kind is not Kind.COUNTRY:
        raise BadInput("Delegated statistics tell countries, and not who routes what.")
    return _rows(frame, kind), bad


def _from_mmdb(path: Path, kind: Kind) -> tuple[pl.DataFrame, int]:
    rows: list[tuple[int, int, str | None, str | None]] = []
    try:
        with maxminddb.open_database(path, maxminddb.MODE_MEMORY) as database:
            for network, record in database:
                if not isinstance(record, Mapping):
                    continue
                value, name = _told(record, kind)
                first = key_of(network.network_address)
                last = first + network.num_addresses - 1
                rows.append((first, last, value, name))
    except (maxminddb.InvalidDatabaseError, OSError, ValueError) as fault:
        raise BadInput(f"{path.name} cannot be read as MMDB: {fault}") from fault
    frame = pl.DataFrame(
        rows,
        {"first": KEY, "last": KEY, "value": pl.String, "name": pl.String},
        orient="row",
    )
    return _rows(frame, kind), 0


def _told(record: Mapping[str, Any], kind: Kind) -> tuple[str | None, str | None]:
    """Find value and name in a record, by the names that their makers use."""
    if kind is Kind.COUNTRY:
        found = record.get("country") or record.get("registered_country")
        if isinstance(found, Mapping):
            found = found.get("iso_code")
        found = found or record.get("country_code")
        return (found if isinstance(found, str) else None), None
    number = record.get("autonomous_system_number", record.get("asn"))
    for key in ("autonomous_system_organization", "as_name", "name", "organization"):
        if isinstance(name := record.get(key), str):
            return (None if number is None else str(number)), name
    return (None if number is None else str(number)), None


def _rows(frame: pl.DataFrame, kind: Kind) -> pl.DataFrame:
    """Keep the rows that name a range and something known of it."""
    empty = {"first": KEY, "last": KEY, "value": pl.String, "name": pl.String}
    frame = frame.select(
        pl.col(name).cast(dtype)
        if name in frame.columns
        else pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in empty.items()
    )
    value = pl.col("value").str.strip_chars()
    code = pl.when(value.str.contains(_CODE)).then(value.str.to_uppercase())
    number = value.str.strip_prefix("AS").cast(pl.UInt32, strict=False).cast(pl.Int64)
    country = kind is Kind.COUNTRY
    return (
        frame.filter(~_bad_spans())
        .select(
            "first",
            "last",
            country=code if country else pl.lit(None, pl.String),
            asn=pl.lit(None, pl.Int64) if country else number,
            name=pl.lit(None, pl.String) if country else pl.col("name"),
        )
        .filter(
            pl.col("country").is_in(_NOBODY).not_() if country else pl.col("asn") > 0
        )
    )


def _apart(frame: pl.DataFrame, kind: Kind) -> pl.DataFrame:
    """Put ranges in order, cut those that overlap, and name each (SCHEMA)."""
    frame = frame.sort("first", "last", kind.value, "name")
    # Nearly all ranges are apart: only those that meet others are cut.
    met = frame.with_columns(
        cluster=(pl.col("first") > pl.col("last").cum_max().shift(1))
        .fill_null(value=True)
        .cast(pl.UInt32)
        .cum_sum()
    ).with_columns(several=pl.len().over("cluster") > 1)
    several = met.filter("several").select(frame.columns)
    if several.height:
        spans = several.select("first", "last").iter_rows()
        cut = narrowest([(*each, row) for row, each in enumerate(spans)])
        pieces = several[cut.row.to_list()].with_columns(cut.first, cut.last)
        alone = met.filter(~pl.col("several")).select(frame.columns)
        frame = pl.concat([alone, pieces]).sort("first")
    return (
        frame.with_columns(
            *split("first", "first_hi", "first_lo"),
            *split("last", "last_hi", "last_lo"),
            network=pl.concat_str(
                _texts(frame["first"]), _texts(frame["last"]), separator="-"
            ),
        )
        .select(SCHEMA.names())
        .cast(SCHEMA)
    )


def _texts(wanted: pl.Series) -> pl.Series:
    return pl.Series([text_of(key) for key in wanted.to_list()], dtype=pl.String)


# --- What is kept --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ranges:
    """One set as it is looked up in.

    label: `name@day`. spans: its ranges. country, asn, network, name: what each row
    of the set tells, as in SCHEMA.
    """

    label: str
    spans: Intervals
    network: pl.Series
    country: pl.Series
    asn: pl.Series
    name: pl.Series

    @classmethod
    def of(cls, label: str, frame: pl.DataFrame) -> Ranges:
        """Look up in a frame of SCHEMA."""
        table = frame.select(
            first=keys("first_hi", "first_lo"), last=keys("last_hi", "last_lo")
        )
        row = pl.Series(range(frame.height), dtype=pl.Int32)
        spans = Intervals(table["first"], table["last"], row)
        told = (frame[name] for name in ("network", "country", "asn", "name"))
        return cls(label, spans, *told)


NOTHING: Final = Ranges.of("", pl.DataFrame(schema=SCHEMA))
"""What is looked up in where nothing was loaded."""


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A set as of a day (`2026-11-20`); ordered by day."""

    day: str
    name: str
    kind: Kind

    @property
    def label(self) -> str:
        """Give what a row's `lookup` says of it."""
        return f"{self.name}@{self.day}"


@dataclass(slots=True)
class Shelf:
    """The sets that a node keeps, in a folder: `KIND.NAME@DAY.parquet`.

    files: gives the files of these, which are in no folder: so a shelf is sent to
    another machine.
    """

    folder: Path | None = None
    files: Mapping[Version, Callable[[], bytes]] = field(default_factory=dict)
    _recent: OrderedDict[Version, Ranges] = field(default_factory=OrderedDict)

    def __reduce__(self) -> tuple[Any, ...]:
        return Shelf, (self.folder, dict(self.files))

    def versions(self, kind: Kind) -> list[Version]:
        """List the versions of a kind, the oldest first."""
        found = {one for one in self.files if one.kind is kind}
        if self.folder is not None and self.folder.is_dir():
            for path in self.folder.glob(f"{kind}.*.parquet"):
                if named := _FILE.fullmatch(path.stem):
                    found.add(Version(named[3], named[2], kind))
        return sorted(found)

    def on(self, kind: Kind, day: str) -> Version | None:
        """Choose the version for a day: the last one made by then, else the first."""
        return choose(self.versions(kind), day)

    def load(self, version: Version) -> Ranges:
        """Give a version to look up in. A few are kept in memory.

        Raises:
            NotFound: there is no such version.
        """
        if (ranges := self._recent.get(version)) is not None:
            self._recent.move_to_end(version)
            return ranges
        file = self.files.get(version)
        source = self._path(version) if file is None else io.BytesIO(file())
        ranges = Ranges.of(version.label, pl.read_parquet(source))
        self._recent[version] = ranges
        while len(self._recent) > _KEPT_IN_MEMORY * len(Kind):
            self._recent.popitem(last=False)
        return ranges

    def stamps(self) -> dict[Version, tuple[int, int]]:
        """List the versions in the folder, and what tells each from a later file."""
        versions = [one for kind in Kind for one in self.versions(kind)]
        stats = {one: self._path(one).stat() for one in versions}
        return {one: (stat.st_mtime_ns, stat.st_size) for one, stat in stats.items()}

    def file(self, version: Version) -> bytes:
        """Give the file of a version in the folder.

        Raises:
            NotFound: there is no such version.
        """
        return self._path(version).read_bytes()

    def add(
        self, version: Version, frame: pl.DataFrame, *, anyway: bool = False
    ) -> int:
        """Keep a set, on disk before this returns; the same version is replaced.

        Args:
            version: name and day of the set.
            frame: as `read` gives it.
            anyway: also when it is less than half as large as the one before.

        Returns:
            How many ranges it has.

        Raises:
            Conflict: it shrank to less than half.
            BadInput: the name or the day is none.
        """
        if not NAME.fullmatch(version.name) or not _is_day(version.day):
            raise BadInput(
                f"{version.label!r} is no name and day such as routes@2026-11-20"
            )
        path = self._path(version, there=False)
        before = [one for one in self.versions(version.kind) if one.day <= version.day]
        if before and not anyway:
            had = pl.scan_parquet(self._path(before[-1])).select(pl.len()).collect()
            if frame.height * 2 < had.item():
                raise Conflict(
                    f"{version.label} has {frame.height} ranges, {before[-1].label} "
                    f"has {had.item()}.",
                    mend="Look at the source; add it anyway if it is right.",
                )
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.partial")
        with partial.open("wb") as file:
            frame.write_parquet(file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        self._recent.pop(version, None)
        return frame.height

    def thin(self, kind: Kind, today: str, *, days: int = 60) -> list[Version]:
        """Remove all but the first of each month, of those older than `days`."""
        kept: set[str] = set()
        removed = []
        for version in self.versions(kind):
            age = (date.fromisoformat(today) - date.fromisoformat(version.day)).days
            month = version.day[:7]
            if age > days and month in kept:
                self._path(version).unlink()
                removed.append(version)
            kept.add(month)
        return removed

    def _path(self, version: Version, *, there: bool = True) -> Path:
        name = f"{version.kind}.{version.label}.parquet"
        if self.folder is None or (there and not (self.folder / name).exists()):
            raise NotFound(f"There are no ranges {version.label} here.")
        return self.folder / name


def choose(versions: Sequence[Version], day: str) -> Version | None:
    """Choose among versions, the oldest first, the one for a day."""
    made = [one for one in versions if one.day <= day]
    return made[-1] if made else (versions[0] if versions else None)


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


# --- Ranges that are nobody's --------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Special:
    """The special-purpose ranges.

    spans: ranges. name: of each row's purpose. nobody: whether an address in it never
    has an owner.
    """

    spans: Intervals
    name: pl.Series
    nobody: pl.Series


def special(*, exercise: bool = False) -> Special:
    """Load the special-purpose ranges of IANA's registries (RFC 6890, RFC 8190).

    Args:
        exercise: leave the ranges for documentation out, so that they can have owners.
            Nothing real is in them, which is why an exercise plays with them.
    """
    rows = [
        row
        for row in _shipped("special.csv")
        if not (exercise and row["name"] == "documentation")
    ]
    spans = narrowest([(*span(row["prefix"]), at) for at, row in enumerate(rows)])
    names = pl.Series([row["name"] for row in rows], dtype=pl.String)
    nobody = pl.Series([row["reachable"] == "no" for row in rows], dtype=pl.Boolean)
    return Special(spans, names, nobody)


def country_of_tld() -> dict[str, str]:
    """Give the states of those top-level domains that are not simply their code."""
    return {row["tld"]: row["country"] for row in _shipped("cctlds.csv")}


def _shipped(name: str) -> Iterator[dict[str, str]]:
    text = (importlib.resources.files("serantau") / "data" / "ranges" / name).read_text(
        encoding="utf-8"
    )
    yield from csv.DictReader(io.StringIO(text))
