"""Event rows leave only to the owner of the machine, by level, and into the log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from leaks import PARTIES
from serantau.clock import SetClock
from serantau.config import NodeConfig, NodeSection, PolicySection
from serantau.desk.share import Share
from serantau.errors import Forbidden, NotFound
from serantau.node import Node
from serantau.rules.marking import Tlp
from tables import with_tables

# By hand: who may have rows about their own machines, by machine, up to which level.
UP_TO = {
    "th": Tlp.AMBER_STRICT,
    "vn": Tlp.AMBER_STRICT,
    "sg": Tlp.AMBER_STRICT,
    "jp": Tlp.AMBER_STRICT,
    "need": Tlp.AMBER_STRICT,
    "plain": Tlp.AMBER_STRICT,
    "other": Tlp.AMBER_STRICT,
    "low": Tlp.CLEAR,
}


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    home = with_tables(tmp_path)
    config = NodeConfig(home=home, node=NodeSection(member="th", team="ThaiCERT"))
    with Node(config, SetClock()) as made:
        with made.db.write() as tx:
            for party in PARTIES.values():
                made.registry.put_party(tx, party)
        yield made


def released(node: Node, party: str, owner: str) -> set[Tlp]:
    with node.db.read() as tx:
        verdicts = Share(node).judge_rows(tx, party, owner, Tlp)
    return {level for level, verdict in verdicts.items() if verdict.released}


@pytest.mark.parametrize("party", sorted(PARTIES))
def test_a_party_gets_rows_about_its_own_machines_up_to_its_level(
    node: Node, party: str
) -> None:
    expected = {level for level in Tlp if level <= UP_TO.get(party, -1)}
    assert released(node, party, party) == expected


@pytest.mark.parametrize("party", sorted(set(PARTIES) - {"th"}))
def test_rows_about_anothers_machines_never_leave_at_any_level(
    node: Node, party: str
) -> None:
    for owner in set(PARTIES) - {party}:
        assert released(node, party, owner) == set()


@pytest.mark.parametrize("party", sorted(PARTIES))
def test_red_rows_never_leave_by_machine(node: Node, party: str) -> None:
    assert Tlp.RED not in released(node, party, party)
    with node.db.write() as tx, pytest.raises(Forbidden):
        Share(node).release_rows(
            tx, party, party, {Tlp.RED: 1}, actor="a", way="mail", request="r"
        )


def test_one_level_that_may_not_go_keeps_all_here(node: Node) -> None:
    levels = {Tlp.CLEAR: 5, Tlp.RED: 1}
    with pytest.raises(Forbidden, match="red-by-person-only"), node.db.write() as tx:
        Share(node).release_rows(
            tx, "vn", "vn", levels, actor="a", way="mail", request="r"
        )
    with node.db.read() as tx:
        assert tx.value("SELECT count(*) FROM ledger.release") == 0


def test_a_party_whose_access_ended_gets_no_rows(node: Node) -> None:
    with node.db.write() as tx:
        node.registry.put_party(tx, replace(PARTIES["vn"], until=1))
    assert released(node, "vn", "vn") == set()


def test_a_ceiling_of_the_node_holds_for_rows(tmp_path: Path) -> None:
    config = NodeConfig(
        home=tmp_path,
        node=NodeSection(member="th"),
        policy=PolicySection(ceilings={"operator": "TLP:GREEN"}),
    )
    with Node(config, SetClock()) as made:
        with made.db.write() as tx:
            made.registry.put_party(tx, PARTIES["need"])
        assert released(made, "need", "need") == {Tlp.CLEAR, Tlp.GREEN}


def test_a_party_that_is_not_registered_gets_nothing(node: Node) -> None:
    with node.db.read() as tx, pytest.raises(NotFound):
        Share(node).judge_rows(tx, "zz", "zz", Tlp)


def test_released_rows_are_logged_with_the_verdict_of_each_level(node: Node) -> None:
    levels = {Tlp.GREEN: 3, Tlp.AMBER: 4}
    for _ in range(2):
        with node.db.write() as tx:
            Share(node).release_rows(
                tx, "need", "need", levels, actor="ann", way="mail", request="rows of d"
            )
    with node.db.read() as tx:
        number, _ = node.registry.party(tx, "need")
        row, again = node.ledger.of_party(tx, number)
        told = tx.rows("SELECT content FROM ledger.grant_view")
        # Rows are no objects: nobody is told that an object went.
        assert node.ledger.of_object(tx, 0, 1) == []
        assert node.ledger.stamps_of(tx, row.number) == []
    assert (row.actor, row.way, row.count, row.request) == (
        "ann",
        "mail",
        7,
        "rows of d",
    )
    assert again.number > row.number
    (content,) = (each.content for each in told)
    assert "green-to-community" in content
    assert "amber-to-audience" in content
