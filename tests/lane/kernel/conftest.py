"""A folder of ranges."""

from pathlib import Path

import pytest

from kernels import COUNTRIES, NETWORKS
from serantau.lane import ranges


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of range data of one day."""
    shelf = ranges.Shelf(tmp_path / "ranges")
    for kind, name, text in (
        (ranges.Kind.COUNTRY, "whois", COUNTRIES),
        (ranges.Kind.ASN, "routes", NETWORKS),
    ):
        path = tmp_path / name
        path.write_text(text)
        version = ranges.Version("2026-11-01", name, kind)
        shelf.add(version, ranges.read([path], kind).frame)
    return tmp_path / "ranges"
