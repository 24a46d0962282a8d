"""`serantau ledger`: prove what left this node, and hold peers to what they signed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serantau.apps.cli.door import opened
from serantau.apps.cli.handout import person
from serantau.apps.cli.output import (
    Column,
    Json,
    answer,
    document,
    note,
    say,
    shorten,
    stamp,
    when,
)
from serantau.apps.cli.progress import counted

if TYPE_CHECKING:
    from serantau.desk.ledger import Book
    from serantau.desk.watch import Watched
    from serantau.node import Node
    from serantau.records.seen import Alarm
    from serantau.rules.proof import Proof

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
After = Annotated[
    int, typer.Option(min=0, metavar="LEAF", help="The first leaf to look at.")
]
ObjectId = Annotated[str, typer.Argument(metavar="OBJECT", help="A STIX id.")]


@app.callback()
def ledger() -> None:
    """Prove what left this node, and hold peers to what they signed."""


@contextmanager
def _sealed(ctx: typer.Context) -> Iterator[tuple[Node, Book]]:
    """Open the node, and make leaves of all rows of its release log."""
    from serantau.desk.ledger import Book

    with opened(ctx) as node:
        book = Book(node)
        book.seal()
        yield node, book


@app.command()
def head(ctx: typer.Context, as_json: Json = False) -> None:
    """Sign the head of the tree over the release log, and show it."""
    with _sealed(ctx) as (node, book):
        held = book.head(None)
        key = node.signer.key.id
    told = {
        "node": held.head.node,
        "log": held.head.log,
        "size": held.head.size,
        "root": held.head.root,
        "at": stamp(held.head.at),
        "key": key,
        "signed": held.text,
    }
    if as_json:
        document(told)
        return
    noun = "leaf" if held.head.size == 1 else "leaves"
    say(f"{held.head.size:,} {noun} at {when(held.head.at)}, signed by key {key}")
    say(f"root {held.head.root}")


@app.command()
def verify(
    ctx: typer.Context,
    objects: Annotated[
        bool,
        typer.Option(
            "--objects", help="Also make each object's digest anew of what is held."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Make the tree anew of all rows. Ends with 8 at the first thing that differs."""
    from serantau.desk.recount import recount
    from serantau.errors import ProofFailed

    ctx.obj.safe = "Nothing is changed by this."
    with _sealed(ctx) as (node, book):
        with node.db.read() as tx:
            waiting = book.leaves.waiting(tx)
            size = int(tx.value("SELECT size FROM ledger.log") or 0)
        with counted("Comparing leaves", size) as step:
            found = recount(
                node, objects=objects, progress=lambda done, _: step(done, "")
            )
    told = {
        "size": found.size,
        "root": found.root,
        "checked": found.checked,
        "erased": found.erased,
        "heads": found.heads,
        "waiting": waiting,
        "fault": found.fault,
    }
    if as_json:
        document(told)
    elif not found.fault:
        say(f"All {found.checked:,} rows are the leaves that they were sealed as.")
        if found.erased:
            say(f"The words of {found.erased:,} were erased, as decisions say.")
        say(f"{found.heads:,} signed heads are of this tree. Root {found.root}")
    if found.fault:
        raise ProofFailed(
            f"The release log is not what was sealed: {found.fault}.",
            mend="Somebody or something changed the database. Keep it as it is, and "
            "compare it with a backup and with the heads that peers hold.",
        )


@app.command()
def prove(ctx: typer.Context, object_id: ObjectId, after: After = 0) -> None:
    """Write a signed proof of whom an object was passed to, for `docs/verify.py`.

    It opens the recipients' names and this one object, and is for whoever may know
    them: you decide whom you hand it to.
    """
    from serantau.desk.audit import note_reading

    with _sealed(ctx) as (node, book):
        proof = book.prove(object_id, after)
        note_reading(node, "ledger prove", object_id, count=len(proof.entries))
    _write(proof)


def _write(proof: Proof) -> None:
    import msgspec

    from serantau.rules.proof import head_of

    document(msgspec.to_builtins(proof))
    size = head_of(proof).size
    if proof.through < size:
        note(f"Leaves from {proof.through:,} on: --after {proof.through}", "yellow")


@app.command()
def ask(
    ctx: typer.Context,
    peer: Annotated[str, typer.Argument(metavar="PEER", help="Whom to ask.")],
    object_id: Annotated[
        str, typer.Argument(metavar="OBJECT", help="A STIX id; all without it.")
    ] = "",
    after: After = 0,
    proof: Annotated[
        bool, typer.Option("--proof", help="Print the proofs as they came, as JSON.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Ask a peer whom it passed this node's objects to, and check its proofs."""
    from serantau.desk.asked import ask_peer
    from serantau.desk.audit import note_reading

    ctx.obj.safe = "Nothing is changed by this."
    with _sealed(ctx) as (node, _):
        found = ask_peer(node, peer, object_id, after)
        many = len(found.passed)
        note_reading(node, "ledger ask", f"{peer} {object_id}", count=many)
    if proof:
        import msgspec

        document(msgspec.to_builtins(found.proofs))
        return
    rows = [
        {
            "at": stamp(one.at) if as_json else when(one.at),
            "recipient": one.recipient or f"a {one.kind or 'party'}, not named",
            "way": one.way,
            "object": one.object,
            "version": one.version,
            "rule": one.rule,
            "leaf": one.leaf,
        }
        for one in found.passed
    ]
    columns = (
        Column("at", "At"),
        Column("recipient", "To"),
        Column("way", "By"),
        Column("object", "Object"),
        Column("version", "Version"),
        Column("rule", "Under the rule"),
        Column("leaf", "Leaf", right=True),
    )
    answer(columns, rows, as_json, empty=f"{peer} proves that it passed on none.")


@app.command()
def watch(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="PEER...", help="Only these; all without it."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Look at the logs of peers now. Ends with 8 while there is an alarm."""
    from serantau.desk.federate import Federation
    from serantau.errors import ProofFailed

    with _sealed(ctx) as (node, _):
        federation = Federation(node)
        with node.db.read() as tx:
            peers = [each.name for each in federation.peers.list(tx) if each.enabled]
        several = [_look(federation, name) for name in names or peers]
        alarms = federation.watch.alarms()
    rows = [
        {
            "peer": each.peer,
            "node": each.node,
            "size": each.size,
            "proven": each.proven,
            "waiting": each.waiting,
            "alarms": each.alarms,
            "fault": each.fault,
        }
        for each in several
    ]
    columns = (
        Column("peer", "Peer"),
        Column("node", "Member"),
        Column("size", "Leaves", right=True),
        Column("proven", "Receipts proven", right=True),
        Column("waiting", "Waiting", right=True),
        Column("alarms", "Alarms"),
        Column("fault", "Not looked at"),
    )
    if as_json:
        document({"peers": rows, "alarms": [_alarm(each) for each in alarms]})
    else:
        answer(columns, rows, False, empty="No peers yet: `serantau peer add`.")
        for each in alarms:
            _tell(each)
    if alarms:
        raise typer.Exit(ProofFailed.exit_code)


def _look(federation: Any, name: str) -> Watched:
    from serantau.desk.watch import Watched
    from serantau.errors import PeerError

    try:
        with federation.client(federation.peer(name)) as client:
            found: Watched = federation.watch.look(name, client)
            return found
    except PeerError as fault:
        return Watched(name, fault=str(fault))


def _alarm(alarm: Alarm) -> dict[str, Any]:
    return {
        "node": alarm.node,
        "at": stamp(alarm.at),
        "said": alarm.said,
        "first": alarm.first,
        "second": alarm.second,
    }


def _tell(alarm: Alarm) -> None:
    note(f"ALARM {when(alarm.at)}: the log of {alarm.node}: {alarm.said}.", "bold red")
    for name, text in (("first", alarm.first), ("second", alarm.second)):
        if text:
            note(f"  {name}: {text}")
    note(f"  `serantau ledger accept {alarm.node}`, once its team has explained it.")


@app.command()
def receipts(
    ctx: typer.Context,
    member: Annotated[str, typer.Option(help="Only of this member.")] = "",
    state: Annotated[str, typer.Option(help="promised, proven or broken.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 100,
    as_json: Json = False,
) -> None:
    """List the receipts that peers gave for their pages."""
    from serantau.errors import BadRequest
    from serantau.records.seen import Seen, State

    if state and state not in {str(each) for each in State}:
        raise BadRequest(f"{state!r} is no state: promised, proven or broken.")
    with _sealed(ctx) as (node, _), node.db.read() as tx:
        several = Seen().receipts(tx, member, state, limit)
    rows = [
        {
            "node": each.node,
            "at": stamp(each.at) if as_json else when(each.at),
            "count": each.count,
            "state": str(each.state),
            "leaf": each.seq,
            "fault": each.fault,
            "signed": each.signed if as_json else shorten(each.digest, 16),
        }
        for each in several
    ]
    columns = (
        Column("node", "Member"),
        Column("at", "At"),
        Column("count", "Objects", right=True),
        Column("state", "State"),
        Column("leaf", "Leaf", right=True),
        Column("fault", "Fault"),
        Column("signed", "Receipt"),
    )
    answer(columns, rows, as_json, empty="No receipts yet.")


@app.command()
def accept(
    ctx: typer.Context,
    member: Annotated[str, typer.Argument(metavar="MEMBER", help="Whose log.")],
    reason: Annotated[str, typer.Option(help="What its team explained.")] = "",
) -> None:
    """End the alarms about a member's log, and take its tree as it is for a beginning.

    The alarms stay written down, with the reason.
    """
    from serantau.desk.watch import Watch
    from serantau.errors import BadRequest

    if not reason.strip():
        raise BadRequest(
            "--reason is missing.", mend="Say what the member's team explained."
        )
    with _sealed(ctx) as (node, _):
        ended = Watch(node).accept(member, person(), reason)
    say(f"{ended:,} alarms about {member} are ended. Its log is followed anew.")
