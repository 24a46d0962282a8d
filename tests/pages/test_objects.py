"""Objects on pages: found, told in words, and shown to the node's own people only."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from playwright.sync_api import Browser

from chromium import DESKTOP, PHONE, wide, window
from doors import GREEN, RED, indicator, serving
from serantau.apps.web.pages.object_fields import seen
from serantau.clock import SetClock
from serantau.config import load_config
from serantau.desk.found import Charter, found
from serantau.desk.intake import Intake
from serantau.node import Node
from serantau.records.acts import read_by
from serantau.records.audit import Period
from serantau.wire.bundle import Piece
from visitors import Pages, pages_of, signed_in, text_of

CLOCK = SetClock()
EVIL = indicator(
    1,
    name="<script>alert(1)</script> \u202egpj.exe",
    description="<img src=x onerror=alert(1)>" + "x" * 10_000,
    labels=[f"<i>{number}</i>" for number in range(100)],
    external_references=[
        {"source_name": "bad", "url": "javascript:alert(1)"},
        {"source_name": "worse", "url": "https://evil.example/login"},
    ],
    x_strange={"<b>deep</b>": ["kept", 7]},
)
SECRET = indicator(2, name="named persons only", object_marking_refs=[RED])
THAI = indicator(3, name="กลุ่มแฮกเกอร์ภาคใต้")
GROUP = {
    **indicator(4, name="Salt <b>Group</b>"),
    "type": "intrusion-set",
    "id": "intrusion-set--00000000-0000-4000-8000-000000000004",
}
TIE = {
    **indicator(5),
    "type": "relationship",
    "id": "relationship--00000000-0000-4000-8000-000000000005",
    "relationship_type": "indicates",
    "source_ref": THAI["id"],
    "target_ref": GROUP["id"],
}
SIGHTINGS = [
    {
        "type": "sighting",
        "spec_version": "2.1",
        "id": f"sighting--00000000-0000-4000-8000-00000000000{day}",
        "created": f"2026-01-0{day}T00:00:00.000Z",
        "modified": f"2026-01-0{day}T00:00:00.000Z",
        "last_seen": f"2026-01-0{day}T09:00:00Z",
        "count": day,
        "sighting_of_ref": THAI["id"],
        "object_marking_refs": [GREEN],
    }
    for day in (6, 7)
]
PATHS = [
    "/objects",
    "/objects?q=name",
    f"/objects/{THAI['id']}",
    f"/objects/{THAI['id']}/graph",
    f"/objects/download?id={THAI['id']}",
]


def take(node: Node, *objects: dict[str, Any]) -> None:
    pieces = [
        Piece(ordinal=place, offset=0, line=place, raw=orjson.dumps(one))
        for place, one in enumerate(objects, 1)
    ]
    report = Intake(node).take(pieces, origin="test", handle_as="GREEN")
    assert report.refused == 0, report.faults


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    home: Path = tmp_path_factory.mktemp("objects") / "th"
    found(home, Charter("th", "ThaiCERT"), CLOCK)
    lists = home / "warninglists"
    lists.mkdir()
    (lists / "popular.json").write_text('{"type": "string", "list": ["host3.example"]}')
    with Node(load_config(home), CLOCK) as node:
        take(node, EVIL, SECRET, THAI, GROUP, TIE, *SIGHTINGS)
        with pages_of(node) as pages:
            signed_in(node, "ann", "analyst")
            yield pages


def test_nobody_but_those_who_see_objects_gets_any(pages: Pages) -> None:
    outside = [("policy", ""), ("auditor", ""), ("operator", ""), ("writer", "sg")]
    for role, party in outside:
        visitor = pages.visitor(f"{role}-{party or 'own'}", role, party=party)
        for path in PATHS:
            answer = visitor.get(path)
            assert answer.status_code == 403, (role, party)
            assert "แฮก" not in answer.text
            assert "host3" not in answer.text
    for path in PATHS:
        assert pages.stranger().get(path).status_code == 303


def test_a_search_in_any_script_shows_rows_alone_to_htmx(pages: Pages) -> None:
    ann = pages.visitor("ann")
    assert "กลุ่มแฮกเกอร์ภาคใต้" in ann.read("/objects?q=แฮกเกอร์")
    asked = {"HX-Request": "true", "HX-Target": "found"}
    piece = ann.get("/objects?q=hXXp", **asked).text
    assert "<html" not in piece
    rows = ann.get("/objects?q=host3[.]example", **asked).text
    assert THAI["id"] in rows
    assert EVIL["id"] not in rows
    assert "Nothing here holds that" in ann.read("/objects?q=no+such+thing")


def test_rubbish_in_a_question_is_said_and_breaks_nothing(pages: Pages) -> None:
    ann = pages.visitor("ann")
    for query in ("tlp=PINK", "since=yesterday", "before=x", "type=%00", "q=%00%ff"):
        assert ann.get(f"/objects?{query}").status_code == 200
    assert "This is no TLP level." in ann.read("/objects?tlp=PINK")
    assert "This is no day." in ann.read("/objects?since=2026-02-31")
    for path in ("indicator--x", "..%2f", "%3Cscript%3E", str(indicator(999)["id"])):
        assert ann.get(f"/objects/{path}").status_code == 404


def test_a_hostile_object_is_text_and_nothing_else(pages: Pages) -> None:
    ann = pages.visitor("ann")
    for path in ("/objects?q=alert", f"/objects/{EVIL['id']}"):
        html = ann.get(path).text
        assert "<script>alert" not in html
        assert "<img" not in html
        assert "\u202e" not in text_of(html)
        assert "<U+202E>gpj[.]exe" in text_of(html)
        assert not re.search(r"(href|src|action)=\"(javascript|https?):", html)
    html = ann.get(f"/objects/{EVIL['id']}").text
    assert "x" * 2_000 not in html
    text = text_of(html)
    assert "hxxps://evil[.]example/login" in text
    assert "https://evil.example" not in text
    assert "x_strange" in text
    assert '"kept",7' in text
    assert "60 more are not shown." in text
    assert html.count("[domain-name:value = &#39;host1.example&#39;]") == 1  # to copy


def test_an_object_of_four_megabytes_is_cut(pages: Pages) -> None:
    whole = indicator(50, name="large", description="ก" * 1_300_000)
    take(pages.node, whole)
    html = pages.visitor("ann").get(f"/objects/{whole['id']}").text
    assert len(html) < 60_000


def test_a_page_tells_who_may_have_it_who_saw_it_and_what_is_near(
    pages: Pages,
) -> None:
    text = pages.visitor("ann").read(f"/objects/{THAI['id']}")
    assert "green-to-community" in text
    assert "tlp-forbids-kind" in text
    assert "It was released to nobody." in text
    assert "13 times in 2 sightings." in text
    assert "2026-01-07" in text
    assert "popular" in text
    assert "indicates Salt <b>Group</b> Intrusion set" in text


def test_versions_are_compared_field_by_field(pages: Pages) -> None:
    first = indicator(60, name="before", labels=["one"])
    second = {**first, "modified": "2026-02-01T00:00:00.000Z", "name": "after"}
    del second["labels"]
    take(pages.node, first, second)
    ann = pages.visitor("ann")
    html = ann.get(f"/objects/{first['id']}").text
    assert "<del>before</del>" in html
    assert "<ins>after</ins>" in html
    assert "removed" in text_of(html)
    same = f"was={second['modified']}&now={second['modified']}"
    assert "They say the same." in ann.read(f"/objects/{first['id']}?{same}")


def test_red_is_read_on_the_page_and_goes_into_no_file(pages: Pages) -> None:
    ann = pages.visitor("ann")
    assert "named persons only" in ann.read(f"/objects/{SECRET['id']}")
    for form in ("stix", "misp"):
        path = f"/objects/download?form={form}&id={THAI['id']}&id={SECRET['id']}"
        answer = ann.get(path)
        assert answer.headers["content-disposition"].startswith("attachment;")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert b"host3.example" in answer.content
        assert b"named persons only" not in answer.content
        alone = ann.get(f"/objects/download?form={form}&id={SECRET['id']}")
        assert alone.status_code == 404
    assert ann.get("/objects/download?form=exe&id=x").status_code == 400
    assert ann.get("/objects/download").status_code == 400


def test_a_drawing_goes_from_object_to_object(pages: Pages) -> None:
    ann = pages.visitor("ann")
    drawn = ann.get(f"/objects/{GROUP['id']}/graph").json()
    assert {node["id"] for node in drawn["nodes"]} == {GROUP["id"], THAI["id"]}
    (line,) = drawn["edges"]
    assert line == {
        "source": THAI["id"],
        "target": GROUP["id"],
        "label": "indicates",
    }
    more = ann.get(f"/objects/{THAI['id']}/graph").json()
    assert {node["type"] for node in more["nodes"]} >= {"Sighting", "Intrusion set"}


def test_what_is_read_is_noted(pages: Pages) -> None:
    pages.visitor("kai", "analyst").read(f"/objects/{THAI['id']}")
    with pages.node.db.read() as tx:
        (told,) = read_by(tx, "kai", Period(None, None), 9)
    assert (told.way, told.what, told.objects) == ("page", "show", (THAI["id"],))


def test_invisible_letters_are_named_and_those_of_scripts_stay() -> None:
    assert seen("a\u202eb\u0000") == "a<U+202E>b<U+0000>"
    assert seen("ភាសា\u200bខ្មែរ") == "ភាសា\u200bខ្មែរ"
    assert seen("abc", 2) == "ab…"


def test_it_works_in_a_browser_while_one_types_and_draws(
    pages: Pages, browser: Browser
) -> None:
    secret = signed_in(pages.node, "ann")
    with serving(pages.node) as address:
        with window(browser, address, secret, size=DESKTOP) as page:
            page.goto("/objects")
            page.get_by_role("searchbox").press_sequentially("แฮก")
            page.wait_for_url(re.compile("q="))
            page.locator("#found tbody tr:only-child").wait_for()
            page.get_by_role("link", name="กลุ่มแฮกเกอร์ภาคใต้").click()
            page.get_by_role("button", name="Draw it").click()
            page.wait_for_selector("#graph[data-drawn='4']")
        with window(browser, address, secret, size=PHONE, script=False) as page:
            page.goto("/objects")
            page.get_by_role("searchbox").fill("alert")
            page.get_by_role("searchbox").press("Enter")
            page.get_by_role("link", name="<script>").click()
            assert page.get_by_role("heading", level=1).is_visible()
            assert page.locator("table").count() > 0
        with window(browser, address, secret, size=PHONE) as page:
            for path in ("/objects", f"/objects/{EVIL['id']}"):
                page.goto(path)
                assert wide(page) <= 0
