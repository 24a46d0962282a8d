"""Loading what rows are looked up in: ranges of addresses, and published schemas."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from serantau.clock import taxii_text
from serantau.config import LaneSection
from serantau.desk.lane_kernel import FORMATS
from serantau.desk.lane_reference import RANGES
from serantau.desk.whole import whole
from serantau.errors import BadInput, ConfigError
from serantau.lane.formats import shadowserver
from serantau.lane.formats.registry import SCHEMA, Formats
from serantau.lane.ranges import Kind, Read, Shelf, Version, read
from serantau.node import Node
from serantau.wire.download import Download, Write
from serantau.wire.fetch import is_address

_LARGEST: Final = 2_000_000_000

Progress = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Sources:
    """What is loaded: files or addresses of each kind; several make one set."""

    country: tuple[str, ...] = ()
    asn: tuple[str, ...] = ()
    shadowserver: str = ""

    @classmethod
    def of(cls, section: LaneSection) -> Sources:
        """Give what the settings name."""
        return cls(tuple(section.country), tuple(section.asn), section.shadowserver)

    @property
    def any(self) -> bool:
        """Say whether there is any."""
        return bool(self.country or self.asn or self.shadowserver)


def update(
    node: Node,
    sources: Sources,
    name: str,
    day: str,
    *,
    anyway: bool = False,
    progress: Progress = lambda _: None,
) -> list[dict[str, Any]]:
    """Load new data beside that of before.

    Args:
        node: whose.
        sources: from where.
        name: what the ranges are called.
        day: the ISO date that they are of; empty: today.
        anyway: also ranges that shrank to less than half.
        progress: told what is being done.

    Returns:
        For each set: what, label, count and skipped (lines).

    Raises:
        BadInput: a file is none of its kind.
        Conflict: ranges shrank.
        PeerError: an address does not answer as it should.
    """
    day = day or taxii_text(node.clock.now())[:10]
    shelf = Shelf(node.home / RANGES)
    found = []
    for kind, places in ((Kind.COUNTRY, sources.country), (Kind.ASN, sources.asn)):
        if places:
            version = Version(day, name, kind)
            told = _read(node, kind, places, progress)
            found.append(
                {
                    "what": f"ranges of {kind}",
                    "label": version.label,
                    "count": shelf.add(version, told.frame, anyway=anyway),
                    "skipped": told.skipped,
                }
            )
            shelf.thin(kind, day)
    if sources.shadowserver:
        found.append(_schema(node, sources.shadowserver, progress))
    return found


def _read(node: Node, kind: Kind, places: Sequence[str], progress: Progress) -> Read:
    with TemporaryDirectory(dir=node.home, prefix=".update-") as folder:
        paths = [
            _local(node, place, Path(folder) / str(number), progress)
            for number, place in enumerate(places)
        ]
        progress(f"reading ranges of {kind}")
        return read(paths, kind)


def _schema(node: Node, place: str, progress: Progress) -> dict[str, Any]:
    folder = node.home / FORMATS
    with TemporaryDirectory(dir=node.home, prefix=".update-") as parts:
        path = _local(node, place, Path(parts) / "schema", progress)
        raw = path.read_bytes()
    # What cannot be used must not take the place of what can.
    try:
        form = Formats().named(shadowserver.NAME)
        kinds = shadowserver.with_schema(form, raw.decode("utf-8"), place).kinds
    except (UnicodeDecodeError, ConfigError) as fault:
        raise BadInput(f"{place} is not Shadowserver's schema: {fault}.") from fault
    folder.mkdir(mode=0o700, exist_ok=True)
    with whole(folder / SCHEMA) as file:
        file.write(raw)
    return {
        "what": "schema of reports",
        "label": shadowserver.NAME,
        "count": len(kinds),
        "skipped": 0,
    }


def _local(node: Node, place: str, to: Path, progress: Progress) -> Path:
    """Give a place's bytes as a file of this machine."""
    if not is_address(place):
        return node.home / place if not Path(place).exists() else Path(place)
    progress(f"fetching {to.name}")
    with Download(place, clock=node.clock, limit=_LARGEST) as download:
        file = to.open("wb")

        def begin() -> Write:
            file.seek(0)
            file.truncate()
            return file.write

        with file:
            download.get(begin)
    return to
