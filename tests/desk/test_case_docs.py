"""The page about cases has the tables as the code has them."""

from pathlib import Path

from serantau.rules.case_entry import ENTRY_EXTENSION
from serantau.rules.case_schema import NEEDED
from serantau.rules.case_states import table_markdown
from serantau.rules.case_steps import FLAGS
from serantau.rules.severity import table_markdown as table_of_severity
from serantau.wire.iodef import RESTRICTIONS, SEVERITIES

PAGE = Path(__file__).parents[2] / "docs" / "cases.md"


def test_the_page_has_every_state_flag_and_kind() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert table_markdown() in page
    assert table_of_severity() in page
    assert ENTRY_EXTENSION in page
    for flag, meaning in FLAGS.items():
        assert f"| `{flag}` | {meaning} |" in page
    for kind, sets in NEEDED.items():
        (row,) = (line for line in page.splitlines() if line.startswith(f"| `{kind}` "))
        assert all(f"`{name}`" in row for names in sets for name in names)


def test_the_page_says_how_iodef_writes_levels_and_severities() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for level, restriction in RESTRICTIONS.items():
        assert f"| {level.label} | {restriction} |" in page
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")]
    written = {
        name.strip("| "): cells[1].strip(" |")
        for cells in rows
        for name in cells[0].split(", ")
        if len(cells) == 2
    }
    for name, severity in SEVERITIES.items():
        assert not name or written[name] == severity
