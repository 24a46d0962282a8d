"""Taking in events: bytes become a batch that is durable before it is acknowledged.

Whoever brings bytes brings them as often as he likes: they are one batch. What is done
with batches afterwards is `desk.lane_work`'s.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final

from serantau.config import FEED, FeedSection, NodeConfig
from serantau.errors import BadInput, BadRequest, ConfigError, Conflict, TooLarge
from serantau.lane.originals import Draft, Originals
from serantau.node import Node
from serantau.records.acts import decided
from serantau.records.batches import Arrival, Batch, Batches, State, Totals
from serantau.records.database import Tx
from serantau.records.feeds import Feeds, Look
from serantau.rules.marking import Tlp
from serantau.rules.taxonomy import read_categories

TOGETHER_BYTES: Final = 8_000_000
"""Batches that are worked on together have at most so much, all of them together."""

_HOUR: Final = 3_600_000_000
_MINUTE: Final = 60_000_000
_DAY: Final = 24 * _HOUR
# Delta's marks of batches live for 90 days (docs/archive.md).
_ANEW_DAYS: Final = 85
_NAME: Final = 200
_HEAD: Final = 1 << 16
_HTML: Final = (b"<!doctype html", b"<html", b"<head")


@dataclass(frozen=True, slots=True)
class Told:
    """What whoever brings bytes says of them; empty: as the feed is configured.

    feed: who reported. format: how they are read. report: the kind of report. name: of
    the file. source: how they came. tlp: level of the rows that name none.
    """

    feed: str
    format: str = ""
    report: str = ""
    name: str = ""
    source: str = "cli"
    tlp: Tlp | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of bytes: their batch, and whether they were new."""

    batch: Batch
    new: bool


@dataclass(frozen=True, slots=True)
class FeedStanding:
    """How it stands with one feed.

    configured: it has a table in the settings. way: url, folder, mailbox, or posted.
    totals: of its batches, None before the first. look: the last look at its address,
    None when it has none. alarms: what a person should see to, in words.
    """

    name: str
    configured: bool
    way: str
    totals: Totals | None
    look: Look | None
    alarms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """How it stands with the lane: batches by state, and each feed."""

    states: dict[State, int]
    feeds: tuple[FeedStanding, ...]
    alarms: tuple[str, ...] = field(default=())


class Lane:
    """Batches of one node: their bytes and their rows."""

    def __init__(self, node: Node) -> None:
        """Work with the lane of `node`."""
        self.node = node
        self.batches = Batches()
        self.feeds = Feeds()
        self.originals = Originals(node.config.lane_folder)
        # Told before a batch is touched: rows would lack it for ever.
        self.categories = categories(node.config)

    def section(self, feed: str) -> FeedSection:
        """Give what is configured of a feed."""
        return self.node.config.feeds.get(feed, FeedSection())

    def check(self, told: Told) -> None:
        """Make sure that what is said of bytes can be, before any of them is read.

        Raises:
            BadRequest: the feed's name is none.
        """
        if not FEED.fullmatch(told.feed):
            raise BadRequest(
                f"{told.feed[:80]!r} is no feed's name: "
                "up to 63 of a-z, 0-9, '.', '_' and '-'."
            )

    def add(
        self,
        stream: BinaryIO | Iterable[bytes],
        told: Told,
        *,
        limit: int = 0,
    ) -> Kept:
        """Take in bytes: when this returns, they are on disk and will be worked on.

        Args:
            stream: a file, or the bytes in pieces.
            told: what is said of them.
            limit: how many there may be; 0: limits.file_bytes.

        Raises:
            BadRequest: what is said of them cannot be.
            BadInput: there are none.
            TooLarge: there are more than may be.
        """
        self.check(told)
        limit = limit or self.node.config.limits.file_bytes
        with self.originals.draft() as draft:
            for piece in _pieces(stream):
                draft.write(piece)
                if draft.size > limit:
                    raise TooLarge(f"There are more than {limit:,} bytes.")
            return self.keep(draft, told)

    def keep(self, draft: Draft, told: Told, *, held: str = "") -> Kept:
        """Make a batch of what was received.

        Args:
            draft: all of its bytes.
            told: what is said of them.
            held: why a person must look first.

        Raises:
            BadInput: there are none.
        """
        if not draft.size:
            raise BadInput("There is nothing in it: 0 bytes.")
        section = self.section(told.feed)
        digest = draft.seal()
        arrival = Arrival(
            digest=digest,
            size=draft.size,
            feed=told.feed,
            format=told.format or section.format,
            report=told.report or section.report,
            name=_plain(told.name),
            source=told.source,
            tlp=int(told.tlp) if told.tlp is not None else level(told.feed, section),
        )
        with self.node.db.write() as tx:
            known = self.batches.holds(tx, digest)
            if not known:
                self.originals.place(draft)
                self.batches.add(tx, arrival, held=held, body=draft.body)
            batch = self.batches.get(tx, digest)
            settled = batch.state in {State.DONE, State.DROPPED}
            if known and draft.path and not settled and not self.originals.has(digest):
                # Its bytes were lost with a disk; the row still waits for them.
                self.originals.place(draft)
        return Kept(batch, not known)

    def again(self, tx: Tx, batch: Batch, format_name: str | None = None) -> None:
        """Let a batch be read anew, by another format when one is given.

        What it gave before is replaced, which the archive can do for as long as it
        remembers the batch's mark.

        Raises:
            Conflict: its bytes are not kept any more, it ended too long ago, or it is
                not in a state for that.
        """
        if not batch.kept:
            raise Conflict(
                f"The bytes of batch {batch.number} are not kept any more.",
                mend="lane.originals_days says how long they are.",
            )
        if batch.ended and tx.clock.now() - batch.ended > _ANEW_DAYS * _DAY:
            raise Conflict(
                f"Batch {batch.number} was read more than {_ANEW_DAYS} days ago: the "
                "archive could not tell its old rows from new ones."
            )
        self.batches.retry(tx, batch, format_name)

    def read_anew(self, tx: Tx, batch: Batch, format_name: str | None = None) -> None:
        """Let a batch be read anew because a person says so. Arguments as `again`.

        Raises:
            Conflict: as `again`.
        """
        self.again(tx, batch, format_name)
        decided(tx, "read a batch anew", f"{batch.number}", after=format_name)

    def release(self, tx: Tx, batch: Batch) -> None:
        """Let a held batch be worked on: a person looked, and it is right.

        Raises:
            Conflict: it is not held.
        """
        self.batches.release(tx, batch)
        decided(tx, "released a batch", f"{batch.number}", why=batch.fault)

    def drop(self, tx: Tx, batch: Batch) -> None:
        """Do not work on a batch that is held, failed or waiting.

        Raises:
            Conflict: it is being worked on, or done.
        """
        self.batches.drop(tx, batch)
        decided(tx, "dropped a batch", f"{batch.number}", why=batch.fault)

    def sweep(self) -> int:
        """Remove what killed processes left behind; gives how many files."""
        swept = 0
        for one in self.originals.left():
            with self.node.db.write() as tx:
                if one.placed and not self.batches.holds(tx, one.digest):
                    self.originals.remove(one.digest)
                one.path.unlink(missing_ok=True)
            swept += 1
        return swept

    def expire(self) -> int:
        """Remove bytes that are kept no longer; gives how many batches'."""
        days = self.node.config.lane.originals_days
        with self.node.db.read() as tx:
            before = tx.clock.now() - days * _DAY
            digests = self.batches.settled_before(tx, before)
        for digest in digests:
            self.originals.remove(digest)
        with self.node.db.write() as tx:
            self.batches.forget(tx, digests)
        return len(digests)

    def open(self, batch: Batch) -> BinaryIO:
        """Open a batch's bytes.

        Raises:
            NotFound: they are not kept any more.
        """
        with self.node.db.read() as tx:
            body = self.batches.body(tx, batch.digest)
        return self.originals.open(batch.digest) if body is None else BytesIO(body)

    def standing(self) -> Standing:
        """Tell how it stands with all feeds, and what a person should see to."""
        config = self.node.config
        with self.node.db.read() as tx:
            now = tx.clock.now()
            states = self.batches.counts(tx)
            totals = {one.feed: one for one in self.batches.totals(tx)}
            looks = {one.name: one for one in self.feeds.all(tx)}
            held = self.batches.recent(tx, state=State.HELD, limit=1000)
        names = sorted({*totals, *config.feeds})
        feeds = []
        for name in names:
            section = self.section(name)
            look = looks.get(name) if section.url or section.mailbox else None
            reasons = [one.fault for one in held if one.feed == name]
            feeds.append(
                FeedStanding(
                    name,
                    name in config.feeds,
                    way_of(section),
                    totals.get(name),
                    look,
                    self._alarms(now, section, totals.get(name), look, reasons),
                )
            )
        return Standing(
            states,
            tuple(feeds),
            tuple(f"{one.name}: {said}" for one in feeds for said in one.alarms),
        )

    def _alarms(
        self,
        now: int,
        section: FeedSection,
        totals: Totals | None,
        look: Look | None,
        held: list[str],
    ) -> tuple[str, ...]:
        said = []
        if held:
            many = "a batch is" if len(held) == 1 else f"{len(held)} batches are"
            said.append(f"{many} held: {held[0]}")
        if look is not None and look.fault:
            said.append(f"the last look failed: {look.fault}")
        last = totals.last if totals else 0
        fresh = section.fresh_hours * _HOUR
        if fresh and now - last > fresh:
            age = f"is {(now - last) / _HOUR:.1f} hours old" if last else "never came"
            said.append(
                f"the newest batch {age}, expected one in {section.fresh_hours:g}"
            )
        lag = self.node.config.lane.lag_minutes * _MINUTE
        if totals and totals.waiting and now - totals.waiting > lag:
            waits = (now - totals.waiting) // _MINUTE
            said.append(f"a batch has waited for {waits:,} minutes")
        failed = totals.states.get(State.FAILED, 0) if totals else 0
        if failed:
            many = "batch" if failed == 1 else "batches"
            said.append(f"{failed} {many} failed")
        return tuple(said)


def way_of(section: FeedSection) -> str:
    """Say how a feed comes."""
    for way in ("url", "folder", "mailbox"):
        if getattr(section, way):
            return way
    return "posted"


def level(name: str, section: FeedSection) -> int | None:
    """Give the level that a feed's rows have when they name none.

    Raises:
        ConfigError: the settings name none that there is.
    """
    if not section.tlp:
        return None
    try:
        return int(Tlp.parse(section.tlp))
    except ValueError as fault:
        raise ConfigError(f"feeds.{name}.tlp: {fault}") from fault


def categories(config: NodeConfig) -> dict[str, str]:
    """Give the nation's own categories by RSIT type or class.

    Raises:
        ConfigError: the settings name a type or class that there is none of.
    """
    try:
        return read_categories(config.lane.categories)
    except ValueError as fault:
        raise ConfigError(
            f"lane.categories: {fault}",
            mend="docs/operations.md lists the classes and types.",
        ) from fault


def is_html(head: bytes) -> bool:
    """Tell a web page from data: servers that have moved or want a login give one."""
    start = head[:_HEAD].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    while start.startswith(b"<!--") and b"-->" in start:
        start = start.partition(b"-->")[2].lstrip()
    return start.startswith(_HTML)


def _pieces(stream: BinaryIO | Iterable[bytes]) -> Iterable[bytes]:
    read = getattr(stream, "read", None)
    return stream if read is None else iter(lambda: read(_HEAD * 16), b"")


def _plain(name: str) -> str:
    """Give the last part of a name, which nothing is ever opened by."""
    last = Path(name.replace("\\", "/")).name
    return "".join(one for one in last if one.isprintable())[:_NAME]
