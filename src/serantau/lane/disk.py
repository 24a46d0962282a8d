"""Files of a Delta table in a folder: what is written is on disk, and what is not goes.

Delta's writer names files without waiting for the disk. We wait before anything is
acknowledged, and take out what a power cut left half written.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

import msgspec

_PARQUET: Final = b"PAR1"


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
    """
    if not log.is_dir():
        return
    names = sorted((path.name for path in log.iterdir()), reverse=True)
    last = log / "_last_checkpoint"
    for name in names:
        if name.endswith(".checkpoint.parquet"):
            if _is_parquet(log / name):
                break
            (log / name).unlink(missing_ok=True)
            last.unlink(missing_ok=True)
    if last.exists() and not _is_json(last.read_bytes()):
        last.unlink()
    for name in (one for one in names if one.endswith(".json")):
        lines = (log / name).read_bytes().splitlines()
        if lines and all(map(_is_json, lines)):
            break
        (log / name).unlink()


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
