"""Publishing on behalf: what of an object may be told without telling whose it was.

The rules, whose numbers stand in the code:

1. Only what a table names is told, by type and property. Everything else falls away:
   labels, language, extensions and the signature in them, custom properties, markings.
2. The id is a new one, that the caller chose. An observable's is made of its content.
3. The publisher is the creator. `created` and `modified` are not written here: they are
   those of publishing.
4. Other times are rounded so that an interval only grows.
5. A reference into what is handed over becomes the new id. One to what everybody knows
   stays. Any other would point back: it falls away, or what needs it is refused.
6. What is left is searched for traces. Each is told with its place, and nothing that
   has one is published.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from serantau.clock import instant, stix_text
from serantau.rules.indicator import PatternError, values_of
from serantau.rules.level import Pap, Tlp
from serantau.rules.marking import Marking, MarkingSet, look_up
from serantau.rules.properties import OBSERVABLES
from serantau.rules.sco import CONTRIBUTING, sco_id
from serantau.rules.text import find_values
from serantau.rules.trace import Hit, Traces, exact_times, shapes

_SEEN: Final = ("first_seen", "last_seen")
_NAMED: Final = ("name", "description", "aliases")
_MOTIVES: Final = ("resource_level", "primary_motivation", "secondary_motivations")
_PHASES: Final = "kill_chain_phases"

# Rule 1. STIX 2.1 §4, §5, §6: what of each type says nothing of who wrote it. Types
# that describe people, places or somebody's machines are not here.
TOLD: Final[Mapping[str, tuple[str, ...]]] = {
    "attack-pattern": (*_NAMED, _PHASES),
    "campaign": (*_NAMED, *_SEEN, "objective"),
    "course-of-action": ("name", "description"),
    "grouping": ("name", "description", "context", "object_refs"),
    "indicator": (
        *("name", "description", "indicator_types", "pattern", "pattern_type"),
        *("pattern_version", "valid_from", "valid_until", _PHASES),
    ),
    "infrastructure": (*_NAMED, *_SEEN, "infrastructure_types", _PHASES),
    "intrusion-set": (*_NAMED, *_SEEN, "goals", *_MOTIVES),
    "malware": (
        *_NAMED,
        *_SEEN,
        *("malware_types", "is_family", _PHASES, "operating_system_refs"),
        *("architecture_execution_envs", "implementation_languages"),
        *("capabilities", "sample_refs"),
    ),
    "note": ("abstract", "content", "object_refs"),
    "observed-data": (
        *("first_observed", "last_observed", "number_observed", "object_refs"),
    ),
    "relationship": (
        *("relationship_type", "description", "source_ref", "target_ref"),
        *("start_time", "stop_time"),
    ),
    "report": ("name", "description", "report_types", "published", "object_refs"),
    "sighting": (
        *("description", *_SEEN, "count", "sighting_of_ref", "observed_data_refs"),
        "summary",
    ),
    "threat-actor": (
        *_NAMED,
        *_SEEN,
        *("threat_actor_types", "roles", "goals", "sophistication", *_MOTIVES),
        "personal_motivations",
    ),
    "tool": (*_NAMED, "tool_types", "tool_version", _PHASES),
    "vulnerability": ("name", "description"),
    # Observables: what they are, not where they were.
    "autonomous-system": ("number", "name"),
    "domain-name": ("value",),
    "email-addr": ("value",),
    "file": ("hashes", "name", "size", "mime_type"),
    "ipv4-addr": ("value",),
    "ipv6-addr": ("value",),
    "mac-addr": ("value",),
    "mutex": ("name",),
    "software": ("name", "cpe", "vendor", "version"),
    "url": ("value",),
    "windows-registry-key": ("key",),
    "x509-certificate": ("hashes", "serial_number", "issuer", "subject"),
}
_ALWAYS: Final = ("type", "spec_version")
_ALSO: Final = ("confidence", "external_references")
# What the new version says for itself; that the old one goes is not worth telling.
_OWN: Final = frozenset(
    (
        *("id", "created_by_ref", "created", "modified", "revoked"),
        "object_marking_refs",
    )
)
_NEEDED: Final = frozenset(
    ("object_refs", "source_ref", "target_ref", "sighting_of_ref")
)

# Sentences that people write; other texts are values and words of vocabularies.
_SENTENCES: Final = frozenset(
    (
        *("name", "description", "aliases", "abstract", "content", "objective"),
        *("goals", "context"),
    )
)
_EARLIER: Final = frozenset(
    ("valid_from", "first_seen", "first_observed", "start_time", "published")
)
_LATER: Final = frozenset(("valid_until", "last_seen", "last_observed", "stop_time"))
# Rule 1: numbers that everybody gives to the same thing.
_CATALOGUES: Final = frozenset(("cve", "capec", "cwe", "mitre-attack"))
_PHASE: Final = ("kill_chain_name", "phase_name")
_FREE: Final = (Tlp.CLEAR, Tlp.GREEN)


@dataclass(frozen=True, slots=True)
class Left:
    """Something that falls away. place: JSON pointer. why: in words."""

    place: str
    why: str

    def __str__(self) -> str:
        """Tell it in a line."""
        return f"{self.place}: {self.why}"


@dataclass(frozen=True, slots=True)
class Handing:
    """What all objects that are handed over together have in common.

    ids: their new ids by the old ones, those of observables excepted. everybody: ids of
    what everybody knows. by: the publisher's identity. marks: ids of markings that the
    new versions carry. traces: of the origin. step: what times are rounded to, in
    microseconds.
    """

    ids: Mapping[str, str]
    everybody: Collection[str]
    by: str
    marks: tuple[str, ...]
    traces: Traces
    step: int


@dataclass(slots=True)
class Written:
    """An object as it would be published, what fell away, and what forbids it.

    data: without `created` and `modified`.
    """

    data: dict[str, Any]
    left: list[Left] = field(default_factory=list)
    hits: list[Hit] = field(default_factory=list)


def new_id_of(data: Mapping[str, Any], fresh: str) -> str:
    """Give the id under which an object would be published (rule 2).

    An observable that is told less than it said has another id: it is another one.

    Args:
        data: the object.
        fresh: what to call it when its id is not made of its content; a UUID.
    """
    kind = str(data["type"])
    if kind in OBSERVABLES:
        told = {"type": kind, **{x: data[x] for x in TOLD.get(kind, ()) if x in data}}
        return sco_id(told) or f"{kind}--{fresh}"
    return f"{kind}--{fresh}"


def write(data: Mapping[str, Any], handing: Handing) -> Written:
    """Write what would be published of an object."""
    kind = str(data["type"])
    written = Written({name: data[name] for name in _ALWAYS if name in data})
    if kind not in TOLD:
        written.hits.append(Hit("/type", kind, "no type that is published on behalf"))
        return written
    observable = kind in OBSERVABLES
    made = written.data
    made["id"] = handing.ids[data["id"]]
    if not observable:
        made["created_by_ref"] = handing.by
    made["object_marking_refs"] = list(handing.marks)
    if "granular_markings" in data:
        # Without them, what was marked more strictly would be told to more.
        written.hits.append(
            Hit("/granular_markings", kind, "marked in parts: make one without them")
        )
    may = (*TOLD[kind], *(("defanged",) if observable else _ALSO))
    # In the table's order: how a program orders properties tells which one wrote them.
    for name in may:
        if name in data:
            _tell(name, data[name], written, handing)
    for name in data:
        if name not in {*may, *_OWN, *_ALWAYS}:
            written.left.append(Left(f"/{name}", _why(name)))
    if observable and not set(CONTRIBUTING[kind]) & made.keys():
        written.hits.append(Hit("/id", kind, "an observable of nothing"))
    if kind == "indicator":
        _read_pattern(written, handing)
    for place, text, sentence in _texts("", made):
        written.hits += _search(place, text, handing.traces, sentence=sentence)
    return written


def _why(name: str) -> str:
    if name.startswith("x_"):
        return "a custom property"
    return {
        "extensions": "extensions, and the signature among them",
        "lang": "the language it was written in",
        "labels": "labels are each team's own",
        "granular_markings": "markings of parts",
    }.get(name, "not told")


def _tell(name: str, value: Any, written: Written, handing: Handing) -> None:
    """Put one property that may be told into the new version."""
    made, place = written.data, f"/{name}"
    if name in _EARLIER | _LATER:
        made[name] = _rounded(value, handing.step, up=name in _LATER)
    elif name == "external_references":
        _tell_references(value, written)
    elif name == _PHASES:
        made[name] = [{x: one[x] for x in _PHASE if x in one} for one in value]
    elif name.endswith("_ref"):
        target = _target(value, handing)
        if target:
            made[name] = target
        elif name in _NEEDED:
            written.hits.append(Hit(place, value, "not handed over with it"))
    elif name.endswith("_refs"):
        kept = []
        for at, one in enumerate(value):
            if target := _target(one, handing):
                kept.append(target)
            else:
                written.left.append(Left(f"{place}/{at}", f"{one} would point back"))
        if kept:
            made[name] = kept
        elif name in _NEEDED:
            written.hits.append(Hit(place, name, "of nothing that is handed over"))
    else:
        made[name] = value


def _tell_references(value: Any, written: Written) -> None:
    kept = []
    for at, one in enumerate(value):
        source = one.get("source_name")
        place = f"/external_references/{at}"
        if source in _CATALOGUES and "external_id" in one:
            kept.append({"source_name": source, "external_id": one["external_id"]})
            left = sorted(one.keys() - {"source_name", "external_id"})
            written.left += [Left(f"{place}/{name}", "not told") for name in left]
        else:
            written.left.append(Left(place, f"a reference to {source}"))
    if kept:
        written.data["external_references"] = kept


def _target(ref: str, handing: Handing) -> str:
    """Give what a reference names in the new versions; empty: it would point back."""
    return handing.ids.get(ref) or (ref if ref in handing.everybody else "")


def _rounded(text: str, step: int, *, up: bool) -> str:
    at = instant(text)
    return stix_text(at // step * step if not up else -(-at // step) * step)


def _read_pattern(written: Written, handing: Handing) -> None:
    made = written.data
    if made.get("pattern_type") != "stix":
        # What YARA and Sigma say of author, date and source stands in the rule's text.
        written.hits.append(
            Hit("/pattern_type", str(made.get("pattern_type")), "not a STIX pattern")
        )
        return
    pattern = str(made.get("pattern"))
    times = exact_times(pattern, handing.step)
    written.hits += [Hit("/pattern", found, what) for found, what in times]
    try:
        values = values_of(pattern)
    except PatternError:
        written.hits.append(Hit("/pattern", pattern, "a pattern that cannot be read"))
        return
    written.hits += [
        Hit("/pattern", value, "an address of the origin's own")
        for value in handing.traces.owns(values)
    ]


def _texts(place: str, value: Any) -> Iterator[tuple[str, str, bool]]:
    """Give (place, text, is it a sentence) of all that would be told."""
    if isinstance(value, str):
        yield place, value, place.split("/")[1] in _SENTENCES
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            # These are new: nothing of the old one is in them.
            if place or name not in _OWN:
                yield from _texts(f"{place}/{name}", inner)
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from _texts(f"{place}/{at}", inner)


def _search(place: str, text: str, traces: Traces, *, sentence: bool) -> Iterator[Hit]:
    for found, what in traces.among(text, sentence=sentence):
        yield Hit(place, found, what)
    if sentence:
        for found, what in shapes(text):
            yield Hit(place, found, what)
    # What a pattern is about is read where patterns are.
    for value in traces.owns([] if place == "/pattern" else find_values(text)):
        yield Hit(place, value, "an address of the origin's own")


@dataclass(frozen=True, slots=True)
class Marks:
    """How what is published is marked. left: what it no longer says, in words."""

    tlp: Tlp
    pap: Pap | None
    left: tuple[str, ...]


def marks_of(
    marked: MarkingSet, known: Mapping[str, Marking], chosen: Tlp | None
) -> Marks | str:
    """Say how the published version of an object is marked, or why it cannot be.

    It goes to whom its level reaches, since an audience would tell who chose it. What
    is stricter than TLP:GREEN, or for some only, needs its maker's word: `chosen`.

    Args:
        marked: the markings of the object.
        known: the marking definitions that this node holds.
        chosen: the level that its maker wants; None: its own.
    """
    markings = [look_up(ref, known) for ref in (*marked.refs, *marked.granular)]
    if any(each.kind == "unknown" for each in markings):
        return "a marking of it is not exactly understood"
    if chosen is not None and chosen not in _FREE:
        return f"{chosen.label} needs an audience, which would tell who chose it"
    levels = [each.tlp for each in markings if each.tlp is not None]
    levels += [] if marked.handled_as is None else [marked.handled_as]
    level = max(levels, default=Tlp.RED)
    audiences = [each.text for each in markings if each.kind == "audience"]
    paps = [each.pap for each in markings if each.pap is not None]
    left = [f"the audience: {audience}" for audience in audiences]
    left += [f'"{each.text}"' for each in markings if each.kind == "statement"]
    if chosen is None:
        if level not in _FREE or audiences:
            said = ", ".join([level.label, *audiences])
            return f"it is {said}: say --tlp CLEAR or GREEN to publish it so"
        chosen = level
    elif level > chosen:
        left.append(f"{level.label}, which is stricter")
    return Marks(chosen, max(paps, default=None), tuple(left))


def unexpected(data: Mapping[str, Any], *, by: str, marks: Collection[str]) -> str:
    """Say what in an object could not have been written by `write`; empty: nothing.

    Args:
        data: what somebody handed over.
        by: the publisher's identity.
        marks: ids of the markings that it may carry.
    """
    kind = data.get("type")
    told = TOLD.get(kind) if isinstance(kind, str) else None
    if told is None:
        return f"{kind!r} is no type that is published on behalf"
    observable = kind in OBSERVABLES
    also = ("defanged",) if observable else (*_ALSO, "created_by_ref")
    may = {*_ALWAYS, "id", "object_marking_refs", *told, *also}
    for name in data:
        if name not in may:
            return f"{kind} has {name!r}, which is not told"
    if not observable and data.get("created_by_ref") != by:
        return f"{kind} is not in the publisher's name"
    refs = data.get("object_marking_refs")
    if not isinstance(refs, list) or not refs or not set(map(str, refs)) <= set(marks):
        return f"{kind} is marked as nothing is that is published on behalf"
    return ""
