"""The drill of reachability: does everyone answer, by mail and by phone?

Each address of each believed card is asked once in a drill. A mail carries a link that
is good for one answer; the page behind it asks to press a button, so that a program
which follows links answers nothing. Numbers go on a list for people to call. Nothing is
written to an address that is on no card at that moment, each letter passes desk/share
and is a row of the release log. A letter of which nobody knows whether it arrived does
not go again.
"""

from __future__ import annotations

import hmac
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

import structlog

from serantau.clock import moment
from serantau.desk.contacts import Contacts, Held
from serantau.desk.relay import open_relay, signing_key
from serantau.desk.share import Share
from serantau.errors import (
    BadInput,
    BadRequest,
    ConfigError,
    Conflict,
    Forbidden,
    NotFound,
    SerantauError,
)
from serantau.node import Node
from serantau.records import acts
from serantau.records.cards import (
    FAILED,
    MAIL,
    PHONE,
    REACHED,
    SENDING,
    SENT,
    SILENT,
    WAITING,
    WRONG,
    Ask,
    Cards,
    Drill,
)
from serantau.records.chores import Chores
from serantau.records.database import Tx
from serantau.rules.card import Card, KeyKind
from serantau.rules.level import Tlp
from serantau.rules.realm import LIVE
from serantau.wire.bounce import read_bounce
from serantau.wire.mail import Letter, Outcome, Relay, compose
from serantau.wire.openpgp import Certificate, read_certificate

ANSWER_PATH: Final = "/contacts/answer"
CHORE: Final = "contacts.drill"
ITSELF: Final = "serantau"
_DAY: Final = 86_400_000_000
_FIRST_WAIT: Final = 300_000_000
_TRIES: Final = 8
_POLL_SECONDS: Final = 30.0
_TOKEN: Final = re.compile(r"([0-9]{1,15})-([0-9a-f]{32})")
_OPEN: Final = (SENT, SENDING)
OUTCOMES: Final = (REACHED, WRONG, SILENT)

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Round:
    """What one round of sending did. unsure: nobody knows whether it arrived."""

    sent: int = 0
    deferred: int = 0
    unsure: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Rate:
    """How a party, or all (empty name), answered by one way.

    asked: addresses that were, without those that wait. open: no answer so far.
    hours: the median until an answer came, None without any.
    """

    party: str
    way: str
    asked: int
    reached: int
    wrong: int
    silent: int
    failed: int
    open: int
    waiting: int
    hours: float | None

    @property
    def share(self) -> float | None:
        """Give which part of those asked was reached, 0 to 1."""
        return self.reached / self.asked if self.asked else None


@dataclass(frozen=True, slots=True)
class Report:
    """How a drill went, or goes. stale: cards of today that did not prove right."""

    drill: Drill
    rates: tuple[Rate, ...]
    asks: tuple[Ask, ...]
    stale: tuple[Held, ...]


class Reach:
    """The drills of one node."""

    def __init__(self, node: Node) -> None:
        """Ask the contacts of `node`."""
        self._node = node
        self._cards = Cards()
        self._contacts = Contacts(node)
        self._share = Share(node)
        self._relay: Relay | None = None

    # Beginning

    def plan(self, party: str = "") -> list[tuple[Held, str, str]]:
        """Give who would be asked: card, way and address; own contacts are not."""
        own = self._node.config.node.member
        found: dict[tuple[str, str], tuple[Held, str, str]] = {}
        for held in self._contacts.all(party):
            if not held.believed or held.card.party == own:
                continue
            for way, addresses in ((MAIL, held.card.mail), (PHONE, held.card.phones)):
                for address in addresses:
                    found.setdefault((way, address), (held, way, address))
        return list(found.values())

    def lacking(self) -> str:
        """Give what of the settings is missing for mail; empty: nothing."""
        config = self._node.config
        if not config.mail.host:
            return "mail.host is empty: no mail is sent"
        if not config.mail.sender:
            return "mail.sender is empty: mail would come from nobody"
        if not config.http.base_url:
            return "http.base_url is empty: nobody outside can open an answer link"
        return ""

    def begin(self, party: str = "", actor: str = ITSELF) -> Drill:
        """Begin a drill; its mails go with the next rounds of `send`.

        Raises:
            Conflict: one runs.
            NotFound: there is nobody to ask, or no such party.
            ConfigError: the settings let no mail go, and there are mails to send.
        """
        asked = self.plan(party)
        if not asked:
            raise NotFound(
                "There is no card to ask.",
                mend="`serantau contacts add`; hearsay is asked when it is verified.",
            )
        lacks = self.lacking()
        if lacks and any(way == MAIL for _, way, _ in asked):
            raise ConfigError(f"{lacks}.", mend="docs/contacts.md says what is needed.")
        ends = self._node.clock.now() + self._node.config.contacts.answer_days * _DAY
        with self._node.db.write() as tx:
            self._cards.close(tx)
            running = self._cards.running(tx)
            if running is not None:
                raise Conflict(
                    f"Drill {running.n} runs until {moment(running.ends):%Y-%m-%d}.",
                    mend="`serantau contacts report` shows how it goes.",
                )
            drill = self._cards.begin(
                tx,
                actor,
                ends,
                [
                    (held.card.id, held.card.party, way, address)
                    for held, way, address in asked
                ],
            )
            acts.decided(
                tx, "began a contact drill", str(drill.n), after={"asked": len(asked)}
            )
        return drill

    # Mail

    def send(self, stop: Callable[[], bool] = lambda: False) -> Round:
        """Hand over the letters of the running drill that are due."""
        done = Round()
        if self.lacking():
            return done
        try:
            while not stop():
                with self._node.db.write() as tx:
                    ask = self._cards.take(tx, MAIL)
                if ask is None:
                    break
                self._one(ask, done)
        finally:
            if self._relay is not None:
                self._relay.leave()
                self._relay = None
        return done

    def _one(self, ask: Ask, done: Round) -> None:
        try:
            held = self._holding(ask)
            content = self._letter(ask, held.card)
            with self._node.db.write() as tx:
                self._share.release_rows(
                    tx,
                    ask.party,
                    ask.party,
                    {Tlp.CLEAR: 1},
                    actor=self._actor(tx, ask),
                    way="contact drill by mail",
                    request=f"drill {ask.drill}, ask {ask.n}: does the address answer",
                )
            if self._relay is None:
                self._relay = open_relay(self._node)
            outcome = self._relay.send(ask.address, content, lambda: None)
        except (Forbidden, NotFound, BadInput) as refusal:
            outcome = Outcome("fail", refusal.message)
        except ConfigError as fault:
            outcome = Outcome("defer", fault.message)
        self._end(ask, outcome, done)

    def _actor(self, tx: Tx, ask: Ask) -> str:
        return self._cards.drill(tx, ask.drill).actor

    def _holding(self, ask: Ask) -> Held:
        """Give the card that an address stands on now.

        Raises:
            NotFound: it stands on none that is believed.
        """
        for held in self._contacts.all():
            on = held.card.mail if ask.way == MAIL else held.card.phones
            same = (held.card.id, held.card.party) == (ask.card, ask.party)
            if same and held.believed and ask.address in on:
                return held
        raise NotFound("It stands on no card any more.")

    def _end(self, ask: Ask, outcome: Outcome, done: Round) -> None:
        now, event = self._node.clock.now(), outcome.event
        if event == "defer" and ask.tries + 1 < _TRIES:
            done.deferred += 1
            due = now + (_FIRST_WAIT << ask.tries)
            state, more = WAITING, {"due": due, "said": outcome.said}
        elif event == "accept":
            done.sent += 1
            state, more = SENT, {"sent": now, "said": ""}
        elif event == "lose":
            done.unsure += 1
            state, more = SENDING, {"sent": now, "said": outcome.said}
        else:
            done.failed += 1
            state, more = FAILED, {"sent": now, "said": outcome.said}
        with self._node.db.write() as tx:
            self._cards.move(tx, ask, SENDING, state, **more)

    def _letter(self, ask: Ask, card: Card) -> bytes:
        config, now = self._node.config, self._node.clock.now()
        realm = config.node.realm
        team = config.node.team or config.node.member
        with self._node.db.read() as tx:
            drill = self._cards.drill(tx, ask.drill)
        drilled = f"EXERCISE ({realm}). " if realm != LIVE else ""
        text = _TEXT.format(
            drilled=f"{drilled}\n\n" if drilled else "",
            team=team,
            party=card.party,
            name=card.name,
            duties=", ".join(card.duties),
            link=f"{config.http.base_url.rstrip('/')}{ANSWER_PATH}/{self.token(ask)}",
            until=f"{moment(drill.ends):%Y-%m-%d %H:%M} UTC",
        )
        letter = Letter(
            sender_name=team,
            sender=config.mail.sender,
            to=ask.address,
            subject=f"{drilled}Does this address still reach you? {team} asks",
            text=text,
            key=self._key(ask),
            at=now,
            cover=f"{drilled}A question from {team}",
            realm="" if realm == LIVE else realm,
        )
        return compose(letter, signing_key(self._node), certificate_of(card, now))

    # Answers

    def token(self, ask: Ask) -> str:
        """Give what proves that whoever has it got the letter; it is no secret twice.

        Only this node's key makes it. It names the ask, whose state says whether it was
        used.
        """
        return f"{ask.n}-{self._tag('answer', ask)}"

    def _key(self, ask: Ask) -> str:
        """Give the Message-ID's part, which must not tell the token."""
        return self._tag("letter", ask)

    def _tag(self, what: str, ask: Ask) -> str:
        node = self._node.config.node
        said = (
            *("contact drill", what, node.realm, node.member, str(ask.n)),
            *(str(ask.drill), ask.card, ask.way, ask.address),
        )
        return self._node.seal.tag("\x1f".join(said))

    def asked(self, token: str) -> Ask:
        """Give what a link asks, whether or not it was answered.

        Raises:
            NotFound: it is no link of ours, or its drill is over.
        """
        with self._node.db.read() as tx:
            return self._asked(tx, token)

    def _asked(self, tx: Tx, token: str) -> Ask:
        found = _TOKEN.fullmatch(token)
        ask = self._cards.ask(tx, int(found[1])) if found else None
        if (
            found is None
            or ask is None
            or not hmac.compare_digest(self._tag("answer", ask), found[2])
        ):
            raise NotFound("This link is none of ours.")
        drill = self._cards.drill(tx, ask.drill)
        if drill.closed or drill.ends <= tx.clock.now():
            raise NotFound("This question is over. Thank you.")
        return ask

    def answer(self, token: str, *, right: bool) -> Ask:
        """Take in an answer, once.

        Raises:
            NotFound: as `asked`.
            Conflict: it was answered.
        """
        with self._node.db.write() as tx:
            ask = self._asked(tx, token)
            state = REACHED if right else WRONG
            now = tx.clock.now()
            for before in _OPEN:
                if self._cards.move(tx, ask, before, state, answered=now):
                    if right:
                        self._cards.note(
                            tx, ask.card, actor="the link", way=MAIL, holds=True
                        )
                    return ask
        raise Conflict("This was answered already. Thank you.")

    def calls(self) -> list[tuple[Ask, Held | None]]:
        """Give the numbers of the running drill that nobody called yet, with cards."""
        with self._node.db.read() as tx:
            drill = self._cards.running(tx)
            asks = self._cards.asks(tx, drill.n) if drill else []
        calls = [
            ask for ask in asks if ask.way == PHONE and ask.state in {WAITING, SILENT}
        ]
        known = self._contacts.some([ask.card for ask in calls]) if calls else {}
        return [(ask, known.get(ask.card)) for ask in calls]

    def called(self, number: int, outcome: str, said: str = "") -> Ask:
        """Write down how a call went; a call that nobody took may be tried again.

        Raises:
            NotFound: there is no such call in the running drill.
            Conflict: it was made.
        """
        if outcome not in OUTCOMES:
            raise BadRequest(f"expected one of {', '.join(OUTCOMES)}")
        by = acts.who()
        with self._node.db.write() as tx:
            drill, ask = self._cards.running(tx), self._cards.ask(tx, number)
            if drill is None or ask is None or (ask.drill, ask.way) != (drill.n, PHONE):
                raise NotFound(
                    f"There is no call {number}.",
                    mend="`serantau contacts calls` shows them.",
                )
            now = tx.clock.now()
            values = {"sent": ask.sent or now, "answered": now, "said": said[:300]}
            if not any(
                self._cards.move(tx, ask, before, outcome, **values)
                for before in (WAITING, SILENT)
            ):
                raise Conflict(f"Call {number} was made: {ask.state}.")
            if outcome == REACHED:
                actor = by.who if by else ""
                self._cards.note(tx, ask.card, actor=actor, way=PHONE, holds=True)
            acts.decided(tx, "wrote down a call", str(number), after=outcome)
        return ask

    def bounced(self, raw: bytes) -> bool:
        """Take in a mail that came back; says whether it is of a drill that runs."""
        found = read_bounce(raw)
        if found is None:
            return False
        with self._node.db.write() as tx:
            drill = self._cards.running(tx)
            for ask in self._cards.asks(tx, drill.n) if drill else ():
                if ask.way != MAIL or ask.address.lower() not in found.recipients:
                    continue
                if not hmac.compare_digest(self._key(ask).encode(), found.key.encode()):
                    continue
                values = {"said": found.said[:300]}
                return any(
                    self._cards.move(tx, ask, before, FAILED, **values)
                    for before in _OPEN
                ) or (ask.state == FAILED)
        return False

    # Telling

    def report(self, number: int = 0) -> Report:
        """Tell how a drill went; 0: the last.

        Raises:
            NotFound: there is none.
        """
        node = self._node
        with node.db.read() as tx:
            drill = self._cards.drill(tx, number)
            asks = self._cards.asks(tx, drill.n)
        now, days = node.clock.now(), node.config.contacts.stale_days
        own = node.config.node.member
        stale = tuple(
            held
            for held in self._contacts.all()
            if held.stale(now, days) and held.card.party != own
        )
        rates = [
            _rate(party, way, [one for one in asks if party in {"", one.party}])
            for party in ("", *dict.fromkeys(ask.party for ask in asks))
            for way in (MAIL, PHONE)
        ]
        return Report(
            drill, tuple(one for one in rates if one is not None), tuple(asks), stale
        )

    # By itself

    def run(self, stop: threading.Event) -> None:
        """Send what is due, and begin the next drill in its time, until `stop`."""
        while not stop.is_set():
            try:
                self.tick(stop.is_set)
            except SerantauError as fault:
                _log.error("contact_drill_failed", fault=str(fault))
            stop.wait(_POLL_SECONDS)

    def tick(self, stop: Callable[[], bool] = lambda: False) -> Round:
        """Do what is due now; one process at a time does."""
        chores, worker = Chores(), f"{id(self)}:{threading.get_ident()}"
        with self._node.db.read() as tx:
            last = tx.value("SELECT max(at) FROM card_drill")
        if not last:
            return Round()
        with self._node.db.write() as tx:
            if not chores.take(tx, CHORE, worker, 10 * _POLL_SECONDS):
                return Round()
            self._cards.close(tx)
        try:
            days = self._node.config.contacts.drill_days
            if days and self._node.clock.now() - last >= days * _DAY:
                self._next(chores)
            return self.send(stop)
        finally:
            with self._node.db.write() as tx:
                chores.leave(tx, CHORE, worker)

    def _next(self, chores: Chores) -> None:
        try:
            drill = self.begin()
            _log.info("contact_drill_began", drill=drill.n)
        except (NotFound, Conflict, ConfigError) as fault:
            with self._node.db.write() as tx:
                chores.note(tx, CHORE, fault=str(fault))


def _rate(party: str, way: str, asks: Sequence[Ask]) -> Rate | None:
    mine = [ask for ask in asks if ask.way == way]
    if not mine:
        return None

    def count(states: Iterable[str]) -> int:
        return sum(ask.state in {*states} for ask in mine)

    waiting = count([WAITING])
    hours = [
        (ask.answered - ask.sent) / 3_600_000_000
        for ask in mine
        if ask.state == REACHED and way == MAIL
    ]
    return Rate(
        party=party,
        way=way,
        asked=len(mine) - waiting,
        reached=count([REACHED]),
        wrong=count([WRONG]),
        silent=count([SILENT]),
        failed=count([FAILED]),
        open=count(_OPEN),
        waiting=waiting,
        hours=median(hours) if hours else None,
    )


def certificate_of(card: Card, now: int) -> Certificate | None:
    """Give what to encrypt for: the first OpenPGP certificate that has not ended."""
    for key in card.keys:
        if key.kind is KeyKind.OPENPGP and key.certificate and key.holds(now):
            return read_certificate(key.certificate.encode())
    return None


_TEXT: Final = """{drilled}{team} keeps this address as a contact of {party}:

  {name}, for {duties}

Does it still reach the right people? Please open this page and press a button,
before {until}. Nothing else is asked, and it works once:

  {link}

If you are not the right ones, the page has a button for that, too.

{team}
"""
