"""How a person reads pages: which language, zone and years it may choose."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final
from zoneinfo import available_timezones

from babel import Locale, UnknownLocaleError

from serantau.apps.web.pages import view
from serantau.apps.web.pages.form import Form
from serantau.records.sessions import Person

UTC: Final = "UTC"
_AREAS: Final = (
    "Africa",
    "America",
    "Antarctica",
    "Arctic",
    "Asia",
    "Atlantic",
    "Australia",
    "Europe",
    "Indian",
    "Pacific",
)


@cache
def zones() -> tuple[str, ...]:
    """Give the time zones of places, UTC first."""
    held = (one for one in available_timezones() if one.split("/")[0] in _AREAS)
    return (UTC, *sorted(one for one in held if "/" in one))


@cache
def languages() -> tuple[tuple[str, str], ...]:
    """Give each language that there are words of, with its own name."""
    return tuple((code, _named(code)) for code in view.languages())


def _named(code: str) -> str:
    try:
        return (Locale.parse(code).get_display_name(code) or code).capitalize()
    except (UnknownLocaleError, ValueError):
        return code


def read(form: Form) -> Person:
    """Read how a person wants to read pages."""
    return Person(
        language=form.choice("language", view.languages(), default=view.ENGLISH),
        zone=form.choice("zone", zones(), default=UTC),
        calendar=form.choice(
            "calendar", (view.GREGORIAN, view.BUDDHIST), default=view.GREGORIAN
        ),
    )


def choices(words: Callable[[str], str]) -> dict[str, Any]:
    """Give what `reader.html` offers."""
    return {
        "languages": languages(),
        "zones": [(each, each) for each in zones()],
        "calendars": [
            (view.GREGORIAN, words("As in 2026")),
            (view.BUDDHIST, words("Buddhist years, as in 2569")),
        ],
    }
