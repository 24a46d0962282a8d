"""Heads and receipts: who signed what, and which two cannot both be true."""

from typing import Any

import msgspec
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from serantau.rules import jws
from serantau.rules.canonical import canonical
from serantau.rules.head import (
    Head,
    Receipt,
    attached,
    differ,
    payload_of,
    read_head,
    read_receipt,
    signed_text,
    take_apart,
)
from serantau.rules.key import Key, base64

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY = Key.of(PRIVATE.public_key().public_bytes_raw())
OTHER = Key.of(
    Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw()
)
RECEIPT = Receipt(
    at=5,
    by=9,
    count=3,
    node="th",
    nonce="00",
    page="ab" * 32,
    recipient="vn",
    request="/x",
)


def head(**more: Any) -> Head:
    told: dict[str, Any] = {
        "at": 10,
        "log": "log-1",
        "node": "th",
        "realm": "live",
        "size": 3,
    }
    return Head(**told | {"root": "ab" * 32} | more)


def signed(payload: bytes) -> str:
    return attached(jws.sign(payload, KEY.id, PRIVATE.sign), payload)


def test_a_head_and_a_receipt_come_back_as_they_were_signed() -> None:
    reads: Any = ((head(), read_head), (RECEIPT, read_receipt))
    for said, read in reads:
        text = signed_text(said, lambda told: jws.sign(told, KEY.id, PRIVATE.sign))
        found = take_apart(text)
        assert found.signed_by([OTHER, KEY]) == KEY
        assert found.signed_by([OTHER]) is None
        assert read(found) == said
    assert head().hash == bytes.fromhex("ab" * 32)
    assert len(RECEIPT.digest) == 64


def test_a_forged_head_is_signed_by_nobody() -> None:
    text = signed(payload_of(head()))
    header, _, signature = text.split(".")
    forged = f"{header}.{base64(payload_of(head(size=4)))}.{signature}"
    assert take_apart(forged).signed_by([KEY]) is None
    impostor = Ed25519PrivateKey.from_private_bytes(bytes(32))
    payload = payload_of(head())
    named = attached(jws.sign(payload, KEY.id, impostor.sign), payload)
    assert take_apart(named).signed_by([KEY, OTHER]) is None


@pytest.mark.parametrize(
    "text", [7, "", "a.b", "a.b.c.d", "x" * 10_001, "a.b.c", "e30.e30.e30"]
)
def test_what_is_no_signed_text_is_refused(text: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the words are those of rules.jws
        take_apart(text)


@pytest.mark.parametrize(
    "payload",
    [
        b"{}",
        b"\xff",
        payload_of(head()) + b" ",
        payload_of(head(v=2)),
        payload_of(head(size=-1)),
        payload_of(head(root="no")),
        payload_of(RECEIPT),
        payload_of(head()).replace(b'"size":3', b'"size":3.0'),
    ],
)
def test_what_is_no_head_is_not_read_as_one(payload: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - several words, one meaning
        read_head(take_apart(signed(payload)))


def test_a_signed_object_is_taken_neither_for_a_head_nor_for_a_receipt() -> None:
    made = orjson.loads(payload_of(head())) | {"type": "x-head"}
    for read in (read_head, read_receipt):
        with pytest.raises(ValueError, match="it is no serantau:"):
            read(take_apart(signed(canonical(made))))


def test_two_heads_that_cannot_both_be_true_say_why() -> None:
    replace = msgspec.structs.replace
    first, later = head(), head(at=20, size=5, root="cd" * 32)
    assert differ(first, later) == differ(later, first) == ""
    assert differ(first, first) == ""
    shrunk = differ(replace(later, at=5), first)
    assert shrunk == "its tree has shrunk from 5 leaves to 3"
    forked = differ(first, replace(first, root="cd" * 32))
    assert forked == "it has two trees of 3 leaves"
    assert "log-1" in differ(first, replace(later, log="log-2"))
