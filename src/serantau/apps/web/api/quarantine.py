"""Quarantine: what was refused, with the reason."""

from __future__ import annotations

import base64
from typing import Annotated, Any

from litestar.params import QueryParameter

from serantau.apps.web.api.door import caller_of, node_of, reading, verb, writing
from serantau.apps.web.api.withheld import OwnView, Withheld, withheld
from serantau.apps.web.api.words import (
    PLAIN,
    After,
    Answer,
    Count,
    Limit,
    Number,
    Time,
)
from serantau.apps.web.hall import Asking, Lane, hall_of
from serantau.clock import taxii_text
from serantau.desk.audit import note_reading
from serantau.records.database import Tx
from serantau.records.quarantine import Held


class HeldTold(Answer):
    """Something refused. origin: where it stood. place: a JSON pointer."""

    number: int
    at: Time
    source: str
    origin: str
    id: str
    rule: str
    place: str
    expected: str
    bytes: Count


class HeldList(Answer):
    """What is held, oldest first."""

    held: list[HeldTold]
    more: bool
    after: Count


class HeldDetail(Answer):
    """Something refused, with its content.

    got: what was found there. body: its bytes in Base64, as it may be no text. Both are
    null when `withheld` says why: TLP:RED, or markings that nobody can read.
    """

    entry: HeldTold
    got: str | None
    body: str | None
    withheld: Withheld | None


class Retried(Answer):
    """What became of it: admitted, here already, or refused again."""

    new: Count
    held: Count
    refused: Count
    rule: str
    got: str | None
    expected: str


def _told(one: Held) -> HeldTold:
    return HeldTold(
        number=one.number,
        at=taxii_text(one.at),
        source=one.source,
        origin=one.origin,
        id=one.id,
        rule=one.rule,
        place=one.place,
        expected=one.expected,
        bytes=one.size,
    )


@verb("GET", "/quarantine", "quarantine")
async def quarantine(
    request: Asking,
    source: Annotated[
        str,
        QueryParameter(
            max_length=200,
            pattern=PLAIN,
            description="Only from this one: `file`, `user:NAME`, `peer:NAME`.",
        ),
    ] = "",
    after: After = 0,
    limit: Limit = 100,
) -> HeldList:
    """List what was refused, and under which rule."""
    node = node_of(request)

    def work(tx: Tx) -> list[Held]:
        found = node.quarantine.list(tx, after=after, limit=limit + 1, source=source)
        ids = [one.id for one in found[:limit]]
        note_reading(node, "quarantine list", source, count=len(ids), objects=ids)
        return found

    rows = await reading(request, work)
    shown = rows[:limit]
    return HeldList(
        held=[_told(row) for row in shown],
        more=len(rows) > limit,
        after=shown[-1].number if shown else after,
    )


@verb("GET", "/quarantine/{number:int}", "quarantined", 404)
async def quarantined(request: Asking, number: Number) -> HeldDetail:
    """Tell of one thing that was refused, with its content."""
    node, caller = node_of(request), caller_of(request)

    def work(tx: Tx) -> HeldDetail:
        held, body = node.quarantine.get(tx, number)
        note_reading(node, "quarantine show", str(number), count=1, objects=[held.id])
        verdict = OwnView(node, tx, caller).of_refused(held, body)
        why = withheld(verdict, f"quarantine show {number}")
        return HeldDetail(
            entry=_told(held),
            got=None if why else held.got,
            body=None if why else base64.b64encode(body).decode("ascii"),
            withheld=why,
        )

    return await reading(request, work)


@verb("POST", "/quarantine/{number:int}/retry", "retry-quarantined", 404)
async def retry_quarantined(request: Asking, number: Number) -> Retried:
    """Try again; when it is admitted it leaves quarantine."""
    hall, caller = hall_of(request), caller_of(request)

    def work() -> Retried:
        with hall.node.db.read() as tx:
            held, body = hall.node.quarantine.get(tx, number)
            clear = OwnView(hall.node, tx, caller).of_refused(held, body).released
        report = hall.intake.retry(number)
        fault = report.faults[0] if report.faults else None
        return Retried(
            new=report.new,
            held=report.held,
            refused=report.refused,
            rule=fault.rule if fault else "",
            got=(fault.got if fault else "") if clear else None,
            expected=fault.expected if fault else "",
        )

    return await hall.run(Lane.WRITE, work)


@verb("DELETE", "/quarantine/{number:int}", "drop-quarantined", 404, status=204)
async def drop_quarantined(request: Asking, number: Number) -> None:
    """Forget one for good."""
    await writing(request, lambda tx: node_of(request).quarantine.dismiss(tx, number))


HANDLERS: tuple[Any, ...] = (
    quarantine,
    quarantined,
    retry_quarantined,
    drop_quarantined,
)
