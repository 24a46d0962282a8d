"""What PAP permits this node itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from serantau.rules.marking import TLP_2_IDS, Marking, MarkingSet, Pap, Tlp
from serantau.rules.pap import TABLE, Act, permits, permitted, table_markdown

RED, AMBER, GREEN, CLEAR = (
    Marking(f"marking-definition--{level}", "pap", pap=level) for level in reversed(Pap)
)
STRANGE = Marking("marking-definition--x", "unknown", text="PAP: got 'PAP:BLUE'")
SAID = Marking("marking-definition--y", "statement", text="(c)")


@pytest.mark.parametrize(
    ("act", "strictest"),
    [(Act.MATCH, Pap.RED), (Act.SIGHT, Pap.RED), (Act.FLAG, Pap.GREEN)],
)
def test_an_act_is_permitted_up_to_its_level(act: Act, strictest: Pap) -> None:
    for marking in (RED, AMBER, GREEN, CLEAR):
        assert permits(act, [SAID, marking]) is (marking.pap <= strictest)  # type: ignore[operator]
    assert permits(act, [])
    assert permits(act, [SAID])


@pytest.mark.parametrize("act", list(Act))
def test_what_is_not_understood_permits_nothing(act: Act) -> None:
    assert act in TABLE
    assert not permits(act, [STRANGE, CLEAR])
    known = {one.id: one for one in (RED, GREEN)}
    nowhere = MarkingSet(refs=("marking-definition--nowhere",))
    assert not permitted(act, nowhere, known)


def test_the_strictest_holds_and_that_of_a_part_for_the_whole() -> None:
    assert not permits(Act.FLAG, [GREEN, RED, CLEAR])
    known = {one.id: one for one in (RED, GREEN)}
    tlp = TLP_2_IDS[Tlp.GREEN]
    assert permitted(Act.FLAG, MarkingSet(refs=(GREEN.id, tlp)), known)
    part = MarkingSet(refs=(GREEN.id, tlp), granular=(RED.id,))
    assert not permitted(Act.FLAG, part, known)


def test_the_documented_table_is_the_one_that_holds() -> None:
    docs = Path(__file__).parents[2] / "docs" / "release-policy.md"
    assert table_markdown() in docs.read_text(encoding="utf-8")
