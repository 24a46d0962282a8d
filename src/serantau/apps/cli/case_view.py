"""How `serantau case` shows cases: a board, one case with its log, a comparison."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from serantau.apps.cli.case_due import clocks_of, duties_of, print_clocks
from serantau.apps.cli.output import (
    Column,
    answer,
    document,
    say,
    shorten,
    stamp,
    table,
    when,
)

if TYPE_CHECKING:
    from serantau.desk.case_verify import Verified
    from serantau.desk.cases import View
    from serantau.records.cases import Summary
    from serantau.rules.case import Line

_SHORT = 8
_EMPTY = "No cases: `serantau case open NAME PARTY...`"


def brief(entry: str) -> str:
    """Give the beginning of an entry's id that a person types."""
    return entry.partition("--")[2][:_SHORT]


def as_row(summary: Summary, names: Mapping[str, str]) -> dict[str, Any]:
    """Give a line of the board as JSON has it."""
    from dataclasses import asdict

    times = {
        key: stamp(at)
        for key in ("opened", "changed", "closed", "due")
        for at in (getattr(summary, key),)
    }
    whose = {
        key: names.get(who, who)
        for key, who in (
            ("owner", summary.owner),
            ("offered", summary.offered),
            ("due_of", summary.due_of),
        )
    }
    return {**asdict(summary), **times, **whose}


def print_board(
    found: Sequence[Summary], names: Mapping[str, str], as_json: bool, *, wide: bool
) -> None:
    """Print cases, a line each."""
    if as_json:
        document([as_row(one, names) for one in found])
        return
    rows = [
        {
            "id": brief(one.id),
            "name": shorten(one.name),
            "level": one.level,
            "severity": one.severity,
            "owner": names.get(one.owner, one.owner)
            + (f" -> {names.get(one.offered, one.offered)}" if one.offered else ""),
            "mine": one.mine,
            "changed": when(one.changed),
            "parties": one.parties,
            "silent": one.silent or None,
            "open": (one.tasks + one.asks) or None,
            "embargo": "" if one.embargo == "none" else one.embargo,
            "wrong": (one.flagged + one.waiting) or None,
            "closed": when(one.closed),
        }
        for one in found
    ]
    columns = [
        Column("id", "Case", style="cyan"),
        Column("name", "Name", style="bold"),
        Column("severity", "Severity"),
        Column("mine", "We"),
        Column("owner", "Owner"),
        Column("changed", "Last entry", spare=1),
        Column("closed", "Closed", spare=2),
    ]
    if wide:
        columns[4:4] = [
            Column("parties", "Parties", right=True, spare=3),
            Column("silent", "Silent", right=True, style="red"),
            Column("open", "To do", right=True),
            Column("embargo", "Embargo", spare=4),
            Column("wrong", "Flagged", right=True, style="yellow"),
        ]
    answer(tuple(columns), rows, False, empty=_EMPTY)


def print_case(view: View, as_json: bool) -> None:
    """Print all of a case."""
    if as_json:
        document(_as_document(view))
        return
    summary, state = view.summary, view.state
    say(f"{state.name}  ({summary.level})", style="bold")
    say(f"{summary.id}")
    owner = f"Opened by {view.name(state.opener)}, {when(summary.opened)}. "
    owner += f"{view.name(state.owner)} owns it"
    if state.offered:
        owner += f"; offered to {view.name(state.offered)}"
    say(owner)
    about = [state.severity, state.incident_class, state.national_class]
    if any(about):
        say(", ".join(filter(None, about)))
    if state.closed:
        say(f"Closed {when(summary.closed)}", style="green")
    if state.embargo.state != "none":
        until = f" until {state.embargo.until}" if state.embargo.until else ""
        say(f"Embargo: {state.embargo.state}{until}", style="magenta")
    if state.description:
        say(state.description)
    say()
    _print_parts(view)
    print_clocks(view)
    _print_tasks(view)
    _print_lines(view)
    _print_private(view)


def _print_parts(view: View) -> None:
    rows = [
        {
            "party": view.name(part.party),
            "state": "no answer" if part.state == "no-answer" else part.state,
            "invited": when(part.invited),
            "answered": when(part.answered),
            "how": "by mail" if part.mail else ("" if part.name else "not known here"),
        }
        for part in view.parts
    ]
    columns = (
        Column("party", "Party", style="bold"),
        Column("state", "State"),
        Column("invited", "Invited"),
        Column("answered", "First answer"),
        Column("how", ""),
    )
    table(columns, rows)
    if view.summary.silent:
        silent = ", ".join(view.name(one) for one in view.state.silent)
        say(f"No answer yet from {silent}.", style="red")
    say()


def _print_tasks(view: View) -> None:
    rows = [
        {
            "id": brief(one),
            "name": task.name,
            "party": view.name(task.party) if task.party else "",
            "due": task.due,
            "state": task.state,
        }
        for one, task in view.state.tasks.items()
    ]
    if rows:
        columns = (
            Column("id", "Task", style="cyan"),
            Column("name", "What"),
            Column("party", "For"),
            Column("due", "Due"),
            Column("state", "State"),
        )
        table(columns, rows)
        say()


def _print_lines(view: View) -> None:
    rows = [
        {
            "id": brief(line.entry.id),
            "at": line.entry.created,
            "by": _by(view, line),
            "kind": line.entry.kind,
            "what": _what(view, line),
            "wrong": ", ".join(line.flags),
        }
        for line in view.lines
    ]
    columns = (
        Column("id", "Entry", style="cyan"),
        Column("at", "When", spare=1),
        Column("by", "By"),
        Column("kind", "Kind"),
        Column("what", "What"),
        Column("wrong", "Flagged", style="yellow"),
    )
    table(columns, rows)
    if view.waiting:
        lacking = ", ".join(brief(one) for one in view.missing)
        waiting = ", ".join(brief(one) for one in view.waiting)
        say(f"Waiting: {waiting}, for {lacking}, not here yet.", style="yellow")
    for row in view.doubts:
        say(
            f"{brief(row.id)} of {view.name(row.author)} does not count: its signature "
            f"is {row.standing}.",
            style="yellow",
        )


def _by(view: View, line: Line) -> str:
    entry = line.entry
    author = view.name(entry.created_by_ref)
    if not entry.for_ref:
        return author
    signature = entry.mail_signature or "none"
    return f"{view.name(entry.for_ref)} by mail to {author}, signature {signature}"


def _what(view: View, line: Line) -> str:
    """Say an entry in a few words, as it is to be read now."""
    entry = line.entry
    read = view.state.corrections.get(entry.id, {})
    return "; ".join(filter(None, _words(view, line, read)))


def _words(view: View, line: Line, read: Mapping[str, str]) -> Iterator[str]:
    entry = line.entry
    yield read.get("name", entry.name)
    yield entry.stance or entry.step or entry.state
    if entry.about_ref:
        yield f"of {brief(entry.about_ref)}"
    for party in filter(None, (entry.party_ref, *entry.party_refs)):
        yield view.name(party)
    yield entry.clock.partition(":")[0]
    yield entry.channel
    yield entry.severity_level
    yield from entry.object_refs
    yield read.get("description", entry.description)
    if read:
        yield f"(corrected by {brief(read['by'])})"


def _print_private(view: View) -> None:
    if not (view.notes or view.tasks or view.files):
        return
    say()
    say("Only here, and never sent:", style="bold")
    for note in view.notes:
        say(f"  {when(note.at)} {note.actor}: {note.text}")
    for task in view.tasks:
        due = f", due {when(task.due)}" if task.due else ""
        done = f", done {when(task.done)}" if task.done else ""
        say(f"  task {task.n}: {task.name}{due}{done}")
    for file in view.files:
        say(f"  file {file.n}: {file.name}, {file.size:,} bytes")


def _as_document(view: View) -> dict[str, Any]:
    from dataclasses import asdict

    import msgspec

    def read(line: Line) -> dict[str, Any]:
        said = {k: v for k, v in msgspec.structs.asdict(line.entry).items() if v}
        return {**said, "flags": list(line.flags)}

    return {
        **as_row(view.summary, view.names),
        "state": msgspec.to_builtins(view.state),
        "parties_named": {one.party: view.name(one.party) for one in view.parts},
        "clocks": clocks_of(view),
        "duties": duties_of(view),
        "log": [read(line) for line in view.lines],
        "waiting_entries": view.waiting,
        "missing_entries": view.missing,
        "doubted_entries": [asdict(row) for row in view.doubts],
        "private": {
            "notes": [{**asdict(one), "at": stamp(one.at)} for one in view.notes],
            "tasks": [
                {**asdict(one), **{key: stamp(getattr(one, key)) for key in _TIMES}}
                for one in view.tasks
            ],
            "files": [{**asdict(one), "at": stamp(one.at)} for one in view.files],
        },
    }


_TIMES = ("at", "due", "done")


def print_verified(found: Verified, as_json: bool) -> None:
    """Print a comparison."""
    from dataclasses import asdict

    import msgspec

    if as_json:
        document(
            {
                "here": msgspec.to_builtins(found.here),
                "board": found.board,
                "compared": [asdict(one) for one in found.compared],
            }
        )
        return
    say(f"Here: {found.here.entries:,} entries, state {found.here.hash}")
    if not found.board:
        say("The board does not say what the entries say.", style="red")
    rows = [
        {
            "party": one.party,
            "equal": {True: "the same", False: "differs", None: "not compared"}[
                one.equal
            ],
            "entries": one.entries or None,
            "why": one.fault
            or ", ".join(
                f"of {who} {there:,} there, {here:,} here"
                for who, there, here in one.differs
            ),
        }
        for one in found.compared
    ]
    columns = (
        Column("party", "Party", style="bold"),
        Column("equal", "State there"),
        Column("entries", "Entries", right=True),
        Column("why", "Why"),
    )
    answer(columns, rows, False, empty="Nobody else is in the case.")
