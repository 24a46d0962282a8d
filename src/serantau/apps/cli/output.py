"""What commands print: tables for people, one JSON document for machines, complaints.

Names and values come from others, so nothing of them is taken for markup or reaches the
terminal as a control character. What is no terminal gets no colour and no line cut.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serantau.clock import moment, taxii_text

if TYPE_CHECKING:
    from rich.console import Console

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")]

# Joiners that Khmer, Lao, Burmese and Thai are written with, and a line's end.
_KEPT = {"\u200b", "\u200c", "\u200d", "\n"}
_UNBOUNDED = 10_000
_GAP = 2
_NARROW = 14
_TIME = re.compile(r"-|\d{4}-\d\d-\d\d( \d\d:\d\d:\d\dZ)?")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: which key of the rows, under which title.

    spare: where a terminal has no room, the columns with the most are left out first;
    those with 0 never are.
    """

    key: str
    title: str
    right: bool = False
    style: str = ""
    spare: int = 0


def clean(text: str) -> str:
    """Give a text that cannot command a terminal nor turn the order of its letters."""
    return "".join(
        one if one.isprintable() or one in _KEPT else f"\\u{ord(one):04x}"
        for one in text
    )


def shorten(text: str, width: int = 60) -> str:
    """Cut what is too long for a column of a table."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def several(count: int, what: str) -> str:
    """Count things in words: `1 event`, `2,000 events`."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def brief(marking: str, width: int = 60) -> str:
    """Give a marking in words as a column of a table has room for it."""
    return shorten(
        marking.replace("no TLP marking, handled here as", "unmarked:"), width
    )


def console(*, error: bool = False) -> Console:
    """Give the console that prints to standard output, or to standard error."""
    # Streams may be exchanged between commands of one process, as tests do.
    return _console(sys.stderr if error else sys.stdout)


@lru_cache(maxsize=4)
def _console(stream: Any) -> Console:
    from rich.console import Console

    terminal = bool(stream.isatty())
    return Console(
        file=stream,
        markup=False,
        highlight=False,
        emoji=False,
        soft_wrap=not terminal,
        width=None if terminal else _UNBOUNDED,
    )


def say(text: str = "", style: str = "") -> None:
    """Print a line for a person on standard output."""
    console().print(clean(text), style=style or None)


def note(text: str, style: str = "") -> None:
    """Print a line on standard error: progress and remarks, never the result."""
    console(error=True).print(clean(text), style=style or None)


def complain(message: str, mend: str = "") -> None:
    """Tell what went wrong, and how to mend it."""
    from rich.text import Text

    told = Text()
    told.append("serantau: ", style="bold red")
    told.append(clean(message))
    if mend:
        told.append("\n" + clean(mend))
    console(error=True).print(told)


def document(value: Any) -> None:
    """Print one JSON document."""
    import orjson

    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")


def table(
    columns: Sequence[Column],
    rows: Sequence[Mapping[str, Any]],
    *,
    title: str = "",
    empty: str = "There is nothing to show.",
) -> None:
    """Print a table for a person; `empty` when it has no rows."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    if not rows:
        say(empty)
        return
    on = console()
    room = on.width if on.is_terminal else _UNBOUNDED
    fitting, widths = _fitting(columns, rows, room)
    shown = Table(
        title=Text(title, style="bold") if title else None,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
        header_style="bold",
        padding=(0, _GAP - 1, 0, 0),
    )
    for column, width in zip(fitting, widths, strict=True):
        shown.add_column(
            column.title,
            justify="right" if column.right else "left",
            style=column.style or None,
            overflow="fold",
            width=width,
        )
    for row in rows:
        shown.add_row(*(Text(_cell(row.get(column.key))) for column in fitting))
    on.print(shown)
    left = [
        column.title
        for column in columns
        if column not in fitting
        and any(_cell(row.get(column.key)) != "-" for row in rows)
    ]
    if left:
        note(f"No room for: {', '.join(left)}. A wider terminal shows them.", "dim")


def _fitting(
    columns: Sequence[Column], rows: Sequence[Mapping[str, Any]], room: int
) -> tuple[list[Column], list[int]]:
    """Give the columns that there is room for, and how wide each is.

    Numbers and times are not broken over lines. Empty columns are left out first.
    """
    from rich.cells import cell_len

    full: dict[Column, int] = {}
    least: dict[Column, int] = {}
    for column in columns:
        cells = [_cell(row.get(column.key)) for row in rows]
        lines = [line for cell in cells for line in cell.split("\n")]
        full[column] = max(cell_len(text) for text in (*lines, column.title))
        firm = column.right or all(_TIME.fullmatch(cell) for cell in cells)
        least[column] = full[column] if firm else min(full[column], _NARROW)
    empty = {
        column
        for column in columns
        if column.title and all(_cell(row.get(column.key)) == "-" for row in rows)
    }
    kept = list(columns)
    spares = [one for one in reversed(kept[1:]) if one in empty]
    spares += sorted(
        (one for one in kept if one.spare and one not in empty), key=lambda c: -c.spare
    )
    gaps = _GAP * (len(kept) - 1)
    if sum(full.values()) + gaps <= room:
        return kept, [full[one] for one in kept]
    for spare in spares:
        if sum(least[one] for one in kept) + _GAP * (len(kept) - 1) <= room:
            break
        kept.remove(spare)
    free = room - sum(least[one] for one in kept) - _GAP * (len(kept) - 1)
    widths = []
    for one in kept:
        more = max(min(full[one] - least[one], free), 0)
        free -= more
        widths.append(least[one] + more)
    return kept, widths


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.1f}"
    if isinstance(value, list | tuple):
        return ", ".join(map(clean, map(str, value))) or "-"
    return clean(str(value))


def answer(
    columns: Sequence[Column],
    rows: Sequence[Mapping[str, Any]],
    as_json: bool,
    **how: str,
) -> None:
    """Print rows as a table, or as a JSON list of objects."""
    if as_json:
        document(list(rows))
    else:
        table(columns, rows, **how)


def when(at: int | None) -> str:
    """Give an instant as a person reads it, in UTC."""
    return f"{moment(at):%Y-%m-%d %H:%M:%S}Z" if at else ""


def stamp(at: int | None) -> str | None:
    """Give an instant as JSON has it, null when there is none."""
    return taxii_text(at) if at else None
