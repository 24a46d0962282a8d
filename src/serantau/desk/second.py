"""What is shown beside the password: codes of an authenticator app, recovery codes.

A code (RFC 6238) is good once: the step of the last one is kept, and none of that step
or an earlier one is taken again. A clock may be one step off, either way. Of recovery
codes digests are kept; each is good once, too.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import secrets
from dataclasses import dataclass
from typing import Final

import pyotp
import segno

from serantau.errors import NotFound
from serantau.node import Node
from serantau.records import factors
from serantau.records.acts import decided
from serantau.records.database import Tx

STEP: Final = 30_000_000
"""Microseconds that one code is shown."""
DRIFT: Final = 1
CODES: Final = 10
_DIGITS: Final = 6
_LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"
_GROUPS: Final = 7
_GROUP: Final = 4
_LABEL: Final = 80


@dataclass(frozen=True, slots=True)
class Pending:
    """An authenticator app that is being set up. secret: as a person types it."""

    secret: str
    address: str


class Second:
    """The second factors of a node's people."""

    def __init__(self, node: Node) -> None:
        """Keep those of `node`'s users."""
        self._node = node

    # Setting up

    def begin(self, tx: Tx, user: int) -> None:
        """Make a secret for an authenticator app; it counts when a code was shown."""
        sealed = self._node.seal.seal(pyotp.random_base32()).encode()
        factors.put(tx, user, factors.PENDING, str(user), secret=sealed)

    def pending(self, tx: Tx, user: int, name: str) -> Pending | None:
        """Give what an authenticator app is told, while one is being set up."""
        held = factors.find(tx, factors.PENDING, str(user))
        if held is None:
            return None
        secret = self._open(held)
        team = self._node.config.node.team or self._node.config.node.member
        address = pyotp.TOTP(secret).provisioning_uri(
            name=name[:_LABEL], issuer_name=f"Serantau {team}"[:_LABEL]
        )
        pieces = [secret[at : at + _GROUP] for at in range(0, len(secret), _GROUP)]
        return Pending(" ".join(pieces), address)

    def confirm(self, tx: Tx, user: int, name: str, code: str) -> bool:
        """Take the app that is being set up when it shows the right code."""
        held = factors.find(tx, factors.PENDING, str(user))
        step = None if held is None else self._step(tx, held, code)
        if held is None or step is None:
            return False
        factors.drop(tx, user, factors.PENDING)
        factors.put(tx, user, factors.TOTP, str(user), secret=held.secret, counter=step)
        decided(tx, "set up a second factor", name, after={"kind": factors.TOTP})
        return True

    def new_codes(self, tx: Tx, user: int, name: str) -> list[str]:
        """Make recovery codes in place of those before, and give them: told once."""
        factors.drop(tx, user, factors.RECOVERY)
        codes = [_code() for _ in range(CODES)]
        for code in codes:
            factors.put(tx, user, factors.RECOVERY, _digest(user, code))
        decided(tx, "made recovery codes", name, after={"codes": CODES})
        return codes

    def codes_left(self, tx: Tx, user: int) -> int:
        """Give how many recovery codes were not used yet."""
        return len(factors.of(tx, user, factors.RECOVERY))

    def drop(self, tx: Tx, user: int, name: str, number: int) -> None:
        """Take a second factor away; with the last one its recovery codes go.

        Raises:
            NotFound: the user has none of this number.
        """
        kinds = (*factors.SECOND, factors.OIDC)
        if not factors.drop(tx, user, *kinds, number=number):
            raise NotFound("There is no such second factor.")
        if not factors.of(tx, user, *factors.SECOND):
            factors.drop(tx, user, factors.RECOVERY)
        decided(tx, "took off a second factor", name)

    # Showing

    def prove(self, tx: Tx, user: int, name: str, shown: str) -> str:
        """Check a code that somebody showed, and use it up.

        Returns:
            What it was: `totp` or `recovery`; empty when it is wrong.
        """
        held = factors.find(tx, factors.TOTP, str(user))
        if held is not None:
            step = self._step(tx, held, shown)
            if step is not None and factors.use(tx, held.number, step):
                return factors.TOTP
        code = factors.find(tx, factors.RECOVERY, _digest(user, shown))
        if code is not None and factors.drop(
            tx, user, factors.RECOVERY, number=code.number
        ):
            left = {"left": self.codes_left(tx, user)}
            decided(tx, "used a recovery code", name, after=left)
            return factors.RECOVERY
        return ""

    def _step(self, tx: Tx, held: factors.Factor, shown: str) -> int | None:
        """Give the step that a code is of, None when it is of none that counts now."""
        code = "".join(shown.split())
        if len(code) != _DIGITS or not (code.isascii() and code.isdigit()):
            return None
        hotp, now = pyotp.HOTP(self._open(held)), tx.clock.now() // STEP
        found = None
        # Every step is compared, whichever fits: all answers take the same time.
        for step in range(now - DRIFT, now + DRIFT + 1):
            fits = hmac.compare_digest(hotp.at(step), code)
            if fits and step > held.counter:
                found = step
        return found

    def _open(self, held: factors.Factor) -> str:
        return self._node.seal.open(held.secret.decode())


def picture(address: str) -> bytes:
    """Draw an address as a QR code: an SVG file without inline style."""
    drawn = io.BytesIO()
    segno.make(address, error="m", micro=False).save(
        drawn, kind="svg", scale=5, border=4, dark="#000", light="#fff"
    )
    return drawn.getvalue()


def _code() -> str:
    groups = (
        "".join(secrets.choice(_LETTERS) for _ in range(_GROUP)) for _ in range(_GROUPS)
    )
    return "-".join(groups)


def _digest(user: int, code: str) -> str:
    # 138 bits of chance: no salt and no slow hash is needed to keep them.
    letters = "".join(one for one in code.casefold() if one.isalnum())
    return hashlib.sha256(f"{user}:{letters}".encode()).hexdigest()
