"""MISP feeds in: a folder or a web address, of which only what is new is read.

What was read is remembered event by event, by the time that the manifest gives it. An
event is remembered after its objects are in, so that a crash reads it again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from serantau.desk.intake import Intake, Report
from serantau.errors import BadInput, TheirError
from serantau.node import Node
from serantau.rules.realm import realm_of_tags, refusal
from serantau.wire.bundle import Piece
from serantau.wire.misp import to_stix
from serantau.wire.misp_feed import MANIFEST, Fetch, read
from serantau.wire.misp_values import read_uuid

_HEAD = 1 << 16


@dataclass(slots=True)
class Taken:
    """What became of a feed.

    events: those that were read. unchanged: those read before, and the same since.
    unread: those that could not be read, and why.
    """

    events: int = 0
    unchanged: int = 0
    unread: list[str] = field(default_factory=list)
    report: Report = field(default_factory=Report)


def is_feed(folder: Path) -> bool:
    """Tell a MISP feed's folder: its manifest has uuids for names."""
    path = folder / MANIFEST
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        head = stream.read(_HEAD).decode("utf-8", "replace").lstrip("\ufeff \t\r\n{")
    # An empty manifest has only its end.
    return head.startswith("}") or bool(read_uuid(head.lstrip()[1:37]))


def take_event(
    node: Node,
    event: dict[str, Any],
    origin: str,
    *,
    source: str,
    handle_as: str = "",
    boxes: Sequence[int] = (),
) -> Report:
    """Convert one MISP event and take its objects in.

    Raises:
        BadInput: it has no time at all, or is of another realm.
    """
    if why := refusal("The MISP event", realm_of_tags(event), node.config.node.realm):
        raise BadInput(why)
    converted = to_stix(event, node.reader)
    pieces = [
        Piece(ordinal=place, offset=0, line=0, raw=one)
        for place, one in enumerate(converted.objects, 1)
    ]
    report = Intake(node).take(
        pieces,
        origin=f"{origin}, MISP event {converted.uuid}",
        source=source,
        handle_as=handle_as,
        boxes=boxes,
    )
    report.losses += map(str, converted.losses)
    return report


def take_feed(
    node: Node,
    feed: Path | Fetch,
    origin: str,
    *,
    source: str,
    handle_as: str = "",
    boxes: Sequence[int] = (),
    progress: Callable[[Report], None] | None = None,
) -> Taken:
    """Take in what is new or changed in a feed, the oldest first.

    Args:
        node: into which.
        feed: its folder, or what gives a file of it by name.
        origin: the folder or address, by which it is remembered.
        source: who brings it.
        handle_as: TLP label for unmarked objects; empty: as configured.
        boxes: numbers of box collections to put the objects into.
        progress: called after each event with the report so far.

    Raises:
        NotFound, BadInput, TooLarge, PeerError: the manifest cannot be read.
    """
    memory = _Memory(node, origin, handle_as, boxes)
    taken = Taken()
    met = set()
    for one in read(feed, memory.known):
        met.add(one.uuid)
        if one.event is None:
            taken.unread.append(f"{one.uuid}: {one.fault}")
            continue
        try:
            report = take_event(
                *(node, one.event, origin),
                source=source,
                handle_as=handle_as,
                boxes=boxes,
            )
        except TheirError as fault:
            taken.unread.append(f"{one.uuid}: {fault.message}")
            continue
        memory.note(one.uuid, one.stamp)
        taken.events += 1
        taken.report.add(report)
        if progress is not None:
            progress(taken.report)
    taken.unchanged = len(memory.known.keys() - met)
    return taken


class _Memory:
    """Which events of a feed were taken in, as of which time, in rows of `meta`."""

    def __init__(
        self, node: Node, origin: str, handle_as: str, boxes: Sequence[int]
    ) -> None:
        self._db = node.db
        # Another handling or box is another loading: nothing of it was done yet.
        told = orjson.dumps([origin, handle_as, sorted(boxes)])
        self._prefix = f"feed {hashlib.sha256(told).hexdigest()[:32]} "
        with self._db.read() as tx:
            rows = tx.rows(
                "SELECT name, value FROM meta WHERE name LIKE :names",
                names=f"{self._prefix}%",
            )
        self.known = {
            row.name.removeprefix(self._prefix): int(row.value) for row in rows
        }

    def note(self, uuid: str, stamp: int) -> None:
        """Remember an event that is in, as of the manifest's time of it."""
        with self._db.write() as tx:
            tx.run(
                "INSERT INTO meta (name, value) VALUES (:name, :value) "
                "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                name=self._prefix + uuid,
                value=str(stamp),
            )
