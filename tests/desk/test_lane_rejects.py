"""A row that could not be read is told by the line of the file that it stands in."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from serantau.config import NodeConfig, NodeSection
from serantau.desk.lane import Lane, Told
from serantau.desk.lane_ask import rejected
from serantau.desk.lane_work import Worker
from serantau.node import Node

FORM = """
title = "A format of the node's own"
comment = "#"
[columns]
seen = "time"
ip = "source_address"
note = "identifier"
"""
# By line: 1 remark, 2 head, 3 and 4 one row, 5 no address, 6 no time, 7 a good row, 8
# and 9 one row that is no address.
TEXT = """# made today
seen,ip,note
2026-03-01,203.0.113.1,"two
lines"
2026-03-01,1.2.3,x
sometime,203.0.113.2,x
2026-03-01,203.0.113.3,x
2026-03-01,0x7f.1,"two
lines"
"""
BAD = {("ip", 5, "1.2.3"), ("seen", 6, "sometime"), ("ip", 8, "0x7f.1")}


@pytest.fixture
def lane(tmp_path: Path) -> Iterator[Lane]:
    (tmp_path / "formats").mkdir()
    (tmp_path / "formats" / "own.toml").write_text(FORM, encoding="utf-8")
    section = NodeSection(member="th", team="T")
    with Node(NodeConfig(home=tmp_path, node=section)) as node:
        yield Lane(node)


def add(lane: Lane, body: bytes, name: str, form: str = "own") -> None:
    lane.add(io.BytesIO(body), Told("drone", format=form, name=name))


def found(lane: Lane, batch: int) -> set[tuple[str | None, int, str]]:
    rows, _ = rejected(lane.node, batch=str(batch))
    return {(one["file"], one["line"], one["value"]) for one in rows}


def work(lane: Lane) -> None:
    worker = Worker(lane)
    while worker.once():
        pass


@pytest.mark.parametrize("together", [True, False])
def test_rejects_name_the_line_of_their_file(lane: Lane, together: bool) -> None:
    lines = {(None, line, value) for _, line, value in BAD}
    add(lane, TEXT.encode(), "a.csv")
    if together:
        add(lane, TEXT.replace("203.", "198.").encode(), "b.csv")
        later = TEXT.replace("# made today\n", "").replace("1.2.3", "1.2.3.4.5")
        add(lane, later.encode(), "c.csv")
    work(lane)
    assert found(lane, 1) == lines
    if together:
        assert found(lane, 2) == lines
        assert found(lane, 3) == {
            (None, 4, "1.2.3.4.5"), (None, 5, "sometime"), (None, 7, "0x7f.1"),
        }  # fmt: skip


def test_rejects_name_the_file_inside_an_archive(lane: Lane) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("one/first.csv", TEXT)
        archive.writestr("second.csv", TEXT.replace("# made today\n", ""))
    add(lane, packed.getvalue(), "both.zip")
    work(lane)
    assert found(lane, 1) == {
        (name, line - less, value)
        for name, less in (("first.csv", 0), ("second.csv", 1))
        for _, line, value in BAD
    }


def test_a_record_without_a_line_is_told_by_its_place(lane: Lane) -> None:
    good = b'{"time":"2026-03-01T00:00:00Z","type":"spam","source_address":"%b"}'
    lines = b"\n".join([good % b"203.0.113.1", b"", good % b"1.2.3"])
    add(lane, lines, "a.jsonl", "serantau-json")
    document = b"[" + good % b"203.0.113.2" + b",\n\n" + good % b"1.2.4" + b"]"
    add(lane, document, "a.json", "serantau-json")
    work(lane)
    assert found(lane, 1) == {(None, 3, "1.2.3")}
    assert found(lane, 2) == {(None, 2, "1.2.4")}
