"""`serantau export`: all data of the node as plain files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from serantau.apps.cli.door import opened
from serantau.apps.cli.output import Json, document, say
from serantau.apps.cli.progress import counted


def export(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder.")],
    without_events: Annotated[
        bool,
        typer.Option(
            "--without-events", help="Leave out the archive and the bytes of batches."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Write all data of the node into a folder.

    JSON lines, TOML, and the event lane's files; the node may go on running. `serantau
    init --from DIR` makes the same node of it, on SQLite or PostgreSQL.
    """
    ctx.obj.safe = f"{folder} is no whole export: remove it, and export again."
    from serantau.desk import carry
    from serantau.desk.audit import note_reading

    events = not without_events
    with opened(ctx) as node:
        total = carry.count(node, events=events)
        # Before the first byte: who breaks it off has what was written by then.
        note_reading(node, "export", str(folder), count=total)
        with counted("Exporting", total) as step:
            carried = carry.export(node, folder, step, events=events)
    if as_json:
        document({"folder": str(folder), **carried.said})
        return
    say(
        f"{carried.total:,} rows are in {folder}, "
        f"{carried.rows['object']:,} of them object versions, "
        f"and {carried.files:,} files of {carried.bytes / 1e6:,.1f} MB."
    )
    tell_events(carried.events)
    say("It holds the node's private keys and all that it was told: guard it as well.")
    say(f"`serantau --home NEW init --from {folder}` makes the same node of it.")


def tell_events(said: Mapping[str, Any]) -> None:
    """Say what of the event lane an export has, and what not."""
    if not said["carried"]:
        say(
            f"Not in it: the events ({said['archive']}) and the bytes of batches "
            f"({said['originals']}). A node made of it needs both in their places "
            "before it works."
        )
        return
    tables = said["tables"]
    events, rejects = (
        tables.get(name, {}).get("rows", 0) for name in ("events", "rejects")
    )
    say(
        f"The event lane: {events:,} events, {rejects:,} rejects, "
        f"the bytes of {said['originals']:,} large batches."
    )
    if said["lost"]:
        some = ", ".join(digest[:12] for digest in said["lost"][:5])
        say(
            f"The bytes of {len(said['lost']):,} batches are damaged or not here any "
            f"more, and are not in it: {some}.",
            "yellow",
        )
