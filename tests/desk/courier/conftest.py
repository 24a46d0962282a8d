"""A node with a mail server of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from notice_events import DAY, make_node
from serantau.clock import SetClock
from serantau.node import Node
from smtp_server import Mailbox, smtp_server


@pytest.fixture
def clock() -> SetClock:
    return SetClock(f"{DAY}T13:00:00Z")


@pytest.fixture
def box() -> Iterator[Mailbox]:
    with smtp_server() as made:
        yield made


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "th"


@pytest.fixture
def node(home: Path, clock: SetClock, box: Mailbox) -> Iterator[Node]:
    with make_node(home, clock, port=box.port, automatic=True) as made:
        yield made
