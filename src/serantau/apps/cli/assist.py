"""`serantau assist`: ask other states for help in a case, and answer them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from serantau.apps.cli.case import Case, Due, Text, instant_of
from serantau.apps.cli.case_view import as_row, brief
from serantau.apps.cli.door import opened
from serantau.apps.cli.output import Column, Json, answer, document, say, shorten

if TYPE_CHECKING:
    from serantau.desk.case_assist import Assistance

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)
Ask = Annotated[
    str,
    typer.Argument(metavar="ASK", help="Its id, or how that begins: `list` has it."),
]


@app.callback()
def assist() -> None:
    """Ask other states for help in a case, and answer what they ask."""


@app.command()
def ask(
    ctx: typer.Context,
    case: Case,
    what: Annotated[str, typer.Argument(metavar="WHAT", help="In a line.")],
    parties: Annotated[
        list[str], typer.Argument(metavar="PARTY...", help="Parties of the case.")
    ],
    due: Due = "",
    limits: Annotated[
        str, typer.Option(metavar="TEXT", help="What the law asks or forbids.")
    ] = "",
    language: Annotated[
        list[str] | None,
        typer.Option(metavar="TAG", help="You understand it: en, th; repeated."),
    ] = None,
    text: Text = "",
    as_json: Json = False,
) -> None:
    """Ask parties of a case for something. It stays open until each has answered."""
    at = instant_of(due)
    with _assisting(ctx) as work:
        made, number = work.ask(
            case, what, parties, due=at, limits=limits, languages=language or (),
            text=text,
        )  # fmt: skip
    if as_json:
        document({**as_row(made, {}), "ask": number})
    else:
        say(f"Asked {', '.join(parties)}: {brief(number)}")


@app.command()
def accept(
    ctx: typer.Context, case: Case, ask: Ask, text: Text = "", as_json: Json = False
) -> None:
    """Say that this node does what it is asked."""
    _answer(ctx, case, ask, "accept", as_json, text=text)


@app.command()
def decline(
    ctx: typer.Context,
    case: Case,
    ask: Ask,
    text: Annotated[str, typer.Option(metavar="TEXT", help="Why not.")],
    as_json: Json = False,
) -> None:
    """Say that this node does not, and why."""
    _answer(ctx, case, ask, "decline", as_json, text=text)


@app.command()
def refer(
    ctx: typer.Context,
    case: Case,
    ask: Ask,
    to: Annotated[str, typer.Option(metavar="PARTY", help="Who can.")],
    text: Text = "",
    as_json: Json = False,
) -> None:
    """Say who can do what this node is asked. The owner has to invite that party."""
    _answer(ctx, case, ask, "refer", as_json, text=text, to=to)


@app.command("list")
def list_(
    ctx: typer.Context,
    everything: Annotated[
        bool, typer.Option("--all", help="Answered ones too.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List what is asked and not answered in open cases, of this node first."""
    from dataclasses import asdict

    from serantau.desk.audit import note_reading
    from serantau.desk.case_assist import Assistance

    with opened(ctx) as node:
        found = Assistance(node).asks(answered=everything)
        shown = sorted({one.id for one in found})
        note_reading(node, "assist list", "", count=len(shown), objects=shown)
    rows = [
        asdict(one)
        if as_json
        else {
            **asdict(one),
            "case": brief(one.case),
            "id": brief(one.id),
            "what": shorten(one.what),
            "to": "us" if one.ours else one.to,
        }
        for one in found
    ]
    columns = (
        Column("case", "Case", style="cyan"),
        Column("id", "Ask", style="cyan"),
        Column("what", "What", style="bold"),
        Column("by", "Asked by"),
        Column("to", "Of"),
        Column("due", "Due"),
        Column("answer", "Answer"),
    )
    answer(columns, rows, as_json, empty="Nothing is asked that is not answered.")


@contextmanager
def _assisting(ctx: typer.Context) -> Iterator[Assistance]:
    from serantau.desk.case_assist import Assistance

    with opened(ctx) as node:
        yield Assistance(node)


def _answer(
    ctx: typer.Context,
    case: str,
    ask: str,
    how: str,
    as_json: bool,
    *,
    text: str = "",
    to: str = "",
) -> None:
    with _assisting(ctx) as work:
        made = work.answer(case, ask, how, text=text, to=to)
    if as_json:
        document(as_row(made, {}))
    else:
        say("Answered.")
