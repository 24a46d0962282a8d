"""How much of the cases here is whose, in both databases."""

from __future__ import annotations

from dataclasses import replace

from cases import Log
from keys import identity
from serantau.desk.case_log import summary_of
from serantau.records.case_floods import CaseFloods
from serantau.records.cases import Cases, Row
from serantau.records.quarantine import Fault, Quarantine
from stores import Store

FLOODS = CaseFloods()
VN, SG = identity("vn"), identity("sg")


def test_a_case_is_of_who_brought_it_while_it_is_open_or_new(store: Store) -> None:
    line = summary_of(Log.opened("vn").case, identity("th"))
    rows = [
        # Of vn: one open, one closed long ago, one closed and new, one not proven.
        Row(10, "open", "open", VN, "valid"),
        Row(11, "old", "old", VN, "valid"),
        Row(30, "new", "new", VN, "valid"),
        Row(31, "claimed", "claimed", VN, "unsigned"),
        # What sg brought is not of vn, whatever vn says in it.
        Row(12, "theirs", "theirs", SG, "valid"),
        Row(32, "theirs", "answer", VN, "valid"),
        Row(33, "open", "another", VN, "valid"),
    ]
    with store.db.write() as tx:
        Cases().put(tx, rows)
        for case, closed in (("open", 0), ("old", 15), ("new", 35), ("theirs", 0)):
            waiting = int(case == "theirs")
            Cases().show(tx, replace(line, id=case, closed=closed, waiting=waiting))
    with store.db.read() as tx:
        assert FLOODS.brought(tx, VN, True, 20) == 2
        assert FLOODS.brought(tx, VN, True, 5) == 3
        assert FLOODS.brought(tx, VN, False, 20) == 1
        assert FLOODS.brought(tx, SG, True, 20) == 1
        assert FLOODS.came(tx, VN, True, 20) == 3
        assert FLOODS.came(tx, VN, False, 20) == 1
        assert FLOODS.within(tx, "open", VN, True, 2) == 2
        assert FLOODS.within(tx, "open", SG, True, 2) == 0
        assert FLOODS.within(tx, "open", VN, True, 3) == 0
        assert FLOODS.known(tx, ["open", "claimed", "nowhere"]) == {"open", "claimed"}
        assert FLOODS.lacking(tx) == ["theirs"]


def test_what_waits_is_found_by_its_rule_oldest_first(store: Store) -> None:
    quarantine = Quarantine()
    rules = {"c": "too-many", "a": "too-many", "b": "other"}
    with store.db.write() as tx:
        quarantine.hold(
            tx, "peer:vn", [Fault(one.encode(), rule, "", "", "", id=one)
            for one, rule in rules.items()],
        )  # fmt: skip
    with store.db.read() as tx:
        assert FLOODS.held_back(tx, ["too-many"], ["a", "b", "x"]) == {"a"}
        assert FLOODS.waiting(tx, ["too-many", "x"], "peer:vn") == 2
        assert FLOODS.waiting(tx, ["too-many"], "peer:sg") == 0
        found = quarantine.by_rules(tx, ["too-many"], 5)
        assert [one.id for one in found] == ["c", "a"]
        assert len(quarantine.by_rules(tx, ["too-many"], 1)) == 1
