"""Killed or frozen at any step, a courier hands nothing over twice."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from couriers import (
    LEASE_DAYS,
    deliveries,
    make,
    notice,
    released,
    send,
)
from notice_events import make_node, open_node, reach
from serantau.clock import SetClock
from serantau.desk.courier import Courier, Round
from serantau.node import Node
from serantau.records.notices import Delivery
from serantau.rules.contact import Contact
from serantau.rules.notice import Sending, State
from smtp_server import Mailbox
from stores import PROCESSES, doomed


def child(home: Path, port: int, kill: bool) -> None:
    """Send in a process of its own, which may kill itself before the last byte."""

    class Mortal(Courier):
        def _hand(
            self,
            contact: Contact,
            delivery: Delivery,
            content: bytes,
            handing: Callable[[], None],
        ) -> Any:
            def last() -> None:
                handing()
                os.kill(os.getpid(), signal.SIGKILL)

            return super()._hand(contact, delivery, content, last if kill else handing)

    with open_node(home, port=port, automatic=True) as node:
        Mortal(node, "child").send()


def run_killed(home: Path, box: Mailbox, at: str) -> None:
    """Send in a process that is killed by SIGKILL at one step."""
    process = PROCESSES.Process(
        target=doomed, args=(child, home, box.port, at == "handing")
    )

    def kill() -> None:
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)

    if at == "END":
        box.hold = kill
    elif at != "handing":
        box.before[at] = kill
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    box.hold = None
    box.before.clear()


@pytest.mark.kill
@pytest.mark.parametrize("at", ["EHLO", "MAIL", "RCPT", "DATA"])
def test_killed_before_the_last_byte_it_is_sent_once_by_the_next(
    home: Path, clock: SetClock, box: Mailbox, at: str
) -> None:
    with make_node(home, clock, port=box.port, automatic=True) as node:
        reach(node)
        make(node)
        run_killed(home, box, at)
        assert deliveries(node)[0].state is Sending.TAKEN
        # Not while it may still be at work.
        assert send(node) == Round()
        clock.advance(days=LEASE_DAYS)
        assert send(node).sent == 1
        assert len(box.accepted) == 1
        assert notice(node).state == State.TOLD
        assert len(released(node)) == 1


@pytest.mark.kill
def test_killed_between_send_and_mark_it_is_never_sent_twice(
    home: Path, clock: SetClock, box: Mailbox
) -> None:
    with make_node(home, clock, port=box.port, automatic=True) as node:
        reach(node)
        make(node)
        run_killed(home, box, "END")
        assert len(box.accepted) == 1
        assert deliveries(node)[0].state is Sending.HANDING
        clock.advance(days=LEASE_DAYS)
        assert send(node) == Round(unsure=1)
        for _ in range(3):
            clock.advance(days=1)
            make(node)
            assert send(node) == Round()
        assert len(box.accepted) == 1
        assert deliveries(node)[0].state is Sending.UNSURE


@pytest.mark.kill
def test_killed_before_the_last_byte_but_after_the_mark_a_person_lets_it_go_again(
    home: Path, clock: SetClock, box: Mailbox
) -> None:
    with make_node(home, clock, port=box.port, automatic=True) as node:
        reach(node)
        make(node)
        run_killed(home, box, "handing")
        clock.advance(days=LEASE_DAYS)
        assert send(node).unsure == 1
        assert box.accepted == []
        assert Courier(node, "ann").settle(1, sent=False) == 1
        assert send(node).sent == 1
        assert len(box.accepted) == 1


def test_a_worker_that_was_frozen_hands_nothing_over_when_it_comes_back(
    node: Node, box: Mailbox, clock: SetClock
) -> None:
    reach(node)
    make(node)
    other = Courier(node, "bob")
    rounds: list[Round] = []

    class Frozen(Courier):
        def _hand(
            self,
            contact: Contact,
            delivery: Delivery,
            content: bytes,
            handing: Callable[[], None],
        ) -> Any:
            clock.advance(days=LEASE_DAYS)
            rounds.append(other.send())
            return super()._hand(contact, delivery, content, handing)

    assert Frozen(node, "ann").send() == Round()
    assert rounds == [Round(sent=1)]
    assert len(box.accepted) == 1


def test_a_worker_that_was_frozen_after_handing_over_still_says_that_it_arrived(
    node: Node, box: Mailbox, clock: SetClock
) -> None:
    reach(node)
    make(node)

    def freeze() -> None:
        clock.advance(days=LEASE_DAYS)
        assert Courier(node, "bob").send().unsure == 1

    box.hold = freeze
    assert send(node).sent == 1
    assert deliveries(node)[0].state is Sending.SENT
