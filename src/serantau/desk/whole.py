"""Files that are there whole or not at all, by one writer at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from serantau.errors import BadRequest, Conflict


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """Write a file beside its place, and put it there when it is whole and on disk.

    Whatever stops the writing leaves the file that was there before. Only the user who
    writes it may read it.

    Raises:
        BadRequest: what is there is a folder, or a device or pipe, and no file.
        Conflict: it is just being written by another.
    """
    if path.is_dir():
        raise BadRequest(f"{path} is a folder.", mend="Name a file in it.")
    if path.exists() and not path.is_file():
        # /dev/null would be gone for everybody.
        raise BadRequest(f"{path} is no file.", mend="Name a file, or - where that is.")
    draft = path.with_name(f".{path.name}.new")
    handle = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as stream:
        _lock(handle, path)
        # Between opening and locking, its last writer may have put it in its place.
        if not draft.exists() or not os.path.samestat(os.fstat(handle), draft.stat()):
            raise _written(path)
        try:
            os.fchmod(handle, 0o600)
            os.ftruncate(handle, 0)
            yield stream
            stream.flush()
            os.fsync(handle)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        draft.replace(path)
    with _opened(path.parent) as folder:
        os.fsync(folder)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep others from writing into a folder for as long as the block runs.

    Raises:
        Conflict: another is writing there.
    """
    with _opened(folder) as handle:
        _lock(handle, folder)
        yield


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        yield handle
    finally:
        os.close(handle)


def _lock(handle: int, path: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as fault:
        raise _written(path) from fault


def _written(path: Path) -> Conflict:
    return Conflict(f"{path} is just being written by another.", mend="Wait for it.")
