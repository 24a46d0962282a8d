"""Contact cards: written, checked, shared as any object, and who is on call.

A card is believed when this node wrote it, or the party that it is about did and signed
it, or when somebody here found that it holds. What others say of a third party is only
shown: no drill writes to it, and nobody is called by it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import orjson

from serantau.clock import instant, moment
from serantau.desk.audit import zone_named
from serantau.desk.case_log import parties_of
from serantau.desk.keys import Keys
from serantau.desk.recall import Recalling
from serantau.desk.share import Share
from serantau.errors import (
    BadRequest,
    ConfigError,
    Conflict,
    Forbidden,
    NotFound,
)
from serantau.node import Node
from serantau.records import acts
from serantau.records.cards import PERSON, Cards, Check
from serantau.records.case_rounds import Steps
from serantau.records.database import Tx
from serantau.records.recalls import Recalls
from serantau.rules.card import (
    Card,
    Duty,
    blank,
    card_extension_object,
    card_object,
    checked,
)
from serantau.rules.marking import (
    TLP_2_IDS,
    Tlp,
    audience_extension_objects,
    in_words,
    make_audience,
)
from serantau.rules.realm import LIVE, PROPERTY
from serantau.rules.refusal import Refused
from serantau.rules.rota import Zone, on_call, until
from serantau.rules.signature import Standing

SOURCE: Final = "contacts"
"""Where cards that a node writes come from, as the store notes it."""
OURS: Final = "ours"
THEIRS: Final = "theirs"
HEARSAY: Final = "hearsay"
_MILLISECOND: Final = 1000
_FORGOTTEN: Final = "The person of this contact card is to be forgotten."
_SHORTEST: Final = 4
_DAY: Final = 86_400_000_000
_STEP: Final = timedelta(hours=6)
_BACK, _AHEAD = timedelta(days=2), timedelta(days=20)
_FIRST: Final = instant("1980-01-01T00:00:00Z")
_LAST: Final = instant("2200-01-01T00:00:00Z")


@dataclass(frozen=True, slots=True)
class Held:
    """A card as this node has it.

    faults: what of it could not be read. origin: ours, theirs (its party wrote it), or
    hearsay. by: the party that wrote it, or its identity. signature: how it stands.
    marking: in words. modified: an instant. verified: when it last proved right, by its
    source or here; 0 never. check: the last thing that was found out here.
    """

    card: Card
    faults: tuple[str, ...]
    origin: str
    by: str
    signature: Standing
    marking: str
    refs: tuple[str, ...]
    created: int
    modified: int
    verified: int
    check: Check | None

    @property
    def believed(self) -> bool:
        """Say whether people are reached by it."""
        said = self.check
        if said is not None and said.at > self.modified:
            return said.holds
        return self.origin != HEARSAY

    def stale(self, now: int, days: int) -> bool:
        """Say whether it did not prove right for so many days; 0: it never is."""
        return bool(days) and now - self.verified > days * _DAY


@dataclass(frozen=True, slots=True)
class OnCall:
    """Who is to be called. why: rota, 24x7 or technical. until: an instant, or None.

    deputies: in order. desk: whose rota says it. local: the time where that person is.
    """

    held: Held
    why: str
    desk: str
    until: int | None
    deputies: tuple[Held, ...]
    local: datetime


class Contacts:
    """The contact cards of one node."""

    def __init__(self, node: Node) -> None:
        """Work on what `node` has."""
        self._node = node
        self._cards = Cards()
        self._keys = Keys(node)
        self._share = Share(node)

    # Looking

    def all(self, party: str = "") -> list[Held]:
        """Give the cards of one party, or of all, by party and name.

        Raises:
            NotFound: no party has this name.
        """
        with self._node.db.read() as tx:
            if party:
                self._node.registry.party(tx, party)
            found = [one for one in self._held(tx) if party in {"", one.card.party}]
        order = list(Duty)
        return sorted(
            found,
            key=lambda one: (
                one.card.party,
                min((order.index(duty) for duty in one.card.duties), default=9),
                one.card.name,
                one.card.id,
            ),
        )

    def some(self, ids: Sequence[str]) -> dict[str, Held]:
        """Give those of these cards that are here, by id: faster than all."""
        with self._node.db.read() as tx:
            return {one.card.id: one for one in self._held(tx, ids)}

    def believed(self, tx: Tx, party: str) -> list[Held]:
        """Give the cards by which a party is reached: who answers at any hour first."""
        order = [Duty.ALWAYS, Duty.TECHNICAL, *Duty]
        return sorted(
            (one for one in self._held(tx) if one.believed and one.card.party == party),
            key=lambda one: (
                min((order.index(duty) for duty in one.card.duties), default=9),
                one.card.id,
            ),
        )

    def find(self, text: str) -> Held:
        """Give the card that a person names: by id, how its UUID begins, or its name.

        Raises:
            NotFound: there is none.
            BadRequest: there are several.
        """
        held = self.all()
        said = text.strip()
        start = said.lower().removeprefix("identity--")
        found = [one for one in held if one.card.name == said]
        if not found and len(start) >= _SHORTEST:
            found = [one for one in held if short(one.card.id, 36).startswith(start)]
        if not found:
            raise NotFound(
                "There is no such card.", mend="`serantau contacts list` shows them."
            )
        if len(found) > 1:
            ids = ", ".join(short(one.card.id) for one in found)
            raise BadRequest(f"Several cards are meant: {ids}. Name one by its id.")
        return found[0]

    def _held(self, tx: Tx, ids: Sequence[str] | None = None) -> list[Held]:
        node, own = self._node, self._node.config.node.identity
        markings, marked = node.audiences.known(tx), dict[int, str]()
        parties = parties_of(node, tx)
        ring, checks = self._keys.ring(tx), self._cards.checks(tx)
        read, found = [], []
        asked = node.card_memory.ids(tx) if ids is None else set(ids)
        for one in node.search.newest_of(tx, asked).values():
            said = node.card_memory.read(one, ring)
            if said is None:
                continue
            read.append(said)
            card, creator = said.card, said.creator
            origin = HEARSAY
            if creator == own and own:
                origin = OURS
            elif (
                said.signature is Standing.VALID and parties.get(creator) == card.party
            ):
                origin = THEIRS
            number = one.marking_set
            if number not in marked:
                marked[number] = in_words(node.audiences.set_of(tx, number), markings)
            told = checks.get(one.id, [])
            right = [check.at for check in told if check.holds]
            found.append(
                Held(
                    card=card,
                    faults=said.faults,
                    origin=origin,
                    by=parties.get(creator, creator),
                    signature=said.signature,
                    marking=marked[number],
                    refs=said.refs,
                    created=said.created,
                    modified=said.modified,
                    verified=max([min(card.verified, tx.clock.now()), *right]),
                    check=told[-1] if told else None,
                )
            )
        if ids is None:
            node.card_memory.keep(read)
        return found

    # Writing

    def put(
        self,
        card: Card,
        *,
        level: str = "",
        parties: Sequence[str] | None = None,
        circles: Sequence[str] = (),
    ) -> Held:
        """Write a card of ours: a new one when it has no id, else a new version.

        Args:
            card: all of it.
            level: TLP; empty: as it was, and AMBER for a new one.
            parties: who besides may have it; None with no circles: as it was. AMBER and
                stricter reaches nobody who is not named.
            circles: this node's circles, by name.

        Raises:
            BadRequest: something in it is wrong; or a level or name is none.
            NotFound: its party, a circle or a person that it names is not here.
            Forbidden: somebody else wrote it.
        """
        with self._node.db.write() as tx:
            held = self._mine(tx, card.id) if card.id else None
            return self._put(tx, held, card, level, parties, circles)

    def put_all(self, cards: Iterable[Card]) -> list[Held]:
        """Write several cards, all or none, as `put` does."""
        with self._node.db.write() as tx:
            return [
                self._put(
                    tx, self._mine(tx, each.id) if each.id else None, each, "", None, ()
                )
                for each in cards
            ]

    def _put(
        self,
        tx: Tx,
        held: Held | None,
        card: Card,
        level: str,
        parties: Sequence[str] | None,
        circles: Sequence[str],
    ) -> Held:
        whole = self._checked(tx, card)
        marks, definitions = self._marks(tx, held, level, parties, circles)
        self._write(tx, held, whole, marks, definitions)
        # Not what it says: a person may have it erased, and decisions stay.
        acts.decided(
            tx,
            "changed a contact card" if held else "added a contact card",
            whole.id,
            after={"party": whole.party, "marks": sorted(marks)},
        )
        return self._one(tx, whole.id)

    def _checked(self, tx: Tx, card: Card) -> Card:
        made = replace(card, id=card.id or f"identity--{uuid.uuid4()}")
        try:
            whole = checked(made)
        except ValueError as fault:
            raise BadRequest(f"The card of {card.name or '?'}: {fault}.") from fault
        if whole.zone:
            zone_named(whole.zone)
        self._node.registry.party(tx, whole.party)
        here = set(self._cards.ids(tx))
        for person in (*whole.deputies, *whole.rota.people):
            if person not in here:
                raise NotFound(
                    f"No card here has the id {person}.",
                    mend="`serantau contacts add` makes one.",
                )
        return whole

    def _marks(
        self,
        tx: Tx,
        held: Held | None,
        level: str,
        parties: Sequence[str] | None,
        circles: Sequence[str],
    ) -> tuple[list[str], list[dict[str, object]]]:
        """Give the ids of markings, and the definitions that have to be here."""
        before = list(held.refs) if held else []
        levels = [one for one in before if one in _LEVELS]
        others = [one for one in before if one not in _LEVELS]
        try:
            if level or not levels:
                levels = [TLP_2_IDS[Tlp.parse(level or Tlp.AMBER.label)]]
            if parties is None and not circles:
                return [*levels, *others], []
            if not parties and not circles:
                return levels, []
            known = {
                one.name: one.id for one in self._node.audiences.circles(tx).values()
            }
            lacking = [name for name in circles if name not in known]
            if lacking:
                raise NotFound(f"No circle is named {lacking[0]!r}.")
            for name in parties or ():
                self._node.registry.party(tx, name)
            definition = make_audience(
                named=parties or (), circles=[known[name] for name in circles]
            )
        except ValueError as fault:
            raise BadRequest(f"{fault}.") from fault
        definitions = [*audience_extension_objects(), definition]
        return [*levels, definition["id"]], definitions

    def _write(
        self,
        tx: Tx,
        held: Held | None,
        card: Card,
        marks: Sequence[str],
        definitions: Sequence[dict[str, object]] = (),
        *,
        revoked: bool = False,
    ) -> None:
        node = self._node
        if not node.config.node.identity:
            raise ConfigError(
                "This node has no identity, so it can sign nothing.",
                mend="Set node.identity; `serantau init` makes one.",
            )
        now = node.clock.now()
        if held is not None:
            now = max(now, held.modified + _MILLISECOND)
        made = card_object(
            card,
            creator=node.config.node.identity,
            created=held.created if held else now,
            modified=now,
            marks=marks,
        )
        if revoked:
            made["revoked"] = True
        if node.config.node.realm != LIVE:
            made[PROPERTY] = node.config.node.realm
        try:
            versions = [
                node.reader.read(orjson.dumps(each))
                for each in (*definitions, card_extension_object(), made)
            ]
        except Refused as fault:
            raise BadRequest(
                f"{fault.place}: got {fault.got}, expected {fault.expected}."
            ) from fault
        self._keys.sign(versions[-1], node.signer)
        admitted = node.objects.admit(
            tx, versions, source=SOURCE, handling=lambda _: Tlp.AMBER_STRICT
        )
        if not revoked:
            Recalls.admitted(tx, admitted, node.config.node.identity)

    def _one(self, tx: Tx, object_id: str) -> Held:
        found = self._held(tx, [object_id])
        if not found:
            raise NotFound("There is no such card.")
        return found[0]

    def _mine(self, tx: Tx, object_id: str) -> Held:
        held = self._one(tx, object_id)
        if held.origin != OURS:
            raise Forbidden(
                f"{held.by} wrote this card, and nobody else changes it.",
                mend="Tell them what is wrong; `serantau contacts verify --wrong` "
                "keeps it from being used here.",
            )
        return held

    def verify(self, object_id: str, *, right: bool = True, said: str = "") -> Held:
        """Note that somebody here found a card to hold, or not.

        A card of ours that holds says so from now on to whoever may have it.
        """
        by = acts.who()
        with self._node.db.write() as tx:
            held = self._one(tx, object_id)
            self._cards.note(
                tx, object_id, actor=by.who if by else "", way=PERSON, holds=right,
                said=said,
            )  # fmt: skip
            acts.decided(tx, "verified a contact card", object_id, after=right)
            if held.origin == OURS and right:
                card = replace(held.card, verified=tx.clock.now())
                self._write(tx, held, card, held.refs)
            return self._one(tx, object_id)

    def erase(self, object_id: str, reason: str) -> list[str]:
        """Forget the person of a card: here at once, elsewhere as far as others follow.

        Of a card of ours stays a revoked version that names nobody; who may have the
        card gets that in its place, and who got it is told that the rest is recalled.
        Of another's card nothing stays.

        Returns:
            The parties that got the card from this node.

        Raises:
            BadRequest: without a reason, which stays in the log.
            NotFound: there is no such card.
        """
        if not reason.strip():
            raise BadRequest("A reason is missing.", mend="It stays in the log.")
        node = self._node
        with node.db.read() as tx:
            self._one(tx, object_id)
            before = node.search.versions(tx, object_id, hidden=True)
        got = {one.party for each in before for one in self._share.who_got(each)}
        if got and self._is_mine(before[-1].body):
            # It is recalled already when an earlier attempt was broken off here.
            with suppress(Conflict):
                Recalling(node).recall([object_id], _FORGOTTEN)
        with node.db.write() as tx:
            held = self._one(tx, object_id)
            tx.overwrite()
            stamps = [one.added for one in before]
            if held.origin == OURS:
                self._write(tx, held, blank(held.card), held.refs, revoked=True)
            node.objects.delete(tx, object_id, stamps=stamps)
            self._cards.forget(tx, object_id)
            Steps().forget(tx, object_id)
            acts.decided(tx, "erased a contact card", object_id, why=reason)
        node.card_memory.forget(object_id)
        return sorted(got)

    def _is_mine(self, body: bytes) -> bool:
        creator = orjson.loads(body).get("created_by_ref")
        return bool(creator) and creator == self._node.config.node.identity

    # On call

    def on_call(
        self,
        party: str = "",
        at: int | None = None,
        held: Sequence[Held] | None = None,
    ) -> list[OnCall]:
        """Give who is to be called now, or at an instant: the first of a party first.

        Who has it by a rota; where there is none, or nobody has it, who is reached day
        and night; where nobody is, the technical contacts. `held`: what `all` gave.
        """
        when = self._node.clock.now() if at is None else at
        if not _FIRST <= when < _LAST:
            raise BadRequest("--at: expected a year from 1980 to 2199.")
        if party:
            with self._node.db.read() as tx:
                self._node.registry.party(tx, party)
        here = self.all() if held is None else held
        known = {one.card.id: one for one in here if one.believed}
        found: list[OnCall] = []
        for name in dict.fromkeys(one.card.party for one in known.values()):
            if party in {"", name}:
                mine = [one for one in known.values() if one.card.party == name]
                found += self._of_party(mine, known, when)
        return found

    def _of_party(
        self, mine: Sequence[Held], known: dict[str, Held], when: int
    ) -> list[OnCall]:
        turns: list[OnCall] = []
        for desk in mine:
            if not desk.card.rota.people:
                continue
            zone, rota = zone_table(desk.card.zone, when), desk.card.rota
            ends = until(rota, zone, when)
            turns += [
                _called(known[person], "rota", desk.card, ends, known, when)
                for person in on_call(rota, zone, when)
                if person in known
            ]
        if turns:
            return turns
        for duty in (Duty.ALWAYS, Duty.TECHNICAL):
            found = [
                _called(one, str(duty), one.card, None, known, when)
                for one in mine
                if duty in one.card.duties and (one.card.mail or one.card.phones)
            ]
            if found:
                return found
        return []


_LEVELS: Final = frozenset(TLP_2_IDS.values())


def _called(
    held: Held,
    why: str,
    desk: Card,
    ends: int | None,
    known: dict[str, Held],
    when: int,
) -> OnCall:
    names = dict.fromkeys((*held.card.deputies, *desk.deputies))
    zone = zone_named(held.card.zone or desk.zone or "UTC")
    return OnCall(
        held=held,
        why=why,
        desk="" if desk.id == held.card.id else desk.name,
        until=ends,
        deputies=tuple(
            known[one] for one in names if one in known and one != held.card.id
        ),
        local=moment(when).astimezone(zone),
    )


def short(object_id: str, letters: int = 8) -> str:
    """Give the beginning of a card's UUID, by which people name it."""
    return object_id.removeprefix("identity--")[:letters]


def zone_table(name: str, at: int) -> Zone:
    """Give what the clocks of a zone show some days before and after an instant.

    Raises:
        BadRequest: there is no such zone.
    """
    zone, when = zone_named(name), moment(at)
    here, end = when - _BACK, when + _AHEAD
    first = _offset(zone, here)
    offset, changes = first, []
    while here < end:
        after = here + _STEP
        if _offset(zone, after) != offset:
            low, high = here, after
            while high - low > timedelta(seconds=1):
                middle = low + (high - low) / 2
                if _offset(zone, middle) == offset:
                    low = middle
                else:
                    high = middle
            offset = _offset(zone, after)
            second = instant(high.replace(microsecond=0).isoformat())
            changes.append((second, offset))
        here = after
    return Zone(name, first, tuple(changes))


def _offset(zone: ZoneInfo, when: datetime) -> int:
    found = when.astimezone(zone).utcoffset()
    return int(found.total_seconds()) if found is not None else 0
