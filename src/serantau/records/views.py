"""What one party sees of one collection, a page at a time.

A view is a handful of streams: the rows of a marking set, in the store, in a box, or
entered anew for this party. Each is one range of an index, ordered by stamp; SQL merges
them and stops at the page's end. So a page costs the same at any depth and size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import orjson

from serantau.records.audiences import Audiences
from serantau.records.database import Tx
from serantau.records.many import bound, many_sql
from serantau.rules.stix import id_key

# SQLite compiles at most 500 SELECTs into one compound; the merge nests beyond this.
_MERGE_WIDTH = 200
# With more ranges than this they are bound as a list instead of being written out.
_MANY = 100
# Rows that lie within so many times their number of stamps are read as one range, when
# at least one in so many of what is wanted is there; fewer than a few never.
_SPARSE = 3
_DENSE = 4
_FEW = 50


@dataclass(frozen=True, slots=True)
class Asked:
    """What a caller asks of a collection; fields are ANDed, their members ORed.

    after: only stamps greater than this. limit: objects on the page. types, ids: STIX
    types and ids, all when empty. last, first, all_versions: which versions. at: these
    versions, as instants. Times are microseconds since the epoch.
    """

    after: int = -1
    limit: int = 1000
    types: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    last: bool = True
    first: bool = False
    all_versions: bool = False
    at: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Stream:
    """Rows of one marking set: in the store (scope 0) or among a scope's entries."""

    scope: int
    marking_set: int
    since: int


@dataclass(frozen=True, slots=True)
class View:
    """What one party may see of one collection, at one epoch."""

    streams: tuple[Stream, ...]
    types: tuple[int, ...] = ()

    @property
    def plain(self) -> bool:
        """Say whether it has rows of the store only, all from the beginning."""
        return not any(stream.scope or stream.since for stream in self.streams)


@dataclass(frozen=True, slots=True)
class Page:
    """One page. `first`, `last`: stamps in this view; 0 when the page is empty.

    after: the stamp to go on behind when there is `more`; a page may be short of its
    limit, even empty, and yet have one.
    bodies: the objects' JSON, joined by commas. objects: the objects' own stamps, each
    less `base`, in no order. receipt: what goes with it, signed; empty when nobody
    asked for one.
    """

    bodies: bytes
    first: int
    last: int
    objects: Sequence[int]
    more: bool
    after: int
    base: int = 0
    receipt: str = ""

    @property
    def count(self) -> int:
        """Count the objects on the page."""
        return len(self.objects)


@dataclass(frozen=True, slots=True)
class Line:
    """One version on a page of a manifest: its id, stamp in this view, and version."""

    id: str
    added: int
    version: str
    object: int


@dataclass(frozen=True, slots=True)
class Saved:
    """A collection's query: these types only, and marking sets of these numbers only.

    `box` is the collection's number when it holds only what was put into it, else 0.
    """

    box: int = 0
    types: tuple[str, ...] = ()
    marking_sets: frozenset[int] | None = None


class Views:
    """Reads views of the store. Only `desk.share` hands what it reads to outsiders."""

    def __init__(self, audiences: Audiences) -> None:
        """Read under the verdicts that `audiences` keeps."""
        self._audiences = audiences

    def view(self, tx: Tx, party: int, saved: Saved) -> View:
        """Work out what `party` (its number) sees of a collection now."""
        rows = [
            (int(row.marking_set), int(row.since))
            for row in tx.rows(
                "SELECT marking_set, since FROM verdict "
                "WHERE party = :party AND released ORDER BY marking_set",
                party=party,
            )
            if saved.marking_sets is None or row.marking_set in saved.marking_sets
        ]
        scopes = {
            int(row.party): int(row.n)
            for row in tx.rows(
                "SELECT n, party FROM scope "
                "WHERE collection = :box AND party IN (0, :party)",
                box=saved.box,
                party=party,
            )
        }
        base = scopes.get(0, -1) if saved.box else 0
        streams = [Stream(base, number, since) for number, since in rows if base >= 0]
        if party in scopes and party:
            streams += [
                Stream(scopes[party], number, 0) for number, since in rows if since
            ]
        types: tuple[int, ...] = ()
        if saved.types:
            types = self._type_numbers(tx, saved.types) or (-1,)
        return View(tuple(streams), types)

    def _type_numbers(self, tx: Tx, types: Iterable[str]) -> tuple[int, ...]:
        return tuple(
            int(row.n)
            for row in tx.rows(
                "SELECT n FROM word WHERE " + tx.among("text", "texts") + " ORDER BY n",
                texts=tx.array(types),
            )
        )

    def page(self, tx: Tx, view: View, asked: Asked) -> Page:
        """Read one page of bodies."""
        until = self._until(tx, view, asked)
        merged, values = self._merge(tx, view, asked, until)
        if merged is None:
            return _EMPTY
        if view.plain and not (asked.ids or asked.first or asked.at):
            return self._plain(tx, view, asked, merged, values)
        row = tx.row(_page_sql(merged, tx.lite), **values)
        if row.count < asked.limit and until is not None:
            bodies = bytes(row.bodies) if row.count else b""
            stamps = orjson.loads(f"[{row.objects or ''}]")
            first, last = row.first or 0, row.last or 0
            return Page(bodies, first, last, stamps, more=True, after=until)
        if not row.count:
            return _EMPTY
        last = int(row.last)
        more = row.count == asked.limit and (
            until is not None or self._any(tx, merged, values, last)
        )
        stamps = orjson.loads(f"[{row.objects}]")
        return Page(bytes(row.bodies), int(row.first), last, stamps, more, last)

    def _until(self, tx: Tx, view: View, asked: Asked) -> int | None:
        """Give the stamp up to which one page looks; None when it is to the end.

        Whether a version is the first that the party sees of its object stands in no
        index. A long run of versions that are not would be walked by one page; so of
        each range it looks at as many rows as objects are wanted.
        """
        if not asked.first or asked.ids or asked.all_versions:
            return None
        every = replace(asked, first=False, last=False, at=(), all_versions=True)
        types = self._types(tx, view, every)
        if (asked.types and not types) or not view.streams:
            return None
        found = tx.value(
            _skip_sql(view.streams, types, tx.lite),
            after=asked.after,
            skip=asked.limit,
        )
        return None if found is None else int(found)

    def _plain(
        self,
        tx: Tx,
        view: View,
        asked: Asked,
        merged: str,
        values: dict[str, object],
    ) -> Page:
        """Read a page of a view without entries, where a row's stamp is its place.

        As far as its rows lie close together they are read as ranges of stamps, which
        needs no merge. The rest comes as anywhere else.
        """
        some = "+slot IN (" + _list(
            slot
            for stream in view.streams
            for slot in _slots(stream, only_last=not asked.all_versions)
        )
        types = self._types(tx, view, asked)
        some += f") AND +type IN ({_list(types)})" if types else ")"
        # Stamps are told by how far they lie behind the place asked for: to write out
        # and read the whole numbers takes a tenth of a page's time.
        base = max(asked.after, 0)
        stamps: list[int] = []
        bodies: list[bytes] = []
        after, more, sure = asked.after, True, False
        while more and len(stamps) < asked.limit:
            need = asked.limit - len(stamps)
            row, width = None, _SPARSE * need
            if need > _FEW:
                row = tx.row(
                    _window_sql(some, tx.lite),
                    after=after,
                    base=base,
                    width=width,
                    need=need,
                )
                if row.first is None:
                    more = False
                    break
            if row is not None and row.stamps is not None:
                found = orjson.loads(f"[{row.stamps}]")
                after = row.first + width if len(found) < need else base + found[-1]
                sure = row.count > need
            else:
                values |= {"after": after, "limit": need}
                row = tx.row(_page_sql(merged, tx.lite), **values)
                known = sorted(orjson.loads(f"[{row.objects or ''}]"))
                found = [stamp - base for stamp in known]
                more = len(found) == need
            stamps += found
            bodies += [bytes(row.bodies)] if found else []
        if not stamps:
            return _EMPTY
        first, last = base + stamps[0], base + stamps[-1]
        more = more and (sure or self._any(tx, merged, values, last))
        return Page(b",".join(bodies), first, last, stamps, more, last, base)

    def _types(self, tx: Tx, view: View, asked: Asked) -> tuple[int, ...]:
        """Give the types that both a view and a question want; none means all."""
        if not asked.types:
            return view.types
        wanted = self._type_numbers(tx, asked.types)
        return tuple(n for n in wanted if not view.types or n in view.types)

    def lines(self, tx: Tx, view: View, asked: Asked) -> tuple[list[Line], int | None]:
        """Read one page of a manifest, and say where to go on when there is more."""
        until = self._until(tx, view, asked)
        merged, values = self._merge(tx, view, asked, until)
        if merged is None:
            return [], None
        values["limit"] = asked.limit + 1
        rows = tx.rows(
            f"SELECT m.added, m.object, o.id, o.version FROM ({merged}) AS m "
            "JOIN object o ON o.added = m.object ORDER BY m.added",
            **values,
        )
        found = [
            Line(row.id, int(row.added), row.version, int(row.object)) for row in rows
        ]
        if len(found) > asked.limit:
            return found[: asked.limit], found[asked.limit - 1].added
        return found, until

    def any_after(self, tx: Tx, view: View, after: int) -> bool:
        """Say whether anything in the view has a stamp greater than `after`."""
        merged, values = self._merge(tx, view, Asked(all_versions=True))
        return merged is not None and self._any(tx, merged, values, after)

    @staticmethod
    def _any(tx: Tx, merged: str, values: dict[str, object], after: int) -> bool:
        return tx.row(merged, **{**values, "after": after, "limit": 1}) is not None

    def _merge(
        self, tx: Tx, view: View, asked: Asked, until: int | None = None
    ) -> tuple[str | None, dict[str, object]]:
        """Write the SQL that merges a view's streams, and the values it wants bound."""
        types = self._types(tx, view, asked)
        if (asked.types and not types) or not view.streams:
            return None, {}
        values: dict[str, object] = {"after": asked.after, "limit": asked.limit}
        if until is not None:
            values["until"] = until
        if asked.ids:
            values["keys"] = tx.array({id_key(text) for text in asked.ids})
        shape = _Shape(
            lite=tx.lite,
            types=types,
            by_id=tx.among("o.key", "keys") if asked.ids else "",
            last=asked.last and not asked.all_versions,
            first=asked.first and not asked.all_versions,
            all_versions=asked.all_versions,
            at=() if asked.all_versions else asked.at,
            until=until is not None,
        )
        if len(view.streams) > _MANY and shape.by_slot_alone:
            # One text for any number of them: to compile a merge of thousands of ranges
            # takes longer than to read it.
            several: dict[int, list[tuple[int, int]]] = {}
            for stream in view.streams:
                several.setdefault(stream.scope, []).extend(
                    (slot, stream.since)
                    for slot in _slots(stream, only_last=not asked.all_versions)
                )
            for place, ranges in enumerate(several.values()):
                values |= bound(tx, place, ranges)
            return many_sql(tuple(several), tx.lite), values
        return _merged(view.streams, shape), values


_EMPTY = Page(b"", 0, 0, (), more=False, after=0)


@dataclass(frozen=True, slots=True)
class _Shape:
    """The part of a question that its SQL depends on."""

    lite: bool
    types: tuple[int, ...]
    by_id: str
    last: bool
    first: bool
    all_versions: bool
    at: tuple[int, ...]
    until: bool = False

    @property
    def by_slot_alone(self) -> bool:
        """Say whether the slots that are read say all of what is wanted."""
        every = self.all_versions or (self.last and not (self.first or self.at))
        return every and not (self.types or self.by_id or self.until)


@lru_cache(maxsize=512)
def _skip_sql(streams: tuple[Stream, ...], types: tuple[int, ...], lite: bool) -> str:
    """Write the SQL that finds the first stamp behind a number of rows of any range."""
    every = _Shape(lite, types, "", False, False, True, ())
    behind = [
        f"SELECT (SELECT b.added FROM ({branch} ORDER BY 1 LIMIT 1 OFFSET :skip) AS b) "
        "AS added"
        for stream in streams
        for branch in _branches(stream, streams, every)
    ]
    while len(behind) > _MERGE_WIDTH:
        behind = [
            "SELECT min(b.added) AS added FROM ("
            + " UNION ALL ".join(behind[start : start + _MERGE_WIDTH])
            + ") AS b"
            for start in range(0, len(behind), _MERGE_WIDTH)
        ]
    return f"SELECT min(f.added) FROM ({' UNION ALL '.join(behind)}) AS f"


@lru_cache(maxsize=512)
def _merged(streams: tuple[Stream, ...], shape: _Shape) -> str:
    branches = [
        branch for stream in streams for branch in _branches(stream, streams, shape)
    ]
    while len(branches) > _MERGE_WIDTH:
        branches = [
            f"SELECT * FROM ({_union(branches[start : start + _MERGE_WIDTH])}) AS b"
            for start in range(0, len(branches), _MERGE_WIDTH)
        ]
    return _union(branches)


def _union(branches: Sequence[str]) -> str:
    return " UNION ALL ".join(branches) + " ORDER BY 1 LIMIT :limit"


def _branches(stream: Stream, streams: tuple[Stream, ...], shape: _Shape) -> list[str]:
    """Write one SELECT for each index range that a stream needs."""
    if shape.by_id:
        return [_by_object(stream, streams, shape, shape.by_id)]
    if shape.at and not shape.first:
        return _by_instant(stream, streams, shape)
    only_last = shape.last and not shape.first
    return _by_slot(stream, streams, shape, _slots(stream, only_last=only_last))


def _by_slot(
    stream: Stream, streams: tuple[Stream, ...], shape: _Shape, slots: Sequence[int]
) -> list[str]:
    """Read a stream in order of stamp."""
    row, chosen = _row(stream), _versions(shape, streams)
    source, own = "object o", ""
    if stream.scope:
        own = f"e.scope = {stream.scope} AND "
        source = "entry e" + (" JOIN object o ON o.added = e.object" if chosen else "")
    return [
        f"SELECT {row.columns} FROM {source} WHERE {own}{row.slot} = {slot}"
        + (f" AND {row.type} = {one}" if one is not None else "")
        + f" AND {row.stamp} > {_floor(stream.since, shape.lite)}"
        + (f" AND {row.stamp} <= :until" if shape.until else "")
        + chosen
        for slot in slots
        for one in (shape.types or (None,))
    ]


def _by_object(
    stream: Stream, streams: tuple[Stream, ...], shape: _Shape, found: str
) -> str:
    """Start from the few objects that `found` finds, and see which are in a stream.

    A leading `+` keeps a condition from choosing the index instead.
    """
    row = _row(stream)
    only_last = shape.last and not (shape.first or shape.at)
    slots = _list(_slots(stream, only_last=only_last))
    source, own = "object o", ""
    if stream.scope:
        source = "object o CROSS JOIN entry e"
        own = f"e.object = o.added AND +e.scope = {stream.scope} AND "
    types = f" AND +{row.type} IN ({_list(shape.types)})" if shape.types else ""
    return (
        f"SELECT {row.columns} FROM {source} WHERE {found} AND {own}"
        f"+{row.slot} IN ({slots}) AND +{row.stamp} > "
        f"{_floor(stream.since, shape.lite)}{types}{_versions(shape, streams)}"
    )


def _by_instant(
    stream: Stream, streams: tuple[Stream, ...], shape: _Shape
) -> list[str]:
    """Read the versions of some instants, and the newest when asked for too."""
    plain = _Shape(shape.lite, shape.types, "", shape.last, False, not shape.last, ())
    last, superseded = _slots(stream, only_last=False)
    found = []
    slots = [superseded]
    if shape.last:
        found = _by_slot(stream, streams, plain, [last])
    else:
        slots = [last, superseded]
        # An unversioned object's version is its stamp.
        unversioned = f"o.added IN ({_list(shape.at)}) AND +o.modified = 0"
        found = [_by_object(stream, streams, plain, unversioned)]
    every = _Shape(shape.lite, shape.types, "", False, False, True, ())
    for instant in shape.at:
        for slot in slots:
            one = f"o.modified = {instant} AND o.slot = {slot}"
            if stream.scope or shape.types:
                found.append(_by_object(stream, streams, every, one))
                continue
            found.append(
                f"SELECT {_row(stream).columns} FROM object o WHERE {one} "
                f"AND o.added > {_floor(stream.since, shape.lite)}"
            )
    return found


@dataclass(frozen=True, slots=True)
class _Row:
    """What a row of a stream is called in SQL."""

    stamp: str
    slot: str
    type: str
    columns: str


def _row(stream: Stream) -> _Row:
    name, object_ = ("e", "e.object") if stream.scope else ("o", "o.added")
    columns = f"{name}.added AS added, {object_} AS object"
    return _Row(f"{name}.added", f"{name}.slot", f"{name}.type", columns)


def _slots(stream: Stream, *, only_last: bool) -> list[int]:
    """Give the slots of a marking set: of newest versions, and of superseded."""
    last = 2 * stream.marking_set
    return [last] if only_last else [last, last + 1]


def _floor(since: int, lite: bool) -> str:
    if not since:
        return ":after"
    return f"{'max' if lite else 'greatest'}(:after, {since})"


def _versions(shape: _Shape, streams: tuple[Stream, ...]) -> str:
    """Write the condition that picks versions, where the slot does not say it."""
    if shape.all_versions or not (shape.first or shape.at):
        return ""
    either = []
    if shape.last:
        either.append("o.slot % 2 = 0")
    if shape.first:
        seen = sorted({2 * s.marking_set + odd for s in streams for odd in (0, 1)})
        # Of `prior`: whoever sees this version sees an earlier one of the same set.
        either.append(
            "(o.prior = 0 OR (o.prior = 2 AND NOT EXISTS (SELECT 1 FROM object p "
            "WHERE p.key = o.key AND p.modified < o.modified "
            f"AND p.slot IN ({_list(seen)}))))"
        )
    if shape.at:
        either.append(f"o.modified IN ({_list(shape.at)})")
        either.append(f"(o.modified = 0 AND o.added IN ({_list(shape.at)}))")
    return f" AND ({' OR '.join(either)})"


def _list(numbers: Iterable[int]) -> str:
    return ", ".join(str(int(number)) for number in numbers)


@lru_cache(maxsize=512)
def _window_sql(some: str, lite: bool) -> str:
    """Write the SQL that reads a range's bodies and stamps in one row.

    It finds the first row behind a stamp, and counts by an index alone what is near, up
    to one more than what is wanted. Of too few near it gives no stamps and no bodies.
    """
    stamps = "group_concat(added - :base)"
    bodies = "CAST(group_concat(body, ',') AS BLOB)"
    if not lite:
        stamps = "string_agg((added - :base)::text, ',' ORDER BY added)"
        bodies = "string_agg(body, ','::bytea ORDER BY added)"
    indexed = some.replace("+slot", "slot")
    return (
        "WITH f AS MATERIALIZED (SELECT min(added) AS first FROM object WHERE added > "
        ":after), n AS MATERIALIZED (SELECT f.first, (SELECT count(*) FROM (SELECT 1 "
        "FROM object WHERE added BETWEEN f.first AND f.first + :width AND "
        f"{indexed} LIMIT :need + 1) AS c) AS count FROM f) "
        "SELECT (SELECT first FROM n) AS first, (SELECT count FROM n) AS count, "
        f"{stamps} AS stamps, {bodies} AS bodies FROM (SELECT added, body "
        "FROM object WHERE added > :after AND added <= (SELECT first + :width FROM n "
        f"WHERE {_DENSE} * count >= :need) AND {some} ORDER BY added LIMIT :need) AS m"
    )


@lru_cache(maxsize=512)
def _page_sql(merged: str, lite: bool) -> str:
    """Write the SQL that reads a page's bodies as one value.

    SQLite joins in the order in which the merge gives its rows; asking it to sort again
    would copy every body, and costs three times the rest of the page.
    """
    if lite:
        bodies = "CAST(group_concat(o.body, ',') AS BLOB)"
        objects = "group_concat(m.object)"
        joined = "CROSS JOIN object o WHERE"
    else:
        bodies = "string_agg(o.body, ','::bytea ORDER BY m.added)"
        objects = "string_agg(m.object::text, ',')"
        joined = "JOIN object o ON"
    return (
        "SELECT count(*) AS count, min(m.added) AS first, max(m.added) AS last, "
        f"{objects} AS objects, {bodies} AS bodies "
        f"FROM ({merged}) AS m {joined} o.added = m.object"
    )
