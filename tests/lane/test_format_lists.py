"""The public lists are read as their keepers write them."""

import json
from pathlib import Path
from typing import Any

import pytest

from serantau.clock import instant
from serantau.lane.formats import Formats, read
from serantau.lane.origin import Origin

RECEIVED = instant("2026-06-01T00:00:00Z")
FRAME = "#" * 64
A, B, C = "ab" * 32, "cd" * 16, "ef" * 20


def land(name: str, text: str, form: str) -> list[dict[str, Any]]:
    found = Formats().recognise(name, text.encode())
    assert found is not None
    assert found.name == form
    pieces = list(read(text.encode(), found, Origin("list", "0" * 64, RECEIVED, name)))
    assert not any(piece.rejects.height for piece in pieces)
    return [row for piece in pieces for row in piece.frame.to_dicts()]


def told(row: dict[str, Any]) -> dict[str, Any]:
    """What a row says of its own, times as texts, the machine without its side."""
    ours = {"received", "batch", "number", "feed", "class"}
    said = {}
    for name, value in row.items():
        if value is None or name in ours:
            continue
        plain = value
        if name in {"time", "first_seen", "last_seen"}:
            plain = value.strftime("%Y-%m-%d %H:%M:%S")
        if name == "extra":
            plain = json.loads(value)
        said[name.removeprefix("source_")] = plain
    return said


def test_urlhaus_names_the_site_of_each_url() -> None:
    text = (
        f"{FRAME}\n# abuse.ch URLhaus Database Dump (CSV - recent URLs only)        #\n"
        "# Last updated: 2026-05-14 16:02:21 (UTC)                     #\n#\n"
        "# id,dateadded,url,url_status,last_online,threat,tags,urlhaus_link,reporter\n"
        '"1","2026-04-14 16:02:21","http://192.0.2.7:8080/bin.sh","online",'
        '"2026-04-15 16:02:21","malware_download","32-bit,elf","https://u/1","someone"\n'
        '"2","2026-04-14 16:03:00","https://evil.example/x,y?z","offline","",'
        '"malware_download","None","https://u/2/","other"\n'
    )
    first, second = map(told, land("csv_recent", text, "urlhaus"))
    assert first == {
        "time": "2026-04-14 16:02:21",
        "url": "http://192.0.2.7:8080/bin.sh",
        "address": "192.0.2.7",
        "port": 8080,
        "type": "malware-distribution",
        "identifier": "malware_download",
        "last_seen": "2026-04-15 16:02:21",
        "extra": {
            "id": "1",
            "url_status": "online",
            "tags": "32-bit,elf",
            "urlhaus_link": "https://u/1",
            "reporter": "someone",
        },
    }
    assert (second["url"], second["domain"]) == (
        "https://evil.example/x,y?z",
        "evil.example",
    )
    assert "tags" not in second["extra"]


def test_feodo_names_servers_of_botnets() -> None:
    text = (
        f"{FRAME}\n# abuse.ch Feodo Tracker Botnet C2 IP Blocklist (CSV)\n#\n"
        '"first_seen_utc","dst_ip","dst_port","c2_status","last_online","malware"\n'
        '"2026-01-17 07:30:05","192.0.2.1","443","offline","2026-02-18","Dridex"\n'
    )
    (row,) = map(told, land("ipblocklist.csv", text, "feodo"))
    assert row == {
        "time": "2026-01-17 07:30:05",
        "address": "192.0.2.1",
        "port": 443,
        "type": "c2-server",
        "identifier": "offline",
        "malware": "dridex",
        "last_seen": "2026-02-18 00:00:00",
    }
    record = {
        "ip_address": "192.0.2.1",
        "port": 443,
        "status": "offline",
        "hostname": None,
        "as_number": 64500,
        "as_name": "EXAMPLE",
        "country": "TH",
        "first_seen": "2026-01-17 07:30:05",
        "last_online": "2026-02-18",
        "malware": "Dridex",
    }
    (same,) = map(told, land("ipblocklist.json", json.dumps([record]), "feodo-json"))
    assert same == row | {
        "asn": 64500,
        "country": "TH",
        "extra": {"as_name": "EXAMPLE", "as_number": "64500", "country": "TH"},
    }


def test_threatfox_tells_by_its_looks_what_an_indicator_is() -> None:
    names = (
        "first_seen_utc", "ioc_id", "ioc_value", "ioc_type", "threat_type",
        "fk_malware", "malware_alias", "malware_printable", "last_seen_utc",
        "confidence_level", "is_compromised", "reference", "tags", "anonymous",
        "reporter",
    )  # fmt: skip
    values = [
        ("192.0.2.1:8080", "ip:port", "botnet_cc"),
        ("evil.example", "domain", "botnet_cc"),
        ("http://evil.example/a, b", "url", "payload_delivery"),
        (A, "sha256_hash", "payload"),
    ]
    rows = [
        f'"2026-05-01 00:00:0{at}", "{at}", "{value}", "{kind}", "{threat}", "win.x", '
        f'"None", "X", "", "75", "False", "None", "a,b", "0", "me"'
        for at, (value, kind, threat) in enumerate(values)
    ]
    head = "# " + ", ".join(f'"{name}"' for name in names)
    text = "\n".join([FRAME, "# ThreatFox IOCs: recent", FRAME, head, *rows, FRAME, ""])
    found = [told(row) for row in land("recent.csv", text, "threatfox")]
    assert [row["type"] for row in found] == [
        "c2-server",
        "c2-server",
        "malware-distribution",
        "malware-distribution",
    ]
    assert (found[0]["address"], found[0]["port"]) == ("192.0.2.1", 8080)
    assert found[1]["domain"] == "evil.example"
    assert found[2]["url"] == "http://evil.example/a, b"
    assert found[3]["hash"] == A
    assert {row["confidence"] for row in found} == {75}
    assert {row["malware"] for row in found} == {"win.x"}
    assert found[0]["extra"]["threat_type"] == "botnet_cc"
    assert "reference" not in found[0]["extra"]
    document = {
        "1": [{"ioc_value": "192.0.2.1:8080", "threat_type": "botnet_cc",
               "tags": ["a", "b"], "first_seen_utc": "2026-05-01 00:00:00"}],
        "2": [{"ioc_value": A, "threat_type": "payload", "malware": "win.x"}],
    }  # fmt: skip
    same = [told(one) for one in land("json", json.dumps(document), "threatfox-json")]
    assert (same[0]["address"], same[0]["port"], same[0]["type"]) == (
        "192.0.2.1",
        8080,
        "c2-server",
    )
    assert same[0]["extra"]["tags"] == ["a", "b"]
    assert same[1]["hash"] == A


def test_sslbl_names_certificates_and_addresses() -> None:
    (row,) = map(
        told,
        land(
            "sslblacklist.csv",
            f"# Listingdate,SHA1,Listingreason\n2026-05-01 00:00:00,{C},X C&C\n",
            "sslbl-certificates",
        ),
    )
    assert (row["hash"], row["identifier"], row["type"]) == (C, "X C&C", "c2-server")
    (row,) = map(
        told,
        land(
            "sslipblacklist.csv",
            "# Firstseen,DstIP,DstPort\n2026-05-01 00:00:00,192.0.2.1,443\n",
            "sslbl-addresses",
        ),
    )
    assert (row["address"], row["port"], row["type"]) == ("192.0.2.1", 443, "c2-server")


def test_malwarebazaar_keeps_all_digests_of_a_sample() -> None:
    names = (
        "first_seen_utc", "sha256_hash", "md5_hash", "sha1_hash", "reporter",
        "file_name", "signature",
    )  # fmt: skip
    head = "# " + ", ".join(f'"{name}"' for name in names)
    text = (
        f"{FRAME}\n# MalwareBazaar recent malware samples (CSV)\n{head}\n"
        f'"2026-05-01 00:00:00", "{A}", "{B}", "{C}", "me", "a ""b"".exe", "Agent"\n'
    )
    (row,) = map(told, land("recent.csv", text, "malwarebazaar"))
    assert (row["hash"], row["malware"]) == (A, "agent")
    assert row["extra"] == {
        "reporter": "me",
        "file_name": 'a "b".exe',
        "md5_hash": B,
        "sha1_hash": C,
    }


def test_spamhaus_drop_names_networks_by_their_first_address() -> None:
    text = (
        "; Spamhaus DROP List 2026/05/01 - (c) 2026 The Spamhaus Project\n"
        "; Last-Modified: Fri, 01 May 2026 03:04:05 GMT\n"
        "192.0.2.0/24 ; SBL1\n198.51.100.0/25 ; SBL2\n"
    )
    first, second = map(told, land("drop.txt", text, "spamhaus-drop"))
    assert first == {
        "time": "2026-05-01 03:04:05",
        "address": "192.0.2.0",
        "type": "undetermined",
        "identifier": "SBL1",
        "extra": {"network": "192.0.2.0/24"},
    }
    assert second["identifier"] == "SBL2"
    lines = (
        '{"cidr":"192.0.2.0/24","sblid":"SBL1","rir":"apnic"}\n'
        '{"type":"metadata","timestamp":1746000000,"records":1}\n'
    )
    (row,) = map(told, land("drop_v4.json", lines, "spamhaus-drop-json"))
    assert (row["address"], row["identifier"]) == ("192.0.2.0", "SBL1")
    assert row["extra"] == {"rir": "apnic", "cidr": "192.0.2.0/24"}
    lines = '{"asn":64500,"rir":"apnic","domain":"a.example","cc":"TH","asname":"X"}\n'
    (row,) = map(told, land("asndrop.json", lines, "spamhaus-drop-json"))
    assert (row["asn"], row["domain"]) == (64500, "a.example")


def test_lists_of_one_address_a_line_are_told_by_their_names() -> None:
    text = "192.0.2.1\r\n\r\n2001:db8::1\r\n"
    rows = [told(row) for row in land("ssh.txt", text, "blocklist-de")]
    assert [row["address"] for row in rows] == ["192.0.2.1", "2001:db8::1"]
    assert {(row["report"], row["type"], row["identifier"]) for row in rows} == {
        ("ssh", "brute-force", "ssh")
    }
    assert told(land("all.txt", text, "blocklist-de")[0])["type"] == "undetermined"
    assert [row["source_address"] for row in land("ci-badguys.txt", text, "cins")] == [
        "192.0.2.1",
        "2001:db8::1",
    ]


def test_dshield_names_the_networks_that_scan() -> None:
    text = (
        "#\n#  DShield.org Recommended Block List\n"
        "#    updated: Fri May  1 03:04:05 2026\n"
        "Start\tEnd\tNetblock\tAttacks\tName\tCountry\temail\n"
        "192.0.2.0\t192.0.2.255\t24\t2817\tEXAMPLE\tTH\tabuse@example.org\n"
    )
    (row,) = map(told, land("block.txt", text, "dshield-block"))
    assert row == {
        "time": "2026-05-01 03:04:05",
        "address": "192.0.2.0",
        "type": "scanner",
        "count": 2817,
        "extra": {
            "End": "192.0.2.255",
            "Netblock": "24",
            "Name": "EXAMPLE",
            "Country": "TH",
            "email": "abuse@example.org",
        },
    }


def test_ipsum_tells_on_how_many_lists_an_address_is() -> None:
    text = (
        "# IPsum Threat Intelligence Feed\n#\n"
        "# Last update: Fri, 01 May 2026 03:00:29 +0200\n#\n# IP\tnumber\n#\n"
        "192.0.2.1\t10\n"
    )
    (row,) = map(told, land("ipsum.txt", text, "ipsum"))
    assert row == {
        "time": "2026-05-01 01:00:29",
        "address": "192.0.2.1",
        "type": "undetermined",
        "extra": {"lists": "10"},
    }


def test_all_of_the_real_ipsum_is_read(corpora: Path) -> None:
    path = corpora / "lists" / "ipsum.txt.gz"
    found = Formats().recognise(path.name, path.read_bytes()[:4096])
    assert found is not None
    assert found.name == "ipsum"
    origin = Origin("ipsum", "0" * 64, instant("2026-12-01T00:00:00Z"), path.name)
    pieces = list(read(path, found, origin))
    assert sum(piece.frame.height for piece in pieces) > 90_000
    assert not any(piece.rejects.height for piece in pieces)


def test_lists_of_urls_that_phish_name_their_sites() -> None:
    rows = land(
        "openphish.txt",
        "https://a.example/x\nhttp://192.0.2.1/\nb.example\n",
        "phishing-urls",
    )
    assert [told(row).get("domain") for row in rows] == ["a.example", None, "b.example"]
    assert {row["type"] for row in rows} == {"phishing"}
    text = (
        "phish_id,url,phish_detail_url,submission_time,verified,verification_time,"
        "online,target\n1,https://a.example/,http://p/1,2026-05-01T03:04:05+00:00,yes,"
        "2026-05-01T04:00:00+00:00,yes,Other\n"
    )
    (row,) = map(told, land("verified_online.csv", text, "phishtank"))
    assert (row["time"], row["domain"], row["identifier"]) == (
        "2026-05-01 03:04:05",
        "a.example",
        "Other",
    )


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_feed_with_rows_of_any_kind_is_read_line_by_line(end: str) -> None:
    text = end.join(
        ["# mine", "192.0.2.1", "evil.example", "http://a.example/", B, "???", ""]
    )
    form = Formats().named("addresses")
    (piece,) = read(text.encode(), form, Origin("f", "0" * 64, RECEIVED))
    rows = [told(row) for row in piece.frame.to_dicts()]
    assert [row.get("address") for row in rows] == ["192.0.2.1", None, None, None, None]
    assert rows[3]["hash"] == B
    assert rows[4]["extra"] == {"value": "???"}
