"""Texts of a report become values of an event: times, numbers, words, addresses, names.

Every function here takes a text Series and gives Series of the same length. A text that
cannot be such a value gives null; whoever calls compares, and keeps or rejects it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import polars as pl

from serantau.lane.formats.form import Role
from serantau.lane.frame import INSTANT
from serantau.rules.event import SEVERITIES
from serantau.rules.level import Tlp
from serantau.rules.taxonomy import UNDETERMINED, type_of

USUAL: Final = "%Y-%m-%d %H:%M:%S"
_NAIVE: Final = (
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f UTC",
    "%Y-%m-%d %H:%M:%S%.f GMT",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%Y%m%dT%H%M%S",
    "%a, %d %b %Y %H:%M:%S GMT",
    "%d %b %Y %H:%M:%S",
    "%a %b %e %H:%M:%S %Y",
)
_ZONED: Final = (
    "%+",
    "%Y-%m-%dT%H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f %#z",
    "%Y%m%dT%H%M%S%#z",
    "%a, %d %b %Y %H:%M:%S %z",
    "%d %b %Y %H:%M:%S %z",
    "%d/%b/%Y:%H:%M:%S %z",
)
_DAYS: Final = ("%Y-%m-%d", "%Y/%m/%d", "%Y%m%d")
_THAI: Final = {chr(0x0E50 + digit): str(digit) for digit in range(10)}
_MONTHS: Final = (
    ("ม.ค.", "มกราคม"),
    ("ก.พ.", "กุมภาพันธ์"),
    ("มี.ค.", "มีนาคม"),
    ("เม.ย.", "เมษายน"),
    ("พ.ค.", "พฤษภาคม"),
    ("มิ.ย.", "มิถุนายน"),
    ("ก.ค.", "กรกฎาคม"),
    ("ส.ค.", "สิงหาคม"),
    ("ก.ย.", "กันยายน"),
    ("ต.ค.", "ตุลาคม"),
    ("พ.ย.", "พฤศจิกายน"),
    ("ธ.ค.", "ธันวาคม"),
)
_BUDDHIST: Final = 543
# Digits of a count of seconds, milliseconds, microseconds or nanoseconds since 1970,
# all of them between 1973 and 2286.
_EPOCHS: Final = ((9, 10, 1_000_000.0), (12, 13, 1_000.0), (15, 16, 1.0))


def clean(texts: pl.Series) -> pl.Series:
    """Give the texts without outer blanks; empty ones are null."""
    bare = texts.str.strip_chars()
    return bare.set(bare == "", None)


def instants(texts: pl.Series, role: Role) -> pl.Series:
    """Give instants: by the role's own forms, or by those that reports usually have.

    A time without an offset was written in the role's zone. One that is told twice by a
    clock that was set back is the earlier; one that the clock skipped is null.
    """
    if role.era:
        texts = _christian(texts)
    found = _written(texts, role.forms[0] if role.forms else USUAL, role.zone)
    if found.null_count() == texts.null_count():
        return found
    ways = list(_ways(role))
    # What is written otherwise is mostly so everywhere: each distinct text once.
    left = texts.filter(found.is_null() & texts.is_not_null()).unique()
    known: list[pl.DataFrame] = []
    for way in ways:
        if left.is_empty():
            break
        got = way(left)
        known.append(pl.DataFrame({"text": left, "at": got}).drop_nulls())
        left = left.filter(got.is_null())
    if not known:
        return found
    table = pl.concat(known)
    joined = texts.to_frame("text").join(
        table, on="text", how="left", maintain_order="left"
    )
    return found.to_frame("a").select(pl.coalesce("a", joined["at"])).to_series()


def _ways(role: Role) -> Iterator[Callable[[pl.Series], pl.Series]]:
    zone = role.zone
    if role.forms:
        yield from (partial(_written, form=form, zone=zone) for form in role.forms)
        return
    yield from (partial(_written, form=form, zone=zone) for form in _ZONED)
    yield _counted
    yield from (partial(_written, form=form, zone=zone) for form in _NAIVE)
    yield from (partial(_day, form=form, zone=zone) for form in _DAYS)


def _written(texts: pl.Series, form: str, zone: str) -> pl.Series:
    """Read times by one form; whether it has an offset is the form's matter."""
    if form == "%s":
        return _counted(texts)
    if not any(mark in form for mark in ("%H", "%I", "%T", "%R", "%+", "%c", "%X")):
        return _day(texts, form, zone)
    read = texts.str.to_datetime(
        form, time_unit="us", strict=False, exact=True, ambiguous="earliest"
    )
    return _settle(read, zone)


def _day(texts: pl.Series, form: str, zone: str) -> pl.Series:
    """Read days: their first instant in the zone."""
    days = texts.str.to_date(form, strict=False, exact=True)
    return _settle(days.cast(pl.Datetime("us")), zone)


def _settle(read: pl.Series, zone: str) -> pl.Series:
    # A year of two digits is read by %Y too, as one of antiquity.
    read = read.set(read.dt.year() < 1000, None)
    if read.dtype == pl.Datetime("us"):
        read = read.dt.replace_time_zone(
            zone, ambiguous="earliest", non_existent="null"
        )
    return read.dt.convert_time_zone("UTC").cast(INSTANT)


def _counted(texts: pl.Series) -> pl.Series:
    """Read counts since 1970, in the unit that their number of digits tells."""
    plain = texts.str.extract(r"^(\d{9,19}(?:\.\d+)?)$", 1)
    digits = plain.str.extract(r"^(\d+)", 1).str.len_bytes()
    number = plain.cast(pl.Float64, strict=False)
    scaled = pl.Series(texts.name, [None] * len(texts), dtype=pl.Float64)
    frame = pl.DataFrame({"digits": digits, "number": number, "scaled": scaled})
    whole = pl.lit(None, dtype=pl.Float64)
    for least, most, scale in _EPOCHS:
        fits = pl.col("digits").is_between(least, most)
        whole = pl.when(fits).then(pl.col("number") * scale).otherwise(whole)
    fits = pl.col("digits").is_between(18, 19)
    whole = pl.when(fits).then(pl.col("number") / 1000).otherwise(whole)
    return (
        frame.select(whole.round().cast(pl.Int64).cast(pl.Datetime("us")))
        .to_series()
        .dt.replace_time_zone("UTC")
        .cast(INSTANT)
    )


def _christian(texts: pl.Series) -> pl.Series:
    """Write Buddhist years as the others do, and Thai digits and months too."""
    plain = texts.str.replace_many(_THAI)
    for number, names in enumerate(_MONTHS, 1):
        for name in names:
            plain = plain.str.replace(name, f"{number:02}", literal=True)
    year = plain.str.extract(r"(2[45]\d\d)", 1)
    ours = (year.cast(pl.Int32, strict=False) - _BUDDHIST).cast(pl.String)
    before = plain.str.extract(r"^(.*?)2[45]\d\d", 1)
    after = plain.str.extract(r"2[45]\d\d(.*)$", 1)
    frame = pl.DataFrame({"plain": plain, "a": before, "y": ours, "b": after})
    return frame.select(
        pl.when(pl.col("y").is_not_null())
        .then(pl.concat_str("a", "y", "b"))
        .otherwise("plain")
    ).to_series()


# --- Numbers and words ---------------------------------------------------------------

_PORT: Final = 65_535
_PROTOCOLS: Final = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmp6", "132": "sctp"}
# STIX 2.1 Appendix A, the scale None, Low, Medium, High.
_CONFIDENCE: Final = {"none": "0", "low": "15", "medium": "50", "high": "85"}
_SEVERITY: Final = {word: str(level) for level, word in enumerate(SEVERITIES)} | {
    "informational": "0",
    "information": "0",
    "moderate": "2",
    "med": "2",
    "crit": "4",
}
_TLP: Final = {
    text.casefold(): str(int(level))
    for level in Tlp
    for text in (level.label, level.label[4:])
} | {"tlp:white": "0", "white": "0"}


def _number(texts: pl.Series, role: Role) -> pl.Series:
    """Give numbers as floats; blanks and the other mark may part thousands."""
    part, point = (".", ",") if role.decimal == "," else (",", ".")
    bare = texts.str.replace_all(r"[\s\u00a0\u202f']", "")
    parted = rf"^-?\d{{1,3}}(?:\{part}\d{{3}})+(?:\{point}\d+)?$"
    bare = bare.zip_with(
        ~bare.str.contains(parted), bare.str.replace_all(part, "", literal=True)
    )
    if role.decimal == ",":
        bare = bare.str.replace(",", ".", literal=True)
    number = bare.cast(pl.Float64, strict=False) * role.scale
    return number.set(~number.is_finite(), None)


def whole(texts: pl.Series, role: Role, least: int, most: int) -> pl.Series:
    """Give whole numbers between two bounds; others are null."""
    plain = texts.cast(pl.Int64, strict=False)
    if role.scale != 1 or plain.null_count() > texts.null_count():
        number = _number(texts, role).round()
        number = number.set(~number.is_between(-(2.0**62), 2.0**62), None)
        plain = number.cast(pl.Int64, strict=False)
    return plain.set(~plain.is_between(least, most), None)


def ports(texts: pl.Series) -> pl.Series:
    """Give ports, 0 to 65535. "443/tcp" and "80.0" are none."""
    plain = texts.cast(pl.Int64, strict=False)
    return plain.set(~plain.is_between(0, _PORT), None).cast(pl.Int32)


def _meant(texts: pl.Series, table: dict[str, str]) -> pl.Series:
    """Give what the table says of each text, by its folded form; null where nothing."""
    return texts.str.to_lowercase().replace_strict(
        table, default=None, return_dtype=pl.String
    )


def severities(texts: pl.Series, role: Role) -> pl.Series:
    """Give 0 (info) to 4 (critical). A bare number means what the role says it does."""
    said = {text: _SEVERITY.get(word, word) for text, word in role.words.items()}
    levels = _meant(texts, {**_SEVERITY, **said})
    return whole(levels, Role(role.to), 0, len(SEVERITIES) - 1).cast(pl.Int16)


def confidences(texts: pl.Series, role: Role) -> pl.Series:
    """Give 0 to 100, from a number or a word."""
    said = {text: _CONFIDENCE.get(word, word) for text, word in role.words.items()}
    worded = _meant(texts, {**_CONFIDENCE, **said})
    number = whole(texts.set(worded.is_not_null(), None), role, 0, 100)
    return (
        worded.cast(pl.Int64, strict=False)
        .zip_with(worded.is_not_null(), number)
        .cast(pl.Int16)
    )


def tlps(texts: pl.Series, role: Role) -> pl.Series:
    """Give 0 (CLEAR) to 4 (RED). A label that nobody knows restricts: RED."""
    said = {text: _TLP.get(word.casefold(), word) for text, word in role.words.items()}
    known = _meant(texts, {**_TLP, **said}).cast(pl.Int16, strict=False)
    return known.set(known.is_null() & texts.is_not_null(), int(Tlp.RED))


def types(texts: pl.Series, role: Role) -> pl.Series:
    """Give RSIT types; null where the text names none and the role has no word."""
    table = {}
    for text in texts.unique().drop_nulls():
        kind = role.words.get(text.strip().casefold()) or type_of(text)
        if kind != UNDETERMINED or "undetermined" in text.casefold():
            table[text] = kind
    return texts.replace_strict(table, default=None, return_dtype=pl.String)


def protocols(texts: pl.Series, role: Role) -> pl.Series:
    """Give names of transport protocols in lower case, also for their numbers."""
    return texts.str.to_lowercase().replace({**_PROTOCOLS, **role.words})


def asns(texts: pl.Series) -> pl.Series:
    """Give AS numbers, with or without "AS" before and a name behind."""
    numbers = texts.cast(pl.Int64, strict=False)
    if numbers.null_count() > texts.null_count():
        digits = texts.str.extract(r"^(?i:asn?)?\s*(\d{1,10})(?:\s.*)?$", 1)
        numbers = digits.cast(pl.Int64, strict=False)
    return numbers.set(~numbers.is_between(1, 2**32 - 1), None)


def countries(texts: pl.Series) -> pl.Series:
    """Give two-letter codes in upper case."""
    odd = [text for text in texts.unique().drop_nulls() if not _is_code(text)]
    return texts.set(texts.is_in(odd), None).str.to_uppercase()


def _is_code(text: str) -> bool:
    return len(text) == 2 and text.isascii() and text.isalpha()


def hashes(texts: pl.Series) -> pl.Series:
    """Give MD5, SHA-1 and SHA-256 as hex in lower case, also from "sha256:...".

    A certificate's digest is often written with colons between its bytes.
    """
    bare = texts.str.to_lowercase().str.replace(r"^(?:md5|sha-?1|sha-?256):", "")
    bare = bare.str.replace_all(r"[:\s]", "")
    return bare.str.extract(r"^([0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64})$", 1)


# --- Values that fill several columns ------------------------------------------------

_V4 = r"\d+\.\d+\.\d+\.\d+"
_V6 = r"[0-9A-Fa-f:]*:[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*(?:%\w+)?"
_ADDRESS = rf"(?:{_V4}|{_V6})"
_HOST = r"(?:[^\s/@:?#\[\]]+)"


def _part(texts: pl.Series, pattern: str) -> pl.Series:
    return texts.str.extract(pattern, 1)


def _tail_ports(texts: pl.Series, pattern: str) -> pl.Series:
    return ports(_part(texts, pattern))


def endpoints(texts: pl.Series) -> dict[str, pl.Series]:
    """Split 192.0.2.1:80, [2001:db8::1]:80 and bare addresses."""
    return {
        "address": _part(texts, rf"^\[?({_ADDRESS})\]?(?::\d+)?$").zip_with(
            ~texts.str.contains(rf"^{_V4}:").fill_null(value=False),
            _part(texts, rf"^({_V4}):\d+$"),
        ),
        "port": _tail_ports(texts, rf"^(?:{_V4}|\[{_V6}\]):(\d+)$"),
    }


def prefixes(texts: pl.Series) -> dict[str, pl.Series]:
    """Give the first address of 192.0.2.0/24, as it is written."""
    return {"address": _part(texts, rf"^({_ADDRESS})(?:/\d+)?$")}


def hosts(texts: pl.Series) -> dict[str, pl.Series]:
    """Tell addresses and names apart; a port behind them is left out.

    A name whose last label is a number is an address written oddly, and none to us.
    """
    address = endpoints(texts)["address"]
    name = _part(texts, rf"^({_HOST})(?::\d+)?$")
    odd = name.str.contains(r"(?:^|\.)(?:\d+|0[xX][0-9A-Fa-f]*)\.?$")
    none = address.is_not_null() | odd.fill_null(value=False)
    return {"address": address, "domain": name.set(none, None)}


def sites(texts: pl.Series) -> dict[str, pl.Series]:
    """Give URLs, with the address or name, and the port, that they lead to."""
    url = _part(texts, r"^([A-Za-z][A-Za-z0-9+.-]*://.+)$")
    authority = _part(url, r"^[^:]+://(?:[^/?#@]*@)?([^/?#]*)")
    said = ports(_part(authority, r":(\d+)$"))
    scheme = _part(url, r"^([^:]+):").str.to_lowercase()
    usual = scheme.replace_strict(
        {"http": 80, "https": 443, "ftp": 21}, default=None, return_dtype=pl.Int32
    )
    return {"url": url, "port": said.zip_with(said.is_not_null(), usual)} | hosts(
        authority
    )


def anything(texts: pl.Series) -> dict[str, pl.Series]:
    """Tell URLs, hashes, addresses and names apart by how they look."""
    found = sites(texts)
    digest = hashes(texts).set(found["url"].is_not_null(), None)
    other = texts.set(found["url"].is_not_null() | digest.is_not_null(), None)
    ends, named = endpoints(other), hosts(other)
    # A name has a dot and no blank; "unknown" and "n/a" are none.
    name = _part(named["domain"], r"^([^.\s]+(?:\.[^.\s]+)+\.?)$")
    return {
        "url": found["url"],
        "hash": digest,
        "address": _first(
            _first(found["address"], ends["address"]), prefixes(other)["address"]
        ),
        "domain": _first(found["domain"], name),
        "port": _first(found["port"], ends["port"]),
    }


def _first(one: pl.Series, other: pl.Series) -> pl.Series:
    return one.zip_with(one.is_not_null(), other)
