"""Signing in: by a link, by a password, with a second step, and out again."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pyotp
import pytest
from litestar.testing import TestClient

from doors import PASSWORD
from serantau.apps.web.auth import Logins
from serantau.apps.web.server import Doors, create_app
from serantau.clock import SetClock
from serantau.config import load_config
from serantau.desk.found import Charter, found
from serantau.desk.second import Second
from serantau.desk.signin import SignIn, Wish
from serantau.node import Node
from serantau.records.sessions import Person, user_number
from visitors import HOST, Pages, Visitor, pages_of, text_of

CLOCK = SetClock("2026-11-23T00:00:00Z")
NEW = "rain over four rivers"
HOSTILE = [
    "<script>alert(1)</script>",
    "javascript:alert(1)",
    "\u202egnp.exe",
    "x" * 10_000,
    "\x00",
    "' OR 1=1 --",
]


def open_node(home: Path, **http: object) -> Node:
    found(home, Charter("th", "ThaiCERT"), CLOCK)
    config = load_config(home)
    section = msgspec.structs.replace(config.http, login_attempts=4, **http)
    return Node(msgspec.structs.replace(config, http=section), CLOCK)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    home: Path = tmp_path_factory.mktemp("signin") / "th"
    with open_node(home) as node:
        yield create_app(node)


@pytest.fixture(scope="module")
def pages(app: Doors) -> Iterator[Pages]:
    with TestClient(app, base_url=HOST) as client:
        yield Pages(app.state.hall.node, client)


@pytest.fixture(autouse=True)
def forgiving(app: Doors) -> None:
    """Nobody was wrong before a test begins."""
    app.state.hall.logins = Logins(app.state.hall.node)


def cookies(answer: object) -> dict[str, str]:
    """What an answer sets, by name."""
    held = answer.headers.get_list("set-cookie")  # type: ignore[attr-defined]
    pairs = (each.partition(";")[0].partition("=") for each in held)
    return {name: value for name, _, value in pairs}


def invited(pages: Pages, wish: Wish) -> str:
    """A new link, as a path."""
    with pages.node.db.write() as tx:
        parts = urlsplit(SignIn(pages.node).invite(tx, wish))
    return f"{parts.path}?{parts.query}"


def user(pages: Pages, name: str) -> int:
    with pages.node.db.write() as tx:
        pages.node.registry.add_user(tx, name, "th", "analyst", PASSWORD)
        return user_number(tx, name)


def app_of(pages: Pages, number: int, name: str) -> pyotp.TOTP:
    """Set up an authenticator app for a user."""
    second = Second(pages.node)
    with pages.node.db.write() as tx:
        second.begin(tx, number)
        pending = second.pending(tx, number, name)
        assert pending is not None
        app = pyotp.TOTP(pending.secret.replace(" ", ""))
        assert second.confirm(tx, number, name, app.at(CLOCK.now() // 1_000_000))
    CLOCK.advance(seconds=60)
    return app


def code_of(app: pyotp.TOTP) -> str:
    return app.at(CLOCK.now() // 1_000_000)


def half(pages: Pages, name: str, password: str = PASSWORD) -> Visitor:
    """Somebody whose password was right, before the second step."""
    sent = pages.stranger().send("/sign-in", name=name, password=password, next="/me")
    assert sent.headers["location"] == "/sign-in/second"
    assert "serantau" not in cookies(sent)
    return Half(pages.client, cookies(sent)["serantau-half"])


class Half(Visitor):
    """A browser that has the cookie of a first step alone."""

    def _headers(self, more: dict[str, str]) -> dict[str, str]:
        held = super()._headers(more)
        return {**held, "Cookie": f"serantau-half={self.secret}"}


def test_opening_a_link_changes_nothing_and_sending_its_form_signs_in(
    pages: Pages,
) -> None:
    link = invited(pages, Wish("mali", "lead", full_name="<b>มะลิ</b>"))
    nobody = pages.stranger()
    for _ in range(2):
        read = nobody.read(link)
        assert "<b>มะลิ</b>" in read
    secret = link.partition("=")[2]
    given = {"t": secret, "password": NEW, "again": NEW, "zone": "Asia/Bangkok"}
    sent = nobody.send("/invited", **given, language="en", calendar="buddhist")
    assert sent.status_code == 303
    mali = Visitor(pages.client, cookies(sent)["serantau"])
    account = mali.read("/me")
    assert "lead" in account
    assert "2569-11-23 07:0" in account
    assert nobody.send("/invited", **given).status_code == 404
    assert nobody.get(link).status_code == 404
    assert nobody.send("/sign-in", name="mali", password=NEW).status_code == 303


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"password": "short", "again": "short"}, "It is too short"),
        ({"password": "weak-weak-weak", "again": "weak-weak-weak"}, "guessed first"),
        ({"password": "namesake-one", "again": "namesake-one"}, "more than the name"),
        ({"password": NEW, "again": "other"}, "not the same"),
        ({"password": NEW, "again": NEW, "zone": "Mars/Olympus"}, "Choose one"),
        ({"password": NEW, "again": NEW, "language": "tlh"}, "Choose one"),
    ],
)
def test_a_form_that_is_not_right_keeps_the_link_good(
    pages: Pages, given: dict[str, str], said: str
) -> None:
    with pages.node.db.write() as tx:
        number = user_number(tx, "namesake-one")
        signin = SignIn(pages.node)
        link = (
            signin.new_link(tx, "namesake-one")
            if number
            else signin.invite(tx, Wish("namesake-one", "analyst"))
        )
    secret = link.partition("=")[2]
    sent = pages.stranger().send("/invited", t=secret, **given)
    assert sent.status_code == 422
    assert said in text_of(sent.text)
    assert NEW not in sent.text
    with pages.node.db.read() as tx:
        assert signin.invited(tx, secret)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_rubbish_in_a_link_or_a_name_is_shown_as_text_and_opens_nothing(
    pages: Pages, text: str
) -> None:
    nobody = pages.stranger()
    assert pages.client.get("/invited", params={"t": text}).status_code == 404
    for path, fields in (
        ("/invited", {"t": text, "password": text, "again": text}),
        ("/sign-in", {"name": text, "password": text, "next": text}),
        ("/sign-in/passkey", {"credential": text}),
    ):
        sent = nobody.send(path, **fields)
        assert sent.status_code in {404, 422, 429}
        assert "serantau" not in cookies(sent)
        assert "<script>alert" not in sent.text


def test_who_has_a_second_factor_is_asked_for_it_and_says_how_it_came_in(
    pages: Pages,
) -> None:
    number = user(pages, "two-steps")
    app = app_of(pages, number, "two-steps")
    step = half(pages, "two-steps")
    assert "six digits" in step.read("/sign-in/second")
    wrong = step.send("/sign-in/second", code="000000")
    assert wrong.status_code == 422
    code = code_of(app)
    right = step.send("/sign-in/second", code=code)
    assert right.headers["location"] == "/me"
    inside = Visitor(pages.client, cookies(right)["serantau"])
    assert "password+totp" in inside.read("/me")
    # The first step is used up, and so is the code.
    assert step.get("/sign-in/second").headers["location"] == "/sign-in"
    assert (
        half(pages, "two-steps").send("/sign-in/second", code=code).status_code == 422
    )


def test_a_half_done_sign_in_opens_no_page_and_ends_after_five_minutes(
    pages: Pages,
) -> None:
    number = user(pages, "half-way")
    app = app_of(pages, number, "half-way")
    step = half(pages, "half-way")
    assert step.get("/me").status_code == 303
    as_session = Visitor(pages.client, step.secret)
    assert as_session.get("/me").headers["location"].startswith("/sign-in")
    CLOCK.advance(seconds=301)
    late = step.send("/sign-in/second", code=code_of(app))
    assert late.headers["location"].startswith("/sign-in?said=too-late")


def test_wrong_codes_lock_out_and_a_right_password_starts_no_new_count(
    pages: Pages,
) -> None:
    number = user(pages, "guessed")
    app = app_of(pages, number, "guessed")
    for _ in range(4):
        sent = half(pages, "guessed").send("/sign-in/second", code="111111")
    sent = half(pages, "guessed").send("/sign-in/second", code=code_of(app))
    assert sent.status_code == 422
    assert "Too many wrong tries" in text_of(sent.text)


def test_a_link_does_not_stand_for_the_second_factor(pages: Pages) -> None:
    number = user(pages, "forgot")
    app_of(pages, number, "forgot")
    with pages.node.db.write() as tx:
        link = SignIn(pages.node).new_link(tx, "forgot")
    sent = pages.stranger().send(
        "/invited", t=link.partition("=")[2], password=NEW, again=NEW
    )
    assert sent.headers["location"] == "/sign-in/second"
    assert "serantau" not in cookies(sent)


def test_who_signs_in_again_gets_a_new_session_and_the_old_one_ends(
    pages: Pages,
) -> None:
    user(pages, "twice")
    before = pages.visitor("twice")
    sent = before.send("/sign-in", name="twice", password=PASSWORD)
    after = Visitor(pages.client, cookies(sent)["serantau"])
    assert after.get("/me").status_code == 200
    assert before.get("/me").status_code == 303


def test_a_guest_whose_day_has_come_is_out_at_the_next_request(pages: Pages) -> None:
    ends = CLOCK.now() + 5 * 60_000_000
    guest = pages.visitor("kenji", "guest", party="jp", person=Person(ends=ends))
    assert guest.get("/me").status_code == 200
    CLOCK.advance(seconds=300)
    assert guest.get("/me").headers["location"].startswith("/sign-in")
    sent = pages.stranger().send("/sign-in", name="kenji", password=PASSWORD)
    assert sent.status_code == 403


def test_where_everyone_needs_a_second_factor_nothing_else_opens_before(
    tmp_path: Path,
) -> None:
    with (
        open_node(tmp_path / "th", second_factor="needed") as node,
        pages_of(node) as pages,
    ):
        mira = pages.visitor("mira", "admin")
        for path in ("/me", "/people", "/people/roles"):
            assert mira.get(path).headers["location"] == "/me/second"
        assert mira.send("/people/invite", name="x", role="lead").status_code == 303
        assert "Set one up first" in mira.read("/me/second")
        mira.send("/me/second/app")
        with node.db.read() as tx:
            number = user_number(tx, "mira")
            pending = Second(node).pending(tx, number, "mira")
        assert pending is not None
        app = pyotp.TOTP(pending.secret.replace(" ", ""))
        done = mira.send("/me/second/app/code", code=code_of(app))
        assert "Recovery codes" in text_of(done.text)
        assert mira.get("/people").status_code == 200
