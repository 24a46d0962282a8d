"""The release log's tree: how fast rows become leaves, are proven, and are verified."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable

from bench.figures import Figure, Limit, several
from bench.nodes import found_node
from bench.sizes import Sizes
from serantau.desk.ledger import Book
from serantau.desk.recount import recount
from serantau.node import Node
from serantau.records import tree
from serantau.records.tree import Reading
from serantau.rules.party import Kind, Party

_AT_ONCE = 50_000
_PROOFS = 500
_HASHES = 200_000
# As a page of a thousand objects is logged, most of them neighbours.
_ROW = (
    "INSERT INTO ledger.release (at, party, actor, way, collection, grant_view, "
    "request, count, span, low, high, stamps) WITH RECURSIVE c(i) AS (SELECT 1 "
    "UNION ALL SELECT i + 1 FROM c WHERE i < :many) SELECT r.at + i, r.party, r.actor, "
    "r.way, r.collection, r.grant_view, r.request || i, r.count, r.span, r.low, "
    "r.high, r.stamps FROM ledger.release r, c WHERE r.n = 1"
)


def measure(sizes: Sizes) -> list[Figure]:
    """Measure the tree of so many leaves, each of a page with one object."""
    bench = found_node(sizes.folder)
    with Node(bench.config) as node:
        _first(node)
        book = Book(node)
        book.seal()
        sealing = []
        made = 1
        while made < sizes.leaves:
            many = min(_AT_ONCE, sizes.leaves - made)
            with node.db.ledger() as tx:
                tx.run(_ROW, many=many)
            began = time.perf_counter()
            book.seal()
            sealing.append((time.perf_counter() - began) * 1000 / many)
            made += many
        hashes = Limit("SHA-256 of a leaf, one by one", _hash_rate())
        single = several(sizes.runs, lambda: _single(node, book))
        proofs = several(sizes.runs, lambda: _slowest(node))
        rates = several(sizes.runs, lambda: _verified(node))
    count = f"{sizes.leaves:,} leaves"
    return [
        Figure(
            "Sealing one row of the release log",
            tuple(sealing[-sizes.runs :]),
            "ms",
            1.0,
            note=f"the last {_AT_ONCE:,} of {count}, durable, SQLite",
        ),
        Figure(
            "Sealing a row that comes alone",
            single,
            "ms",
            note=f"{count}; with two writes to the disk",
        ),
        Figure(
            "Proof that a leaf is in the tree",
            proofs,
            "ms",
            10.0,
            note=f"the slowest of {_PROOFS}, {count}",
        ),
        Figure(
            "`serantau ledger verify`",
            rates,
            "leaves/s",
            100_000.0,
            at_least=True,
            limits=(hashes,),
            note=f"each leaf made anew of its row, {count}",
        ),
    ]


def _first(node: Node) -> None:
    with node.db.write() as tx:
        if "sg" not in node.registry.parties(tx):
            node.registry.put_party(tx, Party("sg", Kind.MEMBER))
    with node.db.read() as tx:
        number, _ = node.registry.party(tx, "sg")
        node.ledger.record(
            tx,
            party=number,
            actor="sg-node",
            way="taxii",
            collection=1,
            request="/taxii2/root/collections/released/objects?limit=1000",
            stamps=[1],
            epoch=tx.epoch(),
        )


def _single(node: Node, book: Book) -> float:
    with node.db.ledger() as tx:
        tx.run(_ROW, many=1)
    return _milliseconds(book.seal)


def _slowest(node: Node) -> float:
    chance = random.Random(1)
    with node.db.read() as tx:
        log = tree.held(tx)
        if log is None:
            raise RuntimeError("nothing was sealed")
        size = log.size
        return max(
            _milliseconds(lambda: Reading(tx).inclusion(chance.randrange(size), size))
            for _ in range(_PROOFS)
        )


def _verified(node: Node) -> float:
    began = time.perf_counter()
    found = recount(node)
    if found.fault:
        raise RuntimeError(found.fault)
    return found.checked / (time.perf_counter() - began)


def _milliseconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def _hash_rate() -> float:
    leaf = bytes(400)
    began = time.perf_counter()
    for _ in range(_HASHES):
        hashlib.sha256(leaf).digest()
    return _HASHES / (time.perf_counter() - began)
