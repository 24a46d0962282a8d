"""Running the node at the pages: keys, tokens, what is kept; no secret on any page."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from chromium import PHONE, wide, window
from doors import furnish, serving
from serantau.clock import SetClock
from serantau.config import load_config
from serantau.desk.audit import note_reading
from serantau.desk.found import Charter, found
from serantau.desk.signing import protect
from serantau.node import SEAL_FILE, Node
from serantau.records.acts import By, acting, decided_by, read_by
from serantau.records.audit import Period
from serantau.records.chores import Chores
from serantau.wire.signer import new_signer
from visitors import Pages, pages_of, signed_in

HOSTILE = "<script>alert(1)</script>"
PLACES = (
    "/admin",
    "/admin/tokens",
    "/admin/policy",
    "/admin/retention",
    "/admin/jobs",
    "/admin/checks?run=1",
    "/admin/settings",
    "/admin/about",
    "/keys",
)
CANARIES: dict[str, dict[str, Any]] = {
    "store": {"cache_mb": 16},
    "signing": {"passphrase": "canary-pass-phrase"},
    "mail": {"host": "m.example", "mailbox": "imaps://me:canary-mail@m.example/in"},
    "feeds": {"f": {"url": "https://a:canary-feed@f.example/?key=canary-key"}},
    "lane": {"storage": {"AWS_SECRET_ACCESS_KEY": "canary-store"}},
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    home: Path = tmp_path_factory.mktemp("admin") / "th"
    clock = SetClock("2026-11-01T00:00:00Z")
    found(home, Charter("th", "ThaiCERT"), clock)
    with Node(load_config(home), clock) as node:
        protect(node, CANARIES["signing"]["passphrase"])
    with Node(load_config(home, None, CANARIES), clock) as node:
        furnish(node)
        with node.db.write() as tx:
            Chores().note(tx, "contacts.drill", fault=f"It said {HOSTILE}.")
            for role in ("analyst", "coordinator", "policy", "auditor", "operator"):
                node.registry.add_user(tx, f"the-{role}", "th", role)
        with pages_of(node) as pages:
            yield pages


def test_no_secret_of_the_node_is_on_any_page_of_admin(pages: Pages) -> None:
    boss = pages.visitor("boss")
    with pages.node.db.write() as tx:
        secret = pages.node.registry.add_token(tx, "wei", HOSTILE)
    folder = pages.node.config.keys
    held = [secret, (folder / SEAL_FILE).read_text().strip()]
    held += (folder / "identity.pem").read_text().split("\n")[1:2]
    assert all(held)
    for path in PLACES:
        answer = boss.get(path)
        assert answer.status_code == 200, path
        assert [one for one in held if one in answer.text] == []
        assert "canary" not in answer.text
        assert HOSTILE not in answer.text


def test_only_admins_see_admin(pages: Pages) -> None:
    open_to_sight = {"/admin/policy", "/keys"}
    for name in ("the-analyst", "the-coordinator", "the-policy", "the-auditor"):
        visitor = pages.visitor(name)
        for path in PLACES:
            status = visitor.get(path).status_code
            sees = name in {"the-analyst", "the-coordinator"}
            allowed = path == "/admin/about" or (sees and path in open_to_sight)
            assert status == (200 if allowed else 403), (name, path)
        for path in (
            "admin/tokens", "admin/tokens/end", "admin/retention",
            "keys/pin", "keys/unpin", "keys/rotate",
        ):  # fmt: skip
            assert visitor.send(f"/{path}", sure="1").status_code == 403
    for name in ("wei", "the-operator"):
        for path in PLACES:
            if path != "/admin/about":
                assert pages.visitor(name).get(path).status_code == 403


def test_a_token_is_shown_once_works_and_ends(pages: Pages) -> None:
    boss = pages.visitor("boss")
    for wrong in ({"days": "0"}, {"label": ""}, {"label": "x" * 10_000}):
        fields = {"user": "lim", "label": "pull", **wrong}
        assert boss.send("/admin/tokens", **fields).status_code == 422
    made = boss.send("/admin/tokens", user="lim", label="pull", days="30")
    text = re.search(r'<code class="value"[^>]*>([\w-]{30,})</code>', made.text)
    assert text is not None
    with pages.node.db.read() as tx:
        caller = pages.node.registry.caller_by_token(tx, text[1])
    assert caller is not None
    assert caller.user == "lim"
    page = boss.get("/admin/tokens").text
    assert text[1] not in page
    assert "pull" in page
    lacking = boss.send("/admin/tokens/end", user="lim")
    assert lacking.status_code == 422
    ended = boss.send("/admin/tokens/end", user="lim", reason="lost")
    assert ended.status_code == 303
    with pages.node.db.read() as tx:
        assert pages.node.registry.caller_by_token(tx, text[1]) is None
        told = decided_by(tx, "boss", Period(), 100)
    assert [one.why for one in told if one.what == "ended tokens"] == ["lost"]
    assert text[1] not in repr(told)


def test_a_key_is_pinned_after_comparing_and_taken_away_with_a_reason(
    pages: Pages,
) -> None:
    boss, key = pages.visitor("boss"), new_signer().key
    words = {"party": "sg", "key": key.words}
    assert boss.send("/keys/pin", **words).status_code == 422
    wrong = boss.send("/keys/pin", party="sg", key="twelve", compared="1")
    assert wrong.status_code == 422
    assert boss.send("/keys/pin", **words, compared="1").status_code == 303
    assert "waits until it is shown" in boss.read("/keys")
    with pages.node.db.read() as tx:
        pinned = tx.value("SELECT fingerprint FROM key_pin WHERE party = 'sg'")
    away = {"party": "sg", "key": pinned}
    assert boss.send("/keys/unpin", **away).status_code == 422
    assert boss.send("/keys/unpin", **away, reason="moved").status_code == 303
    own = boss.send("/keys/unpin", party="th", key="x", reason="no")
    assert own.status_code == 422


def test_what_is_erased_from_the_logs_is_counted_first(pages: Pages) -> None:
    boss = pages.visitor("boss")
    with acting(By("somchai", "cli")):
        note_reading(pages.node, "search", "canary question", count=1)
    for wrong in ({}, {"person": "a", "object": "b", "reason": "x"}, {"person": "a"}):
        assert boss.send("/admin/retention", **wrong).status_code == 422
    fields = {"person": "somchai", "reason": "asked for it"}
    counted = boss.send("/admin/retention", **fields)
    assert "1 row would lose its words." in counted.text
    with pages.node.db.read() as tx:
        assert read_by(tx, "somchai", Period(), 10)
    assert boss.send("/admin/retention", **fields, sure="1").status_code == 303
    with pages.node.db.read() as tx:
        assert read_by(tx, "somchai", Period(), 10) == []


def test_settings_say_where_each_came_from_and_jobs_what_failed(
    pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERANTAU_LOG_LEVEL", "info")
    boss = pages.visitor("boss")
    said = boss.read("/admin/settings")
    assert "node.member th serantau.toml" in said
    assert "store.cache_mb 16 command line" in said
    assert "log.level info environment" in said
    assert "http.port 8440 default" in said
    assert "f.example" in said
    assert "contacts.drill Failed" in boss.read("/admin/jobs")


def test_every_licence_can_be_read(pages: Pages) -> None:
    html = pages.visitor("boss").get("/admin/about").text
    links = re.findall(r'href="(/static/[^"]+LICENSE[^"]*)"', html)
    assert len(links) > 5
    for link in set(links):
        assert pages.client.get(link).status_code == 200


def test_a_key_is_rotated_after_a_tick_and_a_reason(pages: Pages) -> None:
    boss, before = pages.visitor("boss"), pages.node.signer.key.id
    for lacking in ({"sure": "1"}, {"reason": "yearly"}):
        assert boss.send("/keys/rotate", **lacking).status_code == 422
    assert pages.node.signer.key.id == before
    assert boss.send("/keys/rotate", sure="1", reason="yearly").status_code == 303
    after = pages.node.signer.key
    assert after.id != before
    assert after.words in boss.read("/keys")


def test_the_pages_of_admin_fit_a_phone_and_the_code_is_drawn(
    pages: Pages, browser: Browser
) -> None:
    secret = signed_in(pages.node, "boss")
    with (
        serving(pages.node) as address,
        window(browser, address, secret, size=PHONE, dark=True) as page,
    ):
        for path in PLACES:
            page.goto(path)
            assert wide(page) <= 0, path
        box = page.locator("svg.segno").bounding_box()
        assert box is not None
        assert box["width"] > 100
