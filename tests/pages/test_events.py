"""Events at pages: searched within bounds, told to the last step, and never leaked."""

import re
from collections.abc import Iterator
from html import escape
from io import BytesIO
from pathlib import Path

import orjson
import polars as pl
import pytest
from playwright.sync_api import Browser

from archived import batch_of, put
from archived import event as seen
from chromium import PHONE, wide, window
from commands import indicator
from doors import serving
from serantau.apps.web.pages import batches, event, events, notices, questions
from serantau.clock import SetClock
from serantau.config import load_config
from serantau.desk import lane_search
from serantau.desk.cases import Casework
from serantau.desk.found import Charter, found
from serantau.desk.intake import Intake
from serantau.desk.lane import Lane, Told
from serantau.desk.lane_ask import archive_of
from serantau.desk.lane_work import Worker
from serantau.desk.notice_rows import tell
from serantau.desk.notify import Notify
from serantau.node import Node
from serantau.records.assets import Assets
from serantau.records.batches import State
from serantau.records.contacts import Contacts
from serantau.records.notices import Notices
from serantau.records.sessions import Person
from serantau.rules.asset import Asset
from serantau.rules.asset import Kind as AssetKind
from serantau.rules.contact import Contact
from serantau.rules.contact import Kind as ContactKind
from serantau.rules.party import Kind, Party
from serantau.rules.role import Power, powers_of
from serantau.wire.bundle import Piece
from visitors import Pages, Visitor, pages_of, signed_in, text_of

CLOCK = SetClock("2026-03-05T12:00:00Z")
SCRIPT = "<script>alert(1)</script>"
HOSTILE = f"{SCRIPT}\"'\u202e=1+1"
FORMULA = "=cmd|' /C calc'!A0"
BANGKOK = Person(zone="Asia/Bangkok")
HEAD = "time,source_address,source_domain,type,malware,severity,identifier,note"


def report() -> str:
    lines = [HEAD]
    for n in range(250):
        at = f"2026-03-05T{n % 12:02}:{n % 60:02}:00Z"
        lines.append(f"{at},11.22.33.{n},,infected-system,qakbot,high,sinkhole,n{n}")
    quoted = HOSTILE.replace('"', '""')
    lines.append(
        f'2026-03-05T11:59:00Z,11.22.99.1,evil.example,phishing,"{quoted}",low,'
        f'"{FORMULA}","{quoted}"'
    )
    lines.append("2026-03-05T11:58:00Z,1.2.3,,phishing,,,no address,lost")
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    """A node whose bank is told of its machines, from one file that came."""
    home: Path = tmp_path_factory.mktemp("events") / "th"
    found(home, Charter("th", "ThaiCERT"), CLOCK)
    with Node(load_config(home), CLOCK) as node:
        with node.db.write() as tx:
            bank = Party("bank", Kind.OPERATOR, title="Siam Bank", client_of="th")
            node.registry.put_party(tx, bank)
            node.registry.put_party(tx, Party("vn", Kind.MEMBER))
            Assets().add(tx, Asset("bank", "th", AssetKind.PREFIX, "11.22.33.0/24"))
            Contacts().put(
                tx,
                Contact("bank", ContactKind.MAIL, "noc@bank.example", language="th"),
                node.seal,
            )
        lane = Lane(node)
        told = Told("drone", "serantau-csv", name=f"{SCRIPT}.csv")
        lane.add(BytesIO(report().encode()), told)
        while Worker(lane).once():
            pass
        tell(node, Notify(node, "ann"), "2026-03-05")
        with pages_of(node) as pages:
            yield pages


@pytest.fixture(scope="module")
def lead(pages: Pages) -> Visitor:
    """Who may see events and let notices go."""
    return pages.visitor("lead", "lead")


def rows_of(lead: Visitor, query: str) -> str:
    return str(lead.get(f"/events?plain=1&{query}").text)


def named(html: str) -> list[str]:
    """The rows that a page lists, in its order."""
    return re.findall(r'<a href="/events/(\d+:\d+)" data-open>', html)


# Who


@pytest.mark.parametrize(
    ("role", "party"),
    [
        *((role, "vn") for role in ("reader", "writer", "operator", "guest")),
        *((role, "th") for role in ("policy", "operator", "guest", "auditor")),
        ("", ""),
    ],
)
def test_who_may_not_see_gets_nothing_of_any_page_of_events(
    pages: Pages, role: str, party: str
) -> None:
    name = f"no-{role}-{party}"
    who = pages.visitor(name, role, party=party) if role else pages.stranger()
    assert not role or Power.SEE not in powers_of(role, party == "th")
    for family in (events, event, batches, notices, questions):
        for handler in family.HANDLERS:
            for form in handler.paths:
                path = re.sub(r"\{[a-z]+:int\}", "1", form)
                path = path.replace("{row:str}", "1:1")
                get = "GET" in handler.http_methods
                answer = who.get(path) if get else who.send(path, do="drop", sure="1")
                assert answer.status_code in ({403} if role else {303}), path
                for secret in ("11.22.33", "qakbot", "bank", "drone"):
                    assert secret not in answer.text
    with pages.node.db.read() as tx:
        assert Notices().get(tx, 1).state == "waiting"


def test_an_analyst_may_hold_a_notice_but_not_let_it_go(pages: Pages) -> None:
    ann = pages.visitor("analyst", "analyst")
    assert "let it go" not in ann.read("/events/notices/1")
    for what in ("approve", "drop", "retry", "settle"):
        sent = ann.send(f"/events/notices/1/{what}", sure="1", sent="no")
        assert sent.status_code == 403
    sent = ann.send("/events/notices/1/hold", why="")
    assert sent.status_code == 422
    assert "This is needed." in text_of(sent.text)
    assert ann.send("/events/notices/1/hold", why=HOSTILE[:-6]).status_code == 303
    shown = ann.get("/events/notices/1").text
    assert escape(SCRIPT, quote=False) in shown.replace("&#34;", '"')
    assert SCRIPT not in shown


# Searching


def test_a_search_pages_through_all_rows_once_and_narrows_by_each_way(
    lead: Visitor,
) -> None:
    seen, query = [], "last=24h"
    while query:
        html = rows_of(lead, query)
        seen += named(html)
        more = re.search(r'rel="next" href="/events\?plain=1&amp;([^"]+)"', html)
        query = more[1].replace("&amp;", "&") if more else ""
    assert len(seen) == len(set(seen)) == 251
    for narrow, many in (
        ("q=11.22.33.7", 1),
        ("q=11.22.33.0/30", 4),
        ("q=evil.example", 1),
        ("q=sinkhole&malware=qakbot", 100),
        ('q="evil.example"', 1),
        ("type=phishing", 1),
        ("party=-", 1),
        ("party=bank&severity=low", 0),
        ("from=2026-03-05T10:00:00&to=2026-03-05T11:00:00", 20),
        ("last=1h", 21),
    ):
        assert len(named(rows_of(lead, narrow))) == many, narrow


def test_counts_and_bars_are_those_of_the_search_in_the_readers_zone(
    pages: Pages,
) -> None:
    mali = pages.visitor("mali", "analyst", person=BANGKOK)
    html = mali.get("/events?plain=1&malware=qakbot").text
    text = text_of(html)
    assert "250 events" in text
    assert "In the zone Asia/Bangkok." in text
    # 10:00 UTC is 17:00 there.
    assert "2026-03-05 17:00 20" in text
    span = "from=2026-03-05T17%3A00%3A00&amp;to=2026-03-05T18%3A00%3A00"
    assert f"malware=qakbot&amp;{span}" in html
    there = mali.get(f"/events?plain=1&{span}".replace("amp;", "")).text
    assert len(named(there)) == 20


def test_what_takes_too_long_is_cut_and_says_so(
    pages: Pages, lead: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_search, "_until", lambda _: lambda: True)
    monkeypatch.setattr("serantau.lane.question._STEP", 8)
    lane = Lane(pages.node)
    more = f"{HEAD}\n2026-03-04T13:00:00Z,11.22.99.2,,scanner,,,late,x\n"
    lane.add(BytesIO(more.encode()), Told("late", "serantau-csv"))
    Worker(lane).once()
    html = rows_of(lead, "last=7d&q=late")
    assert "these are some events, not all" in html
    assert "of 252 rows were looked at" in text_of(html)


@pytest.mark.parametrize(
    "query",
    [
        "last=9y",
        "from=yesterday",
        "from=2026-03-05T10:00&to=2026-03-05T09:00",
        "from=2026-03-05T10:00&to=1970-01-01T00:00",
        "from=0001-01-01T00:00",
        "to=99999-01-01T00:00",
        "q=" + "x" * 10_000,
        "q=%00",
    ],
)
def test_a_search_that_makes_no_sense_says_so_beside_the_field(
    lead: Visitor, query: str
) -> None:
    answer = lead.get(f"/events?{query}")
    assert answer.status_code == 422
    assert 'class="error"' in answer.text
    for path in ("/events/rows", "/events/counts", "/events/file"):
        answer = lead.get(f"{path}?{query}&as=csv", **{"HX-Request": "true"})
        assert answer.status_code == 400


@pytest.mark.parametrize(
    "query", ["after=1.2.3", "severity=awful", "source_asn=x", "source_port=-2.5"]
)
def test_what_no_column_holds_is_refused_in_words(lead: Visitor, query: str) -> None:
    answer = lead.get(f"/events/rows?{query}", **{"HX-Request": "true"})
    assert answer.status_code == 400


# Taking away


def test_a_file_has_all_rows_runs_in_no_spreadsheet_and_is_noted(
    pages: Pages, lead: Visitor, tmp_path: Path
) -> None:
    answer = lead.get("/events/file?as=csv&type=phishing")
    said = answer.headers["content-disposition"]
    assert said.startswith('attachment; filename="events.csv";')
    assert f"'{FORMULA}" in answer.text
    assert f",{FORMULA}" not in answer.text
    frame = pl.read_parquet(
        BytesIO(lead.get("/events/file?as=parquet&feed=drone").content)
    )
    assert frame.height == 251
    lines = lead.get("/events/file?as=ndjson&feed=drone").text.splitlines()
    assert len(lines) == 251
    with pages.node.db.read() as tx:
        noted = tx.rows("SELECT body FROM ledger.reading WHERE actor = 'lead'")
    assert any('"what":"events --csv"' in one.body for one in noted)


def test_a_file_of_too_many_rows_is_refused(
    lead: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_search, "MOST_ROWS", 10)
    answer = lead.get("/events/file?as=csv")
    assert answer.status_code == 413
    assert "serantau events --csv" in answer.text


# One row


def test_a_row_tells_where_from_why_this_owner_and_which_notice(lead: Visitor) -> None:
    (name,) = named(lead.get("/events?plain=1&q=11.22.33.7").text)
    text = lead.read(f"/events/{name}")
    assert "its address is in the prefix 11[.]22[.]33[.]0/24" in text
    assert "notice 1 of 2026-03-05" in text
    (other,) = named(lead.get("/events?plain=1&q=evil.example").text)
    html = lead.get(f"/events/{other}").text
    text = text_of(html)
    assert "No notice tells of it: The row names no party of the registry." in text
    assert "evil[.]example" in text
    assert SCRIPT not in html
    assert 'href="http' not in html
    for wrong, status in (("9:9", 404), ("x", 400), ("1:999", 404)):
        assert lead.get(f"/events/{wrong}").status_code == status


def test_a_row_leads_to_its_indicator_and_the_case_that_it_is_evidence_in(
    pages: Pages, lead: Visitor
) -> None:
    node, made = pages.node, indicator(7)
    piece = Piece(ordinal=1, offset=0, line=0, raw=orjson.dumps(made))
    Intake(node).take([piece], origin="test", boxes=())
    case = Casework(node).open("Phishing kit")
    Casework(node).add_evidence(case.id, [made["id"]])
    gone = "indicator--11111111-2222-4333-8444-555555555555"
    batch = Lane(node).add(BytesIO(b"by hand"), Told("hand")).batch
    ids = f"{made['id']},{gone}"
    put(archive_of(node), "by hand", [seen("11.22.97.1", indicators=ids)])
    assert batch.digest == batch_of("by hand")
    html = lead.get(f"/events/{batch.number}:1").text
    assert f'href="/objects/{made["id"]}"' in html
    assert f'href="/cases/{case.id}"' in html
    assert f'href="/objects/{gone}"' not in html
    assert "not here any more" in html


# Notices


def test_a_notice_shows_the_mail_as_it_goes_and_goes_when_approved(
    pages: Pages, lead: Visitor
) -> None:
    html = lead.get("/events/notices/1").text
    text = text_of(html)
    for part in (
        "noc@bank.example",
        "In clear This contact has no OpenPGP certificate.",
        'lang="th"',
        "250 of 250 rows",
        "11[.]22[.]33[.]249"[:12],
    ):
        assert part in text or part in html, part
    assert lead.send("/events/notices/1/drop").status_code == 400
    sent = lead.send("/events/notices/1/approve")
    assert sent.headers["location"] == "/events/notices?said=notice-approved"
    with pages.node.db.read() as tx:
        assert Notices().get(tx, 1).state == "ready"
    assert "on its way" in lead.read("/events/notices?state=ready")
    again = lead.send("/events/notices/1/approve")
    assert again.status_code == 409


# Batches


def test_a_file_and_a_paste_are_taken_in_once_and_decided_about(pages: Pages) -> None:
    ann = pages.visitor("bringer", "analyst")
    lines = f"{HEAD}\n2026-03-05T01:00:00Z,11.22.98.1,,scanner,,,paste,x"
    sent = ann.send("/events/batches", feed="pasted", pasted=lines)
    assert sent.status_code == 303
    path, said = sent.headers["location"].split("?")
    assert said == "said=batch-new"
    again = ann.send("/events/batches", feed="pasted", pasted=lines)
    assert again.headers["location"] == f"{path}?said=batch-known"
    upload = {"file": ("../../x.csv", lines.replace("98.1", "98.2"), "text/csv")}
    sent = ann.send("/events/batches", feed="pasted", files=upload)
    assert sent.status_code == 303
    assert ann.send(path, do="drop").status_code == 303
    with pages.node.db.read() as tx:
        held = Lane(pages.node).batches.get(tx, path.rpartition("/")[2])
    assert held.state is State.DROPPED
    assert ann.send(path, do="release").status_code == 409
    for fields in (
        {"feed": "A B", "pasted": "x"},
        {"feed": "a"},
        {"feed": "a", "pasted": "x", "tlp": "TLP:PINK"},
    ):
        assert ann.send("/events/batches", **fields).status_code == 422
    reader = pages.visitor("only-reads", "reader")
    assert "Take in a file" not in reader.read("/events/batches")
    assert reader.send("/events/batches", feed="a", pasted="x").status_code == 403


def test_a_batch_shows_what_could_not_be_read_and_why(lead: Visitor) -> None:
    html = lead.get("/events/batches/1").text
    text = text_of(html)
    assert "1.2.3" in text
    assert "source_address" in text
    assert SCRIPT not in html


# Questions


def test_a_question_is_kept_opened_and_deleted_by_whose_it_is(pages: Pages) -> None:
    ann, bob = pages.visitor("q-ann", "analyst"), pages.visitor("q-bob", "analyst")
    asked = "q=%22%3Cb%3E%22&last=7d"
    assert escape("keep", quote=False) in ann.get(f"/events/questions?{asked}").text
    sent = ann.send("/events/questions", asked=asked, name=SCRIPT, shared="1")
    assert sent.status_code == 303
    html = bob.get("/events/questions").text
    assert SCRIPT not in html
    number = re.search(r"/events/file\?as=csv&amp;([^\"]+)", html)
    assert number is not None
    assert number[1].replace("&amp;", "&") == asked
    assert bob.send("/events/questions/1/drop").status_code == 403
    assert ann.send("/events/questions/1/drop").status_code == 303
    assert "No question is kept." in bob.read("/events/questions")


# In a browser


def test_a_browser_draws_maps_loads_older_rows_and_breaks_no_policy(
    pages: Pages, browser: Browser
) -> None:
    secret = signed_in(pages.node, "looker", "lead")
    with (
        serving(pages.node) as address,
        window(browser, address, secret, size=PHONE) as page,
    ):
        page.goto("/events?last=7d&feed=drone")
        page.wait_for_selector("#rows tbody tr:nth-child(100)")
        page.wait_for_selector("#counts .chart .bar", state="attached")
        page.locator("figure[data-map=region]").scroll_into_view_if_needed()
        page.wait_for_selector("figure[data-map=region] svg text")
        drawn = page.locator("figure[data-map=region] svg text").all_text_contents()
        assert {"Thailand", "Singapore", "Timor-Leste", "Brunei"} <= set(drawn)
        page.locator("#rows a[rel=next]").last.scroll_into_view_if_needed()
        page.wait_for_selector("#rows tbody tr:nth-child(200)")
        assert wide(page) == 0
