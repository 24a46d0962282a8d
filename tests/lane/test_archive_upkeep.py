"""Folding changes no row; retention and erasure take out theirs, and no others."""

import random
import threading
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from archived import (
    DAY,
    at,
    batch_of,
    event,
    events,
    now,
    put,
    refused,
    stored,
    written,
)
from serantau.errors import BadRequest, StoreError
from serantau.lane import upkeep
from serantau.lane.archive import Archive
from serantau.lane.delta import FOLD, GRACE, Raced
from serantau.lane.erasure import Erased
from serantau.lane.upkeep import Keep
from serantau.rules.marking import Tlp

LATER = now("2026-03-05")


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "archive")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fold into files of about fifty rows, and look at all of them."""
    monkeypatch.setattr(upkeep, "PART_ROWS", 50)


def scattered(count: int, seed: int = 1) -> list[dict[str, object]]:
    """Make events at addresses of both versions, some without any."""
    chance = random.Random(seed)
    addresses = [
        f"198.51.{chance.randrange(4)}.{chance.randrange(256)}",
        f"2001:db8::{chance.randrange(4):x}:{chance.randrange(65536):x}",
        None,
    ]
    rows = []
    for _ in range(count):
        addresses[0] = f"198.51.{chance.randrange(4)}.{chance.randrange(256)}"
        addresses[1] = f"2001:db8:{chance.randrange(4):x}::{chance.randrange(999):x}"
        (address,) = chance.choices(addresses, (6, 3, 1))
        rows.append(event(address, source_port=chance.randrange(9)))
    return rows


def runs(archive: Archive) -> set[str]:
    """Name the runs of folded files."""
    names = archive.events.listed()["path"].str.split("/").list.last()
    return {name.split("-")[1] for name in names if name.startswith(f"{FOLD}-")}


def paths_on_disk(archive: Archive) -> set[str]:
    root = Path(archive.events.root)
    return {str(path.relative_to(root)) for path in root.glob("day=*/*.parquet")}


# Folding


def test_folding_changes_no_row(archive: Archive, small: None) -> None:
    for name in range(6):
        put(archive, name, scattered(70, name), {"value": str(name)})
    before = stored(archive), refused(archive)
    folded = archive.fold(LATER)
    assert [(one.before, one.rows) for one in folded] == [(6, 420), (6, 6)]
    assert_frame_equal(stored(archive), before[0])
    assert_frame_equal(refused(archive), before[1])
    assert archive.size().loose == 0
    assert archive.fold(LATER) == []


def test_folded_files_do_not_overlap_and_are_sorted(
    archive: Archive, small: None
) -> None:
    for name in range(6):
        put(archive, name, scattered(70, name))
    archive.fold(LATER)
    files = archive.events.listed()
    frames = [
        archive.events.scan([path]).select("source_hi", "source_lo").collect()
        for path in files["path"]
    ]
    assert len(frames) > 6
    assert sum(frame["source_hi"].null_count() for frame in frames) > 0
    for frame in frames:
        # Where some have no address, they have a file to themselves.
        assert frame["source_hi"].null_count() in (0, frame.height)
        assert frame.equals(frame.sort("source_hi", "source_lo"))
    spans = sorted(
        (frame.row(0), frame.row(-1))
        for frame in frames
        if not frame["source_hi"].null_count()
    )
    for (_, last), (first, _) in pairwise(spans):
        assert last < first
    address = event("198.51.2.77")
    found = files.filter(
        pl.col("min.source_hi").eq(address["source_hi"]),
        pl.col("max.source_hi").eq(address["source_hi"]),
        pl.col("min.source_lo") <= address["source_lo"],
        pl.col("max.source_lo") >= address["source_lo"],
    )
    assert found.height <= 1


def test_many_rows_of_one_address_are_folded_too(archive: Archive, small: None) -> None:
    for name in range(3):
        put(archive, name, [event()] * 90)
    archive.fold(LATER)
    assert stored(archive).height == 270


def test_half_an_address_does_not_lose_a_row(archive: Archive, small: None) -> None:
    for name in range(3):
        half = [{**row, "source_lo": None} for row in scattered(40, name)]
        put(archive, name, [*half, *scattered(40, name)])
    before = stored(archive)
    archive.fold(LATER)
    assert_frame_equal(stored(archive), before)


def test_a_day_that_grows_waits_until_it_has_many_files(archive: Archive) -> None:
    today = now("2026-03-01T12:00")
    for name in range(15):
        put(archive, name, [event()])
    assert archive.fold(today) == []
    put(archive, 15, [event()])
    assert [(one.before, one.after) for one in archive.fold(today)] == [(16, 1)]


def test_one_loose_file_of_a_day_is_left_as_it_is(archive: Archive) -> None:
    put(archive, "one", scattered(20))
    assert archive.fold(LATER) == []
    assert archive.fold(LATER, all_days=True) != []
    assert archive.fold(LATER, all_days=True) == []


def test_late_reports_do_not_rewrite_a_large_day_each_time(archive: Archive) -> None:
    put(archive, "large", scattered(900))
    put(archive, "large too", scattered(900, 2))
    archive.fold(LATER)
    (large,) = runs(archive)
    for name in range(2):
        put(archive, name, scattered(5, name))
    archive.fold(LATER)
    assert large in runs(archive)
    assert len(runs(archive)) == 2
    archive.fold(LATER, all_days=True)
    assert len(runs(archive)) == 1
    assert stored(archive).height == 1810


def test_appends_meanwhile_are_not_lost(archive: Archive) -> None:
    for name in range(4):
        put(archive, name, scattered(30, name))
    writer = Archive(archive.root)
    done = threading.Event()
    count = 4

    def append() -> None:
        nonlocal count
        while not done.is_set():
            put(writer, count, scattered(10, count))
            count += 1

    thread = threading.Thread(target=append)
    thread.start()
    try:
        for _ in range(10):
            archive.fold(LATER)
    finally:
        done.set()
        thread.join()
    assert stored(archive).height == 120 + (count - 4) * 10
    archive.fold(LATER, all_days=True)
    assert stored(archive).height == 120 + (count - 4) * 10


def test_of_two_foldings_of_one_day_one_counts(archive: Archive) -> None:
    for name in range(4):
        put(archive, name, scattered(30, name))
    before = stored(archive)
    rivals = [Archive(archive.root) for _ in range(3)]
    start = threading.Barrier(3)

    def race(rival: Archive) -> None:
        start.wait()
        rival.fold(LATER)

    threads = [threading.Thread(target=race, args=(rival,)) for rival in rivals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_frame_equal(stored(archive), before)


def test_a_folding_that_an_erasure_overtook_brings_nothing_back(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(archive, "one", [event(party="dtac")] * 3)
    put(archive, "two", [event(party="ais")] * 3)
    rival = Archive(archive.root)
    sort = rival.events.arranged

    def overtaken(frame: pl.DataFrame) -> pl.DataFrame:
        assert archive.erase(parties=["dtac"]).events == 3
        return sort(frame)

    monkeypatch.setattr(rival.events, "arranged", overtaken)
    assert rival.fold(LATER) == []
    assert stored(archive)["party"].unique().to_list() == ["ais"]


def test_an_erasure_that_a_folding_overtook_starts_anew(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(archive, "one", [event(party="dtac"), event(party="ais")])
    put(archive, "two", [event(party="ais")])
    rival = Archive(archive.root)
    write, times = rival.events.write, 0

    def overtaken(*what: object, **more: object) -> object:
        nonlocal times
        times += 1
        if times == 1:
            assert len(archive.fold(LATER)) == 1
        return write(*what, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(rival.events, "write", overtaken)
    assert rival.erase(parties=["dtac"]).events == 1
    assert times == 2
    assert stored(archive)["party"].to_list() == ["ais", "ais"]


def test_a_rewriting_that_others_always_overtake_is_told(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(archive, "one", [event(party="dtac")])

    def beaten(*_: object, **__: object) -> None:
        raise Raced

    monkeypatch.setattr(archive.events, "commit", beaten)
    with pytest.raises(StoreError, match="first, 50 times"):
        archive.erase(parties=["dtac"])
    waiting = written(archive, "two", [event()])
    with pytest.raises(StoreError, match="first, 50 times"):
        archive.commit(waiting)


# Retention


def left_after(
    archive: Archive, rules: Sequence[Keep], when: str, **levels: int
) -> list[str]:
    archive.expire(rules, now(when), levels)
    return sorted(stored(archive)["identifier"].unique())


def rows_to_expire() -> list[dict[str, object]]:
    return [
        event(identifier="old", received=at("2026-02-01"), time=at("2026-02-01")),
        event(identifier="late", received=at("2026-03-01"), time=at("2026-02-01")),
        event(identifier="new", received=at("2026-03-01")),
        event(identifier="other", received=at("2026-02-01"), feed="other"),
        event(identifier="red", received=at("2026-02-01"), tlp=int(Tlp.RED)),
        event(identifier="clear", received=at("2026-02-01"), tlp=int(Tlp.CLEAR)),
    ]


@pytest.mark.parametrize(
    ("rules", "gone"),
    [
        ([], ""),
        ([Keep(60)], ""),
        ([Keep(30)], "old other red clear"),
        ([Keep(0)], "old late new other red clear"),
        ([Keep(30, feed="made")], "old red clear"),
        ([Keep(30, tlp=4)], "red"),
        ([Keep(30, tlp=4, feed="other")], ""),
        ([Keep(365, tlp=0), Keep(30)], "old other red"),
        ([Keep(30, feed="other"), Keep(365)], "other"),
        ([Keep(30, tlp=2)], "old"),
        ([Keep(30, tlp=1)], ""),
    ],
)
def test_a_row_stays_as_long_as_the_first_rule_that_fits_it_says(
    archive: Archive, rules: list[Keep], gone: str
) -> None:
    put(archive, "one", rows_to_expire())
    whole = set(stored(archive)["identifier"])
    left = left_after(archive, rules, "2026-03-05", made=int(Tlp.AMBER))
    assert set(left) == whole - set(gone.split())


def test_a_row_stays_until_its_last_moment(archive: Archive) -> None:
    put(archive, "one", [event()])
    received = now("2026-03-01T10:00")
    assert archive.expire([Keep(10)], received + 10 * DAY) == (0, 0)
    assert archive.expire([Keep(10)], received + 10 * DAY + 1) == (1, 0)


def test_rejects_are_kept_as_long_as_their_feed(archive: Archive) -> None:
    put(archive, "one", [event()], {"value": "x"}, {"value": "y", "feed": "other"})
    when = now("2026-05-01")
    assert archive.expire([Keep(30, feed="other")], when) == (0, 1)
    assert archive.expire([Keep(30, tlp=4)], when, {"made": 4}) == (1, 1)
    assert refused(archive).height == 0


def test_expired_rows_leave_sorted_runs_sorted(archive: Archive, small: None) -> None:
    for name in range(4):
        odd = [{**row, "feed": "odd"} for row in scattered(50, name)]
        put(archive, name, [*scattered(50, name), *odd])
    archive.fold(LATER)
    before = runs(archive)
    assert archive.expire([Keep(30, feed="odd")], now("2026-05-01")) == (200, 0)
    assert runs(archive) == before
    for path in archive.events.listed()["path"]:
        frame = archive.events.scan([path]).select("source_hi", "source_lo").collect()
        assert frame.equals(frame.sort("source_hi", "source_lo", nulls_last=True))


# Erasure


def test_an_erased_party_is_in_no_file_any_more(archive: Archive) -> None:
    put(archive, "one", [event(party="dtac"), event(party="ais"), event()])
    put(archive, "two", [event(party="dtac")])
    put(archive, "three", [event(party="ais")])
    archive.fold(LATER)
    put(archive, "four", [event(party="dtac", time=at("2026-03-02"))])
    erased = archive.erase(parties=["dtac"])
    assert (erased.events, erased.rejects) == (3, 0)
    assert set(erased.batches) == {batch_of("one"), batch_of("two"), batch_of("four")}
    assert stored(archive)["party"].to_list().count("ais") == 2
    assert stored(archive).height == 3
    # Not in older states either: what is on disk is what is visible.
    on_disk = paths_on_disk(archive)
    assert on_disk == set(archive.events.listed()["path"])
    for path in on_disk:
        assert "dtac" not in archive.events.scan([path]).collect()["party"]


def log_of(archive: Archive) -> list[bytes]:
    """Read all that the events' log says, checkpoints unpacked."""
    found = []
    for path in (Path(archive.events.root) / "_delta_log").iterdir():
        if path.suffix == ".parquet":
            found.append(str(pl.read_parquet(path).to_dicts()).encode())
        else:
            found.append(path.read_bytes())
    return found


def test_the_log_tells_nothing_of_what_was_erased(archive: Archive) -> None:
    put(archive, "one", [event("198.51.100.9", party="zz-dtac"), event(party="ais")])
    put(archive, "two", [event("198.51.100.9", party="zz-dtac")])
    archive.fold(LATER)
    archive.events.checkpoint()
    put(archive, "three", [event("203.0.113.5", party="zz-dtac")])
    assert any(b"zz-dtac" in text for text in log_of(archive))
    before = archive.events.open()
    archive.erase(parties=["zz-dtac"])
    assert not any(b"zz-dtac" in text for text in log_of(archive))
    last = str(event("203.0.113.5")["source_lo"]).encode()
    assert not any(last in text for text in log_of(archive))
    # Whoever still works from a state before it neither loses a commit nor undoes one.
    late = written(archive, "four", [event(party="ais")])
    with pytest.raises(Raced):
        archive.events.commit(before, late.events, marks={batch_of("four"): 1})
    archive.commit(late)
    put(archive, "five", [event(party="ais")])
    assert stored(archive)["party"].to_list() == ["ais"] * 3
    assert stored(Archive(archive.root)).height == 3


def test_an_erased_domain_is_gone_with_what_is_below_it(archive: Archive) -> None:
    named = [
        {"source_domain": "shop.example.th"},
        {"destination_name": "example.th"},
        {"source_url": "http://user@WWW.example.th:81/a"},
        {"destination_url": "https://example.th"},
        {"source_domain": "otherexample.th"},
        {"source_url": "https://example.org/?to=example.th"},
        {"extra": '{"sni":"mail.example.th"}'},
        {"source_domain": "example.th.example.org"},
    ]
    raws = ["x,mail.example.th,y", "http://example.th/", "example.th.", "my-example.th"]
    raws += ["example.thx", "example.th.org"]
    put(archive, "one", [event(**one) for one in named], *({"raw": r} for r in raws))
    erased = archive.erase(domains=["Example.TH."])
    assert (erased.events, erased.rejects) == (4, 3)
    assert set(stored(archive)["number"]) == {5, 6, 7, 8}
    assert refused(archive)["line"].to_list() == [4, 5, 6]
    # In any text, when that is asked for.
    assert archive.erase(domains=["example.th"], anywhere=True).events == 2
    assert set(stored(archive)["number"]) == {5, 8}
    with pytest.raises(BadRequest, match=r"no domain name"):
        archive.erase(domains=["example"])


def test_an_address_in_any_text_is_found_when_asked_for(archive: Archive) -> None:
    texts = ['{"peer":"203.0.113.9"}', '{"peer":"203.0.114.9"}']
    put(archive, "one", [event(extra=one) for one in texts])
    assert archive.erase(ranges=["203.0.113.0/24"]).events == 0
    assert archive.erase(ranges=["203.0.113.0/24"], anywhere=True).events == 1
    assert stored(archive)["number"].to_list() == [2]


@pytest.mark.parametrize(
    ("ranges", "gone"),
    [
        (["198.51.100.0/25"], {1, 5}),
        (["198.51.100.200"], {2}),
        (["198.51.100.1-198.51.100.200"], {1, 2, 5}),
        (["2001:db8::/48"], {3}),
        (["2001:db8::1-2001:db9::"], {3, 4}),
        (["::/0"], {1, 2, 3, 4, 5}),
        (["203.0.113.0/24", "2001:db8:1::/48"], {4, 5}),
        (["192.0.2.0/24"], set()),
    ],
)
def test_an_erased_range_is_gone_at_either_end_of_an_event(
    archive: Archive, ranges: list[str], gone: set[int]
) -> None:
    put(
        archive,
        "one",
        [
            event("198.51.100.1"),
            event("198.51.100.200"),
            event("2001:db8::5"),
            event("2001:db8:1::5"),
            event("203.0.113.5", destination_address="198.51.100.2"),
            event(None, source_domain="example.org"),
        ],
    )
    assert archive.erase(ranges=ranges).events == len(gone)
    assert set(stored(archive)["number"]) == {1, 2, 3, 4, 5, 6} - gone


def test_an_erased_address_is_gone_from_the_rejects(archive: Archive) -> None:
    put(
        archive,
        "one",
        [event()],
        {"value": "99999", "raw": "2026-03-01,203.0.113.9,99999"},
        {"value": "203.0.113.10:99999", "raw": None},
        {"value": "[2001:db8::7]:80", "raw": ""},
        {"value": "203.0.113.300", "raw": "1.2.3"},
        {"value": "x", "raw": "203.0.112.255, 12:30:45"},
    )
    erased = archive.erase(ranges=["203.0.113.0/24", "2001:db8::/32"])
    assert (erased.events, erased.rejects) == (0, 3)
    assert erased.batches == (batch_of("one"),)
    assert refused(archive)["line"].to_list() == [4, 5]


def test_erasing_nothing_and_what_is_no_range_is_told(archive: Archive) -> None:
    put(archive, "one", [event()])
    assert archive.erase() == Erased(0, 0, ())
    for wrong in ("198.51.100", "x", "2001:db8::2-2001:db8::1", "1.1.1.1-"):
        with pytest.raises(BadRequest, match=r"is no address|ends before"):
            archive.erase(ranges=[wrong])
    assert stored(archive).height == 1


def test_an_erased_batch_is_not_taken_in_again(archive: Archive) -> None:
    put(archive, "one", [event(party="dtac")])
    archive.erase(parties=["dtac"])
    again = written(archive, "one", [event(party="dtac")])
    assert archive.commit(again) == frozenset()
    assert stored(archive).height == 0


# What nobody names


def test_vacuum_leaves_what_may_still_be_committed_or_read(archive: Archive) -> None:
    for name in range(3):
        put(archive, name, scattered(20, name))
    waiting = written(archive, "waiting", scattered(20))
    archive.fold(LATER)
    before = paths_on_disk(archive)
    assert archive.vacuum() == 0
    assert paths_on_disk(archive) == before
    assert len(archive.commit(waiting)) == 1
    assert stored(archive).height == 80


def test_vacuum_deletes_what_nobody_committed_for_a_day(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(archive, "one", scattered(20))
    written(archive, "killed", scattered(20))
    assert len(paths_on_disk(archive)) == 2
    monkeypatch.setattr("serantau.lane.delta.GRACE", 0)
    assert archive.vacuum() == 1
    assert paths_on_disk(archive) == set(archive.events.listed()["path"])
    assert GRACE == 24 * 3600
    assert stored(archive).height == 20


def test_a_frame_with_the_largest_of_everything_survives_all_of_it(
    archive: Archive,
) -> None:
    rows = [
        event("255.255.255.255", count=2**63 - 1, source_port=65535),
        event("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        event("::"),
        event("0.0.0.1"),
    ]
    put(archive, "one", rows)
    put(archive, "two", rows)
    before = stored(archive)
    archive.fold(LATER)
    assert_frame_equal(stored(archive), before)
    assert archive.erase(ranges=["255.255.255.255"]).events == 2
    assert events(rows).height == 4
