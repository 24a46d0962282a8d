"""Addresses are read as columns, exactly as they are one by one."""

import ipaddress
import pickle

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serantau.lane.address import (
    KEY,
    Intervals,
    key_of,
    keys,
    narrowest,
    parse,
    span,
    split,
    text_of,
    together,
)
from serantau.rules.event import halves

ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def one_form(address: Address) -> Address:
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


@given(given=st.lists(st.one_of(ADDRESSES, st.none()), max_size=20))
def test_addresses_are_read_as_the_standard_library_reads_them(
    given: list[Address | None],
) -> None:
    texts = [None if one is None else one.exploded for one in given]
    read = parse(pl.Series(texts, dtype=pl.String))
    expected = [
        (None, None, None)
        if one is None
        else (
            str(one_form(one)),
            *halves(int(one_form(one)), one_form(one).version),
        )
        for one in given
    ]
    assert read.rows() == expected


@pytest.mark.parametrize(
    "text",
    [
        *("1.2.3", "0x7f.1", "010.0.0.1", "1.2.3.4.5", "256.1.1.1", "+1.2.3.4"),
        *("1.2.3.4/24", "1.2.3.-4", "1..2.3", "", " ", "fe80::1%eth0", "1.2.3.4:80"),
        *("\u0661.2.3.4", "host", "16909060", "::1::", "[1.2.3.4"),
    ],
)
def test_what_programs_read_differently_is_no_address(text: str) -> None:
    assert parse(pl.Series([text])).rows() == [(None, None, None)]


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("::ffff:1.2.3.4", "1.2.3.4"),
        (" 1.2.3.4 ", "1.2.3.4"),
        ("[2001:DB8::1]", "2001:db8::1"),
        ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
        ("::1.2.3.4", "::102:304"),
        ("::", "::"),
    ],
)
def test_an_address_has_one_form(text: str, form: str) -> None:
    assert parse(pl.Series([text]))["address"].to_list() == [form]


def test_a_column_without_addresses_is_read_as_one() -> None:
    assert parse(pl.Series([None, None], dtype=pl.String)).rows() == [(None,) * 3] * 2
    assert parse(pl.Series([], dtype=pl.String)).height == 0


@given(one=ADDRESSES)
def test_keys_and_halves_are_two_ways_to_write_an_address(one: Address) -> None:
    key = key_of(one)
    frame = pl.DataFrame({"key": [key]}, {"key": KEY})
    halved = frame.select(*split("key", "hi", "lo"))
    assert halved.rows() == [halves(int(one), one.version)]
    assert halved.select(keys("hi", "lo")).item() == key
    assert text_of(key) == str(one_form(one))


NEAR = st.one_of(
    st.ip_addresses(v=4, network="10.0.0.0/29"),
    st.ip_addresses(v=6, network="2001:db8::/125"),
)
PREFIXES = st.builds(
    lambda address, length: str(
        ipaddress.ip_network((address, min(length, address.max_prefixlen)), False)
    ),
    NEAR,
    st.sampled_from([0, 8, 29, 30, 31, 32, 125, 126, 127, 128]),
)


@given(prefixes=st.lists(PREFIXES, max_size=12, unique=True), address=ADDRESSES)
def test_the_longest_prefix_wins_and_all_that_cover_are_told(
    prefixes: list[str], address: Address
) -> None:
    wanted = [address, *(ipaddress.ip_network(one)[0] for one in prefixes)]
    asked = sorted({key_of(one) for one in wanted})
    spans = [(*span(prefix), row) for row, prefix in enumerate(prefixes)]
    column = pl.Series(asked, dtype=KEY)
    narrow = narrowest(spans)
    all_of, sets = together(spans)
    for key, row, covering in zip(
        asked, narrow.find(column), all_of.find_ascending(column), strict=True
    ):
        fits = [one for one in spans if one[0] <= key <= one[1]]
        best = min(fits, key=lambda one: (one[1] - one[0], one[2]), default=None)
        assert row == (best and best[2])
        told = () if covering is None else sets[covering]
        assert told == tuple(sorted(one[2] for one in fits))
    assert narrow.find(column).equals(narrow.find_ascending(column))


def test_ranges_find_in_any_order_and_survive_being_sent() -> None:
    spans = pickle.loads(pickle.dumps(narrowest([(5, 9, 7), (20, 30, 8)])))  # noqa: S301
    assert isinstance(spans, Intervals)
    wanted = pl.Series([30, None, 31, 4, 5, 10, 9, 20], dtype=KEY)
    assert spans.find(wanted).to_list() == [8, None, None, None, 7, None, 7, 8]
    assert len(spans) == 2


def test_no_ranges_hold_nothing() -> None:
    wanted = pl.Series([1, 2], dtype=KEY)
    assert narrowest([]).find(wanted).to_list() == [None, None]
    assert narrowest([]).find_ascending(wanted).to_list() == [None, None]
