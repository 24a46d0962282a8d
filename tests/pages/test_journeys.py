"""The journeys of a node's users, each from signing in to what they came for.

Each is walked once: on a desktop in English, or on a phone in Thai, in turns. With
SERANTAU_JOURNEYS=all each is walked in both ways (`make journeys`). Nothing here hangs
on the words of a page: forms are found by what they do.
"""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, Page, expect

from chromium import DESKTOP, PHONE, wide, window
from doors import PASSWORD, serving
from night_desk import NIGHT, Night, night_desk
from serantau.clock import instant
from serantau.records.sessions import Person, put_person, user_number

pytestmark = pytest.mark.no_cover
_DAY = 86_400_000_000


@dataclass
class Walk:
    """Somebody on the way through pages, and the world behind them."""

    night: Night
    page: Page

    def sign_in(self, name: str) -> None:
        """Come in by name and password, as everybody does."""
        page = self.page
        page.goto("/sign-in")
        page.fill("[name=name]", name)
        page.fill("[name=password]", PASSWORD)
        self.send("/sign-in")

    def send(self, action: str) -> None:
        """Press the button of a form, and come to the next page."""
        form = self.page.locator(f"main form[action^='{action}']").first
        with self.page.expect_navigation():
            form.locator("button[type=submit], button:not([type])").first.click()
        assert self.page.locator("main h1").count() == 1
        assert wide(self.page) <= 0, self.page.url

    def follow(self, address: str) -> None:
        """Press the first link of the page's content that leads to an address."""
        link = self.page.locator(f"main a[href^='{address}']").first
        with self.page.expect_navigation():
            link.click()
        assert wide(self.page) <= 0, self.page.url

    @property
    def text(self) -> str:
        return self.page.locator("main").inner_text()


def answers_an_ask(walk: Walk) -> None:
    """Duty analyst: what waits, the case, an answer to the ask, in five steps."""
    case = f"/cases/{walk.night.asked}"
    walk.sign_in("analyst")
    assert walk.page.url.endswith("/now")
    walk.follow(case)
    walk.follow(f"{case}/do/answer?ask=")
    walk.page.select_option("[name=how]", "accept")
    walk.page.fill("[name=text]", "ภาพจะพร้อมเช้านี้")
    walk.send(f"{case}/do/answer")
    if walk.page.locator(f"main form[action='{case}/do/answer']").count():
        walk.send(f"{case}/do/answer")
    assert "ภาพจะพร้อมเช้านี้" in walk.text


def opens_a_case(walk: Walk) -> None:
    """Duty analyst: opens a case with two states, and sees who gets it before."""
    walk.sign_in("analyst")
    walk.page.goto("/cases/open")
    walk.page.fill("[name=name]", "Ransomware ในโรงพยาบาล")
    for party in ("sg", "jp"):
        walk.page.check(f"[name=parties][value={party}]")
    walk.send("/cases/open")
    if walk.page.url.endswith("/cases/open"):
        walk.send("/cases/open")
    assert re.search(r"/cases/case-entry--[0-9a-f-]{36}", walk.page.url)
    assert "Ransomware ในโรงพยาบาล" in walk.text


def makes_indicators_of_a_mail(walk: Walk) -> None:
    """Duty analyst: pastes a mail, and sees what was found in it, defanged or not."""
    walk.sign_in("analyst")
    walk.page.goto("/objects/new")
    walk.page.fill(
        "[name=text]", "hxxps://login[.]evil-th[.]example/otp and 203[.]0[.]113[.]9"
    )
    walk.send("/objects/new")
    assert "login[.]evil-th[.]example" in walk.text
    assert "203.0.113.9" in walk.text.replace("[.]", ".")


def looks_before_sharing(walk: Walk) -> None:
    """Lead: what a partner would get, and why it does not get the rest."""
    walk.sign_in("lead")
    walk.page.goto("/share")
    walk.follow("/share/jp")
    assert "Backend" in walk.text or "no-audience" in walk.text


def approves_a_notice(walk: Walk) -> None:
    """Lead: reads the very mail that would go to the owner of machines."""
    walk.sign_in("lead")
    walk.page.goto("/events/notices")
    walk.follow("/events/notices/")
    assert "noc@bank.example" in walk.text
    assert "11.22.33." in walk.text


def asks_a_version_back(walk: Walk) -> None:
    """Lead: what a recall would ask of whom, before it is made."""
    walk.sign_in("lead")
    walk.page.goto("/share/recalls")
    walk.page.fill("[name=objects]", walk.night.evidence[1])
    walk.page.fill("[name=reason]", "It was a test page")
    walk.send("/share/recalls/look")
    assert "sg" in walk.text


def sees_one_board(walk: Walk) -> None:
    """Coordinator: one board of what was shared, and one case of it."""
    walk.sign_in("coordinator")
    walk.page.goto("/cases?view=board")
    walk.follow(f"/cases/{walk.night.case}")
    assert "The second bank has not called back." in walk.text


def reads_and_changes_nothing(walk: Walk) -> None:
    """Policy officer: reads a case and the contacts; no form there writes anything."""
    walk.sign_in("policy")
    walk.page.goto(f"/cases/{walk.night.case}")
    assert "Customers of three banks" in walk.text
    assert walk.page.locator("main form[method=post]").count() == 0
    walk.page.goto("/contacts")
    assert walk.page.goto("/objects").status == 403  # type: ignore[union-attr]


def is_let_into_one_case(walk: Walk) -> None:
    """Dialogue partner: the one case that it was let into, and no other."""
    walk.sign_in("guest")
    assert walk.page.url.endswith("/case")
    assert "Customers of three banks" in walk.text
    assert "The second bank has not called back." not in walk.page.content()
    for path in (f"/cases/{walk.night.asked}", "/now", "/objects", "/share"):
        assert walk.page.goto(path).status in {403, 404}  # type: ignore[union-attr]


def checks_who_decided(walk: Walk) -> None:
    """Auditor: who decided what, and that nothing can be decided here."""
    walk.sign_in("auditor")
    walk.page.goto("/audit")
    expect(walk.page.locator("main table, main .timeline").first).to_be_visible()
    assert "auditor" in walk.text


JOURNEYS: tuple[Callable[[Walk], None], ...] = (
    answers_an_ask,
    opens_a_case,
    makes_indicators_of_a_mail,
    looks_before_sharing,
    approves_a_notice,
    asks_a_version_back,
    sees_one_board,
    reads_and_changes_nothing,
    is_let_into_one_case,
    checks_who_decided,
)
WAYS = ("en", "th")
BOTH = os.environ.get("SERANTAU_JOURNEYS") == "all"
CHOSEN = [
    pytest.param(journey, way, id=f"{journey.__name__}-{way}")
    for place, journey in enumerate(JOURNEYS)
    for turn, way in enumerate(WAYS)
    if BOTH or place % 2 == turn
]


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    with night_desk(tmp_path_factory.mktemp("night")) as night:
        node = night.node
        with node.db.write() as tx:
            for role in ("analyst", "lead", "coordinator", "policy", "auditor"):
                node.registry.add_user(tx, role, "th", role, PASSWORD)
            node.registry.add_user(tx, "guest", "jp", "guest", PASSWORD)
            guest = Person(scope=night.case, ends=instant(NIGHT) + _DAY)
            put_person(tx, user_number(tx, "guest"), guest)
        yield night


@pytest.fixture(scope="module")
def address(night: Night) -> Iterator[str]:
    with serving(night.node) as address:
        yield address


@pytest.mark.parametrize(("journey", "way"), CHOSEN)
def test_a_user_comes_to_what_it_came_for(
    journey: Callable[[Walk], None],
    way: str,
    night: Night,
    address: str,
    browser: Browser,
) -> None:
    size = DESKTOP if way == "en" else PHONE
    with window(browser, address, size=size, language=way) as page:
        journey(Walk(night, page))
