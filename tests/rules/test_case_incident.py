"""The incident of a case: what programs that know no cases are told of it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from cases import Log
from keys import identity
from samples import READER
from serantau.rules.case_entry import Kind, audience_of
from serantau.rules.case_incident import (
    INCIDENT_EXTENSION,
    incident_id,
    incident_of,
)


def core(log: Log) -> dict[str, Any]:
    found: dict[str, Any] = incident_of(log.case)["extensions"][INCIDENT_EXTENSION]
    return found


def test_an_incident_is_stix_and_marked_as_its_case() -> None:
    log = Log.opened("th", "sg", description="ที่ธนาคาร", severity_level="emergency")
    made = incident_of(log.case)
    version = READER.read(orjson.dumps({**made, "modified": made["created"]}))
    assert (version.type, version.name) == ("incident", "Phishing kit")
    assert version.creator == identity("th")
    assert audience_of(log.id)["id"] in version.marking_refs
    assert set(version.marking_refs) == set(log.objects[0]["object_marking_refs"])
    assert made["description"] == "ที่ธนาคาร"
    assert made["external_references"][0]["external_id"] == log.id


@pytest.mark.parametrize(
    ("severity", "number"), [("baseline", 0), ("high", 60), ("emergency", 100)]
)
def test_severity_is_told_as_criticality(severity: str, number: int) -> None:
    assert core(Log.opened("th", severity_level=severity))["criticality"] == number


def test_it_follows_the_case_from_new_to_closed() -> None:
    log = Log.opened("th", "sg", incident_class="fraud:phishing")
    assert core(log) == {
        "extension_type": "property-extension",
        "determination": "suspected",
        "investigation_status": "new",
        "incident_types": ["fraud:phishing"],
    }
    assert "description" not in incident_of(log.case)
    log.say("sg", Kind.ACKNOWLEDGED)
    assert core(log)["investigation_status"] == "open"
    log.say("th", Kind.CLOSED)
    assert core(log)["investigation_status"] == "closed"


def test_each_term_of_owning_has_an_incident_of_its_own() -> None:
    log = Log.opened("th", "sg")
    first = incident_of(log.case)["id"]
    log.say("th", Kind.HANDED_OVER, party_ref=identity("sg"))
    taken = log.say("sg", Kind.OWNER)
    log.say("sg", Kind.ASSESSMENT, stance="invalid")
    log.say("sg", Kind.ACKNOWLEDGED)
    log.say("sg", Kind.ASSESSMENT, stance="invalid")
    made = incident_of(log.case)
    assert made["id"] == incident_id(taken) != first == incident_id(log.id)
    assert made["created_by_ref"] == identity("sg")
    assert core(log)["determination"] == "false-positive"
