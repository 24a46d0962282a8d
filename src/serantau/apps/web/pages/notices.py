"""Notices: which wait, the mail exactly as each contact gets it, and letting it go."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from litestar import Response

from serantau.apps.web.hall import Asking
from serantau.apps.web.pages.asked import numbered
from serantau.apps.web.pages.door import (
    action,
    doing,
    gone_to,
    node_of,
    page,
    reading,
    shown,
    signed_of,
    words_of,
)
from serantau.apps.web.pages.events import form_of
from serantau.apps.web.pages.form import Form
from serantau.apps.web.pages.notice_words import STATES, state_words
from serantau.desk.audit import note_reading
from serantau.desk.courier import Courier, ways
from serantau.desk.notice_letter import Opened, open_notice
from serantau.errors import BadRequest
from serantau.records.database import Tx
from serantau.records.notices import Notice, Notices
from serantau.rules.notice import NOTICES, Sending, State
from serantau.rules.role import Power

PATH: Final = "/events/notices"
_AT_ONCE: Final = 50
_ALL: Final = "all"


@page(PATH, Power.SEE)
async def notices(request: Asking) -> Response[bytes]:
    """List notices by state, first those that wait for a person."""
    asked = form_of(request)
    state = asked.choice("state", [_ALL, *State], default=State.WAITING)
    before = asked.whole("before", 1, 2**62)
    party = asked.line("party", needed=False)
    node = node_of(request)

    def work(tx: Tx) -> tuple[list[Notice], dict[str, int]]:
        held = Notices()
        only = "" if state == _ALL else state
        found = held.all(tx, state=only, party=party, before=before, limit=_AT_ONCE + 1)
        return found, held.counts(tx)

    found, counts = await reading(request, work)
    page_of = found[:_AT_ONCE]
    note = partial(note_reading, node, "notice list", party, count=len(page_of))
    await doing(request, note)
    said_of = state_words(words_of(request))
    return await shown(
        request,
        "notices.html",
        notices=page_of,
        older=page_of[-1].number if len(found) > _AT_ONCE else 0,
        state=state,
        party=party,
        states=[
            (str(one), said_of[one][0], counts.get(f"notice {one}", 0))
            for one in STATES
        ],
        said_of=said_of,
        unsure=counts.get("delivery unsure", 0),
        bounced=counts.get("delivery bounced", 0),
        lacks=sorted(set(filter(None, ways(node.config).values()))),
    )


@page(PATH + "/{notice:int}", Power.SEE)
async def notice(request: Asking) -> Response[bytes]:
    """Show a notice as each of its contacts gets it."""
    return await _one(request, Form(words=words_of(request)))


async def _one(request: Asking, form: Form, status: int = 200) -> Response[bytes]:
    node, number = node_of(request), numbered(request, "notice")

    def work() -> Opened:
        opened = open_notice(node, number)
        count = opened.notice.facts["attached"]
        note_reading(node, "notice show", str(number), count=count)
        return opened

    opened = await doing(request, work)
    wanted = request.query_params.get("to", "")
    chosen = next(
        (one for one in opened.copies if str(one.contact.number) == wanted),
        opened.copies[0] if opened.copies else None,
    )
    steps = NOTICES[opened.notice.state]
    return await shown(
        request,
        "notice.html",
        status=status,
        form=form,
        opened=opened,
        notice=opened.notice,
        copy=chosen,
        tabs=[
            (f"?to={one.contact.number}", one.contact.address, one is chosen, None)
            for one in opened.copies
        ],
        steps=steps,
        unsure=any(one.state is Sending.UNSURE for one in opened.deliveries),
        said_of=state_words(words_of(request)),
        may_send=signed_of(request).may(Power.SEND),
    )


async def _decided(
    request: Asking, said: str, act: Callable[[Courier, int], object]
) -> Response[bytes]:
    """Do something to a notice, and go on to the next one that waits."""
    node, number = node_of(request), numbered(request, "notice")
    courier = Courier(node, signed_of(request).caller.user)
    await doing(request, partial(act, courier, number))
    if said != "notice-approved":
        return gone_to(request, f"{PATH}/{number}", said)
    found = await reading(
        request, lambda tx: Notices().all(tx, state=State.WAITING, limit=1)
    )
    return gone_to(request, f"{PATH}/{found[0].number}" if found else PATH, said)


@action(PATH + "/{notice:int}/approve", Power.SEND)
async def approve(request: Asking, form: Form) -> Response[bytes]:
    """Let a notice go."""
    return await _decided(request, "notice-approved", Courier.approve)


@action(PATH + "/{notice:int}/hold", Power.WORK)
async def hold(request: Asking, form: Form) -> Response[bytes]:
    """Let a notice wait, with the reason."""
    why = form.line("why")
    if not form.ok:
        return await _one(request, form, 422)
    return await _decided(request, "notice-held", lambda c, n: c.hold(n, why))


@action(PATH + "/{notice:int}/drop", Power.SEND)
async def drop(request: Asking, form: Form) -> Response[bytes]:
    """Never send a notice."""
    if not form.ticked("sure"):
        raise BadRequest("The tick is missing.", mend="Nothing was changed.")
    return await _decided(request, "notice-dropped", Courier.drop)


@action(PATH + "/{notice:int}/retry", Power.SEND)
async def retry(request: Asking, form: Form) -> Response[bytes]:
    """Send a notice again to those who did not get it."""
    return await _decided(request, "notice-again", Courier.retry)


@action(PATH + "/{notice:int}/settle", Power.SEND)
async def settle(request: Asking, form: Form) -> Response[bytes]:
    """Say whether what is unsure arrived."""
    sent = form.choice("sent", ("yes", "no"))
    if not form.ok:
        return await _one(request, form, 422)
    said = "notice-arrived" if sent == "yes" else "notice-again"
    return await _decided(request, said, lambda c, n: c.settle(n, sent=sent == "yes"))


HANDLERS = (notices, notice, approve, hold, drop, retry, settle)
