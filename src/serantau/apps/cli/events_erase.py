"""`serantau events erase`: take one party's rows out, on legal request."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from serantau.apps.cli.door import opened
from serantau.apps.cli.handout import person
from serantau.apps.cli.output import Column, Json, answer, document, say, stamp, when
from serantau.apps.cli.progress import counted

if TYPE_CHECKING:
    from serantau.desk.erase import Found
    from serantau.records.erasures import Erasure


def erase(
    ctx: typer.Context,
    party: Annotated[
        list[str] | None, typer.Option(help="Rows of this owner; may be repeated.")
    ] = None,
    address: Annotated[
        list[str] | None,
        typer.Option(help="Address, prefix or FIRST-LAST; may be repeated."),
    ] = None,
    domain: Annotated[
        list[str] | None,
        typer.Option(help="A name with what is below it; may be repeated."),
    ] = None,
    anywhere: Annotated[
        bool,
        typer.Option("--anywhere", help="Addresses and domains in any text of a row."),
    ] = False,
    reason: Annotated[
        str, typer.Option(help="Why; it is kept, so name no person in it.")
    ] = "",
    by: Annotated[str, typer.Option(help="Who decided; else who you are here.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with what was not done.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Erase rows from the archive, the originals, parcels and notices, for good.

    Counts first, and asks. Who erased, when, why and how many is kept; what was erased
    is not.
    """
    ctx.obj.safe = "What is erased stays so; `serantau events erase --resume` goes on."
    from serantau.desk.erase import Erase, check
    from serantau.errors import BadRequest
    from serantau.lane.erasure import Scope

    scope = Scope(
        tuple(party or ()), tuple(address or ()), tuple(domain or ()), anywhere
    )
    if resume:
        if party or address or domain:
            raise BadRequest(
                "--resume goes on with what was asked before: add nothing."
            )
        with opened(ctx) as node, counted("Erasing", 100) as step:
            done = Erase(node, step).resume()
        _told(done, as_json)
        return
    check(scope)
    with opened(ctx) as node:
        if dry_run or not yes:
            with counted("Counting", 100) as step:
                found = Erase(node, step).find(scope)
            if dry_run and as_json:
                document(asdict(found))
                return
            _show(found)
            if dry_run:
                say("Nothing was erased.")
                return
            if not sys.stdin.isatty():
                raise BadRequest(
                    "Nobody is there to say that this may be erased.",
                    mend="--yes says so; --dry-run only counts.",
                )
            reason = reason or str(typer.prompt("Reason"))
            typer.confirm("Erase it for good?", abort=True, err=True)
        with counted("Erasing", 100) as step:
            one = Erase(node, step).erase(scope, actor=by or person(), reason=reason)
    _told([one], as_json)


def _show(found: Found) -> None:
    say(f"{found.events:,} events and {found.rejects:,} rejects", "bold")
    say(f"{found.batches:,} batches that they came in")
    say(
        f"{found.originals:,} batches whose bytes are deleted: "
        "rows of others in them stay in the archive, and cannot be read anew"
    )
    say(f"{found.parcels:,} rows in parcels for other members")
    say(f"{found.notices:,} notices that tell of them")
    if found.unread:
        many = "batch" if found.unread == 1 else "batches"
        say(
            f"{found.unread:,} {many} that nobody has read are not looked into: work "
            "on them or drop them, and erase again.",
            "yellow",
        )


def _told(done: list[Erasure], as_json: bool) -> None:
    if as_json:
        document([_row(one) for one in done])
        return
    if not done:
        say("No erasure waits to be done.")
    for one in done:
        say(
            f"Erasure {one.number} is done: {one.events:,} events, {one.rejects:,} "
            f"rejects, the bytes of {one.originals:,} batches, {one.parcels:,} rows in "
            f"parcels and {one.notices:,} notices."
        )
        say("What was sent, exported or backed up before is not reached by it.")


def _row(one: Erasure) -> dict[str, object]:
    told = asdict(one)
    told.pop("scope")
    told["done"] = bool(one.ended)
    for name in ("at", "ended", "lease"):
        told[name] = stamp(told[name])
    return told


def erasures(ctx: typer.Context, as_json: Json = False) -> None:
    """List what was erased: who, when, why and how many."""
    from serantau.records.erasures import Erasures

    with opened(ctx) as node, node.db.read() as tx:
        rows = [_row(one) for one in Erasures().all(tx)]
        if not as_json:
            for shown, one in zip(rows, Erasures().all(tx), strict=True):
                shown["at"] = when(one.at)
                shown["ended"] = when(one.ended) or "not done"
    columns = (
        Column("number", "Number", right=True),
        Column("at", "Begun"),
        Column("ended", "Done"),
        Column("actor", "By"),
        Column("reason", "Reason"),
        Column("about", "About"),
        Column("events", "Events", right=True),
        Column("rejects", "Rejects", right=True),
        Column("originals", "Originals", right=True),
        Column("parcels", "In parcels", right=True),
        Column("notices", "Notices", right=True),
    )
    answer(columns, rows, as_json, empty="Nothing was erased.")
