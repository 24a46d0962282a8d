"""UTC instants, the texts that standards write them in, and clocks.

An instant is an `int`: microseconds since 1970-01-01T00:00:00Z. It sorts, compares and
stores exactly in every database, which a float or a local time does not.
"""

from __future__ import annotations

import re
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|z|[+-]\d\d:\d\d)"
)


class Clock(Protocol):
    """Where the present comes from. Only apps, desk, records and wire hold one."""

    def now(self) -> int:
        """Give the present instant in microseconds since the epoch."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        """Give the machine's time in microseconds since the epoch."""
        return time.time_ns() // 1000


class SetClock:
    """A clock that a test sets: each reading moves it on by one microsecond."""

    def __init__(self, start: str = "2026-01-01T00:00:00Z") -> None:
        """Start at the RFC 3339 text `start`."""
        self._now = instant(start)
        self._lock = threading.Lock()

    def now(self) -> int:
        """Give the set time."""
        with self._lock:
            self._now += 1
            return self._now

    def advance(self, *, seconds: float = 0, days: float = 0) -> None:
        """Move the clock forward."""
        with self._lock:
            self._now += int((seconds + days * 86_400) * 1_000_000)


def instant(text: str) -> int:
    """Read an RFC 3339 date-time as an instant; digits past the microsecond are cut.

    Raises:
        ValueError: not a date-time, no offset, or a date that does not exist.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an RFC 3339 date-time with an offset")
    day, hour, fraction, zone = match.groups()
    micro = (fraction or "")[:6].ljust(6, "0")
    offset = "+00:00" if zone in {"Z", "z"} else zone
    # A leap second (":60") names the last instant that this scale can tell apart.
    if hour.endswith(":60"):
        hour, micro = hour[:-2] + "59", "999999"
    moment = datetime.fromisoformat(f"{day}T{hour}.{micro}{offset}")
    return (moment - _EPOCH) // _MICROSECOND


def moment(at: int) -> datetime:
    """Give an instant as an aware UTC datetime."""
    return _EPOCH + timedelta(microseconds=at)


def taxii_text(at: int) -> str:
    """Write an instant as TAXII 2.1 §2 does: always six digits of a second."""
    # strftime does not pad a year before 1000, and takes ten times as long.
    text = moment(at).isoformat(timespec="microseconds")
    return text.removesuffix("+00:00") + "Z"


def stix_text(at: int) -> str:
    """Write an instant as STIX 2.1 §2.16 asks of `created` and `modified`: three."""
    text = moment(at).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"
