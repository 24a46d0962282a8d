"""One form for every value: what two reports mean alike is written alike.

Formats give values of the right kind; here they get the one form in which rows are
compared, and rows that cannot be true are turned away with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import polars as pl

from serantau.lane.address import HIGHEST_PORT, parse
from serantau.lane.frame import EVENTS, REJECTS, conform
from serantau.rules.event import SEVERITIES
from serantau.rules.level import Tlp
from serantau.rules.taxonomy import CLASS_OF, UNDETERMINED, type_of
from serantau.rules.text import normalise, refang

SIDES: Final = ("source", "destination")
_NAMES: Final = tuple(f"{side}_{what}" for side in SIDES for what in ("domain", "name"))
_WORDS: Final = ("protocol", "malware", "hash")
_LARGEST_ASN: Final = 2**32 - 1
_SURE: Final = 100
# 1990-01-01T00:00:00Z: before it there was nobody to report.
_EARLIEST: Final = 631_152_000_000_000
# Clocks and time zones are wrong by hours, not by more than a day.
_AHEAD: Final = 86_400_000_000
# Names and URLs that are as `rules.text.normalise` writes them, by their looks.
_PLAIN_NAME: Final = r"^[a-z0-9_.-]*[a-z0-9_-]$"
_PLAIN_URL: Final = r"^https?://[a-z0-9.-]*[a-z0-9-]/[!-~]*$"

NO_ADDRESS: Final = "is no IPv4 or IPv6 address"
NO_PORT: Final = f"is no port from 0 to {HIGHEST_PORT}"
TOO_EARLY: Final = "is before 1990"
TOO_LATE: Final = "is more than a day after the batch arrived"


def harmonise(frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Give rows their one form.

    Args:
        frame: columns of EVENTS, as a format gives them; received, batch, number and
            feed are not null.

    Returns:
        The rows that can be true, with all of EVENTS; and the others, as REJECTS, each
        with its first fault. What is found out later (owners, networks) is not in yet.
    """
    frame = conform(frame)
    made: list[pl.Series] = []
    for side in SIDES:
        read = parse(frame[f"{side}_address"])
        made += [read[name].alias(f"{side}_{name}") for name in read.columns]
    faults = _faults(frame, {one.name: one for one in made})
    if faults is not None:
        rejects = _rejects(frame, faults)
        good = faults.is_null()
        frame = frame.filter(good)
        made = [one.filter(good) for one in made]
    else:
        rejects = pl.DataFrame(schema=REJECTS)
    made += [_each(frame[name], _domain) for name in _NAMES if _any(frame[name])]
    made += [
        _each(frame[name], _url)
        for name in (f"{side}_url" for side in SIDES)
        if _any(frame[name])
    ]
    made += [
        frame[name].str.strip_chars().str.to_lowercase()
        for name in _WORDS
        if _any(frame[name])
    ]
    made += [
        _code(frame[name])
        for name in (f"{side}_country" for side in SIDES)
        if _any(frame[name])
    ]
    return _typed(frame.with_columns(made).with_columns(_NUMBERS)), rejects


_NUMBERS: Final = (
    *(
        pl.when(pl.col(name).is_between(least, most)).then(pl.col(name)).alias(name)
        for name, least, most in (
            ("source_asn", 1, _LARGEST_ASN),
            ("destination_asn", 1, _LARGEST_ASN),
            ("severity", 0, len(SEVERITIES) - 1),
            ("confidence", 0, _SURE),
            ("count", 1, 2**63 - 1),
        )
    ),
    # A level that nobody knows restricts.
    pl.when(pl.col("tlp").is_between(0, int(Tlp.RED)))
    .then("tlp")
    .when(pl.col("tlp").is_not_null())
    .then(pl.lit(int(Tlp.RED), pl.Int16))
    .alias("tlp"),
    pl.coalesce("time", "received"),
)


def _typed(frame: pl.DataFrame) -> pl.DataFrame:
    """Give every row an RSIT type, and the class of it."""
    said = frame["type"].unique().to_list()
    if len(said) == 1:
        one = type_of(said[0] or UNDETERMINED)
        return frame.with_columns(type=pl.lit(one), **{"class": pl.lit(CLASS_OF[one])})
    types = {text: type_of(text) for text in said if text is not None}
    kind = pl.col("type").replace_strict(
        types, default=UNDETERMINED, return_dtype=pl.String
    )
    classes = pl.col("type").replace_strict(
        {text: CLASS_OF[name] for text, name in types.items()},
        default=CLASS_OF[UNDETERMINED],
        return_dtype=pl.String,
    )
    return frame.with_columns(kind, classes.alias("class"))


# --- Texts ---------------------------------------------------------------------------

_Rule = Callable[[pl.Series], tuple[pl.Series, pl.Series, str]]
"""Gives texts in their form, which of them it is not sure of, and their kind."""


def _any(column: pl.Series) -> bool:
    return column.null_count() < len(column)


def _each(
    texts: pl.Series, rule: Callable[[pl.Series], tuple[pl.Series, pl.Series, str]]
) -> pl.Series:
    """Write texts by a quick rule, and those that it is not sure of one by one."""
    quick, odd, kind = rule(texts)
    if not odd.any():
        return quick
    known = {
        text: normalise(kind, refang(text))
        for text in texts.filter(odd).unique().to_list()
    }
    slow = texts.filter(odd).replace_strict(known, return_dtype=pl.String)
    # Those before the first odd one take no slow text, but have to name one.
    at = (odd.cast(pl.Int64).cum_sum() - 1).clip(0)
    return quick.zip_with(~odd, slow.gather(at)).alias(texts.name)


def _code(texts: pl.Series) -> pl.Series:
    """Keep the two-letter codes."""
    each = texts.drop_nulls().unique()
    odd = each.filter(~each.str.contains(r"^[A-Z]{2}$"))
    return texts.set(texts.is_in(odd.implode()), None) if len(odd) else texts


def _domain(texts: pl.Series) -> tuple[pl.Series, pl.Series, str]:
    if texts.str.contains(_PLAIN_NAME).all():
        return texts, texts.is_null().clear(len(texts)).fill_null(value=False), ""
    quick = texts.str.strip_chars().str.strip_chars_end(".").str.to_lowercase()
    odd = (texts.str.len_bytes() != texts.str.len_chars()) | texts.str.contains(
        "[", literal=True
    )
    return quick.set(quick == "", None), odd.fill_null(value=False), "domain-name"


def _url(texts: pl.Series) -> tuple[pl.Series, pl.Series, str]:
    return texts, ~texts.str.contains(_PLAIN_URL).fill_null(value=True), "url"


# --- Rows that cannot be true --------------------------------------------------------


def _faults(frame: pl.DataFrame, made: Mapping[str, pl.Series]) -> pl.Series | None:
    """Number each row's first fault (its place in _FAULTS); None when none has one."""
    seen = pl.coalesce("time", "received").cast(pl.Int64)
    arrived = pl.col("received").cast(pl.Int64)
    tests = [
        *(
            pl.col(f"{side}_address").is_not_null() & made[f"{side}_lo"].is_null()
            for side in SIDES
        ),
        *(~pl.col(f"{side}_port").is_between(0, HIGHEST_PORT) for side in SIDES),
        seen < _EARLIEST,
        seen > arrived + _AHEAD,
    ]
    bad = frame.select(
        test.fill_null(value=False).alias(str(place))
        for place, test in enumerate(tests)
    )
    if not bad.select(pl.any_horizontal(pl.all().any())).item():
        return None
    return bad.select(
        pl.coalesce(
            pl.when(pl.col(name)).then(pl.lit(int(name), pl.Int32))
            for name in bad.columns
        )
    ).to_series()


_FAULTS: Final = (
    ("source_address", NO_ADDRESS),
    ("destination_address", NO_ADDRESS),
    ("source_port", NO_PORT),
    ("destination_port", NO_PORT),
    ("time", TOO_EARLY),
    ("time", TOO_LATE),
)


def _rejects(frame: pl.DataFrame, faults: pl.Series) -> pl.DataFrame:
    """Write the rows with a fault as REJECTS; raw: what was read of it, as JSON."""
    bad = frame.with_columns(fault=faults).filter(pl.col("fault").is_not_null())
    read = [name for name in EVENTS if name != "number" and _any(bad[name])]
    value = pl.coalesce(
        pl.when(pl.col("fault") == place).then(pl.col(column).cast(pl.String))
        for place, (column, _) in enumerate(_FAULTS)
    )
    told = {
        "column": [column for column, _ in _FAULTS],
        "reason": [reason for _, reason in _FAULTS],
    }
    return conform(
        bad.select(
            "received",
            "batch",
            "feed",
            "report",
            line="number",
            value=value,
            raw=pl.struct(read).struct.json_encode(),
            **{
                name: pl.col("fault").replace_strict(
                    dict(enumerate(texts)), return_dtype=pl.String
                )
                for name, texts in told.items()
            },
        ),
        REJECTS,
    )
