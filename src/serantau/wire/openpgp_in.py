"""OpenPGP that comes in: signatures are checked, and what is encrypted is opened.

What is encrypted may be packed, and so be larger by a thousand times than what came.
So it is opened in a process of its own, which ends when it wants too much memory or
time. Run as a program this module is that process.
"""

from __future__ import annotations

import base64
import hashlib
import resource
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import orjson
import pysequoia

from serantau.errors import BadInput

GOOD: Final = "good"
BAD: Final = "bad"
NONE: Final = "none"
"""How it stands with a signature: by a known key, by none or not holding, not there."""

_SECONDS: Final = 60
_MEMORY: Final = 400_000_000
_TIMES: Final = 8
_THEIRS: Final = 65
_TOO_MUCH: Final = 66


@dataclass(frozen=True, slots=True)
class Signed:
    """How it stands with a signature.

    signature: good, bad or none. fingerprints: of the certificates whose signature
    holds, lower-case hex. content: what is signed or was encrypted.
    """

    signature: str
    fingerprints: tuple[str, ...] = ()
    content: bytes = b""

    @property
    def digest(self) -> str:
        """Give what names the content, whatever headers stand around it."""
        return hashlib.sha256(self.content).hexdigest()


def check_detached(
    data: bytes, signature: bytes, certificates: Sequence[str]
) -> Signed:
    """Check a signature beside the data (RFC 3156 §5), by some certificates."""

    def check() -> pysequoia.Decrypted:
        made = pysequoia.Sig.from_bytes(signature)
        return pysequoia.verify(
            bytes=data, store=lambda _: _read(certificates), signature=made
        )

    return _checked(check, data)


def check_around(data: bytes, certificates: Sequence[str]) -> Signed:
    """Check a text with its signature around it (RFC 9580 §7)."""

    def check() -> pysequoia.Decrypted:
        return pysequoia.verify(bytes=data, store=lambda _: _read(certificates))

    return _checked(check, b"")


def _checked(check: Callable[[], pysequoia.Decrypted], data: bytes) -> Signed:
    try:
        found = check()
    except (RuntimeError, ValueError, TypeError):
        return Signed(BAD, (), data)
    prints = tuple(each.certificate for each in found.valid_sigs)
    content = data if found.bytes is None else bytes(found.bytes)
    return Signed(GOOD if prints else BAD, prints, data or content)


def _read(certificates: Iterable[str]) -> list[pysequoia.Cert]:
    return [pysequoia.Cert.from_bytes(one.encode()) for one in certificates]


def decrypt(data: bytes, key: str, certificates: Sequence[str], limit: int) -> Signed:
    """Open what was encrypted for a key, and check the signature within.

    Args:
        data: the message, armoured or not.
        key: the secret key, in ASCII armour.
        certificates: of those who may have signed it.
        limit: bytes that a mail may have; it may unpack to a few times as many.

    Raises:
        BadInput: it cannot be opened, or wants too much.
    """
    order = {
        "data": base64.b64encode(data).decode(),
        "key": key,
        "certificates": list(certificates),
        "most": limit * _TIMES,
    }
    try:
        done = subprocess.run(  # noqa: S603 - this program itself
            [sys.executable, "-m", __name__],
            input=orjson.dumps(order),
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BadInput("What is encrypted takes too long to open.") from None
    if done.returncode == _THEIRS:
        raise BadInput(done.stderr.decode("utf-8", "replace"))
    if done.returncode:
        raise BadInput("What is encrypted unpacks to too much.")
    head, _, content = done.stdout.partition(b"\n")
    signature, *prints = head.decode("ascii").split()
    return Signed(signature, tuple(prints), content)


def _opened(data: bytes, key: str, certificates: Sequence[str], most: int) -> Signed:
    """Open it here; a signature that does not hold is no reason not to read it."""
    secret = pysequoia.Tsk.from_bytes(key.encode())
    asked: list[str] = []

    def store(ids: Iterable[str]) -> list[pysequoia.Cert]:
        asked.extend(ids)
        return _read(certificates)

    try:
        found = pysequoia.decrypt(data, decryptor=secret.decryptor(), store=store)
        signature = GOOD if found.valid_sigs else NONE
    except RuntimeError:
        found = pysequoia.decrypt(data, decryptor=secret.decryptor())
        signature = BAD if asked else NONE
    content = bytes(found.bytes or b"")
    if len(content) > most:
        raise ValueError("What is encrypted unpacks to too much")
    prints = tuple(each.certificate for each in found.valid_sigs)
    return Signed(signature, prints, content)


def main() -> int:
    """Open what comes in by standard input; gives the exit code."""
    order = orjson.loads(sys.stdin.buffer.read())
    order["data"] = base64.b64decode(order["data"])
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
    try:
        found = _opened(**order)
        head = " ".join((found.signature, *found.fingerprints))
        sys.stdout.buffer.write(head.encode() + b"\n" + found.content)
    except (RuntimeError, ValueError, TypeError) as fault:
        sys.stderr.write((str(fault).splitlines() or [""])[0].rstrip(".") + ".")
        return _THEIRS
    except MemoryError:
        return _TOO_MUCH
    return 0


if __name__ == "__main__":
    sys.exit(main())
