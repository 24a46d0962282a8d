"""Asking a peer whom it passed our objects to, and believing only what it proves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import httpx2

from serantau.desk.federate import Federation
from serantau.errors import PeerError, ProofFailed
from serantau.node import Node
from serantau.records.peers import Peer
from serantau.rules.leaf import read_leaf
from serantau.rules.proof import Proof, faults, head_of
from serantau.wire.ledger import ask_passed

_MOST: Final = 10_000


@dataclass(frozen=True, slots=True)
class Passed:
    """One object that went to somebody, as a leaf proves.

    at: when, as an instant. recipient: empty where the peer does not name it. kind: of
    the recipient, and rule: under which it went, as the peer says.
    """

    at: int
    recipient: str
    kind: str
    way: str
    object: str
    version: str
    rule: str
    leaf: int


@dataclass(slots=True)
class Asked:
    """What a peer proved. proofs: as they came."""

    passed: list[Passed] = field(default_factory=list)
    proofs: list[Proof] = field(default_factory=list)


def ask_peer(
    node: Node,
    name: str,
    object_id: str = "",
    after: int = 0,
    *,
    transport: Callable[[Peer], httpx2.BaseTransport | None] = lambda _: None,
) -> Asked:
    """Ask a peer whom it passed this node's objects to.

    Args:
        node: who asks.
        name: the peer's.
        object_id: only this object; every one that this node created when empty.
        after: the first leaf of the peer's tree to look at.
        transport: as `Federation` takes it.

    Raises:
        PeerError: it does not tell, or not as agreed.
        ProofFailed: what it tells does not hold.
    """
    federation = Federation(node, transport=transport)
    found = Asked()
    with federation.client(federation.peer(name)) as client:
        with node.db.read() as tx:
            keys = federation.watch.keys_of(tx, name)
        if not keys:
            raise ProofFailed(
                f"No key of {name} is pinned, so nothing that it shows is proven.",
                mend=f"`serantau key pin {name}`, once people compared it.",
            )
        for _ in range(_MOST):
            proof = ask_passed(client.line, object_id, after)
            own = node.config.node.member
            wrong = faults(proof, keys)
            told = (proof.node, proof.asker, proof.object, proof.after)
            if not wrong and told != (name, own, object_id, after):
                wrong = ["it answers another question"]
            if wrong:
                raise ProofFailed(f"{name} proves nothing: {wrong[0]}.")
            found.proofs.append(proof)
            found.passed += _passed(proof)
            size = head_of(proof).size
            if proof.through >= size:
                return found
            if proof.through <= after:
                break
            after = proof.through
    raise PeerError(f"{name} comes to no end of its log.")


def _passed(proof: Proof) -> Iterator[Passed]:
    for entry in proof.entries:
        leaf = read_leaf(entry.leaf)
        for one in entry.objects:
            yield Passed(
                at=leaf.at,
                recipient=entry.recipient,
                kind=entry.kind,
                way=leaf.way,
                object=one.id,
                version=one.modified,
                rule=one.rule,
                leaf=leaf.seq,
            )
