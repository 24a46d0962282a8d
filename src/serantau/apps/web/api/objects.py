"""Objects: take them in, tell all about one, find some."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from dataclasses import dataclass
from functools import partial
from typing import IO, Annotated, Any, Final

import msgspec
from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType
from litestar.params import QueryParameter
from msgspec import Meta

from serantau.apps.web.api.door import (
    caller_of,
    node_of,
    permit,
    reading,
    verb,
)
from serantau.apps.web.api.releases import Release, told
from serantau.apps.web.api.withheld import OwnView, Withheld, withheld
from serantau.apps.web.api.words import (
    ALIAS,
    PLAIN,
    Answer,
    Count,
    Level,
    Limit,
    ObjectId,
    Time,
)
from serantau.apps.web.hall import Asking, Hall, Lane, hall_of, state_of
from serantau.clock import taxii_text
from serantau.desk.audit import note_reading
from serantau.desk.dossier import Dossier, Link, Version, dossier, name_of
from serantau.desk.gather import Gathering, Sheet
from serantau.desk.keys import Keys, standing
from serantau.errors import BadInput, BadRequest, TooMany, UnsupportedMedia
from serantau.node import Node
from serantau.records.database import Tx
from serantau.records.quarantine import Fault
from serantau.records.registry import Caller
from serantau.rules.party import Party
from serantau.rules.release import Verdict
from serantau.wire.taxii import content_length, too_large

MEDIA: Final = (
    "application/json",
    "application/x-ndjson",
    "application/octet-stream",
    "application/gzip",
    "application/stix+json",
    "application/taxii+json",
)
_STREAMS: Final = MEDIA[1:4]
_IN_MEMORY: Final = 1 << 20
_AT_ONCE: Final = 4
_GZIP: Final = b"\x1f\x8b"
_FURTHEST: Final = 10_000


class Finding(Answer):
    """Why one object was refused. place: a JSON pointer; where: of the input."""

    where: str
    id: str
    rule: str
    place: str
    got: str
    expected: str


class Loaded(Answer):
    """What became of an input.

    new: admitted. held: here already. refused: in quarantine; reasons counts them by
    rule, findings tells of the first hundred. losses: what MISP said and STIX cannot.
    """

    kind: str
    events: Count
    new: Count
    held: Count
    refused: Count
    reasons: dict[str, int]
    findings: list[Finding]
    losses: list[str]


class VersionTold(Answer):
    """One version: what it is marked with, where from, and who got it.

    signature: valid, unsigned, unknown_key or invalid, as it stands now with its
    creator's signature. signature_reason: why.
    """

    version: str
    added: Time
    source: str
    marking: str
    signature: str
    signature_reason: str
    superseded: bool
    released: list[Release]


class PartyVerdict(Answer):
    """Whether a party may have the newest version, and why."""

    party: str
    kind: str
    released: bool
    rule: str
    got: str
    expected: str


class LinkTold(Answer):
    """A reference to or from another object. by: the property that makes it."""

    by: str
    id: str
    type: str
    name: str


class ObjectTold(Answer):
    """All that the node knows of an object.

    object: the newest version as it came; null when `withheld` says why.
    """

    id: str
    type: str
    name: str
    marking: str
    object: Annotated[msgspec.Raw, Meta(extra_json_schema={"type": ["object", "null"]})]
    withheld: Withheld | None
    versions: list[VersionTold]
    verdicts: list[PartyVerdict]
    refers_to: list[LinkTold]
    referred_by: list[LinkTold]


class Hit(Answer):
    """An object that a search found. name: empty when it is withheld.

    signature: as of a version.
    """

    id: str
    type: str
    name: str
    version: str
    marking: str
    source: str
    signature: str
    withheld: bool


class Hits(Answer):
    """What a search found, best first."""

    objects: list[Hit]
    more: bool
    after: Count


class Loads:
    """How many inputs are being received or taken in at once; they take turns."""

    def __init__(self) -> None:
        """Begin with none."""
        self.under_way = 0
        self.turn = threading.Lock()


@dataclass
class _LoadOperation(Operation):
    """The description of `load`, whose body no type tells."""

    def __post_init__(self) -> None:
        value = Schema(type=OpenAPIType.OBJECT)
        stream = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)
        self.request_body = RequestBody(
            description="A STIX bundle, object or list, NDJSON, or a MISP event.",
            required=True,
            content={
                each: OpenAPIMediaType(schema=stream if each in _STREAMS else value)
                for each in MEDIA
            },
        )


@verb("POST", "/objects", "load", 404, 422, reads=MEDIA, operation_class=_LoadOperation)
async def load(
    request: Asking,
    handle_as: Annotated[
        Level,
        QueryParameter(description="For objects without a TLP marking."),
    ] = "",
    collection: Annotated[
        list[Annotated[str, Meta(pattern=ALIAS)]] | None,
        QueryParameter(
            max_items=20,
            schema_extra={"items": {"type": "string", "pattern": ALIAS}},
            description="Also put them into this box; may be repeated.",
        ),
    ] = None,
) -> Loaded:
    """Take in STIX objects or MISP events.

    The body is a STIX bundle, one object, a list, NDJSON, a TAXII envelope or a MISP
    event, packed with gzip or not. What is refused goes to quarantine and is in the
    answer; sending the same again changes nothing.
    """
    hall = hall_of(request)
    caller = caller_of(request)
    loads: Loads = state_of(request).loads
    boxes = await reading(request, partial(_boxes, hall.node, collection or ()))
    handled = handle_as or hall.node.config.handling.sources.get(caller.user, "")
    if loads.under_way >= _AT_ONCE:
        raise TooMany("Too much is being loaded at once.", wait=30)
    loads.under_way += 1
    try:
        with tempfile.SpooledTemporaryFile(
            _IN_MEMORY, dir=str(hall.node.home)
        ) as spool:
            await _receive(request, hall, spool)
            # What took long to come may come from someone who was shut out meanwhile.
            caller = await hall.as_caller(request, partial(_still, name="load"))
            sheet = await asyncio.to_thread(
                _take, hall.node, loads, spool, caller, handled, boxes
            )
    finally:
        loads.under_way -= 1
    return _loaded(sheet)


def _still(caller: Caller, name: str) -> Caller:
    permit(caller, name)
    return caller


def _boxes(node: Node, names: list[str] | tuple[str, ...], tx: Tx) -> list[int]:
    numbers = []
    for name in names:
        collection = node.registry.collection(tx, name)
        if not collection.box:
            raise BadRequest(
                f"Collection {name!r} is a saved query; nothing is put into it."
            )
        numbers.append(collection.number)
    return numbers


async def _receive(request: Asking, hall: Hall, spool: IO[bytes]) -> None:
    """Receive a body into a file, as it comes; what reads it unpacks gzip itself."""
    limit = hall.node.config.limits.post_bytes
    content_length(request.headers.get("content-length"), limit)
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", "gzip", "x-gzip"}:
        raise UnsupportedMedia(
            f"Content-Encoding is {encoding[:40]!r}, expected gzip or none."
        )
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > limit:
            raise too_large(limit)
        await hall.run(Lane.PACK, partial(spool.write, piece))
    spool.seek(0)
    head = spool.read(2)
    spool.seek(0)
    if not size:
        raise BadInput("The body is empty.")
    if encoding != "identity" and head != _GZIP:
        raise BadInput("The body is not gzip as it says.")


def _take(
    node: Node,
    loads: Loads,
    spool: Any,
    caller: Caller,
    handle_as: str,
    boxes: list[int],
) -> Sheet:
    with loads.turn:
        sheet = Gathering(node).take_stream(
            spool,
            "the body",
            source=f"user:{caller.user}",
            handle_as=handle_as,
            boxes=boxes,
        )
    if sheet.skipped:
        raise BadInput(f"The body cannot be loaded: {sheet.skipped}.")
    return sheet


def _loaded(sheet: Sheet) -> Loaded:
    report = sheet.report
    return Loaded(
        kind=sheet.kind,
        events=sheet.events,
        new=report.new,
        held=report.held,
        refused=report.refused,
        reasons=dict(report.reasons),
        findings=[_finding(fault) for fault in report.faults],
        losses=report.losses,
    )


def _finding(fault: Fault) -> Finding:
    return Finding(
        where=fault.origin,
        id=fault.id,
        rule=fault.rule,
        place=fault.place,
        got=fault.got,
        expected=fault.expected,
    )


@verb("GET", "/objects/{object_id:str}", "show", 404)
async def show(request: Asking, object_id: ObjectId) -> ObjectTold:
    """Tell all about one object, also who may have it and who got it.

    The API is a machine's way: of a TLP:RED object it tells id and marking, not the
    object.
    """
    node, caller = node_of(request), caller_of(request)

    def work() -> ObjectTold:
        found = dossier(node, object_id)
        note_reading(node, "show", found.id, count=1, objects=[found.id])
        with node.db.read() as tx:
            return _object(found, OwnView(node, tx, caller))

    return await hall_of(request).run(Lane.SIDE, work)


def _object(found: Dossier, view: OwnView) -> ObjectTold:
    newest = found.versions[0]
    # One version that is withheld withholds them all: they tell of the same thing.
    verdicts = [view.of(one.found.marking_set) for one in found.versions]
    verdict = next((one for one in verdicts if not one.released), verdicts[0])
    why = withheld(verdict, f"show {found.id}")
    links = [*found.refers, *found.referred]
    readable = view.readable(link.id for link in links)
    return ObjectTold(
        id=found.id,
        type=found.type,
        name="" if why else found.name,
        marking=newest.marking,
        object=msgspec.Raw(b"null" if why else newest.found.body),
        withheld=why,
        versions=[_version(one) for one in found.versions],
        verdicts=[_verdict(party, one) for party, one in found.verdicts],
        refers_to=[_link(each, readable) for each in found.refers if not why],
        # That another object refers to this one is that other object's to tell.
        referred_by=[
            _link(each, readable) for each in found.referred if each.id in readable
        ],
    )


def _version(one: Version) -> VersionTold:
    return VersionTold(
        version=one.found.version,
        added=taxii_text(one.found.added),
        source=one.found.source,
        marking=one.marking,
        signature=one.signature.standing.value,
        signature_reason=one.signature.reason,
        superseded=one.found.superseded,
        released=[told(each) for each in one.released],
    )


def _verdict(party: Party, verdict: Verdict) -> PartyVerdict:
    return PartyVerdict(
        party=party.name,
        kind=str(party.kind),
        released=verdict.released,
        rule=verdict.rule,
        got=verdict.got,
        expected=verdict.expected,
    )


def _link(link: Link, readable: set[str]) -> LinkTold:
    name = link.name if link.id in readable else ""
    return LinkTold(by=link.kind, id=link.id, type=link.type, name=name)


@verb("GET", "/search", "search")
async def search(
    request: Asking,
    q: Annotated[
        str,
        QueryParameter(
            min_length=1,
            max_length=500,
            pattern=PLAIN,
            description="An address, name, hash or URL, defanged or not; an id; or "
            "any text in any script.",
        ),
    ],
    after: Annotated[
        int,
        QueryParameter(ge=0, le=_FURTHEST, description="`after` of the page before."),
    ] = 0,
    limit: Limit = 50,
) -> Hits:
    """Find objects by value, name, id or text."""
    node, caller = node_of(request), caller_of(request)

    def work() -> Hits:
        with node.db.read() as tx:
            found = node.search.find(tx, q, limit=after + limit + 1)
            view = OwnView(node, tx, caller)
            ring = Keys(node).ring(tx)
        share = hall_of(request).share
        page = found[after : after + limit]
        hits = []
        for one in page:
            hidden = not view.of(one.marking_set).released
            hits.append(
                Hit(
                    id=one.id,
                    type=one.type,
                    name="" if hidden else name_of(node, one.body),
                    version=one.version,
                    marking=share.marking(one),
                    source=one.source,
                    signature=standing(one.body, ring, one.added).standing.value,
                    withheld=hidden,
                )
            )
        ids = [one.id for one in page]
        note_reading(node, "search", q, count=len(ids), objects=ids)
        end = after + len(page)
        return Hits(objects=hits, more=len(found) > end and end <= _FURTHEST, after=end)

    return await hall_of(request).run(Lane.SIDE, work)


HANDLERS: tuple[Any, ...] = (load, show, search)
