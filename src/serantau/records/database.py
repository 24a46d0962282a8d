"""The engine, the transaction, and every difference between SQLite and PostgreSQL.

Readers never wait. Writers of the store take turns: `Database.write` holds the one row
of `stamp` until it commits, so stamps grow in commit order also with several processes.
Rows of the schema `ledger` may be written inside a read, since with SQLite they live in
a file of their own and with PostgreSQL only rows are locked.
"""

from __future__ import annotations

import re
import sqlite3
import threading
import time
from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, make_url

from serantau.clock import Clock
from serantau.errors import Busy, ConfigError, StoreError
from serantau.records import tables

T = TypeVar("T")

_PAGE_BYTES = 16_384
_BUSY_SECONDS = 60.0
_RETRY_SECONDS = 0.002
_MIGRATION = "SELECT pg_advisory_xact_lock(7306925171)"
_LOCK_NOT_AVAILABLE = "55P03"
# With SQLite, how a transaction takes its lock. BEGIN IMMEDIATE takes it on every
# attached file, so that pages, which write to the ledger, would wait for a load. The
# second statement touches no row and takes the lock on the store's file only.
_WRITE = ("BEGIN", "UPDATE stamp SET last = last WHERE 0")
_RESHAPE = ("BEGIN IMMEDIATE",)
# The same for the ledger's file alone: who writes to the store does not wait.
_LEDGER = ("BEGIN", "UPDATE ledger.log SET size = size WHERE 0")

# What a connection keeps of a store that has not changed, by its name in the pool; it
# begins anew beyond so many answers.
_KEPT = "serantau_kept"
_KEPT_MOST = 1_000


class Tx:
    """One transaction: statements by name, and the stamps that it may give out.

    Statements are SQL text with `:name` for what is bound. They go to the driver as
    they are: what SQLAlchemy does around each costs more than most of them.
    """

    def __init__(
        self, connection: Connection, clock: Clock, *, steady: bool = False
    ) -> None:
        """Wrap an open `connection`; `Database` makes these.

        steady: whether nothing in the store changes while this lasts.
        """
        self.connection = connection
        self.clock = clock
        self.lite = connection.dialect.name == "sqlite"
        self.steady = steady
        self._driver: Any = connection.connection.driver_connection
        # What whoever works in this transaction wants to keep for its length.
        self.memory: dict[Any, Any] = {}
        self._noted: dict[int, tuple[dict[Any, Any], dict[Any, Any]]] = {}
        self._last: list[Callable[[], None]] = []
        self._kept: dict[Any, Any] | None = None

    def recall(self, memory: dict[Any, Any], key: Any) -> Any:
        """Give what this transaction has noted for `memory`, else what it holds."""
        _, noted = self._noted.get(id(memory), (memory, {}))
        return noted[key] if key in noted else memory.get(key)

    def note(self, memory: dict[Any, Any], key: Any, value: Any) -> None:
        """Remember something in `memory` from the commit on.

        A number read in a transaction that is rolled back may be given to something
        else afterwards: whoever remembered it would mix up, say, two marking sets.
        """
        self._noted.setdefault(id(memory), (memory, {}))[1][key] = value

    def settle(self) -> None:
        """Keep what was noted; only `Database` calls this, after the commit."""
        for memory, noted in self._noted.values():
            memory.update(noted)

    def at_end(self, work: Callable[[], None]) -> None:
        """Do something as the last thing before the commit, in the order asked.

        What writes to the ledger does: whoever else wants to write there waits from its
        first statement until the commit.
        """
        self._last.append(work)

    @property
    def ended(self) -> bool:
        """Say whether nothing is left to be done before the commit."""
        return not self._last

    def end(self) -> None:
        """Do what is left; only `Database` calls this, before the commit."""
        while self._last:
            self._last.pop(0)()

    def once(self, key: Any, work: Callable[[], T]) -> T:
        """Give what `work` gives, done once in a transaction in which nothing changes.

        Args:
            key: names the question; nobody else's may be equal.
            work: reads the answer. What it raises is not remembered.
        """
        if not self.steady:
            return work()
        if key not in self.memory:
            self.memory[key] = work()
        found: T = self.memory[key]
        return found

    def kept(self, key: Any, work: Callable[[], T]) -> T:
        """Give what `work` gives, as `once` does, but until somebody changes the store.

        With SQLite a connection knows whether another one has changed the file, so what
        one transaction read the next one need not. With PostgreSQL this is `once`.

        Args:
            key: names the question; nobody else's may be equal.
            work: reads the answer from the store, and from nothing else: not the clock,
                not the ledger. What it raises is not remembered.
        """
        if not (self.steady and self.lite):
            return self.once(key, work)
        if self._kept is None:
            self._kept = self._unchanged()
        if key not in self._kept:
            self._kept[key] = work()
        found: T = self._kept[key]
        return found

    def _unchanged(self) -> dict[Any, Any]:
        """Give what this connection has kept since the store was last changed."""
        info = self.connection.info
        (version,) = self._driver.execute("PRAGMA main.data_version").fetchone()
        held, kept = info.get(_KEPT, (None, {}))
        if held != version or len(kept) > _KEPT_MOST:
            kept = {}
            info[_KEPT] = (version, kept)
        found: dict[Any, Any] = kept
        return found

    def execute(self, sql: str, values: Mapping[str, Any]) -> Any:
        """Run a statement and give the driver's cursor (PEP 249)."""
        if self.lite:
            return self._driver.execute(sql, values)
        return self._driver.execute(_with_percents(sql), values)

    def rows(self, sql: str, /, **values: Any) -> list[Any]:
        """Run a query and give all of its rows."""
        cursor = self.execute(sql, values)
        make = _row_of(tuple([column[0] for column in cursor.description]))
        return [make(row) for row in cursor.fetchall()]

    def row(self, sql: str, /, **values: Any) -> Any:
        """Run a query and give its first row, or None."""
        cursor = self.execute(sql, values)
        row = cursor.fetchone()
        if row is None:
            return None
        return _row_of(tuple([column[0] for column in cursor.description]))(row)

    def value(self, sql: str, /, **values: Any) -> Any:
        """Run a query and give the first column of its first row, or None."""
        row = self.execute(sql, values).fetchone()
        return None if row is None else row[0]

    def run(self, sql: str, /, **values: Any) -> int:
        """Run a statement and give the number of rows it touched."""
        return int(self.execute(sql, values).rowcount)

    def overwrite(self) -> None:
        """Have what this transaction deletes overwritten in the store's files (SQLite).

        PostgreSQL does so when it vacuums.
        """
        if self.lite:
            self._driver.execute("PRAGMA secure_delete = ON")

    def stream(self, sql: str, /, size: int = 1000, **values: Any) -> Iterator[Any]:
        """Run a query and give its rows without holding them all."""
        options = {"stream_results": True, "yield_per": size}
        yield from self.connection.execute(
            sa.text(sql), values, execution_options=options
        )

    def insert(self, table: sa.Table, values: Mapping[str, Any]) -> int:
        """Insert one row and give its number."""
        result = self.connection.execute(sa.insert(table).values(**values))
        key = result.inserted_primary_key
        return int(key[0]) if key and isinstance(key[0], int) else 0

    def insert_many(
        self, table: sa.Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
    ) -> None:
        """Insert many rows as fast as the database can; none may be there already."""
        if not rows:
            return
        name = f"{table.schema}.{table.name}" if table.schema else table.name
        names = ", ".join(f'"{column}"' for column in columns)
        if self.lite:
            marks = ", ".join("?" * len(columns))
            sql = f"INSERT INTO {name} ({names}) VALUES ({marks})"
            self.connection.exec_driver_sql(sql, list(rows))
            return
        driver = self.connection.connection.driver_connection
        assert driver is not None  # noqa: S101 - a Connection in use always has one
        with (
            driver.cursor() as cursor,
            cursor.copy(f"COPY {name} ({names}) FROM STDIN (FORMAT BINARY)") as copy,
        ):
            copy.set_types([_postgres_type(table.c[column]) for column in columns])
            for row in rows:
                copy.write_row(row)

    def insert_texts(self, texts: Sequence[tuple[int, str]]) -> None:
        """Insert what text search looks through: (stamp, folded text)."""
        if self.lite and texts:
            # The full-text table numbers its rows itself and keeps no text, only its
            # trigrams; what was found is compared with the object's body.
            self.connection.exec_driver_sql(
                "INSERT INTO object_text (rowid, text) VALUES (?, ?)", list(texts)
            )
        elif texts:
            self.insert_many(tables.object_text, ("added", "text"), texts)

    def among(self, column: str, name: str) -> str:
        """Give SQL for "column is one of the list bound as `name`" (see `array`)."""
        if self.lite:
            return f"{column} IN (SELECT value FROM json_each(:{name}))"
        return f"{column} = ANY(:{name})"

    def array(self, values: Iterable[int | str]) -> Any:
        """Give a list as `among` wants it bound."""
        listed = list(values)
        return orjson.dumps(listed).decode() if self.lite else listed

    def stamps(self, count: int) -> int:
        """Give out `count` stamps that follow each other, and return the first.

        Only inside `Database.write`. A stamp is the present instant, or one more than
        the newest given out when the clock stands or goes back.
        """
        last = self.value("SELECT last FROM stamp")
        first = max(int(last) + 1, self.clock.now())
        self.run("UPDATE stamp SET last = :last", last=first + count - 1)
        return first

    def epoch(self) -> int:
        """Give the number that grows whenever what some party may see changes."""
        return self.kept("epoch", lambda: int(self.value("SELECT epoch FROM stamp")))


_BOUND = re.compile(r"(?<![:\w]):([a-z_]\w*)")


@lru_cache(maxsize=2000)
def _with_percents(sql: str) -> str:
    """Write what is bound as psycopg does."""
    return _BOUND.sub(r"%(\1)s", sql.replace("%", "%%"))


@lru_cache(maxsize=1000)
def _row_of(names: tuple[str, ...]) -> Callable[[Iterable[Any]], Any]:
    """Give what makes a row with these names; a column without a good one has none."""
    make: Any = namedtuple  # Names that are not known before are not for mypy.
    found: Callable[[Iterable[Any]], Any] = make("Row", names, rename=True)._make
    return found


def _postgres_type(column: sa.Column[Any]) -> str:
    kind = column.type
    if isinstance(kind, sa.LargeBinary):
        return "bytea"
    if isinstance(kind, sa.Boolean):
        return "bool"
    if isinstance(kind, sa.Text):
        return "text"
    if isinstance(kind, sa.SmallInteger):
        return "int2"
    return "int8" if isinstance(kind, sa.BigInteger) else "int4"


class Database:
    """One store: `read` and `write` give transactions; `upgrade` makes its tables."""

    def __init__(self, url: str, clock: Clock, *, cache_mb: int = 32) -> None:
        """Open the store at the SQLAlchemy `url` (sqlite or postgresql+psycopg).

        Raises:
            ConfigError: another kind of database, or a URL that is none.
        """
        try:
            self.url: URL = make_url(url)
        except sa.exc.ArgumentError as fault:
            raise ConfigError(f"store.url {url!r} is not a database URL") from fault
        self.clock = clock
        self.lite = self.url.get_backend_name() == "sqlite"
        if not self.lite and self.url.drivername != "postgresql+psycopg":
            raise ConfigError(
                f"store.url names {self.url.drivername!r}, "
                "expected sqlite or postgresql+psycopg"
            )
        self._cache_kib = cache_mb * 1024
        # All statements of a read see one state; with SQLite they always do.
        self._steady: dict[str, str] = (
            {} if self.lite else {"isolation_level": "REPEATABLE READ"}
        )
        self._here = threading.local()
        self._writing_ledger = threading.Lock()
        self.engine: Engine = self._open()
        driver: Any = self.engine.dialect.dbapi
        self._refusal: type[Exception] = driver.OperationalError

    def _open(self) -> Engine:
        if not self.lite:
            engine = sa.create_engine(self.url, pool_pre_ping=True, pool_size=8)
            sa.event.listen(engine, "connect", _prepare_postgres)
            return engine
        if not self.url.database:
            raise ConfigError("store.url must name a file: the log needs one beside it")
        engine = sa.create_engine(
            self.url, connect_args={"check_same_thread": False, "timeout": 0}
        )
        sa.event.listen(engine, "connect", self._prepare_sqlite)
        # SQLAlchemy recipe: the driver's own BEGIN is off, ours says which kind.
        sa.event.listen(engine, "begin", _begin_sqlite)
        return engine

    @property
    def ledger_path(self) -> Path | None:
        """Give the file of the release log, when there is one (SQLite)."""
        if not self.lite:
            return None
        path = Path(str(self.url.database))
        return path.with_name(f"{path.stem}-ledger.db")

    def _prepare_sqlite(self, connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None
        # timeout=0 above lets `_begin_sqlite` wait in small fair steps instead of the
        # library's steps of up to 100 ms; plain statements still wait here.
        connection.execute(f"PRAGMA busy_timeout = {int(_BUSY_SECONDS * 1000)}")
        connection.execute("ATTACH DATABASE ? AS ledger", (str(self.ledger_path),))
        for schema in ("main", tables.LEDGER):
            connection.execute(f"PRAGMA {schema}.page_size = {_PAGE_BYTES}")
            connection.execute(f"PRAGMA {schema}.journal_mode = WAL")
            connection.execute(f"PRAGMA {schema}.synchronous = FULL")
            connection.execute(f"PRAGMA {schema}.journal_size_limit = 67108864")
        connection.execute(f"PRAGMA main.cache_size = -{self._cache_kib}")
        connection.execute("PRAGMA temp_store = MEMORY")
        # A page that many batches touch is then copied into the file once, not often.
        connection.execute("PRAGMA wal_autocheckpoint = 4096")

    @contextmanager
    def read(self) -> Iterator[Tx]:
        """Open a transaction on one state of the store; it may write to the ledger.

        Within `together` of the same thread it is that one.

        Raises:
            Busy, StoreError: the database did not answer.
        """
        shared: Tx | None = getattr(self._here, "tx", None)
        if shared is not None:
            yield shared
            return
        with (
            ExitStack() as turn,
            self._translated(),
            self.engine.connect().execution_options(**self._steady) as connection,
            connection.begin(),
        ):
            tx = Tx(connection, self.clock, steady=True)
            yield tx
            if not tx.ended:
                if self.lite:
                    # Kept until the commit. Threads of one process take turns here,
                    # since SQLite would let them sleep instead.
                    turn.enter_context(self._writing_ledger)
                tx.end()
        tx.settle()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Make all reads of this thread one transaction, committed at its end.

        So several pages cost one write to the disk. What they wrote to the ledger is
        there only after this has ended without a fault: nothing goes out before.
        """
        with self.read() as tx:
            self._here.tx = tx
            try:
                yield
            finally:
                self._here.tx = None

    @contextmanager
    def write(self) -> Iterator[Tx]:
        """Open a transaction that may change the store; writers take turns.

        Raises:
            Busy: another writer held the store for more than a minute.
            StoreError: the database did not answer.
        """
        with self._exclusive(_WRITE) as connection:
            if not self.lite:
                connection.exec_driver_sql("SELECT last FROM stamp FOR UPDATE")
            tx = Tx(connection, self.clock)
            yield tx
            tx.end()
        tx.settle()

    @contextmanager
    def ledger(self) -> Iterator[Tx]:
        """Open a transaction for the release log's tree; who adds to it takes turns.

        Pages wait for it, since they write to the ledger too: it is to be short.

        Raises:
            Busy: another one held the ledger for more than a minute.
            StoreError: the database did not answer.
        """
        with ExitStack() as turn:
            if self.lite:
                turn.enter_context(self._writing_ledger)
            connection = turn.enter_context(self._exclusive(_LEDGER))
            if not self.lite:
                connection.exec_driver_sql("SELECT size FROM ledger.log FOR UPDATE")
            tx = Tx(connection, self.clock)
            yield tx
            tx.end()
        tx.settle()

    def settle_log(self) -> None:
        """Write the write-ahead logs into the store's files and empty them (SQLite).

        A reader who is in the middle of something keeps one from being emptied; it is
        then written over as others write.
        """
        if self.lite:
            with self._translated(), self.engine.connect() as connection:
                driver: Any = connection.connection.driver_connection
                driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    @contextmanager
    def reshape(self) -> Iterator[Connection]:
        """Open a transaction that changes tables; only `records.migrations` does."""
        with self._exclusive(_RESHAPE) as connection:
            if not self.lite:
                # A big store takes long to change, and who starts meanwhile waits.
                connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
                connection.exec_driver_sql(_MIGRATION)
            yield connection

    @contextmanager
    def _exclusive(self, kind: tuple[str, ...]) -> Iterator[Connection]:
        with (
            self._translated(),
            self.engine.connect().execution_options(serantau_begin=kind) as connection,
            connection.begin(),
        ):
            # Its own changes are none that a connection is told of.
            connection.info.pop(_KEPT, None)
            yield connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sa.exc.OperationalError, self._refusal) as fault:
            said = getattr(fault, "orig", fault)
            state = getattr(said, "sqlstate", None)
            if state == _LOCK_NOT_AVAILABLE or "is locked" in str(said):
                raise Busy(
                    f"{self.url.database} is held by another process.",
                    mend="Wait for it to end, or see who has it open.",
                ) from fault
            raise StoreError(
                f"{self.shown}: {str(said).strip()}",
                mend="`serantau doctor` tells more.",
            ) from fault

    @property
    def shown(self) -> str:
        """Give the store's address without any password."""
        return self.url.render_as_string(hide_password=True)

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def _prepare_postgres(connection: Any, _record: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = '{int(_BUSY_SECONDS)}s'")
    connection.commit()


def _begin_sqlite(connection: Connection) -> None:
    statements = connection.get_execution_options().get("serantau_begin")
    if not statements:
        driver: Any = connection.connection.driver_connection
        driver.execute("BEGIN")
        return
    give_up = time.monotonic() + _BUSY_SECONDS
    connection.exec_driver_sql("PRAGMA busy_timeout = 0")
    try:
        while not _begun(connection, statements, give_up):
            time.sleep(_RETRY_SECONDS)
    finally:
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {int(_BUSY_SECONDS * 1000)}")


def _begun(connection: Connection, statements: Sequence[str], give_up: float) -> bool:
    try:
        for statement in statements:
            connection.exec_driver_sql(statement)
    except sa.exc.OperationalError as fault:
        driver = connection.connection.driver_connection
        if isinstance(driver, sqlite3.Connection) and driver.in_transaction:
            connection.exec_driver_sql("ROLLBACK")
        if "is locked" not in str(fault.orig) or time.monotonic() > give_up:
            raise
        return False
    return True
