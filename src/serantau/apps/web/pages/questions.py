"""Questions to the archive that somebody keeps under a name, own or shared."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl, urlencode

from litestar import Response

from serantau.apps.web.hall import Asking
from serantau.apps.web.pages.asked import numbered
from serantau.apps.web.pages.door import (
    action,
    gone_to,
    page,
    reading,
    shown,
    signed_of,
    words_of,
    writing,
)
from serantau.apps.web.pages.events import form_of, read_asked
from serantau.apps.web.pages.form import Form
from serantau.records.questions import Questions
from serantau.rules.role import Power

PATH: Final = "/events/questions"
_LONGEST: Final = 4_000
_NAME: Final = 100


@page(PATH, Power.SEE)
async def questions(request: Asking) -> Response[bytes]:
    """List the questions that are kept; keep the one that the address asks."""
    asked = read_asked(request, form_of(request)).query if request.query_params else ""
    return await _listed(request, Form(words=words_of(request)), asked)


async def _listed(
    request: Asking, form: Form, asked: str, status: int = 200
) -> Response[bytes]:
    signed = signed_of(request)
    held = await reading(request, lambda tx: Questions().all(tx, signed.user))
    return await shown(
        request,
        "questions.html",
        status=status,
        form=form,
        questions=held,
        asked=asked if "said" not in request.query_params else "",
        may_any=signed.may(Power.ADMIN),
    )


@action(PATH, Power.SEE)
async def keep(request: Asking, form: Form) -> Response[bytes]:
    """Keep a question."""
    signed = signed_of(request)
    asked = urlencode(parse_qsl(form.line("asked", most=_LONGEST)))
    name = form.line("name", most=_NAME)
    if not form.ok:
        return await _listed(request, form, asked, 422)
    shared = form.ticked("shared")
    await writing(
        request,
        lambda tx: Questions().put(tx, signed.user, name, asked, shared=shared),
    )
    return gone_to(request, PATH, "saved")


@action(PATH + "/{question:int}/drop", Power.SEE)
async def drop(request: Asking, form: Form) -> Response[bytes]:
    """Delete a question."""
    signed, number = signed_of(request), numbered(request, "question")
    any_of = signed.may(Power.ADMIN)
    await writing(
        request,
        lambda tx: Questions().drop(tx, signed.user, number, any_of=any_of),
    )
    return gone_to(request, PATH, "question-deleted")


HANDLERS = (questions, keep, drop)
