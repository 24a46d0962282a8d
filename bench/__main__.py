"""`python -m bench`: measure this node's speed and size on this machine."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import (
    cases,
    desk,
    federation,
    footprint,
    ingest,
    lane,
    log,
    pages,
    scale,
    signed,
    soak,
)
from bench.figures import (
    Figure,
    Part,
    console,
    show,
    warn_if_busy,
    write_json,
    write_markdown,
)
from bench.machine import this_machine
from bench.sizes import Sizes, full, quick

PARTS: dict[str, Callable[[Sizes], list[Figure]]] = {
    "help": footprint.measure_help,
    "pages": pages.measure,
    "ingest": ingest.measure,
    "sync": federation.measure_sync,
    "hints": federation.measure_hints,
    "signed": signed.measure,
    "memory": footprint.measure_memory,
    "log": log.measure,
    "cases": cases.measure,
    "desk": desk.measure,
    "desk-events": desk.measure_events,
    "lane": lane.measure_chain,
    "lane-files": lane.measure_files,
    "lane-post": lane.measure_post,
    "lane-match": lane.measure_match,
    "lane-memory": lane.measure_memory,
    "lane-archive": lane.measure_archive,
    "scale": scale.measure,
}


def main(arguments: list[str] | None = None) -> None:
    """Measure what the arguments ask for, and print it."""
    told = _parser().parse_args(arguments)
    machine = this_machine()
    warn_if_busy(machine)
    with tempfile.TemporaryDirectory(
        prefix="serantau-bench-", dir=told.folder
    ) as folder:
        sizes = _sizes(told, Path(folder))
        figures: list[Figure] = []
        for name, work in _works(told).items():
            console.print(f"[dim]measuring: {name}[/]")
            figures += work(replace(sizes, folder=_made(Path(folder) / name)))
    show("Speed and size", figures, machine)
    if told.json:
        write_json(told.json, figures, machine)
    if told.markdown:
        part: Part = "scale" if told.command == "scale" else "figures"
        write_markdown(told.markdown, part, figures, machine)


def _works(told: argparse.Namespace) -> dict[str, Callable[[Sizes], list[Figure]]]:
    if told.command == "soak":
        return {"soak": lambda sizes: soak.measure(sizes, told.hours)}
    if told.command == "scale":
        return {"scale": scale.measure}
    return {name: PARTS[name] for name in PARTS if name in told.only}


def _sizes(told: argparse.Namespace, folder: Path) -> Sizes:
    sizes = (quick if told.quick else full if told.full else Sizes)(folder)
    if told.runs:
        sizes = replace(sizes, runs=told.runs)
    if told.command == "scale" and not told.quick:
        sizes = replace(sizes, small=told.small, big=told.big)
    return sizes


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _common(**settings: Any) -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False, **settings)
    common.add_argument(
        "--quick", action="store_true", help="small sizes: only to see that it works"
    )
    common.add_argument(
        "--full",
        action="store_true",
        help="a file of 20 GB, 100 million archived rows, a log of 10 million leaves; "
        "wants 60 GB of disk",
    )
    common.add_argument("--runs", type=int, help="how often each figure is measured")
    common.add_argument(
        "--json", type=Path, metavar="FILE", help="write the figures for a program"
    )
    common.add_argument(
        "--markdown", type=Path, metavar="PAGE", help="write them into this page"
    )
    common.add_argument(
        "--folder", type=Path, help="where nodes are made; a temporary folder without"
    )
    return common


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, parents=[_common()]
    )
    parser.add_argument(
        "--only",
        type=_parts,
        default=list(PARTS),
        metavar="PART,...",
        help=f"some of {', '.join(PARTS)}",
    )
    # What was said before the command holds, unless it is said again behind it.
    common = _common(argument_default=argparse.SUPPRESS)
    commands = parser.add_subparsers(dest="command", metavar="scale|soak")
    scaled = commands.add_parser(
        "scale", parents=[common], help="page time in a large store and in a small one"
    )
    scaled.add_argument("--small", type=int, default=100_000, metavar="OBJECTS")
    scaled.add_argument("--big", type=int, default=10_000_000, metavar="OBJECTS")
    soaked = commands.add_parser(
        "soak", parents=[common], help="a region at work for hours"
    )
    soaked.add_argument("--hours", type=float, default=4.0)
    return parser


def _parts(text: str) -> list[str]:
    named = text.split(",")
    unknown = sorted(set(named) - PARTS.keys())
    if unknown:
        raise argparse.ArgumentTypeError(
            f"{', '.join(unknown)}: expected some of {', '.join(PARTS)}"
        )
    return named


if __name__ == "__main__":
    main()
