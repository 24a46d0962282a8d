"""The plain page at `/`, and what a supervisor asks: alive, ready.

The page says which node this is and how it is, to anyone who can reach it; names of
peers only to the node's own people; content to nobody.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import Any, Final

from litestar import Response, Router, get

import serantau
from serantau.apps.web.hall import Asking, Hall, Lane, hall_of, state_of
from serantau.clock import taxii_text
from serantau.errors import Forbidden, StoreError
from serantau.records.registry import Caller

_HTML: Final = "text/html"
_TEXT: Final = "text/plain"
_COUNTED_SECONDS: Final = 30.0
# Everything comes from here, and nothing inline: TLS or not, no script ever runs.
PAGE_POLICY: Final = (
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


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


def _page(request: Asking, body: str) -> Response[str]:
    config = hall_of(request).node.config.node
    member = escape(config.member)
    banner = ""
    if config.realm != "live":
        banner = f'<p class="exercise">EXERCISE: {escape(config.realm)}</p>'
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>Serantau {member}</title>"
        '<meta name="viewport" content="width=device-width">'
        '<link rel="stylesheet" href="/static/status.css"></head>'
        f"<body>{banner}<h1>Serantau node {member}</h1>{body}</body></html>"
    )
    return Response(
        text, media_type=_HTML, headers={"Content-Security-Policy": PAGE_POLICY}
    )


@get("/", include_in_schema=False)
async def home(request: Asking) -> Response[str]:
    """Show which node this is, and how much it holds."""
    hall = hall_of(request)
    counter: Counter = state_of(request).counter
    counts = await hall.run(Lane.SIDE, counter.counts)
    config = hall.node.config.node
    lines: tuple[tuple[str, object], ...] = (
        ("Team", config.team or "not named"),
        ("Role", config.role),
        ("Realm", config.realm),
        ("Version", serantau.__version__),
        ("Objects", f"{counts.objects:,}"),
        ("Parties", counts.parties),
        ("Peers", f"{counts.peers}, of which {counts.well} answered last time"),
        ("Quarantined", f"{counts.quarantined:,}"),
    )
    told = "".join(
        f"<dt>{name}</dt><dd>{escape(str(held))}</dd>" for name, held in lines
    )
    return _page(
        request,
        f'<dl>{told}</dl><p><a href="/peers">Peers</a>, for this node\'s people.</p>',
    )


@get("/peers", include_in_schema=False)
async def peers(request: Asking) -> Response[str]:
    """Show how the peers are, to the node's own people."""
    hall = hall_of(request)

    def work(caller: Caller) -> list[Any]:
        if not caller.own:
            raise Forbidden("Only this node's own people see its peers.")
        with hall.node.db.read() as tx:
            return tx.rows(_PEERS)

    rows = "".join(_peer_row(row) for row in await hall.as_caller(request, work))
    return _page(
        request,
        "<table><thead><tr><th>Peer</th><th>Last pull</th><th>Pulled</th>"
        f"<th>Refused</th><th>State</th></tr></thead><tbody>{rows}</tbody></table>",
    )


def _peer_row(row: Any) -> str:
    if not row.enabled:
        state = "off"
    elif row.fault:
        state = f'<span class="fault">{escape(row.fault)}</span>'
    else:
        state = "well" if row.at else "not pulled yet"
    at = taxii_text(row.at) if row.at else "never"
    return (
        f"<tr><td>{escape(row.name)}</td><td>{at}</td><td>{int(row.pulled or 0):,}</td>"
        f"<td>{int(row.refused or 0):,}</td><td>{state}</td></tr>"
    )


@get("/static/status.css", include_in_schema=False)
async def style() -> Response[bytes]:
    """Give the page's style sheet."""
    text = files("serantau.apps.web").joinpath("static/status.css").read_bytes()
    return Response(text, media_type="text/css")


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
    return Router("/", route_handlers=[home, peers, style, healthz, readyz])
