"""A MISP feed: a folder, or a web address, with `manifest.json` and one file an event.

`manifest.json` maps each event's uuid to its line, time and tags; `hashes.csv` has a
line `md5 of a value,uuid of the event` for each value, so that a MISP can see whether
a feed knows a value without loading it; `<uuid>.json` is the event.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from serantau.errors import BadInput, NotFound, SerantauError, TooLarge
from serantau.wire.misp import FILE_BYTES, events
from serantau.wire.misp_values import kind_of, read_seconds, read_uuid, text_or

MANIFEST = "manifest.json"
HASHES = "hashes.csv"
Fetch = Callable[[str], bytes]
# What MISP's own generator puts into a manifest and a feed event; the rest of an event
# (ids of an instance, organisations it passed through) stays behind.
_IN_MANIFEST = ("info", "date", "analysis", "threat_level_id")
_IN_EVENT = (
    *("uuid", "info", "date", "analysis", "threat_level_id", "timestamp", "published"),
    *("publish_timestamp", "extends_uuid", "Tag", "Attribute", "Object", "Galaxy"),
    *("EventReport",),
)


@dataclass(frozen=True, slots=True)
class FeedEvent:
    """One event of a feed; `event` is None when it cannot be read, and `fault` why.

    stamp: the manifest's time of it, in seconds, to be given to `read` the next time.
    """

    uuid: str
    stamp: int
    event: dict[str, Any] | None
    fault: str = ""


def write(folder: Path, given: Iterable[Mapping[str, Any]]) -> list[str]:
    """Make `folder` a feed of exactly these events; give their uuids.

    Whoever can read the folder has them all: they must be made of what desk/share
    released to that party.

    Raises:
        BadInput: an event without a uuid, a time or a creator.
    """
    feed = Writing(folder)
    for one in given:
        feed.add(one)
    return feed.finish()


class Writing:
    """A feed's folder, made to hold exactly the events that are added or kept.

    Files appear whole, the manifest last, so that a reader meanwhile finds nothing half
    made; then events of an earlier writing that are not given any more are removed. A
    file that would not change is left alone.
    """

    def __init__(self, folder: Path) -> None:
        """Begin; nothing that is there changes yet."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._before = _lines_of(folder / MANIFEST)
        self._manifest: dict[str, dict[str, Any]] = {}
        self._hashes: list[bytes] = []

    def add(self, given: Mapping[str, Any]) -> tuple[str, str]:
        """Put an event in; give its uuid and the digest of its file.

        A reader asks for an event again only when its time is a later one. So an event
        that changed and is no younger, as when an object was taken out, gets the next
        second.

        Raises:
            BadInput: an event without a uuid, a time or a creator, or a second one.
        """
        index = len(self._manifest)
        event = given.get("Event", given)
        uuid, line = _line(event, index)
        if uuid in self._manifest:
            raise BadInput(f"Event {index} has the uuid of another: {uuid}.")
        body = {key: event[key] for key in _IN_EVENT if key in event}
        body = {**body, "uuid": uuid, "Orgc": line["Orgc"]}
        path = self._folder / f"{uuid}.json"
        before = self._before.get(uuid, 0)
        content = _file(body)
        if line["timestamp"] <= before and path.is_file():
            line["timestamp"] = before
            content = _file({**body, "timestamp": str(before)})
            if path.read_bytes() != content:
                line["timestamp"] = before + 1
                content = _file({**body, "timestamp": str(before + 1)})
        _put(path, content)
        self._list(uuid, line, event)
        return uuid, _digest(content)

    def keep(self, uuid: str, digest: str) -> bool:
        """Leave an event as an earlier writing left it; False when it is not so."""
        path = self._folder / f"{uuid}.json"
        held = path.read_bytes() if path.is_file() else b""
        known = uuid in self._before and uuid not in self._manifest
        if not known or _digest(held) != digest:
            return False
        event = orjson.loads(held)["Event"]
        _, line = _line(event, len(self._manifest))
        self._list(uuid, line, event)
        return True

    def _list(self, uuid: str, line: dict[str, Any], event: Mapping[str, Any]) -> None:
        self._manifest[uuid] = line
        own = uuid.encode()
        self._hashes.append(b"".join(b"%b,%b\n" % (x, own) for x in _hashes(event)))

    def finish(self) -> list[str]:
        """Write hashes and manifest, remove what is given no more; give the uuids."""
        _put(self._folder / HASHES, b"".join(self._hashes))
        _put(self._folder / MANIFEST, orjson.dumps(self._manifest))
        for path in self._folder.glob("*.json"):
            if read_uuid(path.stem) and path.stem not in self._manifest:
                path.unlink()
        # What a writing left that was stopped: nobody looks into it, or takes it away.
        for path in self._folder.glob(".*.new"):
            path.unlink()
        return list(self._manifest)


def _lines_of(path: Path) -> dict[str, int]:
    """Give the time of each event in a manifest of ours; nothing when there is none."""
    try:
        held = orjson.loads(path.read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError):
        return {}
    lines = held.items() if isinstance(held, dict) else ()
    return {
        uuid: read_seconds(line.get("timestamp")) or 0
        for uuid, line in lines
        if isinstance(line, dict)
    }


def _file(body: dict[str, Any]) -> bytes:
    return orjson.dumps({"Event": body})


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _line(event: Any, index: int) -> tuple[str, dict[str, Any]]:
    """Give an event's uuid and its line in the manifest."""
    if not isinstance(event, Mapping):
        raise BadInput(f"Event {index} is {kind_of(event)}, expected an object.")
    uuid, stamp = read_uuid(event.get("uuid")), read_seconds(event.get("timestamp"))
    creator = event.get("Orgc")
    if not uuid or stamp is None or not isinstance(creator, Mapping):
        missing = [
            name
            for name, good in (("uuid", uuid), ("timestamp", stamp), ("Orgc", creator))
            if not good
        ]
        raise BadInput(f"Event {index} cannot go into a feed: {missing} are not right.")
    line: dict[str, Any] = {key: event[key] for key in _IN_MANIFEST if key in event}
    line["timestamp"] = stamp
    line["Orgc"] = {key: creator.get(key) for key in ("name", "uuid")}
    line["Tag"] = [{"name": tag["name"]} for tag in event.get("Tag", ())]
    return uuid, line


def _hashes(event: Mapping[str, Any]) -> Iterator[bytes]:
    attributes = list(event.get("Attribute", ()))
    for one in event.get("Object", ()):
        attributes.extend(one.get("Attribute", ()))
    for attribute in attributes:
        kind, value = str(attribute["type"]), str(attribute["value"])
        split = "|" in kind or kind == "malware-sample"
        for piece in value.split("|") if split else [value]:
            # The feed format asks for MD5; nothing is proved by it.
            digest = hashlib.md5(piece.encode(), usedforsecurity=False)
            yield digest.hexdigest().encode()


def _put(path: Path, content: bytes) -> None:
    if path.is_file() and path.read_bytes() == content:
        return
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(path)


def read(
    source: Path | Fetch, known: Mapping[str, int] | None = None
) -> Iterator[FeedEvent]:
    """Read the events of a feed that are new or changed, the oldest first.

    Args:
        source: a folder, or a function that gives the bytes of a file of the feed by
            its name; the caller's client sets limits of time and size.
        known: the `stamp` of each event as it was read before, by uuid.

    Raises:
        NotFound: a folder without a manifest.
        BadInput: the manifest is not one. A single event's fault is in its FeedEvent.
    """
    fetch = _folder(source) if isinstance(source, Path) else source
    try:
        manifest = orjson.loads(fetch(MANIFEST))
    except orjson.JSONDecodeError as fault:
        raise BadInput(f"{MANIFEST} of the feed is not JSON: {fault}.") from fault
    if not isinstance(manifest, dict):
        raise BadInput(
            f"{MANIFEST} of the feed is {kind_of(manifest)}, expected an object of "
            "uuids.",
            mend="Ask whoever runs the feed to write it with MISP or PyMISP.",
        )
    seen = known or {}
    lines = []
    for name, line in manifest.items():
        uuid = read_uuid(name)
        stamp = read_seconds(line.get("timestamp")) if isinstance(line, dict) else None
        if not uuid:
            # The name becomes a path or an address: only a uuid is taken.
            yield FeedEvent(name[:80], 0, None, f"{name[:80]!r} is no uuid: refused")
        elif stamp is None:
            yield FeedEvent(uuid, 0, None, "the manifest gives no time for it")
        elif seen.get(uuid) != stamp:
            lines.append((stamp, uuid, name))
    for stamp, uuid, name in sorted(lines):
        yield _read_one(fetch, stamp, uuid, name)


def _read_one(fetch: Fetch, stamp: int, uuid: str, name: str) -> FeedEvent:
    try:
        found = list(events(fetch(f"{name}.json"), origin=f"{name}.json"))
    except (SerantauError, OSError) as fault:
        return FeedEvent(uuid, stamp, None, str(fault))
    if len(found) != 1:
        return FeedEvent(uuid, stamp, None, f"{name}.json holds {len(found)} events")
    event = found[0]
    own = text_or(event.get("uuid"), "no uuid")
    if own.lower() != uuid:
        return FeedEvent(uuid, stamp, None, f"{name}.json is the event {own[:80]}")
    return FeedEvent(uuid, stamp, event)


def _folder(folder: Path) -> Fetch:
    inside = folder.resolve()

    def fetch(name: str) -> bytes:
        path = (inside / name).resolve()
        # A link in a folder that others fill can point anywhere.
        if path.parent != inside:
            raise BadInput(f"{name} leads out of the feed's folder: refused.")
        if not path.is_file():
            raise NotFound(
                f"{name} is not in {folder}.",
                mend="A feed's folder has manifest.json and one file an event.",
            )
        if path.stat().st_size > FILE_BYTES:
            raise TooLarge(f"{name} has more than {FILE_BYTES} bytes.")
        return path.read_bytes()

    return fetch
