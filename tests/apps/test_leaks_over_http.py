"""Nothing that may not leave leaves by the doors: not in a body, header or error."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from litestar.testing import TestClient

from leaks import DAYS, FOR_VN, PARTIES, QUIET, Case, World, make_world
from serantau.apps.web.server import Doors, create_app
from serantau.wire.taxii import API_ROOT, MEDIA_TYPE

pytestmark = pytest.mark.no_cover

ALL = sorted(PARTIES)
# A blocked party still logs in; it sees nothing.
OUTSIDE = [name for name in ALL if name != "th"]


@dataclass
class Doorway:
    """The world's node behind its application, and a token for each party."""

    world: World
    client: TestClient[Doors]
    tokens: dict[str, str]

    def ask(self, party: str, path: str, method: str = "GET", **more: Any) -> Any:
        headers = {
            "Accept": MEDIA_TYPE,
            "Authorization": f"Bearer {self.tokens[party]}",
            **more.pop("headers", {}),
        }
        return self.client.request(method, path, headers=headers, **more)

    def collection(self, name: str, rest: str = "") -> str:
        return f"{API_ROOT}collections/{self.world.collections[name].id}/{rest}"

    def pages(self, party: str, path: str, **params: str) -> bytes:
        """All pages of a resource, with headers, by `next` or by the last date."""
        handed = b""
        more: dict[str, str] = {}
        while True:
            answer = self.ask(party, path, params={**params, "limit": "9", **more})
            assert answer.status_code == 200, answer.text
            handed += whole(answer)
            told = answer.json()
            if not told.get("more"):
                return handed
            if "next" in told:
                more = {"next": told["next"]}
            else:
                more = {"added_after": answer.headers["X-TAXII-Date-Added-Last"]}

    def case(self, name: str) -> Case:
        (found,) = (case for case in self.world.cases if case.name == name)
        return found


def whole(answer: Any) -> bytes:
    """An answer with its headers, as one text to look through."""
    return repr(sorted(answer.headers.items())).encode() + bytes(answer.content)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doorway]:
    world = make_world(tmp_path_factory.mktemp("door"))
    registry, tokens = world.node.registry, {}
    with world.node.db.write() as tx:
        for party in PARTIES:
            registry.add_user(tx, f"user-{party}", party, "writer")
            tokens[party] = registry.add_token(tx, f"user-{party}", "test")
    with TestClient(create_app(world.node), raise_server_exceptions=False) as client:
        yield Doorway(world, client, tokens)
    world.close()


def check(door: Doorway, party: str, handed: bytes) -> None:
    assert door.world.leaked(party, handed) == []
    assert sorted(door.world.given(handed)) == sorted(
        case.name for case in door.world.may_have(party)
    )


EVERY = {"match[version]": "all"}


@pytest.mark.parametrize("party", ALL)
@pytest.mark.parametrize("params", [{}, EVERY, {"match[type]": "indicator"}])
@pytest.mark.parametrize("what", ["objects/", "manifest/"])
@pytest.mark.parametrize("name", ["released", "indicators", "box"])
def test_a_collection_gives_a_party_what_it_may_have_and_nothing_else(
    door: Doorway, party: str, name: str, what: str, params: dict[str, str]
) -> None:
    check(door, party, door.pages(party, door.collection(name, what), **params))


@pytest.mark.parametrize("party", ALL)
@pytest.mark.parametrize("what", ["", "versions/"])
def test_an_object_that_is_withheld_is_as_one_that_is_not_there(
    door: Doorway, party: str, what: str
) -> None:
    handed = b""
    allowed = {case.name for case in door.world.may_have(party)}
    for case in door.world.cases:
        object_id, strange = case.made["id"], f"indicator--{uuid.uuid4()}"
        answer = door.ask(party, path_of(door, object_id, what))
        assert (answer.status_code == 200) == (case.name in allowed), case.name
        if answer.status_code != 200:
            other = door.ask(party, path_of(door, strange, what))
            assert told_of(answer, object_id) == told_of(other, strange)
        handed += whole(answer).replace(object_id.encode(), b"")
        handed += object_id.encode() if answer.status_code == 200 else b""
    check(door, party, handed)


def path_of(door: Doorway, object_id: str, what: str = "") -> str:
    return door.collection("released", f"objects/{object_id}/{what}")


def told_of(answer: Any, object_id: str) -> tuple[int, str, dict[str, str]]:
    """What an answer tells, but for the id that was asked for and the time."""
    differs = {"date", "x-request-id", "content-length"}
    headers = {
        name: text for name, text in answer.headers.items() if name not in differs
    }
    text = re.sub(r'"error_id":"[^"]*"', "", answer.text).replace(object_id, "ID")
    return answer.status_code, text, headers


@pytest.mark.parametrize("party", OUTSIDE)
def test_no_filter_tells_of_what_is_withheld(door: Doorway, party: str) -> None:
    withheld = [case.made["id"] for case in door.world.may_not_have(party)]
    for what in ("objects/", "manifest/"):
        for params in (
            {"match[id]": ",".join(withheld)},
            {"match[id]": ",".join(withheld), **EVERY},
            {"match[id]": withheld[0], "match[version]": f"first,{DAYS[0]},{DAYS[1]}"},
        ):
            answer = door.ask(party, door.collection("released", what), params=params)
            assert answer.status_code == 200
            # TAXII 2.1 §3.7: an empty list is left out.
            assert answer.json() in ({}, {"more": False})
            assert "x-taxii-date-added-last" not in answer.headers


@pytest.mark.parametrize("party", OUTSIDE)
def test_no_verb_of_the_api_tells_an_outsider_of_objects(
    door: Doorway, party: str
) -> None:
    described = door.ask("th", "/api/v1/openapi.json").json()
    withheld = door.world.may_not_have(party)[0].made["id"]
    fill = {"object_id": withheld, "name": "vn", "number": "1", "peer": "vn"}
    tried = 0
    for path, verbs in described["paths"].items():
        filled = re.sub(r"{(\w+)(:\w+)?}", lambda m: fill.get(m[1], "1"), path)
        for method in verbs:
            if method not in {"get", "post", "put", "delete"}:
                continue
            answer = door.ask(
                party,
                filled,
                method.upper(),
                headers={"Accept": "application/json"},
                params={"query": "green", "text": "green", "q": "green"},
            )
            if method == "get" and path.startswith("/api/v1/me"):
                assert answer.status_code == 200, path
                continue
            assert answer.status_code == 403, (method, path, answer.text)
            body = whole(answer).replace(withheld.encode(), b"")
            assert door.world.leaked(party, body) == []
            tried += 1
    assert tried > 20


@pytest.mark.parametrize("party", OUTSIDE)
def test_what_a_party_reads_of_its_own_releases_names_nobody_else(
    door: Doorway, party: str
) -> None:
    door.pages(party, door.collection("released", "objects/"))
    described = door.ask("th", "/api/v1/openapi.json").json()
    own = [path for path in described["paths"] if path.startswith("/api/v1/me")]
    assert len(own) >= 2
    handed = b"".join(
        whole(door.ask(party, path, headers={"Accept": "application/json"}))
        for path in own
    )
    assert door.world.leaked(party, handed) == []
    for other in set(PARTIES) - {party, "th"}:
        assert f'"{other}"'.encode() not in handed
    # A verdict is for the releasing node's own people: it names whom an audience names.
    assert QUIET.encode() not in handed


@pytest.mark.parametrize(
    "path", ["/", "/sign-in", "/healthz", "/readyz", "/taxii2/", "/me"]
)
def test_pages_for_everyone_hold_no_content(door: Doorway, path: str) -> None:
    answers = [door.client.get(path)]
    answers += [door.ask(party, path) for party in OUTSIDE]
    for answer in answers:
        assert door.world.leaked("public", whole(answer)) == []
        assert door.world.given(whole(answer)) == []


def test_who_does_not_say_who_it_is_gets_nothing(door: Doorway) -> None:
    for rest in (
        "",
        "objects/",
        "manifest/",
        f"objects/{door.case('clear').made['id']}/",
    ):
        answer = door.client.get(door.collection("released", rest))
        assert answer.status_code == 401
        assert door.world.given(whole(answer)) == []


@pytest.mark.parametrize("party", OUTSIDE)
def test_a_collection_that_may_not_be_read_is_as_one_that_is_not_there(
    door: Doorway, party: str
) -> None:
    shut = door.world.collections["shut"]
    listed = door.ask(party, f"{API_ROOT}collections/")
    assert shut.id not in listed.text
    for name in (shut.id, shut.alias):
        for rest in ("", "objects/", "manifest/"):
            strange = str(uuid.uuid4())
            one = door.ask(party, f"{API_ROOT}collections/{name}/{rest}")
            other = door.ask(party, f"{API_ROOT}collections/{strange}/{rest}")
            assert one.status_code == 404
            assert told_of(one, name) == told_of(other, strange)


def post(door: Doorway, party: str, *objects: dict[str, Any]) -> Any:
    return door.ask(
        party,
        door.collection("box", "objects/"),
        "POST",
        content=orjson.dumps({"objects": list(objects)}),
        headers={"Content-Type": MEDIA_TYPE},
    )


@pytest.mark.parametrize("party", ["jp", "other"])
def test_what_a_post_says_holds_nothing_of_what_is_withheld(
    door: Doorway, party: str
) -> None:
    for case in door.world.may_not_have(party):
        object_id = case.made["id"]
        guess = {**case.made, "name": "a guess", "pattern": "[url:value = 'http://a/']"}
        # The same version with other content; and what makes no object at all.
        for attempt in (guess, {**guess, "modified": "nonsense"}):
            answer = post(door, party, attempt)
            assert answer.status_code == 202
            status = door.ask(party, f"{API_ROOT}status/{answer.json()['id']}/")
            for said in (answer, status):
                body = whole(said).replace(object_id.encode(), b"")
                assert door.world.leaked(party, body) == []
    check(door, party, door.pages(party, door.collection("box", "objects/"), **EVERY))
    check(door, "th", door.pages("th", door.collection("released", "objects/")))


def test_a_status_is_told_to_its_own_party_only(door: Doorway) -> None:
    made = {**door.case("clear").made, "id": f"indicator--{uuid.uuid4()}"}
    status = post(door, "vn", made).json()["id"]
    path = f"{API_ROOT}status/{status}/"
    assert door.ask("vn", path).status_code == 200
    strange = str(uuid.uuid4())
    other = door.ask("jp", f"{API_ROOT}status/{strange}/")
    assert told_of(door.ask("jp", path), status) == told_of(other, strange)
    door.ask("vn", door.collection("box", f"objects/{made['id']}/"), "DELETE")


@pytest.mark.parametrize("party", ["vn", "public", "kh"])
def test_what_a_party_does_not_see_it_cannot_delete(door: Doorway, party: str) -> None:
    for case in door.world.may_not_have(party):
        path = door.collection("box", f"objects/{case.made['id']}/")
        strange = f"indicator--{uuid.uuid4()}"
        other = door.collection("box", f"objects/{strange}/")
        one = door.ask(party, path, "DELETE")
        two = door.ask(party, other, "DELETE")
        assert one.status_code in {403, 404}
        assert told_of(one, case.made["id"]) == told_of(two, strange)
    check(door, "th", door.pages("th", door.collection("released", "objects/")))


def test_a_definition_posted_by_another_opens_nothing(door: Doorway) -> None:
    # Whoever could say that a marking means nothing would open what it closes.
    (case,) = (case for case in door.world.cases if case.name == "clear and strange")
    harmless = {
        "type": "marking-definition",
        "spec_version": "2.1",
        "id": case.marks[1],
        "created": DAYS[5],
        "definition_type": "statement",
        "definition": {"statement": "use as you like"},
        "object_marking_refs": [case.marks[0]],
    }
    said = post(door, "jp", harmless).json()
    assert said["failure_count"] == 1
    near = {**harmless, "id": FOR_VN["id"]}
    assert post(door, "jp", near).json()["failure_count"] == 1
    for party in OUTSIDE:
        check(door, party, door.pages(party, door.collection("released", "objects/")))
