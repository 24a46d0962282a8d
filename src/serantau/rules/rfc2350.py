"""What a team tells of itself, in the sections of RFC 2350, appendix A."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

SECTIONS: Final[Mapping[str, str]] = {
    "1": "Document Information",
    "1.1": "Date of Last Update",
    "1.2": "Distribution List for Notifications",
    "1.3": "Locations where this Document May Be Found",
    "1.4": "Authenticating this Document",
    "2": "Contact Information",
    "2.1": "Name of the Team",
    "2.2": "Address",
    "2.3": "Time Zone",
    "2.4": "Telephone Number",
    "2.5": "Facsimile Number",
    "2.6": "Other Telecommunication",
    "2.7": "Electronic Mail Address",
    "2.8": "Public Keys and Other Encryption Information",
    "2.9": "Team Members",
    "2.10": "Other Information",
    "2.11": "Points of Customer Contact",
    "3": "Charter",
    "3.1": "Mission Statement",
    "3.2": "Constituency",
    "3.3": "Sponsorship and/or Affiliation",
    "3.4": "Authority",
    "4": "Policies",
    "4.1": "Types of Incidents and Level of Support",
    "4.2": "Co-operation, Interaction and Disclosure of Information",
    "4.3": "Communication and Authentication",
    "5": "Services",
    "5.1": "Incident Response",
    "5.2": "Proactive Activities",
    "6": "Incident Reporting Forms",
    "7": "Disclaimers",
}
"""The sections by number, in their order; those without a text are headings."""
HEADINGS: Final = frozenset({"1", "2", "3", "4", "5"})
NEEDED: Final = frozenset(
    (
        *("1.1", "1.3", "2.1", "2.3", "2.4", "2.7", "2.8", "2.11", "3.1", "3.2"),
        *("3.4", "4.1", "4.2", "5.1"),
    )
)
"""Sections without which a reader does not know whom he reaches, and for what."""
UNSAID: Final = "Not stated."
_HEAD: Final = re.compile(r"\s*#*\s*(\d{1,2}(?:\.\d{1,2})*)\.?\s+(\S.*?)\s*")


def write(title: str, said: Mapping[str, str]) -> str:
    """Write the document in Markdown. said: texts by the number of the section.

    Raises:
        ValueError: there is no section of a number that is said.
    """
    unknown = sorted(said.keys() - (SECTIONS.keys() - HEADINGS))
    if unknown:
        raise ValueError(f"RFC 2350 has no text in section {unknown[0]}")
    parts = [f"# RFC 2350: {title}"]
    for number, name in SECTIONS.items():
        depth = "##" if "." not in number else "###"
        parts.append(f"{depth} {number} {name}")
        if number not in HEADINGS:
            parts.append(said.get(number, "").strip() or UNSAID)
    return "\n\n".join(parts) + "\n"


def check(text: str) -> list[str]:
    """Give what a document of this or another team lacks; headings go by number.

    1. Every section of appendix A is there, once, and in its order.
    2. What NEEDED names says something.
    """
    faults = []
    texts: dict[str, str] = {}
    order: list[str] = []
    here = ""
    for line in text.splitlines():
        found = _HEAD.fullmatch(line)
        if found is not None and _is(found[1], found[2]):
            here = found[1]
            if here in texts:
                faults.append(f"section {here} is there twice")
            order.append(here)
            texts[here] = ""
        elif here:
            texts[here] += line.strip()
    for number, name in SECTIONS.items():  # 1
        if number not in texts:
            faults.append(f"section {number} {name} is missing")
        elif number in NEEDED and texts[number] in {"", UNSAID}:  # 2
            faults.append(f"section {number} {name} says nothing")
    wanted = [number for number in SECTIONS if number in texts]
    if not faults and order != wanted:
        faults.append("the sections are not in their order")
    return faults


def _is(number: str, title: str) -> bool:
    """Say whether a line is the heading of a section, and no numbered text."""
    words = SECTIONS.get(number, "").lower().split()
    said = title.lower().split()
    return bool(words) and bool({*words[:3]} & {*said}) and len(said) <= len(words) + 4
