"""A node with people and collections, and ways to knock at its doors."""

import asyncio
import base64
import socket
import threading
import uuid
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
import pytest
from litestar.testing import TestClient

from serantau.apps.web.server import Doors, Web, create_app
from serantau.config import HttpSection, NodeConfig
from serantau.node import Node
from serantau.records.registry import Access
from serantau.rules.party import Kind, Party
from serantau.wire.taxii import API_ROOT, MEDIA_TYPE

T = TypeVar("T")

GREEN = "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb"
RED = "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1"
PASSWORD = "correct horse battery"
MADE = "2026-01-01T00:00:00.000Z"


def indicator(number: int = 0, **more: Any) -> dict[str, Any]:
    """A valid indicator that every member may have; equal numbers have equal ids."""
    name = uuid.UUID(int=(4 << 76) | (8 << 60) | (0x5E << 96) | number)
    return {
        "type": "indicator",
        "spec_version": "2.1",
        "id": f"indicator--{name}",
        "created": MADE,
        "modified": MADE,
        "name": f"indicator {number}",
        "pattern": f"[domain-name:value = 'host{number}.example']",
        "pattern_type": "stix",
        "valid_from": MADE,
        "object_marking_refs": [GREEN],
        **more,
    }


def basic(user: str, password: str = PASSWORD) -> dict[str, str]:
    """The header of a Basic login."""
    text = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {text}"}


@dataclass
class Site:
    """A node, its application in memory, and the ids of its collections."""

    node: Node
    doors: Doors
    client: TestClient[Doors]
    ids: dict[str, str]

    def path(self, collection: str, rest: str = "") -> str:
        return f"{API_ROOT}collections/{self.ids[collection]}/{rest}"

    def get(self, path: str, user: str = "wei", **more: Any) -> Any:
        headers = {"Accept": MEDIA_TYPE, **basic(user), **more.pop("headers", {})}
        return self.client.get(path, headers=headers, **more)

    def delete(self, path: str, user: str = "wei", **more: Any) -> Any:
        return self.client.delete(path, headers=basic(user), **more)

    def post(
        self, objects: Any, collection: str = "box", user: str = "wei", **headers: str
    ) -> Any:
        content = objects if isinstance(objects, bytes) else None
        return self.client.post(
            self.path(collection, "objects/"),
            content=content,
            json=None if content is not None else {"objects": objects},
            headers={"Content-Type": MEDIA_TYPE, **basic(user), **headers},
        )

    def metric(self, name: str, **labels: str) -> float:
        found = self.doors.state.hall.metrics.registry.get_sample_value(name, labels)
        return 0.0 if found is None else float(found)


def collection_ids(node: Node) -> dict[str, str]:
    with node.db.read() as tx:
        return {held.alias: held.id for held in node.registry.collections(tx)}


def furnish(node: Node) -> None:
    """Give a fresh node people, parties and collections."""
    everyone = ("everyone",)
    with node.db.write() as tx:
        known = node.registry.parties(tx)
        for name, kind in (
            ("th", Kind.OWN),
            ("sg", Kind.MEMBER),
            ("id", Kind.MEMBER),
            ("jp", Kind.PARTNER),
        ):
            if name not in known:
                node.registry.put_party(tx, Party(name, kind))
        for name, party, role in (
            ("boss", "th", "admin"),
            ("wei", "sg", "writer"),
            ("lim", "sg", "reader"),
            ("budi", "id", "writer"),
        ):
            node.registry.add_user(tx, name, party, role, PASSWORD)
        for alias, box, read, write in (
            ("whole", False, everyone, ()),
            ("box", True, everyone, everyone),
            ("ro", True, everyone, ()),
            ("wo", True, (), everyone),
            ("hidden", True, ("party:th",), ("party:th",)),
        ):
            node.registry.put_collection(
                tx, alias, alias.title(), box=box, access=Access(read=read, write=write)
            )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(node: Node, http: HttpSection | None = None) -> Iterator[str]:
    """Serve a node with Granian in a thread; gives the address."""
    held = replace_http(node.config, http or HttpSection(port=free_port()))
    web = Web(create_app(node), held)
    thread = threading.Thread(target=lambda: asyncio.run(web.run()))
    thread.start()
    scheme = "https" if held.http.certificate else "http"
    try:
        wait_for_port(held.http.port)
        yield f"{scheme}://127.0.0.1:{held.http.port}"
    finally:
        web.stop()
        thread.join(30)
        assert not thread.is_alive()


def in_a_thread(scenario: Coroutine[Any, Any, T]) -> T:
    """Run it beside this thread, in which the loop of a browser may be running."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, scenario).result()


def replace_http(config: NodeConfig, http: HttpSection) -> NodeConfig:
    return msgspec.structs.replace(config, http=http)


def wait_for_port(port: int) -> None:
    for _ in range(600):
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        threading.Event().wait(0.05)
    pytest.fail(f"nothing listens on port {port}")
