"""A signature as it travels: a compact JWS without its payload (RFC 7515 appendix F).

The payload is left out because whoever verifies has it already: the canonical text of
what was signed. Exactly one kind of header is read, with an algorithm and a key id, so
that nothing in a signature can choose how it is verified.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import orjson
from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError

from serantau.rules.key import PUBLIC_BYTES, base64, unbase64

# RFC 8037 §3.1 calls it EdDSA; RFC 9864 §2.2 says which curve, in one word.
ALGORITHM: Final = "EdDSA"
_ALGORITHMS: Final = ("EdDSA", "Ed25519")
_SIGNATURE_BYTES: Final = 64
_LONGEST: Final = 1000


@dataclass(frozen=True, slots=True)
class Token:
    """A detached JWS, taken apart. header: its first part, as it was signed."""

    key_id: str
    header: str
    signature: bytes


def sign(payload: bytes, key_id: str, signer: Callable[[bytes], bytes]) -> str:
    """Sign a payload, and give the detached JWS.

    Args:
        payload: what is signed.
        key_id: the id of the key.
        signer: makes an Ed25519 signature of bytes with that key.
    """
    header = _header(key_id)
    return f"{header}..{base64(signer(_signed(header, payload)))}"


def read(token: object) -> Token:
    """Take a detached JWS apart.

    Raises:
        ValueError: it is none, or not one of ours, in words.
    """
    if type(token) is not str or len(token) > _LONGEST:
        raise ValueError("it is not a text of a usual length")
    parts = token.split(".")
    if len(parts) != 3:
        raise ValueError("it is not header..signature")
    header, payload, signature = parts
    if payload:
        raise ValueError("it carries a payload of its own")
    key_id = _key_id(header)
    made = unbase64(signature)
    if len(made) != _SIGNATURE_BYTES:
        raise ValueError(f"its signature has {len(made)} bytes, not 64")
    return Token(key_id, header, made)


def proves(token: Token, payload: bytes, public: bytes) -> bool:
    """Say whether a token is the signature of a payload by a key.

    libsodium takes half the time of OpenSSL, and believes no key of small order, whose
    signatures would fit any payload.

    Raises:
        ValueError: the key has not 32 bytes.
    """
    if len(public) != PUBLIC_BYTES:
        raise ValueError(f"a key of {len(public)} bytes, expected {PUBLIC_BYTES}")
    try:
        crypto_sign_open(token.signature + _signed(token.header, payload), public)
    except BadSignatureError:
        return False
    return True


@lru_cache(maxsize=256)
def _header(key_id: str) -> str:
    return base64(orjson.dumps({"alg": ALGORITHM, "kid": key_id}))


@lru_cache(maxsize=256)
def _key_id(header: str) -> str:
    """Read the header; all signatures of one key have the same."""
    try:
        told = orjson.loads(unbase64(header))
    except orjson.JSONDecodeError:
        raise ValueError("its header is not JSON") from None
    # RFC 7515 §4.1.11: what `crit` names must be understood. Nothing else is needed, so
    # nothing else is read: neither a key nor an address of one comes with a signature.
    if type(told) is not dict or set(told) != {"alg", "kid"}:
        raise ValueError("its header is not exactly alg and kid")
    if told["alg"] not in _ALGORITHMS:
        raise ValueError(f"its algorithm is {str(told['alg'])[:20]!r}, not {ALGORITHM}")
    key_id = told["kid"]
    if type(key_id) is not str:
        raise ValueError("its kid is not a text")
    return key_id


def _signed(header: str, payload: bytes) -> bytes:
    return b"%b.%b" % (header.encode(), urlsafe_b64encode(payload).rstrip(b"="))
