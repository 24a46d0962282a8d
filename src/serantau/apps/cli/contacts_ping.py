"""`serantau contacts ping`, `calls`, `called`, `report`: does everyone answer?"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from serantau.apps.cli.door import opened
from serantau.apps.cli.output import (
    Column,
    Json,
    answer,
    document,
    note,
    say,
    several,
    stamp,
    table,
    when,
)


def ping(
    ctx: typer.Context,
    party: Annotated[str, typer.Argument(metavar="[PARTY]")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show who would be asked.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
    as_json: Json = False,
) -> None:
    """Ask every address of every card, or of one party's, whether it still answers.

    Mails go at once; numbers go on the list of `calls`. After the first drill a running
    node begins one each quarter by itself.
    """
    from serantau.desk.audit import account
    from serantau.desk.reach import Reach

    with opened(ctx) as node:
        reach = Reach(node)
        rows = [
            {
                "party": held.card.party,
                "name": held.card.name,
                "way": way,
                "address": address,
            }
            for held, way, address in reach.plan(party)
        ]
        if dry_run:
            answer(_PLANNED, rows, as_json, empty="There is no card to ask.")
            return
        if not yes and rows:
            table(_PLANNED, rows)
            typer.confirm("Ask all of these?", abort=True)
        drill = reach.begin(party, account().who)
        done = reach.send()
    mails = sum(row["way"] == "mail" for row in rows)
    calls = len(rows) - mails
    if as_json:
        document({"drill": drill.n, "mails": mails, "sent": done.sent, "calls": calls})
        return
    say(
        f"Drill {drill.n} until {when(drill.ends)}: {done.sent} of "
        f"{several(mails, 'mail')} handed over, {several(calls, 'number')} to call."
    )
    if done.sent < mails:
        note("The rest goes while the node runs: `serantau contacts report` shows why.")


_PLANNED = (
    Column("party", "Party"),
    Column("name", "Name"),
    Column("way", "By"),
    Column("address", "Address"),
)


def calls(ctx: typer.Context, as_json: Json = False) -> None:
    """List the numbers of the running drill that are still to be called."""
    from serantau.clock import moment
    from serantau.desk.audit import note_reading, zone_named
    from serantau.desk.reach import Reach

    with opened(ctx) as node:
        found = Reach(node).calls()
        note_reading(
            node, "contacts calls", "", count=len(found),
            objects=[ask.card for ask, _ in found],
        )  # fmt: skip
        now = moment(node.clock.now())
    rows = []
    for ask, held in found:
        zone = held.card.zone if held else ""
        rows.append(
            {
                "number": ask.n,
                "party": ask.party,
                "name": held.card.name if held else "(erased)",
                "phone": ask.address,
                "languages": list(held.card.languages) if held else [],
                "local": f"{now.astimezone(zone_named(zone)):%a %H:%M}" if zone else "",
                "state": ask.state,
                "said": ask.said,
            }
        )
    answer(
        (
            Column("number", "Number", right=True),
            Column("party", "Party"),
            Column("name", "Name"),
            Column("phone", "Phone"),
            Column("languages", "Languages"),
            Column("local", "Time there"),
            Column("state", "State"),
            Column("said", "Said"),
        ),
        rows,
        as_json,
        empty="Nobody is to be called.",
    )


def called(
    ctx: typer.Context,
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="As `calls` shows.")],
    reached: Annotated[bool, typer.Option("--reached", help="The right one.")] = False,
    silent: Annotated[bool, typer.Option("--silent", help="Nobody answered.")] = False,
    wrong: Annotated[
        bool, typer.Option("--wrong", help="It is somebody else.")
    ] = False,
    said: Annotated[str, typer.Option("--remark", help="For people.")] = "",
) -> None:
    """Write down how a call went. A silent one stays on the list."""
    from serantau.desk.reach import Reach
    from serantau.errors import BadRequest

    several_ = {"reached": reached, "silent": silent, "wrong": wrong}
    chosen = [name for name, is_so in several_.items() if is_so]
    if len(chosen) != 1:
        raise BadRequest("Say one of --reached, --silent and --wrong.")
    with opened(ctx) as node:
        Reach(node).called(number, chosen[0], said)
    say(f"Call {number}: {chosen[0]}.")


def report(
    ctx: typer.Context,
    drill: Annotated[int, typer.Argument(metavar="[DRILL]")] = 0,
    as_json: Json = False,
) -> None:
    """Tell how a drill went, or goes: rates by party and way, what failed, what is old.

    Without a number it is the last.
    """
    from serantau.desk.audit import note_reading
    from serantau.desk.contacts import short
    from serantau.desk.reach import Reach
    from serantau.records.cards import FAILED, SENDING, WRONG

    with opened(ctx) as node:
        told = Reach(node).report(drill)
        note_reading(
            node, "contacts report", str(told.drill.n), count=len(told.asks),
            objects=dict.fromkeys(ask.card for ask in told.asks),
        )  # fmt: skip
    rates = [
        {
            **{name: getattr(one, name) for name in _COUNTS},
            "party": one.party or "all",
            "rate": None if one.share is None else round(one.share, 3),
        }
        for one in told.rates
    ]
    asks = [
        {
            "party": ask.party,
            "card": short(ask.card),
            "way": ask.way,
            "address": ask.address,
            "state": "unsure" if ask.state == SENDING else ask.state,
            "sent": stamp(ask.sent),
            "answered": stamp(ask.answered),
            "said": ask.said,
        }
        for ask in told.asks
    ]
    stale: list[dict[str, Any]] = [
        {
            "card": short(held.card.id),
            "party": held.card.party,
            "name": held.card.name,
            "verified": stamp(held.verified),
        }
        for held in told.stale
    ]
    if as_json:
        document(
            {
                "drill": told.drill.n,
                "at": stamp(told.drill.at),
                "ends": stamp(told.drill.ends),
                "rates": rates,
                "asks": asks,
                "stale": stale,
            }
        )
        return
    ends = "ended" if told.drill.closed else "until"
    title = (
        f"Drill {told.drill.n}, {when(told.drill.at)}, {ends} {when(told.drill.ends)}"
    )
    shown = [
        {**row, "rate": "" if row["rate"] is None else f"{row['rate']:.0%}"}
        for row in rates
    ]
    table(_RATES, shown, title=title)
    bad = [
        row for row in asks if row["state"] in {FAILED, WRONG, "unsure"} or row["said"]
    ]
    if bad:
        say()
        table(_BAD, bad, title="To be mended")
    if stale:
        say()
        rows = [
            {**row, "verified": str(row["verified"] or "never")[:10]} for row in stale
        ]
        table(_STALE, rows, title="Did not prove right lately")


_COUNTS = (
    "way",
    "asked",
    "reached",
    "open",
    "silent",
    "wrong",
    "failed",
    "waiting",
    "hours",
)
_RATES = (
    Column("party", "Party"),
    Column("way", "By"),
    Column("asked", "Asked", right=True),
    Column("reached", "Reached", right=True),
    Column("rate", "Rate", right=True),
    Column("open", "No answer", right=True),
    Column("silent", "Silent", right=True),
    Column("wrong", "Wrong", right=True),
    Column("failed", "Failed", right=True),
    Column("waiting", "Waiting", right=True),
    Column("hours", "Hours", right=True),
)
_BAD = (
    Column("party", "Party"),
    Column("card", "Card"),
    Column("way", "By"),
    Column("address", "Address"),
    Column("state", "State"),
    Column("said", "Why"),
)
_STALE = (
    Column("card", "Card"),
    Column("party", "Party"),
    Column("name", "Name"),
    Column("verified", "Verified"),
)
