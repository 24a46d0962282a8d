"""Slow work that a form begins: it goes on beside the pages, however long it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeVar

from serantau.apps.web.hall import Asking
from serantau.apps.web.logs import logger
from serantau.apps.web.pages.door import node_of
from serantau.errors import SerantauError, TooMany

T = TypeVar("T")

SOON_SECONDS: Final = 5.0
"""So long a reader waits for the end."""
_MOST: Final = 4
_going: dict[str, asyncio.Task[Any]] = {}


async def begun(request: Asking, name: str, work: Callable[[], T]) -> T | None:
    """Begin work that may take long, and give what came of it; None: it goes on.

    The same work of one node is done once at a time: whoever asks again waits for it.

    Raises:
        TooMany: much other work goes on.
    """
    place = f"{node_of(request).home}\n{name}"
    task: asyncio.Task[T] | None = _going.get(place)
    if task is None:
        if len(_going) >= _MOST:
            raise TooMany("Much else goes on. Try again in a minute.", wait=60)
        task = asyncio.create_task(asyncio.to_thread(work))
        _going[place] = task
        task.add_done_callback(lambda done: _ended(place, done))
    done, _ = await asyncio.wait({task}, timeout=SOON_SECONDS)
    return task.result() if done else None


def _ended(place: str, task: asyncio.Task[Any]) -> None:
    _going.pop(place, None)
    fault = None if task.cancelled() else task.exception()
    if isinstance(fault, SerantauError):
        logger(__name__).warning("slow_work_failed", fault=str(fault))
    elif fault is not None:
        logger(__name__).error("slow_work_failed", exc_info=fault)
