"""Cases by mail: which threads there are, letters that go out, and mails that came in.

A letter is `waiting` until it is taken; `taken` until all but its last byte is through;
`handing` until the mail server said that it has it; then `sent`. What a worker that was
killed leaves as `taken` waits again, since no server keeps half a message. What it
leaves as `handing` is `unsure`, and a person says what became of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import orjson

from serantau.errors import Conflict, NotFound
from serantau.records import mail_tables
from serantau.records.database import Tx

WAITING: Final = "waiting"
TAKEN: Final = "taken"
HANDING: Final = "handing"
SENT: Final = "sent"
UNSURE: Final = "unsure"
BOUNCED: Final = "bounced"
FAILED: Final = "failed"

ENTRY: Final = "entry"
HELD: Final = "held"
DROPPED: Final = "dropped"
_TOLD: Final = (TAKEN, HANDING, SENT, UNSURE, FAILED, BOUNCED)
_SHOWN: Final = 300


@dataclass(frozen=True, slots=True)
class Thread:
    """A case and a party of it that takes part by mail; see `mail_tables`."""

    n: int
    case_id: str
    party: str
    name: str
    token: str
    entries: int
    root: str
    last: str
    theirs: str
    trouble: str
    trouble_at: int


@dataclass(frozen=True, slots=True)
class Post:
    """A letter; see `mail_tables`. said: why it waits, or how it ended."""

    n: int
    thread: int
    state: str
    made: int
    key: str
    entries: str
    card: str
    address: str
    clear: bool
    due: int
    tries: int
    lease: int
    sent: int
    said: str

    @property
    def told(self) -> list[str]:
        """Give the ids of the entries that it tells."""
        found: list[str] = orjson.loads(self.entries or "[]")
        return found


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail that came in, without its bytes; see `mail_tables`."""

    n: int
    thread: int
    at: int
    state: str
    why: str
    name: str
    sender: str
    subject: str
    signature: str
    fingerprint: str
    digest: str
    text: str
    entries: str
    actor: str


_THREAD: Final = ", ".join(field.name for field in fields(Thread))
_POST: Final = ", ".join(field.name for field in fields(Post))
_MAIL: Final = ", ".join(field.name for field in fields(Mail))


class Mails:
    """The rows of cases by mail."""

    # Threads

    def behind(self, tx: Tx) -> list[tuple[str, str, str]]:
        """Give the parties by mail whose cases have entries nobody looked at for them.

        Each as case, identity and name.
        """
        return [
            (row.case_id, row.party, row.name)
            for row in tx.rows(
                "SELECT p.case_id, p.party, p.name FROM case_part p "
                "JOIN case_board b ON b.id = p.case_id "
                "LEFT JOIN case_mail_thread t "
                "ON t.case_id = p.case_id AND t.party = p.party "
                "WHERE p.mail AND p.name <> '' "
                "AND (t.n IS NULL OR t.entries <> b.entries) "
                "ORDER BY b.changed, p.party"
            )
        ]

    def thread(self, tx: Tx, case: str, party: str, name: str, token: str) -> Thread:
        """Give the thread of a case and a party, which is made when there is none."""
        row = tx.row(
            f"SELECT {_THREAD} FROM case_mail_thread "
            "WHERE case_id = :case AND party = :party",
            case=case,
            party=party,
        )
        if row is not None:
            return Thread(*row)
        blank = dict.fromkeys(("root", "last", "theirs", "trouble"), "")
        said = {"case_id": case, "party": party, "name": name, "token": token}
        number = tx.insert(
            mail_tables.thread, {**said, **blank, "entries": 0, "trouble_at": 0}
        )
        return self.numbered(tx, number)

    def numbered(self, tx: Tx, number: int) -> Thread:
        """Give a thread by its number."""
        row = tx.row(
            f"SELECT {_THREAD} FROM case_mail_thread WHERE n = :number", number=number
        )
        return Thread(*row)

    def threads(self, tx: Tx, case: str = "") -> list[Thread]:
        """Give the threads of a case, or all."""
        where = "WHERE case_id = :case " if case else ""
        given = {"case": case} if case else {}
        return [
            Thread(*row)
            for row in tx.rows(
                f"SELECT {_THREAD} FROM case_mail_thread {where}ORDER BY n", **given
            )
        ]

    def by_tokens(self, tx: Tx, tokens: Sequence[str]) -> list[Thread]:
        """Give the threads of some tokens."""
        among = tx.among("token", "tokens")
        return [
            Thread(*row)
            for row in tx.rows(
                f"SELECT {_THREAD} FROM case_mail_thread WHERE {among} ORDER BY n",
                tokens=tx.array([*tokens]),
            )
        ]

    def set_thread(self, tx: Tx, number: int, **values: Any) -> None:
        """Write columns of a thread."""
        _update(tx, "case_mail_thread", number, values)

    # Letters

    def open_letter(self, tx: Tx, thread: int) -> None:
        """Let a letter wait for what a thread has to tell, if none does yet."""
        if self._waiting(tx, thread) is None:
            blank = dict.fromkeys(("key", "card", "address", "said"), "")
            numbers = dict.fromkeys(("due", "tries", "lease", "sent"), 0)
            made = {"thread": thread, "state": WAITING, "made": tx.clock.now()}
            tx.insert(
                mail_tables.letter,
                {**made, **blank, **numbers, "entries": "[]", "clear": False},
            )

    def _waiting(self, tx: Tx, thread: int) -> int | None:
        found: int | None = tx.value(
            "SELECT n FROM case_mail_letter "
            "WHERE thread = :thread AND state = 'waiting' ORDER BY n",
            thread=thread,
        )
        return found

    def close_letter(self, tx: Tx, number: int) -> None:
        """Take away a letter that waits and has nothing to tell."""
        tx.run(
            "DELETE FROM case_mail_letter WHERE n = :number AND state = 'waiting'",
            number=number,
        )

    def told(self, tx: Tx, thread: int) -> set[str]:
        """Give the ids of the entries that letters of a thread tell."""
        rows = tx.rows(
            "SELECT entries FROM case_mail_letter WHERE thread = :thread "
            f"AND {tx.among('state', 'states')}",
            thread=thread,
            states=tx.array(_TOLD),
        )
        return {one for row in rows for one in orjson.loads(row.entries)}

    def due(self, tx: Tx) -> list[Post]:
        """Give the letters that may go: of a thread never two at once."""
        return [
            Post(*row)
            for row in tx.rows(
                f"SELECT {_POST} FROM case_mail_letter l WHERE state = 'waiting' "
                "AND due <= :now AND NOT EXISTS (SELECT 1 FROM case_mail_letter o "
                "WHERE o.thread = l.thread AND o.state IN ('taken', 'handing')) "
                "ORDER BY n",
                now=tx.clock.now(),
            )
        ]

    def work(self, tx: Tx) -> bool:
        """Say whether there is anything to do for who sends."""
        return bool(self.behind(tx) or self.due(tx) or self.expired(tx))

    def letter(self, tx: Tx, number: int) -> Post:
        """Give a letter.

        Raises:
            NotFound: there is none of this number.
        """
        row = tx.row(
            f"SELECT {_POST} FROM case_mail_letter WHERE n = :number", number=number
        )
        if row is None:
            raise NotFound(
                f"There is no letter {number}.",
                mend="`serantau case mail list` shows them.",
            )
        return Post(*row)

    def letters(self, tx: Tx, *, all_: bool = False) -> list[Post]:
        """Give the letters that are under way, or all."""
        done = "('sent', 'bounced', 'dropped')"
        where = "" if all_ else f"WHERE state NOT IN {done} "
        return [
            Post(*row)
            for row in tx.rows(
                f"SELECT {_POST} FROM case_mail_letter {where}ORDER BY n"
            )
        ]

    def by_keys(self, tx: Tx, keys: Sequence[str]) -> list[Post]:
        """Give the letters with some keys that went out, or may have."""
        among, states = tx.among("key", "keys"), tx.among("state", "states")
        return [
            Post(*row)
            for row in tx.rows(
                f"SELECT {_POST} FROM case_mail_letter WHERE {among} AND {states} "
                "ORDER BY n",
                keys=tx.array([*keys]),
                states=tx.array((HANDING, SENT, UNSURE, BOUNCED)),
            )
        ]

    def recent(self, tx: Tx, name: str, since: int) -> int:
        """Count the letters that were handed over for a party since an instant."""
        return int(
            tx.value(
                "SELECT count(*) FROM case_mail_letter l "
                "JOIN case_mail_thread t ON t.n = l.thread "
                "WHERE t.name = :name AND l.sent > :since",
                name=name,
                since=since,
            )
        )

    def returned(self, tx: Tx, name: str, address: str) -> int:
        """Give when a letter to an address of a party last came back; 0 never."""
        found = tx.value(
            "SELECT max(l.sent) FROM case_mail_letter l "
            "JOIN case_mail_thread t ON t.n = l.thread "
            "WHERE t.name = :name AND l.address = :address AND l.state = 'bounced'",
            name=name,
            address=address,
        )
        return int(found or 0)

    def step(self, tx: Tx, post: Post, before: str, **values: Any) -> None:
        """Write columns of a letter that is in a state, under the lease it was given.

        Raises:
            Conflict: it is not in that state any more, or another has it.
        """
        names = ", ".join(f"{name} = :{name}" for name in values)
        if not tx.run(
            f"UPDATE case_mail_letter SET {names} "
            "WHERE n = :number AND state = :before AND lease = :held",
            number=post.n,
            before=before,
            held=post.lease,
            **_short(values),
        ):
            raise Conflict(f"Letter {post.n} is not {before} any more.")
        if values.get("state") == WAITING:
            # One that waits for the rest of the thread has nothing in it yet.
            other = tx.rows(
                "SELECT n FROM case_mail_letter WHERE thread = :thread "
                "AND state = 'waiting' AND n <> :number",
                thread=post.thread,
                number=post.n,
            )
            for row in other:
                self.close_letter(tx, row.n)

    def expired(self, tx: Tx) -> list[Post]:
        """Give the letters whose worker ended in the middle."""
        return [
            Post(*row)
            for row in tx.rows(
                f"SELECT {_POST} FROM case_mail_letter "
                "WHERE state IN ('taken', 'handing') AND lease <= :now",
                now=tx.clock.now(),
            )
        ]

    # Mails

    def keep(self, tx: Tx, raw: bytes, **values: Any) -> int:
        """Keep a mail, whole."""
        return tx.insert(
            mail_tables.mail, {"at": tx.clock.now(), **_short(values), "raw": raw}
        )

    def same(
        self, tx: Tx, thread: int, sender: str, names: Sequence[str], digest: str
    ) -> list[Mail]:
        """Give mails of a sender with one of these names, or this digest."""
        among = tx.among("name", "names")
        return [
            Mail(*row)
            for row in tx.rows(
                f"SELECT {_MAIL} FROM case_mail_in WHERE thread = :thread "
                f"AND sender = :sender AND (digest = :digest OR {among})",
                thread=thread,
                sender=sender,
                digest=digest,
                names=tx.array([*names]),
            )
        ]

    def came(self, tx: Tx, name: str, since: int, state: str) -> int:
        """Count the mails of a party since an instant that are in a state."""
        return int(
            tx.value(
                "SELECT count(*) FROM case_mail_in m "
                "JOIN case_mail_thread t ON t.n = m.thread "
                "WHERE t.name = :name AND m.at > :since AND m.state = :state",
                name=name,
                since=since,
                state=state,
            )
        )

    def mail(self, tx: Tx, number: int) -> tuple[Mail, bytes]:
        """Give a mail and its bytes.

        Raises:
            NotFound: there is none of this number.
        """
        row = tx.row(
            f"SELECT {_MAIL}, raw FROM case_mail_in WHERE n = :number", number=number
        )
        if row is None:
            raise NotFound(
                f"There is no mail {number}.",
                mend="`serantau case mail list` shows them.",
            )
        return Mail(*row[:-1]), bytes(row[-1])

    def mails(self, tx: Tx, *, all_: bool = False) -> list[Mail]:
        """Give the mails that a person has to decide on, or all."""
        where = "" if all_ else "WHERE state = 'held' "
        return [
            Mail(*row)
            for row in tx.rows(f"SELECT {_MAIL} FROM case_mail_in {where}ORDER BY n")
        ]

    def decide(self, tx: Tx, number: int, **values: Any) -> None:
        """Write what became of a mail that is held.

        Raises:
            Conflict: it is not held.
        """
        names = ", ".join(f"{name} = :{name}" for name in values)
        if not tx.run(
            f"UPDATE case_mail_in SET {names} WHERE n = :number AND state = 'held'",
            number=number,
            **_short(values),
        ):
            raise Conflict(f"Mail {number} is not held: somebody decided on it.")


def _update(tx: Tx, table: str, number: int, values: dict[str, Any]) -> None:
    names = ", ".join(f"{name} = :{name}" for name in values)
    tx.run(
        f"UPDATE {table} SET {names} WHERE n = :number", number=number, **_short(values)
    )


def _short(values: dict[str, Any]) -> dict[str, Any]:
    """Shorten what is told, and leave out what PostgreSQL keeps in no text."""
    kept = {"text", "entries"}
    return {
        name: value.replace("\x00", "")[: None if name in kept else _SHOWN]
        if isinstance(value, str)
        else value
        for name, value in values.items()
    }
