"""Cases in a store: which objects are entries, the board, and what stays here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cases import START, Log
from keys import identity
from serantau.desk.case_log import summary_of
from serantau.errors import BadRequest, NotFound
from serantau.records.case_board import CaseBoard, Wanted
from serantau.records.cases import Cases, PartRow, Row, Summary
from serantau.rules.case import Case
from serantau.rules.case_entry import Kind, audience_of, circle_of
from serantau.rules.marking import Tlp, make_audience
from serantau.rules.text import fold
from stores import AMBER, Store, indicator, read

BOARD, CASES = CaseBoard(), Cases()


def kept(store: Store, log: Log, standing: str = "valid") -> list[int]:
    """Store a case's entries; gives their stamps."""
    admission = store.admit(*log.objects)
    rows = [
        Row(added, log.id, one.id, one.creator, standing)
        for added, one in enumerate(admission.new, admission.first)
    ]
    with store.db.write() as tx:
        CASES.put(tx, rows)
    return [row.added for row in rows]


def summary(log: Log, **change: object) -> Summary:
    return replace(summary_of(log.case, identity("th")), **change)  # type: ignore[arg-type]


def test_entries_come_back_as_they_were_admitted_from_a_stamp_on(store: Store) -> None:
    log = Log.opened("th", "sg")
    log.say("sg", Kind.ACKNOWLEDGED, description="ได้รับแล้ว")
    stamps = kept(store, log)
    with store.db.read() as tx:
        assert CASES.entries(tx, log.id) == log.entries
        assert CASES.entries(tx, log.id, stamps[0]) == log.entries[1:]
        assert CASES.held(tx, log.id) == (3, stamps[2])
        assert CASES.held(tx, "case-entry--x") == (0, 0)
        assert Case(log.id, CASES.entries(tx, log.id)).hash() == log.case.hash()


def test_an_entry_whose_signature_does_not_count_is_not_folded_until_it_does(
    store: Store,
) -> None:
    log = Log.opened("th", "sg")
    stamps = kept(store, log, "unknown_key")
    with store.db.write() as tx:
        assert CASES.entries(tx, log.id) == []
        doubts = CASES.doubts(tx, log.id)
        assert [row.standing for row in doubts] == ["unknown_key"] * 2
        assert [body for _, body in CASES.doubted(tx)] == [
            read(one).body for one in log.objects
        ]
        CASES.stand(tx, stamps[0], "valid")
        assert CASES.entries(tx, log.id) == log.entries[:1]
        assert [row.added for row in CASES.doubts(tx, log.id)] == stamps[1:]


def test_an_entry_whose_object_was_taken_out_is_forgotten(store: Store) -> None:
    log, other = Log.opened("th", "sg"), Log.opened("sg", "th")
    stamps = kept(store, log)
    kept(store, other)
    with store.db.write() as tx:
        assert CASES.gone(tx) == []
        store.objects.delete(tx, log.entries[1].id)
        assert CASES.held(tx, log.id) == (1, stamps[0])
        assert CASES.gone(tx) == [log.id]
        assert CASES.gone(tx) == []
        assert CASES.held(tx, other.id)[0] == 2


def test_the_board_has_open_cases_first_and_the_one_that_changed_last(
    store: Store,
) -> None:
    old, new, done = (Log.opened("th", name=name) for name in ("old", "new", "done"))
    rows = [
        summary(old, changed=1),
        summary(new, changed=2),
        summary(done, changed=3, closed=4),
    ]
    with store.db.write() as tx:
        for row in (summary(new), *rows):
            CASES.show(tx, row)
        assert [one.name for one in CASES.board(tx)] == ["new", "old"]
        every = CASES.board(tx, closed=True)
        assert [one.name for one in every] == ["new", "old", "done"]
        assert every[2] == rows[2] == CASES.find(tx, done.id)
        CASES.hide(tx, new.id)
        assert [one.name for one in CASES.board(tx)] == ["old"]


def test_a_case_is_named_by_how_its_id_begins(store: Store) -> None:
    log = Log.opened("th")
    twin = summary(log, id=log.id[:-1] + ("0" if log.id[-1] != "0" else "1"))
    with store.db.write() as tx:
        CASES.show(tx, summary(log))
        short = log.id.removeprefix("case-entry--")
        for name in (short[:4], short[:8].upper(), f" {short} ", log.id):
            assert CASES.find(tx, name).id == log.id
        for name in ("", "abc", "%", "x" * 8, "_" * 8, "case-entry--"):
            with pytest.raises(BadRequest, match="how a case's id begins"):
                CASES.find(tx, name)
        with pytest.raises(NotFound, match="No case begins with"):
            CASES.find(tx, "0000" if short[:4] != "0000" else "1111")
        CASES.show(tx, twin)
        with pytest.raises(BadRequest, match="Several"):
            CASES.find(tx, short[:8])
        assert CASES.find(tx, log.id).id == log.id


def test_who_is_in_a_case_is_noted_with_names_as_they_become_known(
    store: Store,
) -> None:
    log = Log.opened("th", "sg")
    one = PartRow(identity("sg"), "", "no-answer", 5, 0, False)
    other = PartRow(identity("th"), "th", "accepted", 4, 4, True)
    with store.db.write() as tx:
        CASES.take_part(tx, log.id, [one, other])
        assert set(CASES.parts(tx, log.id)) == {one, other}
        assert CASES.strangers(tx, {identity("vn"): "vn"}) == []
        assert CASES.strangers(tx, {identity("sg"): "sg"}) == [log.id]
        named = replace(one, name="sg", state="received", answered=6)
        CASES.take_part(tx, log.id, [named, other])
        assert set(CASES.parts(tx, log.id)) == {named, other}
        assert CASES.strangers(tx, {identity("sg"): "sg"}) == []


def test_whoever_comes_into_the_circle_sees_the_log_from_the_beginning(
    store: Store,
) -> None:
    log, other = Log.opened("th", "sg"), Log.opened("th", nonce="f" * 32)
    audiences = (audience_of(log.id), audience_of(other.id))
    store.admit(*audiences, handled=Tlp.CLEAR)
    kept(store, log)
    kept(store, other)

    def gather(*members: str) -> bool:
        with store.db.write() as tx:
            return CASES.gather(tx, store.audiences, log.id, members)

    assert store.ids("vn") == store.ids("sg") == []
    assert gather("sg")
    assert not gather("sg")
    audience = audience_of(log.id)["id"]
    whole = {audience, *(one.id for one in log.entries)}
    assert set(store.ids("sg")) == whole
    cursor = store.page("vn").after
    assert gather("sg", "vn")
    # What was there before comes behind the cursor that had passed it.
    assert set(store.ids("vn", after=cursor)) == whole
    with store.db.read() as tx:
        circle = store.audiences.circles(tx)[circle_of(log.id)]
    assert circle.members == {"sg", "vn"}
    assert log.id[12:20] not in circle.name
    assert gather()
    assert store.ids("vn") == []


def test_a_marking_that_names_the_circle_beside_a_party_follows_it(
    store: Store,
) -> None:
    log = Log.opened("th", "sg")
    both = make_audience(named=["jp"], circles=[circle_of(log.id)])
    one = indicator("x", AMBER, both["id"])
    store.admit(both, one)
    assert one["id"] not in store.ids("vn")
    with store.db.write() as tx:
        CASES.gather(tx, store.audiences, log.id, ["vn"])
    assert one["id"] in store.ids("vn")


def test_notes_tasks_and_files_are_of_one_case(store: Store) -> None:
    log, other = Log.opened("th"), Log.opened("th", nonce="f" * 32)
    with store.db.write() as tx:
        CASES.add_note(tx, log.id, "ann", "ห้ามบอกใคร")
        number = CASES.add_task(tx, log.id, "ann", "ask the bank", 7)
        file = CASES.add_file(tx, log.id, "bob", "a.pcap", b"\x00\xff")
        for case in (log.id, other.id):
            own = case == log.id
            assert [one.text for one in CASES.notes(tx, case)] == ["ห้ามบอกใคร"] * own
            assert [one.due for one in CASES.tasks(tx, case)] == [7] * own
            assert [one.size for one in CASES.files(tx, case)] == [2] * own
        assert CASES.file(tx, log.id, file) == b"\x00\xff"
        for what in (
            lambda: CASES.file(tx, other.id, file),
            lambda: CASES.end_task(tx, other.id, number),
        ):
            with pytest.raises(NotFound):
                what()
        CASES.end_task(tx, log.id, number)
        (task,) = CASES.tasks(tx, log.id)
        assert task.done > 0
        with pytest.raises(NotFound, match="to be done"):
            CASES.end_task(tx, log.id, number)


def test_the_board_has_the_worst_clock_first_and_goes_by_cursor_both_ways(
    store: Store,
) -> None:
    late, soon, calm = (Log.opened("th", "sg", name=name) for name in ("a", "b", "c"))
    rows = [
        summary(soon, due=START + 2, severity="high"),
        summary(calm, due=0, mine="deferred"),
        summary(late, due=START + 1, owner=identity("sg")),
    ]
    with store.db.write() as tx:
        for row in rows:
            CASES.show(tx, row, fold(f"การโจมตี {row.name}"))
        CASES.show(tx, replace(rows[0], id=f"{soon.id[:-4]}eeee", closed=START))
        first = BOARD.page(tx, Wanted(), limit=2)
        assert [one.name for one in first.found] == ["a", "b"]
        assert first.newer == ""
        second = BOARD.page(tx, Wanted(), cursor=first.older, limit=2)
        assert [one.name for one in second.found] == ["c"]
        assert second.older == ""
        assert BOARD.page(tx, Wanted(), cursor=second.newer, limit=2) == first
        for rubbish in ("x", "<", ">9e9.x", "<--", ">" + "9" * 50):
            BOARD.page(tx, Wanted(), cursor=rubbish)

        def names(**how: Any) -> str:
            found = BOARD.page(tx, Wanted(**how)).found
            return "".join(one.name for one in found)

        assert names(closed=True) == "b"
        assert names(severities=("high",)) == "b"
        assert names(mine=("deferred",)) == "c"
        assert names(owner=identity("sg")) == "a"
        assert names(text=fold("โจมตี B")) == "b"
        assert names(text="%") == names(text="_") == names(text="!") == ""
        assert names(text=late.id.partition("--")[2][:8]) == "a"
        assert BOARD.counts(tx)["severity"] == {"": 2, "high": 1}
        CASES.take_part(tx, calm.id, [PartRow("i", "vn", "received", 1, 0, False)])
        assert names(party="vn") == "c"
        assert [one.name for one in BOARD.parties(tx, [calm.id])[calm.id]] == ["vn"]
