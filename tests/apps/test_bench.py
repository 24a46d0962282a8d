"""The bench works; what it finds is for people to read, and no test depends on time."""

import hashlib
import os
import threading
from collections import Counter
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest
from bench import desk, footprint, lane, lane_child, pages, scale
from bench.__main__ import main
from bench.client import Asked, ask
from bench.corpus import EXCHANGE, Corpus
from bench.figures import Figure, Limit, write_markdown
from bench.machine import this_machine
from bench.reports import write_report
from bench.sizes import Sizes, quick

from serantau.rules.marking import TLP_2_IDS
from serantau.rules.stix import Limits, Reader
from serantau.wire.schemas import load_schemas

pytestmark = pytest.mark.no_cover

PAGE = "before\n<!-- figures: begin -->\nold\n<!-- figures: end -->\nafter\n"


@pytest.fixture
def sizes(tmp_path: Path) -> Sizes:
    return replace(quick(tmp_path), objects=2_500, small=400, big=800)


def test_corpus_is_the_same_for_the_same_seed_only() -> None:
    first = list(Corpus(seed=1).raws(500))
    assert first == list(Corpus(seed=1).raws(500))
    assert first != list(Corpus(seed=2).raws(500))


def test_corpus_is_admitted_to_the_last_object_and_refers_backwards() -> None:
    reader = Reader(
        Limits(
            object_bytes=100_000,
            object_depth=32,
            object_items=1_000,
            pattern_bytes=10_000,
        ),
        load_schemas(),
    )
    known = {TLP_2_IDS[level] for level in EXCHANGE}
    versions = set()
    types: Counter[str] = Counter()
    for raw in Corpus().raws(3_000):
        version = reader.read(raw)
        versions.add((version.id, version.modified))
        types[version.type] += 1
        known.add(version.id)
        assert {target for _, target in version.edges} <= known
    assert len(versions) == 3_000
    assert types["indicator"] > 900
    assert min(types[name] for name in ("sighting", "observed-data", "malware")) > 20


def test_own_client_counts_every_answer_and_every_wrong_one() -> None:
    body = b"x" * 300_000

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/right" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            asked = Asked("127.0.0.1", server.server_port, ("/right",), ())
            right = ask(asked, 0.3, 2)
            wrong = ask(replace(asked, paths=("/wrong",)), 0.3, 2)
        finally:
            server.shutdown()
            thread.join()
    assert right.responses
    assert right.size >= right.responses * len(body)
    assert right.wrong == 0
    assert wrong.wrong >= wrong.responses > 0


def test_figure_holds_only_when_target_and_ratio_hold() -> None:
    figure = Figure("out", (90.0, 110.0, 100.0), "1/s", target=100.0, at_least=True)
    assert figure.held
    assert not replace(figure, target=101.0).held
    assert not replace(figure, limits=(Limit("a limit", 201.0, least=0.5),)).held
    assert replace(figure, limits=(Limit("a limit", 199.0, least=0.5),)).held
    assert not replace(figure, target=99.0, at_least=False).held
    assert replace(figure, target=None).held is None


def test_table_stands_between_its_markers_and_nothing_else_changes(
    tmp_path: Path,
) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")
    figure = Figure("Objects out", (5.0,), "objects/s", target=9.0, at_least=True)
    write_markdown(page, "figures", [figure], this_machine())
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n<!-- figures: begin -->\n")
    assert text.endswith("<!-- figures: end -->\nafter\n")
    assert "old" not in text
    assert "| Objects out | at least 9.00 objects/s | **5.00 objects/s** |" in text
    other = Figure("Objects in", (7.0,), "objects/s")
    again = replace(figure, runs=(10.0,), note="quietly")
    write_markdown(page, "figures", [other], this_machine())
    write_markdown(page, "figures", [again], this_machine())
    rows = [line for line in page.read_text("utf-8").splitlines() if line[:3] == "| O"]
    assert [row.split(" | ")[0] for row in rows] == [
        "| Objects out (quietly)",
        "| Objects in",
    ]
    assert "| 10.0 objects/s |" in rows[0]
    with pytest.raises(ValueError, match="no markers"):
        write_markdown(page, "scale", [figure], this_machine())


def test_pages_are_measured_with_every_page_logged(sizes: Sizes) -> None:
    out, memory = pages.measure(sizes)
    assert out.value > 0
    assert {limit.value > 0 for limit in out.limits} == {True}
    assert memory.unit == "MB"


def test_filters_are_compared_between_two_stores(sizes: Sizes) -> None:
    figures = scale.measure(sizes)
    assert {one.unit for one in figures} == {"ms"}
    assert len({one.what for one in figures}) == len(figures)


def test_command_writes_what_it_measured(tmp_path: Path) -> None:
    target = tmp_path / "figures.json"
    main(
        ["--only", "help", "--quick", "--json", str(target), "--folder", str(tmp_path)]
    )
    written = orjson.loads(target.read_bytes())
    (figure,) = written["figures"]
    assert figure["what"] == "`serantau --help`"
    assert len(figure["runs"]) == footprint.HELP_RUNS
    assert written["machine"]["cores"] <= (os.cpu_count() or 1)


def here(work: str, *given: str | Path, settings: Any = None) -> dict[str, Any]:
    """Do the work of a child without another process."""
    return lane_child.work(work, *given)


@pytest.fixture
def small(tmp_path: Path) -> Sizes:
    return replace(
        quick(tmp_path),
        rows=400,
        large_rows=400,
        indicators=20,
        ranges=0.001,
        files=3,
        posts=3,
        matched=200,
        archived=400,
        days=2,
    )


def test_the_lane_is_measured_with_each_stage(small: Sizes) -> None:
    rate, whole, *stages, packing = lane.measure_chain(small, here)
    assert rate.value > 0
    assert whole.value > 0
    assert len({one.what for one in stages}) == len(stages) == 5
    assert packing.value > 0


@pytest.mark.parametrize(
    ("part", "unit"),
    [
        (lane.measure_memory, "MB"),
        (lane.measure_files, "files/min"),
        (lane.measure_match, "s"),
        (lane.measure_archive, "ms"),
    ],
)
def test_each_figure_of_the_lane_is_measured_by_itself(
    small: Sizes, part: Any, unit: str
) -> None:
    figures = part(replace(small, indicators=0), here)
    assert figures[0].unit == unit
    assert all(one.value > 0 for one in figures)


def test_pages_of_events_are_measured_with_their_parts(small: Sizes) -> None:
    figures = desk.measure_events(replace(small, singles=1, parts=1), here)
    pages = [one for one in figures if one.target]
    assert [one.target for one in pages] == [50.0] * 3
    assert len({one.what for one in figures}) == len(figures) == 11
    assert all(one.value > 0 for one in figures)


def test_posts_to_the_lane_are_measured(small: Sizes) -> None:
    median, late = lane.measure_post(replace(small, indicators=0))
    assert 0 < median.value <= late.value
    assert late.target == 20.0


def test_reports_are_the_same_bytes_and_no_row_is_another(tmp_path: Path) -> None:
    one, other = (
        write_report(tmp_path / name, 500, first=first).read_bytes()
        for name, first in (("a.csv", 0), ("b.csv", 500))
    )
    assert one == write_report(tmp_path / "c.csv", 500).read_bytes()
    assert not {*one.splitlines()[1:]} & {*other.splitlines()}
    assert hashlib.sha256(one).hexdigest()[:16] == "0ccd5696bda348b1"
