"""Large stores, filled by bulk SQL through a node's own tables, laid out to hurt.

Rows go straight into `object`, a hundred thousand a transaction, with ids, keys, slots
and stamps as admitting them would give; bodies are as long as those of the corpus.
Nothing is read, searched or linked, since pages use neither. From the start to the end
of the store lie:

    0.00  everything mixed
    0.30  nothing but objects that the reader may not have, all modified at one instant
    0.40  everything mixed
    0.58  the first versions of a feed's indicators
    0.60  49 later versions of each, day by day: none is the first, none is the last
    0.70  the last versions of them
    0.702 everything mixed, to the end

What is rare is as rare in absolute numbers in a store of any size.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import orjson

from serantau.clock import instant, stix_text
from serantau.node import Node
from serantau.records import tables
from serantau.rules.marking import TLP_2_IDS, MarkingSet, Tlp, make_audience
from serantau.rules.stix import id_key

READER, PUBLIC, LATE = "sg", "public", "jp"
COMMON_TYPE, RARE_TYPE = "indicator", "campaign"
BULK = instant("2025-06-01T00:00:00Z")
RARE = 2_000
_ROUNDS = 50
_STATEMENTS = 12
_BATCH = 100_000
_FEED = 0.002
_START = instant("2025-01-01T00:00:00Z")
_COLUMNS = (
    "added",
    "key",
    "modified",
    "slot",
    "type",
    "source",
    "id",
    "version",
    "own_set",
    "body",
    "prior",
)
# Of a hundred objects in a mixed part.
_TYPES = {COMMON_TYPE: 50, "ipv4-addr": 20, "relationship": 20, "sighting": 10}
_BODY = (
    '{"type":"%s","spec_version":"2.1","id":"%s","created":"%s","modified":"%s",'
    '"name":"%s","description":"'
    + "Seen on several networks of the region. " * 8
    + '"}'
)


@dataclass(slots=True)
class Filled:
    """What is where in a filled store.

    places: fraction of the store -> the stamp before it. ids: of a hundred objects that
    the reader may have, spread evenly. moment: when one of these was modified.
    """

    count: int
    places: dict[float, int] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)
    moment: int = 0


@dataclass(frozen=True, slots=True)
class _Row:
    """An object version to be written; serial: of the object, for its id."""

    serial: int
    type: str
    set: str
    modified: int
    superseded: bool = False
    first: bool = True


def fill(node: Node, count: int, places: tuple[float, ...]) -> Filled:
    """Fill an empty store; then let a party in that was blocked until now.

    Args:
        node: newly founded.
        count: object versions.
        places: fractions of the store whose stamps are wanted.
    """
    _block(node, LATE, blocked=True)
    sets = _sets(node)
    filled = Filled(count)
    wanted = {int(count * place): place for place in places}
    every = max(1, count // 100)
    rows = _rows(count)
    for start in range(0, count, _BATCH):
        size = min(_BATCH, count - start)
        with node.db.write() as tx:
            first = tx.stamps(size)
            words = node.audiences.words(tx, [*_TYPES, RARE_TYPE, "file"])
            batch = []
            for place, row in zip(range(start, start + size), rows, strict=False):
                added = first + place - start
                written = _written(row, added, sets, words)
                batch.append(written)
                if place in wanted:
                    filled.places[wanted[place]] = added - 1
                if place >= every * len(filled.ids) and row.set == "green":
                    filled.ids.append(written[6])
                if not filled.moment and row.set == "green":
                    filled.moment = row.modified
            tx.insert_many(tables.object_, _COLUMNS, batch)
    _block(node, LATE, blocked=False)
    return filled


def _rows(count: int) -> Iterator[_Row]:
    """Give the rows of a store from its start to its end."""
    chance = random.Random(1)
    kinds = [name for name, share in _TYPES.items() for _ in range(share)]
    marks = ["green"] * 45 + ["amber"] * 25 + ["named"] * 6
    marks += [f"statement {n}" for n in range(_STATEMENTS) for _ in range(2)]
    mixed = [(chance.choice(kinds), chance.choice(marks)) for _ in range(10_007)]
    rare = max(1, count // RARE)
    feed = max(1, int(count * _FEED))
    bulk = (int(count * 0.3), int(count * 0.4))
    first = int(count * 0.58)
    rounds = range(int(count * 0.6), int(count * 0.6) + feed * (_ROUNDS - 1))
    for place in range(count):
        at = _START + place * 1_000
        kind, mark = mixed[place % len(mixed)]
        if bulk[0] <= place < bulk[1]:
            yield _Row(place, kind, "amber", BULK)
        elif first <= place < first + feed:
            yield _Row(first + (place - first), COMMON_TYPE, "green", at, True)
        elif place in rounds:
            serial = first + (place - rounds.start) % feed
            last = place >= rounds.stop - feed
            yield _Row(serial, COMMON_TYPE, "green", at, not last, first=False)
        elif place % rare == 1:
            yield _Row(place, RARE_TYPE, "green", at)
        elif place % rare == 2 % rare:
            yield _Row(place, kind, "clear", at)
        else:
            yield _Row(place, kind, mark, at)


def _written(
    row: _Row, added: int, sets: dict[str, int], words: dict[str, int]
) -> tuple[int, int, int, int, int, int, str, str, int, bytes, int]:
    # An odd factor spreads the ids; the serial in them keeps them apart.
    spread = row.serial * 2_654_435_761 % 2**32
    name = f"{row.type}--{spread:08x}-0000-4000-8000-{row.serial:012x}"
    version = stix_text(row.modified)
    number = sets[row.set]
    return (
        added,
        id_key(name),
        row.modified,
        2 * number + row.superseded,
        words[row.type],
        words["file"],
        name,
        version,
        number,
        (_BODY % (row.type, name, version, version, row.serial)).encode(),
        0 if row.first else 1,
    )


def _sets(node: Node) -> dict[str, int]:
    """Make the marking sets: some for all members, some named, one for nobody else."""
    green, amber = (TLP_2_IDS[level] for level in (Tlp.GREEN, Tlp.AMBER))
    audience = make_audience(named=(READER, "vn"))
    statements = [_statement(number) for number in range(_STATEMENTS)]
    with node.db.write() as tx:
        versions = [
            node.reader.read(orjson.dumps(made)) for made in (audience, *statements)
        ]
        node.objects.admit(
            tx, versions, source="file", handling=lambda _: Tlp.AMBER_STRICT
        )
        refs: dict[str, tuple[str, ...]] = {
            "clear": (TLP_2_IDS[Tlp.CLEAR],),
            "green": (green,),
            "amber": (amber,),
            "named": (amber, audience["id"]),
        }
        for number, made in enumerate(statements):
            refs[f"statement {number}"] = (green, str(made["id"]))
        return {
            name: node.audiences.set_number(tx, MarkingSet(refs=marks))
            for name, marks in refs.items()
        }


def _statement(number: int) -> dict[str, object]:
    return {
        "type": "marking-definition",
        "spec_version": "2.1",
        "id": f"marking-definition--00000000-0000-4000-8000-{number:012x}",
        "created": stix_text(_START),
        "definition_type": "statement",
        "definition": {"statement": f"Terms of source {number} apply."},
    }


def _block(node: Node, name: str, *, blocked: bool) -> None:
    with node.db.write() as tx:
        _, party = node.registry.party(tx, name)
        node.registry.put_party(tx, replace(party, blocked=blocked))
