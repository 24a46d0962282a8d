"""Stamps grow in commit order, a reader sees one state, and a page never waits."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from multiprocessing.synchronize import Event as ProcessEvent
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serantau.clock import SetClock, SystemClock
from serantau.errors import Busy, ConfigError, StoreError
from serantau.records import database, tables
from serantau.records.audiences import Audiences
from serantau.records.database import Database, Tx
from serantau.records.ledger import Ledger
from serantau.records.migrations import current, migrate
from serantau.records.objects import Objects
from serantau.records.registry import Registry
from serantau.rules.marking import MarkingSet, Tlp
from serantau.rules.party import Kind, Party
from serantau.rules.release import Policy
from stores import GREEN, PROCESSES, Store, indicator, read


class Still:
    """A clock that shows what it is told, backwards too."""

    def __init__(self, at: int) -> None:
        self.at = at

    def now(self) -> int:
        return self.at


@pytest.fixture
def other(store: Store, furnished_url: str) -> Iterator[Database]:
    """The same store, opened once more as another process would."""
    made = Database(furnished_url, SystemClock())
    yield made
    made.close()


def take_stamps(url: str, writer: int, turns: int) -> None:
    """Write one row for each stamp taken: (number of the row, who, stamp)."""
    db = Database(url, SystemClock())
    for turn in range(turns):
        with db.write() as tx:
            first = tx.stamps(1 + turn % 3)
            tx.run(
                "INSERT INTO meta (name, value) VALUES (:name, :value)",
                name=f"{writer}/{turn}",
                value=str(first),
            )
    db.close()


def stamps_of(db: Database) -> list[int]:
    with db.read() as tx:
        return [
            int(row.value)
            for row in tx.rows("SELECT value FROM meta WHERE name LIKE '%/%'")
        ]


def test_stamps_of_concurrent_processes_are_unique_and_become_visible_in_order(
    store: Store, furnished_url: str
) -> None:
    processes = [
        PROCESSES.Process(target=take_stamps, args=(furnished_url, number, 25))
        for number in range(3)
    ]
    for process in processes:
        process.start()
    seen: list[set[int]] = []
    while any(process.is_alive() for process in processes):
        seen.append(set(stamps_of(store.db)))
        time.sleep(0.01)
    for process in processes:
        process.join()
        assert process.exitcode == 0
    seen.append(set(stamps_of(store.db)))
    assert len(seen[-1]) == 75
    for before, after in pairwise(seen):
        # Commit order: what appears later is greater than all that was there.
        assert before <= after
        assert not before or all(stamp > max(before) for stamp in after - before)


def test_stamps_of_concurrent_threads_never_overlap(store: Store) -> None:
    runs: list[range] = []

    def work() -> None:
        for count in (1, 7, 3, 20, 1):
            with store.db.write() as tx:
                first = tx.stamps(count)
                runs.append(range(first, first + count))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = [stamp for run in runs for stamp in run]
    assert len(runs) == 30
    assert len(set(taken)) == len(taken)


@given(readings=st.lists(st.integers(0, 10**16), min_size=1, max_size=12))
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_stamps_grow_whatever_the_clock_shows(
    store: Store, readings: list[int]
) -> None:
    clock = Still(0)
    with store.db.write() as tx:
        tx.run("UPDATE stamp SET last = 0")
    last = 0
    for at in readings:
        clock.at = at
        with store.db.write() as tx:
            tx.clock = clock
            first = tx.stamps(3)
        assert first == max(at, last + 1)
        last = first + 2


def test_a_reader_sees_one_state_however_long_it_reads(store: Store) -> None:
    store.admit(indicator("before", GREEN))
    with store.db.read() as tx:
        before = tx.value("SELECT count(*) FROM object")
        store.admit(indicator("meanwhile", GREEN))
        assert tx.value("SELECT count(*) FROM object") == before
        assert tx.epoch() == tx.epoch()
    with store.db.read() as tx:
        assert tx.value("SELECT count(*) FROM object") == before + 1


def test_what_is_not_committed_is_seen_by_nobody_and_leaves_no_trace(
    store: Store, other: Database
) -> None:
    taken: list[int] = []
    half = "SELECT value FROM meta WHERE name = 'half'"

    def fail() -> None:
        with store.db.write() as tx:
            tx.run("INSERT INTO meta (name, value) VALUES ('half', 'done')")
            taken.append(tx.stamps(5) + 4)
            with other.read() as seen:
                assert seen.value(half) is None
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with store.db.read() as tx:
        assert tx.value(half) is None
        assert tx.value("SELECT last FROM stamp") < taken[0]


def test_numbers_of_a_rolled_back_transaction_are_not_remembered(store: Store) -> None:
    # SQLite gives the number of a row that never came to be to the next one: who
    # remembered it would release objects of the second set by the first one's verdicts.
    wide, narrow = MarkingSet((GREEN,)), MarkingSet((), handled_as=Tlp.RED)

    def fail() -> None:
        with store.db.write() as tx:
            store.audiences.set_number(tx, wide)
            store.audiences.words(tx, ["never"])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with store.db.write() as tx:
        number = store.audiences.set_number(tx, narrow)
        word = store.audiences.words(tx, ["other"])["other"]
    with store.db.write() as tx:
        assert store.audiences.set_number(tx, wide) != number
        assert store.audiences.words(tx, ["never"])["never"] != word
        assert Audiences.set_of(tx, number) == narrow


def record(tx: Tx, ledger: Ledger, party: int, stamps: list[int]) -> None:
    ledger.record(
        tx,
        party=party,
        actor="someone",
        way="taxii",
        collection=0,
        request="",
        stamps=stamps,
        epoch=tx.epoch(),
    )


def hold(url: str, held: ProcessEvent, done: ProcessEvent) -> None:
    db = Database(url, SystemClock())
    with db.write() as tx:
        tx.stamps(1)
        tx.run("INSERT INTO meta (name, value) VALUES ('held', 'yes')")
        held.set()
        done.wait(30)
    db.close()


@pytest.fixture
def loading(store: Store, furnished_url: str) -> Iterator[None]:
    """Another process is in the middle of a write to the store."""
    held, done = PROCESSES.Event(), PROCESSES.Event()
    process = PROCESSES.Process(target=hold, args=(furnished_url, held, done))
    process.start()
    assert held.wait(30)
    yield
    done.set()
    process.join()


@pytest.mark.usefixtures("loading")
def test_a_release_is_logged_at_once_while_another_process_loads(store: Store) -> None:
    party = store.number("vn")
    began = time.monotonic()
    with store.db.read() as tx:
        record(tx, store.ledger, party, [1, 2, 3])
    assert time.monotonic() - began < 1
    with store.db.read() as tx:
        assert tx.value("SELECT count(*) FROM ledger.release") == 1


@pytest.mark.usefixtures("loading")
def test_who_waits_too_long_to_write_is_told_that_the_store_is_held(
    store: Store, furnished_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_BUSY_SECONDS", 0.3 if store.db.lite else 1)
    waiting = Database(furnished_url, SystemClock())
    try:
        with pytest.raises(Busy, match="held by another process"), waiting.write():
            pytest.fail("two write at once")
        with waiting.read() as tx:
            assert tx.value("SELECT 1") == 1
    finally:
        waiting.close()


def log_many(url: str, party: int, turns: int) -> None:
    db = Database(url, SystemClock())
    audiences = Audiences("th", Policy())
    for turn in range(turns):
        # A new ledger each time: it remembers nothing, as after a change of verdicts.
        with db.read() as tx:
            record(tx, Ledger(audiences), party, [turn + 1])
    db.close()


def test_processes_that_log_at_the_same_time_do_not_fail_each_other(
    store: Store, furnished_url: str
) -> None:
    party = store.number("vn")
    processes = [
        PROCESSES.Process(target=log_many, args=(furnished_url, party, 40))
        for _ in range(3)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    with store.db.read() as tx:
        assert tx.value("SELECT count(*) FROM ledger.release") == 120
        assert tx.value("SELECT count(*) FROM ledger.grant_view") == 1


def test_the_same_grant_written_twice_at_once_is_one_row(
    store: Store, furnished_url: str
) -> None:
    party = store.number("vn")
    faults: list[BaseException] = []
    go = threading.Barrier(2)

    def work() -> None:
        db = Database(furnished_url, SystemClock())
        try:
            with db.read() as tx:
                tx.epoch()
                go.wait(10)
                record(tx, Ledger(store.audiences), party, [7])
        except BaseException as fault:
            faults.append(fault)
        finally:
            db.close()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    with store.db.read() as tx:
        assert tx.value("SELECT count(*) FROM ledger.grant_view") == 1
        rows = tx.rows(
            "SELECT g.n FROM ledger.release r "
            "JOIN ledger.grant_view g ON g.n = r.grant_view"
        )
    assert len(rows) == 2


class Watched:
    """Which schemas of a SQLite store each transaction wrote to."""

    def __init__(self, db: Database) -> None:
        self.transactions: list[set[str]] = [set()]
        sa.event.listen(db.engine, "connect", self._connect)
        sa.event.listen(db.engine, "begin", self._begin)
        db.engine.dispose()

    def _connect(self, connection: sqlite3.Connection, _record: object) -> None:
        writes = {
            sqlite3.SQLITE_INSERT,
            sqlite3.SQLITE_UPDATE,
            sqlite3.SQLITE_DELETE,
            sqlite3.SQLITE_CREATE_TABLE,
            sqlite3.SQLITE_DROP_TABLE,
        }

        def authorise(
            action: int, one: str | None, two: str | None, schema: str | None, *_: Any
        ) -> int:
            if action in writes and schema not in {None, "temp"}:
                self.transactions[-1].add(str(schema))
            return sqlite3.SQLITE_OK

        connection.set_authorizer(authorise)

    def _begin(self, _connection: object) -> None:
        self.transactions.append(set())


def test_no_transaction_writes_both_files_of_a_sqlite_store(tmp_path: Path) -> None:
    # docs/adr/0004: a transaction over two files is not one unit when a machine dies.
    db = Database(f"sqlite:///{tmp_path / 'a.db'}", SetClock())
    watched = Watched(db)
    migrate(db)
    audiences = Audiences("th", Policy())
    registry, ledger = Registry(audiences), Ledger(audiences)
    with db.write() as tx:
        registry.put_party(tx, Party("th", Kind.OWN))
        registry.put_party(tx, Party("vn", Kind.MEMBER))
    one = read(indicator("x", GREEN))
    for blocked in (True, False):
        with db.write() as tx:
            Objects(audiences).admit(
                tx, [one], source="file", handling=lambda _: Tlp.RED
            )
            registry.put_party(tx, Party("vn", Kind.MEMBER, blocked=blocked))
    with db.read() as tx:
        record(tx, ledger, 2, [1])
    with db.write() as tx:
        Objects(audiences).delete(tx, one.id)
    migrate(db, "base")
    db.close()
    wrote = watched.transactions
    assert {"main"} in wrote
    assert {"ledger"} in wrote
    assert {"main", "ledger"} not in wrote


def test_a_release_log_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path / 'a.db'}", SetClock())
    migrate(db)
    path = db.ledger_path
    assert path is not None
    db.close()
    for file in tmp_path.glob(f"{path.name}*"):
        file.unlink()
    db = Database(f"sqlite:///{tmp_path / 'a.db'}", SetClock())
    with pytest.raises(StoreError, match="has no release log"):
        current(db)
    db.close()


def test_reads_together_are_one_transaction_and_one_state(store: Store) -> None:
    with store.db.together():
        with store.db.read() as one:
            before = one.value("SELECT count(*) FROM object")
        store.admit(indicator("meanwhile", GREEN))
        with store.db.read() as two:
            assert two is one
            assert two.value("SELECT count(*) FROM object") == before
    with store.db.read() as three:
        assert three.value("SELECT count(*) FROM object") == before + 1


def test_what_is_logged_together_is_gone_when_the_end_fails(store: Store) -> None:
    party = store.number("vn")

    def fail() -> None:
        with store.db.together():
            with store.db.read() as tx:
                record(tx, store.ledger, party, [1])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with store.db.read() as tx:
        assert tx.value("SELECT count(*) FROM ledger.release") == 0
    # What it remembered of the grant is gone too: the next row names one that is there.
    with store.db.read() as tx:
        record(tx, store.ledger, party, [1])
    with store.db.read() as tx:
        assert tx.value(
            "SELECT count(*) FROM ledger.release r "
            "JOIN ledger.grant_view g ON g.n = r.grant_view"
        )


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("nonsense", "not a database URL"),
        ("mysql://host/db", "expected sqlite or postgresql"),
        ("postgresql://host/db", "expected sqlite or postgresql"),
        ("sqlite://", "must name a file"),
    ],
)
def test_a_url_that_is_of_no_store_is_refused(url: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Database(url, SetClock())


def test_a_store_that_does_not_answer_is_named_without_its_password(
    tmp_path: Path,
) -> None:
    url = f"postgresql+psycopg://me:secret@/nowhere?host={tmp_path}"
    db = Database(url, SetClock())
    with pytest.raises(StoreError) as fault, db.read():
        pytest.fail("there is no server")
    assert "secret" not in str(fault.value)
    assert "***" in str(fault.value)
    assert db.ledger_path is None
    db.close()


def test_a_file_that_cannot_be_written_is_a_store_error(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path / 'no' / 'such.db'}", SetClock())
    with pytest.raises(StoreError), db.read():
        pytest.fail("there is no folder")
    db.close()


def test_rows_of_every_kind_go_in_in_bulk(store: Store) -> None:
    columns = [column.name for column in tables.collection.columns]
    with store.db.write() as tx:
        tx.insert_many(tables.collection, columns, [])
        tx.insert_texts([])
        tx.insert_many(
            tables.collection,
            columns,
            [(7, "i", "a", 'tab\tand "quote"', "\\N", True, "{}", "ไทย\n")],
        )
        tx.insert_many(tables.value, ("digest", "object"), [(-(2**63), 2**63 - 1)])
    with store.db.read() as tx:
        row = tx.row("SELECT * FROM collection")
        assert tuple(row)[1:5] == ("i", "a", 'tab\tand "quote"', "\\N")
        assert bool(row.box) is True
        assert row.access == "ไทย\n"
        assert [tuple(one) for one in tx.rows("SELECT * FROM value")] == [
            (-(2**63), 2**63 - 1)
        ]


def test_lists_bind_as_one_value_whatever_their_length(store: Store) -> None:
    with store.db.write() as tx:
        store.audiences.words(tx, [f"w{n}" for n in range(3000)])
        sql = f"SELECT count(*) FROM word WHERE {tx.among('text', 'texts')}"  # noqa: S608 - our own names
        assert tx.value(sql, texts=tx.array([])) == 0
        texts = [f"w{n}" for n in range(3000)]
        assert tx.value(sql, texts=tx.array(texts)) == 3000
        assert sum(1 for _ in tx.stream("SELECT n FROM word", size=100)) >= 3000


def test_a_column_without_a_name_of_its_own_can_still_be_read(store: Store) -> None:
    with store.db.read() as tx:
        row = tx.row("SELECT 1 AS one, 2, 3 AS count")
    assert (row.one, row[1], row.count) == (1, 2, 3)


def test_a_percent_sign_in_a_statement_is_one(store: Store) -> None:
    with store.db.read() as tx:
        assert tx.value("SELECT 7 % 4 WHERE 'a:b%' LIKE :some", some="a:%") == 3


def test_what_a_statement_says_wrong_is_told_as_the_stores(store: Store) -> None:
    wrong = "SELECT nothing" if store.db.lite else "SET LOCAL statement_timeout = 1"

    def ask() -> None:
        with store.db.read() as tx:
            tx.run(wrong)
            tx.run("SELECT pg_sleep(9)")

    with pytest.raises(StoreError):
        ask()


def test_a_question_is_asked_once_where_nothing_changes(store: Store) -> None:
    answers = iter(range(9))
    with store.db.read() as tx:
        assert [tx.once("q", lambda: next(answers)) for _ in range(2)] == [0, 0]
    with store.db.write() as tx:
        assert [tx.once("q", lambda: next(answers)) for _ in range(2)] == [1, 2]


def test_what_is_kept_of_the_store_is_read_anew_once_anybody_changed_it(
    store: Store,
) -> None:
    def epoch_in(tx: Tx) -> int:
        return tx.kept("q", lambda: int(tx.value("SELECT epoch FROM stamp")))

    def epoch() -> tuple[int, int]:
        with store.db.read() as tx:
            return epoch_in(tx), int(tx.value("SELECT epoch FROM stamp"))

    def change(db: Database) -> None:
        with db.write() as tx:
            tx.run("UPDATE stamp SET epoch = epoch + 1")

    other = Database(store.db.url.render_as_string(hide_password=False), store.db.clock)
    for db in (store.db, store.db, other, store.db, other, other):
        told, held = epoch()
        assert told == held
        change(db)
        told, now = epoch()
        assert told == now == held + 1

    def fail() -> None:
        with store.db.write() as tx:
            tx.run("UPDATE stamp SET epoch = epoch + 1")
            assert epoch_in(tx) == now + 1
            raise ZeroDivisionError

    # What is taken back was never there.
    with pytest.raises(ZeroDivisionError):
        fail()
    assert epoch() == (now, now)
    other.close()


def test_what_is_kept_of_the_store_has_a_bound_and_is_asked_for_once(
    tmp_path: Path,
) -> None:
    db = Database(f"sqlite:///{tmp_path / 'a.db'}", SetClock())
    current(db)
    asked: list[int] = []

    def work(number: int) -> int:
        asked.append(number)
        return number

    for _ in range(3):
        with db.read() as tx:
            assert tx.kept(7, lambda: work(7)) == 7
    assert asked == [7]
    for number in range(5_000):
        with db.read() as tx:
            tx.kept(number, partial(work, number))
            assert len(tx.connection.info["serantau_kept"][1]) <= 1_001
    db.close()


def test_a_sqlite_file_opened_by_many_at_once_is_made_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    processes = [PROCESSES.Process(target=open_new, args=(url,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert (tmp_path / "new.db").exists()


def open_new(url: str) -> None:
    db = Database(url, SystemClock())
    with db.read() as tx:
        assert tx.value("PRAGMA journal_mode") == "wal"
    db.close()
