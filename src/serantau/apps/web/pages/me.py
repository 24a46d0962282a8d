"""Own account: how one reads pages, one's password, and where one is signed in."""

from __future__ import annotations

from functools import partial
from typing import Final

from litestar import Response

from serantau.apps.web.auth import Credentials
from serantau.apps.web.hall import Asking, Lane, hall_of
from serantau.apps.web.pages import reader
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
from serantau.apps.web.pages.invited import new_password
from serantau.apps.web.pages.signin import waits
from serantau.desk.signin import Invited, as_read
from serantau.errors import TooMany, Unauthenticated
from serantau.records import factors
from serantau.records.acts import decided
from serantau.records.database import Tx
from serantau.records.people import account
from serantau.records.sessions import person_of, put_person
from serantau.rules.role import ROLES, Power

ME: Final = "/me"
FRESH: Final = 600_000_000
"""Microseconds after which what is delicate asks for the password again."""
_LONGEST: Final = 4096
_MOST: Final = 100


@page(ME)
async def me(request: Asking) -> Response[bytes]:
    """Show one's own account."""
    return await _shown(request, Form())


async def _shown(request: Asking, form: Form, status: int = 200) -> Response[bytes]:
    signed = signed_of(request)

    def work(tx: Tx) -> dict[str, object]:
        held = account(tx, signed.user)
        return {
            "sessions": hall_of(request).sessions.of(tx, signed.user)[:_MOST],
            "seconds": factors.of(tx, signed.user, *factors.SECOND),
            "password": held is not None and held.password,
        }

    return await shown(
        request,
        "me.html",
        status=status,
        form=form,
        reads=signed.person,
        role=ROLES[signed.caller.role],
        people=signed.may(Power.ADMIN),
        **await reading(request, work),
        **reader.choices(words_of(request)),
    )


@action(ME)
async def changing_reader(request: Asking, form: Form) -> Response[bytes]:
    """Keep the language, zone and years that one wants."""
    signed, reads = signed_of(request), reader.read(form)
    if not form.ok:
        return await _shown(request, form, 422)

    def work(tx: Tx) -> None:
        person = as_read(person_of(tx, signed.user), reads)
        put_person(tx, signed.user, person)
        after = {"language": reads.language, "zone": reads.zone}
        decided(tx, "changed how it reads", signed.caller.user, after=after)

    await writing(request, work)
    return gone_to(request, ME, "saved")


@action(f"{ME}/password")
async def changing_password(request: Asking, form: Form) -> Response[bytes]:
    """Set a new password, when the old one is right. All other sessions end."""
    signed = signed_of(request)
    held = await reading(request, lambda tx: account(tx, signed.user))
    if held is not None and held.password:
        await check_password(request, form, "old")
    who = Invited(
        signed.user, signed.caller.user, "", signed.caller.role, signed.person, False
    )
    password = new_password(request, form, who)
    if not form.ok:
        return await _shown(request, form, 422)
    node = node_of(request)
    await writing(
        request,
        lambda tx: node.registry.set_user(
            tx, signed.caller.user, password=password, keep=signed.number
        ),
    )
    return gone_to(request, ME, "password-set")


async def proven(request: Asking, form: Form) -> bool:
    """Make sure, before what is delicate, that it is still the same person.

    Who signed in just now is; others give their password.
    """
    signed, _ = signed_of(request), words_of(request)
    if is_fresh(request):
        return True
    held = await reading(request, lambda tx: account(tx, signed.user))
    if held is None or not held.password:
        form.fault("old", _("Sign out, sign in again, and do this at once."))
        return False
    return await check_password(request, form, "old")


def is_fresh(request: Asking) -> bool:
    """Say whether somebody signed in just now."""
    return node_of(request).clock.now() - signed_of(request).created < FRESH


async def check_password(request: Asking, form: Form, field: str) -> bool:
    """Check one's own password, and note an error beside its field when it is wrong."""
    hall, _ = hall_of(request), words_of(request)
    secret = form.given(field)[:_LONGEST]
    if not secret:
        form.fault(field, _("This is needed."))
        return False
    credentials = Credentials(secret=secret, name=signed_of(request).caller.user)
    check = partial(hall.logins.person, credentials, hall.address(request))
    try:
        await hall.run(Lane.HASH, check)
    except TooMany as fault:
        form.fault(field, waits(request, fault))
        return False
    except Unauthenticated:
        form.fault(field, _("This is not your password."))
        return False
    return True


@action(f"{ME}/sessions")
async def ending_sessions(request: Asking, form: Form) -> Response[bytes]:
    """End one of one's other sessions, or all of them."""
    signed = signed_of(request)
    number = form.whole("session", 0, 2**53)
    if not form.ok:
        return await _shown(request, form, 422)

    def work(tx: Tx) -> None:
        ended = hall_of(request).sessions.end(
            tx, signed.user, number=number or None, but=signed.number
        )
        decided(tx, "ended sessions", signed.caller.user, before={"sessions": ended})

    await writing(request, work)
    return gone_to(request, ME, "sessions-ended")


HANDLERS = (me, changing_reader, changing_password, ending_sessions)
