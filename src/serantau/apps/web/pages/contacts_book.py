"""Contact cards: whom to reach at every party, for what, and who is on call now."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from litestar import Response

from serantau.apps.web.hall import Asking
from serantau.apps.web.pages.asked import named
from serantau.apps.web.pages.door import (
    action,
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
from serantau.clock import moment
from serantau.desk.audit import note_reading
from serantau.desk.card_import import read_key
from serantau.desk.card_rota import read_rota, write_rota
from serantau.desk.contacts import OURS, Contacts, Held, OnCall
from serantau.errors import BadRequest, NotFound, TheirError
from serantau.node import Node
from serantau.records.database import Tx
from serantau.rules.card import Card, Duty, KeyKind
from serantau.rules.level import Tlp
from serantau.rules.marking import TLP_2_IDS
from serantau.rules.party import Kind
from serantau.rules.role import Power
from serantau.rules.rota import DAYS, HOLIDAY, time_text

NEW: Final = "/contacts/new"
_PAGE: Final = 50
_CALLS: Final = 100
_CERTIFICATE: Final = 200_000
_FORM: Final = 3 * _CERTIFICATE
_DAY: Final = 86_400_000_000


def card_path(card: str) -> str:
    """Give where a card is shown."""
    return f"/contacts/card/{card}"


def duty_names(words: Callable[[str], str]) -> dict[str, str]:
    """Give what cards are for, in words."""
    _ = words
    return {
        Duty.DIPLOMATIC: _("Diplomatic"),
        Duty.POLICY: _("Policy"),
        Duty.TECHNICAL: _("Technical"),
        Duty.ALWAYS: _("Day and night"),
        Duty.SECTOR: _("Sector"),
    }


def noted(node: Node, what: str, found: Sequence[Held], asked: str = "") -> None:
    """Log who reads whose cards: by id, so that an erased name does not stay."""
    ids = [one.card.id for one in found]
    note_reading(node, what, asked, count=len(found), objects=ids)


# The book


@page("/contacts", Power.CASES)
async def contacts(request: Asking) -> Response[bytes]:
    """Show the cards, and who is on call now."""
    node, asked = node_of(request), request.query_params
    party, duty = asked.get("party", ""), asked.get("duty", "")
    stale, text = "stale" in asked, asked.get("q", "").strip()[:200]
    said = asked.get("from", "")[:6]
    start = int(said) if said.isascii() and said.isdigit() else 0
    now, days = node.clock.now(), node.config.contacts.stale_days

    def work() -> tuple[list[Held], list[OnCall]]:
        cards = Contacts(node)
        known = cards.all()
        found = [
            one
            for one in known
            if party in {"", one.card.party}
            and (not duty or duty in one.card.duties)
            and (not stale or one.stale(now, days))
            and (not text or _has(one.card, text))
        ]
        plain = not (party or duty or stale or text or start)
        calls = cards.on_call(held=known) if plain else []
        noted(
            node,
            "contacts list",
            found[start : start + _PAGE],
            " ".join(filter(None, (party, duty, text))),
        )
        return found, calls

    found, calls = await doing(request, work)
    calls.sort(key=lambda one: (one.local.utcoffset(), one.held.card.party))
    parties = await reading(request, node.registry.parties)
    filters = {"party": party, "duty": duty, "q": text, "stale": stale}
    return await shown(
        request,
        "contacts.html",
        rows=[_row(one, now, days) for one in found[start : start + _PAGE]],
        calls=calls[:_CALLS],
        calls_left=len(calls[_CALLS:]),
        total=len(found),
        start=start,
        before=max(start - _PAGE, 0),
        more=start + _PAGE if len(found) > start + _PAGE else 0,
        filters=filters,
        parties=sorted(parties),
        duties=duty_names(words_of(request)),
        now=now,
        days=days,
    )


def _has(card: Card, text: str) -> bool:
    sought = text.casefold()
    said = (card.name, card.title, card.sector, *card.mail, *card.phones)
    return any(sought in one.casefold() for one in said)


def _row(held: Held, now: int, days: int) -> dict[str, Any]:
    return {"held": held, "card": held.card, "stale": held.stale(now, days)}


# One card


async def _card(
    request: Asking, form: Form | None = None, failed: str = ""
) -> Response[bytes]:
    node, sought = node_of(request), _id(request)
    now, days = node.clock.now(), node.config.contacts.stale_days

    def work() -> tuple[Held, dict[str, str]]:
        cards = Contacts(node)
        held = cards.some([sought]).get(sought)
        if held is None:
            raise NotFound("There is no such card.")
        noted(node, "contacts show", [held])
        others = cards.some([*held.card.deputies, *held.card.rota.people])
        return held, {one: other.card.name for one, other in others.items()}

    held, names = await doing(request, work)
    decides = signed_of(request).may(Power.DECIDE)

    def others(tx: Tx) -> tuple[list[str], list[str]]:
        circles = node.audiences.circles(tx).values()
        outside = [
            name
            for name, (_, party) in sorted(node.registry.parties(tx).items())
            if party.kind not in {Kind.OWN, Kind.PUBLIC}
        ]
        return outside, sorted(one.name for one in circles) if decides else []

    parties, circles = await reading(request, others)
    card = held.card
    return await shown(
        request,
        "contact.html",
        status=422 if form is not None else 200,
        held=held,
        card=card,
        duties=duty_names(words_of(request)),
        path=card_path(card.id),
        stale=held.stale(now, days),
        ours=held.origin == OURS,
        keys=[(key, key.holds(now)) for key in card.keys],
        deputies=[(one, names.get(one, "?")) for one in card.deputies],
        shifts=[
            (
                each.person,
                names.get(each.person, "?"),
                [day for day in (*DAYS, HOLIDAY) if day in each.days],
                time_text(each.begin),
                time_text(each.end),
            )
            for each in card.rota.shifts
        ],
        overrides=[(one, names.get(one.person, "?")) for one in card.rota.overrides],
        holidays=sorted(card.rota.holidays.items()),
        rota=write_rota(card.rota, names),
        parties=parties,
        circles=circles,
        levels=[level.label for level in Tlp if level < Tlp.RED],
        level=next(
            (level.label for level, ref in TLP_2_IDS.items() if ref in held.refs),
            Tlp.AMBER.label,
        ),
        form=form,
        failed=failed,
    )


def _unique(names: Mapping[str, str]) -> dict[str, str]:
    several = list(names.values())
    return {card: name for card, name in names.items() if several.count(name) == 1}


def _id(request: Asking) -> str:
    return named(request, "card")


@page("/contacts/card/{card:str}", Power.CASES)
async def contact(request: Asking) -> Response[bytes]:
    """Show all of a card."""
    return await _card(request)


# Writing


@page(NEW, Power.WORK)
async def new_contact(request: Asking) -> Response[bytes]:
    """Ask for a new card."""
    return await _asked(request, None, None)


@page("/contacts/card/{card:str}/edit", Power.WORK)
async def edit_contact(request: Asking) -> Response[bytes]:
    """Ask how a card of ours is to be."""
    held = await _held(request)
    noted(node_of(request), "contacts show", [held])
    return await _asked(request, held, None)


async def _held(request: Asking) -> Held:
    node, sought = node_of(request), _id(request)
    held = await doing(request, lambda: Contacts(node).some([sought]).get(sought))
    if held is None:
        raise NotFound("There is no such card.")
    return held


async def _asked(
    request: Asking, held: Held | None, form: Form | None
) -> Response[bytes]:
    node = node_of(request)
    parties = await reading(request, node.registry.parties)
    names = {}
    if held is not None:
        known = await doing(request, Contacts(node).all)
        names = _unique({one.card.id: one.card.name for one in known})
    return await shown(
        request,
        "contact-edit.html",
        status=200 if form is None else 422,
        held=held,
        card=held.card if held else None,
        party=request.query_params.get("party", "")[:63],
        action=f"{card_path(held.card.id)}/edit" if held else NEW,
        parties=sorted(parties),
        duties=duty_names(words_of(request)),
        deputies="\n".join(names.get(one, one) for one in held.card.deputies)
        if held
        else "",
        verified=f"{moment(held.card.verified):%Y-%m-%d}"
        if held and held.card.verified
        else "",
        form=form,
    )


@action(NEW, Power.WORK, limit=_FORM)
async def add_contact(request: Asking, form: Form) -> Response[bytes]:
    """Write a card; it stays here until somebody names who may have it."""
    return await _put(request, form, None)


@action("/contacts/card/{card:str}/edit", Power.WORK, limit=_FORM)
async def change_contact(request: Asking, form: Form) -> Response[bytes]:
    """Write a new version of a card of ours."""
    return await _put(request, form, await _held(request))


async def _put(request: Asking, form: Form, held: Held | None) -> Response[bytes]:
    node = node_of(request)
    files = {
        kind: await form.file(str(kind), _CERTIFICATE)
        for kind in (KeyKind.OPENPGP, KeyKind.SMIME)
    }
    begun = held.card if held else Card("", "")
    card = _read(form, begun, files, node.clock.now(), words_of(request))

    def work() -> Held | None:
        cards = Contacts(node)
        try:
            deputies = tuple(
                cards.find(one).card.id for one in _lines(form, "deputies")
            )
            return cards.put(replace(card, deputies=deputies))
        except TheirError as fault:
            _tell(form, fault)
            return None

    kept = await doing(request, work) if form.ok else None
    if kept is None:
        return await _asked(request, held, form)
    return gone_to(request, card_path(kept.card.id), "saved")


def _tell(form: Form, fault: TheirError) -> None:
    """Tell each finding of a card beside its field, and what has none at the name."""
    cause = fault.__cause__
    for line in str(cause).splitlines() if isinstance(cause, ValueError) else ():
        names, _, said = line.partition(": ")
        form.fault(names.partition(",")[0], said)
    if form.ok:
        form.fault("deputies" if isinstance(fault, NotFound) else "name", str(fault))


def _lines(form: Form, name: str) -> list[str]:
    return [one.strip() for one in form.given(name).splitlines() if one.strip()]


def _read(
    form: Form,
    begun: Card,
    files: Mapping[KeyKind, bytes],
    now: int,
    words: Callable[[str], str],
) -> Card:
    """Read a card's fields; what `rules.card` judges is judged there."""
    from serantau.desk.lane_ask import read_when  # brings Polars

    _ = words
    keys = {key.kind: key for key in begun.keys}
    for kind, data in files.items():
        if form.ticked(f"no_{kind}"):
            keys.pop(kind, None)
        if data:
            try:
                keys[kind] = read_key(kind, data)
            except TheirError as fault:
                form.fault(str(kind), str(fault))
    verified, day = 0, form.line("verified", needed=False, most=30)
    try:
        verified = read_when(day, now) or 0
    except BadRequest as fault:
        form.fault("verified", fault.message)
    if verified > now:
        form.fault("verified", _("This day is not over."))
    sure = form.line("confidence", needed=False, most=3)
    if sure and not (sure.isascii() and sure.isdigit() and int(sure) <= 100):
        form.fault("confidence", _("Expected a whole number from 0 to 100."))
        sure = ""
    for name in ("mail", "phones", "deputies"):
        form.text(name, needed=False, most=10_000)
    return replace(
        begun,
        name=form.line("name", most=300),
        party=form.line("party", most=63),
        person=form.choice("is", ("person", "desk"), default="person") == "person",
        title=form.line("title", needed=False, most=300),
        duties=tuple(duty for duty in Duty if duty in form.all("duties")),
        sector=form.line("sector", needed=False, most=300),
        languages=tuple(form.line("languages", needed=False).replace(",", " ").split()),
        zone=form.line("zone", needed=False, most=100),
        mail=tuple(_lines(form, "mail")),
        phones=tuple(_lines(form, "phones")),
        keys=tuple(keys.values()),
        source=form.line("source", most=300),
        # The day alone is shown: the instant behind it stays while the day does.
        verified=begun.verified
        if verified and verified // _DAY == begun.verified // _DAY
        else verified,
        confidence=int(sure) if sure else None,
        remark=form.text("remark", needed=False, most=5000),
    )


@action("/contacts/card/{card:str}/rota", Power.WORK)
async def put_rota(request: Asking, form: Form) -> Response[bytes]:
    """Say anew who of a desk is on call when."""
    node, text = node_of(request), form.text("rota", needed=False)

    def work() -> None:
        cards = Contacts(node)
        held = cards.find(_id(request))
        try:
            rota = read_rota(text.encode(), "rota", cards)
            cards.put(replace(held.card, rota=rota))
        except TheirError as fault:
            form.fault("rota", str(fault))

    if form.ok:
        await doing(request, work)
    if not form.ok:
        return await _card(request, form, "rota")
    return gone_to(request, card_path(_id(request)), "saved")


@action("/contacts/card/{card:str}/verify", Power.WORK)
async def verify_contact(request: Asking, form: Form) -> Response[bytes]:
    """Say that a card was found to hold, or not."""
    node, said = node_of(request), form.line("said", needed=False, most=300)
    holds = form.choice("holds", ("yes", "no"))
    if not form.ok:
        return await _card(request, form, "verify")

    def work() -> None:
        cards = Contacts(node)
        found = cards.find(_id(request)).card.id
        cards.verify(found, right=holds == "yes", said=said)

    await doing(request, work)
    return gone_to(request, card_path(_id(request)), "saved")


@action("/contacts/card/{card:str}/share", Power.SEND)
async def share_contact(request: Asking, form: Form) -> Response[bytes]:
    """Say who besides this node may have a card of ours."""
    node = node_of(request)
    # Names of circles are for those who decide who is in them.
    decides = signed_of(request).may(Power.DECIDE)
    circles = form.all("circles") if decides else []
    level = form.line("level", most=30)
    parties = form.all("parties")

    def work() -> None:
        cards = Contacts(node)
        held = cards.find(_id(request))
        try:
            cards.put(held.card, level=level, parties=parties, circles=circles)
        except (BadRequest, NotFound) as fault:
            form.fault("level", str(fault))

    if not form.ticked("sure"):
        form.fault("sure", words_of(request)("This is needed."))
    if form.ok:
        await doing(request, work)
    if not form.ok:
        return await _card(request, form, "share")
    return gone_to(request, card_path(_id(request)), "saved")


@action("/contacts/card/{card:str}/erase", Power.SEND)
async def erase_contact(request: Asking, form: Form) -> Response[bytes]:
    """Forget the person of a card, with all that is kept about it."""
    node, reason = node_of(request), form.line("reason", most=300)
    if not form.ticked("sure"):
        form.fault("sure", words_of(request)("This is needed."))
    if not form.ok:
        return await _card(request, form, "erase")

    def work() -> list[str]:
        cards = Contacts(node)
        return cards.erase(cards.find(_id(request)).card.id, reason)

    got = await doing(request, work)
    return gone_to(request, "/contacts", "card-recalled" if got else "card-erased")


HANDLERS: tuple[Any, ...] = (
    contacts,
    contact,
    new_contact,
    edit_contact,
    add_contact,
    change_contact,
    put_rota,
    verify_contact,
    share_contact,
    erase_contact,
)
