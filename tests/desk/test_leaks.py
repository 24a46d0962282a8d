"""Nothing that may not leave leaves, by any way out, to any kind of party.

Each way is tried with every marking and every party of `leaks`; what a party gets is
held to the table written there by hand, and no byte of what is withheld is in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from leaks import (
    DAYS,
    GREEN,
    PARTIES,
    QUIET,
    RED,
    WAYS,
    World,
    lines,
    load,
    make_world,
    pages,
)
from serantau.errors import Forbidden, NotFound
from serantau.records.registry import Query
from serantau.records.views import Asked
from stores import indicator

ALL = sorted(PARTIES)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = make_world(tmp_path_factory.mktemp("world"))
    yield made
    made.close()


def check(world: World, way: str, party: str) -> None:
    handed = WAYS[way](world, party)
    assert world.leaked(party, handed) == []
    if way == "MISP events":
        # MISP keeps the values of an indicator, and not its id.
        given = [case.name for case in world.cases if case.secrets[2] in handed]
        assert sorted(given) == sorted(case.name for case in world.may_have(party))
        return
    assert sorted(world.given(handed)) == sorted(
        case.name for case in world.may_have(party)
    )


@pytest.mark.no_cover
@pytest.mark.parametrize("party", ALL)
@pytest.mark.parametrize("way", WAYS)
def test_a_party_gets_what_it_may_have_and_nothing_else(
    world: World, way: str, party: str
) -> None:
    check(world, way, party)


@pytest.mark.no_cover
@pytest.mark.postgres
def test_a_party_gets_the_same_from_postgresql(
    tmp_path: Path, postgres_database: str
) -> None:
    made = make_world(tmp_path, postgres_database)
    try:
        for way in WAYS:
            for party in ALL:
                check(made, way, party)
    finally:
        made.close()


def never_leaves(world: World, level: str, *ways: str) -> None:
    """Hold that objects marked so are in nothing handed to anyone outside."""
    (case,) = (case for case in world.cases if case.name == level)
    for way in ways:
        for party in ALL:
            if party != "th" or not case.own:
                handed = WAYS[way](world, party)
                assert not any(secret in handed for secret in case.secrets)


def test_red_object_never_leaves_by_page(world: World) -> None:
    never_leaves(world, "red", "pages", "pages of all versions", "pages by type")


@pytest.mark.no_cover
def test_red_object_never_leaves_by_id(world: World) -> None:
    never_leaves(world, "red", "objects by id", "all ids in one question", "versions")


def test_red_object_never_leaves_by_manifest(world: World) -> None:
    never_leaves(world, "red", "manifest", "manifest of all versions")


def test_red_object_never_leaves_by_box_or_saved_query(world: World) -> None:
    never_leaves(world, "red", "a box", "a manifest of a box", "a saved query")


@pytest.mark.no_cover
def test_red_object_never_leaves_by_file(world: World) -> None:
    never_leaves(world, "red", "a bundle", "MISP events")


@pytest.mark.no_cover
def test_red_object_does_not_leave_even_to_whom_it_names(world: World) -> None:
    never_leaves(world, "red for vn", *WAYS)


@pytest.mark.no_cover
def test_near_miss_of_a_marking_id_never_leaves(world: World) -> None:
    never_leaves(world, "near green", *WAYS)
    never_leaves(world, "clear and near clear", *WAYS)


def test_unmarked_object_never_leaves(world: World) -> None:
    never_leaves(world, "unmarked", *WAYS)


@pytest.mark.no_cover
def test_earlier_version_of_what_became_red_never_leaves(world: World) -> None:
    never_leaves(world, "narrowed", *WAYS)


@pytest.mark.parametrize("party", ALL)
def test_a_level_of_a_saved_query_only_takes_away(world: World, party: str) -> None:
    handed = pages(world, party, "open", all_versions=True)
    assert world.leaked(party, handed) == []
    assert set(world.given(handed)) <= {case.name for case in world.may_have(party)}
    assert "amber for vn" not in world.given(handed)
    assert ("clear" in world.given(handed)) == (party != "kh")


@pytest.mark.parametrize("party", ALL)
def test_a_collection_without_anything_for_a_party_is_empty(
    world: World, party: str
) -> None:
    assert pages(world, party, "reports") == b""


@pytest.mark.parametrize("party", ALL)
def test_whom_an_audience_names_is_read_by_those_whom_it_admits_only(
    world: World, party: str
) -> None:
    handed = pages(world, party, types=("marking-definition",))
    handed += lines(world, party, types=("marking-definition",))
    assert world.leaked(party, handed) == []
    assert (QUIET.encode() in handed) == (party in {"th", "vn", "jp", "plain"})


@pytest.mark.parametrize("party", [name for name in ALL if name != "th"])
def test_no_hint_is_given_of_what_may_not_leave(world: World, party: str) -> None:
    caller = world.callers[party]
    for name in ("released", "indicators", "box"):
        collection = world.collections[name]
        last = 0
        for after in range(2):
            page = world.share.page(
                caller, collection, Asked(limit=1000, all_versions=True), way="test"
            )
            last = page.last
            assert world.share.news(caller, collection, last) is False
            if not after:
                # RED and unmarked come: nobody outside is to notice.
                load(world.node, [indicator("x", RED), indicator("y")])
        assert world.share.news(caller, collection, -1) == bool(last)


@pytest.mark.parametrize("party", ALL)
def test_a_collection_that_a_party_may_not_read_is_as_one_that_is_not_there(
    world: World, party: str
) -> None:
    caller = world.callers[party]
    shut = world.collections["shut"]
    if party == "th":
        assert world.share.offer(caller, "shut").can_read
        return
    with pytest.raises(NotFound) as one:
        world.share.offer(caller, shut.alias)
    with pytest.raises(NotFound) as other:
        world.share.offer(caller, "nowhere")
    assert str(one.value).replace("shut", "nowhere") == str(other.value)
    assert shut.id not in repr(world.share.offers(caller))
    for read in (world.share.page, world.share.lines):
        with pytest.raises(Forbidden):
            read(caller, shut, Asked(), way="test")
    with pytest.raises(Forbidden):
        world.share.news(caller, shut, 0)


def test_preview_says_the_same_as_what_is_served(world: World) -> None:
    previews = {each.party.name: each for each in world.share.preview(ALL)}
    for party in ALL:
        handed = pages(world, party)
        assert previews[party].released == handed.count(b'"spec_version"')
        for row in previews[party].rows:
            for sample in row.samples:
                assert (f'"id":"{sample}"'.encode() in handed) == row.released
        assert previews[party].released + previews[party].withheld == (
            previews["th"].released + previews["th"].withheld
        )


def test_the_release_log_names_exactly_what_each_party_got(world: World) -> None:
    node = world.node
    for party in ALL:
        pages(world, party, all_versions=True)
        number = world.callers[party].party_number
        with node.db.read() as tx:
            logged: set[str] = set()
            for row in node.ledger.of_party(tx, number, limit=100_000):
                for first, last in node.ledger.stamps_of(tx, row.number):
                    stamps = range(first, last + 1)
                    logged |= {one.id for one in node.search.at(tx, stamps)}
        names = {case.name for case in world.cases if case.made["id"] in logged}
        expected = {case.name for case in world.may_have(party)}
        # People of the own organisation read without a release.
        assert names == (set() if party == "th" else expected)


def test_who_got_an_object_is_told_with_the_verdict(world: World) -> None:
    for party in ALL:
        pages(world, party)
    for case in world.cases:
        with world.node.db.read() as tx:
            newest = world.node.search.versions(tx, case.made["id"])[-1]
        told = world.share.who_got(newest)
        assert {row.party for row in told} == case.may_have
        assert all(row.rule and row.got for row in told)


@pytest.mark.no_cover
def test_a_deleted_object_leaves_by_no_way(tmp_path: Path) -> None:
    made = make_world(tmp_path)
    try:
        for case in made.cases:
            if case.name.startswith(("clear", "green", "white")):
                pages(made, "vn")
                with made.node.db.write() as tx:
                    made.node.objects.delete(tx, case.made["id"])
                case.may_have, case.own = frozenset(), False
        for way in WAYS:
            for party in ALL:
                check(made, way, party)
    finally:
        made.close()


@pytest.mark.no_cover
def test_a_party_that_is_blocked_loses_all_at_once_and_gets_it_back(
    tmp_path: Path,
) -> None:
    made = make_world(tmp_path)
    try:
        before = sorted(made.given(pages(made, "vn")))
        for blocked in (True, False):
            with made.node.db.write() as tx:
                party = replace(PARTIES["vn"], blocked=blocked)
                made.node.registry.put_party(tx, party)
            for way in ("pages", "manifest", "objects by id", "a box", "versions"):
                handed = WAYS[way](made, "vn")
                assert sorted(made.given(handed)) == ([] if blocked else before)
    finally:
        made.close()


def test_a_member_of_a_circle_who_leaves_it_loses_what_the_circle_had(
    tmp_path: Path,
) -> None:
    made = make_world(tmp_path)
    try:
        (case,) = (case for case in made.cases if case.name == "amber for a circle")
        assert case.name in made.given(pages(made, "jp"))
        with made.node.db.write() as tx:
            made.node.registry.put_circle(tx, "the night watch", ["vn"])
        case.may_have = frozenset({"vn"})
        for way in WAYS:
            check(made, way, "jp")
            check(made, way, "vn")
    finally:
        made.close()


def test_a_view_that_was_remembered_does_not_outlive_what_it_was_of(
    tmp_path: Path,
) -> None:
    # What a party sees is remembered until the epoch changes; these change no verdict.
    made = make_world(tmp_path)
    try:
        report: dict[str, Any] = {
            "type": "report",
            "spec_version": "2.1",
            "id": "report--12345678-1234-4234-8234-123456789abc",
            "created": DAYS[0],
            "modified": DAYS[0],
            "published": DAYS[0],
            "name": "first of its type",
            "object_refs": [made.cases[0].made["id"]],
            "object_marking_refs": [GREEN],
        }
        with made.node.db.write() as tx:
            fresh = made.node.registry.put_collection(
                tx, "fresh", "F", box=True, access=made.collections["box"].access
            )
        made.collections["fresh"] = fresh
        assert pages(made, "vn", "reports") == b""
        assert pages(made, "vn", "fresh") == b""
        load(made.node, [report], box=fresh.number)
        assert report["id"].encode() in pages(made, "vn", "reports")
        assert report["id"].encode() in pages(made, "vn", "fresh")
        with made.node.db.write() as tx:
            made.collections["reports"] = made.node.registry.put_collection(
                tx, "reports", "R", access=made.collections["reports"].access,
                query=Query(types=("malware",)),
            )  # fmt: skip
        assert pages(made, "vn", "reports") == b""
    finally:
        made.close()


@pytest.mark.no_cover
def test_everything_clear_reaches_everyone_who_is_not_blocked(world: World) -> None:
    # Lest a suite pass because nothing is handed out at all.
    for party in ALL:
        assert ("clear" in world.given(pages(world, party))) == (party != "kh")
