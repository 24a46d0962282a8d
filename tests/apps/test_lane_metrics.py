"""Prometheus is told how the lane is, in counts; every figure is documented."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from notice_events import DAY, frame, make_node, reach, row
from serantau.apps.web import lane_metrics
from serantau.apps.web.lane_metrics import LaneFigures
from serantau.apps.web.metrics import Metrics
from serantau.clock import SetClock
from serantau.config import FeedSection
from serantau.desk.abroad import Abroad
from serantau.desk.courier import Courier
from serantau.desk.lane import Lane, Told
from serantau.desk.notify import Notify
from serantau.node import Node
from serantau.records.contacts import Contacts
from serantau.rules.contact import State as ContactState

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
Figures = dict[tuple[str, ...], float]


@pytest.fixture
def clock() -> SetClock:
    return SetClock(f"{DAY}T13:00:00Z")


@pytest.fixture
def node(tmp_path: Path, clock: SetClock) -> Iterator[Node]:
    with make_node(tmp_path / "th", clock) as made:
        feeds = {"drop": FeedSection(url="https://x.example/", fresh_hours=2)}
        made.config = msgspec.structs.replace(made.config, feeds=feeds)
        yield made


def figures(node: Node) -> Figures:
    return {
        (one.name.removeprefix("serantau_"), *one.labels.values()): one.value
        for metric in LaneFigures(node).collect()
        for one in metric.samples
    }


def test_what_waits_at_each_step_is_counted(node: Node, clock: SetClock) -> None:
    lane, told = Lane(node), Told("drop")
    lane.add(io.BytesIO(b"x" * 10), told)
    with lane.originals.draft() as draft:
        draft.write(b"y")
        lane.keep(draft, told, held="odd")
    contact = reach(node)
    notify = Notify(node, "ann")
    notify.make(frame(row()), DAY)
    (ready,) = notify.make(frame(row(last=9)), DAY).made
    Courier(node, "ann").approve(ready.number)
    Courier(node, "ann").send()
    sg = frame(row(None, member="sg"), row(None, member="sg"))
    Abroad(node).queue("ab" * 32, [sg])
    clock.advance(days=1)
    found = figures(node)
    assert found["deliveries_blocked",] == 1
    with node.db.write() as tx:
        Contacts().mark(tx, contact.number, ContactState.BOUNCING, "gone")
    again = figures(node)
    assert again["contacts_bouncing",] == 1
    expected = {
        ("lane_batches", "stored"): 1,
        ("lane_batches", "held"): 1,
        ("lane_waiting_bytes",): 10,
        ("lane_feeds", "held"): 1,
        ("lane_feeds", "late"): 1,
        ("lane_feeds", "failing"): 0,
        ("notices", "waiting"): 1,
        ("notices", "ready"): 1,
        ("deliveries", "ready"): 1,
        ("contacts_bouncing",): 0,
        ("parcels_waiting",): 1,
        ("parcel_rows_waiting",): 2,
        ("parcel_members_waiting",): 1,
    }
    assert expected.items() <= found.items()
    assert found["lane_lag_seconds",] == pytest.approx(86_400, abs=1)
    assert found["parcel_lag_seconds",] == pytest.approx(86_400, abs=1)


def test_no_figure_names_anybody(node: Node) -> None:
    Abroad(node).queue("ab" * 32, [frame(row(None, member="sg"))])
    Lane(node).add(io.BytesIO(b"x"), Told("secret-feed"))
    reach(node)
    Notify(node, "ann").make(frame(row()), DAY)
    states = r"[a-z]+"
    for place in figures(node):
        for label in place[1:]:
            assert re.fullmatch(states, label)
            assert label not in {"sg", "bank", "drop"}


def test_a_store_is_counted_at_most_twice_a_minute(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = LaneFigures(node)
    first = [*held.collect()]
    Lane(node).add(io.BytesIO(b"x"), Told("drop"))
    assert [*held.collect()] == first
    monkeypatch.setattr(lane_metrics, "_KEPT_SECONDS", 0.0)
    assert [*LaneFigures(node).collect()] != first


def test_every_figure_is_documented_and_none_is_invented(node: Node) -> None:
    written = set(
        re.findall(r"^\| `(serantau_[a-z_]+)", OPERATIONS.read_text("utf-8"), re.M)
    )
    assert written == {one.name for one in Metrics(node).registry.collect()}
