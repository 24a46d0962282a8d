"""MISP feeds in: only what is new is read, from a folder or an address."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest

from commands import command
from serantau.config import load_config
from serantau.desk.feeds import is_feed
from serantau.desk.found import Charter, found
from serantau.desk.gather import Gathering, Sheet
from serantau.node import Node
from serantau.wire.fetch import Fetching
from serantau.wire.misp_feed import write

ADDRESS = "https://feed.example/osint/"
ORG = {"name": "ThaiCERT", "uuid": "55f6ea5e-51ac-4344-bc8c-4170950d210f"}


def uuid(number: int) -> str:
    return f"{number:08d}-0000-4000-8000-000000000000"


def event(number: int, **more: Any) -> dict[str, Any]:
    attribute = {
        "uuid": uuid(100 + number),
        "type": "domain",
        "category": "Network activity",
        "value": f"n{number}.example",
        "to_ids": True,
        "timestamp": str(1_700_000_000 + number),
    }
    made = {
        "uuid": uuid(number),
        "info": f"Event {number}",
        "date": "2026-01-01",
        "timestamp": str(1_700_000_000 + number),
        "Orgc": ORG,
        "Tag": [{"name": "tlp:green"}],
        "Attribute": [attribute],
    }
    return {"Event": {**made, **more}}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("feeds") / "th"
    found(home, Charter("th", "ThaiCERT"))
    return home


@pytest.fixture
def node(home: Path) -> Iterator[Node]:
    with Node(load_config(home)) as node:
        yield node


@pytest.fixture
def feed(tmp_path: Path) -> Path:
    write(tmp_path / "feed", [event(1), event(2)])
    return tmp_path / "feed"


def take(node: Node, place: Path | str, **how: Any) -> Sheet:
    """Load a feed, the address's files being those of the folder `served`."""
    served: Path | None = how.pop("served", None)
    asked: list[str] = how.pop("asked", [])

    def answers(request: httpx2.Request) -> httpx2.Response:
        name = request.url.path.rpartition("/")[2]
        asked.append(name)
        assert served is not None
        path = served / name
        if not path.exists():
            return httpx2.Response(404)
        return httpx2.Response(200, content=path.read_bytes())

    def connect(base: str) -> Fetching:
        return Fetching(base, transport=httpx2.MockTransport(answers))

    gathering = Gathering(node, connect)
    (one,) = gathering.inputs([place])
    return gathering.take(one, **how)


def test_feed_folder_is_read_once_and_then_only_what_changed(
    node: Node, feed: Path
) -> None:
    first = take(node, feed)
    assert (first.kind, first.events, first.unchanged) == ("misp", 2, 0)
    assert first.report.refused == 0
    again = take(node, feed)
    assert (again.events, again.unchanged, again.report.total) == (0, 2, 0)
    write(feed, [event(1), event(2, timestamp="1800000000")])
    later = take(node, feed)
    assert (later.events, later.unchanged) == (1, 1)


def test_feed_of_another_box_or_handling_is_read_anew(node: Node, feed: Path) -> None:
    take(node, feed)
    assert take(node, feed, handle_as="TLP:CLEAR").events == 2
    with node.db.read() as tx:
        inbox = node.registry.collection(tx, "inbox").number
    assert take(node, feed, boxes=[inbox]).events == 2
    assert take(node, feed, boxes=[inbox]).unchanged == 2


def test_feed_at_an_address_fetches_only_the_manifest_the_second_time(
    node: Node, feed: Path
) -> None:
    asked: list[str] = []
    first = take(node, ADDRESS, served=feed, asked=asked)
    assert first.events == 2
    assert asked == ["manifest.json", f"{uuid(1)}.json", f"{uuid(2)}.json"]
    asked.clear()
    assert take(node, ADDRESS, served=feed, asked=asked).unchanged == 2
    assert asked == ["manifest.json"]


def test_unreadable_event_stops_no_other_and_is_read_again(
    node: Node, tmp_path: Path
) -> None:
    feed = tmp_path / "feed"
    write(feed, [event(3), event(4)])
    whole = (feed / f"{uuid(3)}.json").read_bytes()
    (feed / f"{uuid(3)}.json").write_bytes(b"{")
    sheet = take(node, feed)
    assert sheet.events == 1
    assert [line.partition(":")[0] for line in sheet.unread] == [uuid(3)]
    (feed / f"{uuid(3)}.json").write_bytes(whole)
    assert take(node, feed).events == 1


def test_address_that_cannot_be_read_is_left_with_the_reason(
    node: Node, tmp_path: Path
) -> None:
    assert "not there (404)" in take(node, ADDRESS, served=tmp_path).skipped
    assert "is not fetched" in take(node, "file:///etc/").skipped


def test_folder_is_a_feed_by_the_uuids_of_its_manifest(tmp_path: Path) -> None:
    write(tmp_path / "empty", [])
    assert is_feed(tmp_path / "empty")
    assert not is_feed(tmp_path)
    for text in (b'{"name": "a web app"}', b"[]", b"", b"\xff\xfe"):
        (tmp_path / "manifest.json").write_bytes(text)
        assert not is_feed(tmp_path)
    (tmp_path / "manifest.json").write_bytes(orjson.dumps({uuid(1): {}}))
    assert is_feed(tmp_path)


def test_load_tells_what_of_a_feed_is_unchanged_and_unread(
    home: Path, tmp_path: Path
) -> None:
    feed = tmp_path / "feed"
    write(feed, [event(5), event(6)])
    (feed / f"{uuid(6)}.json").unlink()
    ran = command(home, "load", feed)
    assert ran.code == 9
    assert uuid(6) in ran.out
    again = command(home, "load", "--json", feed).json
    assert again["files"][0]["unchanged"] == 1
    assert command(home, "load", "ftp://feed.example/").code == 9
