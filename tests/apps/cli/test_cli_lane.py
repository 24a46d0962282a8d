"""`serantau lane` and `serantau events`: from a file to the one who must act."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import shutil
from pathlib import Path

import polars as pl
import pytest

from commands import Run, opened
from serantau.apps.cli.main import COMMANDS
from serantau.desk.lane_ask import archive_of
from serantau.lane.frame import EVENTS

FORM = """
title = "A format of our own"
[columns]
seen = "time"
ip = "source_address"
port = "source_port"
name = "source_domain"
note = "identifier"
[constants]
type = "scanner"
"""
ROWS = """seen,ip,port,name,note
2026-03-01T10:00:00Z,198.18.0.1,22,a.example.th,=cmd|calc
2026-03-01T11:00:00Z,198.18.0.2,22,b.example.th,plain
2026-03-02T10:00:00Z,198.18.1.1,80,,plain
2026-03-02T10:00:00Z,1.2.3,80,,bad
"""


@pytest.fixture
def file(home: Path, tmp_path: Path) -> Path:
    (home / "formats").mkdir()
    (home / "formats" / "own.toml").write_text(FORM, encoding="utf-8")
    path = tmp_path / "rows.csv"
    path.write_text(ROWS, encoding="utf-8")
    return path


@pytest.fixture
def filled(run: Run, file: Path) -> Run:
    ran = run("lane", "add", file, "--feed", "drone", "--format", "own", "--now")
    assert ran.code == 9, ran.err
    return run


def test_a_file_is_added_worked_on_and_told(run: Run, file: Path) -> None:
    first = run("lane", "add", file, "--feed", "drone", "--format", "own", "--json")
    assert first.code == 0
    (told,) = first.json
    assert (told["state"], told["new"], told["name"]) == ("stored", True, "rows.csv")
    again = run("lane", "add", file, "--feed", "drone")
    assert again.code == 0
    assert "no" in again.out.splitlines()[-1]
    assert "1 batch: 3 rows went into the archive" in run("lane", "work").out
    (done,) = run("lane", "list", "--json").json
    assert (done["state"], done["rows"], done["rejects"]) == ("done", 3, 1)
    assert run("lane", "work", "--json").json["batches"] == 0
    assert run("lane", "work").out == "Nothing waits.\n"


def test_a_pipe_and_several_files_are_taken(
    run: Run, file: Path, tmp_path: Path
) -> None:
    packed = tmp_path / "more.csv.gz"
    packed.write_bytes(gzip.compress(ROWS.replace("18.0", "18.7").encode()))
    words = ("lane", "add", "--feed", "drone", "--format", "own", "--json")
    assert [one["new"] for one in run(*words, file, packed).json] == [True, True]
    piped = run(*words, "-", "--name", "x.csv", given=ROWS + "\n")
    assert [one["name"] for one in piped.json] == ["x.csv"]
    assert run(*words, "-", given="").code == 2


def test_of_several_files_those_that_can_be_are_taken_in(
    run: Run, file: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty.csv").touch()
    files = (tmp_path / "empty.csv", tmp_path / "none.csv", tmp_path, file)
    ran = run("lane", "add", *files, "--feed", "drone", "--format", "own", "--json")
    assert (ran.code, [one["name"] for one in ran.json]) == (9, ["rows.csv"])
    told = ran.err.splitlines()
    assert ["empty.csv is empty" in told[0], "none.csv" in told[1]] == [True, True]
    assert len(told) == 3
    alone = run("lane", "add", files[0], "--feed", "drone")
    assert (alone.code, "empty.csv is empty: 0 bytes" in alone.err) == (2, True)


def test_what_cannot_be_added_is_told_before_anything_is_read(
    run: Run, tmp_path: Path
) -> None:
    for words in (
        ("nowhere.csv", "--feed", "drone"),
        (tmp_path / "x", "--feed", "Not A Feed"),
        (tmp_path / "x", "--feed", "drone", "--tlp", "mauve"),
        ("ftp://a.example/x", "--feed", "drone"),
    ):
        ran = run("lane", "add", *words)
        assert ran.code in {1, 2}, words
        assert ran.err.startswith("serantau: ")


def test_rejects_are_listed_and_read_anew_by_a_mended_format(
    filled: Run, home: Path
) -> None:
    (told,) = filled("lane", "rejects", "list", "--json").json
    assert (told["column"], told["value"]) == ("source_address", "1.2.3")
    assert "1.2.3" in filled("lane", "rejects", "list", "--feed", "drone").out
    assert filled("lane", "rejects", "list", "--feed", "x").out.startswith("No row")
    assert filled("lane", "rejects", "retry").code == 2
    (home / "formats" / "mended.toml").write_text(
        FORM.replace('ip = "source_address"', 'ip = "extra"'), encoding="utf-8"
    )
    ran = filled("lane", "rejects", "retry", "--feed", "drone", "--format", "mended")
    assert ran.out == "1 batch will be read anew.\n"
    filled("lane", "work")
    (batch,) = filled("lane", "list", "--json").json
    assert (batch["format"], batch["rejects"]) == ("mended", 0)
    assert filled("events", "--count", "--json").json == {"events": batch["rows"]}


def test_batches_are_retried_released_and_dropped(run: Run, file: Path) -> None:
    run("lane", "add", file, "--feed", "drone", "--format", "nosuch", "--now")
    assert "nosuch" in run("lane", "list", "--state", "failed").out
    assert run("lane", "list", "--state", "odd").code == 2
    assert run("lane", "release", "1").code == 2
    assert run("lane", "retry").code == 2
    assert run("lane", "retry", "--failed", "--format", "own").code == 0
    run("lane", "work")
    assert run("lane", "list", "--json").json[0]["state"] == "done"
    assert run("lane", "drop", "1").code == 2
    run("lane", "add", "-", "--feed", "drone", "--format", "nosuch", given="x")
    assert run("lane", "drop", "2").code == 0
    assert run("lane", "list", "--state", "dropped", "--json").json[0]["batch"] == 2
    assert run("lane", "release", "--all").out == "0 batches will be worked on.\n"
    assert run("lane", "retry", "99").code == 6


def test_feeds_are_fetched_and_their_status_is_told(run: Run, home: Path) -> None:
    with (home / "serantau.toml").open("a", encoding="utf-8") as settings:
        settings.write('\n[feeds.scans]\nfolder = "in"\nfresh_hours = 1.0\n')
        settings.write('\n[feeds.posted]\nformat = "own"\n')
    assert "in: No such file" in run("lane", "fetch").out
    (home / "in").mkdir()
    for name, text in (("a.csv", ROWS), ("b.csv", "")):
        (home / "in" / name).write_text(text, encoding="utf-8")
        os.utime(home / "in" / name, (0, 0))
    before = run("lane", "status")
    assert "ALARM scans: the newest batch never came, expected one in 1" in before.out
    ran = run("lane", "fetch", "scans", "--json")
    assert (ran.json[0]["new"], len(ran.json[0]["left"])) == (1, 1)
    assert run("lane", "fetch", "nobody").code == 6
    told = run("lane", "status", "--json").json
    assert told["states"]["stored"] == 1
    scans = next(one for one in told["feeds"] if one["feed"] == "scans")
    assert (scans["way"], scans["alarms"]) == ("folder", [])
    assert scans["lag"] > 0


def test_a_format_is_proposed_kept_and_then_used(
    run: Run, file: Path, home: Path
) -> None:
    good = ROWS.rpartition("2026")[0]
    file.write_text(good, encoding="utf-8")
    ran = run("lane", "guess", file)
    assert 'ip = "source_address"' in ran.out
    assert "source_address=198.18.0.1" in ran.err
    assert not (home / "formats" / "mine.toml").exists()
    kept = run("lane", "guess", "-", "--save", "mine", given=good)
    assert kept.code == 0
    assert (home / "formats" / "mine.toml").read_text(encoding="utf-8") == kept.out
    assert run("lane", "guess", file, "--save", "mine").code == 2
    assert run("lane", "guess", file, "--save", "../mine").code == 2
    assert run("lane", "guess", "-", given="").code == 2
    known = {one["name"] for one in run("lane", "formats", "--json").json}
    assert {"mine", "own", "shadowserver"} <= known
    ran = run("lane", "add", file, "--feed", "drone", "--format", "mine", "--now")
    assert "done" in ran.out


def test_ranges_are_loaded_and_events_say_why(
    filled: Run, home: Path, tmp_path: Path
) -> None:
    country, asn = tmp_path / "cc.csv", tmp_path / "asn.csv"
    country.write_text("203.0.0.0,203.0.255.255,TH\n", encoding="utf-8")
    asn.write_text("203.0.0.0,203.0.255.255,64500,Reef Net\n", encoding="utf-8")
    ran = filled(
        "lane", "update", "--country", country, "--asn", asn, "--name", "made",
        "--day", "2026-01-01", "--json",
    )  # fmt: skip
    assert [(one["label"], one["count"]) for one in ran.json] == [
        ("made@2026-01-01", 1),
        ("made@2026-01-01", 1),
    ]
    text = ROWS.replace("198.18.", "203.0.")
    filled("lane", "add", "-", "--feed", "x", "--format", "own", "--now", given=text)
    said = filled("events", "why", "2:1").out
    assert "TH" in said
    assert "made@2026-01-01" in said
    told = filled("events", "why", "2:1", "--json").json
    assert told["event"]["source_asn"] == 64500
    assert filled("events", "why", "2:99").code == 6
    assert filled("events", "why", "99:1").code == 6
    assert filled("events", "why", "x").code == 2
    assert filled("lane", "update").out.startswith("The settings name nothing")
    country.write_text("<html>", encoding="utf-8")
    assert filled("lane", "update", "--country", country).code == 2


def test_a_row_says_the_same_after_everything_else_has_changed(
    run: Run, home: Path, tmp_path: Path
) -> None:
    def ranges(day: str, *pairs: tuple[str, str]) -> None:
        for kind, value in pairs:
            path = tmp_path / f"{kind}.csv"
            path.write_text(f"8.8.4.0,8.8.4.255,{value}\n", encoding="utf-8")
            words = ("lane", "update", f"--{kind}", path, "--name", "t", "--day", day)
            assert run(*words).code == 0

    def rows(address: str, *days: str) -> None:
        text = "".join(["time,source_address\n", *(f"{d},{address}\n" for d in days)])
        how = ("--feed", "f", "--format", "serantau-csv", "--now")
        assert run("lane", "add", "-", *how, given=text).code == 0

    ranges("2026-02-01", ("country", "TH"), ("asn", "64500,Old"))
    assert (
        run("party", "add", "siam", "--kind", "operator", "--client-of", "th").code == 0
    )
    run("asset", "add", "siam", "AS64500")
    rows("8.8.4.4", "2026-02-10T00:00:00Z")
    before = run("events", "why", "1:1").out
    assert "siam (th) answers: AS64500 routes its address." in before
    ranges("2026-02-20", ("country", "SG"), ("asn", "64501,New"))
    run("asset", "remove", "siam", "AS64500")
    rows("8.8.4.5", "2026-02-10T01:00:00Z", "2026-02-21T01:00:00Z")
    with opened(home) as node:
        archive = archive_of(node)
        assert archive.fold(node.clock.now() + 40 * 86_400_000_000)
    shutil.rmtree(home / "ranges")
    assert run("events", "why", "1:1").out == before
    # Later rows are judged by the register of then, and by the ranges of their day.
    late, new = (run("events", "why", f"2:{n}", "--json").json["event"] for n in (1, 2))
    assert (late["source_asn"], late["member"], late.get("party")) == (
        64500,
        "th",
        None,
    )
    assert (new["source_asn"], new["member"]) == (64501, "sg")
    assert new["time"] == "2026-02-21T01:00:00.000000Z"


def test_events_are_shown_counted_and_drawn(filled: Run) -> None:
    shown = filled("events", "--limit", "2")
    assert "198.18.1.1" in shown.out
    assert "There may be more" in shown.out
    assert filled("events", "--count").out == "3 events.\n"
    assert filled("events", "--address", "198.18.0.0/24", "--count", "--json").json == {
        "events": 2
    }
    top = filled("events", "--top", "source_port")
    assert "█" in top.out
    counted = filled("events", "--top", "source_port", "--json").json
    assert counted == [
        {"source_port": 22, "events": 2},
        {"source_port": 80, "events": 1},
    ]
    over = filled("events", "--over", "day", "--json").json
    assert [one["events"] for one in over] == [2, 1]
    assert "2026-03-02" in filled("events", "--over", "day", "--by", "type").out
    assert filled("events", "--feed", "x").out == "No event fits.\n"


def test_filters_narrow(filled: Run) -> None:
    def count(*words: str) -> int:
        ran = filled("events", "--count", "--json", *words)
        assert ran.code == 0, ran.err
        return int(ran.json["events"])

    assert count("--since", "2026-03-02") == 1
    assert count("--until", "2026-03-01T10:30:00Z") == 1
    assert count("--since", "9999w") == 3
    assert count("--since", "1min") == 0
    assert count("--domain", "example.th") == 2
    assert count("--type", "scanner", "--class", "information-gathering") == 3
    assert count("--where", "source_port=80") == 1
    assert count("--where", "source_domain=") == 1
    assert count("--text", "CALC") == 1
    assert count("--severity", "high") == 0
    assert count("--country", "th", "--asn", "AS1") == 0
    # As people write them, and as they are written so that nobody clicks on them.
    assert count("--address", "198.18[.]0.0/24") == 2
    assert count("--domain", "hxxps://A[.]Example[.]TH/x") == 1
    assert count("--type", "Scanner", "--member", "TH", "--party", "Nobody") == 0


@pytest.mark.parametrize(
    "words",
    [
        ("--since", "yesterday"),
        ("--since", "2026-03-02", "--until", "2026-03-01"),
        ("--where", "nonsense"),
        ("--where", "nosuch=1"),
        ("--where", "source_port=ssh"),
        ("--severity", "awful"),
        ("--class", "botnets"),
        ("--type", "botnet"),
        ("--country", "Thailand"),
        ("--csv", "/nowhere/x.csv"),
        ("--parquet", "/nowhere/x.parquet"),
        ("--address", "1.2.3"),
        ("--top", "nosuch"),
        ("--over", "year"),
        ("--by", "type"),
        ("--top", "type", "--over", "day"),
        ("--csv", "a", "--parquet", "b"),
        ("--columns", "nosuch"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_asked_is_told(filled: Run, words: tuple[str, ...]) -> None:
    ran = filled("events", *words)
    assert ran.code == 2
    assert ran.err.startswith("serantau: ")


def test_no_spreadsheet_runs_what_is_written_as_csv(
    filled: Run, tmp_path: Path
) -> None:
    path = tmp_path / "out.csv"
    ran = filled("events", "--csv", path)
    assert "3 events are in" in ran.err
    rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
    assert sorted(row["identifier"] for row in rows) == ["'=cmd|calc", "plain", "plain"]
    assert rows[0]["time"].startswith("2026-03-0")
    piped = filled("events", "--csv", "-", "--columns", "identifier,source_address")
    assert piped.out.splitlines()[0] == "identifier,source_address"
    counted = filled("events", "--top", "identifier", "--csv", "-").out
    assert "'=cmd|calc,1" in counted
    named = filled("events", "sql", 'SELECT 1 AS "=cmd" FROM events', "--csv", "-").out
    assert named.startswith("'=cmd\n")
    # What programs read stays as it is.
    (row,) = filled(
        "events", "--where", "source_port=22", "--text", "calc", "--json"
    ).json
    assert (row["identifier"], row["extra"]) == ("=cmd|calc", None)


def test_a_file_of_no_events_has_its_columns(filled: Run, tmp_path: Path) -> None:
    path = tmp_path / "out"
    ran = filled("events", "--feed", "x", "--csv", path, "--columns", "time,type")
    assert (path.read_bytes(), ran.err[:13]) == (b"time,type\r\n", "0 events are ")
    filled("events", "--feed", "x", "--parquet", path)
    assert pl.read_parquet(path).schema == EVENTS
    # What was there stays until the new one is whole.
    assert filled("events", "--columns", "nosuch", "--csv", path).code == 2
    assert pl.read_parquet(path).height == 0


def test_parquet_holds_the_rows_as_they_are(filled: Run, tmp_path: Path) -> None:
    path = tmp_path / "out.parquet"
    filled("events", "--parquet", path)
    frame = pl.read_parquet(path)
    assert "=cmd|calc" in frame["identifier"].to_list()
    assert list(tmp_path.glob(".events-*")) == []
    filled("events", "--over", "day", "--parquet", path)
    assert pl.read_parquet(path)["events"].to_list() == [2, 1]


def test_sql_reads_and_only_reads(filled: Run, tmp_path: Path) -> None:
    said = "SELECT source_port, count(*) AS n FROM events GROUP BY source_port"
    rows = filled("events", "sql", said, "--json").json
    assert sorted((row["source_port"], row["n"]) for row in rows) == [(22, 2), (80, 1)]
    assert "1.2.3" in filled("events", "sql", "-", given="SELECT * FROM rejects").out
    limited = filled("events", "sql", "SELECT * FROM events", "--limit", "1", "--json")
    assert len(limited.json) == 1
    assert "more than 1 rows" in limited.err
    piped = filled("events", "sql", "SELECT identifier FROM events", "--csv", "-")
    assert "'=cmd|calc" in piped.out
    path = tmp_path / "out.parquet"
    filled("events", "sql", "SELECT * FROM events", "--parquet", path)
    assert pl.read_parquet(path).height == 3
    for bad in (
        "DROP TABLE events",
        "SELECT * FROM nosuch",
        "SELECT * FROM read_csv('x')",
    ):
        assert filled("events", "sql", bad).code == 2


def test_text_of_others_cannot_command_a_terminal(run: Run, file: Path) -> None:
    text = ROWS.replace("plain", "\x1b[2Jplain")
    how = ("lane", "add", "-", "--feed", "x", "--format", "own", "--now")
    run(*how, "--name", "\x1b[2J.csv", given=text)
    asked: list[tuple[str, ...]] = [
        ("events",),
        ("events", "--top", "identifier"),
        ("events", "why", "1:2"),
        ("events", "sql", "SELECT identifier FROM events"),
        ("lane", "list"),
        ("lane", "rejects", "list"),
    ]
    for words in asked:
        assert "\x1b" not in run(*words).out, words


def test_what_is_printed_for_machines_is_one_document(run: Run) -> None:
    assert {"lane", "events"} <= COMMANDS.keys()
    asked: list[tuple[str, ...]] = [
        ("lane", "status"),
        ("lane", "list"),
        ("lane", "fetch"),
        ("lane", "rejects", "list"),
        ("events",),
    ]
    for words in asked:
        assert isinstance(json.loads(run(*words, "--json").out), dict | list), words


def test_rows_are_erased_after_they_were_counted_and_a_person_said_so(
    filled: Run,
) -> None:
    wanted = ("events", "erase", "--address", "198.18.0.1")
    counted = filled(*wanted, "--dry-run", "--json").json
    assert (counted["events"], counted["originals"]) == (1, 1)
    unasked = filled(*wanted, "--reason", "law")
    assert unasked.code == 2
    assert "--yes" in unasked.err
    assert filled("events", "--count", "--json").json == {"events": 3}
    for wrong in ((*wanted, "--yes"), ("events", "erase"), (*wanted[:3], "198.18")):
        assert filled(*wrong).code == 2
    done = filled(*wanted, "--reason", "law", "--by", "rat", "--yes")
    assert "1 events" in done.out
    assert filled("events", "--count", "--json").json == {"events": 2}
    (told,) = filled("events", "erasures", "--json").json
    assert (told["actor"], told["reason"], told["events"]) == ("rat", "law", 1)
    assert "198.18.0.1" not in str(told)
