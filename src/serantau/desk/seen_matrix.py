"""Which techniques of attack the objects here speak of: ATT&CK's matrix, counted.

Nothing of ATT&CK is built in. Tactics, their order and the techniques are what the
objects that were loaded say; what is counted are the relationships and sightings that
point at a technique.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from serantau.node import Node
from serantau.records.database import Tx
from serantau.records.recalls import GONE
from serantau.records.search import Found
from serantau.records.shelf import Only, Shelf
from serantau.rules.stix import id_key

TECHNIQUES: Final = 3_000
"""Techniques that are read at most."""
_POINTERS: Final = 60_000
_PART: Final = 500
_KEPT_US: Final = 60_000_000
_COUNTED: Final = frozenset({"uses", "indicates"})
_MATRIX: Final = "x-mitre-matrix"
_TACTIC: Final = "x-mitre-tactic"


@dataclass(frozen=True, slots=True)
class Technique:
    """A technique. code: such as T1566, empty for none. counts: how many, by what."""

    id: str
    name: str
    code: str
    counts: Mapping[str, int]

    @property
    def count(self) -> int:
        """Count all that points at it."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Tactic:
    """A column. name: as the kill chain says it. title: as a tactic object says it."""

    name: str
    title: str
    techniques: Sequence[Technique]


@dataclass(frozen=True, slots=True)
class Matrix:
    """A kill chain: tactics in order. at: when it was counted. cut: there is more."""

    chain: str
    tactics: Sequence[Tactic]
    at: int
    cut: bool

    @property
    def most(self) -> int:
        """Give the highest count of a technique."""
        each = (one.count for tactic in self.tactics for one in tactic.techniques)
        return max(each, default=0)


class SeenMatrix:
    """Counts for one node, at most once a minute: it reads thousands of rows."""

    def __init__(self, node: Node) -> None:
        """Count what `node` holds."""
        self._node = node
        self._lock = threading.Lock()
        self._kept: tuple[int, list[Matrix]] | None = None

    def all(self) -> list[Matrix]:
        """Give a matrix for each kill chain that attack patterns name."""
        now = self._node.clock.now()
        with self._lock:
            if self._kept is None or not 0 <= now - self._kept[0] < _KEPT_US:
                with self._node.db.read() as tx:
                    self._kept = (now, self._count(tx, now))
            return self._kept[1]

    def _count(self, tx: Tx, now: int) -> list[Matrix]:
        shelf = Shelf(self._node.search)

        def held(*types: str) -> tuple[Sequence[Found], bool]:
            looked = shelf.newest(tx, Only(types=types), TECHNIQUES)
            return looked.found, bool(looked.onward)

        found, cut = held("attack-pattern")
        patterns = {}
        for one in found:
            data = orjson.loads(one.body)
            if not (data.get("revoked") or data.get("x_mitre_deprecated")):
                patterns[one.id] = data
        counts, more = _pointing(tx, list(patterns))
        frames = [orjson.loads(one.body) for one in held(_MATRIX, _TACTIC)[0]]
        columns: dict[str, dict[str, list[Technique]]] = {}
        for object_id, data in patterns.items():
            made = Technique(
                object_id,
                str(data.get("name", "")),
                _code(data),
                dict(counts.get(object_id, {})),
            )
            for chain, phase in _phases(data):
                columns.setdefault(chain, {}).setdefault(phase, []).append(made)
        return [
            Matrix(chain, _tactics(phases, frames), now, cut or more)
            for chain, phases in sorted(columns.items())
        ]


def _tactics(
    phases: Mapping[str, list[Technique]], frames: Sequence[Mapping[str, Any]]
) -> list[Tactic]:
    """Put columns in the order of the matrix that has most of them, else by name."""
    tactics = {one["id"]: one for one in frames if one.get("type") == _TACTIC}
    orders = [
        [tactics[ref] for ref in one.get("tactic_refs", []) if ref in tactics]
        for one in frames
        if one.get("type") == _MATRIX
    ]
    best: Sequence[Mapping[str, Any]] = max(
        orders,
        key=lambda order: sum(one.get("x_mitre_shortname") in phases for one in order),
        default=[],
    )
    titles = {
        str(one.get("x_mitre_shortname")): str(one.get("name", "")) for one in best
    }
    ordered = [name for name in titles if name in phases]
    ordered += sorted(phases.keys() - titles.keys())
    return [
        Tactic(
            name,
            titles.get(name) or name.replace("-", " ").capitalize(),
            sorted(phases[name], key=lambda one: (-one.count, one.code, one.name)),
        )
        for name in ordered
    ]


def _pointing(tx: Tx, ids: Sequence[str]) -> tuple[dict[str, Counter[str]], bool]:
    """Count what points at objects: `uses` and `indicates`, and sightings."""
    by_key = {id_key(one): one for one in ids}
    counts: dict[str, Counter[str]] = {}
    left = _POINTERS
    for at in range(0, len(ids), _PART):
        keys = [id_key(one) for one in ids[at : at + _PART]]
        rows = tx.rows(
            "SELECT e.target, k.text AS kind, "  # noqa: S608 - our own words
            + _VERB[tx.lite]
            + " AS verb, count(*) AS held FROM (SELECT target, kind, source FROM edge "
            "WHERE " + tx.among("target", "keys") + " AND kind IN (SELECT n FROM word "
            "WHERE text IN ('target_ref', 'sighting_of_ref')) LIMIT :most) e "
            "JOIN object o ON o.added = e.source JOIN word k ON k.n = e.kind "
            "JOIN word t ON t.n = o.type WHERE o.slot % 2 = 0 "
            "AND t.text IN ('relationship', 'sighting') AND o.slot NOT IN "
            + GONE
            + " "
            "GROUP BY e.target, k.text, verb",
            keys=tx.array(keys),
            most=left,
        )  # fmt: skip
        for row in rows:
            verb = "seen" if row.kind == "sighting_of_ref" else str(row.verb)
            left -= int(row.held)
            if verb == "seen" or verb in _COUNTED:
                told = counts.setdefault(by_key[int(row.target)], Counter())
                told[verb] += int(row.held)
        if left <= 0:
            return counts, True
    return counts, False


# What a relationship says stands in its body alone.
_VERB: Final = {
    True: "json_extract(CAST(o.body AS TEXT), '$.relationship_type')",
    False: "(convert_from(o.body, 'UTF8')::json ->> 'relationship_type')",
}


def _code(data: Mapping[str, Any]) -> str:
    for one in data.get("external_references", []):
        if isinstance(one, dict) and str(one.get("source_name", "")).startswith(
            "mitre"
        ):
            return str(one.get("external_id", ""))[:40]
    return ""


def _phases(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = data.get("kill_chain_phases", [])
    return [
        (str(one.get("kill_chain_name", "")), str(one.get("phase_name", "")))
        for one in (found if isinstance(found, list) else [])
        if isinstance(one, dict)
    ]
