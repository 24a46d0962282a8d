"""Who read or got an object, what left to a party, what a person decided: the logs."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import structlog

from serantau.clock import instant, moment
from serantau.desk.share import Share
from serantau.errors import BadRequest, NotFound, SerantauError
from serantau.node import Node
from serantau.records import acts
from serantau.records import audit as records
from serantau.records.acts import By, Decided, Read
from serantau.records.audit import Left, Period
from serantau.records.database import Tx
from serantau.records.ledger import Released
from serantau.records.newest import EVER, Wanted, newest

_DAY: Final = re.compile(r"\d{4}-\d{2}(-\d{2})?")

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Got:
    """One version of an object in one release."""

    version: str
    release: Released


@dataclass(frozen=True, slots=True)
class Deeds:
    """What a person did."""

    decided: list[Decided]
    read: list[Read]
    left: list[Left]


@dataclass(frozen=True, slots=True)
class Sought:
    """What somebody looks for in the logs; what is empty does not matter.

    party: a party's name. person: an account or user. object: a STIX id. within: when.
    before: where the last answer ended, 0 to begin.
    """

    party: str = ""
    person: str = ""
    object: str = ""
    within: Period = EVER
    before: int = 0


@dataclass(frozen=True, slots=True)
class Went:
    """An object version of one release. rule: under which it went, as written then."""

    id: str
    type: str
    version: str
    rule: str


def zone_named(name: str) -> ZoneInfo:
    """Give a time zone by its name.

    Raises:
        BadRequest: there is none of that name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as fault:
        raise BadRequest(
            f"{name!r} is no time zone, expected one such as 'Asia/Bangkok'."
        ) from fault


def period(since: str, until: str, zone: ZoneInfo, now: int) -> Period:
    """Read a period; a bare day or month begins at midnight in `zone`.

    Raises:
        BadRequest: one of them is no time, or they are the wrong way round.
    """
    found = Period(_instant(since, zone, now), _instant(until, zone, now))
    bounds = found.bounds()
    if bounds["since"] >= bounds["until"]:
        raise BadRequest(f"--since {since} is not before --until {until}.")
    return found


def account() -> By:
    """Give the account's name: not that of the environment, which anybody sets."""
    number = os.getuid()
    try:
        return By(pwd.getpwuid(number).pw_name, "cli")
    except KeyError:
        return By(f"uid {number}", "cli")


def note_reading(
    node: Node, what: str, asked: str, *, count: int = 0, objects: Iterable[str] = ()
) -> None:
    """Note that one of the node's own people read something, before it is shown.

    A log that cannot be written keeps nobody from their own data: then only the node's
    own messages tell it.

    Args:
        node: whose data it is.
        what: the command or verb.
        asked: the question.
        count: how many objects or rows.
        objects: ids of what is shown.
    """
    by = acts.who() or account()
    try:
        with node.db.read() as tx:
            acts.read(tx, by, what, asked, count, objects)
    except SerantauError as fault:
        _log.critical("reading_not_logged", actor=by.who, what=what, fault=str(fault))


def _instant(text: str, zone: ZoneInfo, now: int) -> int | None:
    if _DAY.fullmatch(text) is None:
        from serantau.desk.lane_ask import read_when

        return read_when(text, now)
    day = text if len(text) > len("2026-03") else f"{text}-01"
    try:
        return instant(datetime.fromisoformat(day).replace(tzinfo=zone).isoformat())
    except (ValueError, OverflowError) as fault:
        raise BadRequest(f"{text!r} is no day or month.") from fault


def in_zone(at: int, zone: ZoneInfo) -> str:
    """Give an instant as a person in a zone reads it."""
    return f"{moment(at).astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"


class Audit:
    """Answers from the logs of one node. Reads only."""

    def __init__(self, node: Node) -> None:
        """Ask `node`."""
        self._node = node

    def of_object(self, object_id: str, within: Period) -> list[Got]:
        """List every release of every version of an object, the oldest first.

        Raises:
            NotFound: the node holds no such object.
        """
        share = Share(self._node)
        with self._node.db.read() as tx:
            versions = self._node.search.versions(tx, object_id)
        if not versions:
            raise NotFound(
                f"There is no object {object_id!r} here.",
                mend="`serantau search` finds objects by name or value.",
            )
        bounds = within.bounds()
        found = [
            Got(version.version, one)
            for version in versions
            for one in share.who_got(version)
            if bounds["since"] <= one.at < bounds["until"]
        ]
        return sorted(found, key=lambda got: (got.release.at, got.release.number))

    def of_party(self, name: str, within: Period, limit: int) -> list[Left]:
        """List what left to a party, the oldest first.

        Raises:
            NotFound: no party has this name.
        """
        with self._node.db.read() as tx:
            number, _ = self._node.registry.party(tx, name)
            return records.left_to(tx, number, within, limit)

    def of_person(self, name: str, within: Period, limit: int) -> Deeds:
        """List what a person or login decided, read and let go, each oldest first."""
        with self._node.db.read() as tx:
            return Deeds(
                acts.decided_by(tx, name, within, limit),
                acts.read_by(tx, name, within, limit),
                records.left_by(tx, name, within, limit),
            )

    # A page at a time, newest first

    def log(self, sought: Sought, limit: int) -> tuple[list[Got], int]:
        """List what left, newest first.

        Returns:
            The rows, with the version where an object was sought, and `before` for the
            next ones, 0 when nothing is older.

        Raises:
            NotFound: no such party, or no such object.
        """
        if sought.object:
            return self._log_of_object(sought, limit)
        with self._node.db.read() as tx:
            by = None
            if sought.party:
                by = ("party", self._node.registry.party(tx, sought.party)[0])
            wanted = Wanted(
                sought.within,
                sought.before,
                by,
                also="actor = :actor" if sought.person else "",
                values=(("actor", sought.person),) if sought.person else (),
            )
            numbers, on = newest(tx, "ledger.release", wanted, limit)
            told = self._node.ledger.told(tx, numbers)
        return [Got("", one) for one in told], on

    def _log_of_object(self, sought: Sought, limit: int) -> tuple[list[Got], int]:
        below = sought.before or 2**62
        found = [
            got
            for got in reversed(self.of_object(sought.object, sought.within))
            if got.release.number < below
            and sought.party in ("", got.release.party)
            and sought.person in ("", got.release.actor)
        ]
        # Two versions that went at once stay together.
        some = found[:limit]
        some += [
            got
            for got in found[limit:]
            if got.release.number == some[-1].release.number
        ]
        more = len(found) > len(some)
        return some, some[-1].release.number if more else 0

    def release(
        self, number: int, after: int, limit: int
    ) -> tuple[Released, list[Went], bool]:
        """Tell one row of the release log, some of what went, and if there is more.

        Args:
            number: of the row.
            after: how many object versions to leave out.
            limit: how many to tell at most.

        Raises:
            NotFound: there is no such row.
        """
        node = self._node
        with node.db.read() as tx:
            told = node.ledger.told(tx, [number])
            if not told:
                raise NotFound(f"The release log has no row numbered {number}.")
            runs = node.ledger.stamps_of(tx, number)
            stamps = (at for first, last in runs for at in range(first, last + 1))
            wanted = list(islice(stamps, after, after + limit + 1))
            went = [
                Went(
                    one.id,
                    one.type,
                    one.version,
                    node.ledger.rule_of(tx, number, one.added, one.marking_set),
                )
                for one in node.search.at(tx, wanted[:limit])
            ]
        return told[0], went, len(wanted) > limit

    def decided(self, sought: Sought, limit: int) -> tuple[list[Decided], int]:
        """List what a person, or anybody about an object, decided, newest first."""
        with self._node.db.read() as tx:
            return acts.newest_decided(tx, _wanted(tx, sought), limit)

    def read(self, sought: Sought, limit: int) -> tuple[list[Read], int]:
        """List what a person, or who an object, was shown, newest first."""
        with self._node.db.read() as tx:
            return acts.newest_read(tx, _wanted(tx, sought), limit)

    def readers(self, object_id: str, within: Period) -> list[Read]:
        """List which of the node's own people read an object, the oldest first."""
        with self._node.db.read() as tx:
            return acts.readers(tx, object_id, within)


def _wanted(tx: Tx, sought: Sought) -> Wanted:
    also, values = acts.holding(tx, sought.object) if sought.object else ("", ())
    by = ("actor", sought.person) if sought.person else None
    return Wanted(sought.within, sought.before, by, also, values)
