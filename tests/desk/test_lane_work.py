"""Batches become events once, whatever is killed; what is odd waits for a person."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest

from serantau.clock import SetClock, SystemClock
from serantau.config import (
    FeedSection,
    LaneSection,
    NodeConfig,
    NodeSection,
    StoreSection,
)
from serantau.desk.lane import Lane, Told
from serantau.desk.lane_kernel import Kernel, Outcome, keeps
from serantau.desk.lane_search import tallies_of
from serantau.desk.lane_work import LaneWork, Worker
from serantau.errors import ConfigError, StoreError
from serantau.lane.formats.rows import Limits
from serantau.lane.upkeep import Keep
from serantau.node import Node
from serantau.records.assets import Assets
from serantau.records.batches import State
from serantau.rules.asset import Asset
from serantau.rules.asset import Kind as AssetKind
from serantau.rules.marking import Tlp
from serantau.rules.party import Kind, Party
from stores import PROCESSES, doomed, indicator
from tables import with_tables

KILLS = int(os.environ.get("SERANTAU_KILLS", "12"))
SEED = int(os.environ.get("SERANTAU_SEED", str(time.time_ns() % 1_000_000)))
START = "2026-03-05T00:00:00Z"
FORM = """
title = "A format of the node's own"
[columns]
seen = "time"
ip = "source_address"
port = "source_port"
kind = "type"
"""


def config(home: Path, **more: Any) -> NodeConfig:
    settings = {"node": NodeSection(member="th", team="ThaiCERT"), **more}
    return NodeConfig(home=home, **settings)


class Desk:
    def __init__(self, home: Path, **more: Any) -> None:
        self.home = home
        (home / "formats").mkdir(exist_ok=True)
        (home / "formats" / "own.toml").write_text(FORM, encoding="utf-8")
        self.clock = SetClock(START)
        self.node = Node(config(with_tables(home), **more), self.clock)
        self.lane = Lane(self.node)
        self.worker = Worker(self.lane)

    def add(self, text: str, feed: str = "drone", **more: Any) -> int:
        told = {"format": "own", "name": "a.csv", **more}
        return self.lane.add(BytesIO(text.encode()), Told(feed, **told)).batch.number

    def batch(self, number: int) -> Any:
        with self.node.db.read() as tx:
            return self.lane.batches.get(tx, str(number))

    def work(self) -> list[Outcome]:
        done = []
        while outcomes := self.worker.once():
            done += outcomes
        return done

    def events(self) -> pl.DataFrame:
        return self.table("events")

    def table(self, name: str) -> pl.DataFrame:
        table = getattr(Kernel(self.lane).archive, name)
        paths = table.listed()["path"].to_list()
        found: pl.DataFrame = table.scan(paths).collect()
        return found


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    made: list[Desk] = []

    def make(**more: Any) -> Desk:
        made.append(Desk(tmp_path, **more))
        return made[-1]

    yield make
    for one in made:
        one.node.close()


Make = Callable[..., Desk]


def rows(*hosts: int, day: int = 1, net: str = "203.0.113", kind: str = "spam") -> str:
    lines = [f"2026-03-{day:02}T10:00:00Z,{net}.{host},80,{kind}" for host in hosts]
    return "\n".join(["seen,ip,port,kind", *lines]) + "\n"


def test_a_batch_becomes_events_that_say_where_they_are_from(desk: Make) -> None:
    th = desk(feeds={"drone": FeedSection(confidence=70, tlp="TLP:GREEN")})
    number = th.add(rows(1, 2), report="scan")
    (outcome,) = th.work()
    assert (outcome.rows, outcome.rejects, outcome.fault) == (2, 0, "")
    batch = th.batch(number)
    assert (batch.state, batch.rows, batch.format) == (State.DONE, 2, "own")
    events = th.events().sort("source_address")
    assert events["source_address"].to_list() == ["203.0.113.1", "203.0.113.2"]
    first = events.row(0, named=True)
    assert (first["feed"], first["batch"], first["report"]) == (
        "drone", batch.digest, "scan",
    )  # fmt: skip
    assert (first["confidence"], first["tlp"], first["type"]) == (70, 1, "spam")


def test_rows_go_to_the_owner_in_the_register(desk: Make) -> None:
    th = desk(node=NodeSection(member="th", team="T", realm="exercise:reef"))
    with th.node.db.write() as tx:
        th.node.registry.put_party(tx, Party("th", Kind.OWN))
        th.node.registry.put_party(tx, Party("bank", Kind.OPERATOR, client_of="th"))
        Assets().add(tx, Asset("bank", "th", AssetKind.PREFIX, "203.0.113.0/28"))
    th.add(rows(1, 99))
    th.work()
    assert sorted(th.events()["party"].to_list(), key=str) == [None, "bank"]
    # A register that changes holds for what comes next.
    with th.node.db.write() as tx:
        Assets().add(tx, Asset("bank", "th", AssetKind.PREFIX, "203.0.113.64/26"))
    th.clock.advance(seconds=20)
    th.add(rows(98))
    th.work()
    assert th.events().filter(pl.col("party") == "bank").height == 2


def test_rows_are_matched_with_live_indicators(desk: Make) -> None:
    th = desk()

    def admit(**more: Any) -> str:
        made = indicator("bad", **more)
        with th.node.db.write() as tx:
            th.node.objects.admit(
                tx,
                [th.node.reader.read(orjson.dumps(made))],
                source="file",
                handling=lambda _: Tlp.AMBER,
            )
        return str(made["id"])

    first = admit(pattern="[ipv4-addr:value = '203.0.113.1']")
    admit(
        pattern="[ipv4-addr:value = '203.0.113.2']",
        valid_until="2026-03-01T12:00:00.000Z",
    )
    admit(pattern="[ipv4-addr:value = '203.0.113.3']", revoked=True)
    admit(pattern="nonsense", pattern_type="yara")
    th.add(rows(1, 2, 3, 4))
    th.work()
    found = dict(th.events().select("source_address", "indicators").iter_rows())
    assert found.pop("203.0.113.1") == first
    assert set(found.values()) == {None}
    fourth = admit(pattern="[ipv4-addr:value = '203.0.113.4']")
    th.clock.advance(seconds=20)
    th.add(rows(4, day=2))
    th.work()
    assert fourth in th.events()["indicators"].to_list()


def test_rows_have_the_nations_own_category_by_type_or_class(desk: Make) -> None:
    named = {"spam": "1.1 Spam", "malicious-code": "2 Malware"}
    th = desk(lane=LaneSection(categories=named))
    th.add(rows(1) + rows(2, kind="c2-server").split("\n", 1)[1] + rows(3, kind="ddos"))
    th.work()
    found = dict(th.events().select("type", "category").iter_rows())
    assert found == {"spam": "1.1 Spam", "c2-server": "2 Malware", "ddos": None}
    with pytest.raises(ConfigError, match=r"lane\.categories.*did you mean 'spam'"):
        desk(lane=LaneSection(categories={"spams": "x"}))


def test_a_row_that_comes_again_on_its_day_is_kept_once(desk: Make) -> None:
    th = desk()
    th.add(rows(1, 2, 2))
    th.add(rows(2, 3))
    th.add(rows(1, 2, day=2))
    th.add(rows(1), feed="other")
    outcomes = sorted(th.work(), key=lambda one: one.batch.number)
    assert [(one.rows, one.repeated) for one in outcomes] == [
        (2, 1),
        (1, 1),
        (2, 0),
        (1, 0),
    ]
    th.add(rows(1, 2, 3, 4))
    (later,) = th.work()
    assert (later.rows, later.repeated) == (1, 3)


def test_rows_that_cannot_be_read_are_kept_with_the_reason(desk: Make) -> None:
    th = desk()
    text = (
        rows(1)
        + "2026-03-01T10:00:00Z,1.2.3,80,spam\n"
        + ("2026-03-01T10:00:00Z,203.0.113.9,99999,spam\n")
    )
    th.add(text)
    (outcome,) = th.work()
    assert (outcome.rows, outcome.rejects) == (1, 2)
    rejects = th.table("rejects").sort("line")
    assert sorted(rejects["value"].to_list()) == ["1.2.3", "99999"]
    assert rejects["reason"].null_count() == 0


def test_a_mended_format_reads_a_batch_anew_in_place_of_what_it_gave(
    desk: Make,
) -> None:
    th = desk()
    text = rows(1, 2).replace("port", "p") + "yesterday,203.0.113.3,80,spam\n"
    number = th.add(text)
    th.add(rows(7))
    th.work()
    assert th.batch(number).rejects == 1
    assert th.events()["source_port"].null_count() == 2
    mended = FORM.replace("port =", "p =").replace('seen = "time"\n', "")
    (th.home / "formats" / "mended.toml").write_text(mended, encoding="utf-8")
    with th.node.db.write() as tx:
        th.lane.batches.retry(tx, th.lane.batches.get(tx, str(number)), "mended")
    (outcome,) = th.work()
    assert (outcome.rows, outcome.repeated, outcome.rejects) == (3, 0, 0)
    events = th.events()
    assert events.height == 4
    assert events["source_port"].null_count() == 0
    assert th.table("rejects").height == 0


def test_a_file_that_no_format_knows_fails_and_a_retry_may_name_one(
    desk: Make,
) -> None:
    th = desk()
    number = th.add("a,b\n1,2\n", format="", name="odd.bin")
    other = th.add(rows(1), format="nosuch")
    th.work()
    assert th.batch(number).state is th.batch(other).state is State.FAILED
    assert "lane guess" in th.batch(number).fault
    assert "nosuch" in th.batch(other).fault
    with th.node.db.write() as tx:
        th.lane.batches.retry(tx, th.lane.batches.get(tx, str(other)), "own")
    th.work()
    assert th.batch(other).state is State.DONE


def test_one_bad_batch_spoils_none_that_it_came_with(desk: Make) -> None:
    th = desk()
    numbers = [th.add(rows(1)), th.add("x", format="nosuch"), th.add(rows(2))]
    th.work()
    states = [th.batch(number).state for number in numbers]
    assert states == [State.DONE, State.FAILED, State.DONE]
    assert th.events().height == 2


def test_a_format_that_is_broken_fails_no_batch(desk: Make) -> None:
    th = desk()
    broken = th.home / "formats" / "broken.toml"
    broken.write_text("cut = 'sideways'", encoding="utf-8")
    number = th.add(rows(1))
    th.worker.once()
    assert th.batch(number).state is State.STORED
    assert "broken.toml" in th.batch(number).fault
    broken.unlink()
    th.clock.advance(seconds=60)
    th.work()
    assert th.batch(number).state is State.DONE


FEEDS = {"drone": FeedSection()}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("seen,ip,port,kind\n", "suddenly empty; usually there are 20 rows"),
        (rows(*range(1, 21)).replace("203.0.113", "1.2"), "none of its 20 rows"),
    ],
    ids=["a header only", "nothing readable"],
)
def test_a_feed_that_is_suddenly_empty_is_held(desk: Make, text: str, why: str) -> None:
    th = desk(feeds=FEEDS)
    th.add(rows(*range(1, 21)))
    th.work()
    number = th.add(text)
    th.work()
    assert th.batch(number).state is State.HELD
    assert why in th.batch(number).fault
    assert any(why in one for one in th.lane.standing().alarms)
    assert th.table("rejects").height == 0
    with th.node.db.write() as tx:
        th.lane.batches.release(tx, th.lane.batches.get(tx, str(number)))
    th.work()
    assert th.batch(number).state is State.DONE


def many(count: int, day: int) -> str:
    return "".join(
        [
            "seen,ip,port,kind\n",
            *(
                f"2026-03-{day:02}T10:00:00Z,198.18.{one // 250}.{one % 250},80,spam\n"
                for one in range(count)
            ),
        ]
    )


def test_a_feed_that_is_ten_times_as_large_is_held_until_a_person_looked(
    desk: Make,
) -> None:
    th = desk(feeds={**FEEDS, "free": FeedSection(hold=False)})
    for day in (1, 2, 3):
        th.add(many(150, day))
    th.add(many(100, 1), feed="free")
    th.work()
    number = th.add(many(1600, 4))
    free = th.add(many(1601, 4), feed="free")
    posted = th.add(many(1602, 4), feed="nobody-configured")
    th.work()
    held = th.batch(number)
    assert held.state is State.HELD
    assert held.fault == "it has more than 1,500 rows, 10 times as many as usual"
    assert th.batch(free).state is th.batch(posted).state is State.DONE
    assert th.events().filter(pl.col("batch") == held.digest).height == 0
    with th.node.db.write() as tx:
        th.lane.batches.release(tx, th.lane.batches.get(tx, str(number)))
    th.work()
    assert th.batch(number).rows == 1600


def test_a_worker_that_is_stopped_gives_its_batch_back_untouched(desk: Make) -> None:
    th = desk()
    number = th.add(rows(1))
    stop = threading.Event()
    stop.set()
    th.worker.once(stop)
    batch = th.batch(number)
    assert (batch.state, batch.attempts, batch.fault) == (State.STORED, 0, "")
    assert th.events().height == 0


def test_a_worker_that_was_slow_writes_nothing_twice(
    desk: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    th = desk()
    number = th.add(rows(1, 2))
    other = Worker(th.lane)
    settle = th.worker._settle

    def late(outcomes: list[Outcome]) -> None:
        # Its lease runs out after its commit; another one takes the batch.
        th.clock.advance(seconds=1000)
        (again,) = other.once()
        assert (again.rows, again.fault) == (2, "")
        settle(outcomes)

    monkeypatch.setattr(th.worker, "_settle", late)
    th.worker.once()
    batch = th.batch(number)
    assert (batch.state, batch.rows, batch.attempts) == (State.DONE, 2, 2)
    assert th.events().height == 2


def test_a_lease_is_extended_while_the_work_goes_on(desk: Make) -> None:
    th = desk(lane=LaneSection(lease_seconds=0.3))
    th.add(rows(1))
    batches = th.worker._claim()
    with th.worker._alive(batches) as alive:
        before = th.batch(batches[0].number).lease
        give_up = time.monotonic() + 20
        while th.batch(batches[0].number).lease == before:
            assert time.monotonic() < give_up
            time.sleep(0.02)
        assert alive()
        with th.node.db.write() as tx:
            tx.run("UPDATE batch SET worker = 'another'")
        while alive():
            assert time.monotonic() < give_up
            time.sleep(0.02)


def test_an_archive_that_fails_lets_the_batch_wait(
    desk: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    th = desk()
    number = th.add(rows(1))
    archive = th.worker.kernel.archive

    def full(*_: Any) -> Any:
        raise StoreError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(archive, "commit", full)
        th.worker.once()
    waits = th.batch(number)
    assert (waits.state, waits.fault) == (State.STORED, "no space left")
    assert waits.due > waits.ended
    th.clock.advance(seconds=60)
    th.work()
    assert th.batch(number).state is State.DONE


def test_a_finding_that_comes_again_in_a_later_piece_is_kept_once(
    desk: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    th = desk()
    kernel = th.worker.kernel
    monkeypatch.setattr(kernel, "_limits", Limits(block_bytes=2000, block_rows=50))
    text = many(300, 1)
    th.add(text + "".join(text.splitlines(keepends=True)[1:200]))
    (outcome,) = th.work()
    assert (outcome.rows, outcome.repeated) == (300, 199)
    assert th.events().height == 300


def test_how_long_rows_are_kept_is_said_by_feed_level_or_for_all() -> None:
    said = {"*": 9, "TLP:AMBER": 8, "drone": 7}
    assert keeps(said) == [Keep(7, feed="drone"), Keep(8, tlp=2), Keep(9)]
    with pytest.raises(ConfigError, match=r"keep_days: .*MAUVE"):
        keeps({"TLP:MAUVE": 1})


def test_a_node_that_runs_works_on_what_comes_and_keeps_house(desk: Make) -> None:
    th = desk(
        feeds={"scans": FeedSection(folder="in", format="own", every_seconds=1)},
        lane=LaneSection(keep_days={"*": 1}),
    )
    (th.home / "in").mkdir()
    (th.home / "in" / "a.csv").write_text(rows(1), encoding="utf-8")
    os.utime(th.home / "in" / "a.csv", (0, 0))
    stop = threading.Event()
    work = LaneWork(th.node)
    thread = threading.Thread(target=work.run, args=(stop,))
    thread.start()
    try:
        give_up = time.monotonic() + 60
        while not th.lane.standing().states[State.DONE]:
            assert time.monotonic() < give_up
            time.sleep(0.1)
    finally:
        stop.set()
        thread.join()
    assert th.events().height == 1
    th.clock.advance(days=3)
    assert work.keep_house(0) > 0
    assert th.events().height == 0
    assert work.keep_house(5) == 5


def test_what_is_folded_is_counted_for_long_periods(desk: Make) -> None:
    th = desk(feeds={"drone": FeedSection(format="own")})
    work = LaneWork(th.node)
    for turn in (1, 2):
        th.add(rows(turn))
        th.work()
    th.clock.advance(days=3)
    work._worked.set()
    work.keep_house(th.clock.now())
    paths = Kernel(th.lane).archive.events.listed()["path"].to_list()
    assert len(paths) == 1
    assert tallies_of(th.node).held(paths).keys() == set(paths)


def test_a_fault_of_our_own_ends_the_work_and_is_told(
    desk: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    th = desk()
    work = LaneWork(th.node)

    def broken(_: threading.Event) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(work, "_house", broken)
    stop = threading.Event()
    with pytest.raises(ZeroDivisionError):
        work.run(stop)
    assert stop.is_set()


def kill_work(home: Path, url: str, kill_at: int) -> None:
    """Work on all batches; die at some step of the store or the disk."""
    left = kill_at

    def counted(held: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            found = held(*given, **named)
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return found

        return call

    with Node(config(home, store=StoreSection(url=url)), SystemClock()) as node:
        worker = Worker(Lane(node))
        archive = worker.kernel.archive
        for name in ("has", "held", "commit", "writing"):
            setattr(archive, name, counted(getattr(archive, name)))
        for table in (archive.events, archive.rejects):
            for name in ("commit", "write"):
                setattr(table, name, counted(getattr(table, name)))
        for name in ("claim", "finish"):
            batches = worker.lane.batches
            setattr(batches, name, counted(getattr(batches, name)))
        while worker.once():
            pass


@pytest.mark.kill
def test_work_killed_at_any_step_gives_every_row_exactly_once(
    store_url: str, tmp_path: Path
) -> None:
    chance = random.Random(SEED)
    section = LaneSection(lease_seconds=0.001)
    home = tmp_path
    (home / "formats").mkdir()
    (home / "formats" / "own.toml").write_text(FORM, encoding="utf-8")
    settings = config(home, store=StoreSection(url=store_url), lane=section)
    kills = number = 0
    expected: Counter[tuple[str, int]] = Counter()
    with Node(settings, SystemClock()) as node:
        lane = Lane(node)
        for _ in range(max(KILLS // 5, 5)):
            for _batch in range(3):
                number += 1
                hosts = range(1, 2 + number % 5)
                text = rows(*hosts, net=f"198.18.{number}") + "bad,1.2.3,x,y\n"
                told = Told("drone", format="own")
                digest = lane.add(BytesIO(text.encode()), told).batch.digest
                expected[digest, len(hosts)] = 1
            process = PROCESSES.Process(
                target=doomed,
                args=(kill_work, home, store_url, chance.randrange(1, 30)),
            )
            process.start()
            process.join()
            kills += process.exitcode == -signal.SIGKILL
            assert process.exitcode in {0, -signal.SIGKILL}
            process.close()
            # A batch is given up when its worker ends too often; here that is us.
            with node.db.write() as tx:
                tx.run(
                    "UPDATE batch SET attempts = 1, lease = 0 WHERE state = 'running'"
                )
        worker = Worker(lane)
        time.sleep(0.01)
        while worker.once():
            pass
        with node.db.read() as tx:
            done = lane.batches.recent(tx, limit=1000)
        assert {one.state for one in done} == {State.DONE}
        assert Counter((one.digest, one.rows) for one in done) == expected
        assert {one.rejects for one in done} == {1}
        archive = worker.kernel.archive
        for table, per_batch in (
            (archive.events, dict(expected.keys())),
            (archive.rejects, dict.fromkeys((one.digest for one in done), 1)),
        ):
            found = table.scan(table.listed()["path"].to_list()).collect()
            counts = dict(found.group_by("batch").len().iter_rows())
            assert counts == per_batch
    assert kills
    print(f"{kills} kills (seed {SEED})")  # noqa: T201
