"""Now: all that waits for a hand on one page, the worst first, to be kept open."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from litestar import Litestar, Response
from litestar.routes import HTTPRoute
from markupsafe import Markup, escape

from serantau.apps.web.hall import Asking, state_of
from serantau.apps.web.pages import view
from serantau.apps.web.pages.asked import whole
from serantau.apps.web.pages.door import (
    doing,
    language_of,
    node_of,
    page,
    shown,
    signed_of,
    wants_part,
    words_of,
)
from serantau.apps.web.pages.live import Live, View
from serantau.apps.web.pages.now_words import CLOCKS, DO, KINDS, TITLES, TONES
from serantau.desk.audit import note_reading
from serantau.desk.now_rows import Part, Row, Section, Tone, parts_of
from serantau.records.sessions import Signed
from serantau.rules.role import Power

_TONES = tuple(Tone)
_CASES = (Part.CASES, Part.ASKS, Part.MAIL)


@dataclass(frozen=True, slots=True)
class Line:
    """A row as it is shown. path: empty where no page handles it yet."""

    id: str
    text: Markup
    more: str
    tone: str
    state: str
    since: int
    due: int
    path: str


@page("/now", Power.CASES)
async def now(request: Asking) -> Response[bytes]:
    """Show what waits. htmx gets the part of the page that changes."""
    fragment = wants_part(request)
    values = await doing(request, partial(_found, request, fragment))
    return await shown(request, "now-list.html" if fragment else "now.html", **values)


def _found(request: Asking, fragment: bool) -> dict[str, Any]:
    """Give what the page shows; of a fragment, how much is new since it was shown."""
    signed, live = signed_of(request), state_of(request).live
    held: View = live.view(live=fragment)
    seen = whole(request, "seen")
    mine = [held.waiting.sections[part] for part in parts_of(signed.powers)]
    fresh = [
        row
        for section in mine
        for row in section.rows
        if seen and held.first[row.key] > seen
    ]
    _note(request, mine, fresh if fragment else None)
    sections = sorted(
        (section for section in mine if section.count),
        key=lambda section: _TONES.index(section.tone),
    )
    return {
        "sections": [
            (
                section,
                words_of(request)(TITLES[section.part]),
                _rendered(request, live, held, signed, section),
            )
            for section in sections
        ],
        "total": sum(section.count for section in mine),
        "fresh": len(fresh),
        "last": held.last,
        "at": held.waiting.at,
        "unread": held.waiting.unread,
        "on_duty": held.waiting.on_duty,
        "shift": "/shift" if "/shift" in pages_there(request.app) else "",
    }


def _note(request: Asking, sections: list[Section], fresh: list[Row] | None) -> None:
    """Note which cases are shown; of a page that was read before, the new ones."""
    shown_now = [
        row.about
        for section in sections
        if section.part in _CASES
        for row in section.rows
        if fresh is None or row in fresh
    ]
    cases = list(dict.fromkeys(shown_now))
    if cases or fresh is None:
        note_reading(node_of(request), "now", "", count=len(cases), objects=cases)


def _rendered(
    request: Asking, live: Live, held: View, signed: Signed, section: Section
) -> Markup:
    """Render one part, or give what was rendered of it for another reader like this."""
    language, person = language_of(request), signed.person
    changed = held.changed[section.part.value]
    key = (section.part, changed, language, person.zone, person.calendar)
    text = live.rendered(key)
    if text is None:
        _ = words_of(request)
        values = {
            "section": section,
            "title": _(TITLES[section.part]),
            "todo": _(DO[section.part]),
            "lines": [_line(request, row) for row in section.rows],
            "zone": view.zone_of(person.zone),
            "calendar": person.calendar,
            "never": _("never"),
        }
        text = view.render("now-part.html", language, values)
        live.remember(key, text)
    return Markup(text)  # noqa: S704 - a template made it, with everything escaped


def _line(request: Asking, row: Row) -> Line:
    _ = words_of(request)
    values: dict[str, Any] = dict(row.values)
    if "clock" in values:
        values["clock"] = _(CLOCKS.get(values["clock"], values["clock"]))
    said = values.pop("said", "")
    return Line(
        id=row.key,
        text=_told(_(KINDS[row.kind]), values),
        more=said,
        tone=row.tone.value,
        state=_(TONES[row.tone]),
        since=row.since,
        due=row.due,
        path=row.path if row.place in pages_there(request.app) else "",
    )


def _told(text: str, values: Mapping[str, str]) -> Markup:
    """Put values into a text; each has its own direction of writing."""
    held = {name: Markup("<bdi>{}</bdi>").format(each) for name, each in values.items()}
    return escape(text).format(**held)


@cache
def pages_there(app: Litestar) -> frozenset[str]:
    """Give the pages that there are, `*` for what each names."""
    return frozenset(
        re.sub(r"\{[^}]*\}", "*", route.path_format)
        for route in app.routes
        if isinstance(route, HTTPRoute) and "GET" in route.methods
    )


HANDLERS = (now,)
