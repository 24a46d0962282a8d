"""The node's own signing key, read from where it is kept: a file or a secret store."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from nacl.bindings import crypto_sign, crypto_sign_BYTES

from serantau.errors import ConfigError
from serantau.rules import jws
from serantau.rules.key import Key
from serantau.rules.realm import refusal

REALM_LINE: Final = "Serantau-Realm"
"""Stands above a key in its file (RFC 7468 §2 lets text be there), with the realm."""
_realm: Final = re.compile(rb"(?m)^Serantau-Realm: ([ -~]+)$").search


class Signer:
    """Signs with one private key, which nothing gives out."""

    __slots__ = ("_private", "_secret", "key")

    def __init__(self, private: Ed25519PrivateKey) -> None:
        """Sign with this key."""
        public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self._private = private
        self._secret = private.private_bytes_raw() + public
        self.key = Key.of(public)

    @classmethod
    def read(cls, pem: bytes, passphrase: str, place: str, realm: str = "") -> Signer:
        """Read a PEM text.

        Args:
            pem: PKCS #8, under the passphrase or bare.
            passphrase: of the key; empty: none.
            place: where it stood, for messages.
            realm: of the node that is to sign with it; empty: of whatever realm.

        Raises:
            ConfigError: it is no Ed25519 key, not under this passphrase, or was made
                in another realm.
        """
        said = _realm(pem.partition(b"-----BEGIN")[0])
        why = refusal(place, said[1].decode(), realm) if said and realm else ""
        if why:
            raise ConfigError(
                why, mend="A realm has keys of its own: `init` makes them."
            )
        try:
            private = load_pem_private_key(pem, passphrase.encode() or None)
        except TypeError as fault:
            # The library's words for: a passphrase too many, or one too few.
            raise ConfigError(
                f"{place} is under a passphrase, and none was given."
                if not passphrase
                else f"{place} is not under a passphrase, and one was given.",
                mend="signing.passphrase_file names a file with it; the variable "
                "SERANTAU_SIGNING_PASSPHRASE has it. `serantau key protect` sets one.",
            ) from fault
        except ValueError as fault:
            raise ConfigError(
                f"{place} cannot be read as a private key"
                + (": the passphrase may be another." if passphrase else "."),
                mend="Restore the folder keys/ from a backup.",
            ) from fault
        if not isinstance(private, Ed25519PrivateKey):
            raise ConfigError(
                f"{place} is not an Ed25519 key.",
                mend="Restore the folder keys/ from a backup.",
            )
        return cls(private)

    def sign(self, content: bytes) -> bytes:
        """Make the signature of some bytes: 64 bytes (RFC 8032)."""
        return crypto_sign(content, self._secret)[:crypto_sign_BYTES]

    def jws(self, payload: bytes) -> str:
        """Make the detached JWS of a payload (`rules.jws`)."""
        return jws.sign(payload, self.key.id, self.sign)

    def pem(self, passphrase: str = "", realm: str = "") -> bytes:
        """Give the key as the text of its file; one of a realm says so above it."""
        head = f"{REALM_LINE}: {realm}\n".encode() if realm else b""
        lock = BestAvailableEncryption(passphrase.encode()) if passphrase else None
        return head + self._private.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, lock or NoEncryption()
        )

    def __repr__(self) -> str:
        return f"Signer({self.key.id})"


def new_signer() -> Signer:
    """Make a new key."""
    return Signer(Ed25519PrivateKey.generate())


def keep_signer(
    path: Path, signer: Signer, passphrase: str = "", realm: str = ""
) -> bool:
    """Write a key into a file for its user's eyes only; one that is there stays.

    Returns:
        Whether it was written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(signer.pem(passphrase, realm))
            file.flush()
            os.fsync(file.fileno())
        # Unlike a renaming this fails when somebody else was quicker.
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink(missing_ok=True)
    return True
