"""`serantau share audience`: say for whom something is meant."""

from __future__ import annotations

from typing import Annotated

import typer

from serantau.apps.cli.door import opened
from serantau.apps.cli.output import Json, document, say


def audience(
    ctx: typer.Context,
    parties: Annotated[
        list[str] | None,
        typer.Argument(metavar="PARTY...", help="Who is meant, by name."),
    ] = None,
    circle: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A circle of this node; may be repeated."),
    ] = None,
    everyone_but: Annotated[
        list[str] | None,
        typer.Option(metavar="PARTY", help="Who is left out; may be repeated."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make the marking that names an audience, to be put beside a TLP marking."""
    from serantau.desk.naming import name_audience

    with opened(ctx) as node:
        named = name_audience(
            node, parties or [], circles=circle or [], everyone_but=everyone_but or []
        )
    if as_json:
        document(
            {
                "definition": named.definition,
                "new": named.new,
                "unknown": list(named.unknown),
            }
        )
        return
    say(str(named.definition["id"]))
    say(
        "Put this id into the object_marking_refs of what is meant for them. "
        + ("It is in the store now." if named.new else "It was in the store already.")
    )
    for name in named.unknown:
        say(f"{name} is no party of this node: mistyped, it means nobody.")
