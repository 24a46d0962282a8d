"""An object version is checked, identified and read once; a refusal says what to do."""

from __future__ import annotations

import gzip
import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samples import (
    AT,
    IDENTITY,
    LATER,
    NEEDED,
    READER,
    SCHEMAS,
    TLP_AMBER,
    made,
    observable,
    read,
    refusal,
)
from serantau.clock import instant
from serantau.rules.refusal import Refused
from serantau.rules.stix import Limits, Reader, id_key

MARK = "marking-definition--11111111-2222-4333-8444-555555555555"
EXTENSION = "extension-definition--11111111-2222-4333-8444-555555555555"
URL = "url--11111111-2222-4333-8444-555555555555"


# --- What is read


@pytest.mark.parametrize("kind", sorted(NEEDED))
def test_every_type_is_admitted_with_what_it_needs(kind: str) -> None:
    version = read(made(kind))
    assert version.type == kind
    assert version.modified == version.created == instant(AT)
    assert version.version == AT
    assert not version.unversioned


def test_what_is_asked_of_a_version_is_there() -> None:
    data = made(
        "indicator",
        created="2026-01-01T00:00:00.123456Z",
        created_by_ref=IDENTITY,
        name="ไทย",
        description="Seen  TWICE",
        labels=["Ransom", "x"],
        object_marking_refs=[TLP_AMBER, MARK],
        granular_markings=[
            {"selectors": ["name"], "marking_ref": MARK},
            {"selectors": ["description"], "marking_ref": MARK},
            {"selectors": ["labels.[0]"], "lang": "en"},
        ],
        external_references=[
            {"source_name": "NVD", "external_id": "CVE-2021-44228"},
            {"source_name": "x", "external_id": "CASE-1", "hashes": {"MD5": "A" * 32}},
        ],
        revoked=True,
    )
    raw = json.dumps(data, indent=2).encode()
    version = READER.read(raw)
    assert version.id == data["id"]
    assert version.key == id_key(data["id"])
    assert version.created == instant("2026-01-01T00:00:00.123456Z")
    assert version.modified == instant(AT)
    assert version.creator == IDENTITY
    assert version.revoked
    assert version.name == "ไทย"
    assert json.loads(version.body) == data
    assert b"\n" not in version.body
    assert version.marking_refs == (TLP_AMBER, MARK)
    assert version.granular_refs == (MARK,)
    assert version.has_tlp
    assert not version.redacted
    assert version.edges == (
        ("created_by_ref", IDENTITY),
        ("object_marking_refs", TLP_AMBER),
        ("object_marking_refs", MARK),
        ("marking_ref", MARK),
        ("marking_ref", MARK),
    )
    assert set(version.values) == {
        ("cve", "CVE-2021-44228"),
        ("md5", "a" * 32),
        ("domain-name", "bad.example"),
    }
    for word in ("ไทย", "seen  twice", "ransom", "cve-2021-44228", "bad.example"):
        assert word in version.text
    assert version.data == data


def test_times_in_whole_seconds_are_read_and_kept_as_they_came() -> None:
    # §3.2 asks writers for milliseconds; feeds in use do without.
    read_ = read(made("tool", created="2026-01-01T00:00:00Z", modified=AT))
    assert read_.created == instant("2026-01-01T00:00:00Z")
    assert b'"2026-01-01T00:00:00Z"' in read_.body


def test_an_observable_has_no_version() -> None:
    version = read(observable("domain-name", value="Bad.Example", created="whenever"))
    assert version.unversioned
    assert (version.created, version.modified, version.version) == (None, 0, "")
    assert version.values == (("domain-name", "bad.example"),)
    assert version.name == "Bad.Example"


def test_a_marking_definition_has_the_version_of_its_creation() -> None:
    version = read(
        made(
            "marking-definition",
            modified=None,
            definition_type="statement",
            definition={"statement": "Copyright ACME"},
        )
    )
    assert version.unversioned
    assert (version.modified, version.version) == (instant(AT), AT)
    assert "copyright acme" in version.text


def test_references_are_found_however_deep() -> None:
    version = read(
        made(
            "report",
            extensions={
                EXTENSION: {
                    "extension_type": "property-extension",
                    "steps": [[{"actor_ref": IDENTITY, "other_refs": [URL, 3, "k"]}]],
                }
            },
            x_note_ref="free text",
            x_many_refs=[URL, 5, "free"],
        )
    )
    assert version.edges == (
        ("object_refs", IDENTITY),
        ("actor_ref", IDENTITY),
        ("other_refs", URL),
        ("x_many_refs", URL),
    )


@pytest.mark.parametrize(
    ("data", "values"),
    [
        (
            observable("file", name="A.exe", hashes={"SHA-256": "AB" * 32}, size=5),
            {("file", "a.exe"), ("sha-256", "ab" * 32)},
        ),
        (
            observable("autonomous-system", number=64512),
            {("autonomous-system", "64512")},
        ),
        (
            observable(
                "x509-certificate", serial_number="01", hashes={"MD5": "0" * 32}
            ),
            {("x509-certificate", "01"), ("md5", "0" * 32)},
        ),
        (
            observable(
                "file",
                name="b",
                extensions={
                    "windows-pebinary-ext": {
                        "pe_type": "exe",
                        "sections": [{"name": "s", "hashes": {"SHA-1": "c" * 40}}],
                        "file_header_hashes": {"MD5": "d" * 32, "odd": "e1"},
                    }
                },
            ),
            {("file", "b"), ("sha-1", "c" * 40), ("md5", "d" * 32), ("odd", "e1")},
        ),
        (made("x-odd", x_hashes={"MD5": "f" * 32, "n": 3}), {("md5", "f" * 32)}),
    ],
)
def test_values_to_correlate_by_are_canonical(
    data: dict[str, Any], values: set[tuple[str, str]]
) -> None:
    assert set(read(data).values) == values


def test_words_are_found_in_nested_parts_and_unknown_types() -> None:
    version = read(
        made(
            "x-odd-thing",
            x_remark="Kelapa",
            x_parts=[{"description": "Nested", "aliases": ["Also", 3], "more": ["no"]}],
            x_numbers=[1, 2],
            x_words=["Listed"],
            number=3,
        )
    )
    assert "kelapa" in version.text
    assert "nested" in version.text
    assert "also" in version.text
    assert version.name == "3"


def test_translations_can_be_found() -> None:
    contents = {"km": {"name": "ភ្នំពេញ", "labels": ["ក", {"x": "ខ"}], "n": 3}}
    assert "ភ្នំពេញ" in read(made("language-content", contents=contents)).text


def test_patterns_of_other_languages_are_words() -> None:
    rule = "rule Silent_Banker { condition: true }"
    version = read(made("indicator", pattern=rule, pattern_type="yara"))
    assert version.values == ()
    assert "silent_banker" in version.text


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (made("relationship"), "related-to"),
        (made("sighting"), "sighting"),
        (made("tool", name="two\nlines" + "x" * 300), "two lines" + "x" * 191),
        (observable("file", hashes={"MD5": "0" * 32}), "0" * 32),
        (made("tool", name=""), "tool"),
    ],
)
def test_every_object_has_a_short_name_for_people(
    data: dict[str, Any], name: str
) -> None:
    assert read(data).name == name


def test_the_key_of_an_id_fits_a_signed_column() -> None:
    keys = [id_key(f"x--{n}") for n in range(64)]
    assert len(set(keys)) == 64
    assert min(keys) < 0 < max(keys)
    assert all(-(2**63) <= key < 2**63 for key in keys)


# --- What is refused


@pytest.mark.parametrize(
    ("data", "rule", "place"),
    [
        ([], "object", ""),
        ({}, "type", "/type"),
        ({"type": 3}, "type", "/type"),
        ({"type": "Upper"}, "type", "/type"),
        ({"type": "x"}, "type", "/type"),
        ({"type": "bundle", "id": "bundle--1"}, "type", "/type"),
        (made("tool", id=None), "id", "/id"),
        (made("tool", id=f"malware--{uuid.uuid4()}"), "id", "/id"),
        (made("tool", id="tool--1"), "id", "/id"),
        (made("tool", id="tool--" + "z" * 36), "schema", "/id"),
        (made("x-odd", id="x-odd--" + "z" * 36), "schema", "/id"),
        (made("tool", spec_version=None), "spec-version", "/spec_version"),
        (made("tool", spec_version="2.0"), "spec-version", "/spec_version"),
        (made("tool", spec_version="2.2"), "spec-version", "/spec_version"),
        (made("tool", name=3), "schema", "/name"),
        (made("tool", name=None), "schema", ""),
        (made("tool", x_none=None) | {"x_none": None}, "null", "/x_none"),
        (made("tool", x_none=[]), "empty-list", "/x_none"),
        (made("tool", X=1), "property-name", "/X"),
        (made("tool", x_key_hex="abc"), "encoded", "/x_key_hex"),
        (made("tool", x_key_bin="a"), "encoded", "/x_key_bin"),
        (made("tool", created="2026-02-30T00:00:00.000Z"), "time", "/created"),
        (made("tool", created="0000-02-03T00:00:00.000Z"), "time", "/created"),
        (made("tool", created="2026-01-01T00:00:00.123456789012Z"), "time", "/created"),
        (made("tool", modified="2026-04-01T00:00:00.1234567Z"), "time", "/modified"),
        (made("tool", modified="2026-01-01T00:00:00.000Z"), "time-order", "/modified"),
        (made("tool", created="2026-01-01T00:00Z"), "schema", "/created"),
        (made("tool", created="2026-01-01T00:00:00.000+07:00"), "schema", "/created"),
        (made("report", published="2026-02-30T00:00:00Z"), "time", "/published"),
        (made("indicator", valid_until=AT), "time-order", "/valid_until"),
        (
            made("campaign", first_seen=LATER, last_seen=AT),
            "time-order",
            "/last_seen",
        ),
        (
            made("relationship", start_time=AT, stop_time="2026-03-01T00:00:00Z"),
            "time-order",
            "/stop_time",
        ),
        (made("tool", created_by_ref=MARK), "reference", "/created_by_ref"),
        (
            made("tool", object_marking_refs=[IDENTITY]),
            "reference",
            "/object_marking_refs",
        ),
        (made("sighting", sighting_of_ref=URL), "reference", "/sighting_of_ref"),
        (made("relationship", source_ref=MARK), "schema", "/source_ref"),
        (made("observed-data", object_refs=[IDENTITY]), "schema", "/object_refs/0"),
        (observable("directory", path="/", contains_refs=["k"]), "schema", None),
        (
            observable("directory", path="/", contains_refs=[URL]),
            "reference",
            "/contains_refs",
        ),
        (
            observable(
                "email-message",
                is_multipart=True,
                body_multipart=[{"body_raw_ref": URL}],
            ),
            "reference",
            "/body_multipart/0/body_raw_ref",
        ),
        (
            observable(
                "file",
                name="a",
                extensions={"archive-ext": {"contains_refs": [URL]}},
            ),
            "reference",
            "/extensions/archive-ext/contains_refs",
        ),
        (
            observable(
                "file",
                name="a",
                extensions={
                    "windows-pebinary-ext": {
                        "pe_type": "exe",
                        "time_date_stamp": "2026-02-30T00:00:00Z",
                    }
                },
            ),
            "time",
            "/extensions/windows-pebinary-ext/time_date_stamp",
        ),
        (made("indicator", pattern="[file:name"), "pattern", "/pattern"),
        (made("indicator", pattern="x" * 64_001), "pattern_bytes", ""),
        (made("tool", lang="th_TH"), "language", "/lang"),
        (made("language-content", contents={"t": {}}), "language", "/contents/t"),
        (made("language-content", contents={"th": {}}), "language", "/contents/th"),
        (made("language-content", contents={"th": "x"}), "language", "/contents/th"),
    ],
    ids=lambda part: part.get("type") if isinstance(part, dict) else None,
)
def test_what_is_wrong_is_refused_with_its_rule_and_place(
    data: Any, rule: str, place: str | None
) -> None:
    refused = refusal(data)
    assert refused.rule == rule
    assert place is None or refused.place == place
    assert refused.got
    assert refused.expected
    assert len(str(refused)) < 400


def test_stix_2_0_is_told_what_to_do() -> None:
    assert "stix2-elevator" in str(refusal(made("tool", spec_version=None)))


def test_a_pattern_says_where_it_breaks() -> None:
    refused = refusal(made("indicator", pattern="[domain-name:value ~ 'a']"))
    assert "domain-name:value" in refused.got
    assert "at character" in refused.got
    assert not refused.expected.startswith("expected")


@pytest.mark.parametrize(
    ("marking", "rule", "place"),
    [
        ({"selectors": ["name"]}, "granular-marking", "/granular_markings/0"),
        (
            {"selectors": ["name"], "lang": "en", "marking_ref": MARK},
            "granular-marking",
            "/granular_markings/0",
        ),
        (
            {"selectors": ["name", "nome"], "marking_ref": MARK},
            "selector",
            "/granular_markings/0/selectors/1",
        ),
        (
            {"selectors": ["labels.[1]"], "marking_ref": MARK},
            "selector",
            "/granular_markings/0/selectors/0",
        ),
        ({"selectors": ["name"], "lang": "?"}, "language", "/granular_markings/0/lang"),
        ({"selectors": [], "lang": "en"}, "schema", "/granular_markings/0/selectors"),
    ],
)
def test_a_granular_marking_marks_one_thing_that_is_there(
    marking: dict[str, Any], rule: str, place: str
) -> None:
    refused = refusal(made("tool", labels=["a"], granular_markings=[marking]))
    assert (refused.rule, refused.place) == (rule, place)


@pytest.mark.parametrize(
    "marked",
    [
        {"object_marking_refs": [MARK]},
        {"granular_markings": [{"selectors": ["name"], "marking_ref": MARK}]},
    ],
)
def test_no_marking_marks_itself(marked: dict[str, Any]) -> None:
    data = made(
        "marking-definition",
        id=MARK,
        name="m",
        modified=None,
        definition_type="statement",
        definition={"statement": "s"},
        **marked,
    )
    assert refusal(data).rule == "circular-marking"


# --- What is kept although it is not understood


@pytest.mark.parametrize(
    "data",
    [
        made("x-mitre-tactic", name="t"),
        made("odd", x_any={"deep": [1, {"a": None}]}),
        {"type": "x-seen", "id": f"x-seen--{uuid.uuid4()}", "value": 3},
        {
            "type": "new-thing",
            "spec_version": "2.1",
            "id": f"new-thing--{uuid.uuid4()}",
            "created": "then",
            "extensions": {EXTENSION: {"extension_type": "new-sco"}},
        },
        made("new-thing", extensions={EXTENSION: {"extension_type": "new-sdo"}}),
        made("tool", extensions={EXTENSION: {"extension_type": "property-extension"}}),
        made(
            "tool",
            rank=5,
            extensions={EXTENSION: {"extension_type": "toplevel-property-extension"}},
        ),
        observable("url", value="http://a.example", external_references=["odd", {}]),
        observable(
            "url",
            value="http://a.example",
            external_references=[{"external_id": 3, "hashes": 4}],
        ),
        made("tool", x_hashes="text", x_refs="text", x_time="text"),
    ],
)
def test_unknown_types_properties_and_extensions_are_admitted(
    data: dict[str, Any],
) -> None:
    assert json.loads(read(data).body) == data


def test_an_unknown_type_without_times_is_an_observable_and_with_some_is_not() -> None:
    loose = {"type": "x-seen", "id": f"x-seen--{uuid.uuid4()}", "modified": AT}
    assert refusal(loose).place in {"", "/created"}


def test_a_leap_second_is_a_time() -> None:
    leap = read(made("tool", created="2016-12-31T23:59:60.000Z"))
    assert leap.created == instant("2016-12-31T23:59:59.999999Z")


def test_nanoseconds_are_kept_in_text() -> None:
    fine = "2026-03-01T00:00:00.123456789Z"
    assert fine.encode() in read(made("tool", created=fine, modified=LATER)).body


def test_meanings_that_are_not_kept_are_looked_up_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("serantau.rules.facts._KEPT", 0)
    reader = Reader(Limits(), SCHEMAS)
    raw = json.dumps(made("tool", x_a_ref=IDENTITY)).encode()
    assert reader.read(raw).edges == reader.read(raw).edges == (("x_a_ref", IDENTITY),)


# --- Real data, and made-up data


def test_every_real_object_is_admitted_as_it_came(corpora: Path) -> None:
    count = 0
    for path in sorted((corpora / "stix").iterdir()):
        if path.suffix not in {".gz", ".stix2", ".json"}:
            continue
        raw = path.read_bytes()
        text = gzip.decompress(raw) if path.suffix == ".gz" else raw
        for data in json.loads(text)["objects"]:
            version = READER.read(json.dumps(data, indent=1).encode())
            assert json.loads(version.body) == data
            count += 1
    assert count > 4000


_NAMES = st.sampled_from(
    [
        *(
            "type",
            "id",
            "spec_version",
            "created",
            "modified",
            "created_by_ref",
            "name",
        ),
        *("object_marking_refs", "granular_markings", "external_references", "lang"),
        *("extensions", "hashes", "pattern", "contents", "object_refs", "labels"),
        *("value", "x_any_hex", "x_some_refs", "revoked", "valid_until", "aliases"),
    ]
)
_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from([AT, LATER, IDENTITY, MARK, URL, "th", "2.1", "MD5"])
)
_ANY = st.recursive(
    _LEAVES,
    lambda inside: (
        st.lists(inside, max_size=3)
        | st.dictionaries(_NAMES | st.text(max_size=6), inside, max_size=3)
    ),
    max_leaves=8,
)


@pytest.mark.fuzz
@given(
    st.sampled_from([*NEEDED, "x-odd", "url", "file", "marking-definition"]),
    st.dictionaries(_NAMES, _ANY, max_size=4),
)
def test_anything_is_read_or_refused_and_nothing_breaks(
    kind: str, spoilt: dict[str, Any]
) -> None:
    data = made(kind) | spoilt
    try:
        version = read(data)
    except Refused:
        return
    assert json.loads(version.body) == data
    again = READER.read(version.body)
    assert again == version
