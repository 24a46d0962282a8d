"""The text of an object is checked before anything recursive sees it, and kept."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serantau.rules.jsontext import DEEPEST, Limits, read_json
from serantau.rules.refusal import Refused, pointer, shown

LIMITS = Limits(object_bytes=100_000, object_depth=8, object_items=100)
TEXTS = st.text(st.characters(exclude_categories=[]), max_size=6)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inside: (
        st.lists(inside, max_size=3) | st.dictionaries(TEXTS, inside, max_size=3)
    ),
    max_leaves=8,
)


def is_text(value: object) -> bool:
    """Tell whether a value holds no lone surrogate, which is no character."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def finding(raw: bytes, limits: Limits = LIMITS) -> Refused:
    with pytest.raises(Refused) as caught:
        read_json(raw, limits)
    return caught.value


def body(raw: bytes) -> bytes:
    return read_json(raw, LIMITS)[1]


def test_numbers_escapes_and_order_are_kept_and_only_idle_blanks_go() -> None:
    raw = b"""{ "b" : 123456789012345678901234567890, "a":\t[ 1.10, 1e5 , -0 ],
        "t": "two  words \\u00e9 \\/ \\"quoted , here\\"" }\r\n"""
    assert body(raw) == (
        b'{"b":123456789012345678901234567890,"a":[1.10,1e5,-0],'
        b'"t":"two  words \\u00e9 \\/ \\"quoted , here\\""}'
    )


def test_a_compact_text_is_given_back_itself() -> None:
    raw = b'{"a":"x y","b":[1,2.5,null]}'
    assert body(raw) is raw


@given(
    st.dictionaries(TEXTS, VALUES, max_size=3),
    st.booleans(),
    st.sampled_from([None, 1, "\t"]),
)
def test_what_is_kept_means_what_came(
    value: dict[str, object], ascii_only: bool, indent: str | int | None
) -> None:
    wide = Limits(object_depth=200)
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    raw = text.encode("utf-8", "surrogatepass")
    if not is_text(value):
        assert finding(raw, wide).rule in {"json", "encoding"}
        return
    _, kept = read_json(raw, wide)
    assert json.loads(kept) == value
    tight = json.dumps(value, ensure_ascii=ascii_only, separators=(",", ":"))
    assert kept == tight.encode()


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":1,"a":2}',
        b'{"a":1, "a" : 2}',
        b'{"x":[{"a":1,"\\u0061":2}]}',
        # As long as its value written anew, so that lengths alone would not tell.
        b'{"a":1e20,"a":1e20,"b":1e20,"b":1e20}',
    ],
)
def test_a_name_twice_is_refused_by_name(raw: bytes) -> None:
    refused = finding(raw)
    assert refused.rule == "duplicate-name"
    assert '"a"' in refused.got


@pytest.mark.parametrize("word", [b"NaN", b"Infinity", b"-Infinity"])
def test_not_a_number_is_named(word: bytes) -> None:
    refused = finding(b'{"confidence": %b, "NaN": "NaN"}' % word)
    assert refused.rule == "json"
    assert refused.got.endswith(word.decode())
    assert "NaN" in refused.expected


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("\ufeff{}".encode(), "byte order mark"),
        ("{}".encode("utf-16"), "UTF-16"),
        ("{}".encode("utf-16-le"), "UTF-16"),
        ("{}".encode("utf-16-be"), "UTF-16"),
        ("{}".encode("utf-32"), "UTF-32"),
        ("{}".encode("utf-32-be"), "UTF-32"),
        ('{"name":"Zürich"}'.encode("latin-1"), "bytes fc 72 69 63 at byte 11"),
    ],
)
def test_a_wrong_encoding_is_named(raw: bytes, name: str) -> None:
    refused = finding(raw)
    assert refused.rule == "encoding"
    assert name in refused.got


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" \n",
        b"{",
        b'{"a":}',
        b"{'a':1}",
        b'{"a":1}}',
        b'{"a":"\\ud800"}',
        b'{"a":1e999}',
        b'{"a":"tab\there"}',
        b'{"a":01}',
    ],
)
def test_what_is_no_json_is_refused_with_the_place(raw: bytes) -> None:
    refused = finding(raw)
    assert refused.rule == "json"
    assert "character" in refused.got or refused.got == "nothing"


def test_too_many_bytes_are_refused_with_the_limit() -> None:
    refused = finding(b"{}" + b" " * 100_000)
    assert refused.rule == "object_bytes"
    assert "limit object_bytes" in refused.expected


def test_members_are_counted_exactly() -> None:
    just = b'{"a":[%b]}' % b",".join([b'"[,{"'] * 99)
    assert read_json(just + b" " * 200, LIMITS)[1] == just
    refused = finding(b'{"a":[%b]}' % b",".join([b"1"] * 100))
    assert (refused.rule, refused.got) == ("object_items", "101 members")


def test_levels_are_counted_exactly_and_siblings_are_no_levels() -> None:
    assert read_json(b'{"a":' * 7 + b"[]" + b"}" * 7, LIMITS)
    assert read_json(b'{"a":[%b]}' % b",".join([b'["]["]'] * 40), LIMITS)
    refused = finding(b'{"a":' * 8 + b"[]" + b"}" * 8)
    assert (refused.rule, refused.got) == ("object_depth", "9 levels of nesting")


@pytest.mark.parametrize("ends", [b"1" + b"}" * 10_000, b""])
def test_ten_thousand_levels_are_a_clean_refusal(ends: bytes) -> None:
    deep = b'{"a":' * 10_000 + ends
    refused = finding(deep, Limits(object_depth=64))
    assert (refused.rule, refused.expected) == (
        "object_depth",
        "at most 64 (limit object_depth)",
    )
    assert finding(deep, Limits(object_depth=10**6)).expected.startswith(
        f"at most {DEEPEST:,} "
    )


def test_nesting_that_the_library_reads_but_does_not_write_is_kept() -> None:
    deep = b'{"a": ' * 300 + b"1" + b"}" * 300
    _, kept = read_json(deep, Limits(object_depth=350))
    assert kept == deep.replace(b" ", b"")


@pytest.mark.fuzz
@given(
    st.binary()
    | st.text().map(str.encode)
    | VALUES.map(lambda v: json.dumps(v).encode())
)
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    try:
        value, kept = read_json(raw, LIMITS)
    except Refused:
        return
    assert json.loads(kept) == json.loads(raw)
    assert read_json(kept, LIMITS) == (value, kept)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({}, "{}"),
        ({"a": 1}, "an object with 1 properties"),
        ([], "[]"),
        ([1], "a list of 1"),
        (True, "true"),
        (False, "false"),
        (None, "null"),
        (2.5, "2.5"),
        ("a\nb", '"a\\u000ab"'),
        ("x" * 200, '"' + "x" * 78 + "…"),
    ],
)
def test_a_value_is_shown_on_one_short_line(value: object, words: str) -> None:
    assert shown(value) == words


def test_a_place_is_a_json_pointer() -> None:
    assert pointer("a/b", 0, "c~d") == "/a~1b/0/c~0d"
