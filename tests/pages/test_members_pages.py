"""Parties and circles at the pages: blocks have reasons, circles stay secret."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from doors import furnish
from serantau.clock import SetClock
from serantau.config import load_config
from serantau.desk.found import Charter, found
from serantau.node import Node
from serantau.records.acts import decided_by
from serantau.records.audit import Period
from serantau.rules.level import Tlp
from serantau.rules.party import Kind, Party
from visitors import Pages, pages_of

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    home: Path = tmp_path_factory.mktemp("members") / "th"
    clock = SetClock("2026-11-01T00:00:00Z")
    found(home, Charter("th", "ThaiCERT"), clock)
    with Node(load_config(home), clock) as node:
        furnish(node)
        with node.db.write() as tx:
            power = Party("power-co", Kind.OPERATOR, HOSTILE, client_of="th")
            node.registry.put_party(tx, power)
            node.registry.put_circle(tx, "canary-circle", ["sg", "id"])
            for role in ("analyst", "coordinator", "policy", "auditor", "operator"):
                node.registry.add_user(tx, f"the-{role}", "th", role)
        with pages_of(node) as pages:
            yield pages


def _party(pages: Pages, name: str) -> Party:
    with pages.node.db.read() as tx:
        return pages.node.registry.party(tx, name)[1]


def test_circles_are_told_to_who_decides_and_to_nobody_else(pages: Pages) -> None:
    assert "canary-circle" in pages.visitor("the-coordinator").get("/members").text
    analyst = pages.visitor("the-analyst")
    for path in ("/members", "/members/sg", "/members/id"):
        html = analyst.get(path).text
        assert "canary" not in html
        assert "circle--" not in html
    for name in ("wei", "the-operator", "the-policy", "the-auditor"):
        for path in ("/members", "/members/sg"):
            assert pages.visitor(name).get(path).status_code == 403


def test_a_party_is_blocked_at_once_and_with_a_reason(pages: Pages) -> None:
    chief = pages.visitor("the-coordinator")
    for lacking in ({"sure": "1"}, {"reason": "a leak"}):
        assert chief.send("/members/id/block", **lacking).status_code == 422
    assert not _party(pages, "id").blocked
    sent = chief.send("/members/id/block", sure="1", reason="a leak")
    assert sent.headers["location"] == "/members/id?said=party-blocked"
    assert _party(pages, "id").blocked
    assert "This party is blocked here." in chief.read("/members/id")
    assert chief.send("/members/id/unblock", sure="1", reason="mended").is_redirect
    with pages.node.db.read() as tx:
        told = decided_by(tx, "the-coordinator", Period(), 100)
    assert [one.why for one in told if one.about == "id"] == ["a leak", "mended"]
    own = chief.send("/members/th/block", sure="1", reason="no")
    assert own.status_code == 422
    for verb in ("block", "unblock", "change"):
        sent = pages.visitor("the-analyst").send(f"/members/sg/{verb}", sure="1")
        assert sent.status_code == 403


def test_a_party_is_added_with_its_limits_or_not_at_all(pages: Pages) -> None:
    chief = pages.visitor("the-coordinator")
    fields = {
        "name": "water-co", "kind": "operator", "title": "Water", "client_of": "th",
        "ceiling": "TLP:GREEN", "until": "2027-01-31",
    }  # fmt: skip
    for wrong in (
        {"name": "th"},
        {"name": "Water Co"},
        {"kind": "own"},
        {"ceiling": "TLP:PINK"},
        {"until": "soon"},
        {"client_of": "nobody"},
        {"title": "x" * 10_000},
    ):
        assert chief.send("/members/_add", **{**fields, **wrong}).status_code == 422
    assert chief.send("/members/_add", **fields).status_code == 303
    made = _party(pages, "water-co")
    assert (made.kind, made.ceiling, made.client_of) == (
        Kind.OPERATOR,
        Tlp.GREEN,
        "th",
    )
    assert made.until


def test_a_circle_is_dropped_with_a_reason(pages: Pages) -> None:
    with pages.node.db.write() as tx:
        pages.node.registry.put_circle(tx, "over", ["sg"])
    chief = pages.visitor("the-coordinator")
    send = {"circle": "over", "sure": "1"}
    assert chief.send("/members/_drop-circle", **send).status_code == 422
    gone = chief.send("/members/_drop-circle", **send, reason="it ended")
    assert gone.headers["location"] == "/members?said=circle-dropped"
    with pages.node.db.read() as tx:
        names = {one.name for one in pages.node.audiences.circles(tx).values()}
    assert names == {"canary-circle"}


def test_the_profile_says_not_listed_where_nobody_knows(pages: Pages) -> None:
    said = pages.visitor("the-policy").read("/members/_profile")
    assert "Not an official ASEAN product." in said
    assert "BruCERT" in said
    assert "not listed" in said
    assert "to verify" in said
    assert HOSTILE not in pages.visitor("the-analyst").get("/members/power-co").text
