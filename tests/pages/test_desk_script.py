"""What pages gain with script, seen on the style guide, and that they do without."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page

from chromium import PHONE, wide, window
from doors import furnish, serving
from serantau.clock import SetClock
from serantau.config import load_config
from serantau.desk.found import Charter, found
from serantau.node import Node
from visitors import signed_in

GUIDE = "/styleguide"
HERE = "() => document.activeElement.closest('tr')?.textContent.match(/case-[0-9]+/)[0]"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Serve a node; gives its address and the secret of a session."""
    home: Path = tmp_path_factory.mktemp("look") / "th"
    found(home, Charter("th", "ThaiCERT"), SetClock())
    with Node(load_config(home), SetClock()) as node:
        furnish(node)
        secret = signed_in(node, "boss")
        with serving(node) as address:
            yield address, secret


@pytest.fixture(scope="module")
def desktop(browser: Browser, node: tuple[str, str]) -> Iterator[Page]:
    with window(browser, *node) as page:
        yield page


@pytest.fixture
def guide(desktop: Page) -> Page:
    """Give one window on the style guide, opened anew when a test left it."""
    if desktop.url.partition("#")[0] != f"{desktop.url.partition(GUIDE)[0]}{GUIDE}":
        desktop.goto(GUIDE)
    return desktop


def test_keys_go_through_rows_and_open_the_one_that_is_chosen(guide: Page) -> None:
    keys = guide.keyboard
    for key, row in (("j", "case-17"), ("j", "case-16"), ("k", "case-17")):
        keys.press(key)
        assert guide.evaluate(HERE) == row
    keys.press("x")
    assert guide.locator("input[name=case]").first.is_checked()
    keys.press("Enter")
    assert guide.url.endswith("#tables")


def test_keys_rest_while_somebody_types(guide: Page) -> None:
    guide.keyboard.press("/")
    guide.keyboard.type("jgn?x/")
    assert guide.locator("[data-search]").first.input_value() == "jgn?x/"
    assert urlsplit(guide.url).path == GUIDE
    guide.keyboard.press("Escape")
    guide.keyboard.press("?")
    assert guide.locator("#keys-help").is_visible()
    guide.keyboard.press("Escape")
    assert not guide.locator("#keys-help").is_visible()
    place = guide.locator("a[data-key]").first
    to = str(place.get_attribute("href"))
    guide.keyboard.press("g")
    guide.keyboard.press(str(place.get_attribute("data-key")))
    guide.wait_for_url(f"**{to}")


def test_theme_and_density_stay_as_the_reader_chose_them(guide: Page) -> None:
    worn = "() => ({...document.documentElement.dataset})"
    guide.locator("[data-theme-toggle]").click()
    guide.locator("[data-density-toggle]").click()
    guide.reload()
    assert guide.evaluate(worn) == {"theme": "dark", "density": "dense"}
    ground = "() => getComputedStyle(document.body).backgroundColor"
    assert guide.evaluate(ground) == "rgb(20, 23, 26)"
    guide.locator("[data-density-toggle]").click()
    assert guide.evaluate(worn) == {"theme": "dark"}


def test_a_span_is_dragged_over_the_bars(guide: Page) -> None:
    bars = guide.locator("[data-drag=span-light] svg")
    bars.scroll_into_view_if_needed()
    box = bars.bounding_box()
    assert box is not None
    guide.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 50)
    guide.mouse.down()
    guide.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 60, steps=3)
    guide.mouse.up()
    guide.wait_for_url("**from=**")
    asked = parse_qs(urlsplit(guide.url).query)
    assert asked == {"from": ["2026-11-20T00:00"], "to": ["2026-11-23T23:59:59"]}


def test_a_value_is_copied_as_it_is_and_not_defanged(guide: Page) -> None:
    guide.context.grant_permissions(["clipboard-read", "clipboard-write"])
    guide.locator("button[data-copy]").first.click()
    guide.locator("#toasts", has_text="Copied.").wait_for()
    copied = guide.evaluate("() => navigator.clipboard.readText()")
    assert copied == "http://c2.example/panel"


def test_every_script_of_the_region_has_our_font(guide: Page) -> None:
    guide.evaluate("() => document.fonts.ready")
    loaded = guide.evaluate(
        "() => [...document.fonts].filter(f => f.status == 'loaded').map(f => f.family)"
    )
    wanted = ("", " Thai", " Khmer", " Lao", " Myanmar", " Mono")
    assert {name.strip('"') for name in loaded} == {f"Noto Sans{x}" for x in wanted}


@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
def test_the_guide_fits_a_phone_and_its_dialog_opens(
    browser: Browser, node: tuple[str, str], script: bool
) -> None:
    with window(browser, *node, size=PHONE, dark=True, script=script) as page:
        page.goto(GUIDE)
        if script:  # without, there is nobody to measure
            assert wide(page) <= 0
        page.locator("button", has_text="Show the mail").first.click()
        assert page.locator("#dialog-light").is_visible()
        assert page.locator("[data-looks]").is_visible() is script
