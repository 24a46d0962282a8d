"""Texts become times, numbers, levels and addresses, or nothing at all."""

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serantau.lane.formats import Role, values
from serantau.lane.frame import INSTANT


def series(*texts: str | None) -> pl.Series:
    return pl.Series("x", texts, dtype=pl.String)


def time(text: str, **how: Any) -> str | None:
    found = values.instants(series(text), Role("time", **how))
    assert found.dtype == INSTANT
    at = found[0]
    assert at is None or at.utcoffset().total_seconds() == 0
    return (
        None
        if at is None
        else at.strftime("%Y-%m-%d %H:%M:%S.%f").rstrip("0").rstrip(".")
    )


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2024-01-02 03:04:05", "2024-01-02 03:04:05"),
        ("2024-01-02T03:04:05Z", "2024-01-02 03:04:05"),
        ("2024-01-02T03:04:05.123456Z", "2024-01-02 03:04:05.123456"),
        ("2024-01-02T03:04:05.5", "2024-01-02 03:04:05.5"),
        ("2024-01-02T03:04:05+0700", "2024-01-01 20:04:05"),
        ("2024-01-02T03:04:05.25+07:00", "2024-01-01 20:04:05.25"),
        ("2024-01-02 03:04:05+07:00", "2024-01-01 20:04:05"),
        ("2024-01-02 03:04:05 UTC", "2024-01-02 03:04:05"),
        ("2024-01-02 03:04", "2024-01-02 03:04:00"),
        ("2024-01-02", "2024-01-02 00:00:00"),
        ("20240102", "2024-01-02 00:00:00"),
        ("20240102T030405Z", "2024-01-02 03:04:05"),
        ("1704164645", "2024-01-02 03:04:05"),
        ("1704164645.5", "2024-01-02 03:04:05.5"),
        ("1704164645123", "2024-01-02 03:04:05.123"),
        ("1704164645123456", "2024-01-02 03:04:05.123456"),
        ("1704164645123456789", "2024-01-02 03:04:05.123457"),
        ("Tue, 02 Jan 2024 03:04:05 +0700", "2024-01-01 20:04:05"),
        ("Tue, 02 Jan 2024 03:04:05 GMT", "2024-01-02 03:04:05"),
        ("02/Jan/2024:03:04:05 +0000", "2024-01-02 03:04:05"),
        ("9999-12-31 23:59:59", "9999-12-31 23:59:59"),
    ],
)
def test_the_usual_ways_of_writing_a_time_are_known(text: str, at: str) -> None:
    found = time(text)
    assert found is not None
    assert found.removesuffix(":00") == at.removesuffix(":00")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "0000-00-00 00:00:00",
        "2024-02-30 00:00:00",
        "99999-01-01 00:00:00",
        "12",
        "01/02/2024 03:04:05",
        "-1",
        "24:00",
        "2024-01-02 25:00:00",
    ],
)
def test_what_is_no_time_or_may_be_two_is_none(text: str) -> None:
    assert time(text) is None


def test_times_written_differently_in_one_column_are_all_read() -> None:
    texts = series(
        "2024-01-02 03:04:05", None, "1704164645", "x", "2024-01-02T03:04:05Z"
    )
    found = values.instants(texts, Role("time"))
    at = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert found.to_list() == [at, None, at, None, at]


def test_a_time_without_an_offset_is_of_the_roles_zone() -> None:
    assert time("2024-01-02 03:04:05", zone="Asia/Bangkok") == "2024-01-01 20:04:05"
    assert time("2024-01-02T03:04:05Z", zone="Asia/Bangkok") == "2024-01-02 03:04:05"
    # A clock that was set back tells 02:30 twice; one that was set forward, never.
    assert time("2024-10-27 02:30:00", zone="Europe/Berlin") == "2024-10-27 00:30:00"
    assert time("2024-03-31 02:30:00", zone="Europe/Berlin") is None
    assert time("2024-01-02", zone="Asia/Yangon") == "2024-01-01 17:30:00"


def test_local_forms_and_years_of_the_buddhist_era_are_read() -> None:
    thai = {"forms": ("%d/%m/%Y %H:%M",), "zone": "Asia/Bangkok", "era": "buddhist"}
    assert time("15/03/2569 10:00", **thai) == "2026-03-15 03:00:00"
    digits = str.maketrans("0123456789", "".join(chr(0xE50 + d) for d in range(10)))
    assert time("15/03/2569 10:00".translate(digits), **thai) == "2026-03-15 03:00:00"
    # Leap years are those of the common era.
    assert time("29/02/2567 10:00", **thai) == "2024-02-29 03:00:00"
    months = {**thai, "forms": ("%d %m %Y %H:%M",)}
    assert time("15 มี.ค. 2569 10:00", **months) == "2026-03-15 03:00:00"
    assert time("15 มีนาคม 2569 10:00", **months) == "2026-03-15 03:00:00"
    two = {"forms": ("%d.%m.%Y", "%d.%m.%y"), "zone": "UTC"}
    assert time("02.01.2024", **two) == time("02.01.24", **two)
    assert time("1704164645", forms=("%s",)) == "2024-01-02 03:04:05"


@given(st.datetimes(datetime(1990, 1, 1), datetime(2200, 1, 1)))  # noqa: DTZ001
def test_what_was_written_is_read(at: datetime) -> None:
    for form in ("%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S.%fZ"):
        found = values.instants(series(at.strftime(form)), Role("time"))
        assert found.to_list() == [at.replace(tzinfo=UTC)]


def test_severities_are_words_and_numbers_only_what_the_role_says() -> None:
    words = series("info", "Low", "MEDIUM", "high", "critical", "5", "x", None)
    assert values.severities(words, Role("severity")).to_list() == [
        0, 1, 2, 3, 4, None, None, None,
    ]  # fmt: skip
    meant = Role("severity", words={"1": "high", "2": "medium"})
    assert values.severities(series("1", "2", "3"), meant).to_list() == [3, 2, None]


def test_confidences_are_of_a_hundred() -> None:
    def read(text: str, **how: Any) -> int | None:
        found: int | None = values.confidences(series(text), Role("confidence", **how))[
            0
        ]
        return found

    assert [read("50"), read("101"), read("-1"), read("high")] == [50, None, None, 85]
    assert [read("0.85", scale=100), read("0,9", scale=100, decimal=",")] == [85, 90]
    assert read("0,9", scale=100) is None
    assert read("sure", words={"sure": "99"}) == 99


def test_numbers_may_part_their_thousands_and_nothing_else() -> None:
    def read(text: str, **how: Any) -> int | None:
        found: int | None = values.whole(series(text), Role("count", **how), 0, 10**9)[
            0
        ]
        return found

    assert read("1,234,567") == read("1 234 567") == read("1'234'567") == 1_234_567
    assert read("1.234.567", decimal=",") == 1_234_567
    assert read("1,23") is None
    assert read("nan") is read("inf") is read("1e300") is read("") is None


def test_a_tlp_label_that_nobody_knows_restricts() -> None:
    found = values.tlps(
        series("TLP:AMBER+STRICT", "green", "White", "TLP:PURPLE", None), Role("tlp")
    )
    assert found.to_list() == [3, 1, 0, 4, None]
    mapped = Role("tlp", words={"public": "CLEAR"})
    assert values.tlps(series("public", "secret"), mapped).to_list() == [0, 4]


def test_types_are_those_of_rsit_and_the_roles_words() -> None:
    role = Role("type", words={"bots": "infected-system"})
    found = values.types(series("Bots", "C&C", "phishing", "nonsense", None), role)
    assert found.to_list() == ["infected-system", "c2-server", "phishing", None, None]


def test_small_kinds_of_text_are_made_alike() -> None:
    numbers = series("AS64500", "64501", "AS64502 Example", "x", "0")
    assert values.asns(numbers).to_list() == [64500, 64501, 64502, None, None]
    assert values.countries(series("th", "SG", "THA", "1x", None)).to_list() == [
        "TH", "SG", None, None, None,
    ]  # fmt: skip
    assert values.protocols(series("TCP", "17", "odd"), Role("protocol")).to_list() == [
        "tcp", "udp", "odd",
    ]  # fmt: skip
    digest = "ab" * 20
    assert values.hashes(
        series(digest.upper(), f"sha1:{digest}", ":".join(["AB"] * 20), "ab", "zz" * 16)
    ).to_list() == [digest, digest, digest, None, None]
    assert values.clean(series(" a ", " ", "", None)).to_list() == [
        "a",
        None,
        None,
        None,
    ]


def parts(made: dict[str, pl.Series]) -> dict[str, Any]:
    return {name: one[0] for name, one in made.items() if one[0] is not None}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("192.0.2.1:80", {"address": "192.0.2.1", "port": 80}),
        ("[2001:db8::1]:443", {"address": "2001:db8::1", "port": 443}),
        ("192.0.2.1", {"address": "192.0.2.1"}),
        ("2001:db8::1", {"address": "2001:db8::1"}),
        ("::ffff:192.0.2.1", {"address": "::ffff:192.0.2.1"}),
        ("198.51.100.0/24", {"address": "198.51.100.0"}),
        ("evil.example", {"domain": "evil.example"}),
        ("a" * 32, {"hash": "a" * 32}),
        (
            "http://u@evil.example:81/a?b=@c:1#d",
            {
                "url": "http://u@evil.example:81/a?b=@c:1#d",
                "domain": "evil.example",
                "port": 81,
            },
        ),
        (
            "https://[2001:db8::1]/",
            {"url": "https://[2001:db8::1]/", "address": "2001:db8::1", "port": 443},
        ),
        (
            "ftp://192.0.2.1/x",
            {"url": "ftp://192.0.2.1/x", "address": "192.0.2.1", "port": 21},
        ),
        ("http://0x7f.1/", {"url": "http://0x7f.1/", "port": 80}),
        ("http://2130706433/", {"url": "http://2130706433/", "port": 80}),
        ("n/a", {}),
        ("unknown", {}),
    ],
)  # fmt: skip
def test_a_value_is_told_by_how_it_looks(text: str, found: dict[str, Any]) -> None:
    assert parts(values.anything(series(text))) == found


def test_hosts_are_addresses_or_names() -> None:
    assert parts(values.hosts(series("192.0.2.1:80"))) == {"address": "192.0.2.1"}
    assert parts(values.hosts(series("a.example:80"))) == {"domain": "a.example"}
    assert parts(values.hosts(series("a b"))) == {}
    assert parts(values.prefixes(series("2001:db8::/32"))) == {"address": "2001:db8::"}
    assert parts(values.prefixes(series("x/24"))) == {}
