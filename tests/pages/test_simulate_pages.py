"""A change of policy is done only as it was seen."""

import re
from collections.abc import Iterator
from html import unescape

import pytest

from serantau.clock import SetClock
from serantau.records.registry import OF_OTHERS
from sharing_desk import CIRCLE, SharingDesk, sharing_desk
from stores import AMBER, indicator
from visitors import text_of

CLOCK = SetClock()
PATH = "/share/simulate"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharingDesk]:
    with sharing_desk(tmp_path_factory.mktemp("simulate"), CLOCK) as desk:
        desk.pages.visitor("mali", "analyst")
        desk.pages.visitor("chai", "coordinator")
        yield desk


def ticket(html: str) -> dict[str, str]:
    """What the form that applies a change carries."""
    found = dict(re.findall(r'name="(seen|supposed)" value="([^"]*)"', html))
    return {name: unescape(value) for name, value in found.items()} | {"sure": "1"}


def test_a_block_is_shown_then_done_exactly_so_and_written_down(
    desk: SharingDesk,
) -> None:
    chai = desk.pages.visitor("chai")
    before = desk.outlook("my").gets
    shown = chai.send(PATH, what="party", party="my", blocked="yes")
    said = text_of(shown.text)
    assert "goes no more" in said
    assert "party-blocked" in said
    assert f"my: 0 objects more, {before} less." in said
    assert desk.outlook("my").gets == before

    done = chai.send(f"{PATH}/apply", **ticket(shown.text))
    assert done.headers["location"] == "/share?said=applied"
    assert desk.outlook("my").gets == 0
    with desk.node.db.read() as tx:
        decided = tx.rows("SELECT actor, body FROM decision ORDER BY n")
    assert [row.actor for row in decided[-2:]] == ["chai", "chai"]
    assert '"way":"page"' in decided[-1].body


def test_what_changed_meanwhile_is_shown_again_and_not_done(desk: SharingDesk) -> None:
    chai = desk.pages.visitor("chai")
    shown = chai.send(PATH, what="circle", circle=CIRCLE, member=["vn", "jp", "kh"])
    assert "kh: " in text_of(shown.text)
    audience = desk.made["audience"]["id"]
    strict = "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003"
    desk.load(indicator("stricter", strict, audience))
    moved = chai.send(f"{PATH}/apply", **ticket(shown.text))
    assert moved.status_code == 409
    assert "The store has changed meanwhile" in text_of(moved.text)
    assert desk.outlook("kh").gets == desk.outlook("la").gets

    assert chai.send(f"{PATH}/apply", **ticket(moved.text)).status_code == 303
    assert desk.outlook("kh").gets > desk.outlook("la").gets


def test_own_objects_are_marked_anew_and_no_others(desk: SharingDesk) -> None:
    chai, clear = desk.pages.visitor("chai"), desk.made["clear"]["id"]
    shown = chai.send(PATH, what="marking", objects=clear, tlp="TLP:RED")
    assert "red-by-person-only" in text_of(shown.text)
    assert chai.send(f"{PATH}/apply", **ticket(shown.text)).status_code == 303
    assert "red-by-person-only" in chai.read(f"/share/sg/object/{clear}")

    theirs = indicator(
        "theirs", AMBER, created_by_ref="identity--99999999-2222-4333-8444-555555555555"
    )
    desk.load(theirs)
    shown = chai.send(PATH, what="marking", objects=theirs["id"], tlp="TLP:CLEAR")
    refused = chai.send(f"{PATH}/apply", **ticket(shown.text))
    assert refused.status_code == 409
    assert "Only who made an object" in text_of(refused.text)


def test_an_analyst_looks_and_does_not_apply(desk: SharingDesk) -> None:
    mali = desk.pages.visitor("mali")
    shown = mali.send(PATH, what="party", party="sg", blocked="yes")
    assert "Coordinators and administrators can apply it." in text_of(shown.text)
    before = desk.outlook("sg").gets
    assert mali.send(f"{PATH}/apply", **ticket(shown.text)).status_code == 403
    assert desk.outlook("sg").gets == before > 0


def test_nothing_is_done_without_having_been_seen(desk: SharingDesk) -> None:
    chai = desk.pages.visitor("chai")
    shown = ticket(chai.send(PATH, what="party", party="sg", blocked="yes").text)
    for broken, status in (
        ({**shown, "seen": "0" * 64}, 409),
        ({**shown, "seen": ""}, 409),
        ({**shown, "supposed": "{"}, 400),
        ({**shown, "supposed": '{"parties": {"sg": {"x": 1}}}'}, 400),
        ({"seen": shown["seen"], "supposed": shown["supposed"]}, 400),
    ):
        assert chai.send(f"{PATH}/apply", **broken).status_code == status
    assert not re.search(r"sg \(blocked\)", chai.read("/share/sg"))
    assert desk.outlook("sg").gets > 0


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"what": "<script>"},
        {"what": "party", "party": "sg"},
        {"what": "party", "party": "<script>alert(1)</script>", "blocked": "yes"},
        {"what": "party", "party": "sg", "kind": "own"},
        {"what": "party", "party": "sg", "until": "\u202ejavascript:"},
        {"what": "circle", "circle": "x" * 10_000},
        {"what": "circle", "circle": CIRCLE, "member": "<b>"},
        {"what": "marking", "objects": "x" * 60_000, "tlp": "TLP:RED"},
        {"what": "marking", "objects": "indicator--x", "tlp": "TLP:RED"},
        {"what": "marking", "tlp": "TLP:RED"},
    ],
)
def test_rubbish_is_told_and_nothing_is_lost_of_what_was_typed(
    desk: SharingDesk, fields: dict[str, str]
) -> None:
    answer = desk.pages.visitor("mali").send(PATH, **fields)
    assert answer.status_code == 422
    assert "<script>alert" not in answer.text
    assert "Try a change" in text_of(answer.text)


def test_circles_are_shown_to_nobody_of_another_party_nor_to_policy(
    desk: SharingDesk,
) -> None:
    assert CIRCLE in desk.pages.visitor("mali").read(f"{PATH}?what=circle")
    others = [(role, "vn") for role in OF_OTHERS if role != "guest"]
    for role, party in [*others, ("policy", "th"), ("auditor", "th")]:
        one = desk.pages.visitor(f"{party}-{role}", role, party=party)
        for answer in (
            one.get(f"{PATH}?what=circle"),
            one.send(PATH, what="circle", circle=CIRCLE, member="vn"),
        ):
            assert answer.status_code == 403
            assert CIRCLE not in answer.text
