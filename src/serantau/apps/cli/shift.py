"""`serantau shift`: hand over from one shift to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from serantau.apps.cli.door import opened
from serantau.apps.cli.output import Column, Json, answer, document, say, stamp, table

if TYPE_CHECKING:
    from serantau.records.shifts import Handing
    from serantau.wire.paper import Paper


def shift(
    ctx: typer.Context,
    give: Annotated[
        str, typer.Option(metavar="NAME", help="Hand it over to this person.")
    ] = "",
    take: Annotated[
        bool, typer.Option("--take", help="Sign off the last hand-over: you have it.")
    ] = False,
    past: Annotated[bool, typer.Option("--list", help="The last hand-overs.")] = False,
    text: Annotated[
        str, typer.Option(metavar="TEXT", help="What to say with --give.")
    ] = "",
    since: Annotated[
        str, typer.Option(metavar="TIME", help="Instead of the last hand-over.")
    ] = "",
    hours: Annotated[
        int, typer.Option(metavar="N", help="How far to look ahead.")
    ] = 12,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print it as Markdown.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Tell the next shift what changed, is due, and waits.

    It begins at the last hand-over. With --give it is kept as it is; whoever takes over
    signs it off with --take. No way gives it to others.
    """
    from serantau.desk.audit import note_reading
    from serantau.desk.lane_ask import read_when
    from serantau.desk.shift import Shifting, paper_of
    from serantau.errors import BadRequest

    if sum((bool(give), take, past)) > 1 or (text and not give):
        raise BadRequest("Expected one of --give NAME [--text], --take, --list.")
    with opened(ctx) as node:
        desk = Shifting(node)
        if past:
            _list(desk.past(), as_json)
            return
        at = (read_when(since, node.clock.now()) or 0) if since else 0
        signed = None
        if give:
            signed = desk.give(give, text, since=at, hours=hours)
        elif take:
            signed = desk.take()
        shown = desk.read(signed) if signed else desk.look(at, hours)
        cases = [one.case for one in shown.cases]
        note_reading(node, "shift", "", count=len(cases), objects=cases)
        if as_json:
            from dataclasses import asdict

            document({**asdict(shown), "signed": _row(signed) if signed else None})
            return
        paper = paper_of(shown, signed)
    if markdown:
        from serantau.wire.paper import markdown as written

        say(written(paper))
    else:
        _print(paper)


def _row(one: Handing) -> dict[str, Any]:
    return {
        "n": one.n,
        "at": stamp(one.at),
        "since": stamp(one.since),
        "gave": one.gave,
        "to": one.to,
        "said": one.said,
        "digest": one.digest,
        "taken": stamp(one.taken or None),
        "took": one.took,
    }


def _list(found: list[Handing], as_json: bool) -> None:
    columns = (
        Column("n", "No.", right=True, style="cyan"),
        Column("at", "Given"),
        Column("gave", "By", style="bold"),
        Column("to", "To"),
        Column("took", "Taken by", style="bold"),
        Column("taken", "Taken"),
        Column("said", "Said", spare=1),
        Column("digest", "SHA-256", spare=2),
    )
    rows = [_row(one) for one in found]
    answer(columns, rows, as_json, empty="Nobody has given a shift yet.")


def _print(paper: Paper) -> None:
    from serantau.wire.paper import Heading, Lines

    say(paper.title, style="bold")
    for block in paper.blocks:
        if isinstance(block, Heading):
            say()
            say(block.text, style="bold")
        elif isinstance(block, Lines):
            say(block.text)
        else:
            keys = [str(place) for place in range(len(block.wide))]
            head = block.head or ("",) * len(keys)
            table(
                tuple(
                    Column(key, title) for key, title in zip(keys, head, strict=True)
                ),
                [dict(zip(keys, row, strict=True)) for row in block.rows],
            )
