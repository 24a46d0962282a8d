"""MISP events in: what becomes of each part, how it is marked, and that it repeats."""

from __future__ import annotations

import copy
import io
from typing import Any
from uuid import UUID

import orjson
import pytest

from serantau.errors import BadInput, TooLarge
from serantau.rules.marking import read_marking, well_known
from serantau.rules.stix import Limits, Reader
from serantau.wire.misp import Converted, Fate, events, to_stix
from serantau.wire.misp_tags import AMBER_STRICT, RED, TLP_IDS
from serantau.wire.schemas import load_schemas

ORG = {"name": "ThaiCERT", "uuid": "55f6ea5e-51ac-4344-bc8c-4170950d210f"}
EVENT = "5c8ff618-0998-4b11-89d4-39d70a016219"
GREEN, AMBER, CLEAR = (TLP_IDS[f"tlp:{name}"] for name in ("green", "amber", "clear"))


def uuid(number: int) -> str:
    return str(UUID(int=number << 80 | 0x4000_8000_0000_0000_0000, version=4))


def attribute(number: int, kind: str, value: str, **more: Any) -> dict[str, Any]:
    made = {
        "uuid": uuid(number),
        "type": kind,
        "category": "Network activity",
        "value": value,
        "to_ids": True,
        "timestamp": "1700000100",
        "distribution": "5",
        "comment": "",
    }
    return {**made, **more}


def event(**more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "uuid": EVENT,
        "info": "Phishing against ministries",
        "date": "2023-11-14",
        "timestamp": "1700000200",
        "published": False,
        "distribution": "3",
        "Orgc": ORG,
        "Attribute": [attribute(1, "ip-dst", "198.51.100.7")],
    }
    return {**made, **more}


def objects(converted: Converted) -> list[dict[str, Any]]:
    return [orjson.loads(one) for one in converted.objects]


def one(converted: Converted, kind: str) -> dict[str, Any]:
    found = [each for each in objects(converted) if each["type"] == kind]
    assert len(found) == 1, [each["type"] for each in objects(converted)]
    return found[0]


def fate(converted: Converted, kind: str) -> Fate:
    found = [each for each in converted.fates if each.kind == kind]
    assert len(found) == 1, converted.fates
    return found[0]


def marks(one: dict[str, Any]) -> set[str]:
    return set(one.get("object_marking_refs", ()))


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(Limits(), load_schemas())


FULL = event(
    published=True,
    publish_timestamp="1700000300",
    threat_level_id="2",
    analysis="1",
    event_creator_email="someone@example.org",
    Tag=[{"name": "tlp:green"}, {"name": 'osint:certainty="50"'}],
    Galaxy=[
        {
            "uuid": uuid(90),
            "name": "Attack Pattern",
            "type": "mitre-attack-pattern",
            "description": "ATT&CK",
            "GalaxyCluster": [
                {
                    "uuid": "a62a8db3-f23a-4d8f-afd6-9dbc77e7813b",
                    "type": "mitre-attack-pattern",
                    "value": "Spearphishing Link - T1192",
                    "tag_name": 'misp-galaxy:mitre-attack-pattern="Link - T1192"',
                    "description": "A link in a mail.",
                    "meta": {"external_id": ["T1192"]},
                }
            ],
        }
    ],
    Attribute=[
        attribute(
            1,
            "ip-dst",
            "198.51.100.7",
            comment="C2",
            Tag=[{"name": "kill-chain:c2"}],
            Sighting=[
                {
                    "uuid": uuid(70),
                    "type": "0",
                    "date_sighting": "1700000150",
                    "Organisation": {"name": "VNCERT", "uuid": uuid(71)},
                },
                {"uuid": uuid(72), "type": "1", "date_sighting": "1700000160"},
                {"uuid": uuid(73), "type": "2", "date_sighting": "1700000170"},
            ],
            Note=[
                {
                    "uuid": uuid(74),
                    "note": "seen twice",
                    "authors": "a",
                    "modified": "2023-11-14 10:00:00",
                }
            ],
            Opinion=[{"uuid": uuid(75), "opinion": "80", "comment": "likely"}],
        ),
        attribute(2, "domain", "login.example.net", to_ids=False, comment="lure"),
        attribute(3, "text", "free words", to_ids=False),
        attribute(4, "regkey", "HKCU\\Software\\Bad\\", to_ids=False),
        attribute(5, "url", "https://example.net/a'b\\c"),
        attribute(6, "filename|sha1", f"a.exe|{'ab' * 20}"),
    ],
    Object=[
        {
            "uuid": uuid(30),
            "name": "file",
            "meta-category": "file",
            "description": "File",
            "template_uuid": "688c46fb-5edb-40a3-8273-1af7923e2215",
            "template_version": "24",
            "timestamp": "1700000100",
            "comment": "the dropper",
            "Attribute": [
                attribute(31, "filename", "b.exe", object_relation="filename"),
                attribute(32, "md5", "cd" * 16, object_relation="md5", comment="odd"),
            ],
            "ObjectReference": [
                {
                    "uuid": uuid(33),
                    "referenced_uuid": uuid(2),
                    "relationship_type": "Downloaded From",
                    "timestamp": "1700000100",
                    "comment": "by the log",
                },
                {
                    "uuid": uuid(34),
                    "referenced_uuid": uuid(999),
                    "relationship_type": "related-to",
                },
            ],
        },
        {
            "uuid": uuid(40),
            "name": "our-own-form",
            "timestamp": "1700000100",
            "Attribute": [attribute(41, "text", "own", object_relation="what")],
        },
    ],
    EventReport=[
        {
            "uuid": uuid(50),
            "name": "Summary",
            "content": f"see @[attribute]({uuid(1)})",
            "timestamp": "1700000100",
        }
    ],
)


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


def cluster(kind: str, value: str, **more: Any) -> dict[str, Any]:
    inner = {"uuid": uuid(91), "type": kind, "value": value, "description": "d"}
    return {
        "uuid": uuid(90),
        "name": kind.title(),
        "type": kind,
        "description": "d",
        "GalaxyCluster": [{**inner, **more}],
    }


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


def test_an_attribute_of_an_unknown_type_is_kept_in_the_form_of_misp() -> None:
    odd = attribute(8, "crystal-ball", "tomorrow", comment="hm", Tag=[{"name": "x"}])
    made = to_stix(event(Attribute=[odd]))
    kept = one(made, "x-misp-attribute")
    assert kept["x_misp_value"] == "tomorrow"
    assert kept["x_misp_comment"] == "hm"
    assert kept["x_misp_to_ids"] is True
    assert "x" in kept["labels"]
    told = fate(made, "attribute")
    assert told.outcome == "altered"
    assert "no pattern" in told.reason
    assert kept["id"] in one(made, "grouping")["object_refs"]


def test_an_attribute_that_an_object_drops_is_kept_singly() -> None:
    inner = attribute(41, "crystal-ball", "odd", object_relation="ball", data="eA==")
    given = {"uuid": uuid(40), "name": "file", "Attribute": [inner]}
    made = to_stix(event(Attribute=[], Object=[given]))
    kept = one(made, "x-misp-attribute")
    assert kept["x_misp_object_uuid"] == uuid(40)
    assert kept["x_misp_object_relation"] == "ball"
    assert kept["x_misp_data"] == "eA=="


def test_one_unknown_type_does_not_cost_the_object_around_it() -> None:
    odd = attribute(41, "crystal-ball", "odd", object_relation="ball")
    name = attribute(42, "filename", "a.exe", object_relation="filename")
    given = {"uuid": uuid(40), "name": "file", "Attribute": [odd, name]}
    made = to_stix(event(Attribute=[], Object=[given]))
    assert one(made, "file")["name"] == "a.exe"
    assert one(made, "x-misp-attribute")["x_misp_value"] == "odd"
    assert fate(made, "object").outcome == "converted"


def test_a_galaxy_at_an_object_and_at_what_it_names_is_kept() -> None:
    inner = attribute(41, "domain", "a.example", object_relation="domain")
    inner |= {"Galaxy": [cluster("tool", "Spade")], "data": "eA=="}
    given = {"uuid": uuid(40), "name": "domain-ip", "Attribute": [inner]}
    made = to_stix(event(Attribute=[], Object=[given]))
    assert fate(made, "galaxy").outcome == "converted"
    assert "file that hangs at it" in fate(made, "attribute").reason
    assert [
        each
        for each in objects(made)
        if each["type"] == "relationship" and each["target_ref"].startswith("tool--")
    ]


def test_a_value_written_in_another_case_is_said() -> None:
    made = to_stix(event(Attribute=[attribute(1, "md5", "AB" * 16)]))
    assert one(made, "indicator")["pattern"].casefold().count("ab") >= 16
    assert fate(made, "attribute").ids


def test_parts_of_misp_are_read_whatever_they_lack() -> None:
    given = {
        "uuid": uuid(40),
        "name": "file",
        "template_uuid": 7,
        "Attribute": [attribute(41, "md5", "AB" * 16)],
        "Note": [{"note": "x", "modified": "never"}],
    }
    made = to_stix(
        event(
            Attribute=[attribute(1, "ip-dst|port", "198.51.100.7|443", to_ids=False)],
            Object=[given, {"uuid": uuid(60), "name": "file", "Attribute": []}],
            EventReport=[{"uuid": uuid(50)}],
            Note={"uuid": uuid(51), "note": "one, not in a list"},
            Sighting="",
        )
    )
    told = {each.uuid: each for each in made.fates}
    assert told[uuid(50)].outcome == "converted"
    assert told[uuid(51)].outcome == "converted"
    assert "no attribute that could be read" in told[uuid(60)].reason
    undated = attribute(1, "ip-dst", "198.51.100.7")
    undated["Sighting"] = [{"type": "0", "date_sighting": "soon"}]
    seen = to_stix(event(Attribute=[undated]))
    assert "its date is 'soon'" in fate(seen, "sighting").reason


def test_a_pattern_refused_by_the_node_is_kept_as_an_attribute(reader: Reader) -> None:
    class Strict(Reader):
        def read(self, raw: bytes) -> Any:
            if orjson.loads(raw)["type"] == "ipv4-addr":
                return reader.read(raw.replace(b'"ipv4-addr"', b'"IPV4"'))
            return reader.read(raw)

    made = to_stix(event(), Strict(Limits(), load_schemas()))
    kinds = {each["type"] for each in objects(made)}
    assert "ipv4-addr" not in kinds
    # What held nothing else goes with it; the pattern still has the value.
    assert "observed-data" not in kinds
    assert "indicator" in kinds
    assert fate(made, "attribute").outcome == "altered"
    assert fate(made, "attribute").reason.startswith("misp-stix: ipv4-addr--")


def test_what_passes_a_limit_in_every_form_is_said_to_be_lost() -> None:
    tight = Reader(Limits(object_bytes=2_000), load_schemas())
    long = attribute(2, "text", "x" * 3_000, to_ids=False)
    good = attribute(1, "ip-dst", "198.51.100.7")
    made = to_stix(event(Attribute=[good, long]), tight)
    assert b"x" * 3_000 not in b"".join(made.objects)
    told = {each.uuid: each for each in made.fates}
    assert told[uuid(1)].outcome == "converted"
    assert (told[uuid(2)].outcome, told[uuid(2)].ids) == ("lost", ())
    assert "object_bytes" in told[uuid(2)].reason


def test_an_event_that_misp_stix_cannot_take_is_kept_whole() -> None:
    broken = cluster("mitre-intrusion-set", "APT", meta={"external_id": [{"no": 1}]})
    made = to_stix(event(Galaxy=[broken]))
    assert one(made, "indicator")["pattern"]
    assert fate(made, "galaxy").outcome == "altered"
    assert 'misp-galaxy:mitre-intrusion-set="APT"' in one(made, "grouping")["labels"]


def test_when_nothing_can_be_made_every_attribute_is_still_there(
    monkeypatch: pytest.MonkeyPatch, reader: Reader
) -> None:
    from misp_stix_converter import MISPtoSTIX21Parser

    def give_up(*_: object) -> None:
        raise KeyError("Orgc")

    monkeypatch.setattr(MISPtoSTIX21Parser, "parse_misp_event", give_up)
    made = to_stix(copy.deepcopy(FULL), reader)
    kept = {
        each["x_misp_value"]
        for each in objects(made)
        if each["type"] == "x-misp-attribute"
    }
    assert {"198.51.100.7", "login.example.net", "b.exe"} <= kept
    assert one(made, "identity")["name"] == "ThaiCERT"
    assert "KeyError" in fate(made, "event").reason
    empty = to_stix(event(Attribute=[], Tag=[{"name": "tlp:red"}]), reader)
    assert one(empty, "grouping")["object_refs"] == [one(empty, "note")["id"]]
    assert marks(one(empty, "note")) == {RED}
    outcomes = {each.kind: each.outcome for each in made.fates}
    assert outcomes["report"] == "lost"
    assert outcomes["object"] == "altered"


def test_an_event_with_nothing_in_it_is_still_a_report(reader: Reader) -> None:
    made = to_stix(event(Attribute=[], Orgc=None), reader)
    assert one(made, "grouping")["object_refs"] == [one(made, "note")["id"]]
    assert "no organisation" in fate(made, "event").reason


@pytest.mark.parametrize("bad", [None, "", "not-a-uuid", 7, "{" + uuid(1) + "}"])
def test_an_attribute_without_a_uuid_gets_one_that_repeats(bad: object) -> None:
    given = event(Attribute=[attribute(1, "domain", "a.example", uuid=bad)])
    first, second = to_stix(copy.deepcopy(given)), to_stix(given)
    assert first.objects == second.objects
    assert "a derived one" in fate(first, "attribute").reason


def test_two_attributes_with_one_uuid_are_two() -> None:
    both = [attribute(1, "domain", name) for name in ("a.example", "b.example")]
    made = to_stix(event(Attribute=[*both, copy.deepcopy(both[1])]))
    assert len([o for o in objects(made) if o["type"] == "domain-name"]) == 3
    assert len({o["id"] for o in objects(made)}) == len(made.objects)


@pytest.mark.parametrize("bad", ["yesterday", -1, "99999999999999", True, 1.5, "0"])
def test_a_wrong_timestamp_is_said_and_the_events_is_used(bad: object) -> None:
    made = to_stix(
        event(Attribute=[attribute(1, "domain", "a.example", timestamp=bad)])
    )
    assert one(made, "indicator")["valid_from"].startswith("2023-11-14T22:16:40")
    assert repr(bad) in fate(made, "attribute").reason


def test_an_event_without_any_time_is_refused_with_what_to_do() -> None:
    with pytest.raises(BadInput, match=r"has no time.*Give it a `date`"):
        to_stix(event(timestamp="soon", date="14.11.2023"))


def test_an_event_with_a_date_alone_is_taken() -> None:
    made = to_stix(event(timestamp=None, Attribute=[]))
    assert one(made, "grouping")["modified"] == "2023-11-14T00:00:00.000Z"
    assert "its date is used" in fate(made, "event").reason


def test_an_event_without_a_uuid_gets_one_of_its_content() -> None:
    assert to_stix(event(uuid="")).uuid == to_stix(event(uuid="")).uuid != EVENT


@pytest.mark.parametrize(
    ("times", "reason"),
    [
        ({"first_seen": "never"}, "its first_seen is 'never'"),
        (
            {"first_seen": "2024-01-02T00:00:00Z", "last_seen": "2024-01-01T00:00:00Z"},
            "after its last_seen",
        ),
    ],
)
def test_times_of_sight_that_cannot_be_are_left(
    times: dict[str, str], reason: str
) -> None:
    made = to_stix(event(Attribute=[attribute(1, "domain", "a.example", **times)]))
    assert reason in fate(made, "attribute").reason


def test_times_of_sight_are_carried() -> None:
    times = {
        "first_seen": "2024-01-01T00:00:00+0700",
        "last_seen": "2024-01-02 00:00:00",
    }
    made = to_stix(event(Attribute=[attribute(1, "domain", "a.example", **times)]))
    seen = one(made, "observed-data")
    assert seen["first_observed"] == "2023-12-31T17:00:00Z"
    assert seen["last_observed"] == "2024-01-02T00:00:00Z"


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ({"Attribute": [{"type": "domain", "value": None}]}, "no value"),
        ({"Attribute": [{"type": "domain", "value": {"a": 1}}]}, "no value"),
        ({"Attribute": [{"type": 7, "value": "x"}]}, "its type is 7"),
        ({"Attribute": ["text"]}, "got a text, expected an object"),
        ({"Attribute": "text"}, "got a text, expected a list"),
        ({"Attribute": [attribute(1, "md5", "a", deleted=True)]}, "deleted"),
        ({"Object": [{"name": ""}]}, "its name is ''"),
        ({"Object": [{"name": "file", "deleted": "1"}]}, "deleted"),
        ({"ShadowAttribute": [{"type": "md5", "value": "x"}]}, "proposal"),
        ({"Galaxy": [{"name": "G", "GalaxyCluster": [{}]}]}, "its value is None"),
        ({"Galaxy": [cluster("tool", "T", local=True)]}, "a local galaxy"),
        ({"Tag": [{"name": ""}]}, "expected a text"),
        ({"Tag": [{"name": "ours", "local": True}]}, "a local tag"),
        ({"Sighting": [{"type": "0"}]}, "stands at no attribute"),
        ({"Note": [{"note": ""}]}, "its note is ''"),
        ({"Opinion": [{"opinion": "much"}]}, "its opinion is 'much'"),
        ({"Relationship": [{}]}, "no form"),
    ],
)
def test_what_cannot_be_read_is_said_and_stops_nothing(
    part: dict[str, Any], reason: str
) -> None:
    good = attribute(2, "domain", "good.example")
    given = event(**{"Attribute": [], **part})
    if isinstance(given["Attribute"], list):
        given["Attribute"] = [*given["Attribute"], good]
        assert b"good.example" in b"".join(to_stix(copy.deepcopy(given)).objects)
    made = to_stix(given)
    assert [each for each in made.losses if reason in each.reason], made.losses


@pytest.mark.parametrize(
    "reference",
    [{"referenced_uuid": "x"}, {"referenced_uuid": uuid(2), "deleted": True}],
)
def test_a_reference_that_names_nothing_is_lost(reference: dict[str, Any]) -> None:
    given = copy.deepcopy(FULL["Object"][0])
    given["ObjectReference"] = [{"relationship_type": "drops", **reference}]
    made = to_stix(event(Object=[given]))
    assert [each for each in made.losses if each.kind == "reference"]


def test_a_number_as_value_is_its_text() -> None:
    made = to_stix(event(Attribute=[{"type": "port", "value": 443}]))
    assert b"443" in b"".join(made.objects)


def test_thousands_of_attributes_are_all_accounted_for() -> None:
    many = [
        attribute(n, "domain", f"h{n}.example", to_ids=False) for n in range(1, 2_001)
    ]
    made = to_stix(event(Attribute=many))
    told = [each for each in made.fates if each.kind == "attribute"]
    assert len(told) == 2_000
    assert {each.outcome for each in told} == {"converted"}


@pytest.mark.parametrize(
    "wrapped",
    [
        {"Event": event()},
        {"response": [{"Event": event()}]},
        {"response": {"Event": event()}},
        [{"Event": event()}],
        event(),
    ],
)
def test_every_wrapping_of_an_event_is_read(wrapped: object) -> None:
    raw = orjson.dumps(wrapped)
    assert [each["uuid"] for each in events(raw)] == [EVENT]
    assert [each["uuid"] for each in events(io.BytesIO(b"\xef\xbb\xbf" + raw))] == [
        EVENT
    ]


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"{", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[]", "the list is empty"),
        (b"7", "got 7, expected an object"),
        (b"null", "got null"),
        (b'{"Event": "x"}', "got a text"),
        (b'[{"Event": {}}, 1]', r"f\.json\[1\] is not a MISP event"),
        (b'{"type": "bundle", "objects": []}', "neither 'Event' nor 'info'"),
        (b'{"Event": ' + b'{"a":' * 70 + b"1" + b"}" * 71, "the limit is 64"),
    ],
)
def test_what_is_no_event_is_refused_by_name_and_place(raw: bytes, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        list(events(raw, origin="f.json"))


def test_a_file_over_the_limit_is_refused_unread() -> None:
    with pytest.raises(TooLarge, match="`file_bytes`"):
        list(events(io.BytesIO(b" " * 100), file_bytes=99))
