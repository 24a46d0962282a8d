"""Every page that an administrator comes to, in a browser: whole, narrow, and for all.

`SERANTAU_SCREENS=docs/screens` keeps the pictures of the pages there (`make screens`).
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from chromium import PHONE, wide, window
from doors import serving
from night_desk import night_desk
from serantau.apps.web.pages.family import FAMILIES
from serantau.node import Node
from serantau.records.sessions import Person
from visitors import pages_of, signed_in
from walking import walk

pytestmark = pytest.mark.no_cover
GRAVE = {"serious", "critical"}
ALL = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"],
    "resultTypes": ["violations"],
}
# To weigh every colour takes longer than all else: where every component is shown.
QUICK = {**ALL, "rules": {"color-contrast": {"enabled": False}}}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with night_desk(tmp_path_factory.mktemp("night")) as night:
        yield night.node


@pytest.fixture(scope="module")
def addresses(node: Node) -> dict[str, str]:
    """One address of each page that links lead an administrator to, by its name."""
    with pages_of(node) as pages:
        found = walk(pages.visitor("walker", "admin"), like=1, html=True)
    paths = [
        path for family in FAMILIES for each in family.HANDLERS for path in each.paths
    ]
    # What has no part that changes goes first: /cases/open is no case.
    forms = [
        (re.compile(re.sub(r"\{[^}]*\}", "[^/]+", path) or "/"), path)
        for path in sorted(paths, key=lambda path: (path.count("{"), path))
    ]
    shown: dict[str, str] = {}
    for address in found:
        path = urlsplit(address).path
        name = next(name for form, name in forms if form.fullmatch(path))
        shown.setdefault(name, address)
    return shown


def test_no_page_has_a_serious_fault_for_whoever_cannot_see_or_use_a_mouse(
    node: Node, addresses: dict[str, str], browser: Browser
) -> None:
    secret, kept, axe = signed_in(node, "somchai", "admin"), _folder(), Axe()
    faults: dict[str, list[str]] = {}
    with serving(node) as address, window(browser, address, secret) as page:
        for name, path in addresses.items():
            _open(page, path)
            rules = ALL if name == "/styleguide" else QUICK
            found = axe.run(page, options=rules).response["violations"]
            grave = [one["id"] for one in found if one["impact"] in GRAVE]
            if grave:
                faults[name] = grave
            if kept is not None:
                named = re.sub(r"\{[^}]*\}", "one", name).strip("/").replace("/", "-")
                page.screenshot(
                    path=kept / f"{named or 'start'}.jpg", type="jpeg", quality=50
                )
    assert faults == {}


def test_every_page_fits_a_phone_in_thai(
    node: Node, addresses: dict[str, str], browser: Browser
) -> None:
    mali = Person(
        full_name="มะลิ", language="th", zone="Asia/Bangkok", calendar="buddhist"
    )
    secret = signed_in(node, "mali", "admin", person=mali)
    over: dict[str, int] = {}
    with (
        serving(node) as address,
        window(browser, address, secret, size=PHONE, language="th") as page,
    ):
        for name, path in addresses.items():
            _open(page, path)
            if wide(page) > 0:
                over[name] = wide(page)
    assert over == {}


def _open(page: Page, path: str) -> None:
    answer = page.goto(path)
    assert answer is not None
    assert answer.status == 200, path


def _folder() -> Path | None:
    named = os.environ.get("SERANTAU_SCREENS")
    if not named:
        return None
    folder = Path(named)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
