"""One browser for all tests of pages that a test process does."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from chromium import chromium


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, started once."""
    with chromium() as browser:
        yield browser
