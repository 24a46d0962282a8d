"""`serantau case mail`: letters that wait, and answers that a person decides on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serantau.apps.cli.case_view import brief
from serantau.apps.cli.door import opened
from serantau.apps.cli.output import (
    Column,
    Json,
    document,
    note,
    say,
    shorten,
    stamp,
    table,
    when,
)

if TYPE_CHECKING:
    from serantau.records.case_mail import Mail, Post, Thread

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)
Number = Annotated[int, typer.Argument(metavar="N", help="As `list` shows it.")]


@app.callback()
def mail() -> None:
    """Work cases with parties that have no node, by mail."""


@app.command("list")
def list_(
    ctx: typer.Context,
    everything: Annotated[
        bool, typer.Option("--all", help="Also what is sent, or decided on.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List letters that did not arrive, with the reason, and answers that are held."""
    from serantau.desk.audit import note_reading
    from serantau.desk.case_mail import CaseMail
    from serantau.desk.case_replies import CaseReplies

    with opened(ctx) as node:
        letters = CaseMail(node).letters(all_=everything)
        mails = CaseReplies(node).held(all_=everything)
        cases = {thread.case_id for _, thread in (*letters, *mails)}
        count = len(letters) + len(mails)
        note_reading(node, "case mail list", "", count=count, objects=cases)
    out = [_letter(post, thread) for post, thread in letters]
    held = [_mail(one, thread) for one, thread in mails]
    if as_json:
        document({"letters": out, "mails": held})
        return
    if out:
        table(_LETTERS, [{**row, "case": brief(row["case"])} for row in out])
    if held:
        rows = [
            {
                **row,
                "case": brief(row["case"]),
                "text": shorten(" ".join(row["text"].split())),
            }
            for row in held
        ]
        table(_MAILS, rows)
    if not (out or held):
        say("No letter waits, and no answer is held.")


_LETTERS = (
    Column("number", "Letter", right=True),
    Column("case", "Case", style="cyan"),
    Column("party", "Party", style="bold"),
    Column("state", "State"),
    Column("to", "To", spare=1),
    Column("why", "Why"),
)
_MAILS = (
    Column("number", "Mail", right=True),
    Column("case", "Case", style="cyan"),
    Column("party", "Party", style="bold"),
    Column("state", "State"),
    Column("sender", "From", spare=1),
    Column("signature", "Signature"),
    Column("why", "Why"),
    Column("text", "Text", spare=2),
)


def _letter(post: Post, thread: Thread) -> dict[str, Any]:
    return {
        "number": post.n,
        "case": thread.case_id,
        "party": thread.name,
        "state": post.state,
        "to": post.address,
        "encrypted": bool(post.address) and not post.clear,
        "entries": post.told,
        "message_id": post.key,
        "made": stamp(post.made),
        "ended": stamp(post.sent),
        "why": post.said,
    }


def _mail(one: Mail, thread: Thread) -> dict[str, Any]:
    return {
        "number": one.n,
        "case": thread.case_id,
        "party": thread.name,
        "state": one.state,
        "at": stamp(one.at),
        "sender": one.sender,
        "subject": one.subject,
        "signature": one.signature,
        "fingerprint": one.fingerprint,
        "why": one.why,
        "text": one.text,
        "by": one.actor,
    }


@app.command()
def show(
    ctx: typer.Context,
    number: Number,
    to: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Write the whole mail there.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show an answer as it came: who says to have written it, and why it is held."""
    from serantau.desk.audit import note_reading
    from serantau.desk.case_replies import CaseReplies
    from serantau.desk.whole import whole

    with opened(ctx) as node:
        one, thread, raw = CaseReplies(node).one(number)
        note_reading(
            node, "case mail show", str(number), count=1, objects=[thread.case_id]
        )
    if to is not None:
        with whole(to) as stream:
            stream.write(raw)
        note(f"The mail is in {to}.")
    if as_json:
        document({**_mail(one, thread), "bytes": len(raw)})
        return
    say(f"Mail {one.n}, case {brief(thread.case_id)}, {thread.name}", style="bold")
    say(f"From {one.sender}, {when(one.at)}, {len(raw):,} bytes")
    say(f"Subject {one.subject}")
    say(f"Signature {one.signature} {one.fingerprint}".rstrip())
    say(f"It is {one.state}" + (f": {one.why}" if one.why else "."), style="yellow")
    say()
    say(one.text or "(no text could be read)")


@app.command()
def approve(ctx: typer.Context, number: Number) -> None:
    """Let an answer that is held into its case. All see how its signature was."""
    from serantau.desk.case_replies import CaseReplies

    with opened(ctx) as node:
        entries = CaseReplies(node).approve(number)
    say("In the case now: " + ", ".join(brief(one) for one in entries) + ".")


@app.command()
def drop(ctx: typer.Context, number: Number) -> None:
    """Never let an answer that is held into its case; the mail is kept."""
    from serantau.desk.case_replies import CaseReplies

    with opened(ctx) as node:
        CaseReplies(node).drop(number)
    say("Dropped. The mail is kept, and in no case.")


@app.command()
def settle(
    ctx: typer.Context,
    number: Number,
    sent: Annotated[bool, typer.Option("--sent", help="It arrived.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Tell it anew.")] = False,
) -> None:
    """Say what became of a letter that is unsure or failed.

    Look for its Message-ID (`list --json`) in the mail server's log first.
    """
    from serantau.desk.case_mail import CaseMail
    from serantau.errors import BadRequest

    if sent == again:
        raise BadRequest("Expected one of --sent and --again.")
    with opened(ctx) as node:
        CaseMail(node).settle(number, sent=sent)
    say("Sent." if sent else "What it told goes with the next letter.")


@app.command()
def run(ctx: typer.Context, as_json: Json = False) -> None:
    """Read the mailbox and send what may go, once. A running node does so by itself."""
    from dataclasses import asdict

    from serantau.desk.case_mail import CaseMail
    from serantau.desk.case_post import CasePost

    with opened(ctx) as node:
        done = CasePost(node).once()
        lacks = CaseMail(node).lacking()
    letters = {name: many for name, many in asdict(done.letters).items() if many}
    mails = {str(fate): many for fate, many in done.mails.items()}
    if as_json:
        document({"letters": letters, "mails": mails})
        return
    for what, found in (("Letters", letters), ("Mails", mails)):
        said = ", ".join(f"{many} {name}" for name, many in found.items())
        say(f"{what}: {said or 'none'}.")
    if lacks:
        note(f"No letter goes: {lacks}.")


def print_threads(threads: list[Thread]) -> None:
    """Say of parties that take part by mail what went wrong last."""
    for one in threads:
        if one.trouble:
            say(f"{one.name}, {when(one.trouble_at)}: {one.trouble}", style="yellow")
