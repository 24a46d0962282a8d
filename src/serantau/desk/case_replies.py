"""Answers to the letters of cases: read, matched, checked, and made entries.

An answer counts at once when all of this holds; else it is held, with the reason, until
a person approves or drops it:

1. its subject, or what it goes on from, names one thread of ours, and no other;
2. its only sender is an address of a believed card of that party;
3. a key of that card signed it, and that signature holds;
4. what is signed names the thread, so that nobody moves words into another case;
5. it can be read as it was written, and says something that is a step.

What programs answer, what came back, and what came before changes nothing. No mail is
ever answered here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import orjson
import structlog

from serantau.desk.case_mail import CaseMail
from serantau.desk.cases import Casework
from serantau.desk.contacts import Contacts
from serantau.desk.relay import signing_key
from serantau.desk.returned import take_back
from serantau.errors import (
    BadInput,
    BadRequest,
    ConfigError,
    Conflict,
    Forbidden,
    NotFound,
    TooLarge,
)
from serantau.node import Node
from serantau.records import acts
from serantau.records.case_mail import DROPPED, ENTRY, HELD, Mail, Mails, Thread
from serantau.records.database import Tx
from serantau.rules.card import KeyKind
from serantau.rules.case import Case
from serantau.rules.case_entry import Kind
from serantau.rules.case_mail import (
    ACKNOWLEDGE,
    ANSWERS,
    STANCES,
    STEPS,
    Answer,
    plain,
    read_answer,
    tokens,
)
from serantau.rules.case_states import PartyState, steps_to
from serantau.wire.mailbox import Attachment, Letter, imap, maildir
from serantau.wire.openpgp_in import GOOD, NONE, Signed
from serantau.wire.reply import Head, Opened, open_mail, read_head

_HOUR: Final = 3_600_000_000
_RANKS: Final = {NONE: 0, "bad": 0, GOOD: 1}
_UNREAD: Final = Signed(NONE)
_log = structlog.get_logger(__name__)

Said = tuple[Kind, dict[str, Any]]


class Fate(StrEnum):
    """What became of a mail. The last three stay in the mailbox, for a person."""

    ENTRY = "entry"
    HELD = "held"
    BOUNCE = "bounce"
    AUTOMATIC = "automatic"
    DUPLICATE = "duplicate"
    STRANGER = "stranger"
    TOO_MANY = "too-many"
    TOO_LARGE = "too-large"


_STAYS: Final = frozenset({Fate.STRANGER, Fate.TOO_MANY, Fate.TOO_LARGE})


@dataclass(frozen=True, slots=True)
class Certificates:
    """What a sender's cards say. known: it is on one of them. texts: of keys."""

    known: bool = False
    texts: tuple[str, ...] = ()


@dataclass(slots=True)
class Doubts:
    """Why an answer does not count at once, in the order in which it was found."""

    found: list[str] = field(default_factory=list)

    def note(self, doubtful: object, why: str) -> None:
        """Note one that is there."""
        if doubtful:
            self.found.append(why)

    def __str__(self) -> str:
        return "; ".join(self.found)


class CaseReplies(Casework):
    """The answers that come to one node by mail."""

    def __init__(self, node: Node, open_imap: Callable[..., Any] = imap) -> None:
        """Take in those of `node`; `open_imap` opens a folder as `mailbox.imap`."""
        super().__init__(node)
        self._mails = Mails()
        self._post = CaseMail(node)
        self._contacts = Contacts(node)
        self._open_imap = open_imap

    # The mailbox

    def read(self, over: Callable[[], bool] = lambda: False) -> dict[Fate, int]:
        """Read what is new in the mailbox; gives how many mails met which fate.

        Raises:
            BadRequest, ConfigError: the mailbox or its password is none.
            PeerError: the mail server does not do as asked.
        """
        told: dict[Fate, int] = {}
        if not self._node.config.cases.mailbox:
            return told
        with self._opened() as letters:
            for letter in letters:
                if over():
                    break
                fate = self._letter(letter)
                told[fate] = told.get(fate, 0) + 1
        return told

    def _letter(self, letter: Letter) -> Fate:
        try:
            fate = self.take_in(letter.read())
        except TooLarge as fault:
            _log.warning("case_mail_too_large", mail=letter.name, fault=str(fault))
            fate = Fate.TOO_LARGE
        except FileNotFoundError:
            # Another process had it meanwhile.
            return Fate.DUPLICATE
        with suppress(FileNotFoundError):
            if fate in _STAYS:
                letter.leave()
            else:
                letter.done()
        return fate

    def _opened(self) -> AbstractContextManager[Iterator[Letter]]:
        cases = self._node.config.cases
        if "://" not in cases.mailbox:
            return nullcontext(
                maildir(self._node.home / cases.mailbox, cases.mail_bytes)
            )
        password = ""
        if cases.password_file:
            path = self._node.home / cases.password_file
            try:
                password = path.read_text(encoding="utf-8").split("\n")[0].strip()
            except (OSError, UnicodeDecodeError) as fault:
                raise ConfigError(f"cases.password_file {path}: {fault}.") from fault
        opened: AbstractContextManager[Iterator[Letter]] = self._open_imap(
            cases.mailbox, password, cases.mail_bytes
        )
        return opened

    # One mail

    def take_in(self, raw: bytes) -> Fate:
        """Take in one mail. The same mail again changes nothing."""
        try:
            head = read_head(raw)
            if head.report and take_back(self._node, raw, "mailbox"):
                return Fate.BOUNCE
        except BadInput:
            return Fate.STRANGER
        thread = self._match(head)
        if thread is None:
            return Fate.STRANGER
        automatic = self._automatic(head)
        if automatic:
            with self._node.db.write() as tx:
                self._mails.set_thread(
                    tx, thread.n, trouble=f"a program answered: {automatic}",
                    trouble_at=tx.clock.now(),
                )  # fmt: skip
            return Fate.AUTOMATIC
        with self._node.db.read() as tx:
            cards = self._certificates(tx, thread, head)
        doubts = Doubts()
        opened = self._opened_mail(raw, cards, doubts)
        if opened is None:
            opened = Opened("", "", _UNREAD, ())
        self._doubt(head, thread, cards, opened, doubts)
        if self._too_many(thread, HELD if doubts.found else ENTRY):
            return Fate.TOO_MANY
        return self._kept(raw, head, thread, opened, doubts)

    def _too_many(self, thread: Thread, state: str) -> bool:
        """Say whether an hour brought enough. What is held keeps no entry out."""
        with self._node.db.read() as tx:
            came = self._mails.came(tx, thread.name, tx.clock.now() - _HOUR, state)
        if came < self._node.config.cases.hourly:
            return False
        _log.warning("case_mail_too_many", thread=thread.n, state=state)
        return True

    def _match(self, head: Head) -> Thread | None:
        """Give the one thread that a mail names, by tag or by what it answers."""  # 1
        keys = [one[1:].partition("@")[0] for one in head.answers]
        with self._node.db.read() as tx:
            named = {
                one.n: one
                for one in self._mails.by_tokens(tx, sorted(tokens(head.subject)))
            }
            for post in self._mails.by_keys(tx, keys):
                named[post.thread] = self._mails.numbered(tx, post.thread)
        return next(iter(named.values())) if len(named) == 1 else None

    def _automatic(self, head: Head) -> str:
        if head.automatic:
            return head.automatic
        if self._post.sender.lower() in head.senders:
            return "it is our own mail"
        own = head.name[1:].partition("@")[0]
        with self._node.db.read() as tx:
            return "it is our own mail" if self._mails.by_keys(tx, [own]) else ""

    def _certificates(self, tx: Tx, thread: Thread, head: Head) -> Certificates:
        """Give the keys of the party's cards that have the sender's address."""  # 2, 3
        now, known, texts = tx.clock.now(), False, []
        for held in self._contacts.believed(tx, thread.name):
            if not set(head.senders) & {one.lower() for one in held.card.mail}:
                continue
            known = True
            texts += [
                key.certificate
                for key in held.card.keys
                if key.kind is KeyKind.OPENPGP and key.certificate and key.holds(now)
            ]
        return Certificates(known and len(head.senders) == 1, tuple(texts))

    def _opened_mail(
        self, raw: bytes, cards: Certificates, doubts: Doubts
    ) -> Opened | None:
        limits = self._node.config.cases
        try:
            opened = open_mail(
                raw, signing_key(self._node), cards.texts, limit=limits.mail_bytes
            )
        except (BadInput, ConfigError) as fault:
            doubts.note(True, fault.message)
            return None
        size = sum(len(one.content) for one in opened.files)
        doubts.note(
            size > limits.file_bytes,
            f"its files have {size:,} bytes, expected at most {limits.file_bytes:,}",
        )
        return opened

    def _doubt(
        self,
        head: Head,
        thread: Thread,
        cards: Certificates,
        opened: Opened,
        doubts: Doubts,
    ) -> None:
        node, signature = self._node.config.node, opened.signed.signature
        doubts.note(
            not cards.known,
            f"its sender is not the one address of a card of {thread.name}",
        )
        doubts.note(signature == NONE, "it is not signed")
        doubts.note(
            signature not in {GOOD, NONE}, "its signature is not of a key of that card"
        )
        named = tokens(opened.covered)
        doubts.note(
            signature == GOOD and named != {thread.token},
            "what is signed does not name this case, so it may be of another one",
        )
        doubts.note(opened.fault, opened.fault)
        doubts.note(
            head.realm not in {"", node.realm},
            f"it is of the realm {head.realm[:60]!r}",
        )

    def _kept(
        self, raw: bytes, head: Head, thread: Thread, opened: Opened, doubts: Doubts
    ) -> Fate:
        """Keep a mail, and let it be an entry when nothing speaks against that."""
        signed = opened.signed
        values = {
            "thread": thread.n,
            "name": head.name,
            "sender": ", ".join(head.senders),
            "subject": head.subject,
            "signature": signed.signature,
            "fingerprint": " ".join(signed.fingerprints),
            "digest": _digest(raw, opened),
            "text": plain(opened.text),
        }
        if not doubts.found:
            try:
                with self._node.db.write() as tx:
                    if self._came_before(tx, values):
                        return Fate.DUPLICATE
                    entries = self._entered(tx, thread, opened)
                    self._mails.keep(
                        tx, raw, **values, state=ENTRY, why="", actor="",
                        entries=orjson.dumps(entries).decode(),
                    )  # fmt: skip
                    self._heard(tx, thread, head)
                return Fate.ENTRY
            except (Conflict, Forbidden, NotFound, BadRequest) as refusal:
                doubts.note(True, refusal.message)
        with self._node.db.write() as tx:
            if self._came_before(tx, values):
                return Fate.DUPLICATE
            self._mails.keep(
                tx, raw, **values, state=HELD, why=str(doubts), entries="[]", actor=""
            )
        return Fate.HELD

    def _came_before(self, tx: Tx, values: dict[str, Any]) -> bool:
        """Say whether this came before, as surely signed as now.

        So nobody keeps a mail out by sending something that looks like it first.
        """
        names = [values["name"]] if values["name"] else []
        rank = _RANKS[values["signature"]]
        return any(
            _RANKS[one.signature] >= rank
            for one in self._mails.same(
                tx, values["thread"], values["sender"], names, values["digest"]
            )
        )

    def _heard(self, tx: Tx, thread: Thread, head: Head) -> None:
        self._mails.set_thread(tx, thread.n, theirs=head.name, trouble="", trouble_at=0)

    # What it becomes

    def _entered(self, tx: Tx, thread: Thread, opened: Opened) -> list[str]:
        """Write what an answer says into its case; gives the ids of the entries.

        Raises:
            BadRequest: it says nothing.
            Conflict: it is no step from where the party is.
            Forbidden: this node does not speak for the party any more.
            NotFound: what it is about is not there.
        """
        answer = read_answer(opened.text)
        if not answer.says:
            raise BadRequest("it says nothing of its own")
        folded = self._folded(tx, thread.case_id)
        part = folded.state.parts.get(thread.party)
        if part is None or not part.mail:
            raise Forbidden(f"{thread.name} does not take part by mail any more.")
        by = {
            "for_ref": thread.party,
            "mail_signature": opened.signed.signature,
        }
        said = self._said(folded, thread, answer)
        if not part.answered and said[0][0] is not Kind.ACKNOWLEDGED:
            said.insert(0, (Kind.ACKNOWLEDGED, {}))
        entries = self._write(
            tx, thread.case_id, [(kind, {**words, **by}) for kind, words in said]
        )
        for one in opened.files:
            self._file(tx, thread, one)
        return entries

    def _file(self, tx: Tx, thread: Thread, one: Attachment) -> None:
        actor = f"mail of {thread.name}"
        self._cases.add_file(tx, thread.case_id, actor, one.name, one.content)

    def _said(self, folded: Case, thread: Thread, answer: Answer) -> list[Said]:
        text = {"description": answer.text} if answer.text else {}
        word, state = answer.word, folded.state
        if word == ACKNOWLEDGE:
            return [(Kind.ACKNOWLEDGED, text)]
        if not word:
            return [(Kind.ASSESSMENT, text)]
        if answer.about:
            known = state.asks if word in ANSWERS else state.tasks
            about = self._one(answer.about, known, "ask or task")
            if word in STEPS:
                step = {"about_ref": about, "state": STEPS[word], **text}
                return [(Kind.TASK, step)]
            if word == "decline" and not answer.text:
                raise BadRequest("it declines and does not say why")
            kind = Kind(f"assistance-{ANSWERS[word]}")
            return [(kind, {"about_ref": about, **text})]
        here, there = state.parts[thread.party].state, STANCES[word]
        steps = [one for one in steps_to(here, there) if one != ACKNOWLEDGE]
        # Who closes a case says nothing by that of whether it was one.
        skips = there == PartyState.CLOSED and len(steps) > 1
        if skips or (not steps and here.value != there):
            raise Conflict(f"{thread.name} has the case as {here}: no way to {there}.")
        if not steps:
            return [(Kind.ASSESSMENT, text or {"description": there})]
        made: list[Said] = [(Kind.ASSESSMENT, {"stance": one}) for one in steps]
        made[-1][1].update(text)
        return made

    # What a person decides

    def held(self, *, all_: bool = False) -> list[tuple[Mail, Thread]]:
        """Give the mails that wait for a person, or all, with their threads."""
        with self._node.db.read() as tx:
            threads = {one.n: one for one in self._mails.threads(tx)}
            return [
                (one, threads[one.thread]) for one in self._mails.mails(tx, all_=all_)
            ]

    def one(self, number: int) -> tuple[Mail, Thread, bytes]:
        """Give one mail, its thread, and its bytes.

        Raises:
            NotFound: there is none of this number.
        """
        with self._node.db.read() as tx:
            mail, raw = self._mails.mail(tx, number)
            return mail, self._mails.numbered(tx, mail.thread), raw

    def approve(self, number: int) -> list[str]:
        """Let a mail that is held be an entry, marked as its signature is.

        Raises:
            NotFound: there is none of this number.
            Conflict: it is not held, or is no step.
            BadRequest, BadInput, Forbidden: as for a mail that just came.
        """
        mail, thread, raw = self.one(number)
        if mail.state != HELD:
            raise Conflict(f"Mail {number} is not held: somebody decided on it.")
        head = read_head(raw)
        with self._node.db.read() as tx:
            cards = self._certificates(tx, thread, head)
        limit = self._node.config.cases.mail_bytes
        opened = open_mail(raw, signing_key(self._node), cards.texts, limit=limit)
        by = acts.who()
        with self._node.db.write() as tx:
            entries = self._entered(tx, thread, opened)
            self._mails.decide(
                tx, number, state=ENTRY, entries=orjson.dumps(entries).decode(),
                actor=by.who if by else "", signature=opened.signed.signature,
            )  # fmt: skip
            self._heard(tx, thread, head)
            acts.decided(
                tx, "approved a mail for a case", thread.case_id,
                after={"mail": number, "signature": mail.signature},
            )  # fmt: skip
        return entries

    def drop(self, number: int) -> Mail:
        """Never let a mail that is held be an entry. Its bytes are kept.

        Raises:
            NotFound, Conflict: as `approve`.
        """
        mail, thread, _ = self.one(number)
        by = acts.who()
        with self._node.db.write() as tx:
            self._mails.decide(tx, number, state=DROPPED, actor=by.who if by else "")
            acts.decided(
                tx, "dropped a mail for a case", thread.case_id, after={"mail": number}
            )
        return mail


def _digest(raw: bytes, opened: Opened) -> str:
    """Name what a mail says: what is signed, or else all behind its headers."""
    content = opened.signed.content if opened.signed.fingerprints else b""
    if not content:
        content = raw.replace(b"\r\n", b"\n").partition(b"\n\n")[2]
    return hashlib.sha256(content).hexdigest()
