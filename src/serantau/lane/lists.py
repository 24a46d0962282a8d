"""Warninglists: values that are widely used and must not be taken for somebody's fault.

The format is MISP's (https://github.com/MISP/misp-warninglists): a JSON object with a
name, a type, the attributes it is for, and a list. A node keeps those it wants in a
folder; rows about one of their values are marked with the list's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson
import polars as pl

from serantau.lane.match import HITS, INDICATORS, NOTHING, Asked, Known
from serantau.rules.text import normalise

TYPES: Final = ("cidr", "hostname", "string", "substring", "regex")
_FOR: Final[dict[str, tuple[str, ...]]] = {
    # Which of MISP's attributes stand for which value of a row.
    "address": ("ip-src", "ip-dst", "domain|ip"),
    "domain": ("domain", "hostname", "domain|ip"),
    "url": ("url", "uri", "link"),
    "hash": ("md5", "sha1", "sha224", "sha256", "sha384", "sha512", "malware-sample"),
}
_REGEX: Final = re.compile(r"/(.*)/([a-z]*)", re.DOTALL)
_FLAGS: Final = frozenset("imsx")
_HASH_LENGTHS: Final = {32: "md5", 40: "sha-1", 64: "sha-256"}


@dataclass(frozen=True, slots=True)
class Warninglist:
    """One list.

    name: what rows are marked with. kind: one of TYPES. targets: the values of a row
    that it is for: address, domain, url, hash. values: as they are written.
    """

    name: str
    kind: str
    targets: frozenset[str]
    values: tuple[str, ...]


def read(raw: bytes, name: str) -> Warninglist:
    """Read a list.

    Raises:
        ValueError: it is no warninglist; the text says what was expected.
    """
    try:
        told = orjson.loads(raw)
    except orjson.JSONDecodeError as fault:
        raise ValueError(f"{name}: is no JSON: {fault}") from fault
    if not isinstance(told, dict) or told.get("type") not in TYPES:
        raise ValueError(f"{name}: type is none of {', '.join(TYPES)}")
    values = told.get("list")
    if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
        raise ValueError(f"{name}: list is no list of texts")
    attributes = told.get("matching_attributes") or []
    # `ip-src|port` is about what `ip-src` is about.
    plain = {
        part
        for one in attributes
        if isinstance(one, str)
        for part in (one, *one.split("|"))
    }
    targets = {
        target for target, names in _FOR.items() if not attributes or plain & {*names}
    }
    return Warninglist(name, told["type"], frozenset(targets), tuple(values))


def name_of(path: Path) -> str:
    """Give a list's name by its file, as MISP lays them out: `NAME/list.json`."""
    stem = path.parent.name if path.name == "list.json" else path.stem
    plain = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")
    return plain.removeprefix("warninglist-") or "list"


def read_folder(folder: Path) -> tuple[list[Warninglist], list[str]]:
    """Read the lists in a folder and its folders.

    Returns:
        The lists by name, and what is wrong with those files that are none.
    """
    lists, faults = [], []
    for path in sorted(folder.rglob("*.json")):
        try:
            lists.append(read(path.read_bytes(), name_of(path)))
        except (ValueError, OSError) as fault:
            faults.append(str(fault))
    return sorted(lists, key=lambda one: one.name), faults


@dataclass(frozen=True, slots=True)
class Lists:
    """What rows are marked by.

    known: values that are looked up. parts: for each list of substrings its name, its
    targets and its values. patterns: the same for regular expressions. faults: what
    could not be used, and why.
    """

    known: Known = NOTHING
    parts: tuple[tuple[str, frozenset[str], tuple[str, ...]], ...] = ()
    patterns: tuple[tuple[str, frozenset[str], tuple[str, ...]], ...] = ()
    faults: tuple[str, ...] = ()

    @classmethod
    def of(cls, lists: Sequence[Warninglist]) -> Lists:
        """Use these lists."""
        values = [row for one in lists for row in _values(one)]
        parts, patterns, faults = [], [], []
        for one in lists:
            if one.kind == "substring":
                wanted = tuple(text.lower() for text in one.values if text)
                parts.append((one.name, one.targets, wanted))
            elif one.kind == "regex":
                good = []
                for text in one.values:
                    pattern = _pattern(text)
                    if pattern is None:
                        faults.append(f"{one.name}: {text!r} is no usable pattern")
                    else:
                        good.append(pattern)
                patterns.append((one.name, one.targets, tuple(good)))
        known = Known.of(pl.DataFrame(values, INDICATORS, orient="row"))
        return cls(known, tuple(parts), tuple(patterns), tuple(faults))

    def find(self, asked: Asked) -> pl.DataFrame:
        """Find the lists that each row's values are on (match.HITS)."""
        found = [self.known.find(asked)]
        if self.parts or self.patterns:
            for target, columns in (("domain", asked.domains), ("url", asked.urls)):
                for texts in columns:
                    found += self._in_texts(target, texts)
        return pl.concat(found)

    def _in_texts(self, target: str, texts: pl.Series) -> Iterator[pl.DataFrame]:
        rows = texts.to_frame("text").with_row_index("row").drop_nulls()
        each = rows["text"].unique().to_frame("text")
        text = pl.col("text")
        tests = [
            (name, text.str.to_lowercase().str.contains_any(list(wanted)))
            for name, targets, wanted in self.parts
            if target in targets and wanted
        ] + [
            (name, pl.any_horizontal(text.str.contains(one) for one in wanted))
            for name, targets, wanted in self.patterns
            if target in targets and wanted
        ]
        for name, test in tests:
            marked = each.filter(test).with_columns(words=pl.lit(name))
            yield rows.join(marked, on="text").select(HITS.names())


def _values(one: Warninglist) -> Iterable[tuple[str, str, str]]:
    """Give (kind, value, name) for what a list has that is looked up."""
    if one.kind not in {"cidr", "hostname", "string"}:
        return
    for text in map(str.strip, one.values):
        if "address" in one.targets and one.kind != "hostname":
            value = normalise("ipv4-addr", text)
            if value[:1].isdigit() or ":" in value:
                yield "ipv4-addr", value, one.name
        if one.kind == "cidr":
            continue
        if "domain" in one.targets or one.kind == "hostname":
            # Some lists write `.example.com` for a name and all that is below it.
            below = text.startswith(".")
            if below or one.kind == "hostname":
                yield (
                    "domain-name",
                    normalise("domain-name", text.lstrip(".")),
                    one.name,
                )
            elif "/" not in text:
                yield "exact-name", normalise("domain-name", text), one.name
        if "url" in one.targets and "://" in text:
            yield "url", normalise("url", text), one.name
        if "hash" in one.targets and len(text) in _HASH_LENGTHS:
            yield _HASH_LENGTHS[len(text)], text.lower(), one.name


def _pattern(text: str) -> str | None:
    """Give a regular expression as it is run here, None where it cannot be.

    Lists write them as PHP does, between slashes and with flags behind. They are run by
    an engine that takes linear time whatever it is given, so what looks around or back
    is left out.
    """
    written = _REGEX.fullmatch(text)
    flags = "".join(sorted({*written[2]} & _FLAGS)) if written else ""
    plain = written[1].replace("\\/", "/") if written else text
    pattern = f"(?{flags}){plain}" if flags else plain
    try:
        pl.Series([""]).str.contains(pattern)
    except pl.exceptions.PolarsError:
        return None
    return pattern
