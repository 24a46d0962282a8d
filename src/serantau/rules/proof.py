"""A proof as it is handed on: leaves, opened for somebody, and the head they are under.

Whoever holds one needs nothing else but the node's public key to check it, neither this
program nor the node. docs/verify.py does the same without any of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from serantau import typed
from serantau.rules import jws
from serantau.rules.canonical import canonical
from serantau.rules.head import Head, read_head, take_apart
from serantau.rules.key import Key
from serantau.rules.leaf import VERSION, Entry, fault_of

TYPE: Final = "serantau:proof"


class Proof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Leaves of one log, shown to somebody, and signed as that.

    node: whose log. at: when it was made, as an instant. asker: for whom; empty: the
    node's own people. object: what was asked about, empty for everything. after,
    through: the leaves that were looked through, from `after` to before `through`.
    head: the signed head of the tree. signature: a detached JWS over the rest.
    """

    after: int
    asker: str
    at: int
    entries: list[Entry]
    head: str
    node: str
    object: str
    through: int
    signature: str = ""
    type: str = TYPE
    v: int = VERSION


def payload_of(proof: Proof) -> bytes:
    """Give what of a proof is signed."""
    told: dict[str, Any] = msgspec.to_builtins(proof)
    del told["signature"]
    return canonical(told)


def signed(proof: Proof, sign: Callable[[bytes], str]) -> Proof:
    """Sign a proof.

    Args:
        proof: what is to be signed.
        sign: makes the detached JWS of a payload.
    """
    return msgspec.structs.replace(proof, signature=sign(payload_of(proof)))


def read_proof(text: bytes) -> Proof:
    """Read a proof; nothing of it is believed before `faults` finds none.

    Raises:
        ValueError: it is none.
    """
    try:
        proof = typed.read(text, Proof)
    except msgspec.DecodeError as fault:
        raise ValueError(f"it is no proof: {fault}") from fault
    if proof.type != TYPE or proof.v != VERSION:
        raise ValueError("it is no proof of this version")
    return proof


def faults(proof: Proof, keys: Sequence[Key]) -> list[str]:
    """Say what of a proof does not hold; nothing when all of it does.

    1. The head is signed with one of the keys, and is of the proof's node.
    2. Each entry's leaf is in the head's tree, and all that is opened of it is true.
    3. The proof as a whole is signed with one of the keys.

    Args:
        proof: as somebody handed it on.
        keys: those that are known to be the node's.
    """
    try:
        apart = take_apart(proof.head)
        head = read_head(apart)
        token = jws.read(proof.signature)
    except ValueError as fault:
        return [str(fault)]
    if apart.signed_by(keys) is None or head.node != proof.node:  # 1
        return ["the head is not signed by this node"]
    found = [
        wrong
        for entry in proof.entries
        if (wrong := fault_of(entry, head.hash, head.size))  # 2
    ]
    payload = payload_of(proof)
    if not any(
        key.id == token.key_id and jws.proves(token, payload, key.public)
        for key in keys
    ):  # 3
        found.append("the proof is not signed by this node")
    return found


def head_of(proof: Proof) -> Head:
    """Give the head that a proof is under.

    Raises:
        ValueError: it is none.
    """
    return read_head(take_apart(proof.head))
