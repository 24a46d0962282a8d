"""The navigation: families of pages, from left to right."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from serantau.rules.role import OUTSIDE, Power


def N_(text: str) -> str:  # noqa: N802 - gettext's name for "translated where it is shown"
    """Mark a text that is translated where it is shown."""
    return text


@dataclass(frozen=True, slots=True)
class Place:
    """A family of pages. key: the letter that leads there after `g`.

    outside: only for people of other parties.
    """

    path: str
    label: str
    power: Power
    key: str
    outside: bool = False


PLACES: Final[tuple[Place, ...]] = (
    Place("/now", N_("Now"), Power.CASES, "n"),
    Place("/events", N_("Events"), Power.SEE, "e"),
    Place("/objects", N_("Objects"), Power.SEE, "o"),
    Place("/share", N_("Share"), Power.SEE, "s"),
    Place("/cases", N_("Cases"), Power.CASES, "c"),
    Place("/case", N_("Your case"), Power.CASE, "c"),
    Place("/contacts", N_("Contacts"), Power.CASES, "t"),
    Place("/peers", N_("Peers"), Power.SEE, "p"),
    Place("/admin", N_("Admin"), Power.ADMIN, "a"),
    Place("/audit", N_("Audit"), Power.AUDIT, "u"),
    Place("/my", N_("Given to you"), Power.OWN, "m", outside=True),
)


def places_of(powers: Collection[Power]) -> list[Place]:
    """Give the places that somebody with these powers sees."""
    return [
        place
        for place in PLACES
        if place.power in powers and not (place.outside and set(powers) - OUTSIDE)
    ]
