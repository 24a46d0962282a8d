"""`python -m serantau.apps.demo`: show a region sharing, and prove what was shared."""

from __future__ import annotations

import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from serantau.apps.cli.output import complain, console, note, say
from serantau.apps.demo import board, case_board, stage
from serantau.apps.demo.case_act import CaseAct
from serantau.apps.demo.case_proof import CaseProof, prove_case
from serantau.apps.demo.catcher import Catcher
from serantau.apps.demo.lane import HOME, LEVEL, Act
from serantau.apps.demo.owners import Owner
from serantau.apps.demo.proof import prove
from serantau.apps.demo.region import Region
from serantau.apps.demo.reports import Reports, find_reports
from serantau.apps.demo.rows import RowsProof, prove_rows
from serantau.apps.demo.watch import Watch
from serantau.desk.gather import Gathering, Input, Sheet, kind_of
from serantau.errors import BadInput, ProofFailed, SerantauError

SENDERS = ("th", "id")
# Examples say by themselves what may be done with them; what people bring may not.
HANDLED_AS = "TLP:GREEN"
_EXAMPLES = Path(__file__).parents[4] / "examples"
_EVENTS = _EXAMPLES / "events"
_LOOK_SECONDS = 0.25
# No arrival anywhere for so long, and still not all there: it will not come any more.
_STILL_SECONDS = 30.0
_HEAD = 1 << 20


def main(
    data: Annotated[
        Path | None,
        typer.Option(
            help="Load the STIX, MISP and report files in here, not the examples."
        ),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="End when the proof is made; 0 if it held.")
    ] = False,
    folder: Annotated[
        Path | None,
        typer.Option(help="Keep the nodes in here, instead of a temporary folder."),
    ] = None,
) -> None:
    """Start five nodes on this machine, share data, and prove who has it."""
    try:
        sys.exit(run(data, once=once, folder=folder))
    except SerantauError as fault:
        complain(fault.message, fault.mend)
        sys.exit(fault.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


def run(data: Path | None, *, once: bool, folder: Path | None) -> int:
    """Run the demo; gives the exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    given = _given(data)
    home = folder or Path(tempfile.mkdtemp(prefix="serantau-demo-"))
    home.mkdir(parents=True, exist_ok=True)
    region = Region(home)
    try:
        with Catcher() as catcher, region:
            stage.open_with(region, given.folder, given.handle_as, given.left)
            region.found()
            act = Act(region, given.reports)
            if given.reports.country:
                note("Loading ranges of addresses at th ...", "dim")
            owners = act.prepare(
                _EVENTS / "owners.toml",
                catcher.port,
                theirs=given.reports.folder != _EVENTS,
            )
            case = CaseAct(region, catcher, case_board.tell)
            case.prepare()
            region.start()
            say("All five answer. Loading; what may travel is on its way at once.")
            watch = Watch(region, SENDERS)
            _share(region, watch, given.loads, given.handle_as)
            rows = _report(region, act, given.reports, owners, catcher)
            worked = _work(region, case)
            proof = prove(region, SENDERS)
            stage.show_proof(proof)
            board.show_rows_proof(rows)
            case_board.show_case_proof(worked)
            region.expect_alive()
            held = proof.holds and rows.holds and worked.holds
            code = 0 if held else ProofFailed.exit_code
            if once:
                return code
            stage.show_ways_in(region)
            _stay(region)
            return code
    finally:
        if folder is None:
            region.remove()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@dataclass(frozen=True, slots=True)
class _Given:
    """What goes in. loads: files of objects, by sender. handle_as: unmarked objects.

    left: JSON files that are neither STIX nor MISP.
    """

    folder: Path
    loads: dict[str, list[Input]]
    reports: Reports
    handle_as: str = ""
    left: int = 0


def _given(data: Path | None) -> _Given:
    """Say what goes in; where people bring only objects, or only reports, ours too.

    Raises:
        BadInput: there is nothing to load.
    """
    ours = {name: Gathering.inputs([_EXAMPLES / name]) for name in SENDERS}
    if data is None:
        return _Given(_EXAMPLES, ours, find_reports(_EVENTS))
    found = Gathering.inputs([data])
    chosen = [one for one in found if one.path is not None and _wanted(one.path)]
    reports = find_reports(data)
    if not chosen and not reports.files:
        raise BadInput(
            f"{data} holds neither STIX nor MISP events, and no reports.",
            mend="Looked for are .json, .stix2, .ndjson, and reports as .csv, .tsv, "
            ".txt, .log and .jsonl; all of these also with .gz.",
        )
    if not reports.files:
        reports = find_reports(_EVENTS)
    if not chosen:
        return _Given(data, ours, reports)
    # The largest first, each to whom has less: both have something to give.
    loads: dict[str, list[Input]] = {name: [] for name in SENDERS}
    for one in sorted(chosen, key=lambda one: -one.size):
        least = min(loads.values(), key=lambda held: sum(each.size for each in held))
        least.append(one)
    return _Given(data, loads, reports, HANDLED_AS, len(found) - len(chosen))


def _wanted(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return kind_of(stream.read(_HEAD)) != "other"
    except OSError:
        return False


def _report(
    region: Region,
    act: Act,
    reports: Reports,
    owners: list[Owner],
    catcher: Catcher,
) -> RowsProof:
    """Let reports in, tell their owners, and see the others' rows arrive."""
    titles = {one.name: one.title for one in owners}
    board.show_reports(reports, owners, LEVEL.label)
    act.take_in()
    board.show_feeds(act.feeds(), act.matched())
    board.show_owners(act.owners(), titles)
    sent = act.tell()
    board.show_notices(sent, act.left, titles)
    board.show_mail(catcher.mails, sent)
    board.show_crossings(act.cross())
    board.show_receiver("id", act.at("id"), titles)
    return prove_rows(region, HOME, sent, catcher.mails)


def _work(region: Region, case: CaseAct) -> CaseProof:
    """Let the case happen, and look into every node afterwards."""
    case_board.begin()
    worked = case.play()
    case_board.show_worked(worked)
    return prove_case(region, worked)


def _share(
    region: Region, watch: Watch, loads: dict[str, list[Input]], handle_as: str
) -> None:
    """Load, and show what travels until all has arrived or nothing moves any more."""
    sheets: dict[str, list[Sheet]] = {name: [] for name in loads}
    over = threading.Event()

    def load(name: str) -> None:
        gathering = Gathering(region[name].opened)
        for one in loads[name]:
            if over.is_set():
                return
            sheets[name].append(gathering.take(one, handle_as=handle_as))

    with ThreadPoolExecutor(len(loads)) as loaders:
        try:
            tasks = [loaders.submit(load, name) for name in loads]
            _follow(region, watch, sheets, tasks)
        finally:
            over.set()
    stage.show_loaded(sheets)


def _follow(
    region: Region,
    watch: Watch,
    sheets: dict[str, list[Sheet]],
    tasks: Sequence[Future[None]],
) -> None:
    with stage.live(console()) as show:
        moved, before, settled = time.monotonic(), -1, 0
        while True:
            streams = watch.look()
            totals = watch.totals()
            done = all(task.done() for task in tasks)
            for task in tasks:
                if task.done():
                    task.result()
            show(streams, totals, sheets, done)
            region.expect_alive()
            now, held = time.monotonic(), sum(totals.values())
            if held != before:
                moved, before = now, held
            # What is relayed comes after what is released directly: look once more.
            complete = done and all(stream.complete for stream in streams)
            settled = settled + 1 if complete and now - moved > 1.0 else 0
            if settled >= 2 or (done and now - moved > _STILL_SECONDS):
                return
            time.sleep(_LOOK_SECONDS)


def _stay(region: Region) -> None:
    """Stay up until Ctrl-C or SIGTERM.

    Raises:
        Ended: a node ended by itself.
    """
    try:
        while True:
            region.expect_alive()
            time.sleep(0.5)
    except KeyboardInterrupt:
        say("Ending the nodes.")


if __name__ == "__main__":
    typer.run(main)
