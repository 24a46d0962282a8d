"""The bytes of batches on disk, under the SHA-256 that names them.

A few bytes are kept in the store, with the row that tells of them. More are written
beside their place and synced; then they are linked into their place, and the row is
committed; then the first name goes. A kill at any
instruction leaves the row with its bytes, or a draft that nobody holds any more, which
is swept away. Nothing was acknowledged of that one.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final

from serantau.errors import NotFound

_DIGEST: Final = 64
SMALL: Final = 1 << 16
"""Bytes up to which a batch is kept in the store: one sync instead of three."""


class Draft:
    """Bytes that are coming in. Use it in a `with`: what was not kept is removed.

    size: how many came so far. digest: of them, once it is sealed. path: of the file
    that they are in, None while they are few.
    """

    def __init__(self, folder: Path) -> None:
        """Begin; a file in `folder` is made when there is much."""
        self._folder = folder
        self._small = bytearray()
        self._file: BinaryIO | None = None
        self._sum = hashlib.sha256()
        self.path: Path | None = None
        self.size = 0
        self.digest = ""

    def write(self, piece: bytes) -> None:
        """Add to the end."""
        self._sum.update(piece)
        self.size += len(piece)
        if self._file is None:
            self._small += piece
            if self.size <= SMALL:
                return
            # Locked for as long as this process writes it.
            _make(self._folder)
            self.path, handle = _begun(self._folder)
            self._file = os.fdopen(handle, "w+b")
            piece = bytes(self._small)
            self._small.clear()
        self._file.write(piece)

    @property
    def body(self) -> bytes | None:
        """Give the bytes when they are few, None when they are in a file."""
        return bytes(self._small) if self._file is None else None

    def head(self, size: int) -> bytes:
        """Give the first bytes."""
        if self._file is None:
            return bytes(self._small[:size])
        self._file.flush()
        return os.pread(self._file.fileno(), size, 0)

    def seal(self) -> str:
        """Make sure that a file is on disk; gives the SHA-256 of the bytes in hex."""
        self.digest = self._sum.hexdigest()
        if self._file is not None and self.path is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
            # Its name says where a killed process may have linked it to.
            self.path = self.path.rename(
                self.path.with_name(f"{self.digest}.{self.path.name}")
            )
        return self.digest

    def __enter__(self) -> Draft:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None and self.path is not None:
            self.path.unlink(missing_ok=True)
            self._file.close()


@dataclass(frozen=True, slots=True)
class Left:
    """A draft whose writer is gone. digest: when it may have been linked, else empty.

    placed: it was linked into its place.
    """

    path: Path
    digest: str
    placed: bool


class Originals:
    """The folder of all bytes of batches."""

    def __init__(self, folder: Path) -> None:
        """Keep them in `folder`, which is made when the first ones come."""
        self.folder = folder
        self._arriving = folder / "arriving"

    def draft(self) -> Draft:
        """Begin to receive bytes."""
        return Draft(self._arriving)

    def path(self, digest: str) -> Path:
        """Give where a batch's bytes are."""
        return self.folder / "batches" / digest[:2] / digest

    def place(self, draft: Draft) -> None:
        """Put a sealed draft where its batch's bytes are, durably.

        To be called inside the transaction that notes the batch: so nobody sweeps it
        away before the row is there.
        """
        if draft.path is None:
            return
        to = self.path(draft.digest)
        _make(to.parent)
        # It is there when a killed process came so far: the same bytes.
        with contextlib.suppress(FileExistsError):
            to.hardlink_to(draft.path)
        _sync(to.parent)

    def has(self, digest: str) -> bool:
        """Say whether a batch's bytes are here."""
        return self.path(digest).is_file()

    def open(self, digest: str) -> BinaryIO:
        """Open a batch's bytes.

        Raises:
            NotFound: they are not here any more.
        """
        try:
            return self.path(digest).open("rb")
        except FileNotFoundError as fault:
            raise NotFound(
                f"The bytes of batch {digest[:12]} are not here any more.",
                mend="lane.originals_days says how long they are kept; "
                "add the file again.",
            ) from fault

    def remove(self, digest: str) -> int:
        """Remove a batch's bytes; gives how many there were."""
        path = self.path(digest)
        try:
            size = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            return 0
        return size

    def left(self) -> Iterator[Left]:
        """Give the drafts whose writers were killed, each locked while it is looked at.

        A draft that somebody writes is left out.
        """
        if not self._arriving.is_dir():
            return
        for path in sorted(self._arriving.iterdir()):
            try:
                handle = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                continue
            with os.fdopen(handle):
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                digest = path.name.partition(".")[0]
                digest = digest if len(digest) == _DIGEST else ""
                yield Left(path, digest, bool(digest) and self._is(digest, path))

    def _is(self, digest: str, path: Path) -> bool:
        try:
            return self.path(digest).samefile(path)
        except FileNotFoundError:
            return False


def _make(folder: Path) -> None:
    if folder.is_dir():
        return
    _make(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    _sync(folder.parent)


def _begun(folder: Path) -> tuple[Path, int]:
    while True:
        path = folder / f"{secrets.token_hex(8)}.part"
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX)
        # Before it was locked it looked like one that nobody writes.
        if os.fstat(handle).st_nlink:
            return path, handle
        os.close(handle)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
