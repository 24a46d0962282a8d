"""Everything that the release log's tree says, made anew of the log's rows.

What it finds is the first thing that differs, with its place, and it reads on no
further: a tree with one wrong leaf says nothing reliable behind it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from serantau.node import Node
from serantau.records import tree
from serantau.records.database import Tx
from serantau.records.leaves import (
    Leaves,
    digests_of,
    held_versions,
    page_digests,
    stamps_of,
)
from serantau.records.tree import STEP, WIDTH, Log
from serantau.rules.head import read_head, take_apart
from serantau.rules.leaf import RELEASE, page_root, salts_of
from serantau.rules.receipt import leaf_hash, root_of

_BLOCK: Final = WIDTH * 32
Progress = Callable[[int, int], object]


@dataclass(slots=True)
class Recount:
    """What was found.

    size: how many leaves the tree has. root: its hash, made anew. checked: leaves that
    were made anew and are what they were. erased: leaves whose rows are gone. heads:
    signed heads that are of this tree. waiting: rows that are no leaves yet. fault: the
    first thing that differs, empty when nothing does.
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
    node: Node, *, objects: bool = False, progress: Progress | None = None
) -> Recount:
    """Make the tree anew and compare.

    Args:
        node: whose log.
        objects: also make anew what stands for each object of each page, of the bodies
            that are still held. Otherwise it is taken as it was sealed.
        progress: called with the leaves checked so far, and how many there are.
    """
    found = Recount()
    with node.db.read() as tx:
        log = tree.held(tx)
        if log is None:
            return found
        found.size = log.size
        leaves = Leaves(node.config.node.member)
        try:
            _leaves(tx, log, leaves, found, objects, progress)
            _levels(tx, log)
            reading = tree.Reading(tx)
            found.root = reading.root(log.size).hex()
            found.heads = _heads(tx, log, reading)
            unsealed = leaves.unsealed(tx)
            if unsealed is not None:
                raise _Differs(
                    f"row {unsealed} of the release log is no leaf, and later ones are"
                )
        except _Differs as differs:
            found.fault = str(differs)
        found.waiting = leaves.waiting(tx)
    return found


def _leaves(
    tx: Tx,
    log: Log,
    leaves: Leaves,
    found: Recount,
    objects: bool,
    progress: Progress | None,
) -> None:
    """Compare the hash of each leaf with one made of its row."""
    proven: dict[str, str] = {}
    for start in range(0, log.size, _BLOCK):
        end = min(start + _BLOCK, log.size)
        kept = b"".join(
            bytes(row.hashes)
            for row in tx.rows(
                "SELECT hashes FROM ledger.tile WHERE level = 0 "
                "AND n >= :first AND n < :last ORDER BY n",
                first=start // WIDTH,
                last=-(-end // WIDTH),
            )
        )
        hashes = tree.parted(kept)
        if len(hashes) < end - start:
            raise _Differs(f"leaves from {start + len(hashes)} on are not kept")
        place = start
        for seq, row in leaves.each(tx, start, end):
            if seq != place:
                raise _Differs(f"leaf {place} is of no row")
            place += 1
            if row is None:
                found.erased += 1
                continue
            try:
                text = leaves.text(log, seq, row, row.recipient, row.objects)
            except (TypeError, ValueError, AttributeError):
                # SQLite keeps a value of any kind, whatever the column is made for.
                text = b""
            if leaf_hash(text) != hashes[seq - start]:
                raise _Differs(f"leaf {seq} is not what row {row.n} says")
            found.checked += 1
            if row.verdicts not in proven:
                _verdicts(tx, row)
                proven[row.verdicts] = ""
            if objects and row.objects is not None:
                _objects(tx, log, seq, row)
        if place != end:
            raise _Differs(f"leaf {place} is of no row")
        if progress is not None:
            progress(end, log.size)


def _verdicts(tx: Tx, row: Any) -> None:
    """Make sure that the verdicts are those whose digest is in the leaf."""
    content = tx.value(
        "SELECT content FROM ledger.grant_view WHERE n = :n", n=row.grant_view
    )
    if content is None:
        return
    if hashlib.sha256(content.encode()).hexdigest() != row.verdicts:
        raise _Differs(f"the verdicts of row {row.n} are not what they were")


def _objects(tx: Tx, log: Log, seq: int, row: Any) -> None:
    stamps = stamps_of(row)
    known = digests_of(tx, stamps)
    salts = salts_of(log.secret, RELEASE, row.n)
    if page_root(salts.objects, page_digests(known, stamps)) != bytes(row.objects):
        raise _Differs(f"the objects of leaf {seq} are not those of row {row.n}")
    for held in held_versions(tx, stamps):
        if known.get(held.stamp) != held.digest:
            raise _Differs(f"{held.id}, on leaf {seq}, is not what it was")


def _levels(tx: Tx, log: Log) -> None:
    """Compare the kept hashes above the leaves with those made of the level below."""
    level, size = 0, log.size
    while size >= WIDTH:
        above: Sequence[bytes] = ()
        for n in range(size // WIDTH):
            if n % WIDTH == 0:
                above = _hashes(tx, level + 1, n // WIDTH)
            below = _hashes(tx, level, n)
            if n % WIDTH >= len(above) or root_of(below) != above[n % WIDTH]:
                raise _Differs(f"subtree {n} of level {(level + 1) * STEP} is not kept")
        level, size = level + 1, size // WIDTH


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
