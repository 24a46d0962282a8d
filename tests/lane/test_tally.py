"""Counts of whole files are kept, and give what counting anew gives."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archived import DAY, at, event, now, put
from serantau.lane import tally
from serantau.lane.archive import Archive
from serantau.lane.question import Asking, Question
from serantau.lane.survey import Survey, survey
from serantau.lane.tally import Tallies

COLUMNS = ("type", "source_country", "source_asn", "marks", "party")
FIRST = now("2026-03-01")


def fill(home: Path) -> Archive:
    """Make an archive of four folded days; on the last something came since."""
    archive = Archive(home / "archive")
    for day in (1, 2, 3, 4):
        rows = [
            event(
                f"198.51.100.{n}",
                time=at(f"2026-03-0{day}T{n:02}:40"),
                type=("scanner", "spam")[n % 2],
                source_country=("ไทย", None)[n % 3 == 0],
                source_asn=(64_500 + n, None)[n % 5 == 0],
                marks=("cdn,akamai", None)[n % 4 == 0],
                party=f"party-{day}",
            )
            for n in range(20)
        ]
        put(archive, day, rows)
    archive.fold(now("2026-03-09"), all_days=True)
    put(archive, "late", [event("203.0.113.1", time=at("2026-03-04T23:59"))])
    return archive


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> tuple[Archive, Tallies]:
    home = tmp_path_factory.mktemp("tally")
    archive = fill(home)
    tallies = Tallies(home / "counts", COLUMNS)
    assert tallies.keep(archive.events) == 4
    return archive, tallies


def same(one: Survey, other: Survey) -> bool:
    return (
        one.events == other.events
        and one.over.equals(other.over)
        and all(one.top[name].equals(other.top[name]) for name in COLUMNS)
    )


@given(
    since=st.none() | st.integers(0, 5 * 96),
    steps=st.none() | st.integers(1, 5 * 96),
    every=st.sampled_from(["hour", "day", "week"]),
    zone=st.sampled_from(["UTC", "Asia/Yangon", "Asia/Bangkok"]),
)
def test_counts_are_the_same_with_what_is_kept(
    held: tuple[Archive, Tallies],
    since: int | None,
    steps: int | None,
    every: str,
    zone: str,
) -> None:
    archive, tallies = held
    step = DAY // 96
    begin = None if since is None else FIRST + since * step
    end = None if steps is None else (begin or FIRST) + steps * step
    question = Question(since=begin, until=end, either_end=True)
    kept = survey(Asking(archive, question), COLUMNS, every, zone, kept=tallies)
    assert same(kept, survey(Asking(archive, question), COLUMNS, every, zone))


def test_files_whose_counts_are_kept_are_not_read(tmp_path: Path) -> None:
    archive = fill(tmp_path)
    tallies = Tallies(tmp_path / "counts", COLUMNS)
    tallies.keep(archive.events)
    for path in (tmp_path / "archive/events").rglob("fold-*.parquet"):
        path.write_bytes(b"gone")
    asking = Asking(archive, Question(until=now("2026-03-09")))
    found = survey(asking, COLUMNS, "day", "UTC", kept=tallies)
    assert (found.events, asking.cut) == (81, False)
    assert found.top["party"].rows()[0] == ("party-1", 20)


@pytest.mark.parametrize(
    "question",
    [
        Question(where={"type": ["spam"]}),
        Question(addresses=("198.51.100.7",)),
        Question(text="party"),
        Question(marks=("cdn",)),
        Question(severity=2),
        Question(domain="example"),
    ],
)
def test_what_is_asked_of_rows_is_asked_of_every_file(
    held: tuple[Archive, Tallies], question: Question
) -> None:
    archive, tallies = held
    assert Asking(archive, question).whole() == []
    kept = survey(Asking(archive, question), COLUMNS, "day", "UTC", kept=tallies)
    assert same(kept, survey(Asking(archive, question), COLUMNS, "day", "UTC"))


def test_what_is_broken_or_of_another_program_is_counted_anew(tmp_path: Path) -> None:
    archive = fill(tmp_path)
    folder = tmp_path / "counts"
    assert Tallies(folder, COLUMNS[1:]).keep(archive.events) == 4
    tallies = Tallies(folder, COLUMNS)
    paths = archive.events.listed()["path"].to_list()
    assert tallies.held(paths) == {}
    assert tallies.keep(archive.events) == 4
    first, second, *_ = sorted(folder.iterdir())
    first.write_bytes(b"")
    second.write_bytes(second.read_bytes()[:-40])
    assert len(tallies.held(paths)) == 2
    question = Question(until=now("2026-03-09"))
    kept = survey(Asking(archive, question), COLUMNS, "day", "UTC", kept=tallies)
    assert kept.events == 81
    assert tallies.keep(archive.events) == 2
    # Of fewer columns it has what is asked for too.
    fewer = survey(
        Asking(archive, question),
        COLUMNS[2:],
        "day",
        "UTC",
        kept=Tallies(folder, COLUMNS[2:]),
    )
    assert fewer.top["party"].equals(kept.top["party"])


def test_a_turn_is_bounded_newest_first_and_what_is_gone_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tally, "AT_ONCE", 3)
    archive = fill(tmp_path)
    tallies = Tallies(tmp_path / "counts", COLUMNS)
    files = archive.events.listed().filter(pl.col("path").str.contains("/fold-"))
    oldest, *newer = files.sort("max.time")["path"].to_list()
    assert tallies.keep(archive.events) == 3
    assert tallies.held([oldest, *newer]).keys() == set(newer)
    assert tallies.keep(archive.events) == 1
    assert tallies.keep(archive.events) == 0
    (tmp_path / "counts" / "draft.1.new").write_bytes(b"left by a kill")
    archive.fold(now("2026-03-09"), all_days=True)
    tallies.keep(archive.events)
    live = archive.events.listed()["path"].to_list()
    names = {path.name for path in (tmp_path / "counts").iterdir()}
    assert names == {f"{path.rpartition('/')[2]}.tally" for path in live}


def test_an_archive_without_rows_has_none(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "archive")
    tallies = Tallies(tmp_path / "counts", COLUMNS)
    assert tallies.keep(archive.events) == 0
    found = survey(Asking(archive, Question()), COLUMNS, "day", "UTC", kept=tallies)
    assert found.events == 0
