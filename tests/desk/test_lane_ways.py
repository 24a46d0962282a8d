"""Feeds come in by address, folder and mail; what is odd waits for a person."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx2
import pytest

from imap_server import Mailbox, imap_server
from serantau.clock import SetClock, moment
from serantau.config import FeedSection, LimitsSection, NodeConfig, NodeSection
from serantau.desk.lane import Lane, Told
from serantau.desk.lane_ways import Looked, Ways, fetch_once
from serantau.errors import BadInput, PeerError
from serantau.node import Node
from serantau.records.batches import State
from serantau.records.feeds import Look
from serantau.wire.mailbox import imap
from tables import with_tables

URL = "https://feed.example/drop.txt"
Answers = Callable[[httpx2.Request], httpx2.Response]


class Body(httpx2.SyncByteStream):
    def __init__(self, content: bytes) -> None:
        self.content = content

    def __iter__(self) -> Iterator[bytes]:
        yield self.content


def ok(content: bytes, **headers: str) -> httpx2.Response:
    return httpx2.Response(200, stream=Body(content), headers=headers)


class Desk:
    """A node with feeds, and a server that answers what a test sets."""

    def __init__(self, home: Path, **feeds: FeedSection) -> None:
        self.home = home
        self.clock = SetClock()
        config = NodeConfig(
            home=with_tables(home),
            node=NodeSection(member="th", team="ThaiCERT"),
            limits=LimitsSection(post_bytes=100_000, file_bytes=100_000),
            feeds=feeds,
        )
        self.node = Node(config, self.clock)
        self.lane = Lane(self.node)
        self.answers: Answers = lambda _: httpx2.Response(404)
        self.asked: list[httpx2.Request] = []
        self.ways = Ways(self.lane, transport=lambda _: self.transport())

    def transport(self) -> httpx2.BaseTransport:
        def answer(request: httpx2.Request) -> httpx2.Response:
            self.asked.append(request)
            return self.answers(request)

        return httpx2.MockTransport(answer)

    def look(self, name: str = "drop") -> Looked:
        looked = self.ways.look(name, now=True)
        assert looked is not None
        return looked

    def batches(self, **how: Any) -> list[Any]:
        with self.node.db.read() as tx:
            return self.lane.batches.recent(tx, **how)

    def state(self, name: str = "drop") -> Look:
        (look,) = [one.look for one in self.lane.standing().feeds if one.name == name]
        assert look is not None
        return look


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    made: list[Desk] = []

    def make(**feeds: FeedSection) -> Desk:
        made.append(Desk(tmp_path, **feeds))
        return made[-1]

    yield make
    for one in made:
        one.node.close()


Make = Callable[..., Desk]


def test_what_is_fetched_becomes_a_batch_once(desk: Make) -> None:
    th = desk(drop=FeedSection(url=URL, format="drop"))
    th.answers = lambda _: ok(b"1.2.3.0/24\n", ETag='"a"')
    assert [one.new for one in th.look().kept] == [True]
    (batch,) = th.batches()
    assert (batch.feed, batch.format, batch.name, batch.source) == (
        "drop", "drop", "drop.txt", "url",
    )  # fmt: skip
    # The server forgot what it said, and sends the same again.
    assert th.look().kept == []
    assert th.asked[1].headers["If-None-Match"] == '"a"'
    th.answers = lambda _: httpx2.Response(304)
    assert th.look().kept == []
    assert th.state().fault == ""
    assert len(th.batches()) == 1


def test_a_feed_is_looked_at_when_it_is_due_and_by_one_process_only(
    desk: Make,
) -> None:
    th = desk(drop=FeedSection(url=URL, every_seconds=600))
    th.answers = lambda _: ok(b"1.2.3.0/24\n")
    other = Ways(th.lane, transport=lambda _: th.transport())
    assert [one.feed for one in th.ways.look_at_due()] == ["drop"]
    assert other.look_at_due() == []
    th.clock.advance(seconds=590)
    assert th.ways.look_at_due() == []
    th.clock.advance(seconds=20)

    def meanwhile(_: httpx2.Request) -> httpx2.Response:
        assert other.look_at_due() == []
        return ok(b"1.2.4.0/24\n")

    th.answers = meanwhile
    assert [one.new for one in th.ways.look_at_due()] == [1]


def test_a_look_whose_process_was_killed_is_begun_anew(desk: Make) -> None:
    th = desk(drop=FeedSection(url=URL))

    class Killed(BaseException):
        pass

    def die(_: httpx2.Request) -> httpx2.Response:
        raise Killed

    th.answers = die
    with pytest.raises(Killed):
        th.ways.look("drop")
    assert th.ways.look("drop") is None
    th.clock.advance(seconds=1000)
    th.answers = lambda _: ok(b"x")
    looked = th.ways.look("drop")
    assert looked is not None
    assert looked.new == 1


def test_a_feed_that_fails_is_asked_later_each_time_and_stops_no_other(
    desk: Make,
) -> None:
    th = desk(
        drop=FeedSection(url=URL, every_seconds=400),
        other=FeedSection(url="https://other.example/x"),
    )

    def answers(request: httpx2.Request) -> httpx2.Response:
        return ok(b"y") if "other" in str(request.url) else httpx2.Response(500)

    th.answers = answers
    drop, other = th.ways.look_at_due()
    assert "answers 500" in drop.fault
    assert other.new == 1
    waits = []
    for _ in range(6):
        look = th.state()
        waits.append(round((look.due - look.checked) / 1_000_000))
        th.look()
    assert waits == [30, 60, 120, 240, 400, 400]
    assert th.lane.standing().alarms == (
        f"drop: the last look failed: {URL} answers 500, expected 200.",
    )
    th.answers = lambda _: ok(b"z")
    th.look()
    assert (th.state().failures, th.state().fault) == (0, "")


def test_a_server_that_asks_for_time_gets_it(desk: Make) -> None:
    th = desk(drop=FeedSection(url=URL))
    th.answers = lambda _: httpx2.Response(429, headers={"Retry-After": "5000"})
    th.look()
    look = th.state()
    assert round((look.due - look.checked) / 1_000_000) == 5000


@pytest.mark.parametrize(
    "page",
    [
        lambda number: ok(b"<!DOCTYPE html><p>%d" % number),
        lambda number: ok(b"Log in, %d" % number, **{"Content-Type": "text/html"}),
    ],
    ids=["looks so", "says so"],
)
def test_a_web_page_in_place_of_data_is_held_with_an_alarm(
    desk: Make, page: Callable[[int], httpx2.Response]
) -> None:
    th = desk(drop=FeedSection(url=URL))
    for number in range(3):
        answer = page(number)
        th.answers = lambda _, answer=answer: answer  # type: ignore[misc]
        assert th.look().fault == "it is a web page, not data"
    (held,) = th.batches()
    assert (held.state, held.fault) == (State.HELD, "it is a web page, not data")
    alarms = th.lane.standing().alarms
    assert "drop: a batch is held: it is a web page, not data" in alarms
    # It was never what the server is asked about.
    assert "If-None-Match" not in th.asked[-1].headers


def test_a_feed_that_is_suddenly_empty_is_an_alarm_and_no_batch(desk: Make) -> None:
    th = desk(drop=FeedSection(url=URL))
    th.answers = lambda _: ok(b"x")
    th.look()
    th.answers = lambda _: ok(b"", ETag='"empty"')
    assert th.look().fault == "it is suddenly empty: 0 bytes"
    assert len(th.batches()) == 1
    assert th.state().etag == ""


def test_a_key_is_sent_from_its_file_and_stands_nowhere_else(desk: Make) -> None:
    section = FeedSection(url=URL, key_header="Auth-Key", key_file="abuse.key")
    th = desk(drop=section)
    assert "abuse.key cannot be read" in th.look().fault
    (th.home / "abuse.key").write_text("s3cret\n", encoding="utf-8")
    th.answers = lambda _: httpx2.Response(403)
    assert "s3cret" not in th.look().fault
    assert th.asked[-1].headers["Auth-Key"] == "s3cret"


def dropped(th: Desk, name: str, content: bytes, age: float = 60) -> Path:
    path = th.home / "in" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    at = moment(th.clock.now()).timestamp() - age
    os.utime(path, (at, at))
    return path


def test_files_of_a_watched_folder_are_taken_in_and_removed(desk: Make) -> None:
    th = desk(scans=FeedSection(folder="in", report="scan"))
    whole = [dropped(th, name, name.encode()) for name in ("a.csv", "b.csv")]
    same = dropped(th, "c.csv", b"a.csv")
    waiting = [
        dropped(th, "young.csv", b"young", age=1),
        dropped(th, ".hidden", b"hidden"),
        dropped(th, "d.csv.PART", b"part"),
    ]
    (th.home / "in" / "link").symlink_to(th.home / "serantau.db")
    (th.home / "in" / "folder").mkdir()
    looked = th.look("scans")
    assert [one.new for one in looked.kept] == [True, True, False]
    assert not any(path.exists() for path in [*whole, same])
    assert all(path.exists() for path in waiting)
    assert {one.name for one in th.batches()} == {"a.csv", "b.csv"}
    assert {one.report for one in th.batches()} == {"scan"}


def test_a_file_that_grows_while_it_is_read_is_not_removed(
    desk: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    th = desk(scans=FeedSection(folder="in"))
    path = dropped(th, "a.csv", b"one\n")
    add = th.lane.add

    def grown(*given: Any, **named: Any) -> Any:
        kept = add(*given, **named)
        with path.open("ab") as file:
            file.write(b"two\n")
        return kept

    monkeypatch.setattr(th.lane, "add", grown)
    th.look("scans")
    assert path.read_bytes() == b"one\ntwo\n"


def test_a_file_that_cannot_be_taken_is_put_aside_once(desk: Make) -> None:
    th = desk(scans=FeedSection(folder="in"))
    dropped(th, "empty.csv", b"")
    dropped(th, "large.csv", b"x" * 100_001)
    dropped(th, "good.csv", b"x")
    looked = th.look("scans")
    assert looked.new == 1
    assert [one.partition(":")[0] for one in looked.left] == ["empty.csv", "large.csv"]
    aside = th.home / "in" / "refused"
    assert {path.name for path in aside.iterdir()} == {"empty.csv", "large.csv"}
    assert th.look("scans").left == []


def test_a_folder_that_is_not_there_is_told(desk: Make) -> None:
    th = desk(scans=FeedSection(folder="nowhere"))
    assert th.look("scans").fault.endswith("nowhere: No such file or directory")


def mail(sender: str, *files: bytes) -> bytes:
    made = EmailMessage()
    made["From"] = sender
    made.set_content("hello")
    for number, content in enumerate(files):
        made.add_attachment(
            content, maintype="text", subtype="csv", filename=f"{number}.csv"
        )
    return made.as_bytes()


def test_mail_of_known_senders_is_taken_in_and_the_rest_is_flagged(
    desk: Make,
) -> None:
    section = FeedSection(mailbox="mail", senders=["@Feeds.Example"])
    th = desk(reports=section)
    new = th.home / "mail" / "new"
    new.mkdir(parents=True)
    (new / "1").write_bytes(mail("a@feeds.example", b"one", b"two"))
    (new / "2").write_bytes(mail("a@evil.example", b"three"))
    (new / "3").write_bytes(mail("a@feeds.example"))
    looked = th.look("reports")
    assert looked.new == 2
    assert [one[:6] for one in looked.left] == ["mail 2", "mail 3"]
    assert {(one.name, one.source) for one in th.batches()} == {
        ("0.csv", "mail"),
        ("1.csv", "mail"),
    }
    read = sorted(path.name for path in (th.home / "mail" / "cur").iterdir())
    assert read == ["1:2,S", "2:2,F", "3:2,F"]


def test_a_mail_is_marked_only_after_its_files_are_on_disk(
    desk: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    th = desk(reports=FeedSection(mailbox="mail", senders=["a@feeds.example"]))
    new = th.home / "mail" / "new"
    new.mkdir(parents=True)
    (new / "1").write_bytes(mail("a@feeds.example", b"one", b"two"))
    add = th.lane.add
    left = 1

    def full(*given: Any, **named: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(28, "No space left on device", "lane")
        return add(*given, **named)

    monkeypatch.setattr(th.lane, "add", full)
    assert th.look("reports").fault == "lane: No space left on device"
    left = 10
    assert th.look("reports").new == 1
    assert len(th.batches()) == 2


def test_an_imap_mailbox_is_read_with_the_password_of_its_file(
    desk: Make, tmp_path: Path
) -> None:
    box = Mailbox()
    box.add(mail("a@feeds.example", b"one"))
    with imap_server(tmp_path, box) as (port, context):

        @contextmanager
        def trusting(*given: Any) -> Iterator[Any]:
            with imap(*given, context=context) as letters:
                yield letters

        th = desk(
            reports=FeedSection(
                mailbox=f"imaps://rat%40th.example@127.0.0.1:{port}/INBOX/Reports",
                senders=["@feeds.example"],
                password_file="mail.password",
            )
        )
        th.ways = Ways(th.lane, open_imap=trusting)
        (th.home / "mail.password").write_text(box.password, encoding="utf-8")
        assert th.look("reports").new == 1
        assert box.flags == {1: {"\\Seen"}}
        assert th.look("reports").kept == []


def test_a_feed_that_is_posted_is_never_looked_at(desk: Make) -> None:
    th = desk(posted=FeedSection(format="n6"))
    assert th.ways.look_at_due() == []
    assert th.ways.look("posted", now=True) is None
    assert th.ways.look("unknown", now=True) is None


def test_looking_ends_when_the_node_does(desk: Make) -> None:
    th = desk(drop=FeedSection(url=URL))
    stop = threading.Event()
    stop.set()
    assert th.ways.look_at_due(stop) == []


def test_a_person_makes_a_batch_of_what_is_at_an_address(desk: Make) -> None:
    th = desk()
    sizes: list[int] = []

    def fetched(answers: Answers) -> Any:
        th.answers = answers
        told = Told("drop", format="drop")
        return fetch_once(th.lane, URL, told, sizes.append, transport=th.transport())

    kept = fetched(lambda _: ok(b"1.2.3.0/24\n"))
    assert (kept.new, kept.batch.name, kept.batch.source) == (True, "drop.txt", "url")
    assert sizes == [11]
    with pytest.raises(BadInput, match="web page"):
        fetched(lambda _: ok(b"<html>"))
    with pytest.raises(BadInput, match="0 bytes"):
        fetched(lambda _: ok(b""))
    with pytest.raises(PeerError, match="404"):
        fetched(lambda _: httpx2.Response(404))
    assert len(th.batches()) == 1
