"""STIX objects out as a MISP event: values, tags that never widen, and every fate."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest

from serantau.errors import BadInput
from serantau.rules.marking import Pap, Tlp, make_audience, read_marking
from serantau.wire.misp import to_stix
from serantau.wire.misp_out import Sent, to_misp_event
from serantau.wire.misp_tags import TLP_IDS, pap_definition

US = "97821762-a783-405e-9e47-7e0a24e1d0f1"
MADE = "2026-02-01T00:00:00.000Z"


def uuid(number: int) -> str:
    return f"{number:08d}-0000-4000-8000-000000000000"


def stix(kind: str, number: int, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "type": kind,
        "spec_version": "2.1",
        "id": f"{kind}--{uuid(number)}",
        "created": MADE,
        "modified": MADE,
    }
    return {**made, **more}


def indicator(number: int, pattern: str, *levels: str, **more: Any) -> dict[str, Any]:
    made = stix(
        "indicator",
        number,
        pattern=pattern,
        pattern_type="stix",
        valid_from=MADE,
        indicator_types=["malicious-activity"],
    )
    if levels:
        made["object_marking_refs"] = [TLP_IDS[f"tlp:{level}"] for level in levels]
    return {**made, **more}


def send(*objects: dict[str, Any], **more: Any) -> Sent:
    given = {"organisation": "ThaiCERT", "organisation_uuid": US, **more}
    return to_misp_event([orjson.dumps(one) for one in objects], **given)


def tags(part: dict[str, Any]) -> list[str]:
    return [tag["name"] for tag in part.get("Tag", ())]


def attributes(sent: Sent) -> list[dict[str, Any]]:
    event = sent.event["Event"]
    inner = [each for one in event["Object"] for each in one["Attribute"]]
    return [*event["Attribute"], *inner]


def values(sent: Sent) -> set[str]:
    return {str(each["value"]) for each in attributes(sent)}


def test_an_indicator_of_anybody_becomes_an_attribute_for_detection() -> None:
    sent = send(indicator(1, "[domain-name:value = 'c2.example']", "green"))
    (found,) = attributes(sent)
    assert (found["type"], found["value"]) == ("domain", "c2.example")
    assert found["to_ids"] is True
    assert found["uuid"] == uuid(1)
    assert tags(found) == ["tlp:green"]
    event = sent.event["Event"]
    assert tags(event) == ["tlp:green"]
    assert event["Orgc"] == {"name": "ThaiCERT", "uuid": US}
    assert event["distribution"] == "0"
    assert event["timestamp"] == "1769904000"
    assert not sent.losses


@pytest.mark.parametrize(
    ("levels", "tag"),
    [
        (("clear",), "tlp:clear"),
        (("green", "amber"), "tlp:amber"),
        (("amber+strict",), "tlp:amber+strict"),
        (("red",), "tlp:red"),
        ((), "tlp:amber+strict"),
    ],
)
def test_the_strictest_marking_is_the_tag(levels: tuple[str, ...], tag: str) -> None:
    sent = send(indicator(1, "[domain-name:value = 'c2.example']", *levels))
    assert tags(attributes(sent)[0]) == [tag]
    assert tags(sent.event["Event"]) == [tag]


def test_the_event_is_as_strict_as_its_strictest_object() -> None:
    sent = send(
        indicator(1, "[domain-name:value = 'a.example']", "clear"),
        indicator(2, "[domain-name:value = 'b.example']", "amber"),
    )
    assert tags(sent.event["Event"]) == ["tlp:amber"]
    assert {each["value"]: tags(each)[0] for each in attributes(sent)} == {
        "a.example": "tlp:clear",
        "b.example": "tlp:amber",
    }


def test_the_handling_of_the_node_stands_in_for_a_missing_marking() -> None:
    one = indicator(1, "[domain-name:value = 'c2.example']")
    sent = send(one, handled_as=Tlp.CLEAR)
    assert tags(sent.event["Event"]) == ["tlp:clear"]


def test_a_marking_nobody_knows_is_red_and_said() -> None:
    one = indicator(1, "[domain-name:value = 'c2.example']", "clear")
    one["object_marking_refs"].append(f"marking-definition--{uuid(9)}")
    sent = send(one)
    assert tags(attributes(sent)[0]) == ["tlp:red"]
    assert "a stricter TLP" in sent.losses[0].reason


def test_a_label_that_says_tlp_is_no_tag() -> None:
    lying = ["TLP: CLEAR", "pap:white", 'misp:type="domain"', "phishing"]
    one = indicator(1, "[domain-name:value = 'c2.example']", "red", labels=lying)
    report = stix("report", 5, name="R", published=MADE, object_refs=[one["id"]])
    report["labels"] = lying
    for sent in (send(one, report), send({**one, "labels": lying[:2]}, report)):
        names = [*tags(sent.event["Event"])]
        names += [name for part in attributes(sent) for name in tags(part)]
        assert {name for name in names if ":" in name} == {"tlp:red"}


def test_an_audience_is_never_wider_than_the_receiver() -> None:
    audience = make_audience(named=["sg"])
    one = indicator(1, "[domain-name:value = 'c2.example']", "green")
    one["object_marking_refs"].append(audience["id"])
    known = {audience["id"]: read_marking(audience)}
    for sent in (send(one, known=known), send(one, audience)):
        assert tags(attributes(sent)[0]) == ["tlp:amber+strict"]
        assert sent.losses[0].outcome == "altered"


def test_a_marking_of_a_part_holds_for_the_whole() -> None:
    one = indicator(1, "[domain-name:value = 'c2.example']", "green", name="x")
    one["granular_markings"] = [
        {"marking_ref": TLP_IDS["tlp:red"], "selectors": ["name"]},
        {"lang": "th", "selectors": ["name"]},
    ]
    assert tags(attributes(send(one))[0]) == ["tlp:red"]


def test_pap_comes_and_goes_as_a_tag() -> None:
    made = to_stix(misp("PAP:AMBER", "tlp:green"))
    sent = to_misp_event(made.objects, organisation="x", organisation_uuid=US)
    assert tags(sent.event["Event"])[:2] == ["tlp:green", "PAP:AMBER"]
    assert tags(attributes(sent)[0])[:2] == ["tlp:green", "PAP:AMBER"]


@pytest.mark.parametrize(
    ("pap", "flagged"),
    [
        *((f"PAP:{name}", name in {"CLEAR", "GREEN"}) for name in Pap.__members__),
        ("PAP:BLUE", False),
    ],
)
def test_an_indicator_at_pap_red_goes_out_without_the_flag_that_machines_block_by(
    pap: str, flagged: bool
) -> None:
    marked = pap_definition(pap)
    one = indicator(1, "[domain-name:value = 'c2.example']", "green")
    one["object_marking_refs"].append(marked["id"])
    two = indicator(2, "[domain-name:value = 'free.example']", "green")
    sent = send(one, two, marked)
    assert {each["value"]: each["to_ids"] for each in attributes(sent)} == {
        "c2.example": flagged,
        "free.example": True,
    }
    file = "[file:name = 'a.exe' AND file:hashes.MD5 = '" + "0" * 32 + "']"
    held = indicator(3, file, "green")
    held["object_marking_refs"].append(marked["id"])
    (thing,) = send(held, marked).event["Event"]["Object"]
    assert {each["to_ids"] for each in thing["Attribute"]} <= {flagged, False}
    assert any(each["to_ids"] for each in thing["Attribute"]) is flagged


def misp(*names: str) -> dict[str, Any]:
    return {
        "uuid": uuid(700),
        "info": "Phishing",
        "date": "2026-01-01",
        "timestamp": "1769904000",
        "threat_level_id": "1",
        "Orgc": {"name": "LaoCERT", "uuid": uuid(701)},
        "Tag": [{"name": name} for name in names],
        "Attribute": [
            {
                "uuid": uuid(702),
                "type": "btc",
                "category": "Financial fraud",
                "value": "1B8QtVGktfjBfNptp1Ay1DVt5C47rq3yWY",
                "comment": "ransom",
                "to_ids": False,
                "Tag": [{"name": "estimative"}],
            },
            {
                "uuid": uuid(703),
                "type": "regkey",
                "category": "Persistence mechanism",
                "value": "HKLM\\Software\\Run\\",
                "to_ids": True,
            },
            {
                "uuid": uuid(704),
                "type": "sha256",
                "category": "Payload delivery",
                "value": "ab" * 32,
                "comment": "dropper",
                "to_ids": True,
            },
        ],
        "Object": [
            {
                "uuid": uuid(710),
                "name": "file",
                "meta-category": "file",
                "Attribute": [
                    {
                        "uuid": uuid(711),
                        "type": "filename",
                        "object_relation": "filename",
                        "value": "a.exe",
                    },
                    {
                        "uuid": uuid(712),
                        "type": "crystal-ball",
                        "object_relation": "ball",
                        "value": "round",
                    },
                ],
                "ObjectReference": [
                    {
                        "uuid": uuid(713),
                        "referenced_uuid": uuid(704),
                        "relationship_type": "drops",
                    }
                ],
            }
        ],
        "Galaxy": [
            {
                "uuid": uuid(720),
                "name": "Threat Actor",
                "type": "threat-actor",
                "description": "d",
                "GalaxyCluster": [
                    {
                        "uuid": uuid(721),
                        "type": "threat-actor",
                        "value": "Quiet Tiger",
                        "description": "d",
                        "meta": {"refs": ["https://example.org/tiger"]},
                    }
                ],
            }
        ],
    }


def test_what_came_from_misp_goes_back_as_it_was() -> None:
    given = misp("tlp:green", "osint")
    made = to_stix(copy.deepcopy(given))
    sent = to_misp_event(made.objects, organisation="x", organisation_uuid=US)
    event = sent.event["Event"]
    for key in ("uuid", "info", "date", "timestamp", "threat_level_id", "Orgc"):
        assert event[key] == given[key]
    assert tags(event)[:2] == ["tlp:green", "osint"]
    back = {each["uuid"]: each for each in event["Attribute"]}
    for each in given["Attribute"]:
        for key in ("type", "value", "category", "to_ids"):
            assert back[each["uuid"]][key] == each[key], key
        assert back[each["uuid"]].get("comment", "") == each.get("comment", "")
    assert "estimative" in tags(back[uuid(702)])
    (file,) = event["Object"]
    assert {each["object_relation"]: each["value"] for each in file["Attribute"]} == {
        "filename": "a.exe",
    }
    (reference,) = file["ObjectReference"]
    assert reference["uuid"] == uuid(713)
    assert reference["referenced_uuid"] == uuid(704)
    (galaxy,) = event["Galaxy"]
    assert galaxy["GalaxyCluster"][0]["uuid"] == uuid(721)
    (lost,) = sent.losses
    assert lost.uuid == uuid(712)
    assert "crystal-ball is invalid" in lost.reason


def test_an_attribute_kept_singly_goes_back_into_its_object() -> None:
    made = to_stix(misp("tlp:green")).objects
    kept = [one.replace(b"crystal-ball", b"text") for one in made]
    sent = to_misp_event(kept, organisation="x", organisation_uuid=US)
    (file,) = sent.event["Event"]["Object"]
    assert {each["object_relation"] for each in file["Attribute"]} == {
        "filename",
        "ball",
    }
    assert not sent.losses


def test_going_out_twice_gives_the_same_event() -> None:
    made = to_stix(misp("tlp:green"))
    first, second = (
        to_misp_event(made.objects, organisation="x", organisation_uuid=US)
        for _ in range(2)
    )
    assert first.event == second.event
    assert first.fates == second.fates


def test_objects_of_misp_and_of_others_go_into_one_event() -> None:
    made = [orjson.loads(one) for one in to_stix(misp("tlp:green")).objects]
    sent = send(*made, indicator(1, "[url:value = 'https://x.example/']", "green"))
    assert {"https://x.example/", "ab" * 32, "a.exe"} <= values(sent)
    assert sent.event["Event"]["Orgc"]["name"] == "LaoCERT"


def test_what_misp_has_no_place_for_is_said() -> None:
    sent = send(
        indicator(1, "[domain-name:value = 'c2.example']", "green"),
        stix("x-weather", 2, sky="grey"),
        stix(
            "relationship", 3, relationship_type="uses", source_ref="a", target_ref="b"
        ),
    )
    lost = {each.kind: each for each in sent.losses}
    assert set(lost) == {"x-weather", "relationship"}
    assert {each.outcome for each in lost.values()} == {"lost"}
    assert all(each.reason for each in lost.values())


def test_several_reports_are_one_event_under_a_name_of_its_own() -> None:
    one = indicator(1, "[domain-name:value = 'c2.example']", "green")
    reports = [
        stix("report", n, name=f"R{n}", published=MADE, object_refs=[one["id"]])
        for n in (5, 6)
    ]
    sent = send(one, *reports)
    assert sent.event["Event"]["info"] == "3 objects from ThaiCERT"
    assert [each.kind for each in sent.losses] == ["report", "report"]
    assert send(one, *reports, info="Ours").event["Event"]["info"] == "Ours"
    assert send(one, reports[0]).event["Event"]["info"] == "R5"


def test_observables_alone_make_an_event_at_the_beginning_of_time() -> None:
    sent = send(
        {
            "type": "domain-name",
            "spec_version": "2.1",
            "id": f"domain-name--{uuid(1)}",
            "value": "a.example",
        }
    )
    assert "a.example" in values(sent)
    assert sent.event["Event"]["date"] == "1970-01-01"


def test_an_object_that_cannot_be_read_stops_no_other() -> None:
    sent = send(
        indicator(1, "[domain-name:value = 'c2.example']", "green"),
        indicator(2, "[domain-name:value = ", "green"),
        stix("malware", 3, name=7, is_family="perhaps"),
    )
    assert "c2.example" in values(sent)
    assert any("cannot read" in each.reason for each in sent.losses)


def test_when_misp_stix_gives_up_every_object_is_said_to_be_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from misp_stix_converter import ExternalSTIX2toMISPParser

    def give_up(*_: object, **__: object) -> None:
        raise KeyError("type")

    monkeypatch.setattr(ExternalSTIX2toMISPParser, "parse_stix_bundle", give_up)
    sent = send(indicator(1, "[domain-name:value = 'c2.example']", "green"))
    assert [each.outcome for each in sent.losses] == ["lost"]
    assert "gave up" in sent.losses[0].reason
    assert tags(sent.event["Event"]) == ["tlp:green"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "no object"),
        ([b"{"], "Object 0 is not JSON"),
        ([b"[]"], "Object 0 is no STIX object"),
        ([{"type": "indicator", "id": "malware--x"}], "Object 0 is no STIX object"),
    ],
)
def test_what_is_no_stix_object_is_refused_by_place(given: Any, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        to_misp_event(given, organisation="x", organisation_uuid=US)
