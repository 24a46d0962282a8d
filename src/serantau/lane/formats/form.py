"""A format: how a file is cut into rows, and what each of its columns is in an event.

Formats are data. They are written as TOML, the shipped ones and a node's own alike, and
`read_form` turns such a text into a `Format` or says what is wrong with it and where.
"""

from __future__ import annotations

import codecs
import re
import tomllib
import zoneinfo
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import msgspec

from serantau import typed
from serantau.errors import ConfigError
from serantau.rules.event import NAMES
from serantau.rules.taxonomy import CLASS_OF

SIDES: Final = ("source", "destination")
_OURS: Final = frozenset(
    {"received", "batch", "number", "feed", "class", "category", "fingerprint", "extra"}
    | {"member", "party", "asset", "reason", "lookup", "marks", "indicators"}
    | {f"{side}_{what}" for side in SIDES for what in ("hi", "lo", "network")}
)
COLUMNS: Final = tuple(name for name in NAMES if name not in _OURS)
"""The event columns that a report may fill; the others are this node's own findings."""

COMPOUND: Final[dict[str, tuple[str, ...]]] = {
    f"{side}_{what}": tuple(
        part if part == "hash" else f"{side}_{part}" for part in parts
    )
    for side in SIDES
    for what, parts in {
        # 192.0.2.1:80 or [2001:db8::1]:80
        "endpoint": ("address", "port"),
        # 192.0.2.0/24: its first address; the prefix itself stays in `extra`.
        "prefix": ("address",),
        # An address or a name.
        "host": ("address", "domain"),
        # A URL, whose host and port are the machine's.
        "site": ("url", "address", "domain", "port"),
        # Whatever it looks like: address, endpoint, URL, name or hash.
        "any": ("url", "address", "domain", "port", "hash"),
    }.items()
}
"""Roles that fill several columns, by what the value turns out to be."""

ROLES: Final = (*COLUMNS, *COMPOUND)
CONSTANTS: Final = frozenset(
    {"type", "identifier", "malware", "protocol", "severity", "confidence", "tlp"}
    | {"source_port", "destination_port", "report"}
)
SHAPES: Final = ("plain", "idea", "n6")


@dataclass(frozen=True, slots=True)
class Role:
    """What one column is in an event.

    to: an event column or a compound role. forms: how a time is written (strftime), the
    usual ways when empty. zone: where a time without one was written. era: `buddhist`
    when its years are 543 ahead. words: what each value means, by its folded text.
    scale: what a number is multiplied with. decimal: the mark before its fraction.
    """

    to: str
    forms: tuple[str, ...] = ()
    zone: str = "UTC"
    era: str = ""
    words: Mapping[str, str] = field(default_factory=dict)
    scale: float = 1.0
    decimal: str = "."

    @property
    def fills(self) -> tuple[str, ...]:
        """Give the event columns that this role may fill."""
        return COMPOUND.get(self.to, (self.to,))


@dataclass(frozen=True, slots=True)
class Group:
    """Columns that apply together, when the column `when` is there.

    Of several groups the first that applies is taken and the others are not, so that
    two machines named in one row are never mixed.
    """

    when: str
    columns: Mapping[str, Role]


@dataclass(frozen=True, slots=True)
class Kind:
    """What is different in those reports whose whole name `match` matches.

    family: it says what holds for a whole family, where nothing more is known.
    """

    match: re.Pattern[str]
    columns: Mapping[str, Role]
    constants: Mapping[str, str | int]
    family: bool = False


@dataclass(frozen=True, slots=True)
class Format:
    """One way in which reports are written.

    name, title: as an operator and a person call it. cut: `table` (separated columns),
    `lines` (one value a line), `json` (JSON lines, a list, or one document), `arrow`.
    delimiter, quote, skip_space: of a table. short: how many of the last columns a row
    may lack, because the header got new ones before the rows did. comment: how lines
    begin that are no rows.
    header: the names of the columns; empty means that the first row has them, and
    header_in_comment that the last comment before the rows has. missing: values that
    mean none. encoding: of lines that are not UTF-8. rows: where in a JSON document the
    rows are, by keys and dots, `*` for every value. shape: how a JSON record is turned
    into rows. only: a column, and the values without which a row is no report. stamp:
    finds, in the comments before the rows, the time of rows that tell none. columns,
    groups, kinds, constants: what is what; `{report}` in a constant is the report's
    name. report_of: finds that name in the file's. twins: beginnings of names of
    reports, and those of the reports that they are the twins of. names, heads: find in
    a file's name and beginning that it is this format.
    """

    name: str
    title: str = ""
    cut: Literal["table", "lines", "json", "arrow"] = "table"
    delimiter: str = ","
    quote: str = '"'
    skip_space: bool = False
    short: int = 0
    comment: str = ""
    header: tuple[str, ...] = ()
    header_in_comment: bool = False
    missing: tuple[str, ...] = ()
    encoding: str = "cp1252"
    rows: str = ""
    shape: Literal["plain", "idea", "n6"] = "plain"
    only: tuple[str, frozenset[str]] | None = None
    stamp: re.Pattern[str] | None = None
    columns: Mapping[str, Role] = field(default_factory=dict)
    groups: tuple[Group, ...] = ()
    kinds: tuple[Kind, ...] = ()
    constants: Mapping[str, str | int] = field(default_factory=dict)
    report_of: re.Pattern[str] | None = None
    twins: Mapping[str, str] = field(default_factory=dict)
    names: tuple[re.Pattern[str], ...] = ()
    heads: tuple[re.Pattern[str], ...] = ()

    def report(self, file_name: str) -> str:
        """Give the kind of report that a file's name tells, or an empty text."""
        if self.report_of is None:
            return ""
        found = self.report_of.search(file_name.rsplit("/", 1)[-1])
        return found[1] if found else ""

    def twin(self, report: str) -> str:
        """Give the report that a report is the twin of, or itself."""
        for beginning, instead in self.twins.items():
            if report.startswith(beginning):
                return instead + report.removeprefix(beginning)
        return report

    def every_role(self) -> dict[str, Role]:
        """Give all columns that any report of this format may have, and their roles."""
        roles = dict(self.columns)
        for group in self.groups:
            roles |= group.columns
        for kind in self.kinds:
            roles |= kind.columns
        return roles


@dataclass(frozen=True, slots=True)
class Fit:
    """A format fitted to one file: what each column there is.

    roles: by the column's name as it stands in the file; the first of several for one
    event column is preferred. constants: event column -> value.
    """

    report: str
    roles: Mapping[str, Role]
    constants: Mapping[str, str | int]


def fit(form: Format, report: str, header: Iterable[str]) -> Fit:
    """Tell what each of a file's columns is.

    Columns are found by their name without regard to case and outer blanks.
    """
    present = {folded(name): name for name in reversed(list(header))}
    named: dict[str, Role] = {}
    constants = dict(form.constants)
    twin = form.twin(report)
    chosen = [
        kind
        for kind in form.kinds
        if kind.match.fullmatch(report) or kind.match.fullmatch(twin)
    ]
    for kind in chosen:
        constants |= kind.constants
    constants = {
        name: value.replace("{report}", twin) if isinstance(value, str) else value
        for name, value in constants.items()
    }
    # A report's own table goes before the group, and that before the format's table.
    tables: list[Mapping[str, Role]] = [kind.columns for kind in reversed(chosen)]
    group = next((g for g in form.groups if folded(g.when) in present), None)
    tables += [group.columns] if group else []
    tables.append(form.columns)
    for table in tables:
        for name, role in table.items():
            named.setdefault(folded(name), role)
    roles = {present[name]: role for name, role in named.items() if name in present}
    return Fit(
        report,
        {name: role for name, role in roles.items() if role.to != "extra"},
        {name: value for name, value in constants.items() if value != ""},
    )


def folded(name: str) -> str:
    """Give a column's name as names are compared."""
    return name.strip().casefold()


# --- From TOML -----------------------------------------------------------------------


class _Role(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    to: str
    form: str | list[str] = []
    zone: str = ""
    era: str = ""
    words: dict[str, str] = {}
    scale: float = 1.0
    decimal: str = ""


class _Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    when: str
    columns: dict[str, str | _Role] = {}


class _Kind(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    match: str
    columns: dict[str, str | _Role] = {}
    constants: dict[str, str | int] = {}
    family: bool = False


class _Only(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    column: str
    values: list[str]


class _Recognise(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    names: list[str] = []
    heads: list[str] = []


class _Form(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    title: str = ""
    cut: Literal["table", "lines", "json", "arrow"] = "table"
    delimiter: str = ","
    quote: str = '"'
    skip_space: bool = False
    short: int = 0
    comment: str = ""
    header: list[str] = []
    header_in_comment: bool = False
    missing: list[str] = []
    encoding: str = "cp1252"
    zone: str = "UTC"
    era: str = ""
    decimal: str = "."
    rows: str = ""
    shape: Literal["plain", "idea", "n6"] = "plain"
    only: _Only | None = None
    stamp: str = ""
    columns: dict[str, str | _Role] = {}
    groups: list[_Group] = []
    kinds: list[_Kind] = []
    constants: dict[str, str | int] = {}
    own_names: bool = False
    report_of: str = ""
    twins: dict[str, str] = {}
    recognise: _Recognise = _Recognise()


# A node writes its own levels as numbers.
_LEVELS: Final = {str(level): str(level) for level in range(5)}
_OWN: Final[dict[str, str | _Role]] = {name: name for name in COLUMNS} | {
    name: _Role(to=name, words=_LEVELS) for name in ("severity", "tlp")
}


def read_form(text: str, name: str, where: str) -> Format:
    """Read a format from its TOML text.

    Args:
        text: the TOML.
        name: what the format is called.
        where: the file it stands in, for the message.

    Raises:
        ConfigError: the text is no TOML, or says something that no format can mean.
    """
    try:
        table: dict[str, Any] = tomllib.loads(text)
        form = typed.convert(table, _Form)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{where}: {error}") from error
    return _Reading(form, name, where).format()


class _Reading:
    """Checks one format's values, and knows where they stand."""

    def __init__(self, form: _Form, name: str, where: str) -> None:
        self._form = form
        self._name = name
        self._where = where

    def format(self) -> Format:
        form = self._form
        for key in ("delimiter", "quote"):
            value = getattr(form, key)
            if len(value.encode()) > 1 or (not value and key == "delimiter"):
                raise self._wrong(key, value, "one ASCII character")
        try:
            codecs.lookup(form.encoding)
        except LookupError:
            raise self._wrong("encoding", form.encoding, "an encoding") from None
        if form.cut == "lines" and len(form.header) > 1:
            raise self._wrong("header", form.header, "one name, as a line is one value")
        only = form.only
        own = dict(_OWN) if form.own_names else {}
        return Format(
            name=self._name,
            title=form.title or self._name,
            cut=form.cut,
            delimiter=form.delimiter,
            quote=form.quote,
            skip_space=form.skip_space,
            short=form.short,
            comment=form.comment,
            header=tuple(form.header) or (("value",) if form.cut == "lines" else ()),
            header_in_comment=form.header_in_comment,
            missing=tuple(form.missing),
            encoding=form.encoding,
            rows=form.rows,
            shape=form.shape,
            only=(only.column, frozenset(only.values)) if only else None,
            stamp=self._regex("stamp", form.stamp) if form.stamp else None,
            columns=self._roles("columns", {**own, **form.columns}),
            groups=tuple(
                Group(one.when, self._roles(f"groups[{at}]", one.columns))
                for at, one in enumerate(form.groups)
            ),
            kinds=tuple(
                Kind(
                    self._regex(f"kinds[{at}].match", one.match),
                    self._roles(f"kinds[{at}]", one.columns),
                    self._constants(one.constants),
                    one.family,
                )
                for at, one in enumerate(form.kinds)
            ),
            constants=self._constants(form.constants),
            report_of=(
                self._regex("report_of", form.report_of) if form.report_of else None
            ),
            twins=form.twins,
            names=self._regexes("names", form.recognise.names),
            heads=self._regexes("heads", form.recognise.heads),
        )

    def _wrong(self, key: str, got: object, expected: str) -> ConfigError:
        return ConfigError(f"{self._where}: {key} is {got!r}, expected {expected}")

    def _regex(self, key: str, text: str) -> re.Pattern[str]:
        try:
            found = re.compile(text)
        except re.error as error:
            raise self._wrong(key, text, f"a regular expression ({error})") from None
        if key in {"stamp", "report_of"} and found.groups != 1:
            raise self._wrong(key, text, "one group in brackets")
        return found

    def _regexes(self, key: str, texts: list[str]) -> tuple[re.Pattern[str], ...]:
        return tuple(self._regex(f"recognise.{key}", text) for text in texts)

    def _roles(self, key: str, table: Mapping[str, str | _Role]) -> dict[str, Role]:
        return {
            name: self._role(
                f"{key}.{name!r}", _Role(said) if isinstance(said, str) else said
            )
            for name, said in table.items()
        }

    def _role(self, key: str, said: _Role) -> Role:
        form = self._form
        if said.to not in ROLES and said.to != "extra":
            raise self._wrong(key, said.to, f"one of {', '.join(ROLES)}, or extra")
        role = Role(
            said.to,
            (said.form,) if isinstance(said.form, str) else tuple(said.form),
            said.zone or form.zone,
            said.era or form.era,
            {folded(word): meaning for word, meaning in said.words.items()},
            said.scale,
            said.decimal or form.decimal,
        )
        if role.era not in {"", "buddhist"}:
            raise self._wrong(f"{key}.era", role.era, "buddhist")
        if role.decimal not in {".", ","}:
            raise self._wrong(f"{key}.decimal", role.decimal, "a point or a comma")
        try:
            zoneinfo.ZoneInfo(role.zone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError):
            raise self._wrong(f"{key}.zone", role.zone, "an IANA time zone") from None
        if role.to == "type":
            for meaning in role.words.values():
                self._type(key, meaning)
        return role

    def _type(self, key: str, kind: str | int) -> None:
        if kind not in CLASS_OF:
            raise self._wrong(key, kind, "an RSIT type")

    def _constants(self, table: Mapping[str, str | int]) -> dict[str, str | int]:
        for name, value in table.items():
            if name not in CONSTANTS:
                raise self._wrong(
                    "constants", name, f"one of {', '.join(sorted(CONSTANTS))}"
                )
            if name == "type":
                self._type("constants.type", value)
            numeric = name in {"severity", "confidence", "tlp"} or name.endswith("port")
            if numeric != isinstance(value, int):
                kind = "a number" if numeric else "a text"
                raise self._wrong(f"constants.{name}", value, kind)
        return dict(table)


def with_kinds(form: Format, kinds: Iterable[Kind]) -> Format:
    """Give the format with more kinds: its families give way to them, others do not."""
    families = [kind for kind in form.kinds if kind.family]
    others = [kind for kind in form.kinds if not kind.family]
    return replace(form, kinds=(*families, *kinds, *others))
