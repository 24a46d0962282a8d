"""How often somebody may ask for pages: enough for any person, not for a program.

A session may ask for as many pages in one go as a person with many windows has, and
goes on at a steady pace; strangers are counted by their network. What is asked too
fast is refused with the seconds to wait, and costs next to nothing.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final

from serantau.errors import TooMany

AT_ONCE: Final = 15
"""So many seconds' requests may come in one go."""
_COUNTED: Final = 20_000


class Pace:
    """Counts requests by any key, in a bounded memory."""

    def __init__(self, rate: int, now: Callable[[], float] = time.monotonic) -> None:
        """Allow `rate` requests a second by `now`, a clock that never jumps."""
        self._rate, self._most = float(rate), float(rate * AT_ONCE)
        self._now = now
        self._left: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, key: Hashable) -> None:
        """Count one request.

        Raises:
            TooMany: this one comes too fast.
        """
        now = self._now()
        with self._lock:
            left, at = self._left.pop(key, (self._most, now))
            left = min(self._most, left + (now - at) * self._rate)
            self._left[key] = (max(left - 1, 0.0), now)
            if len(self._left) > _COUNTED:
                self._left.popitem(last=False)
        if left < 1:
            raise TooMany(
                "Pages are asked for too fast.", mend="Wait a moment.", wait=5
            )
