"""What docs/api.md says of the API is so."""

import re
from pathlib import Path

from serantau.apps.web.api.description import (
    describe,
    faults_markdown,
    verbs_markdown,
)
from serantau.apps.web.api.door import LEAST_ROLE, ROOT

ROOT_FOLDER = Path(__file__).parent.parent.parent
PAGE = (ROOT_FOLDER / "docs" / "api.md").read_text(encoding="utf-8")


def test_the_page_has_every_verb_with_its_request_and_least_role() -> None:
    assert verbs_markdown() in PAGE
    rows = re.findall(r"^\| `([a-z-]+)` \| `[A-Z]+ /\S+` \| (\w+) \|", PAGE, re.M)
    assert dict(rows) == LEAST_ROLE


def test_the_page_has_every_kind_of_fault() -> None:
    # Another program's errors are none of the API's, also when they are loaded.
    import serantau.apps.demo.region  # noqa: F401

    assert faults_markdown() in PAGE


def test_every_address_on_the_page_is_one_of_the_api() -> None:
    paths = [path.removeprefix(ROOT) for path in describe()["paths"]]
    named = re.findall(rf"{ROOT}(/[a-z./]+)", PAGE)
    assert named
    assert set(named) <= {*paths, "/openapi.json"}


def test_every_operation_says_what_it_does_and_who_may() -> None:
    for operations in describe()["paths"].values():
        for operation in operations.values():
            assert operation["summary"].endswith(".")
            role = LEAST_ROLE[operation["operationId"]]
            assert role in operation["description"].lower()


def test_the_page_is_in_the_site() -> None:
    assert "API: api.md\n" in (ROOT_FOLDER / "mkdocs.yml").read_text(encoding="utf-8")
