"""The lane's work on a Ray cluster: the same functions, on more machines.

Everything that a function needs travels as an object of Ray, and what it gives stays
on its machine until it is asked for. A worker that is killed has its item done again,
from objects that this process keeps until then; functions are pure, so that gives the
same. This process must run on a machine of the cluster, and is gone when the raylet of
its own machine is: so a running node does not work this way by itself.
"""

from __future__ import annotations

import importlib
import os
import socket
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Generic, TypeVar

import polars

from serantau import __version__
from serantau.errors import ConfigError, SerantauError, StoreError
from serantau.lane.engine import Held

A = TypeVar("A")
R = TypeVar("R")
T = TypeVar("T")

# Bytes of a file that wait for their turn on this machine: 32 MB an item.
_MOST: Final = 32
_BESIDE: Final = 8
# Machines of other versions need not give the same.
_VERSIONS: Final = f"serantau {__version__}, polars {polars.__version__}"
# Beyond the first time; then it is the item that ends its workers.
_RETRIES: Final = 4
_CACHED: Final = 4
_MEND: Final = "See docs/scale.md for what a cluster needs."


# Values that functions on this machine want again, and those of the item in work.
_values: OrderedDict[str, Any] = OrderedDict()
_needed: dict[str, Any] = {}
_met = threading.local()


class Cluster:
    """A Ray cluster. One process has one at a time; several threads may use it."""

    here = False

    def __init__(self, address: str = "") -> None:
        """Join a cluster.

        Args:
            address: of its head, `HOST:PORT`; empty starts one of this machine's cores
                that nobody else reaches, and that ends with this process.

        Raises:
            ConfigError: Ray is not installed.
            StoreError: there is no cluster at the address.
        """
        # Ray would tell its makers how it is used.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        if not address or address.startswith(("127.", "localhost:", "[::1]")):
            # Ray takes this machine's public address for loopback, unless told so.
            os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        try:
            ray = importlib.import_module("ray")
        except ImportError as fault:
            raise ConfigError(
                "The engine 'ray' needs Ray, which is not installed.",
                mend="Install it beside serantau: pip install 'serantau[cluster]'.",
            ) from fault
        _check(address)
        alone: dict[str, Any] = {
            "_node_ip_address": "127.0.0.1",
            "include_dashboard": False,
        }
        try:
            ray.init(
                address=address or "local",
                log_to_driver=False,
                logging_level="error",
                # A worker has one core; Polars would start threads for all of them.
                runtime_env={"env_vars": {"POLARS_MAX_THREADS": "1"}},
                **({} if address else alone),
            )
        except Exception as fault:
            # Ray raises that very class too, when its own processes are slow to start.
            where = f"at {address}" if address else "on this machine"
            raise StoreError(
                f"No Ray cluster could be joined {where}: {_first_line(fault)}",
                mend=_MEND,
            ) from fault
        self._ray: Any = ray
        self._do = ray.remote(num_returns=2, max_retries=_RETRIES)(_do)
        cores = int(ray.cluster_resources().get("CPU", 1))
        self.ahead = min(cores + 2, _MOST)
        self.beside = _BESIDE
        self._room = threading.Semaphore(self.ahead)

    def map(
        self, function: Callable[[A], tuple[R, T]], items: Iterable[A], ahead: int
    ) -> Iterator[tuple[R, Held[T]]]:
        """Call a function on items on all machines, as Engine.map says."""
        ray = self._ray
        source = iter(items)
        fault: Exception | None = None
        waiting: deque[tuple[Any, Any, Any]] = deque()
        called = ray.put((_VERSIONS, function))
        try:
            while True:
                # One item of each map is in work even when others took all the room.
                while fault is None and (
                    not waiting
                    or (
                        len(waiting) < max(ahead, 1)
                        and self._room.acquire(blocking=False)
                    )
                ):
                    roomy = bool(waiting)
                    try:
                        item, needed = self._put(next(source))
                    except Exception as error:
                        fault = error
                        if roomy:
                            self._room.release()
                        break
                    told, body = self._do.remote(
                        called, item, [one.hex() for one in needed], *needed
                    )
                    waiting.append((told, Afar(body, item, called), roomy))
                if not waiting:
                    break
                told, body, roomy = waiting[0]
                found = self._get(told)
                waiting.popleft()
                if roomy:
                    self._room.release()
                yield found, body
            if fault is not None and not isinstance(fault, StopIteration):
                raise fault
        finally:
            for told, _, roomy in waiting:
                ray.cancel(told)
                if roomy:
                    self._room.release()

    def _put(self, item: Any) -> tuple[Any, list[Any]]:
        """Put an item into the cluster; gives the values in it that are there too.

        They are handed over as what the item waits for. A function that waited for them
        while it runs would hold the very core that is needed to make a lost one anew.
        """
        refs: list[Any] = []
        _met.refs = refs
        try:
            return self._ray.put(item), refs
        finally:
            del _met.refs

    def _get(self, told: Any) -> Any:
        try:
            found = self._ray.get(told)
        except self._ray.exceptions.RayError as fault:
            raise StoreError(
                f"The cluster could not do its work: {_first_line(fault)}", mend=_MEND
            ) from fault
        if isinstance(found, SerantauError):
            raise found
        return found

    def share(self, value: T) -> Held[T]:
        """Put a value into the cluster; machines that need it often keep it."""
        return Afar(self._ray.put(value), kept=True)

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        self._ray.shutdown()


def _check(address: str) -> None:
    """Make sure that somebody listens: Ray would try for minutes.

    Raises:
        ConfigError: it is no address.
        StoreError: nobody answers there.
    """
    if not address:
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ConfigError(f"lane.cluster is {address!r}, expected HOST:PORT.")
    try:
        socket.create_connection((host.strip("[]"), int(port)), 10).close()
    except OSError as fault:
        raise StoreError(
            f"No Ray cluster answers at {address}: {fault}", mend=_MEND
        ) from fault


class Afar(Generic[T]):
    """A value in the cluster. What it was made from stays as long as this is here."""

    def __init__(self, ref: Any, *made_from: Any, kept: bool = False) -> None:
        """Point at an object; `kept`: whoever gets it will want it again."""
        self._ref = ref
        self._kept = kept
        self._made_from = made_from

    def __reduce__(self) -> tuple[Any, ...]:
        if not self._kept and hasattr(_met, "refs"):
            _met.refs.append(self._ref)
        return _afar, (self._ref, self._kept)

    def __call__(self) -> T:
        """Give the value; it comes here for that."""
        ray: Any = importlib.import_module("ray")
        name = self._ref.hex()
        if name in _needed:
            needed: T = _needed[name]
            return needed
        if name in _values:
            _values.move_to_end(name)
            found: T = _values[name]
            return found
        value: T = ray.get(self._ref)
        if self._kept:
            _values[name] = value
            while len(_values) > _CACHED:
                _values.popitem(last=False)
        return value


def _afar(ref: Any, kept: bool) -> Afar[Any]:
    return Afar(ref, kept=kept)


def _do(
    called: tuple[str, Callable[[Any], Any]],
    item: Any,
    names: list[str],
    *needed: Any,
) -> Any:
    """Do an item, in a worker of the cluster; a fault of ours goes back as a value."""
    versions, function = called
    _needed.update(zip(names, needed, strict=True))
    try:
        if versions != _VERSIONS:
            raise ConfigError(
                f"A machine of the cluster has {_VERSIONS}, expected {versions}.",
                mend="Install the same on every machine.",
            )
        return function(item)
    except SerantauError as fault:
        return fault, None
    finally:
        _needed.clear()


def _first_line(fault: Exception) -> str:
    lines = str(fault).strip().splitlines() or [""]
    # Ray puts the trace of a worker before what went wrong in it.
    return f"{type(fault).__name__}: {lines[-1][:300]}"
