"""`serantau party`: those whom something may be released to."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serantau.apps.cli.door import opened
from serantau.apps.cli.output import (
    Column,
    Json,
    answer,
    brief,
    say,
    stamp,
    table,
    when,
)

if TYPE_CHECKING:
    from serantau.node import Node
    from serantau.records.audiences import Change
    from serantau.rules.party import Party

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The party's name, as th.")]
Kind = Annotated[
    str | None, typer.Option(help="member, coordinator, partner, operator or public.")
]
Title = Annotated[str | None, typer.Option(help="Its full name.")]
Identity = Annotated[
    str | None, typer.Option(metavar="ID", help="STIX id of its identity object.")
]
ClientOf = Annotated[
    str | None, typer.Option(metavar="PARTY", help="Whose client it is.")
]
NeedToKnow = Annotated[
    bool | None,
    typer.Option(
        "--need-to-know/--no-need-to-know", help="A client that TLP:AMBER may reach."
    ),
]
Ceiling = Annotated[
    str | None, typer.Option(metavar="TLP", help="At most this; none takes it away.")
]
Until = Annotated[
    str | None,
    typer.Option(metavar="DATE", help="Its access ends then (UTC); none: it does not."),
]
Purposes = Annotated[
    list[str] | None,
    typer.Option(
        "--purpose",
        help="What it may be given something for: defence, law-enforcement, "
        "public-warning; repeated. Without it the usual one of its kind.",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")]


@app.callback()
def party() -> None:
    """See and change those whom something may be released to."""


@app.command("list")
def list_(ctx: typer.Context, as_json: Json = False) -> None:
    """List the parties."""
    with opened(ctx) as node, node.db.read() as tx:
        found = [each for _, each in node.registry.parties(tx).values()]
    rows = [
        {
            "name": each.name,
            "kind": str(each.kind),
            "title": each.title,
            "identity": each.identity,
            "client_of": each.client_of,
            "need_to_know": each.need_to_know,
            "blocked": each.blocked,
            "ceiling": each.ceiling.label if each.ceiling is not None else "",
            "purposes": sorted(each.allowed),
            "until": stamp(each.until) if as_json else when(each.until),
        }
        for each in found
    ]
    columns = (
        Column("name", "Name"),
        Column("kind", "Kind"),
        Column("title", "Title"),
        Column("client_of", "Client of"),
        Column("need_to_know", "Need to know"),
        Column("blocked", "Blocked"),
        Column("ceiling", "At most"),
        Column("purposes", "For"),
        Column("until", "Until"),
    )
    answer(columns, rows, as_json)


@app.command()
def add(
    ctx: typer.Context,
    name: Name,
    kind: Kind = None,
    title: Title = None,
    identity: Identity = None,
    client_of: ClientOf = None,
    need_to_know: NeedToKnow = None,
    ceiling: Ceiling = None,
    until: Until = None,
    purpose: Purposes = None,
) -> None:
    """Add a party. From then on it may have what its kind may have."""
    from serantau.desk.supposing import read_kind
    from serantau.errors import BadRequest, Conflict
    from serantau.rules import party as rules

    if kind is None:
        raise BadRequest("--kind is missing.", mend="One of: " + _kinds())
    with opened(ctx) as node, node.db.write() as tx:
        if name in node.registry.parties(tx):
            raise Conflict(
                f"Party {name!r} is here already.", mend="`party set` changes it."
            )
        fresh = _named(lambda: rules.Party(name, read_kind(kind)))
        new = _changed(
            fresh,
            None,
            title,
            identity,
            client_of,
            need_to_know,
            ceiling,
            until,
            purpose,
        )
        node.registry.put_party(tx, new)
    say(f"Party {name} ({kind}) is known. `serantau share preview --to {name}`")
    say(f"shows what it may have; `serantau user add NAME --party {name}` lets it in.")


@app.command("set")
def set_(
    ctx: typer.Context,
    name: Name,
    kind: Kind = None,
    title: Title = None,
    identity: Identity = None,
    client_of: ClientOf = None,
    need_to_know: NeedToKnow = None,
    ceiling: Ceiling = None,
    until: Until = None,
    purpose: Purposes = None,
    dry_run: DryRun = False,
) -> None:
    """Change a party, and say what that changes in what it may have."""

    def change(party: Party) -> Party:
        return _changed(
            party,
            kind,
            title,
            identity,
            client_of,
            need_to_know,
            ceiling,
            until,
            purpose,
        )

    _change(ctx, name, change, dry_run)


@app.command()
def block(ctx: typer.Context, name: Name, dry_run: DryRun = False) -> None:
    """Give a party nothing any more, at once."""
    _change(ctx, name, lambda party: replace(party, blocked=True), dry_run)


@app.command()
def unblock(ctx: typer.Context, name: Name, dry_run: DryRun = False) -> None:
    """Lift a block; the party gets what it missed."""
    _change(ctx, name, lambda party: replace(party, blocked=False), dry_run)


class _OnlyAsked(Exception):
    """Leaves a transaction so that it is rolled back."""


def _change(
    ctx: typer.Context, name: str, change: Callable[[Party], Party], dry_run: bool
) -> None:
    from serantau.errors import BadRequest

    with opened(ctx) as node:
        changes: list[Change] = []
        with contextlib.suppress(_OnlyAsked), node.db.write() as tx:
            _, held = node.registry.party(tx, name)
            new = change(held)
            if new.blocked and held.name == node.audiences.own:
                raise BadRequest("The node's own party cannot be blocked.")
            changes = node.registry.put_party(tx, new)
            if dry_run:
                raise _OnlyAsked
        _tell(node, name, changes, dry_run)


def _tell(node: Node, name: str, changes: list[Change], dry_run: bool) -> None:
    from serantau.rules.marking import in_words

    turned = [
        each
        for each in changes
        if each.party.name == name
        and each.after is not None
        and (each.before is None or each.before.released != each.after.released)
    ]
    with node.db.read() as tx:
        sets, known = node.audiences.sets(tx), node.audiences.known(tx)
    rows: list[dict[str, Any]] = [
        {
            "objects": each.objects,
            "marking": brief(in_words(sets[each.marking_set], known)),
            "now": "released" if each.after and each.after.released else "withheld",
            "rule": each.after.rule if each.after else "",
        }
        for each in turned
    ]
    say(f"Party {name} {'would be' if dry_run else 'is'} changed.")
    table(
        (
            Column("objects", "Objects", right=True),
            Column("marking", "Marked"),
            Column("now", "From now on"),
            Column("rule", "Rule"),
        ),
        rows,
        empty="What it may have stays the same.",
    )


def _changed(
    party: Party,
    kind: str | None,
    title: str | None,
    identity: str | None,
    client_of: str | None,
    need_to_know: bool | None,
    ceiling: str | None,
    until: str | None,
    purposes: list[str] | None,
) -> Party:
    from serantau.desk.supposing import PartyChange, party_as

    change = PartyChange(
        kind=kind, title=title, identity=identity, client_of=client_of,
        need_to_know=need_to_know, ceiling=ceiling, until=until,
        purposes=None if purposes is None else tuple(purposes),
    )  # fmt: skip
    return party_as(party, change)


def _named(make: Callable[[], Party]) -> Party:
    from serantau.errors import BadRequest

    try:
        return make()
    except ValueError as fault:
        raise BadRequest(f"{fault}.") from fault


def _kinds() -> str:
    from serantau.rules import party as rules

    return ", ".join(each for each in rules.Kind if each is not rules.Kind.OWN)
