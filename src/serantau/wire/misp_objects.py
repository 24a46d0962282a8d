"""What misp-stix made of an event, traced, marked, dated and named.

misp-stix gives an object the uuid of what it was made of. For most objects that is
right; three kinds need another id, because the same id would come to mean two things:

- a galaxy cluster has the uuid of MITRE's own object, and is not MITRE's: only the
  creator makes versions (STIX 2.1 §3.6.2), so it gets an id made of its content;
- a cyber-observable object has no version, so an edited attribute would be the same id
  with another value: its id is made of the attribute and the content. It is not the
  UUIDv5 of §2.9, which would make one object, under all their markings together, of
  what two events with different markings say about one address;
- a relationship gets one made of its ends.
"""

from __future__ import annotations

import functools
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from serantau.wire.misp_event import Fate, Outcome, Part, Prepared
from serantau.wire.misp_graph import (
    ROOTS,
    Naming,
    in_pattern,
    is_observable,
    pieces,
    references,
    scalars,
    uuid_of,
    without,
)
from serantau.wire.misp_stamp import RELATIONS, UNDATED, Stamping
from serantau.wire.misp_values import derived_uuid

_HIVES = {
    "HKCR": "HKEY_CLASSES_ROOT",
    "HKCU": "HKEY_CURRENT_USER",
    "HKLM": "HKEY_LOCAL_MACHINE",
    "HKU": "HKEY_USERS",
    "HKCC": "HKEY_CURRENT_CONFIG",
}


class Finishing:
    """Turns what misp-stix made of an event into objects a node can hold."""

    def __init__(
        self,
        prepared: Prepared,
        made: list[dict[str, Any]],
        complaints: list[str],
        refused: Mapping[str, str],
    ) -> None:
        """Take what misp-stix made; `refused` are ids not to be used, and why not."""
        self.event = prepared
        self.complaints = [*complaints, *(f"{i}: {why}" for i, why in refused.items())]
        self.made = without(
            {one["id"]: one for one in made if one["type"] != "marking-definition"},
            set(refused),
        )
        self.clusters: dict[str, list[Part]] = defaultdict(list)
        self.by_uuid: dict[str, Part] = {}
        for part in prepared.parts.values():
            if part.kind == "galaxy":
                self.clusters[part.data["uuid"]].append(part)
            else:
                self.by_uuid[part.uuid] = part
        self.organisation = ""
        if "Orgc" in prepared.event:
            self.organisation = f"identity--{prepared.event['Orgc']['uuid']}"
        self.outcome: dict[str, Outcome] = {}
        self.found: dict[str, tuple[str, ...]] = {}
        # Objects that got words of a part (comment, tag), and so its markings too.
        self.touched: dict[str, set[str]] = defaultdict(set)
        self.carried: dict[str, list[str]] = defaultdict(list)
        self.names: dict[str, str] = {}

    def run(self) -> list[dict[str, Any]]:
        """Give the objects, each as JSON that is ready to be written."""
        self._ensure_root()
        self._spell_keys()
        self.carried = self._carriers()
        for part in list(self.event.parts.values()):
            getattr(self, f"_trace_{part.kind}")(part)
        stamping = Stamping(
            self.event,
            self.made,
            self.clusters,
            root=self.root["id"],
            organisation=self.organisation,
        )
        stamping.mark(self.carried, self.found, self.touched)
        stamping.date(self.carried)
        self._tidy_root()
        naming = Naming(self.made, self.clusters.keys(), self.by_uuid.keys())
        objects = naming.run()
        self.names = naming.names
        return [*self.event.markings.values(), *objects]

    def _ensure_root(self) -> None:
        """Find the event's report or grouping; make one where misp-stix made none."""
        found = [one for one in self.made.values() if one["type"] in ROOTS]
        if found:
            self.root = found[0]
        else:
            self.root = {
                "type": "grouping",
                "spec_version": "2.1",
                "id": f"grouping--{self.event.uuid}",
                "name": self.event.event["info"],
                "context": "suspicious-activity",
                "labels": ["Threat-Report"],
                "object_refs": [],
            }
            self._own(self.root)
            self.root["created"] = self.root["modified"] = UNDATED
            self.made[self.root["id"]] = self.root
            if self.organisation:
                self.made.setdefault(
                    self.organisation,
                    {
                        "type": "identity",
                        "spec_version": "2.1",
                        "id": self.organisation,
                        "created": UNDATED,
                        "modified": UNDATED,
                        "name": self.event.event["Orgc"]["name"],
                        "identity_class": "organization",
                    },
                )
        for key in ("threat_level_id", "analysis", "date", "extends_uuid"):
            if key in self.event.event:
                self.root[f"x_misp_{key}"] = self.event.event[key]

    def _spell_keys(self) -> None:
        """Write the hives of registry keys in full: STIX 2.1 §6.16 takes no others."""
        for one in self.made.values():
            if one["type"] == "windows-registry-key" and "key" in one:
                hive, _, rest = one["key"].strip("\\").partition("\\")
                whole = "\\".join(
                    [*([_HIVES.get(hive.upper(), hive)]), *rest.split("\\")]
                )
                whole = whole.strip("\\")
                if whole != one["key"]:
                    one["x_misp_value"], one["key"] = one["key"], whole

    def _own(self, one: dict[str, Any]) -> None:
        if self.organisation:
            one["created_by_ref"] = self.organisation

    def _carriers(self) -> dict[str, list[str]]:
        """Tell, by the uuid of a part, which objects carry it.

        Ids of misp-stix end in the uuid of what they were made of; observables that do
        not are found through the object that holds them.
        """
        carried: dict[str, list[str]] = defaultdict(list)
        for object_id, one in self.made.items():
            if one is self.root:
                carried[self.event.uuid].append(object_id)
                continue
            uuid = uuid_of(object_id)
            if uuid in self.clusters:
                for part in self.clusters[uuid]:
                    carried[part.uuid].append(object_id)
            elif uuid in self.by_uuid and object_id != self.organisation:
                for inner in self._reached(object_id):
                    if inner not in carried[uuid]:
                        carried[uuid].append(inner)
        return carried

    def _reached(self, object_id: str) -> list[str]:
        """Give an object and the observables it leads to."""
        found, open_ = [], [object_id]
        while open_:
            one = open_.pop()
            if one in found or one not in self.made:
                continue
            if one != object_id and not is_observable(self.made[one]):
                continue
            found.append(one)
            if self.made[one]["type"] not in RELATIONS:
                open_.extend(sorted(set(references(self.made[one])), reverse=True))
        return found

    def _near(self, part: Part) -> list[str]:
        """Give the objects in which a part may be found, its own first."""
        ids = list(self.carried.get(part.uuid, ()))
        if part.parent:
            ids.extend(self.carried.get(part.parent, ()))
            whole = self.event.parts[part.parent].data
            for reference in whole.get("ObjectReference", ()):
                ids.extend(self.carried.get(reference["referenced_uuid"], ()))
            ids.extend(self.pointing(part.parent))
        return list(dict.fromkeys(ids))

    def pointing(self, uuid: str) -> Iterable[str]:
        """Give what carries the MISP objects that refer to this one (PE to file)."""
        for source in self._sources.get(uuid, ()):
            yield from self.carried.get(source, ())

    @functools.cached_property
    def _sources(self) -> dict[str, list[str]]:
        sources: dict[str, list[str]] = defaultdict(list)
        for part in self.event.parts.values():
            if part.kind == "reference":
                sources[part.data["referenced_uuid"]].append(part.parent)
        return sources

    @functools.cached_property
    def _texts(self) -> dict[str, frozenset[str]]:
        return {i: frozenset(scalars(one)) for i, one in self.made.items()}

    def _rich(self, ids: Iterable[str]) -> list[dict[str, Any]]:
        """Pick the objects that may carry labels and properties of ours."""
        return [
            self.made[i]
            for i in ids
            if not is_observable(self.made[i]) and self.made[i]["type"] != "sighting"
        ]

    def _settle(self, part: Part, outcome: Outcome, ids: Iterable[str]) -> None:
        self.outcome[part.uuid] = outcome
        self.found[part.uuid] = tuple(dict.fromkeys(ids))

    def _trace_event(self, part: Part) -> None:
        self._settle(part, "converted", [self.root["id"]])
        self._label(part, [self.root])

    def _trace_attribute(self, part: Part) -> None:
        near = [i for i in self._near(part) if i in self._texts]
        ids = self._holding(part.data["value"], near)
        outcome: Outcome = "converted"
        if not ids:
            ids = self._holding(part.data["value"], near, loosely=True)
            if ids:
                outcome = "altered"
                part.notes.append("its value is written in another case or spacing")
        if not ids:
            ids = [self._rescue(part)]
            outcome = "altered"
            part.notes.append("misp-stix has no form for it: it is kept as it was")
        own = [*self.carried.get(part.uuid, ()), *ids]
        self._settle(part, outcome, own)
        objects = self._rich(dict.fromkeys([*own, *near]))
        self._label(part, objects)
        comment = part.data.get("comment")
        if comment and objects and not self._holding(comment, [*own, *near]):
            self._comment(part, objects[0], comment)
        for one in objects:
            if one["type"] == "x-misp-attribute":
                one["x_misp_to_ids"] = part.data["to_ids"]
        data = part.data.get("data")
        if data and not self._holding(data, [*own, *near]):
            self.outcome[part.uuid] = "altered"
            part.notes.append("the file that hangs at it is left")
        if part.data["to_ids"] and not any(
            self.made[i]["type"] in {"indicator", "x-misp-object"}
            for i in [*own, *near]
        ):
            self.outcome[part.uuid] = "altered"
            part.notes.append("it is meant for detection, but there is no pattern")

    def _comment(self, part: Part, one: dict[str, Any], comment: str) -> None:
        # misp-stix writes comments on indicators and drops all others (its #111).
        self.touched[part.uuid].add(one["id"])
        if part.parent:
            relation = part.data.get("object_relation", part.data["type"])
            line = f"{relation}: {comment}"
            said = one.setdefault("x_misp_comments", [])
            if line not in said:
                said.append(line)
        else:
            one["x_misp_comment"] = comment

    def _holding(
        self, value: str, ids: Iterable[str], *, loosely: bool = False
    ) -> list[str]:
        """Give those objects in which a value stands, whole or part by part."""
        wanted = pieces(value)
        if loosely:
            wanted = [[piece.casefold().strip() for piece in way] for way in wanted]
        found = []
        for object_id in dict.fromkeys(ids):
            texts = self._texts.get(object_id)
            if texts is None:
                texts = self._texts[object_id] = frozenset(
                    scalars(self.made[object_id])
                )
            pattern = self.made[object_id].get("pattern", "")
            if loosely:
                texts = frozenset(text.casefold().strip() for text in texts)
                pattern = pattern.casefold()
            if any(
                all(
                    piece in texts or (pattern and in_pattern(piece, pattern))
                    for piece in way
                )
                for way in wanted
            ):
                found.append(object_id)
        if not found and len(wanted[-1]) > 1:
            # A composite may stand in two observables: a name here, a port there.
            together = [
                [i for i in ids if piece in self._texts.get(i, ())]
                for piece in wanted[-1]
            ]
            if all(together):
                return list(dict.fromkeys(i for some in together for i in some))
        return found

    def _rescue(self, part: Part) -> str:
        """Keep an attribute that is nowhere as misp-stix's own custom object."""
        data = part.data
        one: dict[str, Any] = {
            "type": "x-misp-attribute",
            "spec_version": "2.1",
            "id": f"x-misp-attribute--{part.uuid}",
            "created": UNDATED,
            "modified": UNDATED,
            "labels": [
                f'misp:type="{data["type"]}"',
                f'misp:category="{data["category"]}"',
            ],
            "x_misp_type": data["type"],
            "x_misp_category": data["category"],
            "x_misp_value": data["value"],
        }
        self._own(one)
        if data.get("comment"):
            one["x_misp_comment"] = data["comment"]
        if data.get("data"):
            one["x_misp_data"] = data["data"]
        if part.parent:
            one["x_misp_object_uuid"] = part.parent
            one["x_misp_object_relation"] = data.get("object_relation", data["type"])
        self._add(one)
        self.carried[part.uuid].append(one["id"])
        return str(one["id"])

    def _add(self, one: dict[str, Any]) -> None:
        self.made[one["id"]] = one
        self._texts[one["id"]] = frozenset(scalars(one))
        self.root["object_refs"].append(one["id"])

    def _label(self, part: Part, objects: list[dict[str, Any]]) -> None:
        """See to it that each tag is a label of what carries its part."""
        clusters = {
            cluster["tag_name"]
            for galaxy in part.data.get("Galaxy", ())
            for cluster in galaxy["GalaxyCluster"]
        }
        for tag in part.data.get("Tag", ()):
            name = tag["name"]
            if name in clusters or any(
                name in one.get("labels", ()) for one in objects
            ):
                continue
            for one in objects[:1]:
                one.setdefault("labels", []).append(name)
                self.touched[part.uuid].add(one["id"])

    def _trace_object(self, part: Part) -> None:
        ids = self.carried.get(part.uuid, [])
        if ids:
            self._settle(part, "converted", ids)
        elif near := self._near_object(part):
            self._settle(part, "converted", near)
            part.notes.append("it stands inside the object that refers to it")
        else:
            self._settle(part, "altered", ())
            part.notes.append("misp-stix dropped it: its attributes are kept singly")
        comment = part.data.get("comment")
        if comment and not self._holding(comment, ids) and (rich := self._rich(ids)):
            rich[0]["x_misp_comment"] = comment

    def _near_object(self, part: Part) -> list[str]:
        return list(dict.fromkeys(self.pointing(part.uuid)))

    def _trace_reference(self, part: Part) -> None:
        own = f"relationship--{part.uuid}"
        target = part.data["referenced_uuid"]
        sources = [i for i in self.carried.get(part.parent, ()) if i in self.made]
        targets = [i for i in self.carried.get(target, ()) if i in self.made]
        if own in self.made:
            self._settle(part, "converted", [own])
            if part.data["comment"]:
                self.made[own].setdefault("description", part.data["comment"])
            return
        joined = [i for i in sources if set(references(self.made[i])) & set(targets)]
        ends = [self._rich(sources)[:1], self._rich(targets)[:1]]
        if joined:
            self._settle(part, "converted", joined)
        elif all(ends) and ends[0] != ends[1]:
            one = self._relationship(own, ends[0][0], ends[1][0], part)
            self._settle(part, "converted", [one["id"]])
        elif target in self.event.parts and (sources or targets):
            self._settle(part, "altered", sources or targets)
            part.notes.append("one end is inside the other, or was kept in pieces")
        else:
            self._settle(part, "lost", ())
            part.notes.append("what it refers to is not in this event")

    def _relationship(
        self, own: str, source: dict[str, Any], target: dict[str, Any], part: Part
    ) -> dict[str, Any]:
        one: dict[str, Any] = {
            "type": "relationship",
            "spec_version": "2.1",
            "id": own,
            "created": UNDATED,
            "modified": UNDATED,
            "relationship_type": part.data.get("relationship_type", "related-to"),
            "source_ref": source["id"],
            "target_ref": target["id"],
        }
        self._own(one)
        self._add(one)
        return one

    def _trace_galaxy(self, part: Part) -> None:
        ids = self.carried.get(part.uuid, [])
        parent = self.event.parts[part.parent]
        holders = self._rich(self.carried.get(parent.uuid) or self._near(parent))
        if not ids:
            self._settle(part, "altered", [one["id"] for one in holders[:1]])
            part.notes.append("misp-stix could not convert it: its name is a label")
            for one in holders[:1]:
                labels = one.setdefault("labels", [])
                if part.data["tag_name"] not in labels:
                    labels.append(part.data["tag_name"])
            return
        self._settle(part, "converted", ids)
        if parent.kind == "event":
            self.root["object_refs"].extend(ids)
            return
        for cluster in ids:
            if holders and not self._related(holders, cluster):
                source, target = holders[0], self.made[cluster]
                own = f"relationship--{derived_uuid(source['id'], cluster)}"
                self._relationship(own, source, target, part)

    def _related(self, holders: list[dict[str, Any]], cluster: str) -> bool:
        sources = {one["id"] for one in holders}
        return any(
            one["type"] == "relationship"
            and one["target_ref"] == cluster
            and one["source_ref"] in sources
            for one in self.made.values()
        )

    def _trace_plain(self, part: Part) -> None:
        ids = self.carried.get(part.uuid, [])
        self._settle(part, "converted" if ids else "lost", ids)
        if not ids:
            part.notes.append("misp-stix dropped it")

    _trace_sighting = _trace_report = _trace_note = _trace_opinion = _trace_plain

    def _tidy_root(self) -> None:
        refs = [i for i in dict.fromkeys(self.root["object_refs"]) if i in self.made]
        if not refs:
            # STIX 2.1 §4.4, §4.16: object_refs is required, and never empty.
            note = {
                "type": "note",
                "spec_version": "2.1",
                "id": f"note--{derived_uuid('empty', self.event.uuid)}",
                "created": self.root["created"],
                "modified": self.root["modified"],
                "content": "This MISP event holds nothing that could be read.",
                "object_refs": [self.root["id"]],
            }
            self._own(note)
            if self.root.get("object_marking_refs"):
                note["object_marking_refs"] = self.root["object_marking_refs"]
            self.made[str(note["id"])] = note
            refs = [str(note["id"])]
        self.root["object_refs"] = refs

    def fates(self) -> list[Fate]:
        """Say what became of each part; first those of the event, then what it lost."""
        general = []
        for complaint in self.complaints:
            line = _first_and_last(complaint)
            part = next(
                (self.by_uuid[u] for u in _UUID.findall(line) if u in self.by_uuid),
                None,
            )
            if part is None:
                general.append(line)
            elif line not in part.notes:
                part.notes.append(f"misp-stix: {line}")
        told = []
        for part in self.event.parts.values():
            outcome = self.outcome[part.uuid]
            notes = part.notes + (general if part.kind == "event" else [])
            if notes and outcome == "converted":
                outcome = "altered"
            ids = tuple(dict.fromkeys(self.names[i] for i in self.found[part.uuid]))
            reason = "; ".join(notes)
            told.append(
                Fate(part.kind, part.uuid, part.place, part.what, outcome, ids, reason)
            )
        return [*told, *self.event.fates]


_UUID = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _first_and_last(text: str) -> str:
    lines = [line.strip() for line in text.strip().splitlines()] or [""]
    said = lines[0] if len(lines) == 1 else f"{lines[0]} {lines[-1]}"
    return said[:300]
