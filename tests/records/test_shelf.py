"""Pages of what is held: newest first, at a price of their own."""

from collections.abc import Iterator

import orjson
import pytest

from doors import GREEN, RED, indicator
from serantau.clock import SetClock
from serantau.config import NodeConfig, NodeSection, StoreSection
from serantau.desk.intake import Intake
from serantau.desk.seen_matrix import SeenMatrix
from serantau.desk.shelf import Asked, Listed, listed, sources
from serantau.node import Node
from serantau.records import shelf
from serantau.rules.level import Tlp
from serantau.wire.bundle import Piece

COUNT = 120
NAMES = {7: "กลุ่มแฮกเกอร์ภาคใต้", 8: "ក្រុមហេគឃ័រ", 9: "ກຸ່ມແຮັກເກີ", 10: "ဟက်ကာအဖွဲ့"}


def take(node: Node, objects: list[dict[str, object]], source: str = "file") -> None:
    pieces = [
        Piece(ordinal=place, offset=0, line=place, raw=orjson.dumps(one))
        for place, one in enumerate(objects, 1)
    ]
    report = Intake(node).take(pieces, origin="test", source=source, handle_as="GREEN")
    assert report.refused == 0, report.faults


@pytest.fixture(
    scope="module",
    params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)],
)
def store_url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "sqlite":
        yield ""
        return
    copies = request.getfixturevalue("postgres_copies")
    with copies(request.getfixturevalue("postgres_tables_made_once")) as url:
        yield url


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, store_url: str) -> Iterator[Node]:
    config = NodeConfig(
        home=tmp_path_factory.mktemp("shelf"),
        node=NodeSection(member="th", team="ThaiCERT"),
        store=StoreSection(url=store_url),
    )
    with Node(config, SetClock()) as node:
        take(
            node,
            [
                indicator(
                    at,
                    name=NAMES.get(at, f"name {at}"),
                    object_marking_refs=[RED if at % 40 == 0 else GREEN],
                )
                for at in range(COUNT)
            ],
        )
        later = {"modified": "2026-02-01T00:00:00.000Z", "name": "named anew"}
        take(node, [indicator(3, **later)])
        malware = "malware--00000000-0000-4000-8000-00000000000a"
        take(
            node,
            [
                {**indicator(1), "type": "malware", "id": malware, "is_family": True},
            ],
            source="peer:sg",
        )
        yield node


def every(node: Node, asked: Asked, limit: int = 7) -> list[str]:
    """The ids of all pages, one after the other."""
    ids: list[str] = []
    before = 0
    for _ in range(200):
        page = listed(
            node,
            Asked(asked.text, asked.type, asked.level, asked.source, 0, before),
            limit,
        )
        ids += [line.id for line in page.lines]
        if not page.onward:
            return ids
        before = page.onward
    raise AssertionError("the pages do not end")


def one(page: Listed) -> str:
    (line,) = page.lines
    return line.name


def test_pages_give_every_object_once_and_the_newest_first(node: Node) -> None:
    ids = every(node, Asked())
    assert len(ids) == len(set(ids))
    assert ids[:3] == [
        "malware--00000000-0000-4000-8000-00000000000a",
        indicator(3)["id"],
        indicator(COUNT - 1)["id"],
    ]
    assert every(node, Asked(type="indicator")) == [
        one for one in ids if one.startswith("indicator--")
    ]


def test_filters_leave_what_they_name_and_nothing_else(node: Node) -> None:
    red = {indicator(at)["id"] for at in (0, 40, 80)}
    assert set(every(node, Asked(level=Tlp.RED))) == red
    assert len(every(node, Asked(source="peer:sg"))) == 1
    assert every(node, Asked(source="peer:sg", type="indicator")) == []
    assert every(node, Asked(type="no-such-type")) == []
    assert every(node, Asked(text="name", level=Tlp.RED)) != []
    assert set(every(node, Asked(text="name", level=Tlp.RED))) == red
    assert "peer:sg" in sources(node)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("แฮกเกอร์", 7),
        ("ហេគឃ័រ", 8),
        ("ແຮັກ", 9),
        ("အဖွဲ့", 10),
        ("HOST11[.]example", 11),
        ("host11.example", 11),
        (str(indicator(12)["id"]), 12),
        ("anew", 3),
    ],
)
def test_a_text_is_found_in_any_script_defanged_or_not(
    node: Node, text: str, at: int
) -> None:
    assert every(node, Asked(text)) == [indicator(at)["id"]]


def test_a_text_of_two_letters_is_found_on_several_pages(node: Node) -> None:
    assert len(every(node, Asked("me", type="indicator"))) == COUNT - len(NAMES)


def test_a_look_that_ends_early_says_so_and_goes_on_there(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "WINDOW", 10)
    monkeypatch.setattr(shelf, "_BODIES", 10)
    monkeypatch.setattr(shelf, "_STEPS", (5, 10))
    page = listed(node, Asked(source="peer:th"))
    assert not page.onward  # nothing ever came from there
    page = listed(node, Asked(source="file"), 100)
    assert page.cut
    assert page.onward
    assert every(node, Asked("named anew")) == [indicator(3)["id"]]
    for asked in (Asked("8"), Asked("name 80"), Asked(level=Tlp.RED, source="file")):
        assert indicator(80)["id"] in every(node, asked)
    assert len(every(node, Asked(source="file"))) == COUNT


def test_the_matrix_is_counted_on_each_kind_of_store(node: Node) -> None:
    pattern = {
        **indicator(500, name="Phishing"),
        "type": "attack-pattern",
        "id": "attack-pattern--00000000-0000-4000-8000-000000000500",
        "kill_chain_phases": [{"kill_chain_name": "c", "phase_name": "first-step"}],
    }
    tie = {
        **indicator(501),
        "type": "relationship",
        "id": "relationship--00000000-0000-4000-8000-000000000501",
        "relationship_type": "uses",
        "source_ref": indicator(1)["id"],
        "target_ref": pattern["id"],
    }
    take(node, [pattern, tie])
    (matrix,) = SeenMatrix(node).all()
    (tactic,) = matrix.tactics
    (technique,) = tactic.techniques
    assert (tactic.title, technique.counts) == ("First step", {"uses": 1})
