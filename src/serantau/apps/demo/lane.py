"""The demo's act for events: reports go in at one node, notices and rows go out."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import polars as pl

from serantau.apps.demo.owners import Owner, read_owners, register, with_busiest
from serantau.apps.demo.region import FOLLOWS, Region
from serantau.apps.demo.reports import Reports
from serantau.desk.courier import Courier
from serantau.desk.lane import Lane, Told
from serantau.desk.lane_ask import archive_of
from serantau.desk.lane_update import Sources, update
from serantau.desk.notice_rows import tell
from serantau.desk.notify import Notify
from serantau.desk.share import Share
from serantau.lane.delta import Table
from serantau.node import Node
from serantau.records.batches import Batch, State
from serantau.records.notices import Delivery, Notice, Notices
from serantau.rules.level import Tlp
from serantau.rules.notice import Sending

HOME: Final = "th"
LEVEL: Final = Tlp.AMBER
"""The level of rows that name none."""

SENDER: Final = "notices@cert.th.example"
_ACTOR: Final = "demo"
_OVER: Final = frozenset({State.DONE, State.FAILED, State.HELD, State.DROPPED})
_UNDER_WAY: Final = frozenset({Sending.READY, Sending.TAKEN, Sending.HANDING})
_LOOK_SECONDS: Final = 0.1
# Nothing ended for so long, and there is still something to wait for.
_STILL_SECONDS: Final = 60.0
_SECOND: Final = 1_000_000
_MOST_NOTICES: Final = 100_000


@dataclass(slots=True)
class Feed:
    """What one feed brought: files, and rows by what became of them.

    reasons: of the rows that could not be read. faults: of files that could not be read
    at all. begun, ended: when its first file was on disk, and its last row in the
    archive.
    """

    name: str
    files: int = 0
    kept: int = 0
    repeated: int = 0
    rejects: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    begun: int = 0
    ended: int = 0

    @property
    def read(self) -> int:
        """Count the rows that were read."""
        return self.kept + self.repeated + self.rejects

    @property
    def seconds(self) -> float:
        """Give how long it took."""
        return max(self.ended - self.begun, 0) / _SECOND


@dataclass(frozen=True, slots=True)
class Sent:
    """A notice with its deliveries, and what is attached."""

    notice: Notice
    deliveries: tuple[Delivery, ...]
    csv: bytes


@dataclass(slots=True)
class Crossing:
    """Rows that another member answers for.

    rows: packed for it. released: that may go; withheld: others, by rule. parcels: the
    rows of each that its node is to fetch, by number; none where no such node is here.
    landed: of these, the rows that its node read. seconds: from the packing to the
    other archive, of each that landed.
    """

    member: str
    rows: int = 0
    released: int = 0
    withheld: Counter[str] = field(default_factory=Counter)
    parcels: dict[int, int] = field(default_factory=dict)
    landed: dict[int, int] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)


class Act:
    """What happens at `HOME`, and at those who get rows from it.

    left: rows that are in no notice, by party, class and reason.
    """

    def __init__(self, region: Region, reports: Reports) -> None:
        """Work on `reports` in a founded region."""
        self._region = region
        self._reports = reports
        self._digests: list[str] = []
        self.left: Counter[tuple[str, str, str]] = Counter()

    @property
    def _node(self) -> Node:
        return self._region[HOME].opened

    def prepare(self, owners: Path, port: int, *, theirs: bool) -> list[Owner]:
        """Give nodes their ranges, owners and mail server, before they run.

        Args:
            owners: the file of made-up owners.
            port: of the mail server.
            theirs: the reports are somebody's own, so that the made-up owners get AS
                numbers that are in them.

        Returns:
            The owners, with what they have.
        """
        mail = {"host": "127.0.0.1", "port": port, "security": "none", "sender": SENDER}
        self._region.configure(HOME, {"mail": mail, "notice": {"automatic": True}})
        found = Sources(
            tuple(map(str, self._reports.country)), tuple(map(str, self._reports.asn))
        )
        if found.any:
            update(self._node, found, "demo", "")
        known = read_owners(owners)
        if theirs:
            known = with_busiest(known, self._node, self._reports.files)
        for name in dict.fromkeys(one.node for one in known):
            register(self._region[name].opened, known)
        return known

    def take_in(self) -> None:
        """Take the reports in; the running node works on them by itself."""
        lane = Lane(self._node)
        for one in self._reports.files:
            told = Told(
                one.feed, one.format, name=one.path.name, source=_ACTOR, tlp=LEVEL
            )
            with one.path.open("rb") as stream:
                self._digests.append(lane.add(stream, told).batch.digest)

    def feeds(self) -> list[Feed]:
        """Wait until all reports were worked on, and count what they gave."""
        every = len(set(self._digests))
        self._wait(lambda: sum(one.state in _OVER for one in self._batches()), every)
        feeds: dict[str, Feed] = {}
        for one in self._batches():
            feed = feeds.setdefault(one.feed, Feed(one.feed, begun=one.received))
            feed.files += 1
            feed.kept += one.rows
            feed.repeated += one.repeated
            feed.rejects += one.rejects
            feed.begun = min(feed.begun, one.received)
            feed.ended = max(feed.ended, one.ended)
            if one.state is not State.DONE:
                feed.faults.append(f"{one.name} {one.state}: {one.fault}")
        rejects = scan(archive_of(self._node).rejects)
        why = pl.concat_str("column", "reason", separator=" ", ignore_nulls=True)
        reasons = rejects.group_by("feed", why.alias("why")).len().collect()
        for name, said, many in reasons.sort("feed", "why").iter_rows():
            feeds[name].reasons[said] += many
        return list(feeds.values())

    def _batches(self) -> list[Batch]:
        lane = Lane(self._node)
        with self._node.db.read() as tx:
            return [lane.batches.get(tx, one) for one in dict.fromkeys(self._digests)]

    def owners(self) -> pl.DataFrame:
        """Count the rows by who answers for them, and why.

        Returns:
            member, party, reason (each null for nobody), rows; most rows first.
        """
        table = archive_of(self._node).events
        counts = scan(table).group_by("member", "party", "reason").len("rows")
        return counts.collect().sort("rows", descending=True)

    def at(self, name: str) -> pl.DataFrame:
        """Count the rows that came from here to a node, as its own archive has them.

        Returns:
            type, party (null: nobody registered), events.
        """
        rows = scan(archive_of(self._region[name].opened).events)
        ours = rows.filter(pl.col("feed") == f"node.{HOME}")
        return ours.group_by("type", "party").len("events").collect()

    def matched(self) -> int:
        """Count the rows that an indicator of the node fits."""
        rows = scan(archive_of(self._node).events)
        fits = rows.filter(pl.col("indicators").is_not_null()).select(pl.len())
        return int(fits.collect().item())

    def tell(self) -> list[Sent]:
        """Make the notices of every day that has rows for them, and send them."""
        node = self._node
        owned = scan(archive_of(node).events).filter(pl.col("party").is_not_null())
        days = owned.select(pl.col("time").dt.date().unique()).collect()["time"].sort()
        notify = Notify(node, _ACTOR)
        for day in days:
            for plan in tell(node, notify, day.isoformat()).plans:
                for why, many in plan.left.items():
                    self.left[plan.party, plan.group, why] += many
        Courier(node, _ACTOR).send()
        # The running node hands over too, and may be at one of them still.
        every = sum(len(one.deliveries) for one in self._sent())
        self._wait(
            lambda: sum(
                each.state not in _UNDER_WAY
                for one in self._sent()
                for each in one.deliveries
            ),
            every,
        )
        return self._sent()

    def _sent(self) -> list[Sent]:
        notices = Notices()
        with self._node.db.read() as tx:
            return [
                Sent(
                    one,
                    tuple(notices.deliveries(tx, one.number)),
                    notices.csv(tx, one.number),
                )
                for one in reversed(notices.all(tx, limit=_MOST_NOTICES))
            ]

    def cross(self) -> list[Crossing]:
        """Wait until what may go is where it belongs; gives what went to whom."""
        due = sum(len(one.parcels) for one in crossings(self._region))
        self._wait(lambda: sum(len(one.landed) for one in crossings(self._region)), due)
        return crossings(self._region)

    def _wait(self, count: Callable[[], int], until: int) -> None:
        """Wait until so many are there, or none came for long."""
        moved, before = time.monotonic(), -1
        while (now := count()) < until:
            self._region.expect_alive()
            if now > before:
                moved, before = time.monotonic(), now
            elif time.monotonic() - moved > _STILL_SECONDS:
                return
            time.sleep(_LOOK_SECONDS)


def scan(table: Table) -> pl.LazyFrame:
    """Give all rows of a table of an archive."""
    return table.scan(table.listed()["path"].to_list())


def crossings(region: Region, giver: str = HOME) -> list[Crossing]:
    """Look at what a node packed for others, and what of it is in their archives."""
    node = region[giver].opened
    found: dict[str, Crossing] = {}
    with node.db.read() as tx:
        share = Share(node)
        parcels = tx.rows(
            "SELECT t.n, p.member, p.level, p.rows, p.made FROM parcel_turn t "
            "JOIN parcel p ON p.n = t.parcel ORDER BY t.n"
        )
        verdicts = {
            name: share.judge_rows(tx, name, name, Tlp)
            for name in sorted({row.member for row in parcels})
        }
    here = {name: _landed(region, giver, name) for name in verdicts}
    for row in parcels:
        crossing = found.setdefault(row.member, Crossing(row.member))
        crossing.rows += row.rows
        verdict = verdicts[row.member][Tlp(row.level)]
        if not verdict.released:
            crossing.withheld[verdict.rule] += row.rows
            continue
        crossing.released += row.rows
        if giver not in FOLLOWS.get(row.member, ()):
            continue
        crossing.parcels[row.n] = row.rows
        landed = here[row.member].get(f"{giver}-{row.n}.arrow")
        if landed is not None:
            read, ended = landed
            crossing.landed[row.n] = read
            crossing.seconds.append(max(ended - row.made, 0) / _SECOND)
    return list(found.values())


def _landed(region: Region, giver: str, name: str) -> dict[str, tuple[int, int]]:
    """Give rows read and the end of the work, of each parcel of a node at another."""
    if name not in region.sites:
        return {}
    with region[name].opened.db.read() as tx:
        rows = tx.rows(
            "SELECT name, rows, repeated, rejects, ended FROM batch "
            "WHERE feed = :feed AND state = :done",
            feed=f"node.{giver}",
            done=State.DONE.value,
        )
    return {
        row.name: (row.rows + row.repeated + row.rejects, int(row.ended))
        for row in rows
    }
