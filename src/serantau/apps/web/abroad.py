"""The door at which members fetch event rows about their own machines."""

from __future__ import annotations

from typing import Final

from litestar import Response, Router, get

from serantau.apps.web.hall import Asking, hall_of
from serantau.desk.abroad import MEDIA_TYPE, Page
from serantau.errors import BadRequest
from serantau.records.registry import Caller
from serantau.wire.client import PARCEL_HEADERS

PATH: Final = "/federation/events"
_LARGEST: Final = 2**63 - 1
_DIGITS: Final = 20


@get(PATH, include_in_schema=False)
async def events(request: Asking) -> Response[bytes]:
    """Give the caller's next parcel behind `after`; 204 when there is none."""
    hall = hall_of(request)
    after = _number(request.query_params.get("after", "-1"))

    def work(caller: Caller) -> Page | None:
        return hall.abroad.page(caller, after, f"{PATH}?after={after}")

    page = await hall.as_caller(request, work)
    if page is None:
        return Response(b"", status_code=204)
    number, rows = PARCEL_HEADERS
    return Response(
        page.arrow,
        media_type=MEDIA_TYPE,
        headers={number: str(page.number), rows: str(page.rows)},
    )


def _number(text: str) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) < _DIGITS):
        raise BadRequest(f"after is {text[:40]!r}, expected a parcel's number.")
    number = int(text)
    if not -1 <= number <= _LARGEST:
        raise BadRequest(f"after is {text[:40]!r}, expected a parcel's number or -1.")
    return number


def routes() -> Router:
    """Give the route for events."""
    return Router("/", route_handlers=[events])
