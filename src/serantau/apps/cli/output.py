"""What commands print: tables for people, one JSON document for machines, complaints.

Names and values come from others, so nothing of them is taken for markup or reaches the
terminal as a control character. What is no terminal gets no colour and no line cut.
"""

from __future__ import annotations

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


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: which key of the rows, under which title."""

    key: str
    title: str
    right: bool = False
    style: str = ""


def clean(text: str) -> str:
    """Give a text that cannot command a terminal nor turn the order of its letters."""
    return "".join(
        one if one.isprintable() or one in _KEPT else f"\\u{ord(one):04x}"
        for one in text
    )


def shorten(text: str, width: int = 60) -> str:
    """Cut what is too long for a column of a table."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


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
    shown = Table(
        title=Text(title, style="bold") if title else None,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
        header_style="bold",
    )
    for column in columns:
        shown.add_column(
            column.title,
            justify="right" if column.right else "left",
            style=column.style or None,
            overflow="fold",
        )
    for row in rows:
        shown.add_row(*(Text(_cell(row.get(column.key))) for column in columns))
    console().print(shown)


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
