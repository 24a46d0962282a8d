"""Recalls as tests make them: signed by whom, of what."""

from __future__ import annotations

from typing import Any

from serantau.clock import instant
from serantau.desk.recall import Recalling
from serantau.node import Node
from serantau.records.pins import PinRow, Pins
from serantau.rules.recall import Kind, Recall, signed_text
from serantau.rules.signature import signed
from serantau.testing import identity_of, signer_of


def pin(node: Node, name: str) -> None:
    """Pin the key of a member that needs no node of its own."""
    key = signer_of(name).key
    with node.db.write() as tx:
        Pins().put(tx, PinRow(name, key.id, key, identity_of(name), 0, "admin"))


def by(name: str, made: dict[str, Any]) -> dict[str, Any]:
    """Sign an object as a member's node does."""
    return signed({**made, "created_by_ref": identity_of(name)}, signer_of(name).jws)


def recall_of(made: dict[str, Any], **more: Any) -> Recall:
    """Make the recall of a version, by the one who made it unless said otherwise."""
    told: dict[str, Any] = {
        "at": 1,
        "before": instant(made["modified"]) + 1,
        "creator": made.get("created_by_ref", identity_of("my")),
        "kind": Kind.RECALLED,
        "node": "my",
        "object": made["id"],
        "realm": "live",
    }
    return Recall(**told | more)


def text_of(made: dict[str, Any], signer: str = "my", **more: Any) -> str:
    """Sign a recall of a version with a member's key."""
    return signed_text(recall_of(made, **more), signer_of(signer).jws)


def take(node: Node, text: str, peer: str = "my") -> bool:
    """Let a node take in a recall, as from a peer."""
    recalling = Recalling(node)
    with node.db.write() as tx:
        return recalling.take(tx, text, peer)
