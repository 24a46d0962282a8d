"""Who may do what over the API, and what every verb of it has in common.

Who is calling and whether it may is settled before anything else of a request is read,
a parameter or a body. The credentials are Basic or bearer, never a cookie.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from litestar import delete, get, post, put
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec

from serantau.apps.web.api.fault import Failed
from serantau.apps.web.hall import Asking, Lane, hall_of
from serantau.apps.web.logs import logger
from serantau.errors import BadRequest, Forbidden, UnsupportedMedia
from serantau.node import Node
from serantau.records.acts import By, act_as
from serantau.records.database import Tx
from serantau.records.registry import Caller
from serantau.rules.role import reaches

T = TypeVar("T")
Connection = ASGIConnection[Any, Any, Any, Any]

ROOT: Final = "/api/v1"
ANYONE: Final = "anyone"
# What one body of JSON may be; objects come in by `load`, which has limits of its own.
BODY_BYTES: Final = 1_000_000
_CALLER: Final = "serantau_caller"
_CHANGES: Final = frozenset({"POST", "PUT", "DELETE"})

# Verb -> the least role of the node's own people that it takes. `anyone` is whoever can
# log in, of any party: only what is their own. docs/api.md shows the same.
LEAST_ROLE: Final = MappingProxyType(
    {
        "me": ANYONE,
        "my-releases": ANYONE,
        "status": "reader",
        "show": "reader",
        "search": "reader",
        "load": "writer",
        "add-events": "writer",
        "batches": "reader",
        "batch": "reader",
        "lane": "reader",
        "share-preview": "reader",
        "releases": "reader",
        "release": "reader",
        "recalls": "reader",
        "recall": "reader",
        "make-recall": "writer",
        "keep-object": "writer",
        "let-object-go": "writer",
        "note-answer": "writer",
        "peers": "reader",
        "peer": "reader",
        "put-peer": "admin",
        "remove-peer": "admin",
        "sync-peer": "writer",
        "parties": "reader",
        "put-party": "admin",
        "block-party": "admin",
        "unblock-party": "admin",
        "circles": "reader",
        "put-circle": "admin",
        "drop-circle": "admin",
        "collections": "reader",
        "put-collection": "admin",
        "quarantine": "reader",
        "quarantined": "reader",
        "retry-quarantined": "writer",
        "drop-quarantined": "writer",
        "users": "admin",
        "add-user": "admin",
        "set-password": "admin",
        "disable-user": "admin",
        "enable-user": "admin",
        "add-token": "admin",
        "drop-tokens": "admin",
    }
)
_METHODS: Final = {"GET": get, "POST": post, "PUT": put, "DELETE": delete}
_REFUSALS: Final = {
    400: "A parameter or the body is malformed.",
    401: "Who is asking is not known.",
    403: "This caller may not do that.",
    429: "Too many attempts: wait before the next.",
    500: "Something went wrong inside the node.",
    503: "The database could not do what was asked.",
}
_MORE: Final = {
    404: "There is nothing here by that name.",
    409: "What is asked contradicts what is already here.",
    413: "The input passes a limit of this node.",
    415: "The content type is not one that this place reads.",
    422: "The input cannot be read.",
}


def verb(
    method: str,
    path: str,
    name: str,
    *also: int,
    status: int = 200,
    reads: tuple[str, ...] = ("application/json",),
    **settings: Any,
) -> Callable[[Callable[..., Any]], HTTPRouteHandler]:
    """Make a function the handler of one verb.

    Args:
        method: GET, POST, PUT or DELETE.
        path: below ROOT.
        name: the verb, a key of LEAST_ROLE; the description calls the operation so.
        also: statuses it may refuse with beside those that every verb may.
        status: the status when it did what was asked.
        reads: the media types that a body may have.
        settings: more for Litestar.
    """
    refusals = dict(_REFUSALS)
    if method in {"POST", "PUT"}:
        also = (*also, 413, 415)
    refusals.update({each: _MORE[each] for each in sorted(also)})

    def made(work: Callable[..., Any]) -> HTTPRouteHandler:
        said = (inspect.getdoc(work) or "").partition("\n\n")
        role = LEAST_ROLE[name]
        who = "Anyone who can log in." if role == ANYONE else f"Least role: {role}."
        handler: HTTPRouteHandler = _METHODS[method](
            path,
            operation_id=name,
            summary=said[0],
            description=f"{said[2]}\n\n{who}".strip(),
            tags=[work.__module__.rpartition(".")[2]],
            opt={"verb": name, "reads": reads},
            guards=[_guard],
            status_code=status,
            request_max_body_size=BODY_BYTES,
            response_description="Done." if status == 204 else "As asked.",
            responses={
                code: ResponseSpec(Failed, description=text, generate_examples=False)
                for code, text in refusals.items()
            },
            **settings,
        )(work)
        return handler

    return made


async def _guard(connection: Connection, handler: BaseRouteHandler) -> None:
    """Let in who may do this.

    Raises:
        Unauthenticated, TooMany: nobody comes in like this.
        Forbidden: another party, a role too small, or another site's page.
        UnsupportedMedia: a body of a type that is not read here.
    """
    request: Any = connection
    scope: Any = connection.scope
    caller = await hall_of(request).as_caller(request, lambda one: one, Lane.SIDE)
    permit(caller, handler.opt["verb"])
    if scope["method"] in _CHANGES:
        _own_site(connection)
        _media_type(connection, handler.opt["reads"])
    scope[_CALLER] = caller
    act_as(By(caller.user, "api"))


def permit(caller: Caller, name: str) -> None:
    """Make sure that a caller may use a verb.

    Raises:
        Forbidden: it may not.
    """
    least = LEAST_ROLE[name]
    if least == ANYONE:
        return
    if caller.own and reaches(caller.role, least):
        return
    logger(__name__).warning("verb_refused", user=caller.user, verb=name)
    if not caller.own:
        raise Forbidden(
            "This is for the node's own people.",
            mend="What the node gives your party is at /taxii2/; "
            f"{ROOT}/me/releases lists what it gave.",
        )
    raise Forbidden(
        f"User {caller.user!r} has the role {caller.role}; this takes {least}."
    )


def _own_site(connection: Connection) -> None:
    # A browser that once asked for a Basic login sends it with any site's form.
    origin = connection.headers.get("origin")
    if origin is not None:
        here = connection.headers.get("host", "").lower()
        if urlsplit(origin).netloc.lower() != here:
            raise Forbidden("A page of another site may not change anything here.")


def _media_type(connection: Connection, reads: tuple[str, ...]) -> None:
    headers = connection.headers
    empty = headers.get("content-length", "0") == "0"
    if empty and "transfer-encoding" not in headers and "content-type" not in headers:
        return
    got = headers.get("content-type", "").partition(";")[0].strip().lower()
    if got not in reads:
        raise UnsupportedMedia(
            f"Content-Type is {got[:80]!r}, expected {' or '.join(reads)}."
        )


def caller_of(request: Asking) -> Caller:
    """Give who the guard let in."""
    scope: Any = request.scope
    found: Caller = scope[_CALLER]
    return found


def node_of(request: Asking) -> Node:
    """Give the node that was asked."""
    return hall_of(request).node


async def reading(request: Asking, work: Callable[[Tx], T]) -> T:
    """Do something with a read transaction, where no peer's page waits for it."""

    def within() -> T:
        with node_of(request).db.read() as tx:
            return work(tx)

    return await hall_of(request).run(Lane.SIDE, within)


async def writing(request: Asking, work: Callable[[Tx], T]) -> T:
    """Do something with a write transaction.

    Raises:
        BadRequest: what was given is no value of its kind.
    """
    node = node_of(request)

    def within() -> T:
        try:
            with node.db.write() as tx:
                return work(tx)
        except ValueError as fault:
            raise BadRequest(str(fault)) from fault

    return await hall_of(request).run(Lane.WRITE, within)
