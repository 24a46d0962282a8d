"""Killed at any step, the clocks of cases lose no page, and send none a third time."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from serantau.clock import SetClock, stix_text
from serantau.config import MailSection, NodeConfig
from serantau.desk.case_page import Pager
from serantau.desk.case_watch import CaseWatch, Round
from serantau.desk.cases import Casework
from serantau.desk.contacts import Contacts
from serantau.node import Node
from serantau.records.case_rounds import HANDED, SENDING, TAKEN, StepRow
from serantau.rules.card import Card, Duty
from serantau.rules.case_entry import Kind
from serantau.testing import Region
from serantau.wire.mail import Outcome
from smtp_server import Mailbox, smtp_server
from stores import PROCESSES

MINUTE = 60
LEASE = 120
DUTY = Card(
    "Duty of vn", "vn", duties=(Duty.ALWAYS,), mail=("duty@cert.example.vn",),
    source="a call",
)  # fmt: skip


@dataclass
class Desk:
    """A node whose case waits for a page to vn, and the mail server for that."""

    node: Node
    clock: SetClock
    box: Mailbox
    case: str

    @property
    def pages(self) -> list[tuple[str, str]]:
        lines = Casework(self.node).show(self.case).lines
        found = [line.entry for line in lines if line.entry.kind == Kind.PAGE]
        return [(one.channel, one.description) for one in found]

    @property
    def state(self) -> str:
        (row,) = Casework(self.node).show(self.case).steps
        return row.state

    def killed(self, at: str) -> None:
        """Take the step in a process that is killed by SIGKILL at one point."""
        started = stix_text(self.clock.now())
        process = PROCESSES.Process(target=child, args=(self.node.config, started, at))

        def kill() -> None:
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)

        if at == "END":
            self.box.hold = kill
        elif at.isupper():
            self.box.before[at] = kill
        process.start()
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
        self.box.hold = None
        self.box.before.clear()


def make(region: Region, box: Mailbox) -> Desk:
    """Open a case that vn was reminded of, and is to be paged for now."""
    mail = MailSection(
        host="127.0.0.1", port=box.port, security="none",
        sender="cert@cert.example.th", timeout_seconds=5,
    )  # fmt: skip
    site = region["th"]
    site.party("vn")
    config = msgspec.structs.replace(site.node.config, mail=mail)
    node = Node(config, region.clock)
    Contacts(node).put(DUTY)
    case = Casework(node).open("Kit", ["vn"], severity_level="high").id
    region.clock.advance(seconds=60 * MINUTE)
    assert CaseWatch(node).tick() == Round(reminded=1)
    region.clock.advance(seconds=20 * MINUTE)
    return Desk(node, region.clock, box, case)


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    with Region(tmp_path_factory.mktemp("kills"), ["th"]) as made:
        yield made


@pytest.fixture
def desk(region: Region) -> Iterator[Desk]:
    with smtp_server() as box:
        made = make(region, box)
        yield made
        Casework(made.node).close(made.case)
        for held in Contacts(made.node).all():
            Contacts(made.node).erase(held.card.id, "the test is over")
        made.node.close()


def child(config: NodeConfig, started: str, at: str) -> None:
    """Take what is due in a process of its own, which may kill itself."""

    def end() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    class Mortal(Pager):
        def hand(
            self, target: Any, channel: Any, items: Any, handing: Callable[[], None]
        ) -> Outcome:
            if at == "intended":
                end()

            def last() -> None:
                handing()
                if at == "handed":
                    end()

            return super().hand(target, channel, items, last)

    class Watch(CaseWatch):
        pager = Mortal

        def _store(self, tx: Any, row: StepRow) -> bool:
            stored = super()._store(tx, row)
            if at == "not committed":
                end()
            return stored

    with Node(config, SetClock(started)) as node:
        Watch(node).tick()


@pytest.mark.kill
@pytest.mark.parametrize(
    ("at", "left", "letters"),
    [
        ("intended", SENDING, 1),
        ("DATA", SENDING, 1),
        ("handed", HANDED, 1),
        ("END", HANDED, 2),
        ("not committed", HANDED, 2),
    ],
)
def test_killed_at_any_point_a_page_is_sent_once_more_at_most_and_told_once(
    desk: Desk, at: str, left: str, letters: int
) -> None:
    desk.killed(at)
    assert desk.state == left
    assert desk.pages == []
    watch = CaseWatch(desk.node)
    # Not while it may still be at work.
    assert watch.tick() == Round()
    desk.clock.advance(seconds=LEASE)
    assert watch.tick() == Round(paged=1)
    assert watch.tick() == Round()
    assert (desk.state, desk.pages) == (TAKEN, [("on-call", "")])
    assert len(desk.box.accepted) == letters
    # It is the same letter, by its Message-ID.
    heads = {
        one.content.partition(b"Message-ID: ")[2][:40] for one in desk.box.accepted
    }
    assert len(heads) == 1


@pytest.mark.kill
def test_killed_twice_when_it_was_out_it_is_not_sent_a_third_time(desk: Desk) -> None:
    for _ in range(2):
        desk.killed("END")
        desk.clock.advance(seconds=LEASE)
    assert CaseWatch(desk.node).tick() == Round(paged=1)
    assert desk.pages == [("on-call", "Whether it arrived is not known.")]
    assert len(desk.box.accepted) == 2


def test_a_page_whose_answer_is_lost_goes_once_more_and_no_third_time(
    desk: Desk,
) -> None:
    desk.box.answers["END"] = "LOSE"
    watch = CaseWatch(desk.node)
    for wait in (60, 120):
        assert watch.tick() == Round(kept=1)
        assert (desk.state, desk.pages) == (HANDED, [])
        assert watch.tick() == Round()
        desk.clock.advance(seconds=wait)
    assert watch.tick() == Round(paged=1)
    assert desk.pages == [("on-call", "Whether it arrived is not known.")]
    assert len(desk.box.accepted) == 2


def test_two_workers_on_one_store_page_once(tmp_path: Path, store_url: str) -> None:
    with (
        Region(tmp_path, ["th"], store_urls={"th": store_url}) as region,
        smtp_server() as box,
    ):
        desk = make(region, box)
        done: list[Round] = []

        def work() -> None:
            with Node(desk.node.config, desk.clock) as node:
                watch = CaseWatch(node)
                done.extend(watch.tick() for _ in range(5))

        threads = [threading.Thread(target=work) for _ in range(2)]
        for each in threads:
            each.start()
        for each in threads:
            each.join(60)
        assert sum(one.paged for one in done) == 1
        assert desk.pages == [("on-call", "")]
        assert len(box.accepted) == 1
        desk.node.close()
