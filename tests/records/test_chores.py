"""A chore is one process's at a time, and how far it is done survives that process."""

from serantau.clock import SetClock
from serantau.records.chores import Chore, Chores
from stores import Store


def test_a_chore_is_one_workers_until_its_lease_is_over(store: Store) -> None:
    chores = Chores()
    with store.db.write() as tx:
        assert chores.take(tx, "notices", "a", 60)
        assert chores.take(tx, "notices", "a", 60)
        assert not chores.take(tx, "notices", "b", 60)
        chores.leave(tx, "notices", "b")
        assert not chores.take(tx, "notices", "b", 60)
        chores.leave(tx, "notices", "a")
        assert chores.take(tx, "notices", "b", 60)
    assert isinstance(store.db.clock, SetClock)
    store.db.clock.advance(seconds=61)
    with store.db.write() as tx:
        assert chores.take(tx, "notices", "a", 60)


def test_a_chore_that_fails_stays_as_far_as_it_was_done(store: Store) -> None:
    chores = Chores()
    with store.db.write() as tx:
        assert chores.get(tx, "notices") == Chore("notices")
        chores.note(tx, "notices", done=7)
        chores.note(tx, "notices", fault="no\x00 archive")
        held = chores.get(tx, "notices")
    assert (held.done, held.fault) == (7, "no\\u0000 archive")
    assert held.tried > 0
