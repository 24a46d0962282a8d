"""A case: a set of entries that everybody folds into the same state.

`Case` takes entries in any order of arrival, each once. The same set gives the same
state and the same hash:

1. an entry that names one which is not here yet waits for it, and is never dropped;
2. the others stand in one order: an entry after all that it names, then by time, then
   by id. A time before those of the entries it names is flagged and moves nothing;
3. in that order each entry is judged by what came before it, and either does what
   `case_steps.DO` has for its kind or is flagged and does nothing.

Nothing is taken silently: each entry stands in the log with its flags. What a hostile
party can cost is bounded: an entry names at most 256 others, and of one party no more
than `MOST` entries have an effect.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import Any, Final, NamedTuple

import msgspec

from serantau.clock import instant
from serantau.rules.canonical import canonical
from serantau.rules.case_entry import Entry
from serantau.rules.case_steps import DO, MOST, TOLD, Flag, State, open_case

_created: Final = attrgetter("created")
_SKEW: Final = 300_000_000


class Line(NamedTuple):
    """An entry in its place, with what is wrong with it."""

    entry: Entry
    flags: tuple[Flag, ...]


# Where an entry stands: after everything that it names, whatever its clock says. Its
# time or the latest of what it names; how many follow each other; its id.
_Place = tuple[str, int, str]


class Case:
    """The entries of one case, and the state they come to. Add to it as they come."""

    def __init__(self, case: str, entries: Iterable[Entry] = ()) -> None:
        """Fold entries of the case that the entry `case` opened."""
        self.id = case
        self._held: dict[str, Entry] = {}
        self._waits: dict[str, list[Entry]] = {}
        self._places: dict[str, _Place] = {}
        self._order: list[_Place] = []
        self._nexts: dict[str, str] = {}
        self._heads: dict[str, None] = {}
        self._marked: dict[str, list[Flag]] = {}
        self._judged: dict[str, Flag] = {}
        self._counts: dict[str, int] = {}
        self.state = State()
        self.add(entries)

    def add(self, entries: Iterable[Entry]) -> int:
        """Take in entries; those that are here are passed over. Gives how many came.

        Raises:
            ValueError: one is of another case.
        """
        held, waits, fresh = self._held, self._waits, []
        before = len(held)
        # Nearly the order in which they stand: then few have to wait for others.
        for entry in sorted(entries, key=_created):
            if entry.id in held:
                continue
            if (entry.case_ref or entry.id) != self.id:
                raise ValueError(f"{entry.id} is of case {entry.case}")
            held[entry.id] = entry
            place = self._put(entry)
            if place is None:
                continue
            fresh.append(place)
            ready = waits.pop(entry.id, None) if waits else None
            while ready:
                one = ready.pop()
                place = self._put(one)
                if place is not None:
                    fresh.append(place)
                    ready += waits.pop(one.id, ())
        if fresh:
            self._judge(fresh)
        return len(held) - before

    def _put(self, one: Entry) -> _Place | None:
        """Give an entry its place; None when it waits for one that it names."""  # 1, 2
        places, entry = self._places, one.id
        at, depth = one.created, 0
        # Every entry of a party comes after the one before, and the first after the
        # entry that opened the case.
        before = one.previous_ref or one.case_ref
        refs: tuple[str, ...] = one.after_refs
        if before:
            refs = (before, one.about_ref, *refs) if one.about_ref else (before, *refs)
        for ref in refs:
            named = places.get(ref)
            if named is None:
                self._waits.setdefault(ref, []).append(one)
                return None
            if named[0] > at:
                at = named[0]
            if named[1] >= depth:
                depth = named[1] + 1
        heads = self._heads
        for ref in refs:
            heads.pop(ref, None)
        if at != one.created and instant(at) - instant(one.created) > _SKEW:
            self._mark(entry, Flag.BACKDATED)
        place = places[entry] = (at, depth, entry)
        heads[entry] = None
        # An entry goes on from its author's last one, and alone; the first places of
        # the chains are told apart by the author.
        previous, author = one.previous_ref, one.created_by_ref
        if previous and self._held[previous].created_by_ref != author:
            self._mark(entry, Flag.NOT_OWN_CHAIN)
        elif (first := self._nexts.setdefault(previous or author, entry)) != entry:
            # Both are shown, and which of them came here first means nothing.
            if Flag.FORK not in self._marked.get(first, ()):
                self._mark(first, Flag.FORK)
            self._mark(entry, Flag.FORK)
        return place

    def _mark(self, entry: str, flag: Flag) -> None:
        self._marked.setdefault(entry, []).append(flag)

    def _judge(self, fresh: list[_Place]) -> None:
        """Judge what came: on top of the rest if it stands behind it, else all anew."""
        fresh.sort()
        order = self._order
        behind = not order or order[-1] < fresh[0]
        order += fresh
        if not behind:
            order.sort()
            self.state, self._judged, self._counts = State(), {}, {}
            fresh = order
        held, judged, judge = self._held, self._judged, self._do
        for at, _, entry in fresh:
            flag = judge(held[entry], at)
            if flag is not None:
                judged[entry] = flag

    def _do(self, one: Entry, at: str) -> Flag | None:
        """Let one entry do what it does, or say why it does nothing."""  # 3
        state, author = self.state, one.created_by_ref
        if not one.case_ref:
            open_case(state, one)
            return None
        part = state.parts.get(author)
        if part is None:
            return Flag.NOT_IN_CASE
        count = self._counts[author] = self._counts.get(author, 0) + 1
        if count > MOST:
            return Flag.FLOOD
        if one.id in self._marked and Flag.NOT_OWN_CHAIN in self._marked[one.id]:
            return Flag.NOT_OWN_CHAIN
        if one.for_ref and one.for_ref != author:
            part = state.parts.get(one.for_ref)
            if part is None or not part.mail or part.by != author:
                return Flag.FOR_ANOTHER
            part.signature = one.mail_signature
        do = DO.get(one.kind)
        if do is None:
            return Flag.UNKNOWN_KIND
        flag = do(state, one, self._held)
        if flag is None:
            if at > state.last:
                state.last = at
            if one.kind not in TOLD:
                part.last = at
                part.answered = part.answered or at
        return flag

    # What is asked of it

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, entry: str) -> bool:
        return entry in self._held

    @property
    def waiting(self) -> list[Entry]:
        """Give the entries that wait for one that is not here, by id."""
        places = self._places
        waiting = sorted(key for key in self._held if key not in places)
        return [self._held[key] for key in waiting]

    @property
    def missing(self) -> list[str]:
        """Give the entries that others wait for and that are not here, by id."""
        return sorted(key for key in self._waits if key not in self._held)

    def entry(self, entry: str) -> Entry:
        """Give an entry that is here."""
        return self._held[entry]

    def flags(self, entry: str) -> tuple[Flag, ...]:
        """Give what is wrong with an entry, in the order of `Flag`."""
        found = {*self._marked.get(entry, ())}
        if entry in self._judged:
            found.add(self._judged[entry])
        return tuple(flag for flag in Flag if flag in found) if found else ()

    def lines(self, since: str = "") -> Iterator[Line]:
        """Give the entries in order, from a time on."""
        first = bisect_left(self._order, (since, 0, "")) if since else 0
        for _, _, entry in self._order[first:]:
            yield Line(self._held[entry], self.flags(entry))

    def last(self, kind: str) -> Entry | None:
        """Give the last entry of a kind that had an effect."""
        for _, _, entry in reversed(self._order):
            if self._held[entry].kind == kind and entry not in self._judged:
                return self._held[entry]
        return None

    def flagged(self) -> list[str]:
        """Give the ids of the entries with which something is wrong."""
        return sorted({*self._marked, *self._judged})

    def tail(self, author: str) -> str:
        """Give the last entry of a party, that its next goes on from."""
        for _, _, entry in reversed(self._order):
            if self._held[entry].created_by_ref == author:
                return entry
        return ""

    def heads(self, previous: str = "") -> tuple[str, ...]:
        """Give the entries that none follows, but for the one gone on from."""
        return tuple(sorted(one for one in self._heads if one != previous))

    def digest(self) -> str:
        """Give the digest of the set of entries: those that wait are in it."""
        return _digest(self._held)

    def digests(self) -> dict[str, tuple[int, str]]:
        """Give count and digest of each author's entries, to find where sets differ."""
        by: dict[str, list[str]] = {}
        for one in self._held.values():
            by.setdefault(one.created_by_ref, []).append(one.id)
        return {who: (len(ids), _digest(ids)) for who, ids in sorted(by.items())}

    def document(self) -> dict[str, Any]:
        """Give the state as JSON has it, with the digest of the set it is of."""
        return {
            "case": self.id,
            "entries": self.digest(),
            "flags": {one: list(self.flags(one)) for one in self.flagged()},
            "state": msgspec.to_builtins(self.state),
            "waiting": [one.id for one in self.waiting],
        }

    def hash(self) -> str:
        """Give the SHA-256 of the RFC 8785 text of the state, in hexadecimal.

        Equal sets have equal hashes, and others have others: an id is made of what its
        entry says, and all ids are in it.
        """
        return hashlib.sha256(canonical(self.document())).hexdigest()


def _digest(ids: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()
