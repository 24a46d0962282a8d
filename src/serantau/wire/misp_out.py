"""STIX 2.1 objects out, as one MISP event for those who use MISP.

The mapping is that of misp-stix: its parser for what was MISP before, its other one for
what was not. What it makes is then traced object by object, given uuids that repeat,
and tagged with TLP by our own rules: it drops markings whose definition does not travel
along, and a lost marking would widen.
"""

from __future__ import annotations

import functools
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from serantau.clock import instant, moment
from serantau.errors import BadInput
from serantau.rules.marking import (
    Marking,
    MarkingSet,
    Tlp,
    look_up,
    read_marking,
    tlp_of,
)
from serantau.rules.pap import Act, permitted
from serantau.wire.misp_event import Fate, Outcome
from serantau.wire.misp_flags import settle_flags
from serantau.wire.misp_graph import ROOTS, is_observable, references, scalars, uuid_of
from serantau.wire.misp_parser import import_parsers
from serantau.wire.misp_values import derived_uuid

_TLP_TAGS = {
    Tlp.CLEAR: "tlp:clear",
    Tlp.GREEN: "tlp:green",
    Tlp.AMBER: "tlp:amber",
    Tlp.AMBER_STRICT: "tlp:amber+strict",
    Tlp.RED: "tlp:red",
}
_CONTAINER = ("relationship", "sighting", "note", "opinion", *ROOTS)
# What a MISP event has no part for, and why that is no loss of content.
_ENDS = ("source_ref", "target_ref")
_KIND = "relationship_type"
_IMPLIED = {
    "marking-definition": "what it says stands in the tags of what it marks",
    "extension-definition": "it describes a form, which MISP does not read",
}
# STIX 2.1 §9: a text in quotes; after a dot it is a key, such as hashes.'SHA-1'.
_QUOTED = re.compile(r"(?<!\.)'((?:[^'\\]|\\.)*)'|\.'(?:[^'\\]|\\.)*'")
_OF_TYPE = re.compile(r"\.type\s*=\s*'[^']*'")
_KNOWN_BY = (
    *("value", "name", "path", "key", "number", "subject", "message_id", "user_id"),
    *("account_login", "serial_number", "payload_bin", "x_misp_value", "content"),
)


@dataclass(slots=True)
class Sent:
    """A MISP event ready to be given away, and what became of each object."""

    event: dict[str, Any]
    fates: list[Fate]

    @property
    def losses(self) -> list[Fate]:
        """Give the objects that are not in the event as they were."""
        return [fate for fate in self.fates if fate.outcome != "converted"]


def to_misp_event(
    objects: Iterable[bytes | Mapping[str, Any]],
    *,
    organisation: str,
    organisation_uuid: str,
    info: str = "",
    uuid: str = "",
    known: Mapping[str, Marking] | None = None,
    handled_as: Tlp = Tlp.AMBER_STRICT,
) -> Sent:
    """Make one MISP event of STIX objects: `{"Event": {...}}`.

    It decides nothing about release: the objects are those that desk/share already
    released to the one who gets the event. The event's distribution is 0, the
    receiver's organisation only, and its tag the strictest TLP level of the objects.

    Args:
        objects: JSON texts or parsed objects, each id once.
        organisation: who gives the event away; `Orgc` in MISP, unless one identity
            among the objects made them all.
        organisation_uuid: its uuid, that of the team's identity.
        info: the event's one line of description; else the name of its report.
        uuid: the event's, when there is not exactly one report that gives it its own;
            else it is made of the objects' ids.
        known: the markings that the node holds, by id; those of OASIS are implied.
        handled_as: the node's handling of objects that have no TLP marking.

    Raises:
        BadInput: one of the objects is not a STIX object, or there is none.
    """
    held = [_read(one, index) for index, one in enumerate(objects)]
    if not held:
        raise BadInput("There is no object to make a MISP event of.")
    return _Sending(held, organisation, organisation_uuid, info, uuid, known or {}).run(
        handled_as
    )


def level_of(
    one: Mapping[str, Any],
    known: Mapping[str, Marking],
    handled_as: Tlp = Tlp.AMBER_STRICT,
) -> Tlp:
    """Give the TLP level of the tag under which an object goes into an event."""
    if one["type"] in _IMPLIED:
        return Tlp.CLEAR
    refs = _refs_of(one)
    markings = [look_up(ref, known) for ref in refs]
    bare = not any(marking.tlp is not None for marking in markings)
    held = MarkingSet(refs=refs, handled_as=handled_as if bare else None)
    level = tlp_of(held, known)
    if any(marking.kind == "audience" for marking in markings):
        # MISP has no tag for named parties: it goes no further than the receiver.
        level = max(level, Tlp.AMBER_STRICT)
    return level


def _refs_of(one: Mapping[str, Any]) -> tuple[str, ...]:
    granular = one.get("granular_markings")
    parts = granular if isinstance(granular, list) else []
    # A part's marking holds for the whole here: MISP has tags, not selectors.
    inner = [part["marking_ref"] for part in parts if part.get("marking_ref")]
    return (*one.get("object_marking_refs", ()), *inner)


def _read(one: bytes | Mapping[str, Any], index: int) -> dict[str, Any]:
    try:
        held = orjson.loads(one) if isinstance(one, bytes) else dict(one)
    except orjson.JSONDecodeError as fault:
        raise BadInput(f"Object {index} is not JSON: {fault}.") from fault
    kind = held.get("type") if isinstance(held, dict) else None
    if not isinstance(kind, str) or not str(held.get("id")).startswith(f"{kind}--"):
        raise BadInput(f"Object {index} is no STIX object: it has no type and id.")
    return dict(held)


def _labels(one: Mapping[str, Any]) -> list[str]:
    return [label for label in one.get("labels", ()) if isinstance(label, str)]


class _Sending:
    """One event in the making."""

    def __init__(
        self,
        held: list[dict[str, Any]],
        organisation: str,
        organisation_uuid: str,
        info: str,
        uuid: str,
        known: Mapping[str, Marking],
    ) -> None:
        self.held = held
        # Definitions that travel along, too; what the node holds stands before them.
        self.known: dict[str, Marking] = {
            **{
                one["id"]: read_marking(one)
                for one in held
                if one["type"] == "marking-definition"
            },
            **known,
        }
        self.organisation = {"name": organisation, "uuid": organisation_uuid}
        self.by_id = {one["id"]: one for one in held}
        self.by_uuid: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for one in held:
            self.by_uuid[uuid_of(one["id"])].append(one)
        self.restored: dict[str, str] = {}
        self.failed: dict[str, str] = {}
        self.joined: set[tuple[str, str]] = set()
        self.relations = {
            (*(uuid_of(str(one.get(end))) for end in _ENDS), one.get(_KIND)): one["id"]
            for one in held
            if one["type"] == "relationship"
        }
        reports = [one for one in held if one["type"] in ROOTS]
        self.report = reports[0] if len(reports) == 1 else None
        named = self.report["name"] if self.report and "name" in self.report else ""
        self.info = info or named or f"{len(held)} objects from {organisation}"
        if self.report:
            self.uuid = uuid_of(self.report["id"])
        else:
            ids = sorted(one["id"] for one in held)
            self.uuid = uuid or derived_uuid("out", *ids)
        self.creator = self._only_creator()
        if self.creator:
            uuid = uuid_of(self.creator["id"])
            self.organisation = {"name": str(self.creator["name"]), "uuid": uuid}
        times = [_version(one) for one in held]
        self.stamp = max([time for time in times if time], default=0) // 1_000_000
        # MISP takes no event without a time; observables alone have none.
        self.stamp = self.stamp or 1

    def _only_creator(self) -> dict[str, Any] | None:
        """Give the identity that made everything here: in MISP the event's `Orgc`."""
        makers = {one["created_by_ref"] for one in self.held if "created_by_ref" in one}
        found = [one for one in self.held if {one["id"]} == makers]
        return found[0] if found and "name" in found[0] else None

    def run(self, handled_as: Tlp) -> Sent:
        event: dict[str, Any] = {
            "uuid": self.uuid,
            "info": self.info,
            "date": moment(self.stamp * 1_000_000).strftime("%Y-%m-%d"),
            "timestamp": str(self.stamp),
            "published": False,
            "threat_level_id": "4",
            "analysis": "2",
            "distribution": "0",
            "Orgc": self.organisation,
            "Attribute": [],
            "Object": [],
            "Galaxy": [],
            "EventReport": [],
            "Tag": [],
        }
        for key in ("threat_level_id", "analysis", "date", "extends_uuid"):
            if self.report and isinstance(self.report.get(f"x_misp_{key}"), str):
                event[key] = self.report[f"x_misp_{key}"]
        ours, theirs = self._sides()
        internal, external = import_parsers()
        for parser, objects in ((internal, ours), (external, theirs)):
            if objects:
                self._merge(event, self._parse(parser, objects))
        self._fill(event)
        self._settle_uuids(event)
        self._tag(event, handled_as)
        self.joined |= {
            (str(part["uuid"]), str(cluster["uuid"]))
            for part in self._parts(event)
            for galaxy in part.get("Galaxy", ())
            for cluster in galaxy["GalaxyCluster"]
        }
        return Sent({"Event": event}, list(self._fates(event)))

    def _sides(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Part what was MISP before from what was not.

        misp-stix's two parsers each read one kind only. Observables and relationships
        go where what they belong to goes.
        """
        by_id = self.by_id
        ours = {
            one["id"]
            for one in self.held
            if one["type"].startswith("x-misp-")
            or any(label.startswith("misp:") for label in _labels(one))
        }
        open_ = list(ours)
        while open_:
            one = by_id[open_.pop()]
            if one["type"] in _CONTAINER:
                continue
            for ref in references(one):
                if ref in by_id and ref not in ours and is_observable(by_id[ref]):
                    ours.add(ref)
                    open_.append(ref)
        for one in self.held:
            ends = [r for r in references(one) if r in by_id]
            if one["type"] in _CONTAINER and one is not self.report:
                if one["type"] in ROOTS:
                    continue
                if any(end in ours for end in ends):
                    ours.add(one["id"])
        sides: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])
        for one in self.held:
            if one["type"] in ROOTS or one["type"] in _IMPLIED or one is self.creator:
                continue
            sides[one["id"] not in ours].append(self._restore(one))
        return sides

    def _restore(self, one: dict[str, Any]) -> dict[str, Any]:
        """Give a galaxy cluster of MISP the uuid it has there."""
        known = one.get("external_references")
        if not isinstance(known, list):
            return one
        rest = [each for each in known if each.get("source_name") != "misp-galaxy"]
        mine = [each for each in known if each not in rest]
        if not mine or "external_id" not in mine[0]:
            return one
        self.restored[one["id"]] = f"{one['type']}--{mine[0]['external_id']}"
        made = {
            key: value for key, value in one.items() if key != "external_references"
        }
        if rest:
            made["external_references"] = rest
        return made

    def _parse(self, parser_class: Any, objects: list[dict[str, Any]]) -> Any:
        """Run one of misp-stix's parsers over objects, under a report of our own."""
        import stix2

        names = self.restored
        read = []
        for one in objects:
            plain = _renamed(one, names)
            # Ours to tag: a definition that is missing would fail the whole object.
            plain.pop("object_marking_refs", None)
            plain.pop("granular_markings", None)
            try:
                read.append(
                    stix2.parse(plain, allow_custom=True, interoperability=True)
                )
            except Exception as fault:  # whatever stix2 raises, it is one object's
                self.failed[one["id"]] = f"stix2 cannot read it: {fault}"[:200]
        if not read:
            return {}
        at = moment(self.stamp * 1_000_000)
        report = stix2.v21.Report(
            id=f"report--{self.uuid}",
            created=at,
            modified=at,
            published=at,
            name=self.info,
            labels=_labels(self.report or {}),
            object_refs=[one["id"] for one in read],
            allow_custom=True,
            interoperability=True,
        )
        bundle = stix2.v21.Bundle(
            id=f"bundle--{self.uuid}",
            objects=[report, *read],
            allow_custom=True,
            interoperability=True,
        )
        parser = parser_class()
        try:
            parser.load_stix_bundle(bundle)
            parser.parse_stix_bundle()
            made = orjson.loads(parser.misp_event.to_json())
        except Exception as fault:  # misp-stix raises whatever its libraries raise
            for one in objects:
                self.failed[one["id"]] = f"misp-stix gave up: {fault}"[:200]
            return {}
        for complaints in parser.errors.values():
            for complaint in complaints:
                for one in objects:
                    if names.get(one["id"], one["id"]) in str(complaint):
                        last = str(complaint).strip().splitlines()[-1].strip()
                        self.failed[one["id"]] = f"misp-stix: {last}"[:200]
        return made

    def _merge(self, event: dict[str, Any], made: dict[str, Any]) -> None:
        for key in ("Attribute", "Object", "Galaxy", "EventReport"):
            event[key].extend(made.get(key, ()))
        have = {tag["name"] for tag in event["Tag"]}
        for tag in made.get("Tag", ()):
            name = tag["name"]
            if name not in have and name != "Threat-Report" and _is_free(name):
                event["Tag"].append({"name": name})

    def _fill(self, event: dict[str, Any]) -> None:
        """Put back what misp-stix does not read: comments, flags, labels, places."""
        for part in self._parts(event):
            for one in self.by_uuid.get(str(part.get("uuid")), ()):
                self._fill_part(part, one)
        objects = {one["uuid"]: one for one in event["Object"]}
        for attribute in list(event["Attribute"]):
            for one in self.by_uuid.get(attribute["uuid"], ()):
                home = objects.get(str(one.get("x_misp_object_uuid")))
                if home is not None:
                    relation = one.get("x_misp_object_relation", attribute["type"])
                    home["Attribute"].append({**attribute, "object_relation": relation})
                    event["Attribute"].remove(attribute)

    def _fill_part(self, part: dict[str, Any], one: dict[str, Any]) -> None:
        spoken = one.get("x_misp_comment", one.get("description"))
        if isinstance(spoken, str) and not part.get("comment"):
            part["comment"] = spoken
        if "value" not in part:
            return
        if one["type"] == "indicator":
            part["to_ids"] = True
        elif isinstance(one.get("x_misp_to_ids"), bool):
            part["to_ids"] = one["x_misp_to_ids"]
        for ref in references(one):
            inner = self.by_id.get(ref, {})
            # A value that STIX spells in its own way: how MISP had it.
            if inner.get("key") == part["value"] and "x_misp_value" in inner:
                part["value"] = str(inner["x_misp_value"])
        have = {tag["name"] for tag in part.get("Tag", ())}
        for label in _labels(one):
            if label not in have and _is_free(label):
                part.setdefault("Tag", []).append({"name": label})
                have.add(label)

    def _parts(self, event: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield from event["Attribute"]
        for one in event["Object"]:
            yield one
            yield from one["Attribute"]

    def _settle_uuids(self, event: dict[str, Any]) -> None:
        """Give every part whose uuid is chance one that repeats, and a time."""
        ids = {uuid_of(one["id"]) for one in self.held}
        ids |= {uuid_of(known) for known in self.restored.values()}
        names: dict[str, str] = {}
        taken: set[str] = set()

        def settle(part: dict[str, Any], *home: str) -> None:
            part["timestamp"] = str(_whole(part.get("timestamp")) or self.stamp)
            old = str(part.get("uuid", ""))
            if old in ids and old not in taken:
                names[old] = old
                taken.add(old)
                return
            said = [str(part.get(k, "")) for k in ("object_relation", "type", "value")]
            said += [str(part.get(k, "")) for k in ("name", "relationship_type")]
            count = 0
            while (new := derived_uuid(*home, *said, str(count))) in taken:
                count += 1
            names[old] = part["uuid"] = new
            taken.add(new)

        for attribute in event["Attribute"]:
            settle(attribute, self.uuid)
        for index, one in enumerate(event["Object"]):
            settle(one, self.uuid, json.dumps(_told(one)), str(index))
            for attribute in one["Attribute"]:
                settle(attribute, one["uuid"])
        for one in event["Object"]:
            for reference in one.get("ObjectReference", ()):
                reference["object_uuid"] = one["uuid"]
                target = names.get(
                    reference["referenced_uuid"], reference["referenced_uuid"]
                )
                reference["referenced_uuid"] = target
                said = (one["uuid"], target, reference[_KIND])
                if said in self.relations:
                    reference["uuid"] = uuid_of(self.relations[said])
                settle(reference, one["uuid"], target)
                self.joined.add((one["uuid"], target))
            one.get("ObjectReference", []).sort(key=lambda each: each["uuid"])
        for report in event["EventReport"]:
            settle(report, self.uuid)

    def _tag(self, event: dict[str, Any], handled_as: Tlp) -> None:
        """Tag the event and each part with the TLP level of what it was made of."""
        settle_flags(event, self.by_uuid, self._may_flag)
        # Its creator's name stands on every object anyway, so it sets no level.
        held = [one for one in self.held if one is not self.creator] or self.held
        strictest = max(self._level(one, handled_as) for one in held)
        paps = sorted({pap for one in self.held for pap in self._paps(one)})
        event["Tag"] = [
            *({"name": name} for name in (_TLP_TAGS[strictest], *paps)),
            *event["Tag"],
        ]
        for part in self._parts(event):
            made_of = self.by_uuid.get(part["uuid"], ())
            if made_of and "type" in part:
                level = max(self._level(one, handled_as) for one in made_of)
                marks = {pap for one in made_of for pap in self._paps(one)}
                names = [_TLP_TAGS[level], *sorted(marks)]
                rest = [tag for tag in part.get("Tag", ()) if _is_free(tag["name"])]
                part["Tag"] = [*({"name": name} for name in names), *rest]

    def _level(self, one: dict[str, Any], handled_as: Tlp) -> Tlp:
        return level_of(one, self.known, handled_as)

    def _may_flag(self, one: dict[str, Any]) -> bool:
        return permitted(Act.FLAG, MarkingSet(refs=_refs_of(one)), self.known)

    def _paps(self, one: dict[str, Any]) -> Iterator[str]:
        for ref in _refs_of(one):
            marking = look_up(ref, self.known)
            if marking.pap is not None:
                yield marking.pap.label

    def _fates(self, event: dict[str, Any]) -> Iterator[Fate]:
        """Look for each object in what came out."""
        texts = _standing(event)
        for index, one in enumerate(self.held):
            outcome, reason = self._fate(one, texts)
            if outcome != "lost" and self._has_audience(one):
                outcome = "altered"
                said = "MISP has no tag for its audience: a stricter TLP is put on it"
                reason = f"{reason}; {said}" if reason else said
            what = str(one.get("name", one.get("value", one["type"])))[:120]
            uuid, place = uuid_of(one["id"]), f"objects[{index}]"
            yield Fate(one["type"], uuid, place, what, outcome, (one["id"],), reason)

    def _fate(self, one: dict[str, Any], texts: frozenset[str]) -> tuple[Outcome, str]:
        if one["type"] in _IMPLIED:
            return "converted", _IMPLIED[one["type"]]
        if one is self.report:
            return "converted", "it is the event"
        if one is self.creator:
            return "converted", "it is the event's creator"
        if one["type"] == "relationship" and uuid_of(one["id"]) not in texts:
            ends = [
                uuid_of(self.restored.get(str(one.get(key)), str(one.get(key))))
                for key in _ENDS
            ]
            if ends[0] and ends[0] == ends[1]:
                return "converted", "both ends are one attribute in MISP"
            if (ends[0], ends[1]) in self.joined:
                return "converted", "its target hangs at its source in MISP"
        again = uuid_of(self.restored.get(one["id"], one["id"])) in texts
        if again and one["id"] in self.restored:
            return "converted", ""
        wanted = _known_by(one)
        found = [text for text in wanted if text in texts or text.casefold() in texts]
        if (wanted and len(found) == len(wanted)) or (again and not wanted):
            return "converted", ""
        if not wanted and is_observable(one) and one["id"] in self.held_in:
            return "converted", "it stands in what holds it"
        reason = self.failed.get(one["id"], "")
        if found or again:
            return "altered", reason or "not all of its values have a place in MISP"
        return "lost", reason or f"MISP has no place for this {one['type']}"

    @functools.cached_property
    def held_in(self) -> frozenset[str]:
        """Give the ids that other objects refer to."""
        return frozenset(ref for one in self.held for ref in references(one))

    def _has_audience(self, one: dict[str, Any]) -> bool:
        kinds = {look_up(ref, self.known).kind for ref in _refs_of(one)}
        return one["type"] not in _IMPLIED and bool(kinds & {"audience", "unknown"})


def _standing(event: dict[str, Any]) -> frozenset[str]:
    """Give every text in an event, and those inside composites and patterns."""
    texts: set[str] = set()
    for text in scalars(event):
        texts.add(text)
        texts.add(text.casefold())
        if "|" in text:
            texts.update(text.split("|"))
        if "'" in text:
            texts.update(
                re.sub(r"\\(.)", r"\1", each) for each in _QUOTED.findall(text)
            )
    return frozenset(texts)


def _is_free(label: str) -> bool:
    """Tell a label that may be a tag: markings go by our rules, not by labels."""
    plain = "".join(label.split()).casefold()
    return not plain.startswith(("tlp:", "pap:", "misp:"))


def _told(one: dict[str, Any]) -> list[list[str]]:
    """Give what an object says, without what is chance."""
    return [
        [str(each.get("object_relation")), str(each.get("value"))]
        for each in one.get("Attribute", ())
    ]


def _known_by(one: dict[str, Any]) -> list[str]:
    """Give the texts by which an object is known wherever it has gone."""
    if one["type"] == "indicator" and one.get("pattern_type", "stix") == "stix":
        quoted = _QUOTED.findall(_OF_TYPE.sub("", str(one.get("pattern", ""))))
        return [re.sub(r"\\(.)", r"\1", text) for text in quoted if text]
    if "x_misp_value" in one:
        return [str(one["x_misp_value"])]
    texts = [str(one[key]) for key in _KNOWN_BY if one.get(key) not in (None, "")]
    hashes = one.get("hashes")
    if isinstance(hashes, dict):
        texts.extend(str(value) for value in hashes.values())
    return texts


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _renamed(inner, names) for key, inner in value.items()}
    if isinstance(value, list):
        return [_renamed(inner, names) for inner in value]
    return names.get(value, value) if isinstance(value, str) else value


def _version(one: dict[str, Any]) -> int:
    try:
        return instant(str(one.get("modified", one.get("created", ""))))
    except ValueError:
        return 0


def _whole(value: Any) -> int:
    return int(value) if str(value).isascii() and str(value).isdigit() else 0
