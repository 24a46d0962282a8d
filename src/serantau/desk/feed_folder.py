"""What a node remembers of a feed it wrote: whose it is, and what it was made of."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

import orjson

from serantau.desk.found import write_whole
from serantau.errors import Conflict
from serantau.wire.misp_feed import MANIFEST, Writing

STATES: Final = "handouts"
Told = dict[str, Any]


class FeedState:
    """What the node remembers of a feed that it wrote."""

    def __init__(self, home: Path, folder: Path, party: str) -> None:
        """Recall what is known of `folder`, in a file of its own below `home`.

        Raises:
            Conflict: the folder is another party's feed, or none of this node's.
        """
        place = str(folder.resolve())
        name = hashlib.sha256(place.encode()).hexdigest()[:32]
        self._path = home / STATES / f"{name}.json"
        self._path.parent.mkdir(mode=0o700, exist_ok=True)
        self._head = {"folder": place, "party": party}
        self._now: dict[str, dict[str, Any]] = {}
        self._before: dict[str, dict[str, Any]] = {}
        try:
            held = orjson.loads(self._path.read_bytes())
        except FileNotFoundError:
            held = None
        if held is None:
            if any(folder.iterdir()):
                raise Conflict(
                    f"{folder} is not empty, and no feed that this node wrote.",
                    mend="Name a new folder: what is not of the feed would be removed.",
                )
            # Known from now on, whatever happens before the first event is there.
            self.keep()
        elif held["party"] != party:
            raise Conflict(
                f"{folder} is the feed of {held['party']}, not of {party}.",
                mend="Each party has a folder of its own.",
            )
        elif (folder / MANIFEST).exists():
            self._before = held["events"]

    def unchanged(self, name: str, inputs: str, feed: Writing) -> list[Told] | None:
        """Give the losses of an event that the feed has just so; else None."""
        line = self._before.get(name)
        if line is None or line["inputs"] != inputs:
            return None
        if not feed.keep(name, line["file"]):
            return None
        self._now[name] = line
        return list(line["losses"])

    def note(self, name: str, inputs: str, file: str, losses: list[Told]) -> None:
        """Remember an event that was written."""
        self._now[name] = {"inputs": inputs, "file": file, "losses": losses}

    def keep(self) -> None:
        """Write down what is remembered."""
        write_whole(self._path, orjson.dumps({**self._head, "events": self._now}))
