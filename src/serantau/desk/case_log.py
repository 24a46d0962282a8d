"""Cases as their entries come: folded in the transaction that admits them.

So there is no moment at which an entry is here and the board, the circle and the
incident do not know of it, and a crash leaves all of them or none.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import orjson
import structlog

from serantau.clock import instant
from serantau.desk.case_incident import SOURCE, keep_in_step
from serantau.desk.keys import Keys, standing
from serantau.errors import SerantauError
from serantau.node import Node
from serantau.records.cases import Cases, PartRow, Row, Summary
from serantau.records.database import Tx
from serantau.records.pins import Pins
from serantau.rules.case import Case
from serantau.rules.case_clock import TERMS, Terms, first_due, paced
from serantau.rules.case_entry import TYPE, audience_of, is_entry
from serantau.rules.case_states import PartyState
from serantau.rules.marking import Tlp
from serantau.rules.signature import Standing
from serantau.rules.stix import ObjectVersion
from serantau.rules.text import fold

_MOST_KEPT: Final = 64
_POLL_SECONDS: Final = 5.0

_log = structlog.get_logger(__name__)


class CaseLog:
    """The cases of one node, as far as entries make them."""

    def __init__(self, node: Node) -> None:
        """Fold what `node` holds."""
        self._node = node
        self._cases = Cases()
        self._keys = Keys(node)
        # Cases that were folded lately, each with the stamp of its last entry. Only who
        # writes to the store looks in here, and takes out what it works on: of a
        # transaction that is rolled back nothing is left.
        self._folded: dict[str, tuple[Case, int]] = {}

    def settle(self, tx: Tx, first: int, new: Iterable[ObjectVersion]) -> None:
        """Fold entries that were just admitted, in the transaction that did it.

        Args:
            tx: that transaction.
            first: the stamp of the first of the versions; the others' follow it.
            new: all that was admitted, entries or not.
        """
        rows: list[Row] = []
        for added, version in enumerate(new, first):
            if version.type != TYPE or not is_entry(data := orjson.loads(version.body)):
                continue
            case = data.get("case_ref", version.id)
            stands = version.examined[0] or Standing.UNSIGNED
            rows.append(Row(added, case, version.id, version.creator, stands))
        if not rows:
            return
        self._cases.put(tx, rows)
        for case in dict.fromkeys(row.case_id for row in rows):
            self.refold(tx, case)

    def refold(self, tx: Tx, case: str) -> Case:
        """Fold a case up to what is here, and let everything know that follows it."""
        folded = self.folded(tx, case)
        if case not in folded or not folded.state.opener:
            self._cases.hide(tx, case)
            return folded
        parts = self._parts(tx, folded)
        self._cases.take_part(tx, case, parts)
        self._cases.show(tx, summary_of(folded, self._own, self._terms), _words(folded))
        self._gather(tx, folded, parts)
        keep_in_step(self._node, tx, folded)
        return folded

    def _parts(self, tx: Tx, folded: Case) -> list[PartRow]:
        known = parties_of(self._node, tx)
        return [
            PartRow(
                party=identity,
                name=known.get(identity, ""),
                state=part.state.value,
                invited=instant(part.invited),
                answered=instant(part.answered) if part.answered else 0,
                mail=part.mail,
            )
            for identity, part in sorted(folded.state.parts.items())
        ]

    @property
    def _own(self) -> str:
        return self._node.config.node.identity

    @property
    def _terms(self) -> Mapping[str, Terms]:
        return paced(self._node.config.clocks.pace)

    def folded(self, tx: Tx, case: str) -> Case:
        """Give a case as far as its entries are here; in a transaction that writes.

        Who adds entries to it that are then not admitted must let the transaction fail.
        """
        held, last = self._cases.held(tx, case)
        folded, seen = tx.recall(self._folded, case) or (Case(case), 0)
        if len(self._folded) < _MOST_KEPT:
            self._folded.pop(case, None)
        else:
            self._folded.clear()
        if seen < last:
            folded.add(self._cases.entries(tx, case, seen))
        if len(folded) != held:
            # Something was taken out, or is believed now that was not when it came.
            folded = Case(case, self._cases.entries(tx, case))
        tx.note(self._folded, case, (folded, last))
        return folded

    def _gather(self, tx: Tx, folded: Case, parts: Sequence[PartRow]) -> None:
        """Let those who are in the case have its log, as far as they are known here.

        A node that is not in the case itself passes nothing on.
        """
        if self._own not in folded.state.parts:
            return
        # Without ourselves: an audience that names us admits our own clients, too.
        own = self._node.config.node.member
        inside = {part.name for part in parts} - {own, ""}
        node = self._node
        if self._cases.gather(tx, node.audiences, folded.id, inside):
            definition = node.reader.read(orjson.dumps(audience_of(folded.id)))
            level = Tlp.parse(node.config.handling.definitions)
            node.objects.admit(
                tx, [definition], source=SOURCE, handling=lambda _: level
            )

    def run(self, stop: threading.Event) -> None:
        """Catch up whenever keys, parties or the store changed, until `stop` is set."""
        seen: object = None
        while not stop.is_set():
            try:
                with self._node.db.read() as tx:
                    now = (
                        self._node.objects.deletions(tx),
                        parties_of(self._node, tx),
                        {(pin.party, pin.fingerprint) for pin in Pins().all(tx)},
                    )
                if now != seen:
                    with self._node.db.write() as tx:
                        self.catch_up(tx)
                    seen = now
            except SerantauError as fault:
                _log.error("cases_not_caught_up", fault=str(fault))
            stop.wait(_POLL_SECONDS)

    def catch_up(self, tx: Tx) -> list[str]:
        """Fold anew what changed otherwise than by an entry; gives these cases.

        Entries whose signature is believed now, entries whose objects were taken out,
        and parties that this node did not know when they were invited.
        """
        changed = dict.fromkeys(self._cases.gone(tx))
        ring = None
        for row, body in self._cases.doubted(tx):
            ring = ring or self._keys.ring(tx)
            found = standing(body, ring, row.added).standing
            if found != row.standing:
                self._cases.stand(tx, row.added, found)
                changed[row.case_id] = None
        known = parties_of(self._node, tx)
        changed |= dict.fromkeys(self._cases.strangers(tx, known))
        changed |= dict.fromkeys(self._cases.unread(tx))
        for case in changed:
            self.refold(tx, case)
        if changed:
            _log.info("cases_folded_anew", cases=len(changed))
        return list(changed)


def parties_of(node: Node, tx: Tx) -> dict[str, str]:
    """Give the names of the parties here by identity, as configured or proven."""
    known = {pin.identity: pin.party for pin in Pins().all(tx) if pin.identity}
    for name, (_, party) in node.registry.parties(tx).items():
        if party.identity:
            known[party.identity] = name
    known.pop("", None)
    return known


def _words(folded: Case) -> str:
    """Give the words by which a case is found."""
    state = folded.state
    said = (state.name, state.incident_class, state.national_class, state.description)
    return fold("\n".join(filter(None, said)))


def summary_of(folded: Case, own: str, terms: Mapping[str, Terms] = TERMS) -> Summary:
    """Write the line of the board for a case, as the party `own` sees it."""
    state = folded.state
    mine = state.parts.get(own)
    due = first_due(folded, terms)
    return Summary(
        id=folded.id,
        name=state.name,
        level=folded.entry(folded.id).level.label,
        opened=instant(state.opened),
        changed=instant(state.last),
        closed=instant(state.closed) if state.closed else 0,
        severity=state.severity,
        incident_class=state.incident_class,
        owner=state.owner,
        offered=state.offered,
        mine="" if mine is None else mine.state.value,
        parties=len(state.parts),
        silent=sum(part.state is PartyState.NO_ANSWER for part in state.parts.values()),
        tasks=sum(task.state in {"open", "doing"} for task in state.tasks.values()),
        asks=sum("open" in ask.to.values() for ask in state.asks.values()),
        embargo=state.embargo.state.value,
        entries=len(folded),
        waiting=len(folded.waiting),
        flagged=len(folded.flagged()),
        due=due.at if due else 0,
        due_of=due.party if due else "",
        due_clock=due.clock if due else "",
    )
