"""Erasing rows on legal request, wherever this node keeps them.

The archive, the bytes of the batches concerned, parcels for other members, and notices.
Each step may be done again: whoever goes on after a crash begins at the first one, and
counts nothing twice. What is kept is who erased, when, why and how many.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import polars as pl

from serantau import typed
from serantau.desk.lane import Lane
from serantau.desk.lane_search import tallies_of
from serantau.errors import BadRequest, Conflict
from serantau.lane.address import parse
from serantau.lane.archive import Archive
from serantau.lane.condition import SIDES, Condition, equals
from serantau.lane.delta import Table
from serantau.lane.erasure import Scope, concerned, forget_spans, rows_of
from serantau.lane.frame import EVENTS, conform
from serantau.lane.upkeep import take_out
from serantau.node import Node
from serantau.records import acts
from serantau.records.database import Tx
from serantau.records.erasures import Erasure, Erasures
from serantau.rules.event import ABROAD
from serantau.rules.level import Tlp

LEASE_SECONDS: Final = 600.0
_REASON: Final = 1000
_PASSES: Final = 10
# The archive tells how far it is for each file; more often nobody needs to know.
_BEAT_SECONDS: Final = 30.0
_SECOND: Final = 1_000_000

Step = Callable[[int, str], None]
"""Is told what was done so far, and of what."""


@dataclass(frozen=True, slots=True)
class Found:
    """What an erasure would take.

    events, rejects: rows of the archive, in so many batches. originals: batches whose
    bytes are deleted. parcels: rows in parcels for other members. notices: those that
    would be dropped, or blotted when somebody may have got them. unread: batches that
    are not worked on, of which nobody knows whose rows they hold.
    """

    events: int
    rejects: int
    batches: int
    originals: int
    parcels: int
    notices: int
    unread: int


class Erase:
    """Erases rows of one node."""

    def __init__(self, node: Node, step: Step | None = None) -> None:
        """Work on `node`, and tell how far it is."""
        self._node = node
        self._archive = Archive(node.config.archive, node.config.lane.storage)
        self._originals = Lane(node).originals
        self._rows = Erasures()
        self._step = step or _silent
        self._number = 0
        self._beaten = 0

    def find(self, scope: Scope) -> Found:
        """Count what an erasure would take; nothing changes.

        Raises:
            BadRequest: the scope is empty, or names what is no range or domain.
        """
        check(scope)
        held = self._concerned(scope)
        digests = sorted(held)
        with self._node.db.read() as tx:
            originals = len(self._rows.originals(tx, digests))
            unread = self._rows.unread(tx)
        return Found(
            sum(events for events, _ in held.values()),
            sum(rejects for _, rejects in held.values()),
            len(held),
            originals,
            sum(gone for *_, gone in self._parcels(scope, digests)),
            sum(1 for _ in self._notices(scope)),
            unread,
        )

    def erase(self, scope: Scope, *, actor: str, reason: str) -> Erasure:
        """Erase the rows that are meant, and note that it was done.

        Raises:
            BadRequest: the scope is empty or wrong, or no reason is given.
            Conflict: another erasure is not done.
            StoreError: the store failed; `resume` goes on.
        """
        check(scope)
        if not reason.strip():
            raise BadRequest("An erasure has a reason, and there is none.")
        with self._node.db.write() as tx:
            for one in self._rows.unfinished(tx):
                busy = one.lease > tx.clock.now()
                raise Conflict(
                    f"Erasure {one.number} is "
                    + ("being done." if busy else "not done."),
                    mend="Wait for it, or `serantau events erase --resume`.",
                )
            number = self._rows.begin(
                tx,
                actor=actor,
                reason=reason.strip()[:_REASON],
                scope=msgspec.json.encode(scope).decode(),
                about=about(scope),
                seconds=LEASE_SECONDS,
            )
            acts.decided(tx, "erased events", about(scope), why=reason.strip())
        return self._go(number, scope)

    def resume(self, *, left: bool = False) -> list[Erasure]:
        """Go on with those that were not done; `left`: only where nobody is at it."""
        with self._node.db.read() as tx:
            now = tx.clock.now()
            waiting = self._rows.unfinished(tx)
        return [
            self._go(one.number, typed.read(one.scope, Scope))
            for one in waiting
            if not left or one.lease <= now
        ]

    def _go(self, number: int, scope: Scope) -> Erasure:
        self._number = number
        for turn in range(_PASSES):
            held = self._concerned(scope)
            if turn and not held:
                break
            # Before anything goes: what is left could not say whose bytes must go too.
            with self._node.db.write() as tx:
                self._rows.note(tx, number, held)
                digests = self._rows.batches(tx, number)
            self._clear_parcels(number, scope, digests)
            self._clear_originals(number, digests)
            for table, gone in self._tables(scope):
                take_out(table, gone)
                self._beat()
            self._clear_notices(number, scope)
        for table, _ in self._tables(scope):
            table.sweep()
            forget_spans(table)
        tallies_of(self._node).forget(self._archive.events.listed()["path"].to_list())
        self._node.db.settle_log()
        with self._node.db.write() as tx:
            return self._rows.finish(tx, number)

    def _tables(self, scope: Scope) -> tuple[tuple[Table, Condition], ...]:
        return (
            (self._archive.events, scope.events()),
            (self._archive.rejects, scope.rejects()),
        )

    def _concerned(self, scope: Scope) -> dict[str, tuple[int, int]]:
        """Count the events and rejects that are meant, by batch."""
        events, rejects = (
            dict(
                concerned(table, gone, self._told(table.root))
                .group_by("batch")
                .agg(pl.col("rows").sum())
                .iter_rows()
            )
            for table, gone in self._tables(scope)
        )
        return {
            batch: (events.get(batch, 0), rejects.get(batch, 0))
            for batch in sorted({*events, *rejects})
        }

    def _told(self, root: str) -> Callable[[int, int], None]:
        words = f"rows of {root.rpartition('/')[2]}"

        def told(done: int, total: int) -> None:
            self._step(done * 100 // max(total, 1), f"{done:,} of {total:,} {words}")
            self._beat()

        return told

    def _beat(self) -> None:
        """Say now and then that somebody is at it."""
        now = self._node.clock.now()
        if self._number and now - self._beaten > _BEAT_SECONDS * _SECOND:
            self._beaten = now
            with self._node.db.write() as tx:
                self._rows.extend(tx, self._number, LEASE_SECONDS)

    # --- bytes ------------------------------------------------------------------------

    def _clear_originals(self, number: int, digests: list[str]) -> None:
        with self._node.db.write() as tx:
            tx.overwrite()
            several = self._rows.originals(tx, digests)
            # Noted first: after a crash these are asked for by their own digests.
            self._rows.note(tx, number, dict.fromkeys(several, (0, 0)))
            self._rows.forget_originals(tx, number, several)
        for digest in {*digests, *several}:
            self._originals.remove(digest)

    # --- parcels ----------------------------------------------------------------------

    def _clear_parcels(self, number: int, scope: Scope, digests: list[str]) -> None:
        for place, left, gone in self._parcels(scope, digests):
            with self._node.db.write() as tx:
                tx.overwrite()
                self._rows.put_parcel(tx, number, place, left.height, _pack(left), gone)
            self._beat()

    def _parcels(
        self, scope: Scope, digests: Sequence[str]
    ) -> Iterator[tuple[int, pl.DataFrame, int]]:
        """Give each parcel that holds such rows, what is left of it, how many go."""
        with self._node.db.read() as tx:
            numbers = self._rows.parcels(tx)
        concerning = set(digests)
        batch, owned = "", pl.DataFrame(schema=_ABROAD)
        for number, of in numbers:
            with self._node.db.read() as tx:
                held = self._rows.parcel(tx, number)
            if held is None:
                continue
            rows = pl.read_ipc_stream(io.BytesIO(held))
            left = rows.filter(~_meant(rows, scope))
            if scope.parties and of in concerning:
                # A parcel does not say who the owner is; the archive does.
                if of != batch:
                    batch, owned = of, self._owned(scope, of)
                left = left.join(owned, on=list(ABROAD), how="anti", nulls_equal=True)
            if left.height < rows.height:
                yield number, left.select(rows.columns), rows.height - left.height

    def _owned(self, scope: Scope, batch: str) -> pl.DataFrame:
        gone = equals("party", scope.parties, measured=True)
        gone &= equals("batch", [batch], measured=True)
        rows = [pl.DataFrame(schema=_ABROAD)]
        rows += rows_of(self._archive.events, gone, ABROAD)
        return pl.concat(rows).with_columns(pl.col("tlp").fill_null(int(Tlp.RED)))

    # --- notices ----------------------------------------------------------------------

    def _clear_notices(self, number: int, scope: Scope) -> None:
        for place in list(self._notices(scope)):
            with self._node.db.write() as tx:
                tx.overwrite()
                self._clear_notice(tx, number, place, scope)
            self._beat()
        if scope.parties:
            with self._node.db.write() as tx:
                self._rows.forget_told(tx, list(scope.parties))

    def _clear_notice(self, tx: Tx, number: int, place: int, scope: Scope) -> None:
        held = self._rows.notice(tx, place)
        if held is None:
            return
        left = _left_of(held.csv, held.party in scope.parties, scope)
        if left is None:
            return
        if held.begun:
            self._rows.blot_notice(tx, number, place, left)
        else:
            self._rows.drop_notice(tx, number, place)

    def _notices(self, scope: Scope) -> Iterator[int]:
        """Give the numbers of the notices that tell of such rows."""
        with self._node.db.read() as tx:
            for one in self._rows.notices(tx):
                if _left_of(one.csv, one.party in scope.parties, scope) is not None:
                    yield one.number


def check(scope: Scope) -> None:
    """Make sure that a scope means something.

    Raises:
        BadRequest: it is empty, or names what is no range or domain.
    """
    if not (scope.parties or scope.ranges or scope.domains):
        raise BadRequest(
            "Nothing says whose rows.", mend="Name --party, --address or --domain."
        )
    scope.events()
    scope.rejects()


def about(scope: Scope) -> str:
    """Say what an erasure is about without naming an address or a domain."""
    said = [f"party {name}" for name in scope.parties]
    for things, one, many in (
        (scope.ranges, "address or range", "addresses or ranges"),
        (scope.domains, "domain", "domains"),
    ):
        if things:
            said.append(f"{len(things)} {one if len(things) == 1 else many}")
    return ", ".join(said) + (", in any text" if scope.anywhere else "")


def _silent(_done: int, _said: str) -> None:
    """Tell nobody."""


_ABROAD: Final = {name: EVENTS[name] for name in ABROAD}


def _meant(rows: pl.DataFrame, scope: Scope) -> pl.Series:
    """Say which rows a scope means, by what they say themselves."""
    frame = conform(rows).with_columns(
        found[half].alias(f"{side}_{half}")
        for side, found in (
            (side, parse(rows[f"{side}_address"].cast(pl.String))) for side in SIDES
        )
        for half in ("hi", "lo")
    )
    meant = Scope(ranges=scope.ranges, domains=scope.domains, anywhere=scope.anywhere)
    return frame.with_columns(meant=meant.events().row.fill_null(value=False))["meant"]


def _pack(rows: pl.DataFrame) -> bytes:
    stream = io.BytesIO()
    rows.rechunk().write_ipc_stream(stream, compression="zstd")
    return stream.getvalue()


def _left_of(csv: bytes, owner: bool, scope: Scope) -> bytes | None:
    """Give what is left of a notice's file; None when no row of it is meant."""
    text = pl.read_csv(csv, infer_schema=False)
    if owner:
        return _csv(text.clear()) if text.height else None
    named = text.select(
        pl.col(name) for name in text.columns if EVENTS.get(name) == pl.String()
    )
    left = text.filter(~_meant(named, scope))
    return _csv(left) if left.height < text.height else None


def _csv(rows: pl.DataFrame) -> bytes:
    return rows.write_csv(quote_style="always", line_terminator="\r\n").encode()
