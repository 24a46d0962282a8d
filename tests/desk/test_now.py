"""What waits at a node: nothing is left out, nothing waits that is done."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from doors import indicator
from serantau.config import FeedSection
from serantau.desk.case_assist import Assistance
from serantau.desk.case_private import Private
from serantau.desk.contacts import Contacts
from serantau.desk.now import SOON, Now, Waiting
from serantau.desk.now_rows import POWERS, Part, Row, Tone, parts_of
from serantau.desk.recall import Recalling
from serantau.records import mail_tables, tables
from serantau.records.database import Tx
from serantau.records.feeds import Feeds, Look
from serantau.records.quarantine import Fault
from serantau.records.seen import Seen
from serantau.records.waits import MOST, SHOWN
from serantau.rules.card import Card, CardKey, Duty, KeyKind
from serantau.rules.role import ROLES, Power
from serantau.testing import Region, Site

HOUR = 3_600_000_000


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    with Region(tmp_path_factory.mktemp("now"), ["th", "sg"]) as region:
        region.mesh()
        yield region


@pytest.fixture
def alone(pair: Region) -> Site:
    """A node that has no peer: what waits there is what a test put there."""
    return pair.join(f"x{len(list(pair))}")


def rows(found: Waiting, part: Part, about: str = "") -> list[Row]:
    return [each for each in found.sections[part].rows if about in {"", each.about}]


def told(found: Waiting, part: Part, about: str = "") -> list[tuple[str, str]]:
    return [(each.kind, str(each.tone)) for each in rows(found, part, about)]


def test_an_invitation_waits_until_it_is_answered(pair: Region) -> None:
    th, sg = (Assistance(pair[name].node) for name in ("th", "sg"))
    ours, theirs = (Now(pair[name].node) for name in ("th", "sg"))
    case = th.open("Kit", ["sg"], severity_level="high").id
    pair.sync()
    (row,) = rows(theirs.look(), Part.CASES, case)
    assert (row.kind, row.tone) == ("invited", Tone.WARNING)
    assert row.values == {"case": "Kit", "party": "th"}
    assert row.due == row.since + HOUR
    assert row.path == f"/cases/{case}"
    assert told(ours.look(), Part.CASES, case) == []
    pair.clock.advance(seconds=2 * 3600)
    # Whom it waits for is told that it is late, and the owner that nobody answers.
    assert told(theirs.look(), Part.CASES, case) == [("invited", "danger")]
    assert told(ours.look(), Part.CASES, case) == [("silent", "warning")]
    sg.acknowledge(case)
    pair.sync()
    assert told(ours.look(), Part.CASES, case) == []
    assert told(theirs.look(), Part.CASES, case) == [("due", "warning")]
    th.close(case)
    pair.sync()
    assert rows(ours.look(), Part.CASES, case) == []
    assert rows(theirs.look(), Part.CASES, case) == []


def test_an_ask_waits_for_us_at_once_and_for_others_when_it_is_late(
    pair: Region,
) -> None:
    th, sg = (Assistance(pair[name].node) for name in ("th", "sg"))
    ours, theirs = (Now(pair[name].node) for name in ("th", "sg"))
    case = th.open("Ask", ["sg"]).id
    ask = th.ask(case, "The image", ["sg"], due=pair.clock.now() + 9 * HOUR)[1]
    pair.sync()
    assert told(theirs.look(), Part.ASKS, case) == [("asked", "warning")]
    assert told(ours.look(), Part.ASKS, case) == []
    pair.clock.advance(days=1)
    assert told(theirs.look(), Part.ASKS, case) == [("asked", "danger")]
    assert told(ours.look(), Part.ASKS, case) == [("unanswered", "warning")]
    sg.answer(case, ask, "decline", text="It is gone")
    pair.sync()
    assert told(theirs.look(), Part.ASKS, case) == []
    assert told(ours.look(), Part.ASKS, case) == []


def test_a_case_that_is_offered_and_a_private_task_wait(pair: Region) -> None:
    th, sg = (Assistance(pair[name].node) for name in ("th", "sg"))
    now = Now(pair["sg"].node)
    case = th.open("Over to you", ["sg"]).id
    pair.sync()
    sg.acknowledge(case)
    pair.sync()
    th.hand_over(case, "sg")
    pair.sync()
    private = Private(pair["sg"].node)
    number = private.add_task(case, "ring the bank", pair.clock.now() + HOUR)
    private.add_task(case, "next week", pair.clock.now() + SOON + HOUR)
    found = told(now.look(), Part.CASES, case)
    assert found == [("task", "warning"), ("offered", "warning")]
    private.end_task(case, number)
    sg.take(case)
    assert told(now.look(), Part.CASES, case) == []


def test_what_is_refused_is_counted_by_rule(alone: Site) -> None:
    now = Now(alone.node)
    faults = [
        Fault(body=b"%d" % n, rule=rule, place="", got="", expected="")
        for n, rule in enumerate(["type", "signature-invalid", *["flood"] * (MOST + 5)])
    ]
    alone.write(lambda tx: alone.node.quarantine.hold(tx, "peer sg", faults))
    section = now.look().sections[Part.QUARANTINE]
    shown = {row.values["rule"]: row.values["many"] for row in section.rows}
    assert shown == {"flood": "1,000+", "signature-invalid": "1", "type": "1"}
    assert section.count == 3


def test_notices_letters_and_batches_that_do_not_go_on_wait(alone: Site) -> None:
    now = Now(alone.node)

    def put(tx: Tx) -> None:
        party = tx.value("SELECT n FROM party ORDER BY n LIMIT 1")
        for place, state in enumerate(["waiting"] * (SHOWN + 3) + ["failed", "told"]):
            number = tx.insert(
                tables.notice,
                {
                    "party": party, "class": "malicious-code", "day": "2026-01-01",
                    "round": place, "state": state, "made": 1, "changed": 1,
                    "actor": "", "fault": "", "facts": "{}", "rows_csv": b"",
                },
            )  # fmt: skip
        tx.insert(
            tables.delivery,
            {
                "notice": number, "contact": 1, "key": "k", "state": "unsure",
                "tries": 1, "due": 0, "lease": 0, "released": True, "changed": 1,
                "fault": "",
            },
        )  # fmt: skip
        thread = tx.insert(
            mail_tables.thread,
            {
                "case_id": "case-entry--1", "party": "p", "name": "la", "token": "t",
                "entries": 0, "root": "", "last": "", "theirs": "", "trouble": "",
                "trouble_at": 0,
            },
        )  # fmt: skip
        for state, said in (("failed", "x" * 500), ("sent", ""), ("waiting", "")):
            tx.insert(
                mail_tables.letter,
                {
                    "thread": thread, "state": state, "made": 1, "key": "",
                    "entries": "[]", "card": "", "address": "", "clear": False,
                    "due": 0, "tries": 0, "lease": 0, "sent": 0, "said": said,
                },
            )  # fmt: skip

    alone.write(put)
    found = now.look()
    notices = found.sections[Part.NOTICES]
    assert (notices.count, len(notices.rows)) == (SHOWN + 5, SHOWN)
    # The worst come first, whatever else there is.
    kinds = [row.kind for row in notices.rows]
    assert sorted(kinds[:2]) == ["failed-notice", "unsure-notice"]
    assert set(kinds[2:]) == {"approve"}
    (letter,) = rows(found, Part.MAIL)
    assert (letter.kind, letter.values["party"]) == ("letter", "la")
    assert letter.values["said"] == "x" * 299 + "…"


def test_a_feed_that_fails_or_is_silent_waits(pair: Region) -> None:
    site = pair.join("feeder")
    feeds = {
        "web": FeedSection(url="https://feed.example/"),
        "posted": FeedSection(fresh_hours=2),
        "quiet": FeedSection(),
    }
    site.node.config = msgspec.structs.replace(site.node.config, feeds=feeds)
    now = Now(site.node)
    site.write(lambda tx: Feeds().put(tx, Look("web", "", fault="404")))
    site.write(lambda tx: Feeds().put(tx, Look("gone", "", fault="404")))
    assert sorted(told(now.look(), Part.FEEDS)) == [
        ("feed-fails", "danger"),
        ("feed-silent", "danger"),
    ]


def test_a_peer_that_is_silent_and_a_log_that_forgets_wait(pair: Region) -> None:
    site, now = pair["th"], Now(pair["th"].node)
    pair.sync()
    assert told(now.look(), Part.PEERS) == []
    pair.clock.advance(days=1)
    assert told(now.look(), Part.PEERS) == [("peer-silent", "warning")]
    pair.cut("th", "sg")
    site.sync()
    assert told(now.look(), Part.PEERS) == [("peer-fault", "danger")]
    pair.heal("th", "sg")
    pair.sync()
    assert told(now.look(), Part.PEERS) == []
    site.write(lambda tx: Seen().raise_alarm(tx, "sg", "it forgot", "", ""))
    assert told(now.look(), Part.LOG) == [("alarm", "danger")]
    site.write(lambda tx: Seen().end_alarms(tx, "sg", "boss", "explained"))
    assert told(now.look(), Part.LOG) == []


def test_a_recall_waits_until_every_party_has_answered(pair: Region) -> None:
    site, now = pair["th"], Now(pair["th"].node)
    made = indicator(7, created_by_ref=site.node.config.node.identity)
    site.load([made])
    pair.sync()
    Recalling(site.node).recall([made["id"]], "wrong")
    Recalling(site.node).settle()
    (row,) = rows(now.look(), Part.SHARE, made["id"])
    assert (row.kind, row.values["many"]) == ("recall-silent", "1")
    for name in ("sg", "th"):
        Recalling(pair[name].node).settle()
        pair.sync()
    assert rows(now.look(), Part.SHARE, made["id"]) == []


def test_a_card_that_is_stale_and_a_key_that_ends_wait(alone: Site) -> None:
    node, now = alone.node, Now(alone.node)
    member = node.config.node.member
    contacts = Contacts(node)
    assert now.look().on_duty == ()
    key = CardKey(KeyKind.OPENPGP, "a" * 40, expires=node.clock.now() + HOUR)
    card = Card(
        "Night desk", member, mail=("desk@x.example",), duties=(Duty.ALWAYS,),
        keys=(key,), source="boss", verified=node.clock.now(),
    )  # fmt: skip
    held = contacts.put(card)
    found = now.look()
    assert [one.name for one in found.on_duty] == ["Night desk"]
    assert told(found, Part.KEYS) == [("key", "warning")]
    assert told(found, Part.CONTACTS) == []
    node.clock.advance(days=200)  # type: ignore[attr-defined]
    found = now.look()
    assert told(found, Part.KEYS) == [("key", "danger")]
    (row,) = rows(found, Part.CONTACTS)
    assert (row.kind, row.path) == ("stale", f"/contacts/card/{held.card.id}")
    contacts.verify(held.card.id)
    assert told(now.look(), Part.CONTACTS) == []


def test_a_row_keeps_its_name_for_as_long_as_it_waits(alone: Site) -> None:
    now = Now(alone.node)

    def hold(body: bytes) -> Row:
        fault = Fault(body=body, rule="type", place="", got="", expected="")
        alone.write(lambda tx: alone.node.quarantine.hold(tx, "file", [fault]))
        (row,) = rows(now.look(), Part.QUARANTINE)
        return row

    first, second = hold(b"1"), hold(b"2")
    assert first != second
    assert first.key == second.key


def test_who_lacks_a_power_sees_no_part_that_takes_it() -> None:
    seen = {name: set(parts_of(role.powers)) for name, role in ROLES.items()}
    cases = {Part.CASES, Part.ASKS, Part.MAIL, Part.CONTACTS}
    assert seen["analyst"] == seen["admin"] == set(Part)
    assert seen["policy"] == cases
    assert seen["auditor"] == cases | {Part.LOG}
    assert seen["guest"] == seen["operator"] == set()
    assert parts_of({Power.OWN, Power.CASE}) == ()
    assert set(POWERS) == set(Part)


def test_clocks_that_are_not_worked_out_yet_are_told(
    alone: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    from serantau.desk import now as module

    monkeypatch.setattr(module, "_AT_ONCE", 2)
    work: Any = Assistance(alone.node)
    for number in range(3):
        work.open(f"Case {number}")
    now = Now(alone.node)
    assert [now.look().unread for _ in range(2)] == [1, 0]
