"""Who is let in at the pages: invitations, first passwords, and what ends a stay.

A link is good once and for three days. Opening it changes nothing; who sends the form
behind it is in. A lost password is mended by a new link, which an administrator makes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

from serantau.clock import instant, stix_text
from serantau.errors import BadInput, BadRequest, Forbidden, NotFound
from serantau.node import Node
from serantau.records import factors
from serantau.records.acts import decided
from serantau.records.cases import Cases
from serantau.records.database import Tx
from serantau.records.people import account, founders
from serantau.records.sessions import (
    Person,
    Sessions,
    person_of,
    put_person,
    user_number,
)
from serantau.rules.password import weakness
from serantau.rules.role import ROLES, Role

INVITATION: Final = "invitation"
INVITED_PATH: Final = "/invited"
INVITED_HOURS: Final = 72
LINK: Final = "link"
"""How a session was opened that began with an invitation."""
_NAME: Final = 60


@dataclass(frozen=True, slots=True)
class Wish:
    """Who is to be let in. case, until: for a guest; until may be given to anyone."""

    name: str
    role: str
    party: str = ""
    full_name: str = ""
    case: str = ""
    until: str = ""


@dataclass(frozen=True, slots=True)
class Invited:
    """Whom a link is for. second: it has a second factor."""

    user: int
    name: str
    party: str
    role: str
    person: Person
    second: bool


class SignIn:
    """Lets people in at the pages of one node."""

    def __init__(self, node: Node) -> None:
        """Let in the people of `node`."""
        self._node = node
        http = node.config.http
        self.sessions = Sessions(
            node.registry, http.session_hours, http.session_idle_minutes
        )

    @property
    def address(self) -> str:
        """Give where browsers reach this node."""
        http = self._node.config.http
        scheme = "https" if http.certificate else "http"
        host = f"[{http.host}]" if ":" in http.host else http.host
        return http.base_url.rstrip("/") or f"{scheme}://{host}:{http.port}"

    @property
    def names(self) -> tuple[str, ...]:
        """Give what a guesser knows of this node, besides the user's name."""
        here = self._node.config.node
        return (here.team, urlsplit(self.address).hostname or "")

    def refuse_outsider(self, tx: Tx, name: str) -> None:
        """Make sure that a user may come in now.

        Raises:
            Forbidden: it is kept out, or its last day has come.
        """
        person = person_of(tx, user_number(tx, name))
        if self._node.registry.caller_by_name(tx, name) is None:
            raise Forbidden(f"{name} may not come in.")
        if 0 < person.ends <= tx.clock.now():
            last = stix_text(person.ends)[:10]
            raise Forbidden(f"{name} was let in until {last}.")

    # Invitations

    def invite(self, tx: Tx, wish: Wish) -> str:
        """Add a user that has no password yet, and give its link.

        Raises:
            BadRequest: a guest without a case or an end, or the other way round.
            NotFound: there is no such party or case.
            Conflict: the name is taken.
        """
        if len(wish.name) > _NAME:
            raise BadRequest(f"The name is too long: at most {_NAME} letters.")
        party = wish.party or self._node.audiences.own
        person = self._limits(tx, wish)
        user = self._node.registry.add_user(tx, wish.name, party, wish.role)
        put_person(tx, user, person)
        return self._link(tx, user, wish.name)

    def _limits(self, tx: Tx, wish: Wish) -> Person:
        role = ROLES.get(wish.role, Role("", frozenset(), "", ""))
        if role.scoped and not wish.case:
            raise BadRequest(
                f"A {wish.role} is let into one case: which?",
                mend="--case with the id that `serantau case list` shows.",
            )
        if wish.case and not role.scoped:
            raise BadRequest(f"The role {wish.role} is not for one case: no case.")
        if role.ends and not wish.until:
            raise BadRequest(
                f"A {wish.role} is let in until a day: which?",
                mend="--until with a day, such as 2027-01-31.",
            )
        scope = Cases().find(tx, wish.case).id if wish.case else ""
        ends = day(wish.until) if wish.until else 0
        if ends and ends <= tx.clock.now():
            raise BadRequest(f"until: {wish.until} is past, expected a day to come.")
        return Person(full_name=wish.full_name.strip(), scope=scope, ends=ends)

    def new_link(self, tx: Tx, name: str, *, drop_factors: bool = False) -> str:
        """Give a user another link, in place of earlier ones; its password holds on.

        Args:
            tx: a transaction that writes.
            name: whose.
            drop_factors: its second factors are gone from now on, for one who lost
                them. Its sessions end.

        Raises:
            NotFound: no user has this name.
            Forbidden: it is kept out.
        """
        held = account(tx, user_number(tx, name))
        if held is None:
            raise NotFound(f"No user is named {name!r}.")
        if held.disabled:
            raise Forbidden(f"User {name} is kept out.", mend="Let it in again first.")
        if drop_factors:
            kinds = (*factors.SECOND, factors.RECOVERY, factors.PENDING)
            gone = factors.drop(tx, held.number, *kinds)
            self.sessions.end(tx, held.number)
            decided(tx, "took second factors off a user", name, before={"held": gone})
        return self._link(tx, held.number, name)

    def _link(self, tx: Tx, user: int, name: str) -> str:
        self.sessions.withdraw(tx, INVITATION, user)
        decided(tx, "made a link to sign in", name, after={"hours": INVITED_HOURS})
        seconds = INVITED_HOURS * 3600
        secret = self.sessions.issue(tx, INVITATION, user, seconds, {})
        return f"{self.address}{INVITED_PATH}?t={secret}"

    def first(self, tx: Tx) -> str:
        """Name the first administrator, empty when one was at work here already."""
        held = founders(tx)
        if any(each.password or each.second or each.seen for each in held):
            return ""
        return held[0].name if held else ""

    def invited(self, tx: Tx, secret: str) -> Invited | None:
        """Give whom a link is for, without using it; None for a link that is over."""
        found = self.sessions.look(tx, INVITATION, secret)
        return None if found is None else self._invited(tx, found.user)

    def _invited(self, tx: Tx, user: int) -> Invited | None:
        held, person = account(tx, user), person_of(tx, user)
        if (
            held is None
            or 0 < person.ends <= tx.clock.now()
            or self._node.registry.caller_by_name(tx, held.name) is None
        ):
            return None
        return Invited(
            user, held.name, held.party, held.role, person, bool(held.second)
        )

    def accept(
        self, tx: Tx, secret: str, password: str, reads: Person
    ) -> Invited | None:
        """Use a link: set the password, and how the user reads pages.

        Args:
            tx: a transaction that writes.
            secret: the link's.
            password: a new one; empty where another way in was shown.
            reads: of these language, zone and calendar count.

        Returns:
            Who it is; None when the link is over.
        """
        found = self.sessions.redeem(tx, INVITATION, secret)
        invited = None if found is None else self._invited(tx, found.user)
        if invited is None:
            return None
        if password:
            self._node.registry.set_user(tx, invited.name, password=password)
        put_person(tx, invited.user, as_read(invited.person, reads))
        return invited


def as_read(person: Person, reads: Person) -> Person:
    """Give a person with the language, zone and calendar of another."""
    return replace(
        person, language=reads.language, zone=reads.zone, calendar=reads.calendar
    )


def refuse_weak(password: str, *names: str) -> None:
    """Make sure that a password is good enough.

    Raises:
        BadInput: it is not, and why.
    """
    why = weakness(password, *names)
    if why is not None:
        raise BadInput(f"This password will not do. {why}")


def day(text: str) -> int:
    """Give the instant at which a day begins in UTC.

    Raises:
        BadRequest: it is no day.
    """
    try:
        return instant(f"{text.strip()}T00:00:00Z")
    except ValueError as fault:
        raise BadRequest(
            f"{text[:40]!r} is no day.", mend="Such as 2027-01-31."
        ) from fault
