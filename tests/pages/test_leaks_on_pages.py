"""Every page, asked for by everybody: nobody reads there what is not theirs.

An administrator follows every link there is. What is found so is then asked for as
every role, of the own organisation and of others, whether a link leads there or not.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from leaks import CIRCLE_NAME, World, make_world
from serantau.apps.web.pages.family import FAMILIES
from serantau.clock import instant
from serantau.config import HttpSection
from serantau.records.sessions import Person
from serantau.rules.role import ROLES, Power, powers_of
from visitors import Pages, Visitor, pages_of
from walking import form_of, walk

# A walk runs what the tests of each page run too.
pytestmark = pytest.mark.no_cover
OPEN = {"/", "/sign-in", "/styleguide"}
# Where no link leads: files, the live line, and what a mail or a browser leads to.
ALONE = {"static", "live", "invited", "oidc"}
LIKE = 2
SCRIPT = re.compile(r"<script(?! src=)|<style|\sstyle=|\son[a-z]+=|javascript:", re.I)
FROM_OUTSIDE = [("reader", "vn"), ("writer", "jp"), ("operator", "plain")]


@dataclass
class Walked:
    """The pages of a world, and every address that an administrator came to."""

    world: World
    pages: Pages
    addresses: list[str]


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walked]:
    world = make_world(
        tmp_path_factory.mktemp("world"), http=HttpSection(pages_a_second=1000)
    )
    with pages_of(world.node) as pages:
        addresses = walk(pages.visitor("the-admin", "admin"), LIKE)
        yield Walked(world, pages, addresses)
    world.close()


def _asked(walked: Walked, visitor: Visitor) -> Iterator[tuple[str, int, str]]:
    for address in walked.addresses:
        answer = visitor.get(address)
        assert answer.status_code < 500, (address, answer.text[:400])
        yield address, answer.status_code, answer.text


def test_an_administrator_comes_to_every_family_of_pages(walked: Walked) -> None:
    shown = {form_of(address).partition("?")[0] for address in walked.addresses}
    for family in FAMILIES:
        paths = {path for handler in family.HANDLERS for path in handler.paths}
        firsts = {path.split("/")[1] for path in paths} - ALONE
        assert not firsts or any(path.split("/")[1] in firsts for path in shown), family


def test_a_stranger_reads_nothing_of_any_page(walked: Walked) -> None:
    nobody = walked.pages.stranger()
    for address, status, text in _asked(walked, nobody):
        if urlsplit(address).path in OPEN:
            assert status == 200
        else:
            assert status in {303, 404}, address
        assert walked.world.leaked("public", text.encode()) == [], address
        assert walked.world.given(text.encode()) == [], address


@pytest.mark.parametrize(("role", "party"), FROM_OUTSIDE)
def test_another_partys_user_reads_only_what_its_party_may_have(
    walked: Walked, role: str, party: str
) -> None:
    user = walked.pages.visitor(f"{role}-of-{party}", role, party=party)
    for address, _, text in _asked(walked, user):
        assert walked.world.leaked(party, text.encode()) == [], address


@pytest.mark.parametrize("party", ["th", "jp"])
def test_a_guest_reads_nothing_but_its_case(walked: Walked, party: str) -> None:
    scope = "x-serantau-case--00000000-0000-4000-8000-000000000000"
    person = Person(scope=scope, ends=instant("2100-01-01T00:00:00Z"))
    guest = walked.pages.visitor(f"guest-{party}", "guest", party=party, person=person)
    for address, _, text in _asked(walked, guest):
        assert walked.world.leaked("public", text.encode()) == [], address
        assert walked.world.given(text.encode()) == [], address


@pytest.mark.parametrize(
    "role", [role for role in ROLES if Power.SEE not in powers_of(role, own=True)]
)
def test_a_role_that_does_not_see_objects_reads_none(walked: Walked, role: str) -> None:
    user = walked.pages.visitor(f"own-{role}", role)
    for address, _, text in _asked(walked, user):
        held = [
            case.name
            for case in walked.world.cases
            if any(secret in text.encode() for secret in case.secrets[1:])
        ]
        assert held == [], address
        assert CIRCLE_NAME not in text, address


@pytest.mark.parametrize("role", ROLES)
def test_a_page_is_shown_to_those_alone_whose_role_has_its_power(
    walked: Walked, role: str
) -> None:
    user = walked.pages.visitor(f"each-{role}", role)
    powers = powers_of(role, own=True)
    for family in FAMILIES:
        for handler in family.HANDLERS:
            power = handler.opt.get("power")
            if power is None or power in powers or "GET" not in handler.http_methods:
                continue
            for path in handler.paths:
                address = re.sub(r"\{[^}]*\}", "1", path)
                assert user.get(address).status_code == 403, address


def test_no_page_has_script_or_style_within_and_opening_them_changes_nothing(
    walked: Walked,
) -> None:
    """What pages write when they are read: sessions, and what was read by whom."""
    node = walked.world.node
    admin = walked.pages.visitor("reading-admin", "admin")

    def written() -> tuple[object, object]:
        with node.db.read() as tx:
            decisions = tx.value("SELECT count(*) FROM decision")
            return tx.value("SELECT last FROM stamp"), decisions

    before = written()
    for address, _, text in _asked(walked, admin):
        if "<html" in text:
            assert SCRIPT.findall(text) == [], address
    assert written() == before
