"""Trying a change of policy: who would see what, before anything is changed.

What is shown has a digest; the form that applies it carries that, and the change. What
somebody would see otherwise by then is shown again, and nothing is done.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import msgspec
import orjson
from litestar import Response

from serantau import typed
from serantau.apps.web.hall import Asking
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
from serantau.desk.audit import note_reading
from serantau.desk.simulate import Diff, Moved, Simulation, Turn
from serantau.desk.supposing import (
    CircleChange,
    MarkingChange,
    PartyChange,
    Supposed,
)
from serantau.errors import BadRequest, Forbidden, NotFound
from serantau.rules.marking import Tlp
from serantau.rules.party import Circle, Kind, Party
from serantau.rules.role import Power

PATH: Final = "/share/simulate"
_CHANGES: Final = ("party", "circle", "marking")
_ROWS: Final = 200
_IDS: Final = 50_000
_YES: Final = {"": None, "yes": True, "no": False}


@dataclass(frozen=True, slots=True)
class Alike:
    """Objects that turn alike for some parties. turn: as for the first of them."""

    parties: tuple[str, ...]
    turn: Turn


@dataclass(frozen=True, slots=True)
class _Known:
    """What the forms offer."""

    parties: list[Party]
    circles: list[Circle]


def alike(diff: Diff) -> list[Alike]:
    """Give one row for all parties to whom the same happens, what opens first."""
    found: dict[tuple[object, ...], tuple[list[str], Turn]] = {}
    for effect in diff.effects:
        for turn in effect.turns:
            key = (turn.released, turn.marking, turn.was, *turn.samples)
            key += (turn.before.rule, turn.after.rule)
            found.setdefault(key, ([], turn))[0].append(effect.party)
    rows = [Alike(tuple(parties), turn) for parties, turn in found.values()]
    return sorted(rows, key=lambda row: (not row.turn.released, -row.turn.objects))


def supposed_of(form: Form, _: Callable[[str], str]) -> Supposed:
    """Read the change that a form supposes; its faults are in the form."""
    what = form.choice("what", _CHANGES)
    if what == "party":
        name = form.line("party")
        kinds = ("", *(each for each in Kind if each is not Kind.OWN))
        levels = ("", "none", *(level.label for level in Tlp))
        change = PartyChange(
            kind=form.choice("kind", kinds) or None,
            need_to_know=_YES[form.choice("need", tuple(_YES))],
            blocked=_YES[form.choice("blocked", tuple(_YES))],
            ceiling=form.choice("ceiling", levels) or None,
            until=form.line("until", needed=False) or None,
        )
        if form.ok and change == PartyChange():
            form.fault("party", _("Say what would change of it."))
        return Supposed(parties={name: change})
    if what == "circle":
        name = form.line("circle")
        return Supposed(circles={name: CircleChange(tuple(form.all("member")))})
    levels = ("", *(level.label for level in Tlp))
    return Supposed(
        marking=MarkingChange(
            objects=tuple(form.text("objects", needed=False, most=_IDS).split()),
            query=form.line("query", needed=False),
            tlp=form.choice("tlp", levels),
            meant_for=tuple(form.all("for")),
            circles=tuple(form.all("for-circle")),
            everyone_but=tuple(form.all("but")),
            no_audience=form.ticked("nobody"),
        )
    )


async def _known(request: Asking) -> _Known:
    node = node_of(request)

    def work() -> _Known:
        with node.db.read() as tx:
            parties = [party for _, party in node.registry.parties(tx).values()]
            circles = node.audiences.circles(tx).values()
        others = [one for one in parties if one.name != node.audiences.own]
        return _Known(
            sorted(others, key=lambda one: one.name),
            sorted(circles, key=lambda one: one.name),
        )

    return await doing(request, work)


async def _forms(
    request: Asking, form: Form, *, status: int = 200, wrong: str = ""
) -> Response[bytes]:
    """Show the forms: a change of a party, of a circle, of markings."""
    known = await _known(request)
    params = request.query_params
    what = form.given("what") or params.get("what", "")
    chosen = params.get("circle", "")
    circle = next((one for one in known.circles if one.id == chosen), None)
    named = form.given("circle") or (circle.name if circle else "")
    members = sorted(circle.members) if circle else []
    return await shown(
        request,
        "simulate.html",
        status=status,
        form=form,
        known=known,
        levels=[level.label for level in Tlp],
        kinds=[str(kind) for kind in Kind if kind is not Kind.OWN],
        what=what if what in _CHANGES else "party",
        party=form.given("party") or params.get("party", ""),
        circle=named,
        members=form.all("member") or members,
        wrong=wrong,
    )


async def _diff(
    request: Asking, supposed: Supposed, diff: Diff, *, moved: bool = False
) -> Response[bytes]:
    rows = alike(diff)
    return await shown(
        request,
        "simulate-diff.html",
        status=HTTPStatus.CONFLICT if moved else HTTPStatus.OK,
        diff=diff,
        rows=rows[:_ROWS],
        left_out=len(rows[_ROWS:]),
        supposed=msgspec.json.encode(supposed).decode(),
        change=_said(supposed),
        circle=bool(supposed.circles),
        moved=moved,
    )


def _said(supposed: Supposed) -> list[tuple[str, str]]:
    """Say a change as fields and what they would hold."""
    told: list[tuple[str, str]] = []
    for name, party in supposed.parties.items():
        plain: dict[str, object] = msgspec.to_builtins(party)
        told += [
            (f"{name}: {field}", orjson.dumps(value).decode().strip('"'))
            for field, value in plain.items()
            if value is not None
        ]
    for name, circle in supposed.circles.items():
        told.append((name, ", ".join(circle.members)))
    if supposed.marking is not None:
        fields: dict[str, object] = msgspec.to_builtins(supposed.marking)
        told += [
            (
                field,
                ", ".join(map(str, value)) if isinstance(value, list) else f"{value}",
            )
            for field, value in fields.items()
            if value
        ]
    return [(field, value[:2000]) for field, value in told]


@page(PATH, Power.SEE)
async def simulate(request: Asking) -> Response[bytes]:
    """Ask what would change."""
    return await _forms(request, Form())


@action(PATH, Power.SEE)
async def simulated(request: Asking, form: Form) -> Response[bytes]:
    """Show who would see what if it changed; nothing is changed.

    It is a form that is sent: members of circles stand in no address.
    """
    node = node_of(request)
    supposed = supposed_of(form, words_of(request))
    if not form.ok:
        return await _forms(request, form, status=HTTPStatus.UNPROCESSABLE_ENTITY)

    def work() -> Diff:
        found = Simulation(node).diff(supposed)
        asked = " ".join(f"{field}={value}" for field, value in _said(supposed))
        note_reading(node, "share simulate", asked)
        return found

    try:
        diff = await doing(request, work)
    except (BadRequest, NotFound) as fault:
        unprocessable = HTTPStatus.UNPROCESSABLE_ENTITY
        return await _forms(request, form, status=unprocessable, wrong=str(fault))
    return await _diff(request, supposed, diff)


@action(f"{PATH}/apply", Power.DECIDE)
async def applied(request: Asking, form: Form) -> Response[bytes]:
    """Do exactly what was shown, or show what would happen by now."""
    node, seen = node_of(request), form.line("seen")
    try:
        supposed = typed.read(form.given("supposed"), Supposed)
    except msgspec.DecodeError as fault:
        raise BadRequest(
            "The form does not say what was tried.", mend="Try the change again."
        ) from fault
    if not form.ticked("sure"):
        raise BadRequest("Nothing was ticked, so nothing was changed.")
    try:
        await doing(request, lambda: Simulation(node).apply(supposed, seen))
    except Moved as moved:
        return await _diff(request, supposed, moved.diff, moved=True)
    except Forbidden as fault:
        said = str(fault)
        return await _forms(request, Form(), status=HTTPStatus.CONFLICT, wrong=said)
    return gone_to(request, "/share", "applied")


HANDLERS = (simulate, simulated, applied)
