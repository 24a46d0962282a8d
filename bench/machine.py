"""The machine that a figure was measured on, without which it says nothing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

from serantau import __version__
from serantau.clock import SystemClock, moment

BUSY = 0.5
_SHOWN = ("granian", "litestar", "orjson", "sqlalchemy", "jsonschema-rs")


@dataclass(frozen=True, slots=True)
class Machine:
    """Where and when figures were measured.

    cores: that this process may use. load: the one-minute average before the first
    figure, -1 where the system does not tell. memory: in GB, 0 where it is not told.
    versions: program -> version.
    """

    cores: int
    processor: str
    memory: int
    load: float
    date: str
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def busy(self) -> bool:
        """Say whether others were at work, so that figures are worse than they are."""
        return self.load > BUSY

    def __str__(self) -> str:
        told = f"{self.cores} cores, {self.processor}"
        return f"{told}, {self.memory} GB" if self.memory else told

    @property
    def programs(self) -> str:
        """Give the versions in one line."""
        return ", ".join(f"{name} {version}" for name, version in self.versions.items())


def this_machine() -> Machine:
    """Look at this machine, now."""
    versions = {
        "serantau": __version__,
        platform.python_implementation(): platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
    }
    versions |= {name: importlib.metadata.version(name) for name in _SHOWN}
    return Machine(
        cores=_cores(),
        processor=_processor(),
        memory=_memory(),
        load=_load(),
        date=moment(SystemClock().now()).date().isoformat(),
        versions=versions,
    )


def _cores() -> int:
    # Not every system has the former; where it is, containers are counted right.
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def _load() -> float:
    try:
        return round(os.getloadavg()[0], 2)
    except OSError:
        return -1.0


def _memory() -> int:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
    except (OSError, ValueError):
        return 0


def _processor() -> str:
    told = Path("/proc/cpuinfo")
    if told.exists():
        for line in told.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def memory_of(process: int) -> float:
    """Give what a process and its children hold in memory now, in MB.

    What they share is counted once, where the system tells (Linux).
    """
    return sum(_held(one) for one in _family(process)) / 1024


def _held(process: int) -> int:
    """Give the proportional set size in kB; 0 for a process that has ended."""
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0
    for line in text.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


def _family(process: int) -> list[int]:
    found = [process]
    for parent in found:
        try:
            threads = list(Path(f"/proc/{parent}/task").iterdir())
            for thread in threads:
                text = (thread / "children").read_text(encoding="ascii")
                found += map(int, text.split())
        except OSError:
            continue
    return found
