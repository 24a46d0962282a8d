"""How much memory a node takes, and how long its command line takes to answer."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

from bench.corpus import write_corpus
from bench.figures import Figure, Limit, seconds, several
from bench.machine import memory_of
from bench.nodes import COMMAND, environment, found_node
from bench.sizes import Sizes

_IDLE_MB = 250.0
_HELP_SECONDS = 0.2
HELP_RUNS = 10
_SETTLE_SECONDS = 2.0
_LOOK_SECONDS = 0.05
# How much more the larger of two inputs may take: what a node remembers by design.
_FLAT = 1.25


def measure_memory(sizes: Sizes) -> list[Figure]:
    """Measure an idle node, and `load` of a smaller and a larger input."""
    node = found_node(sizes.folder / "idle")
    with node.served() as server:
        time.sleep(_SETTLE_SECONDS)
        idle = memory_of(server.pid)
    small, large = (
        _peak(sizes, write_corpus(sizes.folder / name, count))
        for name, count in (
            ("exchange.ndjson", sizes.objects),
            ("large.ndjson", sizes.large),
        )
    )
    return [
        Figure(
            "Memory of an idle node",
            (idle,),
            "MB",
            target=_IDLE_MB,
            note="`serantau serve` with the doors and the work of following peers",
        ),
        Figure(
            f"Peak memory of `load`, {sizes.large:,} objects",
            (large,),
            "MB",
            limits=(Limit(f"that of {sizes.objects:,}", small, most=_FLAT),),
            note="the command and the process that reads beside it",
        ),
    ]


def _peak(sizes: Sizes, corpus: Path) -> float:
    folder = sizes.folder / "loading"
    try:
        node = found_node(folder)
        command = [*COMMAND, "--home", str(node.home), "load", str(corpus), "--json"]
        with subprocess.Popen(
            command, env=environment(node.settings), stdout=subprocess.DEVNULL
        ) as process:
            most = 0.0
            while process.poll() is None:
                most = max(most, memory_of(process.pid))
                time.sleep(_LOOK_SECONDS)
        assert process.returncode == 0, f"load ended with {process.returncode}"
        return most
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measure_help(_sizes: Sizes) -> list[Figure]:
    """Measure how long `serantau --help` takes, beside Python doing nothing."""
    installed = Path(sys.executable).with_name("serantau")
    command = [str(installed)] if installed.exists() else COMMAND
    nothing = _median_of([sys.executable, "-c", "pass"])
    told = _runs([*command, "--help"])
    return [
        Figure(
            "`serantau --help`",
            told,
            "s",
            target=_HELP_SECONDS,
            limits=(Limit("Python doing nothing", nothing),),
            note=f"{HELP_RUNS} warm runs",
        )
    ]


def _runs(command: list[str]) -> tuple[float, ...]:
    def run() -> None:
        subprocess.run(
            command, env=environment({}), stdout=subprocess.DEVNULL, check=True
        )

    run()
    return several(HELP_RUNS, lambda: seconds(run))


def _median_of(command: list[str]) -> float:
    runs = sorted(_runs(command))
    return runs[len(runs) // 2]
