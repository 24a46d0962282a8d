"""Range data is read in every form it is published in, and kept by its day."""

import gzip
import ipaddress
import pickle
import struct
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import zstandard

from serantau.errors import BadInput, Conflict, NotFound
from serantau.lane.address import KEY, key_of, parse
from serantau.lane.engine import Here
from serantau.lane.ranges import (
    NOTHING,
    SCHEMA,
    Kind,
    Ranges,
    Shelf,
    Version,
    choose,
    country_of_tld,
    read,
    special,
)

V4 = "1.0.0.0,1.0.0.255,AU\n1.0.1.0,1.0.3.255,cn\n1.0.4.0,1.0.4.255,ZZ\n"
DELEGATED = """2|apnic|20261120|4|19830613|20261119|+1000
apnic|*|ipv4|*|3|summary
apnic|TH|asn|3836|1|19960101|allocated
apnic|TH|ipv4|1.0.128.0|32768|20110408|allocated
apnic|TH|ipv4|1.46.0.0|768|20110408|assigned|A91
apnic||ipv4|1.2.0.0|256||available
apnic|SG|ipv6|2001:db8::|32|20110408|allocated
"""


def put(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def looked_up(ranges: Ranges, address: str) -> int | None:
    key = pl.Series([key_of(ipaddress.ip_address(address))], dtype=KEY)
    row: int | None = ranges.spans.find(key).item()
    return row


def country(frame: pl.DataFrame, address: str) -> str | None:
    ranges = Ranges.of("x", frame)
    row = looked_up(ranges, address)
    return None if row is None else ranges.country[row]


@pytest.mark.parametrize(
    "content",
    [
        V4,
        "\ufeff" + V4,
        "# made today\nfirst,last,country\n" + V4,
        V4.replace("\n", "\r\n"),
        '"network","cc"\n1.0.0.0/24,AU\n"1.0.1.0/24","CN"\n1.0.2.0/23,CN\n',
        "16777216,16777471,AU\n16777472,16778239,CN\n",
        gzip.compress(V4.encode(), mtime=0),
        zstandard.compress(V4.encode()),
    ],
)
def test_csv_is_read_however_it_is_published(
    tmp_path: Path, content: str | bytes
) -> None:
    got = read([put(tmp_path, "a", content)], Kind.COUNTRY)
    assert got.frame.schema == SCHEMA
    assert got.skipped == 0
    assert [
        country(got.frame, one)
        for one in ("1.0.0.0", "1.0.0.255", "1.0.1.0", "1.0.3.255", "1.0.4.1", "::1")
    ] == ["AU", "AU", "CN", "CN", None, None]


def test_ranges_of_networks_keep_their_names(tmp_path: Path) -> None:
    path = put(tmp_path, "a", '1.0.0.0,1.0.0.255,13335,"Cloudflare, Inc."\n')
    frame = read([path], Kind.ASN).frame
    assert frame.select("network", "country", "asn", "name").rows() == [
        ("1.0.0.0-1.0.0.255", None, 13335, "Cloudflare, Inc.")
    ]


def test_of_ranges_that_overlap_the_narrowest_wins(tmp_path: Path) -> None:
    path = put(
        tmp_path,
        "a",
        "10.0.0.0,10.255.255.255,TH\n10.1.0.0,10.1.255.255,SG\n11.0.0.0,11.0.0.1,MY\n"
        "10.1.255.0,10.2.0.255,VN\n",
    )
    frame = read([path], Kind.COUNTRY).frame
    assert [
        country(frame, one)
        for one in ("10.0.255.255", "10.1.0.0", "10.1.255.1", "10.2.0.255", "10.2.1.0")
    ] == ["TH", "SG", "VN", "VN", "TH"]
    assert country(frame, "11.0.0.1") == "MY"


def test_delegated_statistics_tell_countries(tmp_path: Path) -> None:
    path = put(tmp_path, "delegated", DELEGATED)
    frame = read([path], Kind.COUNTRY).frame
    assert frame["network"].to_list() == [
        "1.0.128.0-1.0.255.255",
        "1.46.0.0-1.46.2.255",
        "2001:db8::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
    ]
    with pytest.raises(BadInput, match="countries"):
        read([path], Kind.ASN)


# --- MMDB, as MaxMind describes it ---------------------------------------------------


def encoded(value: Any) -> bytes:
    if isinstance(value, dict):
        body = b"".join(encoded(key) + encoded(one) for key, one in value.items())
        return bytes([7 << 5 | len(value)]) + body
    if isinstance(value, str):
        raw = value.encode()
        if len(raw) < 29:
            return bytes([2 << 5 | len(raw)]) + raw
        return bytes([2 << 5 | 29, len(raw) - 29]) + raw
    if isinstance(value, list):
        return bytes([len(value), 11 - 7]) + b"".join(map(encoded, value))
    raw = int(value).to_bytes(4, "big")
    return bytes([6 << 5 | 4]) + raw


def mmdb(rows: dict[str, dict[str, Any]]) -> bytes:
    """Make an MMDB file of IPv6 (prefix -> record), records of 32 bits."""
    nodes: list[list[Any]] = [[None, None]]
    for prefix, record in rows.items():
        network = ipaddress.ip_network(prefix)
        bits = int(network.network_address)
        length = network.prefixlen + (96 if network.version == 4 else 0)
        at = 0
        for place in range(length):
            side = bits >> (127 - place) & 1
            if place == length - 1:
                nodes[at][side] = record
            elif isinstance(nodes[at][side], int):
                at = nodes[at][side]
            else:
                nodes.append([None, None])
                nodes[at][side] = len(nodes) - 1
                at = len(nodes) - 1
    data, tree = b"", b""
    for node in nodes:
        for one in node:
            if isinstance(one, dict):
                tree += struct.pack(">I", len(nodes) + 16 + len(data))
                data += encoded(one)
            else:
                tree += struct.pack(">I", len(nodes) if one is None else one)
    meta = {
        "node_count": len(nodes),
        "record_size": 32,
        "ip_version": 6,
        "database_type": "Test",
        "languages": ["en"],
        "binary_format_major_version": 2,
        "binary_format_minor_version": 0,
        "build_epoch": 1_700_000_000,
        "description": {"en": "test"},
    }
    return tree + b"\0" * 16 + data + b"\xab\xcd\xefMaxMind.com" + encoded(meta)


def test_mmdb_files_of_every_maker_are_read(tmp_path: Path) -> None:
    path = put(
        tmp_path,
        "c.mmdb",
        mmdb(
            {
                "1.0.0.0/24": {"country": {"iso_code": "AU"}},
                "1.0.1.0/24": {"country_code": "CN"},
                "1.0.2.0/24": {"country": "TH"},
                "1.0.3.0/24": {"registered_country": {"iso_code": "SG"}},
                "1.0.4.0/24": {"continent": "AS"},
                "2001:db8::/32": {"country": "MY"},
            }
        ),
    )
    frame = read([path], Kind.COUNTRY).frame
    assert frame["country"].to_list() == ["AU", "CN", "TH", "SG", "MY"]
    assert country(frame, "1.0.2.9") == "TH"
    path = put(
        tmp_path,
        "a.mmdb",
        mmdb(
            {
                "1.0.0.0/24": {
                    "autonomous_system_number": 13335,
                    "autonomous_system_organization": "Cloudflare",
                },
                "1.0.1.0/24": {"asn": "AS64500", "as_name": "Example"},
                "1.0.2.0/24": {"asn": "AS64501"},
                "1.0.3.0/24": {"name": "no number"},
            }
        ),
    )
    assert read([path], Kind.ASN).frame.select("asn", "name").rows() == [
        (13335, "Cloudflare"),
        (64500, "Example"),
        (64501, None),
    ]


# --- What is no range data -----------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<!doctype html>\n<html><body>Not found</body></html>\n",
        b"1.0.0.0\n1.0.0.1\n",
        b"first,last,cc\n",
        b"1.0.0.255,1.0.0.0,AU\n",
        b"\x1f\x8bnothing",
        b"\x28\xb5\x2f\xfdnothing",
        b"1.0.0.0,1.0.0.255\n",
        b"99999999999999999999999999999999999999999,2,AU\n",
        b"\xab\xcd\xefMaxMind.com",
    ],
)
def test_what_is_no_range_data_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(BadInput):
        read([put(tmp_path, "a", content)], Kind.COUNTRY)


def test_one_bad_line_in_thousands_is_skipped_and_counted(tmp_path: Path) -> None:
    lines = [f"10.{one >> 8}.{one & 255}.0/24,TH\n" for one in range(2500)]
    lines[7] = "10.0.7.0/33,TH\n"
    got = read([put(tmp_path, "a", "".join(lines))], Kind.COUNTRY)
    assert (got.frame.height, got.skipped) == (2499, 1)
    lines[8] = lines[9] = "oops,TH\n"
    with pytest.raises(BadInput, match="3 lines"):
        read([put(tmp_path, "a", "".join(lines))], Kind.COUNTRY)
    bad = DELEGATED + "apnic|TH|ipv4|1.300.0.0|256|20110408|allocated\n"
    with pytest.raises(BadInput, match="1 lines"):
        read([put(tmp_path, "a", bad)], Kind.COUNTRY)


# --- Days ----------------------------------------------------------------------------


def frame_of(tmp_path: Path, code: str, count: int = 4) -> pl.DataFrame:
    lines = [f"10.0.{one}.0/24,{code}\n" for one in range(count)]
    return read([put(tmp_path, "day", "".join(lines))], Kind.COUNTRY).frame


def test_the_version_of_the_events_day_is_chosen(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "ranges")
    assert shelf.on(Kind.COUNTRY, "2026-11-20") is None
    for day, code in (("2026-10-01", "TH"), ("2026-11-01", "SG")):
        version = Version(day, "whois", Kind.COUNTRY)
        assert shelf.add(version, frame_of(tmp_path, code)) == 4
    for day, code in (
        ("2026-09-01", "TH"),
        ("2026-10-01", "TH"),
        ("2026-10-31", "TH"),
        ("2026-11-01", "SG"),
        ("2027-01-01", "SG"),
    ):
        chosen = shelf.on(Kind.COUNTRY, day)
        assert chosen is not None
        assert shelf.load(chosen).country[0] == code
    assert shelf.on(Kind.ASN, "2026-11-20") is None
    assert choose([], "2026-01-01") is None


def test_a_version_is_replaced_by_one_of_its_name_and_day(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "ranges")
    version = Version("2026-10-01", "whois", Kind.COUNTRY)
    shelf.add(version, frame_of(tmp_path, "TH"))
    assert shelf.load(version).country[0] == "TH"
    shelf.add(version, frame_of(tmp_path, "MY"))
    assert shelf.load(version).country[0] == "MY"
    assert shelf.load(version).label == "whois@2026-10-01"
    assert [path.name for path in (tmp_path / "ranges").iterdir()] == [
        "country.whois@2026-10-01.parquet"
    ]


def test_data_that_shrank_is_held_unless_one_insists(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "ranges")
    shelf.add(Version("2026-10-01", "whois", Kind.COUNTRY), frame_of(tmp_path, "TH", 9))
    small, new = frame_of(tmp_path, "TH", 4), Version("2026-10-02", "x", Kind.COUNTRY)
    with pytest.raises(Conflict, match="4 ranges"):
        shelf.add(new, small)
    assert shelf.on(Kind.COUNTRY, "2026-10-03") != new
    shelf.add(new, small, anyway=True)
    assert shelf.on(Kind.COUNTRY, "2026-10-03") == new


@pytest.mark.parametrize(
    ("day", "name"), [("2026-13-01", "a"), ("20261101", "a"), ("2026-11-01", "../a")]
)
def test_a_name_or_day_that_is_none_is_refused(
    tmp_path: Path, day: str, name: str
) -> None:
    with pytest.raises(BadInput, match="no name and day"):
        Shelf(tmp_path).add(Version(day, name, Kind.COUNTRY), frame_of(tmp_path, "TH"))


def test_old_versions_are_thinned_to_one_a_month(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "ranges")
    frame = frame_of(tmp_path, "TH")
    days = ["2026-01-01", "2026-01-15", "2026-02-03", "2026-02-04", "2026-11-01"]
    for day in [*days, "2026-11-02"]:
        shelf.add(Version(day, "whois", Kind.COUNTRY), frame)
    removed = shelf.thin(Kind.COUNTRY, "2026-11-20")
    assert [one.day for one in removed] == ["2026-01-15", "2026-02-04"]
    assert [one.day for one in shelf.versions(Kind.COUNTRY)] == [
        "2026-01-01",
        "2026-02-03",
        "2026-11-01",
        "2026-11-02",
    ]


def test_only_a_few_versions_stay_in_memory_and_any_can_be_sent(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "ranges")
    days = [f"2026-10-{day:02}" for day in range(1, 8)]
    for day in days:
        shelf.add(Version(day, "whois", Kind.COUNTRY), frame_of(tmp_path, "TH"))
    files = {one: Here(shelf.file(one)) for one in shelf.stamps() if one.day > days[1]}
    sent = pickle.loads(pickle.dumps(Shelf(files=files)))  # noqa: S301
    for version in shelf.versions(Kind.COUNTRY):
        shelf.load(version)
        shelf.load(version)
    assert len(shelf._recent) < len(days)
    assert sent.folder is None
    assert [one.day for one in sent.versions(Kind.COUNTRY)] == days[2:]
    assert looked_up(sent.load(sent.on(Kind.COUNTRY, "2026-10-04")), "10.0.1.1") == 1
    with pytest.raises(NotFound):
        sent.load(Version("2026-10-01", "whois", Kind.COUNTRY))
    with pytest.raises(NotFound):
        shelf.load(Version("2026-01-01", "whois", Kind.COUNTRY))


def test_nothing_is_found_where_nothing_was_loaded() -> None:
    assert looked_up(NOTHING, "1.2.3.4") is None


# --- Special ranges ------------------------------------------------------------------


def purpose(address: str, *, exercise: bool = False) -> tuple[str, bool] | None:
    known = special(exercise=exercise)
    row = known.spans.find(
        pl.Series([key_of(ipaddress.ip_address(address))], dtype=KEY)
    ).item()
    return None if row is None else (known.name[row], known.nobody[row])


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("10.1.2.3", ("private-use", True)),
        ("172.31.255.255", ("private-use", True)),
        ("172.32.0.0", None),
        ("100.127.0.1", ("shared-address-space", True)),
        ("192.0.0.1", ("ietf-protocol-assignments", True)),
        ("192.0.0.9", ("port-control-protocol-anycast", False)),
        ("255.255.255.255", ("limited-broadcast", True)),
        ("255.255.255.254", ("reserved", True)),
        ("8.8.8.8", None),
        ("2001:db8::1", ("documentation", True)),
        ("fd00::1", ("unique-local", True)),
        ("2001:200::1", None),
        ("2600::1", None),
    ],
)
def test_special_ranges_are_those_of_the_registries(
    address: str, told: tuple[str, bool] | None
) -> None:
    assert purpose(address) == told


def test_what_python_calls_private_is_special_and_nobodys() -> None:
    for text in ("0.1.2.3", "127.0.0.1", "169.254.1.1", "192.168.1.1", "198.19.0.1"):
        assert ipaddress.ip_address(text).is_private
        found = purpose(text)
        assert found is not None
        assert found[1]


def test_an_exercise_plays_with_documentation_ranges() -> None:
    assert purpose("203.0.113.5") == ("documentation", True)
    assert purpose("203.0.113.5", exercise=True) is None
    assert purpose("10.0.0.1", exercise=True) == ("private-use", True)


def test_top_level_domains_that_are_no_codes_are_known() -> None:
    assert country_of_tld()["uk"] == "GB"
    assert country_of_tld()["ไทย".encode("idna").decode()] == "TH"


# --- Real data -----------------------------------------------------------------------


def test_real_range_data_tells_what_its_lines_say(corpora: Path) -> None:
    folder = corpora / "ip"
    for kind, names in (
        (Kind.COUNTRY, ("geo-whois-asn-country-ipv4", "geo-whois-asn-country-ipv6")),
        (Kind.ASN, ("asn-ipv4", "asn-ipv6")),
    ):
        paths = [folder / f"{name}.csv.gz" for name in names]
        got = read(paths, kind)
        assert got.skipped == 0
        assert got.frame.height > 500_000
        ranges = Ranges.of("x", got.frame)
        assert (ranges.spans.first <= ranges.spans.last).all()
        assert (ranges.spans.first > ranges.spans.last.shift(1)).all()
        lines = gzip.decompress(paths[0].read_bytes()).decode().splitlines()[::5000]
        for line in lines:
            first, _, value = line.split(",")[:3]
            row = looked_up(ranges, first)
            assert row is not None
            told = ranges.country[row] if kind is Kind.COUNTRY else ranges.asn[row]
            assert str(told) == value
        assert (
            parse(got.frame["network"].str.split("-").list.first())["lo"].null_count()
            == 0
        )
