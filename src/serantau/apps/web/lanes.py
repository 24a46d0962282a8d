"""The threads of one process: who does the work that the store makes wait for."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from serantau.node import Node

T = TypeVar("T")
_Job = tuple[Future[Any], Callable[[], Any]]
_AT_ONCE = 32


class Pages:
    """One thread that reads pages, and answers all who wait together.

    A second thread would only make the interpreter's lock change hands. With SQLite
    what waits is read in one transaction, so that the release log is written to the
    disk once for all of it; nobody is answered before that. With PostgreSQL the server
    does the same for its connections, so there each job has its own transaction.
    """

    def __init__(self, node: Node) -> None:
        """Read from `node`."""
        self._node = node
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(
            target=self._run, name="serantau-read", daemon=True
        )
        self._thread.start()

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Do `work` soon."""
        future: Future[T] = Future()
        self._jobs.put((future, work))
        return future

    def shutdown(self) -> None:
        """End the thread, after what was asked of it before."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        going = True
        while going:
            jobs: list[_Job] = []
            job = self._jobs.get()
            while job is not None:
                jobs.append(job)
                if len(jobs) == _AT_ONCE or self._jobs.empty():
                    break
                job = self._jobs.get()
            going = job is not None
            # Who went away meanwhile is not read for, nor logged.
            jobs = [job for job in jobs if job[0].set_running_or_notify_cancel()]
            if jobs:
                self._do(jobs)

    def _do(self, jobs: list[_Job]) -> None:
        done: list[Callable[[], None]] = []
        try:
            if self._node.db.lite:
                with self._node.db.together():
                    done = [_outcome(*job) for job in jobs]
            else:
                done = [_outcome(*job) for job in jobs]
        except Exception as fault:
            # The transaction did not end well: nothing that was read in it may go.
            self._node.ledger.forget()
            for future, _ in jobs:
                future.set_exception(fault)
            return
        for answer in done:
            answer()


def _outcome(future: Future[Any], work: Callable[[], Any]) -> Callable[[], None]:
    """Do the work, and give what will tell its outcome."""
    try:
        found = work()
    except Exception as fault:
        refused = fault
        return lambda: future.set_exception(refused)
    return lambda: future.set_result(found)
