"""Files of a Delta table in a folder: what is written is on disk, and what is not goes.

Delta's writer names files without waiting for the disk. We wait before anything is
acknowledged, and take out what a power cut left half written.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from typing import IO, Final

import msgspec

from serantau.errors import StoreError

_PARQUET: Final = b"PAR1"
# Several writers may each have a commit under way when the power goes.
_TORN: Final = 8


def write_durably(path: Path, write: Callable[[IO[bytes]], object]) -> int:
    """Write a new file and have it on disk, with its name; gives its size.

    Raises:
        OSError: it cannot be written, or is there.
    """
    fresh = not path.parent.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as stream:
        write(stream)
        stream.flush()
        os.fsync(stream.fileno())
        size = os.fstat(stream.fileno()).st_size
    sync(path.parent)
    if fresh:
        sync(path.parent.parent)
    return size


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def mend(log: Path) -> None:
    """Take out of a table's log what a power cut left half written at its end.

    What is broken there was never acknowledged: that waits for the disk.

    Raises:
        StoreError: more is broken than a power cut leaves; nothing is taken out.
    """
    if not log.is_dir():
        return
    names = sorted((path.name for path in log.iterdir()), reverse=True)
    commits = [name for name in names if name.endswith(".json")]
    torn = list(takewhile(lambda name: not _is_commit(log / name), commits))
    if len(torn) > _TORN or (len(torn) > 1 and len(torn) == len(commits)):
        raise StoreError(
            f"The log of the table at {log.parent} cannot be read: "
            f"{len(torn)} of its {len(commits)} commits, the newest, are no JSON.",
            mend="Restore this folder from a backup; its Parquet files may be whole.",
        )
    last = log / "_last_checkpoint"
    for name in names:
        if name.endswith(".checkpoint.parquet"):
            if _is_parquet(log / name):
                break
            (log / name).unlink(missing_ok=True)
            last.unlink(missing_ok=True)
    if last.exists() and not _is_json(last.read_bytes()):
        last.unlink()
    for name in torn:
        (log / name).unlink()


def _is_commit(path: Path) -> bool:
    lines = path.read_bytes().splitlines()
    return bool(lines) and all(map(_is_json, lines))


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as stream:
        if stream.seek(0, os.SEEK_END) < 2 * len(_PARQUET):
            return False
        stream.seek(-len(_PARQUET), os.SEEK_END)
        return stream.read() == _PARQUET


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError:
        return False
    return True
