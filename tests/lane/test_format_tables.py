"""Separated columns are read to the last value, and faults told with their line."""

import csv
import gzip
import io
import json
import tracemalloc
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, BinaryIO, cast

import orjson
import polars as pl
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from serantau.clock import instant
from serantau.errors import BadInput
from serantau.lane.formats import Format, Limits, read, read_form
from serantau.lane.frame import EVENTS, REJECTS
from serantau.lane.origin import Origin

RECEIVED = instant("2026-06-01T00:00:00Z")
ORIGIN = Origin("feed", "ab" * 32, RECEIVED, "file.csv")
PLAIN = """
[columns]
time = "time"
ip = "source_address"
port = "source_port"
"""


def form_of(text: str = PLAIN) -> Format:
    return read_form(text, "mine", "mine.toml")


def run(
    data: bytes | str, form: Format | None = None, **limits: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    whole = data.encode() if isinstance(data, str) else data
    pieces = list(read(whole, form or form_of(), ORIGIN, limits=Limits(**limits)))
    for piece in pieces:
        assert dict(piece.rejects.schema) == dict(REJECTS)
        assert list(piece.frame.columns) == [c for c in EVENTS if c in piece.frame]
        assert all(
            piece.frame.schema[name] == EVENTS[name] for name in piece.frame.columns
        )
        for name in ("time", "received", "batch", "number", "feed", "class", "type"):
            assert piece.frame[name].null_count() == 0
    rows = [row for piece in pieces for row in piece.frame.to_dicts()]
    rejects = [row for piece in pieces for row in piece.rejects.to_dicts()]
    numbers = [row["number"] for row in rows]
    assert numbers == sorted(set(numbers))
    return rows, rejects


def extra(row: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(row["extra"]) if row.get("extra") else {}
    return found


def written(rows: Iterable[Iterable[str]], **how: Any) -> bytes:
    text = io.StringIO()
    csv.writer(text, **how).writerows(rows)
    return text.getvalue().encode("utf-8", "surrogatepass")


VALUES = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    [
        "",
        '"',
        '""',
        ",",
        "\n",
        '",\n"',
        "a\nb",
        "a\r\nb",
        "\\",
        "\t",
        "'",
        "#",
        "\x00",
        "=cmd",
    ]
)


@given(
    table=st.integers(1, 5).flatmap(
        lambda width: st.lists(
            st.lists(VALUES, min_size=width, max_size=width), max_size=12
        )
    ),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    end=st.sampled_from(["\n", "\r\n"]),
    block=st.sampled_from([16, 64, 1000]),
)
def test_every_value_that_was_written_is_read_again(
    table: list[list[str]], quoting: Any, end: str, block: int
) -> None:
    if quoting == csv.QUOTE_MINIMAL:
        # Python's writer leaves it bare, and then nobody can tell it from a line's end.
        table = [[value.replace("\r", "") for value in row] for row in table]
    width = len(table[0]) if table else 1
    header = ["ip", *(f"c{at}" for at in range(width))]
    rows = [["192.0.2.1", *row] for row in table]
    data = written([header, *rows], quoting=quoting, lineterminator=end)
    found, rejects = run(data, block_bytes=block)
    assert rejects == []
    assert [extra(row) for row in found] == [
        {f"c{at}": value for at, value in enumerate(row[1:]) if value != ""}
        for row in rows
    ]
    assert [row["number"] for row in found] == list(range(1, len(rows) + 1))


@given(
    rows=st.lists(st.integers(1, 6), min_size=1, max_size=30),
    block=st.sampled_from([8, 40, 500]),
)
def test_each_row_of_another_width_is_told_with_its_line(
    rows: list[int], block: int
) -> None:
    lines = [",".join(["192.0.2.1", *"abcdef"][:width]) for width in rows]
    data = "ip,b,c\n" + "\n".join(lines) + "\n"
    found, rejects = run(data, block_bytes=block)
    assert len(found) == rows.count(3)
    assert [one["line"] for one in rejects] == [
        at + 2 for at, width in enumerate(rows) if width != 3
    ]
    assert all(one["raw"] == lines[one["line"] - 2] for one in rejects)
    assert all("expected 3" in one["reason"] for one in rejects)
    # A place is kept for what may be read one day.
    assert [row["number"] for row in found] == [
        at + 1 for at, width in enumerate(rows) if width == 3
    ]


LETTERS = st.text(st.sampled_from('ab,,"\n\n\r'), max_size=40)


@given(
    text=LETTERS | st.lists(LETTERS, max_size=9).map("\n192.0.2.1,".join),
    block=st.sampled_from([1, 30, 1000]),
)
def test_the_quick_way_never_reads_a_row_that_the_careful_way_reads_otherwise(
    text: str, block: int
) -> None:
    quick = form_of()
    # Blanks before values, of which there are none here, are not for the quick way.
    careful = form_of("skip_space = true\n" + PLAIN)
    data = "ip,c,port\n" + text

    def told(form: Format, size: int) -> list[list[dict[str, Any]]]:
        return [
            [{k: v for k, v in row.items() if v is not None} for row in rows]
            for rows in run(data, form, block_bytes=size)
        ]

    assert told(quick, block) == told(careful, 100_000)


@given(text=st.binary(max_size=300), block=st.sampled_from([10, 100]))
def test_whatever_bytes_a_table_has_nothing_breaks(text: bytes, block: int) -> None:
    with suppress(BadInput):
        run(b"ip,port\n" + text, block_bytes=block, line_bytes=50)


def test_a_quote_that_is_never_closed_costs_its_own_line() -> None:
    good = "192.0.2.%d,80,ok\n"
    data = "ip,port,c\n" + good % 1 + '192.0.2.2,80,"open\n' + good % 3 + good % 4
    found, rejects = run(data)
    assert [row["source_address"] for row in found] == [
        "192.0.2.1",
        "192.0.2.3",
        "192.0.2.4",
    ]
    assert [(one["line"], one["raw"]) for one in rejects] == [(3, '192.0.2.2,80,"open')]
    assert "never closed" in rejects[0]["reason"]


def test_a_quote_that_closes_too_early_costs_its_own_line() -> None:
    found, rejects = run('ip,c\n192.0.2.1,"a"b\n192.0.2.2,c\n')
    assert [row["source_address"] for row in found] == ["192.0.2.2"]
    assert rejects[0]["line"] == 2
    assert rejects[0]["reason"] == "a quote closes before its value ends"


def test_an_inch_mark_within_a_value_is_a_letter() -> None:
    found, rejects = run('ip,c\n192.0.2.1,5" disk\n192.0.2.2,3" disk\n')
    assert not rejects
    assert [extra(row)["c"] for row in found] == ['5" disk', '3" disk']


def test_lines_are_counted_through_values_of_several_lines_and_blocks() -> None:
    rows = "".join(f'192.0.2.{at},"a\nb"\n\n' for at in range(100))
    data = "ip,c\n" + rows + "192.0.2.200\n"
    for block in (20, 333, 100_000):
        found, rejects = run(data, block_bytes=block)
        assert len(found) == 100
        assert [one["line"] for one in rejects] == [302]


def test_a_time_that_is_none_is_rejected_with_column_value_and_line() -> None:
    data = (
        "time,ip,port\n"
        "2026-01-01 00:00:00,192.0.2.1,1\n"
        "yesterday,192.0.2.2,2\n"
        "9999-12-31 23:59:59,192.0.2.3,3\n"
        "1970-01-01 00:00:00,192.0.2.4,4\n"
        ",192.0.2.5,5\n"
    )
    found, rejects = run(data)
    assert [row["source_port"] for row in found] == [1, 5]
    assert [(one["line"], one["column"], one["value"]) for one in rejects] == [
        (3, "time", "yesterday"),
        (4, "time", "9999-12-31 23:59:59"),
        (5, "time", "1970-01-01 00:00:00"),
    ]
    assert "later than" in rejects[1]["reason"]
    assert "earlier than 1990" in rejects[2]["reason"]
    assert rejects[0]["raw"] == "yesterday,192.0.2.2,2"
    # A row that tells no time is as old as the file.
    assert found[1]["time"] == found[1]["received"]


@pytest.mark.parametrize(
    "port", ["-1", "65536", "80/tcp", "http", "1e3", "80.0", "192.0.2.1"]
)
def test_what_is_no_port_is_rejected(port: str) -> None:
    found, rejects = run(f"time,ip,port\n,192.0.2.1,{port}\n,192.0.2.2,0\n")
    assert [row["source_port"] for row in found] == [0]
    assert [(one["column"], one["value"]) for one in rejects] == [("port", port)]


def test_columns_are_found_by_name_wherever_they_stand() -> None:
    found, _ = run("PORT, Ip ,time\n80,192.0.2.1,2026-01-01 00:00:00\n")
    assert (found[0]["source_address"], found[0]["source_port"]) == ("192.0.2.1", 80)


def test_a_header_alone_is_no_row_and_no_fault() -> None:
    assert run("time,ip,port\n") == ([], [])
    assert run("time,ip,port") == ([], [])
    assert run("") == ([], [])


def test_another_feeds_file_is_refused_by_its_columns() -> None:
    with pytest.raises(BadInput, match="none of the columns of format mine") as caught:
        run("name,colour\nx,red\n")
    assert "name, colour" in str(caught.value)
    assert "ip" in str(caught.value)


def test_comments_are_no_rows_wherever_they_stand() -> None:
    form = form_of('comment = "#"\n' + PLAIN)
    data = '# one\n\n#two\nip,c\n192.0.2.1,x\n# "three\n192.0.2.2,#y\n#4\n192.0.2.3\n'
    found, rejects = run(data, form)
    assert [extra(row) for row in found] == [{"c": "x"}, {"c": "#y"}]
    assert [one["line"] for one in rejects] == [9]
    lines = form_of('comment = ";"\ncut = "lines"\n[columns]\nvalue = "source_any"\n')
    found, _ = run("192.0.2.1\n;no\n  \n192.0.2.2\n", lines)
    assert [row["number"] for row in found] == [1, 2]


def test_a_header_that_cannot_be_one_is_refused() -> None:
    for data, said in (
        ('"ip"x,c\n192.0.2.1,x\n', "header cannot be read"),
        ("ip," * 6000 + "\n", "6001 columns"),
        ("ip," + "c" * 500_000 + "\n192.0.2.1,x\n", "first line has more than"),
    ):
        with pytest.raises(BadInput, match=said):
            run(data, line_bytes=100_000)
    found, _ = run('ip,"two\nlines"\n192.0.2.1,x\n')
    assert extra(found[0]) == {"two\nlines": "x"}


def test_a_file_without_quotes_is_cut_at_its_delimiter_only() -> None:
    form = form_of('quote = ""\ndelimiter = "|"\n' + PLAIN)
    found, rejects = run('ip|c\n192.0.2.1|"a\n192.0.2.2|b"\n192.0.2.3|x|y\n', form)
    assert [extra(row)["c"] for row in found] == ['"a', 'b"']
    assert [(one["line"], one["raw"]) for one in rejects] == [(4, "192.0.2.3|x|y")]


def test_a_long_open_quote_is_given_up_within_its_block() -> None:
    data = 'ip,c\n192.0.2.1,"open\n' + "192.0.2.2,x\n" * 50
    for block, line in ((100, 40), (10_000, 4_000_000)):
        found, rejects = run(data, block_bytes=block, line_bytes=line)
        assert len(found) == 50
        assert [one["line"] for one in rejects] == [2]


def test_a_row_left_open_before_a_line_that_is_too_long_is_told() -> None:
    data = 'ip,c\n192.0.2.1,"open\n' + "x" * 100_000 + "\n192.0.2.2,y\n"
    found, rejects = run(data, block_bytes=20, line_bytes=1000)
    assert [row["source_address"] for row in found] == ["192.0.2.2"]
    assert [one["line"] for one in rejects] == [2, 3]
    assert found[0]["number"] == 3


def test_what_the_feed_is_told_to_be_goes_before_what_its_format_is() -> None:
    form = form_of(PLAIN + '[constants]\ntype = "spam"\nseverity = 1\n')
    origin = Origin("f", "0" * 64, RECEIVED, tlp=3, type="phishing", confidence=40)
    (piece,) = read(b"ip\n192.0.2.1\n", form, origin)
    row = piece.frame.row(0, named=True)
    assert (row["type"], row["severity"], row["confidence"], row["tlp"]) == (
        "phishing",
        1,
        40,
        3,
    )


def test_values_outside_their_columns_stay_in_extra() -> None:
    form = form_of(
        '[columns]\nip = "source_address"\nsev = "severity"\nn = "count"\n'
        'h = "hash"\na = "source_host"\n'
    )
    found, rejects = run("ip,sev,n,h,a\n192.0.2.1,awful,many,xyz,192.0.2.9:80\n", form)
    assert rejects == []
    assert extra(found[0]) == {
        "sev": "awful",
        "n": "many",
        "h": "xyz",
        "a": "192.0.2.9:80",
    }


@pytest.mark.parametrize(
    "value", ["plain", "a\\b", "a\tb", 'a"b', "a\nb", "a\r\nb", "\x7f", "é", "\x01"]
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_extra_is_the_same_whatever_letters_a_row_beside_has(
    value: str, end: str
) -> None:
    rows = [
        {"b": "x", "c\\": "y", "d": value},
        {"d": "z"},
        {"b": "x", "c\\": "y", "d": "é"},
        {"b": "x", "c\\": "y", "d": "z", "e": "v"},
    ]
    data = "ip,b,c\\,d,e" + end
    for at, row in enumerate(rows):
        cells = [
            row.get(name, "").replace('"', '""') for name in ("b", "c\\", "d", "e")
        ]
        data += f"192.0.2.{at}," + ",".join(f'"{cell}"' for cell in cells) + end
    found, rejects = run(data)
    assert rejects == []
    assert [extra(row) for row in found] == rows
    written = [row["extra"] for row in found]
    assert written[1:] == [orjson.dumps(row).decode() for row in rows[1:]]


def test_two_columns_of_one_name_and_one_without_are_both_kept() -> None:
    found, _ = run("ip,a,a,\n192.0.2.1,x,y,z\n")
    assert extra(found[0]) == {"a": "x", "a_2": "y", "column_4": "z"}


def test_a_row_cut_off_at_the_end_is_no_row() -> None:
    form = form_of("short = 2\n" + PLAIN)
    found, rejects = run("ip,b,c,d\n192.0.2.1,x\n192.0.2.2,x,y\n192.0.2.3,x", form)
    assert [row["source_address"] for row in found] == ["192.0.2.1", "192.0.2.2"]
    assert [one["raw"] for one in rejects] == ["192.0.2.3,x"]


def test_rows_that_all_lack_a_new_column_are_read_when_the_format_says_so() -> None:
    form = form_of("short = 2\n" + PLAIN)
    data = "ip,b,c,d\n" + "192.0.2.1,x,y\n" * 3
    assert len(run(data, form)[0]) == 3
    assert len(run(data)[1]) == 3
    assert len(run("ip,b,c,d\n" + "192.0.2.1\n" * 3, form)[1]) == 3


def test_one_letter_of_another_encoding_costs_nothing() -> None:
    head = b"ip,city\n"
    latin = "192.0.2.1,Málaga\n".encode("latin-1")
    thai = "192.0.2.2,กรุงเทพ\n".encode()
    found, rejects = run(head + latin + thai)
    assert not rejects
    assert [extra(row)["city"] for row in found] == ["Málaga", "กรุงเทพ"]


def test_a_formats_own_encoding_is_tried_where_utf_8_fails() -> None:
    form = form_of('encoding = "cp874"\n' + PLAIN)
    found, _ = run("ip,city\n192.0.2.1,กรุงเทพ\n".encode("cp874"), form)
    assert extra(found[0])["city"] == "กรุงเทพ"


@pytest.mark.parametrize(
    "encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
def test_other_forms_of_unicode_are_read(encoding: str) -> None:
    text = "ip,city\n192.0.2.1,ភ្នំពេញ\n192.0.2.2,Yangon\n" + "192.0.2.3,Vientiane\n" * 20
    found, rejects = run(text.encode(encoding))
    assert not rejects
    assert extra(found[0])["city"] == "ភ្នំពេញ"
    assert len(found) == 22


class Huge(io.RawIOBase):
    """A file with a line of a gigabyte, made as it is read."""

    PARTS = (b"ip,c\n192.0.2.1,x\n192.0.2.2,", b"\n192.0.2.3,y\n")
    SIZE = 1_000_000_000

    def __init__(self) -> None:
        self._at = 0

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self._at = self.SIZE if whence else offset
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        start, end = self.PARTS
        at, self._at = self._at, min(self._at + size, self.SIZE)
        if at < len(start):
            self._at = min(at + size, len(start))
            return start[at : self._at]
        if at >= self.SIZE - len(end):
            return end[at - (self.SIZE - len(end)) :][:size]
        self._at = min(self._at, self.SIZE - len(end))
        return b"z" * (self._at - at)


@pytest.mark.parametrize(
    "magic", [b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"x\x9c", b"x\xda", b"x\x01", b"x^"]
)
def test_a_row_that_begins_like_an_archive_is_not_unpacked(magic: bytes) -> None:
    bombs: dict[bytes, Callable[[bytes], bytes]] = {
        b"\x1f": gzip.compress,
        b"x": zlib.compress,
        b"(": zstandard.compress,
    }
    bomb = bombs[magic[:1]]
    inner = bomb(b"192.0.2.9,x\n" * 1000)
    for row in (inner, magic + b",x"):
        found, _ = run(b"ip,c\n" + row.replace(b"\n", b"") + b"\n")
        assert "192.0.2.9" not in {one["source_address"] for one in found}


def test_a_line_of_a_gigabyte_is_rejected_and_forgotten() -> None:
    file = cast("BinaryIO", Huge())
    tracemalloc.start()
    pieces = list(read(file, form_of(), ORIGIN, limits=Limits(block_bytes=1_000_000)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    rows = pl.concat([one.frame for one in pieces], how="diagonal")
    rejects = pl.concat([one.rejects for one in pieces])
    assert rows["source_address"].to_list() == ["192.0.2.1", "192.0.2.3"]
    assert rows["number"].to_list() == [1, 3]
    assert rejects["line"].to_list() == [3]
    assert rejects["reason"].to_list() == ["a line of more than 4000000 bytes"]
    assert rejects["raw"][0].startswith("192.0.2.2,zzz")
    assert peak < 40_000_000
