"""The doors at which nodes fetch recalls that are for them, and answer."""

from __future__ import annotations

from typing import Final

import msgspec
from litestar import Response, Router, get, post

from serantau.apps.web.hall import Asking, Lane, hall_of
from serantau.errors import BadRequest
from serantau.records.registry import Caller
from serantau.wire.recalls import PATH, Items, read_report
from serantau.wire.taxii import MEDIA_TYPE

_DIGITS: Final = 19


@get(PATH, include_in_schema=False)
async def fetch(request: Asking) -> Response[bytes]:
    """Give the caller's recalls behind `after`."""
    hall = hall_of(request)
    text = request.query_params.get("after", "0")
    if not (text.isascii() and text.isdecimal() and len(text) < _DIGITS):
        raise BadRequest(f"after is {text[:40]!r}, expected a recall's number.")
    after = int(text)

    def work(caller: Caller) -> Items:
        return Items(hall.recalls.page(caller, after, f"{PATH}?after={after}"))

    return _json(await hall.as_caller(request, work, Lane.SIDE))


@post(f"{PATH}/answers", include_in_schema=False, status_code=200)
async def answers(request: Asking) -> Response[bytes]:
    """Take in what the caller answers, and what those answer whom it told."""
    hall = hall_of(request)
    await hall.as_caller(request, lambda _: None)
    raw = await hall.body(request)

    def work(caller: Caller) -> dict[str, int]:
        try:
            told = read_report(raw)
        except ValueError as fault:
            raise BadRequest(f"The answers cannot be read: {fault}.") from fault
        return {"taken": hall.recalls.take_answers(caller, told)}

    return _json(await hall.as_caller(request, work, Lane.WRITE))


def _json(content: object) -> Response[bytes]:
    return Response(msgspec.json.encode(content), media_type=MEDIA_TYPE)


def routes() -> Router:
    """Give the routes for recalls."""
    return Router("/", route_handlers=[fetch, answers])
