"""`serantau audit`: who got what, and who decided it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from serantau.apps.cli.door import opened
from serantau.apps.cli.output import Column, Json, document, note, say, stamp, table

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from serantau.records.audit import Left

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)

Since = Annotated[
    str,
    typer.Option(
        metavar="TIME", help="2026-03, 2026-03-01, 2026-03-01T10:00:00Z, 12h or 7d ago."
    ),
]
Until = Annotated[str, typer.Option(metavar="TIME", help="Up to, not with, this.")]
Zone = Annotated[
    str, typer.Option(metavar="ZONE", help="Days begin, and times are told, in it.")
]
Limit = Annotated[int, typer.Option(min=1, help="Rows of each table at most.")]


@app.callback()
def audit() -> None:
    """Ask the logs: who got an object, what left to a party, what a person did."""


@app.command("object")
def object_(
    ctx: typer.Context,
    object_id: Annotated[str, typer.Argument(metavar="ID", help="A STIX id.")],
    since: Since = "",
    until: Until = "",
    zone: Zone = "UTC",
    as_json: Json = False,
) -> None:
    """Tell who got an object, in which version and under which rule."""
    from serantau.desk.audit import Audit, in_zone, period, zone_named

    place = zone_named(zone)
    with opened(ctx) as node:
        within = period(since, until, place, node.clock.now())
        found = Audit(node).of_object(object_id.strip(), within)
    rows: list[dict[str, Any]] = [
        {
            "at": one.release.at,
            "party": one.release.party,
            "user": one.release.actor,
            "way": one.release.way,
            "version": one.version,
            "rule": one.release.rule,
            "release": one.release.number,
        }
        for one in found
    ]
    if as_json:
        document([{**row, "at": stamp(row["at"])} for row in rows])
        return
    columns = (
        Column("at", "When"),
        Column("party", "To"),
        Column("user", "By user"),
        Column("way", "Way"),
        Column("version", "Version"),
        Column("rule", "Rule"),
    )
    shown = [{**row, "at": in_zone(row["at"], place)} for row in rows]
    table(columns, shown, empty="It left to nobody in this time.")


@app.command()
def party(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="PARTY", help="Its name.")],
    since: Since = "",
    until: Until = "",
    zone: Zone = "UTC",
    limit: Limit = 1000,
    as_json: Json = False,
) -> None:
    """Tell what left to a party, page by page, as the release log has it."""
    from serantau.desk.audit import Audit, period, zone_named

    place = zone_named(zone)
    with opened(ctx) as node:
        within = period(since, until, place, node.clock.now())
        found = Audit(node).of_party(name, within, limit + 1)
    more = len(found) > limit
    if as_json:
        document({"left": _plain(found[:limit]), "more": more})
        return
    _show(found[:limit], place, empty=f"Nothing left to {name} in this time.")
    total = sum(one.count for one in found[:limit])
    say(f"{len(found[:limit]):,} pages of {total:,} objects or rows.")
    _tell_more(more, limit)


@app.command()
def person(
    ctx: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="An account, or a user of the node.")
    ],
    since: Since = "",
    until: Until = "",
    zone: Zone = "UTC",
    limit: Limit = 1000,
    as_json: Json = False,
) -> None:
    """Tell what a person decided, and what left by them."""
    from serantau.desk.audit import Audit, in_zone, period, zone_named

    place = zone_named(zone)
    with opened(ctx) as node:
        within = period(since, until, place, node.clock.now())
        decided, let_go = Audit(node).of_person(name, within, limit + 1)
    more = max(len(decided), len(let_go)) > limit
    decided, let_go = decided[:limit], let_go[:limit]
    if as_json:
        document(
            {
                "decisions": [
                    {
                        "at": stamp(one.at),
                        "what": one.what,
                        "about": one.about,
                        "why": one.why,
                    }
                    for one in decided
                ],
                "left": _plain(let_go),
                "more": more,
            }
        )
        return
    columns = (
        Column("at", "When"),
        Column("what", "What"),
        Column("about", "About"),
        Column("why", "Why"),
    )
    rows = [
        {
            "at": in_zone(one.at, place),
            "what": one.what,
            "about": one.about,
            "why": one.why,
        }
        for one in decided
    ]
    empty = f"No decision of {name} is recorded in this time."
    table(columns, rows, title="Decisions", empty=empty)
    say()
    _show(let_go, place, title="Left", empty=f"Nothing left by {name} in this time.")
    _tell_more(more, limit)


def _plain(found: list[Left]) -> list[dict[str, Any]]:
    return [
        {
            "release": one.number,
            "at": stamp(one.at),
            "party": one.party,
            "user": one.actor,
            "way": one.way,
            "collection": one.collection,
            "count": one.count,
            "request": one.request,
        }
        for one in found
    ]


def _show(found: list[Left], zone: ZoneInfo, *, title: str = "", empty: str) -> None:
    from serantau.desk.audit import in_zone

    columns = (
        Column("at", "When"),
        Column("party", "To"),
        Column("user", "By user"),
        Column("way", "Way"),
        Column("count", "How many", right=True),
        Column("request", "Asked"),
    )
    rows = [
        {**row, "at": in_zone(one.at, zone)}
        for row, one in zip(_plain(found), found, strict=True)
    ]
    table(columns, rows, title=title, empty=empty)


def _tell_more(more: bool, limit: int) -> None:
    if more:
        note(f"There is more; the oldest {limit:,} are shown. --limit shows more.")
