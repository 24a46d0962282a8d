"""Finding objects by id, by observable value, by text in any script, and by neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from serantau.records.audiences import Audiences
from serantau.records.database import Tx
from serantau.records.objects import digest_of
from serantau.rules.stix import id_key
from serantau.rules.text import find_values, fold, refang

_TRIGRAM = 3
_CANDIDATES = 20_000


@dataclass(frozen=True, slots=True)
class Found:
    """An object version: its stamp, id, version text, marking set, source and body."""

    added: int
    id: str
    version: str
    type: str
    marking_set: int
    superseded: bool
    source: str
    body: bytes


_FOUND = (
    "SELECT o.added, o.id, o.version, w.text AS type, o.slot, s.text AS source, o.body "
    "FROM object o JOIN word w ON w.n = o.type JOIN word s ON s.n = o.source "
)


class Search:
    """Looks through the whole store; what an outsider may see of it, `desk.share` says."""

    def __init__(self, audiences: Audiences) -> None:
        """Read marking sets through `audiences`."""
        self._audiences = audiences

    def versions(self, tx: Tx, object_id: str) -> list[Found]:
        """Give every version of an object, oldest first."""
        rows = tx.rows(
            _FOUND + "WHERE o.key = :key ORDER BY o.modified", key=id_key(object_id)
        )
        return [_found(row) for row in rows if row.id == object_id]

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
        needing spaces between words.

        Args:
            tx: any transaction.
            text: what a person typed.
            limit: how many at most.
            sets: only these marking sets; all when None.
        """
        text = text.strip()
        if not text:
            return []
        stamps = self._by_id(tx, text) or self._by_value(tx, text, limit * 4)
        seen = dict.fromkeys(stamps)
        if len(seen) < limit:
            for stamp in self._by_text(tx, text, limit * 4):
                seen.setdefault(stamp)
        found = [
            one
            for one in self.at(tx, list(seen))
            if not one.superseded and (sets is None or one.marking_set in sets)
        ]
        order = {stamp: place for place, stamp in enumerate(seen)}
        found.sort(key=lambda one: order[one.added])
        return found[:limit]

    @staticmethod
    def _by_id(tx: Tx, text: str) -> list[int]:
        kind, separator, _ = text.partition("--")
        if not separator or not kind:
            return []
        rows = tx.rows(
            "SELECT added FROM object WHERE key = :key AND id = :id",
            key=id_key(text),
            id=text,
        )
        return [int(row.added) for row in rows]

    @staticmethod
    def _by_value(tx: Tx, text: str, limit: int) -> list[int]:
        digests = {digest_of(kind, value) for kind, value in find_values(text)}
        if not digests:
            return []
        rows = tx.rows(
            "SELECT DISTINCT v.object FROM value v JOIN object o ON o.added = v.object WHERE "
            + tx.among("v.digest", "digests")
            + " AND o.slot % 2 = 0 ORDER BY v.object DESC LIMIT :limit",
            digests=tx.array(digests),
            limit=limit,
        )
        return [int(row.object) for row in rows]

    def _by_text(self, tx: Tx, text: str, limit: int) -> list[int]:
        wanted = fold(text)
        found = self._containing(tx, wanted, limit)
        plain = fold(refang(text))
        if plain != wanted:
            found += [
                at for at in self._containing(tx, plain, limit) if at not in found
            ]
        return found

    def _containing(self, tx: Tx, wanted: str, limit: int) -> list[int]:
        if not tx.lite:
            rows = tx.rows(
                "SELECT added FROM object_text WHERE text LIKE :like "
                "ORDER BY added DESC LIMIT :limit",
                like=f"%{_like(wanted)}%",
                limit=limit,
            )
            return [int(row.added) for row in rows]
        if len(wanted) < _TRIGRAM:
            # Too short for trigrams: look through the bodies, newest first.
            rows = tx.rows(
                "SELECT added, body FROM object WHERE CAST(body AS TEXT) LIKE :like "
                "ESCAPE '\\' AND slot % 2 = 0 ORDER BY added DESC LIMIT :limit",
                like=f"%{_like(wanted)}%",
                limit=limit,
            )
            return [int(row.added) for row in rows]
        grams = dict.fromkeys(
            wanted[at : at + _TRIGRAM] for at in range(len(wanted) - _TRIGRAM + 1)
        )
        query = " AND ".join('"' + gram.replace('"', '""') + '"' for gram in grams)
        found: list[int] = []
        rows = tx.stream(
            "SELECT t.rowid AS added, o.body FROM object_text t "
            "JOIN object o ON o.added = t.rowid WHERE object_text MATCH :query "
            "AND o.slot % 2 = 0 ORDER BY t.rowid DESC LIMIT :most",
            query=query,
            most=_CANDIDATES,
        )
        for row in rows:
            # Trigrams in any order are only candidates.
            if wanted in _text(orjson.loads(bytes(row.body))):
                found.append(int(row.added))
                if len(found) == limit:
                    break
        return found

    @staticmethod
    def neighbours(
        tx: Tx, object_id: str, limit: int = 200
    ) -> list[tuple[str, str, str]]:
        """Give what refers to an object: (id, type, kind of reference)."""
        rows = tx.rows(
            "SELECT o.id, w.text AS type, k.text AS kind FROM edge e "
            "JOIN object o ON o.added = e.source JOIN word w ON w.n = o.type "
            "JOIN word k ON k.n = e.kind WHERE e.target = :key AND o.slot % 2 = 0 "
            "ORDER BY o.added LIMIT :limit",
            key=id_key(object_id),
            limit=limit,
        )
        return [(row.id, row.type, row.kind) for row in rows]


def _text(value: Any) -> str:
    """Fold every text in a JSON value, one a line."""
    found: list[str] = []
    open_: list[Any] = [value]
    while open_:
        one = open_.pop()
        if isinstance(one, str):
            found.append(one)
        elif isinstance(one, dict):
            open_ += one.values()
        elif isinstance(one, list):
            open_ += one
    return fold("\n".join(found))


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
    )
