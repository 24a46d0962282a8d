"""`serantau contact`: where parties are reached."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from serantau.apps.cli.door import opened, secret_from
from serantau.apps.cli.output import Column, Json, answer, say

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)
Number = Annotated[int, typer.Argument(metavar="NUMBER", help="As `list` shows it.")]


@app.callback()
def contact() -> None:
    """See and change where parties are reached. Nothing is sent anywhere else."""


@app.command("list")
def list_(
    ctx: typer.Context,
    party: Annotated[str | None, typer.Argument(metavar="PARTY")] = None,
    as_json: Json = False,
) -> None:
    """List the contacts of one party, or of all."""
    from serantau.records.contacts import Contacts
    from serantau.wire.openpgp import read_certificate

    with opened(ctx) as node, node.db.read() as tx:
        if party:
            node.registry.party(tx, party)
        found = Contacts().all(tx, party or "")
    rows = [
        {
            "number": each.number,
            "party": each.party,
            "kind": str(each.kind),
            "address": each.address,
            "language": each.language,
            "openpgp": read_certificate(each.certificate.encode()).fingerprint
            if each.certificate
            else "",
            "state": str(each.state),
            "fault": each.fault,
        }
        for each in found
    ]
    columns = (
        Column("number", "Number", right=True),
        Column("party", "Party"),
        Column("kind", "Kind"),
        Column("address", "Address"),
        Column("language", "Language"),
        Column("openpgp", "OpenPGP"),
        Column("state", "State"),
        Column("fault", "Why"),
    )
    answer(
        columns,
        rows,
        as_json,
        empty="No contacts: `serantau contact add PARTY ADDRESS`",
    )


@app.command()
def add(
    ctx: typer.Context,
    party: Annotated[str, typer.Argument(metavar="PARTY")],
    address: Annotated[
        str,
        typer.Argument(
            metavar="ADDRESS", help="noc@example.th, https://... or /folder."
        ),
    ],
    language: Annotated[str, typer.Option(help="What it reads, as en or th.")] = "en",
    openpgp: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Its certificate: mail is encrypted for it."),
    ] = None,
    secret_file: Annotated[
        str,
        typer.Option(
            metavar="FILE", help="Secret that signs for a webhook; - reads it."
        ),
    ] = "",
) -> None:
    """Add a contact, or change the one at this address and write to it again."""
    from serantau.rules import contact as rules

    kind = rules.Kind.MAIL
    if address.startswith("/"):
        kind = rules.Kind.FOLDER
    elif "://" in address:
        kind = rules.Kind.WEBHOOK
    certificate = ""
    if openpgp is not None:
        from serantau.wire.openpgp import read_certificate

        certificate = read_certificate(openpgp.read_bytes()).text
    secret = secret_from(secret_file, "Secret") if secret_file else ""
    from serantau.records.contacts import Contacts

    with opened(ctx) as node, node.db.write() as tx:
        made = Contacts().put(
            tx,
            rules.Contact(party, kind, address, language, certificate, secret),
            node.seal if secret else None,
        )
    say(f"Contact {made.number}: {party} by {made.kind} at {made.address}")


@app.command()
def remove(ctx: typer.Context, number: Number) -> None:
    """Forget a contact. What was sent to it stays in the release log."""
    from serantau.records.contacts import Contacts

    with opened(ctx) as node, node.db.write() as tx:
        Contacts().remove(tx, number)
    say(f"Contact {number} is forgotten.")


@app.command()
def block(ctx: typer.Context, number: Number) -> None:
    """Write to a contact no more; `add` with the same address lifts it."""
    from serantau.records.contacts import Contacts
    from serantau.rules.contact import State

    with opened(ctx) as node, node.db.write() as tx:
        Contacts().mark(tx, number, State.BLOCKED, "blocked by a person")
    say(f"Nothing is sent to contact {number} any more.")
