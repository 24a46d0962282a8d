"""`serantau notice`: owners are told what happens on their machines, once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serantau.apps.cli import notice_terms
from serantau.apps.cli.door import opened
from serantau.apps.cli.handout import person
from serantau.apps.cli.output import (
    Column,
    Json,
    answer,
    document,
    note,
    say,
    shorten,
    stamp,
    table,
    when,
)

if TYPE_CHECKING:
    from serantau.desk.notify import Outlook, Plan
    from serantau.records.notices import Delivery, Notice

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)
app.command("set")(notice_terms.set_)
app.command()(notice_terms.settings)
app.command()(notice_terms.mute)
app.command()(notice_terms.unmute)
app.command()(notice_terms.mutes)
Number = Annotated[int, typer.Argument(metavar="NUMBER", help="As `list` shows it.")]
Numbers = Annotated[
    list[int] | None, typer.Argument(metavar="NUMBER...", help="As `list` shows them.")
]
Party = Annotated[str | None, typer.Option(metavar="PARTY", help="Only for this one.")]
_DAYS = 3


@app.callback()
def notice() -> None:
    """Tell owners what was seen on their machines, and what to do: once, only them."""


# --- making and sending --------------------------------------------------------------


@app.command()
def make(
    ctx: typer.Context,
    day: Annotated[
        list[str] | None,
        typer.Option(metavar="DAY", help=f"Of these days; else of the last {_DAYS}."),
    ] = None,
    party: Party = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say who would be told what.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make notices of the events of some days. What was told before stays quiet."""
    from serantau.desk.notice_rows import days_before, read_day, tell
    from serantau.desk.notify import Notify

    with opened(ctx) as node:
        days = [read_day(each) for each in day or days_before(node.clock.now(), _DAYS)]
        notify = Notify(node, person())
        outlooks = [tell(node, notify, each, party or "", dry=dry_run) for each in days]
    plans = [plan for each in outlooks for plan in each.plans]
    if as_json:
        document([_plan_document(each) for each in plans])
        return
    _show_plans(plans)
    _say_made(outlooks, dry_run)


def _say_made(outlooks: list[Outlook], dry_run: bool) -> None:
    made = [each for one in outlooks for each in one.made]
    if dry_run:
        say("Nothing was made, and nothing has left.")
        return
    waiting = sum(each.state == "waiting" for each in made)
    say(f"{len(made)} notices made; {waiting} of them wait for approval.")
    if waiting:
        say("`serantau notice show NUMBER` shows one, `notice approve` lets it go.")


def _plan_document(plan: Plan) -> dict[str, Any]:
    return {
        "day": plan.day,
        "party": plan.party,
        "class": plan.group,
        "rows": plan.rows,
        "machines": plan.places,
        "findings": plan.findings,
        "left_out": plan.left,
        "withheld": {level.label: said for level, said in plan.withheld.items()},
        "contacts": [each.address for each in plan.contacts],
        "automatic": plan.terms.automatic,
        "notice": plan.notice.number if plan.notice else None,
    }


def _show_plans(plans: list[Plan]) -> None:
    rows = [
        {
            "day": each.day,
            "party": each.party,
            "class": each.group,
            "rows": each.rows,
            "places": each.places,
            "left": ", ".join(f"{many:,} {why}" for why, many in each.left.items()),
            "to": ", ".join(one.address for one in each.contacts)
            or "nobody: no contact",
            "then": _then(each),
        }
        for each in plans
    ]
    table(
        (
            Column("day", "Day"),
            Column("party", "Party"),
            Column("class", "Class"),
            Column("rows", "Rows", right=True),
            Column("places", "Machines", right=True),
            Column("left", "Left out"),
            Column("to", "To"),
            Column("then", "Notice"),
        ),
        rows,
        empty="No events of a party with a name in the registry.",
    )
    for each in plans:
        for level, said in each.withheld.items():
            note(f"{each.party}, {each.group}, {level.label}: {said}")


def _then(plan: Plan) -> str:
    if plan.notice is not None:
        return f"{plan.notice.number} {plan.notice.state}"
    return "none" if plan.state is None else f"would be {plan.state}"


@app.command()
def send(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(help="At most so many deliveries.")] = 1000,
    as_json: Json = False,
) -> None:
    """Hand over what is ready and due, each notice to each contact once."""
    from dataclasses import asdict

    from serantau.desk.courier import Courier

    with opened(ctx) as node:
        done = Courier(node, person()).send(limit)
    if as_json:
        document(asdict(done))
    else:
        said = [f"{many} {what}" for what, many in asdict(done).items() if many]
        say(", ".join(said) + "." if said else "Nothing was due.")
    if done.unsure:
        note("What is unsure is not sent again: `serantau notice settle` decides.")
    if done.blocked:
        note("What is blocked goes when mail.host and mail.sender are set.")
    if done.failed or done.bounced or done.unaddressed or done.withheld or done.blocked:
        raise typer.Exit(9)


@app.command()
def status(ctx: typer.Context, as_json: Json = False) -> None:
    """Show what waits for whom, when notices are made, and what is in the way."""
    from serantau.clock import moment
    from serantau.desk.telling import standing, zone_of

    with opened(ctx) as node:
        now = standing(node)
        clocks = zone_of(node)
    zone = str(clocks)
    if as_json:
        document(
            {
                "last": stamp(now.last),
                "next": stamp(now.next),
                "zone": zone,
                "counts": now.counts,
                "blocked": now.blocked,
                "lacks": {str(kind): why for kind, why in now.lacks.items()},
                "mailbox_read": stamp(now.read),
                "faults": [each for each in (now.fault, now.read_fault) if each],
            }
        )
        return
    if now.next:
        last = f"made last at {when(now.last)}" if now.last else "not made yet"
        there = f"{moment(now.next).astimezone(clocks):%H:%M} {zone}"
        say(f"A running node makes notices at {when(now.next)} ({there}); {last}.")
    else:
        say("A running node makes no notices: notice.times is empty.")
    many = now.counts.get
    for count, text in (
        (many("notice waiting", 0), "wait for approval: `serantau notice approve`"),
        (many("notice ready", 0), "are on their way"),
        (many("notice told", 0), "are told"),
        (many("notice failed", 0), "reached nobody: `serantau notice list`"),
        (many("notice withheld", 0), "may not go any more"),
        (many("delivery bounced", 0), "deliveries came back: `contact list`"),
    ):
        if count:
            say(f"{count:>7,} {text}")
    if unsure := many("delivery unsure", 0):
        say(f"ALARM {unsure:,} deliveries are unsure: `notice settle`", "bold red")
    if now.blocked:
        why = "; ".join(dict.fromkeys(now.lacks.values()))
        say(f"ALARM {now.blocked:,} deliveries cannot go: {why}", "bold red")
    for fault in filter(None, (now.fault, now.read_fault)):
        say(f"ALARM {fault}", "bold red")


# --- looking -------------------------------------------------------------------------


@app.command("list")
def list_(
    ctx: typer.Context,
    state: Annotated[
        str,
        typer.Option(help="waiting, ready, told, failed, withheld, dropped or unsure."),
    ] = "",
    party: Party = None,
    limit: Annotated[int, typer.Option(help="The newest so many.")] = 100,
    as_json: Json = False,
) -> None:
    """List notices, the newest first."""
    from serantau.desk.audit import note_reading
    from serantau.records.notices import Notices

    notices = Notices()
    with opened(ctx) as node, node.db.read() as tx:
        asked = "" if state == "unsure" else state
        found = notices.all(tx, state=asked, party=party or "", limit=limit)
        held = [(each, notices.deliveries(tx, each.number)) for each in found]
        note_reading(node, "notice list", party or "", count=len(held))
    if state == "unsure":
        held = [pair for pair in held if any(x.state == "unsure" for x in pair[1])]
    rows = [_notice_row(each, sent, as_json) for each, sent in held]
    answer(
        (
            Column("number", "Number", right=True),
            Column("day", "Day"),
            Column("party", "Party"),
            Column("class", "Class"),
            Column("rows", "Rows", right=True),
            Column("state", "State"),
            Column("deliveries", "Deliveries"),
            Column("fault", "Why"),
        ),
        rows,
        as_json,
        empty="No notices.",
    )


def _notice_row(one: Notice, sent: list[Delivery], as_json: bool) -> dict[str, Any]:
    deliveries: Any = [
        {
            "address": each.address,
            "state": str(each.state),
            "key": each.key,
            "fault": each.fault,
        }
        for each in sent
    ]
    if not as_json:
        deliveries = "\n".join(f"{each.state} {each.address}" for each in sent)
    return {
        "number": one.number,
        "day": one.day,
        "party": one.party,
        "class": one.group,
        "round": one.round,
        "rows": one.facts["rows"],
        "state": str(one.state),
        "made": stamp(one.made) if as_json else when(one.made),
        "deliveries": deliveries,
        "fault": one.fault if as_json else shorten(one.fault),
    }


@app.command()
def show(
    ctx: typer.Context,
    number: Number,
    language: Annotated[str, typer.Option(help="In this language.")] = "en",
    csv: Annotated[
        bool, typer.Option("--csv", help="Print what is attached instead.")
    ] = False,
) -> None:
    """Show a notice as its owner reads it."""
    from serantau.desk.audit import note_reading
    from serantau.desk.courier import Courier
    from serantau.records.notices import Notices

    with opened(ctx) as node:
        with node.db.read() as tx:
            held = Notices().get(tx, number)
            attached = Notices().csv(tx, number)
        wording = Courier(node, person()).wording(held, language)
        rows = held.facts["attached"]
        note_reading(node, "notice show", str(number), count=rows)
    if csv:
        typer.echo(attached.decode(), nl=False)
        return
    say(f"Notice {number} for {held.party} is {held.state}.")
    say()
    say(wording.subject, style="bold")
    say()
    say(wording.text)


# --- deciding ------------------------------------------------------------------------


@app.command()
def approve(
    ctx: typer.Context,
    numbers: Numbers = None,
    everything: Annotated[bool, typer.Option("--all", help="All that wait.")] = False,
) -> None:
    """Let notices go that wait for a person; `send` hands them over."""
    from serantau.desk.courier import Courier
    from serantau.errors import BadRequest
    from serantau.records.notices import Notices

    if bool(numbers) == everything:
        raise BadRequest("Name notices by number, or give --all.")
    with opened(ctx) as node:
        if everything:
            with node.db.read() as tx:
                found = Notices().all(tx, state="waiting", limit=100_000)
            numbers = [each.number for each in found]
        courier = Courier(node, person())
        for each in numbers or ():
            courier.approve(each)
    say(
        f"{len(numbers or ())} notices are ready. A running node sends them within "
        "seconds, `serantau notice send` now."
    )


@app.command()
def hold(
    ctx: typer.Context,
    number: Number,
    why: Annotated[str, typer.Option("--reason", help="Why, for whoever comes next.")],
) -> None:
    """Let a notice wait that was not sent yet; `approve` lets it go."""
    from serantau.desk.courier import Courier

    with opened(ctx) as node:
        Courier(node, person()).hold(number, why)
    say(f"Notice {number} waits.")


@app.command()
def drop(ctx: typer.Context, number: Number) -> None:
    """Never send a notice. Its findings stay quiet as if they had been told."""
    from serantau.desk.courier import Courier

    with opened(ctx) as node:
        Courier(node, person()).drop(number)
    say(f"Notice {number} is dropped.")


@app.command()
def retry(ctx: typer.Context, number: Number) -> None:
    """Send a notice to those contacts that did not get it, after that was mended."""
    from serantau.desk.courier import Courier

    with opened(ctx) as node:
        Courier(node, person()).retry(number)
    say(
        f"Notice {number} is ready. A running node sends it within seconds, "
        "`serantau notice send` now."
    )


@app.command()
def settle(
    ctx: typer.Context,
    number: Number,
    sent: Annotated[
        bool | None,
        typer.Option("--sent/--again", help="It arrived; or send it once more."),
    ] = None,
) -> None:
    """Say of a notice that may have arrived, or not, which of the two it is.

    The log of your mail server tells: look for its Message-ID (`list --json`: key).
    """
    from serantau.desk.courier import Courier
    from serantau.errors import BadRequest

    if sent is None:
        raise BadRequest("Say --sent or --again.")
    with opened(ctx) as node:
        many = Courier(node, person()).settle(number, sent=sent)
    then = "arrived" if sent else "will be sent once more"
    say(f"{many} deliveries of notice {number}: {then}.")


@app.command()
def bounce(
    ctx: typer.Context,
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Mail that came back; - too."),
    ],
) -> None:
    """Take in mail that came back: its contacts are marked and not written to."""
    import sys

    from serantau.desk.courier import Courier

    with opened(ctx) as node:
        courier = Courier(node, person())
        for each in files:
            raw = sys.stdin.buffer.read() if str(each) == "-" else each.read_bytes()
            found = courier.bounced(raw)
            if found is None:
                say(f"{each}: says nothing of a notice of ours.")
            else:
                say(f"{each}: {found.address} bounced ({found.fault}).")


@app.command()
def key(ctx: typer.Context) -> None:
    """Make the OpenPGP key that signs notices, or show the one there is.

    It prints the certificate, for those who check signatures.
    """
    from serantau.desk.found import write_whole
    from serantau.desk.relay import KEY_FILE
    from serantau.errors import BadRequest
    from serantau.wire.openpgp import Key

    with opened(ctx) as node:
        named = node.config.mail.key_file
        path = node.home / named if named else node.config.keys / KEY_FILE
        if not path.exists():
            sender = node.config.mail.sender
            if not sender:
                raise BadRequest("mail.sender is empty.", mend="Set it first.")
            team = node.config.node.team or node.config.node.member
            write_whole(path, Key.generate(f"{team} <{sender}>"))
            note(f"A new key is in {path}. Keep it as you keep the node.")
        held = Key.from_file(path)
    note(f"Fingerprint {held.fingerprint}")
    typer.echo(held.certificate, nl=False)
