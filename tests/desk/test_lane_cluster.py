"""A cluster gives what threads give, to the row, also when parts of it are killed."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import serantau
from serantau.clock import SetClock
from serantau.config import NodeConfig, NodeSection
from serantau.desk.lane import Lane, Told
from serantau.desk.lane_ask import archive_of
from serantau.desk.lane_work import Worker
from serantau.lane.chain import judge
from serantau.lane.engine import THREADS, Engine, Held, open_engine
from serantau.lane.formats.rows import Limits, Piece
from serantau.lane.question import Asking, Question
from serantau.lane.ranges import Kind, Shelf, Version, read
from serantau.lane.reference import Reference
from serantau.node import Node
from serantau.records.batches import State

FORM = """
title = "A format of the node's own"
[columns]
seen = "time"
ip = "source_address"
port = "source_port"
kind = "type"
"""
_GIVE_UP_SECONDS = 400
ROWS = 24_000


def text(first: int) -> str:
    """Write rows of three days; some say the same again, some cannot be read."""
    lines = ["seen,ip,port,kind"]
    for at in range(first, first + ROWS):
        place = at if at % 50 else at // 2
        port = 70_000 if at % 1000 == 7 else place % 1024
        address = f"203.{place >> 16 & 255}.{place >> 8 & 255}.{place & 255}"
        lines.append(f"2026-03-0{1 + place % 3}T10:00:00Z,{address},{port},spam")
    return "\n".join(lines) + "\n"


class Desk:
    """A node with three batches that wait, the second full of rows of the first."""

    def __init__(self, home: Path, engine: Engine = THREADS) -> None:
        (home / "formats").mkdir(parents=True)
        (home / "formats" / "own.toml").write_text(FORM, encoding="utf-8")
        source = home / "whois.csv"
        source.write_text("203.0.0.0,203.0.255.255,TH\n203.1.0.0,203.1.255.255,SG\n")
        version = Version("2026-03-01", "whois", Kind.COUNTRY)
        Shelf(home / "ranges").add(version, read([source], Kind.COUNTRY).frame)
        settings = NodeSection(member="th", team="ThaiCERT")
        clock = SetClock("2026-03-05T00:00:00Z")
        self.node = Node(NodeConfig(home=home, node=settings), clock)
        self.lane = Lane(self.node)
        self.worker = Worker(self.lane, engine)
        self.worker.kernel._limits = Limits(block_bytes=90_000)
        for first in (0, ROWS // 2, 80_000):
            told = Told("drone", "own", name="a.csv")
            self.lane.add(BytesIO(text(first).encode()), told)

    def work(self, stop: threading.Event | None = None) -> list[tuple[int, ...]]:
        outcomes = []
        while some := self.worker.once(stop):
            outcomes += some
        self.worker.close()
        return [(one.rows, one.repeated, one.rejects) for one in outcomes]

    def rows(self, name: str = "events") -> pl.DataFrame:
        table = getattr(archive_of(self.node), name)
        found: pl.DataFrame = table.scan(table.listed()["path"].to_list()).collect()
        return found.sort("batch", "number" if name == "events" else "line")


class After(threading.Event):
    """Is never set, and does something when it was asked for the n-th time."""

    def __init__(self, count: int, do: Callable[[], object]) -> None:
        super().__init__()
        self.left = count
        self.do = do

    def is_set(self) -> bool:
        self.left -= 1
        if self.left == 0:
            self.do()
        return False


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    made: list[Desk] = []

    def make(engine: Engine = THREADS) -> Desk:
        made.append(Desk(tmp_path / str(len(made)), engine))
        return made[-1]

    yield make
    for one in made:
        one.node.close()


@pytest.fixture
def machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Start two raylets that are nowhere but on loopback."""
    lean = tmp_path / "lean"
    lean.mkdir()
    # Each of Ray's processes would build a grammar for seconds that none of them uses.
    (lean / "rfc3987_syntax.py").write_text("raise ImportError\n")
    for name, value in {
        "PYTHONPATH": f"{lean}{os.pathsep}{Path(serantau.__file__).parents[1]}",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_AUTH_MODE": "disabled",
    }.items():
        monkeypatch.setenv(name, value)
    # Ray reads some of these when it is imported.
    Machines: Any = pytest.importorskip("ray.cluster_utils").Cluster  # noqa: N806
    each = {
        "num_cpus": 1,
        "node_ip_address": "127.0.0.1",
        "include_dashboard": False,
        "object_store_memory": 200_000_000,
    }
    health = {
        "health_check_initial_delay_ms": 0,
        "health_check_period_ms": 500,
        "health_check_failure_threshold": 4,
    }
    for tries_left in (2, 1, 0):
        try:
            cluster = Machines(
                initialize_head=True, head_node_args={**each, "_system_config": health}
            )
            break
        except Exception:
            # Ray gives up when its processes take long to start on a busy machine.
            if not tries_left:
                raise

    def give_up(*_: object) -> None:
        raise TimeoutError("a cluster that goes on waits for nothing so long")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(_GIVE_UP_SECONDS)
    try:
        cluster.second = cluster.add_node(**each)
        yield cluster
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        cluster.shutdown()


def deadly(mark: Path) -> Any:
    """Give a judge that kills its worker, once."""

    def kills(piece: Piece, reference: Held[Reference]) -> Any:
        try:
            os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return judge(piece, reference)
        os.kill(os.getpid(), signal.SIGKILL)
        return None

    return kills


@pytest.mark.kill
def test_a_cluster_gives_the_same_rows_whatever_of_it_is_killed(
    desk: Callable[..., Desk],
    machines: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alone = desk()
    counts = alone.work()
    assert [sum(one) for one in counts] == [ROWS] * 3
    assert counts[1][1] > ROWS // 3
    assert all(rejects == ROWS // 1000 for _, _, rejects in counts)
    engine = open_engine("ray", machines.address)
    try:
        afar = desk(engine)
        mark = tmp_path / "killed"
        monkeypatch.setattr("serantau.desk.lane_kernel.judge", deadly(mark))
        lost: list[bool] = []

        def lose() -> None:
            machines.remove_node(machines.second, allow_graceful=False)
            lost.append(True)

        assert afar.work(After(8, lose)) == counts
        assert lost
        assert mark.exists()
        for table in ("events", "rejects"):
            assert_frame_equal(afar.rows(table), alone.rows(table))
        with afar.node.db.read() as tx:
            assert afar.lane.batches.counts(tx)[State.DONE] == 3
        for question in (Question(), Question(where={"member": ["sg"]})):
            here, there = (
                Asking(archive_of(alone.node), question, engine=one)
                for one in (THREADS, engine)
            )
            assert there.count() == here.count() > 0
            for asked in ("top", "over"):
                said = [
                    getattr(one, asked)("time" if asked == "top" else "day")
                    for one in (here, there)
                ]
                assert_frame_equal(*said)
            assert_frame_equal(there.rows(50), here.rows(50))
            assert_frame_equal(pl.concat(there.chunks()), pl.concat(here.chunks()))
    finally:
        engine.close()
