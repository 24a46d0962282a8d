"""`serantau load`: take data in."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serantau.apps.cli.door import opened
from serantau.apps.cli.output import Column, Json, clean, console, document, say, table
from serantau.apps.cli.progress import Step, counted

if TYPE_CHECKING:
    from serantau.desk.gather import Sheet
    from serantau.desk.intake import Report
    from serantau.node import Node

# Not an error of anybody: what was good is in, the rest waits in quarantine.
SOME_REFUSED = 9
_SHOWN = 10


def load(
    ctx: typer.Context,
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="STIX bundles, objects, NDJSON or MISP events, also .gz; folders of "
            "them; the folder or address (https://...) of a MISP feed; - is standard "
            "input.",
        ),
    ],
    handle_as: Annotated[
        str,
        typer.Option(
            metavar="TLP",
            help="How objects without a TLP marking are handled, such as TLP:CLEAR. "
            "The objects themselves stay as they are.",
        ),
    ] = "",
    into: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLLECTION", help="Also put them into this box; may be repeated."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Take in STIX and MISP data from files, folders or a pipe.

    What is refused goes to quarantine with the reason; the rest is taken in. Loading
    the same again changes nothing. Ends with 9 when something was refused or left
    alone.
    """
    ctx.obj.safe = (
        "What was taken in so far is kept. Load the same again to go on: "
        "what is here already is only counted."
    )
    from serantau.desk.gather import Gathering
    from serantau.desk.intake import Intake, Report

    with opened(ctx) as node:
        boxes = _boxes(node, into or [])
        gathering = Gathering(node)
        # A wrong label is told before anything is read.
        Intake(node).handling("file", handle_as)
        inputs = gathering.inputs(files)
        sheets: list[Sheet] = []
        sums = Report()
        with counted("Loading", sum(one.size for one in inputs) or None) as step:
            before = 0
            for place, one in enumerate(inputs, 1):
                said = f"file {place} of {len(inputs)}"
                tell = partial(_tell, step, before, said, sums.total)
                sheet = gathering.take(
                    one, handle_as=handle_as, boxes=boxes, progress=tell
                )
                sheets.append(sheet)
                sums.add(sheet.report)
                before += one.size
                step(before, f"{said}, {sums.total:,} objects")
    if as_json:
        document(_document(sheets, sums))
    else:
        _print(sheets, sums)
    left = any(sheet.unread or (sheet.skipped and sheet.named) for sheet in sheets)
    if sums.refused or left:
        raise typer.Exit(SOME_REFUSED)


def _tell(
    step: Step, before: int, said: str, counted: int, done: int, report: Report
) -> None:
    step(before + done, f"{said}, {counted + report.total:,} objects")


def _boxes(node: Node, names: list[str]) -> list[int]:
    from serantau.errors import BadRequest

    numbers = []
    with node.db.read() as tx:
        for name in names:
            collection = node.registry.collection(tx, name)
            if not collection.box:
                raise BadRequest(
                    f"Collection {name!r} is a saved query; nothing is put into it.",
                    mend="`serantau collection list` shows which are boxes.",
                )
            numbers.append(collection.number)
    return numbers


def _document(sheets: list[Sheet], sums: Report) -> dict[str, Any]:
    return {
        "new": sums.new,
        "held": sums.held,
        "refused": sums.refused,
        "skipped": sum(1 for sheet in sheets if sheet.skipped),
        "files": [
            {
                "file": sheet.origin,
                "kind": sheet.kind,
                "skipped": sheet.skipped,
                "events": sheet.events,
                "unchanged": sheet.unchanged,
                "unread": sheet.unread,
                "new": sheet.report.new,
                "held": sheet.report.held,
                "refused": sheet.report.refused,
                "reasons": dict(sheet.report.reasons),
                "faults": [
                    {
                        "where": fault.origin,
                        "id": fault.id,
                        "rule": fault.rule,
                        "place": fault.place,
                        "got": fault.got,
                        "expected": fault.expected,
                    }
                    for fault in sheet.report.faults
                ],
                "losses": sheet.report.losses,
            }
            for sheet in sheets
        ],
    }


def _print(sheets: list[Sheet], sums: Report) -> None:
    taken = [sheet for sheet in sheets if not sheet.skipped]
    rows: list[dict[str, Any]] = [
        {
            "file": sheet.origin,
            "kind": "MISP" if sheet.kind == "misp" else "STIX",
            "new": sheet.report.new,
            "held": sheet.report.held,
            "refused": sheet.report.refused,
            "reasons": _reasons(sheet.report.reasons),
        }
        for sheet in taken
    ]
    if len(rows) > 1:
        rows.append(
            {
                "file": f"{len(rows)} files",
                "kind": "",
                "new": sums.new,
                "held": sums.held,
                "refused": sums.refused,
                "reasons": _reasons(sums.reasons),
            }
        )
    columns = (
        Column("file", "File"),
        Column("kind", "Kind"),
        Column("new", "Admitted", right=True),
        Column("held", "Already had", right=True),
        Column("refused", "Refused", right=True),
        Column("reasons", "By rule"),
    )
    table(columns, rows, empty="Nothing was loaded.")
    _print_skipped([sheet for sheet in sheets if sheet.skipped])
    _print_feeds(sheets)
    _print_faults(sums)
    _print_losses(sums.losses)


def _reasons(reasons: Counter[str]) -> str:
    return ", ".join(f"{rule} {count}" for rule, count in reasons.most_common())


def _print_skipped(skipped: list[Sheet]) -> None:
    if not skipped:
        return
    say()
    by_reason = Counter(sheet.skipped for sheet in skipped)
    for reason, count in by_reason.most_common():
        names = [sheet.origin for sheet in skipped if sheet.skipped == reason]
        said = ", ".join(names[:3]) + (" ..." if count > 3 else "")
        many = "file" if count == 1 else "files"
        say(f"{count} {many} left alone ({reason}): {said}", "yellow")


def _print_feeds(sheets: list[Sheet]) -> None:
    for sheet in sheets:
        if sheet.unchanged:
            known = f"{sheet.unchanged:,} MISP events are as they were taken in before"
            say(f"{sheet.origin}: {known}.")
        if sheet.unread:
            say(f"{len(sheet.unread):,} MISP events could not be read:", "yellow")
        for line in sheet.unread[:_SHOWN]:
            say(f"  {line}")


def _print_faults(sums: Report) -> None:
    if not sums.refused:
        return
    from rich.text import Text

    say()
    say(f"Refused: {sums.refused:,}. They wait in quarantine.", "bold")
    for fault in sums.faults[:_SHOWN]:
        where = f"{fault.origin} at {fault.place}" if fault.place else fault.origin
        line = Text("  ")
        line.append(clean(f"{fault.id or 'no id'}  {where}\n"))
        line.append(f"    {fault.rule}: ", style="red")
        line.append(clean(f"got {fault.got}, expected {fault.expected}"))
        console().print(line)
    rest = sums.refused - min(_SHOWN, len(sums.faults))
    more = f" ({rest:,} more)" if rest else ""
    say(f"`serantau quarantine list` shows all{more}; `quarantine retry` tries again.")


def _print_losses(losses: list[str]) -> None:
    if not losses:
        return
    say()
    several = "part is" if len(losses) == 1 else "parts are"
    say(f"{len(losses):,} {several} not as in the MISP events; --json lists all:")
    for loss in losses[:5]:
        say(f"  {loss}")
