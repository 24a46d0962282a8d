"""Rows of what is published on behalf: at its origin, and at the coordinator.

At the coordinator no row says who handed something over, from the first write on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from serantau.errors import NotFound
from serantau.records import behalf_tables
from serantau.records.database import Tx

WAITING: Final = "waiting"
FETCHED: Final = "fetched"
PUBLISHED: Final = "published"
REFUSED: Final = "refused"
WITHDRAWN: Final = "withdrawn"


@dataclass(frozen=True, slots=True)
class Handed:
    """What this node handed over.

    number: its row. hand: its random id. party: to whom. at: when last, as an instant.
    state: waiting to be fetched, fetched, refused there, or withdrawn. sealed: whether
    the coordinator keeps the origin, encrypted. token: sealed. how: level and edits.
    step: of the newest parcel. body: that parcel while it waits.
    """

    number: int
    hand: str
    party: str
    at: int
    actor: str
    state: str
    sealed: bool
    token: str
    how: dict[str, Any]
    step: int
    body: bytes

    @property
    def waits(self) -> bool:
        """Say whether a parcel of it was not fetched yet."""
        return bool(self.body)


@dataclass(frozen=True, slots=True)
class Link:
    """Which object was published as which. version: the one handed over last."""

    number: int
    original: str
    published: str
    version: str
    party: str
    state: str


@dataclass(frozen=True, slots=True)
class Held:
    """What this node was handed.

    state: waiting for a person, published, refused or withdrawn. day: when it came.
    body: objects that wait, a JSON list. published: ids. origin: encrypted, or empty.
    """

    number: int
    hand: str
    token: str
    day: str
    state: str
    step: int
    body: bytes
    published: tuple[str, ...]
    reason: str
    origin: str


_HANDED: Final = (
    "SELECT n, hand, party, at, actor, state, sealed, token, how, step, body "
    "FROM behalf_handed "
)
_LINKS: Final = (
    "SELECT h.n, l.original, l.published, l.version, h.party, h.state "
    "FROM behalf_link l JOIN behalf_handed h ON h.n = l.handed "
)
_HELD: Final = (
    "SELECT n, hand, token, day, state, step, body, published, reason, origin "
    "FROM behalf_held "
)


class Given:
    """The rows at the origin."""

    def add(
        self,
        tx: Tx,
        *,
        hand: str,
        party: str,
        actor: str,
        sealed: bool,
        token: str,
        how: Mapping[str, Any],
    ) -> int:
        """Begin a handing-over; gives its number. Nothing waits before `put`."""
        return tx.insert(
            behalf_tables.handed,
            {
                "hand": hand,
                "party": party,
                "at": tx.clock.now(),
                "actor": actor,
                "state": WAITING,
                "sealed": sealed,
                "token": token,
                "how": orjson.dumps(how).decode(),
                "step": 0,
                "body": b"",
            },
        )

    def put(
        self,
        tx: Tx,
        number: int,
        body: bytes,
        *,
        step: int,
        state: str,
        how: Mapping[str, Any],
    ) -> None:
        """Let a parcel wait, in place of one that was not fetched yet."""
        tx.overwrite()
        tx.run(
            "UPDATE behalf_handed SET body = :body, step = :step, state = :state, "
            "how = :how, at = :at WHERE n = :number",
            at=tx.clock.now(),
            body=body,
            step=step,
            state=state,
            how=orjson.dumps(how).decode(),
            number=number,
        )

    def bind(self, tx: Tx, number: int, links: Sequence[tuple[str, str, str]]) -> None:
        """Write down (original, published, version) of what is handed over now."""
        tx.run("DELETE FROM behalf_link WHERE handed = :number", number=number)
        tx.insert_many(
            behalf_tables.link,
            ("handed", "original", "published", "version"),
            [(number, *each) for each in links],
        )

    def all(self, tx: Tx) -> list[Handed]:
        """Give every row, oldest first."""
        return [_handed(row) for row in tx.rows(_HANDED + "ORDER BY n")]

    def get(self, tx: Tx, number: int) -> Handed:
        """Give one.

        Raises:
            NotFound: there is none.
        """
        row = tx.row(_HANDED + "WHERE n = :number", number=number)
        if row is None:
            raise NotFound(
                f"Nothing was handed over under number {number}.",
                mend="`serantau behalf list` shows what was.",
            )
        return _handed(row)

    def links(
        self, tx: Tx, *, number: int | None = None, original: str = ""
    ) -> list[Link]:
        """Give the links of one handing-over, or of one object."""
        where = "l.original = :original" if number is None else "h.n = :number"
        asked: dict[str, str | int]
        asked = {"original": original} if number is None else {"number": number}
        rows = tx.rows(f"{_LINKS}WHERE {where} ORDER BY h.n, l.original", **asked)
        return [Link(*row) for row in rows]

    def next(self, tx: Tx, party: str, *, sealed: bool) -> Handed | None:
        """Give the first parcel for a party; one that is sealed if it takes those."""
        row = tx.row(
            _HANDED + "WHERE party = :party AND length(body) > 0 "
            "AND (sealed = :no OR sealed = :sealed) ORDER BY n LIMIT 1",
            party=party,
            no=False,
            sealed=sealed,
        )
        return None if row is None else _handed(row)

    def fetched(self, tx: Tx, party: str, hand: str, step: int) -> None:
        """Write down that a party has a parcel: its text is not kept any longer."""
        tx.overwrite()
        tx.run(
            "UPDATE behalf_handed SET body = :none, state = CASE WHEN state = :waiting "
            "THEN :fetched ELSE state END "
            "WHERE party = :party AND hand = :hand AND step = :step",
            none=b"",
            waiting=WAITING,
            fetched=FETCHED,
            party=party,
            hand=hand,
            step=step,
        )

    def refused(self, tx: Tx, party: str, hands: Sequence[str]) -> None:
        """Write down what a party will not publish, as far as it is from here."""
        for hand in hands:
            tx.run(
                "UPDATE behalf_handed SET state = :refused "
                "WHERE party = :party AND hand = :hand AND state = :fetched",
                refused=REFUSED,
                fetched=FETCHED,
                party=party,
                hand=hand,
            )


class Taken:
    """The rows at the coordinator."""

    def put(self, tx: Tx, held: Held) -> None:
        """Write one, or write it anew; what it said before is overwritten."""
        values = {
            "hand": held.hand,
            "token": held.token,
            "day": held.day,
            "state": held.state,
            "step": held.step,
            "body": held.body,
            "published": orjson.dumps(held.published).decode(),
            "reason": held.reason,
            "origin": held.origin,
        }
        tx.overwrite()
        if not held.number:
            tx.insert(behalf_tables.held, values)
            return
        tx.run(
            "UPDATE behalf_held SET hand = :hand, token = :token, day = :day, "
            "state = :state, step = :step, body = :body, published = :published, "
            "reason = :reason, origin = :origin WHERE n = :number",
            number=held.number,
            **values,
        )

    def all(self, tx: Tx) -> list[Held]:
        """Give every row, oldest first."""
        return [_held(row) for row in tx.rows(_HELD + "ORDER BY n")]

    def waiting(self, tx: Tx) -> int:
        """Count what waits for a person."""
        return int(
            tx.value(
                "SELECT count(*) FROM behalf_held WHERE state = :state", state=WAITING
            )
        )

    def refused(self, tx: Tx, most: int) -> tuple[str, ...]:
        """Give the random ids of what was refused, the newest."""
        rows = tx.rows(
            "SELECT hand FROM behalf_held WHERE state = :state ORDER BY n DESC "
            "LIMIT :most",
            state=REFUSED,
            most=most,
        )
        return tuple(str(row.hand) for row in rows)

    def find(self, tx: Tx, hand: str) -> Held | None:
        """Give the one of a random id, if there is one."""
        row = tx.row(_HELD + "WHERE hand = :hand", hand=hand)
        return None if row is None else _held(row)

    def get(self, tx: Tx, number: int) -> Held:
        """Give one.

        Raises:
            NotFound: there is none.
        """
        row = tx.row(_HELD + "WHERE n = :number", number=number)
        if row is None:
            raise NotFound(
                f"Nothing came under number {number}.",
                mend="`serantau behalf list` shows what came.",
            )
        return _held(row)


def _handed(row: Any) -> Handed:
    return Handed(
        int(row.n),
        row.hand,
        row.party,
        int(row.at),
        row.actor,
        row.state,
        bool(row.sealed),
        row.token,
        orjson.loads(row.how),
        int(row.step),
        bytes(row.body),
    )


def _held(row: Any) -> Held:
    return Held(
        int(row.n),
        row.hand,
        row.token,
        row.day,
        row.state,
        int(row.step),
        bytes(row.body),
        tuple(orjson.loads(row.published)),
        row.reason,
        row.origin,
    )
