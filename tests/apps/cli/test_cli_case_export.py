"""Exporting a case by the command line: shown, asked, logged, and only then written."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from commands import MODULE, Run, opened
from keys import identity
from serantau.records import leaves, tree
from serantau.records.ledger import Released
from serantau.rules.leaf import read_leaf


@pytest.fixture
def case(run: Run) -> str:
    run("party", "set", "sg", "--identity", identity("sg"))
    made = run("case", "open", "Phishing kit", "sg", "--json")
    assert made.code == 0, made.err
    return str(made.json["id"][12:20])


def log(home: Path) -> list[Released]:
    with opened(home) as node, node.db.read() as tx:
        return node.ledger.log(tx, party=None, since=0, after=0, limit=100)


def test_an_export_is_shown_and_asked_for_first(
    run: Run, home: Path, tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("case", "export", case, "--to", "sg", "--as", "markdown", "--lang", "th")
    asked = run(*words)
    assert (asked.code, log(home)) == (2, [])
    assert "goes: 2 entries" in asked.err
    told = run(*words, "--yes", "--json").json
    assert (told["entries"], told["withheld"]) == (2, {})
    assert (tmp_path / told["path"]).read_text("utf-8").startswith("**TLP:AMBER**")
    out = run(*words[:5], "--as", "stix", "-o", "-", "--yes")
    assert orjson.loads(out.out)["type"] == "bundle"
    assert len(log(home)) == 2
    both = run(*words, "-o", "-", "--yes", "--json")
    assert (both.code, len(log(home))) == (2, 2)
    nobody = run("case", "export", case, "--to", "public", "--as", "misp", "--yes")
    assert (nobody.code, len(log(home))) == (5, 2)
    assert "case invite" in nobody.err


def test_an_export_that_is_killed_at_its_first_byte_is_in_the_log(
    run: Run, home: Path, case: str
) -> None:
    # More than a pipe holds: the process waits in the middle of its writing.
    for _ in range(4):
        assert run("case", "ack", case, "--text", "x" * 20_000).code == 0
    words = ["case", "export", case, "--to", "sg", "--as", "iodef", "-o", "-", "--yes"]
    with subprocess.Popen(
        [sys.executable, "-m", MODULE, "--home", str(home), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read(1) == b"<"
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    (row,) = log(home)
    assert (row.way, row.purpose, row.party) == ("case-export", "defence", "sg")
    with opened(home) as node:
        made = leaves.Leaves("th")
        while made.seal(node.db):
            pass
        with node.db.read() as tx:
            held = tree.held(tx)
            assert held is not None
            ((seq, of_it),) = made.each(tx, 0, held.size)
            text = made.text(held, seq, of_it, of_it.recipient, of_it.objects)
    assert read_leaf(text.decode()).purpose == "defence"


def test_an_export_that_cannot_be_written_is_in_the_log_all_the_same(
    run: Run, home: Path, tmp_path: Path, case: str
) -> None:
    there = tmp_path / "none" / "case.json"
    ran = run(
        "case", "export", case, "--to", "sg", "--as", "stix", "-o", there, "--yes"
    )
    assert ran.code != 0
    assert len(log(home)) == 1
