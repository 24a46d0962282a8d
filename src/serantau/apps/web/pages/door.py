"""Who may see and do what at the pages, and how a page is answered.

Each page names the one power that it takes (`rules.role`). Who is asking is settled by
a cookie before anything else of a request is read. What changes something is a POST of
a form with a token that only this node's own pages have.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlsplit
from zoneinfo import ZoneInfo

from litestar import Response, get, post
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler

from serantau.apps.web.auth import network_of
from serantau.apps.web.hall import Asking, Lane, hall_of
from serantau.apps.web.logs import logger
from serantau.apps.web.pages import view
from serantau.apps.web.pages.form import CSRF, Form
from serantau.apps.web.pages.place import places_of
from serantau.errors import Forbidden, SerantauError, Unauthenticated
from serantau.node import Node
from serantau.records.acts import By, act_as
from serantau.records.database import Tx
from serantau.records.sessions import Person, Signed
from serantau.rules.realm import LIVE
from serantau.rules.role import ROLES, Power

T = TypeVar("T")
Connection = ASGIConnection[Any, Any, Any, Any]

WAY: Final = "page"
"""How acts by pages are called in the audit."""
SIGN_IN: Final = "/sign-in"
SIGN_OUT: Final = "/sign-out"
SECOND: Final = "/me/second"
"""Where second factors are set up."""
PROVEN: Final = frozenset({"totp", "recovery", "passkey", "oidc"})
"""Ways of signing in that are more than a password; a provider asks on its own."""
FORM_BYTES: Final = 1_000_000
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final[Mapping[str, str]] = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": (
        "camera=(), geolocation=(), microphone=(), payment=(), usb=(), "
        "publickey-credentials-get=(self), publickey-credentials-create=(self)"
    ),
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
}
_SIGNED: Final = "serantau_signed"
_COOKIE_TEXT: Final = "serantau_cookie"
_COOKIE: Final = "serantau"
_MASK: Final = 16
_touching: set[asyncio.Task[None]] = set()


class SignInNeeded(Unauthenticated):
    """Sign in to see this."""


class SecondNeeded(Forbidden):
    """Set up a second factor first: this node asks everyone for one."""


# Who is asking


def cookie_name(node: Node) -> str:
    """Give the cookie's name: over TLS with the prefix that binds it to the host."""
    return f"__Host-{_COOKIE}" if secure(node) else _COOKIE


def secure(node: Node) -> bool:
    """Say whether browsers reach the node over TLS, its own or a proxy's."""
    http = node.config.http
    return bool(http.certificate) or http.base_url.startswith("https:")


async def _guard(connection: Connection, handler: BaseRouteHandler) -> None:
    """Let in who may see this page or do this.

    Raises:
        SignInNeeded: nobody is signed in.
        SecondNeeded: a second factor has to be set up before this.
        Forbidden: this role may not, or another site's page asks.
        TooMany: this session or network asks too fast.
    """
    request: Any = connection
    scope: Any = connection.scope
    power: Power | None = handler.opt["power"]
    hall = hall_of(request)
    if scope["method"] != "GET":
        own_site(request)
    secret = request.cookies.get(cookie_name(hall.node), "")
    signed = None
    if secret:

        def find() -> Signed | None:
            with hall.node.db.read() as tx:
                return hall.sessions.find(tx, secret)

        signed = await hall.run(Lane.DESK, find)
    scope[_SIGNED], scope[_COOKIE_TEXT] = signed, secret if signed else ""
    hall.pace.take(signed.number if signed else network_of(hall.address(request)))
    if signed is not None:
        act_as(By(signed.caller.user, WAY))
        if signed.stale:
            _touch(request, signed.number)
    if handler.opt["open"]:
        return
    if signed is None:
        raise SignInNeeded
    if not scope["path"].startswith((SECOND, SIGN_OUT)) and lacks_second(
        hall.node, signed
    ):
        raise SecondNeeded
    if power is not None and not signed.may(power):
        _note(request, f"needs {power.value}")
        who = ", ".join(name for name, role in ROLES.items() if power in role.powers)
        raise Forbidden(
            f"You have the role {signed.caller.role}; this page is for: {who}."
        )


def _touch(request: Asking, number: int) -> None:
    """Note beside the answer that a session is in use: a writer may be busy."""
    hall = hall_of(request)

    def work() -> None:
        with hall.node.db.write() as tx:
            hall.sessions.touch(tx, number)

    async def quietly() -> None:
        try:
            await hall.run(Lane.WRITE, work)
        except (SerantauError, RuntimeError):
            return  # the next request tries again

    task = asyncio.create_task(quietly())
    _touching.add(task)
    task.add_done_callback(_touching.discard)


def _note(request: Asking, why: str) -> None:
    """Tell the log that somebody who is signed in was refused: who, where, and why."""
    logger(__name__).warning(
        "page_refused",
        user=signed_of(request).caller.user,
        method=request.scope["method"],
        path=request.scope["path"],
        why=why,
    )


def lacks_second(node: Node, signed: Signed) -> bool:
    """Say whether somebody has to set up a second factor before anything else."""
    ways = set(signed.ways.split("+"))
    return node.config.http.second_factor == "needed" and not ways & PROVEN


def own_site(request: Asking) -> None:
    """Make sure that a form comes from this node's own page.

    Raises:
        Forbidden: it comes from another site, or does not say where from.
    """
    headers = request.headers
    site = headers.get("sec-fetch-site")
    origin = headers.get("origin")
    if origin is not None and origin != "null":
        if urlsplit(origin).netloc.lower() == headers.get("host", "").lower():
            return
    elif site == "same-origin":
        return
    raise Forbidden("A page of another site may not change anything here.")


def signed_of(request: Asking) -> Signed:
    """Give who is signed in.

    Raises:
        SignInNeeded: nobody is.
    """
    found = maybe_signed(request)
    if found is None:
        raise SignInNeeded
    return found


def maybe_signed(request: Asking) -> Signed | None:
    """Give who is signed in, None for nobody."""
    scope: Any = request.scope
    found: Signed | None = scope.get(_SIGNED)
    return found


def node_of(request: Asking) -> Node:
    """Give the node that was asked."""
    return hall_of(request).node


# Pages and actions


def page(
    path: str | list[str], power: Power | None = None, *, open_to_all: bool = False
) -> Callable[[Callable[[Asking], Awaitable[Any]]], HTTPRouteHandler]:
    """Make a function a page: it is read, and changes nothing.

    Args:
        path: where; several for one page.
        power: what it takes; anyone who is signed in when left out.
        open_to_all: nobody needs to be signed in.
    """

    def made(work: Callable[[Asking], Awaitable[Any]]) -> HTTPRouteHandler:
        async def handle(request: Asking) -> Response[Any]:
            found: Response[Any] = await work(request)
            return found

        handle.__doc__, handle.__module__ = work.__doc__, work.__module__
        handle.__name__ = handle.__qualname__ = work.__name__
        return get(
            path,
            guards=[_guard],
            opt={"power": power, "open": open_to_all},
            include_in_schema=False,
        )(handle)

    return made


def action(
    path: str,
    power: Power | None = None,
    *,
    open_to_all: bool = False,
    limit: int = FORM_BYTES,
) -> Callable[[Callable[[Asking, Form], Awaitable[Any]]], HTTPRouteHandler]:
    """Make a function what a form does. Its token is checked before the function runs.

    Args:
        path: where.
        power: what it takes; anyone who is signed in when left out.
        open_to_all: nobody needs to be signed in.
        limit: bytes of the form.
    """

    def made(work: Callable[[Asking, Form], Awaitable[Any]]) -> HTTPRouteHandler:
        async def handle(request: Asking) -> Response[Any]:
            form = Form((await request.form()).multi_items(), words_of(request))
            _check_token(request, form)
            found: Response[Any] = await work(request, form)
            return found

        handle.__doc__, handle.__module__ = work.__doc__, work.__module__
        handle.__name__ = handle.__qualname__ = work.__name__
        return post(
            path,
            guards=[_guard],
            opt={"power": power, "open": open_to_all},
            status_code=200,
            request_max_body_size=limit,
            include_in_schema=False,
        )(handle)

    return made


async def reading(request: Asking, work: Callable[[Tx], T]) -> T:
    """Do something with a read transaction, where no peer's page waits for it."""

    def within() -> T:
        with node_of(request).db.read() as tx:
            return work(tx)

    return await hall_of(request).run(Lane.DESK, within)


async def doing(request: Asking, work: Callable[[], T]) -> T:
    """Do blocking work that opens its own transactions: a verb of the desk."""
    return await hall_of(request).run(Lane.DESK, work)


async def writing(request: Asking, work: Callable[[Tx], T]) -> T:
    """Do something with a write transaction."""

    def within() -> T:
        with node_of(request).db.write() as tx:
            return work(tx)

    return await hall_of(request).run(Lane.WRITE, within)


# Tokens of forms


def _check_token(request: Asking, form: Form) -> None:
    scope: Any = request.scope
    secret: str = scope[_COOKIE_TEXT]
    if not secret:
        return  # nobody's: there is nothing that another site could make use of
    given = form.given(CSRF) or request.headers.get("x-csrf-token", "")
    if not _token_holds(secret, given):
        _note(request, "form without its token")
        raise Forbidden(
            "This form is from before you signed in last.",
            mend="Nothing was changed. Load the page again, and send it once more.",
        )


def _plain_token(secret: str) -> bytes:
    return hashlib.sha256(f"csrf:{secret}".encode()).digest()[:_MASK]


def form_token(request: Asking) -> str:
    """Give the token for the forms of one answer, another text each time.

    Answers are packed, and what is packed with a text that a stranger chose tells
    letters of a secret that stays the same (BREACH).
    """
    scope: Any = request.scope
    secret: str = scope.get(_COOKIE_TEXT, "")
    if not secret:
        return ""
    mask = secrets.token_bytes(_MASK)
    masked = bytes(a ^ b for a, b in zip(mask, _plain_token(secret), strict=True))
    return (mask + masked).hex()


def _token_holds(secret: str, given: str) -> bool:
    try:
        raw = bytes.fromhex(given)
    except ValueError:
        return False
    if len(raw) != 2 * _MASK:
        return False
    plain = bytes(a ^ b for a, b in zip(raw[:_MASK], raw[_MASK:], strict=True))
    return hmac.compare_digest(plain, _plain_token(secret))


# Answers


def language_of(request: Asking) -> str:
    """Give the reader's language."""
    signed = maybe_signed(request)
    wished = signed.person.language if signed else ""
    return view.language_of(wished, request.headers.get("accept-language", ""))


def reader_zone(request: Asking) -> ZoneInfo:
    """Give the reader's zone; UTC for nobody's."""
    signed = maybe_signed(request)
    return view.zone_of(signed.person.zone if signed else "")


def wants_part(request: Asking) -> bool:
    """Say whether htmx asks, for a part of a page that is shown already."""
    return request.headers.get("hx-request") == "true"


def words_of(request: Asking) -> Callable[[str], str]:
    """Give what says a text in the reader's language."""
    return view.words(language_of(request)).gettext


async def shown(
    request: Asking, template: str, *, status: int = 200, **values: Any
) -> Response[bytes]:
    """Answer with a page.

    Templates have, beside `values`: signed (None for nobody), may (a power's name ->
    bool), places (of the navigation), here (the path), token (for forms), member, team,
    realm (empty for the live one), zone, calendar, never (the word), said (what was
    just done, a key of `done.html`, empty for nothing), partial (htmx asks for it).
    """
    hall = hall_of(request)
    body = await hall.run(
        Lane.DESK, partial(_render, request, template, {"status": status, **values})
    )
    accepts = request.headers.get("accept-encoding", "")
    packed, headers = await hall.packed(accepts, body)
    headers["Vary"] = "Accept-Encoding, Accept-Language, Cookie, HX-Request"
    return Response(
        packed,
        status_code=status,
        media_type="text/html",
        headers={**HEADERS, **headers},
    )


def faulty(
    request: Asking,
    status: int,
    title: str,
    text: str,
    request_id: str,
    headers: Mapping[str, str],
) -> Response[bytes]:
    """Answer with a page that says what went wrong, and whether anything was done."""
    values = {
        "status": status,
        "title": title.rstrip("."),
        "text": text,
        "request_id": request_id,
        "safe": request.scope["method"] == "GET" or status < 500,
    }
    return Response(
        _render(request, "fault.html", values),
        status_code=status,
        media_type="text/html",
        headers={**HEADERS, **headers},
    )


def _render(request: Asking, template: str, values: Mapping[str, Any]) -> bytes:
    config = node_of(request).config.node
    signed = maybe_signed(request)
    person = signed.person if signed else Person()
    language = language_of(request)
    powers = signed.powers if signed else frozenset()
    text = view.render(
        template,
        language,
        {
            "signed": signed,
            "may": {power.value: power in powers for power in Power},
            "places": places_of(powers),
            "here": request.scope["path"],
            "token": form_token(request),
            "member": config.member,
            "team": config.team or config.member,
            "realm": "" if config.realm == LIVE else config.realm,
            "zone": reader_zone(request),
            "calendar": person.calendar,
            "never": view.words(language).gettext("never"),
            "said": request.query_params.get("said", "")[:40],
            "partial": wants_part(request),
            **values,
        },
    )
    return text.encode()


def as_file(body: bytes, name: str, media: str) -> Response[bytes]:
    """Answer with a file that a browser keeps and never renders."""
    return Response(body, media_type=media, headers=file_headers(name))


def file_headers(name: str) -> dict[str, str]:
    """Give the headers of a file that a browser keeps; anyone may have named it."""
    plain = "".join(
        c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name
    )
    return {
        **HEADERS,
        "content-disposition": f'attachment; filename="{plain[-100:] or "file"}"; '
        f"filename*=UTF-8''{quote(name[-100:], safe='')}",
        "content-security-policy": "default-src 'none'; sandbox",
    }


def gone_to(request: Asking, path: str, said: str = "") -> Response[bytes]:
    """Answer a form that did what it should: the browser goes on to a page.

    Args:
        request: the form's.
        path: where to; of this node.
        said: what was done, a key of `done.html`.
    """
    if said:
        path += f"{'&' if '?' in path else '?'}said={said}"
    if wants_part(request):
        return Response(b"", status_code=200, headers={"HX-Redirect": path})
    return Response(b"", status_code=303, headers={"Location": path})


def to_sign_in(request: Asking) -> Response[bytes]:
    """Send somebody who is not signed in to where that is done, and then back."""
    scope = request.scope
    back = ""
    if scope["method"] == "GET" and not wants_part(request):
        asked = scope["path"]
        if scope["query_string"]:
            asked += "?" + scope["query_string"].decode("latin-1")
        back = f"?next={quote(asked, safe='')}"
    return gone_to(request, f"{SIGN_IN}{back}")


def way_back(asked: str) -> str:
    """Give where to go after signing in: a path of this node, whatever was asked."""
    parts = urlsplit(asked)
    plain = asked.isprintable() and "\\" not in asked
    own = asked.startswith("/") and not asked.startswith("//")
    return asked if plain and own and not (parts.scheme or parts.netloc) else "/"
