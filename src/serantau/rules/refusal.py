"""Why an object is not admitted: one finding that a tired person can act on."""

from __future__ import annotations

from typing import Any


class Refused(Exception):
    """One finding about one object; no error of the node: callers count and show it.

    rule: the short name of the rule, stable, for tables and tests ("schema", "sco-id").
    place: JSON pointer (RFC 6901) into the object; empty for the object as a whole.
    got: what was found, shortened. expected: what would have been right.
    """

    def __init__(self, rule: str, place: str, got: str, expected: str) -> None:
        """Keep the finding; `str()` writes it as one line."""
        self.rule = rule
        self.place = place
        self.got = got
        self.expected = expected
        super().__init__(rule, place, got, expected)

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        return f"{where}got {self.got}, expected {self.expected} ({self.rule})"


def pointer(*steps: str | int) -> str:
    """Write a path as a JSON pointer (RFC 6901 §3)."""
    return "".join(
        f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in steps
    )


def shown(value: Any, limit: int = 80) -> str:
    """Give a value as a finding shows it: JSON-like, on one line, not too long."""
    if isinstance(value, dict):
        return f"an object with {len(value)} properties" if value else "{}"
    if isinstance(value, list):
        return f"a list of {len(value)}" if value else "[]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    text = f'"{value}"' if isinstance(value, str) else str(value)
    text = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
