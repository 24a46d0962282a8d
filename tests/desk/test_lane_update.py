"""New range data and schemas take their place only when they can be used."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from serantau.clock import SetClock
from serantau.config import LaneSection, NodeConfig, NodeSection
from serantau.desk.lane_update import Sources, update
from serantau.errors import BadInput, Conflict, PeerError
from serantau.lane.formats.registry import Formats
from serantau.lane.ranges import Kind, Shelf
from serantau.node import Node

RANGES = "".join(f"198.18.{one}.0,198.18.{one}.255,TH\n" for one in range(20))


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    config = NodeConfig(home=tmp_path, node=NodeSection(member="th", team="T"))
    with Node(config, SetClock("2026-03-05T10:00:00Z")) as node:
        yield node


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the address by which a server gives its files."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *given: object) -> None:
            super().__init__(*given, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_ranges_of_an_address_are_kept_as_those_of_today(
    node: Node, served: tuple[Path, str]
) -> None:
    folder, address = served
    (folder / "cc.csv").write_text(RANGES, encoding="utf-8")
    told: list[str] = []
    sources = Sources(country=(f"{address}cc.csv",))
    (found,) = update(node, sources, "made", "", progress=told.append)
    assert (found["label"], found["count"]) == ("made@2026-03-05", 20)
    assert told == ["fetching 0", "reading ranges of country"]
    assert list(node.home.glob(".update-*")) == []
    with pytest.raises(PeerError, match="404"):
        update(node, Sources(asn=(f"{address}none",)), "made", "")


def test_ranges_that_shrank_need_a_persons_word(node: Node) -> None:
    path = node.home / "cc.csv"
    path.write_text(RANGES, encoding="utf-8")
    sources = Sources(country=("cc.csv",))
    update(node, sources, "made", "2026-03-01")
    path.write_text("".join(RANGES.splitlines(keepends=True)[:5]), encoding="utf-8")
    with pytest.raises(Conflict, match="made@2026-03-02"):
        update(node, sources, "made", "2026-03-02")
    update(node, sources, "made", "2026-03-02", anyway=True)
    days = [one.day for one in Shelf(node.home / "ranges").versions(Kind.COUNTRY)]
    assert days == ["2026-03-01", "2026-03-02"]


def test_a_schema_that_is_none_leaves_the_one_that_was_there(
    node: Node, served: tuple[Path, str]
) -> None:
    folder, address = served
    path = node.home / "formats" / "shadowserver.json"
    (folder / "good.json").write_text("{}", encoding="utf-8")
    (found,) = update(node, Sources(shadowserver=f"{address}good.json"), "x", "")
    assert found["label"] == "shadowserver"
    assert path.read_bytes() == b"{}"
    for number, bad in enumerate((b"<html>", b"[1]", b"\xff\xfe")):
        (folder / f"{number}.json").write_bytes(bad)
        with pytest.raises(BadInput, match="not Shadowserver's schema"):
            update(node, Sources(shadowserver=f"{address}{number}.json"), "x", "")
    assert path.read_bytes() == b"{}"
    # One that was broken by hand is replaced like any other.
    path.write_bytes(b"broken")
    update(node, Sources(shadowserver=f"{address}good.json"), "x", "")
    assert Formats(node.home / "formats").named("shadowserver")


def test_the_settings_name_what_is_loaded() -> None:
    assert not Sources.of(LaneSection()).any
    section = LaneSection(country=["a"], asn=["b"], shadowserver="c")
    assert Sources.of(section) == Sources(("a",), ("b",), "c")
