"""A node that takes in events and objects, and tells what it saw."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import orjson

from serantau.clock import SetClock
from serantau.config import LaneSection, NodeConfig, NodeSection
from serantau.desk.lane import Lane, Told
from serantau.desk.lane_work import Worker
from serantau.node import Node
from serantau.rules.marking import Tlp
from tables import with_tables

US = "identity--6d0d5e5c-3f0f-4a5e-8d7c-0d3f6c1b2a01"


class Desk:
    def __init__(self, home: Path, most: int = 1000) -> None:
        self.clock = SetClock("2026-03-02T00:00:00Z")
        section = NodeSection(member="th", team="T", identity=US)
        config = NodeConfig(
            home=with_tables(home),
            node=section,
            lane=LaneSection(sightings=most, workers=1),
        )
        self.node = Node(config, self.clock)
        self.lane = Lane(self.node)

    def admit(self, *objects: dict[str, Any]) -> None:
        with self.node.db.write() as tx:
            self.node.objects.admit(
                tx,
                [self.node.reader.read(orjson.dumps(one)) for one in objects],
                source="file",
                handling=lambda _: Tlp.AMBER_STRICT,
            )
        self.clock.advance(seconds=20)

    def work(self, *rows: tuple[str, int, int | None], feed: str = "drone") -> None:
        lines = [
            json.dumps(
                {
                    "time": f"2026-03-0{day}T10:00:00Z",
                    "type": "c2-server",
                    "source_address": address,
                    **({} if tlp is None else {"tlp": tlp}),
                }
            )
            for address, day, tlp in rows
        ]
        told = Told(feed, format="serantau-json", name="a.jsonl")
        self.lane.add(io.BytesIO("\n".join(lines).encode()), told)
        worker = Worker(self.lane)
        while worker.once():
            self.clock.advance(seconds=1)

    def seen(self) -> list[dict[str, Any]]:
        """Give the newest version of each sighting."""
        with self.node.db.read() as tx:
            rows = tx.rows(
                "SELECT body FROM object o JOIN word w ON w.n = o.type "
                "WHERE w.text = 'sighting' AND slot % 2 = 0 ORDER BY added"
            )
        return [orjson.loads(row.body) for row in rows]
