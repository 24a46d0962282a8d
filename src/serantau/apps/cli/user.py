"""`serantau user`: who may log in."""

from __future__ import annotations

from typing import Annotated

import typer

from serantau.apps.cli.door import opened, secret_from
from serantau.apps.cli.output import Column, Json, answer, document, say, stamp, when

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)
Name = Annotated[str, typer.Argument(metavar="NAME", help="The user's name.")]
PasswordFile = Annotated[
    str,
    typer.Option(
        metavar="FILE",
        help="File with the password; - is standard input. Without it one is made.",
    ),
]
_DAY = 86_400_000_000


@app.callback()
def user() -> None:
    """See and change who may log in. A user belongs to a party and sees its release."""


@app.command("list")
def list_(ctx: typer.Context, as_json: Json = False) -> None:
    """List the users."""
    with opened(ctx) as node, node.db.read() as tx:
        rows = [
            {
                "name": each.name,
                "party": each.party,
                "role": each.role,
                "disabled": bool(each.disabled),
                "tokens": each.tokens,
                "created": stamp(each.created) if as_json else when(each.created),
            }
            for each in node.registry.users(tx)
        ]
    columns = (
        Column("name", "Name"),
        Column("party", "Party"),
        Column("role", "Role"),
        Column("disabled", "Disabled"),
        Column("tokens", "Tokens", right=True),
        Column("created", "Since"),
    )
    answer(columns, rows, as_json)


@app.command()
def add(
    ctx: typer.Context,
    name: Name,
    party: Annotated[
        str | None, typer.Option(help="Whose user; this node's own without it.")
    ] = None,
    role: Annotated[
        str, typer.Option(help="reader, writer, or (own people) admin.")
    ] = "reader",
    password_file: PasswordFile = "",
    no_password: Annotated[
        bool, typer.Option("--no-password", help="Only tokens let this user in.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Add a user; a password is made and shown once unless you give one."""
    password = "" if no_password else _password(password_file, name)
    with opened(ctx) as node, node.db.write() as tx:
        whose = party or node.audiences.own
        node.registry.add_user(tx, name, whose, role, password)
    made = "" if password_file else password
    if as_json:
        document({"name": name, "party": whose, "role": role, "password": made})
        return
    say(f"User {name} ({role}) of {whose} may log in.")
    if made:
        say(f"  password  {made}   (shown this once)")
    if no_password:
        say(f"It needs a token: `serantau user token {name}`.")


@app.command()
def token(
    ctx: typer.Context,
    name: Name,
    label: Annotated[str, typer.Option(help="What it is for.")] = "",
    days: Annotated[
        int | None, typer.Option(min=1, help="It ends after so many days.")
    ] = None,
    revoke: Annotated[
        bool,
        typer.Option("--revoke", help="End tokens: those of --label, or all."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a bearer token, shown once; or end tokens with --revoke."""
    with opened(ctx) as node, node.db.write() as tx:
        if revoke:
            ended = node.registry.drop_tokens(tx, name, label)
        else:
            expires = None if days is None else tx.clock.now() + days * _DAY
            made = node.registry.add_token(tx, name, label, expires)
    if revoke:
        say(f"{ended} tokens of {name} are ended.")
    elif as_json:
        document(
            {"user": name, "label": label, "expires": stamp(expires), "token": made}
        )
    else:
        say(made)


@app.command("password")
def password_(ctx: typer.Context, name: Name, password_file: PasswordFile = "") -> None:
    """Set a new password; the old one ends at once."""
    new = _password(password_file, name)
    with opened(ctx) as node, node.db.write() as tx:
        node.registry.set_user(tx, name, password=new)
    say(f"User {name} has a new password.")
    if not password_file:
        say(f"  password  {new}   (shown this once)")


@app.command()
def disable(ctx: typer.Context, name: Name) -> None:
    """Keep a user out, with password and tokens."""
    with opened(ctx) as node, node.db.write() as tx:
        node.registry.set_user(tx, name, disabled=True)
    say(f"User {name} may not log in any more.")


@app.command()
def enable(ctx: typer.Context, name: Name) -> None:
    """Let a disabled user in again."""
    with opened(ctx) as node, node.db.write() as tx:
        node.registry.set_user(tx, name, disabled=False)
    say(f"User {name} may log in again.")


def _password(file: str, name: str) -> str:
    from serantau.desk.found import new_password
    from serantau.errors import BadRequest

    if not file:
        return new_password()
    given = secret_from(file, f"Password for {name}")
    if len(given) < 12:
        raise BadRequest("The password is too short: at least 12 characters.")
    return given
