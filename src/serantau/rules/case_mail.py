"""What stands in the mail of a case: its tag, the own words of an answer, their sense.

A tag names a case and one party in it, by digits that nobody else can guess. A person
answers in a word that stands alone on the first line, in more words, or in both.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

TOKEN_DIGITS: Final = 20
MOST_TEXT: Final = 19_000
"""So many letters of an answer become an entry; the whole mail is kept beside it."""

_SHORT: Final = 8
_SIGNED_LINES: Final = 12
_TAG: Final = re.compile(
    rf"\[case-([0-9a-f]{{8}})-([0-9a-f]{{{TOKEN_DIGITS}}})\]", re.I
)
_QUOTED: Final = re.compile(r"\s*>")
# What mail programs write above the mail that is answered, where it is not quoted.
_BELOW: Final = re.compile(
    r"\s*(-{2,}\s*(original|forwarded) message\s*-{2,}|_{20,})\s*", re.IGNORECASE
)
_BEFORE_QUOTE: Final = re.compile(r"\bOn\b|[<(]\S+@\S+[>)]|[0-9]{4}")
_FIRST: Final = re.compile(r"([A-Za-z]+)(?:\s+([0-9A-Fa-f-]{4,36}))?[.!:,]?")
_KEPT: Final = frozenset("\n\t")
_BREAKING: Final = frozenset({"Cc", "Cs"})

ACKNOWLEDGE: Final = "acknowledge"
STANCES: Final[Mapping[str, str]] = {
    "valid": "valid",
    "invalid": "invalid",
    "accept": "accepted",
    "accepted": "accepted",
    "defer": "deferred",
    "deferred": "deferred",
    "close": "closed",
    "closed": "closed",
}
"""What a party makes of a case, by the word for it."""
ANSWERS: Final[Mapping[str, str]] = {
    "accept": "accepted",
    "accepted": "accepted",
    "decline": "declined",
    "declined": "declined",
}
"""How an ask is answered, by the word that stands before its id."""
STEPS: Final[Mapping[str, str]] = {"doing": "doing", "done": "done"}
"""How far a task is, by the word that stands before its id."""
_ACKNOWLEDGED: Final = frozenset({"ack", "acknowledge", "acknowledged", "received"})


@dataclass(frozen=True, slots=True)
class Answer:
    """What somebody says in a mail.

    word: `acknowledge`, or one of STANCES, ANSWERS or STEPS; empty: none. about: how
    the id begins of what it is about. text: the words beside it.
    """

    word: str = ""
    about: str = ""
    text: str = ""

    @property
    def says(self) -> bool:
        """Say whether there is anything in it."""
        return bool(self.word or self.text)


def tag(case: str, token: str) -> str:
    """Write the tag of a case and a party, as it stands in subjects and texts."""
    return f"[case-{case.partition('--')[2][:_SHORT]}-{token}]"


def tokens(text: str) -> frozenset[str]:
    """Give the tokens of all tags in a text."""
    return frozenset(found[2].lower() for found in _TAG.finditer(text))


def plain(text: str) -> str:
    """Give a text with lines that all end alike, and nothing that commands a screen."""
    lines = "\n".join(text.splitlines())
    return "".join(
        one
        for one in lines
        if one in _KEPT or unicodedata.category(one) not in _BREAKING
    )


def own_words(text: str) -> str:
    """Cut what others wrote below an answer, and the signature, where that is safe.

    1. All below a line by which programs begin the mail that is answered.
    2. A signature of a few lines, behind the line that begins one (RFC 3676 §4.3).
    3. Quoted lines at the end, with the line above them that says whose they are. Lines
       that are quoted between others stay: they say what is answered.
    """
    lines = text.split("\n")
    for place, line in enumerate(lines):  # 1
        if _BELOW.fullmatch(line):
            lines = lines[:place]
            break
    lines = _unquoted(_unsigned(lines))  # 2, 3
    return "\n".join(_unsigned(lines)).strip()


def _unsigned(lines: list[str]) -> list[str]:
    for place, line in enumerate(lines):
        below = lines[place + 1 :]
        if line in {"-- ", "--"} and len(below) <= _SIGNED_LINES:
            return lines if any(map(_QUOTED.match, below)) else lines[:place]
    return lines


def _unquoted(lines: list[str]) -> list[str]:
    end, quoted = len(lines), False
    while end and (not lines[end - 1].strip() or _QUOTED.match(lines[end - 1])):
        end -= 1
        quoted = quoted or bool(lines[end].strip())
    if not quoted:
        return lines
    above = lines[:end]
    if above and above[-1].rstrip().endswith(":"):
        above.pop()
        # It may be broken into two lines.
        if above and _BEFORE_QUOTE.search(above[-1]):
            above.pop()
    return above


def read_answer(text: str) -> Answer:
    """Read the own words of an answer: see the tables of words above.

    A word counts only alone on the first line, with the id of what it is about where it
    needs one: a sentence that begins so is a sentence.
    """
    said = own_words(plain(text))
    first, _, rest = said.partition("\n")
    found = _FIRST.fullmatch(first.strip())
    if found is not None:
        word, about = found[1].lower(), (found[2] or "").lower()
        more = _short(rest.strip())
        if word in _ACKNOWLEDGED and not about:
            return Answer(ACKNOWLEDGE, "", more)
        if about and (word in ANSWERS or word in STEPS):
            return Answer(word, about, more)
        if word in STANCES and not about:
            return Answer(word, "", more)
    return Answer("", "", _short(said))


def _short(text: str) -> str:
    if len(text) <= MOST_TEXT:
        return text
    return text[:MOST_TEXT] + "\n[cut: the mail says more]"
