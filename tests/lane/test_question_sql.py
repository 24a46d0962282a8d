"""SQL reads the archive and nothing else, and ends."""

from pathlib import Path

import polars as pl
import pytest

from archived import at, event, put, stored
from serantau.errors import BadRequest, StoreError
from serantau.lane import sql
from serantau.lane.archive import Archive

pytestmark = pytest.mark.no_cover


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    archive = Archive(tmp_path / "archive")
    put(
        archive,
        "one",
        [
            event(f"198.51.100.{number}", member=member, time=at(f"2026-03-0{day}"))
            for number, (member, day) in enumerate(
                [("th", 1), ("th", 2), ("vn", 2), (None, 3)]
            )
        ],
        {"value": "1.2.3"},
    )
    return archive


def test_events_and_rejects_are_tables(archive: Archive) -> None:
    answer = sql.ask(
        archive,
        "SELECT member, count(*) AS n FROM events GROUP BY member "
        "ORDER BY n DESC, member;",
    )
    assert answer.rows.rows()[0] == ("th", 2)
    assert not answer.more
    joined = sql.ask(
        archive,
        "WITH r AS (SELECT batch, value FROM rejects) "
        "SELECT value, count(*) FROM events JOIN r USING (batch) GROUP BY value",
    )
    assert joined.rows.rows() == [("1.2.3", 4)]


def test_days_are_a_column_and_others_are_not_read(archive: Archive) -> None:
    first = next(Path(archive.events.root).glob("day=2026-03-01/*.parquet"))
    first.write_bytes(b"unreadable")
    text = "SELECT source_address FROM events WHERE day >= '2026-03-02'"
    assert sql.ask(archive, text).rows.height == 3
    with pytest.raises((BadRequest, StoreError)):
        sql.ask(archive, "SELECT source_address FROM events")


def test_an_empty_archive_can_be_asked(tmp_path: Path) -> None:
    answer = sql.ask(Archive(tmp_path), "SELECT count(*) AS n FROM events")
    assert answer.rows["n"].to_list() == [0]


def test_an_answer_has_a_bound_and_says_that_there_was_more(archive: Archive) -> None:
    answer = sql.ask(archive, "SELECT number FROM events", limit=3)
    assert (answer.rows.height, answer.more) == (3, True)
    answer = sql.ask(archive, "SELECT number FROM events", limit=4)
    assert (answer.rows.height, answer.more) == (4, False)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "EXPLAIN SELECT * FROM events",
        "SHOW TABLES",
        "DROP TABLE events",
        "DELETE FROM events",
        "TRUNCATE TABLE events",
        "CREATE TABLE t AS SELECT * FROM events",
        "INSERT INTO events SELECT * FROM events",
        "SELECT 1; DROP TABLE events",
        "SELECT * INTO t FROM events",
        "WITH x AS (SELECT 1) DELETE FROM events",
        "SELECT * FROM events WHERE",
        "SELECT nope FROM events",
        "SELECT * FROM sqlite_master",
        "SELECT cast(class AS int) FROM events",
    ],
)
def test_whatever_is_no_select_on_the_archive_is_refused(
    archive: Archive, text: str
) -> None:
    before = stored(archive)
    with pytest.raises(BadRequest):
        sql.ask(archive, text)
    assert stored(archive).equals(before)


@pytest.mark.parametrize(
    "source",
    [
        "read_csv('{}')",
        "READ_CSV('{}')",
        "\"read_csv\"('{}')",
        "read_json('{}')",
        "read_ipc('{}')",
        "read_parquet('{}')",
        "scan_csv('{}')",
        "read_/**/csv('{}')",
        "'{}'",
        '"{}"',
        "(SELECT * FROM read_csv('{}'))",
        "events JOIN read_csv('{}') ON true",
    ],
)
def test_no_file_of_the_machine_is_read(
    archive: Archive, tmp_path: Path, source: str
) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("key\nconfidential\n")
    with pytest.raises(BadRequest) as refused:
        sql.ask(archive, " ".join(["SELECT * FROM", source.format(secret)]))
    assert "confidential" not in str(refused.value)


def test_polars_has_no_other_function_that_reads_files() -> None:
    # What the refusal is made for; a newer Polars may bring more.
    for name in ("csv", "ipc", "json", "parquet"):
        assert sql._READS.search(f"read_{name}(")
    with pytest.raises(pl.exceptions.PolarsError, match="not a supported"):
        pl.SQLContext().execute("SELECT * FROM load_file('x')").collect()


def test_variables_of_the_program_are_no_tables(archive: Archive) -> None:
    secret = pl.DataFrame({"key": ["value"]})
    with pytest.raises(BadRequest, match="not found"):
        sql.ask(archive, "SELECT * FROM secret")
    assert secret.height == 1


def test_a_statement_that_takes_too_long_is_stopped(archive: Archive) -> None:
    put(archive, "many", [event()] * 3000)
    text = (
        "SELECT count(*) FROM events a CROSS JOIN events b CROSS JOIN events c "
        "WHERE a.number + b.number + c.number = 5"
    )
    with pytest.raises(BadRequest, match="was stopped"):
        sql.ask(archive, text, seconds=2)


def test_a_statement_that_takes_too_much_memory_is_stopped(archive: Archive) -> None:
    put(archive, "many", [event()] * 3000)
    text = (
        "SELECT a.number FROM events a CROSS JOIN events b CROSS JOIN events c "
        "ORDER BY a.number + b.number + c.number"
    )
    with pytest.raises(BadRequest, match="of memory"):
        sql.ask(archive, text, megabytes=300)


def test_a_missing_file_is_the_archives_fault(archive: Archive) -> None:
    for path in Path(archive.events.root).glob("day=*/*.parquet"):
        path.unlink()
    with pytest.raises(StoreError):
        sql.ask(archive, "SELECT number FROM events")
