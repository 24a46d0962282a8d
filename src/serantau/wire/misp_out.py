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
from serantau.rules.marking import Marking, MarkingSet, Tlp, look_up, tlp_of
from serantau.wire.misp_event import Fate, Outcome, derived_uuid
from serantau.wire.misp_parser import import_parsers

_TLP_TAGS = {
    Tlp.CLEAR: "tlp:clear",
    Tlp.GREEN: "tlp:green",
    Tlp.AMBER: "tlp:amber",
    Tlp.AMBER_STRICT: "tlp:amber+strict",
    Tlp.RED: "tlp:red",
}
_ROOTS = ("report", "grouping")
_CONTAINER = ("relationship", "sighting", "note", "opinion", *_ROOTS)
# What a MISP event has no part for, and why that is no loss of content.
_IMPLIED = {
    "marking-definition": "what it says stands in the tags of what it marks",
    "extension-definition": "it describes a form, which MISP does not read",
}
_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'")
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
    known: Mapping[str, Marking] | None = None,
    handled_as: Tlp = Tlp.AMBER_STRICT,
) -> Sent:
    """Make one MISP event of STIX objects: `{"Event": {...}}`.

    It decides nothing about release: the objects are those that desk/share already
    released to the one who gets the event. The event's distribution is 0, the
    receiver's organisation only, and its tag the strictest TLP level of the objects.

    Args:
        objects: JSON texts or parsed objects, each id once.
        organisation: who gives the event away; `Orgc` in MISP.
        organisation_uuid: its uuid, that of the team's identity.
        info: the event's one line of description; else the name of its report.
        known: the markings that the node holds, by id; those of OASIS are implied.
        handled_as: the node's handling of objects that have no TLP marking.

    Raises:
        BadInput: one of the objects is not a STIX object, or there is none.
    """
    held = [_read(one, index) for index, one in enumerate(objects)]
    if not held:
        raise BadInput("There is no object to make a MISP event of.")
    return _Sending(held, organisation, organisation_uuid, info, known or {}).run(
        handled_as
    )


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


def _references(value: Any, key: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _references(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner, key)
    elif isinstance(value, str) and key.endswith(("_ref", "_refs")):
        yield value


def _scalars(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _scalars(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _scalars(inner)
    elif value is not None:
        yield str(value)


class _Sending:
    """One event in the making."""

    def __init__(
        self,
        held: list[dict[str, Any]],
        organisation: str,
        organisation_uuid: str,
        info: str,
        known: Mapping[str, Marking],
    ) -> None:
        self.held = held
        self.known = known
        self.organisation = {"name": organisation, "uuid": organisation_uuid}
        self.restored: dict[str, str] = {}
        self.failed: dict[str, str] = {}
        reports = [one for one in held if one["type"] in _ROOTS]
        self.report = reports[0] if len(reports) == 1 else None
        named = self.report["name"] if self.report and "name" in self.report else ""
        self.info = info or named or f"{len(held)} objects from {organisation}"
        if self.report:
            self.uuid = self.report["id"].partition("--")[2]
        else:
            self.uuid = derived_uuid("out", *sorted(one["id"] for one in held))
        times = [_version(one) for one in held]
        self.stamp = max([time for time in times if time], default=0) // 1_000_000
        # MISP takes no event without a time; observables alone have none.
        self.stamp = self.stamp or 1

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
        return Sent({"Event": event}, list(self._fates(event)))

    def _sides(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Part what was MISP before from what was not.

        misp-stix's two parsers each read one kind only. Observables and relationships
        go where what they belong to goes.
        """
        by_id = {one["id"]: one for one in self.held}
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
            for ref in _references(one):
                if ref in by_id and ref not in ours and _is_plain(by_id[ref]):
                    ours.add(ref)
                    open_.append(ref)
        for one in self.held:
            ends = [r for r in _references(one) if r in by_id]
            if one["type"] in _CONTAINER and one is not self.report:
                if one["type"] in _ROOTS:
                    continue
                if any(end in ours for end in ends):
                    ours.add(one["id"])
        sides: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])
        for one in self.held:
            if one["type"] not in _ROOTS and one["type"] not in _IMPLIED:
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
            labels=_labels(self.report or {}) or ["Threat-Report"],
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
            if name not in have and not name.casefold().startswith(("tlp:", "misp:")):
                event["Tag"].append({"name": name})

    def _fill(self, event: dict[str, Any]) -> None:
        """Put back what misp-stix does not read: comments, labels, places."""
        by_uuid: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for one in self.held:
            by_uuid[one["id"].partition("--")[2]].append(one)
        for part in self._parts(event):
            for one in by_uuid.get(str(part.get("uuid")), ()):
                comment = one.get("x_misp_comment")
                if isinstance(comment, str) and not part.get("comment"):
                    part["comment"] = comment
                if "type" not in part:
                    continue
                have = {tag["name"] for tag in part.get("Tag", ())}
                for label in _labels(one):
                    if not label.startswith("misp:") and label not in have:
                        part.setdefault("Tag", []).append({"name": label})
                        have.add(label)
        objects = {one["uuid"]: one for one in event["Object"]}
        for attribute in list(event["Attribute"]):
            for one in by_uuid.get(attribute["uuid"], ()):
                home = objects.get(str(one.get("x_misp_object_uuid")))
                if home is not None:
                    relation = one.get("x_misp_object_relation", attribute["type"])
                    home["Attribute"].append({**attribute, "object_relation": relation})
                    event["Attribute"].remove(attribute)

    def _parts(self, event: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield from event["Attribute"]
        for one in event["Object"]:
            yield one
            yield from one["Attribute"]

    def _settle_uuids(self, event: dict[str, Any]) -> None:
        """Give every part whose uuid is chance one that repeats, and a time."""
        ids = {one["id"].partition("--")[2] for one in self.held}
        ids |= {known.partition("--")[2] for known in self.restored.values()}
        names: dict[str, str] = {}

        def settle(part: dict[str, Any], *home: str) -> None:
            part["timestamp"] = str(_whole(part.get("timestamp")) or self.stamp)
            old = str(part.get("uuid", ""))
            if old in ids and old not in names.values():
                names[old] = old
                return
            said = [str(part.get(k, "")) for k in ("object_relation", "type", "value")]
            said += [str(part.get(k, "")) for k in ("name", "relationship_type")]
            count = 0
            while (new := derived_uuid(*home, *said, str(count))) in names.values():
                count += 1
            names[old] = part["uuid"] = new

        for attribute in event["Attribute"]:
            settle(attribute, self.uuid)
        for index, one in enumerate(event["Object"]):
            settle(one, self.uuid, json.dumps(_told(one)), str(index))
            for attribute in one["Attribute"]:
                settle(attribute, one["uuid"])
        for one in event["Object"]:
            for reference in one.get("ObjectReference", ()):
                reference["object_uuid"] = one["uuid"]
                target = reference["referenced_uuid"]
                reference["referenced_uuid"] = names.get(target, target)
                settle(reference, one["uuid"], reference["referenced_uuid"])
        for report in event["EventReport"]:
            settle(report, self.uuid)

    def _tag(self, event: dict[str, Any], handled_as: Tlp) -> None:
        """Tag the event and each part with the TLP level of what it was made of."""
        by_uuid: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for one in self.held:
            by_uuid[one["id"].partition("--")[2]].append(one)
        strictest = [
            max(tags, key=list(Tlp).index)
            for tags in [[self._level(one, handled_as) for one in self.held]]
        ][0]
        paps = sorted({pap for one in self.held for pap in self._paps(one)})
        event["Tag"] = [
            *({"name": name} for name in (_TLP_TAGS[strictest], *paps)),
            *event["Tag"],
        ]
        for part in self._parts(event):
            made_of = by_uuid.get(part["uuid"], ())
            if made_of and "type" in part:
                level = max(self._level(one, handled_as) for one in made_of)
                marks = {pap for one in made_of for pap in self._paps(one)}
                names = [_TLP_TAGS[level], *sorted(marks)]
                rest = [
                    tag
                    for tag in part.get("Tag", ())
                    if not tag["name"].casefold().startswith(("tlp:", "pap:"))
                ]
                part["Tag"] = [*({"name": name} for name in names), *rest]

    @functools.cached_property
    def _refs(self) -> dict[str, tuple[str, ...]]:
        refs = {}
        for one in self.held:
            granular = one.get("granular_markings")
            parts = granular if isinstance(granular, list) else []
            # A part's marking holds for the whole here: MISP has tags, not selectors.
            inner = [p["marking_ref"] for p in parts if p.get("marking_ref")]
            refs[one["id"]] = (*one.get("object_marking_refs", ()), *inner)
        return refs

    def _level(self, one: dict[str, Any], handled_as: Tlp) -> Tlp:
        if one["type"] in _IMPLIED:
            return Tlp.CLEAR
        refs = self._refs[one["id"]]
        markings = [look_up(ref, self.known) for ref in refs]
        bare = not any(marking.tlp is not None for marking in markings)
        held = MarkingSet(refs=refs, handled_as=handled_as if bare else None)
        level = tlp_of(held, self.known)
        if any(marking.kind == "audience" for marking in markings):
            # MISP has no tag for named parties: it goes no further than the receiver.
            level = max(level, Tlp.AMBER_STRICT)
        return level

    def _paps(self, one: dict[str, Any]) -> Iterator[str]:
        for ref in self._refs[one["id"]]:
            marking = look_up(ref, self.known)
            if marking.pap is not None:
                yield marking.pap.label

    def _fates(self, event: dict[str, Any]) -> Iterator[Fate]:
        """Look for each object in what came out."""
        texts = frozenset(_scalars(event))
        loose = frozenset(text.casefold() for text in texts)
        for index, one in enumerate(self.held):
            uuid = one["id"].partition("--")[2]
            again = self.restored.get(one["id"], one["id"]).partition("--")[2]
            reason = self.failed.get(one["id"], "")
            outcome: Outcome = "converted"
            wanted = _known_by(one)
            if one["type"] in _IMPLIED:
                reason = _IMPLIED[one["type"]]
            elif one is self.report:
                outcome, reason = "converted", ""
            elif wanted and all(_stands(text, texts, loose) for text in wanted):
                reason = ""
            elif again in texts and (not wanted or one["type"] in _CONTAINER):
                reason = ""
            elif any(_stands(text, texts, loose) for text in wanted) or again in texts:
                outcome = "altered"
                reason = reason or "not all of its values have a place in MISP"
            else:
                outcome = "lost"
                reason = reason or f"misp-stix has no place for a {one['type']} here"
            if reason == "" and one["type"] not in _IMPLIED:
                audience = any(
                    look_up(ref, self.known).kind in {"audience", "unknown"}
                    for ref in self._refs[one["id"]]
                )
                if audience:
                    outcome = "altered"
                    reason = "its audience has no tag in MISP: a stricter TLP is put on"
            what = str(one.get("name", one.get("value", one["type"])))[:120]
            place = f"objects[{index}]"
            yield Fate(one["type"], uuid, place, what, outcome, (one["id"],), reason)


def _told(one: dict[str, Any]) -> list[list[str]]:
    """Give what an object says, without what is chance."""
    return [
        [str(each.get("object_relation")), str(each.get("value"))]
        for each in one.get("Attribute", ())
    ]


def _known_by(one: dict[str, Any]) -> list[str]:
    """Give the texts by which an object is known wherever it has gone."""
    if one["type"] == "indicator" and one.get("pattern_type", "stix") == "stix":
        quoted = _QUOTED.findall(str(one.get("pattern", "")))
        return [re.sub(r"\\(.)", r"\1", text) for text in quoted]
    texts = [str(one[key]) for key in _KNOWN_BY if one.get(key) not in (None, "")]
    hashes = one.get("hashes")
    if isinstance(hashes, dict):
        texts.extend(str(value) for value in hashes.values())
    return texts


def _stands(text: str, texts: frozenset[str], loose: frozenset[str]) -> bool:
    if text in texts or text.casefold() in loose:
        return True
    return any(text in whole for whole in texts if "|" in whole or len(whole) > 500)


def _is_plain(one: dict[str, Any]) -> bool:
    """Tell an observable: it has no version of its own."""
    return "created" not in one


def _renamed(value: Any, names: dict[str, str]) -> Any:
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
