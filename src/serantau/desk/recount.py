"""Everything that the release log's tree says, made anew of the log's rows.

What it finds is the first thing that differs, with its place, and it reads on no
further: a tree with one wrong leaf says nothing reliable behind it.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Final

from serantau.clock import SystemClock
from serantau.config import NodeConfig
from serantau.node import Node
from serantau.records import tree
from serantau.records.acts import Erased
from serantau.records.database import Database, Tx
from serantau.records.leaves import (
    Again,
    Leaves,
    digests_of,
    held_versions,
    page_digests,
    stamps_of,
)
from serantau.records.tree import STEP, WIDTH, Log
from serantau.rules.head import read_head, take_apart
from serantau.rules.leaf import RELEASE, page_root, salts_of
from serantau.rules.receipt import root_of

_BLOCK: Final = WIDTH * 32
# What one process compares at a time, and what is too little to begin others for.
_SHARE: Final = _BLOCK * 8
_ALONE: Final = 4 * _SHARE
_MOST_WORKERS: Final = 8
Progress = Callable[[int, int], object]


@dataclass(slots=True)
class Recount:
    """What was found.

    size: how many leaves the tree has. root: its hash, made anew. checked: leaves that
    were made anew and are what they were. erased: those of them whose words were
    erased, as a decision says. heads: signed heads that are of this tree. waiting: rows
    that are no leaves yet. fault: the first thing that differs, empty when nothing
    does.
    """

    size: int = 0
    root: str = ""
    checked: int = 0
    erased: int = 0
    heads: int = 0
    waiting: int = 0
    fault: str = ""


class _Differs(Exception):
    """The first thing that differs, in words."""


def recount(
    node: Node,
    *,
    objects: bool = False,
    progress: Progress | None = None,
    alone: int = _ALONE,
) -> Recount:
    """Make the tree anew and compare.

    Args:
        node: whose log.
        objects: also make anew what stands for each object of each page, of the bodies
            that are still held. Otherwise it is taken as it was sealed.
        progress: called with the leaves checked so far, and how many there are.
        alone: up to how many leaves are compared in this process.
    """
    found = Recount()
    with node.db.read() as tx:
        log = tree.held(tx)
        if log is None:
            return found
        found.size = log.size
        leaves = Leaves(node.config.node.member)
        try:
            if log.size > alone:
                _shared(node, log, found, objects, progress)
            else:
                _leaves(tx, log, leaves, found, 0, log.size, objects, progress)
            _levels(tx, log)
            reading = tree.Reading(tx)
            found.root = reading.root(log.size).hex()
            found.heads = _heads(tx, log, reading)
            unsealed = leaves.unsealed(tx)
            if unsealed:
                raise _Differs(f"{unsealed} is no leaf, and later ones are")
        except _Differs as differs:
            found.fault = str(differs)
        found.waiting = leaves.waiting(tx)
    return found


def _shared(
    node: Node, log: Log, found: Recount, objects: bool, progress: Progress | None
) -> None:
    """Compare the leaves in processes, a range each: one core takes twice as long.

    What they read is never changed, so that each may read it by itself.
    """
    config = node.config
    workers = min(os.cpu_count() or 1, _MOST_WORKERS)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn) as pool:
        several = [
            pool.submit(
                _range, config, log, start, min(start + _SHARE, log.size), objects
            )
            for start in range(0, log.size, _SHARE)
        ]
        for place, one in enumerate(several, 1):
            part = one.result()
            found.checked += part.checked
            found.erased += part.erased
            if progress is not None:
                progress(min(place * _SHARE, log.size), log.size)
            if part.fault:
                pool.shutdown(cancel_futures=True)
                raise _Differs(part.fault)


def _range(
    config: NodeConfig, log: Log, start: int, end: int, objects: bool
) -> Recount:
    """Compare a range of leaves, in a process of its own."""
    found = Recount()
    database = Database(config.database_url, SystemClock())
    try:
        with database.read() as tx:
            leaves = Leaves(config.node.member)
            _leaves(tx, log, leaves, found, start, end, objects, None)
    except _Differs as differs:
        found.fault = str(differs)
    finally:
        database.close()
    return found


def _leaves(
    tx: Tx,
    log: Log,
    leaves: Leaves,
    found: Recount,
    begin: int,
    stop: int,
    objects: bool,
    progress: Progress | None,
) -> None:
    """Compare the hash of each leaf with one made of its row."""
    proven: set[int] = set()
    erased = Erased(tx)
    for start in range(begin, stop, _BLOCK):
        end = min(start + _BLOCK, stop)
        hashes = _kept(tx, start, end)
        place = start
        for leaf in leaves.hashes(tx, log, start, end, erased):
            if leaf.seq != place:
                raise _Differs(f"leaf {place} is of no row")
            place += 1
            if leaf.hash != hashes[leaf.seq - start]:
                raise _Differs(f"leaf {leaf.seq} is not what row {leaf.row} says")
            found.checked += 1
            found.erased += leaf.erased
            if leaf.granted not in proven:
                _verdicts(tx, leaf)
                proven.add(leaf.granted)
            if objects and leaf.objects is not None:
                _objects(tx, log, leaf)
        if place != end:
            raise _Differs(f"leaf {place} is of no row")
        _above(tx, 0, start // WIDTH, hashes)
        if progress is not None:
            progress(end, log.size)


def _kept(tx: Tx, start: int, end: int) -> list[bytes]:
    """Read the hashes of leaves; `start` is the first of a tile."""
    hashes: list[bytes] = []
    for row in tx.rows(
        "SELECT n, hashes FROM ledger.tile WHERE level = 0 "
        "AND n >= :first AND n < :last ORDER BY n",
        first=start // WIDTH,
        last=-(-end // WIDTH),
    ):
        if row.n * WIDTH == start + len(hashes):
            hashes += tree.parted(bytes(row.hashes))
    if len(hashes) < end - start:
        raise _Differs(f"leaf {start + len(hashes)} is not kept")
    return hashes


def _verdicts(tx: Tx, leaf: Again) -> None:
    """Make sure that the verdicts are those whose digest is in the leaf."""
    content = tx.value(
        "SELECT content FROM ledger.grant_view WHERE n = :n", n=leaf.granted
    )
    if content is None:
        return
    if hashlib.sha256(content.encode()).hexdigest() != leaf.verdicts:
        raise _Differs(f"the verdicts of row {leaf.row} are not what they were")


def _objects(tx: Tx, log: Log, leaf: Again) -> None:
    stamps = stamps_of(leaf)
    known = digests_of(tx, stamps)
    salts = salts_of(log.secret, RELEASE, leaf.row)
    if page_root(salts.objects, page_digests(known, stamps)) != bytes(leaf.objects):
        raise _Differs(f"the objects of leaf {leaf.seq} are not those of its row")
    for held in held_versions(tx, stamps):
        if known.get(held.stamp) != held.digest:
            raise _Differs(f"{held.id}, on leaf {leaf.seq}, is not what it was")


def _levels(tx: Tx, log: Log) -> None:
    """Compare the kept hashes of each level with those made of the level below."""
    # What lies above the leaves was compared with them.
    level, size = 1, log.size // WIDTH
    while size >= WIDTH:
        for n in range(size // WIDTH):
            _above(tx, level, n, _hashes(tx, level, n))
        level, size = level + 1, size // WIDTH


def _above(tx: Tx, level: int, first: int, hashes: Sequence[bytes]) -> None:
    """Compare what is kept above complete tiles, of which the first is `first`."""
    above: Sequence[bytes] = ()
    for place in range(len(hashes) // WIDTH):
        n = first + place
        if not place or n % WIDTH == 0:
            above = _hashes(tx, level + 1, n // WIDTH)
        root = root_of(hashes[place * WIDTH : (place + 1) * WIDTH])
        if n % WIDTH >= len(above) or root != above[n % WIDTH]:
            raise _Differs(f"subtree {n} of level {(level + 1) * STEP} is not kept")


def _hashes(tx: Tx, level: int, n: int) -> list[bytes]:
    found = tx.value(
        "SELECT hashes FROM ledger.tile WHERE level = :level AND n = :n",
        level=level,
        n=n,
    )
    return tree.parted(bytes(found)) if found is not None else []


def _heads(tx: Tx, log: Log, reading: tree.Reading) -> int:
    """Make sure that every signed head is of this tree."""
    count = 0
    for row in tx.rows("SELECT size, root, signed FROM ledger.tree_head ORDER BY at"):
        try:
            head = read_head(take_apart(row.signed))
        except ValueError as fault:
            raise _Differs(f"a head of {row.size:,} leaves: {fault}") from fault
        if head.size > log.size:
            raise _Differs(
                f"a head of {head.size:,} leaves was signed, the tree has {log.size:,}"
            )
        if reading.root(head.size) != head.hash:
            raise _Differs(f"a head of {head.size:,} leaves is of another tree")
        count += 1
    return count
