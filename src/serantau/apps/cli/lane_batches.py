"""Batches of the lane: list them, and decide what becomes of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serantau.apps.cli.door import opened
from serantau.apps.cli.output import (
    Column,
    Json,
    answer,
    document,
    say,
    shorten,
    stamp,
    table,
    when,
)

if TYPE_CHECKING:
    from serantau.desk.lane import Lane
    from serantau.records.batches import Batch

rejects = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)

Batches = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="BATCH...", help="Numbers as `list` shows them, or digests."
    ),
]
Feed = Annotated[str, typer.Option(help="Only of this feed.")]

COLUMNS = (
    Column("batch", "No.", right=True),
    Column("received", "Came"),
    Column("feed", "Feed"),
    Column("name", "File", spare=1),
    Column("format", "Format", spare=2),
    Column("state", "State"),
    Column("rows", "Rows", right=True),
    Column("repeated", "Had", right=True, spare=3),
    Column("rejects", "Rejects", right=True),
    Column("fault", "Why"),
)


def row_of(batch: Batch, as_json: bool) -> dict[str, Any]:
    """Give a batch as a row of a table, or as JSON has it."""
    row: dict[str, Any] = {
        "batch": batch.number,
        "received": stamp(batch.received) if as_json else when(batch.received),
        "feed": batch.feed,
        "name": batch.name,
        "format": batch.format,
        "state": batch.state.value,
        "rows": batch.rows,
        "repeated": batch.repeated,
        "rejects": batch.rejects,
        "fault": batch.fault,
    }
    if not as_json:
        return {**row, "name": shorten(batch.name, 40)}
    return {
        **row,
        "digest": batch.digest,
        "bytes": batch.size,
        "report": batch.report,
        "source": batch.source,
        "attempts": batch.attempts,
        "kept": batch.kept,
    }


def list_(
    ctx: typer.Context,
    state: Annotated[
        str,
        typer.Option(help="stored, held, running, done, failed or dropped."),
    ] = "",
    feed: Feed = "",
    limit: Annotated[int, typer.Option(min=1, help="Rows at most.")] = 50,
    before: Annotated[int, typer.Option(help="Only numbers below this.")] = 0,
    as_json: Json = False,
) -> None:
    """List batches, the newest first."""
    from serantau.desk.lane import Lane
    from serantau.errors import BadRequest
    from serantau.records.batches import State

    if state not in {"", *State}:
        raise BadRequest(f"--state is {state!r}, expected one of {', '.join(State)}.")
    with opened(ctx) as node, node.db.read() as tx:
        found = Lane(node).batches.recent(
            tx,
            state=State(state) if state else None,
            feed=feed,
            before=before,
            limit=limit,
        )
    answer(COLUMNS, [row_of(one, as_json) for one in found], as_json)


def retry(
    ctx: typer.Context,
    batches: Batches = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="All that failed (of --feed).")
    ] = False,
    feed: Feed = "",
    format_name: Annotated[
        str | None, typer.Option("--format", help="Read it so from now on.")
    ] = None,
) -> None:
    """Read batches anew; what they gave before is replaced."""
    with _chosen(ctx, batches, "failed" if failed else "", feed) as (held, found):
        _again(held, found, format_name)
    say(f"{_batches(found)} will be read anew.")


def _again(held: Lane, found: list[Batch], format_name: str | None) -> None:
    with held.node.db.write() as tx:
        for batch in found:
            held.read_anew(tx, batch, format_name)


def release(
    ctx: typer.Context,
    batches: Batches = None,
    all_: Annotated[bool, typer.Option("--all", help="All held (of --feed).")] = False,
    feed: Feed = "",
) -> None:
    """Let held batches be worked on: you looked, and they are right."""
    with (
        _chosen(ctx, batches, "held" if all_ else "", feed) as (held, found),
        held.node.db.write() as tx,
    ):
        for batch in found:
            held.release(tx, batch)
    say(f"{_batches(found)} will be worked on.")


def drop(
    ctx: typer.Context,
    batches: Batches = None,
    all_: Annotated[bool, typer.Option("--all", help="All held (of --feed).")] = False,
    feed: Feed = "",
) -> None:
    """Do not work on batches that are held, failed or waiting."""
    with (
        _chosen(ctx, batches, "held" if all_ else "", feed) as (held, found),
        held.node.db.write() as tx,
    ):
        for batch in found:
            held.drop(tx, batch)
    say(f"{_batches(found)} will not be worked on.")


def _batches(found: list[Batch]) -> str:
    return f"{len(found):,} batch{'' if len(found) == 1 else 'es'}"


@contextmanager
def _chosen(
    ctx: typer.Context, names: list[str] | None, state: str, feed: str
) -> Iterator[tuple[Lane, list[Batch]]]:
    """Give the batches that are named, or all that are in a state."""
    from serantau.desk.lane import Lane
    from serantau.errors import BadRequest
    from serantau.records.batches import State

    if not names and not state:
        raise BadRequest("Say which: numbers as `serantau lane list` shows them.")
    with opened(ctx) as node:
        held = Lane(node)
        with node.db.read() as tx:
            if names:
                found = [held.batches.get(tx, name) for name in names]
            else:
                found = held.batches.recent(
                    tx, state=State(state), feed=feed, limit=100_000
                )
        yield held, found


@rejects.callback()
def rejects_() -> None:
    """See rows that could not be read, and read their batches anew."""


@rejects.command("list")
def rejects_list(
    ctx: typer.Context,
    feed: Feed = "",
    batch: Annotated[str, typer.Option(help="Only of this batch.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Rows at most.")] = 50,
    as_json: Json = False,
) -> None:
    """List them, the newest first, with line, column, value and reason."""
    from serantau.desk.audit import note_reading
    from serantau.desk.lane_ask import rejected

    with opened(ctx) as node:
        found, total = rejected(node, feed=feed, batch=batch, limit=limit)
        note_reading(node, "lane rejects list", f"{feed} {batch}", count=len(found))
    columns = (
        Column("batch", "Batch", right=True),
        Column("feed", "Feed"),
        *([Column("file", "File")] if any(one["file"] for one in found) else []),
        Column("line", "Line", right=True),
        Column("column", "Column"),
        Column("value", "Value"),
        Column("reason", "Reason"),
    )
    if as_json:
        document(found)
        return
    shown = [{**one, "value": shorten(one["value"] or "", 40)} for one in found]
    table(columns, shown, empty="No row was rejected.")
    if total > len(found):
        say(f"{total:,} in all; --limit shows more, --json their whole text.")


@rejects.command("retry")
def rejects_retry(
    ctx: typer.Context,
    batches: Batches = None,
    feed: Feed = "",
    format_name: Annotated[
        str | None, typer.Option("--format", help="Read it so from now on.")
    ] = None,
) -> None:
    """Read the batches anew that had such rows, after a format was mended."""
    from serantau.errors import BadRequest

    if not batches and not feed:
        raise BadRequest("Say which: numbers of batches, or --feed.")
    with _chosen(ctx, batches, "done", feed) as (held, found):
        some = [one for one in found if one.rejects and one.kept]
        _again(held, some, format_name)
    say(f"{_batches(some)} will be read anew.")
