"""What may go abroad is told in the documentation, column by column."""

from pathlib import Path

from serantau.rules.event import ABROAD, NAMES

TOLD = Path(__file__).parents[2] / "docs" / "neighbours.md"


def test_the_documentation_names_every_column_that_goes_and_no_other() -> None:
    (line,) = (
        part
        for part in TOLD.read_text(encoding="utf-8").split("\n- ")
        if part.startswith("Only these columns go")
    )
    told, _, _ = line.partition("What this node made")
    named = set(told.split("`")[1::2])
    assert named == set(ABROAD)
    assert named < set(NAMES)
