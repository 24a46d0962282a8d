"""The people of a node as one list: who may sign in, how, and who was seen when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from serantau.records.database import Tx

_COLUMNS: Final = (
    "SELECT u.n, u.name, p.name AS party, p.kind AS kind, u.role, u.disabled, "
    "CASE WHEN u.password <> '' THEN 1 ELSE 0 END AS password, "
    "coalesce(h.full_name, '') AS full_name, "
    "coalesce(h.scope, '') AS scope, coalesce(h.ends, 0) AS ends, "
    "coalesce((SELECT max(s.seen) FROM session s WHERE s.user_account = u.n), 0) "
    "AS seen, "
    "(SELECT count(*) FROM session s WHERE s.user_account = u.n "
    "AND s.expires > :now) AS sessions, "
    "(SELECT count(*) FROM factor f WHERE f.user_account = u.n "
    "AND f.kind IN ('totp', 'passkey')) AS second, "
    "coalesce((SELECT max(t.expires) FROM ticket t WHERE t.user_account = u.n "
    "AND t.purpose = 'invitation' AND t.expires > :now), 0) AS invited "
    "FROM user_account u JOIN party p ON p.n = u.party "
    "LEFT JOIN person h ON h.user_account = u.n "
)


@dataclass(frozen=True, slots=True)
class Account:
    """A user as an administrator sees it.

    kind: of its party. seen: when a session of its was last in use, 0 for never or
    long ago. sessions, second: how many it has. invited: when a link of its ends that
    nobody used yet, 0 for none. scope, ends: as in `Person`.
    """

    number: int
    name: str
    party: str
    kind: str
    role: str
    disabled: bool
    password: bool
    full_name: str
    scope: str
    ends: int
    seen: int
    sessions: int
    second: int
    invited: int


def accounts(tx: Tx, after: str = "", most: int = 100) -> list[Account]:
    """List users by name, those after a name."""
    rows = tx.rows(
        f"{_COLUMNS} WHERE u.name > :after ORDER BY u.name LIMIT :most",
        now=tx.clock.now(),
        after=after,
        most=most,
    )
    return [_read(row) for row in rows]


def account(tx: Tx, number: int) -> Account | None:
    """Give one user by its number."""
    row = tx.row(f"{_COLUMNS} WHERE u.n = :n", now=tx.clock.now(), n=number)
    return None if row is None else _read(row)


def founders(tx: Tx) -> list[Account]:
    """List the administrators who are not kept out, the oldest first."""
    return [
        _read(row)
        for row in tx.rows(
            f"{_COLUMNS} WHERE u.role = 'admin' AND NOT u.disabled ORDER BY u.n",
            now=tx.clock.now(),
        )
    ]


def _read(row: Any) -> Account:
    return Account(
        number=int(row.n),
        name=row.name,
        party=row.party,
        kind=row.kind,
        role=row.role,
        disabled=bool(row.disabled),
        password=bool(row.password),
        full_name=row.full_name,
        scope=row.scope,
        ends=int(row.ends),
        seen=int(row.seen),
        sessions=int(row.sessions),
        second=int(row.second),
        invited=int(row.invited),
    )
