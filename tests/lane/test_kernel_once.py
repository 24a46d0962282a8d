"""A finding of a batch is told once, in whichever of its pieces it comes again."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from serantau.lane.frame import INSTANT
from serantau.lane.once import Once

DAY = datetime(2026, 11, 20, 12, tzinfo=UTC)


def events(*said: tuple[Any, ...]) -> pl.DataFrame:
    return pl.DataFrame(
        said,
        {"fingerprint": pl.String, "time": INSTANT, "tlp": pl.Int16},
        orient="row",
    )


def test_another_day_or_level_is_another_finding() -> None:
    once = Once()
    first = events(("a", DAY, None), ("b", DAY, 1))
    assert once.fresh(first).to_list() == [True, True]
    again = events(
        ("a", DAY + timedelta(hours=3), None),
        ("a", DAY + timedelta(days=1), None),
        ("b", DAY, 2),
        ("b", DAY, 1),
        ("c", DAY, None),
    )
    assert once.fresh(again).to_list() == [False, True, True, False, True]
    assert once.fresh(events()).to_list() == []


@given(pieces=st.lists(st.sets(st.integers(0, 60), max_size=30), max_size=12))
def test_every_finding_is_fresh_once(pieces: list[set[int]]) -> None:
    once, seen = Once(), set[int]()
    for piece in pieces:
        said = list(piece)
        fresh = once.fresh(events(*((str(each), DAY, 0) for each in said)))
        assert fresh.to_list() == [each not in seen for each in said]
        seen |= piece
        assert len(once) == len(seen)


def test_memory_is_bounded_and_the_oldest_are_forgotten_first() -> None:
    once = Once(most=4000)
    for start in range(0, 20_000, 500):
        said = [(str(each), DAY, 0) for each in range(start, start + 500)]
        assert once.fresh(events(*said)).all()
        assert not once.fresh(events(*said)).any()
        assert len(once) <= 4000
