"""Batches: which bytes of events are here, and how far each of them came.

A batch is named by the SHA-256 of its bytes, so that a second arrival changes nothing.
Workers claim batches by lease: whoever is killed loses its lease in time, and another
worker goes on. How often that may happen is counted, so that a batch that kills its
workers ends as failed instead of killing them for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from serantau.errors import Conflict, NotFound
from serantau.records import tables
from serantau.records.database import Tx

ATTEMPTS: Final = 5
_SECOND: Final = 1_000_000
_BACK_OFF_SECONDS: Final = 30
_FAULT: Final = 1000


class State(StrEnum):
    """Where a batch stands."""

    STORED = "stored"
    HELD = "held"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    DROPPED = "dropped"


class Step(StrEnum):
    """What may happen to a batch."""

    CLAIM = "claim"
    FINISH = "finish"
    FAIL = "fail"
    GIVE_BACK = "give back"
    HOLD = "hold"
    RELEASE = "release"
    RETRY = "retry"
    DROP = "drop"


STEPS: Final[dict[State, dict[Step, State]]] = {
    State.STORED: {
        Step.CLAIM: State.RUNNING,
        Step.HOLD: State.HELD,
        Step.RETRY: State.STORED,  # Now, and not when it is due.
        Step.DROP: State.DROPPED,
    },
    State.HELD: {Step.RELEASE: State.STORED, Step.DROP: State.DROPPED},
    State.RUNNING: {
        # Its lease ran out: the worker is gone, and another one takes it.
        Step.CLAIM: State.RUNNING,
        Step.FINISH: State.DONE,
        Step.FAIL: State.FAILED,
        Step.GIVE_BACK: State.STORED,
        Step.HOLD: State.HELD,
    },
    State.DONE: {Step.RETRY: State.STORED},
    State.FAILED: {Step.RETRY: State.STORED, Step.DROP: State.DROPPED},
    State.DROPPED: {Step.RETRY: State.STORED},
}
"""What may happen in each state, and where it leads. Nothing else happens."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """What is told of bytes as they come in.

    digest: their SHA-256 in hex. feed: who reported. format: of which; empty: to be
    recognised. report: the kind of report, empty when the feed has one. name: of the
    file. source: how they came, such as `cli` or `user:rat`. tlp: the level of all of
    its rows that say nothing else; None: the feed's own.
    """

    digest: str
    size: int
    feed: str
    format: str = ""
    report: str = ""
    name: str = ""
    source: str = ""
    tlp: int | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as it stands.

    received: when it came first. due: not worked on before this instant. worker, lease:
    who has it, and until when. attempts: how often it was claimed since it was stored
    or retried. round: how often it was asked for anew; 0 the first time. waived: a
    person said that its size is right. kept: its bytes are still here. began, ended: of
    the last work on it; 0 before. rows, rejects: what it gave; repeated: rows that were
    here already. fault: what went wrong last, or why it is held.
    """

    number: int
    digest: str
    feed: str
    format: str
    report: str
    name: str
    source: str
    tlp: int | None
    size: int
    received: int
    state: State
    due: int
    worker: str
    lease: int
    attempts: int
    round: int
    waived: bool
    kept: bool
    began: int
    ended: int
    rows: int
    repeated: int
    rejects: int
    fault: str


@dataclass(frozen=True, slots=True)
class Totals:
    """How it stands with one feed.

    states: batches by state. rows, rejects: of those that are done. last: when the last
    batch came. waiting: when the oldest one that is not worked on came; 0: none waits.
    seconds: how long the work on the last ones took, together; recent: their rows.
    """

    feed: str
    states: dict[State, int]
    rows: int
    rejects: int
    last: int
    waiting: int
    recent: int
    seconds: float


_COLUMNS: Final = (
    "n, digest, feed, format, report, name, source, tlp, size, received, state, due, "
    "worker, lease, attempts, round, waived, kept, began, ended, rows, repeated, "
    "rejects, fault"
)
_RECENT: Final = 100


class Batches:
    """The rows of batches."""

    def add(
        self,
        tx: Tx,
        arrival: Arrival,
        *,
        held: str = "",
        body: bytes | None = None,
    ) -> bool:
        """Note bytes that are on disk; says whether they are new here.

        Args:
            tx: a write transaction.
            arrival: what is told of them.
            held: why a person must look first; empty: they are worked on.
            body: the bytes themselves, to be kept here; None: they are a file.
        """
        new = bool(
            tx.run(
                "INSERT INTO batch (digest, feed, format, report, name, source, tlp, "
                "size, received, state, due, worker, lease, attempts, round, waived, "
                "kept, began, ended, rows, repeated, rejects, fault) VALUES (:digest, "
                ":feed, :format, :report, :name, :source, :tlp, :size, :now, :state, "
                "0, '', 0, 0, 0, :no, :yes, 0, 0, 0, 0, 0, :fault) "
                "ON CONFLICT (digest) DO NOTHING",
                digest=arrival.digest,
                feed=_clean(arrival.feed),
                format=arrival.format,
                report=_clean(arrival.report),
                name=_clean(arrival.name),
                source=_clean(arrival.source),
                tlp=arrival.tlp,
                size=arrival.size,
                now=tx.clock.now(),
                state=State.HELD.value if held else State.STORED.value,
                no=False,
                yes=True,
                fault=_clean(held),
            )
        )
        if new and body is not None:
            values = {"digest": arrival.digest, "body": body}
            tx.insert(tables.batch_body, values)
        return new

    def body(self, tx: Tx, digest: str) -> bytes | None:
        """Give a batch's bytes when they are kept here."""
        held = tx.value("SELECT body FROM batch_body WHERE digest = :d", d=digest)
        return None if held is None else bytes(held)

    def get(self, tx: Tx, name: str) -> Batch:
        """Give a batch by its number, or by its digest or the beginning of that.

        Raises:
            NotFound: there is none, or several begin so.
        """
        where, values = "digest = :name", {"name": name}
        rows = tx.rows(f"SELECT {_COLUMNS} FROM batch WHERE {where}", **values)
        if not rows and name.isdecimal() and len(name) < _DIGITS:
            rows = tx.rows(f"SELECT {_COLUMNS} FROM batch WHERE n = :n", n=int(name))
        if not rows and len(name) >= _SHORTEST and _HEX.issuperset(name):
            rows = tx.rows(
                f"SELECT {_COLUMNS} FROM batch WHERE digest >= :name "
                "AND digest < :after LIMIT 2",
                name=name,
                after=name + "g",
            )
        if len(rows) != 1:
            raise NotFound(
                f"No one batch is {name[:80]!r}.",
                mend="`serantau lane list` shows them with their numbers.",
            )
        return _batch(rows[0])

    def holds(self, tx: Tx, digest: str) -> bool:
        """Say whether a batch with this digest is here."""
        return tx.value("SELECT 1 FROM batch WHERE digest = :d", d=digest) is not None

    def numbers(self, tx: Tx, digests: Sequence[str]) -> dict[str, int]:
        """Give the numbers of batches by their digests."""
        rows = tx.rows(
            f"SELECT digest, n FROM batch WHERE {tx.among('digest', 'digests')}",
            digests=tx.array(sorted(set(digests))),
        )
        return {row.digest: row.n for row in rows}

    def recent(
        self,
        tx: Tx,
        *,
        state: State | None = None,
        feed: str = "",
        before: int = 0,
        limit: int = 100,
    ) -> list[Batch]:
        """List batches, the newest first; `before`: only numbers below it."""
        rows = tx.rows(
            f"SELECT {_COLUMNS} FROM batch WHERE (:before = 0 OR n < :before) "
            "AND (:state = '' OR state = :state) AND (:feed = '' OR feed = :feed) "
            "ORDER BY n DESC LIMIT :limit",
            before=before,
            state=state.value if state else "",
            feed=feed,
            limit=limit,
        )
        return [_batch(row) for row in rows]

    def claim(
        self, tx: Tx, worker: str, seconds: float, *, limit: int = 1, size: int = 0
    ) -> list[Batch]:
        """Lease the oldest batches that are due, or whose worker is gone.

        Args:
            tx: a write transaction, so that nobody else claims meanwhile.
            worker: who asks; no two may have one name.
            seconds: how long the lease is.
            limit: how many at most.
            size: bytes that all together may have; one batch is given whatever it has.
        """
        now = tx.clock.now()
        self._give_up(tx, now)
        rows = tx.rows(
            f"SELECT {_COLUMNS} FROM batch WHERE (state = 'stored' AND due <= :now) "
            "OR (state = 'running' AND lease < :now) ORDER BY n LIMIT :limit",
            now=now,
            limit=limit,
        )
        given: list[Batch] = []
        total = 0
        for batch in map(_batch, rows):
            total += batch.size
            if given and total > size:
                break
            given.append(batch)
        # Who brings a batch waits meanwhile: one statement, however many there are.
        rows = tx.rows(
            "UPDATE batch SET state = :state, worker = :worker, lease = :lease, "
            "attempts = attempts + 1, began = :now, ended = 0 WHERE "
            f"{tx.among('n', 'numbers')} RETURNING {_COLUMNS}",
            state=State.RUNNING.value,
            worker=worker,
            lease=now + int(seconds * _SECOND),
            now=now,
            numbers=tx.array([batch.number for batch in given]),
        )
        return sorted(map(_batch, rows), key=lambda batch: batch.number)

    def _give_up(self, tx: Tx, now: int) -> None:
        """End what was claimed so often that it is the batch that ends its workers."""
        tx.run(
            "UPDATE batch SET state = :failed, worker = '', lease = 0, ended = :now, "
            "fault = :fault WHERE state = 'running' AND lease < :now "
            "AND attempts >= :most",
            failed=STEPS[State.RUNNING][Step.FAIL].value,
            fault=f"given up after {ATTEMPTS} attempts: its worker ended each time",
            now=now,
            most=ATTEMPTS,
        )

    def waits(self, tx: Tx) -> bool:
        """Say whether a batch could be claimed now."""
        return bool(
            tx.value(
                "SELECT 1 FROM batch WHERE (state = 'stored' AND due <= :now) "
                "OR (state = 'running' AND lease < :now) LIMIT 1",
                now=tx.clock.now(),
            )
        )

    def extend(
        self, tx: Tx, worker: str, digests: Sequence[str], seconds: float
    ) -> int:
        """Lengthen leases; gives how many the worker still has."""
        return tx.run(
            "UPDATE batch SET lease = :lease WHERE worker = :worker "
            f"AND state = 'running' AND {tx.among('digest', 'digests')}",
            lease=tx.clock.now() + int(seconds * _SECOND),
            worker=worker,
            digests=tx.array(digests),
        )

    def finish(
        self,
        tx: Tx,
        batch: Batch,
        *,
        rows: int,
        rejects: int,
        format_name: str,
        repeated: int = 0,
    ) -> bool:
        """Note that what a batch gave is in the archive.

        Says whether this was still the worker's to note: whoever lost its lease while
        it was writing changes nothing, and the archive has the rows once in any case.
        """
        return self._leave(
            tx,
            batch,
            Step.FINISH,
            "rows = :rows, repeated = :repeated, rejects = :rejects, "
            "format = :format, fault = ''",
            rows=rows,
            repeated=repeated,
            rejects=rejects,
            format=format_name,
        )

    def fail(self, tx: Tx, batch: Batch, fault: str) -> bool:
        """Note that a batch cannot be read; only a person tries it again."""
        return self._leave(tx, batch, Step.FAIL, "fault = :fault", fault=_clean(fault))

    def give_back(self, tx: Tx, batch: Batch, fault: str = "") -> bool:
        """Let a batch be tried again, later each time when there was a fault.

        Without one nothing was wrong with it, and the attempt does not count.
        """
        if not fault:
            return self._leave(
                tx, batch, Step.GIVE_BACK, "attempts = attempts - 1, due = 0"
            )
        if batch.attempts >= ATTEMPTS:
            return self.fail(
                tx, batch, f"given up after {batch.attempts} attempts: {fault}"
            )
        wait = _BACK_OFF_SECONDS * 2 ** (batch.attempts - 1) * _SECOND
        return self._leave(
            tx,
            batch,
            Step.GIVE_BACK,
            "fault = :fault, due = :due",
            fault=_clean(fault),
            due=tx.clock.now() + wait,
        )

    def hold(self, tx: Tx, batch: Batch, why: str) -> bool:
        """Keep what a running batch gives out of the archive until a person looked."""
        return self._leave(tx, batch, Step.HOLD, "fault = :why", why=_clean(why))

    def _leave(
        self, tx: Tx, batch: Batch, step: Step, changes: str, **values: Any
    ) -> bool:
        """End the work on a batch, when it is still that worker's."""
        return bool(
            tx.run(
                f"UPDATE batch SET state = :to, worker = '', lease = 0, ended = :now, "
                f"{changes} WHERE n = :n AND state = 'running' AND worker = :worker "
                "AND attempts = :attempts",
                to=_next(batch, step).value,
                now=tx.clock.now(),
                n=batch.number,
                worker=batch.worker,
                attempts=batch.attempts,
                **values,
            )
        )

    def release(self, tx: Tx, batch: Batch) -> None:
        """Let a held batch be worked on: a person looked, and its size is right.

        Raises:
            Conflict: it is not held.
        """
        self._move(
            tx,
            batch,
            Step.RELEASE,
            "attempts = 0, due = 0, waived = :waived, fault = ''",
            waived=True,
        )

    def retry(self, tx: Tx, batch: Batch, format_name: str | None = None) -> None:
        """Let a batch be worked on anew, with another format when one is given.

        Raises:
            Conflict: it is being worked on, or is held.
        """
        self._move(
            tx,
            batch,
            Step.RETRY,
            "attempts = 0, due = 0, round = round + :up, format = :format, fault = ''",
            up=int(batch.state is not State.STORED),
            format=batch.format if format_name is None else format_name,
        )

    def drop(self, tx: Tx, batch: Batch) -> None:
        """Do not work on a batch.

        Raises:
            Conflict: it is being worked on, or done.
        """
        self._move(tx, batch, Step.DROP, "ended = :now", now=tx.clock.now())

    def _move(
        self, tx: Tx, batch: Batch, step: Step, changes: str, **values: Any
    ) -> None:
        state = _next(batch, step)
        if not tx.run(
            f"UPDATE batch SET state = :to, {changes} WHERE n = :n AND state = :was",
            to=state.value,
            n=batch.number,
            was=batch.state.value,
            **values,
        ):
            raise Conflict(f"Batch {batch.number} has changed meanwhile.")

    def usual(self, tx: Tx, feed: str, count: int = 5) -> int:
        """Give how many rows a feed usually has: the middle of the last few batches.

        All that were read count. 0 when none of its batches is done.
        """
        rows = tx.rows(
            "SELECT rows + repeated + rejects AS found FROM batch WHERE feed = :feed "
            "AND state = 'done' ORDER BY n DESC LIMIT :count",
            feed=feed,
            count=count,
        )
        found = sorted(int(row.found) for row in rows)
        return found[len(found) // 2] if found else 0

    def counts(self, tx: Tx) -> dict[State, int]:
        """Count batches by state."""
        rows = tx.rows("SELECT state, count(*) AS held FROM batch GROUP BY state")
        found = {State(row.state): int(row.held) for row in rows}
        return {state: found.get(state, 0) for state in State}

    def totals(self, tx: Tx) -> list[Totals]:
        """Tell how it stands with each feed that ever had a batch, by name."""
        found: dict[str, Totals] = {}
        for row in tx.rows(
            "SELECT feed, state, count(*) AS held, sum(rows) AS rows, "
            "sum(rejects) AS rejects, max(received) AS last, min(received) AS first "
            "FROM batch GROUP BY feed, state"
        ):
            state = State(row.state)
            one = found.get(row.feed) or Totals(row.feed, {}, 0, 0, 0, 0, 0, 0.0)
            waits = state in {State.STORED, State.RUNNING}
            waiting = [at for at in (one.waiting, int(row.first) if waits else 0) if at]
            found[row.feed] = Totals(
                row.feed,
                {**one.states, state: int(row.held)},
                one.rows + (int(row.rows) if state is State.DONE else 0),
                one.rejects + (int(row.rejects) if state is State.DONE else 0),
                max(one.last, int(row.last)),
                min(waiting, default=0),
                0,
                0.0,
            )
        return [self._with_rate(tx, found[name]) for name in sorted(found)]

    def _with_rate(self, tx: Tx, one: Totals) -> Totals:
        rows = tx.rows(
            "SELECT rows + repeated + rejects AS found, began, ended FROM batch "
            "WHERE feed = :feed AND state = 'done' ORDER BY n DESC LIMIT :recent",
            feed=one.feed,
            recent=_RECENT,
        )
        recent = sum(int(row.found) for row in rows)
        # Batches that are worked on together share that time.
        spent = until = 0
        for began, ended in sorted((int(row.began), int(row.ended)) for row in rows):
            spent += max(ended - max(began, until), 0)
            until = max(until, ended)
        seconds = spent / _SECOND
        return Totals(
            one.feed,
            one.states,
            one.rows,
            one.rejects,
            one.last,
            one.waiting,
            recent,
            seconds,
        )

    def settled_before(self, tx: Tx, at: int, *, limit: int = 1000) -> list[str]:
        """Give digests of batches whose work ended before an instant for good.

        Only of those whose bytes are still here.
        """
        rows = tx.rows(
            "SELECT digest FROM batch WHERE state IN ('done', 'dropped') AND kept "
            "AND ended < :at ORDER BY n LIMIT :limit",
            at=at,
            limit=limit,
        )
        return [str(row.digest) for row in rows]

    def forget(self, tx: Tx, digests: Sequence[str]) -> None:
        """Note that the bytes of batches are here no longer."""
        among = tx.among("digest", "digests")
        values = {"digests": tx.array(digests)}
        tx.run(f"DELETE FROM batch_body WHERE {among}", **values)
        tx.run(f"UPDATE batch SET kept = :no WHERE {among}", no=False, **values)


_HEX: Final = frozenset("0123456789abcdef")
_SHORTEST: Final = 6
_DIGITS: Final = 19


def _next(batch: Batch, step: Step) -> State:
    to = STEPS[batch.state].get(step)
    if to is None:
        raise Conflict(f"Batch {batch.number} is {batch.state}: {step} is not for it.")
    return to


def _clean(text: str) -> str:
    """PostgreSQL takes no NUL in text, and names and faults may quote hostile ones."""
    return text.replace("\x00", "\\u0000").encode("utf-8", "replace").decode()[:_FAULT]


def _batch(row: Any) -> Batch:
    return Batch(
        number=row.n,
        digest=row.digest,
        feed=row.feed,
        format=row.format,
        report=row.report,
        name=row.name,
        source=row.source,
        tlp=row.tlp,
        size=row.size,
        received=row.received,
        state=State(row.state),
        due=row.due,
        worker=row.worker,
        lease=row.lease,
        attempts=row.attempts,
        round=row.round,
        waived=bool(row.waived),
        kept=bool(row.kept),
        began=row.began,
        ended=row.ended,
        rows=row.rows,
        repeated=row.repeated,
        rejects=row.rejects,
        fault=row.fault,
    )
