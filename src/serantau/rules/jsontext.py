"""From bytes to one JSON value, and to the same text without idle white space.

The text is what travels and what signatures are made over, so it is never written anew:
numbers, escapes and the order of properties stay as they came, and only white space
between tokens goes. Steps, in this order:

1. not more bytes than the limit;
2. UTF-8 without byte order mark (RFC 8259 §8.1);
3. not more members and not deeper than the limits, found out without recursion;
4. JSON: no NaN or Infinity, no lone surrogates, no number that overflows;
5. no name twice in one object (RFC 7493 §2.3: readers disagree about which one counts).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

import orjson

from serantau.rules.refusal import Refused, shown

_STRING: Final = rb'"(?:[^"\\]++|\\.)*+"'
_strings: Final = re.compile(_STRING, re.DOTALL)
_strings_or_blanks: Final = re.compile(rb"(%b)|[ \t\n\r]++" % _STRING, re.DOTALL)
_brackets: Final = re.compile(rb"[\[\]{}]")
_no_number: Final = re.compile(rb"(?<![\w\"])[+-]?(?:NaN|Infinity)\b")
_BLANKS: Final = b" \t\n\r"
# Whatever the configuration allows: what reads an object recurses once a level, and
# Python stops at a thousand.
DEEPEST: Final = 400


@dataclass(frozen=True, slots=True)
class Limits:
    """What is refused because of its size. Each name is the setting's name.

    object_bytes: JSON text of one object. object_depth: nesting of lists and objects.
    object_items: members of all lists and objects, summed. pattern_bytes: text of one
    indicator pattern.
    """

    object_bytes: int = 4_000_000
    object_depth: int = 64
    object_items: int = 100_000
    pattern_bytes: int = 64_000


def over(limit: str, got: int, allowed: int, what: str) -> Refused:
    """Make the finding that says which limit was passed."""
    return Refused(limit, "", f"{got:,} {what}", f"at most {allowed:,} (limit {limit})")


def read_json(raw: bytes, limits: Limits) -> tuple[Any, bytes]:
    """Give the value and its text without idle white space.

    Raises:
        Refused: one of the five steps above fails.
    """
    if len(raw) > limits.object_bytes:
        raise over("object_bytes", len(raw), limits.object_bytes, "bytes")
    if raw[:1] != b"{":
        check_encoding(raw)
    # A level needs a bracket, and a member a byte: most texts are within by that.
    opened = raw.count(b"{") + raw.count(b"[")
    if opened > min(limits.object_depth, DEEPEST) or len(raw) > limits.object_items:
        _measure(raw, limits)
    try:
        data = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise _why_not(raw, error) from None
    try:
        written = orjson.dumps(data)
    except orjson.JSONEncodeError:  # nested deeper than the library writes
        return data, _compact(raw)
    if written == raw:
        return data, raw
    # Equal but for white space: then both have the same tokens in the same order, so no
    # name was lost as a duplicate, and `written` is `raw` without idle white space.
    if written.translate(None, _BLANKS) == raw.translate(None, _BLANKS):
        return data, written
    return data, _compact(raw)


def check_encoding(raw: bytes) -> None:
    """Refuse text that does not begin as JSON in UTF-8 does, and name what it is."""
    if raw.startswith(b"\xef\xbb\xbf"):
        name = "UTF-8 with a byte order mark"
    elif raw.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")) or b"\0\0\0" in raw[:4]:
        name = "UTF-32"
    elif raw.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in raw[:2]:
        name = "UTF-16"
    else:
        return
    raise Refused("encoding", "", name, "UTF-8 without byte order mark: save it anew")


def _measure(raw: bytes, limits: Limits) -> None:
    """Count members and levels exactly, without recursion."""
    bare = _strings.sub(b'""', raw).translate(None, _BLANKS)
    lists, objects = bare.count(b"["), bare.count(b"{")
    empty = bare.count(b"[]") + bare.count(b"{}")
    items = bare.count(b",") + lists + objects - empty
    if items > limits.object_items:
        raise over("object_items", items, limits.object_items, "members")
    allowed = min(limits.object_depth, DEEPEST)
    depth = deepest = 0
    for bracket in _brackets.findall(bare):
        if bracket in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        else:
            depth -= 1
    if deepest > allowed:
        raise over("object_depth", deepest, allowed, "levels of nesting")


def _why_not(raw: bytes, error: orjson.JSONDecodeError) -> Refused:
    """Find the words for text that the JSON library refused."""
    if not raw.strip(_BLANKS):
        return Refused("json", "", "nothing", "a JSON object")
    if raw.startswith((b"{\0", b"\0")):
        return Refused("encoding", "", "UTF-16", "UTF-8 without byte order mark")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as wrong:
        bad = raw[wrong.start : wrong.start + 4].hex(" ")
        return Refused(
            "encoding", "", f"bytes {bad} at byte {wrong.start + 1}", "UTF-8 text"
        )
    number = _no_number.search(_strings.sub(b'""', raw))
    if number is not None:
        return Refused(
            "json", "", number[0].decode(), "a number: JSON has no NaN and no Infinity"
        )
    near = shown(text[max(error.pos - 20, 0) : error.pos + 20])
    return Refused(
        "json", "", f"{near} near character {error.pos + 1}", f"JSON ({error.msg})"
    )


def _compact(raw: bytes) -> bytes:
    """Take idle white space out of valid JSON text that holds no name twice."""
    text = _strings_or_blanks.sub(rb"\1", raw)
    json.loads(text, object_pairs_hook=_unique, parse_int=str, parse_float=str)
    return text


def _unique(pairs: list[tuple[str, Any]]) -> None:
    """Refuse an object that holds a name twice."""
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise Refused(
            "duplicate-name", "", f"property {shown(twice)} twice", "each name once"
        )
