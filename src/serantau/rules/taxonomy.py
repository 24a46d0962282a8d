"""The Reference Security Incident Taxonomy: its classes and types, as a table.

RSIT version 1003 (ENISA's taxonomy task force, CC0): eleven classes, thirty-nine types.
It has no type for ransomware by design. A nation's own category stands beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final

VERSION: Final = 1003

CLASSES: Final[dict[str, tuple[str, ...]]] = {
    "abusive-content": ("spam", "harmful-speech", "violence"),
    "malicious-code": (
        "infected-system",
        "c2-server",
        "malware-distribution",
        "malware-configuration",
    ),
    "information-gathering": ("scanner", "sniffing", "social-engineering"),
    "intrusion-attempts": ("ids-alert", "brute-force", "exploit"),
    "intrusions": (
        "privileged-account-compromise",
        "unprivileged-account-compromise",
        "application-compromise",
        "system-compromise",
        "burglary",
    ),
    "availability": ("dos", "ddos", "misconfiguration", "sabotage", "outage"),
    "information-content-security": (
        "unauthorised-information-access",
        "unauthorised-information-modification",
        "data-loss",
        "data-leak",
    ),
    "fraud": ("unauthorised-use-of-resources", "copyright", "masquerade", "phishing"),
    "vulnerable": (
        "weak-crypto",
        "ddos-amplifier",
        "potentially-unwanted-accessible",
        "information-disclosure",
        "vulnerable-system",
    ),
    "other": ("other", "undetermined"),
    "test": ("test",),
}

CLASS_OF: Final[dict[str, str]] = {
    kind: group for group, kinds in CLASSES.items() for kind in kinds
}
"""The class of each type; a type belongs to one class only."""

UNDETERMINED: Final = "undetermined"

_FORMER: Final[dict[str, str]] = {
    # Names of earlier versions, and of programs that write them, that meant the same.
    "blacklist": UNDETERMINED,
    "blocklist": UNDETERMINED,
    "c&c": "c2-server",
    "c2server": "c2-server",
    "malware": "infected-system",
    "malware-config": "malware-configuration",
    "unknown": UNDETERMINED,
    "vulnerable service": "vulnerable-system",
    "vulnerable client": "vulnerable-system",
}


def read_categories(said: Mapping[str, str]) -> dict[str, str]:
    """Give a nation's own categories by RSIT type or class, as they are used.

    Raises:
        ValueError: a type or class that there is none of, or a category without name;
            the text says what was expected.
    """
    known = sorted({*CLASSES, *CLASS_OF})
    for name, category in said.items():
        if name not in known:
            near = get_close_matches(name, known, 1)
            meant = f"did you mean {near[0]!r}?" if near else "RSIT has no such name"
            raise ValueError(f"{name!r} is no RSIT class or type: {meant}")
        if not category.strip() or not category.isprintable():
            raise ValueError(f"{name!r} has the category {category!r}, expected a name")
    return {name: category.strip() for name, category in said.items()}


def type_of(text: str) -> str:
    """Give the RSIT type that a text names; `undetermined` when it names none."""
    name = text.strip().casefold().replace("_", "-")
    if name in CLASS_OF:
        return name
    dashed = name.replace(" ", "-")
    if dashed in CLASS_OF:
        return dashed
    return _FORMER.get(name, UNDETERMINED)
