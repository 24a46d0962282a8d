"""Pins: which key a person said is whose; and how objects about keys are found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from serantau.errors import NotFound
from serantau.records import acts, tables
from serantau.records.database import Tx
from serantau.rules.key import Key, base64, unbase64
from serantau.rules.statement import TYPE
from serantau.rules.stix import id_key

SIGNED_WITH: Final = "signing-key"


@dataclass(frozen=True, slots=True)
class PinRow:
    """A pin as it is kept.

    fingerprint: as `rules.key.read_fingerprint` gave it. key: once it was met, and had
    this fingerprint. identity: whose it is, empty while nothing proved that. by: the
    user who compared it, `profile`, or `founding` for the node's own.
    """

    party: str
    fingerprint: str
    key: Key | None
    identity: str
    at: int
    by: str


class Pins:
    """The rows of pins."""

    def all(self, tx: Tx) -> list[PinRow]:
        """Give all pins, by party and age."""
        rows = tx.rows(
            "SELECT party, fingerprint, public, identity, at, by_whom FROM key_pin "
            "ORDER BY party, at, fingerprint"
        )
        return [_pin(row) for row in rows]

    def put(self, tx: Tx, pin: PinRow) -> None:
        """Keep a pin, in place of one with the same party and fingerprint."""
        tx.run(
            "DELETE FROM key_pin WHERE party = :party AND fingerprint = :fingerprint",
            party=pin.party,
            fingerprint=pin.fingerprint,
        )
        tx.insert_many(
            tables.key_pin,
            ("party", "fingerprint", "public", "identity", "at", "by_whom"),
            [
                (
                    pin.party,
                    pin.fingerprint,
                    base64(pin.key.public) if pin.key else "",
                    pin.identity,
                    pin.at,
                    pin.by,
                )
            ],
        )

    def drop(self, tx: Tx, party: str, fingerprint: str = "", why: str = "") -> int:
        """Forget a party's pins, or one of them; gives how many. `why`: the reason.

        Raises:
            NotFound: there is none.
        """
        dropped = tx.run(
            "DELETE FROM key_pin WHERE party = :party "
            "AND (:fingerprint = '' OR fingerprint = :fingerprint)",
            party=party,
            fingerprint=fingerprint,
        )
        if not dropped:
            raise NotFound(
                f"No such key is pinned for {party!r}.",
                mend="`serantau key list` shows what is.",
            )
        before = {"key": fingerprint or "all"}
        acts.decided(tx, "took a pin away", party, before=before, why=why)
        return dropped

    @staticmethod
    def signed_with(tx: Tx) -> str:
        """Give the id of the key that this node told others of; empty before."""
        told = tx.value("SELECT value FROM meta WHERE name = :name", name=SIGNED_WITH)
        return str(told or "")

    @staticmethod
    def sign_with(tx: Tx, key_id: str) -> None:
        """Write down which key this node tells others of."""
        tx.run("DELETE FROM meta WHERE name = :name", name=SIGNED_WITH)
        tx.run(
            "INSERT INTO meta (name, value) VALUES (:name, :key)",
            name=SIGNED_WITH,
            key=key_id,
        )

    @staticmethod
    def statements(tx: Tx, identities: Iterable[str]) -> list[tuple[int, bytes]]:
        """Give stamp and body of each statement about these, as they came."""
        return _referring(tx, "subject_ref", identities, TYPE)

    @staticmethod
    def made_by(
        tx: Tx, identity: str, since: int = 0, limit: int = 1 << 40
    ) -> list[tuple[int, bytes]]:
        """Give stamp and body of what an identity made that came since an instant."""
        return _referring(tx, "created_by_ref", [identity], "", since, limit)

    @staticmethod
    def identities(tx: Tx) -> list[tuple[int, bytes]]:
        """Give stamp and body of every identity object; an index finds them."""
        rows = tx.rows(
            "SELECT o.added, o.body FROM marking_set m JOIN object o "
            "ON o.slot IN (2 * m.n, 2 * m.n + 1) AND o.type = "
            "(SELECT n FROM word WHERE text = 'identity') ORDER BY o.added"
        )
        return [(int(row.added), bytes(row.body)) for row in rows]

    @staticmethod
    def rewrite(tx: Tx, bodies: Iterable[tuple[int, bytes]]) -> None:
        """Put another signature into versions that are here, by stamp.

        Nothing else of a body may differ: a version is the same for all time.
        """
        for added, body in bodies:
            tx.run(
                "UPDATE object SET body = :body WHERE added = :added",
                body=body,
                added=added,
            )


def _referring(
    tx: Tx,
    kind: str,
    identities: Iterable[str],
    type_: str,
    since: int = 0,
    limit: int = 1 << 40,
) -> list[tuple[int, bytes]]:
    wanted = set(identities)
    if not wanted:
        return []
    rows = tx.rows(
        "SELECT o.added, o.body FROM edge e JOIN object o ON o.added = e.source "
        "WHERE e.kind = (SELECT n FROM word WHERE text = :kind) AND o.added >= :since "
        "AND (:type = '' OR o.type = (SELECT n FROM word WHERE text = :type)) AND "
        + tx.among("e.target", "targets")
        + " ORDER BY o.added LIMIT :most",
        kind=kind,
        type=type_,
        since=since,
        most=limit,
        targets=tx.array({id_key(each) for each in wanted}),
    )
    found = [(int(row.added), bytes(row.body)) for row in rows]
    # Two ids may have one key; what an object says is in it.
    return [one for one in found if orjson.loads(one[1]).get(kind) in wanted]


def _pin(row: Any) -> PinRow:
    return PinRow(
        party=row.party,
        fingerprint=row.fingerprint,
        key=Key.of(unbase64(row.public)) if row.public else None,
        identity=row.identity,
        at=int(row.at),
        by=row.by_whom,
    )
