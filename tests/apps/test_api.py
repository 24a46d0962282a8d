"""The JSON API: what its verbs do, and to whom."""

import base64
import gzip
import json
import uuid
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from doors import GREEN, RED, Site, basic, indicator
from serantau.apps.web.api.description import describe
from serantau.apps.web.api.door import BODY_BYTES, LEAST_ROLE, ROOT
from serantau.config import LimitsSection, NodeConfig
from serantau.node import SEAL_FILE
from serantau.records.seal import Seal

SECRET = "the secret of the reef"


class Api:
    """A node's API, asked by one user after another."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.node = site.node

    def __call__(self, method: str, path: str, user: str = "boss", **more: Any) -> Any:
        headers = {**basic(user), **more.pop("headers", {})}
        return self.site.client.request(
            method, f"{ROOT}{path}", headers=headers, **more
        )

    def told(self, method: str, path: str, user: str = "boss", **more: Any) -> Any:
        answer = self(method, path, user, **more)
        assert answer.status_code in {200, 201}, answer.text
        return answer.json()

    def load(self, *objects: Any, user: str = "boss", **params: Any) -> Any:
        return self.told(
            "POST", "/objects", user, json={"objects": list(objects)}, params=params
        )


@pytest.fixture
def api(site: Site) -> Api:
    with site.node.db.write() as tx:
        for name, role in (("rat", "reader"), ("wan", "writer")):
            site.node.registry.add_user(tx, name, "th", role, "correct horse battery")
    site.node.config.keys.mkdir(exist_ok=True)
    (site.node.config.keys / SEAL_FILE).write_bytes(Seal.new_key())
    return Api(site)


def red(number: int = 99, **more: Any) -> dict[str, Any]:
    return indicator(
        number, object_marking_refs=[RED], name=SECRET, description=SECRET, **more
    )


def link(source: str, target: str, marking: str = GREEN) -> dict[str, Any]:
    return {
        "type": "relationship",
        "spec_version": "2.1",
        "id": f"relationship--{uuid.uuid4()}",
        "created": "2026-01-01T00:00:00.000Z",
        "modified": "2026-01-01T00:00:00.000Z",
        "relationship_type": "related-to",
        "source_ref": source,
        "target_ref": target,
        "object_marking_refs": [marking],
    }


def requests() -> Iterator[tuple[str, str, str]]:
    """Every verb as a request: name, method, path with made-up names in it."""
    some = {
        "object_id": indicator(1)["id"],
        "number": "1",
        "name": "sg",
        "alias": "box",
    }
    for path, operations in describe()["paths"].items():
        for method, operation in operations.items():
            yield operation["operationId"], method.upper(), path.format(**some)


REQUESTS = sorted(requests())


def test_every_verb_has_a_least_role_and_every_role_a_verb() -> None:
    assert [name for name, _, _ in REQUESTS] == sorted(LEAST_ROLE)


@pytest.mark.parametrize(("name", "method", "path"), REQUESTS)
def test_who_may_use_a_verb_is_as_the_table_says(
    api: Api, name: str, method: str, path: str
) -> None:
    least = LEAST_ROLE[name]
    ranks = {"rat": 1, "wan": 2, "boss": 3}
    needed = {"anyone": 0, "reader": 1, "writer": 2, "admin": 3}[least]
    assert api.site.client.request(method, path).status_code == 401
    for user, rank in ranks.items():
        answer = api(method, path.removeprefix(ROOT), user)
        assert (answer.status_code == 403) == (rank < needed), (user, answer.text)
        assert answer.status_code < 500, answer.text
    for user in ("wei", "lim", "budi"):
        answer = api(method, path.removeprefix(ROOT), user)
        assert (answer.status_code == 403) == (needed > 0), (user, answer.text)


@pytest.mark.parametrize(("name", "method", "path"), REQUESTS)
def test_another_party_gets_nothing_of_any_object_from_any_path(
    api: Api, name: str, method: str, path: str
) -> None:
    api.load(indicator(1, name="of the reef"), red())
    api("POST", "/objects", json={"objects": [{**red(), "pattern": "[of the reef"}]})
    answer = api(method, path.removeprefix(ROOT), "wei", params={"q": "reef"})
    assert answer.status_code in {200, 403}
    for told in ("reef", indicator(1)["id"], red()["id"], "thaicert"):
        assert told.lower() not in answer.text.lower().replace('"exercise:reef"', "")


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
    with api.node.db.write() as tx:
        api.node.audiences.forget()
        del tx
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
            gzip.compress(json.dumps(indicator(4)).encode()),
            {"Content-Type": "application/gzip"},
        ),
        (
            gzip.compress(json.dumps([indicator(5)]).encode()),
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


def test_a_setting_is_no_larger_than_a_megabyte(api: Api) -> None:
    body = {"kind": "member", "title": "x" * BODY_BYTES}
    assert api("PUT", "/parties/my", json=body).status_code == 413


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
    for wrong in ("yesterday", "1969-01-01T00:00:00Z"):
        assert api("GET", "/releases", params={"since": wrong}).status_code == 400


def test_a_preview_says_who_would_get_what_and_why_not_the_rest(api: Api) -> None:
    api.load(indicator(1), red())
    told = api.told("GET", "/share/preview", params={"to": ["sg", "jp"]})["parties"]
    assert [one["party"] for one in told] == ["sg", "jp"]
    assert [(one["released"], one["withheld"]) for one in told] == [(1, 1), (1, 1)]
    why = [row["rule"] for row in told[0]["rows"] if not row["released"]]
    assert why == ["red-by-person-only"]
    assert api("GET", "/share/preview", params={"to": "xx"}).status_code == 404


def test_blocking_a_party_says_what_changes_and_holds_at_once(api: Api) -> None:
    api.load(indicator(1))
    told = api.told("POST", "/parties/sg/block")
    assert told["party"]["blocked"]
    assert ("sg", True, False) in {
        (one["party"], one["before"], one["after"]) for one in told["changes"]
    }
    seen = api.site.get(api.site.path("whole", "objects/"), "wei").json()
    assert not seen.get("objects")
    # Changing it otherwise does not unblock it by the way.
    told = api.told("PUT", "/parties/sg", json={"kind": "member", "title": "SingCERT"})
    assert told["party"]["blocked"]
    assert not api.told("POST", "/parties/sg/unblock")["party"]["blocked"]
    seen = api.site.get(api.site.path("whole", "objects/"), "wei").json()
    assert len(seen["objects"]) == 1


def test_a_party_is_added_with_all_that_is_said_of_it(api: Api) -> None:
    given = {
        "kind": "operator",
        "title": "การไฟฟ้า",
        "identity": f"identity--{uuid.uuid4()}",
        "client_of": "th",
        "need_to_know": True,
        "ceiling": "TLP:AMBER",
        "until": "2099-01-01T07:00:00+07:00",
    }
    api.told("PUT", "/parties/egat", json=given)
    (told,) = [
        one for one in api.told("GET", "/parties")["parties"] if one["name"] == "egat"
    ]
    assert told == {
        **given,
        "name": "egat",
        "blocked": False,
        "until": "2099-01-01T00:00:00.000000Z",
    }
    unknown = {**given, "client_of": "nobody"}
    assert api("PUT", "/parties/egat", json=unknown).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/parties/th", {"kind": "partner"}),
        ("PUT", "/parties/th", {"kind": "own", "until": "2026-01-01T00:00:00Z"}),
        ("POST", "/parties/th/block", None),
        ("POST", "/users/boss/disable", None),
    ],
)
def test_an_administrator_cannot_lock_everyone_out(
    api: Api, method: str, path: str, body: Any
) -> None:
    assert api(method, path, json=body).status_code == 409
    assert api.told("GET", "/me")["role"] == "admin"


def test_circles_are_made_changed_and_forgotten(api: Api) -> None:
    made = api.told("PUT", "/circles/วงใน", json={"members": ["sg", "id", "sg"]})
    assert made["members"] == ["id", "sg"]
    again = api.told("PUT", "/circles/วงใน", json={"members": ["id"]})
    assert again["id"] == made["id"]
    assert api.told("GET", "/circles")["circles"] == [again]
    assert api("PUT", "/circles/x", json={"members": ["nobody"]}).status_code == 404
    assert api("DELETE", "/circles/วงใน").status_code == 204
    assert api("DELETE", "/circles/วงใน").status_code == 404


def test_collections_are_made_and_changed(api: Api) -> None:
    given = {
        "title": "For all",
        "types": ["indicator"],
        "up_to": "TLP:GREEN",
        "read": ["kind:member", "party:jp"],
    }
    made = api.told("PUT", "/collections/feed", json=given)
    assert made["alias"] == "feed"
    assert made in api.told("GET", "/collections")["collections"]
    refused = [
        (400, {**given, "box": True}),
        (400, {**given, "write": ["everyone"]}),
        (400, {**given, "read": ["kind:friend"]}),
        (404, {**given, "read": ["party:nobody"]}),
        (409, {"title": "x", "box": True}),
    ]
    for status, body in refused:
        answer = api("PUT", "/collections/feed", json=body)
        assert answer.status_code == status, answer.text
    by_id = api("PUT", f"/collections/{made['id']}", json=given)
    assert by_id.status_code == 409


def test_a_peer_is_kept_without_its_secret_ever_being_told(api: Api) -> None:
    given = {"url": "https://sg.example/taxii2/", "secret": SECRET}
    api.told("PUT", "/peers/sg", json=given)
    api.told("PUT", "/peers/sg", json={"url": given["url"], "enabled": False})
    with api.node.db.read() as tx:
        from serantau.records.peers import Peers

        held = Peers().get(tx, "sg", api.node.seal)
    assert held.secret == SECRET
    assert not held.enabled
    for path in ("/peers", "/peers/sg"):
        assert SECRET not in api("GET", path).text
    assert api("DELETE", "/peers/sg").status_code == 204
    assert api("GET", "/peers/sg").status_code == 404


def test_a_peer_that_cannot_be_reached_is_told_in_the_answer(api: Api) -> None:
    api.told("PUT", "/peers/sg", json={"url": "http://127.0.0.1:9/taxii2/"})
    told = api.told("POST", "/peers/sg/sync", "wan")
    assert told["fault"]
    (listed,) = api.told("GET", "/peers", "rat")["peers"]
    assert listed["fault"]
    assert listed["at"] is None
    assert api("POST", "/peers/xx/sync").status_code == 404


def test_users_come_and_go_with_passwords_and_tokens(api: Api) -> None:
    given = {"name": "nok", "party": "th", "role": "reader", "password": "x" * 12}
    made = api("POST", "/users", json=given)
    assert made.status_code == 201
    assert made.json()["tokens"] == 0
    assert api("POST", "/users", json=given).status_code == 409
    assert api("GET", "/me", headers=basic("nok", "x" * 12)).status_code == 200
    api.told("PUT", "/users/nok/password", json={"password": "y" * 12})
    assert api("GET", "/me", headers=basic("nok", "x" * 12)).status_code == 401
    token = api.told("POST", "/users/nok/tokens", json={"label": "script"})["token"]
    bearer = {"Authorization": f"Bearer {token}"}
    assert api.told("GET", "/me", headers=bearer)["user"] == "nok"
    assert token not in api("GET", "/users").text
    api.told("POST", "/users/nok/disable")
    assert api("GET", "/me", headers=bearer).status_code == 401
    api.told("POST", "/users/nok/enable")
    assert api("GET", "/me", headers=bearer).status_code == 200
    asked = {"label": "script"}
    assert api.told("DELETE", "/users/nok/tokens", params=asked) == {"ended": 1}
    assert api("GET", "/me", headers=bearer).status_code == 401


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/users", {"name": "a:b", "party": "th", "role": "reader"}, 400),
        ("/users", {"name": "a", "party": "xx", "role": "reader"}, 404),
        ("/users", {"name": "a", "party": "sg", "role": "admin"}, 400),
        ("/users", {"name": "a", "party": "th", "role": "king"}, 400),
        (
            "/users",
            {"name": "a", "party": "th", "role": "reader", "password": "short"},
            400,
        ),
        ("/users/rat/tokens", {"label": "a", "expires": "2020-01-01T00:00:00Z"}, 400),
        ("/users/xx/tokens", {"label": "a"}, 404),
    ],
)
def test_a_user_that_cannot_be_is_refused(
    api: Api, path: str, body: Any, status: int
) -> None:
    assert api("POST", path, json=body).status_code == status


def test_status_tells_which_node_this_is_and_how_much_it_holds(api: Api) -> None:
    api.load(indicator(1))
    told = api.told("GET", "/status", "rat")
    assert told["member"] == "th"
    assert told["realm"] == "exercise:reef"
    assert told["version"]
    assert told["objects"] == 1
    assert told["parties"] == 4


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
