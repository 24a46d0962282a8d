"""`serantau serve`: run the node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from serantau.apps.cli.door import config_of

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

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
    """Run the node: answer, follow the peers, take in and tell.

    Ends in order at SIGTERM or Ctrl-C: what was begun is answered first.
    """
    from serantau.apps.web.memory import count_no_memory

    # Before anything that opens the store: SQLite hears this only once.
    count_no_memory()
    from serantau.apps.web import server

    flags: dict[str, Any] = {}
    if host is not None:
        flags["host"] = host
    if port is not None:
        flags["port"] = port
    server.serve(config_of(ctx, {"http": flags}), role, _follow)


def _follow(node: Node, stop: threading.Event) -> None:
    """Follow the peers, work on events and tell owners until the node stops.

    When one of them fails, the others are stopped and the fault is told: a node that
    does half of its work looks well and is not.
    """
    from concurrent.futures import ThreadPoolExecutor

    from serantau.desk.case_log import CaseLog
    from serantau.desk.case_post import CasePost
    from serantau.desk.case_waiting import CaseWaiting
    from serantau.desk.case_watch import CaseWatch
    from serantau.desk.federate import Federation
    from serantau.desk.forget import Forgetting
    from serantau.desk.lane_work import LaneWork
    from serantau.desk.ledger import Book
    from serantau.desk.reach import Reach
    from serantau.desk.recall import Recalling
    from serantau.desk.signing import introduce
    from serantau.desk.telling import Telling

    def until(run: Callable[[threading.Event], None]) -> None:
        try:
            run(stop)
        finally:
            stop.set()

    introduce(node)
    _welcome(node)
    runs = (
        Federation(node).run,
        LaneWork(node).run,
        Telling(node).run,
        Book(node).run,
        Forgetting(node).run,
        Reach(node).run,
        CaseLog(node).run,
        CaseWaiting(node).run,
        CaseWatch(node).run,
        CasePost(node).run,
        Recalling(node).run,
    )
    with ThreadPoolExecutor(len(runs), "serantau-work") as threads:
        works = [threads.submit(until, run) for run in runs]
    for one in works:
        one.result()


def _welcome(node: Node) -> None:
    """Tell the first administrator's link, as long as none is at work here.

    Only a terminal is told it: what a service prints is kept by others.
    """
    import sys

    from serantau.apps.cli.output import note
    from serantau.desk.audit import account
    from serantau.desk.signin import INVITED_HOURS, SignIn
    from serantau.records.acts import acting

    signin, link = SignIn(node), ""
    with acting(account()), node.db.write() as tx:
        first = signin.first(tx)
        if first and sys.stderr.isatty():
            link = signin.new_link(tx, first)
    if link:
        note(f"Open this once, within {INVITED_HOURS} hours, as the administrator:")
        typer.echo(f"  {link}", err=True)  # whole, however narrow the terminal is
    elif first:
        note(f"No administrator can sign in yet: `serantau user invite {first}` helps.")
