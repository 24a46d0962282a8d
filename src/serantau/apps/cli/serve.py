"""`serantau serve`: run the node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from serantau.apps.cli.door import config_of

if TYPE_CHECKING:
    import threading

    from serantau.node import Node


def serve(
    ctx: typer.Context,
    role: Annotated[
        str,
        typer.Option(
            help="all; or web and worker as processes of their own on one PostgreSQL."
        ),
    ] = "all",
    host: Annotated[
        str | None, typer.Option(help="Address to listen on, before the settings.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port to listen on.")
    ] = None,
) -> None:
    """Run the node: answer peers and people, and follow the peers.

    Ends in order at SIGTERM or Ctrl-C: what was begun is answered first.
    """
    from serantau.apps.web import server

    flags: dict[str, Any] = {}
    if host is not None:
        flags["host"] = host
    if port is not None:
        flags["port"] = port
    server.serve(config_of(ctx, {"http": flags}), role, _follow)


def _follow(node: Node, stop: threading.Event) -> None:
    """Follow the peers until the node stops."""
    from serantau.desk.federate import Federation

    Federation(node).run(stop)
