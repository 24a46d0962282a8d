"""Traces: what in a text would tell where an object comes from.

Two searches. One is for strings that are known to name the origin: names, hosts, ids,
addresses of its own machines. It folds case and Unicode, looks through defanging and
%-escapes, and through whatever stands between letters. The other is for shapes that no
published sentence needs: times of day, mail addresses, ids, letters beyond ASCII.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from serantau.clock import instant
from serantau.rules.text import fold, refang

# So long a string, bare of all but letters and digits, is found wherever it stands.
_TELLING: Final = 6
# So short a name is also a word of some language: found as a name is written.
_SHORT: Final = 3

_UUID: Final = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE
)
_MAIL: Final = re.compile(r"[^\s@<>()]+@[^\s@<>()]+\.[^\s@<>()]+")
# Not a part of a MAC or IPv6 address.
_HOUR: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d[\d:.]*"
    r"|(?<![\w:.])(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d)?(?![\d:])"
)
_LITERAL: Final = re.compile(r"\bt'([^']*)'")
_WORD: Final = re.compile(r"\w+")
# A letter or digit.
_IN: Final = r"[^\W_]"


@dataclass(frozen=True, slots=True)
class Trace:
    """A string that names the origin. what: what it is of it, for messages."""

    text: str
    what: str


@dataclass(frozen=True, slots=True)
class Hit:
    """Something that must not be published.

    place: JSON pointer. found: what stands there, or empty. what: why it may not.
    """

    place: str
    found: str
    what: str

    def __str__(self) -> str:
        """Tell it in a line."""
        found = f"{self.found!r} is " if self.found else ""
        return f"{self.place}: {found}{self.what}"


class Traces:
    """All that would name one origin, ready to be searched for."""

    def __init__(self, traces: Iterable[Trace], networks: Iterable[str] = ()) -> None:
        """Search for these.

        Args:
            traces: strings; those without a letter or digit are left out.
            networks: prefixes of the origin's own machines.
        """
        self._long: dict[str, Trace] = {}
        self._words: dict[str, Trace] = {}
        self._short: list[tuple[re.Pattern[str], re.Pattern[str], Trace]] = []
        for trace in traces:
            folded = fold(trace.text).strip()
            bare = _bare(folded)
            if len(bare) >= _TELLING or not bare.isascii():
                self._long.setdefault(bare, trace)
            elif len(bare) > _SHORT:
                self._words.setdefault(folded, trace)
            elif bare:
                self._short.append((*_as_a_name(trace.text.strip()), trace))
        self._networks = [ipaddress.ip_network(one, strict=False) for one in networks]

    def among(self, text: str, *, sentence: bool) -> Iterator[tuple[str, str]]:
        """Give (what was found, what it is of the origin) in a text, each once.

        sentence: whether people wrote it; else it is a value or a pattern, in which
        `user_id` is no `id`.
        """
        found: dict[str, str] = {}
        for said in dict.fromkeys((text, unquote(text), refang(unquote(text)))):
            folded = fold(said)
            bare = _bare(folded)
            for string, trace in self._long.items():
                if string in bare:
                    found[trace.text] = trace.what
            for string, trace in self._words.items():
                if re.search(rf"(?<!{_IN}){re.escape(string)}(?!{_IN})", folded):
                    found[trace.text] = trace.what
            for alone, joined, trace in self._short:
                if alone.search(said) or (sentence and joined.search(said)):
                    found[trace.text] = trace.what
        yield from found.items()

    def owns(self, values: Sequence[tuple[str, str]]) -> Iterator[str]:
        """Give those addresses among (kind, value) pairs that are the origin's own."""
        for kind, value in values:
            if kind in {"ipv4-addr", "ipv6-addr"} and self._holds(value):
                yield value

    def _holds(self, value: str) -> bool:
        try:
            network = ipaddress.ip_network(value, strict=False)
        except ValueError:
            return False
        return any(network.overlaps(own) for own in self._networks)


def _bare(folded: str) -> str:
    return "".join(char for char in folded if char.isalnum())


def _as_a_name(text: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Find a code of two or three letters where it is written as one.

    In capitals, or joined to something: `TH`, `th-node`, `node/th`; not the word `my`.
    A dot joins nothing here: the ending of a host's name is the state's alone.
    """
    low, high = re.escape(text.lower()), re.escape(text.upper())
    alone = re.compile(rf"(?<!{_IN}){high}(?!{_IN})")
    joined = re.compile(
        rf"(?<!{_IN})(?i:{low})(?=[-_/:@#]{_IN})|(?<={_IN}[-_/:@#])(?i:{low})(?!{_IN})"
    )
    return alone, joined


def shapes(text: str) -> Iterator[tuple[str, str]]:
    """Give (what was found, why it may not stay) of shapes that tell too much."""
    for pattern, what in (
        (_UUID, "an id"),
        (_MAIL, "a mail address"),
        (_HOUR, "a time of day"),
    ):
        found = pattern.search(refang(text))
        if found:
            yield found[0], what
    beyond = [
        word
        for word in _WORD.findall(text)
        if any(char.isalpha() and not char.isascii() for char in word)
    ]
    if beyond:
        yield beyond[0], "in letters that few write: say it in ASCII"


def exact_times(pattern: str, step: int) -> Iterator[tuple[str, str]]:
    """Give the times in a STIX pattern that are no multiple of `step` microseconds."""
    for said in _LITERAL.findall(pattern):
        try:
            exact = instant(said) % step
        except ValueError:
            exact = 1
        if exact:
            yield said, "an exact time"
