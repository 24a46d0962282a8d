"""Rows of a log are found newest first, a part at a time, in both databases."""

from collections.abc import Iterator

import pytest

from serantau.clock import SetClock
from serantau.records.audit import Period
from serantau.records.database import Database, Tx
from serantau.records.newest import LOOKED, Wanted, newest

READING = "ledger.reading"


@pytest.fixture
def tx(store_url: str) -> Iterator[Tx]:
    """Ten rows, one an instant, by two people in turn; and one far behind them."""
    db = Database(store_url, SetClock())
    with db.write() as tx:
        for n in [*range(1, 11), LOOKED + 11]:
            tx.run(
                "INSERT INTO ledger.reading (n, at, actor, body, salt, digest) "
                "VALUES (:n, :at, :actor, 'x', :none, :none)",
                n=n,
                at=100 + n,
                actor="ab"[n % 2],
                none=b"",
            )
        yield tx
    db.close()


def test_rows_come_newest_first_and_go_on_where_they_ended(tx: Tx) -> None:
    assert newest(tx, READING, Wanted(), 3) == ([LOOKED + 11, 10, 9], 9)
    assert newest(tx, READING, Wanted(before=9), 8) == ([*range(8, 0, -1)], 0)
    by = ("actor", "a")
    assert newest(tx, READING, Wanted(by=by), 3) == ([10, 8, 6], 6)
    assert newest(tx, READING, Wanted(by=by, before=6), 3) == ([4, 2], 0)


def test_a_period_is_a_range_up_to_and_not_with_its_end(tx: Tx) -> None:
    within = Period(103, 106)
    assert newest(tx, READING, Wanted(within), 9) == ([5, 4, 3], 0)
    assert newest(tx, READING, Wanted(within, by=("actor", "b")), 9) == ([5, 3], 0)
    assert newest(tx, READING, Wanted(Period(10**9)), 9) == ([], 0)


def test_what_no_index_finds_is_looked_for_in_a_part_at_a_time(tx: Tx) -> None:
    also, values = "body = :body", (("body", "x"),)
    first = newest(tx, READING, Wanted(also=also, values=values), 5)
    assert first == ([LOOKED + 11], 12)
    second = Wanted(before=12, by=("actor", "b"), also=also, values=values)
    assert newest(tx, READING, second, 9) == ([9, 7, 5, 3, 1], 0)
    nothing = Wanted(before=12, also=also, values=(("body", "y"),))
    assert newest(tx, READING, nothing, 9) == ([], 0)
