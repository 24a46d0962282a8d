"""Which realm a store and its keys are of: said once, when they are first used."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

from serantau.errors import ConfigError
from serantau.records.database import Database

FILE: Final = "realm"
_NAME: Final = "realm"
_MEND: Final = (
    "A realm has a node, a folder and keys of its own: make one with "
    "`serantau --home FOLDER init --realm REALM`."
)


def bind(db: Database, keys: Path, realm: str) -> None:
    """Make sure that a node's store and keys are of its realm; new ones become so.

    Args:
        db: the node's store.
        keys: the folder of its keys, which need not be there yet.
        realm: what the settings say.

    Raises:
        ConfigError: the store or the keys were made in another realm.
    """
    path = keys / FILE
    try:
        said = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        said = ""
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigError(f"{path} cannot be read: {fault}.") from fault
    _check(f"The folder {keys}", said, realm)
    with db.read() as tx:
        held = tx.value("SELECT value FROM meta WHERE name = :name", name=_NAME)
    if held is None:
        with db.write() as tx:
            tx.run(
                "INSERT INTO meta (name, value) VALUES (:name, :realm) "
                "ON CONFLICT (name) DO NOTHING",
                name=_NAME,
                realm=realm,
            )
            held = tx.value("SELECT value FROM meta WHERE name = :name", name=_NAME)
    _check(f"The database {db.shown}", str(held), realm)
    if not said and keys.is_dir():
        # Where a secret store shows the keys, nothing can be written beside them.
        with suppress(OSError):
            path.touch(mode=0o600)
            path.write_text(f"{realm}\n", encoding="utf-8")


def _check(what: str, held: str, realm: str) -> None:
    if held and held != realm:
        raise ConfigError(
            f"{what} is of the realm {held!r}, and node.realm is {realm!r}; "
            "nothing was opened.",
            mend=_MEND,
        )
