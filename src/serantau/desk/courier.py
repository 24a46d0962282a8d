"""Hands notices over: by mail, webhook or folder, each to each contact once at most.

For every delivery there are three writes: it is taken and logged as released; all but
its last byte is through (`handing`); the other side has it (`sent`). Killed before the
second, it goes again, since nothing was kept there. Killed between the second and the
third, nobody can know: it is `unsure`, and goes again only when a person says so.

An address comes from the registry, in the transaction that takes the delivery, and must
be of the party that the notice is for.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from serantau.config import NodeConfig
from serantau.desk.notice_letter import Writer, levels_of
from serantau.desk.relay import open_relay
from serantau.desk.share import Share
from serantau.errors import (
    BadInput,
    BadRequest,
    ConfigError,
    Conflict,
    Forbidden,
    NotFound,
)
from serantau.node import Node
from serantau.records import acts
from serantau.records.contacts import Contacts
from serantau.records.database import Tx
from serantau.records.notices import Delivery, Notice, Notices
from serantau.rules.contact import Contact, Kind
from serantau.rules.contact import State as ContactState
from serantau.rules.notice import Sending, State
from serantau.rules.wording import Wording
from serantau.wire.bounce import read_bounce
from serantau.wire.mail import Outcome, Relay
from serantau.wire.webhook import post

_FIRST_WAIT: Final = 300_000_000
_LONGEST_WAIT: Final = 6 * 3600 * 1_000_000
_OPEN: Final = frozenset(
    {Sending.READY, Sending.TAKEN, Sending.HANDING, Sending.UNSURE}
)


@dataclass(slots=True)
class Round:
    """What one round of handing over did, in deliveries; unaddressed: notices.

    blocked: those that wait because the settings name no mail server or no sender.
    """

    sent: int = 0
    deferred: int = 0
    unsure: int = 0
    bounced: int = 0
    failed: int = 0
    withheld: int = 0
    unaddressed: int = 0
    blocked: int = 0


def ways(config: NodeConfig) -> dict[Kind, str]:
    """Give for each kind of contact what of the settings is lacking to reach it."""
    mail = config.mail
    sender = "" if mail.sender else "mail.sender is empty: notices come from nobody"
    host = "" if mail.host else "mail.host is empty: no mail is sent"
    return {Kind.MAIL: host or sender, Kind.FOLDER: sender, Kind.WEBHOOK: ""}


def reachable(config: NodeConfig) -> list[Kind]:
    """Give the kinds of contacts that the settings let notices go to."""
    return [kind for kind, lacks in ways(config).items() if not lacks]


class Courier:
    """Hands over what is ready. `actor` is named in the release log."""

    def __init__(self, node: Node, actor: str) -> None:
        """Hand over the notices of `node`."""
        self._node = node
        self._actor = actor
        self._share = Share(node)
        self._notices = Notices()
        self._contacts = Contacts()
        self._relay: Relay | None = None
        self._writer = Writer(node)

    # --- a round ----------------------------------------------------------------------

    def send(
        self, limit: int = 1_000, stop: Callable[[], bool] = lambda: False
    ) -> Round:
        """Hand over what is due, at most so many; the rest waits for the next round.

        Args:
            limit: of deliveries.
            stop: asked before each; when it says so, the round ends.
        """
        done = Round()
        config = self._node.config
        kinds = reachable(config)
        self._begin(done)
        with self._node.db.read() as tx:
            done.blocked = self._notices.blocked(tx, kinds)
        try:
            for _ in range(limit):
                if stop():
                    break
                with self._node.db.write() as tx:
                    delivery = self._notices.take(
                        tx, config.notice.lease_seconds, kinds
                    )
                if delivery is None:
                    break
                self._one(delivery, done)
        finally:
            if self._relay is not None:
                self._relay.leave()
                self._relay = None
        return done

    def _begin(self, done: Round) -> None:
        """End leases that are over, and address what is ready to its contacts."""
        with self._node.db.write() as tx:
            for delivery in self._notices.expire(tx):
                done.unsure += delivery.state is Sending.UNSURE
                self._settle(tx, delivery.notice)
        with self._node.db.write() as tx:
            for notice in self._notices.unaddressed(tx):
                self._address(tx, notice)
                if not self._notices.deliveries(tx, notice.number):
                    done.unaddressed += 1
                    self._notices.move(
                        tx, notice.number, "fail", f"{notice.party} has no contact"
                    )
                else:
                    self._settle(tx, notice.number)

    def _address(self, tx: Tx, notice: Notice) -> None:
        """Make a delivery for each contact, under a key that a restored node knows."""
        config = self._node.config.node
        keys = {}
        for each in self._contacts.all(tx, notice.party):
            if each.state is ContactState.ACTIVE:
                said = (
                    *(config.realm, config.member, notice.party, notice.group),
                    *(notice.day, str(notice.round), str(each.kind), each.address),
                )
                keys[each.number] = self._node.seal.tag("\x1f".join(said))
        self._notices.address(tx, notice, keys)

    def _one(self, delivery: Delivery, done: Round) -> None:
        """Hand over one delivery that was taken."""
        try:
            with self._node.db.read() as tx:
                notice = self._notices.get(tx, delivery.notice)
                contact = self._contact(tx, delivery)
                csv = self._notices.csv(tx, notice.number)
                self._judge(tx, notice, contact)
            content = self._writer.written(notice, contact, delivery.key, csv)
            self._release(notice, contact, delivery, csv)
        except Forbidden as refusal:
            with self._node.db.write() as tx:
                self._notices.move(tx, delivery.notice, "withhold", str(refusal))
            self._end(delivery, Outcome("fail", str(refusal)), done)
            done.withheld += 1
            return
        except (BadInput, NotFound) as fault:
            self._end(delivery, Outcome("fail", str(fault)), done)
            return
        except ConfigError as fault:
            # Ours to mend, and not the contact's fault.
            self._end(delivery, Outcome("defer", str(fault)), done)
            return

        def handing() -> None:
            with self._node.db.write() as tx:
                self._notices.step(tx, delivery, "hand", lease=delivery.lease)

        try:
            outcome = self._hand(contact, delivery, content, handing)
        except Conflict:
            # Another worker has it since: nothing was kept there, and it tells the end.
            return
        except ConfigError as fault:
            outcome = Outcome("defer", str(fault))
        self._end(delivery, outcome, done)

    def _contact(self, tx: Tx, delivery: Delivery) -> Contact:
        contact = self._contacts.get(tx, delivery.contact)
        if contact.kind is Kind.WEBHOOK:
            contact = self._contacts.get(tx, delivery.contact, self._node.seal)
        if contact.party != delivery.party or contact.state is not ContactState.ACTIVE:
            raise NotFound(f"{delivery.party} has no such contact any more.")
        return contact

    def _judge(self, tx: Tx, notice: Notice, contact: Contact) -> None:
        """Judge again: much may have changed since the notice was made.

        Raises:
            Forbidden: it may not go any more.
        """
        verdicts = self._share.judge_rows(
            tx, contact.party, notice.party, list(levels_of(notice))
        )
        for verdict in verdicts.values():
            if not verdict.released:
                raise Forbidden(f"The rows may not go any more: {verdict}.")

    def _release(
        self, notice: Notice, contact: Contact, delivery: Delivery, csv: bytes
    ) -> None:
        """Judge once more, and log; only after the commit may a byte leave."""
        digest = hashlib.sha256(csv).hexdigest()
        with self._node.db.write() as tx:
            if delivery.released:
                self._judge(tx, notice, contact)
                return
            self._share.release_rows(
                tx,
                contact.party,
                notice.party,
                levels_of(notice),
                actor=self._actor,
                way=f"notice by {contact.kind}",
                request=f"notice {notice.number}, {notice.group}, {notice.day}, "
                f"key {delivery.key}, rows sha256 {digest}",
            )
            self._notices.log(tx, delivery)

    def _end(self, delivery: Delivery, outcome: Outcome, done: Round) -> None:
        """Write down how it ended, for the delivery, its contact and its notice."""
        event, now = outcome.event, self._node.clock.now()
        if event == "defer" and delivery.tries >= self._node.config.notice.tries:
            event = "fail"
        wait = min(_FIRST_WAIT << min(delivery.tries - 1, 10), _LONGEST_WAIT)
        try:
            with self._node.db.write() as tx:
                self._notices.step(
                    tx,
                    delivery,
                    event,
                    fault="" if event == "accept" else outcome.said,
                    due=now + wait if event == "defer" else 0,
                )
                if event == "bounce":
                    self._contacts.mark(
                        tx, delivery.contact, ContactState.BOUNCING, outcome.said
                    )
                self._settle(tx, delivery.notice)
        except Conflict:
            return
        done.sent += event == "accept"
        done.deferred += event == "defer"
        done.unsure += event == "lose"
        done.bounced += event == "bounce"
        done.failed += event == "fail"

    def _settle(self, tx: Tx, number: int) -> None:
        """Let what became of the deliveries of a notice happen to the notice."""
        for each in self._notices.deliveries(tx, number):
            if each.state is Sending.READY and self._is_silent(tx, each):
                self._notices.step(
                    tx, each, "fail", fault="the contact is not written to"
                )
        deliveries = self._notices.deliveries(tx, number)
        notice = self._notices.get(tx, number)
        if notice.state not in {State.READY, State.TOLD, State.FAILED}:
            return
        states = {each.state for each in deliveries}
        if Sending.SENT in states:
            self._notices.move(tx, number, "tell")
        elif not states & _OPEN:
            faults = dict.fromkeys(each.fault for each in deliveries if each.fault)
            self._notices.move(tx, number, "fail", "; ".join(faults))

    def _is_silent(self, tx: Tx, delivery: Delivery) -> bool:
        try:
            held = self._contacts.get(tx, delivery.contact)
        except NotFound:
            return True
        return held.state is not ContactState.ACTIVE or held.party != delivery.party

    def probe(self) -> str:
        """Open the mail server and log in, and send nothing; gives what is wrong.

        Raises:
            ConfigError: the settings cannot be used.
        """
        relay = open_relay(self._node)
        fault = relay.probe()
        relay.leave()
        return fault

    # --- what a person or a bounce says -----------------------------------------------

    def approve(self, number: int) -> Notice:
        """Let a notice that waits go in the next round."""
        with self._node.db.write() as tx:
            return self._decided(tx, number, "approve")

    def _decided(self, tx: Tx, number: int, event: str, why: str = "") -> Notice:
        before = self._notices.get(tx, number)
        after = self._notices.move(tx, number, event, why)
        about = f"{after.number}, {after.party} {after.group} {after.day}"
        said = [
            {"state": str(each.state), "why": each.fault} for each in (before, after)
        ]
        acts.decided(
            tx, f"{event} a notice", about, before=said[0], after=said[1], why=why
        )
        return after

    def hold(self, number: int, why: str) -> Notice:
        """Let a notice wait, and say why; it goes when it is approved.

        Raises:
            BadRequest: there is no reason.
            Conflict: it was sent, or one of its deliveries is under way.
        """
        if not why.strip():
            raise BadRequest("Say why it is held: whoever comes next reads it.")
        with self._node.db.write() as tx:
            self._check_unsent(tx, number)
            return self._decided(tx, number, "hold", why.strip())

    def drop(self, number: int) -> Notice:
        """Never send a notice. Its findings stay quiet as if they had been told.

        Raises:
            Conflict: it was sent, or one of its deliveries is under way.
        """
        with self._node.db.write() as tx:
            self._check_unsent(tx, number)
            return self._decided(tx, number, "drop")

    def _check_unsent(self, tx: Tx, number: int) -> None:
        for each in self._notices.deliveries(tx, number):
            if each.state not in {Sending.READY, Sending.FAILED, Sending.BOUNCED}:
                raise Conflict(f"Notice {number} is {each.state} to {each.address}.")

    def retry(self, number: int) -> Notice:
        """Send a notice again to those contacts that did not get it."""
        with self._node.db.write() as tx:
            notice = self._decided(tx, number, "retry")
            for each in self._notices.deliveries(tx, number):
                if each.state in {
                    Sending.FAILED,
                    Sending.BOUNCED,
                } and not self._is_silent(tx, each):
                    self._notices.step(tx, each, "again")
            return notice

    def settle(self, number: int, *, sent: bool) -> int:
        """Say of the unsure deliveries of a notice that they arrived, or send again.

        Returns:
            How many there were.

        Raises:
            NotFound: there is no such notice, or none of its deliveries is unsure.
        """
        with self._node.db.write() as tx:
            self._notices.get(tx, number)
            unsure = [
                each
                for each in self._notices.deliveries(tx, number)
                if each.state is Sending.UNSURE
            ]
            if not unsure:
                raise NotFound(f"No delivery of notice {number} is unsure.")
            for each in unsure:
                self._notices.step(tx, each, "accept" if sent else "again")
            said = "it was sent" if sent else "send it again"
            acts.decided(tx, "settle a notice", str(number), after=said)
            self._settle(tx, number)
            return len(unsure)

    def bounced(self, message: bytes) -> Delivery | None:
        """Take in a mail that came back; gives the delivery that it was, if it is ours.

        The contact is marked and not written to until somebody puts it right. Anybody
        can write such a mail. So it must name a key that was sent, which only we and
        its recipient know, and that very recipient: no stranger can silence a contact.
        """
        found = read_bounce(message)
        if found is None:
            return None
        with self._node.db.write() as tx:
            delivery = self._notices.by_key(tx, found.key)
            if delivery is None or delivery.address.lower() not in found.recipients:
                return None
            if delivery.state is Sending.BOUNCED:
                # The same mail again: whoever read it first was killed after that.
                return delivery
            if delivery.state not in {Sending.SENT, Sending.UNSURE}:
                return None
            after = self._notices.step(tx, delivery, "bounce", fault=found.said)
            self._contacts.mark(tx, delivery.contact, ContactState.BOUNCING, found.said)
            self._settle(tx, delivery.notice)
            return after

    # --- what leaves ------------------------------------------------------------------

    def wording(self, notice: Notice, language: str) -> Wording:
        """Give a notice in words, as a contact that reads this language gets it."""
        return self._writer.wording(notice, language)

    def _hand(
        self,
        contact: Contact,
        delivery: Delivery,
        content: bytes,
        handing: Callable[[], None],
    ) -> Outcome:
        if contact.kind is Kind.WEBHOOK:
            return post(
                contact.address,
                content,
                key=delivery.key,
                realm=self._node.config.node.realm,
                secret=contact.secret,
                handing=handing,
                ca=self._node.config.notice.webhook_ca,
                timeout=self._node.config.mail.timeout_seconds,
            )
        if contact.kind is Kind.FOLDER:
            return put_into(Path(contact.address), delivery.key, content, handing)
        if self._relay is None:
            self._relay = open_relay(self._node)
        return self._relay.send(contact.address, content, handing)


def put_into(
    folder: Path, key: str, content: bytes, handing: Callable[[], None]
) -> Outcome:
    """Put a letter into a folder as `KEY.eml`, whole or not at all, and never twice."""
    name, draft = folder / f"{key}.eml", folder / f".{key}.part"
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except (FileNotFoundError, NotADirectoryError) as fault:
        return Outcome("bounce", f"{folder}: {fault.strerror}")
    except OSError as fault:
        return Outcome("defer", f"{folder}: {fault.strerror}")
    handing()
    try:
        os.link(draft, name)
    except FileExistsError:
        pass
    except OSError as fault:
        return Outcome("defer", f"{folder}: {fault.strerror}")
    draft.unlink(missing_ok=True)
    place = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(place)
    finally:
        os.close(place)
    return Outcome("accept", str(name))
