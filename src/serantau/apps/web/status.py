"""How the node is: what the page at `/` counts, and what a supervisor asks."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from litestar import Response, Router, get

from serantau.apps.web.hall import Asking, Hall, Lane, hall_of
from serantau.errors import StoreError

_TEXT: Final = "text/plain"
_COUNTED_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Counts:
    """How much is in the store. `well`: enabled peers whose last pull had no fault."""

    objects: int
    parties: int
    peers: int
    well: int
    quarantined: int


class Counter:
    """Counts at most twice a minute, however often it is asked."""

    def __init__(self, hall: Hall) -> None:
        """Count in the store of `hall`'s node."""
        self._hall = hall
        self._until = 0.0
        self._counts = Counts(0, 0, 0, 0, 0)

    def counts(self) -> Counts:
        """Give the counts; blocks. To be called in one thread only."""
        if time.monotonic() < self._until:
            return self._counts
        node = self._hall.node
        with node.db.read() as tx:
            peers = tx.rows(_PEERS)
            self._counts = Counts(
                objects=sum(node.audiences.counts(tx).values()),
                parties=int(tx.value("SELECT count(*) FROM party")),
                peers=sum(bool(peer.enabled) for peer in peers),
                well=sum(
                    bool(peer.enabled and peer.at and not peer.fault) for peer in peers
                ),
                quarantined=int(tx.value("SELECT count(*) FROM quarantine")),
            )
        self._until = time.monotonic() + _COUNTED_SECONDS
        return self._counts


_PEERS: Final = (
    "SELECT p.name, p.enabled, max(c.at) AS at, max(c.fault) AS fault, "
    "sum(c.pulled) AS pulled, sum(c.refused) AS refused "
    "FROM peer p LEFT JOIN cursor c ON c.peer = p.n "
    "GROUP BY p.n, p.name, p.enabled ORDER BY p.name"
)


@get("/healthz", include_in_schema=False)
async def healthz() -> Response[str]:
    """Say that the process answers."""
    return Response("alive\n", media_type=_TEXT)


@get("/readyz", include_in_schema=False)
async def readyz(request: Asking) -> Response[str]:
    """Say whether the store answers: only then may traffic come."""
    hall = hall_of(request)

    def work() -> None:
        with hall.node.db.read() as tx:
            tx.value("SELECT last FROM stamp")

    try:
        await hall.run(Lane.SIDE, work)
    except StoreError:
        return Response(
            "the store does not answer\n", status_code=503, media_type=_TEXT
        )
    return Response("ready\n", media_type=_TEXT)


def routes() -> Router:
    """Give the routes of the status page and of the health checks."""
    return Router("/", route_handlers=[healthz, readyz])
