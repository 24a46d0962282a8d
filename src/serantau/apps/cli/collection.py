"""`serantau collection`: the named parts of the store that callers see."""

from __future__ import annotations

from typing import Annotated

import typer

from serantau.apps.cli.door import opened
from serantau.apps.cli.output import Column, Json, answer, say

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)
_WHO = "everyone, kind:KIND or party:NAME; may be repeated."


@app.callback()
def collection() -> None:
    """See and make collections. What a caller finds in one is its own release."""


@app.command("list")
def list_(ctx: typer.Context, as_json: Json = False) -> None:
    """List the collections, and who may read and write them."""
    with opened(ctx) as node, node.db.read() as tx:
        rows = [
            {
                "alias": each.alias,
                "id": each.id,
                "title": each.title,
                "description": each.description,
                "box": each.box,
                "types": list(each.query.types),
                "up_to": each.query.up_to,
                "read": list(each.access.read),
                "write": list(each.access.write),
            }
            for each in node.registry.collections(tx)
        ]
    columns = (
        Column("alias", "Alias"),
        Column("title", "Title"),
        Column("box", "Box"),
        Column("types", "Types"),
        Column("up_to", "Up to"),
        Column("read", "Read by"),
        Column("write", "Written by"),
        Column("id", "Id"),
    )
    answer(columns, rows, as_json)


@app.command()
def add(
    ctx: typer.Context,
    alias: Annotated[str, typer.Argument(metavar="ALIAS", help="Its short name.")],
    title: Annotated[str, typer.Option(help="Its title.")] = "",
    description: Annotated[str, typer.Option(help="What is in it.")] = "",
    box: Annotated[
        bool, typer.Option("--box", help="It holds what is put into it.")
    ] = False,
    kind: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="TYPE", help="Only this STIX type; repeatable."),
    ] = None,
    up_to: Annotated[
        str, typer.Option(metavar="TLP", help="Nothing above this level.")
    ] = "",
    read: Annotated[
        list[str] | None, typer.Option(metavar="WHO", help=f"Who reads it: {_WHO}")
    ] = None,
    write: Annotated[
        list[str] | None,
        typer.Option(metavar="WHO", help=f"Who writes into a box: {_WHO}"),
    ] = None,
) -> None:
    """Make a collection, or change the one with this alias."""
    from serantau.errors import BadRequest
    from serantau.records.registry import Access, Query
    from serantau.rules.marking import Tlp

    try:
        level = Tlp.parse(up_to).label if up_to else ""
    except ValueError as fault:
        raise BadRequest(f"--up-to: {fault}.") from fault
    if box and (kind or up_to):
        raise BadRequest("A box holds what is put into it: no --type, no --up-to.")
    with opened(ctx) as node:
        for who in (*(read or ()), *(write or ())):
            _check(who)
        with node.db.write() as tx:
            made = node.registry.put_collection(
                tx,
                alias,
                title or alias,
                description=description,
                box=box,
                query=Query(types=tuple(kind or ()), up_to=level),
                access=Access(read=tuple(read or ()), write=tuple(write or ())),
            )
    say(f"Collection {alias} has the id {made.id}.")
    if not made.access.read:
        say("Nobody may read it yet: --read says who.")


def _check(who: str) -> None:
    from serantau.errors import BadRequest
    from serantau.rules.party import NAME, Kind

    sort, _, name = who.partition(":")
    kinds = [str(each) for each in Kind]
    if who == "everyone" or (sort == "party" and NAME.fullmatch(name)):
        return
    if sort == "kind" and name in kinds:
        return
    raise BadRequest(
        f"{who!r} names nobody.",
        mend=f"Expected everyone, party:NAME, or kind: and one of {', '.join(kinds)}.",
    )
