"""The door at which parties of a case compare how it stands."""

from __future__ import annotations

from typing import Final

import msgspec
from litestar import Response, Router, get

from serantau.apps.web.hall import Asking, Lane, hall_of
from serantau.desk.case_verify import tell_state
from serantau.records.registry import Caller
from serantau.wire.cases import PATH, CaseState
from serantau.wire.taxii import MEDIA_TYPE

_LONGEST: Final = 100


@get(f"{PATH}/state", include_in_schema=False)
async def state(request: Asking) -> Response[bytes]:
    """Tell who is in a case the hash of its state, and of whose entries it is."""
    hall = hall_of(request)
    case = request.query_params.get("case", "")[:_LONGEST]

    def work(caller: Caller) -> CaseState:
        return tell_state(hall.node, caller, case)

    told = await hall.as_caller(request, work, Lane.SIDE)
    return Response(msgspec.json.encode(told), media_type=MEDIA_TYPE)


def routes() -> Router:
    """Give the routes for cases."""
    return Router("/", route_handlers=[state])
