"""A node's JSON API, asked by its users; every answer is held to the description."""

import re
import uuid
from functools import cache
from typing import Any

import jsonschema_rs

from doors import GREEN, RED, Site, indicator
from serantau.apps.web.api.description import describe
from serantau.apps.web.api.door import ROOT
from serantau.node import SEAL_FILE
from serantau.records.seal import Seal

SECRET = "the secret of the reef"


class Api:
    """A node's API, asked by one user after another."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.node = site.node
        registry = self.node.registry
        # Tokens, since each password would cost its hash.
        with self.node.db.write() as tx:
            for name, role in (("rat", "reader"), ("wan", "writer")):
                registry.add_user(tx, name, "th", role)
            names = [row.name for row in registry.users(tx)]
            self._tokens = {name: registry.add_token(tx, name, "") for name in names}

    def __call__(self, method: str, path: str, user: str = "boss", **more: Any) -> Any:
        bearer = {"Authorization": f"Bearer {self._tokens[user]}"}
        headers = {**bearer, **more.pop("headers", {})}
        answer = self.site.client.request(
            method, f"{ROOT}{path}", headers=headers, **more
        )
        check(method, path, answer)
        return answer

    def told(self, method: str, path: str, user: str = "boss", **more: Any) -> Any:
        answer = self(method, path, user, **more)
        assert answer.status_code in {200, 201}, answer.text
        return answer.json()

    def load(self, *objects: Any, user: str = "boss", **params: Any) -> Any:
        return self.told(
            "POST", "/objects", user, json={"objects": list(objects)}, params=params
        )


def check(method: str, path: str, answer: Any) -> None:
    """Hold an answer to what the description says of it."""
    found = [
        operations[method.lower()]
        for template, operations in describe()["paths"].items()
        if method.lower() in operations
        and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), f"{ROOT}{path}")
    ]
    if not found:
        assert answer.status_code in {404, 405}, answer.text
        return
    said = found[0]["responses"][str(answer.status_code)]
    if "content" not in said:
        assert not answer.content
        return
    name = said["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    assert answer.headers["content-type"] == "application/json"
    validator(name).validate(answer.json())


@cache
def validator(name: str) -> Any:
    schemas = describe()["components"]["schemas"]
    return jsonschema_rs.Draft202012Validator(
        {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}
    )


def api_of(site: Site) -> Api:
    """Give the API of a node with a reader and a writer of its own, and its keys."""
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
