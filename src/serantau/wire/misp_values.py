"""The small values of MISP's JSON: uuids, times, flags, as they really come."""

from __future__ import annotations

import json
import re
import uuid as uuids
from typing import Any

from serantau.clock import instant

NAMESPACE = uuids.UUID("6d3f3e0c-6f52-5d8e-9a6c-1f2b8c5f7a41")
"""Of every UUIDv5 made while converting; fixed for ever, since ids must repeat."""


def derived_uuid(*texts: str) -> str:
    """Make the UUIDv5 that these texts always give."""
    return str(uuids.uuid5(NAMESPACE, json.dumps(texts)))


def read_uuid(value: Any) -> str:
    """Read a uuid that STIX 2.1 §2.9 takes (RFC 4122, versions 1 to 5), or give ""."""
    if not isinstance(value, str):
        return ""
    try:
        read = uuids.UUID(value)
    except ValueError:
        return ""
    good = read.variant == uuids.RFC_4122 and read.version in {1, 2, 3, 4, 5}
    return str(read) if good and len(value) == 36 else ""


def read_seconds(value: Any) -> int | None:
    """Read MISP's seconds since the epoch; None when it is no such thing."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return None
    text = str(value)
    if not (text.isascii() and text.isdigit()) or len(text) > 12:
        return None
    seconds = int(text)
    return seconds if 0 < seconds < 253_402_300_800 else None


def read_day(value: Any) -> int | None:
    """Read MISP's `date` as the seconds of its midnight, UTC."""
    try:
        return instant(f"{value}T00:00:00Z") // 1_000_000
    except ValueError:
        return None


def read_moment(value: Any) -> int | None:
    """Read a time as MISP writes it: RFC 3339, or `+0000`, or without an offset."""
    if not isinstance(value, str):
        return None
    text = re.sub(r"([+-]\d\d)(\d\d)$", r"\1:\2", value.replace(" ", "T", 1))
    for whole in (text, f"{text}Z"):
        try:
            return instant(whole)
        except ValueError:
            continue
    return None


def true(value: Any) -> bool:
    """Read a flag as MISP writes it: true, 1 or "1"."""
    return value is True or value in (1, "1", "true")


def text_or(value: Any, otherwise: str) -> str:
    """Give a text that says something, or another."""
    return value if isinstance(value, str) and value.strip() else otherwise


def kind_of(value: Any) -> str:
    """Say to a person what kind of JSON this is."""
    return {dict: "an object", list: "a list", str: "a text", type(None): "null"}.get(
        type(value), f"{json.dumps(value)[:20]}"
    )
