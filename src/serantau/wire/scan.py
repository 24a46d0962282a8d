"""The grammar of JSON, as far as cutting a file into values needs it."""

from __future__ import annotations

import re
from typing import Final, Literal

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


BLANK: Final = rb"[ \t\r\n]*+"
member: Final = re.compile(rb"%b(%b)%b([],])" % (BLANK, _balanced(), BLANK))
alone: Final = re.compile(rb"%b(%b)" % (BLANK, _balanced()))
blank: Final = re.compile(BLANK)
_in_string: Final = re.compile(
    rb'[^"\\\x00-\x1f]*+(?:\\[^\x00-\x1f][^"\\\x00-\x1f]*+)*+'
)
_literal: Final = re.compile(rb"[-+.0-9A-Za-z]+")

State = Literal["done", "more", "broken"]


def end_of(pattern: re.Pattern[bytes], text: bytes, at: int) -> int:
    """Give the place up to which a pattern that may be empty matches."""
    found = pattern.match(text, at)
    return found.end() if found else at


class Scan:
    """Goes through one JSON value, however deep, as its text comes in.

    string: where in the text last fed the last string began, or -1.
    """

    def __init__(self) -> None:
        self._open = bytearray()
        self._expect = "value"
        self._inside = False
        self.string = -1

    def feed(self, text: bytes, at: int, *, final: bool) -> tuple[State, int]:
        """Go on at `at`. Gives the state, and the place up to which it holds.

        "done": the value ends there. "more": the text ends there. "broken": what stands
        there is not JSON.
        """
        size = len(text)
        self.string = -1
        while True:
            if self._inside:
                at = end_of(_in_string, text, at)
                if at >= size or (text[at] == 0x5C and at + 1 >= size):
                    return "more", at
                if text[at] != 0x22:
                    return "broken", at
                self._inside = False
                at += 1
                self._ended()
                if self._expect == "end":
                    return "done", at
            at = end_of(blank, text, at)
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

    def _token(self, text: bytes, at: int, final: bool) -> int | State:
        """Take one token. Gives the place after it, or why there is none."""
        mark, expect = text[at : at + 1], self._expect
        if mark == b'"':
            if expect in {"value", "value or end", "name", "name or end"}:
                self._inside = True
                self.string = at
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
