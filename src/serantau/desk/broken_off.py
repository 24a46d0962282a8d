"""A restore that did not come to its end: what it was, so that it can go on."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Final

import msgspec

from serantau import typed
from serantau.config import FILE_NAME
from serantau.desk.found import write_whole
from serantau.errors import Conflict

JOURNAL: Final = ".restoring"


class Begun(msgspec.Struct, frozen=True):
    """What a restore found empty when it began, and has been filling since.

    export: digest of the export's manifest. folder: where the export is. store: the
    database, without its password. archive: where the tables of events are.
    """

    export: str
    folder: str
    store: str
    archive: str

    def keep(self, home: Path) -> None:
        """Note it in the node's folder, durably."""
        write_whole(home / JOURNAL, msgspec.json.encode(self))

    @classmethod
    def of(cls, home: Path) -> Begun | None:
        """Give what was begun in a folder and not ended; None: nothing."""
        if (home / FILE_NAME).exists():
            return None
        try:
            return typed.read((home / JOURNAL).read_bytes(), cls)
        except FileNotFoundError:
            return None


def refuse_broken_off(home: Path) -> None:
    """Make sure that no restore into a folder was broken off.

    Raises:
        Conflict: one was; the message says how to go on.
    """
    begun = Begun.of(home)
    if begun is not None:
        raise broken_off(home, begun)


def broken_off(home: Path, begun: Begun) -> Conflict:
    """Say that a restore was broken off, and how to go on."""
    command = f"serantau --home {shlex.quote(str(home))} init"
    return Conflict(
        f"{home} is no node yet: a restore into it was broken off.",
        mend=f"`{command} --from {shlex.quote(begun.folder)}` goes on with it, with "
        "the flags of before; or remove that folder.",
    )
