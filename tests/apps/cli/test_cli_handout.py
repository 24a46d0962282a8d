"""`serantau share write`: what is told before, who is asked, and what is written."""

import os
import pty
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Any

from commands import AT, MODULE, Run, indicator, opened, written
from serantau.rules.marking import TLP_2_IDS, Tlp

# It joins what the receiver may have with what it may not: MISP has no place for it.
RING = {
    "type": "relationship",
    "spec_version": "2.1",
    "id": "relationship--00000000-0000-4000-8000-000000000009",
    "created": AT,
    "modified": AT,
    "relationship_type": "related-to",
    "source_ref": indicator(1)["id"],
    "target_ref": indicator(2)["id"],
    "object_marking_refs": [TLP_2_IDS[Tlp.GREEN]],
}


def _load(run: Run, tmp_path: Path) -> None:
    objects = (indicator(1), indicator(2, Tlp.RED), RING)
    file = written(tmp_path / "in.json", *objects)
    assert run("load", file).code == 0


def _log(home: Path) -> list[Any]:
    with opened(home) as node, node.db.read() as tx:
        number, _ = node.registry.party(tx, "sg")
        return node.ledger.of_party(tx, number)


def test_handout_tells_what_goes_and_stays_by_rule_and_logs_the_account(
    run: Run, home: Path, tmp_path: Path
) -> None:
    _load(run, tmp_path)
    out = tmp_path / "out.json"
    ran = run("share", "write", "--to", "sg", "--yes", out)
    assert ran.code == 0
    assert "by green-to-community" in ran.err
    assert "withheld 1 by red-by-person-only" in ran.err
    text = out.read_text()
    assert indicator(1)["id"] in text
    assert "n2.example" not in text
    (row,) = _log(home)
    assert (row.way, row.actor) == ("handout", pwd.getpwuid(os.getuid()).pw_name)


def test_handout_without_anybody_to_ask_needs_yes_and_releases_nothing(
    run: Run, home: Path, tmp_path: Path
) -> None:
    _load(run, tmp_path)
    out = tmp_path / "out.json"
    ran = run("share", "write", "--to", "sg", out)
    assert ran.code == 2
    assert "--yes" in ran.err
    assert not out.exists()
    assert _log(home) == []


def test_handout_to_standard_output_is_the_bundle_alone(
    run: Run, home: Path, tmp_path: Path
) -> None:
    _load(run, tmp_path)
    ran = run("share", "write", "--to", "sg", "--yes", "-")
    bundle = ran.json
    assert indicator(1)["id"] in {one["id"] for one in bundle["objects"]}
    assert run("share", "write", "--to", "sg", "--yes", "--json", "-").code == 2
    feed = run("share", "write", "--to", "sg", "--yes", "--format", "misp-feed", "-")
    assert feed.code == 2


def test_handout_as_misp_lists_losses_and_feed_says_what_is_unchanged(
    run: Run, home: Path, tmp_path: Path
) -> None:
    _load(run, tmp_path)
    words = ("share", "write", "--to", "sg", "--yes", "--format")
    told = run(*words, "misp", "--json", tmp_path / "out.json").json
    assert told["events"] >= 1
    assert {"id", "event", "what", "outcome", "reason"} == told["losses"][0].keys()
    assert "n1.example" in (tmp_path / "out.json").read_text()
    shown = run(*words, "misp", tmp_path / "out.json").out
    assert told["losses"][0]["id"] in shown
    feed = tmp_path / "feed"
    assert run(*words, "misp-feed", feed).code == 0
    again = run(*words, "misp-feed", feed)
    assert "unchanged" in again.out
    assert run("share", "write", "--to", "vn", "--yes", feed).code == 2


def test_handout_asks_on_a_terminal_and_a_no_releases_nothing(
    run: Run, home: Path, tmp_path: Path
) -> None:
    _load(run, tmp_path)
    out = tmp_path / "out.json"
    command = [sys.executable, "-m", MODULE, "--home", str(home)]
    command += ["share", "write", "--to", "sg", str(out)]
    ours, theirs = pty.openpty()
    try:
        os.write(ours, b"n\n")
        done = subprocess.run(
            command,
            check=False,
            stdin=theirs,
            capture_output=True,
            text=True,
            timeout=60,
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 1
    assert "Release this to sg?" in done.stderr
    assert not out.exists()
    assert _log(home) == []
