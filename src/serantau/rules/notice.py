"""Which events become which notice, and when it is quiet enough to say nothing.

A notice is what one owner is told of one class on one day. Within it, a *finding* is
what the owner would mend as one thing: the same trouble on the same machine. Quiet
rules hold for findings, so that a machine that is newly infected is told at once,
though its neighbour was told yesterday.

Both machines below are tables: state -> what happens -> state. What is not in a table
does not happen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, time, timedelta, tzinfo
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from serantau.clock import moment
from serantau.rules.asset import Kind, read_value
from serantau.rules.event import SEVERITIES
from serantau.rules.taxonomy import CLASSES

DAY: Final = 86_400_000_000
_SECOND: Final = 1_000_000

# --- States --------------------------------------------------------------------------


class State(StrEnum):
    """Where a notice stands."""

    WAITING = "waiting"
    READY = "ready"
    TOLD = "told"
    FAILED = "failed"
    WITHHELD = "withheld"
    DROPPED = "dropped"


NOTICES: Final[Mapping[State, Mapping[str, State]]] = MappingProxyType(
    {
        State.WAITING: {
            "approve": State.READY,
            "hold": State.WAITING,
            "drop": State.DROPPED,
        },
        State.READY: {
            "hold": State.WAITING,
            "tell": State.TOLD,
            "fail": State.FAILED,
            "withhold": State.WITHHELD,
            "drop": State.DROPPED,
        },
        # A second contact may answer after the first; a bounce may come days later.
        State.TOLD: {"tell": State.TOLD, "fail": State.FAILED, "withhold": State.TOLD},
        State.FAILED: {
            "retry": State.READY,
            "tell": State.TOLD,
            "fail": State.FAILED,
            "withhold": State.WITHHELD,
            "drop": State.DROPPED,
        },
        State.WITHHELD: {"retry": State.READY, "drop": State.DROPPED},
        State.DROPPED: {},
    }
)
"""The life of a notice."""


class Sending(StrEnum):
    """Where one notice to one contact stands."""

    READY = "ready"
    TAKEN = "taken"
    HANDING = "handing"
    SENT = "sent"
    UNSURE = "unsure"
    FAILED = "failed"
    BOUNCED = "bounced"


# `handing` is written before the last byte without which the other side keeps nothing,
# and `sent` when it said that it has it. Who is killed before the first of the two has
# sent nothing: it is sent again. Who is killed between them cannot know, and nobody is
# told twice: a person settles it.
DELIVERIES: Final[Mapping[Sending, Mapping[str, Sending]]] = MappingProxyType(
    {
        Sending.READY: {"take": Sending.TAKEN, "fail": Sending.FAILED},
        Sending.TAKEN: {
            "hand": Sending.HANDING,
            "defer": Sending.READY,
            "expire": Sending.READY,
            "bounce": Sending.BOUNCED,
            "fail": Sending.FAILED,
        },
        Sending.HANDING: {
            "accept": Sending.SENT,
            "defer": Sending.READY,
            "expire": Sending.UNSURE,
            "lose": Sending.UNSURE,
            "bounce": Sending.BOUNCED,
            "fail": Sending.FAILED,
        },
        Sending.UNSURE: {
            "accept": Sending.SENT,
            "again": Sending.READY,
            "bounce": Sending.BOUNCED,
        },
        Sending.SENT: {"bounce": Sending.BOUNCED},
        Sending.BOUNCED: {"again": Sending.READY},
        Sending.FAILED: {"again": Sending.READY},
    }
)
"""The life of a delivery."""


def states_markdown() -> str:
    """Write both machines as tables, for docs/notices.md."""
    lines = ["| Notice is | What happens | Then it is |", "|---|---|---|"]
    lines += [
        f"| {state} | {event} | {after} |"
        for state, events in NOTICES.items()
        for event, after in events.items()
    ]
    lines += ["", "| Delivery is | What happens | Then it is |", "|---|---|---|"]
    lines += [
        f"| {state} | {event} | {after} |"
        for state, events in DELIVERIES.items()
        for event, after in events.items()
    ]
    return "\n".join(lines) + "\n"


# --- Findings ------------------------------------------------------------------------

COMPROMISED: Final = frozenset(
    {
        "spam",
        "infected-system",
        "c2-server",
        "malware-distribution",
        "malware-configuration",
        "scanner",
        "sniffing",
        "ids-alert",
        "brute-force",
        "exploit",
        "privileged-account-compromise",
        "unprivileged-account-compromise",
        "application-compromise",
        "system-compromise",
        "dos",
        "ddos",
        "sabotage",
        "unauthorised-information-access",
        "unauthorised-information-modification",
        "data-leak",
        "unauthorised-use-of-resources",
        "masquerade",
        "phishing",
    }
)
"""Types in which somebody else has, or had, the machine: told again sooner."""

ABOUT: Final = ("type", "identifier", "malware")
PLACE: Final = ("source_address", "source_domain", "source_name")
"""A finding is at the first of these that a row has."""
SERVICES: Final = frozenset(CLASSES["vulnerable"])
"""Types that are about a service: its port is part of the finding."""


def finding(about: Sequence[str], place: str, url: str, port: str) -> int:
    """Give the signed 64-bit number of a finding, the same on every machine.

    Args:
        about: what a row has in the columns of ABOUT, empty for what it has not.
        place: what it has in PLACE.
        url: the URL at the reported machine, if any.
        port: the port, for types of SERVICES; for others it changes by itself.
    """
    text = "\x1f".join((*about, place, url, port))
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "big", signed=True)


@dataclass(frozen=True, slots=True)
class Told:
    """When an owner was told of a finding last, and how bad it was; -1: unsaid."""

    at: int
    severity: int


def is_due(told: Told | None, severity: int, kind: str, now: int, terms: Terms) -> bool:
    """Say whether an owner is to be told of a finding now.

    Args:
        told: when it was last; None: never.
        severity: how bad it is now, 0 to 4; -1 when no report says.
        kind: its RSIT type.
        now: the present instant.
        terms: how this owner is told.
    """
    if told is None or severity > told.severity:
        return True
    days = terms.compromised_days if kind in COMPROMISED else terms.other_days
    return now - told.at >= days * DAY


# --- When ----------------------------------------------------------------------------


def around(now: int, times: Sequence[str], zone: tzinfo) -> tuple[int, int]:
    """Give the last instant, until now, at which it was one of these times; the next.

    Args:
        now: the present instant.
        times: of a day, as `HH:MM`; not none.
        zone: whose clocks show them. A time that a day has twice counts once.
    """
    today = moment(now).astimezone(zone).date()
    found = []
    for days in (-1, 0, 1):
        for text in times:
            at = datetime.combine(
                today + timedelta(days=days), time.fromisoformat(text), zone
            )
            found.append(int(at.timestamp()) * _SECOND)
    return max(each for each in found if each <= now), min(
        each for each in found if each > now
    )


# --- Terms and mutes -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Terms:
    """How an owner is told.

    automatic: without a person's approval. least_severity: rows below are left out; a
    row that says nothing is not below. least_rows: fewer are not worth a notice.
    compromised_days, other_days: how long a finding stays quiet after it was told.
    """

    automatic: bool = False
    least_severity: int = 0
    least_rows: int = 1
    compromised_days: int = 7
    other_days: int = 30

    def __post_init__(self) -> None:
        if not 0 <= self.least_severity < len(SEVERITIES):
            raise ValueError(f"a severity is one of {', '.join(SEVERITIES)}")
        if self.least_rows < 1 or self.compromised_days < 0 or self.other_days < 0:
            raise ValueError("rows are 1 or more, days 0 or more")


@dataclass(frozen=True, slots=True)
class Setting:
    """What somebody set for an owner and a class; None: as the wider setting says.

    party: empty for every owner. group: an RSIT class; empty for every class.
    """

    party: str = ""
    group: str = ""
    automatic: bool | None = None
    least_severity: int | None = None
    least_rows: int | None = None
    compromised_days: int | None = None
    other_days: int | None = None


def terms_of(
    party: str, group: str, settings: Sequence[Setting], default: Terms
) -> Terms:
    """Give the terms of an owner and class; the narrowest setting wins, per value.

    That of the owner and class, then of the owner, then of the class, then of all.
    """
    by_place = {(each.party, each.group): each for each in settings}
    places = ((party, group), (party, ""), ("", group), ("", ""))
    found = [by_place[place] for place in places if place in by_place]
    values = {}
    for one in fields(Terms):
        said = (getattr(each, one.name) for each in found)
        values[one.name] = next(
            (value for value in said if value is not None), getattr(default, one.name)
        )
    return Terms(**values)


@dataclass(frozen=True, slots=True)
class Mute:
    """What an owner does not want to be told. Every part that is not empty must fit.

    network: a prefix. group: an RSIT class. feed: a feed's name. until: an instant;
    None: for good.
    """

    party: str
    network: str = ""
    group: str = ""
    feed: str = ""
    until: int | None = None
    reason: str = ""
    number: int = 0

    def holds(self, now: int) -> bool:
        """Say whether it still holds."""
        return self.until is None or now < self.until


def read_mute(mute: Mute) -> Mute:
    """Check a mute and give it as it is stored.

    Raises:
        ValueError: it names nothing, or what is no prefix or class.
    """
    if not (mute.network or mute.group or mute.feed):
        raise ValueError("a mute names a network, a class or a feed")
    if mute.group and mute.group not in CLASSES:
        raise ValueError(f"{mute.group!r} is no RSIT class: {', '.join(CLASSES)}")
    network = read_value(Kind.PREFIX, mute.network) if mute.network else ""
    return Mute(
        mute.party, network, mute.group, mute.feed, mute.until, mute.reason, mute.number
    )


# --- Why a row is not told -----------------------------------------------------------

LEFT_OUT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "nobody's": "The row names no party of the registry.",
        "abroad": "It is another member's to act on: that member's node fetches it.",
        "marked": "A warninglist or a special range says not to report it.",
        "withheld": "The release policy does not let it go to the owner.",
        "mild": "It is below the least severity for this owner and class.",
        "muted": "The owner asked not to be told.",
        "unreachable": "The owner has no contact that is written to, until it has one.",
        "quiet": "The owner was told of the same finding, and it did not get worse.",
        "few": "The notice would have fewer rows than this owner wants one for.",
    }
)
"""Every reason for which a row is in no notice, in the order of asking."""

# --- What is attached ----------------------------------------------------------------

CSV_COLUMNS: Final = (
    *("time", "source_address", "source_port", "source_asn", "source_country"),
    *("source_domain", "source_url", "source_name", "protocol"),
    *("destination_address", "destination_port", "destination_domain"),
    *("destination_url", "class", "type", "identifier", "malware", "hash"),
    *("severity", "confidence", "first_seen", "last_seen", "count"),
    *("feed", "report", "tlp", "fingerprint"),
)
"""What an owner gets of a row. What the node concluded or kept for itself stays."""

RISKY: Final = "=+-@\t\r\n|%\uff1d\uff0b\uff0d\uff20"
"""First letters by which a spreadsheet takes a cell for a formula (CWE-1236)."""


def is_risky(cell: str) -> bool:
    """Say whether a spreadsheet could run a cell; `'` before it makes it text."""
    first = cell.lstrip(" \u00a0\u3000")[:1]
    return first != "" and first in RISKY
