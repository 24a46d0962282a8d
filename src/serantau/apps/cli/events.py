"""`serantau events`: ask the archive of events."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serantau.apps.cli import events_erase
from serantau.apps.cli.door import opened, said_to
from serantau.apps.cli.engine import EngineName, engaged
from serantau.apps.cli.output import (
    Column,
    Json,
    clean,
    console,
    document,
    note,
    say,
    several,
    shorten,
    table,
)
from serantau.apps.cli.progress import counted

if TYPE_CHECKING:
    import polars as pl

    from serantau.lane.question import Asking, Question
    from serantau.node import Node

app = typer.Typer(add_completion=False, rich_markup_mode=None)
app.command()(events_erase.erase)
app.command()(events_erase.erasures)

# Columns that a terminal has room for; --columns and files have all.
_SHOWN = (
    "time",
    "source_address",
    "source_port",
    "type",
    "identifier",
    "source_country",
    "source_asn",
    "member",
    "party",
    "feed",
)
_SPARE = {
    name: place
    for place, name in enumerate(
        ("source_country", "feed", "source_asn", "identifier", "member"), start=1
    )
}
_LONG_ROWS = 5_000_000
_BAR = 40
_WHERE = ("feed", "report", "class", "type", "malware", "member", "party")

Csv = Annotated[
    str, typer.Option("--csv", metavar="FILE", help="Write CSV; - is standard output.")
]
Parquet = Annotated[
    Path | None, typer.Option("--parquet", metavar="FILE", help="Write Parquet.")
]


@app.callback(invoke_without_command=True)
def events(
    ctx: typer.Context,
    since: Annotated[
        str,
        typer.Option(help="From then on: 2026-03-01, RFC 3339, or 12h or 7d ago."),
    ] = "",
    until: Annotated[str, typer.Option(help="Up to then, written the same.")] = "",
    address: Annotated[
        list[str] | None,
        typer.Option(help="Address, prefix or FIRST-LAST; may be repeated."),
    ] = None,
    either_end: Annotated[
        bool, typer.Option("--either-end", help="The other machine's address too.")
    ] = False,
    domain: Annotated[str, typer.Option(help="A name, or one below it.")] = "",
    feed: Annotated[str, typer.Option(help="Of this feed.")] = "",
    report: Annotated[str, typer.Option(help="Of this kind of report.")] = "",
    class_: Annotated[str, typer.Option("--class", help="An RSIT class.")] = "",
    type_: Annotated[str, typer.Option("--type", help="An RSIT type.")] = "",
    malware: Annotated[str, typer.Option(help="A family of malware.")] = "",
    country: Annotated[str, typer.Option(help="Where it is, such as TH.")] = "",
    asn: Annotated[str, typer.Option(help="Who routes it, such as AS64500.")] = "",
    member: Annotated[str, typer.Option(help="The state that answers.")] = "",
    party: Annotated[str, typer.Option(help="Who must act.")] = "",
    severity: Annotated[
        str, typer.Option(help="At least: info, low, medium, high or critical.")
    ] = "",
    text: Annotated[str, typer.Option(help="A text in names, URLs or extra.")] = "",
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=VALUE", help="Any column; empty is null."),
    ] = None,
    top: Annotated[
        str, typer.Option(metavar="COLUMN", help="Count by it, the most first.")
    ] = "",
    over: Annotated[
        str, typer.Option(metavar="STEP", help="Count over time: hour, day or week.")
    ] = "",
    by: Annotated[
        str, typer.Option(metavar="COLUMN", help="With --over: each value by itself.")
    ] = "",
    count: Annotated[bool, typer.Option("--count", help="Only how many.")] = False,
    columns: Annotated[
        str, typer.Option(help="Which to give, with commas between.")
    ] = "",
    limit: Annotated[
        int, typer.Option(min=0, help="Rows to show at most; 0: 50, of --top 20.")
    ] = 0,
    csv: Csv = "",
    parquet: Parquet = None,
    engine: EngineName = "threads",
    as_json: Json = False,
) -> None:
    """Ask the archive of events: rows, the most frequent, or how many over time.

    Everything said narrows. What is shown are the newest rows; a file (--csv,
    --parquet) gets all of them, or the counts that --top or --over ask for.
    """
    if ctx.invoked_subcommand is not None:
        return
    from serantau.desk.audit import note_reading
    from serantau.desk.lane_ask import archive_of, read_when
    from serantau.lane.question import Asking, Question

    plain = dict(
        zip(_WHERE, (feed, report, class_, type_, malware, member, party), strict=True)
    )
    with opened(ctx) as node:
        now = node.clock.now()
        question = Question(
            since=read_when(since, now),
            until=read_when(until, now),
            addresses=tuple(address or ()),
            either_end=either_end,
            domain=domain,
            where=_where(plain, country, asn, where or []),
            severity=_severity(severity),
            text=text,
        )
        _check(question, top, over, by, csv, parquet)
        wanted = [one.strip() for one in columns.split(",") if one.strip()]
        number: int | None = None
        # What is printed while a bar is drawn would be drawn over.
        with engaged(node, engine) as chosen, counted("Reading", 100) as step:
            asking = Asking(
                archive_of(node),
                question,
                lambda done, total: step(
                    done * 100 // max(total, 1), f"{done:,} of {total:,} rows"
                ),
                chosen,
            )
            _warn(asking)
            note_reading(node, "events", said_to(ctx), count=asking.estimate().rows)
            if count:
                number = asking.count()
            elif top:
                found = asking.top(top, limit or 20)
            elif over:
                found = asking.over(over, by)
            elif csv or parquet:
                # A file of no events has its columns too.
                frames = chain([asking.empty(wanted)], asking.chunks(wanted))
                number = _write(frames, csv, parquet)
            else:
                found = _newest(node, asking, wanted, limit or 50)
        if number is None:
            if top or over:
                _give(found, csv, parquet, as_json)
            else:
                usual = list(_SHOWN)
                if node.config.lane.categories:
                    usual.insert(usual.index("type") + 1, "category")
                total = asking.estimate().rows
                _rows(found, wanted, usual, as_json, limit or 50, total)
        elif not count:
            place = "written" if csv == "-" else f"in {parquet or csv}"
            note(
                f"{several(number, 'event')} {'is' if number == 1 else 'are'} {place}."
            )
        elif as_json:
            document({"events": number})
        else:
            say(f"{several(number, 'event')}.")


def _where(
    plain: dict[str, str], country: str, asn: str, more: list[str]
) -> dict[str, list[Any]]:
    from serantau.errors import BadRequest
    from serantau.rules.taxonomy import CLASS_OF, CLASSES

    found: dict[str, list[Any]] = {name: [one] for name, one in plain.items() if one}
    for name, known in (("class", CLASSES), ("type", CLASS_OF)):
        said = plain[name].lower()
        if said and said not in known:
            raise BadRequest(
                f"--{name} is {plain[name]!r}, which RSIT does not know.",
                mend=f"One of: {', '.join(known)}.",
            )
        if said:
            found[name] = [said]
    for name in ("member", "party", "malware"):
        if plain[name]:
            found[name] = [plain[name].lower()]
    if country:
        if len(country) != 2 or not country.isalpha():
            raise BadRequest(
                f"--country is {country!r}, expected two letters such as TH."
            )
        found["source_country"] = [country.upper()]
    if asn:
        found["source_asn"] = [asn.upper().removeprefix("AS")]
    for one in more:
        name, equals, value = one.partition("=")
        if not equals:
            raise BadRequest(f"--where is {one!r}, expected COLUMN=VALUE.")
        found.setdefault(name.strip(), []).append(value or None)
    return found


def _severity(text: str) -> int | None:
    from serantau.errors import BadRequest
    from serantau.rules.event import SEVERITIES

    if text and text not in SEVERITIES:
        raise BadRequest(f"--severity is {text!r}, expected {', '.join(SEVERITIES)}.")
    return SEVERITIES.index(text) if text else None


def _check(
    question: Question, top: str, over: str, by: str, csv: str, parquet: Path | None
) -> None:
    from serantau.errors import BadRequest

    if top and over:
        raise BadRequest("--top and --over are two questions: ask one.")
    if by and not over:
        raise BadRequest("--by goes with --over.")
    if csv and parquet:
        raise BadRequest("--csv and --parquet are two files: write one.")
    if (
        question.since is not None
        and question.until is not None
        and question.since >= question.until
    ):
        raise BadRequest("--since is not before --until.")


def _warn(asking: Asking) -> None:
    """Tell before a long reading how long it is."""
    told = asking.estimate()
    if told.rows > _LONG_ROWS:
        note(
            f"Up to {told.rows:,} rows in {told.files:,} files "
            f"({told.bytes / 1e9:.1f} GB) are read; --since and --address narrow."
        )


def _newest(node: Node, asking: Asking, wanted: list[str], limit: int) -> pl.DataFrame:
    from serantau.desk.lane_ask import named

    needed = [*dict.fromkeys([*wanted, "batch", "number"])] if wanted else ()
    return named(node, asking.rows(limit, needed))


def _rows(
    found: pl.DataFrame,
    wanted: list[str],
    usual: list[str],
    as_json: bool,
    limit: int,
    total: int,
) -> None:
    from serantau.desk.lane_ask import plain

    if as_json:
        chosen = ["row", *wanted] if wanted else found.columns
        document(list(plain(found.select(list(dict.fromkeys(chosen))))))
        return
    shown = list(dict.fromkeys(["row", *(wanted or usual)]))
    rows = [
        {name: _cell(row[name]) for name in shown}
        for row in found.select(shown).iter_rows(named=True)
    ]
    spare = {} if wanted else _SPARE
    table(
        [
            Column(name, name.removeprefix("source_"), spare=spare.get(name, 0))
            for name in shown
        ],
        rows,
        empty="No event fits.",
    )
    if len(rows) == limit and total > limit:
        say("There may be more: --count tells how many, --limit shows more.")


def _cell(value: Any) -> str:
    from datetime import datetime

    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}Z"
    return "" if value is None else shorten(str(value), 40)


def _write(frames: Iterable[pl.DataFrame], csv: str, parquet: Path | None) -> int:
    """Write frames as the file that was asked for; gives how many rows."""
    from serantau.desk.lane_ask import into, write_csv, write_parquet

    if parquet is not None:
        return write_parquet(frames, parquet)
    if csv == "-":
        return write_csv(frames, sys.stdout.buffer)
    with into(csv) as stream:
        return write_csv(frames, stream)


def _give(found: pl.DataFrame, csv: str, parquet: Path | None, as_json: bool) -> None:
    """Give counts: to a file, as JSON, or as a table with bars."""
    from serantau.desk.lane_ask import plain

    if csv or parquet is not None:
        _write([found], csv, parquet)
    elif as_json:
        document(list(plain(found)))
    else:
        _draw(found)


def _draw(found: pl.DataFrame) -> None:
    """Draw counts as bars, each as long as its share of the largest."""
    most = max(found["events"].max() or 0, 1)
    rows = [
        {
            **{name: _cell(row[name]) for name in found.columns if name != "events"},
            "events": row["events"],
            "share": _bar(row["events"] / float(most)),  # type: ignore[arg-type]
        }
        for row in found.iter_rows(named=True)
    ]
    columns = [Column(name, name) for name in found.columns if name != "events"]
    table(
        [*columns, Column("events", "events", right=True), Column("share", "")],
        rows,
        empty="No event fits.",
    )


def _bar(share: float) -> str:
    eighths = round(share * _BAR * 8)
    rest = " ▏▎▍▌▋▊▉"[eighths % 8].strip()
    return "█" * (eighths // 8) + rest or " "


@app.command()
def why(
    ctx: typer.Context,
    row: Annotated[
        str, typer.Argument(metavar="ROW", help="BATCH:NUMBER, as the list shows it.")
    ],
    as_json: Json = False,
) -> None:
    """Tell why a row went to whom it went, as of the day of the event."""
    from serantau.desk.audit import note_reading
    from serantau.desk.lane_ask import find
    from serantau.lane.why import why as reasons

    with opened(ctx) as node:
        found = find(node, row)
        note_reading(node, "events why", row, count=1)
    said = reasons(found)
    if as_json:
        document(
            {
                "why": said,
                "event": {
                    name: _told(value)
                    for name, value in found.items()
                    if value is not None
                },
            }
        )
        return
    for one in said:
        say(one)
    say()
    for name, value in found.items():
        if value is not None:
            console().print(f"  {name:22} {clean(str(value))}", style="dim")


def _told(value: Any) -> Any:
    from datetime import datetime

    from serantau.desk.lane_ask import as_object

    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%S.%f}Z"
    return as_object(value)


@app.command()
def sql(
    ctx: typer.Context,
    statement: Annotated[
        str,
        typer.Argument(metavar="SELECT...", help="One SELECT; - reads it from a pipe."),
    ],
    limit: Annotated[int, typer.Option(min=1, help="Rows at most.")] = 1000,
    seconds: Annotated[
        float, typer.Option(min=1, help="After so many it is given up.")
    ] = 600.0,
    csv: Csv = "",
    parquet: Parquet = None,
    as_json: Json = False,
) -> None:
    """Ask by SQL: one SELECT over the tables `events` and `rejects`, reading only."""
    from serantau.desk.audit import note_reading
    from serantau.desk.lane_ask import archive_of, plain
    from serantau.lane.sql import ask

    said = sys.stdin.read() if statement == "-" else statement
    with opened(ctx) as node:
        found = ask(archive_of(node), said, limit=limit, seconds=seconds)
        note_reading(node, "events sql", said, count=found.rows.height)
    rows = found.rows
    if csv or parquet is not None:
        _write([rows], csv, parquet)
    elif as_json:
        document(list(plain(rows)))
    else:
        shown = [
            {name: _cell(value) for name, value in row.items()}
            for row in rows.iter_rows(named=True)
        ]
        table(
            [
                Column(name, name, right=kind.is_numeric())
                for name, kind in rows.schema.items()
            ],
            shown,
            empty="No row fits.",
        )
    if found.more:
        note(f"There are more than {limit:,} rows: --limit gives more.", "yellow")
