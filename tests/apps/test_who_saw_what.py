"""Who reads objects, rows or notices is logged, and who decides: at every door.

The doors' code is walked: a command or verb that uses something which gives content to
read must note the reading, or stand below with the reason. And every verb of the API
that changes something is asked, to see that it leaves a decision.
"""

import ast
import inspect
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import typer

import serantau
from doors import Site, indicator
from knocks import Api, api_of
from serantau.apps.cli.main import app
from serantau.apps.web.api.description import describe
from serantau.apps.web.api.door import LEAST_ROLE
from serantau.records import acts
from serantau.records.audit import Period

SOURCE = Path(serantau.__file__).parent
NOTED = "note_reading"
# What gives a door content of objects, rows of events, notices or logs.
READERS = {
    "Audit",
    "Simulation",
    "archive_of",
    "bodies",
    "body",
    "carry",
    "csv",
    "dossier",
    "passed",
    "preview",
    "prove",
    "quarantine",
    "rejected",
    "release_page",
    "search",
    "stamps_of",
    "who_got",
    "wording",
}
_A_RELEASE = "what it gives is a release, and in the release log"
# Commands and verbs that use one of these, and note nothing.
EXCEPT = MappingProxyType(
    {
        "share handover": _A_RELEASE,
        "share write": _A_RELEASE,
        "quarantine retry": "it tells rules and counts; the decision is noted",
        "quarantine drop": "it tells a count; the decision is noted",
        "circle set": "it shows what it opens; the decision is noted",
        "api retry-quarantined": "it tells rules; the decision is noted",
        "api drop-quarantined": "it shows nothing; the decision is noted",
        "api my-releases": "a party's own row of the release log",
        "asset import": "what the caller brought",
        "lane guess": "what the caller brought",
        "init": "it makes a node of an export",
    }
)
# Verbs that change something and are no decision.
NO_DECISION = MappingProxyType(
    {
        "load": "what is brought names its source, user:NAME, for ever",
        "add-events": "each batch names its source, user:NAME",
        "sync-peer": "it hastens what the node does by itself",
    }
)

# They need an object that was recalled: test_api_recalls holds that each is noted.
ELSEWHERE = frozenset({"make-recall", "keep-object", "let-object-go", "note-answer"})


def commands() -> Iterator[tuple[str, Any]]:
    """Give every command of the command line, by name, with its function."""

    def walk(held: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        if hasattr(held, "list_commands"):
            for name in held.list_commands(None):
                yield from walk(held.get_command(None, name), (*path, name))
            if not held.invoke_without_command:
                return
        yield " ".join(path), inspect.unwrap(held.callback)

    yield from walk(typer.main.get_command(app), ())


def names_in(function: Any) -> set[str]:
    """Give the names that a function and what it calls in its own module use."""
    return names_of(tree_of(inspect.getfile(function)), function.__name__)


@cache
def tree_of(file: str) -> ast.Module:
    return ast.parse(Path(file).read_text(encoding="utf-8"))


def names_of(tree: ast.Module, name: str) -> set[str]:
    made = {
        each.name: each
        for each in tree.body
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    found: set[str] = set()
    waiting = [name]
    while waiting:
        here = made.pop(waiting.pop(), None)
        for part in ast.walk(here) if here is not None else ():
            if isinstance(part, ast.Attribute):
                found.add(part.attr)
            elif isinstance(part, ast.Name):
                found.add(part.id)
                waiting.append(part.id)
            elif isinstance(part, ast.alias):
                found.add(part.name)
    return found


def verbs() -> Iterator[tuple[str, set[str]]]:
    """Give every verb of the API, with the names that its function uses."""
    for path in sorted((SOURCE / "apps/web/api").glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for each in tree.body:
            if not isinstance(each, ast.AsyncFunctionDef):
                continue
            for mark in each.decorator_list:
                if (
                    isinstance(mark, ast.Call)
                    and getattr(mark.func, "id", "") == "verb"
                ):
                    named = mark.args[2]
                    assert isinstance(named, ast.Constant)
                    yield str(named.value), names_of(tree, each.name)


def test_every_command_and_verb_that_shows_content_notes_who_read_it() -> None:
    used = {name: names_in(function) for name, function in commands()}
    used |= {f"api {name}": names for name, names in verbs()}
    assert {name.removeprefix("api ") for name in used if name[:4] == "api "} == set(
        LEAST_ROLE
    )
    silent = {
        name for name, names in used.items() if names & READERS and NOTED not in names
    }
    new = silent - EXCEPT.keys()
    assert not new, f"{new} show content: call {NOTED}, or say here why not"
    known = EXCEPT.keys() & used.keys()
    assert known <= silent, f"{known - silent}: take them off the list"


def test_no_door_takes_a_persons_name_from_the_environment() -> None:
    for path in SOURCE.rglob("*.py"):
        assert "getuser(" not in path.read_text(encoding="utf-8"), path


@pytest.mark.parametrize(
    "code",
    [
        "def show(node):\n    return node.quarantine.get(1)",
        "def show(node):\n    from x import dossier\n    return dossier(node, '')",
        "def show(node):\n    return more(node)\ndef more(one):\n    return one.body",
    ],
)
def test_the_walk_sees_what_a_door_reads(code: str) -> None:
    assert names_of(ast.parse(code), "show") & READERS


@pytest.fixture
def api(site: Site) -> Api:
    return api_of(site)


def rows(api: Api, kind: str) -> list[Any]:
    with api.site.node.db.read() as tx:
        every = Period()
        if kind == "reading":
            return list(acts.read_by(tx, "boss", every, 1000))
        return list(acts.decided_by(tx, "boss", every, 1000))


def test_what_a_user_reads_over_the_api_is_noted_under_their_name(api: Api) -> None:
    api.load(indicator(1), indicator(2, pattern="[x"))
    for path, asked, what in (
        (f"/objects/{indicator(1)['id']}", {}, "show"),
        ("/search", {"q": "host1.example"}, "search"),
        ("/quarantine", {}, "quarantine list"),
        ("/quarantine/1", {}, "quarantine show"),
        ("/share/preview", {"to": "sg"}, "share preview"),
        ("/releases", {}, "releases"),
    ):
        api.told("GET", path, params=asked)
        found = rows(api, "reading")[-1]
        assert (found.what, found.way) == (what, "api"), path
    assert api("GET", "/objects/indicator--0").status_code in {400, 404}
    assert rows(api, "reading")[-1].what == "releases"


CHANGES: tuple[tuple[str, str, str, Any], ...] = (
    ("put-party", "PUT", "/parties/egat", {"kind": "partner"}),
    ("block-party", "POST", "/parties/egat/block", None),
    ("unblock-party", "POST", "/parties/egat/unblock", None),
    ("put-circle", "PUT", "/circles/ports", {"members": ["sg"]}),
    ("drop-circle", "DELETE", "/circles/ports", None),
    ("put-collection", "PUT", "/collections/feed", {"title": "F", "read": []}),
    ("add-user", "POST", "/users", {"name": "ann", "party": "sg", "role": "reader"}),
    ("set-password", "PUT", "/users/ann/password", {"password": "long enough now"}),
    ("disable-user", "POST", "/users/ann/disable", None),
    ("enable-user", "POST", "/users/ann/enable", None),
    ("add-token", "POST", "/users/ann/tokens", {"label": "one"}),
    ("drop-tokens", "DELETE", "/users/ann/tokens", None),
    ("retry-quarantined", "POST", "/quarantine/1/retry", None),
    ("drop-quarantined", "DELETE", "/quarantine/2", None),
    ("put-peer", "PUT", "/peers/sg", {"url": "http://127.0.0.1:1", "secret": "s3cret"}),
    ("remove-peer", "DELETE", "/peers/sg", None),
)


def test_every_verb_that_changes_something_leaves_a_decision(api: Api) -> None:
    operations = describe()["paths"].values()
    changing = {
        one["operationId"]
        for methods in operations
        for method, one in methods.items()
        if method != "get"
    }
    here = changing - NO_DECISION.keys() - ELSEWHERE
    assert {name for name, *_ in CHANGES} == here
    api.load(indicator(2, pattern="[x"), indicator(3, pattern="[x"))
    for name, method, path, body in CHANGES:
        before = len(rows(api, "decision"))
        answer = api(method, path, json=body)
        assert answer.status_code < 300, (name, answer.text)
        made = rows(api, "decision")[before:]
        assert made, name
        assert {one.way for one in made} == {"api"}
        assert "s3cret" not in str(made)
        assert "long enough" not in str(made)
