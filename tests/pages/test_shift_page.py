"""Handing over the shift at a page."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from doors import furnish
from serantau.clock import SetClock
from serantau.config import load_config
from serantau.desk.case_private import Private
from serantau.desk.cases import Casework
from serantau.desk.found import Charter, found
from serantau.node import Node
from visitors import Pages, pages_of, text_of

CLOCK = SetClock()
HOSTILE = "<script>alert(1)</script>\u202e"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    home: Path = tmp_path_factory.mktemp("shift") / "th"
    found(home, Charter("th", "ThaiCERT"), CLOCK)
    with Node(load_config(home), CLOCK) as node:
        furnish(node)
        with pages_of(node) as pages:
            yield pages


def test_a_shift_is_given_read_and_taken(pages: Pages) -> None:
    ann, ben = pages.visitor("ann", "analyst"), pages.visitor("ben", "lead")
    assert "Nobody has given a shift yet." in ann.read("/shift")
    case = Casework(pages.node).open(f"Kit {HOSTILE}").id
    Private(pages.node).note(case, f"the bank rang {HOSTILE}")
    Private(pages.node).add_task(case, "ring back", CLOCK.now() + 60_000_000)

    sent = ann.send("/shift/give", to="Ben", said=HOSTILE[:-1] * 3, hours="8")
    assert sent.headers["location"] == "/shift?said=shift-given"
    answer = ben.get("/shift")
    text = text_of(answer.text)
    assert "<script>alert" not in answer.text
    for said in ("Given by ann", "To Ben", "the bank rang", "ring back", "nobody yet"):
        assert said in text

    # What is signed off is what was read.
    assert ben.send("/shift/take", n="7").status_code == 409
    assert ben.send("/shift/take", n="1").status_code == 303
    assert "Taken by ben" in ben.read("/shift")
    assert ben.send("/shift/take", n="1").status_code == 409

    CLOCK.advance(seconds=60)
    ben.send("/shift/give", to="Ann", said="", hours="")
    assert "Hand-over 2" in ann.read("/shift")
    assert "Taken by ben" in ann.read("/shift?n=1")
    assert ann.get("/shift?n=99").status_code == 404


def test_a_form_that_is_not_as_expected_gives_nothing(pages: Pages) -> None:
    ann = pages.visitor("cho", "analyst")
    for wrong in ({"to": ""}, {"to": "x" * 10_000}, {"to": "x", "hours": "73"}):
        sent = ann.send("/shift/give", **{"hours": "8", "said": "kept text", **wrong})
        assert sent.status_code == 422
        assert "kept text" in sent.text


def test_who_may_not_work_neither_gives_nor_takes(pages: Pages) -> None:
    reader, policy = pages.visitor("rea", "reader"), pages.visitor("pol", "policy")
    assert "Who takes over" not in reader.read("/shift")
    for path in ("/shift/give", "/shift/take"):
        assert reader.send(path, to="x", n="2").status_code == 403
    assert policy.get("/shift").status_code == 403
    assert pages.visitor("out", "reader", party="jp").get("/shift").status_code == 403
