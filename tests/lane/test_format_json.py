"""Records in JSON become rows, and what no column holds stays the JSON it was."""

import io
import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serantau.clock import instant
from serantau.errors import BadInput, TooLarge
from serantau.lane.formats import Format, Formats, Limits, read, read_form
from serantau.lane.origin import Origin

RECEIVED = instant("2026-06-01T00:00:00Z")
ORIGIN = Origin("feed", "0" * 64, RECEIVED, "x.json")
FORM = read_form(
    'cut = "json"\n[columns]\n"a.ip" = "source_address"\n"a.port" = "source_port"\n'
    't = "time"\n"n.0" = "identifier"\n',
    "mine",
    "mine.toml",
)


def run(
    data: bytes | str, form: Format = FORM, **limits: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    whole = data.encode() if isinstance(data, str) else data
    pieces = list(read(whole, form, ORIGIN, limits=Limits(**limits)))
    return (
        [row for piece in pieces for row in piece.frame.to_dicts()],
        [row for piece in pieces for row in piece.rejects.to_dicts()],
    )


def extra(row: dict[str, Any]) -> Any:
    return json.loads(row["extra"]) if row.get("extra") else {}


def known(record: Any, name: str) -> list[dict[str, Any]]:
    text = json.dumps(record)
    form = Formats().recognise("some.json", text.encode())
    assert form is not None
    assert form.name == name
    rows, rejects = run(text, form)
    assert rejects == []
    return rows


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=5,
)  # fmt: skip


@given(
    records=st.lists(
        st.dictionaries(
            st.text(st.characters(codec="ascii", categories=["Ll"]), max_size=3).filter(
                lambda key: key not in {"a", "t", "n"}
            ),
            VALUES,
            max_size=4,
        ),
        min_size=1,
        max_size=6,
    ),
    block=st.sampled_from([20, 10_000]),
)
def test_what_no_role_takes_is_kept_as_it_was(records: list[Any], block: int) -> None:
    lines = [json.dumps({"a": {"ip": "192.0.2.1"}, **one}) for one in records]
    rows, rejects = run("\n".join(lines) + "\n", block_bytes=block)
    assert rejects == []
    assert [extra(row) for row in rows] == records
    assert {row["source_address"] for row in rows} == {"192.0.2.1"}


def test_lines_a_list_and_a_document_are_the_same_rows() -> None:
    records = [
        {"a": {"ip": f"192.0.2.{at}", "x": 1}, "t": 1767323045} for at in range(3)
    ]
    inside = read_form(
        'cut = "json"\nrows = "data.rows"\n[columns]\n"a.ip" = "source_address"\n'
        't = "time"\n', "mine", "mine.toml",
    )  # fmt: skip
    expected, _ = run("\n".join(json.dumps(one) for one in records))
    assert [extra(row) for row in expected] == [{"a": {"x": 1}}] * 3
    for data, form in (
        (json.dumps(records), FORM),
        (json.dumps(records, indent=2), FORM),
        (json.dumps({"data": {"rows": records}}), inside),
        (json.dumps({"data": {"rows": records}}, indent=1), inside),
    ):
        rows, rejects = run(data, form)
        assert rejects == []
        assert [row["source_address"] for row in rows] == [
            row["source_address"] for row in expected
        ]
        assert [extra(row) for row in rows] == [extra(row) for row in expected]


def test_lines_that_are_no_json_are_told_and_the_others_read() -> None:
    good = '{"a":{"ip":"192.0.2.1"}}'
    rows, rejects = run(f'{good}\n\n{{"a":\n[1]\n"x"\n{good}\n')
    assert len(rows) == 2
    assert [(one["line"], one["raw"]) for one in rejects] == [
        (3, '{"a":'),
        (4, "[1]"),
        (5, '"x"'),
    ]
    assert rejects[0]["reason"].startswith("no JSON")
    assert rejects[1]["reason"] == "a JSON value that is no object"
    # A first line that is none does not make a document of the rest.
    rows, rejects = run(f'{{"a"\n{good}\n{good}\n')
    assert (len(rows), len(rejects)) == (2, 1)


def test_a_value_that_cannot_be_is_rejected_with_the_record_as_it_came() -> None:
    record = {"a": {"ip": "192.0.2.1", "port": 99999}, "t": "soon"}
    for text in (json.dumps([record]), json.dumps(record) + "\n" + json.dumps(record)):
        _, rejects = run(text)
        assert (rejects[0]["line"], rejects[0]["column"]) == (1, "a.port")
        assert json.loads(rejects[0]["raw"]) == record


def test_a_list_of_several_stays_whole_beside_its_first() -> None:
    rows, _ = run('{"n":["x"]}\n{"n":["x","y"]}\n{"n":[]}\n{"n":[{"z":1}]}\n')
    assert [row["identifier"] for row in rows] == ["x", "x", None, None]
    assert [extra(row) for row in rows] == [
        {},
        {"n": ["x", "y"]},
        {},
        {"n": [{"z": 1}]},
    ]


def test_a_broken_document_and_a_huge_one_are_refused() -> None:
    with pytest.raises(BadInput, match="no JSON"):
        run('[{"a":1},')
    with pytest.raises(TooLarge, match="more than 1000 bytes"):
        run(json.dumps([{"a": "x" * 100}] * 20), document_bytes=1000)
    assert run("[]") == ([], [])
    assert run("   ") == ([], [])
    deep = "[" * 5000 + "]" * 5000
    with pytest.raises(BadInput, match="no JSON"):
        run(deep)


def test_records_that_are_no_reports_are_counted_and_left_out() -> None:
    form = Formats().named("suricata")
    flow, alert = {"event_type": "flow"}, {"event_type": "alert", "src_ip": "192.0.2.1"}
    text = json.dumps(flow) + "\n" + json.dumps(alert) + "\n"
    (piece,) = read(text.encode(), form, ORIGIN)
    assert (piece.frame.height, piece.rejects.height, piece.skipped) == (1, 0, 1)


# --- Formats -------------------------------------------------------------------------


def test_an_n6_event_is_a_row_for_each_address() -> None:
    event = {
        "id": "0" * 32,
        "source": "some.feed",
        "restriction": "need-to-know",
        "confidence": "medium",
        "category": "bots",
        "time": "2026-05-01T03:04:05Z",
        "address": [{"ip": "192.0.2.1", "cc": "TH", "asn": 64500}, {"ip": "192.0.2.2"}],
        "fqdn": "a.example",
        "proto": "tcp",
        "dport": 80,
        "dip": "198.51.100.1",
        "name": "Mirai",
        "count": 3,
    }
    first, second = known(event, "n6")
    assert (first["source_address"], second["source_address"]) == (
        "192.0.2.1",
        "192.0.2.2",
    )
    assert (first["source_asn"], second["source_asn"]) == (64500, None)
    assert (first["number"], second["number"]) == (1, 2)
    for row in (first, second):
        assert row["type"] == "infected-system"
        assert (row["tlp"], row["confidence"], row["count"]) == (2, 50, 3)
        assert (row["malware"], row["report"]) == ("mirai", "some.feed")
        assert extra(row)["address"] == event["address"]
        assert extra(row)["category"] == "bots"
    (alone,) = known({**event, "address": [{"ip": "192.0.2.1", "rdns": "x"}]}, "n6")
    assert extra(alone)["address"] == [{"rdns": "x"}]
    (named,) = known({k: v for k, v in event.items() if k != "address"}, "n6")
    assert (named["source_domain"], named.get("source_address")) == ("a.example", None)


def test_an_idea_record_is_a_row_for_each_source() -> None:
    record = {
        "Format": "IDEA0",
        "ID": "4390fc3f-c753-4a3e-bc83-1b44f24baf75",
        "DetectTime": "2026-05-01T03:04:05+02:00",
        "Category": ["Attempt.Login", "Test"],
        "Confidence": 0.9,
        "ConnCount": 633,
        "Description": "SSH dictionary attack",
        "Source": [
            {
                "Type": ["Scan"],
                "IP4": ["192.0.2.1", "192.0.2.2"],
                "Proto": ["tcp", "ssh"],
            },
            {"IP6": ["2001:db8::/32"], "Port": [22]},
        ],
        "Target": [{"IP4": ["198.51.100.1"], "Port": [22], "Hostname": ["t.example"]}],
        "Node": [{"Name": "org.example.kippo", "SW": ["Kippo"]}],
    }
    rows = known(record, "idea")
    assert [row["source_address"] for row in rows] == [
        "192.0.2.1",
        "192.0.2.2",
        "2001:db8::",
    ]
    assert {row["type"] for row in rows} == {"brute-force"}
    assert {row["destination_address"] for row in rows} == {"198.51.100.1"}
    assert {row["destination_port"] for row in rows} == {22}
    assert (rows[0]["protocol"], rows[0]["confidence"], rows[0]["count"]) == (
        "tcp",
        90,
        633,
    )
    assert rows[0]["report"] == "org.example.kippo"
    assert rows[0]["time"].isoformat() == "2026-05-01T01:04:05+00:00"
    for row in rows:
        assert extra(row)["Source"] == record["Source"]
        assert extra(row)["Category"] == ["Attempt.Login", "Test"]
    (row,) = known({**record, "Source": [], "Category": ["Vulnerable.Open"]}, "idea")
    assert (row["source_address"], row["source_port"]) == ("198.51.100.1", 22)
    assert row["type"] == "potentially-unwanted-accessible"
    assert "Source" not in extra(row)
    assert "Target" not in extra(row)
    (bare,) = known({"Format": "IDEA0", "Category": "Other"}, "idea")
    assert bare["type"] == "other"


def test_an_intelmq_event_is_read_flat_and_nested() -> None:
    flat = {
        "time.source": "2026-05-01T03:04:05+00:00",
        "source.ip": "192.0.2.1",
        "source.port": 22,
        "source.asn": 64500,
        "source.geolocation.cc": "TH",
        "destination.fqdn": "a.example",
        "protocol.transport": "tcp",
        "classification.type": "infected-system",
        "classification.identifier": "mirai",
        "malware.name": "mirai",
        "feed.name": "Some Feed",
        "feed.accuracy": 80.0,
        "extra.tag": "x",
        "raw": "Zm9v",
    }
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        *path, last = name.split(".")
        inner = nested
        for key in path:
            inner = inner.setdefault(key, {})
        inner[last] = value
    for record in (flat, nested):
        (row,) = known(record, "intelmq")
        assert (row["source_address"], row["source_port"]) == ("192.0.2.1", 22)
        assert (row["type"], row["identifier"]) == ("infected-system", "mirai")
        assert (row["destination_domain"], row["confidence"]) == ("a.example", 80)
        assert row["report"] == "Some Feed"
        assert extra(row)["raw"] == "Zm9v"
    assert extra(known(nested, "intelmq")[0])["tag"] == "x"


def test_an_xarf_report_is_read_in_its_fourth_version_and_before() -> None:
    (row,) = known(
        {
            "xarf_version": "4.0.0",
            "report_id": "x",
            "timestamp": "2026-05-01T03:04:05Z",
            "reporter": {"org": "Some"},
            "source_identifier": "192.0.2.1",
            "source_port": 45621,
            "category": "connection",
            "type": "login_attack",
            "destination_ip": "198.51.100.1",
            "destination_port": 22,
            "protocol": "tcp",
            "attempt_count": 2847,
            "confidence": 0.7,
            "evidence": [{"content_type": "text/plain", "payload": "eA=="}],
        },
        "xarf",
    )
    assert (row["source_address"], row["source_port"]) == ("192.0.2.1", 45621)
    assert (row["type"], row["count"], row["confidence"]) == ("brute-force", 2847, 70)
    assert extra(row)["evidence"] == [{"content_type": "text/plain", "payload": "eA=="}]
    assert extra(row)["type"] == "login_attack"
    (row,) = known(
        {
            "Version": "3",
            "ReporterInfo": {"ReporterOrg": "Some"},
            "Disclosure": True,
            "Report": {
                "ReportClass": "Activity",
                "ReportType": "Spam",
                "Date": "2026-05-01T03:04:05Z",
                "SourceIp": "192.0.2.1",
                "SourcePort": 54321,
                "DestinationPort": 25,
                "SmtpMailFromAddress": "a@example.org",
            },
        },
        "xarf-3",
    )
    assert (row["source_address"], row["type"]) == ("192.0.2.1", "spam")
    assert extra(row)["Report"]["SmtpMailFromAddress"] == "a@example.org"


def test_cowries_log_gives_what_somebody_did() -> None:
    lines: list[dict[str, Any]] = [
        {"eventid": "cowrie.session.connect", "src_port": 4242, "dst_port": 2222},
        {"eventid": "cowrie.client.kex", "hassh": "x"},
        {"eventid": "cowrie.login.failed", "username": "root", "password": "x"},
        {"eventid": "cowrie.session.file_download", "shasum": "ab" * 32},
    ]
    common = {
        "timestamp": "2026-05-01T03:04:05.123456Z",
        "src_ip": "192.0.2.1",
        "sensor": "s1",
    }
    text = "".join(json.dumps({**common, **line}) + "\n" for line in lines)
    form = Formats().recognise("cowrie.json.2026-05-01", text.encode())
    assert form is not None
    assert form.name == "cowrie"
    (piece,) = read(text.encode(), form, ORIGIN)
    rows = piece.frame.to_dicts()
    assert piece.skipped == 1
    assert [row["type"] for row in rows] == [
        "scanner",
        "brute-force",
        "system-compromise",
    ]
    assert {row["report"] for row in rows} == {"s1"}
    assert extra(rows[1])["username"] == "root"
    assert rows[2]["hash"] == "ab" * 32


def test_suricatas_alerts_are_read() -> None:
    (row,) = known(
        {
            "timestamp": "2026-05-01T03:04:05.123456+0700",
            "flow_id": 1,
            "event_type": "alert",
            "src_ip": "192.0.2.1",
            "src_port": 4242,
            "dest_ip": "198.51.100.1",
            "dest_port": 80,
            "proto": "TCP",
            "alert": {"signature_id": 2001, "signature": "ET SCAN x", "severity": 1},
            "http": {"hostname": "a.example", "url": "/x"},
        },
        "suricata",
    )
    assert row["time"].isoformat() == "2026-04-30T20:04:05.123456+00:00"
    assert (row["type"], row["identifier"], row["severity"]) == (
        "ids-alert",
        "ET SCAN x",
        3,
    )
    assert (row["protocol"], row["destination_domain"]) == ("tcp", "a.example")
    assert extra(row) == {
        "flow_id": 1,
        "event_type": "alert",
        "alert": {"signature_id": 2001},
        "http": {"url": "/x"},
    }


def test_our_own_names_are_read_as_csv_json_and_arrow() -> None:
    frame = pl.DataFrame(
        {
            "time": pl.Series([RECEIVED]).cast(pl.Datetime("us", "UTC")),
            "source_address": ["192.0.2.1"],
            "source_port": [443],
            "type": ["phishing"],
            "tags": [["a", "b"]],
            "inner": [{"x": 1}],
            "raw": [b"\x01"],
        }
    )
    stream, file = io.BytesIO(), io.BytesIO()
    frame.write_ipc_stream(stream)
    frame.write_ipc(file)
    plain = frame.drop("tags", "inner", "raw")
    formats = Formats()
    for name, data in (
        ("x.arrows", stream.getvalue()),
        ("x.arrow", file.getvalue()),
        ("x.json", frame.drop("raw").write_ndjson().encode()),
        ("x.csv", plain.write_csv().encode()),
    ):
        form = formats.recognise(name, data)
        assert form is not None
        assert form.name.startswith("serantau-")
        ((row,), rejects) = run(data, form)
        assert rejects == []
        assert (row["source_address"], row["source_port"]) == ("192.0.2.1", 443)
        assert (row["type"], row["class"]) == ("phishing", "fraud")
        assert row["time"] == row["received"]
        if "arrow" in name:
            assert extra(row) == {
                "tags": '["a","b"]',
                "inner": '{"x":1}',
                "raw": "01",
                "type": "phishing",
            }
    form = formats.named("serantau-arrow")
    with pytest.raises(BadInput, match="no Arrow"):
        run(b"ARROW1 is not enough", form)
    with pytest.raises(TooLarge):
        run(stream.getvalue(), form, document_bytes=10)
    assert run(b"", form) == ([], [])
    bad = frame.with_columns(source_port=pl.lit(70_000))
    out = io.BytesIO()
    bad.write_ipc_stream(out)
    _, (reject,) = run(out.getvalue(), form)
    assert (reject["line"], reject["column"], reject["value"]) == (
        0,
        "source_port",
        "70000",
    )
    assert json.loads(reject["raw"])["source_address"] == "192.0.2.1"
