"""A load that is killed, at any statement or moment, ends as if it ran once.

SERANTAU_KILLS: how many times it is killed. SERANTAU_SEED: repeats a run's moments.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import orjson
import pytest
import sqlalchemy as sa

from serantau.clock import SystemClock
from serantau.config import NodeConfig, NodeSection, StoreSection
from serantau.desk import reading
from serantau.desk.intake import Intake
from serantau.desk.share import Share
from serantau.node import Node
from serantau.records.database import Tx
from serantau.records.objects import digest_of
from serantau.records.registry import EVERYONE, Access, Caller
from serantau.records.views import Asked
from serantau.rules.marking import make_audience
from serantau.rules.party import Kind, Party
from stores import CLEAR, GREEN, PROCESSES, RED, doomed, indicator, later, read

KILLS = int(os.environ.get("SERANTAU_KILLS", "12"))
SEED = int(os.environ.get("SERANTAU_SEED", str(time.time_ns() % 1_000_000)))
OBJECTS = 1200
BATCH = 100
FILE = "objects.ndjson"


def make_file(path: Path) -> Counter[str]:
    """Write what is loaded; gives how many are refused by each rule."""
    audience = make_audience(named=["vn", "killed"])
    objects: list[Any] = []
    for number in range(OBJECTS):
        mark = (GREEN, RED, CLEAR)[number % 3]
        marks = [mark] if number % 5 else [mark, audience["id"]]
        objects.append(indicator(f"object {number}", *marks))
    # Later versions, some narrower, far from the first; and the definition late.
    objects += [later(one, 2, GREEN) for one in objects[100:160]]
    objects += [later(one, 3, RED) for one in objects[140:200]]
    objects.insert(700, audience)
    # The same again, other content under the same version, nothing right at all.
    objects += objects[:50]
    objects += [
        {**one, "name": f"another {place}"} for place, one in enumerate(objects[:7])
    ]
    lines = [orjson.dumps(one) for one in objects]
    for place in (3, 250, 900):
        lines.insert(place, b'{"type": "indicator", "id": "indicator--%d"}' % place)
    lines.insert(500, orjson.dumps(indicator("bad", pattern="[nonsense")))
    path.write_bytes(b"\n".join(lines))
    return Counter({"same-version-differs": 7, "pattern": 1, "other": 3})


def config_of(home: Path, url: str) -> NodeConfig:
    return NodeConfig(
        home=home,
        node=NodeSection(member="th", team="ThaiCERT"),
        store=StoreSection(url=url),
    )


def found(home: Path, url: str) -> None:
    with Node(config_of(home, url), SystemClock()) as node, node.db.write() as tx:
        node.registry.put_party(tx, Party("th", Kind.OWN))
        node.registry.put_party(tx, Party("vn", Kind.MEMBER))
        node.registry.put_collection(tx, "all", "All", access=Access(read=(EVERYONE,)))
        node.registry.put_collection(tx, "box", "Box", box=True)


def work(home: Path, url: str, kill_at: int, beside: bool, pipe: Connection) -> None:
    """Load the file, and serve vn a page after each batch; die at some statement."""
    os.setsid()
    reading.BATCH = BATCH
    if not beside:
        # Read in this process, as on one core: a reader process takes long to start.
        os.cpu_count = lambda: 1
    with Node(config_of(home, url), SystemClock()) as node:
        left = kill_at

        def count(*_: object) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        if kill_at:
            for moment in ("before_cursor_execute", "commit", "after_cursor_execute"):
                sa.event.listen(node.db.engine, moment, count)
            execute = Tx.execute

            def counted(tx: Tx, sql: str, values: Mapping[str, Any]) -> Any:
                count()
                found = execute(tx, sql, values)
                count()
                return found

            Tx.execute = counted  # type: ignore[method-assign,assignment]
        share = Share(node)
        with node.db.read() as tx:
            number, party = node.registry.party(tx, "vn")
            everything = node.registry.collection(tx, "all")
            box = node.registry.collection(tx, "box").number
        caller = Caller("vn-user", number, party, "reader")
        cursor = -1

        def serve(_report: object) -> None:
            nonlocal cursor
            page = share.page(
                caller, everything, Asked(after=cursor, all_versions=True), way="test"
            )
            cursor = max(cursor, page.last)
            pipe.send(page.count)

        pipe.send("ready")
        with (home / FILE).open("rb") as stream:
            Intake(node).load(stream, origin=FILE, boxes=(box,), progress=serve)
    pipe.send("done")


def run(
    home: Path, url: str, how: Callable[[], tuple[int, float | None]], beside: bool
) -> tuple[bool, int]:
    """Load once; gives whether it was killed, and how many objects vn was given."""
    kill_at, moment = how()
    mine, theirs = PROCESSES.Pipe(duplex=False)
    given = (home, url, kill_at, beside, theirs)
    process = (
        PROCESSES.Process(target=doomed, args=(work, *given))
        if kill_at or moment is not None
        else PROCESSES.Process(target=work, args=given)
    )
    process.start()
    theirs.close()
    served, done = 0, False
    try:
        assert mine.recv() == "ready"
        if moment is not None:
            time.sleep(moment)
            process.kill()
        while True:
            told = mine.recv()
            done = told == "done"
            served += 0 if done else told
    except EOFError:
        pass
    process.join()
    mine.close()
    ended_alone(process.pid or 0)
    # A kill at a moment may come when the work is done, and the process only ends.
    sure = done and moment is None
    assert process.exitcode in ({0} if sure else {0, -signal.SIGKILL})
    killed = process.exitcode != 0 and not done
    process.close()
    return killed, served


def ended_alone(session: int) -> None:
    """Hold that no process of a session lives on, such as a reader beside a load."""
    give_up = time.monotonic() + 20
    while True:
        try:
            os.killpg(session, 0)
        except ProcessLookupError:
            return
        assert time.monotonic() < give_up, "a process outlives the load"
        time.sleep(0.02)


class Expected:
    """What the file holds, read once."""

    def __init__(self, home: Path) -> None:
        self.refused = make_file(home / FILE)
        self.bodies: dict[tuple[str, int], bytes] = {}
        self.digests: dict[tuple[str, int], list[int]] = {}
        for line in (home / FILE).read_bytes().splitlines():
            try:
                version = read(orjson.loads(line))
            except Exception:  # noqa: S112 - what is refused is counted above
                continue
            key = (version.id, version.modified)
            if key not in self.bodies:
                self.bodies[key] = line
                self.digests[key] = [digest_of(*each) for each in version.values]


def check(home: Path, url: str, expected: Expected, served: int, *, whole: bool) -> int:
    """Nothing lost, nothing twice, nothing half; gives how many objects are there."""
    with Node(config_of(home, url), SystemClock()) as node, node.db.read() as tx:
        rows = tx.rows("SELECT added, id, modified, body, slot FROM object")
        held = {(row.id, int(row.modified)): bytes(row.body) for row in rows}
        assert len(held) == len(rows)
        assert held.items() <= expected.bodies.items()
        stamps = {int(row.added) for row in rows}
        entered = [int(row.added) for row in tx.rows("SELECT added FROM entry")]
        assert len(stamps) + len(entered) == len(stamps.union(entered))
        assert int(tx.value("SELECT last FROM stamp")) >= max([0, *stamps, *entered])
        newest = Counter(row.id for row in rows if row.slot % 2 == 0)
        assert set(newest.values()) <= {1}
        assert newest.keys() == {row.id for row in rows}
        # Every index of an object is there with it, and of nothing else.
        values = Counter(int(row.digest) for row in tx.rows("SELECT digest FROM value"))
        of_held = Counter(one for key in held for one in expected.digests[key])
        assert values == of_held
        boxed = tx.value(
            "SELECT count(*) FROM entry e JOIN scope s ON s.n = e.scope "
            "WHERE s.collection > 0 AND s.party = 0"
        )
        assert boxed == len(rows)
        for row in rows[:: max(1, len(rows) // 5)]:
            name = orjson.loads(row.body)
            if row.slot % 2 == 0 and "name" in name:
                texts = node.search.find(tx, name["name"], limit=3000)
                assert row.id in {one.id for one in texts}
        parties, sets = (
            tx.value(f"SELECT count(*) FROM {table}")  # noqa: S608 - our own names
            for table in ("party", "marking_set")
        )
        assert tx.value("SELECT count(*) FROM verdict") == parties * sets
        refused = Counter(row.rule for row in tx.rows("SELECT rule FROM quarantine"))
        # What was given is in the log, and the log names only what came to be.
        logged = 0
        for row in node.ledger.of_party(tx, 2, limit=10**6):
            runs = node.ledger.stamps_of(tx, row.number)
            assert all(
                at in stamps for low, high in runs for at in range(low, high + 1)
            )
            logged += row.count
        assert logged >= served
        if whole:
            assert held.keys() == expected.bodies.keys()
            assert refused.pop("same-version-differs") == 7
            assert refused.pop("pattern") == 1
            assert sum(refused.values()) == 3
    return len(rows)


def integrity(home: Path) -> None:
    for file in ("serantau.db", "serantau-ledger.db"):
        connection = sqlite3.connect(home / file)
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()


def moments(chance: random.Random) -> Callable[[], tuple[int, float | None]]:
    """Choose how to kill: at a statement or commit, or when so much time has passed."""

    def choose() -> tuple[int, float | None]:
        if chance.random() < 0.6:
            return chance.randrange(1, 1500), None
        return 0, chance.uniform(0, 0.25)

    return choose


@pytest.mark.kill
@pytest.mark.no_cover
def test_a_load_killed_at_any_moment_loses_nothing_and_repeats_nothing(
    tmp_path: Path,
) -> None:
    chance = random.Random(SEED)
    fresh, home = tmp_path / "fresh", tmp_path / "node"
    fresh.mkdir()
    expected = Expected(fresh)
    found(fresh, "")
    kills = half_way = runs = served = 0
    while kills < KILLS:
        if not home.exists():
            shutil.copytree(fresh, home)
            served = 0
        runs += 1
        killed, given = run(home, "", moments(chance), beside=runs % 12 == 0)
        kills += killed
        served += given
        integrity(home)
        held = check(home, "", expected, served, whole=not killed)
        half_way += 0 < held < len(expected.bodies)
        if held == len(expected.bodies):
            shutil.rmtree(home)
        assert runs < 10 * KILLS, f"it is never killed (seed {SEED})"
    if not home.exists():
        shutil.copytree(fresh, home)
    assert run(home, "", lambda: (0, None), beside=True)[0] is False
    check(home, "", expected, 0, whole=True)
    print(f"{kills} kills, {half_way} half way (seed {SEED})")  # noqa: T201


@pytest.mark.kill
@pytest.mark.no_cover
@pytest.mark.postgres
def test_a_load_into_postgresql_that_is_killed_loses_nothing(
    tmp_path: Path, postgres_database: str
) -> None:
    chance = random.Random(SEED)
    expected = Expected(tmp_path)
    found(tmp_path, postgres_database)
    kills = served = 0
    for _ in range(max(5, KILLS // 7)):
        killed, given = run(tmp_path, postgres_database, moments(chance), beside=False)
        kills += killed
        served += given
        check(tmp_path, postgres_database, expected, served, whole=not killed)
    assert run(tmp_path, postgres_database, lambda: (0, None), beside=False)[0] is False
    check(tmp_path, postgres_database, expected, served, whole=True)
    print(f"{kills} kills (seed {SEED})")  # noqa: T201
