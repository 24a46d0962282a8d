"""`serantau notice set`, `mute` and the like: how owners are told."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from serantau.apps.cli.door import opened
from serantau.apps.cli.output import Column, Json, answer, say, stamp, when

Number = Annotated[int, typer.Argument(metavar="NUMBER", help="As `mutes` shows it.")]
Group = Annotated[str, typer.Option("--class", metavar="CLASS", help="An RSIT class.")]


def set_(
    ctx: typer.Context,
    party: Annotated[
        str | None, typer.Argument(metavar="PARTY", help="All owners without it.")
    ] = None,
    group: Group = "",
    automatic: Annotated[
        bool | None,
        typer.Option("--automatic/--approve", help="Without a person; or with one."),
    ] = None,
    least_severity: Annotated[
        str | None, typer.Option(help="info, low, medium, high or critical.")
    ] = None,
    least_rows: Annotated[
        int | None, typer.Option(help="Fewer make no notice.")
    ] = None,
    compromised_days: Annotated[
        int | None, typer.Option(help="Quiet for so long after a compromise was told.")
    ] = None,
    other_days: Annotated[
        int | None, typer.Option(help="Quiet for so long after anything else.")
    ] = None,
) -> None:
    """Say how an owner is told, of everything or of one class."""
    from serantau.config import SEVERITIES
    from serantau.errors import BadRequest
    from serantau.records.notices import Notices
    from serantau.rules.notice import Setting, Terms
    from serantau.rules.taxonomy import CLASSES

    if group and group not in CLASSES:
        raise BadRequest(f"{group!r} is no RSIT class.", mend=", ".join(CLASSES))
    if least_severity is not None and least_severity not in SEVERITIES:
        raise BadRequest(f"{least_severity!r} is none of {', '.join(SEVERITIES)}.")
    severity = None if least_severity is None else SEVERITIES.index(least_severity)
    said = {
        "automatic": automatic,
        "least_severity": severity,
        "least_rows": least_rows,
        "compromised_days": compromised_days,
        "other_days": other_days,
    }
    given: dict[str, Any] = {k: v for k, v in said.items() if v is not None}
    try:
        Terms(**given)
    except ValueError as fault:
        raise BadRequest(f"{fault}.") from fault
    with opened(ctx) as node, node.db.write() as tx:
        Notices().put_setting(tx, Setting(party or "", group, **given))
    say(f"{party or 'Every owner'}{f', {group}' if group else ''}: set.")


def settings(ctx: typer.Context, as_json: Json = False) -> None:
    """List how owners are told, where it is not as the configuration says."""
    from serantau.config import SEVERITIES
    from serantau.records.notices import Notices

    with opened(ctx) as node, node.db.read() as tx:
        found = Notices().settings(tx)
    rows = [
        {
            "party": each.party,
            "class": each.group,
            "automatic": each.automatic,
            "least_severity": None
            if each.least_severity is None
            else SEVERITIES[each.least_severity],
            "least_rows": each.least_rows,
            "compromised_days": each.compromised_days,
            "other_days": each.other_days,
        }
        for each in found
    ]
    answer(
        (
            Column("party", "Party"),
            Column("class", "Class"),
            Column("automatic", "Automatic"),
            Column("least_severity", "Least severity"),
            Column("least_rows", "Least rows", right=True),
            Column("compromised_days", "Compromised days", right=True),
            Column("other_days", "Other days", right=True),
        ),
        rows,
        as_json,
        empty="All owners are told as the configuration says.",
    )


def mute(
    ctx: typer.Context,
    party: Annotated[str, typer.Argument(metavar="PARTY", help="The owner.")],
    network: Annotated[str, typer.Option(metavar="PREFIX")] = "",
    group: Group = "",
    feed: Annotated[str, typer.Option(help="A feed's name.")] = "",
    until: Annotated[
        str, typer.Option(metavar="DATE", help="Until then (UTC); for good without it.")
    ] = "",
    reason: Annotated[str, typer.Option(help="Who asked for it, and why.")] = "",
) -> None:
    """Tell an owner no more of a network, class or feed; all that is given must fit."""
    from serantau.clock import instant
    from serantau.errors import BadRequest
    from serantau.records.notices import Notices
    from serantau.rules.notice import Mute, read_mute

    try:
        ends = instant(f"{until}T00:00:00Z") if until else None
        read = read_mute(Mute(party, network, group, feed, ends, reason))
    except ValueError as fault:
        raise BadRequest(f"{fault}.") from fault
    with opened(ctx) as node, node.db.write() as tx:
        number = Notices().mute(tx, read)
    say(f"Mute {number}: {party} is not told of it.")


def unmute(ctx: typer.Context, number: Number) -> None:
    """Take a mute away."""
    from serantau.records.notices import Notices

    with opened(ctx) as node, node.db.write() as tx:
        Notices().unmute(tx, number)
    say(f"Mute {number} is lifted.")


def mutes(
    ctx: typer.Context,
    party: Annotated[str | None, typer.Argument(metavar="PARTY")] = None,
    as_json: Json = False,
) -> None:
    """List what owners do not want to be told."""
    from serantau.records.notices import Notices

    with opened(ctx) as node, node.db.read() as tx:
        found = Notices().mutes(tx, party or "")
    rows = [
        {
            "number": each.number,
            "party": each.party,
            "network": each.network,
            "class": each.group,
            "feed": each.feed,
            "until": stamp(each.until) if as_json else when(each.until),
            "reason": each.reason,
        }
        for each in found
    ]
    answer(
        (
            Column("number", "Number", right=True),
            Column("party", "Party"),
            Column("network", "Network"),
            Column("class", "Class"),
            Column("feed", "Feed"),
            Column("until", "Until"),
            Column("reason", "Reason"),
        ),
        rows,
        as_json,
        empty="Nobody muted anything.",
    )
