"""Which rows become which notice, and why the others do not."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notice_events import DAY, OWNERS, frame, make_node, reach, row
from serantau.clock import SetClock, instant
from serantau.desk.notify import Notify, Outlook, Plan, csv_of
from serantau.node import Node
from serantau.records.contacts import Contacts
from serantau.records.notices import Notices
from serantau.rules.level import Tlp
from serantau.rules.notice import CSV_COLUMNS, Mute, Setting, State, is_risky


@pytest.fixture
def clock() -> SetClock:
    return SetClock(f"{DAY}T13:00:00Z")


@pytest.fixture
def node(tmp_path: Path, clock: SetClock) -> Iterator[Node]:
    with make_node(tmp_path / "th", clock) as made:
        for party in OWNERS:
            reach(made, party)
        yield made


def make(node: Node, *rows: dict[str, Any], day: str = DAY) -> Outlook:
    return Notify(node, "ann").make(frame(*rows), day)


def only(outlook: Outlook) -> Plan:
    (plan,) = outlook.plans
    return plan


def rows_of(plan: Plan) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(plan.csv.decode())))


def addresses(plan: Plan) -> list[str]:
    return [each["source_address"] for each in rows_of(plan)]


def put(node: Node, what: Mute | Setting) -> None:
    with node.db.write() as tx:
        if isinstance(what, Mute):
            Notices().mute(tx, what)
        else:
            Notices().put_setting(tx, what)


# --- one notice ----------------------------------------------------------------------


def test_rows_of_one_owner_class_and_day_become_one_notice(node: Node) -> None:
    outlook = make(
        node,
        row(last=7),
        row(last=8),
        row(last=9, type="scanner"),
        row("shop", last=20),
        row(None, last=30),
        row("nobody-here", last=31),
    )
    assert [(each.party, each.group, each.rows) for each in outlook.plans] == [
        ("bank", "information-gathering", 1),
        ("bank", "malicious-code", 2),
        ("shop", "malicious-code", 1),
    ]
    assert outlook.nobodys == 2
    assert [each.state for each in outlook.made] == [State.WAITING] * 3


def test_rows_of_another_party_never_stand_in_a_partys_notice(node: Node) -> None:
    mixed = [row("bank" if n % 2 else "shop", last=n) for n in range(1, 60)]
    for plan in make(node, *mixed).plans:
        odd = {int(each.rpartition(".")[2]) % 2 for each in addresses(plan)}
        assert odd == ({1} if plan.party == "bank" else {0})


def test_a_dry_run_keeps_nothing(node: Node) -> None:
    for _ in range(2):
        plan = only(Notify(node, "ann").plan(frame(row()), DAY))
        assert (plan.rows, plan.notice) == (1, None)
    with node.db.read() as tx:
        assert Notices().all(tx) == []
        assert tx.value("SELECT count(*) FROM told") == 0


def test_a_plan_for_one_party_leaves_the_others_alone(node: Node) -> None:
    outlook = Notify(node, "ann").make(frame(row(), row("shop", 9)), DAY, "shop")
    assert [each.party for each in outlook.plans] == ["shop"]


def test_no_rows_make_no_notice(node: Node) -> None:
    assert make(node).plans == []


def test_the_notice_tells_types_places_and_families(node: Node) -> None:
    plan = only(
        make(
            node,
            row(last=7),
            row(last=7, report="event6_sinkhole_http"),
            row(last=8, report="scan_unheard_of"),
            row(last=9, type="c2-server", report=None),
        )
    )
    assert plan.facts["types"] == [
        {
            "type": "infected-system",
            "rows": 3,
            "places": 2,
            "families": ["sinkhole"],
        },
        {"type": "c2-server", "rows": 1, "places": 1, "families": []},
    ]
    assert plan.facts["examples"] == ["203.0.113.7", "203.0.113.8", "203.0.113.9"]
    assert (plan.rows, plan.places, plan.findings) == (4, 3, 3)


def test_names_in_the_text_are_defanged_and_printable(node: Node) -> None:
    plan = only(
        make(
            node,
            row(source_address=None, source_domain="evil.example"),
            row(source_address=None, source_url="http://x.example/\x1b[2J\u202e"),
        )
    )
    assert plan.facts["examples"] == [
        "evil[.]example",
        "hxxp://x[.]example/?[2J?",
    ]


# --- quiet ---------------------------------------------------------------------------


def told_again(
    node: Node, clock: SetClock, days: float, before: Any, after: Any
) -> bool:
    make(node, before)
    clock.advance(days=days)
    plan = only(make(node, after, day="2026-04-09"))
    assert plan.rows + plan.left.get("quiet", 0) == 1
    return bool(plan.rows)


@pytest.mark.parametrize(
    ("kind", "days", "again"),
    [
        ("infected-system", 6.9, False),
        ("infected-system", 7.1, True),
        ("vulnerable-system", 7.1, False),
        ("vulnerable-system", 29.9, False),
        ("vulnerable-system", 30.1, True),
    ],
)
def test_a_finding_is_told_again_after_7_days_if_compromised_and_30_otherwise(
    node: Node, clock: SetClock, kind: str, days: float, again: bool
) -> None:
    assert told_again(node, clock, days, row(type=kind), row(type=kind)) == again


def test_a_finding_that_gets_worse_is_told_at_once(node: Node, clock: SetClock) -> None:
    assert told_again(node, clock, 0.1, row(severity=2), row(severity=3))


def test_a_finding_that_gets_milder_stays_quiet(node: Node, clock: SetClock) -> None:
    assert not told_again(node, clock, 0.1, row(severity=3), row(severity=None))


def test_what_was_not_said_to_be_bad_is_worse_when_it_is_said(
    node: Node, clock: SetClock
) -> None:
    assert told_again(node, clock, 0.1, row(severity=None), row(severity=0))


@pytest.mark.parametrize(
    ("more", "again"),
    [
        ({"source_port": 60_000}, False),
        ({"destination_port": 99}, False),
        ({"feed": "another", "report": "x"}, False),
        ({"malware": "emotet"}, True),
        ({"identifier": "other"}, True),
        ({"source_address": "203.0.113.99"}, True),
        ({"source_url": "http://a.example/"}, True),
    ],
)
def test_only_what_makes_it_another_finding_is_told_besides(
    node: Node, clock: SetClock, more: dict[str, Any], again: bool
) -> None:
    assert told_again(node, clock, 0.1, row(), row(**more)) == again


def test_another_port_of_a_service_is_another_finding(
    node: Node, clock: SetClock
) -> None:
    kind = "potentially-unwanted-accessible"
    one, other = row(type=kind, source_port=22), row(type=kind, source_port=23)
    assert told_again(node, clock, 0.1, one, other)


def test_a_new_machine_is_told_while_its_neighbour_is_quiet(
    node: Node, clock: SetClock
) -> None:
    make(node, row(last=7))
    clock.advance(days=1)
    plan = only(make(node, row(last=7), row(last=8), day="2026-03-06"))
    assert addresses(plan) == ["203.0.113.8"]
    assert plan.left == {"quiet": 1}


def test_what_comes_late_for_a_day_becomes_a_second_round(node: Node) -> None:
    first = only(make(node, row(last=7))).notice
    second = only(make(node, row(last=7), row(last=8))).notice
    assert first is not None
    assert second is not None
    assert (first.round, second.round) == (1, 2)
    assert second.facts["late"] == first.number
    assert only(make(node, row(last=7), row(last=8))).notice is None


def test_two_workers_that_look_at_the_same_rows_make_one_notice(node: Node) -> None:
    class Late(Notify):
        """A worker that is overtaken between looking and keeping."""

        def _keep(self, known: Any, plan: Plan, rows: pl.DataFrame) -> Plan:
            Notify(node, "bob").make(frame(row()), DAY)
            return super()._keep(known, plan, rows)

    plan = only(Late(node, "ann").make(frame(row()), DAY))
    assert plan.notice is None
    with node.db.read() as tx:
        assert [each.actor for each in Notices().all(tx)] == ["bob"]


def test_one_owner_is_not_quiet_because_another_was_told(
    node: Node, clock: SetClock
) -> None:
    make(node, row("bank"))
    assert only(make(node, row("shop"))).rows == 1


# --- mutes, thresholds, settings -----------------------------------------------------


@pytest.mark.parametrize(
    ("mute", "left"),
    [
        (Mute("bank", network="203.0.113.0/29"), 2),
        (Mute("bank", network="203.0.113.7/32"), 2),
        (Mute("bank", network="2001:db8::/32"), 2),
        (Mute("bank", group="malicious-code"), 0),
        (Mute("bank", group="fraud"), 3),
        (Mute("bank", feed="shadowserver"), 0),
        (Mute("bank", network="203.0.113.0/24", feed="other"), 3),
        (Mute("bank", feed="shadowserver", until=instant("2026-01-01T00:00:00Z")), 3),
        (Mute("shop", feed="shadowserver"), 3),
    ],
)
def test_an_owner_mutes_by_network_class_or_feed(
    node: Node, mute: Mute, left: int
) -> None:
    put(node, mute)
    plan = only(
        make(
            node,
            row(last=7),
            row(last=200),
            row(source_address="2001:db8::7"),
        )
    )
    assert plan.rows == left
    assert plan.left.get("muted", 0) == 3 - plan.rows


def test_a_mute_of_a_network_leaves_rows_without_an_address(node: Node) -> None:
    put(node, Mute("bank", network="0.0.0.0/0"))
    plan = only(make(node, row(source_address=None, source_domain="a.example")))
    assert plan.rows == 1


def test_mild_rows_and_small_notices_are_left_out(node: Node) -> None:
    put(node, Setting("bank", "", least_severity=3, least_rows=2))
    plan = only(make(node, row(severity=2), row(last=8, severity=None)))
    assert (plan.rows, plan.left) == (0, {"mild": 1, "few": 1})
    # What was too little to tell was not told.
    plan = only(make(node, row(last=9, severity=4), row(last=8, severity=None)))
    assert plan.rows == 2


def test_rows_that_a_warninglist_marks_are_never_told(node: Node) -> None:
    plan = only(make(node, row(marks="rfc1918"), row(last=8, marks="")))
    assert (plan.rows, plan.left) == (1, {"marked": 1})


@pytest.mark.parametrize(
    ("setting", "state"),
    [
        (Setting("bank", "", automatic=True), State.READY),
        (Setting("bank", "malicious-code", automatic=True), State.READY),
        (Setting("", "malicious-code", automatic=True), State.READY),
        (Setting("", "", automatic=True), State.READY),
        (Setting("shop", "", automatic=True), State.WAITING),
        (Setting("bank", "fraud", automatic=True), State.WAITING),
    ],
)
def test_a_notice_waits_for_approval_unless_somebody_set_otherwise(
    node: Node, setting: Setting, state: State
) -> None:
    put(node, setting)
    assert only(make(node, row())).state == state


def test_quiet_days_are_set_per_owner_and_class(node: Node, clock: SetClock) -> None:
    put(node, Setting("bank", "malicious-code", compromised_days=0))
    assert told_again(node, clock, 0, row(), row())


# --- what may leave ------------------------------------------------------------------


def test_red_rows_never_stand_in_a_notice(node: Node) -> None:
    levels = [int(each) for each in Tlp]
    rows = [row(last=n + 1, tlp=level) for n, level in enumerate(levels)]
    plan = only(make(node, *rows))
    assert {each["tlp"] for each in rows_of(plan)} == {
        "TLP:CLEAR",
        "TLP:GREEN",
        "TLP:AMBER",
        "TLP:AMBER+STRICT",
    }
    assert plan.left == {"withheld": 1}
    assert "red-by-person-only" in plan.withheld[Tlp.RED]


def test_a_severe_row_that_is_withheld_does_not_count_as_told(node: Node) -> None:
    make(node, row(severity=1), row(severity=4, tlp=int(Tlp.RED)))
    assert only(make(node, row(severity=4))).rows == 1


def test_rows_without_a_level_are_handled_as_the_node_says(
    tmp_path: Path, node: Node
) -> None:
    plan = only(make(node, row(tlp=None)))
    assert [each["tlp"] for each in rows_of(plan)] == ["TLP:AMBER+STRICT"]


def test_a_level_that_is_none_goes_to_nobody(node: Node) -> None:
    plan = only(make(node, row(tlp=9), row(last=8, tlp=-1)))
    assert (plan.rows, plan.left) == (0, {"withheld": 2})


def test_a_blocked_owner_is_told_nothing(node: Node) -> None:
    with node.db.write() as tx:
        node.registry.put_party(tx, replace(OWNERS["bank"], blocked=True))
    plan = only(make(node, row(tlp=0)))
    assert (plan.rows, plan.left) == (0, {"withheld": 1})
    assert "party-blocked" in plan.withheld[Tlp.CLEAR]


def test_a_ceiling_keeps_what_is_above_it(node: Node) -> None:
    with node.db.write() as tx:
        node.registry.put_party(tx, replace(OWNERS["bank"], ceiling=Tlp.GREEN))
    plan = only(make(node, row(), row(last=8, tlp=int(Tlp.GREEN))))
    assert addresses(plan) == ["203.0.113.8"]


def test_what_the_node_concluded_is_not_in_the_file(node: Node) -> None:
    plan = only(
        make(
            node,
            row(
                indicators="indicator--x",
                reason="prefix",
                asset="prefix:203.0.113.0/24",
                extra='{"secret":"yes"}',
                category="national",
            ),
        )
    )
    assert list(rows_of(plan)[0]) == list(CSV_COLUMNS)
    for kept in (b"indicator--x", b"prefix", b"secret", b"national", b"0" * 64):
        assert kept not in plan.csv


# --- the file ------------------------------------------------------------------------


def test_no_cell_of_the_file_runs_in_a_spreadsheet(node: Node) -> None:
    evil = ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(1)", "\t=1", " =1", "\uff1d1"]
    rows = [row(last=n, identifier=text) for n, text in enumerate(evil)]
    rows.append(row(last=99, identifier='a"b,c\r\n=d', malware="ok"))
    plan = only(make(node, *rows))
    found = rows_of(plan)
    assert len(found) == len(rows)
    for each in found:
        assert not any(is_risky(cell) for cell in each.values()), each
    assert found[0]["identifier"] == "'=cmd|' /C calc'!A0"
    assert found[-1]["identifier"] == 'a"b,c  =d'


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=12))
def test_a_cell_is_made_safe_exactly_when_it_is_risky(text: str) -> None:
    (got,) = csv.DictReader(
        io.StringIO(csv_of(frame(row(identifier=text))).decode(), newline="")
    )
    assert not is_risky(got["identifier"])
    if text.isascii() and text.isprintable():
        assert got["identifier"] == ("'" + text if is_risky(text) else text)


def test_the_file_is_in_order_and_readable(node: Node) -> None:
    plan = only(make(node, row(last=9), row(last=8, source_asn=64500)))
    one, _ = rows_of(plan)
    assert one["source_address"] == "203.0.113.8"
    assert one["time"] == f"{DAY}T12:00:00Z"
    assert (one["severity"], one["tlp"]) == ("medium", "TLP:AMBER")
    assert (one["source_asn"], one["destination_port"]) == ("64500", "")
    assert plan.csv.count(b"\r\n") == 3


def test_too_many_rows_are_cut_and_every_finding_stays(
    tmp_path: Path, clock: SetClock
) -> None:
    with make_node(tmp_path / "th", clock, rows=5) as node:
        reach(node)
        many = [row(last=1, source_port=n) for n in range(20)]
        plan = only(make(node, *many, row(last=2), row(last=3)))
        found = addresses(plan)
    assert (plan.rows, len(found)) == (22, 5)
    assert set(found) == {"203.0.113.1", "203.0.113.2", "203.0.113.3"}
    assert plan.facts["attached"] == 5


def test_contacts_are_those_of_the_owner(node: Node) -> None:
    mine = reach(node)
    reach(node, "shop", "noc@shop.example.th")
    assert only(make(node, row())).contacts == [mine]


def test_what_another_member_answers_for_is_its_nodes_to_fetch(node: Node) -> None:
    rows = frame(row("vn", member="vn"), row(last=8, member="th"), row(last=9))
    made = Notify(node, "ann").make(rows, DAY)
    assert [(each.party, each.rows, each.left) for each in made.plans] == [
        ("bank", 2, {}),
        ("vn", 0, {"abroad": 1}),
    ]


def test_machines_stand_in_the_order_of_their_addresses(node: Node) -> None:
    (made,) = (
        Notify(node, "ann")
        .make(frame(*(row(last=last) for last in (10, 9, 100))), DAY)
        .made
    )
    assert made.facts["examples"] == ["203.0.113.9", "203.0.113.10", "203.0.113.100"]


def test_an_owner_without_a_contact_is_told_when_it_has_one(node: Node) -> None:
    with node.db.write() as tx:
        (held,) = Contacts().all(tx, "bank")
        Contacts().remove(tx, held.number)
    plan = only(make(node, row()))
    assert (plan.left, plan.notice) == ({"unreachable": 1}, None)
    reach(node)
    assert only(make(node, row())).rows == 1
