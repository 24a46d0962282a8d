"""One row of events: where it is from, why it has its owner, what came of it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from litestar import Response

from serantau.apps.web.hall import Asking
from serantau.apps.web.pages.asked import named
from serantau.apps.web.pages.door import node_of, page, shown, words_of
from serantau.apps.web.pages.events import asking_events
from serantau.apps.web.pages.notice_words import left_words, state_words
from serantau.desk.audit import note_reading
from serantau.rules.event import COLUMNS, Kind
from serantau.rules.role import Power

if TYPE_CHECKING:
    from serantau.desk.event_story import Story

_SORTING: Final = frozenset(
    {"source_hi", "source_lo", "destination_hi", "destination_lo", "extra"}
)
_TIMES: Final = frozenset(one.name for one in COLUMNS if one.kind is Kind.INSTANT)


def _told(request: Asking, name: str) -> Story:
    from serantau.desk.event_story import tell_story

    node = node_of(request)
    story = tell_story(node, name)
    note_reading(node, "events why", name, count=1)
    return story


@page("/events/{row:str}", Power.SEE)
async def event(request: Asking) -> Response[bytes]:
    """Tell one row's story."""
    name = named(request, "row")
    story = await asking_events(request, partial(_told, request, name))
    return await shown(
        request,
        "event.html",
        story=story,
        row=story.row,
        columns=[
            (key, value, key in _TIMES)
            for key, value in story.row.items()
            if key not in _SORTING
        ],
        extra=_extra(story.row.get("extra")),
        said_of=state_words(words_of(request)),
        left=left_words(words_of(request)).get(story.left, ""),
    )


def _extra(held: Any) -> list[tuple[str, str]]:
    """Give what had no column, as texts."""
    if isinstance(held, dict):
        return [(str(name), str(value)) for name, value in held.items()]
    return [("", str(held))] if held else []


HANDLERS = (event,)
