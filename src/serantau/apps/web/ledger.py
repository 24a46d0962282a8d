"""The doors at which peers check this node's release log."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from litestar import Response, Router, get, post

from serantau import typed
from serantau.apps.web.hall import Asking, Lane, hall_of
from serantau.desk.ledger import Book
from serantau.desk.watch import Watch
from serantau.errors import BadRequest
from serantau.records.registry import Caller
from serantau.wire.ledger import PATH
from serantau.wire.taxii import MEDIA_TYPE

_DIGITS: Final = 16
_LONGEST: Final = 300


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Receipts whose leaves are asked for, in the tree of a size."""

    receipts: list[str]
    size: int


@get(f"{PATH}/head", include_in_schema=False)
async def head(request: Asking) -> Response[bytes]:
    """Give the head, that the tree only grew since a size, and heads of others."""
    hall = hall_of(request)
    since = _number(request, "since")
    book, watch = Book(hall.node), Watch(hall.node)

    def work(caller: Caller) -> Any:
        held = book.head()
        # Of a size that the tree never had nothing is proven: that is the finding.
        grown = since <= held.head.size
        path = book.consistency(since, held.head.size) if grown else []
        return {"head": held.text, "path": path, "seen": watch.seen(caller)}

    return _json(await hall.as_caller(request, work, Lane.SIDE))


@get(f"{PATH}/consistency", include_in_schema=False)
async def consistency(request: Asking) -> Response[bytes]:
    """Prove that the tree has only grown from `first` to `second`."""
    hall = hall_of(request)
    first, second = _number(request, "first"), _number(request, "second")

    def work(_caller: Caller) -> Any:
        return {"path": Book(hall.node).consistency(first, second)}

    return _json(await hall.as_caller(request, work, Lane.SIDE))


@post(f"{PATH}/receipts", include_in_schema=False, status_code=200)
async def receipts(request: Asking) -> Response[bytes]:
    """Give the leaves of the caller's own receipts."""
    hall = hall_of(request)
    await hall.as_caller(request, lambda _: None)
    raw = await hall.body(request)

    def work(caller: Caller) -> Any:
        try:
            wanted = typed.read(raw, Wanted)
        except msgspec.DecodeError as fault:
            raise BadRequest(f"The question cannot be read: {fault}.") from fault
        book = Book(hall.node)
        return {"entries": book.receipts(caller, wanted.receipts, wanted.size)}

    return _json(await hall.as_caller(request, work, Lane.SIDE))


@get(f"{PATH}/passed", include_in_schema=False)
async def passed(request: Asking) -> Response[bytes]:
    """Tell the creator of objects to whom they were passed."""
    hall = hall_of(request)
    after = _number(request, "after")
    object_id = request.query_params.get("object", "")[:_LONGEST]

    def work(caller: Caller) -> Any:
        return Book(hall.node).passed(caller, object_id, after)

    return _json(await hall.as_caller(request, work, Lane.SIDE))


def _number(request: Asking, name: str) -> int:
    text = request.query_params.get(name, "0")
    if not (text.isascii() and text.isdecimal() and len(text) < _DIGITS):
        raise BadRequest(f"{name} is {text[:40]!r}, expected a number of leaves.")
    return int(text)


def _json(content: Any) -> Response[bytes]:
    return Response(msgspec.json.encode(content), media_type=MEDIA_TYPE)


def routes() -> Router:
    """Give the routes for the release log."""
    return Router("/", route_handlers=[head, consistency, receipts, passed])
