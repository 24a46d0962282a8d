"""What the TAXII 2.1 standard says of a server, claim by claim."""

import gzip
import json
import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from doors import MADE, RED, Site, basic, indicator
from serantau.config import LimitsSection, NodeConfig
from serantau.wire.taxii import API_ROOT, DISCOVERY, MEDIA_TYPE

pytestmark = pytest.mark.no_cover

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
FIRST, LAST = "X-TAXII-Date-Added-First", "X-TAXII-Date-Added-Last"


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [held["id"] for held in answer.json().get("objects", [])]


def mods(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [held["modified"] for held in answer.json().get("objects", [])]


@pytest.fixture
def filled(site: Site) -> Site:
    """Seven indicators, two relationships: nine objects in `box`."""
    made = [indicator(number) for number in range(1, 8)]
    links = [
        {
            "type": "relationship",
            "spec_version": "2.1",
            "id": f"relationship--{uuid.uuid4()}",
            "created": MADE,
            "modified": MADE,
            "relationship_type": "related-to",
            "source_ref": made[number]["id"],
            "target_ref": made[number + 1]["id"],
            "object_marking_refs": made[0]["object_marking_refs"],
        }
        for number in range(2)
    ]
    for objects in (made[:4], links, made[4:]):
        answer = site.post(objects)
        assert answer.json()["failure_count"] == 0, answer.text
    return site


def paths(site: Site) -> dict[str, str]:
    some = f"objects/{indicator(1)['id']}/"
    return {
        "discovery": DISCOVERY,
        "root": API_ROOT,
        "collections": f"{API_ROOT}collections/",
        "collection": site.path("box"),
        "objects": site.path("box", "objects/"),
        "object": site.path("box", some),
        "versions": site.path("box", f"{some}versions/"),
        "manifest": site.path("box", "manifest/"),
        "status": f"{API_ROOT}status/{uuid.uuid4()}/",
    }


def test_discovery_names_the_api_root(site: Site) -> None:
    told = site.get(DISCOVERY).json()
    assert told["api_roots"] == [API_ROOT]
    assert told["default"] == API_ROOT
    assert told["title"]


def test_the_api_root_tells_version_limit_member_and_realm(site: Site) -> None:
    told = site.get(API_ROOT).json()
    assert told["versions"] == [MEDIA_TYPE]
    assert told["max_content_length"] == site.node.config.limits.post_bytes
    assert told["x_serantau_member"] == "th"
    assert told["x_serantau_realm"] == "exercise:reef"


def test_every_answer_is_taxii_and_tells_the_realm(filled: Site) -> None:
    asked = [
        *(filled.get(path) for path in paths(filled).values()),
        filled.get("/taxii2/no/such/path/"),
        filled.get(f"/taxii2/{uuid.uuid4()}/"),
        filled.client.get(DISCOVERY),
        filled.client.put(DISCOVERY, headers=basic("wei")),
        filled.client.request("BREW", API_ROOT, headers=basic("wei")),
        filled.get(filled.path("box", "objects/"), params={"limit": "0"}),
        filled.get(DISCOVERY, headers={"Accept": "text/html"}),
        filled.post(b"{"),
        filled.post([]),
        filled.delete(filled.path("wo", f"objects/{indicator(1)['id']}/")),
    ]
    for answer in asked:
        assert answer.headers["content-type"] == MEDIA_TYPE, answer.request.url
        assert answer.headers["serantau-realm"] == "exercise:reef"
        if answer.status_code >= 400:
            told = answer.json()
            assert told["title"]
            assert told["http_status"] == str(answer.status_code)
            assert told["error_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "BREW"])
def test_an_undefined_method_is_405_and_says_which_are_allowed(
    site: Site, method: str
) -> None:
    answer = site.client.request(
        method, f"{API_ROOT}collections/", headers=basic("wei")
    )
    assert answer.status_code == 405
    assert "GET" in answer.headers["allow"]


def test_nobody_comes_in_unknown(filled: Site) -> None:
    for name, path in paths(filled).items():
        answer = filled.client.get(path)
        assert answer.status_code == 401, name
        assert answer.headers["www-authenticate"].startswith("Basic realm=")
        assert "Bearer" in answer.headers["www-authenticate"]
    for method in ("POST", "DELETE"):
        path = filled.path(
            "box", f"objects/{indicator(1)['id']}/"[: 8 if method == "POST" else None]
        )
        assert filled.client.request(method, path).status_code == 401


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        (MEDIA_TYPE, 200),
        ("application/taxii+json", 200),
        ("application/taxii+json; version=2.1", 200),
        ("application/taxii+json;version=2.1;q=0.9, application/json;q=0.5", 200),
        ("application/*", 200),
        ("*/*", 200),
        ("application/taxii+json;version=9.9", 406),
        ("application/xml", 406),
    ],
)
def test_a_defined_media_type_is_served_and_another_is_406(
    site: Site, accept: str, status: int
) -> None:
    for name, path in paths(site).items():
        answer = site.get(path, headers={"Accept": accept})
        expected = (
            404
            if status == 200 and name in {"object", "versions", "status"}
            else status
        )
        assert answer.status_code == expected, name


def test_collections_tell_rights_and_keep_their_order(site: Site) -> None:
    first = site.get(f"{API_ROOT}collections/").json()["collections"]
    assert [held["alias"] for held in first] == ["whole", "box", "ro", "wo"]
    assert [(held["can_read"], held["can_write"]) for held in first] == [
        (True, False),
        (True, True),
        (True, False),
        (False, True),
    ]
    for held in first:
        assert uuid.UUID(held["id"]).version == 4
        assert site.get(f"{API_ROOT}collections/{held['id']}/").json() == held
        assert site.get(f"{API_ROOT}collections/{held['alias']}/").json() == held


def test_a_reader_may_write_nowhere(site: Site) -> None:
    held = site.get(f"{API_ROOT}collections/", "lim").json()["collections"]
    assert [each["can_write"] for each in held] == [False, False, False]
    assert site.post([indicator(1)], user="lim").status_code == 403


def test_what_a_caller_may_not_know_is_404_and_what_it_may_not_read_403(
    filled: Site,
) -> None:
    some = f"objects/{indicator(1)['id']}/"
    for rest in ("", "objects/", "manifest/", some, f"{some}versions/"):
        assert filled.get(filled.path("hidden", rest)).status_code == 404
        assert (
            filled.get(f"{API_ROOT}collections/{uuid.uuid4()}/{rest}").status_code
            == 404
        )
        assert filled.get(f"{API_ROOT}collections/a%00b/{rest}").status_code == 404
        if rest:
            assert filled.get(filled.path("wo", rest)).status_code == 403
    assert filled.post([], "hidden").status_code == 404
    assert filled.post([], "ro").status_code == 403


def test_an_empty_collection_has_neither_objects_nor_dates(site: Site) -> None:
    for rest in ("objects/", "manifest/"):
        answer = site.get(site.path("box", rest))
        assert answer.json() == {}
        assert FIRST not in answer.headers


def test_what_was_posted_comes_back_the_same(site: Site) -> None:
    made = indicator(1, description="naïve ユニコード 😀", x_extra={"k": [1.5, None]})
    assert site.post([made]).status_code == 202
    answer = site.get(site.path("box", "objects/"))
    assert answer.json() == {"objects": [made]}
    assert TIME.fullmatch(answer.headers[FIRST])
    assert answer.headers[FIRST] == answer.headers[LAST]


def test_a_status_adds_up_and_can_be_asked_for_again(site: Site) -> None:
    bad = {"type": "indicator", "id": "indicator--x"}
    answer = site.post([indicator(1), bad])
    told = answer.json()
    assert answer.status_code == 202
    assert uuid.UUID(told["id"]).version == 4
    assert told["status"] == "complete"
    assert TIME.fullmatch(told["request_timestamp"])
    assert (told["total_count"], told["success_count"]) == (2, 1)
    assert (told["failure_count"], told["pending_count"]) == (1, 0)
    assert told["successes"][0]["id"] == indicator(1)["id"]
    assert told["successes"][0]["version"] == MADE
    assert [] not in told.values()
    assert site.get(f"{API_ROOT}status/{told['id']}/").json() == told


def test_a_status_is_for_the_party_that_caused_it(site: Site) -> None:
    status_id = site.post([indicator(1)]).json()["id"]
    path = f"{API_ROOT}status/{status_id}/"
    assert site.get(path, "lim").status_code == 200
    assert site.get(path, "budi").status_code == 404
    assert site.get(f"{API_ROOT}status/{uuid.uuid4()}/").status_code == 404
    assert site.get(f"{API_ROOT}status/not-a-uuid/").status_code == 404


def test_an_exact_duplicate_is_a_success_and_stored_once(site: Site) -> None:
    for objects in ([indicator(1)], [indicator(1)], [indicator(1), indicator(1)]):
        assert site.post(objects).json()["failure_count"] == 0
    everything = {"match[version]": "all"}
    assert len(ids(site.get(site.path("box", "objects/"), params=everything))) == 1


@pytest.mark.parametrize(
    "body",
    [
        b'{"objects": [',
        b"[]",
        b'{"objects": 5}',
        b'{"objects": [{"type": "\xff"}]}',
        b'{"objects": [' + b"[" * 20_000,
        b"",
        b"\xff\xfe{\x00}\x00",
    ],
)
def test_a_body_that_is_no_envelope_is_refused(site: Site, body: bytes) -> None:
    answer = site.post(body)
    assert answer.status_code == 422
    assert answer.json()["description"]


def test_objects_that_are_no_json_fail_one_by_one(site: Site) -> None:
    whole = json.dumps(indicator(1)).encode()
    answer = site.post(b'{"objects": [NaN, 5, null, ' + whole + b"]}")
    assert answer.status_code == 202
    told = answer.json()
    assert (told["success_count"], told["failure_count"]) == (1, 3)


def test_another_content_type_is_415(site: Site) -> None:
    for kind in ("application/xml", "application/json", "text/plain"):
        answer = site.post([indicator(1)], **{"Content-Type": kind})
        assert answer.status_code == 415
    answer = site.post([indicator(1)], **{"Content-Type": "application/taxii+json"})
    assert answer.status_code == 202


@pytest.fixture
def small(open_site: Callable[[NodeConfig], Site], config: NodeConfig) -> Site:
    """A node that takes at most 10 kB at once."""
    limits = LimitsSection(post_bytes=10_000)
    return open_site(msgspec.structs.replace(config, limits=limits))


def test_a_body_over_the_limit_is_413_and_the_limit_is_named(small: Site) -> None:
    answer = small.post(b'{"objects": []}' + b" " * 10_000)
    assert answer.status_code == 413
    assert "limits.post_bytes" in answer.json()["description"]


def test_a_body_of_unknown_length_is_stopped_at_the_limit(small: Site) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * 1000

    answer = small.client.post(
        small.path("box", "objects/"),
        content=endless(),
        headers={"Content-Type": MEDIA_TYPE, **basic("wei")},
    )
    assert answer.status_code == 413


def test_a_gzip_body_is_taken_and_a_bomb_is_not(small: Site) -> None:
    packed = gzip.compress(json.dumps({"objects": [indicator(1)]}).encode())
    assert small.post(packed, **{"Content-Encoding": "gzip"}).status_code == 202
    halves = gzip.compress(b'{"objects":') + gzip.compress(b" []}")
    assert small.post(halves, **{"Content-Encoding": "gzip"}).status_code == 202
    bomb = gzip.compress(b" " * 5_000_000)
    assert len(bomb) < 10_000
    assert small.post(bomb, **{"Content-Encoding": "gzip"}).status_code == 413


def test_broken_gzip_is_refused_in_words(small: Site) -> None:
    packed = gzip.compress(json.dumps({"objects": [indicator(1)]}).encode())
    for body in (packed[:-9], packed + b"rest", b"plain"):
        answer = small.post(body, **{"Content-Encoding": "gzip"})
        assert answer.status_code == 422
        assert "gzip" in answer.json()["description"]
    assert small.post(b"x", **{"Content-Encoding": "br"}).status_code == 415


def test_answers_are_packed_when_that_is_taken_and_worth_it(filled: Site) -> None:
    path = filled.path("box", "objects/")
    packed = filled.get(path, headers={"Accept-Encoding": "br;q=0.5, gzip"})
    plain = filled.get(path, headers={"Accept-Encoding": "gzip;q=0, identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"])
    assert "content-encoding" not in plain.headers
    assert packed.json() == plain.json()
    assert "Accept-Encoding" in plain.headers["vary"]
    short = filled.get(DISCOVERY, headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in short.headers


def test_filters_are_or_within_and_and_between(filled: Site) -> None:
    path = filled.path("box", "objects/")
    one, two = indicator(1)["id"], indicator(2)["id"]
    links = ids(filled.get(path, params={"match[type]": "relationship"}))
    assert len(links) == 2
    both = {"match[type]": "relationship,indicator"}
    assert len(ids(filled.get(path, params=both))) == 9
    assert ids(filled.get(path, params={"match[id]": f"{two},{one}"})) == [one, two]
    crossed = {"match[id]": one, "match[type]": "relationship"}
    assert filled.get(path, params=crossed).json() == {}
    assert filled.get(path, params={"match[type]": "malware-analysis"}).json() == {}
    assert filled.get(path, params={"match[spec_version]": "2.0"}).json() == {}
    assert len(ids(filled.get(path, params={"match[spec_version]": "2.1"}))) == 9


@pytest.mark.parametrize("what", ["objects/", "manifest/"])
def test_pages_by_next_hold_everything_once_and_again_the_same(
    filled: Site, what: str
) -> None:
    path = filled.path("box", what)
    whole = ids(filled.get(path))
    seen: list[str] = []
    params = {"limit": "4"}
    for _ in range(3):
        answer = filled.get(path, params=params)
        assert ids(filled.get(path, params=params)) == ids(answer)
        seen += ids(answer)
        told = answer.json()
        if not told.get("more"):
            break
        params["next"] = told["next"]
    assert seen == whole
    assert "next" not in told


def test_pages_by_added_after_hold_everything_once(filled: Site) -> None:
    path = filled.path("box", "objects/")
    whole = ids(filled.get(path))
    seen: list[str] = []
    params = {"limit": "2"}
    while True:
        answer = filled.get(path, params=params)
        if not ids(answer):
            break
        seen += ids(answer)
        params["added_after"] = answer.headers[LAST]
    assert seen == whole


def test_a_page_that_ends_with_the_last_object_is_the_last(filled: Site) -> None:
    answer = filled.get(filled.path("box", "objects/"), params={"limit": "9"})
    assert len(ids(answer)) == 9
    assert "more" not in answer.json()


def test_the_servers_page_limit_holds_whatever_is_asked(
    open_site: Callable[[NodeConfig], Site], config: NodeConfig
) -> None:
    site = open_site(msgspec.structs.replace(config, limits=LimitsSection(page=2)))
    site.post([indicator(number) for number in range(1, 4)])
    for limit in ({}, {"limit": "9" * 40}):
        answer = site.get(site.path("box", "objects/"), params=limit)
        assert len(ids(answer)) == 2
        assert answer.json()["more"] is True


def test_dates_of_a_page_are_those_of_its_manifest(filled: Site) -> None:
    answer = filled.get(filled.path("box", "manifest/"))
    dates = [held["date_added"] for held in answer.json()["objects"]]
    assert dates == sorted(set(dates))
    assert all(TIME.fullmatch(date) for date in dates)
    assert (answer.headers[FIRST], answer.headers[LAST]) == (dates[0], dates[-1])
    objects = filled.get(filled.path("box", "objects/"))
    assert (objects.headers[FIRST], objects.headers[LAST]) == (dates[0], dates[-1])
    assert ids(objects) == ids(answer)


def test_what_is_added_while_someone_pages_comes_at_the_end(filled: Site) -> None:
    path = filled.path("box", "objects/")
    answer = filled.get(path, params={"limit": "5"})
    seen = ids(answer)
    filled.post([indicator(8)])
    while answer.json().get("more"):
        params = {"limit": "5", "next": answer.json()["next"]}
        answer = filled.get(path, params=params)
        seen += ids(answer)
    assert len(seen) == len(set(seen)) == 10
    assert seen[-1] == indicator(8)["id"]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=-1",
        "limit=abc",
        "limit=1.5",
        "limit=",
        "limit=1&limit=1",
        "added_after=garbage",
        "added_after=2024-13-45T00:00:00.000000Z",
        "added_after=2020-01-01T00:00:00Z&added_after=2020-01-01T00:00:00Z",
        "next=no-such-token",
        "match[version]=garbage",
        "match[version]=all,last",
        "match[foo]=x",
        "match[type]=%00",
        "match[id]=%ff",
    ],
)
def test_a_malformed_parameter_is_400(filled: Site, query: str) -> None:
    for rest in ("objects/", "manifest/"):
        answer = filled.get(f"{filled.path('box', rest)}?{query}")
        assert answer.status_code == 400, answer.text


@pytest.fixture
def versioned(site: Site) -> tuple[Site, list[str]]:
    """One indicator, its second version added first, then the first, then the third."""
    stamps = [f"2026-02-0{day}T00:00:00.000Z" for day in (2, 1, 3)]
    for stamp in stamps:
        made = indicator(1, created="2026-02-01T00:00:00.000Z", modified=stamp)
        assert site.post([made]).json()["success_count"] == 1
    return site, stamps


def test_versions_are_chosen_as_asked(versioned: tuple[Site, list[str]]) -> None:
    site, (second, first, third) = versioned
    one = indicator(1)["id"]
    for path, base in (
        (site.path("box", "objects/"), {"match[id]": one}),
        (site.path("box", f"objects/{one}/"), {}),
    ):
        for asked, expected in (
            ({}, [third]),
            ({"match[version]": "last"}, [third]),
            ({"match[version]": "first"}, [first]),
            ({"match[version]": "all"}, [second, first, third]),
            ({"match[version]": "first,last"}, [first, third]),
            ({"match[version]": second}, [second]),
            ({"match[version]": f"{second},last"}, [second, third]),
        ):
            assert mods(site.get(path, params={**base, **asked})) == expected
    absent = {"match[version]": "2001-01-01T00:00:00.000Z"}
    assert site.get(site.path("box", "objects/"), params=absent).json() == {}
    answer = site.get(site.path("box", f"objects/{one}/"), params=absent)
    assert answer.status_code == 404


def test_versions_and_manifest_name_versions_as_they_were_written(
    versioned: tuple[Site, list[str]],
) -> None:
    site, stamps = versioned
    answer = site.get(site.path("box", f"objects/{indicator(1)['id']}/versions/"))
    assert answer.json() == {"versions": stamps}
    assert TIME.fullmatch(answer.headers[LAST])
    everything = {"match[version]": "all"}
    told = site.get(site.path("box", "manifest/"), params=everything).json()["objects"]
    assert [held["version"] for held in told] == stamps
    last = site.get(site.path("box", "manifest/")).json()["objects"]
    assert [held["version"] for held in last] == [stamps[2]]


def test_an_unknown_object_is_404(site: Site) -> None:
    for name in (f"indicator--{uuid.uuid4()}", "indicator--x", "%00", "x" * 5000):
        for rest in ("", "versions/"):
            path = site.path("box", f"objects/{name}/{rest}")
            assert site.get(path).status_code == 404, path
        assert site.delete(site.path("box", f"objects/{name}/")).status_code == 404


def test_deleting_takes_one_version_or_all(versioned: tuple[Site, list[str]]) -> None:
    site, (second, first, third) = versioned
    path = site.path("box", f"objects/{indicator(1)['id']}/")
    everything = {"match[version]": "all"}
    assert site.delete(path, params={"match[version]": second}).status_code == 200
    assert mods(site.get(path, params=everything)) == [first, third]
    assert site.delete(path).status_code == 200
    assert site.get(path, params=everything).status_code == 404
    assert site.get(site.path("box", "manifest/"), params=everything).json() == {}
    assert site.delete(path).status_code == 404


def test_deleting_takes_both_rights(filled: Site) -> None:
    some = f"objects/{indicator(1)['id']}/"
    assert filled.delete(filled.path("ro", some)).status_code == 403
    assert filled.delete(filled.path("wo", some)).status_code == 403
    assert filled.delete(filled.path("hidden", some)).status_code == 404
    assert filled.delete(filled.path("box", some), "lim").status_code == 403


def test_a_write_only_collection_takes_and_gives_its_status(site: Site) -> None:
    told = site.post([indicator(1)], "wo").json()
    assert told["failure_count"] == 0
    assert site.get(f"{API_ROOT}status/{told['id']}/").status_code == 200


def test_a_caller_sees_its_own_release_only(site: Site) -> None:
    red = indicator(2, object_marking_refs=[RED])
    unmarked = indicator(3)
    del unmarked["object_marking_refs"]
    site.post([indicator(1), red, unmarked], user="boss")
    for collection in ("box", "whole"):
        path = site.path(collection, "objects/")
        assert ids(site.get(path, "budi")) == [indicator(1)["id"]]
        assert ids(site.get(path, "boss")) == [indicator(1)["id"], unmarked["id"]]
        for hidden in (red, unmarked):
            some = site.path(collection, f"objects/{hidden['id']}/")
            assert site.get(some, "budi").status_code == 404
            assert site.get(f"{some}versions/", "budi").status_code == 404
            manifest = site.path(collection, "manifest/")
            asked = {"match[id]": hidden["id"]}
            assert site.get(manifest, "budi", params=asked).json() == {}
    # Nobody deletes what it does not see.
    some = site.path("box", f"objects/{unmarked['id']}/")
    assert site.delete(some, "budi").status_code == 404
    assert site.delete(some, "boss").status_code == 200


def test_every_page_that_goes_out_is_in_the_release_log(filled: Site) -> None:
    path = filled.path("box", "objects/")
    filled.get(path, "budi", params={"limit": "4"})
    filled.get(path, "boss")
    with filled.node.db.read() as tx:
        number, _ = filled.node.registry.party(tx, "id")
        (told,) = filled.node.ledger.of_party(tx, number)
    assert (told.actor, told.way, told.count) == ("budi", "taxii", 4)
    assert told.collection == "box"
    assert told.request == f"{path.rstrip('/')}?limit=4"


def test_a_path_without_its_last_slash_is_no_fault_of_ours(filled: Site) -> None:
    answer = filled.get(filled.path("box", "objects"))
    assert answer.status_code in {200, 301, 307, 308, 404}


def test_browsers_are_told_to_keep_nothing_and_run_nothing(site: Site) -> None:
    for answer in (site.get(DISCOVERY), site.client.get("/nowhere")):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
