"""`serantau export`: all data of the node as plain files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from serantau.apps.cli.door import opened
from serantau.apps.cli.output import Json, document, say
from serantau.apps.cli.progress import counted


def export(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder.")],
    as_json: Json = False,
) -> None:
    """Write all data of the node into a folder.

    JSON lines and TOML, of one moment; the node may go on running. `serantau init
    --from DIR` makes the same node of it, on SQLite or PostgreSQL.
    """
    ctx.obj.safe = f"{folder} is no whole export: remove it, and export again."
    from serantau.desk import carry

    with opened(ctx) as node, counted("Exporting", carry.count(node)) as step:
        carried = carry.export(node, folder, step)
    if as_json:
        document({"folder": str(folder), "rows": carried.rows})
        return
    say(
        f"{carried.total:,} rows are in {folder}, "
        f"{carried.rows['object']:,} of them object versions."
    )
    say("It holds the node's private keys and all that it was told: guard it as well.")
    say(f"`serantau --home NEW init --from {folder}` makes the same node of it.")
