"""A node that is killed while it pulls, again and again, ends with what was there.

SERANTAU_KILLS: how many times it is killed. SERANTAU_SEED: repeats a run's moments.
"""

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from doors import serving
from samples import made
from serantau.clock import instant
from serantau.config import load_config
from serantau.desk.federate import Federation
from serantau.node import Node
from serantau.records.peers import Cursor
from serantau.rules.marking import TLP_2_IDS, Tlp
from serantau.testing import Region, Site

KILLS = int(os.environ.get("SERANTAU_KILLS", "6"))
SEED = int(os.environ.get("SERANTAU_SEED", str(time.time_ns() % 1_000_000)))
OBJECTS = 3000
PAGE = 50

# Once page by page, once with a reader process ahead, as in a pull of many thousands.
PULLER = """
import sys
from pathlib import Path
from serantau.config import load_config
from serantau.desk import federate, reading
from serantau.node import Node

if __name__ == "__main__":
    federate.BATCH = reading.BATCH = int(sys.argv[2])
    with Node(load_config(Path(sys.argv[1]))) as node:
        print("ready", flush=True)
        report = federate.Federation(node).pull("th")
        assert not report.faults, report.faults
"""


@pytest.fixture
def sender(tmp_path: Path) -> Iterator[tuple[Site, str]]:
    """th behind a real server, and its address."""
    with Region(tmp_path / "there", ["th", "sg"]) as region:
        green = [TLP_2_IDS[Tlp.GREEN]]
        region.load(
            "th", (made("indicator", object_marking_refs=green) for _ in range(OBJECTS))
        )
        with serving(region["th"].node) as address:
            yield region["th"], address


@pytest.fixture
def receiver(sender: tuple[Site, str], tmp_path: Path) -> Path:
    """The folder of a node sg that follows th and has nothing yet."""
    site, address = sender
    with Region(tmp_path / "here", ["sg"]) as region:
        region["sg"].follow(site, url=f"{address}/taxii2/")
    home = tmp_path / "here" / "sg"
    (home / "serantau.toml").write_text(
        f'[node]\nmember = "sg"\n[federation]\npage = {PAGE}\n'
    )
    return home


def start(home: Path, batch: int, environment: dict[str, str]) -> subprocess.Popen[str]:
    script = home.parent / "puller.py"
    script.write_text(PULLER)
    with (home.parent / "puller.log").open("a") as log:
        puller = subprocess.Popen(
            [sys.executable, script, home, str(batch)],
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            text=True,
        )
    assert puller.stdout is not None
    assert puller.stdout.readline() == "ready\n"
    return puller


def state(home: Path) -> tuple[set[tuple[str, int, bytes]], Cursor]:
    """What the receiver holds, each exactly once, and how far its cursor says it is."""
    with Node(load_config(home)) as node, node.db.read() as tx:
        rows = tx.rows("SELECT id, modified, body FROM object")
        federation = Federation(node)
        peer = federation.peers.get(tx, "th", node.seal)
        (cursor, *_) = [
            *(one for one in federation.peers.cursors(tx, peer) if one.collection),
            Cursor(""),
        ]
    found = {(row.id, int(row.modified), bytes(row.body)) for row in rows}
    assert len(found) == len(rows), "something is there twice"
    return found, cursor


def check(site: Site, home: Path) -> int:
    """Nothing invented, nothing twice, nothing passed by the cursor; gives how many."""
    found, cursor = state(home)
    assert found <= site.versions()
    # A page and its cursor are there together or not at all.
    assert cursor.pulled == len(found)
    assert cursor.held == 0
    after = instant(cursor.added_after) if cursor.added_after else -1
    with site.node.db.read() as tx:
        passed = tx.rows("SELECT id FROM object WHERE added <= :after", after=after)
    assert {row.id for row in passed} == {one[0] for one in found}
    return len(found)


@pytest.mark.kill
def test_a_pull_killed_at_any_moment_loses_nothing_and_repeats_nothing(
    sender: tuple[Site, str],
    receiver: Path,
    tmp_path: Path,
    uncovered_environment: dict[str, str],
) -> None:
    site, _ = sender
    chance = random.Random(SEED)
    kills = half_way = runs = 0
    longest = 1.0
    home = tmp_path / "fresh"
    while kills < KILLS:
        if not home.exists():
            shutil.copytree(receiver, home)
        batch = (5000, 400)[runs % 2]
        runs += 1
        puller = start(home, batch, uncovered_environment)
        began = time.monotonic()
        try:
            puller.wait(chance.uniform(0, longest))
        except subprocess.TimeoutExpired:
            kills += 1
        else:
            longest = time.monotonic() - began
        puller.kill()
        puller.communicate()
        held = check(site, home)
        half_way += 0 < held < OBJECTS
        if held == OBJECTS:
            shutil.rmtree(home)
        assert runs < 10 * KILLS, f"it is never killed (seed {SEED})"
    if not home.exists():
        shutil.copytree(receiver, home)
    last = start(home, 5000, uncovered_environment)
    last.communicate()
    assert last.returncode == 0, (home.parent / "puller.log").read_text()
    assert state(home)[0] == site.versions()
    assert check(site, home) == OBJECTS
    print(f"{kills} kills, {half_way} of them half way (seed {SEED})")  # noqa: T201
