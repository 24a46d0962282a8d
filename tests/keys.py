"""Keys, signed objects and statements for tests: the same in every run."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from samples import AT, made
from serantau.clock import instant
from serantau.rules.key import Key
from serantau.rules.signature import signed
from serantau.rules.statement import Claims, Told, make_statement
from serantau.wire.signer import Signer

SPACE = uuid.UUID("0f1f7b56-9f0a-4a6e-8f57-0d1b1cf2a001")


def signer(name: str) -> Signer:
    """Give a signer of a name."""
    seed = hashlib.sha256(name.encode()).digest()
    return Signer(Ed25519PrivateKey.from_private_bytes(seed))


def key(name: str) -> Key:
    """Give the public key of a name."""
    return signer(name).key


def identity(name: str) -> str:
    """Give the identity of a name."""
    return f"identity--{uuid.uuid5(SPACE, name)}"


def by(
    maker: str, kind: str = "indicator", /, *, with_key: str = "", **more: Any
) -> dict[str, Any]:
    """Make an object by somebody, signed with their key or another's."""
    data = made(kind, created_by_ref=identity(maker), **more)
    return signed(data, signer(with_key or maker).jws)


def states(
    maker: str,
    told: Told,
    subject: str,
    old: str,
    new: str = "",
    *,
    since: str = AT,
    with_key: str = "",
) -> dict[str, Any]:
    """Make a signed statement; keys are named by the names of their signers."""
    claims = Claims(
        told,
        identity(subject),
        key(old).id,
        instant(since),
        key(new) if new else None,
    )
    name = f"statement {maker} {told} {subject} {old} {new} {since}"
    data = make_statement(
        claims,
        identity(maker),
        f"key-statement--{uuid.uuid5(SPACE, name)}",
        instant(since),
    )
    return signed(data, signer(with_key or maker).jws)
