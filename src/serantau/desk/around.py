"""What is around an object: its neighbours one step away, and when it was seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from serantau.clock import instant, moment
from serantau.desk.dossier import names_of
from serantau.errors import NotFound
from serantau.node import Node

MOST: Final = 60
"""Neighbours of one step that are drawn."""
SEEN: Final = 500
"""Sightings of one object that are counted, the newest ones."""
_DAYS: Final = 62
# References that say how an object is marked, not what it is about.
_NOT_DRAWN: Final = frozenset({"object_marking_refs", "granular_markings"})


@dataclass(frozen=True, slots=True)
class Spot:
    """An object in a drawing. held: whether it is here."""

    id: str
    type: str
    name: str
    held: bool


@dataclass(frozen=True, slots=True)
class Line:
    """A reference, or a relationship in its own words, from one object to another."""

    source: str
    target: str
    label: str


@dataclass(frozen=True, slots=True)
class Around:
    """An object (the first of `spots`) and what is one step from it.

    cut: there is more than was looked at.
    """

    spots: Sequence[Spot]
    lines: Sequence[Line]
    cut: bool


def around(node: Node, object_id: str, most: int = MOST) -> Around:
    """Give an object's neighbours; a relationship is a line, not an object.

    Raises:
        NotFound: the node has no such object.
    """
    with node.db.read() as tx:
        held = node.search.versions(tx, object_id)
        if not held:
            raise NotFound(f"This node has no object {object_id}.")
        near = node.search.neighbours(tx, object_id, 4 * most)
        between = {
            name: node.search.versions(tx, name)[-1].body
            for name, kind, _ in near
            if kind == "relationship"
        }
    lines: dict[Line, None] = {}
    for property_, target in node.reader.read(held[-1].body).edges:
        if property_ not in _NOT_DRAWN and target != object_id:
            lines[Line(object_id, target, property_)] = None
    for name, kind, property_ in near:
        if kind == "relationship" and property_ in {"source_ref", "target_ref"}:
            said = orjson.loads(between[name])
            ends = str(said.get("source_ref")), str(said.get("target_ref"))
            lines[Line(*ends, str(said.get("relationship_type")))] = None
        elif property_ not in _NOT_DRAWN:
            lines[Line(name, object_id, property_)] = None
    others = dict.fromkeys(
        end for line in lines for end in (line.source, line.target) if end != object_id
    )
    chosen = [object_id, *list(others)[:most]]
    names = names_of(node, chosen)
    drawn = [line for line in lines if {line.source, line.target} <= set(chosen)]
    return Around(
        [
            Spot(one, one.partition("--")[0], names.get(one, ""), one in names)
            for one in chosen
        ],
        drawn,
        len(others) > most or len(near) == 4 * most,
    )


@dataclass(frozen=True, slots=True)
class Seen:
    """How often an object was sighted. points: by day, or by month; cut: the newest."""

    points: Sequence[tuple[str, int]]
    sightings: int
    times: int
    cut: bool


def seen(node: Node, object_id: str) -> Seen:
    """Count the sightings of an object over time."""
    with node.db.read() as tx:
        bodies = node.search.sightings(tx, object_id, SEEN + 1)
    told = [orjson.loads(body) for body in bodies[:SEEN]]
    days: Counter[str] = Counter()
    for one in told:
        if one.get("sighting_of_ref") == object_id:
            days[_day(one)] += _times(one)
    dated = sorted(day for day in days if day)
    points = [(day, days[day]) for day in dated]
    if len(dated) > _DAYS:
        months: Counter[str] = Counter()
        for day in dated:
            months[day[:7]] += days[day]
        points = sorted(months.items())[-_DAYS:]
    return Seen(points, len(told), sum(days.values()), len(bodies) > SEEN)


def _day(one: dict[str, Any]) -> str:
    text = one.get("last_seen") or one.get("first_seen") or one.get("created")
    try:
        return f"{moment(instant(str(text))):%Y-%m-%d}"
    except ValueError:
        return ""


def _times(one: dict[str, Any]) -> int:
    count = one.get("count", 1)
    return count if isinstance(count, int) else 1
