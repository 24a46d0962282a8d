"""An event's columns are named once, and its addresses sort as addresses do."""

import ipaddress
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serantau.rules import event, taxonomy
from serantau.rules.asset import Asset, Kind, range_of, read_value
from serantau.rules.event import COLUMNS, NAMES, halves, table_markdown

ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def mapped(address: Address) -> int:
    whole = int(address)
    return whole | 0xFFFF << 32 if address.version == 4 else whole


@given(one=ADDRESSES, other=ADDRESSES)
def test_halves_sort_as_the_addresses_they_are_of(one: Address, other: Address) -> None:
    halved = [halves(int(each), each.version) for each in (one, other)]
    assert (halved[0] < halved[1]) == (mapped(one) < mapped(other))
    assert (halved[0] == halved[1]) == (mapped(one) == mapped(other))
    assert all(-(2**63) <= half < 2**63 for pair in halved for half in pair)


def test_every_column_is_told_once_and_documented() -> None:
    assert len(set(NAMES)) == len(NAMES) == len(COLUMNS)
    told = table_markdown()
    for column in COLUMNS:
        assert told.count(f"| `{column.name}` |") == 1
        assert column.meaning
        assert column.null


def test_every_type_has_one_class() -> None:
    assert len(taxonomy.CLASSES) == 11
    assert len(taxonomy.CLASS_OF) == sum(map(len, taxonomy.CLASSES.values())) == 39
    assert event.SEVERITIES.index("critical") == 4


def test_the_taxonomy_is_the_published_one(corpora: Path) -> None:
    told = json.loads((corpora / "taxonomy" / "rsit-machinev1.json").read_bytes())
    assert told["version"] == taxonomy.VERSION
    assert {
        one["predicate"]: tuple(entry["value"] for entry in one["entry"])
        for one in told["values"]
    } == taxonomy.CLASSES


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("phishing", "phishing"),
        (" C2-Server ", "c2-server"),
        ("infected system", "infected-system"),
        ("ddos_amplifier", "ddos-amplifier"),
        ("blacklist", "undetermined"),
        ("malware", "infected-system"),
        ("แฮก", "undetermined"),
    ],
)
def test_a_name_of_a_type_is_found_however_it_is_written(text: str, found: str) -> None:
    assert taxonomy.type_of(text) == found


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Kind.PREFIX, " 203.0.113.0/24 ", "203.0.113.0/24"),
        (Kind.PREFIX, "2001:DB8::/32", "2001:db8::/32"),
        (Kind.PREFIX, "198.51.100.7", "198.51.100.7/32"),
        (Kind.ASN, "as64500", "64500"),
        (Kind.ASN, "0064500", "64500"),
        (Kind.DOMAIN, "Example.TH.", "example.th"),
        (Kind.COUNTRY, "th", "TH"),
        (Kind.CCTLD, ".TH", "th"),
    ],
)
def test_an_asset_is_stored_in_one_form(kind: Kind, text: str, value: str) -> None:
    assert read_value(kind, text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Kind.PREFIX, "203.0.113.1/24"),
        (Kind.PREFIX, "1.2.3"),
        (Kind.ASN, "AS-64500"),
        (Kind.ASN, "4294967296"),
        (Kind.DOMAIN, "localhost"),
        (Kind.DOMAIN, "300.1.1.1"),
        (Kind.COUNTRY, "THA"),
        (Kind.CCTLD, "๑๑"),
    ],
)
def test_what_is_no_asset_is_refused_with_an_example(kind: Kind, text: str) -> None:
    with pytest.raises(ValueError, match=r"such as"):
        read_value(kind, text)


def test_a_prefix_covers_its_first_and_last_address() -> None:
    first, last = range_of("203.0.113.0/24")
    assert first == halves(int(ipaddress.ip_address("203.0.113.0")), 4)
    assert last == halves(int(ipaddress.ip_address("203.0.113.255")), 4)
    assert range_of("::ffff:203.0.113.0/120") == (first, last)


def test_a_claim_holds_from_one_instant_to_another() -> None:
    always = Asset("bank", "th", Kind.ASN, "64500")
    assert always.holds(0)
    once = Asset("bank", "th", Kind.ASN, "64500", since=10, until=20)
    assert [once.holds(at) for at in (9, 10, 19, 20)] == [False, True, True, False]


def test_categories_of_a_nation_are_by_types_and_classes_that_there_are() -> None:
    said = {"c2-server": " 2.3 C2 ", "malicious-code": "2 มัลแวร์"}
    read = taxonomy.read_categories(said)
    assert read == {"c2-server": "2.3 C2", "malicious-code": "2 มัลแวร์"}
    for wrong, why in (
        ({"c2server": "x"}, "did you mean 'c2-server'"),
        ({"zzz": "x"}, "no such name"),
        ({"spam": " "}, "expected a name"),
        ({"spam": "a\nb"}, "expected a name"),
    ):
        with pytest.raises(ValueError, match=why):
            taxonomy.read_categories(wrong)
