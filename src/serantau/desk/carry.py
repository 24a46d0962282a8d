"""All data of a node, out into a folder of plain files, and back into a node.

Each table is a file of JSON lines, object bodies as they are served. Stamps and numbers
are kept, so that a restored node gives its callers the same pages under the same
cursors, and tells the same of every release. What search looks through is made anew.
The event lane's files are a little younger than the rows: a batch that they have and
the rows do not yet call done is marked in them, and does not count twice.
"""

from __future__ import annotations

import base64
import hashlib
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec
import orjson
import sqlalchemy as sa
import tomli_w

from serantau import __version__, typed
from serantau.clock import Clock, SystemClock, taxii_text
from serantau.config import FILE_NAME
from serantau.desk.broken_off import JOURNAL, Begun, broken_off
from serantau.desk.carry_files import (
    UNIT,
    Packing,
    Unpacking,
    changed,
    measure,
    refuse_full,
)
from serantau.desk.found import (
    check_configuration,
    make_home,
    refuse_occupied,
    refuse_second,
    write_whole,
)
from serantau.desk.gather import EXPORT
from serantau.desk.whole import alone
from serantau.errors import BadInput, Conflict
from serantau.node import Node
from serantau.records import tables
from serantau.records.database import Tx
from serantau.records.migrations import head
from serantau.rules.realm import refusal
from serantau.rules.stix import Limits, Reader, Refused
from serantau.wire.schemas import load_schemas

FORMAT: Final = 2
MANIFEST: Final = EXPORT
SQLITE: Final = "sqlite"
_ROWS: Final = 500
_UNLIMITED: Final = 1 << 62
_BODY: Final = "body"

Progress = Callable[[int, str], None]


@dataclass(slots=True)
class Carried:
    """What was carried.

    rows: by table. unread: objects that search will not find. files, bytes: beside the
    rows. events: what the manifest says of the event lane.
    """

    rows: dict[str, int] = field(default_factory=dict)
    unread: int = 0
    files: int = 0
    bytes: int = 0
    events: dict[str, Any] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Count all rows."""
        return sum(self.rows.values())

    @property
    def said(self) -> dict[str, Any]:
        """Tell it to a program."""
        return {
            "rows": self.rows,
            "files": self.files,
            "bytes": self.bytes,
            "events": self.events,
        }


class _Counting:
    """Counts rows, and kilobytes of files, for whoever wants to know how far it is."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._done = 0

    def __call__(self, more: int, said: str) -> None:
        self._done += more
        if self._progress is not None:
            self._progress(self._done, said)


def count(node: Node, *, events: bool = True) -> int:
    """Count the rows that an export would write, and the kilobytes of its files."""
    with node.db.read() as tx:
        rows = sum(
            int(
                tx.connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0
            )
            for table in tables.metadata.sorted_tables
        )
        return rows + measure(node, tx, events=events)


def count_exported(folder: Path) -> int:
    """Count the same of an export.

    Raises:
        BadInput: it is none, not whole, or not of this version.
    """
    manifest = read_manifest(folder)
    rows = sum(said["rows"] for said in manifest["tables"].values())
    return int(rows + manifest["files"]["kilobytes"])


def export(
    node: Node,
    folder: Path,
    progress: Progress | None = None,
    *,
    events: bool = True,
) -> Carried:
    """Write all data of a node into a new folder; the node may go on running.

    The folder holds the keys too: it is worth as much care as the node. Its manifest is
    written last; without it, it is no export.

    Args:
        node: whose data.
        folder: a new one, or an empty one.
        progress: called with what is done, as `count` counts, and a few words.
        events: whether the archive and the bytes of batches come too.

    Raises:
        Conflict: the folder is there and not empty.
        StoreError: the disk has no room, or the archive cannot be read.
    """
    if folder.exists() and any(folder.iterdir()):
        raise Conflict(f"{folder} is not empty.", mend="Name a new folder.")
    make_home(folder)
    step = _Counting(progress)
    carried = Carried()
    files: dict[str, dict[str, Any]] = {}
    packing = Packing(node, folder, step)
    with node.db.read() as tx:
        refuse_full(folder, measure(node, tx, events=events) * UNIT)
        if events:
            # After the rows' moment, which that was: what they call done is in there.
            packing.pin()
        for table in tables.metadata.sorted_tables:
            files[table.name] = _write_table(tx, table, folder, carried, step)
        at = taxii_text(tx.clock.now())
    listed = packing.pack(_file(folder, tables.batch) if events else None)
    carried.files, carried.bytes = listed["count"], listed["bytes"]
    left = {
        "carried": False,
        "archive": node.config.archive,
        "originals": str(node.config.lane_folder),
    }
    carried.events = packing.said() if events else left
    manifest = {
        "format": FORMAT,
        "revision": head(),
        "version": __version__,
        "at": at,
        "member": node.config.node.member,
        "realm": node.config.node.realm,
        "files": listed,
        "events": carried.events,
        "tables": files,
    }
    write_whole(folder / MANIFEST, tomli_w.dumps(manifest).encode())
    return carried


def _write_table(
    tx: Tx, table: sa.Table, folder: Path, carried: Carried, step: _Counting
) -> dict[str, Any]:
    digest, written = hashlib.sha256(), 0
    handle = os.open(_file(folder, table), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        for line in _lines(tx, table):
            digest.update(line)
            file.write(line)
            written += 1
            if written % _ROWS == 0:
                step(_ROWS, table.name)
        file.flush()
        os.fsync(file.fileno())
    carried.rows[table.name] = written
    step(written % _ROWS, table.name)
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
    archive: str = "",
    progress: Progress | None = None,
    clock: Clock | None = None,
) -> Carried:
    """Make a node of an export; one that was broken off goes on.

    Files come first, rows as one transaction, the settings last: without these there is
    no node.

    Args:
        folder: what `export` wrote.
        home: the folder of the node to be.
        store: URL of another database than the settings say; `sqlite` for a file in the
            folder.
        archive: another place for the tables of events than the settings say.
        progress: called with what is done, as `count_exported` counts, and a few words.
        clock: where the present comes from.

    Raises:
        Conflict: there is a node in `home`, or in the database, or events in the
            archive; or another restore into it was broken off, or runs.
        BadInput: the export is not whole, damaged, or of another version or realm.
        StoreError: a disk has no room, or a store failed.
    """
    manifest = read_manifest(folder)
    refuse_second(home)
    text = _settings(folder, store, archive)
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
    with alone(home):
        refuse_second(home)
        unpacking = Unpacking(folder, manifest, config)
        step = _Counting(progress)
        carried = Carried(
            files=manifest["files"]["count"],
            bytes=manifest["files"]["bytes"],
            events=manifest["events"],
        )
        unpacking.unpack_keys()
        with Node(config, clock or SystemClock()) as node:
            there = _begin(folder, node, unpacking)
            unpacking.unpack(step)
            unpacking.check()
            if there:
                # It ended between this and the settings.
                carried.rows = {
                    name: said["rows"] for name, said in manifest["tables"].items()
                }
            else:
                _read_tables(node, folder, manifest, carried, step)
        step(0, FILE_NAME)
        write_whole(home / FILE_NAME, text.encode())
        (home / JOURNAL).unlink()
    return carried


def _begin(folder: Path, node: Node, unpacking: Unpacking) -> bool:
    """Make sure that nothing is in the way, but what an earlier try put there.

    Says whether that came so far that the rows are there.
    """
    manifest = (folder / MANIFEST).read_bytes()
    ours = Begun(
        hashlib.sha256(manifest).hexdigest(),
        str(folder.absolute()),
        node.db.shown,
        node.config.archive,
    )
    begun = Begun.of(node.home)
    if begun is not None and begun.export != ours.export:
        raise broken_off(node.home, begun)
    there = False
    with node.db.read() as tx:
        if begun is not None and begun.store == ours.store:
            own = node.registry.parties(tx).get(node.config.node.member)
            there = own is not None and own[1].identity == node.config.node.identity
        if not there:
            refuse_occupied(node, tx)
    if begun is None or begun.archive != ours.archive:
        unpacking.refuse_occupied()
    if begun is None:
        unpacking.refuse_full()
    ours.keep(node.home)
    return there


def _read_tables(
    node: Node,
    folder: Path,
    manifest: Mapping[str, Any],
    carried: Carried,
    step: _Counting,
) -> None:
    with node.db.write() as tx:
        refuse_occupied(node, tx)
        for table in tables.metadata.sorted_tables:
            tx.connection.execute(sa.delete(table))
            said = manifest["tables"].get(table.name)
            if said is None:
                raise BadInput(f"{folder / MANIFEST} names no table {table.name}.")
            _read_table(tx, table, folder, said, carried, step)
            if not tx.lite:
                _count_on(tx, table)


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


def _settings(folder: Path, store: str, archive: str) -> str:
    try:
        text = (folder / FILE_NAME).read_text(encoding="utf-8")
        settings = tomllib.loads(text)
    except (OSError, ValueError) as fault:
        raise changed(folder / FILE_NAME) from fault
    if not store and not archive:
        return text
    if store:
        held = settings.setdefault("store", {})
        if store == SQLITE:
            held.pop("url", None)
        else:
            held["url"] = store
    if archive:
        settings.setdefault("lane", {})["archive"] = archive
    return tomli_w.dumps(settings)


def _read_table(
    tx: Tx,
    table: sa.Table,
    folder: Path,
    said: Mapping[str, Any],
    carried: Carried,
    step: _Counting,
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
            step(len(rows), table.name)
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


_decode = typed.reader(dict[str, msgspec.Raw])


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
