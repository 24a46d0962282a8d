"""Where a party is reached: by mail, by a webhook, or through a folder.

Nothing is sent to an address that is not one of these, so they are checked when they
are registered: one address each, nothing that a mail header or a URL could be made to
carry besides.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

from serantau.rules.text import normalise


class Kind(StrEnum):
    """How a contact is reached."""

    MAIL = "mail"
    WEBHOOK = "webhook"
    FOLDER = "folder"


class State(StrEnum):
    """Whether a contact is written to."""

    ACTIVE = "active"
    BOUNCING = "bouncing"
    BLOCKED = "blocked"


LANGUAGE: Final = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")


@dataclass(frozen=True, slots=True)
class Contact:
    """One way to reach a party.

    address: a mail address, an https URL, or the absolute path of a folder, as
    `read_address` gives it. language: BCP 47 tag of what it reads. certificate: its
    OpenPGP certificate in ASCII armour; mail is encrypted when there is one. secret:
    signs what goes to a webhook, in clear only here. fault: why it is bouncing. number:
    its row; 0 before it has one.
    """

    party: str
    kind: Kind
    address: str
    language: str = "en"
    certificate: str = ""
    secret: str = field(default="", repr=False)
    state: State = State.ACTIVE
    fault: str = ""
    number: int = 0


# RFC 5321 §4.1.2 Dot-string, and §4.5.3.1 for the sizes. Quoted local parts are allowed
# there, and are used only by those who look for holes.
_LOCAL: Final = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
)
_HOST: Final = re.compile(
    r"(?=.{1,253}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}"
)
_LONGEST_LOCAL: Final = 64
_HERE: Final = frozenset({"127.0.0.1", "::1", "localhost"})


def read_address(kind: Kind, text: str) -> str:
    """Give an address as it is stored and written to.

    Raises:
        ValueError: it is none of its kind; the text says what was expected.
    """
    said = text.strip()
    if not said.isprintable():
        raise ValueError(f"{said!r} has characters that no address has")
    if kind is Kind.MAIL:
        return _mail(said)
    if kind is Kind.WEBHOOK:
        return _webhook(said)
    if not said.startswith("/") or ".." in said.split("/"):
        raise ValueError(f"{said!r} is no absolute path of a folder")
    return said.rstrip("/") or "/"


def _mail(said: str) -> str:
    local, _, host = said.rpartition("@")
    host = normalise("domain-name", host)
    if (
        not _LOCAL.fullmatch(local)
        or len(local) > _LONGEST_LOCAL
        or not _HOST.fullmatch(host)
    ):
        raise ValueError(f"{said!r} is no mail address such as noc@example.th")
    return f"{local}@{host}"


def _webhook(said: str) -> str:
    try:
        parts = urlsplit(said)
        host, port = parts.hostname, parts.port
    except ValueError as fault:
        raise ValueError(f"{said!r} is no URL: {fault}") from fault
    secure = parts.scheme == "https" or (parts.scheme == "http" and host in _HERE)
    if not host or not secure or port == 0 or " " in said:
        raise ValueError(f"{said!r} is no URL that begins with https://")
    if parts.username is not None or parts.fragment:
        raise ValueError(f"{said!r} has a user or a fragment; neither is sent")
    return said


def read_language(text: str) -> str:
    """Give a language tag as it is stored.

    Raises:
        ValueError: it is none.
    """
    said = text.strip()
    if not LANGUAGE.fullmatch(said):
        raise ValueError(f"{said!r} is no language tag such as en or th")
    return said
