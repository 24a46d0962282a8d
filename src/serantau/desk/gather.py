"""Files as people have them: which are STIX, which are MISP, and what became of each.

Every door that is given files goes through here. One file that cannot be read does not
stop the others; what is neither STIX nor MISP is left alone and said.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, cast

from serantau.desk.intake import Intake, Report
from serantau.errors import BadInput, PeerError, TheirError, TooLarge
from serantau.node import Node
from serantau.rules.realm import PROPERTY, refusal
from serantau.wire.bundle import sniff
from serantau.wire.fetch import Fetching, is_address

# What is looked at in a folder; a file that is named outright may be called anything.
SUFFIXES: Final = (".json", ".stix", ".stix2", ".ndjson", ".jsonl")
STDIN: Final = "-"
EXPORT: Final = "export.toml"
_HEAD: Final = 1 << 20
_MISP_BYTES: Final = 256_000_000
_TOKEN: Final = re.compile(rb'"([^"\\]*+(?:\\.[^"\\]*+)*+)"|[{}\[\]]', re.DOTALL)
_COLON: Final = re.compile(rb"[ \t\r\n]*+:[ \t\r\n]*+(.{1,100})", re.DOTALL)
_REALM: Final = PROPERTY.encode()
_TEXT: Final = re.compile(rb'"([^"\\]*+)"')
_GZIP: Final = b"\x1f\x8b"

Kind = Literal["stix", "misp", "other"]


@dataclass(frozen=True, slots=True)
class Input:
    """One file to take in. size: in bytes as it lies there, 0 when nobody can know.

    named: a person named it, rather than the folder that it is in. feed: it is a MISP
    feed, the folder `path` or else the address `origin`.
    """

    origin: str
    path: Path | None
    size: int
    named: bool
    feed: bool = False


@dataclass(slots=True)
class Sheet:
    """What became of one input. skipped: why it was left alone; empty when it was not.

    events: how many MISP events were in it. unchanged: events of a feed that were taken
    in before. unread: events of a feed that could not be read, and why.
    """

    origin: str
    kind: Kind
    named: bool = True
    skipped: str = ""
    events: int = 0
    unchanged: int = 0
    unread: list[str] = field(default_factory=list)
    report: Report = field(default_factory=Report)


Progress = Callable[[int, Report], None]


class Gathering:
    """Takes files into a node."""

    def __init__(
        self, node: Node, connect: Callable[[str], Fetching] = Fetching
    ) -> None:
        """Take into `node`; `connect` opens the address of a feed."""
        self._node = node
        self._intake = Intake(node)
        self._connect = connect

    @staticmethod
    def inputs(paths: Sequence[Path | str]) -> list[Input]:
        """List what is to be read: files as named, folders by their files, `-`.

        A folder that is a MISP feed is one input, and so is a feed's address.

        Raises:
            BadInput: a path that is not there.
        """
        return [one for path in paths for one in _inputs(path)]

    def take(
        self,
        one: Input,
        *,
        source: str = "file",
        handle_as: str = "",
        boxes: Sequence[int] = (),
        progress: Progress | None = None,
    ) -> Sheet:
        """Take in one input; what is wrong with it is on its sheet.

        Args:
            one: as `inputs` gave it.
            source: who brings it.
            handle_as: TLP label for unmarked objects; empty: as configured.
            boxes: numbers of box collections to put the objects into.
            progress: called with the bytes read so far and the report so far.
        """
        if one.feed:
            return self._take_feed(one, source, handle_as, boxes, progress)
        try:
            with _opened(one) as stream:
                return self.take_stream(
                    stream,
                    one.origin,
                    named=one.named,
                    source=source,
                    handle_as=handle_as,
                    boxes=boxes,
                    progress=progress,
                )
        except OSError as fault:
            why = f"cannot be read: {fault.strerror or fault}"
            return Sheet(one.origin, "other", one.named, skipped=why)

    def _take_feed(
        self,
        one: Input,
        source: str,
        handle_as: str,
        boxes: Sequence[int],
        progress: Progress | None,
    ) -> Sheet:
        from serantau.desk.feeds import take_feed

        sheet = Sheet(one.origin, "misp", one.named)

        def tell(report: Report) -> None:
            if progress is not None:
                progress(0, report)

        how: dict[str, Any] = {
            "handle_as": handle_as,
            "boxes": boxes,
            "progress": tell,
        }
        try:
            if one.path is not None:
                place = str(one.path.resolve())
                taken = take_feed(self._node, one.path, place, source=source, **how)
            else:
                with self._connect(one.origin) as fetch:
                    place = str(fetch.base)
                    source = f"feed:{fetch.base.host}"
                    taken = take_feed(self._node, fetch, place, source=source, **how)
        except (TheirError, PeerError) as fault:
            sheet.skipped = fault.message
            return sheet
        sheet.events, sheet.unchanged = taken.events, taken.unchanged
        sheet.unread, sheet.report = taken.unread, taken.report
        return sheet

    def take_stream(
        self,
        stream: BinaryIO,
        origin: str,
        *,
        named: bool = True,
        source: str = "file",
        handle_as: str = "",
        boxes: Sequence[int] = (),
        progress: Progress | None = None,
    ) -> Sheet:
        """Take in one stream, whatever it holds."""
        rejoined = _Rejoined(stream)
        kind = kind_of(rejoined.head)
        sheet = Sheet(origin, kind, named)

        def tell(report: Report) -> None:
            if progress is not None:
                progress(rejoined.given, report)

        realm = realm_of(rejoined.head) if kind == "stix" else ""
        why = refusal("What it holds", realm, self._node.config.node.realm)
        if kind == "other":
            sheet.skipped = "neither STIX nor a MISP event"
        elif why:
            sheet.skipped = why.removesuffix(".")
        elif kind == "stix":
            sheet.report = self._intake.load(
                cast("BinaryIO", rejoined),
                origin=origin,
                source=source,
                handle_as=handle_as,
                boxes=boxes,
                progress=tell,
            )
        else:
            try:
                self._take_misp(rejoined, sheet, source, handle_as, boxes, tell)
            except TheirError as fault:
                sheet.skipped = fault.message
        return sheet

    def _take_misp(
        self,
        stream: _Rejoined,
        sheet: Sheet,
        source: str,
        handle_as: str,
        boxes: Sequence[int],
        tell: Callable[[Report], None],
    ) -> None:
        from serantau.desk.feeds import take_event
        from serantau.wire.misp import events

        raw = _whole(stream, sheet.origin)
        for event in events(raw, origin=sheet.origin):
            report = take_event(
                *(self._node, event, sheet.origin),
                source=source,
                handle_as=handle_as,
                boxes=boxes,
            )
            sheet.events += 1
            sheet.report.add(report)
            tell(sheet.report)


def kind_of(head: bytes) -> Kind:
    """Tell from a file's first bytes what it is, perhaps packed with gzip.

    What cannot be read at all counts as STIX, whose reader says best what is wrong.
    Only JSON that is plainly something else is "other".
    """
    sniffed, text = sniff(io.BytesIO(head))
    if sniffed == "misp":
        return "misp"
    names = _top_names(text)
    if names is None or b"spec_version" in names or {b"type", b"id"} <= names.keys():
        return "stix"
    # A bundle's objects are a list; formats of maps have an object of that name.
    return "stix" if names.get(b"objects", b"")[:1] == b"[" else "other"


def realm_of(head: bytes) -> str:
    """Give the realm that a bundle or envelope says at its head; empty for none.

    An object's own word is not looked at here: it is judged object by object.
    """
    if _REALM not in head and not head.startswith(_GZIP):
        return ""
    _, text = sniff(io.BytesIO(head))
    names = _top_names(text) or {}
    found = _TEXT.match(names.get(_REALM, b""))
    if found is None or names.get(b"objects", b"")[:1] != b"[":
        return ""
    return found[1].decode("utf-8", "replace")


def _top_names(text: bytes) -> dict[bytes, bytes] | None:
    """Give the names of the first object's members, and how their values begin.

    A list's first object counts. None when there is none, or a small text ends early.
    """
    found: dict[bytes, bytes] = {}
    depth = 0
    inside = text.lstrip(b"\xef\xbb\xbf \t\r\n")
    if inside[:1] not in {b"{", b"["}:
        return None
    top = 2 if inside[:1] == b"[" else 1
    for token in _TOKEN.finditer(inside):
        if token[0] in b"{[":
            depth += 1
        elif token[0] in b"}]":
            depth -= 1
            if depth < top:
                return found
        elif depth == top and (value := _COLON.match(inside, token.end())):
            found[token[1]] = value[1]
    # A large object is cut off in the middle: what stood first must decide. A small one
    # ends early, which the reader of STIX says.
    return found or None if len(text) >= _HEAD // 16 else None


def _inputs(named: Path | str) -> Iterator[Input]:
    from serantau.desk.feeds import is_feed

    path = Path(named)
    if isinstance(named, str) and is_address(named):
        yield Input(named, None, 0, named=True, feed=True)
    elif path.is_dir() and is_feed(path):
        yield Input(str(path), path, 0, named=True, feed=True)
    elif str(path) == STDIN:
        yield Input("standard input", None, 0, named=True)
    elif path.is_dir() and (path / EXPORT).is_file():
        raise BadInput(
            f"{path} is the export of a whole node, of whatever realm.",
            mend="`serantau init --from` makes that node of it. Objects go from node "
            "to node by `serantau share write`, or by TAXII.",
        )
    elif path.is_dir():
        # Links in it are not followed: the folder is what was named.
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(one for one in folders if not one.startswith("."))
            for name in sorted(names):
                file = Path(folder) / name
                plain = name.lower().removesuffix(".gz")
                if plain.endswith(SUFFIXES) and not name.startswith("."):
                    yield Input(str(file), file, file.stat().st_size, named=False)
    elif path.exists():
        yield Input(str(path), path, path.stat().st_size, named=True)
    else:
        raise BadInput(f"{path} is not there.", mend="Nothing was loaded.")


@contextmanager
def _opened(one: Input) -> Iterator[BinaryIO]:
    if one.path is None:
        yield sys.stdin.buffer
        return
    with one.path.open("rb") as stream:
        yield stream


class _Rejoined:
    """A stream whose head was looked at, from its beginning; counts what it gave."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.head = stream.read(_HEAD)
        self._at = 0
        self.given = 0

    def read(self, size: int = -1) -> bytes:
        """Give some of what is left, at most `size` bytes; nothing at the end."""
        if self._at < len(self.head):
            end = len(self.head) if size < 0 else self._at + size
            chunk = self.head[self._at : end]
            self._at += len(chunk)
        else:
            chunk = self._stream.read(size)
        self.given += len(chunk)
        return chunk


def _whole(stream: _Rejoined, origin: str) -> bytes:
    """Read a MISP file whole, unpacked: an event is one JSON value."""
    source = cast("BinaryIO", stream)
    if stream.head.startswith(_GZIP):
        source = cast("BinaryIO", gzip.GzipFile(fileobj=source))
    chunks, size = [], 0
    try:
        while chunk := source.read(_HEAD):
            chunks.append(chunk)
            size += len(chunk)
            if size > _MISP_BYTES:
                raise TooLarge(f"{origin} unpacks to more than {_MISP_BYTES:,} bytes.")
    except (OSError, EOFError, zlib.error) as fault:
        raise BadInput(f"{origin} is damaged gzip: {fault}.") from fault
    return b"".join(chunks)
