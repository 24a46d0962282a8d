"""Following one peer: a hint makes a pull happen now, polling makes sure of it."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Protocol

import structlog

from serantau.errors import SerantauError
from serantau.records.peers import Peer
from serantau.wire.client import TaxiiClient

# In seconds: the first step of a back-off, how quiet a line may be, and how long a
# thread may take to end.
_BACK_OFF_SECONDS = 1.0
_QUIET_SECONDS = 60.0
_END_SECONDS = 10.0

_log = structlog.get_logger(__name__)
_chance = random.SystemRandom()


class Pull(Protocol):
    """What a pull tells of itself."""

    @property
    def faults(self) -> list[str]:
        """List what went wrong, in words."""
        ...


class Pulls(Protocol):
    """Who pulls (`desk.federate.Federation`)."""

    def peer(self, name: str) -> Peer:
        """Give a peer, ready to be asked."""
        ...

    def client(self, peer: Peer) -> TaxiiClient:
        """Open a line to a peer."""
        ...

    def pull_over(self, peer: Peer, client: TaxiiClient) -> Pull:
        """Pull everything new over a line."""
        ...


class Follow:
    """Two threads that follow one peer: one hears hints, the other pulls."""

    def __init__(
        self, pulls: Pulls, peer: Peer, stop: threading.Event, poll_seconds: float
    ) -> None:
        """Start to follow `peer`, with a pull at least every `poll_seconds`."""
        self.peer = peer
        self._pulls = pulls
        self._stop = stop
        self._poll = poll_seconds
        self._over = threading.Event()
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._hang_up: Callable[[], None] | None = None
        self._line: tuple[Peer, TaxiiClient] | None = None
        self._threads = [
            threading.Thread(target=target, name=f"{verb} {peer.name}", daemon=True)
            for verb, target in (("pull", self._pull), ("hear", self._hear))
        ]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Let both threads come to an end."""
        self._over.set()
        self._wake.set()
        with self._lock:
            if self._hang_up is not None:
                self._hang_up()

    def join(self) -> None:
        """Wait until both threads have ended."""
        for thread in self._threads:
            thread.join(_END_SECONDS)

    def _ends(self) -> bool:
        return self._over.is_set() or self._stop.is_set()

    def _back_off(self, failures: int) -> float:
        """Give the seconds to wait after so many failures in a row, with jitter."""
        longest = min(_BACK_OFF_SECONDS * 2.0 ** min(failures, 16), self._poll)
        return longest * _chance.uniform(0.5, 1.0)

    def _pull(self) -> None:
        failures = 0
        while not self._ends():
            self._wake.clear()
            failures = failures + 1 if self._broke_off() else 0
            if failures:
                # Hints do not hurry a peer that fails: they may be all it still does.
                self._over.wait(self._back_off(failures))
            else:
                self._wake.wait(self._poll)
        self._drop_line()

    def _broke_off(self) -> bool:
        """Pull once; the line stays open for the next time when all went well."""
        try:
            peer = self._pulls.peer(self.peer.name)
            if self._line is None or self._line[0] != peer:
                self._drop_line()
                self._line = peer, self._pulls.client(peer)
            if not self._pulls.pull_over(*self._line).faults:
                return False
        except SerantauError as fault:
            _log.error("pull_failed", peer=self.peer.name, fault=str(fault))
        except Exception:
            # A fault of our own must not end the following of a peer for good.
            _log.exception("pull_failed", peer=self.peer.name)
        self._drop_line()
        return True

    def _drop_line(self) -> None:
        if self._line is not None:
            self._line[1].close()
            self._line = None

    def _hear(self) -> None:
        failures = 0
        while not self._ends():
            try:
                with self._pulls.client(self._pulls.peer(self.peer.name)) as client:
                    heard = self._listen(client)
                failures = 1 if heard else failures + 1
            except SerantauError as fault:
                failures += 1
                _log.debug("no_hints", peer=self.peer.name, fault=str(fault))
            except Exception:
                failures += 1
                _log.exception("no_hints", peer=self.peer.name)
            self._over.wait(self._back_off(failures))

    def _listen(self, client: TaxiiClient) -> bool:
        """Wake the other thread at each hint; say whether there was a sign of life."""
        heard = False
        with client.hints(_QUIET_SECONDS) as hints:
            with self._lock:
                self._hang_up = hints.close
            try:
                if self._ends():
                    return heard
                # What was hinted at while the line was down is not hinted at again.
                self._wake.set()
                for hint in hints:
                    heard = True
                    if hint.event == "hint":
                        self._wake.set()
            finally:
                with self._lock:
                    self._hang_up = None
        return heard
