"""A party's release, read page by page, and parted into MISP events to be.

For the release log, what is read here has gone: each page's row is committed before the
page is given on.
"""

from __future__ import annotations

from collections.abc import Collection as Many
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from serantau.clock import moment
from serantau.desk.share import Share
from serantau.node import Node
from serantau.records.registry import Caller, Collection
from serantau.records.views import Asked, Page
from serantau.rules.marking import Marking, Tlp
from serantau.wire.misp_graph import ROOTS, references, uuid_of
from serantau.wire.misp_out import level_of
from serantau.wire.misp_values import derived_uuid, read_uuid

WAY: Final = "handout"
# Objects that are in no report go into events of at most so many.
EVENT_OBJECTS: Final = 2_000
_IDS_AT_ONCE: Final = 500
_DAY: Final = 86_400_000_000
# What they say stands in the tags of an event; they are no content of their own.
_DEFINITIONS: Final = ("marking-definition", "extension-definition")


@dataclass(frozen=True, slots=True)
class Draft:
    """An event to be: its objects, and all that is not in them.

    again: ids of objects that an event before this one has already.
    """

    uuid: str
    info: str
    date: str
    stamp: int
    objects: list[dict[str, Any]]
    again: frozenset[str]


class Reading:
    """One party's view of one collection, read and logged page by page."""

    def __init__(
        self,
        node: Node,
        share: Share,
        caller: Caller,
        collection: Collection,
        request: str,
    ) -> None:
        self._node = node
        self._share = share
        self._caller = caller
        self._collection = collection
        self._request = request

    def _page(self, asked: Asked) -> Page:
        return self._share.page(
            self._caller, self._collection, asked, way=WAY, request=self._request
        )

    def pages(self, asked: Asked) -> Iterator[Page]:
        """Give every page, up to about what was here at the beginning."""
        for page, _ in self._dated_pages(asked, dated=False):
            yield page

    def _dated_pages(
        self, asked: Asked, *, dated: bool
    ) -> Iterator[tuple[Page, list[int]]]:
        """Give every page, with the stamp of each of its objects where `dated`.

        Without an end, a node that takes in more than is read here would never end.
        """
        with self._node.db.read() as tx:
            end = int(tx.value("SELECT last FROM stamp"))
        asked = replace(asked, limit=self._node.config.limits.page)
        more = True
        while more:
            stamps: list[int] = []
            # One transaction: the lines are those of the page, in the same order.
            with self._node.db.together():
                page = self._page(asked)
                if dated and page.first // _DAY == page.last // _DAY:
                    stamps = [page.last] * page.count
                elif dated:
                    lines, _ = self._share.lines(
                        *(self._caller, self._collection, asked),
                        way=WAY,
                        request=self._request,
                    )
                    stamps = [line.added for line in lines]
            if page.count:
                yield page, stamps
            more = page.more and page.after < end
            asked = replace(asked, after=page.after)

    def _of_ids(
        self, asked: Asked, ids: Many[str]
    ) -> tuple[dict[str, dict[str, Any]], int]:
        """Give those of some objects that the party may have, and the latest stamp."""
        listed = sorted(set(ids) & set(asked.ids) if asked.ids else ids)
        found: dict[str, dict[str, Any]] = {}
        latest = 0
        for start in range(0, len(listed), _IDS_AT_ONCE):
            some = tuple(listed[start : start + _IDS_AT_ONCE])
            page = self._page(replace(asked, ids=some, limit=len(some)))
            for one in _parsed(page):
                # Two ids may share a key, by which objects are found.
                if one["id"] in some:
                    found[one["id"]] = one
            latest = max(latest, page.last)
        return found, latest

    def drafts(self, asked: Asked, known: Mapping[str, Marking]) -> Iterator[Draft]:
        """Part all that the party may have into MISP events to be."""
        asked = replace(asked, last=True, first=False, all_versions=False, at=())
        placed: set[str] = set()
        taken: set[str] = set()
        roots = tuple(kind for kind in ROOTS if kind in (asked.types or ROOTS))
        if roots:
            for page in self.pages(replace(asked, types=roots)):
                for root in _parsed(page):
                    yield self._of_root(asked, root, placed, taken)
        yield from self._by_day(asked, placed, known)

    def _of_root(
        self, asked: Asked, root: dict[str, Any], placed: set[str], taken: set[str]
    ) -> Draft:
        objects: dict[str, dict[str, Any]] = {}
        # The report is asked for once more: only so is its own stamp known.
        wanted = {root["id"], *_needs(root)}
        asked_for: set[str] = set()
        stamp = 0
        while wanted:
            asked_for |= wanted
            found, latest = self._of_ids(asked, wanted)
            # Another report is an event of its own.
            found = {
                each: one
                for each, one in found.items()
                if one["type"] not in ROOTS or each == root["id"]
            }
            objects |= found
            stamp = max(stamp, latest)
            wanted = {need for one in found.values() for need in _needs(one)}
            wanted -= asked_for
        objects[root["id"]] = root
        again = frozenset(placed & objects.keys())
        placed.update(objects)
        name = read_uuid(uuid_of(root["id"]))
        if not name or name in taken:
            name = derived_uuid("root", root["id"])
        taken.add(name)
        inner = [one for each, one in sorted(objects.items()) if each != root["id"]]
        return Draft(name, "", "", stamp, [root, *inner], again)

    def _by_day(
        self, asked: Asked, placed: set[str], known: Mapping[str, Marking]
    ) -> Iterator[Draft]:
        held: dict[Tlp, list[dict[str, Any]]] = {}
        latest: dict[Tlp, int] = {}
        parts: dict[Tlp, int] = {}
        day = -1

        def close(level: Tlp) -> Draft:
            parts[level] = parts.get(level, 0) + 1
            date = f"{moment(day * _DAY):%Y-%m-%d}"
            return self._of_day(
                date, level, parts[level], held.pop(level), latest.pop(level)
            )

        for page, stamps in self._dated_pages(asked, dated=True):
            for one, stamp in zip(_parsed(page), stamps, strict=True):
                if stamp // _DAY != day:
                    for level in sorted(held):
                        yield close(level)
                    day, parts = stamp // _DAY, {}
                if one["id"] in placed or one["type"] in (*ROOTS, *_DEFINITIONS):
                    continue
                level = level_of(one, known)
                held.setdefault(level, []).append(one)
                latest[level] = stamp
                if len(held[level]) == EVENT_OBJECTS:
                    yield close(level)
        for level in sorted(held):
            yield close(level)

    def _of_day(
        self,
        date: str,
        level: Tlp,
        part: int,
        objects: list[dict[str, Any]],
        stamp: int,
    ) -> Draft:
        config = self._node.config.node
        # Parties get different objects, so their events are different ones, too.
        name = derived_uuid(
            *("day", config.identity or config.member, self._caller.party.name),
            *(self._collection.id, self._request, date, level.label, str(part)),
        )
        info = f"{config.team or config.member}, {date}, {level.label}"
        info += f", part {part}" if part > 1 else ""
        # An object may stand twice in a view that changed while it was read.
        newest = {one["id"]: one for one in objects}
        return Draft(name, info, date, stamp, list(newest.values()), frozenset())


def _parsed(page: Page) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = orjson.loads(b"[" + page.bodies + b"]")
    return found


def _needs(one: Mapping[str, Any]) -> Iterator[str]:
    """Give the ids of what an object refers to, but for what its tags say."""
    for ref in references(dict(one)):
        if not ref.startswith(_DEFINITIONS):
            yield ref
