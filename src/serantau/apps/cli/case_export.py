"""`serantau case export`: a case for one party, as a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serantau.apps.cli.case_view import brief
from serantau.apps.cli.door import opened
from serantau.apps.cli.handout import confirm, person
from serantau.apps.cli.output import Json, document, note, say
from serantau.desk.case_export import Form
from serantau.desk.case_paper import Era, Language

if TYPE_CHECKING:
    from serantau.desk.case_export import Export

_ENDINGS = {
    Form.STIX: "stix.json",
    Form.IODEF: "xml",
    Form.MISP: "misp.json",
    Form.MARKDOWN: "md",
    Form.PDF: "pdf",
}


def export(
    ctx: typer.Context,
    case: Annotated[
        str, typer.Argument(metavar="CASE", help="Its id, or how that begins.")
    ],
    to: Annotated[str, typer.Option(metavar="PARTY", help="Who gets it.")],
    form: Annotated[Form, typer.Option("--as", help="What kind of file.")],
    lang: Annotated[
        Language, typer.Option(help="Of Markdown, PDF and MISP's report.")
    ] = Language.ENGLISH,
    era: Annotated[
        Era, typer.Option(help="How they count years: buddhist adds 543.")
    ] = Era.GREGORIAN,
    purpose: Annotated[
        str,
        typer.Option(
            help="defence, law-enforcement or public-warning; else the party's usual.",
            show_default=False,
        ),
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where to; - is standard output. Else a file here, named by the case.",
            allow_dash=True,
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Write what a party may have of a case into a file, and log it as released.

    Shows first what goes, and asks. Private notes, tasks and files are in no export,
    nor is TLP:RED: `share handover` is for that.
    """
    ctx.obj.safe = (
        "If it was released, the release log has it; the file that was there before is "
        "as it was. Export it again."
    )
    from serantau.desk.case_export import Exporter
    from serantau.desk.supposing import read_purpose
    from serantau.desk.whole import whole
    from serantau.errors import BadRequest

    if str(out) == "-" and as_json:
        raise BadRequest("--json prints there: it cannot go to standard output.")
    what = read_purpose(purpose) if purpose else None
    with opened(ctx) as node:
        exporter = Exporter(node, person())
        look = exporter.export(case, to, form, purpose=what, look=True)
        _tell(look)
        confirm(yes, to)
        path = out or Path(f"case-{brief(look.case)}-{to}.{_ENDINGS[form]}")
        made = exporter.export(case, to, form, lang=lang, era=era, purpose=what)
        if str(path) == "-":
            sys.stdout.buffer.write(made.content)
            sys.stdout.buffer.flush()
        else:
            with whole(path) as stream:
                stream.write(made.content)
    if as_json:
        document(
            {
                "case": made.case,
                "party": to,
                "form": str(form),
                "path": str(path),
                "entries": made.entries,
                "objects": made.objects,
                "withheld": made.withheld,
                "absent": made.absent,
            }
        )
    else:
        place = "standard output" if str(path) == "-" else str(path)
        (note if str(path) == "-" else say)(
            f"{made.entries:,} entries of the log for {to} are in {place}. "
            "The release log has them."
        )


def _tell(look: Export) -> None:
    note(f"  goes: {look.entries:,} entries of the log, {look.objects:,} objects")
    for rule, count in look.withheld.items():
        note(f"  stays: {count:,} by {rule}")
    if look.absent:
        note(f"  not here: {look.absent:,} objects that are evidence")
