"""`serantau share`: what would leave, to whom, and why not the rest; hand-outs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from serantau.apps.cli.audience import audience
from serantau.apps.cli.door import opened
from serantau.apps.cli.handout import write
from serantau.apps.cli.handover import handover
from serantau.apps.cli.output import Column, Json, brief, document, say, table
from serantau.apps.cli.simulate import simulate

if TYPE_CHECKING:
    from serantau.desk.share import Preview, Row

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)


@app.callback()
def share() -> None:
    """See what would leave, to whom, and why not the rest."""


app.command()(audience)
app.command()(handover)
app.command()(simulate)
app.command()(write)


@app.command()
def preview(
    ctx: typer.Context,
    query: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="QUERY...",
            help="Only what `search` finds for this; everything without it.",
        ),
    ] = None,
    to: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PARTY", help="In detail for this party; may be repeated."
        ),
    ] = None,
    diff: Annotated[
        bool, typer.Option("--diff", help="Only where the two parties of --to differ.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Work out who would get what by machine, and why not the rest. Nothing leaves."""
    from serantau.desk.audit import note_reading
    from serantau.desk.share import Share
    from serantau.errors import BadRequest

    if diff and len(to or []) != 2:
        raise BadRequest("--diff compares two parties: give --to twice.")
    with opened(ctx) as node:
        previews = Share(node).preview(to or [], " ".join(query or []))
        note_reading(node, "share preview", " ".join([*(to or ()), *(query or ())]))
    if diff:
        _show_difference(previews[0], previews[1], as_json)
    elif as_json:
        document([_document(each) for each in previews])
    elif to:
        for each in previews:
            _show(each)
    else:
        _show_all(previews)


def _document(each: Preview) -> dict[str, Any]:
    return {
        "party": each.party.name,
        "kind": str(each.party.kind),
        "released": each.released,
        "withheld": each.withheld,
        "rows": [
            {
                "released": row.released,
                "rule": row.rule,
                "got": row.got,
                "expected": row.expected,
                "marking": row.marking,
                "count": row.count,
                "samples": row.samples,
            }
            for row in each.rows
        ],
    }


def _by_rule(rows: list[Row], released: bool) -> str:
    counts: dict[str, int] = {}
    for row in rows:
        if row.released is released:
            counts[row.rule] = counts.get(row.rule, 0) + row.count
    ordered = sorted(counts.items(), key=lambda pair: -pair[1])
    return "\n".join(f"{count:,} {rule}" for rule, count in ordered)


def _show_all(previews: list[Preview]) -> None:
    """Show one row for all parties of a kind that get the same for the same reasons."""
    alike: dict[tuple[str, str, str], list[Preview]] = {}
    for each in previews:
        key = (
            str(each.party.kind),
            _by_rule(each.rows, released=True),
            _by_rule(each.rows, released=False),
        )
        alike.setdefault(key, []).append(each)
    rows = [
        {
            "party": ", ".join(each.party.name for each in several),
            "kind": kind,
            "released": several[0].released,
            "granted": granted,
            "withheld": several[0].withheld,
            "denied": denied,
        }
        for (kind, granted, denied), several in alike.items()
    ]
    table(
        (
            Column("party", "Party"),
            Column("kind", "Kind"),
            Column("released", "Released", right=True, style="green"),
            Column("granted", "By rule"),
            Column("withheld", "Withheld", right=True, style="red"),
            Column("denied", "By rule"),
        ),
        rows,
        empty="No party but this node's own is known: `serantau party add` adds one.",
    )
    say("Nothing has left. `share preview --to PARTY` says more about one of them.")


def _show(each: Preview) -> None:
    party = each.party
    title = f"{party.name} ({party.kind}{', blocked' if party.blocked else ''})"
    rows = [
        {
            "what": "released" if row.released else "withheld",
            "count": row.count,
            "marking": brief(row.marking),
            "rule": row.rule,
            "why": row.got
            if row.released
            else f"got {row.got}; expected {row.expected}",
            "samples": "\n".join(row.samples),
        }
        for row in each.rows
    ]
    table(
        (
            Column("what", ""),
            Column("count", "Objects", right=True),
            Column("marking", "Marked"),
            Column("rule", "Rule"),
            Column("why", "Why"),
            Column("samples", "Such as"),
        ),
        rows,
        title=title,
        empty=f"{title}: there is nothing to release or withhold.",
    )
    say(f"{each.released:,} would be released, {each.withheld:,} withheld.")
    say()


def _show_difference(one: Preview, other: Preview, as_json: bool) -> None:
    names = (one.party.name, other.party.name)
    # The same marking set has the same words and samples in both.
    others = {(row.marking, tuple(row.samples)): row for row in other.rows}
    pairs = [
        (row, others[row.marking, tuple(row.samples)])
        for row in one.rows
        if row.released != others[row.marking, tuple(row.samples)].released
    ]
    if as_json:
        differences = [
            {
                "marking": row.marking,
                "count": row.count,
                "samples": row.samples,
                names[0]: {"released": row.released, "rule": row.rule},
                names[1]: {"released": twin.released, "rule": twin.rule},
            }
            for row, twin in pairs
        ]
        document({"parties": list(names), "differences": differences})
        return
    rows = [
        {
            "count": row.count,
            "marking": brief(row.marking),
            "one": _word(row),
            "other": _word(twin),
            "samples": "\n".join(row.samples),
        }
        for row, twin in pairs
    ]
    table(
        (
            Column("count", "Objects", right=True),
            Column("marking", "Marked"),
            Column("one", f"To {names[0]}"),
            Column("other", f"To {names[1]}"),
            Column("samples", "Such as"),
        ),
        rows,
        empty=f"{names[0]} and {names[1]} would get the same.",
    )


def _word(row: Row) -> str:
    return f"{'released' if row.released else 'withheld'} ({row.rule})"
