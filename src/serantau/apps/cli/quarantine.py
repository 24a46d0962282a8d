"""`serantau quarantine`: what was refused, with the reason."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serantau.apps.cli.door import opened
from serantau.apps.cli.output import Column, Json, answer, document, say, stamp, when

if TYPE_CHECKING:
    from serantau.node import Node
    from serantau.records.quarantine import Held

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)
Numbers = Annotated[
    list[int] | None, typer.Argument(metavar="NUMBER...", help="As `list` shows them.")
]
All = Annotated[bool, typer.Option("--all", help="All of them.")]
Source = Annotated[str, typer.Option(help="Only from this source, such as peer:th.")]
_PAGE = 1000


@app.callback()
def quarantine() -> None:
    """See what was refused and why, and try again or drop it."""


@app.command("list")
def list_(
    ctx: typer.Context,
    source: Source = "",
    limit: Annotated[int, typer.Option(min=1, help="Rows at most.")] = 100,
    after: Annotated[int, typer.Option(help="Only numbers above this.")] = 0,
    as_json: Json = False,
) -> None:
    """List what is held, oldest first."""
    from serantau.desk.audit import note_reading

    with opened(ctx) as node:
        with node.db.read() as tx:
            held = node.quarantine.list(tx, after=after, limit=limit, source=source)
            total = node.quarantine.count(tx)
        ids = [each.id for each in held]
        note_reading(node, "quarantine list", source, count=len(ids), objects=ids)
    rows = [_row(each, as_json) for each in held]
    columns = (
        Column("number", "No.", right=True),
        Column("at", "Since"),
        Column("source", "From"),
        Column("where", "Where"),
        Column("rule", "Rule"),
        Column("why", "Why"),
        Column("id", "Id"),
    )
    answer(columns, rows, as_json, empty="Nothing is in quarantine.")
    if not as_json and total > len(rows):
        say(f"{total:,} are held in all; --limit and --after show others.")


def _row(each: Held, as_json: bool) -> dict[str, Any]:
    row: dict[str, Any] = {
        "number": each.number,
        "at": stamp(each.at) if as_json else when(each.at),
        "source": each.source,
        "where": each.origin,
        "id": each.id,
        "rule": each.rule,
        "place": each.place,
        "got": each.got,
        "expected": each.expected,
        "handle_as": each.handle_as,
        "bytes": each.size,
    }
    if not as_json:
        place = f"{each.place}: " if each.place else ""
        row["why"] = f"{place}got {each.got}, expected {each.expected}"
    return row


@app.command()
def show(
    ctx: typer.Context,
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="As listed.")],
    as_json: Json = False,
) -> None:
    """Show one with its text as it came."""
    from serantau.desk.audit import note_reading

    with opened(ctx) as node:
        with node.db.read() as tx:
            held, body = node.quarantine.get(tx, number)
        note_reading(node, "quarantine show", str(number), count=1, objects=[held.id])
    text = body.decode("utf-8", "backslashreplace")
    if as_json:
        document({**_row(held, as_json=True), "body": text})
        return
    say(f"No. {held.number}, from {held.source}: {held.origin}", "bold")
    say(f"{held.rule}: {_row(held, as_json=False)['why']}")
    say()
    say(text or "(its text could not be cut out of the file)")


@app.command()
def retry(
    ctx: typer.Context, numbers: Numbers = None, all_: All = False, source: Source = ""
) -> None:
    """Try again; what is admitted now leaves quarantine. Ends with 9 when some stay."""
    ctx.obj.safe = "Each is tried on its own; the others wait as before."
    from serantau.apps.cli.load import SOME_REFUSED
    from serantau.desk.intake import Intake, Report

    total = Report()
    with opened(ctx) as node:
        intake = Intake(node)
        for number in _chosen(node, numbers, all_, source):
            total.add(intake.retry(number))
    say(
        f"{total.new} admitted, {total.held} were here already, "
        f"{total.refused} refused again{_rules(total.reasons)}."
    )
    if total.refused:
        raise typer.Exit(SOME_REFUSED)


def _rules(reasons: Counter[str]) -> str:
    said = ", ".join(f"{rule} {count}" for rule, count in reasons.most_common())
    return f" ({said})" if said else ""


@app.command()
def drop(
    ctx: typer.Context, numbers: Numbers = None, all_: All = False, source: Source = ""
) -> None:
    """Forget for good."""
    with opened(ctx) as node:
        chosen = _chosen(node, numbers, all_, source)
        with node.db.write() as tx:
            for number in chosen:
                node.quarantine.dismiss(tx, number)
    say(f"{len(chosen)} dropped.")


def _chosen(
    node: Node, numbers: list[int] | None, all_: bool, source: str
) -> list[int]:
    from serantau.errors import BadRequest

    if numbers:
        return numbers
    if not all_ and not source:
        raise BadRequest("Say which: numbers, --source or --all.")
    found: list[int] = []
    with node.db.read() as tx:
        while page := node.quarantine.list(
            tx, after=found[-1] if found else 0, limit=_PAGE, source=source
        ):
            found += [each.number for each in page]
    return found
