"""Signing in at a provider: going there, and coming back."""

from __future__ import annotations

import hmac
from functools import partial
from typing import Final

from litestar import Response

from serantau.apps.web.hall import Asking, Lane, hall_of
from serantau.apps.web.pages.door import (
    SECOND,
    SIGN_IN,
    action,
    gone_to,
    maybe_signed,
    node_of,
    page,
    reading,
    shown,
    signed_of,
    way_back,
)
from serantau.apps.web.pages.form import Form
from serantau.apps.web.pages.me import is_fresh
from serantau.apps.web.pages.signin import (
    cookie,
    cookie_called,
    enter,
    place_of,
)
from serantau.desk.elsewhere import PURPOSE, Elsewhere
from serantau.desk.signin import INVITED_PATH
from serantau.errors import Forbidden
from serantau.records import factors

BACK: Final = f"{SIGN_IN}/oidc/back"
_LONGEST: Final = 4096


def _come_back(request: Asking) -> str:
    return f"{place_of(request).origin}{BACK}"


async def _going(
    request: Asking, back: str, user: int = 0, *, invited: bool = False
) -> Response[bytes]:
    hall = hall_of(request)
    hall.logins.begins(hall.address(request))
    begin = partial(
        Elsewhere(hall.node).begin, _come_back(request), back, user, invited=invited
    )
    address, state = await hall.run(Lane.SIDE, begin)
    config = hall.node.config.oidc
    # Not a redirection: a form of ours may lead to no other site (form-action).
    answer = await shown(
        request,
        "elsewhere.html",
        address=address,
        provider=config.title or config.issuer,
    )
    answer.set_cookie(cookie(request, PURPOSE, state))
    return answer


@action(f"{SIGN_IN}/oidc", open_to_all=True)
async def going(request: Asking, form: Form) -> Response[bytes]:
    """Send somebody to the provider to sign in."""
    return await _going(request, way_back(form.given("next") or "/"))


@action(f"{INVITED_PATH}/oidc", open_to_all=True)
async def going_invited(request: Asking, form: Form) -> Response[bytes]:
    """Send somebody to the provider who was invited, and has no password."""
    secret = form.given("t")[:100]
    who = await reading(request, lambda tx: hall_of(request).signin.invited(tx, secret))
    if who is None:
        return await shown(request, "invited-over.html", status=404)
    return await _going(request, "/me", who.user, invited=True)


@action(f"{SECOND}/oidc")
async def linking(request: Asking, form: Form) -> Response[bytes]:
    """Send who is signed in to the provider, to link the two."""
    if not is_fresh(request):
        raise Forbidden("Sign out, sign in again, and do this at once.")
    return await _going(request, SECOND, signed_of(request).user)


@page(BACK, open_to_all=True)
async def coming_back(request: Asking) -> Response[bytes]:
    """Let in who comes back from the provider, in the browser that went there."""
    hall, asked = hall_of(request), request.query_params
    state = asked.get("state", "")[:_LONGEST]
    held = str(request.cookies.get(cookie_called(request, PURPOSE), ""))
    desk = Elsewhere(node_of(request))
    if not held or not hmac.compare_digest(held.encode(), state.encode()):
        return gone_to(request, SIGN_IN, "too-late")
    begun = await hall.run(Lane.WRITE, partial(desk.begun, state))
    if begun is None:
        return gone_to(request, SIGN_IN, "too-late")
    signed = maybe_signed(request)
    if (
        begun.user
        and not begun.invited
        and (signed is None or signed.user != begun.user)
    ):
        raise Forbidden("Somebody else began this.")
    code = asked.get("code", "")[:_LONGEST]
    if not code:
        return gone_to(request, SIGN_IN, "not-there")
    finish = partial(desk.finish, begun, code, _come_back(request))
    known = await hall.run(Lane.SIDE, finish)
    if begun.user and not begun.invited:
        return gone_to(request, SECOND, "saved")
    return await enter(request, known.user, factors.OIDC, known.back, enough=True)


HANDLERS = (going, going_invited, linking, coming_back)
