"""Recalls between nodes: fetched from those who gave us something, answered to them.

A node fetches what is for it and hands back its own answer, and those of the parties
that it told in turn. Each answer stays as its party signed it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import structlog

from serantau.desk.recall import Recalling
from serantau.desk.share import Share
from serantau.errors import Forbidden, PeerError
from serantau.node import Node
from serantau.records.addressees import Addressee
from serantau.records.database import Tx
from serantau.records.recalls import Held
from serantau.records.registry import Caller
from serantau.rules.head import take_apart
from serantau.rules.marking import NAME
from serantau.rules.recall import read_answer
from serantau.wire.connection import Connection
from serantau.wire.recalls import Item, Reported, ask_recalls, hand_back

_ROUNDS: Final = 100
_TOLD_BY_ONE: Final = 500
_DAY: Final = 86_400_000_000
WAY: Final = "recall"

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Exchanged:
    """What came of it. new: recalls that are followed now. fault: why it broke off."""

    new: int = 0
    fault: str = ""


class RecallLine:
    """Both ends of the line between two nodes, for one node."""

    def __init__(self, node: Node, share: Share | None = None) -> None:
        """Work for `node`."""
        self._node = node
        self._share = share or Share(node)
        self.recalling = Recalling(node)

    # As who asks

    def exchange(self, peer: str, line: Connection) -> Exchanged:
        """Fetch what is for this node, follow it, and hand back what is known.

        Raises nothing of the peer's: a node of an older version has no such door.
        """
        found = Exchanged()
        try:
            found.new = self._fetch(peer, line)
            self.recalling.settle()
            self._hand_back(peer, line)
        except PeerError as fault:
            found.fault = str(fault)
            _log.warning("recalls_not_exchanged", peer=peer, fault=found.fault)
        return found

    def _fetch(self, peer: str, line: Connection) -> int:
        new = 0
        for _ in range(_ROUNDS):
            with self._node.db.read() as tx:
                after = self.recalling.parties.fetched(tx, peer)
            told = ask_recalls(line, after)
            if not told:
                break
            # What came and how far it came is one transaction: none is taken twice.
            with self._node.db.write() as tx:
                for one in told:
                    new += self.recalling.take(tx, one.signed, peer)
                self.recalling.parties.move(tx, peer, told[-1].number)
        return new

    def _hand_back(self, peer: str, line: Connection) -> None:
        parties = self.recalling.parties
        for _ in range(_ROUNDS):
            with self._node.db.read() as tx:
                rows = parties.unsent(tx, peer)
                told = [
                    Reported(digest, row.party, row.answer)
                    for _, digest, row in rows
                    if self._may_be_told(tx, row)
                ]
            if not rows:
                break
            if told:
                hand_back(line, told)
            with self._node.db.write() as tx:
                for number, _, row in rows:
                    parties.sent(tx, number, peer, row.changed)

    def _may_be_told(self, tx: Tx, row: Addressee) -> bool:
        """Say whether a party may be named; who answered has named itself."""
        if row.answer:
            return True
        held = self._node.registry.parties(tx).get(row.party)
        kind = str(held[1].kind) if held is not None else ""
        return not row.via and kind in self._node.config.ledger.named

    # As who is asked

    def page(self, caller: Caller, after: int, request: str) -> list[Item]:
        """Give the recalls for a caller behind a number, and log that they went.

        Raises:
            Forbidden: there are none for such a caller.
        """
        party = self._party(caller)
        parties = self.recalling.parties
        with self._node.db.read() as tx:
            unsettled = parties.is_unsettled(tx, party, after)
        if unsettled:
            # Who asks for what is behind a number has everything up to it.
            with self._node.db.write() as tx:
                parties.settle(tx, party, after)
        with self._node.db.read() as tx:
            found = parties.addressed(tx, party, after)
            if found:
                digests = " ".join(digest for _, digest, _ in found)
                self._share.release_words(
                    tx, caller, len(found), way=WAY, request=f"{request} {digests}"
                )
        return [Item(number, signed) for number, _, signed in found]

    def take_answers(self, caller: Caller, answers: list[Reported]) -> int:
        """Take in what a caller answers, or hands on; gives how many were new.

        Raises:
            Forbidden: as `page`.
        """
        party, taken = self._party(caller), 0
        with self._node.db.write() as tx:
            for one in answers:
                held = self.recalling.rows.get(tx, one.recall)
                if held is not None and self._is_for(tx, held, party):
                    taken += self._take(tx, held, party, one)
        return taken

    def _is_for(self, tx: Tx, held: Held, party: str) -> bool:
        return any(
            row.party == party and row.number
            for row in self.recalling.parties.parties(tx, held.number)
            if not row.via
        )

    def _take(self, tx: Tx, held: Held, teller: str, one: Reported) -> bool:
        parties, recalling = self.recalling.parties, self.recalling
        via = "" if one.party == teller else teller
        own = self._node.config.node.member
        if one.party in (own, held.node) or NAME.fullmatch(one.party) is None:
            return False
        if via and parties.told_by(tx, held.number, via) >= _TOLD_BY_ONE:
            return False
        row = parties.report(tx, held.number, one.party, via)
        if not one.answer:
            return False
        try:
            said = read_answer(take_apart(one.answer))
        except ValueError as fault:
            _log.warning("answer_unread", party=teller, fault=str(fault))
            return False
        late = self._node.clock.now() + _DAY
        older = bool(row.answer) and said.at <= row.answered
        if said.recall != held.digest or older or said.at > late:
            return False
        doubt = recalling.table.doubt_of(tx, held, one.party, one.answer)
        if doubt and row.answer and not recalling.table.doubt(tx, held, row):
            # Nobody takes a proven answer away by bringing another.
            return False
        parties.answer(
            tx,
            held.number,
            one.party,
            via,
            state=said.state,
            at=said.at,
            answer=one.answer,
        )
        return True

    def _party(self, caller: Caller) -> str:
        party = caller.party
        if party.blocked or not party.active(self._node.clock.now()):
            raise Forbidden("Your party's access to this node has ended.")
        if caller.own:
            raise Forbidden("This node's own people read recalls by `serantau recall`.")
        return party.name
