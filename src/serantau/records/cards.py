"""Contact cards among the objects, what proved of them here, and drills.

A card itself is an object. What this node's own people found out about it stands here
and leaves the node by no way.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Final

from serantau.errors import NotFound
from serantau.records import card_tables
from serantau.records.database import Tx
from serantau.rules.card import CARD_EXTENSION

MAIL: Final = "mail"
PHONE: Final = "phone"
PERSON: Final = "person"

WAITING: Final = "waiting"
SENDING: Final = "sending"
SENT: Final = "sent"
REACHED: Final = "reached"
WRONG: Final = "wrong"
SILENT: Final = "silent"
FAILED: Final = "failed"


@dataclass(frozen=True, slots=True)
class Check:
    """Somebody found out whether a card holds. way: mail, phone or person."""

    n: int
    card: str
    at: int
    actor: str
    way: str
    holds: bool
    said: str


@dataclass(frozen=True, slots=True)
class Drill:
    """A drill of reachability. ends, closed: instants; closed is 0 while it runs."""

    n: int
    at: int
    ends: int
    actor: str
    closed: int


@dataclass(frozen=True, slots=True)
class Ask:
    """One address that a drill asks.

    card: an id. way: mail or phone. state: waiting; sending, when nobody knows how that
    ended; sent; reached; wrong: somebody else was; silent: a call was not answered;
    failed: it cannot be handed over. due: when it may be tried. said: in whose words.
    """

    n: int
    drill: int
    card: str
    party: str
    way: str
    address: str
    state: str
    due: int
    tries: int
    sent: int
    answered: int
    said: str


_CHECK: Final = ", ".join(field.name for field in fields(Check))
_DRILL: Final = ", ".join(field.name for field in fields(Drill))
_ASK: Final = ", ".join(field.name for field in fields(Ask))


class Cards:
    """The rows of cards."""

    def ids(self, tx: Tx, after: int = 0) -> list[str]:
        """Give the ids of all objects that may be, or were, cards.

        `after`: only of those of which a version came after this stamp.
        """
        find = "instr(o.body, :mark)" if tx.lite else "position(:mark IN o.body)"
        rows = tx.rows(
            "SELECT DISTINCT o.id FROM marking_set m JOIN object o "
            "ON o.slot IN (2 * m.n, 2 * m.n + 1) "
            "AND o.type = (SELECT n FROM word WHERE text = 'identity') "
            f"AND o.added > :after WHERE {find} > 0 ORDER BY o.id",
            mark=CARD_EXTENSION.encode(),
            after=after,
        )
        return [str(row.id) for row in rows]

    def note(
        self, tx: Tx, card: str, *, actor: str, way: str, holds: bool, said: str = ""
    ) -> None:
        """Note what was found out about a card."""
        row = (card, tx.clock.now(), actor, way, holds, said)
        names = ("card", "at", "actor", "way", "holds", "said")
        tx.insert_many(card_tables.check, names, [row])

    def checks(self, tx: Tx) -> dict[str, list[Check]]:
        """Give what was found out, by card, the oldest first."""
        found: dict[str, list[Check]] = {}
        for row in tx.rows(f"SELECT {_CHECK} FROM card_check ORDER BY at, n"):
            one = Check(*row)
            found.setdefault(one.card, []).append(one)
        return found

    def forget(self, tx: Tx, card: str) -> None:
        """Forget what was found out about a card, and whom drills and letters asked."""
        tx.overwrite()
        for table in ("card_check", "card_ask"):
            tx.run(f"DELETE FROM {table} WHERE card = :card", card=card)
        tx.run("UPDATE case_mail_letter SET address = '' WHERE card = :card", card=card)

    # Drills

    def begin(
        self,
        tx: Tx,
        actor: str,
        ends: int,
        asked: Iterable[tuple[str, str, str, str]],
    ) -> Drill:
        """Begin a drill; `asked`: card, party, way and address of each."""
        now = tx.clock.now()
        number = tx.insert(
            card_tables.drill, {"at": now, "ends": ends, "actor": actor, "closed": 0}
        )
        names = tuple(field.name for field in fields(Ask)[1:])
        tx.insert_many(
            card_tables.ask,
            names,
            [(number, *one, WAITING, now, 0, 0, 0, "") for one in asked],
        )
        return self.drill(tx, number)

    def drill(self, tx: Tx, number: int = 0) -> Drill:
        """Give a drill; 0: the last.

        Raises:
            NotFound: there is none.
        """
        row = tx.row(
            f"SELECT {_DRILL} FROM card_drill WHERE :number IN (0, n) "
            "ORDER BY n DESC LIMIT 1",
            number=number,
        )
        if row is None:
            raise NotFound(
                f"There is no drill {number}." if number else "There was no drill yet.",
                mend="`serantau contacts ping` begins one.",
            )
        return Drill(*row)

    def close(self, tx: Tx) -> int:
        """End the drills whose time is over; gives how many."""
        return tx.run(
            "UPDATE card_drill SET closed = :now WHERE closed = 0 AND ends <= :now",
            now=tx.clock.now(),
        )

    def running(self, tx: Tx) -> Drill | None:
        """Give the drill that runs, if one does."""
        row = tx.row(
            f"SELECT {_DRILL} FROM card_drill WHERE closed = 0 AND ends > :now "
            "ORDER BY n DESC LIMIT 1",
            now=tx.clock.now(),
        )
        return None if row is None else Drill(*row)

    def asks(self, tx: Tx, drill: int) -> list[Ask]:
        """Give what a drill asks, by party."""
        rows = tx.rows(
            f"SELECT {_ASK} FROM card_ask WHERE drill = :drill "
            "ORDER BY party, card, way, n",
            drill=drill,
        )
        return [Ask(*row) for row in rows]

    def ask(self, tx: Tx, number: int) -> Ask | None:
        """Give one ask."""
        row = tx.row(f"SELECT {_ASK} FROM card_ask WHERE n = :n", n=number)
        return None if row is None else Ask(*row)

    def take(self, tx: Tx, way: str) -> Ask | None:
        """Take the next ask of a running drill that is due, for this process alone."""
        row = tx.row(
            f"SELECT {_prefixed('a')} FROM card_ask a JOIN card_drill d "
            "ON d.n = a.drill WHERE a.state = :waiting AND a.due <= :now "
            "AND a.way = :way AND d.closed = 0 AND d.ends > :now "
            "ORDER BY a.due, a.n LIMIT 1",
            waiting=WAITING,
            now=tx.clock.now(),
            way=way,
        )
        if row is None:
            return None
        one = Ask(*row)
        taken = self.move(tx, one, WAITING, SENDING, tries=one.tries + 1)
        return one if taken else None

    def move(self, tx: Tx, ask: Ask, before: str, after: str, **values: Any) -> bool:
        """Put an ask from one state into another; False when it is not in the first."""
        names = "".join(f", {name} = :{name}" for name in values)
        return bool(
            tx.run(
                f"UPDATE card_ask SET state = :after{names} "
                "WHERE n = :n AND state = :before",
                n=ask.n,
                before=before,
                after=after,
                **values,
            )
        )


def _prefixed(table: str) -> str:
    return ", ".join(f"{table}.{field.name}" for field in fields(Ask))
