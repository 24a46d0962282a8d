"""The release log as others may check it: sealed, its heads signed, its leaves shown.

A leaf is shown to two only: to the party that got the page, and to the creator of an
object on it, who is shown that object and no other. Names of circles are on no leaf and
in no answer.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import orjson
import structlog

from serantau.errors import BadRequest, Forbidden, NotFound, SerantauError
from serantau.node import Node
from serantau.records import tree
from serantau.records.database import Tx
from serantau.records.leaves import (
    KIND,
    Leaves,
    created_by,
    digests_of,
    given_to,
    held_versions,
    page_digests,
    stamps_of,
)
from serantau.records.ledger import set_keys, unpack, verdict_of
from serantau.records.registry import Caller
from serantau.records.tree import Log, Reading
from serantau.rules.head import Head, signed_text
from serantau.rules.leaf import (
    RELEASE,
    Entry,
    Shown,
    page_leaves,
    salts_of,
    shown,
)
from serantau.rules.proof import Proof, signed

_SECOND: Final = 1_000_000
# A head is signed anew when the tree has grown, and at least this often.
_HEAD_SECONDS: Final = 600
_RECEIPTS: Final = 100
_ENTRIES: Final = 50
OPENED: Final = 200
"""Objects of one row that its proof opens at most."""
_LOOKED_AT: Final = 2000
_LOOK_SECONDS: Final = 0.5
# What a request may wait for until everything is sealed.
_SEAL_SECONDS: Final = 0.5
# While pages are served, sealing takes one part in so many of the time.
_BUSY_PARTS: Final = 20
_IDLE_SECONDS: Final = 1.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SignedHead:
    """A head, and the text that was signed."""

    head: Head
    text: str


class Book:
    """The tree over one node's release log."""

    def __init__(self, node: Node) -> None:
        """Keep the tree of `node`."""
        self._node = node
        self.leaves = Leaves(node.config.node.member)

    # Sealing

    def seal(self, seconds: float | None = None) -> bool:
        """Make leaves of what waits; says whether nothing waits any more.

        Args:
            seconds: how long it may take; as long as it takes when None.
        """
        until = None if seconds is None else time.monotonic() + seconds
        while self.leaves.seal(self._node.db):
            if until is not None and time.monotonic() > until:
                return False
        return True

    def run(self, stop: threading.Event) -> None:
        """Seal until `stop`, and let pages go first while they are asked for.

        A row that waits for half as long as was promised goes before them.
        """
        while not stop.is_set():
            began = time.monotonic()
            try:
                sealed = self.leaves.seal(self._node.db)
                pause = _IDLE_SECONDS
                if sealed and not self._late():
                    pause = _BUSY_PARTS * (time.monotonic() - began)
                elif sealed:
                    pause = 0.0
            except SerantauError as fault:
                _log.error("log_not_sealed", fault=str(fault))
                pause = _IDLE_SECONDS * 10
            stop.wait(pause)

    def _late(self) -> bool:
        half = int(self._node.config.ledger.promise_seconds * _SECOND / 2)
        with self._node.db.read() as tx:
            oldest = tx.value(
                "SELECT at FROM ledger.release WHERE n > coalesce((SELECT row FROM "
                "ledger.sealed WHERE kind = :kind), 0) ORDER BY n LIMIT 1",
                kind=KIND,
            )
            return oldest is not None and tx.clock.now() - int(oldest) > half

    # Heads

    def head(self, seconds: float | None = _SEAL_SECONDS) -> SignedHead:
        """Give the signed head of the tree, after sealing what waits.

        Args:
            seconds: how long sealing may take; as long as it takes when None.
        """
        self.seal(seconds)
        with self._node.db.read() as tx:
            held = self._last(tx)
        return held or self._sign()

    def _last(self, tx: Tx) -> SignedHead | None:
        """Give the last head if it is still the one to be shown."""
        row = tx.row(
            "SELECT h.at, h.size, h.root, h.signed, l.id FROM ledger.tree_head h "
            "JOIN ledger.log l ON l.size = h.size ORDER BY h.at DESC LIMIT 1"
        )
        if row is None or tx.clock.now() - row.at > _HEAD_SECONDS * _SECOND:
            return None
        return SignedHead(self._head(row.id, row.size, row.root, row.at), row.signed)

    def _head(self, log: str, size: int, root: str, at: int) -> Head:
        node = self._node.config.node
        return Head(
            at=at, log=log, node=node.member, realm=node.realm, root=root, size=size
        )

    def _sign(self) -> SignedHead:
        signer = self._node.signer
        with self._node.db.ledger() as tx:
            log = _log_of(tx)
            root = Reading(tx).root(log.size).hex()
            last = tx.value("SELECT max(at) FROM ledger.tree_head")
            # A clock that went back must not make an older head of a larger tree.
            at = max(tx.clock.now(), int(last or 0) + 1)
            head = self._head(log.id, log.size, root, at)
            text = signed_text(head, signer.jws)
            tx.run(
                "INSERT INTO ledger.tree_head (at, size, root, signed) "
                "VALUES (:at, :size, :root, :signed)",
                at=at,
                size=log.size,
                root=root,
                signed=text,
            )
        return SignedHead(head, text)

    def consistency(self, first: int, second: int) -> list[str]:
        """Prove that the tree has only grown between two sizes.

        Raises:
            BadRequest: it never had these.
        """
        with self._node.db.read() as tx:
            _check_size(_log_of(tx), second)
            try:
                path = Reading(tx).consistency(first, second)
            except ValueError as fault:
                raise BadRequest(str(fault)) from fault
        return [one.hex() for one in path]

    # What recipients are shown

    def receipts(
        self, caller: Caller, digests: Sequence[str], size: int
    ) -> dict[str, Entry]:
        """Show a party the leaves of the receipts that it holds; by their digests.

        Those that are no leaves of a tree of this size are left out, and so are those
        of others.

        Raises:
            BadRequest: too many at a time, or a size that the tree never had.
        """
        if len(digests) > _RECEIPTS:
            raise BadRequest(f"{len(digests)} receipts, expected {_RECEIPTS} at most.")
        with self._node.db.read() as tx:
            log = _log_of(tx)
            _check_size(log, size)
            found = given_to(tx, caller.party_number, digests, size)
            reading = Reading(tx)
            return {
                digest: self._whole(tx, log, reading, seq, size)
                for digest, seq in found.items()
            }

    def _whole(self, tx: Tx, log: Log, reading: Reading, seq: int, size: int) -> Entry:
        """Show a leaf to the party that it is about: all of its page."""
        row = self._row(tx, seq)
        salts = salts_of(log.secret, RELEASE, row.n)
        entry = self._entry(log, reading, seq, row, size)
        return msgspec.structs.replace(
            entry,
            recipient=row.recipient,
            recipient_salt=salts.recipient.hex(),
            page_salt=salts.objects.hex(),
        )

    def _row(self, tx: Tx, seq: int) -> Any:
        for _, row in self.leaves.each(tx, seq, seq + 1):
            if row is not None:
                return row
        raise NotFound(f"The release log has no row of leaf {seq} any more.")

    def _entry(
        self, log: Log, reading: Reading, seq: int, row: Any, size: int
    ) -> Entry:
        text = self.leaves.text(log, seq, row, row.recipient, row.objects)
        path = [one.hex() for one in reading.inclusion(seq, size)]
        return Entry(leaf=text.decode(), path=path)

    # What creators are shown

    def passed(self, caller: Caller, object_id: str = "", after: int = 0) -> Proof:
        """Show a creator to whom its objects were passed, some leaves at a time.

        Args:
            caller: who asks, as a party with an identity.
            object_id: only this object; every one that it created when empty.
            after: the first leaf to look at.

        Raises:
            Forbidden: it is not known which objects the caller has created, or its
                party's access has ended.
            BadRequest: there is no such leaf.
        """
        identity = caller.party.identity
        party = caller.party
        if party.blocked or not party.active(self._node.clock.now()):
            raise Forbidden("Your party's access to this node has ended.")
        if caller.own or not identity:
            raise Forbidden(
                "This node does not know which objects you have created.",
                mend="Its operators say it: `serantau party add NAME --identity ID`.",
            )
        held = self.head()
        return self._proof(held, caller.party.name, identity, object_id, after)

    def prove(self, object_id: str, after: int = 0) -> Proof:
        """Show the node's own people to whom an object was passed."""
        return self._proof(self.head(None), "", "", object_id, after)

    def prove_row(self, number: int, object_id: str = "") -> Proof:
        """Show the node's own people one row of the release log, with what went.

        Args:
            number: of the row.
            object_id: open only this object; all that are here when empty.

        Raises:
            NotFound: there is no such row, or no leaf of it yet.
            BadRequest: too many objects to open them all.
        """
        held = self.head()
        size = held.head.size
        with self._node.db.read() as tx:
            seq = tx.value(
                "SELECT n FROM ledger.leaf WHERE kind = :kind AND row = :row "
                "AND n < :size",
                kind=KIND,
                row=number,
                size=size,
            )
            if seq is None:
                raise NotFound(
                    f"The tree has no leaf of row {number}.",
                    mend="If it left just now, ask again in a minute.",
                )
            stamps = stamps_of(self._row(tx, int(seq)))
            if object_id:
                of_it = set(created_by(tx, "", object_id))
                stamps = [stamp for stamp in stamps if stamp in of_it]
            if len(stamps) > OPENED:
                raise BadRequest(
                    f"{len(stamps):,} objects went, and a proof opens {OPENED} of one "
                    "row at most.",
                    mend="Ask for the proof of one of them.",
                )
            log, reading = _log_of(tx), Reading(tx)
            entry = self._opened(tx, log, reading, int(seq), size, stamps, "")
            proof = Proof(
                after=int(seq),
                asker="",
                at=tx.clock.now(),
                entries=[entry],
                head=held.text,
                node=self._node.config.node.member,
                object=object_id,
                through=int(seq) + 1,
            )
        return signed(proof, self._node.signer.jws)

    def _proof(
        self, held: SignedHead, asker: str, identity: str, object_id: str, after: int
    ) -> Proof:
        size = held.head.size
        with self._node.db.read() as tx:
            log = _log_of(tx)
            if not 0 <= after <= size:
                raise BadRequest(f"after is {after}, expected a leaf up to {size}.")
            created = created_by(tx, identity, object_id)
            found, through = self._look(tx, created, asker, after, size)
            reading = Reading(tx)
            opened = [
                self._opened(tx, log, reading, seq, size, stamps, identity)
                for seq, stamps in found
            ]
            proof = Proof(
                after=after,
                asker=asker,
                at=tx.clock.now(),
                # A leaf of which nothing is the asker's is not shown at all.
                entries=[entry for entry in opened if entry.objects],
                head=held.text,
                node=self._node.config.node.member,
                object=object_id,
                through=through,
            )
        return signed(proof, self._node.signer.jws)

    @staticmethod
    def _look(
        tx: Tx, created: Sequence[int], asker: str, after: int, size: int
    ) -> tuple[list[tuple[int, list[int]]], int]:
        """Find leaves whose pages hold some stamps, and say how far was looked."""
        found: list[tuple[int, list[int]]] = []
        if not created:
            return found, size
        until = time.monotonic() + _LOOK_SECONDS
        while after < size:
            end = min(after + _LOOKED_AT, size)
            for row in tx.rows(
                "SELECT l.n, r.stamps FROM ledger.leaf l "
                "JOIN ledger.release r ON r.n = l.row AND l.kind = :kind "
                "WHERE l.n >= :after AND l.n < :end AND l.recipient <> :asker "
                "AND r.high >= :low AND r.low <= :high ORDER BY l.n",
                kind=KIND,
                after=after,
                end=end,
                asker=asker,
                low=created[0],
                high=created[-1],
            ):
                stamps = list(_common(created, unpack(bytes(row.stamps))))
                if stamps:
                    found.append((int(row.n), stamps))
                if len(found) == _ENTRIES:
                    return found, int(row.n) + 1
            after = end
            if time.monotonic() > until:
                break
        return found, after

    def _opened(
        self,
        tx: Tx,
        log: Log,
        reading: Reading,
        seq: int,
        size: int,
        stamps: Sequence[int],
        identity: str,
    ) -> Entry:
        """Show a leaf with some objects of its page, and its recipient if it may be."""
        row = self._row(tx, seq)
        salts = salts_of(log.secret, RELEASE, row.n)
        every = stamps_of(row)
        leaves = page_leaves(salts.objects, page_digests(digests_of(tx, every), every))
        kind = self._kind(tx, row.recipient)
        entry = msgspec.structs.replace(
            self._entry(log, reading, seq, row, size),
            kind=kind,
            width=len(leaves),
            objects=list(_shown(tx, row, stamps, identity, leaves, salts.objects)),
        )
        if identity and kind not in self._node.config.ledger.named:
            return entry
        return msgspec.structs.replace(
            entry, recipient=row.recipient, recipient_salt=salts.recipient.hex()
        )

    def _kind(self, tx: Tx, name: str) -> str:
        held = self._node.registry.parties(tx).get(name)
        return str(held[1].kind) if held is not None else ""


def _shown(
    tx: Tx,
    row: Any,
    stamps: Sequence[int],
    identity: str,
    leaves: Sequence[bytes],
    salt: bytes,
) -> Iterable[Shown]:
    content = tx.value(
        "SELECT content FROM ledger.grant_view WHERE n = :n", n=row.grant_view
    )
    granted = orjson.loads(content) if content else {}
    for held in held_versions(tx, stamps):
        # Two ids may have one key in the index; who created an object stands in it.
        if identity not in ("", held.creator):
            continue
        keys = set_keys(tx, held.stamp, held.marking_set)
        # The name of the rule only: its words may name a circle.
        rule = verdict_of(granted, keys)[0] if keys else ""
        try:
            yield shown(leaves, salt, held.id, held.version, held.sha256, rule)
        except ValueError:
            _log.error("object_not_as_sealed", id=held.id)


def _common(stamps: Sequence[int], runs: Iterable[tuple[int, int]]) -> Iterable[int]:
    """Give the stamps, which are in order, that lie in some runs."""
    for first, last in runs:
        place = bisect_left(stamps, first)
        while place < len(stamps) and stamps[place] <= last:
            yield stamps[place]
            place += 1


def _log_of(tx: Tx) -> Log:
    log = tree.held(tx)
    if log is None:
        raise NotFound("The release log has no tree yet.")
    return log


def _check_size(log: Log, size: int) -> None:
    if not 0 <= size <= log.size:
        raise BadRequest(f"The tree has {log.size} leaves, not {size}.")
