"""A case for those whom it is released to: a guest's page, and the case as a file.

Both are made of what desk/share handed over for the party, and of nothing else; so
what is withheld from it and what is private can stand in neither.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from litestar import Response

from serantau.apps.web.hall import Asking
from serantau.apps.web.pages.case import (
    case_name,
    found,
    log_of,
    viewed,
    words_for,
)
from serantau.apps.web.pages.case_acts import digest_of
from serantau.apps.web.pages.case_picture import picture
from serantau.apps.web.pages.case_words import CLOCKS, KINDS, brief, say, word
from serantau.apps.web.pages.door import (
    action,
    as_file,
    doing,
    node_of,
    page,
    shown,
    signed_of,
    words_of,
)
from serantau.apps.web.pages.form import Form
from serantau.desk.audit import note_reading
from serantau.desk.case_export import Export, Exporter
from serantau.desk.case_export import Form as As
from serantau.desk.case_paper import Era, Facts, Language, values_in
from serantau.errors import NotFound, TheirError
from serantau.records.sessions import Signed
from serantau.rules.case_clock import clocks
from serantau.rules.party import Purpose
from serantau.rules.role import Power

_FILES: Final = {
    As.STIX: ("stix.json", "application/stix+json;version=2.1"),
    As.IODEF: ("xml", "application/octet-stream"),
    As.MISP: ("misp.json", "application/json"),
    As.MARKDOWN: ("md", "text/markdown; charset=utf-8"),
    As.PDF: ("pdf", "application/pdf"),
}


# A guest


@page(["/case", "/case/{case:str}"], Power.CASE)
async def guest(request: Asking) -> Response[bytes]:
    """Show a guest the one case that it was let into, as its party may see it."""
    signed, node, _ = signed_of(request), node_of(request), words_of(request)
    case = _scope(request, signed)
    party = signed.caller.party.name
    exporter = Exporter(node, signed.caller.user)

    def work() -> Facts:
        facts: Facts = found(partial(exporter.show, case, party))
        if signed.caller.own:
            note_reading(node, "case show", case, count=len(facts.case), objects=[case])
        return facts

    facts = await doing(request, work)
    held, state = facts.case, facts.case.state
    lines = list(held.lines())

    def name(identity: str) -> str:
        return facts.names.get(identity, identity)

    due = clocks(held, facts.terms)
    return await shown(
        request,
        "case-guest.html",
        case=held,
        state=state,
        level=held.entry(held.id).level,
        name=name,
        due=due.due,
        now=facts.at,
        clock=lambda each: word(CLOCKS, each.clock.partition(":")[0], _),
        log=log_of(
            lines,
            request.query_params.get("before", ""),
            lambda line: say(line, state, name, _),
        ),
        evidence=[
            (one, str(data.get("type")), str(data.get("name") or ""), values_in(data))
            for one, data in facts.objects.items()
        ],
        picture=picture(
            lines,
            due,
            list(state.parts),
            name,
            lambda kind: word(KINDS, kind, _),
            lambda clock: word(CLOCKS, clock, _),
            facts.at,
        ),
        words=words_for(_),
        forms=[str(one) for one in As],
        party=party,
        ends=signed.person.ends,
    )


def _scope(request: Asking, signed: Signed) -> str:
    """Give the case of a guest: every other is as if it did not exist."""
    asked = str(request.path_params.get("case", "")) or signed.person.scope
    if not asked.startswith("case-entry--") or asked != signed.person.scope:
        raise NotFound("There is no such case.")
    return asked


@action("/case/{case:str}/file", Power.CASE)
async def guest_file(request: Asking, form: Form) -> Response[bytes]:
    """Give a guest the case as a file, as its party may have it."""
    signed = signed_of(request)
    case = _scope(request, signed)
    kind = As(
        form.choice("form", [str(one) for one in As], default=str(As.PDF)) or As.PDF
    )
    exporter = Exporter(node_of(request), signed.caller.user)
    party = signed.caller.party.name
    made = await doing(
        request, lambda: found(partial(exporter.export, case, party, kind))
    )
    return _file(made)


# A file for a party


@page("/cases/{case:str}/file", Power.SEND)
async def export_form(request: Asking) -> Response[bytes]:
    """Ask for whom the case is to be a file, and of what kind."""
    return await _export(request, Form(words=words_of(request)))


@action("/cases/{case:str}/file", Power.SEND)
async def export_done(request: Asking, form: Form) -> Response[bytes]:
    """Show what goes and what stays; give the file when that was seen, and log it."""
    node, name, _ = node_of(request), case_name(request), words_of(request)
    party = form.line("party")
    kind = form.choice("form", [str(one) for one in As])
    lang = form.choice("lang", [str(one) for one in Language], default="en")
    era = form.choice("era", [str(one) for one in Era], default="gregorian")
    purposes = ["", *(str(one) for one in Purpose)]
    purpose = form.choice("purpose", purposes)
    if not form.ok:
        return await _export(request, form, status=422)
    exporter = Exporter(node, signed_of(request).caller.user)
    make: Any = partial(
        exporter.export,
        name,
        party,
        As(kind),
        lang=Language(lang),
        era=Era(era),
        purpose=Purpose(purpose) if purpose else None,
    )
    try:
        look: Export = await doing(request, lambda: found(partial(make, look=True)))
        said = digest_of([party, kind, look.entries, look.objects, dict(look.withheld)])
        if not (form.ticked("sure") and form.given("reach") == said):
            return await _export(request, form, look, said)
        made: Export = await doing(request, lambda: found(make))
    except TheirError as fault:
        form.fault("party", str(fault))
        return await _export(request, form, status=422)
    return _file(made)


async def _export(
    request: Asking,
    form: Form,
    look: Export | None = None,
    reach: str = "",
    *,
    status: int = 200,
) -> Response[bytes]:
    view = await viewed(request)
    return await shown(
        request,
        "case-file.html",
        status=status,
        case=view.summary,
        form=form,
        look=look,
        reach=reach,
        parties=[
            part.name
            for part in view.parts
            if part.name and part.party != node_of(request).config.node.identity
        ],
        forms=[str(one) for one in As],
        languages=[str(one) for one in Language],
        eras=[str(one) for one in Era],
        purposes=[str(one) for one in Purpose],
    )


def _file(made: Export) -> Response[bytes]:
    ending, media = _FILES[made.form]
    return as_file(
        made.content, f"case-{brief(made.case)}-{made.party}.{ending}", media
    )


HANDLERS = (guest, guest_file, export_form, export_done)
