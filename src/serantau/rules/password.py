"""What a password must be: long, and not what a guesser tries first.

No rule on kinds of letters: they make passwords hard to keep in mind and no harder to
guess (NIST SP 800-63B §3.1.1.2).
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

LEAST: Final = 12
"""Letters that a password has at least."""
MOST: Final = 1000
"""Letters that a password has at most: hashing takes time."""
_OTHER: Final = 6
_RUN: Final = 4
_AGAIN: Final = re.compile(r"(.{1,4})\1{2,}.{0,4}|(.{5,8})\2+.{0,7}", re.DOTALL)
_ROWS: Final = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890123456789",
    "qwertyuiopasdfghjklzxcvbnm",
    "1q2w3e4r5t6y7u8i9o0p",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm",
)
# What lists of stolen passwords have most often among those that are long enough once
# digits and signs at the ends are left off.
_COMMON: Final = frozenset(
    [
        "password",
        "passwort",
        "administrator",
        "welcome",
        "changeme",
        "letmein",
        "iloveyou",
        "princess",
        "sunshine",
        "football",
        "baseball",
        "basketball",
        "superman",
        "monkey",
        "dragon",
        "master",
        "shadow",
        "michael",
        "jennifer",
        "computer",
        "internet",
        "samsung",
        "security",
        "default",
        "temporary",
        "temppass",
        "passwordpassword",
        "adminadmin",
        "adminpassword",
        "passwordadmin",
        "mypassword",
        "newpassword",
        "yourpassword",
        "secretpassword",
        "passwordsecret",
        "thisisapassword",
        "nopassword",
        "rootroot",
        "rootpassword",
        "testtest",
        "testpassword",
        "useruser",
        "guestguest",
        "welcomewelcome",
        "welcomehome",
        "trustnoone",
        "trustnobody",
        "opensesame",
        "iloveyouforever",
        "iloveyousomuch",
        "correcthorsebatterystaple",
        "thequickbrownfox",
        "unbelievable",
        "supersecret",
        "topsecret",
        "verysecret",
        "letmeinplease",
        "manchesterunited",
        "liverpoolfc",
        "barcelona",
        "chocolate",
        "christmas",
        "september",
        "november",
        "december",
        "february",
        "summer",
        "winter",
        "autumn",
        "spring",
        "serantau",
        "serantaunode",
        "cybersecurity",
        "informationsecurity",
        "incident",
        "incidentresponse",
        "thailand",
        "singapore",
        "malaysia",
        "indonesia",
        "vietnam",
        "philippines",
        "cambodia",
        "myanmar",
        "laos",
        "brunei",
        "timorleste",
        "bangkok",
        "jakarta",
        "hanoi",
        "manila",
    ]
)


class Weak(StrEnum):
    """Why a password is refused; the text says it to a person."""

    SHORT = "It is too short: at least 12 letters, such as four words."
    LONG = "It is too long: at most 1,000 letters."
    NAME = "It is little more than the name."
    COMMON = "It is one of those that are guessed first."


def weakness(password: str, *names: str) -> Weak | None:
    """Say why a password is refused, None for a good one.

    Args:
        password: as it was typed.
        names: of the user, which a guesser knows.
    """
    if len(password) < LEAST:
        return Weak.SHORT
    if len(password) > MOST:
        return Weak.LONG
    plain = password.casefold()
    for name in names:
        if name and len(plain.replace(name.casefold(), "")) < _OTHER:
            return Weak.NAME
    letters = re.sub(r"[\W_]", "", plain)
    word = re.sub(r"^[\W\d_]+|[\W\d_]+$", "", plain)
    common = re.sub(r"[\W_]", "", word) in _COMMON
    if common or _AGAIN.fullmatch(plain) or _is_run(letters):
        return Weak.COMMON
    return None


def _is_run(letters: str) -> bool:
    """Say whether letters are nothing but ways along the alphabet or a keyboard."""
    rows = [*_ROWS, *(row[::-1] for row in _ROWS)]
    while letters:
        end = max(
            end
            for end in range(len(letters) + 1)
            if any(letters[:end] in row for row in rows)
        )
        if end < min(_RUN, len(letters)):
            return False
        letters = letters[end:]
    return True
