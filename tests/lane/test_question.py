"""What is asked of the archive is answered to the row, reading little."""

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archived import at, batch_of, event, now, put, stored
from serantau.errors import BadRequest, StoreError
from serantau.lane import question as asked
from serantau.lane.archive import Archive
from serantau.lane.frame import EVENTS
from serantau.lane.question import Asking, Question

LATER = now("2026-03-09")
TYPES = ("scanner", "spam", "infected-system", "vulnerable-system")


def made(count: int, seed: int) -> list[dict[str, Any]]:
    """Make events of a week by chance."""
    chance = random.Random(seed)
    return [
        event(
            chance.choice(
                [
                    f"198.51.{chance.randrange(3)}.{chance.randrange(8)}",
                    f"2001:db8:{chance.randrange(3)}::{chance.randrange(4):x}",
                    None,
                ]
            ),
            time=at(f"2026-03-0{chance.randrange(1, 8)}T{chance.randrange(24):02}:30"),
            type=chance.choice(TYPES),
            feed=chance.choice(["made", "other"]),
            member=chance.choice(["th", "vn", None]),
            party=chance.choice(["dtac", "ais", None, None]),
            source_asn=chance.choice([64500, 64501, None]),
            source_country=chance.choice(["TH", "VN", None]),
            severity=chance.choice([0, 2, 4, None]),
            source_domain=chance.choice(["a.example.th", "example.th", "xexample.th"]),
            destination_address=chance.choice(["198.51.100.1", None]),
            extra=chance.choice(['{"os": "Windows"}', "{}", None]),
        )
        for _ in range(count)
    ]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """An archive with folded days and loose files."""
    archive = Archive(tmp_path_factory.mktemp("asked") / "archive")
    for name in range(3):
        put(archive, name, made(200, name))
    archive.fold(LATER)
    for name in range(3, 5):
        put(archive, name, made(50, name))
    return archive


def matching(archive: Archive, meant: Any) -> list[tuple[str, int]]:
    """Name the events that a person would choose, reading them all."""
    return sorted(
        (row["batch"], row["number"])
        for row in stored(archive).iter_rows(named=True)
        if meant(row)
    )


def found(archive: Archive, question: Question) -> list[tuple[str, int]]:
    rows = Asking(archive, question).rows(10_000, ["batch", "number"]).rows()
    return sorted(rows)


@pytest.mark.parametrize(
    ("question", "meant"),
    [
        (Question(), lambda row: True),
        (
            Question(since=now("2026-03-02T05:30"), until=now("2026-03-04T05:30")),
            lambda row: at("2026-03-02T05:30") <= row["time"] < at("2026-03-04T05:30"),
        ),
        (
            Question(addresses=("198.51.1.3",)),
            lambda row: row["source_address"] == "198.51.1.3",
        ),
        (
            Question(addresses=("198.51.1.0/24", "2001:db8:2::/48")),
            lambda row: (row["source_address"] or "").startswith(
                ("198.51.1.", "2001:db8:2:")
            ),
        ),
        (
            Question(addresses=("2001:db8:1::1 - 2001:db8:2::1".replace(" ", ""),)),
            lambda row: (
                (row["source_address"] or "")
                in {
                    *("2001:db8:1::1", "2001:db8:1::2", "2001:db8:1::3"),
                    *("2001:db8:2::0", "2001:db8:2::1"),
                }
            ),
        ),
        (
            Question(addresses=("198.51.100.0/24",), either_end=True),
            lambda row: row["destination_address"] is not None,
        ),
        (Question(addresses=("198.51.100.0/24",)), lambda row: False),
        (
            Question(where={"class": ["abusive-content"], "member": ["th", None]}),
            lambda row: row["type"] == "spam" and row["member"] in {"th", None},
        ),
        (Question(where={"party": [None]}), lambda row: row["party"] is None),
        (Question(where={"party": []}), lambda row: False),
        (
            Question(where={"source_asn": ["64500"], "severity": ["critical"]}),
            lambda row: row["source_asn"] == 64500 and row["severity"] == 4,
        ),
        (
            Question(where={"number": range(1, 150)}),
            lambda row: row["number"] < 150,
        ),
        (
            Question(where={"source_asn": [*range(1, 200), 64501]}),
            lambda row: row["source_asn"] == 64501,
        ),
        (
            Question(where={"time": [now("2026-03-02T05:30")]}),
            lambda row: row["time"] == at("2026-03-02T05:30"),
        ),
        (Question(severity=2), lambda row: (row["severity"] or 0) >= 2),
        (
            Question(domain="Example.TH."),
            lambda row: row["source_domain"] != "xexample.th",
        ),
        (Question(text="wINDOWS"), lambda row: "Windows" in (row["extra"] or "")),
        (
            Question(text="198.51.2."),
            lambda row: (row["source_address"] or "").startswith("198.51.2."),
        ),
        (Question(text=".*"), lambda row: False),
    ],
)
def test_a_question_finds_what_it_means_and_nothing_else(
    archive: Archive, question: Question, meant: Any
) -> None:
    expected = matching(archive, meant)
    assert found(archive, question) == expected
    assert Asking(archive, question).count() == len(expected)
    chunks = list(Asking(archive, question).chunks(["batch", "number"]))
    assert sorted(row for chunk in chunks for row in chunk.rows()) == expected
    assert all(chunk.height for chunk in chunks)


@given(
    since=st.none() | st.integers(now("2026-02-27"), now("2026-03-10")),
    until=st.none() | st.integers(now("2026-02-27"), now("2026-03-10")),
    member=st.lists(st.sampled_from(["th", "vn", None]), max_size=2),
    third=st.integers(0, 3),
    bits=st.integers(8, 32),
)
def test_skipping_files_hides_no_row(
    archive: Archive,
    since: int | None,
    until: int | None,
    member: Sequence[str | None],
    third: int,
    bits: int,
) -> None:
    question = Question(
        since=since,
        until=until,
        where={"member": member} if member else {},
        addresses=(f"198.51.{third}.3/{bits}",),
    )
    every = archive.events.scan(archive.events.listed()["path"].to_list())
    expected = every.filter(question.condition().row).select(pl.len()).collect().item()
    assert Asking(archive, question).count() == expected


def test_the_newest_rows_come_first(archive: Archive) -> None:
    rows = Asking(archive, Question()).rows(25)
    whole = stored(archive).sort(
        "time", "batch", "number", descending=[True, False, False]
    )
    assert rows.schema == EVENTS
    assert rows.equals(whole.head(25))


def test_old_days_are_not_read_for_the_newest_rows(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asked, "_STEP", 8)
    told: list[int] = []
    Asking(archive, Question(), lambda passed, _: told.append(passed)).rows(3)
    assert told[-1] == 1
    assert all(passed < 200 for passed in told)
    Asking(archive, Question(), lambda passed, _: told.append(passed)).rows(700)
    assert told[-1] == 700


def test_top_counts_each_value_and_null_too(archive: Archive) -> None:
    counts = Counter(stored(archive)["source_country"])
    top = Asking(archive, Question()).top("source_country")
    assert dict(top.iter_rows()) == counts
    assert top["events"].to_list() == sorted(counts.values(), reverse=True)
    assert top.schema == {"source_country": pl.String, "events": pl.Int64}
    assert Asking(archive, Question()).top("source_country", 1).height == 1


def test_top_of_many_values_is_the_same_in_several_passes(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Asking(archive, Question()).top("source_address", 7)
    monkeypatch.setattr(asked, "_PASS", 100)
    monkeypatch.setattr(asked, "_STEP", 100)
    assert Asking(archive, Question()).top("source_address", 7).equals(whole)
    counts = Counter(stored(archive)["source_address"])
    assert whole["events"].to_list() == [n for _, n in counts.most_common(7)]


def test_counts_over_time_have_the_hours_of_nothing_too(archive: Archive) -> None:
    hours = Asking(archive, Question(where={"party": ["dtac"]})).over("hour")
    assert hours["time"].is_sorted()
    steps = set(hours["time"].diff().drop_nulls().dt.total_minutes())
    assert steps == {60}
    counts = Counter(stored(archive).filter(pl.col("party") == "dtac")["time"])
    assert sum(hours["events"]) == sum(counts.values())
    assert 0 in hours["events"]


def test_counts_over_the_asked_days_begin_and_end_with_them(archive: Archive) -> None:
    question = Question(since=now("2026-02-27"), until=now("2026-03-03"))
    days = Asking(archive, question).over("day")
    assert [str(one)[:10] for one in days["time"]] == [
        *("2026-02-27", "2026-02-28", "2026-03-01", "2026-03-02"),
    ]
    assert days["events"].to_list()[:2] == [0, 0]
    assert sum(days["events"]) == Asking(archive, question).count()
    weeks = Asking(archive, Question()).over("week")
    # The first of March 2026 is a Sunday.
    assert [str(one)[:10] for one in weeks["time"]] == ["2026-02-23", "2026-03-02"]


def test_counts_over_time_by_a_column(archive: Archive) -> None:
    days = Asking(archive, Question()).over("day", "class")
    assert days.columns == ["time", "class", "events"]
    expected = Counter(
        (time.date(), kind)
        for time, kind in stored(archive).select("time", "class").iter_rows()
    )
    assert {(row[0].date(), row[1]): row[2] for row in days.iter_rows()} == expected


def test_a_time_far_away_does_not_make_a_hundred_thousand_hours(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    put(archive, "one", [event(time=at("1990-01-01")), event()])
    assert Asking(archive, Question()).over("hour")["events"].to_list() == [1, 1]


def test_an_estimate_is_told_before_anything_is_read(archive: Archive) -> None:
    everything = Asking(archive, Question()).estimate()
    size = archive.size()
    assert (everything.rows, everything.bytes) == (size.rows, size.bytes)
    one_day = Question(since=now("2026-03-03"), until=now("2026-03-04"))
    assert Asking(archive, one_day).estimate().rows < size.rows / 3
    nowhere = Question(addresses=("2001:db9::1",))
    assert Asking(archive, nowhere).estimate() == asked.Estimate(0, 0, 0)
    assert Asking(archive, nowhere).count() == 0
    assert Asking(archive, nowhere).rows().schema == EVENTS
    assert Asking(archive, nowhere).top("member").height == 0
    assert Asking(archive, nowhere).over().height == 0


def test_progress_is_told_up_to_the_end(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asked, "_STEP", 100)
    told: list[tuple[int, int]] = []
    Asking(archive, Question(), lambda *steps: told.append(steps)).count()
    assert len(told) > 2
    assert told == sorted(told)
    assert told[-1] == (700, 700)


def test_a_question_goes_on_when_folding_and_vacuum_take_its_files_away(
    tmp_path: Path,
) -> None:
    archive = Archive(tmp_path)
    for name in range(3):
        put(archive, name, made(20, name))
    waiting = [Asking(archive, Question()) for _ in range(5)]
    archive.fold(LATER)
    archive.events.sweep()
    assert waiting[0].count() == 60
    assert waiting[1].rows(100).height == 60
    assert sum(waiting[2].top("member")["events"]) == 60
    assert sum(waiting[3].over()["events"]) == 60
    with pytest.raises(StoreError, match="cannot be used"):
        list(waiting[4].chunks())


def test_a_file_that_is_really_missing_is_told(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    put(archive, "one", [event()])
    (path,) = Path(archive.events.root).glob("day=*/*.parquet")
    path.unlink()
    with pytest.raises(StoreError, match="cannot be used"):
        Asking(archive, Question()).count()


@pytest.mark.parametrize(
    ("question", "said"),
    [
        (Question(where={"nope": ["x"]}), "no column 'nope'"),
        (Question(where={"source_asn": ["AS1"]}), "'AS1' is no value"),
        (Question(where={"time": ["today"]}), "'today' is no value"),
        (Question(where={"severity": ["awful"]}), "'awful' is no value"),
        (Question(where={"source_port": [[]]}), "is no value"),
        (Question(addresses=("example.org",)), "is no address"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(
    archive: Archive, question: Question, said: str
) -> None:
    with pytest.raises(BadRequest, match=said):
        Asking(archive, question)


def test_answers_by_no_column_or_step_are_refused(archive: Archive) -> None:
    asking = Asking(archive, Question())
    for refused in (
        lambda: asking.top("nope"),
        lambda: asking.over("year"),
        lambda: asking.over("day", "nope"),
        lambda: asking.rows(1, ["nope"]),
        lambda: list(asking.chunks(["nope"])),
    ):
        with pytest.raises(BadRequest):
            refused()


def test_one_event_is_found_by_its_batch_and_number(archive: Archive) -> None:
    question = Question(where={"batch": [batch_of(1)], "number": [17]})
    (row,) = Asking(archive, question).rows().iter_rows(named=True)
    assert (row["batch"], row["number"]) == (batch_of(1), 17)
