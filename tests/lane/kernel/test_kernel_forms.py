"""What becomes of rows: one form, once."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from itertools import permutations
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels import DAY, judged, rows, run
from serantau.lane import fingerprint, kernel
from serantau.lane.frame import EVENTS
from serantau.lane.reference import Reference


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


@pytest.mark.parametrize("column", ["source_url", "source_domain"])
def test_rows_get_one_form_whichever_of_them_comes_first(column: str) -> None:
    plain, odd = ("http://a.th/", "hxxp://b[.]th:8080/x")
    if column == "source_domain":
        plain, odd = ("a.th", "b[.]th")
    forms = {
        plain: plain,
        odd: odd.replace("xx", "tt").replace("[.]", "."),
        None: None,
    }
    for order in permutations(forms):
        done = run(
            *({column: text, "source_port": at} for at, text in enumerate(order))
        )
        assert done.events[column].to_list() == [forms[text] for text in order]


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


def test_a_clock_without_its_zone_is_no_fault() -> None:
    assert run({"time": DAY + timedelta(hours=14)}).rejects.height == 0


def test_no_rows_give_no_rows() -> None:
    assert kernel.run(rows({})[:0], Reference()).events.schema == EVENTS


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
