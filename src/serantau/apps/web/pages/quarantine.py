"""Quarantine: what was refused and why, as text; tried again or dropped by hand."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

from litestar import Response

from serantau.apps.web.hall import Asking
from serantau.apps.web.pages.asked import numbered, whole, whole_of
from serantau.apps.web.pages.door import (
    action,
    doing,
    gone_to,
    node_of,
    page,
    shown,
    words_of,
)
from serantau.apps.web.pages.form import Form
from serantau.apps.web.pages.object_fields import harmless, seen
from serantau.desk.audit import note_reading
from serantau.desk.intake import Intake
from serantau.node import Node
from serantau.records.quarantine import Held
from serantau.rules.role import Power

AT: Final = "/quarantine"
_PAGE: Final = 50
_COUNTED: Final = 10_000
_SHOWN: Final = 20_000


@page(AT, Power.SEE)
async def quarantine(request: Asking) -> Response[bytes]:
    """List what is held, oldest first, by rule or all."""
    return await _listed(request, Form())


async def _listed(request: Asking, form: Form) -> Response[bytes]:
    node = node_of(request)
    rule = request.query_params.get("rule", "")[:100]
    after = whole(request, "after")

    def work() -> tuple[list[Held], Any]:
        with node.db.read() as tx:
            held = node.quarantine.list(tx, after=after, limit=_PAGE + 1, rule=rule)
            counts = node.quarantine.counts(tx, _COUNTED)
        ids = [each.id for each in held[:_PAGE]]
        note_reading(node, "quarantine list", rule, count=len(ids), objects=ids)
        return held, counts

    held, counts = await doing(request, work)
    onward = ""
    if len(held) > _PAGE:
        onward = f"{AT}?{urlencode({'rule': rule, 'after': held[_PAGE - 1].number})}"
    return await shown(
        request,
        "quarantine.html",
        status=200 if form.ok else 422,
        form=form,
        rows=[_row(each) for each in held[:_PAGE]],
        counts=[(name, harmless(name, 80), count) for name, count in counts],
        capped=sum(count for _, count in counts) >= _COUNTED,
        rule=rule,
        onward=onward,
        first=not after,
    )


@page(f"{AT}/{{number:int}}", Power.SEE)
async def refused(request: Asking) -> Response[bytes]:
    """Show one with its text as it came."""
    node, number = node_of(request), numbered(request, "number")

    def work() -> tuple[Held, bytes]:
        with node.db.read() as tx:
            held, body = node.quarantine.get(tx, number)
        asked = str(number)
        note_reading(node, "quarantine show", asked, count=1, objects=[held.id])
        return held, body

    held, body = await doing(request, work)
    text = body[:_SHOWN].decode("utf-8", "backslashreplace")
    return await shown(
        request,
        "quarantine-one.html",
        row=_row(held),
        handle_as=held.handle_as,
        body=seen(text, _SHOWN),
        cut=len(body) > _SHOWN,
    )


@action(f"{AT}/retry", Power.WORK)
async def retry(request: Asking, form: Form) -> Response[bytes]:
    """Try what is ticked again; what is good now leaves quarantine."""
    node, numbers = node_of(request), _ticked(request, form)
    if not numbers:
        return await _listed(request, form)
    await doing(request, lambda: _retry(node, numbers))
    return gone_to(request, AT, "retried")


def _retry(node: Node, numbers: list[int]) -> None:
    intake = Intake(node)
    for number in numbers:
        intake.retry(number)


@action(f"{AT}/drop", Power.WORK)
async def drop(request: Asking, form: Form) -> Response[bytes]:
    """Forget what is ticked, for good."""
    node, numbers = node_of(request), _ticked(request, form)
    if not form.ticked("sure"):
        form.fault("sure", words_of(request)("Say that you are sure, then drop it."))
    if not form.ok:
        return await _listed(request, form)

    def work() -> None:
        with node.db.write() as tx:
            for number in numbers:
                node.quarantine.dismiss(tx, number)

    await doing(request, work)
    return gone_to(request, AT, "dropped")


def _ticked(request: Asking, form: Form) -> list[int]:
    found = list(dict.fromkeys(filter(None, map(whole_of, form.all("number")))))
    if not found:
        form.fault("number", words_of(request)("Tick at least one row."))
    return found[:_PAGE]


def _row(held: Held) -> dict[str, Any]:
    return {
        "number": held.number,
        "at": held.at,
        "source": harmless(held.source, 80),
        "origin": harmless(held.origin, 200),
        "id": harmless(held.id, 120),
        "rule": harmless(held.rule, 80),
        "place": harmless(held.place, 200),
        "got": harmless(held.got, 400),
        "expected": harmless(held.expected, 400),
        "size": held.size,
    }


HANDLERS: Final[tuple[Any, ...]] = (quarantine, refused, retry, drop)
