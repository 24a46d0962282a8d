"""A file of any size and in any state gives every object that is whole in it."""

from __future__ import annotations

import gzip
import io
import json
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samples import READER, made, read
from serantau.errors import BadInput
from serantau.rules.jsontext import Limits
from serantau.rules.refusal import Refused
from serantau.wire.bundle import Piece, iter_objects, open_input, sniff
from serantau.wire.scan import Scan, alone

LIMITS = Limits()
OBJECTS = [
    json.dumps(
        {"type": "tool", "n": n, "name": 'a "]}, {" \\ b'}, indent=n % 3
    ).encode()
    for n in range(10)
]


class Dribble(io.RawIOBase):
    """A stream that gives few bytes at a time, as a socket may."""

    def __init__(self, raw: bytes, size: int) -> None:
        self._raw = io.BytesIO(raw)
        self._size = size

    def read(self, size: int = -1) -> bytes:
        return self._raw.read(self._size)


def cut(
    raw: bytes,
    *,
    limits: Limits = LIMITS,
    file_bytes: int = 10**9,
    size: int = 1 << 20,
) -> list[Piece]:
    stream: Any = Dribble(raw, size)
    return list(iter_objects(stream, limits=limits, file_bytes=file_bytes))


def raws(pieces: list[Piece]) -> list[bytes]:
    return [piece.raw for piece in pieces if piece.raw is not None]


def faults(pieces: list[Piece]) -> list[str]:
    return [piece.fault.rule for piece in pieces if piece.fault is not None]


def whole(pieces: list[Piece]) -> list[bytes]:
    assert faults(pieces) == []
    return raws(pieces)


def bundled(objects: list[bytes], before: bytes = b"", after: bytes = b"") -> bytes:
    return b'{%b"objects": [%b]%b}' % (before, b",\n ".join(objects), after)


# --- Shapes


@pytest.mark.parametrize(
    "raw",
    [
        bundled(OBJECTS),
        bundled(OBJECTS, b'"type":"bundle","id":"b",'),
        bundled(
            OBJECTS, b'"more" : true , "x":[1,{"objects":[{}]}],', b', "z":"objects"'
        ),
        b"[" + b",".join(OBJECTS) + b"]",
        b"\n".join(OBJECTS),
        b"\r\n".join(OBJECTS) + b"\r\n",
        b"".join(OBJECTS),
        b",".join(OBJECTS),
        b"\xef\xbb\xbf" + bundled(OBJECTS),
        bundled(OBJECTS[:4]) + b"\n" + OBJECTS[4] + b"\n" + bundled(OBJECTS[5:]),
        b"[" + b" ".join(OBJECTS) + b"]",
        gzip.compress(bundled(OBJECTS), mtime=0),
        gzip.compress(b"\n".join(OBJECTS[:5]), mtime=0)
        + gzip.compress(b"\n".join(OBJECTS[5:]), mtime=0)
        + b"\0" * 512,
    ],
)
@pytest.mark.parametrize("size", [1 << 20, 61, 7, 1])
def test_every_shape_gives_the_objects_as_they_stand(raw: bytes, size: int) -> None:
    assert whole(cut(raw, size=size)) == OBJECTS


@pytest.mark.parametrize("size", [1 << 20, 3])
def test_one_object_alone_is_one_object(size: int) -> None:
    for text in (
        b'{"type":"tool"}',
        b' {"type":"observed-data","objects":{"0":{}}}\n',
        b'{"n":1,"a":[]}',
    ):
        assert whole(cut(text, size=size)) == [text.strip()]


@pytest.mark.parametrize("size", [1 << 20, 3])
@pytest.mark.parametrize(
    "raw",
    [
        b'{"type":"bundle","id":"bundle--1"}',
        b'{"objects":[]}',
        b"[]",
        b' [ ]\n{"objects" : [ ] }',
    ],
)
def test_what_holds_no_object_gives_none(raw: bytes, size: int) -> None:
    assert cut(raw, size=size) == []


def test_what_is_no_object_is_given_to_be_refused() -> None:
    assert raws(cut(b'{"objects":[1, null, "x", [2], {}, true]}')) == [
        *(b"1", b"null", b'"x"', b"[2]", b"{}", b"true"),
    ]


def test_places_are_counted_in_bytes_and_lines() -> None:
    raw = b'{"objects":[\n{"a":1},\n\n  {"b":\n2},[3]]}'
    pieces = cut(raw)
    assert [(piece.ordinal, piece.offset, piece.line) for piece in pieces] == [
        (1, 13, 2),
        (2, 25, 4),
        (3, 34, 5),
    ]
    for piece in cut(raw, size=2):
        assert piece.raw is not None
        assert raw[piece.offset :].startswith(piece.raw)


_TEXT = st.text(max_size=6) | st.sampled_from(['{"', "]}", '\\"', "objects", "\u0000"])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _TEXT,
    lambda inside: (
        st.lists(inside, max_size=3) | st.dictionaries(_TEXT, inside, max_size=3)
    ),
    max_leaves=8,
)
_NAMES = _TEXT.filter(lambda name: name != "objects")
_BLANKS = st.lists(st.text(" \t\r\n", max_size=3).map(str.encode), min_size=1)


def spaced(value: Any, blanks: Iterator[bytes]) -> bytes:
    """Write a value with white space between its tokens."""
    if isinstance(value, dict):
        members = [
            next(blanks) + json.dumps(name).encode() + b":" + spaced(item, blanks)
            for name, item in value.items()
        ]
        return next(blanks) + b"{" + b",".join(members) + b"}" + next(blanks)
    if isinstance(value, list):
        items = [spaced(item, blanks) for item in value]
        return next(blanks) + b"[" + b",".join(items) + next(blanks) + b"]"
    text = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return next(blanks) + text + next(blanks)


@given(
    st.lists(st.dictionaries(_TEXT, _JSON, min_size=1, max_size=2), max_size=3),
    st.dictionaries(_NAMES, _JSON, max_size=1),
    st.dictionaries(_NAMES, _JSON, max_size=1),
    st.integers(1, 40),
    _BLANKS,
)
def test_any_objects_come_out_as_the_same_slices(
    objects: list[dict[str, Any]],
    before: dict[str, Any],
    after: dict[str, Any],
    size: int,
    spaces: list[bytes],
) -> None:
    blanks = cycle(spaces)
    texts = [spaced(item, blanks) for item in objects]
    head = spaced(before, blanks).strip()[1:-1]
    tail = spaced(after, blanks).strip()[1:-1]
    raw = b"".join(
        (
            next(blanks) + b"{",
            head + b"," if head.strip() else b"",
            b'"objects"' + next(blanks) + b":" + next(blanks),
            b"[" + b",".join(texts) + b"]",
            b"," + tail if tail.strip() else b"",
            b"}",
        )
    )
    assert whole(cut(raw, size=size)) == [text.strip() for text in texts]


# --- Broken in places


def _many(count: int = 10_000) -> list[bytes]:
    return [b'{"type":"tool","n":%d,"x":[{"y":"z"}]}' % n for n in range(count)]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: raw[:-1],
        lambda raw: raw + b"}",
        lambda raw: raw.replace(b"[{", b"[[{"),
        lambda raw: raw.replace(b"}]", b"}]]"),
        lambda raw: raw.replace(b'"z"', b'"z'),
        lambda raw: raw.replace(b'"z"', b"z"),
        lambda raw: raw.replace(b'"n":', b'"n"'),
        lambda raw: raw.replace(b'"n":', b'"n":,'),
        lambda raw: raw.replace(b'"y":', b"3:"),
        lambda raw: b"oops",
        lambda raw: b'"n":1}',
        lambda raw: raw.replace(b'"z"', b'"\x01"'),
    ],
)
@pytest.mark.parametrize(
    "wrap",
    [
        lambda parts: bundled(parts, b'"type":"bundle",', b',"id":"x"'),
        lambda parts: b"[" + b",".join(parts) + b"]",
        b"\n".join,
    ],
)
def test_one_broken_object_of_ten_thousand_costs_one(
    spoil: Callable[[bytes], bytes], wrap: Callable[[list[bytes]], bytes]
) -> None:
    parts = _many()
    good = parts[:5000] + parts[5001:]
    parts[5000] = spoil(parts[5000])
    pieces = cut(wrap(parts))
    kept, right = raws(pieces), set(good)
    assert [raw for raw in kept if raw in right] == good
    # What is broken is named, or given whole to the reader, which refuses it; a bracket
    # too many leaves its object whole.
    others = [raw for raw in kept if raw not in right]
    assert faults(pieces) or others
    assert len(faults(pieces)) <= 2
    for piece in pieces:
        if piece.fault is not None:
            assert piece.fault.rule == "json"
            assert piece.fault.got


def test_wrong_bytes_in_one_object_are_its_own_affair() -> None:
    parts = [*OBJECTS[:3], '{"name":"Zürich"}'.encode("latin-1"), *OBJECTS[3:]]
    assert whole(cut(bundled(parts))) == parts


def test_a_broken_head_still_gives_the_objects() -> None:
    pieces = cut(b'{"type":"bundle","id":,"objects":[' + b",".join(OBJECTS) + b"]}")
    assert raws(pieces) == OBJECTS
    assert faults(pieces) == ["json"]


@pytest.mark.parametrize(
    "head",
    [
        b'{"a" 1}',
        b'{"a":1 "b":2}',
        b'{"a":1,}',
        b"{,}",
        b"{1:2}",
        b'{"a"',
        b'{"a":1',
        b"{",
        b'{"a":1,',
        b'{"a',
        b'{"a\\',
        b'{"a":"\\',
        b'{"a":tru',
        b"]",
        b"hello",
        b"[",
        b'["',
        b"[[1,2",
        b"[{]",
        b'[["a" "b"',
        b"[[@",
        b"[[:",
        b"[[,",
    ],
)
@pytest.mark.parametrize("size", [1 << 20, 2])
def test_what_breaks_at_the_top_is_said_once(head: bytes, size: int) -> None:
    (piece,) = cut(head, size=size)
    if piece.raw is not None:  # its brackets are whole: the reader says what is not
        with pytest.raises(Refused):
            READER.read(piece.raw)


@pytest.mark.parametrize("raw", [b"", b" \n", gzip.compress(b"", mtime=0)])
def test_an_empty_file_is_said_to_be(raw: bytes) -> None:
    (piece,) = cut(raw)
    assert piece.fault is not None
    assert piece.fault.got == "nothing"


@pytest.mark.parametrize("name", ["utf-16", "utf-16-le", "utf-32"])
def test_a_wrong_encoding_is_named(name: str) -> None:
    (piece,) = cut(bundled(OBJECTS).decode().encode(name))
    assert piece.fault is not None
    assert piece.fault.rule == "encoding"
    assert piece.fault.got.startswith(name[:6].upper())


@pytest.mark.parametrize("size", [1 << 20, 11])
def test_ten_thousand_levels_are_one_object_for_the_reader(size: int) -> None:
    deep = b'{"a":' * 10_000 + b"1" + b"}" * 10_000
    assert whole(cut(bundled([OBJECTS[0], deep, OBJECTS[1]]), size=size)) == [
        *(OBJECTS[0], deep, OBJECTS[1]),
    ]


# --- Cut off and packed


def test_a_file_that_ends_early_gives_what_is_whole() -> None:
    raw = bundled(OBJECTS, b'"type":"bundle",', b',"id":"x"')
    for end in range(1, len(raw)):
        pieces = cut(raw[:end])
        assert raws(pieces) == OBJECTS[: len(raws(pieces))]
        assert faults(pieces) == ["truncated"]
    assert whole(cut(raw)) == OBJECTS


def test_a_packed_file_that_ends_early_says_so_once() -> None:
    parts = [json.dumps(made("tool")).encode() for _ in range(2000)]
    packed = gzip.compress(bundled(parts), mtime=0)
    pieces = cut(packed[: len(packed) // 2])
    assert raws(pieces) == parts[: len(pieces) - 1]
    assert len(pieces) > 100
    assert faults(pieces) == ["truncated"]
    assert pieces[-1].fault is not None
    assert "gzip" in pieces[-1].fault.got


def test_a_damaged_packed_file_says_so() -> None:
    packed = bytearray(gzip.compress(bundled(OBJECTS * 100), mtime=0))
    packed[60:80] = b"\xff" * 20
    pieces = cut(bytes(packed))
    assert faults(pieces) == ["gzip"]


def test_a_gzip_bomb_ends_at_the_limit() -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = packer.compress(b"[" + OBJECTS[0] + b"," + b" " * 40_000_000)
    bomb += packer.flush()
    tracemalloc.start()
    pieces = cut(bomb, file_bytes=15_000_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert raws(pieces) == OBJECTS[:1]
    assert faults(pieces) == ["file_bytes"]
    assert peak < 12_000_000


def test_a_file_over_the_limit_gives_what_is_before_it() -> None:
    raw = bundled(OBJECTS)
    pieces = cut(raw, file_bytes=len(raw) - len(OBJECTS[-1]))
    assert raws(pieces) == OBJECTS[:-1]
    assert faults(pieces) == ["file_bytes"]
    assert whole(cut(raw, file_bytes=len(raw))) == OBJECTS


@pytest.mark.parametrize("size", [1 << 20, 100])
@pytest.mark.parametrize(
    "wrap", [lambda parts: bundled(parts, b'"x":"%b",' % (b"y" * 9000)), b"\n".join]
)
def test_an_object_over_the_limit_is_refused_and_the_rest_is_read(
    wrap: Callable[[list[bytes]], bytes], size: int
) -> None:
    small = Limits(object_bytes=5000)
    large = [
        b'{"type":"tool","x":"' + b"x" * 40_000 + b'"}',
        b'{"type":"tool","x":"' + b"x" * 5_000 + b'"}',
    ]
    parts = [OBJECTS[0], large[0], OBJECTS[1], large[1], OBJECTS[2]]
    pieces = cut(wrap(parts), limits=small, size=size)
    assert raws(pieces) == OBJECTS[:3]
    assert faults(pieces) == ["object_bytes"] * 2
    told = pieces[1].fault
    assert told is not None
    assert told.got == f"{len(large[0]):,} bytes"


class Endless(io.RawIOBase):
    """A bundle of very many bytes that is never in memory as a whole."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks

    def read(self, size: int = -1) -> bytes:
        return next(self._chunks, b"")


def test_memory_stays_small_whatever_the_size_of_file_and_object() -> None:
    def chunks() -> Iterator[bytes]:
        block = b",".join(_many(2000)) + b","
        yield b'{"pad":"'
        yield from [b"p" * 1_000_000] * 30
        yield b'","objects":['
        yield from [block] * 20
        yield b'{"type":"tool","x":"'
        yield from [b"x" * 1_000_000] * 30
        yield b'"},'
        yield b'{"last":1}]}'

    tracemalloc.start()
    stream: Any = Endless(chunks())
    count = found = 0
    for piece in iter_objects(stream, limits=LIMITS, file_bytes=10**12):
        count += piece.raw is not None
        found += piece.fault is not None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (count, found) == (40_001, 1)
    assert peak < 16_000_000


@pytest.mark.fuzz
@given(st.data(), st.integers(1, 64))
def test_any_bytes_end_and_give_slices_of_themselves(data: Any, size: int) -> None:
    tokens = st.sampled_from(
        [
            *b'{}[]",:\\ \n1a',
            b'"objects"',
            b'{"type":"tool"}',
            b'"type":',
            b"\xff",
            b"\0",
        ]
    )
    parts = data.draw(st.lists(tokens, max_size=30))
    raw = b"".join(bytes([p]) if isinstance(p, int) else p for p in parts)
    pieces = cut(raw, size=size)
    assert [piece.ordinal for piece in pieces] == list(range(1, len(pieces) + 1))
    for piece in pieces:
        if piece.raw is not None:
            assert raw[piece.offset :].startswith(piece.raw)
        else:
            assert piece.fault is not None
    try:
        value = json.loads(raw)
    except ValueError:
        return
    if isinstance(value, dict | list):
        assert "json" not in faults(pieces)


# --- Opening and telling apart


def test_a_file_is_opened_and_closed(tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    path.write_bytes(bundled(OBJECTS))
    with open_input(path) as stream:
        assert whole(list(iter_objects(stream, limits=LIMITS, file_bytes=10**6)))
    assert stream.closed


def test_a_hyphen_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(OBJECTS[0])))
    with open_input("-") as stream:
        assert stream.read() == OBJECTS[0]


@pytest.mark.parametrize("name", ["missing.json", "."])
def test_a_file_that_cannot_be_opened_says_why(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="cannot be read"), open_input(tmp_path / name):
        pass


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (bundled(OBJECTS), "stix"),
        (OBJECTS[0], "stix"),
        (b'{"type":"bundle"', "stix"),
        (b'{"x":oops}', "stix"),
        (b"", "stix"),
        (b"hello", "stix"),
        (b'{"Event":{"info":"x"}}', "misp"),
        (b' {"meta":[{"a":1}], "response":[{"Event":{}}]}', "misp"),
        (b'[ {"Event":{}}]', "misp"),
        (b'{"type":"x","v":{"Event":1},"e":["Event"]}', "stix"),
        (b'{"type":"Event"}', "stix"),
        (b"[" + OBJECTS[0] + b"]", "list"),
        (b"[]", "list"),
        (b"\n".join(OBJECTS), "ndjson"),
        (b"\xef\xbb\xbf" + OBJECTS[0] + b"\n" + OBJECTS[1], "ndjson"),
        (gzip.compress(b'{"Event":{}}', mtime=0), "misp"),
    ],
)
@pytest.mark.parametrize("size", [1 << 20, 5])
def test_formats_are_told_apart_by_their_first_bytes(
    raw: bytes, kind: str, size: int
) -> None:
    stream: Any = Dribble(raw, size)
    assert sniff(stream)[0] == kind


def test_real_bundles_come_out_whole(corpora: Path) -> None:
    count = 0
    for path in sorted((corpora / "stix").iterdir()):
        if path.suffix not in {".gz", ".stix2"}:
            continue
        text = path.read_bytes()
        text = gzip.decompress(text) if path.suffix == ".gz" else text
        with open_input(path) as stream:
            pieces = list(iter_objects(stream, limits=LIMITS, file_bytes=10**9))
        objects = json.loads(text)["objects"]
        assert [json.loads(raw) for raw in whole(pieces)] == objects
        assert [text[p.offset :][:1] for p in pieces] == [b"{"] * len(objects)
        for piece in pieces[::50]:
            assert piece.raw is not None
            assert read(json.loads(piece.raw)).id
            assert text.count(b"\n", 0, piece.offset) == piece.line - 1
        count += len(pieces)
    assert count > 4000


def test_the_expression_stands_for_what_the_scanner_does() -> None:
    for text in (*OBJECTS, b'{"a":[{"b":{}}]}'):
        found = alone.match(text + b"x")
        assert found is not None
        assert found[1] == text
        assert Scan().feed(text, 0, final=False) == ("done", len(text))
