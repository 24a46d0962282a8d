"""What a node's own people did: what they read, and what they decided.

Readings stand beside the release log and decisions in the store, in the transaction of
what they change. A row is only ever added, and is a leaf of the log's tree: its digest
is over a salt and all that it says. So what it says can be erased with the salt one
day, and nobody finds it out again while the leaf stays. A row may be without its words
only when a decision says that they were erased.
"""

from __future__ import annotations

import hashlib
import secrets
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

import orjson

from serantau.records.audit import Period
from serantau.records.database import Tx
from serantau.records.newest import Wanted, newest
from serantau.rules.canonical import canonical
from serantau.rules.leaf import DECISION, READING, RELEASE, VERSION

SALT_BYTES: Final = 16
ERASED: Final = "erased from the logs"
_LONGEST: Final = 2000
_EXACT: Final = 2**53 - 1
_RUNS: Final = 2000

TABLES: Final = {READING: "ledger.reading", DECISION: "decision"}
"""Which table the rows of a type of leaf are in."""

Runs = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class By:
    """Who is at work: an account of the machine (cli), or a user of the node (api)."""

    who: str
    way: str


_acting: Final[ContextVar[By | None]] = ContextVar("serantau_acting", default=None)


@contextmanager
def acting(by: By) -> Iterator[None]:
    """Say whose work what follows here is, until the end of the block."""
    before = _acting.set(by)
    try:
        yield
    finally:
        _acting.reset(before)


def act_as(by: By) -> None:
    """Say whose work the rest of this task is, such as of one request."""
    _acting.set(by)


def who() -> By | None:
    """Give who is at work; None: nobody, the node does it by itself."""
    return _acting.get()


@dataclass(frozen=True, slots=True)
class Read:
    """Somebody read something.

    what: the command or verb. asked: the question. objects: ids of what was shown; none
    for rows of events. count: how many objects or rows.
    """

    at: int
    actor: str
    way: str
    what: str
    asked: str
    count: int
    objects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Decided:
    """Somebody decided something. before, after: what was and is, None for nothing."""

    at: int
    actor: str
    way: str
    what: str
    about: str
    before: Any
    after: Any
    why: str


class Sealing(NamedTuple):
    """A row as a leaf is made of it."""

    n: int
    at: int
    digest: bytes


# Writing


def read(
    tx: Tx, by: By, what: str, asked: str, count: int, objects: Iterable[str]
) -> None:
    """Note a reading, at the end of the transaction as the release log does."""
    said = {
        "asked": _plain(asked),
        "count": count,
        "objects": [one for one in objects if one],
        "what": what,
    }
    tx.at_end(lambda: _write(tx, READING, by, said))


def decided(
    tx: Tx,
    what: str,
    about: str,
    *,
    before: Any = None,
    after: Any = None,
    why: str = "",
) -> None:
    """Note a decision with what it changes; nothing when the node does it by itself.

    Args:
        tx: the transaction that carries it out.
        what: what was done, in a word or two.
        about: to what or whom.
        before: what was: JSON, None for nothing.
        after: what is; when it is what was, nothing was decided.
        why: the reason, if one was given.
    """
    by = who()
    if by is None or (before is not None and before == after):
        return
    if isinstance(before, dict) and isinstance(after, dict):
        before, after = _differing(before, after), _differing(after, before)
    said = {
        "about": _plain(about),
        "after": _sayable(after),
        "before": _sayable(before),
        "what": what,
        "why": _plain(why),
    }
    _write(tx, DECISION, by, said)


def as_told(row: Any, like: Mapping[str, Any]) -> dict[str, Any]:
    """Give of a row what a decision changes: SQLite has numbers for yes and no."""
    return {
        name: bool(getattr(row, name)) if isinstance(said, bool) else getattr(row, name)
        for name, said in like.items()
    }


def _differing(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return {
        name: said
        for name, said in one.items()
        if name not in other or other[name] != said
    }


def _sayable(value: Any) -> Any:
    """Give a value as JSON has one text of it: what is beyond 2^53 becomes a text."""
    if isinstance(value, dict):
        return {name: _sayable(said) for name, said in value.items()}
    if isinstance(value, list):
        return [_sayable(one) for one in value]
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    return str(value) if isinstance(value, int) and abs(value) > _EXACT else value


def _write(tx: Tx, kind: str, by: By, said: Mapping[str, Any]) -> None:
    at, salt = tx.clock.now(), secrets.token_bytes(SALT_BYTES)
    body = canonical(
        {"actor": by.who, "at": at, "type": kind, "v": VERSION, "way": by.way, **said}
    )
    tx.run(
        f"INSERT INTO {TABLES[kind]} (at, actor, body, salt, digest) "
        "VALUES (:at, :actor, :body, :salt, :digest)",
        at=at,
        actor=by.who,
        body=body.decode(),
        salt=salt,
        digest=_digest(salt, body),
    )


def _plain(text: str) -> str:
    return text.encode("utf-8", "replace").decode()[:_LONGEST]


def _digest(salt: bytes, body: bytes) -> bytes:
    return hashlib.sha256(salt + body).digest()


# Asking


def readers(tx: Tx, object_id: str, period: Period) -> list[Read]:
    """List who read an object, the oldest first."""
    return [_read(row) for row in _naming(tx, object_id, period)]


def _naming(tx: Tx, object_id: str, period: Period) -> list[Any]:
    find = "instr" if tx.lite else "strpos"
    return tx.rows(
        f"SELECT n, body FROM ledger.reading WHERE {find}(body, :sought) > 0 "
        "AND at >= :since AND at < :until ORDER BY at, n",
        sought=orjson.dumps(object_id).decode(),
        **period.bounds(),
    )


def read_by(tx: Tx, actor: str, period: Period, limit: int) -> list[Read]:
    """List what somebody read, the oldest first."""
    return [_read(row) for row in _by(tx, READING, actor, period, limit)]


def decided_by(tx: Tx, actor: str, period: Period, limit: int) -> list[Decided]:
    """List what somebody decided, the oldest first."""
    return [_decided(row) for row in _by(tx, DECISION, actor, period, limit)]


def newest_read(tx: Tx, wanted: Wanted, limit: int) -> tuple[list[Read], int]:
    """List what was read, newest first, and where to go on (`records.newest`)."""
    numbers, on = newest(tx, TABLES[READING], wanted, limit)
    return [_read(row) for row in _numbered(tx, READING, numbers)], on


def newest_decided(tx: Tx, wanted: Wanted, limit: int) -> tuple[list[Decided], int]:
    """List what was decided, newest first, and where to go on (`records.newest`)."""
    numbers, on = newest(tx, TABLES[DECISION], wanted, limit)
    return [_decided(row) for row in _numbered(tx, DECISION, numbers)], on


def holding(tx: Tx, text: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Give SQL for the rows whose words hold a text by itself, and what it binds."""
    find = "instr" if tx.lite else "strpos"
    return f"{find}(body, :held) > 0", (("held", orjson.dumps(text).decode()),)


def _numbered(tx: Tx, kind: str, numbers: Sequence[int]) -> list[Any]:
    """Give those rows that still say something, newest first."""
    rows = tx.rows(
        f"SELECT n, body FROM {TABLES[kind]} WHERE body <> '' AND "
        + tx.among("n", "numbers"),
        numbers=tx.array(numbers),
    )
    return sorted(rows, key=lambda row: -int(row.n))


def _by(tx: Tx, kind: str, actor: str, period: Period, limit: int) -> list[Any]:
    return tx.rows(
        f"SELECT n, body FROM {TABLES[kind]} WHERE actor = :actor AND at >= :since "
        "AND at < :until AND body <> '' ORDER BY at, n LIMIT :limit",
        actor=actor,
        limit=limit,
        **period.bounds(),
    )


def _read(row: Any) -> Read:
    said = orjson.loads(row.body)
    return Read(
        at=said["at"],
        actor=said["actor"],
        way=said["way"],
        what=said["what"],
        asked=said["asked"],
        count=said["count"],
        objects=tuple(said["objects"]),
    )


def _decided(row: Any) -> Decided:
    said = orjson.loads(row.body)
    return Decided(
        at=said["at"],
        actor=said["actor"],
        way=said["way"],
        what=said["what"],
        about=said["about"],
        before=said["before"],
        after=said["after"],
        why=said["why"],
    )


# Sealing


def waiting(tx: Tx, kind: str, after: int, limit: int) -> list[Sealing]:
    """Give rows behind a number, in their order."""
    return _sealing(
        tx, kind, "WHERE a.n > :after ORDER BY a.n LIMIT :limit",
        after=after, limit=limit,
    )  # fmt: skip


def late(tx: Tx, kind: str, number: int, limit: int) -> list[Sealing]:
    """Give rows whose numbers were passed by when they were not to be seen yet.

    number: of the kind of leaf.
    """
    return _sealing(
        tx,
        kind,
        "JOIN ledger.log_gap x ON x.kind = :number AND a.n BETWEEN x.first AND x.last "
        "WHERE NOT EXISTS (SELECT 1 FROM ledger.leaf l WHERE l.kind = :number "
        "AND l.row = a.n) ORDER BY a.n LIMIT :limit",
        number=number,
        limit=limit,
    )


def _sealing(tx: Tx, kind: str, where: str, **values: Any) -> list[Sealing]:
    return [
        Sealing(int(row.n), int(row.at), bytes(row.digest))
        for row in tx.rows(
            f"SELECT a.n, a.at, a.digest FROM {TABLES[kind]} a {where}", **values
        )
    ]


def checked(
    tx: Tx, kind: str, number: int, start: int, end: int, erased: Erased
) -> Iterator[tuple[int, Sealing | None, bool]]:
    """Give the rows of a range of leaves, each with its place, if it is what it was.

    None: it is gone, its columns do not say what its words say, its words are not those
    of its digest, or it has none and no decision says why. And whether it has none.

    Args:
        tx: any transaction.
        kind: the type of leaf.
        number: the number of this kind.
        start: the first leaf.
        end: behind the last.
        erased: what decisions say was erased.
    """
    for row in tx.rows(
        "SELECT l.n AS seq, a.n, a.at, a.actor, a.body, a.salt, a.digest "
        f"FROM ledger.leaf l LEFT JOIN {TABLES[kind]} a ON a.n = l.row "
        "WHERE l.kind = :number AND l.n >= :start AND l.n < :end",
        number=number,
        start=start,
        end=end,
    ):
        held, gone = None, row.body == ""
        if row.n is not None and _holds(row, kind, erased):
            held = Sealing(int(row.n), int(row.at), bytes(row.digest))
        yield int(row.seq), held, gone


def _holds(row: Any, kind: str, erased: Erased) -> bool:
    try:
        if row.body == "":
            return row.actor == "" and erased.has(kind, int(row.n))
        body = row.body.encode()
        said = orjson.loads(body)
        return bool(
            _digest(bytes(row.salt), body) == bytes(row.digest)
            and (said["type"], said["at"]) == (kind, row.at)
            and said["actor"] == row.actor
        )
    except (TypeError, ValueError, KeyError, AttributeError):
        # SQLite keeps a value of any kind, whatever the column is made for.
        return False


# Erasing


class Erased:
    """The rows whose words decisions say were erased; read when first asked for."""

    def __init__(self, tx: Tx) -> None:
        """Read in this transaction."""
        self._tx = tx

    @cached_property
    def _runs(self) -> dict[str, Runs]:
        """Give the runs; a decision that is not what it was counts for nothing."""
        find = "instr" if self._tx.lite else "strpos"
        found: dict[str, Runs] = {}
        for row in self._tx.rows(
            f"SELECT body, salt, digest FROM decision WHERE {find}(body, :what) > 0",
            what=f'"what":"{ERASED}"',
        ):
            if _digest(bytes(row.salt), row.body.encode()) == bytes(row.digest):
                for kind, runs in orjson.loads(row.body)["after"].items():
                    found.setdefault(kind, []).extend((one, two) for one, two in runs)
        return {kind: _joined(runs) for kind, runs in found.items()}

    def has(self, kind: str, number: int) -> bool:
        """Say whether the words of a row were erased by a decision."""
        runs = self._runs.get(kind, [])
        place = bisect_right(runs, (number, 2**63)) - 1
        return place >= 0 and runs[place][0] <= number <= runs[place][1]


def _joined(runs: Iterable[tuple[int, int]]) -> Runs:
    found: Runs = []
    for first, last in sorted(runs):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found


def numbers_of(
    tx: Tx, *, actor: str = "", object_id: str = "", until: int
) -> dict[str, list[int]]:
    """Give the rows that still say what a person or about an object was read.

    Args:
        tx: any transaction.
        actor: who read, and by whom something left; anyone when empty.
        object_id: what was read; anything when empty.
        until: before which instant.
    """
    period = Period(None, until)
    if object_id:
        return {READING: [int(row.n) for row in _naming(tx, object_id, period)]}
    rows = _by(tx, READING, actor, period, 2**62)
    left = tx.rows(
        "SELECT n FROM ledger.release WHERE actor = :actor AND at < :until "
        "AND rest IS NULL ORDER BY n",
        actor=actor,
        until=until,
    )
    return {
        READING: [int(row.n) for row in rows],
        RELEASE: [int(row.n) for row in left],
    }


def numbers_before(tx: Tx, kind: str, at: int, limit: int) -> list[int]:
    """Give rows of a type of leaf from before an instant that still say something.

    A decision to erase is never among them.
    """
    find = "instr" if tx.lite else "strpos"
    where = {
        READING: "body <> ''",
        DECISION: f"body <> '' AND {find}(body, :what) = 0",
        RELEASE: "rest IS NULL",
    }[kind]
    table = TABLES.get(kind, "ledger.release")
    return [
        int(row.n)
        for row in tx.rows(
            f"SELECT n FROM {table} WHERE at < :at AND {where} ORDER BY n LIMIT :limit",
            at=at,
            limit=limit,
            what=f'"what":"{ERASED}"',
        )
    ]


def runs_of(numbers: Iterable[int]) -> list[Runs]:
    """Give numbers as runs, as many together as one decision names."""
    runs = _joined((number, number) for number in numbers)
    return [runs[place : place + _RUNS] for place in range(0, len(runs), _RUNS)]


def erase(
    tx: Tx, kind: str, runs: Sequence[tuple[int, int]], rest: Callable[[Any], bytes]
) -> int:
    """Take the words out of rows, after the decision that says so.

    Args:
        tx: a transaction that writes.
        kind: the type of leaf.
        runs: the rows' numbers.
        rest: gives the digest of what a row of the release log says besides.

    Returns:
        From how many.
    """
    tx.overwrite()
    done = 0
    for first, last in runs:
        if kind != RELEASE:
            done += tx.run(
                f"UPDATE {TABLES[kind]} SET actor = '', body = '', salt = :none "
                "WHERE n BETWEEN :first AND :last AND body <> ''",
                none=b"",
                first=first,
                last=last,
            )
            continue
        for row in tx.rows(
            "SELECT n, actor, collection, count, grant_view, request, stamps, rest "
            "FROM ledger.release WHERE n BETWEEN :first AND :last AND rest IS NULL",
            first=first,
            last=last,
        ):
            done += tx.run(
                "UPDATE ledger.release SET actor = '', request = '', rest = :rest "
                "WHERE n = :n",
                n=row.n,
                rest=rest(row),
            )
    return done
