"""What is held, newest first, a page at a time; the size of the store costs nothing.

Each question looks at so many objects and no more. What it did not come to is said
(`Looked.cut`), and the next page goes on there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from heapq import nlargest
from itertools import product
from typing import Any, Final

from serantau.records.database import Tx
from serantau.records.objects import digest_of, searchable
from serantau.records.recalls import HIDDEN
from serantau.records.search import Found, Search, like, trigrams
from serantau.rules.stix import id_key
from serantau.rules.text import find_values, fold, refang

WINDOW: Final = 4_000
"""Objects that one question looks at by their row."""
_BODIES: Final = 250
_AT_ONCE: Final = 60
# What may hold a text is looked at in steps: most often the first ones fill the page.
_STEPS: Final = (150, 600, 2_000)
# A body is read to see whether it has the text; these many bytes at most.
_BYTES: Final = 4_000_000
_BRANCHES: Final = 200
_MOST_BRANCHES: Final = 2_000


@dataclass(frozen=True, slots=True)
class Only:
    """What is wanted: newest versions that nothing hides, and only some of them.

    sets: with these marking sets. types: of these STIX types, any when empty. source:
    from there, anywhere when empty. since, before: stamps, from and up to; 0: no bound.
    """

    sets: frozenset[int] | None = None
    types: tuple[str, ...] = ()
    source: str = ""
    since: int = 0
    before: int = 0

    def span(self, column: str) -> str:
        """Give the bounds as conditions on a column of stamps."""
        said = f" AND {column} >= {int(self.since)}" if self.since else ""
        return said + (f" AND {column} < {int(self.before)}" if self.before else "")


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found, newest first.

    onward: what to ask for `before` to go on, 0 when there is no more. cut: the look
    ended before the page was full, though there is more to look at.
    """

    found: Sequence[Found]
    onward: int = 0
    cut: bool = False


class Shelf:
    """Lists the newest versions of a store, for its own organisation."""

    def __init__(self, search: Search) -> None:
        """Find with `search`."""
        self._search = search

    def newest(self, tx: Tx, only: Only, limit: int = 50) -> Looked:
        """Give the newest of what is wanted."""
        words = _Words.of(tx, only)
        if words is None:
            return Looked(())
        stamps, floor = self._stamps(tx, only, words, limit + 1)
        return self._page(tx, stamps, floor, limit)

    def holding(self, tx: Tx, text: str, only: Only, limit: int = 50) -> Looked:
        """Give the newest of what is wanted that holds a text.

        A text is found as `Search.find` does: an id, a value defanged or not, or a part
        of any text in any script.
        """
        text = searchable(text.encode("utf-8", "replace").decode()).strip()
        words = _Words.of(tx, only)
        if words is None or not text:
            return Looked(())
        where = only.span("o.added") + words.sql()
        named = self._named(tx, text, where)
        if named:
            return self._page(tx, named, 0, limit)
        stamps, floor = set(self._valued(tx, text, where, limit)), 0
        for wanted in {fold(text), fold(refang(text))} - {""}:
            found, low = self._saying(tx, wanted, only, words, where, limit)
            stamps |= set(found)
            floor = max(floor, low)
        # Beyond where one of the looks ended it is not known who else is to be shown.
        ordered = sorted((one for one in stamps if one >= floor), reverse=True)
        return self._page(tx, ordered, floor, limit)

    def _page(self, tx: Tx, stamps: Sequence[int], floor: int, limit: int) -> Looked:
        chosen = stamps[:limit]
        found = sorted(self._search.at(tx, chosen), key=lambda one: -one.added)
        if len(stamps) > limit:
            return Looked(found, chosen[-1])
        return Looked(found, floor, cut=floor > 0)

    def _stamps(
        self, tx: Tx, only: Only, words: _Words, most: int
    ) -> tuple[list[int], int]:
        """Give the newest stamps that are wanted, and where the look ended before."""
        slots = _slots(tx, only.sets)
        kinds: Sequence[int | None] = words.types or (None,)
        pairs = list(product(slots, kinds))
        few = bool(words.types or only.sets is not None)
        if not few or len(pairs) > _MOST_BRANCHES:
            return _walked(tx, only, words, most)
        wanted = WINDOW if words.source else most
        found = _merged(tx, only, pairs, wanted)
        floor = found[-1] if len(found) == wanted else 0
        if not words.source:
            return found, 0
        rows = tx.rows(
            "SELECT o.added FROM object o WHERE " + tx.among("o.added", "stamps")
            + f" AND o.source = {words.source} ORDER BY o.added DESC LIMIT :most",
            stamps=tx.array(found),
            most=most,
        )  # fmt: skip
        kept = [int(row.added) for row in rows]
        return kept, 0 if len(kept) == most else floor

    @staticmethod
    def _named(tx: Tx, text: str, where: str) -> list[int]:
        kind, separator, _ = text.partition("--")
        if not separator or not kind:
            return []
        rows = tx.rows(
            "SELECT o.added FROM object o WHERE o.key = :key AND o.id = :id" + where,
            key=id_key(text),
            id=text,
        )
        return [int(row.added) for row in rows]

    @staticmethod
    def _valued(tx: Tx, text: str, where: str, limit: int) -> list[int]:
        digests = {digest_of(kind, value) for kind, value in find_values(text)}
        if not digests:
            return []
        rows = tx.rows(
            "SELECT DISTINCT v.object FROM value v JOIN object o ON o.added = v.object "
            "WHERE " + tx.among("v.digest", "digests") + where
            + " ORDER BY v.object DESC LIMIT :most",
            digests=tx.array(digests),
            most=limit + 1,
        )  # fmt: skip
        return [int(row.object) for row in rows]

    def _saying(
        self, tx: Tx, wanted: str, only: Only, words: _Words, where: str, limit: int
    ) -> tuple[list[int], int]:
        if not tx.lite:
            rows = tx.rows(
                "SELECT t.added FROM object_text t JOIN object o ON o.added = t.added "
                "WHERE t.text LIKE :like" + where
                + " ORDER BY t.added DESC LIMIT :most",
                like=like(wanted),
                most=limit + 1,
            )  # fmt: skip
            return [int(row.added) for row in rows], 0
        found: list[int] = []
        query = trigrams(wanted)
        if not query:
            stamps, floor = self._stamps(tx, only, words, _BODIES)
            found, low = self._reading(tx, stamps, wanted, "", limit)
            if len(found) > limit:
                return found, 0
            if len(stamps) == _BODIES:
                floor = stamps[-1]
            return found, low or floor
        low = only.before
        for step in _STEPS:
            stamps = _candidates(tx, query, replace(only, before=low), step)
            room = limit - len(found)
            some, floor = self._reading(tx, stamps, wanted, where, room)
            found += some
            if len(found) > limit:
                return found, 0
            if floor:
                return found, floor
            if len(stamps) < step:
                return found, 0
            low = stamps[-1]
        return found, low

    def _reading(
        self, tx: Tx, stamps: Sequence[int], wanted: str, where: str, limit: int
    ) -> tuple[list[int], int]:
        """Pick those whose body has a text, and say where reading ended before."""
        found: list[int] = []
        read = size = 0
        for row in tx.stream(
            "SELECT o.added, o.body FROM object o WHERE "
            + tx.among("o.added", "stamps") + where + " ORDER BY o.added DESC",
            size=_AT_ONCE,
            stamps=tx.array(stamps),
        ):  # fmt: skip
            if read == _BODIES or size > _BYTES:
                return found, int(row.added) + 1
            body = bytes(row.body)
            read, size = read + 1, size + len(body)
            if self._search.holds(body, wanted):
                found.append(int(row.added))
                if len(found) > limit:
                    return found, 0
        return found, 0


def _candidates(tx: Tx, query: str, only: Only, most: int) -> list[int]:
    """Give what may hold a text, newest first."""
    rows = tx.rows(
        "SELECT rowid AS added FROM object_text WHERE object_text MATCH :query"
        + only.span("rowid") + " ORDER BY rowid DESC LIMIT :most",
        query=query,
        most=most,
    )  # fmt: skip
    return [int(row.added) for row in rows]


@dataclass(frozen=True, slots=True)
class _Words:
    """The numbers of the types and of the source that are wanted, and of the sets."""

    types: tuple[int, ...]
    source: int
    sets: frozenset[int] | None

    @classmethod
    def of(cls, tx: Tx, only: Only) -> _Words | None:
        """Look them up; None when nothing that is held has one of them."""
        texts = {*only.types, *filter(None, (only.source,))}
        numbers = {
            row.text: int(row.n)
            for row in tx.rows(
                "SELECT n, text FROM word WHERE " + tx.among("text", "texts"),
                texts=tx.array(texts),
            )
        } if texts else {}  # fmt: skip
        types = tuple(numbers[name] for name in only.types if name in numbers)
        source = numbers.get(only.source, 0)
        if bool(types) != bool(only.types) or bool(source) != bool(only.source):
            return None
        return None if only.sets == frozenset() else cls(types, source, only.sets)

    def sql(self) -> str:
        """Give the conditions on an object `o`. All of them are numbers of ours."""
        said = f" AND o.slot % 2 = 0 AND o.slot NOT IN {HIDDEN}"
        if self.sets is not None:
            said += f" AND o.slot IN ({_listed(2 * one for one in self.sets)})"
        if self.types:
            said += f" AND o.type IN ({_listed(self.types)})"
        return said + (f" AND o.source = {self.source}" if self.source else "")


def _slots(tx: Tx, sets: frozenset[int] | None) -> list[int]:
    rows = tx.rows(
        f"SELECT 2 * n AS slot FROM marking_set WHERE 2 * n NOT IN {HIDDEN} ORDER BY n"
    )
    return [int(row.slot) for row in rows if sets is None or int(row.slot) // 2 in sets]


def _merged(
    tx: Tx, only: Only, pairs: Sequence[tuple[int, int | None]], most: int
) -> list[int]:
    """Take the newest from the index of each marking set, and type."""
    found: list[int] = []
    for at in range(0, len(pairs), _BRANCHES):
        several = pairs[at : at + _BRANCHES]
        branches = [
            "SELECT * FROM (SELECT added FROM object o WHERE "
            f"o.slot = {slot}{'' if kind is None else f' AND o.type = {kind}'}"
            f"{only.span('added')} ORDER BY added DESC LIMIT {most}) b{place}"
            for place, (slot, kind) in enumerate(several)
        ]
        rows: Sequence[Any] = tx.rows(
            " UNION ALL ".join(branches) + f" ORDER BY added DESC LIMIT {most}"
        )
        found += [int(row.added) for row in rows]
    return nlargest(most, found)


def _walked(tx: Tx, only: Only, words: _Words, most: int) -> tuple[list[int], int]:
    """Go through the newest rows, as many as there is time for."""
    rows = tx.rows(
        "SELECT o.added FROM (SELECT added, slot, type, source FROM object o WHERE TRUE"
        + only.span("added") + " ORDER BY added DESC LIMIT :window) o WHERE TRUE"
        + words.sql() + " ORDER BY o.added DESC LIMIT :most",
        window=WINDOW,
        most=most,
    )  # fmt: skip
    found = [int(row.added) for row in rows]
    if len(found) == most:
        return found, 0
    last = tx.value(
        "SELECT added FROM object o WHERE TRUE" + only.span("added")
        + " ORDER BY added DESC LIMIT 1 OFFSET :window",
        window=WINDOW - 1,
    )  # fmt: skip
    return found, int(last or 0)


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(numbers))) or "-1"
