"""A signing key: what it is called, how people compare it, and what became of it.

A key is Ed25519 (RFC 8032). Its id is its thumbprint (RFC 7638), so an id proves the
key, and nobody can give a key the id of another. People compare twelve words of it.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from serantau.rules.canonical import canonical
from serantau.rules.wordlist import WORDS

PUBLIC_BYTES: Final = 32
_PROOF_BYTES: Final = 16
_WORDS: Final = 12
_BITS: Final = 11
_CHECK_BITS: Final = 4
_PLACES: Final = {word: place for place, word in enumerate(WORDS)}


class State(StrEnum):
    """What became of a key.

    active: it signs. retired: its owner signs with another. compromised: somebody else
    may have it. lost: nobody has it any more.
    """

    ACTIVE = "active"
    RETIRED = "retired"
    COMPROMISED = "compromised"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Key:
    """A public key of somebody.

    id: RFC 7638 thumbprint, base64url. public: the 32 bytes. since: instant from which
    it signs; 0: from the beginning. until: instant at which it ended, None when it has
    not. state: what became of it.
    """

    id: str
    public: bytes
    since: int = 0
    until: int | None = None
    state: State = State.ACTIVE

    @classmethod
    def of(cls, public: bytes) -> Key:
        """Name 32 bytes as a key.

        Raises:
            ValueError: they are not 32.
        """
        if len(public) != PUBLIC_BYTES:
            raise ValueError(f"{len(public)} bytes, expected {PUBLIC_BYTES}")
        return cls(thumbprint(public), public)

    @classmethod
    def from_jwk(cls, jwk: Any) -> Key:
        """Read a public JWK (RFC 8037 §2).

        Raises:
            ValueError: it is not one of an Ed25519 key, or it has a private part.
        """
        if not isinstance(jwk, Mapping) or set(jwk) != {"kty", "crv", "x"}:
            raise ValueError("not a JWK with exactly kty, crv and x")
        if jwk["kty"] != "OKP" or jwk["crv"] != "Ed25519":
            raise ValueError("not a JWK of kty OKP and crv Ed25519")
        return cls.of(unbase64(jwk["x"]))

    @property
    def jwk(self) -> dict[str, str]:
        """Give the key as a public JWK."""
        return _jwk(self.public)

    @property
    def words(self) -> str:
        """Give the words by which people compare it."""
        return words_of(self.id)


def base64(content: bytes) -> str:
    """Write bytes as base64url without padding (RFC 7515 §2)."""
    return urlsafe_b64encode(content).rstrip(b"=").decode()


def unbase64(text: Any) -> bytes:
    """Read base64url without padding, and only its one right spelling.

    Raises:
        ValueError: it is not that.
    """
    if type(text) is not str or not text.isascii():
        raise ValueError("not a text of base64url")
    content = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    # A last letter may carry bits that are thrown away; then two texts mean the same.
    if base64(content) != text:
        raise ValueError("not base64url as it is written")
    return content


def thumbprint(public: bytes) -> str:
    """Give the id of a key: its RFC 7638 thumbprint, base64url."""
    return base64(hashlib.sha256(canonical(_jwk(public))).digest())


def words_of(key_id: str) -> str:
    """Give twelve words for the id of a key.

    They are the first 128 bits of the thumbprint and four bits of check, in the words
    and the order of BIP 39: to find another key with the same words takes 2^128 tries.
    """
    proof = unbase64(key_id)[:_PROOF_BYTES]
    number = int.from_bytes(proof, "big") << _CHECK_BITS | _check(proof)
    return " ".join(
        WORDS[number >> _BITS * place & (1 << _BITS) - 1]
        for place in reversed(range(_WORDS))
    )


def read_fingerprint(text: str) -> str:
    """Read what a person typed for a fingerprint: an id, or its words.

    Returns:
        The id; of words its first 22 letters but the last two bits, see `fits`.

    Raises:
        ValueError: it is neither, or a word is mistyped.
    """
    parts = text.lower().replace("-", " ").split() if " " in text.strip() else []
    if not parts:
        plain = text.strip()
        if len(unbase64(plain)) != PUBLIC_BYTES:
            raise ValueError("not an id of 43 letters, and not twelve words")
        return plain
    unknown = [word for word in parts if word not in _PLACES]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is none of the words")
    if len(parts) != _WORDS:
        raise ValueError(f"{len(parts)} words, expected {_WORDS}")
    number = 0
    for word in parts:
        number = number << _BITS | _PLACES[word]
    proof = (number >> _CHECK_BITS).to_bytes(_PROOF_BYTES, "big")
    if number & (1 << _CHECK_BITS) - 1 != _check(proof):
        raise ValueError("words that do not belong together: is one of them another?")
    return base64(proof)


def fits(key: Key, fingerprint: str) -> bool:
    """Say whether a key has a fingerprint, as `read_fingerprint` gave it."""
    proof = unbase64(fingerprint)
    return unbase64(key.id)[: len(proof)] == proof


def _jwk(public: bytes) -> dict[str, str]:
    return {"crv": "Ed25519", "kty": "OKP", "x": base64(public)}


def _check(proof: bytes) -> int:
    return hashlib.sha256(proof).digest()[0] >> 8 - _CHECK_BITS
