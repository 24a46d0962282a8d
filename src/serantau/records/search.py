"""Finding objects by id, observable value, text in any script, and by neighbours."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from serantau.records.database import Tx
from serantau.records.objects import digest_of, searchable, strings_in
from serantau.records.recalls import HIDDEN, recalled_of
from serantau.rules.level import Recalled
from serantau.rules.stix import Reader, Refused, id_key
from serantau.rules.text import find_values, fold, refang

_TRIGRAM = 3
_CANDIDATES = 20_000
# References to an object that are looked at: everything refers to some identities.
_REFERENCES = 2_000


@dataclass(frozen=True, slots=True)
class Found:
    """An object version: its stamp, id, version text, marking set, source and body.

    recalled: by its creator, and what is done with it here.
    """

    added: int
    id: str
    version: str
    type: str
    marking_set: int
    superseded: bool
    source: str
    body: bytes
    recalled: Recalled = Recalled.NO


_FOUND = (
    "SELECT o.added, o.id, o.version, w.text AS type, o.slot, s.text AS source, "
    "o.body, m.key AS marked FROM object o JOIN word w ON w.n = o.type "
    "JOIN word s ON s.n = o.source JOIN marking_set m ON m.n = o.slot / 2 "
)


class Search:
    """Looks through the whole store; only the own organisation may ask it.

    What was recalled and is hidden here is not found.

    With SQLite the texts are not kept, only their trigrams: what these find is compared
    with the text that `reader` makes of the body, as when it was stored.
    """

    def __init__(self, reader: Reader) -> None:
        """Make the texts of bodies by `reader`."""
        self._reader = reader

    def versions(self, tx: Tx, object_id: str, *, hidden: bool = False) -> list[Found]:
        """Give every version of an object, oldest first; with `hidden` really all."""
        rows = tx.rows(
            _FOUND + "WHERE o.key = :key ORDER BY o.modified", key=id_key(object_id)
        )
        found = [_found(row) for row in rows if row.id == object_id]
        return [one for one in found if hidden or one.recalled is not Recalled.HIDDEN]

    @staticmethod
    def newest_of(tx: Tx, ids: Collection[str]) -> dict[str, Found]:
        """Give the newest versions of objects by id, of those that are to be seen."""
        rows = tx.rows(
            _FOUND + "WHERE " + tx.among("o.key", "keys") + " AND o.slot % 2 = 0 "
            f"AND o.slot NOT IN {HIDDEN}",
            keys=tx.array({id_key(one) for one in ids}),
        )  # fmt: skip
        return {row.id: _found(row) for row in rows if row.id in ids}

    def at(self, tx: Tx, stamps: Sequence[int]) -> list[Found]:
        """Give the versions with these stamps, in order of stamp."""
        rows = tx.rows(
            _FOUND + "WHERE " + tx.among("o.added", "stamps") + " ORDER BY o.added",
            stamps=tx.array(stamps),
        )
        return [_found(row) for row in rows]

    def find(
        self, tx: Tx, text: str, *, limit: int = 50, sets: frozenset[int] | None = None
    ) -> list[Found]:
        """Find the newest versions that hold `text`, newest first.

        An id is found as such; an address, name, hash or URL also where it was written
        defanged; anything else as a part of a text, without regard to case, and without
        needing spaces between words. With SQLite a text of one or two letters is looked
        for in the newest twenty thousand objects only.

        Args:
            tx: any transaction.
            text: what a person typed.
            limit: how many at most.
            sets: only these marking sets; all when None.
        """
        text = searchable(text.encode("utf-8", "replace").decode()).strip()
        if not text:
            return []
        slots = f" AND o.slot % 2 = 0 AND o.slot NOT IN {HIDDEN}"
        if sets is not None:
            listed = ", ".join(str(2 * number) for number in sorted(sets)) or "-1"
            slots = f" AND o.slot IN ({listed}) AND o.slot NOT IN {HIDDEN}"
        seen = dict.fromkeys(self._by_id(tx, text, slots))
        if not seen:
            seen.update(dict.fromkeys(self._by_value(tx, text, slots, limit)))
        if len(seen) < limit:
            seen.update(dict.fromkeys(self._by_text(tx, text, slots, limit)))
        chosen = list(seen)[:limit]
        found = {one.added: one for one in self.at(tx, chosen)}
        return [found[stamp] for stamp in chosen]

    @staticmethod
    def _by_id(tx: Tx, text: str, slots: str) -> list[int]:
        kind, separator, _ = text.partition("--")
        if not separator or not kind:
            return []
        rows = tx.rows(
            "SELECT o.added FROM object o WHERE o.key = :key AND o.id = :id" + slots,
            key=id_key(text),
            id=text,
        )
        return [int(row.added) for row in rows]

    @staticmethod
    def _by_value(tx: Tx, text: str, slots: str, limit: int) -> list[int]:
        digests = {digest_of(kind, value) for kind, value in find_values(text)}
        if not digests:
            return []
        rows = tx.rows(
            "SELECT DISTINCT v.object FROM value v "
            "JOIN object o ON o.added = v.object WHERE "
            + tx.among("v.digest", "digests")
            + slots
            + " ORDER BY v.object DESC LIMIT :limit",
            digests=tx.array(digests),
            limit=limit,
        )
        return [int(row.object) for row in rows]

    def _by_text(self, tx: Tx, text: str, slots: str, limit: int) -> list[int]:
        wanted, plain = fold(text), fold(refang(text))
        found = self._containing(tx, wanted, slots, limit)
        if plain != wanted:
            also = self._containing(tx, plain, slots, limit)
            found = sorted({*found, *also}, reverse=True)
        return found

    def _containing(self, tx: Tx, wanted: str, slots: str, limit: int) -> list[int]:
        if not wanted:
            return []
        if not tx.lite:
            rows = tx.rows(
                "SELECT t.added FROM object_text t JOIN object o ON o.added = t.added "
                "WHERE t.text LIKE :like"
                + slots
                + " ORDER BY t.added DESC LIMIT :most",
                like=like(wanted),
                most=limit,
            )
            return [int(row.added) for row in rows]
        found: list[int] = []
        for row in self._candidates(tx, wanted, slots):
            if self.holds(bytes(row.body), wanted):
                found.append(int(row.added))
                if len(found) == limit:
                    break
        return found

    @staticmethod
    def _candidates(tx: Tx, wanted: str, slots: str) -> Iterator[Any]:
        """Give what could hold a text: all of its trigrams, in whatever order."""
        query = trigrams(wanted)
        if not query:
            return tx.stream(
                "SELECT o.added, o.body FROM object o WHERE TRUE"
                + slots
                + " ORDER BY o.added DESC LIMIT :most",
                most=_CANDIDATES,
            )
        return tx.stream(
            "SELECT t.rowid AS added, o.body FROM object_text t "
            "JOIN object o ON o.added = t.rowid WHERE object_text MATCH :query"
            + slots
            + " ORDER BY t.rowid DESC LIMIT :most",
            query=query,
            most=_CANDIDATES,
        )

    def holds(self, body: bytes, wanted: str) -> bool:
        """Say whether a folded text is part of what an object says."""
        return wanted in self._text(body)

    def _text(self, body: bytes) -> str:
        try:
            return searchable(self._reader.read(body).text)
        except Refused:
            # Stored under other limits, or by a program that checked less.
            return searchable(fold("\n".join(strings_in(orjson.loads(body)))))

    @staticmethod
    def neighbours(
        tx: Tx, object_id: str, limit: int = 200
    ) -> list[tuple[str, str, str]]:
        """Give what refers to an object: (id, type, kind of reference).

        Of an object that everything refers to it is some.
        """
        rows = tx.rows(
            "SELECT o.id, w.text AS type, k.text AS kind FROM "
            "(SELECT kind, source FROM edge WHERE target = :key LIMIT :most) e "
            "JOIN object o ON o.added = e.source JOIN word w ON w.n = o.type "
            "JOIN word k ON k.n = e.kind WHERE o.slot % 2 = 0 "
            f"AND o.slot NOT IN {HIDDEN} ORDER BY o.added LIMIT :limit",
            key=id_key(object_id),
            limit=limit,
            most=_REFERENCES,
        )
        return [(row.id, row.type, row.kind) for row in rows]

    @staticmethod
    def sightings(tx: Tx, object_id: str, limit: int) -> list[bytes]:
        """Give the bodies of the newest sightings of an object, newest first."""
        rows = tx.rows(
            "SELECT o.body FROM (SELECT source FROM edge WHERE target = :key "
            "AND kind = (SELECT n FROM word WHERE text = 'sighting_of_ref') "
            "ORDER BY source DESC LIMIT :most) e JOIN object o ON o.added = e.source "
            f"WHERE o.slot % 2 = 0 AND o.slot NOT IN {HIDDEN} "
            "ORDER BY o.added DESC LIMIT :limit",
            key=id_key(object_id),
            most=_REFERENCES,
            limit=limit,
        )
        return [bytes(row.body) for row in rows]


def trigrams(wanted: str) -> str:
    """Give what asks SQLite's full-text table for a text; empty: it is too short."""
    grams = dict.fromkeys(
        wanted[at : at + _TRIGRAM] for at in range(len(wanted) - _TRIGRAM + 1)
    )
    return " AND ".join('"' + gram.replace('"', '""') + '"' for gram in grams)


def like(text: str) -> str:
    """Give what asks PostgreSQL for a text that has another as its part."""
    return f"%{_like(text)}%"


def _like(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _found(row: Any) -> Found:
    return Found(
        added=int(row.added),
        id=row.id,
        version=row.version,
        type=row.type,
        marking_set=int(row.slot) // 2,
        superseded=bool(row.slot % 2),
        source=row.source,
        body=bytes(row.body),
        recalled=recalled_of(row.marked),
    )
