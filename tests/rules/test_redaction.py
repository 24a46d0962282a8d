"""What may not travel is left out of a new object, and nothing tells what it was."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samples import AT, IDENTITY, LATER, READER, TLP_AMBER, made, observable, read
from serantau.rules.redaction import derive
from serantau.rules.selector import path_of, without
from serantau.rules.signature import SIGNATURE_EXTENSION

MARK = "marking-definition--11111111-2222-4333-8444-555555555555"
OWN = "identity--99999999-2222-4333-8444-555555555555"


def marked(kind: str, *selectors: str, **more: Any) -> dict[str, Any]:
    return made(
        kind,
        modified=LATER,
        object_marking_refs=[TLP_AMBER],
        granular_markings=[{"selectors": list(selectors), "marking_ref": MARK}],
        **more,
    )


def test_a_derived_object_is_a_new_one_without_the_marked_parts() -> None:
    data = marked(
        "malware",
        "description",
        "labels.[0]",
        "labels.[2]",
        "aliases",
        "external_references.[0].description",
        created_by_ref=IDENTITY,
        description="SECRET one",
        labels=["SECRET two", "plain", "SECRET three"],
        aliases=["SECRET four"],
        external_references=[{"source_name": "x", "url": "u", "description": "SECRET"}],
    )
    derived, relationship = READER.redact(read(data), OWN)
    told = json.loads(derived.body)
    assert "SECRET" not in derived.body.decode() + relationship.body.decode()
    assert "secret" not in derived.text
    assert told["id"] != data["id"]
    assert told["created_by_ref"] == OWN
    assert told["created"] == told["modified"] == LATER
    assert told["labels"] == ["plain"]
    assert told["external_references"] == [{"source_name": "x", "url": "u"}]
    assert "aliases" not in told
    assert "granular_markings" not in told
    assert told["object_marking_refs"] == [TLP_AMBER]
    assert derived.redacted
    assert derived.granular_refs == (MARK,)
    assert relationship.redacted
    assert relationship.granular_refs == (MARK,)
    assert relationship.marking_refs == (TLP_AMBER,)
    assert relationship.data["relationship_type"] == "derived-from"
    assert relationship.data["source_ref"] == derived.id
    assert relationship.data["target_ref"] == data["id"]


def test_what_is_left_is_not_what_its_creator_signed() -> None:
    other = "extension-definition--12345678-2222-4333-8444-555555555555"
    kept = {other: {"extension_type": "property-extension", "rank": 5}}
    mark = {SIGNATURE_EXTENSION: {"extension_type": "property-extension", "jws": "x"}}
    for extensions, left in ((kept | mark, kept), (mark, None)):
        data = marked("malware", "description", description="x", extensions=extensions)
        told = json.loads(READER.redact(read(data), OWN)[0].body)
        assert told.get("extensions") == left


def test_deriving_twice_gives_the_same_and_another_node_another_object() -> None:
    version = read(marked("tool", "description", description="x"))
    first, again = READER.redact(version, OWN), READER.redact(version, OWN)
    assert [each.body for each in first] == [each.body for each in again]
    other = READER.redact(version, IDENTITY)
    assert {each.id for each in first}.isdisjoint(each.id for each in other)


def test_another_version_derives_another_object() -> None:
    data = marked("tool", "description", description="x")
    older = READER.redact(read(data | {"modified": AT}), OWN)
    assert older[0].id != READER.redact(read(data), OWN)[0].id


def test_numbers_are_not_rounded() -> None:
    data = marked("tool", "description", description="x", x_big=2**70)
    raw = json.dumps(data).replace(str(2**70), f"[{2**70}, 1.10, 1e5]").encode()
    (derived, _) = READER.redact(READER.read(raw), OWN)
    assert f'"x_big":[{2**70},1.10,1e5]'.encode() in derived.body


def test_an_unmarked_derived_object_has_an_unmarked_relationship() -> None:
    data = marked("tool", "description", description="x")
    del data["object_marking_refs"]
    assert [each.marking_refs for each in READER.redact(read(data), OWN)] == [(), ()]


def test_a_relationship_is_derived_without_a_relationship() -> None:
    data = marked("relationship", "description", description="x")
    (derived,) = READER.redact(read(data), OWN)
    assert "description" not in derived.data


def test_a_language_of_a_part_is_no_restriction() -> None:
    data = made(
        "tool",
        description="ไทย",
        granular_markings=[
            {"selectors": ["description"], "lang": "th"},
            {"selectors": ["labels"], "marking_ref": MARK},
        ],
        labels=["SECRET"],
    )
    (derived, _) = READER.redact(read(data), OWN)
    assert derived.data["description"] == "ไทย"
    assert "labels" not in derived.data


@pytest.mark.parametrize(
    "data",
    [
        marked("tool", "name"),
        marked("tool", "id"),
        marked("tool", "modified"),
        marked("tool", "object_marking_refs"),
        marked("indicator", "pattern"),
        observable(
            "url",
            value="http://a.example",
            granular_markings=[{"selectors": ["value"], "marking_ref": MARK}],
        ),
        made(
            "marking-definition",
            modified=None,
            name="n",
            definition_type="statement",
            definition={"statement": "s"},
            granular_markings=[{"selectors": ["name"], "marking_ref": MARK}],
        ),
        marked("extension-definition", "description", description="d"),
        {
            "type": "x-seen",
            "id": f"x-seen--{uuid.uuid4()}",
            "value": "v",
            "granular_markings": [{"selectors": ["value"], "marking_ref": MARK}],
        },
    ],
    ids=lambda data: data["type"],
)
def test_what_would_be_nothing_or_would_tell_is_not_derived(
    data: dict[str, Any],
) -> None:
    assert READER.redact(read(data), OWN) == []


def test_a_mark_on_the_marks_takes_them_as_ever() -> None:
    data = marked("tool", "granular_markings", "labels", labels=["SECRET"])
    (derived, _) = READER.redact(read(data), OWN)
    assert b"SECRET" not in derived.body


_TREES = st.recursive(
    st.integers(),
    lambda inside: (
        st.lists(inside, min_size=1, max_size=3)
        | st.dictionaries(st.sampled_from("abc"), inside, min_size=1, max_size=3)
    ),
    max_leaves=12,
)


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    here = [path] if path else []
    return here + [
        found for step, item in inside for found in paths(item, (*path, step))
    ]


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in leaves(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves(item)]
    return [value]


@given(st.dictionaries(st.sampled_from("abc"), _TREES, min_size=1), st.data())
def test_exactly_what_the_selectors_name_goes(tree: dict[str, Any], data: Any) -> None:
    chosen = data.draw(st.lists(st.sampled_from(paths(tree))))
    number = iter(range(10_000))

    def numbered(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: numbered(item) for name, item in value.items()}
        return [numbered(x) for x in value] if isinstance(value, list) else next(number)

    tree = numbered(tree)
    gone = set()
    for path in chosen:
        selector = ".".join(f"[{s}]" if isinstance(s, int) else s for s in path)
        assert path_of(tree, selector) == path
        here: Any = tree
        for step in path:
            here = here[step]
        gone.update(leaves(here))
    expected = [leaf for leaf in leaves(tree) if leaf not in gone]
    without(tree, chosen)
    assert leaves(tree) == expected
    assert all(
        value not in ([], {}) for path in paths(tree) for value in [_at(tree, path)]
    )


def _at(tree: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        tree = tree[step]
    return tree


@pytest.mark.parametrize(
    "selector", ["", ".", "b", "a.[01]", "a.[9]", "a.[-1]", "a.b", "n.[0]", "a.[0].x"]
)
def test_a_selector_of_nothing_names_nothing(selector: str) -> None:
    assert path_of({"a": [1], "n": 3}, selector) == ()


def test_derive_writes_the_texts_alone() -> None:
    texts = derive(read(marked("tool", "description", description="x")).body, OWN)
    assert [json.loads(text)["type"] for text in texts] == ["tool", "relationship"]
