"""The archive in an S3-compatible store is the same archive."""

import threading
import urllib.request
from collections.abc import Iterator

import pytest

from archived import batch_of, event, now, put, refused, stored, written
from objectstore import Served, object_store
from serantau.errors import StoreError
from serantau.lane import sql
from serantau.lane.archive import Archive, Written
from serantau.lane.question import Asking, Question

ROWS = [event(f"198.51.100.{last}", party="ais") for last in range(1, 9)]


@pytest.fixture
def store() -> Iterator[Served]:
    with object_store() as store:
        yield store


@pytest.fixture
def archive(store: Served) -> Archive:
    return Archive("s3://bucket/node/archive", store.options)


def test_everything_is_done_to_an_archive_in_a_store(
    archive: Archive, store: Served
) -> None:
    put(archive, "one", ROWS, {"value": "1.2.3"})
    put(archive, "two", [event(party="dtac"), *ROWS])
    assert archive.commit(written(archive, "one", ROWS)) == frozenset()
    assert stored(archive).height == 17
    assert refused(archive).height == 1
    (folded,) = archive.fold(now("2026-03-05"))
    assert (folded.before, folded.after) == (2, 1)
    asking = Asking(archive, Question(addresses=("198.51.100.3",)))
    assert asking.estimate().files == 1
    assert asking.count() == 2
    assert sql.ask(archive, "SELECT count(*) FROM events").rows.item() == 17
    assert archive.held(stored(archive), "made", 0).all()
    assert archive.erase(parties=["dtac"]).events == 1
    assert stored(archive).height == 16
    left = {name for name in store.told()["names"] if "/events/day=" in name}
    visible = archive.events.listed()["path"]
    assert left == {f"bucket/node/archive/events/{path}" for path in visible}
    for name in store.told()["names"]:
        if "/_delta_log/" in name:
            with urllib.request.urlopen(f"{store.url}/{name}") as answer:  # noqa: S310
                assert b"dtac" not in answer.read(), name
    assert archive.vacuum() == 0
    assert archive.size().rows == 16


def test_of_two_machines_that_race_for_a_batch_one_counts(
    archive: Archive, store: Served
) -> None:
    rivals = [Archive(archive.root, store.options) for _ in range(3)]
    waiting = [written(each, "one", ROWS, {"value": "x"}) for each in rivals]
    others = [Written((batch_of(name),)) for name in range(3)]
    won: list[frozenset[str]] = []
    store.let_meet()

    def race(place: int) -> None:
        rivals[place].commit(others[place])
        won.append(rivals[place].commit(waiting[place]))

    threads = [threading.Thread(target=race, args=(place,)) for place in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(len, won)) == [0, 0, 1]
    # The store itself decided who was first.
    assert store.told()["refused"] > 0
    assert stored(archive).height == len(ROWS)
    assert refused(archive).height == 1
    assert all(archive.has(batch_of(name)) for name in range(3))


def test_a_file_of_megabytes_comes_back_whole(archive: Archive) -> None:
    chance = "".join(batch_of(number) for number in range(250_000))
    put(archive, "one", [event(extra=chance)])
    assert stored(archive)["extra"].to_list() == [chance]


def test_a_store_that_is_away_is_told(store: Served) -> None:
    options = {
        **store.options,
        "aws_endpoint_url": "http://127.0.0.1:1",
        "max_retries": "0",
        "retry_timeout": "1s",
    }
    with pytest.raises(StoreError, match="cannot be used"):
        Archive("s3://bucket/archive", options).size()
