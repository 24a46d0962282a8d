"""Making indicators of pasted text, changing own objects, the matrix and quarantine."""

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import orjson
import pytest
from playwright.sync_api import Browser

from chromium import PHONE, wide, window
from doors import indicator, serving
from serantau.clock import SetClock
from serantau.config import load_config
from serantau.desk import compose
from serantau.desk.compose import Marks
from serantau.desk.found import Charter, found
from serantau.desk.intake import Intake
from serantau.node import Node
from serantau.records.acts import decided_by
from serantau.records.audit import Period
from serantau.records.sessions import Person
from serantau.rules.indicator import values_of
from serantau.rules.level import Pap, Tlp
from serantau.wire.bundle import Piece
from visitors import Pages, Visitor, pages_of, signed_in, text_of

CLOCK = SetClock("2026-03-01T00:00:00Z")
TEXT = """
Seen at hxxp://bad[.]example/x and 198.51.100[.]7, mail to evil(at)bad[.]example;
popular.example; d41d8cd98f00b204e9800998ecf8427e <script>alert(1)</script>
"""
ATTACK = {
    **indicator(800, name="Phishing"),
    "type": "attack-pattern",
    "id": "attack-pattern--00000000-0000-4000-8000-000000000800",
    "external_references": [{"source_name": "mitre-attack", "external_id": "T1566"}],
    "kill_chain_phases": [
        {"kill_chain_name": "mitre-attack", "phase_name": "initial-access"}
    ],
}


def take(node: Node, *objects: dict[str, Any]) -> int:
    pieces = [
        Piece(ordinal=place, offset=0, line=place, raw=orjson.dumps(one))
        for place, one in enumerate(objects, 1)
    ]
    return Intake(node).take(pieces, origin="test", handle_as="GREEN").refused


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    home: Path = tmp_path_factory.mktemp("edit") / "th"
    found(home, Charter("th", "ThaiCERT"), CLOCK)
    (home / "warninglists").mkdir()
    (home / "warninglists" / "top.json").write_text(
        '{"type": "hostname", "list": ["popular.example"]}'
    )
    with Node(load_config(home), CLOCK) as node, pages_of(node) as pages:
        signed_in(node, "ann", "analyst")
        yield pages


@pytest.fixture
def ann(pages: Pages) -> Visitor:
    return pages.visitor("ann")


def seed(html: str) -> str:
    told = re.search(r'name="seed" value="([^"]+)"', html)
    assert told is not None
    return unescape(told[1])


def make(ann: Visitor, value: str = "url:http://bad.example/x", **more: Any) -> str:
    """Make one indicator, and give its id."""
    first = ann.send("/objects/new", text=TEXT)
    sent = ann.send(
        "/objects/new",
        **{"text": TEXT, "seed": seed(first.text), "value": value, "step": "store",
           "tlp": "TLP:GREEN", "pap": "none", **more},
    )  # fmt: skip
    assert sent.status_code == 303, text_of(sent.text)
    where = str(sent.headers["location"])
    assert where.endswith("?said=objects-made")
    return where.removeprefix("/objects/").partition("?")[0]


def body(node: Node, object_id: str) -> dict[str, Any]:
    with node.db.read() as tx:
        told: dict[str, Any] = orjson.loads(
            node.search.versions(tx, object_id)[-1].body
        )
    return told


def test_pasted_text_gives_values_and_leaves_out_what_is_on_a_warninglist(
    ann: Visitor,
) -> None:
    html = ann.send("/objects/new", text=TEXT).text
    ticked = dict(re.findall(r'name="value" value="([^"]+)"( checked)?', html))
    assert ticked == {
        "url:http://bad.example/x": " checked",
        "ipv4-addr:198.51.100.7": " checked",
        "email-addr:evil@bad.example": " checked",
        "domain-name:popular.example": "",
        "md5:d41d8cd98f00b204e9800998ecf8427e": " checked",
    }
    assert "hxxp://bad[.]example/x" in text_of(html)
    assert "warninglist top" in text_of(html)
    assert "<script>alert" not in html


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("ipv4-addr", "198.51.100.7"),
        ("domain-name", "bad.example"),
        ("url", "http://bad.example/it's\\odd"),
        ("sha-256", "ab" * 32),
        ("email-addr", "evil@bad.example"),
    ],
)
def test_a_pattern_is_read_back_as_the_value_it_was_made_of(
    kind: str, value: str
) -> None:
    assert values_of(compose.pattern_of(kind, value)) == ((kind, value),)


def test_who_would_get_it_is_shown_before_anything_is_stored(
    pages: Pages, ann: Visitor
) -> None:
    before = pages.node.search
    sent = {"text": TEXT, "value": "ipv4-addr:198.51.100.7", "pap": "PAP:AMBER"}
    shown = ann.send("/objects/new", step="look", tlp="TLP:AMBER", **sent)
    assert "Nobody would get them." in text_of(shown.text)
    shown = ann.send(
        "/objects/new", step="look", tlp="TLP:AMBER", parties="sg, jp", **sent
    )
    assert "TLP:AMBER, only jp and sg; PAP:AMBER" in text_of(shown.text)
    assert 'value="ipv4-addr:198.51.100.7" checked' in shown.text
    with pages.node.db.read() as tx:
        assert before.find(tx, "198.51.100.7") == []

    seen = compose.outcome(pages.node, Marks(Tlp.AMBER, Pap.AMBER, ("sg", "jp")))
    assert seen.goes == ["jp", "sg"]


def test_what_is_made_is_signed_marked_shared_as_shown_and_made_once(
    pages: Pages, ann: Visitor
) -> None:
    node = pages.node
    made = make(
        ann, tlp="TLP:AMBER", parties="sg", pap="PAP:GREEN", name="แฮก <b>",
        labels="one, two", until="2026-04-01T12:00", confidence="70",
    )  # fmt: skip
    told = body(node, made)
    assert told["created_by_ref"] == node.config.node.identity
    assert told["name"] == "แฮก <b>"
    assert told["labels"] == ["one", "two"]
    assert told["valid_until"] == "2026-04-01T12:00:00.000Z"
    text = ann.read(f"/objects/{made}")
    assert "valid" in text
    assert "TLP:AMBER, only sg; PAP:GREEN" in text
    with node.db.read() as tx:
        number, _ = node.registry.party(tx, "sg")
        other, _ = node.registry.party(tx, "vn")
        (held,) = node.search.versions(tx, made)
        assert node.audiences.verdicts(tx, number)[held.marking_set].released
        assert not node.audiences.verdicts(tx, other)[held.marking_set].released
        acts = decided_by(tx, "ann", Period(None, None), 99)
    assert [act.about for act in acts if act.what == "made an object"] == [made]

    again = {"text": TEXT, "value": "md5:d41d8cd98f00b204e9800998ecf8427e"}
    same = "9d3c8a0e-0000-4000-8000-000000000001"
    for _ in range(2):
        sent = ann.send(
            "/objects/new", seed=same, step="store", tlp="TLP:CLEAR", **again
        )
        assert sent.status_code == 303
    with node.db.read() as tx:
        found_ = node.search.find(tx, "d41d8cd98f00b204e9800998ecf8427e")
    assert len(found_) == 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"tlp": "PINK"}, "Choose one of these."),
        ({"until": "tomorrow"}, "Expected a date and a time: 2026-03-01 08:00."),
        ({"until": "2020-01-01T00:00"}, "The time until which it holds has passed."),
        ({"parties": "../sg"}, "Expected names of parties such as th or sg."),
        ({"parties": "nobody"}, "No party is named 'nobody'."),
        ({"value": "domain-name:never.example"}, "Tick at least one value."),
        ({"confidence": "many"}, "Expected a whole number from 0 to 100."),
    ],
)
def test_rubbish_stores_nothing_and_keeps_what_was_typed(
    ann: Visitor, wrong: dict[str, str], said: str
) -> None:
    sent = {
        "text": TEXT, "value": "ipv4-addr:198.51.100.7", "step": "store",
        "tlp": "TLP:GREEN", "name": "typed with care", **wrong,
    }  # fmt: skip
    answer = ann.send("/objects/new", **sent)
    assert answer.status_code == 422
    assert said in text_of(answer.text)
    assert "typed with care" in answer.text
    assert "198[.]51[.]100[.]7" in answer.text


def test_a_text_without_values_is_kept_and_says_so(ann: Visitor) -> None:
    for text in ("", "nothing here", "\x00", "ก" * 120_000):
        answer = ann.send("/objects/new", text=text)
        assert answer.status_code == 422
    assert "nothing here" in ann.send("/objects/new", text="nothing here").text


def test_a_change_shows_what_it_does_and_makes_a_version(
    pages: Pages, ann: Visitor
) -> None:
    made = make(ann, name="first")
    path = f"/objects/{made}/edit"
    html = ann.get(path).text
    version = re.search(r'name="version" value="([^"]+)"', html)
    assert version is not None
    sent = {"version": version[1], "name": "second", "tlp": "TLP:RED", "pap": "none"}
    CLOCK.advance(seconds=5)
    shown = text_of(ann.send(path, step="look", **sent).text)
    assert "Fewer may have it, or act on it, than before." in shown
    assert "Nobody got it yet." in shown
    assert "These would not get it any more:" in shown
    assert body(pages.node, made)["name"] == "first"

    assert ann.send(path, step="store", **sent).status_code == 303
    told = body(pages.node, made)
    assert (told["name"], told["modified"]) == ("second", "2026-03-01T00:00:05.000Z")
    assert "valid" in ann.read(f"/objects/{made}")
    late = ann.send(path, step="store", **{**sent, "name": "third"})
    assert late.status_code == 422
    assert "Somebody changed it meanwhile." in text_of(late.text)
    assert 'value="third"' in late.text

    gone = {**sent, "version": told["modified"], "revoked": "1"}
    assert ann.send(path, step="store", **gone).status_code == 303
    assert body(pages.node, made)["revoked"] is True
    assert ann.get(path).status_code == 403
    assert "Its maker revoked it." in ann.read(f"/objects/{made}")


def test_saying_the_same_makes_no_version(pages: Pages, ann: Visitor) -> None:
    made = make(ann, name="same", labels="a", parties="sg", pap="PAP:RED")
    held = compose.own_object(pages.node, made)
    assert held.marks == Marks(Tlp.GREEN, Pap.RED, ("sg",))
    answer = ann.send(
        f"/objects/{made}/edit", version=held.version, name="same", labels="a",
        tlp="TLP:GREEN", pap="PAP:RED", parties="sg", step="store",
    )  # fmt: skip
    assert answer.headers["location"].endswith("said=object-same")


def test_a_time_is_typed_and_shown_in_the_reader_s_own_zone(pages: Pages) -> None:
    kai = pages.visitor("kai", "analyst", person=Person(zone="Asia/Bangkok"))
    made = make(kai, until="2026-04-01T12:00")
    assert body(pages.node, made)["valid_until"] == "2026-04-01T05:00:00.000Z"
    html = kai.get(f"/objects/{made}/edit").text
    assert 'value="2026-04-01T12:00:00"' in html
    assert "Time zone: Asia/Bangkok." in html


def test_only_own_objects_are_changed_and_only_by_who_works(
    pages: Pages, ann: Visitor
) -> None:
    strange = indicator(700)
    take(pages.node, strange)
    path = f"/objects/{strange['id']}/edit"
    assert ann.get(path).status_code == 403
    assert ann.send(path, version=strange["modified"]).status_code == 403
    own = pages.node.config.node.identity
    assert ann.get(f"/objects/{own}/edit").status_code == 403
    reader = pages.visitor("eve", "reader")
    writer = pages.visitor("wei", "writer", party="sg")
    for visitor in (reader, writer):
        for where in ("/objects/new", path):
            assert visitor.get(where).status_code == 403
            assert visitor.send(where, text=TEXT).status_code == 403
        for where in ("/quarantine/drop", "/quarantine/retry"):
            assert visitor.send(where, number="1", sure="1").status_code == 403
    for where in ("/quarantine", "/quarantine/1", "/objects/matrix"):
        assert writer.get(where).status_code == 403
        assert pages.visitor(f"p{len(where)}", "policy").get(where).status_code == 403


def test_the_matrix_counts_what_points_at_a_technique(
    pages: Pages, ann: Visitor
) -> None:
    ties = [
        {
            **indicator(number),
            "type": "relationship",
            "id": f"relationship--00000000-0000-4000-8000-000000000{number}",
            "relationship_type": verb,
            "source_ref": indicator(700)["id"],
            "target_ref": ATTACK["id"],
        }
        for number, verb in ((801, "uses"), (802, "indicates"), (803, "mitigates"))
    ]
    sighting = {
        **indicator(804),
        "type": "sighting",
        "id": "sighting--00000000-0000-4000-8000-000000000804",
        "sighting_of_ref": ATTACK["id"],
    }
    assert "No techniques are held here yet." in ann.read("/objects/matrix")
    assert take(pages.node, ATTACK, *ties, sighting) == 0
    CLOCK.advance(seconds=61)
    text = ann.read("/objects/matrix")
    assert "Initial access T1566 Phishing 3 indicated 1, sighted 1, used 1" in text
    assert ann.get("/objects/matrix?chain=%3Cb%3E&all=1").status_code == 200


def test_quarantine_is_shown_as_text_tried_again_and_dropped(
    pages: Pages, ann: Visitor
) -> None:
    node = pages.node
    bad = {**indicator(900), "pattern": "[<script>alert(1)</script>\u202e"}
    assert take(node, bad, {**indicator(901), "pattern": "[oops"}) == 2
    html = ann.get("/quarantine").text
    rows = re.findall(r'name="number" value="(\d+)"', html)
    assert len(rows) == 2
    shown = ann.get(f"/quarantine/{rows[0]}").text
    assert "<script>alert" not in shown
    assert "\u202e" not in shown
    assert "<U+202E>" in text_of(shown)
    rule = re.search(r'href="/quarantine\?rule=([^"]+)"', html)
    assert rule is not None
    assert len(re.findall("Tick ", ann.get(f"/quarantine?rule={rule[1]}").text)) > 0
    assert "Nothing is in quarantine." in ann.read("/quarantine?rule=no-such-rule")

    assert ann.send("/quarantine/retry").status_code == 422
    assert ann.send("/quarantine/drop", number=rows[0]).status_code == 422
    again = ann.send("/quarantine/retry", number=rows[0])
    assert again.headers["location"] == "/quarantine?said=retried"
    left = re.findall(r'name="number" value="(\d+)"', ann.get("/quarantine").text)
    gone = ann.send("/quarantine/drop", number=left, sure="1")
    assert gone.headers["location"] == "/quarantine?said=dropped"
    assert "Nothing is in quarantine." in ann.read("/quarantine")
    for number in ("0", "99999", "9" * 30):
        assert ann.get(f"/quarantine/{number}").status_code == 404


def test_an_indicator_is_made_on_a_phone_without_script(
    pages: Pages, browser: Browser
) -> None:
    secret = signed_in(pages.node, "ann")
    with (
        serving(pages.node) as address,
        window(browser, address, secret, size=PHONE, script=False) as page,
    ):
        page.goto("/objects")
        page.get_by_role("link", name="New indicators").click()
        page.get_by_label("Text").fill("phone[.]example")
        page.get_by_role("button", name="Find values").click()
        page.get_by_role("radio", name="TLP:GREEN").check()
        page.get_by_role("button", name="Show who would get them").click()
        page.get_by_role("button", name="Store and share as shown").click()
        assert page.get_by_role("heading", name="phone[.]example").is_visible()
        assert page.get_by_text("The indicators are stored").is_visible()
    with (
        serving(pages.node) as address,
        window(browser, address, secret, size=PHONE) as page,
    ):
        for path in ("/objects/new", "/objects/matrix", "/quarantine"):
            page.goto(path)
            assert wide(page) <= 0
