"""`python -m bench.lane_child`: lane work in a process of its own.

So its CPU time and memory are its own too. It writes one JSON object.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from bench.reports import NAME, made, write_report
from serantau.config import load_config
from serantau.desk.lane import Lane, Told
from serantau.desk.lane_kernel import Seen
from serantau.desk.lane_reference import Referring
from serantau.desk.lane_work import Worker
from serantau.lane.archive import Archive, Writing
from serantau.lane.formats.reading import read
from serantau.lane.formats.registry import Formats
from serantau.lane.formats.rows import Piece
from serantau.lane.frame import EVENTS
from serantau.lane.harmonise import SIDES
from serantau.lane.kernel import Done, run
from serantau.lane.match import INDICATORS, Asked, Known, named
from serantau.lane.origin import Origin
from serantau.lane.question import Asking, Question
from serantau.node import Node

_WARM = 1_000
# Rows of warming up are far from those that are measured.
_FAR = 1 << 40
_FEED = "shadowserver"

Told_ = dict[str, float]


def chain(home: Path, report: Path) -> Told_:
    """Work on a report as a running node does, and on a small one before."""
    with _lane(home) as lane:
        worker = Worker(lane)
        # Other rows each time: what was taken in before is no batch.
        first = _FAR + time.time_ns() % _FAR
        warm = write_report(report.with_name("warm.csv"), _WARM, first=first)
        _take(lane, worker, warm)
        return _take(lane, worker, report)


def _take(lane: Lane, worker: Worker, report: Path) -> Told_:
    with report.open("rb") as stream:
        lane.add(stream, Told(feed=_FEED, name=NAME))
    with _measured() as told, _packing(worker) as packing:
        (outcome,) = worker.once()
    assert not outcome.fault, outcome.fault
    assert outcome.rejects == 0, outcome
    # Rows of other members are packed for their nodes once all rows are visible.
    for what in ("wall", "cpu"):
        told[what] -= packing.get(what, 0)
        told[f"{what}_packing"] = packing.get(what, 0)
    return {
        **told,
        "rows": outcome.read,
        "packed": packing.get("rows", 0),
        "peak": _peak(),
    }


@contextmanager
def _packing(worker: Worker) -> Iterator[Told_]:
    """Tell what it takes to pack rows of other members, and how many they are."""
    abroad = worker.kernel.abroad
    queue = abroad.queue
    told: Told_ = {}

    def measured(*given: Any) -> int:
        with _measured() as spent:
            rows = queue(*given)
        told.update(spent, rows=rows)
        return rows

    setattr(abroad, "queue", measured)  # noqa: B010
    try:
        yield told
    finally:
        setattr(abroad, "queue", queue)  # noqa: B010


def raw(report: Path, target: Path) -> Told_:
    """Read a report with Polars, all columns as they look, and write it as Parquet."""
    warm = write_report(report.with_name("warm.csv"), _WARM)
    pl.read_csv(warm).write_parquet(target)
    with _measured() as reading:
        frame = pl.read_csv(report)
    with _measured() as writing:
        frame.write_parquet(target)
    return {
        "rows": frame.height,
        "wall": reading["wall"] + writing["wall"],
        "cpu": reading["cpu"] + writing["cpu"],
        "read": reading["cpu"],
        "write": writing["cpu"],
    }


def stages(home: Path, report: Path) -> Told_:
    """Do the chain's stages one after the other, each with all rows, for CPU time."""
    with _lane(home) as lane:
        form = Formats(None).named("shadowserver")
        origin = Origin(_FEED, "ab" * 32, lane.node.clock.now(), NAME)
        archive = Archive(home / "stages")
        reference = Referring(lane.node).reference()
        warm = write_report(report.with_name("warm.csv"), _WARM, first=_FAR)
        for piece in read(warm, form, origin):
            run(piece.frame, reference)
        pieces: list[Piece] = []
        judged: list[Done] = []
        kept: list[pl.DataFrame] = []
        seen = Seen()

        def tell_apart() -> None:
            for done in judged:
                events = seen.new(done.events)
                held = archive.held(events, _FEED, 0, same_day=True)
                kept.append(events.filter(~held))

        writings: list[Writing] = []

        def write() -> None:
            with archive.writing(origin.batch) as writing:
                for events in kept:
                    writing.add(events)
            writings.append(writing)

        steps: dict[str, Callable[[], Any]] = {
            "read": lambda: pieces.extend(read(report, form, origin)),
            "judge": lambda: judged.extend(run(p.frame, reference) for p in pieces),
            "once": tell_apart,
            "write": write,
            "commit": lambda: archive.commit(writings[0].written),
        }
        told: Told_ = {}
        for name, step in steps.items():
            with _measured() as spent:
                step()
            told[name] = spent["cpu"]
        return {**told, "rows": sum(events.height for events in kept)}


def files(home: Path, folder: Path) -> Told_:
    """Take in the small files of a folder, then work until none is left."""
    with _lane(home) as lane:
        worker = Worker(lane)
        warm = write_report(folder.with_name("warm.csv"), 10, first=_FAR)
        _take(lane, worker, warm)
        rows = 0
        with _measured() as taking:
            for path in sorted(folder.iterdir()):
                with path.open("rb") as stream:
                    lane.add(stream, Told(feed=_FEED, name=NAME))
        with _measured() as working:
            while outcomes := worker.once():
                assert not any(one.fault for one in outcomes), outcomes
                rows += sum(one.read for one in outcomes)
        return {
            "taking": taking["wall"],
            "working": working["wall"],
            "cpu": taking["cpu"] + working["cpu"],
            "rows": rows,
        }


def match(count: int) -> Told_:
    """Match so many rows with so many indicators; one row in ten is known."""
    kinds = ("ipv4-addr", "ipv4-addr", "domain-name", "url", "md5")
    number = pl.int_range(count, eager=True)
    spread = (number * 2_654_435_761) % (1 << 32)
    address = pl.format(
        "{}.{}.{}.{}", *(pl.col("s") // (1 << shift) % 256 for shift in (24, 16, 8, 0))
    )
    known = pl.DataFrame({"n": number, "s": spread}).select(
        kind=pl.Series(kinds).gather(number % len(kinds)),
        value=pl.when(pl.col("n") % 5 < 2)
        .then(address)
        .when(pl.col("n") % 5 == 2)
        .then(pl.format("c{}.bad.example", "n"))
        .when(pl.col("n") % 5 == 3)
        .then(pl.format("http://c{}.bad.example/gate", "n"))
        .otherwise(pl.col("s").cast(pl.String).str.zfill(32)),
        indicator=pl.format("indicator--{}", "n"),
    )
    with _measured() as ordering:
        reference = Known.of(known.cast(INDICATORS))
    # Rows have an address each, and half of them a name; a tenth of each is known.
    asked = (number * 10) % (count * 10)
    rows = pl.DataFrame({"n": asked, "s": (asked * 2_654_435_761) % (1 << 32)}).select(
        address=address,
        name=pl.when(number % 2 == 0).then(pl.format("www.c{}.bad.example", "n")),
    )
    from serantau.lane.address import keys, parse

    key = parse(rows["address"]).select(key=keys("hi", "lo"))["key"]
    none = pl.Series([None], dtype=pl.String).new_from_index(0, count)
    with _measured() as finding:
        places = (key.rank("dense") - 1).cast(pl.UInt32)
        hits = reference.find(
            Asked(
                key.drop_nulls().unique().sort(),
                [places],
                [rows["name"], *[none] * (len(SIDES) - 1)],
                [none],
                [none],
            )
        )
        found = named(hits, count)
    with _measured() as joining:
        rows.join(known, left_on="address", right_on="value", how="left")
    return {
        "ordering": ordering["wall"],
        "finding": finding["wall"],
        "joining": joining["wall"],
        "hits": count - found.null_count(),
    }


def fill(root: Path, rows: int, days: int) -> Told_:
    """Fill an archive: the same machines on each of so many days, folded."""
    archive = Archive(root)
    first = 1_735_689_600_000_000
    with _measured() as told:
        for day in range(days):
            batch = f"{day:064x}"
            with archive.writing(batch) as writing:
                for at in range(0, rows, 1 << 18):
                    count = min(1 << 18, rows - at)
                    writing.add(_events(at, count, first + day * 86_400_000_000, batch))
            archive.commit(writing.written)
        archive.fold(first + days * 86_400_000_000, all_days=True)
    size = archive.size()
    return {**told, "rows": size.rows, "bytes": size.bytes, "files": size.files}


def _events(first: int, count: int, day: int, batch: str) -> pl.DataFrame:
    report = made(first, count, hashes=False).with_columns(
        number=pl.int_range(first, first + count, eager=True)
    )
    number = pl.col("number")
    octets = [
        pl.col("ip").str.split(".").list.get(at).cast(pl.Int64) for at in range(4)
    ]
    low = (
        octets[0] * (1 << 24) + octets[1] * (1 << 16) + octets[2] * (1 << 8) + octets[3]
    )
    instant = EVENTS["time"]
    made_ = {
        "time": (pl.lit(day) + number % 86_400 * 1_000_000).cast(instant),
        "received": pl.lit(day + 86_000_000_000).cast(instant),
        "batch": pl.lit(batch),
        "number": number + 1,
        "feed": pl.lit(_FEED),
        "report": pl.lit("scan_rdp"),
        "source_address": pl.col("ip"),
        "source_hi": pl.lit(-(1 << 63)),
        "source_lo": low + ((0xFFFF << 32) - (1 << 63)),
        "source_port": pl.col("port"),
        "source_asn": pl.col("asn"),
        "source_country": pl.col("geo"),
        "source_name": pl.col("hostname"),
        "class": pl.lit("vulnerable"),
        "type": pl.lit("potentially-unwanted-accessible"),
        "identifier": pl.lit("scan_rdp"),
        "fingerprint": pl.format("{}{}", pl.col("ip").hash().cast(pl.String), "asn"),
        "member": pl.col("geo").str.to_lowercase(),
        "extra": pl.concat_str(pl.lit('{"city":"'), "city", pl.lit('"}')),
    }
    return report.select(
        made_.get(name, pl.lit(None)).cast(kind).alias(name)
        for name, kind in EVENTS.items()
    )


def ask(root: Path, runs: int) -> dict[str, Any]:
    """Ask an archive for one address, and for the most frequent countries."""
    archive = Archive(root)
    archive.size()
    addresses = made(0, runs + 1, hashes=False)["ip"].to_list()
    one, top = [], []
    rows = 0
    for at, address in enumerate(addresses):
        with _measured() as looking:
            found = Asking(archive, Question(addresses=(address,))).rows(1000)
        with _measured() as counting:
            Asking(archive, Question()).top("source_country")
        rows = found.height
        if at:
            one.append(looking["wall"])
            top.append(counting["wall"])
    return {"one": one, "top": top, "found": rows}


@contextmanager
def _lane(home: Path) -> Iterator[Lane]:
    with Node(load_config(home, os.environ)) as node:
        yield Lane(node)


@contextmanager
def _measured() -> Iterator[Told_]:
    told: Told_ = {}
    wall, cpu = time.perf_counter(), time.process_time()
    yield told
    told["wall"] = time.perf_counter() - wall
    told["cpu"] = time.process_time() - cpu


def _peak() -> float:
    """Give the most memory that this process ever held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


WORKS: dict[str, Callable[..., dict[str, Any]]] = {
    each.__name__: each for each in (chain, raw, stages, files, match, fill, ask)
}


def work(name: str, *given: str | Path) -> dict[str, Any]:
    """Do the work of this name; what is a number is given as one."""
    texts = map(str, given)
    return WORKS[name](*(int(one) if one.isdigit() else Path(one) for one in texts))


if __name__ == "__main__":
    sys.stdout.buffer.write(orjson.dumps(work(*sys.argv[1:])))
