"""Cases by the command line, from opening one to closing it."""

from pathlib import Path

import orjson
import pytest

from commands import Run, opened
from keys import identity, signer
from serantau.desk.intake import Intake
from serantau.records import acts
from serantau.records.audit import Period
from serantau.rules.case_entry import Kind, make_entry
from serantau.rules.level import Tlp
from serantau.rules.signature import signed
from serantau.wire.bundle import Piece

TEXT = "\u202eเปิดแล้ว\x1b[31m"


@pytest.fixture
def case(run: Run) -> str:
    """How the id of an open case begins."""
    run("party", "set", "sg", "--identity", identity("sg"))
    made = run("case", "open", "Phishing kit", "sg", "--severity", "high", "--json")
    assert made.code == 0, made.err
    return str(made.json["id"][12:20])


def test_a_case_is_opened_worked_and_closed(run: Run, case: str) -> None:
    for line in (
        ("ack",),
        ("assess", "--severity", "severe", "--class", "fraud:phishing", "--text", TEXT),
        ("embargo", "propose", "--until", "2026-12-01T08:00:00+07:00"),
        ("handover", "sg"),
        ("handover", "th"),
        ("correct", case, "--name", "Phishing kit, two"),
        ("close", "--text", "taken down"),
        ("reopen",),
    ):
        ran = run("case", line[0], case, *line[1:])
        assert ran.code == 0, (line, ran.err)
        assert ran.out.strip(), line
    (row,) = run("case", "list", "--json").json
    assert (row["name"], row["severity"]) == ("Phishing kit, two", "severe")
    assert (row["parties"], row["silent"], row["embargo"]) == (2, 1, "proposed")
    shown = run("case", "show", case)
    assert "No answer yet from sg." in shown.out
    assert "Phishing kit, two" in shown.out
    assert "(corrected by" in shown.out
    # What others wrote commands no terminal.
    assert "\x1b" not in shown.out
    assert "\u202e" not in shown.out
    assert "เปิดแล้ว" in shown.out
    assert "sg" in run("case", "show", case, "--json").json["parties_named"].values()
    assert run("case", "close", case).code == 0
    assert run("case", "board").out.startswith("No cases")
    assert case in run("case", "board", "--all").out


def test_tasks_are_shared_or_private_and_never_both(run: Run, case: str) -> None:
    assert run("case", "task", case, "Take it down", "--for", "sg").code == 0
    assert run("case", "task", case, "Call the bank", "--private").code == 0
    held = run("case", "show", case, "--json").json
    (task,) = held["state"]["tasks"]
    assert held["private"]["tasks"][0]["name"] == "Call the bank"
    assert "Call the bank" not in str(held["log"])
    assert run("case", "task", case, "--done", task[12:20]).out == "It is done.\n"
    assert run("case", "task", case, "--private", "--done", "1").code == 0
    for wrong in (
        (),
        ("x", "--done", task),
        ("x", "--private", "--for", "sg"),
        ("--private", "--done", "x"),
        ("x", "--due", "tomorrow"),
    ):
        assert run("case", "task", case, *wrong).code == 2, wrong


def test_notes_and_files_stay_here_and_come_back(
    run: Run, home: Path, case: str, tmp_path: Path
) -> None:
    kept, back = tmp_path / "a.pcap", tmp_path / "b.pcap"
    kept.write_bytes(b"\x00\xff")
    assert "stays here" in run("case", "note", case, "the bank called").out
    assert run("case", "note", case, "--file", kept).code == 0
    assert run("case", "note", case, "--save", 1, "--to", back).code == 0
    assert back.read_bytes() == b"\x00\xff"
    shown = run("case", "show", case).out
    assert "Only here, and never sent:" in shown
    assert "the bank called" in shown
    assert "file 1: a.pcap, 2 bytes" in shown
    for wrong in ((), ("--save", 1), ("--to", back), ("--save", 9, "--to", back)):
        assert run("case", "note", case, *wrong).code in {2, 6}
    with opened(home) as node, node.db.read() as tx:
        by = {row.actor for row in tx.rows("SELECT actor FROM case_note")}
        (name,) = by
        read = acts.read_by(tx, name, Period(), 100)
    assert {"case show", "case note"} <= {one.what for one in read}


def test_what_cannot_be_done_is_said_with_what_to_do(run: Run, case: str) -> None:
    for line, code, said in (
        (("show", "zz"), 2, "case list"),
        (("show", "00000000"), 6, "case list --all"),
        (("invite", case, "vn"), 2, "--identity"),
        (("open", "x", "--tlp", "RED"), 2, "share handover"),
        (("take", case), 2, "not handed over"),
        (("evidence", case, "malware--1"), 6, "No object here"),
        (("embargo", case, "propose"), 2, "--until"),
    ):
        ran = run("case", *line)
        assert ran.code == code, (line, ran.err)
        assert said in ran.err, (line, ran.err)


def test_a_case_is_verified_here_and_with_its_parties(
    run: Run, home: Path, case: str
) -> None:
    ran = run("case", "verify", case)
    assert ran.code == 0
    assert "not compared" in ran.out
    assert "this node does not pull from it" in ran.out
    (compared,) = run("case", "verify", case, "--json").json["compared"]
    assert (compared["party"], compared["equal"]) == ("sg", None)
    with opened(home) as node, node.db.write() as tx:
        tx.run("UPDATE case_board SET parties = 9")
    ran = run("case", "verify", case)
    assert ran.code == 8
    assert "The board does not say" in ran.out


def test_the_log_shows_what_waits_and_what_is_flagged(
    run: Run, home: Path, case: str
) -> None:
    whole = run("case", "list", "--json").json[0]["id"]

    def brought(**links: object) -> str:
        entry = make_entry(
            Kind.CLOSED, {}, author=identity("sg"), at=1_800_000_000_000_000,
            level=Tlp.AMBER, case=whole, **links,  # type: ignore[arg-type]
        )  # fmt: skip
        raw = orjson.dumps(signed(entry, signer("sg").jws))
        with opened(home) as node:
            piece = Piece(ordinal=1, offset=0, line=1, raw=raw)
            report = Intake(node).take([piece], origin="test", source="peer:sg")
        assert report.refused + report.new == 1
        return str(entry["id"])

    public = signer("sg").key.jwk["x"]
    assert run("key", "pin", "sg", f"serantau-key:sg:{public}").code == 0
    brought()
    missing = f"case-entry--{'0' * 8}-0000-4000-8000-{'0' * 12}"
    waiting = brought(after=(missing,))
    shown = run("case", "show", case).out
    assert "not-owner" in shown
    assert f"Waiting: {waiting[12:20]}, for 00000000" in shown
    assert run("case", "board", "--json").json[0]["waiting"] == 1
