"""Objects, quarantine and the release log by the JSON API."""

import base64
import gzip
import json
import uuid
from typing import Any

import msgspec
import pytest

from doors import Site, furnish, indicator
from knocks import Api, api_of, red
from serantau.config import LimitsSection, NodeConfig, StoreSection
from serantau.node import Node


@pytest.fixture
def api(site: Site) -> Api:
    return api_of(site)


def test_what_was_refused_is_listed_shown_retried_and_dropped(api: Api) -> None:
    broken = [{**indicator(n), "pattern": "[x"} for n in range(1, 4)]
    report = api.load(*broken, user="wan")
    assert report["refused"] == 3
    assert sum(report["reasons"].values()) == 3
    assert report["findings"][0]["id"] == broken[0]["id"]
    page = api.told("GET", "/quarantine", params={"limit": 2})
    assert (len(page["held"]), page["more"]) == (2, True)
    rest = api.told("GET", "/quarantine", params={"after": page["after"]})
    assert (len(rest["held"]), rest["more"]) == (1, False)
    number = rest["held"][0]["number"]
    told = api.told("GET", f"/quarantine/{number}")
    assert told["withheld"] is None
    assert json.loads(base64.b64decode(told["body"])) == broken[2]
    assert told["entry"]["source"] == "user:wan"
    again = api.told("POST", f"/quarantine/{number}/retry", "wan")
    assert again["refused"] == 1
    assert again["rule"] == told["entry"]["rule"]
    numbers = [one["number"] for one in api.told("GET", "/quarantine")["held"]]
    for number in numbers:
        assert api("DELETE", f"/quarantine/{number}").status_code == 204
    assert api.told("GET", "/quarantine")["held"] == []
    assert api("GET", f"/quarantine/{numbers[0]}").status_code == 404


def test_loading_tells_what_became_of_each_and_again_changes_nothing(api: Api) -> None:
    objects = [indicator(number) for number in range(1, 5)]
    report = api.load(*objects, {**indicator(5), "pattern": "["}, user="wan")
    assert (report["new"], report["held"], report["refused"]) == (4, 0, 1)
    assert report["kind"] == "stix"
    again = api.load(*objects, user="wan")
    assert (again["new"], again["held"]) == (0, 4)


def test_objects_come_packed_or_not_as_bundle_or_lines(api: Api) -> None:
    bundle = {
        "type": "bundle",
        "id": f"bundle--{uuid.uuid4()}",
        "objects": [indicator(1)],
    }
    lines = b"\n".join(json.dumps(indicator(n)).encode() for n in (2, 3))
    sent: list[tuple[bytes, dict[str, str]]] = [
        (
            json.dumps(bundle).encode(),
            {"Content-Type": "application/stix+json;version=2.1"},
        ),
        (lines, {"Content-Type": "application/x-ndjson"}),
        (
            gzip.compress(json.dumps(indicator(4)).encode(), mtime=0),
            {"Content-Type": "application/gzip"},
        ),
        (
            gzip.compress(json.dumps([indicator(5)]).encode(), mtime=0),
            {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        ),
    ]
    made = [
        api.told("POST", "/objects", content=body, headers=headers)["new"]
        for body, headers in sent
    ]
    assert made == [1, 2, 1, 1]


def test_a_misp_event_comes_in_and_its_losses_are_told(api: Api) -> None:
    event = {
        "Event": {
            "uuid": str(uuid.uuid4()),
            "info": "a phishing wave",
            "date": "2026-01-01",
            "timestamp": "1767225600",
            "published": True,
            "threat_level_id": "2",
            "analysis": "1",
            "distribution": "3",
            "Orgc": {"name": "ThaiCERT", "uuid": str(uuid.uuid4())},
            "Tag": [{"name": "tlp:green"}],
            "Attribute": [
                {
                    "uuid": str(uuid.uuid4()),
                    "type": "domain",
                    "category": "Network activity",
                    "value": "bad.example",
                    "timestamp": "1767225600",
                    "to_ids": True,
                }
            ],
        }
    }
    report = api.told("POST", "/objects", json=event)
    assert (report["kind"], report["events"]) == ("misp", 1)
    assert report["new"] > 1
    found = api.told("GET", "/search", params={"q": "bad[.]example"})["objects"]
    assert found


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", {}, 422),
        (b"\x1f\x8b broken", {}, None),
        (b"not gzip", {"Content-Encoding": "gzip"}, 422),
        (b"{}", {"Content-Encoding": "br"}, 415),
        (b"{}", {"Content-Type": "text/plain"}, 415),
        (b"[" * 100_000, {}, None),
        (b'{"type": "bundle", "objects": [' + b'{"a": NaN},' * 50, {}, None),
    ],
)
def test_what_cannot_be_loaded_is_told_and_breaks_nothing(
    api: Api, body: bytes, headers: dict[str, str], status: int | None
) -> None:
    headers = {"Content-Type": "application/json", **headers}
    answer = api("POST", "/objects", content=body, headers=headers)
    if status is None:
        # Said in the report or as a fault of theirs, never of ours.
        assert answer.status_code in {200, 400, 413, 422}, answer.text
        assert answer.status_code != 200 or answer.json()["refused"]
    else:
        assert answer.status_code == status, answer.text
    assert api.load(indicator(1))["new"] == 1


def test_a_body_is_no_larger_than_the_limit(open_site: Any, config: NodeConfig) -> None:
    limits = LimitsSection(post_bytes=5000)
    small = Api(open_site(msgspec.structs.replace(config, limits=limits)))
    large = json.dumps({"objects": [indicator(n) for n in range(50)]}).encode()
    headers = {"Content-Type": "application/json"}
    for content in (large, iter([large[:3000], large[3000:]])):
        answer = small("POST", "/objects", content=content, headers=headers)
        assert answer.status_code == 413, answer.text
        assert answer.json()["error"]["type"] == "too-large"
    assert small.told("GET", "/search", params={"q": "indicator"})["objects"] == []


def test_objects_go_into_the_boxes_that_are_named(api: Api) -> None:
    api.load(indicator(1), collection=["hidden"])
    seen = api.site.get(api.site.path("hidden", "objects/"), "boss").json()
    assert [one["id"] for one in seen["objects"]] == [indicator(1)["id"]]
    for alias, status in (("whole", 400), ("nothing", 404)):
        answer = api(
            "POST", "/objects", json=indicator(2), params={"collection": alias}
        )
        assert answer.status_code == status


def test_an_unmarked_object_is_handled_as_said(api: Api) -> None:
    bare = {k: v for k, v in indicator(1).items() if k != "object_marking_refs"}
    api.load(bare, handle_as="TLP:GREEN")
    told = api.told("GET", f"/objects/{bare['id']}")
    assert told["marking"] == "no TLP marking, handled here as TLP:GREEN"
    answer = api(
        "POST", "/objects", json=indicator(2), params={"handle_as": "TLP:PURPLE"}
    )
    assert answer.status_code == 400


def test_an_object_is_shown_as_it_came_with_who_may_have_it(api: Api) -> None:
    text = json.dumps(indicator(1, x_number=1.10, x_large=10**30)).replace(
        "1.1", "1.10"
    )
    sent = {"Content-Type": "application/json"}
    api.told("POST", "/objects", "wan", content=text, headers=sent)
    answer = api("GET", f"/objects/{indicator(1)['id']}", "rat")
    assert "1.10" in answer.text
    assert str(10**30) in answer.text
    told = answer.json()
    assert told["withheld"] is None
    assert told["versions"][0]["source"] == "user:wan"
    may = {one["party"]: one["released"] for one in told["verdicts"]}
    assert may == {"th": True, "sg": True, "id": True, "jp": True}


def test_a_search_goes_on_where_it_stopped(api: Api) -> None:
    api.load(*(indicator(number) for number in range(1, 8)))
    seen: list[str] = []
    after, more = 0, True
    while more:
        page = api.told(
            "GET", "/search", params={"q": "indicator", "after": after, "limit": 3}
        )
        seen += [one["id"] for one in page["objects"]]
        after, more = page["after"], page["more"]
    assert sorted(seen) == sorted(indicator(number)["id"] for number in range(1, 8))


def test_a_release_is_told_at_both_ends(api: Api) -> None:
    api.load(indicator(1), indicator(2))
    for _ in range(3):
        api.site.get(api.site.path("whole", "objects/"), "wei")
    api.site.get(api.site.path("whole", "objects/"), "budi")
    log = api.told("GET", "/releases")
    assert [row["party"] for row in log["releases"]] == ["sg", "sg", "sg", "id"]
    ours = api.told("GET", "/releases", params={"party": "sg"})["releases"]
    theirs = api.told("GET", "/me/releases", "lim")["releases"]
    assert ours == theirs
    assert theirs[0]["user"] == "wei"
    assert theirs[0]["objects"] == 2
    one = api.told("GET", f"/releases/{ours[0]['number']}")
    assert {each["id"] for each in one["objects"]} == {
        indicator(1)["id"],
        indicator(2)["id"],
    }
    part = api.told("GET", f"/releases/{ours[0]['number']}", params={"limit": 1})
    assert part["more"]
    shown = api.told("GET", f"/objects/{indicator(1)['id']}")
    assert len(shown["versions"][0]["released"]) == 4


@pytest.mark.parametrize("party", [None, "sg"])
def test_the_release_log_is_paged_and_begins_when_asked(
    api: Api, party: str | None
) -> None:
    api.load(indicator(1))
    for _ in range(5):
        api.site.get(api.site.path("whole", "objects/"), "wei")
    asked = {} if party is None else {"party": party}
    whole = api.told("GET", "/releases", params=asked)["releases"]
    assert len(whole) == 5
    seen: list[Any] = []
    after, more = 0, True
    while more:
        page = api.told(
            "GET", "/releases", params={**asked, "after": after, "limit": 2}
        )
        seen += page["releases"]
        after, more = page["after"], page["more"]
    assert seen == whole
    late = api.told("GET", "/releases", params={**asked, "since": whole[3]["at"]})
    assert late["releases"] == whole[3:]
    for wrong in ("", "yesterday", "2026-02-30T00:00:00Z", "2026-01-01T00:00:00"):
        assert api("GET", "/releases", params={"since": wrong}).status_code == 400
    long_ago = {**asked, "since": "0001-01-01T00:00:00Z"}
    old = api.told("GET", "/releases", params=long_ago)
    assert old["releases"] == whole


def test_a_preview_says_who_would_get_what_and_why_not_the_rest(api: Api) -> None:
    api.load(indicator(1), red())
    told = api.told("GET", "/share/preview", params={"to": ["sg", "jp"]})["parties"]
    assert [one["party"] for one in told] == ["sg", "jp"]
    assert [(one["released"], one["withheld"]) for one in told] == [(1, 1), (1, 1)]
    why = [row["rule"] for row in told[0]["rows"] if not row["released"]]
    assert why == ["red-by-person-only"]
    assert api("GET", "/share/preview", params={"to": "xx"}).status_code == 404


def test_either_database_answers(
    open_site: Any, config: NodeConfig, store_url: str
) -> None:
    config = msgspec.structs.replace(config, store=StoreSection(url=store_url))
    with Node(config) as node:
        furnish(node)
    api = api_of(open_site(config))
    report = api.load(indicator(1), red(), {**indicator(3), "pattern": "[\x00"})
    assert (report["new"], report["refused"]) == (2, 1)
    for _ in range(2):
        api.site.get(api.site.path("whole", "objects/"), "wei")
    rows = api.told("GET", "/releases", params={"party": "sg"})["releases"]
    assert api.told("GET", "/me/releases", "wei")["releases"] == rows
    after = {"party": "sg", "after": rows[0]["number"]}
    assert api.told("GET", "/releases", params=after)["releases"] == rows[1:]
    assert len(api.told("GET", f"/releases/{rows[0]['number']}")["objects"]) == 1
    assert len(api.told("GET", "/search", params={"q": "host"})["objects"]) == 2
    assert api.told("GET", f"/objects/{red()['id']}")["object"] is None
    (held,) = api.told("GET", "/quarantine")["held"]
    assert api.told("GET", f"/quarantine/{held['number']}")["body"]
    assert api.told("GET", "/share/preview")["parties"]
    assert api.told("PUT", "/circles/c", json={"members": ["sg"]})["members"] == ["sg"]
    assert api.told("POST", "/parties/sg/block")["changes"]
    made = {"name": "nok", "party": "th", "role": "reader"}
    assert api.told("POST", "/users", json=made)["name"] == "nok"
    assert api.told("GET", "/status")["objects"] == 2
