"""What the demo shows of events: rows and whose they are, notices, and what crossed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Final

from serantau.apps.cli.output import Column, clean, say, table
from serantau.rules.notice import Sending

if TYPE_CHECKING:
    import polars as pl

    from serantau.apps.demo.catcher import Caught
    from serantau.apps.demo.lane import Crossing, Feed, Sent
    from serantau.apps.demo.owners import Owner
    from serantau.apps.demo.reports import Reports
    from serantau.apps.demo.rows import RowsProof

_BAR: Final = 24
_LINES: Final = 14
_WIDE: Final = 96
_NOBODY: Final = "nobody's"
_REASONS: Final = ("prefix", "domain", "asn", "cctld", "country")


def show_reports(reports: Reports, owners: Sequence[Owner], level: str) -> None:
    """Say what goes in, and who answers for what."""
    say()
    say("Reports about machines go in at th", "bold")
    ranges = len(reports.country) + len(reports.asn)
    by = f"the {ranges} files of ranges there" if ranges else "what they say"
    say(
        f"{len(reports.files)} files from {reports.folder}, attributed by {by}. "
        f"A row that names no level is handled as {level}."
    )
    had = "; ".join(map(_has, owners))
    say(f"Owners are made up: {had or 'none, no network there is anybody here'}")


def _has(owner: Owner) -> str:
    having = ", ".join(value for _, value in owner.assets)
    return f"{owner.title} ({owner.node}: {having})"


def show_feeds(feeds: Sequence[Feed], matched: int) -> None:
    """Show what was read, and what became of it."""
    table(
        (
            Column("feed", "Feed", style="bold"),
            Column("files", "Files", right=True),
            Column("read", "Rows read", right=True),
            Column("kept", "In the archive", right=True, style="green"),
            Column("repeated", "Repeated", right=True),
            Column("rejects", "Rejected", right=True, style="red"),
            Column("reasons", "Because"),
            Column("seconds", "Within", right=True),
        ),
        [
            {
                "feed": one.name,
                "files": one.files,
                "read": one.read,
                "kept": one.kept,
                "repeated": one.repeated,
                "rejects": one.rejects,
                "reasons": "; ".join(
                    f"{why} ({many:,})" for why, many in one.reasons.most_common()
                ),
                "seconds": f"{one.seconds:.1f} s",
            }
            for one in feeds
        ],
    )
    say(f"{matched:,} of the rows fit an indicator that th holds.", "dim")
    for one in feeds:
        for fault in one.faults:
            say(f"{one.name}: {fault}", "yellow")


def show_owners(counts: pl.DataFrame, titles: Mapping[str, str]) -> None:
    """Show whose the rows are, by what named the owner."""
    owners: dict[str, Counter[str]] = {}
    for member, party, reason, rows in counts.iter_rows():
        name = titles.get(party) or party or _state(member)
        owners.setdefault(name, Counter())[reason or ""] += rows
    owned = [one.total() for name, one in owners.items() if name != _NOBODY]
    most = max(owned, default=0)
    found = [
        each for each in _REASONS if any(reasons[each] for reasons in owners.values())
    ]
    say()
    table(
        (
            Column("owner", "Whose they are", style="bold"),
            *(Column(each, f"By {each}", right=True) for each in found),
            Column("rows", "Rows", right=True),
            Column("bar", "", style="green"),
        ),
        [
            {
                "owner": name,
                **{each: reasons[each] or None for each in found},
                "rows": reasons.total(),
                # Most of the world's rows are nobody's here, and would hide the others.
                "bar": " " if name == _NOBODY else _bar(reasons.total(), most),
            }
            for name, reasons in sorted(
                owners.items(), key=lambda pair: -pair[1].total()
            )
        ],
    )


def _state(member: str | None) -> str:
    if member is None:
        return _NOBODY
    return "th, no owner known" if member == "th" else f"{member}, another member"


def show_notices(
    sent: Sequence[Sent],
    left: Mapping[tuple[str, str, str], int],
    titles: Mapping[str, str],
) -> None:
    """Show what owners were told, and what not."""
    parties = {one.notice.party for one in sent} | {party for party, _, _ in left}
    rows = []
    for party in sorted(parties):
        theirs = [one for one in sent if one.notice.party == party]
        deliveries = [each for one in theirs for each in one.deliveries]
        classes: Counter[str] = Counter()
        for one in theirs:
            classes[one.notice.group] += one.notice.facts["rows"]
        reasons: Counter[str] = Counter()
        for (name, _, why), many in left.items():
            reasons[why] += many if name == party else 0
        rows.append(
            {
                "party": titles.get(party, party),
                "notices": len(theirs),
                "rows": classes.total(),
                "classes": _counted(classes),
                "left": _counted(+reasons),
                "to": ", ".join(dict.fromkeys(each.address for each in deliveries)),
                "sent": sum(each.state is Sending.SENT for each in deliveries),
            }
        )
    say()
    table(
        (
            Column("party", "Notices of th to", style="bold"),
            Column("notices", "Made", right=True),
            Column("rows", "Rows", right=True),
            Column("classes", "Of class"),
            Column("left", "Left out"),
            Column("to", "Mailed to"),
            Column("sent", "Sent", right=True, style="green"),
        ),
        rows,
        empty="No row names an owner of th: there is nothing to tell.",
    )


def show_mail(mails: Sequence[Caught], sent: Sequence[Sent]) -> None:
    """Show one of the mails, the English one with most rows."""
    rows = {
        each.key: one.notice.facts["rows"] for one in sent for each in one.deliveries
    }
    english = [one for one in mails if one.message["Content-Language"] == "en"]
    if not english:
        return
    shown = max(english, key=lambda one: int(rows.get(one.key, 0)))
    message = shown.message
    body = message.get_body(("plain",))
    text = body.get_content() if body is not None else ""
    say()
    say("One of the mails, as the mail catcher has it", "bold")
    for name in ("From", "To", "Subject"):
        say(f"  {name}: {message[name]}")
    for one in message.iter_attachments():
        content = one.get_payload(decode=True)
        size = len(content) if isinstance(content, bytes) else 0
        say(f"  Attached: {one.get_filename()}, {size:,} bytes")
    lines = [cut for line in text.splitlines() for cut in wrap(line, _WIDE) or [""]]
    for line in lines[:_LINES]:
        say(f"  │ {line}", "dim")
    if len(lines) > _LINES:
        say(f"  │ ... and {len(lines) - _LINES} more lines", "dim")


def show_crossings(crossed: Sequence[Crossing]) -> None:
    """Show the rows of other members: what may go, and what is there."""
    say()
    table(
        (
            Column("member", "Rows of", style="bold"),
            Column("rows", "At th", right=True),
            Column("released", "May go", right=True, style="green"),
            Column("arrived", "Arrived", right=True, style="green"),
            Column("withheld", "Withheld", right=True, style="red"),
            Column("rules", "By rule"),
            Column("seconds", "There within", right=True),
        ),
        [
            {
                "member": one.member,
                "rows": one.rows,
                "released": one.released,
                "arrived": sum(one.landed.values())
                if one.parcels or not one.released
                else "waits: no node here",
                "withheld": one.withheld.total(),
                "rules": _counted(one.withheld),
                "seconds": f"{max(one.seconds):.1f} s" if one.seconds else None,
            }
            for one in sorted(crossed, key=lambda one: (not one.parcels, -one.rows))
        ],
        empty="No row is about a machine of another member.",
    )


def show_receiver(name: str, rows: pl.DataFrame, titles: Mapping[str, str]) -> None:
    """Show what a receiver's own archive says of the rows that it got."""
    say()
    counts = rows.sort("events", descending=True)
    most = int(counts["events"].max() or 0)  # type: ignore[arg-type]
    table(
        (
            Column("type", f"At {name}, from th", style="bold"),
            Column("party", "Who must act"),
            Column("events", "Rows", right=True),
            Column("bar", "", style="green"),
        ),
        [
            {
                "type": kind,
                "party": titles.get(party) or party or f"{name}, no owner known",
                "events": many,
                "bar": _bar(many, most),
            }
            for kind, party, many in counts.iter_rows()
        ],
        empty="Nothing came.",
    )


def show_rows_proof(proof: RowsProof) -> None:
    """Show what was checked about rows and mail, and whether it holds."""
    say()
    say("The proof about rows, read from both ends", "bold")
    table(
        (
            Column("giver", "From", style="bold"),
            Column("receiver", "To", style="bold"),
            Column("logged", "In the release log", right=True),
            Column("there", "There, its own", right=True, style="green"),
            Column("repeated", "Repeated", right=True),
            Column("kept_back", "Withheld, absent", right=True, style="green"),
            Column("faults", "Wrong", right=True, style="red"),
        ),
        [
            {
                "giver": one.giver,
                "receiver": one.receiver,
                "logged": one.logged,
                "there": one.there,
                "repeated": one.repeated,
                "kept_back": one.kept_back,
                "faults": len(one.faults),
            }
            for one in proof.came
        ],
        empty="No row crossed a border.",
    )
    say(f"No row of anybody came to {', '.join(proof.without) or 'none but these'}.")
    say(
        f"{proof.mailed.mails:,} mails, each to an address that the registry has for "
        f"its owner, with {proof.mailed.rows:,} rows about machines of that owner."
    )
    if proof.holds:
        say("The proof about rows held: each is where it belongs.", "bold green")
        return
    say("The proof about rows did NOT hold:", "bold red")
    for fault in proof.faults:
        say(f"  {clean(fault)}")


def _counted(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{name} {many:,}" for name, many in ordered)


def _bar(many: int, most: int) -> str:
    return "█" * max(round(many * _BAR / most), 1) if most else ""
