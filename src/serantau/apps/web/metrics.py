"""What Prometheus is told, on a listener of its own.

Counts and times only: no label ever holds a party, a user, an address or an object.
"""

from __future__ import annotations

from collections.abc import Iterator
from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    start_http_server,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from serantau.apps.web.lane_metrics import LaneFigures
from serantau.errors import ConfigError, StoreError
from serantau.node import Node

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """The figures of one process."""

    def __init__(self, node: Node) -> None:
        """Count for `node`; figures of its store are read when they are asked for."""
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "serantau_requests",
            "Requests answered, by door, method and status.",
            ("door", "method", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "serantau_request_seconds",
            "Seconds from a request's first byte to its answer, by door.",
            ("door",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._answered: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self.released = Counter(
            "serantau_objects_served",
            "Object versions on pages that were given to callers.",
            registry=self.registry,
        )
        self.refused = Counter(
            "serantau_logins_refused",
            "Requests refused because of who was asking, by status.",
            ("status",),
            registry=self.registry,
        )
        self.listeners = Gauge(
            "serantau_hint_listeners",
            "Callers that wait for hints now.",
            registry=self.registry,
        )
        self.registry.register(_Store(node))
        self.registry.register(LaneFigures(node))

    def answered(self, door: str, method: str, status: int, seconds: float) -> None:
        """Count one request, and how long its answer took."""
        key = (door, method, status)
        counts = self._answered.get(key)
        if counts is None:
            # To look it up by its labels takes three locks.
            requests = self._requests.labels(door, method, str(status))
            counts = self._answered[key] = (requests, self._seconds.labels(door))
        counts[0].inc()
        counts[1].observe(seconds)

    def listen(self, host: str, port: int) -> Listener:
        """Answer Prometheus on an address of its own, in a thread.

        Raises:
            ConfigError: the address cannot be used.
        """
        try:
            server, thread = start_http_server(port, host, self.registry)
        except OSError as fault:
            raise ConfigError(
                f"http.metrics_host and http.metrics_port: {host}:{port}: {fault}."
            ) from fault
        return Listener(server, thread)


class Listener:
    """The listener for Prometheus; close it."""

    def __init__(self, server: WSGIServer, thread: Thread) -> None:
        """Keep what is to be closed."""
        self._server = server
        self._thread = thread

    @property
    def port(self) -> int:
        """Give the port that it listens on."""
        return int(self._server.server_port)

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Store(Collector):
    """Figures read from the store at every scrape."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("serantau_store_up", "1 when the store answers.")
        try:
            with self._node.db.read() as tx:
                last = tx.value("SELECT last FROM stamp")
                held = tx.value("SELECT count(*) FROM quarantine")
                releases = tx.value("SELECT max(n) FROM ledger.release")
                leaves = tx.value("SELECT size FROM ledger.log")
                alarms = tx.value("SELECT count(*) FROM log_alarm WHERE ended = 0")
                broken = tx.value("SELECT count(*) FROM receipt WHERE state = 'broken'")
        except StoreError:
            up.add_metric((), 0)
            yield up
            return
        up.add_metric((), 1)
        yield up
        for name, text, found in (
            ("last_stamp_microseconds", "The newest stamp given out.", last),
            ("quarantined", "Objects held in quarantine.", held),
            ("releases", "Rows in the release log.", releases),
            ("log_leaves", "Leaves of the tree over it.", leaves),
            ("log_alarms", "Alarms about nodes' logs that nobody ended.", alarms),
            ("receipts_broken", "Receipts whose page is not as promised.", broken),
        ):
            yield GaugeMetricFamily(f"serantau_{name}", text, value=float(found or 0))
