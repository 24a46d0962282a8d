"""What contact cards say, kept from one reading to the next.

The same bytes always say the same, so nothing here grows old: a card is known by the
digest of its bytes, and how its signature stands by its creator's keys and by when it
came too. Whose creator is, who believes a card and who sees it is asked each time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import orjson

from serantau.clock import instant
from serantau.records.cards import Cards
from serantau.records.database import Tx
from serantau.records.search import Found
from serantau.rules.card import Card, is_card, read_card
from serantau.rules.key import Key
from serantau.rules.signature import Standing, examine
from serantau.rules.trust import Keyring

_MOST: Final = 32 << 20


@dataclass(frozen=True, slots=True)
class CardRead:
    """A card as its bytes say it, of which there are `size`.

    keys, added: its creator's keys, and when it came, by which `signature` was found.
    """

    digest: bytes
    size: int
    card: Card
    faults: tuple[str, ...]
    creator: str
    refs: tuple[str, ...]
    created: int
    modified: int
    keys: tuple[Key, ...]
    added: int
    signature: Standing


class CardMemory:
    """The cards that were here when all were read last. Any thread may ask."""

    def __init__(self, most: int = _MOST) -> None:
        """Keep cards of `most` bytes together."""
        self._most = most
        self._known: dict[str, CardRead] = {}
        self._ids: dict[None, tuple[int, frozenset[str]]] = {}

    def __len__(self) -> int:
        """Count the cards that are kept."""
        return len(self._known)

    def ids(self, tx: Tx) -> frozenset[str]:
        """Give the ids of all objects that may be, or were, cards.

        Only what came since they were asked for last is looked through: no version of
        an object becomes a card later.
        """
        after, ids = tx.recall(self._ids, None) or (0, frozenset())
        last = int(tx.value("SELECT last FROM stamp"))
        if last > after:
            ids = ids.union(Cards().ids(tx, after))
            tx.note(self._ids, None, (last, ids))
        return ids

    def read(self, found: Found, ring: Keyring) -> CardRead | None:
        """Read a card; None for what is none, or is no more."""
        digest = hashlib.sha256(found.body).digest()
        known = self._known.get(found.id)
        if (
            known is not None
            and known.digest == digest
            and known.added == found.added
            and known.keys == ring.keys.get(known.creator, ())
        ):
            return known
        data = orjson.loads(found.body)
        if not is_card(data) or data.get("revoked"):
            return None
        card, faults = read_card(data)
        creator = str(data.get("created_by_ref", ""))
        modified = instant(data["modified"])
        return CardRead(
            digest=digest,
            size=len(found.body),
            card=card,
            faults=tuple(faults),
            creator=creator,
            refs=tuple(data.get("object_marking_refs", ())),
            created=instant(data["created"]),
            modified=modified,
            keys=ring.keys.get(creator, ()),
            added=found.added,
            signature=examine(data, ring.keys, found.added, modified=modified).standing,
        )

    def keep(self, cards: Iterable[CardRead]) -> None:
        """Keep these, as many as there is room for, and no other."""
        kept, size = {}, 0
        for one in cards:
            size += one.size
            if size > self._most:
                break
            kept[one.card.id] = one
        self._known = kept

    def forget(self, object_id: str) -> None:
        """Keep nothing of a card."""
        self._known.pop(object_id, None)
