"""What is supposed of a node's policy: changes as somebody would make them.

It is read from flags or from a small TOML file, and nothing of it is done here:
`desk.simulate` works out what it would open and close.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from serantau import typed
from serantau.clock import instant
from serantau.errors import BadRequest, ConfigError, NotFound
from serantau.rules.marking import CIRCLE, Tlp
from serantau.rules.party import Circle, Kind, Party, Purpose
from serantau.rules.release import Policy

NONE = "none"
# A circle that is not here yet: no audience can name it before it has an id.
_NEW = "circle--00000000-0000-4000-8000-000000000000"


class PartyChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Fields of a party as they are to be; None: as they are.

    ceiling: a TLP level, or `none`. until: a date or instant, or `none`. purposes: what
    it may be given something for; none at all: the usual one of its kind.
    """

    kind: str | None = None
    title: str | None = None
    identity: str | None = None
    client_of: str | None = None
    need_to_know: bool | None = None
    blocked: bool | None = None
    ceiling: str | None = None
    until: str | None = None
    purposes: tuple[str, ...] | None = None


class CircleChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All who are to be in a circle."""

    members: tuple[str, ...]


class PolicyChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The section `[policy]` of the configuration as it is to be; None: as it is.

    ceilings: these kinds get these, `none` takes one away; others stay.
    """

    granular: str | None = None
    ceilings: dict[str, str] = {}


class MarkingChange(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"meant_for": "for"}
):
    """How objects are to be marked; what is empty stays.

    objects: their ids. query: instead: what a search finds. tlp: the level. meant_for,
    circles, everyone_but: the audience in place of any that is there; names of parties
    and of this node's circles. no_audience: none, in place of any.
    """

    objects: tuple[str, ...] = ()
    query: str = ""
    tlp: str = ""
    meant_for: tuple[str, ...] = ()
    circles: tuple[str, ...] = ()
    everyone_but: tuple[str, ...] = ()
    no_audience: bool = False


class Supposed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A change of policy.

    parties, circles: by name. policy: the node's. marking: of objects; stands alone.
    """

    parties: dict[str, PartyChange] = {}
    circles: dict[str, CircleChange] = {}
    policy: PolicyChange | None = None
    marking: MarkingChange | None = None

    def checked(self) -> Supposed:
        """Give it back when it says something that can be worked out.

        Raises:
            BadRequest: it says nothing, or more than one thing at a time.
        """
        others = bool(self.parties or self.circles or self.policy)
        marking = self.marking
        if marking is None:
            if others:
                return self
            raise BadRequest(
                "Nothing is supposed.",
                mend="Name a party, a circle, a policy or a marking that would change.",
            )
        if others:
            raise BadRequest(
                "A change of marking is worked out alone.",
                mend="Apply one, then simulate the other.",
            )
        if bool(marking.objects) == bool(marking.query.strip()):
            raise BadRequest(
                "Which objects would be marked so?", mend="Give ids, or one query."
            )
        named = bool(marking.meant_for or marking.circles)
        if named + bool(marking.everyone_but) + marking.no_audience > 1:
            raise BadRequest(
                "More than one audience.",
                mend="Named parties and circles, everyone but some, or none at all.",
            )
        if not (marking.tlp or named or marking.everyone_but or marking.no_audience):
            raise BadRequest(
                "The marking would stay as it is.", mend="Give a level or an audience."
            )
        return self


def read_supposed(text: str, origin: str) -> Supposed:
    """Read a change from TOML.

    Raises:
        BadRequest: it is no TOML, or says what no change says.
    """
    try:
        return typed.convert(tomllib.loads(text), Supposed)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as fault:
        raise BadRequest(
            f"{origin}: {fault}.",
            mend="docs/release-policy.md shows what may stand in it.",
        ) from fault


def party_as(held: Party, change: PartyChange) -> Party:
    """Give a party as it would be.

    Raises:
        BadRequest: a kind, level, date or id that is none.
    """
    plain: dict[str, Any] = {
        "kind": None if change.kind is None else read_kind(change.kind),
        "title": change.title,
        "identity": change.identity,
        "client_of": change.client_of,
        "need_to_know": change.need_to_know,
        "blocked": change.blocked,
    }
    fields = {name: value for name, value in plain.items() if value is not None}
    if change.ceiling is not None:
        fields["ceiling"] = read_level(change.ceiling, "ceiling")
    if change.until is not None:
        fields["until"] = _until(change.until)
    if change.purposes is not None:
        fields["purposes"] = frozenset(map(read_purpose, change.purposes))
    try:
        return replace(held, **fields)
    except ValueError as fault:
        raise BadRequest(f"{fault}.") from fault


def read_kind(text: str) -> Kind:
    """Read a kind of party.

    Raises:
        BadRequest: it is none.
    """
    try:
        return Kind(text)
    except ValueError as fault:
        kinds = ", ".join(each for each in Kind if each is not Kind.OWN)
        raise BadRequest(
            f"{text!r} is no kind of party.", mend=f"One of: {kinds}"
        ) from fault


def read_purpose(text: str) -> Purpose:
    """Read a purpose of releases.

    Raises:
        BadRequest: it is none.
    """
    try:
        return Purpose(text)
    except ValueError as fault:
        raise BadRequest(
            f"{text!r} is no purpose.", mend=f"One of: {', '.join(Purpose)}"
        ) from fault


def read_level(text: str, name: str) -> Tlp | None:
    """Read a TLP level, None for `none`.

    Raises:
        BadRequest: it is no level.
    """
    if text in {"", NONE}:
        return None
    try:
        return Tlp.parse(text)
    except ValueError as fault:
        raise BadRequest(f"{name}: {fault}.") from fault


def _until(text: str) -> int | None:
    if text in {"", NONE}:
        return None
    try:
        return instant(text if "T" in text else f"{text}T00:00:00Z")
    except ValueError as fault:
        raise BadRequest(
            f"until: {text!r} is no date.", mend="Such as 2027-01-31."
        ) from fault


def parties_as(
    held: Mapping[int, Party], changes: Mapping[str, PartyChange], own: str
) -> dict[int, Party]:
    """Give the parties that would change, as they would be, by number.

    Raises:
        NotFound: a party that is not here.
        BadRequest: as `party_as`; or the own party would be shut out.
    """
    numbers = {party.name: number for number, party in held.items()}
    found = {}
    for name, change in changes.items():
        if name not in numbers:
            raise NotFound(
                f"No party is named {name!r}.", mend="`serantau party list` shows them."
            )
        party = party_as(held[numbers[name]], change)
        if (party.kind is Kind.OWN) != (name == own):
            raise BadRequest(f"This node's own party is {own!r}, and no other.")
        if name == own and (party.blocked or party.until is not None):
            raise BadRequest("The node's own party is neither blocked nor ended.")
        found[numbers[name]] = party
    return found


def circles_as(
    held: Mapping[str, Circle],
    changes: Mapping[str, CircleChange],
    parties: Mapping[int, Party],
) -> dict[str, Circle]:
    """Give the circles that would change, as they would be, by id.

    Raises:
        NotFound: a member that is no party here.
    """
    ids = {circle.name: circle.id for circle in held.values()}
    names = {party.name for party in parties.values()}
    found = {}
    for name, change in changes.items():
        for member in change.members:
            if member not in names:
                raise NotFound(
                    f"No party is named {member!r}.",
                    mend="`serantau party list` shows them.",
                )
        circle_id = ids.get(name, _NEW)
        found[circle_id] = Circle(circle_id, name, frozenset(change.members))
    return found


def policy_as(held: Policy, change: PolicyChange | None) -> Policy:
    """Give the node's policy as it would be.

    Raises:
        BadRequest: an unknown word, kind or level, or a ceiling that loosens.
    """
    if change is None:
        return held
    ceilings = {str(kind): level.label for kind, level in held.ceilings.items()}
    for kind, level in change.ceilings.items():
        if level == NONE:
            ceilings.pop(kind, None)
        else:
            ceilings[kind] = level
    try:
        return Policy.from_texts(change.granular or held.granular, ceilings)
    except ConfigError as fault:
        raise BadRequest(str(fault)) from fault


def circle_ids(held: Mapping[str, Circle], names: tuple[str, ...]) -> list[str]:
    """Give the ids of this node's circles by name; an id stands for itself.

    Raises:
        NotFound: no circle has this name.
    """
    ids = {circle.name: circle.id for circle in held.values()}
    found = []
    for name in names:
        if name not in ids and not CIRCLE.fullmatch(name):
            raise NotFound(
                f"No circle is named {name!r}.",
                mend="`serantau circle list` shows them.",
            )
        found.append(ids.get(name, name))
    return found
