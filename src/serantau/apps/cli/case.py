"""`serantau case`: work on what concerns several states at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serantau.apps.cli.case_export import export
from serantau.apps.cli.case_mail import app as mail_app
from serantau.apps.cli.case_mail import print_threads
from serantau.apps.cli.case_view import (
    as_row,
    brief,
    print_board,
    print_case,
    print_verified,
)
from serantau.apps.cli.case_who import who
from serantau.apps.cli.door import opened
from serantau.apps.cli.output import Json, document, note, say

if TYPE_CHECKING:
    from serantau.desk.cases import Casework
    from serantau.records.cases import Summary

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)
app.command()(export)
Case = Annotated[
    str, typer.Argument(metavar="CASE", help="Its id, or how that begins.")
]
Text = Annotated[str, typer.Option(metavar="TEXT", help="What to say with it.")]
Severity = Annotated[
    str, typer.Option(help="baseline, low, medium, high, severe or emergency.")
]
Factors = Annotated[
    list[str] | None,
    typer.Option(
        "--factor",
        metavar="NAME=ANSWER",
        help="Score the severity: as function=degraded; repeated. See docs/cases.md.",
    ),
]
Class = Annotated[
    str, typer.Option("--class", metavar="RSIT", help="As fraud:phishing (RSIT).")
]
National = Annotated[
    str, typer.Option(metavar="TEXT", help="The category of your own rules.")
]
Due = Annotated[
    str, typer.Option(metavar="TIME", help="As 2026-03-01T08:00:00Z or +07:00.")
]

app.add_typer(mail_app, name="mail")


@app.callback()
def case() -> None:
    """Work cases with other states: one shared log, and what stays here beside it."""


@app.command("open")
def open_(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is about.")],
    parties: Annotated[
        list[str] | None,
        typer.Argument(metavar="PARTY...", help="Who is invited at once."),
    ] = None,
    tlp: Annotated[
        str, typer.Option(help="Level of all of its log, up to AMBER+STRICT.")
    ] = "AMBER",
    severity: Severity = "",
    factor: Factors = None,
    class_: Class = "",
    national: National = "",
    text: Text = "",
    as_json: Json = False,
) -> None:
    """Open a case and invite parties. Who is invited gets its log, nobody else does."""
    said = _said(text, severity or _scored(factor), class_, national)
    with _working(ctx) as work:
        made = work.open(name, parties or [], level=tlp, **said)
    _told(made, as_json, f"{brief(made.id)} is open: {made.name} ({made.level})")
    if not (as_json or parties):
        say(f"Nobody else has it yet: `serantau case invite {brief(made.id)} PARTY...`")


@app.command("list")
def list_(
    ctx: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Closed ones too.")] = False,
    as_json: Json = False,
) -> None:
    """List the open cases, the one that changed last first."""
    _board(ctx, "case list", closed=everything, as_json=as_json, wide=False)


@app.command()
def board(
    ctx: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Closed ones too.")] = False,
    as_json: Json = False,
) -> None:
    """Show who owns each case, who is silent, and what is still open in it."""
    _board(ctx, "case board", closed=everything, as_json=as_json, wide=True)


def _board(
    ctx: typer.Context, what: str, *, closed: bool, as_json: bool, wide: bool
) -> None:
    from serantau.desk.audit import note_reading
    from serantau.desk.cases import Casework

    with opened(ctx) as node:
        work = Casework(node)
        found = work.board(closed=closed)
        note_reading(node, what, "", count=len(found), objects=[x.id for x in found])
        print_board(found, work.names(), as_json, wide=wide)


@app.command()
def show(ctx: typer.Context, case: Case, as_json: Json = False) -> None:
    """Show a case: parties, tasks, the whole log, and what only this node has."""
    from serantau.desk.audit import note_reading
    from serantau.desk.case_mail import CaseMail
    from serantau.desk.cases import Casework

    with opened(ctx) as node:
        view = Casework(node).show(case)
        shown = [line.entry.id for line in view.lines]
        note_reading(node, "case show", case, count=len(shown), objects=shown)
        print_case(view, as_json)
        if not as_json:
            print_threads(CaseMail(node).threads(view.summary.id))


@app.command()
def invite(
    ctx: typer.Context,
    case: Case,
    parties: Annotated[list[str], typer.Argument(metavar="PARTY...")],
    by_mail: Annotated[
        bool | None,
        typer.Option(
            "--by-mail/--by-node",
            help="It has no node: this one writes to it. Or it has one by now.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Let parties in: they get the whole log from the beginning, and all that follows.

    Nobody can be taken out again: what a party has, it has.
    """
    from serantau.desk.case_post import Guests
    from serantau.desk.cases import Casework

    with opened(ctx) as node:
        if by_mail is None:
            made = Casework(node).invite(case, parties)
        elif by_mail:
            made = Guests(node).invite_by_mail(case, parties)
        else:
            made = [Guests(node).has_node(case, party) for party in parties][-1]
    _told(made, as_json, f"In the case now: {', '.join(parties)}.")


app.command()(who)


@app.command()
def ack(ctx: typer.Context, case: Case, text: Text = "", as_json: Json = False) -> None:
    """Say that the case has been received."""
    _do(ctx, lambda work: work.acknowledge(case, text), as_json, "Acknowledged.")


@app.command("note")
def note_(
    ctx: typer.Context,
    case: Case,
    text: Annotated[str, typer.Argument(metavar="[TEXT]")] = "",
    file: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Keep this file, too.")
    ] = None,
    save: Annotated[
        int, typer.Option(metavar="N", help="Write the private file N to --to.")
    ] = 0,
    to: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Where --save writes to.")
    ] = None,
) -> None:
    """Keep a note or a file that never leaves this node; `show` has them."""
    from serantau.desk.audit import note_reading
    from serantau.desk.case_private import Private
    from serantau.errors import BadRequest

    if not (text or file or save):
        raise BadRequest("Nothing to keep.", mend="Expected TEXT, --file or --save.")
    if bool(save) != bool(to):
        raise BadRequest("--save N and --to PATH go together.")
    with opened(ctx) as node:
        private = Private(node)
        if text:
            private.note(case, text)
            say("Noted. It stays here.")
        if file is not None:
            number = private.add_file(case, file.name, file.read_bytes())
            say(f"{file.name} is kept as private file {number}. It stays here.")
        if save and to is not None:
            from serantau.desk.whole import whole

            name, content = private.file(case, save)
            note_reading(node, "case note", f"{case}, private file {save}", count=1)
            with whole(to) as stream:
                stream.write(content)
            say(f"{name} is in {to}.")


@app.command()
def task(
    ctx: typer.Context,
    case: Case,
    title: Annotated[
        str, typer.Argument(metavar="[TITLE]", help="What is to be done.")
    ] = "",
    party: Annotated[
        str, typer.Option("--for", metavar="PARTY", help="Who is to do it.")
    ] = "",
    due: Due = "",
    doing: Annotated[str, typer.Option(metavar="TASK", help="It is begun.")] = "",
    done: Annotated[str, typer.Option(metavar="TASK", help="It is done.")] = "",
    drop: Annotated[str, typer.Option(metavar="TASK", help="Nobody will.")] = "",
    reopen: Annotated[str, typer.Option(metavar="TASK", help="Not done yet.")] = "",
    private: Annotated[
        bool, typer.Option("--private", help="Of this node alone: it never leaves.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say what is to be done, or how far a task is."""
    from serantau.errors import BadRequest

    moved = {"doing": doing, "done": done, "dropped": drop, "open": reopen}
    given = {state: one for state, one in moved.items() if one}
    if len(given) + bool(title) != 1:
        raise BadRequest(
            "Expected a title, or one of --doing, --done, --drop, --reopen."
        )
    if private:
        _own_task(ctx, case, title, party, due, done)
        return
    if title:
        with _working(ctx) as work:
            made, number = work.add_task(case, title, party, instant_of(due))
        _told(made, as_json, f"Task {brief(number)}: {title}")
        return
    ((state, one),) = given.items()
    _do(ctx, lambda work: work.move_task(case, one, state), as_json, f"It is {state}.")


def _own_task(
    ctx: typer.Context, case: str, title: str, party: str, due: str, done: str
) -> None:
    from serantau.desk.case_private import Private
    from serantau.errors import BadRequest

    if party or not (title or done.isdecimal()):
        raise BadRequest(
            "A private task is of this node alone.",
            mend="Expected TITLE [--due TIME], or --done with the number of one.",
        )
    with opened(ctx) as node:
        private = Private(node)
        if title:
            number = private.add_task(case, title, instant_of(due))
            say(f"Private task {number}: {title}. It stays here.")
        else:
            private.end_task(case, int(done))
            say(f"Private task {done} is done.")


@app.command()
def assess(
    ctx: typer.Context,
    case: Case,
    stance: Annotated[
        str,
        typer.Argument(
            metavar="[STANCE]", help="valid, invalid, accepted, deferred or closed."
        ),
    ] = "",
    severity: Severity = "",
    factor: Factors = None,
    class_: Class = "",
    national: National = "",
    text: Text = "",
    as_json: Json = False,
) -> None:
    """Say what this node makes of a case, and whether it works on it."""
    said = _said(text, severity or _scored(factor), class_, national)
    _do(ctx, lambda work: work.assess(case, stance, **said), as_json, "Assessed.")


@app.command()
def evidence(
    ctx: typer.Context,
    case: Case,
    objects: Annotated[list[str], typer.Argument(metavar="ID...")],
    text: Text = "",
    as_json: Json = False,
) -> None:
    """Name objects that belong to a case. That gives them to nobody."""
    with _working(ctx) as work:
        made, unseen = work.add_evidence(case, objects, text)
    for one in unseen:
        note(f"{one.party} may not have {one.object}: {one.verdict}")
    _told(made, as_json, f"{len(objects):,} named as evidence.")


@app.command()
def embargo(
    ctx: typer.Context,
    case: Case,
    step: Annotated[
        str,
        typer.Argument(metavar="STEP", help="propose, accept, reject, revise or exit."),
    ],
    until: Annotated[str, typer.Option(metavar="TIME", help="When it ends.")] = "",
    as_json: Json = False,
) -> None:
    """Agree on not telling others yet: it holds when the owner and another agree."""
    at = instant_of(until)
    with _working(ctx) as work:
        made = work.embargo(case, step, at)
    _told(made, as_json, f"Embargo: {made.embargo}.")


@app.command()
def handover(
    ctx: typer.Context,
    case: Case,
    party: Annotated[str, typer.Argument(metavar="PARTY")],
    as_json: Json = False,
) -> None:
    """Offer a case to another party in it. It is yours until `take` there."""
    _do(
        ctx,
        lambda work: work.hand_over(case, party),
        as_json,
        f"Offered to {party}. It is yours until it is taken there.",
    )


@app.command()
def take(ctx: typer.Context, case: Case, as_json: Json = False) -> None:
    """Take a case that was handed over to this node."""
    _do(ctx, lambda work: work.take(case), as_json, "This node owns the case now.")


@app.command()
def close(
    ctx: typer.Context, case: Case, text: Text = "", as_json: Json = False
) -> None:
    """Close a case that this node owns."""
    _do(ctx, lambda work: work.close(case, text), as_json, "Closed.")


@app.command()
def reopen(
    ctx: typer.Context, case: Case, text: Text = "", as_json: Json = False
) -> None:
    """Open a closed case again."""
    _do(ctx, lambda work: work.reopen(case, text), as_json, "Open again.")


@app.command()
def correct(
    ctx: typer.Context,
    case: Case,
    entry: Annotated[
        str, typer.Argument(metavar="ENTRY", help="Its id, or how that begins.")
    ],
    name: Annotated[str, typer.Option(metavar="TEXT", help="Its name or title.")] = "",
    text: Text = "",
    as_json: Json = False,
) -> None:
    """Say what is to be read instead of an entry of this node; both stay in the log."""
    said = {"name": name, "description": text}
    _do(ctx, lambda work: work.correct(case, entry, **said), as_json, "Corrected.")


@app.command()
def verify(ctx: typer.Context, case: Case, as_json: Json = False) -> None:
    """Fold a case anew, and compare it with every party in it that is a peer.

    Ends with 8 when something differs. Entries that are still on their way make sets
    differ for a moment: run it again.
    """
    from serantau.desk.case_verify import verify as compare
    from serantau.errors import ProofFailed

    with opened(ctx) as node:
        found = compare(node, case)
    print_verified(found, as_json)
    if not found.board or any(each.equal is False for each in found.compared):
        raise typer.Exit(ProofFailed.exit_code)


@contextmanager
def _working(ctx: typer.Context) -> Iterator[Casework]:
    from serantau.desk.cases import Casework

    with opened(ctx) as node:
        yield Casework(node)


def _do(
    ctx: typer.Context, work: Callable[[Casework], Summary], as_json: bool, done: str
) -> None:
    with _working(ctx) as desk:
        made = work(desk)
    _told(made, as_json, done)


def _told(made: Summary, as_json: bool, done: str) -> None:
    if as_json:
        document(as_row(made, {}))
    else:
        say(done)


def _said(text: str, severity: str, class_: str, national: str) -> dict[str, Any]:
    return {
        "description": text,
        "severity_level": severity,
        "incident_class": class_,
        "national_class": national,
    }


def _scored(factors: list[str] | None) -> str:
    """Score the answers to some factors, and say how; empty for none."""
    from serantau.errors import BadRequest
    from serantau.rules.severity import FACTORS, score

    if not factors:
        return ""
    answers = dict(each.partition("=")[::2] for each in factors)
    try:
        found = score(answers)
    except ValueError as fault:
        raise BadRequest(f"--factor: {fault}.") from fault
    note(f"{found.points} of 100 points: {found.level}.")
    for name, points in found.parts.items():
        note(f"  {points:5.1f}  {FACTORS[name].question} {answers[name]}")
    if found.open:
        note(f"  not answered, not counted: {', '.join(found.open)}")
    return found.level


def instant_of(text: str) -> int:
    """Read a time that a person gave; 0 for none.

    Raises:
        BadRequest: it is none.
    """
    from serantau.clock import instant
    from serantau.errors import BadRequest

    if not text:
        return 0
    try:
        return instant(text)
    except ValueError as fault:
        raise BadRequest(
            f"{text!r} is no time.", mend="Expected 2026-03-01T08:00:00Z, or +07:00."
        ) from fault
