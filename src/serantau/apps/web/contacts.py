"""The page behind the link in a contact drill's mail: plain HTML, no login, no script.

Opening it changes nothing, whoever or whatever opens it. A button sends a POST.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Final

from litestar import Response, Router, get, post

from serantau.apps.web.hall import Asking, Hall, Lane, hall_of
from serantau.desk.reach import ANSWER_PATH, Reach
from serantau.errors import BadRequest, Conflict, NotFound
from serantau.records.cards import SENDING, SENT, Ask
from serantau.rules.realm import LIVE

# Everything comes from here, and nothing inline: no script ever runs.
_POLICY: Final = (
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
_LONGEST: Final = 64


@get(f"{ANSWER_PATH}/{{token:str}}", include_in_schema=False)
async def ask(request: Asking) -> Response[str]:
    """Show what is asked, with two buttons."""
    hall, token = hall_of(request), _token(request)
    return await _told(hall, Lane.SIDE, lambda: _question(hall, token))


@post(f"{ANSWER_PATH}/{{token:str}}", status_code=200, include_in_schema=False)
async def answer(request: Asking) -> Response[str]:
    """Take in the answer, once."""
    hall, token = hall_of(request), _token(request)
    said = request.query_params.get("reached", "")
    if said not in {"yes", "no"}:
        raise BadRequest("expected reached=yes or reached=no")

    def work() -> str:
        Reach(hall.node).answer(token, right=said == "yes")
        return "<p>Thank you. That was all.</p>"

    return await _told(hall, Lane.WRITE, work)


def _token(request: Asking) -> str:
    return str(request.path_params["token"])[:_LONGEST]


async def _told(hall: Hall, lane: Lane, work: Callable[[], str]) -> Response[str]:
    status = 200
    try:
        inside = await hall.run(lane, work)
    except (NotFound, Conflict) as fault:
        status, inside = fault.status, f"<p>{escape(fault.message)}</p>"
    return Response(
        _page(hall, inside),
        status_code=status,
        media_type="text/html",
        headers={"content-security-policy": _POLICY, "x-robots-tag": "noindex"},
    )


def _question(hall: Hall, token: str) -> str:
    asked: Ask = Reach(hall.node).asked(token)
    if asked.state not in {SENT, SENDING}:
        raise Conflict("This was answered already. Thank you.")
    team = escape(hall.node.config.node.team or hall.node.config.node.member)
    buttons = "".join(
        f'<form method="post" action="{ANSWER_PATH}/{escape(token)}?reached={said}">'
        f"<p><button>{words}</button></p></form>"
        for said, words in (
            ("yes", "Yes, this reaches the right people"),
            ("no", "No, we are not the right ones"),
        )
    )
    return (
        f"<p>{team} keeps <strong>{escape(asked.address)}</strong> as a contact of "
        f"<strong>{escape(asked.party)}</strong>. Does it still reach the right "
        f"people?</p>{buttons}"
    )


def _page(hall: Hall, inside: str) -> str:
    realm = hall.node.config.node.realm
    banner = "" if realm == LIVE else f"<p><strong>{escape(realm)}</strong></p>"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        "<title>Contact check</title></head>"
        f"<body><main>{banner}<h1>Contact check</h1>{inside}</main></body></html>"
    )


def routes() -> Router:
    """Give the routes of answer links."""
    return Router("/", route_handlers=[ask, answer])
