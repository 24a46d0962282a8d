"""RFC 8785: its own examples, and the tricks that would let two texts pass as one."""

from __future__ import annotations

import math
from typing import Any

import orjson
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from serantau.rules.canonical import agreed, canonical

_TEXTS = st.text(st.characters(codec="utf-8"))
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(-(2.0**52), 2.0**52)
    | _TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(_TEXTS, inner),
    max_leaves=20,
)


def test_the_examples_of_the_standard_come_out_byte_for_byte() -> None:
    # RFC 8785 §3.2.2 and §3.2.3
    text = (
        rb'{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001]'
        rb',"string":"\u20ac$\u000F\u000aA\u0027\u0042\u0022\u005c\\\"\/",'
        rb'"literals":[null,true,false]}'
    )
    assert (
        canonical(orjson.loads(text))
        == (
            '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,'
            '1e-27],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
        ).encode()
    )
    names = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    written = canonical(dict.fromkeys(names, ""))
    assert list(orjson.loads(written)) == [
        *("\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33")
    ]


@given(_VALUES)
def test_the_quick_way_and_the_slow_way_write_the_same_bytes(value: object) -> None:
    written = canonical(value)
    assert written == rfc8785.dumps(value)  # type: ignore[arg-type]
    assert agreed(orjson.loads(written)) == written


def test_escapes_order_and_white_space_make_no_difference() -> None:
    one = orjson.loads(b'{"b":"\\u0041\\/","a":[1,2.0]}')
    other = orjson.loads(b'{ "a" : [1, 2e0],\n"b":"A/" }')
    assert canonical(one) == canonical(other) == b'{"a":[1,2],"b":"A/"}'


def test_a_letter_composed_another_way_is_another_text() -> None:
    # RFC 8785 §3.1: strings are not normalised.
    assert canonical({"n": "\u00e9"}) != canonical({"n": "e\u0301"})


def test_control_characters_are_escaped_as_the_standard_says() -> None:
    text = "".join(map(chr, range(0x80)))
    assert canonical({"t": text}) == rfc8785.dumps({"t": text})


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        -math.inf,
        {"n": [math.nan]},
        2**53,
        {"n": -(2**70)},
        "\ud800",
        {"\udc00": 1},
        {1: "a number as a name"},
        b"bytes",
    ],
)
def test_what_json_cannot_say_has_no_canonical_text(value: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        canonical(value)


def test_what_is_nested_too_deeply_is_refused_and_does_not_break() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ValueError, match="deep"):
        canonical(deep)


@pytest.mark.parametrize(
    "text", [b"18446744073709551617", b"1e300", b"-9007199254740994e0"]
)
def test_a_number_that_readers_read_differently_is_not_agreed_on(text: bytes) -> None:
    value = orjson.loads(b'{"a":[{"n":%b}]}' % text)
    with pytest.raises(ValueError, match="disagree"):
        agreed(value)
    assert canonical(value)


def test_fractions_and_whole_numbers_within_bounds_are_agreed_on() -> None:
    value: dict[str, Any] = {"n": [0.1, -0.0, 9007199254740991.0, 3], "t": "x"}
    assert agreed(value) == canonical(value) == rfc8785.dumps(value)
    assert agreed({"n": 3}) == b'{"n":3}'
