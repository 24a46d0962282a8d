"""A batch is taken in once, worked on by one at a time, and never forgotten."""

from __future__ import annotations

import threading
from itertools import product
from typing import Any

import pytest

from serantau.clock import SetClock
from serantau.errors import Conflict, NotFound
from serantau.records.batches import (
    ATTEMPTS,
    STEPS,
    Arrival,
    Batch,
    Batches,
    State,
    Step,
)
from serantau.records.feeds import Feeds, Look
from stores import Store

BATCHES = Batches()
LEASE = 60.0


def digest(number: int) -> str:
    return f"{number:064x}"


def add(store: Store, number: int, held: str = "", size: int = 10, **more: Any) -> bool:
    told: dict[str, Any] = {"feed": "drone", "name": f"{number}.csv", **more}
    with store.db.write() as tx:
        return BATCHES.add(tx, Arrival(digest(number), size, **told), held=held)


def claim(store: Store, worker: str = "a", limit: int = 1, size: int = 0) -> list[int]:
    with store.db.write() as tx:
        given = BATCHES.claim(tx, worker, LEASE, limit=limit, size=size)
    return [batch.number for batch in given]


def get(store: Store, number: int) -> Batch:
    with store.db.read() as tx:
        return BATCHES.get(tx, digest(number))


def finish(store: Store, batch: Batch, rows: int = 7, rejects: int = 2) -> bool:
    with store.db.write() as tx:
        return BATCHES.finish(
            tx,
            batch,
            rows=rows - rows // 2,
            repeated=rows // 2,
            rejects=rejects,
            format_name="shadowserver",
        )


def later(store: Store, seconds: float) -> None:
    clock = store.db.clock
    assert isinstance(clock, SetClock)
    clock.advance(seconds=seconds)


def test_bytes_that_come_again_change_nothing(store: Store) -> None:
    assert add(store, 1, feed="drone")
    first = get(store, 1)
    assert not add(store, 1, feed="another", held="odd")
    assert get(store, 1) == first
    assert (first.state, first.feed, first.name) == (State.STORED, "drone", "1.csv")


def test_a_batch_is_found_by_number_digest_or_the_digests_beginning(
    store: Store,
) -> None:
    add(store, 0xABCDEF << 232)
    add(store, 0xABCDE0 << 232)
    number = get(store, 0xABCDEF << 232).number
    with store.db.read() as tx:
        for name in (str(number), digest(0xABCDEF << 232), "abcdef"):
            assert BATCHES.get(tx, name).number == number
        for name in ("abcde", "abcdee", "ABCDEF", "x", "", "99", "9" * 30, "'"):
            with pytest.raises(NotFound):
                BATCHES.get(tx, name)


def test_workers_get_the_oldest_batches_each_once(store: Store) -> None:
    with store.db.read() as tx:
        assert not BATCHES.waits(tx)
    for number in range(1, 6):
        add(store, number)
    with store.db.read() as tx:
        assert BATCHES.waits(tx)
    numbers = [get(store, number).number for number in range(1, 6)]
    assert claim(store, "a") == numbers[:1]
    assert claim(store, "b", limit=2, size=100) == numbers[1:3]
    assert claim(store, "c", limit=9, size=100) == numbers[3:]
    assert claim(store, "d", limit=9, size=100) == []
    with store.db.read() as tx:
        assert not BATCHES.waits(tx)
    later(store, LEASE + 1)
    with store.db.read() as tx:
        assert BATCHES.waits(tx)


def test_batches_that_are_claimed_together_keep_within_a_size(store: Store) -> None:
    for number, size in ((1, 900), (2, 40), (3, 50), (4, 20)):
        add(store, number, size=size)
    assert len(claim(store, limit=9, size=100)) == 1
    assert len(claim(store, limit=9, size=100)) == 2
    assert len(claim(store, limit=9, size=100)) == 1


def test_threads_that_claim_at_once_never_get_the_same_batch(store: Store) -> None:
    for number in range(30):
        add(store, number)
    given: list[int] = []

    def work(name: str) -> None:
        while got := claim(store, name, limit=2, size=1000):
            given.extend(got)

    threads = [threading.Thread(target=work, args=(f"w{one}",)) for one in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(given) == len(set(given)) == 30


def test_a_batch_whose_worker_is_gone_is_given_to_another(store: Store) -> None:
    add(store, 1)
    claim(store, "a")
    lost = get(store, 1)
    assert claim(store, "b") == []
    later(store, LEASE + 1)
    assert claim(store, "b") == [lost.number]
    # The first one was only slow: what it notes now changes nothing.
    assert not finish(store, lost)
    assert get(store, 1).worker == "b"
    assert finish(store, get(store, 1))
    done = get(store, 1)
    assert (done.state, done.rows, done.rejects) == (State.DONE, 4, 2)
    assert done.repeated == 3
    assert done.format == "shadowserver"
    assert (done.worker, done.lease) == ("", 0)


def test_a_worker_that_lost_and_regained_a_batch_cannot_end_it_by_its_old_lease(
    store: Store,
) -> None:
    add(store, 1)
    claim(store, "a")
    lost = get(store, 1)
    later(store, LEASE + 1)
    claim(store, "a")
    assert not finish(store, lost)
    assert finish(store, get(store, 1))


def test_a_lease_that_is_extended_is_kept(store: Store) -> None:
    add(store, 1)
    claim(store, "a")
    for _ in range(3):
        later(store, LEASE * 0.8)
        with store.db.write() as tx:
            assert BATCHES.extend(tx, "a", [digest(1), digest(2)], LEASE) == 1
            assert BATCHES.extend(tx, "b", [digest(1)], LEASE) == 0
    assert claim(store, "b") == []


def test_a_batch_that_kills_its_workers_ends_as_failed(store: Store) -> None:
    add(store, 1)
    for _ in range(ATTEMPTS):
        assert claim(store)
        later(store, LEASE + 1)
    add(store, 2)
    assert claim(store) == [get(store, 2).number]
    failed = get(store, 1)
    assert failed.state is State.FAILED
    assert failed.fault == "given up after 5 attempts: its worker ended each time"


def test_a_fault_that_may_pass_is_tried_again_later_each_time(store: Store) -> None:
    add(store, 1)
    waits = []
    for _ in range(ATTEMPTS):
        assert claim(store)
        with store.db.write() as tx:
            assert BATCHES.give_back(tx, get(store, 1), "disk full")
        back = get(store, 1)
        waits.append(round((back.due - back.ended) / 1_000_000))
        assert back.fault.endswith("disk full")
        assert claim(store) == []
        later(store, 3600)
    assert waits[:-1] == [30, 60, 120, 240]
    assert get(store, 1).state is State.FAILED


def test_what_waits_to_be_tried_again_can_be_tried_now(store: Store) -> None:
    add(store, 1)
    assert claim(store)
    with store.db.write() as tx:
        assert BATCHES.give_back(tx, get(store, 1), "disk full")
    assert claim(store) == []
    with store.db.write() as tx:
        BATCHES.retry(tx, get(store, 1))
    assert claim(store)
    again = get(store, 1)
    # Nothing of it is in the archive that would have to be replaced.
    assert (again.round, again.attempts) == (0, 1)


def test_what_a_stopping_worker_gives_back_was_no_attempt(store: Store) -> None:
    add(store, 1)
    for _ in range(2 * ATTEMPTS):
        assert claim(store)
        with store.db.write() as tx:
            assert BATCHES.give_back(tx, get(store, 1))
    assert get(store, 1).state is State.STORED


def test_a_held_batch_waits_for_a_person(store: Store) -> None:
    add(store, 1, held="ten times as large")
    add(store, 2)
    claim(store)
    with store.db.write() as tx:
        assert BATCHES.hold(tx, get(store, 2), "an HTML page")
    assert claim(store) == []
    for number, why in ((1, "ten times as large"), (2, "an HTML page")):
        held = get(store, number)
        assert (held.state, held.fault) == (State.HELD, why)
    with store.db.write() as tx:
        BATCHES.release(tx, get(store, 1))
        BATCHES.drop(tx, get(store, 2))
    assert claim(store) == [get(store, 1).number]
    assert get(store, 1).waived
    assert get(store, 2).state is State.DROPPED


def test_a_retry_is_another_round_with_a_mended_format(store: Store) -> None:
    add(store, 1, format="csv-1")
    claim(store)
    with store.db.write() as tx:
        BATCHES.fail(tx, get(store, 1), "no such column\x00")
    assert get(store, 1).fault == "no such column\\u0000"
    with store.db.write() as tx:
        BATCHES.retry(tx, get(store, 1))
        assert BATCHES.get(tx, digest(1)).format == "csv-1"
    claim(store)
    finish(store, get(store, 1))
    with store.db.write() as tx:
        BATCHES.retry(tx, get(store, 1), "csv-2")
    again = get(store, 1)
    assert (again.state, again.round, again.attempts) == (State.STORED, 2, 0)
    assert again.format == "csv-2"


def in_state(store: Store, number: int, state: State) -> Batch:
    add(store, number, held="odd" if state is State.HELD else "")
    if state in {State.RUNNING, State.DONE, State.FAILED}:
        claim(store)
    with store.db.write() as tx:
        batch = BATCHES.get(tx, digest(number))
        if state is State.DONE:
            BATCHES.finish(tx, batch, rows=1, rejects=0, format_name="x")
        elif state is State.FAILED:
            BATCHES.fail(tx, batch, "no")
        elif state is State.DROPPED:
            BATCHES.drop(tx, batch)
        return BATCHES.get(tx, digest(number))


PERSONS = {
    Step.RELEASE: BATCHES.release,
    Step.RETRY: BATCHES.retry,
    Step.DROP: BATCHES.drop,
}


@pytest.mark.parametrize(
    ("state", "step"), [pytest.param(*one, id="-".join(one)) for one in
                        product(State, PERSONS)]
)  # fmt: skip
def test_a_person_can_do_what_the_table_says_and_nothing_else(
    store: Store, state: State, step: Step
) -> None:
    batch = in_state(store, 1, state)
    assert batch.state is state
    to = STEPS[state].get(step)
    with store.db.write() as tx:
        if to is None:
            with pytest.raises(Conflict, match=f"is {state}: {step} is not for it"):
                PERSONS[step](tx, batch)
        else:
            PERSONS[step](tx, batch)
    assert get(store, 1).state is (to or state)


def test_what_a_person_saw_before_it_changed_is_not_acted_on(store: Store) -> None:
    seen = in_state(store, 1, State.FAILED)
    with store.db.write() as tx:
        BATCHES.retry(tx, seen)
        with pytest.raises(Conflict, match="has changed meanwhile"):
            BATCHES.drop(tx, seen)


def test_every_state_is_reached_and_every_step_leads_somewhere() -> None:
    reached = {to for steps in STEPS.values() for to in steps.values()}
    assert reached == set(State)
    assert STEPS.keys() == set(State)
    assert {step for steps in STEPS.values() for step in steps} == set(Step)


def test_batches_are_listed_the_newest_first_by_state_and_feed(store: Store) -> None:
    for number in range(1, 5):
        add(store, number, feed="odd" if number % 2 else "even")
    claim(store)
    numbers = [get(store, number).number for number in range(1, 5)]

    def listed(**how: object) -> list[int]:
        with store.db.read() as tx:
            return [one.number for one in BATCHES.recent(tx, **how)]  # type: ignore[arg-type]

    assert listed() == numbers[::-1]
    assert listed(limit=2) == numbers[:1:-1]
    assert listed(before=numbers[2]) == numbers[1::-1]
    assert listed(state=State.RUNNING) == numbers[:1]
    assert listed(feed="even") == [numbers[3], numbers[1]]


def test_totals_tell_lag_rejects_and_rate_of_each_feed(store: Store) -> None:
    for number, rows in ((1, 100), (2, 300), (3, 200)):
        add(store, number)
        claim(store)
        later(store, 2)
        finish(store, get(store, number), rows=rows, rejects=number)
    add(store, 4)
    add(store, 5)
    add(store, 6, feed="other", held="odd")
    with store.db.read() as tx:
        drone, other = BATCHES.totals(tx)
        assert BATCHES.counts(tx)[State.DONE] == 3
        assert BATCHES.counts(tx)[State.FAILED] == 0
        # Its middle, so that one odd day does not make another look usual.
        assert BATCHES.usual(tx, "drone") == 203
        assert BATCHES.usual(tx, "other") == 0
    assert drone.states == {State.DONE: 3, State.STORED: 2}
    assert (drone.rows, drone.rejects) == (300, 6)
    assert drone.waiting == get(store, 4).received
    assert drone.last == get(store, 5).received
    assert (drone.recent, round(drone.seconds)) == (606, 6)
    assert (other.waiting, other.recent, other.seconds) == (0, 0, 0.0)


def test_batches_that_are_worked_on_together_share_their_time(store: Store) -> None:
    for number in range(1, 4):
        add(store, number)
    claim(store, limit=3, size=1000)
    later(store, 3)
    for number in range(1, 4):
        finish(store, get(store, number), rows=10, rejects=0)
    with store.db.read() as tx:
        (totals,) = BATCHES.totals(tx)
    assert (totals.recent, round(totals.seconds)) == (30, 3)


def test_only_what_ended_for_good_long_ago_is_settled(store: Store) -> None:
    # Stored comes last: what waits would be claimed in place of another.
    states = [*reversed(State)]
    for number, state in enumerate(states, 1):
        in_state(store, number, state)
    later(store, 100)
    with store.db.read() as tx:
        now = tx.clock.now()
        assert sorted(BATCHES.settled_before(tx, now)) == sorted(
            digest(number)
            for number, state in enumerate(states, 1)
            if state in {State.DONE, State.DROPPED}
        )
        assert BATCHES.settled_before(tx, now - 200_000_000) == []
        settled = BATCHES.settled_before(tx, now)
        assert BATCHES.holds(tx, digest(1))
        assert not BATCHES.holds(tx, digest(99))
    with store.db.write() as tx:
        BATCHES.forget(tx, settled)
        assert BATCHES.settled_before(tx, now) == []
        assert not BATCHES.get(tx, settled[0]).kept


def test_a_small_batchs_bytes_are_kept_with_it_until_they_are_forgotten(
    store: Store,
) -> None:
    with store.db.write() as tx:
        assert BATCHES.add(tx, Arrival(digest(1), 3, "drone"), body=b"a\x00b")
        assert not BATCHES.add(tx, Arrival(digest(1), 3, "drone"), body=b"a\x00b")
        assert BATCHES.body(tx, digest(1)) == b"a\x00b"
        BATCHES.add(tx, Arrival(digest(2), 3, "drone"))
        assert BATCHES.body(tx, digest(2)) is None
        BATCHES.forget(tx, [digest(1), digest(2)])
        assert BATCHES.body(tx, digest(1)) is None


def test_what_a_server_said_is_kept_for_one_address(store: Store) -> None:
    feeds = Feeds()
    look = Look("drop", "https://a.example/", '"x"', "Mon", "ab", 1, 2, 3, 4, "no\x00")
    with store.db.write() as tx:
        assert feeds.get(tx, "drop", look.address) == Look("drop", look.address)
        feeds.put(tx, Look("drop", look.address))
        feeds.put(tx, look)
        held = feeds.get(tx, "drop", look.address)
        assert held.fault == "no\\u0000"
        assert (held.etag, held.due, held.failures) == ('"x"', 3, 4)
        assert feeds.all(tx) == [held]
        assert feeds.get(tx, "drop", "https://b.example/") == Look(
            "drop", "https://b.example/"
        )
