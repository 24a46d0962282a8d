"""Every Shadowserver report lands, also one that nobody here has heard of."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from serantau.clock import instant
from serantau.errors import ConfigError
from serantau.lane.formats import SCHEMA, Formats, read
from serantau.lane.origin import Origin
from serantau.rules.taxonomy import CLASS_OF

RECEIVED = instant("2026-06-01T00:00:00Z")


def land(
    data: bytes | Path, name: str, formats: Formats | None = None
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    known = formats or Formats()
    head = data if isinstance(data, bytes) else data.read_bytes()
    form = known.recognise(name, head)
    assert form is not None
    assert form.name == "shadowserver"
    pieces = list(read(data, form, Origin("shadowserver", "0" * 64, RECEIVED, name)))
    rows = [row for piece in pieces for row in piece.frame.to_dicts()]
    return rows, [row for piece in pieces for row in piece.rejects.to_dicts()]


def one(report: str, **values: str) -> dict[str, Any]:
    text = ",".join(values) + "\n" + ",".join(f'"{value}"' for value in values.values())
    rows, rejects = land(f"{text}\n".encode(), f"2026-01-02-{report}-x-asn.csv")
    assert rejects == []
    (row,) = rows
    return row


def test_all_samples_are_read_without_a_reject_and_without_a_loss(
    corpora: Path,
) -> None:
    paths = sorted((corpora / "shadowserver").glob("*.csv"))
    assert len(paths) == 31
    for path in paths:
        rows, rejects = land(path, path.name)
        with path.open(newline="") as file:
            records = list(csv.DictReader(file))
        assert rejects == []
        assert len(rows) == len(records)
        for row, record in zip(rows, records, strict=True):
            assert row["report"] == path.stem
            assert row["class"] == CLASS_OF[row["type"]]
            assert row["time"].strftime("%Y-%m-%d %H:%M:%S") == record["timestamp"]
            held = {str(value).casefold() for value in row.values()}
            held |= {v.casefold() for v in json.loads(row["extra"] or "{}").values()}
            for name, value in record.items():
                plain = (value or "").strip().casefold()
                if name not in {"timestamp", "severity"} and plain:
                    assert plain in held or plain.replace(":", "") in held, (
                        name,
                        value,
                    )


def test_each_type_of_the_published_schema_gets_time_machine_and_type(
    corpora: Path, tmp_path: Path
) -> None:
    schema = (corpora / "shadowserver" / "schema" / "reports.json").read_text()
    (tmp_path / SCHEMA).write_text(schema)
    formats = Formats(tmp_path)
    types = set()
    for report, said in json.loads(schema).items():
        values = {name: _sample(name) for name in said["fields"]}
        text = ",".join(values) + "\n" + ",".join(values.values()) + "\n"
        rows, rejects = land(text.encode(), f"2026-01-02-{report}-x.csv", formats)
        assert rejects == []
        (row,) = rows
        assert row["report"] == report
        types.add(row["type"])
        if report not in {"compromised_account"}:
            assert row.get("source_address") or row.get("source_domain"), report
        extra = json.loads(row["extra"])
        for name in said["fields"]:
            assert extra.get(name) == values[name] or _is_held(values[name], row), name
    assert types >= {"infected-system", "ddos-amplifier", "weak-crypto", "brute-force"}


_PLACES = {"ip": "192.0.2.1", "port": "80", "asn": "64500", "geo": "TH"}


def _sample(name: str) -> str:
    if name == "timestamp" or name.endswith("_time") or name == "detected_since":
        return "2026-01-02 03:04:05"
    for end, value in _PLACES.items():
        if name == end or name.endswith(f"_{end}"):
            return value if not name.startswith("dst") else value.replace("80", "81")
    digests = {"md5": 32, "sha1": 40, "sha256": 64}
    for end, length in digests.items():
        if name.endswith(end):
            return "ab" * (length // 2)
    fixed = {"severity": "high", "count": "7", "website": "https://victim.example/"}
    return fixed.get(name, f"{name.replace('_', '-')}.example")


def _is_held(value: str, row: dict[str, Any]) -> bool:
    held = {str(one) for one in row.values()} | {str(one)[:19] for one in row.values()}
    return value in held or value == "high"


def test_a_type_unknown_today_lands_with_what_matters() -> None:
    row = one(
        "scan_quantum",
        timestamp="2026-01-02 03:04:05",
        severity="critical",
        ip="192.0.2.1",
        protocol="tcp",
        port="4242",
        hostname="a.example",
        flux="high",
    )
    assert row["report"] == row["identifier"] == "scan_quantum"
    assert row["type"] == "potentially-unwanted-accessible"
    assert (row["source_address"], row["source_port"]) == ("192.0.2.1", 4242)
    assert (row["severity"], row["protocol"]) == (4, "tcp")
    assert json.loads(row["extra"]) == {"flux": "high"}
    odd = one("new_thing", timestamp="2026-01-02 03:04:05", ip="192.0.2.1")
    assert (odd["report"], odd["type"]) == ("new_thing", "undetermined")


def test_an_ipv6_report_is_the_same_finding_as_its_twin() -> None:
    for six, four in (
        ("scan6_rdp", "scan_rdp"),
        ("event6_sinkhole_http", "event4_sinkhole_http"),
        ("device_id6", "device_id"),
    ):
        row = one(six, timestamp="2026-01-02 03:04:05", ip="2001:db8::1")
        twin = one(four, timestamp="2026-01-02 03:04:05", ip="192.0.2.1")
        assert (row["report"], twin["report"]) == (six, four)
        assert row["identifier"] == twin["identifier"] == four
        assert row["type"] == twin["type"]


def test_the_attacked_is_told_of_an_attack_and_the_bot_of_its_own() -> None:
    ends = {
        "timestamp": "2026-01-02 03:04:05",
        "src_ip": "192.0.2.1",
        "src_port": "1",
        "dst_ip": "198.51.100.1",
        "dst_port": "2",
    }
    bot = one("event4_sinkhole", **ends)
    assert (bot["source_address"], bot["destination_address"]) == (
        "192.0.2.1",
        "198.51.100.1",
    )
    target = one("event4_honeypot_ddos_target", **ends)
    assert (target["source_address"], target["source_port"]) == ("198.51.100.1", 2)
    assert (target["destination_address"], target["destination_port"]) == (
        "192.0.2.1",
        1,
    )


def test_two_machines_in_one_row_are_never_mixed() -> None:
    row = one(
        "spam_url",
        timestamp="2026-01-02 03:04:05",
        url="http://a.example/x",
        ip="192.0.2.1",
        asn="",
        src_ip="198.51.100.1",
        src_asn="64500",
    )
    assert row["source_address"] == "192.0.2.1"
    assert row.get("source_asn") is None
    assert json.loads(row["extra"]) == {"src_ip": "198.51.100.1", "src_asn": "64500"}


def test_what_the_feed_says_of_the_network_stays_when_a_look_up_overrules_it() -> None:
    row = one(
        "scan_rdp",
        timestamp="2026-01-02 03:04:05",
        ip="192.0.2.1",
        asn="64500",
        geo="ZZ",
    )
    assert (row["source_asn"], row["source_country"]) == (64500, "ZZ")
    assert json.loads(row["extra"]) == {"asn": "64500", "geo": "ZZ"}


def test_the_schema_names_types_that_our_table_does_not(tmp_path: Path) -> None:
    said = {
        "new_thing": {"classification.type": "spam", "fields": ["timestamp"]},
        "scan_rdp": {"classification.type": "vulnerable-system"},
        "scan_quantum": {"classification.type": "weak-crypto"},
        "scan6_quantum": {},
    }
    (tmp_path / SCHEMA).write_text(json.dumps(said))
    form = Formats(tmp_path).named("shadowserver")
    text = b"timestamp,ip\n2026-01-02 03:04:05,192.0.2.1\n"

    def kind(report: str) -> str:
        origin = Origin("shadowserver", "0" * 64, RECEIVED, report=report)
        (piece,) = read(text, form, origin)
        return str(piece.frame["type"][0])

    assert kind("new_thing") == "spam"
    # A family gives way to the schema, and an entry of ours does not.
    assert kind("scan_quantum") == kind("scan6_quantum") == "weak-crypto"
    assert kind("scan_rdp") == "potentially-unwanted-accessible"
    (tmp_path / SCHEMA).write_text("<html>")
    with pytest.raises(ConfigError, match="not Shadowserver's schema"):
        Formats(tmp_path)


@pytest.mark.parametrize(
    ("name", "report"),
    [
        ("2015-01-01-dns_openresolver-sample-asn.csv", "dns_openresolver"),
        ("2020-04-03-scan_ics-sample-asn-delayed.csv", "scan_ics"),
        ("2024-07-04-dns_openresolver-123-sample-asn.csv.gz", "dns_openresolver"),
        ("scan_rdp.csv", "scan_rdp"),
        ("folder/2024-07-04-device_id6-x.csv", "device_id6"),
        ("report.csv.bak-1", "report"),
        ("2024-07-04.csv", ""),
    ],
)
def test_the_report_is_told_by_the_files_name(name: str, report: str) -> None:
    assert Formats().named("shadowserver").report(name.removesuffix(".gz")) == report


def test_a_network_on_the_blocklist_is_read_by_its_first_address() -> None:
    network = one(
        "blocklist",
        timestamp="2026-01-02 03:04:05",
        ip="198.51.100.0/24",
        reason="Drop",
    )
    assert network["source_address"] == "198.51.100.0"
    assert json.loads(network["extra"]) == {"ip": "198.51.100.0/24"}
    assert network["identifier"] == "Drop"
    alone = one(
        "blocklist", timestamp="2026-01-02 03:04:05", ip="198.51.100.7", reason="Drop"
    )
    assert (alone["source_address"], alone.get("extra")) == ("198.51.100.7", None)
