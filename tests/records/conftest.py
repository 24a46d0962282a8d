"""A fresh store on each kind of database, with the usual parties."""

from collections.abc import Iterator

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


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    yield from _furnished(store_url)


@pytest.fixture
def postgres_store(postgres_database: str) -> Iterator[Store]:
    yield from _furnished(postgres_database)


def _furnished(url: str) -> Iterator[Store]:
    db = Database(url, SetClock())
    migrate(db)
    audiences = Audiences("th", Policy())
    made = Store(
        db,
        audiences,
        Objects(audiences),
        Views(audiences),
        Ledger(audiences),
        Registry(audiences),
        Search(READER),
    )
    for name, kind in (
        ("th", Kind.OWN),
        ("sg", Kind.COORDINATOR),
        ("vn", Kind.MEMBER),
        ("jp", Kind.PARTNER),
        ("public", Kind.PUBLIC),
    ):
        made.put(name, kind)
    yield made
    db.close()
