"""All formats that a node knows: those that are shipped, and its own."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

from serantau.errors import ConfigError, NotFound
from serantau.lane.formats import shadowserver
from serantau.lane.formats.form import Format, read_form
from serantau.lane.formats.source import opening

_LOOKED_AT: Final = 1 << 16
SCHEMA: Final = "shadowserver.json"
"""The name, in the node's folder of formats, of Shadowserver's schema as downloaded."""


class Formats:
    """The formats of one node.

    A format of the node's own, `NAME.toml` in its folder, goes before a shipped one of
    the same name. `shadowserver.json` there is Shadowserver's published schema, from
    which report types without an entry in our table get theirs.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Read the formats.

        Raises:
            ConfigError: one of the node's own cannot be used; it says which and why.
        """
        own = dict(_own(folder)) if folder is not None and folder.is_dir() else {}
        known = {**_shipped(), **own}
        schema = folder / SCHEMA if folder is not None else None
        if schema is not None and schema.is_file():
            name = shadowserver.NAME
            known[name] = shadowserver.with_schema(
                known[name], _text(schema), str(schema)
            )
        self._known = known
        self._own = frozenset(own)

    def __iter__(self) -> Iterator[Format]:
        """Give all formats, by name."""
        return iter(sorted(self._known.values(), key=lambda form: form.name))

    def named(self, name: str) -> Format:
        """Give a format by its name.

        Raises:
            NotFound: there is none.
        """
        if name not in self._known:
            raise NotFound(
                f"no format is called {name!r}",
                mend=f"There are {', '.join(sorted(self._known))}.",
            )
        return self._known[name]

    def recognise(self, file_name: str, head: bytes) -> Format | None:
        """Tell a file's format from its name and beginning, also when it is packed.

        The node's own formats are asked first. One that knows the file's beginning goes
        before one that knows its name only; None when none knows either.
        """
        name, text = opening(file_name, head[:_LOOKED_AT])
        best: Format | None = None
        score = 0
        for form in sorted(self, key=lambda one: one.name not in self._own):
            beginning = any(one.search(text) for one in form.heads)
            known = any(one.search(name) for one in form.names)
            # What a format knows of a file's beginning has to be there.
            if form.heads and text.strip() and not beginning:
                continue
            got = 2 * beginning + known
            if got > score:
                best, score = form, got
        return best


def _own(folder: Path) -> Iterator[tuple[str, Format]]:
    for path in sorted(folder.glob("*.toml")):
        yield path.stem, read_form(_text(path), path.stem, str(path))


@cache
def _shipped() -> dict[str, Format]:
    found = {}
    for path in (files("serantau") / "data" / "formats").iterdir():
        if path.name.endswith(".toml"):
            name = path.name.removesuffix(".toml")
            found[name] = read_form(path.read_text("utf-8"), name, path.name)
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
