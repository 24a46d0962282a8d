"""MISP events become objects, marked no wider than they were."""

from __future__ import annotations

import copy

import orjson
import pytest

from misp_events import (
    AMBER,
    CLEAR,
    FULL,
    GREEN,
    attribute,
    cluster,
    event,
    fate,
    marks,
    objects,
    one,
    uuid,
)
from serantau.rules.marking import read_marking, well_known
from serantau.rules.stix import Limits, Reader
from serantau.wire.misp import Converted, to_stix
from serantau.wire.misp_tags import AMBER_STRICT, RED, TLP_IDS
from serantau.wire.schemas import load_schemas


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(Limits(), load_schemas())


@pytest.fixture(scope="module")
def full(reader: Reader) -> Converted:
    return to_stix(copy.deepcopy(FULL), reader)


def test_every_part_of_an_event_has_a_fate_and_its_ids_are_there(
    full: Converted,
) -> None:
    ids = {each["id"] for each in objects(full)}
    told = {each.uuid for each in full.fates}
    for number in (1, 2, 3, 4, 5, 6, 30, 31, 32, 33, 34, 40, 41, 50, 70, 72, 74, 75):
        assert uuid(number) in told
    for each in full.fates:
        assert set(each.ids) <= ids
        assert each.ids or each.outcome == "lost", each
        assert each.reason or each.outcome == "converted", each


def test_what_misp_has_and_stix_has_not_is_said_to_be_lost(full: Converted) -> None:
    lost = {each.kind: each for each in full.fates if each.outcome == "lost"}
    assert set(lost) == {"sighting", "reference", "event_creator_email"}
    assert "expiration" in lost["sighting"].reason
    assert "not in this event" in lost["reference"].reason
    assert "Event.Object[0].ObjectReference[1]" in str(lost["reference"])


def test_the_nodes_own_check_admits_every_object(
    full: Converted, reader: Reader
) -> None:
    for raw in full.objects:
        reader.read(raw)


def test_comments_that_misp_stix_drops_are_kept(full: Converted) -> None:
    said = b"\n".join(full.objects)
    for comment in (b"lure", b"the dropper", b"md5: odd", b"C2", b"by the log"):
        assert comment in said


def test_a_registry_key_is_written_in_full_and_as_it_was(full: Converted) -> None:
    key = one(full, "windows-registry-key")
    assert key["key"] == "HKEY_CURRENT_USER\\Software\\Bad"
    assert key["x_misp_value"] == "HKCU\\Software\\Bad\\"


def test_the_same_event_gives_the_same_bytes(full: Converted, reader: Reader) -> None:
    again = to_stix(copy.deepcopy(FULL), reader)
    assert again.objects == full.objects
    assert again.fates == full.fates


def test_converting_leaves_the_event_as_it_was() -> None:
    given = copy.deepcopy(FULL)
    to_stix(given)
    assert given == FULL


def test_no_time_comes_from_the_clock(full: Converted) -> None:
    for each in objects(full):
        for key in ("created", "modified"):
            assert each.get(key, "2011-08-01").startswith(("2011-08-01", "2023-11-14"))


def test_a_galaxy_cluster_does_not_pass_for_mitres_own_object(full: Converted) -> None:
    pattern = one(full, "attack-pattern")
    mitre = "a62a8db3-f23a-4d8f-afd6-9dbc77e7813b"
    assert not pattern["id"].endswith(mitre)
    assert {"source_name": "misp-galaxy", "external_id": mitre} in (
        pattern["external_references"]
    )
    assert pattern["id"] in one(full, "report")["object_refs"]


def test_the_report_lists_only_what_is_there(full: Converted) -> None:
    ids = {each["id"] for each in objects(full)}
    refs = one(full, "report")["object_refs"]
    assert set(refs) <= ids
    assert len(refs) == len(set(refs))


def test_a_tag_on_the_event_marks_all_that_is_made_of_it(full: Converted) -> None:
    for each in objects(full):
        if each["type"] == "identity":
            assert marks(each) == set()
        else:
            assert marks(each) == {GREEN}, each


@pytest.mark.parametrize(
    ("tag", "level"),
    [
        ("tlp:white", "tlp:clear"),
        ("TLP:CLEAR", "tlp:clear"),
        ("tlp:green", "tlp:green"),
        ("tlp: amber", "tlp:amber"),
        ("tlp:amber+strict", "tlp:amber+strict"),
        ("TLP:RED", "tlp:red"),
    ],
)
def test_tlp_tags_become_the_ids_of_oasis(tag: str, level: str) -> None:
    made = to_stix(event(Tag=[{"name": tag}]))
    assert marks(one(made, "indicator")) == {TLP_IDS[level]}
    known = well_known(TLP_IDS[level])
    assert known is not None
    assert known.text.casefold() == level
    assert not [each for each in objects(made) if each["type"].startswith("marking")]


@pytest.mark.parametrize("tag", ["tlp:ambr", "tlp:unclear", "TLP:EX:CHR", "PAP:PINK"])
def test_a_tag_that_is_nearly_a_marking_is_red(tag: str) -> None:
    made = to_stix(event(Tag=[{"name": tag}]))
    assert RED in marks(one(made, "indicator"))
    assert tag in fate(made, "event").reason


def test_several_tlp_tags_are_all_kept() -> None:
    made = to_stix(event(Tag=[{"name": "tlp:green"}, {"name": "tlp:amber"}]))
    assert marks(one(made, "indicator")) == {GREEN, AMBER}
    assert "the strictest holds" in fate(made, "event").reason


@pytest.mark.parametrize("level", ["clear", "white", "green", "amber", "red"])
def test_pap_tags_become_markings_that_the_rules_read(level: str) -> None:
    made = to_stix(event(Tag=[{"name": f"PAP:{level.upper()}"}]))
    definition = one(made, "marking-definition")
    marking = read_marking(definition)
    assert marking.kind == "pap"
    assert marks(one(made, "indicator")) == {definition["id"]}


@pytest.mark.parametrize("distribution", ["0", 0, "4"])
def test_a_narrow_distribution_without_tlp_stays_in_the_organisation(
    distribution: object,
) -> None:
    made = to_stix(event(distribution=distribution))
    for each in objects(made):
        if each["type"] != "identity":
            assert marks(each) == {AMBER_STRICT}
    assert "TLP:AMBER+STRICT" in fate(made, "event").reason


@pytest.mark.parametrize("distribution", ["1", "2", "3", "5", None])
def test_a_wide_distribution_is_no_marking(distribution: object) -> None:
    made = to_stix(event(distribution=distribution))
    assert marks(one(made, "indicator")) == set()


def test_a_tlp_tag_of_its_own_stands_before_the_distribution() -> None:
    made = to_stix(event(distribution="0", Tag=[{"name": "tlp:green"}]))
    assert marks(one(made, "indicator")) == {GREEN}


def test_a_narrow_attribute_in_a_wide_event_stays_narrow() -> None:
    narrow = attribute(2, "domain", "a.example", distribution="0")
    wide = attribute(1, "ip-dst", "198.51.100.7")
    made = to_stix(event(Tag=[{"name": "tlp:clear"}], Attribute=[wide, narrow]))
    for each in objects(made):
        if "a.example" in str(each.get("value", "")) or uuid(2) in each["id"]:
            assert AMBER_STRICT in marks(each), each
        elif uuid(1) in each["id"] or each["type"] == "ipv4-addr":
            assert marks(each) == {CLEAR}


def test_a_relationship_is_as_narrow_as_both_its_ends() -> None:
    red = attribute(2, "domain", "a.example", Tag=[{"name": "tlp:red"}])
    made = to_stix(event(Tag=[{"name": "tlp:green"}], Attribute=[red]))
    assert marks(one(made, "relationship")) == {GREEN, RED}
    assert marks(one(made, "domain-name")) == {GREEN, RED}
    assert marks(one(made, "grouping")) == {GREEN}


def test_one_red_attribute_makes_the_whole_object_red() -> None:
    given = copy.deepcopy(FULL["Object"][0])
    given["Attribute"][1]["Tag"] = [{"name": "tlp:red"}]
    del given["ObjectReference"]
    made = to_stix(event(Attribute=[], Object=[given]))
    for each in objects(made):
        if each["type"] in {"file", "observed-data", "indicator", "relationship"}:
            assert marks(each) == {RED}


def test_the_words_of_a_red_attribute_make_red_what_they_stand_on() -> None:
    section = attribute(51, "md5", "ef" * 16, object_relation="md5", comment="secret")
    section["Tag"] = [{"name": "tlp:red"}, {"name": "hush"}]
    pe = {"uuid": uuid(50), "name": "pe-section", "Attribute": [section]}
    name = attribute(41, "filename", "a.exe", object_relation="filename")
    link = {"referenced_uuid": uuid(50), "relationship_type": "includes"}
    file = {"uuid": uuid(40), "name": "file", "Attribute": [name]}
    file["ObjectReference"] = [link]
    made = to_stix(event(Attribute=[], Object=[file, pe], Tag=[{"name": "tlp:clear"}]))
    for each in objects(made):
        text = orjson.dumps(each)
        if b"secret" in text or b"hush" in text or b"ef" * 16 in text:
            assert RED in marks(each), each


def test_a_narrow_cluster_that_ends_as_a_label_narrows_the_report() -> None:
    broken = cluster("mitre-intrusion-set", "APT", meta={"external_id": [{"no": 1}]})
    broken["GalaxyCluster"][0]["distribution"] = "0"
    made = to_stix(event(Galaxy=[broken], Tag=[{"name": "tlp:clear"}]))
    assert marks(one(made, "grouping")) == {CLEAR, AMBER_STRICT}


def test_a_cluster_that_hangs_at_a_red_attribute_only_is_red() -> None:
    galaxy = cluster("threat-actor", "Quiet Tiger")
    red = attribute(2, "domain", "a.example", Tag=[{"name": "tlp:red"}])
    red["Galaxy"] = [galaxy]
    made = to_stix(event(Attribute=[red]))
    assert marks(one(made, "threat-actor")) == {RED}
    assert [
        each
        for each in objects(made)
        if each["type"] == "relationship"
        and each["target_ref"].startswith("threat-actor--")
        and marks(each) == {RED}
    ]
    both = to_stix(event(Attribute=[red], Galaxy=[galaxy]))
    assert marks(one(both, "threat-actor")) == set()


def test_a_changed_tag_makes_a_new_version() -> None:
    before = to_stix(event())
    later = to_stix(event(timestamp="1700000900", Tag=[{"name": "tlp:red"}]))
    old, new = one(before, "indicator"), one(later, "indicator")
    assert old["id"] == new["id"]
    assert old["created"] == new["created"]
    assert old["modified"] < new["modified"]


def test_a_changed_value_makes_another_observable() -> None:
    before = to_stix(event())
    later = to_stix(event(Attribute=[attribute(1, "ip-dst", "198.51.100.8")]))
    assert one(before, "ipv4-addr")["id"] != one(later, "ipv4-addr")["id"]


def test_a_sighting_makes_no_new_version_of_what_was_seen() -> None:
    seen = attribute(1, "ip-dst", "198.51.100.7")
    seen["Sighting"] = [{"uuid": uuid(70), "type": "0", "date_sighting": "1700009999"}]
    before, after = to_stix(event()), to_stix(event(Attribute=[seen]))
    assert one(before, "indicator") == one(after, "indicator")
    assert one(before, "grouping")["modified"] < one(after, "grouping")["modified"]


def test_two_events_of_one_organisation_have_one_identity() -> None:
    other = to_stix(event(uuid=uuid(500), timestamp="1800000000"))
    assert one(other, "identity") == one(to_stix(event()), "identity")


def test_to_ids_decides_between_indicator_and_observation() -> None:
    made = to_stix(event(Attribute=[attribute(1, "domain", "a.example", to_ids="0")]))
    kinds = {each["type"] for each in objects(made)}
    assert "observed-data" in kinds
    assert "indicator" not in kinds
