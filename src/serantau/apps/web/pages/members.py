"""Parties, circles and the profile: who there is, and what each may have in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from litestar import Response

from serantau.apps.web.hall import Asking
from serantau.apps.web.pages.asked import named
from serantau.apps.web.pages.door import (
    action,
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
from serantau.desk.supposing import PartyChange, party_as
from serantau.errors import TheirError
from serantau.records.database import Tx
from serantau.records.peers import Peers
from serantau.rules.level import Tlp
from serantau.rules.party import NAME, Kind, Party
from serantau.rules.release import TABLE
from serantau.rules.role import Power

ADD: Final = "/members/_add"
"""No party's name begins so."""
_PAGE: Final = 200


def kind_names(words: Callable[[str], str]) -> dict[str, str]:
    """Give the kinds of parties, in words."""
    _ = words
    return {
        Kind.OWN: _("Ourselves"),
        Kind.MEMBER: _("Member"),
        Kind.COORDINATOR: _("Coordinator"),
        Kind.PARTNER: _("Partner"),
        Kind.OPERATOR: _("Operator"),
        Kind.PUBLIC: _("Public"),
    }


async def _shown(request: Asking, form: Form | None = None) -> Response[bytes]:
    node = node_of(request)
    decides = signed_of(request).may(Power.DECIDE)

    def work(tx: Tx) -> tuple[list[Party], list[Any], set[str]]:
        parties = [party for _, party in node.registry.parties(tx).values()]
        # Names of circles and who is in them are for those who decide it.
        circles = list(node.audiences.circles(tx).values()) if decides else []
        return parties, circles, {each.name for each in Peers().list(tx)}

    parties, circles, peers = await reading(request, work)
    order = list(Kind)
    parties.sort(key=lambda one: (order.index(one.kind), one.name))
    return await shown(
        request,
        "members.html",
        status=200 if form is None else 422,
        rows=parties[:_PAGE],
        total=len(parties),
        circles=sorted(circles, key=lambda one: one.name),
        peers=peers,
        kinds=kind_names(words_of(request)),
        now=node.clock.now(),
        form=form,
    )


@page("/members", Power.SEE)
async def members(request: Asking) -> Response[bytes]:
    """Show all parties, and to who decides the circles."""
    return await _shown(request)


@page("/members/_profile", Power.CASES)
async def profile(request: Asking) -> Response[bytes]:
    """Show the federation's profile as it stands, with source and date of each row."""
    return await shown(request, "profile.html", profile=node_of(request).profile)


async def _one(
    request: Asking, form: Form | None = None, failed: str = ""
) -> Response[bytes]:
    node, name = node_of(request), named(request, "name")

    def work(tx: Tx) -> tuple[Party, bool]:
        _, party = node.registry.party(tx, name)
        return party, any(each.name == name for each in Peers().list(tx))

    party, peer = await reading(request, work)
    ceilings = node.config.policy.ceilings
    return await shown(
        request,
        "member.html",
        status=200 if form is None else 422,
        party=party,
        peer=peer,
        kinds=kind_names(words_of(request)),
        reach=[(level, TABLE[party.kind][level].value) for level in Tlp],
        kind_ceiling=ceilings.get(party.kind, ""),
        listed=node.profile.member(name),
        own=name == node.audiences.own,
        now=node.clock.now(),
        form=form,
        failed=failed,
    )


@page("/members/{name:str}", Power.SEE)
async def member(request: Asking) -> Response[bytes]:
    """Show one party."""
    return await _one(request)


# Changing


@page(ADD, Power.DECIDE)
async def new_member(request: Asking) -> Response[bytes]:
    """Ask for a new party."""
    return await _asked(request, None)


async def _asked(request: Asking, form: Form | None) -> Response[bytes]:
    kinds = kind_names(words_of(request))
    return await shown(
        request,
        "member-new.html",
        status=200 if form is None else 422,
        kinds={kind: text for kind, text in kinds.items() if kind != Kind.OWN},
        levels=[level.label for level in Tlp],
        form=form,
    )


@action(ADD, Power.DECIDE)
async def add_member(request: Asking, form: Form) -> Response[bytes]:
    """Add a party: from then on it may have what its kind may have."""
    node, _ = node_of(request), words_of(request)
    name = form.line("name", most=63)
    if name and not NAME.fullmatch(name):
        form.fault("name", _("A name has small letters, digits and hyphens: th"))
    kind = form.choice("kind", [each for each in Kind if each is not Kind.OWN])
    title = form.line("title", needed=False, most=300)
    client = form.line("client_of", needed=False, most=63)
    ceiling = form.choice("ceiling", ["none", *(level.label for level in Tlp)])
    until = form.line("until", needed=False, most=30)
    reason = form.line("reason", needed=False)

    def work(tx: Tx) -> str:
        known = node.registry.parties(tx)
        if name in known:
            return _("There is a party of this name already.")
        if client and client not in known:
            form.fault("client_of", _("There is no such party."))
            return ""
        change = PartyChange(
            title=title, client_of=client, ceiling=ceiling, until=until or None
        )
        party = party_as(Party(name, Kind(kind)), change)
        node.registry.put_party(tx, party, reason)
        return ""

    if form.ok:
        try:
            if said := await writing(request, work):
                form.fault("name", said)
        except TheirError as fault:
            form.fault("until" if until else "name", str(fault))
    if not form.ok:
        return await _asked(request, form)
    return gone_to(request, f"/members/{name}", "party-added")


@action("/members/{name:str}/change", Power.DECIDE)
async def change_member(request: Asking, form: Form) -> Response[bytes]:
    """Change a party's title: what alters release goes by the simulation."""
    node, name = node_of(request), named(request, "name")
    title = form.line("title", needed=False, most=300)
    if not form.ok:
        return await _one(request, form, "change")

    def work(tx: Tx) -> None:
        _, held = node.registry.party(tx, name)
        node.registry.put_party(tx, replace(held, title=title))

    await writing(request, work)
    return gone_to(request, f"/members/{name}", "saved")


@action("/members/{name:str}/block", Power.DECIDE)
async def block_member(request: Asking, form: Form) -> Response[bytes]:
    """Give a party nothing any more, and take nothing from it, at once."""
    return await _block(request, form, blocked=True)


@action("/members/{name:str}/unblock", Power.DECIDE)
async def unblock_member(request: Asking, form: Form) -> Response[bytes]:
    """Lift a block: the party gets what it missed."""
    return await _block(request, form, blocked=False)


async def _block(request: Asking, form: Form, *, blocked: bool) -> Response[bytes]:
    node, name, _ = node_of(request), named(request, "name"), words_of(request)
    reason = form.line("reason")
    if not form.ticked("sure"):
        form.fault("sure", _("This is needed."))
    if name == node.audiences.own:
        form.fault("sure", _("The node's own party cannot be blocked."))
    if not form.ok:
        return await _one(request, form, "block")

    def work(tx: Tx) -> None:
        _, held = node.registry.party(tx, name)
        node.registry.put_party(tx, replace(held, blocked=blocked), reason)

    await writing(request, work)
    said = "party-blocked" if blocked else "party-unblocked"
    return gone_to(request, f"/members/{name}", said)


@action("/members/_drop-circle", Power.DECIDE)
async def drop_circle(request: Asking, form: Form) -> Response[bytes]:
    """Forget a circle: what was meant for it reaches nobody by it."""
    node, _ = node_of(request), words_of(request)
    circle, reason = form.line("circle", most=300), form.line("reason")
    if not form.ticked("sure"):
        form.fault("sure", _("This is needed."))
    if not form.ok:
        return await _shown(request, form)
    await writing(request, lambda tx: node.registry.drop_circle(tx, circle, reason))
    return gone_to(request, "/members", "circle-dropped")


HANDLERS: tuple[Any, ...] = (
    members,
    profile,
    member,
    new_member,
    add_member,
    change_member,
    block_member,
    unblock_member,
    drop_circle,
)
