"""Object versions: admitted once, kept as they came, found by id.

A version is (id, modified). Its row is numbered by its stamp. What a version is marked
with is joined with the markings of all later versions, so that a later narrowing holds
for everything before it; a later widening frees nothing that was not free before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from serantau.clock import taxii_text
from serantau.records import definitions, tables
from serantau.records.admission import (
    Admission,
    alike,
    compare,
    of_others,
)
from serantau.records.audiences import Audiences
from serantau.records.database import Tx
from serantau.records.recalls import Cover, Recalls
from serantau.rules.marking import (
    MarkingSet,
    Recalled,
    Tlp,
    definition_of,
    read_marking,
)
from serantau.rules.stix import ObjectVersion, id_key

Handling = Callable[[ObjectVersion], Tlp]

_OBJECT = tuple(column.name for column in tables.object_.columns)
_WORD_LENGTH = 250
_HELD = "added, key, modified, slot, own_set, type, id, prior"
_ENTRY = ("added", "scope", "slot", "type", "object")

_GONE = "objects-gone"
# What `prior` says of a version's object: nothing of it is earlier, a version of the
# same marking set is, or versions of others only.
_NOTHING, _SAME, _OTHERS = range(3)


@dataclass(slots=True)
class _Held:
    """A version that is in the store, or about to be."""

    added: int
    key: int
    modified: int
    slot: int
    own_set: int
    type: int
    id: str
    prior: int = 0
    before: int = 0


def digest_of(kind: str, value: str) -> int:
    """Give the 64-bit digest under which a normalised value is stored."""
    return id_key(f"{kind}:{value}")


def searchable(text: str) -> str:
    """Give a text as it is searched: PostgreSQL takes no NUL."""
    return text.replace("\x00", " ")


def _word(kind: str) -> str:
    # A custom property's name may be as long and as odd as its maker liked.
    return searchable(kind[:_WORD_LENGTH])


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
        known = self._known(tx, versions)
        fresh = self._sift(tx, versions, known, result)
        rows: list[_Held] = []
        if fresh:
            rows = self._store(tx, fresh, known, source, handling, result)
        if boxes:
            # Of an object that came for the first time nothing can be in a box yet.
            rest = {row.key for row in rows if row.key in known}
            rest.update(version.key for version in result.held)
            first = [row for row in rows if row.key not in rest]
            self._join(tx, first, rest, boxes)
        return result

    @staticmethod
    def _known(tx: Tx, versions: Sequence[ObjectVersion]) -> dict[int, list[_Held]]:
        """Give what is held of these objects, by key and in order of stamp."""
        known: dict[int, list[_Held]] = {}
        for row in tx.rows(
            f"SELECT {_HELD} FROM object WHERE "
            + tx.among("key", "keys")
            + " ORDER BY added",
            keys=tx.array({version.key for version in versions}),
        ):
            known.setdefault(row.key, []).append(_Held(*row))
        return known

    def _sift(
        self,
        tx: Tx,
        versions: Sequence[ObjectVersion],
        known: dict[int, list[_Held]],
        result: Admission,
    ) -> list[ObjectVersion]:
        """Part what is new from what is here and from what contradicts it."""
        fresh: dict[int, dict[int, ObjectVersion]] = {}
        same: list[tuple[ObjectVersion, _Held]] = []
        for version in versions:
            batch = fresh.get(version.key)
            if batch is None:
                batch = fresh[version.key] = {}
                if version.key not in known:
                    batch[version.modified] = version
                    continue
            row = alike(version, known.get(version.key, ()))
            twin = alike(version, batch.values())
            if row is not None:
                same.append((version, row))
            elif twin is not None:
                compare(version, twin.id, twin.body, 0, result)
            else:
                batch[version.modified] = version
        if same:
            bodies = {
                row.added: bytes(row.body)
                for row in tx.rows(
                    "SELECT added, body FROM object WHERE " + tx.among("added", "at"),
                    at=tx.array({row.added for _, row in same}),
                )
            }
            for version, row in same:
                compare(version, row.id, bodies[row.added], row.added, result)
        every = [version for batch in fresh.values() for version in batch.values()]
        later = [one for one in every if one.key in known or len(fresh[one.key]) > 1]
        if not later:
            return every
        strange = of_others(tx, later, known, result)
        return [one for one in every if id(one) not in strange]

    def _store(
        self,
        tx: Tx,
        fresh: list[ObjectVersion],
        known: dict[int, list[_Held]],
        source: str,
        handling: Handling,
        result: Admission,
    ) -> list[_Held]:
        audiences = self._audiences
        types = audiences.words(tx, {version.type for version in fresh} | {source})
        # Most of a batch refers to the same few: its maker, its markings, its families.
        ends: set[tuple[str, str]] = set()
        for version in fresh:
            ends.update(version.edges)
        words = {kind: _word(kind) for kind in {kind for kind, _ in ends}}
        numbers = audiences.words(tx, words.values())
        keys = {target: id_key(target) for target in {target for _, target in ends}}
        coded = {end: (keys[end[1]], numbers[words[end[0]]]) for end in ends}
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
                version.id,
            )
            for at, version, number in zip(
                range(first, first + len(fresh)), fresh, sets, strict=True
            )
        ]
        creators = {
            row.added: version.creator for row, version in zip(rows, fresh, strict=True)
        }
        self._order(tx, rows, known, creators)
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
                    row.prior,
                )
                for row, version in zip(rows, fresh, strict=True)
            ],
        )
        self._index(tx, rows, fresh, coded)
        result.new, result.first, result.last = fresh, first, first + len(fresh) - 1
        if "marking-definition" in types:
            meant = {
                row.added: read_marking(version.data)
                for row, version in zip(rows, fresh, strict=True)
                if version.type == "marking-definition"
            }
            definitions.define(tx, meant.items())
            audiences.refresh(tx, {marking.id for marking in meant.values()})
        return rows

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

    def _order(
        self,
        tx: Tx,
        rows: list[_Held],
        known: dict[int, list[_Held]],
        creators: dict[int, str],
    ) -> None:
        """Set the slots of `rows` and of their other versions in the store.

        `creators`: of the new ones, by stamp.
        """
        versions: dict[int, list[_Held]] = {}
        for row in rows:
            versions.setdefault(row.key, []).append(row)
        new = {row.added for row in rows}
        held = [row for key in versions for row in known.get(key, ())]
        for row in held:
            versions[row.key].append(row)
        moved: list[_Held] = []
        covers = Recalls.covering(tx, versions)
        for key, several in versions.items():
            recalled = covers.get(key, [])
            if len(several) == 1 and not recalled:
                continue
            changed = self._slots(tx, several, recalled, creators)
            moved += [row for row in changed if row.added not in new]
        for row in moved:
            self._move(tx, row)
        if held:
            self._follow(tx, rows, held)

    def _slots(
        self,
        tx: Tx,
        several: list[_Held],
        covers: Sequence[Cover],
        creators: dict[int, str],
    ) -> list[_Held]:
        """Work out the slots of all versions of one object, and give which changed."""
        several.sort(key=lambda row: row.modified, reverse=True)
        audiences = self._audiences
        joined = several[0].own_set
        changed = []
        for place, row in enumerate(several):
            if row.own_set != joined:
                joined = audiences.joined_number(tx, joined, row.own_set)
            number, state = joined, self._recalled(tx, row, covers, creators)
            if state:
                number = audiences.recalled_number(tx, joined, state)
            row.before, row.slot = row.slot, 2 * number + (1 if place else 0)
            if row.slot != row.before:
                changed.append(row)
        earlier: set[int] = set()
        for row in reversed(several):
            number = row.slot // 2
            prior = (_SAME if number in earlier else _OTHERS) if earlier else _NOTHING
            if prior != row.prior:
                row.prior = prior
                if row.slot == row.before:
                    changed.append(row)
            earlier.add(number)
        return changed

    @staticmethod
    def _recalled(
        tx: Tx, row: _Held, covers: Sequence[Cover], creators: dict[int, str]
    ) -> Recalled:
        """Say whether a version was recalled by its creator, and what is done then."""
        held = [
            cover
            for cover in covers
            if cover.object == row.id and row.modified < cover.before
        ]
        if held and row.added not in creators:
            body = tx.value("SELECT body FROM object WHERE added = :at", at=row.added)
            found = orjson.loads(bytes(body)).get("created_by_ref", "")
            creators[row.added] = str(found)
        return max(
            (each.hold for each in held if each.creator == creators[row.added]),
            default=Recalled.NO,
        )

    def recall(self, tx: Tx, object_id: str) -> None:
        """Put an object's versions where they belong after something was recalled."""
        key = id_key(object_id)
        rows = self._known_by(tx, key, object_id)
        if not rows:
            return
        for row in self._slots(tx, rows, Recalls.covering(tx, [key]).get(key, []), {}):
            self._move(tx, row, anew=True)
        self._tell_gone(tx)

    @staticmethod
    def _known_by(tx: Tx, key: int, object_id: str) -> list[_Held]:
        return [
            _Held(*row)
            for row in tx.rows(
                f"SELECT {_HELD} FROM object WHERE key = :key AND id = :id",
                key=key,
                id=object_id,
            )
        ]

    def _move(self, tx: Tx, row: _Held, *, anew: bool = False) -> None:
        """Write a version's new slot; `anew`: its old one may have hidden it."""
        tx.run(
            "UPDATE object SET slot = :slot, prior = :prior WHERE added = :added",
            slot=row.slot,
            prior=row.prior,
            added=row.added,
        )
        if row.slot != row.before:
            tx.run(
                "UPDATE entry SET slot = :slot WHERE object = :added",
                slot=row.slot,
                added=row.added,
            )
        if row.slot // 2 != row.before // 2:
            self._audiences.follow(tx, row.added, row.slot, row.type, anew=anew)

    def _follow(self, tx: Tx, rows: list[_Held], held: list[_Held]) -> None:
        """Put new versions into the boxes that hold another version of the object."""
        keys = {row.added: row.key for row in held}
        shared = {row.n for row in tx.rows("SELECT n FROM scope WHERE party = 0")}
        by_key: dict[int, set[int]] = {}
        for row in self._entries(tx, keys):
            if row.scope in shared:
                by_key.setdefault(keys[row.object], set()).add(row.scope)
        self._enter(
            tx,
            [(scope, row) for row in rows for scope in sorted(by_key.get(row.key, ()))],
        )

    @staticmethod
    def _entries(tx: Tx, stamps: Iterable[int]) -> list[Any]:
        """Give which versions are entered where."""
        return tx.rows(
            "SELECT object, scope FROM entry WHERE " + tx.among("object", "stamps"),
            stamps=tx.array(stamps),
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
        coded: dict[tuple[str, str], tuple[int, int]],
    ) -> None:
        """Write edges, values and searched text; sorted, so that pages fill.

        `coded`: (key of the target, number of the kind) of each edge.
        """
        edges: set[tuple[int, int, int]] = set()
        values: set[tuple[int, int]] = set()
        texts: list[tuple[int, str]] = []
        for row, version in zip(rows, fresh, strict=True):
            added = row.added
            edges.update([(*coded[end], added) for end in version.edges])
            for kind, text in version.values:
                values.add((digest_of(kind, text), added))
            if version.text:
                texts.append((added, searchable(version.text)))
        # Their stamps were given out just now, so none of these rows is there already.
        tx.insert_many(tables.edge, ("target", "kind", "source"), sorted(edges))
        tx.insert_many(tables.value, ("digest", "object"), sorted(values))
        tx.insert_texts(texts)

    def _join(
        self, tx: Tx, first: list[_Held], keys: set[int], boxes: Sequence[int]
    ) -> None:
        """Put versions that came first, and all versions of others, into boxes."""
        rows: list[_Held] = []
        if keys:
            rows = [
                _Held(*row)
                for row in tx.rows(
                    f"SELECT {_HELD} FROM object WHERE "
                    + tx.among("key", "keys")
                    + " ORDER BY added",
                    keys=tx.array(keys),
                )
            ]
        entered = {
            (row.object, row.scope)
            for row in self._entries(tx, [row.added for row in rows] if rows else ())
        }
        for box in boxes:
            scope = self._audiences.scope(tx, box, 0)
            lacking = [row for row in rows if (row.added, scope) not in entered]
            members = sorted([*first, *lacking], key=lambda row: row.added)
            self._enter(tx, [(scope, row) for row in members])

    def delete(
        self, tx: Tx, object_id: str, *, box: int = 0, stamps: Collection[int] = ()
    ) -> int:
        """Take an object's versions out of a box, or (box 0) out of the store.

        What leaves a box and is in no other, and came in through one, leaves the store.

        Args:
            tx: a write transaction.
            object_id: the STIX id.
            box: the box's number, 0 for the whole store.
            stamps: only the versions with these stamps; all when empty.

        Returns:
            How many versions were taken out.
        """
        key = id_key(object_id)
        rows = self._known_by(tx, key, object_id)
        chosen = [row for row in rows if not stamps or row.added in stamps]
        if box:
            chosen = self._unbox(tx, chosen, box)
        gone = [row for row in chosen if not box or not self._elsewhere(tx, row)]
        for row in gone:
            self._erase(tx, row)
        if gone:
            self._tell_gone(tx)
        rest = [row for row in rows if row not in gone]
        if gone and rest:
            recalled = Recalls.covering(tx, [key]).get(key, [])
            for row in self._slots(tx, rest, recalled, {}):
                self._move(tx, row, anew=True)
        if gone and object_id.startswith("marking-definition--"):
            # What it explained is not understood any more, and so withheld.
            self._audiences.refresh(tx)
        return len(chosen)

    @staticmethod
    def _tell_gone(tx: Tx) -> None:
        """Have whoever remembers objects see that he looks whether they are there."""
        tx.run(
            "INSERT INTO meta (name, value) VALUES (:name, '1') ON CONFLICT (name) "
            "DO UPDATE SET value = CAST(CAST(meta.value AS BIGINT) + 1 AS TEXT)",
            name=_GONE,
        )

    @staticmethod
    def deletions(tx: Tx) -> int:
        """Count how often objects left the store; another number: look anew."""
        found = tx.value("SELECT value FROM meta WHERE name = :name", name=_GONE)
        return int(found or 0)

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
        body = tx.value("SELECT body FROM object WHERE added = :at", at=row.added)
        # What an edge points at stands in the body; the other way has no index.
        targets = {id_key(text) for text in strings_in(orjson.loads(bytes(body)))}
        tx.run(
            "DELETE FROM edge WHERE source = :added AND "
            + tx.among("target", "targets"),
            added=row.added,
            targets=tx.array(targets),
        )
        for sql in (
            "DELETE FROM entry WHERE object = :added",
            "DELETE FROM value WHERE object = :added",
            "DELETE FROM object WHERE added = :added",
        ):
            tx.run(sql, added=row.added)
        definitions.forget(tx, row.added)
        if not tx.lite:
            tx.run("DELETE FROM object_text WHERE added = :added", added=row.added)


def strings_in(value: Any) -> Iterator[str]:
    """Give every text in a JSON value that is no name of a property."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from strings_in(one)
