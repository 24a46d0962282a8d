"""Rows page by page, and what is counted in one pass."""

from pathlib import Path

import pytest

from archived import at, batch_of, event, put, stored
from serantau.lane.archive import Archive
from serantau.lane.question import Asking, Cursor, Question
from serantau.lane.survey import survey

COLUMNS = ("type", "source_country", "marks")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """Three days; the second is a list whose rows all have one time."""
    home: Path = tmp_path_factory.mktemp("survey")
    archive = Archive(home / "archive")
    for day in (1, 2, 3):
        rows = [
            event(
                f"198.51.100.{n}",
                time=at(f"2026-03-0{day}T{0 if day == 2 else n:02}:40"),
                type=("scanner", "spam")[n % 2],
                source_country=("TH", None)[n % 3 == 0],
                marks=("cdn,akamai", None)[n % 4 == 0],
            )
            for n in range(20)
        ]
        put(archive, day, rows)
    return archive


def test_pages_by_cursor_give_every_row_once_in_order(archive: Archive) -> None:
    found, after = [], None
    while True:
        rows = Asking(archive, Question(), after=after).rows(7)
        if not rows.height:
            break
        found += rows.select("time", "batch", "number").rows()
        time, batch, number = found[-1]
        after = Cursor(int(time.timestamp() * 1_000_000), batch, number)
    every = stored(archive).select("time", "batch", "number").rows()
    assert found == sorted(every, key=lambda one: (-one[0].timestamp(), *one[1:]))


def test_a_survey_counts_what_each_question_alone_counts(archive: Archive) -> None:
    question = Question(since=int(at("2026-03-02").timestamp()) * 1_000_000)
    asking = Asking(archive, question)
    found = survey(asking, COLUMNS, "hour", "UTC")
    assert found.events == asking.count() == 40
    over = asking.over("hour")
    assert found.over.rows() == [one for one in over.rows() if one[1]]
    for name in COLUMNS:
        assert found.top[name].rows() == asking.top(name).rows()


def test_a_survey_cuts_days_where_the_readers_zone_does(archive: Archive) -> None:
    found = survey(Asking(archive, Question()), (), "day", "Asia/Yangon")
    days = [(f"{day:%m-%d %H:%M %z}", many) for day, many in found.over.rows()]
    # 17:30 UTC is midnight there: 17:40 and later are of the next day.
    assert days == [
        ("03-01 00:00 +0630", 17),
        ("03-02 00:00 +0630", 23),
        ("03-03 00:00 +0630", 17),
        ("03-04 00:00 +0630", 3),
    ]


def test_what_is_stopped_says_so_and_has_the_newest_files(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serantau.lane.question._STEP", 8)
    asking = Asking(archive, Question(), enough=lambda: True)
    found = survey(asking, ("batch",), "day", "UTC")
    assert (asking.cut, found.events) == (True, 20)
    assert found.top["batch"].rows() == [(batch_of(3), 20)]
    whole = Asking(archive, Question())
    assert (survey(whole, (), "day", "UTC").events, whole.cut) == (60, False)


def test_no_event_is_an_empty_survey(archive: Archive) -> None:
    none = survey(Asking(archive, Question(text="nowhere")), COLUMNS, "day", "UTC")
    assert (none.events, none.over.height) == (0, 0)
    assert [one.height for one in none.top.values()] == [0, 0, 0]
