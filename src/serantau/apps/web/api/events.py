"""Events: take them in durably, and tell how far each batch of them came."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final, Literal

from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType
from litestar.params import PathParameter, QueryParameter
from msgspec import Meta

from serantau.apps.web.api.door import caller_of, node_of, permit, reading, verb
from serantau.apps.web.api.words import (
    END,
    MOST,
    NO_CONTROL,
    Answer,
    Count,
    Level,
    Limit,
    Time,
    read_level,
    time_of,
)
from serantau.apps.web.hall import Asking, Hall, Lane, hall_of
from serantau.clock import taxii_text
from serantau.desk.lane import FeedStanding, Kept, Told
from serantau.desk.lane import Lane as EventLane
from serantau.errors import BadInput, UnsupportedMedia
from serantau.lane.originals import SMALL, Draft
from serantau.records.batches import Batch, Batches, State
from serantau.records.database import Tx
from serantau.records.registry import Caller
from serantau.wire.taxii import content_length, too_large

MEDIA: Final = (
    "text/csv",
    "text/tab-separated-values",
    "text/plain",
    "application/json",
    "application/x-ndjson",
    "application/vnd.apache.arrow.stream",
    "application/vnd.apache.arrow.file",
    "application/gzip",
    "application/zip",
    "application/zstd",
    "application/octet-stream",
)
_PACKED: Final = {
    "identity": b"",
    "gzip": b"\x1f\x8b",
    "x-gzip": b"\x1f\x8b",
    "zstd": b"\x28\xb5\x2f\xfd",
}
_FEED: Final = rf"^[a-z0-9][a-z0-9._-]{{0,62}}{END}"
_ANY_FEED: Final = rf"^([a-z0-9][a-z0-9._-]{{0,62}})?{END}"
_WORD: Final = rf"^[A-Za-z0-9._-]{{0,100}}{END}"
_FILE: Final = rf"^[^{NO_CONTROL}/]{{0,200}}{END}"

BatchId = Annotated[
    str,
    PathParameter(
        pattern=rf"^[0-9a-f]{{64}}{END}", description="SHA-256 of its bytes, in hex."
    ),
]
Digest = Annotated[str, Meta(pattern=rf"^[0-9a-f]{{64}}{END}")]


class BatchTold(Answer):
    """How far a batch came.

    batch: the SHA-256 of its bytes. rows, rejects: what it gave, once it is done.
    fault: what went wrong last, or why it is held.
    """

    batch: Digest
    number: Count
    feed: str
    format: str
    report: str
    name: str
    source: str
    size: Count
    received: Time
    state: Literal["stored", "held", "running", "done", "failed", "dropped"]
    rows: Count
    rejects: Count
    fault: str


class Taken(Answer):
    """What became of bytes: their batch, and whether they were new here."""

    new: bool
    batch: BatchTold


class BatchList(Answer):
    """Batches, the newest first. before: of the next page."""

    batches: list[BatchTold]
    more: bool
    before: Count


class FeedTold(Answer):
    """How it stands with one feed.

    last: when its newest batch came. waiting: when the oldest one came that is not
    worked on. rate: rows a second in the last batches. alarms: what to see to.
    """

    feed: str
    way: Literal["url", "folder", "mailbox", "posted"]
    states: dict[str, int]
    rows: Count
    rejects: Count
    last: Time | None
    waiting: Time | None
    rate: float | None
    alarms: list[str]


class LaneTold(Answer):
    """How it stands with the event lane."""

    states: dict[str, int]
    feeds: list[FeedTold]


@dataclass
class _AddOperation(Operation):
    """The description of `add-events`, whose body no type tells."""

    def __post_init__(self) -> None:
        stream = Schema(
            type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY, min_length=1
        )
        self.request_body = RequestBody(
            description="CSV, TSV, JSON lines, Arrow, or any file of a known format, "
            "packed or not.",
            required=True,
            content={each: OpenAPIMediaType(schema=stream) for each in MEDIA},
        )


@verb(
    "POST",
    "/events",
    "add-events",
    422,
    status=202,
    reads=MEDIA,
    operation_class=_AddOperation,
)
async def add_events(
    request: Asking,
    feed: Annotated[
        str, QueryParameter(pattern=_FEED, description="Who reported them.")
    ],
    format_name: Annotated[
        str,
        QueryParameter(
            name="format", pattern=_WORD, description="How the body is read."
        ),
    ] = "",
    report: Annotated[
        str, QueryParameter(pattern=_WORD, description="The kind of report.")
    ] = "",
    name: Annotated[
        str, QueryParameter(pattern=_FILE, description="The file's name.")
    ] = "",
    tlp: Annotated[
        Level, QueryParameter(description="Of rows that name no level.")
    ] = "",
) -> Taken:
    """Take in events; they are on disk when this answers, and worked on soon.

    The batch is named by the SHA-256 of the body: sending the same again changes
    nothing. Whether its rows can be read is told by the batch afterwards.
    """
    hall = hall_of(request)
    caller = caller_of(request)
    told = Told(
        feed, format_name, report, name, f"user:{caller.user}", read_level(tlp, "tlp")
    )
    lane = EventLane(hall.node)
    with lane.originals.draft() as draft:
        slow = await _receive(request, hall, draft)
        if slow:
            # Who was let in when it began may have been shut out meanwhile.
            await hall.as_caller(request, partial(_still, name="add-events"))
        kept = await hall.run(Lane.WRITE, partial(lane.keep, draft, told))
    return _taken(kept)


def _still(caller: Caller, name: str) -> None:
    permit(caller, name)


async def _receive(request: Asking, hall: Hall, draft: Draft) -> bool:
    """Receive a body as it comes; says whether it was a large one."""
    limit = hall.node.config.limits.post_bytes
    content_length(request.headers.get("content-length"), limit)
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in _PACKED:
        raise UnsupportedMedia(
            f"Content-Encoding is {encoding[:40]!r}, expected gzip, zstd or none."
        )
    async for piece in request.stream():
        if draft.size + len(piece) > limit:
            raise too_large(limit)
        if draft.size + len(piece) > SMALL:
            await hall.run(Lane.PACK, partial(draft.write, piece))
        else:
            draft.write(piece)
    begin = _PACKED[encoding]
    if begin and not draft.head(len(begin)).startswith(begin):
        raise BadInput(f"The body is not {encoding} as it says.")
    return draft.path is not None


def _taken(kept: Kept) -> Taken:
    return Taken(new=kept.new, batch=_batch(kept.batch))


def _batch(batch: Batch) -> BatchTold:
    return BatchTold(
        batch=batch.digest,
        number=batch.number,
        feed=batch.feed,
        format=batch.format,
        report=batch.report,
        name=batch.name,
        source=batch.source,
        size=batch.size,
        received=taxii_text(batch.received),
        state=batch.state.value,
        rows=batch.rows,
        rejects=batch.rejects,
        fault=batch.fault,
    )


@verb("GET", "/batches", "batches")
async def batches(
    request: Asking,
    only: Annotated[
        Literal["", "stored", "held", "running", "done", "failed", "dropped"],
        QueryParameter(name="state", description="Only in this state."),
    ] = "",
    feed: Annotated[
        str, QueryParameter(pattern=_ANY_FEED, description="Only of this feed.")
    ] = "",
    before: Annotated[
        int,
        QueryParameter(
            ge=0, le=MOST, description="`before` of the page before; 0 to begin."
        ),
    ] = 0,
    limit: Limit = 100,
) -> BatchList:
    """List batches of events, the newest first."""

    def work(tx: Tx) -> list[Batch]:
        return Batches().recent(
            tx,
            state=State(only) if only else None,
            feed=feed,
            before=before,
            limit=limit + 1,
        )

    found = await reading(request, work)
    page = found[:limit]
    return BatchList(
        batches=[_batch(one) for one in page],
        more=len(found) > limit,
        before=page[-1].number if page else 0,
    )


@verb("GET", "/batches/{digest:str}", "batch", 404)
async def batch(request: Asking, digest: BatchId) -> BatchTold:
    """Tell how far a batch of events came."""
    return _batch(await reading(request, lambda tx: Batches().get(tx, digest)))


@verb("GET", "/lane", "lane")
async def lane(request: Asking) -> LaneTold:
    """Tell how it stands with the feeds of events, and what to see to."""
    held = EventLane(node_of(request))
    standing = await hall_of(request).run(Lane.SIDE, held.standing)
    return LaneTold(
        states={state.value: count for state, count in standing.states.items()},
        feeds=[_feed(one) for one in standing.feeds],
    )


def _feed(one: FeedStanding) -> FeedTold:
    totals = one.totals
    return FeedTold(
        feed=one.name,
        way=one.way,  # type: ignore[arg-type]
        states={
            state.value: count
            for state, count in (totals.states if totals else {}).items()
        },
        rows=totals.rows if totals else 0,
        rejects=totals.rejects if totals else 0,
        last=time_of(totals.last if totals else 0),
        waiting=time_of(totals.waiting if totals else 0),
        rate=totals.recent / totals.seconds if totals and totals.seconds else None,
        alarms=list(one.alarms),
    )


HANDLERS: tuple[Any, ...] = (add_events, batches, batch, lane)
