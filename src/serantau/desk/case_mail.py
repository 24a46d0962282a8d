"""Letters of cases, to parties that have no node: by mail, and each at most once.

The node that invited a party by mail writes to it, and no other does: the log of the
case says which one that is. What a letter tells is chosen when it goes: entries that
the party was not told yet and that desk/share lets it have, in their order. It goes to
an address of a card of that party that is believed at that moment, signed, and
encrypted where the card has a key. What may not go waits, and says why.

For every letter there are three writes: it is taken, with what it tells, and logged as
released; all but its last byte is through; the mail server has it. See
`records.case_mail` for what becomes of it when the worker is killed between them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import orjson

from serantau.desk.case_log import CaseLog, parties_of
from serantau.desk.case_words import News, tell
from serantau.desk.contacts import Contacts, Held
from serantau.desk.relay import open_relay, signing_key
from serantau.desk.share import Share
from serantau.errors import (
    BadInput,
    ConfigError,
    Conflict,
    Forbidden,
    NotFound,
    SerantauError,
)
from serantau.node import Node
from serantau.records import acts
from serantau.records.case_mail import (
    BOUNCED,
    DROPPED,
    FAILED,
    HANDING,
    SENT,
    TAKEN,
    UNSURE,
    WAITING,
    Mails,
    Post,
    Thread,
)
from serantau.records.database import Tx
from serantau.rules.card import KeyKind
from serantau.rules.case_entry import Entry, Kind, read_entry
from serantau.rules.case_mail import TOKEN_DIGITS, tag
from serantau.rules.case_steps import Flag
from serantau.rules.level import Tlp
from serantau.rules.realm import LIVE
from serantau.rules.release import Way
from serantau.wire.bounce import read_bounce
from serantau.wire.catalogue import TEXTS, load_catalogue, load_source
from serantau.wire.mail import Attached, Letter, Outcome, Relay, compose, message_id
from serantau.wire.openpgp import Certificate, Key, read_certificate

WAY: Final = "case mail"
"""What the release log calls this way out."""
ITSELF: Final = "serantau"
_SECOND: Final = 1_000_000
_HOUR: Final = 3600 * _SECOND
_LEASE: Final = 300 * _SECOND
_FIRST_WAIT: Final = 60 * _SECOND
_LONGEST_WAIT: Final = 6 * _HOUR
_LOOK_AGAIN: Final = 60 * _SECOND
_TRIES: Final = 12
_MOST_ENTRIES: Final = 50
_MOST_TEXT: Final = 60_000
# Entries with any other flag have no effect, and are not told.
_BEARABLE: Final = frozenset({Flag.FORK, Flag.BACKDATED})
_CLOCKS: Final = frozenset({Kind.REMINDER.value, Kind.PAGE.value})


@dataclass(slots=True)
class Round:
    """What one round of sending did, in letters. waiting: that may not go yet."""

    sent: int = 0
    deferred: int = 0
    unsure: int = 0
    bounced: int = 0
    failed: int = 0
    waiting: int = 0


class _Waits(Exception):
    """A letter may not go yet; why, for a person."""


@dataclass(frozen=True, slots=True)
class _Written:
    """A letter that goes: how it is addressed, and its bytes."""

    post: Post
    content: bytes


class CaseMail:
    """The letters of the cases of one node."""

    def __init__(self, node: Node, actor: str = ITSELF) -> None:
        """Write in the name of `node`. `actor` is named in the release log."""
        self._node = node
        self._actor = actor
        self._mails = Mails()
        self._log = CaseLog(node)
        self._contacts = Contacts(node)
        self._share = Share(node)
        self._relay: Relay | None = None

    @property
    def sender(self) -> str:
        """Give the address that letters come from and are answered to."""
        config = self._node.config
        return config.cases.sender or config.mail.sender

    def lacking(self) -> str:
        """Give what of the settings keeps letters from going; empty: nothing."""
        if not self._node.config.mail.host:
            return "mail.host is empty: no mail is sent"
        if not self.sender:
            return "cases.sender and mail.sender are empty: mail comes from nobody"
        try:
            key = signing_key(self._node)
        except ConfigError as fault:
            return fault.message
        if key is None:
            return "there is no key that signs mail: `serantau notice key` makes one"
        return ""

    # What there is to tell

    def plan(self) -> int:
        """Let a letter wait for each party that has something to be told."""
        with self._node.db.read() as tx:
            behind = self._mails.behind(tx)
        made = 0
        for case, party, name in behind:
            with self._node.db.write() as tx:
                # Of one that another node writes to, only that it was looked at.
                folded = self._log.folded(tx, case)
                thread = self._mails.thread(
                    tx, case, party, name, self._token(case, party)
                )
                if self._untold(tx, thread):
                    self._mails.open_letter(tx, thread.n)
                    made += 1
                self._mails.set_thread(tx, thread.n, entries=len(folded), name=name)
        return made

    def _token(self, case: str, party: str) -> str:
        """Give what names a thread and cannot be guessed; after a restore the same."""
        node = self._node.config.node
        said = ("case mail", node.realm, node.member, case, party)
        return self._node.seal.tag("\x1f".join(said))[:TOKEN_DIGITS]

    def _untold(self, tx: Tx, thread: Thread) -> list[Entry]:
        """Give what a party was not told yet, in order: not its own words.

        What clocks did to others is none of its concern. Of a party that another node
        writes to by now, nothing.
        """
        folded = self._log.folded(tx, thread.case_id)
        part = folded.state.parts.get(thread.party)
        if part is None or not part.mail or part.by != self._node.config.node.identity:
            return []
        told = self._mails.told(tx, thread.n)
        return [
            line.entry
            for line in folded.lines()
            if line.entry.id not in told
            and line.entry.voice != thread.party
            and _BEARABLE.issuperset(line.flags)
            and (line.entry.kind not in _CLOCKS or line.entry.party_ref == thread.party)
        ]

    # Sending

    def send(self, stop: Callable[[], bool] = lambda: False) -> Round:
        """Hand over the letters that may go."""
        done = Round()
        self._expire(done)
        self.plan()
        with self._node.db.read() as tx:
            due = self._mails.due(tx)
        try:
            for post in due:
                if stop():
                    break
                self._one(post, done)
        finally:
            if self._relay is not None:
                self._relay.leave()
                self._relay = None
        return done

    def _expire(self, done: Round) -> None:
        with self._node.db.read() as tx:
            if not self._mails.expired(tx):
                return
        with self._node.db.write() as tx:
            for post in self._mails.expired(tx):
                said = "the worker that had it ended in the middle"
                if post.state == TAKEN:
                    self._mails.step(tx, post, TAKEN, state=WAITING, lease=0, said=said)
                else:
                    self._mails.step(tx, post, HANDING, state=UNSURE, said=said)
                    done.unsure += 1

    def _one(self, post: Post, done: Round) -> None:
        try:
            written = self._written(post)
        except _Waits as waits:
            self._wait(post, str(waits))
            done.waiting += 1
            return
        except (Conflict, NotFound):
            return
        if written is None:
            return
        taken = written.post

        def handing() -> None:
            with self._node.db.write() as tx:
                self._mails.step(tx, taken, TAKEN, state=HANDING)

        try:
            if self._relay is None:
                self._relay = open_relay(self._node)
            outcome = self._relay.send(taken.address, written.content, handing)
        except Conflict:
            # Another worker has it since, and the server kept nothing of this one.
            return
        except ConfigError as fault:
            outcome = Outcome("defer", fault.message)
        self._end(taken, outcome, done)

    def _wait(self, post: Post, why: str) -> None:
        due = self._node.clock.now() + _LOOK_AGAIN
        # Where another worker took it meanwhile, that one tells how it ended.
        with suppress(Conflict), self._node.db.write() as tx:
            self._mails.step(tx, post, WAITING, due=due, said=why)

    def _written(self, post: Post) -> _Written | None:
        """Take a letter: choose what it tells, have that released, and write it.

        Raises:
            _Waits: it may not go now.
            Conflict: another worker has it.
        """
        lacks = self.lacking()
        if lacks:
            raise _Waits(lacks)
        key = signing_key(self._node)
        if key is None:
            raise _Waits("the key that signs mail is not there")
        config = self._node.config
        with self._node.db.write() as tx:
            thread = self._mails.numbered(tx, post.thread)
            untold = self._untold(tx, thread)
            if not untold:
                self._mails.close_letter(tx, post.n)
                return None
            now = tx.clock.now()
            if self._mails.recent(tx, thread.name, now - _HOUR) >= config.cases.hourly:
                raise _Waits(
                    f"{config.cases.hourly} letters went to {thread.name} within the "
                    "hour (cases.hourly)"
                )
            clear = Tlp.parse(config.cases.clear)
            secret = any(one.level > clear for one in untold)
            held, address, certificate = self._address(tx, thread, secret=secret)
            chosen = self._chosen(thread, untold, certificate)
            ids = [one.id for one in chosen]
            name = self._key(thread, ids)
            values = {
                "state": TAKEN, "lease": now + _LEASE, "tries": post.tries + 1,
                "key": name, "entries": orjson.dumps(ids).decode(), "said": "",
                "card": held.card.id, "address": address, "clear": certificate is None,
            }  # fmt: skip
            self._mails.step(tx, post, WAITING, **values)
            taken = self._mails.letter(tx, post.n)
            names = parties_of(self._node, tx)
            title = self._log.folded(tx, thread.case_id).entry(thread.case_id).name
        try:
            bodies = self._released(thread, taken)
            news = self._news(thread, bodies, names, title, key)
            content = self._letter(thread, taken, news, held, key, certificate)
        except (Forbidden, NotFound, BadInput, ConfigError) as refusal:
            self._back(taken, refusal.message)
            return None
        return _Written(taken, content)

    def _back(self, taken: Post, why: str) -> None:
        due = self._node.clock.now() + _LOOK_AGAIN
        with self._node.db.write() as tx:
            self._mails.step(
                tx, taken, TAKEN, state=WAITING, lease=0, due=due, said=why
            )

    def _key(self, thread: Thread, ids: Sequence[str]) -> str:
        """Give the Message-ID's part: of the same words to the same party the same.

        So a node that was restored from a backup says nothing twice to a reader.
        """
        return self._node.seal.tag("\x1f".join(("letter", thread.token, *sorted(ids))))

    def _address(
        self, tx: Tx, thread: Thread, *, secret: bool
    ) -> tuple[Held, str, Certificate | None]:
        """Give the card and address that a letter goes to, and the key it has.

        Where something is secret, one with a key comes before those without.

        Raises:
            _Waits: there is no card with an address that works, or with a key that can
                be used where it names one.
        """
        why = f"no contact card of {thread.name} that is believed has a mail address"
        now, found = tx.clock.now(), []
        for held in self._contacts.believed(tx, thread.name):
            for address in held.card.mail:
                back = self._mails.returned(tx, thread.name, address)
                if back and back >= max(held.modified, held.verified):
                    why = f"mail to {address} came back; mend or verify its card"
                    continue
                try:
                    found.append((held, address, _certificate(held, now)))
                except _Waits as waits:
                    why = str(waits)
        if not found:
            raise _Waits(why)
        return next((one for one in found if secret and one[2]), found[0])

    def _chosen(
        self, thread: Thread, untold: Sequence[Entry], certificate: Certificate | None
    ) -> list[Entry]:
        """Give what one letter tells of what is untold.

        Raises:
            _Waits: nothing of it may go.
        """
        looked = self._share.hand_over(
            thread.name, [one.id for one in untold], purpose=None, case=thread.case_id,
            actor=self._actor, look=True, way=WAY, by=Way.MACHINE,
        )  # fmt: skip
        clear = Tlp.parse(self._node.config.cases.clear)
        chosen: list[Entry] = []
        why, letters = "", 0
        for one in untold:
            if one.id in looked.withheld:
                why = why or str(looked.withheld[one.id])
            elif certificate is None and one.level > clear:
                why = why or (
                    f"{one.level.label} does not go unencrypted, and the card of "
                    f"{thread.name} has no OpenPGP key"
                )
            else:
                letters += len(one.description) + len(one.name)
                if chosen and letters > _MOST_TEXT:
                    break
                chosen.append(one)
                continue
            if not one.case_ref:
                # Nothing is told of a case that the party may not know.
                chosen = []
                break
        if not chosen:
            raise _Waits(why)
        return chosen[:_MOST_ENTRIES]

    def _released(self, thread: Thread, taken: Post) -> list[bytes]:
        """Have the entries of a letter released and logged; gives their texts.

        Raises:
            Forbidden: one of them may not go any more.
        """
        released = self._share.hand_over(
            thread.name, taken.told, purpose=None, actor=self._actor, way=WAY,
            by=Way.MACHINE, case=f"{thread.case_id}, letter {taken.key}",
        )  # fmt: skip
        for verdict in released.withheld.values():
            raise Forbidden(str(verdict))
        return [released.bodies[one] for one in taken.told]

    def _news(
        self,
        thread: Thread,
        bodies: Sequence[bytes],
        names: dict[str, str],
        title: str,
        key: Key,
    ) -> News:
        node = self._node.config.node
        entries = [read_entry(one) for one in bodies]
        return News(
            team=node.team or node.member,
            party=thread.name,
            tag=tag(thread.case_id, thread.token),
            label=max(one.level for one in entries).label,
            name=title,
            entries=entries,
            names=names,
            first=not thread.root,
            key=key.fingerprint,
            exercise="" if node.realm == LIVE else node.realm,
        )

    def _letter(
        self,
        thread: Thread,
        taken: Post,
        news: News,
        held: Held,
        key: Key,
        certificate: Certificate | None,
    ) -> bytes:
        folder = self._node.home / TEXTS
        language = next(iter(held.card.languages), "en")
        try:
            chosen = load_catalogue(language, folder)
        except ConfigError:
            # A card may name a language in a way that no file is named by.
            chosen = load_source(folder)
        told = tell(news, chosen, load_source(folder))
        thread_ids = dict.fromkeys((thread.root, thread.last, thread.theirs))
        letter = Letter(
            sender_name=news.team,
            sender=self.sender,
            to=taken.address,
            subject=told.subject,
            text=told.text,
            key=taken.key,
            at=self._node.clock.now(),
            language=told.language,
            cover=told.cover,
            realm=news.exercise,
            answers=tuple(one for one in thread_ids if one),
            # Who has no key of ours yet can answer encrypted from the first letter on.
            attached=(_our_certificate(key),) if news.first else (),
        )
        return compose(letter, key, certificate)

    def _end(self, post: Post, outcome: Outcome, done: Round) -> None:
        event, now = outcome.event, self._node.clock.now()
        if event == "defer" and post.tries >= _TRIES:
            event = "fail"
        name = message_id(post.key, self.sender)
        state = {"accept": SENT, "lose": UNSURE, "bounce": BOUNCED, "fail": FAILED}
        # What was put off, or refused, has not passed the last byte, or was not kept.
        try:
            with self._node.db.write() as tx:
                before = self._mails.letter(tx, post.n).state
                if event == "defer":
                    wait = min(_FIRST_WAIT << min(post.tries - 1, 10), _LONGEST_WAIT)
                    self._mails.step(
                        tx, post, before, state=WAITING, lease=0, due=now + wait,
                        said=outcome.said,
                    )  # fmt: skip
                else:
                    self._mails.step(
                        tx, post, before, state=state[event], sent=now,
                        said="" if event == "accept" else outcome.said,
                    )  # fmt: skip
                thread = self._mails.numbered(tx, post.thread)
                if event in {"accept", "lose"}:
                    self._mails.set_thread(
                        tx, thread.n, root=thread.root or name, last=name
                    )
                if event == "bounce":
                    self._trouble(tx, thread, f"{post.address}: {outcome.said}")
                    self._again(tx, post)
                elif self._untold(tx, thread):
                    self._mails.open_letter(tx, thread.n)
        except Conflict:
            return
        done.sent += event == "accept"
        done.deferred += event == "defer"
        done.unsure += event == "lose"
        done.bounced += event == "bounce"
        done.failed += event == "fail"

    def _trouble(self, tx: Tx, thread: Thread, said: str) -> None:
        self._mails.set_thread(
            tx, thread.n, trouble=said, trouble_at=self._node.clock.now()
        )

    def _again(self, tx: Tx, post: Post) -> None:
        """Let what a letter tells be told anew; the letter stays, to tell of itself."""
        tx.run(
            "UPDATE case_mail_letter SET entries = '[]' WHERE n = :number",
            number=post.n,
        )
        self._mails.open_letter(tx, post.thread)

    # What a person or a bounce says

    def bounced(self, raw: bytes) -> bool:
        """Take in a mail that came back; says whether it is a letter of a case.

        It must name a key that only we and the recipient know, and that recipient. The
        address is not written to until its card is mended or verified.
        """
        found = read_bounce(raw)
        if found is None:
            return False
        with self._node.db.write() as tx:
            for post in self._mails.by_keys(tx, [found.key]):
                if post.address.lower() not in found.recipients:
                    continue
                if post.state != BOUNCED:
                    now = tx.clock.now()
                    self._mails.step(
                        tx, post, post.state, state=BOUNCED, said=found.said, sent=now
                    )
                    thread = self._mails.numbered(tx, post.thread)
                    self._trouble(tx, thread, f"{post.address}: {found.said}")
                    self._again(tx, post)
                return True
        return False

    def settle(self, number: int, *, sent: bool) -> Post:
        """Say of a letter that is unsure or failed that it arrived, or tell it anew.

        Raises:
            NotFound: there is no such letter.
            Conflict: it is neither.
        """
        with self._node.db.write() as tx:
            post = self._mails.letter(tx, number)
            if post.state not in {UNSURE, FAILED}:
                raise Conflict(
                    f"Letter {number} is {post.state}, not unsure or failed."
                )
            if sent:
                self._mails.step(
                    tx, post, post.state, state=SENT, said="a person said so"
                )
            else:
                self._mails.step(tx, post, post.state, state=DROPPED, said="told anew")
                self._again(tx, post)
            said = "it was sent" if sent else "tell it anew"
            acts.decided(tx, "settled a letter of a case", str(number), after=said)
            return self._mails.letter(tx, number)

    # Looking

    def letters(self, *, all_: bool = False) -> list[tuple[Post, Thread]]:
        """Give the letters that are under way, or all, with their threads."""
        with self._node.db.read() as tx:
            threads = {one.n: one for one in self._mails.threads(tx)}
            return [
                (one, threads[one.thread]) for one in self._mails.letters(tx, all_=all_)
            ]

    def threads(self, case: str = "") -> list[Thread]:
        """Give the threads of a case, or all."""
        with self._node.db.read() as tx:
            return self._mails.threads(tx, case)


def _our_certificate(key: Key) -> Attached:
    return Attached("openpgp.asc", "application/pgp-keys", key.certificate.encode())


def _certificate(held: Held, now: int) -> Certificate | None:
    """Give what to encrypt for; None where the card names no OpenPGP key.

    Raises:
        _Waits: it names one that cannot be used. Nothing goes in clear instead.
    """
    named = [key for key in held.card.keys if key.kind is KeyKind.OPENPGP]
    for key in named:
        if key.certificate and key.holds(now):
            try:
                return read_certificate(key.certificate.encode())
            except SerantauError:
                continue
    if named:
        raise _Waits(
            f"the OpenPGP key of the card {held.card.name} has ended or has no "
            "certificate here: ask for a newer one, or take it off the card"
        )
    return None
