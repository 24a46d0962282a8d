"""The tree in tiles is the tree of the standard, and every row becomes one leaf."""

import os
import signal
import time
from itertools import pairwise
from typing import Any

import pytest

from serantau.clock import SystemClock
from serantau.records import tree
from serantau.records.database import Database
from serantau.records.leaves import Leaves, stamps_of
from serantau.rules.leaf import RELEASE, object_digest, page_root, salts_of
from serantau.rules.receipt import (
    consistency_ranges,
    inclusion_ranges,
    leaf_hash,
    path_of,
    root_of,
)
from stores import GREEN, PROCESSES, Store, indicator


def grow(store: Store, hashes: list[bytes]) -> None:
    with store.db.ledger() as tx:
        tree.append(tx, hashes)


def begin(store: Store) -> None:
    with store.db.ledger() as tx:
        tree.begin(tx)
    with store.db.ledger() as tx:
        tree.begin(tx)


def release(store: Store, stamps: list[int], party: str = "vn", **more: Any) -> None:
    with store.db.read() as tx:
        number = store.registry.party(tx, party)[0]
        told: dict[str, Any] = {
            "actor": "vn-node",
            "way": "taxii",
            "collection": 1,
            "request": "/x",
        }
        store.ledger.record(
            tx, party=number, stamps=stamps, epoch=tx.epoch(), **told | more
        )


def sealed(store: Store) -> list[tuple[int, int]]:
    with store.db.read() as tx:
        rows = tx.rows("SELECT n, row FROM ledger.leaf ORDER BY n")
        return [(row.n, row.row) for row in rows]


def seal_all(store: Store) -> None:
    leaves = Leaves("th")
    while leaves.seal(store.db):
        pass


def test_tiles_give_the_roots_and_proofs_of_the_standard(store: Store) -> None:
    begin(store)
    hashes = [leaf_hash(b"%d" % n) for n in range(70_000)]
    at = 0
    # One, a few, to the end of a tile, over one, over many, and over a level.
    for count in (1, 3, 252, 1, 255, 300, 1000, 66_000, 2188):
        grow(store, hashes[at : at + count])
        at += count
    with store.db.read() as tx:
        reading = tree.Reading(tx)
        for size in (1, 2, 255, 256, 257, 513, 65_535, 65_536, 65_537, at):
            assert reading.root(size) == root_of(hashes[:size])
        for index, size in ((0, 1), (0, at), (65_535, 65_536), (65_536, at)):
            ranges = inclusion_ranges(index, size)
            assert reading.inclusion(index, size) == path_of(hashes[:size], ranges)
        for first, second in ((1, at), (256, 257), (65_537, at), (300, 65_536)):
            ranges = consistency_ranges(first, second)
            assert reading.consistency(first, second) == path_of(hashes, ranges)
        with pytest.raises(ValueError, match="is kept"):
            reading.node(0, at)


def test_each_row_becomes_one_leaf_in_the_order_of_the_log(store: Store) -> None:
    made = [indicator(str(n), GREEN) for n in range(4)]
    store.admit(*made)
    stamps = list(store.page("vn").objects)
    release(store, stamps[:3], receipt="ab" * 32, at=7)
    release(store, stamps[2:], "jp")
    seal_all(store)
    release(store, stamps)
    seal_all(store)
    seal_all(store)
    assert sealed(store) == [(0, 1), (1, 2), (2, 3)]
    leaves = Leaves("th")
    with store.db.read() as tx:
        log = tree.held(tx)
        assert log is not None
        assert log.size == 3
        rows = dict(leaves.each(tx, 0, 3))
        assert [row.recipient for row in rows.values()] == ["vn", "jp", "vn"]
        texts = [
            leaves.text(log, seq, row, row.recipient, row.objects)
            for seq, row in rows.items()
        ]
        assert (rows[0].at, rows[0].receipt) == (7, "ab" * 32)
        hashes = [leaf_hash(text) for text in texts]
        assert tree.Reading(tx).root(3) == root_of(hashes)
        bodies = {
            row.added: object_digest(row.id, row.version, bytes(row.body))
            for row in tx.rows("SELECT added, id, version, body FROM object")
        }
        for row in rows.values():
            salt = salts_of(log.secret, RELEASE, row.n).objects
            digests = [bodies[stamp] for stamp in stamps_of(row)]
            assert page_root(salt, digests) == bytes(row.objects)
        assert leaves.unsealed(tx) == ""
        assert leaves.waiting(tx) == 0


def test_rows_of_events_are_leaves_too(store: Store) -> None:
    with store.db.read() as tx:
        number = store.registry.party(tx, "vn")[0]
        store.ledger.record_rows(
            tx,
            party=number,
            actor="desk",
            way="mail",
            request="notice 1",
            count=9,
            verdicts={},
        )
    seal_all(store)
    with store.db.read() as tx:
        ((_, row),) = Leaves("th").each(tx, 0, 1)
        assert (row.way, row.count, row.objects) == ("mail", 9, None)


def test_an_object_that_is_gone_before_its_release_is_sealed_stops_nothing(
    store: Store,
) -> None:
    one = indicator("x", GREEN)
    store.admit(one)
    release(store, list(store.page("vn").objects))
    with store.db.write() as tx:
        store.objects.delete(tx, one["id"], stamps=set(store.page("vn").objects))
    seal_all(store)
    assert sealed(store) == [(0, 1)]


@pytest.mark.postgres
def test_a_row_that_commits_late_gets_a_later_leaf(postgres_store: Store) -> None:
    store = postgres_store
    with store.db.engine.connect() as late, late.begin():
        insert = (
            "INSERT INTO ledger.release (at, party, actor, way, collection, "
            "grant_view, request, count, span, low, high, stamps) "
            "VALUES (1, 1, 'late', 'taxii', 0, 0, '', 0, 0, 0, 0, '')"
        )
        late.exec_driver_sql(insert)
        release(store, [5])
        release(store, [6])
        seal_all(store)
        assert sealed(store) == [(0, 2), (1, 3)]
    release(store, [7])
    seal_all(store)
    assert sealed(store)[:2] == [(0, 2), (1, 3)]
    assert sorted(row for _, row in sealed(store)) == [1, 2, 3, 4]
    with store.db.read() as tx:
        assert Leaves("th").unsealed(tx) == ""
    # A number that nothing ever had is forgotten after a while.
    store.db.clock.advance(days=8)  # type: ignore[attr-defined]
    release(store, [8])
    seal_all(store)
    with store.db.read() as tx:
        assert tx.value("SELECT count(*) FROM ledger.log_gap") == 0


def seal_for_ever(url: str) -> None:
    db = Database(url, SystemClock())
    leaves = Leaves("th")
    while True:
        leaves.seal(db)


@pytest.mark.kill
def test_sealers_that_are_killed_leave_every_row_as_one_leaf(store: Store) -> None:
    kills = int(os.environ.get("SERANTAU_KILLS", "4"))
    url = store.db.url.render_as_string(hide_password=False)
    made = 0
    for turn in range(kills):
        # Two at once: one of them is too late each time.
        both = [PROCESSES.Process(target=seal_for_ever, args=(url,)) for _ in "ab"]
        for process in both:
            process.start()
        until = time.monotonic() + 0.3 + 0.05 * (turn % 5)
        while time.monotonic() < until:
            release(store, [made + 1, made + 2])
            made += 1
        for process in both:
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
            process.join()
    seal_all(store)
    found = sealed(store)
    assert [n for n, _ in found] == list(range(made))
    assert sorted(row for _, row in found) == [row for _, row in found]
    assert len({row for _, row in found}) == made
    with store.db.read() as tx:
        log = tree.held(tx)
        assert log is not None
        assert log.size == made
        leaves = Leaves("th")
        hashes = [
            leaf_hash(leaves.text(log, seq, row, row.recipient, row.objects))
            for seq, row in leaves.each(tx, 0, made)
        ]
        assert tree.Reading(tx).root(made) == root_of(hashes)
    assert all(later > earlier for (earlier, _), (later, _) in pairwise(found))
