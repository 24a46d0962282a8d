"""What is known is found in rows, however much is known and however rows say it."""

import ipaddress
import pickle
import random
from pathlib import Path

import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serantau.lane.address import KEY, key_of
from serantau.lane.lists import Lists, Warninglist, name_of, read, read_folder
from serantau.lane.match import (
    HITS,
    INDICATORS,
    Asked,
    Known,
    Words,
    indicators,
    named,
)


def texts(*values: str | None) -> pl.Series:
    return pl.Series(values, dtype=pl.String)


def asked(
    *,
    address: list[str | None] | None = None,
    domain: list[str | None] | None = None,
    url: list[str | None] | None = None,
    digest: list[str | None] | None = None,
) -> Asked:
    """Ask about rows of one end."""
    said = address or []
    each = sorted({key_of(ipaddress.ip_address(one)) for one in said if one})
    place = [
        each.index(key_of(ipaddress.ip_address(one))) if one else None for one in said
    ]
    return Asked(
        pl.Series(each, dtype=KEY),
        [pl.Series(place, dtype=pl.UInt32)],
        [texts(*(domain or []))],
        [texts(*(url or []))],
        [texts(*(digest or []))],
    )


def found(known: Known | Lists, rows: Asked, height: int) -> list[str | None]:
    hits = known.find(rows)
    assert hits.schema == HITS
    return named(hits, height).to_list()


KNOWN = Known.of(
    indicators(
        [
            ("ipv4-addr", "198.51.100.7", "indicator--a"),
            ("ipv4-addr", "198.51.100.0/24", "indicator--net"),
            ("ipv4-addr", "198.51.100.7", "indicator--b"),
            ("ipv6-addr", "2001:DB8::1", "indicator--six"),
            ("ipv6-addr", "2001:db8::/32", "indicator--net6"),
            ("domain-name", "Bad.Example", "indicator--name"),
            ("domain-name", "www.bad.example", "indicator--www"),
            ("url", "HTTP://bad.example/x", "indicator--url"),
            ("sha-256", "AB" * 32, "indicator--hash"),
            ("md5", "cd" * 16, "indicator--md5"),
            ("ipv4-addr", "no address", "indicator--odd"),
            ("ipv4-addr", "no/prefix", "indicator--odd"),
            ("mutex", "x", "indicator--mutex"),
        ]
    )
)


def test_addresses_fit_alone_and_by_every_prefix_that_covers_them() -> None:
    rows = asked(
        address=["198.51.100.7", "198.51.100.8", None, "2001:db8::1", "203.0.113.1"]
    )
    assert found(KNOWN, rows, 5) == [
        "indicator--a,indicator--b,indicator--net",
        "indicator--net",
        None,
        "indicator--net6,indicator--six",
        None,
    ]


def test_a_name_fits_itself_and_all_that_is_below_it() -> None:
    rows = asked(
        domain=[
            "bad.example",
            "a.b.bad.example",
            "x.www.bad.example",
            "notbad.example",
            "example",
            None,
            "bad.example.org",
            ".".join("a" * 120) + ".bad.example",
        ]
    )
    assert found(KNOWN, rows, 8) == [
        "indicator--name",
        "indicator--name",
        "indicator--name,indicator--www",
        None,
        None,
        None,
        None,
        "indicator--name",
    ]


def test_urls_and_hashes_fit_as_they_are() -> None:
    rows = asked(
        url=["http://bad.example/x", "http://bad.example/x/y", None],
        digest=["cd" * 16, None, "ab" * 32],
    )
    assert found(KNOWN, rows, 3) == [
        "indicator--md5,indicator--url",
        None,
        "indicator--hash",
    ]


def test_nothing_known_finds_nothing() -> None:
    nothing = Known.of(pl.DataFrame(schema=INDICATORS))
    rows = asked(address=["198.51.100.7"], domain=["bad.example"], url=[None])
    assert found(nothing, rows, 1) == [None]
    assert found(KNOWN, asked(), 0) == []


def test_what_is_known_can_be_sent_to_another_process() -> None:
    sent = pickle.loads(pickle.dumps(KNOWN))  # noqa: S301
    rows = asked(domain=["a.bad.example"])
    assert found(sent, rows, 1) == ["indicator--name"]


LABELS = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=4)
NAMES = st.lists(LABELS.map(".".join), min_size=1, max_size=12, unique=True)


@given(known=NAMES, names=NAMES)
def test_names_above_a_name_are_those_that_end_it(
    known: list[str], names: list[str]
) -> None:
    words = Words.of({name: row for row, name in enumerate(known)})
    above = words.above(texts(*names))
    told = {(names[place], known[row]) for place, row, _ in above.iter_rows()}
    assert told == {
        (name, one)
        for name in names
        for one in known
        if name == one or name.endswith("." + one)
    }
    assert above["depth"].to_list() == sorted(above["depth"], reverse=True)
    assert words.find(texts(*names, None)).to_list() == [
        *(known.index(name) if name in known else None for name in names),
        None,
    ]


def test_each_of_many_rows_finds_its_own_among_as_many_indicators() -> None:
    chance = random.Random(7)
    count = 40_000

    def address() -> str:
        return str(ipaddress.IPv4Address(chance.getrandbits(32)))

    values = pl.DataFrame(
        {
            "kind": ["ipv4-addr", "domain-name", "url", "sha-256"] * (count // 4),
            "value": [
                one
                for each in range(count // 4)
                for one in (
                    address(),
                    f"bad{each}.example",
                    f"http://bad{each}.example/",
                    f"{chance.getrandbits(256):064x}",
                )
            ],
            "indicator": [f"indicator--{each}" for each in range(count)],
        },
        INDICATORS,
    )
    known = Known.of(values)
    known_addresses = values["value"].gather_every(4).to_list()
    keys = [
        key_of(ipaddress.IPv4Address(chance.choice(known_addresses)))
        if each % 1000 == 0
        else key_of(ipaddress.IPv4Address(chance.getrandbits(32)))
        for each in range(count)
    ]
    column = pl.Series(keys, dtype=KEY)
    domains = texts(
        *(f"h.good{each}.example" for each in range(count - 1)), "a.bad9.example"
    )
    rows = Asked(column.unique().sort(), [column.rank("dense") - 1], [domains], [], [])
    hits = known.find(rows)
    assert hits.height >= count // 1000 + 1
    assert hits["words"][-1] == f"indicator--{9 * 4 + 1}"


# --- Warninglists --------------------------------------------------------------------


def warninglist(kind: str, values: list[str], *attributes: str) -> Warninglist:
    told = {"type": kind, "list": values, "matching_attributes": list(attributes)}
    return read(orjson.dumps({"name": "A list", "version": 1, **told}), kind)


def test_a_cidr_list_marks_addresses() -> None:
    lists = Lists.of([warninglist("cidr", ["8.8.8.8", "2001:db8::/32", "x"], "ip-src")])
    rows = asked(address=["8.8.8.8", "8.8.8.9", "2001:db8::5"])
    assert found(lists, rows, 3) == ["cidr", None, "cidr"]


def test_a_hostname_list_marks_names_below_and_a_string_list_only_the_name() -> None:
    lists = Lists.of(
        [
            warninglist("hostname", ["Example.com"], "hostname", "domain", "url"),
            warninglist("string", [".google.com", "example.com", "a/b"], "domain"),
        ]
    )
    rows = asked(
        domain=["example.com", "www.example.com", "google.com", "mail.google.com"]
    )
    assert found(lists, rows, 4) == [
        "hostname,string",
        "hostname",
        "string",
        "string",
    ]


def test_a_string_list_marks_urls_hashes_and_addresses_it_is_for() -> None:
    values = ["http://example.com/a", "AB" * 16, "9.9.9.9", "ab" * 20, "ab"]
    rows = asked(
        address=["9.9.9.9", None, None],
        url=[None, "http://example.com/a", None],
        digest=[None, None, "ab" * 16],
    )
    for lists in (
        [warninglist("string", values, "ip-src|port", "url", "md5")],
        [warninglist("string", values)],
    ):
        assert found(Lists.of(lists), rows, 3) == ["string"] * 3
    only = Lists.of([warninglist("string", values, "sha1")])
    assert found(only, rows, 3) == [None, None, "string"]


def test_substrings_and_patterns_mark_names_and_urls() -> None:
    patterns = ["/^cdn[0-9]+\\./i", "\\/ads\\/", "(?<=a)b", "("]
    lists = Lists.of(
        [
            warninglist("substring", ["AMAZONAWS", ""], "domain"),
            warninglist("regex", patterns, "url", "domain"),
            warninglist("regex", ["(?=x)"], "url"),
        ]
    )
    rows = asked(
        domain=["s3.amazonaws.com", "CDN7.example", "cdn.example", None],
        url=[None, None, None, "http://example.com/ads/1"],
    )
    assert found(lists, rows, 4) == ["substring", "regex", None, "regex"]
    assert len(lists.faults) == 3
    assert "(?<=a)b" in lists.faults[0]


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"[]",
        b'{"type":"cidr"}',
        b'{"type":"x","list":[]}',
        b'{"type":"cidr","list":[1]}',
    ],
)
def test_what_is_no_warninglist_is_told(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"^name: "):
        read(raw, "name")


def test_a_folder_of_lists_is_read_and_its_faults_are_told(tmp_path: Path) -> None:
    good = b'{"type":"cidr","list":["1.1.1.1"],"matching_attributes":["ip-src"]}'
    (tmp_path / "public-dns").mkdir()
    (tmp_path / "public-dns" / "list.json").write_bytes(good)
    (tmp_path / "warninglist-Own List.json").write_bytes(good)
    (tmp_path / "broken.json").write_bytes(b"<html>")
    lists, faults = read_folder(tmp_path)
    assert [one.name for one in lists] == ["own-list", "public-dns"]
    assert [fault.split(":")[0] for fault in faults] == ["broken"]
    assert name_of(Path("---.json")) == "list"


def test_published_warninglists_mark_what_they_list(corpora: Path) -> None:
    read_lists, faults = read_folder(corpora / "lists")
    assert faults == []
    lists = Lists.of(read_lists)
    assert lists.faults == ()
    rows = asked(
        address=["1.0.0.1", "104.16.1.1", "1.178.1.77", "223.255.255.1"],
        domain=["mail.google.co.th", "www.10086.cn", None, "unknown.example"],
    )
    assert found(lists, rows, 4) == [
        "google,public-dns-v4,tranco10k",
        "cloudflare,tranco10k",
        "amazon-aws",
        None,
    ]
