"""How fast objects go out: pages of a thousand to a member, each one logged."""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import orjson
from sqlalchemy.engine import Connection

from bench.client import CONNECTIONS, Asked, load, tool
from bench.constant import PATH as CONSTANT
from bench.corpus import write_corpus
from bench.figures import Figure, Limit
from bench.machine import memory_of
from bench.nodes import (
    HOST,
    WHOLE,
    Bench,
    collection_path,
    found_node,
    headers,
    open_line,
    request,
)
from bench.sizes import Sizes
from serantau.clock import Clock
from serantau.node import Node
from serantau.records.database import Tx
from serantau.records.views import Asked as Question

PAGE = 1000
_READER, _PARTY = "bench-reader", "sg"


def measure(sizes: Sizes) -> list[Figure]:
    """Measure pages over HTTP against the server stack and against the database."""
    corpus = write_corpus(sizes.folder / "exchange.ndjson", sizes.objects)
    node = found_node(sizes.folder / "pages")
    node.run("load", str(corpus))
    token = node.token(_READER, _PARTY)
    fixed = found_node(sizes.folder / "constant")
    with node.served() as server, _database(node) as database:
        paths, size = _walk(node, token)
        pages = Asked(HOST, node.port, tuple(paths), headers(token))
        constant = Asked(HOST, fixed.port, (CONSTANT,), headers(token))
        door = (sys.executable, "-m", "bench.constant", str(fixed.home), str(size))
        with fixed.served(*door):
            # Until its caches are full a server grows.
            load(pages, sizes.seconds)
            load(constant, 1)
            before, logged = memory_of(server.pid), _logged(node)
            # Turn by turn, so that what else happens on the machine happens to all.
            turns = [
                (
                    load(pages, sizes.seconds),
                    load(constant, sizes.seconds),
                    database.rate(sizes.seconds),
                )
                for _ in range(sizes.runs)
            ]
            after, written = memory_of(server.pid), _logged(node) - logged
    answered = sum(heard.responses for heard, _, _ in turns)
    assert written >= answered, f"{answered} pages went, {written} are in the log"
    stack = statistics.median(heard.rate for _, heard, _ in turns)
    rows = statistics.median(rate for _, _, rate in turns)
    return [
        Figure(
            "Objects out by TAXII",
            tuple(heard.rate * PAGE for heard, _, _ in turns),
            "objects/s",
            target=500_000,
            at_least=True,
            limits=(
                Limit("the database's own rate", rows * PAGE, 0.5),
                Limit(f"a constant answer of {size // 1000} kB", stack * PAGE),
            ),
            note=f"GET, pages of {PAGE} to a member, one worker, each page logged, "
            f"{CONNECTIONS} connections, {tool()}",
        ),
        Figure(
            "Server's memory after paging",
            (after,),
            "MB",
            limits=(Limit("that before", before, most=1.1),),
            note=f"{answered:,} pages",
        ),
    ]


def _walk(node: Bench, token: str) -> tuple[list[str], int]:
    """Read through the collection once; give its full pages' paths and mean size."""
    found: list[str] = []
    sizes: list[int] = []
    asked: dict[str, str] = {"limit": str(PAGE), "match[version]": "all"}
    with open_line(node.port) as line:
        while True:
            path = f"{collection_path(WHOLE)}objects/?{urlencode(asked)}"
            status, body = request(line, "GET", path, token)
            assert status == 200, body
            envelope = orjson.loads(body)
            if len(envelope["objects"]) == PAGE:
                found.append(path)
                sizes.append(len(body))
            if not envelope.get("more"):
                assert found, "the store holds less than a page"
                return found, round(statistics.mean(sizes))
            asked["next"] = envelope["next"]


def _logged(node: Bench) -> int:
    with Node(node.config) as opened, opened.db.read() as tx:
        return int(tx.value("SELECT count(*) FROM ledger.release"))


class _Database:
    """The statements of a view's pages, run without anything around them."""

    def __init__(self, cursor: Any, pages: list[list[tuple[str, Any]]]) -> None:
        self._cursor = cursor
        self._pages = itertools.cycle(pages)

    def rate(self, seconds: float) -> float:
        """Give how many pages a second the driver hands over, in one thread."""
        count, begun = 0, time.perf_counter()
        while (taken := time.perf_counter() - begun) < seconds:
            for sql, values in next(self._pages):
                self._cursor.execute(sql, values)
                self._cursor.fetchone()
            count += 1
        return count / taken


class _Noting(Tx):
    """A transaction that writes down what it is asked."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        super().__init__(connection, clock, steady=True)
        self.said: list[tuple[str, Any]] = []

    def execute(self, sql: str, values: Mapping[str, Any]) -> Any:
        self.said.append((sql, dict(values)))
        return super().execute(sql, values)


@contextmanager
def _database(node: Bench) -> Iterator[_Database]:
    """Write down what a member's pages ask of the database, to repeat it."""
    with Node(node.config) as opened, opened.db.read() as tx:
        number, _ = opened.registry.party(tx, _PARTY)
        collection = opened.registry.collection(tx, WHOLE)
        view = opened.views.view(tx, number, opened.registry.saved(tx, collection))
        noting = _Noting(tx.connection, tx.clock)
        said = noting.said
        pages: list[list[tuple[str, Any]]] = []
        after = -1
        while True:
            asked = Question(after=after, limit=PAGE, all_versions=True)
            page = opened.views.page(noting, view, asked)
            if page.count == PAGE:
                pages.append(said.copy())
            said.clear()
            after = page.last
            if not page.more:
                break
        yield _Database(tx.connection.connection.cursor(), pages)
