"""Parties: who may be given something, and the circles that group them.

A party is one counterparty of this node: a member state's team, the regional
coordinator, a dialogue partner, an operator at home, the public, or the own
organisation. Names and members of circles are this node's configuration, and secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from serantau.rules.marking import CIRCLE, IDENTITY, NAME, Tlp

__all__ = ["NAME", "Circle", "Kind", "Party", "Purpose"]


class Kind(StrEnum):
    """What a party is to this node."""

    OWN = "own"
    MEMBER = "member"
    COORDINATOR = "coordinator"
    PARTNER = "partner"
    OPERATOR = "operator"
    PUBLIC = "public"


class Purpose(StrEnum):
    """What something is released for."""

    DEFENCE = "defence"
    LAW_ENFORCEMENT = "law-enforcement"
    PUBLIC_WARNING = "public-warning"


@dataclass(frozen=True, slots=True)
class Party:
    """One counterparty.

    name: what audiences, commands and the release log call it. kind: its line in the
    release table. title: its full name. identity: the STIX id of its identity object.
    client_of: the party whose client it is (for an operator, its CERT). need_to_know:
    a client that TLP:AMBER may reach. blocked: gets nothing at all. ceiling: the
    highest TLP level that it is given. until: the instant at which its access ends.
    purposes: what it may be given something for; empty: the usual one of its kind.
    """

    name: str
    kind: Kind
    title: str = ""
    identity: str = ""
    client_of: str = ""
    need_to_know: bool = False
    blocked: bool = False
    ceiling: Tlp | None = None
    until: int | None = None
    purposes: frozenset[Purpose] = frozenset()

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name) or self.name.startswith("identity--"):
            raise ValueError(
                f"party name: got {self.name!r}, expected up to 63 of a-z, 0-9 and -"
            )
        if self.identity and not IDENTITY.fullmatch(self.identity):
            raise ValueError(
                f"identity of {self.name}: got {self.identity!r}, "
                "expected identity--UUID in lower case"
            )

    @property
    def usual(self) -> Purpose:
        """Give what it is given something for where nobody says otherwise."""
        return Purpose.PUBLIC_WARNING if self.kind is Kind.PUBLIC else Purpose.DEFENCE

    @property
    def allowed(self) -> frozenset[Purpose]:
        """Give what it may be given something for."""
        return self.purposes or frozenset({self.usual})

    def active(self, now: int) -> bool:
        """Tell whether its access has not ended; a verdict does not look at that."""
        return self.until is None or now < self.until


@dataclass(frozen=True, slots=True)
class Circle:
    """A group of parties that an audience marking can name without telling who is in.

    id: opaque, `circle--UUID`; all that travels. name: what this node calls it.
    members: party names or identity ids.
    """

    id: str
    name: str
    members: frozenset[str]

    def __post_init__(self) -> None:
        if not CIRCLE.fullmatch(self.id):
            raise ValueError(
                f"circle id: got {self.id!r}, expected circle--UUID in lower case"
            )
