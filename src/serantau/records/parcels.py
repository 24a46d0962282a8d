"""Parcels: event rows of other members, waiting for their nodes to fetch them.

They are written as drafts, some at a time. When a batch's last one is written, all of
them get their turns in one transaction: a turn is a stamp, so that a cursor over turns
never lies, and a batch that is packed anew after a crash is handed out once. What this
node fetches from others has cursors of its own here.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from serantau.records import tables
from serantau.records.database import Tx
from serantau.rules.marking import Tlp


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one member and one level, as an Arrow IPC stream."""

    member: str
    level: Tlp
    rows: int
    arrow: bytes


@dataclass(frozen=True, slots=True)
class Parcel:
    """A part with its turn as its number, as it is handed out."""

    number: int
    member: str
    batch: str
    level: Tlp
    rows: int
    arrow: bytes


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits for one member, per level.

    parcels, rows: that it has not fetched. oldest: when the first of them was made, as
    an instant. asked: when its node last asked, 0 never.
    """

    member: str
    level: Tlp
    parcels: int
    rows: int
    oldest: int
    asked: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """How far this node has fetched from a peer: up to which number, when, how many."""

    after: int = 0
    at: int = 0
    rows: int = 0


class Parcels:
    """The rows of parcels, and of how far they were fetched."""

    def has(self, tx: Tx, batch: str) -> bool:
        """Say whether a batch's parcels are handed out."""
        return bool(
            tx.row(
                "SELECT 1 FROM parcel p JOIN parcel_turn t ON t.parcel = p.n "
                "WHERE p.batch = :batch LIMIT 1",
                batch=batch,
            )
        )

    def draft(self, tx: Tx, batch: str, parts: Sequence[Part]) -> range:
        """Write some of a batch's parts; gives their numbers. Nobody gets them yet.

        Args:
            tx: a write transaction.
            batch: the SHA-256 of what they were read from.
            parts: of its rows.
        """
        if not parts:
            return range(0)
        first = tx.stamps(len(parts))
        now = tx.clock.now()
        tx.insert_many(
            tables.parcel,
            ("n", "member", "batch", "level", "rows", "size", "made", "body"),
            [
                (
                    first + place,
                    part.member,
                    batch,
                    int(part.level),
                    part.rows,
                    len(part.arrow),
                    now,
                    part.arrow,
                )
                for place, part in enumerate(parts)
            ],
        )
        return range(first, first + len(parts))

    def queue(self, tx: Tx, batch: str, drafts: Sequence[int]) -> int:
        """Hand out a batch, once; gives how many of its rows wait since now.

        Other drafts of the batch go: whoever wrote them was killed, or came later.

        Args:
            tx: a write transaction.
            batch: as the drafts name it.
            drafts: the numbers of all of them that hold its rows, each row once.
        """
        wanted = [] if self.has(tx, batch) else list(drafts)
        if wanted:
            first = tx.stamps(len(wanted))
            tx.run(
                "INSERT INTO parcel_turn (n, member, parcel) "
                "SELECT :first + row_number() OVER (ORDER BY n) - 1, member, n "
                "FROM parcel WHERE batch = :batch AND " + tx.among("n", "drafts"),
                first=first,
                batch=batch,
                drafts=tx.array(wanted),
            )
        tx.run(
            "DELETE FROM parcel WHERE batch = :batch "
            "AND NOT EXISTS (SELECT 1 FROM parcel_turn t WHERE t.parcel = parcel.n)",
            batch=batch,
        )
        if not wanted:
            return 0
        return int(
            tx.value(
                "SELECT coalesce(sum(rows), 0) FROM parcel WHERE batch = :batch",
                batch=batch,
            )
        )

    def after(
        self, tx: Tx, member: str, after: int, levels: Collection[Tlp]
    ) -> Parcel | None:
        """Give the first parcel of a member behind a number, of these levels only."""
        row = tx.row(
            "SELECT t.n, p.member, p.batch, p.level, p.rows, p.body "
            "FROM parcel_turn t JOIN parcel p ON p.n = t.parcel "
            "WHERE t.member = :member AND t.n > :after AND "
            + tx.among("p.level", "levels")
            + " ORDER BY t.n LIMIT 1",
            member=member,
            after=after,
            levels=tx.array(int(level) for level in levels),
        )
        if row is None:
            return None
        return Parcel(
            int(row.n), row.member, row.batch, Tlp(row.level), row.rows, bytes(row.body)
        )

    def last(self, tx: Tx, member: str) -> int:
        """Give the number of a member's newest parcel, 0 without one."""
        return int(
            tx.value(
                "SELECT max(n) FROM parcel_turn WHERE member = :member", member=member
            )
            or 0
        )

    def asked(self, tx: Tx, member: str, after: int) -> None:
        """Write down that a member's node has everything up to a number."""
        tx.run(
            "INSERT INTO parcel_asked (member, after, at) "
            "VALUES (:member, :after, :at) ON CONFLICT (member) DO UPDATE SET "
            "after = excluded.after, at = excluded.at",
            member=member,
            after=after,
            at=tx.clock.now(),
        )

    def asked_after(self, tx: Tx, member: str) -> int:
        """Give the number up to which a member's node has everything; -1 for never."""
        found = tx.value(
            "SELECT after FROM parcel_asked WHERE member = :member", member=member
        )
        return -1 if found is None else int(found)

    def waiting(self, tx: Tx) -> list[Waiting]:
        """Tell what waits, by member and level."""
        return [
            Waiting(
                row.member,
                Tlp(row.level),
                int(row.parcels),
                int(row.total),
                int(row.oldest),
                int(row.asked),
            )
            for row in tx.rows(
                "SELECT p.member, p.level, count(*) AS parcels, sum(p.rows) AS total, "
                "min(p.made) AS oldest, coalesce(max(a.at), 0) AS asked "
                "FROM parcel_turn t JOIN parcel p ON p.n = t.parcel "
                "LEFT JOIN parcel_asked a ON a.member = t.member "
                "WHERE t.n > coalesce(a.after, -1) "
                "GROUP BY p.member, p.level ORDER BY p.member, p.level"
            )
        ]

    def drop_fetched(self, tx: Tx, before: int) -> int:
        """Remove what was fetched and is older than an instant; gives how many.

        Drafts of that age go too: nobody is at them any more.
        """
        tx.run(
            "DELETE FROM parcel_turn WHERE n <= coalesce((SELECT after "
            "FROM parcel_asked a WHERE a.member = parcel_turn.member), -1) "
            "AND parcel IN (SELECT n FROM parcel WHERE made < :before)",
            before=before,
        )
        return tx.run(
            "DELETE FROM parcel WHERE made < :before "
            "AND NOT EXISTS (SELECT 1 FROM parcel_turn t WHERE t.parcel = parcel.n)",
            before=before,
        )

    def fetched(self, tx: Tx, peer: int) -> Fetched:
        """Tell how far this node has fetched from a peer, by its number."""
        row = tx.row(
            "SELECT after, at, rows FROM parcel_fetched WHERE peer = :peer", peer=peer
        )
        return Fetched() if row is None else Fetched(row.after, row.at, row.rows)

    def move(self, tx: Tx, peer: int, after: int, rows: int) -> None:
        """Write down that everything up to `after`, `rows` more, is here."""
        tx.run(
            "INSERT INTO parcel_fetched (peer, after, at, rows) "
            "VALUES (:peer, :after, :at, :rows) ON CONFLICT (peer) DO UPDATE SET "
            "after = excluded.after, at = excluded.at, "
            "rows = parcel_fetched.rows + excluded.rows",
            peer=peer,
            after=after,
            at=tx.clock.now(),
            rows=rows,
        )
