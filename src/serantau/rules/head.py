"""What a node signs of its release log: heads of its tree, receipts for its pages.

Both travel as one text, a compact JWS with its payload in it (RFC 7515 §3.1). The
payload is canonical JSON and says what it is, so that none is taken for the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
import orjson

from serantau import typed
from serantau.rules import jws
from serantau.rules.canonical import canonical
from serantau.rules.jws import Token
from serantau.rules.key import Key, base64, unbase64
from serantau.rules.leaf import VERSION, hashes

# STIX 2.1 §3.1: no type of an object has a colon, so no signature of one fits here.
_HEAD: Final = "serantau:head"
_RECEIPT: Final = "serantau:receipt"
_LONGEST: Final = 10_000
_MOST: Final = 2**53 - 1

T = TypeVar("T", bound=msgspec.Struct)


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a node says its tree is.

    node: the member whose node it is. realm: in which it is. log: the id of the log,
    made with it. size: how many leaves. root: the tree's hash, in hexadecimal. at: when
    it was signed, as an instant.
    """

    at: int
    log: str
    node: str
    realm: str
    root: str
    size: int
    type: str = _HEAD
    v: int = VERSION

    @property
    def hash(self) -> bytes:
        """Give the tree's hash."""
        return bytes.fromhex(self.root)


class Receipt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a node promises of a page that it gave.

    node: the member whose node gave it. recipient: the party that got it. at: when, as
    an instant. by: until when the page is a leaf of the tree. count: how many objects.
    nonce: what makes two receipts two. page: the SHA-256 of their texts, as they came,
    joined by commas. request: what was asked for.
    """

    at: int
    by: int
    count: int
    node: str
    nonce: str
    page: str
    recipient: str
    request: str
    type: str = _RECEIPT
    v: int = VERSION

    @property
    def digest(self) -> str:
        """Give what the leaf has for this receipt: the SHA-256 of its payload."""
        return hashlib.sha256(payload_of(self)).hexdigest()


class Signed(NamedTuple):
    """A signed text, taken apart; nothing of it is believed before `signed_by`."""

    token: Token
    payload: bytes

    def signed_by(self, keys: Sequence[Key]) -> Key | None:
        """Give the key, of these, that has signed it; None when none has."""
        for key in keys:
            if key.id == self.token.key_id:
                held = jws.proves(self.token, self.payload, key.public)
                return key if held else None
        return None


def payload_of(said: Head | Receipt) -> bytes:
    """Give what is signed."""
    return canonical(msgspec.to_builtins(said))


def signed_text(said: Head | Receipt, sign: Callable[[bytes], str]) -> str:
    """Give the text of what is signed.

    Args:
        said: a head or a receipt.
        sign: makes the detached JWS of a payload.
    """
    payload = payload_of(said)
    return attached(sign(payload), payload)


def attached(token: str, payload: bytes) -> str:
    """Put the payload into a detached JWS (`rules.jws.sign`)."""
    header, _, signature = token.split(".")
    return f"{header}.{base64(payload)}.{signature}"


def take_apart(text: Any) -> Signed:
    """Take a signed text apart.

    Raises:
        ValueError: it is none.
    """
    if type(text) is not str or len(text) > _LONGEST or text.count(".") != 2:
        raise ValueError("it is not header.payload.signature")
    header, payload, signature = text.split(".")
    return Signed(jws.read(f"{header}..{signature}"), unbase64(payload))


def read_head(signed: Signed) -> Head:
    """Read the payload of a head.

    Raises:
        ValueError: it is none.
    """
    head = _read(signed.payload, Head, _HEAD)
    if not 0 <= head.size <= _MOST:
        raise ValueError(f"a tree of {head.size} leaves")
    hashes([head.root])
    return head


def read_receipt(signed: Signed) -> Receipt:
    """Read the payload of a receipt.

    Raises:
        ValueError: it is none.
    """
    return _read(signed.payload, Receipt, _RECEIPT)


def _read(payload: bytes, kind: type[T], name: str) -> T:
    try:
        found = typed.read(payload, kind)
        plain = orjson.loads(payload)
        same = canonical(plain) == payload
    except (msgspec.DecodeError, orjson.JSONDecodeError) as fault:
        raise ValueError(f"it is no {name}: {fault}") from fault
    if not same or plain.get("type") != name or plain.get("v") != VERSION:
        raise ValueError(f"it is no {name} as this version writes it")
    return found


def differ(one: Head, other: Head) -> str:
    """Say why two heads of a node cannot both be true, as far as they alone show it.

    Returns:
        The reason in words; empty when only a proof of consistency can tell.
    """
    first, second = sorted((one, other), key=lambda head: head.at)
    if first.log != second.log:
        return f"its log was {first.log}, and is {second.log}"
    if first.size > second.size:
        return f"its tree has shrunk from {first.size:,} leaves to {second.size:,}"
    if first.size == second.size and first.root != second.root:
        return f"it has two trees of {first.size:,} leaves"
    return ""
