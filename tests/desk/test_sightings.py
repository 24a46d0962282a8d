"""What was seen becomes one object a day, marked no wider than what it is about."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serantau.config import load_config
from serantau.desk import sightings
from serantau.desk.lane_work import LaneWork
from serantau.desk.sightings import Sightings
from serantau.errors import ConfigError
from serantau.rules.marking import TLP_2_IDS, Tlp, make_audience
from serantau.rules.party import Kind, Party
from serantau.wire.misp_tags import pap_definition
from sighting_desk import US, Desk
from stores import indicator, later

RED, STRICT = TLP_2_IDS[Tlp.RED], TLP_2_IDS[Tlp.AMBER_STRICT]
CLEAR, GREEN = TLP_2_IDS[Tlp.CLEAR], TLP_2_IDS[Tlp.GREEN]


@pytest.fixture
def th(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.node.close()


def net(*marks: str, name: str = "net") -> dict[str, Any]:
    return indicator(name, *marks, pattern="[ipv4-addr:value = '203.0.113.0/24']")


def test_rows_of_a_day_and_level_are_one_sighting_that_grows(th: Desk) -> None:
    made = net(GREEN)
    th.admit(made)
    th.work(*((f"203.0.113.{host}", 1, 1) for host in range(50)))
    assert Sightings(th.node).record() == 1
    (first,) = th.seen()
    assert (first["count"], first["sighting_of_ref"]) == (50, made["id"])
    assert first["where_sighted_refs"] == [US] == [first["created_by_ref"]]
    assert first["first_seen"] == first["last_seen"] == "2026-03-01T10:00:00.000Z"
    assert first["object_marking_refs"] == [GREEN]
    # Nothing came, and what comes twice is not seen twice.
    assert Sightings(th.node).record() == 0
    th.work(("203.0.113.7", 1, 1), ("203.0.113.77", 1, 1), feed="drone")
    assert Sightings(th.node).record() == 1
    (again,) = th.seen()
    assert (again["id"], again["count"]) == (first["id"], 51)
    assert (again["created"], again["modified"] > first["modified"]) == (
        first["created"], True,
    )  # fmt: skip
    th.work(("203.0.113.7", 2, 1), ("203.0.113.8", 2, 0), ("198.51.100.1", 2, 0))
    assert Sightings(th.node).record() == 2
    assert sorted(one["count"] for one in th.seen()) == [1, 1, 51]


@pytest.mark.parametrize(
    ("of_indicator", "of_row", "expected"),
    [
        ([CLEAR], 0, {CLEAR}),
        ([CLEAR], 1, {GREEN}),
        ([GREEN], 0, {GREEN}),
        ([RED], 0, {RED}),
        ([], 0, {STRICT}),
        ([CLEAR], None, {STRICT}),
    ],
)
def test_a_sighting_is_marked_no_wider_than_indicator_and_rows(
    th: Desk, of_indicator: list[str], of_row: int | None, expected: set[str]
) -> None:
    th.admit(net(*of_indicator))
    th.work(("203.0.113.7", 1, of_row))
    assert Sightings(th.node).record() == 1
    (seen,) = th.seen()
    refs = set(seen["object_marking_refs"])
    assert refs & set(TLP_2_IDS.values()) == expected
    assert refs >= {ref for ref in of_indicator if ref not in TLP_2_IDS.values()}


def test_an_indicator_at_pap_red_is_sighted_with_its_pap_and_a_strange_one_is_not(
    th: Desk,
) -> None:
    red = pap_definition("PAP:RED")
    strange = {**pap_definition("PAP:GREEN"), "definition": {"statement": "PAP:BLUE"}}
    hidden = net(GREEN, red["id"], name="hidden")
    th.admit(red, strange, hidden, net(GREEN, strange["id"], name="odd"))
    th.work(("203.0.113.7", 1, 1))
    assert Sightings(th.node).record() == 1
    (seen,) = th.seen()
    assert seen["sighting_of_ref"] == hidden["id"]
    assert seen["object_marking_refs"] == sorted([GREEN, red["id"]])
    # One that was matched before it was marked so is not told of, either.
    th.admit(later(hidden, 2, object_marking_refs=[GREEN, strange["id"]]))
    th.work(("203.0.113.8", 2, 1))
    assert Sightings(th.node).record() == 0


def test_an_audience_and_parts_that_are_marked_go_with_the_sighting(th: Desk) -> None:
    audience = make_audience(named=["sg"])
    part = {"marking_ref": RED, "selectors": ["pattern"]}
    two = net(GREEN, audience["id"], name="two")
    three = {**net(GREEN, name="three"), "granular_markings": [part]}
    th.admit(audience, two, three)
    with th.node.db.write() as tx:
        for name in ("sg", "vn"):
            th.node.registry.put_party(tx, Party(name, Kind.MEMBER))
    th.work(("203.0.113.7", 1, 0))
    assert Sightings(th.node).record() == 2
    refs = {one["sighting_of_ref"]: one["object_marking_refs"] for one in th.seen()}
    assert refs[two["id"]] == sorted([GREEN, audience["id"]])
    assert refs[three["id"]] == [RED]
    with th.node.db.read() as tx:
        for one in th.seen():
            (held,) = th.node.search.versions(tx, one["id"])
            for name in ("sg", "vn"):
                number, _ = th.node.registry.party(tx, name)
                verdicts = th.node.audiences.verdicts(tx, number)
                meant = (one["sighting_of_ref"], name) == (two["id"], "sg")
                assert verdicts[held.marking_set].released is meant


def test_a_day_has_only_so_many_sightings_and_none_when_turned_off(
    tmp_path: Path, th: Desk
) -> None:
    th.admit(*(net(CLEAR, name=f"n{each}") for each in range(5)))
    for most, made in ((0, 0), (3, 3)):
        desk = Desk(tmp_path, most)
        desk.work((f"203.0.113.{most}", 1, 0))
        LaneWork(desk.node).keep_house(0)
        assert len(desk.seen()) == made
        desk.node.close()
    (tmp_path / "serantau.toml").write_text("[lane]\nsightings = -1\n")
    with pytest.raises(ConfigError, match=r"sightings is -1, expected 0 or more"):
        load_config(tmp_path)


def work(home: str, kill_at: int) -> None:
    """Record in transactions of two, and die at the beginning of one of them."""
    setattr(sightings, "_AT_ONCE", 2)  # noqa: B010
    node = Desk(Path(home)).node
    write, left = node.db.write, kill_at

    def counted() -> Any:
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return write()

    setattr(node.db, "write", counted)  # noqa: B010
    Sightings(node).record()


def test_a_killed_recording_is_done_again_and_nothing_is_there_twice(
    th: Desk, tmp_path: Path
) -> None:
    th.admit(*(net(CLEAR, name=f"n{each}") for each in range(6)))
    th.work(("203.0.113.7", 1, 0))
    # The chore is taken, two objects are kept, and the next two are not.
    ran = subprocess.run(
        [sys.executable, __file__, str(tmp_path), "3"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert ran.returncode == -signal.SIGKILL
    first = {one["id"]: one["modified"] for one in th.seen()}
    assert len(first) == 2
    # Nobody else begins while that one might be at it.
    assert Sightings(th.node).record() == 0
    th.clock.advance(seconds=3600)
    assert Sightings(th.node).record() == 4
    assert len(th.seen()) == 6
    for one in th.seen():
        assert first.get(one["id"], one["modified"]) == one["modified"]
    assert Sightings(th.node).record() == 0


if __name__ == "__main__":
    work(sys.argv[1], int(sys.argv[2]))
