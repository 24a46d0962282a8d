"""A furnished node behind its doors: in memory, or behind a real server."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from litestar.testing import TestClient

from doors import Site, collection_ids, furnish, serving
from serantau.apps.web.server import create_app
from serantau.config import FederationSection, NodeConfig, NodeSection
from serantau.node import Node


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a furnished node, to be copied: its passwords cost time."""
    home = tmp_path_factory.mktemp("furnished")
    with Node(_config(home)) as node:
        furnish(node)
    return home


def _config(home: Path) -> NodeConfig:
    return NodeConfig(
        home=home,
        node=NodeSection(member="th", team="ThaiCERT", realm="exercise:reef"),
        federation=FederationSection(hint_milliseconds=10),
    )


@pytest.fixture
def config(tmp_path: Path, furnished: Path) -> NodeConfig:
    home = tmp_path / "node"
    shutil.copytree(furnished, home)
    return _config(home)


@pytest.fixture
def open_site() -> Iterator[Callable[[NodeConfig], Site]]:
    """Opens nodes by configuration, and closes them after the test."""
    opened: list[Site] = []

    def site_of(config: NodeConfig) -> Site:
        node = Node(config)
        ids = collection_ids(node)
        doors = create_app(node)
        client = TestClient(doors, raise_server_exceptions=False)
        client.__enter__()
        opened.append(Site(node, doors, client, ids))
        return opened[-1]

    yield site_of
    for site in opened:
        site.client.__exit__(None, None, None)
        site.node.close()


@pytest.fixture
def site(open_site: Callable[[NodeConfig], Site], config: NodeConfig) -> Site:
    """A furnished node whose application answers in memory."""
    return open_site(config)


@pytest.fixture
def served(config: NodeConfig) -> Iterator[tuple[Node, str, dict[str, str]]]:
    """A furnished node behind a real server: node, address, collection ids."""
    with Node(config) as node:
        ids = collection_ids(node)
        with serving(node) as address:
            yield node, address, ids
