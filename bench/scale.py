"""Page time in a large store against that in a small one: every filter, any depth."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

from rich.markup import escape
from rich.table import Table

from bench.figures import Figure, Limit, amount, console, seconds
from bench.fill import BULK, COMMON_TYPE, LATE, PUBLIC, RARE_TYPE, READER, Filled, fill
from bench.nodes import WHOLE, found_node
from bench.sizes import Sizes
from serantau.node import Node
from serantau.records.database import Tx
from serantau.records.views import Asked, View

_MOST = 1.5
_RUNS = 9
# Whoever waits this long for one page has seen enough.
_SLOW_SECONDS = 0.5
_START, _WITHHELD, _MIDDLE, _FEED, _END = 0.0, 0.3, 0.5, 0.6, 0.9
_PLACES = {
    "the start": _START,
    "a run of withheld objects": _WITHHELD,
    "the middle": _MIDDLE,
    "a run of superseded versions": _FEED,
    "near the end": _END,
}
_PARTIES = {
    READER: "a member",
    PUBLIC: "a party whose objects are rare",
    LATE: "a party let in later",
}
_RARE_PAGE = 100
_SHOWN = 40

Question = Callable[[Filled], dict[str, Any]]
_FILTERS: dict[str, Question] = {
    "none": lambda _: {},
    "match[type], common": lambda _: {"types": (COMMON_TYPE,)},
    "match[type], rare": lambda _: {"types": (RARE_TYPE,), "limit": _RARE_PAGE},
    "match[id], one": lambda filled: {"ids": (filled.ids[len(filled.ids) // 2],)},
    "match[id], a hundred": lambda filled: {"ids": tuple(filled.ids)},
    "match[version]=all": lambda _: {"all_versions": True},
    "match[version]=first": lambda _: {"first": True, "last": False},
    "match[version]=<time>, of one": lambda filled: {
        "at": (filled.moment,),
        "last": False,
    },
    "match[version]=<time>, of many": lambda _: {"at": (BULK,), "last": False},
    "match[version]=last,<time>": lambda filled: {"at": (filled.moment,)},
    "match[version]=first,last": lambda _: {"first": True},
    "match[type], rare, [version]=first": lambda _: {
        "types": (RARE_TYPE,),
        "first": True,
        "last": False,
        "limit": _RARE_PAGE,
    },
}


@dataclass(frozen=True, slots=True)
class _Case:
    """One question: by whom, where in the store, with which filter, for what."""

    party: str
    place: str
    filter: str
    manifest: bool

    def __str__(self) -> str:
        return f"{_PARTIES[self.party]}, {self.place}"

    @property
    def what(self) -> str:
        """Name the filter and what is asked for."""
        kind = "Manifest" if self.manifest else "Page"
        return f"{kind} time, filter {self.filter}"


@dataclass(slots=True)
class _Store:
    """A filled store, open: its views of the released collection by party."""

    node: Node
    filled: Filled
    tx: Tx
    views: dict[str, View]

    def ask(self, case: _Case) -> int:
        """Read what a case asks for; give how many objects came."""
        after = self.filled.places[_PLACES[case.place]] if case.place else -1
        asked = Asked(after=after, **_FILTERS[case.filter](self.filled))
        view = self.views[case.party]
        if case.manifest:
            return len(self.node.views.lines(self.tx, view, asked)[0])
        return self.node.views.page(self.tx, view, asked).count


@dataclass(frozen=True, slots=True)
class _Taken:
    """What a case took in the small store and in the big one, in milliseconds."""

    case: _Case
    small: float
    big: float
    counts: tuple[int, int]

    @property
    def ratio(self) -> float:
        return self.big / self.small


def measure(sizes: Sizes) -> list[Figure]:
    """Fill two stores and ask both the same."""
    with ExitStack() as stack:
        small, big = (
            _filled(sizes, count, stack) for count in (sizes.small, sizes.big)
        )
        taken = [_compare(case, small, big) for case in _cases()]
    _show(taken, sizes)
    worst: dict[str, _Taken] = {}
    for one in taken:
        held = worst.setdefault(one.case.what, one)
        if one.ratio > held.ratio:
            worst[one.case.what] = one
    return [_figure(what, one, sizes) for what, one in worst.items()]


def _figure(what: str, worst: _Taken, sizes: Sizes) -> Figure:
    return Figure(
        f"{what}, {sizes.big:,} objects",
        (worst.big,),
        "ms",
        limits=(Limit(f"that at {sizes.small:,}", worst.small, most=_MOST),),
        note=f"worst case: {worst.case}",
    )


def _filled(sizes: Sizes, count: int, stack: ExitStack) -> _Store:
    bench = found_node(sizes.folder / f"scale-{count}")
    node = stack.enter_context(Node(bench.config))
    made: list[Filled] = []
    taken = seconds(lambda: made.append(fill(node, count, tuple(_PLACES.values()))))
    console.print(f"Filled a store with {count:,} object versions in {taken:.0f} s")
    tx = stack.enter_context(node.db.read())
    collection = node.registry.collection(tx, WHOLE)
    saved = node.registry.saved(tx, collection)
    views = {
        party: node.views.view(tx, node.registry.party(tx, party)[0], saved)
        for party in _PARTIES
    }
    return _Store(node, made[0], tx, views)


def _cases() -> list[_Case]:
    return [
        _Case(party, place, name, manifest)
        for manifest in (False, True)
        for name in _FILTERS
        for party in _PARTIES
        for place in _PLACES
        if not manifest or name in ("none", "match[version]=all")
    ]


def _compare(case: _Case, small: _Store, big: _Store) -> _Taken:
    """Ask both stores in turn, so that what else the machine does happens to both."""
    counts = (small.ask(case), big.ask(case))
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(_RUNS):
        for store, heard in zip((small, big), times, strict=True):
            heard.append(seconds(partial(store.ask, case)) * 1000)
        if times[1][-1] > _SLOW_SECONDS * 1000:
            break
    first, second = map(statistics.median, times)
    return _Taken(case, first, second, counts)


def _show(taken: list[_Taken], sizes: Sizes) -> None:
    table = Table(title="The worst cases")
    for column in (
        "What",
        "Case",
        f"{sizes.small:,}",
        f"{sizes.big:,}",
        "Ratio",
        "Got",
    ):
        table.add_column(column)
    for one in sorted(taken, key=lambda each: -each.ratio)[:_SHOWN]:
        if one.ratio <= _MOST:
            break
        table.add_row(
            escape(one.case.what),
            str(one.case),
            amount(one.small, "ms"),
            amount(one.big, "ms"),
            f"{one.ratio:.2f}",
            "{} / {}".format(*one.counts),
        )
    console.print(table)
    middle = statistics.median(one.ratio for one in taken)
    over = sum(one.ratio > _MOST for one in taken)
    console.print(
        f"{len(taken)} cases, {over} above {_MOST}; the median ratio is {middle:.2f}."
    )
