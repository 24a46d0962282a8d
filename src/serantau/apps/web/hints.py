"""Hints: a caller that listens here is told when there is something new for it.

A hint says nothing but that: a count and the time. It goes out only when something came
that the caller's own party may see, so that silence and hints tell an outsider nothing
of the rest. One task looks for everyone, and sleeps while nobody listens.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial

import orjson
from litestar import Router, get
from litestar.response import Stream

from serantau.apps.web.hall import Asking, Hall, Lane, hall_of, state_of
from serantau.apps.web.logs import logger
from serantau.clock import taxii_text
from serantau.errors import SerantauError, TooMany
from serantau.records.registry import Caller

PATH = "/federation/hints"
KEEP_ALIVE_SECONDS = 15.0
_LISTENERS = 500
_OF_ONE_PARTY = 50
_AFTER_FAULT_SECONDS = 5.0


@dataclass(eq=False, slots=True)
class Listener:
    """One open connection. `bell` rings when there is something new, or at the end."""

    caller: Caller
    bell: asyncio.Event = field(default_factory=asyncio.Event)


class Board:
    """Who listens, and the one task that looks for news on their behalf."""

    def __init__(self, hall: Hall) -> None:
        """Look in the store of `hall`'s node."""
        self._hall = hall
        self._every = hall.node.config.federation.hint_milliseconds / 1000
        self._listeners: set[Listener] = set()
        self._seen: dict[int, int] = {}
        self._task: asyncio.Task[None] | None = None
        self.closed = False

    async def join(self, caller: Caller) -> Listener:
        """Add a listener.

        Raises:
            TooMany: too many listen already, or too many of this caller's party.
        """
        same = sum(
            each.caller.party_number == caller.party_number for each in self._listeners
        )
        if len(self._listeners) >= _LISTENERS or same >= _OF_ONE_PARTY:
            raise TooMany("Too many wait for hints already.", wait=60)
        listener = Listener(caller)
        self._listeners.add(listener)
        self._hall.metrics.listeners.inc()
        if caller.party_number not in self._seen:
            last = await self._hall.run(Lane.READ, self._last)
            # Another listener of the party may have come first, with an older stamp.
            self._seen.setdefault(caller.party_number, last)
        if self._task is None:
            self._task = asyncio.create_task(self._look())
        return listener

    def leave(self, listener: Listener) -> None:
        """Take a listener away; with the last one the looking ends."""
        if listener not in self._listeners:
            return
        self._listeners.discard(listener)
        self._hall.metrics.listeners.dec()
        party = listener.caller.party_number
        if all(each.caller.party_number != party for each in self._listeners):
            self._seen.pop(party, None)
        if not self._listeners and self._task is not None:
            self._task.cancel()
            self._task = None

    def close(self) -> None:
        """Let every listener go, so that the server can stop."""
        self.closed = True
        for listener in self._listeners:
            listener.bell.set()

    def _last(self) -> int:
        with self._hall.node.db.read() as tx:
            return int(tx.value("SELECT last FROM stamp"))

    async def _look(self) -> None:
        looked = -1
        while True:
            try:
                last = await self._hall.run(Lane.READ, self._last)
                if last != looked:
                    await self._tell(last)
                    looked = last
                await asyncio.sleep(self._every)
            except SerantauError as fault:
                # Listeners lose nothing but time: they poll as well.
                logger(__name__).warning("hints_delayed", fault=str(fault))
                await asyncio.sleep(_AFTER_FAULT_SECONDS)

    async def _tell(self, last: int) -> None:
        """Ring for every party that has something newer than what it was told of."""
        waiting: dict[int, list[Listener]] = {}
        for listener in self._listeners:
            waiting.setdefault(listener.caller.party_number, []).append(listener)
        for party, listeners in waiting.items():
            # What commits while this looks has stamps above `last`: next time.
            seen = self._seen.get(party, last)
            if seen >= last:
                continue
            news = await self._hall.run(
                Lane.READ, partial(self._news, listeners[0].caller, seen)
            )
            if party in self._seen:
                self._seen[party] = max(last, self._seen[party])
            if news:
                for listener in listeners:
                    listener.bell.set()

    def _news(self, caller: Caller, after: int) -> bool:
        share = self._hall.share
        return (
            self._hall.abroad.news(caller, after)
            or self._hall.recalls.recalling.news(caller, after)
            or any(
                share.news(caller, offer.collection, after)
                for offer in share.offers(caller)
                if offer.can_read
            )
        )


@get(PATH, include_in_schema=False)
async def hints(request: Asking) -> Stream:
    """Tell the caller, as server-sent events, whenever something new is for it."""
    hall = hall_of(request)
    board: Board = state_of(request).board
    caller = await hall.as_caller(request, lambda found: found)
    listener = await board.join(caller)
    return Stream(
        _events(request, hall, board, listener),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _events(
    request: Asking, hall: Hall, board: Board, listener: Listener
) -> AsyncIterator[bytes]:
    count = 0
    try:
        # The first bytes tell the caller that from now on nothing is missed.
        yield b": listening\n\n"
        while True:
            try:
                await asyncio.wait_for(listener.bell.wait(), KEEP_ALIVE_SECONDS)
            except TimeoutError:
                if board.closed or not await _may_stay(request, hall):
                    return
                yield b": here\n\n"
                continue
            if board.closed:
                return
            listener.bell.clear()
            count += 1
            told = {"count": count, "at": taxii_text(hall.node.clock.now())}
            yield b"event: hint\ndata: " + orjson.dumps(told) + b"\n\n"
    finally:
        board.leave(listener)


async def _may_stay(request: Asking, hall: Hall) -> bool:
    """Say whether a caller that came in once would still be let in."""
    try:
        await hall.as_caller(request, lambda found: found)
    except SerantauError:
        return False
    return True


def routes() -> Router:
    """Give the route for hints."""
    return Router("/", route_handlers=[hints])
