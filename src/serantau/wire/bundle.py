"""Files of STIX objects, cut into objects without reading them whole.

A file is a bundle or TAXII envelope (`{"objects": [...]}`, wherever `objects` stands
among its names), a list, one object, or objects one after the other (NDJSON), each
perhaps packed with gzip. What comes out is the text of each object as it stands there,
or a finding where there is none; memory is a window and one object.

A line of NDJSON is one object when it is one JSON value. Almost every other object is
cut out by one regular expression that matches a balanced object. What neither takes
(too deep, not all there yet, broken) goes through a scanner that knows the grammar of
JSON and keeps its own stack. Where the grammar breaks, the scanner says where, and the
next thing that looks like the start of an object is where it goes on: one broken object
costs one object.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, Literal

import msgspec

from serantau import typed
from serantau.errors import BadInput
from serantau.rules.jsontext import Limits, check_encoding, over
from serantau.rules.refusal import Refused, shown
from serantau.wire.scan import BLANK, Scan, State, alone, blank, end_of, member
from serantau.wire.window import HEAD, WINDOW, Window, unpacked

# Where to go on after a broken object: what looks like the start of another one, at the
# end of something. Objects nested in objects come after a colon.
_restart: Final = re.compile(
    rb'[][{},\n][ \t\r\n]*+(?=\{[ \t\r\n]*+"(?:type|id|spec_version)"[ \t\r\n]*+:)'
)
# Enough for the brackets, blanks and the name that `_restart` looks for.
_RESTART_REACH: Final = 256
_is_bundle: Final = re.compile(rb'\{[^][{}]*"type"[ \t\r\n]*:[ \t\r\n]*"bundle"').match
# The expression for objects looks no farther: what is larger is scanned. So a bracket
# that is missing costs little, wherever the next one stands.
_REACH: Final = 1 << 15
_value: Final = typed.reader(msgspec.Raw)
_first: Final = re.compile(rb"(?:\xef\xbb\xbf)?%b([{\[])" % BLANK)
_skim: Final = re.compile(
    rb'"([^"\\]*+(?:\\.[^"\\]*+)*+)"(%b:)?|[{}\[\]]' % BLANK, re.DOTALL
)


class Piece(msgspec.Struct, frozen=True, gc=False):
    """One object's text, or why there is none.

    ordinal: counts the pieces of a file from 1. offset: of its first byte in the
    unpacked file, from 0. line: from 1. raw: the text. fault: the finding, then raw is
    None.
    """

    ordinal: int
    offset: int
    line: int
    raw: bytes | None
    fault: Refused | None = None


@contextmanager
def open_input(path: Path | str) -> Iterator[BinaryIO]:
    """Open a file for `iter_objects`; `-` is standard input.

    Raises:
        BadInput: it cannot be opened; the message says why.
    """
    if str(path) == "-":
        yield sys.stdin.buffer
        return
    try:
        stream = Path(path).open("rb")  # noqa: SIM115 - the `with` below closes it
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}.") from error
    with stream:
        yield stream


def iter_objects(
    stream: BinaryIO, *, limits: Limits, file_bytes: int
) -> Iterator[Piece]:
    """Cut a stream into the objects it holds.

    Args:
        stream: a bundle, envelope, list, object or objects; gzip is found by its magic.
        limits: an object over `object_bytes` becomes a finding and is never held.
        file_bytes: what the stream may unpack to; past it, a finding ends the file.

    A file that ends too early ends with a finding ("truncated"), after all objects that
    are whole.
    """
    return _Cutter(Window(unpacked(stream, file_bytes)), limits).pieces()


Sniffed = Literal["stix", "misp", "ndjson", "list"]


def sniff(stream: BinaryIO) -> tuple[Sniffed, bytes]:
    """Tell what a stream holds from its first window, which is given back unpacked.

    "misp" is an event (`{"Event": ...}`), a search result (`{"response": ...}`) or a
    list of events; "list" any other list; "ndjson" several values one after the other;
    "stix" all else, also what cannot be read: the reader has the better words for it.
    """
    window = Window(unpacked(stream, WINDOW))
    while not window.final and len(window.text) < WINDOW // 16:
        window.more(0)
    text = window.text
    return _sniffed(text), text


def _sniffed(text: bytes) -> Sniffed:
    start = _first.match(text)
    if start is None:
        return "stix"
    if start[1] == b"[":
        inside = _first.match(text, start.end())
        is_event = inside is not None and _is_misp(text, inside.start(1))
        return "misp" if is_event else "list"
    if _is_misp(text, start.start(1)):
        return "misp"
    scan = Scan()
    state, end = scan.feed(text, start.start(1), final=False)
    rest = _first.match(text, end) if state == "done" else None
    return "ndjson" if rest is not None and rest[1] == b"{" else "stix"


def _is_misp(text: bytes, at: int) -> bool:
    """Look for the names of MISP's containers at the top of the object that starts."""
    depth = 0
    for token in _skim.finditer(text, at):
        if token[0] in b"{[":
            depth += 1
        elif token[0] in b"}]":
            depth -= 1
            if not depth:
                return False
        elif depth == 1 and token[2] and token[1] in {b"Event", b"response"}:
            return True
    return False


class _Cutter:
    """Walks over the top of a file and cuts out the objects below it.

    `_at` is the place in the window that has been read up to, `_start` where the value
    being scanned begins, or None when nothing has to be held. `_string` is where in the
    file its last string begins, `_cut` that the end of the file has been told.
    """

    def __init__(self, window: Window, limits: Limits) -> None:
        self._window = window
        self._limits = limits
        self._at = 0
        self._start: int | None = None
        self._ordinal = 0
        self._cut = False
        self._restarted = False
        self._string = -1

    def pieces(self) -> Iterator[Piece]:
        """Give every object and every finding, in the order of the file."""
        while len(self._window.text) < HEAD and self._window.more(0):
            pass
        yield from self._values()
        if self._window.fault is not None:
            yield self._finding(self._window.fault)

    def _values(self) -> Iterator[Piece]:
        """Read the values at the top of the file, one after the other."""
        if self._window.text.startswith(b"\xef\xbb\xbf"):
            self._at = 3  # RFC 8259 §8.1: a reader may ignore the mark
        try:
            check_encoding(self._window.text[self._at : self._at + 4])
        except Refused as fault:
            yield self._finding(fault)
            return
        if not self._peek() and self._window.fault is None:
            yield self._finding(Refused("json", "", "nothing", "STIX objects"))
        while mark := self._peek():
            if mark == b"[":
                self._at += 1
                yield from self._members()
            elif mark == b"{":
                yield from self._objects()
            elif mark == b"," or (self._restarted and mark in b"]}"):
                # What is left of the brackets around objects that were found again.
                self._at += 1
            else:
                yield self._broken()
                self._go_on()

    def _members(self) -> Iterator[Piece]:
        """Read the members of a list, up to and with its closing bracket."""
        match = member.match
        while True:
            text, at = self._window.text, self._at
            while found := match(text, at, at + _REACH):
                yield self._piece(found.start(1), found[1])
                self._at = at = found.end()
                if found[2] == b"]":
                    return
            mark = self._peek()
            if mark == b"]":
                self._at += 1
                return
            if mark == b",":
                self._at += 1
            elif mark:
                place = self._hold()
                yield from self._told(self._scan(), place)
            else:
                yield from self._told("more", self._hold())
                return

    def _objects(self) -> Iterator[Piece]:
        """Read objects at the top of the file, each one object or what holds others."""
        yield from self._lines()
        match = alone.match
        text, at = self._window.text, self._at
        while found := match(text, at, at + _REACH):
            raw = found[1]
            if b'"objects"' in raw:
                break
            # A bundle without objects is nothing, and no fault.
            if b'"bundle"' not in raw or not _is_bundle(raw):
                yield self._piece(found.start(1), raw)
            self._at = at = found.end()
        if self._peek() == b"{":
            yield from self._object()

    def _lines(self) -> Iterator[Piece]:
        """Read objects that are a line each, up to what is not.

        A line that is one JSON value is what the expression would cut out, only sooner.
        """
        text, at = self._window.text, self._at
        while (end := text.find(b"\n", at, at + _REACH)) > at:
            raw = text[at:end]
            if raw[:1] != b"{" or raw[-1:] != b"}" or b'"objects"' in raw:
                return
            try:
                _value(raw)
            except (msgspec.DecodeError, RecursionError):
                return
            if b'"bundle"' not in raw or not _is_bundle(raw):
                yield self._piece(at, raw)
            self._at = at = end + 1

    def _object(self) -> Iterator[Piece]:
        """Read an object at the top by its names; it may be one that holds others."""
        place = self._hold()
        self._at += 1
        holds = False
        before: bytes = b"{"
        while True:
            mark = self._peek()
            if mark == b"}" and before != b",":
                self._at += 1
                break
            if before != b"{" and before != b"," and mark == b",":
                self._at += 1
                before = mark
                continue
            if mark != b'"' or before == b'"':
                yield from self._told("broken" if mark else "more", place)
                return
            name, state = self._name()
            if state == "done" and name == b'"objects"' and self._peek() == b"[":
                self._at += 1
                self._start = None
                holds = True
                yield from self._members()
            elif state == "done":
                state = self._scan()
            if state != "done":
                yield from self._told(state, place)
                return
            before = b'"'
        bare = self._start is not None and _is_bundle(self._window.text, self._start)
        if not holds and not bare:
            yield from self._told("done", place)
        self._start = None

    def _name(self) -> tuple[bytes, State]:
        """Read a name and its colon."""
        held = self._start
        if held is None:
            self._start = self._at
        offset = self._at - (self._start or 0)
        state = self._scan()
        name = b""
        if self._start is not None:
            name = self._window.text[self._start + offset : self._at]
        if held is None:
            self._start = None
        if state == "done":
            mark = self._peek()
            if mark == b":":
                self._at += 1
            else:
                state = "broken" if mark else "more"
        return name, state

    # --- Places

    def _peek(self) -> bytes:
        """Give the next byte that is not blank, reading on as far as it takes."""
        while True:
            self._at = end_of(blank, self._window.text, self._at)
            if self._at < len(self._window.text):
                return self._window.text[self._at : self._at + 1]
            if not self._more():
                return b""

    def _more(self) -> bool:
        """Read on. What need not be held goes, and places move down by as much."""
        keep = self._at if self._start is None else self._start
        if not self._window.more(keep):
            return False
        self._at -= keep
        if self._start is not None:
            self._start = 0
        return True

    def _hold(self) -> tuple[int, int]:
        """Hold what comes from here on. Gives offset and line of the place."""
        self._start, self._string = self._at, -1
        return self._window.base + self._at, self._window.line(self._at)

    def _scan(self) -> State:
        """Go through one value. What grows over the limit is no longer held."""
        scan = Scan()
        while True:
            final = self._window.final
            state, self._at = scan.feed(self._window.text, self._at, final=final)
            if scan.string >= 0:
                self._string = self._window.base + scan.string
            start = self._start
            if start is not None and self._at - start > self._limits.object_bytes:
                self._start = None
            if state != "more" or final:
                return state
            self._more()

    def _go_on(self) -> None:
        """Move to the next thing that looks like the start of an object."""
        window, text = self._window, self._window.text
        self._start = None
        # What is before the place may end what is broken. And where a quote is missing,
        # the last string has run over the start of the next object.
        self._at = len(text[: self._at].rstrip(b" \t\r\n")) - 1
        if self._string >= 0:
            self._at = min(self._at, self._string - window.base)
        self._at, self._string = max(self._at, 0), -1
        self._restarted = True
        while True:
            found = _restart.search(window.text, self._at)
            if found is not None:
                self._at = found.end()
                return
            self._at = max(self._at, len(window.text) - _RESTART_REACH)
            if not self._more():
                self._at = len(window.text)
                self._cut = True
                return

    # --- Pieces

    def _piece(self, start: int, raw: bytes) -> Piece:
        self._ordinal += 1
        window = self._window
        fault = None
        if len(raw) > self._limits.object_bytes:
            fault = self._too_large(len(raw))
        line = window.line(start)
        return Piece(
            self._ordinal, window.base + start, line, None if fault else raw, fault
        )

    def _told(self, state: State, place: tuple[int, int]) -> Iterator[Piece]:
        """Give what came of a value that was scanned, and go on after it."""
        window, start = self._window, self._start
        if state == "broken":
            yield self._broken()
            self._go_on()
        elif state == "more":
            self._at = len(window.text)
            # A packed file that is cut, or too large, has a finding of its own.
            if window.fault is None and not self._cut:
                self._cut = True
                self._ordinal += 1
                fault = Refused("truncated", "", "the end of the file", "its rest")
                yield Piece(self._ordinal, *place, None, fault)
        elif start is None:
            self._ordinal += 1
            size = window.base + self._at - place[0]
            yield Piece(self._ordinal, *place, None, self._too_large(size))
        else:
            self._ordinal += 1
            yield Piece(self._ordinal, *place, window.text[start : self._at])
        self._start = None

    def _finding(self, fault: Refused) -> Piece:
        self._ordinal += 1
        window = self._window
        return Piece(
            self._ordinal, window.base + self._at, window.line(self._at), None, fault
        )

    def _broken(self) -> Piece:
        near = self._window.text[self._at : self._at + 24]
        got = shown(near.decode("utf-8", "replace"))
        return self._finding(
            Refused("json", "", got, "JSON as its grammar has it here")
        )

    def _too_large(self, size: int) -> Refused:
        return over("object_bytes", size, self._limits.object_bytes, "bytes")
