"""Watching the logs of peers: that none forgets, forks or breaks a promise.

Heads are believed only under a key that a person pinned. What two heads of one node
prove against it is kept as an alarm, with both of them as they were signed: whoever has
the key can see it for himself. Peers tell each other which heads they saw, so that a
node that shows two histories is found out by any two that it showed them to.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import structlog

from serantau import typed
from serantau.desk.keys import Keys
from serantau.errors import PeerError
from serantau.node import Node
from serantau.records import tree
from serantau.records.database import Tx
from serantau.records.pins import Pins
from serantau.records.registry import Caller
from serantau.records.seen import Alarm, HeldReceipt, Seen, SeenHead, State
from serantau.records.tree import Reading
from serantau.rules.head import (
    Head,
    Receipt,
    differ,
    read_head,
    read_receipt,
    take_apart,
)
from serantau.rules.key import Key
from serantau.rules.key import State as KeyState
from serantau.rules.leaf import Entry, fault_of, hashes, holds_page, read_leaf
from serantau.rules.leaf import object_digest as digest_of
from serantau.rules.party import Kind
from serantau.rules.receipt import HASH_BYTES, continues
from serantau.wire.client import PageIn, TaxiiClient
from serantau.wire.connection import Connection
from serantau.wire.ledger import ask_consistency, ask_head, ask_receipts

_AT_ONCE: Final = 100
_BATCHES: Final = 10
_PATIENCE: Final = 3_600_000_000
_STALE: Final = 86_400_000_000
_MEMBERS: Final = (Kind.MEMBER, Kind.COORDINATOR)

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Watched:
    """What a look at a peer's log told.

    node: the member whose log it is, empty where the peer has none. size: of its tree
    now. proven: receipts whose leaves it showed. waiting: receipts that it did not.
    alarms: what is wrong with it. fault: why it could not be looked at, or empty.
    """

    peer: str
    node: str = ""
    size: int = 0
    proven: int = 0
    waiting: int = 0
    alarms: list[str] = field(default_factory=list)
    fault: str = ""


class _Wrong(Exception):
    """Something that a log should not show, with what proves it."""

    def __init__(self, said: str, first: str = "", second: str = "") -> None:
        super().__init__(said)
        self.first = first
        self.second = second


class Watch:
    """Looks at the logs of peers, for one node."""

    def __init__(self, node: Node) -> None:
        """Watch for `node`."""
        self._node = node
        self._keys = Keys(node)
        self._lock = threading.Lock()
        self._arrived: list[tuple[Receipt, str, bytes]] = []
        self.rows = Seen()

    def seen(self, caller: Caller) -> list[str]:
        """Give the last head of each node that was seen, to a member's node."""
        if caller.party.kind not in _MEMBERS:
            return []
        with self._node.db.read() as tx:
            return [one.signed for one in self.rows.newest(tx)]

    # Receipts

    def arrived(self, page: PageIn, member: str) -> None:
        """Take the receipt of a page that arrived; `keep` makes it durable."""
        if not (page.receipt and member):
            return
        try:
            receipt = read_receipt(take_apart(page.receipt))
        except ValueError as fault:
            _log.warning("no_receipt", node=member, fault=str(fault))
            return
        whole = hashlib.sha256(b",".join(page.objects)).hexdigest()
        own = self._node.config.node.member
        if (receipt.node, receipt.page) != (member, whole) or receipt.recipient != own:
            # It is told when it is looked at: a receipt for something else is none.
            receipt = msgspec.structs.replace(receipt, node=member, page=whole)
        digests = {digest for raw in page.objects if (digest := _digest(raw))}
        with self._lock:
            self._arrived.append((receipt, page.receipt, b"".join(sorted(digests))))

    def keep(self, tx: Tx) -> None:
        """Write down the receipts that arrived."""
        with self._lock:
            several, self._arrived = self._arrived, []
        self.rows.keep_receipts(tx, several)

    # Looking

    def look(self, peer: str, client: TaxiiClient) -> Watched:
        """Look at the log of a peer over a line that is open; raises nothing of its."""
        found = Watched(peer)
        if self._arrived:
            with self._node.db.write() as tx:
                self.keep(tx)
        try:
            found.node = client.api_root().member
            if found.node == peer:
                self._look(found, client.line)
            elif found.node:
                # Nobody raises an alarm about another by giving itself its name.
                found.fault = f"it is followed as {peer} and says it is {found.node}"
                found.node = ""
        except PeerError as fault:
            found.fault = str(fault)
        with self._node.db.read() as tx:
            alarms = self.rows.alarms(tx, found.node) if found.node else []
        found.alarms = [alarm.said for alarm in alarms]
        return found

    def _look(self, found: Watched, line: Connection) -> None:
        member = found.node
        with self._node.db.read() as tx:
            keys = self.keys_of(tx, member)
            known = self.rows.head(tx, member)
        if not keys:
            found.fault = (
                f"no key of {member} is pinned, so nothing that its log shows is "
                f"believed: `serantau key pin {member}`"
            )
            return
        told = ask_head(line, known.head.size if known is not None else 0)
        try:
            head = self._head(told.head, member, keys)
            self._compare(known, head, told.head, told.path)
        except _Wrong as wrong:
            self._alarm(member, wrong)
            return
        found.size = head.size
        with self._node.db.read() as tx:
            heard = self._heard(tx, told.seen, member)
        with self._node.db.write() as tx:
            self.rows.keep(tx, head, told.head, via=found.peer, proven=True)
            for one, text in heard:
                self.rows.keep(tx, one, text, via=found.peer, proven=False)
            others = self.rows.unproven(tx, member)
        for other in others:
            self._settle(line, other, head, told.head)
        self._check_receipts(found, line, head, keys)

    def keys_of(self, tx: Tx, member: str) -> tuple[Key, ...]:
        """Give the keys that are believed to be a member's; its old ones too."""
        node = self._node
        if member == node.config.node.member:
            return (node.signer.key,)
        held = node.registry.parties(tx).get(member)
        names = {held[1].identity} if held is not None else set()
        names |= {pin.identity for pin in Pins().all(tx) if pin.party == member}
        ring = self._keys.ring(tx)
        return tuple(
            key
            for name in sorted(filter(None, names))
            for key in ring.keys.get(name, ())
            if key.state in (KeyState.ACTIVE, KeyState.RETIRED)
        )

    def _head(self, text: str, member: str, keys: Sequence[Key]) -> Head:
        try:
            signed = take_apart(text)
            head = read_head(signed)
        except ValueError as fault:
            raise _Wrong(f"it shows as its head what is none: {fault}", text) from fault
        if signed.signed_by(keys) is None:
            raise _Wrong("its head is not signed with a key that is pinned", text)
        if (head.node, head.realm) != (member, self._node.config.node.realm):
            raise _Wrong(f"its head is of {head.node} in realm {head.realm}", text)
        if abs(self._node.clock.now() - head.at) > _STALE:
            # An old head for ever would hide whatever came after it.
            raise _Wrong("its head is not of today", text)
        return head

    @staticmethod
    def _compare(
        known: SeenHead | None, head: Head, text: str, path: Sequence[str]
    ) -> None:
        if known is None:
            return
        first = known.head
        said = differ(first, head)
        if not said and first.at > head.at:
            said = "it shows an older head than before"
        if not said and first.size < head.size:
            said = _not_grown(first, head, path)
        if said:
            raise _Wrong(said, known.signed, text)

    def _settle(self, line: Connection, other: SeenHead, head: Head, text: str) -> None:
        """Find whether a head that another node was shown is of the same tree.

        Its node signed both, so it can prove that. One that does not for an hour is
        told as one that cannot.
        """
        first, second = sorted((other.head, head), key=lambda one: one.size)
        said = ""
        if other.head.log != head.log or first.size == second.size:
            said = differ(other.head, head)
        else:
            try:
                path = ask_consistency(line, first.size, second.size)
            except PeerError as fault:
                if self._node.clock.now() - other.seen < _PATIENCE:
                    return
                said = f"it does not prove that it only grew: {fault.message}"
            else:
                said = _not_grown(first, second, path)
        if not said:
            with self._node.db.write() as tx:
                self.rows.prove(tx, other.number)
            return
        said = f"{said}, as {other.via} was shown it"
        self._alarm(head.node, _Wrong(said, other.signed, text))
        with self._node.db.write() as tx:
            self.rows.drop(tx, other.number)

    def _heard(
        self, tx: Tx, texts: Sequence[str], teller: str
    ) -> list[tuple[Head, str]]:
        """Give the heads that a peer was shown, of nodes whose keys are pinned here."""
        own = self._node.config.node
        keys: dict[str, tuple[Key, ...]] = {}
        found = []
        for text in texts:
            try:
                apart = take_apart(text)
                heard = read_head(apart)
            except ValueError:
                continue
            if heard.node not in keys:
                keys[heard.node] = self.keys_of(tx, heard.node)
            if apart.signed_by(keys[heard.node]) is None or heard.realm != own.realm:
                continue
            if heard.at <= self.rows.accepted(tx, heard.node):
                # A person has seen to what was before.
                continue
            if heard.node == own.member:
                self._of_ours(tx, heard, text)
            elif heard.node != teller:
                found.append((heard, text))
        return found

    def _of_ours(self, tx: Tx, heard: Head, text: str) -> None:
        """Compare a head that a peer has of this node with the tree that is here."""
        log = tree.held(tx)
        said = ""
        if log is None or log.id != heard.log:
            said = "others were shown another log in this node's name"
        elif heard.size > log.size:
            said = f"others were shown {heard.size:,} leaves, here are {log.size:,}"
        elif Reading(tx).root(heard.size) != heard.hash:
            said = f"others were shown another tree of {heard.size:,} leaves"
        if said:
            last = tx.value("SELECT signed FROM ledger.tree_head ORDER BY at DESC")
            self._alarm(heard.node, _Wrong(said, text, str(last or "")))

    def _alarm(self, member: str, wrong: _Wrong) -> None:
        said = str(wrong)
        with self._node.db.write() as tx:
            new = self.rows.raise_alarm(tx, member, said, wrong.first, wrong.second)
        if new:
            _log.error(
                "log_alarm",
                node=member,
                said=said,
                first=wrong.first,
                second=wrong.second,
            )

    def _check_receipts(
        self, found: Watched, line: Connection, head: Head, keys: Sequence[Key]
    ) -> None:
        after = 0
        for _ in range(_BATCHES):
            with self._node.db.read() as tx:
                held = self.rows.promised(tx, head.node, _AT_ONCE, after)
            if not held:
                return
            after = held[-1].number
            shown = ask_receipts(line, [one.digest for one in held], head.size)
            results = [(one, *_checked(one, shown, head, keys)) for one in held]
            with self._node.db.write() as tx:
                for one, state, seq, said in results:
                    self.rows.settle(tx, one.number, state, seq, said)
            for one, state, _, said in results:
                found.proven += state is State.PROVEN
                found.waiting += state is State.PROMISED
                if state is State.BROKEN:
                    self._alarm(head.node, _Wrong(said, one.signed, ""))

    def alarms(self) -> list[Alarm]:
        """Give the alarms that nobody has ended."""
        with self._node.db.read() as tx:
            return self.rows.alarms(tx)

    def accept(self, member: str, actor: str, reason: str) -> int:
        """End a member's alarms, and take its tree as it is now for a beginning."""
        with self._node.db.write() as tx:
            ended = self.rows.end_alarms(tx, member, actor, reason)
            self.rows.forget(tx, member)
        return ended


def _not_grown(first: Head, second: Head, path: Sequence[str]) -> str:
    """Say why a tree did not only grow from one head to another; empty when it did."""
    try:
        proof = hashes(path)
    except ValueError:
        proof = []
    if continues(first.size, first.hash, second.size, second.hash, proof):
        return ""
    return (
        f"its tree of {second.size:,} leaves does not go on from that of {first.size:,}"
    )


def _checked(
    held: HeldReceipt, shown: dict[str, Entry], head: Head, keys: Sequence[Key]
) -> tuple[State, int | None, str]:
    """Find what became of a receipt, under a head of its node's tree."""
    try:
        signed = take_apart(held.signed)
        receipt = read_receipt(signed)
    except ValueError as fault:
        return State.BROKEN, None, f"a receipt that is none: {fault}"
    if signed.signed_by(keys) is None:
        return State.BROKEN, None, "a receipt that its node has not signed"
    if receipt.digest != held.digest:
        return State.BROKEN, None, "a receipt for another page or somebody else"
    entry = shown.get(held.digest)
    if entry is None:
        if head.at <= held.by:
            return State.PROMISED, None, ""
        return State.BROKEN, None, f"leaf missing of what it gave at {held.at}"
    said = fault_of(entry, head.hash, head.size)
    if said:
        return State.BROKEN, None, said
    leaf = read_leaf(entry.leaf)
    told = (leaf.node, leaf.at, leaf.receipt, entry.recipient)
    if told != (held.node, held.at, held.digest, receipt.recipient):
        return State.BROKEN, leaf.seq, f"leaf {leaf.seq} is not what was promised"
    digests = [
        held.objects[place : place + HASH_BYTES]
        for place in range(0, len(held.objects), HASH_BYTES)
    ]
    if len(digests) != held.count or not holds_page(entry, digests):
        return State.BROKEN, leaf.seq, f"leaf {leaf.seq} is about other objects"
    return State.PROVEN, leaf.seq, ""


class _Version(msgspec.Struct):
    id: str
    modified: str = ""
    created: str = ""


_version: Final = typed.reader(_Version)


def _digest(raw: bytes) -> bytes:
    """Give what stands for an object in its sender's tree; nothing for what is none."""
    try:
        found: Any = _version(raw)
    except (msgspec.DecodeError, RecursionError):
        return b""
    return digest_of(found.id, found.modified or found.created, raw)
