"""A figure: what was measured, what it should be, and against which limit it stands."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import orjson
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.machine import Machine

console = Console(highlight=False)


@dataclass(frozen=True, slots=True)
class Limit:
    """What bounds a figure, measured in the same run, in the same unit.

    least, most: what the ratio of the figure to it should be within; None where it may
    be anything.
    """

    name: str
    value: float
    least: float | None = None
    most: float | None = None

    def admits(self, value: float) -> bool:
        """Say whether the ratio of `value` to this limit is as it should be."""
        ratio = value / self.value
        low = self.least is None or ratio >= self.least
        return low and (self.most is None or ratio <= self.most)

    @property
    def asked(self) -> str:
        """Give what the ratio should be as text; empty when it may be anything."""
        bounds = (("at least", self.least), ("at most", self.most))
        said = [f"{word} {bound:g}" for word, bound in bounds if bound is not None]
        return f"{' and '.join(said)} of {self.name}" if said else ""


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    what: in words. value: the median of `runs`. unit: of it. target: what it should be,
    None where nothing is asked. at_least: whether the target is a floor, else it is a
    ceiling. limits: what bounds it. note: how it was measured.
    """

    what: str
    runs: tuple[float, ...]
    unit: str
    target: float | None = None
    at_least: bool = False
    limits: tuple[Limit, ...] = ()
    note: str = ""

    @property
    def value(self) -> float:
        """Give the median of the runs."""
        return statistics.median(self.runs)

    @property
    def held(self) -> bool | None:
        """Say whether all that is asked for holds; None when nothing is."""
        asked = [limit.admits(self.value) for limit in self.limits if limit.asked]
        if self.target is not None:
            low, high = sorted((self.value, self.target))
            asked.append(self.value == (high if self.at_least else low))
        return all(asked) if asked else None

    @property
    def asked(self) -> str:
        """Give the targets as text."""
        said = []
        if self.target is not None:
            word = "at least" if self.at_least else "at most"
            said.append(f"{word} {amount(self.target, self.unit)}")
        said += [limit.asked for limit in self.limits if limit.asked]
        return "; ".join(said)

    @property
    def measured(self) -> str:
        """Give the median, and the spread of the runs when there are several."""
        text = amount(self.value, self.unit)
        if len(self.runs) > 1:
            low, high = (amount(end(self.runs), "") for end in (min, max))
            text += f" ({low} to {high})"
        return text

    @property
    def ratios(self) -> str:
        """Give the ratio to each limit as text."""
        return "; ".join(
            f"{self.value / limit.value:.2f} of {limit.name} "
            f"({amount(limit.value, self.unit)})"
            for limit in self.limits
        )


def amount(value: float, unit: str) -> str:
    """Write a number with as many digits as it is worth."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f} {unit}".rstrip()


def seconds(work: Callable[[], object]) -> float:
    """Give how long some work takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def several(runs: int, work: Callable[[], float]) -> tuple[float, ...]:
    """Measure several times."""
    return tuple(work() for _ in range(runs))


def show(title: str, figures: Sequence[Figure], machine: Machine) -> None:
    """Print figures as a table."""
    table = Table(title=title, caption=f"{machine}, {machine.date}; {machine.programs}")
    for column in ("What", "Target", "Measured", "Ratio to limits of this run", ""):
        table.add_column(column)
    for one in figures:
        mark = {True: "[green]held[/]", False: "[red]missed[/]", None: ""}[one.held]
        what = escape(one.what) + (f"\n[dim]{escape(one.note)}[/]" if one.note else "")
        table.add_row(what, one.asked, one.measured, one.ratios, mark, end_section=True)
    console.print(table)


def warn_if_busy(machine: Machine) -> None:
    """Say so when others are at work on this machine."""
    if machine.busy:
        console.print(
            f"[yellow]The load average is {machine.load}: this machine is busy, and "
            "figures measured on it are worse than they are.[/]"
        )


def write_json(path: Path, figures: Sequence[Figure], machine: Machine) -> None:
    """Write figures for a program to read."""
    rows: list[dict[str, Any]] = [
        {**asdict(one), "value": one.value, "held": one.held} for one in figures
    ]
    document = {"machine": asdict(machine), "figures": rows}
    path.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")


Part = Literal["figures", "scale"]


def at_percent(taken: Sequence[float], percent: int) -> float:
    """Give the lowest of what was taken that so many in a hundred do not exceed."""
    return sorted(taken)[math.ceil(len(taken) * percent / 100) - 1]


def write_markdown(
    path: Path, part: Part, figures: Sequence[Figure], machine: Machine
) -> None:
    """Write figures between the two markers of their part in a page.

    A row of the same figure is written over; rows of figures that were not measured
    this time stay, in their place.

    Raises:
        ValueError: the page has no such markers.
    """
    begin, end = f"<!-- {part}: begin -->", f"<!-- {part}: end -->"
    before, found, rest = path.read_text(encoding="utf-8").partition(begin)
    old, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"{path} has no markers {begin} and {end}")
    rows = [line for line in old.splitlines() if line.startswith("| ")][1:]
    for one in figures:
        same = tuple(f"| {_escaped(one.what)}{then}" for then in (" |", " ("))
        places = [place for place, row in enumerate(rows) if row.startswith(same)]
        place = places[0] if places else len(rows)
        rows[place : place + 1] = [_row(one, machine)]
    lines = [
        "| What | Target | Measured | Ratio to limits of that run | Machine | Date |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
        f"The last ones were measured with {machine.programs}.",
    ]
    path.write_text(
        f"{before}{begin}\n\n" + "\n".join(lines) + f"\n\n{end}{after}",
        encoding="utf-8",
    )


def _row(one: Figure, machine: Machine) -> str:
    what = f"{one.what} ({one.note})" if one.note else one.what
    measured = one.measured if one.held is not False else f"**{one.measured}**"
    where = f"{machine}, load {machine.load}" if machine.busy else str(machine)
    cells = (what, one.asked, measured, one.ratios, where, machine.date)
    return f"| {' | '.join(_escaped(cell) for cell in cells)} |"


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")
