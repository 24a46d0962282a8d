"""`serantau share write`: what one party may have, as files."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serantau.apps.cli.door import opened
from serantau.apps.cli.output import Column, Json, document, note, say, table

if TYPE_CHECKING:
    from serantau.desk.handout import Handed, Handout, Loss
    from serantau.desk.share import Preview

_SHOWN = 10


class Form(StrEnum):
    """What is written."""

    STIX = "stix"
    MISP = "misp"
    MISP_FEED = "misp-feed"


def write(
    ctx: typer.Context,
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            help="The file, or the feed's folder; - is standard output.",
            allow_dash=True,
        ),
    ],
    to: Annotated[str, typer.Option(metavar="PARTY", help="Who gets it.")],
    form: Annotated[
        Form,
        typer.Option(
            "--format",
            help="A STIX bundle, a file of MISP events, or the folder of a MISP feed.",
        ),
    ] = Form.STIX,
    collection: Annotated[
        str, typer.Option(metavar="NAME", help="What it is taken from.")
    ] = "released",
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Write what a party may have by machine into files, and log it as released.

    Shows first what that is, and asks. TLP:RED is never in it. A feed's folder is
    brought up to date: what the party may not have any more is taken out.
    """
    ctx.obj.safe = (
        "What was read for it is in the release log; the file that was there before "
        "is as it was. Write it again."
    )
    from serantau.desk.handout import Handout
    from serantau.desk.share import Share
    from serantau.errors import BadRequest

    out = str(path) == "-"
    if out and (as_json or form is Form.MISP_FEED):
        what = "A feed is a folder" if form is Form.MISP_FEED else "--json prints there"
        raise BadRequest(f"{what}: it cannot go to standard output.")
    with opened(ctx) as node:
        (preview,) = Share(node).preview([to])
        if not as_json:
            _tell(preview, collection)
        confirm(yes, to)
        handed = _write(Handout(node, person()), to, form, collection, path)
    if as_json:
        document(_document(preview, handed, form, str(path)))
    else:
        _print(handed, form, "standard output" if out else str(path))


def _write(
    handout: Handout, to: str, form: Form, collection: str, path: Path
) -> Handed:
    from serantau.desk.whole import whole

    if form is Form.MISP_FEED:
        return handout.misp_feed(to, path, collection)
    write_ = handout.bundle if form is Form.STIX else handout.misp_file
    if str(path) == "-":
        handed = write_(to, sys.stdout.buffer, collection)
        sys.stdout.buffer.flush()
        return handed
    with whole(path) as stream:
        return write_(to, stream, collection)


def person() -> str:
    """Give the account's name: not that of the environment, which anybody sets."""
    from serantau.desk.audit import account

    return account().who


def confirm(yes: bool, to: str, question: str = "Release this to {}?") -> None:
    """Ask whether it may go; without anybody to ask it may not."""
    if yes:
        return
    if not sys.stdin.isatty():
        from serantau.errors import BadRequest

        raise BadRequest(
            "Nobody is there to be asked, so nothing was done.",
            mend="--yes says that it may be done.",
        )
    typer.confirm(question.format(to), abort=True, err=True)


def _tell(preview: Preview, collection: str) -> None:
    """Say on standard error what would go and what not, by rule."""
    party = preview.party
    note(
        f"To {party.name} ({party.kind}): {preview.released:,} objects may go by "
        f"machine, {preview.withheld:,} stay."
    )
    counts: dict[tuple[bool, str], int] = {}
    for row in preview.rows:
        key = (row.released, row.rule)
        counts[key] = counts.get(key, 0) + row.count
    for (released, rule), count in counts.items():
        note(f"  {'released' if released else 'withheld'} {count:,} by {rule}")
    if collection != "released":
        note(f"Of these goes what is in the collection {collection!r}.")


def _document(
    preview: Preview, handed: Handed, form: Form, path: str
) -> dict[str, Any]:
    from dataclasses import asdict

    rows = [
        {"released": row.released, "rule": row.rule, "count": row.count}
        for row in preview.rows
    ]
    told = asdict(handed)
    return {"format": str(form), "path": path, "preview": rows, **told}


def _print(handed: Handed, form: Form, place: str) -> None:
    tell = note if place == "standard output" else say
    what = f"{handed.objects:,} objects"
    if form is not Form.STIX:
        what += f" in {handed.events:,} MISP events"
    if handed.unchanged:
        what += f", {handed.unchanged:,} of them unchanged"
    tell(f"{what} for {handed.party}: {place}. The release log has them.")
    if not handed.losses:
        return
    tell(f"{len(handed.losses):,} objects are not in MISP as they are here:")
    if tell is note:
        for loss in handed.losses[:_SHOWN]:
            note(f"  {loss.id} {loss.outcome}: {loss.reason}")
    else:
        _losses(handed.losses[:_SHOWN])
    if len(handed.losses) > _SHOWN:
        tell("--json lists all.")


def _losses(losses: list[Loss]) -> None:
    columns = (
        Column("id", "Object"),
        Column("what", "What"),
        Column("outcome", ""),
        Column("reason", "Why"),
    )
    rows = [
        {
            "id": loss.id,
            "what": loss.what,
            "outcome": loss.outcome,
            "reason": loss.reason,
        }
        for loss in losses
    ]
    table(columns, rows)
