"""A fresh store on each kind of database, with the usual parties."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

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


@pytest.fixture(scope="session")
def postgres_made_once(
    postgres_tables_made_once: str,
    postgres_copies: Callable[[str], AbstractContextManager[str]],
) -> Iterator[str]:
    """The URL of a furnished PostgreSQL store, to be copied."""
    with postgres_copies(postgres_tables_made_once) as url:
        made = _open(url)
        _furnish(made)
        made.db.close()
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def furnished_url(
    request: pytest.FixtureRequest, tmp_path: Path, made_once: Path
) -> Iterator[str]:
    """The URL of a fresh, furnished database: once SQLite, once PostgreSQL."""
    if request.param == "postgres":
        copies = request.getfixturevalue("postgres_copies")
        with copies(request.getfixturevalue("postgres_made_once")) as url:
            yield url
        return
    shutil.copytree(made_once, tmp_path, dirs_exist_ok=True)
    yield f"sqlite:///{tmp_path / 'serantau.db'}"


@pytest.fixture
def store(furnished_url: str) -> Iterator[Store]:
    made = _open(furnished_url)
    yield made
    made.db.close()


@pytest.fixture
def postgres_store(
    postgres_made_once: str,
    postgres_copies: Callable[[str], AbstractContextManager[str]],
) -> Iterator[Store]:
    with postgres_copies(postgres_made_once) as url:
        made = _open(url)
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
