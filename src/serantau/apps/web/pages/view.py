"""What pages are made with: templates, words in the reader's language, its times.

One Jinja environment a language, made when somebody first reads in it. Words are those
of the catalogues in `data/languages`, read as they stand: there is nothing to compile.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from io import BytesIO
from pathlib import PurePosixPath
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel.messages.mofile import write_mo
from babel.support import NullTranslations, Translations
from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from serantau.apps.web.pages.catalogue import DRAFTED, FOLDER, catalogue
from serantau.clock import moment
from serantau.errors import NotFound
from serantau.rules.case_mail import plain
from serantau.rules.text import defang

ENGLISH: Final = "en"
GREGORIAN: Final = "gregorian"
BUDDHIST: Final = "buddhist"
_BUDDHIST_YEARS: Final = 543
_MEDIA: Final[Mapping[str, str]] = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".woff2": "font/woff2",
}
# Unicode's embeddings, overrides and isolates (UAX #9): no page of ours has one.
_TURNING: Final = re.compile("[\u202a-\u202e\u2066-\u2069]")
_GZIP: Final = 31
_PACKED_ABOVE: Final = 1024


# Words


@cache
def languages() -> tuple[str, ...]:
    """Give the languages that there are catalogues of, English first."""
    return (ENGLISH, *sorted(path.stem for path in FOLDER.glob("*.po")))


@cache
def words(language: str) -> NullTranslations:
    """Give the words of a language; English for one that has no catalogue."""
    if language == ENGLISH or language not in languages():
        return NullTranslations()
    compiled = BytesIO()
    write_mo(compiled, catalogue(language))
    compiled.seek(0)
    return Translations(compiled)


@cache
def drafted(language: str) -> bool:
    """Say whether a machine drafted words of a language that no speaker has read."""
    if language == ENGLISH:
        return False
    return any(DRAFTED in each.user_comments for each in catalogue(language))


def language_of(wished: str, accept: str) -> str:
    """Choose a language: the reader's own wish, else the best of Accept-Language.

    Args:
        wished: what the reader set, empty for nothing.
        accept: the header's text (RFC 9110 §12.5.4).
    """
    held = languages()
    if wished in held:
        return wished
    weighed: list[tuple[float, int, str]] = []
    for place, one in enumerate(accept.lower().split(",")[:20]):
        name, _, rest = one.partition(";")
        weight = rest.strip().removeprefix("q=")
        try:
            worth = float(weight) if weight else 1.0
        except ValueError:
            continue
        weighed.append((-worth, place, name.strip()))
    for worth, _, name in sorted(weighed):
        for candidate in (name, name.partition("-")[0]):
            if worth < 0 and candidate in held:
                return candidate
    return ENGLISH


# Times


def zone_of(name: str) -> ZoneInfo:
    """Give a zone by its IANA name; UTC for one that is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def local_text(at: int, zone: ZoneInfo, calendar: str) -> str:
    """Write an instant in a zone: `2026-11-23 21:30 +07`, the year as chosen."""
    local = moment(at).astimezone(zone)
    year = local.year + (_BUDDHIST_YEARS if calendar == BUDDHIST else 0)
    offset = local.strftime("%z")
    short = offset[:3] if offset.endswith("00") else f"{offset[:3]}:{offset[3:]}"
    return f"{year:04}-{local:%m-%d %H:%M} {short}"


@pass_context
def _when(context: Context, at: int | None) -> Markup:
    """Write an instant in UTC, and in the reader's zone when that is another."""
    if not at:
        return Markup('<span class="never">{}</span>').format(context["never"])
    utc = moment(at)
    machine = utc.strftime("%Y-%m-%dT%H:%M:%SZ")
    said = utc.strftime("%Y-%m-%d %H:%M UTC")
    zone: ZoneInfo = context["zone"]
    if zone.key == "UTC" and context["calendar"] != BUDDHIST:
        return Markup('<time datetime="{}">{}</time>').format(machine, said)
    local = local_text(at, zone, context["calendar"])
    return Markup(
        '<time datetime="{}"><span class="local">{}</span> '
        '<span class="utc">{}</span></time>'
    ).format(machine, local, said)


# Files


@dataclass(frozen=True, slots=True)
class File:
    """A file that pages use: its bytes, packed too where that is smaller."""

    body: bytes
    packed: bytes
    media: str
    version: str


@lru_cache(maxsize=256)
def static(name: str) -> File:
    """Give a file of `static/`.

    Raises:
        NotFound: there is none by this name.
    """
    path = PurePosixPath(name)
    media = _MEDIA.get(path.suffix)
    if media is None or ".." in path.parts or path.is_absolute():
        raise NotFound("There is no such file.")
    held = files("serantau.apps.web").joinpath("static", *path.parts)
    if not held.is_file():
        raise NotFound("There is no such file.")
    body = held.read_bytes()
    packed = b""
    if path.suffix != ".woff2" and len(body) > _PACKED_ABOVE:
        packed = zlib.compress(body, 9, _GZIP)
    return File(body, packed, media, hashlib.sha256(body).hexdigest()[:12])


def asset(name: str) -> str:
    """Give the address of a file of `static/`, another one whenever it changes."""
    return f"/static/{name}?v={static(name).version}"


# Templates


@cache
def _environment(language: str) -> Environment:
    made = Environment(
        loader=PackageLoader("serantau.apps.web", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        cache_size=-1,
    )
    install: Any = made
    install.install_gettext_translations(words(language), newstyle=True)
    made.filters.update({"when": _when, "defang": defang, "plain": plain})
    made.globals.update(
        {"asset": asset, "language": language, "drafted": drafted(language)}
    )
    return made


def render(template: str, language: str, values: Mapping[str, Any]) -> str:
    """Render a template. `values` has besides the page's own those of `door.shown`."""
    text = _environment(language).get_template(template).render(values)
    return _TURNING.sub(_seen, text)


def _seen(letter: re.Match[str]) -> str:
    """Show a letter that would turn round what follows: `exe.png` may be `gnp.exe`."""
    return f"&lt;U+{ord(letter[0]):04X}&gt;"
