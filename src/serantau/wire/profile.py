"""Reading federation profiles: the shipped ones by name, a region's own by path."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from serantau.errors import ConfigError
from serantau.rules.profile import Profile, load_profile_text, refuse_faults

_SHIPPED = files("serantau") / "data" / "profiles"


def list_profiles() -> list[str]:
    """Give the names of the shipped profiles."""
    found = (entry.name for entry in _SHIPPED.iterdir())
    return sorted(
        name.removesuffix(".toml") for name in found if name.endswith(".toml")
    )


def load_profile(name_or_path: str | os.PathLike[str]) -> Profile:
    """Read a shipped profile by name, or one from a TOML file.

    A name of a shipped profile wins; write `./NAME` for a file called like one.

    Raises:
        ConfigError: there is none, it cannot be read, or it has faults.
    """
    asked = os.fspath(name_or_path)
    shipped = list_profiles()
    try:
        if asked in shipped:
            origin = f"{asked}.toml"
            text = (_SHIPPED / origin).read_text(encoding="utf-8")
        else:
            origin = asked
            text = Path(asked).read_text(encoding="utf-8")
    except (OSError, ValueError) as fault:
        raise ConfigError(
            f"profile {asked!r} cannot be read: {fault}.",
            mend=f"Give a path, or one of: {', '.join(shipped)}.",
        ) from fault
    profile = load_profile_text(text, origin)
    refuse_faults(
        origin,
        (
            (f"members[{index}] ({member.code}).zones", zone, "an IANA time zone name")
            for index, member in enumerate(profile.members)
            for zone in member.zones
            if not _exists(zone)
        ),
    )
    return profile


def _exists(zone: str) -> bool:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
