"""A party in many circles gets the same pages, whichever way its ranges are read."""

import uuid
from typing import Any

import pytest

from serantau.rules.marking import Tlp, make_audience
from stores import AMBER, GREEN, Store, indicator, later


def circles(store: Store, several: int) -> None:
    """Make objects for many circles: vn is in some, in some only later, in some not."""
    for number in range(several):
        circle = f"circle--{uuid.UUID(int=number + 1, version=4)}"
        audience = make_audience(circles=[circle])
        one = indicator(f"for circle {number}", AMBER, audience["id"])
        store.admit(audience, one, indicator("for all", GREEN), handled=Tlp.GREEN)
        if number % 3 == 0:
            store.admit(later(one, 2))
        members = ["vn"] if number % 2 else ["jp"]
        with store.db.write() as tx:
            store.registry.put_circle(tx, str(number), members, circle_id=circle)
            if number % 4 == 0:
                # Whoever comes in later sees what was there before, with new stamps.
                store.registry.put_circle(tx, str(number), ["jp", "vn"])


def walked(store: Store, **asked: Any) -> list[tuple[Any, ...]]:
    """Read all that vn sees page by page, as bytes and as lines."""
    found: list[tuple[Any, ...]] = []
    after = -1
    while True:
        page = store.page("vn", after=after, limit=7, **asked)
        found.append((page.bodies, page.first, page.last, page.more))
        if not page.more:
            return found
        after = page.after


@pytest.mark.parametrize("asked", [{"all_versions": True}, {}])
def test_many_ranges_are_read_as_their_merge_is(
    store: Store, monkeypatch: pytest.MonkeyPatch, asked: dict[str, bool]
) -> None:
    circles(store, 12)
    pages = []
    for many in (0, 10_000):
        monkeypatch.setattr("serantau.records.views._MANY", many)
        pages.append(walked(store, **asked))
    assert pages[0] == pages[1]
    assert len(pages[0]) > 3
    told = b"".join(page[0] for page in pages[0])
    assert told.count(b"for circle") >= 9
