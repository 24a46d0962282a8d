"""How fast nodes follow each other: a hundred thousand at once, and one at a time."""

from __future__ import annotations

import random
import shutil
import sqlite3
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from typing import Any

import orjson

from bench.corpus import COMMUNITY, Corpus, write_corpus
from bench.figures import Figure, Limit, at_percent, seconds, several
from bench.nodes import BOX, Bench, collection_path, found_node, open_line, request
from bench.sizes import Sizes
from serantau.rules.stix import id_key

_SYNC_SECONDS = 12.0
_PEERS = ("sg", "id", "vn", "jp")
_ARRIVAL_SECONDS = 60.0
_LOOK_SECONDS = 0.001
# Longer than a node takes to see that it has a new peer.
_SETTLE_SECONDS = 3.0


def measure_sync(sizes: Sizes) -> list[Figure]:
    """Let an empty node pull everything from a full one, both as processes."""
    corpus = write_corpus(
        sizes.folder / "community.ndjson", sizes.objects, levels=COMMUNITY
    )
    source = found_node(sizes.folder / "source")
    loaded = seconds(lambda: source.run("load", str(corpus)))
    with source.served():
        runs = several(sizes.runs, lambda: synced(source, sizes))
    return [
        Figure(
            f"Sync of {sizes.objects:,} objects between two nodes",
            runs,
            "s",
            target=_SYNC_SECONDS,
            limits=(Limit("`load` of the same", loaded),),
            note="`serantau peer sync` from start to end, every check included",
        )
    ]


def synced(source: Bench, sizes: Sizes) -> float:
    """Let a node that is empty pull all that another has; gives the seconds."""
    folder = sizes.folder / "puller"
    try:
        puller = found_node(folder, "sg")
        puller.follow(source)
        said: dict[str, Any] = {}
        taken = seconds(lambda: said.update(puller.run("peer", "sync")))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    (row,) = said["rows"]
    assert row["new"] >= sizes.objects, row
    assert not row["faults"], row
    return taken


def measure_hints(sizes: Sizes) -> list[Figure]:
    """Post objects one by one to a node that four others follow; see them arrive."""
    folder = sizes.folder / "hints"
    source = found_node(folder)
    peers = [found_node(folder, name) for name in _PEERS]
    for peer in peers:
        peer.follow(source)
    token = source.token("bench-writer", "th", "writer")
    with ExitStack() as stack:
        for node in (source, *peers):
            stack.enter_context(node.served())
        watch = _Watch(peers, stack)
        post = _Post(source, token, stack)
        objects = Corpus(levels=COMMUNITY).objects(sizes.singles + 1)
        watch.arrival(post(next(objects)))
        time.sleep(_SETTLE_SECONDS)
        chance = random.Random(sizes.singles)
        taken: list[float] = []
        for made in objects:
            # Whoever looks in steps is met at any moment of a step.
            time.sleep(chance.random() / 5)
            begun = time.perf_counter()
            arrivals = watch.arrival(post(made))
            taken += [arrived - begun for arrived in arrivals]
    note = (
        f"{sizes.singles} single objects, from sending the POST to the row in each "
        "peer's store"
    )
    return [
        Figure(
            "Arrival on four peers, median", (at_percent(taken, 50),), "s", note=note
        ),
        Figure(
            "Arrival on four peers, p99",
            (at_percent(taken, 99),),
            "s",
            target=1.0,
            note=note,
        ),
    ]


class _Post:
    """Posts single objects over one connection."""

    def __init__(self, node: Bench, token: str, stack: ExitStack) -> None:
        self._line = stack.enter_context(open_line(node.port))
        self._token = token

    def __call__(self, made: dict[str, Any]) -> str:
        """Post one object and give its id."""
        body = orjson.dumps({"objects": [made]})
        path = f"{collection_path(BOX)}objects/"
        status, answer = request(self._line, "POST", path, self._token, body)
        assert status == 202, answer
        assert orjson.loads(answer)["success_count"] == 1, answer
        return str(made["id"])


class _Watch:
    """Looks into the stores of several nodes for what arrives."""

    def __init__(self, nodes: Sequence[Bench], stack: ExitStack) -> None:
        self._stores = [
            stack.enter_context(
                closing(sqlite3.connect(node.home / "serantau.db", timeout=10))
            )
            for node in nodes
        ]

    def arrival(self, object_id: str) -> list[float]:
        """Wait for an object in every store; give when it was seen in each.

        Raises:
            AssertionError: it came nowhere within a minute.
        """
        give_up = time.perf_counter() + _ARRIVAL_SECONDS
        key = id_key(object_id)
        seen: dict[int, float] = {}
        while len(seen) < len(self._stores):
            for place, store in enumerate(self._stores):
                if (
                    place not in seen
                    and store.execute(
                        "SELECT 1 FROM object WHERE key = ?", (key,)
                    ).fetchone()
                ):
                    seen[place] = time.perf_counter()
            assert time.perf_counter() < give_up, f"{object_id} did not arrive"
            time.sleep(_LOOK_SECONDS)
        return list(seen.values())
