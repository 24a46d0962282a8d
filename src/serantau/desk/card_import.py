"""Contacts from files: what each would become, and then all of them or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from serantau.clock import instant, moment
from serantau.desk.contacts import OURS, Contacts, Held
from serantau.errors import BadInput, SerantauError
from serantau.node import Node
from serantau.rules.card import Card, CardKey, Duty, KeyKind, checked
from serantau.wire.openpgp import read_certificate
from serantau.wire.smime import read_smime
from serantau.wire.vcard import Entry, read_file

NEW, CHANGED, SAME, REFUSED = "new", "changed", "same", "refused"
_NOWHERE = "identity--00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True, slots=True)
class Proposed:
    """What a contact of a file would become.

    state: new, changed, same or refused. card: as it would be kept. changes: names of
    what differs from before. faults: why it is refused. left: what is not taken over.
    """

    place: str
    state: str
    card: Card
    changes: tuple[str, ...]
    faults: tuple[str, ...]
    left: tuple[str, ...]


class Import:
    """Contacts of one file, for one node."""

    def __init__(
        self,
        node: Node,
        data: bytes,
        *,
        name: str,
        party: str = "",
        source: str = "",
        duties: Sequence[Duty] = (),
    ) -> None:
        """Read a file; nothing is written.

        Args:
            node: whose cards they become.
            data: the file's bytes.
            name: what it is called.
            party: of those that name none.
            source: of those that name none; empty: the file's name and today.
            duties: of those that name none, as no address book does.

        Raises:
            BadInput: it cannot be read at all.
        """
        self._contacts = Contacts(node)
        self._node = node
        self._party = party
        self._duties = tuple(duties)
        today = f"{moment(node.clock.now()):%Y-%m-%d}"
        self._source = source or f"{name}, imported {today}"
        held = [one for one in self._contacts.all() if one.origin == OURS]
        self.proposed = [self._propose(entry, held) for entry in read_file(data, name)]

    def _propose(self, entry: Entry, held: Sequence[Held]) -> Proposed:
        draft, faults = _draft(entry, self._party)
        before = next((one.card for one in held if _same(one.card, entry, draft)), None)
        card = _joined(before, draft, entry)
        card = replace(
            card,
            source=card.source or self._source,
            duties=card.duties or self._duties,
        )
        try:
            whole = checked(replace(card, id=card.id or _NOWHERE))
            card = replace(whole, id=card.id)
            with self._node.db.read() as tx:
                self._node.registry.party(tx, card.party)
        except ValueError as fault:
            faults += str(fault).splitlines()
        except SerantauError as fault:
            faults.append(fault.message)
        changes = () if before is None else _changes(before, card)
        state = REFUSED if faults else NEW if before is None else CHANGED
        if state == CHANGED and not changes:
            state = SAME
        return Proposed(
            entry.place, state, card, changes, tuple(faults), tuple(entry.left)
        )

    def keep(self) -> list[Held]:
        """Write what is new or changed, all or none.

        Raises:
            BadInput: one of them is refused.
        """
        refused = [one for one in self.proposed if one.state == REFUSED]
        if refused:
            raise BadInput(
                f"{len(refused)} of {len(self.proposed)} contacts are refused, so none "
                f"was taken in. {refused[0].place}: {'; '.join(refused[0].faults)}.",
                mend="--dry-run shows all of them. Mend or remove them in the file.",
            )
        return self._contacts.put_all(
            one.card for one in self.proposed if one.state in {NEW, CHANGED}
        )


def _draft(entry: Entry, party: str) -> tuple[Card, list[str]]:
    """Make a card of values; what rules.card judges is judged there."""
    faults: list[str] = []
    duties = []
    for said in entry.said.get("duties", ()):
        try:
            duties.append(Duty(said.lower()))
        except ValueError:
            faults.append(f"duties: {said!r}, expected some of {', '.join(Duty)}")
    verified, confidence = 0, None
    if said := entry.one("last_verified"):
        try:
            verified = instant(said if "T" in said else f"{said}T00:00:00Z")
        except ValueError:
            faults.append(f"last_verified: {said!r} is no day such as 2026-03-01")
    if said := entry.one("confidence"):
        if said.isascii() and said.isdigit():
            confidence = int(said[:9])
        else:
            faults.append(f"confidence: {said!r} is no number from 0 to 100")
    keys = []
    for kind, data in entry.keys:
        try:
            keys.append(read_key(kind, data))
        except BadInput as fault:
            faults.append(f"key: {fault.message}")
    card = Card(
        name=entry.one("name"),
        party=entry.one("party") or party,
        person=entry.one("kind").lower() not in {"group", "org"},
        title=entry.one("title"),
        duties=tuple(dict.fromkeys(duties)),
        sector=entry.one("sector"),
        languages=tuple(entry.said.get("languages", ())),
        zone=entry.one("zone"),
        mail=tuple(dict.fromkeys(entry.said.get("mail", ()))),
        phones=tuple(dict.fromkeys(entry.said.get("phones", ()))),
        keys=tuple(keys),
        source=entry.one("source"),
        verified=verified,
        confidence=confidence,
        remark=entry.one("remark"),
    )
    return card, faults


def read_key(kind: KeyKind, data: bytes) -> CardKey:
    """Read a certificate that mail can be encrypted for.

    Raises:
        BadInput: it is none, or has a secret key in it.
    """
    if kind is KeyKind.SMIME:
        return read_smime(data)
    found = read_certificate(data)
    return CardKey(kind, found.fingerprint, found.expires, found.text)


def _same(held: Card, entry: Entry, draft: Card) -> bool:
    if entry.uid and held.id == f"identity--{entry.uid}":
        return True
    return (held.party, held.name) == (draft.party, draft.name)


_PLAIN = ("title", "sector", "zone", "source", "remark", "languages", "mail", "phones")


def _joined(before: Card | None, draft: Card, entry: Entry) -> Card:
    """Give the card as it would be: what a file does not say stays as it was."""
    if before is None:
        return draft
    said = {name: getattr(draft, name) for name in _PLAIN if getattr(draft, name)}
    return replace(
        before,
        name=draft.name or before.name,
        party=draft.party or before.party,
        person=draft.person if entry.one("kind") else before.person,
        duties=draft.duties or before.duties,
        keys=draft.keys or before.keys,
        verified=max(draft.verified, before.verified),
        confidence=before.confidence if draft.confidence is None else draft.confidence,
        **said,
    )


def _changes(before: Card, after: Card) -> tuple[str, ...]:
    return tuple(
        name
        for name in Card.__dataclass_fields__
        if getattr(before, name) != getattr(after, name)
    )
