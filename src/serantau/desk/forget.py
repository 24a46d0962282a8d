"""What the logs of own people say is erased by age, or for one person or object.

First the decision to erase is written, with the rows' numbers and no name, and then the
words are taken out. A kill in between leaves rows that still say something, which the
next run erases. A row's digest and its leaf stay, so that the tree verifies as before.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from serantau.desk.ledger import Book
from serantau.errors import BadRequest, SerantauError, StoreError
from serantau.node import Node
from serantau.records import acts, tree
from serantau.records.acts import By
from serantau.records.chores import Chores
from serantau.records.leaves import rest_of
from serantau.rules.leaf import DECISION, READING, RELEASE, blinded, salts_of

CHORE: Final = "logs.expire"
ITSELF: Final = By("serantau", "chore")
_SECOND: Final = 1_000_000
_DAY: Final = 86_400 * _SECOND
_EVERY: Final = 3600 * _SECOND
_POLL_SECONDS: Final = 60.0
_AT_ONCE: Final = 5000

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Forgotten:
    """How many rows were left without words: by type of leaf."""

    rows: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Count all of them."""
        return sum(self.rows.values())


class Forgetting:
    """Takes words out of one node's logs."""

    def __init__(self, node: Node) -> None:
        """Work on `node`."""
        self._node = node

    def run(self, stop: threading.Event) -> None:
        """Erase what is too old, once an hour, until `stop` is set."""
        chores = Chores()
        while not stop.is_set():
            try:
                with self._node.db.read() as tx:
                    due = tx.clock.now() - chores.get(tx, CHORE).tried >= _EVERY
                if due and any(self._keep().values()):
                    done = self.expire()
                    with self._node.db.write() as tx:
                        chores.note(tx, CHORE, done=tx.clock.now())
                    if done.total:
                        _log.info("logs_expired", **done.rows)
            except SerantauError as fault:
                _log.error("logs_not_expired", fault=str(fault))
            stop.wait(_POLL_SECONDS)

    def _keep(self) -> dict[str, int]:
        audit = self._node.config.audit
        return {
            READING: audit.keep_readings,
            DECISION: audit.keep_decisions,
            RELEASE: audit.keep_requests,
        }

    def expire(self) -> Forgotten:
        """Erase what is older than the configuration keeps it."""
        found = Forgotten()
        for kind, days in self._keep().items():
            if not days:
                continue
            before = self._node.clock.now() - days * _DAY
            about = f"what is older than {days} days: {kind}"
            while True:
                with self._node.db.read() as tx:
                    numbers = acts.numbers_before(tx, kind, before, _AT_ONCE)
                if not numbers:
                    break
                self._erase({kind: numbers}, about, "retention", found)
        return found

    def count(self, *, actor: str = "", object_id: str = "", until: int) -> Forgotten:
        """Count what `erase` would erase."""
        with self._node.db.read() as tx:
            several = acts.numbers_of(tx, actor=actor, object_id=object_id, until=until)
        return Forgotten({kind: len(numbers) for kind, numbers in several.items()})

    def erase(
        self, *, reason: str, actor: str = "", object_id: str = "", until: int
    ) -> Forgotten:
        """Erase what one person read and let go, or who read one object.

        What a person decided stays, until its time is over. To whom something left and
        which objects stays too: with a person only their name and the question goes.

        Args:
            reason: why; it stays in the log.
            actor: the person's account or user.
            object_id: or the object.
            until: only what is before this instant.

        Raises:
            BadRequest: without a reason, or not exactly one of person and object.
        """
        if not reason.strip():
            raise BadRequest("A reason is missing.", mend="It stays in the log.")
        if bool(actor) == bool(object_id):
            raise BadRequest("Name one person, or one object.")
        found = Forgotten()
        with self._node.db.read() as tx:
            several = acts.numbers_of(tx, actor=actor, object_id=object_id, until=until)
        # Neither the name nor the id: it would be said anew for ever.
        about = "what one person read and let go" if actor else "who read one object"
        self._erase(several, about, reason, found)
        return found

    def _erase(
        self, several: dict[str, list[int]], about: str, why: str, found: Forgotten
    ) -> None:
        db = self._node.db
        # The log's secret is made with its first leaf.
        Book(self._node).seal()
        with db.read() as tx:
            log = tree.held(tx)
        if log is None:
            raise StoreError("The release log has no tree.")

        def rest(row: Any) -> bytes:
            salts = salts_of(log.secret, RELEASE, row.n)
            return bytes.fromhex(blinded(salts.rest, rest_of(row)))

        for kind, numbers in several.items():
            for runs in acts.runs_of(numbers):
                named = {kind: [list(run) for run in runs]}
                by = acts.who() or ITSELF
                with acts.acting(by), db.write() as tx:
                    acts.decided(tx, acts.ERASED, about, after=named, why=why)
                with db.write() if kind == DECISION else db.ledger() as tx:
                    done = acts.erase(tx, kind, runs, rest)
                found.rows[kind] = found.rows.get(kind, 0) + done
        db.settle_log()
