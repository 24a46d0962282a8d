"""A running node tells owners by itself: in time, once, whatever happens to it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from couriers import contact, deliveries, dsn, notice, read, text_of
from imap_server import Mailbox as Imap
from imap_server import imap_server
from notice_events import DAY, NOON, frame, make_node, open_node, reach, row
from serantau.clock import SetClock, instant
from serantau.config import FeedSection, NoticeSection
from serantau.desk import notify
from serantau.desk.lane import Lane
from serantau.desk.lane_ways import Ways
from serantau.desk.notify import Notify
from serantau.desk.telling import Telling, standing
from serantau.errors import ConfigError
from serantau.lane.archive import Archive
from serantau.node import Node
from serantau.records.batches import Arrival, Batches
from serantau.records.chores import Chores
from serantau.rules.contact import Kind
from serantau.rules.contact import State as ContactState
from serantau.rules.notice import Sending, State
from serantau.wire.mailbox import imap
from smtp_server import Mailbox, smtp_server
from stores import PROCESSES, doomed

# 08:00 in Bangkok is 01:00 UTC.
EIGHT = instant("2026-03-06T01:00:00Z")


@pytest.fixture
def clock() -> SetClock:
    return SetClock(f"{DAY}T13:00:00Z")


@pytest.fixture
def box() -> Iterator[Mailbox]:
    with smtp_server() as made:
        yield made


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "th"


@pytest.fixture
def node(home: Path, clock: SetClock, box: Mailbox) -> Iterator[Node]:
    with make_node(home, clock, port=box.port, automatic=True) as made:
        reach(made)
        yield made


def came(node: Node, *rows: dict[str, Any], name: str = "a") -> None:
    """Put rows into the archive, as a batch that was worked on just now."""
    digest = name * 64
    batches, archive = Batches(), Archive(node.config.archive)
    with archive.writing(digest) as writing:
        writing.add(frame(*({**each, "batch": digest} for each in rows)))
    archive.commit(writing.written)
    with node.db.write() as tx:
        batches.add(tx, Arrival(digest, 1, "shadowserver"), body=b"x")
        (batch,) = batches.claim(tx, "w", 60, limit=1, size=100)
        batches.finish(
            tx, batch, rows=len(rows), repeated=0, rejects=0, format_name="f"
        )


def until(clock: SetClock, at: int) -> None:
    clock.advance(seconds=(at - clock.now()) / 1_000_000)


def test_notices_are_made_and_sent_at_the_time_of_day_of_the_members_zone(
    node: Node, clock: SetClock, box: Mailbox
) -> None:
    came(node, row())
    telling = Telling(node)
    telling.once()
    assert len(box.accepted) == 1
    # What comes later waits for the next morning.
    came(node, row(last=8), name="b")
    for _ in range(3):
        until(clock, clock.now() + 3 * 3_600_000_000)
        telling.once()
    assert len(box.accepted) == 1
    assert standing(node).next == EIGHT
    until(clock, EIGHT)
    telling.once()
    assert len(box.accepted) == 2
    assert "203.0.113.8" in text_of(read(box.messages[1]))
    assert "203.0.113.7" not in text_of(read(box.messages[1]))
    assert telling.once() == []


def test_what_is_severe_is_told_within_minutes_of_its_batch(
    node: Node, clock: SetClock, box: Mailbox
) -> None:
    telling = Telling(node)
    with node.db.write() as tx:
        Chores().note(tx, "notices.times", done=clock.now())
    came(node, row(), row(last=9, severity=4))
    telling.once()
    assert len(box.accepted) == 1
    assert "203.0.113.9" in text_of(read(box.messages[0]))
    came(node, row(last=10, severity=4), name="b")
    # Not one mail for each batch of a delivery.
    assert telling.once() == []
    clock.advance(seconds=301)
    telling.once()
    assert len(box.accepted) == 2
    until(clock, EIGHT)
    telling.once()
    assert len(box.accepted) == 3
    text = text_of(read(box.messages[2]))
    assert "203.0.113.7" in text
    assert "203.0.113.9" not in text


def test_a_node_that_was_off_tells_of_the_days_that_it_missed(
    node: Node, clock: SetClock, box: Mailbox
) -> None:
    with node.db.write() as tx:
        Chores().note(tx, "notices.times", done=NOON)
    came(node, row())
    clock.advance(days=6)
    Telling(node).once()
    assert len(box.accepted) == 1
    assert DAY in str(read(box.messages[0])["Subject"])


def test_what_needs_approval_waits_for_a_person_and_an_idle_node_writes_nothing(
    home: Path, clock: SetClock, box: Mailbox
) -> None:
    with make_node(home, clock, port=box.port) as node:
        reach(node)
        telling = Telling(node)
        assert telling.once() == []
        came(node, row())
        telling.once()
        assert notice(node).state is State.WAITING
        assert telling.once() == []
        assert standing(node).counts == {"notice waiting": 1}
    assert box.accepted == []


def test_without_times_only_persons_make_notices(
    node: Node, clock: SetClock, box: Mailbox
) -> None:
    said = msgspec.structs.replace(node.config.notice, times=[], at_once="")
    node.config = msgspec.structs.replace(node.config, notice=said)
    came(node, row(severity=4))
    assert Telling(node).once() == []
    assert standing(node).next == 0
    Notify(node, "ann").make(frame(row()), DAY)
    Telling(node).once()
    assert len(box.accepted) == 1


def test_without_a_mail_server_notices_wait_and_nothing_is_tried(
    home: Path, clock: SetClock
) -> None:
    with make_node(home, clock, automatic=True) as node:
        reach(node)
        came(node, row())
        telling = Telling(node)
        telling.once()
        assert telling.once() == []
        clock.advance(days=0.5)
        said = standing(node)
        assert said.blocked == 1
        assert "mail.host" in said.lacks[Kind.MAIL]
        assert deliveries(node)[0].tries == 0


def test_one_process_at_a_time_tells_and_another_goes_on_when_it_is_gone(
    node: Node, clock: SetClock, box: Mailbox
) -> None:
    came(node, row())
    with node.db.write() as tx:
        assert Chores().take(tx, "notices", "a process that was killed", 60)
    telling = Telling(node)
    assert telling.once() == []
    assert box.accepted == []
    clock.advance(seconds=61)
    telling.once()
    assert len(box.accepted) == 1


def test_a_stop_ends_it_before_the_next_owner_and_the_rest_is_told_later(
    node: Node, clock: SetClock, box: Mailbox
) -> None:
    reach(node, "shop", "noc@shop.example.th")
    came(node, row(), row("shop", last=9))
    stop = threading.Event()
    box.hold = stop.set
    telling = Telling(node)
    telling.once(stop)
    assert len(box.accepted) == 1
    stop.clear()
    telling.once(stop)
    assert len(box.accepted) == 2
    assert telling.once(stop) == []


def test_an_archive_that_cannot_be_read_is_told_and_tried_later_and_later(
    node: Node, clock: SetClock, box: Mailbox
) -> None:
    came(node, row())
    kept = node.config
    lane = msgspec.structs.replace(kept.lane, archive="serantau.db")
    node.config = msgspec.structs.replace(kept, lane=lane)
    telling = Telling(node)
    telling.once()
    assert standing(node).fault
    assert telling.once() == []
    node.config = kept
    clock.advance(seconds=301)
    telling.once()
    assert standing(node).fault == ""
    assert len(box.accepted) == 1


# --- killed --------------------------------------------------------------------------


def child(home: Path, port: int) -> None:
    """Tell in a process that kills itself when one notice of two is made."""

    class Mortal(Notify):
        def make(self, *rest: Any, **more: Any) -> Any:
            super().make(*rest, **more)
            os.kill(os.getpid(), signal.SIGKILL)

    notify.Notify = Mortal  # type: ignore[misc]
    clock = SetClock(f"{DAY}T13:00:00Z")
    with open_node(home, clock, port=port, automatic=True) as node:
        Telling(node).once()


@pytest.mark.kill
def test_killed_while_it_makes_notices_each_owner_is_told_once(
    node: Node, home: Path, clock: SetClock, box: Mailbox
) -> None:
    reach(node, "shop", "noc@shop.example.th")
    came(node, row(), row("shop", last=9))
    process = PROCESSES.Process(target=doomed, args=(child, home, box.port))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert notice(node).party == "bank"
    assert box.accepted == []
    telling = Telling(node)
    for _ in range(3):
        clock.advance(seconds=61)
        telling.once()
    to = sorted(one.recipients[0] for one in box.accepted)
    assert to == ["noc@bank.example.th", "noc@shop.example.th"]


# --- what comes back -----------------------------------------------------------------


@pytest.fixture
def sent(node: Node, box: Mailbox) -> bytes:
    came(node, row())
    Telling(node).once()
    return box.messages[0]


def mailing(node: Node, **said: Any) -> None:
    mail = msgspec.structs.replace(node.config.mail, **said)
    node.config = msgspec.structs.replace(node.config, mail=mail)


def put(folder: Path, *mails: bytes) -> None:
    (folder / "new").mkdir(parents=True, exist_ok=True)
    for number, mail in enumerate(mails):
        (folder / "new" / f"{number}.mail").write_bytes(mail)


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "cur").iterdir())


PERSON = b"From: noc@bank.example.th\r\nSubject: Re: notice 1\r\n\r\nDone, thanks.\r\n"


def test_what_came_back_marks_the_contact_and_what_people_wrote_stays(
    node: Node, home: Path, clock: SetClock, sent: bytes
) -> None:
    mailing(node, mailbox="back")
    forged = dsn(sent, "noc@bank.example.th").replace(
        deliveries(node)[0].key.encode(), b"0" * 32
    )
    put(home / "back", dsn(sent, "noc@bank.example.th"), PERSON, forged)
    telling = Telling(node)
    telling.once()
    assert contact(node).state is ContactState.BOUNCING
    assert deliveries(node)[0].state is Sending.BOUNCED
    assert left(home / "back") == ["0.mail:2,S", "1.mail:2,F", "2.mail:2,F"]
    assert telling.once() == []


def test_a_forged_bounce_in_the_mailbox_marks_nobody(
    node: Node, home: Path, sent: bytes
) -> None:
    mailing(node, mailbox="back")
    key = deliveries(node)[0].key.encode()
    put(
        home / "back",
        dsn(sent, "noc@bank.example.th").replace(key, b"f" * len(key)),
        dsn(sent, "somebody@else.example"),
    )
    Telling(node).once()
    assert contact(node).state is ContactState.ACTIVE
    assert left(home / "back") == ["0.mail:2,F", "1.mail:2,F"]


def test_a_server_that_made_another_address_of_it_is_believed(
    node: Node, home: Path, sent: bytes
) -> None:
    mailing(node, mailbox="back")
    on_the_way = dsn(sent, "ann@inner.example").replace(
        b"Final-Recipient",
        b"Original-Recipient: rfc822;noc@bank.example.th\r\nFinal-Recipient",
    )
    put(home / "back", on_the_way)
    Telling(node).once()
    assert contact(node).state is ContactState.BOUNCING


def test_mail_that_came_back_is_found_in_an_imap_folder(
    node: Node, home: Path, tmp_path: Path, sent: bytes
) -> None:
    box = Imap()
    box.add(dsn(sent, "noc@bank.example.th"))
    box.add(PERSON)
    (home / "keys" / "imap").write_text(f"{box.password}\n")
    with imap_server(tmp_path, box) as (port, trusted):
        user = box.user.replace("@", "%40")
        mailing(
            node,
            mailbox=f"imaps://{user}@127.0.0.1:{port}/{box.folder}",
            mailbox_password_file="keys/imap",
        )
        opening: Callable[..., Any] = lambda *a: imap(*a, context=trusted)  # noqa: E731
        Telling(node, open_imap=opening).once()
    assert contact(node).state is ContactState.BOUNCING
    assert box.flags == {1: {"\\Seen"}, 2: {"\\Flagged"}}


def test_a_mailbox_that_is_none_is_told_and_stops_nothing(
    node: Node, clock: SetClock, box: Mailbox
) -> None:
    mailing(node, mailbox="nowhere", mailbox_password_file="")
    came(node, row())
    Telling(node).once()
    assert len(box.accepted) == 1
    assert "no maildir" in standing(node).read_fault
    mailing(node, mailbox="imaps://a@127.0.0.1/x", mailbox_password_file="gone")
    clock.advance(seconds=400)
    Telling(node).once()
    assert "gone" in standing(node).read_fault


def test_mail_that_came_back_to_a_feeds_mailbox_is_no_report(
    node: Node, home: Path, sent: bytes
) -> None:
    feed = FeedSection(mailbox="reports", senders=["@shadowserver.example"])
    node.config = msgspec.structs.replace(node.config, feeds={"shadowserver": feed})
    put(home / "reports", dsn(sent, "noc@bank.example.th"), PERSON)
    looked = Ways(Lane(node)).look("shadowserver", now=True)
    assert looked is not None
    assert looked.kept == []
    assert contact(node).state is ContactState.BOUNCING
    assert left(home / "reports") == ["0.mail:2,S", "1.mail:2,F"]


# --- settings ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ('times = ["8:00"]', "times of day"),
        ('times = ["24:00"]', "times of day"),
        ('zone = "Siam"', "Asia/Bangkok"),
        ("days = 0", "1 to 31"),
        ('at_once = "huge"', "at_once"),
    ],
)
def test_a_setting_that_cannot_be_is_told_with_what_was_expected(
    tmp_path: Path, said: str, named: str
) -> None:
    from serantau.config import load_config

    (tmp_path / "serantau.toml").write_text(f"[notice]\n{said}\n")
    with pytest.raises(ConfigError, match=named):
        load_config(tmp_path)
    assert NoticeSection().times == ["08:00"]
