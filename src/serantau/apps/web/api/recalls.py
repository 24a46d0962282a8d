"""Recalls: ask for objects back, and tell who answered what."""

from __future__ import annotations

from typing import Annotated, Any

from litestar.params import JSONBody
from msgspec import Meta

from serantau.apps.web.api.door import caller_of, node_of, verb
from serantau.apps.web.api.words import (
    PLAIN,
    After,
    Answer,
    Count,
    Given,
    Limit,
    ObjectId,
    PartyId,
    Time,
    time_of,
)
from serantau.apps.web.hall import Asking, Lane, hall_of
from serantau.clock import taxii_text
from serantau.desk.recall import NO_GUARANTEE, Recalling
from serantau.desk.recall_table import Told
from serantau.rules.recall import REASON, Said

Reason = Annotated[str, Meta(max_length=REASON, pattern=PLAIN)]


class RecalledVersion(Answer):
    """A version that a party got, with the digest of its text."""

    version: str
    sha256: str


class RecallParty(Answer):
    """How it stands with one party.

    ways, got, versions: how and when it first got which, by this node's release log.
    via: the relay that told of it, empty where this node gave it. told: when its node
    fetched the recall. answer: withdrawn, kept, absent, or empty for none yet. proven:
    whether it is signed with a key of that party that was compared; doubt: why not.
    note: what a person wrote down of it.
    """

    party: str
    ways: list[str]
    via: str
    got: Time | None
    versions: list[RecalledVersion]
    told: Time | None
    answer: str
    answered: Time | None
    proven: bool
    doubt: str
    note: str


class RecallTold(Answer):
    """A recall.

    kind: narrowed, revoked or recalled. before: versions before this are covered. mine:
    it is of this node's own object. doubt: why it is not believed, empty when it is.
    here: what this node answered. kept: why it is kept under a legal duty, empty when
    it is not.
    """

    number: int
    object: str
    kind: str
    by: str
    mine: bool
    at: Time
    before: Time
    reason: str
    doubt: str
    here: str
    kept: str
    parties: list[RecallParty]


class RecallList(Answer):
    """Recalls, oldest first. caution: what a reader has to be told with them."""

    recalls: list[RecallTold]
    more: bool
    after: Count
    caution: str


class RecallGiven(Given):
    """Why it is recalled; everybody whom the recall reaches reads it."""

    reason: Reason = ""


class KeepGiven(Given):
    """The law or the order that asks for it; it stays here."""

    reason: Annotated[str, Meta(min_length=1, max_length=REASON, pattern=PLAIN)]


class AnswerGiven(Given):
    """What a party without a node said, and how."""

    state: Said
    note: Reason = ""


def _told(told: Told) -> RecallTold:
    held = told.held
    return RecallTold(
        number=held.number,
        object=held.object,
        kind=str(held.kind),
        by=held.node,
        mine=held.mine,
        at=taxii_text(held.at),
        before=taxii_text(held.before),
        reason=held.reason,
        doubt=held.fault,
        here=told.own,
        kept="" if told.hold is None else told.hold.reason,
        parties=[
            RecallParty(
                party=line.party,
                ways=line.ways.split(", ") if line.ways else [],
                via=line.via,
                got=time_of(line.got),
                versions=[
                    RecalledVersion(version=version, sha256=digest)
                    for version, digest in line.versions
                ],
                told=time_of(line.fetched),
                answer=line.state,
                answered=time_of(line.answered),
                proven=bool(line.state) and not line.doubt,
                doubt=line.doubt,
                note=line.noted,
            )
            for line in told.lines
        ],
    )


def _list(several: list[Told], *, more: bool = False, after: int = 0) -> RecallList:
    last = several[-1].held.number if several else after
    return RecallList(
        recalls=[_told(each) for each in several],
        more=more,
        after=last,
        caution=NO_GUARANTEE,
    )


@verb("GET", "/recalls", "recalls")
async def recalls(request: Asking, after: After = 0, limit: Limit = 100) -> RecallList:
    """List recalls, this node's own and those of others."""
    node = node_of(request)

    def work() -> RecallList:
        found = Recalling(node).every(after=after, limit=limit + 1)
        return _list(found[:limit], more=len(found) > limit, after=after)

    return await hall_of(request).run(Lane.SIDE, work)


@verb("GET", "/recalls/{object_id:str}", "recall", 404)
async def recall(request: Asking, object_id: ObjectId) -> RecallList:
    """Tell who got an object that was recalled, and what each answered."""
    node = node_of(request)
    return await hall_of(request).run(
        Lane.SIDE, lambda: _list(Recalling(node).told(object_id))
    )


@verb("POST", "/recalls/{object_id:str}", "make-recall", 404, 409)
async def make_recall(
    request: Asking, object_id: ObjectId, data: JSONBody[RecallGiven]
) -> RecallList:
    """Recall an object that this node made, and tell everybody who got it."""
    node = node_of(request)

    def work() -> RecallList:
        recalling = Recalling(node)
        recalling.recall([object_id], data.reason)
        return _list(recalling.told(object_id))

    return await hall_of(request).run(Lane.WRITE, work)


@verb("PUT", "/recalls/{object_id:str}/keep", "keep-object", 404, status=204)
async def keep_object(
    request: Asking, object_id: ObjectId, data: JSONBody[KeepGiven]
) -> None:
    """Keep an object under a legal duty once it is recalled, or already was."""
    node, user = node_of(request), caller_of(request).user
    await hall_of(request).run(
        Lane.WRITE, lambda: Recalling(node).keep(object_id, data.reason, user)
    )


@verb("DELETE", "/recalls/{object_id:str}/keep", "let-object-go", 404, status=204)
async def let_object_go(request: Asking, object_id: ObjectId) -> None:
    """Keep an object no longer."""
    node = node_of(request)
    await hall_of(request).run(Lane.WRITE, lambda: Recalling(node).let_go(object_id))


@verb("PUT", "/recalls/{object_id:str}/answers/{name:str}", "note-answer", 404, 409)
async def note_answer(
    request: Asking, object_id: ObjectId, name: PartyId, data: JSONBody[AnswerGiven]
) -> RecallList:
    """Write down what a party without a node said; it is shown as by hand."""
    node, user = node_of(request), caller_of(request).user

    def work() -> RecallList:
        recalling = Recalling(node)
        recalling.note(object_id, name, data.state, data.note, user)
        return _list(recalling.told(object_id))

    return await hall_of(request).run(Lane.WRITE, work)


HANDLERS: tuple[Any, ...] = (
    recalls,
    recall,
    make_recall,
    keep_object,
    let_object_go,
    note_answer,
)
