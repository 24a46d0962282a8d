"""What is erased is nowhere any more and others' rows stay, whatever is killed."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from serantau.clock import SetClock
from serantau.config import NodeConfig, NodeSection
from serantau.desk.erase import LEASE_SECONDS, Erase
from serantau.desk.lane import Lane, Told
from serantau.desk.lane_kernel import Kernel
from serantau.desk.lane_search import Search, count, tallies_of
from serantau.desk.lane_work import LaneWork, Worker
from serantau.desk.notice_rows import tell
from serantau.desk.notify import Notify
from serantau.errors import BadRequest, Conflict
from serantau.lane.erasure import Scope
from serantau.node import Node
from serantau.records.assets import Assets
from serantau.records.contacts import Contacts
from serantau.records.erasures import Erasure, Erasures
from serantau.records.notices import Notices
from serantau.records.parcels import Parcels
from serantau.rules.asset import Asset
from serantau.rules.asset import Kind as AssetKind
from serantau.rules.contact import Contact
from serantau.rules.contact import Kind as ContactKind
from serantau.rules.party import Kind, Party

KILLS = int(os.environ.get("SERANTAU_KILLS", "1"))
SEED = int(os.environ.get("SERANTAU_SEED", str(time.time_ns() % 1_000_000)))
BANK, OTHER, FAR = "203.0.113.7", "203.0.113.9", "198.51.100.7"
DAY = "2026-03-01"


def line(address: str, **more: Any) -> dict[str, Any]:
    return {
        "time": f"{DAY}T10:00:00Z",
        "type": "brute-force",
        "tlp": 1,
        "source_address": address,
        **more,
    }


def text(*lines: dict[str, Any]) -> bytes:
    return "\n".join(map(json.dumps, lines)).encode()


class Desk:
    """A node with rows of two owners here and one of another state."""

    def __init__(self, home: Path) -> None:
        self.clock = SetClock("2026-03-02T00:00:00Z")
        section = NodeSection(member="th", team="ThaiCERT", realm="exercise:reef")
        self.node = Node(NodeConfig(home=home, node=section), self.clock)
        self.lane = Lane(self.node)

    def fill(self) -> None:
        with self.node.db.write() as tx:
            parties = self.node.registry
            parties.put_party(tx, Party("th", Kind.OWN))
            for name, member, prefix in (
                ("bank", "th", f"{BANK}/32"),
                ("hoster", "th", f"{OTHER}/32"),
                ("far", "id", f"{FAR}/32"),
                ("farther", "id", "198.51.100.9/32"),
            ):
                parties.put_party(tx, Party(name, Kind.OPERATOR, client_of=member))
                Assets().add(tx, Asset(name, member, AssetKind.PREFIX, prefix))
                place = str(self.node.home / name)
                Contacts().put(tx, Contact(name, ContactKind.FOLDER, place))
        self.add(text(line(BANK), line(OTHER), line(FAR), line("198.51.100.9")))
        # The same finding again: left out, and its bytes hold the address all the same.
        self.add(text(line(BANK), line("192.0.2.7")), "later.jsonl")
        self.add(text(line(OTHER, source_port=7), {**line(BANK), "time": "never"}))
        self.add(text(line("192.0.2.8")), "last.jsonl")
        self.work()

    def add(self, body: bytes, name: str = "a.jsonl", **more: Any) -> None:
        told = Told("drone", format="serantau-json", name=name)
        self.lane.add(io.BytesIO(body), told)

    def work(self) -> None:
        worker = Worker(self.lane)
        while worker.once():
            pass

    def notices(self, begun: bool = False) -> None:
        tell(self.node, Notify(self.node, "test"), DAY)
        if begun:
            with self.node.db.write() as tx:
                for one in Notices().all(tx):
                    Notices().address(tx, one, {1: f"key-{one.number}"})
                tx.run("UPDATE delivery SET state = 'sent', tries = 1")

    def addresses(self) -> list[str]:
        table = Kernel(self.lane).archive.events
        frame = table.scan(table.listed()["path"].to_list()).collect()
        return sorted(frame["source_address"].to_list())

    def parcels(self) -> list[str]:
        found: list[str] = []
        with self.node.db.read() as tx:
            rows = tx.rows("SELECT rows, body FROM parcel ORDER BY n")
        for row in rows:
            frame = pl.read_ipc_stream(io.BytesIO(bytes(row.body)))
            assert frame.height == row.rows
            found += frame["source_address"].to_list()
        return sorted(found)

    def erase(self, scope: Scope) -> Erasure:
        return Erase(self.node).erase(scope, actor="rat", reason="court order 7")


@pytest.fixture
def th(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    desk.fill()
    yield desk
    desk.node.close()


def everything(home: Path) -> Iterator[tuple[str, bytes]]:
    for path in home.rglob("*"):
        if path.suffix == ".parquet":
            yield str(path), str(pl.read_parquet(path).to_dicts()).encode()
        elif path.is_file():
            yield str(path), path.read_bytes()


def test_an_erased_address_is_in_no_file_of_the_node(th: Desk, tmp_path: Path) -> None:
    th.notices()
    scope = Scope(ranges=(BANK,))
    holding = [name for name, body in everything(tmp_path) if BANK.encode() in body]
    assert any("serantau.db" in name for name in holding)
    found = Erase(th.node).find(scope)
    assert (found.events, found.rejects, found.batches) == (1, 1, 2)
    assert (found.originals, found.parcels, found.notices) == (3, 0, 1)
    done = th.erase(scope)
    assert (done.events, done.rejects, done.batches) == (1, 1, 2)
    assert (done.originals, done.notices, done.scope) == (3, 1, "")
    assert (done.actor, done.reason, done.about) == (
        "rat", "court order 7", "1 address or range",
    )  # fmt: skip
    with th.node.db.write() as tx:
        # It is the register's, and stays until it is changed there.
        tx.run("DELETE FROM asset WHERE value = :value", value=f"{BANK}/32")
        tx.overwrite()
    th.node.db.settle_log()
    for name, body in everything(tmp_path):
        if not name.endswith("-ledger.db"):
            assert BANK.encode() not in body, name
    others = ["192.0.2.7", "192.0.2.8", FAR, "198.51.100.9", OTHER, OTHER]
    assert th.addresses() == others
    with th.node.db.read() as tx:
        kept = {one.name: one.kept for one in th.lane.batches.recent(tx)}
    assert kept["later.jsonl"] is False
    # It is asked for again, and nothing is there.
    assert Erase(th.node).find(scope).events == 0


def test_counts_of_files_go_with_the_rows_that_were_counted(th: Desk) -> None:
    archive = Kernel(th.lane).archive
    archive.fold(th.node.clock.now(), all_days=True)
    tallies = tallies_of(th.node)
    assert tallies.keep(archive.events) > 0
    day = Search(0, th.node.clock.now())
    assert ("bank", 1) in count(th.node, day, ZoneInfo("UTC")).facets["party"]
    th.erase(Scope(("bank",)))
    assert "bank" not in dict(count(th.node, day, ZoneInfo("UTC")).facets["party"])
    kept = [path.read_bytes() for path in (th.node.home / "counts").iterdir()]
    live = Kernel(th.lane).archive.events.listed()["path"].to_list()
    assert len(kept) == len(tallies.held(live))


def test_a_party_leaves_the_archive_parcels_and_notices(th: Desk) -> None:
    th.notices(begun=True)
    assert th.parcels() == [FAR, "198.51.100.9"]
    done = th.erase(Scope(parties=("far", "bank")))
    assert (done.events, done.parcels, done.notices) == (2, 1, 1)
    assert th.parcels() == ["198.51.100.9"]
    assert FAR not in th.addresses()
    with th.node.db.read() as tx:
        several = {one.party: one for one in Notices().all(tx)}
        csv = Notices().csv(tx, several["bank"].number).decode()
        assert OTHER in Notices().csv(tx, several["hoster"].number).decode()
        told = tx.value(
            "SELECT count(*) FROM told WHERE party = :p", p=several["bank"].party_number
        )
    assert several["bank"].facts["examples"] == []
    assert csv.count("\r\n") == 1
    assert "source_address" in csv
    assert told == 0
    # Nothing is told anew of it, and a parcel that is empty is none.
    th.notices()
    done = th.erase(Scope(ranges=("198.51.100.9",)))
    assert done.parcels == 1
    assert th.parcels() == []
    with th.node.db.read() as tx:
        assert Parcels().waiting(tx) == []
        rounds = {one.party: one.round for one in Notices().all(tx)}
    assert rounds == {"bank": 1, "hoster": 1}


def test_a_notice_that_nobody_got_is_made_anew_without_what_was_erased(
    th: Desk,
) -> None:
    th.add(text(line(OTHER, source_domain="shop.example.th", source_port=9)))
    th.work()
    th.notices()
    done = th.erase(Scope(domains=("example.th",)))
    assert (done.events, done.notices) == (1, 1)
    with th.node.db.read() as tx:
        assert {one.party for one in Notices().all(tx)} == {"bank"}
    th.notices()
    with th.node.db.read() as tx:
        (again,) = Notices().all(tx, party="hoster")
        csv = Notices().csv(tx, again.number).decode()
    assert OTHER in csv
    assert "example.th" not in csv


def test_an_erasure_says_why_and_is_one_at_a_time(th: Desk) -> None:
    erase = Erase(th.node)
    with pytest.raises(BadRequest, match="has a reason"):
        erase.erase(Scope(ranges=(BANK,)), actor="rat", reason=" ")
    with pytest.raises(BadRequest, match="whose rows"):
        erase.find(Scope(anywhere=True))
    with pytest.raises(BadRequest, match="is no address"):
        erase.find(Scope(ranges=("198.51",)))
    begin_and_leave(th.node, BANK)
    with pytest.raises(Conflict, match="being done"):
        th.erase(Scope(ranges=(BANK,)))
    # The node itself goes on where nobody is at it any more.
    house = LaneWork(th.node)
    house.keep_house(0)
    assert BANK in th.addresses()
    th.clock.advance(seconds=LEASE_SECONDS + 1)
    with pytest.raises(Conflict, match="not done"):
        th.erase(Scope(ranges=(BANK,)))
    house.keep_house(0)
    assert BANK not in th.addresses()
    with th.node.db.read() as tx:
        (one,) = Erasures().all(tx)
    assert (one.events, one.scope) == (1, "")
    assert Erase(th.node).resume() == []


def begin_and_leave(node: Node, address: str) -> None:
    with node.db.write() as tx:
        Erasures().begin(
            tx,
            actor="rat",
            reason="x",
            scope=json.dumps({"ranges": [address]}),
            about="",
            seconds=LEASE_SECONDS,
        )


def work(home: str, kill_at: int) -> None:
    """Erase, and die at some step of it: before or after one reaches the disk."""
    left = kill_at
    sync, unlink = os.fsync, Path.unlink

    def step() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted_sync(handle: Any) -> None:
        step()
        sync(handle)
        step()

    def counted_unlink(path: Path, missing_ok: bool = False) -> None:
        step()
        unlink(path, missing_ok=missing_ok)

    setattr(os, "fsync", counted_sync)  # noqa: B010
    setattr(Path, "unlink", counted_unlink)  # noqa: B010
    desk = Desk(Path(home))
    write = desk.node.db.write

    def counted_write() -> Any:
        step()
        return write()

    setattr(desk.node.db, "write", counted_write)  # noqa: B010
    finish(desk)


def finish(desk: Desk) -> None:
    """Go on with the erasure, or begin it."""
    Erase(desk.node).resume() or desk.erase(Scope(("far",), (BANK,)))


def test_an_erasure_that_is_killed_goes_on_and_counts_once(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.fill()
    desk.notices()
    desk.node.close()
    chance = random.Random(SEED)
    for kill_at in sorted(chance.sample(range(1, 45), KILLS)):
        ran = subprocess.run(
            [sys.executable, __file__, str(tmp_path), str(kill_at)],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=False,
        )
        assert ran.returncode == -signal.SIGKILL, (SEED, ran.stderr)
    desk = Desk(tmp_path)
    finish(desk)
    with desk.node.db.read() as tx:
        (done,) = Erasures().all(tx)
    assert (done.events, done.rejects, done.parcels) == (2, 1, 1), SEED
    assert (done.originals, done.notices, done.scope) == (3, 1, ""), SEED
    assert desk.parcels() == ["198.51.100.9"]
    assert desk.addresses() == ["192.0.2.7", "192.0.2.8", "198.51.100.9", *[OTHER] * 2]
    desk.node.close()
    left = [name for name, body in everything(tmp_path) if FAR.encode() in body]
    assert {Path(name).name for name in left} <= {"serantau.db", "serantau.db-wal"}


if __name__ == "__main__":
    work(sys.argv[1], int(sys.argv[2]))
