"""STIX objects as JSON: their references, their texts, their ids."""

from __future__ import annotations

import hashlib
import uuid as uuids
from collections.abc import Collection, Iterator
from typing import Any

import orjson

from serantau.clock import moment, stix_text
from serantau.wire.misp_values import derived_uuid, read_moment

ROOTS = ("report", "grouping")
NOT_ENDS = ("created_by_ref", "object_marking_refs", "where_sighted_refs")


def uuid_of(object_id: str) -> str:
    """Give the uuid in a STIX id."""
    return object_id.partition("--")[2]


def references(one: dict[str, Any]) -> Iterator[str]:
    """Give the ids that the `_ref` and `_refs` properties name, at any depth."""
    for key, value in one.items():
        if key.endswith("_ref") and isinstance(value, str):
            yield value
        elif key.endswith("_refs") and isinstance(value, list):
            yield from (each for each in value if isinstance(each, str))
        elif isinstance(value, dict):
            yield from references(value)
        elif isinstance(value, list):
            for each in value:
                if isinstance(each, dict):
                    yield from references(each)


def renamed(value: Any, names: dict[str, str]) -> Any:
    """Copy JSON with the ids in reference properties replaced."""
    if isinstance(value, dict):
        return {
            key: (
                _renamed_refs(inner, names)
                if key.endswith(("_ref", "_refs"))
                else renamed(inner, names)
            )
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [renamed(inner, names) for inner in value]
    return value


def _renamed_refs(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, list):
        return [names.get(each, each) for each in value]
    return value


def scalars(value: Any) -> Iterator[str]:
    """Give every text and number of an object, keys of dictionaries left out."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from scalars(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from scalars(inner)
    elif isinstance(value, str):
        yield value
    elif value is not None:
        yield str(value)


def without(
    made: dict[str, dict[str, Any]], gone: set[str]
) -> dict[str, dict[str, Any]]:
    """Take objects out, and with them what cannot stand without them."""
    left = {i: one for i, one in made.items() if i not in gone}
    if len(left) == len(made):
        return left
    gone = gone | (made.keys() - left.keys())
    further: set[str] = set()
    for object_id, one in left.items():
        for key in list(one):
            if key.endswith("_ref") and one[key] in gone:
                del one[key]
                if key in {"source_ref", "target_ref", "sighting_of_ref"}:
                    further.add(object_id)
            elif key.endswith("_refs"):
                one[key] = [each for each in one[key] if each not in gone]
                if not one[key]:
                    del one[key]
                    if key == "object_refs" and one["type"] not in ROOTS:
                        further.add(object_id)
        if one["type"] in ROOTS:
            one.setdefault("object_refs", [])
    return without(left, further) if further else left


def is_observable(one: dict[str, Any]) -> bool:
    """Tell a cyber-observable object: it alone has neither version nor creator."""
    return "created" not in one and one["type"] != "marking-definition"


def pieces(value: str) -> list[list[str]]:
    """Give the ways in which a value may be written: whole, or split at `|`."""
    ways = [[value]]
    if (at := read_moment(value)) is not None:
        text = moment(at).strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".")
        ways.append([f"{text}Z"])
        ways.append([stix_text(at)])
    if "|" in value:
        ways.append([piece for piece in value.split("|") if piece])
    return ways


def in_pattern(piece: str, pattern: str) -> bool:
    """Tell whether a value stands in a STIX pattern, as a text or a number."""
    escaped = piece.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'" in pattern or f"= {escaped}" in pattern


def ends(one: dict[str, Any]) -> Iterator[str]:
    """Give the ids of what a relationship, sighting, note or opinion is about."""
    yield from references({k: v for k, v in one.items() if k not in NOT_ENDS})


def content_id(one: dict[str, Any], salt: str) -> str:
    """Make an id of an object's content, in the form of a UUIDv4.

    STIX 2.1 §2.9: a UUIDv5 on an observable would claim the standard's own recipe.
    """
    plain = {key: value for key, value in one.items() if key != "id"}
    text = orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)
    digest = hashlib.blake2b(salt.encode() + b"\0" + text, digest_size=16).digest()
    return f"{one['type']}--{uuids.UUID(bytes=digest, version=4)}"


class Naming:
    """Gives objects the ids they keep; what each is made of, see misp_objects.

    made: objects by the id that misp-stix gave. clusters: uuids of galaxy clusters.
    parts: uuids of the event's parts, whose relationships keep their ids.
    """

    def __init__(
        self,
        made: dict[str, dict[str, Any]],
        clusters: Collection[str],
        parts: Collection[str],
    ) -> None:
        """Name nothing yet."""
        self.made = made
        self.clusters = clusters
        self.parts = parts
        self.names: dict[str, str] = {}

    def run(self) -> list[dict[str, Any]]:
        """Give the objects under their ids, `names` telling old from new."""
        for object_id in self.made:
            self._name(object_id)
        objects: dict[str, dict[str, Any]] = {}
        for object_id, one in self.made.items():
            new = {**renamed(one, self.names), "id": self.names[object_id]}
            if one["type"] == "relationship" and uuid_of(object_id) not in self.parts:
                said = (new["source_ref"], new["relationship_type"], new["target_ref"])
                new["id"] = f"relationship--{derived_uuid(*said)}"
                self.names[object_id] = new["id"]
            objects.setdefault(new["id"], new)
        for one in objects.values():
            # Relationships were named last; the report and the notes list them.
            if "object_refs" in one:
                refs = [self.names.get(i, i) for i in one["object_refs"]]
                one["object_refs"] = list(dict.fromkeys(refs))
        return list(objects.values())

    def _name(self, object_id: str) -> str:
        """Choose the id an object keeps, what it refers to first."""
        if object_id in self.names or object_id not in self.made:
            return self.names.get(object_id, object_id)
        one = self.made[object_id]
        # Set before its references are named, so that a ring of references ends.
        self.names[object_id] = object_id
        uuid = uuid_of(object_id)
        if uuid in self.clusters:
            known = one.setdefault("external_references", [])
            known.append({"source_name": "misp-galaxy", "external_id": uuid})
            self.names[object_id] = content_id(one, "")
        elif is_observable(one):
            inner = {each: self._name(each) for each in references(one)}
            self.names[object_id] = content_id(renamed(one, inner), object_id)
        return self.names[object_id]
