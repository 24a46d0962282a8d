"""What each party would get and what stays, ready for somebody who looks again.

Verdicts are read as they are. Objects are counted by marking set; counting a large
store takes a while, so the last count is told with its time until `recount` made a new
one. Nothing leaves by looking.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from serantau.desk.share import Row
from serantau.errors import NotFound
from serantau.node import Node
from serantau.records.database import Tx
from serantau.records.search import Found
from serantau.rules.marking import MarkingSet, Recalled, in_words
from serantau.rules.party import Party
from serantau.rules.redaction import derived_ids
from serantau.rules.release import Verdict, ended

FOUND: Final = 1000
"""Objects that a search is taken for, the newest ones."""
SHOWN: Final = 50
"""Rows of one answer."""

_QUICK_SECONDS: Final = 0.01
_SAMPLES: Final = 3
_DERIVED: Final = "granular-derived-instead"
# What was never judged is not released.
_UNJUDGED: Final = Verdict(False, "not-judged", "no verdict", "a verdict")


@dataclass(frozen=True, slots=True)
class Counted:
    """Newest versions by marking set. at: when they were counted. limited: by a search.

    last: the newest stamp then. seconds: how long it took. samples: ids of those that a
    search found, by marking set.
    """

    sets: Mapping[int, int]
    at: int
    last: int = 0
    seconds: float = 0.0
    limited: bool = False
    samples: Mapping[int, Sequence[str]] | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """One party: how many objects it would get and how many stay, by rule."""

    party: Party
    released: Sequence[tuple[str, int]]
    withheld: Sequence[tuple[str, int]]

    @property
    def gets(self) -> int:
        """Count what would go."""
        return sum(count for _, count in self.released)

    @property
    def stays(self) -> int:
        """Count what would stay."""
        return sum(count for _, count in self.withheld)


@dataclass(frozen=True, slots=True)
class Line:
    """Objects of one marking set, as one party meets them. number: of the set."""

    number: int
    row: Row


@dataclass(frozen=True, slots=True)
class Apart:
    """Objects of one marking set that two parties do not meet alike."""

    number: int
    one: Row
    other: Row


@dataclass(frozen=True, slots=True)
class Item:
    """One object version in a list. name: what it calls itself, or its pattern."""

    added: int
    id: str
    type: str
    version: str
    name: str


@dataclass(frozen=True, slots=True)
class Field:
    """One property: its JSON text here, and as it would go; None where it is not."""

    name: str
    here: str | None
    goes: str | None


@dataclass(frozen=True, slots=True)
class Exactly:
    """An object as a party would get it. goes_as: the id under which it goes."""

    item: Item
    party: Party
    marking: str
    verdict: Verdict
    goes_as: str
    fields: Sequence[Field]

    @property
    def goes(self) -> bool:
        """Say whether anything of it would go."""
        return bool(self.goes_as)


class Outlook:
    """Tells who would get what of one node's store."""

    def __init__(self, node: Node) -> None:
        """Look into the store of `node`."""
        self._node = node
        self._counted: Counted | None = None
        self._tallied: tuple[int, Counted, list[Tally]] | None = None

    # Counting

    def recount(self) -> None:
        """Count anew, however long it takes."""
        with self._node.db.read() as tx:
            self._count(tx)

    def stale(self) -> bool:
        """Say whether objects came or changed since the last count that is told."""
        with self._node.db.read() as tx:
            held = self._counted
            return held is not None and held.last != _last(tx)

    def _count(self, tx: Tx) -> Counted:
        began, last = time.monotonic(), _last(tx)
        sets = self._node.audiences.counts(tx)
        took = time.monotonic() - began
        self._counted = Counted(sets, tx.clock.now(), last, took)
        return self._counted

    def _counts(self, tx: Tx, query: str) -> Counted:
        if query:
            return self._search(tx, query)
        held = self._counted
        if held is not None and (
            held.seconds > _QUICK_SECONDS or held.last == _last(tx)
        ):
            return held
        return self._count(tx)

    def _search(self, tx: Tx, query: str) -> Counted:
        counts: dict[int, int] = {}
        samples: dict[int, list[str]] = {}
        found = self._node.search.find(tx, query, limit=FOUND)
        for one in found:
            counts[one.marking_set] = counts.get(one.marking_set, 0) + 1
            samples.setdefault(one.marking_set, []).append(one.id)
        return Counted(
            counts, tx.clock.now(), limited=len(found) == FOUND, samples=samples
        )

    # Telling

    def all(self, query: str = "") -> tuple[list[Tally], Counted]:
        """Tell what every other party would get, by name."""
        with self._node.db.read() as tx:
            counted, epoch = self._counts(tx, query), tx.epoch()
            held = self._tallied
            if held is not None and held[0] == epoch and held[1] is counted:
                return held[2], counted
            parties = self._node.audiences.parties(tx)
            now = tx.clock.now()
            verdicts: dict[int, dict[int, tuple[bool, str]]] = {}
            for number, place, released, rule in tx.execute(
                "SELECT party, marking_set, released, rule FROM verdict", {}
            ):
                if place in counted.sets:
                    verdicts.setdefault(number, {})[place] = (bool(released), rule)
            tallies = [
                _tally(party, counted.sets, verdicts.get(number, {}), now)
                for number, party in parties.items()
                if party.name != self._node.audiences.own
            ]
            tallies.sort(key=lambda each: each.party.name)
            ends = any(party.until is not None for party in parties.values())
            if not query and not ends:
                self._tallied = (epoch, counted, tallies)
            return tallies, counted

    def party(
        self, name: str, query: str = "", after: int = 0
    ) -> tuple[Tally, list[Line], int, Counted]:
        """Tell what one party would get and what stays, by marking.

        Args:
            name: of the party.
            query: only what a search finds; everything when empty.
            after: how many lines to leave out, the largest ones first.

        Returns:
            How much, the lines, how many lines there are, and of which count.

        Raises:
            NotFound: no party has this name.
        """
        with self._node.db.read() as tx:
            number, party = self._node.registry.party(tx, name)
            counted = self._counts(tx, query)
            verdicts = self._verdicts(tx, number, party, counted)
            told = {at: (one.released, one.rule) for at, one in verdicts.items()}
            tally = _tally(party, counted.sets, told, tx.clock.now())
            order = sorted(
                verdicts,
                key=lambda at: (not verdicts[at].released, -counted.sets[at], at),
            )
            some = order[after : after + SHOWN]
            words, samples = self._words(tx, some), self._samples(tx, some, counted)
            lines = [
                Line(at, _row(verdicts[at], words[at], counted.sets[at], samples[at]))
                for at in some
            ]
            return tally, lines, len(order), counted

    def apart(
        self, one: str, other: str, query: str = "", after: int = 0
    ) -> tuple[list[Apart], int, Counted]:
        """Tell where two parties would not get the same; otherwise as `party`.

        Raises:
            NotFound: a party has no such name.
        """
        with self._node.db.read() as tx:
            counted = self._counts(tx, query)
            left, right = (
                self._verdicts(tx, *self._node.registry.party(tx, name), counted)
                for name in (one, other)
            )
            order = sorted(
                (at for at in left if left[at].released != right[at].released),
                key=lambda at: (not left[at].released, -counted.sets[at], at),
            )
            some = order[after : after + SHOWN]
            words, samples = self._words(tx, some), self._samples(tx, some, counted)
            rows = [
                Apart(
                    at,
                    *(
                        _row(each[at], words[at], counted.sets[at], samples[at])
                        for each in (left, right)
                    ),
                )
                for at in some
            ]
            return rows, len(order), counted

    def objects(
        self, number: int, query: str = "", before: int = 0
    ) -> tuple[str, list[Item], bool]:
        """List the newest versions of a marking set, newest first.

        Args:
            number: of the marking set.
            query: only what a search finds.
            before: the stamp of the last one told; 0 to begin.

        Returns:
            How they are marked, in words, some of them, and whether there are more.

        Raises:
            NotFound: there is no such marking set.
        """
        node = self._node
        with node.db.read() as tx:
            if tx.value("SELECT 1 FROM marking_set WHERE n = :n", n=number) is None:
                raise NotFound("There is no such marking.")
            below = before or 2**62
            if query:
                found = [
                    one
                    for one in node.search.find(
                        tx, query, limit=FOUND, sets=frozenset({number})
                    )
                    if one.added < below
                ]
                found.sort(key=lambda one: -one.added)
            else:
                rows = tx.rows(
                    "SELECT added FROM object WHERE slot = :slot AND added < :below "
                    "ORDER BY added DESC LIMIT :most",
                    slot=2 * number,
                    below=below,
                    most=SHOWN + 1,
                )
                stamps = [int(row.added) for row in rows]
                found = node.search.at(tx, stamps)[::-1]
            words = self._words(tx, [number])[number]
            return words, [_item(one) for one in found[:SHOWN]], len(found) > SHOWN

    def exactly(self, name: str, object_id: str) -> Exactly:
        """Tell exactly which fields of an object a party would get by machine.

        Raises:
            NotFound: no such party, or no such object.
        """
        node = self._node
        with node.db.read() as tx:
            number, party = node.registry.party(tx, name)
            versions = node.search.versions(tx, object_id)
            if not versions:
                raise NotFound(f"No object is named {object_id!r}.")
            found = versions[-1]
            places = {found.marking_set: 1}
            verdict = self._verdicts(tx, number, party, Counted(places, 0))[
                found.marking_set
            ]
            goes = found if verdict.released else None
            if verdict.rule == _DERIVED:
                goes = self._derived(tx, number, party, found)
            here = _texts(found.body)
            there = {} if goes is None else _texts(goes.body)
            return Exactly(
                _item(found),
                party,
                self._words(tx, [found.marking_set])[found.marking_set],
                verdict,
                "" if goes is None else goes.id,
                [
                    Field(field, here.get(field), there.get(field))
                    for field in sorted(here.keys() | there.keys())
                ],
            )

    def _derived(self, tx: Tx, number: int, party: Party, found: Found) -> Found | None:
        """Give the object that goes instead, if it is here and may go."""
        identity = self._node.config.node.identity
        name = derived_ids(found.id, found.version, identity)[0]
        versions = self._node.search.versions(tx, name)
        if not versions:
            return None
        place = versions[-1].marking_set
        verdicts = self._verdicts(tx, number, party, Counted({place: 1}, 0))
        return versions[-1] if verdicts[place].released else None

    def _verdicts(
        self, tx: Tx, number: int, party: Party, counted: Counted
    ) -> dict[int, Verdict]:
        if not party.active(tx.clock.now()):
            return dict.fromkeys(counted.sets, ended(party))
        few = counted.sets if len(counted.sets) == 1 else None
        held = self._node.audiences.verdicts(tx, number, few)
        return {at: held.get(at, _UNJUDGED) for at in counted.sets}

    def _words(self, tx: Tx, numbers: Sequence[int]) -> dict[int, str]:
        audiences = self._node.audiences
        sets = {number: audiences.set_of(tx, number) for number in numbers}
        known = audiences.known(
            tx, {ref for one in sets.values() for ref in _refs(one)}
        )
        return {number: in_words(one, known) for number, one in sets.items()}

    @staticmethod
    def _samples(
        tx: Tx, numbers: Sequence[int], counted: Counted
    ) -> dict[int, list[str]]:
        if counted.samples is not None:
            return {at: list(counted.samples[at][:_SAMPLES]) for at in numbers}
        return {
            at: [
                row.id
                for row in tx.rows(
                    "SELECT id FROM object WHERE slot = :slot "
                    "ORDER BY added DESC LIMIT :most",
                    slot=2 * at,
                    most=_SAMPLES,
                )
            ]
            for at in numbers
        }


def _last(tx: Tx) -> int:
    return int(tx.value("SELECT last FROM stamp"))


def _refs(marked: MarkingSet) -> set[str]:
    return {
        ref
        for part in marked.each()
        for ref in (*part.refs, *part.granular, part.definition)
        if ref
    }


def _tally(
    party: Party,
    counts: Mapping[int, int],
    verdicts: Mapping[int, tuple[bool, str]],
    now: int,
) -> Tally:
    sums: tuple[dict[str, int], dict[str, int]] = ({}, {})
    over = None if party.active(now) else (False, ended(party).rule)
    for at, count in counts.items():
        released, rule = over or verdicts.get(at, (False, _UNJUDGED.rule))
        side = sums[released]
        side[rule] = side.get(rule, 0) + count
    stays, goes = (
        sorted(side.items(), key=lambda pair: (-pair[1], pair[0])) for side in sums
    )
    return Tally(party, goes, stays)


def _row(verdict: Verdict, words: str, count: int, samples: list[str]) -> Row:
    return Row(
        verdict.released,
        verdict.rule,
        verdict.got,
        verdict.expected,
        words,
        count,
        samples,
    )


def _item(found: Found) -> Item:
    if found.recalled is Recalled.HIDDEN:
        return Item(found.added, found.id, found.type, found.version, "")
    data = orjson.loads(found.body)
    name = data.get("name") or data.get("value") or data.get("pattern") or ""
    return Item(found.added, found.id, found.type, found.version, str(name))


def _texts(body: bytes) -> dict[str, str]:
    """Give the properties of an object as JSON texts; plain text as it is."""
    return {
        name: value if isinstance(value, str) else orjson.dumps(value).decode()
        for name, value in orjson.loads(body).items()
    }
