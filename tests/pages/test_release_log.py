"""What left is listed, and each row is proven in the reader's own browser."""

import contextlib
import io
import json
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from chromium import PHONE, wide, window
from doors import serving
from serantau.clock import SetClock
from serantau.desk.audit import note_reading
from serantau.records.acts import By, acting
from serantau.records.seen import Seen
from sharing_desk import SharingDesk, sharing_desk
from visitors import signed_in

CLOCK = SetClock()
VERIFY = Path(__file__).parents[2] / "docs/verify.py"


def verified(key: str, file: Path) -> str:
    """What the stand-alone verifier says of a proof; nothing when it does not hold."""
    said, before = io.StringIO(), sys.argv
    sys.argv = [str(VERIFY), f"--key={key}", str(file)]
    try:
        with contextlib.redirect_stdout(said):
            runpy.run_path(str(VERIFY), run_name="__main__")
    except SystemExit:
        return ""
    finally:
        sys.argv = before
    return said.getvalue()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharingDesk]:
    with sharing_desk(tmp_path_factory.mktemp("log"), CLOCK) as desk:
        desk.gives("wei")
        CLOCK.advance(seconds=86_400 * 40)
        desk.gives("hana")
        desk.pages.visitor("mali", "analyst")
        desk.pages.visitor("audrey", "auditor")
        yield desk


def test_what_left_is_listed_newest_first_and_found_by_each_filter(
    desk: SharingDesk,
) -> None:
    mali, watched = desk.pages.visitor("mali"), desk.made["watched"]["id"]
    every = mali.read("/share/log")
    assert every.index("hana") < every.index("wei")
    for query, user in (
        ("party=jp", "hana"),
        ("party=sg", "wei"),
        ("person=hana", "hana"),
        ("party=sg&person=wei", "wei"),
        (f"object={watched}", "hana"),
        ("since=1d", "hana"),
        ("until=1d", "wei"),
        ("party=jp&since=1d", "hana"),
    ):
        said = mali.read(f"/share/log?{query}").partition("Releases")[2]
        assert user in said, query
        assert {"hana", "wei"} - {user} - set(said.split()), query
    nothing = mali.read(f"/share/log?party=sg&object={watched}")
    assert "Nothing left" in nothing


def test_the_proof_of_a_row_is_one_that_the_verifier_takes(
    desk: SharingDesk, tmp_path: Path
) -> None:
    mali = desk.pages.visitor("mali")
    key = desk.node.signer.key.jwk["x"]
    for query in ("", f"?object={desk.made['green']['id']}"):
        answer = mali.get(f"/share/log/1/proof.json{query}")
        assert "attachment" in answer.headers["content-disposition"]
        file = tmp_path / "proof.json"
        file.write_bytes(answer.content)
        assert "to sg, by taxii" in verified(key, file)
        assert desk.made["green"]["id"] in verified(key, file)
    assert mali.get("/share/log/99/proof.json").status_code == 404


def test_a_proof_holds_in_the_browser_and_a_tampered_one_fails(
    desk: SharingDesk, browser: Browser, tmp_path: Path
) -> None:
    secret = signed_in(desk.node, "mali")
    with (
        serving(desk.node) as address,
        window(browser, address, secret, size=PHONE) as page,
    ):
        page.goto("/share/log/1/proof")
        page.wait_for_selector("#verify-result .notice.good")
        assert page.locator("#verify-steps > li.good").count() >= 8
        assert wide(page) <= 0
        with page.expect_download() as got:
            page.get_by_text("Download the proof").click()
        proof = json.loads(Path(got.value.path()).read_text())

        entry = proof["entries"][0]
        leaf = json.loads(entry["leaf"])
        told = json.dumps({**leaf, "at": leaf["at"] + 1}, separators=(",", ":"))
        head, payload, signature = proof["head"].split(".")
        another = {**entry, "objects": [{**entry["objects"][0], "sha256": "0" * 64}]}
        broken = {
            "recipient": {**proof, "entries": [{**entry, "recipient": "vn"}]},
            "leaf": {**proof, "entries": [{**entry, "leaf": told}]},
            "path": {**proof, "entries": [{**entry, "path": entry["path"][1:]}]},
            "object": {**proof, "entries": [another]},
            "head": {**proof, "head": f"{head}.{payload}.{signature[:-4]}AAAA"},
            "whole": {**proof, "entries": []},
            "fraction": json.dumps(proof).replace('"v": 1', '"v": 1.0'),
            "no proof": [1, "<script>alert(1)</script>"],
        }
        for name, changed in broken.items():
            file = tmp_path / "broken.json"
            text = changed if isinstance(changed, str) else json.dumps(changed)
            file.write_text(text)
            page.set_input_files("#verify-file", file)
            page.get_by_role("button", name="Check it").click()
            page.wait_for_selector("#verify-result .notice.danger")
            assert "NOT PROVEN" in page.locator("#verify-result").inner_text(), name

            # What the page does not believe, the verifier does not either.
            assert verified(desk.node.signer.key.jwk["x"], file) == "", name
            page.set_input_files("#verify-file", [])
            page.get_by_role("button", name="Check it").click()
            page.wait_for_selector("#verify-result .notice.good")
        page.fill("#verify-key", "A" * 43)
        page.get_by_role("button", name="Check it").click()
        page.wait_for_selector("#verify-result .notice.danger")


def test_heads_are_shown_and_alarms_end_with_a_reason_only(desk: SharingDesk) -> None:
    with desk.node.db.write() as tx:
        Seen().raise_alarm(tx, "sg", "it has shrunk <b>", "first", "second")
    lead, chief = (
        desk.pages.visitor(f"the-{role}", role) for role in ("lead", "coordinator")
    )
    shown = chief.get("/share/log/heads").text
    assert "it has shrunk &lt;b&gt;" in shown
    assert "End the alarms" in shown
    assert "End the alarms" not in lead.get("/share/log/heads").text
    path = "/share/log/heads/sg"
    assert lead.send(path, reason="explained", sure="1").status_code == 403
    assert chief.send(path, reason="", sure="1").status_code == 400
    assert "it has shrunk" in chief.read("/share/log/heads")
    assert chief.send(path, reason="explained", sure="1").status_code == 303
    assert "No alarms" in chief.read("/share/log/heads")


def test_an_auditor_sees_the_log_and_no_object(desk: SharingDesk) -> None:
    audrey = desk.pages.visitor("audrey")
    assert audrey.get("/share/log").status_code == 403
    for path in ("/audit/log", "/audit/log/1", "/audit/log/1/proof.json"):
        text = audrey.get(path).text
        for one in desk.made.values():
            assert one.get("pattern", "[domain-name")[:40] not in text, path
        assert "Somchai" not in text
    assert desk.made["green"]["id"] in audrey.read("/audit/log/1")
    assert "Release log" in audrey.read("/audit")


def test_the_audit_tells_who_read_and_decided_what(desk: SharingDesk) -> None:
    audrey = desk.pages.visitor("audrey")
    lead = desk.pages.visitor("alarmist", "coordinator")
    green = desk.made["green"]["id"]
    lead.read(f"/share/sg/object/{green}")
    said = audrey.read(f"/audit?what=read&object={green}")
    assert "alarmist" in said
    assert "share preview" in said
    assert "alarmist" in audrey.read("/audit?what=read&person=alarmist&since=1d")
    assert "Nothing is written down" in audrey.read("/audit?person=nobody")
    assert "ended alarms on a log" in audrey.read("/audit?person=the-coordinator")
    assert "ended alarms on a log" in audrey.read("/audit?object=sg")
    wrong = audrey.get("/audit?since=%3Cscript%3E&until=never")
    assert wrong.status_code == 422
    assert "<script>" not in wrong.text.partition("<main")[2]


def test_the_audit_goes_on_page_by_page(desk: SharingDesk) -> None:
    audrey = desk.pages.visitor("audrey")
    with acting(By("many", "page")):
        for _ in range(52):
            note_reading(desk.node, "objects", "")
    first = audrey.get("/audit?what=read&person=many").text
    assert first.count("<tr tabindex") == 50
    older = first.partition('rel="next" href="')[2].partition('"')[0]
    rest = audrey.get(older.replace("&amp;", "&")).text
    assert rest.count("<tr tabindex") == 2


def test_another_party_sees_what_it_was_given_and_nothing_else(
    desk: SharingDesk,
) -> None:
    kim = desk.pages.visitor("kim", "operator", party="jp")
    said = kim.read("/my")
    assert "hana" in said
    assert "wei" not in said
    for path in ("/share/log", "/audit", "/audit/log/1", "/share/log/heads"):
        assert kim.get(path).status_code == 403
    own = desk.pages.visitor("the-policy", "policy")
    assert own.get("/share/log").status_code == 403
    assert "Nothing yet" in own.read("/my")
    assert 'href="/my"' not in own.get("/me").text
    assert 'href="/my"' in kim.get("/me").text
