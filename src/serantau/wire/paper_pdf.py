"""A paper as PDF, set by Typst with fonts that this program brings along.

The words go into Typst as JSON data and are never spliced into its source, so nothing
that anybody wrote is code there. It fetches nothing and reads no file but its fonts.
"""

from __future__ import annotations

import re
from importlib.resources import as_file, files
from typing import Any, Final

import orjson

from serantau.errors import ConfigError
from serantau.wire.paper import Heading, Lines, Paper, Plain, shown

# Without a place to break, such a run of characters would leave the page.
_LONG: Final = re.compile(r"[!-~]{24}(?=[!-~])")
_BREAK: Final = "\u200b"


def pdf(paper: Paper) -> bytes:
    """Set a paper as a PDF that can be searched.

    Raises:
        ConfigError: Typst cannot set it.
    """
    # It takes a while to load, and only who makes a PDF needs it.
    import typst

    data = files("serantau") / "data"
    with as_file(data / "fonts") as fonts:
        try:
            made = typst.compile(
                (data / "papers" / "paper.typ").read_bytes(),
                format="pdf",
                font_paths=typst.Fonts(font_paths=[fonts]),
                sys_inputs={"paper": orjson.dumps(_data(paper)).decode()},
            )
        except typst.TypstError as fault:
            raise ConfigError(f"The PDF cannot be set: {fault}.") from fault
    return made


def _data(paper: Paper) -> dict[str, Any]:
    return {
        "title": _text(paper.title),
        "label": paper.label,
        "lang": paper.lang,
        "banner": _text(paper.banner),
        "blocks": [_block(block) for block in paper.blocks],
    }


def _block(block: Any) -> dict[str, Any]:
    if isinstance(block, Heading):
        return {"kind": "heading", "text": _text(block.text)}
    if isinstance(block, Lines):
        lines = [_text(Plain(each)) for each in shown(block.text).split("\n")]
        return {"kind": "lines", "lines": [each for each in lines if each.strip()]}
    return {
        "kind": "table",
        "head": [_text(each) for each in block.head],
        "rows": [[_text(each) for each in row] for row in block.rows],
        "wide": block.wide,
    }


def _text(text: str) -> str:
    return _LONG.sub(rf"\g<0>{_BREAK}", shown(text))
