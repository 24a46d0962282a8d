"""Bytes become a batch that is durable before it is acknowledged, and only once.

SERANTAU_KILLS: how many times an intake is killed. SERANTAU_SEED: repeats the moments.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from serantau.clock import SetClock, SystemClock
from serantau.config import (
    FeedSection,
    LaneSection,
    LimitsSection,
    NodeConfig,
    NodeSection,
    StoreSection,
)
from serantau.desk.lane import Lane, Told, is_html
from serantau.errors import (
    BadInput,
    BadRequest,
    ConfigError,
    Conflict,
    NotFound,
    TooLarge,
)
from serantau.lane import originals
from serantau.lane.originals import SMALL
from serantau.node import Node
from serantau.records.batches import Batch, State
from serantau.rules.marking import Tlp
from stores import PROCESSES, doomed
from tables import with_tables

KILLS = int(os.environ.get("SERANTAU_KILLS", "20"))
SEED = int(os.environ.get("SERANTAU_SEED", str(time.time_ns() % 1_000_000)))
LARGE = bytes(range(256)) * 300
SMALLER = b"ip,port\n192.0.2.1,80\n"


def config(home: Path, url: str = "", **more: Any) -> NodeConfig:
    return NodeConfig(
        home=home if url else with_tables(home),
        node=NodeSection(member="th", team="ThaiCERT"),
        store=StoreSection(url=url),
        **more,
    )


@pytest.fixture
def open_lane() -> Iterator[Callable[[NodeConfig], Lane]]:
    nodes: list[Node] = []

    def opened(config: NodeConfig) -> Lane:
        nodes.append(Node(config, SetClock()))
        return Lane(nodes[-1])

    yield opened
    for node in nodes:
        node.close()


Opener = Callable[[NodeConfig], Lane]


@pytest.fixture
def lane(open_lane: Opener, tmp_path: Path) -> Lane:
    return open_lane(config(tmp_path))


def files(home: Path) -> list[Path]:
    return [path for path in (home / "lane").rglob("*") if path.is_file()]


@pytest.mark.parametrize("body", [SMALLER, LARGE], ids=["small", "large"])
def test_bytes_that_come_again_are_the_same_batch_also_from_another_feed(
    lane: Lane, body: bytes
) -> None:
    first = lane.add(BytesIO(body), Told("drone", name="/in/a.csv", tlp=Tlp.GREEN))
    again = lane.add(iter([body[:9], body[9:]]), Told("other", name="b.csv"))
    assert (first.new, again.new) == (True, False)
    assert again.batch == first.batch
    assert first.batch.digest == hashlib.sha256(body).hexdigest()
    told = first.batch
    assert (told.name, told.size, told.tlp) == ("a.csv", len(body), Tlp.GREEN)
    with lane.open(told) as stream:
        assert stream.read() == body


def test_few_bytes_need_no_file_and_many_are_one(lane: Lane, tmp_path: Path) -> None:
    lane.add(BytesIO(b"x" * SMALL), Told("drone"))
    assert files(tmp_path) == []
    kept = lane.add(BytesIO(b"x" * (SMALL + 1)), Told("drone"))
    assert files(tmp_path) == [lane.originals.path(kept.batch.digest)]
    assert files(tmp_path)[0].stat().st_mode & 0o777 == 0o600


def test_nothing_is_no_batch_and_too_much_leaves_nothing(
    open_lane: Opener, tmp_path: Path
) -> None:
    lane = open_lane(config(tmp_path, limits=LimitsSection(file_bytes=100_000)))
    with pytest.raises(BadInput, match="0 bytes"):
        lane.add(BytesIO(b""), Told("drone"))
    with pytest.raises(TooLarge, match="100,000"):
        lane.add(BytesIO(b"x" * 100_001), Told("drone"))
    with pytest.raises(TooLarge, match="10 bytes"):
        lane.add(BytesIO(b"x" * 11), Told("drone"), limit=10)
    assert files(tmp_path) == []
    assert lane.standing().feeds == ()


@pytest.mark.parametrize("name", ["", "Drone", "../x", "a" * 64, "x y", "-a"])
def test_a_feed_has_a_plain_name(lane: Lane, name: str) -> None:
    with pytest.raises(BadRequest, match="no feed's name"):
        lane.add(BytesIO(b"x"), Told(name))


def test_a_feeds_settings_hold_where_nothing_else_is_said(
    open_lane: Opener, tmp_path: Path
) -> None:
    section = FeedSection(format="csv-1", report="scan", tlp="TLP:AMBER")
    lane = open_lane(config(tmp_path, feeds={"drone": section}))
    plain = lane.add(BytesIO(b"1"), Told("drone")).batch
    said = lane.add(
        BytesIO(b"2"), Told("drone", format="n6", report="x", tlp=Tlp.CLEAR)
    ).batch
    assert (plain.format, plain.report, plain.tlp) == ("csv-1", "scan", Tlp.AMBER)
    assert (said.format, said.report, said.tlp) == ("n6", "x", Tlp.CLEAR)


def test_a_level_that_is_none_is_told_with_its_place(
    open_lane: Opener, tmp_path: Path
) -> None:
    lane = open_lane(config(tmp_path, feeds={"drone": FeedSection(tlp="TLP:MAUVE")}))
    with pytest.raises(ConfigError, match=r"feeds\.drone\.tlp: .*MAUVE"):
        lane.add(BytesIO(b"1"), Told("drone"))


def test_a_file_name_cannot_lead_anywhere(lane: Lane) -> None:
    for number, name in enumerate(("../../etc/x.csv", "C:\\a\\x.csv", "x\x1b\n.csv")):
        batch = lane.add(BytesIO(b"%d" % number), Told("drone", name=name)).batch
        assert batch.name == "x.csv"


def test_bytes_are_kept_for_so_many_days_after_the_work_on_them(
    open_lane: Opener, tmp_path: Path
) -> None:
    lane = open_lane(config(tmp_path, lane=LaneSection(originals_days=2)))
    clock = lane.node.clock
    assert isinstance(clock, SetClock)
    done = [lane.add(BytesIO(body), Told("d")).batch for body in (SMALLER, LARGE)]
    with lane.node.db.write() as tx:
        for batch in lane.batches.claim(tx, "w", 60, limit=2, size=1 << 20):
            lane.batches.finish(tx, batch, rows=1, rejects=0, format_name="x")
    waiting = lane.add(BytesIO(LARGE + b"!"), Told("d")).batch
    clock.advance(days=1)
    assert lane.expire() == 0
    clock.advance(days=1.1)
    assert lane.expire() == 2
    assert lane.expire() == 0
    for batch in done:
        with pytest.raises(NotFound, match="originals_days"):
            lane.open(batch)
    lane.open(waiting).close()
    # They are known all the same.
    assert not lane.add(BytesIO(LARGE), Told("d")).new
    assert files(tmp_path) == [lane.originals.path(waiting.digest)]


def test_bytes_that_a_disk_lost_are_taken_from_a_second_arrival(lane: Lane) -> None:
    batch = lane.add(BytesIO(LARGE), Told("d")).batch
    lane.originals.remove(batch.digest)
    assert not lane.add(BytesIO(LARGE), Told("d")).new
    with lane.open(batch) as stream:
        assert stream.read() == LARGE


def test_a_draft_that_is_being_written_is_not_swept_away(lane: Lane) -> None:
    with lane.originals.draft() as draft:
        draft.write(LARGE)
        assert lane.sweep() == 0
        assert draft.head(4) == LARGE[:4]
        assert lane.keep(draft, Told("d")).new


def test_alarms_tell_what_a_person_should_see_to(
    open_lane: Opener, tmp_path: Path
) -> None:
    lane = open_lane(
        config(
            tmp_path,
            lane=LaneSection(lag_minutes=30),
            feeds={
                "never": FeedSection(fresh_hours=2, folder="in"),
                "old": FeedSection(fresh_hours=2),
                "calm": FeedSection(),
            },
        )
    )
    clock = lane.node.clock
    assert isinstance(clock, SetClock)
    lane.add(BytesIO(b"1"), Told("old"))
    with lane.originals.draft() as draft:
        draft.write(b"<html>")
        lane.keep(draft, Told("page"), held="it is an HTML page")
    with lane.node.db.write() as tx:
        (batch,) = lane.batches.claim(tx, "w", 60)
        lane.batches.fail(tx, batch, "no such column")
    lane.add(BytesIO(b"2"), Told("late"))
    clock.advance(seconds=3 * 3600)
    standing = lane.standing()
    assert standing.alarms == (
        "late: a batch has waited for 180 minutes",
        "never: the newest batch never came, expected one in 2",
        "old: the newest batch is 3.0 hours old, expected one in 2",
        "old: 1 batch failed",
        "page: a batch is held: it is an HTML page",
    )
    assert {one.name: one.way for one in standing.feeds}["never"] == "folder"
    assert standing.states[State.HELD] == 1


@pytest.mark.parametrize(
    ("head", "html"),
    [
        (b"<!DOCTYPE html><p>", True),
        (b"\xef\xbb\xbf \n<HTML lang=en>", True),
        (b"<!-- hi --> <!-- ho --><html>", True),
        (b"<!-- no end", False),
        (b'<?xml version="1.0"?><rss>', False),
        (b"ip,port\n1.2.3.4,<html>", False),
        (b"", False),
    ],
)
def test_a_web_page_is_told_from_data(head: bytes, html: bool) -> None:
    assert is_html(head) is html


def test_a_batch_is_read_anew_while_its_bytes_and_its_mark_are_there(
    open_lane: Opener, tmp_path: Path
) -> None:
    lane = open_lane(config(tmp_path))
    clock = lane.node.clock
    assert isinstance(clock, SetClock)
    for body in (b"1", b"2"):
        lane.add(BytesIO(body), Told("d"))

    def ended() -> list[Batch]:
        with lane.node.db.write() as tx:
            for batch in lane.batches.claim(tx, "w", 60, limit=2, size=9):
                lane.batches.finish(tx, batch, rows=1, rejects=0, format_name="x")
            return lane.batches.recent(tx)

    one, two = ended()
    with lane.node.db.write() as tx:
        lane.again(tx, one)
        lane.again(tx, two, "y")
    assert [batch.format for batch in ended()] == ["x", "x"]
    clock.advance(days=86)
    (one, two) = ended()
    with lane.node.db.write() as tx:
        with pytest.raises(Conflict, match="85 days ago"):
            lane.again(tx, one)
        lane.batches.forget(tx, [two.digest])
        with pytest.raises(Conflict, match="not kept any more"):
            lane.again(tx, lane.batches.get(tx, two.digest))


STEPS = ("fsync", "link", "rename", "unlink", "open")


def intake(home: Path, url: str, seed: int, kill_at: int, pipe: Connection) -> None:
    """Add bodies, telling of each that is acknowledged; die at some step."""
    left = kill_at

    def counted(name: str, held: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            nonlocal left
            for _ in range(2):
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                if _ == 0:
                    found = held(*given, **named)
            return found

        return call

    with Node(config(home, url), SystemClock()) as node:
        lane = Lane(node)
        if kill_at:
            for name in STEPS:
                setattr(os, name, counted(name, getattr(os, name)))
            for name in ("holds", "add", "get"):
                setattr(lane.batches, name, counted(name, getattr(lane.batches, name)))
            place = counted("place", lane.originals.place)
            lane.originals.place = place  # type: ignore[method-assign]
        pipe.send("ready")
        lane.sweep()
        for body in bodies(seed):
            kept = lane.add(BytesIO(body), Told("drone"))
            pipe.send(kept.batch.digest)
    pipe.send("done")


def bodies(seed: int) -> list[bytes]:
    chance = random.Random(seed)
    made = []
    for _ in range(12):
        size = chance.choice((20, SMALL + 1, 3 * SMALL))
        made.append(chance.randbytes(size))
    return made + made[:4]


@pytest.mark.kill
def test_an_intake_killed_at_any_step_loses_nothing_that_it_acknowledged(
    store_url: str, tmp_path: Path
) -> None:
    chance = random.Random(SEED)
    home = tmp_path / "node"
    home.mkdir()
    with Node(config(home, store_url), SystemClock()):
        pass
    acknowledged: dict[str, bytes] = {}
    every: dict[str, bytes] = {}
    kills = 0
    for turn in range(KILLS):
        seed = SEED + turn
        some = {hashlib.sha256(body).hexdigest(): body for body in bodies(seed)}
        every.update(some)
        mine, theirs = PROCESSES.Pipe(duplex=False)
        kill_at = chance.randrange(1, 200) if turn < KILLS - 1 else 0
        process = PROCESSES.Process(
            target=doomed, args=(intake, home, store_url, seed, kill_at, theirs)
        )
        process.start()
        theirs.close()
        done = False
        try:
            assert mine.recv() == "ready"
            while (told := mine.recv()) != "done":
                acknowledged[told] = some[told]
            done = True
        except EOFError:
            pass
        process.join()
        mine.close()
        assert process.exitcode == (0 if done else -signal.SIGKILL)
        kills += not done
        process.close()
    with Node(config(home, store_url), SystemClock()) as node:
        lane = Lane(node)
        lane.sweep()
        with node.db.read() as tx:
            batches = lane.batches.recent(tx, limit=10_000)
        held = {batch.digest: batch for batch in batches}
        assert acknowledged.keys() <= held.keys() <= every.keys()
        for digest, batch in held.items():
            with lane.open(batch) as stream:
                assert stream.read() == every[digest]
        # Every file has its row: what a kill left half way is gone.
        folder = lane.originals.folder
        names = {path.name for path in folder.rglob("*") if path.is_file()}
        assert names == {one for one in held if len(every[one]) > SMALL}
    assert kills > KILLS // 3
    print(f"{kills} kills (seed {SEED})")  # noqa: T201


def test_a_draft_begun_in_the_moment_of_a_sweep_is_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locks = 0
    lock = fcntl.flock

    def swept(handle: int, how: int) -> None:
        nonlocal locks
        locks += 1
        if locks == 1:
            # Between opening and locking it looks like one that nobody writes.
            (found,) = tmp_path.rglob("*.part")
            found.unlink()
        lock(handle, how)

    monkeypatch.setattr(fcntl, "flock", swept)
    with originals.Originals(tmp_path).draft() as draft:
        draft.write(LARGE)
        assert draft.path is not None
        assert draft.path.exists()
    assert locks == 2
    assert list(tmp_path.rglob("*.part")) == []
