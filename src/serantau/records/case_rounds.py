"""How it stands with the steps that this node takes for the clocks of its cases.

What was taken is in the case. Here stands what is under way, whom it went to, and why a
step could not be taken: names of people and words of mail servers, which never leave.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final

import orjson

from serantau.records import case_tables
from serantau.records.database import Tx

WAITING: Final = "waiting"
SENDING: Final = "sending"
HANDED: Final = "handed"
TAKEN: Final = "taken"

Which = tuple[str, str, str]
"""A clock: of which case and party, and which."""


@dataclass(frozen=True, slots=True)
class StepRow:
    """How it stands with the steps of one clock.

    since: when the clock began; steps of another time are over. channel: of the last
    step. state: waiting for another try; sending, when what is under way is not
    complete; handed, when nobody knows whether it arrived; taken. worker: who is at it.
    card, way: whom it goes to. letter: its key. tried: when. wait: for how long then,
    in microseconds. tries: of this address. unsure: how often it was handed over and
    nobody knows how that ended. failed: why it did not go, by address. said: why it was
    not taken, for a person.
    """

    case_id: str
    party: str
    clock: str
    since: int
    channel: str = ""
    state: str = WAITING
    worker: str = ""
    card: str = ""
    way: str = ""
    letter: str = ""
    tried: int = 0
    wait: int = 0
    tries: int = 0
    unsure: int = 0
    failed: Mapping[str, str] = field(default_factory=dict)
    said: str = ""

    @property
    def which(self) -> Which:
        """Give the clock."""
        return self.case_id, self.party, self.clock

    def waits(self, now: int) -> bool:
        """Say whether it is too early to try again; no time ahead is waited for."""
        return self.tried <= now < self.tried + self.wait


_NAMES: Final = tuple(one.name for one in fields(StepRow))
_COLUMNS: Final = ", ".join(_NAMES)
_FAILED: Final = _NAMES.index("failed")
_MOST_SAID: Final = 300


class Steps:
    """The rows of steps."""

    def all(self, tx: Tx, case: str = "") -> list[StepRow]:
        """Give how it stands with the steps of one case, or of all."""
        rows = tx.rows(
            f"SELECT {_COLUMNS} FROM case_step WHERE :case IN ('', case_id) "
            "ORDER BY case_id, party, clock",
            case=case,
        )
        return [_read(row) for row in rows]

    def put(self, tx: Tx, rows: Sequence[StepRow]) -> None:
        """Write rows, in place of those of the same clocks."""
        self.drop(tx, [row.which for row in rows])
        tx.insert_many(case_tables.step, _NAMES, [_values(row) for row in rows])

    def drop(self, tx: Tx, clocks: Sequence[Which]) -> None:
        """Forget the steps of clocks that are over."""
        for case, party, clock in clocks:
            tx.run(
                "DELETE FROM case_step "
                "WHERE case_id = :case AND party = :party AND clock = :clock",
                case=case,
                party=party,
                clock=clock,
            )

    def handed(self, tx: Tx, letter: str, worker: str) -> int:
        """Note that all but the last of a letter is out; gives of how many steps.

        None of them is when another worker has taken them over.
        """
        return tx.run(
            "UPDATE case_step SET state = 'handed', unsure = unsure + 1 WHERE "
            "letter = :letter AND worker = :worker AND state = 'sending'",
            letter=letter,
            worker=worker,
        )

    def by_letter(self, tx: Tx, letter: str) -> list[StepRow]:
        """Give the steps that a letter was for."""
        rows = tx.rows(
            f"SELECT {_COLUMNS} FROM case_step WHERE letter = :letter "
            "ORDER BY case_id, party, clock",
            letter=letter,
        )
        return [_read(row) for row in rows]

    def forget(self, tx: Tx, card: str) -> None:
        """Forget whom of a card steps went to, and what was said of that."""
        tx.run(
            "UPDATE case_step SET card = '', letter = '', failed = '{}', said = '' "
            "WHERE card = :card OR failed LIKE :within",
            card=card,
            within=f"%{card}%",
        )


def _read(row: Any) -> StepRow:
    values = list(row)
    values[_FAILED] = orjson.loads(values[_FAILED])
    return StepRow(*values)


def _values(row: StepRow) -> tuple[Any, ...]:
    values = [getattr(row, name) for name in _NAMES]
    values[_FAILED] = orjson.dumps(row.failed).decode()
    values[-1] = _plain(row.said)
    return tuple(values)


def _plain(said: str) -> str:
    return said.replace("\x00", "")[:_MOST_SAID]
