"""`serantau peer`: the servers that this node pulls from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from serantau.apps.cli.door import opened, secret_from
from serantau.apps.cli.output import Column, Json, answer, note, say, stamp, when
from serantau.apps.cli.progress import counted

if TYPE_CHECKING:
    from serantau.desk.federate import Federation, PeerStatus
    from serantau.node import Node
    from serantau.records.peers import Peer

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)
Name = Annotated[str, typer.Argument(metavar="NAME", help="What this node calls it.")]


@app.callback()
def peer() -> None:
    """Say which servers this node pulls from, and see how that goes."""


@app.command()
def add(
    ctx: typer.Context,
    name: Name,
    url: Annotated[str, typer.Argument(metavar="URL", help="Address of the server.")],
    user: Annotated[
        str, typer.Option(help="User for a password; without it the secret is a token.")
    ] = "",
    secret: Annotated[
        str,
        typer.Option(
            "--secret-file",
            metavar="FILE",
            help="File with the password or token; - is standard input. "
            "Without it you are asked.",
        ),
    ] = "",
    collection: Annotated[
        str, typer.Option(help="Only this collection, by id or alias.")
    ] = "",
    certificate: Annotated[
        str, typer.Option(metavar="PEM", help="The only authorities to trust for it.")
    ] = "",
    handle_as: Annotated[
        str, typer.Option(metavar="TLP", help="For what arrives without a TLP marking.")
    ] = "",
    key: Annotated[
        str,
        typer.Option(
            metavar="WORDS",
            help="Also pin the key of the party NAME: its words, compared, its id, or "
            "the text of the QR code.",
        ),
    ] = "",
    signatures: Annotated[
        str,
        typer.Option(
            help="members: what members make must be signed. all: everything must. "
            "pinned: only what is by somebody whose key is pinned."
        ),
    ] = "members",
    check: Annotated[
        bool, typer.Option(help="Ask the server at once whether it lets this node in.")
    ] = True,
) -> None:
    """Add a server to pull from, or change one.

    A running node follows it within seconds. The secret is kept sealed.
    """
    from serantau.desk.federate import Federation
    from serantau.desk.signing import pin_in
    from serantau.errors import PeerError
    from serantau.records.peers import Peer, Peers

    kind = "Password" if user else "Token"
    given = secret_from(secret, f"{kind} for {name} (empty: none)")
    with opened(ctx) as node:
        new = Peer(
            name=name,
            url=url,
            collection=collection,
            user=user,
            secret=given,
            certificate=certificate,
            handle_as=handle_as,
            signatures=signatures,
        )
        with node.db.write() as tx:
            added = Peers().add(tx, new, node.seal)
            if key:
                pin_in(node, tx, name, key, "peer add")
        say(f"Peer {name} is kept: {url}")
        _warn_unpinned(node, name)
        if not check:
            return
        try:
            say(_greeting(Federation(node), added))
        except PeerError as fault:
            note(f"It does not answer as hoped: {fault}", "yellow")
            note("It stays in the list, and this node goes on trying.")


def _warn_unpinned(node: Node, name: str) -> None:
    """Say what happens to a member's objects while its key is not pinned."""
    from serantau.desk.keys import Keys

    with node.db.read() as tx:
        if name not in Keys(node).parties_without(tx):
            return
    note(
        f"No key of {name} is pinned: what it makes waits in quarantine. Compare the "
        f"words of `serantau key show` there, then `serantau key pin {name} WORDS`.",
        "yellow",
    )


def _greeting(federation: Federation, peer: Peer) -> str:
    with federation.client(peer) as client:
        readable = [one for one in client.collections() if one.can_read]
    names = ", ".join(one.alias or one.title or one.id for one in readable)
    return f"It answers, and lets this node read: {names or 'nothing'}."


@app.command("list")
def list_(ctx: typer.Context, as_json: Json = False) -> None:
    """List the servers that this node pulls from."""
    from serantau.records.peers import Peers

    with opened(ctx) as node, node.db.read() as tx:
        rows = [
            {
                "name": each.name,
                "url": each.url,
                "collection": each.collection,
                "user": each.user,
                "certificate": each.certificate,
                "handle_as": each.handle_as,
                "signatures": each.signatures,
                "enabled": each.enabled,
            }
            for each in Peers().list(tx)
        ]
    columns = (
        Column("name", "Name"),
        Column("url", "Address"),
        Column("collection", "Collection"),
        Column("user", "User"),
        Column("handle_as", "Handled as"),
        Column("signatures", "To be signed"),
        Column("enabled", "Followed"),
    )
    answer(columns, rows, as_json, empty="No peers yet: `serantau peer add NAME URL`.")


@app.command()
def remove(ctx: typer.Context, name: Name) -> None:
    """Forget a server; what came from it stays."""
    from serantau.records.peers import Peers

    with opened(ctx) as node, node.db.write() as tx:
        Peers().remove(tx, name)
    say(f"Peer {name} is forgotten. What came from it stays.")


@app.command()
def pause(ctx: typer.Context, name: Name) -> None:
    """Stop following a server; its place is remembered."""
    _enable(ctx, name, enabled=False)
    say(f"Peer {name} is not followed until `peer resume {name}`.")


@app.command()
def resume(ctx: typer.Context, name: Name) -> None:
    """Follow a paused server again, from where it was left."""
    _enable(ctx, name, enabled=True)
    say(f"Peer {name} is followed again.")


def _enable(ctx: typer.Context, name: str, *, enabled: bool) -> None:
    from serantau.records.peers import Peers

    with opened(ctx) as node, node.db.write() as tx:
        Peers().enable(tx, name, enabled)


@app.command()
def sync(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME...", help="Only these; all without it."),
    ] = None,
    anew: Annotated[
        bool,
        typer.Option("--anew", help="From the beginning; what is here is compared."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Pull everything new now. Ends with 7 when a peer did not answer as agreed."""
    ctx.obj.safe = "Whole pages are kept; the next pull goes on behind the last one."
    from serantau.desk.federate import Federation
    from serantau.errors import PeerError

    with opened(ctx) as node:
        federation = Federation(node)
        chosen = names or _followed(node)
        reports = []
        with counted("Pulling", len(chosen)) as step:
            for place, name in enumerate(chosen):
                step(place, name)
                if anew:
                    with node.db.write() as tx:
                        federation.peers.rewind(tx, federation.peer(name))
                reports.append(federation.pull(name))
    rows: list[dict[str, Any]] = [
        {
            "peer": report.peer,
            "new": report.new,
            "held": report.held,
            "refused": report.refused,
            "faults": report.faults,
        }
        for report in reports
    ]
    columns = (
        Column("peer", "Peer"),
        Column("new", "New", right=True),
        Column("held", "Already had", right=True),
        Column("refused", "Refused", right=True),
        Column("faults", "Fault"),
    )
    answer(columns, rows, as_json, empty="No peers to pull from.")
    if any(row["faults"] for row in rows):
        raise typer.Exit(PeerError.exit_code)


def _followed(node: Node) -> list[str]:
    from serantau.records.peers import Peers

    with node.db.read() as tx:
        return [each.name for each in Peers().list(tx) if each.enabled]


@app.command()
def status(ctx: typer.Context, as_json: Json = False) -> None:
    """Tell how far each server was followed, and what went wrong last."""
    from serantau.desk.federate import Federation

    with opened(ctx) as node:
        found = Federation(node).status()
    rows = [_status(each, as_json) for each in found]
    columns = (
        Column("peer", "Peer"),
        Column("at", "Had everything"),
        Column("lag", "Seconds ago", right=True),
        Column("new", "New", right=True),
        Column("held", "Already had", right=True),
        Column("refused", "Refused", right=True),
        Column("enabled", "Followed"),
        Column("fault", "Fault"),
        Column("alarms", "Alarms about its log"),
    )
    answer(columns, rows, as_json, empty="No peers yet: `serantau peer add NAME URL`.")


def _status(each: PeerStatus, as_json: bool) -> dict[str, Any]:
    return {
        "peer": each.peer.name,
        "url": each.peer.url,
        "at": stamp(each.at) if as_json else when(each.at) or "never",
        "lag": each.lag,
        "new": each.new,
        "held": each.held,
        "refused": each.refused,
        "enabled": each.peer.enabled,
        "fault": each.fault,
        "alarms": each.alarms,
    }
