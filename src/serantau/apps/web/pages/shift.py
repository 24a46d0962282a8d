"""The shift: what the last one told the next, giving it over, and signing it off."""

from __future__ import annotations

from functools import partial
from typing import Final

from litestar import Response

from serantau.apps.web.hall import Asking
from serantau.apps.web.pages.door import action, doing, gone_to, node_of, page, shown
from serantau.apps.web.pages.form import Form
from serantau.apps.web.pages.now import pages_there
from serantau.apps.web.pages.slow import begun
from serantau.clock import instant
from serantau.desk.audit import note_reading
from serantau.desk.shift import HOURS, Shifting
from serantau.errors import Conflict, NotFound
from serantau.node import Node
from serantau.records.shifts import Handing
from serantau.rules.role import Power

PATH: Final = "/shift"
_MOST_HOURS: Final = 72
_PAST: Final = 20


@page(PATH, Power.SEE)
async def shift(request: Asking) -> Response[bytes]:
    """Show a hand-over as it was given: the last one, or the one that is asked for."""
    return await _shown(request, Form())


@action("/shift/give", Power.WORK)
async def give(request: Asking, form: Form) -> Response[bytes]:
    """Write down what is handed over, and to whom."""
    to, said = form.line("to"), form.text("said", needed=False, most=2000)
    hours = form.whole("hours", 1, _MOST_HOURS, default=HOURS)
    if not form.ok:
        return await _shown(request, form, status=422)
    desk = Shifting(node_of(request))
    work = partial(desk.give, to, said, hours=hours)
    done = await begun(request, "give the shift", work)
    return gone_to(request, PATH, "shift-given" if done else "shift-begun")


@action("/shift/take", Power.WORK)
async def take(request: Asking, form: Form) -> Response[bytes]:
    """Sign off the hand-over that was read; one that came since is to be read first.

    Raises:
        Conflict: another one was given meanwhile, or somebody has taken it.
        NotFound: nobody has given one.
    """
    desk, read = Shifting(node_of(request)), form.given("n")

    def work() -> None:
        past = desk.past()
        if past and str(past[0].n) != read:
            raise Conflict("Another hand-over was given meanwhile. Read that one.")
        desk.take()

    await doing(request, work)
    return gone_to(request, PATH, "shift-taken")


async def _shown(request: Asking, form: Form, *, status: int = 200) -> Response[bytes]:
    node = node_of(request)
    past, one = await doing(
        request, partial(_read, node, request.query_params.get("n", ""))
    )
    told = Shifting.read(one) if one else None
    return await shown(
        request,
        "shift.html",
        status=status,
        form=form,
        past=past[:_PAST],
        one=one,
        told=told,
        last=bool(past and one and one.n == past[0].n),
        hours=HOURS,
        at=_at,
        linked="/cases/*" in pages_there(request.app),
    )


def _read(node: Node, number: str) -> tuple[list[Handing], Handing | None]:
    past = Shifting(node).past()
    one = past[0] if past else None
    if number:
        found = [each for each in past if str(each.n) == number]
        if not found:
            raise NotFound("There is no such hand-over among the last ones.")
        one = found[0]
    if one is not None:
        cases = [each.case for each in Shifting.read(one).cases]
        note_reading(node, "shift", str(one.n), count=len(cases), objects=cases)
    return past, one


def _at(text: str) -> int:
    return instant(text) if text else 0


HANDLERS = (shift, give, take)
