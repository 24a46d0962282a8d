"""A founded node, and commands that are run on it."""

import shutil
from pathlib import Path

import pytest

from commands import Ran, Run, command
from serantau.desk.found import Charter, found


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A node's folder, to be copied: its password costs time."""
    home = tmp_path_factory.mktemp("cli") / "th"
    found(home, Charter("th", "ThaiCERT", coordinators=("sg",)))
    return home


@pytest.fixture
def home(founded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(founded, tmp_path / "th"))


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.delenv("SERANTAU_DEBUG", raising=False)

    def run(*arguments: object, given: str | bytes = "") -> Ran:
        return command(home, *arguments, given=given)

    return run
