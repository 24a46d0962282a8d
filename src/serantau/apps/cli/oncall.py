"""`serantau oncall`: whom to call now."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from serantau.apps.cli.contacts import noted
from serantau.apps.cli.door import opened
from serantau.apps.cli.output import Column, Json, answer


def oncall(
    ctx: typer.Context,
    party: Annotated[str, typer.Argument(metavar="[PARTY]")] = "",
    at: Annotated[
        str, typer.Option(metavar="TIME", help="Then, as 2026-03-01T02:00:00Z.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Tell whom to call now: who has the watch, the time there, who stands in."""
    from serantau.desk.contacts import Contacts
    from serantau.desk.lane_ask import read_when

    with opened(ctx) as node:
        now = node.clock.now()
        instant = read_when(at, now) if at else now
        found = Contacts(node).on_call(party, instant)
        noted(node, "oncall", [one.held for one in found])
        days = node.config.contacts.stale_days
    rows = [
        {
            "party": one.held.card.party,
            "name": one.held.card.name,
            "role": one.held.card.title or ", ".join(one.held.card.duties),
            "desk": one.desk,
            "why": one.why,
            "local": f"{one.local:%a %Y-%m-%d %H:%M %Z}",
            "zone": one.held.card.zone,
            "languages": list(one.held.card.languages),
            "phones": list(one.held.card.phones),
            "mail": list(one.held.card.mail),
            "deputies": [
                f"{each.card.name} {' '.join(each.card.phones[:1])}".strip()
                for each in one.deputies
            ],
            "until": f"{_there(one.until, one.local):%a %H:%M}" if one.until else "",
            "stale": one.held.stale(now, days),
        }
        for one in found
    ]
    answer(
        (
            Column("party", "Party"),
            Column("name", "Who"),
            Column("role", "Role", spare=2),
            Column("local", "Time there"),
            Column("languages", "Languages"),
            Column("phones", "Phone"),
            Column("deputies", "Deputies"),
            Column("until", "Until", spare=1),
            Column("why", "By", spare=2),
            Column("mail", "Mail", spare=3),
            Column("stale", "Stale"),
        ),
        rows,
        as_json,
        empty="Nobody is on call by any card: see `serantau contacts list`.",
    )


def _there(at: int, local: Any) -> Any:
    from serantau.clock import moment

    return moment(at).astimezone(local.tzinfo)
