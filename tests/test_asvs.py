"""The page on OWASP ASVS has each requirement once, names tests that are there, and
counts right."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "asvs.md").read_text(encoding="utf-8")
# Levels 1 and 2 of 5.0.0: how many requirements each section has, numbered from 1.
SECTIONS = """
1.1:2 1.2:9 1.3:11 1.4:3 1.5:2 2.1:3 2.2:3 2.3:4 2.4:1 3.2:2 3.3:4 3.4:6 3.5:5 3.7:2
4.1:3 4.2:1 4.3:2 4.4:4 5.1:1 5.2:3 5.3:2 5.4:3 6.1:3 6.2:12 6.3:4 6.4:4 6.5:5 6.6:3
6.8:4 7.1:3 7.2:4 7.3:2 7.4:5 7.5:2 7.6:2 8.1:2 8.2:3 8.3:1 8.4:1 9.1:3 9.2:4 10.1:2
10.2:2 10.3:4 10.4:11 10.5:5 10.6:2 10.7:3 11.1:2 11.2:3 11.3:3 11.4:4 11.5:1 11.6:1
12.1:3 12.2:2 12.3:4 13.1:1 13.2:5 13.3:2 13.4:5 14.1:2 14.2:4 14.3:3 15.1:3 15.2:3
15.3:7 16.1:1 16.2:5 16.3:4 16.4:3 16.5:3 17.1:1 17.2:4 17.3:2
"""
# Those of level 1, in the same way of writing, but by their numbers.
FIRST = """
1.2:1,2,3,4,5 1.3:1,2 1.5:1 2.1:1 2.2:1,2 2.3:1 3.2:1,2 3.3:1 3.4:1,2 3.5:1,2,3 4.1:1
4.4:1 5.2:1,2 5.3:1,2 6.1:1 6.2:1,2,3,4,5,6,7,8 6.3:1,2 6.4:1,2 7.2:1,2,3,4 7.4:1,2
8.1:1 8.2:1,2 8.3:1 9.1:1,2,3 9.2:1 10.4:1,2,3,4,5 11.3:1,2 11.4:1 12.1:1 12.2:1,2
13.4:1 14.2:1 14.3:1 15.1:1 15.2:1 15.3:1
"""
STATES = {"met": "Met", "does not apply": "Does not apply", "**not met**": "Not met"}


def rows() -> list[list[str]]:
    return [
        line.strip("| ").split(" | ")
        for line in PAGE.splitlines()
        if re.match(r"\| V\d", line)
    ]


def of_level_1() -> Iterator[str]:
    for section, _, numbers in (each.partition(":") for each in FIRST.split()):
        yield from (f"V{section}.{number}" for number in numbers.split(","))


def test_each_requirement_stands_there_once_with_its_state() -> None:
    wanted = [
        f"V{section}.{number}"
        for section, _, count in (each.partition(":") for each in SECTIONS.split())
        for number in range(1, int(count) + 1)
    ]
    assert [row[0] for row in rows()] == wanted
    for row in rows():
        assert len(row) == 5, row[0]
        assert row[2] in STATES, row[0]
        assert all(row), row[0]


def test_what_is_met_says_where_that_is_shown() -> None:
    assert not [row[0] for row in rows() if row[2] == "met" and row[4] == "The reason"]


@cache
def names_in(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return frozenset(
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)
    )


def test_every_test_that_is_named_exists() -> None:
    named = re.findall(r"(tests/[\w/]+\.py)::(test_\w+)", PAGE)
    assert named
    assert not [each for each in named if each[1] not in names_in(each[0])]


@pytest.mark.parametrize("state", STATES)
def test_what_is_counted_at_the_top_is_what_stands_below(state: str) -> None:
    first = set(of_level_1())
    held = Counter(row[0] in first for row in rows() if row[2] == state)
    line = f"| {STATES[state]} | {held[True]} | {held[False]} | {held.total()} |"
    assert line in PAGE
