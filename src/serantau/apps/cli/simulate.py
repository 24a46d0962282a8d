"""`serantau share simulate`: what a change of policy would open and close."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serantau.apps.cli.door import opened, said_to
from serantau.apps.cli.output import Column, Json, brief, document, say, table

if TYPE_CHECKING:
    from serantau.desk.simulate import Diff, Effect, Simulation, Turn
    from serantau.desk.supposing import MarkingChange, Supposed

_UNSEEN = "Nobody is there to be asked, so nothing was changed."


def simulate(
    ctx: typer.Context,
    query: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="QUERY...",
            help="Objects to be marked anew: ids, or what `search` finds for this.",
        ),
    ] = None,
    tlp: Annotated[
        str, typer.Option(metavar="LEVEL", help="Mark them with this TLP level.")
    ] = "",
    meant_for: Annotated[
        list[str] | None,
        typer.Option(
            "--for", metavar="PARTY", help="Mean them for it; may be repeated."
        ),
    ] = None,
    for_circle: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Mean them for a circle; may be repeated."),
    ] = None,
    everyone_but: Annotated[
        list[str] | None,
        typer.Option(metavar="PARTY", help="Leave it out; may be repeated."),
    ] = None,
    no_audience: Annotated[
        bool, typer.Option("--no-audience", help="Take away whom they are meant for.")
    ] = False,
    party: Annotated[
        str, typer.Option(metavar="NAME", help="Change this party, as follows.")
    ] = "",
    kind: Annotated[
        str | None, typer.Option(help="member, coordinator, partner, operator, public.")
    ] = None,
    client_of: Annotated[
        str | None, typer.Option(metavar="PARTY", help="Whose client it is.")
    ] = None,
    need_to_know: Annotated[
        bool | None,
        typer.Option(
            "--need-to-know/--no-need-to-know", help="Whether TLP:AMBER may reach it."
        ),
    ] = None,
    ceiling: Annotated[
        str | None, typer.Option(metavar="TLP", help="At most this; or none.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="DATE", help="Its access ends then; or none.")
    ] = None,
    block: Annotated[
        bool | None, typer.Option("--block/--unblock", help="It gets nothing at all.")
    ] = None,
    circle: Annotated[
        str, typer.Option(metavar="NAME", help="Change who is in it, by --member.")
    ] = "",
    member: Annotated[
        list[str] | None,
        typer.Option(metavar="PARTY", help="All who are in it; repeated."),
    ] = None,
    granular: Annotated[
        str | None, typer.Option(metavar="WORD", help="policy.granular as it would be.")
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND=TLP", help="policy.ceilings as it would be; may be repeated."
        ),
    ] = None,
    file: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Read the change from TOML.")
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Do it, after it was shown.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing.")] = False,
    seen: Annotated[
        str,
        typer.Option(
            metavar="DIGEST", help="Do it only if this is still what would happen."
        ),
    ] = "",
    as_json: Json = False,
) -> None:
    """Work out who would newly get what, and who no more, if something changed.

    Nothing is changed without --apply, and then exactly what was shown.
    """
    from serantau.desk.audit import note_reading
    from serantau.desk.simulate import Simulation
    from serantau.desk.supposing import (
        CircleChange,
        MarkingChange,
        PartyChange,
        PolicyChange,
        Supposed,
    )
    from serantau.errors import BadRequest

    changed = PartyChange(
        kind=kind, client_of=client_of, need_to_know=need_to_know, blocked=block,
        ceiling=ceiling, until=until,
    )  # fmt: skip
    marking = _marking(
        query or [],
        MarkingChange(
            tlp=tlp,
            meant_for=tuple(meant_for or ()),
            circles=tuple(for_circle or ()),
            everyone_but=tuple(everyone_but or ()),
            no_audience=no_audience,
        ),
    )
    if (changed != PartyChange()) != bool(party):
        raise BadRequest("--party NAME goes with what would change of it.")
    if bool(member) and not circle:
        raise BadRequest("--member goes with --circle NAME.")
    policy = None
    if granular is not None or limit:
        policy = PolicyChange(granular=granular, ceilings=_limits(limit or []))
    supposed = Supposed(
        parties={party: changed} if party else {},
        circles={circle: CircleChange(tuple(member or ()))} if circle else {},
        policy=policy,
        marking=marking,
    )
    if file is not None:
        if supposed != Supposed():
            raise BadRequest("The change stands in --file, or in flags, not in both.")
        supposed = _read(file)
    with opened(ctx) as node:
        simulation = Simulation(node)
        if apply:
            diff = act(simulation, supposed, yes=yes, seen=seen, quiet=as_json)
        else:
            diff = simulation.diff(supposed)
            note_reading(node, "share simulate", said_to(ctx))
    if as_json:
        document(_document(diff, applied=apply))
    elif apply:
        say("It is done.")
    else:
        show(diff)
        say("Nothing was changed. --apply does it.")


def act(
    simulation: Simulation,
    supposed: Supposed,
    *,
    yes: bool,
    seen: str = "",
    quiet: bool = False,
) -> Diff:
    """Show what a change would do, ask, and do exactly that.

    What opens and closes nothing is done without asking.

    Raises:
        BadRequest: nobody is there to be asked.
        Moved: what would happen is not what was shown any more.
    """
    from serantau.desk.simulate import Moved
    from serantau.errors import BadRequest

    diff = simulation.diff(supposed)
    if not quiet:
        show(diff)
    if seen and seen != diff.digest:
        raise Moved(diff)
    if diff.effects and not yes and not seen:
        if not sys.stdin.isatty():
            raise BadRequest(_UNSEEN, mend="--yes says that it may be done.")
        typer.confirm("Do this?", abort=True, err=True)
    try:
        return simulation.apply(supposed, diff.digest)
    except Moved as moved:
        if not quiet:
            say("By now it would be this:")
            show(moved.diff)
        raise


def _marking(query: list[str], said: MarkingChange) -> MarkingChange | None:
    from msgspec.structs import replace

    from serantau.desk.supposing import MarkingChange

    if not query and said == MarkingChange():
        return None
    if all("--" in word for word in query):
        return replace(said, objects=tuple(query))
    return replace(said, query=" ".join(query))


def _limits(texts: list[str]) -> dict[str, str]:
    from serantau.errors import BadRequest

    found = {}
    for text in texts:
        kind, sign, level = text.partition("=")
        if not sign:
            raise BadRequest(f"--limit: got {text!r}, expected such as operator=CLEAR.")
        found[kind] = level
    return found


def _read(file: Path) -> Supposed:
    from serantau.desk.supposing import read_supposed
    from serantau.errors import BadRequest

    try:
        return read_supposed(file.read_text(encoding="utf-8"), str(file))
    except (OSError, UnicodeDecodeError) as fault:
        raise BadRequest(f"{file} cannot be read: {fault}.") from fault


def _document(diff: Diff, *, applied: bool) -> dict[str, Any]:
    return {
        "applied": applied,
        "digest": diff.digest,
        "remarks": diff.remarks,
        "parties": [
            {
                "party": each.party,
                "kind": each.kind,
                "released": each.count(released=True),
                "withheld": each.count(released=False),
                "rows": [
                    {
                        "released": turn.released,
                        "rule": turn.after.rule,
                        "got": turn.after.got,
                        "expected": turn.after.expected,
                        "rule_before": turn.before.rule,
                        "marking": turn.marking,
                        "marking_before": turn.was or turn.marking,
                        "count": turn.objects,
                        "older_versions": turn.older,
                        "samples": turn.samples,
                    }
                    for turn in each.turns
                ],
            }
            for each in diff.effects
        ],
    }


def show(diff: Diff) -> None:
    """Print who would see what: a row for all parties for whom it is the same."""
    alike: dict[tuple[Any, ...], list[tuple[Effect, Turn]]] = {}
    for effect in diff.effects:
        for turn in effect.turns:
            key = (turn.released, turn.marking, turn.was, *turn.samples)
            key += (turn.before.rule, turn.after.rule)
            alike.setdefault(key, []).append((effect, turn))
    rows = [
        {
            "what": "newly released" if turn.released else "no longer released",
            "party": ", ".join(effect.party for effect, _ in several),
            "count": turn.objects,
            "older": turn.older or None,
            "marking": brief(turn.marking),
            "was": brief(turn.was),
            "rule": f"{turn.before.rule} → {turn.after.rule}",
            "samples": "\n".join(turn.samples),
        }
        for several in alike.values()
        for turn in [several[0][1]]
    ]
    rows.sort(key=lambda row: row["what"] != "newly released")
    table(
        (
            Column("what", ""),
            Column("party", "Party"),
            Column("count", "Objects", right=True),
            Column("older", "Older versions", right=True, spare=1),
            Column("marking", "Marked"),
            Column("was", "Marked before", spare=2),
            Column("rule", "Rule"),
            Column("samples", "Such as", spare=3),
        ),
        rows,
        empty="Nobody would see more or less than now.",
    )
    for effect in diff.effects:
        more, less = effect.count(released=True), effect.count(released=False)
        say(f"{effect.party}: {more:,} objects more, {less:,} less.")
    for remark in diff.remarks:
        say(remark)
