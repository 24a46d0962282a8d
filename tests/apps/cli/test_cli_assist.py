"""Asking for help in a case and answering, what is due of whom, and how grave it is."""

import pytest

from commands import Run
from keys import identity


@pytest.fixture
def case(run: Run) -> str:
    """How the id of an open case begins."""
    run("party", "set", "sg", "--identity", identity("sg"))
    made = run("case", "open", "Phishing kit", "sg", "--severity", "high", "--json")
    assert made.code == 0, made.err
    return str(made.json["id"][12:20])


def test_an_ask_is_open_until_it_is_answered_and_says_all_that_it_must(
    run: Run, case: str
) -> None:
    made = run(
        *("assist", "ask", case, "ขอข้อมูลโฮสต์", "sg", "--limits", "no personal data"),
        *("--due", "2027-03-01T08:00:00+07:00", "--language", "th", "--json"),
    )
    assert made.code == 0, made.err
    (row,) = run("assist", "list", "--json").json
    assert (row["what"], row["by"], row["to"]) == ("ขอข้อมูลโฮสต์", "th", "sg")
    assert (row["answer"], row["ours"], row["id"]) == ("open", False, made.json["ask"])
    assert row["due"] == "2027-03-01T01:00:00.000Z"
    log = run("case", "show", case, "--json").json["log"]
    assert log[-1]["limits"] == "no personal data"
    assert log[-1]["languages"] == ["th"]
    assert case in run("assist", "list").out
    # Only who is asked answers.
    refused = run("assist", "accept", case, made.json["ask"])
    assert (refused.code, "Nothing was written" in refused.err) == (5, True)
    assert run("assist", "list", "--all", "--json").json == [row]


def test_an_ask_that_cannot_be_is_refused_with_what_is_missing(
    run: Run, case: str
) -> None:
    for words, told in (
        (("ask", case, "x", "th"), "but not us"),
        (("ask", case, "x", "vn"), "not in the case"),
        (("ask", case, "x", "sg", "--due", "soon"), "is no time"),
        (("ask", case, "x", "sg", "--language", ""), "expected"),
        (("accept", case, "ffffffff"), "has no ask"),
        (("decline", case, "ffffffff", "--text", ""), "Say why not"),
        (("refer", case, "ffffffff", "--to", "nobody"), "has no ask"),
    ):
        ran = run("assist", *words)
        assert ran.code in {2, 6}, (words, ran.err)
        assert told in ran.err
        assert "Traceback" not in ran.err
    assert run("assist", "list").out == "Nothing is asked that is not answered.\n"


def test_a_case_tells_what_is_due_there_and_what_the_law_asks(
    run: Run, case: str
) -> None:
    run("case", "task", case, "Call", "--for", "sg", "--due", "2020-01-01T00:00:00Z")
    told = run("case", "show", case)
    assert "acknowledge" in told.out
    assert " over" in told.out
    assert "check the law" in told.out
    held = run("case", "show", case, "--json").json
    assert [
        (one["party"], one["clock"].partition(":")[0]) for one in held["clocks"]
    ] == [
        *(("sg", "task"), ("sg", "acknowledge"), ("th", "update")),
    ]
    assert held["clocks"][0]["local"] == "Wed 08:00 +08"
    assert {one["caution"] for one in held["duties"]} == {"check the law"}


def test_a_severity_is_scored_by_answers_and_shown_with_its_parts(
    run: Run, case: str
) -> None:
    factors = ("--factor", "function=critical-denied", "--factor", "states=3")
    ran = run("case", "assess", case, *factors)
    assert ran.code == 0, ran.err
    # (6 of 11 parts at 100) + (5 of 11 at 60)
    assert "81.8 of 100 points: emergency." in ran.err
    assert "How many states are hit at once? 3" in ran.err
    assert run("case", "show", case, "--json").json["state"]["severity"] == "emergency"
    for wrong in ("mood=bad", "function", "function=odd"):
        refused = run("case", "open", "x", "--factor", wrong)
        assert refused.code == 2
        assert "--factor: " in refused.err
