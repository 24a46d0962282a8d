"""The words of the pages in every language, as far as they go."""

import re

import pytest
from babel.messages.catalog import Message

from serantau.apps.web.pages import view
from serantau.apps.web.pages.catalogue import (
    DRAFTED,
    FOLDER,
    catalogue,
    renewed,
    texts,
    written,
)

LANGUAGES = view.languages()[1:]
WHOLE = ("th",)
NAMES = {
    "Serantau",
    "SHA",
    "vCard",
    "NDJSON",
    "Parquet",
    "Message ID",
    "UTC",
    "AS",
    "STIX",
    "MISP",
    "CSV",
    "RFC",
    "TLP",
    "PAP",
}
_HOLES = re.compile(r"%\([a-z_]+\)[sd]|\{[a-z_]*\}|%%|https?://\S+|<[^>]+>")


def _said(language: str) -> list[Message]:
    def forms(string: object) -> list[object]:
        return list(string) if isinstance(string, (list, tuple)) else [string]

    held = [each for each in catalogue(language) if each.id]
    return [each for each in held if all(forms(each.string))]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_catalogue_has_the_texts_of_the_pages_and_no_others(language: str) -> None:
    """Mend: make words."""
    held = (FOLDER / f"{language}.po").read_bytes()
    assert held == written(renewed(catalogue(language)))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_translation_has_the_places_for_values_that_its_text_has(
    language: str,
) -> None:
    for each in _said(language):
        ids = (each.id,) if isinstance(each.id, str) else each.id
        told = each.string or ""
        said = (told,) if isinstance(told, str) else told
        holes = {hole for text in ids for hole in _HOLES.findall(text)}
        for text in said:
            assert set(_HOLES.findall(text)) <= holes, each.id
        assert {hole for text in said for hole in _HOLES.findall(text)} == holes


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_a_machine_drafted_is_marked(language: str) -> None:
    """Whoever has read a text as a speaker takes the comment away, and says so here."""
    read_by_speakers: dict[str, set[str]] = {}
    unmarked = {
        each.id for each in _said(language) if DRAFTED not in each.user_comments
    }
    assert unmarked == read_by_speakers.get(language, set())


@pytest.mark.parametrize("language", WHOLE)
def test_a_whole_language_says_every_text(language: str) -> None:
    held = {each.id: each.string for each in _said(language)}
    assert [text for text in texts() if text not in held and text != ""] == []


def test_a_reader_gets_the_language_that_it_asks_for() -> None:
    assert view.language_of("", "th-TH,en;q=0.8") == "th"
    assert view.language_of("", "xx, en;q=0.1, th;q=0.5") == "th"
    assert view.language_of("en", "th") == "en"
    assert view.language_of("", "th;q=0, x;q=z") == "en"
    assert view.language_of("xx", "") == "en"


def test_every_text_of_a_template_can_be_translated() -> None:
    """What stands in a template between tags, and is no value, goes through gettext."""
    bare = []
    for path in sorted((FOLDER.parents[1] / "apps/web/templates").rglob("*.html")):
        if path.name == "styleguide.html":
            continue
        text = re.sub(r"\{#.*?#\}", "", path.read_text(), flags=re.DOTALL)
        text = re.sub(r"\{% trans.*?endtrans %\}", "", text, flags=re.DOTALL)
        # What a macro puts into an address or a name is not read by anybody.
        text = re.sub(r"\{% call old\(\) %\}.*?\{% endcall %\}", "", text)
        text = re.sub(r"\{%.*?%\}|\{\{.*?\}\}", "\0", text, flags=re.DOTALL)
        text = re.sub(r"<(script|svg|title)\b.*?</\1>", "", text, flags=re.DOTALL)
        text = re.sub(r"<[^>]*>", "\0", text)
        for piece in text.split("\0"):
            if '="' in piece or piece.startswith("-"):
                continue  # an attribute, or a part of one, made by a macro
            words = re.sub(r"&[a-z#0-9]+;|[^A-Za-z]+", " ", piece).strip()
            if words and words not in NAMES:
                bare.append((path.name, words))
    assert sorted(set(bare)) == []
