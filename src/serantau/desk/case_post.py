"""Mail as a way into cases: whom it lets in, and what a running node does for it."""

from __future__ import annotations

import os
import secrets
import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import structlog

from serantau.desk.case_log import parties_of
from serantau.desk.case_mail import CaseMail, Round
from serantau.desk.case_replies import CaseReplies, Fate
from serantau.desk.cases import Casework
from serantau.desk.contacts import Contacts
from serantau.errors import BadRequest, Conflict, SerantauError
from serantau.node import Node
from serantau.records import acts
from serantau.records.case_mail import Mails
from serantau.records.cases import Summary
from serantau.records.chores import Chores
from serantau.records.database import Tx
from serantau.records.peers import Peers
from serantau.rules.case_entry import Kind
from serantau.wire.mailbox import imap

CHORE: Final = "cases.mail"
MAILBOX: Final = "cases.mailbox"
_POLL_SECONDS: Final = 5.0
_READ_SECONDS: Final = 60.0
_LEASE_SECONDS: Final = 90.0
_SECOND: Final = 1_000_000
# Members of the profile get the same identity at every node that lets them in by mail.
_IDENTITIES: Final = uuid.UUID("c1b5f2c8-0a5e-4c4c-9a2f-6f3f1c7f2f05")

_log = structlog.get_logger(__name__)


class Guests(Casework):
    """Letting parties into cases that have no node."""

    def invite_by_mail(self, name: str, parties: Sequence[str]) -> Summary:
        """Let parties in by mail: this node writes to them, and speaks for them.

        One that takes part by mail of another node is written to by this one from then
        on. A party without an identity gets one.

        Raises:
            NotFound: no such case or party.
            BadRequest: a party has no believed card with a mail address.
            Conflict: a party has a node, or takes part by its own.
            Forbidden: this node may not invite, or the release policy withholds the
                case from a party.
        """
        own = self._own
        with self._node.db.write() as tx:
            case = self._cases.find(tx, name).id
            state = self._folded(tx, case).state
            entries: list[tuple[Kind, dict[str, Any]]] = []
            for party in dict.fromkeys(parties):
                self._expect_mail(tx, party)
                identity = self._named(tx, party)
                part = state.parts.get(identity)
                if part is not None and not part.mail:
                    raise Conflict(f"{party} takes part by a node of its own.")
                if part is None or part.by != own:
                    said = {"party_ref": identity, "by_mail": True}
                    entries.append((Kind.INVITED, said))
            if entries:
                self._write(tx, case, entries)
            self._invite(tx, case, parties)
            return self._summary(tx, case)

    def has_node(self, name: str, party: str) -> Summary:
        """Say that a party which took part by mail has a node by now, and speaks there.

        Raises:
            NotFound: no such case or party.
            Conflict: it does not take part by mail.
            Forbidden: this node may not invite.
        """
        with self._node.db.write() as tx:
            case = self._cases.find(tx, name).id
            identity = self._identity(tx, party)
            part = self._folded(tx, case).state.parts.get(identity)
            if part is None or not part.mail:
                raise Conflict(f"{party} does not take part by mail.")
            self._write(tx, case, [(Kind.INVITED, {"party_ref": identity})])
            return self._summary(tx, case)

    def _expect_mail(self, tx: Tx, party: str) -> None:
        _, held = self._node.registry.party(tx, party)
        if party == self._node.config.node.member:
            raise Conflict("That is this node itself.")
        peers = {peer.name for peer in Peers().list(tx)}
        users = {user.party for user in self._node.registry.users(tx)}
        if party in peers | users:
            raise Conflict(
                f"{party} has a node or a login here, and takes part by that.",
                mend="`serantau case invite` without --by-mail.",
            )
        if not any(one.card.mail for one in Contacts(self._node).believed(tx, party)):
            raise BadRequest(
                f"No contact card of {held.name} that is believed has a mail address.",
                mend=f"`serantau contacts add {party} NAME --mail ADDRESS ...`",
            )

    def _named(self, tx: Tx, party: str) -> str:
        """Give the identity of a party, which it gets here when it has none."""
        for identity, name in parties_of(self._node, tx).items():
            if name == party:
                return identity
        _, held = self._node.registry.party(tx, party)
        known = self._node.profile.member(party) is not None
        made = uuid.uuid5(_IDENTITIES, party) if known else uuid.uuid4()
        identity = f"identity--{made}"
        self._node.registry.put_party(tx, replace(held, identity=identity))
        acts.decided(tx, "gave a party an identity", party, after=identity)
        return identity


@dataclass(frozen=True, slots=True)
class Done:
    """What one turn did: letters, and mails by their fate."""

    letters: Round
    mails: dict[Fate, int]


class CasePost:
    """What a running node does for cases by mail until it is stopped."""

    def __init__(self, node: Node, open_imap: Callable[..., Any] = imap) -> None:
        """Work for `node`. `open_imap` opens a folder, as `wire.mailbox.imap`."""
        self._node = node
        self._open_imap = open_imap
        self._chores = Chores()
        self._mails = Mails()
        self._worker = f"{os.getpid()}:{secrets.token_hex(4)}"

    def run(self, stop: threading.Event) -> None:
        """Read and send what is due until `stop` is set."""
        while not stop.is_set():
            try:
                self.tick(stop.is_set)
            except SerantauError as fault:
                _log.error("case_mail_failed", fault=str(fault))
                stop.wait(_READ_SECONDS)
            stop.wait(_POLL_SECONDS)

    def tick(self, stop: Callable[[], bool] = lambda: False) -> Done | None:
        """Do what is due; None: nothing is, or another process does it."""
        with self._node.db.read() as tx:
            reads, sends = self._due(tx), self._mails.work(tx)
        return self._turn(stop, reads=reads) if reads or sends else None

    def once(self) -> Done:
        """Read and send now.

        Raises:
            Conflict: another process does.
        """
        done = self._turn(lambda: False, reads=True)
        if done is None:
            raise Conflict("A running node does this at the moment.")
        return done

    def _due(self, tx: Tx) -> bool:
        if not self._node.config.cases.mailbox:
            return False
        tried = self._chores.get(tx, MAILBOX).tried
        return tx.clock.now() - tried >= _READ_SECONDS * _SECOND

    def _turn(self, stop: Callable[[], bool], *, reads: bool) -> Done | None:
        clock = self._node.clock
        until = clock.now() + int((_LEASE_SECONDS / 2) * _SECOND)
        with self._node.db.write() as tx:
            if not self._chores.take(tx, CHORE, self._worker, _LEASE_SECONDS):
                return None

        def over() -> bool:
            return stop() or clock.now() > until

        try:
            mails = self._read(over) if reads else {}
            return Done(CaseMail(self._node).send(over), mails)
        finally:
            with self._node.db.write() as tx:
                self._chores.leave(tx, CHORE, self._worker)

    def _read(self, over: Callable[[], bool]) -> dict[Fate, int]:
        """Read the mailbox. That it cannot be read keeps no letter from going."""
        fault, mails = "", {}
        try:
            mails = CaseReplies(self._node, self._open_imap).read(over)
        except SerantauError as failed:
            fault = failed.message
            _log.error("case_mailbox_not_read", fault=fault)
        with self._node.db.write() as tx:
            self._chores.note(tx, MAILBOX, done=tx.clock.now(), fault=fault)
        return mails
