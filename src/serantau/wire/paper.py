"""A paper: headings, lines and tables for people, whoever wrote the words in it.

Forms of it are Markdown, here, and PDF, in `paper_pdf`. A text is taken as it stands:
it is no markup in any form, no program makes a link of an address in it, and what is
invisible or turns the order of letters is shown as what it is.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from serantau.rules.text import defang

# Joiners that Khmer, Lao, Burmese and Thai are written with, and a line's end.
_KEPT: Final = frozenset("\u200b\u200c\u200d\n")
_BREAKS: Final = re.compile("\r\n|[\r\u0085\u2028\u2029]")
# Of CommonMark and the dialects of GitHub and GitLab, wherever it stands.
_MARKUP: Final = re.compile(r"[\\`*_{}\[\]<>#|~!&$^]")
# What makes a list, a rule or a heading of the line that it begins.
_BEGINS: Final = re.compile(r"[-+=]|[0-9]+(?=[.)])")


class Plain(str):
    """A text as it is shown: of ours, such as a time, or what `shown` gave."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of a section."""

    text: str


@dataclass(frozen=True, slots=True)
class Lines:
    """Paragraphs. Each line of the text is one."""

    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows, each with as many cells as `head`; without a head, names and values.

    wide: how wide each column is, in shares of the page.
    """

    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    wide: tuple[int, ...]


Block = Heading | Lines | Table


@dataclass(frozen=True, slots=True)
class Paper:
    """A paper. label: its TLP level. banner: of an exercise. lang: a BCP 47 tag."""

    title: str
    label: str
    lang: str = "en"
    banner: str = ""
    blocks: list[Block] = field(default_factory=list)


def shown(text: str) -> Plain:
    """Give a text as any form of a paper has it, before that form's own escapes."""
    if isinstance(text, Plain):
        return text
    plain = _BREAKS.sub("\n", text).replace("\t", " ")
    seen = "".join(
        one
        if one.isprintable() or one in _KEPT
        else " "
        if unicodedata.category(one) == "Zs"
        else f"<U+{ord(one):04X}>"
        for one in plain
    )
    blunt = defang(seen).replace("[@]", "@").replace("@", "[@]")
    return Plain(blunt.replace("://", "[:]//"))


def markdown(paper: Paper) -> str:
    """Write a paper in Markdown that holds no HTML, no links and no images."""
    label = f"**{_line(Plain(paper.label))}**"
    said = [label, ""]
    if banner := _line(paper.banner):
        said += [f"**{banner}**", ""]
    said += [f"# {_line(paper.title)}", ""]
    for block in paper.blocks:
        if isinstance(block, Heading):
            said += [f"## {_line(block.text)}", ""]
        elif isinstance(block, Lines):
            for line in shown(block.text).split("\n"):
                if line.strip():
                    said += [_begun(line), ""]
        else:
            said += [*_table(block), ""]
    return "\n".join([*said, label]) + "\n"


def _table(table: Table) -> list[str]:
    head = table.head or ("",) * len(table.wide)
    return [
        _row(head),
        "|" + "---|" * len(head),
        *map(_row, table.rows),
    ]


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(map(_line, cells)) + " |"


def _line(text: str) -> str:
    """Write a text into one line."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(shown(text).split("\n")).strip())


def _begun(line: str) -> str:
    """Write a text as a line of its own, which its first characters make nothing of."""
    plain = _MARKUP.sub(r"\\\g<0>", line.strip())
    begins = _BEGINS.match(plain)
    if begins is None:
        return plain
    first = begins[0]
    place = 0 if first in "+-=" else len(first)
    return f"{plain[:place]}\\{plain[place:]}"
