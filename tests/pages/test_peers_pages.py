"""Peers at the pages: how each stands, and that no secret is ever shown."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from chromium import PHONE, wide, window
from doors import furnish, serving
from serantau.clock import SetClock
from serantau.config import load_config
from serantau.desk.found import Charter, found
from serantau.node import Node
from serantau.records.acts import decided_by
from serantau.records.audit import Period
from serantau.records.peers import Peer, Peers
from visitors import Pages, pages_of, signed_in

SECRET = "canary-hunter-2"
HOSTILE = "<script>alert(1)</script>\u202e"
NOWHERE = "http://127.0.0.1:1/taxii2/"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    home: Path = tmp_path_factory.mktemp("peers") / "th"
    clock = SetClock("2026-11-01T00:00:00Z")
    found(home, Charter("th", "ThaiCERT"), clock)
    with Node(load_config(home), clock) as node:
        furnish(node)
        peers = Peers()
        with node.db.write() as tx:
            for peer in (
                Peer("sg", "https://u:canary-in-url@sg.example/taxii2/?key=canary-q"),
                Peer("vn", "https://vn.example/", user="th", secret=SECRET),
                Peer("id", "https://id.example/", enabled=False),
            ):
                peers.add(tx, peer, node.seal)
            held = peers.get(tx, "vn", node.seal)
            peers.ended(tx, held, "", f"It said {HOSTILE} and hung up.")
            well = peers.get(tx, "sg", node.seal)
            peers.advance(
                tx, well, "whole", resume="2026-10-31T00:00:00.000000Z",
                pulled=12345, held=6, refused=7,
            )  # fmt: skip
            peers.ended(tx, well, "", "")
            for role in ("analyst", "lead", "coordinator", "policy", "auditor"):
                node.registry.add_user(tx, f"the-{role}", "th", role)
        with pages_of(node) as pages:
            yield pages


def _peer(pages: Pages, name: str) -> Peer:
    with pages.node.db.read() as tx:
        return Peers().get(tx, name, pages.node.seal)


def test_each_peer_is_told_in_words_with_what_came_and_what_is_wrong(
    pages: Pages,
) -> None:
    said = pages.visitor("the-analyst").read("/peers")
    assert "(SingCERT) Well 2026-11-01 00:00 UTC 12,345 6 7" in said
    assert "(VNCERT) Does not answer as agreed" in said
    assert "(ID-SIRTII/CC) Paused" in said
    assert "What peers do among themselves this node does not know." in said
    one = pages.visitor("the-analyst").read("/peers/sg")
    assert "2026-10-31T00:00:00.000000Z" in one
    assert "No key of this member is pinned." in one


def test_a_peers_secret_is_on_no_page_and_hostile_words_stay_words(
    pages: Pages,
) -> None:
    boss = pages.visitor("boss")
    for path in ("/peers", "/peers/vn", "/peers/sg", "/peers/_add"):
        html = boss.get(path).text
        assert "canary" not in html
        assert "<script>alert" not in html
    assert "https://sg.example/taxii2/" in boss.get("/peers/sg").text


def test_who_has_no_power_over_peers_neither_sees_nor_changes_them(
    pages: Pages,
) -> None:
    for name in ("the-policy", "the-auditor", "wei"):
        for path in ("/peers", "/peers/sg", "/peers/_add"):
            assert pages.visitor(name).get(path).status_code == 403
    for name in ("the-policy", "the-analyst", "the-lead"):
        visitor = pages.visitor(name)
        for verb in ("change", "pause", "resume", "remove", "alarms"):
            assert visitor.send(f"/peers/sg/{verb}", sure="1").status_code == 403
    assert pages.visitor("the-policy").send("/peers/sg/sync").status_code == 403


def test_a_secret_goes_to_no_other_server_than_it_was_given_for(
    pages: Pages,
) -> None:
    lead = pages.visitor("the-coordinator")
    values = {"url": "https://evil.example/", "user": "th", "signatures": "all"}
    refused = lead.send("/peers/vn/change", **values)
    assert refused.status_code == 422
    assert "The old one is not sent there." in refused.text
    assert _peer(pages, "vn").secret == SECRET

    values["url"] = "https://vn.example/other/"
    assert lead.send("/peers/vn/change", **values).status_code == 303
    kept = _peer(pages, "vn")
    assert (kept.secret, kept.signatures) == (SECRET, "all")
    with_none = lead.send("/peers/vn/change", **values, no_secret="1")
    assert with_none.status_code == 303
    assert _peer(pages, "vn").secret == ""


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", "javascript:alert(1)"),
        ("url", "https://me:word@sg.example/"),
        ("url", "http://[::1"),
        ("name", "../x"),
        ("name", "sg"),
        ("signatures", "none"),
        ("handle_as", "TLP:PINK"),
        ("key", "these are not twelve words"),
        ("secret", "x" * 1001),
        ("collection", "x" * 10_000),
    ],
)
def test_a_wrong_field_is_told_beside_it_and_nothing_is_kept(
    pages: Pages, field: str, value: str
) -> None:
    values = {"name": "jp", "url": "https://jp.example/", field: value}
    answer = pages.visitor("boss").send("/peers/_add", **values)
    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.text
    with pages.node.db.read() as tx:
        assert {each.name for each in Peers().list(tx)} == {"id", "sg", "vn"}


def test_a_peer_is_added_pulled_paused_and_removed_with_a_reason(
    pages: Pages,
) -> None:
    chief = pages.visitor("the-coordinator")
    added = chief.send("/peers/_add", name="jp", url=NOWHERE, secret=SECRET)
    assert added.headers["location"] == "/peers/jp?said=peer-added"
    pulled = pages.visitor("the-analyst").send("/peers/jp/sync")
    assert pulled.headers["location"] == "/peers/jp?said=pull-broke"
    assert "The last pull broke off." in chief.read("/peers/jp")
    assert chief.send("/peers/jp/pause").status_code == 303
    assert not _peer(pages, "jp").enabled

    assert chief.send("/peers/jp/remove", sure="1").status_code == 422
    assert chief.send("/peers/jp/remove", reason="moved").status_code == 422
    gone = chief.send("/peers/jp/remove", sure="1", reason="moved")
    assert gone.headers["location"] == "/peers?said=peer-removed"
    with pages.node.db.read() as tx:
        told = decided_by(tx, "the-coordinator", Period(), 100)
    assert [(one.way, one.why) for one in told if one.what == "removed a peer"] == [
        ("page", "moved")
    ]
    assert SECRET not in repr(told)


def test_the_map_shows_who_pulls_and_fits_a_phone(
    pages: Pages, browser: Browser
) -> None:
    secret = signed_in(pages.node, "boss")
    with (
        serving(pages.node) as address,
        window(browser, address, secret, size=PHONE, dark=True) as page,
    ):
        page.goto("/peers")
        assert wide(page) <= 0
        page.locator("svg a[aria-label=vn] text").click()
        page.wait_for_url("**/peers/vn")
        page.locator("summary", has_text="Change").click()
        assert wide(page) <= 0
