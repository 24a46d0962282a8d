"""What a batch brought is in the archive once, or not at all."""

import json
import os
import threading
from contextlib import suppress
from pathlib import Path

import msgspec
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from archived import (
    at,
    batch_of,
    event,
    events,
    now,
    put,
    refused,
    rejects,
    stored,
    written,
)
from serantau.errors import StoreError
from serantau.lane.archive import MEASURED, Archive, Written
from serantau.lane.delta import GRACE
from serantau.lane.frame import EVENTS, REJECTS

ROWS = [event(f"198.51.100.{last}", source_port=last) for last in range(1, 9)]


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "archive")


def test_every_column_comes_back_as_it_was_written(archive: Archive) -> None:
    row = event(
        "2001:db8::1",
        number=7,
        batch=batch_of("one"),
        destination_address="203.0.113.9",
        source_asn=4_294_967_295,
        severity=4,
        tlp=3,
        count=9_000_000_000,
        first_seen=at("1970-01-01"),
        extra='{"a": "ก\\u0000", "b": [1.5, null]}',
        marks="a,b",
    )
    archive.commit(
        Written((batch_of("one"),), archive.write(events([row]))),
    )
    assert_frame_equal(stored(archive), events([row]))


def test_columns_that_a_frame_lacks_are_null(archive: Archive) -> None:
    short = events([event()]).drop("extra", "marks")
    archive.commit(Written((batch_of("one"),), archive.write(short)))
    assert stored(archive)["extra"].to_list() == [None]


def test_what_is_written_is_not_there_before_the_commit(archive: Archive) -> None:
    waiting = written(archive, "one", ROWS, {"value": "1.2.3"})
    assert stored(archive).height == refused(archive).height == 0
    assert not archive.has(batch_of("one"))
    assert archive.commit(waiting) == {batch_of("one")}
    # Whoever did not hear of it commits the very same files again.
    assert Archive(archive.root).commit(waiting) == frozenset()
    assert stored(archive).height == len(ROWS)
    assert refused(archive)["value"].to_list() == ["1.2.3"]
    assert archive.has(batch_of("one"))


def test_the_same_batch_counts_once_however_often_it_is_committed(
    archive: Archive,
) -> None:
    put(archive, "one", ROWS, {"value": "1.2.3"})
    again = written(archive, "one", ROWS, {"value": "1.2.3"})
    assert archive.commit(again) == frozenset()
    assert Archive(archive.root).commit(again) == frozenset()
    # What came too late is not on disk either.
    assert len(list(Path(archive.root).rglob("loose-*"))) == 2
    assert stored(archive).height == len(ROWS)
    assert refused(archive).height == 1


def test_of_two_workers_that_race_with_one_batch_one_counts(archive: Archive) -> None:
    rivals = [Archive(archive.root) for _ in range(4)]
    waiting = [written(each, "one", ROWS, {"value": "x"}) for each in rivals]
    start = threading.Barrier(len(rivals))
    won: list[frozenset[str]] = []

    def race(rival: Archive, mine: Written) -> None:
        start.wait()
        won.append(rival.commit(mine))

    threads = [
        threading.Thread(target=race, args=pair)
        for pair in zip(rivals, waiting, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(len, won)) == [0, 0, 0, 1]
    assert stored(archive).height == len(ROWS)
    assert refused(archive).height == 1


def test_a_commit_that_began_before_its_rival_ended_does_not_count(
    archive: Archive,
) -> None:
    late = Archive(archive.root)
    assert not late.has(batch_of("one"))
    # The state that `late` looks at is older than the batch from here on.
    with late.events.newest() as state:
        mine = written(late, "one", ROWS)
        put(archive, "one", ROWS)
        with pytest.raises(Exception, match="oncurrent"):
            late.events.commit(state, mine.events, marks={batch_of("one"): 1})
    assert late.commit(mine) == frozenset()
    assert stored(archive).height == len(ROWS)


def test_what_was_written_elsewhere_is_committed_from_its_json(
    archive: Archive,
) -> None:
    text = msgspec.json.encode(written(archive, "one", ROWS, {"value": "x"}))
    there = Archive(archive.root)
    there.commit(msgspec.json.decode(text, type=Written))
    assert stored(there).height == len(ROWS)
    assert refused(there).height == 1


def test_a_batch_without_events_is_marked_all_the_same(archive: Archive) -> None:
    assert archive.commit(Written((batch_of("empty"),))) == {batch_of("empty")}
    assert archive.has(batch_of("empty"))
    assert archive.commit(Written((batch_of("empty"),))) == frozenset()


def test_many_batches_are_one_commit(archive: Archive) -> None:
    put(archive, "first", ROWS)
    version = archive.events.open().version()
    several = [written(archive, name, ROWS, {"value": "x"}) for name in range(9)]
    assert archive.commit(*several) == {batch_of(name) for name in range(9)}
    assert archive.events.open().version() == version + 1
    assert stored(archive).height == 10 * len(ROWS)


def test_of_batches_in_one_file_those_that_are_in_are_left_out(
    archive: Archive,
) -> None:
    put(archive, "b", ROWS, {"value": "x"})
    names = [batch_of(name) for name in "abc"]
    shared = [
        {**row, "batch": name, "number": number}
        for name in names
        for number, row in enumerate(ROWS, 1)
    ]
    with archive.writing(*names) as writing:
        writing.add(
            events(shared), rejects(*({"batch": name, "value": "x"} for name in names))
        )
    assert archive.commit(writing.written) == {names[0], names[2]}
    assert stored(archive).group_by("batch").len()["len"].to_list() == [8, 8, 8]
    assert refused(archive).group_by("batch").len()["len"].to_list() == [1, 1, 1]


def test_a_batch_read_anew_replaces_what_it_brought_before(archive: Archive) -> None:
    put(archive, "other", ROWS, {"value": "kept"})
    put(archive, "one", ROWS[:3], {"value": "1.2.3"}, {"value": "mended"})
    list(archive.fold(now("2026-03-05"), all_days=True))
    again = written(archive, "one", ROWS[:5], {"value": "1.2.3"}, version=2)
    assert archive.commit(again) == {batch_of("one")}
    assert archive.commit(again) == frozenset()
    one = stored(archive).filter(pl.col("batch") == batch_of("one"))
    assert one["number"].to_list() == [1, 2, 3, 4, 5]
    assert stored(archive).height == 5 + len(ROWS)
    assert sorted(refused(archive)["value"]) == ["1.2.3", "kept"]
    assert archive.has(batch_of("one"), 2)
    assert not archive.has(batch_of("one"), 3)
    # A straggler that read it the first time comes too late.
    assert archive.commit(written(archive, "one", ROWS)) == frozenset()


def test_a_batch_read_anew_without_rejects_loses_the_old_ones(archive: Archive) -> None:
    put(archive, "one", ROWS[:3], {"value": "mended"})
    archive.commit(written(archive, "one", ROWS, version=2))
    assert refused(archive).height == 0
    assert stored(archive).height == len(ROWS)


def test_marks_outlive_checkpoints_and_the_log_before_them(archive: Archive) -> None:
    for name in range(90):
        archive.commit(Written((batch_of(name),)))
    log = Path(archive.events.root) / "_delta_log"
    for path in log.iterdir():
        os.utime(path, (0, 0))
    archive.vacuum()
    assert len(list(log.glob("*.json"))) < 20
    assert all(Archive(archive.root).has(batch_of(name)) for name in range(90))


def test_days_are_those_of_the_event_unless_it_is_far_from_its_arrival(
    archive: Archive,
) -> None:
    received = at("2026-03-31")
    put(
        archive,
        "one",
        [
            event(time=at(day), received=received)
            for day in ("2026-03-30T23:59", "2026-03-01", "2020-01-01", "9999-12-31")
        ],
    )
    days = archive.events.listed()
    assert [str(day) for day in days["day"]] == [
        "2026-03-01",
        "2026-03-30",
        "2026-03-31",
    ]
    assert days["num_records"].to_list() == [1, 1, 2]


def test_each_file_tells_the_span_of_its_columns(archive: Archive) -> None:
    rows = [
        event("198.51.100.7", member="th", severity=2),
        event("198.51.100.3", severity=4, party="dtac"),
        event(None, source_url="https://example.org/"),
    ]
    put(archive, "one", rows)
    told = archive.events.listed().row(0, named=True)
    frame = stored(archive)
    for name in MEASURED:
        assert told[f"min.{name}"] == frame[name].min(), name
        assert told[f"max.{name}"] == frame[name].max(), name
        assert told[f"null_count.{name}"] == frame[name].null_count(), name
    assert told["num_records"] == 3


def test_delta_itself_and_polars_skip_by_what_files_tell(archive: Archive) -> None:
    put(archive, "one", [event(member="th")])
    put(archive, "two", [event("203.0.113.1", member="vn")])
    table = archive.events.open()
    assert len(table.file_uris(file_pruning_predicate="member = 'vn'")) == 1
    plan = pl.scan_delta(table).filter(pl.col("member") == "vn")
    assert plan.collect()["source_address"].to_list() == ["203.0.113.1"]
    assert ", ..." not in plan.explain()


def test_a_text_too_long_to_tell_hides_nothing(archive: Archive) -> None:
    long = "x" * 1000
    put(archive, "one", [event(feed=long)])
    told = archive.events.listed()
    assert told["max.feed"].to_list() == [None]
    held = archive.held(events([event(feed=long)]), long, 0)
    assert held.to_list() == [True]


def test_files_are_sorted_by_address_with_none_at_the_end(archive: Archive) -> None:
    addresses = ["2001:db8::2", "203.0.113.9", None, "198.51.100.1", "2001:db8::1"]
    put(archive, "one", [event(address) for address in addresses])
    (path,) = archive.events.listed()["path"]
    frame = archive.events.scan([path]).collect()
    assert frame["source_address"].to_list() == [
        "198.51.100.1",
        "203.0.113.9",
        "2001:db8::1",
        "2001:db8::2",
        None,
    ]


def test_events_without_any_address_are_kept(archive: Archive) -> None:
    put(archive, "one", [event(None, source_domain="example.org")] * 3)
    assert stored(archive)["source_domain"].to_list() == ["example.org"] * 3


def test_large_batches_are_several_files_of_bounded_size(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serantau.lane.archive.FILE_ROWS", 10)
    with archive.writing(batch_of("one")) as writing:
        for _ in range(5):
            writing.add(events(ROWS))
    assert [one.rows for one in writing.written.events] == [8] * 5
    archive.commit(writing.written)
    assert stored(archive).height == 40


def test_what_failed_on_the_way_is_taken_back(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serantau.lane.archive.FILE_ROWS", len(ROWS))

    class Broken(Exception):
        pass

    writing = archive.writing(batch_of("one"))
    with suppress(Broken), writing:
        writing.add(events(ROWS), rejects({"value": "x"}))
        writing.add(events(ROWS))
        raise Broken
    assert list(Path(archive.root).rglob("loose-*")) == []


def test_a_file_that_waited_too_long_is_not_committed(archive: Archive) -> None:
    waiting = written(archive, "one", ROWS)
    old = tuple(
        msgspec.structs.replace(one, made=one.made - GRACE * 1000)
        for one in waiting.events
    )
    with pytest.raises(StoreError, match="waited"):
        archive.commit(msgspec.structs.replace(waiting, events=old))
    assert not archive.has(batch_of("one"))


# What is stored already


def test_the_same_finding_is_known_again(archive: Archive) -> None:
    put(archive, "one", [*ROWS, event(None, source_domain="example.org")])
    asked = [ROWS[0], event("203.0.113.77"), event(None, source_domain="example.org")]
    held = archive.held(events(asked), "made", now("2026-02-01"))
    assert held.to_list() == [True, False, True]


def test_another_feed_and_what_is_too_old_do_not_count(archive: Archive) -> None:
    put(archive, "one", ROWS)
    asked = events(ROWS)
    assert not archive.held(asked, "other", 0).any()
    assert not archive.held(asked, "made", now("2026-03-01T10:01")).any()
    assert archive.held(asked, "made", now("2026-03-01T10:00")).all()


def test_nothing_is_known_of_nothing(archive: Archive) -> None:
    assert archive.held(events(ROWS), "made", 0).to_list() == [False] * len(ROWS)
    put(archive, "one", ROWS)
    assert archive.held(events([]), "made", 0).to_list() == []


def test_thousands_of_addresses_are_looked_for_at_once(archive: Archive) -> None:
    many = [event(f"198.51.{high}.{low}") for high in range(4) for low in range(250)]
    put(archive, "one", many[:500])
    held = archive.held(events(many), "made", 0)
    assert held.to_list() == [True] * 500 + [False] * 500


# Faults


def test_a_folder_that_cannot_be_used_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    archive = Archive(tmp_path / "file")
    with pytest.raises(StoreError, match="cannot be used") as caught:
        archive.size()
    assert set("\n\x1b") & set(str(caught.value)) == set()
    with pytest.raises(StoreError, match="cannot be used"):
        archive.write(events(ROWS))


def test_a_broken_log_is_told_in_one_line(archive: Archive) -> None:
    archive.commit(Written((batch_of("one"),), archive.write(events(ROWS))))
    first = min((Path(archive.root) / "events" / "_delta_log").glob("*.json"))
    first.write_text("garbage{")
    with pytest.raises(StoreError, match="cannot be used") as caught:
        Archive(archive.root).size()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("left", [b"", b'{"commitInfo":{}}\n{"add":{"pa'])
def test_a_commit_that_a_power_cut_left_half_is_taken_out(
    archive: Archive, left: bytes
) -> None:
    put(archive, "one", ROWS)
    log = Path(archive.events.root) / "_delta_log"
    torn = log / f"{archive.events.open().version() + 1:020}.json"
    torn.write_bytes(left)
    again = Archive(archive.root)
    assert stored(again).height == len(ROWS)
    put(again, "two", ROWS)
    assert stored(again).height == 2 * len(ROWS)


def test_a_log_that_is_rubbish_is_told_and_nothing_of_it_is_taken_out(
    archive: Archive,
) -> None:
    put(archive, "one", ROWS)
    put(archive, "two", ROWS)
    log = sorted((Path(archive.events.root) / "_delta_log").glob("*.json"))
    for path in log:
        path.write_bytes(b"rubbish")
    with pytest.raises(StoreError, match=r"commits, the newest, are no JSON.*backup"):
        Archive(archive.root).size()
    assert [path.read_bytes() for path in log] == [b"rubbish"] * len(log)


@pytest.mark.parametrize("left", [b"", b"PAR1 and not to its end"])
def test_a_checkpoint_that_a_power_cut_left_half_is_taken_out(
    archive: Archive, left: bytes
) -> None:
    put(archive, "one", ROWS)
    archive.events.checkpoint()
    log = Path(archive.events.root) / "_delta_log"
    (checkpoint,) = log.glob("*.checkpoint.parquet")
    checkpoint.write_bytes(left)
    assert stored(Archive(archive.root)).height == len(ROWS)
    archive.events.checkpoint()
    (log / "_last_checkpoint").write_bytes(left)
    assert stored(Archive(archive.root)).height == len(ROWS)


def test_an_archive_of_an_older_program_gets_the_new_columns(
    archive: Archive, tmp_path: Path
) -> None:
    put(archive, "one", ROWS)
    newer = Archive(tmp_path / "archive")
    newer.events.schema = pl.Schema({**EVENTS, "novelty": pl.String()})
    frame = stored(newer)
    assert frame["novelty"].to_list() == [None] * len(ROWS)
    assert frame.drop("novelty").equals(stored(archive))


def test_what_an_archive_holds_is_counted(archive: Archive) -> None:
    assert archive.size().rows == 0
    assert archive.size().first is None
    put(archive, "one", [*ROWS, event(time=at("2026-03-02"))], {"value": "x"})
    size = archive.size()
    assert (size.rows, size.files, size.loose, size.days) == (9, 2, 2, 2)
    assert (str(size.first), str(size.last)) == ("2026-03-01", "2026-03-02")
    on_disk = sum(
        path.stat().st_size for path in Path(archive.events.root).rglob("loose-*")
    )
    assert size.bytes == on_disk
    assert archive.rejects_size().rows == 1


def test_tables_are_plain_delta_tables_that_other_programs_can_read(
    archive: Archive,
) -> None:
    put(archive, "one", ROWS, {"value": "x"})
    for table, schema in ((archive.events, EVENTS), (archive.rejects, REJECTS)):
        protocol = table.open().protocol()
        assert (protocol.min_reader_version, protocol.min_writer_version) == (1, 2)
        names = [field.name for field in table.open().schema().fields]
        assert names == [*schema, "day"]
    first = Path(archive.events.root) / "_delta_log" / f"{1:020}.json"
    actions = [next(iter(json.loads(line))) for line in first.read_text().splitlines()]
    assert sorted(actions) == ["add", "commitInfo", "txn"]
