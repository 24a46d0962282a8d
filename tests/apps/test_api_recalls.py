"""Recalls over the API: asked for, shown with their caution, kept, answered by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from doors import Site, indicator
from knocks import Api, api_of
from recalls import by, pin, take, text_of
from serantau.config import NodeConfig
from serantau.records import acts
from serantau.records.audit import Period

US = "identity--6d0d5e5c-3f0f-4a5e-8d7c-0d3f6c1b2a01"
REALM = "exercise:reef"


@pytest.fixture
def api(config: NodeConfig, open_site: Callable[[NodeConfig], Site]) -> Api:
    """A node that made one object and holds one of my, both read by sg."""
    section = msgspec.structs.replace(config.node, identity=US)
    made = api_of(open_site(msgspec.structs.replace(config, node=section)))
    pin(made.node, "my")
    made.load(indicator(1, created_by_ref=US), by("my", indicator(2)))
    page = made.site.get(made.site.path("whole", "objects/"))
    assert len(page.json()["objects"]) == 2
    return made


def decided(api: Api) -> list[str]:
    with api.node.db.read() as tx:
        return [one.what for one in acts.decided_by(tx, "wan", Period(), 100)]


def test_a_recall_over_the_api_is_told_with_its_caution_and_noted(api: Api) -> None:
    ours, strange = indicator(1)["id"], indicator(2)["id"]
    path = f"/recalls/{ours}"
    assert api("GET", path).status_code == 404
    assert api("POST", path, "rat", json={}).status_code == 403
    assert api("POST", f"/recalls/{strange}", "wan", json={}).status_code == 403
    made = api.told("POST", path, "wan", json={"reason": "the wrong host"})
    assert "cannot be guaranteed" in made["caution"]
    (recall,) = made["recalls"]
    assert (recall["mine"], recall["reason"]) == (True, "the wrong host")
    (party,) = recall["parties"]
    assert (party["party"], party["ways"], party["answer"]) == ("sg", ["taxii"], "")
    assert api("POST", path, "wan", json={}).status_code == 409
    said = {"state": "kept", "note": "by telephone"}
    answered = api.told("PUT", f"{path}/answers/sg", "wan", json=said)
    (party,) = answered["recalls"][0]["parties"]
    assert (party["answer"], party["proven"]) == ("kept", False)
    assert party["note"] == "wan: by telephone"
    assert api("PUT", f"{path}/answers/id", "wan", json=said).status_code == 404
    assert api.told("GET", "/recalls", "rat", params={"limit": 1})["more"] is False
    assert decided(api) == ["recalled an object", "noted an answer"]
    # sg is given neither object any more, and fetches the recall at its door.
    assert ours not in api.site.get(api.site.path("whole", "objects/")).text
    fetched = api.site.get("/federation/recalls").json()["recalls"]
    assert len(fetched) == 1
    assert api.site.get("/federation/recalls", user="budi").json() == {"recalls": []}


def test_what_another_recalled_is_withheld_from_the_api_and_may_be_kept(
    api: Api,
) -> None:
    theirs = indicator(2)["id"]
    assert take(api.node, text_of(by("my", indicator(2)), realm=REALM))
    assert api("GET", f"/objects/{theirs}").status_code == 404
    path = f"/recalls/{theirs}/keep"
    assert api("PUT", path, "wan", json={"reason": ""}).status_code == 400
    assert api("PUT", path, "wan", json={"reason": "order 5"}).status_code == 204
    assert shown(api, theirs)["withheld"] is None
    (recall,) = api.told("GET", f"/recalls/{theirs}")["recalls"]
    assert (recall["kept"], recall["here"]) == ("order 5", "kept")
    assert api("DELETE", path, "wan").status_code == 204
    assert api("DELETE", path, "wan").status_code == 404
    assert api("GET", f"/objects/{theirs}").status_code == 404
    assert decided(api) == ["kept an object", "kept an object no longer"]


def shown(api: Api, object_id: str) -> Any:
    return api.told("GET", f"/objects/{object_id}")
