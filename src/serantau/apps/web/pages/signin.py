"""Signing in and out. Who has a second factor is asked for it in a step of its own."""

from __future__ import annotations

from functools import partial
from typing import Final

from litestar import Response
from litestar.datastructures import Cookie

from serantau.apps.web.auth import Credentials
from serantau.apps.web.hall import Asking, Lane, hall_of
from serantau.apps.web.pages.door import (
    SIGN_IN,
    SIGN_OUT,
    action,
    cookie_name,
    gone_to,
    maybe_signed,
    node_of,
    page,
    secure,
    shown,
    signed_of,
    way_back,
    words_of,
    writing,
)
from serantau.apps.web.pages.form import Form
from serantau.desk.passkeys import Passkeys, Place
from serantau.errors import TooMany, Unauthenticated
from serantau.records import factors
from serantau.records.acts import By, act_as, decided
from serantau.records.database import Tx
from serantau.records.sessions import Sessions, user_number

BY_PASSWORD: Final = "password"  # noqa: S105 - how, not which
HALF: Final = "half"
HALF_SECONDS: Final = 300
SECOND_STEP: Final = f"{SIGN_IN}/second"
_LONGEST: Final = 4096


@page(SIGN_IN, open_to_all=True)
async def sign_in(request: Asking) -> Response[bytes]:
    """Ask who it is."""
    back = way_back(request.query_params.get("next", "/"))
    if maybe_signed(request) is not None:
        return gone_to(request, back)
    return await asking(request, Form(), back)


async def asking(
    request: Asking, form: Form, back: str, *, status: int = 200
) -> Response[bytes]:
    """Show the form of signing in."""
    oidc = node_of(request).config.oidc
    return await shown(
        request,
        "sign-in.html",
        status=status,
        form=form,
        next=back,
        provider=(oidc.title or oidc.issuer) if oidc.issuer else "",
        passkeys=place_of(request).usable,
    )


@action(SIGN_IN, open_to_all=True)
async def signing_in(request: Asking, form: Form) -> Response[bytes]:
    """Go on with who gave the right password."""
    hall, _ = hall_of(request), words_of(request)
    back = way_back(form.given("next") or "/")
    name = form.line("name")
    password = form.given("password")
    if not password:
        form.fault("password", _("This is needed."))
    if form.ok:
        credentials = Credentials(secret=password[:_LONGEST], name=name)
        check = partial(hall.logins.person, credentials, hall.address(request))
        try:
            caller = await hall.run(Lane.HASH, check)
        except TooMany as fault:
            form.fault("name", waits(request, fault))
        except Unauthenticated:
            form.fault("password", _("The name or the password is not right."))
        else:
            return await enter(request, caller.user, BY_PASSWORD, back)
    return await asking(request, form, back, status=422)


def waits(request: Asking, fault: TooMany) -> str:
    """Say how long somebody who was wrong too often waits."""
    said = words_of(request)("Too many wrong tries. Try again in {minutes} minutes.")
    return said.format(minutes=-(-fault.wait // 60))


def place_of(request: Asking) -> Place:
    """Give where passkeys are for."""
    return Passkeys(node_of(request)).place(request.headers.get("host", ""))


async def enter(
    request: Asking, user: str, ways: str, back: str, *, enough: bool = False
) -> Response[bytes]:
    """Let a user in who has proven itself, or ask for its second factor.

    Args:
        request: whose it is.
        user: the account's name.
        ways: by what it was proven.
        back: where to go then.
        enough: no second factor is asked for.

    Raises:
        Forbidden: the user is kept out, or its last day has come.
    """
    hall, before = hall_of(request), maybe_signed(request)
    agent = request.headers.get("user-agent", "")
    address = hall.address(request)
    act_as(By(user, "page"))

    def work(tx: Tx) -> tuple[str, bool]:
        hall.signin.refuse_outsider(tx, user)
        number = user_number(tx, user)
        if not enough and factors.of(tx, number, *factors.SECOND):
            body = {"ways": ways, "next": back}
            return Sessions.issue(tx, HALF, number, HALF_SECONDS, body), False
        decided(tx, "signed in", user, after={"ways": ways})
        if before is not None:
            # This browser's other session: nobody could end it there any more.
            hall.sessions.end(tx, before.user, number=before.number)
        opened = hall.sessions.open(tx, number, ways, address=address, agent=agent)
        return opened, True

    secret, done = await writing(request, work)
    if not done:
        answer = gone_to(request, SECOND_STEP)
        answer.set_cookie(cookie(request, HALF, secret))
        return answer
    answer = gone_to(request, back)
    answer.set_cookie(cookie(request, "", secret))
    answer.set_cookie(cookie(request, HALF, ""))
    return answer


def cookie(request: Asking, which: str, value: str) -> Cookie:
    """Give a cookie of this node; without a value, what takes it away.

    Args:
        request: the browser's.
        which: empty for the session's.
        value: the secret.
    """
    node = node_of(request)
    return Cookie(
        key=cookie_called(request, which),
        value=value,
        path="/",
        httponly=True,
        secure=secure(node),
        samesite="lax",
        max_age=None if value else 0,
    )


def cookie_called(request: Asking, which: str) -> str:
    """Give the name of a cookie of this node."""
    name = cookie_name(node_of(request))
    return f"{name}-{which}" if which else name


@action(SIGN_OUT)
async def signing_out(request: Asking, form: Form) -> Response[bytes]:
    """End this session."""
    signed = signed_of(request)

    def work(tx: Tx) -> None:
        decided(tx, "signed out", signed.caller.user)
        hall_of(request).sessions.end(tx, signed.user, number=signed.number)

    await writing(request, work)
    answer = gone_to(request, SIGN_IN, "signed-out")
    answer.set_cookie(cookie(request, "", ""))
    return answer


HANDLERS = (sign_in, signing_in, signing_out)
