"""What is looked for follows the store: new, changed, revoked, deleted, over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from serantau.clock import SetClock, instant
from serantau.config import NodeConfig, NodeSection
from serantau.desk import lane_indicators
from serantau.desk.lane_indicators import FILE, Indicators
from serantau.desk.lane_reference import Referring
from serantau.node import Node
from serantau.rules.marking import Tlp
from serantau.wire.misp_tags import pap_definition
from stores import indicator, later

START = "2026-03-05T00:00:00Z"
NOW = instant(START)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    section = NodeSection(member="th", team="T")
    with Node(NodeConfig(home=tmp_path, node=section), SetClock(START)) as made:
        yield made


def admit(node: Node, *objects: dict[str, Any]) -> None:
    with node.db.write() as tx:
        node.objects.admit(
            tx,
            [node.reader.read(orjson.dumps(one)) for one in objects],
            source="file",
            handling=lambda _: Tlp.AMBER,
        )


def delete(node: Node, made: dict[str, Any], *stamps: int) -> None:
    with node.db.write() as tx:
        assert node.objects.delete(tx, made["id"], stamps=stamps)


def name(value: str, **more: Any) -> dict[str, Any]:
    return indicator(value, pattern=f"[domain-name:value = '{value}']", **more)


def live(node: Node, held: Indicators, now: int = NOW) -> set[str]:
    with node.db.read() as tx:
        held.keep_up(tx)
    return set(held.live(now)[0]["value"])


def test_an_indicator_at_pap_red_is_looked_for_and_one_with_a_strange_marking_is_not(
    node: Node,
) -> None:
    held = Indicators(node.config.lane_folder)
    red = pap_definition("PAP:RED")
    admit(node, red, name("red.example", object_marking_refs=[red["id"]]))
    late = pap_definition("PAP:GREEN")
    strange = {**pap_definition("PAP:CLEAR"), "definition": {"statement": "PAP:BLUE"}}
    admit(node, strange, name("odd.example", object_marking_refs=[strange["id"]]))
    admit(node, name("late.example", object_marking_refs=[late["id"]]))
    assert live(node, held) == {"red.example"}
    # What it means is known from now on.
    admit(node, late)
    assert live(node, held) == {"red.example", "late.example"}
    assert live(node, Indicators(node.config.lane_folder)) == live(node, held)


def test_what_is_looked_for_follows_the_store(node: Node) -> None:
    held = Indicators(node.config.lane_folder)
    one, two, three = name("one.example"), name("two.example"), name("three.example")
    admit(node, one, two, three, indicator("y", pattern="x", pattern_type="yara"))
    assert live(node, held) == {"one.example", "two.example", "three.example"}
    same = held.live(NOW)[1]
    live(node, held)
    assert held.live(NOW)[1] == same
    admit(node, later(one, 2, pattern="[domain-name:value = 'uno.example']"))
    admit(node, later(two, 2, revoked=True))
    assert live(node, held) == {"uno.example", "three.example"}
    delete(node, three)
    assert live(node, held) == {"uno.example"}
    assert held.live(NOW)[1] != same
    # The newest version goes: what the one before said holds again.
    with node.db.read() as tx:
        newest = node.search.versions(tx, one["id"])[-1].added
    delete(node, one, newest)
    assert live(node, held) == {"one.example"}
    admit(node, name("four.example"))
    assert live(node, held) == {"one.example", "four.example"}


def test_what_begins_and_ends_does_so_at_its_time(node: Node) -> None:
    held = Indicators(node.config.lane_folder)
    turn = "2026-03-06T00:00:00.000Z"
    admit(node, name("old.example", valid_until=turn), name("new.example"))
    admit(node, name("next.example", valid_from=turn))
    assert live(node, held) == {"old.example", "new.example"}
    state = held.live(NOW)[1]
    # As many as before, and not the same ones.
    assert live(node, held, instant(turn)) == {"next.example", "new.example"}
    assert held.live(instant(turn))[1] != state


def test_a_worker_that_starts_reads_only_what_the_file_does_not_know(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_indicators, "_WORTH", 1)
    gone, kept = name("gone.example"), name("kept.example")
    admit(node, gone, kept, indicator("y", pattern="x", pattern_type="yara"))
    folder = node.config.lane_folder
    assert len(live(node, Indicators(folder))) == 2
    assert (folder / FILE).stat().st_mode & 0o077 == 0
    delete(node, gone)
    admit(node, name("fresh.example"))
    read: list[str] = []
    loads = orjson.loads

    class Counted:
        @staticmethod
        def loads(text: bytes) -> Any:
            told = loads(text)
            read.append(told["name"])
            return told

    monkeypatch.setattr(lane_indicators, "orjson", Counted)
    assert live(node, Indicators(folder)) == {"kept.example", "fresh.example"}
    assert read == ["fresh.example"]
    # A file that is none, or of another store, is as good as no file.
    (folder / FILE).write_bytes(b"PAR1")
    assert live(node, Indicators(folder)) == {"kept.example", "fresh.example"}


def test_a_reference_drops_a_deleted_indicator_at_its_next_look(node: Node) -> None:
    made = name("bad.example")
    admit(node, made)
    referring = Referring(node)
    first = referring.reference()
    assert len(first.indicators.names) == 1
    delete(node, made)
    node.clock.advance(seconds=20)  # type: ignore[attr-defined]
    second = referring.reference()
    assert len(second.indicators.names) == 0
    assert second.owners is first.owners
