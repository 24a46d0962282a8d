"""`serantau recall`: asking for objects back, and what a person is shown of it."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from commands import Run, command, indicator, opened
from recalls import by, pin, take, text_of
from serantau.clock import SystemClock
from serantau.desk.found import Charter, found
from serantau.desk.recall import NO_GUARANTEE
from serantau.desk.share import Share
from serantau.records.registry import Caller
from serantau.records.views import Asked


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A node th of which vn got an object that th made, and one of my."""
    home = tmp_path / "th"
    found(home, Charter("th", "ThaiCERT"), SystemClock())
    with opened(home) as node:
        pin(node, "my")
        ours = indicator(1, created_by_ref=node.config.node.identity)
        theirs = by("my", indicator(2))
    (tmp_path / "x.json").write_bytes(orjson.dumps([ours, theirs]))
    assert command(home, "load", tmp_path / "x.json").code == 0
    with opened(home) as node:
        with node.db.read() as tx:
            number, vn = node.registry.party(tx, "vn")
            released = node.registry.collection(tx, "released")
        page = Share(node).page(
            Caller("vn-node", number, vn, "reader"), released, Asked(), way="taxii"
        )
        assert page.count >= 2
    return home


def runs(home: Path) -> Run:
    return lambda *words: command(home, *words)


def test_a_recall_is_asked_for_shown_and_answered_by_hand(home: Path) -> None:
    run, ours = runs(home), indicator(1)["id"]
    assert run("recall", "list").out == "Nothing was recalled.\n"
    asked = run("recall", ours, "--reason", "the wrong host")
    assert (asked.code, "--yes" in asked.err) == (2, True)
    made = run("recall", ours, "--reason", "the wrong host", "--yes")
    assert (made.code, NO_GUARANTEE in made.err) == (0, True)
    assert f"{ours}: vn (taxii)" in made.err
    assert "to be told: vn" in made.out
    shown = run("recall", "show", ours)
    assert NO_GUARANTEE in shown.out
    assert "no answer yet" in shown.out
    assert run("recall", "answer", ours, "vn", "gone").code == 2
    told = run("recall", "answer", ours, "vn", "kept", "--note", "by telephone")
    assert "by hand" in told.out
    (document,) = run("recall", "show", ours, "--json").json
    (party,) = document["parties"]
    assert document["reason"] == "the wrong host"
    assert (party["party"], party["ways"], party["answer"], party["proven"]) == (
        "vn",
        ["taxii"],
        "kept",
        False,
    )
    assert "by telephone" in party["note"]
    again = run("recall", "ask", ours, "--yes")
    assert (again.code, "already" in again.err) == (2, True)
    assert "recalled" in run("share", "preview", ours).out
    assert "recalled, kept here" in run("show", ours).out
    (row,) = run("recall", "list", "--json").json["recalls"]
    assert row["object"] == ours
    with opened(home) as node:
        assert not take(node, text_of(by("vn", indicator(3)), "vn", node="vn"))
    doctor = run("doctor", "--no-peers").out
    assert "1 of this node's own, 0 parties have not answered" in doctor
    assert "1 that came are not believed" in doctor


def test_what_another_recalled_is_told_and_may_be_kept(home: Path) -> None:
    run, theirs = runs(home), indicator(2)["id"]
    assert run("recall", theirs, "--yes").code == 5
    with opened(home) as node:
        assert take(node, text_of(by("my", indicator(2)), reason="\x1b[31mwrong"))
    gone = run("show", theirs)
    assert (gone.code, "recalled by its creator" in gone.err) == (6, True)
    shown = run("recall", "show", theirs)
    assert "by my" in shown.out
    assert "\x1b" not in shown.out
    assert "Here: withdrawn" in shown.out
    # This node told whom it had passed it on to.
    assert "vn" in shown.out
    assert run("recall", "keep", theirs).code == 2
    assert run("recall", "keep", theirs, "--reason", "court order 5").code == 0
    assert "recalled, kept here" in run("show", theirs).out
    assert "court order 5" in run("recall", "list").out
    assert "kept under legal duty" in run("recall", "show", theirs).out
    assert run("recall", "keep", theirs, "--end").code == 0
    assert run("recall", "keep", theirs, "--end").code == 6
