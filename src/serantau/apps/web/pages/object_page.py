"""One object: what it says, who may have it and who got it, and what is around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from litestar import Response

from serantau.apps.web.hall import Asking
from serantau.apps.web.pages.asked import named
from serantau.apps.web.pages.door import (
    HEADERS,
    doing,
    node_of,
    page,
    shown,
    signed_of,
    words_of,
)
from serantau.apps.web.pages.object_fields import (
    differences,
    fields_of,
    harmless,
    is_id,
    references_in,
)
from serantau.apps.web.pages.object_words import type_words
from serantau.desk.around import Around, Seen, around, seen
from serantau.desk.audit import note_reading
from serantau.desk.behalf import Behalf
from serantau.desk.compose import CHANGED
from serantau.desk.dossier import Dossier, dossier, names_of
from serantau.desk.recall import Recalling
from serantau.desk.shelf import Label, labels_of
from serantau.desk.warned import warned
from serantau.errors import NotFound
from serantau.node import Node
from serantau.rules.party import Party
from serantau.rules.release import RULES, Verdict
from serantau.rules.role import Power
from serantau.rules.stix import Refused

AT: Final = "/objects/{object_id:str}"
_VERSIONS: Final = 30
_RELEASES: Final = 100

_Words = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class _Whole:
    """Everything that the page shows of one object."""

    told: Dossier
    label: Label
    names: dict[str, str]
    near: Around
    sighted: Seen
    lists: list[tuple[str, str, list[str]]]
    recalls: list[Any]
    published: list[tuple[str, str]]


def object_id_of(request: Asking) -> str:
    """Give the id in the address.

    Raises:
        NotFound: it is none.
    """
    found = named(request, "object_id")
    if not is_id(found):
        raise NotFound("This node has no such object.")
    return found


@page(AT, Power.SEE)
async def object_page(request: Asking) -> Response[bytes]:
    """Show all about one object, also who may have it and who got it."""
    node, _, signed = node_of(request), words_of(request), signed_of(request)
    object_id = object_id_of(request)
    whole = await doing(request, lambda: _whole(node, object_id))
    told = whole.told
    known, other = fields_of(told.data, whole.names, _)
    was, now = _compared(request, told)
    own = told.data.get("created_by_ref") == node.config.node.identity
    return await shown(
        request,
        "object.html",
        id=told.id,
        name=harmless(told.name, 200) or told.id,
        kind=type_words(told.type, _),
        label=whole.label,
        fields=known,
        other=other,
        newest=told.versions[0],
        versions=told.versions[:_VERSIONS],
        more_versions=max(0, len(told.versions) - _VERSIONS),
        choices=[(one.found.version, one.found.version) for one in told.versions],
        was=was,
        now=now,
        changes=_changes(told, was, now, _),
        verdicts=alike(told.verdicts),
        rules=RULES,
        released=[
            (one.found.version, each)
            for one in told.versions
            for each in one.released
        ][:_RELEASES],
        links=_links(whole.near, told.id, _),
        more_links=whole.near.cut,
        sighted=whole.sighted,
        lists=whole.lists,
        recalls=whole.recalls,
        published=whole.published,
        revoked=told.data.get("revoked") is True,
        own=own,
        change=own and told.type in CHANGED and signed.may(Power.WORK),
    )  # fmt: skip


def _whole(node: Node, object_id: str) -> _Whole:
    told = dossier(node, object_id, most=0)
    published = [(one.party, one.published) for one in Behalf(node).of_object(told.id)]
    note_reading(node, "show", told.id, count=1, objects=[told.id])
    newest = told.versions[0].found
    with node.db.read() as tx:
        label = labels_of(node, tx, [newest])[newest.marking_set]
    try:
        recalls = list(Recalling(node).told(told.id))
    except NotFound:
        recalls = []
    return _Whole(
        told,
        label,
        names_of(node, list(references_in(told.data))),
        around(node, told.id),
        seen(node, told.id),
        _warned(node, newest.body),
        recalls,
        published,
    )


def _warned(node: Node, body: bytes) -> list[tuple[str, str, list[str]]]:
    """Give the values of an object that are on a warninglist, with the lists' names."""
    try:
        values = node.reader.read(body).values[:50]
    except Refused:
        return []
    return [
        (kind, harmless(value, 200), names)
        for (kind, value), names in zip(values, warned(node, values), strict=True)
        if names
    ]


def _compared(request: Asking, told: Dossier) -> tuple[str, str]:
    """Say which versions are compared: as asked, else the newest with that before."""
    held = [one.found.version for one in told.versions]
    was = request.query_params.get("was", "")
    now = request.query_params.get("now", "")
    if was in held and now in held:
        return was, now
    return (held[1], held[0]) if len(held) > 1 else (held[0], held[0])


def _changes(
    told: Dossier, was: str, now: str, _: _Words
) -> list[tuple[str, str | None, str | None]]:
    bodies = {one.found.version: one.found.body for one in told.versions}
    one, other = (orjson.loads(bodies[each]) for each in (was, now))
    return differences(one, other, _)


def alike(
    verdicts: Sequence[tuple[Party, Verdict]],
) -> list[tuple[list[str], str, Verdict]]:
    """Give one row for all parties of a kind with the same verdict."""
    found: dict[tuple[str, bool, str, str], tuple[list[str], Verdict]] = {}
    for party, verdict in verdicts:
        key = (str(party.kind), verdict.released, verdict.rule, verdict.got)
        found.setdefault(key, ([], verdict))[0].append(party.name)
    rows = [(names, key[0], verdict) for key, (names, verdict) in found.items()]
    return sorted(rows, key=lambda row: not row[2].released)


def _links(found: Around, object_id: str, _: _Words) -> list[dict[str, str]]:
    """Give a row for each line from or to an object."""
    spots = {spot.id: spot for spot in found.spots}
    rows = []
    for line in found.lines:
        away = line.source == object_id
        spot = spots[line.target if away else line.source]
        if object_id in (line.source, line.target) and is_id(spot.id):
            rows.append(
                {
                    "way": _("to") if away else _("from"),
                    "by": harmless(line.label, 80),
                    "id": spot.id if spot.held else "",
                    "type": type_words(spot.type, _),
                    "name": harmless(spot.name, 160) or spot.id,
                }
            )
    return rows


@page(f"{AT}/graph", Power.SEE)
async def graph(request: Asking) -> Response[bytes]:
    """Give what is one step from an object, to be drawn."""
    node, _ = node_of(request), words_of(request)
    object_id = object_id_of(request)

    def work() -> Around:
        found = around(node, object_id)
        ids = [spot.id for spot in found.spots]
        note_reading(node, "graph", object_id, count=len(ids), objects=ids)
        return found

    found = await doing(request, work)
    body = orjson.dumps(
        {
            "nodes": [
                {
                    "id": spot.id,
                    "type": type_words(spot.type, _),
                    "name": harmless(spot.name, 60) or type_words(spot.type, _),
                    "held": spot.held,
                }
                for spot in found.spots
            ],
            "edges": [
                {
                    "source": line.source,
                    "target": line.target,
                    "label": harmless(line.label, 60),
                }
                for line in found.lines
            ],
            "cut": found.cut,
        }
    )
    return Response(body, media_type="application/json", headers=dict(HEADERS))


HANDLERS = (object_page, graph)
