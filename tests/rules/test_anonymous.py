"""What is published on behalf tells nothing of whose it was."""

from __future__ import annotations

import uuid
from typing import Any

import orjson
import pytest

from samples import READER, made
from serantau.rules.anonymous import (
    TOLD,
    Handing,
    Marks,
    marks_of,
    new_id_of,
    unexpected,
    write,
)
from serantau.rules.marking import (
    TLP_2_IDS,
    MarkingSet,
    Pap,
    Tlp,
    make_audience,
    read_marking,
)
from serantau.rules.properties import OBSERVABLES
from serantau.rules.sco import sco_id
from serantau.rules.trace import Hit, Trace, Traces

DAY = 86_400_000_000
EXACT = "2026-03-01T07:13:42.517Z"
OWN = "identity--11111111-1111-4111-8111-111111111111"
BY = "identity--22222222-2222-4222-8222-222222222222"
PUBLIC = "attack-pattern--33333333-3333-4333-8333-333333333333"
NEW = "44444444-4444-4444-8444-444444444444"
TRACES = Traces(
    [
        Trace("th", "the member"),
        Trace("ThaiCERT", "the team"),
        Trace("NCSA", "its host"),
        Trace("ไทยเซิร์ต", "its name"),
        Trace("thaicert.or.th", "its site"),
        Trace("---", "nothing"),
        Trace("", "nothing"),
    ],
    ["203.0.113.0/24", "2001:db8::/32"],
)
GREEN = TLP_2_IDS[Tlp.GREEN]


def handing(*objects: dict[str, Any], **more: Any) -> Handing:
    how: dict[str, Any] = {
        "ids": {one["id"]: new_id_of(one, str(uuid.uuid4())) for one in objects},
        "everybody": {PUBLIC, "ipv4-addr" + PUBLIC[14:]},
        "by": BY,
        "marks": (GREEN,),
        "traces": TRACES,
        "step": DAY,
    }
    return Handing(**{**how, **more})


def indicator(**more: Any) -> dict[str, Any]:
    return made("indicator", created=EXACT, modified=EXACT, **more)


def hits(data: dict[str, Any]) -> list[tuple[str, str]]:
    return [(hit.place, hit.what) for hit in write(data, handing(data)).hits]


def test_only_what_the_table_names_is_told_and_the_rest_is_named() -> None:
    given = indicator(
        created_by_ref=OWN,
        name="C2 of a botnet",
        lang="th",
        labels=["case-17"],
        confidence=80,
        x_case="17",
        external_references=[
            {
                "source_name": "cve",
                "external_id": "CVE-2026-0001",
                "url": "https://x.test",
            },
            {"source_name": "thaicert", "url": "https://thaicert.or.th/17"},
        ],
        extensions={"extension-definition--" + NEW: {"extension_type": "x"}},
        valid_from=EXACT,
        valid_until="2026-03-05T00:00:00.001Z",
        kill_chain_phases=[
            {"kill_chain_name": "k", "phase_name": "p", "x_desk": "night"}
        ],
    )
    how = handing(given)
    written = write(given, how)
    assert not written.hits
    assert written.data == {
        "type": "indicator",
        "spec_version": "2.1",
        "id": how.ids[given["id"]],
        "created_by_ref": BY,
        "object_marking_refs": [GREEN],
        "name": "C2 of a botnet",
        "confidence": 80,
        "pattern": given["pattern"],
        "pattern_type": "stix",
        "valid_from": "2026-03-01T00:00:00.000Z",
        "valid_until": "2026-03-06T00:00:00.000Z",
        "external_references": [
            {"source_name": "cve", "external_id": "CVE-2026-0001"},
        ],
        "kill_chain_phases": [{"kill_chain_name": "k", "phase_name": "p"}],
    }
    assert {str(one).split(":")[0] for one in written.left} == {
        "/lang",
        "/labels",
        "/x_case",
        "/extensions",
        "/external_references/0/url",
        "/external_references/1",
    }
    stamped = {**written.data, "created": EXACT, "modified": EXACT}
    assert READER.read(orjson.dumps(stamped)).creator == BY


def test_references_to_nothing_known_fall_away_with_the_last_of_their_list() -> None:
    alone = [{"source_name": "thaicert", "external_id": "17"}]
    given = indicator(external_references=alone)
    assert "external_references" not in write(given, handing(given)).data


def test_nothing_is_believed_that_was_not_written_so() -> None:
    def said(data: dict[str, Any], **more: Any) -> str:
        return unexpected({**data, **more}, by=BY, marks={GREEN})

    given = indicator(created_by_ref=OWN)
    fair = write(given, handing(given)).data
    assert said(fair) == ""
    address = {"type": "ipv4-addr", "spec_version": "2.1", "value": "192.0.2.1"}
    address["id"] = str(sco_id(address))
    told = write(address, handing(address)).data
    assert said(told) == ""
    assert "created_by_ref" in said(told, created_by_ref=BY)
    assert "publisher's name" in said(fair, created_by_ref=OWN)
    assert "'modified'" in said(fair, modified=EXACT)
    assert "'x_case'" in said(fair, x_case=1)
    assert "no type" in said(fair, type="identity")
    assert "no type" in said(fair, type=["indicator"])
    for refs in ([], "x", [TLP_2_IDS[Tlp.RED]], [GREEN, {"a": 1}], None):
        assert "marked" in said(fair, object_marking_refs=refs)


@pytest.mark.parametrize("kind", sorted(TOLD))
def test_each_type_that_is_told_is_one_that_a_neighbour_can_read(kind: str) -> None:
    texts = {
        "value": "bad.example",
        "name": "bad",
        "key": "hkey_local_machine\\bad",
        "number": 7,
    }
    texts |= {"hashes": {"MD5": "0" * 32}}
    if kind in OBSERVABLES:
        texts["value"] = {
            "ipv4-addr": "192.0.2.1",
            "ipv6-addr": "2001:db9::1",
            "mac-addr": "02:00:00:00:00:01",
            "url": "http://bad.example/",
            "email-addr": "a@bad.example",
        }.get(kind, "bad.example")
        given: dict[str, Any] = {"type": kind, "spec_version": "2.1", "id": ""}
        given |= {name: texts[name] for name in TOLD[kind] if name in texts}
        given["id"] = sco_id(given)
    else:
        given = made(kind)
    for name in ("object_refs", "source_ref", "target_ref", "sighting_of_ref"):
        if name in given:
            seen = "ipv4-addr" + PUBLIC[14:] if kind == "observed-data" else PUBLIC
            given[name] = [seen] if name == "object_refs" else seen
    written = write(given, handing(given))
    assert not written.hits
    stamped = {**written.data}
    if kind not in OBSERVABLES:
        stamped |= {"created": EXACT, "modified": EXACT}
    assert READER.read(orjson.dumps(stamped)).type == kind


def test_an_observable_keeps_the_id_that_its_content_makes() -> None:
    given: dict[str, Any] = {"type": "file", "spec_version": "2.1", "name": "a.exe"}
    given["id"] = sco_id(given)
    assert write(given, handing(given)).data["id"] == given["id"]
    wider = {**given, "extensions": {"pdf-ext": {"version": "1.7"}}}
    wider["id"] = sco_id(wider)
    told = write(wider, handing(wider)).data
    assert told["id"] == given["id"] != wider["id"]
    assert "created_by_ref" not in told
    bare = {"type": "file", "spec_version": "2.1", "id": "file--" + NEW, "size": 7}
    assert ("/id", "an observable of nothing") in hits(bare)


def test_references_inside_are_rewritten_and_those_that_point_back_fall_away() -> None:
    one, two = indicator(), made("malware", sample_refs=["file--" + NEW])
    link = made("relationship", source_ref=one["id"], target_ref=two["id"])
    report = made("report", object_refs=[one["id"], PUBLIC, "tool--" + NEW])
    how = handing(one, two, link, report)
    told = write(link, how).data
    assert (told["source_ref"], told["target_ref"]) == (
        how.ids[one["id"]],
        how.ids[two["id"]],
    )
    written = write(report, how)
    assert written.data["object_refs"] == [how.ids[one["id"]], PUBLIC]
    assert [left.place for left in written.left] == ["/object_refs/2"]
    written = write(two, how)
    assert "sample_refs" not in written.data
    assert not written.hits
    assert hits(link) == [
        ("/source_ref", "not handed over with it"),
        ("/target_ref", "not handed over with it"),
    ]
    alone = made("note", content="seen", object_refs=["tool--" + NEW])
    assert hits(alone) == [("/object_refs", "of nothing that is handed over")]


def test_a_reference_that_need_not_be_there_falls_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(TOLD, "tool", (*TOLD["tool"], "x_ref"))
    given = made("tool", x_ref="file--" + NEW)
    written = write(given, handing(given))
    assert "x_ref" not in written.data
    assert not written.hits


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("seen by ThaiCERT", "the team"),
        ("seen by thai-cert", "the team"),
        ("seen by T h a i C E R T", "the team"),
        ("see hxxp://www.thaicert[.]or[.]th/17", "its site"),
        ("see http://www.%74haicert.or.th/", "its site"),
        ("ask ncsa first", "its host"),
        ("a bank in TH", "the member"),
        ("from th-node", "the member"),
        ("of node/th", "the member"),
        ("mail me@x.example", "a mail address"),
        ("mail me[at]x[.]example", "a mail address"),
        (f"see {NEW}", "an id"),
        ("on 2026-03-01T07:13", "a time of day"),
        ("at 07:13:42 it stopped", "a time of day"),
        ("at 7:13.", "a time of day"),
        ("ธนาคาร", "in letters that few write: say it in ASCII"),
        (
            "Th\u0430iCERT with a Cyrillic a",
            "in letters that few write: say it in ASCII",
        ),
        ("to 203.0.113.77", "an address of the origin's own"),
        ("to 2001:db8::7 too", "an address of the origin's own"),
    ],
)
def test_a_trace_in_a_sentence_is_found(text: str, what: str) -> None:
    assert ("/description", what) in hits(indicator(description=text))


@pytest.mark.parametrize(
    "text",
    [
        "in my network the width is with it",
        "mac 02:00:07:13:42:51 and port 203.0.114.9:443",
        "phishing at bank.co.th",
        "2026-03-01, ID 4624, ratio 3:1",
        "2001:12::1 and fe80::20:01:2",
    ],
)
def test_what_is_no_trace_is_not_taken_for_one(text: str) -> None:
    assert hits(indicator(description=text)) == []


@pytest.mark.parametrize(
    ("pattern", "what"),
    [
        ("[url:value = 'http://www.thaicert.or.th/x']", "its site"),
        ("[file:name = '\uff34\uff48\uff41\uff49CERT.exe']", "the team"),
        ("[file:name = 'ไทยเซิร์ต']", "its name"),
        ("[ipv4-addr:value = '203.0.113.9']", "an address of the origin's own"),
        ("[ipv4-addr:value ISSUBSET '203.0.0.0/8']", "an address of the origin's own"),
        (f"[file:size = 7] START t'{EXACT}' STOP t'{EXACT}'", "an exact time"),
        ("[file:ctime = t'2026-99-01T00:00:00Z']", "an exact time"),
        ("[file:size", "a pattern that cannot be read"),
    ],
)
def test_a_trace_in_a_pattern_is_found(pattern: str, what: str) -> None:
    assert ("/pattern", what) in hits(indicator(pattern=pattern))


def test_a_pattern_of_another_kind_and_parts_and_people_are_refused() -> None:
    yara = indicator(pattern="rule x {}", pattern_type="yara")
    assert ("/pattern_type", "not a STIX pattern") in hits(yara)
    assert hits(made("identity")) == [("/type", "no type that is published on behalf")]
    parts = indicator(
        granular_markings=[{"marking_ref": GREEN, "selectors": ["pattern"]}]
    )
    assert ("/granular_markings", "marked in parts: make one without them") in hits(
        parts
    )
    assert str(write(yara, handing(yara)).hits[0]) == (
        "/pattern_type: 'yara' is not a STIX pattern"
    )
    assert str(Hit("/x", "", "it is TLP:RED")) == "/x: it is TLP:RED"
    clean = (
        "[ipv4-addr:value = '192.0.2.1' AND user-account:user_id = 'th'] "
        "START t'2026-03-01T00:00:00Z' STOP t'2026-03-02T00:00:00Z'"
    )
    assert hits(indicator(pattern=clean)) == []


def test_an_odd_address_is_nobodys() -> None:
    assert list(TRACES.owns([("ipv4-addr", "300.1.1.1"), ("url", "x")])) == []


AUDIENCE = make_audience(named=["sg", "th"])
STATEMENT: dict[str, Any] = {
    "type": "marking-definition",
    "spec_version": "2.1",
    "id": "marking-definition--" + NEW,
    "created": EXACT,
    "definition_type": "statement",
    "definition": {"statement": "(c) ThaiCERT"},
}
PAP: dict[str, Any] = {
    **STATEMENT,
    "id": "marking-definition--" + NEW.replace("4", "5"),
    "definition": {"statement": "PAP:RED"},
}
KNOWN = {one["id"]: read_marking(one) for one in (AUDIENCE, STATEMENT, PAP)}


def marked(*refs: str, handled_as: Tlp | None = None) -> MarkingSet:
    return MarkingSet(refs=tuple(sorted(refs)), handled_as=handled_as)


def test_what_is_published_is_marked_no_wider_without_its_makers_word() -> None:
    green = marked(GREEN, STATEMENT["id"], PAP["id"])
    assert marks_of(green, KNOWN, None) == Marks(
        Tlp.GREEN, Pap.RED, ('"(c) ThaiCERT"',)
    )
    assert marks_of(green, KNOWN, Tlp.CLEAR) == Marks(
        Tlp.CLEAR, Pap.RED, ('"(c) ThaiCERT"', "TLP:GREEN, which is stricter")
    )
    some = marked(TLP_2_IDS[Tlp.CLEAR], AUDIENCE["id"])
    assert "say --tlp" in str(marks_of(some, KNOWN, None))
    assert marks_of(some, KNOWN, Tlp.GREEN) == Marks(
        Tlp.GREEN, None, ("the audience: only sg and th",)
    )
    amber = marked(handled_as=Tlp.AMBER_STRICT)
    assert "it is TLP:AMBER+STRICT: say" in str(marks_of(amber, KNOWN, None))
    assert "it is TLP:RED: say" in str(marks_of(marked(), KNOWN, None))
    assert "needs an audience" in str(marks_of(green, KNOWN, Tlp.AMBER))
    strange = marked("marking-definition--" + NEW.replace("4", "6"))
    assert "not exactly understood" in str(marks_of(strange, KNOWN, Tlp.GREEN))
