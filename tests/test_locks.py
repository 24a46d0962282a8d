"""What is locked is all that a fresh machine needs, on the day of a new release too."""

from __future__ import annotations

import re
from importlib.metadata import distribution
from operator import attrgetter
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_LOCKS = Path(__file__).parents[1] / "requirements"
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[([^\]]*)\])?==", re.MULTILINE)


@pytest.mark.parametrize("name", ["run.txt", "dev.txt"])
def test_a_lock_pins_a_package_with_the_extras_that_others_ask_it_for(
    name: str,
) -> None:
    # Else pip, asked for hashes, looks at the newest release first, and gives up.
    pinned = {
        canonicalize_name(found[1]): set((found[2] or "").split(",")) - {""}
        for found in _PINNED.finditer((_LOCKS / name).read_text())
    }
    asked: dict[str, set[str]] = {}
    for one in pinned:
        try:
            wants = distribution(one).requires or []
        except ModuleNotFoundError:
            continue  # Locked for another system or Python.
        for text in wants:
            want = Requirement(text)
            here = want.marker is None or want.marker.evaluate({"extra": ""})
            if want.extras and here:
                asked.setdefault(canonicalize_name(want.name), set()).update(
                    want.extras
                )
    assert asked
    for package, extras in asked.items():
        assert extras <= pinned[canonicalize_name(package)], (package, extras)


@pytest.mark.parametrize("lock", sorted(_LOCKS.glob("*.txt")), ids=attrgetter("name"))
def test_lock_has_a_hash_for_every_version_and_no_address(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    assert "://" not in text
    assert "--index" not in text
    pins = re.split(r"\n(?=\S)", text.strip())
    assert len(pins) > 1
    for pin in pins:
        assert re.match(r"[a-z0-9._-]+(\[[a-z0-9,-]+\])?==\S+ ", pin), pin
        assert "--hash=sha256:" in pin, pin
