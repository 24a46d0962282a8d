"""The OASIS schemas are held, mended where they are not the standard."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from samples import AT, IDENTITY, SCHEMAS, TLP_AMBER, made, observable, read, refusal
from serantau.rules.schema import AMENDMENTS, Schemas

MARK = "marking-definition--11111111-2222-4333-8444-555555555555"


def marking(**more: Any) -> dict[str, Any]:
    return made("marking-definition", modified=None, **more)


# --- Where the schemas as they are shipped refuse what the standard allows


@pytest.mark.parametrize(
    "data",
    [
        made("tool", granular_markings=[{"selectors": ["name"], "lang": "th"}]),
        observable(
            "file",
            name="x",
            hashes={"MD5": "0" * 32},
            granular_markings=[{"selectors": ["hashes.MD5"], "marking_ref": MARK}],
        ),
        made(
            "vulnerability",
            external_references=[
                {"source_name": "NVD", "external_id": "CVE-2021-44228"}
            ],
        ),
        made("tool", external_references=[{"source_name": "cve", "url": "http://x"}]),
        marking(definition_type="PAP", definition={"PAP": "PAP:GREEN"}),
        {
            "type": "marking-definition",
            "spec_version": "2.1",
            "id": TLP_AMBER,
            "created": "2022-10-01T00:00:00.000Z",
            "name": "TLP:AMBER",
            "extensions": {
                "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d": {
                    "extension_type": "property-extension",
                    "tlp_2_0": "amber",
                }
            },
        },
        {
            "type": "marking-definition",
            "spec_version": "2.1",
            "id": "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82",
            "created": "2017-01-20T00:00:00.000Z",
            "definition_type": "tlp",
            "definition": {"tlp": "amber"},
        },
        observable(
            "file", hashes={"TLSH": "T1" + "A" * 70, "SSDEEP": "3:" + "a" * 140}
        ),
        observable("software", name="s", languages=["fil", "zh-Hans", "sr-Latn-RS"]),
        observable("process", created_time=AT),
        observable("windows-registry-key", modified_time=AT),
        observable("windows-registry-key", key="HKEY_LOCAL_MACHINE\\THKUP\\hklm"),
        observable(
            "email-message",
            is_multipart=False,
            additional_header_fields={"X-Mailer": ["Mutt"], "subject": "s"},
        ),
        made("observed-data", object_refs=[f"note-taken--{uuid.uuid4()}"]),
    ],
    ids=lambda data: data["type"],
)
def test_what_the_standard_allows_is_admitted(data: dict[str, Any]) -> None:
    assert json.loads(read(data).body) == data


def test_every_amendment_changes_something_and_says_why() -> None:
    for amendment in AMENDMENTS:
        assert amendment.why
        changed = json.loads(SCHEMAS[amendment.schema])
        for step in amendment.path[:-1]:
            changed = changed[step]
        last = amendment.path[-1]
        held = changed[last] if not isinstance(changed, dict) else changed.get(last)
        assert held != amendment.value, amendment


def test_the_types_are_those_of_the_standard() -> None:
    types = Schemas(SCHEMAS).types
    assert len(types) == 42
    assert types["url"] == "observables/url"
    assert "bundle" not in types
    assert "core" not in types


# --- What it says


@pytest.mark.parametrize(
    ("data", "place", "got", "expected"),
    [
        (made("tool", name=None), "", "no such property", 'property "name"'),
        (made("tool", name=3), "/name", "3", "a string"),
        (made("tool", labels="x"), "/labels", '"x"', "a list"),
        (made("tool", confidence=101), "/confidence", "101", "100 or less"),
        (made("tool", confidence=-1), "/confidence", "-1", "0 or more"),
        (made("tool", confidence=1.5), "/confidence", "1.5", "a whole number"),
        (made("tool", revoked="no"), "/revoked", '"no"', "a boolean"),
        (made("tool", extensions=[1]), "/extensions", "a list of 1", "an object"),
        (
            made("tool", created="yesterday"),
            "/created",
            '"yesterday"',
            "a UTC time such as 2026-01-31T08:00:00.000Z",
        ),
        (
            made("tool", created_by_ref="me"),
            "/created_by_ref",
            '"me"',
            "an id: a type, two hyphens and a UUID",
        ),
        (
            made("tool", severity="high"),
            "",
            "the reserved property severity",
            "what STIX 2.1 allows here",
        ),
        (made("location", country=None), "", "none of these", '"country"'),
        (
            made("location", latitude=1.0),
            "",
            "none of these",
            'property "longitude"',
        ),
        (
            made("opinion", opinion="maybe"),
            "/opinion",
            '"maybe"',
            '"strongly-disagree" or "disagree" or',
        ),
        (
            made("tool", external_references=[{"url": "http://x"}]),
            "/external_references/0",
            "no such property",
            'property "source_name"',
        ),
        (
            made("tool", external_references=[{"source_name": "x"}]),
            "/external_references/0",
            "an object with 1 properties",
            'property "description" or "url" or "external_id"',
        ),
        (
            made(
                "tool",
                external_references=[{"source_name": "cve", "external_id": "2026-1"}],
            ),
            "/external_references/0/external_id",
            '"2026-1"',
            "a CVE id such as CVE-2026-0001",
        ),
        (
            made("tool", extensions={"odd": {"a": 1}}),
            "/extensions",
            'property "odd"',
            "a name that STIX 2.1 allows here (§3.1: a-z, 0-9 and _)",
        ),
        (
            made("tool", kill_chain_phases=[]),
            "/kill_chain_phases",
            "[]",
            "at least 1 member: leave the property out instead",
        ),
        (
            observable("file", hashes={"MD5": "xyz"}),
            "/hashes/MD5",
            '"xyz"',
            "a hash: that many hexadecimal digits",
        ),
        (
            observable("ipv4-addr", value="300.1.1.1"),
            "/value",
            '"300.1.1.1"',
            "an IPv4 address or network",
        ),
        (
            observable("windows-registry-key", key="HKLM\\x"),
            "/key",
            '"HKLM\\x"',
            "what STIX 2.1 allows here",
        ),
        (
            observable("artifact", mime_type="text"),
            None,
            "",
            "",
        ),
        (
            made(
                "observed-data",
                object_refs=None,
                objects={"0": {"type": "file", "id": "file--" + IDENTITY[10:]}},
            ),
            "/objects/0",
            "an object with 2 properties",
            "",
        ),
        (
            made(
                "observed-data",
                object_refs=None,
                objects={
                    "0": {
                        "type": "file",
                        "id": "file--" + IDENTITY[10:],
                        "hashes": {"MD5": "x"},
                    }
                },
            ),
            "/objects/0/hashes/MD5",
            '"x"',
            "a hash: that many hexadecimal digits",
        ),
        (
            made("relationship", relationship_type="Uses it"),
            "/relationship_type",
            '"Uses it"',
            "text like ^[a-z0-9\\-]+$",
        ),
        (
            observable("process", environment_variables={"PATH": None}),
            "/environment_variables/PATH",
            "null",
            "one of the forms that STIX 2.1 gives here",
        ),
        (
            observable("process"),
            "",
            "an object with 2 properties",
            "properties",
        ),
        (
            observable("email-message", is_multipart="x"),
            "/is_multipart",
            '"x"',
            "a boolean",
        ),
        (
            marking(definition_type="tlp", definition={"tlp": "amber"}),
            "/id",
            "",
            "marking-definition--613f2e26",
        ),
        (
            {
                **marking(definition_type="tlp", definition={"tlp": "amber"}),
                "id": "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82",
            },
            "/created",
            f'"{AT}"',
            '"2017-01-20T00:00:00.000Z"',
        ),
    ],
)
def test_a_finding_names_place_what_was_got_and_what_is_right(
    data: dict[str, Any], place: str | None, got: str, expected: str
) -> None:
    refused = refusal(data)
    assert refused.rule == "schema"
    assert place is None or refused.place == place
    assert got in refused.got
    assert expected in refused.expected
    assert len(str(refused)) < 500


def test_the_schemas_never_ask_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: object) -> None:
        raise AssertionError(args)

    monkeypatch.setattr("socket.socket.connect", never)
    schemas = Schemas(SCHEMAS)
    for name in schemas.types.values():
        with pytest.raises(Exception, match="schema"):
            schemas.check(name, {"x": 1})
