"""The JSON API: who may do what, how it fails, and what never leaves by it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from doors import GREEN, RED, Site, indicator
from knocks import SECRET, Api, api_of, link, red
from serantau.apps.web.api.description import describe
from serantau.apps.web.api.door import BODY_BYTES, LEAST_ROLE, ROOT


@pytest.fixture
def api(site: Site) -> Api:
    return api_of(site)


def requests() -> Iterator[tuple[str, str, str]]:
    """Every verb as a request: name, method, path with made-up names in it."""
    some = {
        "object_id": indicator(1)["id"],
        "number": "1",
        "name": "sg",
        "alias": "box",
        "digest": "0" * 64,
    }
    for path, operations in describe()["paths"].items():
        for method, operation in operations.items():
            yield operation["operationId"], method.upper(), path.format(**some)


REQUESTS = sorted(requests())


def test_every_verb_has_a_least_role_and_every_role_a_verb() -> None:
    assert [name for name, _, _ in REQUESTS] == sorted(LEAST_ROLE)


def test_who_may_use_a_verb_is_as_the_table_says(api: Api) -> None:
    needs = {"anyone": 0, "reader": 1, "writer": 2, "admin": 3}
    # People of another party have no rank here, whatever their role is.
    ranks = {"rat": 1, "wan": 2, "boss": 3, "wei": 0, "lim": 0, "budi": 0}
    for name, method, path in REQUESTS:
        needed = needs[LEAST_ROLE[name]]
        assert api.site.client.request(method, path).status_code == 401
        for user, rank in ranks.items():
            answer = api(method, path.removeprefix(ROOT), user)
            refused = answer.status_code == 403
            assert refused == (rank < needed), (name, user, answer.text)


def test_another_party_gets_nothing_of_any_object_from_any_path(api: Api) -> None:
    api.load(indicator(1, name="of the reef"), red())
    api.load({**red(), "pattern": "[of the reef"})
    api.told("GET", "/quarantine/1")
    for name, method, path in REQUESTS:
        for user in ("wei", "lim", "budi"):
            answer = api(method, path.removeprefix(ROOT), user, params={"q": "reef"})
            assert answer.status_code in {200, 403}, name
            said = answer.text.replace('"exercise:reef"', "").lower()
            for told in ("reef", "host", indicator(1)["id"], red()["id"], "thaicert"):
                assert told.lower() not in said, name


def test_who_may_do_something_comes_before_what_is_asked(api: Api) -> None:
    bad: dict[str, Any] = {"params": {"limit": "many"}, "content": b"{"}
    assert api("GET", "/search", "wei", **bad).status_code == 403
    assert api("PUT", "/parties/..%00", "wei", **bad).status_code in {403, 404}
    assert api("PUT", "/parties/sg", "rat", **bad).status_code == 403


def test_a_fault_has_one_shape_and_the_id_that_the_log_has(api: Api) -> None:
    asked = [
        (404, "not-found", api("GET", f"/objects/{indicator(7)['id']}")),
        (404, "not-found", api("GET", "/no/such/path")),
        (405, "method-not-allowed", api("PATCH", "/parties/sg")),
        (400, "bad-request", api("GET", "/search")),
        (400, "bad-request", api("GET", "/search", params={"q": "x", "limit": "0"})),
        (400, "bad-request", api("PUT", "/parties/sg", json={"kind": "friend"})),
        (
            400,
            "bad-request",
            api("PUT", "/parties/sg", json={"kind": "member", "x": 1}),
        ),
        (401, "unauthenticated", api.site.client.get(f"{ROOT}/me")),
        (403, "forbidden", api("GET", "/users", "rat")),
        (409, "conflict", api("PUT", "/parties/th", json={"kind": "member"})),
        (415, "unsupported-media", api("POST", "/objects", data={"a": "b"})),
        (422, "bad-input", api("POST", "/objects", json={"no": "stix"})),
    ]
    for status, kind, answer in asked:
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/json"
        error = answer.json()["error"]
        assert error.keys() == {"type", "message", "mend", "request_id"}
        assert error["type"] == kind
        assert error["message"]
        assert error["request_id"] == answer.headers["x-request-id"]


def test_a_fault_does_not_repeat_what_was_searched(api: Api) -> None:
    answer = api("GET", "/search", params={"q": SECRET, "limit": "0"})
    assert answer.status_code == 400
    assert SECRET not in answer.text
    assert "limit" in answer.json()["error"]["message"]


def test_red_object_never_leaves_by_the_api(api: Api) -> None:
    plain = indicator(1, name="a plain one")
    other = red(98)
    report = api.load(
        plain, red(), other, link(red()["id"], plain["id"]),
        link(plain["id"], red()["id"], RED), link(red()["id"], other["id"], RED),
    )  # fmt: skip
    assert report["new"] == 6
    for user in ("rat", "wan", "boss"):
        told = api.told("GET", f"/objects/{red()['id']}", user)
        assert told["id"] == red()["id"]
        assert told["marking"] == "TLP:RED"
        assert told["object"] is None
        assert told["name"] == ""
        assert told["refers_to"] == []
        assert told["withheld"]["rule"] == "red-by-person-only"
        assert told["withheld"]["mend"] == (
            f"Read it on the node: serantau show {red()['id']}"
        )
        # What refers to it may be told; a RED relationship is itself not told.
        assert len(told["referred_by"]) == 1
        asked = [
            api("GET", f"/objects/{red()['id']}", user),
            api("GET", f"/objects/{plain['id']}", user),
            api("GET", "/search", user, params={"q": SECRET}),
            api("GET", "/search", user, params={"q": "host99.example"}),
            api("GET", "/share/preview", user, params={"q": SECRET}),
            api("GET", "/share/preview", user),
            api("GET", "/releases", user),
        ]
        for answer in asked:
            assert answer.status_code == 200, answer.text
            assert SECRET not in answer.text
            assert "host99.example" not in answer.text
        found = asked[2].json()["objects"]
        assert {one["id"] for one in found} == {red()["id"], other["id"]}
        assert all(one["withheld"] and one["name"] == "" for one in found)


def test_an_object_that_was_red_in_one_version_is_withheld_in_all(api: Api) -> None:
    later = indicator(99, name=SECRET, modified="2026-02-01T00:00:00.000Z")
    api.load(red())
    api.load(later)
    told = api.told("GET", f"/objects/{later['id']}")
    assert len(told["versions"]) == 2
    assert told["object"] is None
    assert SECRET not in json.dumps(told)


@pytest.mark.parametrize(
    "broken",
    [
        {"pattern": f"[{SECRET}"},
        {"valid_from": SECRET},
        {"granular_markings": SECRET},
        {"object_marking_refs": SECRET},
        {"object_marking_refs": [RED, SECRET]},
    ],
)
def test_a_refused_red_object_is_not_read_from_quarantine_by_the_api(
    api: Api, broken: dict[str, Any]
) -> None:
    api("POST", "/objects", json={"objects": [{**red(), **broken}]})
    (held,) = api.told("GET", "/quarantine")["held"]
    number = held["number"]
    told = api.told("GET", f"/quarantine/{number}")
    assert told["withheld"]["mend"].endswith(f"serantau quarantine show {number}")
    assert told["body"] is None
    assert told["got"] is None
    retried = api("POST", f"/quarantine/{number}/retry")
    for answer in (api("GET", "/quarantine"), retried):
        assert answer.status_code == 200
        assert SECRET not in answer.text


def test_a_refused_text_that_says_its_marking_twice_is_not_read_by_the_api(
    api: Api,
) -> None:
    text = json.dumps(red())[:-1] + f', "object_marking_refs": ["{GREEN}"]}}'
    api.told(
        "POST", "/objects", content=text, headers={"Content-Type": "application/json"}
    )
    (held,) = api.told("GET", "/quarantine")["held"]
    told = api.told("GET", f"/quarantine/{held['number']}")
    assert told["withheld"]["rule"] == "unreadable-marking"
    assert told["body"] is None


def test_a_setting_is_no_larger_than_a_megabyte(api: Api) -> None:
    body = {"kind": "member", "title": "x" * BODY_BYTES}
    assert api("PUT", "/parties/my", json=body).status_code == 413


def test_a_page_of_another_site_changes_nothing(api: Api) -> None:
    # A browser sends a remembered Basic login along with any site's form.
    for origin in ("https://evil.example", "null"):
        answer = api("POST", "/parties/sg/block", headers={"Origin": origin})
        assert answer.status_code == 403
    here = {"Origin": str(api.site.client.base_url).rstrip("/")}
    assert api("POST", "/parties/sg/block", headers=here).status_code == 200


def test_no_cookie_is_set_or_taken(api: Api) -> None:
    answer = api("GET", "/me")
    assert "set-cookie" not in answer.headers
    refused = api.site.client.get(f"{ROOT}/me", headers={"Cookie": "session=boss"})
    assert refused.status_code == 401


def test_the_description_is_there_for_anyone_and_brings_no_page(api: Api) -> None:
    answer = api.site.client.get(f"{ROOT}/openapi.json")
    assert answer.status_code == 200
    assert answer.json()["openapi"].startswith("3.1")
    assert answer.json() == json.loads(json.dumps(describe()))
    for path in ("", "/swagger", "/redoc", "/openapi.yaml", "/elements"):
        assert api("GET", path).status_code == 404
    assert api.site.client.get("/schema").status_code == 404
