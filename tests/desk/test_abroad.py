"""Rows of another member reach that member's node, and nobody else."""

from __future__ import annotations

import io
import json
import os
import random
import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import polars as pl
import pytest
from structlog.testing import capture_logs

from serantau.desk import abroad as desk
from serantau.desk.abroad import MEDIA_TYPE, ROWS, Abroad
from serantau.desk.lane import Lane, Told
from serantau.desk.lane_kernel import Kernel
from serantau.desk.lane_work import Worker
from serantau.desk.telling import Telling
from serantau.lane.frame import EVENTS, conform
from serantau.node import Node
from serantau.records.assets import Assets
from serantau.records.parcels import Part
from serantau.records.registry import Caller
from serantau.rules.asset import Asset
from serantau.rules.asset import Kind as AssetKind
from serantau.rules.event import ABROAD, NAMES
from serantau.rules.marking import Tlp
from serantau.testing import Region
from stores import PROCESSES, doomed

BATCH = "ab" * 32
FEW = 50
# Before, in and after each transaction of a batch that is queued by `work`.
STEPS = 18
SECRET = "ธนาคารลับ-secret"


def rows(member: str | None, level: Tlp | None, count: int = 1) -> pl.DataFrame:
    """Make rows of an owner, with this node's own knowledge in every own column."""
    told: dict[str, Any] = dict.fromkeys(set(NAMES) - set(ABROAD), None)
    made = {
        **{name: SECRET for name in told if EVENTS[name] == pl.String},
        "time": 1_790_000_000_000_000,
        "received": 1_790_000_000_000_000,
        "number": 7,
        "member": member,
        "tlp": None if level is None else int(level),
        "class": "vulnerable",
        "type": "vulnerable-system",
        "report": "scan_rdp",
        "source_address": "203.0.113.7",
        "source_country": "ID",
        "extra": json.dumps({"tag": "ประตูเปิด"}, ensure_ascii=False),
    }
    frame = pl.DataFrame([made] * count, schema_overrides={"tlp": pl.Int16})
    return conform(frame.cast({"time": EVENTS["time"], "received": EVENTS["received"]}))


@pytest.fixture
def region(tmp_path: Path) -> Iterator[Region]:
    with Region(tmp_path, ["th", "id", "vn"], partners=["jp"]) as made:
        made.mesh()
        yield made


def caller(region: Region, name: str) -> Caller:
    node = region["th"].node
    with node.db.read() as tx:
        number, party = node.registry.party(tx, name)
    return Caller(f"node-{name}", number, party, "reader")


def everything(abroad: Abroad, who: Caller) -> list[pl.DataFrame]:
    found, after = [], -1
    while (page := abroad.page(who, after, "test")) is not None:
        found.append(pl.read_ipc_stream(io.BytesIO(page.arrow)))
        assert page.rows == found[-1].height
        after = page.number
    return found


def test_rows_of_a_member_arrive_at_its_node_and_become_a_batch(region: Region) -> None:
    th, indonesia = region["th"].node, region["id"].node
    abroad = Abroad(th)
    assert (
        abroad.queue(BATCH, [rows("id", Tlp.GREEN, 3), rows("vn", Tlp.GREEN, 2)]) == 5
    )
    reports = {report.peer: report for report in region["id"].sync()}
    assert reports["th"].events == 3
    assert not reports["th"].faults
    lane = Lane(indonesia)
    with indonesia.db.read() as tx:
        (batch,) = lane.batches.recent(tx)
    assert batch.feed == "node.th"
    assert sum(report.events for report in region["id"].sync()) == 0
    assert [one.member for one in abroad.waiting()] == ["vn"]


def worked(node: Node) -> pl.DataFrame:
    """Work on all that waits at a node, and give its events."""
    lane = Lane(node)
    worker = Worker(lane)
    while worker.once():
        pass
    table = Kernel(lane).archive.events
    found: pl.DataFrame = table.scan(table.listed()["path"].to_list()).collect()
    return found


def test_a_report_at_one_node_ends_in_the_archive_of_the_member_it_is_about(
    tmp_path: Path,
) -> None:
    told_of = {"time": "2026-01-01T01:00:00Z", "type": "brute-force", "tlp": 1}
    theirs = {"source_address": "203.0.113.7", "destination_port": 22, "note": "ห"}
    lines = [{**told_of, **theirs}, {**told_of, "source_address": "198.51.100.7"}]
    text = "\n".join(map(json.dumps, lines)).encode()
    with Region(tmp_path, ["th", "id"], realm="exercise:reef") as region:
        region.mesh()
        th, indonesia = region["th"].node, region["id"].node
        with th.db.write() as tx:
            Assets().add(tx, Asset("id", "id", AssetKind.PREFIX, "203.0.113.0/24"))
        told = Told("drone", format="serantau-json", name="a.jsonl")
        Lane(th).add(io.BytesIO(text), told)
        here = worked(th)
        assert sorted(here["member"].to_list(), key=str) == [None, "id"]
        assert sum(one.events for one in region["id"].sync()) == 1
        there = worked(indonesia)
        (row,) = there.iter_rows(named=True)
        assert (row["feed"], row["source_address"]) == ("node.th", "203.0.113.7")
        assert (row["type"], row["tlp"], row["destination_port"]) == (
            "brute-force",
            int(Tlp.GREEN),
            22,
        )
        assert json.loads(row["extra"]) == {"note": "ห", "type": "brute-force"}
        assert row["party"] is None


def test_another_members_row_never_leaves_to_anyone_but_its_owner(
    region: Region,
) -> None:
    abroad = Abroad(region["th"].node)
    for number, level in enumerate([*Tlp, None]):
        abroad.queue(f"{number:064}", [rows("id", level)])
    for name in ("vn", "jp"):
        assert everything(abroad, caller(region, name)) == []
    found = pl.concat(everything(abroad, caller(region, "id")))["tlp"]
    assert found.to_list() == [level for level in Tlp if level < Tlp.RED]


def test_a_red_row_never_leaves_by_events_and_is_seen_to_wait(region: Region) -> None:
    abroad = Abroad(region["th"].node)
    abroad.queue(BATCH, [rows("id", Tlp.RED), rows("id", None)])
    assert everything(abroad, caller(region, "id")) == []
    assert not abroad.news(caller(region, "id"), 0)
    (waits,) = abroad.waiting()
    assert (waits.level, waits.rows, waits.asked) == (Tlp.RED, 2, 0)


def test_what_this_node_knows_of_a_row_never_leaves_with_it(region: Region) -> None:
    abroad = Abroad(region["th"].node)
    abroad.queue(BATCH, [rows("id", Tlp.CLEAR)])
    (frame,) = everything(abroad, caller(region, "id"))
    assert frame.columns == list(ABROAD)
    assert SECRET not in frame.write_json()
    assert "ประตูเปิด" in frame["extra"][0]


def test_own_rows_and_rows_of_nobody_are_not_packed(region: Region) -> None:
    abroad = Abroad(region["th"].node)
    assert abroad.queue(BATCH, [rows("th", Tlp.CLEAR), rows(None, Tlp.CLEAR)]) == 0
    assert abroad.waiting() == []


def test_a_batch_is_queued_once_however_often_it_is_done(region: Region) -> None:
    abroad = Abroad(region["th"].node)
    assert abroad.queue(BATCH, [rows("id", Tlp.CLEAR)]) == 1
    assert abroad.queue(BATCH, [rows("id", Tlp.CLEAR)]) == 0
    assert len(everything(abroad, caller(region, "id"))) == 1


def test_many_rows_are_cut_into_parcels_that_together_hold_each_once(
    region: Region,
) -> None:
    abroad = Abroad(region["th"].node)
    many = rows("id", Tlp.CLEAR, ROWS - 1).with_columns(
        pl.int_range(1, ROWS, dtype=pl.Int32).alias("source_port")
    )
    again = many.with_columns(pl.col("source_port") + ROWS)
    abroad.queue(BATCH, [many, again])
    found = everything(abroad, caller(region, "id"))
    assert [one.height for one in found] == [ROWS, ROWS - 2]
    ports = pl.concat(found)["source_port"].to_list()
    assert sorted(ports) == [*range(1, ROWS), *range(ROWS + 1, 2 * ROWS)]


def test_nothing_of_a_batch_is_handed_out_before_all_of_it_is_packed(
    region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "_WRITTEN", 1)
    node = region["th"].node
    abroad = Abroad(node)
    who = caller(region, "id")

    def drafts() -> int:
        with node.db.read() as tx:
            return int(tx.value("SELECT count(*) FROM parcel"))

    def frames() -> Iterator[pl.DataFrame]:
        for count in range(4):
            assert abroad.waiting() == []
            assert abroad.page(who, -1, "test") is None
            assert not abroad.news(who, 0)
            yield rows("id", Tlp.CLEAR, ROWS)
            written.append(drafts())
            if count == 2:
                # Another worker has the batch too, and is quicker with it.
                assert Abroad(node).queue(BATCH, [rows("id", Tlp.CLEAR, 5)]) == 5
                return

    written: list[int] = []
    assert abroad.queue(BATCH, frames()) == 0
    assert max(written) > 0
    assert [one.height for one in everything(abroad, who)] == [5]
    assert drafts() == 1


def work(config: Any, batch: str, kill_at: int) -> None:
    """Queue a batch, and die before or after some transaction of it."""
    left = kill_at

    def step() -> None:
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    with Node(config) as node:
        write = node.db.write

        @contextmanager
        def counted() -> Iterator[Any]:
            step()
            with write() as tx:
                yield tx
                step()
            step()

        setattr(node.db, "write", counted)  # noqa: B010
        setattr(desk, "_WRITTEN", 1)  # noqa: B010
        setattr(desk, "ROWS", FEW)  # noqa: B010
        Abroad(node).queue(batch, cut(6))


def cut(pieces: int) -> list[pl.DataFrame]:
    """Give the same rows of two members, in so many frames."""
    whole = pl.concat(
        [rows(name, Tlp.CLEAR, 5 * FEW) for name in ("id", "vn")]
    ).with_columns(pl.int_range(pl.len(), dtype=pl.Int32).alias("source_port"))
    size = -(-whole.height // pieces)
    return [whole.slice(at, size) for at in range(0, whole.height, size)]


@pytest.mark.kill
def test_a_batch_whose_worker_is_killed_is_handed_out_once(region: Region) -> None:
    """The environment says SERANTAU_KILLS and, to repeat a run, SERANTAU_SEED."""
    node = region["th"].node
    seed = int(os.environ.get("SERANTAU_SEED", secrets.randbits(32)))
    steps = range(1, STEPS + 1)
    several = min(int(os.environ.get("SERANTAU_KILLS", "4")), STEPS)
    moments = random.Random(seed).sample(steps, several)
    for kill_at in (*moments, STEPS + 1):
        batch = f"{kill_at:064}"
        worker = PROCESSES.Process(
            target=doomed, args=(work, node.config, batch, kill_at)
        )
        worker.start()
        worker.join(60)
        wanted = -signal.SIGKILL if kill_at <= STEPS else 0
        assert worker.exitcode == wanted, (seed, kill_at)
        # The next worker meets the rows in other files: they were folded meanwhile.
        Abroad(node).queue(batch, cut(3))
    done = several + 1
    for name in ("id", "vn"):
        found = everything(Abroad(node), caller(region, name))
        ports = pl.concat(found)["source_port"].value_counts()
        assert ports.height == 5 * FEW
        assert set(ports["count"]) == {done}, seed
    with node.db.read() as tx:
        assert tx.value("SELECT count(*) FROM parcel") == tx.value(
            "SELECT count(*) FROM parcel_turn"
        )


def test_drafts_that_nobody_goes_on_with_are_dropped_after_a_month(
    region: Region,
) -> None:
    node = region["th"].node
    with node.db.write() as tx:
        part = Part("id", Tlp.CLEAR, 1, b"arrow")
        Abroad(node).parcels.draft(tx, BATCH, [part])
    assert Abroad(node).drop_fetched() == 0
    region.clock.advance(days=31)
    assert Abroad(node).drop_fetched() == 1
    assert Abroad(node).waiting() == []


def test_every_parcel_that_goes_out_is_in_the_release_log(region: Region) -> None:
    node = region["th"].node
    abroad = Abroad(node)
    abroad.queue(BATCH, [rows("id", Tlp.GREEN, 4)])
    who = caller(region, "id")
    everything(abroad, who)
    with node.db.read() as tx:
        (told,) = node.ledger.of_party(tx, who.party_number)
    assert (told.way, told.count, told.actor) == ("events", 4, "node-id")
    assert BATCH in told.request


def test_a_member_that_is_blocked_gets_no_rows(region: Region) -> None:
    abroad = Abroad(region["th"].node)
    abroad.queue(BATCH, [rows("id", Tlp.CLEAR)])
    region["th"].party("id", blocked=True)
    assert everything(abroad, caller(region, "id")) == []
    assert not abroad.news(caller(region, "id"), 0)


def test_a_cursor_that_was_never_given_is_not_believed(region: Region) -> None:
    abroad = Abroad(region["th"].node)
    abroad.queue(BATCH, [rows("id", Tlp.CLEAR)])
    assert abroad.page(caller(region, "id"), 2**62, "test") is None
    assert [one.rows for one in abroad.waiting()] == [1]


def test_fetched_parcels_are_dropped_after_a_month_and_others_never(
    region: Region,
) -> None:
    abroad = Abroad(region["th"].node)
    abroad.queue(BATCH, [rows("id", Tlp.CLEAR), rows("vn", Tlp.CLEAR)])
    region["id"].sync()
    region["id"].sync()
    assert abroad.drop_fetched() == 0
    region.clock.advance(days=31)
    assert abroad.drop_fetched() == 1
    assert [one.member for one in abroad.waiting()] == ["vn"]


def test_a_member_hears_of_rows_as_soon_as_they_wait(region: Region) -> None:
    abroad = Abroad(region["th"].node)
    assert not abroad.news(caller(region, "id"), 0)
    abroad.queue(BATCH, [rows("id", Tlp.CLEAR)])
    assert abroad.news(caller(region, "id"), 0)
    assert not abroad.news(caller(region, "vn"), 0)


def ask(region: Region, query: str, name: str = "id") -> httpx2.Response:
    node = region["th"].node
    user = f"asks-{name}{query}".translate(dict.fromkeys(map(ord, "?=-")))[:60]
    with node.db.write() as tx:
        node.registry.add_user(tx, user, name, "reader")
        token = node.registry.add_token(tx, user, "test")
    request = httpx2.Request(
        "GET",
        f"{region['th'].url.removesuffix('taxii2/')}federation/events{query}",
        headers={"Authorization": f"Bearer {token}"},
    )
    answer = region.carry(name, request)
    answer.read()
    return answer


def test_the_door_gives_a_parcel_with_its_number_and_then_nothing(
    region: Region,
) -> None:
    Abroad(region["th"].node).queue(BATCH, [rows("id", Tlp.CLEAR, 2)])
    answer = ask(region, "")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert answer.headers["serantau-rows"] == "2"
    assert pl.read_ipc_stream(io.BytesIO(answer.content)).height == 2


def test_what_is_no_parcels_number_is_told(region: Region) -> None:
    for query in ("?after=x", "?after=-2", "?after=" + "9" * 30):
        answer = ask(region, query)
        assert answer.status_code == 400
        assert "parcel" in answer.text


def test_own_people_are_sent_to_the_archive(region: Region) -> None:
    assert ask(region, "", "th").status_code == 403


def test_a_stranger_gets_no_rows(region: Region) -> None:
    Abroad(region["th"].node).queue(BATCH, [rows("id", Tlp.CLEAR)])
    request = httpx2.Request(
        "GET", f"{region['th'].url.removesuffix('taxii2/')}federation/events"
    )
    assert region.carry("id", request).status_code == 401


def test_what_waits_is_told_with_the_reason_and_how_to_mend_it(
    region: Region,
) -> None:
    th = region["th"].node
    abroad = Abroad(th)
    abroad.queue(BATCH, [rows("id", Tlp.GREEN, 3), rows("vn", Tlp.GREEN, 2)])
    abroad.queue("cd" * 32, [rows("id", None), rows("sg", Tlp.GREEN), rows("xx", None)])
    with th.db.write() as tx:
        tx.run(
            "UPDATE user_account SET disabled = :yes WHERE name LIKE '%vn'", yes=True
        )
    found = {
        (one.waiting.member, one.waiting.level.label): one for one in abroad.away()
    }
    assert {place: one.why for place, one in found.items()} == {
        ("id", "TLP:GREEN"): "",
        ("id", "TLP:RED"): "TLP:RED, and rows without a level, go by no machine",
        ("sg", "TLP:GREEN"): "no party is named sg",
        ("vn", "TLP:GREEN"): "its node has no login here",
        ("xx", "TLP:RED"): "no party is named xx",
    }
    assert all(bool(one.why) == bool(one.mend) for one in found.values())
    assert "2 rows wait for vn (TLP:GREEN) since" in str(found["vn", "TLP:GREEN"])


def test_an_alarm_of_what_waits_is_told_once_a_day(region: Region) -> None:
    th = region["th"].node
    telling = Telling(th)
    assert telling.once() == []
    Abroad(th).queue(BATCH, [rows("sg", Tlp.GREEN, 3)])
    with capture_logs() as logs:
        telling.once()
        telling.once()
        region.clock.advance(days=1)
        telling.once()
    said = [one for one in logs if one["event"] == "rows_wait"]
    assert [(one["member"], one["rows"], one["log_level"]) for one in said] == [
        ("sg", 3, "warning")
    ] * 2
