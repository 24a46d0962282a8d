"""Sessions of people at the pages, and tickets: secrets that are good once.

Only digests are stored: who reads the database can neither take a session over nor use
a link. A secret is 256 bits of chance, so its digest needs no salt.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from serantau.records import people_tables
from serantau.records.database import Tx
from serantau.records.registry import Caller, Registry
from serantau.rules.role import Power, powers_of

_BYTES: Final = 32
_MINUTE: Final = 60_000_000
_KEPT: Final = 90 * 24 * 60 * _MINUTE
_LONGEST: Final = 200
ENGLISH: Final = "en"


@dataclass(frozen=True, slots=True)
class Person:
    """How a user reads pages, and how far it is let in; see `people_tables.person`."""

    full_name: str = ""
    language: str = ""
    zone: str = "UTC"
    calendar: str = "gregorian"
    scope: str = ""
    ends: int = 0


@dataclass(frozen=True, slots=True)
class Signed:
    """Somebody who is signed in.

    number: of the session, 0 for nobody's. user: number of the account. ways: by what
    it was proven. stale: `seen` is older than a minute.
    """

    number: int
    user: int
    caller: Caller
    powers: frozenset[Power]
    person: Person
    ways: str
    created: int
    expires: int
    stale: bool

    def may(self, power: Power) -> bool:
        """Say whether this person has a power."""
        return power in self.powers


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket that was just used: whose it was (0 for nobody's), and what it says."""

    user: int
    says: Mapping[str, Any]


class Sessions:
    """Opens, finds and ends sessions; issues and redeems tickets."""

    def __init__(self, registry: Registry, hours: int, idle_minutes: int) -> None:
        """Let a session last `hours`, and without a request `idle_minutes`."""
        self._registry = registry
        self._lasts = hours * 60 * _MINUTE
        self._idle = idle_minutes * _MINUTE

    def open(
        self, tx: Tx, user: int, ways: str, *, address: str = "", agent: str = ""
    ) -> str:
        """Open a session of an account, and give its secret: told once, stored nowhere.

        What ended is kept for a while, to say when somebody was seen last; what ended
        long ago is taken out on the way.
        """
        now, secret = tx.clock.now(), secrets.token_urlsafe(_BYTES)
        tx.run("DELETE FROM session WHERE expires <= :past", past=now - _KEPT)
        tx.insert(
            people_tables.session,
            {
                "digest": _digest(secret),
                "user_account": user,
                "ways": ways,
                "created": now,
                "seen": now,
                "expires": now + self._lasts,
                "address": address[:_LONGEST],
                "agent": agent[:_LONGEST],
            },
        )
        return secret

    def find(self, tx: Tx, secret: str) -> Signed | None:
        """Give who is signed in by a secret, if anyone is now."""
        now = tx.clock.now()
        row = tx.row(
            "SELECT s.n, s.user_account, s.ways, s.created, s.seen, s.expires, u.name "
            "FROM session s JOIN user_account u ON u.n = s.user_account "
            "WHERE s.digest = :digest AND s.expires > :now AND s.seen > :idle",
            digest=_digest(secret),
            now=now,
            idle=now - self._idle,
        )
        if row is None:
            return None
        caller = self._registry.caller_by_name(tx, row.name)
        person = person_of(tx, int(row.user_account))
        if caller is None or (person.ends and person.ends <= now):
            return None
        return Signed(
            number=int(row.n),
            user=int(row.user_account),
            caller=caller,
            powers=powers_of(caller.role, caller.own),
            person=person,
            ways=row.ways,
            created=int(row.created),
            expires=int(row.expires),
            stale=now - int(row.seen) > _MINUTE,
        )

    @staticmethod
    def touch(tx: Tx, number: int) -> None:
        """Note that a session is in use."""
        tx.run(
            "UPDATE session SET seen = :now WHERE n = :n", now=tx.clock.now(), n=number
        )

    @staticmethod
    def end(tx: Tx, user: int, *, number: int | None = None, but: int = 0) -> int:
        """End one session of an account, or all but one; gives how many."""
        chosen = "" if number is None else "AND n = :number "
        return tx.run(
            "UPDATE session SET expires = :now WHERE user_account = :user "
            f"AND expires > :now {chosen}AND n <> :but",
            user=user,
            number=number,
            but=but,
            now=tx.clock.now(),
        )

    @staticmethod
    def prove(tx: Tx, number: int, ways: str) -> None:
        """Note by what more a session was proven."""
        tx.run("UPDATE session SET ways = :ways WHERE n = :n", ways=ways, n=number)

    def of(self, tx: Tx, user: int) -> list[Any]:
        """List an account's sessions that still hold, the newest first."""
        now = tx.clock.now()
        return tx.rows(
            "SELECT n, ways, created, seen, expires, address, agent FROM session "
            "WHERE user_account = :user AND expires > :now AND seen > :idle "
            "ORDER BY n DESC",
            user=user,
            now=now,
            idle=now - self._idle,
        )

    @staticmethod
    def issue(
        tx: Tx, purpose: str, user: int, seconds: int, body: Mapping[str, Any]
    ) -> str:
        """Issue a ticket, and give its secret: told once, stored nowhere.

        What ended unused is taken out on the way.
        """
        now, secret = tx.clock.now(), secrets.token_urlsafe(_BYTES)
        tx.run("DELETE FROM ticket WHERE expires <= :now", now=now)
        tx.insert(
            people_tables.ticket,
            {
                "digest": _digest(secret),
                "purpose": purpose,
                "user_account": user,
                "body": orjson.dumps(dict(body)).decode(),
                "created": now,
                "expires": now + seconds * 1_000_000,
            },
        )
        return secret

    @staticmethod
    def look(tx: Tx, purpose: str, secret: str) -> Ticket | None:
        """Give a ticket that holds, without using it."""
        row = tx.row(
            "SELECT user_account, body FROM ticket WHERE digest = :digest "
            "AND purpose = :purpose AND expires > :now",
            digest=_digest(secret),
            purpose=purpose,
            now=tx.clock.now(),
        )
        if row is None:
            return None
        return Ticket(int(row.user_account), orjson.loads(row.body))

    @classmethod
    def redeem(cls, tx: Tx, purpose: str, secret: str) -> Ticket | None:
        """Use a ticket: of two that try, one gets it."""
        found = cls.look(tx, purpose, secret)
        if found is None:
            return None
        done = tx.run(
            "DELETE FROM ticket WHERE digest = :digest", digest=_digest(secret)
        )
        return found if done else None

    @staticmethod
    def withdraw(tx: Tx, purpose: str, user: int) -> int:
        """Make an account's tickets of a purpose good for nothing; gives how many."""
        return tx.run(
            "DELETE FROM ticket WHERE purpose = :purpose AND user_account = :user",
            purpose=purpose,
            user=user,
        )


def user_number(tx: Tx, name: str) -> int:
    """Give the number of an account, 0 for none of this name."""
    found = tx.value("SELECT n FROM user_account WHERE name = :name", name=name)
    return int(found or 0)


def person_of(tx: Tx, user: int) -> Person:
    """Give how an account reads pages; the defaults when it never said."""
    row = tx.row("SELECT * FROM person WHERE user_account = :user", user=user)
    if row is None:
        return Person()
    return Person(
        full_name=row.full_name,
        language=row.language,
        zone=row.zone,
        calendar=row.calendar,
        scope=row.scope,
        ends=int(row.ends),
    )


def put_person(tx: Tx, user: int, person: Person) -> None:
    """Set how an account reads pages, and how far it is let in."""
    tx.run("DELETE FROM person WHERE user_account = :user", user=user)
    tx.insert(
        people_tables.person,
        {
            "user_account": user,
            "full_name": person.full_name,
            "language": person.language,
            "zone": person.zone,
            "calendar": person.calendar,
            "scope": person.scope,
            "ends": person.ends,
        },
    )


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
