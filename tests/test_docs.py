"""What a reader is told is so: settings, errors, words, verbs, links, locks."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from serantau.config import FeedSection, NodeConfig
from serantau.errors import SerantauError
from serantau.rules import role
from serantau.rules.release import RULES, table_markdown

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *ROOT.glob("deploy/*.md")])

GLOSSARY = """
node member team partner party operator contact object marking audience release
verdict receipt collection peer event batch lane asset notice indicator sighting case
entry clock advisory drill inject norm course realm
"""


def _rows(page: Path) -> Iterator[list[str]]:
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("| ") and line.endswith(" |"):
            yield [cell.strip() for cell in line[1:-1].split(" | ")]


def _sections() -> Iterator[tuple[str, msgspec.Struct]]:
    defaults = NodeConfig()
    for section in msgspec.structs.fields(NodeConfig):
        if section.name == "feeds":
            yield "feeds.NAME", FeedSection()
        elif section.name != "home":
            yield section.name, getattr(defaults, section.name)


def _settings() -> Iterator[tuple[str, object]]:
    for section, defaults in _sections():
        for name, value in msgspec.structs.asdict(defaults).items():
            yield f"{section}.{name}", value


def _errors(above: type[SerantauError]) -> Iterator[type[SerantauError]]:
    yield above
    for below in above.__subclasses__():
        if below.__module__ == above.__module__:
            yield from _errors(below)


def _targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^\.PHONY: ([a-z]+)$", makefile, re.MULTILINE))


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_every_setting_is_documented_with_its_default_and_none_is_invented() -> None:
    written = {
        row[0]: row[1]
        for row in _rows(DOCS / "operations.md")
        if re.fullmatch(r"`[a-z]+\.(NAME\.)?[a-z_]+`", row[0])
    }
    assert written == {
        f"`{name}`": f"`{json.dumps(default)}`" for name, default in _settings()
    }


def test_every_setting_is_described_where_it_is_defined() -> None:
    for section, defaults in _sections():
        for field in msgspec.structs.fields(defaults):
            said = defaults.__doc__ or ""
            assert re.search(rf"\b{field.name}\b", said), f"{section}.{field.name}"


def test_every_error_is_documented_with_its_status_and_exit_code() -> None:
    rows = list(_rows(DOCS / "operations.md"))
    for error in _errors(SerantauError):
        meaning = (error.__doc__ or "").splitlines()[0]
        expected = [f"`{error.__name__}`", meaning, str(error.status)]
        assert [*expected, str(error.exit_code)] in rows


def test_every_word_has_a_meaning_and_what_to_avoid() -> None:
    defined = {row[0]: row for row in _rows(DOCS / "words.md")}
    assert set(GLOSSARY.split()) <= defined.keys()
    for word, row in defined.items():
        assert len(row) == 3, word
        assert all(row), word


def test_words_stand_in_alphabetical_order_and_once() -> None:
    words = [row[0] for row in _rows(DOCS / "words.md")][1:]
    assert words == sorted(set(words))


def test_release_policy_page_shows_the_table_and_every_rule_as_the_code_has_them() -> (
    None
):
    page = (DOCS / "release-policy.md").read_text(encoding="utf-8")
    assert table_markdown().strip() in page
    assert {row[0] for row in _rows(DOCS / "release-policy.md")} >= {
        f"`{rule}`" for rule in RULES
    }


def test_people_page_shows_roles_and_powers_as_the_code_has_them() -> None:
    page = (DOCS / "people.md").read_text(encoding="utf-8")
    assert role.markdown().strip() in page
    written = [row[0] for row in _rows(DOCS / "people.md")]
    assert set(written) >= {*role.ROLES, *role.Power}


def test_first_screen_of_readme_has_the_two_commands() -> None:
    first_screen = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:24]
    for command in ("make demo", "make test"):
        assert any(line.startswith(f"    {command}") for line in first_screen)


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_make_verb_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"(?:^ {4}|`)make ([a-z]+)", text, re.MULTILINE))
    assert named <= _targets()


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_make_alone_says_what_every_verb_does() -> None:
    said = subprocess.run(
        ["make", "--no-print-directory"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    explained = {line.split()[1]: line.split()[2:] for line in said.splitlines()}
    assert explained.keys() == _targets()
    assert all(explained.values())


def test_every_decision_is_listed_and_in_the_site() -> None:
    index = (DOCS / "adr" / "index.md").read_text(encoding="utf-8")
    site = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    decisions = sorted((DOCS / "adr").glob("[0-9]*.md"))
    assert decisions
    for decision in decisions:
        assert f"({decision.name})" in index
        assert f"adr/{decision.name}\n" in site
        title = decision.read_text(encoding="utf-8").splitlines()[0]
        assert title.startswith(f"# {decision.name[:4]}: ")


def test_changelog_says_what_may_leave_a_node() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for version in changes.split("\n## ")[1:]:
        assert "### What may leave a node\n" in version, version.splitlines()[0]
