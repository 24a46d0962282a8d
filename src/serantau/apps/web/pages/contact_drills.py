"""Contacts in and out: import and export, drills of reachability, papers of a team."""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as NoBase64
from pathlib import PurePath
from typing import Any, Final

from litestar import Response

from serantau.apps.web.hall import Asking
from serantau.apps.web.pages.contacts_book import duty_names, noted
from serantau.apps.web.pages.door import (
    action,
    as_file,
    doing,
    gone_to,
    node_of,
    page,
    reading,
    shown,
    signed_of,
    words_of,
)
from serantau.apps.web.pages.form import Form
from serantau.desk.audit import note_reading
from serantau.desk.card_import import REFUSED, Import
from serantau.desk.contacts import Contacts, Held
from serantau.desk.papers import Papers
from serantau.desk.reach import OUTCOMES, Reach, Report
from serantau.errors import BadRequest, NotFound, SerantauError, TheirError
from serantau.records.cards import FAILED, SENDING, WRONG, Ask
from serantau.rules.card import Duty
from serantau.rules.role import Power
from serantau.wire.vcard import write_csv, write_vcards

_FILE: Final = 1_000_000
_FORM: Final = 2 * _FILE
_SHOWN: Final = 200


# In and out


async def _import(
    request: Asking, form: Form | None = None, work: Import | None = None, raw: str = ""
) -> Response[bytes]:
    parties = await reading(request, node_of(request).registry.parties)
    proposed = work.proposed if work else []
    return await shown(
        request,
        "contacts-import.html",
        status=422 if form is not None and not form.ok else 200,
        form=form,
        parties=sorted(parties),
        duties=duty_names(words_of(request)),
        proposed=proposed[:_SHOWN],
        total=len(proposed),
        refused=sum(one.state == REFUSED for one in proposed),
        raw=raw,
        name=form.given("name") if form else "",
    )


@page("/contacts/import", Power.WORK)
async def import_page(request: Asking) -> Response[bytes]:
    """Ask for a file of contacts."""
    return await _import(request)


@action("/contacts/import", Power.WORK, limit=_FORM)
async def import_cards(request: Asking, form: Form) -> Response[bytes]:
    """Show what a file's contacts would become; with `keep`, take in all or none."""
    node, _ = node_of(request), words_of(request)
    name, data = await _given(form)
    if not data:
        form.fault("file", _("Choose a file, or paste its text."))
    party = form.line("party", needed=False, most=63)
    source = form.line("source", needed=False, most=300)
    duties = [duty for duty in Duty if duty in form.all("duties")]
    if not form.ok:
        return await _import(request, form)

    def read() -> Import:
        return Import(node, data, name=name, party=party, source=source, duties=duties)

    try:
        work = await doing(request, read)
        if form.ticked("keep"):
            await doing(request, work.keep)
            return gone_to(request, "/contacts", "cards-imported")
    except TheirError as fault:
        form.fault("file", str(fault))
        return await _import(request, form)
    return await _import(request, form, work, b64encode(data).decode())


async def _given(form: Form) -> tuple[str, bytes]:
    """Give a file's name and bytes: chosen, pasted, or as the preview sent it back."""
    if raw := form.given("raw"):
        try:
            return PurePath(form.given("name")[:200]).name, b64decode(
                raw, validate=True
            )
        except (NoBase64, ValueError):
            return "", b""
    if data := await form.file("file", _FILE):
        return form.file_name("file")[:200], data
    text = form.given("text").strip()
    kind = "vcf" if text[:12].upper().startswith("BEGIN:VCARD") else "csv"
    return f"pasted.{kind}", text.encode()[:_FILE]


@page("/contacts/export", Power.CASES)
async def export(request: Asking) -> Response[bytes]:
    """Give cards for one's own address book; only those that are believed."""
    node, asked = node_of(request), request.query_params
    party, as_csv = asked.get("party", ""), asked.get("form") == "csv"

    def work() -> list[Held]:
        found = [one for one in Contacts(node).all(party) if one.believed]
        noted(node, "contacts export", found, party)
        return found

    cards = [one.card for one in await doing(request, work)]
    if as_csv:
        body, name, media = write_csv(cards), "contacts.csv", "text/csv"
    else:
        body, name, media = write_vcards(cards), "contacts.vcf", "text/vcard"
    return as_file(body.encode(), name, f"{media}; charset=utf-8")


# Drills


@page("/contacts/drill", Power.CASES)
async def drill(request: Asking) -> Response[bytes]:
    """Show how a drill went or goes, who is still to be called, and whom one asks."""
    return await _drill(request)


async def _drill(request: Asking, form: Form | None = None) -> Response[bytes]:
    node, said = node_of(request), request.query_params.get("n", "")
    number = int(said) if said.isascii() and said.isdigit() and len(said) < 10 else 0

    def work() -> tuple[Report | None, list[tuple[Ask, Held | None]], list[Any], str]:
        reach = Reach(node)
        try:
            told = reach.report(number)
        except NotFound:
            if number:
                raise
            told = None
        calls = reach.calls()
        plan = reach.plan()
        ids = dict.fromkeys([ask.card for ask in told.asks] if told else [])
        ids.update(dict.fromkeys(ask.card for ask, _ in calls))
        note_reading(
            node, "contacts report", said if number else "", count=len(ids), objects=ids
        )
        return told, calls, plan, reach.lacking()

    told, calls, plan, lacking = await doing(request, work)
    asks = told.asks if told else ()
    bad = [ask for ask in asks if ask.state in {FAILED, WRONG, SENDING} or ask.said]
    running = told is not None and not told.drill.closed
    running = running and told is not None and told.drill.ends > node.clock.now()
    return await shown(
        request,
        "contacts-drill.html",
        status=422 if form is not None else 200,
        told=told,
        running=running,
        bad=bad[:_SHOWN],
        stale=told.stale[:_SHOWN] if told else (),
        calls=calls[:_SHOWN],
        plan=[
            {"card": held.card, "way": way, "address": address}
            for held, way, address in plan[:_SHOWN]
        ],
        planned=len(plan),
        lacking=lacking,
        form=form,
    )


@action("/contacts/drill", Power.SEND)
async def begin_drill(request: Asking, form: Form) -> Response[bytes]:
    """Begin a drill: a running node sends its mails within a minute."""
    node, _ = node_of(request), words_of(request)
    if not form.ticked("sure"):
        form.fault("sure", _("This is needed."))
        return await _drill(request, form)
    actor = signed_of(request).caller.user
    try:
        await doing(request, lambda: Reach(node).begin("", actor))
    except SerantauError as fault:
        form.fault("sure", str(fault))
        return await _drill(request, form)
    return gone_to(request, "/contacts/drill", "drill-begun")


@action("/contacts/called", Power.WORK)
async def called(request: Asking, form: Form) -> Response[bytes]:
    """Write down how a call went."""
    number = form.whole("number", 1, 2**53)
    outcome = form.choice("outcome", OUTCOMES)
    said = form.line("said", needed=False, most=300)
    if not form.ok:
        raise BadRequest("; ".join(form.errors.values()))
    await doing(request, lambda: Reach(node_of(request)).called(number, outcome, said))
    return gone_to(request, "/contacts/drill", "saved")


# Papers


@page("/contacts/papers", Power.CASES)
async def papers(request: Asking) -> Response[bytes]:
    """Show what RFC 2350 and security.txt of the own team would say, and lack."""
    node = node_of(request)

    def work() -> dict[str, Any]:
        made = Papers(node)
        told: dict[str, Any] = {"text": "", "faults": [], "security": "", "lacks": ""}
        try:
            told["text"], told["faults"] = made.rfc2350(node.config.node.member)
            told["security"] = made.security_txt()
        except SerantauError as fault:
            told["lacks"] = str(fault)
        return told

    return await shown(request, "contacts-papers.html", **await doing(request, work))


@page("/contacts/papers/rfc2350.md", Power.CASES)
async def rfc2350(request: Asking) -> Response[bytes]:
    """Give the RFC 2350 document of the own team."""
    node = node_of(request)
    text, _faults = await doing(
        request, lambda: Papers(node).rfc2350(node.config.node.member)
    )
    return as_file(text.encode(), "rfc2350.md", "text/markdown; charset=utf-8")


@page("/contacts/papers/security.txt", Power.CASES)
async def security_txt(request: Asking) -> Response[bytes]:
    """Give security.txt of the own team, signed when the node has a mail key."""
    text = await doing(request, lambda: Papers(node_of(request)).security_txt())
    return as_file(text.encode(), "security.txt", "text/plain; charset=utf-8")


HANDLERS: tuple[Any, ...] = (
    import_page,
    import_cards,
    export,
    drill,
    begin_drill,
    called,
    papers,
    rfc2350,
    security_txt,
)
