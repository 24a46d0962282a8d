"""`serantau contacts`: cards of people and desks, and whether they still answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serantau.apps.cli.contacts_papers import rfc2350, security_txt
from serantau.apps.cli.contacts_ping import called, calls, ping, report
from serantau.apps.cli.door import opened
from serantau.apps.cli.output import (
    Column,
    Json,
    answer,
    brief,
    document,
    note,
    say,
    several,
    stamp,
    table,
    when,
)

if TYPE_CHECKING:
    from serantau.desk.contacts import Held
    from serantau.node import Node
    from serantau.rules.card import Card

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)
for _command in (ping, calls, called, report, rfc2350):
    app.command(_command.__name__)(_command)
app.command("security-txt")(security_txt)

CardName = Annotated[
    str, typer.Argument(metavar="CARD", help="Its id, how that begins, or its name.")
]
Mail = Annotated[list[str] | None, typer.Option("--mail", help="Repeated; best first.")]
Phone = Annotated[
    list[str] | None,
    typer.Option("--phone", help="With the country's code: +66 2 123 4567. Repeated."),
]
Duties = Annotated[
    list[str] | None,
    typer.Option(
        "--duty", help="diplomatic, policy, technical, 24x7 or sector; repeated."
    ),
]
Sector = Annotated[str | None, typer.Option(help="Which one, for the duty sector.")]
Title = Annotated[str | None, typer.Option(help="What they are there.")]
Language = Annotated[
    list[str] | None, typer.Option("--language", help="As th or en; repeated.")
]
ZoneName = Annotated[
    str | None, typer.Option("--zone", help="Where they are: Asia/Yangon.")
]
Desk = Annotated[bool | None, typer.Option("--desk/--person", help="No single person.")]
OpenPgp = Annotated[
    Path | None, typer.Option("--openpgp", metavar="FILE", help="Certificate for mail.")
]
Smime = Annotated[
    Path | None, typer.Option("--smime", metavar="FILE", help="The same for S/MIME.")
]
Deputy = Annotated[
    list[str] | None,
    typer.Option("--deputy", metavar="CARD", help="Who stands in; repeated, in order."),
]
SaidBy = Annotated[
    str | None, typer.Option("--source", help="Who says this: a call, a letter.")
]
Verified = Annotated[
    str | None, typer.Option("--verified", metavar="DAY", help="When it proved right.")
]
Confidence = Annotated[int | None, typer.Option(min=0, max=100, help="0 to 100.")]
Remark = Annotated[str | None, typer.Option(help="For people.")]
Level = Annotated[
    str | None, typer.Option("--tlp", help="AMBER unless said otherwise.")
]
To = Annotated[
    list[str] | None,
    typer.Option("--to", metavar="PARTY", help="Who else may have it; repeated."),
]
InCircle = Annotated[
    list[str] | None, typer.Option("--circle", help="The same for a circle.")
]


@app.callback()
def contacts() -> None:
    """See and keep whom to reach: at every party, for what, by day and by night."""


@app.command("list")
def list_(
    ctx: typer.Context,
    party: Annotated[str, typer.Argument(metavar="[PARTY]")] = "",
    duty: Annotated[str, typer.Option(help="Only those for this.")] = "",
    stale: Annotated[
        bool,
        typer.Option("--stale", help="Only those that did not prove right lately."),
    ] = False,
    as_json: Json = False,
) -> None:
    """List the cards of one party, or of all."""
    from serantau.desk.contacts import Contacts

    with opened(ctx) as node:
        now, days = node.clock.now(), node.config.contacts.stale_days
        found = [
            one
            for one in Contacts(node).all(party)
            if (not duty or duty in one.card.duties)
            and (not stale or one.stale(now, days))
        ]
        noted(node, "contacts list", found)
        rows = [_row(one, now, days) for one in found]
    answer(
        (
            Column("id", "Id"),
            Column("party", "Party"),
            Column("name", "Name"),
            Column("duties", "For"),
            Column("mail", "Mail", spare=1),
            Column("phones", "Phone"),
            Column("languages", "Languages", spare=3),
            Column("verified", "Verified", spare=1),
            Column("stale", "Stale"),
            Column("origin", "From", spare=2),
        ),
        rows if as_json else [{**row, "verified": row["day"]} for row in rows],
        as_json,
        empty="No cards: `serantau contacts add PARTY NAME ...`",
    )


def _row(held: Held, now: int, days: int) -> dict[str, Any]:
    from serantau.desk.contacts import short

    card = held.card
    return {
        "id": short(card.id),
        "party": card.party,
        "name": card.name,
        "duties": [str(duty) for duty in card.duties],
        "mail": list(card.mail),
        "phones": list(card.phones),
        "languages": list(card.languages),
        "zone": card.zone,
        "verified": stamp(held.verified),
        "day": when(held.verified)[:10],
        "stale": held.stale(now, days),
        "confidence": card.confidence,
        "source": card.source,
        "origin": held.origin if held.believed else f"{held.origin}, not believed",
        "by": held.by,
    }


def noted(node: Node, what: str, found: Sequence[Held], asked: str = "") -> None:
    """Log who reads whose cards: by id, so that an erased name does not stay."""
    from serantau.desk.audit import note_reading

    note_reading(
        node, what, asked, count=len(found), objects=[one.card.id for one in found]
    )


@app.command()
def show(ctx: typer.Context, card: CardName, as_json: Json = False) -> None:
    """Show all of a card: how to reach, who says so, keys, deputies and rota."""
    from serantau.desk.contacts import Contacts

    with opened(ctx) as node:
        cards = Contacts(node)
        held = cards.find(card)
        noted(node, "contacts show", [held])
        names = {one.card.id: one.card.name for one in cards.all()}
        now, days = node.clock.now(), node.config.contacts.stale_days
    told = _told(held, names, now)
    if as_json:
        document({**_row(held, now, days), **told, "id": held.card.id})
        return
    row = _row(held, now, days)
    lines = [
        ("Id", held.card.id),
        ("Party", held.card.party),
        ("Is", "a person" if held.card.person else "a desk"),
        *((name.capitalize(), row[name]) for name in ("duties", "mail", "phones")),
        ("Title", held.card.title),
        ("Sector", held.card.sector),
        ("Languages", row["languages"]),
        ("Zone", held.card.zone),
        ("Keys", told["keys"]),
        ("Deputies", told["deputies"]),
        ("Shifts", told["shifts"]),
        ("Overrides", told["overrides"]),
        ("Holidays", told["holidays"]),
        ("Source", held.card.source),
        ("Verified", when(held.verified) or "never"),
        ("Stale", row["stale"]),
        ("Confidence", held.card.confidence),
        ("From", f"{row['origin']}, written by {held.by}, signature {held.signature}"),
        ("Marking", brief(held.marking, 200)),
        ("Remark", held.card.remark),
        ("Not read", told["faults"]),
    ]
    columns = (Column("what", held.card.name, style="bold"), Column("said", ""))
    shown = [
        {"what": what, "said": "\n".join(said) if isinstance(said, list) else said}
        for what, said in lines
        if said not in ("", [], None)
    ]
    table(columns, shown)


def _told(held: Held, names: dict[str, str], now: int) -> dict[str, Any]:
    from serantau.desk.contacts import short
    from serantau.rules.rota import DAYS, HOLIDAY, time_text

    card = held.card

    def named(person: str) -> str:
        return f"{names.get(person, '?')} ({short(person)})"

    return {
        "title": card.title,
        "sector": card.sector,
        "person": card.person,
        "keys": [
            f"{key.kind} {key.fingerprint}"
            + (f", until {when(key.expires)[:10]}" if key.expires else "")
            + ("" if key.holds(now) else ": ENDED")
            for key in card.keys
        ],
        "deputies": [named(one) for one in card.deputies],
        "shifts": [
            f"{named(one.person)}: "
            f"{', '.join(day for day in (*DAYS, HOLIDAY) if day in one.days)} "
            f"{time_text(one.begin)}-{time_text(one.end)}"
            for one in card.rota.shifts
        ],
        "overrides": [
            f"{named(one.person)}: {when(one.begin)} to {when(one.end)}"
            for one in card.rota.overrides
        ],
        "holidays": [
            f"{day} {name}" for day, name in sorted(card.rota.holidays.items())
        ],
        "marking": held.marking,
        "signature": str(held.signature),
        "remark": card.remark,
        "faults": list(held.faults),
    }


@app.command()
def add(
    ctx: typer.Context,
    party: Annotated[str, typer.Argument(metavar="PARTY")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="In any script.")],
    duty: Duties = None,
    mail: Mail = None,
    phone: Phone = None,
    title: Title = None,
    sector: Sector = None,
    language: Language = None,
    zone: ZoneName = None,
    desk: Desk = None,
    openpgp: OpenPgp = None,
    smime: Smime = None,
    deputy: Deputy = None,
    source: SaidBy = None,
    verified: Verified = None,
    confidence: Confidence = None,
    remark: Remark = None,
    tlp: Level = None,
    to: To = None,
    circle: InCircle = None,
) -> None:
    """Write a card. It stays here unless --to or --circle names who may have it."""
    from serantau.rules.card import Card

    _put(ctx, Card(name, party))


@app.command("set")
def set_(
    ctx: typer.Context,
    card: CardName,
    name: Annotated[str | None, typer.Option(help="The new name.")] = None,
    duty: Duties = None,
    mail: Mail = None,
    phone: Phone = None,
    title: Title = None,
    sector: Sector = None,
    language: Language = None,
    zone: ZoneName = None,
    desk: Desk = None,
    openpgp: OpenPgp = None,
    smime: Smime = None,
    deputy: Deputy = None,
    source: SaidBy = None,
    verified: Verified = None,
    confidence: Confidence = None,
    remark: Remark = None,
    tlp: Level = None,
    to: To = None,
    circle: InCircle = None,
) -> None:
    """Change a card of ours; what is not named stays, a list is given whole.

    An empty text takes a value away: --remark ''.
    """
    _put(ctx)


def _put(ctx: typer.Context, begun: Card | None = None) -> None:
    """Write a card as the options say: one that is begun, or the one they name."""
    from serantau.desk.contacts import Contacts, short

    said = ctx.params
    with opened(ctx) as node:
        cards = Contacts(node)
        card = begun or cards.find(said["card"]).card
        changes: dict[str, Any] = {
            name: said[name]
            for name in ("name", "title", "sector", "zone", "source", "remark")
            if said[name] is not None
        }
        for option, name in _LISTS.items():
            # Without an option there is an empty list; an empty text takes all away.
            if said[option]:
                changes[name] = tuple(filter(None, said[option]))
        if "duties" in changes:
            changes["duties"] = _duties(changes["duties"])
        if "deputies" in changes:
            changes["deputies"] = tuple(
                cards.find(one).card.id for one in changes["deputies"]
            )
        if said["desk"] is not None:
            changes["person"] = not said["desk"]
        if said["verified"] is not None:
            changes["verified"] = _day(said["verified"], node.clock.now())
        if said["confidence"] is not None:
            changes["confidence"] = said["confidence"]
        if said["openpgp"] or said["smime"]:
            changes["keys"] = _keys(card, said["openpgp"], said["smime"])
        held = cards.put(
            replace(card, **changes),
            level=said["tlp"] or "",
            parties=list(filter(None, said["to"])) if said["to"] else None,
            circles=said["circle"] or (),
        )
    say(f"Card {short(held.card.id)}: {held.card.name}, {brief(held.marking, 200)}")


_LISTS = {
    "duty": "duties",
    "mail": "mail",
    "phone": "phones",
    "language": "languages",
    "deputy": "deputies",
}


def _duties(said: Sequence[str]) -> tuple[Any, ...]:
    from serantau.errors import BadRequest
    from serantau.rules.card import Duty

    try:
        return tuple(dict.fromkeys(Duty(one) for one in said))
    except ValueError as fault:
        raise BadRequest(f"--duty: {fault}, expected of {', '.join(Duty)}.") from fault


def _day(text: str, now: int) -> int:
    from serantau.desk.lane_ask import read_when
    from serantau.errors import BadRequest

    if not text:
        return 0
    at = now if text == "today" else read_when(text, now)
    if at is None or at > now:
        raise BadRequest(f"--verified: {text!r} is not over, or no day.")
    return int(at)


def _keys(card: Card, openpgp: Path | None, smime: Path | None) -> tuple[Any, ...]:
    from serantau.desk.card_import import read_key
    from serantau.rules.card import KeyKind

    given = ((KeyKind.OPENPGP, openpgp), (KeyKind.SMIME, smime))
    made = [read_key(kind, path.read_bytes()) for kind, path in given if path]
    kinds = {one.kind for one in made}
    return (*(one for one in card.keys if one.kind not in kinds), *made)


@app.command()
def rota(
    ctx: typer.Context,
    card: CardName,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="TOML; see docs/contacts.md.")
    ],
) -> None:
    """Say from a file who of a desk is on call when; it replaces what was said."""
    from serantau.desk.card_rota import read_rota
    from serantau.desk.contacts import Contacts, short

    with opened(ctx) as node:
        cards = Contacts(node)
        held = cards.find(card)
        made = read_rota(file.read_bytes(), file.name, cards)
        held = cards.put(replace(held.card, rota=made))
    people = several(len(made.people), "person").replace("persons", "people")
    say(f"Card {short(held.card.id)}: a rota of {people}.")


@app.command()
def verify(
    ctx: typer.Context,
    card: CardName,
    wrong: Annotated[
        bool, typer.Option("--wrong", help="It does not hold: do not use it here.")
    ] = False,
    said: Annotated[str, typer.Option("--by", help="How you know, as `a call`.")] = "",
) -> None:
    """Say that you found a card to hold, or not. Another's card is then used, too."""
    from serantau.desk.contacts import Contacts, short

    with opened(ctx) as node:
        cards = Contacts(node)
        held = cards.verify(cards.find(card).card.id, right=not wrong, said=said)
    found = "does not hold" if wrong else "holds"
    say(f"Card {short(held.card.id)} {found}, as of {when(node.clock.now())}.")


@app.command()
def erase(
    ctx: typer.Context,
    card: CardName,
    reason: Annotated[str, typer.Option(help="Stays in the log; name nobody in it.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Forget the person of a card, with all that is kept about it."""
    from serantau.desk.contacts import Contacts, short

    with opened(ctx) as node:
        cards = Contacts(node)
        held = cards.find(card)
        if not yes:
            typer.confirm(f"Erase {held.card.name} ({held.card.party})?", abort=True)
        got = cards.erase(held.card.id, reason)
    say(f"Card {short(held.card.id)} is erased here.")
    if got:
        note(
            f"It went to {', '.join(got)}. They get a version that names nobody; ask "
            "them to erase the earlier ones, too."
        )


@app.command("import")
def import_(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="vCard or CSV, UTF-8.")],
    party: Annotated[
        str, typer.Option(help="Of those that name none.", metavar="PARTY")
    ] = "",
    source: Annotated[str, typer.Option(help="Of those that name none.")] = "",
    duty: Duties = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would become of it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Take in cards from a file, all or none. Nothing of them leaves by that."""
    from serantau.desk.card_import import REFUSED, Import

    with opened(ctx) as node:
        work = Import(
            node,
            file.read_bytes(),
            name=file.name,
            party=party,
            source=source,
            duties=_duties(duty or ()),
        )
        kept = [] if dry_run else work.keep()
    rows = [
        {
            "place": one.place,
            "state": one.state,
            "party": one.card.party,
            "name": one.card.name,
            "duties": [str(duty) for duty in one.card.duties],
            "mail": list(one.card.mail),
            "phones": list(one.card.phones),
            "changes": list(one.changes),
            "faults": list(one.faults),
            "left": list(one.left),
        }
        for one in work.proposed
    ]
    refused = sum(row["state"] == REFUSED for row in rows)
    columns = (
        Column("place", "Where"),
        Column("state", "Becomes"),
        Column("party", "Party"),
        Column("name", "Name"),
        Column("duties", "For"),
        Column("mail", "Mail"),
        Column("phones", "Phone"),
        Column("changes", "Changes"),
        Column("faults", "Why not"),
        Column("left", "Left out", spare=1),
    )
    if as_json:
        document(rows)
    elif dry_run:
        table(columns, rows, empty="The file has no contacts.")
    if not dry_run:
        note(f"{several(len(kept), 'card')} written.")
    elif refused:
        note(f"{refused} refused: nothing would be taken in.")
        raise typer.Exit(9)


@app.command()
def export(
    ctx: typer.Context,
    party: Annotated[str, typer.Argument(metavar="[PARTY]")] = "",
    as_csv: Annotated[
        bool, typer.Option("--csv", help="CSV instead of vCard.")
    ] = False,
) -> None:
    """Write cards for your own address book: vCard 4.0, or CSV. Only believed ones.

    This is for your own people. What goes to others goes as any object does.
    """
    from serantau.desk.contacts import Contacts
    from serantau.wire.vcard import write_csv, write_vcards

    with opened(ctx) as node:
        found = [one for one in Contacts(node).all(party) if one.believed]
        noted(node, "contacts export", found)
    cards = [one.card for one in found]
    typer.echo(write_csv(cards) if as_csv else write_vcards(cards), nl=False)
    note(f"{several(len(cards), 'card')}, each marked as `show` says.")
