"""What becomes of rows: looked up, owned, marked, matched."""

import pickle
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kernels import COUNTRIES, DAY, MEMBERS, judged, run
from serantau.lane import lists, match, ranges
from serantau.lane.engine import Here
from serantau.lane.reference import Reference
from serantau.lane.why import why
from serantau.rules.asset import Asset, Kind


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
    shelf = reference.shelf
    files = {version: Here(shelf.file(version)) for version in shelf.stamps()}
    sent = pickle.loads(pickle.dumps(reference.sent(files)))  # noqa: S301
    assert sent.shelf.folder is None
    assert run(*said, reference=sent).events.equals(events)


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


def test_both_ends_are_matched() -> None:
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
