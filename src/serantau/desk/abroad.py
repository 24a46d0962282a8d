"""Rows of other members: packed for their nodes, handed out, and fetched from peers.

A row whose owner is another member waits in a parcel until that member's node fetches
it. It goes to nobody else. What is fetched is one more batch of the lane here, and
looked at with this node's own eyes.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Final

import structlog

from serantau.clock import moment
from serantau.desk.lane import Lane, Told
from serantau.desk.share import Share
from serantau.errors import Forbidden, PeerError
from serantau.node import Node
from serantau.records.database import Tx
from serantau.records.parcels import Parcels, Part, Waiting
from serantau.records.peers import Peer
from serantau.records.registry import Caller
from serantau.rules.event import ABROAD
from serantau.rules.marking import Tlp
from serantau.wire.client import TaxiiClient

if TYPE_CHECKING:
    import polars as pl

WAY: Final = "events"
FORMAT: Final = "serantau-arrow"
MEDIA_TYPE: Final = "application/vnd.apache.arrow.stream"
ROWS: Final = 20_000
"""Rows of one parcel at most: about a megabyte, so that a small line carries it."""

# Packed bytes that are written together.
_WRITTEN: Final = 32_000_000
_THREADS: Final = 2
_AT_ONCE: Final = 200
_DAY: Final = 86_400_000_000
KEPT_DAYS: Final = 30

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Page:
    """A parcel as it goes out. number: where to go on after it."""

    number: int
    rows: int
    arrow: bytes


@dataclass(frozen=True, slots=True)
class Away:
    """What waits of one member and level, and why nobody fetched it.

    why, mend: empty when it waits for no longer than it may.
    """

    waiting: Waiting
    why: str
    mend: str

    def __str__(self) -> str:
        """Tell it in a line."""
        held = self.waiting
        many = "row waits" if held.rows == 1 else "rows wait"
        return (
            f"{held.rows:,} {many} for {held.member} ({held.level.label}) since "
            f"{moment(held.oldest):%Y-%m-%d %H:%M}Z: {self.why}"
        )


class Abroad:
    """Hands rows to the members whose they are, and fetches this member's."""

    def __init__(self, node: Node) -> None:
        """Work for `node`."""
        self._node = node
        self._share = Share(node)
        self.parcels = Parcels()

    def queue(self, batch: str, frames: Iterable[pl.DataFrame]) -> int:
        """Queue a batch's rows that other members answer for; gives how many.

        Parcels are written as they are packed, and handed out together once the last
        one is written. Memory is bounded by what waits of each member and level, at
        most twice `ROWS` rows, a frame, and 32 MB of packed parcels.

        Args:
            batch: its SHA-256. A second time changes nothing.
            frames: its rows, with the columns of an event.
        """
        with self._node.db.read() as tx:
            if self.parcels.has(tx, batch):
                return 0
        own = self._node.config.node.member
        drafts: list[int] = []
        with _Packing() as packing:
            for frame in frames:
                packing.add(frame, own)
                if packing.size >= _WRITTEN:
                    with self._node.db.write() as tx:
                        drafts += self.parcels.draft(tx, batch, packing.take())
            packing.end()
            parts = packing.take()
        if not (parts or drafts):
            return 0
        with self._node.db.write() as tx:
            drafts += self.parcels.draft(tx, batch, parts)
            return self.parcels.queue(tx, batch, drafts)

    def page(self, caller: Caller, after: int, request: str) -> Page | None:
        """Give the next parcel behind a number, and log it; None when there is none.

        Args:
            caller: who asks; it gets rows about its own machines only.
            after: the number of the last parcel that it has, -1 for none.
            request: the question as it was put, for the release log.

        Raises:
            Forbidden: the caller is none of those who fetch events.
        """
        member = self._member(caller)
        self._settle(member, after)
        with self._node.db.read() as tx:
            verdicts = self._share.judge_rows(tx, member, member, Tlp)
            levels = [level for level, said in verdicts.items() if said.released]
            parcel = self.parcels.after(tx, member, after, levels)
            if parcel is None:
                return None
            self._share.release_rows(
                tx,
                member,
                member,
                {parcel.level: parcel.rows},
                actor=caller.user,
                way=WAY,
                request=f"{request} parcel {parcel.number} of batch {parcel.batch}",
            )
        return Page(parcel.number, parcel.rows, parcel.arrow)

    def _member(self, caller: Caller) -> str:
        if caller.own:
            raise Forbidden("This node's own people ask the archive for events.")
        return caller.party.name

    def _settle(self, member: str, after: int) -> None:
        """Believe a node that it has everything up to a number that was given to it."""
        with self._node.db.read() as tx:
            known = self.parcels.asked_after(tx, member)
            most = self.parcels.last(tx, member)
        if known < after <= most:
            with self._node.db.write() as tx:
                self.parcels.asked(tx, member, after)

    def news(self, caller: Caller, after: int) -> bool:
        """Say whether a parcel that the caller may have is newer than a stamp."""
        if caller.own:
            return False
        member = caller.party.name
        with self._node.db.read() as tx:
            if self.parcels.last(tx, member) <= after:
                return False
            verdicts = self._share.judge_rows(tx, member, member, Tlp)
            levels = [level for level, said in verdicts.items() if said.released]
            return self.parcels.after(tx, member, after, levels) is not None

    def waiting(self) -> list[Waiting]:
        """Tell what no node has fetched yet, by member and level."""
        with self._node.db.read() as tx:
            return self.parcels.waiting(tx)

    def away(self) -> list[Away]:
        """Tell what no node has fetched yet, and why."""
        with self._node.db.read() as tx:
            held = self.parcels.waiting(tx)
            parties = self._node.registry.parties(tx) if held else {}
            users = self._node.registry.users(tx) if held else []
            logins = {one.party for one in users if not one.disabled}
            now = tx.clock.now()
            return [
                Away(one, *self._why(tx, one, one.member in parties, logins, now))
                for one in held
            ]

    def _why(
        self, tx: Tx, held: Waiting, known: bool, logins: set[str], now: int
    ) -> tuple[str, str]:
        member = held.member
        if not known:
            return (
                f"no party is named {member}",
                f"`serantau party add {member} --kind member`, then give it a login.",
            )
        verdict = self._share.judge_rows(tx, member, member, [held.level])[held.level]
        if not verdict.released:
            if held.level is Tlp.RED:
                # A row without a level was never released by anyone.
                return (
                    "TLP:RED, and rows without a level, go by no machine",
                    "Set feeds.NAME.tlp for what comes; hand over what waits: "
                    f"`serantau events --member {member} --csv FILE`.",
                )
            return (
                f"it may not go: {verdict}",
                "`serantau party show` tells what holds it.",
            )
        if member not in logins:
            return (
                "its node has no login here",
                f"`serantau user add {member}-node --party {member}`, and give its "
                "team the password. By hand: "
                f"`serantau events --member {member} --csv FILE`.",
            )
        if now - held.oldest < _DAY:
            return "", ""
        asked = "never fetched any"
        if held.asked:
            asked = f"fetched last at {moment(held.asked):%Y-%m-%d %H:%M}Z"
        return f"its node {asked}", "Ask its team whether its node follows this one."

    def warn(self) -> list[Away]:
        """Log what waits without a good reason; gives it."""
        found = [one for one in self.away() if one.why]
        for one in found:
            _log.warning(
                "rows_wait",
                member=one.waiting.member,
                level=one.waiting.level.label,
                rows=one.waiting.rows,
                since=f"{moment(one.waiting.oldest):%Y-%m-%dT%H:%M:%SZ}",
                why=one.why,
            )
        return found

    def drop_fetched(self) -> int:
        """Remove parcels that were fetched a month ago; gives how many."""
        with self._node.db.write() as tx:
            return self.parcels.drop_fetched(tx, tx.clock.now() - KEPT_DAYS * _DAY)

    def fetch(self, peer: Peer, client: TaxiiClient) -> int:
        """Fetch what a peer holds of this member's rows; gives how many rows.

        Each parcel is a durable batch before the next one is asked for.

        Raises:
            PeerError: the peer does not give them, or not as it should.
        """
        lane = Lane(self._node)
        with self._node.db.read() as tx:
            after = self.parcels.fetched(tx, peer.number).after
        total = 0
        for _ in range(_AT_ONCE):
            found = client.events(after)
            if found is None:
                break
            number, rows, body = found
            if number <= after:
                raise PeerError(
                    f"{peer.name} gave parcel {number} after parcel {after}.",
                    mend="Its operator should look at its clock and its store.",
                )
            told = Told(
                f"node.{peer.name}",
                format=FORMAT,
                name=f"{peer.name}-{number}.arrow",
                source=f"peer:{peer.name}",
            )
            lane.add(io.BytesIO(body), told)
            with self._node.db.write() as tx:
                self.parcels.move(tx, peer.number, number, rows)
            after, total = number, total + rows
        return total


class _Packing:
    """Rows by member and level, cut into parcels as they become many.

    They are packed beside the caller. size: of what is packed and was not taken.
    """

    def __init__(self) -> None:
        self._open: dict[tuple[str, int], list[pl.DataFrame]] = {}
        self._threads = ThreadPoolExecutor(_THREADS, "serantau-parcels")
        self._packing: deque[Future[Part]] = deque()
        self._parts: list[Part] = []
        self.size = 0

    def __enter__(self) -> _Packing:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._threads.shutdown(cancel_futures=True)

    def add(self, frame: pl.DataFrame, own: str) -> None:
        """Take in rows; those of nobody, or of this member, are left out."""
        import polars as pl

        abroad = frame.filter(
            pl.col("member").is_not_null() & (pl.col("member") != own)
        )
        if not abroad.height:
            return
        # A row without a level was never released by anyone: nobody gets it.
        levels = abroad.with_columns(pl.col("tlp").fill_null(int(Tlp.RED)))
        for key, rows in levels.group_by("member", "tlp", maintain_order=True):
            member, level = str(key[0]), int(str(key[1]))
            held = self._open.setdefault((member, level), [])
            held.append(rows.select(ABROAD))
            if sum(one.height for one in held) < ROWS:
                continue
            whole = pl.concat(held)
            full = whole.height - whole.height % ROWS
            for at in range(0, full, ROWS):
                self._pack(member, level, whole.slice(at, ROWS))
            held[:] = [whole.slice(full)]

    def end(self) -> None:
        """Pack what is left."""
        import polars as pl

        for (member, level), held in self._open.items():
            whole = pl.concat(held)
            if whole.height:
                self._pack(member, level, whole)
        self._open.clear()
        while self._packing:
            self._packed()

    def take(self) -> list[Part]:
        """Give what is packed by now."""
        parts, self._parts, self.size = self._parts, [], 0
        return parts

    def _pack(self, member: str, level: int, rows: pl.DataFrame) -> None:
        while len(self._packing) >= _THREADS:
            self._packed()
        self._packing.append(self._threads.submit(_part, member, level, rows))

    def _packed(self) -> None:
        part = self._packing.popleft().result()
        self._parts.append(part)
        self.size += len(part.arrow)


def _part(member: str, level: int, rows: pl.DataFrame) -> Part:
    stream = io.BytesIO()
    rows.rechunk().write_ipc_stream(stream, compression="zstd")
    return Part(member, Tlp(level), rows.height, stream.getvalue())
