"""Addresses of pages that nobody would write by chance."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from night_desk import night_desk
from serantau.apps.web.pages.family import FAMILIES
from serantau.config import HttpSection
from visitors import Visitor, pages_of

pytestmark = pytest.mark.no_cover
HUGE = "9" * 30
RUBBISH = (HUGE, "-5", "%00", "%ff", "a%E2%80%AE" * 100)
HANDLERS = [handler for each in FAMILIES for handler in each.HANDLERS]
# What pages read of their query: by a literal name.
READ = re.compile(
    r"(?:query_params\.get\w*|whole|given|line|choice|instant|all)"
    r'\(\s*(?:request, )?"(\w+)"'
)
STREAM = "/live"  # it never ends


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    with night_desk(tmp_path_factory.mktemp("night")) as night:
        node = night.node
        http = HttpSection(pages_a_second=10**6)
        node.config = msgspec.structs.replace(node.config, http=http)
        with pages_of(node) as pages:
            yield pages.visitor("somchai", "admin")


@pytest.mark.parametrize("value", RUBBISH)
def test_no_part_of_a_path_is_too_much_for_a_page(admin: Visitor, value: str) -> None:
    broken = []
    for handler in HANDLERS:
        ask = admin.get if "GET" in handler.http_methods else admin.send
        for path in sorted(handler.paths):
            asked = re.sub(r"\{[^}]*\}", value, path)
            if asked != path and ask(asked).status_code >= 500:
                broken.append(path)
    assert broken == []


def test_no_number_of_a_query_is_too_much_for_a_page(admin: Visitor) -> None:
    asked = []
    for handler in HANDLERS:
        text = Path(str(sys.modules[handler.fn.__module__].__file__)).read_text()
        for path in sorted(handler.paths):
            if "GET" in handler.http_methods and "{" not in path and path != STREAM:
                names = sorted(set(READ.findall(text)))
                asked += [f"{path}?{name}={HUGE}" for name in names]
    assert [path for path in asked if admin.get(path).status_code >= 500] == []
