"""The list of objects that a node's own people see: found, and told in a line each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from serantau.desk.dossier import named
from serantau.node import Node
from serantau.records.database import Tx
from serantau.records.search import Found
from serantau.records.shelf import Looked, Only, Shelf
from serantau.rules.level import Pap, Recalled, Tlp
from serantau.rules.marking import Marking, MarkingSet, in_words, look_up, tlp_of


@dataclass(frozen=True, slots=True)
class Label:
    """A marking as a label has it: the level, PAP (None for none), and all in words."""

    tlp: Tlp
    pap: Pap | None
    words: str


@dataclass(frozen=True, slots=True)
class Line:
    """An object in a list. added: the instant at which its newest version came."""

    id: str
    type: str
    name: str
    added: int
    source: str
    label: Label
    recalled: Recalled


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person looks for. level: a TLP label; type, source: empty for any.

    since: an instant. before: where the page before ended.
    """

    text: str = ""
    type: str = ""
    level: Tlp | None = None
    source: str = ""
    since: int = 0
    before: int = 0


@dataclass(frozen=True, slots=True)
class Listed:
    """A page. onward, cut: as `records.shelf.Looked` says them."""

    lines: Sequence[Line]
    onward: int
    cut: bool


def listed(node: Node, asked: Asked, limit: int = 50) -> Listed:
    """Find objects, newest first."""
    shelf = Shelf(node.search)
    with node.db.read() as tx:
        only = Only(
            sets=None if asked.level is None else _of_level(node, tx, asked.level),
            types=(asked.type,) if asked.type else (),
            source=asked.source,
            since=asked.since,
            before=asked.before,
        )
        looked: Looked
        if asked.text.strip():
            looked = shelf.holding(tx, asked.text, only, limit)
        else:
            looked = shelf.newest(tx, only, limit)
        labels = labels_of(node, tx, looked.found)
    names = named(node, [one.body for one in looked.found])
    lines = [
        Line(
            one.id,
            one.type,
            name,
            one.added,
            one.source,
            labels[one.marking_set],
            one.recalled,
        )
        for one, name in zip(looked.found, names, strict=True)
    ]
    return Listed(lines, looked.onward, looked.cut)


def labels_of(node: Node, tx: Tx, found: Sequence[Found]) -> dict[int, Label]:
    """Give the labels of marking sets by number."""
    known = node.audiences.known(tx)
    return {
        number: label_of(known, node.audiences.set_of(tx, number))
        for number in {one.marking_set for one in found}
    }


def label_of(known: Mapping[str, Marking], marked: MarkingSet) -> Label:
    """Give the label of one marking set."""
    paps = [
        found.pap
        for part in marked.each()
        for found in (look_up(ref, known) for ref in part.refs)
        if found.pap is not None
    ]
    words = in_words(marked, known)
    return Label(tlp_of(marked, known), max(paps, default=None), words)


def _of_level(node: Node, tx: Tx, level: Tlp) -> frozenset[int]:
    known = node.audiences.known(tx)
    return frozenset(
        number
        for number, marked in node.audiences.sets(tx).items()
        if tlp_of(marked, known) is level
    )


def sources(node: Node) -> list[str]:
    """Name where objects may have come from."""
    with node.db.read() as tx:
        rows = tx.rows(
            "SELECT text FROM word WHERE text LIKE 'user:%' OR text LIKE 'peer:%' "
            "OR text IN ('file', 'events', 'founding', 'cases', 'contacts', 'keys', "
            "'behalf') ORDER BY text LIMIT 200"
        )
    return [str(row.text) for row in rows]
