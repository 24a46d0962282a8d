"""`serantau asset`: what parties answer for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serantau.apps.cli.door import opened
from serantau.apps.cli.output import (
    Column,
    Json,
    answer,
    note,
    say,
    several,
    stamp,
    when,
)

if TYPE_CHECKING:
    from serantau.rules.asset import Asset

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)

Party = Annotated[str, typer.Argument(metavar="PARTY", help="Who answers for it.")]
Values = Annotated[
    list[str],
    typer.Argument(
        metavar="VALUE...",
        help="Prefix, address, AS64500, domain, .th (ccTLD), or country as TH.",
    ),
]
Kind = Annotated[
    str | None,
    typer.Option(help="prefix, domain, asn, cctld or country; by its look without it."),
]
_FIELDS = ("party", "value", "kind", "since", "until", "source", "member")


@app.callback()
def asset() -> None:
    """See and change what parties answer for. The narrowest claim on an event wins."""


@app.command("list")
def list_(
    ctx: typer.Context,
    party: Annotated[str | None, typer.Argument(metavar="PARTY")] = None,
    as_json: Json = False,
) -> None:
    """List the assets of one party, or of all."""
    from serantau.records.assets import Assets

    with opened(ctx) as node, node.db.read() as tx:
        if party:
            node.registry.party(tx, party)
        found = Assets().of(tx, party) if party else Assets().all(tx)
    shown = stamp if as_json else when
    rows = [
        {
            "party": each.party,
            "member": each.member,
            "kind": str(each.kind),
            "value": each.value,
            "since": shown(each.since),
            "until": shown(each.until),
            "source": each.source,
        }
        for each in found
    ]
    columns = (
        Column("party", "Party"),
        Column("member", "Member"),
        Column("kind", "Kind"),
        Column("value", "Asset"),
        Column("since", "Since"),
        Column("until", "Until"),
        Column("source", "Source"),
    )
    answer(
        columns, rows, as_json, empty="No assets: `serantau asset add PARTY VALUE...`"
    )


@app.command()
def add(
    ctx: typer.Context,
    party: Party,
    values: Values,
    kind: Kind = None,
    since: Annotated[
        str | None, typer.Option(metavar="DATE", help="It holds from then on (UTC).")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="DATE", help="It holds until then (UTC).")
    ] = None,
    source: Annotated[str, typer.Option(help="Who says so.")] = "",
    member: Annotated[
        str, typer.Option(help="The state it belongs to; the party's without it.")
    ] = "",
) -> None:
    """Say that a party answers for something. One that is there already is changed."""
    from serantau.records.assets import Assets

    made = [
        _asset(
            {
                "party": party,
                "value": value,
                "kind": kind or "",
                "since": since or "",
                "until": until or "",
                "source": source,
                "member": member,
            }
        )
        for value in values
    ]
    with opened(ctx) as node, node.db.write() as tx:
        new = Assets().add_many(tx, made)
    say(f"{party}: {new} new, {len(made) - new} changed.")


@app.command()
def remove(ctx: typer.Context, party: Party, values: Values, kind: Kind = None) -> None:
    """Forget that a party answers for something. All or none of the values go."""
    from serantau.records.assets import Assets

    with opened(ctx) as node, node.db.write() as tx:
        for value in values:
            Assets().remove(tx, party, _kind(value, kind or ""), value)
    say(f"{party} answers for {len(values)} less.")


@app.command("import")
def import_(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV with a header.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what is wrong with it.")
    ] = False,
) -> None:
    """Take in assets from a CSV file, all of it or nothing.

    Its columns: party, value and, where wanted, kind, since, until, source, member.
    """
    import csv

    from serantau.errors import BadInput, SerantauError
    from serantau.records.assets import Assets

    made: list[Asset] = []
    faults: list[str] = []
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as fault:
        raise BadInput(
            f"{file} is no UTF-8 text: byte {fault.start:,} is none of a letter.",
            mend="Save it as CSV UTF-8.",
        ) from fault
    try:
        rows = csv.DictReader(text.splitlines(keepends=True))
        strange = set(rows.fieldnames or ()) - set(_FIELDS)
        if strange or not {"party", "value"} <= set(rows.fieldnames or ()):
            raise BadInput(
                f"{file} has the columns {', '.join(rows.fieldnames or ()) or 'none'}.",
                mend=f"Needed: party, value; may be: {', '.join(_FIELDS[2:])}.",
            )
        for row in rows:
            try:
                made.append(_asset({name: row.get(name) or "" for name in _FIELDS}))
            except SerantauError as fault:
                faults.append(f"line {rows.line_num}: {fault.message}")
    except csv.Error as fault:
        raise BadInput(f"{file} is no CSV: {fault}.") from fault
    for each in faults[:20]:
        note(each)
    if faults:
        raise BadInput(
            f"{file}: {several(len(faults), 'line')} cannot be read; nothing was taken."
        )
    with opened(ctx) as node:
        if dry_run:
            with node.db.read() as tx:
                known = set(node.registry.parties(tx))
            unknown = {each.party for each in made} - known
            if unknown:
                raise BadInput(f"No parties: {', '.join(sorted(unknown))}.")
            say(f"{len(made)} assets could be taken in.")
            return
        with node.db.write() as tx:
            new = Assets().add_many(tx, made)
    say(f"{new} new, {len(made) - new} changed.")


def _asset(said: dict[str, Any]) -> Asset:
    from serantau.errors import BadRequest
    from serantau.rules.asset import Asset, read_value

    kind = _kind(said["value"], said["kind"])
    try:
        value = read_value(kind, said["value"])
    except ValueError as fault:
        raise BadRequest(f"{fault}.") from fault
    return Asset(
        said["party"].strip(),
        said["member"].strip(),
        kind,
        value,
        _instant(said["since"]),
        _instant(said["until"]),
        said["source"].strip(),
    )


def _kind(value: str, named: str) -> Any:
    """Give the kind that is named, or that a value looks like."""
    import ipaddress

    from serantau.errors import BadRequest
    from serantau.rules.asset import Kind as Kinds

    said = value.strip()
    if named.strip():
        try:
            return Kinds(named.strip())
        except ValueError as fault:
            raise BadRequest(
                f"{named!r} is no kind of asset.", mend="One of: " + ", ".join(Kinds)
            ) from fault
    if "/" in said:
        return Kinds.PREFIX
    try:
        ipaddress.ip_address(said)
    except ValueError:
        pass
    else:
        return Kinds.PREFIX
    if said[:2].upper() == "AS" and said[2:].isdigit():
        return Kinds.ASN
    if said.startswith("."):
        return Kinds.CCTLD
    return Kinds.COUNTRY if len(said) == 2 and said.isupper() else Kinds.DOMAIN


def _instant(text: str) -> int | None:
    from serantau.clock import instant
    from serantau.errors import BadRequest

    said = text.strip()
    if not said:
        return None
    try:
        return instant(said if "T" in said else f"{said}T00:00:00Z")
    except ValueError as fault:
        raise BadRequest(f"{text!r} is no date such as 2026-01-31.") from fault
