"""The HTTP server of a node: its doors as one application, and Granian to serve it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

import structlog
from granian.constants import Interfaces, SSLProtocols
from granian.log import LogLevels
from granian.server.embed import Server
from litestar import Litestar, Request
from litestar.datastructures import State
from litestar.types import HTTPScope, Message, Receive, Send

from serantau.apps import taxii as taxii_door
from serantau.apps.web import (
    abroad,
    api,
    behalf,
    cases,
    contacts,
    hints,
    ledger,
    recalls,
    status,
)
from serantau.apps.web.api.objects import Loads
from serantau.apps.web.faults import REQUEST_ID, tell
from serantau.apps.web.hall import STATE, Asking, Hall
from serantau.apps.web.logs import logger, new_request_id, set_up_logs
from serantau.apps.web.memory import keep_memory
from serantau.apps.web.pages import door, family, live
from serantau.config import NodeConfig
from serantau.errors import ConfigError, Forbidden, SerantauError
from serantau.node import Node
from serantau.rules.realm import refusal
from serantau.wire.taxii import REALM_HEADER

ROLES: Final = ("all", "web", "worker")
_STOP_SECONDS: Final = 10
_YEAR: Final = 31_536_000
_DOORS: Final = {"taxii2": "taxii", "federation": "hints", "api": "api"}


class Doors:
    """The application. Gives each request an id, and each answer its fixed headers.

    router: the routes, which all nodes of a process share. state: what is this node's,
    and what `hall_of` and its like find: hall, board, counter, live and loads.
    """

    def __init__(self, hall: Hall) -> None:
        """Serve the doors of `hall`'s node."""
        config = hall.node.config
        self.router = _router()
        self.state = State(
            {
                "hall": hall,
                "board": hints.Board(hall),
                "counter": status.Counter(hall),
                "live": live.Live(hall),
                "loads": Loads(),
            }
        )
        self._hall = hall
        self._metrics = hall.metrics
        self._realm = (_REALM, config.node.realm.encode())
        self._fixed = [
            (b"x-content-type-options", b"nosniff"),
            self._realm,
        ]
        if door.secure(hall.node):
            lasts = f"max-age={_YEAR}; includeSubDomains"
            self._fixed.append((b"strict-transport-security", lasts.encode()))
        self._fixed_of_pages = [*self._fixed, *_UNLESS]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        request_id = new_request_id()
        scope[REQUEST_ID] = request_id
        scope[STATE] = self.state
        begun = time.perf_counter()
        for field in scope["headers"]:
            # Whatever it asks for: a node of another realm is not even logged in.
            if field[0] == _REALM and field != self._realm:
                theirs = field[1].decode("latin-1")
                why = refusal("The caller", theirs, self._realm[1].decode())
                await self._tell(scope, receive, send, begun, Forbidden(why))
                return
        collection = taxii_door.asks_for_page(scope["method"], scope["path"])
        if collection:
            await self._page(scope, receive, send, begun, collection)
            return
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            await self.router(scope, receive, self._sending(scope, send, begun))

    async def _live(self, receive: Any, send: Any) -> None:
        """Be ready at once; at the end the doors end, not the node."""
        await receive()
        await send({"type": "lifespan.startup.complete"})
        try:
            await receive()
        finally:
            self.state.board.close()
            self.state.live.close()
            self._hall.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _page(
        self,
        scope: dict[str, Any],
        receive: Receive,
        send: Send,
        begun: float,
        collection: str,
    ) -> None:
        request_id = scope[REQUEST_ID]
        try:
            body, headers = await taxii_door.page(
                self._hall, scope, collection, request_id
            )
        except Exception as fault:
            await self._tell(scope, receive, send, begun, fault)
            return
        headers += self._fixed_of_pages
        headers.append((b"x-request-id", request_id.encode()))
        self._count(scope, 200, begun)
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    async def _tell(
        self,
        scope: dict[str, Any],
        receive: Receive,
        send: Send,
        begun: float,
        fault: Exception,
    ) -> None:
        """Tell a fault that was met before the router."""
        with structlog.contextvars.bound_contextvars(request_id=scope[REQUEST_ID]):
            scope["litestar_app"] = self.router
            request: Asking = Request(cast("HTTPScope", scope), receive, send)
            told = tell(request, fault).to_asgi_response(None, request)
            sending = self._sending(scope, send, begun)
            await told(cast("HTTPScope", scope), receive, sending)

    def _sending(self, scope: dict[str, Any], send: Send, begun: float) -> Send:
        """Give a `send` that adds the fixed headers, and counts the answer."""

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message["headers"], *self._fixed]
                headers.append((b"x-request-id", scope[REQUEST_ID].encode()))
                names = {name.lower() for name, _ in message["headers"]}
                headers += [field for field in _UNLESS if field[0] not in names]
                message = {**message, "headers": headers}
                self._count(scope, message["status"], begun)
            await send(message)

        return sending

    def _count(self, scope: dict[str, Any], status: int, begun: float) -> None:
        taken = time.perf_counter() - begun
        method, path = scope["method"], scope["path"]
        door = _DOORS.get(path.split("/", 2)[1], "status")
        self._metrics.answered(door, _method(method), status, taken)
        if _told.isEnabledFor(logging.DEBUG):
            # The path names collections and object ids, never what was asked.
            logger(__name__).debug(
                "request",
                method=method,
                path=path,
                status=status,
                seconds=taken,
                request_id=scope[REQUEST_ID],
            )


_told: Final = logging.getLogger(__name__)
_REALM: Final = REALM_HEADER.lower().encode()
# What an answer says unless its door says otherwise.
_UNLESS: Final = (
    (
        b"content-security-policy",
        b"default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
)
_METHODS: Final = frozenset(
    {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}
)


def _method(method: str) -> str:
    # A made-up method must not make a new time series.
    return method if method in _METHODS else "other"


def create_app(node: Node) -> Doors:
    """Give the application of an open node. Its end ends the doors, not the node."""
    return Doors(Hall(node))


@cache
def _router() -> Litestar:
    """Make the routes. They know no node: who is asked tells them its own."""
    return Litestar(
        route_handlers=[
            taxii_door.routes(),
            hints.routes(),
            abroad.routes(),
            behalf.routes(),
            cases.routes(),
            ledger.routes(),
            recalls.routes(),
            contacts.routes(),
            status.routes(),
            api.routes(),
            family.routes(),
        ],
        exception_handlers={Exception: tell},
        logging_config=None,
        openapi_config=None,
        # `Hall.body` counts what comes in, by limits.post_bytes.
        request_max_body_size=None,
    )


class Web:
    """One application on one listener, served until `stop` or the process's end."""

    def __init__(self, app: Doors, config: NodeConfig) -> None:
        """Serve `app` where `config.http` says.

        Raises:
            ConfigError: the address or the certificates cannot be used.
        """
        http = config.http
        if http.client_ca and not http.certificate:
            raise ConfigError(
                "http.client_ca needs http.certificate and http.key: "
                "callers' certificates are shown inside TLS only."
            )
        self._app = app
        self._loop: asyncio.AbstractEventLoop | None = None
        try:
            self._server: Any = Server(
                app,
                address=_address(http.host),
                port=http.port,
                interface=Interfaces.ASGI,
                websockets=False,
                backlog=1024,
                log_level=LogLevels.error,
                log_dictconfig=_GRANIAN_LOGS,
                ssl_cert=_file(http.certificate),
                ssl_key=_file(http.key),
                # TAXII 2.1 §8.2.2 asks for 1.2 or later.
                ssl_protocol_min=SSLProtocols.tls12,
                ssl_ca=_file(http.client_ca),
                ssl_client_verify=bool(http.client_ca),
            )
        except OSError as fault:  # ssl.SSLError is one
            raise ConfigError(
                f"http.certificate, http.key or http.client_ca cannot be used: {fault}."
            ) from fault
        self._server.workers_kill_timeout = _STOP_SECONDS

    async def run(self) -> None:
        """Serve until `stop`; what was begun is answered first."""
        self._loop = asyncio.get_running_loop()
        with contextlib.suppress(TimeoutError):
            await self._server.serve()

    def stop(self) -> None:
        """Ask `run` to end. May be called in any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        # Open lines for hints and pages would otherwise hold the server up.
        self._app.state.board.close()
        self._app.state.live.close()
        self._server.stop()


# Granian writes where the rest of the process does, and only what is wrong.
_GRANIAN_LOGS: Final[dict[str, Any]] = {
    "formatters": {},
    "handlers": {},
    "loggers": {"_granian": {"propagate": True}, "granian.access": {"propagate": True}},
}


def _file(name: str) -> Path | None:
    return Path(name) if name else None


def _address(host: str) -> str:
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError as fault:
        raise ConfigError(f"http.host {host!r} is no address: {fault}.") from fault


def check_free(config: NodeConfig) -> None:
    """Make sure that nobody else serves at the node's address.

    Several servers can share one port without a word, and half of a node's callers
    would then be answered by another node.

    Raises:
        ConfigError: the address is taken, or is none of this machine.
    """
    address, port = _address(config.http.host), config.http.port
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((address, port))
        except OSError as fault:
            raise ConfigError(
                f"http.host and http.port: {address}:{port}: {fault.strerror}.",
                mend="Another program may listen there, perhaps this node already.",
            ) from fault


Work = Callable[[Node, threading.Event], None]


def _federate(node: Node, stop: threading.Event) -> None:
    from serantau.desk.federate import Federation

    Federation(node).run(stop)


def serve(config: NodeConfig, role: str = "all", work: Work = _federate) -> None:
    """Run a node until SIGTERM or SIGINT.

    Args:
        config: the node's configuration.
        role: `all`, or `web` and `worker` as processes of their own on one PostgreSQL.
        work: what runs beside the doors until the event is set: pulling from peers.

    Raises:
        ConfigError: the node, its address or its certificates cannot be used.
        SerantauError: the work beside the doors failed.
    """
    if role not in ROLES:
        raise ConfigError(f"role is {role!r}, expected one of {', '.join(ROLES)}")
    set_up_logs(config.log)
    keep_memory()
    if role != "worker" and not (role == "web" and config.store.url):
        check_free(config)
    stop = threading.Event()
    with Node(config) as node:
        app = create_app(node)
        listener = None
        if config.http.metrics_port:
            metrics = app.state.hall.metrics
            listener = metrics.listen(
                config.http.metrics_host, config.http.metrics_port
            )
        try:
            with _working(node, stop, work if role != "web" else None):
                if role == "worker":
                    _wait_for_signal(stop)
                else:
                    asyncio.run(_serve(Web(app, config), config, stop))
        finally:
            stop.set()
            app.state.hall.close()
            if listener is not None:
                listener.close()


async def _serve(web: Web, config: NodeConfig, stop: threading.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, web.stop)
    # Whatever was made until here stays: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    scheme = "https" if config.http.certificate else "http"
    logger(__name__).info(
        "serving", at=f"{scheme}://{config.http.host}:{config.http.port}/"
    )
    watch = loop.run_in_executor(None, stop.wait)
    watch.add_done_callback(lambda _: web.stop())
    try:
        await web.run()
    finally:
        stop.set()
        await watch
    logger(__name__).info("stopped")


@contextmanager
def _working(node: Node, stop: threading.Event, work: Work | None) -> Iterator[None]:
    """Run the background work in a thread; when it fails, the whole process does.

    A supervisor then starts it anew; doors without work only look well.
    """
    if work is None:
        yield
        return

    faults: list[Exception] = []

    def run() -> None:
        try:
            work(node, stop)
        except Exception as fault:
            logger(__name__).exception("background_work_failed")
            faults.append(fault)
        finally:
            stop.set()

    thread = threading.Thread(target=run, name="serantau-work")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    if faults:
        raise SerantauError("What runs beside the doors failed.") from faults[0]


def _wait_for_signal(stop: threading.Event) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    logger(__name__).info("working")
    stop.wait()
    logger(__name__).info("stopped")
