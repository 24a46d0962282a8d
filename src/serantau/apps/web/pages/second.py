"""The second step of signing in, and passkeys that need no first one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from litestar import Response

from serantau.apps.web.auth import note_refused
from serantau.apps.web.hall import Asking, hall_of
from serantau.apps.web.pages.door import (
    SIGN_IN,
    action,
    gone_to,
    node_of,
    page,
    reading,
    shown,
    way_back,
    words_of,
    writing,
)
from serantau.apps.web.pages.form import Form
from serantau.apps.web.pages.signin import (
    HALF,
    SECOND_STEP,
    asking,
    cookie_called,
    enter,
    place_of,
    waits,
)
from serantau.desk.passkeys import Passkeys
from serantau.desk.second import Second
from serantau.errors import TooMany
from serantau.records import factors
from serantau.records.database import Tx
from serantau.records.people import account
from serantau.records.sessions import Sessions, Ticket


@dataclass(frozen=True, slots=True)
class Half:
    """A sign-in of which the first step is done."""

    user: int
    name: str
    ways: str
    back: str


def _half(tx: Tx, ticket: Ticket | None) -> Half | None:
    held = None if ticket is None else account(tx, ticket.user)
    if ticket is None or held is None:
        return None
    return Half(held.number, held.name, ticket.says["ways"], ticket.says["next"])


def _secret(request: Asking) -> str:
    return str(request.cookies.get(cookie_called(request, HALF), ""))


async def _asked(request: Asking) -> Half | None:
    return await reading(
        request, lambda tx: _half(tx, Sessions.look(tx, HALF, _secret(request)))
    )


@page(SECOND_STEP, open_to_all=True)
async def second_step(request: Asking) -> Response[bytes]:
    """Ask for the second factor."""
    half = await _asked(request)
    if half is None:
        return gone_to(request, SIGN_IN)
    return await _asking(request, half, Form())


async def _asking(
    request: Asking, half: Half, form: Form, status: int = 200
) -> Response[bytes]:
    held = await reading(request, lambda tx: factors.of(tx, half.user))
    kinds = {each.kind for each in held}
    return await shown(
        request,
        "second.html",
        status=status,
        form=form,
        app=factors.TOTP in kinds,
        passkey=factors.PASSKEY in kinds and place_of(request).usable,
    )


@action(SECOND_STEP, open_to_all=True)
async def showing_code(request: Asking, form: Form) -> Response[bytes]:
    """Check a code of an app, or a recovery code."""
    code = form.line("code", most=60)
    return await _checked(
        request,
        form,
        "code",
        lambda tx, half: (
            Second(node_of(request)).prove(tx, half.user, half.name, code)
            if code
            else ""
        ),
    )


@action(f"{SECOND_STEP}/passkey", open_to_all=True)
async def showing_second_passkey(request: Asking, form: Form) -> Response[bytes]:
    """Check a passkey as the second step."""
    shown_, place = form.given("credential"), place_of(request)

    def prove(tx: Tx, half: Half) -> str:
        held = Passkeys(node_of(request)).prove(tx, place, shown_, half.user)
        return factors.PASSKEY if held else ""

    return await _checked(request, form, "code", prove)


async def _checked(
    request: Asking, form: Form, field: str, prove: Callable[[Tx, Half], str]
) -> Response[bytes]:
    hall, secret, _ = hall_of(request), _secret(request), words_of(request)
    half = await _asked(request)
    if half is None:
        return gone_to(request, SIGN_IN, "too-late")

    def work(tx: Tx) -> str:
        now = _half(tx, Sessions.look(tx, HALF, secret))
        if now is None:
            return ""
        way = hall.logins.check_second(
            now.name, hall.address(request), lambda: prove(tx, now)
        )
        if way:
            Sessions.redeem(tx, HALF, secret)
        return way

    if form.ok:
        try:
            way = await writing(request, work)
        except TooMany as fault:
            form.fault(field, waits(request, fault))
        else:
            if way:
                ways = f"{half.ways}+{way}"
                return await enter(request, half.name, ways, half.back, enough=True)
            form.fault(field, _("This is not right, or it was used before."))
    return await _asking(request, half, form, 422)


@action(f"{SECOND_STEP}/ask", open_to_all=True)
async def asking_second_passkey(request: Asking, form: Form) -> Response[bytes]:
    """Tell the browser what to ask a passkey, as the second step."""
    half = await _asked(request)
    if half is None:
        return gone_to(request, SIGN_IN, "too-late")
    place = place_of(request)
    hall_of(request).logins.begins(hall_of(request).address(request))
    asked = await writing(
        request, lambda tx: Passkeys(node_of(request)).ask(tx, place, half.user)
    )
    return Response(asked.encode(), media_type="application/json")


@action(f"{SIGN_IN}/ask", open_to_all=True)
async def asking_passkey(request: Asking, form: Form) -> Response[bytes]:
    """Tell the browser what to ask a passkey that signs in alone."""
    place = place_of(request)
    hall_of(request).logins.begins(hall_of(request).address(request))
    asked = await writing(request, lambda tx: Passkeys(node_of(request)).ask(tx, place))
    return Response(asked.encode(), media_type="application/json")


@action(f"{SIGN_IN}/passkey", open_to_all=True)
async def showing_passkey(request: Asking, form: Form) -> Response[bytes]:
    """Sign in whose passkey it is."""
    shown_, place = form.given("credential"), place_of(request)
    back = way_back(form.given("next") or "/")

    def work(tx: Tx) -> str:
        user = Passkeys(node_of(request)).prove(tx, place, shown_)
        held = account(tx, user)
        return held.name if held else ""

    name = await writing(request, work)
    if name:
        return await enter(request, name, factors.PASSKEY, back, enough=True)
    note_refused(factors.PASSKEY, hall_of(request).address(request))
    form.fault("name", words_of(request)("This passkey does not sign in here."))
    return await asking(request, form, back, status=422)


HANDLERS = (
    second_step,
    showing_code,
    showing_second_passkey,
    asking_second_passkey,
    asking_passkey,
    showing_passkey,
)
