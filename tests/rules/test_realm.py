"""What says a realm, and what is told to whoever is of another."""

from typing import Any

import pytest

from serantau.rules.realm import realm_of_tags, refusal, tag_of

REEF = "exercise:reef"


@pytest.mark.parametrize(
    ("event", "realm"),
    [
        ({}, ""),
        ({"Tag": "x"}, ""),
        ({"Tag": ["x", {"name": 1}, {"name": "tlp:green"}]}, ""),
        ({"Tag": [{"name": "tlp:green"}, {"name": tag_of(REEF)}]}, REEF),
    ],
)
def test_an_events_tag_says_its_realm(event: dict[str, Any], realm: str) -> None:
    assert realm_of_tags(event) == realm


def test_only_another_realm_is_refused_and_named_in_one_line() -> None:
    assert refusal("It", "", "live") == refusal("It", REEF, REEF) == ""
    said = refusal("It", "exercise:\x1b\n" + "x" * 200, "live")
    assert said.startswith("It is of another realm: exercise:  xx")
    assert said.endswith("x, expected live. Realms never mix.")
    assert len(said) < 160
