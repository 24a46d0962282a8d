"""The threads of one process: who does the work that the store makes wait for."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from serantau.node import Node

T = TypeVar("T")
_THREADS = 2
_AT_ONCE = 8


@dataclass(slots=True)
class _Job:
    """A piece of work, who waits for it, and what came of it."""

    work: Callable[[], Any]
    waiting: asyncio.Future[Any]
    found: Any = None
    fault: Exception | None = None

    def do(self) -> None:
        try:
            self.found = self.work()
        except Exception as fault:
            self.fault = fault

    def answer(self) -> None:
        if self.waiting.done():
            return
        if self.fault is None:
            self.waiting.set_result(self.found)
        else:
            self.waiting.set_exception(self.fault)


class Pages:
    """Two threads that read pages, and answer a few who wait together.

    While the database reads for one, the other one does what Python has to do. With
    SQLite what waits is read in one transaction, so that the release log is written to
    the disk once for all of it; nobody is answered before that. With PostgreSQL the
    server does the same for its connections, so there each job has its own transaction.
    """

    def __init__(self, node: Node) -> None:
        """Read from `node`."""
        self._node = node
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"serantau-read-{n}", daemon=True)
            for n in range(_THREADS)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Do `work` soon. Only in the thread of a running event loop."""
        waiting: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._jobs.put(_Job(work, waiting))
        return waiting

    def shutdown(self) -> None:
        """End the threads, after what was asked of them before."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        going = True
        while going:
            jobs: list[_Job] = []
            job = self._jobs.get()
            while job is not None:
                # Who went away meanwhile is not read for, nor logged.
                if not job.waiting.cancelled():
                    jobs.append(job)
                if len(jobs) == _AT_ONCE or self._jobs.empty():
                    break
                job = self._jobs.get()
            going = job is not None
            if jobs:
                self._do(jobs)

    def _do(self, jobs: list[_Job]) -> None:
        try:
            if self._node.db.lite:
                with self._node.db.together():
                    for job in jobs:
                        job.do()
            else:
                for job in jobs:
                    job.do()
        except Exception as fault:
            # The transaction did not end well: nothing that was read in it may go.
            for job in jobs:
                job.found, job.fault = None, fault
        loops = {job.waiting.get_loop() for job in jobs}
        for loop in loops:
            mine = [job for job in jobs if job.waiting.get_loop() is loop]
            # A loop that has ended has nobody left who waits.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_answer, mine)


def _answer(jobs: list[_Job]) -> None:
    for job in jobs:
        job.answer()
