"""All that a node knows of one object, for its own people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from serantau.desk.keys import Keys, standing
from serantau.desk.share import Share
from serantau.errors import NotFound
from serantau.node import Node
from serantau.records.ledger import Released
from serantau.records.search import Found
from serantau.rules.party import Party
from serantau.rules.release import Verdict
from serantau.rules.signature import Examined
from serantau.rules.stix import Refused, called

_ENDS: Final = ("source_ref", "target_ref", "sighting_of_ref")


@dataclass(frozen=True, slots=True)
class Version:
    """One version: as found, what it is marked with in words, and who got it.

    signature: how it stands with its creator's signature now.
    """

    found: Found
    marking: str
    signature: Examined
    released: Sequence[Released]


@dataclass(frozen=True, slots=True)
class Link:
    """A reference between two objects. kind: the property that makes it."""

    kind: str
    id: str
    type: str
    name: str


@dataclass(frozen=True, slots=True)
class Dossier:
    """An object: its versions newest first, its neighbours, who may have it and why.

    data: the newest version's JSON. refers, referred: links from and to it. verdicts:
    for the newest version, by party.
    """

    id: str
    type: str
    name: str
    data: dict[str, Any]
    versions: Sequence[Version]
    refers: Sequence[Link]
    referred: Sequence[Link]
    verdicts: Sequence[tuple[Party, Verdict]]


def name_of(node: Node, body: bytes) -> str:
    """Give a version's short text for a person.

    A relationship's says between whom, a sighting's what was seen.
    """
    return named(node, [body])[0]


def named(node: Node, bodies: Sequence[bytes]) -> list[str]:
    """Give the short texts of several versions, as `name_of` does."""
    told = [orjson.loads(body) for body in bodies]
    ends = (str(one[end]) for one in told for end in _ENDS if end in one)
    names = names_of(node, list(ends))
    found = []
    for data, body in zip(told, bodies, strict=True):
        kind, said = str(data.get("type")), [str(data.get(end)) for end in _ENDS]
        source, target, sighted = (names.get(end) or end for end in said)
        if kind == "relationship":
            found.append(f"{source} {data.get('relationship_type')} {target}")
        elif kind == "sighting":
            found.append(f"{kind} of {sighted}")
        else:
            found.append(_called(node, data, body))
    return found


def _called(node: Node, data: dict[str, Any], body: bytes) -> str:
    kind = str(data.get("type"))
    text = called(data, kind)
    if text:
        return text
    try:
        return node.reader.read(body).name
    except Refused:
        # The limits are narrower than when it was admitted.
        return kind


def dossier(node: Node, object_id: str, *, most: int = 200) -> Dossier:
    """Tell all about one object.

    Args:
        node: an open node.
        object_id: its STIX id.
        most: neighbours to tell of, at most.

    Raises:
        NotFound: the node has no such object.
    """
    share = Share(node)
    with node.db.read() as tx:
        found = node.search.versions(tx, object_id)
        if not found and node.search.versions(tx, object_id, hidden=True):
            raise NotFound(
                f"{object_id} was recalled by its creator, and is hidden here.",
                mend=f"`serantau recall show {object_id}` tells by whom and why.",
            )
        if not found:
            raise NotFound(
                f"This node has no object {object_id}.",
                mend="`serantau search` finds objects by name, value or text; "
                "`serantau quarantine list` shows what was refused.",
            )
        newest = found[-1]
        ring = Keys(node).ring(tx)
        referred = node.search.neighbours(tx, object_id, most)
        verdicts = []
        for number, party in node.registry.parties(tx).values():
            only = node.audiences.verdicts(tx, number, [newest.marking_set])
            verdict = only.get(newest.marking_set)
            if verdict is not None:
                verdicts.append((party, verdict))
    version = node.reader.read(newest.body)
    outwards = [edge for edge in version.edges if edge[1] != object_id][:most]
    names = names_of(
        node, [target for _, target in outwards] + [r[0] for r in referred]
    )
    return Dossier(
        id=object_id,
        type=newest.type,
        name=name_of(node, newest.body),
        data=version.data,
        versions=[
            Version(
                one,
                share.marking(one),
                standing(one.body, ring, one.added),
                share.who_got(one),
            )
            for one in reversed(found)
        ],
        refers=[
            Link(kind, target, target.partition("--")[0], names.get(target, ""))
            for kind, target in outwards
        ],
        referred=[Link(kind, one, type_, names[one]) for one, type_, kind in referred],
        verdicts=verdicts,
    )


def names_of(node: Node, ids: Sequence[str]) -> dict[str, str]:
    """Give the names of the objects that are here."""
    if not ids:
        return {}
    with node.db.read() as tx:
        held = node.search.newest_of(tx, set(ids))
    names = {}
    for object_id, found in held.items():
        data = orjson.loads(found.body)
        names[object_id] = (
            str(data.get("relationship_type"))
            if found.type == "relationship"
            else _called(node, data, found.body)
        )
    return names
