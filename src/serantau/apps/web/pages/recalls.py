"""Recalls: what this node wants back, what others do, and who answered what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Final, TypeVar
from urllib.parse import quote

from litestar import Response

from serantau.apps.web.hall import Asking
from serantau.apps.web.pages.asked import named, whole
from serantau.apps.web.pages.door import (
    action,
    doing,
    gone_to,
    node_of,
    page,
    shown,
    signed_of,
    words_of,
)
from serantau.apps.web.pages.form import Form
from serantau.desk.audit import note_reading
from serantau.desk.recall import Listed, Recalling
from serantau.desk.recall_table import Told
from serantau.errors import (
    BadRequest,
    ConfigError,
    Conflict,
    Forbidden,
    NotFound,
)
from serantau.records.recalls import Hold
from serantau.rules.recall import REASON, Said
from serantau.rules.role import Power

T = TypeVar("T")

PATH: Final = "/share/recalls"
_ROWS: Final = 50
_AT_ONCE: Final = 100
_IDS: Final = 20_000
# What somebody can mend in the form that asks for it.
_MENDED: Final = (BadRequest, NotFound, Forbidden, Conflict, ConfigError)


async def _list(
    request: Asking, form: Form, *, status: int = 200, wrong: str = ""
) -> Response[bytes]:
    """Show all recalls, what is kept, and the form that recalls."""
    node, before = node_of(request), whole(request, "before")

    def work() -> tuple[list[Listed], Sequence[Hold]]:
        recalling = Recalling(node)
        rows = recalling.newest(before, _ROWS + 1)
        with node.db.read() as tx:
            holds = recalling.rows.holds(tx)
        note_reading(node, "recall list", "", count=len(rows[:_ROWS]))
        return rows, holds

    rows, holds = await doing(request, work)
    return await shown(
        request,
        "recalls.html",
        status=status,
        form=form,
        wrong=wrong,
        rows=rows[:_ROWS],
        on=rows[_ROWS - 1].held.number if len(rows) > _ROWS else 0,
        before=before,
        holds=holds[:_ROWS],
        object_id=request.query_params.get("object", "")[:300],
    )


@page(PATH, Power.SEE)
async def recalls(request: Asking) -> Response[bytes]:
    """List recalls, this node's own and those of others."""
    return await _list(request, Form())


def _ids(form: Form, _: Callable[[str], str]) -> list[str]:
    found = list(dict.fromkeys(form.text("objects", most=_IDS).split()))
    if len(found) > _AT_ONCE:
        said = _("At most {most} objects at a time.")
        form.fault("objects", said.format(most=_AT_ONCE))
    return found


@action(f"{PATH}/look", Power.SEND)
async def recall_look(request: Asking, form: Form) -> Response[bytes]:
    """Show who got what is to be recalled, before it is."""
    node, ids = node_of(request), _ids(form, words_of(request))
    reason = form.text("reason", needed=False, most=REASON)
    if not form.ok:
        return await _list(request, form, status=HTTPStatus.UNPROCESSABLE_ENTITY)

    def work() -> list[tuple[str, list[tuple[str, list[str]]]]]:
        recalling = Recalling(node)
        note_reading(node, "recall look", " ".join(ids), objects=ids)
        return [(one, recalling.got(one)) for one in ids]

    got = await doing(request, work)
    return await shown(request, "recall-look.html", got=got, ids=ids, reason=reason)


@action(PATH, Power.SEND)
async def recalled(request: Asking, form: Form) -> Response[bytes]:
    """Recall objects that this node made."""
    node, ids = node_of(request), _ids(form, words_of(request))
    reason = form.text("reason", needed=False, most=REASON)
    _, wrong = words_of(request), ""
    if not form.ticked("sure"):
        wrong = _("Nothing was ticked, so nothing was recalled.")
    elif form.ok:
        try:
            await doing(request, lambda: Recalling(node).recall(ids, reason))
        except _MENDED as fault:
            wrong = str(fault)
        else:
            back = f"{PATH}/{quote(ids[0], safe='')}" if len(ids) == 1 else PATH
            return gone_to(request, back, "recalled")
    unprocessable = HTTPStatus.UNPROCESSABLE_ENTITY
    return await _list(request, form, status=unprocessable, wrong=wrong)


@page(f"{PATH}/{{object_id:str}}", Power.SEE)
async def recall(request: Asking) -> Response[bytes]:
    """Show who got an object that was recalled, and what each answered."""
    return await _one(request, Form())


async def _one(
    request: Asking, form: Form, *, status: int = 200, wrong: str = ""
) -> Response[bytes]:
    node, object_id = node_of(request), named(request, "object_id")

    def work() -> list[Told]:
        found = Recalling(node).told(object_id, settled=False)
        note_reading(node, "recall show", object_id, objects=[object_id])
        return found

    several = await doing(request, work)
    # Whose node has answered says more than a person can write down.
    by_hand = sorted(
        {
            line.party
            for told in several
            for line in told.lines
            if told.held.hold and not line.via and (not line.state or line.noted)
        }
    )
    return await shown(
        request,
        "recall.html",
        status=status,
        form=form,
        wrong=wrong,
        object_id=object_id,
        several=several[::-1],
        by_hand=by_hand,
    )


async def _done(
    request: Asking, form: Form, said: str, work: Callable[[], T]
) -> Response[bytes]:
    """Do something about a recalled object, and show it again."""
    unprocessable = HTTPStatus.UNPROCESSABLE_ENTITY
    if not form.ok:
        return await _one(request, form, status=unprocessable)
    try:
        await doing(request, work)
    except _MENDED as fault:
        return await _one(request, form, status=unprocessable, wrong=str(fault))
    back = quote(named(request, "object_id"), safe="")
    return gone_to(request, f"{PATH}/{back}", said)


@action(f"{PATH}/{{object_id:str}}/answer", Power.SEND)
async def recall_answer(request: Asking, form: Form) -> Response[bytes]:
    """Write down what a party without a node said."""
    node, object_id = node_of(request), named(request, "object_id")
    party = form.line("party")
    state = form.choice("state", [str(each) for each in Said])
    note = form.line("note", needed=False, most=REASON)
    who = signed_of(request).caller.user
    return await _done(
        request,
        form,
        "answer-noted",
        lambda: Recalling(node).note(object_id, party, Said(state), note, who),
    )


@action(f"{PATH}/{{object_id:str}}/keep", Power.SEND)
async def recall_keep(request: Asking, form: Form) -> Response[bytes]:
    """Keep an object under a legal duty."""
    node, object_id = node_of(request), named(request, "object_id")
    reason = form.text("reason", most=REASON)
    who = signed_of(request).caller.user
    return await _done(
        request,
        form,
        "kept",
        lambda: Recalling(node).keep(object_id, reason, who),
    )


@action(f"{PATH}/{{object_id:str}}/let-go", Power.SEND)
async def recall_let_go(request: Asking, form: Form) -> Response[bytes]:
    """Keep an object no longer."""
    node, object_id = node_of(request), named(request, "object_id")
    return await _done(
        request, form, "let-go", lambda: Recalling(node).let_go(object_id)
    )


HANDLERS = (
    recalls, recall_look, recalled, recall, recall_answer, recall_keep, recall_let_go,
)  # fmt: skip
