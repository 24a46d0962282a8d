"""What a node has beside its rows: files out into an export, and back into a node.

Each file is listed with its size and digest, and is in its place whole or not at all.
The tables of events come last and each with its one commit at its end, so that a table
is there when all of its files are.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final

import msgspec
import sqlalchemy as sa

from serantau import typed
from serantau.config import FILE_NAME, NodeConfig
from serantau.desk.feed_folder import STATES
from serantau.desk.lane_kernel import FORMATS
from serantau.desk.lane_reference import LISTS, RANGES
from serantau.desk.whole import whole
from serantau.errors import BadInput, Conflict, StoreError
from serantau.lane.archive import Archive
from serantau.lane.carriage import (
    COMMIT,
    State,
    is_there,
    put_there,
    reading,
    write_down,
)
from serantau.lane.delta import DAY, TRIES, Table, too_busy
from serantau.lane.originals import SMALL, Originals
from serantau.node import Node
from serantau.records import tables
from serantau.records.batches import Batches
from serantau.records.database import Tx
from serantau.wire.catalogue import TEXTS

LIST: Final = "files.ndjson"
KEYS: Final = "keys"
ORIGINALS: Final = "originals"
ARCHIVE: Final = "archive"
UNIT: Final = 1024
"""Bytes of files that progress counts as one row."""

_OWN: Final = (FORMATS, RANGES, LISTS, TEXTS, STATES)
_PIECE: Final = 1 << 20
_DIGEST: Final = 64

Step = Callable[[int, str], None]
"""Is told of units that were done, and of what."""


class Entry(msgspec.Struct, frozen=True):
    """One file of an export: its path below it, its bytes' number and their SHA-256."""

    path: str
    size: int
    sha256: str

    @property
    def units(self) -> int:
        """Count it for the progress."""
        return _units(self.size)


@dataclass(slots=True)
class Packed:
    """What was listed. lost: digests of batches whose bytes should be here."""

    count: int = 0
    bytes: int = 0
    units: int = 0
    originals: int = 0
    lost: list[str] = field(default_factory=list)


def _units(size: int) -> int:
    return -(-size // UNIT)


def _tables(config: NodeConfig) -> dict[str, Table]:
    archive = Archive(config.archive, config.lane.storage)
    # Rejects are committed before the events of their batch: the other way round some
    # of them could be missing.
    return {"events": archive.events, "rejects": archive.rejects}


def _own(node: Node) -> Iterator[tuple[str, Path]]:
    """Give the small files of a node, and where they go in an export."""
    yield FILE_NAME, node.home / FILE_NAME
    for name, folder in (
        (KEYS, node.config.keys),
        *((name, node.home / name) for name in _OWN),
    ):
        for path in sorted(folder.rglob("*")):
            within = path.relative_to(folder)
            hidden = any(part.startswith(".") for part in within.parts)
            if path.is_file() and not hidden:
                yield f"{name}/{within.as_posix()}", path


def measure(node: Node, tx: Tx, *, events: bool) -> int:
    """Count the kilobytes of files that an export would have."""
    units = sum(_units(path.stat().st_size) for _, path in _own(node))
    if not events:
        return units
    batch = tables.batch
    sizes = sa.func.sum((batch.c.size + UNIT - 1) // UNIT)
    large = sa.select(sizes).where(batch.c.kept, batch.c.size > SMALL)
    units += int(tx.connection.scalar(large) or 0)
    for table in _tables(node.config).values():
        if is_there(table):
            units += sum(map(_units, table.listed()["size_bytes"]))
    return units


# Out


class Packing:
    """Files of a node on their way into an export."""

    def __init__(self, node: Node, folder: Path, step: Step) -> None:
        """Pack what `node` has into `folder`."""
        self._node = node
        self._folder = folder
        self._step = step
        self._tables = _tables(node.config)
        self._states: dict[str, State] = {}
        self._copied: dict[str, Entry] = {}
        self.packed = Packed()

    def pin(self) -> None:
        """Write down which files of events count now: later than the store's state.

        What the store says was done before is then in these.

        Raises:
            StoreError: the archive cannot be read.
        """
        self._states = {}
        for name, table in self._tables.items():
            if is_there(table):
                path = self._folder / ARCHIVE / name / COMMIT
                _folder(path.parent)
                with whole(path) as file:
                    self._states[name] = write_down(table, file.write)

    def pack(self, batches: Path | None) -> dict[str, Any]:
        """Copy all files; gives what the manifest says of them.

        Args:
            batches: the exported table of batches, whose bytes come too; None: neither
                these nor the tables of events come.

        Raises:
            StoreError: a file cannot be read, or is not what it should be.
        """
        with whole(self._folder / LIST) as listed:

            def say(entry: Entry) -> None:
                listed.write(msgspec.json.encode(entry) + b"\n")
                self.packed.count += 1
                self.packed.bytes += entry.size
                self.packed.units += entry.units

            for name, path in _own(self._node):
                try:
                    with path.open("rb") as source:
                        say(self._copy(name, source))
                except FileNotFoundError:
                    # A set of ranges that was replaced this moment.
                    continue
            if batches is not None:
                for entry in self._originals(batches):
                    say(entry)
                for entry in self._events():
                    say(entry)
        with (self._folder / LIST).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {
            "count": self.packed.count,
            "bytes": self.packed.bytes,
            "kilobytes": self.packed.units,
            "sha256": digest,
        }

    def said(self) -> dict[str, Any]:
        """Give what the manifest says of events."""
        return {
            "carried": True,
            "originals": self.packed.originals,
            "lost": self.packed.lost,
            "tables": {
                name: {
                    "rows": state.rows,
                    "files": len(state.files),
                    "columns": list(state.columns),
                }
                for name, state in self._states.items()
            },
        }

    def _copy(self, path: str, source: BinaryIO) -> Entry:
        digest, size = hashlib.sha256(), 0
        target = self._folder / path
        _folder(target.parent)
        with whole(target) as file:
            while piece := source.read(_PIECE):
                piece = bytes(piece)
                digest.update(piece)
                file.write(piece)
                self._step(_units(size + len(piece)) - _units(size), path)
                size += len(piece)
        return Entry(path, size, digest.hexdigest())

    def _originals(self, batches: Path) -> Iterator[Entry]:
        originals = Originals(self._node.config.lane_folder)
        with batches.open("rb") as file:
            for line in file:
                batch = msgspec.json.decode(line)
                digest = batch["digest"]
                # Fewer bytes are in the store, with the rows.
                if not batch["kept"] or batch["size"] <= SMALL:
                    continue
                path = f"{ORIGINALS}/{digest[:2]}/{digest}"
                entry = None
                if originals.has(digest):
                    with originals.open(digest) as source:
                        entry = self._copy(path, source)
                if entry is not None and entry.sha256 == digest:
                    self.packed.originals += 1
                    yield entry
                    continue
                if entry is not None:
                    (self._folder / path).unlink()
                with self._node.db.read() as tx:
                    kept = Batches().get(tx, digest).kept
                if kept:
                    self.packed.lost.append(digest)

    def _events(self) -> Iterator[Entry]:
        for _ in range(TRIES):
            if self._all_copied():
                break
            # A file was deleted meanwhile, by folding a day ago or by erasure: what
            # counts now has its rows, or must not have them any more.
            self.pin()
            named = {
                f"{ARCHIVE}/{name}/{path}"
                for name, state in self._states.items()
                for path in state.files
            }
            for path in self._copied.keys() - named:
                (self._folder / path).unlink()
                del self._copied[path]
        else:
            raise too_busy(self._tables["events"])
        yield from self._copied.values()
        for name in self._states:
            path = f"{ARCHIVE}/{name}/{COMMIT}"
            with (self._folder / path).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                yield Entry(path, file.tell(), digest)

    def _all_copied(self) -> bool:
        for name, state in self._states.items():
            table = self._tables[name]
            for path, size in state.files.items():
                to = f"{ARCHIVE}/{name}/{path}"
                if to in self._copied:
                    continue
                try:
                    with reading(table, path) as source:
                        entry = self._copy(to, source)
                except FileNotFoundError:
                    if is_there(table) and path in set(table.listed()["path"]):
                        raise _damaged(table, path, "is not there") from None
                    return False
                if entry.size != size:
                    said = f"has {entry.size:,} bytes instead of {size:,}"
                    raise _damaged(table, path, said)
                self._copied[to] = entry
        return True


def _damaged(table: Table, path: str, said: str) -> StoreError:
    return StoreError(
        f"{table.root}/{path} {said}: the archive is damaged.",
        mend="`--without-events` exports the rest; restore the archive from a backup.",
    )


def _folder(path: Path) -> None:
    if not path.is_dir():
        _folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)


# In


class Unpacking:
    """Files of an export on their way into a node."""

    def __init__(
        self, folder: Path, manifest: Mapping[str, Any], config: NodeConfig
    ) -> None:
        """Unpack what is in `folder` for the node that `config` describes.

        Raises:
            BadInput: the export's list of files is not as it was written, or the tables
                of events are of a newer program.
        """
        self._folder = folder
        self._config = config
        self._said = manifest
        self._tables = _tables(config)
        self.carried: bool = manifest["events"]["carried"]
        self._originals = Originals(config.lane_folder)
        with _opened(folder / LIST) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != manifest["files"]["sha256"]:
            raise changed(folder / LIST)
        for name, said in self._held().items():
            known = {*self._tables[name].schema.names(), DAY}
            strange = sorted(set(said["columns"]) - known)
            if strange:
                raise BadInput(
                    f"{folder} has {name} of a newer version, with columns that this "
                    f"one does not know: {', '.join(strange)}.",
                    mend="Restore it with that version.",
                )

    def _held(self) -> Mapping[str, Any]:
        held: Mapping[str, Any] = self._said["events"].get("tables", {})
        return held

    def refuse_occupied(self) -> None:
        """Make sure that there are no tables where those of the export are to be.

        Raises:
            Conflict: there are.
            StoreError: their store does not answer.
        """
        for name in self._tables if self.carried else ():
            if is_there(self._tables[name]):
                raise Conflict(
                    f"The archive {self._config.archive} has events already.",
                    mend="Name another place with --archive: a folder, or "
                    "s3://BUCKET/PATH.",
                )

    def refuse_full(self) -> None:
        """Make sure that there is room for the files.

        Raises:
            StoreError: there is not.
        """
        wanted: dict[int, tuple[Path, int]] = {}
        for entry in self.entries():
            target = self._target(entry.path)
            if target is None:
                continue
            while not target.exists():
                target = target.parent
            disk = target.stat().st_dev
            wanted[disk] = (target, wanted.get(disk, (target, 0))[1] + entry.size)
        for place, size in wanted.values():
            refuse_full(place, size)

    def entries(self) -> Iterator[Entry]:
        """Give the files of the export, as they are listed.

        Raises:
            BadInput: a line is none, or names a place where no file belongs.
        """
        with _opened(self._folder / LIST) as file:
            for line in file:
                try:
                    yield typed.read(line, Entry)
                except msgspec.DecodeError as fault:
                    raise changed(self._folder / LIST) from fault

    def _target(self, path: str) -> Path | None:
        """Say where a file belongs; None: in an object store, or nowhere."""
        parts = PurePosixPath(path).parts
        if not parts or PurePosixPath(path).is_absolute() or ".." in parts:
            raise BadInput(f"{self._folder / LIST} names {path!r}, which is no file.")
        root, within = parts[0], parts[1:]
        if root == ARCHIVE and within and within[0] in self._tables:
            table = self._tables[within[0]]
            return None if table.everywhere else Path(table.root, *within[1:])
        if root == ORIGINALS and len(path.rpartition("/")[2]) == _DIGEST:
            return self._originals.path(parts[-1])
        if root == KEYS or root in _OWN:
            return self._config.home / path
        if path == FILE_NAME:
            return None
        raise BadInput(f"{self._folder / LIST} names {path!r}, which belongs nowhere.")

    def unpack_keys(self) -> None:
        """Put the keys into their places, which opening a node needs.

        Raises:
            BadInput: one is not as it was exported.
        """
        for entry in self.entries():
            if entry.path.startswith(f"{KEYS}/"):
                self._unpack(entry)

    def unpack(self, step: Step) -> None:
        """Put the files into their places. What is there by an earlier try stays.

        Raises:
            BadInput: a file is not as it was exported.
            StoreError: the object store failed.
        """
        for entry in self.entries():
            self._unpack(entry)
            step(entry.units, entry.path)

    def _unpack(self, entry: Entry) -> None:
        source, target = self._folder / entry.path, self._target(entry.path)
        if target is not None:
            _folder(target.parent)
            if not _is(target, entry):
                with _opened(source) as file, whole(target) as out:
                    if not _matches(file, entry, out.write):
                        raise changed(source)
            return
        if not _is(source, entry):
            raise changed(source)
        if entry.path != FILE_NAME:
            _, name, path = entry.path.split("/", 2)
            with _opened(source) as file:
                put_there(self._tables[name], path, file, entry.size)

    def check(self) -> None:
        """Make sure that the tables are what they were.

        Raises:
            StoreError: they are not, or cannot be opened.
        """
        for name, said in self._held().items():
            table = self._tables[name]
            rows = int(table.listed()["num_records"].sum())
            if rows != said["rows"]:
                raise StoreError(
                    f"{table.root} has {rows:,} rows instead of {said['rows']:,}.",
                    mend="Remove it, and restore again.",
                )
            # Opening need not read the one long commit each time.
            table.checkpoint()


def refuse_full(place: Path, size: int) -> None:
    """Make sure that a disk has room.

    Raises:
        StoreError: it has not.
    """
    free = shutil.disk_usage(place).free
    if size > free:
        raise StoreError(
            f"The disk of {place} has {free / 1e9:,.1f} GB free, and "
            f"{size / 1e9:,.1f} GB are to be written.",
            mend="Make room there, or name a folder on another disk.",
        )


def changed(path: Path) -> BadInput:
    """Say that a file of an export is not what was written."""
    return BadInput(
        f"{path} is not as it was exported.",
        mend="Take an undamaged copy of the export, and run the same command again.",
    )


def _opened(path: Path) -> BufferedReader:
    try:
        return path.open("rb")
    except FileNotFoundError as fault:
        raise changed(path) from fault


def _is(path: Path, entry: Entry) -> bool:
    if not path.is_file() or path.stat().st_size != entry.size:
        return False
    with path.open("rb") as file:
        return _matches(file, entry, lambda _: None)


def _matches(file: BinaryIO, entry: Entry, write: Callable[[bytes], object]) -> bool:
    digest, size = hashlib.sha256(), 0
    while piece := file.read(_PIECE):
        size += len(piece)
        if size > entry.size:
            return False
        digest.update(piece)
        write(piece)
    return size == entry.size and digest.hexdigest() == entry.sha256
