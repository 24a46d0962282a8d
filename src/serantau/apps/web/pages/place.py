"""The navigation: families of pages, from left to right."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from serantau.rules.role import Power


def N_(text: str) -> str:  # noqa: N802 - gettext's name for "translated where it is shown"
    """Mark a text that is translated where it is shown."""
    return text


@dataclass(frozen=True, slots=True)
class Place:
    """A family of pages. key: the letter that leads there after `g`."""

    path: str
    label: str
    power: Power
    key: str


PLACES: Final[tuple[Place, ...]] = (
    Place("/share", N_("Share"), Power.SEE, "s"),
    Place("/peers", N_("Peers"), Power.SEE, "p"),
)


def places_of(powers: Collection[Power]) -> list[Place]:
    """Give the places that somebody with these powers sees."""
    return [place for place in PLACES if place.power in powers]
