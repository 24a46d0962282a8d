"""Reads the texts of notices: those shipped, and above them those of the node."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path

from serantau.errors import ConfigError
from serantau.rules.contact import LANGUAGE
from serantau.rules.wording import SOURCE, Catalogue, overlaid, read_catalogue

TEXTS = "notices"
"""The folder of a node that has its own texts."""

_SHIPPED = resources.files("serantau") / "data" / "notices"


def languages() -> list[str]:
    """Give the tags of the languages that are shipped."""
    names = (each.name for each in _SHIPPED.iterdir())
    return sorted(name.removesuffix(".toml") for name in names if ".toml" in name)


def load_catalogue(tag: str, folder: Path | None = None) -> Catalogue:
    """Load the texts in a language; one that nobody wrote is an empty catalogue.

    A tag with parts, such as `pt-TL`, is that of its language where it has no texts of
    its own.

    Args:
        tag: BCP 47.
        folder: the node's own texts, `TAG.toml`; they stand above those shipped.

    Raises:
        ConfigError: a file that is no catalogue.
    """
    if not LANGUAGE.fullmatch(tag):
        raise ConfigError(f"{tag!r} is no language tag such as en or th.")
    language = tag.partition("-")[0]
    found = Catalogue(tag, tag)
    for name in dict.fromkeys((language, tag)):
        shipped = _SHIPPED / f"{name}.toml"
        if shipped.is_file():
            found = _read(shipped.read_text(encoding="utf-8"), f"{name}.toml")
    for name in dict.fromkeys((language, tag)):
        path = None if folder is None else folder / f"{name}.toml"
        if path is not None and path.is_file():
            found = overlaid(found, _read(path.read_text("utf-8"), str(path)))
    return found


def load_source(folder: Path | None = None) -> Catalogue:
    """Load English, to which the others fall back."""
    return load_catalogue(SOURCE, folder)


def _read(text: str, place: str) -> Catalogue:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise ConfigError(f"{place} is not TOML: {fault}.") from fault
    return read_catalogue(data, place)
