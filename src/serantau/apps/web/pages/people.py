"""People of this node: who may sign in, as what, and how to let somebody in or out."""

from __future__ import annotations

from typing import Any, Final

from litestar import Response

from serantau.apps.web.hall import Asking, hall_of
from serantau.apps.web.pages.asked import numbered
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
from serantau.desk.signin import INVITED_HOURS, Wish
from serantau.errors import Forbidden, NotFound, TheirError
from serantau.records import factors
from serantau.records.acts import decided
from serantau.records.database import Tx
from serantau.records.people import Account, account, accounts
from serantau.records.registry import OF_OTHERS
from serantau.rules.party import Kind
from serantau.rules.role import ROLES, Power

PEOPLE: Final = "/people"
_PAGE: Final = 50
_NAME: Final = 60


@page(PEOPLE, Power.ADMIN)
async def people(request: Asking) -> Response[bytes]:
    """List who may sign in."""
    after = request.query_params.get("after", "")[:_NAME]
    found = await reading(request, lambda tx: accounts(tx, after, _PAGE + 1))
    older = found[_PAGE - 1].name if len(found) > _PAGE else ""
    return await shown(
        request, "people.html", people=found[:_PAGE], older=older, after=after
    )


@page(f"{PEOPLE}/roles")
async def roles(request: Asking) -> Response[bytes]:
    """Show what each role may do."""
    return await shown(
        request, "roles.html", roles=list(ROLES.values()), powers=list(Power)
    )


@page(f"{PEOPLE}/invite", Power.ADMIN)
async def inviting(request: Asking) -> Response[bytes]:
    """Ask who is to be let in."""
    return await _inviting(request, Form())


async def _inviting(request: Asking, form: Form, status: int = 200) -> Response[bytes]:
    node = node_of(request)
    held = await reading(request, node.registry.parties)
    parties = sorted(
        name for name, (_, party) in held.items() if party.kind is not Kind.PUBLIC
    )
    return await shown(
        request,
        "people-invite.html",
        status=status,
        form=form,
        parties=[(name, name) for name in parties],
        own=node.audiences.own,
        roles=_offered(words_of(request)),
    )


def _offered(words: Any) -> list[tuple[str, str]]:
    return [(role.name, f"{role.name}: {words(role.says)}") for role in ROLES.values()]


@action(f"{PEOPLE}/invite", Power.ADMIN)
async def invite(request: Asking, form: Form) -> Response[bytes]:
    """Let somebody in: make the account and its link."""
    hall = hall_of(request)
    wish = Wish(
        name=form.line("name", most=_NAME),
        role=form.choice("role", list(ROLES)),
        party=form.line("party", needed=False),
        full_name=form.line("full_name", needed=False, most=200),
        case=form.line("case", needed=False),
        until=form.line("until", needed=False),
    )
    if not form.ok:
        return await _inviting(request, form, 422)
    try:
        link = await writing(request, lambda tx: hall.signin.invite(tx, wish))
    except TheirError as fault:
        form.fault(_field(wish, fault), str(fault))
        return await _inviting(request, form, 422)
    return await _linked(request, wish.name, link)


def _field(wish: Wish, fault: TheirError) -> str:
    """Give the field that a fault is about, as far as the words tell."""
    said = fault.message.lower()
    for field, marks in (
        ("until", ("until", "no day")),
        ("case", ("case",)),
        ("party", ("no party",)),
        ("role", ("may have the roles", "role ")),
    ):
        if any(mark in said for mark in marks):
            return field
    return "name"


async def _linked(request: Asking, name: str, link: str) -> Response[bytes]:
    return await shown(
        request, "people-link.html", name=name, link=link, hours=INVITED_HOURS
    )


def _held(tx: Tx, number: int) -> Account:
    found = account(tx, number)
    if found is None:
        raise NotFound("There is no such user.")
    return found


@page(f"{PEOPLE}/{{number:int}}", Power.ADMIN)
async def one(request: Asking) -> Response[bytes]:
    """Show one user."""
    return await _one(request, Form())


async def _one(request: Asking, form: Form, status: int = 200) -> Response[bytes]:
    number = numbered(request, "number")

    def work(tx: Tx) -> dict[str, Any]:
        held = _held(tx, number)
        return {
            "who": held,
            "sessions": hall_of(request).sessions.of(tx, number)[:_PAGE],
            "factors": factors.of(tx, number, *factors.SECOND, factors.OIDC),
        }

    found = await reading(request, work)
    who: Account = found["who"]
    offered = [
        each
        for each in _offered(words_of(request))
        if (who.kind == Kind.OWN or each[0] in OF_OTHERS)
        and not (ROLES[each[0]].scoped and not who.scope)
    ]
    return await shown(
        request,
        "person.html",
        status=status,
        form=form,
        roles=offered,
        mine=who.number == signed_of(request).user,
        **found,
    )


def _another(request: Asking, tx: Tx) -> Account:
    """Give whom a form is about, who is never the one that sends it.

    Raises:
        Forbidden: it is.
    """
    held = _held(tx, numbered(request, "number"))
    if held.number == signed_of(request).user:
        raise Forbidden("Nobody does this to themselves; another administrator does.")
    return held


@action(f"{PEOPLE}/{{number:int}}/role", Power.ADMIN)
async def changing_role(request: Asking, form: Form) -> Response[bytes]:
    """Give a user another role."""
    role = form.choice("role", list(ROLES))
    if not form.ok:
        return await _one(request, form, 422)

    def work(tx: Tx) -> int:
        held = _another(request, tx)
        if ROLES[role].scoped and not held.scope:
            raise Forbidden(
                "A guest is let into one case: invite it anew, with the case."
            )
        node_of(request).registry.set_user(tx, held.name, role=role)
        return held.number

    number = await writing(request, work)
    return gone_to(request, f"{PEOPLE}/{number}", "saved")


@action(f"{PEOPLE}/{{number:int}}/out", Power.ADMIN)
async def keeping_out(request: Asking, form: Form) -> Response[bytes]:
    """Keep a user out, or let it in again."""
    disabled = form.given("disabled") == "yes"

    def work(tx: Tx) -> int:
        held = _another(request, tx)
        node_of(request).registry.set_user(tx, held.name, disabled=disabled)
        return held.number

    number = await writing(request, work)
    return gone_to(request, f"{PEOPLE}/{number}", "kept-out" if disabled else "let-in")


@action(f"{PEOPLE}/{{number:int}}/link", Power.ADMIN)
async def making_link(request: Asking, form: Form) -> Response[bytes]:
    """Make a new link for a user."""
    drop = form.ticked("drop")

    def work(tx: Tx) -> tuple[str, str]:
        held = _another(request, tx)
        signin = hall_of(request).signin
        return held.name, signin.new_link(tx, held.name, drop_factors=drop)

    name, link = await writing(request, work)
    return await _linked(request, name, link)


@action(f"{PEOPLE}/{{number:int}}/sessions", Power.ADMIN)
async def ending(request: Asking, form: Form) -> Response[bytes]:
    """End all sessions of a user."""

    def work(tx: Tx) -> int:
        held = _held(tx, numbered(request, "number"))
        ended = hall_of(request).sessions.end(
            tx, held.number, but=signed_of(request).number
        )
        decided(tx, "ended sessions", held.name, before={"sessions": ended})
        return held.number

    number = await writing(request, work)
    return gone_to(request, f"{PEOPLE}/{number}", "sessions-ended")


HANDLERS = (
    people,
    roles,
    inviting,
    invite,
    one,
    changing_role,
    keeping_out,
    making_link,
    ending,
)
