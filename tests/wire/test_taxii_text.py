"""What TAXII 2.1 says, read and written."""

import json
from dataclasses import dataclass
from urllib.parse import quote, urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from serantau.clock import instant
from serantau.errors import (
    BadRequest,
    NotAcceptable,
    TooLarge,
    UnsupportedMedia,
)
from serantau.wire import taxii

ID = "indicator--11111111-2222-4333-8444-555555555555"
OTHER = "malware--11111111-2222-4333-8444-666666666666"
NOON = "2026-01-31T12:00:00.000000Z"


def read(match: frozenset[str] = taxii.MATCH_OBJECTS, /, **given: str) -> taxii.Query:
    named = {
        name.replace("match_", "match[") + "]" * name.startswith("match_"): value
        for name, value in given.items()
    }
    return taxii.read_query(urlencode(named).encode(), match)


@dataclass
class Row:
    id: str = ID
    added: int = instant(NOON)
    version: str = "2026-01-01T00:00:00.000Z"
    object: int = instant(NOON)


@pytest.mark.parametrize(
    "accept",
    [
        None,
        "",
        "application/taxii+json;version=2.1",
        "application/taxii+json; version=2.1",
        "application/taxii+json",
        "Application/TAXII+JSON;Version=2.1",
        'application/taxii+json;version="2.1"',
        "application/taxii+json;version=2.1;q=0.5, application/json;q=0.1",
        "text/html, application/*;q=0.1",
        "*/*",
        "application/taxii+json;version=2.0, application/taxii+json;version=2.1",
        "application/taxii+json;q=often",
    ],
)
def test_a_defined_media_type_is_never_refused(accept: str | None) -> None:
    taxii.check_accept(accept)


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "application/json",
        "application/vnd.oasis.taxii+json; version=2.0",
        "application/taxii+json;version=9.9",
        "application/taxii+json;version=2.1;q=0",
        ",",
        "x" * 10_000,
    ],
)
def test_another_media_type_is_refused_and_the_right_one_named(accept: str) -> None:
    with pytest.raises(NotAcceptable, match="taxii") as refused:
        taxii.check_accept(accept)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    "kind",
    [
        "application/taxii+json",
        "application/taxii+json;version=2.1",
        "application/taxii+json; version=2.1; charset=UTF-8",
    ],
)
def test_a_taxii_body_may_be_sent(kind: str) -> None:
    taxii.check_content_type(kind)


@pytest.mark.parametrize(
    "kind",
    [
        None,
        "",
        "application/json",
        "application/taxii+json;version=2.0",
        "application/taxii+json;charset=utf-16",
    ],
)
def test_another_body_is_refused(kind: str | None) -> None:
    with pytest.raises(UnsupportedMedia):
        taxii.check_content_type(kind)


def test_nothing_asked_means_the_last_versions_of_everything() -> None:
    query = taxii.read_query(b"", taxii.MATCH_OBJECTS)
    assert query == taxii.Query()
    assert query.last
    assert query.after < 0
    assert not query.nothing


def test_commas_are_or_and_fields_are_kept_apart() -> None:
    query = read(match_id=f"{ID},{OTHER},{ID}", match_type="indicator,malware")
    assert query.ids == (ID, OTHER)
    assert query.types == ("indicator", "malware")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("last", {"last": True}),
        ("first", {"last": False, "first": True}),
        ("first,last", {"last": True, "first": True}),
        ("all", {"last": False, "all_versions": True}),
        (NOON, {"last": False, "at": (instant(NOON),)}),
        (f"last,{NOON}", {"last": True, "at": (instant(NOON),)}),
    ],
)
def test_versions_combine_as_the_standard_says(
    text: str, expected: dict[str, object]
) -> None:
    query = read(match_version=text)
    assert query.versioned
    assert {name: getattr(query, name) for name in expected} == expected


def test_one_instant_written_twice_is_one_version() -> None:
    query = read(match_version="2026-01-31T12:00:00Z,2026-01-31T12:00:00.000Z")
    assert len(query.at) == 1


def test_another_spec_version_matches_nothing() -> None:
    assert read(match_spec_version="2.0").nothing
    assert not read(match_spec_version="2.1").nothing
    assert not read(match_spec_version="2.0,2.1").nothing


def test_next_and_added_after_hold_both() -> None:
    earlier, later = instant(NOON), instant(NOON) + 5
    assert read(next=taxii.write_next(later), added_after=NOON).after == later
    late = "2026-01-31T12:00:00.000009Z"
    assert read(next=taxii.write_next(earlier), added_after=late).after == instant(late)


def test_a_time_before_the_epoch_is_before_everything() -> None:
    assert read(added_after="1066-10-14T09:00:00Z").after == -1


def test_a_limit_larger_than_any_page_is_no_error() -> None:
    limit = read(limit="9" * 60).limit
    assert limit is not None
    assert limit > 10**18


def test_parameters_of_others_are_left_alone() -> None:
    assert taxii.read_query(b"utm_source=x&utm_source=y", taxii.MATCH_OBJECTS) == (
        taxii.Query()
    )


@pytest.mark.parametrize(
    "raw",
    [
        "limit=0",
        "limit=-1",
        "limit=abc",
        "limit=1.5",
        "limit=",
        "limit=%2B5",
        "limit=+5",
        f"limit={quote('٣')}",
        "limit=" + "9" * 5000,
        "limit=5&limit=5",
        "added_after=garbage",
        "added_after=",
        "added_after=2024-13-45T00:00:00.000000Z",
        "added_after=0000-01-01T00:00:00Z",
        "added_after=2024-01-01T00:00:00",
        "added_after=2024-01-01",
        f"added_after={NOON}&added_after={NOON}",
        f"added_after={quote('٢٠٢٤-01-01T00:00:00Z')}",
        "next=no-such-token",
        "next=",
        "next=AAAA",
        "next=" + "A" * 16,
        f"next={quote('é')}",
        "next=" + taxii.write_next(5)[:-1],
        "next=" + taxii.write_next(5) + "AAAA",
        "match[foo]=x",
        "match[]=x",
        "match=x",
        "match[id=x",
        "match[type]=",
        "match[type]=indicator,",
        "match[type]=a b",
        "match[type]=" + "a" * 251,
        "match[id]=indicator",
        "match[id]=indicator--5",
        f"match[id]={ID}%00",
        f"match[id]={ID}&match[id]={ID}",
        "match[version]=garbage",
        "match[version]=",
        "match[version]=last,",
        "match[version]=all,last",
        "match[version]=LAST",
        "match[spec_version]=two",
        "match[spec_version]=",
        "limit=%ff",
        "match[type]=" + ",".join(["a"] * 1001),
        "match[version]=" + ",".join(["last"] * 1001),
        "&".join(f"p{n}=1" for n in range(100)),
    ],
)
def test_a_malformed_parameter_is_a_bad_request(raw: str) -> None:
    with pytest.raises(BadRequest) as refused:
        taxii.read_query(raw, taxii.MATCH_OBJECTS)
    assert len(str(refused.value)) < 400


def test_a_match_field_of_another_endpoint_is_a_bad_request() -> None:
    with pytest.raises(BadRequest, match="version"):
        taxii.read_query(b"match[version]=all", taxii.MATCH_VERSIONS)
    with pytest.raises(BadRequest, match="spec_version"):
        taxii.read_query(f"match[id]={ID}".encode(), taxii.MATCH_OBJECT)


def test_bytes_beyond_ascii_are_a_bad_request() -> None:
    with pytest.raises(BadRequest):
        taxii.read_query(b"limit=\xff", taxii.MATCH_OBJECTS)


_PIECES = st.sampled_from(
    [
        "match[", "]", "=", "&", ",", "%00", "%", "+", ";", "--", "id", "type",
        "version", "spec_version", "limit", "next", "added_after", "all", "last",
        "first", "2.1",
        NOON, "9999-12-31T23:59:59.999999-23:59", "0001-01-01T00:00:00+23:59", ID,
        taxii.write_next(5), "0", "99999999999999999999999",
    ]
)  # fmt: skip


@pytest.mark.fuzz
@given(
    st.one_of(
        st.binary(max_size=200),
        st.lists(_PIECES | st.text(max_size=6), max_size=12).map(
            lambda pieces: "".join(pieces).encode("utf-8", "replace")
        ),
        st.dictionaries(
            st.sampled_from(
                [f"match[{name}]" for name in taxii.MATCH_OBJECTS]
                + ["limit", "next", "added_after"]
            ),
            st.text(max_size=40),
        ).map(lambda named: urlencode(named).encode()),
    )
)
@example(b"added_after=9999-12-31T23:59:59-23:59")
@example(b"added_after=0001-01-01T00:00:00%2B23:59")
def test_no_query_string_does_more_than_be_refused(raw: bytes) -> None:
    try:
        query = taxii.read_query(raw, taxii.MATCH_OBJECTS)
    except BadRequest:
        return
    assert -1 <= query.after < 2**63
    assert query.limit is None or 0 < query.limit < 2**63
    assert all(taxii.is_object_id(each) for each in query.ids)
    assert all(abs(each) < 2**63 for each in query.at)


@given(st.integers(min_value=0, max_value=2**63 - 1))
def test_next_goes_on_where_it_was_given(stamp: int) -> None:
    token = taxii.write_next(stamp)
    assert taxii.read_next(token) == stamp
    assert quote(token, safe="") == token.replace("=", "%3D")


@given(st.text(max_size=40))
def test_a_made_up_next_is_refused(text: str) -> None:
    try:
        stamp = taxii.read_next(text)
    except BadRequest:
        return
    assert text == taxii.write_next(stamp)


def test_an_empty_envelope_has_no_objects() -> None:
    assert taxii.envelope(b"", after=None) == b"{}"


def test_an_empty_envelope_may_say_where_to_go_on() -> None:
    told = json.loads(taxii.envelope(b"", after=7))
    assert (told.pop("more"), taxii.read_next(told.pop("next"))) == (True, 7)
    assert not told


def test_an_envelope_holds_the_bodies_byte_for_byte() -> None:
    body = taxii.envelope(b'{"a":1.50},{"b":2}', after=7)
    assert body.endswith(b'"objects":[{"a":1.50},{"b":2}]}')
    told = json.loads(body)
    assert told["more"] is True
    assert taxii.read_next(told["next"]) == 7
    assert "more" not in json.loads(taxii.envelope(b"{}", after=None))


def test_a_manifest_tells_version_and_date_added() -> None:
    told = json.loads(taxii.manifest([Row(), Row(version="")], after=None))
    assert told["objects"][0] == {
        "id": ID,
        "date_added": NOON,
        "version": "2026-01-01T00:00:00.000Z",
        "media_type": "application/stix+json;version=2.1",
    }
    # Without modified and created, a version is a time that does not change.
    assert told["objects"][1]["version"] == NOON


def test_lists_are_left_out_when_empty() -> None:
    assert taxii.manifest([], after=None) == b"{}"
    assert taxii.versions([], after=None) == b"{}"
    assert taxii.collections([]) == b"{}"
    assert b"failures" not in taxii.status({"id": "x", "failures": []})


def test_a_longer_list_of_versions_says_where_to_go_on() -> None:
    told = json.loads(taxii.versions([Row(added=9)], after=9))
    assert told["more"] is True
    assert taxii.read_next(told["next"]) == 9


def test_an_error_writes_its_status_as_text() -> None:
    told = json.loads(taxii.error("Title.", "", 404, "abc"))
    assert told == {"title": "Title.", "error_id": "abc", "http_status": "404"}


def test_the_api_root_is_told_by_https_or_by_path_only() -> None:
    for base, root in (
        ("", taxii.API_ROOT),
        ("http://node.example", taxii.API_ROOT),
        ("https://node.example/", "https://node.example" + taxii.API_ROOT),
    ):
        told = json.loads(taxii.discovery("t", "d", base))
        assert told["api_roots"] == [root]
        assert told["default"] == root


@pytest.mark.parametrize("text", ["-1", "1.0", "", "٣", "0x10", " 5", "5, 5"])
def test_a_content_length_that_is_no_number_is_a_bad_request(text: str) -> None:
    with pytest.raises(BadRequest):
        taxii.content_length(text, 100)


def test_a_content_length_over_the_limit_names_the_limit() -> None:
    assert taxii.content_length("100", 100) == 100
    assert taxii.content_length(None, 100) is None
    for text in ("101", "9" * 50):
        with pytest.raises(TooLarge, match=r"limits\.post_bytes"):
            taxii.content_length(text, 100)


def test_dates_are_told_only_of_pages_that_hold_something() -> None:
    assert taxii.date_headers(0, 0) == {}
    assert taxii.date_headers(instant(NOON), instant(NOON)) == {
        "X-TAXII-Date-Added-First": NOON,
        "X-TAXII-Date-Added-Last": NOON,
    }
