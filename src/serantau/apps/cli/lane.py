"""`serantau lane`: take events in, and see how far they came."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serantau.apps.cli import lane_batches
from serantau.apps.cli.door import opened
from serantau.apps.cli.engine import EngineName, engaged
from serantau.apps.cli.output import (
    Column,
    Json,
    answer,
    document,
    note,
    say,
    several,
    shorten,
    stamp,
    table,
    when,
)
from serantau.apps.cli.progress import counted
from serantau.lane.engine import THREADS, Engine

if TYPE_CHECKING:
    from serantau.desk.abroad import Away
    from serantau.desk.lane import FeedStanding, Kept, Lane, Told

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)
app.command("list")(lane_batches.list_)
app.command()(lane_batches.retry)
app.command()(lane_batches.release)
app.command()(lane_batches.drop)
app.add_typer(
    lane_batches.rejects, name="rejects", help="Rows that could not be read, and why."
)

# Not an error of anybody: what could be read is in, the rest waits with its reason.
SOME_LEFT = 9
_HEAD = 1 << 20
_PREVIEW = 5


@app.callback()
def lane() -> None:
    """Take events in from files and feeds, and see how far they came."""


@app.command()
def add(
    ctx: typer.Context,
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE|URL|-...", help="Files, addresses, or standard input."
        ),
    ],
    feed: Annotated[str, typer.Option(help="Who reported them, such as shadowserver.")],
    format_name: Annotated[
        str, typer.Option("--format", help="How they are read; else each file tells.")
    ] = "",
    report: Annotated[str, typer.Option(help="The kind of report.")] = "",
    name: Annotated[
        str, typer.Option(help="The name of a file that comes by a pipe.")
    ] = "",
    tlp: Annotated[str, typer.Option(help="Level of rows that name none.")] = "",
    now: Annotated[
        bool, typer.Option("--now", help="Also work on them, here and now.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Take in files of events.

    When this ends they are on disk, and a running node works on them. The same bytes
    again change nothing. Of several, those that cannot be taken in are told, and the
    others are: it ends with 9. With --now also when something was not read.
    """
    from serantau.desk.lane import Lane, Told
    from serantau.errors import TheirError

    ctx.obj.safe = "What was taken in so far is on disk and will be worked on."
    with opened(ctx) as node:
        held = Lane(node)
        kept: list[Kept] = []
        left: list[Exception] = []
        told = Told(feed, format_name, report, name, "cli", _level(tlp))
        held.check(told)
        for one in inputs:
            try:
                kept.append(_add(held, one, told))
            except (TheirError, OSError) as fault:
                if isinstance(fault, OSError) and fault.filename != one:
                    raise  # It is the node's own disk.
                left.append(fault)
                if len(inputs) > 1:
                    note(f"{one} is not taken in: {_said(fault)}", "yellow")
        if left and not kept:
            raise left[0]
        if now:
            _work(held)
            with node.db.read() as tx:
                batches = [held.batches.get(tx, one.batch.digest) for one in kept]
        else:
            batches = [one.batch for one in kept]
    shown = [
        {**lane_batches.row_of(batch, as_json), "new": one.new}
        for batch, one in zip(batches, kept, strict=True)
    ]
    columns = (*lane_batches.COLUMNS, Column("new", "New"))
    answer(columns, shown, as_json)
    unread = any(one.state.value != "done" or one.rejects for one in batches)
    if left or (now and unread):
        raise typer.Exit(SOME_LEFT)


def _said(fault: Exception) -> str:
    return str(getattr(fault, "strerror", None) or fault)


def _level(text: str) -> Any:
    from serantau.errors import BadRequest
    from serantau.rules.level import Tlp

    try:
        return Tlp.parse(text) if text else None
    except ValueError as fault:
        raise BadRequest(f"--tlp: {fault}") from fault


def _add(held: Lane, one: str, told: Told) -> Kept:
    from dataclasses import replace

    from serantau.errors import BadInput
    from serantau.wire.fetch import is_address

    if one == "-":
        return held.add(sys.stdin.buffer, told)
    if is_address(one):
        return _fetch(held, one, told)
    path = Path(one)
    with path.open("rb") as file, counted("Storing", path.stat().st_size) as step:
        if not path.stat().st_size and path.is_file():
            raise BadInput(f"{one} is empty: 0 bytes.")
        done = 0

        def pieces() -> Iterator[bytes]:
            nonlocal done
            while piece := file.read(_HEAD):
                yield piece
                done += len(piece)
                step(done, path.name)

        return held.add(pieces(), replace(told, name=told.name or path.name))


def _fetch(held: Lane, address: str, told: Told) -> Kept:
    from serantau.desk.lane_ways import fetch_once

    with counted("Fetching") as step:
        return fetch_once(held, address, told, lambda size: step(size, "bytes"))


@app.command()
def work(
    ctx: typer.Context, engine: EngineName = "threads", as_json: Json = False
) -> None:
    """Work on what waits, until nothing does. A running node does so by itself.

    With --engine ray many batches are worked on at once, on the cluster that the
    settings name (lane.cluster): for a backfill.
    """
    from serantau.desk.lane import Lane
    from serantau.records.batches import State

    ctx.obj.safe = "What was done is in the archive; the rest waits as before."
    with opened(ctx) as node, engaged(node, engine) as chosen:
        outcomes = _work(Lane(node), chosen)
        with node.db.read() as tx:
            waiting = Lane(node).batches.counts(tx)[State.STORED]
    sums = {
        "batches": len(outcomes),
        "rows": sum(one.rows for one in outcomes),
        "repeated": sum(one.repeated for one in outcomes),
        "rejects": sum(one.rejects for one in outcomes),
        "failed": sum(bool(one.fault) for one in outcomes),
        "held": sum(bool(one.odd) for one in outcomes),
    }
    if as_json:
        document(sums)
        return
    if not outcomes:
        say(
            f"Nothing is due. {waiting:,} waiting to be tried again: `lane list` tells "
            "why, `lane retry` does it now."
            if waiting
            else "Nothing waits."
        )
        return
    say(
        f"{sums['batches']:,} batch{'es' if sums['batches'] > 1 else ''}: "
        f"{several(sums['rows'], 'row')} went into the archive, "
        f"{sums['repeated']:,} had come before, {sums['rejects']:,} could not be read."
    )
    for one in outcomes:
        if one.odd or one.fault:
            said = f"held: {one.odd}" if one.odd else f"failed: {one.fault}"
            say(f"Batch {one.batch.number} ({one.batch.feed}) {said}", "yellow")


def _work(held: Lane, engine: Engine = THREADS) -> list[Any]:
    from serantau.desk.lane_work import Worker

    outcomes: list[Any] = []
    worker = Worker(held, engine)
    with counted("Working") as step, closing(worker):
        while some := worker.once():
            outcomes += some
            rows = sum(one.rows for one in outcomes)
            step(len(outcomes), f"{len(outcomes):,} batches, {rows:,} rows")
        if outcomes:
            from serantau.desk.sightings import Sightings

            Sightings(held.node).record()
    return outcomes


@app.command()
def fetch(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="FEED...", help="Those that are meant; else all."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Look at feeds now, whether they are due or not."""
    from serantau.desk.lane import Lane
    from serantau.desk.lane_ways import Ways
    from serantau.errors import NotFound

    with opened(ctx) as node:
        for name in names or ():
            if name not in node.config.feeds:
                raise NotFound(
                    f"No feed is called {name!r}.",
                    mend="Feeds are tables [feeds.NAME] of serantau.toml.",
                )
        ways = Ways(Lane(node))
        found = [ways.look(name, now=True) for name in names or node.config.feeds]
    shown = [
        {
            "feed": one.feed,
            "new": one.new,
            "known": len(one.kept) - one.new,
            "left": one.left if as_json else len(one.left),
            "fault": one.fault,
        }
        for one in found
        if one is not None
    ]
    columns = (
        Column("feed", "Feed"),
        Column("new", "New", right=True),
        Column("known", "Had already", right=True),
        Column("left", "Left alone", right=True),
        Column("fault", "Fault"),
    )
    answer(columns, shown, as_json, empty="No feed has a way to be looked at.")
    for looked in found:
        for why in looked.left if looked is not None and not as_json else ():
            note(f"{why}")
    if any(row["fault"] for row in shown):
        raise typer.Exit(7)


@app.command()
def status(ctx: typer.Context, as_json: Json = False) -> None:
    """Show feeds, lag, rejects and rates, and what a person should see to."""
    from serantau.desk.abroad import Abroad
    from serantau.desk.lane import Lane
    from serantau.records.batches import State

    with opened(ctx) as node:
        standing = Lane(node).standing()
        away = Abroad(node).away()
        now = node.clock.now()
    if as_json:
        document(
            {
                "states": {one.value: count for one, count in standing.states.items()},
                "feeds": [_feed_row(one, now, True) for one in standing.feeds],
                "alarms": list(standing.alarms),
                "abroad": [_away_row(one, True) for one in away],
            }
        )
        return
    columns = (
        Column("feed", "Feed"),
        Column("way", "Comes by", spare=2),
        Column("last", "Newest batch"),
        Column("lag", "Lag"),
        Column("rows", "Rows", right=True),
        Column("rejects", "Rejects", right=True),
        Column("rate", "Rows/s", right=True, spare=3),
        Column("states", "Batches"),
        Column("next", "Next look", spare=4),
    )
    table(
        columns,
        [_feed_row(one, now, False) for one in standing.feeds],
        empty="No feed is configured, and nothing was taken in.",
    )
    if away:
        say()
        say("Rows of other members that their nodes have not fetched:")
        waits = (
            Column("member", "Member"),
            Column("tlp", "TLP"),
            Column("rows", "Rows", right=True),
            Column("parcels", "Parcels", right=True),
            Column("since", "Since"),
            Column("why", "Why"),
        )
        table(waits, [_away_row(one, False) for one in away])
        for mend in dict.fromkeys(one.mend for one in away if one.mend):
            note(mend)
    for alarm in standing.alarms:
        say(f"ALARM {alarm}", "bold red")
    if standing.states.get(State.HELD):
        note("`lane list --state held` shows those; `release` or `drop` decides.")


def _away_row(one: Away, as_json: bool) -> dict[str, Any]:
    held = one.waiting
    row: dict[str, Any] = {
        "member": held.member,
        "tlp": held.level.label,
        "rows": held.rows,
        "parcels": held.parcels,
        "since": _at(held.oldest, as_json),
        "why": one.why if as_json or one.why else "on its way",
    }
    return (
        {**row, "fetched": _at(held.asked, True), "mend": one.mend} if as_json else row
    )


def _feed_row(one: FeedStanding, now: int, as_json: bool) -> dict[str, Any]:
    totals, look = one.totals, one.look
    waiting = totals.waiting if totals else 0
    lag = (now - waiting) / 1_000_000 if waiting else 0.0
    rate = totals.recent / totals.seconds if totals and totals.seconds else None
    states = {s.value: n for s, n in (totals.states if totals else {}).items()}
    row: dict[str, Any] = {
        "feed": one.name,
        "way": one.way,
        "last": _at(totals.last if totals else 0, as_json),
        "lag": lag if as_json else _span(lag),
        "rows": totals.rows if totals else 0,
        "rejects": totals.rejects if totals else 0,
        "rate": rate if as_json or rate is None else round(rate),
        "states": states,
        "next": _at(look.due if look else 0, as_json),
    }
    if as_json:
        return {**row, "alarms": list(one.alarms)}
    row["states"] = ", ".join(f"{n:,} {name}" for name, n in sorted(states.items()))
    return row


def _at(at: int, as_json: bool) -> str | None:
    return stamp(at) if as_json else when(at)


def _span(seconds: float) -> str:
    if not seconds:
        return ""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


@app.command()
def guess(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A file, or -.")],
    save: Annotated[
        str, typer.Option(metavar="NAME", help="Keep it as the node's format NAME.")
    ] = "",
) -> None:
    """Propose a format for a file, by looking at its columns.

    The proposal is a few lines of TOML: read it, mend it, and keep it in the node's
    folder as formats/NAME.toml. What it makes of the first rows is shown beside it.
    """
    from serantau.desk.lane_ask import keep_format, propose

    with opened(ctx) as node:
        if file == "-":
            head = sys.stdin.buffer.read(_HEAD)
        else:
            with Path(file).open("rb") as stream:
                head = stream.read(_HEAD)
        found = propose(node, head, "" if file == "-" else Path(file).name)
        sys.stdout.write(found.text)
        if save:
            note(f"Kept as {keep_format(node, save, found.text)}.")
    for one in found.notes:
        note(one, "yellow")
    for row in found.preview[:_PREVIEW]:
        told = (f"{name}={shorten(str(value), 60)}" for name, value in row.items())
        note("  " + "  ".join(told))
    if found.unread:
        note(f"{found.unread} of the first rows could not be read so.", "yellow")


@app.command()
def formats(ctx: typer.Context, as_json: Json = False) -> None:
    """List the formats that are known: the shipped ones and the node's own."""
    from serantau.desk.lane_ask import known_formats

    with opened(ctx) as node:
        found = known_formats(node)
    columns = (Column("name", "Name"), Column("title", "Title"), Column("cut", "Cut"))
    answer(columns, found, as_json)


@app.command()
def update(
    ctx: typer.Context,
    country: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE|URL", help="Ranges of states; may be repeated."),
    ] = None,
    asn: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE|URL", help="Ranges of AS numbers; may be repeated."),
    ] = None,
    shadowserver: Annotated[
        str, typer.Option(metavar="FILE|URL", help="Shadowserver's schema of reports.")
    ] = "",
    name: Annotated[str, typer.Option(help="What the ranges are called.")] = "ranges",
    day: Annotated[
        str, typer.Option(help="The day they are of, such as 2026-11-20; else today.")
    ] = "",
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Also when they shrank by half.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Load new range data, or those that the settings name.

    CSV (first,last,value), MMDB or the registries' delegated files. The ranges of
    before stay: events are judged by those of their day.
    """
    from serantau.desk.lane_update import Sources, update

    with opened(ctx) as node, counted("Updating") as step:
        section = node.config.lane
        said = Sources(tuple(country or ()), tuple(asn or ()), shadowserver)
        sources = said if said.any else Sources.of(section)
        found = update(
            node, sources, name, day, anyway=anyway, progress=lambda one: step(0, one)
        )
    columns = (
        Column("what", "What"),
        Column("label", "As"),
        Column("count", "Entries", right=True),
        Column("skipped", "Lines left out", right=True),
    )
    answer(columns, found, as_json, empty="The settings name nothing to load.")
