"""Searching events: one box, facets, a period, bars of time, maps, and rows.

The page comes at once. What the archive is asked for comes after it, each part by
itself and within bounds, in threads of its own; without script `plain` asks for the
whole page. What is searched for is in the address: so it can be kept and sent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlencode

from litestar import Response
from litestar.response import Stream

from serantau.apps.web.hall import Asking, Lane, hall_of
from serantau.apps.web.pages.door import (
    file_headers,
    gone_to,
    language_of,
    node_of,
    page,
    reader_zone,
    shown,
    wants_part,
    words_of,
)
from serantau.apps.web.pages.form import Form
from serantau.apps.web.pages.place import N_
from serantau.apps.web.pages.region import names_of, numbers_of
from serantau.apps.web.pages.times import typed_of
from serantau.desk.audit import note_reading
from serantau.errors import BadRequest
from serantau.rules.role import Power

if TYPE_CHECKING:
    from serantau.desk.lane_search import Counts, Rows, Search

T = TypeVar("T")

PATH: Final = "/events"
LASTS: Final = {
    "1h": (3_600, N_("The last hour")),
    "24h": (86_400, N_("The last 24 hours")),
    "7d": (7 * 86_400, N_("The last 7 days")),
    "30d": (30 * 86_400, N_("The last 30 days")),
    "90d": (90 * 86_400, N_("The last 90 days")),
}
LABELS: Final = {
    "class": N_("Class"),
    "type": N_("Type"),
    "severity": N_("Severity"),
    "party": N_("Owner"),
    "member": N_("State that answers"),
    "feed": N_("Feed"),
    "source_country": N_("Country"),
    "source_asn": N_("AS number"),
    "protocol": N_("Protocol"),
    "source_port": N_("Source port"),
    "destination_port": N_("Destination port"),
    "malware": N_("Malware"),
    "category": N_("National category"),
    "marks": N_("Marks"),
}
"""The facets, in their order."""
_FIRST: Final = "24h"
_MOST_VALUES: Final = 100
_MOST_OPTIONS: Final = 25
_MOST_STATES: Final = 15
_STEPS: Final = 4
_SECOND: Final = 1_000_000
_TYPES: Final = {
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "ndjson": "application/x-ndjson",
}
_PIECE: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class Asked:
    """What an address asks for.

    pairs: what it says of it, as it is kept and sent. last: a key of LASTS, empty with
    `begin` and `end`, which are as typed, in the reader's zone.
    """

    pairs: tuple[tuple[str, str], ...]
    since: int
    until: int
    text: str
    last: str
    begin: str
    end: str
    where: dict[str, list[str]]

    @property
    def query(self) -> str:
        """Give it as the part of an address after `?`."""
        return urlencode(self.pairs)

    def search(self) -> Search:
        """Give what the desk searches for."""
        from serantau.desk.lane_search import Search

        return Search(self.since, self.until, self.text, self.where)

    def other(self, **more: str) -> str:
        """Give the page's address with another period."""
        pairs = [one for one in self.pairs if one[0] not in {"last", "from", "to"}]
        return f"{PATH}?{urlencode([*pairs, *more.items()])}"

    def without(self, name: str, value: str) -> str:
        """Give the page's address without one value of a facet."""
        return f"{PATH}?{urlencode([p for p in self.pairs if p != (name, value)])}"

    def narrowed(self, name: str, value: str) -> str:
        """Give the page's address with one more value of a facet."""
        return f"{PATH}?{urlencode([*self.pairs, (name, value)])}"


def read_asked(request: Asking, form: Form) -> Asked:
    """Read what an address asks for; what is wrong is noted in `form`."""
    _ = words_of(request)
    now = node_of(request).clock.now()
    zone = reader_zone(request)
    text = form.line("q", needed=False)
    begin, end = form.given("from").strip(), form.given("to").strip()
    last = "" if begin or end else form.choice("last", list(LASTS), default=_FIRST)
    since, until = now - LASTS[last or _FIRST][0] * _SECOND, now
    if not last:
        first, final = form.instant("from", zone), form.instant("to", zone)
        until = now if final is None else final
        since = until - LASTS[_FIRST][0] * _SECOND if first is None else first
        if form.ok and since >= until:
            form.fault("from", _("It begins after its end."))
    where = {}
    for name in LABELS:
        values = list(dict.fromkeys(form.all(name)))[:_MOST_VALUES]
        if values:
            where[name] = values
    pairs = [("q", text)] if text else []
    pairs += [("last", last)] if last else [("from", begin), ("to", end)]
    pairs += [(name, value) for name, values in where.items() for value in values]
    return Asked(tuple(pairs), since, until, text, last, begin, end, where)


def form_of(request: Asking) -> Form:
    """Give what stands in the address of a page as a form."""
    return Form(request.query_params.multi_items(), words_of(request))


async def asking_events(request: Asking, work: Callable[[], T]) -> T:
    """Ask the archive, where no other page waits for it."""
    return await hall_of(request).run(Lane.EVENTS, work)


# The page


@page(PATH, Power.SEE)
async def events(request: Asking) -> Response[bytes]:
    """Search events."""
    form = form_of(request)
    asked = read_asked(request, form)
    values: dict[str, Any] = {}
    if form.ok and form.ticked("plain"):
        values = {
            **await _counted(request, asked),
            **await _found(request, asked, form),
        }
    _ = words_of(request)
    return await shown(
        request,
        "events.html",
        status=200 if form.ok else 422,
        form=form,
        asked=asked,
        lasts=[(name, _(said)) for name, (_seconds, said) in LASTS.items()],
        chosen=[
            (_(LABELS[name]), value, asked.without(name, value))
            for name, held in asked.where.items()
            for value in held
        ],
        plain=bool(values),
        **values,
    )


@page("/events/rows", Power.SEE)
async def rows(request: Asking) -> Response[bytes]:
    """Give the next rows of a search, for a page that is there."""
    if not wants_part(request):
        return gone_to(request, f"{PATH}?plain=1&{urlencode(_pairs(request))}")
    form = form_of(request)
    asked = _whole(read_asked(request, form), form)
    found = await _found(request, asked, form)
    return await shown(request, "events-rows.html", asked=asked, **found)


@page("/events/counts", Power.SEE)
async def counts(request: Asking) -> Response[bytes]:
    """Give the bars, maps and facets of a search, for a page that is there."""
    if not wants_part(request):
        return gone_to(request, f"{PATH}?plain=1&{urlencode(_pairs(request))}")
    form = form_of(request)
    asked = _whole(read_asked(request, form), form)
    found = await _counted(request, asked)
    return await shown(request, "events-counts.html", asked=asked, **found)


def _pairs(request: Asking) -> list[tuple[str, str]]:
    return [(name, str(value)) for name, value in request.query_params.multi_items()]


def _whole(asked: Asked, form: Form) -> Asked:
    for said in form.errors.values():
        raise BadRequest(said)
    return asked


async def _found(request: Asking, asked: Asked, form: Form) -> dict[str, Any]:
    node = node_of(request)
    after = form.given("after")

    def work() -> tuple[Rows, str, tuple[str, str]]:
        from serantau.desk.lane_search import cursor_text, find_rows, meant, read_cursor

        cursor = read_cursor(after) if after else None
        found = find_rows(node, asked.search(), cursor)
        note_reading(node, "events", asked.query, count=len(found.rows))
        older = cursor_text(found.older) if found.older else ""
        return found, older, meant(asked.text)

    found, older, understood = await asking_events(request, work)
    return {
        "rows": found.rows,
        "cut": found.cut,
        "older": f"{asked.query}&{urlencode({'after': older})}" if older else "",
        "after": after,
        "meant": understood,
    }


async def _counted(request: Asking, asked: Asked) -> dict[str, Any]:
    node = node_of(request)
    zone = reader_zone(request)

    def work() -> Counts:
        from serantau.desk.lane_search import count

        found = count(node, asked.search(), zone)
        note_reading(node, "events counts", asked.query, count=found.events)
        return found

    found = await asking_events(request, work)
    spans = [(typed_of(b.since, zone), typed_of(b.until, zone)) for b in found.bars]
    _ = words_of(request)
    facets = [
        {
            "name": name,
            "label": _(label),
            "options": [
                (value, _("none") if value == "-" else value, f"{many:,}")
                for value, many in found.facets[name][:_MOST_OPTIONS]
                if value not in asked.where.get(name, ())
            ],
        }
        for name, label in LABELS.items()
        if name != "category" or node.config.lane.categories
    ]
    return {
        "found": found,
        "bars": [
            (begin.replace("T", " ")[:16], bar.events)
            for bar, (begin, _end) in zip(found.bars, spans, strict=True)
        ],
        "spans": spans,
        "begin": typed_of(asked.since, zone),
        "end": typed_of(asked.until, zone),
        "links": [asked.other(**{"from": one, "to": two}) for one, two in spans],
        "facets": facets,
        **_mapped(request, asked, dict(found.facets["source_country"])),
    }


def _mapped(request: Asking, asked: Asked, held: dict[str, int]) -> dict[str, Any]:
    """Give what the maps and the table beside them show."""
    names = names_of(language_of(request))
    codes = [each.code.upper() for each in node_of(request).profile.members]
    most = max([many for code, many in held.items() if code in names], default=0)
    states = {
        code: (names[code], held.get(code, 0), asked.narrowed("source_country", code))
        for code in [*codes, *held]
        if code in names
    }
    numbers = numbers_of()
    return {
        "region": [states[code] for code in codes if code in states],
        "world": [states[c] for c in held if c in states and c not in codes][
            :_MOST_STATES
        ],
        "atlas": {
            numbers[code]: [name, many, href, _step(many, most), code in codes]
            for code, (name, many, href) in states.items()
            if code in numbers
        },
        "least": [round((most + 1) ** (n / _STEPS)) for n in range(_STEPS)],
        "unplaced": sum(many for code, many in held.items() if code not in names),
    }


def _step(many: int, most: int) -> int:
    """Give how dark a state is: 0 for none, else 1 to 4, each some times the last."""
    if not many:
        return 0
    return sum(many >= round((most + 1) ** (n / _STEPS)) for n in range(_STEPS))


# Taking away


@page("/events/file", Power.SEE)
async def file(request: Asking) -> Response[Any] | Stream:
    """Give all rows of a search as a file, as `serantau events --csv` writes it."""
    form = form_of(request)
    asked = _whole(read_asked(request, form), form)
    way = form.choice("as", list(_TYPES))
    _whole(asked, form)
    node = node_of(request)
    folder = TemporaryDirectory(prefix="serantau-events-")
    path = Path(folder.name) / f"events.{way}"

    def work() -> int:
        from serantau.desk.lane_search import export

        written = export(node, asked.search(), way, path)
        note_reading(node, f"events --{way}", asked.query, count=written)
        return written

    try:
        await asking_events(request, work)
    except BaseException:
        folder.cleanup()
        raise
    body = _pieces(request, path, folder)
    return Stream(body, media_type=_TYPES[way], headers=file_headers(f"events.{way}"))


async def _pieces(
    request: Asking, path: Path, folder: TemporaryDirectory[str]
) -> AsyncIterator[bytes]:
    with folder, path.open("rb") as stream:
        read = partial(stream.read, _PIECE)
        while piece := await hall_of(request).run(Lane.EVENTS, read):
            yield piece


HANDLERS = (events, rows, counts, file)
