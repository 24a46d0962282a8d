"""Rows of what waits: what each is, and for whom; see `desk.now`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import quote

from serantau.records.waits import MOST, SHOWN
from serantau.rules.role import Power

_SAID: Final = 300
_NAMED: Final = 120
_LATER: Final = 1 << 62


class Tone(StrEnum):
    """How bad it is, the worst first."""

    DANGER = "danger"
    WARNING = "warning"
    INFO = "info"


class Part(StrEnum):
    """Where something waits. Each part is for those who have one of its powers."""

    CASES = "cases"
    ASKS = "asks"
    MAIL = "mail"
    NOTICES = "notices"
    QUARANTINE = "quarantine"
    FEEDS = "feeds"
    PEERS = "peers"
    LOG = "log"
    SHARE = "share"
    CONTACTS = "contacts"
    KEYS = "keys"


POWERS: Final[Mapping[Part, frozenset[Power]]] = {
    Part.CASES: frozenset({Power.CASES}),
    Part.ASKS: frozenset({Power.CASES}),
    Part.MAIL: frozenset({Power.CASES}),
    Part.NOTICES: frozenset({Power.SEE}),
    Part.QUARANTINE: frozenset({Power.SEE}),
    Part.FEEDS: frozenset({Power.SEE}),
    Part.PEERS: frozenset({Power.SEE}),
    Part.LOG: frozenset({Power.SEE, Power.AUDIT}),
    Part.SHARE: frozenset({Power.SEE}),
    Part.CONTACTS: frozenset({Power.CASES}),
    Part.KEYS: frozenset({Power.SEE}),
}


def parts_of(powers: Iterable[Power]) -> tuple[Part, ...]:
    """Give the parts that somebody with these powers sees."""
    held = frozenset(powers)
    return tuple(part for part in Part if POWERS[part] & held)


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that waits.

    kind: what it is; the page has its words. about: the id of what it is about. values:
    what the words name. since, due: instants, 0 for none. place: the page that handles
    it, `*` for the id; empty for none. path: that page, with the id. mark: tells rows
    about the same thing apart.
    """

    kind: str
    about: str
    values: Mapping[str, str]
    since: int
    tone: Tone
    place: str
    path: str
    due: int = 0
    mark: str = ""

    @property
    def key(self) -> str:
        """Name it: the same as long as it waits."""
        said = "\x1f".join((self.kind, self.about, self.mark))
        return f"w-{hashlib.sha256(said.encode()).hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class Section:
    """One part: its worst rows, and how many there are. more: or even more."""

    part: Part
    rows: tuple[Row, ...] = ()
    count: int = 0
    more: bool = False
    tone: Tone = Tone.INFO


@dataclass(slots=True)
class Gathered:
    """Rows of one part while they are gathered. rest: of what was only counted."""

    rows: list[Row] = field(default_factory=list)
    rest: int = 0
    more: bool = False

    def add(self, many: int, rows: Sequence[Row]) -> None:
        """Take rows, and how many there are of them."""
        self.rows += rows
        self.rest += many - len(rows)
        self.more |= many >= MOST


def row_of(
    kind: str,
    about: str,
    place: str,
    tone: Tone,
    *,
    values: Mapping[str, str],
    since: int = 0,
    due: int = 0,
    mark: str = "",
) -> Row:
    """Make a row; what it names is cut, since others may have written it."""
    cut = {name: _short(name, said) for name, said in values.items()}
    path = place.replace("*", quote(about, safe=""))
    return Row(kind, about, cut, since, tone, place, path, due, mark)


def _short(name: str, said: str) -> str:
    most = _SAID if name == "said" else _NAMED
    return said if len(said) <= most else f"{said[: most - 1]}…"


def lateness(due: int, now: int) -> Tone:
    """Tell how bad it is that something of ours is due; 0: whenever."""
    return Tone.DANGER if 0 < due <= now else Tone.WARNING


def listed(rows: Iterable[Row]) -> Gathered:
    """Gather rows of which none was only counted."""
    return Gathered([*rows])


_BAD: Final = tuple(Tone)


def section_of(part: Part, found: Gathered) -> Section:
    """Cut a part to its worst rows: what is due first, then what waits the longest."""
    rows = sorted(
        found.rows,
        key=lambda row: (_BAD.index(row.tone), row.due or _LATER, row.since, row.key),
    )
    return Section(
        part,
        tuple(rows[:SHOWN]),
        len(rows) + found.rest,
        found.more,
        rows[0].tone if rows else Tone.INFO,
    )
