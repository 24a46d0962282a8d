"""The one way out: what a caller may have, and a record of what it got.

Every door that hands objects to an outsider asks here. The page and its row in the
release log are one transaction; people of the node's own organisation read without one.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from serantau.errors import ConfigError, Forbidden, NotFound
from serantau.node import Node
from serantau.records.database import Tx
from serantau.records.ledger import Released
from serantau.records.registry import Caller, Collection
from serantau.records.search import Found
from serantau.records.views import Asked, Line, Page, View
from serantau.rules.head import Receipt, signed_text
from serantau.rules.marking import (
    TLP_2_IDS,
    Marking,
    MarkingSet,
    Tlp,
    in_words,
    make_audience,
    read_marking,
)
from serantau.rules.party import Party, Purpose
from serantau.rules.release import Verdict, Way, ended, judge
from serantau.rules.role import reaches

_VIEWS_KEPT = 256
_SAMPLES = 3
HANDOVER = "handover"
# Versions of one object that one deletion takes out.
_AT_ONCE = 100_000

_told = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Offer:
    """A collection as one caller meets it."""

    collection: Collection
    can_read: bool
    can_write: bool


@dataclass(slots=True)
class Row:
    """One line of a dry run: a rule, what it does, to how many, and a few of them."""

    released: bool
    rule: str
    got: str
    expected: str
    marking: str
    count: int
    samples: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Preview:
    """What one party would get of what was asked about, and why not the rest."""

    party: Party
    rows: list[Row]

    @property
    def released(self) -> int:
        """Count what would go."""
        return sum(row.count for row in self.rows if row.released)

    @property
    def withheld(self) -> int:
        """Count what would stay."""
        return sum(row.count for row in self.rows if not row.released)


@dataclass(slots=True)
class HandedOver:
    """Object versions that a person hands over, and the verdicts on what stays.

    bodies: of what goes, by id. withheld: the verdict on each that stays.
    """

    bodies: dict[str, bytes]
    withheld: dict[str, Verdict]


class Share:
    """Hands objects to callers, each exactly its own release."""

    def __init__(self, node: Node) -> None:
        """Share what `node` holds."""
        self._node = node
        self._kept: OrderedDict[tuple[int, int, int], View] = OrderedDict()

    def offers(self, caller: Caller) -> list[Offer]:
        """List the collections that a caller may know of, in a stable order."""
        with self._node.db.read() as tx:
            offers = [
                self._offer(caller, each)
                for each in self._node.registry.collections(tx)
            ]
        return [offer for offer in offers if offer.can_read or offer.can_write]

    @staticmethod
    def _offer(caller: Caller, collection: Collection) -> Offer:
        can_write = reaches(caller.role, "writer") and collection.writable_by(
            caller.party
        )
        return Offer(collection, collection.readable_by(caller.party), can_write)

    def offer(self, caller: Caller, name: str) -> Offer:
        """Give one collection, by id or alias.

        Raises:
            NotFound: there is none, or the caller may not know of it.
        """
        with self._node.db.read() as tx:
            offer = self._offer(caller, self._node.registry.collection(tx, name))
        if not (offer.can_read or offer.can_write):
            raise NotFound(f"No collection is named {name!r}.")
        return offer

    def page(
        self,
        caller: Caller,
        collection: Collection,
        asked: Asked,
        *,
        way: str,
        request: str = "",
        receipt: bool = False,
    ) -> Page:
        """Read one page of bodies for a caller, and log it when it goes outside.

        Args:
            caller: who asks.
            collection: one that the caller may read.
            asked: the filters and the place.
            way: the door it leaves by, such as "taxii".
            request: the question as it was put, for the log.
            receipt: whether the caller wants a signed receipt for the page.

        Raises:
            Forbidden: the collection's rights do not let this caller read.
        """
        with self._node.db.read() as tx:
            epoch, view = self._view(tx, caller, collection)
            page = self._node.views.page(tx, view, asked)
            if page.count and not caller.own:
                given: dict[str, Any] = {}
                if receipt:
                    page, given = self._promise(caller, page, request)
                self._log(
                    tx,
                    caller,
                    collection,
                    way,
                    request,
                    page.objects,
                    epoch,
                    base=page.base,
                    **given,
                )
        return page

    def _promise(
        self, caller: Caller, page: Page, request: str
    ) -> tuple[Page, dict[str, Any]]:
        """Sign that a page becomes a leaf of the release log's tree.

        What goes out is hashed as it is: that takes the time of nothing else.
        """
        node, at = self._node, self._node.clock.now()
        promise = Receipt(
            at=at,
            by=at + int(node.config.ledger.promise_seconds * 1_000_000),
            count=len(set(page.objects)),
            node=node.config.node.member,
            nonce=secrets.token_hex(8),
            page=hashlib.sha256(page.bodies).hexdigest(),
            recipient=caller.party.name,
            request=request,
        )
        try:
            text = signed_text(promise, node.signer.jws)
        except ConfigError as fault:
            # Whoever cannot sign can still share; who asked sees that it got none.
            _told.error("no_receipt", fault=str(fault))
            return page, {}
        return replace(page, receipt=text), {"at": at, "receipt": promise.digest}

    def lines(
        self,
        caller: Caller,
        collection: Collection,
        asked: Asked,
        *,
        way: str,
        request: str = "",
    ) -> tuple[list[Line], int | None]:
        """Read one page of a manifest, and where to go on; logged the same.

        Returns:
            The lines, and the stamp to go on behind, None when there is no more.

        Raises:
            Forbidden: the collection's rights do not let this caller read.
        """
        with self._node.db.read() as tx:
            epoch, view = self._view(tx, caller, collection)
            lines, after = self._node.views.lines(tx, view, asked)
            if lines and not caller.own:
                stamps = [line.object for line in lines]
                self._log(tx, caller, collection, way, request, stamps, epoch)
        return lines, after

    def _view(self, tx: Tx, caller: Caller, collection: Collection) -> tuple[int, View]:
        if not collection.readable_by(caller.party):
            raise Forbidden(
                f"{caller.user} may not read collection {collection.alias!r}."
            )
        epoch = tx.epoch()
        key = (epoch, caller.party_number, collection.number)
        view = self._kept.get(key)
        if view is None:
            saved = self._node.registry.saved(tx, collection)
            view = self._node.views.view(tx, caller.party_number, saved)
            self._kept[key] = view
            while len(self._kept) > _VIEWS_KEPT:
                self._kept.popitem(last=False)
        return epoch, view

    def _log(
        self,
        tx: Tx,
        caller: Caller,
        collection: Collection,
        way: str,
        request: str,
        stamps: Sequence[int],
        epoch: int,
        **given: Any,
    ) -> None:
        self._node.ledger.record(
            tx,
            party=caller.party_number,
            actor=caller.user,
            way=way,
            purpose=caller.party.usual,
            collection=collection.number,
            request=request,
            stamps=stamps,
            epoch=epoch,
            **given,
        )

    def delete(self, caller: Caller, collection: Collection, asked: Asked) -> int:
        """Take versions of one object out of a box, as far as the caller sees them.

        Args:
            caller: who asks.
            collection: one that the caller may read and write.
            asked: the object, as its only id, and which versions of it.

        Returns:
            How many versions were taken out.

        Raises:
            Forbidden: the collection's rights do not let this caller do both.
        """
        if not self._offer(caller, collection).can_write:
            raise Forbidden(f"{caller.user} may not write to {collection.alias!r}.")
        (object_id,) = asked.ids
        with self._node.db.write() as tx:
            _, view = self._view(tx, caller, collection)
            lines, _ = self._node.views.lines(tx, view, replace(asked, limit=_AT_ONCE))
            if not lines:
                return 0
            return self._node.objects.delete(
                tx,
                object_id,
                box=collection.number,
                stamps={line.object for line in lines},
            )

    def news(self, caller: Caller, collection: Collection, after: int) -> bool:
        """Say whether a caller's view holds anything newer than a stamp."""
        with self._node.db.read() as tx:
            _, view = self._view(tx, caller, collection)
            return self._node.views.any_after(tx, view, after)

    def preview(self, parties: Sequence[str] = (), query: str = "") -> list[Preview]:
        """Work out who would get what, and why not the rest; nothing leaves.

        Args:
            parties: names; everyone but the node's own organisation when empty.
            query: only what a search for this text finds; everything when empty.

        Raises:
            NotFound: a party is not in the registry.
        """
        node = self._node
        with node.db.read() as tx:
            known = node.registry.parties(tx)
            chosen = [node.registry.party(tx, name) for name in parties] or [
                (number, party)
                for number, party in known.values()
                if party.name != node.audiences.own
            ]
            if query:
                found = node.search.find(tx, query, limit=10_000)
                counts: dict[int, int] = {}
                samples: dict[int, list[str]] = {}
                for one in found:
                    counts[one.marking_set] = counts.get(one.marking_set, 0) + 1
                    held = samples.setdefault(one.marking_set, [])
                    if len(held) < _SAMPLES:
                        held.append(one.id)
            else:
                counts = node.audiences.counts(tx)
                samples = {
                    number: [
                        row.id
                        for row in tx.rows(
                            "SELECT id FROM object WHERE slot = :slot "
                            "ORDER BY added DESC LIMIT :most",
                            slot=2 * number,
                            most=_SAMPLES,
                        )
                    ]
                    for number in counts
                }
            words = self._words(tx, counts)
            now = tx.clock.now()
            return [
                Preview(
                    party,
                    _rows(
                        node.audiences.verdicts(tx, number)
                        if party.active(now)
                        else dict.fromkeys(counts, ended(party)),
                        counts,
                        samples,
                        words,
                    ),
                )
                for number, party in chosen
            ]

    def _words(self, tx: Tx, numbers: Sequence[int] | dict[int, int]) -> dict[int, str]:
        known = self._node.audiences.known(tx)
        sets = self._node.audiences.sets(tx)
        return {number: in_words(sets[number], known) for number in numbers}

    def judge_rows(
        self, tx: Tx, party: str, owner: str, levels: Iterable[Tlp]
    ) -> dict[Tlp, Verdict]:
        """Judge whether event rows may go to a party by machine; nothing leaves.

        A row goes to nobody but the owner of the machine that it is about, whatever its
        level, so its owner is its audience. What is made for one party alone (`behalf`)
        is judged and released the same.

        Args:
            tx: any transaction.
            party: who would get the rows.
            owner: whose machines they are about.
            levels: how they are marked.

        Raises:
            NotFound: the party is not in the registry.
        """
        _, held = self._node.registry.party(tx, party)
        refusal = None
        if party != owner:
            # An audience that names us would admit our clients too.
            refusal = Verdict(
                False,
                "not-in-audience",
                f"rows about machines of {owner or 'nobody'}",
                f"rows about machines of {party}",
            )
        elif not held.active(tx.clock.now()):
            refusal = ended(held)
        if refusal is not None:
            return dict.fromkeys(levels, refusal)
        audiences = self._node.audiences
        marking = read_marking(make_audience(named=[owner]))
        return {
            level: judge(
                _of_rows(level, marking),
                {marking.id: marking},
                held,
                own=audiences.own,
                policy=audiences.policy,
                circles={},
            )
            for level in levels
        }

    def release_rows(
        self,
        tx: Tx,
        party: str,
        owner: str,
        levels: Mapping[Tlp, int],
        *,
        actor: str,
        way: str,
        request: str,
    ) -> None:
        """Let event rows go, and log it: nothing of them may leave before the commit.

        Args:
            tx: the transaction that decides it.
            party: who gets the rows.
            owner: whose machines they are about.
            levels: how many are marked with which level.
            actor: the user who sends them.
            way: the door they leave by, such as "mail".
            request: what they are, with the digest of what leaves.

        Raises:
            NotFound: the party is not in the registry.
            Forbidden: it may not have them; all or nothing.
        """
        verdicts = self.judge_rows(tx, party, owner, sorted(levels))
        for verdict in verdicts.values():
            if not verdict.released:
                raise Forbidden(f"The rows may not go to {party}: {verdict}.")
        number, held = self._node.registry.party(tx, party)
        marking = read_marking(make_audience(named=[owner]))
        self._node.ledger.record_rows(
            tx,
            party=number,
            actor=actor,
            way=way,
            purpose=held.usual,
            request=request,
            count=sum(levels.values()),
            verdicts={
                _of_rows(level, marking).key(): verdict
                for level, verdict in verdicts.items()
            },
        )

    def release_words(
        self, tx: Tx, caller: Caller, count: int, *, way: str, request: str
    ) -> None:
        """Log what is told a caller beside objects, before the commit lets it go."""
        self._node.ledger.record_rows(
            tx,
            party=caller.party_number,
            actor=caller.user,
            way=way,
            purpose=caller.party.usual,
            request=request,
            count=count,
            verdicts={},
        )

    def hand_over(
        self,
        party: str,
        ids: Iterable[str],
        *,
        purpose: Purpose | None,
        case: str,
        actor: str,
        look: bool = False,
        way: str = HANDOVER,
        by: Way = Way.PERSON,
    ) -> HandedOver:
        """Hand the newest versions of objects to a party by hand, and log it.

        Args:
            party: who gets them.
            ids: of the objects.
            purpose: what for; None: the usual purpose of the party.
            case: what they belong to there, for the log.
            actor: the person who hands them over.
            look: only say what would go; nothing leaves and nothing is logged.
            way: the door they leave by.
            by: whether a machine chose them, which is given no TLP:RED.

        Raises:
            NotFound: no such party, or no such object.
        """
        node = self._node
        audiences = node.audiences
        handed = HandedOver({}, {})
        with node.db.read() as tx:
            number, held = node.registry.party(tx, party)
            known, circles = audiences.known(tx), audiences.circles(tx)
            verdicts: dict[str, Verdict] = {}
            stamps = []
            for object_id in dict.fromkeys(ids):
                found = node.search.versions(tx, object_id, hidden=True)
                if not found:
                    raise NotFound(f"No object is named {object_id!r}.")
                marked = audiences.set_of(tx, found[-1].marking_set)
                verdict = judge(
                    marked,
                    known,
                    held,
                    own=audiences.own,
                    policy=audiences.policy,
                    circles=circles,
                    by=by,
                    purpose=purpose,
                )
                if not held.active(tx.clock.now()):
                    verdict = ended(held)
                if not verdict.released:
                    handed.withheld[object_id] = verdict
                    continue
                handed.bodies[object_id] = found[-1].body
                verdicts[marked.key()] = verdict
                stamps.append(found[-1].added)
            if stamps and not look:
                node.ledger.record(
                    tx,
                    party=number,
                    actor=actor,
                    way=way,
                    purpose=purpose or held.usual,
                    collection=0,
                    request=f"case {case}",
                    stamps=stamps,
                    epoch=tx.epoch(),
                    verdicts=verdicts,
                )
        return handed

    def who_got(self, found: Found) -> list[Released]:
        """Tell every release of one object version, oldest first."""
        with self._node.db.read() as tx:
            return self._node.ledger.of_object(tx, found.added, found.marking_set)

    def marking(self, found: Found) -> str:
        """Say in words what a version is marked with, as this node handles it."""
        with self._node.db.read() as tx:
            return self._words(tx, [found.marking_set])[found.marking_set]


def _of_rows(level: Tlp, audience: Marking) -> MarkingSet:
    return MarkingSet(refs=tuple(sorted((TLP_2_IDS[level], audience.id))))


def _rows(
    verdicts: dict[int, Verdict],
    counts: dict[int, int],
    samples: dict[int, list[str]],
    words: dict[int, str],
) -> list[Row]:
    rows = []
    for number, count in counts.items():
        verdict = verdicts.get(number)
        if verdict is None:
            # Fail closed: what was never judged is not released.
            verdict = Verdict(False, "not-judged", "no verdict", "a verdict")
        rows.append(
            Row(
                verdict.released,
                verdict.rule,
                verdict.got,
                verdict.expected,
                words[number],
                count,
                samples[number],
            )
        )
    return sorted(rows, key=lambda row: (not row.released, -row.count))
