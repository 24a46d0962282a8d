"""Who of a desk is on call, as a text that a person writes."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import orjson

from serantau.clock import instant, stix_text
from serantau.desk.contacts import Contacts
from serantau.errors import BadInput
from serantau.rules.rota import (
    DAYS,
    HOLIDAY,
    Override,
    Rota,
    Shift,
    read_time,
    time_text,
)


def read_rota(data: bytes, name: str, cards: Contacts) -> Rota:
    """Read a rota from TOML; people are named as on the command line.

    Raises:
        BadInput: something in it is not as docs/contacts.md describes.
        NotFound, BadRequest: a person has no card, or several.
    """
    try:
        said = tomllib.loads(data.decode())
        unknown = sorted(said.keys() - {"shift", "override", "holidays"})
        if unknown:
            raise ValueError(f"{unknown[0]!r}: expected shift, override or holidays")
        return Rota(
            tuple(_shift(each, cards) for each in _tables(said, "shift")),
            tuple(_override(each, cards) for each in _tables(said, "override")),
            dict(_holiday(*each) for each in dict(said.get("holidays", {})).items()),
        )
    except (tomllib.TOMLDecodeError, ValueError, TypeError, KeyError) as fault:
        words = f"{fault} is missing" if isinstance(fault, KeyError) else str(fault)
        raise BadInput(
            f"{name}: {words}.", mend="docs/contacts.md has an example."
        ) from fault


def _tables(said: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = said.get(name, [])
    if not isinstance(found, list):
        raise ValueError(f"{name}: expected tables [[{name}]]")
    return found


def _shift(said: dict[str, Any], cards: Contacts) -> Shift:
    days = said.get("days", list(DAYS))
    if not days or not set(days) <= {*DAYS, HOLIDAY}:
        raise ValueError(f"days: {days}, expected of {', '.join(DAYS)}, {HOLIDAY}")
    return Shift(
        cards.find(said["person"]).card.id,
        frozenset(days),
        read_time(said["begin"]),
        read_time(said["end"]),
    )


def _override(said: dict[str, Any], cards: Contacts) -> Override:
    begin, end = _at(said["begin"]), _at(said["end"])
    if begin >= end:
        raise ValueError("an override ends before it begins")
    return Override(cards.find(said["person"]).card.id, begin, end)


def _at(said: Any) -> int:
    if isinstance(said, datetime) and said.tzinfo is not None:
        return instant(said.isoformat())
    raise ValueError(f"{said}: expected a time with its offset: 2026-04-13T08:00:00Z")


def _holiday(day: str, name: Any) -> tuple[date, str]:
    return date.fromisoformat(day), str(name)


def write_rota(rota: Rota, names: Mapping[str, str]) -> str:
    """Write a rota as `read_rota` reads it; `names`: of cards by id, told beside it."""

    def named(person: str) -> str:
        return f"person = {_text(person)}  # {names.get(person, '?')}"

    lines: list[str] = []
    for shift in rota.shifts:
        days = ", ".join(_text(day) for day in (*DAYS, HOLIDAY) if day in shift.days)
        lines += [
            "[[shift]]",
            named(shift.person),
            f"days = [{days}]",
            f"begin = {_text(time_text(shift.begin))}",
            f"end = {_text(time_text(shift.end))}",
            "",
        ]
    for each in rota.overrides:
        lines += [
            "[[override]]",
            named(each.person),
            f"begin = {stix_text(each.begin)}",
            f"end = {stix_text(each.end)}",
            "",
        ]
    if rota.holidays:
        lines.append("[holidays]")
        lines += [
            f"{_text(day.isoformat())} = {_text(name)}"
            for day, name in sorted(rota.holidays.items())
        ]
    return "\n".join(lines)


def _text(said: str) -> str:
    # TOML 1.0: a basic string takes JSON's escapes.
    return orjson.dumps(said).decode().replace("\x7f", "\\u007f")
