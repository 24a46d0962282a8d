"""Hints: who is told that something is new, who is not, and what silence costs."""

import contextlib
import queue
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import msgspec
import orjson
import pytest

from doors import RED, basic, indicator, serving
from serantau.apps.web import hints
from serantau.config import NodeConfig
from serantau.desk.intake import Intake
from serantau.node import Node
from serantau.records.database import Tx
from serantau.wire.bundle import Piece

Served = tuple[Node, str, dict[str, str]]


class Ear:
    """Listens in a thread, and keeps the lines that came."""

    def __init__(self, address: str, user: str) -> None:
        self._client = httpx2.Client(timeout=httpx2.Timeout(10, read=30))
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._address, self._user = address, user
        self._response: httpx2.Response | None = None
        self.status = 0
        self.headers: dict[str, str] = {}
        self._thread = threading.Thread(target=self._listen)
        self._open = threading.Event()

    def _listen(self) -> None:
        try:
            with self._client.stream(
                "GET", f"{self._address}{hints.PATH}", headers=basic(self._user)
            ) as response:
                self._response = response
                self.status = response.status_code
                self.headers = dict(response.headers)
                self._open.set()
                for line in response.iter_lines():
                    self._lines.put(line)
        except (httpx2.HTTPError, OSError):
            pass  # the server or the test hung up
        finally:
            self._open.set()
            self._lines.put(None)

    def start(self) -> None:
        self._thread.start()
        assert self._open.wait(20)
        if self.status == 200:
            assert self.next() == ": listening"

    def next(self, seconds: float = 20) -> str | None:
        """The next line that is not blank; None at the end of the stream."""
        while True:
            line = self._lines.get(timeout=seconds)
            if line != "":
                return line

    def quiet(self, seconds: float = 0.5) -> bool:
        try:
            line = self.next(seconds)
        except queue.Empty:
            return True
        return line is None

    def hang_up(self) -> None:
        assert self._response is not None
        line = self._response.extensions["network_stream"].get_extra_info("socket")
        # Closing a socket does not wake who waits for it; shutting it down does.
        with contextlib.suppress(OSError):
            line.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        if self._response is not None:
            self.hang_up()
        self._thread.join(30)
        assert not self._thread.is_alive()
        self._client.close()


@contextmanager
def listening(address: str, *users: str) -> Iterator[list[Ear]]:
    ears = [Ear(address, user) for user in users]
    try:
        for ear in ears:
            ear.start()
        yield ears
    finally:
        for ear in ears:
            ear.end()


def load(node: Node, *objects: dict[str, Any]) -> None:
    pieces = [
        Piece(raw=orjson.dumps(made), fault=None, ordinal=place, offset=0, line=0)
        for place, made in enumerate(objects)
    ]
    report = Intake(node).take(pieces, origin="test")
    assert report.refused == 0, report.faults


@pytest.fixture
def ended(config: NodeConfig) -> Iterator[Any]:
    """Serves a node so that a test can stop it and look at its listeners after."""
    with Node(config) as node:
        server = serving(node)
        address = server.__enter__()
        stopped: list[bool] = []

        def stop() -> None:
            if not stopped:
                stopped.append(True)
                server.__exit__(None, None, None)

        yield node, address, stop
        stop()


def test_a_hint_says_that_something_came_and_nothing_of_it(ended: Any) -> None:
    node, address, stop = ended
    with listening(address, "wei") as (ear,):
        assert ear.headers["content-type"].startswith("text/event-stream")
        assert ear.headers["cache-control"] == "no-store"
        assert ear.headers["serantau-realm"] == "exercise:reef"
        load(node, indicator(1))
        assert ear.next() == "event: hint"
        told = ear.next()
        assert told is not None
        data = orjson.loads(told.removeprefix("data: "))
        assert set(data) == {"count", "at"}
        assert data["count"] == 1
        load(node, indicator(2))
        assert ear.next() == "event: hint"
        stop()


def test_a_party_gets_no_hint_of_what_it_may_not_see(ended: Any) -> None:
    node, address, stop = ended
    with listening(address, "wei", "boss") as (outsider, own):
        unmarked = indicator(3)
        del unmarked["object_marking_refs"]
        load(node, indicator(2, object_marking_refs=[RED]))
        load(node, unmarked)
        assert own.next() == "event: hint"
        assert outsider.quiet()
        load(node, indicator(1))
        assert outsider.next() == "event: hint"
        stop()


def test_a_server_that_stops_lets_its_listeners_go(ended: Any) -> None:
    _, address, stop = ended
    with listening(address, "wei") as (ear,):
        stop()
        assert ear.next() is None


def test_nobody_listens_unknown(ended: Any) -> None:
    _, address, _ = ended
    answer = httpx2.get(f"{address}{hints.PATH}")
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"


def test_who_is_let_out_does_not_go_on_listening(
    ended: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hints, "KEEP_ALIVE_SECONDS", 0.2)
    node, address, _ = ended
    with listening(address, "wei") as (ear,):
        assert ear.next() == ": here"
        with node.db.write() as tx:
            node.registry.set_user(tx, "wei", disabled=True)
        lines = iter(ear.next, None)
        assert set(lines) <= {": here"}


def test_a_party_may_not_take_every_place(
    ended: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hints, "_OF_ONE_PARTY", 2)
    _, address, stop = ended
    with listening(address, "wei", "lim", "wei", "budi") as (
        first,
        second,
        third,
        other,
    ):
        assert [ear.status for ear in (first, second, third, other)] == [
            200, 200, 429, 200,
        ]  # fmt: skip
        stop()


def test_nothing_is_looked_for_while_nobody_listens(
    ended: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hints, "KEEP_ALIVE_SECONDS", 0.2)
    _, address, _ = ended
    looks: list[str] = []
    real = Tx.value

    def counted(self: Tx, sql: str, /, **values: Any) -> Any:
        if sql == "SELECT last FROM stamp":
            looks.append(threading.current_thread().name)
        return real(self, sql, **values)

    monkeypatch.setattr(Tx, "value", counted)
    threading.Event().wait(0.3)
    assert looks == []
    with listening(address, "wei") as (ear,):
        threading.Event().wait(0.3)
        assert len(looks) > 3
        ear._client.close()
    # A connection that went away is noticed by itself.
    for _ in range(100):
        before = len(looks)
        threading.Event().wait(0.1)
        if len(looks) == before:
            break
    assert len(looks) == before


def test_hints_come_after_a_fault_of_the_store_too(
    config: NodeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    from serantau.errors import StoreError

    monkeypatch.setattr(hints, "_AFTER_FAULT_SECONDS", 0.05)
    faster = msgspec.structs.replace(config.federation, hint_milliseconds=5)
    broken = threading.Event()
    real = hints.Board._last

    def sometimes(self: hints.Board) -> int:
        if broken.is_set():
            raise StoreError("away")
        return real(self)

    quick = msgspec.structs.replace(config, federation=faster)
    with (
        Node(quick) as node,
        serving(node) as address,
        listening(address, "wei") as (ear,),
    ):
        monkeypatch.setattr(hints.Board, "_last", sometimes)
        broken.set()
        load(node, indicator(1))
        assert ear.quiet()
        broken.clear()
        assert ear.next() == "event: hint"
