"""How fast a node signs what it makes, and takes in what others signed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import orjson

from bench.corpus import COMMUNITY, Corpus
from bench.federation import synced
from bench.figures import Figure, Limit, seconds, several
from bench.nodes import found_node
from bench.sizes import Sizes
from serantau.desk.keys import Keys
from serantau.node import Node
from serantau.rules.signature import UNSIGNED_TYPES

_SIGN_RATE = 20_000.0
_SYNC_RATE = 7_000.0


def measure(sizes: Sizes) -> list[Figure]:
    """Sign objects in one process, then let an empty node pull them all."""
    source = found_node(sizes.folder / "source")
    corpus = _write(
        sizes.folder / "own.ndjson", source.config.node.identity, sizes.objects
    )
    with Node(source.config) as node:
        rates = several(sizes.runs, lambda: _signing(node, corpus))
    loaded = seconds(lambda: source.run("load", str(corpus)))
    with source.served():
        taken = several(sizes.runs, lambda: synced(source, sizes))
    return [
        Figure(
            f"Objects signed ({sizes.objects:,}, one core)",
            rates,
            "objects/s",
            target=_SIGN_RATE,
            at_least=True,
            note="canonical text, signature and the object's text with it",
        ),
        Figure(
            f"Signed objects in from a peer ({sizes.objects:,})",
            tuple(sizes.objects / each for each in taken),
            "objects/s",
            target=_SYNC_RATE,
            at_least=True,
            limits=(Limit("`load` and signing of the same", sizes.objects / loaded),),
            note="`serantau peer sync` from start to end, every signature verified",
        ),
    ]


def _write(path: Path, identity: str, count: int) -> Path:
    """Write a corpus in which everything that can be signed is this identity's."""
    with path.open("wb") as file:
        file.writelines(orjson.dumps(made) + b"\n" for made in _ours(identity, count))
    return path


def _ours(identity: str, count: int) -> Iterator[dict[str, object]]:
    several_times = Corpus(levels=COMMUNITY).objects(2 * count)
    made = 0
    for one in several_times:
        if one["type"] in UNSIGNED_TYPES or one["type"] == "identity":
            continue
        yield {**one, "created_by_ref": identity}
        made += 1
        if made == count:
            return


def _signing(node: Node, corpus: Path) -> float:
    """Sign what is in a file, read before; objects a second."""
    keys, signer = Keys(node), node.signer
    with corpus.open("rb") as file:
        versions = [node.reader.read(line.rstrip()) for line in file]
    began = time.perf_counter()
    for version in versions:
        keys.sign(version, signer)
    return len(versions) / (time.perf_counter() - began)
