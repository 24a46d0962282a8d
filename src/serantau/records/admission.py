"""What becomes of a batch of object versions: new, held already, or refused."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson

from serantau.records.database import Tx
from serantau.rules.signature import unsigned
from serantau.rules.stix import ObjectVersion


@dataclass(slots=True)
class Refusal:
    """A version that was not admitted: which, by what rule, and what it got."""

    version: ObjectVersion
    rule: str
    got: str
    expected: str


@dataclass(slots=True)
class Admission:
    """What became of a batch. `held` were here already, to the last byte of meaning.

    alike: those of `held` that were here but for their signatures, with the stamps of
    what is held.
    """

    new: list[ObjectVersion] = field(default_factory=list)
    held: list[ObjectVersion] = field(default_factory=list)
    alike: list[tuple[int, ObjectVersion]] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    first: int = 0
    last: int = 0


def is_single(version: ObjectVersion) -> bool:
    """Say whether there can be but one version of it."""
    # STIX 2.1 §7.2.1: a marking definition has no versions. Whoever could bring a
    # second one would change what everything marked with it may be released to.
    return version.unversioned or version.type == "marking-definition"


def alike(version: ObjectVersion, others: Iterable[Any]) -> Any:
    """Find what this version must not contradict: rows or versions of one digest."""
    for other in others:
        if (
            other.id != version.id
            or other.modified == version.modified
            or is_single(version)
        ):
            return other
    return None


def compare(
    version: ObjectVersion,
    held_id: str,
    held: bytes,
    added: int,
    result: Admission,
) -> None:
    """Say what becomes of a version that is held; `added`: 0 in the same batch."""
    if held_id != version.id:
        result.refused.append(
            # The other id is not told: it may be of what the sender may not see.
            Refusal(
                version,
                "id-collides",
                f"{version.id}, whose digest is that of another id held here",
                "another UUID",
            )
        )
    elif held == version.body or orjson.loads(held) == orjson.loads(version.body):
        result.held.append(version)
    elif unsigned(orjson.loads(held)) == unsigned(orjson.loads(version.body)):
        # A signature may come later than the object, or be made again.
        result.held.append(version)
        if added:
            result.alike.append((added, version))
    elif is_single(version):
        result.refused.append(
            Refusal(
                version,
                "differs-from-held",
                "other properties under the same id",
                "the properties this node already holds; an object without "
                "`modified` has no second version",
            )
        )
    else:
        # STIX 2.1 §3.6: every representation of (id, modified) is identical.
        result.refused.append(
            Refusal(
                version,
                "same-version-differs",
                f"other content for modified {version.version}",
                "the content this node already holds, or a later `modified`",
            )
        )


def of_others(
    tx: Tx,
    later: list[ObjectVersion],
    known: Container[int],
    result: Admission,
) -> set[int]:
    """Refuse versions by another than made the ones before; say which they are.

    STIX 2.1 §3.6.2: only the creator of an object makes versions of it, or revokes
    it. What names no creator is anybody's until somebody's name stands in it.
    """
    creators = {
        row.key: orjson.loads(bytes(row.body)).get("created_by_ref", "")
        for row in tx.rows(
            "SELECT key, body FROM object WHERE added IN (SELECT max(added) FROM "
            "object WHERE " + tx.among("key", "keys") + " GROUP BY key)",
            keys=tx.array({one.key for one in later if one.key in known}),
        )
    }
    strange = set()
    for one in later:
        maker = creators.setdefault(one.key, one.creator)
        if maker and one.creator != maker:
            strange.add(id(one))
            result.refused.append(
                Refusal(
                    one,
                    "another-creator",
                    f"a version by {one.creator or 'nobody'}",
                    f"versions of this object only by {maker}, who made it",
                )
            )
        else:
            creators[one.key] = one.creator
    return strange
