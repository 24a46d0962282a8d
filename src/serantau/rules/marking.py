"""Markings: how far an object may go, as its source said it.

TLP 2.0 (and TLP 1, read as its equivalent), PAP, statements, and audience markings of
ours. Whatever is not exactly understood is `unknown`, and unknown restricts: an object
that carries such a marking is released to nobody outside. Which party gets what is
decided in `release`; here stands only what the markings say.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final, Literal

from serantau.rules.level import Pap, Recalled, Tlp

__all__ = [
    "AUDIENCE_EXTENSION",
    "CIRCLE",
    "DECLARED",
    "DECLARED_BY",
    "IDENTITY",
    "NAME",
    "PAP_EXTENSION",
    "TLP_2_EXTENSION",
    "TLP_2_IDS",
    "Audience",
    "Marking",
    "MarkingSet",
    "Pap",
    "Recalled",
    "Tlp",
    "audience_extension_objects",
    "definition_of",
    "in_words",
    "listed",
    "look_up",
    "make_audience",
    "names_party",
    "read_marking",
    "tlp_of",
    "well_known",
]

NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
"""A party's name: what `named` and `everyone_but` hold, beside identity ids."""

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
IDENTITY: Final = re.compile(rf"identity--{_UUID}")
CIRCLE: Final = re.compile(rf"circle--{_UUID}")
_MARKING = re.compile(rf"marking-definition--{_UUID}")

TLP_2_EXTENSION: Final = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d"
# OASIS common objects, "STIX 2.1 PAP marking definition" (draft of 2022-11-28).
PAP_EXTENSION: Final = "extension-definition--f8d78575-edfd-406e-8e84-6162a8450f5b"
AUDIENCE_EXTENSION: Final = "extension-definition--9468b17e-6696-454f-8b2e-1f55bf3f28e2"
DECLARED_BY: Final = "identity--97821762-a783-405e-9e47-7e0a24e1d0f1"
"""Who makes the definitions of our extensions: the project, the same on every node."""
_AUDIENCES = uuid.UUID(AUDIENCE_EXTENSION.partition("--")[2])
_MADE = "2026-01-01T00:00:00.000Z"


def names_party(text: str) -> bool:
    """Tell whether a text is a party's name or, exactly, an identity id.

    A damaged identity id could pass for a name: as an exception it would except nobody.
    """
    wanted = IDENTITY if text.startswith("identity--") else NAME
    return wanted.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Audience:
    """For whom its source meant an object.

    named: party names or identity ids. circles: opaque circle ids; a named party and
    the members of a circle add up. everyone_but: when it is not None, everyone except
    these, and the other two are empty. All empty: nobody.
    """

    named: frozenset[str] = frozenset()
    circles: frozenset[str] = frozenset()
    everyone_but: frozenset[str] | None = None

    def __post_init__(self) -> None:
        if self.everyone_but is not None and (self.named or self.circles):
            raise ValueError(
                "an audience either names parties and circles or is everyone but some; "
                "for a circle without one of its members use two audience markings"
            )
        for name in self.named | (self.everyone_but or frozenset()):
            if not names_party(name):
                raise ValueError(
                    f"got {name!r}, expected a party name ([a-z0-9-]) or an identity id"
                )
        for circle in self.circles:
            if not CIRCLE.fullmatch(circle):
                raise ValueError(f"got {circle!r}, expected circle--UUID in lower case")

    @property
    def names_nobody(self) -> bool:
        """Tell whether nobody at all is meant."""
        return self.everyone_but is None and not self.named and not self.circles

    def __str__(self) -> str:
        if self.everyone_but is not None:
            return f"everyone but {listed(self.everyone_but)}"
        if self.names_nobody:
            return "nobody"
        return f"only {listed(sorted(self.named) + sorted(self.circles))}"


@dataclass(frozen=True, slots=True)
class Marking:
    """One marking definition, as far as it is understood.

    id: its STIX id. kind: what it marks. tlp, pap, audience: set for their kinds. text:
    a few words for a person; for `unknown`, why it is not understood.
    """

    id: str
    kind: Literal["tlp", "pap", "audience", "statement", "unknown"]
    tlp: Tlp | None = None
    pap: Pap | None = None
    audience: Audience | None = None
    text: str = ""


def _oasis(uuid_text: str, level: Tlp) -> tuple[str, Marking]:
    marking_id = f"marking-definition--{uuid_text}"
    return marking_id, Marking(marking_id, "tlp", tlp=level, text=level.label)


_WELL_KNOWN: Final[Mapping[str, Marking]] = MappingProxyType(
    dict(
        (
            # TLP 2.0
            _oasis("94868c89-83c2-464b-929b-a1a8aa3c8487", Tlp.CLEAR),
            _oasis("bab4a63c-aed9-4cf5-a766-dfca5abac2bb", Tlp.GREEN),
            _oasis("55d920b0-5e8b-4f79-9ee9-91f868d9b421", Tlp.AMBER),
            _oasis("939a9414-2ddd-4d32-a0cd-375ea402b003", Tlp.AMBER_STRICT),
            _oasis("e828b379-4e03-4974-9ac4-e53a884c97c1", Tlp.RED),
            # STIX 2.1 §7.2.1.4: TLP 1
            _oasis("613f2e26-407d-48c7-9eca-b8e91df99dc9", Tlp.CLEAR),
            _oasis("34098fce-860f-48ae-8e50-ebd3cc5e41da", Tlp.GREEN),
            _oasis("f88d31f6-486f-44da-b317-01333bde0b82", Tlp.AMBER),
            _oasis("5e57c739-391a-4eb3-b6be-7d15ca92d5ed", Tlp.RED),
        )
    )
)

TLP_2_IDS: Final[Mapping[Tlp, str]] = MappingProxyType(
    dict(zip(Tlp, list(_WELL_KNOWN)[: len(Tlp)], strict=True))
)
"""The TLP 2.0 marking-definition id of each level: what this node itself marks with."""


def well_known(marking_id: str) -> Marking | None:
    """Give the TLP marking that OASIS fixed under exactly this id, or None."""
    return _WELL_KNOWN.get(marking_id)


def look_up(marking_id: str, known: Mapping[str, Marking]) -> Marking:
    """Give the marking of an id; one that is not held is unknown.

    What OASIS fixed comes first, so that nobody can redefine TLP:RED by sending an
    object with its id.
    """
    found = _WELL_KNOWN.get(marking_id) or known.get(marking_id)
    if found is None:
        return Marking(marking_id, "unknown", text="its definition is not held here")
    return found


# --- reading a marking-definition object ---------------------------------------------

# Properties beyond these could change what the definition means. Custom ones (`x_...`,
# STIX 2.1 §11.1) may stand beside it: ATT&CK's copyright statement carries some.
_PROPERTIES = frozenset(
    {
        "type",
        "spec_version",
        "id",
        "created",
        "modified",
        "created_by_ref",
        "name",
        "definition_type",
        "definition",
        "extensions",
        "external_references",
        "object_marking_refs",
        "granular_markings",
    }
)
# A statement with a colour in it means to restrict, and nothing but a TLP marking can.
_TLP_IN_TEXT = re.compile(r"\bTLP\W*(WHITE|CLEAR|GREEN|AMBER|RED)", re.IGNORECASE)
_AUDIENCE_LISTS = ("named", "circles", "everyone_but")


class _NotUnderstood(Exception):
    """A part of a definition means nothing to this node; its text says which."""


def read_marking(definition: Mapping[str, Any]) -> Marking:
    """Read a marking-definition object.

    It never raises: what is not exactly understood, down to a value of the wrong kind
    or a colour under an id that OASIS did not fix, has the kind `unknown`.
    """
    found = definition.get("id")
    marking_id = found if isinstance(found, str) else ""
    try:
        return _read(marking_id, definition)
    except _NotUnderstood as why:
        return Marking(marking_id, "unknown", text=str(why))


def _read(marking_id: str, definition: Mapping[str, Any]) -> Marking:
    if definition.get("type") != "marking-definition":
        raise _NotUnderstood("it is not a marking-definition")
    if not _MARKING.fullmatch(marking_id):
        raise _NotUnderstood("its id is not marking-definition--UUID in lower case")
    for name in definition:
        if name not in _PROPERTIES and not name.startswith("x_"):
            raise _NotUnderstood(f"property {name!r} is not known here")
    kind = definition.get("definition_type")
    if "extensions" in definition:
        if kind is not None or "definition" in definition:
            raise _NotUnderstood("it has both a definition and an extension")
        return _read_extension(marking_id, definition["extensions"])
    if not isinstance(kind, str):
        raise _NotUnderstood("its definition_type is not a text")
    key, value = _only_member(definition.get("definition"))
    if kind == "tlp" and key == "tlp":
        return _agreed(marking_id, value)
    if kind.lower() == "pap" and key.lower() == "pap":
        return _pap(marking_id, value)
    if kind == "statement" and key == "statement":
        return _statement(marking_id, value)
    raise _NotUnderstood(f"definition_type {kind!r} is not known here")


def _read_extension(marking_id: str, extensions: object) -> Marking:
    """Read a marking defined by an extension (STIX 2.1 §7.2.2)."""
    extension, body = _only_member(extensions)
    if not isinstance(body, Mapping):
        raise _NotUnderstood("its extension is not an object")
    if body.get("extension_type", "property-extension") != "property-extension":
        raise _NotUnderstood("its extension is not a property-extension")
    fields = {key: value for key, value in body.items() if key != "extension_type"}
    if extension == TLP_2_EXTENSION and list(fields) == ["tlp_2_0"]:
        return _agreed(marking_id, fields["tlp_2_0"])
    if extension == PAP_EXTENSION and list(fields) == ["pap"]:
        return _pap(marking_id, fields["pap"])
    if extension == AUDIENCE_EXTENSION:
        return _audience(marking_id, fields)
    raise _NotUnderstood(f"extension {extension!r} is not known here")


def _only_member(holder: object) -> tuple[str, object]:
    if not isinstance(holder, Mapping) or len(holder) != 1:
        raise _NotUnderstood("its definition is not an object with one member")
    ((key, value),) = holder.items()
    return str(key), value


def _agreed(marking_id: str, value: object) -> Marking:
    """Accept a TLP colour only under the id that OASIS gave that colour."""
    standard = _WELL_KNOWN.get(marking_id)
    if standard is None:
        raise _NotUnderstood(f"it says TLP {value!r} under an id that is not OASIS's")
    try:
        agrees = Tlp.parse(str(value)) == standard.tlp
    except ValueError:
        agrees = False
    if not agrees:
        raise _NotUnderstood(f"it says TLP {value!r} under the id of {standard.text}")
    return standard


def _pap(marking_id: str, value: object) -> Marking:
    if marking_id in _WELL_KNOWN:
        raise _NotUnderstood("it says PAP under the id of a TLP level")
    try:
        level = Pap.parse(str(value).strip())
    except ValueError as fault:
        raise _NotUnderstood(f"PAP: {fault}") from fault
    return Marking(marking_id, "pap", pap=level, text=level.label)


def _statement(marking_id: str, value: object) -> Marking:
    if marking_id in _WELL_KNOWN:
        raise _NotUnderstood("it is a statement under the id of a TLP level")
    if not isinstance(value, str):
        raise _NotUnderstood("its statement is not a text")
    if value.strip().upper().startswith("PAP:"):
        return _pap(marking_id, value)
    if _TLP_IN_TEXT.search(value):
        raise _NotUnderstood("it names a TLP level in words; TLP goes by OASIS's ids")
    return Marking(marking_id, "statement", text=value)


def _audience(marking_id: str, fields: Mapping[str, object]) -> Marking:
    lists: dict[str, frozenset[str]] = {}
    for name, value in fields.items():
        if name not in _AUDIENCE_LISTS:
            raise _NotUnderstood(f"audience: {name!r} is not known here")
        if not isinstance(value, list) or not all(isinstance(x, str) for x in value):
            raise _NotUnderstood(f"audience: {name} is not a list of texts")
        lists[name] = frozenset(value)
    # An empty list of exceptions would open to everyone what somebody meant to limit.
    if lists.get("everyone_but", {""}) == frozenset():
        raise _NotUnderstood("audience: everyone_but is empty")
    try:
        audience = Audience(
            named=lists.get("named", frozenset()),
            circles=lists.get("circles", frozenset()),
            everyone_but=lists.get("everyone_but"),
        )
    except ValueError as fault:
        raise _NotUnderstood(f"audience: {fault}") from fault
    # The id is made of the content, so nobody can put another list under an id that
    # objects already refer to.
    if marking_id != _audience_id(audience):
        raise _NotUnderstood("audience: its id is not the one of its content")
    return Marking(marking_id, "audience", audience=audience, text=str(audience))


# --- audience markings of ours -------------------------------------------------------


def _audience_fields(audience: Audience) -> dict[str, list[str]]:
    # STIX 2.1 §2.8: a list is never empty; it is left out.
    lists = {
        "named": audience.named,
        "circles": audience.circles,
        "everyone_but": audience.everyone_but or frozenset(),
    }
    return {name: sorted(values) for name, values in lists.items() if values}


def _audience_id(audience: Audience) -> str:
    text = json.dumps(_audience_fields(audience), sort_keys=True, separators=(",", ":"))
    return f"marking-definition--{uuid.uuid5(_AUDIENCES, text)}"


def make_audience(
    *,
    named: Iterable[str] = (),
    circles: Iterable[str] = (),
    everyone_but: Iterable[str] | None = None,
) -> dict[str, Any]:
    """Make the marking-definition object of an audience.

    The same audience gives the same object on every node, bytes and id alike; so it
    has no creator. Without any argument it is an audience of nobody.

    Raises:
        ValueError: a name or circle id that is none, both forms at once, or an empty
            `everyone_but`, which would limit nothing.
    """
    left_out = None if everyone_but is None else frozenset(everyone_but)
    if left_out is not None and not left_out:
        raise ValueError("everyone_but is empty: an audience that limits nothing")
    audience = Audience(frozenset(named), frozenset(circles), left_out)
    return {
        "type": "marking-definition",
        "spec_version": "2.1",
        "id": _audience_id(audience),
        "created": _MADE,
        "name": "Serantau audience",
        "extensions": {
            AUDIENCE_EXTENSION: {
                "extension_type": "property-extension",
                **_audience_fields(audience),
            }
        },
    }


DECLARED: Final = {
    "spec_version": "2.1",
    "created": _MADE,
    "modified": _MADE,
    "object_marking_refs": [TLP_2_IDS[Tlp.CLEAR]],
}
"""What all definitions of our extensions have in common."""


def audience_extension_objects() -> list[dict[str, Any]]:
    """Give the STIX objects that declare audience markings: the extension, its author.

    Both are TLP:CLEAR, so that they can travel with every object that needs them.
    """
    return [
        {
            "type": "identity",
            "id": DECLARED_BY,
            **DECLARED,
            "name": "The Serantau project",
            "identity_class": "organization",
        },
        {
            "type": "extension-definition",
            "id": AUDIENCE_EXTENSION,
            **DECLARED,
            "created_by_ref": DECLARED_BY,
            "name": "Audience marking",
            "description": "For whom an object is meant: some, or all but some.",
            "schema": (
                "A property-extension of marking-definition. Members, each a non-empty "
                "list of strings: 'named' (party names or identity ids), 'circles' "
                "(opaque ids circle--UUID, whose members only some nodes know), "
                "'everyone_but' (as 'named', and then alone). No list: nobody. The "
                "id's UUID is UUIDv5 in the namespace of this definition's own UUID "
                "over the JSON object of these lists, each sorted, keys sorted, no "
                "white space. An audience never widens what TLP allows; several "
                "audience markings on an object must all admit a recipient."
            ),
            "version": "1.0",
            "extension_types": ["property-extension"],
        },
    ]


# --- the markings of one object ------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MarkingSet:
    """All that marks one object version, or several versions of one object joined.

    refs: ids of object-level markings. granular: ids of granular markings. handled_as:
    this node's handling, set when no TLP marking is among refs. redacted: a derived
    object, meant only for those who may not have the original; granular lists what was
    taken out. definition: when the object is itself a marking-definition that limits
    its readers (see `definition_of`), its own id. parts: after a joining, the sets that
    were joined, each of which must release; then the other fields are their union, to
    be shown and searched. recalled: by its creator, beside all that marks it.

    Parts are kept because a union can widen: AMBER without an audience goes to nobody,
    and must not go to `th` because another version names `th`.
    """

    refs: tuple[str, ...] = ()
    granular: tuple[str, ...] = ()
    handled_as: Tlp | None = None
    redacted: bool = False
    definition: str = ""
    parts: tuple[MarkingSet, ...] = ()
    recalled: Recalled = Recalled.NO

    def __post_init__(self) -> None:
        object.__setattr__(self, "refs", tuple(sorted(set(self.refs))))
        object.__setattr__(self, "granular", tuple(sorted(set(self.granular))))

    def key(self) -> str:
        """Give the set as canonical JSON: only equal sets have equal keys."""
        return json.dumps(self._tree(), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_key(cls, key: str) -> MarkingSet:
        """Read what `key` wrote."""
        return cls._from_tree(json.loads(key))

    def joined(self, other: MarkingSet) -> MarkingSet:
        """Join with the markings of another version of the same object.

        The result releases only to whom both release.
        """
        parts = {part for whole in (self, other) for part in whole.each()}
        recalled = max(self.recalled, other.recalled)
        if len(parts) == 1:
            return replace(parts.pop(), recalled=recalled)
        ordered = tuple(sorted(parts, key=MarkingSet.key))
        handlings = [part.handled_as for part in ordered if part.handled_as is not None]
        return MarkingSet(
            refs=tuple(ref for part in ordered for ref in part.refs),
            granular=tuple(ref for part in ordered for ref in part.granular),
            handled_as=max(handlings, default=None),
            redacted=all(part.redacted for part in ordered),
            definition=max(part.definition for part in ordered),
            parts=ordered,
            recalled=recalled,
        )

    def each(self) -> tuple[MarkingSet, ...]:
        """Give the sets that were joined, or this one alone, as nobody recalled it."""
        plain = replace(self, recalled=Recalled.NO) if self.recalled else self
        return self.parts or (plain,)

    def _tree(self) -> dict[str, Any]:
        tree: dict[str, Any] = {
            "refs": self.refs,
            "granular": self.granular,
            "handled_as": None if self.handled_as is None else self.handled_as.label,
            "redacted": self.redacted,
            "definition": self.definition,
        }
        if self.parts:
            tree = {"parts": [part._tree() for part in self.parts]}
        tree["recalled"] = self.recalled.name.lower() if self.recalled else ""
        return {name: value for name, value in tree.items() if value}

    @classmethod
    def _from_tree(cls, tree: Mapping[str, Any]) -> MarkingSet:
        whole: MarkingSet | None = None
        for part in map(cls._from_tree, tree.get("parts", ())):
            whole = part if whole is None else whole.joined(part)
        handled_as = tree.get("handled_as")
        recalled = Recalled[tree.get("recalled", "no").upper()]
        if whole is not None:
            return replace(whole, recalled=recalled)
        return cls(
            refs=tuple(tree.get("refs", ())),
            granular=tuple(tree.get("granular", ())),
            handled_as=None if handled_as is None else Tlp.parse(handled_as),
            redacted=tree.get("redacted", False),
            definition=tree.get("definition", ""),
            recalled=recalled,
        )


def definition_of(data: Mapping[str, Any]) -> str:
    """Give what belongs into `MarkingSet.definition` of an object.

    It is the id of a marking-definition that says who may read what it marks, or that
    is not understood and so might; for every other object it is empty.
    """
    if data.get("type") != "marking-definition":
        return ""
    marking = read_marking(data)
    return marking.id if marking.kind in {"audience", "unknown"} else ""


def tlp_of(marking_set: MarkingSet, known: Mapping[str, Marking]) -> Tlp:
    """Give the strictest TLP level; an unknown marking, or no level at all, is RED."""
    return max(_tlp_of_part(part, known) for part in marking_set.each())


def _tlp_of_part(part: MarkingSet, known: Mapping[str, Marking]) -> Tlp:
    levels = [] if part.handled_as is None else [part.handled_as]
    for ref in part.refs:
        marking = look_up(ref, known)
        if marking.kind == "unknown":
            return Tlp.RED
        if marking.tlp is not None:
            levels.append(marking.tlp)
    return max(levels, default=Tlp.RED)


def in_words(marking_set: MarkingSet, known: Mapping[str, Marking]) -> str:
    """Say the markings to a person: `TLP:AMBER, only sg and th; PAP:GREEN`."""
    words = _words_of(marking_set.refs, marking_set.handled_as, known)
    if marking_set.granular:
        parts = _words_of(marking_set.granular, None, known)
        taken = "taken out" if marking_set.redacted else "in parts"
        words.append(f"{taken}: {' / '.join(parts)}")
    if marking_set.recalled:
        words.append(f"recalled, {marking_set.recalled.name.lower()} here")
    return "; ".join(words)


def _words_of(
    refs: Iterable[str], handled_as: Tlp | None, known: Mapping[str, Marking]
) -> list[str]:
    markings = [look_up(ref, known) for ref in refs]
    levels = [each.tlp for each in markings if each.tlp is not None]
    first: list[str] = []
    if levels and (handled_as is None or handled_as <= max(levels)):
        first.append(max(levels).label)
    elif handled_as is not None:
        lacking = "" if levels else "no TLP marking, "
        first.append(f"{lacking}handled here as {handled_as.label}")
    audiences = sorted(each.text for each in markings if each.kind == "audience")
    if audiences:
        first.append(" and ".join(audiences))
    paps = [each.pap for each in markings if each.pap is not None]
    return [
        *([", ".join(first)] if first else []),
        *([max(paps).label] if paps else []),
        *(f'"{each.text}"' for each in markings if each.kind == "statement"),
        *(
            f"unknown marking {each.id} ({each.text})"
            for each in markings
            if each.kind == "unknown"
        ),
    ]


def listed(names: Iterable[str]) -> str:
    """Join names for a sentence: `sg`, `sg and th`, `sg, th and vn`."""
    *before, last = sorted(names) or ["nobody"]
    return f"{', '.join(before)} and {last}" if before else last
