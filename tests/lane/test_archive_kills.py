"""A process killed at any moment leaves each batch whole or absent, and once."""

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from archived import batch_of, event, now, refused, stored, written
from serantau.lane.archive import Archive
from serantau.lane.upkeep import Keep

KILLS = int(os.environ.get("SERANTAU_KILLS", "8"))
SEED = int(os.environ.get("SERANTAU_SEED", "20261123"))
BATCHES = 12
# At which step a process dies at most; the whole work has about 430.
STEPS = (60, 150, 440)
ROWS = 6
LATER = now("2026-03-05")


def rows_of(name: int) -> list[dict[str, object]]:
    """Make what a batch brings: two days, one row of a party that is erased."""
    return [
        event(
            f"198.51.{name}.{number}",
            time=event()["time"].replace(day=1 + number % 2),
            party="dtac" if number == 0 else "ais",
        )
        for number in range(ROWS)
    ]


def work(root: str, kill_at: int, *, only_intake: bool) -> None:
    """Do all that is done to an archive, or its intake, and die at some step of it."""
    import deltalake

    left = kill_at

    def step() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sync = os.fsync

    def counted_sync(handle: Any) -> None:
        step()
        sync(handle)
        step()

    setattr(os, "fsync", counted_sync)  # noqa: B010
    table = deltalake.DeltaTable
    for verb in ("create_write_transaction", "create_checkpoint", "vacuum", "create"):
        whole = getattr(table, verb)

        def counted(*what: object, _whole: object = whole, **more: object) -> object:
            step()
            done = _whole(*what, **more)  # type: ignore[operator]
            step()
            return done

        setattr(table, verb, staticmethod(counted) if verb == "create" else counted)
    archive = Archive(root)
    for name in range(BATCHES):
        if archive.has(batch_of(name)):
            continue
        archive.commit(written(archive, name, rows_of(name), {"value": str(name)}))
        if name % 4 == 3 and not only_intake:
            archive.fold(LATER)
    if only_intake:
        return
    archive.erase(parties=["dtac"])
    archive.expire([Keep(1, feed="other")], LATER)
    archive.fold(LATER, all_days=True)
    archive.events.checkpoint()


def check(root: Path, *, whole: bool) -> int:
    """Hold that nothing is lost, twice or half; gives how many batches are in."""
    archive = Archive(root)
    frame, refusals = stored(archive), refused(archive)
    assert frame.select("batch", "number").is_unique().all()
    assert refusals.select("batch", "line").is_unique().all()
    erased = frame.filter(pl.col("party") == "dtac").height == 0
    held = 0
    for name in range(BATCHES):
        batch = batch_of(name)
        numbers = frame.filter(pl.col("batch") == batch)["number"].to_list()
        lines = refusals.filter(pl.col("batch") == batch).height
        if archive.has(batch):
            held += 1
            # Days are erased one by one, and the party's rows are all of one day.
            first = [2, 3, 4, 5, 6]
            assert numbers in (first, [1, *first])
            assert lines == 1
        else:
            assert numbers == []
            # The rejects come first: those of the batch that was at it may be there.
            assert lines <= 1
    if whole:
        assert erased
        assert held == BATCHES
        assert archive.size().loose == 0
    return held


def start(
    root: Path, kill_at: int, environment: dict[str, str], *, only_intake: bool = False
) -> subprocess.Popen[bytes]:
    """Begin to work in a process of its own."""
    return subprocess.Popen(
        [sys.executable, __file__, str(root), str(kill_at), str(only_intake)],
        stderr=subprocess.PIPE,
        env=environment,
    )


def killed(process: subprocess.Popen[bytes]) -> bool:
    """Wait for a process; gives whether it was killed."""
    _, said = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), said.decode()
    return process.returncode != 0


@pytest.mark.kill
def test_an_archive_killed_at_any_step_loses_nothing_and_repeats_nothing(
    tmp_path: Path, uncovered_environment: dict[str, str]
) -> None:
    environment = {
        **uncovered_environment,
        "PYTHONPATH": os.pathsep.join(
            [str(Path(__file__).parent.parent), *sys.path[1:]]
        ),
        "POLARS_MAX_THREADS": "1",
    }
    chance = random.Random(SEED)
    root = tmp_path / "archive"
    kills = half_way = finished = 0
    while kills < KILLS:
        # What comes late is reached by those that go on where others died.
        process = start(root, chance.randrange(1, chance.choice(STEPS)), environment)
        if chance.random() < 0.3:
            rival_at = chance.randrange(1, STEPS[0])
            rival = start(root, rival_at, environment, only_intake=True)
            kills += killed(rival)
        died = killed(process)
        kills += died
        held = check(root, whole=not died)
        half_way += 0 < held < BATCHES
        if not died:
            finished += 1
            assert finished < 10 * KILLS, f"it is never killed (seed {SEED})"
            shutil.rmtree(root)
    if root.exists():
        assert killed(start(root, 0, environment)) is False
        check(root, whole=True)
    print(f"{kills} kills, {half_way} half way (seed {SEED})")  # noqa: T201


if __name__ == "__main__":
    work(sys.argv[1], int(sys.argv[2]), only_intake=sys.argv[3] == "True")
