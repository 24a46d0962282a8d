"""Who must know: every reason is told, the best first, and nobody twice."""

from __future__ import annotations

from typing import Any

import pytest

from serantau.rules.who import (
    REASONS,
    Fact,
    Proposal,
    Reason,
    facts_in,
    in_sector,
    propose,
)

VN = "identity--0a0a0a0a-1b1b-4c2c-8d3d-4e4e4e4e4e4e"
SG = "identity--0b0b0b0b-1b1b-4c2c-8d3d-4e4e4e4e4e4e"
PARTIES = {VN: "vn", SG: "sg"}


def test_every_reason_is_said_in_words() -> None:
    assert set(REASONS) == set(Reason)


def test_the_best_reason_is_first_then_who_has_most_and_who_is_in_is_marked() -> None:
    facts = [
        Fact("jp", Reason.GOT, "a"),
        Fact("vn", Reason.PREFIX, "198.51.100.7", "198.51.100.0/24"),
        Fact("vn", Reason.GOT, "a"),
        Fact("vn", Reason.GOT, "a"),
        Fact("my", Reason.PREFIX, "192.0.2.1"),
        Fact("sg", Reason.VICTIM, "Bank"),
        Fact("th", Reason.VICTIM, "Us"),
        Fact("", Reason.COUNTRY, "nobody's"),
    ]
    found = propose(facts, inside={"my"}, own="th")
    assert [(one.party, one.inside) for one in found] == [
        ("sg", False),
        ("vn", False),
        ("my", True),
        ("jp", False),
    ]
    assert found[1] == Proposal("vn", (facts[1], facts[2]), inside=False)
    assert propose(reversed(facts), inside={"my"}, own="th") == found


@pytest.mark.parametrize(
    ("data", "edges", "expected"),
    [
        ({"relationship_type": "targets"}, [("target_ref", VN)], Reason.VICTIM),
        ({"relationship_type": "targets"}, [("source_ref", VN)], Reason.NAMED),
        ({"relationship_type": "uses"}, [("target_ref", VN)], Reason.NAMED),
        ({}, [("where_sighted_refs", VN)], Reason.VICTIM),
        ({}, [("created_by_ref", VN)], Reason.SOURCE),
        ({}, [("object_refs", "malware--1"), ("object_refs", VN)], Reason.NAMED),
        ({"id": VN}, [], Reason.NAMED),
    ],
)
def test_what_an_object_says_of_a_party_is_a_reason(
    data: dict[str, Any], edges: list[tuple[str, str]], expected: Reason
) -> None:
    made = {"type": "x", "id": "x--1", "name": "Kit", **data}
    assert list(facts_in(made, edges, PARTIES, ())) == [Fact("vn", expected, "Kit")]


def test_only_a_place_is_of_a_country_and_only_of_one_that_is_a_party() -> None:
    place = {"type": "location", "id": "location--1", "country": "VN"}
    states = {"vn", "sg"}
    assert list(facts_in(place, [], {}, states)) == [
        Fact("vn", Reason.LOCATED, "location--1")
    ]
    for other in ({**place, "country": "US"}, {**place, "country": 7}):
        assert list(facts_in(other, [], {}, states)) == []
    assert list(facts_in({**place, "type": "identity"}, [], {}, states)) == []


def test_a_sector_is_found_in_the_words_of_each_profile() -> None:
    listed = {"vn": ("Banking and financial services",), "sg": ("Energy", "Water")}
    assert list(in_sector(["financial-services", "energy", "services"], listed)) == [
        Fact("vn", Reason.SECTOR, "financial-services", listed["vn"][0]),
        Fact("sg", Reason.SECTOR, "energy", "Energy"),
    ]
