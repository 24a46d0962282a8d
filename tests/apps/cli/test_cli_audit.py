"""`serantau audit`: each question is answered from the log, and for its time only."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from commands import Run, indicator, opened, written
from serantau.clock import instant
from serantau.desk.audit import period
from serantau.errors import BadRequest
from serantau.rules.marking import Tlp

ME = pwd.getpwuid(os.getuid()).pw_name


@pytest.fixture
def told(run: Run, home: Path, tmp_path: Path) -> Run:
    """Indicator 1 was handed to sg, and sg then blocked; both by this account."""
    file = written(tmp_path / "in.json", indicator(1), indicator(2, Tlp.RED))
    assert run("load", file).code == 0
    assert run("share", "write", "--to", "sg", "--yes", tmp_path / "out").code == 0
    assert run("party", "block", "sg").code == 0
    return run


def test_audit_tells_who_got_an_object_and_under_which_rule(told: Run) -> None:
    (row,) = told("audit", "object", indicator(1)["id"], "--json").json["left"]
    assert (row["party"], row["user"], row["way"]) == ("sg", ME, "handout")
    assert row["rule"] == "green-to-community"
    assert "to nobody" in told("audit", "object", indicator(2)["id"]).out
    unknown = told("audit", "object", indicator(3)["id"])
    assert unknown.code != 0
    assert "There is no object" in unknown.err


def test_audit_tells_what_left_to_a_party_in_a_time(told: Run) -> None:
    ever = told("audit", "party", "sg", "--json").json
    assert [one["user"] for one in ever["left"]] == [ME]
    assert not ever["more"]
    assert told("audit", "party", "my", "--json").json["left"] == []
    before = told("audit", "party", "sg", "--until", "2026-01", "--json").json
    assert before["left"] == []
    shown = told("audit", "party", "sg", "--zone", "Asia/Bangkok").out
    assert "+07" in shown
    assert "1 pages of" in shown
    assert "is no time zone" in told("audit", "party", "sg", "--zone", "x/y").err


def test_audit_tells_what_a_person_decided_and_let_go(told: Run) -> None:
    found = told("audit", "person", ME, "--json").json
    (decided,) = [one for one in found["decisions"] if one["about"] == "sg"]
    assert (decided["what"], decided["way"]) == ("changed a party", "cli")
    assert (decided["before"], decided["after"]) == (
        {"blocked": False},
        {"blocked": True},
    )
    assert [one["party"] for one in found["left"]] == ["sg"]
    assert "blocked no -> blocked yes" in told("audit", "person", ME).out
    nobody = told("audit", "person", "nobody", "--json").json
    assert nobody == {"decisions": [], "left": [], "read": [], "more": False}


def test_what_own_people_read_is_logged_before_they_see_it(
    told: Run, tmp_path: Path
) -> None:
    """Each way of reading leaves a row, with the question and what was shown."""
    sought = indicator(1)["id"]
    assert told("show", sought).code == 0
    assert told("search", "n1.example").code == 0
    assert told("search", "nothing.example").code == 0
    assert told("events", "--address", "192.0.2.1", "--count").code == 0
    assert told("export", tmp_path / "export").code == 0
    found = told("audit", "person", ME, "--json").json["read"]
    assert [(one["what"], one["count"]) for one in found[:3]] == [
        ("show", 1),
        ("search", 1),
        ("search", 0),
    ]
    assert [one["what"] for one in found[3:]] == ["events", "export"]
    assert "192.0.2.1" in found[3]["asked"]
    readers = told("audit", "object", sought, "--json").json["read"]
    assert [(one["user"], one["way"]) for one in readers] == [(ME, "cli")] * 2
    assert told("audit", "object", indicator(2)["id"], "--json").json["read"] == []
    assert "n1.example" in told("audit", "object", sought).out


def test_a_log_that_cannot_be_written_keeps_nobody_from_reading(
    told: Run, home: Path
) -> None:
    with opened(home) as node, node.db.reshape() as connection:
        connection.exec_driver_sql("DROP TABLE ledger.reading")
    assert "Number 1" in told("search", "n1.example").out


def test_what_a_person_read_is_erased_with_a_reason_and_the_tree_verifies(
    told: Run, home: Path
) -> None:
    assert told("search", "n1.example").code == 0
    refused = told("audit", "erase", "--person", ME, "--reason", "request 7")
    assert "--yes says so" in refused.err
    assert "A reason is missing" in told("audit", "erase", "--person", ME, "--yes").err
    erased = told(
        "audit", "erase", "--person", ME, "--reason", "request 7", "--yes", "--json"
    )
    assert erased.json == {"reading": 1, "release": 1}
    found = told("audit", "person", ME, "--json").json
    assert (found["read"], found["left"]) == ([], [])
    assert found["decisions"][-1]["why"] == "request 7"
    assert ME not in str(found["decisions"][-1]["about"])
    # To whom it left is still known.
    (left,) = told("audit", "party", "sg", "--json").json["left"]
    assert (left["party"], left["user"], left["request"]) == ("sg", "", "")
    verified = told("ledger", "verify", "--json").json
    assert (verified["fault"], verified["erased"]) == ("", 2)
    # It is in no file of the store either.
    for file in home.glob("*.db*"):
        assert b"n1.example" not in file.read_bytes() or "ledger" not in file.name


def test_what_is_older_than_the_settings_say_is_erased(
    told: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert told("search", "n1.example").code == 0
    assert told("audit", "expire", "--json").json == {}
    with opened(home) as node, node.db.write() as tx:
        # As if it had been so long ago: the leaf is made of what stands there.
        tx.run("UPDATE ledger.release SET at = 1")
    monkeypatch.setenv("SERANTAU_AUDIT_KEEP_REQUESTS", "30")
    monkeypatch.setenv("SERANTAU_AUDIT_KEEP_READINGS", "30")
    assert told("audit", "expire", "--json").json == {"release": 1}
    assert told("audit", "expire", "--json").json == {}
    assert len(told("audit", "person", ME, "--json").json["read"]) == 1
    assert told("ledger", "verify", "--json").json["erased"] == 1


def test_a_month_begins_at_midnight_where_it_is_asked_from() -> None:
    march = period("2026-03", "2026-04-01", ZoneInfo("Asia/Bangkok"), 0)
    assert march.since == instant("2026-02-28T17:00:00Z")
    assert march.until == instant("2026-03-31T17:00:00Z")
    for since, until in (("2026-13", ""), ("2026-04", "2026-03"), ("soon", "")):
        with pytest.raises(BadRequest):
            period(since, until, ZoneInfo("UTC"), 0)
