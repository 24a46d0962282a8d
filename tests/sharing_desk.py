"""A node th that shares: parties, a secret circle, and objects of each level."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import orjson

from serantau.clock import SetClock
from serantau.config import PolicySection, load_config
from serantau.desk.found import Charter, found
from serantau.desk.intake import Intake
from serantau.desk.outlook import Line, Outlook, Tally
from serantau.desk.share import Share
from serantau.node import Node
from serantau.records.views import Asked
from serantau.rules.marking import make_audience
from serantau.rules.party import Kind, Party
from serantau.wire.bundle import Piece
from stores import AMBER, CLEAR, GREEN, RED, indicator
from tables import with_tables
from visitors import Pages, pages_of

HOSTILE = '<script>alert(1)</script>"\u202e'
CIRCLE = "the night watch"


@dataclass
class SharingDesk:
    """The node's pages, and what stands in its store by name."""

    pages: Pages
    made: dict[str, dict[str, Any]]

    @property
    def node(self) -> Node:
        return self.pages.node

    def load(self, *objects: dict[str, Any]) -> None:
        pieces = [
            Piece(ordinal=place, offset=0, line=place, raw=orjson.dumps(one))
            for place, one in enumerate(objects, 1)
        ]
        report = Intake(self.node).take(pieces, origin="a file")
        assert not report.faults, report.faults

    def outlook(self, party: str) -> Tally:
        return Outlook(self.node).party(party)[0]

    def lines(self, party: str) -> list[Line]:
        return Outlook(self.node).party(party)[1]

    def gives(self, user: str) -> list[str]:
        """Let a user of another party take a page by TAXII; gives the ids on it."""
        with self.node.db.read() as tx:
            caller = self.node.registry.caller_by_name(tx, user)
            assert caller is not None
            whole = self.node.registry.collection(tx, "released")
        page = Share(self.node).page(caller, whole, Asked(limit=100), way="taxii")
        return [one["id"] for one in orjson.loads(b"[" + page.bodies + b"]")]


@contextmanager
def sharing_desk(folder: Path, clock: SetClock) -> Iterator[SharingDesk]:
    home = folder / "th"
    found(with_tables(home), Charter("th", "ThaiCERT"), clock)
    config = msgspec.structs.replace(
        load_config(home), policy=PolicySection(granular="derive")
    )
    with Node(config, clock) as node:
        own = config.node.identity
        with node.db.write() as tx:
            node.registry.put_party(tx, Party("jp", Kind.PARTNER))
            circle = node.registry.put_circle(tx, CIRCLE, ["vn", "jp"])
            for user, party in (("wei", "sg"), ("hana", "jp")):
                node.registry.add_user(tx, user, party, "reader", "correct horse")
        audience = make_audience(circles=[circle.id])
        part = {"marking_ref": RED, "selectors": ["description"]}
        made = {
            "audience": audience,
            "clear": indicator("clear", CLEAR, created_by_ref=own),
            "green": indicator(HOSTILE, GREEN, created_by_ref=own),
            "watched": indicator("watched", AMBER, audience["id"]),
            "red": indicator("red", RED, created_by_ref=own),
            "parted": indicator(
                "parted",
                GREEN,
                description="the source is Somchai",
                granular_markings=[part],
            ),
        }
        with pages_of(node) as pages:
            desk = SharingDesk(pages, made)
            desk.load(*made.values())
            yield desk
