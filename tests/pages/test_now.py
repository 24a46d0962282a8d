"""The page of what waits, and the lines by which open pages are told of changes."""

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx2
import orjson
import pytest
from playwright.sync_api import Browser, expect

from chromium import PHONE, wide, window
from doors import furnish, in_a_thread, serving
from serantau.apps.web.pages import live
from serantau.apps.web.pages.now_words import CLOCKS, DO, KINDS, TITLES, TONES
from serantau.clock import SetClock
from serantau.config import load_config
from serantau.desk import now as desk
from serantau.desk.case_private import Private
from serantau.desk.cases import Casework
from serantau.desk.found import Charter, found
from serantau.desk.now_rows import Part, Tone
from serantau.node import Node
from serantau.records.quarantine import Fault
from serantau.records.seen import Seen
from serantau.records.sessions import Person, Sessions
from visitors import Pages, pages_of, signed_in, text_of

CLOCK = SetClock()
MINUTE = 60_000_000
HOSTILE = "<script>alert(1)</script>\u202e{case}%(n)s"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    home: Path = tmp_path_factory.mktemp("now") / "th"
    found(home, Charter("th", "ThaiCERT"), CLOCK)
    with Node(load_config(home), CLOCK) as node:
        furnish(node)
        yield node


@pytest.fixture(scope="module")
def pages(node: Node) -> Iterator[Pages]:
    with pages_of(node) as pages:
        yield pages


@pytest.fixture
def address(node: Node, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where the node is served, quick to look."""
    monkeypatch.setattr(live, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(live, "CHECK_SECONDS", 0.0)
    with serving(node) as address:
        yield address


@pytest.fixture
def waits(node: Node) -> Iterator[str]:
    """The name of a case of which something waits, until the test is over."""
    work = Casework(node)
    case = work.open(f"Case {CLOCK.now()} {HOSTILE}").id
    private = Private(node)
    task = private.add_task(case, HOSTILE, CLOCK.now() + MINUTE)
    yield case
    private.end_task(case, task)
    work.close(case)


def user(node: Node, name: str, role: str, **more: object) -> str:
    with node.db.read() as tx:
        known = {one.name for one in node.registry.users(tx)}
    return signed_in(node, name, "" if name in known else role, **more)  # type: ignore[arg-type]


def refuse(node: Node, rule: str) -> None:
    fault = Fault(body=rule.encode(), rule=rule, place="", got="", expected="")
    with node.db.write() as tx:
        node.quarantine.hold(tx, "peer sg", [fault])
    CLOCK.advance(seconds=2)


@asynccontextmanager
async def line(
    address: str, secret: str, path: str = "/live", **headers: str
) -> AsyncIterator[AsyncIterator[str]]:
    """Open one line, until it says that it listens."""
    async with (
        httpx2.AsyncClient(timeout=20, trust_env=False, verify=False) as client,
        client.stream(
            "GET",
            address + path,
            headers={"cookie": f"serantau={secret}", **headers},
        ) as answer,
    ):
        if answer.status_code != 200:
            raise PermissionError(answer.status_code)
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.aiter_lines()
        assert await anext(lines) == "retry: 3000"
        assert await anext(lines) == ": listening"
        yield lines


async def event(lines: AsyncIterator[str], name: str) -> str:
    """Wait for an event by its name, and give its data."""
    async for each in lines:
        if each == f"event: {name}":
            return (await anext(lines)).removeprefix("data: ")
    raise EOFError(name)


# The page


def test_every_row_part_and_tone_has_its_words() -> None:
    rows = Path(desk.__file__).read_text(encoding="utf-8")
    assert set(TITLES) == set(DO) == set(Part)
    assert set(TONES) == set(Tone)
    assert [kind for kind in KINDS if f'"{kind}"' not in rows] == []
    assert set(CLOCKS) <= {"acknowledge", "assess", "update", "task"}


def test_nothing_waits_says_so_and_what_to_do(pages: Pages) -> None:
    text = pages.visitor("first", "analyst").read("/now")
    assert "Nothing waits." in text
    assert "Leave this page open" in text


def test_what_waits_is_shown_as_text_whatever_it_is_called(
    pages: Pages, waits: str
) -> None:
    answer = pages.visitor("ann", "analyst").get("/now")
    assert "<script>alert" not in answer.text
    assert text_of(answer.text).count("<script>alert(1)</script>") == 2
    assert "<bdi>" in answer.text
    assert "<title>(1) Now · Serantau</title>" in answer.text
    refuse(pages.node, "x" * 10_000)
    text = pages.visitor("ann").read("/now")
    assert "x" * 119 + "…" in text


def test_no_row_leads_to_a_page_that_is_not_there(pages: Pages, waits: str) -> None:
    refuse(pages.node, "some-rule")
    with pages.node.db.write() as tx:
        Seen().raise_alarm(tx, "sg", "it forgot", "", "")
    who = pages.visitor("bo", "analyst")
    text = who.get("/now").text
    with pages.node.db.write() as tx:
        Seen().end_alarms(tx, "sg", "bo", "explained")
    assert "it forgot" in text
    for link in re.findall(r'data-open href="([^"]*)"', text):
        assert who.get(link).status_code == 200, link


def test_a_reader_without_power_sees_only_its_parts(pages: Pages, waits: str) -> None:
    refuse(pages.node, "only-for-those-who-see")
    assert "only-for-those-who-see" in pages.visitor("cho", "reader").read("/now")
    text = pages.visitor("pol", "policy").read("/now")
    assert "only-for-those-who-see" not in text
    assert "own task" in text


@pytest.mark.parametrize(
    ("role", "party"),
    [("reader", "jp"), ("writer", "sg"), ("guest", "th"), ("operator", "th")],
)
def test_who_is_not_of_the_desk_sees_nothing_of_now(
    pages: Pages, waits: str, role: str, party: str
) -> None:
    person = Person(scope=waits, ends=2**60)
    who = pages.visitor(f"{role}-{party}", role, party=party, person=person)
    answer = who.get("/now")
    assert answer.status_code == 403
    assert waits not in answer.text
    assert "alert(1)" not in answer.text


def test_a_page_that_asks_again_is_told_what_is_new(pages: Pages, waits: str) -> None:
    who = pages.visitor("dee", "analyst")
    asks = {"hx-request": "true"}
    first = who.get("/now", **asks).text
    seen = first.partition('name="seen" value="')[2].partition('"')[0]
    assert "data-news" not in first
    refuse(pages.node, "one-more-rule")
    again = who.get(f"/now?seen={seen}", **asks).text
    assert 'data-news="One new thing waits."' in again
    assert "one-more-rule" in again
    assert "<html" not in again
    for rubbish in ("-1", "x", "9" * 400, "%00"):
        assert who.get(f"/now?seen={rubbish}", **asks).status_code == 200


def test_which_cases_were_shown_is_noted(pages: Pages, waits: str) -> None:
    pages.visitor("eve", "analyst").read("/now")
    with pages.node.db.read() as tx:
        body = tx.value(
            "SELECT body FROM ledger.reading WHERE actor = 'eve' ORDER BY n DESC"
        )
    assert waits in body


# Lines


def test_fifty_open_pages_are_told_names_and_counts_and_nothing_else(
    node: Node, address: str
) -> None:
    secrets = [user(node, f"watch-{n % 5}", "analyst") for n in range(50)]

    async def scenario() -> list[str]:
        async with AsyncExitStack() as stack:
            lines = [
                await stack.enter_async_context(line(address, secret))
                for secret in secrets
            ]
            await asyncio.to_thread(refuse, node, "told-to-fifty")
            return await asyncio.gather(*(event(one, "changed") for one in lines))

    said = [orjson.loads(each) for each in in_a_thread(scenario())]
    assert len(said) == 50
    for each in said:
        assert set(each) == {"parts", "total"}
        assert set(each["parts"]) == {"quarantine"}
        assert each["total"] >= each["parts"]["quarantine"] >= 1


def test_a_guests_line_tells_of_its_case_and_of_no_other(
    node: Node, address: str
) -> None:
    work = Casework(node)
    mine, other = (work.open(name).id for name in ("Mine", "Other"))
    person = Person(scope=mine, ends=2**60)
    guest = user(node, "guest-of-one", "guest", party="jp", person=person)
    ann = user(node, "ann-watches", "analyst")

    async def scenario() -> list[str]:
        # It asks for the other case, and is told of its own.
        async with line(address, guest, f"/live?case={other}") as lines:
            async with line(address, ann, f"/live?case={other}") as ours:
                for _ in range(3):
                    await asyncio.to_thread(work.assess, other, description="x")
                    await event(ours, "case")
            await asyncio.to_thread(refuse, node, "not-for-guests")
            await asyncio.to_thread(work.assess, mine, description="x")
            said = []
            async for each in lines:
                said.append(each)
                if each.startswith("event: case"):
                    return [*said, await anext(lines)]
        return said

    said = [each for each in in_a_thread(scenario()) if each and each[0] != ":"]
    assert said[0].startswith("id: ")
    assert said[1:] == [
        *("event: changed", 'data: {"parts":{"case":1},"total":0}'),
        *("event: case", "data: 1"),
    ]


def test_who_may_be_told_nothing_gets_no_line(node: Node, address: str) -> None:
    outsider = user(node, "reader-of-jp", "reader", party="jp")

    async def status(secret: str) -> object:
        try:
            async with line(address, secret):
                return 200
        except PermissionError as refused:
            return refused.args[0]

    assert in_a_thread(status(outsider)) == 403
    assert in_a_thread(status("nobody")) == 303


def test_a_user_has_so_many_windows_and_no_more(
    node: Node, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "OF_ONE_USER", 2)
    many = user(node, "many-windows", "analyst")
    other = user(node, "one-window", "analyst")

    async def scenario() -> object:
        async with line(address, many), line(address, many), line(address, other):
            try:
                async with line(address, many):
                    return 200
            except PermissionError as refused:
                return refused.args[0]

    assert in_a_thread(scenario()) == 429


def test_a_line_ends_with_its_session(node: Node, address: str) -> None:
    secret, kept = (user(node, "leaves", "analyst") for _ in range(2))

    def leave() -> None:
        with node.db.write() as tx:
            sessions = Sessions(node.registry, 12, 60)
            signed = sessions.find(tx, secret)
            assert signed is not None
            sessions.end(tx, signed.user, number=signed.number)

    async def scenario() -> str:
        async with line(address, secret) as lines, line(address, kept) as other:
            await asyncio.to_thread(leave)
            ended = await event(lines, "ended")
            await asyncio.to_thread(refuse, node, "after-that")
            await event(other, "changed")
            return ended

    assert in_a_thread(scenario()) == ""


def test_a_line_of_who_was_locked_out_or_may_less_is_closed(
    node: Node, address: str
) -> None:
    secret = user(node, "sinks", "lead")

    def sink(**how: object) -> None:
        with node.db.write() as tx:
            node.registry.set_user(tx, "sinks", **how)  # type: ignore[arg-type]

    async def scenario() -> None:
        async with line(address, secret) as lines:
            await asyncio.to_thread(sink, role="policy")
            assert [each async for each in lines if each[:1] not in {"", ":"}] == []
        async with line(address, secret) as lines:
            await asyncio.to_thread(sink, disabled=True)
            await event(lines, "ended")

    in_a_thread(scenario())


def test_an_open_page_of_the_desk_counts_as_use(node: Node, address: str) -> None:
    secret = user(node, "watches-on", "analyst")

    def stale() -> bool:
        with node.db.read() as tx:
            signed = Sessions(node.registry, 12, 60).find(tx, secret)
        assert signed is not None
        return signed.stale

    async def scenario() -> None:
        async with line(address, secret) as lines:
            CLOCK.advance(seconds=90)
            assert await asyncio.to_thread(stale)
            # It is looked after between any two events.
            for rule in ("one-event", "two-events"):
                await asyncio.to_thread(refuse, node, rule)
                await event(lines, "changed")
            assert not await asyncio.to_thread(stale)

    in_a_thread(scenario())


def test_when_the_looking_fails_lines_end_and_those_that_come_back_are_told(
    node: Node, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = user(node, "meets-a-fault", "analyst")

    def broken(_: live.Live) -> live.View:
        raise RuntimeError("broken")

    async def scenario() -> None:
        async with line(address, secret) as lines:
            with monkeypatch.context() as fault:
                fault.setattr(live.Live, "look", broken)
                assert [each async for each in lines if each[:1] not in {"", ":"}] == []
        async with line(address, secret) as lines:
            await asyncio.to_thread(refuse, node, "after-the-fault")
            await event(lines, "changed")

    in_a_thread(scenario())


def test_a_window_that_comes_back_is_told_what_it_missed(
    node: Node, address: str
) -> None:
    secret = user(node, "comes-back", "analyst")
    before = CLOCK.now()
    refuse(node, "while-away")

    async def scenario() -> None:
        async with line(address, secret, f"/live?since={before}") as lines:
            assert "quarantine" in await event(lines, "changed")
        async with line(address, secret, **{"last-event-id": str(before)}) as lines:
            assert "quarantine" in await event(lines, "changed")
        for rubbish in ("x", "-1", "9" * 300):
            async with line(address, secret, f"/live?since={rubbish}"):
                pass

    in_a_thread(scenario())


def test_a_server_that_stops_lets_its_pages_go(node: Node) -> None:
    secret, ended = user(node, "stays", "analyst"), threading.Event()
    with serving(node) as address:

        async def scenario() -> None:
            async with line(address, secret) as lines:
                ended.set()
                async for _ in lines:
                    pass

        listens = threading.Thread(target=lambda: asyncio.run(scenario()))
        listens.start()
        assert ended.wait(20)
    listens.join(20)
    assert not listens.is_alive()


# In a browser


def test_an_open_page_shows_what_comes_and_the_keys_stay_where_they_were(
    node: Node, address: str, browser: Browser, waits: str
) -> None:
    secret = user(node, "night", "analyst")
    with window(browser, address, secret, size=PHONE, dark=True) as page:
        page.goto("/now")
        expect(page.locator("#cases")).to_be_visible()
        page.keyboard.press("j")
        focused = page.evaluate("() => document.activeElement.id")
        assert focused.startswith("w-")
        refuse(node, "comes-live")
        expect(page.locator("#quarantine", has_text="comes-live")).to_be_visible()
        expect(page.locator("[data-news]")).to_have_count(1)
        assert page.title().startswith("(")
        assert page.evaluate("() => document.activeElement.id") == focused
        assert wide(page) <= 0
        # Signed out elsewhere: the page does not go on as if nothing had been.
        with node.db.write() as tx:
            node.registry.set_user(tx, "night", disabled=True)
        page.wait_for_url("**/sign-in*")
