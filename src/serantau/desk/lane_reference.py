"""What the kernel judges rows by, kept up to date with the node's store."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Final

import structlog

from serantau.desk.lane import categories
from serantau.desk.lane_indicators import Indicators
from serantau.lane.lists import read_folder
from serantau.lane.match import Known
from serantau.lane.reference import Reference
from serantau.node import Node
from serantau.records.assets import Assets

RANGES: Final = "ranges"
LISTS: Final = "warninglists"
_LOOK_SECONDS: Final = 15.0
_SECOND: Final = 1_000_000
# Looking takes at most one part of so many of a worker's time.
_SHARE: Final = 20
# The first look may read them all.
_MOST_SECONDS: Final = 60.0

_log = structlog.get_logger(__name__)


class Referring:
    """Gives the reference of a node; the same one as long as nothing changed."""

    def __init__(self, node: Node) -> None:
        """Put references together from what `node` holds."""
        self._node = node
        self._assets = Assets()
        self._categories = categories(node.config)
        self._indicators = Indicators(node.config.lane_folder)
        self._look = 0
        self._state: object = None
        self._mark = 0
        self._reference: Reference | None = None

    def reference(self) -> Reference:
        """Give what rows are judged by now; it is at most some seconds old."""
        now = self._node.clock.now()
        if self._reference is not None and now < self._look:
            return self._reference
        begun = time.monotonic()
        with self._node.db.read() as tx:
            assets = self._assets.all(tx)
            self._indicators.keep_up(tx)
        live, mark = self._indicators.live(now)
        lists = self._node.home / LISTS
        state = (assets, _stamps(lists))
        if self._reference is None or state != self._state:
            found, faults = read_folder(lists) if lists.is_dir() else ([], [])
            for fault in faults:
                _log.warning("warninglist_left_out", fault=fault)
            self._reference = Reference.of(
                ranges=self._node.home / RANGES,
                assets=assets,
                members={
                    one.code.upper(): one.code for one in self._node.profile.members
                },
                lists=found,
                indicators=live,
                categories=self._categories,
                exercise=self._node.config.node.realm != "live",
            )
            self._state = state
        elif mark != self._mark:
            self._reference = replace(self._reference, indicators=Known.of(live))
        self._mark = mark
        # A million indicators take a second to be put in order: not at every look.
        waits = max(_LOOK_SECONDS, _SHARE * (time.monotonic() - begun))
        waits = min(waits, _MOST_SECONDS)
        self._look = now + int(waits * _SECOND)
        return self._reference


def _stamps(folder: Path) -> list[tuple[str, int]]:
    return sorted(
        (str(path), path.stat().st_mtime_ns) for path in folder.rglob("*.json")
    )
