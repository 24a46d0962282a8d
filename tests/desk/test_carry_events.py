"""Events that are carried elsewhere are the same, and come in as often as before."""

import os
import shutil
import signal
from collections.abc import Iterator
from copy import copy
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import polars as pl
import pytest
import tomli_w

from objectstore import object_store
from serantau.clock import SetClock
from serantau.config import FILE_NAME, load_config
from serantau.desk import carry, carry_files
from serantau.desk.broken_off import JOURNAL, refuse_broken_off
from serantau.desk.found import Charter, found
from serantau.desk.lane import Lane, Told
from serantau.desk.lane_ask import archive_of, find
from serantau.desk.lane_work import Worker
from serantau.errors import BadInput, Conflict, StoreError
from serantau.lane.why import why
from serantau.node import Node
from serantau.records.batches import Batch, State
from stores import PROCESSES, doomed

START = "2026-03-05T00:00:00Z"
FORM = """
title = "A format of the node's own"
[columns]
seen = "time"
ip = "source_address"
note = "extra"
"""
MANY = range(1, 1400)


def rows(day: int, hosts: range, more: str = "") -> bytes:
    lines = [
        f"2026-03-{day:02}T10:00:00Z,10.{host >> 8}.{host & 255}.9,{'x' * 30}"
        for host in hosts
    ]
    return "\n".join(["seen,ip,note", *lines, more]).encode()


def add(lane: Lane, body: bytes) -> Batch:
    told = Told("drone", format="own", name="a.csv")
    return lane.add(BytesIO(body), told).batch


def work(node: Node) -> list[tuple[int, int]]:
    worker, done = Worker(Lane(node)), []
    while outcomes := worker.once():
        assert [one.fault for one in outcomes] == [""] * len(outcomes)
        done += [(one.rows, one.rejects) for one in outcomes]
    return done


def table(node: Node, name: str) -> pl.DataFrame:
    held = getattr(archive_of(node), name)
    frame: pl.DataFrame = held.scan(held.listed()["path"].to_list()).collect()
    return frame.sort("batch", "number" if name == "events" else "line")


def batches(node: Node) -> list[Batch]:
    with node.db.read() as tx:
        return Lane(node).batches.recent(tx)


class Made:
    """A node with three batches done, one of them read anew, and two that wait."""

    DONE: ClassVar = (
        rows(1, range(1, 4), "2026-03-01T10:00:00Z,1.2.3,bad"),
        rows(2, range(1, 6)),
        rows(2, MANY),
    )
    WAITING: ClassVar = (rows(3, range(1, 3)), rows(3, MANY))

    def __init__(self, home: Path, **settings: Any) -> None:
        self.home = home
        found(home, Charter("th", "ThaiCERT"), SetClock(START))
        if settings:
            with (home / FILE_NAME).open("ab") as file:
                file.write(b"\n" + tomli_w.dumps(settings).encode())
        for name, text in (
            ("formats/own.toml", FORM),
            ("warninglists/here/list.json", "{}"),
            ("notices/own.toml", ""),
        ):
            (home / name).parent.mkdir(parents=True)
            (home / name).write_text(text)
        with self.open() as node:
            lane = Lane(node)
            for body in self.DONE:
                add(lane, body)
                work(node)
            with node.db.write() as tx:
                lane.again(tx, lane.batches.get(tx, "2"))
            work(node)
            for body in self.WAITING:
                add(lane, body)

    def copied(self, home: Path) -> "Made":
        shutil.copytree(self.home, home)
        other = copy(self)
        other.home = home
        return other

    def open(self) -> Node:
        return Node(load_config(self.home), SetClock(START))

    def export(self, out: Path, progress: carry.Progress | None = None) -> None:
        with self.open() as node:
            carry.export(node, out, progress)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("made") / "th")


@pytest.fixture(scope="module")
def out(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "out"
    made.export(out)
    return out


def opened(home: Path) -> Node:
    return Node(load_config(home), SetClock(START))


def check_same(node: Node, made: Made) -> None:
    """Claim that what is asked of events gets the same answer as before."""
    with made.open() as before:
        for name in ("events", "rejects"):
            assert table(node, name).equals(table(before, name)), name
        row = f"{batches(before)[-1].digest}:2"
        assert why(find(node, row)) == why(find(before, row))
        assert batches(node) == batches(before)


def check_once(node: Node) -> None:
    """Claim that what is in comes in no more, and that what waited goes on."""
    height = table(node, "events").height
    assert [add(Lane(node), body).state for body in Made.DONE] == [State.DONE] * 3
    assert sorted(work(node)) == [(2, 0), (len(MANY) - 2, 0)]
    assert {one.state for one in batches(node)} == {State.DONE}
    assert table(node, "events").height == height + len(MANY)
    # A worker that knows nothing of it, as after a kill between commit and row.
    with node.db.write() as tx:
        tx.run("UPDATE batch SET state = 'stored'")
    work(node)
    assert table(node, "events").height == height + len(MANY)
    assert table(node, "rejects").height == 1


def test_a_restored_node_tells_the_same_of_events_and_takes_each_batch_once(
    made: Made, out: Path, tmp_path: Path, store_url: str
) -> None:
    again = tmp_path / "again"
    steps: list[int] = []
    carry.restore(
        out, again, store=store_url, progress=lambda done, _: steps.append(done)
    )
    assert steps == sorted(steps)
    assert steps[-1] == carry.count_exported(out)
    for name in ("formats/own.toml", "warninglists/here/list.json"):
        assert (again / name).read_bytes() == (made.home / name).read_bytes()
    with opened(again) as node:
        check_same(node, made)
        check_once(node)


def killed(target: Any, *args: Any) -> None:
    process = PROCESSES.Process(target=doomed, args=(target, *args))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    process.close()


def die_at(said: str) -> carry.Progress:
    def step(_done: int, what: str) -> None:
        if said in what:
            os.kill(os.getpid(), signal.SIGKILL)

    return step


def kill_export(home: Path, out: Path) -> None:
    with opened(home) as node:
        carry.export(node, out, die_at("archive/events/day"))


def kill_restore(out: Path, home: Path, said: str) -> None:
    carry.restore(out, home, progress=die_at(said))


@pytest.mark.kill
def test_a_killed_export_is_no_export(made: Made, tmp_path: Path) -> None:
    killed(kill_export, made.home, tmp_path / "out")
    assert list((tmp_path / "out" / "archive" / "events").glob("day=*"))
    with pytest.raises(BadInput, match="no whole export"):
        carry.restore(tmp_path / "out", tmp_path / "again")
    assert not (tmp_path / "again").exists()


@pytest.mark.kill
def test_a_killed_restore_says_how_to_go_on_and_does(
    made: Made, out: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    with made.open() as node:
        carry.export(node, tmp_path / "another", events=False)
    # In the files, and when these and the rows are there and the settings are not.
    for said in ("archive/events/day", FILE_NAME):
        killed(kill_restore, out, again, said)
        with pytest.raises(Conflict, match="broken off") as told:
            refuse_broken_off(again)
        assert f"init --from {out}" in told.value.mend
        with pytest.raises(Conflict, match="broken off"):
            carry.restore(tmp_path / "another", again)
    carry.restore(out, again)
    refuse_broken_off(again)
    assert not (again / JOURNAL).exists()
    with opened(again) as node:
        check_same(node, made)


def test_an_erasure_meanwhile_is_an_erasure_of_the_export(
    made: Made, tmp_path: Path
) -> None:
    made = made.copied(tmp_path / "th")
    asked: list[str] = []

    def erase(_done: int, what: str) -> None:
        if "archive/events/day" in what and not asked:
            asked.append(what)
            with made.open() as node:
                archive_of(node).erase(ranges=["10.0.3.9"])

    made.export(tmp_path / "out", erase)
    assert asked
    carry.restore(tmp_path / "out", tmp_path / "again")
    with opened(tmp_path / "again") as node:
        assert "10.0.3.9" not in table(node, "events")["source_address"].to_list()
        check_same(node, made)
    said = {path.name for path in (tmp_path / "out").rglob("*.parquet")}
    assert said == {path.name for path in (tmp_path / "again").rglob("loose*.parquet")}


def test_without_events_an_export_says_where_they_are(
    made: Made, tmp_path: Path
) -> None:
    with made.open() as node:
        carried = carry.export(node, tmp_path / "out", events=False)
    assert carried.events == {
        "carried": False,
        "archive": str(made.home / "archive"),
        "originals": str(made.home / "lane"),
    }
    assert not list((tmp_path / "out").rglob("*.parquet"))
    again = carry.restore(tmp_path / "out", tmp_path / "again")
    assert again.events == carried.events
    assert (tmp_path / "again" / "formats" / "own.toml").exists()
    assert not (tmp_path / "again" / "archive").exists()


def damaged(out: Path) -> Iterator[tuple[Path, bytes]]:
    """Give files of an export, one of each kind, with what is to be written there."""
    for pattern in ("archive/events/day*/*", "originals/*/*", "keys/*", "files.ndjson"):
        path = next(out.glob(pattern))
        content = path.read_bytes()
        yield path, content[:-1] + bytes([content[-1] ^ 1])


def test_a_damaged_file_is_named_and_restored_after_it_was_mended(
    made: Made, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    made.export(out)
    for number, (path, bad) in enumerate(damaged(out)):
        again = tmp_path / str(number)
        good = path.read_bytes()
        path.write_bytes(bad)
        with pytest.raises(BadInput, match="not as it was exported") as told:
            carry.restore(out, again)
        assert str(path) in told.value.message
        path.write_bytes(good)
    listed = next(out.glob("archive/events/day*/*"))
    listed.rename(tmp_path / "away")
    with pytest.raises(BadInput, match="not as it was exported"):
        carry.restore(out, again)
    (tmp_path / "away").rename(listed)
    carry.restore(out, again)
    with opened(again) as node:
        check_same(node, made)


def test_a_list_that_names_other_places_is_refused(made: Made, tmp_path: Path) -> None:
    with made.open() as node:
        carry.export(node, tmp_path / "out", events=False)
    manifest = carry.read_manifest(tmp_path / "out")
    config = load_config(made.home)
    unpacking = carry_files.Unpacking(tmp_path / "out", manifest, config)
    for path in ("/etc/x", "keys/../../x", "elsewhere/x", "originals/x", ""):
        entry = msgspec.json.encode(carry_files.Entry(path, 1, "0"))
        (tmp_path / "out" / carry_files.LIST).write_bytes(entry + b"\n")
        with pytest.raises(BadInput, match="names"):
            unpacking.unpack(lambda *_: None)
    (tmp_path / "out" / carry_files.LIST).write_bytes(b"{\n")
    with pytest.raises(BadInput, match="not as it was exported"):
        unpacking.unpack(lambda *_: None)


def test_events_of_a_newer_version_and_full_disks_are_refused_before_anything_is_done(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Made
) -> None:
    manifest = carry.read_manifest(out)
    manifest["events"]["tables"]["events"]["columns"].append("mood")
    with pytest.raises(BadInput, match=r"does not know: mood"):
        carry_files.Unpacking(out, manifest, load_config(made.home))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10))
    with pytest.raises(StoreError, match=r"0\.0 GB free"):
        carry.restore(out, tmp_path / "again")
    with made.open() as node, pytest.raises(StoreError, match=r"0\.0 GB free"):
        carry.export(node, tmp_path / "out")


def test_lost_and_damaged_bytes_of_batches_are_told_and_a_damaged_archive_refused(
    made: Made, tmp_path: Path
) -> None:
    made = made.copied(tmp_path / "th")
    with made.open() as node:
        large = [one for one in batches(node) if one.size > 65_536]
        paths = [Lane(node).originals.path(one.digest) for one in large]
        paths[0].unlink()
        paths[1].write_bytes(b"rust")
        carried = carry.export(node, tmp_path / "out")
        assert set(carried.events["lost"]) == {one.digest for one in large}
        assert not list((tmp_path / "out" / "originals").rglob("*/?*"))
        carry.restore(tmp_path / "out", tmp_path / "again")
        table = archive_of(node).events
        victim = Path(table.root, table.listed()["path"][0])
        held = victim.read_bytes()
        victim.write_bytes(held[:-1])
        with pytest.raises(StoreError, match=f"{victim.name} has .* damaged"):
            carry.export(node, tmp_path / "out 2")
        victim.unlink()
        with pytest.raises(StoreError, match=f"{victim.name} is not there"):
            carry.export(node, tmp_path / "out 3")


def test_an_archive_goes_from_one_place_in_an_object_store_to_another(
    tmp_path: Path,
) -> None:
    with object_store() as store:
        lane = {"archive": "s3://bucket/there", "storage": dict(store.options)}
        made = Made(tmp_path / "there", lane=lane)
        made.export(tmp_path / "out")
        with pytest.raises(Conflict, match="has events already") as told:
            carry.restore(tmp_path / "out", tmp_path / "no")
        assert "--archive" in told.value.mend
        again = tmp_path / "again"
        carry.restore(tmp_path / "out", again, archive="s3://bucket/other")
        with opened(again) as node:
            check_same(node, made)
            assert archive_of(node).root == "s3://bucket/other"
