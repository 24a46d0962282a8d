"""An audience is named once, the same on every node, and warns of strangers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from samples import made
from serantau.desk.naming import name_audience
from serantau.errors import BadRequest, NotFound
from serantau.node import Node
from serantau.rules.marking import TLP_2_IDS, Tlp
from serantau.testing import Region


@pytest.fixture
def region(tmp_path: Path) -> Iterator[Region]:
    with Region(tmp_path, ["th", "vn", "sg"]) as region:
        region.mesh()
        yield region


@pytest.fixture
def node(region: Region) -> Node:
    return region["th"].node


def test_what_is_marked_for_a_named_party_reaches_it_alone(
    region: Region, node: Node
) -> None:
    named = name_audience(node, ["vn"])
    assert named.new
    assert named.unknown == ()
    refs = [TLP_2_IDS[Tlp.AMBER], named.definition["id"]]
    thing = made("indicator", object_marking_refs=refs)
    region.load("th", [thing])
    region.sync()
    assert {site.name for site in region if thing["id"] in site.ids()} == {"th", "vn"}


def test_the_same_audience_is_made_once(node: Node) -> None:
    first = name_audience(node, ["vn", "sg"])
    again = name_audience(node, ["sg", "vn"])
    assert first.definition == again.definition
    assert not again.new


def test_a_circle_is_written_as_its_opaque_id(region: Region, node: Node) -> None:
    circle = region["th"].circle("banks", ["vn"])
    named = name_audience(node, circles=["banks"])
    assert circle.id in str(named.definition)
    assert "banks" not in str(named.definition)


def test_a_name_that_is_no_party_is_told(node: Node) -> None:
    assert name_audience(node, everyone_but=["vm"]).unknown == ("vm",)


def test_an_audience_of_nobody_is_refused(node: Node) -> None:
    with pytest.raises(BadRequest, match="nobody"):
        name_audience(node)


def test_a_circle_that_is_none_is_refused(node: Node) -> None:
    with pytest.raises(NotFound, match="bank"):
        name_audience(node, circles=["bank"])


def test_both_forms_at_once_are_refused(node: Node) -> None:
    with pytest.raises(BadRequest):
        name_audience(node, ["vn"], everyone_but=["sg"])
