"""`serantau recall`: ask for objects back, and see who answered what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from serantau.apps.cli.door import opened
from serantau.apps.cli.handout import confirm, person
from serantau.apps.cli.output import (
    Column,
    Json,
    answer,
    document,
    note,
    say,
    several,
    stamp,
    table,
    when,
)

if TYPE_CHECKING:
    from serantau.desk.recall_table import Line, Told
    from serantau.records.recalls import Hold


class _Recall(TyperGroup):
    """Takes ids where a command stands: `recall ID` is `recall ask ID`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that the arguments name."""
        if args and "--" in args[0].strip("-"):
            args = ["ask", *args]
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_Recall, no_args_is_help=True, add_completion=False, rich_markup_mode=None
)
ObjectId = Annotated[str, typer.Argument(metavar="ID", help="A STIX id.")]


@app.callback()
def recall() -> None:
    """Ask for objects back, and see who answered what. It cannot be guaranteed."""


@app.command()
def ask(
    ctx: typer.Context,
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="STIX ids.")],
    reason: Annotated[
        str, typer.Option(help="Why; everybody whom it reaches reads it.")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Recall objects that this node made: `recall ID...` does the same.

    No version that is here leaves any more, and everybody who got one is told.
    """
    from serantau.desk.recall import NO_GUARANTEE, Recalling

    with opened(ctx) as node:
        recalling = Recalling(node)
        for object_id in dict.fromkeys(ids):
            got = recalling.got(object_id)
            names = ", ".join(f"{name} ({', '.join(ways)})" for name, ways in got)
            note(f"{object_id}: {names or 'nobody got it'}")
        note(NO_GUARANTEE)
        confirm(yes, "", question="Recall this?")
        made = recalling.recall(ids, reason)
        told = [each for held in made for each in recalling.told(held.object)[-1:]]
    if as_json:
        document([_document(each) for each in told])
        return
    for each in told:
        say(
            f"{each.held.object} is recalled; to be told: "
            f"{', '.join(line.party for line in each.lines) or 'nobody'}. "
            "`serantau recall show` tells who answered."
        )


@app.command("list")
def list_(ctx: typer.Context, as_json: Json = False) -> None:
    """List all recalls, this node's own and those of others."""
    from serantau.desk.recall import Recalling
    from serantau.rules.recall import words_of

    with opened(ctx) as node:
        recalling = Recalling(node)
        every = recalling.every()
        with node.db.read() as tx:
            holds = recalling.rows.holds(tx)
    if as_json:
        document(
            {
                "recalls": [_document(each) for each in every],
                "kept": [_kept(hold) for hold in holds],
            }
        )
        return
    rows = [
        {
            "at": when(each.held.at),
            "by": "this node" if each.held.mine else each.held.node,
            "kind": str(each.held.kind),
            "object": each.held.object,
            "told": len(each.lines),
            "answered": sum(line.state != "" for line in each.lines),
            "here": _here(each, words_of),
        }
        for each in every
    ]
    columns = (
        Column("at", "When"),
        Column("by", "By"),
        Column("kind", "Why"),
        Column("object", "Object"),
        Column("told", "Parties", right=True),
        Column("answered", "Answered", right=True),
        Column("here", "Here"),
    )
    table(columns, rows, empty="Nothing was recalled.")
    if holds:
        say()
        answer(
            (
                Column("object", "Kept under legal duty"),
                Column("reason", "Reason"),
                Column("by", "By"),
                Column("at", "Since"),
            ),
            [{**_kept(hold), "at": when(hold.at)} for hold in holds],
            as_json=False,
        )


def _here(told: Told, words_of: Any) -> str:
    if told.held.fault:
        return f"not believed: {told.held.fault}"
    return "leaves no more" if told.held.mine else str(words_of(told.own))


@app.command()
def show(ctx: typer.Context, object_id: ObjectId, as_json: Json = False) -> None:
    """Tell who got an object that was recalled, and what each answered."""
    from serantau.desk.recall import NO_GUARANTEE, Recalling
    from serantau.rules.recall import words_of

    with opened(ctx) as node:
        every = Recalling(node).told(object_id.strip())
    if as_json:
        document([_document(each) for each in every])
        return
    for each in every:
        held = each.held
        who = "this node" if held.mine else held.node
        say(f"{held.object}: {held.kind} by {who} at {when(held.at)}", "bold")
        if held.reason:
            say(f"Reason: {held.reason}")
        say(f"Here: {_here(each, words_of)}")
        if each.hold is not None:
            since = f"{when(each.hold.at)} by {each.hold.actor}"
            say(f"Kept since {since}: {each.hold.reason}")
        say()
        _print(each)
    say(NO_GUARANTEE)


def _print(told: Told) -> None:
    from serantau.rules.recall import words_of

    columns = (
        Column("party", "Party"),
        Column("way", "Got it by"),
        Column("got", "First at"),
        Column("versions", "Versions", right=True, spare=2),
        Column("fetched", "Told at", spare=1),
        Column("state", "Answer"),
        Column("answered", "At"),
        Column("proof", "Proven"),
    )
    rows = [
        {
            "party": line.party,
            "way": line.ways or f"a relay: {line.via}",
            "got": when(line.got),
            "versions": len(line.versions) or None,
            "fetched": when(line.fetched),
            "state": words_of(line.state),
            "answered": when(line.answered),
            "proof": _proof(line),
        }
        for line in told.lines
    ]
    table(columns, rows, empty="The release log names nobody who got it.")
    say()


def _proof(line: Line) -> str:
    if not line.state:
        return ""
    if line.noted:
        return f"by hand, {line.noted}"
    told = f", as {line.via} told it" if line.via else ""
    return f"not proven: {line.doubt}{told}" if line.doubt else f"yes{told}"


@app.command()
def keep(
    ctx: typer.Context,
    object_id: ObjectId,
    reason: Annotated[
        str, typer.Option(help="The law or the order that asks for it; stays here.")
    ] = "",
    end: Annotated[bool, typer.Option("--end", help="Keep it no longer.")] = False,
    as_json: Json = False,
) -> None:
    """Keep an object under a legal duty once it is recalled, or already was.

    It leaves no more all the same; the node's own people still read it.
    """
    from serantau.desk.recall import Recalling

    with opened(ctx) as node:
        recalling = Recalling(node)
        if end:
            count = recalling.let_go(object_id)
        else:
            count = recalling.keep(object_id, reason, person())
    if as_json:
        document({"object": object_id, "kept": not end, "answered": count})
        return
    word = "is kept no longer" if end else "is kept"
    say(f"{object_id} {word}; {several(count, 'recall')} answered anew.")


@app.command("answer")
def answer_(
    ctx: typer.Context,
    object_id: ObjectId,
    party: Annotated[str, typer.Argument(metavar="PARTY", help="Who said so.")],
    state: Annotated[
        str, typer.Argument(metavar="STATE", help="withdrawn, kept or absent.")
    ],
    said: Annotated[
        str, typer.Option("--note", help="How and by whom it was said.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Write down what a party without a node said; it is shown as by hand."""
    from serantau.desk.recall import Recalling
    from serantau.errors import BadRequest
    from serantau.rules.recall import Said

    if state not in {each.value for each in Said}:
        raise BadRequest(f"{state!r} is no answer: expected one of {', '.join(Said)}.")
    with opened(ctx) as node:
        recalling = Recalling(node)
        recalling.note(object_id, party, Said(state), said, person())
        told = recalling.told(object_id)[-1]
    if as_json:
        document(_document(told))
    else:
        _print(told)


def _document(told: Told) -> dict[str, Any]:
    held = told.held
    return {
        "object": held.object,
        "kind": str(held.kind),
        "by": held.node,
        "mine": held.mine,
        "at": stamp(held.at),
        "before": stamp(held.before),
        "reason": held.reason,
        "digest": held.digest,
        "doubt": held.fault,
        "here": told.own,
        "kept": None if told.hold is None else _kept(told.hold),
        "parties": [
            {
                "party": line.party,
                "ways": line.ways.split(", ") if line.ways else [],
                "via": line.via,
                "got": stamp(line.got),
                "versions": [
                    {"version": version, "sha256": digest}
                    for version, digest in line.versions
                ],
                "told": stamp(line.fetched),
                "answer": line.state,
                "answered": stamp(line.answered),
                "proven": bool(line.state) and not line.doubt,
                "doubt": line.doubt,
                "note": line.noted,
            }
            for line in told.lines
        ],
    }


def _kept(hold: Hold) -> dict[str, Any]:
    return {
        "object": hold.object,
        "reason": hold.reason,
        "by": hold.actor,
        "at": stamp(hold.at),
    }
