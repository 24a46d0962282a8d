"""What was recalled leaves by no way, to nobody, however often it comes in again."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from litestar.testing import TestClient

from doors import Site
from knocks import Api
from leaks import (
    CLEAR,
    DAYS,
    FOR_VN,
    GREEN,
    NOBODY,
    PARTIES,
    STRICT,
    WAYS,
    Case,
    World,
    granular,
    lines,
    load,
    make_world,
    pages,
)
from recalls import by, pin, take, text_of
from serantau.apps.web.server import create_app
from serantau.desk.handout import Handout
from serantau.desk.recall import Recalling
from serantau.desk.share import Share
from serantau.desk.sightings import Sightings
from serantau.lane.frame import EVENTS
from serantau.records.views import Asked
from serantau.rules.event import ABROAD
from serantau.rules.party import Purpose
from sighting_desk import Desk

pytestmark = pytest.mark.no_cover

ALL = sorted(PARTIES)
OUTSIDE = [name for name in ALL if name != "th"]


def indicator(name: str, *marks: str, **more: Any) -> dict[str, Any]:
    return by(
        "my",
        {
            "type": "indicator",
            "spec_version": "2.1",
            "id": f"indicator--{uuid.uuid4()}",
            "created": DAYS[0],
            "modified": DAYS[0],
            "name": f"{name} {uuid.uuid4().hex}",
            "pattern": f"[domain-name:value = 'h{uuid.uuid4().hex}.example']",
            "pattern_type": "stix",
            "valid_from": DAYS[0],
            "object_marking_refs": list(marks),
            **more,
        },
    )


def recalled_cases() -> list[Case]:
    """Objects of my, as they are marked, that everybody in question once had."""
    several = {
        "recalled clear": ((CLEAR,), {}),
        "recalled green": ((GREEN,), {}),
        "recalled strict for vn": ((STRICT, FOR_VN["id"]), {}),
        "recalled with green in it": ((CLEAR,), granular(GREEN)),
    }
    return [
        Case(name, marks, NOBODY, own=False, made=indicator(name, *marks, **more))
        for name, (marks, more) in several.items()
    ]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The world of `leaks`, and what my made; my recalled it after all had it."""
    made = make_world(tmp_path_factory.mktemp("world"))
    pin(made.node, "my")
    cases = recalled_cases()
    with made.node.db.read() as tx:
        box = made.node.registry.collection(tx, "box").number
    load(made.node, [case.made for case in cases], box=box)
    # A later version is not more than the one before: it is all recalled.
    load(made.node, [later(cases[1])])
    for party in ("th", "vn"):
        for case in cases:
            assert case.made["id"].encode() in pages(made, party, all_versions=True)
            assert case.made["id"].encode() in pages(made, party, "box")
    for case in cases:
        assert take(made.node, text_of({**case.made, "modified": DAYS[1]}))
    made.cases = [*made.cases, *cases]
    yield made
    made.close()


def later(case: Case, day: int = 1) -> dict[str, Any]:
    bare = {key: value for key, value in case.made.items() if key != "extensions"}
    return by("my", {**bare, "modified": DAYS[day]})


def recalled(world: World) -> list[Case]:
    return [case for case in world.cases if case.name.startswith("recalled")]


def never_leaves(world: World, *ways: str) -> None:
    for way in ways:
        for party in ALL:
            handed = WAYS[way](world, party)
            assert world.leaked(party, handed) == [], (way, party)
            if party not in {"kh", "low"}:
                assert handed, "or the test would hold for a store that gives nothing"


def test_a_recalled_object_never_leaves_by_a_page(world: World) -> None:
    never_leaves(world, "pages", "pages of all versions", "pages of first versions")
    never_leaves(world, "pages of versions by time", "pages by type")


def test_a_recalled_object_never_leaves_by_its_id(world: World) -> None:
    never_leaves(world, "objects by id", "all ids in one question")


def test_a_recalled_object_never_leaves_by_a_manifest_or_a_list_of_versions(
    world: World,
) -> None:
    never_leaves(world, "versions", "manifest", "manifest of all versions")


def test_a_recalled_object_never_leaves_by_a_box_or_a_saved_query(
    world: World,
) -> None:
    never_leaves(world, "a box", "a manifest of a box", "a saved query")


def test_a_recalled_object_never_leaves_by_a_hand_out(world: World) -> None:
    never_leaves(world, "a bundle")


def test_a_recalled_object_never_leaves_by_misp(world: World) -> None:
    never_leaves(world, "MISP events")


def test_a_recalled_object_never_leaves_by_any_way(world: World) -> None:
    never_leaves(world, *WAYS)


def test_a_recalled_object_never_leaves_by_a_persons_hand(world: World) -> None:
    share = Share(world.node)
    for case in recalled(world):
        for party in ("vn", "jp", "public"):
            handed = share.hand_over(
                party,
                [case.made["id"]],
                purpose=PARTIES[party].usual,
                case="17",
                actor="ann",
            )
            assert handed.bodies == {}
            assert handed.withheld[case.made["id"]].rule == "recalled"
    police = replace(
        PARTIES["jp"], purposes=frozenset({Purpose.LAW_ENFORCEMENT}), name="police"
    )
    with world.node.db.write() as tx:
        world.node.registry.put_party(tx, police)
    handed = share.hand_over(
        "police",
        [case.made["id"] for case in recalled(world)],
        purpose=Purpose.LAW_ENFORCEMENT,
        case="17",
        actor="ann",
    )
    assert handed.bodies == {}


@pytest.mark.parametrize("party", OUTSIDE)
def test_a_recalled_object_never_leaves_by_a_hint(world: World, party: str) -> None:
    caller = world.callers[party]
    for name in ("released", "indicators", "box"):
        collection = world.collections[name]
        asked = Asked(limit=1000, all_versions=True)
        last = world.share.page(caller, collection, asked, way="test").last
        # It comes in once more, and a version of it that nobody had.
        load(world.node, [later(recalled(world)[0], 1)]) if not _held(world) else None
        assert world.share.news(caller, collection, last) is False


def _held(world: World) -> bool:
    case = recalled(world)[0]
    with world.node.db.read() as tx:
        return len(world.node.search.versions(tx, case.made["id"], hidden=True)) > 1


def test_a_recalled_object_never_leaves_by_a_preview_of_who_would_get_it(
    world: World,
) -> None:
    for preview in world.share.preview(ALL):
        rows = [row for row in preview.rows if row.rule == "recalled"]
        assert sum(row.count for row in rows) == len(recalled(world))
        assert not any(row.released for row in rows)


def test_a_recalled_object_never_leaves_by_a_feed_that_had_it(tmp_path: Path) -> None:
    made = make_world(tmp_path)
    try:
        pin(made.node, "my")
        case = recalled_cases()[1]
        load(made.node, [case.made])
        handout = Handout(made.node, "ann")
        folder = tmp_path / "feed"

        def whole() -> bytes:
            handout.misp_feed("vn", folder)
            return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))

        assert case.secrets[2] in whole()
        take(made.node, text_of(case.made))
        assert not any(secret in whole() for secret in case.secrets)
    finally:
        made.close()


def test_a_recalled_object_is_not_found_by_the_nodes_own_people(world: World) -> None:
    doors = create_app(world.node)
    with TestClient(doors) as client:
        with world.node.db.write() as tx:
            world.node.registry.add_user(tx, "boss", "th", "admin")
            world.node.registry.add_user(tx, "mai", "vn", "writer")
        api = Api(Site(world.node, doors, client, {}))
        for case in recalled(world):
            name, pattern = case.made["name"], case.made["pattern"][24:-2]
            for text in (case.made["id"], name, pattern):
                with world.node.db.read() as tx:
                    assert world.node.search.find(tx, text) == []
                assert api.told("GET", "/search", params={"q": text})["objects"] == []
                assert (
                    api("GET", "/search", "mai", params={"q": text}).status_code == 403
                )
            told = api("GET", f"/objects/{case.made['id']}")
            assert told.status_code == 404
            assert b"recalled by its creator" in told.content
            assert not any(secret in told.content for secret in case.secrets[1:])
            assert api("GET", f"/objects/{case.made['id']}", "mai").status_code == 403


def test_a_recalled_object_does_not_come_back_by_being_loaded_again(
    world: World,
) -> None:
    for case in recalled(world):
        held = Recalling(world.node).told(case.made["id"])[0].held
        with world.node.db.read() as tx:
            before = world.node.search.versions(tx, case.made["id"], hidden=True)
        with world.node.db.write() as tx:
            world.node.objects.delete(tx, case.made["id"])
        load(world.node, [case.made])
        with world.node.db.read() as tx:
            after = world.node.search.versions(tx, case.made["id"], hidden=True)
        assert {one.recalled for one in (*before, *after)} == {held.hold}
    never_leaves(world, "pages of all versions", "a bundle", "manifest")


def test_no_event_that_leaves_tells_what_it_matched() -> None:
    # A notice and a parcel of rows are the other two ways; both have columns.
    from serantau.desk.notify import NEEDED

    assert "indicators" in EVENTS.names()
    assert "indicators" not in {*ABROAD, *NEEDED}


def test_a_recalled_object_never_leaves_by_a_sighting(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    try:
        with desk.node.db.write() as tx:
            for name in ("th", "vn"):
                desk.node.registry.put_party(tx, PARTIES[name])
        pin(desk.node, "my")
        made = indicator("x", CLEAR, pattern="[ipv4-addr:value = '203.0.113.0/24']")
        kept = {**made, "id": f"indicator--{uuid.uuid4()}"}
        kept = by("my", {k: v for k, v in kept.items() if k != "extensions"})
        desk.admit(made, kept)
        desk.work(("203.0.113.7", 1, 1))
        assert Sightings(desk.node).record() == 2
        seen = {one["id"] for one in desk.seen()}
        Recalling(desk.node).keep(kept["id"], "court order 5", "ann")
        for one in (made, kept):
            assert take(desk.node, text_of(one))
        # What was made of it is recalled as well, and no more is made.
        desk.work(("203.0.113.8", 1, 1), ("203.0.113.9", 2, 1))
        assert Sightings(desk.node).record() == 0
        assert {one["id"] for one in desk.seen()} == seen
        rules = _verdicts(desk.node, "vn")
        for name in (*seen, made["id"], kept["id"]):
            assert rules[name] == {(False, "recalled")}, name
        for name in seen:
            (told,) = Recalling(desk.node).told(name)
            assert told.held.mine
    finally:
        desk.node.close()


def _verdicts(node: Any, party: str) -> dict[str, set[tuple[bool, str]]]:
    """Give the verdict on every version that is held, by id."""
    found: dict[str, set[tuple[bool, str]]] = {}
    with node.db.read() as tx:
        number, _ = node.registry.party(tx, party)
        verdicts = node.audiences.verdicts(tx, number)
        for row in tx.rows("SELECT id, slot FROM object"):
            said = verdicts[row.slot // 2]
            found.setdefault(row.id, set()).add((said.released, said.rule))
    return found


def test_a_recalled_object_never_leaves_by_what_was_derived_from_it(
    tmp_path: Path,
) -> None:
    from serantau.config import NodeConfig, NodeSection, PolicySection
    from serantau.node import Node

    section = NodeSection(member="th", identity=by("th", {})["created_by_ref"])
    config = NodeConfig(
        home=tmp_path, node=section, policy=PolicySection(granular="derive")
    )
    made = indicator("x", CLEAR, **granular(FOR_VN["id"]))
    other = indicator("y", CLEAR, **granular(FOR_VN["id"]))
    with Node(config) as node:
        pin(node, "my")
        with node.db.write() as tx:
            for name in ("th", "vn", "jp"):
                node.registry.put_party(tx, PARTIES[name])
        load(node, [FOR_VN])
        load_derived(node, made)
        derived = [name for name in _verdicts(node, "jp") if "indicator" in name]
        assert len(derived) == 2
        assert take(node, text_of(made))
        rules = _verdicts(node, "jp")
        assert {rule for name in derived for rule in rules[name]} == {
            (False, "recalled")
        }
        assert not any(
            released and name.startswith(("indicator", "relationship"))
            for name, several in rules.items()
            for released, _ in several
        )
        # What is recalled before it comes is not derived from at all.
        assert take(node, text_of(other))
        before = len(_verdicts(node, "jp"))
        load(node, [other])
        assert len(_verdicts(node, "jp")) == before + 1


def load_derived(node: Any, made: dict[str, Any]) -> None:
    from serantau.desk.intake import Intake
    from serantau.wire.bundle import Piece

    piece = Piece(ordinal=1, offset=0, line=1, raw=orjson.dumps(made))
    assert Intake(node).take([piece], origin="x").new == 3


def test_what_is_kept_under_a_legal_duty_leaves_no_more_than_what_is_hidden(
    tmp_path: Path,
) -> None:
    made = make_world(tmp_path)
    try:
        pin(made.node, "my")
        cases = recalled_cases()
        load(made.node, [case.made for case in cases])
        for case in cases:
            Recalling(made.node).keep(case.made["id"], "court order 5", "ann")
            # Kept means nothing before it is recalled.
            assert case.made["id"].encode() in pages(made, "vn")
            assert take(made.node, text_of(case.made))
        made.cases = [*made.cases, *(replace(case, own=True) for case in cases)]
        for way in WAYS:
            for party in OUTSIDE:
                assert made.leaked(party, WAYS[way](made, party)) == []
        for case in cases:
            assert case.made["id"].encode() in pages(made, "th")
            assert case.made["id"].encode() in lines(made, "th")
            assert Recalling(made.node).let_go(case.made["id"]) == 1
            assert case.made["id"].encode() not in pages(made, "th", all_versions=True)
        stream = io.BytesIO()
        Handout(made.node, "ann").bundle("vn", stream)
        assert made.leaked("vn", stream.getvalue()) == []
    finally:
        made.close()
