"""The command line as a whole: help, errors, tables, JSON."""

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from typer.testing import CliRunner

from commands import MODULE, Run
from serantau.apps.cli.main import COMMANDS, SINGLE, app

ROOT = Path(__file__).parents[3]
HEAVY = ("sqlalchemy", "litestar", "rich.table", "cryptography", "jsonschema_rs")


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['serantau', '--help']\n"
        "from serantau.apps.cli.main import main\n"
        "try:\n    main()\nfinally:\n    print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    for name, (_, said) in COMMANDS.items():
        assert f"  {name} " in done.stdout
        assert said in done.stdout
    assert not set(HEAVY) & set(done.stderr.split())


@pytest.mark.parametrize("name", SINGLE)
def test_what_a_command_says_of_itself_is_what_the_list_says(name: str) -> None:
    module = import_module(f"serantau.apps.cli.{COMMANDS[name][0]}")
    assert getattr(module, name).__doc__.startswith(COMMANDS[name][1].removesuffix("."))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(run: Run, name: str) -> None:
    assert run(name, "--help").code == 0


def test_a_mistyped_command_is_answered_with_the_right_one(run: Run) -> None:
    ran = run("serach", "x")
    assert ran.code == 2
    assert "Did you mean 'search'" in ran.err


def test_completion_offers_the_commands() -> None:
    done = subprocess.run(
        [sys.executable, "-m", MODULE],
        env={
            **os.environ,
            "_SERANTAU_COMPLETE": "complete_bash",
            "COMP_WORDS": "serantau qua",
            "COMP_CWORD": "1",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["quarantine"]


def test_an_error_is_told_in_words_with_its_exit_code(tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, ["--home", str(tmp_path / "none"), "search", "x"])
    assert ran.exit_code == 3
    assert "There is no node in" in ran.stderr
    assert "serantau init" in ran.stderr
    assert "Traceback" not in ran.stderr


LISTS = (
    ("party", "list"),
    ("circle", "list"),
    ("collection", "list"),
    ("quarantine", "list"),
    ("user", "list"),
    ("peer", "list"),
    ("peer", "status"),
    ("peer", "sync"),
    ("share", "preview"),
    ("search", "TLP"),
    ("doctor", "--no-peers"),
)


@pytest.mark.parametrize("words", LISTS, ids=" ".join)
def test_a_command_that_prints_a_table_prints_one_json_list_when_asked(
    run: Run, words: tuple[str, ...]
) -> None:
    assert isinstance(run(*words, "--json").json, list)


@pytest.mark.parametrize("words", LISTS, ids=" ".join)
def test_what_is_no_terminal_gets_no_colour(run: Run, words: tuple[str, ...]) -> None:
    ran = run(*words)
    assert "\x1b" not in ran.out + ran.err


def test_every_command_is_documented_and_none_is_invented() -> None:
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    written = set(re.findall(r"^\| `serantau ([a-z0-9 -]+)` \|", page, re.MULTILINE))
    there = set()
    for name, (module, _) in COMMANDS.items():
        if name in SINGLE:
            there.add(name)
            continue
        noun = import_module(f"serantau.apps.cli.{module}")
        for each in noun.app.registered_commands:
            there.add(f"{name} {each.name or each.callback.__name__}")
        for group in noun.app.registered_groups:
            for each in group.typer_instance.registered_commands:
                said = each.name or each.callback.__name__
                there.add(f"{name} {group.name} {said}")
        if noun.app.registered_callback.invoke_without_command is True:
            there.add(name)
    assert written == there
