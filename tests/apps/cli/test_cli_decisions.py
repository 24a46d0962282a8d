"""Each command that changes something leaves a decision with the account's name."""

import os
import pwd
from pathlib import Path
from typing import Any

import pytest

from commands import Run, indicator, opened, written
from serantau.records import acts
from serantau.records.audit import Period
from serantau.rules.key import Key

ME = pwd.getpwuid(os.getuid()).pw_name
KEY = Key.of(b"\1" * 32).id


def test_every_change_by_a_command_is_a_decision_with_what_was_before(
    run: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Who one is, nobody says by a variable.
    monkeypatch.setenv("LOGNAME", "mallory")
    words = tmp_path / "password"
    words.write_text("a long password\n")
    broken = written(tmp_path / "in.json", *(indicator(n, pattern="[") for n in (1, 2)))
    assert run("load", broken).code == 9
    for line, what, about in (
        ("party add egat --kind operator", "added a party", "egat"),
        ("party set egat --ceiling GREEN", "changed a party", "egat"),
        ("party block egat", "changed a party", "egat"),
        ("party unblock egat", "changed a party", "egat"),
        ("circle set ports sg --yes", "made a circle", "ports"),
        ("circle set ports vn --yes", "changed a circle", "ports"),
        ("circle drop ports", "dropped a circle", "ports"),
        ("collection add feed --title Feed", "made a collection", "feed"),
        (f"user add ann --party sg --password-file {words}", "added a user", "ann"),
        (f"user password ann --password-file {words}", "set a user's password", "ann"),
        ("user token ann", "made a token", "ann"),
        ("user disable ann", "kept a user out", "ann"),
        ("user enable ann", "let a user in", "ann"),
        ("peer add sg http://127.0.0.1:1 --no-check", "added a peer", "sg"),
        ("peer pause sg", "paused a peer", "sg"),
        ("peer resume sg", "follows a peer", "sg"),
        ("peer remove sg", "removed a peer", "sg"),
        ("contact add egat soc@egat.example", "added a contact", "egat"),
        ("contact remove 1", "removed a contact", "egat"),
        ("asset add egat 192.0.2.0/24", "added an asset", "egat"),
        ("asset remove egat 192.0.2.0/24", "removed an asset", "egat"),
        ("notice set egat --least-rows 5", "set how owners are told", "egat"),
        ("share simulate --party vn --block --apply --yes", "changed a party", "vn"),
        ("quarantine retry 1", "retried from quarantine", "1"),
        ("quarantine drop 2", "dropped from quarantine", "2"),
        (f"key pin sg {KEY}", "pinned a key", "sg"),
        ("key unpin sg", "took a pin away", "sg"),
        ("key rotate", "changed this node's key", "identity--"),
    ):
        before = decisions(home)
        ran = run(*line.split())
        assert ran.code in {0, 9}, (line, ran.err)
        made = decisions(home)[len(before) :]
        assert what in {one.what for one in made}, (line, made)
        (found,) = [one for one in made if one.what == what]
        assert (found.actor, found.way) == (ME, "cli")
        assert found.about.startswith(about), line
    told = {one.what: one for one in decisions(home)}
    assert told["changed a circle"].before == {"members": ["sg"]}
    assert told["changed a circle"].after == {"members": ["vn"]}
    assert told["applied a simulation"].about
    assert "a long password" not in str(told)
    assert run("ledger", "verify").code == 0


def decisions(home: Path) -> list[Any]:
    with opened(home) as node, node.db.read() as tx:
        return list(acts.decided_by(tx, ME, Period(), 1000))
