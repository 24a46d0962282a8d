"""Hand-overs between the shifts of one node, as its own people signed them off.

They are rows of `meta`: few, small, and nothing that gives to others reads them.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import orjson

from serantau import typed
from serantau.records.database import Tx

_PREFIX: Final = "shift "
_DIGITS: Final = 9


class Handing(msgspec.Struct, frozen=True, kw_only=True):
    """One hand-over.

    at: when it was given, as an instant. since: what is in it changed since then. gave:
    the account that gave it. to: whom it was given to, in that person's words. said: by
    whoever gave it. digest: SHA-256 of `told`, as canonical JSON. told: all of it.
    taken, took: when, and by which account, it was signed off; 0 and empty until then.
    """

    n: int
    at: int
    since: int
    gave: str
    to: str
    said: str
    digest: str
    told: dict[str, Any]
    taken: int = 0
    took: str = ""


class Shifts:
    """The rows of hand-overs."""

    def put(self, tx: Tx, one: Handing) -> None:
        """Write a hand-over, in place of what stands under its number."""
        tx.run(
            "INSERT INTO meta (name, value) VALUES (:name, :value) "
            "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            name=f"{_PREFIX}{one.n:0{_DIGITS}}",
            value=orjson.dumps(msgspec.to_builtins(one)).decode(),
        )

    def list(self, tx: Tx, most: int) -> list[Handing]:
        """Give the last hand-overs, the newest first."""
        rows = tx.rows(
            "SELECT value FROM meta WHERE name LIKE :names "
            "ORDER BY name DESC LIMIT :most",
            names=f"{_PREFIX}%",
            most=most,
        )
        return [typed.read(row.value, Handing) for row in rows]

    def arrived(self, tx: Tx, case: str, since: int) -> set[str]:
        """Give the entries of a case that came here after an instant, by whoever.

        A stamp is the time at which it was given out; what another node wrote earlier
        and sent later is new.
        """
        rows = tx.rows(
            "SELECT id FROM case_entry WHERE case_id = :case AND added > :since",
            case=case,
            since=since,
        )
        return {row.id for row in rows}

    def touched(self, tx: Tx, since: int) -> set[str]:
        """Give the cases of which an entry came here after an instant."""
        rows = tx.rows(
            "SELECT DISTINCT case_id FROM case_entry WHERE added > :since", since=since
        )
        return {row.case_id for row in rows}

    def last(self, tx: Tx) -> Handing | None:
        """Give the newest; None when there is none yet."""
        found = self.list(tx, 1)
        return found[0] if found else None
