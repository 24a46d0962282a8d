"""Working on batches: read, judge, write, and make visible, each batch once.

This is the part of the lane that holds frames, and is imported when there is work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final

import polars as pl
import structlog

from serantau.desk.abroad import Abroad
from serantau.desk.lane import TOGETHER_BYTES, Lane
from serantau.desk.lane_reference import Referring
from serantau.errors import BadInput, ConfigError, TheirError
from serantau.lane.archive import Archive, Writing, Written
from serantau.lane.condition import equals
from serantau.lane.formats.form import Format
from serantau.lane.formats.reading import read
from serantau.lane.formats.registry import Formats
from serantau.lane.formats.rows import Limits
from serantau.lane.frame import REJECTS, conform
from serantau.lane.kernel import run
from serantau.lane.once import Once
from serantau.lane.origin import Origin
from serantau.lane.upkeep import Keep
from serantau.records.batches import Batch
from serantau.rules.level import Tlp

FORMATS: Final = "formats"
_HEAD: Final = 1 << 16
# How much more than usual is odd, and how few rows never are.
_TIMES: Final = 10
_FEW: Final = 1000
_SOME: Final = 10
_DAY_US: Final = 86_400_000_000

_log = structlog.get_logger(__name__)


class Stopped(Exception):
    """The node stops, or another worker has the batch by now."""


class Odd(Exception):
    """What a batch holds is not what its feed usually brings; a person must look."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a batch.

    abroad: whether other members may answer for some of its rows. fault: why it failed,
    or is tried again. odd: why it is held. again: the fault may pass, or there was none
    and the work only stopped.
    """

    batch: Batch
    format: str = ""
    rows: int = 0
    repeated: int = 0
    rejects: int = 0
    abroad: bool = False
    fault: str = ""
    odd: str = ""
    again: bool = False

    @property
    def read(self) -> int:
        """Count the rows that were read."""
        return self.rows + self.repeated + self.rejects


class Kernel:
    """Joins formats, kernel and archive for one node. One thread uses it at a time."""

    def __init__(self, lane: Lane) -> None:
        """Work for `lane`."""
        self.lane = lane
        node = lane.node
        self.archive = Archive(node.config.archive, node.config.lane.storage)
        self._abroad = Abroad(node)
        self._referring = Referring(node)
        self._limits = Limits(file_bytes=node.config.limits.file_bytes)

    def work(
        self, batches: Sequence[Batch], going: Callable[[], bool]
    ) -> list[Outcome]:
        """Work on batches, and make what they give visible together.

        Args:
            batches: leased ones; several only when all of them are small.
            going: whether to go on; asked after each piece.
        """
        try:
            formats = Formats(self.lane.node.home / FORMATS)
        except ConfigError as fault:
            # Nothing is wrong with the batches; a person has to mend a format.
            return [Outcome(one, fault=str(fault), again=True) for one in batches]
        found: list[Outcome] = []
        for round_, group in groupby(
            sorted(batches, key=lambda one: (one.round, one.number)),
            key=lambda one: one.round,
        ):
            found += self._round(list(group), round_ + 1, formats, going)
        return found

    def _round(
        self,
        batches: list[Batch],
        version: int,
        formats: Formats,
        going: Callable[[], bool],
    ) -> list[Outcome]:
        ended: list[Outcome] = []
        ready: list[tuple[Outcome, Written]] = []
        # What is committed together is not in the archive yet when the next one looks.
        beside: dict[str, list[pl.DataFrame]] = {}
        for batch in batches:
            seen = Seen(beside.get(batch.feed, ()))
            outcome, written = self._try(batch, version, formats, going, seen)
            if written is None:
                ended.append(outcome)
            else:
                ready.append((outcome, written))
                beside.setdefault(batch.feed, []).extend(seen.told)
        if not ready:
            return ended
        try:
            self.archive.commit(*(written for _, written in ready))
        except Exception as fault:
            if not isinstance(fault, OSError):
                _log.exception("commit_failed")
            return ended + [
                Outcome(one.batch, fault=_said(fault), again=True) for one, _ in ready
            ]
        return ended + [self._sent(one) for one, _ in ready]

    def _sent(self, outcome: Outcome) -> Outcome:
        """Queue the rows of other members, which are visible here by now, once."""
        batch = outcome.batch
        if not outcome.abroad:
            return outcome
        try:
            # A batch that is read anew has rows that were not there before.
            self._abroad.queue(f"{batch.digest}.{batch.round}", self._kept(batch))
        except Exception as fault:
            _log.exception("abroad_failed", batch=batch.number, feed=batch.feed)
            return Outcome(batch, fault=_said(fault), again=True)
        return outcome

    def _kept(self, batch: Batch) -> Iterator[pl.DataFrame]:
        """Read a batch's rows of other members back, a file at a time."""
        table = self.archive.events
        condition = equals("batch", [batch.digest], measured=True)
        own = self.lane.node.config.node.member
        others = condition.row & (pl.col("member") != own)
        for path in table.listed().filter(condition.file)["path"].sort():
            yield conform(table.scan([path]).filter(others).collect())

    def _try(
        self,
        batch: Batch,
        version: int,
        formats: Formats,
        going: Callable[[], bool],
        seen: Seen,
    ) -> tuple[Outcome, Written | None]:
        """Work on one batch up to its commit; whatever goes wrong is its outcome."""
        try:
            if self.archive.has(batch.digest, version):
                return self._sent(self._counted(batch)), None
            form = self._form(batch, formats)
            with self.archive.writing(batch.digest, version=version) as writing:
                outcome = self._write(batch, form, writing, going, seen)
            self._check_not_empty(outcome)
        except Stopped:
            return Outcome(batch, again=True), None
        except Odd as odd:
            return Outcome(batch, odd=str(odd)), None
        except TheirError as fault:
            return Outcome(batch, fault=str(fault)), None
        except Exception as fault:
            _log.exception("batch_failed", batch=batch.number, feed=batch.feed)
            return Outcome(batch, fault=_said(fault), again=True), None
        return outcome, writing.written

    def _form(self, batch: Batch, formats: Formats) -> Format:
        if batch.format:
            return formats.named(batch.format)
        with self.lane.open(batch) as stream:
            head = stream.read(_HEAD)
        form = formats.recognise(batch.name, head)
        if form is None:
            raise BadInput(
                f"No format knows {batch.name or 'it'}.",
                mend="`serantau lane guess FILE` proposes one; "
                "then `serantau lane retry`.",
            )
        return form

    def _write(
        self,
        batch: Batch,
        form: Format,
        writing: Writing,
        going: Callable[[], bool],
        seen: Seen,
    ) -> Outcome:
        outcome = Outcome(batch, form.name)
        most = self._most(batch)
        reference = self._referring.reference()
        own = self.lane.node.config.node.member
        with self.lane.open(batch) as stream:
            for piece in read(stream, form, self._origin(batch), limits=self._limits):
                if not going():
                    raise Stopped
                done = run(piece.frame, reference)
                events = self._not_held(seen.new(done.events), batch)
                if batch.size <= TOGETHER_BYTES:
                    seen.told.append(findings(events))
                rejects = pl.concat(
                    [conform(one, REJECTS) for one in (piece.rejects, done.rejects)]
                )
                writing.add(events, rejects)
                gone = piece.frame.height - done.rejects.height - events.height
                outcome = replace(
                    outcome,
                    rows=outcome.rows + events.height,
                    repeated=outcome.repeated + gone,
                    rejects=outcome.rejects + rejects.height,
                    abroad=outcome.abroad or bool((events["member"] != own).any()),
                )
                if most and outcome.read > most:
                    raise Odd(
                        f"it has more than {most:,} rows, "
                        f"{_TIMES} times as many as usual"
                    )
        return outcome

    def _origin(self, batch: Batch) -> Origin:
        section = self.lane.section(batch.feed)
        return Origin(
            feed=batch.feed,
            batch=batch.digest,
            received=batch.received,
            name=batch.name,
            report=batch.report,
            tlp=batch.tlp,
            type=section.type,
            confidence=section.confidence,
            severity=section.severity,
        )

    def _not_held(self, events: pl.DataFrame, batch: Batch) -> pl.DataFrame:
        """Leave out what the same feed told of the same day before."""
        if not events.height:
            return events
        first = int(events["time"].dt.epoch("us").min())  # type: ignore[arg-type]
        held = self.archive.held(
            events,
            batch.feed,
            first - first % _DAY_US,
            same_day=True,
            but=batch.digest if batch.round else "",
        )
        return events.filter(~held) if held.any() else events

    def _watched(self, batch: Batch) -> int:
        """Give the usual size of a feed whose odd batches are held; 0: of no other."""
        watched = batch.feed in self.lane.node.config.feeds
        if not watched or not self.lane.section(batch.feed).hold:
            return 0
        if batch.waived or batch.round:
            return 0
        with self.lane.node.db.read() as tx:
            return self.lane.batches.usual(tx, batch.feed)

    def _most(self, batch: Batch) -> int:
        usual = self._watched(batch)
        return max(usual * _TIMES, _FEW) if usual else 0

    def _check_not_empty(self, outcome: Outcome) -> None:
        usual = self._watched(outcome.batch)
        if usual >= _SOME and outcome.rows + outcome.repeated == 0:
            if outcome.rejects:
                raise Odd(f"none of its {outcome.rejects:,} rows can be read")
            raise Odd(f"it is suddenly empty; usually there are {usual:,} rows")

    def _counted(self, batch: Batch) -> Outcome:
        """Count what a batch gave whose worker was killed before it could tell."""
        counts = []
        for table in (self.archive.events, self.archive.rejects):
            condition = equals("batch", [batch.digest], measured=True)
            files = table.listed().filter(condition.file)["path"].to_list()
            rows = table.scan(files).filter(condition.row).select(pl.len()).collect()
            counts.append(int(rows.item()))
        return Outcome(
            batch, batch.format, rows=counts[0], rejects=counts[1], abroad=True
        )

    def keep(self, now: int, *, expire: bool) -> None:
        """Fold small files; once a day take out what was kept for long enough."""
        self.archive.fold(now)
        if not expire:
            return
        self._abroad.drop_fetched()
        rules = keeps(self.lane.node.config.lane.keep_days)
        if rules:
            levels = {
                name: int(Tlp.parse(section.tlp))
                for name, section in self.lane.node.config.feeds.items()
                if section.tlp
            }
            self.archive.expire(rules, now, levels)
        self.archive.vacuum()


class Seen:
    """Findings of a batch, so that each of them is told once.

    beside: those of batches that are committed with it, and are in no archive yet.
    """

    def __init__(self, beside: Sequence[pl.DataFrame] = ()) -> None:
        """Begin with none; what those `beside` tell counts as well."""
        self._once = Once()
        self._beside = beside
        self.told: list[pl.DataFrame] = []

    def new(self, events: pl.DataFrame) -> pl.DataFrame:
        """Give those events that were not there before, and remember them."""
        if not events.height:
            return events
        fresh = self._once.fresh(events)
        events = events if fresh.all() else events.filter(fresh)
        for known in self._beside:
            at = findings(events).join(
                known.with_columns(known=pl.lit(value=True)),
                on=known.columns,
                how="left",
                nulls_equal=True,
                maintain_order="left",
            )
            events = events.filter(at["known"].is_null())
        return events


def findings(events: pl.DataFrame) -> pl.DataFrame:
    """Give what tells one event from another: finding, level and day."""
    return events.select("fingerprint", "tlp", day=pl.col("time").dt.date())


def keeps(days: Mapping[str, int]) -> list[Keep]:
    """Give the rules by which events are kept: by feed, by TLP label, for all.

    Raises:
        ConfigError: a name is neither a label nor one that a feed can have.
    """
    feeds, levels, every = [], [], []
    for name, count in days.items():
        if name == "*":
            every.append(Keep(count))
        elif name.upper().startswith("TLP:"):
            try:
                levels.append(Keep(count, tlp=int(Tlp.parse(name))))
            except ValueError as fault:
                raise ConfigError(f"lane.keep_days: {fault}") from fault
        else:
            feeds.append(Keep(count, feed=name))
    return [*feeds, *levels, *every]


def _said(fault: Exception) -> str:
    return str(fault) or type(fault).__name__
