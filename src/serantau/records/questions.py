"""Questions to the archive of events that somebody keeps under a name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from serantau.errors import BadRequest, Forbidden, NotFound
from serantau.records import event_tables
from serantau.records.database import Tx

MOST: Final = 500
"""Questions that one user keeps."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question. owner: who keeps it. shared: all of the node's people see it.

    asked: what a page's address says after `?`.
    """

    number: int
    name: str
    owner: str
    mine: bool
    shared: bool
    asked: str
    made: int


class Questions:
    """Reads and writes saved questions; `user` is the number of who asks."""

    def all(self, tx: Tx, user: int, limit: int = 1000) -> list[Question]:
        """Give a user's own questions and those that others share, by name."""
        rows = tx.rows(
            _FIND + "WHERE q.user_account = :user OR q.shared "
            "ORDER BY q.name, q.n LIMIT :most",
            user=user,
            most=limit,
        )
        return [_question(row, user) for row in rows]

    def put(
        self, tx: Tx, user: int, name: str, asked: str, *, shared: bool
    ) -> Question:
        """Keep a question; one of that user by that name is replaced.

        Raises:
            BadRequest: the user keeps too many.
        """
        tx.run(
            "DELETE FROM event_question WHERE user_account = :user AND name = :name",
            user=user,
            name=name,
        )
        held = tx.value(
            "SELECT count(*) FROM event_question WHERE user_account = :user", user=user
        )
        if int(held) >= MOST:
            raise BadRequest(f"You keep {MOST} questions: delete some first.")
        number = tx.insert(
            event_tables.question,
            {
                "user_account": user,
                "name": name,
                "shared": shared,
                "asked": asked,
                "made": tx.clock.now(),
            },
        )
        return self.get(tx, user, number)

    def get(self, tx: Tx, user: int, number: int) -> Question:
        """Give a question that a user may see.

        Raises:
            NotFound: there is none, or it is another's own.
        """
        row = tx.row(
            _FIND + "WHERE q.n = :number AND (q.user_account = :user OR q.shared)",
            number=number,
            user=user,
        )
        if row is None:
            raise NotFound(f"There is no saved question {number}.")
        return _question(row, user)

    def drop(self, tx: Tx, user: int, number: int, *, any_of: bool = False) -> None:
        """Delete a question; `any_of`: also one that another shares.

        Raises:
            NotFound: as `get`.
            Forbidden: it is another's.
        """
        held = self.get(tx, user, number)
        if not (held.mine or any_of):
            raise Forbidden(f"The question {held.name!r} is kept by {held.owner}.")
        tx.run("DELETE FROM event_question WHERE n = :number", number=number)


_FIND: Final = (
    "SELECT q.n, q.name, q.user_account, u.name AS owner, q.shared, q.asked, q.made "
    "FROM event_question q JOIN user_account u ON u.n = q.user_account "
)


def _question(row: Any, user: int) -> Question:
    return Question(
        number=int(row.n),
        name=row.name,
        owner=row.owner,
        mine=int(row.user_account) == user,
        shared=bool(row.shared),
        asked=row.asked,
        made=int(row.made),
    )
