"""Cases: which objects are entries of which, the board, and what never leaves.

The entries themselves are objects; here stands which ones. The board is a projection of
the folded states. Notes, tasks and files that are a party's own are in tables that
nothing reads which gives to others.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

import orjson

from serantau.errors import BadRequest, NotFound
from serantau.records import case_tables
from serantau.records.audiences import Audiences
from serantau.records.database import Tx
from serantau.rules.case_entry import TYPE, Entry, circle_of, read_entry

VALID: Final = "valid"
_SHORTEST: Final = 4
_is_start: Final = re.compile(r"[0-9a-f][0-9a-f-]*").fullmatch


@dataclass(frozen=True, slots=True)
class Row:
    """Which object is an entry.

    added: the object's stamp. author: an identity. standing: of its signature.
    """

    added: int
    case_id: str
    id: str
    author: str
    standing: str


@dataclass(frozen=True, slots=True)
class PartRow:
    """A party in a case, as the board knows it.

    party: its identity. name: what this node calls it, empty where it knows none.
    invited, answered: instants, 0 for not. mail: it takes part by mail.
    """

    party: str
    name: str
    state: str
    invited: int
    answered: int
    mail: bool


@dataclass(frozen=True, slots=True)
class Summary:
    """One line of the board.

    id: of the case. level: its TLP label. opened, changed, closed: instants, 0 for not.
    owner, offered: identities. mine: how far this node's own party is, empty when it is
    not in the case. parties: how many are; silent: of them without an answer. tasks,
    asks: that are open. embargo: its state. entries: all that are here; waiting: of
    them for one that is not; flagged: of them with something wrong. due: the first
    instant that something is due, 0 for never; due_of, due_clock: of whom, and what.
    """

    id: str
    name: str
    level: str
    opened: int
    changed: int
    closed: int
    severity: str
    incident_class: str
    owner: str
    offered: str
    mine: str
    parties: int
    silent: int
    tasks: int
    asks: int
    embargo: str
    entries: int
    waiting: int
    flagged: int
    due: int
    due_of: str
    due_clock: str


@dataclass(frozen=True, slots=True)
class Note:
    """A private note."""

    n: int
    case_id: str
    at: int
    actor: str
    text: str


@dataclass(frozen=True, slots=True)
class OwnTask:
    """A private task. due, done: instants, 0 for not."""

    n: int
    case_id: str
    at: int
    actor: str
    name: str
    due: int
    done: int


@dataclass(frozen=True, slots=True)
class OwnFile:
    """A private file, without its content. digest: SHA-256."""

    n: int
    case_id: str
    at: int
    actor: str
    name: str
    digest: str
    size: int


_ROW: Final = tuple(field.name for field in fields(Row))
_PART: Final = tuple(field.name for field in fields(PartRow))
_SUMMARY: Final = tuple(field.name for field in fields(Summary))
_TAKEN_OUT: Final = "NOT EXISTS (SELECT 1 FROM object o WHERE o.added = e.added)"
_COLUMNS: Final = ", ".join(_SUMMARY)


class Cases:
    """The rows of cases."""

    # Entries

    def put(self, tx: Tx, rows: Sequence[Row]) -> None:
        """Note which objects are entries; none may be noted yet."""
        tx.insert_many(
            case_tables.entry,
            _ROW,
            [tuple(getattr(row, name) for name in _ROW) for row in rows],
        )

    def held(self, tx: Tx, case: str) -> tuple[int, int]:
        """Give how many entries of a case can be folded, and the stamp of the last."""
        row = tx.row(
            "SELECT count(*) AS held, coalesce(max(e.added), 0) AS last "
            "FROM case_entry e JOIN object o ON o.added = e.added "
            "WHERE e.case_id = :case AND e.standing = 'valid'",
            case=case,
        )
        return int(row.held), int(row.last)

    def entries(self, tx: Tx, case: str, after: int = 0) -> list[Entry]:
        """Give the entries of a case that can be folded, behind a stamp, as they came.

        An entry whose object was taken out is not among them.
        """
        cursor = tx.execute(
            "SELECT o.body FROM case_entry e JOIN object o ON o.added = e.added "
            "WHERE e.case_id = :case AND e.added > :after AND e.standing = 'valid' "
            "ORDER BY e.added",
            {"case": case, "after": after},
        )
        return [read_entry(bytes(row[0])) for row in cursor.fetchall()]

    def doubted(self, tx: Tx) -> list[tuple[Row, bytes]]:
        """Give the entries whose signature does not count, with their texts."""
        return [
            (Row(row.added, row.case_id, row.id, row.author, row.standing), row.body)
            for row in tx.rows(
                "SELECT e.added, e.case_id, e.id, e.author, e.standing, o.body "
                "FROM case_entry e JOIN object o ON o.added = e.added "
                "WHERE e.standing <> 'valid' ORDER BY e.added"
            )
        ]

    def stand(self, tx: Tx, added: int, standing: str) -> None:
        """Note anew how it stands with an entry's signature."""
        tx.run(
            "UPDATE case_entry SET standing = :standing WHERE added = :added",
            standing=standing,
            added=added,
        )

    def doubts(self, tx: Tx, case: str) -> list[Row]:
        """Give the entries of one case that are not folded, and why."""
        return [
            Row(*row)
            for row in tx.rows(
                "SELECT added, case_id, id, author, standing FROM case_entry "
                "WHERE case_id = :case AND standing <> 'valid' ORDER BY added",
                case=case,
            )
        ]

    def gone(self, tx: Tx) -> list[str]:
        """Forget entries whose objects were taken out; give the cases they were in."""
        cases = [
            row.case_id
            for row in tx.rows(
                f"SELECT DISTINCT case_id FROM case_entry e WHERE {_TAKEN_OUT}"
            )
        ]
        if cases:
            tx.run(f"DELETE FROM case_entry AS e WHERE {_TAKEN_OUT}")
        return cases

    def all(self, tx: Tx) -> list[str]:
        """Give the id of every case of which there is an entry."""
        rows = tx.rows("SELECT DISTINCT case_id FROM case_entry ORDER BY case_id")
        return [row.case_id for row in rows]

    # The board

    def show(self, tx: Tx, summary: Summary, words: str = "") -> None:
        """Put a case on the board, in place of what stood there.

        words: by which it is found, folded.
        """
        tx.run("DELETE FROM case_board WHERE id = :id", id=summary.id)
        tx.insert(case_tables.board, {**asdict(summary), "words": words})

    def unread(self, tx: Tx) -> list[str]:
        """Give the cases on the board of which an older program worked out less."""
        rows = tx.rows("SELECT id FROM case_board WHERE due < 0 ORDER BY id")
        return [row.id for row in rows]

    def hide(self, tx: Tx, case: str) -> None:
        """Take a case off the board: the entry that opened it is not here any more."""
        tx.run("DELETE FROM case_board WHERE id = :id", id=case)

    def board(self, tx: Tx, *, closed: bool = False) -> list[Summary]:
        """Give the open cases, or all, the one that changed last first."""
        where = "" if closed else "WHERE closed = 0 "
        cursor = tx.execute(
            f"SELECT {_COLUMNS} FROM case_board {where}"
            "ORDER BY closed <> 0, changed DESC, id",
            {},
        )
        return [Summary(*row) for row in cursor.fetchall()]

    def owned(self, tx: Tx, owner: str) -> list[Summary]:
        """Give the open cases that a party owns."""
        cursor = tx.execute(
            f"SELECT {_COLUMNS} FROM case_board "
            "WHERE closed = 0 AND owner = :owner ORDER BY opened, id",
            {"owner": owner},
        )
        return [Summary(*row) for row in cursor.fetchall()]

    def summary(self, tx: Tx, case: str) -> Summary | None:
        """Give what the board has of a case."""
        row = tx.row(
            f"SELECT {_COLUMNS} FROM case_board WHERE id = :id",
            id=case,
        )
        return None if row is None else Summary(*row)

    def find(self, tx: Tx, name: str) -> Summary:
        """Give the case that a person names by its id, or by how that begins.

        Raises:
            BadRequest: it is too short, or several begin so.
            NotFound: none does.
        """
        start = name.strip().lower().removeprefix(f"{TYPE}--")
        if len(start) < _SHORTEST or not _is_start(start):
            raise BadRequest(
                f"{name!r} is not how a case's id begins.",
                mend=f"Expected {_SHORTEST} or more of the digits that "
                "`serantau case list` shows.",
            )
        rows = tx.rows(
            f"SELECT {_COLUMNS} FROM case_board "
            "WHERE id >= :start AND id < :end ORDER BY id LIMIT 2",
            start=f"{TYPE}--{start}",
            end=f"{TYPE}--{start}g",
        )
        if not rows:
            raise NotFound(
                f"No case begins with {name!r}.",
                mend="`serantau case list --all` shows them.",
            )
        if len(rows) > 1:
            raise BadRequest(f"Several cases begin with {name!r}: say more of it.")
        return Summary(*rows[0])

    # Who is in it

    def parts(self, tx: Tx, case: str) -> list[PartRow]:
        """Give who is in a case, by identity."""
        return [
            PartRow(
                party=row.party,
                name=row.name,
                state=row.state,
                invited=int(row.invited),
                answered=int(row.answered),
                mail=bool(row.mail),
            )
            for row in tx.rows(
                "SELECT party, name, state, invited, answered, mail FROM case_part "
                "WHERE case_id = :case ORDER BY party",
                case=case,
            )
        ]

    def take_part(self, tx: Tx, case: str, parts: Sequence[PartRow]) -> None:
        """Note who is in a case now; what is the same is not written again."""
        held = set(self.parts(tx, case))
        fresh = [part for part in parts if part not in held]
        stale = [part.party for part in held.difference(parts)]
        tx.run(
            "DELETE FROM case_part WHERE case_id = :case AND "
            + tx.among("party", "parties"),
            case=case,
            parties=tx.array(stale),
        )
        tx.insert_many(
            case_tables.part,
            ("case_id", *_PART),
            [(case, *(getattr(part, name) for name in _PART)) for part in fresh],
        )

    def strangers(self, tx: Tx, known: Mapping[str, str]) -> list[str]:
        """Give the cases with parties that had no name here, and have one by now."""
        return sorted(
            {
                row.case_id
                for row in tx.rows(
                    "SELECT case_id, party FROM case_part WHERE name = ''"
                )
                if row.party in known
            }
        )

    # The circle

    def gather(
        self, tx: Tx, audiences: Audiences, case: str, members: Iterable[str]
    ) -> bool:
        """Say who is in the circle of a case; gives whether that was news.

        Its name tells nothing but its id. Whoever comes in may have what was meant for
        the circle before.
        """
        circle, listed = circle_of(case), orjson.dumps(sorted(members)).decode()
        held = tx.value("SELECT members FROM circle WHERE id = :id", id=circle)
        if held == listed:
            return False
        tx.run("DELETE FROM circle WHERE id = :id", id=circle)
        tx.run(
            "INSERT INTO circle (id, name, members) VALUES (:id, :name, :members)",
            id=circle,
            name=f"case {circle.removeprefix('circle--')}",
            members=listed,
        )
        audiences.refresh(tx, audiences.naming(tx, circle))
        return True

    # What never leaves

    def add_note(self, tx: Tx, case: str, actor: str, text: str) -> int:
        """Keep a private note."""
        return tx.insert(
            case_tables.note,
            {"case_id": case, "at": tx.clock.now(), "actor": actor, "text": text},
        )

    def notes(self, tx: Tx, case: str) -> list[Note]:
        """Give the private notes of a case, in order."""
        return [
            Note(*row)
            for row in tx.rows(
                "SELECT n, case_id, at, actor, text FROM case_note "
                "WHERE case_id = :case ORDER BY n",
                case=case,
            )
        ]

    def add_task(self, tx: Tx, case: str, actor: str, name: str, due: int = 0) -> int:
        """Keep a private task."""
        row: dict[str, Any] = {"case_id": case, "at": tx.clock.now(), "actor": actor}
        return tx.insert(case_tables.task, row | {"name": name, "due": due, "done": 0})

    def tasks(self, tx: Tx, case: str) -> list[OwnTask]:
        """Give the private tasks of a case, in order."""
        return [
            OwnTask(*row)
            for row in tx.rows(
                "SELECT n, case_id, at, actor, name, due, done FROM case_task "
                "WHERE case_id = :case ORDER BY n",
                case=case,
            )
        ]

    def end_task(self, tx: Tx, case: str, number: int) -> None:
        """Say that a private task is done.

        Raises:
            NotFound: the case has no such task that is not done.
        """
        if not tx.run(
            "UPDATE case_task SET done = :now "
            "WHERE n = :number AND case_id = :case AND done = 0",
            now=tx.clock.now(),
            number=number,
            case=case,
        ):
            raise NotFound(f"The case has no private task {number} to be done.")

    def add_file(self, tx: Tx, case: str, actor: str, name: str, body: bytes) -> int:
        """Keep a private file."""
        return tx.insert(
            case_tables.file,
            {
                "case_id": case,
                "at": tx.clock.now(),
                "actor": actor,
                "name": name,
                "digest": hashlib.sha256(body).hexdigest(),
                "size": len(body),
                "body": body,
            },
        )

    def files(self, tx: Tx, case: str) -> list[OwnFile]:
        """Give the private files of a case, in order."""
        return [
            OwnFile(*row)
            for row in tx.rows(
                "SELECT n, case_id, at, actor, name, digest, size FROM case_file "
                "WHERE case_id = :case ORDER BY n",
                case=case,
            )
        ]

    def file(self, tx: Tx, case: str, number: int) -> bytes:
        """Give the content of a private file.

        Raises:
            NotFound: the case has no such file.
        """
        held = tx.value(
            "SELECT body FROM case_file WHERE n = :number AND case_id = :case",
            number=number,
            case=case,
        )
        if held is None:
            raise NotFound(f"The case has no private file {number}.")
        return bytes(held)
