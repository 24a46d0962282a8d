"""A store with parties, and objects made by hand."""

import multiprocessing
import sys
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from serantau.records.admission import Admission
from serantau.records.audiences import Audiences
from serantau.records.database import Database
from serantau.records.ledger import Ledger
from serantau.records.objects import Objects
from serantau.records.registry import Registry
from serantau.records.search import Search
from serantau.records.views import Asked, Page, Saved, Views
from serantau.rules.marking import Tlp
from serantau.rules.party import Kind, Party
from serantau.rules.stix import Limits, ObjectVersion, Reader
from serantau.wire.schemas import load_schemas

GREEN = "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb"
AMBER = "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421"
RED = "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1"
CLEAR = "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487"
DAY = "2026-03-{day:02}T00:00:00.000Z"

# Real processes, and quick ones: what they import is imported once, before they fork.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    ["serantau.desk.intake", "serantau.desk.share", "psycopg", "pytest", "hypothesis"]
)


def doomed(work: Callable[..., object], *given: Any) -> None:
    """Work without coverage, in a process that is killed before it writes its file."""
    none: Any = None
    sys.settrace(None)
    threading.settrace(none)
    work(*given)


READER = Reader(
    Limits(
        object_bytes=100_000, object_depth=32, object_items=10_000, pattern_bytes=10_000
    ),
    load_schemas(),
)


def indicator(name: str = "probe", *marks: str, **more: Any) -> dict[str, Any]:
    """Make an indicator marked with `marks`."""
    made = {
        "type": "indicator",
        "spec_version": "2.1",
        "id": f"indicator--{uuid.uuid4()}",
        "created": DAY.format(day=1),
        "modified": DAY.format(day=1),
        "name": name,
        "pattern": f"[domain-name:value = '{uuid.uuid4().hex}.example']",
        "pattern_type": "stix",
        "valid_from": DAY.format(day=1),
        **more,
    }
    if marks:
        made["object_marking_refs"] = list(marks)
    return made


def later(made: dict[str, Any], day: int, *marks: str, **more: Any) -> dict[str, Any]:
    """Make a later version of an object."""
    changed = {**made, "modified": DAY.format(day=day), **more}
    if marks:
        changed["object_marking_refs"] = list(marks)
    return changed


def read(made: dict[str, Any]) -> ObjectVersion:
    """Read an object as the node would."""
    return READER.read(orjson.dumps(made))


@dataclass
class Store:
    """The records of a node named th, without the node."""

    db: Database
    audiences: Audiences
    objects: Objects
    views: Views
    ledger: Ledger
    registry: Registry
    search: Search

    def admit(
        self, *made: dict[str, Any], handled: Tlp = Tlp.AMBER_STRICT, box: int = 0
    ) -> Admission:
        with self.db.write() as tx:
            return self.objects.admit(
                tx,
                [read(one) for one in made],
                source="file",
                handling=lambda _: handled,
                boxes=(box,) if box else (),
            )

    def put(self, name: str, kind: Kind, **more: Any) -> None:
        with self.db.write() as tx:
            self.registry.put_party(tx, Party(name=name, kind=kind, **more))

    def number(self, party: str) -> int:
        with self.db.read() as tx:
            return self.registry.party(tx, party)[0]

    def page(self, party: str, saved: Saved | None = None, **asked: Any) -> Page:
        with self.db.read() as tx:
            view = self.views.view(
                tx, self.registry.party(tx, party)[0], saved or Saved()
            )
            return self.views.page(tx, view, Asked(**asked))

    def seen(self, party: str, saved: Saved | None = None, **asked: Any) -> list[Any]:
        """Give what a party sees, all pages of it, as objects."""
        found: list[Any] = []
        after = asked.pop("after", -1)
        while True:
            page = self.page(party, saved, after=after, **asked)
            found += orjson.loads(b"[" + page.bodies + b"]")
            if not page.more:
                return found
            assert page.after > after
            after = page.after

    def ids(self, party: str, saved: Saved | None = None, **asked: Any) -> list[str]:
        return [one["id"] for one in self.seen(party, saved, **asked)]

    def search_ids(self, text: str) -> list[str]:
        with self.db.read() as tx:
            return [one.id for one in self.search.find(tx, text)]
