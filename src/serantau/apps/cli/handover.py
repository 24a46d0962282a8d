"""`serantau share handover`: hand objects over to one party, for a case."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from serantau.apps.cli.door import opened
from serantau.apps.cli.handout import confirm, person
from serantau.apps.cli.output import Json, document, note, say


def handover(
    ctx: typer.Context,
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH", help="The file; - is standard output.", allow_dash=True
        ),
    ],
    query: Annotated[
        list[str],
        typer.Argument(
            metavar="QUERY...", help="Ids, or what `search` finds for this."
        ),
    ],
    to: Annotated[str, typer.Option(metavar="PARTY", help="Who gets it.")],
    case: Annotated[
        str, typer.Option(metavar="TEXT", help="What it belongs to there, for the log.")
    ],
    purpose: Annotated[
        str, typer.Option(help="defence, law-enforcement or public-warning.")
    ] = "law-enforcement",
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Hand objects over by hand, as a STIX bundle, and log it with its purpose.

    Shows first what would go and what not, and asks. The party must be allowed the
    purpose: `serantau party set NAME --purpose law-enforcement`.
    """
    from serantau.desk.handover import bundle_of, chosen
    from serantau.desk.share import Share
    from serantau.desk.supposing import read_purpose
    from serantau.desk.whole import whole
    from serantau.errors import BadRequest, Forbidden

    out = str(path) == "-"
    if out and as_json:
        raise BadRequest("--json prints there: it cannot go to standard output.")
    if not case.strip():
        raise BadRequest("--case is empty: the log has to say what it is for.")
    what = read_purpose(purpose)
    with opened(ctx) as node:
        share = Share(node)
        ids = chosen(node, query)
        who = person()

        def hand(*, look: bool) -> tuple[dict[str, bytes], dict[str, str]]:
            handed = share.hand_over(
                to, ids, purpose=what, case=case, actor=who, look=look
            )
            return handed.bodies, {x: str(y) for x, y in handed.withheld.items()}

        bodies, withheld = hand(look=True)
        for object_id in bodies:
            note(f"  goes: {object_id}")
        for object_id, verdict in withheld.items():
            note(f"  stays: {object_id}: {verdict}")
        if not bodies:
            raise Forbidden(f"Nothing of this may be handed over to {to}.")
        confirm(yes, to)
        bodies, withheld = hand(look=False)
        if not bodies:
            raise Forbidden(f"Nothing of this may be handed over to {to} any more.")
        bundle = bundle_of(bodies, node.config.node.realm)
        if out:
            sys.stdout.buffer.write(bundle)
            sys.stdout.buffer.flush()
        else:
            with whole(path) as stream:
                stream.write(bundle)
    if as_json:
        document(
            {
                "party": to,
                "case": case,
                "purpose": str(what),
                "path": str(path),
                "objects": list(bodies),
                "withheld": withheld,
            }
        )
    else:
        (note if out else say)(
            f"{len(bodies):,} objects for {to}, for {what}. The release log has them."
        )
