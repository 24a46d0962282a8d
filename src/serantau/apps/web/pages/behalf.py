"""Having a coordinator publish something, so that nobody learns whose it was.

What would be published is shown beside what stands here; the form that hands it over
carries what was seen. At a coordinator: what members handed over, to publish or not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import orjson
from litestar import Response

from serantau.apps.web.hall import Asking
from serantau.apps.web.pages.asked import numbered
from serantau.apps.web.pages.door import (
    action,
    doing,
    gone_to,
    node_of,
    page,
    shown,
    signed_of,
)
from serantau.apps.web.pages.form import Form
from serantau.desk.audit import note_reading
from serantau.desk.behalf import Behalf, Moved, Plan, digest_of, read_edits
from serantau.desk.outlook import Field, Outlook
from serantau.desk.publisher import Looked, Publisher
from serantau.errors import BadRequest, Conflict, Forbidden, NotFound
from serantau.node import Node
from serantau.records.behalf import Handed, Held, Link
from serantau.rules.marking import Tlp
from serantau.rules.party import Kind
from serantau.rules.role import Power

PATH: Final = "/share/behalf"
_ROWS: Final = 50
_IDS: Final = 20_000
_MENDED: Final = (BadRequest, NotFound, Forbidden, Conflict)


@dataclass(frozen=True, slots=True)
class Beside:
    """One object: field by field what stands here and what would be published."""

    id: str
    rows: list[Field]
    left: tuple[str, ...]
    hits: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _All:
    """What was handed over, what came, and to whom something may be handed."""

    handed: list[tuple[Handed, list[Link], bool]]
    came: list[Held]
    parties: list[str]


def _text(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _beside(node: Node, plan: Plan) -> list[Beside]:
    outlook, found = Outlook(node), []
    for one in plan.objects:
        exact = outlook.exactly(plan.party, one.id)
        here = {field.name: field.here for field in exact.fields if field.here}
        goes = {name: _text(value) for name, value in one.data.items()}
        # The new id is another each time that it is worked out.
        rows = [
            Field(name, here.get(name), goes.get(name))
            for name in sorted(here.keys() | goes.keys())
            if name != "id"
        ]
        found.append(
            Beside(one.id, rows, tuple(map(str, one.left)), tuple(map(str, one.hits)))
        )
    return found


async def _list(
    request: Asking, form: Form, *, status: int = 200, wrong: str = ""
) -> Response[bytes]:
    node = node_of(request)

    def work() -> _All:
        handed, came = Behalf(node).all(), Publisher(node).all()
        with node.db.read() as tx:
            parties = [party for _, party in node.registry.parties(tx).values()]
        read = [link.original for _, links, _ in handed for link in links]
        note_reading(node, "behalf list", "", count=len(handed), objects=read)
        return _All(
            handed[::-1][:_ROWS],
            came[::-1][:_ROWS],
            sorted(
                one.name
                for one in parties
                if one.kind is Kind.COORDINATOR and one.identity
            ),
        )

    found = await doing(request, work)
    return await shown(
        request,
        "behalf.html",
        status=status,
        form=form,
        wrong=wrong,
        handed=found.handed,
        came=found.came,
        parties=found.parties,
    )


@page(PATH, Power.SEND)
async def behalf(request: Asking) -> Response[bytes]:
    """List what was handed over and what came, and ask what is to be handed over."""
    return await _list(request, Form())


def _asked(form: Form) -> Callable[[Behalf], Plan]:
    """Read what is to be published; gives what works it out."""
    party = form.line("party")
    ids = list(dict.fromkeys(form.text("objects", most=_IDS).split()))
    level = form.choice("tlp", ("", Tlp.CLEAR.label, Tlp.GREEN.label))
    edits = form.text("edits", needed=False).splitlines()

    def planned(work: Behalf) -> Plan:
        tlp = Tlp.parse(level) if level else None
        said = read_edits((line for line in edits if line.strip()), ids)
        return work.plan(party, ids, tlp=tlp, edits=said)

    return planned


async def _plan(
    request: Asking, form: Form, plan: Plan, *, moved: bool = False
) -> Response[bytes]:
    node = node_of(request)
    return await shown(
        request,
        "behalf-look.html",
        status=HTTPStatus.CONFLICT if moved else HTTPStatus.OK,
        plan=plan,
        seen=digest_of(plan),
        beside=await doing(request, lambda: _beside(node, plan)),
        form=form,
        moved=moved,
    )


@action(f"{PATH}/look", Power.SEND)
async def behalf_look(request: Asking, form: Form) -> Response[bytes]:
    """Show what would be published beside what stands here; nothing leaves."""
    node, planned = node_of(request), _asked(form)
    if not form.ok:
        return await _list(request, form, status=HTTPStatus.UNPROCESSABLE_ENTITY)

    def work() -> Plan:
        plan = planned(Behalf(node))
        note_reading(node, "behalf look", plan.party, objects=list(plan.ids))
        return plan

    try:
        plan = await doing(request, work)
    except _MENDED as fault:
        unprocessable = HTTPStatus.UNPROCESSABLE_ENTITY
        return await _list(request, form, status=unprocessable, wrong=str(fault))
    return await _plan(request, form, plan)


@action(PATH, Power.SEND)
async def behalf_hand(request: Asking, form: Form) -> Response[bytes]:
    """Hand over exactly what was shown."""
    node, planned, seen = node_of(request), _asked(form), form.line("seen")
    who = signed_of(request).caller.user
    if not (form.ok and form.ticked("sure")):
        raise BadRequest("Nothing was ticked, so nothing was handed over.")

    def work() -> int:
        desk = Behalf(node)
        sealed = form.ticked("sealed")
        return desk.hand_as_seen(planned(desk), seen, actor=who, sealed=sealed)

    try:
        await doing(request, work)
    except Moved as moved:
        return await _plan(request, form, moved.plan, moved=True)
    except _MENDED as fault:
        unprocessable = HTTPStatus.UNPROCESSABLE_ENTITY
        return await _list(request, form, status=unprocessable, wrong=str(fault))
    return gone_to(request, PATH, "handed-over")


@action(f"{PATH}/{{number:int}}/withdraw", Power.SEND)
async def behalf_withdraw(request: Asking, form: Form) -> Response[bytes]:
    """Have all that was published of a handing-over revoked."""
    node, number = node_of(request), numbered(request, "number")
    if not form.ticked("sure"):
        raise BadRequest("Nothing was ticked, so nothing was withdrawn.")
    await doing(request, lambda: Behalf(node).withdraw(number))
    return gone_to(request, PATH, "withdrawn")


# At a coordinator


@page(f"{PATH}/came/{{number:int}}", Power.SEND)
async def behalf_came(request: Asking) -> Response[bytes]:
    """Show what came under a number, as it would be published."""
    return await _came(request, Form())


async def _came(
    request: Asking, form: Form, *, status: int = 200, wrong: str = ""
) -> Response[bytes]:
    node, number = node_of(request), numbered(request, "number")

    def work() -> Looked:
        found = Publisher(node).look(number)
        ids = [str(data["id"]) for data in found.objects]
        note_reading(node, "behalf show", str(number), count=len(ids), objects=ids)
        return found

    found = await doing(request, work)
    return await shown(
        request,
        "behalf-came.html",
        status=status,
        form=form,
        wrong=wrong,
        held=found.held,
        objects=_fields(found.objects),
        doubts=found.doubts,
    )


def _fields(objects: Sequence[dict[str, Any]]) -> list[list[tuple[str, str]]]:
    return [
        [(name, _text(value)) for name, value in sorted(one.items())] for one in objects
    ]


@action(f"{PATH}/came/{{number:int}}/publish", Power.SEND)
async def behalf_publish(request: Asking, form: Form) -> Response[bytes]:
    """Publish what came, in this node's own name."""
    node, number = node_of(request), numbered(request, "number")
    if not form.ticked("sure"):
        raise BadRequest("Nothing was ticked, so nothing was published.")
    try:
        await doing(request, lambda: Publisher(node).publish(number))
    except Conflict as fault:
        return await _came(request, form, status=HTTPStatus.CONFLICT, wrong=str(fault))
    return gone_to(request, PATH, "published")


@action(f"{PATH}/came/{{number:int}}/refuse", Power.SEND)
async def behalf_refuse(request: Asking, form: Form) -> Response[bytes]:
    """Publish nothing of what came, and say why."""
    node, number = node_of(request), numbered(request, "number")
    reason = form.line("reason")
    if not form.ok:
        return await _came(request, form, status=HTTPStatus.UNPROCESSABLE_ENTITY)
    try:
        await doing(request, lambda: Publisher(node).refuse(number, reason))
    except Conflict as fault:
        return await _came(request, form, status=HTTPStatus.CONFLICT, wrong=str(fault))
    return gone_to(request, PATH, "refused")


HANDLERS = (
    behalf, behalf_look, behalf_hand, behalf_withdraw, behalf_came, behalf_publish,
    behalf_refuse,
)  # fmt: skip
