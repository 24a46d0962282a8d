"""Recalls: what its creator wants back is withheld here, and who got it is told.

A recall is one signed statement by the creator's node. Here it changes the marking set
of what it covers, so that every way out withholds it by its verdict. To whom this node
gave it is in the release log; they are told, and their answers stand beside it.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog

from serantau.desk.keys import Keys
from serantau.desk.ledger import Book
from serantau.desk.recall_table import RecallTable, Told
from serantau.errors import (
    BadRequest,
    ConfigError,
    Conflict,
    Forbidden,
    NotFound,
    SerantauError,
)
from serantau.node import Node
from serantau.records import acts
from serantau.records.addressees import Addressees
from serantau.records.database import Tx
from serantau.records.recalls import Due, Held, Recalls
from serantau.records.registry import Caller
from serantau.rules.head import take_apart
from serantau.rules.marking import Recalled
from serantau.rules.recall import (
    REASON,
    Answer,
    Kind,
    Recall,
    Said,
    objections,
    read_recall,
    signed_text,
    stricter,
)
from serantau.rules.redaction import derived_ids

PATIENCE: Final = 60_000_000
"""What was on its way out when a recall came is in the log after so long."""
NO_GUARANTEE: Final = (
    "A recall cannot be guaranteed: it asks, and who has something may keep it."
)
DROPPED: Final = "dropped"

_DOUBTED_OF_ONE: Final = 1000
_POLL_SECONDS: Final = 5.0
_DOUBT_ROUNDS: Final = 12
_SEAL_SECONDS: Final = 5.0
_END_OF_TIME: Final = 2**62
_MADE_OF: Final = "What it was made of was recalled."

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Given:
    """What one party got, by the release log."""

    ways: set[str] = field(default_factory=set)
    got: int = _END_OF_TIME
    versions: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Listed:
    """A recall in a list. answers: how many parties by answer, "" for none yet.

    own: what this node answered another's.
    """

    held: Held
    answers: Mapping[str, int]
    own: str


class Recalling:
    """Recalls of one node: its own, and those that it follows."""

    def __init__(self, node: Node) -> None:
        """Work for `node`."""
        self._node = node
        self._keys = Keys(node)
        self.table = RecallTable(node)
        self.rows = Recalls()
        self.parties = Addressees()

    @property
    def _own(self) -> str:
        return self._node.config.node.member

    @property
    def _identity(self) -> str:
        return self._node.config.node.identity

    def _sign(self, said: Recall | Answer) -> str:
        return signed_text(said, self._node.signer.jws)

    # This node's own

    def recall(self, object_ids: Iterable[str], reason: str) -> list[Held]:
        """Recall all versions of own objects that are here, all or none.

        Raises:
            NotFound: no such object.
            Forbidden: another made it.
            Conflict: all of it was recalled already.
            BadRequest: a reason that is too long.
            ConfigError: this node cannot sign.
        """
        if len(reason) > REASON:
            raise BadRequest(
                f"The reason has {len(reason)} characters, expected {REASON} at most."
            )
        with self._node.db.write() as tx:
            made = [
                self._recall_whole(tx, name, reason)
                for name in dict.fromkeys(object_ids)
            ]
        self.settle()
        return made

    def got(self, object_id: str) -> list[tuple[str, list[str]]]:
        """Name those who got an object, by the release log, and the ways."""
        with self._node.db.read() as tx:
            given = self._given(tx, object_id, _END_OF_TIME)
        return [(party, sorted(one.ways)) for party, one in sorted(given.items())]

    def _recall_whole(self, tx: Tx, object_id: str, reason: str) -> Held:
        found = self.rows.covered(tx, object_id, _END_OF_TIME)
        if not found:
            raise NotFound(f"No object is named {object_id!r}.")
        maker = found[-1].creator
        if not maker or maker != self._identity:
            raise Forbidden(
                f"{object_id} was made by {maker or 'nobody it names'}, and only its "
                "creator recalls it.",
                mend="Ask its creator. What you hold back yourself you mark more "
                "strictly or block.",
            )
        before = found[-1].modified + 1
        if self._is_recalled(tx, object_id, before):
            raise Conflict(
                f"{object_id} was recalled already.",
                mend=f"`serantau recall show {object_id}` tells who answered what.",
            )
        acts.decided(tx, "recalled an object", object_id, why=reason)
        return self._make(tx, object_id, before, Kind.RECALLED, reason, Recalled.KEPT)

    def _is_recalled(self, tx: Tx, object_id: str, before: int) -> bool:
        return any(
            held.mine and held.hold and held.before >= before
            for held in self.rows.of_object(tx, object_id)
        )

    def _make(
        self,
        tx: Tx,
        object_id: str,
        before: int,
        kind: Kind,
        reason: str,
        hold: Recalled,
    ) -> Held:
        config = self._node.config.node
        said = Recall(
            at=tx.clock.now(),
            before=before,
            creator=self._identity,
            kind=kind,
            node=config.member,
            object=object_id,
            realm=config.realm,
            reason=reason,
        )
        held = self.rows.put(tx, said, self._sign(said), mine=True, hold=hold)
        self._withhold(tx, held, hold)
        return held

    def _withhold(self, tx: Tx, held: Held, hold: Recalled) -> None:
        """Withhold what a recall covers, and what this node made of it."""
        self._node.objects.recall(tx, held.object)
        if not self._identity:
            return
        made_of = self.rows.made_of(tx, held.object, self._identity)
        for each in self.rows.covered(tx, held.object, held.before):
            made_of += derived_ids(held.object, each.version, self._identity)
        for name in made_of:
            found = self.rows.covered(tx, name, _END_OF_TIME)
            before = found[-1].modified + 1 if found else 0
            if found and not self._is_recalled(tx, name, before):
                self._make(tx, name, before, Kind.RECALLED, _MADE_OF, hold)

    # Those of others

    def take(self, tx: Tx, text: str, peer: str) -> bool:
        """Take in a recall that a peer tells of; says whether it is new and followed.

        What is not believed is kept with the reason, and tried again: the key may be
        pinned later.
        """
        try:
            said = read_recall(take_apart(text))
        except ValueError as fault:
            _log.warning("recall_unread", peer=peer, fault=str(fault))
            return False
        held = self.rows.get(tx, said.digest)
        if held is None:
            if self.rows.doubted_of(tx, peer) >= _DOUBTED_OF_ONE:
                _log.error("too_many_doubted_recalls", peer=peer)
                return False
            held = self.rows.put(
                tx,
                said,
                text,
                mine=said.creator == self._identity,
                hold=Recalled.NO,
                fault="it was not looked at yet",
            )
        self.parties.source(tx, held.number, peer)
        return not held.hold and self._judge(tx, held, said, text)

    def _judge(self, tx: Tx, held: Held, said: Recall, text: str) -> bool:
        """Follow a recall if there is nothing against it."""
        wrong = self._objections(tx, said, text)
        if wrong:
            fault = "; ".join(wrong)
            if fault != held.fault:
                self.rows.believe(tx, held, Recalled.NO, fault, held.signed)
                _log.warning("recall_not_believed", object=said.object, fault=fault)
            return False
        keep = held.mine or self.rows.hold(tx, said.object) is not None
        hold = Recalled.KEPT if keep else Recalled.HIDDEN
        self.rows.believe(tx, held, hold, "", text)
        self._withhold(tx, held, hold)
        if not held.mine:
            self._answer(tx, held, hold)
        _log.info("recall_followed", object=said.object, kind=str(said.kind))
        return True

    def _objections(self, tx: Tx, said: Recall, text: str) -> list[str]:
        found = self.rows.covered(tx, said.object, _END_OF_TIME)
        # A version that names nobody is anybody's, beside one that names somebody.
        makers = {each.creator for each in found}
        makers -= {""} if len(makers) > 1 else set()
        return objections(
            said,
            take_apart(text),
            realm=self._node.config.node.realm,
            keys=self._keys.ring(tx).keys,
            makers=sorted(makers),
            now=tx.clock.now(),
        )

    def _answer(self, tx: Tx, held: Held, hold: Recalled) -> None:
        """Say what was done here, in this node's own name."""
        state = Said.KEPT if hold is Recalled.KEPT else Said.WITHDRAWN
        before = self.parties.report(tx, held.number, self._own)
        if not self.rows.covered(tx, held.object, held.before) and not before.state:
            state = Said.ABSENT
        at = max(tx.clock.now(), before.answered + 1)
        try:
            said = Answer(
                at=at,
                node=self._own,
                realm=self._node.config.node.realm,
                recall=held.digest,
                state=state,
                x=self._node.signer.key.jwk["x"],
            )
            text = self._sign(said)
        except ConfigError as fault:
            # It is withheld all the same; a person tells the creator.
            _log.error("recall_not_answered", object=held.object, fault=str(fault))
            return
        self.parties.answer(
            tx, held.number, self._own, "", state=state, at=at, answer=text
        )

    # By hand

    def keep(self, object_id: str, reason: str, actor: str) -> int:
        """Keep an object because the law says so, once it is recalled or already was.

        It leaves by no way all the same. Gives how many recalls are answered anew.

        Raises:
            NotFound: nothing of it is here.
            BadRequest: no reason, or one that is too long.
        """
        if not reason.strip() or len(reason) > REASON:
            raise BadRequest(
                f"--reason: expected the law or the order, up to {REASON} characters."
            )
        with self._node.db.write() as tx:
            if not self.rows.covered(tx, object_id, _END_OF_TIME):
                raise NotFound(f"Nothing of {object_id!r} is held here.")
            self.rows.keep(tx, object_id, reason, actor)
            acts.decided(tx, "kept an object", object_id, why=reason)
            return self._hold_anew(tx, object_id, Recalled.KEPT)

    def let_go(self, object_id: str) -> int:
        """Keep an object no longer; gives how many recalls are answered anew.

        Raises:
            NotFound: it was not kept.
        """
        with self._node.db.write() as tx:
            if not self.rows.let_go(tx, object_id):
                raise NotFound(
                    f"{object_id!r} is not kept.",
                    mend="`serantau recall list` shows what is.",
                )
            acts.decided(tx, "kept an object no longer", object_id)
            return self._hold_anew(tx, object_id, Recalled.HIDDEN)

    def _hold_anew(self, tx: Tx, object_id: str, hold: Recalled) -> int:
        several = [
            held
            for held in self.rows.of_object(tx, object_id)
            if held.hold and not held.mine
        ]
        for held in several:
            self.rows.believe(tx, held, hold, "", held.signed)
        if several:
            self._node.objects.recall(tx, object_id)
        for held in several:
            self._answer(tx, held, hold)
        return len(several)

    def note(
        self, object_id: str, party: str, state: Said, said: str, actor: str
    ) -> int:
        """Write down what a party said by telephone; gives for how many recalls.

        Raises:
            NotFound: no recall of this object is for this party.
            Conflict: its node has answered itself.
        """
        with self._node.db.write() as tx:
            rows = [
                (held, row)
                for held in self.rows.of_object(tx, object_id)
                if held.hold
                for row in self.parties.parties(tx, held.number)
                if row.party == party and not row.via and row.number
            ]
            if not rows:
                raise NotFound(
                    f"No recall of {object_id!r} is for {party!r}.",
                    mend=f"`serantau recall show {object_id}` tells whom it is for.",
                )
            open_ = [(held, row) for held, row in rows if not row.answer]
            if not open_:
                raise Conflict(f"The node of {party} has answered itself.")
            told = {"party": party, "state": str(state)}
            acts.decided(tx, "noted an answer", object_id, after=told, why=said)
            now = tx.clock.now()
            for held, row in open_:
                self.parties.answer(
                    tx,
                    held.number,
                    row.party,
                    "",
                    state=state,
                    at=now,
                    noted=f"{actor}: {said}" if said else actor,
                )
        return len(open_)

    # What is worked out

    def run(self, stop: threading.Event) -> None:
        """Work out what is due until `stop`."""
        rounds = 0
        while not stop.is_set():
            try:
                self.settle(doubted=rounds % _DOUBT_ROUNDS == 0)
            except SerantauError as fault:
                _log.error("recalls_failed", fault=str(fault))
                stop.wait(_POLL_SECONDS * _DOUBT_ROUNDS)
            rounds += 1
            stop.wait(_POLL_SECONDS)

    def settle(self, *, doubted: bool = True) -> None:
        """Work out what is due: each step is a transaction, and done once.

        doubted: also try again what was not believed.
        """
        self._narrow()
        if doubted:
            self._believe()
        self._look()
        self._renew()
        if self._node.config.recall.hold == DROPPED:
            self._drop()

    def _narrow(self) -> None:
        """Recall what a later version of this node's own narrows or revokes."""
        with self._node.db.read() as tx:
            several = self.rows.due(tx, PATIENCE)
            known = self._node.audiences.known(tx) if several else {}
        for due in several:
            kind = None
            if due.revoked:
                kind = Kind.REVOKED
            elif any(stricter(due.marked, each, known) for each in due.before):
                kind = Kind.NARROWED
            self._work_out(due, kind)

    def _work_out(self, due: Due, kind: Kind | None) -> None:
        given = {}
        if kind is not None:
            with self._node.db.read() as tx:
                given = self._given(tx, due.object, due.modified)
        with self._node.db.write() as tx:
            if kind is not None and not given:
                # A page may be on its way out that is not in the log yet.
                if due.added + PATIENCE > tx.clock.now():
                    self.rows.wait(tx, due.added)
                    return
                kind = None
            if not self.rows.done(tx, due.added) or kind is None:
                return
            self._make(tx, due.object, due.modified, kind, "", Recalled.KEPT)

    def _believe(self) -> None:
        """Look again at what was not believed: a key may have been pinned since."""
        with self._node.db.read() as tx:
            several = [
                (held, said)
                for held in self.rows.doubted(tx)
                for said in (read_recall(take_apart(held.signed)),)
                if not self._objections(tx, said, held.signed)
            ]
        for held, said in several:
            with self._node.db.write() as tx:
                self._judge(tx, held, said, held.signed)

    def _look(self) -> None:
        """Find in the release log to whom it went, and tell them."""
        with self._node.db.read() as tx:
            several = self.rows.to_be_looked_for(tx, PATIENCE)
        for held in several:
            with self._node.db.read() as tx:
                given = self._given(tx, held.object, held.before)
            with self._node.db.write() as tx:
                # Who told of it has it, and so has who made it.
                known = {held.node, *self.parties.sources(tx, held.number)}
                for party, one in given.items():
                    if party not in known:
                        self.parties.address(
                            tx,
                            held.number,
                            party,
                            ways=one.ways,
                            got=one.got,
                            versions=one.versions,
                        )
                self.rows.looked(tx, held.number)

    def _given(self, tx: Tx, object_id: str, before: int) -> dict[str, _Given]:
        """Tell from the release log who got which versions, when and by which way."""
        found: dict[str, _Given] = {}
        for each in self.rows.covered(tx, object_id, before):
            for row in self._node.ledger.of_object(tx, each.added, each.marking_set):
                if row.party == self._own:
                    continue
                given = found.setdefault(row.party, _Given())
                given.ways.add(row.way)
                given.got = min(given.got, row.at)
                if (each.version, each.sha256) not in given.versions:
                    given.versions.append((each.version, each.sha256))
        return found

    def _renew(self) -> None:
        """Answer anew where something came in that was not held."""
        with self._node.db.read() as tx:
            several = self.rows.come_since(tx, self._own)
        for held in several:
            with self._node.db.write() as tx:
                self._answer(tx, held, held.hold)

    def _drop(self) -> None:
        """Take out what is hidden, once it was looked up who got it."""
        with self._node.db.read() as tx:
            several = self.rows.to_be_dropped(tx, PATIENCE)
        if several and not Book(self._node).seal(_SEAL_SECONDS):
            # A leaf that is not made yet is made of the object's text.
            return
        for object_id, added in several:
            with self._node.db.write() as tx:
                if self.rows.hold(tx, object_id) is None:
                    self._node.objects.delete(tx, object_id, stamps={added})

    # Telling

    def news(self, caller: Caller, after: int) -> bool:
        """Say whether a recall for a caller is newer than a stamp."""
        if caller.own:
            return False
        with self._node.db.read() as tx:
            return bool(self.parties.addressed(tx, caller.party.name, after, 1))

    def newest(self, before: int, limit: int) -> list[Listed]:
        """List recalls before a number, newest first, as they were last worked out."""
        with self._node.db.read() as tx:
            several = self.rows.newest(tx, before=before, limit=limit)
            said = self.parties.states(tx, (one.number for one in several))
        found = []
        for one in several:
            states = said.get(one.number, {})
            own = states.pop(self._own, "")
            found.append(Listed(one, Counter(states.values()), own))
        return found

    def told(self, object_id: str, *, settled: bool = True) -> list[Told]:
        """Tell the recalls of an object, and how it stands with each party.

        settled: work out what is due before.

        Raises:
            NotFound: there is none.
        """
        if settled:
            self.settle()
        with self._node.db.read() as tx:
            several = self.rows.of_object(tx, object_id)
            if not several:
                raise NotFound(
                    f"No recall of {object_id!r} is here.",
                    mend="`serantau recall list` shows those that are.",
                )
            return [self.table.tell(tx, held) for held in several]

    def every(self, *, after: int = 0, limit: int = 500) -> list[Told]:
        """Tell all recalls behind a number, oldest first."""
        self.settle()
        with self._node.db.read() as tx:
            return [
                self.table.tell(tx, held)
                for held in self.rows.every(tx, after=after, limit=limit)
            ]
