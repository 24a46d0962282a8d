"""`serantau audit`: who got or read what, and who decided it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serantau.apps.cli.door import opened
from serantau.apps.cli.output import Column, Json, document, note, say, stamp, table

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from serantau.records.acts import Decided, Read
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
    """Ask the logs: who got or read an object, what left to whom, who did what."""


@app.command("object")
def object_(
    ctx: typer.Context,
    object_id: Annotated[str, typer.Argument(metavar="ID", help="A STIX id.")],
    since: Since = "",
    until: Until = "",
    zone: Zone = "UTC",
    as_json: Json = False,
) -> None:
    """Tell who got an object, under which rule, and who of our own people read it."""
    from serantau.desk.audit import Audit, in_zone, note_reading, period, zone_named

    place, sought = zone_named(zone), object_id.strip()
    with opened(ctx) as node:
        within = period(since, until, place, node.clock.now())
        found = Audit(node).of_object(sought, within)
        readers = Audit(node).readers(sought, within)
        note_reading(node, "audit object", sought, count=len(found) + len(readers))
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
        left = [{**row, "at": stamp(row["at"])} for row in rows]
        document({"left": left, "read": _read(readers)})
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
    table(columns, shown, title="Left", empty="It left to nobody in this time.")
    say()
    _show_read(readers, place, "None of our own people read it in this time.")


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
    from serantau.desk.audit import Audit, note_reading, period, zone_named

    place = zone_named(zone)
    with opened(ctx) as node:
        within = period(since, until, place, node.clock.now())
        found = Audit(node).of_party(name, within, limit + 1)
        note_reading(node, "audit party", name, count=len(found[:limit]))
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
    """Tell what a person decided and read, and what left by them."""
    from serantau.desk.audit import Audit, note_reading, period, zone_named

    place = zone_named(zone)
    with opened(ctx) as node:
        within = period(since, until, place, node.clock.now())
        found = Audit(node).of_person(name, within, limit + 1)
        count = sum(len(some[:limit]) for some in (found.decided, found.read))
        note_reading(node, "audit person", name, count=count)
    more = max(len(found.decided), len(found.read), len(found.left)) > limit
    decided, readings, left = (
        found.decided[:limit],
        found.read[:limit],
        found.left[:limit],
    )
    if as_json:
        document(
            {
                "decisions": _decided(decided),
                "left": _plain(left),
                "read": _read(readings),
                "more": more,
            }
        )
        return
    _show_decided(decided, place, f"No decision of {name} is recorded in this time.")
    say()
    _show(left, place, title="Left", empty=f"Nothing left by {name} in this time.")
    say()
    _show_read(readings, place, f"{name} read nothing in this time.")
    _tell_more(more, limit)


@app.command()
def erase(
    ctx: typer.Context,
    person: Annotated[
        str, typer.Option(metavar="NAME", help="What this account or user read.")
    ] = "",
    object_id: Annotated[
        str, typer.Option("--object", metavar="ID", help="Or who read this object.")
    ] = "",
    until: Until = "",
    zone: Zone = "UTC",
    reason: Annotated[str, typer.Option(help="Why; it stays in the log.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Erase what the logs say of what one person read, or of who read an object.

    That something was read, when, and to whom something left stays, and the log's tree
    verifies as before. What a person decided stays until `audit.keep_decisions`.
    """
    from serantau.desk.audit import period, zone_named
    from serantau.desk.forget import Forgetting
    from serantau.errors import BadRequest

    with opened(ctx) as node:
        now = node.clock.now()
        before = period("", until, zone_named(zone), now).until or now + 1
        forgetting = Forgetting(node)
        one = object_id.strip()
        found = forgetting.count(actor=person, object_id=one, until=before)
        if not yes and found.total:
            question = f"Erase what {found.total:,} rows say? It cannot be undone."
            if not sys.stdin.isatty():
                raise BadRequest(question, mend="--yes says so.")
            typer.confirm(question, abort=True)
        done = forgetting.erase(
            reason=reason, actor=person, object_id=one, until=before
        )
    _tell_erased(done.rows, as_json)


@app.command()
def expire(ctx: typer.Context, as_json: Json = False) -> None:
    """Erase what is older than the settings `audit.keep_...` say; `serve` does, too."""
    from serantau.desk.forget import Forgetting

    with opened(ctx) as node:
        done = Forgetting(node).expire()
    _tell_erased(done.rows, as_json)


def _tell_erased(rows: dict[str, int], as_json: bool) -> None:
    if as_json:
        document(rows)
    else:
        say(f"What {sum(rows.values()):,} rows said is erased.")


def _decided(found: list[Decided]) -> list[dict[str, Any]]:
    return [
        {
            "at": stamp(one.at),
            "user": one.actor,
            "way": one.way,
            "what": one.what,
            "about": one.about,
            "before": one.before,
            "after": one.after,
            "why": one.why,
        }
        for one in found
    ]


def _show_decided(found: list[Decided], zone: ZoneInfo, empty: str) -> None:
    from serantau.desk.audit import in_zone

    columns = (
        Column("at", "When"),
        Column("what", "What"),
        Column("about", "About"),
        Column("change", "Before -> after"),
        Column("why", "Why"),
    )
    rows = [
        {
            "at": in_zone(one.at, zone),
            "what": one.what,
            "about": one.about,
            "change": _change(one),
            "why": one.why,
        }
        for one in found
    ]
    table(columns, rows, title="Decisions", empty=empty)


def _change(one: Decided) -> str:
    if one.before is None and one.after is None:
        return ""
    return f"{_short(one.before)} -> {_short(one.after)}"


def _short(value: Any) -> str:
    """Write a value as a person reads it in a table."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_short(one)}" for name, one in value.items())
    if isinstance(value, list):
        return " ".join(map(str, value)) or "nobody"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value in (None, "") else str(value)


def _read(found: list[Read]) -> list[dict[str, Any]]:
    return [
        {
            "at": stamp(one.at),
            "user": one.actor,
            "way": one.way,
            "what": one.what,
            "asked": one.asked,
            "count": one.count,
            "objects": list(one.objects),
        }
        for one in found
    ]


def _show_read(found: list[Read], zone: ZoneInfo, empty: str) -> None:
    from serantau.desk.audit import in_zone

    columns = (
        Column("at", "When"),
        Column("user", "Who"),
        Column("way", "Way"),
        Column("what", "What"),
        Column("asked", "Asked"),
        Column("count", "How many", right=True),
    )
    rows = [
        {**row, "at": in_zone(one.at, zone)}
        for row, one in zip(_read(found), found, strict=True)
    ]
    table(columns, rows, title="Read", empty=empty)


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
