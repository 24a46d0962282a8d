"""The board, the page of a case, and who sees what of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from playwright.sync_api import Browser

from case_desk import HOSTILE, SECRETS, Desk, case_desk
from chromium import PHONE, wide, window
from doors import serving
from serantau.desk.case_export import GUEST
from serantau.desk.cases import Casework
from serantau.records.case_tables import board as board_table
from serantau.records.cases import Cases
from serantau.rules.text import fold
from visitors import signed_in, text_of

FORMS = ("stix", "iodef", "misp", "markdown", "pdf")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with case_desk(tmp_path_factory.mktemp("cases")) as desk:
        yield desk


def test_the_list_has_the_worst_clock_first_and_is_searched_in_any_script(
    desk: Desk,
) -> None:
    node = desk.pages.node
    thai = Casework(node).open("เว็บปลอมของธนาคาร", ["sg"], severity_level="emergency")
    ana = desk.visitor("analyst")
    listed = ana.get("/cases").text
    places = [listed.index(f"/cases/{one}") for one in (thai.id, desk.case, desk.other)]
    assert places == sorted(places)
    for query, there in (
        ("q=ธนาคาร", {thai.id}),
        ("severity=high", {desk.case}),
        ("severity=-", {desk.other}),
        ("class=fraud:phishing", {desk.case}),
        ("party=jp", {desk.case}),
        ("mine=deferred", set[str]()),
        (f"q={thai.id.partition('--')[2][:8]}", {thai.id}),
        ("ours=1&q=%25", set[str]()),
        ("closed=1", set[str]()),
    ):
        for view in ("", "&view=board"):
            shown = ana.get(f"/cases?{query}{view}").text
            assert (
                set(re.findall(r'href="/cases/(case-entry--[0-9a-f-]{36})"', shown))
                == there
            )
    assert ana.get("/cases?at=%3E9.x&mine=%00&party=" + "x" * 9000).status_code == 200
    Casework(node).close(thai.id)
    assert thai.id in ana.get("/cases?closed=1").text


def test_five_thousand_cases_are_listed_a_page_at_a_time(desk: Desk) -> None:
    node = desk.pages.node
    with node.db.read() as tx:
        like = Cases().find(tx, desk.other)
    names = list(like.__dataclass_fields__)
    rows = [
        (
            *(getattr(like, name) for name in names[2:]),
            f"case-entry--f{n:07}-x",
            f"n{n}",
        )
        for n in range(5000)
    ]
    with node.db.write() as tx:
        tx.insert_many(
            board_table,
            (*names[2:], "id", "name", "words"),
            [(*row, fold(row[-1])) for row in rows],
        )
    ana = desk.visitor("analyst")
    try:
        seen, path = [], "/cases?q=n"
        for _ in range(3):
            page = ana.get(path).text
            seen += re.findall(r'data-open href="/cases/([^"]+)"', page)
            older = re.search(r'rel="next" href="([^"]+)"', page)
            assert older is not None
            path = older[1].replace("&amp;", "&")
        assert len(set(seen)) == len(seen) == 150
    finally:
        with node.db.write() as tx:
            tx.run("DELETE FROM case_board WHERE id LIKE 'case-entry--f%-x'")


def test_a_case_tells_its_log_its_parties_and_what_is_due_in_words(desk: Desk) -> None:
    ana = desk.visitor("analyst")
    text = ana.read(f"/cases/{desk.case}")
    for said in (
        "no answer yet", "received", "รับทราบ", "Opened the case", "Asked for help",
        "say that it has it", "h 59 min left", "Image of the host", "TLP:AMBER",
        "Stays at home", *SECRETS[:3], "everybodys seen", "nobodys seen",
    ):  # fmt: skip
        assert said in text, said
    desk.region.clock.advance(seconds=7200)
    late = desk.visitor("analyst").read(f"/cases/{desk.case}")
    assert "overdue by" in late
    # A short name leads to the whole one; what is none is not there.
    ana, short = desk.visitor("analyst"), desk.case.partition("--")[2][:8]
    assert ana.get(f"/cases/{short}").headers["location"] == f"/cases/{desk.case}"
    for wrong in ("x", "zzzz", "..%2f..", "case-entry--00000000", "%00"):
        assert desk.visitor("analyst").get(f"/cases/{wrong}").status_code == 404


def test_what_others_wrote_is_text_on_every_page(desk: Desk) -> None:
    boss = desk.visitor("admin")
    pages = [desk.guest().get("/case").text]
    rest = ("", "/who", "/live", "/file", "/do/move", "/do/correct", "/verify")
    paths = [f"/cases/{desk.case}{each}" for each in rest]
    pages += [boss.get(each).text for each in (*paths, "/cases", "/cases?view=board")]
    for page in pages:
        assert "<script>alert" not in page
        assert "\u202e" not in re.sub(r'(value=)?"[^"]*"', "", page)
        assert "http://evil.example" not in page
        assert not re.search(r"<[^>]+\s(style|on[a-z]+)=", page)
    assert "&lt;script&gt;alert(1)" in pages[0]


@pytest.mark.parametrize("role", ["policy", "auditor"])
def test_who_only_reads_cases_sees_no_private_room_and_no_evidence(
    desk: Desk, role: str
) -> None:
    eve, case = desk.visitor(role), desk.case
    for path in (
        "/cases",
        "/cases?view=board",
        f"/cases/{case}",
        f"/cases/{case}/live",
    ):
        answer = eve.get(path)
        assert answer.status_code == 200
        for secret in (*SECRETS, "everybodys", "nobodys", "Write into the case"):
            assert secret not in answer.text
    for path in ("who", "verify", "private/1", "file", "do/ack"):
        assert eve.get(f"/cases/{case}/{path}").status_code == 403
    for path in ("do/ack", "private/note", "file", "mail"):
        assert eve.send(f"/cases/{case}/{path}", note="x").status_code == 403
    assert eve.get("/case").status_code == 403


def test_a_guest_never_sees_more_than_its_party_was_given(desk: Desk) -> None:
    guest, before = desk.guest(), len(released(desk))
    handed = [guest.get("/case").content, guest.get(f"/case/{desk.case}").content]
    for form in FORMS:
        answer = guest.send(f"/case/{desk.case}/file", form=form)
        assert answer.status_code == 200
        assert answer.headers["content-disposition"].startswith("attachment;")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.content
        handed.append(answer.content)
    page = handed[0].decode()
    assert "everybodys seen" in page
    assert "forjp seen" in page
    assert "รับทราบ" in page
    for one in handed:
        for secret in (*SECRETS, "nobodys seen", "my-secret-nickname", "othercanary"):
            assert secret.encode() not in one
    log = released(desk)
    assert {row.way for row in log} == {GUEST, "case-export"}
    assert len(log) == before + 2 + len(FORMS)


def released(desk: Desk) -> list[Any]:
    node = desk.pages.node
    with node.db.read() as tx:
        party = node.registry.party(tx, "jp")[0]
        rows = node.ledger.log(tx, party=party, since=0, after=0, limit=1000)
    return [row for row in rows if row.way in {GUEST, "case-export"}]


def test_every_other_case_is_as_if_it_did_not_exist_to_a_guest(desk: Desk) -> None:
    guest, before = desk.guest(), len(released(desk))
    fresh = "case-entry--00000000-0000-4000-8000-000000000000"
    told = set()
    for other in (desk.other, fresh, desk.case[:-1], desk.case.partition("--")[2][:8]):
        answer = guest.get(f"/case/{other}")
        told.add((answer.status_code, text_of(answer.text).partition("Answer")[0]))
        assert guest.send(f"/case/{other}/file", form="stix").status_code == 404
    assert {status for status, _ in told} == {404}
    assert len(told) == 1
    for path in ("/cases", "/cases/open", f"/cases/{desk.case}", f"/cases/{fresh}/who"):
        assert guest.get(path).status_code == 403
    # Let into a case that its party is not in, or into none, it sees none.
    assert desk.guest("jp", desk.other).get("/case").status_code == 404
    assert desk.guest("jp", "course-17").get("/case").status_code == 404
    assert len(released(desk)) == before


def test_a_guest_whose_party_is_blocked_meanwhile_sees_nothing_more(desk: Desk) -> None:
    guest, th = desk.guest(), desk.region["th"]
    assert guest.get("/case").status_code == 200
    th.party("jp", blocked=True)
    try:
        assert guest.get("/case").status_code == 404
        assert guest.send(f"/case/{desk.case}/file", form="stix").status_code in {
            403,
            404,
        }
    finally:
        th.party("jp", blocked=False)


def test_a_file_goes_only_after_somebody_saw_what_is_in_it(desk: Desk) -> None:
    lead, path = desk.visitor("lead"), f"/cases/{desk.case}/file"
    assert desk.visitor("analyst").get(path).status_code == 403
    before = len(released(desk))
    looked = lead.send(path, party="jp", form="stix")
    assert "Nothing has left yet" in looked.text
    assert "no-audience" in looked.text
    assert len(released(desk)) == before
    reach = re.search(r'name="reach" value="([^"]+)"', looked.text)
    assert reach is not None
    stale = lead.send(path, party="jp", form="misp", sure="1", reach=reach[1])
    assert "Nothing has left yet" in stale.text
    made = lead.send(path, party="jp", form="stix", sure="1", reach=reach[1])
    assert made.headers["content-disposition"].startswith("attachment;")
    assert desk.evidence[1] in {
        one["id"] for one in orjson.loads(made.content)["objects"]
    }
    assert len(released(desk)) == before + 1
    for wrong in ({"party": "kh"}, {"party": "nobody"}, {"party": "jp", "form": "exe"}):
        assert lead.send(path, **{"form": "stix", **wrong}).status_code == 422


def test_a_private_file_is_given_as_it_is_and_never_shown(desk: Desk) -> None:
    ana = desk.visitor("analyst")
    answer = ana.get(f"/cases/{desk.case}/private/1")
    assert answer.content.decode() == SECRETS[3]
    assert answer.headers["content-disposition"].startswith("attachment;")
    assert "sandbox" in answer.headers["content-security-policy"]
    assert ana.get(f"/cases/{desk.other}/private/1").status_code == 404
    assert ana.get(f"/cases/{desk.case}/private/99").status_code == 404


def test_a_browser_shows_a_case_on_a_desk_and_on_a_phone(
    desk: Desk, browser: Browser
) -> None:
    node = desk.pages.node
    secret = signed_in(node, "screen", "analyst")
    with serving(node) as address:
        for size in ((1280, 900), PHONE):
            with window(browser, address, secret, size=size) as page:
                for path in ("", f"/{desk.case}", f"/{desk.case}/do/assess", "/open"):
                    page.goto(f"/cases{path}")
                    assert page.locator("h1").count() == 1
                    assert wide(page) == 0, path
                page.goto(f"/cases/{desk.case}")
                page.locator("#f-note").fill("half a note")
                Casework(node).assess(desk.case, description="written meanwhile")
                page.get_by_text("written meanwhile").first.wait_for()
                assert page.locator("#f-note").input_value() == "half a note"
                assert HOSTILE[:8] in page.locator("h1").inner_text()
                Casework(node).assess(desk.case, description=f"for the next {size}")
