"""Markings and versions of what an event was made into.

What carries a part has the part's markings; what says something of two things has those
of both; what nobody can trace has all there are. Versions follow the event.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from serantau.clock import stix_text
from serantau.wire.misp_event import Part, Prepared
from serantau.wire.misp_graph import ends, is_observable, uuid_of

# Identities and galaxy clusters carry no time of their own in MISP. Their ids or their
# contents never change, so that one version is right wherever they are found.
UNDATED = "2011-08-01T00:00:00.000Z"
RELATIONS = ("relationship", "sighting", "note", "opinion")


class Stamping:
    """Puts markings and versions on the objects of one event."""

    def __init__(
        self,
        prepared: Prepared,
        made: dict[str, dict[str, Any]],
        clusters: Mapping[str, list[Part]],
        *,
        root: str,
        organisation: str,
    ) -> None:
        """Work on `made`, objects by the id that misp-stix gave.

        Args:
            prepared: the event and its parts.
            made: what is to be marked and dated.
            clusters: the parts of each galaxy cluster, by its uuid.
            root: id of the event's report or grouping.
            organisation: id of the identity that made the event, or "".
        """
        self.event = prepared
        self.made = made
        self.clusters = clusters
        self.root = root
        self.organisation = organisation
        self.by_uuid = {
            part.uuid for part in prepared.parts.values() if part.kind != "galaxy"
        }

    def mark(
        self,
        carried: Mapping[str, list[str]],
        found: Mapping[str, tuple[str, ...]],
        touched: Mapping[str, set[str]],
    ) -> None:
        """Put the markings of every part on every object that carries it."""
        marks: dict[str, set[str]] = defaultdict(set)
        every: set[str] = set(self.event.marks)
        for part in self.event.parts.values():
            every |= part.marks
            ids = {*found.get(part.uuid, ()), *carried.get(part.uuid, ())}
            ids |= touched.get(part.uuid, set())
            if part.kind == "attribute" and part.parent:
                ids |= set(carried.get(part.parent, ()))
            if part.kind == "galaxy":
                self._mark_cluster(part, ids, marks)
                continue
            for object_id in ids:
                marks[object_id] |= part.marks
        marks[self.root] |= self.event.marks
        later = []
        for object_id, one in self.made.items():
            if one["type"] in RELATIONS:
                later.append(one)
            elif object_id not in marks and not self._is_someone(one):
                # Nobody knows what it was made of: everything that holds anywhere here.
                marks[object_id] = set(every)
        for one in later:
            # What says that two things belong together says something of both.
            for end in ends(one):
                marks[one["id"]] |= marks.get(end, set())
        for object_id, one in self.made.items():
            one.pop("object_marking_refs", None)
            if marks.get(object_id):
                one["object_marking_refs"] = sorted(marks[object_id])

    def _mark_cluster(
        self, part: Part, ids: set[str], marks: dict[str, set[str]]
    ) -> None:
        """A cluster that hangs at the event itself is as open as the event."""
        at_event = [
            each
            for each in self.clusters[part.data["uuid"]]
            if self.event.parts[each.parent].kind == "event"
        ]
        if not at_event or part in at_event:
            for object_id in ids:
                marks[object_id] |= part.marks

    def _is_someone(self, one: dict[str, Any]) -> bool:
        """Tell an organisation of MISP, the same in all events and under no marking."""
        return one["type"] == "identity" and (
            one["id"] == self.organisation
            or (uuid_of(one["id"]) not in self.by_uuid and one["id"] in self._someones)
        )

    @functools.cached_property
    def _someones(self) -> frozenset[str]:
        named: set[str] = set()
        for one in self.made.values():
            named.update(one.get("where_sighted_refs", ()))
            named.add(one.get("x_misp_author_ref", ""))
        return frozenset(named)

    def date(self, carried: Mapping[str, list[str]]) -> None:
        """Give each object its version: the time of its part, or of the event if later.

        The event's time is in it because what is inherited (markings, the creator) can
        change without the part. MISP keeps no time of creation; the event's date is as
        near as it gets, and stays the same from version to version.
        """
        stamps: dict[str, int] = {}
        for part in self.event.parts.values():
            for object_id in carried.get(part.uuid, ()):
                stamps[object_id] = max(stamps.get(object_id, 0), part.stamp)
        newest = max([self.event.stamp, *stamps.values()])
        newest = max(newest, int(self.event.event.get("publish_timestamp", 0)))
        clusters = {
            i for part in self._all_clusters(carried) for i in carried[part.uuid]
        }
        for object_id, one in self.made.items():
            if is_observable(one):
                continue
            if self._is_someone(one) or object_id in clusters:
                one["created"] = one["modified"] = UNDATED
                continue
            stamp = max(stamps.get(object_id, 0), self.event.stamp)
            if one["type"] in RELATIONS:
                stamp = max([stamp, *(stamps.get(end, 0) for end in ends(one))])
            if object_id == self.root:
                stamp = newest
            one["created"] = stix_text(self.event.born * 1_000_000)
            one["modified"] = stix_text(stamp * 1_000_000)

    def _all_clusters(self, carried: Mapping[str, list[str]]) -> Iterator[Part]:
        for parts in self.clusters.values():
            yield from (part for part in parts if part.uuid in carried)
