"""Files of STIX objects, cut into objects without reading them whole.

A file is a bundle or TAXII envelope (`{"objects": [...]}`, wherever `objects` stands
among its names), a list, one object, or objects one after the other (NDJSON), each
perhaps packed with gzip. What comes out is the text of each object as it stands there,
or a finding where there is none; memory is a window and one object.

Almost every object is cut out by one regular expression that matches a balanced object.
What it does not match (too deep, not all there yet, broken) goes through a scanner that
knows the grammar of JSON and keeps its own stack. Where the grammar breaks, the scanner
says where, and the next thing that looks like the start of an object is where it goes
on: one broken object costs one object.
"""

from __future__ import annotations

import re
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, Literal

import msgspec

from serantau.errors import BadInput
from serantau.rules.jsontext import Limits, check_encoding, over
from serantau.rules.refusal import Refused, shown

WINDOW: Final = 1 << 20
_GZIP: Final = b"\x1f\x8b"


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
    return _Cutter(_Window(_unpacked(stream, file_bytes)), limits).pieces()


Sniffed = Literal["stix", "misp", "ndjson", "list"]


def sniff(stream: BinaryIO) -> tuple[Sniffed, bytes]:
    """Tell what a stream holds from its first window, which is given back unpacked.

    "misp" is an event (`{"Event": ...}`), a search result (`{"response": ...}`) or a
    list of events; "list" any other list; "ndjson" several values one after the other;
    "stix" all else, also what cannot be read: the reader has the better words for it.
    """
    window = _Window(_unpacked(stream, WINDOW))
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
    scan = _Scan()
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
        elif depth == 1 and token[1] in {b"Event", b"response"}:
            return True
    return False


# --- The bytes -----------------------------------------------------------------------


class _Cut(Exception):
    """The stream cannot be read on; carries the finding to end with."""

    def __init__(self, fault: Refused) -> None:
        self.fault = fault
        super().__init__(str(fault))


def _unpacked(stream: BinaryIO, file_bytes: int) -> Iterator[bytes]:
    """Give the stream in chunks, unpacked if it is gzip, up to `file_bytes`."""
    total = 0
    for chunk in _chunks(stream):
        total += len(chunk)
        if total > file_bytes:
            kept = len(chunk) - (total - file_bytes)
            yield chunk[:kept]
            raise _Cut(over("file_bytes", total, file_bytes, "bytes or more"))
        yield chunk


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    head = stream.read(WINDOW)
    if not head.startswith(_GZIP):
        while head:
            yield head
            head = stream.read(WINDOW)
        return
    packed, unpacker = head, zlib.decompressobj(wbits=31)
    while packed:
        try:
            chunk = unpacker.decompress(packed, WINDOW)
        except zlib.error as error:
            raise _Cut(
                Refused(
                    "gzip", "", f"damaged gzip ({error})", "the file as it was sent"
                )
            ) from error
        if chunk:
            yield chunk
        if unpacker.eof:
            # RFC 1952 §2.2: members may follow each other. Tools pad with zeros.
            packed = unpacker.unused_data or stream.read(WINDOW)
            packed = packed.lstrip(b"\0")
            if packed:
                unpacker = zlib.decompressobj(wbits=31)
        else:
            packed = unpacker.unconsumed_tail or stream.read(WINDOW)
    if not unpacker.eof:
        raise _Cut(
            Refused("truncated", "", "a gzip file that ends early", "the whole file")
        )


class _Window:
    """The part of the file that is in memory, and where in the file it is."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self.text = b""
        self.base = 0
        self.final = False
        self.fault: Refused | None = None
        self._lines = 1
        self._counted = 0

    def more(self, keep: int) -> bool:
        """Read on, forgetting what stands before `keep`; False at the end."""
        try:
            chunk = next(self._chunks, b"")
        except _Cut as cut:
            self.fault, chunk = cut.fault, b""
        if not chunk:
            self.final = True
            return False
        if keep:
            self.line(keep)
            self._counted -= keep
            self.base += keep
            self.text = self.text[keep:]
        self.text += chunk
        return True

    def line(self, at: int) -> int:
        """Give the line of a place; places are asked in rising order."""
        if at > self._counted:
            self._lines += self.text.count(b"\n", self._counted, at)
            self._counted = at
        return self._lines


# --- The grammar ---------------------------------------------------------------------

_STRING: Final = rb'"[^"\\\x00-\x1f]*+(?:\\[^\x00-\x1f][^"\\\x00-\x1f]*+)*+"'
_NESTING: Final = 12


def _balanced() -> bytes:
    """Write the expression for an object whose brackets and strings are whole."""
    plain = rb'[^][{}"]*+'
    nested = rb"[{[]%b(?:%b%b)*+[]}]" % (plain, _STRING, plain)
    for _ in range(_NESTING - 2):
        nested = rb"[{[]%b(?:(?:%b|%b)%b)*+[]}]" % (plain, _STRING, nested, plain)
    # Only the outermost brackets are told apart: that a list ends in `}` somewhere
    # inside is found by who reads the object.
    return rb"\{%b(?:(?:%b|%b)%b)*+\}" % (plain, _STRING, nested, plain)


_BLANK: Final = rb"[ \t\r\n]*+"
_member: Final = re.compile(rb"%b(%b)%b([],])" % (_BLANK, _balanced(), _BLANK))
_alone: Final = re.compile(rb"%b(%b)" % (_BLANK, _balanced()))
_blank: Final = re.compile(_BLANK)
_first: Final = re.compile(rb"(?:\xef\xbb\xbf)?%b([{\[])" % _BLANK)
_skim: Final = re.compile(rb'"([^"\\]*+(?:\\.[^"\\]*+)*+)"|[{}\[\]]', re.DOTALL)
_in_string: Final = re.compile(
    rb'[^"\\\x00-\x1f]*+(?:\\[^\x00-\x1f][^"\\\x00-\x1f]*+)*+'
)
_literal: Final = re.compile(rb"[-+.0-9A-Za-z]+")
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

_State = Literal["done", "more", "broken"]


def _end(pattern: re.Pattern[bytes], text: bytes, at: int) -> int:
    """Give the place up to which a pattern that may be empty matches."""
    found = pattern.match(text, at)
    return found.end() if found else at


class _Scan:
    """Goes through one JSON value, however deep, as its text comes in."""

    def __init__(self) -> None:
        self._open = bytearray()
        self._expect = "value"
        self._inside = False

    def feed(self, text: bytes, at: int, *, final: bool) -> tuple[_State, int]:
        """Go on at `at`. Gives the state, and the place up to which it holds.

        "done": the value ends there. "more": the text ends there. "broken": what stands
        there is not JSON.
        """
        size = len(text)
        while True:
            if self._inside:
                at = _end(_in_string, text, at)
                if at >= size or (text[at] == 0x5C and at + 1 >= size):
                    return "more", at
                if text[at] != 0x22:
                    return "broken", at
                self._inside = False
                at += 1
                self._ended()
                if self._expect == "end":
                    return "done", at
            at = _end(_blank, text, at)
            if at >= size:
                return "more", at
            found = self._token(text, at, final)
            if not isinstance(found, int):
                return found, at
            at = found
            if self._expect == "end":
                return "done", at

    def _ended(self) -> None:
        """Move on after a string, name or other value."""
        if self._expect in {"name", "name or end"}:
            self._expect = "colon"
        else:
            self._expect = "comma" if self._open else "end"

    def _token(self, text: bytes, at: int, final: bool) -> int | _State:
        """Take one token. Gives the place after it, or why there is none."""
        mark, expect = text[at : at + 1], self._expect
        if mark == b'"':
            if expect in {"value", "value or end", "name", "name or end"}:
                self._inside = True
                return at + 1
        elif mark in b"{[":
            if expect in {"value", "value or end"}:
                self._open += mark
                self._expect = "name or end" if mark == b"{" else "value or end"
                return at + 1
        elif mark in b"}]":
            opening = b"{" if mark == b"}" else b"["
            may_end = expect in {"comma", "name or end", "value or end"}
            if may_end and self._open[-1:] == opening:
                self._open.pop()
                self._expect = "comma" if self._open else "end"
                return at + 1
        elif mark == b",":
            if expect == "comma":
                self._expect = "name" if self._open[-1:] == b"{" else "value"
                return at + 1
        elif mark == b":":
            if expect == "colon":
                self._expect = "value"
                return at + 1
        elif expect in {"value", "value or end"}:
            word = _literal.match(text, at)
            if word is not None:
                if word.end() == len(text) and not final:
                    return "more"
                self._ended()
                return word.end()
        return "broken"


# --- The cutter ----------------------------------------------------------------------


class _Cutter:
    """Walks over the top of a file and cuts out the objects below it.

    `_at` is the place in the window that has been read up to, `_start` where the value
    being scanned begins, or None when nothing has to be held.
    """

    def __init__(self, window: _Window, limits: Limits) -> None:
        self._window = window
        self._limits = limits
        self._at = 0
        self._start: int | None = None
        self._ordinal = 0
        self._cut = False

    def pieces(self) -> Iterator[Piece]:
        """Give every object and every finding, in the order of the file."""
        self._window.more(0)
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
        restarted = False
        while mark := self._peek():
            if mark == b"[":
                self._at += 1
                yield from self._members()
            elif mark == b"{":
                yield from self._objects()
            elif mark == b"," or (restarted and mark in b"]}"):
                # What is left of the brackets around objects that were found again.
                self._at += 1
            else:
                yield self._broken()
                self._go_on()
                restarted = True

    def _members(self) -> Iterator[Piece]:
        """Read the members of a list, up to and with its closing bracket."""
        match = _member.match
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
        match = _alone.match
        text, at = self._window.text, self._at
        while found := match(text, at, at + _REACH):
            raw = found[1]
            if b'"objects"' in raw:
                break
            if not _is_bundle(raw):  # one without objects is nothing, and no fault
                yield self._piece(found.start(1), raw)
            self._at = at = found.end()
        if self._peek() == b"{":
            yield from self._object()

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
        if not holds:
            yield from self._told("done", place)
        self._start = None

    def _name(self) -> tuple[bytes, _State]:
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
            self._at = _end(_blank, self._window.text, self._at)
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
        self._start = self._at
        return self._window.base + self._at, self._window.line(self._at)

    def _scan(self) -> _State:
        """Go through one value. What grows over the limit is no longer held."""
        scan = _Scan()
        while True:
            final = self._window.final
            state, self._at = scan.feed(self._window.text, self._at, final=final)
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
        self._at = max(len(text[: self._at].rstrip(b" \t\r\n")) - 1, 0)
        while True:
            found = _restart.search(window.text, self._at)
            if found is not None:
                self._at = found.end()
                return
            self._at = max(self._at, len(window.text) - _RESTART_REACH)
            if not self._more():
                self._at = len(window.text)
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

    def _told(self, state: _State, place: tuple[int, int]) -> Iterator[Piece]:
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
