"""Working on batches: read, judge, write, and make visible, each batch once.

This is the part of the lane that holds frames, and is imported when there is work.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import Final

import polars as pl
import structlog

from serantau.desk.abroad import Abroad
from serantau.desk.lane import TOGETHER_BYTES, Lane
from serantau.desk.lane_reference import Referring
from serantau.errors import BadInput, ConfigError, StoreError, TheirError
from serantau.lane.archive import Archive, Writing, Written
from serantau.lane.chain import Part, Sending, Told, judge, packed
from serantau.lane.condition import equals
from serantau.lane.engine import THREADS, Ahead, Engine
from serantau.lane.formats.form import Format
from serantau.lane.formats.reading import Worked, read, through
from serantau.lane.formats.registry import Formats
from serantau.lane.formats.rows import Limits, Piece
from serantau.lane.frame import EVENTS, REJECTS, conform
from serantau.lane.kernel import run
from serantau.lane.once import Once
from serantau.lane.origin import Origin
from serantau.lane.upkeep import Keep
from serantau.records.batches import Batch
from serantau.rules.event import ABROAD
from serantau.rules.level import Tlp

FORMATS: Final = "formats"
_HEAD: Final = 1 << 16
# How much more than usual is odd, and how few rows never are.
_TIMES: Final = 10
_FEW: Final = 1000
_SOME: Final = 10
# Up to this size batches are judged as one frame, when they unpack to few rows.
_SMALL: Final = 1_000_000
_SMALL_ROWS: Final = 50_000
# Pieces of a batch that wait for its turn; only what is told of each is held here.
_PIECES_AHEAD: Final = 4
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


_Judged = Worked[Told, pl.DataFrame]


@dataclass(frozen=True, slots=True)
class _Small:
    """A small batch, read: its rows (EVENTS), and what could not be read (REJECTS).

    pieces: as they were read, of their rows only the numbers.
    """

    batch: Batch
    form: Format
    frame: pl.DataFrame
    rejects: pl.DataFrame
    pieces: tuple[Piece, ...]

    def placed(self, refused: pl.DataFrame) -> pl.DataFrame:
        """Give those of this batch among what the kernel refused, with their lines."""
        mine = refused.filter(pl.col("batch") == self.batch.digest).sort("line")
        if not mine.height:
            return mine
        within = pl.col("line").is_in
        return pl.concat(
            piece.placed(mine.filter(within(piece.frame["number"].implode())))
            for piece in self.pieces
        )


class Kernel:
    """Joins formats, kernel and archive for one node. One thread uses it at a time."""

    def __init__(self, lane: Lane, engine: Engine = THREADS) -> None:
        """Work for `lane`, by `engine`."""
        self.lane = lane
        self.engine = engine
        node = lane.node
        self.archive = Archive(node.config.archive, node.config.lane.storage)
        self.abroad = Abroad(node)
        self._referring = Referring(node)
        self._sending = Sending(engine)
        self._begun: dict[str, Ahead[_Judged]] = {}
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
        small = [one for one in batches if version == 1 and one.size <= _SMALL]
        together, apart = (
            self._together(small, formats, going) if len(small) > 1 else ([], small)
        )
        large = [one for one in batches if one not in small]
        return together + self._apart(apart + large, version, formats, going)

    def _together(
        self, batches: list[Batch], formats: Formats, going: Callable[[], bool]
    ) -> tuple[list[Outcome], list[Batch]]:
        """Judge small batches as one frame; gives those too that must be alone.

        What judging costs beside the rows is paid once instead of for each of them.
        """
        ended: list[Outcome] = []
        parts: list[_Small] = []
        alone: list[Batch] = []
        for batch in batches:
            if not going():
                ended.append(Outcome(batch, again=True))
                continue
            try:
                part = self._whole(batch, formats)
            except Exception:
                # Whatever is wrong with it is found and told when it is alone.
                part = None
            if part is None:
                alone.append(batch)
            else:
                parts.append(part)
        if len(parts) < 2:
            return ended, alone + [one.batch for one in parts]
        try:
            return ended + self._judge(parts), alone
        except Odd:
            return ended, alone + [one.batch for one in parts]
        except Exception as fault:
            _log.exception("batches_failed", batches=len(parts))
            if isinstance(fault, StoreError):
                said = _said(fault)
                ended += [Outcome(one.batch, fault=said, again=True) for one in parts]
                return ended, alone
            return ended, alone + [one.batch for one in parts]

    def _whole(self, batch: Batch, formats: Formats) -> _Small | None:
        """Read a batch at once; None when it is in the archive, or is not small."""
        if self._is_in(batch, 1):
            return None
        form = self._form(batch, formats)
        frames, rejects, rows = [EVENTS.to_frame()], [REJECTS.to_frame()], 0
        pieces = []
        with self.lane.open(batch) as stream:
            for piece in read(stream, form, self._origin(batch), limits=self._limits):
                frames.append(piece.frame)
                rejects.append(conform(piece.rejects, REJECTS))
                pieces.append(replace(piece, frame=piece.frame.select("number")))
                rows += piece.frame.height + piece.rejects.height
                if rows > _SMALL_ROWS:
                    return None
        frame = pl.concat(frames, how="diagonal")
        return _Small(batch, form, frame, pl.concat(rejects), tuple(pieces))

    def _judge(self, parts: list[_Small]) -> list[Outcome]:
        """Judge, write and commit small batches.

        Raises:
            Odd: one of them is. A row that two of them have stays in the first, so that
                none can be left out afterwards.
        """
        done = run(
            pl.concat([part.frame for part in parts]), self._referring.reference()
        )
        events = pl.concat(
            [done.events.clear()]
            + [
                self._not_held(some, str(feed))
                for (feed,), some in done.events.partition_by(
                    "feed", as_dict=True, maintain_order=True
                ).items()
            ]
        )
        refused = conform(done.rejects, REJECTS)
        rejects = pl.concat(
            [one for part in parts for one in (part.rejects, part.placed(refused))]
        )
        own = self.lane.node.config.node.member
        others = events.filter(pl.col("member") != own)
        rows, bad, unread, away = (
            dict(some.group_by("batch").len().iter_rows())
            for some in (events, rejects, done.rejects, others)
        )
        outcomes = []
        for part in parts:
            digest = part.batch.digest
            kept = rows.get(digest, 0)
            outcome = Outcome(
                part.batch,
                part.form.name,
                rows=kept,
                repeated=part.frame.height - unread.get(digest, 0) - kept,
                rejects=bad.get(digest, 0),
                abroad=digest in away,
            )
            self._check_size(outcome, self._most(part.batch))
            self._check_not_empty(outcome)
            outcomes.append(outcome)
        with self.archive.writing(*(part.batch.digest for part in parts)) as writing:
            writing.add(events, rejects)
        self.archive.commit(writing.written)
        theirs = others.partition_by("batch", as_dict=True, maintain_order=True)
        return [
            self._sent(one, [theirs[(one.batch.digest,)]] if one.abroad else [])
            for one in outcomes
        ]

    def _apart(
        self,
        batches: list[Batch],
        version: int,
        formats: Formats,
        going: Callable[[], bool],
    ) -> list[Outcome]:
        """Work on each batch by itself, and make them visible together."""
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

    def _sent(
        self, outcome: Outcome, rows: Iterable[pl.DataFrame] | None = None
    ) -> Outcome:
        """Queue the rows of other members, which are visible here by now, once."""
        batch = outcome.batch
        if not outcome.abroad:
            return outcome
        try:
            # A batch that is read anew has rows that were not there before.
            self.abroad.queue(
                f"{batch.digest}.{batch.round}",
                self._kept(batch) if rows is None else rows,
            )
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
        for path in table.listed().filter(condition.file)["path"]:
            yield table.scan([path]).filter(others).select("member", *ABROAD).collect()

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
            if self._is_in(batch, version):
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

    def _is_in(self, batch: Batch, version: int) -> bool:
        """Say whether an earlier worker's commit came through before it was gone.

        A first attempt had no earlier one; the commit itself makes sure of it anyway.
        """
        return batch.attempts > 1 and self.archive.has(batch.digest, version)

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

    def begin(self, batches: Sequence[Batch]) -> None:
        """Let an engine that has room begin with batches that are not small.

        Whatever goes wrong is found again, and told, when they are worked on.
        """
        with suppress(Exception):
            formats = Formats(self.lane.node.home / FORMATS)
            for batch in batches:
                if batch.attempts == 1 and (len(batches) == 1 or batch.size > _SMALL):
                    form = self._form(batch, formats)
                    work = self._judged(batch, form)
                    self._begun[batch.digest] = Ahead(work, _PIECES_AHEAD)

    def close(self) -> None:
        """Leave what was begun and not worked on."""
        while self._begun:
            self._begun.popitem()[1].close()

    def _judged(self, batch: Batch, form: Format) -> Generator[_Judged]:
        """Have a batch's pieces judged; they come in its order."""
        by = partial(judge, reference=self._sending.send(self._referring.reference()))
        with self.lane.open(batch) as stream:
            yield from through(
                stream, form, self._origin(batch), by, self.engine, limits=self._limits
            )

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
        own = self.lane.node.config.node.member
        pieces = self._begun.pop(batch.digest, None) or self._judged(batch, form)

        def parts() -> Iterator[Part]:
            nonlocal outcome
            for piece in pieces:
                if not going():
                    raise Stopped
                told = piece.told
                keys = told.keys.with_row_index("row")
                keys = self._not_held(
                    seen.new(keys), batch.feed, batch.digest if batch.round else ""
                )
                if batch.size <= TOGETHER_BYTES:
                    seen.told.append(findings(keys))
                unread = told.rejects.with_columns(
                    pl.col("line") + piece.line, file=pl.lit(piece.file, pl.String)
                )
                rejects = pl.concat(
                    [conform(one, REJECTS) for one in (piece.rejects, unread)]
                )
                writing.add_rejects(rejects)
                outcome = replace(
                    outcome,
                    rows=outcome.rows + keys.height,
                    repeated=outcome.repeated
                    + (piece.rows - unread.height - keys.height),
                    rejects=outcome.rejects + rejects.height,
                    abroad=outcome.abroad or bool((keys["member"] != own).any()),
                )
                self._check_size(outcome, most)
                all_ = keys.height == told.keys.height
                chosen = None if all_ else keys["row"]
                size = told.size * keys.height // max(told.keys.height, 1)
                yield Part(piece.body, chosen, piece.number, keys.height, size)

        table = self.archive.events
        with closing(pieces):
            for files in packed(parts(), (batch.digest,), table, self.engine):
                writing.keep(files)
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

    def _not_held(self, events: pl.DataFrame, feed: str, but: str = "") -> pl.DataFrame:
        """Leave out what the same feed told of the same day before."""
        if not events.height:
            return events
        first = int(events["time"].dt.epoch("us").min())  # type: ignore[arg-type]
        held = self.archive.held(
            events,
            feed,
            first - first % _DAY_US,
            same_day=True,
            but=but,
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

    def _check_size(self, outcome: Outcome, most: int) -> None:
        if most and outcome.read > most:
            raise Odd(
                f"it has more than {most:,} rows, {_TIMES} times as many as usual"
            )

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
        self.abroad.drop_fetched()
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
