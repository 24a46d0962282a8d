"""What the documentation says of events is what the code does."""

from pathlib import Path

from serantau.rules.asset import RANKS
from serantau.rules.event import table_markdown

PAGE = Path(__file__).parents[2] / "docs" / "events.md"


def test_events_page_shows_every_column_as_the_code_has_it() -> None:
    assert table_markdown() in PAGE.read_text(encoding="utf-8")


def test_events_page_gives_the_reasons_in_the_order_in_which_they_win() -> None:
    reasons = [
        line.split("`")[1]
        for line in PAGE.read_text(encoding="utf-8")
        .split("## Who must act")[1]
        .split("\n")
        if line.startswith("| `")
    ]
    assert reasons == [kind.value for kind in RANKS]
