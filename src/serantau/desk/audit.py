"""Who read or got an object, what left to a party, what a person decided: the logs."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
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
from serantau.records.ledger import Released

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

    def readers(self, object_id: str, within: Period) -> list[Read]:
        """List which of the node's own people read an object, the oldest first."""
        with self._node.db.read() as tx:
            return acts.readers(tx, object_id, within)
