"""What own people read becomes one leaf each, whoever is killed."""

import os
import signal
import time

import pytest

from serantau.clock import SystemClock
from serantau.records import acts
from serantau.records.acts import By
from serantau.records.database import Database
from serantau.records.leaves import Leaves
from serantau.rules.leaf import READING
from stores import PROCESSES, Store

ANA = By("ana", "cli")


def read_for_ever(url: str) -> None:
    db = Database(url, SystemClock())
    turn = 0
    while True:
        turn += 1
        with db.read() as tx:
            acts.read(tx, ANA, "show", f"object {turn}", 1, [])
        Leaves("th").seal(db)


def many(store: Store) -> int:
    with store.db.read() as tx:
        return int(tx.value("SELECT count(*) FROM ledger.reading"))


@pytest.mark.kill
def test_readers_that_are_killed_leave_every_row_as_one_leaf(store: Store) -> None:
    kills = int(os.environ.get("SERANTAU_KILLS", "3"))
    url = store.db.url.render_as_string(hide_password=False)
    for turn in range(kills):
        both = [PROCESSES.Process(target=read_for_ever, args=(url,)) for _ in "ab"]
        for process in both:
            process.start()
        before = many(store)
        until = time.monotonic() + 60
        while many(store) < before + 5 and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.05 * turn)
        for process in both:
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
            process.join()
    while Leaves("th").seal(store.db):
        pass
    with store.db.read() as tx:
        rows = many(store)
        assert rows > 0
        assert tx.value("SELECT count(DISTINCT row) FROM ledger.leaf") == rows
        assert tx.value("SELECT size FROM ledger.log") == rows
        erased = acts.Erased(tx)
        held = list(acts.checked(tx, READING, 2, 0, rows, erased))
        assert all(row is not None for _, row, _ in held)
