"""A node that works cases by mail, with a mail server and a maildir of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from case_mails import config_of, make_home
from serantau.clock import SetClock
from serantau.config import NodeConfig
from serantau.node import Node
from smtp_server import Mailbox, smtp_server


@pytest.fixture(scope="session")
def case_mail_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("case-mail") / "th"
    make_home(home)
    return home


@pytest.fixture
def box() -> Iterator[Mailbox]:
    with smtp_server() as made:
        yield made


@pytest.fixture
def clock() -> SetClock:
    return SetClock("2026-03-02T00:00:00Z")


@pytest.fixture
def home(case_mail_home: Path, tmp_path: Path) -> Path:
    made = Path(shutil.copytree(case_mail_home, tmp_path / "th"))
    (made / "answers" / "new").mkdir(parents=True)
    return made


@pytest.fixture
def config(home: Path, box: Mailbox) -> NodeConfig:
    return config_of(home, box.port)


@pytest.fixture
def node(config: NodeConfig, clock: SetClock) -> Iterator[Node]:
    with Node(config, clock) as opened:
        yield opened
