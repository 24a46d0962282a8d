"""`serantau ledger` proves what left, and says what is wrong with others' logs."""

import subprocess
import sys
from pathlib import Path

import pytest

from commands import Run, indicator, opened, written
from serantau.rules.head import Head, Receipt, read_head, signed_text, take_apart
from serantau.wire.signer import new_signer

VERIFIER = Path(__file__).parents[3] / "docs" / "verify.py"


@pytest.fixture
def shared(run: Run, tmp_path: Path) -> Run:
    """Something was handed out to sg."""
    assert run("load", written(tmp_path / "in.json", indicator(1))).code == 0
    assert run("share", "write", "--to", "sg", "--yes", tmp_path / "out").code == 0
    return run


def test_a_head_is_signed_by_the_nodes_key(shared: Run, home: Path) -> None:
    told = shared("ledger", "head", "--json").json
    assert told["size"] == 1
    signed = take_apart(told["signed"])
    assert read_head(signed).root == told["root"]
    with opened(home) as node:
        assert signed.signed_by([node.signer.key]) is not None
    assert "1 leaf at" in shared("ledger", "head").out


def test_a_changed_row_is_named_and_ends_with_8(shared: Run, home: Path) -> None:
    good = shared("ledger", "verify", "--objects", "--json")
    assert (good.code, good.json["checked"], good.json["fault"]) == (0, 1, "")
    assert "All 1 rows are the leaves" in shared("ledger", "verify").out
    with opened(home) as node, node.db.ledger() as tx:
        tx.run("UPDATE ledger.release SET actor = 'nobody'")
    bad = shared("ledger", "verify")
    assert bad.code == 8
    assert "leaf 0 is not what row 1 says" in bad.err
    with opened(home) as node, node.db.ledger() as tx:
        tx.run("DELETE FROM ledger.release")
    assert "leaf 0 is not what row 1 says" in shared("ledger", "verify").err


def test_a_changed_object_is_named(shared: Run, home: Path) -> None:
    assert shared("ledger", "verify", "--objects").code == 0
    with opened(home) as node, node.db.write() as tx:
        changed = "CAST(replace(body, 'Number 1', 'Number 2') AS BLOB)"
        tx.run(f"UPDATE object SET body = {changed}")  # noqa: S608 - a test's own words
    assert shared("ledger", "verify").code == 0
    bad = shared("ledger", "verify", "--objects")
    assert bad.code == 8
    assert indicator(1)["id"] in bad.err


def test_a_proof_is_checked_by_the_verifier_that_stands_alone(
    shared: Run, home: Path, tmp_path: Path
) -> None:
    proof = shared("ledger", "prove", indicator(1)["id"])
    assert (proof.code, proof.json["entries"][0]["recipient"]) == (0, "sg")
    file = tmp_path / "proof.json"
    file.write_text(proof.out, encoding="utf-8")
    with opened(home) as node:
        key = node.signer.key.jwk["x"]
    done = subprocess.run(
        [sys.executable, "-I", VERIFIER, f"--key={key}", file],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "to sg, by handout" in done.stdout
    assert shared("ledger", "prove", "indicator--x").json["entries"] == []
    late = shared("ledger", "prove", indicator(1)["id"], "--after", 9)
    # A release, and that it was read of twice.
    assert (late.code, "up to 3" in late.err) == (2, True)


def test_an_alarm_is_shown_until_a_person_ends_it(run: Run, home: Path) -> None:
    assert run("ledger", "watch").out.startswith("No peers yet")
    with opened(home) as node, node.db.write() as tx:
        from serantau.records.seen import Seen

        said = "its tree has shrunk"
        assert Seen().raise_alarm(tx, "sg", said, "one head", "another")
        assert not Seen().raise_alarm(tx, "sg", said, "", "")
    told = run("ledger", "watch")
    assert told.code == 8
    for each in ("the log of sg", said, "one head", "another", "ledger accept sg"):
        assert each in told.err
    assert run("ledger", "watch", "--json").json["alarms"][0]["first"] == "one head"
    sick = run("doctor", "--no-peers").out
    assert "log of sg" in sick
    assert "--reason is missing" in run("ledger", "accept", "sg").err
    assert run("ledger", "accept", "sg", "--reason", "a backup").code == 0
    assert run("ledger", "watch").code == 0
    assert run("ledger", "accept", "sg", "--reason", "again").code == 6


def test_receipts_and_old_heads_are_told(run: Run, home: Path) -> None:
    assert "No receipts yet" in run("ledger", "receipts").out
    signer = new_signer()
    receipt = Receipt(
        at=1, by=2, count=3, node="sg", nonce="", page="", recipient="th", request=""
    )
    head = Head(at=1, log="log", node="sg", realm="live", root="00" * 32, size=1)
    with opened(home) as node, node.db.write() as tx:
        from serantau.records.seen import Seen, State

        text = signed_text(receipt, signer.jws)
        Seen().keep_receipts(tx, [(receipt, text, b"")])
        Seen().keep_receipts(tx, [(receipt, text, b"")])
        Seen().settle(tx, 1, State.PROVEN, 7)
        signed = signed_text(head, signer.jws)
        Seen().keep(tx, head, signed, via="sg", proven=True)
    (row,) = run("ledger", "receipts", "--member", "sg", "--json").json
    assert (row["state"], row["leaf"], row["signed"]) == ("proven", 7, text)
    assert run("ledger", "receipts", "--state", "broken", "--json").json == []
    assert "is no state" in run("ledger", "receipts", "--state", "x").err
    sick = run("doctor", "--no-peers").out
    assert "1 receipts are proven" in sick
    assert "its head was seen last" in sick


def test_who_is_no_peer_is_not_asked(run: Run) -> None:
    told = run("ledger", "ask", "vn")
    assert told.code == 6
    assert "No peer is named 'vn'" in told.err
    assert run("ledger", "watch", "vn").code == 6
