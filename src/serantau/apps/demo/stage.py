"""What the demo shows: who takes part, what travels, the proof, and the ways in."""

from __future__ import annotations

import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from serantau.apps.cli.output import Column, clean, say, table
from serantau.apps.demo.region import COORDINATOR, FOLLOWS, TEAMS

if TYPE_CHECKING:
    from serantau.apps.demo.proof import Checked, Proof
    from serantau.apps.demo.region import Region
    from serantau.apps.demo.watch import Stream
    from serantau.desk.gather import Sheet

Show = Callable[
    ["list[Stream]", "dict[str, int]", "dict[str, list[Sheet]]", bool], None
]


def open_with(region: Region, data: Path, handle_as: str, left: int) -> None:
    """Say who takes part, and with what."""
    say("A region of five nodes on this machine", "bold")
    rows = [
        {
            "name": site.name,
            "team": TEAMS[site.name],
            "kind": _kind(site.name),
            "url": site.url,
            "follows": ", ".join(FOLLOWS[site.name]),
        }
        for site in region.sites.values()
    ]
    table(
        (
            Column("name", "Node", style="bold"),
            Column("team", "Team"),
            Column("kind", "Is"),
            Column("url", "Address"),
            Column("follows", "Follows"),
        ),
        rows,
    )
    say(f"Kept in {region.folder}, data from {data}")
    if handle_as:
        say(
            f"Objects without a TLP marking are loaded with --handle-as {handle_as}; "
            f"{left} JSON files there are neither STIX nor MISP and are left alone."
        )
    say("Founding and starting them ...")


def _kind(name: str) -> str:
    if name == COORDINATOR:
        return "coordinator"
    return "partner" if name == "jp" else "member"


@contextmanager
def live(console: Console) -> Iterator[Show]:
    """Give a function that shows what travels: anew on a terminal, else at the end."""
    shown: list[Group] = []
    if not console.is_terminal:

        def keep(
            streams: list[Stream],
            totals: dict[str, int],
            sheets: dict[str, list[Sheet]],
            done: bool,
        ) -> None:
            shown[:] = [_travel(streams, totals, sheets, done)]

        yield keep
        for group in shown:
            console.print(group)
        return
    with Live(console=console, refresh_per_second=8) as screen:

        def update(
            streams: list[Stream],
            totals: dict[str, int],
            sheets: dict[str, list[Sheet]],
            done: bool,
        ) -> None:
            screen.update(_travel(streams, totals, sheets, done))

        yield update


def _travel(
    streams: list[Stream],
    totals: dict[str, int],
    sheets: dict[str, list[Sheet]],
    done: bool,
) -> Group:
    columns = (
        ("From", "left", "bold"),
        ("To", "left", "bold"),
        ("May have", "right", "green"),
        ("Arrived", "right", "green"),
        ("Withheld", "right", "red"),
        ("By rule", "left", ""),
        ("Half within", "right", ""),
        ("All within", "right", ""),
    )
    grid = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for title, side, style in columns:
        grid.add_column(
            title, justify="right" if side == "right" else "left", style=style or None
        )
    for stream in streams:
        grid.add_row(
            stream.sender,
            stream.recipient,
            f"{stream.released:,}",
            f"{stream.arrived:,}" + ("" if stream.complete else " …"),
            f"{sum(stream.withheld.values()):,}",
            ", ".join(f"{rule} {n:,}" for rule, n in stream.withheld.most_common()),
            _seconds(stream.median),
            _seconds(stream.slowest),
        )
    held = "   ".join(f"{name} {count:,}" for name, count in totals.items())
    files = sum(map(len, sheets.values()))
    state = "Loaded" if done else "Loading"
    return Group(
        Text("\nWhat travels, object versions", style="bold"),
        grid,
        Text(f"{state}: {files} files. Each node holds: {held}", style="dim"),
    )


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.2f} s"


def show_loaded(sheets: dict[str, list[Sheet]]) -> None:
    """Say what the senders took in, and what they refused."""
    say()
    rows = []
    for name, several in sheets.items():
        reasons: Counter[str] = Counter()
        for sheet in several:
            reasons.update(sheet.report.reasons)
        rows.append(
            {
                "node": name,
                "files": len(several),
                "new": sum(sheet.report.new for sheet in several),
                "held": sum(sheet.report.held for sheet in several),
                "refused": sum(sheet.report.refused for sheet in several),
                "reasons": ", ".join(
                    f"{rule} {count}" for rule, count in reasons.most_common()
                ),
                "losses": sum(len(sheet.report.losses) for sheet in several),
            }
        )
    table(
        (
            Column("node", "Loaded at", style="bold"),
            Column("files", "Files", right=True),
            Column("new", "Admitted", right=True),
            Column("held", "Already had", right=True),
            Column("refused", "Refused", right=True),
            Column("reasons", "By rule"),
            Column("losses", "MISP parts changed", right=True),
        ),
        rows,
    )


def show_proof(proof: Proof) -> None:
    """Show what was checked, and whether it holds."""
    say()
    say("The proof, read from the receivers' own stores", "bold")
    table(
        (
            Column("sender", "Loaded at", style="bold"),
            Column("recipient", "Looked at", style="bold"),
            Column("there", "Released, there", right=True, style="green"),
            Column("relayed", "By relay", right=True),
            Column("absent", "Withheld, absent", right=True, style="green"),
            Column("rest", "Else"),
            Column("faults", "Wrong", right=True, style="red"),
        ),
        [
            {
                "sender": each.sender,
                "recipient": each.recipient,
                "there": each.there,
                "relayed": each.relayed,
                "absent": each.absent,
                "rest": _rest(each),
                "faults": len(each.faults),
            }
            for each in proof.checked
        ],
    )
    say(
        f"{proof.given:,} objects that came from a peer stand in that peer's release "
        "log, each under a verdict that released it."
    )
    if proof.holds:
        held = "The proof held: all that was released is there, nothing withheld is."
        say(held, "bold green")
        return
    say("The proof did NOT hold:", "bold red")
    for fault in proof.all_faults:
        say(f"  {clean(fault)}")


def _rest(each: Checked) -> str:
    parts = (
        (each.others, "loaded there too, or released to it by another who loaded it"),
        (each.pending, "not passed on by those it follows"),
        (each.refused, "refused there, see its quarantine"),
    )
    return ", ".join(f"{count:,} {said}" for count, said in parts if count)


def show_ways_in(region: Region) -> None:
    """Print each node's address and a login for it."""
    program = _program()
    say()
    say("The nodes stay up until Ctrl-C. Ways in:", "bold")
    table(
        (
            Column("name", "Node", style="bold"),
            Column("url", "Address"),
            Column("user", "User"),
            Column("password", "Password"),
            Column("home", "Command line"),
        ),
        [
            {
                "name": site.name,
                "url": f"{site.url}/",
                "user": "admin",
                "password": site.password,
                "home": f"{program} --home {site.home}",
            }
            for site in region.sites.values()
        ],
    )
    say("Such as:")
    for name, command in (
        ("th", "share preview --to vn --to jp --diff"),
        ("vn", "search takraw"),
        ("th", "events --top party"),
        ("th", "notice show 1 --language th"),
        ("id", "events --feed node.th"),
    ):
        say(f"  {program} --home {region[name].home} {command}")


def _program() -> str:
    """Give the command as it can be typed here."""
    beside = Path(sys.executable).with_name("serantau")
    return "serantau" if shutil.which("serantau") else os.path.relpath(beside)
