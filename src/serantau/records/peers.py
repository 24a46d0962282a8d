"""Peers: the servers that this node pulls from, and how far each pull has come.

A cursor is written in the transaction that admitted the page it stands behind. So after
a crash the next pull goes on exactly there: nothing is lost, and nothing comes twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from serantau.errors import BadRequest, NotFound
from serantau.records import acts, tables
from serantau.records.database import Tx
from serantau.records.seal import Seal
from serantau.rules.marking import Tlp
from serantau.rules.party import NAME
from serantau.rules.trust import Demand


@dataclass(frozen=True, slots=True)
class Peer:
    """A server to pull from.

    name: what this node calls it; for a member's node, the party's name. url: its API
    root, discovery or bare address. collection: id or alias; empty for every one that
    the login may read. user: for Basic authentication; empty when `secret` is a bearer
    token. secret: password or token, in clear only here. certificate: PEM file of the
    only authorities to trust for it, empty for the system's. handle_as: TLP label for
    what arrives unmarked; empty as the configuration says. signatures: what is asked of
    its objects' signatures (`rules.trust.Demand`).
    """

    name: str
    url: str
    collection: str = ""
    user: str = ""
    secret: str = field(default="", repr=False)
    certificate: str = ""
    handle_as: str = ""
    signatures: str = Demand.MEMBERS.value
    enabled: bool = True
    created: int = 0
    number: int = 0


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far one collection of a peer was pulled.

    added_after: the last page's end as the peer wrote it, empty at the start. pulled,
    held, refused: objects since the beginning. at: when this node last had everything
    that was there, as an instant; 0 before. fault: why the last pull broke off, empty
    when it did not.
    """

    collection: str
    added_after: str = ""
    pulled: int = 0
    held: int = 0
    refused: int = 0
    at: int = 0
    fault: str = ""


class Peers:
    """The rows of peers and cursors."""

    def add(self, tx: Tx, peer: Peer, seal: Seal) -> Peer:
        """Add a peer, or change the one of that name; its cursors stay.

        Cursors belong to an address: with another `url` the pull begins anew.

        Raises:
            BadRequest: a name or a TLP label that is none.
        """
        if not NAME.fullmatch(peer.name):
            raise BadRequest(
                f"{peer.name!r} is not a peer's name: "
                "lower-case letters, digits and hyphens, as in 'th' or 'feed-1'."
            )
        if peer.handle_as:
            try:
                Tlp.parse(peer.handle_as)
            except ValueError as fault:
                raise BadRequest(str(fault)) from fault
        if peer.signatures not in list(Demand):
            raise BadRequest(
                f"{peer.signatures!r} is nothing that is asked of signatures.",
                mend=f"Expected one of {', '.join(Demand)}.",
            )
        values: dict[str, Any] = {
            "name": peer.name,
            "url": peer.url,
            "collection": peer.collection,
            "user_name": peer.user,
            "secret": seal.seal(peer.secret),
            "certificate": peer.certificate,
            "handle_as": peer.handle_as,
            "signatures": peer.signatures,
            "enabled": peer.enabled,
        }
        held = tx.row("SELECT * FROM peer WHERE name = :name", name=peer.name)
        # What the secret is nobody is told; that it is another one is.
        told = {name: said for name, said in values.items() if name != "secret"}
        before = None if held is None else acts.as_told(held, told)
        if held is not None and seal.open(held.secret) != peer.secret:
            told["secret"] = "another"  # noqa: S105 - only that it is another
        what = "added a peer" if held is None else "changed a peer"
        acts.decided(tx, what, peer.name, before=before, after=told)
        if held is None:
            tx.insert(tables.peer, {**values, "created": tx.clock.now()})
        else:
            fields = ", ".join(f"{name} = :{name}" for name in values)
            tx.run(f"UPDATE peer SET {fields} WHERE name = :name", **values)
            if held.url != peer.url:
                tx.run("DELETE FROM cursor WHERE peer = :peer", peer=held.n)
        return self.get(tx, peer.name, seal)

    def enable(self, tx: Tx, name: str, enabled: bool, why: str = "") -> None:
        """Pull from a peer, or no longer; `why`: the reason, if one was given."""
        if not tx.run(
            "UPDATE peer SET enabled = :enabled WHERE name = :name",
            enabled=enabled,
            name=name,
        ):
            raise _unknown(name)
        what = "follows a peer" if enabled else "paused a peer"
        acts.decided(tx, what, name, why=why)

    def remove(self, tx: Tx, name: str, why: str = "") -> None:
        """Forget a peer and its cursors; what came from it stays. `why`: the reason."""
        number = tx.value("SELECT n FROM peer WHERE name = :name", name=name)
        if number is None:
            raise _unknown(name)
        tx.run("DELETE FROM cursor WHERE peer = :peer", peer=number)
        tx.run("DELETE FROM peer WHERE n = :peer", peer=number)
        acts.decided(tx, "removed a peer", name, why=why)

    def get(self, tx: Tx, name: str, seal: Seal) -> Peer:
        """Give one peer, its secret opened.

        Raises:
            NotFound: no peer has this name.
            ConfigError: its secret was sealed with another key.
        """
        row = tx.row("SELECT * FROM peer WHERE name = :name", name=name)
        if row is None:
            raise _unknown(name)
        return _peer(row, seal.open(row.secret))

    def cursor(self, tx: Tx, peer: Peer, collection: str) -> Cursor:
        """Give how far a collection was pulled; one at the start when it never was."""
        row = tx.row(
            "SELECT * FROM cursor WHERE peer = :peer AND collection = :collection",
            peer=peer.number,
            collection=collection,
        )
        return Cursor(collection) if row is None else _cursor(row)

    def cursors(self, tx: Tx, peer: Peer) -> list[Cursor]:
        """List how far each collection of a peer was pulled."""
        return [
            _cursor(row)
            for row in tx.rows(
                "SELECT * FROM cursor WHERE peer = :peer ORDER BY collection",
                peer=peer.number,
            )
        ]

    def advance(
        self,
        tx: Tx,
        peer: Peer,
        collection: str,
        *,
        resume: str,
        pulled: int,
        held: int,
        refused: int,
    ) -> None:
        """Move a cursor past a page, in the transaction that admitted it.

        Args:
            tx: that transaction.
            peer: the peer.
            collection: the collection's id.
            resume: where the next page begins; empty leaves the place as it is.
            pulled: objects of the page that were new here.
            held: objects of the page that were here already.
            refused: objects of the page that went to quarantine.

        Raises:
            NotFound: the peer was removed meanwhile; the page is not to be kept.
        """
        if tx.row("SELECT 1 FROM peer WHERE n = :peer", peer=peer.number) is None:
            raise _unknown(peer.name)
        self._touch(tx, peer, collection)
        tx.run(
            "UPDATE cursor SET pulled = pulled + :pulled, held = held + :held, "
            "refused = refused + :refused, added_after = "
            "CASE WHEN :resume = '' THEN added_after ELSE :resume END "
            "WHERE peer = :peer AND collection = :collection",
            resume=resume,
            pulled=pulled,
            held=held,
            refused=refused,
            peer=peer.number,
            collection=collection,
        )

    def ended(self, tx: Tx, peer: Peer, collection: str, fault: str) -> None:
        """Write down that a pull came to its end now, or why it broke off.

        An empty `collection` stands for the peer as a whole.
        """
        if tx.row("SELECT 1 FROM peer WHERE n = :peer", peer=peer.number) is None:
            return
        self._touch(tx, peer, collection)
        tx.run(
            "UPDATE cursor SET fault = :fault, "
            "at = CASE WHEN :fault = '' THEN :at ELSE at END "
            "WHERE peer = :peer AND collection = :collection",
            at=tx.clock.now(),
            fault=fault,
            peer=peer.number,
            collection=collection,
        )

    def rewind(self, tx: Tx, peer: Peer) -> None:
        """Let the next pull begin anew; what is here already is only compared."""
        tx.run(
            "UPDATE cursor SET added_after = '' WHERE peer = :peer", peer=peer.number
        )

    @staticmethod
    def _touch(tx: Tx, peer: Peer, collection: str) -> None:
        tx.run(
            "INSERT INTO cursor (peer, collection, added_after, pulled, held, refused, "
            "at, fault) VALUES (:peer, :collection, '', 0, 0, 0, 0, '') "
            "ON CONFLICT (peer, collection) DO NOTHING",
            peer=peer.number,
            collection=collection,
        )

    def list(self, tx: Tx) -> list[Peer]:
        """List the peers by name, without their secrets."""
        return [_peer(row, "") for row in tx.rows("SELECT * FROM peer ORDER BY name")]


def _unknown(name: str) -> NotFound:
    return NotFound(
        f"No peer is named {name!r}.", mend="`serantau peer list` shows them."
    )


def _peer(row: Any, secret: str) -> Peer:
    return Peer(
        name=row.name,
        url=row.url,
        collection=row.collection,
        user=row.user_name,
        secret=secret,
        certificate=row.certificate,
        handle_as=row.handle_as,
        signatures=row.signatures,
        enabled=bool(row.enabled),
        created=int(row.created),
        number=int(row.n),
    )


def _cursor(row: Any) -> Cursor:
    return Cursor(
        collection=row.collection,
        added_after=row.added_after,
        pulled=int(row.pulled),
        held=int(row.held),
        refused=int(row.refused),
        at=int(row.at),
        fault=row.fault,
    )
