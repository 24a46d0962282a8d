"""`serantau circle`: groups of parties that an audience names without telling who."""

from __future__ import annotations

from typing import Annotated

import typer

from serantau.apps.cli.door import opened
from serantau.apps.cli.output import Column, Json, answer, say
from serantau.apps.cli.simulate import act

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)
Name = Annotated[str, typer.Argument(metavar="NAME", help="What this node calls it.")]


@app.callback()
def circle() -> None:
    """See and change circles. Only the id of one travels; who is in it is secret."""


@app.command("list")
def list_(ctx: typer.Context, as_json: Json = False) -> None:
    """List the circles with their members."""
    with opened(ctx) as node, node.db.read() as tx:
        rows = [
            {"name": each.name, "id": each.id, "members": sorted(each.members)}
            for each in node.audiences.circles(tx).values()
        ]
    columns = (
        Column("name", "Name"),
        Column("members", "Members"),
        Column("id", "Id for audiences"),
    )
    answer(
        columns, rows, as_json, empty="No circles: `serantau circle set NAME PARTY...`"
    )


@app.command("set")
def set_(
    ctx: typer.Context,
    name: Name,
    members: Annotated[
        list[str], typer.Argument(metavar="PARTY...", help="All who are in it.")
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing.")] = False,
) -> None:
    """Make a circle, or change who is in it.

    Whoever comes in gets what was meant for the circle before, too: that is shown, and
    asked about, before anything is changed.
    """
    from serantau.desk.simulate import Simulation
    from serantau.desk.supposing import CircleChange, Supposed

    supposed = Supposed(circles={name: CircleChange(tuple(members))})
    with opened(ctx) as node:
        act(Simulation(node), supposed, yes=yes)
        with node.db.read() as tx:
            circles = node.audiences.circles(tx).values()
        made = next(each for each in circles if each.name == name)
    say(f"Circle {name}: {', '.join(sorted(made.members))}")
    say(f"Audiences name it as {made.id}")


@app.command()
def drop(ctx: typer.Context, name: Name) -> None:
    """Forget a circle: nobody is in it any more."""
    with opened(ctx) as node, node.db.write() as tx:
        node.registry.drop_circle(tx, name)
    say(f"Circle {name} is forgotten. What was meant for it reaches nobody by it.")
