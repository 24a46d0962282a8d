"""Make indicators of pasted text, and change own objects: seen first, then stored."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from zoneinfo import ZoneInfo

from litestar import Response

from serantau.apps.web.hall import Asking
from serantau.apps.web.pages.door import (
    action,
    doing,
    gone_to,
    node_of,
    page,
    reader_zone,
    shown,
    signed_of,
    words_of,
)
from serantau.apps.web.pages.form import Form
from serantau.apps.web.pages.object_fields import differences, harmless
from serantau.apps.web.pages.object_page import alike, object_id_of
from serantau.apps.web.pages.object_words import type_words
from serantau.apps.web.pages.place import N_
from serantau.apps.web.pages.times import typed_of
from serantau.clock import instant
from serantau.desk import compose
from serantau.desk.compose import Change, Draft, Marks, Own, Value
from serantau.errors import BadRequest, NotFound
from serantau.rules.level import Pap, Tlp
from serantau.rules.marking import NAME
from serantau.rules.release import RULES
from serantau.rules.role import Power

NEW: Final = "/objects/new"
EDIT: Final = "/objects/{object_id:str}/edit"
_TEXT: Final = 100_000
_FORM_BYTES: Final = 3_000_000
_NONE: Final = "none"

# What a level means, in the words of TLP 2.0 and PAP.
_TLP: Final[Mapping[Tlp, str]] = {
    Tlp.CLEAR: N_("Everybody may know it."),
    Tlp.GREEN: N_("For the community: teams of the region and partners."),
    Tlp.AMBER: N_("For the parties that you name, and whom they protect."),
    Tlp.AMBER_STRICT: N_("For the parties that you name, and nobody beyond them."),
    Tlp.RED: N_("For named persons. It never leaves by machine."),
}
_PAP: Final[Mapping[Pap, str]] = {
    Pap.CLEAR: N_("Do with it what you want."),
    Pap.GREEN: N_("Block and detect with it; do not touch the attacker's machines."),
    Pap.AMBER: N_("Look it up only where the attacker cannot see that."),
    Pap.RED: N_("Look for it only in logs that are here already."),
}

_Words = Callable[[str], str]


# Making


@page(NEW, Power.WORK)
async def new(request: Asking) -> Response[bytes]:
    """Ask for the text that indicators are made of."""
    return await _paste(request, Form())


async def _paste(request: Asking, form: Form, status: int = 200) -> Response[bytes]:
    return await shown(request, "object-paste.html", status=status, form=form)


@action(NEW, Power.WORK, limit=_FORM_BYTES)
async def made(request: Asking, form: Form) -> Response[bytes]:
    """Find values, show who would get them, or store them: as far as the form is."""
    node, _ = node_of(request), words_of(request)
    text = form.text("text", most=_TEXT)
    if not form.ok:
        return await _paste(request, form, 422)
    values = await doing(request, lambda: compose.values_in(node, text))
    if not values:
        form.fault("text", _("No address, name, hash or URL is found in this text."))
        return await _paste(request, form, 422)
    step = form.given("step")
    if step not in {"look", "store"}:
        return await _chosen(request, form, values, [])
    draft = _draft(form, values, reader_zone(request), _)
    seen: compose.Outcome | None = None
    if form.ok:
        try:
            if step == "store":
                user = signed_of(request).caller.user
                ids = await doing(request, lambda: compose.make(node, draft, user))
                where = f"/objects/{ids[0]}" if len(ids) == 1 else "/objects"
                return gone_to(request, where, "objects-made")
            seen = await doing(request, lambda: compose.outcome(node, draft.marks))
        except NotFound as fault:
            form.fault("parties", str(fault))
        except BadRequest as fault:
            form.fault("until", str(fault))
    return await _chosen(request, form, values, form.all("value"), seen)


async def _chosen(
    request: Asking,
    form: Form,
    values: Sequence[Value],
    ticked: Sequence[str],
    seen: compose.Outcome | None = None,
) -> Response[bytes]:
    _ = words_of(request)
    first = form.given("step") not in {"look", "store"}
    rows = [
        {
            "key": one.key,
            "kind": type_words(one.kind, _),
            "shown": one.shown,
            "value": one.value,
            "lists": one.lists,
            "held": one.held,
            "on": not one.lists if first else one.key in ticked,
        }
        for one in values
    ]
    return await shown(
        request,
        "object-new.html",
        status=200 if form.ok else 422,
        form=form,
        rows=rows,
        most=compose.MOST,
        seen=seen,
        verdicts=alike(seen.verdicts) if seen else [],
        rules=RULES,
        seed=form.given("seed") or str(uuid.uuid4()),
        tlp=_levels(_),
        pap=_actions(_),
    )


def _draft(form: Form, values: Sequence[Value], zone: ZoneInfo, _: _Words) -> Draft:
    chosen = set(form.all("value"))
    picked = [(one.kind, one.value) for one in values if one.key in chosen]
    if not picked:
        form.fault("value", _("Tick at least one value."))
    try:
        seed = str(uuid.UUID(form.given("seed")))
    except ValueError:
        seed = str(uuid.uuid4())
    return Draft(
        seed=seed,
        values=picked,
        marks=_marks(form, _),
        name=form.line("name", needed=False),
        description=form.text("description", needed=False),
        labels=compose.labels_in(form.line("labels", needed=False, most=2_000)),
        until=form.instant("until", zone) or 0,
        confidence=_confidence(form),
    )


# Changing


@page(EDIT, Power.WORK)
async def edit(request: Asking) -> Response[bytes]:
    """Show an own object as it may be changed."""
    node, object_id = node_of(request), object_id_of(request)
    held = await doing(request, lambda: compose.own_object(node, object_id))
    return await _edited(request, Form(), held)


@action(EDIT, Power.WORK)
async def changed(request: Asking, form: Form) -> Response[bytes]:
    """Show what a change would do, or store it."""
    node, _ = node_of(request), words_of(request)
    object_id = object_id_of(request)
    held = await doing(request, lambda: compose.own_object(node, object_id))
    change = _change(form, held, reader_zone(request), _)
    if form.given("version") != held.version:
        said = _("Somebody changed it meanwhile. What you typed is still here.")
        form.fault("version", said)
    effect: compose.Effect | None = None
    if form.ok:
        try:
            effect = await doing(request, lambda: compose.effect(node, held, change))
            if form.given("step") == "store":
                user = signed_of(request).caller.user
                stored = await doing(
                    request, lambda: compose.revise(node, held, change, user)
                )
                said = "object-changed" if stored else "object-same"
                return gone_to(request, f"/objects/{object_id}", said)
        except NotFound as fault:
            form.fault("parties", str(fault))
        except BadRequest as fault:
            form.fault("until", str(fault))
    return await _edited(request, form, held, effect)


def _change(form: Form, held: Own, zone: ZoneInfo, _: _Words) -> Change:
    named = held.data["type"] in compose.NAMED
    marks, ends = _marks(form, _), _ends(held)
    until = form.instant("until", zone) or 0
    if ends and form.given("until") == typed_of(ends, zone):
        until = ends  # a field has no parts of a second
    return Change(
        marks=Marks(marks.tlp, marks.pap, marks.parties, held.marks.kept),
        name=form.line("name", needed=named) if named else "",
        description=form.text("description", needed=False),
        labels=compose.labels_in(form.line("labels", needed=False, most=2_000)),
        confidence=_confidence(form),
        until=until,
        revoked=form.ticked("revoked"),
    )


def _ends(held: Own) -> int:
    text = held.data.get("valid_until")
    return instant(text) if isinstance(text, str) else 0


async def _edited(
    request: Asking, form: Form, held: Own, effect: compose.Effect | None = None
) -> Response[bytes]:
    _ = words_of(request)
    data, ends = held.data, _ends(held)
    kind = str(data["type"])
    changes = []
    if effect is not None:
        was = {name: old for name, old, _new in effect.changes if old is not None}
        now = {name: new for name, _old, new in effect.changes if new is not None}
        changes = differences(was, now, _)
    return await shown(
        request,
        "object-edit.html",
        status=200 if form.ok else 422,
        form=form,
        id=held.id,
        kind=type_words(kind, _),
        version=held.version,
        title=harmless(str(data.get("name", "")), 160) or held.id,
        named=kind in compose.NAMED,
        described=kind in compose.NAMED or kind == "relationship",
        has_end=kind == "indicator",
        values={
            "name": data.get("name", ""),
            "description": data.get("description", ""),
            "labels": ", ".join(map(str, data.get("labels", []))),
            "confidence": data.get("confidence", ""),
            "until": typed_of(ends, reader_zone(request)) if ends else "",
            "tlp": held.marks.tlp.label,
            "pap": held.marks.pap.label if held.marks.pap is not None else _NONE,
            "parties": ", ".join(held.marks.parties),
        },
        kept=len(held.marks.kept),
        gone=held.gone,
        effect=effect,
        verdicts=alike(effect.after.verdicts) if effect else [],
        changes=changes,
        rules=RULES,
        tlp=_levels(_),
        pap=_actions(_),
    )


# Fields of both


def _levels(_: _Words) -> list[tuple[str, str, str]]:
    return [(level.label, level.label, _(said)) for level, said in _TLP.items()]


def _actions(_: _Words) -> list[tuple[str, str, str]]:
    none = (_NONE, _("No PAP"), _("Nothing is said of what may be done with it."))
    return [
        none,
        *((level.label, level.label, _(said)) for level, said in _PAP.items()),
    ]


def _marks(form: Form, _: _Words) -> Marks:
    level = form.choice("tlp", [each.label for each in Tlp])
    paps = [_NONE, *(each.label for each in Pap)]
    pap = form.choice("pap", paps, default=_NONE)
    named = form.line("parties", needed=False, most=2_000).replace(",", " ").split()
    parties = tuple(dict.fromkeys(name.lower() for name in named))
    if not all(NAME.fullmatch(name) for name in parties):
        form.fault("parties", _("Expected names of parties such as th or sg."))
    return Marks(
        Tlp.parse(level) if level else Tlp.RED,
        None if pap in ("", _NONE) else Pap.parse(pap),
        () if "parties" in form.errors else parties,
    )


def _confidence(form: Form) -> int | None:
    if not form.given("confidence").strip():
        return None
    return form.whole("confidence", 0, 100)


HANDLERS: Final[tuple[Any, ...]] = (new, made, edit, changed)
