"""The store's tables, made and changed step by step (Alembic), up and down."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from serantau.errors import StoreError
from serantau.records.database import Database


def _script() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    # Paths are ours; a `%` or a comma in them is no option's separator.
    config.set_main_option("path_separator", "os")
    return config


def head() -> str:
    """Give the newest revision that this program knows."""
    found = ScriptDirectory.from_config(_script()).get_current_head()
    return found or ""


def current(database: Database) -> str:
    """Give the revision that a store is at; empty when it has no tables."""
    with database.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision() or ""


def migrate(database: Database, revision: str = "head") -> None:
    """Bring a store to a revision ("base": no tables), in one transaction.

    Raises:
        StoreError: the store was made by a newer program.
    """
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
    if revision == "head" and at == head():
        return
    config = _script()
    with database.reshape() as connection:
        config.attributes["connection"] = connection
        if revision == "base":
            command.downgrade(config, revision)
        else:
            command.upgrade(config, revision)
