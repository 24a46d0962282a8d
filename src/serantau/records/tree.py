"""The Merkle tree over the release log, in tiles, so that little of it is ever read.

A tile holds 256 hashes of a level, and every eighth level is kept: what lies between is
made of them. So ten million leaves are forty thousand rows, a proof reads at most two
tiles of each of three levels, and a leaf is added to one tile, seldom to more.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from serantau.records.database import Tx
from serantau.rules.leaf import SECRET_BYTES
from serantau.rules.receipt import (
    EMPTY,
    HASH_BYTES,
    consistency_ranges,
    cover,
    folded,
    inclusion_ranges,
    path_in,
    root_of,
)

STEP: Final = 8
WIDTH: Final = 1 << STEP


@dataclass(frozen=True, slots=True)
class Log:
    """The log that the tree is of. id: made with it. secret: what blinds its leaves."""

    id: str
    secret: bytes
    size: int


def begin(tx: Tx) -> None:
    """Make sure that there is a log; one that is there stays."""
    tx.run(
        "INSERT INTO ledger.log (n, id, secret, size) "
        "VALUES (1, :id, :secret, 0) ON CONFLICT DO NOTHING",
        id=f"log--{uuid.uuid4()}",
        secret=secrets.token_bytes(SECRET_BYTES),
    )


def held(tx: Tx) -> Log | None:
    """Give the log; None before it has begun."""
    row = tx.row("SELECT id, secret, size FROM ledger.log")
    return None if row is None else Log(row.id, bytes(row.secret), int(row.size))


def append(tx: Tx, hashes: Sequence[bytes]) -> int:
    """Add leaves, given by their hashes, inside `Database.ledger`.

    Returns:
        How many the tree has now.
    """
    size = int(tx.value("SELECT size FROM ledger.log"))
    _extend(tx, 0, size, hashes)
    tx.run("UPDATE ledger.log SET size = :size", size=size + len(hashes))
    return size + len(hashes)


def _extend(tx: Tx, level: int, size: int, hashes: Sequence[bytes]) -> None:
    """Add hashes behind the `size` that a level has, and what they complete above."""
    if not hashes:
        return
    first, within = divmod(size, WIDTH)
    begun = _tile(tx, level, first)[: within * HASH_BYTES] if within else b""
    whole = begun + b"".join(hashes)
    complete = []
    for place in range(0, len(whole), WIDTH * HASH_BYTES):
        tile = whole[place : place + WIDTH * HASH_BYTES]
        tx.run(
            "INSERT INTO ledger.tile (level, n, hashes) VALUES (:level, :n, :hashes) "
            "ON CONFLICT (level, n) DO UPDATE SET hashes = excluded.hashes",
            level=level,
            n=first + place // (WIDTH * HASH_BYTES),
            hashes=tile,
        )
        if len(tile) == WIDTH * HASH_BYTES:
            complete.append(root_of(parted(tile)))
    _extend(tx, level + 1, first, complete)


def _tile(tx: Tx, level: int, n: int) -> bytes:
    found = tx.value(
        "SELECT hashes FROM ledger.tile WHERE level = :level AND n = :n",
        level=level,
        n=n,
    )
    return bytes(found) if found is not None else b""


def parted(hashes: bytes) -> list[bytes]:
    """Give the hashes that a tile is made of."""
    return [
        hashes[place : place + HASH_BYTES]
        for place in range(0, len(hashes), HASH_BYTES)
    ]


class Reading:
    """Reads hashes and proofs in one transaction; each tile once."""

    def __init__(self, tx: Tx) -> None:
        """Read in this transaction."""
        self._tx = tx
        self._tiles: dict[tuple[int, int], bytes] = {}

    def node(self, level: int, index: int) -> bytes:
        """Give the hash of a complete subtree.

        Raises:
            ValueError: the tree does not have it.
        """
        step, more = divmod(level, STEP)
        n, start = divmod(index << more, WIDTH)
        if (step, n) not in self._tiles:
            self._tiles[step, n] = _tile(self._tx, step, n)
        cut = self._tiles[step, n][
            start * HASH_BYTES : (start + (1 << more)) * HASH_BYTES
        ]
        if len(cut) != HASH_BYTES << more:
            raise ValueError(f"no subtree {index} of level {level} is kept")
        return root_of(parted(cut))

    def root(self, size: int) -> bytes:
        """Give the hash of the tree as it was with so many leaves."""
        if not size:
            return EMPTY
        return folded([self.node(*one) for one in cover(0, size)])

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """Prove that a leaf is in the tree of so many leaves."""
        return path_in(inclusion_ranges(index, size), self.node)

    def consistency(self, first: int, second: int) -> list[bytes]:
        """Prove that the tree has only grown from one size to another."""
        return path_in(consistency_ranges(first, second), self.node)
