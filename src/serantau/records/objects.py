"""Object versions: admitted once, kept as they came, found by id.

A version is (id, modified). Its row is numbered by its stamp. What a version is marked
with is joined with the markings of all later versions, so that a later narrowing holds
for everything before it; a later widening frees nothing that was not free before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from serantau.clock import taxii_text
from serantau.records import tables
from serantau.records.audiences import Audiences
from serantau.records.database import Tx
from serantau.rules.marking import MarkingSet, Tlp, definition_of, read_marking
from serantau.rules.stix import ObjectVersion, id_key

Handling = Callable[[ObjectVersion], Tlp]

_OBJECT = tuple(column.name for column in tables.object_.columns)
_ENTRY = ("added", "scope", "slot", "type", "object")


@dataclass(slots=True)
class Refusal:
    """A version that was not admitted: which, by what rule, and what it got."""

    version: ObjectVersion
    rule: str
    got: str
    expected: str


@dataclass(slots=True)
class Admission:
    """What became of a batch. `held` were here already, to the last byte of meaning."""

    new: list[ObjectVersion] = field(default_factory=list)
    held: list[ObjectVersion] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    first: int = 0
    last: int = 0


@dataclass(slots=True)
class _Held:
    """A version that is in the store, or about to be."""

    added: int
    key: int
    modified: int
    slot: int
    own_set: int
    type: int


def digest_of(kind: str, value: str) -> int:
    """Give the 64-bit digest under which a normalised value is stored."""
    return id_key(f"{kind}:{value}")


class Objects:
    """The store's object versions. Rooms above hand in transactions."""

    def __init__(self, audiences: Audiences) -> None:
        """Admit under the release rules that `audiences` knows."""
        self._audiences = audiences

    def admit(
        self,
        tx: Tx,
        versions: Sequence[ObjectVersion],
        *,
        source: str,
        handling: Handling,
        boxes: Sequence[int] = (),
    ) -> Admission:
        """Take in checked versions, each once, and put them into `boxes`.

        Args:
            tx: a write transaction.
            versions: as `rules.stix.Reader` gave them; stored in this order.
            source: who brought them: a peer's or user's name, or "file".
            handling: the TLP level under which an unmarked version is handled.
            boxes: numbers of box collections.
        """
        result = Admission()
        fresh = self._sift(tx, versions, result)
        if fresh:
            self._store(tx, fresh, source, handling, result)
        if boxes:
            self._join(tx, [*result.new, *result.held], boxes)
        return result

    def _sift(
        self, tx: Tx, versions: Sequence[ObjectVersion], result: Admission
    ) -> list[ObjectVersion]:
        """Part what is new from what is here and from what contradicts it."""
        keys = tx.array({version.key for version in versions})
        known = {
            (row.key, row.modified): row
            for row in tx.rows(
                "SELECT key, modified, added, id FROM object WHERE "
                + tx.among("key", "keys"),
                keys=keys,
            )
        }
        fresh: dict[tuple[int, int], ObjectVersion] = {}
        same: list[tuple[ObjectVersion, Any]] = []
        for version in versions:
            at = (version.key, version.modified)
            if at in known:
                same.append((version, known[at]))
            elif at in fresh:
                self._compare(version, fresh[at].id, fresh[at].body, result)
            else:
                fresh[at] = version
        if same:
            bodies = {
                row.added: bytes(row.body)
                for row in tx.rows(
                    "SELECT added, body FROM object WHERE " + tx.among("added", "at"),
                    at=tx.array({row.added for _, row in same}),
                )
            }
            for version, row in same:
                self._compare(version, row.id, bodies[row.added], result)
        return list(fresh.values())

    @staticmethod
    def _compare(
        version: ObjectVersion, held_id: str, held: bytes, result: Admission
    ) -> None:
        if held_id != version.id:
            result.refused.append(
                Refusal(
                    version, "id-collides", version.id, f"a digest unlike {held_id}'s"
                )
            )
        elif held == version.body or orjson.loads(held) == orjson.loads(version.body):
            result.held.append(version)
        elif version.unversioned:
            result.refused.append(
                Refusal(
                    version,
                    "differs-from-held",
                    "other properties under the same id",
                    "the properties this node already holds; an object without "
                    "`modified` has no second version",
                )
            )
        else:
            # STIX 2.1 §3.6: every representation of (id, modified) is identical.
            result.refused.append(
                Refusal(
                    version,
                    "same-version-differs",
                    f"other content for modified {version.version}",
                    "the content this node already holds, or a later `modified`",
                )
            )

    def _store(
        self,
        tx: Tx,
        fresh: list[ObjectVersion],
        source: str,
        handling: Handling,
        result: Admission,
    ) -> None:
        audiences = self._audiences
        types = audiences.words(tx, {version.type for version in fresh} | {source})
        kinds = audiences.words(
            tx,
            {kind for version in fresh for kind, _ in version.edges},
        )
        sets = self._sets(tx, fresh, handling)
        first = tx.stamps(len(fresh))
        rows: list[_Held] = [
            _Held(
                at,
                version.key,
                version.modified,
                2 * number,
                number,
                types[version.type],
            )
            for at, version, number in zip(
                range(first, first + len(fresh)), fresh, sets, strict=True
            )
        ]
        self._order(tx, rows)
        came = types[source]
        tx.insert_many(
            tables.object_,
            _OBJECT,
            [
                (
                    row.added,
                    row.key,
                    row.modified,
                    row.slot,
                    row.type,
                    came,
                    version.id,
                    version.version or taxii_text(row.added),
                    row.own_set,
                    version.body,
                )
                for row, version in zip(rows, fresh, strict=True)
            ],
        )
        self._index(tx, rows, fresh, kinds)
        result.new, result.first, result.last = fresh, first, first + len(fresh) - 1
        if any(version.type == "marking-definition" for version in fresh):
            audiences.refresh(tx)

    def _sets(
        self, tx: Tx, fresh: list[ObjectVersion], handling: Handling
    ) -> list[int]:
        """Give the number of each version's marking set; most are alike."""
        known: dict[object, int] = {}
        numbers = []
        arriving = {
            version.id: read_marking(version.data)
            for version in fresh
            if version.type == "marking-definition"
        }
        for version in fresh:
            handled = None if version.has_tlp else handling(version)
            definition = ""
            if version.type == "marking-definition":
                definition = definition_of(version.data)
            alike = (
                version.marking_refs,
                version.granular_refs,
                handled,
                version.redacted,
                definition,
            )
            number = known.get(alike)
            if number is None:
                number = known[alike] = self._audiences.set_number(
                    tx, MarkingSet(*alike), arriving
                )
            numbers.append(number)
        return numbers

    def _order(self, tx: Tx, rows: list[_Held]) -> None:
        """Set the slots of `rows` and of their other versions in the store."""
        versions: dict[int, list[_Held]] = {}
        for row in rows:
            versions.setdefault(row.key, []).append(row)
        new = {row.added for row in rows}
        held = [
            _Held(*row)
            for row in tx.rows(
                "SELECT added, key, modified, slot, own_set, type FROM object WHERE "
                + tx.among("key", "keys"),
                keys=tx.array(versions),
            )
        ]
        for row in held:
            versions[row.key].append(row)
        moved: list[_Held] = []
        for several in versions.values():
            if len(several) == 1:
                continue
            before = {row.added: row.slot for row in several}
            self._slots(tx, several)
            moved += [
                row
                for row in several
                if row.added not in new and row.slot != before[row.added]
            ]
        for row in moved:
            self._move(tx, row.added, row.slot)
        if held:
            self._follow(tx, rows, {row.key for row in held})

    def _slots(self, tx: Tx, several: list[_Held]) -> None:
        """Work out the slots of all versions of one object, newest first."""
        several.sort(key=lambda row: row.modified, reverse=True)
        audiences = self._audiences
        joined = several[0].own_set
        for place, row in enumerate(several):
            if row.own_set != joined:
                joined = audiences.joined_number(tx, joined, row.own_set)
            row.slot = 2 * joined + (1 if place else 0)

    @staticmethod
    def _move(tx: Tx, added: int, slot: int) -> None:
        tx.run(
            "UPDATE object SET slot = :slot WHERE added = :added",
            slot=slot,
            added=added,
        )
        tx.run(
            "UPDATE entry SET slot = :slot WHERE object = :added",
            slot=slot,
            added=added,
        )

    def _follow(self, tx: Tx, rows: list[_Held], keys: set[int]) -> None:
        """Put new versions into the boxes that hold another version of the object."""
        boxed = tx.rows(
            "SELECT DISTINCT o.key, e.scope FROM object o JOIN entry e ON "
            "e.object = o.added JOIN scope s ON s.n = e.scope WHERE s.party = 0 AND "
            + tx.among("o.key", "keys"),
            keys=tx.array(keys),
        )
        by_key: dict[int, list[int]] = {}
        for key, scope in boxed:
            by_key.setdefault(key, []).append(scope)
        self._enter(
            tx,
            [(scope, row) for row in rows for scope in by_key.get(row.key, ())],
        )

    @staticmethod
    def _enter(tx: Tx, members: Sequence[tuple[int, _Held]]) -> None:
        if not members:
            return
        first = tx.stamps(len(members))
        tx.insert_many(
            tables.entry,
            _ENTRY,
            [
                (first + place, scope, row.slot, row.type, row.added)
                for place, (scope, row) in enumerate(members)
            ],
        )

    def _index(
        self,
        tx: Tx,
        rows: list[_Held],
        fresh: list[ObjectVersion],
        kinds: dict[str, int],
    ) -> None:
        """Write edges, values and searched text; sorted, so that pages fill."""
        edges: set[tuple[int, int, int]] = set()
        values: set[tuple[int, int]] = set()
        texts: list[tuple[int, str]] = []
        for row, version in zip(rows, fresh, strict=True):
            for kind, target in version.edges:
                edges.add((id_key(target), kinds[kind], row.added))
            for kind, text in version.values:
                values.add((digest_of(kind, text), row.added))
            if version.text:
                texts.append((row.added, version.text))
        tx.insert_new(tables.edge, ("target", "kind", "source"), sorted(edges))
        tx.insert_new(tables.value, ("digest", "object"), sorted(values))
        tx.insert_texts(texts)

    def _join(
        self, tx: Tx, versions: Iterable[ObjectVersion], boxes: Sequence[int]
    ) -> None:
        """Put versions, and every other version of their objects, into boxes."""
        keys = tx.array({version.key for version in versions})
        for box in boxes:
            scope = self._audiences.scope(tx, box, 0)
            rows = tx.rows(
                "SELECT added, key, modified, slot, own_set, type FROM object o WHERE "
                + tx.among("key", "keys")
                + " AND NOT EXISTS (SELECT 1 FROM entry e WHERE e.object = o.added "
                "AND e.scope = :scope) ORDER BY added",
                keys=keys,
                scope=scope,
            )
            self._enter(tx, [(scope, _Held(*row)) for row in rows])

    def delete(
        self, tx: Tx, object_id: str, *, box: int = 0, modified: Sequence[int] = ()
    ) -> int:
        """Take an object's versions out of a box, or (box 0) out of the store.

        What leaves a box and is in no other, and came in through one, leaves the store.

        Args:
            tx: a write transaction.
            object_id: the STIX id.
            box: the box's number, 0 for the whole store.
            modified: only these versions, as instants; all when empty.

        Returns:
            How many versions were taken out.
        """
        rows = [
            _Held(*row)
            for row in tx.rows(
                "SELECT added, key, modified, slot, own_set, type FROM object "
                "WHERE key = :key",
                key=id_key(object_id),
            )
        ]
        chosen = [row for row in rows if not modified or row.modified in modified]
        if box:
            chosen = self._unbox(tx, chosen, box)
        gone = [row for row in chosen if not box or not self._elsewhere(tx, row)]
        for row in gone:
            self._erase(tx, row)
        rest = [row for row in rows if row not in gone]
        if gone and rest:
            before = {row.added: row.slot for row in rest}
            self._slots(tx, rest)
            for row in rest:
                if row.slot != before[row.added]:
                    self._move(tx, row.added, row.slot)
        return len(chosen)

    def _unbox(self, tx: Tx, rows: list[_Held], box: int) -> list[_Held]:
        scopes = tx.array(
            row.n
            for row in tx.rows("SELECT n FROM scope WHERE collection = :box", box=box)
        )
        sql = "DELETE FROM entry WHERE object = :added AND " + tx.among(
            "scope", "scopes"
        )
        return [row for row in rows if tx.run(sql, added=row.added, scopes=scopes)]

    @staticmethod
    def _elsewhere(tx: Tx, row: _Held) -> bool:
        """Say whether a version is in a box, or came in other than through one."""
        if tx.row(
            "SELECT 1 FROM entry e JOIN scope s ON s.n = e.scope "
            "WHERE e.object = :added AND s.collection <> 0",
            added=row.added,
        ):
            return True
        source = tx.value(
            "SELECT w.text FROM object o JOIN word w ON w.n = o.source "
            "WHERE o.added = :added",
            added=row.added,
        )
        return not str(source).startswith("user:")

    @staticmethod
    def _erase(tx: Tx, row: _Held) -> None:
        for sql in (
            "DELETE FROM entry WHERE object = :added",
            "DELETE FROM value WHERE object = :added",
            "DELETE FROM object WHERE added = :added",
        ):
            tx.run(sql, added=row.added)
        if not tx.lite:
            tx.run("DELETE FROM object_text WHERE added = :added", added=row.added)
