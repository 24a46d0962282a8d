"""Rows as a file has them become events: each column by its role, the rest in `extra`.

A value that its event column cannot hold stays in `extra`, under the name it had. A row
is refused only where it would be misread: when its time or a port is no such thing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final

import orjson
import polars as pl

from serantau.lane.formats import values
from serantau.lane.formats.form import Fit, Role
from serantau.lane.formats.rows import RAW, VALUE, Fault, Piece, Rows
from serantau.lane.frame import EVENTS, INSTANT, REJECTS
from serantau.lane.origin import Origin
from serantau.rules.taxonomy import CLASS_OF, UNDETERMINED

EARLIEST: Final = 631_152_000_000_000
"""1990-01-01: what is said to be earlier is a clock that was never set."""
AHEAD: Final = 86_400_000_000
"""How long after the batch's arrival a row may be: a clock without its zone is."""
_COUNT: Final = 2**53

_Values = Callable[[pl.Series, Role], pl.Series]
_Parts = Callable[[pl.Series], dict[str, pl.Series]]

_SINGLE: Final[dict[str, _Values]] = {
    "time": values.instants,
    "first_seen": values.instants,
    "last_seen": values.instants,
    "source_port": lambda texts, _: values.ports(texts),
    "destination_port": lambda texts, _: values.ports(texts),
    "source_asn": lambda texts, _: values.asns(texts),
    "destination_asn": lambda texts, _: values.asns(texts),
    "source_country": lambda texts, _: values.countries(texts),
    "destination_country": lambda texts, _: values.countries(texts),
    "protocol": values.protocols,
    "type": values.types,
    "malware": lambda texts, _: texts.str.to_lowercase(),
    "hash": lambda texts, _: values.hashes(texts),
    "severity": values.severities,
    "confidence": values.confidences,
    "tlp": values.tlps,
    "count": lambda texts, role: values.whole(texts, role, 0, _COUNT),
}
_COMPOUND: Final[dict[str, _Parts]] = {
    "endpoint": values.endpoints,
    "prefix": values.prefixes,
    "host": values.hosts,
    "site": values.sites,
    "any": values.anything,
}
_STRICT: Final[dict[str, str]] = {
    "time": "no time in a form that is known",
    "source_port": "not a port",
    "destination_port": "not a port",
}
# The look-ups of this node may overrule what the feed says of these, and one RSIT type
# stands for many words, so that the feed's own word is kept beside it.
_KEPT: Final = frozenset(
    {"source_asn", "destination_asn", "source_country", "destination_country", "type"}
)


@dataclass(slots=True)
class _Work:
    """What is known of a block so far, by event column and by the file's column."""

    held: dict[str, pl.Series] = field(default_factory=dict)
    extra: dict[str, pl.Series] = field(default_factory=dict)
    refused: list[tuple[pl.Series, str, str]] = field(default_factory=list)

    def take(self, column: str, got: pl.Series) -> pl.Series:
        """Take values for an event column; tell where they were not wanted."""
        before = self.held.get(column)
        if before is None:
            self.held[column] = got
            return pl.repeat(value=False, n=len(got), dtype=pl.Boolean, eager=True)
        self.held[column] = before.zip_with(before.is_not_null(), got)
        other = before.is_not_null() & got.is_not_null()
        return other & (before != got).fill_null(value=True)

    def keep(self, name: str, texts: pl.Series, where: pl.Series) -> None:
        """Keep a column's texts in `extra` where the mask says so."""
        kept = texts.zip_with(where, pl.Series([None], dtype=pl.String))
        if kept.null_count() < len(kept):
            self.extra[name] = kept


def harmonise(rows: Rows, fit: Fit, origin: Origin, stamp: int | None = None) -> Piece:
    """Make events of a block's rows.

    Lines and numbers in the piece count from the block's beginning.

    Args:
        rows: the block.
        fit: what its columns are.
        origin: where it comes from.
        stamp: the time of rows that tell none, when the file's head tells one.
    """
    work = _Work()
    for name, role in fit.roles.items():
        texts = values.clean(rows.frame[name])
        if texts.null_count() < len(texts):
            _fill(work, name, role, texts)
    _check_time(work, fit, origin)
    unread = [name for name in rows.frame.columns if name not in fit.roles]
    inner = rows.frame["extra"] if "extra" in unread else None
    if inner is not None:
        unread.remove("extra")
    extra = _extra(rows.frame.select(unread), work.extra, rows.rest, plain=rows.plain)
    if inner is not None:
        extra = _joined(extra, inner)
    frame = _events(work.held, extra, rows, fit, origin, stamp)
    rejects = list(rows.faults)
    if work.refused:
        frame, refused = _refuse(frame, rows, work.refused)
        rejects += refused
    return Piece(frame, _rejects(rejects, fit, origin), rows.skipped)


def _fill(work: _Work, name: str, role: Role, texts: pl.Series) -> None:
    side, _, what = role.to.partition("_")
    parts = _COMPOUND.get(what) if side in {"source", "destination"} else None
    if parts is not None:
        _fill_several(work, name, side, texts, parts(texts))
        return
    convert = _SINGLE.get(role.to)
    got = texts if convert is None else convert(texts, role)
    lost = got.is_null() & texts.is_not_null()
    if role.to in _STRICT and lost.any():
        work.refused.append((lost, name, _STRICT[role.to]))
    unwanted = work.take(role.to, got)
    keep = got.is_not_null() if role.to in _KEPT else unwanted
    work.keep(name, texts, keep | lost)


def _fill_several(
    work: _Work, name: str, side: str, texts: pl.Series, parts: dict[str, pl.Series]
) -> None:
    whole = pl.repeat(value=False, n=len(texts), dtype=pl.Boolean, eager=True)
    unwanted = whole
    for what, got in parts.items():
        exact = got.is_not_null() if what in {"port", "hash"} else got == texts
        # A URL's usual port is inferred; the URL itself says all that was said.
        whole = whole | exact.fill_null(value=False)
        column = what if what == "hash" else f"{side}_{what}"
        taken = work.take(column, got)
        unwanted = unwanted | (taken & exact.fill_null(value=False))
    work.keep(name, texts, (~whole | unwanted) & texts.is_not_null())


def _check_time(work: _Work, fit: Fit, origin: Origin) -> None:
    """Refuse rows of the future and of before there was a network to report on."""
    time = work.held.get("time")
    if time is None:
        return
    name = next(n for n, role in fit.roles.items() if role.to == "time")
    at = time.dt.epoch("us")
    for wrong, reason in (
        (at > origin.received + AHEAD, "later than the file itself arrived"),
        (at < EARLIEST, "earlier than 1990"),
    ):
        if (wrong := wrong.fill_null(value=False)).any():
            work.refused.append((wrong, name, reason))


# --- What is left over ---------------------------------------------------------------


def _extra(
    unread: pl.DataFrame,
    kept: Mapping[str, pl.Series],
    rest: pl.Series | None,
    *,
    plain: bool = False,
) -> pl.Series | None:
    """Write as JSON objects what has no column; null where nothing is left.

    Empty values are left out. Keys are in the file's order, those of columns that were
    read but did not hold a value behind the others, so that a row's text is the same
    whatever rows are read with it.
    """
    columns = {name: unread[name] for name in unread.columns} | dict(kept)
    columns = {
        n: texts for n, texts in columns.items() if texts.null_count() < len(texts)
    }
    # Neighbours that are there in the same rows are written together.
    members = [
        (_plain(run) if plain else _encoded(run), columns[run[0]].null_count() > 0)
        for run in _runs(columns)
    ]
    if rest is not None:
        columns["\0rest"] = rest
        members.append(([pl.col("\0rest")], True))
    if not members:
        return None
    frame = pl.DataFrame(columns)
    whole = [gaps for _, gaps in members]
    if not all(whole):
        # Something is left in every row, and the commas are where its neighbours are.
        anchor = whole.index(False)
        parts: list[str | pl.Expr] = ["{"]
        for at, (member, gaps) in enumerate(members):
            told = [*member, ","] if at < anchor else [",", *member]
            told = member if at == anchor else told
            parts += [_concat(told)] if gaps else told
        return frame.select(_concat([*parts, "}"], ignore_nulls=True)).to_series()
    joined = frame.select(
        pl.concat_str(
            [_concat(member) for member, _ in members], separator=",", ignore_nulls=True
        ).alias("all")
    )
    return joined.select(
        pl.when(pl.col("all") != "").then(
            pl.concat_str(pl.lit("{"), pl.col("all"), pl.lit("}"))
        )
    ).to_series()


def _joined(outer: pl.Series | None, inner: pl.Series) -> pl.Series:
    """Join what is left with a column called `extra`, which may be an object itself.

    Its members come from whoever read the report first, so they win.
    """
    found: list[str | None] = []
    for text, kept in zip(
        [None] * len(inner) if outer is None else outer, inner, strict=True
    ):
        if not kept:
            found.append(text)
            continue
        whole = orjson.loads(text) if text else {}
        try:
            said = orjson.loads(kept)
        except orjson.JSONDecodeError:
            said = kept
        whole |= said if isinstance(said, dict) else {"extra": said}
        found.append(orjson.dumps(whole).decode())
    return pl.Series(found, dtype=pl.String)


def _runs(columns: Mapping[str, pl.Series]) -> Iterator[list[str]]:
    """Part names into runs of neighbours that have values in the same rows."""
    run: list[str] = []
    for name, texts in columns.items():
        if run and not _alike(columns[run[-1]], texts):
            yield run
            run = []
        run.append(name)
    if run:
        yield run


def _alike(one: pl.Series, other: pl.Series) -> bool:
    if one.null_count() != other.null_count():
        return False
    return not one.null_count() or bool((one.is_null() == other.is_null()).all())


def _encoded(names: list[str]) -> list[str | pl.Expr]:
    """Write columns as members of an object, whatever is in them."""
    encoded = pl.struct(names).struct.json_encode()
    members = encoded.str.strip_prefix("{").str.strip_suffix("}")
    return [pl.when(pl.col(names[0]).is_not_null()).then(members)]


def _plain(names: list[str]) -> list[str | pl.Expr]:
    """Write columns as members of an object, when no text needs an escape."""
    parts: list[str | pl.Expr] = []
    for name in names:
        parts += [f'{"," if parts else ""}{orjson.dumps(name).decode()}:"']
        parts += [pl.col(name), '"']
    return parts


def _concat(parts: Iterable[str | pl.Expr], *, ignore_nulls: bool = False) -> pl.Expr:
    """Join texts and columns; what is null makes all null, unless it is ignored."""
    joined: list[pl.Expr] = []
    for literal, some in groupby(parts, key=lambda part: isinstance(part, str)):
        if literal:
            joined.append(pl.lit("".join(map(str, some))))
        else:
            joined += [part for part in some if isinstance(part, pl.Expr)]
    return pl.concat_str(joined, ignore_nulls=ignore_nulls)


# --- Events and rejects --------------------------------------------------------------


def _events(
    held: dict[str, pl.Series],
    extra: pl.Series | None,
    rows: Rows,
    fit: Fit,
    origin: Origin,
    stamp: int | None,
) -> pl.DataFrame:
    height = rows.frame.height
    told = {
        "report": fit.report or None,
        "type": origin.type or fit.constants.get("type") or UNDETERMINED,
        "confidence": origin.confidence,
        "severity": origin.severity,
        "tlp": origin.tlp,
        "time": origin.received if stamp is None else stamp,
    }
    constants: dict[str, Any] = dict(fit.constants)
    constants |= {name: value for name, value in told.items() if value is not None}
    columns = dict(held)
    for name, value in constants.items():
        usual = pl.repeat(value, height, dtype=_repeated(name), eager=True)
        usual = usual.cast(EVENTS[name])
        before = columns.get(name)
        columns[name] = (
            usual if before is None else before.zip_with(before.is_not_null(), usual)
        )
    columns["received"] = pl.repeat(
        origin.received, height, dtype=pl.Int64, eager=True
    ).cast(INSTANT)
    columns["batch"] = pl.repeat(origin.batch, height, dtype=pl.String, eager=True)
    columns["feed"] = pl.repeat(origin.feed, height, dtype=pl.String, eager=True)
    columns["number"] = rows.numbers
    columns["class"] = columns["type"].replace_strict(
        CLASS_OF, return_dtype=pl.String, default=CLASS_OF[UNDETERMINED]
    )
    if extra is not None:
        columns["extra"] = extra
    return pl.DataFrame(
        {
            name: columns[name].cast(kind)
            for name, kind in EVENTS.items()
            if name in columns
        }
    )


def _repeated(name: str) -> Any:
    kind = EVENTS[name]
    return pl.Int64 if kind == INSTANT else kind


def _refuse(
    frame: pl.DataFrame, rows: Rows, refused: list[tuple[pl.Series, str, str]]
) -> tuple[pl.DataFrame, list[Fault]]:
    """Take out the rows that are refused; each names its first fault."""
    why: dict[int, tuple[str, str]] = {}
    for wrong, name, reason in refused:
        for at in wrong.arg_true():
            why.setdefault(at, (name, reason))
    places = sorted(why)
    faults = []
    for at, (line, raw) in zip(places, rows.locate(places), strict=True):
        name, reason = why[at]
        value = str(rows.frame[name][at] or "")
        faults.append(Fault(line, rows.numbers[at], reason, raw, name, value))
    good = pl.int_range(frame.height, eager=True).is_in(places).not_()
    return frame.filter(good), faults


def _rejects(faults: Iterable[Fault], fit: Fit, origin: Origin) -> pl.DataFrame:
    found = sorted(faults, key=lambda fault: fault.line)
    return pl.DataFrame(
        {
            "received": [origin.received] * len(found),
            "batch": [origin.batch] * len(found),
            "feed": [origin.feed] * len(found),
            "report": [fit.report or None] * len(found),
            "file": [None] * len(found),
            "line": [fault.line for fault in found],
            "column": [fault.column or None for fault in found],
            "value": [fault.value[:VALUE] or None for fault in found],
            "reason": [fault.reason for fault in found],
            "raw": [fault.raw[:RAW] for fault in found],
        },
        schema={
            name: pl.Int64 if kind == INSTANT else kind
            for name, kind in REJECTS.items()
        },
    ).cast(REJECTS)


def members_of(record: Mapping[str, Any]) -> str | None:
    """Write what is left of a JSON record as members of an object, without braces.

    An object called `extra` gives its members, as in `_joined`.
    """
    if not record:
        return None
    inner = record.get("extra", "")
    if inner is None or isinstance(inner, Mapping):
        outer = {name: value for name, value in record.items() if name != "extra"}
        record = {**outer, **(inner or {})}
    return orjson.dumps(record, option=orjson.OPT_NON_STR_KEYS)[1:-1].decode()
