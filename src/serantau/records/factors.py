"""What users prove themselves by beside the password: rows of `factor`.

A secret that must be said again (of an authenticator app) is sealed with the node's
key. Of recovery codes there are digests only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from serantau.records import people_tables
from serantau.records.database import Tx

TOTP: Final = "totp"
PASSKEY: Final = "passkey"
RECOVERY: Final = "recovery"
OIDC: Final = "oidc"
PENDING: Final = "pending"
"""An authenticator app that did not show a right code yet: it lets nobody in."""
SECOND: Final = (TOTP, PASSKEY)
"""What asks for a second step at sign-in; mirrored in Registry's question."""


@dataclass(frozen=True, slots=True)
class Factor:
    """One row. counter: of a passkey's signatures, or the step of the last code."""

    number: int
    user: int
    kind: str
    key: str
    secret: bytes
    label: str
    counter: int
    created: int
    used: int


def put(
    tx: Tx,
    user: int,
    kind: str,
    key: str,
    *,
    secret: bytes = b"",
    label: str = "",
    counter: int = 0,
) -> int:
    """Add a factor of a user, in place of one with the same key; gives its number."""
    tx.run("DELETE FROM factor WHERE kind = :kind AND key = :key", kind=kind, key=key)
    return tx.insert(
        people_tables.factor,
        {
            "user_account": user,
            "kind": kind,
            "key": key,
            "secret": secret,
            "label": label,
            "counter": counter,
            "created": tx.clock.now(),
            "used": 0,
        },
    )


def of(tx: Tx, user: int, *kinds: str) -> list[Factor]:
    """List a user's factors of these kinds, all without any, the oldest first."""
    rows = tx.rows(
        "SELECT * FROM factor WHERE user_account = :user ORDER BY n", user=user
    )
    return [_read(row) for row in rows if not kinds or row.kind in kinds]


def find(tx: Tx, kind: str, key: str) -> Factor | None:
    """Give the factor of this kind and key."""
    row = tx.row(
        "SELECT * FROM factor WHERE kind = :kind AND key = :key", kind=kind, key=key
    )
    return None if row is None else _read(row)


def use(tx: Tx, number: int, counter: int) -> bool:
    """Note that a factor was used at a later step; False when that was done before."""
    return bool(
        tx.run(
            "UPDATE factor SET counter = :counter, used = :now "
            "WHERE n = :n AND counter < :counter",
            counter=counter,
            now=tx.clock.now(),
            n=number,
        )
    )


def note_use(tx: Tx, number: int, counter: int) -> None:
    """Note that a factor was used, whose counter may stay the same."""
    tx.run(
        "UPDATE factor SET counter = :counter, used = :now WHERE n = :n",
        counter=counter,
        now=tx.clock.now(),
        n=number,
    )


def drop(tx: Tx, user: int, *kinds: str, number: int | None = None) -> int:
    """Take a user's factors of these kinds away, or one of them; gives how many."""
    done = 0
    for kind in kinds:
        chosen = "" if number is None else "AND n = :n "
        done += tx.run(
            f"DELETE FROM factor WHERE user_account = :user AND kind = :kind {chosen}",
            user=user,
            kind=kind,
            n=number,
        )
    return done


def _read(row: Any) -> Factor:
    return Factor(
        number=int(row.n),
        user=int(row.user_account),
        kind=row.kind,
        key=row.key,
        secret=bytes(row.secret),
        label=row.label,
        counter=int(row.counter),
        created=int(row.created),
        used=int(row.used),
    )
