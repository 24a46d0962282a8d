"""Following every link of a node's pages, as a visitor without a screen."""

import re
from collections import Counter
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

from visitors import Visitor

MOST = 400


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in {"href", "src", "hx-get", "sse-connect"} and value:
                self.found.append(value)


def form_of(address: str) -> str:
    """An address without what tells pages of one form apart."""
    parts = urlsplit(address)
    path = re.sub(r"[a-z0-9-]+--[0-9a-f-]{36}|\d+|[0-9a-f]{32,}", "X", parts.path)
    return path + "?" + "&".join(sorted(re.findall(r"([a-z_]+)=", parts.query)))


def walk(visitor: Visitor, like: int, *, html: bool = False) -> list[str]:
    """Follow links from the start; give every address that this visitor comes to.

    like: pages of one form that are followed; the rest differ by an id only. html: give
    only pages that are shown.
    """
    seen: dict[str, None] = {}
    shown: set[str] = set()
    forms: Counter[str] = Counter()
    waiting = ["/", "/styleguide", "/sign-in"]
    while waiting and len(seen) < MOST:
        address = waiting.pop(0)
        if address in seen or forms[form_of(address)] > like - 1:
            continue
        if address.startswith(("/static/", "/live")):
            continue
        seen[address] = None
        forms[form_of(address)] += 1
        answer = visitor.get(address)
        assert answer.status_code < 500, (address, answer.text[:400])
        if answer.status_code in {301, 302, 303}:
            waiting.append(urljoin(address, answer.headers["location"]))
        if "html" not in answer.headers.get("content-type", ""):
            continue
        if answer.status_code == 200 and "<html" in answer.text:
            shown.add(address)
        links = _Links()
        links.feed(answer.text)
        for link in links.found:
            whole = urljoin(address, link.partition("#")[0])
            if whole.startswith("/") and not whole.startswith("//"):
                waiting.append(whole)
            else:
                assert link.startswith(("#", "mailto:")), (address, link)
    return [address for address in seen if not html or address in shown]
