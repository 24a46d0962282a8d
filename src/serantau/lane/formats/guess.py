"""A format is proposed for a file that nobody described, by looking at its columns.

The proposal is a text that a person reads, mends and keeps: what each column seems to
be by its values, and by its name where values do not tell. Nothing is decided by it.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
import polars as pl
import tomli_w

from serantau.errors import BadInput
from serantau.lane.formats import values
from serantau.lane.formats.documents import find_rows, text_of
from serantau.lane.formats.form import Format, Role, read_form
from serantau.lane.formats.reading import read
from serantau.lane.formats.rows import Piece
from serantau.lane.formats.source import opening
from serantau.lane.formats.table import unique
from serantau.lane.frame import EVENTS, REJECTS
from serantau.lane.origin import Origin
from serantau.rules.event import SEVERITIES

_LINES: Final = 500
_COLUMNS: Final = 300
# Python's csv reads no longer values.
_LONGEST: Final = 131_072
_DELIMITERS: Final = ",;\t|"
_MARKS: Final = ("#", ";", "//")
_MOST: Final = 0.9
_SOME: Final = 0.5
_LOCAL: Final = tuple(
    f"{day}{clock}"
    for clock in (" %H:%M:%S", " %H:%M", ", %H:%M:%S", "")
    for day in (
        "%b %d %Y",
        "%d %b %Y",
        "%d-%b-%Y",
        "%d/%m/%Y",
        "%m/%d/%Y",
        "%d.%m.%Y",
        "%d-%m-%Y",
        "%m-%d-%Y",
        "%d/%m/%y",
        "%d.%m.%y",
        "%d %m %Y",
    )
)
# How what is written in one of these looks: to try all of them takes long.
_DAY: Final = r"(?:\d{1,2}|\pL[\pL\pM.]*)"
_DATED: Final = rf"^{_DAY}[ /.-]{_DAY}[ /.-]\d{{2,4}}(?:,? \d{{1,2}}:[\d:]+)?$"
_HOUR: Final = r"^\d{1,2}:\d\d(?::\d\d)?(?:\.\d+)?$"
_DAY_FIRST: Final = re.compile(r"^%d[/-]%m")


@dataclass(frozen=True, slots=True)
class Guess:
    """A proposal.

    text: the TOML, to be kept as NAME.toml among the node's formats. form: the same,
    read. preview: what it makes of the file's first rows. notes: what a person should
    look at, as sentences.
    """

    text: str
    form: Format
    preview: Piece
    notes: tuple[str, ...]


@dataclass(slots=True)
class _Sample:
    """The first rows of a file: how they are cut, and the values of each column."""

    said: dict[str, Any]
    columns: dict[str, list[str]]
    data: bytes
    notes: list[str] = field(default_factory=list)


def guess(head: bytes, *, name: str = "", received: int) -> Guess:
    """Propose a format.

    Args:
        head: a file's first bytes, packed or not; some hundred lines are enough.
        name: the file's name.
        received: the instant that rows without a time get in the preview.

    Raises:
        BadInput: there is no row in it, or it is no table that a person would describe.
    """
    _, text = opening(name, head)
    sample = _look(text)
    if len(sample.columns) > _COLUMNS:
        raise BadInput(
            f"it has {len(sample.columns):,} columns, more than {_COLUMNS} to look at"
        )
    if not any(sample.columns.values()):
        raise BadInput("there is no row in it to guess from")
    roles = _roles(sample)
    said = {**sample.said, "columns": roles}
    notes = tuple(sample.notes)
    lines = [f"# {note}" for note in notes]
    written = "\n".join([*lines, tomli_w.dumps(said)])
    form = read_form(written, "guessed", "the proposal")
    origin = Origin("preview", "0" * 64, received, name)
    try:
        preview = next(read(sample.data, form, origin))
    except BadInput:
        # Of no machine is anything told, as the notes say: there is nothing to show.
        preview = Piece(EVENTS.to_frame(), REJECTS.to_frame())
    return Guess(written, form, preview, notes)


# --- How rows are cut ----------------------------------------------------------------


def _look(text: str) -> _Sample:
    start = text.lstrip()
    if start.startswith(("{", "[")):
        found = _look_at_json(start)
        if found is not None:
            return found
    return _look_at_lines(text)


def _look_at_json(text: str) -> _Sample | None:
    """Look at JSON lines, or at a document that is there as a whole."""
    records: list[Any] = []
    path = ""
    for line in text.splitlines()[:_LINES]:
        try:
            records.append(orjson.loads(line))
        except orjson.JSONDecodeError:
            continue
    if len(records) < 2 or not all(isinstance(one, dict) for one in records):
        try:
            document = orjson.loads(text)
        except orjson.JSONDecodeError:
            if not records:
                return None
            document = records
        path = _rows_at(document)
        records = [one for one in find_rows(document, path) if isinstance(one, dict)]
    columns: dict[str, list[str]] = {}
    for record in records[:_LINES]:
        for name, value in _flat(record):
            columns.setdefault(name, []).append(value)
    said: dict[str, Any] = {"cut": "json"} | ({"rows": path} if path else {})
    data = b"\n".join(orjson.dumps(one) for one in records[:_LINES]) + b"\n"
    return _Sample(said, columns, data)


def _rows_at(document: Any) -> str:
    """Find where in a document its rows are: the key of a list of objects."""
    if isinstance(document, dict):
        lists = [
            key
            for key, value in document.items()
            if isinstance(value, list) and value and isinstance(value[0], dict)
        ]
        if len(lists) == 1:
            return str(lists[0])
        if lists and len(lists) == len(document):
            return "*"
    return ""


def _flat(record: dict[str, Any], before: str = "") -> Iterable[tuple[str, str]]:
    for key, value in record.items():
        name = f"{before}{key}"
        if isinstance(value, dict):
            yield from _flat(value, f"{name}.")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            yield from _flat(value[0], f"{name}.0.")
        elif text := text_of(value):
            yield name, text


def _look_at_lines(text: str) -> _Sample:
    lines = text.splitlines()
    if len(lines) > 1 and not text.endswith("\n"):
        lines.pop()  # Where the head was cut off, the last line may be a part.
    mark = next((one for one in _MARKS if lines and lines[0].startswith(one)), "")
    comments = [line for line in lines if mark and line.startswith(mark)]
    rows = [ln for ln in lines if ln.strip() and not (mark and ln.startswith(mark))]
    if any(len(row) > _LONGEST for row in rows[:_LINES]):
        raise BadInput(f"it has lines of more than {_LONGEST:,} letters")
    said: dict[str, Any] = {"comment": mark} if mark else {}
    data = ("\n".join(lines[: _LINES + len(comments)]) + "\n").encode()
    delimiter = _delimiter(rows)
    if not delimiter:
        said |= {"cut": "lines", "header": ["value"]}
        return _Sample(said, {"value": [row.strip() for row in rows[:_LINES]]}, data)
    if delimiter != ",":
        said["delimiter"] = delimiter
    fields = _fields(rows[:_LINES], delimiter)
    notes: list[str] = []
    names = list(unique(fields[0]))
    body = fields[1:]
    if not _is_header(fields[0]):
        body = fields
        spoken = comments[-1].removeprefix(mark).strip() if comments else ""
        told = _fields([spoken], delimiter)
        if told and len(told[0]) == len(fields[0]) and _is_header(told[0]):
            names = list(unique(told[0]))
            said["header_in_comment"] = True
        else:
            names = [f"column_{at}" for at in range(1, len(fields[0]) + 1)]
            said["header"] = names
            notes.append("The file has no header: give its columns better names.")
    lacking = max((len(names) - len(row) for row in body), default=0)
    if 0 < lacking < len(names) / 2:
        said["short"] = lacking
        notes.append(f"Some rows lack the last {lacking} of the columns: see `short`.")
    if any('", "' in row for row in rows[:20]):
        said["skip_space"] = True
    columns = {
        name: [row[at].strip() for row in body if at < len(row) and row[at].strip()]
        for at, name in enumerate(names)
    }
    return _Sample(said, columns, data, notes)


def _fields(rows: Sequence[str], delimiter: str) -> list[list[str]]:
    return list(csv.reader(rows, delimiter=delimiter, skipinitialspace=True))


def _delimiter(rows: Sequence[str]) -> str:
    """Find what parts columns: what gives most lines the same number of them."""
    best, score = "", 0.0
    for one in _DELIMITERS:
        widths = [len(fields) for fields in _fields(rows[:100], one)]
        if not widths:
            continue
        usual = max(set(widths), key=widths.count)
        even = widths.count(usual) / len(widths)
        if usual > 1 and even > _SOME and even * usual > score:
            best, score = one, even * usual
    return best


def _is_header(fields: Sequence[str]) -> bool:
    """Say whether fields are names: no address, time or number is among them."""
    told = [one.strip() for one in fields]
    texts = pl.Series(told, dtype=pl.String)
    valued = (
        values.anything(texts)["address"].is_not_null()
        | values.anything(texts)["url"].is_not_null()
        | values.instants(texts, Role("time")).is_not_null()
        | texts.str.contains(r"^[\d.,:]+$")
    )
    return len(set(told)) == len(told) and all(told) and not valued.any()


# --- What columns are ----------------------------------------------------------------

_Test = Callable[[pl.Series], bool]


def _mostly(found: pl.Series) -> bool:
    return len(found) > 0 and (len(found) - found.null_count()) / len(found) >= _MOST


def _are(texts: pl.Series, look: str) -> bool:
    """Say whether most texts look so."""
    return texts.str.contains(look).sum() >= _MOST * len(texts)


def _among(*words: str) -> _Test:
    return lambda texts: bool(texts.str.to_lowercase().is_in(words).all())


def _numbers(texts: pl.Series) -> bool:
    return _mostly(values.whole(texts, Role("count"), 0, 2**53))


def _names(texts: pl.Series) -> bool:
    found = values.hosts(texts)
    return _mostly(
        found["address"].zip_with(found["address"].is_not_null(), found["domain"])
    )


def _named(texts: pl.Series) -> bool:
    found = values.anything(texts)
    return _mostly(
        pl.DataFrame({n: s.cast(pl.String) for n, s in found.items()})
        .select(pl.coalesce(pl.all()))
        .to_series()
    )


def _kinds(texts: pl.Series) -> bool:
    return _mostly(values.types(texts, Role("type")))


_OTHER_SIDE: Final = re.compile(
    r"(?:^|[_.\s-])(?:dst|dest|destination|target|victim|to)"
)
# These look like digests of files and are something else.
_NO_HASH: Final = re.compile(r"serial|cert|fingerprint|jarm|ja3|uuid|(?:^|[_.])id$")
# Values tell these by themselves.
_BY_VALUE: Final[tuple[tuple[str, _Test], ...]] = (
    ("site", lambda texts: _mostly(values.sites(texts)["url"])),
    (
        "endpoint",
        lambda texts: (
            _mostly(values.endpoints(texts)["address"])
            and values.endpoints(texts)["port"].null_count() < len(texts)
        ),
    ),
    ("address", lambda texts: _mostly(values.endpoints(texts)["address"])),
    ("prefix", lambda texts: _mostly(values.prefixes(texts)["address"])),
    ("hash", lambda texts: _mostly(values.hashes(texts))),
    ("protocol", _among("tcp", "udp", "icmp", "icmp6", "sctp", "gre", "6", "17")),
    ("tlp", lambda texts: bool(texts.str.contains(r"(?i)^tlp:").all())),
    ("severity", _among(*SEVERITIES, "informational", "moderate")),
)
# Names tell these; the values must at least allow it.
_BY_NAME: Final[tuple[tuple[str, str, _Test], ...]] = (
    (
        "port",
        r"port$|^[sd]port|_port|พอร์ต|cổng|端口",
        lambda texts: _mostly(values.ports(texts)),
    ),
    ("asn", r"(?:^|[_.])asn?(?:$|[_.])|as.?number", lambda t: _mostly(values.asns(t))),
    (
        "country",
        r"(?:^|[_.])(?:cc|geo|country)|ประเทศ|negara|quốc gia",
        lambda texts: _mostly(values.countries(texts)),
    ),
    (
        "name",
        r"rdns|ptr|reverse|hostname",
        lambda t: _mostly(values.hosts(t)["domain"]),
    ),
    ("host", r"domain|fqdn|host|site|โดเมน|tên miền|域名", _names),
    ("count", r"count|hits|attacks|packets|reports", _numbers),
    (
        "confidence",
        r"confidence|score|accuracy",
        lambda texts: _share(texts) is not None,
    ),
    (
        "malware",
        r"malware|family|virus|botnet",
        lambda texts: not _numbers(texts),
    ),
    ("type", r"type$|category|classification", _kinds),
    (
        "identifier",
        r"identifier|signature$|rule|threat|reason|title|description|event",
        lambda texts: not _numbers(texts),
    ),
    ("any", r"indicator|ioc|value|observable", _named),
)
_NO_MACHINE: Final = "No column looks like an address, a name, a URL or a hash."
_ONE_SIDED: Final = frozenset(
    {"hash", "protocol", "tlp", "severity", "count", "confidence", "malware", "type"}
    | {"identifier"}
)


def _share(texts: pl.Series) -> dict[str, Any] | None:
    """Tell how a confidence is written: of 100 or of 1, and with which mark."""
    for decimal in (".", ","):
        number = values.whole(
            texts, Role("confidence", scale=100, decimal=decimal), 0, 10_000
        )
        if not _mostly(number):
            continue
        said: dict[str, Any] = {} if decimal == "." else {"decimal": decimal}
        small = number.max()
        return said | (
            {"scale": 100.0} if isinstance(small, int) and small <= 100 else {}
        )
    return None


def _roles(sample: _Sample) -> dict[str, Any]:
    """Tell what each column is; those of which nothing is known are not named."""
    roles: dict[str, Any] = {}
    used: set[str] = set()
    for name, found in sample.columns.items():
        texts = pl.Series(found[:_LINES], dtype=pl.String)
        if texts.is_empty():
            continue
        if texts.str.contains(_HOUR).all():
            # It would pass for an IPv6 address.
            sample.notes.append(f"{name} is an hour without its day, and stays so.")
            continue
        role = _time(name, texts, used, sample.notes) or _role(name, texts, used)
        if role is None:
            continue
        roles[name] = role
    machine = [
        one for one in used if one.startswith(("source_", "destination_", "hash"))
    ]
    if not machine:
        sample.notes.append(_NO_MACHINE)
    if not {"time", "first_seen", "last_seen"} & used:
        sample.notes.append(
            "No column is a time that is known: rows are of the moment the file comes."
        )
    if "type" not in used:
        sample.notes.append(
            "No column tells what happened: add [constants] with a type of RSIT."
        )
    return roles


def _time(
    name: str, texts: pl.Series, used: set[str], notes: list[str]
) -> dict[str, Any] | str | None:
    """Tell whether a column is a time, and how it is written."""
    to = "time"
    folded = name.casefold()
    if "last" in folded or "end" in folded or "until" in folded:
        to = "last_seen"
    elif "time" in used and "first" in folded:
        to = "first_seen"
    if to in used or _mostly(values.whole(texts, Role("count"), 0, 99_999_999)):
        return None
    if not _are(texts, r"\d"):
        return None
    plain = values.instants(texts, Role("time"))
    if _mostly(plain):
        if not texts.str.contains(r"(?:Z|UTC|GMT|[+-]\d\d:?\d\d)$|^[\d.]+$").all():
            notes.append(f"{name} has no time zone: it is read as UTC. See `zone`.")
        used.add(to)
        return to
    if not _are(texts.str.strip_chars(), _DATED):
        return None
    for era in ("", "buddhist"):
        ways = [
            form
            for form in _LOCAL
            if _mostly(_sane(values.instants(texts, Role("time", (form,), era=era))))
        ]
        if not ways:
            continue
        if len(ways) > 1 and _DAY_FIRST.match(ways[0]):
            notes.append(f"{name} may have its day first or its month: see `form`.")
        notes.append(f"{name} has no time zone: it is read as UTC. See `zone`.")
        used.add(to)
        return {"to": to, "form": ways[0]} | ({"era": era} if era else {})
    return None


def _sane(found: pl.Series) -> pl.Series:
    """Leave out years that a form read into digits that are none."""
    return found.set(~found.dt.year().is_between(1990, 2100), None)


def _role(name: str, texts: pl.Series, used: set[str]) -> dict[str, Any] | str | None:
    folded = name.casefold()
    side = "destination" if _OTHER_SIDE.search(folded) else "source"
    by_value = (
        what
        for what, test in _BY_VALUE
        if test(texts) and not (what == "hash" and _NO_HASH.search(folded))
    )
    by_name = (
        what for what, word, test in _BY_NAME if re.search(word, folded) and test(texts)
    )
    what = next(by_value, None) or next(by_name, None)
    if what is None and name == "value" and _named(texts):
        what = "any"
    if what is None:
        return None
    to = what if what in _ONE_SIDED else f"{side}_{what}"
    if what == "site" and f"{side}_address" in used:
        to = f"{side}_url"
    first = Role(to).fills[0]
    if first in used and to != "hash":
        return None
    used.add(first)
    if what == "confidence":
        return {"to": to, **(_share(texts) or {})}
    return to
