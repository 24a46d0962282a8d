"""Parties, circles, collections, peers and users by the JSON API."""

import json
import uuid
from pathlib import Path
from typing import Any

import msgspec
import pytest

from doors import Site, basic, furnish, indicator, serving
from knocks import SECRET, Api, api_of
from serantau.config import NodeConfig
from serantau.desk.intake import Intake
from serantau.node import Node
from serantau.records.peers import Peers
from serantau.wire.bundle import Piece


@pytest.fixture
def api(site: Site) -> Api:
    return api_of(site)


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
        ("PUT", "/parties/sg", {"kind": "own"}),
        ("PUT", "/parties/th", {"kind": "own", "until": "2026-01-01T00:00:00Z"}),
        ("POST", "/parties/th/block", None),
        ("POST", "/users/boss/disable", None),
    ],
)
def test_an_administrator_cannot_give_away_or_lock_the_node(
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


def test_a_peer_is_pulled_when_asked(
    api: Api, config: NodeConfig, tmp_path: Path
) -> None:
    api.told("PUT", "/parties/sg", json={"kind": "member"})
    there = msgspec.structs.replace(config, home=tmp_path / "sg")
    there.home.mkdir()
    with Node(there) as node:
        furnish(node)
        Intake(node).take(
            [Piece(ordinal=1, offset=0, line=1, raw=json.dumps(indicator(1)).encode())],
            origin="a file",
        )
        with node.db.write() as tx:
            token = node.registry.add_token(tx, "wei", "pull")
        with serving(node) as address:
            given = {
                "url": f"{address}/taxii2/",
                "secret": token,
                "collection": "whole",
            }
            api.told("PUT", "/peers/sg", json=given)
            first = api.told("POST", "/peers/sg/sync", "wan")
            again = api.told("POST", "/peers/sg/sync", "wan")
    assert (first["new"], first["fault"]) == (1, "")
    assert again["new"] == 0
    told = api.told("GET", "/peers/sg")
    assert told["peer"]["new"] == 1
    assert told["peer"]["at"] is not None
    assert [one["new"] for one in told["collections"]] == [1]
    shown = api.told("GET", f"/objects/{indicator(1)['id']}")
    assert shown["versions"][0]["source"] == "peer:sg"
