"""A person is never too fast for the pages, a program is."""

import pytest

from serantau.apps.web.pages.pace import AT_ONCE, Pace
from serantau.errors import TooMany

RATE = 4


class Hand:
    """A clock that stands where it is put."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_comes_too_fast_is_refused_until_time_has_passed() -> None:
    clock = Hand()
    pace = Pace(RATE, clock)
    for _ in range(RATE * AT_ONCE):
        pace.take("one")
    with pytest.raises(TooMany, match="too fast"):
        pace.take("one")
    pace.take("another")
    clock.now += 1.0
    for _ in range(RATE):
        pace.take("one")
    with pytest.raises(TooMany):
        pace.take("one")


def test_rest_gives_back_no_more_than_goes_at_once() -> None:
    clock = Hand()
    pace = Pace(RATE, clock)
    pace.take(7)
    clock.now += 1_000_000.0
    for _ in range(RATE * AT_ONCE):
        pace.take(7)
    with pytest.raises(TooMany):
        pace.take(7)
