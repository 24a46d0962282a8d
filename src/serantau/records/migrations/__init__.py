"""The store's tables, made and changed step by step (Alembic), up and down.

Alembic takes longer to import than most commands take to work, so that whether a store
is up to date is told without it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from serantau.errors import StoreError
from serantau.records.database import Database
from serantau.records.tables import LEDGER

if TYPE_CHECKING:
    from alembic.config import Config

_VERSION = "alembic_version"


def _script() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    # Paths are ours; a `%` or a comma in them is no option's separator.
    config.set_main_option("path_separator", "os")
    return config


def head() -> str:
    """Give the newest revision that this program knows: files are named by theirs."""
    names = (Path(__file__).parent / "versions").glob("[0-9]*_*.py")
    return max(path.name.partition("_")[0] for path in names)


def current(database: Database) -> str:
    """Give the revision that a store is at; empty when it has no tables.

    Raises:
        StoreError: the store's release log is not there (SQLite: a file of its own).
    """
    with database.read() as tx:
        at = _revision(tx.connection, None)
        if database.lite and at and not _revision(tx.connection, LEDGER):
            raise StoreError(
                f"{database.shown} has no release log: {database.ledger_path} is not "
                "the file that belongs to it.",
                mend="Restore both files from one backup.",
            )
    return at


def _revision(connection: Connection, schema: str | None) -> str:
    if not sa.inspect(connection).has_table(_VERSION, schema=schema):
        return ""
    table = sa.table(_VERSION, sa.column("version_num"), schema=schema)
    return connection.scalar(sa.select(table.c.version_num)) or ""


def migrate(database: Database, revision: str = "head") -> None:
    """Bring a store up or down to a revision ("base": no tables).

    With PostgreSQL this is one transaction. With SQLite it is one for each file, since
    one over both could be cut in two by a crash: the release log goes first upwards and
    last downwards, so that a store never lacks the log that it needs.

    Raises:
        StoreError: the store was made by a newer program.
    """
    from alembic import command
    from alembic.script import ScriptDirectory

    at = current(database)
    known = {
        script.revision
        for script in ScriptDirectory.from_config(_script()).walk_revisions()
    }
    if at and at not in known:
        raise StoreError(
            f"{database.shown} is at revision {at}, which this program does not know.",
            mend="It was made by a newer Serantau: install that one.",
        )
    down = revision == "base" or revision < at
    if not database.lite:
        parts = [""]
    else:
        parts = ["store", LEDGER] if down else [LEDGER, "store"]
    for part in parts:
        config = _script()
        with database.reshape() as connection:
            config.attributes["connection"] = connection
            config.attributes["part"] = part
            if down:
                command.downgrade(config, revision)
            else:
                command.upgrade(config, revision)


def touches(part: str) -> bool:
    """Say whether a revision's step is to change "store" or "ledger" now."""
    from alembic import context

    now = context.config.attributes["part"]
    return now in {"", part}
