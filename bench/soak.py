"""A region at work for hours: does memory stay, and does everything arrive?"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass

import orjson

from bench.corpus import COMMUNITY, Corpus
from bench.figures import Figure, Limit, console
from bench.machine import memory_of
from bench.nodes import (
    BOX,
    WHOLE,
    Bench,
    collection_path,
    found_node,
    open_line,
    request,
)
from bench.sizes import Sizes
from serantau.node import Node

_MEMBERS = ("th", "sg", "id")
_POSTED = 200
_PAUSE_SECONDS = 2.0
_ARRIVAL_SECONDS = 120.0
# What a long-lived process may gain after its first tenth of the time.
_FLAT = 1.15


@dataclass(frozen=True, slots=True)
class _Look:
    """Memory of each node in MB, at one time."""

    at: float
    memory: tuple[float, ...]


def measure(sizes: Sizes, hours: float) -> list[Figure]:
    """Let three nodes follow each other, and one take in objects all the time."""
    folder = sizes.folder / "soak"
    nodes = [found_node(folder, name) for name in _MEMBERS]
    for node in nodes:
        for other in nodes:
            if other is not node:
                node.follow(other)
    writer = nodes[0].token("bench-writer", "th", "writer")
    reader = nodes[0].token("bench-reader", "vn")
    corpus = Corpus(levels=COMMUNITY)
    looks: list[_Look] = []
    sent = 0
    with ExitStack() as stack:
        servers = [stack.enter_context(node.served()) for node in nodes]
        line = stack.enter_context(open_line(nodes[0].port))
        begun = time.monotonic()
        while (at := time.monotonic() - begun) < hours * 3600:
            body = b'{"objects":[' + b",".join(corpus.raws(_POSTED)) + b"]}"
            path = f"{collection_path(BOX)}objects/"
            status, answer = request(line, "POST", path, writer, body)
            assert status == 202, answer
            assert orjson.loads(answer)["failure_count"] == 0, answer
            sent += _POSTED
            _read(nodes[0], reader)
            time.sleep(_PAUSE_SECONDS)
            looks.append(_Look(at, tuple(memory_of(one.pid) for one in servers)))
            _tell(looks[-1], sent)
        arrived = _arrived(nodes)
    assert looks, "the time was too short for one look"
    early = max(looks[: max(1, len(looks) // 10)], key=lambda look: sum(look.memory))
    late = max(looks[-max(1, len(looks) // 10) :], key=lambda look: sum(look.memory))
    return [
        Figure(
            f"Memory of node {node.member} after {hours:g} h",
            (late.memory[place],),
            "MB",
            limits=(Limit("that in the first tenth", early.memory[place], most=_FLAT),),
            note=f"{sent:,} objects sent, {arrived:,} in every store",
        )
        for place, node in enumerate(nodes)
    ]


def _tell(look: _Look, sent: int) -> None:
    told = ", ".join(f"{one:.0f}" for one in look.memory)
    console.print(f"{look.at / 60:7.1f} min  {sent:9,} objects  {told} MB", end="\r")


def _read(node: Bench, token: str) -> None:
    """Read the newest pages, as one more member does."""
    with open_line(node.port) as line:
        path = f"{collection_path(WHOLE)}objects/?limit=1000"
        status, body = request(line, "GET", path, token)
        assert status == 200, body


def _arrived(nodes: list[Bench]) -> int:
    """Wait until every node holds what the first holds; give how many that are.

    Raises:
        AssertionError: something is missing somewhere.
    """
    wanted = _held(nodes[0])
    give_up = time.monotonic() + _ARRIVAL_SECONDS
    while missing := [node.member for node in nodes[1:] if wanted - _held(node)]:
        assert time.monotonic() < give_up, f"not everything came to {missing}"
        time.sleep(1)
    return len(wanted)


def _held(node: Bench) -> set[tuple[int, int]]:
    with Node(node.config) as opened, opened.db.read() as tx:
        rows = tx.rows("SELECT key, modified FROM object")
    return {(int(row.key), int(row.modified)) for row in rows}
