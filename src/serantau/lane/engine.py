"""Where the lane's work is done: by threads of this process, or on a cluster.

An engine calls a pure function on many items at once, and gives what came of them in
the items' order. So whoever asks gets the same result from every engine; what differs
is on how many machines it was worked out. Only so many items are in work at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

A = TypeVar("A")
R = TypeVar("R")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

NAMES: Final = ("threads", "ray")
"""The engines that there are."""

_AHEAD: Final = 2


class Held(Protocol[T_co]):
    """A value that may be on another machine. It can be handed on without being got."""

    def __call__(self) -> T_co:
        """Give the value; it comes here for that."""
        ...


class Engine(Protocol):
    """What the lane asks when there is much to do.

    here: functions run in this process, and see its files. ahead: how many items are
    best in work at a time. beside: how many groups of batches a worker has in work.
    """

    here: bool
    ahead: int
    beside: int

    def map(
        self, function: Callable[[A], tuple[R, T]], items: Iterable[A], ahead: int
    ) -> Iterator[tuple[R, Held[T]]]:
        """Call a function on items; what it gives is in two parts, told and held.

        Args:
            function: pure: it may be called again on the same item.
            items: taken as they are needed, by one thread at a time. What fails there
                is raised when the results of the items before were given.
            ahead: how many may be in work while results are waited for; with 0 it is
                the function itself that uses all of a machine.

        Yields:
            In the items' order: the first part, which is small and comes here, and the
            second, which stays where it is until it is asked for.

        Raises:
            StoreError: the cluster failed. Whatever the function raises of ours is
                raised as it is.
        """
        ...

    def share(self, value: T) -> Held[T]:
        """Put a value where every function can get it."""
        ...

    def close(self) -> None:
        """Let go of what the engine holds; nothing is asked of it afterwards."""
        ...


@dataclass(frozen=True, slots=True)
class Here(Generic[T]):
    """A value that is here."""

    value: T

    def __call__(self) -> T:
        """Give it."""
        return self.value


class Ahead(Iterator[T]):
    """Takes items from a generator in a thread of its own, before they are asked for.

    What fails there is raised in its turn.
    """

    def __init__(self, items: Generator[T], most: int) -> None:
        """Begin, and have at most so many items waiting."""
        self._items = items
        self._thread = ThreadPoolExecutor(1, "serantau-ahead")
        self._waiting = deque(self._next() for _ in range(most))

    def _next(self) -> Future[T | None]:
        return self._thread.submit(next, self._items, None)

    def __next__(self) -> T:
        """Give the next item."""
        found = self._waiting.popleft().result()
        if found is None:
            raise StopIteration
        self._waiting.append(self._next())
        return found

    def close(self) -> None:
        """End; an item that is being taken is waited for."""
        self._thread.shutdown(cancel_futures=True)
        self._items.close()


class Threads:
    """This machine's cores. It may be used by several threads."""

    here = True
    ahead = _AHEAD
    beside = 1

    def map(
        self, function: Callable[[A], tuple[R, T]], items: Iterable[A], ahead: int
    ) -> Iterator[tuple[R, Held[T]]]:
        """Call a function on items in so many threads, as Engine.map says."""
        if not ahead:
            yield from (_parted(function(item)) for item in items)
            return
        waiting: deque[Future[tuple[R, T]]] = deque()
        with ThreadPoolExecutor(ahead, "serantau-lane") as threads:
            try:
                for item in items:
                    waiting.append(threads.submit(function, item))
                    if len(waiting) >= ahead:
                        yield _parted(waiting.popleft().result())
                while waiting:
                    yield _parted(waiting.popleft().result())
            finally:
                for future in waiting:
                    future.cancel()

    def share(self, value: T) -> Held[T]:
        """Keep a value here."""
        return Here(value)

    def close(self) -> None:
        """Do nothing: threads end with what they were begun for."""


def _parted(found: tuple[R, T]) -> tuple[R, Held[T]]:
    told, body = found
    return told, Here(body)


THREADS: Final = Threads()


def open_engine(name: str, cluster: str = "") -> Engine:
    """Give an engine by its name.

    Args:
        name: one of NAMES.
        cluster: the address of a Ray cluster; empty starts one on this machine.

    Raises:
        ConfigError: there is none of that name, or what it needs is not installed.
        StoreError: the cluster cannot be reached.
    """
    if name == "threads":
        return THREADS
    from serantau.lane.cluster import Cluster

    return Cluster(cluster)
