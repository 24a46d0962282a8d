"""The door at which a coordinator's node fetches what it is to publish for a member."""

from __future__ import annotations

from litestar import Response, Router, post

from serantau.apps.web.hall import Asking, Lane, hall_of
from serantau.desk.behalf import Behalf
from serantau.errors import BadRequest
from serantau.records.registry import Caller
from serantau.wire.behalf import PATH, read_question
from serantau.wire.taxii import MEDIA_TYPE


@post(PATH, include_in_schema=False, status_code=200)
async def behalf(request: Asking) -> Response[bytes]:
    """Give the caller's next parcel; none to whom nothing is handed over to."""
    hall = hall_of(request)
    await hall.as_caller(request, lambda _: None)
    raw = await hall.body(request)

    def work(caller: Caller) -> bytes:
        try:
            question = read_question(raw)
        except ValueError as fault:
            raise BadRequest(f"The question cannot be read: {fault}.") from fault
        return Behalf(hall.node).page(caller, question)

    answer = await hall.as_caller(request, work, Lane.SIDE)
    return Response(answer, media_type=MEDIA_TYPE)


def routes() -> Router:
    """Give the route for what is handed over."""
    return Router("/", route_handlers=[behalf])
