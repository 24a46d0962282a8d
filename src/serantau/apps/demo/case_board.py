"""What the demo shows of the case: what happens, how it stood apart, and the proof."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from serantau.apps.cli.output import Column, clean, console, say, table
from serantau.apps.demo.case_act import CUT_OFF, INSIDE, PACE
from serantau.apps.demo.region import TEAMS

if TYPE_CHECKING:
    from serantau.apps.demo.case_act import Worked
    from serantau.apps.demo.case_proof import CaseProof
    from serantau.apps.demo.catcher import Caught
    from serantau.wire.cases import CaseState

_DIGITS: Final = 12
_LINES: Final = 7


def begin() -> None:
    """Say what follows."""
    say()
    say("A case that touches three states", "bold")
    due = 3600 // PACE
    say(f"Clocks run {PACE:,} times as fast: an answer is due in {due} s, not in 1 h.")


def tell(seconds: float, where: str, what: str) -> None:
    """Show one thing that happened."""
    line = Text(f"{seconds:6.1f} s  ", style="dim")
    line.append(f"{where:<4}", style="bold")
    line.append(
        clean(what), style="red" if what.startswith(("reminds", "pages")) else "default"
    )
    console().print(line, soft_wrap=True)


def show_worked(worked: Worked) -> None:
    """Show the page, and how the halves stood apart and together."""
    if worked.mails:
        _show_page(worked.mails[0])
    together = {one.party: one for one in getattr(worked.verified, "compared", ())}
    say()
    table(
        (
            Column("name", "State of the case at", style="bold"),
            Column("entries", f"Entries without {CUT_OFF}", right=True),
            Column("apart", "State hash", style="yellow"),
            Column("end", "Entries at the end", right=True),
            Column("alike", "State hash, by case verify", style="green"),
        ),
        [
            {
                "name": name,
                "entries": _of(worked.apart.get(name), "entries"),
                "apart": _hash(worked.apart.get(name)),
                "end": together[name].entries
                if name in together
                else worked.verified and worked.verified.here.entries,
                "alike": together[name].hash[:_DIGITS] or together[name].fault
                if name in together
                else worked.verified and worked.verified.here.hash[:_DIGITS],
            }
            for name in INSIDE
        ],
    )


def _of(state: CaseState | None, name: str) -> object:
    return None if state is None else getattr(state, name)


def _hash(state: CaseState | None) -> str:
    return "" if state is None else state.hash[:_DIGITS]


def _show_page(mail: Caught) -> None:
    message = mail.message
    body = message.get_body(("plain",))
    text = body.get_content() if body is not None else ""
    say()
    say("The page, as the mail catcher has it", "bold")
    for name in ("To", "Subject"):
        say(f"  {name}: {message[name]}")
    lines = [line for line in text.splitlines() if line.strip()]
    for line in lines[:_LINES]:
        say(f"  │ {line.strip()}", "dim")


def show_case_proof(proof: CaseProof) -> None:
    """Show what was checked about the case, and whether it holds."""
    say()
    say("The proof about the case, from each node's own files", "bold")
    table(
        (
            Column("name", "Node", style="bold"),
            Column("inside", "In the case"),
            Column("hash", "State hash", style="green"),
            Column("found", "Its ids and words in the files", right=True),
            Column("private", "Private note of th", right=True),
        ),
        [
            {
                "name": name,
                "inside": "yes" if name in INSIDE else "no",
                "hash": proof.hashes.get(name, "")[:_DIGITS],
                "found": f"{proof.found.get(name, 0)} of {proof.wanted}",
                "private": "here" if name in proof.private else "-",
            }
            for name in TEAMS
        ],
    )
    if proof.holds:
        held = "The proof about the case held: all in it have the same, jp has nothing."
        say(held, "bold green")
        return
    say("The proof about the case did NOT hold:", "bold red")
    for fault in proof.faults:
        say(f"  {clean(fault)}")
