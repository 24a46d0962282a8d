"""Erasures: who asked for one, why, how far it came, and what went.

What was erased is not kept here. While one is being done, its scope and its batches
are, so that whoever goes on after a crash knows what is left and counts nothing twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
import zstandard

from serantau.errors import NotFound
from serantau.records import tables
from serantau.records.database import Tx
from serantau.rules.notice import Sending

_SECOND: Final = 1_000_000
_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Erasure:
    """One erasure.

    actor, reason: who did it and why. scope: JSON of what is looked for, empty when it
    is done. about: the same in words that name no address. lease: until when somebody
    is at it. ended: 0 while it is not done. events, rejects: rows of the archive.
    batches: whose rows these were. originals: batches whose bytes went. parcels: rows
    in parcels for other members. notices: those that were dropped or blotted.
    """

    number: int
    at: int
    actor: str
    reason: str
    scope: str
    about: str
    lease: int
    ended: int
    events: int
    rejects: int
    batches: int
    originals: int
    parcels: int
    notices: int


@dataclass(frozen=True, slots=True)
class Kept:
    """What the store keeps of a notice. begun: somebody may have got it."""

    number: int
    party: str
    csv: bytes
    begun: bool


class Erasures:
    """The rows of erasures, and of what they look into beside the archive."""

    def begin(
        self, tx: Tx, *, actor: str, reason: str, scope: str, about: str, seconds: float
    ) -> int:
        """Note that one begins; gives its number."""
        now = tx.clock.now()
        counts = dict.fromkeys(_COUNTS, 0)
        return tx.insert(
            tables.erasure,
            {
                "at": now,
                "actor": actor,
                "reason": reason,
                "scope": scope,
                "about": about,
                "lease": now + int(seconds * _SECOND),
                "ended": 0,
                **counts,
            },
        )

    def get(self, tx: Tx, number: int) -> Erasure:
        """Give one.

        Raises:
            NotFound: there is none of this number.
        """
        row = tx.row(f"SELECT {_COLUMNS} FROM erasure WHERE n = :n", n=number)
        if row is None:
            raise NotFound(f"There is no erasure {number}.")
        return _erasure(row)

    def all(self, tx: Tx) -> list[Erasure]:
        """Give all, the newest first."""
        rows = tx.rows(f"SELECT {_COLUMNS} FROM erasure ORDER BY n DESC")
        return [_erasure(row) for row in rows]

    def unfinished(self, tx: Tx) -> list[Erasure]:
        """Give those that are not done, the oldest first."""
        rows = tx.rows(f"SELECT {_COLUMNS} FROM erasure WHERE ended = 0 ORDER BY n")
        return [_erasure(row) for row in rows]

    def extend(self, tx: Tx, number: int, seconds: float) -> None:
        """Say that somebody is at it."""
        tx.run(
            "UPDATE erasure SET lease = :lease WHERE n = :n",
            lease=tx.clock.now() + int(seconds * _SECOND),
            n=number,
        )

    def note(self, tx: Tx, number: int, found: Mapping[str, tuple[int, int]]) -> None:
        """Note batches with their events and rejects; one that is noted stays."""
        for digest, (events, rejects) in found.items():
            tx.run(
                "INSERT INTO erasure_batch (erasure, digest, events, rejects) "
                "VALUES (:n, :digest, :events, :rejects) ON CONFLICT DO NOTHING",
                n=number,
                digest=digest,
                events=events,
                rejects=rejects,
            )

    def batches(self, tx: Tx, number: int) -> list[str]:
        """Give the digests of the batches that are noted."""
        rows = tx.rows(
            "SELECT digest FROM erasure_batch WHERE erasure = :n ORDER BY digest",
            n=number,
        )
        return [row.digest for row in rows]

    def finish(self, tx: Tx, number: int) -> Erasure:
        """Note that it is done, and forget what it was looking for."""
        tx.run(
            "UPDATE erasure SET scope = '', ended = :now, lease = 0, "
            "events = (SELECT coalesce(sum(events), 0) FROM erasure_batch b "
            "WHERE b.erasure = erasure.n), "
            "rejects = (SELECT coalesce(sum(rejects), 0) FROM erasure_batch b "
            "WHERE b.erasure = erasure.n), "
            "batches = (SELECT count(*) FROM erasure_batch b "
            "WHERE b.erasure = erasure.n AND b.events + b.rejects > 0) WHERE n = :n",
            now=tx.clock.now(),
            n=number,
        )
        tx.run("DELETE FROM erasure_batch WHERE erasure = :n", n=number)
        return self.get(tx, number)

    # --- batches ----------------------------------------------------------------------

    def originals(self, tx: Tx, digests: list[str]) -> list[str]:
        """Give the batches whose bytes may hold rows of these batches.

        Those are the batches themselves, and later ones of the same feed of which rows
        were left out since they were there already.
        """
        rows = tx.rows(
            "SELECT b.digest FROM batch b LEFT JOIN "
            "(SELECT feed, min(began) AS began FROM batch WHERE "
            + tx.among("digest", "digests")
            + " GROUP BY feed) f ON f.feed = b.feed WHERE b.kept AND ("
            + tx.among("b.digest", "digests")
            + " OR (b.repeated > 0 AND b.ended >= f.began)) ORDER BY b.digest",
            digests=tx.array(digests),
        )
        return [row.digest for row in rows]

    def forget_originals(self, tx: Tx, number: int, digests: list[str]) -> None:
        """Forget the bytes of batches that the store has, and count these batches."""
        values = {"digests": tx.array(digests)}
        among = tx.among("digest", "digests")
        tx.run(f"DELETE FROM batch_body WHERE {among}", **values)
        gone = tx.run(
            f"UPDATE batch SET kept = :no WHERE kept AND {among}", no=False, **values
        )
        self._add(tx, number, "originals", gone)

    def unread(self, tx: Tx) -> int:
        """Count batches with bytes of which nobody knows whose rows they hold."""
        return int(
            tx.value("SELECT count(*) FROM batch WHERE kept AND state <> 'done'") or 0
        )

    # --- parcels ----------------------------------------------------------------------

    def parcels(self, tx: Tx) -> list[tuple[int, str]]:
        """Give numbers and batches of all parcels that are kept, drafts too."""
        rows = tx.rows("SELECT n, batch FROM parcel ORDER BY n")
        return [(int(row.n), row.batch.partition(".")[0]) for row in rows]

    def parcel(self, tx: Tx, number: int) -> bytes | None:
        """Give a parcel's rows as they are handed out."""
        held = tx.value("SELECT body FROM parcel WHERE n = :n", n=number)
        return None if held is None else bytes(held)

    def put_parcel(
        self, tx: Tx, erasure: int, number: int, rows: int, left: bytes, gone: int
    ) -> None:
        """Put what is left of a parcel in its place; one without rows goes."""
        if rows:
            tx.run(
                "UPDATE parcel SET rows = :rows, size = :size, body = :body "
                "WHERE n = :n",
                rows=rows,
                size=len(left),
                body=left,
                n=number,
            )
        else:
            tx.run("DELETE FROM parcel WHERE n = :n", n=number)
            tx.run("DELETE FROM parcel_turn WHERE parcel = :n", n=number)
        self._add(tx, erasure, "parcels", gone)

    # --- notices ----------------------------------------------------------------------

    def notices(self, tx: Tx) -> Iterator[Kept]:
        """Give what is kept of each notice, one at a time."""
        last = 0
        while rows := tx.rows(
            "SELECT n.n, p.name AS party FROM notice n JOIN party p ON p.n = n.party "
            "WHERE n.n > :last ORDER BY n.n LIMIT :page",
            last=last,
            page=_PAGE,
        ):
            for row in rows:
                last = int(row.n)
                found = self.notice(tx, last)
                if found is not None:
                    yield found

    def notice(self, tx: Tx, number: int) -> Kept | None:
        """Give what is kept of one notice."""
        row = tx.row(
            "SELECT n.n, p.name AS party, n.rows_csv, EXISTS (SELECT 1 FROM delivery d "
            "WHERE d.notice = n.n AND (d.state <> :ready OR d.tries > 0)) AS begun "
            "FROM notice n JOIN party p ON p.n = n.party WHERE n.n = :n",
            ready=str(Sending.READY),
            n=number,
        )
        if row is None:
            return None
        csv = zstandard.decompress(bytes(row.rows_csv))
        return Kept(int(row.n), row.party, csv, bool(row.begun))

    def drop_notice(self, tx: Tx, erasure: int, number: int) -> None:
        """Forget a notice that nobody got, and that it told of anything.

        What is left of its rows is told by the next one for that day.
        """
        tx.run("DELETE FROM delivery WHERE notice = :n", n=number)
        tx.run("DELETE FROM told WHERE notice = :n", n=number)
        tx.run("DELETE FROM notice WHERE n = :n", n=number)
        self._add(tx, erasure, "notices", 1)

    def blot_notice(self, tx: Tx, erasure: int, number: int, left: bytes) -> None:
        """Keep that a notice was sent, with what is left of its rows."""
        facts: dict[str, Any] = orjson.loads(
            tx.value("SELECT facts FROM notice WHERE n = :n", n=number)
        )
        # Places by name stand here; nothing else of it names a machine.
        facts["examples"] = []
        tx.run(
            "UPDATE notice SET facts = :facts, rows_csv = :csv WHERE n = :n",
            facts=orjson.dumps(facts).decode(),
            csv=zstandard.compress(left),
            n=number,
        )
        self._add(tx, erasure, "notices", 1)

    def forget_told(self, tx: Tx, parties: list[str]) -> None:
        """Forget of what findings these parties were told."""
        tx.run(
            "DELETE FROM told WHERE party IN (SELECT n FROM party WHERE "
            + tx.among("name", "parties")
            + ")",
            parties=tx.array(parties),
        )

    def _add(self, tx: Tx, number: int, count: str, more: int) -> None:
        tx.run(
            f"UPDATE erasure SET {count} = {count} + :more WHERE n = :n",
            more=more,
            n=number,
        )


_COUNTS: Final = ("events", "rejects", "batches", "originals", "parcels", "notices")
_COLUMNS: Final = "n, at, actor, reason, scope, about, lease, ended, " + ", ".join(
    _COUNTS
)


def _erasure(row: Any) -> Erasure:
    return Erasure(
        int(row.n),
        row.at,
        row.actor,
        row.reason,
        row.scope,
        row.about,
        row.lease,
        row.ended,
        *(int(getattr(row, name)) for name in _COUNTS),
    )
