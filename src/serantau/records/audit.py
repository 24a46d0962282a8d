"""What the release log tells of whom and by whom. Others write it; here it is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from serantau.records.database import Tx

_END: Final = 2**62


@dataclass(frozen=True, slots=True)
class Period:
    """From an instant up to, not with, another; None: without end."""

    since: int | None = None
    until: int | None = None

    def bounds(self) -> dict[str, int]:
        """Give it as what a statement binds."""
        return {
            "since": self.since or 0,
            "until": _END if self.until is None else self.until,
        }


@dataclass(frozen=True, slots=True)
class Left:
    """A row of the release log. count: objects or rows. request: what was asked."""

    number: int
    at: int
    party: str
    actor: str
    way: str
    collection: str
    count: int
    request: str


_LEFT: Final = (
    "SELECT r.n, r.at, coalesce(p.name, '') AS party, r.actor, r.way, "
    "coalesce(c.alias, '') AS collection, r.count, r.request FROM ledger.release r "
    "LEFT JOIN party p ON p.n = r.party LEFT JOIN collection c ON c.n = r.collection "
    "WHERE r.at >= :since AND r.at < :until AND "
)
_ORDER: Final = " ORDER BY r.at, r.n LIMIT :limit"


def left_to(tx: Tx, party: int, period: Period, limit: int) -> list[Left]:
    """List what left to a party, the oldest first."""
    found = tx.rows(
        _LEFT + "r.party = :party" + _ORDER,
        party=party,
        limit=limit,
        **period.bounds(),
    )
    return [Left(*row) for row in found]


def left_by(tx: Tx, actor: str, period: Period, limit: int) -> list[Left]:
    """List what left by a person or login, the oldest first."""
    found = tx.rows(
        _LEFT + "r.actor = :actor" + _ORDER,
        actor=actor,
        limit=limit,
        **period.bounds(),
    )
    return [Left(*row) for row in found]


def last_left(tx: Tx, party: int, way: str) -> int:
    """Give when something last left to a party by a way; 0: not among its last 500."""
    return int(
        tx.value(
            "SELECT max(at) FROM (SELECT at, way FROM ledger.release "
            "WHERE party = :party ORDER BY at DESC LIMIT 500) r WHERE way = :way",
            party=party,
            way=way,
        )
        or 0
    )
