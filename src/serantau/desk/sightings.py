"""Sightings: that an indicator was seen in events here becomes an object of this node.

One for each indicator, day (UTC) and TLP level of the rows, made anew when rows of that
day come in: a later version says how many there are by now. Who may have it is decided
as for every object; it is marked no wider than the indicator and the rows.
"""

from __future__ import annotations

import os
import secrets
import socket
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, Final

import orjson
import structlog

from serantau.clock import instant, stix_text
from serantau.desk.keys import Keys
from serantau.node import Node
from serantau.records.chores import Chores
from serantau.records.database import Tx
from serantau.records.recalls import Recalls
from serantau.rules.marking import TLP_2_IDS, Marking, Tlp, look_up, tlp_of
from serantau.rules.pap import Act, permitted

if TYPE_CHECKING:
    import polars as pl

SOURCE: Final = "events"
"""Where these objects come from, as the store notes it."""

_CHORE: Final = "sightings"
_SPACE: Final = uuid.UUID("2f1f4f6c-8a0e-5d7d-9d0e-6a5b6f0c1f7e")
_LEASE_SECONDS: Final = 600.0
# Clocks of machines that share a store differ by less.
_OVERLAP_US: Final = 600_000_000
_AT_ONCE: Final = 200
# STIX 2.1 §5.2: the largest count there is.
_MOST_TIMES: Final = 999_999_999
_MILLISECOND: Final = 1000

_log = structlog.get_logger(__name__)


class Sightings:
    """Records what the events of one node matched."""

    def __init__(self, node: Node) -> None:
        """Record for `node`."""
        self._node = node
        self._chores = Chores()
        self._identity = node.config.node.identity
        self._most = node.config.lane.sightings

    def record(self) -> int:
        """Record what batches matched since the last time; gives how many objects.

        Does nothing when no batch came, another process is at it, or
        `lane.sightings` is 0.

        Raises:
            StoreError: the archive cannot be read. What is recorded stays so.
        """
        if not self._most or not self._identity:
            return 0
        with self._node.db.read() as tx:
            done = self._chores.get(tx, _CHORE).done
            newest = int(
                tx.value("SELECT max(ended) FROM batch WHERE state = 'done'") or 0
            )
        if newest <= done:
            return 0
        worker = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        with self._node.db.write() as tx:
            if not self._chores.take(tx, _CHORE, worker, _LEASE_SECONDS):
                return 0
        try:
            made = self._since(done)
        finally:
            with self._node.db.write() as tx:
                self._chores.leave(tx, _CHORE, worker)
        with self._node.db.write() as tx:
            self._chores.note(tx, _CHORE, done=newest)
        return made

    def _since(self, done: int) -> int:
        from serantau.lane.archive import Archive
        from serantau.lane.sighted import days_of, of_day

        config = self._node.config
        with self._node.db.read() as tx:
            batches = tx.rows(
                "SELECT digest, received FROM batch WHERE state = 'done' "
                "AND rows > 0 AND ended > :since",
                since=done - _OVERLAP_US,
            )
        if not batches:
            return 0
        archive = Archive(config.archive, config.lane.storage)
        first = min(int(row.received) for row in batches)
        levels = {
            name: int(Tlp.parse(said)) for name, said in config.handling.sources.items()
        }
        default = int(Tlp.parse(config.handling.default))
        made = 0
        for day in days_of(archive, first, [row.digest for row in batches]):
            found = of_day(archive, day, levels, default)
            if found.height > self._most:
                _log.warning(
                    "sightings_left_out",
                    day=str(day),
                    sightings=found.height - self._most,
                )
            made += self._keep(day, found.head(self._most))
        return made

    def _keep(self, day: date, found: pl.DataFrame) -> int:
        made, keys, signer = 0, Keys(self._node), self._node.signer
        for part in found.iter_slices(_AT_ONCE):
            with self._node.db.write() as tx:
                known = self._node.audiences.known(tx)
                objects = list(self._objects(tx, known, day, part))
                versions = [
                    self._node.reader.read(orjson.dumps(one)) for one in objects
                ]
                for version in versions:
                    keys.sign(version, signer)
                admitted = self._node.objects.admit(
                    tx, versions, source=SOURCE, handling=lambda _: Tlp.RED
                )
                Recalls.admitted(tx, admitted, self._identity)
                made += len(admitted.new)
        return made

    def _objects(
        self, tx: Tx, known: Mapping[str, Marking], day: date, found: pl.DataFrame
    ) -> Iterator[dict[str, Any]]:
        for indicator, level, count, first, last in found.iter_rows():
            seen = self._node.search.versions(tx, indicator)
            if not seen or seen[-1].recalled:
                # A sighting of nothing tells nothing, and one of what was recalled is
                # a way out for it.
                continue
            marked = self._node.audiences.set_of(tx, seen[-1].marking_set)
            if not permitted(Act.SIGHT, marked, known):
                continue
            made: dict[str, Any] = {
                "type": "sighting",
                "spec_version": "2.1",
                "id": self._id(indicator, day, level),
                "created_by_ref": self._identity,
                "first_seen": stix_text(_micros(first)),
                "last_seen": stix_text(_micros(last)),
                "count": min(count, _MOST_TIMES),
                "sighting_of_ref": indicator,
                "where_sighted_refs": [self._identity],
                "object_marking_refs": self._refs(
                    tx, known, seen[-1].marking_set, Tlp(level)
                ),
            }
            if self._node.config.node.realm != "live":
                made["x_serantau_realm"] = self._node.config.node.realm
            fresh = self._dated(tx, made)
            if fresh is not None:
                yield fresh

    def _id(self, indicator: str, day: date, level: int) -> str:
        # Not of the feed's name: which feeds a node has is its own business.
        name = f"{self._identity}|{indicator}|{day.isoformat()}|{level}"
        return f"sighting--{uuid.uuid5(_SPACE, name)}"

    def _refs(
        self, tx: Tx, known: Mapping[str, Marking], number: int, level: Tlp
    ) -> Sequence[str]:
        """Mark no wider than an indicator of this marking set, and rows of a level."""
        marked = self._node.audiences.set_of(tx, number)
        refs = {*marked.refs, *marked.granular}
        markings = [look_up(ref, known) for ref in refs]
        levels = [level, tlp_of(marked, known)]
        levels += [each.tlp for each in markings if each.tlp is not None]
        others = {each.id for each in markings if each.tlp is None}
        return sorted({*others, TLP_2_IDS[max(levels)]})

    def _dated(self, tx: Tx, made: dict[str, Any]) -> dict[str, Any] | None:
        """Give an object as a new version; None when it says nothing new."""
        now = self._node.clock.now()
        held = self._node.search.versions(tx, made["id"], hidden=True)
        created = stix_text(now)
        if held:
            before = orjson.loads(held[-1].body)
            if all(before.get(name) == value for name, value in made.items()):
                return None
            created = before["created"]
            now = max(now, instant(before["modified"]) + _MILLISECOND)
        return {**made, "created": created, "modified": stix_text(now)}


def _micros(value: Any) -> int:
    return instant(value.isoformat())
