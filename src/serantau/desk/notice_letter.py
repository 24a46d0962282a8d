"""What a contact gets of a notice: a letter, or JSON for a webhook; nothing is sent."""

from __future__ import annotations

import csv as csv_form
import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from io import StringIO
from itertools import islice
from typing import Any, Final

import orjson

from serantau.desk.relay import signing_key
from serantau.errors import SerantauError
from serantau.node import Node
from serantau.records.contacts import Contacts
from serantau.records.notices import Delivery, Notice, Notices
from serantau.rules.contact import Contact, Kind
from serantau.rules.contact import State as ContactState
from serantau.rules.level import Tlp
from serantau.rules.realm import LIVE
from serantau.rules.wording import Facts, Group, Wording, word
from serantau.wire.catalogue import TEXTS, load_catalogue, load_source
from serantau.wire.mail import Attached, Letter, compose
from serantau.wire.openpgp import Certificate, Key, read_certificate

_PLAIN_BYTES: Final = 2_000_000
SHOWN_ROWS: Final = 50
"""Rows of what is attached that are shown before it goes."""


class Writer:
    """Writes notices as contacts of a node get them."""

    def __init__(self, node: Node) -> None:
        """Write for `node`, with its texts and its key."""
        self._node = node

    def wording(self, notice: Notice, language: str) -> Wording:
        """Give a notice in words, as a contact that reads this language gets it."""
        folder = self._node.home / TEXTS
        with self._node.db.read() as tx:
            _, party = self._node.registry.party(tx, notice.party)
        return word(
            self._facts(notice, party.title or party.name),
            load_catalogue(language, folder),
            load_source(folder),
        )

    def letter(
        self, notice: Notice, contact: Contact, key: str, csv: bytes
    ) -> tuple[Letter, Wording]:
        """Give the letter that a contact gets, before it is signed and encrypted."""
        large = len(csv) > _PLAIN_BYTES and contact.kind is not Kind.WEBHOOK
        notice.facts["packed"] = large
        wording = self.wording(notice, contact.language)
        config = self._node.config
        attached = Attached(
            self._file_name(notice),
            "application/gzip" if large else "text/csv",
            gzip.compress(csv, mtime=0) if large else csv,
        )
        letter = Letter(
            sender_name=config.node.team or config.node.member,
            sender=config.mail.sender,
            to=contact.address if contact.kind is Kind.MAIL else config.mail.sender,
            subject=wording.subject,
            text=wording.text,
            key=key,
            at=self._node.clock.now(),
            language=wording.language,
            cover=wording.cover,
            realm=self._exercise,
            attached=(attached,),
        )
        return letter, wording

    def written(self, notice: Notice, contact: Contact, key: str, csv: bytes) -> bytes:
        """Write what the contact gets: a letter, or JSON for a webhook.

        Raises:
            BadInput: the contact's certificate cannot be used.
            ConfigError: our own key cannot.
        """
        letter, wording = self.letter(notice, contact, key, csv)
        if contact.kind is Kind.WEBHOOK:
            return self._json(notice, key, wording, csv)
        certificate: Certificate | None = None
        if contact.certificate:
            certificate = read_certificate(contact.certificate.encode())
        return compose(letter, self.signing_key, certificate)

    @cached_property
    def signing_key(self) -> Key | None:
        """Give the key that signs, when there is one."""
        return signing_key(self._node)

    @property
    def _exercise(self) -> str:
        """Give the realm, when it is an exercise; empty otherwise."""
        realm = self._node.config.node.realm
        return "" if realm == LIVE else realm

    @staticmethod
    def _file_name(notice: Notice) -> str:
        # Nobody gets a file larger than mail servers take, so it may be packed.
        return f"notice-{notice.number}-{notice.group}-{notice.day}.csv" + (
            ".gz" if notice.facts.get("packed") else ""
        )

    def _facts(self, notice: Notice, party: str) -> Facts:
        said, config = notice.facts, self._node.config
        return Facts(
            number=notice.number,
            team=config.node.team or config.node.member,
            party=party,
            group=notice.group,
            day=notice.day,
            rows=said["rows"],
            places=said["places"],
            attached=said["attached"],
            types=tuple(
                Group(
                    each["type"], each["rows"], each["places"], tuple(each["families"])
                )
                for each in said["types"]
            ),
            examples=tuple(said["examples"]),
            level=max(levels_of(notice)),
            days=said["days"],
            file=self._file_name(notice),
            late=said.get("late", 0),
            exercise=bool(self._exercise),
        )

    def _json(self, notice: Notice, key: str, wording: Wording, csv: bytes) -> bytes:
        said: dict[str, Any] = {
            "key": key,
            "notice": notice.number,
            "node": self._node.config.node.member,
            "realm": self._node.config.node.realm,
            "party": notice.party,
            "class": notice.group,
            "day": notice.day,
            "round": notice.round,
            "tlp": max(levels_of(notice)).label,
            "rows": notice.facts["rows"],
            "attached": notice.facts["attached"],
            "language": wording.language,
            "subject": wording.subject,
            "text": wording.text,
            "csv": csv.decode(),
        }
        return orjson.dumps(said)


def levels_of(notice: Notice) -> dict[Tlp, int]:
    """Give how many rows of a notice have which TLP level."""
    return {Tlp(int(each)): many for each, many in notice.facts["levels"].items()}


@dataclass(frozen=True, slots=True)
class Copy:
    """What one contact gets.

    outside: the subject that everybody on the way reads. fault: why it cannot go so.
    """

    contact: Contact
    letter: Letter
    encrypted: bool
    signed: bool
    outside: str
    fault: str


@dataclass(frozen=True, slots=True)
class Opened:
    """A notice as it would go, or went: to whom, and what is attached.

    copies: one for each contact that is written to. head, rows: the first of what is
    attached. bytes: of all of it.
    """

    notice: Notice
    copies: list[Copy]
    silent: list[Contact]
    deliveries: list[Delivery]
    levels: Mapping[Tlp, int]
    head: list[str]
    rows: list[list[str]]
    bytes: int


def open_notice(node: Node, number: int) -> Opened:
    """Show a notice exactly as each contact gets it; nothing leaves.

    Raises:
        NotFound: there is none of this number.
    """
    writer, notices = Writer(node), Notices()
    with node.db.read() as tx:
        notice = notices.get(tx, number)
        contacts = Contacts().all(tx, notice.party)
        deliveries = notices.deliveries(tx, number)
        csv = notices.csv(tx, number)
    written = [each for each in contacts if each.state is ContactState.ACTIVE]
    keys = {each.contact: each.key for each in deliveries}
    lines = csv_form.reader(StringIO(csv.decode()))
    head = next(lines, [])
    return Opened(
        notice,
        [
            _copy(writer, notice, each, keys.get(each.number, ""), csv)
            for each in written
        ],
        [each for each in contacts if each.state is not ContactState.ACTIVE],
        deliveries,
        levels_of(notice),
        head,
        list(islice(lines, SHOWN_ROWS)),
        len(csv),
    )


def _copy(
    writer: Writer, notice: Notice, contact: Contact, key: str, csv: bytes
) -> Copy:
    letter, _ = writer.letter(notice, contact, key, csv)
    mail = contact.kind is not Kind.WEBHOOK
    encrypted = mail and bool(contact.certificate)
    signed, fault = False, ""
    try:
        signed = mail and writer.signing_key is not None
        if encrypted:
            read_certificate(contact.certificate.encode())
    except SerantauError as wrong:
        fault = str(wrong)
    # RFC 9788: what is encrypted has its subject inside.
    outside = (letter.cover if encrypted else letter.subject) if mail else ""
    return Copy(contact, letter, encrypted, signed, outside, fault)
