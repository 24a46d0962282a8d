"""Who is calling, what the node gave them, and how the node is."""

from __future__ import annotations

from typing import Any

import serantau
from serantau.apps.web.api.door import caller_of, node_of, reading, verb
from serantau.apps.web.api.releases import ReleasePage, release_page
from serantau.apps.web.api.words import After, Answer, Count, Limit, Since
from serantau.apps.web.hall import Asking, Lane, hall_of, state_of
from serantau.apps.web.status import Counter


class Me(Answer):
    """The caller as the node knows it. own: of the node's own organisation."""

    user: str
    role: str
    party: str
    kind: str
    own: bool
    member: str
    realm: str


class Status(Answer):
    """The node: which it is, and how much it holds.

    well: peers whose last pull had no fault.
    """

    member: str
    team: str
    role: str
    realm: str
    version: str
    objects: Count
    parties: Count
    peers: Count
    peers_well: Count
    quarantined: Count


@verb("GET", "/me", "me")
async def me(request: Asking) -> Me:
    """Tell a caller who it is here."""
    caller, config = caller_of(request), node_of(request).config.node
    return Me(
        user=caller.user,
        role=caller.role,
        party=caller.party.name,
        kind=str(caller.party.kind),
        own=caller.own,
        member=config.member,
        realm=config.realm,
    )


@verb("GET", "/me/releases", "my-releases")
async def my_releases(
    request: Asking, since: Since = None, after: After = 0, limit: Limit = 100
) -> ReleasePage:
    """List what the node gave to the caller's party, as its release log has it.

    Each row tells when, by which user and way, what was asked, and how many objects
    went; the node's own people have no rows, since what they read does not go out.
    """
    number = caller_of(request).party_number
    return await reading(
        request,
        lambda tx: release_page(node_of(request), tx, number, since, after, limit),
    )


@verb("GET", "/status", "status")
async def status(request: Asking) -> Status:
    """Tell which node this is, and how much it holds.

    The counts are at most half a minute old.
    """
    hall = hall_of(request)
    counter: Counter = state_of(request).counter
    counts = await hall.run(Lane.SIDE, counter.counts)
    config = hall.node.config.node
    return Status(
        member=config.member,
        team=config.team,
        role=config.role,
        realm=config.realm,
        version=serantau.__version__,
        objects=counts.objects,
        parties=counts.parties,
        peers=counts.peers,
        peers_well=counts.well,
        quarantined=counts.quarantined,
    )


HANDLERS: tuple[Any, ...] = (me, my_releases, status)
