"""Batches of events: what came, how far it is, what could not be read; and bringing it.

Nothing is worked on here: bytes are on disk when the form is answered.
"""

from __future__ import annotations

from functools import partial
from io import BytesIO
from typing import Any, Final

from litestar import Response

from serantau.apps.web.hall import Asking
from serantau.apps.web.pages.asked import named
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
    writing,
)
from serantau.apps.web.pages.events import asking_events, form_of
from serantau.apps.web.pages.form import Form
from serantau.apps.web.pages.place import N_
from serantau.config import FEED
from serantau.desk.audit import note_reading
from serantau.desk.lane import Kept, Lane, Told
from serantau.errors import SerantauError
from serantau.records.batches import Batch, Batches, State
from serantau.records.database import Tx
from serantau.rules.marking import Tlp
from serantau.rules.role import Power

PATH: Final = "/events/batches"
UPLOAD_BYTES: Final = 20_000_000
"""The largest file that the form takes; the CLI and the API take more."""
STATES: Final = {
    State.STORED: (N_("waits"), "info"),
    State.HELD: (N_("held: look at it"), "warning"),
    State.RUNNING: (N_("is worked on"), "info"),
    State.DONE: (N_("done"), "good"),
    State.FAILED: (N_("failed"), "danger"),
    State.DROPPED: (N_("dropped"), "quiet"),
}
_FRAME: Final = 100_000
_PASTED: Final = 500_000
_AT_ONCE: Final = 50
_REJECTS: Final = 100
_DECISIONS: Final = {"retry": "read-anew", "release": "released", "drop": "dropped"}


@page(PATH, Power.SEE)
async def batches(request: Asking) -> Response[bytes]:
    """List batches, and take one in."""
    return await _listed(request, Form(words=words_of(request)))


async def _listed(request: Asking, form: Form, status: int = 200) -> Response[bytes]:
    asked = form_of(request)
    state = asked.choice("state", ["", *State])
    feed = asked.line("feed", needed=False)
    before = asked.whole("before", 1, 2**62)

    def work(tx: Tx) -> tuple[list[Batch], dict[State, int]]:
        held = Batches()
        found = held.recent(
            tx,
            state=State(state) if state else None,
            feed=feed,
            before=before,
            limit=_AT_ONCE + 1,
        )
        return found, held.counts(tx)

    found, counts = await reading(request, work)
    _ = words_of(request)
    formats = []
    if signed_of(request).may(Power.WORK):
        formats = await asking_events(request, partial(_formats, request))
    return await shown(
        request,
        "batches.html",
        status=status,
        form=form,
        batches=found[:_AT_ONCE],
        older=found[_AT_ONCE - 1].number if len(found) > _AT_ONCE else 0,
        state=state,
        feed=feed,
        states=[(one, _(said), tone, counts[one]) for one, (said, tone) in _all()],
        tones={one: (_(said), tone) for one, (said, tone) in _all()},
        formats=formats,
        levels=[(level.label, level.label) for level in Tlp],
        most=UPLOAD_BYTES // 1_000_000,
    )


def _all() -> list[tuple[State, tuple[str, str]]]:
    return list(STATES.items())


def _formats(request: Asking) -> list[tuple[str, str]]:
    from serantau.desk.lane_ask import known_formats

    try:
        held = known_formats(node_of(request))
    except SerantauError:
        return []  # One of the node's own is broken: files are guessed, as ever.
    return [(one["name"], f"{one['name']}: {one['title']}") for one in held]


@action(PATH, Power.WORK, limit=UPLOAD_BYTES + _FRAME)
async def take_in(request: Asking, form: Form) -> Response[bytes]:
    """Take in a file, or what was pasted."""
    _ = words_of(request)
    feed = form.line("feed")
    if feed and not FEED.fullmatch(feed):
        form.fault("feed", _("A feed's name is of a-z, 0-9, '.', '_' and '-'."))
    level = form.choice("tlp", ["", *(one.label for one in Tlp)])
    form_name = form.line("format", needed=False)
    report = form.line("report", needed=False)
    node = node_of(request)
    body = await form.file("file", min(UPLOAD_BYTES, node.config.limits.post_bytes))
    pasted = form.text("pasted", needed=False, most=_PASTED)
    if not body and not pasted and "file" not in form.errors:
        form.fault("file", _("Choose a file, or paste something below."))
    if body and pasted:
        form.fault("pasted", _("Bring one of the two: a file, or what you paste."))
    if not form.ok:
        return await _listed(request, form, 422)
    told = Told(
        feed,
        form_name,
        report,
        form.file_name("file"),
        f"user:{signed_of(request).caller.user}",
        Tlp.parse(level) if level else None,
    )

    def work() -> Kept:
        return Lane(node).add(BytesIO(body or f"{pasted}\n".encode()), told)

    kept = await doing(request, work)
    said = "batch-new" if kept.new else "batch-known"
    return gone_to(request, f"{PATH}/{kept.batch.number}", said)


@page(PATH + "/{batch:int}", Power.SEE)
async def batch(request: Asking) -> Response[bytes]:
    """Show a batch, and what of it could not be read."""
    node, number = node_of(request), named(request, "batch")
    held = await reading(request, lambda tx: Batches().get(tx, number))

    def work() -> tuple[list[dict[str, Any]], int]:
        from serantau.desk.lane_ask import rejected

        found, total = rejected(node, batch=number, limit=_REJECTS)
        note_reading(node, "lane rejects list", number, count=len(found))
        return found, total

    rejects, total = await asking_events(request, work) if held.rejects else ([], 0)
    _ = words_of(request)
    said, tone = STATES[held.state]
    return await shown(
        request,
        "batch.html",
        batch=held,
        said_state=(_(said), tone),
        rejects=rejects,
        total=total,
        may_retry=held.kept
        and held.state in {State.STORED, State.DONE, State.FAILED, State.DROPPED},
        may_drop=held.state in {State.STORED, State.HELD, State.FAILED},
    )


@action(PATH + "/{batch:int}", Power.WORK)
async def decide(request: Asking, form: Form) -> Response[bytes]:
    """Read a batch anew, let a held one go, or drop it."""
    number = named(request, "batch")
    what = form.choice("do", list(_DECISIONS))
    node = node_of(request)

    def work(tx: Tx) -> None:
        lane = Lane(node)
        held = lane.batches.get(tx, number)
        if what == "retry":
            lane.read_anew(tx, held)
        elif what == "release":
            lane.release(tx, held)
        elif what == "drop":
            lane.drop(tx, held)

    await writing(request, work)
    return gone_to(request, f"{PATH}/{number}", f"batch-{_DECISIONS.get(what, '')}")


HANDLERS = (batches, take_in, batch, decide)
