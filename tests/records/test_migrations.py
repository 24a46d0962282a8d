"""A store's tables are made and taken away step by step, whatever is in them."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from serantau.clock import SetClock, SystemClock
from serantau.errors import StoreError
from serantau.records import tables
from serantau.records.database import Database
from serantau.records.migrations import current, head, migrate
from serantau.records.parcels import Parcels, Part
from serantau.rules.marking import Tlp, make_audience
from stores import AMBER, CLEAR, GREEN, PROCESSES, Store, indicator, later

ALEMBIC = "alembic_version"


def names(db: Database) -> set[str]:
    """Name the tables of both schemas, without those of full-text search."""
    with db.engine.connect() as connection:
        inspector = sa.inspect(connection)
        found = set(inspector.get_table_names())
        if db.lite or "ledger" in inspector.get_schema_names():
            found |= set(inspector.get_table_names(schema=tables.LEDGER))
    return {name for name in found if not name.startswith("object_text")}


def fill(store: Store) -> None:
    one = indicator("x", GREEN)
    store.admit(one, later(one, 2), indicator("y"))
    with store.db.write() as tx:
        store.registry.put_circle(tx, "banks", ["vn"])
        store.registry.put_collection(tx, "all", "All")
        store.registry.add_user(tx, "u", "vn", "reader", "a password")
        store.registry.add_token(tx, "u", "t")
    with store.db.read() as tx:
        store.ledger.record(
            tx, party=1, actor="u", way="taxii", collection=1, request="",
            stamps=[1, 2], epoch=tx.epoch(),
        )  # fmt: skip


def test_a_filled_store_goes_down_and_up_again(store: Store) -> None:
    fill(store)
    assert current(store.db) == head()
    migrate(store.db, "base")
    assert current(store.db) == ""
    assert names(store.db) <= {ALEMBIC}
    migrate(store.db)
    assert current(store.db) == head()
    with store.db.read() as tx:
        assert tx.value("SELECT count(*) FROM object") == 0
        assert tx.value("SELECT count(*) FROM ledger.release") == 0
        assert tx.epoch() == 1


def test_a_store_from_before_lists_its_definitions_and_their_circles(
    store: Store,
) -> None:
    with store.db.write() as tx:
        circle = store.registry.put_circle(tx, "banks", ["vn"])
    naming = make_audience(circles=[circle.id])
    store.admit(indicator("x", GREEN), naming, make_audience(named=["id"]))
    with store.db.read() as tx:
        listed = tx.rows("SELECT added, circle FROM definition ORDER BY added, circle")
    assert len(listed) == 3
    migrate(store.db, "0014")
    migrate(store.db)
    with store.db.read() as tx:
        again = tx.rows("SELECT added, circle FROM definition ORDER BY added, circle")
        assert store.audiences.naming(tx, circle.id) == [naming["id"]]
    assert [tuple(row) for row in again] == [tuple(row) for row in listed]


def test_parcels_keep_their_turns_and_drafts_go_with_the_table_of_turns(
    store: Store,
) -> None:
    parcels = Parcels()
    levels = [Tlp.CLEAR]
    parts = [Part("vn", Tlp.CLEAR, rows, b"rows") for rows in (1, 2)]
    with store.db.write() as tx:
        first = parcels.draft(tx, "a", parts)
        assert parcels.queue(tx, "b", parcels.draft(tx, "b", parts)) == 3
        assert parcels.queue(tx, "a", first) == 3
        parcels.draft(tx, "c", parts)
    with store.db.read() as tx:
        before = parcels.after(tx, "vn", -1, levels)
        turns = tx.rows("SELECT n, member FROM parcel_turn ORDER BY n")
    migrate(store.db, "0019")
    with store.db.read() as tx:
        held = tx.rows("SELECT n, member, batch FROM parcel ORDER BY n")
    assert [row.batch for row in held] == ["b", "b", "a", "a"]
    assert [tuple(row[:2]) for row in held] == [tuple(row) for row in turns]
    migrate(store.db)
    with store.db.read() as tx:
        assert parcels.after(tx, "vn", -1, levels) == before
        assert parcels.last(tx, "vn") == turns[-1].n


def test_a_store_from_before_notes_what_of_an_object_is_earlier(store: Store) -> None:
    one, other = indicator("x", GREEN), indicator("y", AMBER)
    store.admit(one, later(one, 2), later(one, 3, CLEAR), indicator("z", GREEN))
    store.admit(other, later(other, 2, GREEN))
    noted = "SELECT id, version, prior FROM object ORDER BY added"
    with store.db.read() as tx:
        before = [tuple(row) for row in tx.rows(noted)]
    assert {row[2] for row in before} == {0, 1, 2}
    migrate(store.db, "0020")
    migrate(store.db)
    with store.db.read() as tx:
        assert [tuple(row) for row in tx.rows(noted)] == before


def test_migrating_again_changes_nothing(store: Store) -> None:
    fill(store)
    migrate(store.db)
    with store.db.read() as tx:
        assert tx.value("SELECT count(*) FROM object") == 3


def test_the_tables_are_those_that_the_code_knows(store: Store) -> None:
    assert names(store.db) - {ALEMBIC} == {
        table.name for table in tables.metadata.tables.values()
    }

    def ours(name: str | None, kind: str, parents: Any) -> bool:
        if kind == "schema":
            return name in {None, tables.LEDGER}
        return kind != "table" or not str(name).startswith(("object_text", ALEMBIC))

    with store.db.engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": True,
                "include_name": ours,
                "compare_type": True,
                "compare_server_default": True,
            },
        )
        assert compare_metadata(context, tables.metadata) == []


def test_a_store_of_a_newer_program_is_refused_and_left_alone(store: Store) -> None:
    fill(store)
    with store.db.write() as tx:
        tx.run("UPDATE alembic_version SET version_num = '9999'")
    for revision in ("head", "base"):
        with pytest.raises(StoreError, match=r"revision 9999.* newer Serantau"):
            migrate(store.db, revision)
    with store.db.read() as tx:
        assert tx.value("SELECT count(*) FROM object") == 3


def test_a_store_without_tables_is_at_no_revision(empty_url: str) -> None:
    db = Database(empty_url, SetClock())
    assert current(db) == ""
    migrate(db)
    assert current(db) == head()
    db.close()


def start(url: str) -> None:
    db = Database(url, SystemClock())
    migrate(db)
    with db.write() as tx:
        tx.stamps(1)
    db.close()


def test_processes_that_start_at_once_make_the_tables_once(empty_url: str) -> None:
    processes = [PROCESSES.Process(target=start, args=(empty_url,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    db = Database(empty_url, SetClock())
    assert current(db) == head()
    with db.read() as tx:
        assert tx.value("SELECT count(*) FROM stamp") == 1
    db.close()


@pytest.mark.parametrize("then", ["head", "base"])
def test_a_crash_between_the_two_files_of_sqlite_is_mended_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    db = Database(f"sqlite:///{tmp_path / 'a.db'}", SetClock())
    if then == "base":
        migrate(db)
    reshape, turns = db.reshape, iter([False, True, False, False])

    class Crash(Exception):
        pass

    def crashing() -> Any:
        if next(turns):
            raise Crash
        return reshape()

    monkeypatch.setattr(db, "reshape", crashing)
    with pytest.raises(Crash):
        migrate(db, then)
    # Upwards the log is there first, downwards it goes last.
    with db.engine.connect() as connection:
        inspector = sa.inspect(connection)
        assert inspector.has_table("release", schema="ledger")
        assert not inspector.has_table("object")
    assert current(db) == ""
    migrate(db, then)
    assert current(db) == (head() if then == "head" else "")
    assert ("object" in names(db)) == ("release" in names(db)) == (then == "head")
    db.close()


@pytest.mark.postgres
def test_a_postgresql_without_trigrams_still_gets_its_tables(
    postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = Database(postgres_database, SetClock())
    real = sa.Connection.exec_driver_sql

    def without(self: sa.Connection, statement: str, *rest: Any, **more: Any) -> Any:
        if "pg_available_extensions" in statement:
            statement = statement.replace("'pg_trgm'", "'no such extension'")
        return real(self, statement, *rest, **more)

    monkeypatch.setattr(sa.Connection, "exec_driver_sql", without)
    migrate(db)
    assert current(db) == head()
    assert "object_text" in sa.inspect(db.engine).get_table_names()
    db.close()
