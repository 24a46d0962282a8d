"""`serantau case who`: whom to invite, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from serantau.apps.cli.door import opened
from serantau.apps.cli.output import Column, Json, answer, document, note, say, shorten

if TYPE_CHECKING:
    from serantau.desk.case_who import Suggestion, WhoMustKnow

_SHOWN = 4


def who(
    ctx: typer.Context,
    case: Annotated[
        str, typer.Argument(metavar="CASE", help="Its id, or how that begins.")
    ],
    invite: Annotated[
        list[str] | None,
        typer.Option(metavar="PARTY", help="Invite this one; repeated."),
    ] = None,
    events: Annotated[
        bool, typer.Option(help="Ask the events of the last 30 days, too.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Propose who must know of a case, with the reasons. Nobody is invited by itself.

    Beside each stands how much of the evidence the release policy lets it have.
    """
    from serantau.desk.audit import note_reading
    from serantau.desk.case_who import who as propose
    from serantau.desk.cases import Casework

    with opened(ctx) as node:
        found = propose(node, case, events=events)
        note_reading(node, "case who", case, count=len(found.read), objects=found.read)
        if invite:
            Casework(node).invite(case, invite)
    if as_json:
        document(_document(found, invite or []))
        return
    _print(found)
    if invite:
        say(f"In the case now: {', '.join(invite)}.")


def _document(found: WhoMustKnow, invited: list[str]) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "case": found.summary.id,
        "evidence": found.evidence,
        "evidence_not_here": list(found.gone),
        "proposed": [
            {
                "party": one.proposal.party,
                "in_case": one.proposal.inside or one.proposal.party in invited,
                "known": one.known,
                "identity_known": one.named,
                "reasons": [asdict(fact) for fact in one.proposal.facts],
                "evidence_released": one.sees,
                "evidence_withheld": dict(one.withheld),
            }
            for one in found.suggestions
        ],
    }


def _print(found: WhoMustKnow) -> None:
    for object_id in found.gone:
        note(f"{object_id} is evidence, and is not here.")
    rows = [
        {
            "party": one.proposal.party,
            "state": _state(one),
            "why": "\n".join(_why(one)),
            "evidence": _evidence(one, found.evidence),
        }
        for one in found.suggestions
    ]
    columns = (
        Column("party", "Party", style="bold"),
        Column("state", ""),
        Column("why", "Why"),
        Column("evidence", "Evidence it may have"),
    )
    answer(columns, rows, False, empty=_EMPTY)
    for one in found.suggestions:
        for object_id, verdict in one.withheld.items():
            note(f"{one.proposal.party} may not have {object_id}: {verdict}")


_EMPTY = (
    "Nobody follows from the evidence: `serantau case evidence CASE ID...` adds to it."
)


def _state(one: Suggestion) -> str:
    if one.proposal.inside:
        return "in the case"
    if not one.known:
        return "no party here"
    return "" if one.named else "identity not known"


def _evidence(one: Suggestion, all_of_it: int) -> str:
    return f"{one.sees} of {all_of_it}" if one.known else ""


def _why(one: Suggestion) -> list[str]:
    from serantau.rules.who import REASONS

    facts = one.proposal.facts
    said = [
        f"{REASONS[fact.reason]} {shorten(fact.what)}"
        + (f" ({fact.within})" if fact.within else "")
        for fact in facts[:_SHOWN]
    ]
    return [*said, f"and {len(facts) - _SHOWN} more"] if len(facts) > _SHOWN else said
