"""A MISP event, read and made whole before anything is made of it.

MISP events come from many hands: exports, feeds, scripts. Here each part of one gets
what the conversion needs (a uuid, a time, a handling), always derived from the event
itself, so that reading the same event twice gives the same. Whatever had to be changed
or left out is said, part by part; nothing goes silently.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Literal

from serantau.clock import moment
from serantau.errors import BadInput
from serantau.wire.misp_tags import (
    PAP_NAMES,
    RED,
    TLP_IDS,
    limited,
    pap_definition,
)
from serantau.wire.misp_values import (
    derived_uuid,
    kind_of,
    read_day,
    read_moment,
    read_seconds,
    read_uuid,
    text_or,
    true,
)

Outcome = Literal["converted", "altered", "lost"]


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one part of an event, or of one object on its way out.

    kind: attribute, object, reference, galaxy, tag, sighting, report, note, event or,
    on the way out, a STIX type. uuid: the part's own. place: where it stands, such as
    `Event.Attribute[3]`. what: the part in few words. outcome: `altered` is there, but
    not as it was. ids: the STIX objects that carry it. reason: why it is not whole.
    """

    kind: str
    uuid: str
    place: str
    what: str
    outcome: Outcome
    ids: tuple[str, ...] = ()
    reason: str = ""

    def __str__(self) -> str:
        said = f"{self.place} ({self.what}): {self.outcome}"
        return f"{said}: {self.reason}" if self.reason else said


@dataclass(slots=True)
class Part:
    """One thing in an event that must be found again in what is made of it.

    data: the cleaned JSON. parent: the uuid of the object or attribute it stands in, or
    "". stamp: seconds since the epoch. marks: ids of the markings that hold for it, its
    parents' among them. notes: what was changed while it was made whole.
    """

    kind: str
    uuid: str
    place: str
    what: str
    data: dict[str, Any]
    parent: str
    stamp: int
    marks: frozenset[str]
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Prepared:
    """A whole event: what to hand on, the parts by uuid, and what was left out.

    markings: definitions of markings that are nobody's standard (PAP), by id.
    """

    event: dict[str, Any]
    uuid: str
    stamp: int
    born: int
    marks: frozenset[str]
    parts: dict[str, Part]
    fates: list[Fate]
    markings: dict[str, dict[str, Any]]


class _Preparing:
    """Walks one event, collecting its parts."""

    def __init__(self, event: dict[str, Any]) -> None:
        self.source = event
        self.parts: dict[str, Part] = {}
        self.fates: list[Fate] = []
        self.markings: dict[str, dict[str, Any]] = {}
        self.marks: frozenset[str] = frozenset()
        self.uuid = read_uuid(event.get("uuid"))
        notes = []
        if not self.uuid:
            plain = json.dumps(event, sort_keys=True, default=str)
            self.uuid = derived_uuid("event", plain)
            notes.append(f"its uuid was {event.get('uuid')!r}, a derived one is used")
        stamps = [
            read_seconds(event.get(k)) for k in ("timestamp", "publish_timestamp")
        ]
        stamp = stamps[0] or stamps[1] or read_day(event.get("date"))
        if stamp is None:
            raise BadInput(
                f"MISP event {self.uuid} has no time: timestamp is "
                f"{event.get('timestamp')!r}, date is {event.get('date')!r}.",
                mend="Give it a `date` (2024-05-17) or a `timestamp` (seconds).",
            )
        if stamps[0] is None:
            got = event.get("timestamp")
            notes.append(f"its timestamp was {got!r}, its date is used")
        self.stamp = stamp
        self.born = min(read_day(event.get("date")) or stamp, stamp)
        self.notes = notes

    def run(self) -> Prepared:
        source = self.source
        info = source.get("info")
        event: dict[str, Any] = {
            "uuid": self.uuid,
            "info": info if isinstance(info, str) and info else f"MISP {self.uuid}",
            "timestamp": str(self.stamp),
            "date": source["date"]
            if read_day(source.get("date")) is not None
            else None,
        }
        if event["date"] is None:
            del event["date"]
        for key in ("threat_level_id", "analysis", "extends_uuid"):
            if isinstance(source.get(key), (str, int)) and str(source[key]):
                event[key] = str(source[key])
        published = read_seconds(source.get("publish_timestamp"))
        event["published"] = true(source.get("published")) and published is not None
        if event["published"]:
            event["publish_timestamp"] = str(published)
        part = self._part("event", source, "Event", info, "", frozenset())
        part.notes.extend(self.notes)
        self.marks = part.marks
        organisation = source.get("Orgc")
        if isinstance(organisation, dict) and read_uuid(organisation.get("uuid")):
            name = organisation.get("name")
            event["Orgc"] = {
                "uuid": read_uuid(organisation["uuid"]),
                "name": str(name) if name else "unnamed organisation",
            }
        else:
            part.notes.append("it names no organisation with a uuid as its creator")
        event["Tag"] = part.data["Tag"]
        part.data = event
        self._inner(source, event, part, "Event")
        attributes = self._listed(source, "Attribute", "Event")
        event["Attribute"] = [
            made for one, at in attributes if (made := self._attribute(one, at, part))
        ]
        event["Object"] = [
            made
            for one, at in self._listed(source, "Object", "Event")
            if (made := self._object(one, at, part))
        ]
        event["EventReport"] = [
            self._event_report(one, at, part)
            for one, at in self._listed(source, "EventReport", "Event")
        ]
        for one, at in self._listed(source, "ShadowAttribute", "Event"):
            self._lose("proposal", one, at, "a proposal is no part until accepted")
        if source.get("event_creator_email"):
            what = "event_creator_email"
            reason = "a person's address stays with the organisation"
            self.fates.append(Fate(what, "", f"Event.{what}", what, "lost", (), reason))
        return Prepared(
            event=event,
            uuid=self.uuid,
            stamp=self.stamp,
            born=self.born,
            marks=self.marks,
            parts=self.parts,
            fates=self.fates,
            markings=self.markings,
        )

    def _listed(
        self, source: dict[str, Any], key: str, place: str
    ) -> list[tuple[dict[str, Any], str]]:
        """Give the objects of a list with their places; what is none is reported."""
        held = source.get(key)
        if isinstance(held, dict):
            held = [held]
        if held is None or held == "":
            return []
        if not isinstance(held, list):
            self._lose(
                key, {}, f"{place}.{key}", f"got {kind_of(held)}, expected a list"
            )
            return []
        found = []
        for index, one in enumerate(held):
            at = f"{place}.{key}[{index}]"
            if isinstance(one, dict):
                found.append((one, at))
            else:
                self._lose(key, {}, at, f"got {kind_of(one)}, expected an object")
        return found

    def _lose(self, kind: str, one: dict[str, Any], place: str, reason: str) -> None:
        value = one.get("value", one.get("name", ""))
        what = f"{one.get('type', kind)} {str(value)[:80]}".strip()
        uuid = read_uuid(one.get("uuid"))
        fate = Fate(kind.lower(), uuid, place, what, "lost", (), reason)
        self.fates.append(fate)

    def _part(
        self,
        kind: str,
        one: dict[str, Any],
        place: str,
        what: Any,
        parent: str,
        inherited: frozenset[str],
    ) -> Part:
        """Make a part whole: uuid, time, markings; keep it under its uuid."""
        notes = []
        uuid = self.uuid if kind == "event" else read_uuid(one.get("uuid"))
        if not uuid or uuid in self.parts:
            plain = json.dumps(one, sort_keys=True, default=str)
            why = "that another part has" if uuid else "no uuid that STIX takes"
            if kind != "galaxy":
                notes.append(f"its uuid is {one.get('uuid')!r}, {why}: a derived one")
            # The place is left out, so that a new neighbour does not change the id.
            uuid, count = derived_uuid(self.uuid, kind, plain), 0
            while uuid in self.parts:
                count += 1
                uuid = derived_uuid(self.uuid, kind, plain, str(count))
        stamp = self.stamp
        if one.get("timestamp") is not None:
            read = read_seconds(one["timestamp"])
            stamp = read or self.stamp
            if read is None and kind != "event":
                got = one["timestamp"]
                notes.append(f"its timestamp is {got!r}: the event's is used")
        tags, marks, said = self._tags(one, place)
        marks = limited(one.get("distribution"), marks, said) | inherited
        notes.extend(said)
        data = {**one, "uuid": uuid, "timestamp": str(stamp), "Tag": tags}
        part = Part(kind, uuid, place, str(what)[:120], data, parent, stamp, marks)
        part.notes.extend(notes)
        self.parts[uuid] = part
        return part

    def _tags(
        self, one: dict[str, Any], place: str
    ) -> tuple[list[dict[str, Any]], frozenset[str], list[str]]:
        """Split the tags into labels and markings. A tag that is nearly TLP is RED."""
        labels: list[dict[str, Any]] = []
        marks: set[str] = set()
        said: list[str] = []
        seen: set[str] = set()
        for tag, at in self._listed(one, "Tag", place):
            name = tag.get("name")
            if not isinstance(name, str) or not name.strip():
                self._lose("tag", tag, at, f"its name is {name!r}, expected a text")
                continue
            plain = "".join(name.split()).casefold()
            if plain in TLP_IDS:
                marks.add(TLP_IDS[plain])
            elif plain in PAP_NAMES:
                definition = pap_definition(PAP_NAMES[plain])
                self.markings[definition["id"]] = definition
                marks.add(definition["id"])
            elif plain.startswith(("tlp:", "pap:")):
                marks.add(RED)
                said.append(f"the tag {name!r} is no known marking: TLP:RED is put on")
            elif true(tag.get("local")):
                self._lose("tag", tag, at, "a local tag does not leave its instance")
                continue
            elif name not in seen:
                labels.append({"name": name})
            seen.add(name)
        if len(marks & frozenset(TLP_IDS.values())) > 1:
            said.append("it has several TLP tags: all are kept, the strictest holds")
        return labels, frozenset(marks), said

    def _attribute(
        self, one: dict[str, Any], place: str, parent: Part
    ) -> dict[str, Any] | None:
        kind, value = one.get("type"), one.get("value")
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(kind, str) or not kind.strip():
            self._lose("attribute", one, place, f"its type is {kind!r}")
            return None
        if not isinstance(value, str) or not value.strip():
            self._lose(
                "attribute", one, place, f"it has no value (got {kind_of(value)})"
            )
            return None
        if true(one.get("deleted")):
            self._lose("attribute", one, place, "it is deleted at its source")
            return None
        above = "" if parent.kind == "event" else parent.uuid
        what = f"{kind} {value}"
        part = self._part("attribute", one, place, what, above, parent.marks)
        category = one.get("category")
        made: dict[str, Any] = {
            "uuid": part.uuid,
            "type": kind,
            "value": value,
            "category": category if isinstance(category, str) and category else "Other",
            "timestamp": part.data["timestamp"],
            "to_ids": true(one.get("to_ids")),
        }
        for key in ("comment", "object_relation", "data"):
            if isinstance(one.get(key), str) and one[key]:
                made[key] = one[key]
        self._seen(one, made, part)
        made["Tag"] = part.data["Tag"]
        part.data = made
        self._inner(one, made, part, place)
        for shadow, at in self._listed(one, "ShadowAttribute", place):
            self._lose("proposal", shadow, at, "a proposal is no part until accepted")
        return made

    def _seen(self, one: dict[str, Any], made: dict[str, Any], part: Part) -> None:
        """Carry first_seen and last_seen over, when both can be and are in order."""
        times: dict[str, int] = {}
        for key in ("first_seen", "last_seen"):
            if one.get(key) in (None, ""):
                continue
            read = read_moment(one[key])
            if read is None:
                part.notes.append(f"its {key} is {one[key]!r}, expected RFC 3339")
            else:
                times[key] = read
        if times.get("first_seen", 0) > times.get("last_seen", 1 << 62):
            part.notes.append("its first_seen is after its last_seen: both are left")
            return
        for key, at in times.items():
            made[key] = moment(at).strftime("%Y-%m-%dT%H:%M:%S.%f+00:00")

    def _object(
        self, one: dict[str, Any], place: str, event: Part
    ) -> dict[str, Any] | None:
        name = one.get("name")
        if true(one.get("deleted")):
            self._lose("object", one, place, "it is deleted at its source")
            return None
        if not isinstance(name, str) or not name.strip():
            self._lose("object", one, place, f"its name is {name!r}, expected a text")
            return None
        part = self._part("object", one, place, name, "", event.marks)
        made: dict[str, Any] = {
            "uuid": part.uuid,
            "name": name,
            "meta-category": text_or(one.get("meta-category"), "misc"),
            "description": text_or(one.get("description"), name),
            "timestamp": part.data["timestamp"],
        }
        for key in ("template_uuid", "template_version", "comment"):
            if isinstance(one.get(key), (str, int)) and one[key]:
                made[key] = str(one[key])
        self._seen(one, made, part)
        part.data = made
        attributes = self._listed(one, "Attribute", place)
        made["Attribute"] = [
            inner for one, at in attributes if (inner := self._attribute(one, at, part))
        ]
        stamps = [int(inner["timestamp"]) for inner in made["Attribute"]]
        part.stamp = max([part.stamp, *stamps])
        for inner in made["Attribute"]:
            inner.setdefault("object_relation", inner["type"])
        made["ObjectReference"] = [
            reference
            for one, at in self._listed(one, "ObjectReference", place)
            if (reference := self._reference(one, at, part))
        ]
        self._inner(one, made, part, place)
        if not made["Attribute"]:
            part.notes.append("it has no attribute that could be read")
        return made

    def _reference(
        self, one: dict[str, Any], place: str, parent: Part
    ) -> dict[str, Any] | None:
        target, kind = (
            read_uuid(one.get("referenced_uuid")),
            one.get("relationship_type"),
        )
        if not target or not isinstance(kind, str) or true(one.get("deleted")):
            why = "it is deleted" if target and kind else "it names no target and kind"
            self._lose("reference", one, place, why)
            return None
        # STIX 2.1 §3.7: relationship types have lower case letters, digits, hyphens.
        plain = re.sub("[^a-z0-9]+", "-", kind.casefold()).strip("-") or "related-to"
        what = f"{plain} {target}"
        part = self._part("reference", one, place, what, parent.uuid, parent.marks)
        if plain != kind:
            part.notes.append(f"its kind {kind!r} is written {plain!r}")
        comment = one.get("comment")
        part.data = {
            "uuid": part.uuid,
            "object_uuid": parent.uuid,
            "referenced_uuid": target,
            "relationship_type": plain,
            "timestamp": part.data["timestamp"],
            "comment": comment if isinstance(comment, str) else "",
        }
        return part.data

    def _event_report(
        self, one: dict[str, Any], place: str, event: Part
    ) -> dict[str, Any]:
        name = text_or(one.get("name"), "Event report")
        part = self._part("report", one, place, name, "", event.marks)
        part.data = {
            "uuid": part.uuid,
            "name": name,
            "content": text_or(one.get("content"), "(empty)"),
            "timestamp": part.data["timestamp"],
        }
        self._inner(one, part.data, part, place)
        return part.data

    def _inner(
        self, one: dict[str, Any], made: dict[str, Any], part: Part, place: str
    ) -> None:
        """Carry over what stands inside a part: galaxies, sightings, analyst data."""
        made["Galaxy"] = [
            galaxy
            for each, at in self._listed(one, "Galaxy", place)
            if (galaxy := self._galaxy(each, at, part))["GalaxyCluster"]
        ]
        made["Sighting"] = [
            sighting
            for each, at in self._listed(one, "Sighting", place)
            if (sighting := self._sighting(each, at, part))
        ]
        for key, word in (("Note", "note"), ("Opinion", "opinion")):
            made[key] = [
                written
                for each, at in self._listed(one, key, place)
                if (written := self._written(each, at, part, key, word))
            ]
        for each, at in self._listed(one, "Relationship", place):
            self._lose("relationship", each, at, "analyst relationships have no form")
        for key in ("Galaxy", "Sighting", "Note", "Opinion"):
            if not made[key]:
                del made[key]

    def _galaxy(self, one: dict[str, Any], place: str, parent: Part) -> dict[str, Any]:
        name = text_or(one.get("name"), text_or(one.get("type"), "unnamed galaxy"))
        made: dict[str, Any] = {
            "uuid": read_uuid(one.get("uuid")) or derived_uuid("galaxy", name),
            "name": name,
            "type": text_or(one.get("type"), "unnamed-galaxy"),
            "description": text_or(one.get("description"), name),
            "GalaxyCluster": [],
        }
        for cluster, at in self._listed(one, "GalaxyCluster", place):
            value = cluster.get("value")
            if not isinstance(value, str) or not value.strip():
                self._lose("galaxy", cluster, at, f"its value is {value!r}")
                continue
            if true(cluster.get("local")):
                reason = "a local galaxy does not leave its instance"
                self._lose("galaxy", cluster, at, reason)
                continue
            kind = text_or(cluster.get("type"), made["type"])
            tag = text_or(cluster.get("tag_name"), f'misp-galaxy:{kind}="{value}"')
            meta = cluster.get("meta")
            # The same cluster may hang at many attributes: what is new each time is
            # only where, so it has one part for each place and one uuid for the parser.
            own = read_uuid(cluster.get("uuid"))
            uuid = own or derived_uuid("cluster", kind, value)
            part = self._part("galaxy", cluster, at, tag, parent.uuid, parent.marks)
            if not own:
                part.notes.append("its uuid is not one: STIX gets a derived one")
            part.data = {
                "uuid": uuid,
                "type": kind,
                "value": value,
                "tag_name": tag,
                "description": text_or(cluster.get("description"), value),
                "meta": meta if isinstance(meta, dict) else {},
            }
            made["GalaxyCluster"].append(part.data)
        return made

    def _sighting(
        self, one: dict[str, Any], place: str, parent: Part
    ) -> dict[str, Any] | None:
        kind, at = str(one.get("type", "0")), read_seconds(one.get("date_sighting"))
        if kind not in {"0", "1"} or parent.kind != "attribute":
            why = "it is an expiration" if kind == "2" else f"its type is {kind!r}"
            if parent.kind != "attribute":
                why = "it stands at no attribute"
            self._lose("sighting", one, place, f"{why}: STIX has no form for it")
            return None
        dated = {**one, "timestamp": str(at or self.stamp)}
        what = ("seen", "false positive")[int(kind)]
        part = self._part("sighting", dated, place, what, parent.uuid, parent.marks)
        if at is None:
            part.notes.append(f"its date is {one.get('date_sighting')!r}")
        made: dict[str, Any] = {
            "uuid": part.uuid,
            "type": kind,
            "date_sighting": part.data["timestamp"],
            "source": text_or(one.get("source"), ""),
        }
        seen_by = one.get("Organisation")
        if isinstance(seen_by, dict) and read_uuid(seen_by.get("uuid")):
            name = text_or(seen_by.get("name"), "unnamed organisation")
            made["Organisation"] = {"uuid": read_uuid(seen_by["uuid"]), "name": name}
        part.data = made
        return made

    def _written(
        self, one: dict[str, Any], place: str, parent: Part, key: str, word: str
    ) -> dict[str, Any] | None:
        """Read an analyst's note or opinion."""
        value = one.get(word)
        if key == "Opinion":
            text = str(value)
            good = text.isascii() and text.isdigit() and int(text[:4]) <= 100
            value = int(text) if good else None
        if value in (None, "") or not isinstance(value, (str, int)):
            self._lose(word, one, place, f"its {word} is {one.get(word)!r}")
            return None
        at = read_moment(one.get("modified")) or read_moment(one.get("created"))
        stamp = at // 1_000_000 if at else self.stamp
        dated = {**one, "timestamp": str(stamp)}
        part = self._part(word, dated, place, value, parent.uuid, parent.marks)
        text = moment(part.stamp * 1_000_000).strftime("%Y-%m-%d %H:%M:%S")
        made: dict[str, Any] = {
            "uuid": part.uuid,
            "object_uuid": parent.uuid,
            "object_type": parent.kind.capitalize(),
            word: value,
            "created": text,
            "modified": text,
        }
        for name in ("authors", "language", "comment"):
            if isinstance(one.get(name), str) and one[name]:
                made[name] = one[name]
        part.data = made
        return made


def prepare(event: dict[str, Any]) -> Prepared:
    """Make an event whole; see the module.

    Raises:
        BadInput: the event has no time at all, so that no version could be told apart.
    """
    return _Preparing(event).run()
