"""All data of a node, out into a folder of plain files, and back into a node.

Each table is a file of JSON lines, object bodies as they are served. Stamps and numbers
are kept, so that a restored node gives its callers the same pages under the same
cursors, and tells the same of every release. What search looks through is made anew.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec
import orjson
import sqlalchemy as sa
import tomli_w

from serantau import __version__
from serantau.clock import Clock, SystemClock, taxii_text
from serantau.config import FILE_NAME, NodeConfig
from serantau.desk.found import (
    check_configuration,
    make_home,
    refuse_occupied,
    refuse_second,
    write_whole,
)
from serantau.desk.gather import EXPORT
from serantau.errors import BadInput, Conflict
from serantau.node import Node
from serantau.records import tables
from serantau.records.database import Tx
from serantau.records.migrations import head
from serantau.rules.realm import refusal
from serantau.rules.stix import Limits, Reader, Refused
from serantau.wire.schemas import load_schemas

FORMAT: Final = 1
MANIFEST: Final = EXPORT
KEYS: Final = "keys"
SQLITE: Final = "sqlite"
_ROWS: Final = 500
_UNLIMITED: Final = 1 << 62
_BODY: Final = "body"

Progress = Callable[[int, str], None]


@dataclass(slots=True)
class Carried:
    """What was carried: rows by table, and how many objects search will not find."""

    rows: dict[str, int] = field(default_factory=dict)
    unread: int = 0

    @property
    def total(self) -> int:
        """Count all rows."""
        return sum(self.rows.values())


def count(node: Node) -> int:
    """Count the rows that an export would write."""
    with node.db.read() as tx:
        return sum(
            int(
                tx.connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0
            )
            for table in tables.metadata.sorted_tables
        )


def export(node: Node, folder: Path, progress: Progress | None = None) -> Carried:
    """Write all data of a node into a new folder, of one moment of its store.

    The folder holds the keys too: it is worth as much care as the node. Its manifest is
    written last; without it, it is no export.

    Raises:
        Conflict: the folder is there and not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise Conflict(f"{folder} is not empty.", mend="Name a new folder.")
    make_home(folder)
    carried = Carried()
    files: dict[str, dict[str, Any]] = {}
    with node.db.read() as tx:
        for table in tables.metadata.sorted_tables:
            files[table.name] = _write_table(tx, table, folder, carried, progress)
        at = taxii_text(tx.clock.now())
    shutil.copytree(node.config.keys, folder / KEYS)
    (folder / KEYS).chmod(0o700)
    write_whole(folder / FILE_NAME, (node.home / FILE_NAME).read_bytes())
    manifest = {
        "format": FORMAT,
        "revision": head(),
        "version": __version__,
        "at": at,
        "member": node.config.node.member,
        "realm": node.config.node.realm,
        "tables": files,
    }
    write_whole(folder / MANIFEST, tomli_w.dumps(manifest).encode())
    return carried


def _write_table(
    tx: Tx, table: sa.Table, folder: Path, carried: Carried, progress: Progress | None
) -> dict[str, Any]:
    digest, written = hashlib.sha256(), 0
    handle = os.open(_file(folder, table), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        for line in _lines(tx, table):
            digest.update(line)
            file.write(line)
            written += 1
            if progress is not None and written % _ROWS == 0:
                progress(carried.total + written, table.name)
        file.flush()
        os.fsync(file.fileno())
    carried.rows[table.name] = written
    if progress is not None:
        progress(carried.total, table.name)
    return {"rows": written, "sha256": digest.hexdigest()}


def _file(folder: Path, table: sa.Table) -> Path:
    return folder / f"{table.name}.ndjson"


def _lines(tx: Tx, table: sa.Table) -> Iterator[bytes]:
    query = sa.select(table).order_by(*table.primary_key.columns)
    options = {"stream_results": True, "yield_per": _ROWS}
    names = [str(column.name) for column in table.columns]
    for row in tx.connection.execute(query, execution_options=options):
        plain = dict(zip(names, row, strict=True))
        if table is tables.object_:
            # The body is JSON already, on one line: it goes in as it is.
            body = bytes(plain.pop(_BODY))
            yield b"%b,%b:%b}\n" % (orjson.dumps(plain)[:-1], b'"body"', body)
        else:
            yield orjson.dumps(plain, default=_encoded) + b"\n"


def _encoded(value: Any) -> str:
    return base64.b64encode(value).decode("ascii")


def restore(
    folder: Path,
    home: Path,
    *,
    store: str = "",
    progress: Progress | None = None,
    clock: Clock | None = None,
) -> Carried:
    """Make a node of an export. Rows come in as one transaction, the settings last.

    Args:
        folder: what `export` wrote.
        home: the folder of the node to be.
        store: URL of another database than the settings say; `sqlite` for a file in the
            folder.
        progress: called with the rows read so far and the table.
        clock: where the present comes from.

    Raises:
        Conflict: there is a node in `home`, or in the database.
        BadInput: the export is not whole, of another version or of another realm.
    """
    manifest = read_manifest(folder)
    refuse_second(home)
    text = _settings(folder, store)
    config = check_configuration(home, text)
    if why := refusal(
        f"The export in {folder}", str(manifest.get("realm", "")), config.node.realm
    ):
        raise BadInput(
            why,
            mend=f"Its {FILE_NAME} was changed, or node.realm is set elsewhere. An "
            "export makes the node that it was of; an exercise is made with `init`.",
        )
    make_home(home)
    _restore_keys(folder, config)
    carried = Carried()
    with Node(config, clock or SystemClock()) as node, node.db.write() as tx:
        refuse_occupied(node, tx)
        for table in tables.metadata.sorted_tables:
            tx.connection.execute(sa.delete(table))
            said = manifest["tables"].get(table.name)
            if said is None:
                raise BadInput(f"{folder / MANIFEST} names no table {table.name}.")
            _read_table(tx, table, folder, said, carried, progress)
            if not tx.lite:
                _count_on(tx, table)
    write_whole(home / FILE_NAME, text.encode())
    return carried


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read what an export says of itself.

    Raises:
        BadInput: it is none, not whole, or not of this version.
    """
    path = folder / MANIFEST
    try:
        manifest = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise BadInput(
            f"{folder} is no whole export: {MANIFEST} cannot be read ({fault}).",
            mend="`serantau export` writes it last; export again.",
        ) from fault
    if manifest.get("format") != FORMAT or manifest.get("revision") != head():
        raise BadInput(
            f"{folder} was exported by version {manifest.get('version')}, whose tables "
            "are not those of this one.",
            mend="Restore it with that version, and upgrade afterwards.",
        )
    return manifest


def _settings(folder: Path, store: str) -> str:
    text = (folder / FILE_NAME).read_text(encoding="utf-8")
    if not store:
        return text
    settings = tomllib.loads(text)
    held = settings.setdefault("store", {})
    if store == SQLITE:
        held.pop("url", None)
    else:
        held["url"] = store
    return tomli_w.dumps(settings)


def _restore_keys(folder: Path, config: NodeConfig) -> None:
    config.keys.mkdir(mode=0o700, exist_ok=True)
    for key in sorted((folder / KEYS).iterdir()):
        write_whole(config.keys / key.name, key.read_bytes())


def _read_table(
    tx: Tx,
    table: sa.Table,
    folder: Path,
    said: Mapping[str, Any],
    carried: Carried,
    progress: Progress | None,
) -> None:
    """Read one table's file, and make sure that it is the one that was written."""
    path, digest = _file(folder, table), hashlib.sha256()
    names = [column.name for column in table.columns]
    texts = _Texts(tx) if table is tables.object_ else None
    carried.rows[table.name] = 0
    with path.open("rb") as file:
        for batch in _batches(file, digest):
            rows = [_row(table, line) for line in batch]
            tx.insert_many(table, names, rows)
            if texts is not None:
                texts.add(rows, names.index("added"), names.index(_BODY))
            carried.rows[table.name] += len(rows)
            if progress is not None:
                progress(carried.total, table.name)
    if texts is not None:
        carried.unread = texts.unread
    if digest.hexdigest() != said["sha256"]:
        raise BadInput(
            f"{path} is not as it was exported.",
            mend="Nothing was restored. Take an undamaged copy of the export.",
        )


def _batches(file: BinaryIO, digest: Any) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    for line in file:
        digest.update(line)
        batch.append(line)
        if len(batch) == _ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def _row(table: sa.Table, line: bytes) -> tuple[Any, ...]:
    try:
        fields = _decode(line)
        return tuple(_value(table, column, fields) for column in table.columns)
    except (msgspec.DecodeError, KeyError, ValueError) as fault:
        raise BadInput(
            f"A line of {table.name}.ndjson cannot be read: {fault}.",
            mend="Nothing was restored. Take an undamaged copy of the export.",
        ) from fault


def _value(
    table: sa.Table, column: sa.Column[Any], fields: Mapping[str, msgspec.Raw]
) -> Any:
    raw = bytes(fields[column.name])
    if table is tables.object_ and column.name == _BODY:
        return raw
    value = orjson.loads(raw)
    if isinstance(column.type, sa.LargeBinary) and value is not None:
        return base64.b64decode(value)
    return value


class _Texts:
    """Makes anew what text search looks through, from the bodies."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self.unread = 0
        # What was admitted once is not to be refused because a limit was narrowed.
        limits = Limits(_UNLIMITED, _UNLIMITED, _UNLIMITED, _UNLIMITED)
        self._read = Reader(limits, load_schemas()).read

    def add(self, rows: list[tuple[Any, ...]], added: int, body: int) -> None:
        texts = []
        for row in rows:
            try:
                text = self._read(row[body]).text
            except Refused:
                self.unread += 1
                continue
            if text:
                texts.append((row[added], text))
        self._tx.insert_texts(texts)


def _count_on(tx: Tx, table: sa.Table) -> None:
    """Let PostgreSQL number the next row after the last that was restored."""
    column = table.autoincrement_column
    if column is None:
        return
    name = f"{table.schema}.{table.name}" if table.schema else table.name
    # A value that was not given out yet is the next one; of an empty table too.
    after = sa.select(sa.func.coalesce(sa.func.max(column), 0) + 1).scalar_subquery()
    sequence = sa.func.pg_get_serial_sequence(name, column.name)
    tx.connection.execute(sa.select(sa.func.setval(sequence, after, False)))
