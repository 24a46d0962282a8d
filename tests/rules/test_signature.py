"""Signed objects: each way to change one is noticed, and no way to sign is chosen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest
import stix2

from keys import by, identity, key, signer
from samples import AT, LATER, READER, TLP_AMBER, made
from serantau.clock import instant
from serantau.rules.key import Key, State
from serantau.rules.signature import (
    SIGNATURE_EXTENSION,
    Standing,
    examine,
    is_signed,
    payload,
    signable,
    signed,
    unsigned,
)

_KEYS = {identity("th"): (key("th"),), identity("sg"): (key("sg"),)}
_GREEN = "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb"


def _mark(data: dict[str, Any], **change: Any) -> dict[str, Any]:
    extensions = data["extensions"]
    mark = {**extensions[SIGNATURE_EXTENSION], **change}
    return {**data, "extensions": {**extensions, SIGNATURE_EXTENSION: mark}}


def test_an_object_keeps_its_signature_through_any_rewriting_of_its_text() -> None:
    data = by("th", name="ชื่อ \U0001f600", confidence=50, x_score=0.5)
    again = dict(reversed(orjson.loads(orjson.dumps(data)).items()))
    assert examine(again, _KEYS) == (
        Standing.VALID,
        "signed by its creator",
        key("th").id,
    )
    assert READER.read(orjson.dumps(data)).id == data["id"]
    assert signed(data, signer("th").jws) == data


def test_another_library_carries_a_signature_on() -> None:
    several = (
        by("th", "malware", name="ชื่อ"),
        by("th", "attack-pattern", confidence=50),
        by("th", pattern_version="2.1", valid_from="2026-03-01T00:00:00Z"),
    )
    for data in several:
        carried = stix2.parse(data, allow_custom=True).serialize(pretty=True)
        assert examine(orjson.loads(carried), _KEYS).standing is Standing.VALID
    # What it fills in by itself is a change, and told as one.
    filled = stix2.parse(by("th"), allow_custom=True).serialize()
    assert examine(orjson.loads(filled), _KEYS).standing is Standing.INVALID


def test_a_signature_leaves_other_extensions_as_they_are() -> None:
    other = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d"
    data = by("th", extensions={other: {"extension_type": "property-extension"}})
    assert is_signed(data)
    assert list(unsigned(data)["extensions"]) == [other]
    assert examine(data, _KEYS).standing is Standing.VALID
    assert "extensions" not in unsigned(by("th"))
    assert not is_signed(unsigned(by("th")))
    assert unsigned(made("tool")).get("extensions") is None


@pytest.mark.parametrize(
    "change",
    [
        {"name": "another"},
        {"object_marking_refs": [_GREEN]},
        {"revoked": True},
        {"modified": LATER},
        {"id": "indicator--00000000-0000-4000-8000-000000000000"},
        {"x_added": None},
        {"confidence": 51},
        {"description": "cafe\u0301"},
    ],
)
def test_whatever_a_relay_changes_is_noticed(change: dict[str, Any]) -> None:
    data = by(
        "th",
        object_marking_refs=[TLP_AMBER],
        confidence=50,
        description="caf\u00e9",
        name="this",
    )
    found = examine({**data, **change}, _KEYS)
    assert (found.standing, found.key_id) == (Standing.INVALID, key("th").id)


def test_nothing_can_be_hidden_beside_the_signature() -> None:
    data = by("th")
    assert examine(_mark(data, note="x"), _KEYS).standing is Standing.INVALID
    changed = _mark(data, extension_type="toplevel-property-extension")
    assert examine(changed, _KEYS).standing is Standing.INVALID
    marks: tuple[Any, ...] = (None, [], {}, "jws")
    for mark in marks:
        spoilt = {**data, "extensions": {SIGNATURE_EXTENSION: mark}}
        assert examine(spoilt, _KEYS).standing is Standing.INVALID


def test_a_forged_signature_is_invalid() -> None:
    jws = by("th")["extensions"][SIGNATURE_EXTENSION]["jws"]
    header, signature = jws.split("..")
    for forged in (
        f"{header}..{'A' * 86}",
        f"{header}..{signature[:-2]}",
        f"{signature}..{header}",
        by("th", name="another")["extensions"][SIGNATURE_EXTENSION]["jws"],
    ):
        assert examine(_mark(by("th"), jws=forged), _KEYS).standing is Standing.INVALID


def test_a_key_of_another_is_not_known_as_the_creators() -> None:
    swapped = by("th", with_key="sg")
    found = examine(swapped, _KEYS)
    assert (found.standing, found.key_id) == (Standing.UNKNOWN_KEY, key("sg").id)
    # The same signature under the name of the creator's key proves nothing either.
    jws = swapped["extensions"][SIGNATURE_EXTENSION]["jws"]
    header = by("th")["extensions"][SIGNATURE_EXTENSION]["jws"].split("..")[0]
    renamed = _mark(swapped, jws=f"{header}..{jws.split('..')[1]}")
    assert examine(renamed, _KEYS).standing is Standing.INVALID
    nobody = signed(made("tool"), signer("th").jws)
    assert examine(nobody, _KEYS).standing is Standing.UNKNOWN_KEY
    assert "no creator" in examine(nobody, _KEYS).reason
    assert examine(by("th"), {}).standing is Standing.UNKNOWN_KEY


def test_what_carries_none_is_unsigned() -> None:
    assert examine(made("tool"), _KEYS).standing is Standing.UNSIGNED
    other = made("tool", extensions={"extension-definition--x": {}})
    assert examine(other, _KEYS).standing is Standing.UNSIGNED


def test_a_number_that_readers_disagree_about_is_neither_signed_nor_valid() -> None:
    data = orjson.loads(b'{"created_by_ref":"x","n":18446744073709551617}')
    with pytest.raises(ValueError, match="disagree"):
        payload(data)
    with pytest.raises(ValueError, match="disagree"):
        signed(data, signer("th").jws)
    # One who signs it all the same, with a program that is less careful:
    rounded = {**by("th"), "x_n": 1.8446744073709552e19}
    assert examine(rounded, _KEYS).standing is Standing.INVALID


def _with(state: State, until: str) -> dict[str, tuple[Key, ...]]:
    ended = replace(key("th"), state=state, until=instant(until))
    return {identity("th"): (ended,)}


def test_a_retired_key_proves_what_was_made_before() -> None:
    data = by("th")
    keys = _with(State.RETIRED, AT)
    assert examine(data, keys, modified=instant(AT)).standing is Standing.VALID
    found = examine(data, keys, modified=instant(LATER))
    assert (found.standing, found.reason) == (
        Standing.INVALID,
        "it was made after its key was retired",
    )


@pytest.mark.parametrize("state", [State.COMPROMISED, State.LOST])
def test_a_thief_gains_nothing_by_an_old_date(state: State) -> None:
    data = by("th", created=AT, modified=AT)
    keys = _with(state, LATER)
    assert examine(data, keys, instant(AT)).standing is Standing.VALID
    for arrival in (None, instant(LATER)):
        found = examine(data, keys, arrival, modified=instant(AT))
        assert found.standing is Standing.INVALID
        assert str(state) in found.reason


def test_only_what_an_identity_made_is_its_to_sign() -> None:
    own = identity("th")
    assert signable({"type": "tool", "created_by_ref": own}, own)
    assert not signable({"type": "tool", "created_by_ref": own}, "")
    assert not signable({"type": "tool"}, own)
    assert not signable({"type": "marking-definition", "created_by_ref": own}, own)
