"""All that a node knows of one object, for its own people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
from serantau.rules.stix import Refused


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
    """Give a version's short text for a person; a relationship's says between whom."""
    try:
        version = node.reader.read(body)
    except Refused:
        # The limits are narrower than when it was admitted.
        return str(orjson.loads(body).get("name", ""))
    if version.type != "relationship":
        return version.name
    ends = [str(version.data[end]) for end in ("source_ref", "target_ref")]
    names = _names(node, ends)
    source, target = (names.get(end) or end for end in ends)
    return f"{source} {version.name} {target}"


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
            verdict = node.audiences.verdicts(tx, number).get(newest.marking_set)
            if verdict is not None:
                verdicts.append((party, verdict))
    version = node.reader.read(newest.body)
    outwards = [edge for edge in version.edges if edge[1] != object_id][:most]
    names = _names(node, [target for _, target in outwards] + [r[0] for r in referred])
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


def _names(node: Node, ids: Sequence[str]) -> dict[str, str]:
    """Give the names of the objects that are here."""
    names = {}
    with node.db.read() as tx:
        for object_id in dict.fromkeys(ids):
            held = node.search.versions(tx, object_id)
            if held and held[-1].type == "relationship":
                names[object_id] = str(orjson.loads(held[-1].body)["relationship_type"])
            elif held:
                names[object_id] = name_of(node, held[-1].body)
    return names
