"""A fresh store on each kind of database, with the usual parties."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from serantau.clock import SetClock
from serantau.records.audiences import Audiences
from serantau.records.database import Database
from serantau.records.ledger import Ledger
from serantau.records.migrations import migrate
from serantau.records.objects import Objects
from serantau.records.registry import Registry
from serantau.records.search import Search
from serantau.records.views import Views
from serantau.rules.party import Kind
from serantau.rules.release import Policy
from stores import READER, Store


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a furnished SQLite store, to be copied: making one takes longer."""
    folder = tmp_path_factory.mktemp("store")
    made = _open(f"sqlite:///{folder / 'serantau.db'}")
    _furnish(made)
    made.db.close()
    return folder


@pytest.fixture
def store(store_url: str, made_once: Path) -> Iterator[Store]:
    url = make_url(store_url)
    if url.get_backend_name() == "sqlite":
        shutil.copytree(made_once, Path(str(url.database)).parent, dirs_exist_ok=True)
        made = _open(store_url)
    else:
        made = _open(store_url)
        _furnish(made)
    yield made
    made.db.close()


@pytest.fixture
def postgres_store(postgres_database: str) -> Iterator[Store]:
    made = _open(postgres_database)
    _furnish(made)
    yield made
    made.db.close()


def _open(url: str) -> Store:
    db, audiences = Database(url, SetClock()), Audiences("th", Policy())
    return Store(
        db,
        audiences,
        Objects(audiences),
        Views(audiences),
        Ledger(audiences),
        Registry(audiences),
        Search(READER),
    )


def _furnish(made: Store) -> None:
    migrate(made.db)
    for name, kind in (
        ("th", Kind.OWN),
        ("sg", Kind.COORDINATOR),
        ("vn", Kind.MEMBER),
        ("jp", Kind.PARTNER),
        ("public", Kind.PUBLIC),
    ):
        made.put(name, kind)
