"""Parties and circles are named so that markings can name them."""

from __future__ import annotations

from typing import Any

import pytest

from serantau.clock import instant
from serantau.rules.party import Circle, Kind, Party


@pytest.mark.parametrize("name", ["", "TH", "-th", "t h", "th.gov", "a" * 64, "ธ"])
def test_a_name_that_a_marking_could_not_hold_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="party name: got"):
        Party(name, Kind.MEMBER)


def test_a_party_cannot_take_the_name_of_an_identity() -> None:
    with pytest.raises(ValueError, match="party name"):
        Party("identity--5a7f4a66-2f6e-4f0e-8a52-0a3b5a1f6f01", Kind.MEMBER)


@pytest.mark.parametrize(
    "identity", ["th", "identity--5A7F4A66-2F6E-4F0E-8A52-0A3B5A1F6F01"]
)
def test_an_identity_that_would_never_match_is_refused(identity: str) -> None:
    with pytest.raises(ValueError, match="identity of th"):
        Party("th", Kind.MEMBER, identity=identity)


@pytest.mark.parametrize("circle", ["", "gulf", "circle--1"])
def test_a_circle_needs_an_opaque_id(circle: str) -> None:
    with pytest.raises(ValueError, match="circle id"):
        Circle(circle, "gulf", frozenset())


@pytest.mark.parametrize(
    ("until", "active"),
    [
        (None, True),
        ("2026-01-01T00:00:00Z", False),
        ("2026-01-01T00:00:00.000001Z", True),
    ],
)
def test_access_ends_at_the_instant_it_is_limited_to(until: Any, active: bool) -> None:
    limit = None if until is None else instant(until)
    guest = Party("jp", Kind.PARTNER, until=limit)
    assert guest.active(instant("2026-01-01T00:00:00Z")) is active
