"""The threat model names, for each attack, a test that is there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", PAGE)
# What an attacker was first asked to try; each stands in the first column of a row.
ATTACKS = (
    "forged signature",
    "stripped signature",
    "key swap",
    "replay of an old version",
    "rollback of the tree",
    "split view",
    "reordered leaves",
    "a relay that widens a marking",
    "a relay that invents receipts of a recall",
    "unicode and number tricks",
    "timing",
)


def rows() -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in PAGE.partition("## Attacks")[2].splitlines()
        if line.startswith("| ") and not line.startswith("| Attack |")
    ]


@pytest.mark.parametrize(("file", "test"), sorted(set(NAMED)))
def test_every_test_that_is_named_exists(file: str, test: str) -> None:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert test in {
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)
    }


def test_every_attack_says_how_it_is_met_and_which_test_shows_it() -> None:
    assert len(rows()) > len(ATTACKS)
    for attack, met, shown in rows():
        assert met, attack
        assert re.fullmatch(r"(`tests/[\w/]+\.py::test_\w+`(, )?)+ ?\|?", shown), attack


@pytest.mark.parametrize("attack", ATTACKS)
def test_every_attack_that_was_asked_for_is_met(attack: str) -> None:
    assert [row for row in rows() if row[0].lower().startswith(attack)]
