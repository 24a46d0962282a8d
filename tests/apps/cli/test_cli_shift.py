"""Handing over a shift by the command line."""

import pytest

from commands import Run
from keys import identity

HOSTILE = "\u202eกะ\x1b[31m [x](http://evil.example)"


@pytest.fixture
def case(run: Run) -> str:
    run("party", "set", "sg", "--identity", identity("sg"))
    made = run("case", "open", "Phishing kit", "sg", "--severity", "high", "--json")
    assert made.code == 0, made.err
    return str(made.json["id"][12:20])


def test_a_shift_is_shown_given_and_taken(run: Run, case: str) -> None:
    run("case", "note", case, HOSTILE)
    shown = run("shift")
    assert shown.code == 0, shown.err
    assert "Phishing kit" in shown.out
    assert "acknowledge" in shown.out
    assert "\x1b" not in shown.out
    told = run("shift", "--give", "Somchai", "--text", HOSTILE, "--json").json
    assert (told["signed"]["to"], told["signed"]["took"]) == ("Somchai", "")
    (one,) = told["cases"]
    assert one["changes"][-1] == {**one["changes"][-1], "what": "note", "private": True}
    taken = run("shift", "--take", "--markdown")
    assert taken.code == 0, taken.err
    assert "**Own organisation only**" in taken.out
    assert "Given by" in taken.out
    assert "](http" not in taken.out
    assert run("shift", "--take").code == 2
    (row,) = run("shift", "--list", "--json").json
    assert row["n"] == 1
    assert row["taken"]
    assert row["digest"] == told["signed"]["digest"]
    assert run("shift", "--json").json["cases"][0]["changes"] == []


def test_a_shift_that_is_asked_for_wrongly_is_refused(run: Run) -> None:
    for words in (
        ("--give", "x", "--take"),
        ("--take", "--list"),
        ("--text", "x"),
        ("--hours", "0"),
        ("--since", "2999-01-01"),
        ("--since", "soon"),
    ):
        ran = run("shift", *words)
        assert ran.code == 2, (words, ran.err)
    assert run("shift", "--take").code == 6
    assert run("shift", "--list").out == "Nobody has given a shift yet.\n"
