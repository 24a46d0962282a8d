"""What left the node, and what would."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any

from litestar.params import QueryParameter

from serantau.apps.web.api.door import node_of, reading, verb
from serantau.apps.web.api.words import (
    PARTY,
    PLAIN,
    After,
    Answer,
    Count,
    Limit,
    Number,
    PartyName,
    Since,
    Time,
    read_time,
)
from serantau.apps.web.hall import Asking, Lane, hall_of
from serantau.clock import taxii_text
from serantau.desk.audit import note_reading
from serantau.desk.share import Preview
from serantau.errors import NotFound
from serantau.node import Node
from serantau.records.database import Tx
from serantau.records.ledger import Released


class Release(Answer):
    """One row of the release log: when, to whom, how, what for, and how much."""

    number: int
    at: Time
    party: str
    user: str
    way: str
    purpose: str
    collection: str
    objects: Count
    request: str


class ReleasePage(Answer):
    """Rows of the release log, oldest first."""

    releases: list[Release]
    more: bool
    after: Count


class ReleasedObject(Answer):
    """An object version that went."""

    id: str
    type: str
    version: str


class ReleasedPage(Answer):
    """The object versions that one release was of."""

    objects: list[ReleasedObject]
    more: bool
    after: Count


class PreviewRow(Answer):
    """One rule and marking: whether it releases, to how many objects, such as which."""

    released: bool
    rule: str
    got: str
    expected: str
    marking: str
    objects: Count
    samples: list[str]


class PartyPreview(Answer):
    """What one party would get, and why not the rest."""

    party: str
    kind: str
    released: Count
    withheld: Count
    rows: list[PreviewRow]


class SharePreview(Answer):
    """What each party would get."""

    parties: list[PartyPreview]


def told(one: Released) -> Release:
    """Give a row of the release log."""
    return Release(
        number=one.number,
        at=taxii_text(one.at),
        party=one.party,
        user=one.actor,
        way=one.way,
        purpose=one.purpose,
        collection=one.collection,
        objects=one.count,
        request=one.request,
    )


def release_page(
    node: Node, tx: Tx, party: int | None, since: str | None, after: int, limit: int
) -> ReleasePage:
    """Give a page of the release log, of one party or of all."""
    begin = 0 if since is None else read_time(since, "since")
    rows = node.ledger.log(tx, party=party, since=begin, after=after, limit=limit + 1)
    shown = rows[:limit]
    return ReleasePage(
        releases=[told(row) for row in shown],
        more=len(rows) > limit,
        after=shown[-1].number if shown else after,
    )


@verb("GET", "/releases", "releases", 404)
async def releases(
    request: Asking,
    party: Annotated[
        str | None, QueryParameter(pattern=PARTY, description="Only to this party.")
    ] = None,
    since: Since = None,
    after: After = 0,
    limit: Limit = 100,
) -> ReleasePage:
    """List what was given to whom."""
    node = node_of(request)

    def work(tx: Tx) -> ReleasePage:
        number = None if party is None else node.registry.party(tx, party)[0]
        page = release_page(node, tx, number, since, after, limit)
        note_reading(node, "releases", party or "", count=len(page.releases))
        return page

    return await reading(request, work)


@verb("GET", "/releases/{number:int}", "release", 404)
async def release(
    request: Asking, number: Number, after: After = 0, limit: Limit = 100
) -> ReleasedPage:
    """List the object versions that one row of the release log is of."""
    node = node_of(request)

    def work(tx: Tx) -> ReleasedPage:
        runs = node.ledger.stamps_of(tx, number)
        if not runs:
            raise NotFound(f"The release log has no row numbered {number}.")
        stamps = (at for first, last in runs for at in range(first, last + 1))
        wanted = list(islice(stamps, after, after + limit + 1))
        found = node.search.at(tx, wanted[:limit])
        ids = [one.id for one in found]
        note_reading(node, "release", str(number), count=len(ids), objects=ids)
        return ReleasedPage(
            objects=[
                ReleasedObject(id=one.id, type=one.type, version=one.version)
                for one in found
            ],
            more=len(wanted) > limit,
            after=after + len(wanted[:limit]),
        )

    return await reading(request, work)


@verb("GET", "/share/preview", "share-preview", 404)
async def share_preview(
    request: Asking,
    to: Annotated[
        list[PartyName] | None,
        QueryParameter(
            max_items=100,
            schema_extra={"items": {"type": "string", "pattern": PARTY}},
            description="Only these parties; may be repeated.",
        ),
    ] = None,
    q: Annotated[
        str,
        QueryParameter(
            max_length=500, pattern=PLAIN, description="Only what a search finds."
        ),
    ] = "",
) -> SharePreview:
    """Tell what each party would get, by which rule, and why not the rest.

    Nothing leaves by asking. Samples are ids of a few of the objects.
    """
    hall = hall_of(request)

    def work() -> list[Preview]:
        previews = hall.share.preview(to or (), q)
        note_reading(hall.node, "share preview", " ".join([*(to or ()), q]))
        return previews

    found = await hall.run(Lane.SIDE, work)
    return SharePreview(parties=[_preview(each) for each in found])


def _preview(one: Preview) -> PartyPreview:
    return PartyPreview(
        party=one.party.name,
        kind=str(one.party.kind),
        released=one.released,
        withheld=one.withheld,
        rows=[
            PreviewRow(
                released=row.released,
                rule=row.rule,
                got=row.got,
                expected=row.expected,
                marking=row.marking,
                objects=row.count,
                samples=row.samples,
            )
            for row in one.rows
        ],
    )


HANDLERS: tuple[Any, ...] = (releases, release, share_preview)
