"""Which warninglists a value is on, for whoever is about to make it an indicator."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from serantau.node import Node

if TYPE_CHECKING:
    from serantau.lane.lists import Lists

_FOLDER: Final = "warninglists"
_ADDRESSES: Final = ("ipv4-addr", "ipv6-addr")
_HASHES: Final = ("md5", "sha-1", "sha-256")


def warned(node: Node, values: Sequence[tuple[str, str]]) -> list[list[str]]:
    """Name for each (kind, value) the warninglists that have it, in order.

    The same lists that mark rows of events. A URL and the part of an email address
    behind the @ are looked up by their host as well.
    """
    folder = node.home / _FOLDER
    stamps = tuple(
        sorted((str(path), path.stat().st_mtime_ns) for path in folder.rglob("*.json"))
    )
    if not stamps or not values:
        return [[] for _ in values]
    # What knows of frames is read when somebody asks, not with every page.
    import polars as pl

    from serantau.lane.address import KEY, key_of
    from serantau.lane.match import Asked

    keys = [_key(value) if kind in _ADDRESSES else None for kind, value in values]
    numbers = [None if key is None else key_of(key) for key in keys]
    each = sorted({number for number in numbers if number is not None})
    places = [None if number is None else each.index(number) for number in numbers]

    def texts(found: list[str | None]) -> pl.Series:
        return pl.Series(found, dtype=pl.String)

    hits = _lists(folder, stamps).find(
        Asked(
            pl.Series(each, dtype=KEY),
            [pl.Series(places, dtype=pl.UInt32)],
            [texts([_host(kind, value) for kind, value in values])],
            [texts([value if kind == "url" else None for kind, value in values])],
            [texts([value if kind in _HASHES else None for kind, value in values])],
        )
    )
    found: list[set[str]] = [set() for _ in values]
    for row, words in hits.iter_rows():
        found[row].update(words.split(","))
    return [sorted(names) for names in found]


def _key(value: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(value)
    except ValueError:
        return None


def _host(kind: str, value: str) -> str | None:
    if kind == "domain-name":
        return value
    if kind == "email-addr":
        return value.rpartition("@")[2]
    if kind == "url":
        authority = value.partition("://")[2].partition("/")[0]
        return authority.rpartition("@")[2].partition(":")[0] or None
    return None


@lru_cache(maxsize=2)
def _lists(folder: Path, stamps: tuple[tuple[str, int], ...]) -> Lists:
    """Read a folder's lists; `stamps` tells one state of it from another."""
    from serantau.lane.lists import Lists, read_folder

    return Lists.of(read_folder(folder)[0])
