"""The option that says where the lane's work is done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from serantau.lane.engine import Engine
    from serantau.node import Node

EngineName = Annotated[
    str,
    typer.Option("--engine", help="threads: on this machine; ray: on a cluster."),
]


@contextmanager
def engaged(node: Node, name: str) -> Iterator[Engine]:
    """Open the engine of that name, and close it at the end.

    Raises:
        BadRequest: there is none of that name.
        ConfigError: what it needs is not installed.
        StoreError: the cluster cannot be reached.
    """
    from serantau.errors import BadRequest
    from serantau.lane.engine import NAMES, open_engine

    if name not in NAMES:
        raise BadRequest(f"--engine is {name!r}, expected {' or '.join(NAMES)}.")
    with closing(open_engine(name, node.config.lane.cluster)) as engine:
        yield engine
