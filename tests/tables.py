"""The tables of a store, made once for many tests: to make them takes longest."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

STORE = "serantau.db"


def with_tables(home: Path) -> Path:
    """Give a folder a SQLite store that has its tables, if it has none; and the folder.

    Nothing is in the tables.
    """
    if not (home / STORE).exists():
        shutil.copytree(_made_once(), home, dirs_exist_ok=True)
    return home


@cache
def _made_once() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="serantau-tables-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    make_tables(f"sqlite:///{folder / STORE}")
    return folder


def make_tables(url: str) -> None:
    """Bring an empty database up to date."""
    # Here: what no test of a database needs is not imported for it.
    from serantau.clock import SetClock
    from serantau.records.database import Database
    from serantau.records.migrations import migrate

    db = Database(url, SetClock())
    migrate(db)
    db.close()
