"""Profiles are found by name or path, and their time zones exist."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from serantau.errors import ConfigError
from serantau.wire.profile import list_profiles, load_profile

# As the states themselves keep them; none has summer time.
HOURS = {
    "bn": [8],
    "kh": [7],
    "id": [7, 8, 9],
    "la": [7],
    "my": [8],
    "mm": [6.5],
    "ph": [8],
    "sg": [8],
    "th": [7],
    "vn": [7],
    "tl": [9],
}


def test_both_profiles_are_shipped() -> None:
    assert list_profiles() == ["amcc7-2022", "asean-2025"]


@pytest.mark.parametrize("name", ["amcc7-2022", "asean-2025"])
def test_a_shipped_profile_is_loaded_by_name_with_the_right_zones(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    noon = datetime(2026, 6, 1, 12, tzinfo=UTC)
    for member in profile.members:
        offsets = [noon.astimezone(ZoneInfo(zone)).utcoffset() for zone in member.zones]
        hours = [offset.total_seconds() / 3600 for offset in offsets if offset]
        assert hours == HOURS[member.code]


def own_copy(folder: Path) -> Path:
    path = folder / "region.toml"
    shipped = files("serantau") / "data" / "profiles" / "asean-2025.toml"
    path.write_text(shipped.read_text(encoding="utf-8"), encoding="utf-8")
    return path


def test_a_profile_is_loaded_from_a_path(tmp_path: Path) -> None:
    path = own_copy(tmp_path)
    assert load_profile(path) == load_profile(str(path)) == load_profile("asean-2025")


@pytest.mark.parametrize("zone", ["Asia/Bruneii", "UTC+8", "Asia", "../etc/passwd"])
def test_a_time_zone_that_does_not_exist_is_named(tmp_path: Path, zone: str) -> None:
    path = own_copy(tmp_path)
    text = path.read_text(encoding="utf-8").replace("Asia/Brunei", zone)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_profile(path)
    assert caught.value.message == (
        f"{path}: members[0] (bn).zones: got {zone!r}, expected an IANA time zone name."
    )


def test_a_profile_that_is_not_there_is_answered_with_those_that_are(
    tmp_path: Path,
) -> None:
    for asked in ("asean-2035", str(tmp_path), str(tmp_path / "none.toml")):
        with pytest.raises(ConfigError) as caught:
            load_profile(asked)
        assert asked in caught.value.message
        assert "amcc7-2022, asean-2025" in caught.value.mend


def test_a_profile_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "region.toml"
    path.write_bytes(b"name = '\xff'")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_profile(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_profile("a\0b")
