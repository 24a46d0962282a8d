"""A format is proposed by what the columns of a file look like."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from serantau.clock import instant
from serantau.errors import BadInput
from serantau.lane.formats import Formats
from serantau.lane.formats.guess import Guess, guess

RECEIVED = instant("2026-06-01T00:00:00Z")


def look(text: str | bytes, name: str = "") -> Guess:
    data = text.encode() if isinstance(text, str) else text
    return guess(data, name=name, received=RECEIVED)


def roles(made: Guess) -> dict[str, str]:
    return {name: role.to for name, role in made.form.columns.items()}


def first(made: Guess) -> dict[str, Any]:
    return made.preview.frame.row(0, named=True)


def test_columns_are_told_by_their_values_and_then_by_their_names() -> None:
    made = look(
        "when,attacker,src_port,victim,victim_port,cc,asn,url,digest,proto,level,"
        "confidence,hits,rule,family,note\n"
        + "2026-05-01 00:00:00,192.0.2.1,4242,198.51.100.1,22,TH,64500,"
        + f"http://a.example/,{'ab' * 32},tcp,high,75,12,SSH,Mirai,some\n" * 1
        + "2026-05-02 00:00:00,192.0.2.2,4243,198.51.100.2,22,SG,64501,"
        + f"http://b.example/,{'cd' * 32},udp,low,80,1,SSH,Mirai,other\n"
    )
    assert roles(made) == {
        "when": "time",
        "attacker": "source_address",
        "src_port": "source_port",
        "victim": "destination_address",
        "victim_port": "destination_port",
        "cc": "source_country",
        "asn": "source_asn",
        "url": "source_url",
        "digest": "hash",
        "proto": "protocol",
        "level": "severity",
        "confidence": "confidence",
        "hits": "count",
        "rule": "identifier",
        "family": "malware",
    }
    assert made.preview.frame.height == 2
    assert first(made)["destination_port"] == 22
    assert json.loads(first(made)["extra"])["note"] == "some"
    assert any("RSIT" in note for note in made.notes)
    assert any("time zone" in note for note in made.notes)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_what_parts_columns_is_found(delimiter: str) -> None:
    rows = ["ip,port,note", "192.0.2.1,80,a b", "192.0.2.2,81,c d"]
    made = look("\n".join(row.replace(",", delimiter) for row in rows) + "\n")
    assert made.form.delimiter == delimiter
    assert made.preview.frame["source_port"].to_list() == [80, 81]


def test_local_times_and_numbers_are_found_and_doubts_told() -> None:
    made = look(
        "seen;ip;score\n"
        "03/04/2569 10:00;192.0.2.1;0,5\n04/05/2569 11:00;192.0.2.2;0,9\n"
    )
    role = made.form.columns["seen"]
    assert (role.to, role.forms, role.era) == ("time", ("%d/%m/%Y %H:%M",), "buddhist")
    assert first(made)["time"].isoformat() == "2026-04-03T10:00:00+00:00"
    assert first(made)["confidence"] == 50
    assert any("day first or its month" in note for note in made.notes)
    sure = look("seen,ip\n13/04/2026,192.0.2.1\n14/05/2026,192.0.2.2\n")
    assert not any("day first" in note for note in sure.notes)


def test_an_hour_of_the_day_is_no_address() -> None:
    made = look(
        "date,time,src_ip\n"
        + "2026-05-01,10:20:30,192.0.2.1\n"
        + "2026-05-02,10:20:31,192.0.2.2\n"
    )
    assert roles(made) == {"date": "time", "src_ip": "source_address"}
    assert any(note.startswith("time is an hour") for note in made.notes)


def test_a_file_that_tells_no_time_is_told_so() -> None:
    made = look("day,ip\nMonday,192.0.2.1\nTuesday,192.0.2.2\n")
    assert any("moment the file comes" in note for note in made.notes)
    named = look("day,ip\nMay 01 2026,192.0.2.1\nMay 02 2026,192.0.2.2\n")
    assert roles(named) == {"day": "time", "ip": "source_address"}
    assert first(named)["time"].isoformat() == "2026-05-01T00:00:00+00:00"


def test_headers_of_the_region_are_understood() -> None:
    made = look(
        "เวลา;หมายเลขไอพี;พอร์ต;ประเทศ\n"
        + "01/05/2569 10:00;192.0.2.1;443;TH\n"
        + "02/05/2569 10:00;192.0.2.2;80;TH\n"
    )
    assert roles(made) == {
        "เวลา": "time",
        "หมายเลขไอพี": "source_address",
        "พอร์ต": "source_port",
        "ประเทศ": "source_country",
    }
    assert first(made)["time"].isoformat() == "2026-05-01T10:00:00+00:00"


def test_two_times_are_the_first_and_the_last() -> None:
    made = look(
        "time,first_seen,last_seen,ip\n"
        "2026-05-01 00:00:00,2026-04-01 00:00:00,2026-05-02 00:00:00,192.0.2.1\n"
    )
    assert roles(made) | {"ip": ""} == {
        "time": "time",
        "first_seen": "first_seen",
        "last_seen": "last_seen",
        "ip": "",
    }


def test_a_file_without_a_header_is_told_so_or_has_it_in_a_comment() -> None:
    made = look("2026-05-01,192.0.2.1:80,x\n2026-05-02,192.0.2.2:81,y\n")
    assert roles(made) == {"column_1": "time", "column_2": "source_endpoint"}
    assert any("no header" in note for note in made.notes)
    made = look(
        "# a list\n# day,ip,what\n2026-05-01,192.0.2.1,x\n2026-05-02,192.0.2.2,y\n"
    )
    assert roles(made) == {"day": "time", "ip": "source_address"}
    assert made.preview.frame.height == 2
    made = look('# "ip", "what"\n"192.0.2.1", "x, y"\n"192.0.2.2", "z"\n')
    assert made.form.skip_space
    assert made.preview.frame.height == 2


def test_rows_that_lack_the_last_columns_are_allowed_for() -> None:
    made = look("ip,a,b\n192.0.2.1,x\n192.0.2.2,y\n192.0.2.3,z\n")
    assert made.form.short == 1
    assert made.preview.rejects.height == 0


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("192.0.2.1\n192.0.2.2\n", "source_address"),
        ("192.0.2.0/24\n198.51.100.0/25\n", "source_address"),
        ("http://a.example/x,y\nhttp://b.example/\n", "source_url"),
        ("a.example\nb.example\n", "source_domain"),
        (f"{'ab' * 16}\n{'cd' * 16}\n", "hash"),
    ],
)
def test_one_value_a_line_is_told_by_how_it_looks(text: str, column: str) -> None:
    made = look(text)
    assert made.form.cut == "lines"
    assert made.preview.frame[column].null_count() == 0


def test_json_is_looked_at_by_path() -> None:
    records = [
        {"ts": 1767323045, "src": {"ip": "192.0.2.1"}, "dst": [{"ip": "198.51.100.1"}]},
        {"ts": 1767323046, "src": {"ip": "192.0.2.2"}, "dst": [{"ip": "198.51.100.2"}]},
    ]
    expected = {
        "ts": "time",
        "src.ip": "source_address",
        "dst.0.ip": "destination_address",
    }
    for text, rows in (
        ("\n".join(map(json.dumps, records)), ""),
        (json.dumps(records, indent=1), ""),
        (json.dumps({"n": 2, "data": records}), "data"),
        (json.dumps({"1": records[:1], "2": records[1:]}), "*"),
    ):
        made = look(text)
        assert made.form.rows == rows
        assert roles(made) == expected
        assert made.preview.frame.height == 2
        assert first(made)["destination_address"] == "198.51.100.1"


def test_a_cut_off_beginning_of_a_packed_file_is_enough() -> None:
    text = "ip,port\n" + "".join(f"192.0.2.{at % 250},{at}\n" for at in range(5000))
    made = look(gzip.compress(text.encode())[:3000], "list.csv.gz")
    assert roles(made) == {"ip": "source_address", "port": "source_port"}
    assert made.preview.rejects.height == 0


def test_nothing_to_guess_from_is_told() -> None:
    for text in ("", "\n\n", "# only\n# comments\n", "{}"):
        with pytest.raises(BadInput, match="no row"):
            look(text)
    made = look("name,colour\nx,red\ny,blue\n")
    assert any("No column looks like" in note for note in made.notes)
    assert made.preview.frame.height == 0
    made = look("{broken\n")
    assert any("No column looks like" in note for note in made.notes)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a" * 200_000, "lines of more than 131,072 letters"),
        ("," * 5_000 + "\n", "5,001 columns"),
        (json.dumps({f"k{at}": 1 for at in range(5_000)}), "5,000 columns"),
    ],
)
def test_what_is_too_wide_to_be_looked_at_is_told(text: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        look(text)


def test_the_proposal_is_a_format_that_a_node_can_keep(tmp_path: Path) -> None:
    made = look("ไอพี,พอร์ต\n192.0.2.1,80\n192.0.2.2,81\n")
    (tmp_path / "ours.toml").write_text(made.text)
    assert Formats(tmp_path).named("ours").columns == made.form.columns


def test_real_reports_are_guessed_well_enough_to_begin_with(corpora: Path) -> None:
    for path in sorted((corpora / "shadowserver").glob("*.csv")):
        made = guess(path.read_bytes(), name=path.name, received=RECEIVED)
        assert "source_address" in made.preview.frame.columns
        assert made.preview.frame["source_address"].null_count() == 0
        assert made.preview.rejects.height == 0
