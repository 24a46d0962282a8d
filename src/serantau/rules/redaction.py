"""An object without the parts that are marked more strictly: a new object.

Every representation of one (id, modified) has the same properties everywhere, so
leaving something out takes a new id (STIX 2.1 §3.6 and §4.15 on derived objects). The
new id is made of the old one, the version and who derives: deriving twice gives the
same object, and nobody can be taken for its author.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import orjson

from serantau.rules.properties import OBSERVABLES
from serantau.rules.refusal import Refused
from serantau.rules.sco import seed_of, uuid5_text
from serantau.rules.selector import path_of, without
from serantau.rules.signature import SIGNATURE_EXTENSION

_SEED: Final = seed_of("7a1c8a43-5f0c-4d53-9d1e-0a9c1b1f6a2e")
# Without these there is no object of which to leave something out, or the new object
# would tell them all the same.
_NEEDED: Final = frozenset(
    (
        *("type", "spec_version", "id", "created", "modified", "revoked"),
        *("object_marking_refs", "extensions"),
    )
)
# STIX 2.1 §5.1.2: these are never the source of a relationship.
_NO_SOURCE: Final = frozenset(("relationship", "sighting", "language-content"))
# What others refer to by id to know what an object means; under another id it is
# nothing. An observable's id is its content.
_FIXED: Final = OBSERVABLES | {"marking-definition", "extension-definition"}


def derive(body: bytes, identity: str) -> tuple[bytes, ...]:
    """Write the object without its granularly marked parts, in the name of `identity`.

    Gives the texts of the derived object and of its `derived-from` relationship, which
    types that cannot have one go without. Numbers stay as they were written.

    Raises:
        Refused: this object cannot be derived from.
    """
    # Numbers pass as their own text, so that none is rounded.
    data = json.loads(body, parse_int=_number, parse_float=_number)
    kind = data["type"]
    if kind in _FIXED or "modified" not in data:
        raise _not(kind, "an object with versions, whose id is free")
    paths = [
        path_of(data, selector)
        for marking in data.pop("granular_markings")
        if "marking_ref" in marking
        for selector in marking["selectors"]
    ]
    for path in paths:
        if len(path) == 1 and path[0] in _NEEDED:
            raise _not(
                f"/{path[0]} marked", "this property to go where the object goes"
            )
    without(data, filter(None, paths))  # what was in granular_markings is gone
    # What its creator signed is not what is left of it.
    extensions = data.get("extensions", {})
    extensions.pop(SIGNATURE_EXTENSION, None)
    if not extensions:
        data.pop("extensions", None)
    original, at = data["id"], data["modified"]
    data["id"] = _id(kind, original, at, identity)
    data["created_by_ref"] = identity
    data["created"] = data["modified"] = at
    derived = orjson.dumps(data)
    if kind in _NO_SOURCE:
        return (derived,)
    return derived, orjson.dumps(_relationship(data, original, at, identity))


def derived_ids(original: str, version: str, identity: str) -> tuple[str, str]:
    """Give the ids of what `derive` makes: of the object and of its relationship."""
    derived = _id(original.partition("--")[0], original, version, identity)
    return derived, _id("relationship", derived, original, identity)


def _relationship(
    derived: Mapping[str, Any], original: str, at: str, identity: str
) -> dict[str, Any]:
    told = {
        "type": "relationship",
        "spec_version": "2.1",
        "id": _id("relationship", derived["id"], original, identity),
        "created_by_ref": identity,
        "created": at,
        "modified": at,
        "relationship_type": "derived-from",
        "source_ref": derived["id"],
        "target_ref": original,
    }
    if "object_marking_refs" in derived:
        told["object_marking_refs"] = derived["object_marking_refs"]
    return told


def _id(kind: str, *seed: str) -> str:
    return f"{kind}--{uuid5_text(_SEED, chr(10).join((kind, *seed)).encode())}"


def _number(text: str) -> orjson.Fragment:
    return orjson.Fragment(text)


def _not(got: str, expected: str) -> Refused:
    return Refused("derive", "", got, expected)
