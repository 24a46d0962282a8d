"""OpenPGP by Sequoia: the node's own key, and certificates of those it writes to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import pysequoia
from pysequoia.packet import PacketPile, Tag

from serantau.clock import moment
from serantau.errors import BadInput, ConfigError, SerantauError
from serantau.wire.openpgp_in import Signed, decrypt

T = TypeVar("T")
_SECRETS: Final = (Tag.SecretKey, Tag.SecretSubkey)


@dataclass(frozen=True, slots=True)
class Certificate:
    """Whom something is encrypted for.

    text: in ASCII armour. fingerprint: lower-case hex. expires: an instant, or None.
    names: its user ids.
    """

    text: str
    fingerprint: str
    expires: int | None
    names: tuple[str, ...]

    def holds(self, now: int) -> bool:
        """Say whether it has not ended."""
        return self.expires is None or now < self.expires


def read_certificate(data: bytes) -> Certificate:
    """Read one certificate, armoured or not.

    Raises:
        BadInput: it is none, is revoked, cannot be encrypted for, or has secret keys in
            it, which are nobody's but its owner's.
    """

    def read() -> Certificate:
        packets = PacketPile.from_bytes(data)
        if any(each.tag in _SECRETS for each in packets):
            raise BadInput(
                "The file has secret keys in it.",
                mend="Ask its owner for the public certificate, and to make a new key.",
            )
        cert = pysequoia.Cert.from_bytes(data)
        if cert.is_revoked:
            raise BadInput("The certificate is revoked.")
        # Says so when there is no key in it to encrypt for.
        pysequoia.encrypt(b"", recipients=[cert])
        ends = cert.expiration
        return Certificate(
            text=str(cert),
            fingerprint=cert.fingerprint,
            expires=None if ends is None else int(ends.timestamp()) * 1_000_000,
            names=tuple(str(each) for each in cert.user_ids),
        )

    return _told("This is no OpenPGP certificate", BadInput, read)


def encrypt(data: bytes, certificate: Certificate, key: Key | None, now: int) -> bytes:
    """Encrypt for one certificate, signed within when there is a key; armoured.

    Raises:
        BadInput: the certificate has ended. Nothing goes out in clear instead.
    """
    if not certificate.holds(now):
        raise BadInput(
            f"The certificate {certificate.fingerprint} ended on "
            f"{moment(certificate.expires or 0):%Y-%m-%d}.",
            mend="Ask for a newer one: `serantau contact add ... --openpgp FILE`.",
        )

    def run() -> bytes:
        cert = pysequoia.Cert.from_bytes(certificate.text.encode())
        signer = None if key is None else key.signer()
        return bytes(pysequoia.encrypt(data, recipients=[cert], signer=signer))

    return _told("The mail cannot be encrypted", BadInput, run)


class Key:
    """The node's own OpenPGP key, which signs what it sends."""

    def __init__(self, text: bytes) -> None:
        """Take a key as `generate` gives it.

        Raises:
            ConfigError: it is none, or cannot sign (any more).
        """
        self._key: pysequoia.Tsk = _told(
            "This is no OpenPGP key",
            ConfigError,
            lambda: pysequoia.Tsk.from_bytes(text),
        )
        _told("The OpenPGP key cannot sign", ConfigError, self._key.signer)

    @classmethod
    def from_file(cls, path: Path) -> Key:
        """Read the key of a file.

        Raises:
            ConfigError: there is no such file, or no key in it.
        """
        try:
            return cls(path.read_bytes())
        except OSError as fault:
            raise ConfigError(
                f"{path} cannot be read: {fault.strerror}.",
                mend="`serantau notice key` makes one.",
            ) from fault

    @staticmethod
    def generate(name: str) -> bytes:
        """Make a new key for a user id such as `Team <cert@example.th>`; armoured."""
        return str(pysequoia.Tsk.generate(name)).encode()

    @property
    def certificate(self) -> str:
        """Give the public half, in ASCII armour, for those who check signatures."""
        return str(self._key.extract_certificate())

    @property
    def fingerprint(self) -> str:
        """Give the fingerprint, in lower-case hex."""
        return str(self._key.extract_certificate().fingerprint)

    def signer(self) -> pysequoia.PySigner:
        """Give what signs; only this module's functions use it."""
        return self._key.signer()

    def sign(self, data: bytes) -> tuple[bytes, str]:
        """Sign data; gives the armoured signature and the hash's name for RFC 3156."""
        signature = bytes(
            pysequoia.sign(self.signer(), data, mode=pysequoia.SignatureMode.DETACHED)
        )
        used = pysequoia.Sig.from_bytes(signature).hash_algorithm
        return signature, f"pgp-{str(used).rpartition('.')[2].lower()}"

    def sign_text(self, text: str) -> str:
        """Give a text with its signature around it (RFC 9580 §7)."""
        mode = pysequoia.SignatureMode.CLEAR
        return bytes(pysequoia.sign(self.signer(), text.encode(), mode=mode)).decode()

    def decrypt(self, data: bytes, certificates: Sequence[str], limit: int) -> Signed:
        """Open what was encrypted for this key; see `openpgp_in.decrypt`."""
        return decrypt(data, str(self._key), certificates, limit)

    def __repr__(self) -> str:
        return f"Key({self.fingerprint})"


def _told(what: str, error: type[SerantauError], work: Callable[[], T]) -> T:
    """Tell what Sequoia says in one line; it writes its whole stack after that."""
    try:
        return work()
    except (RuntimeError, ValueError, TypeError) as fault:
        first = (str(fault).splitlines() or [""])[0].strip().rstrip(".")
        raise error(f"{what}: {first}.") from None
