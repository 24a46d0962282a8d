"""Tables on a terminal: what there is room for, and letters as wide as they are."""

import io
from collections.abc import Mapping, Sequence

import pytest
from rich.cells import cell_len
from rich.console import Console

from serantau.apps.cli import output
from serantau.apps.cli.output import Column

AT = "2026-11-23 04:34:50Z"


def drawn(
    monkeypatch: pytest.MonkeyPatch,
    width: int,
    columns: Sequence[Column],
    *rows: Mapping[str, object],
) -> list[str]:
    stream = io.StringIO()
    held = Console(
        file=stream, force_terminal=True, color_system=None, width=width, markup=False
    )
    monkeypatch.setattr(output, "_console", lambda _: held)
    output.table(columns, rows)
    return stream.getvalue().splitlines()


def test_times_and_numbers_are_never_broken_over_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    columns = [
        Column("at", "Came"),
        Column("name", "File"),
        Column("rows", "Rows", right=True),
        Column("why", "Why"),
    ]
    row = {"at": AT, "name": "a" * 40, "rows": 1_200_430, "why": "it is a web page"}
    lines = drawn(monkeypatch, 64, columns, row, {**row, "why": ""})
    assert sum(AT in line and "1,200,430" in line for line in lines) == 2
    assert max(map(len, lines)) <= 64


def test_what_there_is_no_room_for_is_left_out_and_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    columns = [
        Column("at", "Came"),
        Column("format", "Format", spare=2),
        Column("feed", "Feed", spare=1),
        Column("why", "Why"),
        Column("state", "State"),
    ]
    row = {"at": AT, "format": "shadowserver", "feed": "scans", "state": "done"}
    lines = drawn(monkeypatch, 40, columns, row)
    assert [line.split() for line in (lines[0], lines[2])] == [
        ["Came", "Feed", "State"],
        [*AT.split(), "scans", "done"],
    ]
    # A column without any value is not missed.
    told = " ".join(" ".join(lines[-2:]).split())
    assert told == "No room for: Format. A wider terminal shows them."
    assert drawn(monkeypatch, 80, columns, row)[0].split() == [
        *("Came", "Format", "Feed", "Why", "State")
    ]


@pytest.mark.parametrize("width", [30, 80])
def test_columns_stand_below_each_other_in_every_script(
    monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    columns = [Column("title", "Title"), Column("rows", "Rows", right=True)]
    titles = (
        "ธนาคารกรุงไทย จำกัด (มหาชน) ที่นี่มีข้อความยาว",
        "ធនាគារជាតិនៃកម្ពុជា",
        "ທະນາຄານແຫ່ງ ສປປ ລາວ",
        "မြန်မာနိုင်ငံတော်ဗဟိုဘဏ်",
        "全角 A",
    )
    lines = drawn(
        monkeypatch, width, columns, *({"title": one, "rows": 7} for one in titles)
    )
    ends = {cell_len(line) for line in lines if line.endswith("7")}
    assert len(ends) == 1
    assert max(map(cell_len, lines)) <= width
