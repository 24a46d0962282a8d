"""What a party answers for, and which claim on an event is the best.

A claim names a range, a network operator, a domain or a country. The narrowest claim
wins, and a country alone only where nothing better is known.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from serantau.rules.event import halves
from serantau.rules.text import normalise


class Kind(StrEnum):
    """What an asset is."""

    PREFIX = "prefix"
    DOMAIN = "domain"
    ASN = "asn"
    CCTLD = "cctld"
    COUNTRY = "country"


RANKS: Final = (Kind.PREFIX, Kind.DOMAIN, Kind.ASN, Kind.CCTLD, Kind.COUNTRY)
"""The kinds of claim, the best one first. Of two of one kind the longer wins."""

_LARGEST_ASN: Final = 2**32 - 1
_CC: Final = 2


@dataclass(frozen=True, slots=True)
class Asset:
    """One claim: `party` answers for `value`.

    value: as `read_value` gives it. since, until: instants between which it holds; an
    event is judged as of its own time. None: always. member: the state that the party
    belongs to. source: who says so.
    """

    party: str
    member: str
    kind: Kind
    value: str
    since: int | None = None
    until: int | None = None
    source: str = ""

    def holds(self, at: int) -> bool:
        """Say whether the claim holds at an instant."""
        begun = self.since is None or self.since <= at
        return begun and (self.until is None or at < self.until)


def read_value(kind: Kind, text: str) -> str:
    """Give an asset's value as it is stored and compared.

    A prefix is in CIDR form, an AS number without `AS`, a domain in A-labels, a country
    in upper case, a ccTLD in lower case without a dot.

    Raises:
        ValueError: it is none of its kind; the text says what was expected.
    """
    said = text.strip()
    if kind is Kind.PREFIX:
        try:
            return str(ipaddress.ip_network(said))
        except ValueError as fault:
            raise ValueError(
                f"{said!r} is no prefix such as 203.0.113.0/24: {fault}"
            ) from fault
    if kind is Kind.ASN:
        digits = said.upper().removeprefix("AS")
        if not (digits.isascii() and digits.isdigit() and int(digits) <= _LARGEST_ASN):
            raise ValueError(f"{said!r} is no AS number such as AS64500")
        return str(int(digits))
    if kind is Kind.DOMAIN:
        name = normalise("domain-name", said.rstrip("."))
        # No top-level domain is a number (RFC 3696 §2): that is a mistyped address.
        if "." not in name or " " in name or name.rpartition(".")[2].isdigit():
            raise ValueError(f"{said!r} is no domain name such as example.th")
        return name
    code = said.lstrip(".")
    if not (len(code) == _CC and code.isascii() and code.isalpha()):
        raise ValueError(f"{said!r} is no two-letter code such as th")
    return code.upper() if kind is Kind.COUNTRY else code.lower()


def range_of(prefix: str) -> tuple[tuple[int, int], tuple[int, int]]:
    """Give the first and the last address of a prefix, each as two sortable halves."""
    network = ipaddress.ip_network(prefix)
    first, last = int(network.network_address), int(network.broadcast_address)
    return halves(first, network.version), halves(last, network.version)
