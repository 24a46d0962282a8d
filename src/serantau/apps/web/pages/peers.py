"""Peers: from which servers this node pulls, how that goes, and who pulls from here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

from litestar import Response

from serantau.apps.taxii import WAY as TAXII
from serantau.apps.web.hall import Asking
from serantau.apps.web.pages.asked import named
from serantau.apps.web.pages.door import (
    action,
    doing,
    gone_to,
    node_of,
    page,
    reading,
    shown,
    signed_of,
    words_of,
    writing,
)
from serantau.apps.web.pages.form import Form
from serantau.apps.web.pages.slow import begun
from serantau.desk.federate import Federation, PeerStatus
from serantau.desk.keys import Keys
from serantau.desk.signing import pin_in
from serantau.desk.watch import Watch
from serantau.errors import NotFound, TheirError
from serantau.node import Node
from serantau.records.audit import last_left
from serantau.records.database import Tx
from serantau.records.peers import Peer, Peers
from serantau.rules.level import Tlp
from serantau.rules.party import NAME, Kind
from serantau.rules.role import Power
from serantau.rules.trust import Demand

ADD: Final = "/peers/_add"
"""No peer's name begins so."""
_BEHIND_POLLS: Final = 10
_SIZE, _MIDDLE, _ROUND = 360, 180, 128
_ON_MAP: Final = 40
_LETTERS: Final = 12


@dataclass(frozen=True, slots=True)
class Link:
    """One line of the map. x, y: where the other one stands; x1 to y2: the line.

    tone: how the pull from it goes, "" when there is none. gives: it pulls from here.
    """

    name: str
    label: str
    href: str
    state: str
    tone: str
    gives: int
    x: float
    y: float
    x1: float
    y1: float
    x2: float
    y2: float


def shown_url(url: str) -> str:
    """Give an address as it may be shown: no login and no question, which hold keys."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, query="", fragment="").geturl()


def health(
    one: PeerStatus, blocked: bool, poll_seconds: float, words: Callable[[str], str]
) -> tuple[str, str]:
    """Tell in a word how it stands with a peer, and in which tone."""
    _ = words
    if blocked:
        return _("Blocked here"), "danger"
    if not one.peer.enabled:
        return _("Paused"), "quiet"
    if one.alarms:
        return _("Its log is doubted"), "danger"
    if one.fault:
        return _("Does not answer as agreed"), "danger"
    if one.lag is None:
        return _("Not pulled yet"), "warning"
    if one.lag > _BEHIND_POLLS * poll_seconds:
        return _("Behind"), "warning"
    return _("Well"), "good"


# Looking


def _known(node: Node, tx: Tx) -> tuple[dict[str, Any], dict[str, int]]:
    """Give every party, and when something last left to it by its machine's asking."""
    parties = node.registry.parties(tx)
    given = {
        name: last_left(tx, number, TAXII)
        for name, (number, party) in parties.items()
        if party.kind not in {Kind.OWN, Kind.PUBLIC}
    }
    return {name: party for name, (_, party) in parties.items()}, given


@page("/peers", Power.SEE)
async def peers(request: Asking) -> Response[bytes]:
    """Show all peers, and the links as far as this node knows them."""
    node, _ = node_of(request), words_of(request)
    found = await doing(request, Federation(node).status)
    parties, given = await reading(request, partial(_known, node))
    poll = node.config.federation.poll_seconds
    rows = []
    for one in found:
        party = parties.get(one.peer.name)
        said, tone = health(one, party is not None and party.blocked, poll, _)
        rows.append(
            {
                "name": one.peer.name,
                "title": party.title if party else "",
                "url": shown_url(one.peer.url),
                "state": said,
                "tone": tone,
                "one": one,
            }
        )
    takers = sorted(name for name, at in given.items() if at)
    return await shown(
        request,
        "peers.html",
        rows=rows,
        takers=[{"name": name, "at": given[name]} for name in takers],
        links=_links(rows, given),
        own=node.config.node.member,
        size=_SIZE,
        middle=_MIDDLE,
        left_out=max(0, len({*takers, *(row["name"] for row in rows)}) - _ON_MAP),
    )


def _links(rows: Sequence[Mapping[str, Any]], given: Mapping[str, int]) -> list[Link]:
    """Place everyone who has a link with this node on a ring around it."""
    pulled = {row["name"]: row for row in rows}
    names = sorted({*pulled, *(name for name, at in given.items() if at)})[:_ON_MAP]
    links = []
    for place, name in enumerate(names):
        turn = 2 * math.pi * place / len(names) - math.pi / 2
        right, down = math.cos(turn), math.sin(turn)
        row = pulled.get(name)
        links.append(
            Link(
                name=name,
                label=name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1]}…",
                href=f"/peers/{name}" if row else f"/members/{name}",
                state=row["state"] if row else "",
                tone=row["tone"] if row else "",
                gives=given.get(name, 0),
                x=round(_MIDDLE + (_ROUND + 24) * right, 1),
                y=round(_MIDDLE + (_ROUND + 24) * down, 1),
                x1=round(_MIDDLE + 30 * right, 1),
                y1=round(_MIDDLE + 30 * down, 1),
                x2=round(_MIDDLE + _ROUND * right, 1),
                y2=round(_MIDDLE + _ROUND * down, 1),
            )
        )
    return links


def _one(node: Node, name: str) -> PeerStatus:
    for each in Federation(node).status():
        if each.peer.name == name:
            return each
    raise NotFound(f"No peer is named {name!r}.")


async def _shown(
    request: Asking, name: str, form: Form | None = None
) -> Response[bytes]:
    node, _ = node_of(request), words_of(request)
    one = await doing(request, lambda: _one(node, name))

    def work(tx: Tx) -> tuple[list[Any], Any, int, bool, list[Any]]:
        cursors = Peers().cursors(tx, one.peer)
        party = node.registry.parties(tx).get(name)
        given = 0 if party is None else last_left(tx, party[0], TAXII)
        return (
            cursors,
            None if party is None else party[1],
            given,
            name in Keys(node).parties_without(tx),
            Watch(node).rows.alarms(tx, name),
        )

    cursors, party, given, unpinned, alarms = await reading(request, work)
    poll = node.config.federation.poll_seconds
    said, tone = health(one, party is not None and party.blocked, poll, _)
    return await shown(
        request,
        "peer.html",
        status=200 if form is None else 422,
        one=one,
        url=shown_url(one.peer.url),
        party=party,
        state=said,
        tone=tone,
        cursors=[each for each in cursors if each.collection],
        given=given,
        unpinned=unpinned,
        alarms=alarms,
        form=form,
        levels=_levels(),
        demands=list(Demand),
    )


@page("/peers/{name:str}", Power.SEE)
async def peer(request: Asking) -> Response[bytes]:
    """Show one peer: how far each collection came, and what is wrong."""
    return await _shown(request, named(request, "name"))


def _levels() -> list[str]:
    return [level.label for level in Tlp]


# Changing


@page(ADD, Power.DECIDE)
async def new_peer(request: Asking) -> Response[bytes]:
    """Ask which server is to be pulled from."""
    return await _asked(request, None)


async def _asked(request: Asking, form: Form | None) -> Response[bytes]:
    return await shown(
        request,
        "peer-new.html",
        status=200 if form is None else 422,
        form=form,
        levels=_levels(),
        demands=list(Demand),
    )


@action(ADD, Power.DECIDE)
async def add_peer(request: Asking, form: Form) -> Response[bytes]:
    """Add a server to pull from; a running node follows it within seconds."""
    node, _ = node_of(request), words_of(request)
    name, key = form.line("name"), form.line("key", needed=False)
    if name and not NAME.fullmatch(name):
        form.fault("name", _("A name has small letters, digits and hyphens: th"))
    given = _read(form, Peer(name, ""), _)
    actor = signed_of(request).caller.user
    if form.ok:

        def work(tx: Tx) -> bool:
            if any(each.name == name for each in Peers().list(tx)):
                return False
            Peers().add(tx, given, node.seal)
            if key:
                pin_in(node, tx, name, key, actor)
            return True

        try:
            if not await writing(request, work):
                form.fault("name", _("There is a peer of this name already."))
        except TheirError as fault:
            form.fault("key" if key else "name", str(fault))
    if not form.ok:
        return await _asked(request, form)
    return gone_to(request, f"/peers/{name}", "peer-added")


def _read(form: Form, held: Peer, words: Callable[[str], str]) -> Peer:
    """Read what a form says of a peer. An empty secret is the one that is kept."""
    _ = words
    url = form.line("url", most=1000)
    level = form.choice("handle_as", ["-", *_levels()], default="-")
    given = replace(
        held,
        url=url,
        collection=form.line("collection", needed=False, most=200),
        user=form.line("user", needed=False, most=200),
        certificate=form.line("certificate", needed=False, most=1000),
        handle_as="" if level == "-" else level,
        signatures=form.choice("signatures", list(Demand), default=Demand.MEMBERS),
        secret=form.given("secret") or held.secret,
    )
    if len(given.secret) > 1000 or not given.secret.isprintable():
        form.fault("secret", _("At most 1000 letters that can be seen fit here."))
    try:
        parts, before = urlsplit(url), urlsplit(held.url)
        whole = parts.scheme in {"http", "https"} and bool(parts.hostname)
        _port = parts.port
    except ValueError:
        whole = False
    if url and not whole:
        form.fault("url", _("Expected an address such as https://node.example/taxii2/"))
    elif url and "@" in parts.netloc:
        form.fault("url", _("Write the login into its own fields, not here."))
    elif (
        # Else whoever may change an address could have the secret sent to himself.
        held.secret
        and not form.given("secret")
        and (parts.scheme, parts.netloc) != (before.scheme, before.netloc)
    ):
        said = _("Another server: give its secret. The old one is not sent there.")
        form.fault("secret", said)
    return given


@action("/peers/{name:str}/change", Power.DECIDE)
async def change_peer(request: Asking, form: Form) -> Response[bytes]:
    """Change a peer; its secret stays when none is given."""
    node, name = node_of(request), named(request, "name")
    held = await doing(request, lambda: Federation(node).peer(name))
    given = _read(form, held, words_of(request))
    if form.ticked("no_secret"):
        given = replace(given, secret="")
        form.errors.pop("secret", None)
    if not form.ok:
        return await _shown(request, name, form)
    await writing(request, lambda tx: Peers().add(tx, given, node.seal))
    return gone_to(request, f"/peers/{name}", "saved")


@action("/peers/{name:str}/pause", Power.DECIDE)
async def pause_peer(request: Asking, form: Form) -> Response[bytes]:
    """Stop following a peer; its place is remembered."""
    return await _follow(request, form, follow=False)


@action("/peers/{name:str}/resume", Power.DECIDE)
async def resume_peer(request: Asking, form: Form) -> Response[bytes]:
    """Follow a paused peer again."""
    return await _follow(request, form, follow=True)


async def _follow(request: Asking, form: Form, *, follow: bool) -> Response[bytes]:
    name, reason = named(request, "name"), form.line("reason", needed=False)
    if not form.ok:
        return await _shown(request, name, form)
    await writing(request, lambda tx: Peers().enable(tx, name, follow, reason))
    return gone_to(request, f"/peers/{name}", "saved")


@action("/peers/{name:str}/remove", Power.DECIDE)
async def remove_peer(request: Asking, form: Form) -> Response[bytes]:
    """Forget a peer; what came from it stays."""
    name, reason = named(request, "name"), form.line("reason")
    if not form.ticked("sure"):
        form.fault("sure", words_of(request)("This is needed."))
    if not form.ok:
        return await _shown(request, name, form)
    await writing(request, lambda tx: Peers().remove(tx, name, reason))
    return gone_to(request, "/peers", "peer-removed")


@action("/peers/{name:str}/sync", Power.WORK)
async def sync_peer(request: Asking, form: Form) -> Response[bytes]:
    """Pull everything new from a peer now; `anew`: from the beginning."""
    node, name = node_of(request), named(request, "name")
    anew = form.ticked("anew")

    def work() -> bool:
        federation = Federation(node)
        if anew:
            with node.db.write() as tx:
                federation.peers.rewind(tx, federation.peer(name))
        return not federation.pull(name).faults

    await doing(request, lambda: _one(node, name))
    well = await begun(request, f"pull {name}", work)
    said = {True: "pulled", False: "pull-broke", None: "pull-begun"}[well]
    return gone_to(request, f"/peers/{name}", said)


@action("/peers/{name:str}/alarms", Power.DECIDE)
async def end_alarms(request: Asking, form: Form) -> Response[bytes]:
    """End the alarms about a peer's log, once its team has explained them."""
    node, name = node_of(request), named(request, "name")
    reason = form.line("reason")
    if not form.ok:
        return await _shown(request, name, form)
    actor = signed_of(request).caller.user
    await doing(request, lambda: Watch(node).accept(name, actor, reason))
    return gone_to(request, f"/peers/{name}", "saved")


HANDLERS: tuple[Any, ...] = (
    peers,
    peer,
    new_peer,
    add_peer,
    change_peer,
    pause_peer,
    resume_peer,
    remove_peer,
    sync_peer,
    end_alarms,
)
