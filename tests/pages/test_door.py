"""Who may see and do what at the pages."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from doors import PASSWORD, basic, furnish
from serantau.apps.web.pages import look
from serantau.apps.web.pages.family import FAMILIES
from serantau.apps.web.pages.place import PLACES
from serantau.clock import SetClock
from serantau.config import load_config
from serantau.desk.found import Charter, found
from serantau.node import Node
from serantau.records.sessions import Person, Sessions, user_number
from serantau.rules.role import ROLES
from visitors import HTML, Pages, pages_of, text_of

CLOCK = SetClock()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    home: Path = tmp_path_factory.mktemp("pages") / "th"
    found(home, Charter("th", "ThaiCERT"), CLOCK)
    with Node(load_config(home), CLOCK) as node:
        furnish(node)
        with node.db.write() as tx:
            for role in ROLES:
                node.registry.add_user(tx, f"the-{role}", "th", role, PASSWORD)
        with pages_of(node) as pages:
            yield pages


def test_a_stranger_is_sent_to_sign_in_and_then_back(pages: Pages) -> None:
    nobody = pages.stranger()
    answer = nobody.get("/me?x=1")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/sign-in?next=%2Fme%3Fx%3D1"
    assert "www-authenticate" not in answer.headers

    sent = nobody.send(
        "/sign-in", name="boss", password=PASSWORD, next="/styleguide?x=1"
    )
    assert sent.status_code == 303
    assert sent.headers["location"] == "/styleguide?x=1"
    cookie = sent.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie


@pytest.mark.parametrize(
    "away",
    ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:1", ""],
)
def test_signing_in_leads_to_no_other_site(pages: Pages, away: str) -> None:
    sent = pages.stranger().send("/sign-in", name="boss", password=PASSWORD, next=away)
    assert sent.headers["location"] == "/"


def test_a_wrong_password_opens_nothing_and_says_no_more(
    pages: Pages,
) -> None:
    nobody = pages.stranger()
    for name in ("boss", "nobody-of-this-name"):
        sent = nobody.send("/sign-in", name=name, password="wrong")
        assert sent.status_code == 422
        assert "set-cookie" not in sent.headers
        assert "The name or the password is not right." in text_of(sent.text)


def test_a_form_of_another_site_or_without_its_token_does_nothing(
    pages: Pages,
) -> None:
    boss = pages.visitor("boss")
    elsewhere = {"Cookie": f"serantau={boss.secret}", "Accept": "text/html"}
    data = {"csrf": boss.token}
    for more in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
        {},
    ):
        answer = pages.client.post(
            "/sign-out", data=data, headers={**elsewhere, **more}
        )
        assert answer.status_code == 403
    for token in ("", "00" * 32, "x", boss.token[:-2]):
        answer = pages.client.post(
            "/sign-out", data={"csrf": token}, headers={**HTML, **elsewhere}
        )
        assert answer.status_code == 403
    assert boss.get("/styleguide").status_code == 200
    assert boss.send("/sign-out").status_code == 303
    assert boss.send("/sign-out").headers["location"] == "/sign-in"


@pytest.mark.parametrize("role", ["policy", "auditor", "operator"])
def test_a_role_of_the_pages_only_gets_nothing_of_the_machines_doors(
    pages: Pages, role: str
) -> None:
    for path in ("/taxii2/", "/api/v1/me", "/federation/hints"):
        answer = pages.client.get(path, headers=basic(f"the-{role}"))
        assert answer.status_code == 403


def test_every_answer_has_the_headers_that_keep_a_page_safe(
    pages: Pages,
) -> None:
    for answer in (
        pages.stranger().get("/"),
        pages.stranger().get("/sign-in"),
        pages.stranger().get("/nowhere"),
        pages.visitor("boss").get("/styleguide"),
    ):
        headers = answer.headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"
        assert headers["cross-origin-opener-policy"] == "same-origin"


def test_what_is_refused_is_in_the_log_with_who_and_where(pages: Pages) -> None:
    low = pages.visitor("lowly", "reader")
    with capture_logs() as lines:
        assert low.get("/admin").status_code == 403
        assert low.send("/me", csrf="00" * 32).status_code == 403
        verb = pages.client.get("/api/v1/users", headers=basic("lowly"))
        assert verb.status_code == 403
    said = [(each["user"], each.get("path"), each.get("why")) for each in lines]
    assert said == [
        ("lowly", "/admin", "needs admin"),
        ("lowly", "/me", "form without its token"),
        ("lowly", None, None),
    ]
    assert lines[-1]["verb"]


def test_every_text_names_its_letters_and_trace_is_refused(pages: Pages) -> None:
    boss = pages.visitor("boss")
    script = boss.get("/static/desk.js")
    for answer in (boss.get("/me"), boss.get("/nowhere"), script):
        assert "charset=utf-8" in answer.headers["content-type"], answer.url
    for path in ("/me", "/taxii2/", "/healthz"):
        assert pages.client.request("TRACE", path).status_code == 405


def test_a_reader_gets_its_language_its_zone_and_its_years(
    pages: Pages,
) -> None:
    assert all(place.path.startswith("/") for place in PLACES)
    mali = Person(full_name="มะลิ", zone="Asia/Bangkok")
    who = pages.visitor("mali", "analyst", person=mali)
    assert "มะลิ" in who.read("/styleguide")


def test_every_page_names_what_it_takes() -> None:
    handlers = [each for family in FAMILIES for each in family.HANDLERS]
    assert [each for each in handlers if "power" not in each.opt] == [look.static]


def test_a_session_ends_by_rest_and_with_its_user(pages: Pages) -> None:
    node = pages.node
    mira = pages.visitor("mira", "analyst")
    assert mira.get("/styleguide").text.count("mira") > 0
    CLOCK.advance(seconds=59 * 60)
    assert "mira" in mira.get("/styleguide").text
    CLOCK.advance(seconds=61 * 60)
    assert "mira" not in mira.get("/styleguide").text

    again = pages.visitor("mira")
    with node.db.write() as tx:
        node.registry.set_user(tx, "mira", disabled=True)
    assert "mira" not in again.get("/styleguide").text


def test_a_session_ends_by_age_however_much_it_is_used(pages: Pages) -> None:
    node = pages.node
    sessions = Sessions(node.registry, hours=1, idle_minutes=600)
    with node.db.write() as tx:
        secret = sessions.open(tx, user_number(tx, "boss"), "password")
        CLOCK.advance(seconds=59 * 60)
        assert sessions.find(tx, secret) is not None
        CLOCK.advance(seconds=60)
        assert sessions.find(tx, secret) is None


def test_a_letter_that_turns_text_round_is_shown_and_turns_nothing(
    pages: Pages,
) -> None:
    answer = pages.stranger().send("/sign-in", name="\u202egnp.exe", password="x")
    assert answer.status_code == 422
    assert 'value="&lt;U+202E&gt;gnp.exe"' in answer.text
    assert "\u202e" not in answer.text
