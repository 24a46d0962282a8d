"""The formats, roles and report types, as the documentation shows them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from serantau.lane.formats.form import COLUMNS, COMPOUND, Format

_CUTS: Final = {
    "table": "columns parted by `{}`",
    "lines": "one value a line",
    "json": "JSON",
    "arrow": "Arrow IPC",
}


def _code(text: str) -> str:
    return f"`{text}`"


def formats_markdown(forms: Iterable[Format]) -> str:
    """Write one line for each format: what it is called, reads, and fills."""
    lines = ["| Format | Reads | Written as | Fills |", "|---|---|---|---|"]
    for form in forms:
        delimiter = {"\t": "tab"}.get(form.delimiter, form.delimiter)
        roles = form.every_role().values()
        filled = {column for role in roles for column in role.fills}
        names = [name for name in COLUMNS if name in filled | set(form.constants)]
        every = len(names) == len(COLUMNS)
        fills = "every column of an event" if every else ", ".join(map(_code, names))
        cut = _CUTS[form.cut].format(delimiter)
        lines.append(f"| `{form.name}` | {form.title} | {cut} | {fills} |")
    return "\n".join(lines) + "\n"


def roles_markdown() -> str:
    """Write the roles that fill several columns."""
    lines = ["| Role | Fills |", "|---|---|"]
    for role, columns in COMPOUND.items():
        if role.startswith("source_"):
            filled = ", ".join(map(_code, columns))
            lines.append(f"| `{role}` | {filled} |")
    return "\n".join(lines) + "\n"


def kinds_markdown(form: Format) -> str:
    """Write what a format's reports are in RSIT, by their names."""
    lines = ["| Reports | RSIT type |", "|---|---|"]
    told = [kind for kind in form.kinds if "type" in kind.constants]
    for kind in (*(k for k in told if not k.family), *(k for k in told if k.family)):
        other = "other " if kind.family else ""
        names = kind.match.pattern.replace("|", "\\|")
        lines.append(f"| {other}`{names}` | `{kind.constants['type']}` |")
    return "\n".join(lines) + "\n"
