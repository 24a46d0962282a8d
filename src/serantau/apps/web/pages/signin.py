"""Signing in and out."""

from __future__ import annotations

from functools import partial
from typing import Final

from litestar import Response
from litestar.datastructures import Cookie

from serantau.apps.web.auth import Credentials
from serantau.apps.web.hall import Asking, Lane, hall_of
from serantau.apps.web.pages.door import (
    SIGN_IN,
    action,
    cookie_name,
    gone_to,
    maybe_signed,
    page,
    secure,
    shown,
    signed_of,
    way_back,
    words_of,
    writing,
)
from serantau.apps.web.pages.form import Form
from serantau.errors import TooMany, Unauthenticated
from serantau.records.acts import By, act_as, decided
from serantau.records.database import Tx
from serantau.records.sessions import user_number

BY_PASSWORD: Final = "password"  # noqa: S105 - how, not which


@page(SIGN_IN, open_to_all=True)
async def sign_in(request: Asking) -> Response[bytes]:
    """Ask who it is."""
    back = way_back(request.query_params.get("next", "/"))
    if maybe_signed(request) is not None:
        return gone_to(request, back)
    return await shown(request, "sign-in.html", form=Form(), next=back)


@action(SIGN_IN, open_to_all=True)
async def signing_in(request: Asking, form: Form) -> Response[bytes]:
    """Open a session for who gave the right password."""
    hall, _ = hall_of(request), words_of(request)
    back = way_back(form.given("next") or "/")
    name = form.line("name")
    password = form.given("password")
    if not password:
        form.fault("password", _("This is needed."))
    if form.ok:
        credentials = Credentials(secret=password[:4096], name=name)
        check = partial(hall.logins.person, credentials, hall.address(request))
        try:
            caller = await hall.run(Lane.HASH, check)
        except TooMany as fault:
            minutes = -(-fault.wait // 60)
            said = _("Too many wrong tries. Try again in {minutes} minutes.")
            form.fault("name", said.format(minutes=minutes))
        except Unauthenticated:
            form.fault("password", _("The name or the password is not right."))
        else:
            act_as(By(caller.user, "page"))
            return await open_session(request, caller.user, BY_PASSWORD, back)
    return await shown(request, "sign-in.html", status=422, form=form, next=back)


async def open_session(
    request: Asking, user: str, ways: str, back: str
) -> Response[bytes]:
    """Sign a user in, and go on; `ways`: by what it was proven."""
    hall = hall_of(request)
    agent = request.headers.get("user-agent", "")
    address = hall.address(request)

    def work(tx: Tx) -> str:
        decided(tx, "signed in", user, after={"ways": ways})
        number = user_number(tx, user)
        return hall.sessions.open(tx, number, ways, address=address, agent=agent)

    secret = await writing(request, work)
    answer = gone_to(request, back)
    answer.set_cookie(_cookie(request, secret))
    return answer


def _cookie(request: Asking, secret: str) -> Cookie:
    node = hall_of(request).node
    return Cookie(
        key=cookie_name(node),
        value=secret,
        path="/",
        httponly=True,
        secure=secure(node),
        samesite="lax",
        max_age=None if secret else 0,
    )


@action("/sign-out")
async def signing_out(request: Asking, form: Form) -> Response[bytes]:
    """End this session."""
    signed = signed_of(request)

    def work(tx: Tx) -> None:
        decided(tx, "signed out", signed.caller.user)
        hall_of(request).sessions.end(tx, signed.user, number=signed.number)

    await writing(request, work)
    answer = gone_to(request, SIGN_IN, "signed-out")
    answer.set_cookie(_cookie(request, ""))
    return answer


HANDLERS = (sign_in, signing_in, signing_out)
