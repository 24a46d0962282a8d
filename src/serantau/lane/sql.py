"""Read-only SQL over the archive: one SELECT, with bounds on what it gives and takes.

Polars runs it, in a process of its own: a statement that wants too much time or memory
ends with that process and nothing else. Run as a program this module is that process.
Polars' SQL can also read files, which nobody may do here: a statement that names one of
these functions is refused, in whatever place it does.
"""

from __future__ import annotations

import re
import resource
import signal
import subprocess
import sys
from dataclasses import dataclass
from io import BytesIO
from typing import Final

import msgspec
import polars as pl

from serantau import typed
from serantau.errors import BadRequest, SerantauError, StoreError
from serantau.lane.archive import Archive
from serantau.lane.delta import Table, told

MOST_ROWS: Final = 10_000
_FIRST_WORD: Final = re.compile(r"\s*\(*\s*(select|with)\b", re.IGNORECASE)
_READS: Final = re.compile(r"\b(?:read|scan)_[a-z]+", re.IGNORECASE)
_THEIRS: Final = 65
_OURS: Final = 74


class _Order(msgspec.Struct, frozen=True):
    """What the process beside is to do."""

    root: str
    storage: dict[str, str]
    statement: str
    rows: int
    memory: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What a statement gave. more: there were more rows than were asked for."""

    rows: pl.DataFrame
    more: bool


def ask(
    archive: Archive,
    text: str,
    *,
    limit: int = MOST_ROWS,
    seconds: float = 600,
    megabytes: int = 2000,
) -> Answer:
    """Run one SELECT over the tables `events` and `rejects`.

    Both have a column `day` (Date) beside their own: what is said of `day`, `time` and
    the columns whose span files tell keeps files from being read.

    Args:
        archive: what to ask.
        text: the statement.
        limit: rows that are given at most.
        seconds: after so many it is given up.
        megabytes: memory that it may take.

    Raises:
        BadRequest: it is no SELECT, names what there is not, or takes too much.
        StoreError: the archive cannot be read.
    """
    order = _Order(
        archive.root,
        archive.events.storage,
        _checked(text),
        limit + 1,
        megabytes * 1_000_000,
    )
    mend = "Name days, such as: WHERE day >= '2026-03-01'."
    try:
        done = subprocess.run(  # noqa: S603 - this program itself
            [sys.executable, "-m", __name__],
            input=msgspec.json.encode(order),
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as fault:
        raise BadRequest(
            f"The statement ran for {seconds:g} seconds and was stopped.", mend=mend
        ) from fault
    if done.returncode == _THEIRS:
        raise BadRequest(done.stderr.decode())
    if done.returncode == -signal.SIGABRT:
        raise BadRequest(
            f"The statement wanted more than {megabytes} MB of memory.", mend=mend
        )
    if done.returncode:
        raise StoreError(done.stderr.decode()[-1000:])
    found = pl.read_ipc(BytesIO(done.stdout))
    return Answer(found.head(limit), found.height > limit)


def _checked(text: str) -> str:
    """Give one SELECT statement without the semicolon at its end.

    Raises:
        BadRequest: it is something else.
    """
    statement = text.strip().removesuffix(";").rstrip()
    if not _FIRST_WORD.match(statement):
        raise BadRequest(
            "Only SELECT can be run here: nothing in the archive is changed by SQL."
        )
    named = _READS.search(statement)
    if named:
        raise BadRequest(f"{named.group()} is not for use here.")
    return statement


def _frame(table: Table) -> pl.LazyFrame:
    return pl.scan_delta(table.open(), storage_options=table.storage or None)


def _run(order: _Order) -> bytes:
    """Run a statement here and give its rows as an Arrow file.

    Raises:
        BadRequest: it cannot be run.
        StoreError: the archive cannot be read.
    """
    resource.setrlimit(resource.RLIMIT_DATA, (order.memory, order.memory))
    archive = Archive(order.root, order.storage)
    tables = {"events": _frame(archive.events), "rejects": _frame(archive.rejects)}
    try:
        with (
            told(archive.root),
            pl.SQLContext(tables, register_globals=False, eager=False) as context,
        ):
            plan = context.execute(order.statement).head(order.rows)
            rows = plan.collect(engine="streaming")
    except StoreError as fault:
        if isinstance(fault.__cause__, OSError):
            raise
        # Polars adds the stack of its own plan, which says nothing to who asked.
        said = str(fault.__cause__).partition("\n")[0]
        raise BadRequest(f"The statement cannot be run: {said}.") from fault
    packed = BytesIO()
    rows.write_ipc(packed)
    return packed.getvalue()


def main() -> int:
    """Run the statement that comes in by standard input; gives the exit code."""
    order = typed.read(sys.stdin.buffer.read(), _Order)
    try:
        sys.stdout.buffer.write(_run(order))
    except SerantauError as fault:
        sys.stderr.write(str(fault))
        return _OURS if fault.ours else _THEIRS
    return 0


if __name__ == "__main__":
    sys.exit(main())
