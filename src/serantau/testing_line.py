"""The way to a region's doors: requests reach an application without a socket."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import httpx2

T = TypeVar("T")
_PATIENCE = 60.0


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        """Start it."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="region", daemon=True
        )
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE)

    def call(self, work: Callable[[], object]) -> None:
        """Call a function in the loop's thread, soon."""
        self._loop.call_soon_threadsafe(work)

    def close(self) -> None:
        """End what still runs, then the thread."""
        self.run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @staticmethod
    async def _end() -> None:
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)


class Line(httpx2.BaseTransport):
    """Carries a client's requests to an ASGI application, bodies as they come."""

    def __init__(self, app: Any, loop: Loop) -> None:
        """Start `app` in `loop`."""
        self._app = app
        self._loop = loop
        self._ended: asyncio.Event
        self._lifespan: asyncio.Task[None]
        loop.run(self._start())

    async def _start(self) -> None:
        started = asyncio.Event()
        self._ended = asyncio.Event()
        asked = False

        async def receive() -> dict[str, Any]:
            nonlocal asked
            if not asked:
                asked = True
                return {"type": "lifespan.startup"}
            await self._ended.wait()
            return {"type": "lifespan.shutdown"}

        async def send(message: dict[str, Any]) -> None:
            if message["type"].endswith(".failed"):
                raise RuntimeError(message.get("message", "the doors do not open"))
            started.set()

        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
        self._lifespan = asyncio.create_task(self._app(scope, receive, send))
        waiting = asyncio.create_task(started.wait())
        await asyncio.wait(
            {self._lifespan, waiting}, return_when=asyncio.FIRST_COMPLETED
        )
        if self._lifespan.done():
            waiting.cancel()
            self._lifespan.result()

    async def _stop(self) -> None:
        self._ended.set()
        await self._lifespan

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request and wait for the answer's head."""
        exchange = _Exchange(self._app, request, self._loop)
        status, headers = exchange.head()
        return httpx2.Response(
            status,
            headers=headers,
            stream=exchange,
            extensions={"network_stream": exchange},
        )

    def close(self) -> None:
        """Stop the application."""
        if not self._lifespan.done():
            self._loop.run(self._stop())


class _Exchange(httpx2.SyncByteStream):
    """One request and its answer; also what stands for the socket between them."""

    def __init__(self, app: Any, request: httpx2.Request, loop: Loop) -> None:
        self._loop = loop
        self._arrived: queue.SimpleQueue[dict[str, Any] | BaseException | None] = (
            queue.SimpleQueue()
        )
        self._body = request.read()
        self._whole = False
        self._patience = (request.extensions.get("timeout") or {}).get("read")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "scheme": request.url.scheme,
            "path": request.url.path,
            "raw_path": request.url.raw_path.split(b"?")[0],
            "query_string": request.url.query,
            "server": (request.url.host, request.url.port or 443),
            "client": ("127.0.0.1", 1),
            "root_path": "",
        }
        self._task = asyncio.run_coroutine_threadsafe(
            self._serve(app, scope), loop._loop
        )

    async def _serve(self, app: Any, scope: dict[str, Any]) -> None:
        bodies = [self._body]
        hung_up = asyncio.Event()

        async def receive() -> dict[str, Any]:
            if bodies:
                return {"type": "http.request", "body": bodies.pop()}
            await hung_up.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            self._arrived.put(message)

        try:
            await app(scope, receive, send)
        except Exception as fault:
            self._arrived.put(fault)
        finally:
            self._arrived.put(None)

    def _next(self) -> dict[str, Any] | None:
        try:
            message = self._arrived.get(timeout=self._patience)
        except queue.Empty:
            raise httpx2.ReadTimeout("nothing came") from None
        if isinstance(message, BaseException):
            raise message
        return message

    def head(self) -> tuple[int, list[tuple[bytes, bytes]]]:
        """Wait for status and headers."""
        message = self._next()
        if message is None:
            raise httpx2.RemoteProtocolError("hung up without an answer")
        return message["status"], list(message.get("headers", ()))

    def __iter__(self) -> Iterator[bytes]:
        while True:
            message = self._next()
            if message is None:
                return
            if message.get("body"):
                yield message["body"]
            if not message.get("more_body", False):
                self._whole = True
                return

    def close(self) -> None:
        """Hang up: what would still come of the answer is cancelled."""
        if not self._whole:
            self._task.cancel()

    def get_extra_info(self, name: str) -> _Exchange | None:
        """Stand for the socket (see `wire.hints`)."""
        return self if name == "socket" else None

    def shutdown(self, _how: int) -> None:
        """Wake whoever waits for more."""
        self._arrived.put(None)
