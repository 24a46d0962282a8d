"""What a server asks of the C libraries, before they listen no more."""

from __future__ import annotations

import subprocess
import sys

from bench.nodes import environment

_COUNTS = """
import ctypes
from serantau.apps.web.memory import count_no_memory
{first}
import sqlite3, _sqlite3
lines = sqlite3.connect(":memory:").execute("SELECT zeroblob(1000000)").fetchall()
used = ctypes.CDLL(_sqlite3.__file__).sqlite3_memory_used
used.restype = ctypes.c_int64
print(used() > 0, count_no_memory())
"""


def _said(first: str) -> list[str]:
    # What measures coverage has started SQLite before anybody can ask.
    command = [sys.executable, "-c", _COUNTS.format(first=first)]
    done = subprocess.run(
        command, env=environment({}), check=True, capture_output=True, text=True
    )
    return done.stdout.split()


def test_sqlite_counts_no_memory_once_it_was_asked_before_it_started() -> None:
    assert _said("assert count_no_memory()") == ["False", "False"]
    assert _said("") == ["True", "False"]


def test_nothing_starts_sqlite_before_a_server_asks_that_of_it() -> None:
    script = (
        "import sys, serantau.apps.cli.main, serantau.apps.cli.serve\n"
        "from serantau.apps.web import memory\n"
        "print(sorted({'sqlite3', '_sqlite3', 'sqlalchemy'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(
        command, env=environment({}), check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"
