"""Objects: found as you type, in any script; and downloads of some of them."""

from __future__ import annotations

from io import BytesIO
from typing import Any, Final
from urllib.parse import urlencode

from litestar import Response

from serantau.apps.web.hall import Asking
from serantau.apps.web.pages.asked import whole
from serantau.apps.web.pages.door import (
    as_file,
    doing,
    node_of,
    page,
    shown,
    signed_of,
    words_of,
)
from serantau.apps.web.pages.object_fields import harmless, is_id
from serantau.apps.web.pages.object_words import TYPES, type_words
from serantau.clock import instant
from serantau.desk.audit import note_reading
from serantau.desk.handout import Handout
from serantau.desk.shelf import Asked, Line, Listed, listed, sources
from serantau.errors import BadRequest, NotFound
from serantau.node import Node
from serantau.records.views import Asked as Wanted
from serantau.rules.level import Recalled, Tlp
from serantau.rules.role import Power

AT: Final = "/objects"
_QUERY: Final = 500
_AT_ONCE: Final = 50
_FORMS: Final = {"stix": "bundle", "misp": "misp_file"}


@page(AT, Power.SEE)
async def objects(request: Asking) -> Response[bytes]:
    """List objects, newest first: all, or what a search and filters leave."""
    node, _ = node_of(request), words_of(request)
    asked, wrong = _asked(request)

    def work() -> tuple[Listed, list[str]]:
        found = listed(node, asked)
        ids = [line.id for line in found.lines]
        note_reading(node, "search", asked.text, count=len(ids), objects=ids)
        return found, sources(node)

    found, known = await doing(request, work)
    older = ""
    if found.onward:
        older = f"{AT}?{urlencode({**_query(request), 'before': found.onward})}"
    return await shown(
        request,
        "object-rows.html" if _is_piece(request) else "objects.html",
        lines=[_line(one, _) for one in found.lines],
        asked=asked,
        query={**dict.fromkeys(("q", "type", "tlp", "source", "since"), ""),
               **_query(request)},
        older=older,
        first=not asked.before,
        cut=found.cut,
        wrong=wrong,
        types=[(kind, type_words(kind, _)) for kind in _types(asked.type)],
        levels=[level.label for level in Tlp],
        sources=known,
    )  # fmt: skip


def _is_piece(request: Asking) -> bool:
    return request.headers.get("hx-target") == "found"


def _query(request: Asking) -> dict[str, str]:
    wanted = ("q", "type", "tlp", "source", "since")
    found = {name: request.query_params.get(name, "")[:_QUERY] for name in wanted}
    return {name: text for name, text in found.items() if text}


def _asked(request: Asking) -> tuple[Asked, str]:
    """Read the question; a filter that is none is said, and looked past."""
    given, _ = _query(request), words_of(request)
    wrong, level, since = "", None, 0
    if "tlp" in given:
        try:
            level = Tlp.parse(given["tlp"])
        except ValueError:
            wrong = _("This is no TLP level. All levels are shown.")
    if "since" in given:
        try:
            since = instant(f"{given['since']}T00:00:00Z")
        except ValueError:
            wrong = _("This is no day. Expected a day such as 2026-01-31.")
    asked = Asked(
        text="".join(one for one in given.get("q", "") if one.isprintable()),
        type=given.get("type", ""),
        level=level,
        source=given.get("source", ""),
        since=since,
        before=whole(request, "before"),
    )
    return asked, wrong


def _types(chosen: str) -> list[str]:
    known = [*TYPES]
    return known if chosen in ("", *known) else [*known, chosen]


def _line(one: Line, _: Any) -> dict[str, Any]:
    return {
        "id": one.id,
        "type": type_words(one.type, _),
        "name": harmless(one.name, 160) or one.id,
        "added": one.added,
        "source": harmless(one.source, 60),
        "label": one.label,
        "recalled": one.recalled is not Recalled.NO,
    }


@page(f"{AT}/download", Power.SEE)
async def download(request: Asking) -> Response[bytes]:
    """Give objects as a file: what own people may have by machine, byte for byte."""
    node, caller = node_of(request), signed_of(request).caller
    form = request.query_params.get("form", "stix")
    if form not in _FORMS:
        raise BadRequest("The form is not known, expected stix or misp.")
    ids = tuple(dict.fromkeys(request.query_params.getall("id", [])))
    if not ids or len(ids) > _AT_ONCE:
        raise BadRequest(
            f"{len(ids)} objects are chosen, expected 1 to {_AT_ONCE}.",
            mend="Go back, and tick the rows that you want.",
        )
    body = await doing(request, lambda: _file(node, caller.user, form, ids))
    name = ids[0].partition("--")[0] if len(ids) == 1 and is_id(ids[0]) else "objects"
    return as_file(body, f"{name}.{form}.json", "application/octet-stream")


def _file(node: Node, user: str, form: str, ids: tuple[str, ...]) -> bytes:
    stream = BytesIO()
    write = getattr(Handout(node, user), _FORMS[form])
    note_reading(node, f"download {form}", "", count=len(ids), objects=ids)
    handed = write(node.audiences.own, stream, asked=Wanted(ids=ids))
    if not handed.objects:
        raise NotFound(
            "None of these may be in a file.",
            mend="TLP:RED is read here, and goes into no file.",
        )
    return stream.getvalue()


HANDLERS = (objects, download)
