"""The reports of events that go into the demo, and the ranges that they are judged by.

They are found in a folder by what they look like: reports by the formats that a node
knows, ranges of addresses by their columns.
"""

from __future__ import annotations

import csv
import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from serantau.config import FEED
from serantau.desk.gather import kind_of
from serantau.lane.formats.registry import Formats
from serantau.lane.formats.source import opening
from serantau.lane.ranges import Kind

_HEAD: Final = 1 << 16
_ENDS: Final = (".csv", ".tsv", ".txt", ".log", ".jsonl", ".ndjson")
_PACKED: Final = (".gz", ".zst", ".zip")


@dataclass(frozen=True, slots=True)
class Report:
    """One file of events. feed: who reported it. format: how it is written."""

    path: Path
    feed: str
    format: str


@dataclass(slots=True)
class Reports:
    """What was found in a folder. country, asn: files of ranges of addresses."""

    folder: Path
    files: list[Report] = field(default_factory=list)
    country: list[Path] = field(default_factory=list)
    asn: list[Path] = field(default_factory=list)


def find_reports(folder: Path) -> Reports:
    """Look for reports and ranges in a folder and below."""
    found, formats = Reports(folder), Formats()
    for path, head in _heads(folder):
        name, text = opening(path.name, head)
        ranges = _ranges_of(text)
        if ranges is not None:
            (found.country if ranges is Kind.COUNTRY else found.asn).append(path)
            continue
        if text.lstrip()[:1] in {"{", "["} and kind_of(head) != "other":
            continue
        form = formats.recognise(path.name, head)
        if form is not None:
            # What has a form of our own tells by its name who reported it.
            stem = name.partition(".")[0].lower()
            named = form.name.startswith("serantau-") and FEED.fullmatch(stem)
            found.files.append(Report(path, stem if named else form.name, form.name))
    return found


def _heads(folder: Path) -> Iterator[tuple[Path, bytes]]:
    for path in sorted(folder.rglob("*")):
        name = path.name.lower()
        for end in _PACKED:
            name = name.removesuffix(end)
        if name.endswith(_ENDS) and path.is_file():
            try:
                with path.open("rb") as stream:
                    head = stream.read(_HEAD)
            except OSError:
                continue
            if head:
                yield path, head


def _ranges_of(text: str) -> Kind | None:
    """Say of what a file has ranges, if it does: `first,last,value` or `prefix,value`.

    The first line may name the columns, so it is the second that tells.
    """
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    for cells in csv.reader(lines[1:2]):
        try:
            if "/" in cells[0]:
                ipaddress.ip_network(cells[0])
                value = cells[1]
            else:
                ipaddress.ip_address(cells[0])
                ipaddress.ip_address(cells[1])
                value = cells[2]
        except (ValueError, IndexError):
            return None
        if len(value) == 2 and value.isalpha():
            return Kind.COUNTRY
        if value.removeprefix("AS").isdigit():
            return Kind.ASN
    return None
