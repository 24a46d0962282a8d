"""`serantau contacts rfc2350` and `security-txt`: what a team publishes of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from serantau.apps.cli.door import opened
from serantau.apps.cli.output import note

Check = Annotated[
    Path | None,
    typer.Option("--check", metavar="FILE", help="Only check this one, of any team."),
]


def rfc2350(
    ctx: typer.Context,
    party: Annotated[str, typer.Argument(metavar="[PARTY]")] = "",
    check: Check = None,
) -> None:
    """Write the RFC 2350 document of your team, or of a party, as Markdown.

    It is made of the desks among the cards, and of rfc2350.toml in the node's folder.
    Ends with 9 when it lacks something that a reader needs.
    """
    from serantau.desk.papers import Papers
    from serantau.rules import rfc2350 as rules

    if check is not None:
        faults = rules.check(check.read_text(encoding="utf-8"))
    else:
        with opened(ctx) as node:
            text, faults = Papers(node).rfc2350(party or node.config.node.member)
        typer.echo(text, nl=False)
    _end(faults)


def security_txt(
    ctx: typer.Context,
    days: Annotated[int, typer.Option(min=2, max=365, help="How long it holds.")] = 180,
    canonical: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Where it will be found; repeated."),
    ] = None,
    policy: Annotated[
        list[str] | None, typer.Option(metavar="URL", help="Your policy on reports.")
    ] = None,
    encryption: Annotated[
        list[str] | None, typer.Option(metavar="URL", help="Where your key is found.")
    ] = None,
    check: Check = None,
) -> None:
    """Write security.txt (RFC 9116) of your team, signed when the node has a mail key.

    It is made of the desks among your own cards, and checked before it is printed.
    """
    from serantau.clock import SystemClock
    from serantau.desk.papers import Papers
    from serantau.rules import security_txt as rules

    if check is not None:
        text = check.read_text(encoding="utf-8")
        _end(rules.check(text, SystemClock().now()))
        return
    with opened(ctx) as node:
        text = Papers(node).security_txt(
            days=days,
            canonical=canonical or (),
            policy=policy or (),
            encryption=encryption or (),
        )
    typer.echo(text, nl=False)
    if "PGP" not in text:
        note("Not signed: `serantau notice key` makes a key.")


def _end(faults: list[str]) -> None:
    for each in faults:
        note(each)
    if faults:
        raise typer.Exit(9)
