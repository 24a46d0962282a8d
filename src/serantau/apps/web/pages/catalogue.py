"""The texts of all pages, and the catalogues that say them in other languages.

`make words` brings the catalogues up to date: new texts come in empty, texts that are
gone go. A text that a machine drafted says so in its comment until somebody who speaks
the language has read it and taken the comment away.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Final

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract
from babel.messages.pofile import read_po, write_po

from serantau.rules.password import Weak
from serantau.rules.role import ROLES

DRAFTED: Final = "machine-drafted"
"""The comment of a text that no speaker has read yet."""
_WEB: Final = Path(__file__).parents[1]
FOLDER: Final = Path(__file__).parents[3] / "data" / "languages"
_KEYWORDS: Final[Mapping[str, tuple[int, ...] | None]] = {
    "_": None,
    "N_": None,
    "_words": None,
    "gettext": None,
    "ngettext": (1, 2),
}
_JINJA: Final = {"extensions": "jinja2.ext.i18n", "trimmed": "true", "silent": "false"}
_WIDTH: Final = 100
# Read by those who write pages, in English.
_FOR_AUTHORS: Final = "styleguide.html"

Text = str | tuple[str, str]


@cache
def texts() -> Mapping[Text, Sequence[str]]:
    """Give every text of the pages, with the files that it stands in."""
    found: dict[Text, list[str]] = {}
    for path in sorted((_WEB / "templates").rglob("*.html")):
        if path.name == _FOR_AUTHORS:
            continue
        _read(path, "jinja2.ext:babel_extract", _JINJA, found)
    for path in sorted((_WEB / "pages").glob("*.py")):
        _read(path, "python", {}, found)
    # What rules say of themselves, and pages show.
    for said in (*(role.says for role in ROLES.values()), *Weak):
        found.setdefault(str(said), []).append("rules")
    return found


def _read(
    path: Path, method: str, options: Mapping[str, str], found: dict[Text, list[str]]
) -> None:
    place = str(path.relative_to(_WEB))
    with path.open("rb") as file:
        for _, said, _, _ in extract(method, file, _KEYWORDS, (), dict(options)):
            text: Text = said if isinstance(said, str) else (said[0], said[1])
            places = found.setdefault(text, [])
            if text and text != ("", "") and place not in places:
                places.append(place)


def catalogue(language: str) -> Catalog:
    """Read the catalogue of a language; an empty one when there is none yet."""
    path = FOLDER / f"{language}.po"
    if not path.exists():
        return Catalog(locale=language, project="Serantau", fuzzy=False)
    with path.open("rb") as file:
        return read_po(file, locale=language)


def renewed(held: Catalog) -> Catalog:
    """Give a catalogue with the texts of the pages as they are now."""
    made = Catalog(
        locale=held.locale,
        project="Serantau",
        version="pages",
        header_comment=f"# {held.locale_identifier}, texts of Serantau's pages.",
        msgid_bugs_address="",
        last_translator="",
        language_team=held.locale_identifier,
        fuzzy=False,
        creation_date=held.creation_date,
        revision_date=held.revision_date,
    )
    for text, places in texts().items():
        was: Message | None = held.get(text[0] if isinstance(text, tuple) else text)
        made.add(
            text,
            was.string if was else None,
            locations=[(place, 0) for place in places],
            user_comments=was.user_comments if was else (),
        )
    return made


def written(catalog: Catalog) -> bytes:
    """Write a catalogue as its file has it: the same bytes for the same texts."""
    out = BytesIO()
    write_po(
        out, catalog, width=_WIDTH, omit_header=False, sort_output=True,
        include_lineno=False,
    )  # fmt: skip
    return out.getvalue()


def main(languages: Sequence[str]) -> None:
    """Bring catalogues up to date: those named, or all that there are."""
    FOLDER.mkdir(exist_ok=True)
    named = languages or sorted(path.stem for path in FOLDER.glob("*.po"))
    for language in named:
        made = renewed(catalogue(language))
        (FOLDER / f"{language}.po").write_bytes(written(made))
        empty = sum(not each.string for each in made if each.id)
        sys.stdout.write(f"{language}: {len(made)} texts, {empty} without words\n")


if __name__ == "__main__":
    main(sys.argv[1:])
