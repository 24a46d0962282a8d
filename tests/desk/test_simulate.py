"""A change of policy is shown on the real store before it is done, and is just that."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from serantau.config import NodeConfig, NodeSection, StoreSection
from serantau.desk.intake import Intake
from serantau.desk.share import Share
from serantau.desk.simulate import Moved, Simulation
from serantau.desk.supposing import (
    CircleChange,
    MarkingChange,
    PartyChange,
    PolicyChange,
    Supposed,
    read_supposed,
)
from serantau.errors import BadRequest, Forbidden, NotFound
from serantau.node import Node
from serantau.rules.marking import make_audience
from serantau.rules.party import Kind, Party
from serantau.wire.bundle import Piece
from stores import AMBER, CLEAR, GREEN, RED, indicator, later

OWN = "identity--11111111-2222-4333-8444-555555555555"
OTHER = "identity--99999999-2222-4333-8444-555555555555"
PARTIES = (
    Party("th", Kind.OWN),
    Party("vn", Kind.MEMBER),
    Party("jp", Kind.PARTNER),
    Party("power", Kind.OPERATOR, client_of="th"),
    Party("gone", Kind.MEMBER, until=1),
)


class Bench:
    """A node th with one object of each level, and a circle that one is meant for."""

    def __init__(self, home: Path, url: str) -> None:
        self.node = Node(
            NodeConfig(
                home=home,
                node=NodeSection(member="th", team="ThaiCERT", identity=OWN),
                store=StoreSection(url=url),
            )
        )
        self.simulation = Simulation(self.node)
        with self.node.db.write() as tx:
            for party in PARTIES:
                self.node.registry.put_party(tx, party)
            circle = self.node.registry.put_circle(tx, "ports", ["vn"])
        self.audience = make_audience(circles=[circle.id])
        self.clear = indicator("clear", CLEAR)
        self.green = indicator("green", GREEN, created_by_ref=OWN)
        self.ports = indicator("ports", AMBER, self.audience["id"])
        self.theirs = indicator("theirs", GREEN, created_by_ref=OTHER)
        self.load(self.audience, self.clear, self.green, self.ports, self.theirs)

    def load(self, *objects: dict[str, Any]) -> None:
        pieces = [
            Piece(ordinal=place, offset=0, line=place, raw=orjson.dumps(one))
            for place, one in enumerate(objects, 1)
        ]
        report = Intake(self.node).take(pieces, origin="a file")
        assert report.new == len(objects), report.faults

    def seen(self) -> dict[str, set[str]]:
        """Give what the node's verdicts release, by party."""
        with self.node.db.read() as tx:
            rows = tx.rows(
                "SELECT p.name, o.id FROM object o JOIN verdict v "
                "ON v.marking_set = o.slot / 2 AND v.released "
                "JOIN party p ON p.n = v.party "
                "WHERE o.slot % 2 = 0 AND p.until IS NULL"
            )
        found: dict[str, set[str]] = {party.name: set() for party in PARTIES}
        for row in rows:
            found[row.name].add(row.id)
        return found

    def told(self, supposed: Supposed) -> dict[str, tuple[set[str], set[str]]]:
        """Give what a simulation says: what is newly released, and newly withheld."""
        return {
            each.party: tuple(
                {
                    one
                    for turn in each.turns
                    if turn.released is released
                    for one in turn.samples
                }
                for released in (True, False)
            )  # type: ignore[misc]
            for each in self.simulation.diff(supposed).effects
        }


@pytest.fixture
def bench(tmp_path: Path, store_url: str) -> Iterator[Bench]:
    made = Bench(tmp_path, store_url)
    yield made
    made.node.close()


# One after the other, on one store.
CHANGES = {
    "client": Supposed(parties={"power": PartyChange(client_of="vn")}),
    "circle": Supposed(circles={"ports": CircleChange(("jp", "power"))}),
    "new circle": Supposed(circles={"other": CircleChange(("jp",))}),
    "but": Supposed(marking=MarkingChange(query="clear", everyone_but=("jp",))),
    "ceiling": Supposed(parties={"jp": PartyChange(ceiling="CLEAR")}),
    "none": Supposed(parties={"jp": PartyChange(ceiling="none")}),
    "to a circle": Supposed(
        marking=MarkingChange(query="green", tlp="AMBER", circles=("ports",))
    ),
    "both": Supposed(
        parties={"vn": PartyChange(ceiling="CLEAR")},
        circles={"ports": CircleChange(("jp",))},
    ),
    "for": Supposed(
        marking=MarkingChange(query="green", tlp="GREEN", meant_for=("th",))
    ),
    "narrow": Supposed(marking=MarkingChange(query="green", tlp="RED")),
    "widen": Supposed(
        marking=MarkingChange(query="ports", tlp="CLEAR", no_audience=True)
    ),
    "kind": Supposed(parties={"vn": PartyChange(kind="public", ceiling="none")}),
    "block": Supposed(parties={"jp": PartyChange(blocked=True)}),
}
BLOCK = Supposed(parties={"vn": PartyChange(blocked=True)})


def test_what_is_shown_is_exactly_what_applying_does(bench: Bench) -> None:
    turned = set()
    for name, supposed in CHANGES.items():
        before = bench.seen()
        told = bench.told(supposed)
        assert bench.seen() == before
        diff = bench.simulation.diff(supposed)
        bench.simulation.apply(supposed, diff.digest)
        after = bench.seen()
        held = {bench.clear["id"], bench.green["id"], bench.ports["id"]}
        for party in before:
            more, less = told.get(party, (set(), set()))
            assert more & held == (after[party] - before[party]) & held, (name, party)
            assert less == before[party] - after[party], (name, party)
        turned |= {name} if told else set()
    assert turned == CHANGES.keys() - {"new circle"}


def test_it_is_told_by_rule_and_marking_with_counts(bench: Bench) -> None:
    bench.load(later(bench.clear, 2, CLEAR))
    diff = bench.simulation.diff(BLOCK)
    (effect,) = diff.effects
    assert (effect.party, effect.kind) == ("vn", "member")
    assert (effect.count(released=True), effect.count(released=False)) == (0, 5)
    rows = {turn.marking: turn for turn in effect.turns}
    clear = rows["TLP:CLEAR"]
    assert (clear.objects, clear.older) == (1, 1)
    assert (clear.before.rule, clear.after.rule) == (
        "clear-to-everyone",
        "party-blocked",
    )
    assert rows["TLP:GREEN"].objects == 2


def test_an_end_of_access_counts_in_a_simulation_and_in_a_preview(bench: Bench) -> None:
    share = Share(bench.node)
    (gone,) = share.preview(["gone"])
    assert (gone.released, {row.rule for row in gone.rows}) == (0, {"party-ended"})
    (vn,) = share.preview(["vn"])
    back = bench.told(Supposed(parties={"gone": PartyChange(until="none")}))
    assert len(back["gone"][0]) == 3
    end = Supposed(parties={"vn": PartyChange(until="2020-01-31")})
    (effect,) = bench.simulation.diff(end).effects
    assert effect.count(released=False) == vn.released
    assert {turn.after.rule for turn in effect.turns} == {"party-ended"}
    # Nobody's access ends or comes back by a circle.
    assert "gone" not in bench.told(
        Supposed(circles={"ports": CircleChange(("gone", "vn"))})
    )


def test_a_policy_is_shown_but_stands_in_the_configuration(bench: Bench) -> None:
    supposed = Supposed(policy=PolicyChange(ceilings={"partner": "CLEAR"}))
    told = bench.told(supposed)
    assert told == {"jp": (set(), {bench.green["id"], bench.theirs["id"]})}
    with pytest.raises(BadRequest, match="configuration"):
        bench.simulation.apply(supposed, bench.simulation.diff(supposed).digest)


def test_what_moved_meanwhile_is_shown_anew_and_not_done(bench: Bench) -> None:
    supposed = CHANGES["circle"]
    seen = bench.simulation.diff(supposed).digest
    # More of the same comes in all the time, and is no other diff.
    bench.load(indicator("more", AMBER, bench.audience["id"]))
    assert bench.simulation.diff(supposed).digest == seen
    with bench.node.db.write() as tx:
        bench.node.registry.put_party(tx, replace(PARTIES[2], blocked=True))
    before = bench.seen()
    with pytest.raises(Moved) as moved:
        bench.simulation.apply(supposed, seen)
    assert bench.seen() == before
    assert {each.party for each in moved.value.diff.effects} == {"vn", "power"}
    bench.simulation.apply(supposed, moved.value.diff.digest)
    assert bench.ports["id"] not in bench.seen()["vn"]
    # An object that has a new version since is not the one that was shown.
    marked = CHANGES["narrow"]
    seen = bench.simulation.diff(marked).digest
    bench.load(later(bench.green, 2, GREEN))
    with pytest.raises(Moved):
        bench.simulation.apply(marked, seen)


def test_what_another_made_is_shown_but_not_marked_anew(bench: Bench) -> None:
    ids = (bench.theirs["id"], bench.green["id"])
    supposed = Supposed(marking=MarkingChange(objects=ids, tlp="RED"))
    diff = bench.simulation.diff(supposed)
    assert "1 of them are not this node's" in diff.remarks[1]
    before = bench.seen()
    with pytest.raises(Forbidden, match=OTHER):
        bench.simulation.apply(supposed, diff.digest)
    assert bench.seen() == before
    only = Supposed(marking=MarkingChange(objects=ids[1:], tlp="RED"))
    bench.simulation.apply(only, bench.simulation.diff(only).digest)
    with bench.node.db.read() as tx:
        newest = orjson.loads(bench.node.search.versions(tx, ids[1])[-1].body)
    assert newest["object_marking_refs"] == [RED]
    assert newest["modified"] > bench.green["modified"]


WRONG: tuple[tuple[str, type[Exception], str], ...] = (
    ("", BadRequest, "Nothing is supposed"),
    ("[", BadRequest, "a.toml"),
    ("[parties.vn]\nblock = true", BadRequest, "block"),
    ("[parties.xx]\nblocked = true", NotFound, "xx"),
    ("[parties.th]\nblocked = true", BadRequest, "own party"),
    ("[parties.vn]\nkind = 'own'", BadRequest, "own party"),
    ("[parties.vn]\nkind = 'king'", BadRequest, "king"),
    ("[parties.vn]\nceiling = 'PINK'", BadRequest, "ceiling"),
    ("[parties.vn]\nuntil = 'soon'", BadRequest, "soon"),
    ("[circles.ports]\nmembers = ['xx']", NotFound, "xx"),
    ("[policy]\ngranular = 'maybe'", BadRequest, "granular"),
    ("[policy.ceilings]\npublic = 'RED'", BadRequest, "only tightens"),
    ("[marking]\nquery = 'green'", BadRequest, "stay as it is"),
    ("[marking]\ntlp = 'RED'", BadRequest, "Which objects"),
    ("[marking]\nquery = 'nowhere'\ntlp = 'RED'", NotFound, "nowhere"),
    ("[marking]\nobjects = ['x--1']\ntlp = 'RED'", NotFound, "x--1"),
    (
        "[marking]\nquery = 'green'\nfor = ['vn']\nno_audience = true",
        BadRequest,
        "More than one",
    ),
    ("[marking]\nquery = 'green'\nfor = ['V N']", BadRequest, "party name"),
    ("[marking]\nquery = 'green'\ncircles = ['x']", NotFound, "circle"),
    (
        "[marking]\nquery = 'green'\ntlp = 'RED'\n[circles.ports]\nmembers = []",
        BadRequest,
        "alone",
    ),
)


def test_a_change_that_cannot_be_is_told_with_its_place(bench: Bench) -> None:
    for text, fault, said in WRONG:
        with pytest.raises(fault, match=said):
            bench.simulation.diff(read_supposed(text, "a.toml"))
