import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from samples import made
from serantau.clock import taxii_text
from serantau.config import HandlingSection
from serantau.desk import federate
from serantau.desk.federate import Federation
from serantau.desk.share import Share
from serantau.errors import NotFound, StoreError
from serantau.records.peers import Peer
from serantau.rules.marking import TLP_2_IDS, Tlp
from serantau.rules.stix import ObjectVersion
from serantau.testing import Region, Site
from serantau.wire.taxii import MEDIA_TYPE

GREEN = [TLP_2_IDS[Tlp.GREEN]]


@pytest.fixture
def region(tmp_path: Path) -> Iterator[Region]:
    """Two nodes that follow each other, in small pages."""
    with Region(tmp_path, ["th", "sg"], page=10) as region:
        region.mesh()
        yield region


def green(**more: Any) -> dict[str, Any]:
    return made("indicator", object_marking_refs=GREEN, **more)


class Feed:
    """A server that is no node of ours, with whatever texts it is given as objects."""

    def __init__(self, *raws: bytes) -> None:
        self.raws = list(raws)
        self.collections = [
            {"id": "c1", "alias": "one", "title": "One", "can_read": True},
            {"id": "c2", "title": "Two", "can_read": True},
            {"id": "c3", "title": "Not for us", "can_read": False},
        ]
        self.asked: list[httpx2.URL] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request.url)
        if request.url.path == "/api/":
            root = {"title": "f", "versions": [MEDIA_TYPE], "max_content_length": 9}
            return httpx2.Response(200, json=root)
        if request.url.path == "/api/collections/":
            return httpx2.Response(200, json={"collections": self.collections})
        after = request.url.params.get("added_after", "")
        mine = enumerate(self.raws) if "/c1/" in request.url.path else iter(())
        shown = [(taxii_text(n), raw) for n, raw in mine if taxii_text(n) > after]
        if not shown:
            return httpx2.Response(200, content=b"{}")
        headers = {"X-TAXII-Date-Added-Last": shown[-1][0]}
        body = b'{"objects":[%b]}' % b",".join(raw for _, raw in shown)
        return httpx2.Response(200, content=body, headers=headers)


def following(site: Site, feed: Feed, **fields: Any) -> Federation:
    peer = Peer(name="feed", url="https://feed.example/api/", **fields)
    federation = Federation(site.node, transport=lambda _: httpx2.MockTransport(feed))
    site.write(lambda tx: federation.peers.add(tx, peer, site.node.seal))
    return federation


def test_rubbish_goes_to_quarantine_and_the_rest_goes_on(region: Region) -> None:
    good = [green() for _ in range(3)]
    rubbish = [
        b'{"type":"indicator","n":NaN}',
        b"[" * 10_000 + b"]" * 10_000,
        b"7",
        json.dumps({**green(), "pattern": "[nonsense"}).encode(),
        json.dumps({**green(), "id": "malware--1"}).encode(),
        json.dumps({**green(), "modified": "0000-00-00T00:00:00Z"}).encode(),
        json.dumps({**green(), "name": "x"})[:-1].encode() + b',"name":"y"}',
        '{"type":"note","content":"\ud800"}'.encode("utf-8", "surrogatepass"),
    ]
    raws = [json.dumps(one).encode() for one in good]
    feed = Feed(raws[0], *rubbish[:4], raws[1], *rubbish[4:], raws[2])
    federation = following(region["th"], feed)
    report = federation.pull("feed")
    assert report.faults == []
    assert (report.new, report.refused) == (3, len(rubbish))
    assert {one["id"] for one in good} == region["th"].ids()
    with region["th"].node.db.read() as tx:
        held = region["th"].node.quarantine.list(tx)
        bodies = [region["th"].node.quarantine.get(tx, one.number)[1] for one in held]
    assert sorted(bodies) == sorted(rubbish)
    assert all(one.rule and one.expected and one.source == "peer:feed" for one in held)
    # The cursor is past them: they are not met again, and not twice in quarantine.
    again = federation.pull("feed")
    assert (again.new, again.held, again.refused) == (0, 0, 0)


@pytest.mark.parametrize(
    ("batch", "count", "fails_at", "kept"), [(5000, 50, 3, 20), (20, 110, 5, 60)]
)
def test_a_page_and_its_cursor_are_one_transaction(
    region: Region,
    monkeypatch: pytest.MonkeyPatch,
    batch: int,
    count: int,
    fails_at: int,
    kept: int,
) -> None:
    monkeypatch.setattr(federate, "BATCH", batch)
    monkeypatch.setattr("serantau.desk.reading.BATCH", batch)
    region.load("th", [green() for _ in range(count)])
    federation = region["sg"].federation
    advance, calls = federation.peers.advance, 0

    def failing(*args: Any, **more: Any) -> None:
        nonlocal calls
        calls += 1
        advance(*args, **more)
        if calls == fails_at:
            raise StoreError("the disk is full")

    monkeypatch.setattr(federation.peers, "advance", failing)
    with pytest.raises(StoreError, match="disk"):
        federation.pull("th")
    assert len(region["sg"].versions()) == kept
    monkeypatch.undo()
    report = federation.pull("th")
    assert (report.new, report.held) == (count - kept, 0)
    assert region["sg"].versions() == region["th"].versions()


def test_what_is_held_to_the_byte_is_not_read_again(
    region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    region.load("th", [green() for _ in range(35)])
    site = region["sg"]
    site.federation.pull("th")
    peer = site.federation.peer("th")
    site.write(lambda tx: site.federation.peers.rewind(tx, peer))
    region.load("th", [fresh := green()])
    read: list[bytes] = []
    reader = site.node.reader.read

    def reading(raw: bytes) -> ObjectVersion:
        read.append(raw)
        return reader(raw)

    monkeypatch.setattr(site.node.reader, "read", reading)
    report = site.federation.pull("th")
    assert (report.new, report.held) == (1, 35)
    assert [json.loads(raw)["id"] for raw in read] == [fresh["id"]]
    with site.node.db.read() as tx:
        cursors = site.federation.peers.cursors(tx, peer)
    assert sum(cursor.held for cursor in cursors) == 35
    assert site.federation.pull("th").held == 0


def test_a_page_of_nothing_new_moves_the_cursor_too(region: Region) -> None:
    region.load("th", things := [green() for _ in range(25)])
    region.load("sg", things)
    report = region["sg"].federation.pull("th")
    assert (report.new, report.held) == (0, 25)
    assert region["sg"].federation.pull("th").held == 0


def test_a_long_pull_reads_ahead_and_keeps_order_and_cursor(
    region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(federate, "BATCH", 20)
    monkeypatch.setattr("serantau.desk.reading.BATCH", 20)
    region.load("th", [green() for _ in range(115)])
    site = region["sg"]
    report = site.federation.pull("th")
    assert (report.new, report.held, report.collections[0].pages) == (115, 0, 12)
    assert site.versions() == region["th"].versions()

    def in_order(site: Site) -> list[str]:
        with site.node.db.read() as tx:
            rows = tx.rows("SELECT id FROM object ORDER BY added")
        return [row.id for row in rows]

    assert in_order(site) == in_order(region["th"])
    assert site.federation.pull("th").held == 0


def test_a_fault_half_way_keeps_what_came_before(region: Region) -> None:
    region.load("th", [green() for _ in range(30)])
    site = region["sg"]
    asked = 0

    class Breaking(httpx2.BaseTransport):
        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            nonlocal asked
            asked += request.url.path.endswith("/objects/")
            if asked == 3:
                raise httpx2.ReadError("reset by peer")
            return region.carry("sg", request)

    broken = Federation(site.node, transport=lambda _: Breaking())
    report = broken.pull("th")
    assert "reset by peer" in report.faults[0]
    assert (report.new, len(site.ids())) == (20, 20)
    (status,) = broken.status()
    assert "reset by peer" in status.fault
    assert (status.at, status.lag) == (0, None)
    report = site.federation.pull("th")
    assert (report.new, report.held, report.faults) == (10, 0, [])
    region.clock.advance(seconds=90)
    (status,) = site.federation.status()
    assert (status.fault, status.new) == ("", 30)
    assert status.lag == pytest.approx(90, abs=1)
    assert status.peer.secret == ""


def test_a_foreign_server_is_pulled_collection_by_collection(region: Region) -> None:
    feed = Feed(json.dumps(green()).encode())
    report = following(region["th"], feed).pull("feed")
    assert [one.collection for one in report.collections] == ["c1", "c2"]
    assert all("/c3/" not in url.path for url in feed.asked)
    assert {url.params.get("match[version]") for url in feed.asked[2:]} == {"all"}


@pytest.mark.parametrize("name", ["c1", "one"])
def test_one_collection_may_be_named_by_id_or_alias(region: Region, name: str) -> None:
    federation = following(region["th"], Feed(), collection=name)
    report = federation.pull("feed")
    assert [one.collection for one in report.collections] == ["c1"]


def test_a_collection_that_is_not_there_is_said_so(region: Region) -> None:
    report = following(region["th"], Feed(), collection="nine").pull("feed")
    assert "no collection 'nine'" in report.fault
    assert "Readable there: one, c2" in report.fault


def test_unmarked_objects_are_handled_as_the_peer_is_said_to(tmp_path: Path) -> None:
    handling = HandlingSection(sources={"feed": "TLP:GREEN"})
    with Region(tmp_path, ["th", "sg"], handling=handling) as region:
        unmarked, pinned = made("indicator"), made("indicator")
        following(region["th"], Feed(json.dumps(unmarked).encode())).pull("feed")
        other = Feed(json.dumps(pinned).encode(), b'{"type":"note"}')
        following(region["sg"], other, handle_as="TLP:CLEAR").pull("feed")
        levels = {}
        for site, thing in ((region["th"], unmarked), (region["sg"], pinned)):
            with site.node.db.read() as tx:
                (found,) = site.node.search.versions(tx, thing["id"])
            levels[site.name] = Share(site.node).marking(found)
        assert "TLP:GREEN" in levels["th"]
        assert "TLP:CLEAR" in levels["sg"]
        # A retry from quarantine will handle it the same.
        with region["sg"].node.db.read() as tx:
            (held,) = region["sg"].node.quarantine.list(tx)
        assert held.handle_as == "TLP:CLEAR"


def test_an_unsafe_address_is_a_fault_of_that_peer_only(region: Region) -> None:
    site = region["sg"]
    peer = Peer(name="bad", url="http://bad.example/", secret="s3cret")
    site.write(lambda tx: site.federation.peers.add(tx, peer, site.node.seal))
    region.load("th", [green()])
    reports = {report.peer: report for report in site.sync()}
    assert "in the clear" in reports["bad"].fault
    assert reports["th"].new == 1
    with pytest.raises(NotFound):
        site.federation.pull("nobody")


def test_a_disabled_peer_is_not_asked(region: Region) -> None:
    site = region["sg"]
    site.write(lambda tx: site.federation.peers.enable(tx, "th", False))
    region.load("th", [green()])
    assert site.sync() == []


def until(said: Callable[[], bool], seconds: float = 20.0) -> None:
    give_up = time.monotonic() + seconds
    while not said():
        assert time.monotonic() < give_up, "it never came"
        time.sleep(0.01)


class Running:
    """A node's federation at work in its threads."""

    def __init__(self, site: Site) -> None:
        self.stop = threading.Event()
        self.thread = threading.Thread(
            target=site.federation.run, args=(self.stop,), name=f"run {site.name}"
        )

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join(20)
        assert not self.thread.is_alive()
        left = [one.name for one in threading.enumerate() if one.name.endswith(" th")]
        assert left == []


def test_a_hint_makes_a_pull_happen_now(region: Region) -> None:
    site = region["sg"]
    region.load("th", [green()])
    with Running(site):
        until(lambda: len(site.ids()) == 1)
        waits = []
        for count in range(2, 7):
            began = time.monotonic()
            # Polling alone would take a minute.
            region.load("th", [green()])
            until(lambda count=count: len(site.ids()) == count)  # type: ignore[misc]
            waits.append(time.monotonic() - began)
    assert max(waits) < 5


def test_following_outlives_a_cut_and_ends_when_told(
    region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serantau.desk.follow._BACK_OFF_SECONDS", 0.05)
    monkeypatch.setattr("serantau.desk.federate._ROSTER_SECONDS", 0.05)
    site = region["sg"]
    region.cut("sg", "th")
    with Running(site):
        until(lambda: any(status.fault for status in site.federation.status()))
        region.load("th", [green()])
        region.heal("sg", "th")
        until(lambda: len(site.ids()) == 1)
        site.write(lambda tx: site.federation.peers.enable(tx, "th", False))
        until(
            lambda: not any(one.name.endswith(" th") for one in threading.enumerate())
        )
        region.load("th", [green()])
        site.write(lambda tx: site.federation.peers.enable(tx, "th", True))
        until(lambda: len(site.ids()) == 2)


def test_a_fault_of_our_own_does_not_end_the_following(
    region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serantau.desk.follow._BACK_OFF_SECONDS", 0.05)
    site = region["sg"]
    pull_over, failed = site.federation.pull_over, threading.Event()

    def failing(*args: Any) -> Any:
        if not failed.is_set():
            failed.set()
            raise RuntimeError("a bug")
        return pull_over(*args)

    monkeypatch.setattr(site.federation, "pull_over", failing)
    region.load("th", [green()])
    with Running(site):
        until(lambda: len(site.ids()) == 1)
    assert failed.is_set()
