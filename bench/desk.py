"""How fast pages are for people: asked one by one over one line, in a large store.

Where there is a Chromium, also until it shows the first letters of a page.
"""

from __future__ import annotations

import http.client
import os
import shutil
import time
from collections.abc import Mapping
from types import MappingProxyType

from playwright.sync_api import Browser, sync_playwright

from bench.corpus import write_corpus
from bench.figures import Figure, Limit, at_percent
from bench.lane import Child, apart
from bench.nodes import HOST, Bench, found_node, open_line
from bench.reports import NAME, made, write_report
from bench.sizes import Sizes
from serantau.apps.web.pages.door import cookie_name
from serantau.desk.lane_ask import archive_of
from serantau.desk.lane_search import tallies_of
from serantau.node import Node
from serantau.records.sessions import Sessions, user_number

_MILLISECONDS = 50.0
_PAINTED = 300.0
_WINDOWS = 40
_FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
_FIRST_PAINT = """() => new Promise(done => new PerformanceObserver(list => {
    const found = list.getEntriesByName("first-contentful-paint");
    if (found.length) done(found[0].startTime);
}).observe({type: "paint", buffered: true}))"""
_WARM = 3
_NAME = "bench-admin"
_FIRST = ("/now", "/events", "/objects", "/cases")
_PAGES = (
    "/now",
    "/objects",
    "/objects?q=example",
    "/objects/{id}",
    "/cases",
    "/events",
    "/events/notices",
    "/share",
    "/share/sg",
    "/share/log",
    "/contacts",
    "/peers",
    "/members",
    "/quarantine",
    "/audit",
    "/people",
    "/me",
)
_ROWS = 100
# A page whose parts come after it, these parts, and the story of one row.
_DAY = "from=2025-01-30T00:00:00&to=2025-01-31T00:00:00"
_MONTH = "from=2025-01-01T00:00:00&to=2025-01-31T00:00:00"
_EVENTS = {
    "/now": "/now",
    "/events": f"/events?{_MONTH}",
    "/events/{row}": "/events/1:7",
}
_PARTS = {
    "Rows of a day": f"/events/rows?{_DAY}",
    "Rows of 30 days": f"/events/rows?{_MONTH}",
    "Rows of 30 days of one country": f"/events/rows?{_MONTH}&source_country=ID",
    "Rows of 30 days of one address": f"/events/rows?{_MONTH}&q={{address}}",
    "Counts of a day": f"/events/counts?{_DAY}",
    "Counts of 30 days": f"/events/counts?{_MONTH}",
    "Counts of 30 days of one country": f"/events/counts?{_MONTH}&source_country=ID",
    "Counts of 30 days of one address": f"/events/counts?{_MONTH}&q={{address}}",
}


def measure(sizes: Sizes) -> list[Figure]:
    """Measure what a reader waits for at each of the pages that are open all day."""
    corpus = write_corpus(sizes.folder / "desk.ndjson", sizes.large)
    # Nobody clicks so fast: without this the node would ask to wait.
    node = found_node(sizes.folder / "desk", SERANTAU_HTTP_PAGES_A_SECOND="100000")
    node.run("load", str(corpus))
    cookie = _signed_in(node)
    with Node(node.config) as opened, opened.db.read() as tx:
        held = str(tx.value("SELECT id FROM object ORDER BY added DESC LIMIT 1"))
    with node.served(), open_line(node.port) as line:
        times = sizes.singles
        bare = _slow(line, "/healthz", cookie, times)
        found = {
            path: _slow(line, path.format(id=held), cookie, times) for path in _PAGES
        }
        painted = _painted(node.port, cookie, sizes.large)
    limit = Limit("a constant answer", bare)
    note = f"{sizes.singles} times over one line, {sizes.large:,} objects"
    return _figures("The page `{}`, p95", found, _MILLISECONDS, limit, note) + painted


def measure_events(sizes: Sizes, child: Child = apart) -> list[Figure]:
    """Measure what a reader waits for at the pages of a large archive of events.

    The page comes at once; its counts and rows come after it, each by itself. What a
    node keeps of folded files is there.
    """
    node = found_node(
        sizes.folder / "desk-events", SERANTAU_HTTP_PAGES_A_SECOND="100000"
    )
    held = child(
        "fill", node.config.archive, str(sizes.archived // sizes.days), str(sizes.days)
    )
    report = write_report(sizes.folder / NAME, _ROWS, first=1 << 40)
    node.run("lane", "add", str(report), "--feed", "shadowserver", "--now")
    with Node(node.config) as opened:
        # A running node does this when it has folded.
        while tallies_of(opened).keep(archive_of(opened).events):
            pass
    address = made(0, 1, hashes=False)["ip"][0]
    cookie = _signed_in(node)
    with node.served(), open_line(node.port) as line:
        bare = _slow(line, "/healthz", cookie, sizes.singles)
        pages = {
            what: _slow(line, path, cookie, sizes.singles)
            for what, path in _EVENTS.items()
        }
        parts = {
            what: _slow(
                line,
                path.format(address=address),
                cookie,
                sizes.parts,
                {"HX-Request": "true"},
            )
            for what, path in _PARTS.items()
        }
    rows = f"{held['rows']:,.0f} archived rows of {sizes.days} days"
    limit = Limit("a constant answer", bare)
    note = f"{sizes.singles} times over one line, {rows}"
    part = f"{sizes.parts} times over one line, {rows}; the page is there before"
    return [
        *_figures("`{}` over a large archive, p95", pages, _MILLISECONDS, limit, note),
        *_figures("{}, p95", parts, None, limit, part),
    ]


def _figures(
    what: str, found: dict[str, float], target: float | None, limit: Limit, note: str
) -> list[Figure]:
    """Give a figure for each path; `what` says of one what was measured."""
    return [
        Figure(
            what.format(path), (taken,), "ms", target=target, limits=(limit,), note=note
        )
        for path, taken in found.items()
    ]


def _signed_in(bench: Bench) -> str:
    """Sign an administrator in; give its cookie."""
    config = bench.config
    with Node(config) as node, node.db.write() as tx:
        node.registry.add_user(tx, _NAME, bench.member, "admin")
        http_ = config.http
        sessions = Sessions(
            node.registry, http_.session_hours, http_.session_idle_minutes
        )
        secret = sessions.open(tx, user_number(tx, _NAME), "password")
        return f"{cookie_name(node)}={secret}"


def _slow(
    line: http.client.HTTPConnection,
    path: str,
    cookie: str,
    times: int,
    more: Mapping[str, str] = MappingProxyType({}),
) -> float:
    """Give the 95th percentile of milliseconds from asking for a page to its end."""
    head = {"Host": HOST, "Cookie": cookie, "Accept": "text/html", **more}
    taken = []
    for turn in range(_WARM + times):
        begun = time.perf_counter()
        line.request("GET", path, headers=head)
        answer = line.getresponse()
        answer.read()
        assert answer.status == 200, (path, answer.status)
        if turn >= _WARM:
            taken.append(1000 * (time.perf_counter() - begun))
    return at_percent(taken, 95)


def _painted(port: int, cookie: str, objects: int) -> list[Figure]:
    """Open windows on the pages of the day, each of a browser that knew nothing.

    Nothing is measured where there is no Chromium.
    """
    program = os.environ.get("SERANTAU_CHROMIUM") or shutil.which("chromium")
    if program is None:
        return []
    address = f"http://{HOST}:{port}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=_FLAGS)
        bare = _opened(browser, f"{address}/healthz", cookie)
        found = {path: _opened(browser, address + path, cookie) for path in _FIRST}
        browser.close()
    limit = Limit("a page of two letters", bare)
    note = f"{_WINDOWS} new windows with nothing kept, {objects:,} objects"
    return _figures(
        "First letters of `{}` in Chromium, p95", found, _PAINTED, limit, note
    )


def _opened(browser: Browser, address: str, cookie: str) -> float:
    name, _, value = cookie.partition("=")
    taken = []
    for _turn in range(_WARM + _WINDOWS):
        context = browser.new_context()
        context.add_cookies([{"name": name, "value": value, "url": address}])
        page = context.new_page()
        page.goto(address)
        taken.append(float(page.evaluate(_FIRST_PAINT)))
        context.close()
    return at_percent(taken[_WARM:], 95)
