"""What is known of other nodes' logs: heads that were seen, receipts, alarms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from serantau.errors import NotFound
from serantau.records import acts, log_tables
from serantau.records.database import Tx
from serantau.rules.head import Head, Receipt

_KEPT = 100


class State(StrEnum):
    """How it stands with a receipt.

    promised: its leaf was not shown yet. proven: it is in the peer's tree. broken: it
    is not, or is not what was promised.
    """

    PROMISED = "promised"
    PROVEN = "proven"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class SeenHead:
    """A head that was seen. via: who showed it. signed: its text. proven: it fits."""

    number: int
    head: Head
    via: str
    signed: str
    seen: int
    proven: bool


@dataclass(frozen=True, slots=True)
class HeldReceipt:
    """A receipt that a peer gave. objects: digests of what was on the page."""

    number: int
    node: str
    digest: str
    at: int
    by: int
    count: int
    page: str
    objects: bytes
    signed: str
    state: State
    seq: int | None
    checked: int
    fault: str


@dataclass(frozen=True, slots=True)
class Alarm:
    """A node whose log is not what it was. first, second: what proves it."""

    number: int
    node: str
    at: int
    said: str
    first: str
    second: str


class Seen:
    """The rows of heads, receipts and alarms."""

    def head(self, tx: Tx, node: str) -> SeenHead | None:
        """Give the last head of a node that fits those before; None before any."""
        row = tx.row(
            "SELECT * FROM seen_head WHERE node = :node AND proven "
            "ORDER BY at DESC LIMIT 1",
            node=node,
        )
        return None if row is None else _head(row)

    def unproven(self, tx: Tx, node: str) -> list[SeenHead]:
        """Give heads of a node that others showed and that nothing is proven of."""
        rows = tx.rows(
            "SELECT * FROM seen_head WHERE node = :node AND NOT proven "
            "ORDER BY n LIMIT :most",
            node=node,
            most=_KEPT,
        )
        return [_head(row) for row in rows]

    def newest(self, tx: Tx, *, proven: bool = True) -> list[SeenHead]:
        """Give the last head of each node, by name."""
        rows = tx.rows(
            "SELECT h.* FROM seen_head h JOIN (SELECT node, max(at) AS at FROM "
            "seen_head WHERE proven = :proven GROUP BY node) x "
            "ON x.node = h.node AND x.at = h.at WHERE h.proven = :proven "
            "ORDER BY h.node LIMIT :most",
            proven=proven,
            most=_KEPT,
        )
        return [_head(row) for row in rows]

    def keep(self, tx: Tx, head: Head, signed: str, *, via: str, proven: bool) -> None:
        """Keep a head; of one tree the last one only, and some of each node."""
        tx.run(
            "INSERT INTO seen_head (node, via, log, size, root, at, signed, seen, "
            "proven) VALUES (:node, :via, :log, :size, :root, :at, :signed, :seen, "
            ":proven) ON CONFLICT (node, log, size, root) DO UPDATE SET "
            "at = CASE WHEN excluded.at > seen_head.at THEN excluded.at "
            "ELSE seen_head.at END, "
            "signed = CASE WHEN excluded.at > seen_head.at THEN excluded.signed "
            "ELSE seen_head.signed END, proven = (seen_head.proven OR excluded.proven)",
            node=head.node,
            via=via,
            log=head.log,
            size=head.size,
            root=head.root,
            at=head.at,
            signed=signed,
            seen=tx.clock.now(),
            proven=proven,
        )
        tx.run(
            "DELETE FROM seen_head WHERE node = :node AND proven = :proven AND n <= "
            "(SELECT n FROM seen_head WHERE node = :node AND proven = :proven "
            "ORDER BY n DESC LIMIT 1 OFFSET :kept)",
            node=head.node,
            proven=proven,
            kept=_KEPT,
        )

    def prove(self, tx: Tx, number: int) -> None:
        """Write down that a head fits the others."""
        tx.run("UPDATE seen_head SET proven = :yes WHERE n = :n", n=number, yes=True)

    def drop(self, tx: Tx, number: int) -> None:
        """Forget one head, after an alarm that keeps it."""
        tx.run("DELETE FROM seen_head WHERE n = :n", n=number)

    def forget(self, tx: Tx, node: str) -> None:
        """Forget a node's heads: its tree begins anew."""
        tx.run("DELETE FROM seen_head WHERE node = :node", node=node)

    # Receipts

    def keep_receipts(
        self, tx: Tx, several: Sequence[tuple[Receipt, str, bytes]]
    ) -> None:
        """Keep receipts: each with its text and the digests of the page's objects."""
        for receipt, signed, objects in several:
            tx.run(
                "INSERT INTO receipt (node, digest, at, by, count, page, objects, "
                "signed, state, checked, fault) VALUES (:node, :digest, :at, :by, "
                ":count, :page, :objects, :signed, :state, 0, '') "
                "ON CONFLICT (digest) DO NOTHING",
                node=receipt.node,
                digest=receipt.digest,
                at=receipt.at,
                by=receipt.by,
                count=receipt.count,
                page=receipt.page,
                objects=objects,
                signed=signed,
                state=State.PROMISED,
            )

    def promised(self, tx: Tx, node: str, limit: int, after: int) -> list[HeldReceipt]:
        """Give receipts of a node that nothing was proven of, behind a number."""
        rows = tx.rows(
            "SELECT * FROM receipt WHERE node = :node AND state = :state "
            "AND n > :after ORDER BY n LIMIT :limit",
            node=node,
            state=State.PROMISED,
            after=after,
            limit=limit,
        )
        return [_receipt(row) for row in rows]

    def receipts(self, tx: Tx, node: str, state: str, limit: int) -> list[HeldReceipt]:
        """Give the newest receipts, of one node and state or of all."""
        rows = tx.rows(
            "SELECT * FROM receipt WHERE (:node = '' OR node = :node) "
            "AND (:state = '' OR state = :state) ORDER BY n DESC LIMIT :limit",
            node=node,
            state=state,
            limit=limit,
        )
        return [_receipt(row) for row in rows]

    def settle(
        self, tx: Tx, number: int, state: State, seq: int | None = None, fault: str = ""
    ) -> None:
        """Write down what became of a receipt."""
        tx.run(
            "UPDATE receipt SET state = :state, seq = :seq, checked = :now, "
            "fault = :fault WHERE n = :n",
            n=number,
            state=state,
            seq=seq,
            now=tx.clock.now(),
            fault=fault,
        )

    def counts(self, tx: Tx) -> dict[tuple[str, str], int]:
        """Count the receipts by node and state."""
        return {
            (row.node, row.state): int(row.many)
            for row in tx.rows(
                "SELECT node, state, count(*) AS many FROM receipt GROUP BY node, state"
            )
        }

    # Alarms

    def raise_alarm(
        self, tx: Tx, node: str, said: str, first: str, second: str
    ) -> bool:
        """Raise an alarm; says whether it is a new one."""
        if tx.value(
            "SELECT 1 FROM log_alarm WHERE node = :node AND ended = 0 "
            "AND (said = :said OR (first = :first AND first <> ''))",
            node=node,
            said=said,
            first=first,
        ):
            return False
        tx.insert(
            log_tables.alarm,
            {
                "node": node,
                "at": tx.clock.now(),
                "said": said,
                "first": first,
                "second": second,
                "ended": 0,
                "actor": "",
                "reason": "",
            },
        )
        return True

    def alarms(self, tx: Tx, node: str = "") -> list[Alarm]:
        """Give the alarms that nobody has ended, of one node or of all."""
        rows = tx.rows(
            "SELECT * FROM log_alarm WHERE ended = 0 "
            "AND (:node = '' OR node = :node) ORDER BY n",
            node=node,
        )
        return [
            Alarm(row.n, row.node, row.at, row.said, row.first, row.second)
            for row in rows
        ]

    def accepted(self, tx: Tx, node: str) -> int:
        """Give when a person last took a node's tree for a new beginning; 0: never."""
        found = tx.value(
            "SELECT max(ended) FROM log_alarm WHERE node = :node", node=node
        )
        return int(found or 0)

    def end_alarms(self, tx: Tx, node: str, actor: str, reason: str) -> int:
        """End a node's alarms, for a reason; gives how many.

        Raises:
            NotFound: it has none.
        """
        ended = tx.run(
            "UPDATE log_alarm SET ended = :now, actor = :actor, reason = :reason "
            "WHERE node = :node AND ended = 0",
            now=tx.clock.now(),
            actor=actor,
            reason=reason,
            node=node,
        )
        if not ended:
            raise NotFound(
                f"There is no alarm about the log of {node!r}.",
                mend="`serantau ledger watch` shows them.",
            )
        acts.decided(tx, "ended alarms on a log", node, why=reason)
        return ended


def _head(row: Any) -> SeenHead:
    # What stands here was signed by its node, in this realm; its text says the rest.
    head = Head(
        at=row.at, log=row.log, node=row.node, realm="", root=row.root, size=row.size
    )
    return SeenHead(row.n, head, row.via, row.signed, row.seen, bool(row.proven))


def _receipt(row: Any) -> HeldReceipt:
    return HeldReceipt(
        number=row.n,
        node=row.node,
        digest=row.digest,
        at=row.at,
        by=row.by,
        count=row.count,
        page=row.page,
        objects=bytes(row.objects),
        signed=row.signed,
        state=State(row.state),
        seq=row.seq,
        checked=row.checked,
        fault=row.fault,
    )
