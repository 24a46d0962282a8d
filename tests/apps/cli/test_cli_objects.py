"""Taking data in, finding it, and seeing what would leave."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import orjson

from commands import Run, indicator, opened, written
from serantau.desk.share import Share
from serantau.records.views import Asked
from serantau.rules.marking import Tlp


def test_a_fault_of_the_program_shows_no_traceback(home: Path) -> None:
    (home / "serantau.db").write_bytes(b"this is no database" * 1000)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "serantau.apps.cli.main"),
            "--home",
            home,
            "search",
            "x",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {1, 4}
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("serantau: ")


def test_load_admits_refuses_with_place_and_ends_with_9(
    run: Run, tmp_path: Path
) -> None:
    wrong = indicator(2, pattern="[domain-name:value = ]")
    ran = run("load", written(tmp_path / "b.json", indicator(1), wrong), "--json")
    assert ran.code == 9
    assert (ran.json["new"], ran.json["refused"]) == (1, 1)
    (fault,) = ran.json["files"][0]["faults"]
    assert (fault["id"], fault["rule"], fault["place"]) == (
        wrong["id"],
        "pattern",
        "/pattern",
    )


def test_loading_again_changes_nothing(run: Run, home: Path, tmp_path: Path) -> None:
    file = written(tmp_path / "b.json", indicator(1), indicator(2))
    assert run("load", file).code == 0
    with opened(home) as node, node.db.read() as tx:
        before = tx.value("SELECT last FROM stamp")
    ran = run("load", file, "--json")
    assert (ran.code, ran.json["new"], ran.json["held"]) == (0, 0, 2)
    with opened(home) as node, node.db.read() as tx:
        assert tx.value("SELECT last FROM stamp") == before


def test_load_reads_pipes_and_gzip(run: Run, tmp_path: Path) -> None:
    lines = b"".join(orjson.dumps(indicator(n)) + b"\n" for n in (1, 2))
    assert run("load", "-", "--json", given=lines).json["new"] == 2
    packed = tmp_path / "c.json.gz"
    packed.write_bytes(gzip.compress(orjson.dumps(indicator(3))))
    assert run("load", packed, "--json").json["new"] == 1


def test_load_of_a_folder_leaves_alone_what_is_neither_stix_nor_misp(
    run: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    (folder / "below").mkdir(parents=True)
    written(folder / "below" / "b.json", indicator(1))
    (folder / "map.json").write_text('{"type": "Topology", "objects": {"a": {}}}')
    (folder / "notes.txt").write_text("not looked at")
    ran = run("load", folder, "--json")
    assert ran.code == 0
    assert ran.json["new"] == 1
    names = [Path(each["file"]).name for each in ran.json["files"]]
    assert names == ["map.json", "b.json"]
    assert ran.json["skipped"] == 1
    named = run("load", folder / "map.json")
    assert named.code == 9
    assert "neither STIX nor a MISP event" in named.out


def test_load_of_a_misp_event_says_what_changed(run: Run, tmp_path: Path) -> None:
    event = {
        "Event": {
            "uuid": "5bbe5d08-e794-4329-b715-01550a016219",
            "info": "One address",
            "date": "2026-03-01",
            "timestamp": "1772323200",
            "event_creator_email": "somebody@team.example",
            "Attribute": [
                {
                    "uuid": "5bbe5d08-e794-4329-b715-01550a01621a",
                    "type": "ip-dst",
                    "category": "Network activity",
                    "value": "192.0.2.1",
                    "to_ids": True,
                    "timestamp": "1772323200",
                }
            ],
        }
    }
    file = tmp_path / "event.json"
    file.write_text(json.dumps(event))
    ran = run("load", file, "--json")
    (sheet,) = ran.json["files"]
    assert ran.code == 0
    assert (sheet["kind"], sheet["events"]) == ("misp", 1)
    assert sheet["new"] >= 1
    assert any("event_creator_email" in loss for loss in sheet["losses"])
    assert run("search", "192.0.2[.]1", "--json").json


def test_load_handles_unmarked_objects_as_told_and_leaves_them_as_they_are(
    run: Run, tmp_path: Path
) -> None:
    file = written(tmp_path / "b.json", indicator(1, None))
    assert run("load", file, "--handle-as", "TLP:CLEAR").code == 0
    told = run("show", indicator(1)["id"], "--json").json
    assert told["object"] == indicator(1, None)
    assert "TLP:CLEAR" in told["versions"][0]["marking"]
    bad = run("load", file, "--handle-as", "TLP:BLUE")
    assert bad.code == 2
    assert "TLP:BLUE" in bad.err


def test_load_into_a_box_puts_them_there_and_a_saved_query_takes_none(
    run: Run, home: Path, tmp_path: Path
) -> None:
    file = written(tmp_path / "b.json", indicator(1))
    assert run("load", file, "--into", "inbox").code == 0
    with opened(home) as node, node.db.read() as tx:
        assert tx.value("SELECT count(*) FROM entry") == 1
    ran = run("load", file, "--into", "released")
    assert ran.code == 2
    assert "saved query" in ran.err


def test_show_tells_who_got_it_and_why(run: Run, home: Path, tmp_path: Path) -> None:
    run("load", written(tmp_path / "b.json", indicator(1)))
    assert run("user", "add", "vn-node", "--party", "vn", "--no-password").code == 0
    with opened(home) as node:
        with node.db.read() as tx:
            caller = node.registry.caller_by_name(tx, "vn-node")
            collection = node.registry.collection(tx, "released")
        assert caller is not None
        Share(node).page(caller, collection, Asked(), way="taxii", request="x")
    told = run("show", indicator(1)["id"], "--json").json
    (release,) = told["versions"][0]["released"]
    assert (release["party"], release["way"], release["rule"]) == (
        "vn",
        "taxii",
        "green-to-community",
    )
    assert "vn-node" in run("show", indicator(1)["id"]).out


def test_show_of_nothing_ends_with_6(run: Run) -> None:
    ran = run("show", "indicator--11111111-1111-4111-8111-111111111111")
    assert ran.code == 6
    assert "has no object" in ran.err


def test_search_finds_thai_without_spaces_and_values_defanged(
    run: Run, tmp_path: Path
) -> None:
    thai = indicator(1, name="เว็บไซต์หลอกลวงแอบอ้างธนาคาร")
    run("load", written(tmp_path / "b.json", thai, indicator(2)))
    assert [one["id"] for one in run("search", "ธนาคาร", "--json").json] == [thai["id"]]
    assert [one["id"] for one in run("search", "n2[.]example", "--json").json] == [
        indicator(2)["id"]
    ]
    assert run("search", "nothing of the kind").code == 0


def test_a_name_cannot_command_the_terminal(run: Run, tmp_path: Path) -> None:
    hostile = indicator(1, name="\x1b]0;owned\x07[red]x[/red] \u202eabc")
    run("load", written(tmp_path / "b.json", hostile))
    for ran in (run("search", "owned"), run("show", hostile["id"])):
        assert "\x1b" not in ran.out
        assert "\u202e" not in ran.out
        assert "[red]x[/red]" in ran.out


def test_preview_says_what_two_parties_would_get_differently(
    run: Run, tmp_path: Path
) -> None:
    run("load", written(tmp_path / "b.json", indicator(1), indicator(2, Tlp.RED)))
    ran = run("share", "preview", "--to", "vn", "--to", "public", "--diff", "--json")
    samples = [name for row in ran.json["differences"] for name in row["samples"]]
    assert indicator(1)["id"] in samples
    assert indicator(2)["id"] not in samples
    assert run("share", "preview", "--to", "vn", "--diff").code == 2


def test_preview_of_a_search_counts_only_what_it_finds(
    run: Run, tmp_path: Path
) -> None:
    run("load", written(tmp_path / "b.json", indicator(1), indicator(2)))
    (vn,) = run("share", "preview", "n1.example", "--to", "vn", "--json").json
    assert (vn["released"], vn["withheld"]) == (1, 0)
    assert "vn" in run("share", "preview").out
