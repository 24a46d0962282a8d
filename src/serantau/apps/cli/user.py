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
        str,
        typer.Option(
            help="reader, writer, analyst, lead, coordinator, policy, operator, "
            "auditor or admin; see docs/people.md. A guest is invited."
        ),
    ] = "reader",
    password_file: PasswordFile = "",
    no_password: Annotated[
        bool, typer.Option("--no-password", help="Only tokens let this user in.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Add a user; a password is made and shown once unless you give one."""
    from serantau.errors import BadRequest
    from serantau.rules.role import ROLES

    if role in ROLES and ROLES[role].scoped:
        raise BadRequest(
            f"A {role} needs a case and a last day.",
            mend="`serantau user invite` takes both.",
        )
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
def invite(
    ctx: typer.Context,
    name: Name,
    role: Annotated[
        str | None,
        typer.Option(help="For a new user: one of the roles in docs/people.md."),
    ] = None,
    party: Annotated[
        str | None, typer.Option(help="Whose user; this node's own without it.")
    ] = None,
    case: Annotated[
        str, typer.Option(metavar="ID", help="For a guest: the case that it sees.")
    ] = "",
    until: Annotated[
        str,
        typer.Option(metavar="DAY", help="It is out when this day begins (UTC)."),
    ] = "",
    full_name: Annotated[str, typer.Option(help="How people call this person.")] = "",
    drop_factors: Annotated[
        bool,
        typer.Option(
            "--drop-factors",
            help="Take off its second factors now, for one who lost them.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a link with which somebody sets a password and signs in to the pages.

    It is shown once, and good once and for three days. With --role it is for a new
    user, without for one who is here and lost the password.
    """
    from serantau.desk.signin import INVITED_HOURS, SignIn, Wish
    from serantau.errors import BadRequest

    new = (role, party, case, until, full_name)
    if role is None and any(new):
        raise BadRequest("A new user needs a role.", mend="Give --role, too.")
    with opened(ctx) as node, node.db.write() as tx:
        signin = SignIn(node)
        if role is None:
            link = signin.new_link(tx, name, drop_factors=drop_factors)
        else:
            wish = Wish(name, role, party or "", full_name, case, until)
            link = signin.invite(tx, wish)
    if as_json:
        document({"name": name, "link": link, "hours": INVITED_HOURS})
        return
    say(f"This link lets {name} in, once, within {INVITED_HOURS} hours:")
    say()
    typer.echo(f"  {link}")  # whole, however narrow the terminal is
    say()
    say("Hand it to this person by a way that nobody else reads.")


@app.command()
def sessions(
    ctx: typer.Context,
    name: Name,
    end: Annotated[
        bool, typer.Option("--end", help="End them all: it signs in anew.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List where somebody is signed in at the pages; or end that with --end."""
    from serantau.desk.signin import SignIn
    from serantau.errors import NotFound
    from serantau.records.acts import decided
    from serantau.records.sessions import user_number

    with opened(ctx) as node, node.db.write() as tx:
        held = SignIn(node).sessions
        number = user_number(tx, name)
        if not number:
            raise NotFound(f"No user is named {name!r}.")
        rows = [
            {
                "since": stamp(each.created) if as_json else when(each.created),
                "seen": stamp(each.seen) if as_json else when(each.seen),
                "from": each.address,
                "browser": each.agent,
                "by": each.ways,
            }
            for each in held.of(tx, number)
        ]
        if end:
            ended = held.end(tx, number)
            decided(tx, "ended sessions", name, before={"sessions": ended})
    if end:
        say(f"{ended} sessions of {name} are ended.")
        return
    columns = (
        Column("since", "Since"),
        Column("seen", "Seen"),
        Column("from", "From"),
        Column("browser", "Browser"),
        Column("by", "By"),
    )
    answer(columns, rows, as_json)


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
    """Keep a user out, with password and tokens; it is signed out at once."""
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
    from serantau.desk.signin import refuse_weak

    if not file:
        return new_password()
    given = secret_from(file, f"Password for {name}")
    refuse_weak(given, name)
    return given
