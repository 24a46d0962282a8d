"""Where somebody sets up what it shows beside the password, and takes it off."""

from __future__ import annotations

from typing import Any, Final

from litestar import Response

from serantau.apps.web.hall import Asking, hall_of
from serantau.apps.web.pages.door import (
    PROVEN,
    SECOND,
    action,
    gone_to,
    lacks_second,
    node_of,
    page,
    reading,
    shown,
    signed_of,
    words_of,
    writing,
)
from serantau.apps.web.pages.form import Form
from serantau.apps.web.pages.me import is_fresh, proven
from serantau.apps.web.pages.signin import place_of
from serantau.desk.passkeys import Passkeys
from serantau.desk.second import Second, picture
from serantau.errors import NotFound, TheirError
from serantau.records import factors
from serantau.records.database import Tx
from serantau.records.people import account
from serantau.records.sessions import Sessions

_LABEL: Final = 60


@page(SECOND)
async def second(request: Asking) -> Response[bytes]:
    """Show one's second factors."""
    return await _shown(request, Form())


async def _shown(request: Asking, form: Form, status: int = 200) -> Response[bytes]:
    signed, node = signed_of(request), node_of(request)
    oidc = node.config.oidc

    def work(tx: Tx) -> dict[str, Any]:
        held = account(tx, signed.user)
        desk = Second(node)
        return {
            "held": factors.of(tx, signed.user, *factors.SECOND, factors.OIDC),
            "second": bool(factors.of(tx, signed.user, *factors.SECOND)),
            "left": desk.codes_left(tx, signed.user),
            "pending": desk.pending(tx, signed.user, signed.caller.user),
            "ask": not is_fresh(request) and held is not None and held.password,
        }

    return await shown(
        request,
        "factor.html",
        status=status,
        form=form,
        must=lacks_second(node, signed),
        passkeys=place_of(request).usable,
        provider=(oidc.title or oidc.issuer) if oidc.issuer else "",
        **await reading(request, work),
    )


@action(f"{SECOND}/app")
async def beginning_app(request: Asking, form: Form) -> Response[bytes]:
    """Make a secret for an authenticator app."""
    signed, node = signed_of(request), node_of(request)
    if not await proven(request, form):
        return await _shown(request, form, 422)
    await writing(request, lambda tx: Second(node).begin(tx, signed.user))
    return gone_to(request, SECOND)


@page(f"{SECOND}/app.svg")
async def app_picture(request: Asking) -> Response[bytes]:
    """Draw what an authenticator app is told, as a QR code."""
    signed, node = signed_of(request), node_of(request)
    pending = await reading(
        request,
        lambda tx: Second(node).pending(tx, signed.user, signed.caller.user),
    )
    if pending is None:
        raise NotFound("No authenticator app is being set up.")
    return Response(picture(pending.address), media_type="image/svg+xml")


@action(f"{SECOND}/app/code")
async def confirming_app(request: Asking, form: Form) -> Response[bytes]:
    """Take the app when it shows the right code."""
    signed, node, hall = signed_of(request), node_of(request), hall_of(request)
    user, name = signed.user, signed.caller.user
    code = form.line("code", most=60)

    def work(tx: Tx) -> list[str] | None:
        desk = Second(node)
        done = hall.logins.check_second(
            name, hall.address(request), lambda: desk.confirm(tx, user, name, code)
        )
        return _kept(request, tx, factors.TOTP) if done else None

    codes = await writing(request, work) if form.ok else None
    if codes is None:
        form.fault("code", words_of(request)("This is not the code of now."))
        return await _shown(request, form, 422)
    return await _done(request, codes)


def _kept(request: Asking, tx: Tx, way: str) -> list[str]:
    """Note that a second factor was set up; gives new recovery codes, if due."""
    signed, desk = signed_of(request), Second(node_of(request))
    hall_of(request).sessions.end(tx, signed.user, but=signed.number)
    if not PROVEN & set(signed.ways.split("+")):
        Sessions.prove(tx, signed.number, f"{signed.ways}+{way}")
    if desk.codes_left(tx, signed.user):
        return []
    return desk.new_codes(tx, signed.user, signed.caller.user)


async def _done(request: Asking, codes: list[str]) -> Response[bytes]:
    if codes:
        return await shown(request, "codes.html", codes=codes)
    return gone_to(request, SECOND, "saved")


@action(f"{SECOND}/ask")
async def asking_new_passkey(request: Asking, form: Form) -> Response[bytes]:
    """Tell the browser how to make a passkey."""
    signed, node, place = signed_of(request), node_of(request), place_of(request)
    asked = await writing(
        request,
        lambda tx: Passkeys(node).ask_new(tx, place, signed.user, signed.caller.user),
    )
    return Response(asked.encode(), media_type="application/json")


@action(f"{SECOND}/passkey")
async def adding_passkey(request: Asking, form: Form) -> Response[bytes]:
    """Keep the passkey that the browser made."""
    signed, node, place = signed_of(request), node_of(request), place_of(request)
    label = form.line("label", needed=False, most=_LABEL)
    credential = form.given("credential")
    if not (await proven(request, form) and form.ok):
        return await _shown(request, form, 422)

    def work(tx: Tx) -> list[str]:
        Passkeys(node).add(
            tx, place, signed.user, signed.caller.user, label, credential
        )
        return _kept(request, tx, factors.PASSKEY)

    try:
        codes = await writing(request, work)
    except TheirError as fault:
        form.fault("label", str(fault))
        return await _shown(request, form, 422)
    return await _done(request, codes)


@action(f"{SECOND}/codes")
async def making_codes(request: Asking, form: Form) -> Response[bytes]:
    """Make new recovery codes in place of the old ones."""
    signed, node = signed_of(request), node_of(request)
    held = await reading(
        request, lambda tx: factors.of(tx, signed.user, *factors.SECOND)
    )
    if not held:
        raise NotFound("There is no second factor yet, so there is nothing to recover.")
    if not await proven(request, form):
        return await _shown(request, form, 422)
    codes = await writing(
        request, lambda tx: Second(node).new_codes(tx, signed.user, signed.caller.user)
    )
    return await _done(request, codes)


@action(f"{SECOND}/off")
async def taking_off(request: Asking, form: Form) -> Response[bytes]:
    """Take a second factor off."""
    signed, node = signed_of(request), node_of(request)
    number = form.whole("factor", 1, 2**53)
    if not (await proven(request, form) and form.ok):
        return await _shown(request, form, 422)

    def work(tx: Tx) -> None:
        Second(node).drop(tx, signed.user, signed.caller.user, number)
        hall_of(request).sessions.end(tx, signed.user, but=signed.number)

    await writing(request, work)
    return gone_to(request, SECOND, "saved")


HANDLERS = (
    second,
    beginning_app,
    app_picture,
    confirming_app,
    asking_new_passkey,
    adding_passkey,
    making_codes,
    taking_off,
)
