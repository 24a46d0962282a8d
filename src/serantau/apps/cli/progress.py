"""How far a long command is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from serantau.apps.cli.output import clean, console, note

_SECONDS_BETWEEN_LINES = 5.0
Step = Callable[[int, str], None]


@contextmanager
def counted(title: str, total: int | None = None) -> Iterator[Step]:
    """Show progress on standard error while the block runs.

    Gives a function to be called with what is done so far, in the unit of `total`
    (unknown when it is None), and a few words.
    """
    shown = console(error=True)
    if not shown.is_terminal:
        yield _lines(title, total)
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.text import Text

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[said]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=shown, transient=True) as bar:
        task = bar.add_task(Text(title).plain, total=total, said="")

        def step(done: int, said: str) -> None:
            bar.update(task, completed=done, said=clean(said))

        yield step


def _lines(title: str, total: int | None) -> Step:
    last = time.monotonic()

    def step(done: int, said: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_LINES:
            last = now
            share = f" {done * 100 // total} %" if total else f" {done:,}"
            note(f"{title}{share}: {said}")

    return step
