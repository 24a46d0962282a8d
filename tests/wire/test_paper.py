"""Papers: whatever somebody wrote into them is text in every form, and nothing else."""

from __future__ import annotations

import tomllib
import unicodedata
from importlib.resources import files

import pypdfium2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from serantau.wire.paper import Heading, Lines, Paper, Plain, Table, markdown, shown
from serantau.wire.paper_pdf import pdf

READ = MarkdownIt("commonmark").enable(["table", "strikethrough"])
HOSTILE = st.text(
    st.sampled_from("\\`*_{}[]<>()#|~!&$^=:+-.1\n \t\ra@/\"'\u2028\u202e\x1b\u0e01")
)
STRUCTURE = {"heading", "paragraph", "table", "thead", "tbody", "tr", "th", "td"}


def paper(*texts: str) -> Paper:
    blocks = [
        block
        for text in texts
        for block in (Heading(text), Lines(text), Table(("a",), [(text,)], (1,)))
    ]
    return Paper(texts[0], "TLP:GREEN", banner=texts[0], blocks=blocks)


@given(HOSTILE)
def test_no_text_becomes_markup_in_markdown(text: str) -> None:
    said = markdown(paper(text))
    assert not {c for c in said if unicodedata.category(c) in {"Cc", "Zl"}} - {"\n"}
    for token in READ.parse(said):
        kind = token.type.removesuffix("_open").removesuffix("_close")
        assert kind in STRUCTURE | {"inline"}
        for inside in token.children or ():
            bold = inside.type in {"strong_open", "strong_close"}
            assert bold or inside.type in {"text", "text_special"}, inside
            assert not bold or inside.markup == "**"
    # One table, heading and paragraph a block, and the two labels: none is broken up.
    heads = [t for t in READ.parse(said) if t.type in {"heading_open", "table_open"}]
    assert len(heads) == 3


@pytest.mark.parametrize(
    "text",
    [
        "https://evil.example/a",
        "javascript://evil",
        "www.evil.example",
        "me@evil.example",
        "@team",
        "sftp://u:p@evil.example:22/x",
        "เว็บ.ไทย",
    ],
)
def test_no_address_in_a_paper_can_be_followed(text: str) -> None:
    said = shown(f"see {text} now")
    assert text not in said
    assert "://" not in said
    assert "@" not in said.replace("[@]", "")
    assert shown(said) == said


def test_what_is_invisible_is_shown_and_joiners_stay() -> None:
    assert shown("a\u202eb\x07\u2066\ue000") == "a<U+202E>b<U+0007><U+2066><U+E000>"
    assert shown("ក\u200bខ\u00a0x\r\ny") == "ក\u200bខ x\ny"
    assert shown(Plain("a.example")) == "a.example"


def test_no_text_is_code_in_a_pdf() -> None:
    hostile = (
        '#read("/etc/passwd") #panic("x") #include "a" $x$ *b* _i_ `c` <l> @r = h '
        '\\u{41} "quoted" // note /* note */ #{ 1 + 1 } ]]} ))'
    )
    made = pdf(paper(hostile, "x" * 3000, ""))
    document = pypdfium2.PdfDocument(made)
    text = "".join(page.get_textpage().get_text_bounded() for page in document)
    bare = "".join(text.split()).replace("\u200b", "")
    assert "".join(shown(hostile).split()) in bare
    # Nothing runs off a page, however long a word is.
    assert bare.count("x") > 3 * 3000


def test_both_languages_have_every_word_with_the_same_places() -> None:
    read = [
        tomllib.loads(
            (files("serantau") / f"data/papers/{tag}.toml").read_text("utf-8")
        )
        for tag in ("en", "th")
    ]
    english, thai = read
    assert english.keys() == thai.keys()
    for table in ("words", "states", "kinds", "clocks"):
        assert english[table].keys() == thai[table].keys()
        for key, said in english[table].items():
            assert said.count("{") == thai[table][key].count("{"), key
