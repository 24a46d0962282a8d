"""Chores: what a running node does by the clock, by one process at a time.

How far a chore is done is written when it is, so that whoever is killed in the middle
leaves it to be done again, and a node that was off catches up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from serantau.records.database import Tx

_SECOND: Final = 1_000_000
_FAULT: Final = 1000
_AHEAD: Final = 3


@dataclass(frozen=True, slots=True)
class Chore:
    """How it stands with one chore.

    worker, lease: who does it, and until when that holds. done: how far it is done, as
    an instant. tried: when it was last begun. fault: why it was not done; empty: well.
    """

    name: str
    worker: str = ""
    lease: int = 0
    done: int = 0
    tried: int = 0
    fault: str = ""


class Chores:
    """The rows of chores."""

    def get(self, tx: Tx, name: str) -> Chore:
        """Give how it stands with a chore; of one that was never done, nothing."""
        row = tx.row(
            "SELECT name, worker, lease, done, tried, fault FROM chore "
            "WHERE name = :name",
            name=name,
        )
        return Chore(name) if row is None else Chore(*row)

    def all(self, tx: Tx) -> list[Chore]:
        """Give all chores that were ever begun, by name."""
        return [
            Chore(*row)
            for row in tx.rows(
                "SELECT name, worker, lease, done, tried, fault FROM chore "
                "ORDER BY name"
            )
        ]

    def take(self, tx: Tx, name: str, worker: str, seconds: float) -> bool:
        """Take a chore for some seconds, or longer; tells whether it was free.

        A lease that ends much later than one that begins now was given by a clock that
        was ahead, and holds nobody up.
        """
        now = tx.clock.now()
        tx.run(
            "INSERT INTO chore (name, worker, lease, done, tried, fault) "
            "VALUES (:name, '', 0, 0, 0, '') ON CONFLICT (name) DO NOTHING",
            name=name,
        )
        return bool(
            tx.run(
                "UPDATE chore SET worker = :worker, lease = :lease WHERE name = :name "
                "AND (worker = :worker OR lease <= :now OR lease > :most)",
                name=name,
                worker=worker,
                lease=now + int(seconds * _SECOND),
                now=now,
                most=now + int(_AHEAD * seconds * _SECOND),
            )
        )

    def leave(self, tx: Tx, name: str, worker: str) -> None:
        """Let others take a chore."""
        tx.run(
            "UPDATE chore SET worker = '', lease = 0 "
            "WHERE name = :name AND worker = :worker",
            name=name,
            worker=worker,
        )

    def note(self, tx: Tx, name: str, *, done: int = 0, fault: str = "") -> None:
        """Write down that a chore was tried now; `done`: and how far it is done."""
        tx.run(
            "INSERT INTO chore (name, worker, lease, done, tried, fault) "
            "VALUES (:name, '', 0, :done, :now, :fault) ON CONFLICT (name) DO UPDATE "
            "SET done = CASE WHEN :done = 0 THEN chore.done ELSE :done END, "
            "tried = :now, fault = :fault",
            name=name,
            done=done,
            now=tx.clock.now(),
            fault=fault.replace("\x00", "\\u0000")[:_FAULT],
        )
