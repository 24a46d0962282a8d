"""`serantau init`: make a node."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from serantau.apps.cli.door import asked
from serantau.apps.cli.output import Json, document, note, say


def init(
    ctx: typer.Context,
    member: Annotated[
        str | None,
        typer.Option(help="Code of your member state or partner, such as th."),
    ] = None,
    team: Annotated[str | None, typer.Option(help="Your team's name.")] = None,
    role: Annotated[
        str | None, typer.Option(help="member, or coordinator for a regional CERT.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help="asean-2025, amcc7-2022, or a path.")
    ] = None,
    realm: Annotated[
        str | None, typer.Option(help="live, or exercise:NAME.", show_default="live")
    ] = None,
    coordinator: Annotated[
        list[str] | None,
        typer.Option(
            metavar="<str>",
            help="Code of a member whose node coordinates; may be repeated.",
        ),
    ] = None,
    url: Annotated[
        str, typer.Option(help="The address by which others reach this node.")
    ] = "",
    store: Annotated[
        str, typer.Option(help="URL of a database; SQLite in the folder without it.")
    ] = "",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0)] = 0,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="Restore the node that this export holds."),
    ] = None,
    archive: Annotated[
        str,
        typer.Option(
            help="With --from: another place for events, a folder or s3://BUCKET/PATH."
        ),
    ] = "",
    password: Annotated[
        bool,
        typer.Option(
            "--password",
            help="Make a password for admin at once, as --json does; else `serve` "
            "tells a link.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a node in a folder, or restore one from an export.

    Asks for what no flag says, when a person is there to answer.
    """
    ctx.obj.safe = "There is no node yet; run the same command again."
    if source is not None:
        _restore(ctx, source, realm, store, archive, as_json)
        return
    from serantau.desk.broken_off import refuse_broken_off
    from serantau.desk.found import Charter, found, refuse_second
    from serantau.wire.profile import load_profile

    home = ctx.obj.home
    refuse_second(home)
    refuse_broken_off(home)
    chosen = asked(profile, "Profile of the region", "--profile", "asean-2025")
    known = load_profile(chosen)
    if member is None:
        codes = ", ".join(each.code for each in known.members)
        note(f"{known.title}. {known.disclaimer} Members: {codes}.")
    code = asked(member, "Code of your member state or partner", "--member")
    row = known.member(code)
    listed = row.teams[0].name if row and row.teams else ""
    charter = Charter(
        member=code,
        team=asked(team, "Name of your team", "--team", listed),
        role=asked(role, "Role: member or coordinator", "--role", "member"),
        profile=chosen,
        realm=realm or "live",
        url=url,
        store=store,
        host=host,
        port=port,
        coordinators=tuple(coordinator or ()),
    )
    made = found(home, charter, password=password or as_json)
    if as_json:
        document(
            {
                "home": str(made.home),
                "member": charter.member,
                "team": charter.team,
                "identity": made.identity,
                "user": "admin",
                "password": made.password,
                "parties": made.parties,
            }
        )
        return
    command = f"serantau --home {home}"
    say(f"The node of {charter.team} ({charter.member}) is ready in {home}.", "bold")
    say()
    if made.password:
        say("  user      admin")
        say(f"  password  {made.password}")
        say("            shown this once; `user password admin` sets another")
        say()
    say(f"{made.parties} parties of {known.title} are known to it. Nothing is shared.")
    run = "run it: answer, follow, take in and tell"
    if not made.password:
        run += "; it tells a link to sign in"
    say("Next:")
    for line, meaning in (
        ("load FILE...", "take in what you have (STIX 2.1, MISP)"),
        ("share preview", "see what each party would get, and why not the rest"),
        ("serve", run),
        ("peer add NAME URL", "follow a neighbour"),
        ("doctor", "check that all is well"),
    ):
        say(f"  {command} {line:<18} {meaning}")


def _restore(
    ctx: typer.Context,
    source: Path,
    realm: str | None,
    store: str,
    archive: str,
    as_json: bool,
) -> None:
    from serantau.apps.cli.export import tell_events
    from serantau.apps.cli.progress import counted
    from serantau.desk import carry
    from serantau.errors import BadInput
    from serantau.rules.realm import refusal

    ctx.obj.safe = "There is no node yet; run the same command again, and it goes on."
    held = str(carry.read_manifest(source).get("realm", ""))
    if why := refusal(f"The export in {source}", held, realm or held):
        raise BadInput(
            why,
            mend="An export makes the node that it was of, with its keys. An exercise "
            "is made with `init --realm` alone.",
        )
    home = ctx.obj.home
    with counted("Restoring", carry.count_exported(source)) as step:
        carried = carry.restore(
            source, home, store=store, archive=archive, progress=step
        )
    if as_json:
        document({"home": str(home), **carried.said})
        return
    say(
        f"The node is restored in {home}: {carried.total:,} rows, "
        f"{carried.rows.get('object', 0):,} of them object versions, "
        f"and {carried.files:,} files."
    )
    tell_events(carried.events)
    say("Stop the node it was exported from before this one runs: they are the same.")
