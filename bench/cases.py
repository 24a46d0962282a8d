"""How fast cases are: folded, on the board, with many parties, and at ten peers."""

from __future__ import annotations

import gc
import random
import sqlite3
import statistics
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial

import orjson

from bench.figures import Figure, Limit, at_percent, seconds, several
from bench.nodes import found_node
from bench.sizes import Sizes
from serantau.desk.cases import Casework
from serantau.desk.signing import card_of, pin_in
from serantau.node import Node
from serantau.records.cases import Cases
from serantau.rules.case import Case
from serantau.rules.case_entry import Kind, make_entry, read_entry
from serantau.rules.level import Tlp
from serantau.rules.party import Kind as PartyKind
from serantau.rules.party import Party

_FOLD_SECONDS = 0.05
_BOARD_SECONDS = 0.1
_VISIBLE_SECONDS = 1.0
_AUTHORS = 12
_SECOND = 1_000_000
_BEGUN = 1_790_000_000 * _SECOND
_PEERS = ("sg", "id", "vn", "my", "ph", "bn", "kh", "la", "mm", "tl")
_MANY = 121
_FEW = 11
_ARRIVAL_SECONDS = 60.0
_LOOK_SECONDS = 0.002
# Longer than a node takes to see that it has new peers.
_SETTLE_SECONDS = 5.0


def measure(sizes: Sizes) -> list[Figure]:
    """Measure what the screens of a case wait for."""
    return [_fold(sizes), _board(sizes), _crowd(sizes), *_visible(sizes)]


def _fold(sizes: Sizes) -> Figure:
    bodies = [orjson.dumps(one) for one in _entries(sizes.entries)]
    entries = [read_entry(body) for body in bodies]
    parsed = seconds(lambda: [orjson.loads(body) for body in bodies])

    def fold() -> float:
        # As in a node that serves: the collector looks at nothing from before.
        gc.collect()
        gc.freeze()
        begun = time.perf_counter()
        made = Case(entries[0].id, entries)
        taken = time.perf_counter() - begun
        gc.unfreeze()
        assert len(made) == len(entries), made.missing
        assert not made.flagged(), made.flags(made.flagged()[0])
        return taken

    return Figure(
        f"Fold of a case of {len(entries):,} entries",
        several(sizes.runs, fold),
        "s",
        target=_FOLD_SECONDS,
        limits=(Limit("parsing their JSON", parsed),),
        note=f"{_AUTHORS} authors, in the order of writing",
    )


def _entries(count: int) -> Iterator[dict[str, object]]:
    """Write the log of a long case: each author says something about what came before.

    Yields:
        Entries, ready to be folded without a flag.
    """
    authors = [_identity(number) for number in range(_AUTHORS)]
    last: dict[str, str] = {}
    case = newest = ""
    for number in range(count):
        author = authors[0]
        said: dict[str, object]
        if not case:
            kind, said = Kind.OPENED, {"name": "Long case", "nonce": "0" * 32}
        elif number < _AUTHORS:
            kind, said = Kind.INVITED, {"party_ref": authors[number]}
        else:
            author = authors[number % _AUTHORS]
            kind, said = Kind.ASSESSMENT, {"description": f"round {number}"}
            if author != authors[0] and author not in last:
                kind, said = Kind.ACKNOWLEDGED, {}
        previous = last.get(author, "")
        made = make_entry(
            kind,
            said,
            author=author,
            at=_BEGUN + number * 60 * _SECOND,
            level=Tlp.AMBER,
            case=case,
            previous=previous,
            after=() if newest == previous else (newest,),
        )
        newest = last[author] = str(made["id"])
        case = case or newest
        yield made


def _board(sizes: Sizes) -> Figure:
    bench = found_node(sizes.folder / "board")
    with Node(bench.config) as node:
        desk = Casework(node)
        one = desk.open("Case", severity_level="high")
        with node.db.write() as tx:
            for number in range(1, sizes.cases):
                like = replace(one, id=f"{one.id[:-8]}{number:08x}", opened=number)
                Cases().show(tx, like)
        shown = several(sizes.runs, lambda: seconds(desk.board))
        assert len(desk.board()) == sizes.cases
    with closing(sqlite3.connect(bench.home / "serantau.db")) as store:
        ask = "SELECT * FROM case_board ORDER BY changed DESC"
        read = seconds(lambda: store.execute(ask).fetchall())
    return Figure(
        f"Board of {sizes.cases:,} open cases",
        shown,
        "s",
        target=_BOARD_SECONDS,
        limits=(Limit("reading its rows", read),),
        note="all lines, in order, in the process that shows them",
    )


def _crowd(sizes: Sizes) -> Figure:
    """Write into a case of all parties that a region may have, and into a small one."""
    bench = found_node(sizes.folder / "crowd")
    taken: dict[int, list[float]] = {}
    with Node(bench.config) as node:
        names = [f"party-{number}" for number in range(1, _MANY)]
        with node.db.write() as tx:
            for number, name in enumerate(names):
                party = Party(name, PartyKind.MEMBER, identity=_identity(number))
                node.registry.put_party(tx, party)
        desk = Casework(node)
        for many in (_FEW, _MANY):
            case = desk.open("Flood", names[: many - 1]).id
            write = partial(desk.assess, case, description="nothing new")
            taken[many] = [seconds(write) for _ in range(sizes.written)]
    return Figure(
        f"An entry into a case of {_MANY} parties",
        (statistics.median(taken[_MANY]),),
        "s",
        limits=(Limit(f"one of {_FEW} parties", statistics.median(taken[_FEW])),),
        note="written, signed and folded; on disk",
    )


def _identity(number: int) -> str:
    return f"identity--{uuid.uuid5(uuid.NAMESPACE_URL, f'party {number}')}"


def _visible(sizes: Sizes) -> list[Figure]:
    """Open cases one by one at a node, and see them on the boards of ten others."""
    folder = sizes.folder / "visible"
    source = found_node(folder)
    peers = [found_node(folder, name) for name in _PEERS[: sizes.peers]]
    with Node(source.config) as node:
        for peer in peers:
            peer.follow(source)
            with Node(peer.config) as there, node.db.write() as tx:
                card = card_of(peer.member, there.signer.key)
                pin_in(node, tx, peer.member, card, "bench")
                _, held = node.registry.party(tx, peer.member)
                own = there.config.node.identity
                node.registry.put_party(tx, replace(held, identity=own))
    opened: list[float] = []
    taken: list[float] = []
    with ExitStack() as stack:
        for each in (source, *peers):
            stack.enter_context(each.served())
        stores = [
            stack.enter_context(closing(sqlite3.connect(one.home / "serantau.db")))
            for one in peers
        ]
        desk = Casework(stack.enter_context(Node(source.config)))
        names = [one.member for one in peers]
        chance = random.Random(sizes.opened)
        _arrived(stores, desk.open("The first", names).id)
        time.sleep(_SETTLE_SECONDS)
        for number in range(sizes.opened):
            # Whoever looks in steps is met at any moment of a step.
            time.sleep(chance.random() / 5)
            begun = time.perf_counter()
            case = desk.open(f"Case {number}", names, severity_level="high").id
            opened.append(time.perf_counter() - begun)
            taken += [seen - begun for seen in _arrived(stores, case)]
    limit = Limit("opening it", statistics.median(opened))
    note = (
        f"{sizes.opened} cases, from the call that opens one and invites all, to the "
        f"line on each of {len(peers)} boards; all nodes are on this machine"
    )
    what = f"A case visible at {len(peers)} peers"
    return [
        Figure(
            f"{what}, median", (at_percent(taken, 50),), "s", limits=(limit,), note=note
        ),
        Figure(
            f"{what}, p99",
            (at_percent(taken, 99),),
            "s",
            target=_VISIBLE_SECONDS,
            note=note,
        ),
    ]


def _arrived(stores: list[sqlite3.Connection], case: str) -> list[float]:
    """Wait for a case on every board; give when it was seen on each.

    Raises:
        AssertionError: it did not come everywhere within a minute.
    """
    give_up = time.perf_counter() + _ARRIVAL_SECONDS
    seen: dict[int, float] = {}
    while len(seen) < len(stores):
        for place, store in enumerate(stores):
            ask = "SELECT 1 FROM case_board WHERE id = ?"
            if place not in seen and store.execute(ask, (case,)).fetchone():
                seen[place] = time.perf_counter()
        assert time.perf_counter() < give_up, f"{case} is not on every board"
        time.sleep(_LOOK_SECONDS)
    return list(seen.values())
