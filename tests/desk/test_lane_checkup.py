"""The doctor looks at events, notices and what waits for others, and tells the mend."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from notice_events import DAY, frame, make_node, reach, row
from serantau.clock import SetClock
from serantau.config import FeedSection
from serantau.desk.abroad import Abroad
from serantau.desk.checkup import Level
from serantau.desk.courier import Courier
from serantau.desk.lane import Lane, Told
from serantau.desk.lane_checkup import lane_checkup
from serantau.desk.notify import Notify
from serantau.lane.archive import Archive
from serantau.node import Node
from serantau.records.assets import Assets
from serantau.records.contacts import Contacts
from serantau.rules.asset import Asset, Kind
from serantau.rules.contact import State as ContactState
from smtp_server import smtp_server


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    clock = SetClock(f"{DAY}T13:00:00Z")
    with make_node(tmp_path / "th", clock, automatic=True) as made:
        yield made


def found(node: Node, area: str = "") -> list[tuple[Level, str]]:
    findings = list(lane_checkup(node))
    assert all(bool(one.mend) == (one.level is not Level.OK) for one in findings)
    return [(one.level, one.said) for one in findings if one.area == (area or one.area)]


def test_a_node_without_events_is_told_of_nothing(node: Node) -> None:
    assert found(node) == []


def test_a_format_that_cannot_be_used_is_broken(node: Node) -> None:
    own = node.home / "formats"
    own.mkdir()
    assert found(node) == [(Level.OK, "0 of the node's own can be used")]
    (own / "mine.toml").write_text("cut = 7")
    ((level, said),) = found(node, "formats")
    assert level is Level.FAIL
    assert "mine" in said


def test_the_archive_ranges_and_feeds_are_looked_at(node: Node) -> None:
    feeds = {"drop": FeedSection(url="https://x.example/", fresh_hours=2)}
    node.config = msgspec.structs.replace(node.config, feeds=feeds)
    assert found(node, "archive") == [(Level.OK, "there are no events yet")]
    assert not Path(node.config.archive).exists()
    assert [level for level, _ in found(node, "ranges")] == [Level.WARN] * 2
    ((level, said),) = found(node, "feeds")
    assert (level, "never came" in said) == (Level.WARN, True)
    archive = Archive(node.config.archive)
    with archive.writing("a" * 64) as writing:
        writing.add(frame(row()))
    archive.commit(writing.written)
    ((level, said),) = found(node, "archive")
    assert (level, said[:8]) == (Level.OK, "1 events")
    log = Path(node.config.archive) / "events" / "_delta_log"
    for path in log.iterdir():
        path.write_text("{}\n")
    assert [one for one, _ in found(node, "archive")] == [Level.FAIL]


def test_feeds_that_are_well_are_told_so(node: Node) -> None:
    Lane(node).add(io.BytesIO(b"x"), Told("drop"))
    assert found(node, "feeds") == [(Level.OK, "1 feeds, none late or held")]
    for number in range(12):
        draft = Lane(node).originals.draft()
        with draft as one:
            one.write(f"{number}".encode())
            Lane(node).keep(one, Told(f"f{number}"), held="odd")
    said = found(node, "feeds")
    assert len(said) == 11
    assert said[-1] == (Level.WARN, "and 2 more alarms")


def test_notices_that_cannot_go_are_told(node: Node) -> None:
    assert found(node, "notices") == []
    contact = reach(node)
    ((level, said),) = found(node, "notices")
    assert level is Level.WARN
    assert "mail.host is empty" in said
    Notify(node, "ann").make(frame(row()), DAY)
    Courier(node, "ann").send()
    assert "1 deliveries cannot go" in found(node, "notices")[0][1]
    with node.db.write() as tx:
        Contacts().mark(tx, contact.number, ContactState.BOUNCING, "gone")
    assert any("came back" in said for _, said in found(node, "notices"))


def test_owners_that_nobody_can_tell_are_named(node: Node) -> None:
    with node.db.write() as tx:
        for party, member, last in (
            ("bank", "th", 1),
            ("shop", "th", 2),
            ("vn", "vn", 3),
        ):
            Assets().add(tx, Asset(party, member, Kind.PREFIX, f"192.0.2.{last}/32"))
    reach(node)
    said = [said for _, said in found(node, "notices")]
    assert "1 owners have no contact that is written to: shop" in said


def test_the_mail_server_is_asked_and_nothing_is_sent(node: Node) -> None:
    with smtp_server() as box:
        mail = msgspec.structs.replace(
            node.config.mail, host="127.0.0.1", port=box.port
        )
        node.config = msgspec.structs.replace(node.config, mail=mail)
        assert found(node, "mail") == [(Level.OK, f"127.0.0.1:{box.port} answers")]
        box.answers["EHLO"] = box.answers["HELO"] = "421 go away"
        ((level, said),) = found(node, "mail")
        assert (level, "go away" in said) == (Level.FAIL, True)
        assert box.accepted == []
        assert [one.area for one in lane_checkup(node, ask=False)] == []


def test_rows_that_wait_for_nobody_are_told(node: Node) -> None:
    Abroad(node).queue("ab" * 32, [frame(row(None, member="sg"))])
    ((level, said),) = found(node, "abroad")
    assert level is Level.WARN
    assert said.startswith("1 row waits for sg (TLP:AMBER) since 2026-03-05 13:00Z")
