"""Killed at any step, a node says nothing twice and loses nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from case_mails import MM, answer, card_of, config_of, open_case, send, told
from couriers import read, released
from serantau.clock import SetClock
from serantau.desk.case_mail import CaseMail, Round
from serantau.desk.case_replies import CaseReplies, Fate
from serantau.desk.cases import Casework
from serantau.desk.contacts import Contacts
from serantau.node import Node
from serantau.wire.mail import Outcome, Relay
from serantau.wire.mailbox import maildir
from smtp_server import Mailbox
from stores import PROCESSES

LEASE = 301


def die(*_: object) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def sending(home: Path, port: int, at: str) -> None:
    """Send in a process of its own, which may kill itself at a step."""
    with Node(config_of(home, port), SetClock("2026-03-02T00:00:00Z")) as node:
        post: Any = CaseMail(node, "child")
        if at in {"_released", "_end"}:
            setattr(post, at, die)
        elif at == "handing":
            whole = Relay.send

            def last(
                self: Relay, to: str, message: bytes, handing: Callable[[], None]
            ) -> Outcome:
                def kill() -> None:
                    handing()
                    die()

                return whole(self, to, message, kill)

            Relay.send = last  # type: ignore[method-assign]
        post.send()


def reading(home: Path, port: int) -> None:
    """Take a mail in, and be killed before it is marked in the mailbox."""
    with Node(config_of(home, port), SetClock("2026-03-02T00:00:00Z")) as node:
        for letter in maildir(home / "answers", 1_000_000):
            CaseReplies(node).take_in(letter.read())
            die()


def killed(target: Callable[..., None], *arguments: object, box: Mailbox) -> None:
    process = PROCESSES.Process(target=target, args=arguments)
    at = arguments[-1]

    def kill() -> None:
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)

    if at == "END":
        box.hold = kill
    elif at in {"MAIL", "DATA"}:
        box.before[str(at)] = kill
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    box.hold = None
    box.before.clear()


def state(node: Node) -> str:
    ((post, _),) = CaseMail(node).letters(all_=True)
    return post.state


@pytest.mark.kill
@pytest.mark.parametrize("at", ["_released", "MAIL", "DATA"])
def test_killed_before_the_last_byte_a_letter_goes_once_by_the_next(
    node: Node, home: Path, clock: SetClock, box: Mailbox, at: str
) -> None:
    Contacts(node).put(card_of())
    case = open_case(node)
    killed(sending, home, box.port, at, box=box)
    assert state(node) == "taken"
    # Not while it may still be at work. What is new meanwhile is not lost.
    Casework(node).assess(case, description="meanwhile")
    assert send(node) == Round()
    clock.advance(seconds=LEASE)
    assert send(node) == Round(sent=1)
    assert send(node) == Round()
    assert len(box.accepted) == 1
    assert {row.count for row in released(node)} <= {2, 3}


@pytest.mark.kill
@pytest.mark.parametrize(("at", "arrived"), [("handing", 0), ("END", 1), ("_end", 1)])
def test_killed_about_the_last_byte_a_letter_is_unsure_and_never_goes_by_itself(
    node: Node, home: Path, clock: SetClock, box: Mailbox, at: str, arrived: int
) -> None:
    Contacts(node).put(MM)
    open_case(node)
    killed(sending, home, box.port, at, box=box)
    assert len(box.accepted) == arrived
    assert state(node) == "handing"
    clock.advance(seconds=LEASE)
    assert send(node) == Round(unsure=1)
    clock.advance(days=1)
    assert send(node) == Round()
    assert len(box.accepted) == arrived
    post = CaseMail(node)
    ((letter, _),) = post.letters()
    post.settle(letter.n, sent=bool(arrived))
    assert send(node) == Round(sent=1 - arrived)
    # A reader that has both knows that they are the same.
    ids = {str(read(one)["Message-ID"]) for one in box.messages}
    assert ids == {f"<{letter.key}@th.example>"}


@pytest.mark.kill
def test_killed_before_a_mail_is_marked_it_becomes_an_entry_once(
    node: Node, home: Path, box: Mailbox
) -> None:
    case, letter = told(node, box)
    (home / "answers" / "new" / "1").write_bytes(answer(letter, "ACK"))
    killed(reading, home, box.port, box=box)
    assert (home / "answers" / "new" / "1").exists()
    before = Casework(node).show(case).summary.entries
    assert before == 3
    assert CaseReplies(node).read() == {Fate.DUPLICATE: 1}
    assert Casework(node).show(case).summary.entries == before


def test_a_worker_that_was_frozen_hands_nothing_over_when_it_comes_back(
    node: Node, box: Mailbox, clock: SetClock
) -> None:
    Contacts(node).put(MM)
    open_case(node)
    rounds: list[Round] = []

    class Frozen(CaseMail):
        def _letter(self, *arguments: Any) -> bytes:
            clock.advance(seconds=LEASE)
            rounds.append(CaseMail(node, "bob").send())
            return super()._letter(*arguments)

    assert Frozen(node, "ann").send() == Round()
    assert rounds == [Round(sent=1)]
    assert len(box.accepted) == 1
