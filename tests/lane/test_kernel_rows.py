"""What becomes of rows: one form, once, looked up, owned, marked, matched."""

import pickle
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serantau.lane import fingerprint, kernel, lists, match, ranges
from serantau.lane.frame import EVENTS, REJECTS
from serantau.lane.reference import Reference
from serantau.lane.why import why
from serantau.rules.asset import Asset, Kind

DAY = datetime(2026, 11, 20, 12, tzinfo=UTC)
MEMBERS = {"TH": "th", "SG": "sg", "GB": "gb"}
COUNTRIES = """1.0.0.0/24,TH
1.0.1.0/24,SG
1.0.2.0/24,US
2001:200::/32,TH
"""
NETWORKS = """1.0.0.0/25,64500,Bank
1.0.1.0/24,64501,Hoster
2001:200::/48,64500,Bank
"""


def rows(*said: Mapping[str, Any]) -> pl.DataFrame:
    """Make rows as a format gives them."""
    usual = {
        "received": DAY,
        "time": DAY,
        "batch": "ab" * 32,
        "feed": "shadowserver",
        "type": "infected-system",
    }
    made = [{**usual, "number": at, **one} for at, one in enumerate(said, 1)]
    names = {name for one in made for name in one}
    return pl.DataFrame(
        made,
        {name: dtype for name, dtype in EVENTS.items() if name in names},
        strict=False,
    )


def run(*said: Mapping[str, Any], reference: Reference | None = None) -> kernel.Done:
    done = kernel.run(rows(*said), reference or Reference())
    assert done.events.schema == EVENTS
    assert done.rejects.schema == REJECTS
    assert done.events.height + done.rejects.height + done.repeated == len(said)
    return done


def judged(said: Mapping[str, Any], reference: Reference) -> dict[str, Any]:
    return run(said, reference=reference).events.row(0, named=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of range data of one day."""
    shelf = ranges.Shelf(tmp_path / "ranges")
    for kind, name, text in (
        (ranges.Kind.COUNTRY, "whois", COUNTRIES),
        (ranges.Kind.ASN, "routes", NETWORKS),
    ):
        path = tmp_path / name
        path.write_text(text)
        version = ranges.Version("2026-11-01", name, kind)
        shelf.add(version, ranges.read([path], kind).frame)
    return tmp_path / "ranges"


# --- One form ------------------------------------------------------------------------


def test_values_get_one_form() -> None:
    row = judged(
        {
            "source_address": "::ffff:1.0.0.1",
            "source_domain": "WWW.Bank.TH.",
            "source_name": "ผู้ใช้.ไทย",
            "source_url": "hxxp://WWW.Bank.TH:80",
            "destination_address": "2001:DB8::1",
            "protocol": "TCP",
            "malware": " Mirai ",
            "hash": "AB" * 16,
            "type": "C2-Server",
            "count": 0,
            "severity": 9,
            "confidence": 101,
            "tlp": 7,
            "source_asn": 0,
            "source_country": "Thailand",
        },
        Reference(),
    )
    assert {name: row[name] for name in EVENTS if row[name] is not None} == {
        "time": DAY,
        "received": DAY,
        "batch": "ab" * 32,
        "number": 1,
        "feed": "shadowserver",
        "source_address": "1.0.0.1",
        "source_hi": -(2**63),
        "source_lo": (0xFFFF01000001) - 2**63,
        "source_domain": "www.bank.th",
        "source_name": "xn--b3c9a5etb3ac.xn--o3cw4h",
        "source_url": "http://www.bank.th/",
        "destination_address": "2001:db8::1",
        "destination_hi": 0x20010DB800000000 - 2**63,
        "destination_lo": 1 - 2**63,
        "protocol": "tcp",
        "malware": "mirai",
        "hash": "ab" * 16,
        "type": "c2-server",
        "class": "malicious-code",
        "tlp": 4,
        "fingerprint": row["fingerprint"],
    }


def test_a_row_without_a_time_was_seen_when_it_arrived() -> None:
    assert judged({"time": None}, Reference())["time"] == DAY


def test_every_row_has_a_type_and_its_class() -> None:
    done = run(
        {"type": "ddos", "source_port": 1},
        {"type": None, "source_port": 2},
        {"type": "something new", "source_port": 3},
    )
    assert done.events.select("class", "type").rows() == [
        ("availability", "ddos"),
        ("other", "undetermined"),
        ("other", "undetermined"),
    ]
    assert judged({"type": None}, Reference())["class"] == "other"


def test_a_nations_category_is_that_of_the_type_else_of_the_class() -> None:
    reference = Reference.of(categories={"ddos": "A1", "malicious-code": "B2"})
    done = run(
        {"type": "ddos"}, {"type": "c2-server"}, {"type": "spam"}, reference=reference
    )
    assert done.events["category"].to_list() == ["A1", "B2", None]


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("source_address", "1.2.3", "is no IPv4 or IPv6 address"),
        ("source_address", "0x7f.1", "is no IPv4 or IPv6 address"),
        ("destination_address", "host", "is no IPv4 or IPv6 address"),
        ("source_port", 65536, "is no port from 0 to 65535"),
        ("destination_port", -1, "is no port from 0 to 65535"),
        ("time", datetime(1989, 12, 31, tzinfo=UTC), "is before 1990"),
        (
            "time",
            datetime(9999, 1, 1, tzinfo=UTC),
            "is more than a day after the batch arrived",
        ),
    ],
)
def test_what_cannot_be_true_is_turned_away_with_the_reason(
    column: str, value: Any, reason: str
) -> None:
    done = run({"source_address": "1.0.0.1"}, {column: value, "extra": '{"a":1}'})
    assert done.events["number"].to_list() == [1]
    (row,) = done.rejects.rows(named=True)
    assert (row["line"], row["column"], row["reason"]) == (2, column, reason)
    assert str(value)[:10] in row["value"]
    assert (row["received"], row["batch"], row["feed"]) == (DAY, "ab" * 32, row["feed"])
    raw = orjson.loads(row["raw"])
    assert raw["extra"] == '{"a":1}'
    assert column in raw


def test_a_row_is_turned_away_once_however_wrong_it_is() -> None:
    done = run({"source_address": "x", "source_port": 99999, "destination_address": ""})
    assert done.rejects["column"].to_list() == ["source_address"]
    assert done.events.height == 0
    assert done.sightings.height == 0


def test_a_clock_without_its_zone_is_no_fault() -> None:
    assert run({"time": DAY + timedelta(hours=14)}).rejects.height == 0


def test_no_rows_give_no_rows() -> None:
    assert kernel.run(rows({})[:0], Reference()).events.schema == EVENTS


# --- Fingerprint, and once -----------------------------------------------------------

LOW = (1 << 64) - 1


def told_again(row: Mapping[str, Any]) -> str:
    """Make a fingerprint as the documentation describes it, in plain arithmetic."""
    sums = [0, 0]

    def halves(text: str) -> list[int]:
        digest = blake2b(text.encode(), digest_size=16).digest()
        return [int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big")]

    for name in fingerprint.TEXTS:
        if row[name] is not None:
            sums = [
                a + b for a, b in zip(sums, halves(f"{name}={row[name]}"), strict=True)
            ]
    for name in fingerprint.NUMBERS:
        if row[name] is not None:
            for lane, key in enumerate(halves(f"number={name}")):
                mixed = (row[name] & LOW) ^ key
                for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
                    mixed = (mixed ^ mixed >> 33) * factor & LOW
                sums[lane] += mixed ^ mixed >> 33
    return "".join(f"{one & LOW:016x}" for one in sums)


VALUES = st.fixed_dictionaries(
    {
        "source_address": st.one_of(st.none(), st.ip_addresses().map(str)),
        "source_port": st.one_of(st.none(), st.integers(0, 65535)),
        "source_domain": st.sampled_from([None, "a.example", "b.example"]),
        "malware": st.one_of(st.none(), st.text("abcé", min_size=1, max_size=3)),
        "identifier": st.sampled_from([None, "open-rdp"]),
        "destination_address": st.one_of(st.none(), st.ip_addresses(v=4).map(str)),
    }
)


@given(said=st.lists(VALUES, min_size=1, max_size=9))
def test_fingerprints_are_what_the_documentation_says(
    said: list[dict[str, Any]],
) -> None:
    for row in run(*said).events.rows(named=True):
        assert row["fingerprint"] == told_again(row)


def test_a_fingerprint_is_the_same_in_every_version() -> None:
    row = judged(
        {
            "report": "scan_rdp",
            "source_address": "1.0.0.1",
            "source_port": 3389,
            "protocol": "tcp",
            "identifier": "open-rdp",
        },
        Reference(),
    )
    assert row["fingerprint"] == "3c8aa6c5b19cbbb4bb6304a7ae0edea2"
    bare = judged({"feed": "x", "type": "ddos"}, Reference())
    assert bare["fingerprint"] == "175b8a23a62df9199c6d50e669d5b534"


def test_a_million_neighbours_have_fingerprints_of_their_own() -> None:
    frame = pl.DataFrame(
        {"source_lo": range(1_000_000)}, {"source_lo": pl.Int64}
    ).with_columns(
        *(pl.lit(None, pl.String).alias(name) for name in fingerprint.TEXTS),
        *(
            pl.lit(None, pl.Int64).alias(name)
            for name in fingerprint.NUMBERS
            if name not in {"source_lo", "source_port"}
        ),
        source_port=pl.int_range(pl.len()) % 1000,
    )
    lanes = fingerprint.lanes(frame)
    assert lanes.to_series(0).n_unique() == lanes.to_series(1).n_unique() == 1_000_000


def test_one_finding_of_one_day_is_one_row() -> None:
    one = {"source_address": "1.0.0.1", "source_port": 9}
    done = run(
        {**one, "severity": 1, "confidence": 50, "extra": '{"first":1}'},
        {"source_address": "1.0.0.2"},
        {**one, "time": DAY - timedelta(hours=2), "severity": 3, "count": 4},
        {**one, "time": DAY - timedelta(days=1)},
        {**one, "tlp": 2},
        {**one, "last_seen": DAY + timedelta(hours=1)},
    )
    assert done.repeated == 2
    events = done.events.rows(named=True)
    assert [row["number"] for row in events] == [1, 2, 4, 5]
    merged = events[0]
    assert (merged["count"], merged["severity"], merged["confidence"]) == (6, 3, 50)
    assert merged["time"] == merged["first_seen"] == DAY - timedelta(hours=2)
    assert merged["last_seen"] == DAY + timedelta(hours=1)
    assert merged["extra"] == '{"first":1}'
    for row in events[1:]:
        assert (row["count"], row["first_seen"], row["last_seen"]) == (None, None, None)
    assert len({events[at]["fingerprint"] for at in (0, 2, 3)}) == 1


# --- Looked up -----------------------------------------------------------------------


def test_an_address_is_looked_up_with_the_name_and_day_of_the_data(
    folder: Path,
) -> None:
    reference = Reference.of(ranges=folder)
    done = run(
        {"source_address": "1.0.0.1", "destination_address": "1.0.1.1"},
        {"source_address": "1.0.0.200"},
        {"source_address": "9.9.9.9", "source_asn": 7, "source_country": "DE"},
        {"source_address": "2001:200::1", "source_asn": 7, "source_country": "DE"},
        {"destination_address": "1.0.1.1"},
        reference=reference,
    )
    side = ("network", "asn", "country")
    assert done.events.select(*(f"source_{one}" for one in side), "lookup").rows() == [
        ("1.0.0.0-1.0.0.127", 64500, "TH", BOTH),
        ("1.0.0.0-1.0.0.255", None, "TH", "country:whois@2026-11-01"),
        (None, 7, "DE", None),
        ("2001:200::-2001:200:0:ffff:ffff:ffff:ffff:ffff", 64500, "TH", BOTH),
        (None, None, None, BOTH),
    ]
    assert done.events.select(f"destination_{one}" for one in side).row(0) == (
        "1.0.1.0-1.0.1.255",
        64501,
        "SG",
    )


BOTH = "country:whois@2026-11-01, asn:routes@2026-11-01"


def test_the_data_of_the_events_day_is_used(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "later"
    path.write_text(COUNTRIES.replace("TH", "SG"))
    ranges.Shelf(folder).add(
        ranges.Version("2026-11-19", "whois", ranges.Kind.COUNTRY),
        ranges.read([path], ranges.Kind.COUNTRY).frame,
    )
    reference = Reference.of(ranges=folder, members=MEMBERS)
    said = [
        {"source_address": f"1.0.0.{day}", "time": datetime(2026, 11, day, tzinfo=UTC)}
        for day in (20, 2, 19, 18, 1)
    ] + [{"source_address": "1.0.0.99", "time": datetime(2026, 10, 9, tzinfo=UTC)}]
    for one in (reference, pickle.loads(pickle.dumps(reference))):  # noqa: S301
        events = run(*said, reference=one).events
        assert events["number"].to_list() == [1, 2, 3, 4, 5, 6]
        assert events["member"].to_list() == ["sg", "th", "sg", "th", "th", "th"]
        assert [text[14:24] for text in events["lookup"]] == [
            *("2026-11-19", "2026-11-01", "2026-11-19"),
            *("2026-11-01", "2026-11-01", "2026-11-01"),
        ]
    days = ["2026-10-09", "2026-11-01", "2026-11-20"]
    carried = pickle.loads(pickle.dumps(reference.carrying(days)))  # noqa: S301
    assert carried.shelf.folder is None
    assert run(*said, reference=carried).events.equals(events)


# --- Owned ---------------------------------------------------------------------------


def asset(party: str, kind: Kind, value: str, **more: Any) -> Asset:
    return Asset(party, more.pop("member", "th"), kind, value, **more)


ASSETS = [
    asset("prefix", Kind.PREFIX, "1.0.0.0/30"),
    asset("wide-prefix", Kind.PREFIX, "1.0.0.0/26"),
    asset("domain", Kind.DOMAIN, "bank.th"),
    asset("sub-domain", Kind.DOMAIN, "pay.bank.th"),
    asset("number", Kind.ASN, "64500"),
    asset("tld", Kind.CCTLD, "la", member="la"),
    asset("country", Kind.COUNTRY, "US", member="us"),
]


@pytest.mark.parametrize(
    ("said", "owner"),
    [
        (
            {"source_address": "1.0.0.1", "source_domain": "pay.bank.th"},
            ("prefix", "th", "prefix:1.0.0.0/30", "prefix"),
        ),
        (
            {"source_address": "1.0.0.5"},
            ("wide-prefix", "th", "prefix:1.0.0.0/26", "prefix"),
        ),
        (
            {"source_address": "1.0.0.100", "source_domain": "a.bank.th"},
            ("domain", "th", "domain:bank.th", "domain"),
        ),
        (
            {"source_address": "1.0.2.1", "source_domain": "www.pay.bank.th"},
            ("sub-domain", "th", "domain:pay.bank.th", "domain"),
        ),
        (
            {"source_address": "1.0.0.100", "source_domain": "x.la"},
            ("number", "th", "asn:64500", "asn"),
        ),
        (
            {"source_address": "1.0.1.1", "source_domain": "x.la"},
            ("tld", "la", "cctld:la", "cctld"),
        ),
        (
            {"source_address": "1.0.2.1", "source_domain": "notbank.th"},
            (None, "th", None, "cctld"),
        ),
        (
            {"source_address": "1.0.2.1", "source_domain": "x.co.uk"},
            (None, "gb", None, "cctld"),
        ),
        (
            {"source_domain": "x.xn--o3cw4h"},
            (None, "th", None, "cctld"),
        ),
        ({"source_address": "1.0.2.1"}, ("country", "us", "country:US", "country")),
        ({"source_address": "1.0.1.1"}, (None, "sg", None, "country")),
        (
            {"source_address": "1.0.1.1", "source_name": "mail.bank.th"},
            (None, "sg", None, "country"),
        ),
        ({"source_address": "9.9.9.9"}, (None, None, None, None)),
        (
            {"source_address": "9.9.9.9", "source_country": "TH"},
            (None, "th", None, "country"),
        ),
        ({"source_domain": "example.com"}, (None, None, None, None)),
    ],
)
def test_the_best_claim_wins_and_a_country_only_where_nothing_better_is(
    folder: Path, said: dict[str, Any], owner: tuple[str | None, ...]
) -> None:
    reference = Reference.of(ranges=folder, assets=ASSETS, members=MEMBERS)
    row = judged(said, reference)
    assert tuple(row[name] for name in ("party", "member", "asset", "reason")) == owner


def test_without_members_and_assets_rows_are_nobodys(folder: Path) -> None:
    row = judged({"source_address": "1.0.0.1"}, Reference.of(ranges=folder))
    assert row["source_country"] == "TH"
    assert row["member"] is row["reason"] is None


def test_a_row_is_judged_by_the_claims_of_its_own_time() -> None:
    def at(day: int) -> int:
        return int(datetime(2026, 11, day, tzinfo=UTC).timestamp()) * 1_000_000

    reference = Reference.of(
        assets=[
            asset("old", Kind.PREFIX, "1.0.0.0/24", until=at(5)),
            asset("new", Kind.PREFIX, "1.0.0.0/24", since=at(10)),
            asset("all", Kind.PREFIX, "1.0.0.0/16"),
        ]
    )
    days = [12, 4, 5, 10, 9]
    for one in (reference, pickle.loads(pickle.dumps(reference))):  # noqa: S301
        times = [datetime(2026, 11, day, tzinfo=UTC) for day in days]
        said = [{"source_address": "1.0.0.1", "time": time} for time in times]
        events = run(*said, reference=one).events
        assert events["number"].to_list() == [1, 2, 3, 4, 5]
        assert events["party"].to_list() == ["new", "old", "all", "new", "all"]


def test_many_changes_of_the_register_are_judged_right_and_forgotten() -> None:
    def at(hour: int) -> int:
        return int(DAY.timestamp() + hour * 3600) * 1_000_000

    assets = [
        asset(f"p{hour}", Kind.ASN, "64500", since=at(hour), until=at(hour + 1))
        for hour in range(-20, 0)
    ]
    reference = Reference.of(assets=assets)
    said = [
        {"source_asn": 64500, "source_port": 1, "time": DAY + timedelta(hours=hour)}
        for hour in range(-20, 0, 2)
    ]
    said = [{**one, "source_port": at} for at, one in enumerate(said)]
    events = run(*said, *said[:1], reference=reference).events
    assert events["party"].to_list() == [f"p{hour}" for hour in range(-20, 0, 2)]
    assert len(reference.owners._eras) == 8
    again = run(said[-1], reference=reference).events
    assert again["party"].to_list() == ["p-2"]


def test_of_equal_claims_the_one_that_began_last_wins_in_any_order() -> None:
    claims = [
        asset("b", Kind.ASN, "64500"),
        asset("a", Kind.ASN, "64500"),
        asset("late", Kind.ASN, "64500", since=5),
    ]
    for order in (claims, claims[::-1]):
        row = judged({"source_asn": 64500}, Reference.of(assets=order))
        assert row["party"] == "late"
        row = judged({"source_asn": 64500}, Reference.of(assets=order[:2]))
        assert row["party"] in {"a", "late"}


@pytest.mark.parametrize("address", ["10.0.0.1", "203.0.113.1", "fd00::1", "224.0.0.1"])
def test_ranges_of_nobody_are_marked_and_never_owned_by_address(
    address: str, folder: Path
) -> None:
    reference = Reference.of(
        ranges=folder,
        assets=[
            asset("all", Kind.PREFIX, "0.0.0.0/0"),
            asset("all", Kind.PREFIX, "::/0"),
            *ASSETS,
        ],
        members=MEMBERS,
    )
    said = {"source_address": address, "source_asn": 64500, "source_country": "TH"}
    row = judged(said, reference)
    assert row["marks"]
    assert row["party"] is row["member"] is row["reason"] is None
    named = judged({**said, "source_domain": "www.bank.th"}, reference)
    assert (named["party"], named["reason"]) == ("domain", "domain")
    fine = judged(
        {"source_address": "1.0.2.9", "destination_address": address}, reference
    )
    assert (fine["party"], fine["marks"]) == ("all", None)


def test_an_exercise_owns_documentation_ranges() -> None:
    assets = [asset("team", Kind.PREFIX, "203.0.113.0/24")]
    said = {"source_address": "203.0.113.9"}
    drill = judged(said, Reference.of(assets=assets, exercise=True))
    assert (drill["party"], drill["marks"]) == ("team", None)
    live = judged(said, Reference.of(assets=assets))
    assert (live["party"], live["marks"]) == (None, "documentation")


# --- Marked and matched --------------------------------------------------------------


def test_only_the_reported_machine_is_marked() -> None:
    addresses, names = ("8.8.8.8", "10.0.0.1"), ("example.com",)
    known = [
        lists.Warninglist("dns", "cidr", frozenset({"address"}), addresses),
        lists.Warninglist("top", "hostname", frozenset({"domain"}), names),
    ]
    done = run(
        {"source_address": "8.8.8.8", "source_domain": "www.example.com"},
        {"source_address": "10.0.0.1"},
        {"source_address": "9.9.9.9", "destination_address": "8.8.8.8"},
        {"destination_domain": "example.com"},
        reference=Reference.of(lists=known),
    )
    assert done.events["marks"].to_list() == ["dns,top", "dns,private-use", None, None]


def test_both_ends_are_matched_and_sightings_told() -> None:
    known = match.indicators(
        [
            ("ipv4-addr", "198.51.100.0/24", "indicator--net"),
            ("domain-name", "bad.example", "indicator--name"),
        ]
    )
    done = run(
        {"source_address": "9.9.9.9", "destination_address": "198.51.100.1"},
        {"source_address": "198.51.100.2", "destination_domain": "a.bad.example"},
        {"source_address": "9.9.9.8"},
        {"source_address": "9.9.9.9", "destination_address": "198.51.100.1"},
        reference=Reference.of(indicators=known),
    )
    assert done.events["indicators"].to_list() == [
        "indicator--net",
        "indicator--name,indicator--net",
        None,
    ]
    assert done.sightings.rows() == [
        ("indicator--name", 1, DAY, DAY),
        ("indicator--net", 3, DAY, DAY),
    ]


# --- Why -----------------------------------------------------------------------------


def test_a_row_says_why_it_went_where_it_went(folder: Path) -> None:
    reference = Reference.of(
        ranges=folder,
        assets=ASSETS,
        members=MEMBERS,
        indicators=match.indicators([("domain-name", "bank.th", "indicator--x")]),
        lists=[
            lists.Warninglist("top", "hostname", frozenset({"domain"}), ("bank.th",))
        ],
    )
    said = why(
        judged(
            {
                "source_address": "1.0.0.100",
                "source_domain": "www.bank.th",
                "report": "scan_rdp",
            },
            reference,
        )
    )
    assert said == [
        "shadowserver (scan_rdp) reported 1.0.0.100 and www.bank.th, "
        f"seen 2026-11-20 12:00:00 UTC: row 1 of batch {'ab' * 32}.",
        "The address is in the range 1.0.0.0-1.0.0.127.",
        "AS64500 routes it, by the range data routes@2026-11-01.",
        "It is in TH, by the range data whois@2026-11-01.",
        "domain (th) answers: its name is bank.th or below it, the longest name that "
        "fits. No better claim (prefix) held at the time of the event.",
        "It is marked top: special ranges and warninglists.",
        "It matched indicator--x.",
    ]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"source_address": "1.0.0.1"}, "prefix (th) answers: its address is in"),
        ({"source_address": "1.0.1.1"}, "The member sg answers: it is in that state"),
        ({"source_domain": "x.th"}, "The member th answers: its name is below"),
        (
            {"source_domain": "x.la"},
            "tld (la) answers: its name is below the top",
        ),
        ({"source_address": "1.0.2.1"}, "country (us) answers: it is in US"),
        ({"source_address": "1.0.0.100"}, "number (th) answers: AS64500 routes"),
        ({"source_address": "9.9.9.9"}, "It is nobody's"),
        ({"source_address": "9.9.9.9"}, "Nothing is known of the address"),
        (
            {"source_address": "9.9.9.9", "source_country": "TH"},
            "It is in TH, as the report says.",
        ),
        ({}, "reported a machine without a name"),
    ],
)
def test_every_reason_has_its_sentence(
    folder: Path, said: dict[str, Any], told: str
) -> None:
    reference = Reference.of(ranges=folder, assets=ASSETS, members=MEMBERS)
    assert told in "\n".join(why(judged(said, reference)))


# --- Real data -----------------------------------------------------------------------


def test_real_ranges_and_lists_judge_real_addresses(
    corpora: Path, tmp_path: Path
) -> None:
    shelf = ranges.Shelf(tmp_path)
    for kind, names in (
        (ranges.Kind.COUNTRY, ("geo-whois-asn-country-ipv4",)),
        (ranges.Kind.ASN, ("asn-ipv4", "asn-ipv6")),
    ):
        paths = [corpora / "ip" / f"{name}.csv.gz" for name in names]
        version = ranges.Version("2026-08-22", "real", kind)
        shelf.add(version, ranges.read(paths, kind).frame)
    reference = Reference.of(
        ranges=tmp_path,
        assets=[asset("cloudflare", Kind.ASN, "13335", member="us")],
        members={"TH": "th", "SG": "sg"},
        lists=lists.read_folder(corpora / "lists")[0],
    )
    lines = pl.read_csv(
        corpora / "lists" / "ipsum.txt.gz",
        separator="\t",
        comment_prefix="#",
        has_header=False,
        new_columns=["source_address", "times"],
    )["source_address"][:20_000]
    done = run(*({"source_address": one} for one in lines), reference=reference)
    assert done.rejects.height == 0
    assert done.events["source_asn"].null_count() < done.events.height // 100
    assert done.events["source_country"].null_count() < done.events.height // 100
    by_number = done.events.filter(pl.col("source_asn") == 13335)
    assert set(by_number["party"]) <= {"cloudflare"}
    states = done.events.filter(pl.col("reason") == "country")
    assert (states["member"].str.to_uppercase() == states["source_country"]).all()
    assert states["party"].null_count() == states.height
    row = judged({"source_address": "1.0.0.1"}, reference)
    assert row["marks"] == "public-dns-v4"
    assert (row["party"], row["source_country"]) == ("cloudflare", "AU")
