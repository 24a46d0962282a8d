"""MISP events that are odd, broken or large: nothing is lost in silence."""

from __future__ import annotations

import copy
import io
from typing import Any

import orjson
import pytest

from misp_events import (
    EVENT,
    FULL,
    attribute,
    cluster,
    event,
    fate,
    marks,
    objects,
    one,
    uuid,
)
from serantau.errors import BadInput, TooLarge
from serantau.rules.stix import Limits, Reader
from serantau.wire.misp import events, to_stix
from serantau.wire.misp_tags import RED
from serantau.wire.schemas import load_schemas


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(Limits(), load_schemas())


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
