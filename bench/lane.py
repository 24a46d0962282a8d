"""The event lane: how fast rows come in, at what cost, and how fast they are found."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import orjson

from bench.figures import Figure, Limit, at_percent
from bench.lane_node import found_lane
from bench.nodes import Bench, environment, open_line
from bench.reports import NAME, write_report
from bench.sizes import Sizes

_RATE: Final = 200_000.0
_SHARE: Final = 0.4
_PEAK_MB: Final = 2_000.0
_FILES: Final = 1_000.0
_POST_MS: Final = 20.0
_MATCH_SECONDS: Final = 2.0
_ONE_MS: Final = 500.0
_TOP_SECONDS: Final = 2.0
_SMALL_ROWS: Final = 100
# Rows of one file of many are far from those of the next.
_APART: Final = 1_000_000
_STAGES: Final = {
    "read": ("reading", "cut, times and numbers read, the rest made JSON"),
    "judge": ("judging", "harmonised, fingerprinted, attributed and matched"),
    "once": ("telling apart", "looked for in the batch and in the archive"),
    "write": ("writing", "sorted and written as Parquet, on disk"),
    "commit": ("committing", "made visible"),
}


class Child(Protocol):
    """Does work of `bench.lane_child`; settings: of the environment."""

    def __call__(
        self, work: str, *given: str | Path, settings: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Give what the work told."""
        ...


def apart(
    work: str, *given: str | Path, settings: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Have some work done by a process of its own.

    Raises:
        AssertionError: it failed.
    """
    done = subprocess.run(
        [sys.executable, "-m", "bench.lane_child", work, *map(str, given)],
        env=environment(settings or {}),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    # What was logged stands before it.
    told: dict[str, Any] = orjson.loads(done.stdout.rpartition(b"\n")[2])
    return told


def measure_chain(sizes: Sizes, child: Child = apart) -> list[Figure]:
    """Measure rows a second of the whole chain, and CPU time by stage."""
    report = write_report(sizes.folder / NAME, sizes.rows)
    width = report.stat().st_size / sizes.rows
    raws = [
        child("raw", report, sizes.folder / "raw.parquet") for _ in range(sizes.runs)
    ]
    node = _founded(sizes)
    chains = []
    for run in range(sizes.runs):
        chains.append(child("chain", node.home, report, settings=node.settings))
        shutil.rmtree(node.config.archive)
        # Other bytes, so that it is another batch.
        with report.open("r+b") as file:
            file.seek(-2, os.SEEK_END)
            file.write(b"%d" % (run % 9 + 1))
    staged = child("stages", node.home, report, settings=node.settings)
    rates = tuple(one["rows"] / one["wall"] for one in chains)
    bare = _median([one["rows"] / one["wall"] for one in raws])
    rows = f"{sizes.rows:,} rows of {width:.0f} bytes, 26 quoted columns"
    figures = [
        Figure(
            "Rows in, the whole chain",
            rates,
            "rows/s",
            target=_RATE,
            at_least=True,
            limits=(
                Limit("reading it with Polars and writing Parquet", bare, least=_SHARE),
            ),
            note=f"{rows}; read, harmonised, attributed, told apart, matched with "
            f"{sizes.indicators:,} indicators, on disk and visible",
        ),
        Figure(
            "CPU time of a row, the whole chain",
            tuple(one["cpu"] / one["rows"] * 1e6 for one in chains),
            "us",
            limits=(Limit("reading and writing it", _cpu(raws, "cpu")),),
            note="all threads of the process",
        ),
    ]
    for name, (title, note) in _STAGES.items():
        limits = (
            (Limit(f"Polars {title} it", _cpu(raws, name)),)
            if name in {"read", "write"}
            else ()
        )
        spent = staged[name] / staged["rows"] * 1e6
        figures.append(
            Figure(
                f"CPU time of a row, {title}", (spent,), "us", None, False, limits, note
            )
        )
    if all(one["packed"] for one in chains):
        figures.append(_packing(chains, statistics.median(rates)))
    return figures


def _packing(chains: list[dict[str, Any]], rate: float) -> Figure:
    return Figure(
        "Rows of other members packed for their nodes",
        tuple(one["packed"] / one["wall_packing"] for one in chains),
        "rows/s",
        limits=(Limit("rows in", rate),),
        note=f"{chains[0]['packed']:,.0f} of these rows, read back once they are "
        "visible",
    )


def _cpu(raws: list[dict[str, Any]], what: str) -> float:
    return _median([one[what] / one["rows"] * 1e6 for one in raws])


def measure_memory(sizes: Sizes, child: Child = apart) -> list[Figure]:
    """Measure how much memory the work on a large file takes."""
    report = write_report(sizes.folder / NAME, sizes.large_rows)
    node = _founded(sizes)
    told = child("chain", node.home, report, settings=node.settings)
    size = report.stat().st_size / 1e9
    return [
        Figure(
            f"Peak memory of working on a file of {size:.1f} GB",
            (told["peak"],),
            "MB",
            target=_PEAK_MB,
            note=f"{sizes.large_rows:,} rows; a process that does nothing else",
        )
    ]


def measure_files(sizes: Sizes, child: Child = apart) -> list[Figure]:
    """Measure how many small files a minute are worked on."""
    node = _founded(sizes)
    folder = sizes.folder / "small"
    folder.mkdir()
    for number in range(sizes.files):
        write_report(folder / f"{number:06}.csv", _SMALL_ROWS, first=number * _APART)
    told = child("files", node.home, folder, settings=node.settings)
    assert told["rows"] == sizes.files * _SMALL_ROWS, told
    taking = sizes.files / told["taking"] * 60
    return [
        Figure(
            "Small files",
            (sizes.files / (told["taking"] + told["working"]) * 60,),
            "files/min",
            target=_FILES,
            at_least=True,
            limits=(Limit("merely taking them in, each durable", taking),),
            note=f"{sizes.files:,} files of {_SMALL_ROWS} rows, from taking in to "
            "visible",
        ),
        Figure("CPU time of a small file", (told["cpu"] / sizes.files * 1e3,), "ms"),
    ]


def measure_post(sizes: Sizes) -> list[Figure]:
    """Measure how long a POST of one row takes until it is durable."""
    node = _founded(sizes)
    token = node.token("bench-sensor", "th", "writer")
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "text/csv"}
    path = "/api/v1/events?feed=sensor"
    taken = []
    with node.served(), open_line(node.port) as line:
        for number in range(sizes.posts + 1):
            clock = f"{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}"
            body = f"time,ip\n2025-01-15 {clock},192.0.2.{number % 256}\n"
            begun = time.perf_counter()
            line.request("POST", path, body=body.encode(), headers=headers)
            answer = line.getresponse()
            said = answer.read()
            if number:
                taken.append((time.perf_counter() - begun) * 1000)
            assert answer.status == 202, said
    durable = [_durable(sizes.folder / f"row-{at}") for at in range(sizes.posts)]
    return [
        Figure(
            f"POST of one row, {name}",
            (value(taken),),
            "ms",
            target=target,
            limits=(Limit(f"a bare file of the same on disk, {name}", value(durable)),),
            note=f"{sizes.posts:,} rows one by one over one connection, each on disk "
            "when answered, while the node works on them",
        )
        for name, value, target in (
            ("median", _median, None),
            ("p99", partial(at_percent, percent=99), _POST_MS),
        )
    ]


def _durable(path: Path) -> float:
    begun = time.perf_counter()
    with path.open("wb") as file:
        file.write(b"time,ip\n2025-01-15 10:00:00,192.0.2.1\n")
        file.flush()
        os.fsync(file.fileno())
    handle = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    return (time.perf_counter() - begun) * 1000


def measure_match(sizes: Sizes, child: Child = apart) -> list[Figure]:
    """Measure many rows against many indicators."""
    runs = [child("match", str(sizes.matched)) for _ in range(sizes.runs)]
    assert runs[0]["hits"], runs
    joining = _median([one["joining"] for one in runs])
    return [
        Figure(
            f"{sizes.matched:,} rows matched with {sizes.matched:,} indicators",
            tuple(one["finding"] for one in runs),
            "s",
            target=_MATCH_SECONDS,
            limits=(Limit("a join by the address alone", joining),),
            note="addresses, and names with what is below them; a tenth are known",
        ),
        Figure(
            f"{sizes.matched:,} indicators put in order",
            tuple(one["ordering"] for one in runs),
            "s",
            note="once, when they change",
        ),
    ]


def measure_archive(sizes: Sizes, child: Child = apart) -> list[Figure]:
    """Measure questions to a smaller archive and a larger one."""
    small, large = (
        _asked(sizes, rows, child) for rows in (sizes.archived // 10, sizes.archived)
    )
    growth = large["rows"] / small["rows"]
    rows = f"{large['rows']:,.0f} rows of {sizes.days} days"
    note = (
        f"{large['files']} files, {large['bytes'] / 1e9:.1f} GB; read before; "
        f"the limit's archive has {growth:.0f} times fewer rows"
    )
    return [
        Figure(
            f"One address in {rows}",
            tuple(one * 1000 for one in large["one"]),
            "ms",
            target=_ONE_MS,
            limits=(
                Limit("the same of a tenth", _median(small["one"]) * 1000, most=growth),
            ),
            note=f"{large['found']} rows found; {note}",
        ),
        Figure(
            f"Rows by country, all {rows}",
            tuple(large["top"]),
            "s",
            target=_TOP_SECONDS,
            limits=(Limit("the same of a tenth", _median(small["top"]), most=growth),),
            note=note,
        ),
    ]


def _median(runs: list[float]) -> float:
    return statistics.median(runs)


def _asked(sizes: Sizes, rows: int, child: Child) -> dict[str, Any]:
    root = sizes.folder / f"archive-{rows}"
    try:
        filled = child("fill", root, str(rows // sizes.days), str(sizes.days))
        return {**filled, **child("ask", root, str(sizes.runs))}
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _founded(sizes: Sizes) -> Bench:
    folder = sizes.folder / "founded"
    folder.mkdir()
    return found_lane(folder, indicators=sizes.indicators, share=sizes.ranges)
