"""From one shift to the next: nothing that waits is left out, and both sign it off."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from serantau.clock import taxii_text
from serantau.desk.case_assist import Assistance
from serantau.desk.case_export import Exporter, Form
from serantau.desk.case_private import Private
from serantau.desk.cases import Casework
from serantau.desk.shift import Shifting, paper_of
from serantau.errors import BadRequest, Conflict, NotFound
from serantau.records.acts import By, acting
from serantau.records.shifts import Shifts
from serantau.rules.canonical import canonical
from serantau.testing import Region
from serantau.wire.paper import markdown

HOUR = 3_600_000_000


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    with Region(tmp_path_factory.mktemp("shift"), ["th", "sg"]) as region:
        region.mesh()
        yield region


def test_an_ask_is_in_every_hand_over_until_it_is_answered(pair: Region) -> None:
    th, sg = (Assistance(pair[name].node) for name in ("th", "sg"))
    case = th.open("Asked for", ["sg"]).id
    th.ask(case, "Image of the host", ["sg"], due=pair.clock.now() + 9 * 24 * HOUR)
    pair.sync()
    desks = [Shifting(pair[name].node) for name in ("th", "sg")]
    for _ in range(3):
        for desk, ours in zip(desks, (False, True), strict=True):
            found = desk.look()
            asked = [(one.what, one.ours) for one in found.asks if one.case == case]
            assert asked == [("Image of the host", ours)]
            assert "Image of the host" in markdown(paper_of(found))
            desk.give("Somchai")
        pair.clock.advance(days=1)
    (ask,) = (one.id for one in sg.asks() if one.case == case)
    sg.answer(case, ask, "accept")
    pair.sync()
    assert not [one for desk in desks for one in desk.look().asks if one.case == case]


def test_a_hand_over_tells_what_changed_what_is_due_and_who_is_silent(
    pair: Region,
) -> None:
    th, sg = (Casework(pair[name].node) for name in ("th", "sg"))
    desk = Shifting(pair["th"].node)
    desk.give("Somchai")
    case = th.open("Kit", ["sg"], severity_level="high").id
    th.add_task(case, "Take it down", "sg", pair.clock.now() + 3 * HOUR)
    private = Private(pair["th"].node)
    private.note(case, "the bank rang")
    private.add_task(case, "ring back", pair.clock.now() - HOUR)
    pair.sync()
    # Who is invited and has not said so is told first thing.
    assert Shifting(pair["sg"].node).look().unanswered == [case]
    found = desk.look()
    (held,) = (one for one in found.cases if one.case == case)
    assert [(one.what, one.private) for one in held.changes] == [
        *(("opened", False), ("invited", False), ("task", False), ("note", True)),
    ]
    assert held.silent == ["sg"]
    due = [(x.what, x.late, x.ours, x.private) for x in found.due if x.case == case]
    # What is ours comes first, then what is due first.
    assert due == [
        ("ring back", True, True, True),
        ("update", False, True, False),
        ("acknowledge", False, False, False),
        ("task: Take it down", False, False, False),
    ]
    assert not [x for x in desk.look(hours=2).due if "Take" in x.what]
    sg.acknowledge(case)
    pair.sync()
    desk.give("Somchai")
    assert not [one for one in desk.look().cases if one.changes]
    th.close(case)
    (closed,) = (one for one in desk.look().cases if one.case == case)
    assert closed.closed
    pair.clock.advance(seconds=1)
    desk.give("Somchai")
    assert case not in {one.case for one in desk.look().cases}


def test_what_is_refused_and_whoever_is_silent_is_told(pair: Region) -> None:
    desk = Shifting(pair["th"].node)
    pair["th"].load([b"{}"])
    assert sum(desk.look().held.values()) == 1
    pair.cut("th", "sg")
    pair["th"].sync()
    assert [one for one in desk.look().troubles if one.startswith("peer sg: ")]
    pair.heal("th", "sg")
    pair.sync()
    assert not [one for one in desk.look().troubles if one.startswith("peer sg: ")]


def test_a_hand_over_is_signed_off_once_and_kept_as_it_was_given(pair: Region) -> None:
    desk = Shifting(pair["sg"].node)
    with acting(By("ann", "cli")):
        given = desk.give("Ben", "quiet night")
    assert (given.gave, given.to, given.taken) == ("ann", "Ben", 0)
    assert given.digest == hashlib.sha256(canonical(given.told)).hexdigest()
    Casework(pair["sg"].node).open("After that")
    with acting(By("ben", "cli")):
        taken = desk.take()
    assert (taken.took, taken.n, taken.told) == ("ben", given.n, given.told)
    assert desk.read(taken) == desk.read(given)
    with pytest.raises(Conflict, match="ben has taken"):
        desk.take()
    assert desk.past()[0] == taken
    assert taxii_text(taken.at) == taken.told["until"]
    for wrong in ({"to": " "}, {"to": "x", "hours": 0}, {"to": "x", "since": 1 << 60}):
        with pytest.raises(BadRequest):
            desk.give(**wrong)
    assert desk.past()[0] == taken


def test_before_anybody_gave_a_shift_there_is_none_to_take(pair: Region) -> None:
    node = pair.join("vn").node
    with node.db.read() as tx:
        assert Shifts().last(tx) is None
    with pytest.raises(NotFound, match="Nobody has given"):
        Shifting(node).take()


def test_a_hand_over_never_leaves_the_node(pair: Region) -> None:
    th = Casework(pair["th"].node)
    case = th.open("Shared", ["sg"]).id
    Shifting(pair["th"].node).give("canaryname", "canarytext")
    pair.sync()
    for form in (Form.STIX, Form.IODEF, Form.MISP, Form.MARKDOWN):
        made = Exporter(pair["th"].node, "ann").export(case, "sg", form).content
        assert b"canary" not in made
    assert not [one for one in pair["th"].versions() if b"canary" in one[2]]
    assert not [one for one in pair["sg"].versions() if b"canary" in one[2]]
