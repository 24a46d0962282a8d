"""`serantau doctor`: check the node."""

from __future__ import annotations

import os
from collections import Counter
from typing import Annotated

import typer

from serantau.apps.cli.output import Json, clean, console, document, say

_STYLES = {"OK": "green", "WARN": "yellow", "FAIL": "bold red"}


def doctor(
    ctx: typer.Context,
    peers: Annotated[
        bool, typer.Option(help="Ask the peers and the mail server too.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Check the node, and say how to mend what is wrong. Ends with 1 at a FAIL."""
    ctx.obj.safe = "It only looks; nothing was changed."
    from serantau.desk.checkup import checkup

    findings = []
    for finding in checkup(ctx.obj.home, os.environ, peers=peers):
        findings.append(finding)
        if not as_json:
            _print(finding.area, str(finding.level), finding.said, finding.mend)
    counts = Counter(str(finding.level) for finding in findings)
    if as_json:
        document(
            [
                {
                    "area": finding.area,
                    "level": str(finding.level),
                    "said": finding.said,
                    "mend": finding.mend,
                }
                for finding in findings
            ]
        )
    else:
        well, doubtful, broken = (counts[level] for level in _STYLES)
        say(f"{well} well, {doubtful} to look at, {broken} broken.")
    if counts["FAIL"]:
        raise typer.Exit(1)


def _print(area: str, level: str, said: str, mend: str) -> None:
    from rich.text import Text

    line = Text()
    line.append(f"{level:<5}", style=_STYLES[level])
    line.append(f"{area:<12} {clean(said)}")
    if mend:
        line.append(f"\n     {'':<12} {clean(mend)}", style="dim")
    console().print(line)
