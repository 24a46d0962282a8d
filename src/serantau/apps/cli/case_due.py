"""How `serantau case show` tells what is due: clocks, and duties to report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from serantau.apps.cli.output import Column, say, shorten, stamp, table, when

if TYPE_CHECKING:
    from serantau.desk.cases import View
    from serantau.records.case_rounds import StepRow
    from serantau.rules.case_clock import Due

_SECOND = 1_000_000


def clocks_of(view: View) -> list[dict[str, Any]]:
    """Give the clocks as JSON has them."""
    return [
        {
            "party": view.name(one.party),
            "clock": one.clock,
            "what": one.what,
            "since": stamp(one.since),
            "due": stamp(one.at),
            "local": _local(view, one.party, one.at),
            "steps": _steps(view, one),
            "step": _step(view, one),
        }
        for one in view.clocks.due
    ]


def duties_of(view: View) -> list[dict[str, Any]]:
    """Give the duties to report as JSON has them."""
    return [
        {
            "step": one.row.step,
            "title": one.row.title,
            "within": one.row.within,
            "due": stamp(one.at),
            "caution": one.row.caution,
            "source": one.row.source,
        }
        for one in view.duties
    ]


def print_clocks(view: View) -> None:
    """Print what is due, in UTC and as it is there, and what this state must report."""
    if view.clocks.due:
        rows = [
            {
                "party": view.name(one.party),
                "clock": one.clock.partition(":")[0],
                "what": shorten(one.what),
                "due": when(one.at),
                "local": _local(view, one.party, one.at),
                "left": _left(one.at - view.now),
                "steps": _steps(view, one) or None,
                "how": _how(view, one),
            }
            for one in view.clocks.due
        ]
        columns = (
            Column("party", "Party", style="bold"),
            Column("clock", "Clock"),
            Column("what", "What"),
            Column("due", "Due"),
            Column("local", "There", spare=1),
            Column("left", "Left"),
            Column("steps", "Steps", right=True),
            Column("how", "", style="yellow"),
        )
        table(columns, rows, title="Due")
        say()
    if view.duties:
        _print_duties(view)


def _print_duties(view: View) -> None:
    rows = [
        {
            "title": one.row.title,
            "within": one.row.within,
            "due": when(one.at),
            "caution": one.row.caution,
        }
        for one in view.duties
    ]
    columns = (
        Column("title", "Report", style="bold"),
        Column("within", "Within"),
        Column("due", "Counted from the invitation"),
        Column("caution", ""),
    )
    table(columns, rows, title="What the profile lists for this state")
    say()


def _steps(view: View, one: Due) -> int:
    taken = view.clocks.taken.get((one.party, one.clock))
    return taken.count if taken else 0


def _row(view: View, one: Due) -> StepRow | None:
    which = (one.party, one.clock, one.since)
    return next(
        (row for row in view.steps if (row.party, row.clock, row.since) == which), None
    )


def _how(view: View, one: Due) -> str:
    """Say why a step could not be taken, or that it is being taken."""
    row = _row(view, one)
    if row is None or row.state == "taken":
        return row.said if row else ""
    return row.said or f"{row.channel}: under way"


def _step(view: View, one: Due) -> dict[str, Any] | None:
    """Give how the step that this node takes stands, as JSON has it."""
    row = _row(view, one)
    if row is None:
        return None
    return {
        "channel": row.channel,
        "way": row.way,
        "card": row.card,
        "state": row.state,
        "tried": stamp(row.tried),
        "again": stamp(row.tried + row.wait) if row.state == "waiting" else None,
        "said": row.said,
    }


def _local(view: View, party: str, at: int) -> str:
    from zoneinfo import ZoneInfo

    from serantau.clock import moment

    zone = view.zones.get(party, "")
    if not zone:
        return ""
    return moment(at).astimezone(ZoneInfo(zone)).strftime("%a %H:%M %Z")


def _left(micros: int) -> str:
    seconds = abs(micros) // _SECOND
    hours, minutes = seconds // 3600, seconds // 60 % 60
    said = (
        f"{hours // 24} d {hours % 24} h" if hours >= 48 else f"{hours} h {minutes} min"
    )
    return f"{said} over" if micros < 0 else said
