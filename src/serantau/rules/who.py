"""Who must know of a case: parties, and why each one, for a person to decide."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final


class Reason(StrEnum):
    """Why a party should know, the best reason first."""

    VICTIM = "victim"
    PREFIX = "prefix"
    DOMAIN = "domain"
    ASN = "asn"
    EVENTS = "events"
    NAMED = "named"
    CCTLD = "cctld"
    COUNTRY = "country"
    LOCATED = "located"
    SECTOR = "sector"
    SOURCE = "source"
    GOT = "got"


REASONS: Final[Mapping[Reason, str]] = {
    Reason.VICTIM: "The case reports it as hit.",
    Reason.PREFIX: "An address is in its ranges.",
    Reason.DOMAIN: "A name is its own, or below it.",
    Reason.ASN: "An address is in its network.",
    Reason.EVENTS: "Events here are of its machines.",
    Reason.NAMED: "An object names it.",
    Reason.CCTLD: "A name is below its country's.",
    Reason.COUNTRY: "An address is in its country.",
    Reason.LOCATED: "An object is about its country.",
    Reason.SECTOR: "It lists the sector as critical.",
    Reason.SOURCE: "An object came from it.",
    Reason.GOT: "It got an object from here.",
}
"""The reasons in words."""

_ORDER: Final = list(Reason)
_HIT: Final = frozenset({"targets", "compromises"})
_WORD: Final = re.compile(r"[^\W_]+")
_SMALL: Final = frozenset({"and", "of", "the", "services", "service", "sector"})


@dataclass(frozen=True, slots=True)
class Fact:
    """One reason. party: its name. what: the value, sector or object. within: of it."""

    party: str
    reason: Reason
    what: str
    within: str = ""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A party that should know. facts: the best first. inside: it is in the case."""

    party: str
    facts: tuple[Fact, ...]
    inside: bool


def propose(
    facts: Iterable[Fact], inside: Collection[str], own: str = ""
) -> list[Proposal]:
    """Put parties in order: by the best reason of each, then by how many speak for it.

    Args:
        facts: in any order, and perhaps several times.
        inside: the names of who is in the case.
        own: whom nobody has to tell.
    """
    found: dict[str, set[Fact]] = {}
    for fact in facts:
        if fact.party and fact.party != own:
            found.setdefault(fact.party, set()).add(fact)
    made = [
        Proposal(
            party,
            tuple(
                sorted(
                    several,
                    key=lambda one: (_ORDER.index(one.reason), one.what, one.within),
                )
            ),
            party in inside,
        )
        for party, several in found.items()
    ]
    return sorted(
        made,
        key=lambda one: (_ORDER.index(one.facts[0].reason), -len(one.facts), one.party),
    )


def facts_in(
    data: Mapping[str, Any],
    edges: Iterable[tuple[str, str]],
    parties: Mapping[str, str],
    states: Collection[str],
) -> Iterator[Fact]:
    """Give what an object says of parties by itself.

    Args:
        data: the object, as the STIX reader admits it.
        edges: its references: property and id.
        parties: names by identity.
        states: the names of parties that are states, by their country codes.
    """
    shown = str(data.get("name") or data["id"])
    if data["id"] in parties:
        yield Fact(parties[data["id"]], Reason.NAMED, shown)
    for name, target in edges:
        if target in parties:
            yield Fact(parties[target], _reason(data, name), shown)
    code = data.get("country")
    if data["type"] == "location" and isinstance(code, str) and code.lower() in states:
        yield Fact(code.lower(), Reason.LOCATED, shown)


def _reason(data: Mapping[str, Any], name: str) -> Reason:
    if name == "created_by_ref":
        return Reason.SOURCE
    hit = name == "target_ref" and data.get("relationship_type") in _HIT
    if hit or name == "where_sighted_refs":
        return Reason.VICTIM
    return Reason.NAMED


def in_sector(
    sectors: Iterable[str], listed: Mapping[str, Iterable[str]]
) -> Iterator[Fact]:
    """Give the parties that list one of some sectors as critical.

    Args:
        sectors: as objects name them, in words or with hyphens.
        listed: what each party lists, as the profile has it.
    """
    for sector in sectors:
        asked = _words(sector)
        for party, several in listed.items():
            for one in several:
                if asked and asked <= _words(one):
                    yield Fact(party, Reason.SECTOR, sector, one)


def _words(text: str) -> set[str]:
    return {*_WORD.findall(text.casefold())} - _SMALL
