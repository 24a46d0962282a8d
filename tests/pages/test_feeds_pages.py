"""Feeds and formats at the pages: what comes, what a file would become."""

import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from doors import furnish
from serantau.clock import SetClock
from serantau.config import load_config
from serantau.desk.found import Charter, found
from serantau.desk.lane import Lane, Told
from serantau.desk.lane_ways import Ways
from serantau.node import Node
from serantau.records.acts import decided_by
from serantau.records.audit import Period
from visitors import Pages, pages_of

HOSTILE = "<script>alert(1)</script>"
CSV = "time;address;what\n" + "".join(
    f"2026-10-31 0{n}:00:00;192.0.2.{n};{HOSTILE}\n" for n in range(1, 8)
)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    home: Path = tmp_path_factory.mktemp("feeds") / "th"
    clock = SetClock("2026-11-01T00:00:00Z")
    found(home, Charter("th", "ThaiCERT"), clock)
    (home / "drop").mkdir()
    feeds = {
        "honeypot": {"folder": str(home / "drop"), "fresh_hours": 1.0},
        "away": {
            "url": "http://me:canary-1@127.0.0.1:1/x.csv?key=canary-2",
            "proxy": "http://p:canary-3@127.0.0.1:1",
        },
    }
    with Node(load_config(home, None, {"feeds": feeds}), clock) as node:
        furnish(node)
        Lane(node).add(BytesIO(CSV.encode()), Told("honeypot", name=HOSTILE))
        with node.db.write() as tx:
            for role in ("analyst", "policy", "auditor", "operator"):
                node.registry.add_user(tx, f"the-{role}", "th", role)
        with pages_of(node) as pages:
            yield pages


def test_feeds_tell_what_came_and_never_a_key_of_theirs(pages: Pages) -> None:
    one = pages.visitor("the-analyst")
    assert "honeypot folder" in one.read("/feeds")
    for path in ("/feeds", "/feeds/honeypot", "/feeds/away", "/feeds/_formats"):
        html = one.get(path).text
        assert "canary" not in html
        assert HOSTILE not in html
    boss = pages.visitor("boss")
    assert "canary" not in boss.get("/feeds/_write?name=away").text
    assert one.get("/feeds/nothing").status_code == 404


def test_only_own_people_who_may_see_them_get_to_feeds(pages: Pages) -> None:
    for name in ("the-policy", "the-auditor", "the-operator", "wei"):
        for path in ("/feeds", "/feeds/honeypot", "/feeds/_formats", "/feeds/_write"):
            assert pages.visitor(name).get(path).status_code == 403
    analyst = pages.visitor("the-analyst")
    for path in ("honeypot/pause", "honeypot/resume", "_write", "_formats"):
        assert analyst.send(f"/feeds/{path}", reason="x").status_code == 403


def test_a_paused_feed_is_looked_at_by_hand_only(pages: Pages) -> None:
    boss, ways = pages.visitor("boss"), Ways(Lane(pages.node))
    assert boss.send("/feeds/honeypot/pause").status_code == 422
    assert boss.send("/feeds/honeypot/pause", reason="noise").status_code == 303
    assert "Paused" in boss.read("/feeds")
    assert ways.look("honeypot") is None
    looked = pages.visitor("the-analyst").send("/feeds/honeypot/look")
    assert looked.headers["location"] == "/feeds/honeypot?said=feed-came"
    failed = pages.visitor("the-analyst").send("/feeds/away/look")
    assert failed.headers["location"] == "/feeds/away?said=feed-failed"
    assert boss.send("/feeds/honeypot/resume").status_code == 303
    pages.node.clock.advance(seconds=7200)  # type: ignore[attr-defined]
    assert ways.look("honeypot") is not None
    with pages.node.db.read() as tx:
        told = decided_by(tx, "boss", Period(), 100)
    assert [(one.what, one.why) for one in told if one.about == "honeypot"] == [
        ("paused a feed", "noise"),
        ("resumed a feed", ""),
    ]


def test_settings_of_a_feed_are_checked_and_given_as_lines(pages: Pages) -> None:
    boss = pages.visitor("boss")
    fields = {"name": "abuse", "way": "url", "address": "https://a.example/x.csv"}
    told = boss.send("/feeds/_write", **fields, minutes="30", tlp="TLP:GREEN")
    assert told.status_code == 200
    assert "[feeds.abuse]" in told.text
    assert "every_seconds = 1800.0" in told.text
    for wrong in (
        {"name": "../x"},
        {"way": "mailbox", "address": "imaps://me@mail.example/in"},
        {"key_header": "Auth-Key"},
        {"minutes": "0"},
        {"tlp": "TLP:PINK"},
    ):
        answer = boss.send("/feeds/_write", **{**fields, **wrong})
        assert answer.status_code == 422
        assert "[feeds." not in answer.text


def test_a_format_is_proposed_tried_and_kept(pages: Pages) -> None:
    boss = pages.visitor("boss")
    shown = boss.send("/feeds/_formats", text=CSV)
    assert shown.status_code == 200
    assert HOSTILE not in shown.text
    assert "192[.]0[.]2[.]1" in shown.text
    raw = re.search(r'name="raw" value="([^"]+)"', shown.text)
    toml = re.search(r'name="toml"[^>]*>\n?(.*?)</textarea>', shown.text, re.S)
    assert raw is not None
    assert toml is not None
    text = toml[1].replace("&#34;", '"').replace("&lt;", "<").replace("&gt;", ">")
    sent = {"raw": raw[1], "toml": text}
    assert boss.send("/feeds/_formats", **sent).status_code == 200
    wrong = boss.send("/feeds/_formats", raw=raw[1], toml="cut = 'no such'")
    assert wrong.status_code == 422
    assert boss.send("/feeds/_formats", **sent, keep="1").status_code == 422
    kept = boss.send("/feeds/_formats", **sent, keep="1", save="ours")
    assert kept.headers["location"] == "/feeds/_formats?said=format-kept"
    assert (pages.node.home / "formats" / "ours.toml").is_file()
    again = boss.send("/feeds/_formats", **sent, keep="1", save="ours")
    assert again.status_code == 422
    assert boss.send("/feeds/_formats", text=" ").status_code == 422
    for rubbish in ("{", "[[]]"):
        sent = boss.send("/feeds/_formats", text=rubbish)
        assert sent.status_code in {200, 422}
