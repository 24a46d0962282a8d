"""Whose key is whose: pins, rotations, what is countersigned, and what is admitted."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from keys import by, identity, key, states
from samples import AT, LATER, READER, made
from serantau.clock import instant
from serantau.rules.key import State
from serantau.rules.party import Kind
from serantau.rules.signature import SIGNATURE_EXTENSION, Examined, Standing
from serantau.rules.statement import (
    KEYS_EXTENSION,
    Told,
    declare_keys,
    declared_keys,
    key_extension_objects,
    read_claims,
)
from serantau.rules.trust import (
    Demand,
    Keyring,
    Pin,
    Statement,
    keyring,
    objection,
)

_PARTIES = {
    identity("th"): Kind.MEMBER,
    identity("sg"): Kind.MEMBER,
    identity("my"): Kind.OWN,
    identity("hub"): Kind.COORDINATOR,
    identity("jp"): Kind.PARTNER,
}
_PINS = [
    Pin(name, identity(name), key(name)) for name in ("th", "sg", "my", "hub", "jp")
]
_AFTER = instant(LATER) + 1


def _came(*several: dict[str, Any], at: int = _AFTER) -> list[Statement]:
    return [Statement(one, read_claims(one), at) for one in several]


def _states(ring: Keyring, name: str) -> dict[str, State]:
    return {each.id: each.state for each in ring.keys[identity(name)]}


def test_a_key_is_known_because_it_is_pinned_and_for_no_other_reason() -> None:
    told = _came(states("th", Told.ROTATION, "th", "th", "th2"))
    assert keyring([], _PARTIES, told).keys == {}
    ring = keyring(_PINS[:1], _PARTIES, [])
    assert ring.keys == {identity("th"): (key("th"),)}
    assert ring.pinned == {identity("th")}
    assert ring.bound == {identity("th"), identity("sg"), identity("hub")}


def test_a_rotation_is_believed_when_the_old_key_signed_it() -> None:
    first = states("th", Told.ROTATION, "th", "th", "th2")
    second = states("th", Told.ROTATION, "th", "th2", "th3", with_key="th2")
    # The second is proven by what the first makes known, in whatever order they came.
    ring = keyring(_PINS, _PARTIES, _came(second, first))
    assert _states(ring, "th") == {
        key("th").id: State.RETIRED,
        key("th2").id: State.RETIRED,
        key("th3").id: State.ACTIVE,
    }


@pytest.mark.parametrize(
    "forged",
    [
        states("th", Told.ROTATION, "th", "th", "thief", with_key="thief"),
        states("sg", Told.ROTATION, "th", "th", "thief"),
        states("th", Told.ROTATION, "th", "sg", "thief"),
        states("th", Told.ROTATION, "sg", "sg", "thief"),
    ],
)
def test_a_rotation_that_another_signed_changes_nothing(forged: Any) -> None:
    ring = keyring(_PINS, _PARTIES, _came(forged))
    assert ring.keys == keyring(_PINS, _PARTIES, []).keys


def test_of_two_rotations_by_one_key_the_one_that_came_first_holds() -> None:
    first = states("th", Told.ROTATION, "th", "th", "th2", since=LATER)
    second = states("th", Told.ROTATION, "th", "th", "thief", since=AT)
    ring = keyring(_PINS, _PARTIES, _came(first, second))
    assert set(_states(ring, "th")) == {key("th").id, key("th2").id}


@pytest.mark.parametrize(
    ("makers", "holds"),
    [
        (("hub", "sg"), True),
        (("hub", "my"), True),
        (("hub",), False),
        (("sg", "my"), False),
        (("hub", "th"), False),
        (("hub", "jp"), False),
    ],
)
def test_a_loss_takes_a_coordinator_and_another_member(
    makers: tuple[str, ...], holds: bool
) -> None:
    told = [states(one, Told.LOSS, "th", "th", "th2") for one in makers]
    ring = keyring(_PINS, _PARTIES, _came(*told))
    expected = {key("th").id: State.LOST, key("th2").id: State.ACTIVE}
    assert _states(ring, "th") == (expected if holds else {key("th").id: State.ACTIVE})


def test_who_claims_something_else_does_not_countersign() -> None:
    told = [
        states("hub", Told.COMPROMISE, "th", "th", "th2"),
        states("sg", Told.COMPROMISE, "th", "th", "thief"),
        states("my", Told.COMPROMISE, "th", "th", "th2", since=LATER),
        states("my", Told.LOSS, "th", "th", "th2"),
        states("sg", Told.COMPROMISE, "th", "th", "th2", with_key="thief"),
    ]
    assert _states(keyring(_PINS, _PARTIES, _came(*told)), "th") == {
        key("th").id: State.ACTIVE
    }


def test_a_thief_who_rotates_a_stolen_key_loses_what_that_gave() -> None:
    theft = states("th", Told.ROTATION, "th", "th", "thief", since=LATER)
    told = [
        states(one, Told.COMPROMISE, "th", "th", "th2", since=AT)
        for one in ("hub", "sg")
    ]
    ring = keyring(_PINS, _PARTIES, _came(theft, *told))
    assert _states(ring, "th") == {
        key("th").id: State.COMPROMISED,
        key("th2").id: State.ACTIVE,
    }


def test_a_rotation_before_the_theft_of_the_old_key_still_holds() -> None:
    turn = _came(states("th", Told.ROTATION, "th", "th", "th2"), at=instant(AT))
    told = _came(
        *(
            states(one, told, "th", which, since=LATER)
            for told, which in (
                (Told.COMPROMISE, "th"),
                (Told.LOSS, "th"),
                (Told.LOSS, "a key that th never had"),
            )
            for one in ("hub", "sg")
        )
    )
    ring = keyring(_PINS, _PARTIES, [*turn, *told])
    assert ring.keys[identity("th")][0].until == instant(LATER)
    assert key("th2").id in _states(ring, "th")
    assert State.ACTIVE not in {_states(ring, "th")[key("th").id]}


def test_a_countersignature_with_a_key_that_followed_counts() -> None:
    told = _came(
        states("sg", Told.LOSS, "th", "th", with_key="sg2"),
        states("hub", Told.LOSS, "th", "th"),
        states("sg", Told.ROTATION, "sg", "sg", "sg2"),
    )
    assert _states(keyring(_PINS, _PARTIES, told), "th") == {key("th").id: State.LOST}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"told": "gossip"}, "gossip"),
        ({"told": None}, "None"),
        ({"subject_ref": "tool--x"}, "identity"),
        ({"key_id": 1}, "not a text"),
        ({"since": "yesterday"}, "yesterday"),
        ({"new_key": {}}, "JWK"),
        ({"new_key": key("th").jwk}, "the same"),
    ],
)
def test_a_statement_that_says_nothing_is_none(change: Any, fault: str) -> None:
    data = {**states("th", Told.ROTATION, "th", "th", "th2"), **change}
    with pytest.raises(ValueError, match=fault):
        read_claims(data)
    with pytest.raises(ValueError, match="no told"):
        read_claims({})
    with pytest.raises(ValueError, match="without the key"):
        read_claims(states("th", Told.ROTATION, "th", "th"))


def test_what_is_said_of_keys_are_objects_that_any_node_takes() -> None:
    told = states("th", Told.ROTATION, "th", "th", "th2")
    version = READER.read(orjson.dumps(told))
    assert ("subject_ref", identity("th")) in version.edges
    for each in key_extension_objects():
        assert READER.read(orjson.dumps(each)).type == "extension-definition"
    data = declare_keys(made("identity"), key("th"))
    assert READER.read(orjson.dumps(data)).type == "identity"
    assert declared_keys(data) == (key("th"),)
    several: tuple[dict[str, Any], ...] = (
        made("identity"),
        {"extensions": {KEYS_EXTENSION: 1}},
        {"extensions": {KEYS_EXTENSION: {"keys": "x"}}},
        {"extensions": {KEYS_EXTENSION: {"keys": [{}]}}},
    )
    for spoilt in several:
        assert declared_keys(spoilt) == ()


def _rule(name: str, standing: str, demand: Demand, **how: Any) -> str:
    ring = Keyring(
        {},
        frozenset({identity("th"), identity("vn")}),
        frozenset({identity("th"), identity("jp")}),
    )
    found = objection(
        identity(name),
        how.get("kind", "tool"),
        Examined(Standing(standing), "why"),
        ring,
        demand,
        from_peer=how.get("from_peer", True),
    )
    return found.rule if found else ""


@pytest.mark.parametrize(
    ("name", "standing", "members", "pinned", "everything"),
    [
        ("th", "valid", "", "", ""),
        ("th", "invalid", *["signature-invalid"] * 3),
        ("th", "unsigned", *["signature-missing"] * 3),
        ("th", "unknown_key", *["unknown-key"] * 3),
        # A partner whose key is pinned is held to it as well.
        ("jp", "unsigned", *["signature-missing"] * 3),
        # A member whose key nobody compared.
        ("vn", "unsigned", "key-not-pinned", "", "key-not-pinned"),
        ("vn", "unknown_key", "key-not-pinned", "", "key-not-pinned"),
        # Somebody else, relayed: ATT&CK, a feed, a partner without a pinned key.
        ("mitre", "unsigned", "", "", "not-signed"),
        ("mitre", "unknown_key", "", "", "unknown-key"),
        ("mitre", "invalid", *["signature-invalid"] * 3),
    ],
)
def test_who_must_sign_is_a_table(
    name: str, standing: str, members: str, pinned: str, everything: str
) -> None:
    assert _rule(name, standing, Demand.MEMBERS) == members
    assert _rule(name, standing, Demand.PINNED) == pinned
    assert _rule(name, standing, Demand.ALL) == everything
    # By hand, only what concerns signatures that are there, or pinned keys.
    by_hand = _rule(name, standing, Demand.ALL, from_peer=False)
    assert by_hand == (pinned if name != "vn" else "")


def test_a_marking_needs_no_signature_but_none_may_be_wrong() -> None:
    for kind in ("marking-definition", "ipv4-addr"):
        for standing in ("unsigned", "unknown_key"):
            assert _rule("th", standing, Demand.ALL, kind=kind) == ""
        assert _rule("th", "invalid", Demand.MEMBERS, kind=kind) == "signature-invalid"


def test_the_extension_of_a_signature_is_declared() -> None:
    declared = {each["id"] for each in key_extension_objects()}
    assert {SIGNATURE_EXTENSION, KEYS_EXTENSION} < declared
    assert by("th")["extensions"].keys() <= declared
