"""Peers: the servers that this node pulls from."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from litestar.params import JSONBody
from msgspec import Meta

from serantau.apps.web.api.door import node_of, reading, verb, writing
from serantau.apps.web.api.words import (
    ALIAS,
    END,
    NO_CONTROL,
    Answer,
    Count,
    Given,
    Level,
    PeerId,
    Text,
    Time,
    read_level,
    time_of,
)
from serantau.apps.web.hall import Asking, Lane, hall_of
from serantau.desk.federate import Federation, PeerStatus
from serantau.errors import NotFound
from serantau.records.database import Tx
from serantau.records.peers import Cursor, Peer, Peers


class PeerTold(Answer):
    """A peer, and how it stands with it; its secret is never told.

    at: when this node last had everything that the peer lets it have. lag_seconds:
    since then. fault: why the last pull broke off. new, held, refused: objects since
    the beginning.
    """

    name: str
    url: str
    collection: str
    user: str
    certificate: str
    handle_as: str
    enabled: bool
    at: Time | None
    lag_seconds: float | None
    fault: str
    new: Count
    held: Count
    refused: Count


class PeerList(Answer):
    """The peers by name."""

    peers: list[PeerTold]


class CursorTold(Answer):
    """How far one collection of a peer was pulled."""

    collection: str
    at: Time | None
    fault: str
    new: Count
    held: Count
    refused: Count


class PeerDetail(Answer):
    """A peer, and how far each of its collections was pulled."""

    peer: PeerTold
    collections: list[CursorTold]


class PeerGiven(Given):
    """A peer as it is to be.

    secret: token, or password of `user`; left out, the one that is here stays.
    collection: its id or alias there; empty for all that the login may read.
    certificate: PEM file on the node. handle_as: TLP label for what comes unmarked.
    """

    url: Annotated[
        str, Meta(max_length=1000, pattern=rf"^https?://[^ {NO_CONTROL}]+{END}")
    ]
    collection: Annotated[str, Meta(pattern=f"^{END}|{ALIAS}")] = ""
    user: Text = ""
    secret: Annotated[str, Meta(max_length=1000)] | None = None
    certificate: Text = ""
    handle_as: Level = ""
    enabled: bool = True


class PulledTold(Answer):
    """What one pull brought from one collection."""

    collection: str
    title: str
    new: Count
    held: Count
    refused: Count
    fault: str


class PullTold(Answer):
    """What one pull brought. fault: why the peer could not be asked, or empty."""

    peer: str
    new: Count
    held: Count
    refused: Count
    fault: str
    collections: list[PulledTold]


def _told(one: PeerStatus) -> PeerTold:
    return PeerTold(
        name=one.peer.name,
        url=one.peer.url,
        collection=one.peer.collection,
        user=one.peer.user,
        certificate=one.peer.certificate,
        handle_as=one.peer.handle_as,
        enabled=one.peer.enabled,
        at=time_of(one.at),
        lag_seconds=one.lag,
        fault=one.fault,
        new=one.new,
        held=one.held,
        refused=one.refused,
    )


def _cursor(one: Cursor) -> CursorTold:
    return CursorTold(
        collection=one.collection,
        at=time_of(one.at),
        fault=one.fault,
        new=one.pulled,
        held=one.held,
        refused=one.refused,
    )


async def _status(request: Asking) -> list[PeerStatus]:
    return await hall_of(request).run(Lane.SIDE, Federation(node_of(request)).status)


async def _one(request: Asking, name: str) -> PeerStatus:
    for each in await _status(request):
        if each.peer.name == name:
            return each
    raise NotFound(f"No peer is named {name!r}.", mend="GET /api/v1/peers lists them.")


@verb("GET", "/peers", "peers")
async def peers(request: Asking) -> PeerList:
    """List the peers, and how it stands with each."""
    return PeerList(peers=[_told(each) for each in await _status(request)])


@verb("GET", "/peers/{name:str}", "peer", 404)
async def peer(request: Asking, name: PeerId) -> PeerDetail:
    """Tell how it stands with one peer, by collection."""
    one = await _one(request, name)
    cursors = await reading(request, lambda tx: Peers().cursors(tx, one.peer))
    return PeerDetail(
        peer=_told(one),
        # The row of no collection tells of the last pull as a whole.
        collections=[_cursor(each) for each in cursors if each.collection],
    )


@verb("PUT", "/peers/{name:str}", "put-peer")
async def put_peer(
    request: Asking, name: PeerId, data: JSONBody[PeerGiven]
) -> PeerTold:
    """Add a peer, or change the one of this name; pulling goes on by itself."""
    node = node_of(request)
    read_level(data.handle_as, "handle_as")

    def work(tx: Tx) -> None:
        secret = data.secret
        if secret is None:
            held = {each.name for each in Peers().list(tx)}
            secret = Peers().get(tx, name, node.seal).secret if name in held else ""
        given = Peer(
            name=name,
            url=data.url,
            collection=data.collection,
            user=data.user,
            secret=secret,
            certificate=data.certificate,
            handle_as=data.handle_as,
            enabled=data.enabled,
        )
        Peers().add(tx, given, node.seal)

    await writing(request, work)
    return _told(await _one(request, name))


@verb("DELETE", "/peers/{name:str}", "remove-peer", 404, status=204)
async def remove_peer(request: Asking, name: PeerId) -> None:
    """Forget a peer; what came from it stays."""
    await writing(request, lambda tx: Peers().remove(tx, name))


@verb("POST", "/peers/{name:str}/sync", "sync-peer", 404)
async def sync_peer(request: Asking, name: PeerId) -> PullTold:
    """Pull everything new from a peer now, and tell what came.

    What the peer does wrong is in the answer, not an error of this request.
    """
    # A peer may be slow: that must hold up nothing else.
    report = await asyncio.to_thread(Federation(node_of(request)).pull, name)
    return PullTold(
        peer=report.peer,
        new=report.new,
        held=report.held,
        refused=report.refused,
        fault=report.fault,
        collections=[
            PulledTold(
                collection=each.collection,
                title=each.title,
                new=each.new,
                held=each.held,
                refused=each.refused,
                fault=each.fault,
            )
            for each in report.collections
        ],
    )


HANDLERS: tuple[Any, ...] = (peers, peer, put_peer, remove_peer, sync_peer)
