"""How fast objects come in: from a file by `serantau load`, and by TAXII POST."""

from __future__ import annotations

import itertools
import shutil
import sqlite3
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
from sqlalchemy import URL, make_url

from bench import postgres
from bench.corpus import write_corpus
from bench.figures import Figure, Limit, console, seconds, several
from bench.nodes import BOX, Bench, collection_path, found_node, open_line, request
from bench.sizes import Sizes
from serantau.desk.reading import BATCH

POSTED = 1000
_LOAD, _POST = 15_000.0, 10_000.0


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of database. server: None for SQLite. share: of the targets to meet."""

    name: str
    server: URL | None
    share: float


def measure(sizes: Sizes) -> list[Figure]:
    """Measure ingest with SQLite and, where there is one, with PostgreSQL."""
    corpus = write_corpus(sizes.folder / "exchange.ndjson", sizes.objects)
    raws = corpus.read_bytes().splitlines()
    parse = Limit("a raw orjson parse", _rate(raws, sizes, lambda: _parse(raws)))
    figures = _of(_Kind("SQLite", None, 1), sizes, corpus, raws, parse)
    with postgres.server() as server:
        if server is None:
            console.print("[yellow]No PostgreSQL is here: its figures are left out.[/]")
            return figures
        kind = _Kind(f"PostgreSQL {postgres.version(server)}", server, 0.5)
        return figures + _of(kind, sizes, corpus, raws, parse)


def _of(
    kind: _Kind, sizes: Sizes, corpus: Path, raws: Sequence[bytes], parse: Limit
) -> list[Figure]:
    insert = _insert if kind.server is None else _copy

    def inserted() -> None:
        with _store(kind, sizes) as url:
            insert(url, raws)

    limits = (parse, Limit("a raw insert of the same", _rate(raws, sizes, inserted)))
    loaded = several(sizes.runs, lambda: len(raws) / _load(kind, sizes, corpus))
    posted = several(sizes.runs, lambda: len(raws) / _post(kind, sizes, raws))
    return [
        Figure(
            f"Objects in by `load`, {kind.name}",
            loaded,
            "objects/s",
            target=_LOAD * kind.share,
            at_least=True,
            limits=limits,
            note=f"{len(raws):,} objects as NDJSON, the command from start to end",
        ),
        Figure(
            f"Objects in by TAXII POST, {kind.name}",
            posted,
            "objects/s",
            target=_POST * kind.share,
            at_least=True,
            limits=limits,
            note=f"batches of {POSTED} over one connection, each durable when answered",
        ),
    ]


def _rate(raws: Sequence[bytes], sizes: Sizes, work: Callable[[], object]) -> float:
    return len(raws) / statistics.median(several(sizes.runs, lambda: seconds(work)))


def _parse(raws: Sequence[bytes]) -> None:
    for raw in raws:
        orjson.loads(raw)


@contextmanager
def _store(kind: _Kind, sizes: Sizes) -> Iterator[str]:
    """Give the URL of an empty database, and drop it in the end."""
    if kind.server is not None:
        with postgres.database(kind.server) as url:
            yield url
        return
    folder = sizes.folder / "raw"
    folder.mkdir()
    try:
        yield f"sqlite:///{folder / 'raw.db'}"
    finally:
        shutil.rmtree(folder)


@contextmanager
def _node(kind: _Kind, sizes: Sizes) -> Iterator[Bench]:
    """Found a node on an empty database, and remove it in the end."""
    folder = sizes.folder / "ingest"
    with _store(kind, sizes) as url:
        try:
            yield found_node(folder, store=url if kind.server is not None else "")
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _load(kind: _Kind, sizes: Sizes, corpus: Path) -> float:
    with _node(kind, sizes) as node:
        said: dict[str, int] = {}
        taken = seconds(lambda: said.update(node.run("load", str(corpus))))
    assert said["new"] == sizes.objects, said
    return taken


def _post(kind: _Kind, sizes: Sizes, raws: Sequence[bytes]) -> float:
    envelopes = [
        b'{"objects":[' + b",".join(some) + b"]}" for some in _batches(raws, POSTED)
    ]
    with _node(kind, sizes) as node:
        token = node.token("bench-writer", "sg", "writer")
        path = f"{collection_path(BOX)}objects/"
        with node.served(), open_line(node.port) as line:
            answers: list[tuple[int, bytes]] = []

            def post() -> None:
                answers.extend(
                    request(line, "POST", path, token, body) for body in envelopes
                )

            taken = seconds(post)
    for status, body in answers:
        assert status == 202, body
        assert orjson.loads(body)["failure_count"] == 0, body
    return taken


def _batches(raws: Sequence[bytes], size: int) -> Iterator[tuple[bytes, ...]]:
    rest = iter(raws)
    while batch := tuple(itertools.islice(rest, size)):
        yield batch


def _insert(url: str, raws: Sequence[bytes]) -> None:
    """Insert into one SQLite table, as durable and in transactions as a node's."""
    stamps = itertools.count()
    with closing(sqlite3.connect(str(make_url(url).database))) as connection:
        connection.execute("PRAGMA page_size = 16384")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE raw (added INTEGER PRIMARY KEY, body BLOB)")
        for batch in _batches(raws, BATCH):
            with connection:
                connection.executemany(
                    "INSERT INTO raw VALUES (?, ?)", zip(stamps, batch, strict=False)
                )


def _copy(url: str, raws: Sequence[bytes]) -> None:
    """Copy into one PostgreSQL table, in transactions as a node's."""
    stamps = itertools.count()
    with postgres.connected(make_url(url)) as connection:
        connection.execute("CREATE TABLE raw (added int8 PRIMARY KEY, body bytea)")
        for batch in _batches(raws, BATCH):
            with (
                connection.cursor() as cursor,
                cursor.copy("COPY raw FROM STDIN (FORMAT BINARY)") as copy,
            ):
                copy.set_types(["int8", "bytea"])
                for body in batch:
                    copy.write_row((next(stamps), body))
