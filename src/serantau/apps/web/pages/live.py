"""Live pages: an open page is told that something it shows changed, and asks for it.

For whoever writes a page. Put what is to stay fresh into an element with an id, within
the macro `live` of `templates/live.html`:

    {% from "live.html" import live, live_files with context %}
    {% block head %}{{ live_files() }}{% endblock %}
    {% call live("/cases", "board", ["board"], since) %}
    <div id="board">...</div>
    {% endcall %}

When one of the named parts changes, the page gets `/cases` again, takes `#board` out of
the answer and puts it in the place of the old one. The parts are those of
`desk.now_rows.Part` (what waits), and besides

- `board`: any case; `events`: any batch of events;
- `case`: one case, for `live(..., case=its id)`. A guest has its own case only.

`since` is `seen_by(request)`, asked before the page reads anything: so nothing is
missed until the line is open. A line tells names of parts and counts, and only of parts
that its reader may see. One task looks for all of them, every other second, and sleeps
while nobody listens. It rings one line after the other, so that not all pages ask in
one instant. Without script nothing of this happens: have a link by which to reload.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import orjson
from litestar import Response
from litestar.response import Stream

from serantau.apps.web.hall import Asking, Hall, Lane, hall_of, state_of
from serantau.apps.web.logs import logger
from serantau.apps.web.pages.asked import whole_of
from serantau.apps.web.pages.door import cookie_name, node_of, page, signed_of
from serantau.desk.now import Now, Waiting
from serantau.desk.now_rows import Part, parts_of
from serantau.errors import Forbidden, SerantauError, TooMany
from serantau.records.sessions import Signed
from serantau.rules.role import Power

BOARD: Final = "board"
EVENTS: Final = "events"
CASE: Final = "case"
LISTENERS: Final = 1000
OF_ONE_USER: Final = 20
LOOK_SECONDS: Final = 2.0
CHECK_SECONDS: Final = 15.0
KEEP_ALIVE_SECONDS: Final = 15.0
_AFTER_FAULT_SECONDS: Final = 5.0
# Between two lines that ring; all of them have within so many seconds.
_APART_SECONDS: Final = 0.02
_ALL_SECONDS: Final = 4.0
_FRESH: Final = 1_000_000
_RENDERED: Final = 500
_ENDED: Final = b"event: ended\ndata: \n\n"


@dataclass(eq=False, slots=True)
class Listener:
    """One open line.

    names: of what it may be told. case: the id of the one that it watches, empty for
    none. seen: the instant up to which it was told. ended: its session is over. moved:
    its reader may see more or less than before. bell: there is something to say.
    """

    signed: Signed
    secret: str
    names: tuple[str, ...]
    case: str
    seen: int
    ended: bool = False
    moved: bool = False
    bell: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True)
class View:
    """What waits, and since when.

    changed: instants at which a part last did. first: when each row was first here.
    """

    waiting: Waiting
    changed: Mapping[str, int]
    first: Mapping[str, int]

    @property
    def last(self) -> int:
        """Give when anything last changed."""
        return max(self.changed.values(), default=0)


class Live:
    """Who listens at one node, and what there is to tell."""

    def __init__(self, hall: Hall) -> None:
        """Look at `hall`'s node."""
        self._hall = hall
        self._now = Now(hall.node)
        self._listeners: set[Listener] = set()
        self._cases: frozenset[str] = frozenset()
        self._lock = threading.Lock()
        self._view: View | None = None
        self._mark: tuple[int, ...] = ()
        self._held: dict[str, object] = {}
        self._rendered: dict[Any, str] = {}
        self._task: asyncio.Task[None] | None = None
        self.closed = False

    # What there is to tell

    def view(self, *, live: bool = False) -> View:
        """Give what waits; blocks. Within a second, and if nothing came, as before.

        live: a page that was told to ask has it as it was told.
        """
        with self._lock:
            held = self._view
            if held is not None:
                if live and self._task is not None:
                    return held
                age = self._hall.node.clock.now() - held.waiting.at
                if 0 <= age < _FRESH and self._mark == self._now.mark():
                    return held
            return self._looked()

    def look(self) -> View:
        """Look anew; blocks."""
        with self._lock:
            return self._looked()

    def _looked(self) -> View:
        self._mark = self._now.mark()
        waiting = self._now.look(self._cases)
        before = self._view
        changed = dict(before.changed) if before else {}
        held: dict[str, object] = {
            **{part.value: section for part, section in waiting.sections.items()},
            **{_of_case(case): stands for case, stands in waiting.cases.items()},
            BOARD: waiting.board,
            EVENTS: waiting.events,
        }
        at = max(waiting.at, before.last + 1 if before else 0)
        for name, content in held.items():
            if name not in self._held or self._held[name] != content:
                changed[name] = at
        for case, (_, newest) in waiting.cases.items():
            if _of_case(case) not in self._held:
                changed[_of_case(case)] = newest
        self._held = held
        known = before.first if before else {}
        first = {
            row.key: known.get(row.key, at)
            for section in waiting.sections.values()
            for row in section.rows
        }
        changed = {name: changed[name] for name in held}
        self._view = View(waiting, changed, first)
        return self._view

    def rendered(self, key: Any) -> str | None:
        """Give what was rendered of a part before; None: nothing is remembered."""
        return self._rendered.get(key)

    def remember(self, key: Any, text: str) -> None:
        """Remember what was rendered of a part."""
        if len(self._rendered) >= _RENDERED:
            self._rendered.clear()
        self._rendered[key] = text

    # Who listens

    async def join(
        self, signed: Signed, secret: str, case: str, since: int
    ) -> Listener:
        """Add a line.

        Args:
            signed: whose.
            secret: of the session.
            case: the id of a case to watch, or empty.
            since: the instant at which its page was made; 0: it is not known.

        Raises:
            Forbidden: there is nothing that this reader may be told.
            TooMany: too many listen already, or too many windows of this user.
        """
        names, case = heard_by(signed, case)
        if not names:
            raise Forbidden("Nothing that you may see changes while you look at it.")
        mine = sum(one.signed.user == signed.user for one in self._listeners)
        if len(self._listeners) >= LISTENERS or mine >= OF_ONE_USER:
            raise TooMany("Too many windows listen already.", wait=60)
        listener = Listener(signed, secret, names, case, since)
        self._listeners.add(listener)
        self._watch()
        try:
            view = await self._hall.run(Lane.SIDE, self.view)
            if case and _of_case(case) not in view.changed:
                view = await self._hall.run(Lane.SIDE, self.look)
        except SerantauError:
            self.leave(listener)
            raise
        now = self._hall.node.clock.now()
        listener.seen = min(since or max(view.last, now), now)
        if _news(view, listener):
            listener.bell.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run())
            self._task.add_done_callback(self._over)
        return listener

    def leave(self, listener: Listener) -> None:
        """Take a line away; with the last one the looking ends."""
        self._listeners.discard(listener)
        self._watch()
        if not self._listeners and self._task is not None:
            self._task.cancel()
            self._task = None

    def _watch(self) -> None:
        self._cases = frozenset(one.case for one in self._listeners if one.case)

    def close(self) -> None:
        """Let every line go, so that the server can stop."""
        self.closed = True
        for listener in self._listeners:
            listener.bell.set()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        checked = loop.time()
        while True:
            try:
                view = await self._hall.run(Lane.SIDE, self.look)
                await self._ring(view)
                if loop.time() - checked >= CHECK_SECONDS:
                    await self._check()
                    checked = loop.time()
                await asyncio.sleep(LOOK_SECONDS)
            except SerantauError as fault:
                logger(__name__).warning("live_delayed", fault=str(fault))
                await asyncio.sleep(_AFTER_FAULT_SECONDS)

    def _over(self, task: asyncio.Task[None]) -> None:
        """Close every line when the looking failed: who comes back begins it anew."""
        if task.cancelled():
            return
        logger(__name__).error("live_failed", exc_info=task.exception())
        self._task = None
        for listener in self._listeners:
            listener.moved = True
            listener.bell.set()

    async def _ring(self, view: View) -> None:
        """Ring for every line that has news, one after the other, in any order."""
        waiting = [one for one in self._listeners if _news(view, one)]
        random.shuffle(waiting)
        for listener in waiting:
            listener.bell.set()
            await asyncio.sleep(min(_APART_SECONDS, _ALL_SECONDS / len(waiting)))

    async def _check(self) -> None:
        """End the lines of sessions that are over; the others are in use."""
        several = [(one, one.secret) for one in self._listeners]
        found = await self._hall.run(Lane.SIDE, partial(self._find, several))
        for listener, signed in found:
            listener.ended = signed is None
            listener.moved = signed is not None and (
                signed.powers != listener.signed.powers
                or signed.person.scope != listener.signed.person.scope
            )
            if listener.ended or listener.moved:
                listener.bell.set()
        # Who watches over a desk all night is there, though nothing is clicked.
        used = {
            signed.number
            for _, signed in found
            if signed is not None and signed.stale and signed.may(Power.CASES)
        }
        if used:
            await self._hall.run(Lane.WRITE, partial(self._touch, used))

    def _find(
        self, several: list[tuple[Listener, str]]
    ) -> list[tuple[Listener, Signed | None]]:
        with self._hall.node.db.read() as tx:
            return [
                (one, self._hall.sessions.find(tx, secret)) for one, secret in several
            ]

    def _touch(self, numbers: Iterable[int]) -> None:
        with self._hall.node.db.write() as tx:
            for number in numbers:
                self._hall.sessions.touch(tx, number)

    def told(self, listener: Listener) -> bytes:
        """Write what a line is told, and note that it was."""
        view = self._view
        if view is None:
            return b""
        news = _news(view, listener)
        listener.seen = view.last
        if not news:
            return b""
        counts = {name: _count(view.waiting, name) for name in news}
        total = sum(
            section.count
            for part, section in view.waiting.sections.items()
            if part.value in listener.names
        )
        events = [("changed", orjson.dumps({"parts": counts, "total": total}))]
        events += [(name, b"%d" % count) for name, count in counts.items()]
        lines = [b"id: %d\n" % listener.seen]
        lines += [
            b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"
            for name, data in events
        ]
        return b"".join(lines)


def heard_by(signed: Signed, case: str = "") -> tuple[tuple[str, ...], str]:
    """Give what somebody may be told of by name, and which case it may watch."""
    names = [part.value for part in parts_of(signed.powers)]
    if signed.may(Power.CASES):
        names.append(BOARD)
    elif signed.may(Power.CASE):
        case = signed.person.scope
    else:
        case = ""
    if signed.may(Power.SEE):
        names.append(EVENTS)
    if case:
        names.append(CASE)
    return tuple(names), case


def seen_by(request: Asking) -> int:
    """Give the instant from which on a page has to be told of changes."""
    return node_of(request).clock.now()


def _of_case(case: str) -> str:
    return f"{CASE} {case}"


def _news(view: View, listener: Listener) -> list[str]:
    """Give the names of what changed since a line was told last."""
    return [
        name
        for name in listener.names
        if view.changed.get(_of_case(listener.case) if name == CASE else name, 0)
        > listener.seen
    ]


def _count(waiting: Waiting, name: str) -> int:
    if name == BOARD:
        return waiting.board[0]
    if name in (EVENTS, CASE):
        return 1
    return waiting.sections[Part(name)].count


@page("/live")
async def live(request: Asking) -> Response[Any]:
    """Tell an open page, as server-sent events, what has changed for its reader."""
    hall, board = hall_of(request), state_of(request).live
    signed = signed_of(request)
    secret = request.cookies.get(cookie_name(hall.node), "")
    since = request.headers.get("last-event-id") or request.query_params.get("since")
    case = request.query_params.get("case", "")[:100]
    listener = await board.join(signed, secret, case, whole_of(since or ""))
    return Stream(
        _events(board, listener),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _events(board: Live, listener: Listener) -> AsyncIterator[bytes]:
    try:
        yield b"retry: 3000\n: listening\n\n"
        while True:
            try:
                await asyncio.wait_for(listener.bell.wait(), KEEP_ALIVE_SECONDS)
            except TimeoutError:
                if board.closed:
                    return
                yield b": here\n\n"
                continue
            listener.bell.clear()
            if board.closed or listener.moved:
                return
            if listener.ended:
                yield _ENDED
                return
            if told := board.told(listener):
                yield told
    finally:
        board.leave(listener)


HANDLERS = (live,)
