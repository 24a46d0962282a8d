"""Debian's Chromium, driven by Playwright: a node's pages as a person sees them."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

DESKTOP = (1280, 900)
PHONE = (360, 740)
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start one browser. Without Chromium the test is skipped, saying so."""
    program = os.environ.get("SERANTAU_CHROMIUM") or shutil.which("chromium")
    if program is None:
        pytest.skip("there is no chromium; on Debian: apt install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=list(_FLAGS), headless=True
        )
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def window(
    browser: Browser,
    address: str,
    secret: str = "",
    *,
    size: tuple[int, int] = DESKTOP,
    dark: bool = False,
    language: str = "en",
    script: bool = True,
) -> Iterator[Page]:
    """Open a window of its own on a node's address, with a session's `secret`.

    It fails at the end when a page broke the content policy or its script failed.
    """
    context: BrowserContext = browser.new_context(
        base_url=address,
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if dark else "light",
        locale=language,
        java_script_enabled=script,
        reduced_motion="reduce",
    )
    if secret:
        context.add_cookies([{"name": "serantau", "value": secret, "url": address}])
    page, wrong = context.new_page(), list[str]()
    page.on("pageerror", lambda fault: wrong.append(str(fault)))
    page.on(
        "console",
        lambda said: wrong.append(said.text) if _is_wrong(said) else None,
    )
    page.set_default_timeout(10_000)
    try:
        yield page
    finally:
        context.close()
    assert wrong == []


def _is_wrong(said: Any) -> bool:
    # What answers 4xx is for the test to ask; the rest is a fault of ours.
    return said.type == "error" and "Failed to load resource" not in said.text


def wide(page: Page) -> int:
    """By how many pixels a page is wider than its window: nobody scrolls sideways."""
    return int(
        page.evaluate("() => document.documentElement.scrollWidth - window.innerWidth")
    )


def picture(page: Page, folder: Path, name: str) -> Path:
    """Take a picture of the whole page."""
    path = folder / f"{name}.png"
    page.screenshot(path=path, full_page=True)
    return path
