"""Whom recalls are for, what each answered, and who is to be handed the answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from serantau.records.database import Tx

_MOST: Final = 500


@dataclass(frozen=True, slots=True)
class Addressee:
    """Somebody whom a recall is for.

    via: the relay that tells of it; empty: this node gave it the object. number: by
    which it is fetched. ways, got, versions: how and when it first got which. fetched:
    when its node fetched the recall, 0 never. state: of its answer, empty for none.
    answered: when it answered, as it says. answer: as it was signed; empty where a
    person wrote down, in `noted`, what was said.
    """

    party: str
    via: str
    number: int
    ways: str
    got: int
    versions: tuple[tuple[str, str], ...]
    fetched: int
    state: str
    answered: int
    answer: str
    noted: str
    changed: int


_ADDRESSEE: Final = (
    "SELECT party, via, number, ways, got, versions, fetched, state, answered, "
    "answer, noted, changed FROM recall_party "
)


class Addressees:
    """The rows of those whom recalls are for."""

    @staticmethod
    def address(
        tx: Tx,
        recall: int,
        party: str,
        *,
        ways: Iterable[str],
        got: int,
        versions: Sequence[tuple[str, str]],
    ) -> None:
        """Tell a party of a recall, once; its node fetches it by a number."""
        tx.run(
            _INSERT + " ON CONFLICT DO NOTHING",
            recall=recall,
            party=party,
            via="",
            number=tx.stamps(1),
            ways=", ".join(sorted(ways)),
            got=got,
            versions=orjson.dumps(versions).decode(),
            changed=tx.stamps(1),
        )

    @staticmethod
    def report(tx: Tx, recall: int, party: str, via: str = "") -> Addressee:
        """Give the row of a party, and make it where it is not there yet.

        Args:
            tx: a write transaction.
            recall: its number.
            party: whose answer is told.
            via: the relay that tells it; empty for this node itself.
        """
        tx.run(
            _INSERT + " ON CONFLICT DO NOTHING",
            recall=recall,
            party=party,
            via=via,
            number=0,
            ways="",
            got=0,
            versions="[]",
            changed=tx.stamps(1),
        )
        (found,) = _addressees(
            tx,
            "WHERE recall = :recall AND party = :party AND via = :via",
            recall=recall,
            party=party,
            via=via,
        )
        return found

    @staticmethod
    def parties(tx: Tx, recall: int) -> Sequence[Addressee]:
        """Give everybody whom a recall is for, by name."""
        return _addressees(
            tx, "WHERE recall = :recall ORDER BY party, via", recall=recall
        )

    @staticmethod
    def states(tx: Tx, recalls: Iterable[int]) -> dict[int, dict[str, str]]:
        """Give what each party of some recalls answered, "" for nothing."""
        found: dict[int, dict[str, str]] = {}
        for row in tx.rows(
            "SELECT recall, party, max(state) AS state FROM recall_party WHERE "
            + tx.among("recall", "recalls")
            + " GROUP BY recall, party",
            recalls=tx.array(recalls),
        ):
            found.setdefault(int(row.recall), {})[row.party] = row.state
        return found

    @staticmethod
    def told_by(tx: Tx, recall: int, via: str) -> int:
        """Count the parties that a relay has told of."""
        return int(
            tx.value(
                "SELECT count(*) FROM recall_party WHERE recall = :recall "
                "AND via = :via",
                recall=recall,
                via=via,
            )
        )

    @staticmethod
    def answer(
        tx: Tx,
        recall: int,
        party: str,
        via: str,
        *,
        state: str,
        at: int,
        answer: str = "",
        noted: str = "",
    ) -> None:
        """Write down what a party answers, in the row that is there."""
        tx.run(
            "UPDATE recall_party SET state = :state, answered = :at, answer = :answer, "
            "noted = :noted, changed = :changed WHERE recall = :recall "
            "AND party = :party AND via = :via",
            state=state,
            at=at,
            answer=answer,
            noted=noted.replace("\x00", " "),
            changed=tx.stamps(1),
            recall=recall,
            party=party,
            via=via,
        )

    # Fetching

    @staticmethod
    def addressed(
        tx: Tx, party: str, after: int, limit: int = _MOST
    ) -> Sequence[tuple[int, str, str]]:
        """Give what a party is to be told behind a number: (number, digest, signed)."""
        rows = tx.rows(
            "SELECT p.number, r.digest, r.signed FROM recall_party p "
            "JOIN recall r ON r.n = p.recall WHERE p.party = :party AND p.via = '' "
            "AND p.number > :after AND r.hold > 0 ORDER BY p.number LIMIT :most",
            party=party,
            after=max(after, 0),
            most=limit,
        )
        return [(int(row.number), row.digest, row.signed) for row in rows]

    @staticmethod
    def is_unsettled(tx: Tx, party: str, after: int) -> bool:
        """Say whether a party fetched something that is not noted as fetched."""
        return (
            tx.value(
                "SELECT 1 FROM recall_party WHERE party = :party AND via = '' "
                "AND number > 0 AND number <= :after AND fetched = 0 LIMIT 1",
                party=party,
                after=after,
            )
            is not None
        )

    @staticmethod
    def settle(tx: Tx, party: str, after: int) -> None:
        """Write down that a party's node has everything up to a number."""
        tx.run(
            "UPDATE recall_party SET fetched = :now WHERE party = :party AND via = '' "
            "AND number > 0 AND number <= :after AND fetched = 0",
            now=tx.clock.now(),
            party=party,
            after=after,
        )

    @staticmethod
    def fetched(tx: Tx, peer: str) -> int:
        """Give the number up to which this node has a peer's recalls."""
        found = tx.value("SELECT after FROM recall_fetched WHERE peer = :p", p=peer)
        return int(found or 0)

    @staticmethod
    def move(tx: Tx, peer: str, after: int) -> None:
        """Write down up to which number this node has a peer's recalls."""
        tx.run(
            "INSERT INTO recall_fetched (peer, after) VALUES (:peer, :after) "
            "ON CONFLICT (peer) DO UPDATE SET after = excluded.after",
            peer=peer,
            after=after,
        )

    @staticmethod
    def source(tx: Tx, recall: int, peer: str) -> None:
        """Write down that a recall came from a peer, who is to have the answers."""
        tx.run(
            "INSERT INTO recall_source (recall, peer, sent) VALUES (:recall, :peer, 0) "
            "ON CONFLICT DO NOTHING",
            recall=recall,
            peer=peer,
        )

    @staticmethod
    def sources(tx: Tx, recall: int) -> set[str]:
        """Name the peers from which a recall came."""
        rows = tx.rows(
            "SELECT peer FROM recall_source WHERE recall = :recall", recall=recall
        )
        return {row.peer for row in rows}

    @staticmethod
    def unsent(
        tx: Tx, peer: str, limit: int = _MOST
    ) -> Sequence[tuple[int, str, Addressee]]:
        """Give what a peer is to be handed back, oldest change first.

        Returns:
            The recall's number and digest, and the row that changed.
        """
        rows = tx.rows(
            "SELECT r.n, r.digest, p.* FROM recall_source s "
            "JOIN recall r ON r.n = s.recall "
            "JOIN recall_party p ON p.recall = s.recall WHERE s.peer = :peer "
            "AND p.changed > s.sent AND p.party <> :peer "
            "AND p.via <> :peer ORDER BY p.changed LIMIT :most",
            peer=peer,
            most=limit,
        )
        return [(int(row.n), row.digest, _addressee(row)) for row in rows]

    @staticmethod
    def sent(tx: Tx, recall: int, peer: str, changed: int) -> None:
        """Write down that a peer has all answers up to a change."""
        tx.run(
            "UPDATE recall_source SET sent = :changed "
            "WHERE recall = :recall AND peer = :peer AND sent < :changed",
            changed=changed,
            recall=recall,
            peer=peer,
        )


_INSERT: Final = (
    "INSERT INTO recall_party (recall, party, via, number, ways, got, versions, "
    "fetched, state, answered, answer, noted, changed) VALUES (:recall, :party, :via, "
    ":number, :ways, :got, :versions, 0, '', 0, '', '', :changed)"
)


def _addressees(tx: Tx, where: str, **values: Any) -> Sequence[Addressee]:
    return [_addressee(row) for row in tx.rows(_ADDRESSEE + where, **values)]


def _addressee(row: Any) -> Addressee:
    return Addressee(
        party=row.party,
        via=row.via,
        number=int(row.number),
        ways=row.ways,
        got=int(row.got),
        versions=tuple((one[0], one[1]) for one in orjson.loads(row.versions)),
        fetched=int(row.fetched),
        state=row.state,
        answered=int(row.answered),
        answer=row.answer,
        noted=row.noted,
        changed=int(row.changed),
    )
