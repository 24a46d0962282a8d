"""What waits for somebody: a few rows of each kind, and how many there are.

Each question here is answered by an index and reads a bounded number of rows, so that a
page may ask all of them every other second, however much the store holds. How many
there are is counted up to `MOST`; a count of that says "so many or more".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from serantau.records.database import Tx

MOST: Final = 1000
SHOWN: Final = 20
"""So many rows of one kind are given."""
_RULES: Final = 50
_BEHIND: Final = 200


@dataclass(frozen=True, slots=True)
class NoticeRow:
    """A notice, or one delivery of it. n: of the notice. at: when that came about."""

    n: int
    party: str
    group: str
    day: str
    at: int
    fault: str


@dataclass(frozen=True, slots=True)
class RuleRow:
    """What one rule refused. many: how much. newest, source: of the newest."""

    rule: str
    many: int
    newest: int
    source: str


@dataclass(frozen=True, slots=True)
class BatchRow:
    """A batch of events that does not go on."""

    n: int
    feed: str
    at: int
    fault: str


@dataclass(frozen=True, slots=True)
class PeerRow:
    """How the last pull from a peer went.

    at: when this node last had everything, 0 never. created: since when it is followed.
    """

    name: str
    created: int
    at: int
    fault: str


@dataclass(frozen=True, slots=True)
class RecallRow:
    """A recall that waits: for answers of `many` parties, or to be believed."""

    n: int
    object: str
    at: int
    many: int
    fault: str


@dataclass(frozen=True, slots=True)
class LetterRow:
    """A letter of a case that does not go, or an answer to one that is held."""

    n: int
    case: str
    party: str
    state: str
    at: int
    said: str


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A private task of an open case."""

    n: int
    case: str
    title: str
    name: str
    at: int
    due: int


def _many(tx: Tx, found: str, **values: Any) -> int:
    """Count what a query finds, up to `MOST`."""
    return int(
        tx.value(
            f"SELECT count(*) FROM (SELECT 1 FROM {found} LIMIT {MOST}) AS found",
            **values,
        )
    )


def notices(tx: Tx, state: str) -> tuple[int, list[NoticeRow]]:
    """Give notices in a state, the oldest first."""
    many = _many(tx, "notice WHERE state = :state", state=state)
    rows = tx.rows(
        'SELECT n.n, p.name, n."class" AS grp, n.day, n.changed, n.fault '
        "FROM notice n JOIN party p ON p.n = n.party WHERE n.state = :state "
        "ORDER BY n.n LIMIT :most",
        state=state,
        most=SHOWN,
    )
    return many, [NoticeRow(*row) for row in rows]


def unsure(tx: Tx) -> tuple[int, list[NoticeRow]]:
    """Give deliveries of which nobody knows whether they arrived."""
    many = _many(tx, "delivery WHERE state = 'unsure'")
    rows = tx.rows(
        'SELECT n.n, p.name, n."class" AS grp, n.day, d.changed, d.fault '
        "FROM delivery d JOIN notice n ON n.n = d.notice JOIN party p ON p.n = n.party "
        "WHERE d.state = 'unsure' ORDER BY d.n LIMIT :most",
        most=SHOWN,
    )
    return many, [NoticeRow(*row) for row in rows]


def refused(tx: Tx) -> list[RuleRow]:
    """Give what is in quarantine, by rule.

    From one rule to the next by the index: no other row is read.
    """
    rules = tx.rows(
        "WITH RECURSIVE step(rule) AS (SELECT min(rule) FROM quarantine UNION ALL "
        "SELECT (SELECT min(q.rule) FROM quarantine q WHERE q.rule > step.rule) "
        "FROM step WHERE step.rule IS NOT NULL) "
        "SELECT rule FROM step WHERE rule IS NOT NULL LIMIT :most",
        most=_RULES,
    )
    found = []
    for (rule,) in rules:
        newest = tx.row(
            "SELECT at, source FROM quarantine WHERE rule = :rule "
            "ORDER BY n DESC LIMIT 1",
            rule=rule,
        )
        many = _many(tx, "quarantine WHERE rule = :rule", rule=rule)
        found.append(RuleRow(rule, many, int(newest.at), newest.source))
    return found


def batches(tx: Tx, state: str) -> tuple[int, list[BatchRow]]:
    """Give batches in a state, the newest first."""
    many = _many(tx, "batch WHERE state = :state", state=state)
    rows = tx.rows(
        "SELECT n, feed, received, fault FROM batch WHERE state = :state "
        "ORDER BY n DESC LIMIT :most",
        state=state,
        most=SHOWN,
    )
    return many, [BatchRow(*row) for row in rows]


def behind(tx: Tx) -> dict[str, int]:
    """Give the feeds whose batches wait to be read, and since when the first does."""
    found: dict[str, int] = {}
    for state in ("running", "stored"):
        for row in tx.rows(
            "SELECT feed, received FROM batch WHERE state = :state ORDER BY n "
            "LIMIT :most",
            state=state,
            most=_BEHIND,
        ):
            found[row.feed] = min(int(row.received), found.get(row.feed, row.received))
    return found


def newest(tx: Tx, feed: str) -> int:
    """Give when the newest batch of a feed came; 0 for none."""
    found = tx.value(
        "SELECT received FROM batch WHERE feed = :feed ORDER BY n DESC LIMIT 1",
        feed=feed,
    )
    return int(found or 0)


def done(tx: Tx) -> int:
    """Give when the last batch was done with; 0 for never."""
    return int(tx.value("SELECT max(ended) FROM batch") or 0)


def peers(tx: Tx) -> list[PeerRow]:
    """Give the peers that are followed, by name."""
    rows = tx.rows(
        "SELECT p.name, p.created, coalesce(c.at, 0) AS at, "
        "coalesce(c.fault, '') AS fault FROM peer p "
        "LEFT JOIN cursor c ON c.peer = p.n AND c.collection = '' "
        "WHERE p.enabled ORDER BY p.name"
    )
    return [PeerRow(*row) for row in rows]


def unanswered(tx: Tx) -> tuple[int, list[RecallRow]]:
    """Give this node's recalls that parties have not answered, the oldest first."""
    silent = (
        "recall_party p JOIN recall r ON r.n = p.recall "
        "WHERE p.state = '' AND p.number > 0 AND r.mine"
    )
    rows = tx.rows(
        "SELECT n, object, at, count(*) AS many, '' AS fault FROM ("
        f"SELECT r.n, r.object, r.at FROM {silent} LIMIT {MOST}) AS found "
        "GROUP BY n, object, at ORDER BY n LIMIT :most",
        most=SHOWN,
    )
    return _many(tx, silent), [RecallRow(*row) for row in rows]


def doubted(tx: Tx) -> tuple[int, list[RecallRow]]:
    """Give recalls that came and are not believed, the newest first."""
    many = _many(tx, "recall WHERE hold = 0")
    rows = tx.rows(
        "SELECT n, object, came, 0 AS many, fault FROM recall WHERE hold = 0 "
        "ORDER BY n DESC LIMIT :most",
        most=SHOWN,
    )
    return many, [RecallRow(*row) for row in rows]


def letters(tx: Tx) -> tuple[int, list[LetterRow]]:
    """Give letters of cases that failed, or wait for a reason, the oldest first."""
    stuck = (
        "case_mail_letter l JOIN case_mail_thread t ON t.n = l.thread "
        "WHERE l.state IN ('failed', 'unsure', 'waiting') "
        "AND (l.state <> 'waiting' OR l.said <> '')"
    )
    rows = tx.rows(
        "SELECT l.n, t.case_id, t.name, l.state, l.made, l.said "
        f"FROM {stuck} ORDER BY l.n LIMIT :most",
        most=SHOWN,
    )
    return _many(tx, stuck), [LetterRow(*row) for row in rows]


def answers(tx: Tx) -> tuple[int, list[LetterRow]]:
    """Give mails in cases that a person has to decide on, the oldest first."""
    held = "case_mail_in m JOIN case_mail_thread t ON t.n = m.thread "
    held += "WHERE m.state = 'held'"
    rows = tx.rows(
        "SELECT m.n, t.case_id, t.name, m.state, m.at, m.why "
        f"FROM {held} ORDER BY m.n LIMIT :most",
        most=SHOWN,
    )
    return _many(tx, held), [LetterRow(*row) for row in rows]


def tasks(tx: Tx, until: int) -> list[TaskRow]:
    """Give private tasks of open cases that are due before an instant."""
    rows = tx.rows(
        "SELECT t.n, t.case_id, b.name AS title, t.name, t.at, t.due FROM case_task t "
        "JOIN case_board b ON b.id = t.case_id WHERE t.done = 0 AND t.due > 0 "
        "AND t.due < :until AND b.closed = 0 ORDER BY t.due, t.n LIMIT :most",
        until=until,
        most=MOST,
    )
    return [TaskRow(*row) for row in rows]


def written(tx: Tx, kind: str, after: int) -> bool:
    """Say whether an object of a type came after a stamp."""
    found = tx.value(
        "SELECT 1 FROM object WHERE added > :after "
        "AND type = (SELECT n FROM word WHERE text = :kind) LIMIT 1",
        after=after,
        kind=kind,
    )
    return found is not None


def entries(tx: Tx, case: str) -> tuple[int, int]:
    """Give how many entries of a case are here, and the stamp of the newest."""
    row = tx.row(
        "SELECT count(*) AS many, coalesce(max(added), 0) AS last "
        "FROM case_entry WHERE case_id = :case",
        case=case,
    )
    return int(row.many), int(row.last)


def stamp(tx: Tx) -> int:
    """Give the newest stamp."""
    return int(tx.value("SELECT last FROM stamp"))


def mark(tx: Tx) -> tuple[int, ...]:
    """Give numbers that change with what comes in, and with what people decide."""
    row = tx.row(
        "SELECT last, epoch, (SELECT coalesce(max(n), 0) FROM decision) AS decided "
        "FROM stamp"
    )
    return tuple(int(each) for each in row)


def checked(tx: Tx) -> int:
    """Give a number that grows whenever something is found out about a card."""
    return int(tx.value("SELECT max(n) FROM card_check") or 0)
