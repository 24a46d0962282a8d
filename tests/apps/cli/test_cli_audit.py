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
from serantau.records import tables
from serantau.rules.marking import Tlp

ME = pwd.getpwuid(os.getuid()).pw_name


@pytest.fixture
def told(run: Run, home: Path, tmp_path: Path) -> Run:
    """Indicator 1 was handed to sg, and rows were erased; both by this account."""
    file = written(tmp_path / "in.json", indicator(1), indicator(2, Tlp.RED))
    assert run("load", file).code == 0
    assert run("share", "write", "--to", "sg", "--yes", tmp_path / "out").code == 0
    counts = ("events", "rejects", "batches", "originals", "parcels", "notices")
    with opened(home) as node, node.db.write() as tx:
        tx.insert(
            tables.erasure,
            {
                "at": tx.clock.now(),
                "actor": ME,
                "reason": "court order 7",
                "scope": "",
                "about": "2 addresses",
                "lease": 0,
                "ended": tx.clock.now(),
                **dict.fromkeys(counts, 0),
            },
        )
    return run


def test_audit_tells_who_got_an_object_and_under_which_rule(told: Run) -> None:
    (row,) = told("audit", "object", indicator(1)["id"], "--json").json
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
    (decided,) = found["decisions"]
    assert (decided["what"], decided["why"]) == ("erased rows", "court order 7")
    assert [one["party"] for one in found["left"]] == ["sg"]
    assert "court order 7" in told("audit", "person", ME).out
    nobody = told("audit", "person", "nobody", "--json").json
    assert nobody == {"decisions": [], "left": [], "more": False}


def test_a_month_begins_at_midnight_where_it_is_asked_from() -> None:
    march = period("2026-03", "2026-04-01", ZoneInfo("Asia/Bangkok"), 0)
    assert march.since == instant("2026-02-28T17:00:00Z")
    assert march.until == instant("2026-03-31T17:00:00Z")
    for since, until in (("2026-13", ""), ("2026-04", "2026-03"), ("soon", "")):
        with pytest.raises(BadRequest):
            period(since, until, ZoneInfo("UTC"), 0)
